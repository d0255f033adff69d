/*
 * Ages that no key passes: whatever times to live writes, touches and hooks ask for; of namespaces; set later, for keys
 * that are there; over restarts, snapshots and images.
 */
#include "lib/suite.h"

#define AGE 600000

static int64_t ttl_of(latz_pool *pool, const char *key)
{
	latz_value value = LATZ_VALUE_INIT;
	int64_t ttl;

	assert_ok(latz_get(pool, key_of(key), &value));
	ttl = value.ttl_ms;
	latz_value_free(&value);
	return ttl;
}

/* Just that, but for what the test takes and the grain in which times of writing are noted. */
static void assert_ttl(latz_pool *pool, const char *key, int64_t want)
{
	int64_t ttl = ttl_of(pool, key);

	if (ttl > want || ttl < want - 20000)
		fail_msg("%s has %" PRId64 " ms, %" PRId64 " were to be", key, ttl, want);
}

static int put_ttl(latz_pool *pool, const char *key, int64_t ttl_ms, unsigned flags)
{
	latz_set_options options = LATZ_SET_OPTIONS_INIT;

	options.ttl_ms = ttl_ms;
	options.flags = flags;
	return latz_set(pool, key_of(key), key_of("v"), &options);
}

static void open_retaining(struct fixture *f, int64_t age)
{
	f->options.max_age_ms = age;
	assert_ok(latz_open("t", &f->options, &f->pool));
}

static void whatever_is_asked_for(void **state)
{
	struct fixture *f = *state;
	latz_stats_t stats = { .size = sizeof stats };
	latz_item items[2] = { { key_of("m1"), key_of("v") }, { key_of("m2"), key_of("v") } };
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	latz_txn *txn;

	open_retaining(f, AGE);
	assert_ok(latz_stats(f->pool, &stats));
	assert_int_equal(stats.max_age_ms, AGE);
	assert_ok(put(f->pool, "none", "v"));
	assert_ok(put_ttl(f->pool, "never", -1, 0));
	assert_ok(put_ttl(f->pool, "more", 10 * AGE, 0));
	assert_ok(put_ttl(f->pool, "less", AGE / 2, 0));
	assert_ok(latz_increment(f->pool, key_of("number"), 1, NULL));
	assert_ok(latz_append(f->pool, key_of("text"), key_of("tail"), NULL));
	assert_ok(latz_swap(f->pool, key_of("swapped"), key_of("v"), &f->value));
	options.ttl_ms = -1;
	assert_ok(latz_mset(f->pool, items, 2, &options));
	assert_ok(latz_txn_begin(f->pool, 0, &txn));
	assert_ok(latz_txn_set(txn, key_of("t1"), key_of("v"), NULL));
	assert_ok(latz_txn_set(txn, key_of("t2"), key_of("v"), &options));
	assert_ok(latz_txn_commit(txn));
	static const char *const all[] = { "none", "never",   "more", "number", "text",
		                           "swapped", "m1", "m2",   "t1",     "t2" };
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		assert_ttl(f->pool, all[i], AGE);
	assert_ttl(f->pool, "less", AGE / 2);
	/* Written again, by what keeps deadlines. */
	assert_ok(put_ttl(f->pool, "less", 0, LATZ_KEEP_TTL));
	assert_ttl(f->pool, "less", AGE / 2);
	assert_ok(latz_increment(f->pool, key_of("number"), 1, NULL));
	assert_ttl(f->pool, "number", AGE);
	/* Touched. */
	assert_ok(latz_touch(f->pool, key_of("less"), -1));
	assert_ttl(f->pool, "less", AGE);
	assert_ok(latz_touch(f->pool, key_of("less"), 1000 * AGE));
	assert_ttl(f->pool, "less", AGE);
	assert_ok(latz_touch(f->pool, key_of("less"), AGE / 4));
	assert_ttl(f->pool, "less", AGE / 4);
	assert_rc(LATZ_INVALID, latz_retain(f->pool, -1));
}

/* Deadlines count from the write: what is touched all the time goes all the same. */
static void no_touch_passes_it(void **state)
{
	struct fixture *f = *state;
	uint64_t begin;
	int rc = LATZ_OK;

	open_retaining(f, 700);
	begin = clock_ns();
	assert_ok(put(f->pool, "k", "v"));
	while (rc == LATZ_OK && clock_ns() - begin < 20000000000u) {
		sleep_ms(20);
		rc = latz_touch(f->pool, key_of("k"), -1);
	}
	assert_rc(LATZ_NOTFOUND, rc);
	assert_rc(LATZ_NOTFOUND, latz_get(f->pool, key_of("k"), &f->value));
	assert_true(clock_ns() - begin >= 600000000u);
	/* Writing it is what renews it. */
	begin = clock_ns();
	while (clock_ns() - begin < 1500000000u) {
		assert_ok(put(f->pool, "k", "v"));
		assert_ok(latz_exists(f->pool, key_of("k")));
		sleep_ms(20);
	}
}

