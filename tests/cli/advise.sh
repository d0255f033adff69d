#!/bin/sh
# advise, and top --keys.
. "${top_srcdir:-.}/tests/cli/cli.inc"

# field N LINE: a field of the line of a table that begins with a scale.
field() {
	printf '%s\n' "$out" | awk -F '\t' -v scale="$2" -v n="$1" '$1 == scale { print $n }'
}

# use POOL KEYS: a process that reads them until end_use: its keys go when it ends, and a busy machine takes its time.
use() {
	"$LATZERO" bench "$1" --workload c --keys "$2" --duration 120s --processes 1 >/dev/null 2>&1 &
	helpers="$helpers $!"
	ok "pool $1 is used" until_true 30 is_used "$1"
}
is_used() {
	[ "$(l stats "$1" --json 2>/dev/null | sed -n 's/.*"gets":\([0-9]*\).*/\1/p')" -gt 1000 ]
}
end_use() {
	finish_helpers
}

l create bounded --keep --max-entries 500 --policy lru >/dev/null
# A loop over more keys than there is room for, as a cache that is filled as it is missed in.
i=0
while [ $i -lt 1200 ]; do
	printf '{"key":"key-%d","value":"v"}\n' $((i % 600))
	i=$((i + 1))
done >"$scratch/input"
exits "keys for a bounded pool" 0 load bounded --format jsonl "$scratch/input"
exits "advise" 0 advise bounded
is "a line with six fields" 6 "$(printf '%s\n' "$out" | awk -F '\t' 'NR == 1 { print NF }')"
is "the pool's own size" 500 "$(field 3 x1)"
is "half of it" 250 "$(field 3 x0.5)"
is "no bound on bytes" - "$(field 2 x1)"
is "the loop misses always at that size" 100.00 "$(field 4 x1)"
is "and half of the time when all of it fits" 50.00 "$(field 4 x1.5)"
exits "advise on another policy" 0 advise bounded --policy s3fifo
is "which keeps some of a loop's keys" 100.00 "$(field 6 x1)"
exits "advise --json" 0 advise bounded --json
like "has the pool's figures" '^{"pool":"bounded","policy":"lru","accesses":1200,"sampled":1200,"sampling":1,' "$out"
like "and points" '"points":\[{"scale":0.125,"max_bytes":0,"max_entries":63,"miss_ratio":1,' "$out"
is "in one line" 1 "$(printf '%s\n' "$out" | grep -c '')"

exits "advise --svg FILE" 0 advise bounded --svg "$scratch/plot.svg"
is "prints the table, too" 500 "$(field 3 x1)"
like "writes a plot" '^<svg xmlns="http://www.w3.org/2000/svg" ' "$(cat "$scratch/plot.svg")"
is "whole" '</svg>' "$(tail -n 1 "$scratch/plot.svg")"
like "with the pool's name" 'Misses of pool bounded by size' "$(cat "$scratch/plot.svg")"
like "and its size" '>500</text>' "$(cat "$scratch/plot.svg")"
is "and nothing that is no number" 0 "$(grep -c 'nan\|inf' "$scratch/plot.svg")"
exits "advise --svg -" 0 advise bounded --svg -
is "prints the plot alone" "$(cat "$scratch/plot.svg" | sed 's/in [0-9a-z.]*</in </')" \
	"$(printf '%s\n' "$out" | sed 's/in [0-9a-z.]*</in </')"
exits "a plot that can't be written" 3 advise bounded --svg "$scratch/none/plot.svg"
one_line "a plot that can't be written"

l create plain --keep >/dev/null
l set plain k v
exits "a pool that nobody uses" 1 advise plain --seconds 1
one_line "a pool that nobody uses"
use plain 300
exits "a pool without bounds, while it is used" 0 advise plain --seconds 1
end_use
like "has a size in bytes" '^[1-9][0-9]*$' "$(field 2 x1)"
like "misses next to nothing as it is" '^[0-9]\.[0-9]*$' "$(field 4 x1)"
exits "and is not sampled any more after that" 1 top --keys plain --interval 20ms
one_line "no hot keys"

exits "an argument for --keys" 2 top --keys
exits "a pool that is not there" 1 advise nope
one_line "a pool that is not there"
exits "no pool" 2 advise
exits "an unknown policy" 2 advise bounded --policy best
exits "a policy that evicts nothing" 2 advise bounded --policy none
exits "an unknown option" 2 advise bounded --no-such

use bounded 200
has_hot_keys() {
	[ "$(l top bounded --keys 2>/dev/null | grep -c '')" -ge 3 ]
}
ok "while a pool is used it has hot keys" until_true 20 has_hot_keys
exits "top --keys" 0 top bounded --keys --most 3
is "lists as many as asked for" 3 "$(printf '%s\n' "$out" | grep -c '')"
like "percent and key" '^[0-9]*\.[0-9][0-9]	[^	]*$' "$(printf '%s\n' "$out" | head -n 1)"
exits "top --keys --json" 0 top --keys bounded --json
like "as JSON" '^{"pool":"bounded","key":"[^"]*","share":[0-9.e-]*}$' "$(printf '%s\n' "$out" | head -n 1)"
end_use

done_testing
