/*
 * Deletes and touches: what changes a record in place. In a durable pool each leaves a note for the log.
 */
#include "config.h"

#include <latzero/latzero.h>

#include "base/error.h"
#include "base/point.h"
#include "store/retain.h"
#include "store/feed.h"
#include "store/log.h"
#include "store/newest.h"
#include "store/seal.h"
#include "store/space.h"
#include "store/write_int.h"

/* What the change feed hears of a removal. */
static int event_of(const struct lzi_write *write, int expired)
{
	if (expired)
		return LATZ_EVENT_EXPIRE;
	return write->kind == LZI_WRITE_CROWD ? LATZ_EVENT_EVICT : LATZ_EVENT_DELETE;
}

/* The bucket is locked: the record dies, and its slot is cleared unless a scan may need it. event: for the change feed;
 * note: for the log. */
static int remove_record(struct lzi_call *call, uint64_t *slot, struct lzi_record *record, int event,
                         const struct lzi_note *note, uint64_t *ret_seq)
{
	struct lzi_shared *shared = call->store->control.shared;
	struct lzi_actor *actor = call->actor;
	uint64_t unit = lzi_slot_unit(lzi_load_relaxed(slot)), seq = lzi_next_seq(shared, record->seq);
	int spaced = lzi_record_is_spaced(record);
	uint32_t kind = LZI_INTENT_DELETE;

	if (seq == 0)
		return lzi_seq_damaged(record);
	/* Whoever sets the key again must come after us, though nothing of us may be left in the table: so the clock
	 * moves past us first. */
	lzi_fetch_add(&shared->clock, LZI_SEQ_STRIDE);
	*ret_seq = seq;
	if (note->record != NULL)
		lzi_note_fill(note, seq, NULL);
	if (lzi_is_fed(call->store)) {
		lzi_feed_removed(call, event, record);
		kind |= LZI_INTENT_FED;
	}
	actor->record_old = unit;
	actor->record_new = note->record == NULL ? 0 : note->unit;
	actor->keys_after = actor->keys - 1;
	if (spaced)
		lzi_space_intend(call, NULL, record, -1);
	lzi_store_release(&actor->kind, kind);
	LZI_POINT("delete.intent");
	lzi_record_kill(call->store, record, unit, seq, LZI_DEATH_DELETED); /* the delete happens here */
	LZI_POINT("delete.dead");
	if (note->record != NULL)
		lzi_note_book(call->store, note->unit, note->record);
	lzi_store_relaxed(&actor->keys, actor->keys_after);
	if (spaced) {
		lzi_space_happened(call->store, actor, call->index);
		lzi_space_count_book(call->store, lzi_record_key(record), record->key_size, -1);
	}
	if (lzi_record_needed(call->store, record))
		lzi_store_relaxed(&shared->zombies, 1u);
	else
		lzi_store_release(slot, 0ull);
	LZI_POINT("delete.cleared");
	if (lzi_unlikely(kind & LZI_INTENT_FED))
		lzi_feed_settle(call->store, actor, call->index, 1);
	lzi_store_release(&actor->kind, (uint32_t)LZI_INTENT_NONE);
	if (spaced)
		lzi_store_release(&actor->space, 0u);
	return LATZ_OK;
}

/* The bucket is locked, and the key is not there; it may have been evicted. Then the log still has it and has to hear
 * that it is deleted, or it would be back after a restart. 0, or the seq of the delete. */
static uint64_t erase_evicted(struct lzi_call *call, const struct lzi_note *note)
{
	struct lzi_shared *shared = call->store->control.shared;
	uint64_t seq;

	if (lzi_likely(!lzi_is_durable(call->store)) || lzi_load_relaxed(&shared->bound.evicted) == 0)
		return 0;
	seq = lzi_fetch_add(&shared->clock, LZI_SEQ_STRIDE); /* who evicted it has moved it past the record */
	if (note->record != NULL) {
		lzi_note_fill(note, seq, NULL);
		LZI_POINT("delete.evicted");
		lzi_note_book(call->store, note->unit, note->record);
	}
	return seq;
}

