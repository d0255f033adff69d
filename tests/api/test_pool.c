/*
 * Things about a whole pool or the library: figures, lists, sweeping, read-only handles, maintenance, messages.
 */
#include "lib/suite.h"

static void stats_plausible(void **state)
{
	struct fixture *f = *state;
	latz_stats_t before = { .size = sizeof(before) }, after = { .size = sizeof(after) };
	unsigned char value[100] = { 0 };
	char key[24];

	assert_ok(latz_stats(f->pool, &before));
	assert_int_equal(before.keys, 0);
	assert_int_equal(before.clients, 1);
	assert_int_equal(before.clients_max, 256);
	for (unsigned i = 0; i < 10000; i++) {
		snprintf(key, sizeof(key), "key-%u", i);
		assert_ok(latz_set(f->pool, key_of(key), slice(value, sizeof(value)), NULL));
	}
	for (unsigned i = 0; i < 200; i++) {
		snprintf(key, sizeof(key), "key-%u", 9900 + i);
		(void)!latz_get(f->pool, key_of(key), &f->value);
		(void)!latz_delete(f->pool, key_of(key));
	}
	assert_int_equal(count_keys(f->pool), 9900);
	assert_ok(latz_stats(f->pool, &after));
	assert_int_equal(after.keys, 9900);
	assert_int_equal(after.sets - before.sets, 10000);
	assert_int_equal(after.deletes - before.deletes, 100);
	assert_int_equal(after.gets - before.gets, 200);
	assert_int_equal(after.hits - before.hits, 100);
	assert_true(after.live_bytes >= 9900u * (100 + 5) && after.live_bytes < 9900u * 250);
	assert_true(after.heap_bytes >= after.live_bytes);
	assert_true(after.table_bytes > 0 && after.index_bytes > 0);
	assert_true(after.file_bytes >= after.heap_bytes + after.table_bytes);
	assert_true(after.extents > 0 && after.extents_free + after.extents_hole <= after.extents);
	assert_int_equal(after.index_lag_bytes, 0);
	assert_true(after.threads >= 1);
	assert_true(after.age_ms >= before.age_ms && after.age_ms < 600000);
	assert_rc(LATZ_INVALID, latz_stats(f->pool, NULL));
	assert_rc(LATZ_INVALID, latz_stats(NULL, &after));
}

static uint64_t file_bytes(latz_pool *pool)
{
	latz_stats_t stats = { .size = sizeof(stats) };

	assert_ok(latz_stats(pool, &stats));
	return stats.file_bytes;
}

/* Without a maintenance thread who overwrites large values makes room by himself. */
static void large_values_without_thread(void **state)
{
	enum {
		LARGE = 10 << 20,
		MIDDLE = 100 << 10,
		KEYS = 40
	};
	struct fixture *f = *state;
	char *value = check_alloc(LARGE), key[24];
	latz_view view = { 0 };
	latz_pool *pool;
	latz_slice name;
	latz_scan *scan;

	f->options.flags |= LATZ_NO_THREAD;
	assert_ok(latz_open("large", &f->options, &pool));
	for (unsigned i = 0; i < 50; i++) {
		pattern_fill(value, LARGE, i);
		assert_ok(latz_set(pool, key_of("k"), slice(value, LARGE), NULL));
		assert_true(file_bytes(pool) < 4ull * LARGE);
	}
	/* What is borrowed and what a scan sees stays, however much is overwritten; and no more than that. */
	assert_ok(latz_borrow(pool, key_of("k"), &view));
	assert_ok(latz_scan_open(pool, NULL, &scan));
	for (unsigned i = 50; i < 70; i++) {
		pattern_fill(value, LARGE, i);
		assert_ok(latz_set(pool, key_of("k"), slice(value, LARGE), NULL));
		assert_true(file_bytes(pool) < 6ull * LARGE);
	}
	assert_true(pattern_is(view.data, view.size, 49));
	assert_ok(latz_scan_next(scan, &name, &f->value));
	assert_true(f->value.size == LARGE && pattern_is(f->value.data, LARGE, 49));
	assert_ok(latz_scan_close(scan));
	assert_ok(latz_release(&view));
	assert_ok(latz_get(pool, key_of("k"), &f->value));
	assert_true(pattern_is(f->value.data, LARGE, 69));
	assert_ok(verify_print(pool));
	assert_ok(latz_close(pool));

	/* Keys that come and go too. */
	assert_ok(latz_open("middle", &f->options, &pool));
	for (unsigned i = 0; i < 50 * KEYS; i++) {
		snprintf(key, sizeof(key), "key-%u", i % KEYS);
		assert_ok(latz_set(pool, key_of(key), slice(value, MIDDLE + i % 7 * 30000), NULL));
		if (i % 3 == 0)
			assert_ok(del(pool, key));
	}
	assert_true(file_bytes(pool) < 4ull * KEYS * (MIDDLE + 90000));
	assert_ok(verify_print(pool));
	assert_ok(latz_close(pool));
	free(value);
}

