/*
 * Persist directories: opening and locking them, what in them is a pool's.
 *
 * A directory belongs to one pool at a time: every attached process holds its lock shared, who restores from it or
 * begins a log in it exclusively.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/point.h"
#include "store/lifetime.h"
#include "store/log.h"
#include "store/pack.h"

#define LOCK_FILE "lock"
#define DISTRUST_FILE "unsynced"
#define ASIDE_FILE "aside"
/* Waiting for another process that restores the very pool; it shows its life by its lock. */
#define ATTEMPTS 6000u
#define ATTEMPT_US 10000u
#define SIGHTINGS 20u /* of a living pool, until it is believed */
#define SIGHTING_US 2000u

/* Absolute: other processes open it too, from wherever they are. */
int lzi_persist_path(const char *dir, const char *name, char path[LZI_PERSIST_PATH_MAX])
{
	char *absolute = lzi_path_absolute(dir);
	int n = absolute == NULL ? -1 : snprintf(path, LZI_PERSIST_PATH_MAX, "%s/%s", absolute, name);

	free(absolute);
	if (n < 0)
		return lzi_error(LATZ_NOMEM, "path");
	return n < (int)LZI_PERSIST_PATH_MAX ? LATZ_OK : lzi_error(LATZ_INVALID, "persist_dir's path is too long");
}

int lzi_persist_is_asked(const struct lzi_store *store, const latz_options *options)
{
	char asked[LZI_PERSIST_PATH_MAX], has[LZI_PERSIST_PATH_MAX];
	int rc = lzi_persist_path(options->persist_dir, store->name, asked);

	if (rc != LATZ_OK)
		return rc;
	if (!lzi_is_durable(store))
		return lzi_error(LATZ_EXISTS,
		                 "pool %s is there already and not durable: latz_persist() makes it so, and without a "
		                 "persist directory it is opened as it is",
		                 store->name);
	memcpy(has, store->control.shared->log.path, sizeof has); /* which another process may be changing */
	has[sizeof has - 1] = '\0';
	return strcmp(asked, has) == 0 || lzi_path_same(asked, has)
	               ? LATZ_OK
	               : lzi_error(LATZ_EXISTS, "pool %s is there already and durable in %s, not in %s", store->name,
	                           has, asked);
}

/* Where the pool says that its log is: another process may be changing it. Not taken at its word: it must be a
 * directory of the pool's owner, with a lock as every one has that a log was begun in, and not say that it is another
 * pool's. */
int lzi_persist_follow(struct lzi_store *store, char path[LZI_PERSIST_PATH_MAX], int *ret_dirfd, int *ret_lockfd)
{
	int dirfd = -1, lockfd = -1, rc;

	memcpy(path, store->control.shared->log.path, LZI_PERSIST_PATH_MAX);
	path[LZI_PERSIST_PATH_MAX - 1] = '\0';
	rc = path[0] != '/' ? lzi_error(LATZ_CORRUPT, "it is no path") : lzi_dir_open(path, 0, 0700, &dirfd);
	if (rc == LATZ_OK)
		rc = lzi_fd_follow(store->poolfd, dirfd, 0, path);
	if (rc == LATZ_OK)
		rc = lzi_owner_is(store, dirfd, path);
	if (rc == LATZ_OK)
		rc = lzi_file_open(dirfd, LOCK_FILE, 1, &lockfd);
	if (rc != LATZ_OK) {
		lzi_file_close(dirfd);
		return rc;
	}
	*ret_dirfd = dirfd;
	*ret_lockfd = lockfd;
	return LATZ_OK;
}

static int open_lock(int dirfd, int *ret_fd)
{
	int rc = lzi_file_open(dirfd, LOCK_FILE, 1, ret_fd);

	if (rc == LATZ_NOTFOUND) {
		rc = lzi_file_create(dirfd, LOCK_FILE, 0600, ret_fd);
		if (rc != LATZ_OK && lzi_file_open(dirfd, LOCK_FILE, 1, ret_fd) == LATZ_OK)
			rc = LATZ_OK; /* another was faster */
	}
	return rc;
}

