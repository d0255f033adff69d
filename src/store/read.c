/*
 * Point reads. They take no lock, wait for nobody and write nothing that others read in a hurry.
 *
 * A read: (1) number of buckets; (2) slot; (3) its extent's word (generation); (4) slot and number of buckets again:
 * unchanged, so at this moment the record was published and its extent was of that generation: from here on its bytes
 * are immutable as long as the generation stays; (5) key, value copied; (6) the word again: same generation, so what
 * was copied is the record. The read takes effect at (4). A miss counts only if neither the number of buckets nor the
 * bucket's version has changed since (1) (table.h, T.2).
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "store/audit.h"
#include "store/newest.h"
#include "store/pack.h"
#include "store/read_int.h"
#include "store/reader.h"
#include "store/seal.h"
#include "store/space.h"
#include "store/write_int.h"

/* The sanitizer for threads sees the copy race with whoever refills the extent; the generation, checked after it,
 * throws such a copy away. */
#if defined(__SANITIZE_THREAD__)
#define OPTIMISTIC __attribute__((no_sanitize("thread"), noinline))
#else
#define OPTIMISTIC
#endif

/* Most records have no deadline and no older version, and are neither compressed nor sealed. Whether one is so `bare`
 * is seen once and known at compile time from there on: every get would ask the same several times over. */
#define NOT_BARE (LZI_RECORD_EXT | LZI_RECORD_PACKED | LZI_RECORD_SEALED)

/* The room holds a head at least. */
LZI_INLINE int key_is(const struct lzi_found *found, latz_slice key, const int bare)
{
	const struct lzi_record *record = found->record;
	uint64_t head;
	size_t size;

	lzi_racy_reads_begin(); /* whatever the answer, the generation is looked at after it */
	head = lzi_record_head(!bare && record->flags & LZI_RECORD_EXT);
	size = record->key_size;
	lzi_racy_reads_end();
	return size == key.size && lzi_likely(found->room >= head + key.size) &&
	       lzi_same_bytes((const uint8_t *)record + head, key.data, key.size);
}

/* One pass. LATZ_BUSY: something moved, look again. */
static int find_once(struct lzi_store *store, latz_slice key, uint64_t hash, struct lzi_found *found)
{
	const struct lzi_shared *shared = store->control.shared;
	uint64_t n = lzi_load_acquire(&shared->buckets), number = lzi_bucket_of(hash, n), header;
	struct lzi_bucket *head = lzi_table_bucket(&store->table, number), *bucket;
	unsigned match, hops;
	int rc;

	if (lzi_unlikely(head == NULL)) {
		rc = lzi_read_wider(store);
		return rc != LATZ_OK ? rc : LATZ_BUSY;
	}
	header = lzi_load_acquire(&head->header);
	for (bucket = head, hops = 0; bucket != NULL && hops < LZI_CHAIN_MAX; hops++) {
		for (match = lzi_slots_matching(bucket, hash); match != 0; match &= match - 1) {
			uint64_t *slot = lzi_slot_at(bucket, match), word = lzi_load_acquire(slot);

			if (lzi_unlikely((word ^ hash) >> LZI_TAG_SHIFT != 0))
				continue;
			rc = lzi_read_locate(store, slot, word, found);
			if (lzi_unlikely(rc != LATZ_OK)) {
				if (rc == LATZ_NOTFOUND)
					continue;
				return rc;
			}
			if (lzi_unlikely(lzi_load_acquire(&shared->buckets) != n &&
			                 lzi_bucket_of(hash, lzi_load_acquire(&shared->buckets)) != number))
				return LATZ_BUSY;
			/* Without room for a head there may not even be memory. */
			if (lzi_likely(found->room >= LZI_RECORD_HEAD && key_is(found, key, 0)))
				return LATZ_OK;
			if (!lzi_found_valid(found))
				return LATZ_BUSY;
			rc = lzi_read_other(store, found, slot, word);
			if (rc != LATZ_OK)
				return rc;
		}
		bucket = lzi_table_next(&store->table, bucket);
	}
	lzi_fence_acquire();
	if (lzi_bucket_of(hash, lzi_load_relaxed(&shared->buckets)) != number ||
	    ((lzi_load_relaxed(&head->header) ^ header) & LZI_VERSION_MASK) != 0)
		return LATZ_BUSY;
	return LATZ_NOTFOUND;
}

