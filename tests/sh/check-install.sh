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
# Who knows the pages only finds every call from latzero(3), and all members of the structs that are printed there.
for page in "$to"/share/man/man3/latz_*.3; do
	grep -q '^\.Sh NAME' "$page" || continue # it only names the page that it is on
	name=$(basename "$page" .3)
	ok "latzero(3) lists $name" eval 'grep -q "^\.It Xr $name 3" "$to/share/man/man3/latzero.3"'
done
for struct in latz_item latz_event; do
	ok "a page has $struct" grep -q "^typedef struct $struct {" "$to"/share/man/man3/latz_*.3
done
members() { # of the structs that the files print: "struct member" a line
	awk '
		/^typedef struct latz_[a-z_]+ \{/ { type = $3; next }
		/^}/ { type = "" }
		type != "" {
			if (comment && !sub(/.*\*\//, "")) next
			sub(/\/\*.*\*\//, "")
			comment = sub(/\/\*.*/, "")
			n = split($0, part, ",")
			if (!/;/) next
			for (i = 1; i <= n; i++) {
				sub(/;.*/, "", part[i])
				if (match(part[i], /[a-z_0-9]+[ \t]*$/)) print type, substr(part[i], RSTART)
			}
		}' "$@" | sort -u
}
members "$to"/share/man/man3/*.3 >"$root/told"
members "$to"/include/latzero/*.h | grep -F "$(cut -d' ' -f1 "$root/told" | sort -u | sed 's/$/ /')" >"$root/there"
diff "$root/there" "$root/told" | sed 's/^/# /'
ok "the structs in the pages are the headers'" cmp -s "$root/there" "$root/told"
"$bin/latzero" create p --keep >/dev/null
"$bin/latzero" set p k v
ok "a snapshot" eval '"$bin/latzero-snapshot" p "$root/p.lzs" >/dev/null'
"$bin/latzero" set p k w
ok "a restore" eval '"$bin/latzero-restore" "$root/p.lzs" p --keep --replace >/dev/null'
ok "the value is back" test "$("$bin/latzero" get p k)" = v
echo "1..$n"
exit $failed
