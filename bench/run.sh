#!/bin/sh
# Builds and runs the benchmark, or with "durable", "evict", "feed", "lock", "sealed" or "spaces" as the first word the one of
# durability, of bounded pools, of the change feed, of locks, of encrypted pools or of namespaces, against the library installed in
# build/root. See ./dev bench [WORD] --help for the options. All it writes while running is in one directory of /dev/shm
# and, of what is durable, in one below build/bench or $LATZERO_BENCH_DISK, both removed at the end; the report is also
# build/bench/latest.txt, durable.txt, evict.txt, feed.txt, lock.txt, sealed.txt or spaces.txt.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$here")
out=$top/build/bench
mkdir -p "$out"
command="./dev bench"
part=latzero-bench
report=latest.txt
case ${1-} in
durable | evict | feed | lock | sealed | spaces)
	command="./dev bench $1"
	part=latzero-bench-$1
	report=$1.txt
	shift
	;;
esac

# The installed library, wherever its prefix put it below build/root.
cflags=""
libs=""
lib=$(find "$top/build/root" -name liblatzero.so 2>/dev/null | head -n 1)
header=$(find "$top/build/root" -path '*/include/latzero/latzero.h' 2>/dev/null | head -n 1)
if [ -n "$lib" ] && [ -n "$header" ]; then
	cflags=-I$(dirname "$(dirname "$header")")
	libs="-L$(dirname "$lib") -llatzero -Wl,-rpath,$(dirname "$lib")"
else
	echo "bench: no library below build/root: latzero is not run" >&2
fi
make -s -j2 -C "$here" OUT="$out" LATZERO_CFLAGS="$cflags" LATZERO_LIBS="$libs" "$out/$part"

dir=
disk=
program=
clean() {
	if [ -n "$program" ]; then
		kill "$program" 2>/dev/null || true
		wait "$program" 2>/dev/null || true
	fi
	[ -z "$dir" ] || rm -rf "$dir"
	[ -z "$disk" ] || rm -rf "$disk"
}
trap clean EXIT
trap 'exit 130' INT TERM HUP
dir=$(mktemp -d /dev/shm/latzero-bench.XXXXXX)
if [ "$part" = latzero-bench-durable ]; then
	disk=$(mktemp -d "${LATZERO_BENCH_DISK:-$out}/durable.XXXXXX")
fi

cache() {
	cat "/sys/devices/system/cpu/cpu0/cache/index$1/size" 2>/dev/null || echo '?'
}

content_of() {
	cat "$1" 2>/dev/null || echo "$2"
}

facts() {
	cpu=$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1)
	cpus=/sys/devices/system/cpu
	echo
	echo "Machine"
	echo "  cpu       $cpu, $(getconf _NPROCESSORS_ONLN) online, L2 $(cache 2), L3 $(cache 3)"
	echo "  memory    $(awk '/^MemTotal/ { printf "%.1f GiB", $2 / 1048576 }' /proc/meminfo)"
	[ -z "$disk" ] || echo "  disk      $(df --output=fstype,source "$disk" | tail -n 1)," \
		"$(findmnt -n -o OPTIONS -T "$disk" 2>/dev/null || echo 'options unknown')"
	echo "  kernel    $(uname -sr)"
	echo "  load      $load_before before, $(cut -d' ' -f1 /proc/loadavg) after"
	echo "  thp shmem $(content_of /sys/kernel/mm/transparent_hugepage/shmem_enabled unknown)"
	echo "  governor  $(content_of $cpus/cpu0/cpufreq/scaling_governor 'none (no cpufreq)')"
	echo "  compiler  $(gcc --version | head -n 1)"
	echo "  peers     $(dpkg-query -W -f '${Package} ${Version}, ' liblmdb-dev libboost-dev libtkrzw-dev redis-server \
		libhiredis-dev memcached libmemcached-dev librocksdb-dev libsqlite3-dev 2>/dev/null | sed 's/, $//')"
	echo "  command   $command${args:+ $args}"
	echo "  when      $(date -u '+%Y-%m-%d %H:%M UTC')," \
		"commit $(git -C "$top" rev-parse --short HEAD 2>/dev/null || echo unknown)"
}

load_before=$(cut -d' ' -f1 /proc/loadavg)
args=$*
"$out/$part" "$@" --dir "$dir" ${disk:+--disk "$disk"} >"$out/report.new" &
program=$!
rc=0
wait "$program" || rc=$?
program=
[ "$rc" -eq 0 ] && [ -s "$out/report.new" ] || exit "$rc"
facts >>"$out/report.new"
mv "$out/report.new" "$out/$report"
cat "$out/$report"
