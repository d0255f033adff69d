/*
 * The table of policies. Each has a file of its own; adding one adds a line here.
 */
#include "config.h"

#include <string.h>

#include "policy/policy.h"

extern const struct lzi_policy lzi_policy_2q, lzi_policy_adaptive, lzi_policy_arc, lzi_policy_clock, lzi_policy_fifo,
	lzi_policy_lru,
	lzi_policy_s3fifo, lzi_policy_sieve, lzi_policy_wtinylfu;

static const struct lzi_policy *const policies[] = {
	&lzi_policy_adaptive, &lzi_policy_lru,    &lzi_policy_fifo, &lzi_policy_clock,    &lzi_policy_sieve,
	&lzi_policy_s3fifo,   &lzi_policy_2q,     &lzi_policy_arc,  &lzi_policy_wtinylfu,
};

const struct lzi_policy *lzi_policy_by_name(const char *name)
{
	if (strcmp(name, "default") == 0)
		return lzi_policy_by_id(LATZ_POLICY_ADAPTIVE);
	for (unsigned i = 0; i < sizeof policies / sizeof policies[0]; i++) {
		if (strcmp(policies[i]->name, name) == 0)
			return policies[i];
	}
	return NULL;
}

const struct lzi_policy *lzi_policy_by_id(latz_policy id)
{
	if (id == LATZ_POLICY_DEFAULT)
		id = LATZ_POLICY_ADAPTIVE;
	for (unsigned i = 0; i < sizeof policies / sizeof policies[0]; i++) {
		if (policies[i]->id == id)
			return policies[i];
	}
	return NULL;
}
