/*
 * What others can still do while a process is stopped, or after it died, holding something they would like to have; and
 * what they are told where they can't.
 */
#include "config.h"

#include "base/point.h"
#include "os/os.h"
#include "lib/suite.h"

#include <errno.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define TIMEOUT_MS 20000

static uint64_t heap_blocks(struct fixture *f)
{
	char path[4096];
	struct stat st;

	snprintf(path, sizeof path, "%s/t/heap", f->dir);
	assert_int_equal(stat(path, &st), 0);
	return (uint64_t)st.st_blocks;
}

static int put_large(latz_pool *pool, const char *key)
{
	static char value[60000];

	return latz_set(pool, key_of(key), (latz_slice){ value, sizeof value }, NULL);
}

/* ---- New threads, while a process is stopped at a slot ---- */

struct reader {
	latz_pool *pool;
	uint64_t took_ms;
};

static void *reads(void *arg)
{
	struct reader *reader = arg;
	latz_value value = LATZ_VALUE_INIT;
	uint64_t begin = clock_ns();

	CHECK_OK(latz_get(reader->pool, key_of("k"), &value));
	reader->took_ms = (clock_ns() - begin) / 1000000;
	latz_value_free(&value);
	return NULL;
}

static const char *stop_at;

static int stops_attaching(void *arg)
{
	lzi_point_arm(stop_at, 1, LZI_POINT_STOP);
	(void)fixture_attach(arg);
	return 0;
}

/* attach.slot_taken is passed with the mutex `slots` held, actor.claimed with a thread's slot just taken. */
static void a_new_thread_reads_while_a_process_is_stopped_at_its_slot(void **state)
{
	static const char *const points[] = { "attach.slot_taken", "actor.claimed", "actor.alive" };
	struct fixture *f = *state;
	struct reader reader[5];
	pthread_t thread[5];
	struct proc stopped;

	f->options.timeout_ms = TIMEOUT_MS;
	reader[0].pool = fixture_attach(f);
	assert_ok(put(reader[0].pool, "k", "v"));
	for (unsigned i = 0; i < sizeof points / sizeof *points; i++) {
		stop_at = points[i];
		proc_start(&stopped, stops_attaching, f, false);
		proc_wait_stopped(&stopped);
		for (int j = 0; j < 5; j++) {
			reader[j].pool = reader[0].pool;
			assert_int_equal(pthread_create(&thread[j], NULL, reads, &reader[j]), 0);
		}
		for (int j = 0; j < 5; j++) {
			assert_int_equal(pthread_join(thread[j], NULL), 0);
			assert_in_range(reader[j].took_ms, 0, TIMEOUT_MS / 2);
		}
		assert_int_equal(proc_continue(&stopped), 0);
	}
	assert_ok(latz_close(reader[0].pool));
}

/* ---- A reaper that is in no call ---- */

static int dies_cleaning(void *arg)
{
	latz_pool *pool = fixture_attach(arg);

	lzi_point_arm("set.old_dead", 1, LZI_POINT_KILL);
	(void)!latz_maintain(pool, 0);
	return 1;
}

static int stops_reaping(void *arg)
{
	latz_pool *pool = fixture_attach(arg);

	lzi_point_arm("reap.begun", 1, LZI_POINT_STOP);
	(void)!latz_maintain(pool, 0);
	return 0;
}

/* A writer fills 10 extents with records that it overwrites, and leaves. One cleans and dies with the only other record
 * half moved; one who would mend that is stopped before he looks at where the record was. That must not be punched. */
static int fills(void *arg)
{
	latz_pool *pool = fixture_attach(arg);

	CHECK_OK(put(pool, "k", "v"));
	for (int i = 0; i < 40; i++)
		CHECK_OK(put_large(pool, "other"));
	CHECK_OK(latz_close(pool));
	return 0;
}

