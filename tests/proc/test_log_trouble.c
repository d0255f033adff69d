/*
 * Persist directories that can't be used just now, that are full, or in which somebody was interrupted: what is in
 * memory stays there until it is on disk, and nothing that is left behind speaks against what comes later.
 */
#include "config.h"

#include "base/point.h"
#include "proc/durable.h"

#include <dirent.h>

static void on_disk(const struct durable *d, const char *file, char path[4200])
{
	snprintf(path, 4200, "%s/p/%s", d->disk, file);
}

/* ---- The last one can't have the directory: what only memory holds is not thrown away ---- */

static int writes_and_dies(void *arg)
{
	latz_pool *pool = attach(arg);

	CHECK_OK(put(pool, "k", "x"));
	raise(SIGKILL);
	return 0;
}

static void leaving_without_the_directory(void **state)
{
	struct durable *d = *state;
	char path[4200];
	latz_pool *pool;
	int fd;

	assert_int_equal(proc_run(writes_and_dies, d, 20000), 128 + SIGKILL);
	/* Somebody looks whether he can have it, as a pool elsewhere would. */
	on_disk(d, "lock", path);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_ok(lzi_ofd_try(fd, 0, 1));
	pool = attach(d);
	assert_ok(latz_exists(pool, key_of("k")));
	assert_ok(latz_close(pool));
	close(fd);
	pool = attach(d);
	assert_ok(latz_exists(pool, key_of("k")));
	assert_ok(latz_close(pool));
	pool = attach(d); /* from the disk now */
	assert_ok(latz_exists(pool, key_of("k")));
	assert_ok(latz_close(pool));
}

/* ---- Durability is ended after a flusher's death ---- */

static int dies_flushing(void *arg)
{
	struct durable *d = arg;
	latz_pool *pool = attach(d);

	CHECK_OK(put_large(d, pool, "first", 0));
	CHECK_OK(latz_sync_now(pool));
	CHECK_OK(put_large(d, pool, "second", 0));
	CHECK_OK(put_large(d, pool, "third", 0));
	lzi_point_arm("wal.moving", d->count, LZI_POINT_KILL);
	CHECK_OK(latz_sync_now(pool));
	return 0;
}

static void ending_after_a_flushers_death(void **state)
{
	struct durable *d = *state;
	latz_pool *pool;

	lzi_wal_segment_bytes = 4 * LZI_LOG_BLOCK; /* a segment a frame: it is begun, then the frame written */
	for (d->count = 1; d->count <= 8; d->count++) {
		pool = attach(d);
		assert_int_equal(proc_run(dies_flushing, d, 20000), 128 + SIGKILL);
		assert_ok(latz_exists(pool, key_of("third")));
		assert_ok(latz_persist(pool, NULL));
		assert_ok(latz_close(pool));
		pool = attach(d);
		assert_ok(latz_exists(pool, key_of("first")));
		assert_ok(latz_exists(pool, key_of("second")));
		assert_ok(latz_exists(pool, key_of("third")));
		assert_ok(latz_clear(pool));
		assert_ok(latz_close(pool));
	}
}

/* ---- All was set aside, and who did it died before he could say so ---- */

static void touch_file(struct durable *d, const char *file)
{
	char path[4200];
	int fd;

	on_disk(d, "", path);
	assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
	on_disk(d, file, path);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
}

static void a_log_begun_where_all_is_aside(void **state)
{
	struct durable *d = *state;
	latz_options options = d->options;
	latz_pool *pool;

	touch_file(d, "aside");
	options.persist_dir = NULL;
	assert_ok(latz_open("p", &options, &pool));
	assert_ok(put(pool, "k", "x"));
	assert_ok(latz_persist(pool, &d->options));
	assert_ok(latz_close(pool));
	assert_ok(latz_open("p", &d->options, &pool));
	assert_ok(latz_exists(pool, key_of("k")));
	assert_ok(latz_close(pool));
}

static void a_restore_where_all_is_aside(void **state)
{
	struct durable *d = *state;
	latz_options options = d->options;
	latz_pool *pool;
	char path[4200];

	touch_file(d, "aside");
	options.persist_dir = NULL;
	assert_ok(latz_open("other", &options, &pool));
	assert_ok(put(pool, "k", "x"));
	snprintf(path, sizeof path, "%s/file", d->disk);
	assert_ok(latz_snapshot(pool, path, NULL));
	assert_ok(latz_close(pool));
	options = d->options;
	options.flags |= LATZ_KEEP;
	assert_ok(latz_restore(path, "p", &options, NULL));
	assert_ok(latz_destroy("p", &options));
	pool = attach(d);
	assert_ok(latz_exists(pool, key_of("k")));
	assert_ok(latz_close(pool));
}