/* A caller with a smaller struct gets only the fields it knows. */
static void stats_of_smaller_caller(void **state)
{
	struct fixture *f = *state;
	latz_stats_t stats;

	memset(&stats, 0x5a, sizeof(stats));
	stats.size = offsetof(latz_stats_t, heap_bytes);
	assert_ok(put(f->pool, "k", "v"));
	assert_ok(latz_stats(f->pool, &stats));
	assert_int_equal(stats.keys, 1);
	assert_true(stats.heap_bytes == 0x5a5a5a5a5a5a5a5au);
}

static int use_and_exit(void *arg)
{
	latz_pool *pool = must_open(arg, "t", 0);

	CHECK_OK(put(pool, "from-child", "x"));
	for (int i = 0; i < 10; i++)
		CHECK_OK(latz_exists(pool, key_of("from-child")));
	return latz_close(pool);
}

/* What a client did stays in the counters when it is gone. */
static void stats_include_the_gone(void **state)
{
	struct fixture *f = *state;
	latz_stats_t stats = { .size = sizeof(stats) };

	for (int i = 0; i < 3; i++)
		assert_int_equal(proc_run(use_and_exit, (void *)f->dir, 10000), 0);
	assert_ok(latz_stats(f->pool, &stats));
	assert_int_equal(stats.sets, 3);
	assert_int_equal(stats.clients, 1);
}

struct listed {
	unsigned count, stop_after;
	char names[16][72];
	latz_pool_info last;
};

static int note_pool(const latz_pool_info *info, void *arg)
{
	struct listed *listed = arg;

	CHECK(info->size == sizeof(*info));
	CHECK(info->path != NULL && access(info->path, F_OK) == 0);
	CHECK(listed->count < 16);
	snprintf(listed->names[listed->count++], 72, "%s", info->name);
	listed->last = *info;
	return listed->count == listed->stop_after ? 4242 : 0;
}

static void list_pools(void **state)
{
	static const char *const names[] = { "zeta", "alpha", "mid", "Beta", "0" };
	static const char *const sorted[] = { "0", "Beta", "alpha", "mid", "zeta" };
	struct fixture *f = *state;
	latz_pool *pools[ARRAY_LEN(names)];
	struct listed listed = { 0 };
	char missing[512];

	assert_ok(latz_list(f->dir, note_pool, &listed));
	assert_int_equal(listed.count, 0);
	snprintf(missing, sizeof(missing), "%s/not-there", f->dir);
	assert_ok(latz_list(missing, note_pool, &listed));
	assert_int_equal(listed.count, 0);
	assert_int_not_equal(access(missing, F_OK), 0);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_ok(latz_open(names[i], &f->options, &pools[i]));
	assert_ok(put(pools[0], "k", "v"));
	assert_ok(latz_list(f->dir, note_pool, &listed));
	assert_int_equal(listed.count, ARRAY_LEN(names));
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_string_equal(listed.names[i], sorted[i]);
	/* The last was zeta. */
	assert_int_equal(listed.last.status, LATZ_OK);
	assert_int_equal(listed.last.clients, 1);
	assert_int_equal(listed.last.keys, 1);
	assert_int_equal(listed.last.flags & LATZ_KEEP, 0);
	assert_true(listed.last.bytes > 0 && listed.last.age_ms >= 0);
	listed = (struct listed){ .stop_after = 2 };
	assert_int_equal(latz_list(f->dir, note_pool, &listed), 4242);
	assert_int_equal(listed.count, 2);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_ok(latz_close(pools[i]));
	listed = (struct listed){ 0 };
	assert_ok(latz_list(f->dir, note_pool, &listed));
	assert_int_equal(listed.count, 0);
	assert_rc(LATZ_INVALID, latz_list(f->dir, NULL, NULL));
}

/* Attaches without a guard and is killed: its pool stays behind. */
static int die_attached(void *arg)
{
	latz_pool *pool = must_open(arg, "orphan", LATZ_CREATE | LATZ_NO_GUARD);

	CHECK_OK(put(pool, "k", "v"));
	raise(SIGKILL);
	return 1;
}

