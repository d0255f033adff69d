#!/bin/bash
# lint.sh TREE TOOL [PATH...]: one static analyzer over the sources, or some of them; TREE is a configured build.
#   cppcheck     src/ and tools/
#   clang-tidy   src/, tools/ and tests/: bugprone, cert, concurrency and the analyzer; .clang-tidy has what is left out
#                of these, and why (tools/ and tests/ have one of their own beside it)
#   gcc          -fanalyzer over src/ and tools/; in tests it does not know that cmocka's fail() does not return
# Anything said is a failure. What is said of one place and is wrong has its reason there, in one of these forms:
#   lzi_analyzed_assume(), ...sure(), ...written()   base/analyzed.h: what holds and the analyzers can't see
#   /* NOLINTNEXTLINE(check): why */                 clang-tidy
#   /* cppcheck-suppress id ; why */                 cppcheck
# What was said of each file stays in TREE/lint/TOOL.
set -eu -o pipefail
cd "${0%/*}/.."
tree=$1 tool=$2
shift 2
logs=$tree/lint/$tool
rm -rf "$logs"
mkdir -p "$logs"
export tree logs

defines=("-I$tree" -Iinclude -Isrc -Itests -DHAVE_CONFIG_H -DLZI_ANALYZED '-DLATZ_GUARD_PATH=""')

# Style and information are for reviews. missingIncludeSystem: it does not know where the system has its headers. xxhash.h is
# not ours.
run_cppcheck() {
	cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
		-j"$(nproc)" --suppress=missingIncludeSystem --suppress='*:*/xxhash.h' "${defines[@]}" "$@" >"$logs/all" 2>&1
}

run_clang_tidy() {
	local status=0 log=$logs/${1//\//_}
	clang-tidy --quiet "$1" -- -std=gnu11 "${@:2}" >"$log" 2>&1 || status=1
	sed -i '/^[0-9]* warnings\{0,1\} .*generated\.$/d; /^Suppressed /d; /^Use -/d' "$log"
	return $status
}

# -O2: as it is built; with -Og it does not see NULL used where it was found to be NULL.
# -Wno-analyzer-malloc-leak: version 12 loses what is put into an element of an array; leaks are looked for by clang's
# analyzer, and by the sanitizer when the tests run (./dev asan).
run_gcc() {
	local log=$logs/${1//\//_}
	gcc -fanalyzer -Wno-analyzer-malloc-leak -O2 -fwrapv -std=gnu11 "${@:2}" -c -o /dev/null "$1" >"$log" 2>&1 || return 1
	[ ! -s "$log" ]
}

export -f run_clang_tidy run_gcc

# each FUNCTION PATH...: of each source, on all processors.
each() {
	# shellcheck disable=SC2016 # for the shells that are started
	find "${@:2}" -name '*.c' -print0 | sort -z |
		xargs -0 -P "$(nproc)" -I {} bash -c '"$@"' bash "$1" {} "${defines[@]}" -DLZI_POINTS
}

status=0
case $tool in
cppcheck)
	[ $# != 0 ] || set -- src tools
	run_cppcheck "$@" || status=1
	;;
clang-tidy)
	[ $# != 0 ] || set -- src tools tests
	each run_clang_tidy "$@" || status=1
	;;
gcc)
	[ $# != 0 ] || set -- src tools
	each run_gcc "$@" || status=1
	;;
*)
	echo "lint.sh: no such analyzer: $tool" >&2
	exit 2
	;;
esac
find "$logs" -type f -exec cat {} +
exit $status
