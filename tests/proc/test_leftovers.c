/*
 * What a dead or stopped process leaves in the narrow places: between the look of one party and the store of another.
 * Each test brings processes to named points in an order that chance seldom does.
 */
#include "../../src/base/point.h"
#include "lib/suite.h"

#include <semaphore.h>
#include <sys/file.h>

#define EXTENT 262144

/* ---- A dead writer's old record, and a draft that stands where it was ---- */

static int dies_after_killing_old(void *arg)
{
	latz_pool *pool = fixture_attach(arg);
	char value[100] = "first";
	int i;

	/* The first record of the first extent; the rest of the extent is dead when it is full. */
	CHECK_OK(latz_set(pool, key_of("key"), (latz_slice){ value, sizeof value }, NULL));
	for (i = 0; i < EXTENT / 100; i++)
		CHECK_OK(latz_set(pool, key_of("other"), (latz_slice){ value, sizeof value }, NULL));
	raise(SIGSTOP);
	lzi_point_arm("set.old_dead", 1, LZI_POINT_KILL);
	(void)!latz_set(pool, key_of("key"), (latz_slice){ value, sizeof value }, NULL);
	return 1;
}

static int maintains_late(void *arg)
{
	latz_pool *pool = fixture_attach(arg);

	/* Past the look for dead threads, before the cleaning. */
	lzi_point_arm("index.collected", 1, LZI_POINT_STOP);
	return latz_maintain(pool, 0) == LATZ_OK ? 0 : 1;
}

static int writes_there(void *arg)
{
	latz_pool *pool = fixture_attach(arg);
	char value[100] = "second";

	CHECK_OK(latz_set(pool, key_of("key"), (latz_slice){ value, sizeof value }, NULL));
	return 0;
}

static void a_draft_is_not_taken_for_the_dead_writers_old_record(void **state)
{
	struct fixture *f = *state;
	struct proc writer, janitor;
	latz_set_options present = LATZ_SET_OPTIONS_INIT;
	latz_pool *pool = fixture_attach(f);

	proc_start(&writer, dies_after_killing_old, f, false);
	proc_wait_stopped(&writer);
	proc_start(&janitor, maintains_late, f, false);
	proc_wait_stopped(&janitor);
	assert_int_equal(proc_continue(&writer), 128 + SIGKILL);
	assert_int_equal(proc_continue(&janitor), 0);
	assert_int_equal(proc_run(writes_there, f, 20000), 0);
	present.flags = LATZ_IF_PRESENT;
	assert_ok(latz_get(pool, key_of("key"), &f->value));
	assert_string_equal(f->value.data, "second");
	assert_ok(latz_set(pool, key_of("key"), latz_str("third"), &present));
	assert_ok(del(pool, "key"));
	assert_ok(verify_print(pool));
	assert_ok(latz_close(pool));
}

/* ---- The index is made anew while a scan is open ---- */

static int dies_remaking_index(void *arg)
{
	latz_pool *pool = fixture_attach(arg);

	lzi_point_arm("index.collected", 1, LZI_POINT_KILL);
	(void)!latz_maintain(pool, 0);
	return 1;
}

static void a_scan_outlives_the_making_anew_of_the_index(void **state)
{
	struct fixture *f = *state;
	latz_pool *pool = fixture_attach(f);
	latz_scan *scan;
	latz_slice key;
	char name[32], path[4096];
	uint32_t one = 1;
	int fd, i, rc, n = 0;

	for (i = 0; i < 5000; i++) {
		snprintf(name, sizeof name, "key%05d", i);
		assert_ok(put(pool, name, "v"));
	}
	assert_ok(latz_scan_open(pool, NULL, &scan));
	assert_ok(latz_scan_next(scan, &key, NULL));
	n++;
	/* What whoever finds no room for the index leaves: index_rebuild (doc/format.md). */
	snprintf(path, sizeof path, "%s/t/pool", f->dir);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(pwrite(fd, &one, sizeof one, 4096 + 396), sizeof one);
	close(fd);
	assert_int_equal(proc_run(dies_remaking_index, f, 20000), 128 + SIGKILL);
	while ((rc = latz_scan_next(scan, &key, NULL)) == LATZ_OK) {
		snprintf(name, sizeof name, "key%05d", n);
		assert_int_equal(key.size, strlen(name));
		assert_memory_equal(key.data, name, key.size);
		n++;
	}
	assert_rc(LATZ_DONE, rc);
	assert_int_equal(n, 5000);
	assert_ok(latz_scan_close(scan));
	assert_ok(latz_close(pool));
}

