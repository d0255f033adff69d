/*
 * Time to live: defaults, deadlines, latz_touch. Only "is gone after long enough" and "is there before" are asserted,
 * with margins that a busy machine keeps.
 */
#include "lib/suite.h"

#define HOUR_MS ((int64_t)3600 * 1000)

static int set_ttl(latz_pool *pool, const char *key, const char *value, int64_t ttl_ms, unsigned flags)
{
	latz_set_options options = LATZ_SET_OPTIONS_INIT;

	options.ttl_ms = ttl_ms;
	options.flags = flags;
	return latz_set(pool, key_of(key), key_of(value), &options);
}

static int64_t ttl_of(struct fixture *f, const char *key)
{
	assert_ok(latz_get(f->pool, key_of(key), &f->value));
	return f->value.ttl_ms;
}

/* About an hour: the time since it was set is less than a minute. */
static void assert_about_hour(int64_t ttl_ms)
{
	assert_true(ttl_ms <= HOUR_MS);
	assert_true(ttl_ms > HOUR_MS - 60000);
}

static void ttl_expires(void **state)
{
	struct fixture *f = *state;
	latz_view view = { 0 };
	latz_key_info info = { .size = sizeof(info) };
	latz_scan *scan;
	latz_slice key;
	int result = 0;

	assert_ok(set_ttl(f->pool, "short", "x", 30, 0));
	assert_ok(set_ttl(f->pool, "long", "x", HOUR_MS, 0));
	assert_ok(put(f->pool, "none", "x"));
	sleep_ms(100);
	assert_rc(LATZ_NOTFOUND, latz_get(f->pool, key_of("short"), &f->value));
	assert_rc(LATZ_NOTFOUND, latz_exists(f->pool, key_of("short")));
	assert_rc(LATZ_NOTFOUND, latz_borrow(f->pool, key_of("short"), &view));
	assert_rc(LATZ_NOTFOUND, latz_key_stat(f->pool, key_of("short"), &info));
	assert_rc(LATZ_NOTFOUND, latz_touch(f->pool, key_of("short"), 1000));
	key = key_of("short");
	assert_ok(latz_mget(f->pool, &key, 1, &f->value, &result));
	assert_int_equal(result, LATZ_NOTFOUND);
	assert_ok(latz_scan_open(f->pool, NULL, &scan));
	assert_ok(latz_scan_next(scan, &key, NULL));
	assert_memory_equal(key.data, "long", 4);
	assert_ok(latz_scan_next(scan, &key, NULL));
	assert_memory_equal(key.data, "none", 4);
	assert_rc(LATZ_DONE, latz_scan_next(scan, &key, NULL));
	assert_ok(latz_scan_close(scan));
	assert_about_hour(ttl_of(f, "long"));
	assert_true(ttl_of(f, "none") == -1);
	assert_rc(LATZ_NOTFOUND, del(f->pool, "short"));
	assert_ok(verify_print(f->pool));
}

/* An expired key counts as missing for conditions and for read-modify-write calls. */
static void ttl_expired_is_missing(void **state)
{
	static const char *const keys[] = { "present", "absent", "version", "incr", "append", "swap" };
	struct fixture *f = *state;
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	int64_t sum = 0;
	size_t size = 0;

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		assert_ok(set_ttl(f->pool, keys[i], "old", 20, 0));
	assert_ok(latz_delete(f->pool, key_of("version")));
	options.ttl_ms = 20;
	options.version = &options.if_version;
	assert_ok(latz_set(f->pool, key_of("version"), key_of("old"), &options));
	sleep_ms(80);
	assert_rc(LATZ_NOTFOUND, set_ttl(f->pool, "present", "new", 0, LATZ_IF_PRESENT));
	assert_ok(set_ttl(f->pool, "absent", "new", 0, LATZ_IF_ABSENT));
	assert_text(f, "absent", "new");
	options.flags = LATZ_IF_VERSION;
	options.version = NULL;
	assert_rc(LATZ_NOTFOUND, latz_set(f->pool, key_of("version"), key_of("new"), &options));
	assert_ok(latz_increment(f->pool, key_of("incr"), 5, &sum));
	assert_true(sum == 5);
	assert_true(ttl_of(f, "incr") == -1);
	assert_ok(latz_append(f->pool, key_of("append"), key_of("new"), &size));
	assert_int_equal(size, 3);
	assert_text(f, "append", "new");
	assert_true(ttl_of(f, "append") == -1);
	assert_ok(latz_swap(f->pool, key_of("swap"), key_of("new"), &f->value));
	assert_int_equal(f->value.size, 0);
	assert_true(f->value.version == 0);
	assert_text(f, "swap", "new");
}

