/*
 * What the library tells of itself: waits, evictions by reason, how the log's syncs were.
 */
#include "lib/locks.h"
#include "lib/suite.h"

#define MIB (1ull << 20)

static latz_stats_t stats_of(latz_pool *pool)
{
	latz_stats_t stats = { .size = sizeof stats };

	CHECK_OK(latz_stats(pool, &stats));
	assert_int_equal(stats.size, sizeof stats);
	return stats;
}

/* ---- Waits ---- */

static latz_counter_info waits_of(latz_pool *pool)
{
	latz_counter_options options = { sizeof options, LATZ_HISTOGRAM, NULL, 0 };
	latz_counter_info info = { .size = sizeof info };
	latz_counter *waits;

	CHECK_OK(latz_counter_open(pool, "latzero_lock_wait_seconds", &options, &waits));
	CHECK_OK(latz_counter_read(waits, &info));
	CHECK_OK(latz_counter_close(waits));
	return info;
}

/* Holds the lock shared until told to go on, for 30 ms at least. */
static void *hold(void *arg)
{
	latz_pool *pool = arg;
	latz_lock_t lock = LATZ_LOCK_INIT;

	CHECK_OK(lock_try(pool, "a", 1, 0, 0, &lock));
	locks_until_waiting(pool, 1);
	sleep_ms(30);
	CHECK_OK(latz_unlock(&lock));
	return NULL;
}

static void until_held(latz_pool *pool)
{
	while (locks_held(pool) == 0)
		sleep_ms(1);
}

static void waits_for_locks(void **state)
{
	struct fixture *f = *state;
	latz_lock_t lock = LATZ_LOCK_INIT, other = LATZ_LOCK_INIT;
	latz_stats_t stats = stats_of(f->pool);
	pthread_t thread;

	assert_int_equal(stats.lock_takes + stats.lock_waits + stats.lock_wait_ns[3], 0);
	assert_ok(lock_try(f->pool, "a", 0, 0, 0, &lock));
	assert_rc(LATZ_BUSY, lock_try(f->pool, "a", 0, 0, 0, &other)); /* which waits for nobody */
	assert_ok(latz_unlock(&lock));
	stats = stats_of(f->pool);
	assert_int_equal(stats.lock_takes, 1);
	assert_int_equal(stats.lock_waits, 0);

	assert_int_equal(pthread_create(&thread, NULL, hold, f->pool), 0);
	until_held(f->pool);
	assert_ok(lock_try(f->pool, "a", 0, 0, -1, &lock));
	assert_int_equal(pthread_join(thread, NULL), 0);
	stats = stats_of(f->pool);
	assert_int_equal(stats.lock_takes, 3);
	assert_int_equal(stats.lock_waits, 1);
	assert_true(stats.lock_wait_ns[0] >= 30000000 && stats.lock_wait_ns[3] >= stats.lock_wait_ns[0] / 2);
	assert_int_equal(waits_of(f->pool).count, 1);
	assert_true(waits_of(f->pool).max == stats.lock_wait_ns[3]);

	assert_rc(LATZ_DEADLOCK, lock_try(f->pool, "a", 0, 0, -1, &other)); /* is a wait, too, and nothing taken */
	assert_ok(latz_unlock(&lock));
	assert_int_equal(stats_of(f->pool).lock_takes, 3);
	assert_int_equal(stats_of(f->pool).lock_waits, 2);

	assert_ok(lock_try(f->pool, "a", 1, 0, 0, &lock));
	assert_int_equal(pthread_create(&thread, NULL, hold, f->pool), 0);
	while (locks_held(f->pool) < 2)
		sleep_ms(1);
	assert_ok(latz_lock_upgrade(&lock, -1));
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_ok(latz_unlock(&lock));
	assert_int_equal(stats_of(f->pool).lock_takes, 5);
	assert_int_equal(stats_of(f->pool).lock_waits, 3);
	assert_int_equal(waits_of(f->pool).count, 3);
}

