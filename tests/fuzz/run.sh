#!/bin/sh
# Feeds the parsers random input and opens pools whose files were scribbled over, all under AddressSanitizer.
#   run.sh [--short | --keep] [format|image|log|snap|packed|flip]...
#   run.sh live [--minutes M] [--seed S] [--round R] [--reader] [--index] ...    scribbles over a live pool's files
# Without names: all. Builds what it needs under $LATZERO_BUILD/fuzz (default build/main), with clang's libFuzzer where
# there is one, else with gcc and the random driver of fuzz_main.c. LATZERO_SECONDS: how long each runs (default 300).
#   LATZERO_SECONDS=615 ./dev fuzz format image log snap     the long run: over ten minutes for each parser
# What libFuzzer finds that is new stays in $LATZERO_BUILD/fuzz/corpus-*. --keep: instead of running, those of it that
# reach code which no input in tests/fuzz/corpus reaches are copied there, the smallest that do.
set -eu
top=$(cd "${0%/*}/../.." && pwd)
build=${LATZERO_BUILD:-$top/build/main}
work=$build/fuzz
seconds=${LATZERO_SECONDS:-300}
short=
keep=
parts=

live_options=
for arg; do
	if [ "$parts" = " live" ]; then
		live_options="$live_options $arg"
		continue
	fi
	case $arg in
	--short) short=--short seconds=20 ;;
	--keep) keep=1 ;;
	--help) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 0 ;;
	format | image | log | snap | packed | flip | live) parts="$parts $arg" ;;
	*) echo "run.sh: what is $arg? (see --help)" >&2; exit 2 ;;
	esac
done
[ -n "$parts" ] || parts="format image log snap packed flip live"
mkdir -p "$work"

clang=
for name in clang clang-19 clang-18 clang-17 clang-16 clang-15 clang-14; do
	if [ -z "$clang" ] && command -v "$name" >/dev/null; then
		echo 'int LLVMFuzzerTestOneInput(const char *d, long n) { return !d && n; }' >"$work/probe.c"
		"$name" -fsanitize=fuzzer,address "$work/probe.c" -o "$work/probe" 2>/dev/null && clang=$name
	fi
done

includes="-I$build -I$top/src -I$top/include -I$top/tests"
flags="-std=gnu11 -g -O1 -fwrapv -fno-omit-frame-pointer -DHAVE_CONFIG_H -DLATZ_GUARD_PATH=\"/nonexistent\""
# shellcheck disable=SC2046 # a list of files without blanks
set -- $(find "$top/src" -name '*.c' ! -name guard_main.c)

# stale PROGRAM: whether some source is newer than it.
stale() {
	[ ! -e "$work/$1" ] || [ -n "$(find "$top/src" "$top/tests" "$top/include" -name '*.[ch]' -newer "$work/$1" | head -n 1)" ]
}

# fuzz_clang TARGET SOURCE...: libFuzzer, from what is kept and what earlier runs found.
fuzz_clang() {
	part=$1
	shift
	kept=$top/tests/fuzz/corpus/$part
	# shellcheck disable=SC2086
	! stale "$part" || $clang $flags $includes -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
		"$top/tests/fuzz/fuzz_$part.c" "$@" -o "$work/$part" -llmdb -lzstd -lcrypto -lpthread
	mkdir -p "$work/corpus-$part"
	if [ -n "$keep" ]; then
		mkdir -p "$kept"
		# One for each place that is reached, not for how often; longer ones are cut: it goes into every checkout.
		"$work/$part" -merge=1 -use_counters=0 -max_len=16384 "$kept" "$work/corpus-$part" >"$work/$part-keep.log" 2>&1 || status=1
		grep -E 'MERGE-OUTER: [0-9]+ new files' "$work/$part-keep.log" || status=1
		return
	fi
	[ -d "$kept" ] || kept=
	"$build/tests/fuzz/fuzz_$part" --seeds "$work/corpus-$part"
	"$work/$part" -max_total_time="$seconds" -max_len=300000 -artifact_prefix="$work/" "$work/corpus-$part" ${kept:+"$kept"} \
		>"$work/$part.log" 2>&1 || status=1
	grep -E 'ERROR|SUMMARY|Test unit|runtime error|^Done' "$work/$part.log" || status=1
	! grep -q -E 'ERROR|runtime error' "$work/$part.log" || status=1
}

