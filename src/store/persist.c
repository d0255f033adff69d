/*
 * Persist directories: opening and locking them, beginning and ending a log, checkpoints, the scribe.
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
#include "store/snapshot.h"

#define LOCK_FILE "lock"
#define INTERVAL_MS 1000u
#define CHECKPOINT_BYTES (256ull << 20)
/* Waiting for another process that restores the very pool; it shows its life by its lock. */
#define ATTEMPTS 6000u
#define ATTEMPT_US 10000u
/* After a full disk, a new beginning is tried so often. */
#define HEAL_EVERY_MS 5000

/* ---- Directories ---- */

/* Absolute: other processes open it too, from wherever they are. */
static int make_path(const char *dir, const char *name, char path[LZI_PERSIST_PATH_MAX])
{
	char *absolute = lzi_path_absolute(dir);
	int n = absolute == NULL ? -1 : snprintf(path, LZI_PERSIST_PATH_MAX, "%s/%s", absolute, name);

	free(absolute);
	if (n < 0)
		return lzi_error(LATZ_NOMEM, "path");
	return n < (int)LZI_PERSIST_PATH_MAX ? LATZ_OK : lzi_error(LATZ_INVALID, "persist_dir's path is too long");
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
	lzi_file_close(store->persist.lockfd);
	lzi_file_close(store->persist.dirfd);
	free(store->persist.buffer);
	store->persist.buffer = NULL;
	store->persist.dirfd = store->persist.lockfd = -1;
	store->persist.generation = 0;
}

static void adopt(struct lzi_store *store)
{
	const struct lzi_log_state *log = &store->control.shared->log;

	lzi_wal_init(&store->persist.wal, store->persist.dirfd, log->log_id);
	store->persist.wal.move = lzi_log_move(store);
	store->persist.generation = log->generation;
}

int lzi_persist_join(struct lzi_store *store)
{
	const struct lzi_log_state *log = &store->control.shared->log;
	int rc;

	if (store->persist.generation == log->generation)
		return LATZ_OK;
	lzi_persist_part(store);
	rc = lzi_dir_open(log->path, 0, 0700, &store->persist.dirfd);
	if (rc == LATZ_OK)
		rc = open_lock(store->persist.dirfd, &store->persist.lockfd);
	if (rc == LATZ_OK && lzi_ofd_try(store->persist.lockfd, 0, 0) != LATZ_OK)
		rc = lzi_error(LATZ_BUSY, "%s is being restored by another pool", log->path);
	if (rc != LATZ_OK) {
		lzi_persist_part(store);
		return lzi_error_prefix(rc, "persist directory %s", log->path);
	}
	adopt(store);
	return LATZ_OK;
}

/* Exclusive, or why not. A holder that has it shared is a living pool; one that has it alone is about to be one. */
static int lock_alone(int fd, const char *path)
{
	unsigned i;

	for (i = 0; i < ATTEMPTS; i++) {
		if (lzi_ofd_try(fd, 0, 1) == LATZ_OK)
			return LATZ_OK;
		if (lzi_ofd_try(fd, 0, 0) == LATZ_OK) {
			/* Or somebody who looks just as we do. */
			lzi_ofd_unlock(fd, 0);
			if (i >= 20)
				break;
		}
		lzi_sleep_us(ATTEMPT_US);
	}
	return lzi_error(LZI_IN_USE, "%s is in use by a pool of another runtime directory, or being restored", path);
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
	int parent, rc = make_path(options->persist_dir, store->name, path);

	if (rc == LATZ_OK)
		rc = lzi_dir_open(options->persist_dir, 1, 0700, &parent);
	if (rc != LATZ_OK)
		return lzi_error_prefix(rc, "persist_dir %s", options->persist_dir);
	rc = sync_name(options->persist_dir);
	if (rc != LATZ_OK) {
		lzi_file_close(parent);
		return lzi_error_prefix(rc, "persist_dir %s", options->persist_dir);
	}
	rc = lzi_dir_open(path, 1, 0700, &store->persist.dirfd);
	if (rc == LATZ_OK)
		rc = lzi_disk_sync_dir(parent);
	lzi_file_close(parent);
	if (rc == LATZ_OK)
		rc = open_lock(store->persist.dirfd, &store->persist.lockfd);
	if (rc == LATZ_OK)
		rc = lock_alone(store->persist.lockfd, path);
	if (rc == LATZ_OK)
		rc = lzi_owner_take(store, store->persist.dirfd, path);
	if (rc != LATZ_OK) {
		lzi_persist_part(store);
		return lzi_error_prefix(rc, "persist directory %s", path);
	}
	return LATZ_OK;
}

