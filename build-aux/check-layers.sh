#!/bin/sh
# Prints which folder of src/ includes which, and fails when an include goes against the layers:
#   row 0 base   row 1 os format   row 2 client table heap index wal snap codec crypt policy   row 3 store   row 4 api
# A folder includes itself and lower rows, never its own row's others or a higher one; a *_int.h header is for its own
# folder. Tools, bindings, examples, benchmarks and the api tests see <latzero/...> and their own folder.
set -eu
cd "${0%/*}/.."
export LC_ALL=C

# Lines "file:header" of every quoted include below the given folders.
includes() {
	find "$@" \( -name '*.c' -o -name '*.h' -o -name '*.cc' \) | sort | while read -r file; do
		sed -n "s|^[[:space:]]*#[[:space:]]*include[[:space:]]*\"\\([^\"]*\\)\".*|$file:\\1|p" "$file"
	done
}

status=0
includes src | awk -F: '
BEGIN {
	split("base os format client table heap index wal snap codec crypt policy store api", order, " ")
	split("0 1 1 2 2 2 2 2 2 2 2 2 3 4", number, " ")
	for (i in order)
		row[order[i]] = number[i]
}
function complain(text) {
	print $1 ": " text
	bad = 1
}
{
	split($1, path, "/")
	from = path[2]
	if ($2 == "config.h")
		next
	if (!(from in row)) {
		complain("is in no row of the layers")
		next
	}
	if (split($2, parts, "/") != 2 || !(parts[1] in row)) {
		complain("\"" $2 "\" is not \"folder/header.h\" of a folder in the layers")
		next
	}
	to = parts[1]
	count[from, to]++
	seen[from] = seen[to] = 1
	if (from != to && row[to] >= row[from])
		complain("row " row[from] " must not include \"" $2 "\" of row " row[to])
	if (from != to && $2 ~ /_int\.h$/)
		complain("\"" $2 "\" is private to " to "/")
}
END {
	printf "%-8s", "includes"
	for (i = 1; i in order; i++)
		if (order[i] in seen)
			printf " %6s", order[i]
	print ""
	for (i = 1; i in order; i++) {
		if (!(order[i] in seen))
			continue
		printf "%-8s", order[i]
		for (j = 1; j in order; j++)
			if (order[j] in seen)
				printf " %6s", (order[i], order[j]) in count ? count[order[i], order[j]] : "."
		print ""
	}
	exit bad
}' || status=1

# outside FOLDER [OTHER]: quoted includes must name a file of FOLDER, or of OTHER as seen from tests/.
outside() {
	[ -d "$1" ] || return 0
	includes "$1" | {
		bad=0
		while IFS=: read -r file header; do
			case $header in
			../* | */../*) ;;
			*)
				[ ! -e "${file%/*}/$header" ] || continue
				[ -z "${2-}" ] || [ ! -e "tests/$header" ] || [ "${header%%/*}" != "$2" ] || continue
				;;
			esac
			echo "$file: may include <latzero/...> and its own folder, not \"$header\""
			bad=1
		done
		exit $bad
	} || status=1
}

for folder in tools bindings examples bench; do
	outside "$folder"
done
outside tests/api lib
exit $status
