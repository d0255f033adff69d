/*
 * Moving a record: cleaning does it to empty an extent, touch to give a record room for a deadline. The copy keeps its
 * seq and its link to older versions, so neither readers nor scans see a difference.
 */
#include "config.h"

#include <string.h>

#include "base/error.h"
#include "base/point.h"
#include "codec/codec.h"
#include "store/retain.h"
#include "store/seal.h"

/* Fills the draft with a copy of what `head` says stands at `from`. */
static void copy_record(struct lzi_draft *draft, const struct lzi_record *head, const struct lzi_record *from,
                        int cleaning, int64_t expiry)
{
	uint64_t old_size = lzi_record_head(head->flags & LZI_RECORD_EXT), new_size = lzi_record_head(draft->ext);
	struct lzi_record *copy = draft->record;

	memcpy(copy, head, LZI_RECORD_HEAD);
	copy->died = 0;
	copy->flags = (head->flags & (uint8_t)~LZI_RECORD_INSERT) | (draft->ext ? LZI_RECORD_EXT : 0);
	if (cleaning) /* which leaves alone what is not in the log yet */
		copy->flags |= LZI_RECORD_COPY;
	if (draft->ext) {
		memset((uint8_t *)copy + LZI_RECORD_HEAD, 0, new_size - LZI_RECORD_HEAD);
		if (head->flags & LZI_RECORD_EXT) {
			memcpy(lzi_record_written(copy), lzi_record_written(from), new_size - LZI_RECORD_HEAD);
		} else {
			lzi_record_ext(copy)->expiry = expiry;
			*lzi_record_written(copy) = LZI_WRITTEN_UNKNOWN;
		}
	}
	memcpy((uint8_t *)copy + new_size, (const uint8_t *)from + old_size, (size_t)head->key_size + head->value_size);
}

/* Copies the record, which may be reused under our eyes, and makes sure that the copy is one. */
static int draft_copy(struct lzi_call *call, uint32_t *open, uint64_t unit, const struct lzi_record *record,
                      struct lzi_draft *draft, int cleaning, int64_t expiry)
{
	uint64_t offset = lzi_unit_offset(unit);
	uint64_t word = lzi_load_acquire(lzi_heap_word(&call->store->heap, offset >> LZI_EXTENT_SHIFT));
	uint64_t room = lzi_heap_room(&call->store->heap, offset, word);
	struct lzi_record head, *copy;
	uint32_t crc;
	int rc;

	memset(&head, 0, sizeof head);
	lzi_racy_reads_begin(); /* as below */
	memcpy(&head, record, LZI_RECORD_HEAD);
	lzi_racy_reads_end();
	if (lzi_record_span_of(&head) > room || head.key_size == 0)
		return LATZ_NOTFOUND;
	draft->ext = draft->ext || head.flags & LZI_RECORD_EXT;
	draft->span = lzi_record_span(head.key_size, head.value_size, draft->ext);
	rc = lzi_draft_room(call, open, draft);
	if (rc != LATZ_OK)
		return rc;
	/* Making room may have emptied the very extent, and even given it back. */
	if (((lzi_load_acquire(lzi_heap_word(&call->store->heap, offset >> LZI_EXTENT_SHIFT)) ^ word) >> 8) != 0) {
		lzi_append_abandon(call->store, draft->offset, draft->span);
		return LATZ_NOTFOUND;
	}
	/* Room is behind the records, unless the extent's account is damaged. */
	if (offset < draft->offset + draft->span &&
	    draft->offset < offset + lzi_record_span(head.key_size, head.value_size, head.flags & LZI_RECORD_EXT)) {
		lzi_append_abandon(call->store, draft->offset, draft->span);
		return lzi_error(LATZ_CORRUPT, "extent's account is damaged: room at heap offset %llu is in a record",
		                 (unsigned long long)draft->offset);
	}
	lzi_racy_reads_begin(); /* its checksum tells whether the copy is of one record */
	copy_record(draft, &head, record, cleaning, expiry);
	lzi_racy_reads_end();
	copy = draft->record;
	crc = lzi_record_crc_seq(head.seq) ^ lzi_record_crc(head.value_size, head.key_size, head.type, head.flags,
	                                                    lzi_record_key(copy), lzi_record_value(copy));
	if (crc != head.crc) {
		lzi_append_abandon(call->store, draft->offset, draft->span);
		/* Without `maint` it may have been reused while we copied: then the caller finds the key elsewhere. */
		return !cleaning ? LATZ_NOTFOUND
		                 : lzi_error(LATZ_CORRUPT, "checksum of the record at heap offset %llu does not match",
		                             (unsigned long long)offset);
	}
	if ((copy->flags ^ head.flags) & LZI_RECORD_EXT) /* the EXT flag is in the checksum */
		copy->crc = lzi_record_crc_seq(head.seq) ^ lzi_record_crc(head.value_size, head.key_size, head.type,
		                                                          copy->flags, lzi_record_key(copy),
		                                                          lzi_record_value(copy));
	return LATZ_OK;
}

static void take_deadline(struct lzi_record *copy, const struct lzi_record *record)
{
	*lzi_record_written(copy) = *lzi_record_written(record);
	lzi_record_ext(copy)->expiry = lzi_load_relaxed(&lzi_record_ext(record)->expiry);
}