int lzi_read_find(struct lzi_store *store, latz_slice key, uint64_t hash, struct lzi_found *ret_found)
{
	unsigned tries = 0;
	int rc;

	while (lzi_unlikely((rc = find_once(store, key, hash, ret_found)) == LATZ_BUSY) && lzi_read_again(&tries))
		;
	return lzi_likely(rc != LATZ_BUSY) ? rc : lzi_read_restless();
}

static inline int value_reserve(latz_value *value, size_t size)
{
	return lzi_likely(value->capacity > size && value->data != NULL) ? LATZ_OK : lzi_value_widen(value, size);
}

OPTIMISTIC static void copy_bytes(void *to, const void *from, size_t size)
{
#if defined(__SANITIZE_THREAD__)
	/* memcpy is intercepted; a plain loop in an uninstrumented function is not. */
	volatile uint8_t *t = to;
	const volatile uint8_t *f = from;

	while (size-- > 0)
		*t++ = *f++;
#else
	memcpy(to, from, size);
#endif
}

/* Copies a value; the checksum of what the copy and the key make. */
LZI_INLINE uint32_t copy_summed(const struct lzi_found *found, latz_slice key, void *to, uint32_t size, uint8_t type,
                                uint8_t flags)
{
	const void *from = (const uint8_t *)found->record + lzi_record_head(flags & LZI_RECORD_EXT) + key.size;
	uint32_t sum;

	if (lzi_likely(size <= LZI_CRC32C_COPY_MAX)) {
		lzi_racy_reads_begin(); /* as copy_bytes() */
		sum = lzi_crc32c_copy(lzi_record_crc_head(size, (uint16_t)key.size, type, flags), key.data, key.size,
		                      to, from, size);
		lzi_racy_reads_end();
		return sum;
	}
	copy_bytes(to, from, size);
	return lzi_record_crc(size, (uint16_t)key.size, type, flags, key.data, to);
}

/* Of a sealed value that is not compressed: straight to where it is to go. LATZ_MISMATCH: it is none. */
static int take_sealed(struct lzi_store *store, const struct lzi_found *found, const struct lzi_record *head,
                       latz_slice key, latz_value *value)
{
	const uint8_t *at = (const uint8_t *)found->record + lzi_record_head(head->flags & LZI_RECORD_EXT) + key.size;
	struct lzi_stored stored = { NULL, head->value_size, head->type, head->seq, lzi_unit_offset(found->unit), key };
	struct lzi_sealed sealed;
	uint32_t sum;
	int rc;

	if (head->value_size < LZI_SEALED_HEAD)
		return LATZ_MISMATCH;
	copy_bytes(&sealed, at, sizeof sealed);
	if (sealed.packed)
		return LATZ_MISMATCH;
	sum = lzi_record_crc(head->value_size, (uint16_t)key.size, head->type, head->flags, key.data, &sealed);
	if (!lzi_found_valid(found))
		return LATZ_BUSY;
	if ((sum ^ lzi_record_crc_seq(head->seq)) != head->crc)
		return LATZ_MISMATCH; /* which is then seen again, and told */
	rc = lzi_open_in_place(store, &stored, &sealed, at + sizeof sealed, value);
	if (lzi_unlikely(!lzi_found_valid(found)))
		return LATZ_BUSY;
	value->type = (latz_type)head->type;
	value->version = head->seq;
	return rc;
}

