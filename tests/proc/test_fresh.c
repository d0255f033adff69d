/*
 * What was just written is there: several processes write to a pool that is full, so that each evicts for the others,
 * and each looks for every key right after it has written it (cache_set()). In the smallest pools there are hardly more
 * extents, or entries, than processes.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/point.h"
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
		else if (rng_below(&rng, 4) == 0)
			(void)cache_set_again(&c, i);
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

#define FEW 8u
#define ROUNDS 200u

static latz_slice few_key(unsigned i, char buffer[16])
{
	snprintf(buffer, 16, "key%u", i);
	return latz_str(buffer);
}

/* Writes more keys than there may be, and is stopped each time when it has been decided what goes. */
static int stops_evicting(void *arg)
{
	const latz_options *options = arg;
	latz_pool *pool;
	char buffer[16];

	CHECK_OK(latz_open("p", options, &pool));
	for (unsigned i = 0; i < ROUNDS; i++) {
		lzi_point_arm(i < FEW ? NULL : "evict.listed", 1, LZI_POINT_STOP);
		CHECK_OK(latz_set(pool, few_key(i, buffer), latz_str("value"), NULL));
	}
	CHECK_OK(latz_close(pool));
	return 0;
}

/* A write that finds its value there already changes nothing that who evicts could notice. */
static void what_was_left_as_it_is(void **state)
{
	struct fixture *f = *state;
	latz_set_options unless_same = LATZ_SET_OPTIONS_INIT;
	latz_options options = f->options;
	struct proc evictor;
	latz_pool *pool;
	char buffer[16];
	struct rng rng;
	unsigned i, last;

	rng_init(&rng, rng_test_seed("test_fresh"));
	options.max_entries = FEW;
	options.flags |= LATZ_NO_THREAD;
	unless_same.flags = LATZ_IF_CHANGED;
	assert_ok(latz_open("p", &options, &pool));
	proc_start(&evictor, stops_evicting, &options, false);
	for (i = FEW, last = ROUNDS; i < ROUNDS; i++) {
		proc_wait_stopped(&evictor);
		if (last != ROUNDS)
			assert_ok(latz_exists(pool, few_key(last, buffer)));
		do
			last = (unsigned)rng_below(&rng, i);
		while (latz_exists(pool, few_key(last, buffer)) != LATZ_OK);
		assert_ok(latz_set(pool, few_key(last, buffer), latz_str("value"), &unless_same));
		proc_kill(&evictor, SIGCONT);
	}
	assert_int_equal(proc_wait(&evictor, 20000), 0);
	assert_ok(latz_exists(pool, few_key(last, buffer)));
	assert_int_equal(cache_stats(pool).keys, FEW);
	assert_int_equal(cache_stats(pool).evicted, ROUNDS - FEW);
	assert_ok(latz_close(pool));
}

/* ---- Where the heap has grown ---- */

static bool is_there(latz_pool *pool, const char *key, size_t size)
{
	latz_value value = LATZ_VALUE_INIT;
	bool same = latz_get(pool, latz_str(key), &value) == LATZ_OK && value.size == size &&
	            ((const char *)value.data)[size - 1] == 'z';

	latz_value_free(&value);
	return same;
}

/* Looks at the pool, and looks away until it has grown. */
static int looks_again(void *arg)
{
	latz_options options = *(const latz_options *)arg;
	latz_pool *pool;
	latz_value value = LATZ_VALUE_INIT;

	options.flags |= LATZ_NO_THREAD;
	CHECK_OK(latz_open("t", &options, &pool));
	CHECK_OK(latz_get(pool, latz_str("seen"), &value));
	latz_value_free(&value);
	raise(SIGSTOP);
	CHECK(is_there(pool, "large", 12 * MIB));
	if ((options.flags & LATZ_READONLY) == 0)
		CHECK_OK(latz_verify(pool, NULL, NULL));
	CHECK_OK(latz_close(pool));
	return 0;
}

/* A large value takes extents of which some were there when others last looked, and some were not. */
static void large_beyond_what_was_seen(void **state)
{
	struct fixture *f = *state;
	static char bytes[12 * MIB];
	struct proc writes, reads;
	latz_options reader = f->options;

	memset(bytes, 'z', sizeof bytes);
	reader.flags = (unsigned)LATZ_READONLY;
	assert_ok(put(f->pool, "seen", "z"));
	assert_ok(latz_set(f->pool, latz_str("first"), (latz_slice){ bytes, 4 * MIB }, NULL));
	proc_start(&writes, looks_again, &f->options, false);
	proc_start(&reads, looks_again, &reader, false);
	proc_wait_stopped(&writes);
	proc_wait_stopped(&reads);
	assert_ok(latz_set(f->pool, latz_str("second"), (latz_slice){ bytes, 8 * MIB }, NULL));
	assert_ok(del(f->pool, "first"));
	assert_ok(del(f->pool, "second"));
	assert_ok(latz_maintain(f->pool, 1000));
	assert_ok(latz_set(f->pool, latz_str("large"), (latz_slice){ bytes, 12 * MIB }, NULL));
	assert_int_equal(proc_continue(&writes), 0);
	assert_int_equal(proc_continue(&reads), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIR_TEST(in_few_bytes),
		DIR_TEST(among_few_entries),
		DIR_TEST(what_was_left_as_it_is),
		POOL_TEST(large_beyond_what_was_seen),
	};

	fork_prepare();
	return suite_run(tests);
}
