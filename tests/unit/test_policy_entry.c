/*
 * policy/, by entry: each policy hits and misses exactly as one that is written down without any craft, on traces of
 * every kind, with entries of one weight and of many; moving its state to another size changes nothing.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "policy/book.h"
#include "policy/simulate.h"
#include "policy_naive.h"

static const char *const names[] = { "lru", "fifo", "clock", "sieve", "s3fifo", "2q", "arc", "wtinylfu" };

enum {
	NAMES = sizeof names / sizeof names[0],
	KEYS = 400,
	REQUESTS = 10000
};

static uint64_t seed;

static uint64_t next_random(uint64_t bound)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % bound;
}

/* Request number i of a trace of some kind: uniform, skewed, a loop, a scan among skewed ones, with drift. */
static uint64_t request_of(unsigned kind, uint64_t i)
{
	uint64_t skewed = next_random(KEYS) * next_random(KEYS) / KEYS;

	switch (kind) {
	case 0: return next_random(KEYS);
	case 1: return skewed;
	case 2: return i % 97;
	case 3: return i % 500 < 150 ? 200 + i % 150 : skewed / 4;
	default: return (skewed / 2 + i / 40) % KEYS;
	}
}

static struct naive *make_naive(const char *name, uint64_t capacity)
{
	struct naive *naive = calloc(1, sizeof *naive);

	assert_non_null(naive);
	naive->policy = name;
	naive->capacity = capacity;
	naive->hand = -1;
	naive->sample = 4096; /* states here are so small that it is this */
	return naive;
}

static void compare(const char *name, unsigned kind, uint64_t capacity, unsigned weights)
{
	struct lzi_simulation_options options = { .entries = weights == 1 ? capacity : 0,
		                                  .bytes = weights == 1 ? 0 : capacity };
	struct naive *naive = make_naive(name, capacity);
	struct lzi_simulation *simulation;
	struct lzi_simulation_result result;
	uint64_t hits = 0;

	if (weights > 1)
		naive->sample = 10 * lzi_book_nodes(4096, 0, 1); /* that states bounded by bytes begin with */
	seed = 88172645463325252u + kind * 1000 + capacity;
	assert_int_equal(lzi_simulation_open(lzi_policy_by_name(name), &options, &simulation), LATZ_OK);
	for (uint64_t i = 0; i < REQUESTS; i++) {
		uint64_t hash = request_of(kind, i), weight = 1 + hash * 7919 % weights;
		int hit = naive_request(naive, hash, weight);
		int rc = lzi_simulation_request(simulation, hash, weight);

		if (rc != (hit ? LATZ_OK : LATZ_NOTFOUND))
			fail_msg("%s, trace %u, capacity %d, weights %u: request %d gives %d, not a %s", name, kind,
			         (int)capacity, weights, (int)i, rc, hit ? "hit" : "miss");
		hits += (uint64_t)hit;
		lzi_simulation_result(simulation, &result);
		assert_true(result.weight <= capacity);
	}
	assert_int_equal(result.hits, hits);
	assert_int_equal(result.requests, REQUESTS);
	assert_int_equal(result.inserts, REQUESTS - hits);
	assert_int_equal(result.inserts - result.evictions, result.entries);
	lzi_simulation_close(simulation);
	free(naive);
}

static void as_naive(void **state)
{
	static const uint64_t capacities[] = { 1, 2, 5, 19, 97, 150, 1000 };

	(void)state;
	for (unsigned name = 0; name < NAMES; name++) {
		for (unsigned kind = 0; kind < 5; kind++) {
			for (unsigned i = 0; i < sizeof capacities / sizeof capacities[0]; i++)
				compare(names[name], kind, capacities[i], 1);
		}
	}
}

static void as_naive_with_weights(void **state)
{
	static const uint64_t capacities[] = { 100, 333, 1500, 20000 };

	(void)state;
	for (unsigned name = 0; name < NAMES; name++) {
		for (unsigned kind = 0; kind < 5; kind++) {
			for (unsigned i = 0; i < sizeof capacities / sizeof capacities[0]; i++) {
				compare(names[name], kind, capacities[i], 9);
				compare(names[name], kind, capacities[i], 100);
			}
		}
	}
}

/* ---- At the level of the interface ------------------------------------------------------------------------------- */

struct cache {
	const struct lzi_policy *policy;
	struct lzi_policy_block state;
	uint64_t entries;
	uint8_t in[KEYS];
	unsigned count;
};

static struct lzi_policy_block make_state(const struct lzi_policy *policy, uint64_t entries, uint64_t capacity)
{
	struct lzi_policy_block state = { malloc(policy->size(entries)), policy->size(entries) };

	assert_non_null(state.at);
	memset(state.at, 0xa5, state.size); /* init() relies on nothing */
	policy->init(state, entries, capacity);
	return state;
}

static void move_state(struct cache *cache, uint64_t entries)
{
	struct lzi_policy_block other = make_state(cache->policy, entries, cache->entries);

	cache->policy->move(other, cache->state);
	free(cache->state.at);
	cache->state = other;
}

