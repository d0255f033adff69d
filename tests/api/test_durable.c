/*
 * Durable pools through the public API: what comes back, and what is refused.
 */
#include "lib/suite.h"

#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

struct durable {
	const char *dir, *disk;
	latz_options options;
	latz_pool *pool;
};

static int up(void **state)
{
	static struct durable d;

	d.dir = tempdir_make();
	d.disk = tempdir_make();
	d.options = (latz_options)LATZ_OPTIONS_INIT;
	d.options.dir = d.dir;
	d.options.persist_dir = d.disk;
	d.options.sync = LATZ_SYNC_ALWAYS;
	d.pool = NULL;
	*state = &d;
	return 0;
}

static int down(void **state)
{
	struct durable *d = *state;

	if (d->pool != NULL && latz_close(d->pool) != LATZ_OK)
		return -1;
	tempdir_remove(d->dir);
	tempdir_remove(d->disk);
	return 0;
}

#define DURABLE_TEST(fn) cmocka_unit_test_setup_teardown(fn, up, down)

static void open_it(struct durable *d)
{
	assert_ok(latz_open("p", &d->options, &d->pool));
}

/* The guard may be the one that takes the files away, a moment later. */
static void wait_until_gone(const char *dir)
{
	char path[4200];

	snprintf(path, sizeof path, "%s/p", dir);
	for (int i = 0; i < 5000 && access(path, F_OK) == 0; i++)
		usleep(1000);
	assert_int_not_equal(access(path, F_OK), 0);
}

static void close_it(struct durable *d)
{
	assert_ok(latz_close(d->pool));
	d->pool = NULL;
	if ((d->options.flags & LATZ_KEEP) == 0)
		wait_until_gone(d->dir);
}

static void is_text(struct durable *d, const char *key, const char *text)
{
	latz_value value = LATZ_VALUE_INIT;

	assert_ok(latz_get(d->pool, key_of(key), &value));
	assert_string_equal(value.data, text);
	latz_value_free(&value);
}

/* Sets, deletes, touches, types, versions: all as it was after the last user has left. */
static void comes_back(void **state)
{
	struct durable *d = *state;
	latz_set_options typed = LATZ_SET_OPTIONS_INIT;
	latz_value value = LATZ_VALUE_INIT;
	uint64_t version;
	int64_t sum;

	open_it(d);
	typed.type = LATZ_JSON;
	typed.version = &version;
	assert_ok(latz_set(d->pool, key_of("json"), latz_str("{}"), &typed));
	assert_ok(put(d->pool, "gone", "x"));
	assert_ok(del(d->pool, "gone"));
	assert_ok(put(d->pool, "back", "x"));
	assert_ok(del(d->pool, "back"));
	assert_ok(put(d->pool, "back", "again"));
	assert_ok(put(d->pool, "brief", "x"));
	assert_ok(latz_touch(d->pool, key_of("brief"), 3600000));
	assert_ok(latz_increment(d->pool, key_of("sum"), 41, &sum));
	assert_ok(latz_increment(d->pool, key_of("sum"), 1, &sum));
	close_it(d);

	open_it(d);
	assert_ok(latz_get(d->pool, key_of("json"), &value));
	assert_int_equal(value.type, LATZ_JSON);
	assert_int_equal(value.version, version);
	assert_rc(LATZ_NOTFOUND, latz_exists(d->pool, key_of("gone")));
	is_text(d, "back", "again");
	assert_ok(latz_get(d->pool, key_of("brief"), &value));
	assert_true(value.ttl_ms > 3000000 && value.ttl_ms <= 3600000);
	assert_ok(latz_increment(d->pool, key_of("sum"), 0, &sum));
	assert_int_equal(sum, 42);
	assert_ok(put(d->pool, "json", "newer"));
	assert_ok(latz_get(d->pool, key_of("json"), &value));
	assert_true(value.version > version);
	latz_value_free(&value);
	assert_ok(verify_print(d->pool));
}