int lzi_write_erase(struct lzi_call *call, struct lzi_write *write)
{
	struct lzi_store *store = call->store;
	uint64_t hash = lzi_store_hash(store, write->key.data, write->key.size);
	struct lzi_record *record;
	struct lzi_bucket *bucket;
	struct lzi_note note;
	uint64_t *slot, seq = 0;
	int expired = 0, unlogged = 0, rc;

	lzi_read_prefetch_bucket(store, hash);
	rc = lzi_note_for(call, write, LZI_NOTE_DELETE, &note);
	if (rc == LATZ_OK)
		rc = lzi_table_lock(&store->table, call->actor, call->index, hash, &bucket);
	if (rc != LATZ_OK)
		return rc;
	rc = lzi_write_find(store, bucket, write->key, hash, &slot, &record);
	if (rc == LATZ_OK && lzi_load_relaxed(&record->died) != 0)
		rc = LATZ_NOTFOUND;
	unlogged = note.record == NULL && write->kind != LZI_WRITE_EXPIRE && lzi_is_durable(store);
	if (lzi_unlikely(unlogged)) /* before others see it: if we die, the log has missed it */
		lzi_store_release(&call->actor->unlogged, 1u);
	if (rc == LATZ_OK) {
		write->span = lzi_record_span_of(record);
		expired = !lzi_record_present(record);
		rc = write->kind == LZI_WRITE_EXPIRE && !expired
		             ? LATZ_MISMATCH
		             : remove_record(call, slot, record, event_of(write, expired), &note, &seq);
		if (rc == LATZ_OK && write->kind != LZI_WRITE_CROWD)
			lzi_bump_relaxed(expired ? &call->actor->expired : &call->actor->deletes, 1ull);
		if (rc == LATZ_OK && lzi_unlikely(lzi_key_is_spaced(write->key.data, write->key.size)))
			lzi_space_erased(call, write, expired);
		if (rc == LATZ_OK && lzi_is_bounded(store))
			lzi_hear_write(call, hash, 0, LZI_EVENT_REMOVED);
	} else if (rc == LATZ_NOTFOUND && write->kind == LZI_WRITE_DELETE) {
		seq = erase_evicted(call, &note);
	}
	lzi_table_unlock(call->actor, bucket);
	if (lzi_is_sealed(store))
		lzi_newest_note(store, write->key, seq);
	if (lzi_is_fed(store))
		lzi_feed_ring(store);
	if (lzi_unlikely(unlogged)) {
		if (rc == LATZ_OK || seq != 0)
			lzi_log_delete(store, write->key, seq);
		lzi_store_release(&call->actor->unlogged, 0u);
	}
	if (rc != LATZ_OK || write->kind == LZI_WRITE_EXPIRE)
		return rc;
	return expired ? LATZ_NOTFOUND : LATZ_OK;
}

int lzi_write_touch(struct lzi_call *call, struct lzi_write *write, uint64_t *ret_unit)
{
	struct lzi_store *store = call->store;
	uint64_t hash = lzi_store_hash(store, write->key.data, write->key.size);
	struct lzi_record *record;
	struct lzi_bucket *bucket;
	struct lzi_note note;
	uint64_t *slot;
	int rc;

	*ret_unit = 0;
	rc = lzi_note_for(call, write, LZI_NOTE_TOUCH, &note);
	if (rc == LATZ_OK)
		rc = lzi_table_lock(&store->table, call->actor, call->index, hash, &bucket);
	if (rc != LATZ_OK)
		return rc;
	rc = lzi_write_find(store, bucket, write->key, hash, &slot, &record);
	if (rc == LATZ_OK && (write->renew ? lzi_load_relaxed(&record->died) != 0 : !lzi_record_present(record)))
		rc = LATZ_NOTFOUND;
	if (rc == LATZ_OK && note.record == NULL && lzi_is_durable(store)) {
		rc = LATZ_BUSY; /* a log has begun since: it has to hear of it, its snapshot may have passed by */
	} else if (rc == LATZ_OK) {
		int64_t expiry = write->ttl_ms > 0 ? lzi_clock_mono_ms() + write->ttl_ms : 0;
		uint32_t written = 0;

		if (lzi_retains(store))
			expiry = lzi_retain_moved(store, record, expiry, write->sweep, &written);
		write->deadline = expiry;
		*ret_unit = lzi_slot_unit(lzi_load_relaxed(slot));
		if (record->flags & LZI_RECORD_EXT) {
			struct lzi_note_touch touched = { expiry, 0 };

			lzi_expiry_note(store, *ret_unit, expiry);
			lzi_store_release(&lzi_record_ext(record)->expiry, expiry);
			LZI_POINT("touch.stored");
			if (lzi_retains(store))
				*lzi_record_written(record) = written;
			lzi_expiry_note_again(store, *ret_unit, expiry);
			if (note.record != NULL) {
				touched.when_ns = lzi_clock_mono_ns();
				lzi_note_fill(&note, record->seq, &touched);
				lzi_note_book(store, note.unit, note.record);
			}
		} else if (expiry != 0) {
			rc = lzi_record_validate(record,
			                         lzi_record_span_of(record)); /* or the move would be tried for ever */
			rc = rc == LATZ_OK ? LATZ_BUSY : rc;
		}
	}
	lzi_table_unlock(call->actor, bucket);
	return rc;
}

/* ---- Deadlines, noted where expiry looks for them ---- */

void lzi_expiry_note(struct lzi_store *store, uint64_t unit, int64_t expiry)
{
	struct lzi_extent *meta = lzi_heap_meta(&store->heap, lzi_unit_offset(unit) >> LZI_EXTENT_SHIFT);
	int64_t have = lzi_load_relaxed(&meta->expiry_min);

	while (expiry != 0 && (have == 0 || expiry < have) && !lzi_cas_acquire(&meta->expiry_min, &have, expiry))
		;
}

/* Noting it before is for who looks when we are dead. But who has looked meanwhile took that note away and did not see
 * the deadline: so either he sees what was stored, or we, behind the fence, that the note is gone. */
void lzi_expiry_note_again(struct lzi_store *store, uint64_t unit, int64_t expiry)
{
	if (lzi_likely(expiry == 0))
		return;
	lzi_fence_full();
	lzi_expiry_note(store, unit, expiry);
}