static int die_attached_keep(void *arg)
{
	latz_pool *pool = must_open(arg, "kept", LATZ_CREATE | LATZ_NO_GUARD | LATZ_KEEP);

	CHECK_OK(put(pool, "k", "v"));
	raise(SIGKILL);
	return 1;
}

static void sweep_orphans(void **state)
{
	struct fixture *f = *state;
	struct listed listed = { 0 };
	unsigned removed = 99;
	latz_pool *pool;

	assert_ok(latz_sweep(f->dir, &removed));
	assert_int_equal(removed, 0);
	assert_int_equal(proc_run(die_attached, (void *)f->dir, 10000), 128 + SIGKILL);
	assert_int_equal(proc_run(die_attached_keep, (void *)f->dir, 10000), 128 + SIGKILL);
	assert_ok(latz_sweep(f->dir, &removed));
	assert_int_equal(removed, 1);
	assert_ok(latz_sweep(f->dir, NULL));
	assert_ok(latz_list(f->dir, note_pool, &listed));
	assert_int_equal(listed.count, 1);
	assert_string_equal(listed.names[0], "kept");
	assert_true(listed.last.flags & LATZ_KEEP);
	f->options.flags = 0;
	assert_ok(latz_open("kept", &f->options, &pool));
	assert_ok(latz_exists(pool, key_of("k")));
	assert_ok(verify_print(pool));
	assert_ok(latz_close(pool));
	assert_ok(latz_destroy("kept", &f->options));
	/* Listing and opening sweep on their own. */
	assert_int_equal(proc_run(die_attached, (void *)f->dir, 10000), 128 + SIGKILL);
	listed.count = 0;
	assert_ok(latz_list(f->dir, note_pool, &listed));
	assert_int_equal(listed.count, 0);
	assert_int_equal(proc_run(die_attached, (void *)f->dir, 10000), 128 + SIGKILL);
	assert_rc(LATZ_NOTFOUND, latz_open("orphan", &f->options, &pool));
}

static int guarded_death(void *arg)
{
	latz_pool *pool = must_open(arg, "guarded", LATZ_CREATE);

	CHECK_OK(put(pool, "k", "v"));
	raise(SIGKILL);
	return 1;
}

/* With a guard the pool of a killed last user goes by itself. */
static void guard_removes(void **state)
{
	struct fixture *f = *state;
	uint64_t end;
	char path[512];

	snprintf(path, sizeof(path), "%s/guarded", f->dir);
	assert_int_equal(proc_run(guarded_death, (void *)f->dir, 10000), 128 + SIGKILL);
	end = clock_ns() + 5000000000u;
	while (access(path, F_OK) == 0 && clock_ns() < end)
		sleep_ms(2);
	assert_int_not_equal(access(path, F_OK), 0);
}

static void readonly_handle(void **state)
{
	struct fixture *f = *state;
	latz_item item = { key_of("k"), key_of("w") };
	latz_view view = { 0 };
	latz_pool *reader;
	int64_t sum;

	assert_ok(put(f->pool, "k", "v"));
	f->options.flags = (unsigned)LATZ_READONLY;
	assert_ok(latz_open("t", &f->options, &reader));
	assert_rc(LATZ_READONLY, put(reader, "k", "w"));
	assert_rc(LATZ_READONLY, del(reader, "k"));
	assert_rc(LATZ_READONLY, latz_touch(reader, key_of("k"), 5));
	assert_rc(LATZ_READONLY, latz_increment(reader, key_of("n"), 1, &sum));
	assert_rc(LATZ_READONLY, latz_append(reader, key_of("k"), key_of("x"), NULL));
	assert_rc(LATZ_READONLY, latz_swap(reader, key_of("k"), key_of("x"), &f->value));
	assert_rc(LATZ_READONLY, latz_mset(reader, &item, 1, NULL));
	assert_rc(LATZ_READONLY, latz_clear(reader));
	assert_ok(latz_get(reader, key_of("k"), &f->value));
	assert_memory_equal(f->value.data, "v", 2);
	assert_ok(latz_borrow(reader, key_of("k"), &view));
	assert_ok(latz_release(&view));
	assert_int_equal(count_keys(reader), 1);
	/* The other handle of the same process still writes. */
	assert_ok(put(f->pool, "k", "w"));
	assert_ok(latz_close(reader));
	assert_text(f, "k", "w");
}

