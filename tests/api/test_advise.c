/*
 * latz_advise, latz_hot_keys: what they say of pools that are bounded, or not; and wrong arguments.
 */
#include "lib/suite.h"

enum {
	BOUND = 2000,
	ROUNDS = 60000
};

struct points {
	latz_advice_point point[32];
	unsigned count;
};

static int take(const latz_advice_point *point, void *arg)
{
	struct points *points = arg;

	assert_true(points->count < 32);
	assert_int_equal(point->size, sizeof(*point));
	points->point[points->count++] = *point;
	return 0;
}

static const latz_advice_point *at_scale(const struct points *points, double scale)
{
	for (unsigned i = 0; i < points->count; i++) {
		if (points->point[i].scale == scale)
			return &points->point[i];
	}
	fail_msg("no point at %g", scale);
	return NULL;
}

/* Gets some keys more often than others, and sets what it misses. The share of misses. */
static double use_as_cache(latz_pool *pool, struct rng *rng, unsigned keys, unsigned rounds)
{
	latz_value value = LATZ_VALUE_INIT;
	unsigned misses = 0;
	char name[24];

	for (unsigned i = 0; i < rounds; i++) {
		uint64_t a = rng_below(rng, keys), b = rng_below(rng, keys);
		int rc;

		snprintf(name, sizeof(name), "key-%llu", (unsigned long long)(a < b ? a : b));
		rc = latz_get(pool, key_of(name), &value);
		if (rc == LATZ_NOTFOUND) {
			misses++;
			assert_ok(put(pool, name, "a value of some bytes"));
		} else {
			assert_ok(rc);
		}
	}
	latz_value_free(&value);
	return (double)misses / rounds;
}

static latz_pool *open_bounded(struct fixture *f, const char *name, uint64_t entries)
{
	latz_options options = f->options;
	latz_pool *pool;

	options.max_entries = entries;
	options.policy = LATZ_POLICY_LRU;
	assert_ok(latz_open(name, &options, &pool));
	return pool;
}

/* Half and twice the size, predicted, and as pools of these sizes have it. */
static void predicts(void **state)
{
	static const double scales[] = { 0.5, 1, 2 };
	struct fixture *f = *state;
	latz_pool *pool = open_bounded(f, "one", BOUND);
	uint64_t seed = rng_test_seed("test_advise");
	latz_advice_t advice = { .size = sizeof(advice) };
	struct points points = { .count = 0 };
	struct rng rng;
	double misses;

	rng_init(&rng, seed);
	misses = use_as_cache(pool, &rng, BOUND * 4, ROUNDS);
	assert_ok(latz_advise(pool, NULL, take, &points, &advice));
	assert_int_equal(advice.size, sizeof(advice));
	assert_true(advice.running);
	assert_int_equal(advice.policy, LATZ_POLICY_LRU);
	assert_int_equal(advice.references, ROUNDS);
	assert_true(advice.sampled == ROUNDS && advice.sampling == 1);
	assert_true(advice.miss_ratio > misses - 1e-9 && advice.miss_ratio < misses + 1e-9);
	for (unsigned i = 1; i < points.count; i++) {
		assert_true(points.point[i].scale > points.point[i - 1].scale);
		assert_true(points.point[i].miss_ratio <= points.point[i - 1].miss_ratio + 1e-9);
	}
	for (unsigned i = 0; i < 3; i++) {
		const latz_advice_point *point = at_scale(&points, scales[i]);
		char name[8];

		snprintf(name, sizeof(name), "at-%u", i);
		latz_pool *other = open_bounded(f, name, (uint64_t)(BOUND * scales[i]));
		assert_int_equal(point->max_entries, BOUND * scales[i]);
		assert_int_equal(point->max_bytes, 0);
		rng_init(&rng, seed);
		misses = use_as_cache(other, &rng, BOUND * 4, ROUNDS);
		assert_true(point->miss_ratio > misses - 0.02 && point->miss_ratio < misses + 0.02);
		assert_ok(latz_close(other));
	}
	assert_ok(latz_close(pool));
}