/* ---- Parked extents ---- */

static int dies_punching(void *arg)
{
	latz_pool *pool = fixture_attach(arg);

	lzi_point_arm("punch.quiet", 1, LZI_POINT_KILL);
	(void)!latz_maintain(pool, 0);
	return 1;
}

static int stops_with_heap(void *arg)
{
	latz_pool *pool = fixture_attach(arg);

	lzi_point_arm("extent.locked", 1, LZI_POINT_STOP);
	CHECK_OK(put(pool, "stopped", "v"));
	return 0;
}

static void parked_extents_come_back_though_nobody_could_take_the_heap(void **state)
{
	struct fixture *f = *state;
	latz_pool *pool;
	struct proc stopped;
	latz_stats_t stats = { .size = sizeof stats };
	static char value[60000];
	char name[32];
	int i;

	f->options.timeout_ms = 100;
	pool = fixture_attach(f);
	for (i = 0; i < 400; i++) {
		snprintf(name, sizeof name, "key%05d", i);
		assert_ok(latz_set(pool, key_of(name), (latz_slice){ value, sizeof value }, NULL));
	}
	assert_ok(latz_clear(pool));
	assert_int_equal(proc_run(dies_punching, f, 20000), 128 + SIGKILL);
	proc_start(&stopped, stops_with_heap, f, false);
	proc_wait_stopped(&stopped);
	(void)!latz_maintain(pool, 0);
	assert_int_equal(proc_continue(&stopped), 0);
	assert_true(maintain_all(pool));
	assert_true(maintain_all(pool));
	assert_ok(latz_stats(pool, &stats));
	assert_true(stats.heap_bytes < 8 << 20);
	assert_ok(latz_close(pool));
}

/* ---- A deadline noted, then the extent looked at, then the record published ---- */

static int writes_two_deadlines(void *arg)
{
	latz_pool *pool = fixture_attach(arg);
	latz_set_options options = LATZ_SET_OPTIONS_INIT;

	/* Enough that lives: the extent is not cleaned, which would look at its deadlines. */
	for (int i = 0; i < 100; i++) {
		char name[32], value[1000] = "";

		snprintf(name, sizeof name, "filler%d", i);
		CHECK_OK(latz_set(pool, key_of(name), (latz_slice){ value, sizeof value }, NULL));
	}
	options.ttl_ms = 50;
	CHECK_OK(latz_set(pool, key_of("soon"), latz_str("v"), &options));
	options.ttl_ms = 200;
	lzi_point_arm("set.intent", 1, LZI_POINT_STOP);
	CHECK_OK(latz_set(pool, key_of("later"), latz_str("v"), &options));
	return 0;
}

static void a_deadline_noted_before_a_look_is_not_lost(void **state)
{
	struct fixture *f = *state;
	latz_pool *pool = fixture_attach(f);
	latz_stats_t stats = { .size = sizeof stats };
	struct proc writer;

	proc_start(&writer, writes_two_deadlines, f, false);
	proc_wait_stopped(&writer);
	sleep_ms(100);
	(void)!latz_maintain(pool, 0);
	assert_int_equal(proc_continue(&writer), 0);
	sleep_ms(300);
	assert_true(maintain_all(pool));
	assert_ok(latz_stats(pool, &stats));
	assert_int_equal(stats.expired, 2);
	assert_int_equal(stats.keys, 100);
	assert_ok(latz_close(pool));
}