static int readonly_child(void *arg)
{
	latz_pool *pool = must_open(arg, "t", (unsigned)LATZ_READONLY);
	latz_value value = LATZ_VALUE_INIT;

	CHECK_RC(LATZ_READONLY, put(pool, "k", "w"));
	CHECK_OK(latz_get(pool, key_of("k"), &value));
	CHECK(value.size == 1 && memcmp(value.data, "v", 1) == 0);
	CHECK(count_keys(pool) == 1);
	latz_value_free(&value);
	CHECK_OK(latz_close(pool));
	return 0;
}

static void readonly_process(void **state)
{
	struct fixture *f = *state;

	assert_ok(put(f->pool, "k", "v"));
	assert_int_equal(proc_run(readonly_child, (void *)f->dir, 20000), 0);
	assert_text(f, "k", "v");
}

/* Without a thread, maintenance is what latz_maintain does. */
static void maintain_by_hand(void **state)
{
	struct fixture *f = *state;
	latz_stats_t stats = { .size = sizeof(stats) };
	unsigned char value[1000] = { 0 };
	latz_pool *pool;
	char key[24];

	f->options.flags = LATZ_CREATE | LATZ_NO_THREAD;
	assert_ok(latz_open("quiet", &f->options, &pool));
	assert_true(maintain_all(pool));
	for (unsigned i = 0; i < 20000; i++) {
		snprintf(key, sizeof(key), "key-%u", i);
		assert_ok(latz_set(pool, key_of(key), slice(value, sizeof(value)), NULL));
		if (i % 1000 == 0) {
			int rc = latz_maintain(pool, 100);

			assert_true(rc == LATZ_OK || rc == LATZ_BUSY);
		}
	}
	for (unsigned i = 0; i < 20000; i++) {
		snprintf(key, sizeof(key), "key-%u", i);
		if (i % 20 != 0)
			assert_ok(del(pool, key));
	}
	assert_true(maintain_all(pool));
	assert_ok(latz_stats(pool, &stats));
	assert_int_equal(stats.keys, 1000);
	/* 20 MB were there, 1 MB is; a constant part for tables and reserves is allowed. */
	assert_true(stats.heap_bytes < 5u << 20);
	assert_int_equal(count_keys(pool), 1000);
	assert_ok(verify_print(pool));
	assert_ok(latz_close(pool));
	assert_rc(LATZ_INVALID, latz_maintain(NULL, 0));
}

/* Two handles on one pool in a process share the attachment and end each on its own. */
static void two_handles(void **state)
{
	struct fixture *f = *state;
	latz_stats_t stats = { .size = sizeof(stats) };
	latz_pool *again[5];

	for (int i = 0; i < 5; i++)
		assert_ok(latz_open("t", &f->options, &again[i]));
	assert_ok(latz_stats(f->pool, &stats));
	assert_int_equal(stats.clients, 1);
	assert_ok(put(again[0], "k", "v"));
	assert_text(f, "k", "v");
	for (int i = 0; i < 5; i++)
		assert_ok(latz_close(again[i]));
	assert_text(f, "k", "v");
	assert_ok(latz_stats(f->pool, &stats));
	assert_int_equal(stats.clients, 1);
}

static int note_client(const latz_client_info *info, void *arg)
{
	int *mine = arg;

	CHECK(info->command != NULL && strlen(info->command) <= 15);
	*mine += info->pid == getpid();
	return 0;
}

static int stop_clients(const latz_client_info *info, void *arg)
{
	(void)info;
	(void)arg;
	return 77;
}

static void clients_listed(void **state)
{
	struct fixture *f = *state;
	int mine = 0;

	assert_ok(put(f->pool, "k", "v"));
	assert_ok(latz_clients(f->pool, note_client, &mine));
	assert_int_equal(mine, 1);
	assert_int_equal(latz_clients(f->pool, stop_clients, NULL), 77);
}

static void not_in_this_release(void **state)
{
	struct fixture *f = *state;

	assert_rc(LATZ_UNSUPPORTED, latz_sync_now(f->pool));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		POOL_TEST(stats_plausible),
		POOL_TEST(large_values_without_thread),
		POOL_TEST(stats_of_smaller_caller),
		POOL_TEST(stats_include_the_gone),
		DIR_TEST(list_pools),
		DIR_TEST(sweep_orphans),
		DIR_TEST(guard_removes),
		POOL_TEST(readonly_handle),
		POOL_TEST(readonly_process),
		DIR_TEST(maintain_by_hand),
		POOL_TEST(two_handles),
		POOL_TEST(clients_listed),
		POOL_TEST(not_in_this_release),
	};

	return suite_run(tests);
}
