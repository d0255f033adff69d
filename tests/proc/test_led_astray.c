/*
 * A pool leads whoever opens it to files elsewhere: its log, its audit log. Another user's pool, which root opens,
 * leads root only to where that user could have gone himself, whatever he has written into it.
 */
#include "lib/suite.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "format/audit.h"
#include "format/control.h"

#define STRANGER 65534
#define SHARED 4096 /* struct lzi_shared in the file `pool` */

struct places {
	char theirs[300], disk[300], mine[300]; /* of the stranger: runtime and persist directory; root's */
	int audited;
};

static void become_stranger(void)
{
	CHECK(setgroups(0, NULL) == 0);
	CHECK(setgid(STRANGER) == 0);
	CHECK(setuid(STRANGER) == 0);
}

static latz_options options_of(const struct places *places)
{
	latz_options options = LATZ_OPTIONS_INIT;

	options.dir = places->theirs;
	options.flags = LATZ_NO_GUARD | LATZ_NO_THREAD;
	return options;
}

static int makes_a_pool(void *arg)
{
	struct places *places = arg;
	latz_options options = options_of(places);
	latz_pool *pool;

	become_stranger();
	options.flags |= LATZ_CREATE | LATZ_KEEP;
	if (places->audited)
		options.audit = places->disk;
	else
		options.persist_dir = places->disk;
	CHECK_OK(latz_open("t", &options, &pool));
	CHECK_OK(put(pool, "key", "value"));
	CHECK_OK(latz_close(pool));
	return 0;
}

/* Writes root's directory where the pool says where its log is. */
static int rewrites_it(void *arg)
{
	struct places *places = arg;
	char path[400], to[LZI_PERSIST_PATH_MAX] = "";
	struct lzi_audit_page page;
	uint32_t crc;
	int fd;

	become_stranger();
	snprintf(path, sizeof path, "%s/t/%s", places->theirs, places->audited ? "audit" : "pool");
	fd = open(path, O_RDWR);
	CHECK(fd >= 0);
	if (places->audited) {
		CHECK(pread(fd, &page, sizeof page, 0) == sizeof page);
		memset(page.path, 0, sizeof page.path);
		snprintf(page.path, sizeof page.path, "%s/t.audit", places->mine);
		crc = lzi_crc32c(0, &page.what, sizeof page.what);
		crc = lzi_crc32c(crc, page.secret, sizeof page.secret);
		page.crc = lzi_crc32c(crc, page.path, sizeof page.path);
		CHECK(pwrite(fd, &page, sizeof page, 0) == sizeof page);
	} else {
		snprintf(to, sizeof to, "%s", places->mine);
		CHECK(pwrite(fd, to, sizeof to, SHARED + offsetof(struct lzi_shared, log.path)) == sizeof to);
	}
	close(fd);
	return 0;
}

static void make_places(struct fixture *f, struct places *places)
{
	snprintf(places->theirs, sizeof places->theirs, "%s/theirs", f->dir);
	snprintf(places->disk, sizeof places->disk, "%s/disk", f->dir);
	snprintf(places->mine, sizeof places->mine, "%s/mine", f->dir);
	assert_int_equal(chmod(f->dir, 0755), 0);
	assert_int_equal(mkdir(places->theirs, 0700) | chown(places->theirs, STRANGER, STRANGER), 0);
	assert_int_equal(mkdir(places->disk, 0700) | chown(places->disk, STRANGER, STRANGER), 0);
	assert_int_equal(mkdir(places->mine, 0700), 0);
}

static void a_log_of_roots(void **state)
{
	struct fixture *f = *state;
	struct places places = { .audited = 0 };
	latz_options options;
	char lock[320];
	latz_pool *pool;
	int fd, rc;

	if (geteuid() != 0)
		skip(); /* only root opens others' pools to write */
	make_places(f, &places);
	assert_int_equal(proc_run(makes_a_pool, &places, 20000), 0);
	options = options_of(&places);
	assert_ok(latz_open("t", &options, &pool)); /* as it should be */
	assert_ok(put(pool, "key", "by root"));
	assert_ok(latz_sync_now(pool));
	assert_ok(latz_close(pool));
	/* It looks like a log's directory. */
	snprintf(lock, sizeof lock, "%s/lock", places.mine);
	fd = open(lock, O_RDWR | O_CREAT, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(proc_run(rewrites_it, &places, 20000), 0);
	rc = latz_open("t", &options, &pool);
	if (rc == LATZ_OK) {
		(void)!put(pool, "key", "again");
		assert_true(latz_sync_now(pool) != LATZ_OK);
		(void)!latz_close(pool);
	}
	assert_int_equal(tempdir_entries(places.mine), 1);
	(void)!latz_destroy("t", &options);
}

static void an_audit_log_of_roots(void **state)
{
	struct fixture *f = *state;
	struct places places = { .audited = 1 };
	latz_options options;
	latz_pool *pool;

	if (geteuid() != 0)
		skip();
	make_places(f, &places);
	assert_int_equal(proc_run(makes_a_pool, &places, 20000), 0);
	options = options_of(&places);
	assert_ok(latz_open("t", &options, &pool));
	assert_ok(latz_close(pool));
	assert_int_equal(proc_run(rewrites_it, &places, 20000), 0);
	assert_int_equal(latz_open("t", &options, &pool), LATZ_ACCESS);
	assert_int_equal(tempdir_entries(places.mine), 0);
	(void)!latz_destroy("t", &options);
	assert_int_equal(tempdir_entries(places.mine), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIR_TEST(a_log_of_roots),
		DIR_TEST(an_audit_log_of_roots),
	};

	return suite_run(tests);
}