/* ---- A destroyer dies between marking and renaming ---- */

static int dies_destroying(void *arg)
{
	struct fixture *f = arg;

	lzi_point_arm("remove.marked", 1, LZI_POINT_KILL);
	(void)!latz_destroy("t", &f->options);
	return 1;
}

static void a_name_is_free_though_its_destroyer_died(void **state)
{
	struct fixture *f = *state;
	latz_pool *pool = fixture_attach(f), *fresh;

	assert_ok(put(pool, "k", "v"));
	assert_int_equal(proc_run(dies_destroying, f, 20000), 128 + SIGKILL);
	assert_rc(LATZ_DEAD, put(pool, "k", "v"));
	fresh = fixture_attach(f); /* the old one is still attached */
	assert_rc(LATZ_NOTFOUND, latz_exists(fresh, key_of("k")));
	assert_ok(latz_close(fresh));
	assert_ok(latz_close(pool));
}

/* ---- A damaged key ---- */

static int clears(void *arg)
{
	latz_pool *pool = fixture_attach(arg);

	return latz_clear(pool) == LATZ_CORRUPT ? 0 : 1;
}

static void clear_ends_over_a_damaged_key(void **state)
{
	struct fixture *f = *state;
	latz_pool *pool = fixture_attach(f);
	char path[4096], bytes[4096], *at;
	int fd;

	assert_ok(put(pool, "damaged-key", "v"));
	snprintf(path, sizeof path, "%s/t/heap", f->dir);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(pread(fd, bytes, sizeof bytes, 0), sizeof bytes);
	at = memmem(bytes, sizeof bytes, "damaged-key", 11);
	assert_non_null(at);
	assert_int_equal(pwrite(fd, "D", 1, at - bytes), 1);
	close(fd);
	assert_int_equal(proc_run(clears, f, 10000), 0);
	assert_ok(latz_close(pool));
}

/* ---- A pool that took the name of the one a child has ---- */

struct remade {
	struct fixture *f;
	latz_pool *pool;
	const char *value; /* what the child is to find; NULL: that its pool is dead */
};

static int child_looks(void *arg)
{
	struct remade *remade = arg;
	latz_value value = LATZ_VALUE_INIT;

	CHECK(chdir("/") == 0);
	if (remade->value == NULL)
		return latz_get(remade->pool, key_of("k"), &value) == LATZ_DEAD ? 0 : 1;
	CHECK_OK(latz_get(remade->pool, key_of("k"), &value));
	CHECK(strcmp(value.data, remade->value) == 0);
	return 0;
}

static void a_child_does_not_take_another_pool_for_its_own(void **state)
{
	struct fixture *f = *state;
	struct remade remade = { f, fixture_attach(f), NULL };
	struct proc child;
	latz_pool *other;

	assert_ok(put(remade.pool, "k", "ours"));
	proc_start(&child, child_looks, &remade, true);
	assert_ok(latz_destroy("t", &f->options));
	other = fixture_attach(f);
	assert_ok(put(other, "k", "another's"));
	proc_go(&child);
	assert_int_equal(proc_wait(&child, 20000), 0);
	assert_ok(latz_close(other));
	assert_ok(latz_close(remade.pool));
}

static void a_child_may_go_to_another_directory(void **state)
{
	struct fixture *f = *state;
	struct remade remade = { f, NULL, "v" };
	latz_options options = LATZ_OPTIONS_INIT;
	char *before = getcwd(NULL, 0);

	options.dir = "relative";
	options.flags = LATZ_CREATE | LATZ_NO_THREAD | LATZ_NO_GUARD;
	assert_int_equal(chdir(f->dir), 0);
	assert_ok(latz_open("t", &options, &remade.pool));
	assert_ok(put(remade.pool, "k", "v"));
	assert_int_equal(proc_run(child_looks, &remade, 20000), 0);
	assert_ok(latz_close(remade.pool));
	assert_int_equal(rmdir("relative"), 0);
	assert_int_equal(chdir(before), 0);
	free(before);
}

