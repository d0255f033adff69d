/*
 * Writes that others have seen, or that were acknowledged, when the writer, or who writes the log for everybody, dies
 * or is held up at the worst moment: then the runtime files are lost, and the log has to know.
 */
#include "config.h"

#include "base/point.h"
#include "proc/durable.h"

#define IN_RING 600  /* more than the ring of extents left holds */

/* Everybody is dead by now: the runtime files go without having been looked at. */
static latz_pool *lose_memory(struct durable *d)
{
	assert_ok(latz_destroy("p", &d->options));
	return attach(d);
}

/* ---- A long value's writer dies when the record is there and the flusher has not been told ---- */

static int dies_untold(void *arg)
{
	struct durable *d = arg;
	latz_pool *pool = attach(d);

	lzi_point_arm("append.tail", 1, LZI_POINT_KILL);
	CHECK_OK(put_large(d, pool, "k", 0));
	return 0;
}

static int sees_and_syncs(void *arg)
{
	struct durable *d = arg;
	latz_pool *pool = attach(d);
	struct proc writer;

	proc_start(&writer, dies_untold, d, false);
	CHECK(proc_wait(&writer, 20000) == 128 + SIGKILL);
	CHECK_OK(latz_maintain(pool, 0));
	CHECK_OK(latz_exists(pool, key_of("k")));
	CHECK_OK(latz_sync_now(pool));
	raise(SIGKILL);
	return 0;
}

static void what_a_dead_writer_published_is_synced(void **state)
{
	struct durable *d = *state;
	latz_pool *pool;

	assert_int_equal(proc_run(sees_and_syncs, d, 30000), 128 + SIGKILL);
	pool = lose_memory(d);
	assert_ok(latz_exists(pool, key_of("k")));
	assert_ok(latz_close(pool));
}

/* ---- The first eviction is not over when the key that goes is deleted ---- */

static int sets_the_oldest(void *arg)
{
	struct durable *d = arg;
	latz_pool *pool = attach(d);

	CHECK_OK(put(pool, "k", "old"));
	CHECK_OK(latz_sync_now(pool));
	CHECK_OK(latz_close(pool));
	return 0;
}

static int dies_evicting(void *arg)
{
	struct durable *d = arg;
	latz_pool *pool = attach(d);
	char key[16];

	lzi_point_arm("evict.dead", 1, LZI_POINT_KILL);
	for (int i = 0; i < 100; i++) {
		snprintf(key, sizeof key, "k%d", i);
		CHECK_OK(put(pool, key, key));
	}
	return 0;
}

/* That it is not there is on disk when a delete says so, though the log still has it and nobody could tell of what has
 * gone but who evicted it. */
static int deletes_after_the_first(void *arg)
{
	struct durable *d = arg;
	latz_pool *pool = attach(d);

	CHECK(proc_run(sets_the_oldest, d, 20000) == 0);
	CHECK(proc_run(dies_evicting, d, 20000) == 128 + SIGKILL);
	CHECK(del(pool, "k") == LATZ_NOTFOUND);
	raise(SIGKILL);
	return 0;
}

static void an_eviction_is_counted_before_it_happens(void **state)
{
	struct durable *d = *state;
	latz_pool *pool;

	d->options.sync = LATZ_SYNC_ALWAYS;
	d->options.max_entries = 10;
	d->options.policy = LATZ_POLICY_FIFO;
	assert_int_equal(proc_run(deletes_after_the_first, d, 60000), 128 + SIGKILL);
	d->options.max_entries = 0; /* or it might be evicted now */
	d->options.policy = LATZ_POLICY_DEFAULT;
	pool = lose_memory(d);
	assert_rc(LATZ_NOTFOUND, latz_exists(pool, key_of("k")));
	assert_ok(latz_exists(pool, key_of("k8"))); /* the log has the others */
	assert_ok(latz_close(pool));
}

/* ---- A writer is held up between claiming its place in the ring and filling it, which others have used before ---- */

static int is_held_up(void *arg)
{
	struct durable *d = arg;
	latz_pool *pool = attach(d);

	lzi_point_arm("tell.claimed", 1, LZI_POINT_STOP);
	CHECK_OK(put_large(d, pool, "held up", LATZ_DURABLE));
	raise(SIGKILL);
	return 0;
}

