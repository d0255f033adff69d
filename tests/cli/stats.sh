#!/bin/sh
# Figures, as text, JSON and what Prometheus reads.
. "${top_srcdir:-.}/tests/cli/cli.inc"

exits "create" 0 create p --keep
for i in 1 2 3 4 5; do l set p "key$i" value >"$scratch/set"; done
l get p key1 >"$scratch/get"
exits "stats" 0 stats p
like "keys" '^keys	5$' "$out"
exits "as JSON" 0 stats p --json
like "an object" '^{"pool":"p","keys":5,.*"counters":{.*}}$' "$out"
exits "for Prometheus" 0 stats p --prometheus
printf '%s\n' "$out" >"$scratch/prom"
like "a gauge" '^latzero_keys{pool="p"} 5$' "$out"
like "a counter" '^latzero_sets_total{pool="p"} 5$' "$out"
# The exposition format, as its documentation tells: comments HELP and TYPE before the samples of their name, samples of
# a name and labels and a number, each line once, names of the characters there are.
is "well formed" "" "$(awk '
	/^# HELP [a-zA-Z_:][a-zA-Z0-9_:]* ./ { if (helped[$3]++) print "twice: " $0; next }
	/^# TYPE [a-zA-Z_:][a-zA-Z0-9_:]* (counter|gauge|histogram)$/ { if (typed[$3]++) print "twice: " $0; type[$3] = $4; next }
	!/^[a-zA-Z_:][a-zA-Z0-9_:]*\{pool="p"(,le="[^"]*")?\} (-?[0-9.]+(e[-+]?[0-9]+)?|\+Inf)$/ { print "no sample: " $0; next }
	{ name = $1; sub(/\{.*/, "", name); family = name
	  if (!(family in type)) sub(/_(bucket|sum|count)$/, "", family)
	  if (!(family in type)) print "without a type: " $0
	  if (type[family] == "counter" && name !~ /_total$/) print "no total: " $0
	  if (seen[$1]++) print "twice: " $0 }' "$scratch/prom")"
exits "not both" 2 stats p --prometheus --json
one_line "not both"
exits "no such pool" 1 stats nope
one_line "no such pool"
exits "too many" 2 stats p q

# Sampled latencies become histograms: cumulative buckets up to the count.
l bench p --keys 2000 --seconds 1 --processes 1 >"$scratch/bench" 2>&1
exits "after some work" 0 stats p --prometheus
printf '%s\n' "$out" >"$scratch/prom"
is "buckets grow to the count" "" "$(awk '
	/^latzero_get_seconds_bucket/ { if ($2 + 0 < last) print "less: " $0; last = $2 + 0; n++ }
	/^latzero_get_seconds_count/ { if ($2 + 0 != last || last == 0) print "count: " $2 " after " last }
	END { if (n != 44) print n " buckets" }' "$scratch/prom")"
l destroy p
done_testing