/* The right to compute a value is no lock. */
static void leases_are_apart(void **state)
{
	struct fixture *f = *state;
	latz_lease_options options = LATZ_LEASE_OPTIONS_INIT;
	latz_lease lease = LATZ_LEASE_INIT, other = LATZ_LEASE_INIT;

	assert_rc(LATZ_NOTFOUND, latz_get_or_lease(f->pool, key_of("a"), NULL, &f->value, &lease));
	options.wait_ms = 5;
	assert_rc(LATZ_DEADLOCK, latz_get_or_lease(f->pool, key_of("a"), &options, &f->value, &other));
	assert_ok(latz_lease_drop(&lease));
	assert_int_equal(stats_of(f->pool).lock_takes, 0);
	assert_int_equal(stats_of(f->pool).lock_waits, 0);
}

struct rival {
	latz_pool *pool;
	int stop;
};

static void *write_it(void *arg)
{
	struct rival *rival = arg;

	while (!__atomic_load_n(&rival->stop, __ATOMIC_ACQUIRE))
		CHECK_OK(put(rival->pool, "key", "value"));
	return NULL;
}

static void waits_for_buckets(void **state)
{
	struct fixture *f = *state;
	struct rival rival = { f->pool, 0 };
	latz_stats_t stats = stats_of(f->pool);
	uint64_t end = clock_ns() + 60000000000ull;
	pthread_t thread[2];

	assert_int_equal(stats.bucket_waits + stats.bucket_wait_ns, 0);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, write_it, &rival), 0);
	do {
		sleep_ms(1);
		stats = stats_of(f->pool);
	} while (stats.bucket_waits == 0 && clock_ns() < end);
	__atomic_store_n(&rival.stop, 1, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	assert_true(stats.bucket_waits > 0);
	assert_true(stats_of(f->pool).bucket_wait_ns > 0);
}

/* ---- Evictions ---- */

static latz_pool *open_bounded(struct fixture *f, uint64_t max_bytes, uint64_t max_entries)
{
	latz_options options = f->options;
	latz_pool *pool;

	options.flags |= LATZ_NO_THREAD;
	options.max_bytes = max_bytes;
	options.max_entries = max_entries;
	options.policy = LATZ_POLICY_FIFO;
	assert_ok(latz_open("p", &options, &pool));
	return pool;
}

static void fill(latz_pool *pool, unsigned from, unsigned count, size_t size, int64_t ttl_ms)
{
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	static char value[4096];
	char key[32];

	options.ttl_ms = ttl_ms;
	for (unsigned i = from; i < from + count; i++) {
		snprintf(key, sizeof key, "key %u", i);
		assert_ok(latz_set(pool, key_of(key), slice(value, size), &options));
	}
}

static uint64_t sum_of(const latz_stats_t *stats)
{
	return stats->evicted_for_bytes + stats->evicted_for_entries + stats->evicted_for_limit +
	       stats->evicted_expired;
}

static uint64_t spaces_sum_of(const latz_stats_t *stats)
{
	return stats->spaces_evicted_for_bytes + stats->spaces_evicted_for_entries + stats->spaces_evicted_for_limit;
}

static void evicts_for_bytes(void **state)
{
	struct fixture *f = *state;
	latz_pool *pool = open_bounded(f, 8 * MIB, 0);
	latz_stats_t stats;

	fill(pool, 0, 5000, 4096, 0);
	stats = stats_of(pool);
	assert_true(stats.evicted > 2000);
	assert_int_equal(stats.evicted_for_bytes, stats.evicted);
	assert_int_equal(sum_of(&stats), stats.evicted);
	assert_ok(latz_close(pool));
}

static void evicts_for_entries_and_limits(void **state)
{
	struct fixture *f = *state;
	latz_pool *pool = open_bounded(f, 0, 1000);
	latz_limits limits = LATZ_LIMITS_INIT;
	latz_stats_t stats;
	uint64_t before;

	fill(pool, 0, 1500, 10, 0);
	stats = stats_of(pool);
	assert_true(stats.evicted >= 500);
	assert_int_equal(stats.evicted_for_entries, stats.evicted);
	before = stats.evicted;
	limits.max_entries = 300;
	limits.policy = LATZ_POLICY_FIFO;
	assert_ok(latz_limit(pool, &limits));
	stats = stats_of(pool);
	assert_true(stats.keys <= 300);
	assert_int_equal(stats.evicted_for_entries, before);
	assert_int_equal(stats.evicted_for_limit, stats.evicted - before);
	assert_true(stats.evicted_for_limit > 0);
	assert_int_equal(sum_of(&stats), stats.evicted);
	assert_ok(latz_close(pool));
}

