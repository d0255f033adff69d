#!/bin/sh
# Runs each example in a runtime directory of its own; it must end with 0, say something, and leave no pool behind.
set -u
base=/dev/shm
[ -w "$base" ] || base=${TMPDIR:-/tmp}
dir=$(mktemp -d "$base/latz-test-XXXXXX") || exit 99
trap 'rm -rf "$dir"' EXIT
LATZERO_DIR=$dir/run
export LATZERO_DIR
run_example() {
	timeout 60 "${top_builddir:-.}/examples/$1" >"$dir/out" 2>&1
	status=$?
}

n=0
failed=0
for source in "${top_srcdir:-.}"/examples/[0-9]*.c; do
	name=${source##*/}
	name=${name%.c}
	n=$((n + 1))
	run_example "$name"
	# An example forks as it likes. gcc 12's AddressSanitizer leaves a child the allocator's locks as they are, which may
	# be those of a thread that the child has not got; then it waits for ever. Only that is given more tries.
	for try in 2 3; do
		if [ "$status" = 124 ] && [ -n "${ASAN_OPTIONS:-}" ]; then
			rm -rf "$LATZERO_DIR"
			run_example "$name"
		fi
	done
	if [ "$status" = 0 ] && [ -s "$dir/out" ] &&
		[ -z "$(ls -A "$LATZERO_DIR" 2>/dev/null | grep -v '^\.')" ]; then
		echo "ok $n - $name"
	else
		echo "not ok $n - $name"
		sed 's/^/# /' "$dir/out"
		failed=1
	fi
done
echo "1..$n"
exit $failed
