#!/bin/sh
# latzero-snapshot and latzero-restore: round trips, damage, what they refuse.
. "${top_srcdir:-.}/tests/cli/cli.inc"

# as PROGRAM COMMAND...: COMMAND with the tool latzero-PROGRAM in place of latzero.
tool=$LATZERO
as() {
	LATZERO=$tool-$1
	shift
	"$@"
	LATZERO=$tool
}
snapshot() {
	"$tool-snapshot" "$@"
}
restore() {
	"$tool-restore" "$@"
}

for program in snapshot restore; do
	as $program exits "latzero-$program --help" 0 --help
	like "shows the usage" "^Usage: latzero-$program " "$out"
	like "has an example" "  latzero-$program .*/backup" "$out"
	is "no line ends with a blank" 0 "$(printf '%s\n' "$out" | grep -c ' $')"
	as $program exits "latzero-$program --version" 0 --version
	like "is a version" "^latzero-$program [0-9.]*$" "$out"
	as $program exits "latzero-$program without arguments" 2
	as $program one_line "latzero-$program without arguments"
	as $program exits "latzero-$program with an unknown option" 2 a b --frobnicate
done
is "errors name the program" "latzero-restore" "$(printf '%s' "$err" | cut -d : -f 1)"

# Values of all kinds, keys of any bytes, and enough of them for several blocks.
l create p --keep >/dev/null
awk 'BEGIN { srand(11); for (i = 0; i < 20000; i++) { v = ""; for (j = 0; j < 10; j++) v = v sprintf("%07d", rand() * 1e7)
	printf "key%05d\t%s\n", i, v } }' >"$scratch/input"
l load p "$scratch/input" --format tsv >/dev/null
l set p '\x00\xff\n' 'a\x00b' --escaped
l set p int 42 --type int
l set p empty ''
l set p mortal v --ttl 1h
head -c 300000 /dev/urandom | l set p large
dumped() {
	l dump "$1" | sed 's/"ttl_ms":[0-9]*/"ttl_ms":T/' | cksum
}
whole=$(dumped p)
file=$scratch/p.lzs

as snapshot exits "a snapshot" 0 p "$file"
like "tells what it wrote" "^p: 20005 keys, [0-9]* bytes in $file, " "$out"
as snapshot exits "--verify" 0 --verify "$file"
is "finds it whole" "ok: snapshot with 20005 keys, everything checked" "$out"
as snapshot exits "--info" 0 --info "$file"
like "tells the keys" '^keys	20005$' "$out"
like "and the size" "^file_bytes	$(wc -c <"$file" | tr -d ' ')\$" "$out"
as snapshot exits "--info --json" 0 --info "$file" --json
like "is an object" '^{"file":".*","kind":"snapshot",.*"keys":20005,.*}$' "$out"
as snapshot exits "--verify --json" 0 --verify "$file" --json
like "says ok" '^{"ok":true,' "$out"
as snapshot exits "a snapshot over a snapshot" 0 p "$file" --level 6 --threads 2 --json
like "tells in JSON" '^{"pool":"p",.*"keys":20005,.*"seconds":' "$out"
ok "leaves no temporary file" test ! -e "$file.tmp"

as restore exits "restore --keep" 0 "$file" q --keep
like "tells what it did" '^restored q: 20005 keys, kept, ' "$out"
is "everything is as it was" "$whole" "$(dumped q)"
like "deadlines go on" '^359[0-9]*ms$' "$(l ttl q mortal)"
exits "the pool is sound" 0 verify q
as restore exits "restore of a pool that is there" 1 "$file" q --keep
like "says how" '--replace' "$err"
l set q another v
as restore exits "restore --replace" 0 "$file" q --keep --replace --json
like "tells in JSON" '^{"pool":"q","keys":20005,"keep":true,"durable":false,"losses":0,' "$out"
is "nothing is left of what was there" "$whole" "$(dumped q)"
l destroy q

