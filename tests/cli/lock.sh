#!/bin/sh
# latzero lock: one at a time, its exit codes, what becomes of the command when either is killed; and inspect's list.
. "${top_srcdir:-.}/tests/cli/cli.inc"

l create p --keep >"$scratch/made"
is "the command's output" "hello" "$(l lock p n -- echo hello)"
exits "the command's exit code" 7 lock p n -- sh -c 'exit 7'
exits "of one ended by a signal" 137 lock p n -- sh -c 'kill -KILL $$'
exits "of one that is not there" 127 lock p n -- /no/such/command
first=$(l lock p n -- sh -c 'echo $LATZERO_TOKEN')
second=$(l lock p n -- sh -c 'echo $LATZERO_TOKEN')
ok "the token grows" [ "$second" -gt "$first" ]

# One that holds it until its standard input ends.
mkfifo "$scratch/hold"
holding() {
	l inspect p --json | grep -q '"waiting":false'
}
none() {
	! holding
}
"$LATZERO" lock p n "$@" -- cat <"$scratch/hold" >"$scratch/cat" &
holder=$!
helpers="$helpers $holder"
exec 9>"$scratch/hold"
ok "it is held" until_true 20 holding
exits "try once" 1 lock p n --wait 0 -- echo never
one_line "try once"
like "names the holder" "process [0-9]" "$err"
exits "wait a little" 1 lock p n --wait 50ms -- echo never
is "nothing was run" "" "$out"
exits "nor shared" 1 lock p n --shared --wait 0 -- echo never
like "inspect lists it" "^lock	n	alone	held	$holder	" "$(l inspect p)"
like "as JSON" '"locks":\[{"name":"n","cut":false,"what":"alone","waiting":false,' "$(l inspect p --json)"
exec 9>&-
wait "$holder"
is "it ends with its command" 0 $?
ok "it is not held" until_true 20 none

# Both of a shared one; killed, the command goes too and the next one has it.
is "shared" "ok" "$(l lock p n --shared -- sh -c "'$LATZERO' lock p n --shared --wait 0 -- echo ok")"
"$LATZERO" lock p n --lease 10s -- sh -c "echo \$\$ >'$scratch/pid'; while :; do sleep 0.05; done" &
holder=$!
helpers="$helpers $holder"
has_pid() {
	[ -s "$scratch/pid" ]
}
ok "its command runs" until_true 20 has_pid
kill -KILL "$holder"
is "the next one has it at once" "mine" "$(l lock p n --wait 10s -- echo mine)"
command=$(cat "$scratch/pid")
gone() {
	! kill -0 "$command" 2>/dev/null
}
ok "its command is ended" until_true 20 gone

# Signals go to the command.
"$LATZERO" lock p n -- sh -c "trap 'exit 5' TERM; echo >'$scratch/ready'; while :; do sleep 0.05; done" &
holder=$!
helpers="$helpers $holder"
is_ready() {
	[ -e "$scratch/ready" ]
}
ok "it is ready" until_true 20 is_ready
kill -TERM "$holder"
wait "$holder"
is "the command's own exit" 5 $?
exits "a lease is renewed" 0 lock p n --lease 3s -- sh -c "sleep 5; '$LATZERO' lock p n --wait 0 -- false; [ \$? = 1 ]"
exits "no such pool" 1 lock none n -- true
exits "too few arguments" 2 lock p n
exits "a lease that is none" 2 lock p n --lease x -- true
exits "a wait that is none" 2 lock p n --wait 5 -- true
one_line "a wait that is none"
exits "a name that is none" 2 lock p "" -- true
one_line "a name that is none"
like "says what is wanted" "give a name" "$err"
exits "a lease that is too long" 2 lock p n --lease 50d -- true
like "says how long it may be" "49 days" "$err"
echo true >"$scratch/script"
exits "what can't be run" 126 lock p n -- "$scratch/script"
l destroy p
done_testing
