#!/bin/sh
# Audit logs and ages: create --audit, latzero audit, create and limit --max-age, what inspect says of them.
. "${top_srcdir:-.}/tests/cli/cli.inc"

: >"$scratch/linked"
ln -s "$scratch/linked" "$scratch/link"
for bad in "$scratch/nowhere/audit" "$scratch/link"; do
	exits "create with a log that can't be: $bad" 3 create bad --keep --audit "$bad"
done
exits "makes no pool" 1 inspect bad
echo "no entry" >"$scratch/letter"
exits "create with a file that is no log" 2 create bad --keep --audit "$scratch/letter"
exits "makes no pool either" 1 inspect bad
is "and leaves the file as it is" "no entry" "$(cat "$scratch/letter")"
exits "a pool" 0 create old --keep
exits "with a key" 0 set old k v
ok "its snapshot" "$LATZERO-snapshot" old "$scratch/old.lzs"
exits "a key more" 0 set old later v
"$LATZERO-restore" "$scratch/old.lzs" old --keep --replace --audit "$scratch/letter" >/dev/null 2>&1
is "a restore that can't have its log" 2 $?
exits "replaces nothing" 0 get old later
exits "the old pool goes" 0 destroy old

log=$scratch/a.audit
exits "create with a log" 0 create a --keep --audit "$log" --audit-keys writes,plain
exits "a write" 0 set a greeting hello
like "inspect says where" "^audit	.*/a.audit$" "$(l inspect a)"
like "and in JSON" '"audit":"[^"]*a.audit","audit_entries":[0-9]*,"audit_lost":0' "$(l inspect a --json)"
exits "verify" 0 audit verify "$log"
like "says that it is whole" ': whole, entries 1 to [0-9]*, head [0-9a-f]\{64\}$' "$out"
exits "with what the pool remembers" 0 audit verify "$log" --pool a
exits "show" 0 audit show "$log"
like "tells who did what" '	set	a	[0-9]*	[0-9]*	latzero	"key":"greeting"$' "$out"
like "and JSON is the line" '^{"seq":1,"time":"[^"]*","event":"begin"' "$(l audit show "$log" --json | head -1)"
exits "head" 0 audit head "$log"
head=$(printf '%s' "$out" | cut -f 2)
exits "the head is there" 0 audit verify "$log" --head "$head"
sum=$(tail -1 "$log" | sed 's/,"hash":"[0-9a-f]*"}$//' | tr -d '\n' | sha256sum | cut -d ' ' -f 1)
is "any tool can tell" "$head" "$sum"
exits "rotate" 0 audit rotate "$log"
old=$out
ok "the old one is there" test -f "$old"
exits "goes on" 0 set a greeting again
exits "both together" 0 audit verify "$old" "$log"
like "the second goes on" ', going on from a file before, ' "$out"
exits "in another order" 3 audit verify "$log" "$old"
like "says so" 'does not go on where the file before it ends' "$out"
exits "show takes one" 2 audit show "$old" "$log"

sed 's/"key":"greeting"/"key":"greetinh"/' "$log" >"$scratch/changed"
exits "a changed one" 3 audit verify "$scratch/changed"
like "names the line" 'changed: line [0-9]* was changed' "$out"
one_line "a changed one"
like "and in JSON" '{"file":"[^"]*changed","wrong":"line' "$(l audit verify --json "$scratch/changed" 2>/dev/null)"
sed 3d "$old" >"$scratch/changed"
exits "a missing line" 3 audit verify "$scratch/changed"
like "says which" 'line 3: entries 3 to 3 are missing before it' "$out"
sed '$d' "$log" >"$scratch/cut"
exits "a cut one looks whole" 0 audit verify "$scratch/cut"
exits "but not to the pool" 3 audit verify "$scratch/cut" --pool a
exits "nor to who noted the head" 3 audit verify "$scratch/cut" --head "$(l audit head "$log" | cut -f 2)"
for cut in 1 2 100; do # of the last line, which the pool remembers
	exits "something to cut" 0 set a greeting "$cut"
	bytes=$(($(tail -n 1 "$log" | wc -c) - cut)) line=$(wc -l <"$log")
	truncate -s -"$cut" "$log"
	exits "a line cut by $cut" 0 audit verify "$log"
	like "is told of as incomplete" ": the last line is incomplete: it was cut after $bytes bytes, " "$out"
	exits "but not to the pool" 3 audit verify "$log" --pool a
	exits "with what came then" 3 audit verify "$log"
	like "still" ": line $line \(is\|was\) incomplete: it was cut after $bytes bytes" "$out"
	is "of another torn entry nothing is said" "" "$(printf '%s' "$out" | grep -e 'is not there' -e 'was changed')"
	exits "a new file" 0 audit rotate "$log"