static int flushes_past(void *arg)
{
	struct durable *d = arg;
	latz_pool *pool = attach(d);
	struct proc writer;

	for (int i = 0; i < IN_RING; i++)
		CHECK_OK(put_large(d, pool, "k", 0));
	CHECK_OK(latz_sync_now(pool));
	proc_start(&writer, is_held_up, d, false);
	proc_wait_stopped(&writer);
	CHECK_OK(latz_sync_now(pool));
	CHECK_OK(latz_sync_now(pool));
	CHECK(proc_continue(&writer) == 128 + SIGKILL);
	raise(SIGKILL);
	return 0;
}

static void a_place_in_the_ring_filled_late_is_found(void **state)
{
	struct durable *d = *state;
	latz_pool *pool;

	assert_int_equal(proc_run(flushes_past, d, 60000), 128 + SIGKILL);
	pool = lose_memory(d);
	assert_ok(latz_exists(pool, key_of("held up")));
	assert_ok(latz_close(pool));
}

/* ---- The flusher dies while it moves the log's position ---- */

static int writes(void *arg)
{
	struct durable *d = arg;
	latz_pool *pool = attach(d);
	unsigned i, end = *d->acked + 40;
	char key[16];

	if (d->count > 0)
		lzi_point_arm("wal.moving", d->count, LZI_POINT_KILL);
	for (i = *d->acked; i < end; i++) {
		snprintf(key, sizeof key, "k%u", i);
		CHECK_OK(latz_set(pool, key_of(key), (latz_slice){ d->value, 3000 }, NULL));
		*d->acked = i + 1;
	}
	raise(SIGKILL);
	return 0;
}

static void the_position_is_never_half_moved(void **state)
{
	struct durable *d = *state;
	latz_pool *pool;
	char key[16];

	lzi_wal_segment_bytes = 4 * LZI_LOG_BLOCK; /* three frames */
	d->options.sync = LATZ_SYNC_ALWAYS;
	for (unsigned n = 1; n <= 60; n++) {
		d->count = n;
		assert_int_equal(proc_run(writes, d, 20000), 128 + SIGKILL);
		d->count = 0;
		assert_int_equal(proc_run(writes, d, 20000), 128 + SIGKILL);
		pool = lose_memory(d);
		for (unsigned i = 0; i < *d->acked; i++) {
			snprintf(key, sizeof key, "k%u", i);
			assert_ok(latz_exists(pool, key_of(key)));
		}
		assert_ok(latz_close(pool));
	}
	lzi_wal_segment_bytes = LZI_SEGMENT_BYTES;
}

/* ---- Who has the scribe's office is stopped in the middle of a checkpoint ---- */

static int stops_in_a_checkpoint(void *arg)
{
	struct durable *d = arg;
	latz_pool *pool;

	lzi_point_arm("checkpoint.rolled", 1, LZI_POINT_STOP);
	pool = attach(d);
	CHECK_OK(put_large(d, pool, "first", 0));
	CHECK_OK(latz_sync_now(pool));
	for (;;)
		CHECK_OK(latz_maintain(pool, 0));
}

static int writes_meanwhile(void *arg)
{
	struct durable *d = arg;
	struct proc stopped;
	latz_pool *pool;

	proc_start(&stopped, stops_in_a_checkpoint, d, false);
	proc_wait_stopped(&stopped);
	d->options.flags &= ~(unsigned)LATZ_NO_THREAD;
	pool = attach(d);
	CHECK_OK(put(pool, "second", "x"));
	sleep_ms(3000); /* many times the interval */
	proc_kill(&stopped, SIGKILL);
	raise(SIGKILL);
	return 0;
}

static void the_interval_holds_though_the_scribe_is_stopped(void **state)
{
	struct durable *d = *state;
	latz_pool *pool;

	d->options.sync = LATZ_SYNC_INTERVAL;
	d->options.sync_interval_ms = 100;
	d->options.checkpoint_bytes = 4096;
	assert_int_equal(proc_run(writes_meanwhile, d, 30000), 128 + SIGKILL);
	pool = lose_memory(d);
	assert_ok(latz_exists(pool, key_of("second")));
	assert_ok(latz_close(pool));
}

