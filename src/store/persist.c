/*
 * Beginning and ending a log, checkpoints, the scribe's office.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/point.h"
#include "store/audit.h"
#include "store/keys_int.h"
#include "store/lifetime.h"
#include "store/log.h"
#include "store/pack.h"
#include "store/seal.h"
#include "store/snapshot.h"

#define INTERVAL_MS 1000u
#define CHECKPOINT_BYTES (256ull << 20)
/* After a full disk, a new beginning is tried so often; a checkpoint that failed, too. */
#define HEAL_EVERY_MS 5000
/* Snapshots made to begin a log beside deletes that find no room for their notes. */
#define BEGIN_ATTEMPTS 4u

/* ---- Beginning and ending ---- */

/* What begin_here() takes from the options, of a log that broke: that of the one that goes on trying. */
struct settings {
	uint32_t sync, interval_ms, snapshot_on_close;
	uint64_t checkpoint_bytes;
};

static struct settings keep_settings(const struct lzi_log_state *log)
{
	return (struct settings){ lzi_load_relaxed(&log->sync), lzi_load_relaxed(&log->interval_ms),
		                  log->snapshot_on_close, log->checkpoint_bytes };
}

static void put_settings_back(struct lzi_log_state *log, const struct settings *settings)
{
	lzi_store_relaxed(&log->sync, settings->sync);
	lzi_store_relaxed(&log->interval_ms, settings->interval_ms);
	log->checkpoint_bytes = settings->checkpoint_bytes;
	log->snapshot_on_close = settings->snapshot_on_close;
}

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
	uint64_t n = lzi_heap_count(&store->heap), e, tail;

	(void)lzi_heap_view(&store->heap);
	for (e = 0; e < n; e++) {
		if (lzi_extent_holds(store, e, &tail))
			lzi_store_release(&lzi_heap_meta(&store->heap, e)->logged, (uint32_t)(tail / LZI_UNIT));
	}
}

/* A checkpoint takes as long as the disk does. */
#define SCRIBE_FACTOR 30u

static int lock_scribe(struct lzi_store *store, int wait)
{
	struct lzi_mutex *scribe = &store->control.shared->log.scribe;
	unsigned timeout_ms = wait ? store->control.timeout_ms : 0;

	return lzi_mutex_own(scribe, &store->own.scribe, timeout_ms,
	                     lzi_mutex_lock_long(scribe, timeout_ms, SCRIBE_FACTOR, "scribe"));
}

