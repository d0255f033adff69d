/*
 * A disk that is full under the audit log while a pool is made: what fails leaves nothing, and what is to be replaced
 * is there until the new one is. However much room is left, on file systems where it can be had before it is used, and
 * on others.
 */
#include "lib/suite.h"

#include "os/os.h"

#define MORE 6000 /* bytes within which a log is full before all of one restore stands in it */
#define STEP 311

struct full {
	struct fixture *f;
	struct lzi_os os;
	latz_options options;
	char dir[600], log[600], snapshot[600], persist[600];
};

static struct stat audit_log;
static off_t room_until; /* the log's size may be that; -1: anything */
static bool reserves;

static bool is_log(int fd, off_t end)
{
	struct stat st;

	return room_until >= 0 && fstat(fd, &st) == 0 && st.st_ino == audit_log.st_ino &&
	       st.st_dev == audit_log.st_dev && st.st_size + end > room_until;
}

static ssize_t writes_within(int fd, const void *data, size_t size)
{
	struct stat st;

	if (!is_log(fd, (off_t)size))
		return write(fd, data, size);
	if (fstat(fd, &st) == 0 && st.st_size < room_until)
		return write(fd, data, (size_t)(room_until - st.st_size));
	errno = ENOSPC;
	return -1;
}

static int allocates_within(int fd, int mode, off_t offset, off_t length)
{
	struct stat st;

	if (room_until < 0 || fstat(fd, &st) != 0 || st.st_ino != audit_log.st_ino || st.st_dev != audit_log.st_dev)
		return fallocate(fd, mode, offset, length);
	if (reserves && offset + length <= room_until)
		return 0;
	errno = reserves ? ENOSPC : EOPNOTSUPP;
	return -1;
}

static void no_more_than(const struct full *t, off_t more)
{
	assert_int_equal(stat(t->log, &audit_log), 0);
	room_until = more < 0 ? -1 : audit_log.st_size + more;
}

/* How often the log says this, whole as it is. */
static unsigned said(const struct full *t, const char *what)
{
	latz_audit_info info = { .size = sizeof info };
	size_t size;
	char *data = file_read(t->log, &size);
	unsigned n = 0;

	assert_ok(latz_audit_verify(t->log, NULL, &info));
	for (const char *at = data; (at = strstr(at, what)) != NULL; at++)
		n++;
	free(data);
	return n;
}

static int full_up(void **state)
{
	struct full *t = check_alloc(sizeof *t);
	struct fixture *f;
	int rc = fixture_up_dir(state);

	f = *state;
	memset(t, 0, sizeof *t);
	t->f = f;
	t->os = lzi_os;
	t->options = f->options;
	snprintf(t->dir, sizeof t->dir, "%s/run", f->dir);
	snprintf(t->log, sizeof t->log, "%s/the.audit", f->dir);
	snprintf(t->snapshot, sizeof t->snapshot, "%s/snap", f->dir);
	snprintf(t->persist, sizeof t->persist, "%s/persist", f->dir);
	t->options.dir = t->dir;
	t->options.audit = t->log;
	t->options.flags = LATZ_CREATE | LATZ_KEEP | LATZ_NO_THREAD | LATZ_NO_GUARD;
	room_until = -1;
	lzi_os.write = writes_within;
	lzi_os.fallocate = allocates_within;
	*state = t;
	return rc;
}

static int full_down(void **state)
{
	struct full *t = *state;

	lzi_os = t->os;
	*state = t->f;
	free(t);
	return fixture_down(state);
}

static int count_one(const latz_pool_info *info, void *arg)
{
	(void)info;
	++*(int *)arg;
	return 0;
}

static int pools(const struct full *t)
{
	int n = 0;

	assert_ok(latz_list(t->dir, count_one, &n));
	return n;
}

static latz_pool *make(const struct full *t, const char *name, const char *value)
{
	latz_pool *pool;

	assert_ok(latz_open(name, &t->options, &pool));
	assert_ok(put(pool, "k", value));
	return pool;
}

static void check_value(const struct full *t, const char *name, const char *value)
{
	latz_options options = t->options;
	latz_value got = LATZ_VALUE_INIT;
	latz_pool *pool;

	options.flags &= ~(unsigned)LATZ_CREATE;
	assert_ok(latz_open(name, &options, &pool));
	assert_ok(latz_get(pool, key_of("k"), &got));
	assert_int_equal(got.size, strlen(value));
	assert_memory_equal(got.data, value, got.size);
	latz_value_free(&got);
	assert_ok(latz_close(pool));
}

/* The snapshot has the value "new". */
static void make_snapshot(const struct full *t)
{
	latz_pool *pool = make(t, "source", "new");

	assert_ok(latz_snapshot(pool, t->snapshot, NULL));
	assert_ok(latz_close(pool));
	assert_ok(latz_destroy("source", &t->options));
}

/* ---- Making ---- */

