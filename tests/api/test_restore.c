/*
 * latz_restore() and warm starts that must not be: each fails at once, with its reason, and leaves nothing; and what
 * is told of a log.
 */
#include "lib/suite.h"

static void path_of(const struct fixture *f, const char *name, char path[512])
{
	snprintf(path, 512, "%s/%s", f->dir, name);
}

/* A pool of n keys, and its snapshot at path. */
static void make_snapshot(struct fixture *f, unsigned n, const char *path)
{
	latz_pool *pool;
	char key[32];

	assert_ok(latz_open("source", &f->options, &pool));
	for (unsigned i = 0; i < n; i++) {
		snprintf(key, sizeof(key), "key%u", i);
		assert_ok(latz_set(pool, latz_str(key), latz_str("value"), NULL));
	}
	assert_ok(latz_snapshot(pool, path, NULL));
	assert_ok(latz_close(pool));
}

static int end_it(const latz_snapshot_progress *progress, void *arg)
{
	(void)progress;
	(*(unsigned *)arg)++;
	return 1;
}

/* A progress function that returns non-zero is asked once, and the work is not begun again. */
static void restore_ended(void **state)
{
	struct fixture *f = *state;
	latz_snapshot_options options = LATZ_SNAPSHOT_OPTIONS_INIT;
	latz_options plain = f->options;
	latz_pool *pool;
	unsigned calls = 0;
	char path[512];

	path_of(f, ".s.lzs", path);
	make_snapshot(f, 10000, path);
	options.progress = end_it;
	options.arg = &calls;
	assert_rc(LATZ_BUSY, latz_restore(path, "p", &f->options, &options));
	assert_int_equal(calls, 1);
	plain.flags = 0;
	assert_rc(LATZ_NOTFOUND, latz_open("p", &plain, &pool));
}

static int count_pool(const latz_pool_info *info, void *arg)
{
	(void)info;
	(*(unsigned *)arg)++;
	return 0;
}

/* It may be the guard that takes a durable pool away when the last user has left. */
static void wait_until_gone(const char *dir)
{
	unsigned pools;

	for (int i = 0; i < 2000; i++) {
		pools = 0;
		assert_ok(latz_list(dir, count_pool, &pools));
		if (pools == 0)
			return;
		usleep(5000);
	}
	fail_msg("the pool does not go");
}

/* The directory on the disk holds that pool already. */
static void restore_into_held_directory(void **state)
{
	struct fixture *f = *state;
	latz_options durable = f->options, plain = f->options;
	latz_pool *pool;
	char path[512], disk[512];

	path_of(f, ".s.lzs", path);
	path_of(f, ".disk", disk);
	make_snapshot(f, 10, path);
	durable.persist_dir = disk;
	assert_ok(latz_open("p", &durable, &pool));
	assert_ok(latz_set(pool, latz_str("mine"), latz_str("v"), NULL));
	assert_ok(latz_close(pool));
	wait_until_gone(f->dir);
	uint64_t began = clock_ns();
	assert_rc(LATZ_EXISTS, latz_restore(path, "p", &durable, NULL));
	assert_true(clock_ns() - began < UINT64_C(4000000000)); /* at once, and not after many attempts */
	plain.flags = 0;
	assert_rc(LATZ_NOTFOUND, latz_open("p", &plain, &pool));
	assert_ok(latz_open("p", &durable, &pool));
	assert_ok(latz_exists(pool, latz_str("mine")));
	assert_ok(latz_close(pool));
}

