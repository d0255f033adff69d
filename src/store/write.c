/*
 * Writes. Order of stores, and what a death between any two leaves (doc/recovery.md has the table):
 *
 *   record written past the tail of the actor's extent   nobody sees it; the next record overwrites it
 *   actor->bucket, bucket locked                         reaper unlocks
 *   intent (kind, old, new, keys_after)                  reaper unlocks
 *   slot: the write happens here                         reaper does the rest:
 *   old record marked dead, counters, extent's tail
 *   kind = NONE, bucket unlocked, actor->bucket = 0
 *
 * A delete happens when the record's death mark is stored. Nothing here waits for anything but a bucket's holder and,
 * once an extent, the heap's mutex.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/analyzed.h"
#include "base/error.h"
#include "base/point.h"
#include "store/retain.h"
#include "store/audit.h"
#include "store/feed.h"
#include "store/log.h"
#include "store/newest.h"
#include "store/pack.h"
#include "store/seal.h"
#include "store/space.h"
#include "store/write_int.h"

/* Inserts after which a thread looks whether the table should grow, and keys a bucket should hold on average. */
#define SPLIT_EVERY 16u
#define SPLIT_MAX 64u
#define KEYS_PER_BUCKET LZI_KEYS_PER_BUCKET
/* What was evicted for us may be taken by others. */
#define EVICT_TRIES 1000
/* Of a value that others keep changing, or a record that is being moved: more is damage. */
#define LOOKS_MAX 10000u
/* What put() returns beside results. One variable for this and for the bytes that a sealed value takes more, so that
 * plain writes have none to look after. */
#define SEALED ((int)LZI_SEALED_HEAD)

static LZI_COLD int reach_further(struct lzi_store *store, uint64_t extent)
{
	return lzi_heap_view(&store->heap) == LATZ_OK && extent < lzi_load_acquire(&store->heap.reach);
}

static inline struct lzi_record *record_at(struct lzi_store *store, uint64_t unit)
{
	uint64_t offset = lzi_unit_offset(unit), extent = offset >> LZI_EXTENT_SHIFT, room;
	struct lzi_record *record;

	if (lzi_unlikely(extent >= lzi_load_acquire(&store->heap.reach)) && !reach_further(store, extent))
		return NULL;
	room = lzi_heap_room(&store->heap, offset,
	                     lzi_load_acquire(lzi_heap_word_in(lzi_load_relaxed(&store->heap.dir.base), extent)));
	record = (struct lzi_record *)(lzi_load_relaxed(&store->heap.map.base) + offset); /* room may move the map */
	if (lzi_unlikely(room < LZI_RECORD_HEAD || lzi_record_span_of(record) > room))
		return NULL;
	return record;
}

struct lzi_record *lzi_record_at(struct lzi_store *store, uint64_t unit)
{
	return record_at(store, unit);
}

int lzi_record_missing(struct lzi_store *store, uint64_t unit)
{
	uint64_t offset = lzi_unit_offset(unit), extent = offset >> LZI_EXTENT_SHIFT;
	int rc;

	if (extent < lzi_load_acquire(&store->heap.reach) && lzi_heap_state(&store->heap, extent) == LZI_EXTENT_IMAGE) {
		rc = lzi_heap_bring(&store->heap, extent);
		if (rc != LATZ_OK)
			return rc;
	}
	return lzi_error(LATZ_CORRUPT, "slot points to no record, at heap offset %llu", (unsigned long long)offset);
}

int lzi_write_find(struct lzi_store *store, struct lzi_bucket *bucket, latz_slice key, uint64_t hash,
                   uint64_t **ret_slot, struct lzi_record **ret_record)
{
	unsigned match, hops;

	for (hops = 0; bucket != NULL && hops < LZI_CHAIN_MAX; bucket = lzi_table_next(&store->table, bucket), hops++) {
		for (match = lzi_slots_matching(bucket, hash); match != 0; match &= match - 1) {
			uint64_t *slot = lzi_slot_at(bucket, match), word = lzi_load_relaxed(slot);
			struct lzi_record *record;

			if (lzi_unlikely(lzi_slot_unit(word) == 0 || (word ^ hash) >> LZI_TAG_SHIFT != 0))
				continue;
			record = record_at(store, lzi_slot_unit(word));
			if (lzi_unlikely(record == NULL))
				return lzi_record_missing(store, lzi_slot_unit(word));
			if (record->key_size == key.size &&
			    lzi_same_bytes(lzi_record_key(record), key.data, key.size)) {
				*ret_slot = slot;
				*ret_record = record;
				return LATZ_OK;
			}
		}
	}
	return LATZ_NOTFOUND;
}

