#!/bin/sh
# What is installed is built hardened: position independent, read-only after relocation, no executable stack, with
# stack protectors, fortified calls and, where the processor has it, marks for indirect jumps.
set -u
build=${top_builddir:-.}
n=0
failed=0

ok() {
	what=$1
	shift
	n=$((n + 1))
	if "$@"; then
		echo "ok $n - $what"
	else
		echo "not ok $n - $what"
		failed=1
	fi
}

if ! command -v readelf >/dev/null || ! command -v objdump >/dev/null; then
	echo "1..0 # SKIP no readelf or objdump"
	exit 0
fi
if ! grep -q '^LATZ_PIE_LDFLAGS = .*-pie' "$build/Makefile" || grep -q '^CFLAGS = .*-O0' "$build/Makefile"; then
	echo "1..0 # SKIP built with sanitizers, without optimization, or by a compiler that has no such flags"
	exit 0
fi
root=$(mktemp -d) || exit 99
trap 'rm -rf "$root"' EXIT
unset MAKEFLAGS MFLAGS MAKELEVEL
make -C "$build" -s --no-print-directory install DESTDIR="$root/to" >"$root/log" 2>&1 || {
	sed 's/^/# /' "$root/log"
	echo "not ok 1 - make install"
	echo "1..1"
	exit 1
}

segment() {
	readelf -lW "$1" | grep -q "^ *$2 "
}

stack_is_data() {
	readelf -lW "$1" | grep 'GNU_STACK' | grep -q ' RW '
}

dynamic() {
	readelf -dW "$1" | grep -q "$2"
}

uses() {
	readelf -sW "$1" | grep -q "$2"
}

check() {
	file=$1
	name=${file##*/}
	ok "$name: position independent" eval 'readelf -hW "$file" | grep -q "Type: *DYN"'
	ok "$name: relocations are read-only after loading" segment "$file" GNU_RELRO
	ok "$name: and done before it runs" dynamic "$file" 'BIND_NOW\|FLAGS.*NOW'
	ok "$name: its stack is not executable" stack_is_data "$file"
	ok "$name: nothing is writable and executable" eval '! readelf -lW "$file" | grep "^ *LOAD" | grep -q " RWE "'
	ok "$name: no text relocations" eval '! readelf -dW "$file" | grep -q TEXTREL'
	ok "$name: stack protectors" uses "$file" __stack_chk_fail
	ok "$name: fortified calls" uses "$file" '_chk@'
	case $(uname -m) in
	# The note that says so is of all that was linked, the C library's part too; so the marks themselves are looked for.
	x86_64) ok "$name: marks where indirect jumps may lead" eval 'objdump -d "$file" | grep -m 1 -q endbr64' ;;
	esac
}

to=$root/to$(sed -n 's/^prefix = //p' "$build/Makefile")
for file in "$to"/lib/liblatzero.so.*.*.*; do
	check "$file"
done
for file in "$to"/bin/* "$to"/libexec/latzero/*; do
	case $(dd if="$file" bs=4 count=1 2>/dev/null | od -An -c | tr -d ' ') in
	177ELF) check "$file" ;;
	esac
done
ok "the library and four programs were looked at" test "$n" -ge 40
echo "1..$n"
exit $failed