static int64_t renews(latz_slice key, void *arg)
{
	(void)key;
	++*(int *)arg;
	return 1000000;
}

static void no_hook_passes_it(void **state)
{
	struct fixture *f = *state;
	uint64_t begin = clock_ns();
	int asked = 0;

	f->options.flags |= LATZ_NO_THREAD;
	open_retaining(f, 500);
	assert_ok(latz_expire_hook(f->pool, renews, &asked));
	assert_ok(put_ttl(f->pool, "k", 50, 0));
	sleep_ms(80);
	assert_ok(latz_maintain(f->pool, 0));
	assert_int_equal(asked, 1);
	assert_ok(latz_exists(f->pool, key_of("k")));
	sleep_ms(600);
	assert_rc(LATZ_NOTFOUND, latz_exists(f->pool, key_of("k")));
	assert_true(maintain_all(f->pool));
	assert_int_equal(asked, 2);
	latz_stats_t stats = { .size = sizeof stats };
	assert_ok(latz_stats(f->pool, &stats));
	assert_int_equal(stats.expired, 1);
	assert_true(clock_ns() - begin < 60000000000u);
}

static void set_while_it_is_used(void **state)
{
	struct fixture *f = *state;
	latz_stats_t stats = { .size = sizeof stats };
	char key[32];

	f->options.flags |= LATZ_NO_THREAD;
	assert_ok(latz_open("t", &f->options, &f->pool));
	for (int i = 0; i < 3000; i++) {
		snprintf(key, sizeof key, "k%d", i);
		assert_ok(i % 2 ? put(f->pool, key, "v") : put_ttl(f->pool, key, 10 * AGE, 0));
	}
	assert_ok(put_ttl(f->pool, "short", AGE / 10, 0));
	assert_ok(latz_retain(f->pool, AGE));
	for (int i = 0; i < 3000; i++) {
		snprintf(key, sizeof key, "k%d", i);
		assert_ttl(f->pool, key, AGE);
	}
	assert_ttl(f->pool, "short", AGE / 10);
	assert_ok(latz_touch(f->pool, key_of("short"), -1));
	assert_ttl(f->pool, "short", AGE);
	/* Lower: what is older than that goes; higher: nobody gets what he had. */
	sleep_ms(200);
	assert_ok(put(f->pool, "young", "v"));
	assert_ok(latz_retain(f->pool, AGE / 2));
	assert_ttl(f->pool, "k5", AGE / 2);
	assert_ok(latz_retain(f->pool, 130));
	assert_rc(LATZ_NOTFOUND, latz_exists(f->pool, key_of("k5")));
	assert_rc(LATZ_NOTFOUND, latz_touch(f->pool, key_of("k6"), -1));
	sleep_ms(200);
	assert_rc(LATZ_NOTFOUND, latz_exists(f->pool, key_of("young")));
	assert_true(maintain_all(f->pool));
	assert_ok(latz_stats(f->pool, &stats));
	assert_int_equal(stats.expired, 3002);
	assert_ok(latz_verify(f->pool, NULL, NULL));
	assert_ok(latz_retain(f->pool, 0));
	assert_ok(put(f->pool, "free", "v"));
	assert_int_equal(ttl_of(f->pool, "free"), -1);
}

