#!/bin/sh
# Durable pools by tool: create --persist, persist, warm starts after kills, what inspect, list and top tell.
. "${top_srcdir:-.}/tests/cli/cli.inc"
disk=$scratch/disk

# hold POOL OPTION...: create that stays, as $holder.
hold() {
	mkfifo "$scratch/$1.in" 2>/dev/null
	rm -f "$scratch/$1.out"
	"$LATZERO" create "$@" <>"$scratch/$1.in" >"$scratch/$1.out" 2>&1 &
	holder=$!
	helpers="$helpers $holder"
	until_true 30 test -s "$scratch/$1.out"
}
gone() {
	[ -z "$("$LATZERO" list)" ]
}
field() {
	l inspect "$1" | sed -n "s/^$2	//p"
}
load_some() {
	awk -v from="$2" 'BEGIN { for (i = from; i < from + 1000; i++) printf "key%05d\tvalue-%d\n", i, i * 7 }' |
		l load "$1" --format tsv >/dev/null
}

ok "create --persist" hold d --persist "$disk" --sync always
like "of nothing" '^created d$' "$(cat "$scratch/d.out")"
load_some d 0
l set d mortal v --ttl 1h
l set d count 41 --type int
l set d doomed v
l del d doomed >/dev/null
like "list shows the flag" '^d	1	1002	.*	durable	ok$' "$(l list)"
like "list --json too" '"durable":true,"log_broken":false,' "$(l list --json)"
is "inspect: durable" yes "$(field d durable)"
is "inspect: sync" always "$(field d sync)"
is "inspect: nothing waits for the disk" 0 "$(field d log_lag_bytes)"
ok "inspect: the log has grown" test "$(field d log_bytes)" -gt 10000
ok "inspect: and was synced" test "$(field d log_syncs)" -gt 0
is "inspect: no snapshot" none "$(field d snapshot)"
is "inspect: where" "$disk" "$(field d persist_dir)"
is "inspect: when a checkpoint is made" 268435456 "$(field d checkpoint_bytes)"
like "inspect --json: options" '"persist_dir":".*","sync_interval_ms":1000,"checkpoint_bytes":268435456,"snapshot_on_close":false' \
	"$(l inspect d --json)"
like "inspect --json" '"durable":true,"sync":"always","log_broken":null,"log_lag_bytes":0,' "$(l inspect d --json)"
is "top has the mode" always "$(l top d --once --interval 20ms | cut -f 12)"
like "top --json" '"durable":true,"sync":"always","log_lag_bytes":' "$(l top d --once --interval 20ms --json)"
whole=$(l scan d | cksum)
exits "a second create" 1 create d --persist "$disk"
exits "the same directory for a pool elsewhere" 3 create d --dir "$scratch/other" --persist "$disk" --keep
like "is in use" 'LATZ_BUSY.*in use by a pool of another runtime directory' "$err"

kill -9 "$holder"
wait "$holder" 2>/dev/null
ok "the last user is killed, and the pool goes" until_true 20 gone
ok "its log stays" eval 'ls "$disk"/d/wal-*.log >/dev/null'
ok "it comes back" hold d --persist "$disk" --sync always
is "it says so" "created d, 1002 keys restored" "$(cat "$scratch/d.out")"
is "with every value" "$whole" "$(l scan d | cksum)"
like "deadlines go on" '^359[0-9]*ms$' "$(l ttl d mortal)"
is "types are there" 42 "$(l incr d count)"
exits "what was deleted stays deleted" 1 exists d doomed
exits "the pool is sound" 0 verify d
# All at once: whoever holds it, and its files.
load_some d 1000
whole=$(l scan d | cksum)
kill -9 "$holder"
rm -rf "${LATZERO_DIR:?}/d"
wait "$holder" 2>/dev/null
ok "killed, its files removed at once: it comes back" hold d --persist "$disk" --snapshot-on-close
is "with every value" "$whole" "$(l scan d | cksum)"
is "now with interval, which is the default" interval "$(field d sync)"
kill "$holder"
wait "$holder"
is "it ends in order" 0 $?
ok "the pool goes" until_true 20 gone
is "with a snapshot" 1 "$(ls "$disk/d" | grep -c '^snapshot-.*\.lzs$')"
ok "which can be verified" sh -c '"$1-snapshot" --verify "$2"/snapshot-*.lzs >/dev/null' sh "$LATZERO" "$disk/d"
exits "create --persist --keep" 0 create d --keep --persist "$disk" --sync interval --sync-interval 50ms --checkpoint-bytes 1M
is "comes back from it" "created d, kept, 2002 keys restored" "$out"
is "with every value" "$whole" "$(l scan d | cksum)"
like "its age is told" '^[0-9]*$' "$(field d snapshot_age_ms)"
exits "create --attach --persist" 0 create d --keep --attach --persist "$disk"
exits "another directory" 1 create d --keep --attach --persist "$disk/other"
like "is told, and which it has" "durable in $disk/d, not in .*leave --persist out" "$err"
l destroy d
ok "destroying leaves the files on disk" test -e "$disk/d/lock"
exits "a pool in memory alone" 0 create m --keep
exits "is not made durable by who attaches" 1 create m --keep --attach --persist "$disk"
like "and how it is, is told" 'not durable.*latzero persist makes' "$err"
l destroy m