/* ---- Somebody stopped with the runtime directory locked, as sweepers lock it ---- */

static int stops_with_directory(void *arg)
{
	struct fixture *f = arg;
	int fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	CHECK(flock(fd, LOCK_EX) == 0);
	raise(SIGSTOP);
	return 0;
}

static int opens(void *arg)
{
	struct fixture *f = arg;
	latz_pool *pool;

	f->options.flags = LATZ_CREATE | LATZ_NO_THREAD | LATZ_NO_GUARD;
	return latz_open("t", &f->options, &pool) == LATZ_TIMEOUT ? 0 : 1;
}

static void open_does_not_wait_for_ever_for_a_stopped_sweeper(void **state)
{
	struct fixture *f = *state;
	struct proc stopped;

	proc_start(&stopped, stops_with_directory, f, false);
	proc_wait_stopped(&stopped);
	assert_int_equal(proc_run(opens, f, 30000), 0);
	assert_int_equal(proc_continue(&stopped), 0);
}

/* ---- A control file that claims a longer table ---- */

static void a_table_shorter_than_claimed_is_refused(void **state)
{
	struct fixture *f = *state;
	latz_pool *pool;
	uint64_t claimed = 1ull << 40;
	char path[4096];
	int fd;

	f->options.flags = LATZ_CREATE | LATZ_KEEP | LATZ_NO_THREAD;
	assert_ok(latz_open("t", &f->options, &pool));
	assert_ok(latz_close(pool));
	snprintf(path, sizeof path, "%s/t/pool", f->dir);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(pwrite(fd, &claimed, sizeof claimed, 4096 + 432), sizeof claimed); /* table_bytes */
	close(fd);
	assert_rc(LATZ_CORRUPT, latz_open("t", &f->options, &pool));
	assert_ok(latz_destroy("t", &f->options));
}

/* ---- Arguments ---- */

static void a_key_in_the_values_buffer_is_refused(void **state)
{
	struct fixture *f = *state;
	latz_pool *pool = fixture_attach(f);
	latz_slice key;

	assert_ok(put(pool, "first", "second"));
	assert_ok(put(pool, "second", "xxxxxx"));
	assert_ok(latz_get(pool, key_of("first"), &f->value));
	key = (latz_slice){ f->value.data, f->value.size };
	assert_rc(LATZ_INVALID, latz_get(pool, key, &f->value));
	assert_rc(LATZ_INVALID, latz_get_if_changed(pool, key, 0, &f->value));
	assert_rc(LATZ_INVALID, latz_swap(pool, key, latz_str("v"), &f->value));
	assert_rc(LATZ_INVALID, latz_swap(pool, key_of("first"), key, &f->value));
	assert_ok(latz_close(pool));
}

static void a_bound_of_any_size_is_refused(void **state)
{
	struct fixture *f = *state;
	latz_pool *pool = fixture_attach(f);
	latz_scan_options options = LATZ_SCAN_OPTIONS_INIT;
	latz_scan *scan;

	options.prefix = (latz_slice){ "p", SIZE_MAX };
	assert_rc(LATZ_INVALID, latz_scan_open(pool, &options, &scan));
	assert_ok(latz_close(pool));
}

/* ---- Borrowing beside a thread that waits ---- */

struct sibling {
	latz_pool *pool;
	sem_t wrote, exit;
};

static void *writes_and_exits(void *arg)
{
	struct sibling *sibling = arg;

	CHECK_OK(put(sibling->pool, "sibling", "v"));
	sem_post(&sibling->wrote);
	sem_wait(&sibling->exit);
	return NULL;
}

