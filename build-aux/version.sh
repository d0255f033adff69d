#!/bin/sh
# Prints the release number, "0.1.0", from include/latzero/version.h. configure.ac calls it.
set -eu
header="${0%/*}/../include/latzero/version.h"
number() {
	sed -n "s/^#define LATZ_VERSION_$1 \([0-9][0-9]*\)\$/\1/p" "$header"
}
printf '%s.%s.%s\n' "$(number MAJOR)" "$(number MINOR)" "$(number PATCH)"
