/*
 * Putting back what was: records with the seq they had. For a pool that is being made and that nobody else sees.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "store/log.h"
#include "store/pack.h"
#include "store/space.h"
#include "store/stage.h"

/* Fewer keys are not worth a thread. */
#define STAGE_KEYS 1024u
#define FULL_TRIES 100u

/* What is loaded is not beyond the clock: so deletes and touches on the way find seqs in order. */
static void move_clock(struct lzi_store *store, uint64_t seq)
{
	struct lzi_shared *shared = store->control.shared;

	if (seq >= lzi_load_relaxed(&shared->clock))
		lzi_store_release(&shared->clock, (seq / LZI_SEQ_STRIDE + 1) * LZI_SEQ_STRIDE);
}

uint64_t lzi_load_leap(uint64_t clock)
{
	/* Who has leapt so often has lost more than versions. */
	return clock < LZI_SEQ_MAX - 2 * LZI_SEQ_LEAP ? clock + LZI_SEQ_LEAP : clock;
}

void lzi_load_end(struct lzi_store *store, uint64_t seq_max, int lost)
{
	struct lzi_shared *shared = store->control.shared;

	move_clock(store, seq_max);
	lzi_fetch_add(&shared->clock, LZI_SEQ_STRIDE);
	if (lost)
		lzi_store_release(&shared->clock, lzi_load_leap(lzi_load_relaxed(&shared->clock)));
}

/* Fills the room that a draft has got. */
static void fill(struct lzi_draft *draft, const struct lzi_loaded *loaded)
{
	draft->flags = (uint8_t)((loaded->packed ? LZI_RECORD_PACKED : 0) | (loaded->sealed ? LZI_RECORD_SEALED : 0));
	lzi_draft_fill(draft, loaded->key, loaded->value, loaded->type);
	draft->record->seq = loaded->seq;
	draft->record->crc ^= lzi_record_crc_seq(loaded->seq);
	if (draft->ext) {
		*lzi_record_written(draft->record) = LZI_WRITTEN_LOADED;
		lzi_record_ext(draft->record)->expiry = loaded->expiry;
	}
}

/* As it is to be stored, which the thread's buffer holds if it was not compressed yet. */
static struct lzi_loaded pack(struct lzi_store *store, const struct lzi_loaded *loaded)
{
	struct lzi_loaded packed = *loaded;

	/* The book is read before there are keys, so before a dictionary can be. */
	if (!packed.packed && !packed.sealed && lzi_pack_wanted(store, packed.value.size) &&
	    !lzi_key_is_book(packed.key.data, packed.key.size))
		packed.packed = lzi_pack(store, &packed.value);
	return packed;
}

/* Under the bucket's lock. 1: there is something newer. */
static int publish(struct lzi_call *call, const struct lzi_loaded *loaded, uint64_t hash, struct lzi_bucket *bucket,
                   struct lzi_draft *draft)
{
	struct lzi_record *old = NULL;
	uint64_t *slot = NULL;
	int inserted, rc = lzi_write_find(call->store, bucket, loaded->key, hash, &slot, &old);

	if (rc != LATZ_OK && rc != LATZ_NOTFOUND)
		return rc;
	if (old != NULL && old->seq >= loaded->seq)
		return 1;
	if (slot == NULL) {
		rc = lzi_table_room(&call->store->table, call->actor, call->index, bucket, 0, &slot);
		if (rc != LATZ_OK)
			return rc;
	}
	inserted = old == NULL || lzi_load_relaxed(&old->died) != 0;
	if (inserted)
		draft->record->flags |= LZI_RECORD_INSERT;
	if (draft->ext)
		lzi_expiry_note(call->store, lzi_unit_of(draft->offset), loaded->expiry);
	lzi_publish(call, slot, lzi_slot_make(hash, lzi_unit_of(draft->offset)), draft->record, old, inserted,
	            LZI_INTENT_WRITE, LZI_DEATH_SUPERSEDED);
	call->actor->debt += (uint32_t)inserted;
	return LATZ_OK;
}

static int put_once(struct lzi_call *call, const struct lzi_loaded *loaded, uint64_t hash)
{
	struct lzi_store *store = call->store;
	struct lzi_draft draft = { NULL, 0, 0, loaded->expiry != 0, 0, NULL };
	enum lzi_event_kind kind = LZI_EVENT_WRITTEN;
	struct lzi_bucket *bucket;
	int rc;

	draft.span = lzi_record_span(loaded->key.size, loaded->value.size, draft.ext);
	rc = lzi_draft_room(call, &call->actor->extent, &draft);
	if (rc != LATZ_OK)
		return rc;
	fill(&draft, loaded);
	rc = lzi_table_lock(&store->table, call->actor, call->index, hash, &bucket);
	if (rc == LATZ_OK) {
		rc = publish(call, loaded, hash, bucket, &draft);
		if (draft.record->flags & LZI_RECORD_INSERT)
			kind = LZI_EVENT_CREATED;
		lzi_table_unlock(call->actor, bucket);
	}
	if (rc != LATZ_OK)
		lzi_append_abandon(store, draft.offset, draft.span);
	else if (lzi_is_bounded(store))
		lzi_hear_loaded(call, hash, draft.span, kind);
	return rc;
}

