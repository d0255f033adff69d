#!/bin/sh
# watch: events as lines and as JSON, by kind and prefix, from a number on.
. "${top_srcdir:-.}/tests/cli/cli.inc"

# first LINES: of what the watch has printed so far, once there are so many.
first() {
	tries=0
	while [ "$(wc -l <"$scratch/events")" -lt "$1" ] && [ $tries -lt 200 ]; do
		sleep 0.1
		tries=$((tries + 1))
	done
	head -n "$1" "$scratch/events"
}

l create p --keep >/dev/null
: >"$scratch/events"
"$LATZERO" watch p user: --kinds set,delete,expire --old --count 5 >"$scratch/events" &
watcher=$!
"$LATZERO" watch p --kinds set >/dev/null 2>&1 &
other=$!
# Both have subscribed when a write is told of.
tries=0
while [ ! -s "$scratch/events" ] && [ $tries -lt 200 ]; do
	l set p user:0 first
	sleep 0.1
	tries=$((tries + 1))
done
sed 's/^[0-9]*	//' "$scratch/events" >"$scratch/kinds"
like "a write is told of" "^set	user:0" "$(cat "$scratch/kinds")"
kill "$watcher" && wait "$watcher"
is "a signal ends it" 0 $?

l set p user:0 first
: >"$scratch/events"
"$LATZERO" watch p user: --kinds set,delete,expire --old --from 1 >"$scratch/all" &
watcher=$!
l set p user:1 one
l set p 'user:t\tb' two --escaped
l set p other x
l set p user:1 three
l del p user:1 >/dev/null
l set p user:2 short --ttl 50ms
tries=0
while ! grep -q expire "$scratch/all" && [ $tries -lt 200 ]; do
	sleep 0.1
	tries=$((tries + 1))
done
kill "$watcher" && wait "$watcher"
grep -v "user:0" "$scratch/all" | sed 's/^[0-9]*	//' >"$scratch/events"
is "one after another, keys escaped, old values" "set	user:1
set	user:t\\tb
set	user:1	one
delete	user:1	three
set	user:2
expire	user:2	short" "$(first 6)"

seq=$(grep "delete	user:1" "$scratch/all" | cut -f 1)
like "JSON from a number on" '^{"seq":'"$seq"',"kind":"delete","key":"user:1","version":[0-9]*}$' \
	"$("$LATZERO" watch p --from "$seq" --count 1 --json)"
exits "a number that is not there yet" 2 watch p --from 1000000
like "says so" "next event" "$err"
exits "kinds that are none" 2 watch p --kinds set,nope
exits "no such pool" 1 watch q
kill "$other" && wait "$other"
l destroy p
done_testing
