#!/bin/sh
# Help, usage errors, and that a terminal's extras stay away from pipes.
. "${top_srcdir:-.}/tests/cli/cli.inc"

exits "--help" 0 --help
commands=$(printf '%s\n' "$out" | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
is "all commands are listed" "advise append audit bench clear create del destroy doctor dump exists get incr inspect keys limit list load lock namespaces persist rekey scan set simulate stats sweep top train ttl verify watch" \
	"$(printf '%s\n' "$commands" | sort | tr '\n' ' ' | sed 's/ $//')"
for command in $commands; do
	exits "$command --help" 0 "$command" --help
	is "$command --help has no blank at a line's end" 0 "$(printf '%s\n' "$out" | grep -c ' $')"
	like "$command --help has an example" 'Example' "$out"
	like "of itself" "  .*latzero $command" "$(printf '%s\n' "$out" | sed -n '/^Example/,$p')"
	exits "$command with an unknown option" 2 "$command" --no-such-option
	one_line "$command with an unknown option"
	exits "$command with too many arguments or none" 2 "$command" '' '' '' '' '' '' --no-such-option
done
exits "no command" 2
exits "an unknown command" 2 listen p
one_line "an unknown command"
like "is named" "unknown command 'listen'" "$err"
exits "help COMMAND" 0 help get
exits "--version" 0 --version
like "a version" '^latzero [0-9]*\.[0-9]*\.[0-9]*$' "$out"
exits "an unknown global option" 2 --frobnicate list
exits "a global option without its value" 2 --dir
exits "a password file that is not there" 3 get p k --password-file "$scratch/none"
one_line "a password file that is not there"
for wrong in '--ttl 5' '--ttl 5x' '--ttl -5s' '--ttl'; do
	# shellcheck disable=SC2086 # an option and its value
	exits "a wrong duration: $wrong" 2 set p k v $wrong
done
for wrong in '--max-bytes 5Q' '--max-bytes -1' '--max-clients many' '--max-clients 0' '--mode 9' '--mode 0' '--mode 0400' '--policy best' '--sync often'; do
	# shellcheck disable=SC2086 # an option and its value
	exits "a wrong value: $wrong" 2 create p --keep $wrong
done
exits "a flag with a value" 2 create p --keep=yes
is "nothing was made by all that" "" "$(l list)"

l create p --keep >/dev/null
l set p k v
exits "no colour in a pipe" 0 inspect p
is "no escape sequences" 0 "$(printf '%s' "$out" | grep -c "$(printf '\033')")"
exits "an error line about a key that reorders text" 1 get p "$(printf 'r\342\200\256x')"
like "shows it as question marks" 'key r???x:' "$err"
if command -v script >/dev/null; then
	# on_terminal COMMAND: what the tool prints there.
	on_terminal() {
		TERM=xterm script -qec "$1" /dev/null </dev/null
	}
	unset NO_COLOR
	like "colour on a terminal" "$(printf '\033')\[" "$(on_terminal "'$LATZERO' list")"
	like "and a heading" 'NAME  *CLIENTS  *KEYS' "$(on_terminal "'$LATZERO' list")"
	NO_COLOR=1
	export NO_COLOR
	is "no colour with NO_COLOR" 0 "$(on_terminal "'$LATZERO' list" | grep -c "$(printf '\033')")"
	unset NO_COLOR
	l set p 'r\xe2\x80\xaex\xe2\x81\xa6' v --escaped
	is "what reorders text is escaped there" 'r\xe2\x80\xaex\xe2\x81\xa6' "$(on_terminal "'$LATZERO' keys p r" | tr -d '\r')"
	is "in a pipe it is itself" "$(printf 'r\342\200\256x\342\201\246')" "$(l keys p r)"
	is "get adds a newline there" "v" "$(on_terminal "'$LATZERO' get p k" | sed -n '1s/\r//p')"
fi
if [ -w /dev/full ]; then
	l dump p >/dev/full 2>"$scratch/err"
	is "a full disk under stdout is an error" 3 $?
	l get p k >/dev/full 2>"$scratch/err"
	is "of get too" 3 $?
fi

done_testing