static void evicts_what_is_expired(void **state)
{
	struct fixture *f = *state;
	latz_pool *pool = open_bounded(f, 0, 1000);
	latz_stats_t stats;

	fill(pool, 0, 1000, 10, 1);
	sleep_ms(5);
	fill(pool, 1000, 500, 10, 0);
	stats = stats_of(pool);
	assert_true(stats.evicted > 0);
	assert_int_equal(stats.evicted_expired, stats.evicted);
	assert_int_equal(sum_of(&stats), stats.evicted);
	assert_ok(latz_close(pool));
}

static void namespaces_evict(void **state)
{
	struct fixture *f = *state;
	latz_namespace_options options = LATZ_NAMESPACE_OPTIONS_INIT;
	latz_stats_t stats;
	latz_pool *sub;
	uint64_t sum;

	assert_ok(latz_namespace(f->pool, "a", &sub));
	options.max_entries = 100;
	assert_ok(latz_namespace_limits(sub, &options));
	fill(sub, 0, 150, 10, 0);
	stats = stats_of(f->pool);
	assert_int_equal(stats.spaces_evicted_for_entries, 50);
	assert_int_equal(spaces_sum_of(&stats), 50);
	options.max_entries = 60;
	assert_ok(latz_namespace_limits(sub, &options));
	stats = stats_of(f->pool);
	assert_int_equal(stats.spaces_evicted_for_limit, 40);
	options.max_entries = 0;
	options.max_bytes = 100000;
	assert_ok(latz_namespace_limits(sub, &options));
	fill(sub, 1000, 300, 1000, 0);
	stats = stats_of(f->pool);
	assert_true(stats.spaces_evicted_for_bytes > 100);
	sum = spaces_sum_of(&stats);
	assert_int_equal(sum, stats_of(sub).evicted);
	assert_int_equal(stats.evicted, 0);
	assert_int_equal(sum_of(&stats), 0);
	assert_ok(latz_close(sub));
	assert_ok(latz_namespace_drop(f->pool, "a"));
	stats = stats_of(f->pool);
	assert_int_equal(spaces_sum_of(&stats), sum);
}

/* ---- The log ---- */

static void syncs(void **state)
{
	struct fixture *f = *state;
	latz_options options = f->options;
	latz_stats_t stats;
	latz_pool *pool;

	options.flags |= LATZ_NO_THREAD;
	options.persist_dir = tempdir_make();
	options.sync = LATZ_SYNC_NONE;
	assert_ok(latz_open("p", &options, &pool));
	assert_ok(latz_sync_now(pool));
	fill(pool, 0, 100, 1000, 0);
	stats = stats_of(pool);
	assert_true(stats.log_lag_bytes >= 100000);
	sleep_ms(10);
	assert_ok(latz_sync_now(pool));
	stats = stats_of(pool);
	assert_true(stats.log_lag_bytes < 100000);
	assert_true(stats.log_sync_bytes >= 100000 && stats.log_sync_bytes < 200000);
	assert_true(stats.log_sync_ns > 0 && stats.log_syncs_ns >= stats.log_sync_ns);
	assert_true(stats.log_sync_lag_ms >= 10 && stats.log_sync_lag_ms < 60000);
	assert_ok(latz_close(pool));
	tempdir_remove(options.persist_dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		POOL_TEST(waits_for_locks),        POOL_TEST(leases_are_apart),
		POOL_TEST(waits_for_buckets),      DIR_TEST(evicts_for_bytes),
		DIR_TEST(evicts_for_entries_and_limits), DIR_TEST(evicts_what_is_expired),
		POOL_TEST(namespaces_evict),       DIR_TEST(syncs),
	};

	return suite_run(tests);
}