/* The draft's value with the data key of now. It was sealed with another. */
static int reseal(struct lzi_call *call, struct lzi_draft *draft, uint64_t unit)
{
	struct lzi_record *copy = draft->record, head;
	struct lzi_sealing sealing = { copy, { NULL, 0 }, 0, 0 };
	struct lzi_stored stored = { .offset = lzi_unit_offset(unit) };
	struct lzi_sealed sealed, anew;
	uint64_t before;
	uint32_t size;
	uint8_t *at, *key;
	int rc;

	/* Others can write over the copy, too. */
	memset(&head, 0, sizeof head);
	memcpy(&head, copy, LZI_RECORD_HEAD);
	if ((head.flags & LZI_RECORD_SEALED) == 0 || head.value_size < LZI_SEALED_HEAD)
		return LATZ_OK;
	before = lzi_record_head(head.flags & LZI_RECORD_EXT);
	if (lzi_record_span_of(&head) > draft->span)
		return lzi_error(LATZ_CORRUPT, "a record that is being moved has changed");
	stored.bytes = lzi_codec_room((size_t)head.value_size + head.key_size);
	if (stored.bytes == NULL)
		return lzi_error(LATZ_NOMEM, "value of %u bytes", head.value_size);
	key = stored.bytes + head.value_size;
	memcpy(stored.bytes, (const uint8_t *)copy + before + head.key_size, head.value_size);
	memcpy(key, (const uint8_t *)copy + before, head.key_size);
	memcpy(&sealed, stored.bytes, sizeof sealed);
	stored.size = head.value_size;
	stored.type = sealing.type = head.type;
	stored.seq = head.seq;
	stored.key = sealing.key = (latz_slice){ key, head.key_size };
	sealing.flags = head.flags;
	rc = lzi_open_stored(call->store, &stored, &at, &size);
	if (rc == LATZ_OK)
		rc = lzi_seal_body(call, &sealing, (latz_slice){ at, size }, sealed.size, sealed.packed, &anew);
	lzi_wipe(stored.bytes, stored.size);
	if (rc == LATZ_OK)
		rc = lzi_seal_head(call, &sealing, head.seq, &anew);
	copy->crc ^= lzi_record_crc_seq(head.seq);
	return rc;
}

static int move(struct lzi_call *call, uint32_t *open, uint64_t unit, int add_ext, int64_t expiry, int judged,
                int reseals)
{
	struct lzi_store *store = call->store;
	struct lzi_record *record = lzi_record_at(store, unit), *found;
	struct lzi_draft draft = { NULL, 0, 0, add_ext, 0, NULL };
	struct lzi_bucket *bucket;
	latz_slice key;
	uint64_t hash, visits, *slot;
	int rc;

	if (record == NULL)
		return LATZ_NOTFOUND;
	rc = draft_copy(call, open, unit, record, &draft, !add_ext && !reseals, expiry);
	if (rc == LATZ_OK && reseals && (rc = reseal(call, &draft, unit)) != LATZ_OK)
		lzi_append_abandon(store, draft.offset, draft.span);
	if (rc != LATZ_OK)
		return rc;
	LZI_POINT("move.drafted");
	/* It gets room for a deadline: nobody knows when it was written. */
	if (lzi_retains(store) && draft.ext && *lzi_record_written(draft.record) == LZI_WRITTEN_UNKNOWN && add_ext)
		*lzi_record_written(draft.record) = lzi_retain_now();
	key.data = lzi_record_key(draft.record);
	key.size = draft.record->key_size;
	hash = lzi_store_hash(store, key.data, key.size);
	rc = lzi_table_lock(&store->table, call->actor, call->index, hash, &bucket);
	if (rc == LATZ_OK) {
		rc = lzi_write_find(store, bucket, key, hash, &slot, &found);
		if (rc == LATZ_OK &&
		    (lzi_slot_unit(lzi_load_relaxed(slot)) != unit || lzi_load_relaxed(&record->died) != 0 ||
		     record->seq != draft.record->seq)) /* by unit: the view may have widened, and addresses with it */
			rc = LATZ_NOTFOUND;
		if (rc == LATZ_OK) {
			if ((add_ext || reseals) && record->flags & LZI_RECORD_INSERT)
				draft.record->flags |= LZI_RECORD_INSERT; /* the index may not have seen the original;
				                                             cleaning's has */
			if (record->flags & LZI_RECORD_EXT)               /* a touch since the copy was made */
				take_deadline(draft.record, record);
			if (draft.ext)
				lzi_expiry_note(store, lzi_unit_of(draft.offset), lzi_record_ext(draft.record)->expiry);
			visits = judged ? 0 : lzi_load_relaxed(slot) & LZI_SLOT_VISITS;
			lzi_publish(call, slot, lzi_slot_make(hash, lzi_unit_of(draft.offset)) | visits, draft.record,
			            record, 0, LZI_INTENT_MOVE, LZI_DEATH_MOVED);
			if (draft.ext)
				lzi_expiry_note_again(store, lzi_unit_of(draft.offset),
				                      lzi_record_ext(draft.record)->expiry);
		}
		lzi_table_unlock(call->actor, bucket);
	}
	if (rc != LATZ_OK)
		lzi_append_abandon(store, draft.offset, draft.span);
	return rc;
}

int lzi_move_record(struct lzi_call *call, uint32_t *open, uint64_t unit, int add_ext, int64_t expiry, int judged)
{
	return move(call, open, unit, add_ext, expiry, judged, 0);
}

int lzi_move_resealed(struct lzi_call *call, uint64_t unit)
{
	return move(call, &call->actor->extent, unit, 0, 0, 0, 1);
}
