#!/bin/sh
# What `make install` puts down works from there: the programs, the library they find, man pages, completions.
set -u
build=${top_builddir:-.}
root=$(mktemp -d) || exit 99
LATZERO_DIR=$root/pools
export LATZERO_DIR
trap '[ ! -d "$LATZERO_DIR/p" ] || "$bin/latzero" destroy p; rm -rf "$root"' EXIT
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

unset MAKEFLAGS MFLAGS MAKELEVEL
if ! make -C "$build" -s --no-print-directory install DESTDIR="$root/to" >"$root/log" 2>&1; then
	sed 's/^/# /' "$root/log"
	echo "not ok 1 - make install"
	echo "1..1"
	exit 1
fi
to=$root/to$(sed -n 's/^prefix = //p' "$build/Makefile")
bin=$to/bin
LD_LIBRARY_PATH=$to/lib
export LD_LIBRARY_PATH
for program in latzero latzero-snapshot latzero-restore; do
	ok "$program is there and runs" eval '"$bin/$program" --version >/dev/null'
	ok "it has a man page" test -s "$to/share/man/man1/$program.1"
	ok "and completions for bash" eval 'find "$to/share/bash-completion" -name "$program*" | grep -q .'
done
"$bin/latzero" create p --keep >/dev/null
"$bin/latzero" set p k v
ok "a snapshot" eval '"$bin/latzero-snapshot" p "$root/p.lzs" >/dev/null'
"$bin/latzero" set p k w
ok "a restore" eval '"$bin/latzero-restore" "$root/p.lzs" p --keep --replace >/dev/null'
ok "the value is back" test "$("$bin/latzero" get p k)" = v
echo "1..$n"
exit $failed