/* ---- Checkpoints that fail ---- */

/* How many files there have names that begin so. */
static unsigned files(const struct durable *d, const char *prefix)
{
	char path[4200];
	struct dirent *entry;
	unsigned n = 0;
	DIR *dir;

	on_disk(d, "", path);
	dir = opendir(path);
	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL)
		n += strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
	closedir(dir);
	return n;
}

/* The file's name behind a descriptor. */
static const char *name_of(int fd)
{
	static _Thread_local char path[4200];
	const char *slash;
	char link[64];
	ssize_t size;

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	size = readlink(link, path, sizeof path - 1);
	path[size < 0 ? 0 : size] = '\0';
	slash = strrchr(path, '/');
	return slash == NULL ? path : slash + 1;
}

static int fails_for_snapshots(int fd)
{
	if (strcmp(name_of(fd), "snapshot.tmp") != 0)
		return 0;
	errno = ENOSPC;
	return -1;
}

static void failing_checkpoints_do_not_eat_the_disk(void **state)
{
	struct durable *d = *state;
	latz_pool *pool;
	unsigned i;

	lzi_wal_segment_bytes = 64 * LZI_LOG_BLOCK;
	d->options.checkpoint_bytes = 4096;
	pool = attach(d);
	lzi_os.fsync = lzi_os.fdatasync = fails_for_snapshots;
	assert_ok(put(pool, "k", "x"));
	for (i = 0; i < 40; i++) {
		assert_ok(put(pool, "k", "y"));
		assert_ok(latz_sync_now(pool));
		(void)!latz_maintain(pool, 0);
	}
	assert_true(files(d, "wal-") <= 4);
	assert_int_equal(files(d, "snapshot"), 0);
	assert_ok(latz_destroy("p", &d->options));
	assert_ok(latz_close(pool));
	lzi_os.fsync = d->os.fsync;
	lzi_os.fdatasync = d->os.fdatasync;
	pool = attach(d);
	assert_ok(latz_exists(pool, key_of("k")));
	assert_ok(latz_close(pool));
}

/* Whoever asks is told, until one succeeds. */
static void a_failed_checkpoint_is_told_of(void **state)
{
	struct durable *d = *state;
	latz_stats_t stats = { .size = sizeof stats };
	latz_pool *pool;

	d->options.checkpoint_bytes = 4096;
	pool = attach(d);
	assert_ok(put(pool, "k", "x"));
	assert_ok(latz_stats(pool, &stats));
	assert_int_equal(stats.checkpoint_error, 0);
	assert_string_equal(stats.checkpoint_detail, "");
	lzi_os.fsync = lzi_os.fdatasync = fails_for_snapshots;
	for (int i = 0; i < 5; i++) {
		assert_ok(put(pool, "k", "y"));
		assert_ok(latz_sync_now(pool));
	}
	(void)!latz_maintain(pool, 0);
	assert_ok(latz_stats(pool, &stats));
	assert_int_equal(stats.checkpoint_error, LATZ_NOSPC);
	assert_true(stats.checkpoint_failed_wall_ms > 1600000000000);
	assert_non_null(strstr(stats.checkpoint_detail, "snapshot.tmp"));
	assert_int_equal(stats.log_broken, 0);
	lzi_os = d->os;
	for (int i = 0; i < 2000 && stats.checkpoint_error != 0; i++) {
		(void)!latz_maintain(pool, 0); /* tries again, after a while */
		assert_ok(latz_stats(pool, &stats));
		sleep_ms(10);
	}
	assert_int_equal(stats.checkpoint_error, 0);
	assert_int_equal(files(d, "snapshot"), 1);
	assert_ok(latz_close(pool));
}

/* On leaving, each attempt comes at once after the other; then there is room again. */
static void a_checkpoint_after_failed_ones(void **state)
{
	struct durable *d = *state;
	latz_pool *pool;

	lzi_wal_segment_bytes = 64 * LZI_LOG_BLOCK;
	d->options.snapshot_on_close = 1;
	pool = attach(d);
	assert_ok(put(pool, "k", "x"));
	lzi_os.fsync = lzi_os.fdatasync = fails_for_snapshots;
	assert_ok(latz_close(pool));
	assert_true(files(d, "wal-") <= 3);
	assert_int_equal(files(d, "snapshot"), 0);
	lzi_os.fsync = d->os.fsync;
	lzi_os.fdatasync = d->os.fdatasync;
	pool = attach(d);
	assert_ok(latz_exists(pool, key_of("k")));
	assert_ok(put(pool, "k2", "x"));
	assert_ok(latz_close(pool));
	assert_int_equal(files(d, "snapshot"), 1);
	pool = attach(d);
	assert_ok(latz_exists(pool, key_of("k")));
	assert_ok(latz_exists(pool, key_of("k2")));
	assert_ok(latz_close(pool));
}