static void nothing_is_punched_under_a_reaper(void **state)
{
	struct fixture *f = *state;
	struct proc reaper;
	latz_pool *pool;
	uint64_t before;

	f->options.timeout_ms = 200;
	pool = fixture_attach(f);
	assert_int_equal(proc_run(fills, f, 20000), 0);
	assert_int_equal(proc_run(dies_cleaning, f, 20000), 128 + SIGKILL);
	proc_start(&reaper, stops_reaping, f, false);
	proc_wait_stopped(&reaper);
	before = heap_blocks(f);
	for (int i = 0; i < 3; i++)
		(void)!latz_maintain(pool, 0);
	assert_int_equal(heap_blocks(f), before);
	assert_int_equal(proc_continue(&reaper), 0);
	assert_true(maintain_all(pool));
	assert_true(maintain_all(pool));
	assert_true(heap_blocks(f) < before);
	assert_ok(latz_get(pool, key_of("k"), &f->value));
	assert_ok(verify_print(pool));
	assert_ok(latz_close(pool));
}

/* ---- Who counts the keys is stopped as he begins ---- */

static int stops_counting(void *arg)
{
	latz_pool *pool = fixture_attach(arg);

	lzi_point_arm("recount.begin", 1, LZI_POINT_STOP);
	CHECK_OK(latz_maintain(pool, 0));
	CHECK_OK(latz_close(pool)); /* a death would have them counted again */
	return 0;
}

/* The heap grows meanwhile: what is in it by then is counted. */
static void a_count_that_is_late_has_all_keys(void **state)
{
	latz_stats_t stats = { .size = sizeof stats };
	struct fixture *f = *state;
	struct proc counter;
	latz_pool *pool;
	char name[32];

	f->options.flags = LATZ_CREATE | LATZ_KEEP | LATZ_NO_THREAD;
	assert_ok(latz_open("t", &f->options, &pool));
	assert_ok(put(pool, "k", "v"));
	assert_ok(latz_close(pool));
	pool = fixture_attach(f); /* alone: so the keys are to be counted */
	proc_start(&counter, stops_counting, f, false);
	proc_wait_stopped(&counter);
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof name, "key%d", i);
		assert_ok(put_large(pool, name));
	}
	assert_int_equal(proc_continue(&counter), 0);
	assert_ok(verify_print(pool));
	assert_ok(latz_stats(pool, &stats));
	assert_int_equal(stats.keys, 101);
	assert_ok(latz_close(pool));
	assert_ok(latz_destroy("t", &f->options));
}

/* ---- The first who finds the heap's holder dead has no address space to look ---- */

static void *no_mmap(void *address, size_t size, int prot, int flags, int fd, off_t offset)
{
	(void)address, (void)size, (void)prot, (void)flags, (void)fd, (void)offset;
	errno = ENOMEM;
	return MAP_FAILED;
}

static int grows_and_dies(void *arg)
{
	latz_pool *pool = fixture_attach(arg);
	static char value[1 << 20];
	char name[32];

	/* Past the first view, which is 64 MiB; then one who frees a run, half. */
	for (int i = 0; i < 80; i++) {
		snprintf(name, sizeof name, "key%d", i);
		CHECK_OK(latz_set(pool, key_of(name), (latz_slice){ value, sizeof value }, NULL));
	}
	CHECK_OK(latz_delete(pool, key_of("key3")));
	lzi_point_arm("free.cleared", 2, LZI_POINT_KILL);
	(void)!latz_maintain(pool, 0);
	return 1;
}

static void the_heap_is_mended_by_a_later_holder_if_the_first_could_not(void **state)
{
	struct fixture *f = *state;
	void *(*real)(void *, size_t, int, int, int, off_t) = lzi_os.mmap;
	latz_pool *pool = fixture_attach(f);

	assert_int_equal(proc_run(grows_and_dies, f, 60000), 128 + SIGKILL);
	lzi_os.mmap = no_mmap;
	assert_int_not_equal(put_large(pool, "mine"), LATZ_OK);
	lzi_os.mmap = real;
	assert_ok(put_large(pool, "mine"));
	assert_ok(latz_clear(pool));
	assert_true(maintain_all(pool));
	assert_ok(verify_print(pool)); /* bodies that nobody mended would be parts of no run */
	assert_ok(latz_close(pool));
}

/* ---- A bucket's chain must be lengthened and the disk is full ---- */

static bool disk_full;
static int (*real_fallocate)(int fd, int mode, off_t offset, off_t length);

static int maybe_full(int fd, int mode, off_t offset, off_t length)
{
	if (disk_full && mode == 0) {
		errno = ENOSPC;
		return -1;
	}
	return real_fallocate(fd, mode, offset, length);
}