/* A thread that exits gives its extent back, for which it needs what the stopped process holds. */
static void borrowing_does_not_wait_for_a_thread_that_exits(void **state)
{
	struct fixture *f = *state;
	struct sibling sibling;
	struct proc stopped;
	struct timespec begin, end;
	pthread_t thread;
	latz_view view;

	f->options.timeout_ms = 4000;
	sibling.pool = fixture_attach(f);
	sem_init(&sibling.wrote, 0, 0);
	sem_init(&sibling.exit, 0, 0);
	assert_ok(put(sibling.pool, "k", "v"));
	assert_int_equal(pthread_create(&thread, NULL, writes_and_exits, &sibling), 0);
	sem_wait(&sibling.wrote);
	proc_start(&stopped, stops_with_heap, f, false);
	proc_wait_stopped(&stopped);
	sem_post(&sibling.exit);
	sleep_ms(200);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	assert_ok(latz_borrow(sibling.pool, key_of("k"), &view));
	assert_ok(latz_release(&view));
	clock_gettime(CLOCK_MONOTONIC, &end);
	assert_true(end.tv_sec - begin.tv_sec < 2);
	assert_int_equal(proc_continue(&stopped), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_ok(latz_close(sibling.pool));
}

/* ---- Somebody looks at a pool as its last user leaves ---- */

static int leaves_locked(void *arg)
{
	struct fixture *f = arg;
	latz_pool *pool;

	f->options.flags |= LATZ_NO_THREAD | LATZ_NO_GUARD;
	f->options.timeout_ms = 10000; /* for so long it tries, on a busy machine */
	CHECK_OK(latz_open("p", &f->options, &pool));
	CHECK_OK(put(pool, "k", "v"));
	lzi_point_arm("detach.unlocked", 1, LZI_POINT_STOP);
	CHECK_OK(latz_close(pool));
	return 0;
}

static int count_pool(const latz_pool_info *info, void *arg)
{
	(void)info;
	++*(unsigned *)arg;
	return 0;
}

/* Who looks has the life byte for a moment, and takes nothing away: who leaves a durable pool just then must try
 * again. */
static void a_locked_durable_pool_goes_though_somebody_looks_at_it(void **state)
{
	struct fixture *f = *state;
	struct flock byte = { .l_type = F_WRLCK, .l_start = (off_t)1 << 40, .l_len = 1 };
	char path[300], disk[300];
	struct proc proc;
	unsigned pools = 0;
	int fd;

	snprintf(disk, sizeof disk, "%s/.disk", f->dir);
	snprintf(path, sizeof path, "%s/p/pool", f->dir);
	f->options.persist_dir = disk;
	f->options.password = "open sesame";
	proc_start(&proc, leaves_locked, f, false);
	proc_wait_stopped(&proc);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &byte), 0);
	proc_kill(&proc, SIGCONT);
	sleep_ms(100);
	close(fd);
	assert_int_equal(proc_wait(&proc, 60000), 0);
	assert_ok(latz_list(f->dir, count_pool, &pools));
	assert_int_equal(pools, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIR_TEST(a_draft_is_not_taken_for_the_dead_writers_old_record),
		DIR_TEST(a_scan_outlives_the_making_anew_of_the_index),
		DIR_TEST(parked_extents_come_back_though_nobody_could_take_the_heap),
		DIR_TEST(a_deadline_noted_before_a_look_is_not_lost),
		DIR_TEST(a_name_is_free_though_its_destroyer_died),
		DIR_TEST(clear_ends_over_a_damaged_key),
		DIR_TEST(a_child_does_not_take_another_pool_for_its_own),
		DIR_TEST(a_child_may_go_to_another_directory),
		DIR_TEST(open_does_not_wait_for_ever_for_a_stopped_sweeper),
		DIR_TEST(a_table_shorter_than_claimed_is_refused),
		DIR_TEST(a_key_in_the_values_buffer_is_refused),
		DIR_TEST(a_bound_of_any_size_is_refused),
		DIR_TEST(borrowing_does_not_wait_for_a_thread_that_exits),
		DIR_TEST(a_locked_durable_pool_goes_though_somebody_looks_at_it),
	};

	return suite_run(tests);
}
