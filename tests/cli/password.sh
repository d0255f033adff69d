#!/bin/sh
# Passwords: where the tools take them from, and that nobody sees them on the way; encrypted pools under every command.
. "${top_srcdir:-.}/tests/cli/cli.inc"
unset LATZERO_PASSWORD_FILE

secret=correct-horse-battery
printf '%s\n' "$secret" >"$scratch/right"
printf 'incorrect\n' >"$scratch/wrong"
chmod 600 "$scratch/right" "$scratch/wrong"
right=--password-file=$scratch/right
wrong=--password-file=$scratch/wrong

# ---- Where it comes from ----

exits "--encrypt without a password" 2 create e --keep --encrypt
one_line "--encrypt without a password"
for mode in 640 604 620 666; do
	cp "$scratch/right" "$scratch/mode"
	chmod $mode "$scratch/mode"
	exits "a file of mode $mode" 3 --password-file "$scratch/mode" create e --keep --encrypt
	like "mode $mode is named" "mode 0$mode" "$err"
done
one_line "a file that others can read"
ln -s right "$scratch/link"
exits "a symbolic link" 3 --password-file "$scratch/link" create e --keep --encrypt
like "is named" 'symbolic link' "$err"
exits "a directory" 3 --password-file "$scratch" create e --keep --encrypt
mkfifo -m 600 "$scratch/pipe"
exits "a pipe by name" 3 --password-file "$scratch/pipe" create e --keep --encrypt
like "which fd:N would take" 'fd:N' "$err"
: >"$scratch/empty"
chmod 600 "$scratch/empty"
exits "an empty file" 2 --password-file "$scratch/empty" create e --keep --encrypt
like "is told, and which" "LATZ_INVALID: .*file:$scratch/empty: the password is empty" "$err"
printf 'a\0b' >"$scratch/nul"
head -c 1025 /dev/zero | tr '\0' a >"$scratch/long"
head -c 1024 "$scratch/long" >"$scratch/longest"
chmod 600 "$scratch/nul" "$scratch/long" "$scratch/longest"
exits "a NUL in it" 2 --password-file "$scratch/nul" create e --keep --encrypt
exits "1025 bytes" 2 --password-file "$scratch/long" create e --keep --encrypt
exits "a descriptor that is not open" 2 --password-fd 77 create e --keep --encrypt
one_line "a descriptor that is not open"
like "it is named" 'fd:77, which is no open descriptor' "$err"
like "with what it takes" 'an open descriptor, like 3 with 3<FILE' "$err"
exits "a number that is more like a password" 2 --password-fd 4711471 create e --keep --encrypt
ok "is not told" test "${err#*4711471}" = "$err"
exits "a descriptor that can only be written" 2 --password-fd 3 create e --keep --encrypt 3>"$scratch/written"
like "it is named" 'fd:3, which is open for writing alone' "$err"
exits "one that can't be read" 3 --password-fd 3 create e --keep --encrypt 3<"$scratch"
like "is named" 'a password from fd:3: Is a directory' "$err"
exits "one that is at its end" 2 --password-fd 3 create e --keep --encrypt 3</dev/null
like "too" 'fd:3: the password is empty' "$err"
exits "a descriptor that is none" 2 --password-fd "$secret" create e --keep --encrypt
ok "what was given there is not told" test "${err#*"$secret"}" = "$err"
exits "both" 2 --password-fd 0 "$right" create e --keep --encrypt
is "none of them left a pool" "" "$(l list)"
exits "1024 bytes" 0 --password-file "$scratch/longest" create longest --keep --encrypt
exits "are all of it" 3 --password-file "$scratch/right" keys longest
exits "and open it" 0 --password-file "$scratch/longest" keys longest
l destroy longest

exits "an encrypted pool" 0 create e --keep --encrypt "$right"
exits "before the command" 0 "$right" set e key value
is "behind it" value "$(l get e key "$right")"
is "from the environment, which has but the path" value "$(LATZERO_PASSWORD_FILE=$scratch/right l get e key)"
is "the option goes before it" value "$(LATZERO_PASSWORD_FILE=$scratch/wrong l get e key "$right")"
is "from a descriptor" value "$(l get e key --password-fd 3 3<"$scratch/right")"
is "up to a newline" value "$(printf '%s\nmore\n' "$secret" | l get e key --password-fd 0)"
is "the line alone: the rest is the value" "more" \
	"$(printf '%s\nmore' "$secret" | l set e piped - --password-fd 0 && l get e piped "$right")"