void lzi_persist_part(struct lzi_store *store)
{
	if (store->persist.generation != 0)
		lzi_wal_close(&store->persist.wal);
	lzi_file_drop(&store->persist.lockfd);
	lzi_file_drop(&store->persist.dirfd);
	lzi_file_drop(&store->persist.old_dirfd);
	free(store->persist.buffer);
	store->persist.buffer = NULL;
	store->persist.generation = 0;
}

void lzi_persist_adopt(struct lzi_store *store)
{
	const struct lzi_log_state *log = &store->control.shared->log;

	lzi_wal_init(&store->persist.wal, store->persist.dirfd, log->log_id);
	store->persist.wal.move = lzi_log_move(store);
	store->persist.generation = log->generation;
}

int lzi_persist_join(struct lzi_store *store)
{
	const struct lzi_log_state *log = &store->control.shared->log;
	char path[LZI_PERSIST_PATH_MAX] = "";
	int old, rc;

	if (store->persist.generation == log->generation)
		return LATZ_OK;
	/* A thread of ours that has the scribe's office may be using the directory: then nobody begins a log or ends
	 * it, whatever is written there. Its descriptor must not become another file's meanwhile. */
	old = lzi_load_acquire(&store->own.scribe) != 0 ? store->persist.dirfd : -1;
	if (old >= 0 && store->persist.old_dirfd >= 0)
		return lzi_error(LATZ_BUSY, "the log is being moved");
	if (old >= 0)
		store->persist.dirfd = -1;
	lzi_persist_part(store);
	store->persist.old_dirfd = old;
	rc = lzi_persist_follow(store, path, &store->persist.dirfd, &store->persist.lockfd);
	if (rc == LATZ_OK && lzi_ofd_try(store->persist.lockfd, 0, 0) != LATZ_OK) {
		rc = lzi_error(LATZ_BUSY, "%s is being restored by another pool", path);
		lzi_file_drop(&store->persist.lockfd);
		lzi_file_drop(&store->persist.dirfd);
	}
	if (rc != LATZ_OK)
		return lzi_error_prefix(rc, "persist directory %s", path);
	lzi_persist_adopt(store);
	return LATZ_OK;
}

/* Exclusive, or why not. A holder that has it shared is a living pool; one that has it alone is about to be one. */
static int lock_alone(int fd, const char *path)
{
	unsigned i, seen = 0;

	for (i = 0; i < ATTEMPTS; i++) {
		if (lzi_ofd_try(fd, 0, 1) == LATZ_OK)
			return LATZ_OK;
		if (lzi_ofd_try(fd, 0, 0) == LATZ_OK) {
			/* Or somebody who looks just as we do. */
			lzi_ofd_unlock(fd, 0);
			if (++seen == SIGHTINGS)
				break;
			lzi_sleep_us(SIGHTING_US);
		} else {
			lzi_sleep_us(ATTEMPT_US);
		}
	}
	return lzi_error(LZI_IN_USE, "%s is in use by a pool of another runtime directory, or being restored", path);
}

/* The lock file, locked alone. Who ended a log here has removed the file under who had it locked. */
static int open_alone(int dirfd, const char *path, int *ret_fd)
{
	int rc;

	for (;;) {
		rc = open_lock(dirfd, ret_fd);
		if (rc != LATZ_OK)
			return rc;
		rc = lock_alone(*ret_fd, path);
		if (rc != LATZ_OK || lzi_file_same(dirfd, LOCK_FILE, *ret_fd))
			break;
		lzi_file_close(*ret_fd);
	}
	if (rc != LATZ_OK) {
		lzi_file_close(*ret_fd);
		*ret_fd = -1;
	}
	return rc;
}

void lzi_persist_unname_lock(struct lzi_store *store)
{
	(void)!lzi_disk_remove(store->persist.dirfd, LOCK_FILE);
}

/* The name of persist_dir itself, where it may be new, is on disk. One that was there before us may be below a
 * directory that we must not read: then it is somebody else's work. */
static int sync_name(const char *dir)
{
	char parent[LZI_PERSIST_PATH_MAX];
	size_t size = strlen(dir);
	int fd, rc;

	while (size > 1 && dir[size - 1] == '/')
		size--;
	while (size > 0 && dir[size - 1] != '/')
		size--;
	snprintf(parent, sizeof parent, "%.*s", size == 0 ? 1 : (int)size, size == 0 ? "." : dir);
	rc = lzi_disk_open_dir(parent, &fd);
	if (rc == LATZ_ACCESS)
		return LATZ_OK;
	if (rc == LATZ_OK) {
		rc = lzi_disk_sync_dir(fd);
		lzi_file_close(fd);
	}
	return rc;
}