/* ---- The only process waits for the disk to take a snapshot ---- */

static _Atomic unsigned waiting; /* syncs of the snapshot */

static int never_ends_for_snapshots(int fd)
{
	char link[64], path[300];
	ssize_t size;

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	size = readlink(link, path, sizeof path - 1);
	if (size < 0)
		return -1;
	path[size] = '\0';
	if (strstr(path, "snapshot.tmp") == NULL)
		return 0;
	waiting++;
	for (;;)
		pause();
}

static int writes_beside_its_snapshot(void *arg)
{
	struct durable *d = arg;
	latz_pool *pool;

	d->options.flags &= ~(unsigned)LATZ_NO_THREAD;
	pool = attach(d);
	lzi_os.fdatasync = lzi_os.fsync = never_ends_for_snapshots;
	for (int i = 0; i < 10; i++)
		CHECK_OK(put_large(d, pool, "first", 0));
	for (int i = 0; i < 20000 && waiting == 0; i++)
		sleep_ms(1);
	CHECK(waiting == 1);
	CHECK_OK(put(pool, "second", "x"));
	sleep_ms(3000); /* many times the interval */
	raise(SIGKILL);
	return 0;
}

static void the_interval_holds_though_a_snapshot_is_synced(void **state)
{
	struct durable *d = *state;
	latz_pool *pool;

	d->options.sync = LATZ_SYNC_INTERVAL;
	d->options.sync_interval_ms = 100;
	d->options.checkpoint_bytes = 4096;
	assert_int_equal(proc_run(writes_beside_its_snapshot, d, 60000), 128 + SIGKILL);
	pool = lose_memory(d);
	assert_ok(latz_exists(pool, key_of("second")));
	assert_ok(latz_close(pool));
}

/* ---- Who seems to be the last makes a snapshot on closing, and another comes and makes one, too ---- */

static int closes_slowly(void *arg)
{
	struct durable *d = arg;
	latz_pool *pool = attach(d);
	char key[16];

	for (int i = 0; i < 100; i++) {
		snprintf(key, sizeof key, "k%d", i);
		CHECK_OK(latz_set(pool, key_of(key), (latz_slice){ d->value, 3000 }, NULL));
	}
	lzi_point_arm("snapshot.synced", 1, LZI_POINT_STOP);
	CHECK_OK(latz_close(pool));
	return 0;
}

static int comes_and_checkpoints(void *arg)
{
	struct durable *d = arg;
	latz_pool *pool = attach(d);

	lzi_point_arm("snapshot.entry", 50, LZI_POINT_STOP);
	CHECK_OK(latz_maintain(pool, 0));
	raise(SIGSTOP); /* no checkpoint for us: the office was taken */
	return 0;
}

static void one_snapshot_at_a_time(void **state)
{
	struct durable *d = *state;
	struct proc closing, coming;
	latz_pool *pool;

	d->options.snapshot_on_close = 1;
	d->options.checkpoint_bytes = 4096;
	proc_start(&closing, closes_slowly, d, false);
	proc_wait_stopped(&closing);
	proc_start(&coming, comes_and_checkpoints, d, false);
	proc_wait_stopped(&coming);
	assert_int_equal(proc_continue(&closing), 0);
	proc_kill(&coming, SIGKILL);
	assert_int_equal(proc_wait(&coming, 20000), 128 + SIGKILL);
	pool = lose_memory(d);
	assert_int_equal(count_keys(pool), 100);
	assert_ok(latz_close(pool));
}

/* ---- The last one writes for long: who comes meanwhile is not sent away ---- */

static int slowly(int fd)
{
	(void)fd;
	raise(SIGSTOP);
	sleep_ms(7000); /* more than an open waits for who takes a pool away */
	return 0;
}

static int leaves_with_another(void *arg)
{
	struct durable *d = arg;
	latz_pool *pool = attach(d);

	lzi_os.fdatasync = lzi_os.fsync = slowly;
	CHECK_OK(put(pool, "k", "x"));
	lzi_point_arm("detach.released", 1, LZI_POINT_STOP);
	CHECK_OK(latz_close(pool));
	return 0;
}