int lzi_append_take(struct lzi_call *call, uint32_t *open, uint64_t span, int keeps, uint64_t *ret_extent)
{
	struct lzi_heap *heap = &call->store->heap;
	enum lzi_extent_list list = open == &call->actor->clean_extent ? LZI_LIST_MAIN : LZI_LIST_WINDOW;
	int run = span > LZI_RECORD_SHARED_MAX, cleaned = 0, rc;
	struct lzi_need need = { .span = span, .keeps = keeps };
	unsigned tries = 0;

	if (run)
		lzi_clean_runs(call, span);
	rc = run ? lzi_heap_take_run(heap, call->index, span, ret_extent)
	         : lzi_heap_take(heap, call->index, span, open != &call->actor->extent, list, ret_extent);
	while (lzi_unlikely(rc == LATZ_FULL && tries++ < EVICT_TRIES) || lzi_unlikely(rc == LATZ_NOSPC && !cleaned)) {
		if (rc == LATZ_FULL) {
			rc = lzi_bound_make_room(call, open, &need);
			if (rc != LATZ_OK)
				return rc;
		} else if (cleaned++, lzi_clean_for_room(call, open) != LATZ_OK) {
			return rc;
		}
		rc = run ? lzi_heap_take_run(heap, call->index, span, ret_extent)
		         : lzi_heap_take(heap, call->index, span, 0, list, ret_extent);
	}
	return rc;
}

int lzi_append_reserve(struct lzi_call *call, uint32_t *open, uint64_t span, uint64_t *ret_offset)
{
	struct lzi_heap *heap = &call->store->heap;
	uint64_t extent, tail;
	int rc;

	if (lzi_unlikely(span > LZI_RECORD_SHARED_MAX)) {
		rc = lzi_append_take(call, open, span, 0, &extent);
		*ret_offset = extent * LZI_EXTENT;
		return rc;
	}
	if (lzi_likely(*open != 0)) {
		extent = *open - 1;
		tail = lzi_load_relaxed(&lzi_heap_meta(heap, extent)->tail);
		if (lzi_likely(tail <= LZI_EXTENT - span) && lzi_likely(tail % LZI_UNIT == 0)) {
			*ret_offset = extent * LZI_EXTENT + tail;
			return LATZ_OK;
		}
		lzi_heap_tell(heap, extent);
		lzi_store_release(open, 0u);
		LZI_POINT("extent.full");
		lzi_heap_leave(heap, extent);
		LZI_POINT("extent.left");
		if (open == &call->actor->extent)
			lzi_clean_inline(call);
	}
	rc = lzi_append_take(call, open, span, 0, &extent);
	if (rc != LATZ_OK)
		return rc;
	tail = lzi_load_relaxed(&lzi_heap_meta(heap, extent)->tail);
	if (lzi_unlikely(open != &call->actor->extent) && tail == 0)
		lzi_fetch_add_relaxed(&call->store->moved_to, 1u);
	lzi_store_relaxed(open, (uint32_t)extent + 1);
	LZI_POINT("extent.taken");
	*ret_offset = extent * LZI_EXTENT + tail;
	if (lzi_unlikely(tail > LZI_EXTENT - span || tail % LZI_UNIT != 0))
		return lzi_error(LATZ_CORRUPT, "the account of extent %llu is damaged", (unsigned long long)extent);
	return LATZ_OK;
}

void lzi_append_abandon(struct lzi_store *store, uint64_t offset, uint64_t span)
{
	if (span > LZI_RECORD_SHARED_MAX)
		(void)lzi_heap_free(&store->heap, offset >> LZI_EXTENT_SHIFT); /* failing leaves it to our reaper */
}

void lzi_append_done(struct lzi_store *store, uint64_t unit, const struct lzi_record *record)
{
	uint64_t offset = lzi_unit_offset(unit), extent = offset >> LZI_EXTENT_SHIFT, end;
	struct lzi_extent *meta = lzi_heap_meta(&store->heap, extent);

	end = (offset & (LZI_EXTENT - 1)) + lzi_record_span_of(record);
	if (end <= meta->tail)
		return;
	if (record->flags & LZI_RECORD_INSERT)
		lzi_store_relaxed(&meta->inserts, meta->inserts + 1);
	LZI_POINT("append.before_tail");
	lzi_store_release(&meta->tail, end); /* pairs with lzi_extent_holds(): who sees the tail sees the records */
	LZI_POINT("append.tail");
	if (end > LZI_EXTENT || meta->run > 0)
		lzi_heap_settle_run(&store->heap, extent);
}

void lzi_record_kill(struct lzi_store *store, struct lzi_record *record, uint64_t unit, uint64_t seq,
                     enum lzi_death kind)
{
	struct lzi_extent *meta = lzi_heap_meta(&store->heap, lzi_unit_offset(unit) >> LZI_EXTENT_SHIFT);

	if (lzi_load_relaxed(&record->died) != 0)
		return;
	lzi_store_release(&record->died, lzi_death_make(seq, kind));
	LZI_POINT("record.died");
	if (kind == LZI_DEATH_DELETED)
		lzi_fetch_add_relaxed(&meta->deletes, 1u);
	lzi_fetch_add_relaxed(&meta->dead, lzi_record_span_of(record));
}