/* It is that of the very pool that is to be replaced, which somebody has open, or nobody. */
static void replace_in_its_directory(void **state)
{
	struct fixture *f = *state;
	latz_snapshot_options replace = LATZ_SNAPSHOT_OPTIONS_INIT;
	latz_options durable = f->options;
	latz_pool *pool;
	char path[512], disk[512];

	path_of(f, ".s.lzs", path);
	path_of(f, ".disk", disk);
	make_snapshot(f, 10, path);
	durable.persist_dir = disk;
	durable.flags |= LATZ_KEEP;
	replace.flags = LATZ_RESTORE_REPLACE;
	assert_ok(latz_open("p", &durable, &pool));
	assert_ok(latz_set(pool, latz_str("mine"), latz_str("v"), NULL));
	for (int open = 1; open >= 0; open--) {
		assert_rc(LATZ_EXISTS, latz_restore(path, "p", &durable, &replace));
		assert_non_null(strstr(latz_error_detail(), "give another directory"));
		assert_null(strstr(latz_error_detail(), "another runtime directory"));
		if (open)
			assert_ok(latz_close(pool));
	}
	assert_ok(latz_open("p", &durable, &pool));
	assert_ok(latz_exists(pool, latz_str("mine")));
	assert_ok(latz_close(pool));
	/* What it says works. */
	path_of(f, ".disk2", disk);
	assert_ok(latz_restore(path, "p", &durable, &replace));
	assert_ok(latz_destroy("p", &f->options));
}

/* And it belongs to a pool of another runtime directory at the moment. */
static void open_with_taken_directory(void **state)
{
	struct fixture *f = *state;
	latz_options durable = f->options, other = f->options;
	latz_pool *pool, *second;
	char disk[512], dir[512];

	path_of(f, ".disk", disk);
	path_of(f, ".other", dir);
	durable.persist_dir = other.persist_dir = disk;
	other.dir = dir;
	assert_ok(latz_open("p", &durable, &pool));
	assert_rc(LATZ_BUSY, latz_open("p", &other, &second));
	assert_non_null(strstr(latz_error_detail(), "in use"));
	assert_ok(latz_close(pool));
	wait_until_gone(f->dir);
	assert_ok(latz_open("p", &other, &second));
	assert_ok(latz_close(second));
}

/* What latz_stats() and latz_list() tell of a durable pool. */
static int find_durable(const latz_pool_info *info, void *arg)
{
	*(int *)arg = info->durable;
	return 0;
}

static void stats_of_log(void **state)
{
	struct fixture *f = *state;
	latz_stats_t stats = { .size = sizeof(stats) };
	latz_options durable = f->options;
	latz_pool *pool;
	int listed = 0;
	char disk[512];

	path_of(f, ".disk", disk);
	durable.persist_dir = disk;
	durable.flags |= LATZ_NO_THREAD;
	durable.sync = LATZ_SYNC_INTERVAL;
	durable.sync_interval_ms = 300;
	durable.checkpoint_bytes = 1234567;
	durable.snapshot_on_close = 1;
	assert_ok(latz_open("p", &durable, &pool));
	assert_ok(latz_set(pool, latz_str("k"), latz_str("v"), NULL));
	assert_ok(latz_stats(pool, &stats));
	assert_int_equal(stats.durable, 1);
	assert_int_equal(stats.log_broken, 0);
	assert_true(stats.log_lag_bytes > 0);
	assert_true(stats.snapshot_age_ms == -1);
	assert_string_equal(stats.persist_dir, disk);
	assert_true(stats.sync == LATZ_SYNC_INTERVAL && stats.sync_interval_ms == 300);
	assert_true(stats.checkpoint_bytes == 1234567 && stats.snapshot_on_close == 1);
	assert_ok(latz_sync_now(pool));
	assert_ok(latz_stats(pool, &stats));
	assert_true(stats.log_lag_bytes == 0);
	assert_true(stats.log_syncs > 0 && stats.log_flushes > 0 && stats.log_bytes > 0);
	assert_ok(latz_list(f->dir, find_durable, &listed));
	assert_int_equal(listed, 1);
	assert_ok(latz_persist(pool, NULL));
	assert_ok(latz_stats(pool, &stats));
	assert_int_equal(stats.durable, 0);
	assert_string_equal(stats.persist_dir, "");
	assert_ok(latz_close(pool));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIR_TEST(restore_ended),
		DIR_TEST(restore_into_held_directory),
		DIR_TEST(replace_in_its_directory),
		DIR_TEST(open_with_taken_directory),
		DIR_TEST(stats_of_log),
	};

	return suite_run(tests);
}