/* The directory is ours already, and others who are attached have its lock as we do. */
static int prepare_again(struct lzi_store *store, const char *path)
{
	int rc = lzi_dir_open(path, 0, 0700, &store->persist.dirfd);

	if (rc == LATZ_OK)
		rc = open_lock(store->persist.dirfd, &store->persist.lockfd);
	if (rc == LATZ_OK && lzi_ofd_try(store->persist.lockfd, 0, 0) != LATZ_OK)
		rc = lzi_error(LZI_IN_USE, "%s is being restored", path);
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

	if (make_path(dir, name, path) != LATZ_OK || lzi_dir_open(path, 0, 0, &dirfd) != LATZ_OK)
		return 0;
	if (lzi_dir_read(dirfd, &names, &count) == LATZ_OK) {
		for (i = 0; i < count; i++)
			found |= is_ours(names[i]) && !lzi_dict_is(names[i]);
		lzi_dir_free(names, count);
	}
	lzi_file_close(dirfd);
	return found;
}

/* The caller holds the directory's lock alone, through a store that is being made. */
static int set_aside(int dirfd, const char *path)
{
	char bad[300], **names;
	size_t count, i;
	int rc = lzi_dir_read(dirfd, &names, &count);

	if (rc != LATZ_OK)
		return rc;
	for (i = 0; i < count && rc == LATZ_OK; i++) {
		if (!is_ours(names[i]))
			continue;
		snprintf(bad, sizeof bad, "%.200s.%lld.bad", names[i], (long long)lzi_clock_wall_ms());
		rc = lzi_disk_rename(dirfd, names[i], bad);
		lzi_log(LATZ_LOG_WARNING, "%s/%s could not be restored: set aside as %s", path, names[i], bad);
	}
	lzi_dir_free(names, count);
	return rc == LATZ_OK ? lzi_disk_sync_dir(dirfd) : rc;
}

int lzi_persist_set_aside(const char *dir, const char *name)
{
	char path[LZI_PERSIST_PATH_MAX];
	int dirfd, lockfd = -1, rc = make_path(dir, name, path);

	if (rc == LATZ_OK)
		rc = lzi_dir_open(path, 0, 0, &dirfd);
	if (rc != LATZ_OK)
		return rc;
	rc = open_lock(dirfd, &lockfd);
	if (rc == LATZ_OK)
		rc = lock_alone(lockfd, path);
	if (rc == LATZ_OK)
		rc = set_aside(dirfd, path);
	lzi_file_close(lockfd);
	lzi_file_close(dirfd);
	return rc;
}

/* ---- Beginning and ending ---- */

static void take_settings(struct lzi_log_state *log, const latz_options *options)
{
	lzi_store_relaxed(&log->sync, (uint32_t)options->sync);
	lzi_store_relaxed(&log->interval_ms, options->sync_interval_ms == 0 ? INTERVAL_MS : options->sync_interval_ms);
	log->checkpoint_bytes = options->checkpoint_bytes == 0 ? CHECKPOINT_BYTES : options->checkpoint_bytes;
	log->snapshot_on_close = (uint32_t)(options->snapshot_on_close != 0);
}

static void raise_flag(struct lzi_store *store)
{
	struct lzi_shared *shared = store->control.shared;

	lzi_store_release(&shared->durable, (uint32_t)(shared->log.sync == LATZ_SYNC_ALWAYS ? LZI_DURABLE_ALWAYS
	                                                                                     : LZI_DURABLE_ON));
}