/* What was touched lives on though the deadline it was written with, or has in the snapshot, is over by the restart. */
static void touched_outlives_its_first_deadline(void **state)
{
	struct durable *d = *state;
	latz_set_options brief = LATZ_SET_OPTIONS_INIT;
	latz_value value = LATZ_VALUE_INIT;

	brief.ttl_ms = 1500;
	for (int in_snapshot = 0; in_snapshot < 2; in_snapshot++) {
		d->options.snapshot_on_close = in_snapshot;
		open_it(d);
		assert_ok(latz_set(d->pool, key_of("longer"), latz_str("x"), &brief));
		assert_ok(latz_set(d->pool, key_of("for ever"), latz_str("x"), &brief));
		assert_ok(latz_set(d->pool, key_of("ends"), latz_str("x"), &brief));
		if (in_snapshot) {
			close_it(d);
			d->options.snapshot_on_close = 0;
			open_it(d);
		}
		assert_ok(latz_touch(d->pool, key_of("longer"), 3600000));
		assert_ok(latz_touch(d->pool, key_of("for ever"), -1));
		assert_ok(latz_persist(d->pool, NULL)); /* no snapshot when it is closed */
		close_it(d);
		usleep(1600000);
		open_it(d);
		assert_ok(latz_get(d->pool, key_of("longer"), &value));
		assert_true(value.ttl_ms > 3000000 && value.ttl_ms <= 3600000);
		assert_ok(latz_get(d->pool, key_of("for ever"), &value));
		assert_int_equal(value.ttl_ms, -1);
		assert_rc(LATZ_NOTFOUND, latz_exists(d->pool, key_of("ends")));
		assert_int_equal(count_keys(d->pool), 2);
		assert_ok(verify_print(d->pool));
		assert_ok(latz_clear(d->pool));
		close_it(d);
	}
	latz_value_free(&value);
}

static int writes_and_dies(void *arg)
{
	struct durable *d = arg;
	char key[16];

	CHECK_OK(latz_open("p", &d->options, &d->pool));
	for (int i = 0; i < 500; i++) {
		snprintf(key, sizeof key, "k%d", i);
		CHECK_OK(put(d->pool, key, key));
	}
	raise(SIGKILL);
	return 1;
}

/* A killed process loses nothing, whatever the mode. */
static void killed(void **state)
{
	struct durable *d = *state;
	char key[16];

	for (int sync = LATZ_SYNC_NONE; sync <= LATZ_SYNC_ALWAYS; sync++) {
		d->options.sync = (latz_sync)sync;
		assert_int_equal(proc_run(writes_and_dies, d, 20000), 128 + SIGKILL);
		open_it(d);
		for (int i = 0; i < 500; i++) {
			snprintf(key, sizeof key, "k%d", i);
			is_text(d, key, key);
		}
		assert_ok(latz_clear(d->pool));
		close_it(d);
	}
}

/* Deletes what was evicted, as long as the log still has it. */
static int deletes_what_is_not_there(void *arg)
{
	struct durable *d = arg;
	char key[16];
	int i;

	CHECK_OK(latz_open("p", &d->options, &d->pool));
	CHECK_OK(put(d->pool, "k", "old"));
	for (i = 0; i < 1000 && latz_exists(d->pool, key_of("k")) == LATZ_OK; i++) {
		snprintf(key, sizeof key, "k%d", i);
		CHECK_OK(put(d->pool, key, key));
	}
	if (i == 1000 || del(d->pool, "k") != LATZ_NOTFOUND)
		return 1;
	raise(SIGKILL);
	return 1;
}

/* That an evicted key is not there is on disk by the time a delete says so: it does not come back. */
static void deleted_after_eviction(void **state)
{
	struct durable *d = *state;

	d->options.max_entries = 10;
	d->options.flags |= LATZ_NO_THREAD | LATZ_NO_GUARD;
	assert_int_equal(proc_run(deletes_what_is_not_there, d, 20000), 128 + SIGKILL);
	tempdir_remove(d->dir); /* as after a restart of the machine */
	d->options.dir = d->dir = tempdir_make();
	d->options.max_entries = 0; /* or it might be evicted again */
	open_it(d);
	assert_rc(LATZ_NOTFOUND, latz_exists(d->pool, key_of("k")));
	close_it(d);
}

/* A single durable write in a pool that does not sync by itself, and none in one without a log. */
static void durable_flag(void **state)
{
	struct durable *d = *state;
	latz_set_options durable = LATZ_SET_OPTIONS_INIT;
	latz_stats_t stats = { .size = sizeof stats };

	durable.flags = LATZ_DURABLE;
	d->options.sync = LATZ_SYNC_NONE;
	open_it(d);
	assert_ok(latz_set(d->pool, key_of("a"), latz_str("1"), &durable));
	assert_ok(latz_stats(d->pool, &stats));
	assert_true(stats.durable);
	assert_int_equal(stats.log_lag_bytes, 0);
	assert_true(stats.log_syncs > 0);
	assert_ok(put(d->pool, "b", "2"));
	assert_ok(latz_sync_now(d->pool));
	assert_ok(latz_stats(d->pool, &stats));
	assert_int_equal(stats.log_lag_bytes, 0);
	close_it(d);
	d->options.persist_dir = NULL;
	d->options.sync = LATZ_SYNC_NONE;
	assert_ok(latz_open("q", &d->options, &d->pool));
	assert_rc(LATZ_UNSUPPORTED, latz_set(d->pool, key_of("a"), latz_str("1"), &durable));
	assert_rc(LATZ_NOTFOUND, latz_exists(d->pool, key_of("a")));
	assert_rc(LATZ_UNSUPPORTED, latz_sync_now(d->pool));
}