static void coming_while_the_last_one_writes(void **state)
{
	struct durable *d = *state;
	struct proc one, other;
	latz_pool *pool;

	pool = attach(d);
	proc_start(&one, leaves_with_another, d, false);
	proc_wait_stopped(&one);
	proc_start(&other, leaves_with_another, d, false);
	proc_wait_stopped(&other);
	assert_ok(latz_close(pool)); /* none of the three was the last, as it seemed */
	proc_kill(&one, SIGCONT);
	assert_int_equal(proc_wait(&one, 20000), 0);
	proc_kill(&other, SIGCONT);
	proc_wait_stopped(&other);
	proc_kill(&other, SIGCONT);
	pool = attach(d);
	assert_ok(latz_exists(pool, key_of("k")));
	assert_int_equal(proc_wait(&other, 60000), 0);
	assert_ok(latz_close(pool));
	pool = attach(d);
	assert_ok(latz_exists(pool, key_of("k")));
	assert_ok(latz_close(pool));
}

/* ---- Beginning anew fails as well: the pool still has what the log lacks ---- */

static int fails_for_files(int fd)
{
	struct stat st;

	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
		return 0;
	errno = EIO;
	return -1;
}

static int ends(void *arg)
{
	latz_pool *pool = attach(arg);

	CHECK_OK(latz_exists(pool, key_of("lacking")));
	return 0;
}

static void a_failed_new_beginning_changes_nothing(void **state)
{
	struct durable *d = *state;
	int (*fdatasync_was)(int) = lzi_os.fdatasync, (*fsync_was)(int) = lzi_os.fsync;
	latz_pool *pool;

	latz_set_logger(NULL, NULL, LATZ_LOG_ERROR);
	d->options.sync = LATZ_SYNC_ALWAYS;
	pool = attach(d);
	assert_ok(put(pool, "k", "x"));
	lzi_os.fdatasync = lzi_os.fsync = fails_for_files;
	assert_rc(LATZ_IO, put(pool, "lacking", "x"));
	assert_rc(LATZ_IO, latz_persist(pool, &d->options));
	assert_rc(LATZ_IO, put(pool, "k", "y"));
	assert_rc(LATZ_IO, latz_sync_now(pool));
	assert_ok(latz_close(pool));
	lzi_os.fdatasync = fdatasync_was;
	lzi_os.fsync = fsync_was;
	assert_int_equal(proc_run(ends, d, 20000), 0);
	pool = attach(d);
	assert_ok(latz_exists(pool, key_of("lacking")));
	assert_ok(latz_persist(pool, &d->options));
	assert_ok(put(pool, "k", "z"));
	assert_ok(latz_close(pool));
	pool = attach(d);
	assert_ok(latz_exists(pool, key_of("lacking")));
	assert_ok(latz_close(pool));
}

/* ---- A start whose sync fails: the next one's would not, but that says nothing ---- */

static int writes_and_dies(void *arg)
{
	latz_pool *pool = attach(arg);

	CHECK_OK(put(pool, "k", "x"));
	CHECK_OK(latz_sync_now(pool));
	raise(SIGKILL);
	return 0;
}

static int fails_for_segments(int fd)
{
	char link[64], path[300];
	ssize_t size;

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	size = readlink(link, path, sizeof path - 1);
	path[size < 0 ? 0 : size] = '\0';
	if (strstr(path, "wal-1.log") == NULL)
		return 0;
	errno = EIO;
	return -1;
}

static bool is_on_disk(const struct durable *d, const char *file)
{
	char path[4200];

	snprintf(path, sizeof path, "%s/p/%s", d->disk, file);
	return access(path, F_OK) == 0;
}

