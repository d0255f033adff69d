/*
 * Deaths at every named step of latz_restore() from a snapshot: the pool is there whole or not at all, so is what is in
 * the persist directory, and another restore works as if nothing had been.
 */
#include "../../src/base/point.h"
#include "lib/suite.h"

#include <dirent.h>

#define KEYS 300
#define KILLED (128 + SIGKILL)

struct durable {
	const char *dir, *disk;
	latz_options options;
	latz_snapshot_options how;
	char snapshot[300];
	const char *point; /* at which the child dies */
};

static int up(void **state)
{
	static struct durable d;
	latz_pool *pool;
	char key[16];

	memset(&d, 0, sizeof d);
	d.dir = tempdir_make();
	d.disk = tempdir_make();
	d.options = (latz_options)LATZ_OPTIONS_INIT;
	d.how = (latz_snapshot_options)LATZ_SNAPSHOT_OPTIONS_INIT;
	d.options.dir = d.dir;
	d.options.flags = LATZ_CREATE | LATZ_KEEP | LATZ_NO_THREAD | LATZ_NO_GUARD;
	snprintf(d.snapshot, sizeof d.snapshot, "%s/s.lzs", d.disk);
	CHECK_OK(latz_open("source", &d.options, &pool));
	for (int i = 0; i < KEYS; i++) {
		snprintf(key, sizeof key, "k%d", i);
		CHECK_OK(put(pool, key, key));
	}
	CHECK_OK(latz_snapshot(pool, d.snapshot, NULL));
	CHECK_OK(latz_close(pool));
	CHECK_OK(latz_destroy("source", &d.options));
	*state = &d;
	return 0;
}

static int down(void **state)
{
	struct durable *d = *state;

	tempdir_remove(d->dir);
	tempdir_remove(d->disk);
	return 0;
}

static int dies(void *arg)
{
	struct durable *d = arg;

	lzi_point_arm(d->point, 1, LZI_POINT_KILL);
	CHECK_OK(latz_restore(d->snapshot, "p", &d->options, &d->how));
	return 0;
}

static void is_whole(latz_pool *pool)
{
	latz_value value = LATZ_VALUE_INIT;
	char key[16];

	assert_int_equal(count_keys(pool), KEYS);
	for (int i = 0; i < KEYS; i++) {
		snprintf(key, sizeof key, "k%d", i);
		assert_ok(latz_get(pool, key_of(key), &value));
		assert_string_equal(value.data, key);
	}
	latz_value_free(&value);
	assert_ok(verify_print(pool));
}

/* What is there under the name: whole, old (one key), or nothing. */
enum there { NOTHING, OLD, WHOLE };

static enum there look(const struct durable *d)
{
	latz_options options = d->options;
	enum there there = OLD;
	latz_pool *pool;
	int rc;

	options.flags &= ~(unsigned)LATZ_CREATE;
	rc = latz_open("p", &options, &pool);
	if (rc == LATZ_NOTFOUND)
		return NOTHING;
	assert_ok(rc);
	if (latz_exists(pool, key_of("old")) == LATZ_NOTFOUND) {
		is_whole(pool);
		there = WHOLE;
	}
	assert_ok(latz_close(pool));
	return there;
}

static void death_of(struct durable *d, const char *point, enum there expected)
{
	d->point = point;
	assert_int_equal(proc_run(dies, d, 30000), KILLED);
	if (look(d) != expected)
		fail_msg("%s: %d, not %d", point, (int)look(d), (int)expected);
}

static void into_memory(void **state)
{
	static const char *const before[] = { "create.header", "restore.loaded", "fill.done", "create.before_rename" };
	static const char *const after[] = { "create.renamed", "attach.client", "restore.published" };
	struct durable *d = *state;

	for (size_t i = 0; i < ARRAY_LEN(before); i++)
		death_of(d, before[i], NOTHING);
	for (size_t i = 0; i < ARRAY_LEN(after); i++) {
		death_of(d, after[i], WHOLE);
		assert_ok(latz_destroy("p", &d->options));
	}
	assert_ok(latz_restore(d->snapshot, "p", &d->options, NULL));
	assert_int_equal(look(d), WHOLE);
	assert_ok(latz_sweep(d->dir, NULL));
	assert_int_equal(tempdir_entries(d->dir), 1); /* what the dead left is gone */
}

static void make_old(const struct durable *d)
{
	latz_pool *pool;

	assert_ok(latz_open("p", &d->options, &pool));
	assert_ok(put(pool, "old", "x"));
	assert_ok(latz_close(pool));
}

/* The old pool stays until the new one is whole; between the two there may be none. */
static void in_place_of_another(void **state)
{
	static const struct {
		const char *point;
		enum there there;
	} deaths[] = {
		{ "restore.loaded", OLD },       { "fill.done", OLD },           { "remove.marked", NOTHING },
		{ "create.replaced", NOTHING },  { "create.before_rename", NOTHING }, { "create.renamed", WHOLE },
		{ "restore.published", WHOLE },
	};
	struct durable *d = *state;

	d->how.flags = LATZ_RESTORE_REPLACE;
	for (size_t i = 0; i < ARRAY_LEN(deaths); i++) {
		make_old(d);
		death_of(d, deaths[i].point, deaths[i].there);
		if (deaths[i].there != NOTHING)
			assert_ok(latz_destroy("p", &d->options));
	}
	make_old(d);
	assert_ok(latz_restore(d->snapshot, "p", &d->options, &d->how));
	assert_int_equal(look(d), WHOLE);
}