/* The same of a compressed or sealed value, which is copied to the thread's room for such first. */
static LZI_NOINLINE int take_packed(struct lzi_store *store, const struct lzi_found *found, const void *key,
                                    size_t key_size, enum lzi_read_how how, latz_value *value)
{
	struct lzi_record head;
	uint32_t sum = 0;
	uint8_t *packed;
	int rc;

	copy_bytes(&head, found->record, LZI_RECORD_HEAD);
	if (lzi_record_head(head.flags & LZI_RECORD_EXT) + key_size + head.value_size > found->room)
		return lzi_found_valid(found)
		               ? lzi_error(LATZ_CORRUPT, "record at heap offset %llu reaches past its extent",
		                           (unsigned long long)lzi_unit_offset(found->unit))
		               : LATZ_BUSY;
	if (head.flags & LZI_RECORD_SEALED && how == LZI_READ_VALUE) {
		rc = take_sealed(store, found, &head, (latz_slice){ key, key_size }, value);
		if (lzi_likely(rc != LATZ_MISMATCH))
			return rc;
	}
	packed = lzi_codec_room(head.value_size);
	if (packed != NULL) {
		copy_bytes(packed,
		           (const uint8_t *)found->record + lzi_record_head(head.flags & LZI_RECORD_EXT) + key_size,
		           head.value_size);
		sum = lzi_record_crc(head.value_size, (uint16_t)key_size, head.type, head.flags, key, packed);
	}
	if (!lzi_found_valid(found) || (head.flags & (LZI_RECORD_PACKED | LZI_RECORD_SEALED)) == 0)
		return LATZ_BUSY;
	if (packed == NULL)
		return lzi_error(LATZ_NOMEM, "value of %u bytes", head.value_size);
	if ((sum ^ lzi_record_crc_seq(head.seq)) != head.crc)
		return lzi_error(LATZ_CORRUPT, "checksum of the record at heap offset %llu does not match",
		                 (unsigned long long)lzi_unit_offset(found->unit));
	rc = lzi_open_copied(store, packed, &head, lzi_unit_offset(found->unit),
	                     (latz_slice){ key, key_size }, how == LZI_READ_PACKED, value);
	value->type = (latz_type)(how == LZI_READ_PACKED ? head.type | LZI_TYPE_SEALED : head.type);
	value->version = head.seq;
	return rc;
}

/* And held against what the process has seen of the key. moment: as of which it is read. */
static LZI_NOINLINE int take_checked(struct lzi_store *store, const struct lzi_found *found, const void *key,
                                     size_t key_size, enum lzi_read_how how, uint64_t moment, latz_value *value)
{
	int rc = take_packed(store, found, key, key_size, how, value);

	return rc != LATZ_OK || how == LZI_READ_PACKED
	               ? rc
	               : lzi_newest_check(store, (latz_slice){ key, key_size }, value->version, moment,
	                                  lzi_unit_offset(found->unit), value);
}

/* Copies what was found and checks the copy: steps 5 and 6. LATZ_BUSY: it was reused meanwhile. */
LZI_INLINE int take(struct lzi_store *store, const struct lzi_found *found, latz_slice key, enum lzi_read_how how,
                    uint64_t moment, latz_value *value, const int bare)
{
	const struct lzi_record *record = found->record;
	uint32_t size, crc, sum;
	uint8_t type, flags;
	uint64_t seq;
	int rc;

	lzi_racy_reads_begin(); /* thrown away if the generation has changed by the time the copy is made */
	size = record->value_size;
	crc = record->crc;
	type = record->type;
	flags = bare ? 0 : record->flags;
	seq = record->seq;
	lzi_racy_reads_end();
	if (lzi_unlikely(lzi_record_head(flags & LZI_RECORD_EXT) + key.size + size > found->room))
		return lzi_found_valid(found)
		               ? lzi_error(LATZ_CORRUPT, "record at heap offset %llu reaches past its extent",
		                           (unsigned long long)lzi_unit_offset(found->unit))
		               : LATZ_BUSY;
	if (lzi_unlikely(flags & (LZI_RECORD_PACKED | LZI_RECORD_SEALED)) &&
	    (how == LZI_READ_VALUE || flags & LZI_RECORD_SEALED)) {
		struct lzi_found copy = *found; /* so that the caller's can stay in registers */

		return take_checked(store, &copy, key.data, key.size, how, moment, value);
	}
	if (lzi_unlikely(lzi_seal_lacks(store, flags, key)))
		return lzi_found_valid(found) ? lzi_not_sealed(lzi_unit_offset(found->unit)) : LATZ_BUSY;
	rc = value_reserve(value, size);
	if (lzi_unlikely(rc != LATZ_OK))
		return lzi_found_valid(found) ? rc : LATZ_BUSY;
	sum = copy_summed(found, key, value->data, size, type, flags);
	if (lzi_unlikely(!lzi_found_valid(found)))
		return LATZ_BUSY;
	if (lzi_unlikely((sum ^ lzi_record_crc_seq(seq)) != crc))
		return lzi_error(LATZ_CORRUPT, "checksum of the record at heap offset %llu does not match",
		                 (unsigned long long)lzi_unit_offset(found->unit));
	((char *)value->data)[size] = '\0';
	value->size = size;
	value->type = (latz_type)(how == LZI_READ_PACKED && flags & LZI_RECORD_PACKED ? type | LZI_TYPE_PACKED : type);
	value->version = seq;
	return LATZ_OK;
}