done
mv "$out" "$scratch/away"
printf 'half a line' >>"$log"
exits "goes on behind half a line, the file before it not being there" 0 set a greeting unseen
exits "which is all known" 0 audit verify "$log"
like "to the log" '"torn":1,' "$(l audit verify "$log" --json)"
sed 's/^half/Half/' "$log" >"$scratch/changed"
exits "and may not be changed" 3 audit verify "$scratch/changed"
like "what was" ': line 2 was changed: ' "$out"
exits "no such file" 1 audit verify "$scratch/nothing"
for what in verify show head rotate; do
	exits "a directory" 2 audit $what "$scratch"
	one_line "a directory"
	like "says that it is one" 'is a directory; give a log' "$err"
done
exits "no log" 3 audit verify "$LATZERO_DIR/a/pool"
ok "is told nothing of snapshots" test "${err#*latzero-restore}" = "$err"
exits "no such command" 2 audit tell "$log"
exits "no hash" 2 audit verify "$log" --head 123
exits "no such word" 2 create b --keep --audit "$log" --audit-keys some
exits "keys without a log" 2 create b --keep --audit-keys all
exits "create --attach with the same" 0 create a --keep --attach --audit "$log" --audit-keys writes,plain
mkdir "$scratch/logs"
exits "with another log" 1 create a --keep --attach --audit "$scratch/logs" --audit-keys writes,plain
like "says so" 'audited in another way' "$err"
exits "with other keys" 1 create a --keep --attach --audit "$log"
exits "with an age" 1 create a --keep --attach --max-age 1h
exits "a pool without" 0 create plain --keep
exits "is not audited by attaching" 1 create plain --keep --attach --audit "$log"
like "says so" 'not audited' "$err"
l destroy plain
exits "destroy" 0 destroy a
like "is in it" '	destroy	a	' "$(l audit show "$log")"
is "the file is ours alone" 600 "$(stat -c %a "$log")"

exits "create with an age" 0 create r --keep --max-age 1h
exits "a write that never expires" 0 set r k v --ttl never
ok "it does" test "$(l ttl r k | tr -dc 0-9)" -le 3600000
like "inspect says so" '^max_age_ms	3600000$' "$(l inspect r)"
exits "a shorter one" 0 limit r --max-age 30m
like "limit says so" '^max_age	1800000$' "$out"
like "inspect too" '"max_age_ms":1800000' "$(l inspect r --json)"
l set r k2 v --namespace ns
exits "of a namespace" 0 limit r --namespace ns --max-age 10m
like "says so" '^max_age	600000$' "$out"
like "and the list in JSON" '"max_age_ms":600000' "$(l namespaces r --json)"
exits "bounds leave it" 0 limit r --namespace ns --max-entries 10
like "as it was" '^max_age	600000$' "$out"
exits "none" 0 limit r --max-age none
like "is none" '^max_age	none$' "$out"
exits "no time" 2 limit r --max-age long
exits "no time at all" 2 limit r --max-age 0s
l destroy r

# ---- Of a pool with a password ----

