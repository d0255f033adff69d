#!/bin/sh
# Replays the inputs that are kept in tests/fuzz/corpus, a folder for each target.
set -eu
: "${top_srcdir:=.}" "${top_builddir:=.}"
echo "1..$(find "$top_srcdir"/tests/fuzz/corpus/* -maxdepth 0 -type d | wc -l)"
n=0 status=0
for folder in "$top_srcdir"/tests/fuzz/corpus/*/; do
	n=$((n + 1))
	name=$(basename "$folder")
	if "$top_builddir/tests/fuzz/fuzz_$name" "$folder"* >/dev/null 2>&1; then
		echo "ok $n - $name"
	else
		echo "not ok $n - $name"
		status=1
	fi
done
exit $status