int lzi_load_put(struct lzi_call *call, const struct lzi_loaded *loaded)
{
	struct lzi_store *store = call->store;
	uint64_t hash = lzi_store_hash(store, loaded->key.data, loaded->key.size);
	struct lzi_loaded stored = pack(call->store, loaded);
	struct lzi_need need = { .span = LZI_UNIT };
	unsigned tries = 0;
	int rc = lzi_space_loading(store, loaded->key);

	if (rc != LATZ_OK)
		return rc;
	lzi_read_prefetch_bucket(store, hash);
	move_clock(store, loaded->seq);
	lzi_call_begin(call);
	/* Full beyond what a draft makes room for: the bucket's chain could not be lengthened. */
	while ((rc = put_once(call, &stored, hash)) == LATZ_FULL && tries++ < FULL_TRIES &&
	       (rc = lzi_bound_make_room(call, &call->actor->extent, &need)) == LATZ_OK)
		;
	lzi_write_grow_table(call);
	lzi_call_end(call);
	return rc == 1 ? LATZ_OK : rc;
}

/* ---- Into an empty pool ---- */

int lzi_load_begin(struct lzi_load *load, struct lzi_call *call, uint64_t keys)
{
	int rc;

	memset(load, 0, sizeof *load);
	load->call = call;
	load->keys_left = keys;
	if (keys == 0 || lzi_is_bounded(call->store))
		return LATZ_OK;
	rc = lzi_table_presize(&call->store->table, keys / LZI_KEYS_PER_BUCKET + 1);
	/* While it is empty, and nobody waits. */
	if (rc == LATZ_OK)
		lzi_huge_table(call->store);
	return rc;
}

int lzi_load_staged(struct lzi_load *load)
{
	/* Splitting buckets needs the records: without room for all keys from the start they are built in place. */
	if (load->keys_left < STAGE_KEYS || lzi_is_bounded(load->call->store))
		return LATZ_OK;
	return lzi_stage_begin(load->call, &load->stage);
}

static int end_stage(struct lzi_load *load)
{
	int rc = load->stage == NULL ? LATZ_OK : lzi_stage_end(load->stage);

	load->stage = NULL;
	return rc;
}

/* Gives the oldest record of the ring its slot. Nobody else is there, so no lock is taken. */
static int give_slot(struct lzi_load *load)
{
	struct lzi_call *call = load->call;
	struct lzi_store *store = call->store;
	uint64_t hash = load->ring[load->at].hash, *slot;
	uint64_t number = lzi_bucket_of(hash, lzi_load_relaxed(&store->control.shared->buckets));
	struct lzi_bucket *bucket = lzi_table_bucket(&store->table, number);
	int rc;

	if (bucket == NULL)
		return lzi_error(LATZ_CORRUPT, "bucket %llu is past the table", (unsigned long long)number);
	rc = lzi_table_room(&store->table, call->actor, call->index, bucket, 0, &slot);
	if (rc != LATZ_OK)
		return rc;
	lzi_store_release(slot, lzi_slot_make(hash, load->ring[load->at].unit));
	lzi_bump_relaxed(&call->actor->keys, 1);
	call->actor->debt++;
	load->at = (load->at + 1) % LZI_LOAD_AHEAD;
	load->count--;
	return LATZ_OK;
}

