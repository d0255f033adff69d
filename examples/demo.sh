#!/bin/sh
# The tour: the machine's package database in a pool, four processes at it, one killed, how the pool goes, and how it
# comes back from disk. Needs latzero on PATH and latzero.pc on PKG_CONFIG_PATH, as ./dev demo sets them. Exits non-zero when a check fails.
set -u
here=$(cd "${0%/*}" && pwd)
status_file=${DEMO_STATUS_FILE:-/var/lib/dpkg/status}
failures=0
holder=''
second=''
more=200000

bold='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR-}" ] && [ "${TERM-dumb}" != dumb ]; then
	bold=$(printf '\033[1m') plain=$(printf '\033[0m')
fi

section() {
	printf '\n%s%s%s\n' "$bold" "$1" "$plain"
}

# check WHAT COMMAND...: runs it; a failure is counted and told.
check() {
	what=$1
	shift
	if "$@"; then
		return 0
	fi
	failures=$((failures + 1))
	echo "  FAILED: $what"
	return 1
}

die() {
	echo "demo: $*" >&2
	exit 1
}

programs=$(mktemp -d) || exit 1
if [ -d /dev/shm ] && [ -w /dev/shm ]; then
	LATZERO_DIR=$(mktemp -d /dev/shm/latzero-demo-XXXXXX) || exit 1
else
	LATZERO_DIR=$(mktemp -d) || exit 1
fi
export LATZERO_DIR

