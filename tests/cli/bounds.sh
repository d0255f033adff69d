#!/bin/sh
# Bounded pools: create with bounds, limit, what inspect, list and top say of them.
. "${top_srcdir:-.}/tests/cli/cli.inc"

exits "create with bounds" 0 create b --keep --max-bytes 8M --max-entries 1000 --policy lru
like "list says so" '	keep,bounded	ok$' "$(l list)"
like "and in JSON" '"bounded":true' "$(l list --json)"
exits "limit shows the bounds" 0 limit b
is "all of them" 'max_bytes	8388608 max_entries	1000 policy	lru' "$(printf '%s\n' "$out" | head -3 | tr '\n' ' ' | sed 's/ $//')"
awk 'BEGIN { for (i = 0; i < 3000; i++) printf "key%d\tvalue %d\n", i, i }' >"$scratch/keys"
exits "more keys than it may have" 0 load b "$scratch/keys"
ok "it has no more" test "$(l list | cut -f 3)" -le 1000
is "the last is there" "value 2999" "$(l get b key2999)"
exits "the first is not" 1 get b key0
exits "inspect" 0 inspect b
like "tells the bounds" '^max_bytes	8388608$' "$out"
like "and the policy" '^policy	lru$' "$out"
like "and how many were evicted" '^evicted	2[0-9]*$' "$out"
like "and hits" '^hit_percent	50.0$' "$out"
like "and by bytes" '^byte_hit_percent	[0-9.]*$' "$out"
json=$(l inspect b --json)
like "JSON: bounds" '"bounded":true,"max_bytes":8388608,"max_entries":1000,"policy":"lru","evicted":2' "$json"
like "JSON: rates" '"hit_percent":50' "$json"
is "top: one column more" 14 "$(l top b --once | awk -F '\t' '{ print NF }')"
like "top in JSON" '"evicted_per_second":' "$(l top b --once --json)"

exits "limit: one bound, the others stay" 0 limit b --max-entries 100
is "as said" '100	lru' "$(l limit b | sed -n 's/^max_entries	//p;s/^policy	//p' | paste -s -)"
ok "what was over it is gone" test "$(l list | cut -f 3)" -le 100
exits "limit: none" 0 limit b --max-entries none --max-bytes 16M --policy sieve
is "as said again" '16777216 none sieve none' "$(l limit b | sed -n 's/^max_[a-z]*	//p;s/^policy	//p' | tr '\n' ' ' | sed 's/ $//')"
like "limit in JSON" '^{"pool":"b","max_bytes":16777216,"max_entries":0,"policy":"sieve",' "$(l limit b --json)"
exits "no bounds any more" 0 limit b --max-bytes none
like "inspect knows" '^bounds	none$' "$(l inspect b)"
like "list too" '	keep	ok$' "$(l list)"

exits "a policy alone, without bounds" 2 limit b --policy lru
one_line "a policy alone"
exits "nor for a new pool" 2 create alone --keep --policy lru
one_line "nor for a new pool"
exits "no such policy" 2 limit b --max-bytes 8M --policy best
like "says which there are" 'adaptive.*none' "$err"
exits "no such policy, create" 2 create c --keep --policy best
exits "no size" 2 limit b --max-bytes much
exits "too small a size" 2 limit b --max-bytes 1M
one_line "too small a size"
exits "too small a size, create" 2 create c --keep --max-bytes 1M
exits "no such pool" 1 limit nope --max-bytes 8M
exits "no such pool to look at" 1 limit nope
is "nothing came of them" 'max_bytes	none' "$(l limit b | head -1)"

exits "nothing goes" 0 limit b --max-entries 100 --policy none
exits "so nothing comes" 3 set b new value
like "and it says why" LATZ_FULL "$err"
exits "what is there can be read" 0 get b key2999
exits "and deleted" 0 del b key2999
exits "then something comes" 0 set b new value
l destroy b

done_testing