static void remove_files(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;

	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] != '.')
			assert_int_equal(unlinkat(dirfd(dir), entry->d_name, 0), 0);
	}
	closedir(dir);
}

/* The disk has all of it from the moment that the directory's own snapshot has its name. */
static void into_a_directory(void **state)
{
	static const struct {
		const char *point;
		enum there there;
	} deaths[] = {
		{ "restore.loaded", NOTHING },      { "snapshot.written", NOTHING }, { "snapshot.synced", NOTHING },
		{ "snapshot.renamed", WHOLE },      { "restore.snapshot", WHOLE },   { "warm.begun", WHOLE },
		{ "restore.persisted", WHOLE },     { "fill.done", WHOLE },          { "create.before_rename", WHOLE },
		{ "create.renamed", WHOLE },        { "restore.published", WHOLE },
	};
	struct durable *d = *state;
	static char persist[320];
	char pool[330];

	d->options.flags &= ~(unsigned)LATZ_KEEP;
	snprintf(persist, sizeof persist, "%s/persist", d->disk);
	snprintf(pool, sizeof pool, "%s/p", persist);
	d->options.persist_dir = persist;
	for (size_t i = 0; i < ARRAY_LEN(deaths); i++) {
		death_of(d, deaths[i].point, deaths[i].there);
		/* As it is: nothing there is no hindrance, a whole pool is not written over. */
		assert_rc(deaths[i].there == WHOLE ? LATZ_EXISTS : LATZ_OK,
		          latz_restore(d->snapshot, "p", &d->options, NULL));
		if (deaths[i].there != WHOLE) {
			latz_pool *held;

			assert_ok(latz_open("p", &d->options, &held));
			is_whole(held);
			assert_ok(latz_close(held));
		}
		(void)!latz_destroy("p", &d->options);
		remove_files(pool);
	}
}

/* ---- A start that sets aside what can't be restored, and begins empty ---- */

static int starts_empty(void *arg)
{
	struct durable *d = arg;
	latz_pool *pool;

	latz_set_logger(NULL, NULL, LATZ_LOG_ERROR);
	d->options.flags |= LATZ_START_EMPTY;
	if (d->point != NULL)
		lzi_point_arm(d->point, 1, LZI_POINT_KILL);
	CHECK_OK(latz_open("p", &d->options, &pool));
	CHECK(latz_exists(pool, key_of("k0")) == LATZ_NOTFOUND && latz_exists(pool, key_of("late")) == LATZ_NOTFOUND);
	CHECK_OK(latz_close(pool));
	return 0;
}

static unsigned count_bad(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	unsigned count = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL)
		count += strstr(entry->d_name, ".bad") != NULL;
	closedir(dir);
	return count;
}

static void flip_snapshot(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	char byte;
	int fd;

	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL && strncmp(entry->d_name, "snapshot-", 9) != 0)
		;
	assert_non_null(entry);
	fd = openat(dirfd(dir), entry->d_name, O_RDWR | O_CLOEXEC);
	assert_true(pread(fd, &byte, 1, 200) == 1);
	byte ^= 1;
	assert_true(pwrite(fd, &byte, 1, 200) == 1);
	close(fd);
	closedir(dir);
}

/* The log without its snapshot must not pass for the pool. */
static void while_setting_aside(void **state)
{
	struct durable *d = *state;
	static char persist[320];
	char path[330];
	latz_pool *pool;

	latz_set_logger(NULL, NULL, LATZ_LOG_ERROR);
	d->options.flags &= ~(unsigned)LATZ_KEEP;
	snprintf(persist, sizeof persist, "%s/persist", d->disk);
	snprintf(path, sizeof path, "%s/p", persist);
	d->options.persist_dir = persist;
	assert_ok(latz_restore(d->snapshot, "p", &d->options, NULL));
	assert_ok(latz_open("p", &d->options, &pool));
	assert_ok(put(pool, "late", "x"));
	assert_ok(latz_close(pool));
	flip_snapshot(path);
	d->point = "aside.renamed";
	assert_int_equal(proc_run(starts_empty, d, 20000), KILLED);
	assert_int_equal(count_bad(path), 1);
	assert_rc(LATZ_CORRUPT, latz_open("p", &d->options, &pool));
	d->point = "aside.done";
	assert_int_equal(proc_run(starts_empty, d, 20000), KILLED);
	d->point = NULL;
	assert_int_equal(proc_run(starts_empty, d, 20000), 0);
	assert_true(count_bad(path) >= 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(into_memory, up, down),
		cmocka_unit_test_setup_teardown(in_place_of_another, up, down),
		cmocka_unit_test_setup_teardown(into_a_directory, up, down),
		cmocka_unit_test_setup_teardown(while_setting_aside, up, down),
	};

	return suite_run(tests);
}