/* Whether an open scan may need this record once it has died: for itself, or for what can be reached through it. */
int lzi_record_needed(const struct lzi_store *store, const struct lzi_record *record)
{
	uint64_t pin_max = lzi_load_acquire(&store->control.shared->pin_max);

	return record->seq <= pin_max ||
	       (record->flags & LZI_RECORD_HAS_PREV && lzi_record_ext(record)->oldest <= pin_max);
}

enum lzi_death lzi_write_link(const struct lzi_shared *shared, struct lzi_record *record, const struct lzi_record *old,
                              uint64_t old_unit)
{
	struct lzi_record_ext *ext = lzi_record_ext(record);
	int has = old->flags & LZI_RECORD_HAS_PREV;

	record->flags |= LZI_RECORD_HAS_PREV;
	if (has && old->seq > lzi_load_acquire(&shared->pin_max)) {
		ext->prev = lzi_record_ext(old)->prev;
		ext->oldest = lzi_record_ext(old)->oldest;
		return LZI_DEATH_MOVED;
	}
	ext->prev = old_unit;
	/* What is older than `old` only scans from before it can want. */
	ext->oldest = has && lzi_load_acquire(&shared->pin_min) < old->seq ? lzi_record_ext(old)->oldest : old->seq;
	return LZI_DEATH_SUPERSEDED;
}

int lzi_seq_damaged(const struct lzi_record *record)
{
	return lzi_error(LATZ_CORRUPT, "record of version %llu, which was never given out",
	                 (unsigned long long)record->seq);
}

void lzi_publish(struct lzi_call *call, uint64_t *slot, uint64_t slot_word, struct lzi_record *record,
                 struct lzi_record *old, int delta, unsigned kind, enum lzi_death death)
{
	struct lzi_actor *actor = call->actor;
	uint64_t unit = lzi_slot_unit(slot_word), old_unit = old == NULL ? 0 : lzi_slot_unit(lzi_load_relaxed(slot));
	int spaced = lzi_record_is_spaced(record);

	if (spaced && actor->space == 0)
		lzi_space_intend(call, record, delta == 0 ? old : NULL, delta);
	actor->record_old = old_unit;
	actor->record_new = unit;
	actor->keys_after = actor->keys + delta;
	lzi_store_release(&actor->kind, kind);
	LZI_POINT("set.intent");
	lzi_store_release(slot, slot_word); /* pairs with the readers' load of the slot. The write happens here */
	LZI_POINT("set.published");
	if (old != NULL)
		lzi_record_kill(call->store, old, old_unit, record->seq, death);
	LZI_POINT("set.old_dead");
	lzi_store_relaxed(&actor->keys, actor->keys_after);
	if (spaced) {
		lzi_space_happened(call->store, actor, call->index);
		lzi_space_count_book(call->store, lzi_record_key(record), record->key_size, delta);
	}
	lzi_append_done(call->store, unit, record);
	LZI_POINT("set.booked");
	if (lzi_unlikely(kind & LZI_INTENT_FED))
		lzi_feed_settle(call->store, actor, call->index, 1);
	lzi_store_release(&actor->kind, (uint32_t)LZI_INTENT_NONE);
	if (spaced)
		lzi_store_release(&actor->space, 0u);
}

int lzi_draft_room(struct lzi_call *call, uint32_t *open, struct lzi_draft *draft)
{
	struct lzi_heap *heap = &call->store->heap;
	int rc = lzi_append_reserve(call, open, draft->span, &draft->offset);

	if (lzi_unlikely(rc != LATZ_OK))
		return rc;
	draft->record = lzi_heap_at(heap, draft->offset, draft->span);
	if (lzi_likely(draft->record != NULL))
		return LATZ_OK;
	rc = lzi_heap_beyond(heap, draft->offset, draft->span);
	lzi_append_abandon(call->store, draft->offset, draft->span);
	return rc;
}

/* All that does not depend on the value; where that goes. */
LZI_INLINE uint8_t *fill_head(struct lzi_draft *draft, latz_slice key, uint64_t value_size, uint8_t type)
{
	struct lzi_record *record = draft->record;
	uint8_t *to;

	record->died = 0;
	record->value_size = (uint32_t)value_size;
	record->key_size = (uint16_t)key.size;
	record->type = type;
	record->flags = (draft->ext ? LZI_RECORD_EXT : 0) | draft->flags;
	if (draft->ext) {
		*lzi_record_written(record) = LZI_WRITTEN_UNKNOWN;
		memset(lzi_record_ext(record), 0, sizeof(struct lzi_record_ext));
	}
	to = (uint8_t *)record + lzi_record_head(draft->ext);
	memcpy(to, key.data, key.size);
	return to + key.size;
}

