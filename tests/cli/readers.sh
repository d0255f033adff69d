#!/bin/sh
# Another user, who may read a pool and not write it: what the commands that look show him, and that the others refuse.
. "${top_srcdir:-.}/tests/cli/cli.inc"

stranger() {
	setpriv --reuid 65534 --regid 65534 --clear-groups "$LATZERO" "$@"
}

if [ "$(id -u)" != 0 ] || ! command -v setpriv >/dev/null || ! stranger --version >/dev/null 2>&1; then
	echo "1..0 # SKIP it takes root, setpriv, and a build that others may read"
	exit 0
fi
chmod 755 "$scratch"
mkdir -m 755 "$LATZERO_DIR"
l create open --keep --mode 0644 >/dev/null
l create shut --keep >/dev/null
l set open greeting hello
l set --namespace space open inner there 2>/dev/null || l --namespace space set open inner there
l set shut greeting hello

is "get" hello "$(stranger get open greeting)"
is "exists" true "$(stranger exists open greeting)"
is "ttl" never "$(stranger ttl open greeting)"
is "keys" greeting "$(stranger keys open)"
is "scan" "greeting	hello" "$(stranger scan open)"
is "dump" 1 "$(stranger dump open | wc -l)"
is "of a namespace" there "$(stranger --namespace space get open inner)"
like "namespaces" '^space' "$(stranger namespaces open)"
like "stats" "^keys" "$(stranger stats open)"
like "inspect" 'open' "$(stranger inspect open)"
like "inspect of a key" 'greeting' "$(stranger inspect open greeting)"
is "get of a key that is not there: 1" 1 "$(stranger get open nope 2>/dev/null || echo $?)"

is "set: 3" 3 "$(stranger set open greeting other 2>/dev/null || echo $?)"
is "ttl that changes: 3" 3 "$(stranger ttl open greeting 5s 2>/dev/null || echo $?)"
is "of a pool that is not for him: 3" 3 "$(stranger get shut greeting 2>"$scratch/err" || echo $?)"
is "with one line" 1 "$(wc -l <"$scratch/err")"
printf 'secret\n' >"$scratch/right"
printf 'wrong\n' >"$scratch/stranger"
printf 'wrong\n' >"$scratch/wrong"
chmod 600 "$scratch/right" "$scratch/stranger" "$scratch/wrong"
chown 65534 "$scratch/stranger"
l create locked --keep --encrypt --mode 0644 --password-file "$scratch/right" >/dev/null
stranger get locked greeting --password-file "$scratch/stranger" 2>"$scratch/err" || true
like "a wrong password is told as such" 'locked: wrong password' "$(cat "$scratch/err")"
is "in one line" 1 "$(wc -l <"$scratch/err")"
stranger top locked --once --password-file "$scratch/stranger" 2>"$scratch/err" || true
like "of top, too" 'locked: wrong password' "$(cat "$scratch/err")"
like "top of a pool that may be read" '^open	' "$(stranger top open --once --interval 10ms)"
for what in "set open k v" "del open k" "incr open n" "append open k v" "ttl open k 5s" "load open" "clear open" \
	"limit open --max-entries 10" "lock open job -- true" "watch open" "verify open" "advise open" "train open" \
	"top open --keys" "rekey open --data" "persist open /nowhere" "namespaces open --drop x" "destroy open"; do
	stranger $what 2>"$scratch/err" </dev/null >/dev/null
	is "$what: 3" 3 $?
	like "$what: he only reads" 'pool open: LATZ_READONLY: .*is user 0.s, and we are user 65534, who may only read it' \
		"$(cat "$scratch/err")"
	is "$what: one line" 1 "$(wc -l <"$scratch/err")"
done
like "inspect tells whether it is kept" '^lifetime	kept' "$(stranger inspect open)"
like "and whether it is locked" '^locked	no$' "$(stranger inspect open)"
like "without the password, too" '^locked	encrypted$' "$(stranger inspect locked)"
l get locked greeting --password-file "$scratch/wrong" 2>/dev/null
like "and how many wrong ones the pool was asked with" '"wrong_in_row":1,"wrong_passwords":1,' \
	"$(stranger inspect locked --json)"
is "of a pool that is not for him: 3" 3 "$(stranger inspect shut 2>"$scratch/err" || echo $?)"
like "he is told why" 'pool shut: LATZ_ACCESS' "$(cat "$scratch/err")"
stranger list >"$scratch/out" 2>"$scratch/err"
is "list" 0 $?
is "tells of each what the owner sees, but of what is not for him" \
	"$(l list | cut -f 1-4,6-7 | sed 's/^shut	.*/shut refused/')" \
	"$(cut -f 1-4,6-7 "$scratch/out" | sed 's/^shut	0	0	.*	-	LATZ_ACCESS.*/shut refused/')"
like "top without a name" '^open	' "$(stranger top --once --interval 10ms)"
like "of what takes a password, too" '^locked	locked	-' "$(stranger top --once --interval 10ms)"
mkdir "$LATZERO_DIR/.tmp-left"
stranger list >/dev/null
ok "he sweeps nothing" test -d "$LATZERO_DIR/.tmp-left"
l list >/dev/null
ok "the owner does" test ! -d "$LATZERO_DIR/.tmp-left"
chmod 711 "$LATZERO_DIR"
is "list where he may not: 3" 3 "$(stranger list 2>"$scratch/err" || echo $?)"
is "get where he may not list" hello "$(stranger get open greeting)"
like "inspect" '^keys	' "$(stranger inspect open)"
chmod 755 "$LATZERO_DIR"
l create audited --keep --audit "$scratch/log" --audit-keys reads >/dev/null
l set audited k v
chmod 666 "$scratch/log"
is "who may write a pool but not its audit log does not look in silence: 3" 3 \
	"$(l get audited k >/dev/null 2>&1 || echo $?)"
is "nothing has changed" hello "$(l get open greeting)"
done_testing