printf 'correct horse\n' >"$scratch/right"
printf 'incorrect\n' >"$scratch/wrong"
chmod 600 "$scratch/right" "$scratch/wrong"
right=--password-file=$scratch/right
wrong=--password-file=$scratch/wrong
log=$scratch/locked.audit
exits "an encrypted one" 0 $right create e --keep --encrypt --audit "$log" --audit-keys writes
exits "a write" 0 $right set e k v
exits "verify without the password" 0 audit verify "$log"
is "authenticates nothing" "" "$(printf '%s' "$out" | grep authenticated)"
exits "verify with it" 0 $right audit verify "$log"
like "does" ': authenticated up to entry [0-9]*$' "$out"
exits "and with what the pool remembers" 0 $right audit verify "$log" --pool e
exits "with a wrong one" 3 $wrong audit verify "$log"
one_line "with a wrong one"
sed 's/"event":"set"/"event":"get"/; s/"mac":"[0-9a-f]*",//' "$log" >"$scratch/forged"
exits "a changed one" 3 $right audit verify "$scratch/forged"
first=$(grep -n '"event":"set"' "$log" | cut -d : -f 1)
sed 's/"event":"set"/"event":"get"/' "$log" >"$scratch/forged"
exits "a changed one is not authenticated where it is wrong" 3 $right audit verify "$scratch/forged"
like "and is before that" "forged: authenticated up to entry $((first - 1)), which is before what is wrong\$" "$out"
like "the error says what is wrong first, and how much more" \
	"audit: [^ ]*forged: line $first was changed: .*, and 1 more is wrong; doc/audit.md" "$err"
one_line "a changed one is not authenticated where it is wrong"
like "JSON has all that" ',"wrong":2,"sound_keyed":'$((first - 1))'}$' \
	"$(l $right audit verify "$scratch/forged" --json 2>/dev/null | tail -1)"
sed '1d;4d' "$log" >"$scratch/forged"
exits "where more is wrong" 3 $right audit verify "$scratch/forged"
like "nothing is authenticated before it" ': no entry before what is wrong is authenticated$' "$out"
exits "without the password" 3 audit verify "$scratch/forged"
is "nothing is said of that" "" "$(printf '%s' "$out" | grep authenticated)"
exits "rotate" 0 audit rotate "$log"
old=$out
exits "both files, the second just begun" 0 $right audit verify "$old" "$log"
like "says so" 'no entry of it is authenticated by itself' "$out"
exits "which alone proves nothing" 3 $right audit verify "$log"
key=$scratch/key
exits "the key, without the password" 3 audit key e --output "$key"
exits "with a wrong one" 3 $wrong audit key e --output "$key"
exits "without a place for it" 2 $right audit key e
exits "with two pools" 2 $right audit key e f --output "$key"
exits "where nothing can be made" 3 $right audit key e --output "$scratch/nowhere/key"
exits "of no pool" 1 $right audit key nowhere --output "$key"
ok "leaves none" test ! -e "$key"
if command -v script >/dev/null; then
	out=$(TERM=xterm script -qec "'$LATZERO' $right audit key e --output -" /dev/null </dev/null)
	like "nor to a terminal" 'stdout is a terminal' "$out"
	is "shows it there" 0 "$(printf '%s\n' "$out" | grep -c '[0-9a-f]\{64\}')"