/* ---- A disk with room for a snapshot, but for no further segment: the log that it replaces has the room ---- */

static int is_new_room(int fd, off_t end)
{
	struct stat st;

	return strncmp(name_of(fd), "wal-", 4) == 0 && fstat(fd, &st) == 0 && end > st.st_size;
}

static ssize_t writes_within(int fd, const void *data, size_t size, off_t offset)
{
	if (!is_new_room(fd, offset + (off_t)size))
		return pwrite(fd, data, size, offset);
	errno = ENOSPC;
	return -1;
}

static int allocates_none(int fd, int mode, off_t offset, off_t length)
{
	if (!is_new_room(fd, offset + length))
		return fallocate(fd, mode, offset, length);
	errno = ENOSPC;
	return -1;
}

/* Until the log has no room left. */
static void fill_up(latz_pool *pool)
{
	int rc = LATZ_OK;

	lzi_os.pwrite = writes_within;
	lzi_os.fallocate = allocates_none;
	for (unsigned i = 0; i < 40 && rc == LATZ_OK; i++) {
		assert_ok(put(pool, "k", "y"));
		rc = latz_sync_now(pool);
	}
	assert_int_equal(rc, LATZ_NOSPC);
}

static void the_old_logs_room_serves_the_new_one(void **state)
{
	struct durable *d = *state;
	latz_pool *pool;

	lzi_wal_segment_bytes = 16 * LZI_LOG_BLOCK;
	pool = attach(d);
	for (unsigned i = 0; i < 20; i++) {
		assert_ok(put(pool, "k", "x"));
		assert_ok(latz_sync_now(pool));
	}
	fill_up(pool);
	assert_ok(put(pool, "last", "x"));
	assert_ok(latz_maintain(pool, 0));
	assert_ok(latz_sync_now(pool));
	assert_int_equal(files(d, "snapshot"), 1);
	assert_ok(latz_destroy("p", &d->options));
	assert_ok(latz_close(pool));
	lzi_os = d->os;
	pool = attach(d);
	assert_ok(latz_exists(pool, key_of("k")));
	assert_ok(latz_exists(pool, key_of("last")));
	assert_ok(latz_close(pool));
}

/* ---- No room: a person's attempt to begin the log anew fails as well, and then there is room ---- */

static void a_failed_beginning_changes_nothing(void **state)
{
	struct durable *d = *state;
	latz_options options = d->options;
	latz_stats_t stats = { .size = sizeof stats };
	latz_pool *pool;

	lzi_wal_segment_bytes = 16 * LZI_LOG_BLOCK;
	pool = attach(d);
	fill_up(pool);
	lzi_os.fsync = lzi_os.fdatasync = fails_for_snapshots;
	options.sync = LATZ_SYNC_ALWAYS;
	options.checkpoint_bytes = 12345678;
	assert_rc(LATZ_NOSPC, latz_persist(pool, &options));
	assert_ok(latz_stats(pool, &stats));
	assert_int_equal(stats.log_broken, LATZ_NOSPC);
	assert_int_equal(stats.sync, LATZ_SYNC_NONE); /* of the log that it heals to */
	assert_int_not_equal(stats.checkpoint_bytes, options.checkpoint_bytes);
	lzi_os = d->os;
	assert_ok(latz_maintain(pool, 0)); /* heals */
	assert_ok(latz_stats(pool, &stats));
	assert_int_equal(stats.log_broken, 0);
	assert_ok(latz_sync_now(pool));
	assert_ok(latz_close(pool));
	pool = attach(d);
	assert_ok(latz_exists(pool, key_of("k")));
	assert_ok(latz_close(pool));
}

/* ---- The directory was made anew by hand, and the log begun again there ---- */

static int fails(int fd)
{
	(void)fd;
	errno = EIO;
	return -1;
}

static void a_directory_made_anew_has_an_owner(void **state)
{
	struct durable *d = *state;
	char path[4200];
	latz_pool *pool;

	pool = attach(d);
	assert_ok(put(pool, "k", "x"));
	lzi_os.fsync = lzi_os.fdatasync = fails;
	assert_rc(LATZ_IO, latz_sync_now(pool));
	lzi_os.fsync = d->os.fsync;
	lzi_os.fdatasync = d->os.fdatasync;
	on_disk(d, "owner", path);
	assert_int_equal(unlink(path), 0);
	assert_ok(latz_persist(pool, &d->options));
	assert_int_equal(files(d, "owner"), 1);
	assert_ok(latz_close(pool));
	assert_int_equal(files(d, "owner"), 0);
}