/* What is in the heap now need not be logged: a snapshot has it, or will. */
static void mark_logged(struct lzi_store *store)
{
	uint64_t n = lzi_load_acquire(&store->control.shared->extents), e, tail;

	(void)lzi_heap_view(&store->heap);
	for (e = 0; e < n; e++) {
		if (lzi_extent_holds(store, e, &tail))
			lzi_store_release(&lzi_heap_meta(&store->heap, e)->logged, (uint32_t)(tail / LZI_UNIT));
	}
}

/* The state of a log that begins; the directory is open and locked alone. */
static int begin_log(struct lzi_store *store, const uint8_t id[16], const char *path, uint64_t segment, uint64_t frame)
{
	struct lzi_log_state *log = &store->control.shared->log;
	struct lzi_wal_position *position = lzi_log_position(store);
	static const uint8_t none[16];
	int rc = LATZ_OK;

	if (memcmp(id, none, 16) != 0)
		memcpy(log->log_id, id, 16);
	else
		rc = lzi_random(log->log_id, sizeof log->log_id);
	if (rc != LATZ_OK)
		return rc;
	if (path != log->path)
		snprintf(log->path, sizeof log->path, "%s", path);
	memset(position, 0, sizeof *position);
	position->frame = frame;
	position->synced = frame;
	log->synced_pages = 0;
	log->sweep = 0;
	log->left_tail = lzi_load_acquire(&log->left_head);
	memset(log->left, 0, sizeof log->left);
	log->generation++;
	adopt(store);
	rc = lzi_wal_begin(&store->persist.wal, position, segment);
	if (rc == LATZ_OK) {
		lzi_store_release(&log->broken, 0);
		log->synced_mono_ms = lzi_clock_mono_ms();
	}
	return rc;
}

int lzi_persist_continue(struct lzi_store *store, const uint8_t id[16], uint64_t segment, uint64_t frame,
                         const struct lzi_snap_info *info)
{
	struct lzi_log_state *log = &store->control.shared->log;
	int rc;

	mark_logged(store);
	rc = begin_log(store, id, log->path, segment + 1, frame);
	log->snapshot_seq = info->seq;
	log->snapshot_wall_ms = info->wall_ms;
	LZI_POINT("warm.begun");
	return rc;
}

/* The log stops; who waits for it is told. The mutex is held. */
static void end_log(struct lzi_store *store)
{
	struct lzi_log_state *log = &store->control.shared->log;

	lzi_store_release(&store->control.shared->durable, (uint32_t)LZI_DURABLE_OFF);
	lzi_fetch_add(&log->bell, 1u);
	lzi_futex_wake(&log->bell);
	log->path[0] = '\0';
	log->generation++;
	lzi_persist_part(store);
}

int lzi_persist_end(struct lzi_store *store)
{
	struct lzi_log_state *log = &store->control.shared->log;
	int rc = lzi_mutex_lock(&log->mutex, store->control.timeout_ms * 30, "log");

	if (rc < 0)
		return rc;
	rc = LATZ_OK;
	if (lzi_is_durable(store)) {
		/* It ends also if its directory is gone; but then we say so. */
		if (lzi_load_acquire(&log->broken) == 0 && (rc = lzi_persist_join(store)) == LATZ_OK)
			rc = lzi_log_flush(store, 1);
		end_log(store);
	}
	lzi_log_unlock(store);
	return rc;
}

/* Writers that looked at the flag before it was raised have ended when a pin could be taken. */
static int wait_for_writers(struct lzi_store *store)
{
	uint32_t pin;
	uint64_t seq;
	int rc = lzi_pin_take(&store->control, store->client, &pin, &seq);

	if (rc == LATZ_OK)
		lzi_pin_drop(&store->control, pin);
	return rc;
}

