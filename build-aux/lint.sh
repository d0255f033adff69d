#!/bin/bash
# lint.sh TREE TOOL [FILE...]: one static analyzer over the sources, or some of them; TREE is a configured build.
#   cppcheck     all of src/ and tools/ at once, tests/ and bench/ file by file
#   clang-tidy   bugprone, cert, concurrency and the analyzer: .clang-tidy has the list, and why what is not in it isn't
#   gcc          -fanalyzer
# Anything said is a failure. What is said of one place and is wrong there has its reason there, in one of these forms:
#   lzi_analyzed_assume(), lzi_analyzed_sure()      base/analyzed.h: what holds and the analyzers can't see
#   /* NOLINTNEXTLINE(check): why */                clang-tidy
#   /* cppcheck-suppress id ; why */                cppcheck
set -eu -o pipefail
cd "${0%/*}/.."
tree=$1 tool=$2
shift 2
logs=$tree/lint/$tool
rm -rf "$logs"
mkdir -p "$logs"
export tree logs

flags=(-std=gnu11 "-I$tree" -Iinclude -Isrc -Itests -DHAVE_CONFIG_H -DLZI_ANALYZED -DLZI_POINTS '-DLATZ_GUARD_PATH=""')
export joined="${flags[*]}"

# Style and information are left to reviews. missingIncludeSystem: it is not told where the system's headers are.
# missingInclude, unmatchedSuppression: files are looked at in parts.
# normalCheckLevelMaxBranches, toomanyconfigs (from 2.11): how it limits itself. xxhash.h is not ours.
run_cppcheck() {
	cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
		--suppress=missingIncludeSystem --suppress='*:*/xxhash.h' \
		"-I$tree" -Iinclude -Isrc -Itests -DHAVE_CONFIG_H -DLZI_ANALYZED -D'LATZ_GUARD_PATH=""' "$@" >"$logs/all" 2>&1
}

run_clang_tidy() {
	local log=$logs/${1//\//_}
	# shellcheck disable=SC2086 # several flags
	clang-tidy --quiet "$1" -- $joined >"$log" 2>&1 || return 1
	sed -i '/warnings generated\.$/d' "$log"
}

# -Og: less is inlined than at -O2, which makes it take returned NULL for one that was found.
# -Wno-analyzer-malloc-leak: version 12 loses what is put into an element of an array; leaks are looked for by clang's
# analyzer, and by the sanitizer when the tests run (./dev asan).
run_gcc() {
	local log=$logs/${1//\//_}
	# shellcheck disable=SC2086
	"${CC:-gcc}" -fanalyzer -Wno-analyzer-malloc-leak -Og -fwrapv $joined -c -o /dev/null "$1" >"$log" 2>&1
	[ ! -s "$log" ]
}

export -f run_clang_tidy run_gcc

each() {
	find "${@:2}" -name '*.c' -print0 | sort -z | xargs -0 -n 1 -P "$(nproc)" bash -c "$1"' "$1"' bash
}

status=0
case $tool in
cppcheck) run_cppcheck "${@:-src tools}" || status=1 ;;
clang-tidy) each run_clang_tidy "${@:-src}" || status=1 ;;
gcc) each run_gcc "${@:-src}" || status=1 ;;
*)
	echo "lint.sh: no such analyzer: $tool" >&2
	exit 2
	;;
esac
find "$logs" -type f -size +0 -exec cat {} +
exit $status