LZI_INLINE void fill(struct lzi_draft *draft, latz_slice key, latz_slice value, uint8_t type)
{
	struct lzi_record *record = draft->record;
	uint8_t flags = (uint8_t)((draft->ext ? LZI_RECORD_EXT : 0) | draft->flags);
	uint8_t *to = fill_head(draft, key, value.size, type);

	/* Of what we know, not of what stands there: who scribbles over it must not lead us astray. */
	if (lzi_likely(value.size <= LZI_CRC32C_COPY_MAX && (flags & LZI_RECORD_SEALED) == 0)) {
		record->crc =
			lzi_crc32c_copy(lzi_record_crc_head((uint32_t)value.size, (uint16_t)key.size, type, flags),
		                        key.data, key.size, to, value.data, value.size);
		return;
	}
	memcpy(to, value.data, value.size);
	record->crc = lzi_record_crc((uint32_t)value.size, (uint16_t)key.size, type, flags, key.data, to);
}

void lzi_draft_fill(struct lzi_draft *draft, latz_slice key, latz_slice value, uint8_t type)
{
	fill(draft, key, value, type);
}

LZI_NOINLINE int lzi_draft_seal(struct lzi_call *call, struct lzi_draft *draft, latz_slice key, latz_slice value,
                                uint8_t type, uint64_t raw_size)
{
	struct lzi_sealing sealing = lzi_draft_sealing(draft, key, type);
	uint8_t flags = draft->flags; /* which a draft made again needs */

	draft->flags = (uint8_t)((flags & ~LZI_RECORD_PACKED) | LZI_RECORD_SEALED);
	(void)fill_head(draft, key, value.size + LZI_SEALED_HEAD, type);
	draft->flags = flags;
	return lzi_seal_body(call, &sealing, value, (uint32_t)raw_size, (flags & LZI_RECORD_PACKED) != 0,
	                     draft->sealed);
}

static LZI_COLD LZI_NOINLINE int read_sealed(struct lzi_call *call, const struct lzi_record *old, latz_slice key,
                                             int64_t *ret_value)
{
	uint32_t size = 0;
	int rc;

	if (old->type != LATZ_INT)
		return lzi_error(LATZ_TYPE, "the value is not a LATZ_INT");
	rc = lzi_open_small(call->store, old, key, ret_value, sizeof *ret_value, &size);
	if (rc == LATZ_OK)
		rc = lzi_newest_check_locked(call->store, key, old);
	return rc != LATZ_OK || size == sizeof *ret_value ? rc : lzi_error(LATZ_TYPE, "the value is not a LATZ_INT");
}

/* What ties the draft to its seq. */
static LZI_NOINLINE int seal_head(struct lzi_call *call, const struct lzi_write *write, const struct lzi_record *old,
                                  const struct lzi_draft *draft, uint64_t seq)
{
	struct lzi_sealing sealing = lzi_draft_sealing(draft, write->key, write->type);
	int rc = lzi_newest_check_write(call->store, write, old, seq);

	return rc == LATZ_OK ? lzi_seal_head(call, &sealing, seq, draft->sealed) : rc;
}

/* The value of an increment, into the draft. */
static int add_up(struct lzi_call *call, struct lzi_write *write, const struct lzi_record *old, int present,
                  struct lzi_draft *draft)
{
	struct lzi_record *record = draft->record;
	struct lzi_sealing sealing = lzi_draft_sealing(draft, write->key, write->type);
	int64_t value = 0;
	int rc;

	if (present && lzi_unlikely(old->flags & LZI_RECORD_SEALED)) {
		rc = read_sealed(call, old, write->key, &value);
		if (rc != LATZ_OK)
			return rc;
	} else if (present) {
		if (lzi_seal_lacks(call->store, old->flags, write->key))
			return lzi_error(LATZ_CORRUPT, "the record is not sealed, in an encrypted pool");
		if (old->type != LATZ_INT || old->value_size != sizeof value)
			return lzi_error(LATZ_TYPE, "the value is not a LATZ_INT");
		memcpy(&value, lzi_record_value(old), sizeof value);
	}
	if (__builtin_add_overflow(value, write->by, &value))
		return lzi_error(LATZ_OVERFLOW, "the sum does not fit 64 bits");
	write->sum = value;
	if (lzi_unlikely(draft->sealed != NULL))
		return lzi_seal_body(call, &sealing, (latz_slice){ &value, sizeof value }, sizeof value, 0,
		                     draft->sealed);
	memcpy((uint8_t *)record + lzi_record_head(draft->ext) + write->key.size, &value, sizeof value);
	record->crc = lzi_record_crc(sizeof value, (uint16_t)write->key.size, write->type,
	                             (uint8_t)((draft->ext ? LZI_RECORD_EXT : 0) | draft->flags), write->key.data,
	                             &value);
	return LATZ_OK;
}