static void an_insert_cleans_for_a_longer_chain(void **state)
{
	struct fixture *f = *state;
	latz_pool *pool = fixture_attach(f);
	char name[32];

	real_fallocate = lzi_os.fallocate;
	lzi_os.fallocate = maybe_full;
	/* Four fill an extent; overwritten, they leave it dead and the next one open, with room for small ones. */
	for (int i = 0; i < 8; i++) {
		snprintf(name, sizeof name, "large%d", i % 4);
		assert_ok(put_large(pool, name));
	}
	disk_full = true;
	/* One bucket, for want of the sixteen inserts after which a thread looks whether the table should grow. */
	for (int i = 0; i < 8; i++) {
		snprintf(name, sizeof name, "small%d", i);
		assert_ok(put(pool, name, "v"));
	}
	disk_full = false;
	lzi_os.fallocate = real_fallocate;
	assert_ok(verify_print(pool));
	assert_ok(latz_close(pool));
}

/* ---- Destroying that does not come to its end ---- */

static int stops_destroying(void *arg)
{
	struct fixture *f = arg;

	lzi_point_arm("remove.locked", 1, LZI_POINT_STOP);
	CHECK_OK(latz_destroy("t", &f->options));
	return 0;
}

static int no_rename(int olddir, const char *old, int newdir, const char *name)
{
	(void)olddir, (void)old, (void)newdir, (void)name;
	errno = EROFS;
	return -1;
}

static void destroy_tells_that_it_did_not(void **state)
{
	int (*real)(int, const char *, int, const char *) = lzi_os.renameat;
	struct fixture *f = *state;
	latz_pool *pool = fixture_attach(f);
	struct proc stopped;

	lzi_os.renameat = no_rename;
	assert_int_not_equal(latz_destroy("t", &f->options), LATZ_OK);
	lzi_os.renameat = real;
	proc_start(&stopped, stops_destroying, f, false);
	proc_wait_stopped(&stopped);
	assert_rc(LATZ_BUSY, latz_destroy("t", &f->options));
	assert_int_equal(proc_continue(&stopped), 0);
	assert_rc(LATZ_NOTFOUND, latz_destroy("t", &f->options));
	assert_ok(latz_close(pool));
}

/* ---- No inotify for the guard ---- */

static bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok;
}

/* 2: the kernel gives this user no namespace in which watches are used up. */
static int dies_guarded_without_watches(void *arg)
{
	struct fixture *f = arg;
	latz_pool *pool;
	char map[64];

	snprintf(map, sizeof map, "%u %u 1", (unsigned)getuid(), (unsigned)getuid());
	if (unshare(CLONE_NEWUSER) != 0 || !write_text("/proc/self/uid_map", map) ||
	    !write_text("/proc/sys/user/max_inotify_instances", "0"))
		return 2;
	f->options.flags = LATZ_CREATE | LATZ_NO_THREAD;
	CHECK_OK(latz_open("t", &f->options, &pool));
	sleep_ms(300); /* the guard's time to begin */
	raise(SIGKILL);
	return 1;
}

static void the_guard_does_without_watches(void **state)
{
	struct fixture *f = *state;
	char path[4096];
	int i, rc = proc_run(dies_guarded_without_watches, f, 20000);

	if (rc == 2)
		skip();
	assert_int_equal(rc, 128 + SIGKILL);
	snprintf(path, sizeof path, "%s/t", f->dir);
	for (i = 0; i < 500 && access(path, F_OK) == 0; i++)
		sleep_ms(10);
	assert_int_not_equal(access(path, F_OK), 0);
	snprintf(path, sizeof path, "%s/.guard", f->dir);
	for (i = 0; i < 500 && access(path, F_OK) == 0; i++)
		sleep_ms(10);
}

/* ---- What the index's first pages say is looked at before LMDB believes it ---- */

struct damage {
	off_t offset; /* in both of LMDB's meta pages */
	uint64_t value;
	size_t size;
};

static int opens_and_scans(void *arg)
{
	struct fixture *f = arg;
	latz_pool *pool;
	latz_slice key;
	latz_scan *scan;
	int rc = latz_open("t", &f->options, &pool);

	if (rc == LATZ_OK)
		rc = put(pool, "new", "v");
	if (rc == LATZ_OK)
		rc = latz_scan_open(pool, NULL, &scan);
	/* The keys come from the table then, and at their end it is told. */
	for (int keys = 0; rc == LATZ_OK; keys++) {
		rc = latz_scan_next(scan, &key, NULL);
		if (rc != LATZ_OK && (keys < 1000 || key.size != 0))
			return 1;
	}
	return rc == LATZ_CORRUPT ? 0 : 1;
}