/* LATZ_OK if the record is there to be read now; *ret_expiry 0 if it never expires. undecided: what is returned for a
 * record that is. */
LZI_INLINE int present_racy(const struct lzi_found *found, int64_t *ret_now, int64_t *ret_expiry, int undecided,
                            const int bare)
{
	uint64_t died = lzi_load_relaxed(&found->record->died);

	*ret_expiry = 0;
	if (lzi_unlikely(died != 0)) {
		if (lzi_undecided(died))
			return undecided;
		if (!lzi_death_valid(died))
			return lzi_found_valid(found)
			               ? lzi_error(LATZ_CORRUPT,
			                           "death mark of the record at heap offset %llu is damaged",
			                           (unsigned long long)lzi_unit_offset(found->unit))
			               : LATZ_BUSY;
		/* Superseded or moved since we read its slot: as of then it was the value. */
		if (lzi_death_kind(died) == LZI_DEATH_DELETED)
			return lzi_found_valid(found) ? LATZ_NOTFOUND : LATZ_BUSY;
	}
	if (!bare && lzi_unlikely(found->record->flags & LZI_RECORD_EXT) &&
	    (*ret_expiry = lzi_record_expiry(found->record)) != 0) {
		*ret_now = lzi_clock_mono_ms();
		if (*ret_expiry <= *ret_now)
			return lzi_found_valid(found) ? LATZ_NOTFOUND : LATZ_BUSY;
	}
	return LATZ_OK;
}

LZI_INLINE int present(const struct lzi_found *found, int64_t *ret_now, int64_t *ret_expiry, int undecided,
                       const int bare)
{
	int rc;

	lzi_racy_reads_begin(); /* LATZ_OK is followed by a look at the generation, the others come after one */
	rc = present_racy(found, ret_now, ret_expiry, undecided, bare);
	lzi_racy_reads_end();
	return rc;
}

int lzi_read_present(struct lzi_store *store, latz_slice key, struct lzi_found *found, int64_t *ret_now,
                     int64_t *ret_expiry)
{
	int rc = present(found, ret_now, ret_expiry, LZI_READ_UNDECIDED, 0);

	return lzi_likely(rc != LZI_READ_UNDECIDED) ? rc
	                                            : lzi_read_present_settled(store, key, found, ret_now, ret_expiry);
}

static int get_once(struct lzi_store *store, latz_slice key, uint64_t hash, uint64_t unless, latz_value *value)
{
	struct lzi_found found;
	int64_t now = 0, expiry;
	uint64_t seq;
	int rc = find_once(store, key, hash, &found);

	if (rc != LATZ_OK)
		return rc;
	rc = present(&found, &now, &expiry, LZI_READ_UNDECIDED, 0);
	if (lzi_unlikely(rc == LZI_READ_UNDECIDED)) {
		struct lzi_found copy = found; /* so that ours can stay in registers */

		rc = lzi_read_present_settled(store, key, &copy, &now, &expiry);
		found = copy;
	}
	if (rc != LATZ_OK)
		return rc;
	if (lzi_unlikely(value == NULL || unless != 0)) {
		lzi_racy_reads_begin(); /* looked at after the generation */
		seq = found.record->seq;
		lzi_racy_reads_end();
		if (!lzi_found_valid(&found))
			return LATZ_BUSY;
		if (value == NULL)
			return LATZ_OK;
		if (seq == unless)
			return LATZ_MISMATCH;
	}
	rc = take(store, &found, key, LZI_READ_VALUE, LZI_NEWEST_NOW, value, 0);
	if (lzi_likely(rc == LATZ_OK))
		value->ttl_ms = expiry == 0 ? -1 : expiry - now;
	return rc;
}

