#!/bin/sh
# Pools that compress: made, filled, trained, looked at.
. "${top_srcdir:-.}/tests/cli/cli.inc"

records() {
	awk -v from="$1" -v to="$2" 'BEGIN { for (i = from; i < to; i++) printf "user:%05d\t{\"id\":%d,\"name\":\"User %d\",\"email\":\"user%d@example.com\",\"city\":\"%s\",\"active\":%s}\n", i, i, i * 7919 % 10007, i, i % 3 ? "Berlin" : "Lisbon", i % 2 ? "true" : "false" }'
}

exits "create with compression" 0 create z --keep --compress-min 64 --compress-level 1 --compress-dict trained
exits "an empty pool makes no dictionary" 0 train z
like "and says so" '^no dictionary' "$out"
records 0 3000 | l load z --format tsv >"$scratch/loaded"
exits "train" 0 train z --json
like "dictionary 1" '"dictionary":1,' "$out"
records 0 3000 | l load z --format tsv >"$scratch/loaded"
like "inspect of a key" '"stored_size":[0-9][0-9],"dictionary":1,' "$(l inspect z user:00007 --json)"
like "in text" '^dictionary	1$' "$(l inspect z user:00007)"
is "it reads as it was written" "$(records 7 8 | cut -f 2)" "$(l get z user:00007)"
like "inspect of the pool" '^compress	from 64, level 1$' "$(l inspect z)"
like "has one dictionary" '"dictionaries":1,' "$(l inspect z --json)"
exits "the same again pays nothing" 0 train z
like "and says so" '^no dictionary' "$out"
exits "a size that is none" 2 train z --dict-size 1M
one_line "a size that is none"
exits "no such pool" 1 train nope
l create plain --keep >"$scratch/made"
records 0 3000 | l load plain --format tsv >"$scratch/loaded"
exits "without compression too" 0 train plain
like "and a hint" 'compresses nothing now' "$out"
exits "verify" 0 verify z
exits "limit: another level and least size" 0 limit z --compress-min 200 --compress-level 5
like "says so" '^compress_level	5$' "$out"
like "inspect too" '^compress	from 200, level 5$' "$(l inspect z)"
exits "limit: none" 0 limit z --compress-min none
like "says so" '^compress_min	none$' "$out"
like "inspect too" '^compress	no$' "$(l inspect z)"
exits "a level of nothing" 2 limit z --compress-level 5
one_line "a level of nothing"
exits "a level there is not" 2 limit z --compress-min 1K --compress-level 20
exits "no size" 2 limit z --compress-min lots
exits "nothing of it is done" 2 limit z --max-bytes 16M --compress-min lots
like "no bound" '^max_bytes	none$' "$(l limit z)"
exits "both at once" 0 limit z --max-bytes 16M --compress-min 1K --json
like "in JSON" '"max_bytes":16777216,.*"compress_min":1024,"compress_level":[1-9]' "$out"
l destroy z
l destroy plain
exits "by itself" 0 create a --keep --compress-min 64 --compress-dict auto
like "inspect says so" '"compress_dict":"auto"' "$(l inspect a --json)"
l destroy a
done_testing
