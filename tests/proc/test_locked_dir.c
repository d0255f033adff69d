/*
 * The marks that a locked pool leaves in its persist directory (doc/security.md): what may fail, or die, around them,
 * and nobody gets a pool in the clear for it, nor is kept out of one that never had a password. And what is left there
 * by who is refused.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>

#include "api/api.h"
#include "base/point.h"
#include "proc/durable.h"
#include "store/store_int.h"

#define PATH 4200

static struct {
	char path[PATH];
	unsigned times;
} failing;

static void path_of(const struct durable *d, const char *file, char path[PATH])
{
	snprintf(path, PATH, "%s/p/%s", d->disk, file);
}

static int has(const struct durable *d, const char *file)
{
	char path[PATH];

	path_of(d, file, path);
	return access(path, F_OK) == 0;
}

/* How many files there begin so; taken away, if they are to be. */
static unsigned files(const struct durable *d, const char *prefix, int take)
{
	char path[PATH];
	struct dirent *entry;
	unsigned n = 0;
	DIR *dir;

	path_of(d, "", path);
	dir = opendir(path);
	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL) {
		if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
			continue;
		n++;
		if (take)
			assert_int_equal(unlinkat(dirfd(dir), entry->d_name, 0), 0);
	}
	closedir(dir);
	return n;
}

static int try_open(const struct durable *d, const char *password, unsigned flags)
{
	latz_options options = d->options;
	latz_pool *pool;
	int rc;

	options.password = password;
	options.flags |= flags;
	rc = latz_open("p", &options, &pool);
	if (rc == LATZ_OK)
		assert_ok(latz_close(pool));
	return rc;
}

/* ---- What fails ---- */

static int fails_for_snapshots(int fd)
{
	char link[64], path[PATH];
	ssize_t size;

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	size = readlink(link, path, sizeof path - 1);
	path[size < 0 ? 0 : size] = '\0';
	if (strstr(path, "/snapshot.tmp") == NULL)
		return fsync(fd);
	errno = ENOSPC;
	return -1;
}

static int makes_no_mark(int dirfd, const char *path, int flags, mode_t mode)
{
	if (flags & O_CREAT && strcmp(path, "locked") == 0) {
		errno = ENOSPC;
		return -1;
	}
	return openat(dirfd, path, flags, mode);
}

static int fails_at_first(int dirfd, const char *path, int flags, mode_t mode)
{
	if (failing.times > 0 && strcmp(path, failing.path) == 0) {
		failing.times--;
		errno = EMFILE;
		return -1;
	}
	return openat(dirfd, path, flags, mode);
}

/* ---- What is there to begin with ---- */

static latz_options locked_by(const struct durable *d, int encrypt)
{
	latz_options options = d->options;

	options.password = "right";
	options.encrypt = encrypt;
	return options;
}

/* A locked pool that was in the directory, or only in memory; all that is left is a mark, or a snapshot elsewhere. */
static void leave(const struct durable *d, const char *snapshot, int encrypt, int in_dir)
{
	latz_options options = locked_by(d, encrypt);
	latz_pool *pool;

	if (!in_dir)
		options.persist_dir = NULL;
	assert_ok(latz_open("p", &options, &pool));
	assert_ok(put(pool, "k", "secret"));
	if (snapshot != NULL)
		assert_ok(latz_snapshot(pool, snapshot, NULL));
	assert_ok(latz_close(pool));
	if (!in_dir)
		return;
	(void)files(d, "wal-", 1);
	(void)files(d, "snapshot-", 1);
}

/* ---- Tests ---- */

