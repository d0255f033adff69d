/*
 * Flushing: what was appended to the heap since the last flush is collected and written to the log; whoever wants to be
 * sure of it waits for a flush that began after its write. doc/durability.md has the order and what deaths leave.
 */
#include "config.h"

#include "store/log.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/point.h"

/* A value longer than this goes to the file from where it stands. */
#define COPY_MAX (256u << 10)
_Static_assert(COPY_MAX + LZI_KEY_MAX + 64 <= LZI_FRAME_PAYLOAD, "what is copied fits an empty buffer");
/* How long a writer waits for a disk on which somebody else's sync does not end. */
#define WAIT_FACTOR 30u
#define NAP_US 2000u
/* Without syncs the log is written so often. */
#define WRITE_EVERY_MS 1000

/* An extent's part that is new. */
struct part {
	uint64_t extent, from, to;
};

struct flush {
	struct lzi_store *store;
	struct lzi_log_state *log;
	struct part *parts;
	size_t count, capacity;
	size_t used, entries; /* in the buffer */
	uint64_t number;
	int64_t to_wall_ms; /* CLOCK_REALTIME minus CLOCK_MONOTONIC */
};

int lzi_log_check(const struct lzi_store *store)
{
	int broken = lzi_error_read(lzi_load_acquire(&store->control.shared->log.broken));

	if (lzi_likely(broken == 0))
		return LATZ_OK;
	return lzi_error(broken, "the log of %s is broken since an earlier %s: nothing is durable; see latz_persist()",
	                 store->name, latz_strerror(broken));
}

void lzi_log_break(struct lzi_store *store, int rc)
{
	struct lzi_log_state *log = &store->control.shared->log;

	if (rc != LATZ_NOSPC && rc != LATZ_NOMEM)
		rc = LATZ_IO;
	if (log->broken == 0)
		lzi_log(LATZ_LOG_ERROR, "%s: the log is broken, nothing is durable from now on: %s", store->name,
		        lzi_error_text());
	lzi_store_release(&log->broken, rc);
	if (rc == LATZ_IO && store->persist.dirfd >= 0)
		lzi_persist_distrust(store->persist.dirfd);
	lzi_fetch_add(&log->bell, 1u);
	lzi_futex_wake(&log->bell);
}

int lzi_log_mutex(struct lzi_store *store, int wait)
{
	struct lzi_log_state *log = &store->control.shared->log;
	unsigned timeout_ms = wait ? store->control.timeout_ms : 0;
	int rc = lzi_mutex_own(&log->mutex, &store->own.log, timeout_ms,
	                       lzi_mutex_lock_long(&log->mutex, timeout_ms, WAIT_FACTOR, "log"));

	if (rc == LZI_OWNER_DIED)
		lzi_log_mend(store);
	return rc;
}

int lzi_log_lock(struct lzi_store *store, int wait)
{
	struct lzi_log_state *log = &store->control.shared->log;
	int rc = lzi_log_mutex(store, wait);

	if (rc < 0)
		return rc;
	rc = lzi_is_durable(store) ? lzi_persist_join(store) : LATZ_OK;
	if (rc == LATZ_OK)
		return rc;
	/* Gone or not to be written: not for this process alone. */
	if ((rc == LATZ_NOTFOUND || rc == LATZ_ACCESS) && log->broken == 0)
		lzi_log_break(store, LATZ_IO);
	lzi_log_unlock(store);
	return lzi_error(LATZ_IO, "%s", lzi_error_text());
}

void lzi_log_unlock(struct lzi_store *store)
{
	lzi_mutex_disown(&store->control.shared->log.mutex, &store->own.log);
}

/* ---- Collecting ---- */