/* Maintenance on a budget does not go on until all that lies in one place is gone. */
static void ttl_within_a_budget(void **state)
{
	enum { KEYS = 3000 }; /* in one extent */
	struct fixture *f = *state;
	latz_stats_t stats = { .size = sizeof(stats) };
	latz_pool *pool;
	char key[24];

	f->options.flags = LATZ_CREATE | LATZ_NO_THREAD;
	assert_ok(latz_open("quiet", &f->options, &pool));
	for (unsigned i = 0; i < KEYS; i++) {
		snprintf(key, sizeof(key), "key-%u", i);
		assert_ok(set_ttl(pool, key, "value", 20, 0));
	}
	sleep_ms(80);
	for (unsigned budget_us = 100; stats.expired == 0 && budget_us < 100000; budget_us += budget_us / 10) {
		assert_rc(LATZ_BUSY, latz_maintain(pool, budget_us));
		assert_ok(latz_stats(pool, &stats));
	}
	assert_in_range(stats.expired, 1, KEYS - 1);
	assert_true(stats.keys == KEYS - stats.expired);
	assert_ok(latz_maintain(pool, 0));
	assert_ok(latz_stats(pool, &stats));
	assert_true(stats.expired == KEYS && stats.keys == 0);
	assert_ok(verify_print(pool));
	assert_ok(latz_close(pool));
}

/* Time goes on while a scan does: what is left is as of the call, and nothing for what has expired since. */
static void ttl_in_scans(void **state)
{
	struct fixture *f = *state;
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	latz_value value = LATZ_VALUE_INIT;
	latz_slice key;
	latz_scan *scan;

	options.ttl_ms = 1500;
	assert_ok(latz_set(f->pool, latz_str("a"), latz_str("x"), &options));
	options.ttl_ms = HOUR_MS;
	assert_ok(latz_set(f->pool, latz_str("b"), latz_str("y"), &options));
	assert_ok(latz_set(f->pool, latz_str("c"), latz_str("z"), NULL));
	assert_ok(latz_scan_open(f->pool, NULL, &scan));
	sleep_ms(1600);
	assert_ok(latz_scan_next(scan, &key, &value));
	assert_int_equal(value.ttl_ms, 0);
	assert_ok(latz_scan_next(scan, &key, &value));
	assert_in_range(value.ttl_ms, HOUR_MS - 60000, HOUR_MS - 1500);
	assert_ok(latz_scan_next(scan, &key, &value));
	assert_int_equal(value.ttl_ms, -1);
	assert_ok(latz_scan_close(scan));
	latz_value_free(&value);
}

static void ttl_replaced_by_set(void **state)
{
	struct fixture *f = *state;

	assert_ok(set_ttl(f->pool, "k", "x", HOUR_MS, 0));
	assert_ok(set_ttl(f->pool, "k", "y", 0, LATZ_KEEP_TTL));
	assert_about_hour(ttl_of(f, "k"));
	assert_ok(set_ttl(f->pool, "k", "y", 2 * HOUR_MS, 0));
	assert_about_hour(ttl_of(f, "k") - HOUR_MS);
	assert_ok(put(f->pool, "k", "z"));
	assert_true(ttl_of(f, "k") == -1);
	/* To keep nothing is to have none; for a new key the option counts. */
	assert_ok(set_ttl(f->pool, "k", "z", 0, LATZ_KEEP_TTL));
	assert_true(ttl_of(f, "k") == -1);
	assert_text(f, "k", "z");
}

/* A deadline in the near future that is replaced does not fire. */
static void ttl_renewed(void **state)
{
	struct fixture *f = *state;
	uint64_t version;

	assert_ok(set_ttl(f->pool, "a", "x", 60, 0));
	assert_ok(set_ttl(f->pool, "b", "x", 60, 0));
	assert_ok(set_ttl(f->pool, "c", "x", 60, 0));
	assert_ok(latz_get(f->pool, key_of("a"), &f->value));
	version = f->value.version;
	assert_ok(latz_touch(f->pool, key_of("a"), HOUR_MS));
	assert_ok(latz_touch(f->pool, key_of("b"), -1));
	assert_ok(put(f->pool, "c", "y"));
	sleep_ms(150);
	assert_about_hour(ttl_of(f, "a"));
	assert_true(f->value.version == version);
	assert_true(ttl_of(f, "b") == -1);
	assert_text(f, "c", "y");
	assert_ok(latz_touch(f->pool, key_of("a"), 1));
	assert_ok(latz_touch(f->pool, key_of("b"), 0));
	sleep_ms(50);
	assert_rc(LATZ_NOTFOUND, latz_get(f->pool, key_of("a"), &f->value));
	assert_true(ttl_of(f, "b") == -1);
	assert_rc(LATZ_NOTFOUND, latz_touch(f->pool, key_of("never-there"), 5));
	assert_ok(verify_print(f->pool));
}