# A checkpoint that fails: a directory stands where its file is to be made.
ok "create --checkpoint-bytes" hold c --persist "$disk" --sync always --checkpoint-bytes 64k
is "inspect: no failed checkpoint" "" "$(field c checkpoint)"
like "inspect --json: neither" '"snapshot_on_close":false,"checkpoint_error":null' "$(l inspect c --json)"
mkdir -p "$disk/c/snapshot.tmp/x"
load_some c 0
load_some c 1000
failed() {
	[ -n "$(field c checkpoint)" ]
}
ok "inspect tells of one" until_true 20 failed
like "and why" '^failed: LATZ_[A-Z]*: .*snapshot.tmp' "$(field c checkpoint)"
like "and when" '^[0-9][0-9]*$' "$(field c checkpoint_failed_wall_ms)"
like "inspect --json: too" '"checkpoint_error":"LATZ_[A-Z]*","checkpoint_failed_wall_ms":[0-9]*,"checkpoint_detail":".*snapshot.tmp' \
	"$(l inspect c --json)"
ok "stats has a figure of it" test "$(l stats c | sed -n 's/^checkpoint_error	//p')" -lt 0
rm -r "$disk/c/snapshot.tmp"
cured() {
	[ -z "$(field c checkpoint)" ]
}
ok "until one succeeds" until_true 30 cured
kill "$holder"
wait "$holder"
ok "it goes as well" until_true 20 gone

# Without syncs the death of all loses nothing, either: what the log lacks goes to it before the pool goes.
ok "create --sync none" hold n --persist "$disk" --sync none
load_some n 0
whole=$(l scan n | cksum)
ok "inspect: what the log lacks is told" test "$(field n log_lag_bytes)" -gt 10000
kill -9 "$holder"
wait "$holder" 2>/dev/null
ok "killed" until_true 20 gone
ok "it comes back" hold n --persist "$disk" --sync none
is "with every value" "$whole" "$(l scan n | cksum)"
is "and nothing is lacking" 0 "$(field n log_lag_bytes)"
kill "$holder"
wait "$holder"
ok "it goes" until_true 20 gone

