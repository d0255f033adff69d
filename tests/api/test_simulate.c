/*
 * latz_simulate_open and its companions.
 */
#include "lib/suite.h"

static const latz_policy by_entry[] = { LATZ_POLICY_LRU,    LATZ_POLICY_FIFO, LATZ_POLICY_CLOCK, LATZ_POLICY_SIEVE,
	                                LATZ_POLICY_S3FIFO, LATZ_POLICY_2Q,   LATZ_POLICY_ARC,   LATZ_POLICY_WTINYLFU };

static latz_simulation *must_simulate(latz_policy policy, uint64_t max_entries, uint64_t max_bytes)
{
	latz_simulate_options options = LATZ_SIMULATE_OPTIONS_INIT;
	latz_simulation *simulation;

	options.policy = policy;
	options.max_entries = max_entries;
	options.max_bytes = max_bytes;
	assert_ok(latz_simulate_open(&options, &simulation));
	return simulation;
}

static latz_simulate_result_t result_of(latz_simulation *simulation)
{
	latz_simulate_result_t result = { .size = sizeof(result) };

	assert_ok(latz_simulate_result(simulation, &result));
	return result;
}

static void wrong_options(void **state)
{
	latz_simulate_options options = LATZ_SIMULATE_OPTIONS_INIT;
	latz_simulation *simulation = NULL;

	(void)state;
	assert_rc(LATZ_INVALID, latz_simulate_open(NULL, &simulation));
	options.policy = LATZ_POLICY_LRU;
	assert_rc(LATZ_INVALID, latz_simulate_open(&options, &simulation)); /* no bound */
	options.max_entries = 10;
	assert_rc(LATZ_INVALID, latz_simulate_open(&options, NULL));
	options.size = 0;
	assert_rc(LATZ_INVALID, latz_simulate_open(&options, &simulation));
	options.size = sizeof(options) - 1;
	assert_rc(LATZ_INVALID, latz_simulate_open(&options, &simulation));
	options.size = sizeof(options);
	options.policy = LATZ_POLICY_NONE;
	assert_rc(LATZ_INVALID, latz_simulate_open(&options, &simulation));
	options.policy = (latz_policy)1000;
	assert_rc(LATZ_INVALID, latz_simulate_open(&options, &simulation));
	options.policy = (latz_policy)-1;
	assert_rc(LATZ_INVALID, latz_simulate_open(&options, &simulation));
	options.policy = LATZ_POLICY_LRU;
	options.max_entries = (1u << 26) + 1;
	assert_rc(LATZ_INVALID, latz_simulate_open(&options, &simulation));
	options.max_entries = 0;
	options.max_bytes = UINT64_MAX;
	assert_rc(LATZ_INVALID, latz_simulate_open(&options, &simulation));
	assert_null(simulation);
}

static void wrong_arguments(void **state)
{
	static const char long_key[32768];
	latz_simulation *simulation = must_simulate(LATZ_POLICY_LRU, 10, 0);
	latz_simulate_result_t result = { .size = 0 };

	(void)state;
	assert_rc(LATZ_INVALID, latz_simulate_request(NULL, latz_str("k"), 1));
	assert_rc(LATZ_INVALID, latz_simulate_request(simulation, latz_str(""), 1));
	assert_rc(LATZ_INVALID, latz_simulate_request(simulation, slice(NULL, 3), 1));
	assert_rc(LATZ_TOOBIG, latz_simulate_request(simulation, slice(long_key, sizeof(long_key)), 1));
	assert_rc(LATZ_NOTFOUND, latz_simulate_request(simulation, slice(long_key, sizeof(long_key) - 1), 1));
	assert_rc(LATZ_INVALID, latz_simulate_result(simulation, &result));
	assert_rc(LATZ_INVALID, latz_simulate_result(simulation, NULL));
	result.size = sizeof(result);
	assert_rc(LATZ_INVALID, latz_simulate_result(NULL, &result));
	assert_rc(LATZ_INVALID, latz_simulate_close(NULL));
	assert_int_equal(result_of(simulation).requests, 1); /* what was refused does not count */
	assert_ok(latz_simulate_close(simulation));
}

