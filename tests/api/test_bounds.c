/*
 * Bounds of a pool: that they hold, what is refused, what goes and what stays, and that they can be changed while the
 * pool is used.
 */
#include "lib/cache.h"
#include "lib/suite.h"

#include <stdio.h>
#include <string.h>

#define PATIENCE_MS 30000 /* what they wait for may have to wait for the processor itself */
#define MIB (1ull << 20)

struct bounded {
	struct fixture *f;
	struct cache c;
	struct rng rng;
};

/* Opens "p" with the bounds, in which `count` keys are to be written. */
static void begin(struct bounded *b, void **state, uint64_t max_bytes, uint64_t max_entries, latz_policy policy,
                  uint32_t count)
{
	latz_options options;

	b->f = *state;
	options = b->f->options;
	options.max_bytes = max_bytes;
	options.max_entries = max_entries;
	options.policy = policy;
	options.timeout_ms = PATIENCE_MS;
	assert_ok(latz_open("p", &options, &b->f->pool));
	cache_init(&b->c, b->f->pool, b->f->dir, "p", count, NULL);
	b->c.max_bytes = max_bytes;
	b->c.max_entries = max_entries;
	rng_init(&b->rng, rng_test_seed("test_bounds"));
}

static void end(struct bounded *b)
{
	assert_ok(verify_print(b->c.pool));
	cache_fini(&b->c);
	assert_ok(latz_close(b->f->pool));
	b->f->pool = NULL;
}

/* Record bytes of everything, counted by the caller. */
static uint64_t live_of(const struct cache *c)
{
	return cache_stats(c->pool).live_bytes;
}

/* Half of the choices fall on a sixteenth of the keys. */
static uint32_t any(struct bounded *b)
{
	return (uint32_t)rng_below(&b->rng, rng_below(&b->rng, 2) ? b->c.count / 16 + 1 : b->c.count);
}

static void limit(struct bounded *b, uint64_t max_bytes, uint64_t max_entries, latz_policy policy)
{
	latz_limits limits = LATZ_LIMITS_INIT;

	limits.max_bytes = b->c.max_bytes = max_bytes;
	limits.max_entries = b->c.max_entries = max_entries;
	limits.policy = policy;
	assert_ok(latz_limit(b->c.pool, &limits));
}

static void set_numbered(latz_pool *pool, unsigned from, unsigned to)
{
	char name[32];

	for (unsigned i = from; i < to; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		assert_ok(latz_set(pool, latz_str(name), latz_str("v"), NULL));
	}
}

/* Sets, gets and deletes; nothing is refused, and the bounds are looked at now and then. */
static void mixed_operations(struct bounded *b, unsigned operations, uint32_t size_max)
{
	for (unsigned i = 0; i < operations; i++) {
		uint64_t draw = rng_below(&b->rng, 100);
		uint32_t key = any(b);

		if (draw < 50)
			assert_ok(cache_set(&b->c, key, cache_size(&b->rng, size_max), 0));
		else if (draw < 95)
			(void)cache_get(&b->c, key);
		else
			cache_delete(&b->c, key);
		if (i % 64 == 0)
			cache_check_bounds(&b->c);
	}
}

/* ---- That they hold ---- */

/* Values of 16 bytes to 1 MiB come and go: the files stay within max_bytes, every write finds room. */
static void bytes_hold(void **state)
{
	struct bounded b;

	begin(&b, state, 32 * MIB, 0, LATZ_POLICY_DEFAULT, 60000);
	mixed_operations(&b, 300000, CACHE_VALUE_MAX);
	assert_true(cache_stats(b.c.pool).evicted > 0);
	assert_int_equal(cache_stats(b.c.pool).refused, 0);
	assert_true(cache_check(&b.c) > 1000);
	end(&b);
}

/* The same with each policy, in a pool so small that a large value is a part of it to reckon with. */
static void bytes_hold_with_each_policy(void **state)
{
	for (unsigned i = 0; i < cache_policies(); i++) {
		struct bounded b;

		begin(&b, state, 8 * MIB, 0, cache_policy(i), 20000);
		print_message("# %s\n", cache_policy_name(cache_policy(i)));
		mixed_operations(&b, 15000, CACHE_VALUE_MAX);
		assert_true(cache_stats(b.c.pool).evicted > 0);
		assert_true(cache_check(&b.c) > 10);
		end(&b);
	}
}