# A damaged snapshot: refused, as it is, or set aside.
snapshot=$(ls "$disk"/d/snapshot-*.lzs)
printf 'damaged' | dd of="$snapshot" bs=1 seek=$(($(wc -c <"$snapshot") / 2)) conv=notrunc 2>/dev/null
before=$(cat "$disk"/d/*.lzs "$disk"/d/*.log | cksum)
exits "what is damaged is an error" 3 create d --keep --persist "$disk"
one_line "what is damaged is an error"
like "with file and offset" 'LATZ_CORRUPT.*snapshot-[0-9a-f]*.lzs.*offset [0-9]*' "$err"
like "and what to do" '--start-empty' "$err"
is "nothing was changed" "$before" "$(cat "$disk"/d/*.lzs "$disk"/d/*.log | cksum)"
is "and there is no pool" "" "$(l list)"
exits "--start-empty" 0 create d --keep --persist "$disk" --start-empty
is "starts empty" "created d, kept" "$out"
ok "and keeps the old files" eval 'ls "$disk"/d/snapshot-*.bad >/dev/null'
l destroy d

# A running pool.
ok "a pool in memory" hold e
load_some e 0
is "is not durable" no "$(field e durable)"
is "top says so" - "$(l top e --once --interval 20ms | cut -f 12)"
exits "persist" 0 persist e "$disk" --sync always
is "tells where" "e is durable: $disk/e, sync always" "$out"
is "it is durable" yes "$(field e durable)"
like "its first snapshot is there" '^[0-9]*$' "$(field e snapshot_age_ms)"
load_some e 1000
l del e key00003 >/dev/null
whole=$(l scan e | cksum)
exits "persist again" 1 persist e "$disk"
like "says how" '--off' "$err"
kill -9 "$holder"
wait "$holder" 2>/dev/null
ok "killed" until_true 20 gone
ok "it comes back" hold e --persist "$disk"
is "with every value" "$whole" "$(l scan e | cksum)"
exits "persist --off" 0 persist e --off --json
is "tells" '{"pool":"e","durable":false}' "$out"
is "it is not durable" no "$(field e durable)"
l set e late v
ok "its files stay" eval 'ls "$disk"/e/wal-*.log >/dev/null'
exits "persist --off again changes nothing" 0 persist e --off
sleep 0.5
exits "into the directory it had, which those attached have let go" 1 persist e "$disk"
like "holds a pool already" LATZ_EXISTS "$err"
exits "into another" 0 persist e "$scratch/disk2" --json
is "tells in JSON" "{\"pool\":\"e\",\"durable\":true,\"dir\":\"$scratch/disk2\",\"sync\":\"interval\"}" "$out"
kill -9 "$holder"
wait "$holder" 2>/dev/null
ok "killed" until_true 20 gone
ok "it comes back from there" hold e --persist "$scratch/disk2"
is "with what was written meanwhile" v "$(l get e late)"
kill "$holder"
wait "$holder"
ok "which goes" until_true 20 gone
exits "and one elsewhere from where it was before" 0 create e --keep --dir "$scratch/other" --persist "$disk"
is "without that" "created e, kept, 1999 keys restored" "$out"

# A log that can't be written: its directory is taken away, and the next segment can't be made there.
ok "a durable pool" hold b --persist "$scratch/disk3" --sync interval --sync-interval 20ms
rm -rf "$scratch/disk3"
head -c 40000000 /dev/zero | l set b large
is "who did not ask for durability is not told" 0 $?
ok "inspect says that it is broken" until_true 20 eval 'field b log_broken | grep -q "^LATZ_"'
is "and not durable" "no, the log is broken" "$(field b durable)"
like "inspect --json too" '"log_broken":"LATZ_[A-Z]*",' "$(l inspect b --json)"
like "list shows it" '^b	1	1	.*	broken	ok$' "$(l list)"
is "top too" broken "$(l top b --once --interval 20ms | cut -f 12)"
exits "it goes on in memory" 0 set b more v
exits "persist begins a new log" 0 persist b "$scratch/disk4"
is "it is durable again" yes "$(field b durable)"
like "with a snapshot" '^[0-9]*$' "$(field b snapshot_age_ms)"
kill -9 "$holder"
wait "$holder" 2>/dev/null
ok "killed" until_true 20 gone
ok "it comes back" hold b --persist "$scratch/disk4"
is "with everything" "b	1	2" "$(l list | cut -f 1-3)"
is "as it was" "$(head -c 40000000 /dev/zero | cksum)" "$(l get b large | cksum)"
kill "$holder"
wait "$holder"
ok "it goes" until_true 20 gone

# A new log for a broken one is no wish for another mode.
ok "a durable pool without syncs" hold a --persist "$scratch/disk5" --sync none
rm -rf "$scratch/disk5"
head -c 40000000 /dev/zero | l set a large 2>/dev/null
ok "its log breaks" until_true 20 eval 'field a log_broken 2>/dev/null | grep -q "^LATZ_"'
exits "persist begins a new log" 0 persist a "$scratch/disk6"
is "in the mode it had" "a is durable: $scratch/disk6/a, sync none" "$out"
exits "another directory for what has one" 1 persist a "$scratch/disk7"
like "says what to do" 'end it first with latzero persist POOL --off$' "$err"
kill "$holder"
wait "$holder"
ok "it goes" until_true 20 gone

# Restored into a durable pool.
ok "a pool to be restored" l create s --keep
load_some s 0
"$LATZERO-snapshot" s "$scratch/s.lzs" >/dev/null
whole=$(l scan s | cksum)
l destroy s
"$LATZERO-restore" "$scratch/s.lzs" s --keep --persist "$disk" --sync always >"$scratch/out"
is "latzero-restore --persist" 0 $?
like "tells that it is durable" '^restored s: 1000 keys, kept, durable, ' "$(cat "$scratch/out")"
l destroy s
"$LATZERO-restore" "$scratch/s.lzs" s --keep --persist "$disk" >"$scratch/out" 2>"$scratch/err"
is "again, where it is already" 1 $?
like "says why" 'LATZ_EXISTS.*holds a pool already' "$(cat "$scratch/err")"
exits "without the snapshot's file" 0 create s --keep --persist "$disk"
is "all is in the directory" "$whole" "$(l scan s | cksum)"
l destroy s

for wrong in 'create x --keep --sync always' 'create x --keep --snapshot-on-close' 'create x --keep --start-empty' \
	"create x --keep --persist $disk --sync often" "create x --keep --persist $disk --sync none --sync-interval 1s" \
	"create x --keep --persist $disk --sync-interval 2h" 'persist x' "persist x $disk --off" 'persist x --off --sync always'; do
	# shellcheck disable=SC2086 # a command line
	exits "usage: $wrong" 2 $wrong
	one_line "usage: $wrong"
done
exits "persist of no pool" 1 persist nope "$disk"
: >"$scratch/file"
exits "a directory that is a file" 3 create x --keep --persist "$scratch/file"
is "none was made" "" "$(l list)"

done_testing
