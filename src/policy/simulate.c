/*
 * Simulated caches. Residents are in a hash table here, so that the policy is not asked whether an entry is in: it must
 * not be wrong about that. The log of a cache by age is in simulate_log.c.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "policy/simulate_int.h"

enum {
	RESIDENTS_FIRST = 1024,
	STATE_FIRST = 4096 /* entries, where only bytes are bounded */
};

/* ---- Residents -------------------------------------------------------------------------------------------------- */

static uint32_t *bucket_of(const struct lzi_simulation *simulation, uint64_t hash)
{
	return &simulation->bucket[hash * 0xd6e8feb86659fd93ull >> simulation->shift];
}

static uint32_t find_resident(const struct lzi_simulation *simulation, uint64_t hash)
{
	uint32_t index = *bucket_of(simulation, hash);

	while (index != 0 && simulation->resident[index].hash != hash)
		index = simulation->resident[index].chain;
	return index;
}

/* Twice the residents, and buckets for them. */
static int grow_residents(struct lzi_simulation *simulation)
{
	uint64_t size = simulation->size == 0 ? RESIDENTS_FIRST : (uint64_t)simulation->size * 2;
	struct resident *resident;
	uint32_t *bucket;

	if (size > UINT32_MAX)
		return lzi_error(LATZ_NOMEM, "%" PRIu64 " entries in a simulation", size);
	resident = realloc(simulation->resident, size * sizeof *resident);
	if (resident == NULL)
		return lzi_error(LATZ_NOMEM, "entries of a simulation");
	simulation->resident = resident;
	bucket = calloc(size, sizeof *bucket);
	if (bucket == NULL)
		return lzi_error(LATZ_NOMEM, "entries of a simulation");
	free(simulation->bucket);
	simulation->bucket = bucket;
	simulation->shift = (unsigned)__builtin_clzll(size) + 1;
	for (uint32_t i = 1; i <= simulation->used; i++) {
		/* None is free: that is why it grows. */
		resident[i].chain = *bucket_of(simulation, resident[i].hash);
		*bucket_of(simulation, resident[i].hash) = i;
	}
	simulation->size = (uint32_t)size;
	return LATZ_OK;
}

static int add_resident(struct lzi_simulation *simulation, uint64_t hash, uint32_t weight, uint32_t *ret_index)
{
	uint32_t index = simulation->free;
	int rc;

	if (index != 0) {
		simulation->free = simulation->resident[index].chain;
	} else {
		if (simulation->used + 1 >= simulation->size && (rc = grow_residents(simulation)) != LATZ_OK)
			return rc;
		index = ++simulation->used;
	}
	simulation->resident[index] = (struct resident){ .hash = hash, .weight = weight };
	simulation->resident[index].chain = *bucket_of(simulation, hash);
	*bucket_of(simulation, hash) = index;
	simulation->result.entries++;
	simulation->result.weight += weight;
	*ret_index = index;
	return LATZ_OK;
}

void lzi_simulation_forget(struct lzi_simulation *simulation, uint32_t index)
{
	struct resident *resident = &simulation->resident[index];
	uint32_t *link = bucket_of(simulation, resident->hash);

	while (*link != index)
		link = &simulation->resident[*link].chain;
	*link = resident->chain;
	resident->chain = simulation->free;
	simulation->free = index;
	simulation->result.entries--;
	simulation->result.weight -= resident->weight;
}

/* ---- The policy's state ----------------------------------------------------------------------------------------- */

/* A state for so many entries, which knows what the one there was did. */
static int make_state(struct lzi_simulation *simulation, uint64_t entries)
{
	const struct lzi_policy *policy = simulation->policy;
	struct lzi_policy_block state = { NULL, policy->size(entries) };

	state.at = calloc(1, state.size);
	if (state.at == NULL)
		return lzi_error(LATZ_NOMEM, "state of policy %s for %" PRIu64 " entries", policy->name, entries);
	policy->init(state, entries, simulation->capacity);
	if (simulation->state.at != NULL)
		policy->move(state, simulation->state);
	free(simulation->state.at);
	simulation->state = state;
	simulation->state_entries = entries;
	simulation->result.state = state.size;
	return LATZ_OK;
}

int lzi_simulation_open(const struct lzi_policy *policy, const struct lzi_simulation_options *options,
                        struct lzi_simulation **ret_simulation)
{
	struct lzi_simulation *simulation = calloc(1, sizeof *simulation);
	int rc;