static void options_that_need_a_directory(void **state)
{
	struct durable *d = *state;

	d->options.persist_dir = NULL;
	assert_rc(LATZ_INVALID, latz_open("p", &d->options, &d->pool));
	d->options.sync = LATZ_SYNC_NONE;
	d->options.snapshot_on_close = 1;
	assert_rc(LATZ_INVALID, latz_open("p", &d->options, &d->pool));
	d->pool = NULL;
}

/* Who opens a pool with a directory relies on it: one that is there and has none, or another, is not taken for it. */
static void attached_as_asked_or_not(void **state)
{
	struct durable *d = *state;
	latz_options plain = d->options;
	char other[4200];
	latz_pool *second;

	plain.persist_dir = NULL;
	plain.sync = LATZ_SYNC_NONE;
	assert_ok(latz_open("p", &plain, &d->pool));
	assert_rc(LATZ_EXISTS, latz_open("p", &d->options, &second));
	assert_non_null(strstr(latz_error_detail(), "latz_persist()"));
	assert_ok(latz_persist(d->pool, &d->options));
	assert_ok(latz_open("p", &d->options, &second)); /* the process is attached to it already */
	assert_ok(latz_close(second));
	snprintf(other, sizeof other, "%s/link", d->dir);
	assert_int_equal(symlink(d->disk, other), 0);
	d->options.persist_dir = other;
	assert_ok(latz_open("p", &d->options, &second));
	assert_ok(latz_close(second));
	d->options.persist_dir = d->dir;
	assert_rc(LATZ_EXISTS, latz_open("p", &d->options, &second));
	assert_non_null(strstr(latz_error_detail(), d->disk));
	assert_int_equal(unlink(other), 0);
	assert_ok(put(d->pool, "a", "1")); /* nothing has come of it for who is there */
}

/* A running pool becomes durable, and not. */
static void persist_on_and_off(void **state)
{
	struct durable *d = *state;
	latz_options plain = d->options;
	char key[16];

	plain.persist_dir = NULL;
	plain.sync = LATZ_SYNC_NONE;
	assert_ok(latz_open("p", &plain, &d->pool));
	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof key, "k%d", i);
		assert_ok(put(d->pool, key, key));
	}
	assert_ok(latz_persist(d->pool, &d->options));
	assert_rc(LATZ_EXISTS, latz_persist(d->pool, &d->options));
	assert_ok(put(d->pool, "k7", "newer"));
	assert_ok(del(d->pool, "k8"));
	close_it(d);
	open_it(d);
	is_text(d, "k7", "newer");
	is_text(d, "k999", "k999");
	assert_rc(LATZ_NOTFOUND, latz_exists(d->pool, key_of("k8")));
	assert_ok(latz_persist(d->pool, NULL));
	assert_rc(LATZ_UNSUPPORTED, latz_sync_now(d->pool));
	assert_ok(put(d->pool, "late", "x"));
	close_it(d);
	open_it(d);
	assert_rc(LATZ_NOTFOUND, latz_exists(d->pool, key_of("late")));
	is_text(d, "k7", "newer");
}

static int stays_attached(void *arg)
{
	struct durable *d = arg;
	latz_pool *pool;

	CHECK_OK(latz_open("p", &d->options, &pool));
	CHECK_OK(put(pool, "k", "x"));
	raise(SIGSTOP);
	CHECK_OK(latz_close(pool));
	return 0;
}

/* The directory is free when durability has been ended, whoever has not heard of it. */
static void off_lets_the_directory_go(void **state)
{
	struct durable *d = *state;
	latz_options elsewhere = d->options;
	struct proc idle;
	latz_pool *other;
	int status;

	d->options.flags |= LATZ_NO_THREAD;
	open_it(d);
	proc_start(&idle, stays_attached, d, false);
	assert_int_equal(waitpid(idle.pid, &status, WUNTRACED), idle.pid);
	assert_true(WIFSTOPPED(status));
	assert_ok(latz_persist(d->pool, NULL));
	elsewhere.dir = tempdir_make();
	assert_ok(latz_open("p", &elsewhere, &other));
	assert_ok(latz_exists(other, key_of("k")));
	proc_kill(&idle, SIGCONT);
	assert_int_equal(proc_wait(&idle, 20000), 0);
	assert_rc(LATZ_BUSY, latz_persist(d->pool, &d->options)); /* it is the other's now */
	assert_ok(latz_close(other));
	tempdir_remove(elsewhere.dir);
}