is "a descriptor goes before the environment" value \
	"$(LATZERO_PASSWORD_FILE=$scratch/wrong l get e key --password-fd 3 3<"$scratch/right")"

# ---- Without it, or with another ----

exits "no password" 3 get e key
one_line "no password"
like "is LATZ_AUTH" LATZ_AUTH "$err"
like "with what to do" 'give it with --password-file' "$err"
exits "inspect without one" 0 inspect e
like "tells that it is encrypted" '^locked	encrypted$' "$out"
like "a missing password is no wrong one" '^wrong_passwords	0$' "$out"
exits "but not of a key" 3 inspect e key
exits "a wrong password" 3 get e key "$wrong"
one_line "a wrong password"
like "is LATZ_AUTH, too" LATZ_AUTH "$err"
LATZERO_LOG=warning exits "another, with the library's log" 3 get e key "$wrong"
is "which has a line more" 2 "$(printf '%s\n' "$err" | wc -l)"
exits "another, of one who only looks" 3 top e --once "$wrong"
one_line "another, of one who only looks"
exits "inspect counts them" 0 inspect e
like "in a row" '^wrong_in_row	3$' "$out"
like "in all" '^wrong_passwords	3$' "$out"
like "and when the last was" '^wrong_wall_ms	[0-9][0-9]*$' "$out"
exits "inspect --json" 0 inspect e --json
like "the same" '"password":true,"encrypted":true,"data_keys":1,"wrong_in_row":3,"wrong_passwords":3,"wrong_wall_ms":[0-9]' "$out"
exits "inspect with the right one" 0 inspect e "$right"
like "ends the row" '^wrong_in_row	0$' "$out"
like "and keeps the sum" '^wrong_passwords	3$' "$out"
like "list has a flag" '	keep,encrypted	ok$' "$(l list)"
like "and in JSON" '"password":true,"encrypted":true,"wrong_passwords":3' "$(l list --json)"
like "stats has it" '^wrong_passwords	3$' "$(l stats e "$right")"
like "and in JSON" '"wrong_passwords":3,' "$(l stats e --json "$right")"
like "and for Prometheus" '^latzero_wrong_passwords_total{pool="e"} 3$' "$(l stats e --prometheus "$right")"

exits "a pool with a password alone" 0 create p --keep "$right"
like "has another flag" '^p	.*	keep,password	ok$' "$(l list)"
exits "and asks for it" 3 get p key
exits "it is not encrypted" 3 create p --attach --keep --encrypt "$right"
like "and says so" 'pool p: is there already and is not encrypted, which attaching does not change; leave --encrypt out' "$err"
one_line "it is not encrypted"
ok "the password is not what is wrong" test "${err#*password}" = "$err"
l destroy p
exits "a pool without one" 0 create plain --keep
exits "is not encrypted by attaching, either" 3 create plain --attach --keep --encrypt "$right"
like "and says so" 'is not encrypted, .*; leave --encrypt and the password out' "$err"
exits "is not what a password is for" 3 get plain key "$right"
like "which the hint tells" 'leave --password-file' "$err"
l destroy plain

# ---- Every command ----

