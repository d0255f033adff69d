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
reads() {
	awk -f "${top_srcdir:-.}/tests/cli/prometheus.awk" "$scratch/prom"
}
is "well formed" "" "$(reads)"
# What reads finds what is wrong, when something is.
h='# HELP a A.\n# TYPE a gauge\n' c='# HELP a_total A.\n# TYPE a_total counter\n'
for wrong in 'a 1' "${h}a{} 1\nb{} 1" "${h}a{} 1\na{} 1" "${h}a{x=\"1\",x=\"2\"} 1" "${h}a{} x" "${h}a{x=1} 1" \
	"${h}a{} 1\n${h}a{x=\"1\"} 1" "${h}a{} 1\n${c}a_total{} 1\na{x=\"1\"} 1" "${c}a_total{} -1" "$h" \
	'# HELP a A.\na{} 1' '# TYPE a gauge\na{} 1' '# HELP a A.\n# TYPE a counter\na{} 1' '# HELP a_ms A.\n# TYPE a_ms gauge\na_ms{} 1'; do
	printf "$wrong\n" >"$scratch/prom"
	[ -n "$(reads)" ] || echo "$wrong"
done >"$scratch/missed"
h='# HELP a A.\n# TYPE a histogram\n' i='a_bucket{le="+Inf"} 2\n' e='a_sum{} 1\na_count{} 2'
for wrong in "$h$e" "${h}a_bucket{le=\"1\"} 2\n$e" "${h}${i}a_count{} 2" "$h${i}a_sum{} 1" "$h${i}a_sum{} 1\na_count{} 1" \
	"${h}a_bucket{le=\"2\"} 1\na_bucket{le=\"1\"} 1\n$i$e" "${h}a_bucket{le=\"1\"} 3\n$i$e" \
	"${h}a_bucket{le=\"1.5000000000000002e-08\"} 1\n$i$e" "$h$e\n$i"; do
	printf "$wrong\n" >"$scratch/prom"
	[ -n "$(reads)" ] || echo "$wrong"
done >>"$scratch/missed"
is "reads finds what is wrong" "" "$(cat "$scratch/missed")"
printf "${h}a_bucket{le=\"1\"} 1\n$i$e\n" >"$scratch/prom"
is "and nothing else" "" "$(reads)"
like "evictions have a reason" '^latzero_evictions_total{pool="p",reason="namespace_entries"} 0$' "$out"
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
is "well formed after some work" "" "$(reads)"
like "bounds of buckets in seconds" '^latzero_get_seconds_bucket{pool="p",le="1.5e-08"} [0-9]*$' "$out"

# Whatever is in the JSON is in the text: figures, and what is told of a histogram.
exits "as text" 0 stats p
printf '%s\n' "$out" >"$scratch/text"
exits "as JSON" 0 stats p --json
printf '%s\n' "$out" | tr '{,' '\n\n' | sed -n 's/^"\([^"]*\)":.*/\1/p' | grep -v -e '^pool$' -e '^counters$' -e '^scale$' |
	sed 's/^p999$/p99.9/' | while read -r figure; do
	grep -q -e "^$figure	" -e "	.*$figure " "$scratch/text" || echo "$figure"
done >"$scratch/lacking"
is "the text has all there is" "" "$(cat "$scratch/lacking")"

# Namespaces, each a label.
l set p key value --namespace alpha >"$scratch/set"
l set p key value --namespace beta >"$scratch/set"
l get p key --namespace beta >"$scratch/get"
exits "with namespaces" 0 stats p --prometheus
printf '%s\n' "$out" >"$scratch/prom"
is "namespaces are well formed" "" "$(reads)"
like "keys of one" '^latzero_namespace_keys{pool="p",namespace="alpha"} 1$' "$out"
like "hits of one" '^latzero_namespace_hits_total{pool="p",namespace="beta"} 1$' "$out"
like "hits of the other" '^latzero_namespace_hits_total{pool="p",namespace="alpha"} 0$' "$out"
like "bytes" '^latzero_namespace_bytes{pool="p",namespace="alpha"} [1-9][0-9]*$' "$out"
like "evictions" '^latzero_namespace_evicted_total{pool="p",namespace="alpha"} 0$' "$out"

# Names that applications chose without a thought of this.
"${top_builddir:-.}/tests/cli/make_counters" p histogram x 1 3 5 100 / gauge x_count 1 -7 / counter x_sum 1 8 / \
	counter x_sum_total 1 9 / gauge x_count_value 0.5 10 / histogram x_count_2 1e-3 11 / gauge x_total 1 12 / \
	histogram wide 1e300 13 / histogram narrow 5e-324 14 / counter big 1 9223372036854775807 2 / \
	histogram y_bucket 0.1 15 / counter x_sum_2_total 1 16 / gauge y_bucket_value_sum 1 17
exits "any names" 0 stats p --prometheus
printf '%s\n' "$out" >"$scratch/prom"
is "any names are well formed" "" "$(reads)"
like "a histogram" '^x_bucket{pool="p",le="7"} 2$' "$out"
like "its sum" '^x_sum{pool="p"} 108$' "$out"
like "its count" '^x_count{pool="p"} 3$' "$out"
like "a gauge that is no count" '^x_count_value{pool="p"} -7$' "$out"
like "the help tells its name" '^# HELP x_count_value A gauge (x_count)$' "$out"
like "a counter is a total" '^x_sum_total{pool="p"} 8$' "$out"
like "who comes second has a number" '^x_sum_2_total{pool="p"} 9$' "$out"
like "and the third another" '^x_sum_2_2_total{pool="p"} 16$' "$out"
like "so does a gauge" '^x_count_value_2{pool="p"} 5$' "$out"
like "no gauge is a total" '^x_total_value{pool="p"} 12$' "$out"
like "a counter past the half" '^big_total{pool="p"} 9223372036854775809$' "$out"
like "tenths are tenths" '^y_bucket_value_bucket{pool="p",le="1.5"} 1$' "$out"
l destroy p
done_testing
