#!/bin/sh
# The library exports exactly what the public headers declare, and the version map lists exactly that.
set -u
library=$top_builddir/.libs/liblatzero.so
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 1

sed -n 's/^LATZ_API .*[ *]\(latz_[a-z0-9_]*\)(.*/\1/p' "$top_srcdir"/include/latzero/*.h | sort >declared
sed -n 's/^[[:space:]]*\(latz_[a-z0-9_]*\);$/\1/p' "$top_srcdir/src/latzero.map" | sort >mapped
nm -D --defined-only "$library" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort >exported

# same NAME A B: one TAP line, and the difference if there is one.
number=0
same() {
	number=$((number + 1))
	if [ -s "$2" ] && diff "$2" "$3" >difference 2>&1; then
		echo "ok $number - $1"
	else
		echo "not ok $number - $1"
		sed 's/^/# /' difference
	fi
}

echo 1..2
same "the map lists what the headers declare" declared mapped
same "the library exports what the headers declare" declared exported