static int add_part(struct flush *flush, uint64_t extent)
{
	struct lzi_store *store = flush->store;
	uint64_t from, tail = 0, word;
	int holds;

	if (extent >= lzi_load_acquire(&store->heap.reach) && lzi_heap_view(&store->heap) != LATZ_OK)
		return LATZ_CORRUPT;
	if (extent >= lzi_load_acquire(&store->heap.reach))
		return LATZ_OK;
	/* One that is logged to its tail may be freed and taken again while we look: then both are of the new use. One
	 * that is not stays what it is until we have done with it. */
	do {
		word = lzi_load_acquire(lzi_heap_word(&store->heap, extent));
		from = (uint64_t)lzi_load_acquire(&lzi_heap_meta(&store->heap, extent)->logged) * LZI_UNIT;
		holds = lzi_extent_holds(store, extent, &tail);
		lzi_fence_acquire();
	} while (((lzi_load_relaxed(lzi_heap_word(&store->heap, extent)) ^ word) >> 8) != 0);
	if (!holds || from >= tail)
		return LATZ_OK;
	if (flush->count == flush->capacity) {
		size_t capacity = flush->capacity == 0 ? 64 : flush->capacity * 2;
		struct part *parts = realloc(flush->parts, capacity * sizeof *parts);

		if (parts == NULL)
			return lzi_error(LATZ_NOMEM, "list of extents to be logged");
		flush->parts = parts;
		flush->capacity = capacity;
	}
	flush->parts[flush->count++] = (struct part){ extent, from, tail };
	return LATZ_OK;
}

/* By extent; of one the part that reaches further first. */
static int compare_parts(const void *a, const void *b)
{
	const struct part *x = a, *y = b;

	if (x->extent != y->extent)
		return x->extent < y->extent ? -1 : 1;
	return x->to > y->to ? -1 : x->to < y->to;
}

/* An extent that was left and taken, perhaps by one short-lived thread after another, was found as often. It is logged
 * once. */
static void drop_doubles(struct flush *flush)
{
	size_t i, n = 0;

	if (flush->count > 1)
		qsort(flush->parts, flush->count, sizeof *flush->parts, compare_parts);
	for (i = 0; i < flush->count; i++) {
		if (n == 0 || flush->parts[n - 1].extent != flush->parts[i].extent)
			flush->parts[n++] = flush->parts[i];
	}
	flush->count = n;
}

/* First the open extents, then those left since: an owner tells of one before it takes the next. */
static int collect(struct flush *flush)
{
	struct lzi_store *store = flush->store;
	struct lzi_log_state *log = flush->log;
	uint32_t i, n = lzi_control_actors(&store->control);
	uint64_t head, e, extents;
	int rc = LATZ_OK;

	for (i = 0; i < n && rc == LATZ_OK; i++) {
		const struct lzi_actor *actor = lzi_control_actor(&store->control, i);
		const uint32_t *const opens[] = { &actor->extent, &actor->clean_extent, &actor->clean_window };
		size_t j;

		for (j = 0; j < sizeof opens / sizeof *opens && rc == LATZ_OK; j++) {
			uint32_t open = lzi_load_acquire(opens[j]);

			if (open != 0)
				rc = add_part(flush, open - 1);
		}
	}
	head = lzi_load_seq_cst(&log->left_head);
	if (head - log->left_tail > LZI_LEFT_MAX)
		lzi_store_relaxed(&log->sweep, 1u);
	while (log->left_tail != head && rc == LATZ_OK && !lzi_load_relaxed(&log->sweep)) {
		uint64_t at = log->left_tail;
		uint32_t left;

		lzi_store_relaxed(&log->left_tail, at + 1);
		lzi_fence_full(); /* pairs with lzi_heap_tell() */
		left = lzi_exchange(&log->left[at % LZI_LEFT_MAX], 0u);
		if (left == 0)
			lzi_store_relaxed(&log->sweep, 1u); /* who was about to put it there has not come to it */
		else
			rc = add_part(flush, left - 1);
	}
	if (rc != LATZ_OK || !lzi_exchange(&log->sweep, 0u))
		return rc;
	/* From here on who asks for another gets one; lzi_log_flush() asks if we fail, the mutex if we die. */
	lzi_store_relaxed(&log->left_tail, head);
	lzi_fence_full();
	flush->count = 0;
	extents = lzi_heap_count(&store->heap);
	for (e = 0; e < extents && rc == LATZ_OK; e++)
		rc = add_part(flush, e);
	return rc;
}