snapshot p - --level -5 | restore - q --keep >"$scratch/out"
is "through a pipe" 0 $?
is "everything is as it was" "$whole" "$(dumped q)"
snapshot p - >"$scratch/streamed"
restore - r --keep <"$scratch/streamed" >/dev/null
is "through a stream in a file" "$whole" "$(dumped r)"
as snapshot exits "which is a snapshot like others" 0 --verify "$scratch/streamed"
ok "--verify - reads stdin" eval 'snapshot --verify - <"$scratch/streamed" | grep -q "^ok: "'
l destroy q r

# Without --keep it stays: until the end of stdin, a signal, or its pool's end.
restore "$file" held </dev/null >"$scratch/out"
is "the end of stdin ends it" 0 $?
is "and the pool" p "$(l list | cut -f 1)"
# hold STDIN ARGUMENT...
hold() {
	input=$1
	shift
	"$tool-restore" "$@" <>"$input" >"$scratch/held.out" 2>&1 &
	holder=$!
	helpers="$helpers $holder"
	until_true 20 test -s "$scratch/held.out" || cat "$scratch/held.out"
}
mkfifo "$scratch/in"
hold "$scratch/in" "$file" held
is "restore without --keep stays" 1 "$(l list | grep -c '^held	1	20005	')"
l set held k v
is "and its pool can be used" v "$(l get held k)"
kill "$holder"
wait "$holder"
is "until a signal" 0 $?
ok "with which the pool goes" until_true 10 sh -c 'test "$("$1" list | wc -l)" = 1' sh "$tool"
hold "$scratch/streamed" - held
sleep 0.5
ok "the end of a streamed snapshot does not end it" kill -0 "$holder"
l destroy held
wait "$holder"
is "the destruction of its pool does, with 3" 3 $?

# A signal in the middle ends the work, and leaves nothing. (The rest of the stream comes only after it.)
mkfifo "$scratch/stream"
"$tool-restore" - x --keep <"$scratch/stream" >"$scratch/out" 2>"$scratch/err" &
holder=$!
helpers="$helpers $holder"
exec 4>"$scratch/stream"
head -c 300000 "$scratch/streamed" >&4
sleep 0.3
kill -TERM "$holder"
sleep 0.1
tail -c +300001 "$scratch/streamed" >&4 2>/dev/null
exec 4>&-
wait "$holder"
is "a signal ends a restore" 3 $?
like "which says so" 'ended by a signal' "$(cat "$scratch/err")"
is "and makes no pool" p "$(l list | cut -f 1)"
is "nor anything else" p "$(ls -A "$LATZERO_DIR" | grep -v '^\.guard')"
# So many random bytes do not fit what is between it and us.
l create wide --keep >/dev/null
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
	head -c 4000000 /dev/urandom | l set wide large$i
done
"$tool-snapshot" wide - >"$scratch/stream" 2>"$scratch/err" &
holder=$!
helpers="$helpers $holder"
exec 4<"$scratch/stream"
dd bs=1000 count=1 <&4 >/dev/null 2>&1 # it is at it
kill -TERM "$holder"
sleep 0.1
cat <&4 >/dev/null
exec 4<&-
wait "$holder"
is "a signal ends a snapshot" 3 $?
like "which says so" 'ended by a signal' "$(cat "$scratch/err")"
l destroy wide