/* Read-modify-write calls keep the deadline. */
static void ttl_kept_by_changes(void **state)
{
	struct fixture *f = *state;
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	int64_t number = 41;

	options.ttl_ms = HOUR_MS;
	options.type = LATZ_INT;
	assert_ok(latz_set(f->pool, key_of("n"), slice(&number, 8), &options));
	assert_ok(latz_increment(f->pool, key_of("n"), 1, &number));
	assert_true(number == 42);
	assert_about_hour(ttl_of(f, "n"));
	assert_ok(set_ttl(f->pool, "s", "ab", HOUR_MS, 0));
	assert_ok(latz_append(f->pool, key_of("s"), key_of("cd"), NULL));
	assert_text(f, "s", "abcd");
	assert_about_hour(f->value.ttl_ms);
}

/* The pool's own time to live is for keys written with 0; -1 still means for ever. */
static void ttl_of_pool(void **state)
{
	struct fixture *f = *state;
	latz_pool *pool, *again;
	int64_t sum;

	f->options.ttl_ms = HOUR_MS;
	assert_ok(latz_open("default-ttl", &f->options, &pool));
	f->options.ttl_ms = 5;
	assert_ok(latz_open("default-ttl", &f->options, &again));
	assert_ok(put(again, "a", "x"));
	assert_ok(set_ttl(pool, "b", "x", -1, 0));
	assert_ok(set_ttl(pool, "c", "x", 2 * HOUR_MS, 0));
	assert_ok(latz_increment(pool, key_of("d"), 1, &sum));
	assert_ok(latz_get(pool, key_of("a"), &f->value));
	assert_about_hour(f->value.ttl_ms);
	assert_ok(latz_get(pool, key_of("b"), &f->value));
	assert_true(f->value.ttl_ms == -1);
	assert_ok(latz_get(pool, key_of("c"), &f->value));
	assert_about_hour(f->value.ttl_ms - HOUR_MS);
	assert_ok(latz_get(pool, key_of("d"), &f->value));
	assert_about_hour(f->value.ttl_ms);
	assert_ok(latz_touch(pool, key_of("b"), 0));
	assert_ok(latz_get(pool, key_of("b"), &f->value));
	assert_about_hour(f->value.ttl_ms);
	assert_ok(latz_close(again));
	assert_ok(latz_close(pool));
}

/* What expired is collected: the count of keys goes down and the figures say so. */
static void ttl_collected(void **state)
{
	struct fixture *f = *state;
	latz_stats_t stats = { .size = sizeof(stats) };
	uint64_t end = clock_ns() + 20000000000u;
	char key[24];

	for (unsigned i = 0; i < 2000; i++) {
		snprintf(key, sizeof(key), "gone-%u", i);
		assert_ok(set_ttl(f->pool, key, "some value that takes room", 1 + i % 50, 0));
	}
	assert_ok(put(f->pool, "stays", "x"));
	do {
		sleep_ms(20);
		(void)!latz_maintain(f->pool, 0);
		assert_ok(latz_stats(f->pool, &stats));
	} while (stats.keys > 1 && clock_ns() < end);
	assert_int_equal(stats.keys, 1);
	assert_true(stats.expired >= 2000);
	assert_int_equal(count_keys(f->pool), 1);
	assert_ok(verify_print(f->pool));
}

/* ---- Pools and namespaces that refuse rather than evict ---- */

static const char large[1000];

static int fill_until_full(latz_pool *pool, const char *prefix, size_t size, int64_t ttl_ms)
{
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	static char value[4096];
	int count = 0, rc = LATZ_OK;
	char key[32];

	options.ttl_ms = ttl_ms;
	while (rc == LATZ_OK) {
		snprintf(key, sizeof(key), "%s-%d", prefix, count++);
		rc = latz_set(pool, key_of(key), slice(value, size), &options);
	}
	assert_rc(LATZ_FULL, rc);
	return count - 1;
}

