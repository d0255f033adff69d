#!/bin/sh
# simulate: traces plain and compressed, sizes and shares, the tables, what is wrong with a trace.
. "${top_srcdir:-.}/tests/cli/cli.inc"

# Rounds over 20 keys: an LRU list of 19 never has the one that comes, one of 20 misses each once.
awk 'BEGIN { for (i = 0; i < 200; i++) print "key" i % 20 }' >"$scratch/loop"
exits "simulate" 0 simulate "$scratch/loop" --policy lru,fifo --size 19,20
is "a line for each size and policy" "lru	19	0.00	-	0.00
fifo	19	0.00	-	0.00
lru	20	90.00	-	0.00
fifo	20	90.00	-	0.00" "$out"
exits "sizes as shares of the keys" 0 simulate "$scratch/loop" --policy lru --size 95%,100%
is "are those" "19 20" "$(printf '%s\n' "$out" | cut -f 2 | paste -s -d ' ' -)"
is "from standard input" "lru	20	90.00	-	0.00" "$(l simulate - --policy lru --size 100% <"$scratch/loop")"
exits "all policies" 0 simulate "$scratch/loop" --size 10
for policy in lru fifo clock sieve s3fifo 2q arc wtinylfu; do
	like "$policy is among them" "^$policy	10	" "$out"
done
is "all is what no --policy means" "$out" "$(l simulate "$scratch/loop" --size 10 --policy all)"
exits "JSON" 0 simulate "$scratch/loop" --policy lru --size 20 --json
like "has counts" '"policy":"lru","max_entries":20,"requests":200,"hits":180,"hit_rate":0.9,"inserts":20,' "$out"

# Two keys of 600 bytes and one of 100: in 1000 bytes only one large one fits beside the small.
printf 'a 600\nb 600\nc 100\r\n\na 600\n c\t100 \nc 100' >"$scratch/sized"
exits "bounded by bytes" 0 simulate "$scratch/sized" --bytes --size 1000,2K,100% --policy lru
is "hits and bytes" "lru	1000	33.33	9.52	0.00
lru	2048	50.00	38.10	0.00
lru	1300	50.00	38.10	0.00" "$out"
is "sizes are told, but do not bound without --bytes" "lru	2	33.33	9.52	0.00" \
	"$(l simulate "$scratch/sized" --size 2 --policy lru)"
like "what fits never" '"hits":0,.*"inserts":0,.*"toobig":6,' \
	"$(l simulate "$scratch/sized" --bytes --size 50 --policy lru --json)"

if command -v zstd >/dev/null; then
	zstd -q "$scratch/loop" -o "$scratch/loop.zst"
	is "compressed" "lru	20	90.00	-	0.00" "$(l simulate "$scratch/loop.zst" --policy lru --size 20)"
	cat "$scratch/loop.zst" "$scratch/loop.zst" >"$scratch/twice.zst"
	is "two frames" "lru	20	95.00	-	0.00" "$(l simulate - --policy lru --size 20 <"$scratch/twice.zst")"
	# All of one frame, and the beginning of another.
	head -c $(($(wc -c <"$scratch/loop.zst") + 10)) "$scratch/twice.zst" >"$scratch/cut.zst"
	exits "cut short" 3 simulate "$scratch/cut.zst" --size 5
	one_line "cut short"
fi

exits "no file" 3 simulate "$scratch/none" --size 5
one_line "no file"
exits "an empty one" 3 simulate /dev/null --size 5
one_line "an empty one"
printf 'a\nb x\n' >"$scratch/bad"
exits "no size where one should be" 3 simulate "$scratch/bad" --size 5
like "names file and line" "bad line 2: " "$err"
awk 'BEGIN { for (i = 0; i < 4000; i++) printf "0123456789"; print "" }' >"$scratch/long"
exits "a key that is too long" 3 simulate "$scratch/long" --size 5
awk 'BEGIN { for (i = 0; i < 8000; i++) printf "0123456789"; print "" }' >"$scratch/long"
exits "a line that is too long" 3 simulate "$scratch/long" --size 5
one_line "a line that is too long"
exits "no --size" 2 simulate "$scratch/loop"
for size in 0 x -1 0% 5%% nan% , 5,; do
	exits "--size $size" 2 simulate "$scratch/loop" --size "$size"
done
exits "--policy none" 2 simulate "$scratch/loop" --size 5 --policy none
exits "--policy lru,what" 2 simulate "$scratch/loop" --size 5 --policy lru,what
one_line "--policy lru,what"
exits "--bytes without sizes" 2 simulate "$scratch/loop" --bytes --size 5

done_testing