/* A log that begins while the pool is in use: a snapshot first, then the segment that goes on from it, so that the
 * directory is whole, or holds nothing that counts, at every moment. Until both are there the log counts as broken:
 * nobody flushes; but cleaning keeps what is written from now on, since the first flush has to find it. */
static int start_over(struct lzi_call *call, uint64_t segment)
{
	struct lzi_store *store = call->store;
	struct lzi_log_state *log = &store->control.shared->log;
	struct lzi_wal_position *position = lzi_log_position(store);
	struct lzi_snapshot_job job = { .tick = NULL };
	struct lzi_snap_info info = { .first_segment = segment };
	int rc;

	lzi_store_release(&log->healing, 1u);
	rc = lzi_maint_lock(store, 1); /* a cleaning that has not seen it ends */
	if (rc >= 0) {
		lzi_maint_unlock(store);
		rc = wait_for_writers(store);
	}
	/* Nothing is freed meanwhile, and taken again: the mark would be the new owner's. */
	if (rc == LATZ_OK && (rc = lzi_maint_lock(store, 1)) >= 0) {
		mark_logged(store);
		lzi_maint_unlock(store);
		rc = LATZ_OK;
	}
	memcpy(info.log_id, log->log_id, sizeof info.log_id);
	LZI_POINT("begin.marked");
	if (rc == LATZ_OK)
		rc = lzi_dict_save(store, store->persist.dirfd, info.log_id);
	LZI_POINT("begin.dicts");
	if (rc == LATZ_OK)
		rc = lzi_snapshot_to_file(call, store->persist.dirfd, NULL, &job, &info);
	LZI_POINT("begin.snapshot");
	if (rc == LATZ_OK && (rc = lzi_log_mutex(store, store->control.timeout_ms * 30)) >= 0) {
		uint64_t frame = position->frame + 1;

		lzi_wal_close(&store->persist.wal);
		memset(position, 0, sizeof *position);
		position->frame = position->synced = frame;
		log->synced_pages = 0;
		log->sweep = 1;
		rc = lzi_wal_begin(&store->persist.wal, position, segment);
		if (rc == LATZ_OK) {
			log->snapshot_seq = info.seq;
			log->snapshot_wall_ms = info.wall_ms;
			log->synced_mono_ms = lzi_clock_mono_ms();
			lzi_store_release(&log->broken, 0);
		} else {
			position->segment = segment;
		}
		lzi_log_unlock(store);
	}
	LZI_POINT("begin.segment");
	lzi_store_release(&log->healing, 0u);
	/* The log has begun; what it replaces can stay until the next checkpoint, if it can't be removed now. */
	if (rc == LATZ_OK && (lzi_snapshot_remove_below(store->persist.dirfd, info.seq) != LATZ_OK ||
	                      lzi_wal_remove_below(store->persist.dirfd, segment) != LATZ_OK))
		lzi_log(LATZ_LOG_WARNING, "%s: old files stay: %s", store->name, lzi_error_text());
	return rc;
}

/* A beginning that failed leaves nothing, so that another can be tried. */
static void remove_ours(int dirfd)
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