static void unlock_scribe(struct lzi_store *store)
{
	lzi_mutex_disown(&store->control.shared->log.scribe, &store->own.scribe);
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
	lzi_store_relaxed(&log->synced_pages, 0u);
	log->sweep = 0;
	log->left_tail = lzi_load_acquire(&log->left_head);
	memset(log->left, 0, sizeof log->left);
	log->generation++;
	lzi_persist_adopt(store);
	rc = lzi_wal_begin(&store->persist.wal, position, segment);
	if (rc == LATZ_OK) {
		lzi_store_release(&log->broken, 0);
		lzi_store_relaxed(&log->synced_mono_ms, lzi_clock_mono_ms());
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
	lzi_store_relaxed(&log->snapshot_seq, info->seq);
	lzi_store_relaxed(&log->snapshot_wall_ms, info->wall_ms);
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
	/* Others let theirs go when they come to it; those without threads perhaps never. */
	if (store->persist.dirfd >= 0)
		lzi_persist_unname_lock(store);
	lzi_persist_part(store);
}

int lzi_persist_end(struct lzi_store *store)
{
	struct lzi_log_state *log = &store->control.shared->log;
	int rc = lzi_log_mutex(store, 1);

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

/* Everything there is counts as logged: a snapshot comes. Cleaning keeps from now on what is written after that.
 *
 * Writers need not be waited for here. A record is in its extent's account, and so marked, only when it has been
 * published: the snapshot, begun after that, has it. One published later is not marked, and the log has it. Deletes and
 * touches that looked at the flag before it was raised, and have no note for the log, look again when they have the
 * bucket; opening the snapshot's scan waits for those that had it by then.
 */
static int begin_marks(struct lzi_store *store)
{
	int rc;

	lzi_store_release(&store->control.shared->log.healing, 1u);
	rc = lzi_maint_lock(store, 1); /* a cleaning that has not seen it ends */
	if (rc < 0)
		return rc;
	/* Nothing is freed meanwhile, and taken again: the mark would be the new owner's. */
	mark_logged(store);
	lzi_maint_unlock(store);
	LZI_POINT("begin.marked");
	return LATZ_OK;
}

/* The segment that goes on from the snapshot. missed: what log_missed was before that was begun. LATZ_BUSY: there was a
 * delete since for which there was no room; the log would not know of it. */
static int begin_segment(struct lzi_store *store, uint64_t segment, const struct lzi_snap_info *info, uint64_t missed)
{
	struct lzi_shared *shared = store->control.shared;
	struct lzi_log_state *log = &shared->log;
	struct lzi_wal_position *position = lzi_log_position(store);
	uint64_t frame;
	int rc = lzi_log_mutex(store, 1);

	if (rc < 0)
		return rc;
	frame = position->frame + 1;
	lzi_wal_close(&store->persist.wal);
	memset(position, 0, sizeof *position);
	position->frame = position->synced = frame;
	lzi_store_relaxed(&log->synced_pages, 0u);
	log->sweep = 1;
	rc = lzi_load_seq_cst(&shared->log_missed) == missed
	             ? lzi_wal_begin(&store->persist.wal, position, segment)
	             : lzi_error(LATZ_BUSY, "deletes went on for which memory had no room");
	if (rc == LATZ_OK) {
		lzi_store_relaxed(&log->snapshot_seq, info->seq);
		lzi_store_relaxed(&log->snapshot_wall_ms, info->wall_ms);
		lzi_store_relaxed(&log->synced_mono_ms, lzi_clock_mono_ms());
		lzi_store_release(&log->broken, 0);
		/* Who could not get the mutex counted before it looked whether the log was whole. */
		lzi_fence_full();
		if (lzi_load_seq_cst(&shared->log_missed) != missed)
			lzi_store_release(&log->broken, (int32_t)LATZ_NOSPC);
	} else {
		position->segment = segment;
	}
	lzi_log_unlock(store);
	return rc;
}

/* What the snapshot makes superfluous goes before the segment is made, which may need the room; one of the old ones
 * will do for it. 0: not all of it could be removed. */
static int remove_replaced(struct lzi_store *store, const struct lzi_snap_info *info)
{
	return lzi_snapshot_remove_below(store->persist.dirfd, info->seq) == LATZ_OK &&
	       lzi_wal_remove_below(store->persist.dirfd, info->first_segment) == LATZ_OK;
}

/* An enum lzi_locked_kind: who has no keys goes by the pool's record of them, not by a word that anybody may have
 * written. */
static int locked_kind(struct lzi_call *call, uint32_t *ret_kind)
{
	struct lzi_keys keys;
	int rc;

	if (call->store->secrets != NULL) {
		*ret_kind = call->store->secrets->kind;
		return LATZ_OK;
	}
	rc = lzi_keys_read(call, &keys, NULL);
	*ret_kind = rc == LATZ_OK ? keys.kind : LZI_LOCKED_NOT;
	return rc == LATZ_NOTFOUND ? LATZ_OK : rc;
}

/* A log that begins while the pool is in use: a snapshot first, then the segment that goes on from it, so that the
 * directory is whole, or holds nothing that counts, at every moment. Until both are there the log counts as broken:
 * nobody flushes; but cleaning keeps what is written from now on, since the first flush has to find it. A delete that
 * finds no room for a note of it makes another snapshot necessary. */
static int start_over(struct lzi_call *call, uint64_t segment)
{
	struct lzi_store *store = call->store;
	struct lzi_log_state *log = &store->control.shared->log;
	struct lzi_snapshot_job job = { .tick = NULL };
	struct lzi_snap_info info = { .first_segment = segment };
	unsigned attempt = 0;
	uint32_t kind = LZI_LOCKED_NOT;
	uint64_t missed;
	int removed = 0, rc = begin_marks(store);

	memcpy(info.log_id, log->log_id, sizeof info.log_id);
	if (rc == LATZ_OK)
		rc = lzi_dict_save(store, store->persist.dirfd, info.log_id);
	if (rc == LATZ_OK)
		rc = lzi_tokens_join(store);
	LZI_POINT("begin.dicts");
	while (rc == LATZ_OK) {
		missed = lzi_load_seq_cst(&store->control.shared->log_missed);
		rc = lzi_snapshot_to_file(call, store->persist.dirfd, NULL, &job, &info);
		LZI_POINT("begin.snapshot");
		if (rc == LATZ_OK)
			removed = remove_replaced(store, &info);
		if (rc == LATZ_OK)
			rc = begin_segment(store, segment, &info, missed);
		if (rc != LATZ_BUSY || ++attempt == BEGIN_ATTEMPTS)
			break;
		rc = LATZ_OK;
	}
	if (rc == LATZ_BUSY)
		rc = lzi_error(LATZ_NOSPC, "%s: no log could be begun: %s", store->name, lzi_error_text());
	LZI_POINT("begin.segment");
	lzi_store_release(&log->healing, 0u);
	/* The log has begun; what it replaces can stay until the next checkpoint, if it can't be removed now. */
	if (rc != LATZ_OK)
		return rc;
	if (locked_kind(call, &kind) != LATZ_OK || lzi_locked_remember(store->persist.dirfd, kind) != LATZ_OK)
		lzi_log(LATZ_LOG_WARNING, "%s: a mark of what was there stays: %s", store->name, lzi_error_text());
	lzi_store_release(&store->control.shared->failed_checkpoint.error, 0); /* this was a snapshot of all there is */
	if (removed)
		lzi_persist_trust(store->persist.dirfd);
	else
		lzi_log(LATZ_LOG_WARNING, "%s: old files stay: %s", store->name, lzi_error_text());
	return rc;
}

/* The directory, opened and locked; the state says that the log is about to begin. */
static int begin_here(struct lzi_store *store, const latz_options *options, uint32_t kind, uint64_t *ret_segment,
                      int *ret_again, uint32_t *ret_mark)
{
	struct lzi_log_state *log = &store->control.shared->log;
	char path[LZI_PERSIST_PATH_MAX];
	uint64_t first = 0, last = 0;
	int rc = lzi_persist_path(options->persist_dir, store->name, path), again;

	*ret_again = again = rc == LATZ_OK && strcmp(path, log->path) == 0; /* after it broke */
	lzi_persist_part(store);
	if (rc == LATZ_OK)
		rc = again ? lzi_persist_prepare_again(store, path) : lzi_persist_prepare(store, options);
	if (rc == LATZ_OK && !again)
		rc = lzi_persist_vacant(store, options);
	if (rc == LATZ_OK) /* first of all, since it may be others who finish this */
		rc = lzi_audit_begin_dir(store);
	if (rc == LATZ_OK)
		rc = lzi_locked_mark(store->persist.dirfd, ret_mark);
	if (rc == LATZ_OK)
		rc = lzi_wal_range(store->persist.dirfd, &first, &last);
	if (rc == LATZ_OK && !again)
		rc = lzi_random(log->log_id, sizeof log->log_id);
	if (rc == LATZ_OK && lzi_ofd_try(store->persist.lockfd, 0, 0) != LATZ_OK)
		rc = lzi_error(LATZ_IO, "lock of %s", path);
	if (rc == LATZ_OK)
		rc = lzi_locked_announce(store->persist.dirfd, kind);
	if (rc != LATZ_OK) {
		lzi_persist_part(store);
		return rc;
	}
	take_settings(log, options);
	snprintf(log->path, sizeof log->path, "%s", path);
	*ret_segment = (last > lzi_log_position(store)->segment ? last : lzi_log_position(store)->segment) + 1;
	/* One that was full heals by itself once there is room, and does so yet if this comes to nothing. */
	if (!again || log->broken != LATZ_NOSPC)
		lzi_store_release(&log->broken, LATZ_IO);
	log->generation++;
	lzi_persist_adopt(store);
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
	struct settings before;
	uint64_t segment;
	uint32_t kind = LZI_LOCKED_NOT, mark = LZI_LOCKED_NOT;
	int again = 0, rc = lock_scribe(store, 1);

	if (rc < 0)
		return rc;
	before = keep_settings(log);
	rc = locked_kind(call, &kind);
	if (rc == LATZ_OK)
		rc = lzi_log_mutex(store, 1);
	if (rc >= 0) {
		/* Without its directory it is durable in name only. */
		if (lzi_is_durable(store) && log->broken == 0 && lzi_persist_join(store) != LATZ_OK)
			lzi_log_break(store, LATZ_IO);
		if (lzi_is_durable(store) && log->broken == 0)
			rc = lzi_error(LATZ_EXISTS, "pool %s is durable already, in %.*s", store->name,
			               (int)sizeof log->path - 1, log->path);
		else
			rc = begin_here(store, options, kind, &segment, &again, &mark);
		if (rc == LZI_IN_USE)
			rc = lzi_error(LATZ_BUSY, "%s", lzi_error_text());
		lzi_log_unlock(store);
	}
	if (rc == LATZ_OK) {
		rc = start_over(call, segment);
		if (rc == LATZ_OK) {
			raise_flag(store);
			lzi_store_guard(store); /* a kept pool had none */
		} else if (!again) {
			lzi_persist_clear(store->persist.dirfd);
			(void)!lzi_locked_remember(store->persist.dirfd, mark); /* as it was */
			(void)!lzi_persist_end(store);
		} else {
			put_settings_back(log, &before);
		}
	}
	unlock_scribe(store);
	return rc;
}

/* A pool that is being made: everything in place, seen by nobody yet. */
int lzi_persist_create(struct lzi_store *store, const latz_options *options, void *arg)
{
	struct lzi_log_state *log = &store->control.shared->log;
	int rc = lzi_persist_path(options->persist_dir, store->name, log->path);

	(void)arg;
	if (rc == LATZ_OK)
		rc = lzi_persist_prepare(store, options);
	if (rc == LATZ_OK)
		rc = lzi_audit_take_dir(store, options->persist_dir);
	if (rc != LATZ_OK)
		return rc;
	take_settings(log, options);
	rc = lzi_warm_start(store);
	if (rc != LATZ_OK)
		return lzi_error_prefix(rc, "%s", log->path);
	raise_flag(store);
	return LATZ_OK;
}

void lzi_persist_create_undo(struct lzi_store *store)
{
	const struct lzi_wal_position *position = lzi_log_position(store);
	char name[LZI_WAL_NAME];

	if (store->persist.dirfd < 0 || position->segment == 0 || position->offset != LZI_LOG_BLOCK)
		return;
	lzi_wal_name(name, position->segment);
	(void)!lzi_disk_remove(store->persist.dirfd, name);
}

/* The snapshot before the log: so the directory is whole, or holds nothing that counts, at every moment. */
int lzi_persist_create_from(struct lzi_store *store, const latz_options *options)
{
	struct lzi_log_state *log = &store->control.shared->log;
	struct lzi_snapshot_job job = { .tick = NULL };
	struct lzi_snap_info info = { .first_segment = 1 };
	uint32_t kind = LZI_LOCKED_NOT, mark = LZI_LOCKED_NOT;
	struct lzi_call call;
	int rc = lzi_persist_path(options->persist_dir, store->name, log->path);

	if (rc == LATZ_OK)
		rc = lzi_persist_prepare(store, options);
	if (rc == LZI_IN_USE && lzi_owner_is_replaced(store, log->path)) /* until the new one is whole */
		rc = lzi_error(LATZ_EXISTS, "persist directory %s is that of pool %s, which is there: to replace "
		               "it, give another directory, or destroy it and take those files away", log->path,
		               store->name);
	if (rc == LATZ_OK)
		rc = lzi_persist_vacant(store, options);
	if (rc == LATZ_OK) /* it can be restored from when this is done, the pool being there or not */
		rc = lzi_audit_begin_dir(store);
	if (rc == LATZ_OK)
		rc = lzi_random(info.log_id, sizeof info.log_id);
	if (rc == LATZ_OK)
		rc = lzi_thread_find(store, &call);
	if (rc == LATZ_OK)
		rc = locked_kind(&call, &kind);
	if (rc == LATZ_OK)
		rc = lzi_locked_mark(store->persist.dirfd, &mark);
	if (rc == LATZ_OK)
		rc = lzi_locked_announce(store->persist.dirfd, kind);
	if (rc != LATZ_OK)
		return rc;
	rc = lzi_dict_save(store, store->persist.dirfd, info.log_id);
	if (rc == LATZ_OK)
		rc = lzi_snapshot_to_file(&call, store->persist.dirfd, NULL, &job, &info);
	LZI_POINT("restore.snapshot");
	if (rc == LATZ_OK) {
		take_settings(log, options);
		rc = lzi_persist_continue(store, info.log_id, 0, 1, &info);
	}
	if (rc == LATZ_OK)
		rc = lzi_locked_remember(store->persist.dirfd, kind);
	if (rc == LATZ_OK) {
		raise_flag(store);
	} else {
		lzi_persist_clear(store->persist.dirfd);
		(void)!lzi_locked_remember(store->persist.dirfd, mark); /* as it was */
	}
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

/* The segment from which the log goes on behind the snapshot to come; *ret_bytes are before it. One that was begun for
 * a checkpoint that failed will do, though more has come since: else they would fill the disk. The mutex is held. */
static int roll(struct lzi_store *store, uint64_t *ret_segment, uint64_t *ret_bytes)
{
	struct lzi_log_state *log = &store->control.shared->log;
	struct lzi_wal_position *position = lzi_log_position(store);
	uint64_t bytes = position->bytes;
	int rc;

	if (store->persist.rolled.segment == 0 || store->persist.rolled.generation != log->generation ||
	    store->persist.rolled.snapshot_seq != log->snapshot_seq) {
		store->persist.rolled.segment = 0;
		rc = lzi_wal_begin(&store->persist.wal, position, position->segment + 1);
		if (rc != LATZ_OK)
			return rc;
		store->persist.rolled.segment = position->segment;
		store->persist.rolled.bytes = bytes;
		store->persist.rolled.generation = log->generation;
		store->persist.rolled.snapshot_seq = log->snapshot_seq;
	}
	*ret_segment = store->persist.rolled.segment;
	*ret_bytes = store->persist.rolled.bytes;
	return LATZ_OK;
}

/* People are to see it where they look for the pool's state: who logs it may be a process that nobody reads the log of,
 * and meanwhile the log only grows. */
static void note_checkpoint(struct lzi_store *store, int error)
{
	struct lzi_failed_checkpoint *failed = &store->control.shared->failed_checkpoint;

	if (error != LATZ_OK) {
		snprintf(failed->why, sizeof failed->why, "%s", lzi_error_text());
		lzi_store_relaxed(&failed->wall_ms, lzi_clock_wall_ms());
	}
	lzi_store_release(&failed->error, (int32_t)error);
}

static int make_checkpoint(struct lzi_call *call)
{
	struct lzi_store *store = call->store;
	struct lzi_log_state *log = &store->control.shared->log;
	struct lzi_wal_position *position = lzi_log_position(store);
	struct lzi_snapshot_job job = { .tick = tick, .arg = store };
	struct lzi_snap_info info = { .seq = 0 };
	uint64_t bytes = 0;
	uint32_t pages;
	int rc = lzi_log_lock(store, 1);

	if (rc != LATZ_OK)
		return rc;
	rc = lzi_is_durable(store) ? lzi_log_flush(store, 1) : lzi_error(LATZ_UNSUPPORTED, "not durable");
	if (rc == LATZ_OK) {
		rc = roll(store, &info.first_segment, &bytes);
		if (rc != LATZ_OK && rc != LATZ_NOMEM) /* which leaves all as it was */
			lzi_log_break(store, rc);
	}
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
	lzi_store_relaxed(&position->bytes, position->bytes - (bytes < position->bytes ? bytes : position->bytes));
	pages = log->synced_pages;
	pages -= bytes / LZI_PAGE < pages ? (uint32_t)(bytes / LZI_PAGE) : pages;
	lzi_store_relaxed(&log->synced_pages, pages);
	lzi_store_relaxed(&log->snapshot_seq, info.seq);
	lzi_store_relaxed(&log->snapshot_wall_ms, info.wall_ms);
	store->persist.rolled.segment = 0;
	lzi_log_unlock(store);
	LZI_POINT("checkpoint.removed");
	return rc;
}

int lzi_checkpoint(struct lzi_call *call)
{
	int rc = make_checkpoint(call);

	if (lzi_is_durable(call->store))
		note_checkpoint(call->store, rc);
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
	if (start_over(call, lzi_log_position(store)->segment + 1) != LATZ_OK)
		return;
	raise_flag(store); /* who died as he began it by hand may have wanted another sync */
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

int lzi_checkpoint_now(struct lzi_call *call)
{
	struct lzi_store *store = call->store;
	struct lzi_mutex *scribe = &store->control.shared->log.scribe;
	int rc = lzi_mutex_lock_patient(scribe, store->control.timeout_ms, "scribe", &store->control.shared->heartbeat);

	if (rc == LATZ_TIMEOUT)
		rc = lock_scribe(store, 1);
	else
		rc = lzi_mutex_own(scribe, &store->own.scribe, store->control.timeout_ms, rc);

	if (rc < 0)
		return rc;
	rc = lzi_is_durable(store) ? lzi_checkpoint(call) : LATZ_OK;
	unlock_scribe(store);
	return rc;
}

void lzi_scribe_office(struct lzi_call *call)
{
	struct lzi_store *store = call->store;
	struct lzi_log_state *log = &store->control.shared->log;
	int64_t now;
	int rc;

	if (!lzi_is_durable(store))
		return;
	if (lock_scribe(store, 0) < 0)
		return;
	/* Nobody ends or begins the log from here on. */
	if (!lzi_is_durable(store)) {
		unlock_scribe(store);
		return;
	}
	if (lzi_load_acquire(&log->healing) != 0)
		finish_beginning(call);
	else if (lzi_load_acquire(&log->broken) != 0)
		heal(call);
	else if (store->persist.generation == log->generation)
		(void)!lzi_wal_prepare(store->persist.dirfd);
	/* Another thread flushes meanwhile. */
	now = lzi_clock_mono_ms();
	if (lzi_load_relaxed(&lzi_log_position(store)->bytes) > log->checkpoint_bytes &&
	    lzi_load_acquire(&log->broken) == 0 && now - log->healed_mono_ms >= HEAL_EVERY_MS) {
		rc = lzi_checkpoint(call);
		log->healed_mono_ms = rc == LATZ_OK ? 0 : lzi_clock_mono_ms();
		if (rc != LATZ_OK)
			lzi_log(LATZ_LOG_WARNING, "%s: checkpoint: %s: %s", store->name, latz_strerror(rc),
			        lzi_error_text());
	}
	unlock_scribe(store);
}

void lzi_scribe_work(struct lzi_call *call)
{
	/* By everybody: who has the office may be stopped, or busy with a snapshot. */
	lzi_log_tick(call->store);
	lzi_scribe_office(call);
}

/* Who has come without the keys of an encrypted pool, the guard, can't tell what is sealed: it brings the log to the
 * disk, and leaves snapshots to those who have them. */
static int may_snapshot(const struct lzi_store *store)
{
	return store->seal != NULL ||
	       lzi_load_acquire(&store->control.shared->guarded.kind) != LZI_LOCKED_ENCRYPTED;
}

int lzi_persist_leave(struct lzi_store *store)
{
	struct lzi_log_state *log = &store->control.shared->log;
	struct lzi_call call;
	int known = lzi_load_acquire(&log->broken), office, flushed, rc;

	if (!lzi_is_durable(store))
		return LATZ_OK;
	/* Somebody may have come since we seemed to be the last: who is in the middle of a snapshot will leave after
	 * us. */
	office = lock_scribe(store, 0) >= 0;
	if (office && lzi_load_acquire(&log->healing) != 0 && may_snapshot(store) &&
	    lzi_thread_find(store, &call) == LATZ_OK) {
		finish_beginning(&call);
		lzi_thread_leave(store);
	}
	rc = lzi_log_lock(store, 1);
	if (rc == LATZ_OK) {
		rc = lzi_log_flush(store, 1);
		lzi_log_unlock(store);
	}
	flushed = lzi_is_durable(store) ? rc : LATZ_OK;
	LZI_POINT("leave.flushed");
	if (rc == LATZ_OK && office && log->snapshot_on_close && lzi_log_position(store)->bytes > 0 &&
	    may_snapshot(store)) {
		rc = lzi_thread_find(store, &call);
		if (rc == LATZ_OK)
			rc = lzi_checkpoint(&call);
		lzi_thread_leave(store);
	}
	if (office)
		unlock_scribe(store);
	if (rc != LATZ_OK)
		lzi_log(known != 0 ? LATZ_LOG_INFO : LATZ_LOG_ERROR, "%s: leaving a durable pool: %s: %s", store->name,
		        latz_strerror(rc), lzi_error_text());
	return flushed;
}

int lzi_persist_owes(struct lzi_store *store)
{
	const struct lzi_log_state *log = &store->control.shared->log;
	const struct lzi_wal_position *position = lzi_log_position(store);

	if (!store->open || !lzi_is_durable(store) || lzi_store_dead(store))
		return 0;
	if (lzi_load_acquire(&log->broken) != 0)
		return lzi_load_acquire(&log->healing) != 0 && may_snapshot(store);
	(void)!lzi_heap_view(&store->heap);
	return position->synced != position->frame ||
	       (log->snapshot_on_close && position->bytes > 0 && may_snapshot(store)) || lzi_log_lag(store) > 0;
}

/* ---- Calls ---- */

int lzi_store_sync(struct lzi_call *call)
{
	if (!lzi_is_durable(call->store))
		return lzi_error(LATZ_UNSUPPORTED, "pool %s is not durable: it has no log; see latz_persist()",
		                 call->store->name);
	return lzi_log_wait(call->store);
}

static int change_log(struct lzi_call *call, const latz_options *options)
{
	struct lzi_store *store = call->store;
	int rc;

	if (options != NULL)
		return lzi_persist_begin(call, options);
	/* Not under a checkpoint that is being written there. */
	rc = lock_scribe(store, 1);
	if (rc < 0)
		return rc;
	rc = lzi_persist_end(store);
	unlock_scribe(store);
	return rc;
}

int lzi_store_persist(struct lzi_call *call, const latz_options *options)
{
	int rc = lzi_audit_say_text(call->store, "persist", "dir", options == NULL ? NULL : options->persist_dir);

	if (rc == LATZ_OK)
		rc = lzi_audit_failed(call->store, "persist", change_log(call, options));
	return rc;
}
