/*
 * Names of eviction policies.
 */
#include "cli.h"

#include <string.h>

static const struct {
	latz_policy policy;
	const char *name;
} names[] = {
	{ LATZ_POLICY_NONE, "none" },       { LATZ_POLICY_ADAPTIVE, "adaptive" },
	{ LATZ_POLICY_LRU, "lru" },         { LATZ_POLICY_FIFO, "fifo" },
	{ LATZ_POLICY_CLOCK, "clock" },     { LATZ_POLICY_SIEVE, "sieve" },
	{ LATZ_POLICY_S3FIFO, "s3fifo" },   { LATZ_POLICY_2Q, "2q" },
	{ LATZ_POLICY_ARC, "arc" },         { LATZ_POLICY_WTINYLFU, "wtinylfu" },
	{ LATZ_POLICY_DEFAULT, "default" },
};

bool cli_policy_parse(const char *text, latz_policy *policy)
{
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(text, names[i].name) == 0) {
			*policy = names[i].policy;
			return true;
		}
	}
	return false;
}

const char *cli_policy_name(latz_policy policy)
{
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (names[i].policy == policy)
			return names[i].name;
	}
	return "?";
}
