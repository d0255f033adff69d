/*
 * What was just written is there: several processes write to a pool that is full, so that each evicts for the others,
 * and each looks for every key right after it has written it (cache_set()). In the smallest pools there are hardly more
 * extents, or entries, than processes.
 */
#include "lib/cache.h"
#include "lib/suite.h"

#define MIB (1ull << 20)
#define PROCESSES 8
#define KEYS 2500
#define WRITES 12000

struct role {
	latz_options options;
	uint32_t number, size_max;
	uint64_t seed;
};

static int work(void *arg)
{
	const struct role *role = arg;
	latz_pool *pool;
	struct cache c;
	struct rng rng;

	rng_init(&rng, role->seed);
	CHECK_OK(latz_open("p", &role->options, &pool));
	cache_init(&c, pool, role->options.dir, "p", KEYS, NULL);
	c.owner = role->number;
	for (unsigned n = 0; n < WRITES; n++) {
		uint32_t i = (uint32_t)rng_below(&rng, KEYS);

		if (rng_below(&rng, 3) == 0)
			(void)cache_get(&c, i);
		else
			(void)cache_set(&c, i, cache_size(&rng, role->size_max), 0);
	}
	cache_fini(&c);
	CHECK_OK(latz_close(pool));
	return 0;
}

static void run_crowd(struct fixture *f, uint64_t max_bytes, uint64_t max_entries, latz_policy policy,
                      uint32_t size_max)
{
	struct proc procs[PROCESSES];
	struct role roles[PROCESSES];
	latz_options options = f->options;
	latz_pool *pool;
	struct rng rng;

	rng_init(&rng, rng_test_seed("test_fresh"));
	options.max_bytes = max_bytes;
	options.max_entries = max_entries;
	options.policy = policy;
	options.timeout_ms = 20000; /* nobody is stopped, the machine may be slow */
	print_message("# %s\n", cache_policy_name(policy));
	options.flags |= LATZ_NO_THREAD; /* who forks has no other thread: children might inherit its malloc's locks */
	assert_ok(latz_open("p", &options, &pool));
	for (uint32_t i = 0; i < PROCESSES; i++) {
		roles[i] = (struct role){ options, i, size_max, rng_next(&rng) };
		roles[i].options.flags &= ~(unsigned)LATZ_NO_THREAD;
		proc_start(&procs[i], work, &roles[i], false);
	}
	for (uint32_t i = 0; i < PROCESSES; i++)
		assert_int_equal(proc_wait(&procs[i], 120000), 0);
	assert_true(cache_stats(pool).evicted > 0);
	assert_ok(verify_print(pool));
	assert_ok(latz_close(pool));
}

static void in_few_bytes(void **state)
{
	for (unsigned p = 0; p < cache_policies() && p < 4; p++)
		run_crowd(*state, 4 * MIB, 0, cache_policy(p), 20000);
}

static void among_few_entries(void **state)
{
	for (unsigned p = 0; p < cache_policies() && p < 4; p++)
		run_crowd(*state, 0, 100, cache_policy(p), 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIR_TEST(in_few_bytes),
		DIR_TEST(among_few_entries),
	};

	fork_prepare();
	return suite_run(tests);
}