/* A struct of an older program: nothing behind its size is written. */
static void smaller_result(void **state)
{
	latz_simulation *simulation = must_simulate(LATZ_POLICY_LRU, 10, 0);
	latz_simulate_result_t result;

	(void)state;
	memset(&result, 0x5a, sizeof(result));
	result.size = offsetof(latz_simulate_result_t, hits);
	assert_rc(LATZ_NOTFOUND, latz_simulate_request(simulation, latz_str("k"), 1));
	assert_ok(latz_simulate_result(simulation, &result));
	assert_int_equal(result.size, offsetof(latz_simulate_result_t, hits));
	assert_int_equal(result.requests, 1);
	assert_int_equal(result.hits, 0x5a5a5a5a5a5a5a5au);
	assert_ok(latz_simulate_close(simulation));
}

static void counts(void **state)
{
	latz_simulation *simulation = must_simulate(LATZ_POLICY_LRU, 0, 1000);
	latz_simulate_result_t result;

	(void)state;
	assert_rc(LATZ_NOTFOUND, latz_simulate_request(simulation, latz_str("a"), 600));
	assert_rc(LATZ_OK, latz_simulate_request(simulation, latz_str("a"), 700)); /* it keeps its 600 */
	assert_rc(LATZ_NOTFOUND, latz_simulate_request(simulation, latz_str("b"), 400));
	assert_rc(LATZ_NOTFOUND, latz_simulate_request(simulation, latz_str("c"), 1001));
	assert_rc(LATZ_NOTFOUND, latz_simulate_request(simulation, latz_str("c"), UINT64_MAX));
	assert_rc(LATZ_OK, latz_simulate_request(simulation, latz_str("a"), 600));
	assert_rc(LATZ_NOTFOUND, latz_simulate_request(simulation, latz_str("c"), 1));
	assert_rc(LATZ_NOTFOUND, latz_simulate_request(simulation, latz_str("b"), 400));
	result = result_of(simulation);
	assert_int_equal(result.size, sizeof(result));
	assert_int_equal(result.requests, 8);
	assert_int_equal(result.hits, 2);
	assert_int_equal(result.bytes_hit, 1300);
	assert_int_equal(result.inserts, 4);
	assert_int_equal(result.evictions, 2);
	assert_int_equal(result.toobig, 2);
	assert_int_equal(result.entries, 2);
	assert_int_equal(result.bytes, 401);
	assert_int_equal(result.copies, 0);
	assert_true(result.state_bytes > 0);
	assert_ok(latz_simulate_close(simulation));
}

/* Each policy, with each kind of bound and both, never holds more, and hits where it must. */
static void bounds(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(by_entry); i++) {
		for (unsigned kind = 1; kind < 4; kind++) {
			uint64_t entries = kind & 1 ? 50 : 0, bytes = kind & 2 ? 5000 : 0;
			latz_simulation *simulation = must_simulate(by_entry[i], entries, bytes);
			latz_simulate_result_t result;
			struct rng rng;

			rng_init(&rng, 5);
			for (unsigned n = 0; n < 20000; n++) {
				uint64_t key = rng_below(&rng, 500) * rng_below(&rng, 500) / 500;
				int rc =
					latz_simulate_request(simulation, slice(&key, sizeof(key)), 1 + key * 37 % 300);

				assert_true(rc == LATZ_OK || rc == LATZ_NOTFOUND);
				/* Just put in, it is there. */
				assert_rc(LATZ_OK, latz_simulate_request(simulation, slice(&key, sizeof(key)),
				                                         1 + key * 37 % 300));
				result = result_of(simulation);
				assert_true(entries == 0 || result.entries <= entries);
				assert_true(bytes == 0 || result.bytes <= bytes);
				assert_int_equal(result.inserts - result.evictions, result.entries);
			}
			assert_int_equal(result.hits + result.inserts, result.requests);
			assert_ok(latz_simulate_close(simulation));
		}
	}
}

/* What the policy has to know grows with what is there. */
static void many_small(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(by_entry); i++) {
		latz_simulation *simulation = must_simulate(by_entry[i], 0, 30000);
		uint64_t hits = 0;

		for (uint64_t key = 0; key < 60000; key++)
			assert_rc(LATZ_NOTFOUND, latz_simulate_request(simulation, slice(&key, sizeof(key)), 1));
		assert_int_equal(result_of(simulation).entries, 30000);
		for (uint64_t key = 0; key < 60000; key++)
			hits += latz_simulate_request(simulation, slice(&key, sizeof(key)), 1) == LATZ_OK;
		assert_in_range(hits, 0, 30000);
		assert_ok(latz_simulate_close(simulation));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_options), cmocka_unit_test(wrong_arguments), cmocka_unit_test(smaller_result),
		cmocka_unit_test(counts),        cmocka_unit_test(bounds),          cmocka_unit_test(many_small),
	};

	return suite_run(tests);
}
