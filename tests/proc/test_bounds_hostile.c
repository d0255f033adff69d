/*
 * Bounded pools among policies that change, and after deaths in the middle of such a change: a state is only ever used
 * by the policy it is of.
 */
#include "config.h"

#include "base/point.h"
#include "lib/cache.h"
#include "lib/suite.h"

#define MIB (1ull << 20)

struct shared {
	latz_options options;
	_Atomic int stop;
};

static void limit(latz_pool *pool, uint64_t max_bytes, uint64_t max_entries, latz_policy policy)
{
	latz_limits limits = LATZ_LIMITS_INIT;

	limits.max_bytes = max_bytes;
	limits.max_entries = max_entries;
	limits.policy = policy;
	CHECK_OK(latz_limit(pool, &limits));
}

static void write_some(latz_pool *pool, struct rng *rng, unsigned count)
{
	static char bytes[4000];
	latz_value value = LATZ_VALUE_INIT;
	char key[32];

	for (unsigned i = 0; i < count; i++) {
		int rc;

		snprintf(key, sizeof key, "key%u", (unsigned)rng_below(rng, 20000));
		rc = latz_set(pool, latz_str(key), slice(bytes, (size_t)rng_below(rng, sizeof bytes)), NULL);
		if (rc != LATZ_OK)
			check_failed(__FILE__, __LINE__, "set: %s: %s", latz_strerror(rc), latz_error_detail());
		snprintf(key, sizeof key, "key%u", (unsigned)rng_below(rng, 20000));
		rc = latz_get(pool, latz_str(key), &value);
		CHECK(rc == LATZ_OK || rc == LATZ_NOTFOUND);
	}
	latz_value_free(&value);
}

static int writes(void *arg)
{
	struct shared *shared = arg;
	latz_pool *pool;
	struct rng rng;

	rng_init(&rng, (uint64_t)getpid());
	CHECK_OK(latz_open("p", &shared->options, &pool));
	while (!shared->stop)
		write_some(pool, &rng, 100);
	CHECK_OK(latz_close(pool));
	return 0;
}

static void policies_change_among_writers(void **state)
{
	struct fixture *f = *state;
	struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct proc procs[3];
	latz_pool *pool;
	struct rng rng;

	assert_true(shared != MAP_FAILED);
	rng_init(&rng, rng_test_seed("policies_change"));
	shared->options = f->options;
	shared->options.max_bytes = 8 * MIB;
	shared->options.timeout_ms = 20000;
	assert_ok(latz_open("p", &shared->options, &pool));
	for (unsigned i = 0; i < 3; i++)
		proc_start(&procs[i], writes, shared, false);
	for (unsigned i = 0; i < 100; i++) {
		limit(pool, 8 * MIB, 0,
		      i % 2 ? LATZ_POLICY_ADAPTIVE : cache_policy((unsigned)rng_below(&rng, CACHE_POLICIES)));
		write_some(pool, &rng, 20);
	}
	shared->stop = 1;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(proc_wait(&procs[i], 30000), 0);
	assert_ok(verify_print(pool));
	assert_ok(latz_close(pool));
	munmap(shared, sizeof *shared);
}

struct change {
	latz_options options;
	latz_policy from, to;
	const char *point;
};

static int changes_and_dies(void *arg)
{
	struct change *change = arg;
	latz_pool *pool;

	CHECK_OK(latz_open("p", &change->options, &pool));
	lzi_point_arm(change->point, 1, LZI_POINT_KILL);
	limit(pool, 0, 5000, change->to);
	return 1;
}

static int goes_on(void *arg)
{
	struct change *change = arg;
	latz_pool *pool;
	struct rng rng;

	rng_init(&rng, 1);
	CHECK_OK(latz_open("p", &change->options, &pool));
	write_some(pool, &rng, 3000);
	CHECK_OK(latz_close(pool));
	return 0;
}

static void dies_and_goes_on(struct fixture *f, latz_policy from, latz_policy to, const char *point)
{
	struct change change = { .options = f->options, .from = from, .to = to, .point = point };
	latz_pool *pool;
	struct rng rng;

	change.options.max_entries = 5000;
	change.options.flags |= LATZ_NO_THREAD;
	rng_init(&rng, (uint64_t)from * 100 + (uint64_t)to);
	assert_ok(latz_open("p", &change.options, &pool));
	limit(pool, 0, 5000, from);
	write_some(pool, &rng, 6000);
	if (proc_run(changes_and_dies, &change, 20000) != 128 + SIGKILL)
		fail_msg("%s to %s does not pass %s", cache_policy_name(from), cache_policy_name(to), point);
	if (proc_run(goes_on, &change, 20000) != 0)
		fail_msg("%s to %s, dead at %s", cache_policy_name(from), cache_policy_name(to), point);
	assert_ok(latz_close(pool));
}