static void a_pool_not_made_is_not_there(void **state)
{
	struct full *t = *state;
	unsigned done = 0, failed = 0;
	latz_pool *pool;

	make_snapshot(t);
	for (int i = 0; i < 4; i++) {
		reserves = i & 1;
		t->options.persist_dir = i & 2 ? t->persist : NULL;
		for (off_t more = 0; more < MORE; more += STEP) {
			no_more_than(t, more);
			int rc = latz_open("t", &t->options, &pool);
			if (rc == LATZ_OK) {
				no_more_than(t, -1);
				assert_ok(latz_close(pool));
				assert_int_equal(pools(t), 1);
				assert_ok(latz_destroy("t", &t->options));
				done++;
			} else {
				assert_int_equal(rc, LATZ_NOSPC);
				assert_non_null(strstr(latz_error_detail(), t->log));
				assert_int_equal(pools(t), 0);
				no_more_than(t, -1);
				failed++;
			}
		}
	}
	assert_true(done > 0 && failed > 0);
	assert_true(said(t, "\"event\":\"create\"") >= done);
}

static void a_pool_not_restored_is_not_there(void **state)
{
	struct full *t = *state;
	unsigned done = 0, failed = 0;

	make_snapshot(t);
	for (int i = 0; i < 2; i++) {
		reserves = i == 1;
		for (off_t more = 0; more < MORE; more += STEP) {
			no_more_than(t, more);
			int rc = latz_restore(t->snapshot, "t", &t->options, NULL);
			no_more_than(t, -1);
			if (rc == LATZ_OK) {
				check_value(t, "t", "new");
				assert_ok(latz_destroy("t", &t->options));
				done++;
			} else {
				assert_int_equal(rc, LATZ_NOSPC);
				assert_int_equal(pools(t), 0);
				failed++;
			}
		}
	}
	assert_true(done > 0 && failed > 0);
}

/* ---- Replacing ---- */

/* Either the old one is there, and it is told why, or the new one is. */
static void what_is_replaced_is_not_lost(void **state)
{
	struct full *t = *state;
	latz_snapshot_options replace = LATZ_SNAPSHOT_OPTIONS_INIT;
	unsigned done = 0, failed = 0;

	replace.flags = LATZ_RESTORE_REPLACE;
	make_snapshot(t);
	for (int i = 0; i < 4; i++) {
		reserves = i & 1;
		for (off_t more = 0; more < MORE; more += STEP) {
			latz_options options = t->options;
			latz_pool *old = make(t, "t", "old"), *pool;

			options.flags &= i & 2 ? ~(unsigned)LATZ_KEEP : ~0u;
			no_more_than(t, more);
			int rc = latz_restore(t->snapshot, "t", &options, &replace);
			if (rc == LATZ_OK && (options.flags & LATZ_KEEP) == 0) {
				no_more_than(t, -1);
				assert_ok(latz_open("t", &options, &pool));
				check_value(t, "t", "new");
				assert_ok(latz_close(pool));
				assert_int_equal(pools(t), 0);
				done++;
			} else {
				no_more_than(t, -1);
				assert_true(rc == LATZ_OK || rc == LATZ_NOSPC);
				check_value(t, "t", rc == LATZ_OK ? "new" : "old");
				assert_ok(latz_destroy("t", &t->options));
				done += rc == LATZ_OK;
				failed += rc != LATZ_OK;
			}
			assert_ok(latz_close(old));
			assert_int_equal(pools(t), 0);
		}
	}
	assert_true(done > 0 && failed > 0);
}

/* Where room can be had before it is used, nothing of it is missing. */
static void nothing_is_missing_of_what_was_replaced(void **state)
{
	struct full *t = *state;
	latz_snapshot_options replace = LATZ_SNAPSHOT_OPTIONS_INIT;
	latz_pool *old = make(t, "t", "old");
	off_t more = 0;
	int rc;

	replace.flags = LATZ_RESTORE_REPLACE;
	make_snapshot(t);
	reserves = true;
	do {
		more += 1000;
		no_more_than(t, more);
		rc = latz_restore(t->snapshot, "t", &t->options, &replace);
	} while (rc == LATZ_NOSPC && more < 1000000);
	assert_ok(rc);
	no_more_than(t, -1);
	assert_ok(latz_close(old));
	check_value(t, "t", "new");
	assert_int_equal(said(t, "\"event\":\"restore\""), 1);
	assert_int_equal(said(t, "\"event\":\"lost\""), 0);
	assert_int_equal(said(t, "\"event\":\"destroy\""), 2);
}

#define FULL_TEST(fn) cmocka_unit_test_setup_teardown(fn, full_up, full_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FULL_TEST(a_pool_not_made_is_not_there),
		FULL_TEST(a_pool_not_restored_is_not_there),
		FULL_TEST(what_is_replaced_is_not_lost),
		FULL_TEST(nothing_is_missing_of_what_was_replaced),
	};

	latz_set_logger(NULL, NULL, LATZ_LOG_NONE); /* that something is not written down is what this is about */
	return suite_run(tests);
}