static void of_namespaces(void **state)
{
	struct fixture *f = *state;
	latz_namespace_options options = LATZ_NAMESPACE_OPTIONS_INIT;
	latz_stats_t stats = { .size = sizeof stats };
	latz_pool *a, *b;

	assert_ok(latz_open("t", &f->options, &f->pool));
	assert_ok(latz_namespace(f->pool, "a", &a));
	assert_ok(latz_namespace(f->pool, "b", &b));
	assert_ok(put(a, "before", "v"));
	assert_ok(put(b, "before", "v"));
	options.max_age_ms = AGE;
	options.max_entries = 100;
	assert_ok(latz_namespace_limits(a, &options));
	assert_ok(put(a, "k", "v"));
	assert_ok(put(b, "k", "v"));
	assert_ok(put(f->pool, "k", "v"));
	assert_ttl(a, "before", AGE);
	assert_ttl(a, "k", AGE);
	assert_int_equal(ttl_of(b, "before"), -1);
	assert_int_equal(ttl_of(b, "k"), -1);
	assert_int_equal(ttl_of(f->pool, "k"), -1);
	/* The smaller one holds. */
	assert_ok(latz_retain(f->pool, AGE / 2));
	assert_ttl(a, "k", AGE / 2);
	assert_ttl(b, "k", AGE / 2);
	assert_ttl(f->pool, "k", AGE / 2);
	assert_ok(latz_retain(b, AGE / 4));
	assert_ttl(b, "k", AGE / 4);
	assert_ttl(a, "k", AGE / 2);
	assert_ok(latz_stats(b, &stats));
	assert_int_equal(stats.max_age_ms, AGE / 4);
	/* What else it had is there. */
	assert_ok(latz_retain(a, AGE / 3));
	assert_ok(latz_stats(a, &stats));
	assert_int_equal(stats.max_age_ms, AGE / 3);
	assert_int_equal(stats.max_entries, 100);
	/* A caller from before there were ages changes none. */
	options.size = offsetof(latz_namespace_options, max_age_ms);
	options.max_entries = 50;
	assert_ok(latz_namespace_limits(a, &options));
	assert_ok(latz_stats(a, &stats));
	assert_int_equal(stats.max_age_ms, AGE / 3);
	/* The names stay. */
	assert_ok(latz_close(a));
	assert_ok(latz_namespace(f->pool, "a", &a));
	assert_ttl(a, "k", AGE / 3);
	assert_ok(latz_close(a));
	assert_ok(latz_close(b));
	assert_ok(latz_verify(f->pool, NULL, NULL));
}

static void reopen(struct fixture *f)
{
	assert_ok(latz_close(f->pool));
	f->pool = NULL;
	sleep_ms(150);
	assert_ok(latz_open("t", &f->options, &f->pool));
}

/* Options are not given again: the pool knows. */
static void over_restarts(void **state)
{
	struct fixture *f = *state;
	latz_stats_t stats = { .size = sizeof stats };
	char persist[600], path[600];
	latz_pool *sub;

	snprintf(persist, sizeof persist, "%s/disk", f->dir);
	f->options.persist_dir = persist;
	f->options.flags |= LATZ_NO_THREAD; /* what a janitor is at, maintenance does not wait for */
	open_retaining(f, AGE);
	assert_ok(put(f->pool, "k", "v"));
	assert_ok(put_ttl(f->pool, "less", AGE / 2, 0));
	assert_ok(latz_namespace(f->pool, "ns", &sub));
	assert_ok(latz_retain(sub, AGE / 5));
	assert_ok(put(sub, "k", "v"));
	assert_ok(latz_close(sub));
	f->options.max_age_ms = 0;
	reopen(f);
	assert_ok(latz_stats(f->pool, &stats));
	assert_int_equal(stats.max_age_ms, AGE);
	assert_ttl(f->pool, "k", AGE);
	assert_ok(put(f->pool, "k2", "v"));
	assert_ttl(f->pool, "k2", AGE);
	assert_ok(latz_namespace(f->pool, "ns", &sub));
	assert_ttl(sub, "k", AGE / 5);
	assert_ok(put(sub, "k2", "v"));
	assert_ttl(sub, "k2", AGE / 5);
	assert_ok(latz_close(sub));
	/* When it was written is not in the log: so its deadline can't be moved away, till it is written. */
	assert_ok(latz_touch(f->pool, key_of("less"), -1));
	assert_ttl(f->pool, "less", AGE / 2);
	assert_ok(latz_touch(f->pool, key_of("less"), AGE / 4));
	assert_ttl(f->pool, "less", AGE / 4);
	assert_ok(put(f->pool, "less", "v"));
	assert_ok(latz_touch(f->pool, key_of("less"), 2 * AGE));
	assert_ttl(f->pool, "less", AGE);
	/* Given again it is another. */
	f->options.max_age_ms = AGE / 10;
	reopen(f);
	assert_ok(latz_maintain(f->pool, 0));
	assert_ttl(f->pool, "k", AGE / 10);
	f->options.max_age_ms = 0;
	reopen(f);
	assert_ok(put(f->pool, "k3", "v"));
	assert_ttl(f->pool, "k3", AGE / 10);
	/* Snapshots and images. */
	f->options.persist_dir = NULL;
	for (int image = 0; image < 2; image++) {
		latz_snapshot_options options = LATZ_SNAPSHOT_OPTIONS_INIT;

		options.flags = image ? LATZ_SNAPSHOT_IMAGE : 0;
		snprintf(path, sizeof path, "%s/snap%d", f->dir, image);
		assert_ok(latz_snapshot(f->pool, path, &options));
	}
	assert_ok(latz_close(f->pool));
	f->pool = NULL;
	for (int image = 0; image < 2; image++) {
		snprintf(path, sizeof path, "%s/snap%d", f->dir, image);
		snprintf(persist, sizeof persist, "r%d", image);
		assert_ok(latz_restore(path, persist, &f->options, NULL));
		assert_ok(latz_open(persist, &f->options, &f->pool));
		assert_ttl(f->pool, "k", AGE / 10);
		assert_ok(latz_touch(f->pool, key_of("k"), -1));
		assert_ttl(f->pool, "k", AGE / 10);
		assert_ok(put(f->pool, "k4", "v"));
		assert_ttl(f->pool, "k4", AGE / 10);
		assert_ok(latz_namespace(f->pool, "ns", &sub));
		assert_ok(put(sub, "k4", "v"));
		assert_ttl(sub, "k4", AGE / 10);
		assert_ok(latz_close(sub));
		assert_ok(latz_verify(f->pool, NULL, NULL));
		assert_ok(latz_close(f->pool));
		f->pool = NULL;
	}
}

