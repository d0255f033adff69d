/*
 * Public calls on simulated caches.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "base/hash.h"
#include "policy/simulate.h"

enum {
	EXTENTS = 128,     /* fewer cost hits: 0.2 points of them at 128, 0.1 at 256 */
	COPIED_LIMIT = 90, /* hundredths: each extent that is emptied must free something */
	ENTRIES_MAX = 1 << 26,
};

struct latz_simulation {
	struct lzi_simulation *simulation;
};

static int take_options(const latz_simulate_options *from, struct lzi_simulation_options *to)
{
	if (from == NULL)
		return lzi_error(LATZ_INVALID, "options is NULL");
	if (from->size < sizeof *from || from->size > 4096)
		return lzi_error(LATZ_INVALID, "options.size is %zu; set it to sizeof(latz_simulate_options)",
		                 from->size);
	if (from->max_entries == 0 && from->max_bytes == 0)
		return lzi_error(LATZ_INVALID, "neither options.max_entries nor options.max_bytes is given");
	if (from->max_entries > ENTRIES_MAX)
		return lzi_error(LATZ_INVALID, "options.max_entries is over %d", ENTRIES_MAX);
	if (from->max_bytes > INT64_MAX)
		return lzi_error(LATZ_INVALID, "options.max_bytes is no size of a cache");
	*to = (struct lzi_simulation_options){ .entries = from->max_entries,
		                               .bytes = from->max_bytes,
		                               .extents = from->extents > 0 ? from->extents : EXTENTS,
		                               .copied_limit = COPIED_LIMIT };
	return LATZ_OK;
}

int latz_simulate_open(const latz_simulate_options *options, latz_simulation **simulation)
{
	struct lzi_simulation_options taken;
	const struct lzi_policy *policy;
	latz_simulation *handle;
	int rc = take_options(options, &taken);

	if (rc == LATZ_OK && simulation == NULL)
		rc = lzi_error(LATZ_INVALID, "simulation is NULL");
	if (rc == LATZ_OK && (options->policy == LATZ_POLICY_NONE || options->policy > LATZ_POLICY_CLOCK))
		rc = lzi_error(LATZ_INVALID, "options.policy is %d, which evicts nothing", (int)options->policy);
	if (rc != LATZ_OK)
		return lzi_api_result(rc);
	policy = lzi_policy_by_id(options->policy);
	if (policy == NULL)
		return lzi_api_error(LATZ_UNSUPPORTED, "policy %d is not in this release", (int)options->policy);
	handle = calloc(1, sizeof *handle);
	if (handle == NULL)
		return lzi_api_error(LATZ_NOMEM, "simulation");
	rc = lzi_simulation_open(policy, &taken, &handle->simulation);
	if (rc != LATZ_OK) {
		free(handle);
		return lzi_api_result(rc);
	}
	*simulation = handle;
	return LATZ_OK;
}

int latz_simulate_request(latz_simulation *simulation, latz_slice key, uint64_t bytes)
{
	int rc = lzi_api_key(key);

	if (lzi_unlikely(simulation == NULL))
		rc = lzi_error(LATZ_INVALID, "simulation is NULL");
	if (lzi_likely(rc == LATZ_OK))
		rc = lzi_simulation_request(simulation->simulation, lzi_hash(0, key.data, key.size), bytes);
	return lzi_api_key_result(rc);
}

int latz_simulate_result(latz_simulation *simulation, latz_simulate_result_t *result)
{
	latz_simulate_result_t filled;
	struct lzi_simulation_result counts;

	if (simulation == NULL || result == NULL || result->size < sizeof result->size)
		return lzi_api_error(LATZ_INVALID, "simulation or result is NULL, or its size is not set");
	lzi_simulation_result(simulation->simulation, &counts);
	filled = (latz_simulate_result_t){
		.size = result->size < sizeof filled ? result->size : sizeof filled,
		.requests = counts.requests,
		.hits = counts.hits,
		.bytes_requested = counts.bytes_requested,
		.bytes_hit = counts.bytes_hit,
		.inserts = counts.inserts,
		.evictions = counts.evictions,
		.copies = counts.copies,
		.toobig = counts.toobig,
		.entries = counts.entries,
		.bytes = counts.weight,
		.state_bytes = counts.state,
	};
	memcpy(result, &filled, filled.size);
	return LATZ_OK;
}

int latz_simulate_close(latz_simulation *simulation)
{
	if (simulation == NULL)
		return lzi_api_error(LATZ_INVALID, "simulation is NULL");
	lzi_simulation_close(simulation->simulation);
	free(simulation);
	return LATZ_OK;
}
