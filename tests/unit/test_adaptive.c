/*
 * policy/adaptive: it keeps what a loop, a scan, recency or sizes ask for, where one fixed way of keeping would not;
 * its state outlives damage and moves to other sizes.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/simulate.h"

static uint64_t seed = 88172645463325252ull;

static uint64_t next_random(uint64_t bound)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % bound;
}

static uint64_t hash_of(uint64_t key)
{
	key = (key ^ key >> 30) * 0xbf58476d1ce4e5b9ull + 0x9e3779b97f4a7c15ull;
	key = (key ^ key >> 27) * 0x94d049bb133111ebull;
	return key ^ key >> 31;
}

static const struct lzi_policy *adaptive(void)
{
	const struct lzi_policy *policy = lzi_policy_by_name("default");

	assert_non_null(policy);
	assert_string_equal(policy->name, "adaptive");
	assert_ptr_equal(policy, lzi_policy_by_id(LATZ_POLICY_ADAPTIVE));
	return policy;
}

static struct lzi_simulation *open_cache(const struct lzi_policy *policy, uint64_t entries, uint64_t bytes)
{
	struct lzi_simulation_options options = {
		.entries = entries, .bytes = bytes, .extents = 128, .copied_limit = 90
	};
	struct lzi_simulation *simulation;

	assert_int_equal(lzi_simulation_open(policy, &options, &simulation), LATZ_OK);
	return simulation;
}

/* 1 for a hit. */
static int request(struct lzi_simulation *simulation, uint64_t key, uint64_t bytes)
{
	int rc = lzi_simulation_request(simulation, hash_of(key), bytes);

	assert_true(rc == LATZ_OK || rc == LATZ_NOTFOUND);
	return rc == LATZ_OK;
}

static void test_loop_larger_than_cache(void **state)
{
	static const uint64_t capacity[] = { 100, 400, 2000 };
	(void)state;

	for (unsigned i = 0; i < 3; i++) {
		struct lzi_simulation *simulation = open_cache(adaptive(), capacity[i], 0);
		uint64_t hits = 0, loop = capacity[i] * 5 / 2, requests = 100 * loop;

		for (uint64_t at = 0; at < requests; at++)
			hits += (uint64_t)request(simulation, at % loop, 1);
		/* 40% at best, of which LRU gets none. */
		assert_in_range(100 * hits / requests, 20, 40);
		lzi_simulation_close(simulation);
	}
}

static void test_scan_leaves_hot_set(void **state)
{
	struct lzi_simulation *simulation = open_cache(adaptive(), 1000, 0);
	unsigned there = 0;
	(void)state;

	for (unsigned i = 0; i < 20000; i++)
		request(simulation, next_random(500), 1);
	for (unsigned i = 0; i < 3000; i++)
		request(simulation, 1000000 + i, 1);
	for (unsigned i = 0; i < 500; i++)
		there += (unsigned)request(simulation, i, 1);
	assert_in_range(there, 400, 500);
	lzi_simulation_close(simulation);
}

/* What is asked for moves on, and is asked for the more the younger it is. */
static void test_recency_as_lru(void **state)
{
	static const uint64_t capacity[] = { 60, 600, 3000 };
	(void)state;

	for (unsigned i = 0; i < 3; i++) {
		struct lzi_simulation *simulation = open_cache(adaptive(), capacity[i], 0);
		struct lzi_simulation *lru = open_cache(lzi_policy_by_name("lru"), capacity[i], 0);
		uint64_t hits = 0, hits_lru = 0, key, span = capacity[i] * 4;

		for (uint64_t at = 0; at < 200000; at++) {
			key = at / 8 + span - next_random(span) * next_random(span) / span;
			hits += (uint64_t)request(simulation, key, 1);
			hits_lru += (uint64_t)request(lru, key, 1);
		}
		assert_true(hits + 200000 / 50 >= hits_lru);
		lzi_simulation_close(simulation);
		lzi_simulation_close(lru);
	}
}

/* The adaptive policy, but with its eyes closed for weights. */
static void judge_blindly(struct lzi_policy_block state, enum lzi_policy_list list, struct lzi_candidate *candidate,
                          unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		candidate[i].weight = 1;
	adaptive()->judge(state, list, candidate, n);
}

static uint64_t hits_by_size(const struct lzi_policy *policy)
{
	struct lzi_simulation *simulation = open_cache(policy, 0, 4 << 20);
	uint64_t hits = 0, key;

	seed = 1234567;
	for (unsigned i = 0; i < 200000; i++) {
		key = next_random(4000) * next_random(4000) / 4000;
		hits += (uint64_t)request(simulation, key, hash_of(key) % 8 == 0 ? 40000 : 400);
	}
	lzi_simulation_close(simulation);
	return hits;
}

static void test_weights_are_judged(void **state)
{
	struct lzi_policy blind = *adaptive();
	uint64_t hits, hits_blind;
	(void)state;

	blind.judge = judge_blindly;
	hits = hits_by_size(adaptive());
	hits_blind = hits_by_size(&blind);
	assert_true(hits > hits_blind + 200000 / 20);
}

