#!/bin/sh
# create, list, inspect, destroy, sweep, verify: the life of pools.
. "${top_srcdir:-.}/tests/cli/cli.inc"

exits "list of a directory that is not there" 0 list
is "lists nothing" "" "$out"

# hold POOL: stays attached until the pipe on its stdin ends; sets holder.
hold() {
	mkfifo "$scratch/$1.in"
	"$LATZERO" create "$1" <>"$scratch/$1.in" >"$scratch/$1.out" 2>&1 &
	holder=$!
	helpers="$helpers $holder"
	until_true 20 test -s "$scratch/$1.out"
}

ok "create stays" hold e
ok "it is there" kill -0 "$holder"
like "it says so" '^created e' "$(cat "$scratch/e.out")"
is "list: name, clients, keys" "e	1	0" "$(l list | cut -f 1-3)"
l set e k v
is "a pool that is held keeps its keys" v "$(l get e k)"
exits "inspect" 0 inspect e
like "inspect tells the keys" '^keys	1$' "$out"
like "and the client" "^client	.*	$holder	" "$out"
like "and the lifetime" '^lifetime	until its last user' "$out"
exits "inspect --json" 0 inspect e --json
is "is one line" 1 "$(printf '%s\n' "$out" | wc -l)"
like "with clients" "\"clients\":\[.*\"pid\":$holder," "$out"
exits "list --json" 0 list --json
like "one object a pool" '^{"name":"e",.*"clients":1,"keys":1,.*"keep":false,.*}$' "$out"
kill "$holder"
wait "$holder"
is "create ends with 0 on SIGTERM" 0 $?
ok "a pool that is destroyed under create" hold d
l destroy d
ok "ends it" until_true 20 grep -q 'pool d: was destroyed' "$scratch/d.out"
grep -q 'was destroyed' "$scratch/d.out" || kill "$holder"
wait "$holder"
is "with 3" 3 $?

ok "its pool is gone" until_true 5 sh -c 'test -z "$("$1" list)"' sh "$LATZERO"

printf '\n' | l create f >"$scratch/f.out"
is "Enter ends create" 0 $?
l create g </dev/null >"$scratch/g.out"
is "the end of stdin does" 0 $?
is "and nothing is left" "" "$(l list)"

exits "create --keep" 0 create kept --keep --ttl 1h --mode 0600 --max-clients 16
like "flags" '^kept	0	0	.*	keep	ok$' "$(l list)"
l set kept k v
ms=$(l ttl kept k)
ok "the pool's own time to live: $ms" test "${ms%ms}" -gt 3000000
exits "inspect tells the bound of clients" 0 inspect kept
like "of 16" '^clients	1 of 16$' "$out"
exits "verify" 0 verify kept
like "verify says ok" '^ok: 1 key, ' "$out"
exits "verify --json" 0 verify kept --json
like "verify says ok in JSON" '"ok":true' "$out"
exits "clear" 0 clear kept
is "clear took the keys" "" "$(l keys kept)"
exits "destroy" 0 destroy kept
exits "destroy of what is not there" 1 destroy kept
one_line "destroy of what is not there"

exits "no such level" 2 create x --keep --compress-level 20
exits "no such maker of dictionaries" 2 create x --keep --compress-dict often
is "none of them left a pool" "" "$(l list)"
exits "a name with a slash" 2 create ../x --keep
one_line "a name with a slash"
exits "a hidden name" 2 create .x --keep

for command in 'set nope k v' 'incr nope k' 'append nope k v' 'load nope'; do
	# shellcheck disable=SC2086 # a command line
	exits "no such pool: $command" 1 $command
	like "the hint" 'latzero create nope --keep' "$err"
done
for command in 'get nope k' 'keys nope' 'scan nope' 'dump nope' 'inspect nope' 'verify nope' 'clear nope' 'ttl nope k' \
	'exists nope k' 'del nope k' 'top nope --once'; do
	# shellcheck disable=SC2086 # a command line
	exits "no such pool: $command" 1 $command
done
is "and none was made" "" "$(l list)"

# Only commands use this one, so no maintenance thread lives for long; it must not keep all that was overwritten.
l create worn --keep >/dev/null
for round in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
	head -c 1000000 /dev/zero | l set worn k
done
ok "commands alone give back what they overwrite" test "$(l list | sed -n 's/^worn	[0-9]*	[0-9]*	\([0-9]*\).*/\1/p')" -lt 8000000
l set worn short v --ttl 1ms
sleep 0.05
l set worn k v
is "and collect what expired" 1 "$(l verify worn --json | sed 's/.*"keys":\([0-9]*\).*/\1/')"
l destroy worn

mkdir "$scratch/other"
exits "--dir before the command" 0 --dir "$scratch/other" create o --keep
exits "--dir after it" 0 set o k v --dir "$scratch/other"
is "it is another directory" "" "$(l list)"
is "with a pool" o "$(l --dir "$scratch/other" list | cut -f 1)"

# The last user is killed, and no guard sees it (it takes a directory no other test has had one for): sweep is what is
# left.
other=$scratch/other2
mkfifo "$scratch/s.in"
"$LATZERO" --dir "$other" create s --no-guard <>"$scratch/s.in" >"$scratch/s.out" 2>&1 &
holder=$!
until_true 20 test -s "$scratch/s.out"
kill -9 "$holder"
wait "$holder" 2>/dev/null
ok "without a guard it stays" test -e "$other/s"
exits "sweep" 0 sweep --dir "$other"
is "sweep counts what it removed" 1 "$out"
ok "it is gone" test ! -e "$other/s"
is "and sweep finds nothing more" 0 "$(l sweep --dir "$other")"
is "sweep --json" '{"removed":0}' "$(l sweep --json)"

done_testing
