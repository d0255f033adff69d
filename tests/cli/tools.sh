#!/bin/sh
# top, bench and doctor.
. "${top_srcdir:-.}/tests/cli/cli.inc"

l create p --keep >/dev/null
l set p k v
exits "top prints one sample when piped" 0 top --interval 50ms
is "a line with fourteen fields" 14 "$(printf '%s\n' "$out" | awk -F '\t' '{ print NF }')"
is "pool, clients, keys" "p	0	1" "$(printf '%s\n' "$out" | cut -f 1-3)"
exits "top --count" 0 top p --count 3 --interval 20ms --json
is "is so many samples" 3 "$(printf '%s\n' "$out" | grep -c '^{"pool":"p",.*"gets_per_second":')"
is "and attaches no longer than it looks" 0 "$(l list | cut -f 2)"
exits "top of no pools" 0 top --dir "$scratch/none" --once --interval 20ms
is "prints nothing" "" "$out"

for workload in a b c d f get set mget; do
	exits "bench --workload $workload" 0 bench --workload $workload --keys 500 --duration 150ms --processes 2
	like "has figures" "^$workload	[a-z]*	[1-9][0-9]*	[1-9][0-9]*	[1-9][0-9]*	" "$out"
done
is "its pool is gone" p "$(l list | cut -f 1)"
exits "bench in a pool of ours, uniform, one process" 0 bench p --workload a --keys 300 --value-size 10 --duration 100ms \
	--processes 1 --distribution uniform --json
like "JSON with percentiles" '"op":"read".*"p50_ns":[0-9]*,"p99_ns":[0-9]*,"p999_ns":[0-9]*,"max_ns":[0-9]*}' "$out"
is "leaves its keys as they were" k "$(l keys p)"
exits "bench for no time" 2 bench --seconds 0
exits "bench for no time" 2 bench --duration 0s
exits "nor no seconds" 2 bench --seconds 0
exits "bench in a pool that is not there" 1 bench nope --duration 50ms --processes 1 --keys 10
one_line "bench in a pool that is not there"
exits "an unknown workload" 2 bench --workload z
exits "no processes" 2 bench --processes 0
exits "empty values" 0 bench --workload a --keys 50 --value-size 0 --duration 50ms --processes 1
exits "verify after all that" 0 verify p

out=$(l doctor 2>"$scratch/err")
code=$?
ok "doctor ends with 0, or 3 if it found a failure" test $code -eq "$(printf '%s\n' "$out" | awk -F '\t' '$1 == "fail" { f = 3 } END { print f + 0 }')"
is "each line is ok, warn or fail" 0 "$(printf '%s\n' "$out" | grep -cv '^\(ok\|warn\|fail\)	')"
is "what is not ok has a remedy" 0 "$(printf '%s\n' "$out" | awk -F '\t' '$1 != "ok" && $4 == "" { n++ } END { print n + 0 }')"
for check in space 'cgroup memory' RemoveIPC 'huge pages' 'open files' 'OFD locks' membarrier 'second mapping' 'robust futexes' fallocate; do
	like "doctor looks at $check" "^[a-z]*	$check	" "$out"
done
like "doctor --json" '^{"level":"[a-z]*","check":"space",' "$(l doctor --json)"
mkdir "$scratch/other"
l doctor --dir "$scratch/other" >/dev/null 2>&1
is "doctor leaves nothing behind" "" "$(ls -A "$scratch/other")"
touch "$scratch/file"
exits "a directory that is a file" 3 doctor --dir "$scratch/file"

done_testing