/* Its owner restores what was encrypted, and the disk is full; then somebody opens it without a password. */
static void restore_that_fails(void **state)
{
	struct durable *d = *state;
	latz_options options = locked_by(d, 1);
	char snapshot[PATH];

	snprintf(snapshot, sizeof snapshot, "%s/s.lzs", d->dir);
	leave(d, snapshot, 1, 1);
	assert_rc(LATZ_AUTH, try_open(d, NULL, 0));
	lzi_os.fsync = lzi_os.fdatasync = fails_for_snapshots;
	assert_rc(LATZ_NOSPC, latz_restore(snapshot, "p", &options, NULL));
	lzi_os = d->os;
	assert_true(has(d, "encrypted"));
	assert_rc(LATZ_AUTH, try_open(d, NULL, 0));
	/* Where nothing was, nothing is left that keeps others out. */
	assert_int_equal(files(d, "encrypted", 1), 1);
	lzi_os.fsync = lzi_os.fdatasync = fails_for_snapshots;
	assert_rc(LATZ_NOSPC, latz_restore(snapshot, "p", &options, NULL));
	lzi_os = d->os;
	assert_false(has(d, "encrypted"));
	assert_ok(try_open(d, NULL, 0));
}

static void persist_that_fails(void **state)
{
	struct durable *d = *state;
	latz_options options = d->options;
	latz_pool *pool;

	leave(d, NULL, 1, 1);
	options.persist_dir = NULL;
	assert_ok(latz_open("p", &options, &pool));
	assert_ok(put(pool, "k", "v"));
	lzi_os.fsync = lzi_os.fdatasync = fails_for_snapshots;
	assert_rc(LATZ_NOSPC, latz_persist(pool, &d->options));
	lzi_os = d->os;
	assert_true(has(d, "encrypted"));
	assert_ok(latz_persist(pool, &d->options)); /* it is another pool's directory now, by its owner's word */
	assert_false(has(d, "encrypted"));
	assert_ok(latz_close(pool));
	assert_ok(try_open(d, NULL, 0));
}

static int dies_persisting(void *arg)
{
	const struct durable *d = arg;
	latz_options options = d->options;
	latz_pool *pool;

	options.persist_dir = NULL;
	CHECK_OK(latz_open("p", &options, &pool));
	CHECK_OK(put(pool, "k", "v"));
	lzi_point_arm("begin.snapshot", 1, LZI_POINT_KILL);
	(void)!latz_persist(pool, &d->options);
	return 0;
}

static void persist_that_dies(void **state)
{
	struct durable *d = *state;

	leave(d, NULL, 1, 1);
	assert_int_equal(proc_run(dies_persisting, d, 20000), 128 + SIGKILL);
	assert_true(has(d, "encrypted"));
}

/* One with a password alone is restored where an encrypted one was; there is no room for the other mark. */
static void no_room_for_the_mark(void **state)
{
	struct durable *d = *state;
	latz_options options = locked_by(d, 0);
	char snapshot[PATH];

	snprintf(snapshot, sizeof snapshot, "%s/s.lzs", d->dir);
	leave(d, snapshot, 0, 0);
	leave(d, NULL, 1, 1);
	lzi_os.openat = makes_no_mark;
	assert_rc(LATZ_NOSPC, latz_restore(snapshot, "p", &options, NULL));
	lzi_os = d->os;
	assert_true(has(d, "encrypted"));
	assert_rc(LATZ_AUTH, try_open(d, NULL, 0));
}

/* Too many descriptors for a moment. */
static void directory_that_fails_to_open(void **state)
{
	struct durable *d = *state;
	latz_options options = locked_by(d, 1);
	latz_pool *pool;
	char path[PATH];
	FILE *file;

	leave(d, NULL, 1, 1);
	snprintf(failing.path, sizeof failing.path, "%s/p", d->disk);
	failing.times = 1;
	lzi_os.openat = fails_at_first;
	if (try_open(d, "right", 0) == LATZ_OK) /* as who knows that it is there */
		assert_true(has(d, "encrypted"));
	lzi_os = d->os;
	(void)files(d, "wal-", 1);
	options.sync = LATZ_SYNC_ALWAYS;
	assert_ok(latz_open("p", &options, &pool));
	for (int i = 0; i < 3; i++)
		assert_ok(put(pool, "k", "secret"));
	assert_ok(latz_close(pool));
	path_of(d, "wal-1.log", path);
	file = fopen(path, "r+b");
	assert_non_null(file);
	assert_int_equal(fseek(file, 4096 + 70, SEEK_SET), 0);
	assert_int_equal(fputc(0x55, file), 0x55);
	assert_int_equal(fclose(file), 0);
	for (unsigned nth = 1; nth < 4; nth++) { /* whichever opening of it fails */
		failing.times = nth;
		lzi_os.openat = fails_at_first;
		assert_true(try_open(d, NULL, LATZ_START_EMPTY) != LATZ_OK);
		lzi_os = d->os;
		assert_true(has(d, "wal-1.log") && has(d, "encrypted"));
	}
}