/* Under the bucket's lock. LATZ_BUSY: the draft lacks an extension that turned out to be needed, or it is not a plain
 * write any more. 1: nothing to do. LZI_WRITE_LOOK. */
LZI_INLINE int commit(struct lzi_call *call, struct lzi_write *write, uint64_t hash, struct lzi_bucket *bucket,
                      struct lzi_draft *draft, const struct lzi_compared *compared, const int plain)
{
	struct lzi_store *store = call->store;
	struct lzi_record *old = NULL, *record = draft->record;
	struct lzi_space *const space = plain ? NULL : write->space;
	const int is_sum = !plain && write->kind == LZI_WRITE_INCREMENT;
	int present = 0, keep, needed, inserted, rc;
	enum lzi_death death = LZI_DEATH_SUPERSEDED;
	unsigned kind = LZI_INTENT_WRITE;
	uint64_t *slot = NULL, seq, old_span = 0;
	int64_t expiry = !plain && write->ttl_ms > 0 ? lzi_clock_mono_ms() + write->ttl_ms : 0;

	if (plain && lzi_unlikely(lzi_load_relaxed(&store->control.shared->watch) != 0))
		return LATZ_BUSY;
	rc = lzi_write_find(store, bucket, write->key, hash, &slot, &old);
	if (rc == LATZ_OK)
		present = lzi_record_present(old);
	else if (rc != LATZ_NOTFOUND)
		return rc;
	rc = !plain && write->flags != 0 ? lzi_write_check(store, write, old, present, compared) : LATZ_OK;
	if (lzi_unlikely(rc == 1)) {
		write->version = old->seq;
		lzi_bound_renew(store);
	}
	if (rc != LATZ_OK)
		return rc;
	keep = present && ((!plain && write->flags & LATZ_KEEP_TTL) || is_sum);
	if (keep)
		expiry = lzi_record_expiry(old);
	if (!plain && lzi_retains(store))
		expiry = lzi_retain_deadline(store, write->key, expiry);
	/* The clock before the pins: who takes a pin announces it and then moves the clock, so a seq beyond a pin knows
	 * it. */
	if (lzi_unlikely((seq = lzi_next_seq(store->control.shared, old == NULL ? 0 : lzi_last_seq(old))) == 0))
		return lzi_seq_damaged(old);
	needed = old != NULL && lzi_record_needed(store, old);
	if (lzi_unlikely((needed || expiry != 0) && !draft->ext))
		return LATZ_BUSY;
	if (is_sum && (rc = add_up(call, write, old, present, draft)) != LATZ_OK)
		return rc;
	/* An expired record nobody has collected counts as a key until it is; so replacing it adds none. */
	inserted = old == NULL || lzi_load_relaxed(&old->died) != 0;
	if (lzi_unlikely(space != NULL)) {
		old_span = inserted ? 0 : lzi_record_span_of(old);
		rc = lzi_space_admit(call, write, draft->span, old_span);
		if (lzi_unlikely(rc != LATZ_OK))
			return rc;
	}
	if (!plain && lzi_is_bounded(store) && inserted && lzi_bound_entries_full(store)) {
		write->crowded = LZI_CROWDED;
		return LATZ_FULL;
	}
	if (slot == NULL && (rc = lzi_table_room(&store->table, call->actor, call->index, bucket, 0, &slot)) != LATZ_OK)
		return rc;
	record->seq = seq;
	if (!plain && lzi_unlikely(draft->sealed != NULL) && (rc = seal_head(call, write, old, draft, seq)) != LATZ_OK)
		return rc;
	record->crc ^= lzi_record_crc_seq(record->seq);
	if (inserted)
		record->flags |= LZI_RECORD_INSERT;
	if (!plain && draft->ext) {
		if (lzi_retains(store))
			*lzi_record_written(record) = lzi_retain_now();
		lzi_record_ext(record)->expiry = expiry;
		if (needed)
			death = lzi_write_link(store->control.shared, record, old,
			                       lzi_slot_unit(lzi_load_relaxed(slot)));
		lzi_expiry_note(store, lzi_unit_of(draft->offset), expiry);
	}
	if (!plain && lzi_is_fed(store)) {
		lzi_feed_set(call, write->key, seq, record->type, old, present);
		kind |= LZI_INTENT_FED;
	}
	if (lzi_unlikely(space != NULL))
		lzi_space_intend_write(call, write, inserted, draft->span, old_span);
	lzi_publish(call, slot,
	            lzi_slot_make(hash, lzi_unit_of(draft->offset)) | (lzi_load_relaxed(slot) & LZI_SLOT_VISITS),
	            record, old, inserted, kind, death);
	if (!plain)
		lzi_expiry_note_again(store, lzi_unit_of(draft->offset), expiry);
	write->version = record->seq;
	write->created = inserted;
	call->actor->debt += (uint32_t)inserted;
	return LATZ_OK;
}

