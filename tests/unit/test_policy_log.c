/*
 * policy/simulate: the log of a cache by age, with policies made for the test. What is kept, what goes, in which order,
 * and that the cache never holds more than it may.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "policy/simulate.h"

/* What the policy is to do, and what it has seen. */
static struct {
	unsigned keep_visits; /* entries with so many visits stay */
	enum lzi_policy_list next;
	uint64_t created, accessed, created_sampled;
	uint64_t judged, kept, batches;
	uint64_t last_judged;
	uint64_t capacity;
	int ascending; /* whether each hash judged in the window was above the one before */
} the;

static uint64_t state_size(uint64_t entries)
{
	(void)entries;
	return 8;
}

static void state_init(struct lzi_policy_block state, uint64_t entries, uint64_t capacity)
{
	(void)state;
	(void)entries;
	(void)capacity;
}

static void state_move(struct lzi_policy_block to, struct lzi_policy_block from)
{
	(void)to;
	(void)from;
}

static void state_access(struct lzi_policy_block state, uint64_t hash, uint32_t weight, int created)
{
	(void)state;
	(void)hash;
	(void)weight;
	the.accessed++;
	the.created_sampled += (uint64_t)created;
}

static void state_created(struct lzi_policy_block state, uint64_t hash)
{
	(void)state;
	(void)hash;
	the.created++;
}

static enum lzi_policy_list state_next(struct lzi_policy_block state, uint64_t window, uint64_t main)
{
	(void)state;
	assert_true(window + main <= the.capacity);
	return the.next;
}

static void state_judge(struct lzi_policy_block state, enum lzi_policy_list list, struct lzi_candidate *candidate,
                        unsigned n)
{
	(void)state;
	assert_in_range(n, 1, LZI_POLICY_BATCH);
	the.batches++;
	for (unsigned i = 0; i < n; i++) {
		assert_in_range(candidate[i].visits, 0, LZI_POLICY_VISITS);
		candidate[i].keep = candidate[i].visits >= the.keep_visits;
		the.judged++;
		the.kept += candidate[i].keep;
		if (list == LZI_POLICY_WINDOW) {
			the.ascending &= candidate[i].hash > the.last_judged;
			the.last_judged = candidate[i].hash;
		}
	}
}

static uint32_t state_sampling(struct lzi_policy_block state)
{
	(void)state;
	return 1u << 31;
}

static const struct lzi_policy policy = {
	.name = "test",
	.kind = LZI_POLICY_BY_AGE,
	.size = state_size,
	.init = state_init,
	.move = state_move,
	.access = state_access,
	.created = state_created,
	.next = state_next,
	.judge = state_judge,
	.sampling = state_sampling,
};

static struct lzi_simulation *begin(uint64_t entries, uint64_t bytes, unsigned extents, unsigned keep_visits)
{
	struct lzi_simulation_options options = {
		.entries = entries, .bytes = bytes, .extents = extents, .copied_limit = 90
	};
	struct lzi_simulation *simulation;

	memset(&the, 0, sizeof the);
	the.keep_visits = keep_visits;
	the.capacity = bytes > 0 ? bytes : entries;
	the.ascending = 1;
	assert_int_equal(lzi_simulation_open(&policy, &options, &simulation), LATZ_OK);
	return simulation;
}

static struct lzi_simulation_result result_of(const struct lzi_simulation *simulation)
{
	struct lzi_simulation_result result;

	lzi_simulation_result(simulation, &result);
	return result;
}

/* Nothing kept and extents of one entry: a FIFO. */
static void in_order(void **state)
{
	struct lzi_simulation *simulation = begin(100, 0, 100, LZI_POLICY_VISITS + 1);

	(void)state;
	for (uint64_t hash = 1; hash <= 1000; hash++) {
		assert_int_equal(lzi_simulation_request(simulation, hash, 0), LATZ_NOTFOUND);
		if (hash > 100)
			assert_int_equal(the.last_judged, hash - 100);
	}
	assert_true(the.ascending);
	for (uint64_t hash = 901; hash <= 1000; hash++)
		assert_int_equal(lzi_simulation_request(simulation, hash, 0), LATZ_OK);
	assert_int_equal(result_of(simulation).entries, 100);
	lzi_simulation_close(simulation);
}

/* What the policy is told of: each entry that is created, and accesses to half of the keys. */
static void told(void **state)
{
	struct lzi_simulation *simulation = begin(1000, 0, 10, LZI_POLICY_VISITS + 1);

	(void)state;
	for (uint64_t i = 0; i < 4000; i++)
		(void)lzi_simulation_request(simulation, i % 500 * 0x9e3779b97f4a7c15u, 0);
	assert_int_equal(the.created, 500);
	assert_in_range(the.created_sampled, 200, 300);
	assert_int_equal(the.accessed, 8 * the.created_sampled);
	lzi_simulation_close(simulation);
}