/* Who has no password, or another, leaves no segment behind, of an encrypted pool's log or where there is none. */
static void refused(void **state)
{
	struct durable *d = *state;
	latz_options options = locked_by(d, 1);
	latz_pool *pool;
	unsigned before;

	for (int whole = 0; whole < 2; whole++) {
		if (whole) {
			assert_ok(latz_open("p", &options, &pool));
			assert_ok(put(pool, "k", "v"));
			assert_ok(latz_close(pool));
		} else {
			leave(d, NULL, 1, 1);
		}
		before = files(d, "wal-", 0);
		for (int i = 0; i < 5; i++)
			assert_rc(LATZ_AUTH, try_open(d, NULL, 0));
		if (whole)
			assert_rc(LATZ_AUTH, try_open(d, "wrong", 0));
		assert_int_equal(files(d, "wal-", 0), before);
	}
	assert_ok(latz_open("p", &options, &pool));
	assert_ok(latz_exists(pool, key_of("k")));
	assert_ok(latz_close(pool));
}

/* A word of a plain pool's is written over while that is made durable. */
static void plain_pool_said_to_be_locked(void **state)
{
	struct durable *d = *state;
	latz_options options = d->options;
	latz_pool *pool;
	uint32_t *kind;

	options.persist_dir = NULL;
	assert_ok(latz_open("p", &options, &pool));
	assert_ok(put(pool, "k", "v"));
	kind = &pool->store->control.shared->guarded.kind;
	lzi_store_relaxed(kind, LZI_LOCKED_PASSWORD);
	(void)!latz_persist(pool, &d->options);
	lzi_store_relaxed(kind, LZI_LOCKED_NOT);
	assert_ok(latz_sync_now(pool));
	assert_ok(latz_close(pool));
	assert_ok(try_open(d, NULL, 0));
}

/* ---- Data keys ---- */

static unsigned data_keys;

static int see(const latz_pool_info *info, void *arg)
{
	(void)arg;
	data_keys = info->data_keys;
	return 0;
}

static int dies_rekeying(void *arg)
{
	latz_rekey_options how = LATZ_REKEY_OPTIONS_INIT;
	latz_pool *pool = attach(arg);

	how.data_key = 1;
	lzi_point_arm("rekey.logged", 1, LZI_POINT_KILL);
	(void)!latz_rekey(pool, &how);
	return 0;
}

/* Who dies before a new data key is in use has used up a number, which is told. */
static void data_keys_used_up(void **state)
{
	struct durable *d = *state;
	latz_rekey_options how = LATZ_REKEY_OPTIONS_INIT;
	latz_pool *pool;

	d->options = locked_by(d, 1);
	pool = attach(d);
	for (unsigned i = 1; i < LATZ_DATA_KEYS; i++) {
		assert_int_equal(latz_list(d->dir, see, NULL), 0);
		assert_int_equal(data_keys, i);
		assert_int_equal(proc_run(dies_rekeying, d, 20000), 128 + SIGKILL);
	}
	assert_int_equal(latz_list(d->dir, see, NULL), 0);
	assert_int_equal(data_keys, LATZ_DATA_KEYS);
	how.data_key = 1;
	assert_rc(LATZ_FULL, latz_rekey(pool, &how));
	assert_ok(latz_close(pool));
	(void)put_large;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOG_TEST(restore_that_fails),   LOG_TEST(persist_that_fails),
		LOG_TEST(persist_that_dies),    LOG_TEST(no_room_for_the_mark),
		LOG_TEST(directory_that_fails_to_open), LOG_TEST(refused),
		LOG_TEST(plain_pool_said_to_be_locked), LOG_TEST(data_keys_used_up),
	};

	return suite_run(tests);
}