static void a_start_after_one_whose_sync_failed(void **state)
{
	struct durable *d = *state;
	int (*fdatasync_was)(int) = lzi_os.fdatasync, (*fsync_was)(int) = lzi_os.fsync;
	latz_pool *pool;

	assert_int_equal(proc_run(writes_and_dies, d, 20000), 128 + SIGKILL);
	assert_ok(latz_destroy("p", &d->options));
	lzi_os.fdatasync = lzi_os.fsync = fails_for_segments;
	assert_rc(LATZ_IO, latz_open("p", &d->options, &pool));
	lzi_os.fdatasync = fdatasync_was;
	lzi_os.fsync = fsync_was;
	assert_true(is_on_disk(d, "wal-1.log"));
	/* What is found is not relied on but written again. */
	pool = attach(d);
	assert_ok(latz_exists(pool, key_of("k")));
	assert_false(is_on_disk(d, "wal-1.log"));
	assert_false(is_on_disk(d, "unsynced"));
	assert_ok(put(pool, "k2", "x"));
	assert_ok(latz_close(pool));
	pool = attach(d);
	assert_ok(latz_exists(pool, key_of("k")));
	assert_ok(latz_exists(pool, key_of("k2")));
	assert_true(is_on_disk(d, "wal-2.log"));
	assert_ok(latz_close(pool));
}

/* ---- Numbers of flushes, by which replay knows how long a record may still come late ---- */

static int flushes_twice(void *arg)
{
	struct durable *d = arg;
	latz_pool *pool = attach(d);

	CHECK_OK(put(pool, "k", "x"));
	CHECK_OK(latz_sync_now(pool));
	if (d->count > 0)
		lzi_point_arm("flush.frame", 1, LZI_POINT_KILL); /* it is in the file, and will be again */
	CHECK_OK(put(pool, "k", "y"));
	CHECK_OK(latz_sync_now(pool));
	raise(SIGKILL);
	return 0;
}

struct numbers {
	uint64_t flush[16];
	unsigned count;
};

static int notes_flush(const struct lzi_wal_entry *entry, void *arg)
{
	struct numbers *numbers = arg;

	if (numbers->count < ARRAY_LEN(numbers->flush))
		numbers->flush[numbers->count++] = entry->flush;
	return 0;
}

static void flushes_that_died_have_no_number(void **state)
{
	struct durable *d = *state;
	struct numbers numbers = { { 0 }, 0 };
	struct lzi_wal_read read = { .entry = notes_flush, .arg = &numbers };
	char path[4200];

	d->count = 1;
	assert_int_equal(proc_run(flushes_twice, d, 20000), 128 + SIGKILL);
	d->count = 0;
	assert_int_equal(proc_run(flushes_twice, d, 20000), 128 + SIGKILL);
	assert_ok(latz_destroy("p", &d->options));
	assert_int_equal(proc_run(flushes_twice, d, 20000), 128 + SIGKILL);
	snprintf(path, sizeof path, "%s/p", d->disk);
	read.dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(read.dirfd >= 0);
	assert_ok(lzi_wal_read(&read));
	close(read.dirfd);
	/* x; y of the dead; y again and x; y. Then, after a restart, x, perhaps twice; y */
	assert_true(numbers.count >= 7);
	assert_int_equal(numbers.flush[1], numbers.flush[2]);
	assert_int_equal(numbers.flush[2], numbers.flush[3]);
	assert_true(numbers.flush[0] < numbers.flush[1] && numbers.flush[3] < numbers.flush[4]);
	assert_true(numbers.flush[5] >> LZI_FLUSH_SESSION > numbers.flush[4] >> LZI_FLUSH_SESSION);
	assert_true(numbers.flush[5] < numbers.flush[numbers.count - 1]);
	assert_ok(latz_destroy("p", &d->options));
}

/* ---- A log is being begun, its snapshot made, when a delete finds no room in memory for its note ---- */

static int no_room(int fd, int mode, off_t offset, off_t length)
{
	(void)fd;
	(void)mode;
	(void)offset;
	(void)length;
	errno = ENOSPC;
	return -1;
}

static int begins(void *arg)
{
	struct durable *d = arg;
	latz_options options = d->options;
	latz_pool *pool;

	options.persist_dir = NULL;
	CHECK_OK(latz_open("p", &options, &pool));
	lzi_point_arm("begin.snapshot", 1, LZI_POINT_STOP);
	CHECK_OK(latz_persist(pool, &d->options));
	CHECK_OK(latz_sync_now(pool));
	raise(SIGKILL);
	return 0;
}