/* Entries that are asked for stay, the others go by and by. */
static void visited_stay(void **state)
{
	struct lzi_simulation *simulation = begin(1000, 0, 50, 1);
	struct lzi_simulation_result result;

	(void)state;
	for (uint64_t i = 0; i < 20000; i++) {
		assert_int_equal(lzi_simulation_request(simulation, 1000000 + i, 0), LATZ_NOTFOUND);
		if (i >= 200)
			assert_int_equal(lzi_simulation_request(simulation, i % 200, 0), LATZ_OK);
		else
			(void)lzi_simulation_request(simulation, i, 0);
	}
	result = result_of(simulation);
	assert_int_equal(result.copies, the.kept);
	assert_int_equal(the.judged, result.copies + result.evictions);
	assert_in_range(result.entries, 900, 1000);
	lzi_simulation_close(simulation);
}

/* A counter of two bits, which begins anew when an entry is kept. */
static void visits(void **state)
{
	struct lzi_simulation *simulation = begin(10, 0, 2, LZI_POLICY_VISITS);

	(void)state;
	assert_int_equal(lzi_simulation_request(simulation, 1, 0), LATZ_NOTFOUND);
	for (unsigned i = 0; i < 300; i++)
		assert_int_equal(lzi_simulation_request(simulation, 1, 0), LATZ_OK);
	for (uint64_t hash = 2; hash <= 11; hash++)
		assert_int_equal(lzi_simulation_request(simulation, hash, 0), LATZ_NOTFOUND);
	assert_true(the.judged > 0);
	assert_int_equal(the.kept, 1);
	the.next = LZI_POLICY_MAIN;
	the.judged = 0;
	for (uint64_t hash = 12; the.judged == 0; hash++)
		assert_int_equal(lzi_simulation_request(simulation, hash, 0), LATZ_NOTFOUND);
	assert_int_equal(the.kept, 1); /* as nobody asked for it again */
	assert_int_equal(lzi_simulation_request(simulation, 1, 0), LATZ_NOTFOUND);
	lzi_simulation_close(simulation);
}

/* A policy that keeps everything can't stop the cache: at most nine tenths are copied. */
static void not_all_kept(void **state)
{
	static const unsigned extents[] = { 1, 7, 128, 1000 };

	(void)state;
	for (unsigned i = 0; i < sizeof extents / sizeof extents[0]; i++) {
		for (unsigned next = 0; next < 2; next++) {
			struct lzi_simulation *simulation = begin(500, 0, extents[i], 0);
			struct lzi_simulation_result result;

			the.next = next ? LZI_POLICY_MAIN : LZI_POLICY_WINDOW;
			for (uint64_t hash = 0; hash < 3000; hash++) {
				assert_int_equal(lzi_simulation_request(simulation, hash, 0), LATZ_NOTFOUND);
				assert_int_equal(lzi_simulation_request(simulation, hash, 0), LATZ_OK);
				result = result_of(simulation);
				assert_true(result.entries <= 500);
			}
			assert_true(result.copies * 10 <= (result.copies + result.evictions) * 9);
			assert_int_equal(result.inserts - result.evictions, result.entries);
			lzi_simulation_close(simulation);
		}
	}
}

/* Unequal weights: no more than the capacity, whatever they are; one that is as large as all of it displaces all. */
static void weights(void **state)
{
	struct lzi_simulation *simulation = begin(0, 10000, 128, 2);
	uint64_t seed = 99;

	(void)state;
	for (uint64_t i = 0; i < 20000; i++) {
		uint64_t bytes = i % 100 == 0 ? 10000 : i % 17 == 0 ? 3000 : i % 60;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		(void)lzi_simulation_request(simulation, (seed >> 33) % 700, bytes);
		assert_true(result_of(simulation).weight <= 10000);
	}
	assert_int_equal(lzi_simulation_request(simulation, 5555, 10000), LATZ_NOTFOUND);
	assert_int_equal(result_of(simulation).entries, 1);
	assert_int_equal(lzi_simulation_request(simulation, 5556, 10001), LATZ_NOTFOUND);
	assert_int_equal(result_of(simulation).entries, 1);
	assert_int_equal(result_of(simulation).toobig, 1);
	lzi_simulation_close(simulation);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_order), cmocka_unit_test(told),         cmocka_unit_test(visited_stay),
		cmocka_unit_test(visits),   cmocka_unit_test(not_all_kept), cmocka_unit_test(weights),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