# shellcheck disable=SC2317 # called by the trap
clean_up() {
	for process in $holder $second; do
		kill "$process" 2>"$programs/messages"
	done
	for pool in packages ten orphan copy; do
		latzero destroy "$pool" 2>"$programs/messages"
	done
	rm -rf "$programs" "$LATZERO_DIR"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# hold POOL: a process that stays attached, as $holder, until it gets a signal. Its input is a pipe nobody writes to.
hold() {
	rm -f "$programs/input" "$programs/created"
	mkfifo "$programs/input" || exit 1
	latzero create "$1" <>"$programs/input" >"$programs/created" &
	holder=$!
	tries=0
	until [ -s "$programs/created" ]; do
		tries=$((tries + 1))
		[ "$tries" -lt 500 ] || die "latzero create $1 does not get ready"
		kill -0 "$holder" 2>"$programs/messages" || die "latzero create $1 has failed"
		sleep 0.02
	done
}

command -v latzero >"$programs/messages" || die "latzero is not on PATH; run ./dev demo"
[ -r "$status_file" ] || die "$status_file is not there: this demo shows the package database of a Debian system"

section "Programs against the library, found with pkg-config"
flags=$(pkg-config --cflags --libs latzero) || die "pkg-config does not find latzero; run ./dev demo"
library=$(pkg-config --variable=libdir latzero)
for program in demo_load demo_four demo_attach demo_last demo_durable; do
	# shellcheck disable=SC2086 # CC and flags hold several words
	${CC:-cc} -std=c11 -O2 -Wall -Wextra -Werror -o "$programs/$program" "$here/$program.c" "$here/demo_packages.c" \
		$flags -Wl,-rpath,"$library" -lpthread || die "$program.c does not compile"
done
echo "  cc demo_load.c \$(pkg-config --cflags --libs latzero)"
echo "  $(latzero --version); pools of this demo are in $LATZERO_DIR"

section "1. The package database becomes a pool, one key a package"
hold packages
echo "  latzero create packages: process $holder stays attached, so the pool lives. Nobody said how large it gets."
check "every package reads back as written" "$programs/demo_load" packages "$status_file"

section "2. Four processes read and write it at once; one is killed half-way"
echo "  No server: each maps the files and goes ahead. Every value carries a counter and a checksum, every read checks"
cores=$(getconf _NPROCESSORS_ONLN)
echo "  them, and every write that returned is noted outside the pool. There are $cores cores for four processes, so the"
echo "  longest operation is one that had to wait for a core; own ms leaves that wait out. Reads wait for nobody; a write"
echo "  waits for another one of the same moment, which may itself be without a core."
check "the others go on, nothing is lost or torn" "$programs/demo_four" packages "$status_file" 6
echo "  latzero verify walks every record, the table, the index and all counts:"
latzero verify packages >"$programs/verify" 2>&1
check "verify finds nothing" test $? -eq 0
sed 's/^/    /' "$programs/verify"

section "3. Attaching afresh costs the same whatever the pool holds"
check "a small pool beside it" latzero create ten --keep >"$programs/messages"
number=0
while [ $number -lt 10 ]; do
	printf 'key%d\tvalue%d\n' $number $number
	number=$((number + 1))
done | latzero load ten --format tsv >"$programs/messages" || check "loading ten keys" false
check "attaching to the small pool" "$programs/demo_attach" ten key7
first=$(latzero keys packages pkg/ --limit 1)
check "attaching to the packages" "$programs/demo_attach" packages "$first"
check "destroying the small pool" latzero destroy ten

section "4. Packages by prefix, in order, as of one moment: latzero keys packages pkg/libc"
latzero keys packages pkg/libc >"$programs/keys"
check "keys are there" test -s "$programs/keys"
LC_ALL=C sort -c "$programs/keys"
check "keys are in order" test $? -eq 0
expected=$(sed -n 's/^Package: *//p' "$status_file" | grep -c '^libc')
check "as many as the file has: $expected" test "$(grep -c . "$programs/keys")" -eq "$expected"
head -n 8 "$programs/keys" | sed 's/^/  /'
[ "$expected" -le 8 ] || echo "  ... $expected in all"

section "5. Who and what: latzero list, latzero inspect packages"
latzero list | awk -F '\t' 'BEGIN { printf "  %-10s %7s %8s %10s %8s\n", "name", "clients", "keys", "bytes", "age ms" }
	{ printf "  %-10s %7s %8s %10s %8s\n", $1, $2, $3, $4, $5 }'
echo
latzero inspect packages >"$programs/inspect"
check "inspect tells" test -s "$programs/inspect"
awk -F '\t' '$1 == "client" { printf "  client in slot %s: pid %s, %s, for %s ms\n", $2, $3, $4, $5; next }
	{ printf "  %-16s %s\n", $1, $2 }' "$programs/inspect"

section "6. The pool goes with its last user"
check "files go when the last user leaves" "$programs/demo_last" packages "$holder" 15
wait "$holder"
holder=''
check "nothing is left to list" test -z "$(latzero list)"
echo "  And when the last user is killed with SIGKILL and can do nothing any more, the guard process does it:"
hold orphan
latzero set orphan key value || check "writing to it" false
check "files go when the last user is killed" "$programs/demo_last" orphan "$holder" 9
wait "$holder" 2>"$programs/messages"
holder=''
check "nothing is left to list" test -z "$(latzero list)"

section "7. A pool made durable comes back when every process and its files are gone"
hold packages
check "every package reads back as written" "$programs/demo_load" packages "$status_file"
check "more keys" "$programs/demo_durable" fill packages "$more"
disk=$programs/disk
began=$(date +%s%N)
check "it becomes durable" latzero persist packages "$disk" --sync always >"$programs/messages"
ended=$(date +%s%N)
snapshot=$(ls "$disk"/packages/snapshot-*.lzs)
echo "  latzero persist packages $disk --sync always: its snapshot of $(wc -c <"$snapshot") bytes is on disk after \
$(((ended - began) / 1000000)) ms"
late=0
while [ $late -lt 20 ]; do
	latzero set packages late/$late late/$late || check "writing on" false
	late=$((late + 1))
done
echo "  $late keys written since are in the log alone, each on disk before the command returned"
check "the snapshot to take along" latzero-snapshot packages "$programs/packages.lzs" >"$programs/written"
sed "s|$programs/||; s|^|  latzero-snapshot |" "$programs/written"
latzero create packages --attach <>"$programs/input" >"$programs/attached" &
second=$!
until [ -s "$programs/attached" ] || ! kill -0 "$second" 2>"$programs/messages"; do
	sleep 0.02
done
kill -9 "$holder" "$second"
rm -rf "${LATZERO_DIR:?}/packages"
wait "$holder" "$second" 2>"$programs/messages"
echo "  processes $holder and $second, all that were attached, got SIGKILL; $LATZERO_DIR/packages is removed"
holder='' second=''
check "nothing is left to list" test -z "$(latzero list)"
check "warm start: every value is there" "$programs/demo_durable" warm packages "$disk" "$status_file" "$more" "$late"
began=$(date +%s%N)
check "the snapshot becomes a pool of another name" latzero-restore "$programs/packages.lzs" copy --keep >"$programs/restored"
ended=$(date +%s%N)
echo "  latzero-restore packages.lzs copy: $(sed 's/.*: //; s/,.*//' "$programs/restored") after $(((ended - began) / 1000000)) ms"
check "it is sound" latzero verify copy >"$programs/messages"
check "destroying it" latzero destroy copy

echo
if [ $failures -ne 0 ]; then
	echo "$failures checks FAILED"
	exit 1
fi
echo "${bold}All checks passed.${plain}"