/* One pool at a time has a directory. */
static void one_pool_at_a_time(void **state)
{
	struct durable *d = *state;
	latz_options other = d->options;
	latz_pool *pool = NULL;

	open_it(d);
	other.dir = tempdir_make();
	assert_rc(LATZ_BUSY, latz_open("p", &other, &pool));
	tempdir_remove(other.dir);
}

static int count_bad(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int count = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL)
		count += strstr(entry->d_name, ".bad") != NULL;
	closedir(dir);
	return count;
}

/* Damage is named and changes nothing; who wants to start without it, says so. */
static void damaged(void **state)
{
	struct durable *d = *state;
	char path[4200];
	FILE *file;

	open_it(d);
	assert_ok(put(d->pool, "a", "1"));
	assert_ok(put(d->pool, "b", "2"));
	assert_ok(put(d->pool, "c", "3"));
	close_it(d);
	snprintf(path, sizeof path, "%s/p/wal-1.log", d->disk);
	file = fopen(path, "r+b");
	assert_non_null(file);
	assert_int_equal(fseek(file, 4096 + 70, SEEK_SET), 0); /* in the first frame; others say that it was synced */
	assert_int_equal(fputc(0x55, file), 0x55);
	assert_int_equal(fclose(file), 0);
	for (int i = 0; i < 2; i++) {
		assert_rc(LATZ_CORRUPT, latz_open("p", &d->options, &d->pool));
		assert_non_null(strstr(latz_error_detail(), "wal-1.log"));
		assert_non_null(strstr(latz_error_detail(), "offset 4096"));
	}
	latz_set_logger(NULL, NULL, LATZ_LOG_ERROR);
	d->options.flags |= LATZ_START_EMPTY;
	open_it(d);
	assert_int_equal(count_keys(d->pool), 0);
	snprintf(path, sizeof path, "%s/p", d->disk);
	assert_int_equal(count_bad(path), 1); /* set aside, not lost */
	assert_ok(put(d->pool, "new", "x"));
	close_it(d);
	open_it(d);
	is_text(d, "new", "x");
}

/* By hand: to a file, and another pool from it. */
static void snapshot_and_restore(void **state)
{
	struct durable *d = *state;
	latz_snapshot_options how = LATZ_SNAPSHOT_OPTIONS_INIT;
	latz_snapshot_info info = { .size = sizeof info };
	latz_options plain = d->options;
	char path[4200], key[16];

	plain.persist_dir = NULL;
	plain.sync = LATZ_SYNC_NONE;
	snprintf(path, sizeof path, "%s/file.lzs", d->disk);
	assert_ok(latz_open("p", &plain, &d->pool));
	for (int i = 0; i < 2000; i++) {
		snprintf(key, sizeof key, "k%d", i);
		assert_ok(put(d->pool, key, key));
	}
	assert_ok(latz_snapshot(d->pool, path, NULL));
	assert_ok(latz_snapshot_verify(path, NULL, &info));
	assert_int_equal(info.keys, 2000);
	assert_rc(LATZ_EXISTS, latz_restore(path, "p", &plain, NULL));
	assert_ok(put(d->pool, "k1", "newer"));
	close_it(d);
	assert_ok(latz_restore(path, "p", &plain, NULL));
	assert_ok(latz_open("p", &plain, &d->pool));
	is_text(d, "k1", "k1");
	assert_int_equal(count_keys(d->pool), 2000);
	assert_ok(put(d->pool, "k1", "newer"));
	assert_ok(verify_print(d->pool));
	how.flags = LATZ_RESTORE_REPLACE;
	plain.flags |= LATZ_KEEP;
	assert_ok(latz_restore(path, "p", &plain, &how));
	assert_rc(LATZ_DEAD, latz_exists(d->pool, key_of("k1")));
	assert_ok(latz_close(d->pool));
	assert_ok(latz_open("p", &plain, &d->pool));
	is_text(d, "k1", "k1");
	assert_ok(latz_destroy("p", &plain));
}

