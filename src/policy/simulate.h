/*
 * A cache simulated in the process's own memory: what it holds and how full it is, while a policy decides what stays.
 * The policy is the one a pool would use, and runs as it would there. Every request that misses puts its key in.
 */
#ifndef LZI_POLICY_SIMULATE_H
#define LZI_POLICY_SIMULATE_H

#include "policy/policy.h"

struct lzi_simulation;

struct lzi_simulation_options {
	uint64_t entries; /* capacity; 0: no bound */
	uint64_t bytes;   /* capacity; 0: no bound, and every entry counts 1 */
	unsigned extents; /* of equal weight that make up the capacity, for policies by age; fewer if it is smaller */
	unsigned copied_limit; /* of an extent that is emptied, at most so many hundredths are kept, on average */
};

struct lzi_simulation_result {
	uint64_t requests, hits;
	uint64_t bytes_requested, bytes_hit;
	uint64_t inserts;   /* entries put in */
	uint64_t evictions; /* entries gone */
	uint64_t copies;    /* of entries, into another extent */
	uint64_t toobig;    /* requests for what is more than the whole capacity, and so was not put in */
	uint64_t entries;   /* now in */
	uint64_t weight;    /* of those */
	uint64_t state;     /* bytes of the policy's state */
};

/* One of the capacities must be given. LATZ_NOMEM. */
int lzi_simulation_open(const struct lzi_policy *policy, const struct lzi_simulation_options *options,
                        struct lzi_simulation **ret_simulation);
/* LATZ_OK: a hit. LATZ_NOTFOUND: a miss, and now it is in. LATZ_NOMEM; LATZ_CORRUPT: the policy named an entry that is
 * not in, or none at all. */
int lzi_simulation_request(struct lzi_simulation *simulation, uint64_t hash, uint64_t bytes);
void lzi_simulation_result(const struct lzi_simulation *simulation, struct lzi_simulation_result *ret_result);
/* NULL is ignored. */
void lzi_simulation_close(struct lzi_simulation *simulation);

#endif