/* The directory, opened and locked; the state says that the log is about to begin. */
static int begin_here(struct lzi_store *store, const latz_options *options, uint64_t *ret_segment, int *ret_again)
{
	struct lzi_log_state *log = &store->control.shared->log;
	char path[LZI_PERSIST_PATH_MAX];
	uint64_t first = 0, last = 0;
	int rc = make_path(options->persist_dir, store->name, path), again;

	*ret_again = again = rc == LATZ_OK && strcmp(path, log->path) == 0; /* after it broke */
	lzi_persist_part(store);
	if (rc == LATZ_OK)
		rc = again ? prepare_again(store, path) : lzi_persist_prepare(store, options);
	if (rc == LATZ_OK && !again && lzi_persist_holds(options->persist_dir, store->name))
		rc = lzi_error(LATZ_EXISTS, "%s holds a pool already; open it, or take those files away", path);
	if (rc == LATZ_OK)
		rc = lzi_wal_range(store->persist.dirfd, &first, &last);
	if (rc == LATZ_OK && !again)
		rc = lzi_random(log->log_id, sizeof log->log_id);
	if (rc == LATZ_OK && lzi_ofd_try(store->persist.lockfd, 0, 0) != LATZ_OK)
		rc = lzi_error(LATZ_IO, "lock of %s", path);
	if (rc != LATZ_OK) {
		lzi_persist_part(store);
		return rc;
	}
	take_settings(log, options);
	snprintf(log->path, sizeof log->path, "%s", path);
	*ret_segment = (last > lzi_log_position(store)->segment ? last : lzi_log_position(store)->segment) + 1;
	lzi_store_release(&log->broken, LATZ_IO);
	log->generation++;
	adopt(store);
	lzi_store_release(&log->healing, 1u); /* from here on others finish it if we die */
	/* What was promised to every write of a log that broke is not given without it now. */
	if (!again)
		lzi_store_release(&store->control.shared->durable, (uint32_t)LZI_DURABLE_ON);
	return LATZ_OK;
}

int lzi_persist_begin(struct lzi_call *call, const latz_options *options)
{
	struct lzi_store *store = call->store;
	struct lzi_log_state *log = &store->control.shared->log;
	uint64_t segment;
	int again = 0, rc = lzi_mutex_lock(&log->scribe, store->control.timeout_ms * 30, "scribe");

	if (rc < 0)
		return rc;
	rc = lzi_log_mutex(store, store->control.timeout_ms * 30);
	if (rc >= 0) {
		/* Without its directory it is durable in name only. */
		if (lzi_is_durable(store) && log->broken == 0 && lzi_persist_join(store) != LATZ_OK)
			lzi_log_break(store, LATZ_IO);
		if (lzi_is_durable(store) && log->broken == 0)
			rc = lzi_error(LATZ_EXISTS, "pool %s is durable already, in %s", store->name, log->path);
		else
			rc = begin_here(store, options, &segment, &again);
		if (rc == LZI_IN_USE)
			rc = lzi_error(LATZ_BUSY, "%s", lzi_error_text());
		lzi_log_unlock(store);
	}
	if (rc == LATZ_OK) {
		rc = start_over(call, segment);
		if (rc == LATZ_OK) {
			raise_flag(store);
		} else if (!again) {
			remove_ours(store->persist.dirfd);
			(void)!lzi_persist_end(store);
		}
	}
	lzi_mutex_unlock(&log->scribe);
	return rc;
}

/* A pool that is being made: everything in place, seen by nobody yet. */
int lzi_persist_create(struct lzi_store *store, const latz_options *options, void *arg)
{
	struct lzi_log_state *log = &store->control.shared->log;
	int rc = make_path(options->persist_dir, store->name, log->path);

	(void)arg;
	if (rc == LATZ_OK)
		rc = lzi_persist_prepare(store, options);
	if (rc != LATZ_OK)
		return rc;
	take_settings(log, options);
	rc = lzi_warm_start(store);
	if (rc != LATZ_OK)
		return lzi_error_prefix(rc, "%s", log->path);
	raise_flag(store);
	return LATZ_OK;
}

/* The snapshot before the log: so the directory is whole, or holds nothing that counts, at every moment. */
int lzi_persist_create_from(struct lzi_store *store, const latz_options *options)
{
	struct lzi_log_state *log = &store->control.shared->log;
	struct lzi_snapshot_job job = { .tick = NULL };
	struct lzi_snap_info info = { .first_segment = 1 };
	struct lzi_call call;
	int rc = make_path(options->persist_dir, store->name, log->path);

	if (rc == LATZ_OK)
		rc = lzi_persist_prepare(store, options);
	if (rc == LATZ_OK && lzi_persist_holds(options->persist_dir, store->name))
		rc = lzi_error(LATZ_EXISTS, "%s holds a pool already", log->path);
	if (rc == LATZ_OK)
		rc = lzi_random(info.log_id, sizeof info.log_id);
	if (rc == LATZ_OK)
		rc = lzi_thread_find(store, &call);
	if (rc != LATZ_OK)
		return rc;
	rc = lzi_dict_save(store, store->persist.dirfd, info.log_id);
	if (rc == LATZ_OK)
		rc = lzi_snapshot_to_file(&call, store->persist.dirfd, NULL, &job, &info);
	if (rc == LATZ_OK) {
		take_settings(log, options);
		rc = lzi_persist_continue(store, info.log_id, 0, 1, &info);
	}
	if (rc == LATZ_OK)
		raise_flag(store);
	else
		remove_ours(store->persist.dirfd);
	return rc;
}

