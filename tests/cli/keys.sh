#!/bin/sh
# get, set, del, exists, incr, append, ttl, and inspect of a key.
. "${top_srcdir:-.}/tests/cli/cli.inc"

exits "create --keep ends at once" 0 create p --keep
like "create says so" '^created p' "$out"
exits "create of a pool that is there" 1 create p --keep
one_line "create of a pool that is there"
exits "create --attach of a pool that is there" 0 create p --keep --attach

exits "set" 0 set p greeting hello
is "set says nothing" "" "$out"
exits "get" 0 get p greeting
is "get prints the value" hello "$out"
l get p greeting >"$scratch/value"
is "get adds no newline when piped" 5 "$(wc -c <"$scratch/value")"
exits "get of an absent key" 1 get p nope
like "the line names pool and key, and how to go on" 'pool p, key nope: .*; latzero keys p lists' "$err"
one_line "get of an absent key"
is "nothing on stdout then" "" "$out"

printf 'a\0b\377\n' | l set p binary
l get p binary >"$scratch/value"
is "stdin goes in as it is, and comes out so" "6100 62ff 0a" "$(od -An -tx1 "$scratch/value" | tr -d ' \n' |
	sed 's/^\(....\)\(....\)\(..\)$/\1 \2 \3/')"
printf '' | l set p empty -
exits "an empty value" 0 get p empty
is "is empty" "" "$out"

exits "set --type int" 0 set p n 41 --type int
exits "incr" 0 incr p n
is "incr prints the sum" 42 "$out"
exits "incr by a negative number" 0 incr p n -50
is "incr takes it off" -8 "$out"
exits "get prints an int as text" 0 get p n
is "as text" -8 "$out"
exits "incr creates" 0 incr p fresh 7
is "from 0" 7 "$out"
exits "incr of bytes" 3 incr p greeting
one_line "incr of bytes"
like "it names the error" LATZ_TYPE "$err"
exits "an int beyond 64 bits" 2 set p --type int big 9223372036854775808
exits "incr to the limit" 0 set p --type int big 9223372036854775807
exits "incr over the limit" 3 incr p big
like "it names the overflow" LATZ_OVERFLOW "$err"
exits "a wrong duration" 2 set p n 5 --ttl 5x
like "is shown" '--ttl .*, not 5x;' "$err"
exits "a word is no int" 2 set p n forty --type int
like "the line tells what is" 'no int; .*like -5' "$err"
one_line "a word is no int"
exits "set --type float" 0 set p f 0.1 --type float
exits "get prints a float as text" 0 get p f
is "in the shortest form" 0.1 "$out"
exits "set --type bool" 0 set p t true --type bool
exits "get prints a bool as text" 0 get p t
is "as true" true "$out"
exits "set --type null" 0 set p z --type null
exits "an unknown type" 2 set p z x --type complex

exits "set --if-absent of what is there" 1 set p greeting other --if-absent
exits "set --if-present of what is not" 1 set p nope other --if-present
is "it was not written" false "$(l exists p nope)"
exits "set --if-version 0 of what is there: no key has that version" 1 set p greeting other --if-version 0
is "it was not written either" hello "$(l get p greeting)"
exits "set --json tells the version" 0 --json set p v one
version=$(printf '%s' "$out" | sed 's/.*"version":\([0-9]*\).*/\1/')
exits "set --if-version with it" 0 set p v two --if-version "$version"
exits "set --if-version with the old one" 1 set p v three --if-version "$version"
is "the value is the second" two "$(l get p v)"

exits "append" 0 append p greeting ", world"
is "append prints the size" 12 "$out"
is "append appended" "hello, world" "$(l get p greeting)"
is "append from stdin" 13 "$(printf '!' | l append p greeting)"

exits "ttl without one" 0 ttl p greeting
is "never" never "$out"
exits "ttl sets one" 0 ttl p greeting 1h
ms=$(l ttl p greeting)
ok "ttl prints what is left: $ms" test "${ms%ms}" -gt 3000000 -a "${ms%ms}" -le 3600000
exits "ttl takes it away" 0 ttl p greeting never
is "never again" never "$(l ttl p greeting)"
exits "ttl of an absent key" 1 ttl p nope
exits "ttl of nonsense" 2 ttl p greeting soon
exits "set --ttl" 0 set p short lived --ttl 60ms
ok "it expires" until_true 10 sh -c '! "$1" exists p short >/dev/null' sh "$LATZERO"

exits "exists of several" 1 exists p greeting nope
is "true and false" "true
false" "$out"
exits "exists" 0 exists p greeting n
exits "inspect of a key" 0 inspect p n
like "its type" 'type.int$' "$out"
like "its size" 'value_size.8$' "$out"
exits "inspect of an absent key" 1 inspect p nope
exits "del of several" 1 del p n f nope
is "del counts" 2 "$out"
is "they are gone" false "$(l exists p n)"
exits "del" 0 del p t

printf 'x' | l set p 'k\t\xfe\\' --escaped -
exits "a key with odd bytes is printed with escapes" 0 keys p k
is "the escapes" 'k\t\xfe\\' "$out"
exits "and taken with --escaped" 0 get p 'k\t\xfe\\' --escaped
is "its value" x "$out"
exits "a wrong escape" 2 get p 'k\q' --escaped
exits "a key that begins with a dash, after --" 0 set p -- -k dash
is "is there" dash "$(l get p -- -k)"

done_testing