static void test_equal_weights_are_none(void **state)
{
	struct lzi_simulation *unit = open_cache(adaptive(), 1280, 0);
	struct lzi_simulation *bytes = open_cache(adaptive(), 1280, 1280 * 1000);
	(void)state;

	for (unsigned i = 0; i < 100000; i++) {
		uint64_t key = next_random(6000) * next_random(6000) / 6000 + i / 100;

		assert_int_equal(request(unit, key, 1), request(bytes, key, 1000));
	}
	lzi_simulation_close(unit);
	lzi_simulation_close(bytes);
}

static struct lzi_policy_block block_for(uint64_t entries)
{
	struct lzi_policy_block block = { NULL, adaptive()->size(entries) };

	block.at = malloc(block.size);
	assert_non_null(block.at);
	adaptive()->init(block, entries, entries);
	return block;
}

/* Everything a pool may ask of a state, with keys that come again. */
static void use_state(struct lzi_policy_block state, unsigned rounds)
{
	const struct lzi_policy *policy = adaptive();
	struct lzi_candidate candidate[LZI_POLICY_BATCH];

	for (unsigned i = 0; i < rounds; i++) {
		unsigned n = 1 + (unsigned)next_random(LZI_POLICY_BATCH);
		enum lzi_policy_list list = policy->next(state, next_random(1000), next_random(1000));

		for (unsigned j = 0; j < n; j++) {
			candidate[j] = (struct lzi_candidate){ .hash = hash_of(next_random(3000)),
				                               .weight = 1 + (uint32_t)next_random(2),
				                               .visits = (uint8_t)next_random(4),
				                               .keep = 99 };
			policy->created(state, candidate[j].hash);
			if (lzi_policy_is_sampled(candidate[j].hash, policy->sampling(state)))
				policy->access(state, candidate[j].hash, candidate[j].weight, 1);
		}
		policy->judge(state, list, candidate, n);
		for (unsigned j = 0; j < n; j++)
			assert_in_range(candidate[j].keep, 0, 1);
	}
}

static void test_damage_is_mended(void **state)
{
	static const uint64_t entries[] = { 1, 40, 700, 5000 };
	const struct lzi_policy *policy = adaptive();
	unsigned mended = 0;
	(void)state;

	for (unsigned i = 0; i < 4; i++) {
		struct lzi_policy_block block = block_for(entries[i]);

		use_state(block, 20);
		assert_int_equal(policy->mend(block), 0);
		assert_int_equal(policy->mend((struct lzi_policy_block){ block.at, block.size - 1 }), -1);
		for (unsigned round = 0; round < 60; round++) {
			unsigned spots = 1u << next_random(12);

			for (unsigned spot = 0; spot < spots; spot++)
				((uint8_t *)block.at)[next_random(block.size)] = (uint8_t)next_random(256);
			if (policy->mend(block) == 0)
				mended++;
			else
				policy->init(block, entries[i], entries[i]);
			use_state(block, 5);
			assert_int_equal(policy->mend(block), 0);
		}
		free(block.at);
	}
	assert_in_range(mended, 60, 240);
}

/* Whether entries that were often put in are preferred to those put in once. */
static void assert_hot_known(struct lzi_policy_block state)
{
	struct lzi_candidate candidate[32];
	unsigned hot = 0, cold = 0;

	for (unsigned i = 0; i < 32; i++)
		candidate[i] = (struct lzi_candidate){ .hash = hash_of(i % 2 == 0 ? i : 500 + i), .weight = 1 };
	adaptive()->judge(state, LZI_POLICY_WINDOW, candidate, 32);
	for (unsigned i = 0; i < 32; i++)
		*(i % 2 == 0 ? &hot : &cold) += candidate[i].keep;
	assert_in_range(hot, 15, 16);
	assert_in_range(cold, 0, 3);
}

static void test_move_keeps_scores(void **state)
{
	static const uint64_t entries[] = { 300, 1000, 1700, 8000 };
	const struct lzi_policy *policy = adaptive();
	struct lzi_candidate candidate[LZI_POLICY_BATCH];
	struct lzi_policy_block from = block_for(1000), to;
	(void)state;

	for (unsigned i = 0; i < 6 * 32; i++)
		policy->created(from, hash_of(i % 32));
	for (unsigned i = 0; i < 64; i++) {
		candidate[i] = (struct lzi_candidate){ .hash = hash_of(500 + i), .weight = 1, .visits = 0 };
		policy->created(from, candidate[i].hash);
	}
	policy->judge(from, LZI_POLICY_MAIN, candidate, 64);
	for (unsigned i = 0; i < 4; i++) {
		to = block_for(entries[i]);
		policy->move(to, from);
		assert_int_equal(policy->mend(to), 0);
		assert_hot_known(to);
		free(to.at);
	}
	free(from.at);
}

static void test_state_is_small(void **state)
{
	const struct lzi_policy *policy = adaptive();
	(void)state;

	for (uint64_t entries = 1; entries < 1 << 24; entries *= 3)
		assert_true(policy->size(entries) <= 8 * entries + 256 * 1024);
	assert_true(policy->size(16) <= 64 * 1024);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_loop_larger_than_cache), cmocka_unit_test(test_scan_leaves_hot_set),
		cmocka_unit_test(test_recency_as_lru),         cmocka_unit_test(test_weights_are_judged),
		cmocka_unit_test(test_equal_weights_are_none), cmocka_unit_test(test_damage_is_mended),
		cmocka_unit_test(test_move_keeps_scores),      cmocka_unit_test(test_state_is_small),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