static void a_damaged_index_is_an_error(void **state)
{
	static const struct damage damages[] = {
		{ 10, 1, 2 },         /* flags of the page */
		{ 40, 8192, 4 },      /* bytes a page */
		{ 40, 4097, 4 },      /* the same, no power of two */
		{ 92, 4, 2 },         /* several values a key */
		{ 128, 1u << 20, 8 }, /* root */
		{ 94, 1000, 2 },      /* depth */
	};
	struct fixture *f = *state;
	char path[4096], name[32], bytes[8192];
	latz_scan *scan;
	latz_pool *pool;
	int fd;

	f->options.flags = LATZ_CREATE | LATZ_KEEP | LATZ_NO_THREAD;
	assert_ok(latz_open("t", &f->options, &pool));
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof name, "key%d", i);
		assert_ok(put(pool, name, "v"));
	}
	assert_ok(latz_scan_open(pool, NULL, &scan));
	assert_ok(latz_scan_close(scan));
	assert_ok(latz_close(pool));
	snprintf(path, sizeof path, "%s/t/index/data.mdb", f->dir);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(pread(fd, bytes, sizeof bytes, 0), sizeof bytes);
	for (unsigned i = 0; i < sizeof damages / sizeof *damages; i++) {
		const struct damage *d = &damages[i];

		for (int page = 0; page < 2; page++)
			assert_int_equal(pwrite(fd, &d->value, d->size, page * 4096 + d->offset), d->size);
		assert_int_equal(proc_run(opens_and_scans, f, 20000), 0);
		assert_int_equal(pwrite(fd, bytes, sizeof bytes, 0), sizeof bytes);
	}
	close(fd);
	assert_ok(latz_open("t", &f->options, &pool));
	assert_int_equal(count_keys(pool), 1001); /* the one that was set before a scan told */
	assert_ok(latz_close(pool));
	assert_ok(latz_destroy("t", &f->options));
}

/* ---- A verifier, while others write ---- */

#define RUNS 8
#define RUN_BYTES 400000u /* two extents */

static unsigned extent;

static int stops_verifying(void *arg)
{
	latz_pool *pool = fixture_attach(arg);

	lzi_point_arm("verify.extent", extent, LZI_POINT_STOP);
	CHECK_OK(latz_verify(pool, NULL, NULL));
	CHECK_OK(latz_close(pool));
	return 0;
}

static void put_runs(latz_pool *pool)
{
	static char value[RUN_BYTES];
	char key[16];

	for (int i = 0; i < RUNS; i++) {
		snprintf(key, sizeof key, "run%d", i);
		assert_ok(latz_set(pool, key_of(key), (latz_slice){ value, sizeof value }, NULL));
	}
}

/* A value of two extents may come where the first has been looked at, and was free. */
static void a_run_may_come_behind_a_verifier(void **state)
{
	struct fixture *f = *state;
	struct proc verifier;

	f->pool = fixture_attach(f);
	for (extent = 1; extent <= 2 * RUNS; extent++) {
		put_runs(f->pool);
		assert_ok(latz_clear(f->pool));
		assert_ok(latz_maintain(f->pool, 0));
		proc_start(&verifier, stops_verifying, f, false);
		proc_wait_stopped(&verifier);
		put_runs(f->pool);
		assert_int_equal(proc_continue(&verifier), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIR_TEST(a_new_thread_reads_while_a_process_is_stopped_at_its_slot),
		DIR_TEST(nothing_is_punched_under_a_reaper),
		DIR_TEST(a_count_that_is_late_has_all_keys),
		DIR_TEST(the_heap_is_mended_by_a_later_holder_if_the_first_could_not),
		DIR_TEST(an_insert_cleans_for_a_longer_chain),
		DIR_TEST(destroy_tells_that_it_did_not),
		DIR_TEST(the_guard_does_without_watches),
		DIR_TEST(a_damaged_index_is_an_error),
		DIR_TEST(a_run_may_come_behind_a_verifier),
	};

	return suite_run(tests);
}