/* ---- Checkpoints ---- */

static int tick(uint64_t keys, uint64_t bytes, void *arg)
{
	(void)keys;
	(void)bytes;
	lzi_log_tick(arg);
	return 0;
}

int lzi_checkpoint(struct lzi_call *call)
{
	struct lzi_store *store = call->store;
	struct lzi_log_state *log = &store->control.shared->log;
	struct lzi_wal_position *position = lzi_log_position(store);
	struct lzi_snapshot_job job = { .tick = tick, .arg = store };
	struct lzi_snap_info info = { .seq = 0 };
	uint64_t bytes = 0;
	int rc = lzi_log_lock(store, 1);

	if (rc != LATZ_OK)
		return rc;
	rc = lzi_is_durable(store) ? lzi_log_flush(store, 1) : lzi_error(LATZ_UNSUPPORTED, "not durable");
	if (rc == LATZ_OK) {
		bytes = position->bytes;
		rc = lzi_wal_begin(&store->persist.wal, position, position->segment + 1);
		if (rc != LATZ_OK)
			lzi_log_break(store, rc);
	}
	info.first_segment = position->segment;
	memcpy(info.log_id, log->log_id, sizeof info.log_id);
	lzi_log_unlock(store);
	LZI_POINT("checkpoint.rolled");
	if (rc == LATZ_OK)
		rc = lzi_snapshot_to_file(call, store->persist.dirfd, NULL, &job, &info);
	LZI_POINT("checkpoint.written");
	if (rc == LATZ_OK)
		rc = lzi_snapshot_remove_below(store->persist.dirfd, info.seq);
	if (rc == LATZ_OK)
		rc = lzi_log_lock(store, 1);
	if (rc != LATZ_OK)
		return rc;
	rc = lzi_wal_remove_below(store->persist.dirfd, info.first_segment);
	position->bytes -= bytes < position->bytes ? bytes : position->bytes;
	log->synced_pages -= bytes / LZI_PAGE < log->synced_pages ? (uint32_t)(bytes / LZI_PAGE) : log->synced_pages;
	log->snapshot_seq = info.seq;
	log->snapshot_wall_ms = info.wall_ms;
	lzi_log_unlock(store);
	LZI_POINT("checkpoint.removed");
	return rc;
}

/* A disk that was full may have room again: a new beginning, in files of its own. After anything else only a person
 * says that the disk is to be trusted again (latz_persist()). */
static void heal(struct lzi_call *call)
{
	struct lzi_store *store = call->store;
	struct lzi_log_state *log = &store->control.shared->log;
	int64_t now = lzi_clock_mono_ms();

	if (log->broken != LATZ_NOSPC || now - log->healed_mono_ms < HEAL_EVERY_MS)
		return;
	log->healed_mono_ms = now;
	if (lzi_log_lock(store, 0) != LATZ_OK)
		return;
	lzi_log_unlock(store);
	if (start_over(call, lzi_log_position(store)->segment + 1) == LATZ_OK)
		lzi_log(LATZ_LOG_WARNING, "%s: the log has begun anew with a snapshot: durable again", store->name);
}