/* The table grows when there are more keys than it is meant for. */
static LZI_NOINLINE void grow_table(struct lzi_call *call)
{
	struct lzi_store *store = call->store;
	int64_t keys = lzi_store_keys(store);
	uint64_t want = keys > 0 ? (uint64_t)keys / KEYS_PER_BUCKET + 1 : 1;
	unsigned i;

	call->actor->debt = 0;
	for (i = 0; i < SPLIT_MAX && lzi_load_relaxed(&store->control.shared->buckets) < want; i++) {
		if (lzi_table_split(&store->table, call->actor, call->index) != LATZ_OK)
			break;
	}
}

/* A bounded pool is full: of keys, or of what chains of buckets are made of. */
static LZI_COLD int make_way(struct lzi_call *call, struct lzi_write *write)
{
	struct lzi_need need = { .span = LZI_UNIT };
	int why = write->crowded;
	write->crowded = 0;
	if (why == LZI_CROWDED_SPACE)
		return lzi_space_make_room(call, write->key, 1, write->span);
	if (why == 0)
		return lzi_bound_make_room(call, &call->actor->extent, &need);
	return lzi_bound_make_entries(call, 1);
}

static LZI_NOINLINE void after_put(struct lzi_call *call, const struct lzi_write *write, uint64_t hash, uint64_t span)
{
	if (lzi_is_fed(call->store))
		lzi_feed_ring(call->store);
	if (!lzi_is_watched(call->store))
		return;
	if (!lzi_key_is_book(write->key.data, write->key.size)) /* which no policy is to name */
		lzi_hear_write(call, hash, span, write->created ? LZI_EVENT_CREATED : LZI_EVENT_WRITTEN);
	if (lzi_is_bounded(call->store))
		lzi_bound_pace(call);
}

/* What a bounded pool, an audited one, one with ages that no key passes has to do before a key is written. */
static LZI_NOINLINE int before_put(struct lzi_call *call, struct lzi_write *write)
{
	int rc = LATZ_OK;

	if (lzi_audits(call, LZI_WATCH_AUDIT_WRITES))
		rc = lzi_audit_write(call, write);
	if (lzi_retains(call->store))
		lzi_retain_cap(call->store, write);
	if (rc == LATZ_OK && lzi_is_bounded(call->store)) {
		rc = lzi_bound_check(call, lzi_record_span(write->key.size, write->value.size, 1));
		/* What we wrote before may make room for this. */
		if (rc == LATZ_OK)
			lzi_store_relaxed(&call->actor->fresh_hash, 0ull);
	}
	return rc;
}

static LZI_NOINLINE int seal(struct lzi_call *call, const struct lzi_write *write, struct lzi_draft *draft,
                             latz_slice value)
{
	if (write->kind != LZI_WRITE_INCREMENT)
		return lzi_draft_seal(call, draft, write->key, value, write->type, write->value.size);
	(void)fill_head(draft, write->key, sizeof(int64_t) + LZI_SEALED_HEAD, write->type);
	draft->record->flags |= LZI_RECORD_SEALED; /* the sum is known under the lock */
	return LATZ_OK;
}

/* Key and value into the draft, which is given up if that fails. A sum is known under the lock only. */
LZI_INLINE int fill_draft(struct lzi_call *call, struct lzi_write *write, struct lzi_draft *draft, latz_slice value)
{
	int rc = LATZ_OK;

	if (lzi_unlikely(draft->sealed != NULL))
		rc = seal(call, write, draft, value);
	else if (lzi_unlikely(write->kind == LZI_WRITE_INCREMENT))
		(void)fill_head(draft, write->key, sizeof(int64_t), write->type);
	else
		fill(draft, write->key, value, write->type);
	if (lzi_unlikely(rc != LATZ_OK))
		lzi_append_abandon(call->store, draft->offset, draft->span);
	return rc;
}

/* A set on no conditions, of a key of the pool's own that does not expire, where nobody else is to hear of it. */
static inline int is_plain(const struct lzi_store *store, const struct lzi_write *write)
{
	return write->kind == LZI_WRITE_SET && write->flags == 0 && write->ttl_ms <= 0 && write->space == NULL &&
	       write->fence == NULL && lzi_load_relaxed(&store->control.shared->watch) == 0 && !lzi_is_sealed(store) &&
	       !lzi_key_is_spaced(write->key.data, write->key.size) && !lzi_pack_wanted(store, write->value.size);
}