/* ---- A delete for whose note there is no room, and whose thread dies before the log has it ---- */

static int no_room(int fd, int mode, off_t offset, off_t length)
{
	(void)fd;
	(void)mode;
	(void)offset;
	(void)length;
	errno = ENOSPC;
	return -1;
}

static int dies_deleting(void *arg)
{
	struct durable *d = arg;
	latz_pool *pool = attach(d);
	int i, rc = LATZ_OK;

	lzi_os.fallocate = no_room;
	for (i = 0; i < 1000000 && (rc = put(pool, "fills", "")) == LATZ_OK; i++)
		;
	CHECK(rc == LATZ_NOSPC);
	lzi_point_arm(d->count == 0 ? "delete.dead" : "delete.cleared", 1, LZI_POINT_KILL);
	CHECK_OK(del(pool, "k"));
	return 0;
}

static void a_delete_whose_thread_died_stays_one(void **state)
{
	struct durable *d = *state;
	latz_pool *pool;

	for (d->count = 0; d->count < 2; d->count++) {
		pool = attach(d);
		assert_ok(put(pool, "k", "x"));
		assert_ok(latz_sync_now(pool));
		assert_int_equal(proc_run(dies_deleting, d, 60000), 128 + SIGKILL);
		assert_ok(latz_maintain(pool, 0)); /* finds the dead thread */
		assert_rc(LATZ_NOTFOUND, latz_exists(pool, key_of("k")));
		assert_rc(LATZ_NOSPC, latz_sync_now(pool));
		assert_ok(latz_maintain(pool, 0)); /* begins the log anew */
		assert_ok(latz_sync_now(pool));
		assert_ok(latz_destroy("p", &d->options));
		assert_ok(latz_close(pool));
		pool = attach(d);
		assert_rc(LATZ_NOTFOUND, latz_exists(pool, key_of("k")));
		assert_ok(latz_close(pool));
	}
}

/* ---- The log's end ---- */

static unsigned warnings;

static void count_warnings(latz_log_level level, const char *message, void *arg)
{
	(void)level;
	(void)arg;
	warnings += strstr(message, "though it was whole") != NULL;
}

/* Damage there is as a write that never came to its end; but there was none when the pool was left. */
static void a_damaged_end_of_what_was_whole(void **state)
{
	struct durable *d = *state;
	latz_pool *pool = attach(d);
	char path[4200];
	FILE *file;

	assert_ok(put(pool, "k", "v"));
	assert_ok(latz_close(pool));
	latz_set_logger(count_warnings, NULL, LATZ_LOG_WARNING);
	warnings = 0;
	pool = attach(d);
	assert_ok(latz_exists(pool, key_of("k")));
	assert_ok(latz_close(pool));
	assert_int_equal(warnings, 0);
	on_disk(d, "wal-1.log", path);
	file = fopen(path, "r+b");
	assert_non_null(file);
	assert_int_equal(fseek(file, LZI_LOG_BLOCK + 70, SEEK_SET), 0);
	assert_int_equal(fputc(0x55, file), 0x55);
	assert_int_equal(fclose(file), 0);
	on_disk(d, "wal-2.log", path);
	assert_int_equal(unlink(path), 0);
	pool = attach(d);
	assert_rc(LATZ_NOTFOUND, latz_exists(pool, key_of("k")));
	assert_int_equal(warnings, 1);
	assert_ok(latz_close(pool));
	latz_set_logger(NULL, NULL, LATZ_LOG_ERROR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOG_TEST(leaving_without_the_directory),
		LOG_TEST(ending_after_a_flushers_death),
		LOG_TEST(a_log_begun_where_all_is_aside),
		LOG_TEST(a_restore_where_all_is_aside),
		LOG_TEST(failing_checkpoints_do_not_eat_the_disk),
		LOG_TEST(a_failed_checkpoint_is_told_of),
		LOG_TEST(a_checkpoint_after_failed_ones),
		LOG_TEST(the_old_logs_room_serves_the_new_one),
		LOG_TEST(a_failed_beginning_changes_nothing),
		LOG_TEST(a_directory_made_anew_has_an_owner),
		LOG_TEST(a_delete_whose_thread_died_stays_one),
		LOG_TEST(a_damaged_end_of_what_was_whole),
	};

	return suite_run(tests);
}