LZI_INLINE void look_at_bucket(const struct lzi_store *store, struct lzi_ahead *ahead)
{
	ahead->buckets = lzi_load_acquire(&store->control.shared->buckets);
	ahead->bucket = lzi_table_bucket(&store->table, lzi_bucket_of(ahead->hash, ahead->buckets));
}

LZI_INLINE void look_at_record(const struct lzi_store *store, struct lzi_ahead *ahead)
{
	unsigned match = lzi_unlikely(ahead->bucket == NULL) ? 0 : lzi_slots_matching(ahead->bucket, ahead->hash);
	uint64_t offset;

	ahead->slot = NULL;
	if (match == 0)
		return;
	ahead->slot = lzi_slot_at(ahead->bucket, match);
	ahead->word = lzi_load_acquire(ahead->slot);
	offset = lzi_unit_offset(lzi_slot_unit(ahead->word));
	if (lzi_unlikely((ahead->word ^ ahead->hash) >> LZI_TAG_SHIFT != 0 ||
	                 offset >> LZI_EXTENT_SHIFT >= lzi_load_acquire(&store->heap.reach))) {
		ahead->slot = NULL;
		return;
	}
	lzi_read_prefetch(lzi_load_relaxed(&store->heap.map.base) + offset);
}

void lzi_read_prefetch_bucket(const struct lzi_store *store, uint64_t hash)
{
	struct lzi_ahead ahead = { .hash = hash };

	look_at_bucket(store, &ahead);
	lzi_prefetch(ahead.bucket); /* NULL does no harm */
}

void lzi_read_prefetch_record(const struct lzi_store *store, uint64_t hash)
{
	struct lzi_ahead ahead = { .hash = hash };

	look_at_bucket(store, &ahead);
	look_at_record(store, &ahead);
}

void lzi_ahead_bucket(const struct lzi_store *store, uint64_t hash, struct lzi_ahead *ahead)
{
	ahead->hash = hash;
	look_at_bucket(store, ahead);
	lzi_prefetch(ahead->bucket);
}

void lzi_ahead_record(const struct lzi_store *store, struct lzi_ahead *ahead)
{
	look_at_record(store, ahead);
	if (lzi_unlikely(ahead->slot == NULL && ahead->bucket != NULL)) {
		const struct lzi_bucket *next = lzi_table_next(&store->table, ahead->bucket);

		if (next != NULL)
			lzi_prefetch(next);
	}
}

void lzi_ahead_overflow(const struct lzi_store *store, const struct lzi_ahead *ahead)
{
	struct lzi_bucket *next;
	struct lzi_ahead over;

	if (lzi_likely(ahead->slot != NULL || ahead->bucket == NULL))
		return;
	/* Overflow buckets come and go: what is found in one counts for nothing later, but the record is on its way. */
	next = lzi_table_next(&store->table, ahead->bucket);
	if (next == NULL)
		return;
	over = *ahead;
	over.bucket = next;
	look_at_record(store, &over);
}

/* Step (3), with the slot that was found ahead. LATZ_BUSY: it has to be done from the beginning. */
LZI_INLINE int find_ahead(struct lzi_store *store, const struct lzi_ahead *ahead, struct lzi_found *found)
{
	uint64_t offset = lzi_unit_offset(lzi_slot_unit(ahead->word));

	if (lzi_unlikely(ahead->slot == NULL))
		return LATZ_BUSY;
	found->slot = ahead->slot;
	found->unit = lzi_slot_unit(ahead->word);
	found->word_at = lzi_heap_word_in(lzi_load_relaxed(&store->heap.dir.base), offset >> LZI_EXTENT_SHIFT);
	found->word = lzi_load_acquire(found->word_at);
	if (lzi_unlikely(lzi_load_acquire(ahead->slot) != ahead->word ||
	                 lzi_load_acquire(&store->control.shared->buckets) != ahead->buckets))
		return LATZ_BUSY;
	found->room = lzi_heap_room(&store->heap, offset, found->word);
	found->record = (const struct lzi_record *)(lzi_load_relaxed(&store->heap.map.base) + offset);
	return lzi_likely(found->room >= LZI_RECORD_HEAD) ? LATZ_OK : LATZ_BUSY; /* there may not even be memory */
}