/* What put() comes to for a plain one, with none of its questions asked. LATZ_BUSY: nothing is done, it is put()'s. */
static int put_plain(struct lzi_call *call, struct lzi_write *write)
{
	struct lzi_store *store = call->store;
	uint64_t hash = lzi_store_hash(store, write->key.data, write->key.size);
	struct lzi_draft draft = { .span = lzi_record_span(write->key.size, write->value.size, 0) };
	struct lzi_bucket *bucket;
	int rc;

	lzi_read_prefetch_bucket(store, hash);
	rc = lzi_draft_room(call, &call->actor->extent, &draft);
	if (lzi_unlikely(rc != LATZ_OK))
		return rc;
	lzi_analyzed_assume(draft.record != NULL);
	fill(&draft, write->key, write->value, write->type);
	LZI_POINT("set.drafted");
	lzi_read_prefetch_record(store, hash);
	rc = lzi_table_lock(&store->table, call->actor, call->index, hash, &bucket);
	if (lzi_likely(rc == LATZ_OK)) {
		rc = commit(call, write, hash, bucket, &draft, NULL, 1);
		lzi_table_unlock(call->actor, bucket);
	}
	if (lzi_unlikely(rc != LATZ_OK)) {
		lzi_append_abandon(store, draft.offset, draft.span);
		return rc == LATZ_NOSPC ? LATZ_BUSY : rc; /* put() cleans for room */
	}
	lzi_bump_relaxed(&call->actor->sets, 1ull);
	if (lzi_unlikely(call->actor->debt >= SPLIT_EVERY))
		grow_table(call);
	return LATZ_OK;
}

/* 1: it is the same already. SEALED: it is written, sealed. */
static int put(struct lzi_call *call, struct lzi_write *write)
{
	struct lzi_store *store = call->store;
	uint64_t hash = lzi_write_hash(store, write);
	struct lzi_draft draft = { NULL, 0, 0, 0, 0, NULL };
	struct lzi_compared compared = { 0, 0 };
	unsigned looks = 0;
	latz_slice value = write->value;
	int is_sum = write->kind == LZI_WRITE_INCREMENT;
	uint64_t sealed = lzi_is_sealed(store) && lzi_seal_wanted(store, write->key) ? SEALED : 0;
	struct lzi_sealed sealed_as;
	struct lzi_bucket *bucket;
	int cleaned = 0, evicted = 0, rc;

	if (lzi_unlikely(sealed)) {
		draft.sealed = &sealed_as;
		if ((rc = lzi_seal_fits(value.size)) != LATZ_OK)
			return rc;
	}
	write->crowded = 0;
	lzi_read_prefetch_bucket(store, hash);
	if (lzi_unlikely(lzi_key_is_spaced(write->key.data, write->key.size)) && write->space == NULL &&
	    (rc = lzi_space_resolve(call, write)) != LATZ_OK)
		return rc;
	if (lzi_unlikely(write->flags == LATZ_IF_CHANGED) && write->fence == NULL && !lzi_is_bounded(store) &&
	    lzi_write_has_same(call, write, hash))
		return 1;
	if (lzi_unlikely(write->space != NULL))
		lzi_space_say(call, write);
	if (lzi_pack_wanted(store, value.size) && !lzi_key_is_book(write->key.data, write->key.size) &&
	    lzi_pack(store, &value))
		draft.flags = LZI_RECORD_PACKED;
	if (lzi_unlikely((lzi_load_relaxed(&store->control.shared->watch) & LZI_WATCH_BEFORE) != 0) &&
	    (rc = before_put(call, write)) != LATZ_OK)
		return rc;
	draft.ext = write->ttl_ms > 0;
	for (;;) {
		draft.span = lzi_record_span(write->key.size,
		                             (is_sum ? sizeof(int64_t) : value.size) + sealed,
		                             draft.ext);
		rc = lzi_draft_room(call, &call->actor->extent, &draft);
		if (lzi_unlikely(rc != LATZ_OK))
			return rc;
		lzi_analyzed_assume(draft.record != NULL);
		rc = fill_draft(call, write, &draft, value);
		if (lzi_unlikely(rc != LATZ_OK))
			return rc;
		LZI_POINT("set.drafted");
		if (lzi_is_bounded(store)) {
			lzi_store_relaxed(&call->actor->fresh_units, (uint32_t)(draft.span / LZI_UNIT));
			lzi_store_relaxed(&call->actor->fresh_hash, hash);
		}
		lzi_read_prefetch_record(store, hash);
		rc = lzi_fence_begin(call, write->fence);
		if (lzi_likely(rc == LATZ_OK))
			rc = lzi_table_lock(&store->table, call->actor, call->index, hash, &bucket);
		if (lzi_likely(rc == LATZ_OK)) {
			rc = commit(call, write, hash, bucket, &draft, &compared, 0);
			lzi_table_unlock(call->actor, bucket);
		}
		lzi_fence_end(call, write->fence);
		if (lzi_likely(rc == LATZ_OK))
			break;
		lzi_append_abandon(store, draft.offset, draft.span);
		if (lzi_unlikely(write->space != NULL))
			lzi_space_say(call, write); /* anew: the key may be another by then */
		if (rc == LATZ_FULL && evicted++ < EVICT_TRIES && (rc = make_way(call, write)) == LATZ_OK)
			continue;
		if (rc == LATZ_BUSY)
			draft.ext = 1;
		else if (rc == LZI_WRITE_LOOK && looks++ < LOOKS_MAX &&
		         (rc = lzi_write_compare(call, write, hash, &compared)) == LATZ_OK)
			continue;
		else if (rc != LATZ_NOSPC || cleaned++ || /* the bucket's chain could not be lengthened */
		         lzi_clean_for_room(call, &call->actor->extent) != LATZ_OK)
			return rc == LZI_WRITE_LOOK ? lzi_error(LATZ_CORRUPT, "the value keeps changing") : rc;
	}
	lzi_bump_relaxed(&call->actor->sets, 1ull);
	if (lzi_unlikely(call->actor->debt >= SPLIT_EVERY))
		grow_table(call);
	if (lzi_unlikely((lzi_load_relaxed(&store->control.shared->watch) & ~(uint32_t)LZI_WATCH_STAYS) != 0))
		after_put(call, write, hash, draft.span);
	if (lzi_unlikely(write->space != NULL))
		lzi_space_written(call, write, hash);
	return (int)sealed;
}