/* ---- Writing ---- */

static int write_frame(struct flush *flush, const struct lzi_wal_part *parts, size_t count, size_t entries)
{
	/* Not our number: what a flush that failed or died has written is the same flush's as what the next writes. So
	 * replay has not forgotten a delete when the late record comes that it is to keep from coming back. */
	struct lzi_frame_header header = { .count = (uint32_t)entries,
		                           .flush = lzi_load_relaxed(&flush->log->written) + 1 };
	size_t i;
	int rc;

	for (i = 0; i < count; i++) {
		header.payload_crc = lzi_crc32c(header.payload_crc, parts[i].data, parts[i].size);
		header.payload_size += parts[i].size;
	}
	rc = lzi_wal_append(&flush->store->persist.wal, lzi_log_position(flush->store), &header, parts, count);
	LZI_POINT("flush.frame");
	return rc;
}

/* One a process, since a flush is made often and the buffer is large; who flushes holds the mutex. */
static int open_buffer(struct lzi_store *store)
{
	if (store->persist.buffer == NULL)
		store->persist.buffer = malloc(LZI_FRAME_PAYLOAD);
	return store->persist.buffer == NULL ? lzi_error(LATZ_NOMEM, "buffer of the log") : LATZ_OK;
}

static int empty_buffer(struct flush *flush)
{
	struct lzi_wal_part part = { flush->store->persist.buffer, flush->used };
	int rc = flush->used == 0 ? LATZ_OK : write_frame(flush, &part, 1, flush->entries);

	flush->used = flush->entries = 0;
	return rc;
}

static int put_entry(struct flush *flush, const struct lzi_log_entry *entry, const void *key, const void *value)
{
	static const uint8_t zeros[8];
	uint64_t span = lzi_log_entry_span(entry->key_size, entry->value_size);
	uint64_t size = sizeof *entry + entry->key_size + entry->value_size;
	int rc = LATZ_OK;
	uint8_t *to;

	if (entry->value_size > COPY_MAX) {
		struct lzi_wal_part parts[] = { { entry, sizeof *entry },
			                        { key, entry->key_size },
			                        { value, entry->value_size },
			                        { zeros, span - size } };

		rc = empty_buffer(flush);
		return rc == LATZ_OK ? write_frame(flush, parts, 4, 1) : rc;
	}
	if (flush->used + span > LZI_FRAME_PAYLOAD)
		rc = empty_buffer(flush);
	if (rc != LATZ_OK)
		return rc;
	to = flush->store->persist.buffer + flush->used;
	memcpy(to, entry, sizeof *entry);
	memcpy(to + sizeof *entry, key, entry->key_size);
	if (entry->value_size > 0) /* so there is one */
		memcpy(to + sizeof *entry + entry->key_size, lzi_analyzed_sure(value), entry->value_size);
	memset(to + size, 0, span - size);
	flush->used += span;
	flush->entries++;
	return LATZ_OK;
}

static int64_t wall_deadline(const struct flush *flush, int64_t expiry)
{
	return expiry == 0 ? 0 : expiry + flush->to_wall_ms;
}

/* The same of what a transaction wrote. */
static uint8_t op_in_group(uint8_t op)
{
	return op == LZI_LOG_SET          ? LZI_LOG_MEMBER_SET
	       : op == LZI_LOG_DELETE     ? LZI_LOG_MEMBER_DELETE
	       : op == LZI_LOG_SET_SEALED ? LZI_LOG_MEMBER_SET_SEALED
	                                  : LZI_LOG_MEMBER_SET_PACKED;
}