	if (simulation == NULL)
		return lzi_error(LATZ_NOMEM, "simulation");
	simulation->policy = policy;
	simulation->by_bytes = options->bytes > 0;
	simulation->entries_max = options->entries > 0 ? options->entries : UINT64_MAX;
	simulation->capacity = simulation->by_bytes ? options->bytes : options->entries;
	rc = grow_residents(simulation);
	if (rc == LATZ_OK)
		rc = make_state(simulation, options->entries > 0 ? options->entries : STATE_FIRST);
	if (rc == LATZ_OK && policy->kind == LZI_POLICY_BY_AGE)
		rc = lzi_simulation_log_open(simulation, options->extents, options->copied_limit);
	if (rc == LATZ_OK)
		*ret_simulation = simulation;
	else
		lzi_simulation_close(simulation);
	return rc;
}

/* ---- Requests --------------------------------------------------------------------------------------------------- */

static int insert_by_entry(struct lzi_simulation *simulation, uint64_t hash, uint32_t weight)
{
	const struct lzi_policy *policy = simulation->policy;
	uint32_t index;
	uint64_t victim;
	int rc;

	while (weight > simulation->capacity - simulation->result.weight ||
	       simulation->result.entries >= simulation->entries_max) {
		if (policy->evict(simulation->state, hash, weight, &victim) != 0)
			return lzi_error(LATZ_CORRUPT, "policy %s has nothing to evict, but the cache is full",
			                 policy->name);
		index = find_resident(simulation, victim);
		if (index == 0)
			return lzi_error(LATZ_CORRUPT, "policy %s evicts an entry that is not in", policy->name);
		lzi_simulation_forget(simulation, index);
		simulation->result.evictions++;
	}
	if (simulation->result.entries >= simulation->state_entries &&
	    (rc = make_state(simulation, simulation->state_entries * 2)) != LATZ_OK)
		return rc;
	rc = add_resident(simulation, hash, weight, &index);
	if (rc != LATZ_OK)
		return rc;
	if (policy->insert(simulation->state, hash, weight) != 0)
		return lzi_error(LATZ_CORRUPT, "policy %s has no room for an entry more", policy->name);
	simulation->result.inserts++;
	return LATZ_OK;
}

static int insert_by_age(struct lzi_simulation *simulation, uint64_t hash, uint32_t weight)
{
	const struct lzi_policy *policy = simulation->policy;
	uint32_t index;
	int rc = lzi_simulation_make_room(simulation, weight);

	if (rc == LATZ_OK && simulation->result.entries >= simulation->state_entries)
		rc = make_state(simulation, simulation->state_entries * 2);
	if (rc == LATZ_OK)
		rc = add_resident(simulation, hash, weight, &index);
	if (rc == LATZ_OK)
		rc = lzi_simulation_append(simulation, LZI_POLICY_WINDOW, index);
	if (rc != LATZ_OK)
		return rc;
	policy->created(simulation->state, hash);
	if (lzi_policy_is_sampled(hash, policy->sampling(simulation->state)))
		policy->access(simulation->state, hash, weight, 1);
	simulation->result.inserts++;
	return LATZ_OK;
}

static void hit(struct lzi_simulation *simulation, uint32_t index)
{
	const struct lzi_policy *policy = simulation->policy;
	struct resident *resident = &simulation->resident[index];

	if (policy->kind == LZI_POLICY_BY_AGE) {
		if (resident->visits < LZI_POLICY_VISITS)
			resident->visits++;
		if (!lzi_policy_is_sampled(resident->hash, policy->sampling(simulation->state)))
			return;
	}
	policy->access(simulation->state, resident->hash, resident->weight, 0);
}

int lzi_simulation_request(struct lzi_simulation *simulation, uint64_t hash, uint64_t bytes)
{
	uint32_t index = find_resident(simulation, hash), weight = 1;
	int rc;

	if (simulation->by_bytes)
		weight = bytes == 0 ? 1 : bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)bytes;
	simulation->result.requests++;
	simulation->result.bytes_requested += bytes;
	if (index != 0) {
		simulation->result.hits++;
		simulation->result.bytes_hit += bytes;
		hit(simulation, index);
		return LATZ_OK;
	}
	if (weight > simulation->capacity) {
		simulation->result.toobig++;
		return LATZ_NOTFOUND;
	}
	rc = simulation->policy->kind == LZI_POLICY_BY_AGE ? insert_by_age(simulation, hash, weight)
	                                                   : insert_by_entry(simulation, hash, weight);
	return rc == LATZ_OK ? LATZ_NOTFOUND : rc;
}

void lzi_simulation_result(const struct lzi_simulation *simulation, struct lzi_simulation_result *ret_result)
{
	*ret_result = simulation->result;
}

void lzi_simulation_close(struct lzi_simulation *simulation)
{
	if (simulation == NULL)
		return;
	lzi_simulation_log_close(simulation);
	free(simulation->state.at);
	free(simulation->bucket);
	free(simulation->resident);
	free(simulation);
}