static latz_pool *open_refusing(struct fixture *f, uint64_t max_bytes, uint64_t max_entries)
{
	latz_options options = f->options;
	latz_pool *pool;

	options.flags |= LATZ_NO_THREAD;
	options.max_bytes = max_bytes;
	options.max_entries = max_entries;
	options.policy = LATZ_POLICY_NONE;
	assert_ok(latz_open("r", &options, &pool));
	return pool;
}

/* What is expired makes way at the next write, with no maintenance in between. */
static void ttl_full_pool(void **state)
{
	struct fixture *f = *state;
	latz_item items[2] = { { key_of("x"), key_of("1") }, { key_of("y"), key_of("2") } };
	latz_stats_t stats = { .size = sizeof(stats) };
	latz_pool *pool = open_refusing(f, 0, 100);
	int first;

	assert_int_equal(fill_until_full(pool, "a", 10, 1000), 100);
	sleep_ms(1010);
	assert_ok(put(pool, "new", "value"));
	assert_ok(latz_stats(pool, &stats));
	assert_int_equal(stats.keys, 1);
	assert_int_equal(stats.expired, 100);
	assert_int_equal(stats.evicted, 0);
	assert_int_equal(fill_until_full(pool, "b", 10, 1000), 99);
	sleep_ms(1010);
	assert_ok(latz_mset(pool, items, 2, NULL));
	assert_int_equal(fill_until_full(pool, "c", 10, 0), 97);
	assert_rc(LATZ_FULL, put(pool, "one more", "value"));
	assert_ok(latz_close(pool));

	pool = open_refusing(f, 4 << 20, 0);
	first = fill_until_full(pool, "a", 4000, 3000);
	assert_true(first > 300);
	sleep_ms(3010);
	assert_true(fill_until_full(pool, "b", 4000, 0) >= first * 9 / 10);
	assert_rc(LATZ_NOTFOUND, latz_exists(pool, key_of("a-0")));
	assert_ok(verify_print(pool));
	assert_ok(latz_close(pool));
}

static int64_t renew_all(latz_slice key, void *arg)
{
	(void)key;
	++*(int *)arg;
	return 1000000;
}

static void ttl_full_namespace(void **state)
{
	struct fixture *f = *state;
	latz_namespace_options options = LATZ_NAMESPACE_OPTIONS_INIT;
	latz_pool *pool = open_refusing(f, 0, 0), *sub, *other;
	int asked = 0;

	assert_ok(latz_namespace(pool, "sub", &sub));
	assert_ok(latz_namespace(pool, "other", &other));
	options.max_entries = 50;
	options.policy = LATZ_POLICY_NONE;
	assert_ok(latz_namespace_limits(sub, &options));
	assert_int_equal(fill_until_full(sub, "a", 10, 1000), 50);
	sleep_ms(1010);
	assert_ok(put(sub, "new", "value"));
	options.max_entries = 0;
	options.max_bytes = 100000;
	assert_ok(latz_namespace_limits(sub, &options));
	assert_true(fill_until_full(sub, "b", 1000, 1000) > 50);
	sleep_ms(1010);
	assert_true(fill_until_full(sub, "c", 1000, 0) > 50);
	/* What goes elsewhere makes no room here. */
	assert_ok(put(other, "gone", "value"));
	assert_ok(latz_touch(other, key_of("gone"), 1));
	sleep_ms(5);
	assert_rc(LATZ_FULL, latz_set(sub, key_of("d"), slice(large, sizeof(large)), NULL));

	/* Who wants to be asked is asked by maintenance, and not in the middle of a write. */
	assert_ok(latz_clear(sub));
	(void)fill_until_full(sub, "e", 1000, 1000);
	assert_ok(latz_expire_hook(sub, renew_all, &asked));
	sleep_ms(1010);
	assert_rc(LATZ_FULL, latz_set(sub, key_of("f"), slice(large, sizeof(large)), NULL));
	assert_int_equal(asked, 0);
	(void)!latz_maintain(pool, 0);
	assert_true(asked > 50);
	assert_ok(latz_exists(sub, key_of("e-0")));
	assert_ok(latz_close(other));
	assert_ok(latz_close(sub));
	assert_ok(latz_close(pool));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		POOL_TEST(ttl_expires),   POOL_TEST(ttl_expired_is_missing), POOL_TEST(ttl_replaced_by_set),
		POOL_TEST(ttl_within_a_budget),
		POOL_TEST(ttl_in_scans),  POOL_TEST(ttl_renewed),            POOL_TEST(ttl_kept_by_changes),
		DIR_TEST(ttl_of_pool),    POOL_TEST(ttl_collected),          DIR_TEST(ttl_full_pool),
		DIR_TEST(ttl_full_namespace),
	};

	return suite_run(tests);
}
