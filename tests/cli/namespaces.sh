#!/bin/sh
# Namespaces from the command line: --namespace, latzero namespaces, bounds of one.
. "${top_srcdir:-.}/tests/cli/cli.inc"

l create p --keep >/dev/null
l set p k pool
exits "set in a namespace" 0 set p k tenant --namespace t1
exits "the option before the command" 0 --namespace t1 get p k
is "its own value" tenant "$out"
is "the pool's own" pool "$(l get p k)"
exits "a key of the pool is not in it" 1 --namespace t1 get p none
exits "a namespace that is not there" 1 get p k --namespace t9
one_line "a namespace that is not there"
like "is named" "no namespace t9" "$err"
is "reading makes none" "t1" "$(l namespaces p | cut -f 1)"
l set p k2 v --namespace t1
l incr p n 5 --namespace t2 >/dev/null
is "keys of one" "$(printf 'k\nk2')" "$(l keys p --namespace t1)"
is "keys of the pool" k "$(l keys p)"
is "scan" "$(printf 'k2\tv')" "$(l scan p k2 --namespace t1)"
l dump p --namespace t1 >"$scratch/dump"
exits "load into another" 0 load p --namespace t3 "$scratch/dump"
is "has the same keys" "$(l keys p --namespace t1)" "$(l keys p --namespace t3)"
exits "a key's place" 0 inspect p k --namespace t1
exits "of the whole" 2 inspect p --namespace t1
exits "clear" 0 clear p --namespace t3
is "nothing is left" "" "$(l keys p --namespace t3)"
is "elsewhere it is" k "$(l keys p)"

exits "bounds" 0 limit p --namespace t1 --max-entries 2 --policy none --ttl 1h
like "are shown" 'max_entries	2' "$out"
like "the time to live" 'ttl	3600000' "$out"
exits "too many" 3 set p k3 v --namespace t1
exits "elsewhere not" 0 set p k3 v --namespace t2
exits "bounds as JSON" 0 limit p --namespace t1 --json
like "policy" '"policy":"none"' "$out"
exits "a policy that namespaces do not have" 2 limit p --namespace t1 --policy lru
exits "ttl without a namespace" 2 limit p --ttl 1h

is "a lock of one is another" ok "$(l lock p n --namespace t2 -- "$LATZERO" lock p n --wait 0 -- echo ok)"
exits "the same one is not" 1 lock p n --namespace t2 -- "$LATZERO" lock p n --namespace t2 --wait 0 -- echo never
l watch p --namespace t9 2>"$scratch/err" >/dev/null
is "watching makes none" 1 $?
l watch p --namespace t2 --kinds set,delete >"$scratch/events" 2>"$scratch/watch-err" &
watcher=$!
helpers="$helpers $watcher"
told() {
	l set p outside v
	l set p inside v --namespace t2
	[ -s "$scratch/events" ]
}
ok "a write is told of" until_true 20 told
l namespaces p --drop t2
wait "$watcher"
is "dropping it ends that" 3 $?
like "says so" "namespace was dropped" "$(cat "$scratch/watch-err")"
is "only its keys are told of" "set	inside" "$(cut -f 2- "$scratch/events" | sort -u)"
l incr p n 5 --namespace t2 >/dev/null
l del p outside >/dev/null

exits "listing" 0 namespaces p --json
is "a line each" 3 "$(printf '%s\n' "$out" | wc -l | tr -d ' ')"
like "refused" '"name":"t1".*"refused":1' "$out"
exits "dropping" 0 namespaces p --drop t1
is "is gone" "$(printf 't2\nt3')" "$(l namespaces p | cut -f 1)"
exits "twice" 1 namespaces p --drop t1
one_line "twice"
exits "verify" 0 verify p
for command in "destroy p" "verify p" "list" "namespaces p" "top p --once"; do
	# shellcheck disable=SC2086 # a command and its arguments
	exits "not about a namespace: $command" 2 $command --namespace t2
done
is "nothing was destroyed by that" p "$(l list | cut -f 1)"
exits "a name that can't be" 2 set p k v --namespace a/b
l destroy p
done_testing