/* Fills the pool to the last record. The keys have eight bytes; how many they are. */
static unsigned fill_up(latz_pool *pool)
{
	static char value[10000];
	unsigned n = 0;
	char key[16];

	for (size_t size = sizeof value; size > 0; size /= 10) {
		int rc;

		do {
			snprintf(key, sizeof key, "key%05u", n);
			rc = latz_set(pool, key_of(key), (latz_slice){ value, size }, NULL);
			CHECK(rc == LATZ_OK || rc == LATZ_NOSPC);
			n += rc == LATZ_OK;
		} while (rc == LATZ_OK);
	}
	return n;
}

/* In a file system of its own, in a mount namespace of its own, which goes with the process. 77: that can't be had. */
static int deletes_without_room(void *arg)
{
	struct durable *d = arg;
	latz_options options = d->options;
	latz_pool *pool;
	char dir[4200];
	FILE *file;

	snprintf(dir, sizeof dir, "%s/full", d->dir);
	if (mkdir(dir, 0700) != 0 || unshare(CLONE_NEWNS) != 0 ||
	    mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount("latzero", dir, "tmpfs", 0, "size=4m") != 0)
		return 77;
	options.dir = dir;
	options.sync = LATZ_SYNC_NONE;
	options.flags |= LATZ_NO_GUARD | LATZ_NO_THREAD;
	CHECK_OK(latz_open("p", &options, &pool));
	snprintf(dir, sizeof dir, "%s/count", d->disk);
	file = fopen(dir, "w");
	CHECK(file != NULL && fprintf(file, "%u", fill_up(pool)) > 0 && fclose(file) == 0);
	CHECK_OK(del(pool, "key00000"));
	CHECK_OK(latz_sync_now(pool));
	raise(SIGKILL);
	return 1;
}

/* A delete needs no room in memory: it goes to the log directly then. */
static void delete_without_room(void **state)
{
	struct durable *d = *state;
	char path[4200];
	unsigned count = 0;
	FILE *file;
	int status = proc_run(deletes_without_room, d, 60000);

	if (status == 77) {
		print_message("no tmpfs of its own\n");
		return;
	}
	assert_int_equal(status, 128 + SIGKILL);
	snprintf(path, sizeof path, "%s/count", d->disk);
	file = fopen(path, "r");
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%u", &count), 1);
	fclose(file);
	open_it(d);
	assert_rc(LATZ_NOTFOUND, latz_exists(d->pool, key_of("key00000")));
	is_text(d, "key00001", "");
	assert_int_equal(count_keys(d->pool), count - 1);
	assert_true(count > 30);
}

static void *put_one(void *arg)
{
	struct durable *d = arg;

	CHECK_OK(put(d->pool, "by a thread", "x"));
	return NULL;
}

/* One thread after another takes the extent that the one before has left: what is in it is logged once all the same. */
static void logged_once(void **state)
{
	struct durable *d = *state;
	char path[4200], *bytes = check_alloc(1 << 20);
	unsigned count = 0;
	FILE *file;

	d->options.sync = LATZ_SYNC_NONE;
	d->options.flags |= LATZ_NO_THREAD;
	open_it(d);
	for (int i = 0; i < 20; i++) {
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, put_one, d), 0);
		assert_int_equal(pthread_join(thread, NULL), 0);
	}
	assert_ok(latz_sync_now(d->pool));
	snprintf(path, sizeof path, "%s/p/wal-1.log", d->disk);
	file = fopen(path, "rb");
	assert_non_null(file);
	assert_int_equal(fread(bytes, 1, 1 << 20, file), 1 << 20);
	fclose(file);
	for (char *at = bytes; (at = memmem(at, (size_t)(bytes + (1 << 20) - at), "by a thread", 11)) != NULL; at++)
		count++;
	assert_int_equal(count, 20);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DURABLE_TEST(comes_back),           DURABLE_TEST(killed),
		DURABLE_TEST(deleted_after_eviction),
		DURABLE_TEST(touched_outlives_its_first_deadline),
		DURABLE_TEST(durable_flag),         DURABLE_TEST(options_that_need_a_directory),
		DURABLE_TEST(attached_as_asked_or_not),
		DURABLE_TEST(persist_on_and_off),   DURABLE_TEST(one_pool_at_a_time),
		DURABLE_TEST(off_lets_the_directory_go),
		DURABLE_TEST(damaged),              DURABLE_TEST(snapshot_and_restore),
		DURABLE_TEST(delete_without_room),
		DURABLE_TEST(logged_once),
	};

	return suite_run(tests);
}