void lzi_write_grow_table(struct lzi_call *call)
{
	if (call->actor->debt >= SPLIT_EVERY)
		grow_table(call);
}

/* A new deadline. */
static int touch(struct lzi_call *call, struct lzi_write *write)
{
	unsigned looks = 0;
	uint64_t unit = 0;
	int rc;

	if (!write->renew)
		lzi_bump_relaxed(&call->actor->uses, 1u);
	do {
		rc = lzi_write_touch(call, write, &unit);
		if (rc == LATZ_BUSY) {
			rc = lzi_move_record(call, &call->actor->extent, unit, 1, write->deadline, 0);
			/* Overwritten or moved meanwhile: look again. In a durable pool the log hears of it
			 * once there is room for the deadline. */
			if (rc == LATZ_NOTFOUND || (rc == LATZ_OK && lzi_is_durable(call->store)))
				rc = ++looks < LOOKS_MAX ? LATZ_BUSY
				                         : lzi_error(LATZ_CORRUPT, "the record keeps moving");
		}
	} while (rc == LATZ_BUSY);
	return rc;
}

static LZI_NOINLINE int end_put(struct lzi_call *call, const struct lzi_write *write, int rc)
{
	if (lzi_is_sealed(call->store) && lzi_pack_wanted(call->store, write->value.size))
		lzi_codec_wipe();
	if (rc == SEALED) {
		lzi_newest_note(call->store, write->key, write->version);
		return LATZ_OK;
	}
	lzi_bump_relaxed(&call->actor->uses, 1u); /* which is no set */
	return rc == 1 ? LATZ_OK : rc;
}

int lzi_store_write(struct lzi_call *call, struct lzi_write *write)
{
	struct lzi_store *store = call->store;
	int rc;

	if (lzi_unlikely(write->flags & LATZ_DURABLE) && !lzi_is_durable(store))
		return lzi_error(LATZ_UNSUPPORTED, "LATZ_DURABLE: pool %s has no log", store->name);
	/* A write is a call of its own, so that a scan waiting for it sees it end. */
	lzi_call_begin(call);
	if (write->kind == LZI_WRITE_SET || write->kind == LZI_WRITE_INCREMENT) {
		rc = lzi_likely(is_plain(store, write)) ? put_plain(call, write) : LATZ_BUSY;
		if (lzi_unlikely(rc == LATZ_BUSY))
			rc = put(call, write);
		if (lzi_unlikely(write->space != NULL))
			lzi_store_release(&call->actor->space_at, 0u);
		if (lzi_unlikely(rc != LATZ_OK))
			rc = end_put(call, write, rc);
	} else if (lzi_audits(call, LZI_WATCH_AUDIT_WRITES) && (rc = lzi_audit_write(call, write)) != LATZ_OK) {
		; /* it is not to be */
	} else if (write->kind == LZI_WRITE_TOUCH) {
		rc = touch(call, write);
	} else {
		rc = lzi_write_erase(call, write);
		if (rc != LATZ_OK && write->kind == LZI_WRITE_DELETE && !write->later)
			lzi_bump_relaxed(&call->actor->uses, 1u);
	}
	lzi_call_end(call);
	if (lzi_unlikely(write->flags & LATZ_DURABLE ||
	                 lzi_load_relaxed(&store->control.shared->durable) == LZI_DURABLE_ALWAYS) &&
	    (rc == LATZ_OK || (rc == LATZ_NOTFOUND && write->kind == LZI_WRITE_DELETE)) && !write->later &&
	    write->kind != LZI_WRITE_EXPIRE) {
		/* A key that was evicted, or that another is deleting, may be in the log yet: that it is gone is no
		 * less a promise. */
		int waited = lzi_log_wait(store);

		rc = waited != LATZ_OK ? waited : rc;
	}
	return rc;
}