fi
mkdir "$scratch/here"
mkdir "$scratch/here/e"
is "the key" 0 "$(cd "$scratch/here" && umask 0 && l $right audit key e --output "$key"; echo $?)"
is "is nobody else's" 600 "$(stat -c %a "$key")"
like "64 digits" '^[0-9a-f]\{64\}$' "$(cat "$key")"
exits "what is there is not replaced" 1 $right audit key e --output "$key"
one_line "what is there is not replaced"
is "in a pipe it is the same" "$(cat "$key")" "$(l $right audit key e --output -)"
exits "verify with it" 0 audit verify "$old" "$log" --key-file "$key"
exits "of the part that is done" 0 audit verify "$old" --key-file "$key"
like "authenticates" ': authenticated up to entry [0-9]*;' "$out"
sed 's/"event":"set"/"event":"get"/' "$old" >"$scratch/forged"
exits "not what was changed" 3 audit verify "$scratch/forged" --key-file "$key"
tr 0-9a-f 1-9a-f0 <"$key" >"$scratch/other"
exits "nor with another" 3 audit verify "$old" --key-file "$scratch/other"
like "which is told" 'was not written by who has the key' "$err"
l create open --keep
exits "of a pool without a password" 2 audit key open --output "$scratch/none"
like "says so" 'pool open has no password' "$err"
l destroy open
exits "a password more" 0 $right rekey e --new-password-file "$scratch/wrong"
exits "and a data key" 0 $wrong rekey e --data
is "change nothing of it" "$(cat "$key")" "$(l $wrong audit key e --output -)"
exits "what was written since" 0 $wrong set e k later
exits "passes" 0 audit verify "$old" "$log" --key-file "$key"
like "all of it" "$(basename "$log"): authenticated up to entry $(l audit head "$log" | cut -f 1)\$" "$out"
exits "back to the first password" 0 $wrong rekey e --new-password-file "$scratch/right"
exits "destroy" 0 destroy e
exits "the pool is gone, the log is not" 0 $right audit verify "$old" "$log"
exits "nor its key" 0 audit verify "$old" "$log" --key-file "$key"
cp "$scratch/wrong" "$scratch/new"
l $right create e --keep --encrypt --audit "$log"
exits "a new password" 0 $right rekey e --new-password-file "$scratch/new"
exits "verifies" 0 --password-file "$scratch/new" audit verify "$log"
exits "as the old one does" 0 $right audit verify "$log"
like "in JSON" '"last_keyed":[0-9]*,"other_keys":0' "$(l $right audit verify "$log" --json)"
exits "rotate it" 0 audit rotate "$log"
old=$out
exits "a newer password" 0 --password-file "$scratch/new" rekey e --new-password-file "$scratch/right"
cp "$scratch/right" "$scratch/third"
printf 'the third\n' >"$scratch/third"
exits "and another" 0 $right rekey e --new-password-file "$scratch/third"
exits "the old file alone" 3 --password-file "$scratch/third" audit verify "$old"
like "says what it takes" 'all files from this one on' "$err"
exits "with the one after it" 0 --password-file "$scratch/third" audit verify "$old" "$log"
l list >/dev/null
lines=$(wc -l <"$log")
l top --once >/dev/null 2>&1
is "top leaves nothing in the log" "$lines" "$(wc -l <"$log")"
l destroy e
l create plain --keep --audit "$scratch/plain.audit"
exits "a log of a pool without a password, with one" 3 $right audit verify "$scratch/plain.audit"
like "is told to leave it out" 'leave --password-file and $LATZERO_PASSWORD_FILE out' "$err"
one_line "a log of a pool without a password, with one"
l set plain k v
"$LATZERO-snapshot" plain "$scratch/plain.lzs" >/dev/null
l destroy plain

# ---- latzero-restore makes audited pools, too ----

"$LATZERO-restore" "$scratch/plain.lzs" back --keep --audit "$scratch/back.audit" --audit-keys reads,plain --audit-lax \
	>"$scratch/out"
is "latzero-restore with a log" 0 $?
is "get" v "$(l get back k)"
like "is in it" '"event":"get".*"key":"k"' "$(cat "$scratch/back.audit")"
exits "it is what was asked for" 0 create back --keep --attach --audit "$scratch/back.audit" --audit-keys reads,plain \
	--audit-lax
is "no such word" 2 "$("$LATZERO-restore" "$scratch/plain.lzs" no --keep --audit "$log" --audit-keys some 2>/dev/null
	echo $?)"
is "keys without a log" 2 "$("$LATZERO-restore" "$scratch/plain.lzs" no --keep --audit-keys all 2>/dev/null; echo $?)"
l destroy back

# ---- Its directory gone ----

mkdir "$scratch/logs/there"
l create lost --keep --audit "$scratch/logs/there/lost.audit"
l set lost k v
mv "$scratch/logs/there" "$scratch/logs/elsewhere"
for what in "get lost k" "set lost k v" "inspect lost" "destroy lost"; do
	exits "without the log's directory: $what" 3 $what
	like "the log is named" 'audit log /.*/there/lost.audit: .*; what can.t be written down is not done' "$err"
	one_line "without the log's directory: $what"
done
mkdir "$scratch/logs/there"
exits "as the hint says" 0 get lost k
like "the log goes on" '^{"seq":[1-9][0-9]*,.*"prev":"[0-9a-f]*[1-9a-f]' "$(head -1 "$scratch/logs/there/lost.audit")"
exits "and it can be destroyed" 0 destroy lost

done_testing