int lzi_load_add(struct lzi_load *load, const struct lzi_loaded *loaded)
{
	struct lzi_call *call = load->call;
	struct lzi_draft draft = { NULL, 0, 0, loaded->expiry != 0, 0, NULL };
	struct lzi_loaded stored = pack(call->store, loaded);
	uint64_t hash = lzi_store_hash(call->store, loaded->key.data, loaded->key.size), unit;
	unsigned to;
	int rc = LATZ_OK;

	/* Making room for a record may take an extent whose records have no slots yet. */
	if (lzi_is_bounded(call->store))
		return lzi_load_put(call, loaded);
	rc = lzi_space_loading(call->store, loaded->key);
	lzi_read_prefetch_bucket(call->store, hash);
	move_clock(call->store, loaded->seq);
	if (load->count == LZI_LOAD_AHEAD && rc == LATZ_OK)
		rc = give_slot(load);
	/* Who said how many keys there are was wrong. */
	if (load->stage != NULL && load->keys_left-- == 0 && rc == LATZ_OK)
		rc = end_stage(load);
	/* Splits look up the hashes of records by their slots, so they come between, not within. */
	if (load->stage == NULL && call->actor->debt >= 16)
		lzi_write_grow_table(call);
	if (rc != LATZ_OK)
		return rc;
	draft.span = lzi_record_span(stored.key.size, stored.value.size, draft.ext);
	if (load->stage != NULL && draft.span <= LZI_STAGE_RECORD_MAX)
		rc = lzi_stage_room(load->stage, &draft);
	else
		rc = lzi_draft_room(call, &call->actor->extent, &draft);
	if (rc != LATZ_OK)
		return rc;
	fill(&draft, &stored);
	draft.record->flags |= LZI_RECORD_INSERT;
	unit = lzi_unit_of(draft.offset);
	if (draft.ext)
		lzi_expiry_note(call->store, unit, loaded->expiry);
	lzi_append_done(call->store, unit, draft.record);
	lzi_space_loaded(call, loaded->key, draft.span);
	to = (load->at + load->count++) % LZI_LOAD_AHEAD;
	load->ring[to].hash = hash;
	load->ring[to].unit = unit;
	return LATZ_OK;
}

int lzi_load_finish(struct lzi_load *load, int rc)
{
	char detail[LZI_ERROR_DETAIL_SIZE];

	while (load->count > 0 && rc == LATZ_OK)
		rc = give_slot(load);
	if (rc == LATZ_OK)
		return end_stage(load);
	snprintf(detail, sizeof detail, "%s", lzi_error_text());
	(void)!end_stage(load);
	return lzi_error(rc, "%s", detail);
}

/* ---- What the log says ---- */

/* The key's present seq; 0 if it is not there. */
static uint64_t present_seq(struct lzi_call *call, latz_slice key)
{
	struct lzi_found found;
	uint64_t seq = 0;

	lzi_call_begin(call);
	if (lzi_read_find(call->store, key, lzi_store_hash(call->store, key.data, key.size), &found) == LATZ_OK &&
	    lzi_load_relaxed(&found.record->died) == 0)
		seq = found.record->seq;
	lzi_call_end(call);
	return seq;
}

int lzi_load_delete(struct lzi_call *call, latz_slice key, uint64_t seq)
{
	struct lzi_write write = { .kind = LZI_WRITE_DELETE, .key = key };
	uint64_t present = present_seq(call, key);
	int rc;

	move_clock(call->store, seq);
	if (present == 0 || present >= seq)
		return LATZ_OK;
	rc = lzi_store_write(call, &write);
	return rc == LATZ_NOTFOUND ? LATZ_OK : rc;
}

/* The record of the key if it is that version; the bucket is locked. */
static struct lzi_record *version_of(struct lzi_store *store, struct lzi_bucket *bucket, latz_slice key, uint64_t hash,
                                     uint64_t seq, uint64_t *ret_unit)
{
	struct lzi_record *record;
	uint64_t *slot;

	if (lzi_write_find(store, bucket, key, hash, &slot, &record) != LATZ_OK ||
	    lzi_load_relaxed(&record->died) != 0 || record->seq != seq)
		return NULL;
	*ret_unit = lzi_slot_unit(lzi_load_relaxed(slot));
	return record;
}

/* Not by a write, which would not find what has expired: the deadline at hand may be older than this one. */
int lzi_load_touch(struct lzi_call *call, latz_slice key, uint64_t seq, int64_t expiry)
{
	struct lzi_store *store = call->store;
	uint64_t hash = lzi_store_hash(store, key.data, key.size), unit = 0;
	struct lzi_record *record;
	struct lzi_bucket *bucket;
	int needs_room = 0, rc;

	lzi_call_begin(call);
	rc = lzi_table_lock(&store->table, call->actor, call->index, hash, &bucket);
	if (rc == LATZ_OK) {
		record = version_of(store, bucket, key, hash, seq, &unit);
		if (record != NULL && record->flags & LZI_RECORD_EXT) {
			lzi_expiry_note(store, unit, expiry);
			lzi_store_release(&lzi_record_ext(record)->expiry, expiry);
		} else {
			needs_room = record != NULL && expiry != 0;
		}
		lzi_table_unlock(call->actor, bucket);
	}
	if (needs_room)
		rc = lzi_move_record(call, &call->actor->extent, unit, 1, expiry, 0);
	lzi_call_end(call);
	return rc == LATZ_NOTFOUND ? LATZ_OK : rc;
}
