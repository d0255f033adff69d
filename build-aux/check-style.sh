#!/bin/sh
# House rules: lines of at most 120 columns (tabs count 8), files of at most 800 lines, functions of at most 90, no
# trailing white space, no leftover notes to oneself. With --long it lists the files and functions closest to the limits.
set -eu
cd "${0%/*}/.."
export LC_ALL=C

folders=
for folder in include src tools examples tests bench build-aux doc m4 .ci; do
	[ ! -d "$folder" ] || folders="$folders $folder"
done

# shellcheck disable=SC2086 # a list of words
sources() {
	find $folders \( -name '*.c' -o -name '*.h' -o -name '*.cc' \) | sort
}

# shellcheck disable=SC2086
texts() {
	sources
	# What autoreconf puts there is not ours.
	find $folders \( -name '*.sh' -o -name '*.inc' -o -name '*.md' -o -name '*.py' \) \
		! -name 'ltmain.sh' ! -name 'tap-driver.sh' | sort
	for file in dev configure.ac Makefile.am README.md CONTRIBUTING.md NEWS .ci/run; do
		[ ! -e "$file" ] || echo "$file"
	done
}

# A function's body begins and ends with a brace in the first column.
functions() {
	sources | while read -r file; do
		awk -v file="$file" '/^\{/ { start = FNR } /^\}/ && start { print FNR - start + 1, file ":" start; start = 0 }' \
			"$file"
	done
}

lengths() {
	sources | while read -r file; do
		echo "$(wc -l <"$file") $file"
	done
}

if [ "${1-}" = --long ]; then
	echo "lines file"
	lengths | sort -rn | head -n 15
	echo "lines function"
	functions | sort -rn | head -n 15
	exit 0
fi

{
	sources | while read -r file; do
		expand -t 8 "$file" | awk -v file="$file" 'length($0) > 120 { print file ":" FNR ": " length($0) " columns" }'
	done
	# The public header is one file, as long as there are calls.
	lengths | awk '$1 > 800 && $2 != "include/latzero/latzero.h" { print $2 ": " $1 " lines, at most 800" }'
	functions | awk '$1 > 90 { print $2 ": a function of " $1 " lines, at most 90" }'
	texts | while read -r file; do
		awk -v file="$file" '/[ \t]+$/ { print file ":" FNR ": white space at the end of the line" }
			/(^|[^A-Za-z_])([F]IXME|[T]ODO|[X]XX)([^A-Za-z_]|$)/ { print file ":" FNR ": a leftover note" }' "$file"
	done
} | {
	status=0
	while read -r line; do
		echo "$line"
		status=1
	done
	exit $status
}