/* Another policy than the pool's own: SIEVE keeps popular keys better here. */
static void another_policy(void **state)
{
	struct fixture *f = *state;
	latz_pool *pool = open_bounded(f, "one", BOUND);
	latz_advise_options options = LATZ_ADVISE_OPTIONS_INIT;
	latz_advice_t advice = { .size = sizeof(advice) };
	struct points points = { .count = 0 };
	struct rng rng;

	rng_init(&rng, 1);
	use_as_cache(pool, &rng, BOUND * 4, ROUNDS);
	options.policy = LATZ_POLICY_SIEVE;
	assert_ok(latz_advise(pool, &options, take, &points, &advice));
	assert_int_equal(advice.policy, LATZ_POLICY_SIEVE);
	assert_true(at_scale(&points, 0.5)->miss_ratio < at_scale(&points, 0.5)->lru_miss_ratio);
	assert_ok(latz_close(pool));
}

/* The advice is there after those that used the pool have gone, and for who comes later. */
static void bytes_and_another_process(void **state)
{
	struct fixture *f = *state;
	latz_options options = f->options;
	struct points points = { .count = 0 };
	latz_pool *pool;
	struct rng rng;
	pid_t child;

	options.max_bytes = 16 << 20;
	options.policy = LATZ_POLICY_LRU;
	assert_ok(latz_open("bytes", &options, &pool));
	child = fork();
	if (child == 0) {
		latz_pool *own;

		CHECK(latz_open("bytes", &options, &own) == LATZ_OK);
		rng_init(&rng, 2);
		use_as_cache(own, &rng, 1000, 20000);
		_exit(0);
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_ok(latz_advise(pool, NULL, take, &points, NULL));
	assert_int_equal(at_scale(&points, 2)->max_bytes, 32 << 20);
	assert_int_equal(at_scale(&points, 0.5)->max_entries, 0);
	/* All fits, so more would be of no use. */
	assert_true(at_scale(&points, 1)->miss_ratio == at_scale(&points, 8)->miss_ratio);
	assert_true(points.point[0].max_bytes >= 4 << 20);
	assert_ok(latz_close(pool));
}

static int count_hot(latz_slice key, double share, void *arg)
{
	unsigned *count = arg;

	assert_true(key.size > 0);
	assert_true(share > 0 && share <= 1);
	if (*count == 0) {
		assert_int_equal(key.size, 3);
		assert_memory_equal(key.data, "hot", 3);
		assert_true(share > 0.3 && share < 0.7);
	}
	++*count;
	return 0;
}

static int stop_at_once(latz_slice key, double share, void *arg)
{
	(void)key;
	(void)share;
	++*(unsigned *)arg;
	return 7;
}

/* Not bounded: from START to STOP. */
static void on_request(void **state)
{
	struct fixture *f = *state;
	latz_advise_options options = LATZ_ADVISE_OPTIONS_INIT;
	latz_advice_t advice = { .size = sizeof(advice) };
	struct points points = { .count = 0 };
	unsigned hot = 0;
	char name[24];

	assert_ok(put(f->pool, "hot", "x"));
	assert_ok(latz_advise(f->pool, NULL, take, &points, &advice));
	assert_int_equal(advice.running, 0);
	assert_ok(latz_hot_keys(f->pool, 5, count_hot, &hot));
	assert_int_equal(points.count + hot, 0);
	options.flags = LATZ_ADVISE_START;
	assert_ok(latz_advise(f->pool, &options, take, &points, &advice));
	assert_int_equal(advice.running, 1);
	assert_int_equal(points.count, 0);
	for (unsigned i = 0; i < 40000; i++) {
		assert_ok(latz_get(f->pool, key_of("hot"), &f->value));
		snprintf(name, sizeof(name), "cold-%u", i % 5000);
		if (i < 5000)
			assert_ok(put(f->pool, name, "y"));
		assert_ok(latz_get(f->pool, key_of(name), &f->value));
	}
	assert_ok(latz_hot_keys(f->pool, 3, count_hot, &hot));
	assert_true(hot >= 1 && hot <= 3);
	hot = 0;
	assert_rc(7, latz_hot_keys(f->pool, 3, stop_at_once, &hot));
	assert_int_equal(hot, 1);
	options.flags = LATZ_ADVISE_STOP;
	assert_ok(latz_advise(f->pool, &options, take, &points, &advice));
	assert_int_equal(advice.references, 85000);
	assert_true(points.count > 0);
	/* What it has now is enough: nothing was missed but what was new. */
	assert_true(at_scale(&points, 1)->miss_ratio < 0.08);
	assert_ok(latz_advise(f->pool, NULL, NULL, NULL, &advice));
	assert_int_equal(advice.running, 0);
}

/* Bounds that come, change and go take the sampling with them. */
static void with_limits(void **state)
{
	struct fixture *f = *state;
	latz_advice_t advice = { .size = sizeof(advice) };
	latz_limits limits = LATZ_LIMITS_INIT;
	struct rng rng;

	rng_init(&rng, 3);
	limits.max_entries = 1000;
	limits.policy = LATZ_POLICY_LRU;
	assert_ok(latz_limit(f->pool, &limits));
	use_as_cache(f->pool, &rng, 2000, 3000);
	assert_ok(latz_advise(f->pool, NULL, NULL, NULL, &advice));
	assert_int_equal(advice.running, 1);
	assert_int_equal(advice.references, 3000);
	limits.max_entries = 1500;
	assert_ok(latz_limit(f->pool, &limits));
	assert_ok(latz_advise(f->pool, NULL, NULL, NULL, &advice));
	assert_int_equal(advice.references, 3000); /* nothing is lost */
	limits.policy = LATZ_POLICY_SIEVE;
	assert_ok(latz_limit(f->pool, &limits));
	assert_ok(latz_advise(f->pool, NULL, NULL, NULL, &advice));
	assert_int_equal(advice.policy, LATZ_POLICY_SIEVE);
	limits.max_entries = 0;
	assert_ok(latz_limit(f->pool, &limits));
	assert_ok(latz_advise(f->pool, NULL, NULL, NULL, &advice));
	assert_int_equal(advice.running, 0);
}

static void wrong_arguments(void **state)
{
	struct fixture *f = *state;
	latz_advise_options options = LATZ_ADVISE_OPTIONS_INIT;
	latz_advice_t advice = { .size = 1 };
	latz_options readonly = f->options;
	latz_pool *reader;

	assert_rc(LATZ_INVALID, latz_advise(NULL, NULL, NULL, NULL, NULL));
	assert_rc(LATZ_INVALID, latz_advise(f->pool, NULL, NULL, NULL, &advice));
	options.flags = 1u << 9;
	assert_rc(LATZ_INVALID, latz_advise(f->pool, &options, NULL, NULL, NULL));
	options.flags = 0;
	options.policy = LATZ_POLICY_NONE;
	assert_rc(LATZ_INVALID, latz_advise(f->pool, &options, NULL, NULL, NULL));
	options.policy = (latz_policy)99;
	assert_rc(LATZ_INVALID, latz_advise(f->pool, &options, NULL, NULL, NULL));
	options.policy = LATZ_POLICY_DEFAULT;
	options.size = 0;
	assert_rc(LATZ_INVALID, latz_advise(f->pool, &options, NULL, NULL, NULL));
	assert_rc(LATZ_INVALID, latz_hot_keys(f->pool, 1, NULL, NULL));
	assert_rc(LATZ_INVALID, latz_hot_keys(NULL, 1, stop_at_once, NULL));
	readonly.flags = LATZ_READONLY;
	assert_ok(latz_open("t", &readonly, &reader));
	options = (latz_advise_options)LATZ_ADVISE_OPTIONS_INIT;
	assert_rc(LATZ_UNSUPPORTED, latz_advise(reader, &options, NULL, NULL, NULL));
	options.flags = LATZ_ADVISE_START;
	assert_rc(LATZ_READONLY, latz_advise(reader, &options, NULL, NULL, NULL));
	assert_ok(latz_close(reader));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIR_TEST(predicts),    DIR_TEST(another_policy), DIR_TEST(bytes_and_another_process),
		POOL_TEST(on_request), POOL_TEST(with_limits),   POOL_TEST(wrong_arguments),
	};

	return suite_run(tests);
}
