# Reads text exposition format 0.0.4 as strictly as its documentation has it, and as promtool check metrics does; says
# what is wrong, a line each. Beyond well-formed lines: HELP, then TYPE, once for each family, then its samples, all
# together; no sample without a family, none twice; counters that end in _total, and nothing else that does; no endings
# of histograms on others; for each histogram and set of labels buckets in rising order that only grow, the last +Inf
# and as many as _count, and a _sum; base units; bounds without the noise of binary fractions.
function bad(what) { print NR ": " what ": " $0 }

# Values of labels may have anything between quotes but a quote or a backslash that is not escaped.
function labels_of(text,    rest, name, value) {
	le = ""
	labels = ""
	rest = text
	while (rest != "") {
		if (!match(rest, /^[a-zA-Z_][a-zA-Z0-9_]*="([^"\\]|\\["\\n])*"/)) { bad("labels"); return }
		value = substr(rest, 1, RLENGTH)
		name = value
		sub(/=.*/, "", name)
		if (index(" " labels, " " name "=") || (name == "le" && le != "")) bad("label twice")
		if (name == "le") { le = value; gsub(/^le="|"$/, "", le) } else labels = labels value " "
		rest = substr(rest, RLENGTH + 1)
		if (rest != "" && substr(rest, 1, 1) != ",") { bad("labels"); return }
		rest = substr(rest, 2)
	}
}
function is_number(text) { return text ~ /^[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?$/ || text ~ /^[-+]Inf$/ || text == "NaN" }
function close_family(    key) {
	for (key in started) {
		if (last_le[key] != "+Inf") print "no +Inf of " key
		if (!(key in count) || count[key] != last[key]) print "_count of " key " is " count[key] ", not " last[key]
		if (!(key in sum)) print "no _sum of " key
	}
	delete started; delete last_le; delete last; delete count; delete sum
}

/^$/ { bad("empty line"); next }
/^# HELP / {
	if ($3 !~ /^[a-zA-Z_:][a-zA-Z0-9_:]*$/ || NF < 4) bad("HELP")
	if (helped[$3]++) bad("HELP twice")
	close_family()
	family = ""
	pending = $3
	next
}
/^# TYPE / {
	if (NF != 4 || $4 !~ /^(counter|gauge|histogram)$/) bad("TYPE")
	if ($3 != pending) bad("TYPE without its HELP before")
	if (typed[$3]++) bad("TYPE twice")
	pending = ""
	family = $3
	type = $4
	if ((type == "counter") != (family ~ /_total$/)) bad("_total")
	if (family ~ /_(bucket|count|sum)$/) bad("ending of a histogram")
	if (family ~ /_(ms|us|ns|milliseconds|kib|kb|percent)(_total)?$/) bad("no base unit")
	next
}
/^#/ { bad("comment"); next }
{
	if (!match($0, /^[a-zA-Z_:][a-zA-Z0-9_:]*/)) { bad("no name"); next }
	name = substr($0, 1, RLENGTH)
	rest = substr($0, RLENGTH + 1)
	if (!match(rest, /^\{.*\} /)) { bad("no labels"); next }
	value = substr(rest, RLENGTH + 1)
	labels_of(substr(rest, 2, RLENGTH - 3))
	if (!is_number(value)) bad("no number")
	if (seen[name, labels, le]++) bad("twice")
	if (pending != "" || family == "") { bad("without a family"); next }
	key = family "{" labels "}"
	if (type != "histogram") {
		if (name != family) bad("of another family")
		if (le != "") bad("le")
		if (type == "counter" && value !~ /^[0-9]/) bad("negative counter")
	} else if (name == family "_bucket") {
		if (!is_number(le) || le == "") bad("le")
		if (le != "+Inf" && le ~ /(00000|99999)[0-9]*(e|$)/ && le !~ /^[0-9]+$/) bad("noise in le")
		if (key in count || key in sum) bad("bucket after the sums")
		if (key in started) {
			if (last_le[key] == "+Inf" || (le != "+Inf" && le + 0 <= last_le[key] + 0)) bad("le does not rise")
			if (value + 0 < last[key] + 0) bad("fewer than before")
		}
		started[key] = 1
		last_le[key] = le
		last[key] = value
	} else if (name == family "_sum" && le == "") {
		sum[key] = value
		started[key] = 1
	} else if (name == family "_count" && le == "") {
		count[key] = value
		started[key] = 1
	} else {
		bad("of another family")
	}
	samples[family]++
}
END {
	close_family()
	if (pending != "") print "HELP of " pending " without a TYPE"
	for (name in typed) if (!samples[name]) print "no samples of " name
}