/* Small values: the table, the policy's notes and records that are all header have their share of max_bytes. */
static void bytes_hold_of_small_values(void **state)
{
	for (unsigned i = 0; i < cache_policies(); i++) {
		struct bounded b;

		begin(&b, state, 4 * MIB, 0, cache_policy(i), 200000);
		print_message("# %s\n", cache_policy_name(cache_policy(i)));
		mixed_operations(&b, 100000, 40);
		assert_true(cache_stats(b.c.pool).evicted > 0);
		/* Not much more than extents that somebody writes to and what is kept free: but that much. */
		assert_true(cache_check(&b.c) > 2000);
		end(&b);
	}
}

/* max_entries alone: never one more, with each policy, and full of keys. */
static void entries_hold(void **state)
{
	for (unsigned i = 0; i < cache_policies(); i++) {
		struct bounded b;
		uint64_t most = i % 2 == 0 ? 500 : 3;

		begin(&b, state, 0, most, cache_policy(i), 2000);
		print_message("# %s, %u keys\n", cache_policy_name(cache_policy(i)), (unsigned)most);
		for (unsigned n = 0; n < 10000; n++) {
			assert_ok(cache_set(&b.c, any(&b), cache_size(&b.rng, 200), 0));
			assert_true(cache_stats(b.c.pool).keys <= most);
			(void)cache_get(&b.c, any(&b));
		}
		/* A few go at once. */
		assert_in_range(cache_check(&b.c), most - most / 100 - 1, most);
		end(&b);
	}
}

/* Both at once: each holds. */
static void both_hold(void **state)
{
	struct bounded b;

	begin(&b, state, 6 * MIB, 3000, LATZ_POLICY_DEFAULT, 9000);
	mixed_operations(&b, 40000, 40);
	assert_true(cache_stats(b.c.pool).keys > 2900);
	mixed_operations(&b, 10000, 100000);
	assert_true(cache_check(&b.c) > 10);
	end(&b);
}

/* ---- What is refused ---- */

/* Full before its time is a pool whose extents somebody has for the moment, who may have to wait for the processor. */
static int set_patiently(struct cache *c, uint32_t i)
{
	int rc = cache_set(c, i, 700, 0);

	for (int tries = 0; rc == LATZ_FULL && live_of(c) < 8 * MIB / 100 * 80 && tries < 500; tries++) {
		sleep_ms(10);
		rc = cache_set(c, i, 700, 0);
	}
	return rc;
}

/* Without eviction: full, reads and deletes go on, and after deletes writes do. */
static void none_refuses(void **state)
{
	struct bounded b;
	uint64_t there = 0;
	uint32_t n = 0;

	begin(&b, state, 8 * MIB, 0, LATZ_POLICY_NONE, 200000);
	for (int round = 0; round < 4; round++) {
		uint32_t from = n;

		for (; set_patiently(&b.c, n) == LATZ_OK; n++)
			there++;
		assert_true(n > from + 1000);
		assert_true(live_of(&b.c) >= 8 * MIB / 100 * 80);
		cache_check_bounds(&b.c);
		assert_int_equal(cache_check(&b.c), there);
		for (uint32_t i = 0; i < n; i++) {
			if (b.c.keys[i].serial != 0 && rng_below(&b.rng, 2)) {
				cache_delete(&b.c, i);
				there--;
			}
		}
	}
	assert_ok(cache_set(&b.c, n, 700, 0));
	assert_int_equal(cache_stats(b.c.pool).evicted, 0);
	assert_int_equal(cache_stats(b.c.pool).refused, b.c.full);
	end(&b);
}

/* Deletes until a value has room under so many percent of max_bytes. */
static void make_room_for(struct bounded *b, uint32_t size, unsigned percent)
{
	while (live_of(&b->c) + size + 80 > b->c.max_bytes / 100 * percent) {
		uint32_t i = any(b);

		for (uint32_t n = 0; b->c.keys[i].serial == 0 && n < b->c.count; n++)
			i = (i + 1) % b->c.count;
		cache_delete(&b->c, i);
	}
}