/* Steps (4) to (6). */
LZI_INLINE int get_found(struct lzi_store *store, latz_slice key, const struct lzi_found *found, uint64_t unless,
                         latz_value *value, const int bare)
{
	int64_t now = 0, expiry;
	int rc;

	if (lzi_unlikely(!key_is(found, key, bare)))
		return LATZ_BUSY;
	rc = present(found, &now, &expiry, LATZ_BUSY, bare);
	if (lzi_unlikely(unless != 0) && rc == LATZ_OK && lzi_load_relaxed(&found->record->seq) == unless)
		return lzi_found_valid(found) ? LATZ_MISMATCH : LATZ_BUSY;
	if (lzi_likely(rc == LATZ_OK))
		rc = take(store, found, key, LZI_READ_VALUE, LZI_NEWEST_NOW, value, bare);
	if (lzi_likely(rc == LATZ_OK))
		value->ttl_ms = expiry == 0 ? -1 : expiry - now;
	return rc;
}

LZI_INLINE int get_ahead(struct lzi_store *store, latz_slice key, const struct lzi_ahead *ahead, uint64_t unless,
                         latz_value *value, struct lzi_found *ret_found)
{
	struct lzi_found found;
	int rc = find_ahead(store, ahead, &found);

	if (lzi_unlikely(rc != LATZ_OK))
		return rc;
	rc = lzi_likely((lzi_load_relaxed(&found.record->flags) & NOT_BARE) == 0)
	             ? get_found(store, key, &found, unless, value, 1)
	             : get_found(store, key, &found, unless, value, 0);
	if (ret_found != NULL)
		*ret_found = found;
	return rc;
}

static LZI_NOINLINE int get_properly(struct lzi_store *store, latz_slice key, uint64_t hash, uint64_t unless,
                                     latz_value *value)
{
	unsigned tries = 0;
	int rc;

	if (lzi_unlikely(store->reads_only))
		return lzi_reader_get(store, key, hash, unless, value);
	while (lzi_unlikely((rc = get_once(store, key, hash, unless, value)) == LATZ_BUSY) && lzi_read_again(&tries))
		;
	return lzi_likely(rc != LATZ_BUSY) ? rc : lzi_read_restless();
}

static inline int watches_hits(const struct lzi_call *call)
{
	return lzi_unlikely(lzi_load_relaxed(&call->store->control.shared->watch) &
	                    (LZI_WATCH_HITS | LZI_WATCH_SAMPLE | LZI_WATCH_SPACES));
}

LZI_INLINE int get(struct lzi_call *call, latz_slice key, uint64_t hash, uint64_t if_changed_from, latz_value *value)
{
	struct lzi_store *store = call->store;
	struct lzi_actor *actor = call->actor;
	struct lzi_ahead ahead;
	int known = 1, rc = LATZ_BUSY;

	ahead.hash = hash;
	lzi_call_begin(call);
	if (lzi_likely(value != NULL)) {
		look_at_bucket(store, &ahead);
		look_at_record(store, &ahead);
		rc = get_ahead(store, key, &ahead, if_changed_from, value, NULL);
	}
	if (lzi_unlikely(rc == LATZ_BUSY)) {
		rc = get_properly(store, key, ahead.hash, if_changed_from, value);
		known = 0;
	}
	lzi_bump_relaxed(&actor->gets, 1ull);
	if (lzi_likely(rc == LATZ_OK)) {
		lzi_bump_relaxed(&actor->hits, 1ull);
		if (lzi_watches_gets(call)) {
			/* So that ours can stay in registers. */
			/* cppcheck-suppress uninitStructMember ; without a value it is not known, and not looked at */
			struct lzi_ahead copy = ahead;

			rc = lzi_hear_read(call, key, &copy, known, value);
		}
	} else if (lzi_audits(call, LZI_WATCH_AUDIT_READS)) {
		rc = lzi_audit_read(call, key, rc);
	}
	lzi_call_end(call);
	return rc;
}