# Damage. A byte in the middle; the end cut off; another file.
size=$(wc -c <"$file")
cp "$file" "$scratch/bad"
printf 'damaged' | dd of="$scratch/bad" bs=1 seek=$((size / 3)) conv=notrunc 2>/dev/null
as snapshot exits "--verify of a damaged file" 3 --verify "$scratch/bad"
as snapshot one_line "--verify of a damaged file"
like "names file and offset" "LATZ_CORRUPT.*$scratch/bad: offset [0-9]*: " "$err"
as restore exits "restore of it" 3 "$scratch/bad" q --keep
like "names the offset" 'offset [0-9]*: ' "$err"
like "and what to do" '--salvage' "$err"
is "and makes no pool" p "$(l list | cut -f 1)"
as restore exits "restore --salvage" 1 "$scratch/bad" q --keep --salvage
like "tells what is lost" "^lost: bad: bytes [0-9]* to [0-9]* .*: .*offset" "$out"
like "and how many are here" '^restored q: [0-9]* keys, kept' "$out"
saved=$(l list | sed -n 's/^q	0	\([0-9]*\)	.*/\1/p')
ok "most keys are there: $saved" test "$saved" -gt 10000 -a "$saved" -lt 20005
exits "the pool is sound" 0 verify q
l scan q key0 >"$scratch/saved"
sort "$scratch/input" >"$scratch/sorted"
is "no wrong value is among them" "" "$(comm -23 "$scratch/saved" "$scratch/sorted")"
as restore exits "restore --salvage --replace --json" 1 "$scratch/bad" q --keep --salvage --replace --json
like "the losses are lines" '^{"lost":"' "$out"
as restore exits "salvage of a whole file is no loss" 0 "$file" q --keep --salvage --replace
is "all is there" "$whole" "$(dumped q)"
head -c $((size - 50)) "$file" >"$scratch/short"
as snapshot exits "--verify of a file that was cut off" 3 --verify "$scratch/short"
as restore exits "restore of it" 3 "$scratch/short" q --keep --replace
is "with --replace leaves the pool as it was" "$whole" "$(dumped q)"
as restore exits "restore --salvage of it" 1 "$scratch/short" q --keep --salvage --replace
echo text >"$scratch/text"
as snapshot exits "a file that is no snapshot: --info" 3 --info "$scratch/text"
as restore exits "a file that is no snapshot: restore" 3 "$scratch/text" x --keep
as restore exits "a file that is no snapshot: salvage" 3 "$scratch/text" x --keep --salvage
as snapshot exits "a file that is no snapshot is not replaced" 1 p "$scratch/text"
is "it is as it was" text "$(cat "$scratch/text")"
ln -s "$scratch/text" "$scratch/link"
as snapshot exits "onto a symbolic link" 3 p "$scratch/link"
as snapshot one_line "onto a symbolic link"
like "it is called one" "link is a symbolic link, and links are not followed); give the path of the file itself" "$err"
as snapshot exits "a directory: --info" 2 --info "$scratch"
as snapshot exits "a directory: --verify" 2 --verify "$scratch"
like "it is called one" "$scratch is no file, but a directory or the like); give the path of a file" "$err"
as restore exits "a directory: restore" 2 "$scratch" x --keep
as restore exits "no such file" 1 "$scratch/none" x --keep
as restore one_line "no such file"
like "it is named" "file $scratch/none: LATZ_NOTFOUND" "$err"
as snapshot exits "no such file to look at" 1 --info "$scratch/none"
as snapshot exits "no such pool" 1 none "$scratch/x"
as snapshot exits "no such directory" 3 p "$scratch/none/x"
if [ -w /dev/full ]; then
	snapshot p - >/dev/full 2>"$scratch/err"
	is "a full disk under stdout" 3 $?
fi
as snapshot exits "an empty name of a pool" 2 '' "$scratch/x"
as restore exits "a bad name of a pool" 2 "$file" ../x
as restore exits "nothing on stdin" 3 - x --keep
for wrong in '--verify --info F' '--verify p F' 'p' 'p F --level 20' 'p F --level best' 'p F --threads 1000' '--info F --level 3' 'p - --image'; do
	# shellcheck disable=SC2086 # a command line
	as snapshot exits "usage: latzero-snapshot $wrong" 2 $wrong
done
for wrong in 'F' 'F x y' 'F x --sync always' 'F x --mode 0' 'F x --max-clients 0' 'F x --persist D --sync often'; do
	# shellcheck disable=SC2086 # a command line
	as restore exits "usage: latzero-restore $wrong" 2 $wrong
done
ok "none of it left anything" test ! -e "$scratch/x" -a ! -e "$scratch/x.tmp" -a ! -e F
l destroy q
is "but the pool" p "$(l list | cut -f 1)"

if command -v script >/dev/null; then
	script -qec "'$tool-snapshot' p -" /dev/null </dev/null >"$scratch/out" 2>&1
	is "no snapshot on a terminal" 2 $?
fi

done_testing