l dump e "$right" >"$scratch/dump"
ok "dump writes plain text" grep -q '"key":"key",.*"value":"value"' "$scratch/dump"
exits "load" 0 load e "$scratch/dump" "$right"
is "keys, in order" "key piped" "$(echo $(l keys e "$right"))"
is "keys with a prefix" "piped" "$(l keys e pi "$right")"
exits "scan" 0 scan e "$right"
like "gives values" 'value' "$out"
is "incr" 5 "$(l incr e n 5 "$right")"
exits "append" 0 append e key s "$right"
is "appends" values "$(l get e key "$right")"
exits "ttl" 0 ttl e key "$right"
exits "exists" 0 exists e key "$right"
exits "del" 0 del e n "$right"
exits "verify" 0 verify e "$right"
exits "stats" 0 stats e "$right"
exits "namespaces" 0 namespaces e "$right"
exits "a namespace" 0 set e k v --namespace ns "$right"
is "has its keys" v "$(l get e k --namespace ns "$right")"
exits "limit" 0 limit e "$right"
exits "top" 0 top e --once --interval 10ms "$right"
like "shows it" '^e	' "$out"
exits "top without a name" 0 top --once --interval 10ms "$wrong"
like "lists it as locked" '^e	locked	-	-' "$out"
exits "top without a name, as JSON" 0 top --once --interval 10ms --json "$wrong"
is "likewise" '{"pool":"e","locked":true}' "$(printf '%s\n' "$out" | grep '"e"')"
is "tries no password on it" 0 "$(l inspect e | sed -n 's/^wrong_in_row	//p')"
exits "bench" 0 bench e --duration 50ms --keys 50 --processes 2 "$right"
exits "bench, its password from a descriptor that its processes would share" 0 bench e --duration 50ms --keys 50 \
	--processes 2 --password-fd 3 3<"$scratch/right"

# ---- Snapshots ----

"$LATZERO-snapshot" e "$scratch/e.lzs" "$right" >"$scratch/out"
is "latzero-snapshot" 0 $?
ok "has neither key nor value in it" sh -c '! grep -q -e piped -e values "$1"' sh "$scratch/e.lzs"
"$LATZERO-snapshot" --verify "$scratch/e.lzs" "$right" >"$scratch/out"
is "--verify with the password" 0 $?
(printf 'before!' && cat "$scratch/e.lzs") >"$scratch/behind"
like "opens everything" '^ok: snapshot with [0-9]* keys\{0,1\}, everything checked and opened$' "$(cat "$scratch/out")"
is "--verify without" 0 "$("$LATZERO-snapshot" --verify "$scratch/e.lzs" >"$scratch/out"; echo $?)"
like "says what it did not" 'checked but what is encrypted' "$(cat "$scratch/out")"
is "--verify with a wrong one" 3 "$("$LATZERO-snapshot" --verify "$scratch/e.lzs" "$wrong" >/dev/null 2>&1; echo $?)"
is "--verify of a file that is not there, with a password" 1 \
	"$("$LATZERO-snapshot" --verify "$scratch/nowhere" "$right" 2>"$scratch/err"; echo $?)"
like "is told as ever" "no file $scratch/nowhere); check the path\$" "$(cat "$scratch/err")"
is "--verify of stdin, which is a file" 0 \
	"$("$LATZERO-snapshot" --verify - "$right" <"$scratch/e.lzs" >"$scratch/out"; echo $?)"
like "opens everything, too" 'everything checked and opened$' "$(cat "$scratch/out")"
is "from where it begins there" 0 \
	"$( (dd bs=1 count=7 >/dev/null 2>&1; "$LATZERO-snapshot" --verify - "$right") <"$scratch/behind" >/dev/null; echo $?)"
is "of a pipe: 3" 3 "$(cat "$scratch/e.lzs" | "$LATZERO-snapshot" --verify - "$right" 2>"$scratch/err"; echo $?)"
like "says why" 'read twice, so it has to be a file, and no pipe' "$(cat "$scratch/err")"
is "without the password a pipe will do" 0 \
	"$(cat "$scratch/e.lzs" | "$LATZERO-snapshot" --verify - >/dev/null; echo $?)"
like "--info tells" '^encrypted	yes$' "$("$LATZERO-snapshot" --info "$scratch/e.lzs")"
"$LATZERO-snapshot" e "$scratch/e.lzi" --image "$right" >"$scratch/out"
like "of an image too" '^encrypted	yes$' "$("$LATZERO-snapshot" --info "$scratch/e.lzi")"
like "which is opened with the password" '^ok: image with [0-9]* keys\{0,1\}, everything checked and opened$' \
	"$("$LATZERO-snapshot" --verify "$scratch/e.lzi" "$right")"
like "and without says what it did not" 'checked but what is encrypted, which takes the password' \
	"$("$LATZERO-snapshot" --verify "$scratch/e.lzi")"