int lzi_store_get(struct lzi_call *call, latz_slice key, uint64_t if_changed_from, latz_value *value)
{
	return get(call, key, lzi_store_hash(call->store, key.data, key.size), if_changed_from, value);
}

int lzi_space_get(struct lzi_call *call, struct lzi_space_ref ref, latz_slice key, uint64_t if_changed_from,
                  latz_value *value)
{
	uint8_t in_pool[LZI_SPACE_ROOM];
	latz_slice mapped = { in_pool, key.size + LZI_SPACE_PREFIX };
	struct lzi_space_cell *cell;
	uint64_t hash;
	int rc;

	if (lzi_unlikely(!lzi_space_is_live(call->store, ref)) &&
	    (rc = lzi_space_check(call, ref.number, ref.slot)) != LATZ_OK)
		return rc;
	/* Of what the caller has: what was just stored in pieces could not be read again at once. */
	hash = lzi_hash(lzi_space_seed(call->store->control.header->hash_seed, ref.number), key.data, key.size);
	if (lzi_likely(lzi_space_is_usual(key.size)))
		lzi_space_put_usual(in_pool, ref.number, key.data, key.size);
	else
		lzi_space_put_key(in_pool, ref.number, key.data, key.size);
	cell = lzi_space_cell(call, ref.slot);
	rc = get(call, mapped, hash, if_changed_from, value);
	if (lzi_likely(cell != NULL)) {
		lzi_bump_relaxed(&cell->gets, 1ull);
		lzi_bump_relaxed(&cell->hits, (uint64_t)(rc == LATZ_OK));
	}
	return rc;
}

/* Enough to keep the memory busy, few enough that the lines are still there when their turn comes. */
#define GROUP 24

void lzi_read_many(struct lzi_call *call, const latz_slice *keys, size_t n, latz_value *values, int *results,
                   struct lzi_seen *seen)
{
	struct lzi_ahead ahead[GROUP];
	uint64_t hits = 0;
	size_t at, i, m;

	for (at = 0; at < n; at += m) {
		m = n - at < GROUP ? n - at : GROUP;
		lzi_call_begin(call);
		for (i = 0; i < m; i++) {
			if (results[at + i] != LATZ_OK)
				continue;
			ahead[i].hash = lzi_store_hash(call->store, keys[at + i].data, keys[at + i].size);
			look_at_bucket(call->store, &ahead[i]);
			lzi_prefetch(ahead[i].bucket);
		}
		for (i = 0; i < m; i++) {
			if (results[at + i] == LATZ_OK)
				look_at_record(call->store, &ahead[i]);
		}
		for (i = 0; i < m; i++) {
			struct lzi_found found;
			int known = 1, rc;

			if (results[at + i] != LATZ_OK)
				continue;
			rc = get_ahead(call->store, keys[at + i], &ahead[i], 0, &values[at + i], &found);
			seen[at + i].hash = ahead[i].hash;
			if (lzi_likely(rc != LATZ_BUSY)) {
				seen[at + i].found = found;
			} else {
				seen[at + i].found.slot = NULL;
				rc = get_properly(call->store, keys[at + i], ahead[i].hash, 0, &values[at + i]);
				known = 0;
			}
			if (watches_hits(call) && rc == LATZ_OK)
				lzi_hear_get(call, keys[at + i], &ahead[i], known, &values[at + i]);
			results[at + i] = rc;
			hits += rc == LATZ_OK;
		}
		lzi_call_end(call);
	}
	lzi_bump_relaxed(&call->actor->gets, n);
	lzi_bump_relaxed(&call->actor->hits, hits);
}