struct writing {
	latz_pool *pool;
	int stop;
};

static uint64_t keys_of(struct fixture *f)
{
	latz_stats_t stats = { .size = sizeof stats };

	assert_ok(latz_stats(f->pool, &stats));
	assert_ok(verify_print(f->pool));
	return stats.keys;
}

/* That the age is written down in the pool makes no key of it. */
static void is_no_key(void **state)
{
	struct fixture *f = *state;
	char disk[600];

	snprintf(disk, sizeof disk, "%s/disk", f->dir);
	f->options.persist_dir = disk;
	open_retaining(f, AGE);
	assert_int_equal(keys_of(f), 0);
	assert_ok(put(f->pool, "k", "v"));
	assert_int_equal(keys_of(f), 1);
	assert_ok(latz_retain(f->pool, 0));
	assert_int_equal(keys_of(f), 1);
	assert_ok(latz_retain(f->pool, AGE));
	assert_ok(latz_retain(f->pool, 2 * AGE));
	assert_int_equal(keys_of(f), 1);
	assert_ok(latz_close(f->pool));
	assert_ok(latz_open("t", &f->options, &f->pool));
	assert_int_equal(keys_of(f), 1);
	assert_ok(latz_delete(f->pool, key_of("k")));
	assert_ok(latz_close(f->pool));
	f->options.max_age_ms = 0;
	assert_ok(latz_open("t", &f->options, &f->pool));
	assert_int_equal(keys_of(f), 0);
}

static void *writes(void *arg)
{
	struct writing *writing = arg;
	char key[32];

	for (int i = 0; !__atomic_load_n(&writing->stop, __ATOMIC_RELAXED); i++) {
		snprintf(key, sizeof key, "w%d", i % 1000);
		CHECK_OK(put_ttl(writing->pool, key, i % 3 == 0 ? -1 : 10 * AGE, 0));
		(void)!latz_touch(writing->pool, key_of(key), -1);
	}
	return NULL;
}

/* Nobody slips through who was writing when it was set. */
static void set_among_writers(void **state)
{
	struct fixture *f = *state;
	struct writing writing = { NULL, 0 };
	pthread_t threads[2];
	char key[32];

	assert_ok(latz_open("t", &f->options, &f->pool));
	writing.pool = f->pool;
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, writes, &writing), 0);
	for (int round = 0; round < 20; round++) {
		sleep_ms(10);
		assert_ok(latz_retain(f->pool, AGE - round * 1000));
		for (int i = 0; i < 1000; i++) {
			latz_value value = LATZ_VALUE_INIT;

			snprintf(key, sizeof key, "w%d", i);
			if (latz_get(f->pool, key_of(key), &value) == LATZ_OK)
				assert_in_range(value.ttl_ms, 1, AGE - round * 1000);
			latz_value_free(&value);
		}
		assert_ok(latz_retain(f->pool, 0));
	}
	__atomic_store_n(&writing.stop, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_ok(latz_verify(f->pool, NULL, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIR_TEST(whatever_is_asked_for),
		DIR_TEST(no_touch_passes_it),
		DIR_TEST(no_hook_passes_it),
		DIR_TEST(set_while_it_is_used),
		DIR_TEST(of_namespaces),
		DIR_TEST(over_restarts),
		DIR_TEST(set_among_writers),
		DIR_TEST(is_no_key),
	};

	return suite_run(tests);
}