static int put_record(struct lzi_record *record, uint64_t unit, void *arg)
{
	struct flush *flush = arg;
	struct lzi_log_entry entry;
	struct lzi_note_touch touch;
	struct lzi_record head;
	const uint8_t *key;

	memcpy(&head, record, LZI_RECORD_HEAD);
	lzi_compiler_barrier(); /* what is looked at is what is used */
	if (head.flags & LZI_RECORD_COPY)
		return LATZ_OK;
	key = (const uint8_t *)record + lzi_record_head(head.flags & LZI_RECORD_EXT);
	entry = (struct lzi_log_entry){ head.value_size, head.key_size, LZI_LOG_SET, head.type, head.seq, 0 };
	if (!lzi_map_holds(&flush->store->heap.map, key, (uint64_t)head.key_size + head.value_size) ||
	    lzi_record_validate(record, lzi_record_span_of(&head)) != LATZ_OK) {
		lzi_log(LATZ_LOG_WARNING, "%s: not logged: heap offset %llu: %s", flush->store->name,
		        (unsigned long long)lzi_unit_offset(unit), lzi_error_text());
		return LATZ_OK;
	}
	if (head.flags & LZI_RECORD_EXT)
		entry.deadline_wall_ms = wall_deadline(flush, lzi_load_relaxed(&lzi_record_ext(record)->expiry));
	if (head.flags & LZI_RECORD_PACKED)
		entry.op = LZI_LOG_SET_PACKED;
	if (head.flags & LZI_RECORD_SEALED)
		entry.op = LZI_LOG_SET_SEALED;
	if (head.type == LZI_NOTE_DELETE) {
		entry.op = LZI_LOG_DELETE;
		entry.type = 0;
	} else if (head.type == LZI_NOTE_TOUCH) {
		memcpy(&touch, key + head.key_size, sizeof touch);
		entry.op = LZI_LOG_TOUCH;
		entry.type = 0;
		entry.value_size = sizeof touch.when_ns;
		entry.deadline_wall_ms = wall_deadline(flush, touch.expiry);
		return put_entry(flush, &entry, key, &touch.when_ns);
	} else if (head.type == LZI_NOTE_GROUP) {
		entry.op = LZI_LOG_GROUP;
		entry.type = 0;
	}
	if (head.flags & LZI_RECORD_GROUP)
		entry.op = op_in_group(entry.op);
	return put_entry(flush, &entry, key, key + head.key_size);
}

static int write_parts(struct flush *flush)
{
	struct lzi_store *store = flush->store;
	size_t i;
	int rc = LATZ_OK;

	for (i = 0; i < flush->count && rc == LATZ_OK; i++)
		rc = lzi_extent_walk(store, flush->parts[i].extent, flush->parts[i].from, flush->parts[i].to,
		                     put_record, flush);
	if (rc == LATZ_OK)
		rc = empty_buffer(flush);
	LZI_POINT("flush.written");
	for (i = 0; i < flush->count && rc == LATZ_OK; i++) {
		lzi_store_release(&lzi_heap_meta(&store->heap, flush->parts[i].extent)->logged,
		                  (uint32_t)(flush->parts[i].to / LZI_UNIT));
		LZI_POINT("flush.logged");
	}
	return rc;
}

/* And notes what it was, for people. */
static int sync_log(struct lzi_store *store)
{
	struct lzi_shared *shared = store->control.shared;
	uint64_t begun_ns = lzi_clock_mono_ns(), bytes = lzi_log_unsynced(store), took;
	int rc = lzi_wal_sync(&store->persist.wal, lzi_log_position(store));

	if (rc != LATZ_OK)
		return rc;
	took = lzi_clock_mono_ns() - begun_ns;
	lzi_bump_relaxed(&shared->log.syncs, 1ull);
	lzi_bump_relaxed(&shared->log_syncs_ns, took);
	lzi_store_relaxed(&shared->log_sync_ns, took);
	lzi_store_relaxed(&shared->log_sync_bytes, bytes);
	lzi_store_relaxed(&shared->log_sync_lag_ms,
	                  lzi_clock_mono_ms() - lzi_load_relaxed(&shared->log.synced_mono_ms));
	return LATZ_OK;
}