int lzi_persist_prepare(struct lzi_store *store, const latz_options *options)
{
	char path[LZI_PERSIST_PATH_MAX];
	int parent, rc = lzi_persist_path(options->persist_dir, store->name, path);

	if (rc == LATZ_OK)
		rc = lzi_dir_open(options->persist_dir, 1, 0700, &parent);
	if (rc != LATZ_OK)
		return lzi_error_prefix(rc, "persist_dir %s", options->persist_dir);
	rc = sync_name(options->persist_dir);
	if (rc != LATZ_OK) {
		lzi_file_close(parent);
		return lzi_error_prefix(rc, "persist_dir %s", options->persist_dir);
	}
	rc = lzi_dir_make(parent, store->name, 0700);
	if (rc == LATZ_OK || rc == LATZ_EXISTS)
		rc = lzi_dir_open_at(parent, store->name, &store->persist.dirfd);
	if (rc == LATZ_OK)
		rc = lzi_disk_sync_dir(parent);
	lzi_file_close(parent);
	if (rc == LATZ_OK)
		rc = open_alone(store->persist.dirfd, path, &store->persist.lockfd);
	if (rc == LATZ_OK)
		rc = lzi_owner_take(store, store->persist.dirfd, path, &store->persist.was_left);
	if (rc != LATZ_OK) {
		lzi_persist_part(store);
		return lzi_error_prefix(rc, "persist directory %s", path);
	}
	return LATZ_OK;
}

/* The directory is ours already, and others who are attached have its lock as we do. */
int lzi_persist_prepare_again(struct lzi_store *store, const char *path)
{
	int rc = lzi_dir_open(path, 0, 0700, &store->persist.dirfd);

	if (rc == LATZ_OK)
		rc = open_lock(store->persist.dirfd, &store->persist.lockfd);
	if (rc == LATZ_OK && lzi_ofd_try(store->persist.lockfd, 0, 0) != LATZ_OK)
		rc = lzi_error(LZI_IN_USE, "%s is being restored", path);
	/* If it was made anew by hand, it does not say yet whose it is. */
	if (rc == LATZ_OK)
		rc = lzi_owner_take(store, store->persist.dirfd, path, NULL);
	if (rc != LATZ_OK)
		lzi_persist_part(store);
	return rc == LATZ_OK ? rc : lzi_error_prefix(rc, "persist directory %s", path);
}

static int is_ours(const char *name)
{
	size_t size = strlen(name);

	return lzi_dict_is(name) ||
	       (strncmp(name, "snapshot-", 9) == 0 && size > 4 && strcmp(name + size - 4, ".lzs") == 0) ||
	       (strncmp(name, "wal-", 4) == 0 && size > 4 && strcmp(name + size - 4, ".log") == 0);
}

int lzi_persist_holds(const char *dir, const char *name)
{
	char path[LZI_PERSIST_PATH_MAX], **names;
	size_t count, i;
	int dirfd, found = 0;

	if (lzi_persist_path(dir, name, path) != LATZ_OK || lzi_dir_open(path, 0, 0, &dirfd) != LATZ_OK)
		return 0;
	if (lzi_dir_read(dirfd, &names, &count) == LATZ_OK) {
		for (i = 0; i < count; i++)
			found |= is_ours(names[i]) && !lzi_dict_is(names[i]);
		lzi_dir_free(names, count);
	}
	lzi_file_close(dirfd);
	return found;
}

int lzi_persist_is_whole(int dirfd)
{
	int fd, rc = lzi_disk_open(dirfd, ASIDE_FILE, 0, &fd);

	if (rc != LATZ_OK) /* where it can't be told, nobody sets aside more */
		return rc == LATZ_NOTFOUND ? LATZ_OK : rc;
	lzi_file_close(fd);
	return lzi_error(LATZ_CORRUPT, "files were being set aside, and some are; LATZ_START_EMPTY goes on");
}