# fuzz_gcc TARGET SOURCE...: without clang, random changes to valid inputs.
fuzz_gcc() {
	part=$1
	shift
	# shellcheck disable=SC2086
	! stale "$part" || gcc $flags $includes -fsanitize=address,undefined -fno-sanitize-recover=undefined \
		"$top/tests/fuzz/fuzz_$part.c" "$top/tests/fuzz/fuzz_main.c" "$@" -o "$work/$part" -llmdb -lzstd -lcrypto -lpthread
	runs=3000
	[ "$part" != image ] || runs=100 # a pool is made for each
	"$work/$part" --runs $((seconds * runs)) || status=1
}

# build_live: what has changed since the last time, two files at a time.
build_live() {
	live_flags="$flags $includes -fsanitize=address,undefined -fno-sanitize-recover=undefined"
	objects=$work/live-objects
	mkdir -p "$objects"
	[ -z "$(find "$top/src" "$top/tests" "$top/include" -name '*.h' -newer "$objects/stamp" 2>&1 | head -n 1)" ] ||
		rm -f "$objects"/*.o
	: >"$objects/stamp.new"
	for source in "$@" "$top"/tests/fuzz/live*.c "$top/tests/crash/harness.c" "$top/tests/crash/tree.c"; do
		object=$objects/$(printf '%s' "${source#"$top/"}" | tr / _).o
		[ -n "$(find "$object" -newer "$source" 2>/dev/null)" ] || printf '%s\n%s\n' "$source" "$object"
	done >"$objects/todo"
	# shellcheck disable=SC2016 # for the shell that it is given to
	LIVE_FLAGS=$live_flags xargs -r -n 2 -P "$(nproc)" sh -c 'gcc $LIVE_FLAGS -c "$1" -o "$2"' sh <"$objects/todo" || return 1
	mv "$objects/stamp.new" "$objects/stamp"
	gcc -fsanitize=address,undefined "$objects"/*.o -o "$work/live" -llmdb -lzstd -lcrypto -lpthread
}

# commit_seed: the short form's, so that it can be repeated.
commit_seed() {
	printf '%d' "0x$(git -C "$top" rev-parse --short=7 HEAD 2>/dev/null || echo 1)"
}

how="$seconds s"
[ -z "$keep" ] || how=keeping
status=0
for part in $parts; do
	echo "== fuzz $part, $how"
	case $part in
	format | image | log | snap | packed)
		if [ -n "$clang" ]; then
			fuzz_clang "$part" "$@"
		else
			fuzz_gcc "$part" "$@"
		fi
		;;
	flip)
		# shellcheck disable=SC2086
		! stale flip || ${clang:-gcc} $flags $includes -fsanitize=address "$top/tests/fuzz/flip.c" \
			"$top/tests/bad/damage.c" "$top/tests/crash/harness.c" "$top/tests/crash/tree.c" "$top/tests/crash/ledger.c" "$@" \
			-o "$work/flip" -llmdb -lzstd -lcrypto -lpthread
		# The short form's seed is the commit's, so that it can be repeated.
		seed=
		[ -z "$short" ] || seed="--seed $(commit_seed)"
		# shellcheck disable=SC2086
		ASAN_OPTIONS=exitcode=86:detect_leaks=0 "$work/flip" $short $seed --seconds "$seconds" || status=1
		;;
	live)
		build_live "$@" || exit 1
		[ -n "$live_options" ] || live_options="--seconds $seconds"
		[ -z "$short" ] || live_options="--short --seed $(commit_seed)"
		# More than two gigabytes at once is damage that was believed.
		# shellcheck disable=SC2086
		ASAN_OPTIONS=exitcode=86:detect_leaks=0:handle_abort=1:max_allocation_size_mb=2048 \
			UBSAN_OPTIONS=print_stacktrace=1 "$work/live" $live_options || status=1
		;;
	esac
done
exit $status