is "--verify of an image with a wrong one" 3 \
	"$("$LATZERO-snapshot" --verify "$scratch/e.lzi" "$wrong" >/dev/null 2>&1; echo $?)"
"$LATZERO-restore" "$scratch/e.lzs" again --keep 2>"$scratch/err"
is "latzero-restore without the password" 3 $?
like "tells what to do" 'e.lzs needs a password); give it with --password-file' "$(cat "$scratch/err")"
"$LATZERO-restore" "$scratch/e.lzs" again --keep "$wrong" 2>"$scratch/err"
is "with another" 3 $?
like "names the file whose it is not" '^latzero-restore: restoring: file .*e.lzs: LATZ_AUTH: .*e.lzs: wrong password); give' \
	"$(cat "$scratch/err")"
is "in one line" 1 "$(wc -l <"$scratch/err")"
l create plain --keep
l set plain k v
for kind in '' --image; do
	"$LATZERO-snapshot" plain "$scratch/plain.lzs$kind" $kind >"$scratch/out"
	"$LATZERO-restore" "$scratch/plain.lzs$kind" again --keep "$right" 2>"$scratch/err"
	is "of one that has none, with a password" 3 $?
	like "is told to leave it out" 'has no password.*leave --password-file and $LATZERO_PASSWORD_FILE out' \
		"$(cat "$scratch/err")"
done
l del plain k
for kind in '' --image; do
	"$LATZERO-snapshot" plain "$scratch/none.lzs$kind" $kind >"$scratch/out"
	"$LATZERO-restore" "$scratch/none.lzs$kind" again --keep "$right" >"$scratch/out" 2>&1
	is "of one without a key $kind" "0 3" "$? $(l set again k v 2>/dev/null; echo $?)"
	l destroy again
done
l destroy plain
is "there is no pool then" "e" "$(l list | cut -f 1)"
"$LATZERO-restore" "$scratch/e.lzs" again --keep --password-fd 3 3<"$scratch/right" >"$scratch/out"
is "with the right one, which a descriptor gives once" 0 $?
is "it has the keys" values "$(l get again key "$right")"
l destroy again

# ---- Dictionaries are pieces of values ----

# Values that are alike; the dictionary made of them, in a pool that is created with these options.
awk 'BEGIN { srand(5); for (i = 0; i < 2000; i++)
	printf "k%d\t{\"MARKER-name\":\"user%d\",\"mail\":\"user%d@MARKER.example\",\"n\":%d}\n", i, i, i, rand() * 1e6 }' >"$scratch/alike"
# train POOL OPTION...: what of the marker is in the pool's dictionary file and its copy beside the log.
train() {
	name=$1
	shift
	l create "$name" --keep --compress-min 16 --persist "$scratch/persist" "$@" >/dev/null
	l load "$name" "$scratch/alike" --format tsv $password >/dev/null
	l train "$name" $password | cut -d , -f 1
	l load "$name" "$scratch/alike" --format tsv $password >/dev/null
	cat "$LATZERO_DIR/$name/dict" "$scratch/persist/$name"/dict-*.lzd | grep -c MARKER
}
password=
is "in a plain pool they are there" "dictionary 1" "$(train plain | head -n 1)"
ok "to be read" grep -q MARKER "$LATZERO_DIR/plain/dict"
password=$right
is "in an encrypted one they are not" "dictionary 1
0" "$(train locked --encrypt $right)"
before=$(l get locked k7 $right)
l destroy plain locked
l create locked --keep --persist "$scratch/persist" "$right" >/dev/null
is "with the log they come back" "$before" "$(l get locked k7 "$right")"
like "whole" MARKER "$before"
exits "verify opens all of it" 0 verify locked "$right"
l destroy locked

# ---- What others see of it ----

# of_process PID FILE: what /proc has, as lines.
of_process() {
	tr '\0' '\n' <"/proc/$1/$2"
}
mkfifo "$scratch/in"
LATZERO_PASSWORD_FILE=$scratch/right "$LATZERO" create held --encrypt <>"$scratch/in" >"$scratch/held" 2>&1 &
holder=$!
helpers="$helpers $holder"
until_true 20 test -s "$scratch/held"
for file in cmdline environ; do
	ok "no password in $file" sh -c '! grep -q "$1" "/proc/$2/$3"' sh "$secret" "$holder" $file
