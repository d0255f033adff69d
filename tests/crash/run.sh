#!/bin/sh
# Death, stops, power cuts, failing and full disks, life, growth and bad input.
#   run.sh [--short] [points|random|stop|power|fault|durable|life|pid1|full|grow|churn|bounded|bad]... [-- OPTION...]
# Without names: all of them. --short: a form of each that fits into ./dev check. Options after a name or -- go to the programs
# (each has --help). Runs what $LATZERO_BUILD (default build/main) holds; `make check-programs` builds it.
set -eu
top=$(cd "${0%/*}/../.." && pwd)
build=${LATZERO_BUILD:-$top/build/main}
LATZERO_GUARD=$build/latzero-guard
export LATZERO_GUARD
all='points random stop power fault durable life pid1 full grow churn bounded bad'
short=
parts=

while [ $# -gt 0 ]; do
	case $1 in
	--short) short=--short ;;
	--help) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 0 ;;
	points | random | stop | power | fault | durable | life | pid1 | full | grow | churn | bounded | bad) parts="$parts $1" ;;
	--) shift; break ;;
	--*) [ -n "$parts" ] || { echo "run.sh: what is $1? (see --help)" >&2; exit 2; }; break ;;
	*) echo "run.sh: what is $1? (see --help)" >&2; exit 2 ;;
	esac
	shift
done
[ -n "$parts" ] || parts=$all

commit=$(git -C "$top" rev-parse --short=7 HEAD 2>/dev/null || echo 1)
seed="--seed $(printf '%d' "0x$commit")"
passed=0
failed=
skipped=
begin=$(date +%s)
for part in $parts; do
	echo "== $part"
	case $part in
	points | stop) program="crash/crash_$part --src $top/src" ;;
	random | durable) program=crash/crash_$part ;;
	power | fault | bounded) program=crash/$part ;;
	churn) program=grow/churn ;;
	pid1) program=crash/crash_pid1 ;;
	*) program=$part/$part ;;
	esac
	form=$short
	if [ -n "$short" ]; then
		# The short form runs wherever the library is built, also where neighbours take the processor away: its
		# ceilings only tell a wait from a hang. By hand they are the promises. Its seed is the commit's.
		case $part in
		points | stop) form="$form --limit-ms 150" ;;
		random) form="$form --limit-ms 300" ;;
		grow) form="$form --limit-s 20" ;;
		churn) form="$form --settle-s 20" ;;
		pid1) form= ;;
		esac
		form="$form $seed"
	fi
	status=0
	# shellcheck disable=SC2086 # the program and its options
	"$build"/tests/$program $form "$@" || status=$?
	case $status in
	0) passed=$((passed + 1)) ;;
	77) skipped="$skipped $part" ;;
	*) failed="$failed $part" ;;
	esac
done
echo "== crash: $passed passed${skipped:+, skipped:$skipped}${failed:+, FAILED:$failed}; $(($(date +%s) - begin)) s"
[ -z "$failed" ]