static int flush_locked(struct flush *flush, int sync)
{
	struct lzi_store *store = flush->store;
	struct lzi_log_state *log = flush->log;
	int rc;

	/* Pairs with lzi_log_wait(): who reads less than this has its writes collected now. */
	flush->number = lzi_fetch_add(&log->started, 1ull) + 1;
	lzi_fence_full();
	LZI_POINT("flush.started");
	rc = collect(flush);
	drop_doubles(flush);
	if (rc == LATZ_OK && flush->count > 0) {
		rc = write_parts(flush);
		if (rc == LATZ_OK)
			lzi_bump_relaxed(&log->flushes, 1ull);
	}
	if (rc != LATZ_OK)
		return rc;
	lzi_store_release(&log->written, flush->number);
	if (!sync)
		return LATZ_OK;
	if (lzi_log_position(store)->synced != lzi_log_position(store)->frame) {
		rc = sync_log(store);
		if (rc != LATZ_OK)
			return rc;
	}
	lzi_store_relaxed(&log->synced_pages, (uint32_t)(lzi_log_position(store)->bytes / LZI_PAGE));
	LZI_POINT("flush.synced");
	lzi_store_relaxed(&log->synced_mono_ms, lzi_clock_mono_ms());
	lzi_store_release(&log->synced, flush->number);
	lzi_fetch_add(&log->bell, 1u);
	lzi_futex_wake(&log->bell);
	return LATZ_OK;
}

int lzi_log_flush(struct lzi_store *store, int sync)
{
	struct flush flush = { .store = store, .log = &store->control.shared->log };
	int rc = lzi_log_check(store);

	if (rc != LATZ_OK)
		return rc;
	/* Ended since the caller looked: the directory may be another pool's by now. */
	if (!lzi_is_durable(store))
		return lzi_error(LATZ_UNSUPPORTED, "pool %s is not durable", store->name);
	flush.to_wall_ms = lzi_clock_wall_ms() - lzi_clock_mono_ms();
	rc = open_buffer(store);
	if (rc == LATZ_OK)
		rc = flush_locked(&flush, sync);
	free(flush.parts);
	/* What was taken out of `left` is not written, or only in part. */
	if (rc != LATZ_OK)
		lzi_store_release(&store->control.shared->log.sweep, 1u);
	if (rc != LATZ_OK && rc != LATZ_NOMEM)
		lzi_log_break(store, rc);
	return rc;
}

/* ---- Waiting ---- */

int lzi_log_wait(struct lzi_store *store)
{
	struct lzi_log_state *log = &store->control.shared->log;
	uint64_t need, begun = lzi_clock_mono_ns();
	uint64_t waited;
	uint32_t bell, holder;
	int rc;

	lzi_fence_full(); /* our records before the number of flushes */
	need = lzi_load_seq_cst(&log->started) + 1;
	for (;;) {
		bell = lzi_load_acquire(&log->bell);
		if (lzi_load_acquire(&log->synced) >= need)
			return LATZ_OK;
		if (!lzi_is_durable(store))
			return lzi_error(LATZ_UNSUPPORTED, "pool %s is not durable", store->name);
		rc = lzi_log_check(store);
		if (rc != LATZ_OK)
			return rc;
		rc = lzi_log_lock(store, 0);
		if (rc == LATZ_OK) {
			/* What we have flushed ourselves has ours, whatever the numbers are by now. */
			if (lzi_load_acquire(&log->synced) < need)
				rc = lzi_log_flush(store, 1);
			lzi_log_unlock(store);
			return rc;
		}
		if (rc != LATZ_BUSY)
			return rc;
		if (lzi_store_dead(store))
			return lzi_error(LATZ_DEAD, "pool %s was destroyed", store->name);
		/* Long, if somebody says that it is him. */
		holder = lzi_load_relaxed(&log->mutex.holder_pid);
		waited = (lzi_clock_mono_ns() - begun) / 1000000;
		if (waited >
		    (uint64_t)store->control.timeout_ms * (lzi_mutex_has_holder(&log->mutex) ? WAIT_FACTOR : 1u))
			return lzi_error(LATZ_TIMEOUT, "waited %llu ms for the log, held by process %u",
			                 (unsigned long long)waited, holder);
		lzi_futex_wait(&log->bell, bell, NAP_US);
	}
}