done
ok "the path is there: what was looked at is what is meant" grep -q "$scratch/right" "/proc/$holder/environ"
kill "$holder"
wait "$holder"
out=$(l lock e job --password-fd 3 -- sh -c 'ls -l /proc/$$/fd; tr "\0" "\n" </proc/$$/environ' 3<"$scratch/right")
is "lock runs its command" 0 $?
ok "which has not got the descriptor" test "${out#*scratch/right}" = "$out" -a "${out#*"$scratch"/right}" = "$out"
ok "nor the password" test "${out#*"$secret"}" = "$out"
like "but an environment" '^LATZERO_TOKEN=' "$out"

# ---- Other keys ----

printf 'another-secret' >"$scratch/new"
chmod 600 "$scratch/new"
ok "a pool to change" l create turned --keep --encrypt "$right"
ok "with a value" l set turned k v "$right"
exits "rekey without a wish" 2 rekey turned "$right"
exits "with a descriptor that is none" 2 rekey turned "$right" --new-password-fd "$secret"
ok "what was given there is not told" test "${err#*"$secret"}" = "$err"
exits "with a closed descriptor" 2 rekey turned "$right" --new-password-fd 77
like "it is named" 'reading the new password: .*fd:77' "$err"
exits "with a file that is not there" 3 rekey turned "$right" --new-password-file "$scratch/nowhere"
exits "of no pool" 1 rekey nowhere --data
l create unlocked --keep
exits "of a pool without a password" 2 rekey unlocked --data
like "says so" 'has no password); only a pool that was created with a password has keys' "$err"
exits "likewise" 2 rekey unlocked --new-password-file "$scratch/new"
l destroy unlocked
l create asked --keep "$right"
exits "a data key of one that is not encrypted" 2 rekey asked --data "$right"
l destroy asked
exits "with a wrong password" 3 rekey turned "$wrong" --new-password-file "$scratch/new"
exits "a new password" 0 rekey turned "$right" --new-password-file "$scratch/new"
exits "the old one is over" 3 get turned k "$right"
is "the new one opens it" v "$(l get turned k --password-file "$scratch/new")"
exits "a new data key" 0 rekey turned --password-file "$scratch/new" --data
is "everything is there" v "$(l get turned k --password-file "$scratch/new")"
like "inspect counts it" '^data_keys	2$' "$(l inspect turned)"
l destroy turned

# ---- How many keys ----

l create five --keep --encrypt --max-age 30d --persist "$scratch/five" "$right"
for key in a b c; do l set five $key v "$right"; done
for key in x y; do l set five $key v --namespace ns "$right"; done
l set five z v --namespace gone "$right"
l namespaces five --drop gone "$right"
five() {
	is "$1: list" 5 "$(l list | sed -n 's/^five	[0-9]*	\([0-9]*\)	.*/\1/p')"
	is "$1: inspect without the password" 5 "$(l inspect five | sed -n 's/^keys	//p')"
	is "$1: inspect" 5 "$(l inspect five "$right" | sed -n 's/^keys	//p')"
	is "$1: stats" 5 "$(l stats five "$right" | sed -n 's/^keys	//p')"
	is "$1: limit" 5 "$(l limit five "$right" | sed -n 's/^keys	//p')"
	is "$1: top" 5 "$(l top five --once --interval 10ms "$right" | cut -f 3)"
	is "$1: verify" "ok: 5 keys, everything checked" "$(l verify five "$right")"
	is "$1: keys, of the pool itself" 3 "$(l keys five "$right" | wc -l)"
	is "$1: dump" 3 "$(l dump five "$right" | wc -l)"
	is "$1: namespaces" 2 "$(l namespaces five "$right" | cut -f 2)"
}
five "three keys, and two of a namespace"
for kind in '' --image; do
	like "as many in a snapshot" '^five: 5 keys, ' "$("$LATZERO-snapshot" five "$scratch/five.lzs$kind" $kind "$right")"
	like "as its footer has" '^keys	5$' "$("$LATZERO-snapshot" --info "$scratch/five.lzs$kind")"