/* From the first file renamed to the last, what is left may look like a pool that it never was. */
static int begin_aside(int dirfd)
{
	int fd, rc = lzi_disk_create(dirfd, ASIDE_FILE, &fd);

	if (rc != LATZ_OK)
		return rc;
	lzi_file_close(fd);
	return lzi_disk_sync_dir(dirfd);
}

/* The caller holds the directory's lock alone, through a store that is being made. */
static int set_aside(int dirfd, const char *path)
{
	char bad[300], **names;
	size_t count, i;
	int rc = begin_aside(dirfd);

	if (rc == LATZ_OK)
		rc = lzi_dir_read(dirfd, &names, &count);
	if (rc != LATZ_OK)
		return rc;
	for (i = 0; i < count && rc == LATZ_OK; i++) {
		if (!is_ours(names[i]))
			continue;
		snprintf(bad, sizeof bad, "%.200s.%lld.bad", names[i], (long long)lzi_clock_wall_ms());
		rc = lzi_disk_rename(dirfd, names[i], bad);
		lzi_log(LATZ_LOG_WARNING, "%s/%s could not be restored: set aside as %s", path, names[i], bad);
		LZI_POINT("aside.renamed");
	}
	lzi_dir_free(names, count);
	if (rc == LATZ_OK)
		rc = lzi_disk_sync_dir(dirfd);
	if (rc == LATZ_OK)
		rc = lzi_disk_remove(dirfd, ASIDE_FILE);
	LZI_POINT("aside.done");
	return rc == LATZ_OK ? lzi_disk_sync_dir(dirfd) : rc;
}

int lzi_persist_set_aside(const char *dir, const char *name)
{
	char path[LZI_PERSIST_PATH_MAX];
	int dirfd, lockfd = -1, rc = lzi_persist_path(dir, name, path);

	if (rc == LATZ_OK)
		rc = lzi_dir_open(path, 0, 0, &dirfd);
	if (rc != LATZ_OK)
		return rc;
	rc = open_alone(dirfd, path, &lockfd);
	if (rc == LATZ_OK)
		rc = set_aside(dirfd, path);
	lzi_file_close(lockfd);
	lzi_file_close(dirfd);
	return rc;
}

int lzi_persist_vacant(struct lzi_store *store, const latz_options *options)
{
	if (lzi_persist_holds(options->persist_dir, store->name))
		return lzi_error(LATZ_EXISTS, "%s/%s holds a pool already; open it, or take those files away",
		                 options->persist_dir, store->name);
	/* Who set aside all there was may have died before he said so: of what comes now it is not true. That it is
	 * gone is on disk before a snapshot counts, which is followed by a sync of the directory. */
	return lzi_disk_remove(store->persist.dirfd, ASIDE_FILE);
}

/* A beginning that failed leaves nothing, so that another can be tried. */
void lzi_persist_clear(int dirfd)
{
	char **names;
	size_t count, i;

	if (lzi_dir_read(dirfd, &names, &count) != LATZ_OK)
		return;
	for (i = 0; i < count; i++) {
		if (is_ours(names[i]))
			(void)!lzi_disk_remove(dirfd, names[i]);
	}
	lzi_dir_free(names, count);
}

void lzi_persist_distrust(int dirfd)
{
	uint8_t boot[16];
	int fd;

	/* It need not be on disk: what it tells of is over after a power cut. */
	lzi_boot_id(boot);
	if (lzi_disk_create(dirfd, DISTRUST_FILE, &fd) != LATZ_OK)
		return;
	(void)!lzi_disk_write_at(fd, DISTRUST_FILE, boot, sizeof boot, 0);
	lzi_file_close(fd);
}

int lzi_persist_trusts(int dirfd)
{
	uint8_t boot[16], told[16];
	uint64_t got = 0;
	int fd, rc = lzi_disk_open(dirfd, DISTRUST_FILE, 0, &fd);

	if (rc == LATZ_NOTFOUND)
		return 1;
	if (rc != LATZ_OK)
		return 0;
	rc = lzi_disk_read_at(fd, DISTRUST_FILE, told, sizeof told, 0, &got);
	lzi_file_close(fd);
	lzi_boot_id(boot);
	return rc == LATZ_OK && got == sizeof told && memcmp(boot, told, sizeof told) != 0;
}

void lzi_persist_trust(int dirfd)
{
	(void)!lzi_disk_remove(dirfd, DISTRUST_FILE);
}