static void churn(void **state, uint64_t max_bytes, unsigned percent, uint32_t size_max)
{
	struct bounded b;

	begin(&b, state, max_bytes, 0, LATZ_POLICY_NONE, 20000);
	for (unsigned i = 0; i < 20000; i++) {
		/* Sizes change their kind now and then: what was small becomes large, and back. */
		uint32_t size = cache_size(&b.rng, i / 500 % 3 == 0 ? 300 : i / 500 % 3 == 1 ? size_max : 20000);

		make_room_for(&b, size, percent);
		if (cache_set(&b.c, any(&b), size, 0) != LATZ_OK) {
			latz_stats_t stats = cache_stats(b.c.pool);

			fail_msg("write %u, of %u bytes: full with %" PRIu64 " live bytes of %" PRIu64 " (%" PRIu64
			         " dead, heap %" PRIu64 ", table %" PRIu64 ", index %" PRIu64 ", %" PRIu64
			         " extents free)",
			         i, size, stats.live_bytes, max_bytes, stats.dead_bytes, stats.heap_bytes,
			         stats.table_bytes, stats.index_bytes, stats.extents_free);
		}
		if (i % 64 == 0)
			cache_check_bounds(&b.c);
	}
	cache_check(&b.c);
	assert_int_equal(cache_stats(b.c.pool).evicted, 0);
	end(&b);
}

/* Without eviction, no churn of sizes leads to "full" while less than 80 % of the bytes are in use. */
static void none_is_not_full_too_early(void **state)
{
	churn(state, 32 * MIB, 79, CACHE_VALUE_MAX);
}

static void none_is_not_full_too_early_in_a_small_pool(void **state)
{
	churn(state, 8 * MIB, 70, 60000);
}

static void none_counts_entries(void **state)
{
	struct bounded b;

	begin(&b, state, 0, 100, LATZ_POLICY_NONE, 200);
	for (uint32_t i = 0; i < 100; i++)
		assert_ok(cache_set(&b.c, i, 100, 0));
	for (int round = 0; round < 3; round++) {
		assert_int_equal(cache_set(&b.c, 150, 100, 0), LATZ_FULL);
		assert_ok(cache_set(&b.c, 7, 300, 0)); /* overwriting adds none */
		cache_delete(&b.c, (uint32_t)round);
		assert_ok(cache_set(&b.c, (uint32_t)round, 100, 0));
	}
	assert_int_equal(cache_check(&b.c), 100);
	assert_int_equal(cache_stats(b.c.pool).refused, 3);
	end(&b);
}

/* A value larger than can be kept is refused, and nothing goes for it. */
static void too_big_evicts_nothing(void **state)
{
	for (unsigned i = 0; i < cache_policies(); i++) {
		struct bounded b;
		size_t size = 5 * MIB;
		void *large = check_alloc(size);
		latz_stats_t before, after;

		begin(&b, state, 8 * MIB, 0, cache_policy(i), 5000);
		for (uint32_t n = 0; n < 5000; n++)
			assert_ok(cache_set(&b.c, n, 300, 0));
		before = cache_stats(b.c.pool);
		memset(large, 'x', size);
		assert_rc(LATZ_TOOBIG, latz_set(b.c.pool, key_of("large"), slice(large, size), NULL));
		assert_non_null(strstr(latz_error_detail(), "max_bytes"));
		after = cache_stats(b.c.pool);
		assert_int_equal(after.evicted, before.evicted);
		assert_int_equal(after.keys, before.keys);
		assert_int_equal(after.refused, before.refused + 1);
		assert_int_equal(cache_check(&b.c), 5000);
		free(large);
		end(&b);
	}
}

/* More tiny keys than a small pool can have. */
static void fill_with_tiny(struct bounded *b, uint64_t *ret_evicted)
{
	uint64_t evicted = cache_stats(b->c.pool).evicted;

	for (unsigned from = 0; (*ret_evicted = cache_stats(b->c.pool).evicted) < evicted + 100; from += 500)
		set_numbered(b->c.pool, from, from + 500);
}