done
like "verified" 'with 5 keys' "$("$LATZERO-snapshot" --verify "$scratch/five.lzs" "$right")"
l destroy five
like "brought back" ', 5 keys restored$' "$(l create five --keep --persist "$scratch/five" "$right")"
five "from its log"
l destroy five
for kind in '' --image; do
	like "restored" '^restored five: 5 keys, ' "$("$LATZERO-restore" "$scratch/five.lzs$kind" five --keep "$right")"
	five "from a snapshot $kind"
	l destroy five
done

# ---- Damage ----

l create damaged --keep --encrypt "$right"
for n in 1 2 3 4 5 6 7 8 9; do l set damaged k$n v "$right"; done
yes no | head -c 4096 | dd of="$LATZERO_DIR/damaged/heap" bs=1 seek=64 conv=notrunc 2>/dev/null
exits "verify of a pool that can't be opened" 3 verify damaged "$right"
like "says what is left to do" 'latzero-restore FILE POOL --replace' "$err"
one_line "verify of a pool that can't be opened"
exits "which works" 0 destroy damaged

# ---- Who was refused was never connected ----

: >"$scratch/events"
"$LATZERO" watch e --kinds connect,disconnect "$right" >"$scratch/events" 2>&1 &
watcher=$!
helpers="$helpers $watcher"
watched() {
	l get e key "$right" >/dev/null
	test "$(grep -c '	disconnect	' "$scratch/events")" -ge 1
}
until_true 20 watched
before=$(wc -l <"$scratch/events")
l get e key "$wrong" 2>/dev/null
l get e key "$right" >/dev/null
more() {
	test "$(wc -l <"$scratch/events")" -ge $((before + 2))
}
until_true 20 more
is "he who was let in, and no other" "connect disconnect" \
	"$(tail -n +$((before + 1)) "$scratch/events" | cut -f 2 | tr '\n' ' ' | sed 's/ $//')"
kill "$watcher"
wait "$watcher"

exits "destroy needs no password" 0 destroy e
# ---- A pool has 16 data keys ----

l "$right" create used --keep --encrypt >/dev/null
l "$right" set used k v
for n in 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
	l "$right" rekey used --data >/dev/null 2>&1
done
exits "the last data key" 0 rekey used --data "$right"
is "inspect counts them" '"data_keys":16,' "$(l inspect used --json | grep -o '"data_keys":[0-9]*,')"
exits "one more" 3 rekey used --data "$right"
like "says what to do" 'load its keys into a new pool' "$err"
one_line "one more"
l "$right" create fresh --keep --encrypt >/dev/null
l "$right" dump used >"$scratch/dumped"
exits "which goes so" 0 load fresh "$scratch/dumped" "$right"
is "all is there" v "$(l get fresh k "$right")"
exits "and it has keys again" 0 rekey fresh --data "$right"
l destroy used
l destroy fresh

# ---- Many that try at once ----

l "$right" create tried --keep --encrypt >/dev/null
tries=
for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14; do
	"$LATZERO" get tried key "$wrong" >/dev/null 2>"$scratch/try.$n" &
	tries="$tries $!"
done
for pid in $tries; do
	wait "$pid"
done
grep -h LATZ_TIMEOUT "$scratch"/try.* >"$scratch/late"
ok "some did not get their turn" test -s "$scratch/late"
is "and are told so" "$(grep -c '' "$scratch/late")" "$(grep -c 'wait until they are done' "$scratch/late")"
is "not that somebody is stopped" 0 "$(grep -c 'kill -CONT' "$scratch/late")"
l destroy tried

# ---- One that looks again and again opens once ----

l "$right" create seen --keep --encrypt --audit "$scratch/seen.audit" >/dev/null
l "$right" set seen k v
opens() { grep -c '"event":"open"' "$scratch/seen.audit"; }
before=$(opens)
exits "top of a locked pool" 0 top seen --count 5 --interval 10ms "$right"
is "five samples" 5 "$(printf '%s\n' "$out" | wc -l)"
is "cost one opening" $((before + 1)) "$(opens)"
like "with figures" '^seen	[0-9]*	1	' "$out"
l destroy seen

done_testing