/* The log lacks a delete, so what it has is not the pool any more: a younger snapshot has to come. It is counted before
 * it is told: who begins a log that was broken looks at the count after having said that it is whole. */
void lzi_log_miss(struct lzi_store *store)
{
	int32_t whole = 0;

	lzi_fetch_add(&store->control.shared->log_missed, 1ull);
	(void)!lzi_cas_acquire(&store->control.shared->log.broken, &whole, (int32_t)LATZ_NOSPC);
}

/* The mutex is held. What goes wrong breaks the log, as an error of a flush would. */
static int write_delete(struct lzi_store *store, latz_slice key, uint64_t seq)
{
	struct lzi_log_entry entry = { 0, (uint16_t)key.size, LZI_LOG_DELETE, 0, seq, 0 };
	struct flush flush = { .store = store, .log = &store->control.shared->log };
	int rc = open_buffer(store);

	if (rc == LATZ_OK)
		rc = put_entry(&flush, &entry, key.data, NULL);
	if (rc == LATZ_OK)
		rc = empty_buffer(&flush);
	/* Of memory as of room on the disk, there may be enough again. */
	if (rc != LATZ_OK)
		lzi_log_break(store, rc == LATZ_NOMEM ? LATZ_NOSPC : rc);
	return rc;
}

void lzi_log_delete(struct lzi_store *store, latz_slice key, uint64_t seq)
{
	int rc = lzi_log_lock(store, 1);

	if (rc != LATZ_OK) {
		lzi_log_miss(store);
		return;
	}
	if (lzi_is_durable(store)) {
		rc = lzi_log_check(store);
		if (rc == LATZ_OK)
			rc = write_delete(store, key, seq);
		if (rc != LATZ_OK)
			lzi_log_miss(store);
	}
	lzi_log_unlock(store);
}

uint64_t lzi_log_unsynced(struct lzi_store *store)
{
	uint64_t bytes = lzi_load_relaxed(&lzi_log_position(store)->bytes),
		 synced = (uint64_t)lzi_load_relaxed(&store->control.shared->log.synced_pages) * LZI_PAGE;

	return bytes > synced ? bytes - synced : 0;
}

uint64_t lzi_log_lag(struct lzi_store *store)
{
	uint64_t n = lzi_load_acquire(&store->heap.reach), e, tail, lag = 0;

	for (e = 0; e < n; e++) {
		uint64_t logged = (uint64_t)lzi_load_relaxed(&lzi_heap_meta(&store->heap, e)->logged) * LZI_UNIT;

		if (lzi_extent_holds(store, e, &tail) && tail > logged)
			lag += tail - logged;
	}
	return lag;
}

void lzi_log_tick(struct lzi_store *store)
{
	struct lzi_log_state *log = &store->control.shared->log;
	int64_t now = lzi_clock_mono_ms(), since = now - lzi_load_relaxed(&log->synced_mono_ms);
	int sync = lzi_load_relaxed(&log->sync) != LATZ_SYNC_NONE, due;

	if (!lzi_is_durable(store) || lzi_load_acquire(&log->broken) != 0)
		return;
	/* Half of it: the flush takes time as well, and so does coming here. */
	due = sync ? since >= (int64_t)lzi_load_relaxed(&log->interval_ms) / 2 : since >= WRITE_EVERY_MS;
	if (!due || lzi_log_lock(store, 0) != LATZ_OK)
		return;
	if (lzi_is_durable(store) && lzi_log_flush(store, sync) == LATZ_OK)
		lzi_store_relaxed(&log->synced_mono_ms, lzi_clock_mono_ms());
	lzi_log_unlock(store);
}
