#!/bin/sh
# Compares the lists of files in the Makefile.inc fragments with the tree, and fails when a file is missing from them or
# is listed and gone. With --fix it writes the lists anew, between the lines "# begin" and "# end" of each fragment.
set -eu
cd "${0%/*}/.."
export LC_ALL=C
fix=no
[ "${1-}" = --fix ] && fix=yes
status=0

# list NAME FILE...: a make variable with one file a line.
list() {
	if [ $# -eq 1 ]; then
		echo "$1 ="
		return
	fi
	printf '%s =' "$1"
	shift
	printf ' \\\n\t%s' "$@"
	echo
}

# found PATTERN...: the files that match, if any.
found() {
	for path in "$@"; do
		[ ! -e "$path" ] || echo "$path"
	done
}

without_suffix() {
	sed 's/\.c$//'
}

# Program names as automake spells them in variables.
canonical() {
	echo "$1" | tr -c 'A-Za-z0-9_\n' '_'
}

src_lists() {
	list core_sources $(find src -name '*.[ch]' ! -name guard_main.c | sort)
}

doc_lists() {
	list man_pages $(found doc/man/*.[1-8])
}

examples_lists() {
	list example_programs $(found examples/[0-9]*.c | without_suffix)
}

tests_lists() {
	list unit_tests $(found tests/unit/test_*.c | without_suffix)
	list api_tests $(found tests/api/test_*.c | without_suffix)
	list proc_tests $(found tests/proc/test_*.c | without_suffix)
	list sh_tests $(found tests/sh/*.sh tests/cli/*.sh)
	list test_lib_sources $(found tests/lib/*.[ch])
	for test in $(found tests/unit/test_*.c | without_suffix); do
		echo "$(canonical "$test")_CPPFLAGS = \$(unit_cppflags)"
		echo "$(canonical "$test")_LDADD = \$(unit_ldadd)"
	done
	for test in $(found tests/proc/test_*.c | without_suffix); do
		echo "$(canonical "$test")_CPPFLAGS = \$(unit_cppflags)"
		echo "$(canonical "$test")_LDADD = \$(proc_ldadd)"
	done
}

check() {
	fragment=$1/Makefile.inc
	wanted=$("${1}_lists")
	present=$(sed -n '/^# begin/,/^# end/p' "$fragment" | sed '1d;$d')
	[ "$wanted" != "$present" ] || return 0
	if [ $fix = yes ]; then
		WANTED=$wanted awk '/^# begin/ { print; print ENVIRON["WANTED"]; skip = 1 } /^# end/ { skip = 0 } !skip' \
			"$fragment" >"$fragment.new"
		cat "$fragment.new" >"$fragment"
		rm "$fragment.new"
		echo "$fragment: updated"
	else
		echo "$fragment differs from the tree ($0 --fix writes it):"
		{ echo "$present" | sed 's/^/-/'; echo "$wanted" | sed 's/^/+/'; } | sort -k1.2 | uniq -u -s1
		status=1
	fi
}

# These are written by hand: every source must be in them, and nothing that is gone.
check_named() {
	fragment=$1/Makefile.inc
	for path in $(found "$1"/*.c "$1"/*.cc); do
		grep -qw -- "$path" "$fragment" || { echo "$fragment does not name $path"; status=1; }
	done
	for path in $(grep -o "$1/[A-Za-z0-9_]*\.\(c\|cc\|h\)\>" "$fragment" | sort -u); do
		[ -e "$path" ] || { echo "$fragment names $path, which is not there"; status=1; }
	done
}

for part in src doc examples tests; do
	check "$part"
done
check_named tools
check_named bench
# A test that nobody builds can't fail.
for path in $(found tests/*/*.c); do
	grep -qw -- "${path%.c}" tests/Makefile.inc || grep -qw -s -- "$(basename "$path" .c)" "${path%/*}"/Makefile* ||
		{ echo "nothing builds $path"; status=1; }
done
exit $status