static void a_delete_without_room_beside_a_beginning(void **state)
{
	struct durable *d = *state;
	int (*fallocate_was)(int, int, off_t, off_t) = lzi_os.fallocate;
	latz_options options = d->options;
	struct proc beginning;
	latz_pool *pool;
	int i, rc = LATZ_OK;

	options.persist_dir = NULL;
	assert_ok(latz_open("p", &options, &pool));
	assert_ok(put(pool, "k", "x"));
	assert_ok(put(pool, "stays", "x"));
	proc_start(&beginning, begins, d, false);
	proc_wait_stopped(&beginning);
	lzi_os.fallocate = no_room;
	for (i = 0; i < 1000000 && (rc = put(pool, "fills", "")) == LATZ_OK; i++)
		;
	assert_int_equal(rc, LATZ_NOSPC);
	assert_ok(del(pool, "k"));
	lzi_os.fallocate = fallocate_was;
	proc_kill(&beginning, SIGCONT);
	assert_int_equal(proc_wait(&beginning, 20000), 128 + SIGKILL);
	assert_ok(latz_destroy("p", &d->options));
	assert_ok(latz_close(pool));
	pool = attach(d);
	assert_rc(LATZ_NOTFOUND, latz_exists(pool, key_of("k")));
	assert_ok(latz_exists(pool, key_of("stays")));
	assert_ok(latz_exists(pool, key_of("fills")));
	assert_ok(latz_close(pool));
}

/* ---- Versions of writes that were lost are not given out again ---- */

static int writes_unsynced(void *arg)
{
	struct durable *d = arg;
	latz_set_options how = LATZ_SET_OPTIONS_INIT;
	uint64_t version;
	latz_pool *pool = attach(d);

	how.version = &version;
	CHECK_OK(put(pool, "k", "x"));
	CHECK_OK(latz_sync_now(pool));
	for (int i = 0; i < 1000; i++) {
		CHECK_OK(latz_set(pool, key_of("k"), latz_str("lost"), &how));
		CHECK_OK(put(pool, "other", "x"));
		CHECK_OK(del(pool, "other"));
	}
	memcpy(d->acked, &version, sizeof version);
	raise(SIGKILL);
	return 0;
}

static uint64_t version_now(latz_pool *pool)
{
	latz_set_options how = LATZ_SET_OPTIONS_INIT;
	uint64_t version;

	how.version = &version;
	assert_ok(latz_set(pool, key_of("k"), latz_str("new"), &how));
	return version;
}

static void versions_of_what_was_lost_are_new(void **state)
{
	struct durable *d = *state;
	latz_pool *pool;
	uint64_t lost, after, later;

	assert_int_equal(proc_run(writes_unsynced, d, 20000), 128 + SIGKILL);
	memcpy(&lost, d->acked, sizeof lost);
	pool = lose_memory(d);
	after = version_now(pool);
	assert_true(after > lost);
	assert_ok(latz_close(pool));
	/* Nothing is lost by closing, so nothing has to be leapt over: versions last for many of them. */
	pool = attach(d);
	later = version_now(pool);
	assert_true(later > after && later < after + (1u << 20));
	assert_ok(latz_close(pool));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOG_TEST(an_eviction_is_counted_before_it_happens),
		LOG_TEST(what_a_dead_writer_published_is_synced),
		LOG_TEST(a_place_in_the_ring_filled_late_is_found),
		LOG_TEST(the_position_is_never_half_moved),
		LOG_TEST(the_interval_holds_though_the_scribe_is_stopped),
		LOG_TEST(the_interval_holds_though_a_snapshot_is_synced),
		LOG_TEST(one_snapshot_at_a_time),
		LOG_TEST(coming_while_the_last_one_writes),
		LOG_TEST(a_failed_new_beginning_changes_nothing),
		LOG_TEST(a_start_after_one_whose_sync_failed),
		LOG_TEST(flushes_that_died_have_no_number),
		LOG_TEST(a_delete_without_room_beside_a_beginning),
		LOG_TEST(versions_of_what_was_lost_are_new),
	};

	return suite_run(tests);
}
