#!/bin/sh
# Each public header compiles alone and twice, as C11 and as C++11, without a warning.
set -u
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
number=0

# compile WHAT COMMAND...: one TAP line.
compile() {
	what=$1
	shift
	number=$((number + 1))
	if "$@" >"$scratch/messages" 2>&1; then
		echo "ok $number - $what"
	else
		echo "not ok $number - $what"
		sed 's/^/# /' "$scratch/messages"
	fi
}

for path in "$top_srcdir"/include/latzero/*.h; do
	header=latzero/${path##*/}
	printf '#include <%s>\n#include <%s>\nint translation_unit;\n' "$header" "$header" >"$scratch/alone.c"
	cp "$scratch/alone.c" "$scratch/alone.cc"
	# shellcheck disable=SC2086 # CC may hold several words
	compile "$header as C11" ${CC:-cc} -std=c11 -pedantic -Wall -Wextra -Werror -I"$top_srcdir/include" \
		-c "$scratch/alone.c" -o "$scratch/alone.o"
	if command -v c++ >"$scratch/cxx"; then
		compile "$header as C++11" c++ -std=c++11 -pedantic -Wall -Wextra -Werror -I"$top_srcdir/include" \
			-c "$scratch/alone.cc" -o "$scratch/alone.o"
	fi
done
echo "1..$number"