/* Who began the log died on the way: it is begun for them. The scribe's mutex is held. */
static void finish_beginning(struct lzi_call *call)
{
	struct lzi_store *store = call->store;
	uint64_t first, last = 0, present;
	int rc = lzi_log_lock(store, 1);

	if (rc == LATZ_OK) {
		present = lzi_log_position(store)->segment;
		rc = lzi_wal_range(store->persist.dirfd, &first, &last);
		lzi_log_unlock(store);
	}
	if (rc == LATZ_OK)
		rc = start_over(call, (last > present ? last : present) + 1);
	if (rc == LATZ_OK)
		raise_flag(store);
	else
		lzi_log(LATZ_LOG_WARNING, "%s: beginning the log: %s", store->name, lzi_error_text());
}

void lzi_scribe_work(struct lzi_call *call)
{
	struct lzi_store *store = call->store;
	struct lzi_log_state *log = &store->control.shared->log;
	int rc;

	if (!lzi_is_durable(store))
		return;
	/* By everybody: who has the other office may be stopped, or busy with a snapshot. */
	lzi_log_tick(store);
	if (lzi_mutex_lock(&log->scribe, 0, "scribe") < 0)
		return;
	if (lzi_load_acquire(&log->healing) != 0)
		finish_beginning(call);
	else if (lzi_load_acquire(&log->broken) != 0)
		heal(call);
	else if (store->persist.generation == log->generation)
		(void)!lzi_wal_prepare(store->persist.dirfd);
	if (lzi_log_position(store)->bytes > log->checkpoint_bytes && log->broken == 0) {
		rc = lzi_checkpoint(call);
		if (rc != LATZ_OK)
			lzi_log(LATZ_LOG_WARNING, "%s: checkpoint: %s: %s", store->name, latz_strerror(rc),
			        lzi_error_text());
	}
	lzi_mutex_unlock(&log->scribe);
}

void lzi_persist_leave(struct lzi_store *store)
{
	struct lzi_log_state *log = &store->control.shared->log;
	struct lzi_call call;
	int known = lzi_load_acquire(&log->broken), office, rc;

	if (!lzi_is_durable(store))
		return;
	/* Somebody may have come since we seemed to be the last: who is in the middle of a snapshot will leave after
	 * us. */
	office = lzi_mutex_lock(&log->scribe, 0, "scribe") >= 0;
	if (office && lzi_load_acquire(&log->healing) != 0 && lzi_thread_find(store, &call) == LATZ_OK) {
		finish_beginning(&call);
		lzi_thread_leave(store);
	}
	rc = lzi_log_lock(store, 1);
	if (rc == LATZ_OK) {
		rc = lzi_log_flush(store, 1);
		lzi_log_unlock(store);
	}
	LZI_POINT("leave.flushed");
	if (rc == LATZ_OK && office && log->snapshot_on_close && lzi_log_position(store)->bytes > 0) {
		rc = lzi_thread_find(store, &call);
		if (rc == LATZ_OK)
			rc = lzi_checkpoint(&call);
		lzi_thread_leave(store);
	}
	if (office)
		lzi_mutex_unlock(&log->scribe);
	if (rc != LATZ_OK)
		lzi_log(known != 0 ? LATZ_LOG_INFO : LATZ_LOG_ERROR, "%s: leaving a durable pool: %s: %s", store->name,
		        latz_strerror(rc), lzi_error_text());
}

/* ---- Calls ---- */

int lzi_store_sync(struct lzi_call *call)
{
	if (!lzi_is_durable(call->store))
		return lzi_error(LATZ_UNSUPPORTED, "pool %s is not durable", call->store->name);
	return lzi_log_wait(call->store);
}

int lzi_store_persist(struct lzi_call *call, const latz_options *options)
{
	struct lzi_store *store = call->store;
	struct lzi_mutex *scribe = &store->control.shared->log.scribe;
	int rc;

	if (options != NULL)
		return lzi_persist_begin(call, options);
	/* Not under a checkpoint that is being written there. */
	rc = lzi_mutex_lock(scribe, store->control.timeout_ms * 30, "scribe");
	if (rc < 0)
		return rc;
	rc = lzi_persist_end(store);
	lzi_mutex_unlock(scribe);
	return rc;
}