/* Follows the chain of versions to the newest at or below seq. A pinned seq keeps what it needs from being reused, so
 * beyond the slot's own record no generation need be checked: the first one is, by the caller. */
static int version_at_racy(struct lzi_store *store, struct lzi_found *found, uint64_t seq, int64_t now_ms)
{
	uint64_t died, prev, oldest;
	unsigned hops;

	for (hops = 0; found->record->seq > seq; hops++) {
		if ((found->record->flags & LZI_RECORD_HAS_PREV) == 0)
			return LATZ_NOTFOUND;
		prev = lzi_record_ext(found->record)->prev;
		oldest = lzi_record_ext(found->record)->oldest;
		if (!lzi_found_valid(found))
			return LATZ_BUSY;
		if (oldest > seq)
			return LATZ_NOTFOUND;
		if (lzi_record_at(store, prev) == NULL || hops > LZI_VERSIONS_MAX)
			return lzi_error(LATZ_CORRUPT, "version link of the record at heap offset %llu is damaged",
			                 (unsigned long long)lzi_unit_offset(found->unit));
		found->unit = prev;
		found->record = lzi_heap_at(&store->heap, lzi_unit_offset(prev), LZI_RECORD_HEAD);
		found->word_at = lzi_heap_word(&store->heap, lzi_unit_offset(prev) >> LZI_EXTENT_SHIFT);
		found->word = lzi_load_acquire(found->word_at);
		found->room = lzi_heap_room(&store->heap, lzi_unit_offset(prev), found->word);
	}
	died = lzi_load_acquire(&found->record->died);
	if (lzi_death_kind(died) == LZI_DEATH_DELETED && lzi_death_seq(died) <= seq)
		return LATZ_NOTFOUND;
	if (lzi_record_expiry(found->record) != 0 && lzi_record_expiry(found->record) <= now_ms)
		return LATZ_NOTFOUND;
	return LATZ_OK;
}

static int version_at(struct lzi_store *store, struct lzi_found *found, uint64_t seq, int64_t now_ms)
{
	int rc;

	lzi_racy_reads_begin(); /* of the first record: its generation is looked at before anything is made of it */
	rc = version_at_racy(store, found, seq, now_ms);
	lzi_racy_reads_end();
	return rc;
}

int lzi_read_at(struct lzi_store *store, latz_slice key, const struct lzi_ahead *ahead, uint64_t seq, int64_t now_ms,
                enum lzi_read_how how, latz_value *value)
{
	struct lzi_found found;
	unsigned tries = 0;
	int64_t expiry;
	int first = 1, rc;

	do {
		rc = first ? find_ahead(store, ahead, &found) : LATZ_BUSY;
		if (rc == LATZ_OK && lzi_unlikely(!key_is(&found, key, 0)))
			rc = LATZ_BUSY;
		first = 0;
		if (lzi_unlikely(rc == LATZ_BUSY))
			rc = lzi_read_find(store, key, ahead->hash, &found);
		if (rc == LATZ_OK) {
			rc = version_at(store, &found, seq, now_ms);
			if (rc == LATZ_NOTFOUND)
				rc = lzi_read_not_there(&found, seq);
		}
		if (rc != LATZ_OK)
			continue;
		lzi_racy_reads_begin(); /* either way the generation is looked at below */
		expiry = lzi_record_expiry(found.record);
		lzi_racy_reads_end();
		if (how == LZI_READ_KEY) {
			lzi_racy_reads_begin(); /* the same */
			value->type = (latz_type)found.record->type;
			value->version = found.record->seq;
			lzi_racy_reads_end();
			value->size = 0;
			rc = lzi_value_reserve(value, 0);
			if (rc == LATZ_OK)
				((char *)value->data)[0] = '\0';
			if (!lzi_found_valid(&found))
				rc = LATZ_BUSY;
		} else {
			rc = take(store, &found, key, how, seq, value, 0);
		}
		value->ttl_ms = expiry == 0 ? -1 : (int64_t)((uint64_t)expiry - (uint64_t)now_ms);
	} while (rc == LATZ_BUSY && lzi_read_again(&tries));
	return rc != LATZ_BUSY ? rc : lzi_read_restless();
}
