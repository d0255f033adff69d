#!/bin/sh
# Saving what is left of a damaged pool: dump goes on, and what is advised is what helps.
. "${top_srcdir:-.}/tests/cli/cli.inc"
unset LATZERO_PASSWORD_FILE

tool=$LATZERO
as() {
	LATZERO=$tool-$1
	shift
	"$@"
	LATZERO=$tool
}
printf 'correct-horse\n' >"$scratch/right"
printf 'incorrect\n' >"$scratch/wrong"
chmod 600 "$scratch/right" "$scratch/wrong"
awk 'BEGIN { for (i = 0; i < 20000; i++) printf "key%05d\tvalue of %05d, %050d\n", i, i, i }' >"$scratch/input"

# hurt FILE OFFSET: two bytes that were not there.
hurt() {
	printf '\001\002' | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}

# saving KIND CREATE-OPTION...
saving() {
	kind=$1
	shift
	l create p --keep "$@" >/dev/null
	l load p "$scratch/input" --format tsv >/dev/null
	is "$kind: all keys" 20000 "$(l keys p | grep -c .)"
	hurt "$LATZERO_DIR/p/heap" 1000000
	l dump p --format tsv >"$scratch/out" 2>"$scratch/err"
	is "$kind: dump of a damaged pool" 3 $?
	is "$kind: all is there but one" 19999 "$(grep -c . "$scratch/out")"
	is "$kind: as it was" "" "$(sort "$scratch/out" | comm -23 - "$scratch/input")"
	lost=$(sort "$scratch/out" | comm -13 - "$scratch/input" | cut -f 1 | head -n 3)
	like "$kind: what is lost is named" "pool p, key $lost: LATZ_CORRUPT" "$(cat "$scratch/err")"
	like "$kind: and counted" 'pool p is damaged in 1 place, 19999 keys are here; .*latzero load' "$(tail -n 1 "$scratch/err")"
	is "$kind: in two lines" 2 "$(grep -c '^latzero dump: ' "$scratch/err")"
	exits "$kind: verify" 3 verify p
	like "$kind: says what to do" 'save what can be read with latzero dump' "$err"
	as snapshot exits "$kind: a snapshot of it" 3 p "$scratch/none"
	like "$kind: does not speak of a file to be salvaged" 'save what can be read with latzero dump' "$err"
	ok "$kind: and leaves none" test ! -e "$scratch/none"
	at=300000 # in an encrypted pool the first record is that of its keys
	while [ $at -lt 2500000 ]; do
		hurt "$LATZERO_DIR/p/heap" $at
		at=$((at + 262144))
	done
	l dump p --format tsv >"$scratch/out" 2>"$scratch/err"
	is "$kind: dump of one that is damaged all over" 3 $?
	is "$kind: as it was" "" "$(sort "$scratch/out" | comm -23 - "$scratch/input")"
	ok "$kind: nearly all is there" test "$(grep -c . "$scratch/out")" -gt 19900
	ok "$kind: a few lines tell" test "$(grep -c . "$scratch/err")" -le 7
	l destroy p
}
saving plain
LATZERO_PASSWORD_FILE=$scratch/right
export LATZERO_PASSWORD_FILE
saving encrypted --encrypt

# A snapshot of an encrypted pool without its end, where the record of keys stands: the copy in front opens the rest.
l create p --keep --encrypt >/dev/null
l load p "$scratch/input" --format tsv >/dev/null
as snapshot exits "a snapshot" 0 p "$scratch/snapshot"
head -c $(($(wc -c <"$scratch/snapshot") * 9 / 10)) "$scratch/snapshot" >"$scratch/cut"
as restore exits "--salvage of the first nine tenths" 1 "$scratch/cut" q --keep --salvage
like "tells what is lost, without what the keys are sealed as" '^lost: cut: bytes .* keys encrypted: ' "$out"
here=$(l keys q | grep -c .)
ok "most of it opens: $here" test "$here" -gt 15000 -a "$here" -lt 20000
like "and is counted without the pool's own records" "^restored q: $here keys" "$out"
is "as it was" "" "$(l dump q --format tsv | sort | comm -23 - "$scratch/input" | head -n 3)"
exits "nobody opens it with another password" 3 --password-file "$scratch/wrong" keys q
l destroy q
hurt "$scratch/snapshot" $(($(wc -c <"$scratch/snapshot") / 2))
as restore exits "--salvage of one damaged within" 1 "$scratch/snapshot" q --keep --salvage
like "counts the user's keys" 'the footer counts 20000 keys, ' "$out"
l destroy q
l destroy p

# An image of an encrypted pool: what is whole in the pool made of it, and no advice that does not help.
l create p --keep --encrypt >/dev/null
l load p "$scratch/input" --format tsv >/dev/null
as snapshot exits "an image" 0 p "$scratch/image" --image
l destroy p
# In two places: in an image there is one stretch of some percent, here or there, that holds nothing.
for part in 6 7; do
	hurt "$scratch/image" $(($(wc -c <"$scratch/image") * part / 10))
done
as snapshot exits "--verify of a damaged image" 3 --verify "$scratch/image"
like "says what there is to do" 'an image is not salvaged: .*latzero dump' "$err"
is "and nothing else" "" "$(printf '%s' "$err" | grep -e --salvage)"
as restore exits "it can be restored" 0 "$scratch/image" q --keep
for command in keys dump; do
	l $command q >"$scratch/out" 2>"$scratch/err"
	is "$command of that pool" 3 $?
	here=$(grep -c . "$scratch/out")
	ok "$command: most is there: $here" test "$here" -gt 10000 -a "$here" -lt 20000
	like "$command: what is not is named" 'pool q, key key[0-9]*: LATZ_CORRUPT' "$(cat "$scratch/err")"
	like "$command: and counted" "pool q is damaged in $((20000 - here)) places, $here keys are here" "$(tail -n 1 "$scratch/err")"
done
l destroy q
cp "$scratch/image" "$scratch/image2"
hurt "$scratch/image2" 5000
as restore exits "one that can't be restored" 3 "$scratch/image2" q --keep
like "is not salvaged either" 'an image is not salvaged' "$err"
unset LATZERO_PASSWORD_FILE

# A durable pool is on the disk, too.
mkdir -m 700 "$scratch/disk"
l create d --keep --persist "$scratch/disk" >/dev/null
l load d "$scratch/input" --format tsv >/dev/null
is "all keys" 20000 "$(l keys d | grep -c .)"
hurt "$LATZERO_DIR/d/heap" 1000000
exits "verify of a damaged durable pool" 3 verify d
like "says that it comes back from there" 'latzero destroy and latzero create with --persist' "$err"
exits "dump of it" 3 dump d
like "says so, too" 'latzero destroy and latzero create with --persist' "$err"
as snapshot exits "a snapshot of it" 3 d "$scratch/none"
like "says so, too" 'latzero destroy and latzero create with --persist' "$err"
exits "destroy" 0 destroy d
exits "create --persist" 0 create d --keep --persist "$scratch/disk"
exits "verify" 0 verify d
is "all keys are back" "" "$(l dump d --format tsv | sort | comm -3 - "$scratch/input" | head -n 3)"


done_testing
