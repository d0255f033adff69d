/*
 * The table of policies. Each has a file of its own; adding one adds a line here.
 */
#include "config.h"

#include <string.h>

#include "policy/policy.h"

extern const struct lzi_policy lzi_policy_2q, lzi_policy_adaptive, lzi_policy_arc, lzi_policy_clock, lzi_policy_fifo,
	lzi_policy_lru, lzi_policy_s3fifo, lzi_policy_sieve, lzi_policy_wtinylfu;

/* By id: every write of a bounded pool looks here. */
static const struct lzi_policy *const policies[] = {
	[LATZ_POLICY_LRU] = &lzi_policy_lru,       [LATZ_POLICY_WTINYLFU] = &lzi_policy_wtinylfu,
	[LATZ_POLICY_S3FIFO] = &lzi_policy_s3fifo, [LATZ_POLICY_SIEVE] = &lzi_policy_sieve,
	[LATZ_POLICY_ARC] = &lzi_policy_arc,       [LATZ_POLICY_2Q] = &lzi_policy_2q,
	[LATZ_POLICY_FIFO] = &lzi_policy_fifo,     [LATZ_POLICY_CLOCK] = &lzi_policy_clock,
	[LATZ_POLICY_DEFAULT] = &lzi_policy_adaptive,
	[LATZ_POLICY_ADAPTIVE] = &lzi_policy_adaptive,
};
#define POLICIES (sizeof policies / sizeof policies[0])

const struct lzi_policy *lzi_policy_by_name(const char *name)
{
	if (strcmp(name, "default") == 0)
		return lzi_policy_by_id(LATZ_POLICY_ADAPTIVE);
	for (unsigned i = 0; i < POLICIES; i++) {
		if (policies[i] != NULL && strcmp(policies[i]->name, name) == 0)
			return policies[i];
	}
	return NULL;
}

const struct lzi_policy *lzi_policy_by_id(latz_policy id)
{
	return (unsigned)id < POLICIES ? policies[id] : NULL;
}