/* moved_to: the state is moved to that size in the middle of it, unless that is 0. */
static int request(struct cache *cache, uint64_t hash, uint64_t moved_to)
{
	uint64_t victim;

	if (cache->in[hash]) {
		cache->policy->access(cache->state, hash, 1, 0);
		return 1;
	}
	if (cache->count == cache->entries) {
		assert_int_equal(cache->policy->evict(cache->state, hash, 1, &victim), 0);
		assert_true(victim < KEYS && cache->in[victim]);
		cache->in[victim] = 0;
		cache->count--;
	}
	if (moved_to != 0)
		move_state(cache, moved_to);
	assert_int_equal(cache->policy->insert(cache->state, hash, 1), 0);
	cache->in[hash] = 1;
	cache->count++;
	return 0;
}

/* A state moved back and forth between sizes decides as one that stays. */
static void moved(void **unused)
{
	(void)unused;
	for (unsigned name = 0; name < NAMES; name++) {
		const struct lzi_policy *policy = lzi_policy_by_name(names[name]);
		struct cache stays = { .policy = policy, .entries = 60 }, moves = stays;

		seed = 4711;
		stays.state = make_state(policy, 60, 60);
		moves.state = make_state(policy, 60, 60);
		for (uint64_t i = 0; i < 5000; i++) {
			uint64_t hash = request_of(3 + i / 1000 % 2, i);

			if (i % 37 == 0)
				move_state(&moves, i % 2 ? 60 : 100 + i % 500);
			if (request(&stays, hash, 0) != request(&moves, hash, i % 5 == 0 ? 60 + i % 100 : 0))
				fail_msg("%s: request %d", names[name], (int)i);
		}
		free(stays.state.at);
		free(moves.state.at);
	}
}

/* What was removed is never named, and room for it is found again. */
static void removed(void **unused)
{
	(void)unused;
	for (unsigned name = 0; name < NAMES; name++) {
		const struct lzi_policy *policy = lzi_policy_by_name(names[name]);
		struct cache cache = { .policy = policy, .entries = 50, .state = make_state(policy, 50, 50) };

		seed = 815;
		for (uint64_t i = 0; i < 20000; i++) {
			uint64_t hash = request_of(i / 1000 % 5, i), gone = next_random(KEYS);

			request(&cache, hash, 0);
			if (i % 3 == 0) {
				policy->remove(cache.state, gone);
				cache.count -= cache.in[gone];
				cache.in[gone] = 0;
			}
		}
		free(cache.state.at);
	}
}

/* The hand goes on where it stood when the entry it stood at is removed. */
static void removed_under_the_hand(void **unused)
{
	const struct lzi_policy *policy = lzi_policy_by_name("sieve");
	struct lzi_policy_block state = make_state(policy, 5, 5);
	uint64_t victim;

	(void)unused;
	for (uint64_t hash = 1; hash <= 5; hash++)
		assert_int_equal(policy->insert(state, hash, 1), 0);
	policy->access(state, 1, 1, 0);
	assert_int_equal(policy->evict(state, 6, 1, &victim), 0);
	assert_int_equal(victim, 2);
	policy->remove(state, 3);
	assert_int_equal(policy->evict(state, 6, 1, &victim), 0);
	assert_int_equal(victim, 4);
	free(state.at);
}

/* More than the state was made for is refused, and nothing is forgotten for it. */
static void full(void **unused)
{
	(void)unused;
	for (unsigned name = 0; name < NAMES; name++) {
		const struct lzi_policy *policy = lzi_policy_by_name(names[name]);
		struct lzi_policy_block state = make_state(policy, 10, 1000);
		uint64_t victim;
		unsigned n = 0;

		while (n < KEYS && policy->insert(state, n, 1) == 0)
			n++;
		assert_in_range(n, 10, 40);
		assert_int_equal(policy->insert(state, 0, 1), 0); /* it is in already */
		for (unsigned i = 0; i < n; i++)
			assert_int_equal(policy->evict(state, 1000, 1, &victim), 0);
		assert_int_equal(policy->evict(state, 1000, 1, &victim), -1);
		policy->remove(state, 5);
		policy->access(state, 5, 1, 0);
		free(state.at);
	}
}

static void table(void **state)
{
	(void)state;
	for (unsigned name = 0; name < NAMES; name++) {
		const struct lzi_policy *policy = lzi_policy_by_name(names[name]);

		assert_non_null(policy);
		assert_string_equal(policy->name, names[name]);
		assert_int_equal(policy->kind, LZI_POLICY_BY_ENTRY);
		assert_ptr_equal(lzi_policy_by_id(policy->id), policy);
	}
	assert_null(lzi_policy_by_name("none"));
	assert_null(lzi_policy_by_name(""));
	assert_null(lzi_policy_by_id(LATZ_POLICY_NONE));
	assert_null(lzi_policy_by_id((latz_policy)1000));
	assert_ptr_equal(lzi_policy_by_name("default"), lzi_policy_by_id(LATZ_POLICY_DEFAULT));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_naive), cmocka_unit_test(as_naive_with_weights),  cmocka_unit_test(moved),
		cmocka_unit_test(removed),  cmocka_unit_test(removed_under_the_hand), cmocka_unit_test(full),
		cmocka_unit_test(table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