/* Up to half of max_bytes fits, whatever a single thread has put there before. */
static void large_values_of_a_small_pool(void **state)
{
	static const latz_policy policies[] = { LATZ_POLICY_DEFAULT, LATZ_POLICY_LRU };
	char *value = check_alloc(4 * MIB);
	struct fixture *f = *state;
	uint64_t before;
	struct bounded b;

	f->options.flags |= LATZ_NO_THREAD; /* who evicts as well */
	memset(value, 1, 4 * MIB);
	for (unsigned i = 0; i < ARRAY_LEN(policies); i++) {
		begin(&b, state, 4 * MIB, 0, policies[i], 1);
		for (size_t size = 256 << 10; size < 2 * MIB; size += 128 << 10) {
			fill_with_tiny(&b, &before);
			assert_ok(latz_set(b.c.pool, key_of("large"), slice(value, size), NULL));
			cache_check_bounds(&b.c);
		}
		end(&b);
	}
	free(value);
}

struct holder {
	latz_pool *pool;
	pthread_barrier_t *written, *over;
	int number;
};

static void *holds_an_extent(void *arg)
{
	struct holder *holder = arg;

	set_numbered(holder->pool, 1000000u + (unsigned)holder->number, 1000001u + (unsigned)holder->number);
	pthread_barrier_wait(holder->written);
	pthread_barrier_wait(holder->over);
	return NULL;
}