/* The policy is the new one's already, the state still the old one's. */
static void a_death_in_a_change_of_policies(void **state)
{
	static const char *const points[] = { "bound.policy", "policy.allocated", "policy.made", "policy.between" };

	for (unsigned i = 0; i < CACHE_POLICIES; i++) {
		if (cache_policy(i) == LATZ_POLICY_ADAPTIVE || cache_policy(i) == LATZ_POLICY_DEFAULT)
			continue;
		dies_and_goes_on(*state, cache_policy(i), LATZ_POLICY_ADAPTIVE, points[i % 2 * 2]);
		dies_and_goes_on(*state, LATZ_POLICY_ADAPTIVE, cache_policy(i), points[i % ARRAY_LEN(points)]);
	}
	dies_and_goes_on(*state, LATZ_POLICY_S3FIFO, LATZ_POLICY_WTINYLFU, "policy.made");
	dies_and_goes_on(*state, LATZ_POLICY_ARC, LATZ_POLICY_WTINYLFU, "bound.policy");
}

static uint64_t policy_blocks(struct fixture *f)
{
	char path[4200];
	struct stat st;

	snprintf(path, sizeof path, "%s/p/policy", f->dir);
	assert_int_equal(stat(path, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

/* What was made for a state that its maker's death kept from being used goes back, as do those used before. */
static void no_blocks_of_states_are_lost(void **state)
{
	struct fixture *f = *state;
	struct change change = { .options = f->options, .to = LATZ_POLICY_LRU };
	uint64_t before;
	latz_pool *pool;

	change.options.max_entries = 5000;
	change.options.flags |= LATZ_NO_THREAD;
	assert_ok(latz_open("p", &change.options, &pool));
	limit(pool, 0, 5000, LATZ_POLICY_ARC);
	before = policy_blocks(f);
	change.point = "policy.made";
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(proc_run(changes_and_dies, &change, 20000), 128 + SIGKILL);
		limit(pool, 0, 5000, i % 2 ? LATZ_POLICY_ARC : LATZ_POLICY_2Q);
	}
	assert_in_range(policy_blocks(f), 1, before + 4096);
	assert_ok(latz_close(pool));
}

/* Keys without values to speak of: what policies note of them, and the table, is much of the pool. */
static void states_stay_within_max_bytes(void **state)
{
	struct fixture *f = *state;
	latz_options options = f->options;
	struct cache c = { .dir = f->dir, .name = "p", .max_bytes = 8 * MIB };
	char key[32];

	options.max_bytes = 64 * MIB;
	assert_ok(latz_open("p", &options, &c.pool));
	for (unsigned i = 0; i < 150000; i++) {
		snprintf(key, sizeof key, "key%u", i);
		assert_ok(latz_set(c.pool, latz_str(key), latz_str("v"), NULL));
	}
	for (unsigned p = 0; p < CACHE_POLICIES; p++) {
		limit(c.pool, 8 * MIB, 0, cache_policy(p));
		cache_check_bounds(&c);
	}
	assert_ok(verify_print(c.pool));
	assert_ok(latz_close(c.pool));
}

static int stops_evicting(void *arg)
{
	struct change *change = arg;
	latz_pool *pool;
	struct rng rng;

	rng_init(&rng, 2);
	CHECK_OK(latz_open("p", &change->options, &pool));
	lzi_point_arm("evict.intent", 1, LZI_POINT_STOP);
	write_some(pool, &rng, 20000);
	CHECK_OK(latz_close(pool));
	return 0;
}

static int comes_to_read(void *arg)
{
	struct change *change = arg;
	latz_value value = LATZ_VALUE_INIT;
	latz_pool *pool;

	CHECK_OK(latz_open("p", &change->options, &pool));
	CHECK_RC(LATZ_NOTFOUND, latz_get(pool, latz_str("none"), &value));
	return 0;
}

/* Who evicts is stopped with `maint`: who comes to read is let in. */
static void attaching_does_not_wait_for_who_evicts(void **state)
{
	struct fixture *f = *state;
	struct change change = { .options = f->options };
	struct proc stopped;
	latz_pool *pool;

	change.options.max_bytes = 8 * MIB;
	change.options.timeout_ms = 500;
	change.options.flags |= LATZ_NO_THREAD;
	assert_ok(latz_open("p", &change.options, &pool));
	proc_start(&stopped, stops_evicting, &change, false);
	proc_wait_stopped(&stopped);
	assert_int_equal(proc_run(comes_to_read, &change, 20000), 0);
	assert_int_equal(proc_continue(&stopped), 0);
	assert_ok(latz_close(pool));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIR_TEST(policies_change_among_writers),
		DIR_TEST(a_death_in_a_change_of_policies),
		DIR_TEST(no_blocks_of_states_are_lost),
		DIR_TEST(states_stay_within_max_bytes),
		DIR_TEST(attaching_does_not_wait_for_who_evicts),
	};

	fork_prepare();
	return suite_run(tests);
}
