#!/bin/sh
# keys, scan, load and dump: order, escapes, exact round trips, bad lines.
. "${top_srcdir:-.}/tests/cli/cli.inc"

l create p --keep >/dev/null
for key in b a c aa ab; do
	l set p "$key" "value of $key"
done
is "keys are in byte order" "a aa ab b c" "$(l keys p | tr '\n' ' ' | sed 's/ $//')"
is "keys with a prefix" "a aa ab" "$(l keys p a | tr '\n' ' ' | sed 's/ $//')"
is "keys backwards, limited" "c b" "$(l keys p --reverse --limit 2 | tr '\n' ' ' | sed 's/ $//')"
is "keys from and to" "ab b" "$(l keys p --from ab --to c | tr '\n' ' ' | sed 's/ $//')"
is "keys as JSON" '{"key":"a"}' "$(l keys p a --limit 1 --json)"
is "scan prints values" "b	value of b" "$(l scan p b)"
is "no keys with that prefix" "" "$(l keys p zz)"
ok "a reader that leaves early is no error" sh -c '"$1" keys p | head -n 1 >/dev/null' sh "$LATZERO"

l set p 'c1\xc2\x9bm' 'v\xc2\x85' --escaped
is "nothing in JSON steers a terminal" '{"key":"c1\u009bm","type":"bytes","value":"v\u0085","ttl_ms":-1}' "$(l scan p c1 --json)"

exits "nor does an error line" 1 get p 'c1\xc2\x9b' --escaped
like "nor does an error line" 'key c1??:' "$err"

# Every type, odd keys, odd values, times to live.
l set p int -9223372036854775808 --type int
l set p float 1e-310 --type float
l set p infinite inf --type float
l set p bool false --type bool
l set p null --type null
l set p json '{"a": ["b", 1]}' --type json
l set p string 'q"uo\te	tab' --type string
l set p timed soon --ttl 5h
l set p user mine --type user70
l set p 'caf\xc3\xa9' 'na\xc3\xafve' --escaped
l set p 'odd\xff\x00\n' 'v\x00\xfe\n' --escaped
awk 'BEGIN { for (i = 0; i < 100000; i++) printf "%c", 32 + i % 90 }' | l set p long
long=$(awk 'BEGIN { for (i = 0; i < 30000; i++) printf "k" }')
printf 'of a long key' | l set p "$long"

ok "dump" sh -c '"$1" dump p >"$2"' sh "$LATZERO" "$scratch/dump.jsonl"
is "an object a line" "$(l keys p | wc -l)" "$(wc -l <"$scratch/dump.jsonl")"
like "an int is a number" '"key":"int","type":"int","value":-9223372036854775808,' "$(cat "$scratch/dump.jsonl")"
like "a key that is not UTF-8 is base64" '"key_b64":"b2Rk/wAK"' "$(cat "$scratch/dump.jsonl")"
l create q --keep >/dev/null
exits "load" 0 load q "$scratch/dump.jsonl"
like "load prints count and rate" "^loaded $(l keys p | wc -l) keys in .* s, .*/s" "$out"
l dump q >"$scratch/again.jsonl"
sed 's/"ttl_ms":[0-9]*/"ttl_ms":N/' "$scratch/dump.jsonl" >"$scratch/1"
sed 's/"ttl_ms":[0-9]*/"ttl_ms":N/' "$scratch/again.jsonl" >"$scratch/2"
ok "dump and load and dump give the same, types and all" cmp "$scratch/1" "$scratch/2"
ttl=$(l ttl q timed)
ok "the time to live came along: $ttl" test "${ttl%ms}" -gt 17000000 -a "${ttl%ms}" -le 18000000
is "what never expires still does not" never "$(l ttl q a)"

l dump p --format tsv >"$scratch/dump.tsv"
l create r --keep >/dev/null
ok "tsv loads" sh -c '"$1" load r "$2" >/dev/null' sh "$LATZERO" "$scratch/dump.tsv"
l dump r --format tsv >"$scratch/again.tsv"
ok "tsv gives the same keys and values" cmp "$scratch/dump.tsv" "$scratch/again.tsv"
ok "bytes come out as they went in" sh -c '"$1" get p long >"$2"; "$1" get r long | cmp -s - "$2"' sh "$LATZERO" "$scratch/long"

l clear r
is "clear" "" "$(l keys r)"
printf 'x\t5\ny\t6\n' | l load r --format tsv --type int >/dev/null
like "load of one line" '^loaded 1 key in ' "$(printf 'z\t1\n' | l load r --format tsv)"
l del r z
is "load --type int" 11 "$(l incr r x 6)"
printf '{"key":"j","value":12}\n{"key":"s","value":"t"}\n{"key":"t","value":true,"ttl_ms":3600000}\n' | l load r >/dev/null
is "a JSON number without a type is an int" 13 "$(l incr r j)"
like "a JSON string is a string" 'type.string$' "$(l inspect r s)"

printf 'one\t1\ntwo\t2\nthree\nfour\t4\n' >"$scratch/bad.tsv"
exits "a bad tsv line" 3 load r "$scratch/bad.tsv"
one_line "a bad tsv line"
like "its number is told" 'line 3:' "$err"
is "the lines before it are loaded" 2 "$(l get r two)"
is "the lines after it are not" false "$(l exists r four)"
for line in '{"key":"k"}' '{"value":1}' '{"key":"k","value":[1]}' '{"key":"k","value":1' '{"key":"k","value":1}x' \
	'{"key":"k","value":"\ud800"}' '{"key":1,"value":1}' '{"key":"","value":1}' '{"key":"k","value":"x","type":"int"}' \
	'{"key":"k","value_b64":"####"}' '{"key":"k","value_b64":"QQ==","type":"int"}' '{"key":"k","value":1,"type":"what"}'; do
	got=$(printf '%s\n' "$line" | l load r --format jsonl 2>&1)
	is "refused: $line" 3 $?
	like "with its number" 'line 1:' "$got"
done
exits "load of a file that is not there" 3 load r "$scratch/none"
one_line "load of a file that is not there"
exits "an unknown format" 2 dump p --format xml

awk 'BEGIN { for (i = 0; i < 20000; i++) printf "bulk%06d\tvalue %d\n", i, i }' >"$scratch/bulk.tsv"
ok "20 000 lines from a pipe" sh -c '"$1" load r - <"$2" >/dev/null' sh "$LATZERO" "$scratch/bulk.tsv"
l scan r bulk >"$scratch/bulk.out"
ok "all of them in order" cmp "$scratch/bulk.tsv" "$scratch/bulk.out"
exits "verify afterwards" 0 verify r

done_testing