/* What other threads append to can't go. A value for which the rest is too small is told so, before anything goes. */
static void too_big_beside_open_extents(void **state)
{
	enum { HOLDERS = 7 };
	char *value = check_alloc(2 * MIB);
	pthread_barrier_t written, over;
	struct holder holder[HOLDERS];
	pthread_t thread[HOLDERS];
	struct fixture *f = *state;
	uint64_t before;
	struct bounded b;

	f->options.flags |= LATZ_NO_THREAD; /* who evicts as well */
	memset(value, 1, 2 * MIB);
	begin(&b, state, 4 * MIB, 0, LATZ_POLICY_DEFAULT, 1);
	pthread_barrier_init(&written, NULL, HOLDERS + 1);
	pthread_barrier_init(&over, NULL, HOLDERS + 1);
	for (int i = 0; i < HOLDERS; i++) {
		holder[i] = (struct holder){ b.c.pool, &written, &over, i };
		assert_int_equal(pthread_create(&thread[i], NULL, holds_an_extent, &holder[i]), 0);
	}
	pthread_barrier_wait(&written);
	fill_with_tiny(&b, &before);
	assert_rc(LATZ_TOOBIG, latz_set(b.c.pool, key_of("large"), slice(value, 1900 << 10), NULL));
	assert_int_equal(cache_stats(b.c.pool).evicted, before);
	assert_ok(latz_set(b.c.pool, key_of("large"), slice(value, 300 << 10), NULL));
	pthread_barrier_wait(&over);
	for (int i = 0; i < HOLDERS; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	assert_ok(latz_set(b.c.pool, key_of("large"), slice(value, 1900 << 10), NULL));
	pthread_barrier_destroy(&written);
	pthread_barrier_destroy(&over);
	end(&b);
	free(value);
}

/* ---- Changing them ---- */

static void limits_change_under_way(void **state)
{
	struct bounded b;
	latz_stats_t stats;
	uint64_t before, there;

	begin(&b, state, 0, 0, LATZ_POLICY_DEFAULT, 40000);
	for (uint32_t i = 0; i < 40000; i++)
		assert_ok(cache_set(&b.c, i, 400, 0));
	assert_int_equal(cache_stats(b.c.pool).policy, LATZ_POLICY_DEFAULT);
	limit(&b, 64 * MIB, 0, LATZ_POLICY_DEFAULT);
	stats = cache_stats(b.c.pool);
	assert_int_equal(stats.max_bytes, 64 * MIB);
	assert_int_equal(stats.policy, LATZ_POLICY_ADAPTIVE);
	assert_int_equal(cache_check(&b.c), 40000);
	limit(&b, 12 * MIB, 0, LATZ_POLICY_LRU); /* lower: what is over it has gone when it returns */
	cache_check_bounds(&b.c);
	there = cache_check(&b.c);
	assert_in_range(there, 12000, 30000);
	mixed_operations(&b, 20000, 5000);
	assert_true(maintain_all(b.c.pool)); /* or it goes on a little ahead of need */
	there = cache_check(&b.c);
	limit(&b, 48 * MIB, 0, LATZ_POLICY_LRU); /* higher: nothing goes, and there is room */
	before = cache_stats(b.c.pool).evicted;
	assert_int_equal(cache_check(&b.c), there);
	for (uint32_t i = 0; i < 20000; i++)
		assert_ok(cache_set(&b.c, i, 400, 0));
	assert_int_equal(cache_stats(b.c.pool).evicted, before);
	limit(&b, 48 * MIB, 700, LATZ_POLICY_SIEVE); /* by entries too */
	assert_in_range(cache_check(&b.c), 690, 700);
	mixed_operations(&b, 5000, 5000);
	limit(&b, 0, 0, LATZ_POLICY_DEFAULT); /* none */
	before = cache_stats(b.c.pool).evicted;
	there = cache_check(&b.c);
	for (uint32_t i = 0; i < 40000; i++)
		assert_ok(cache_set(&b.c, i, 2000, 0));
	assert_int_equal(cache_check(&b.c), 40000);
	assert_int_equal(cache_stats(b.c.pool).evicted, before);
	limit(&b, 10 * MIB, 0, LATZ_POLICY_NONE); /* too full, and nothing may go: then nothing may come */
	assert_int_equal(cache_check(&b.c), 40000);
	for (uint32_t i = 0; i < 100 && b.c.full == 0; i++) /* at most what still had blocks */
		(void)cache_set(&b.c, i, 100000, 0);
	assert_int_equal(b.c.full, 1);
	limit(&b, 128 * MIB, 0, LATZ_POLICY_NONE);
	assert_ok(cache_set(&b.c, 0, 100000, 0));
	end(&b);
}

/* What the policy noted of many keys does not stay when the pool gets much smaller: there is room for values then. */
static void much_lower(void **state)
{
	static const latz_policy some[] = { LATZ_POLICY_LRU, LATZ_POLICY_2Q, LATZ_POLICY_ADAPTIVE };

	for (unsigned i = 0; i < sizeof(some) / sizeof(some[0]); i++) {
		struct bounded b;

		begin(&b, state, 64 * MIB, 0, some[i], 80000);
		for (uint32_t key = 0; key < 80000; key++)
			assert_ok(cache_set(&b.c, key, 500, 0));
		limit(&b, 5 * MIB, 0, some[i]);
		assert_true(maintain_all(b.c.pool));
		cache_check_bounds(&b.c);
		mixed_operations(&b, 20000, 1000);
		assert_in_range(cache_check(&b.c), 100, 10000);
		end(&b);
	}
}

/* The table does not shrink: bounds that it alone would fill are refused, and change nothing. */
static void too_low_for_the_table(void **state)
{
	latz_limits limits = LATZ_LIMITS_INIT;
	struct bounded b;

	begin(&b, state, 0, 0, LATZ_POLICY_DEFAULT, 1);
	set_numbered(b.c.pool, 0, 250000);
	assert_true(cache_stats(b.c.pool).table_bytes > 3 * MIB);
	limits.max_bytes = 4 * MIB;
	assert_rc(LATZ_INVALID, latz_limit(b.c.pool, &limits));
	assert_non_null(strstr(latz_error_detail(), "table"));
	assert_int_equal(cache_stats(b.c.pool).max_bytes, 0);
	assert_int_equal(cache_stats(b.c.pool).keys, 250000);
	end(&b);
}

/* A new policy keeps what is there. */
static void policies_change_under_way(void **state)
{
	struct bounded b;

	begin(&b, state, 8 * MIB, 0, LATZ_POLICY_NONE, 30000);
	for (unsigned i = 0; i < 2 * cache_policies(); i++) {
		uint64_t there;
		unsigned lost;

		assert_true(maintain_all(b.c.pool));
		there = cache_check(&b.c);
		limit(&b, 8 * MIB, 0, cache_policy(i * 7));
		/* Its notes take their part of the bytes. */
		lost = (unsigned)(there - cache_check(&b.c));
		if (lost > there / 4)
			fail_msg("%u of %u keys went with a change to %s", lost, (unsigned)there,
			         cache_policy_name(cache_policy(i * 7)));
		mixed_operations(&b, 5000, i % 3 == 0 ? 40 : 4000);
	}
	end(&b);
}

static void limit_arguments(void **state)
{
	latz_limits limits = LATZ_LIMITS_INIT;
	latz_options options;
	struct bounded b;
	latz_pool *readonly;

	begin(&b, state, 8 * MIB, 50, LATZ_POLICY_ARC, 10);
	limits.max_bytes = 4 * MIB - 1;
	assert_rc(LATZ_INVALID, latz_limit(b.c.pool, &limits));
	limits.max_bytes = 0;
	limits.policy = (latz_policy)(LATZ_POLICY_CLOCK + 1);
	assert_rc(LATZ_INVALID, latz_limit(b.c.pool, &limits));
	limits.policy = (latz_policy)-1;
	assert_rc(LATZ_INVALID, latz_limit(b.c.pool, &limits));
	limits = (latz_limits)LATZ_LIMITS_INIT;
	limits.size = 8;
	assert_rc(LATZ_INVALID, latz_limit(b.c.pool, &limits));
	assert_rc(LATZ_INVALID, latz_limit(b.c.pool, NULL));
	limits = (latz_limits)LATZ_LIMITS_INIT;
	options = b.f->options;
	options.flags = LATZ_READONLY;
	assert_ok(latz_open("p", &options, &readonly));
	assert_rc(LATZ_READONLY, latz_limit(readonly, &limits));
	assert_ok(latz_close(readonly));
	/* None of them changed anything; an existing pool's bounds are not the opener's. */
	options.flags = LATZ_CREATE;
	options.max_bytes = 16 * MIB;
	options.policy = LATZ_POLICY_LRU;
	assert_ok(latz_open("p", &options, &readonly));
	assert_int_equal(cache_stats(readonly).max_bytes, 8 * MIB);
	assert_int_equal(cache_stats(readonly).max_entries, 50);
	assert_int_equal(cache_stats(readonly).policy, LATZ_POLICY_ARC);
	assert_ok(latz_close(readonly));
	options.max_bytes = 1;
	assert_rc(LATZ_INVALID, latz_open("q", &options, &readonly));
	options.max_bytes = 0;
	options.policy = (latz_policy)77;
	assert_rc(LATZ_INVALID, latz_open("q", &options, &readonly));
	end(&b);
}

static unsigned count_numbered(latz_pool *pool, unsigned from, unsigned to)
{
	latz_value value = LATZ_VALUE_INIT;
	unsigned found = 0;
	char name[32];

	for (unsigned i = from; i < to; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		found += latz_get(pool, latz_str(name), &value) == LATZ_OK;
	}
	latz_value_free(&value);
	return found;
}

/* A policy that comes to keys knows them: what is written after it does not go before them. */
static void new_policy_knows_what_is_there(void **state)
{
	struct fixture *f = *state;
	latz_options options = f->options;
	latz_limits limits = LATZ_LIMITS_INIT;

	options.max_entries = limits.max_entries = 1000;
	options.policy = LATZ_POLICY_FIFO;
	limits.policy = LATZ_POLICY_LRU;
	assert_ok(latz_open("p", &options, &f->pool));
	set_numbered(f->pool, 0, 6000); /* so many that what was told of the last of them was heard */
	assert_ok(latz_limit(f->pool, &limits));
	set_numbered(f->pool, 6000, 6500);
	assert_int_equal(count_numbered(f->pool, 6000, 6500), 500);
	assert_true(count_numbered(f->pool, 5000, 6000) > 450);
	assert_ok(latz_close(f->pool));
	f->pool = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIR_TEST(bytes_hold),
		DIR_TEST(bytes_hold_with_each_policy),
		DIR_TEST(bytes_hold_of_small_values),
		DIR_TEST(entries_hold),
		DIR_TEST(both_hold),
		DIR_TEST(none_refuses),
		DIR_TEST(none_is_not_full_too_early),
		DIR_TEST(none_is_not_full_too_early_in_a_small_pool),
		DIR_TEST(none_counts_entries),
		DIR_TEST(too_big_evicts_nothing),
		DIR_TEST(large_values_of_a_small_pool),
		DIR_TEST(too_big_beside_open_extents),
		DIR_TEST(limits_change_under_way),
		DIR_TEST(much_lower),
		DIR_TEST(too_low_for_the_table),
		DIR_TEST(policies_change_under_way),
		DIR_TEST(new_policy_knows_what_is_there),
		DIR_TEST(limit_arguments),
	};

	return suite_run(tests);
}
