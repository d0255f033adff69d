/*
 * Point reads by who only reads, and the keys there are. The same protocol as that of everybody else (read.c), with one
 * difference: what lies in the heap is copied out with pread(), never looked at in memory. So nobody has to wait for
 * this reader, or to know of it, before blocks of the heap are given back: reading where they were gives zeroes, or the
 * end of the file, and no signal; and the extent's generation, looked at after the copy, tells.
 *
 * Table, directory and control file are mapped: their blocks are never given back.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "store/newest.h"
#include "store/pack.h"
#include "store/read_int.h"
#include "store/reader.h"
#include "store/seal.h"

/* Of a record, what the first copy takes: head and key, and a small value. */
#define FIRST 1024u

struct copied {
	uint64_t unit, offset;
	const uint64_t *word_at; /* its extent's word, and what that was when the slot still named it */
	uint64_t word;
	uint64_t room;
	size_t got; /* bytes in `first` */
	union {
		struct lzi_record record;
		uint8_t first[FIRST];
	};
};

/* Where a slot's word was read: in the table, or copied from an overflow bucket in the heap. */
struct place {
	const struct lzi_bucket *head;
	uint64_t header; /* of the head, when its chain was begun */
	uint64_t at;     /* offset in the heap; 0: slot is in the head */
	const uint64_t *slot;
	uint64_t word;   /* that stood there */
};

/* ---- Copies ---- */

/* Fewer bytes only where the file ends. */
static int read_heap(const struct lzi_store *store, void *to, size_t size, uint64_t offset, size_t *ret_got)
{
	uint8_t *at = to;
	size_t got = 0;
	ssize_t n = 0;

	while (got < size && ((n = lzi_os.pread(store->heap.fd, at + got, size - got, (off_t)(offset + got))) > 0 ||
	                      (n < 0 && errno == EINTR)))
		got += n > 0 ? (size_t)n : 0;
	if (n < 0)
		return lzi_error_sys(errno, "read the heap at offset %llu", (unsigned long long)offset);
	lzi_fence_acquire(); /* what is looked at next was so after the copy */
	*ret_got = got;
	return LATZ_OK;
}

static int is_valid(const struct copied *copied)
{
	return ((lzi_load_acquire(copied->word_at) ^ copied->word) >> 8) == 0;
}

/* Damage, if the extent is still the one that was looked at. */
static int damaged(const struct copied *copied, const char *what)
{
	return is_valid(copied) ? lzi_error(LATZ_CORRUPT, "record at heap offset %llu: %s",
	                                    (unsigned long long)copied->offset, what)
	                        : LATZ_BUSY;
}

/* The place of a record, as the directory has it now. LATZ_BUSY: it is not in sight, look again; else as below. */
static int aim(struct lzi_store *store, uint64_t unit, struct copied *copied)
{
	uint64_t offset = lzi_unit_offset(unit), extent = offset >> LZI_EXTENT_SHIFT;
	int rc;

	if (extent >= lzi_load_acquire(&store->heap.reach)) {
		rc = lzi_heap_view(&store->heap);
		if (rc != LATZ_OK)
			return rc;
		if (extent >= lzi_load_acquire(&store->heap.reach))
			return lzi_error(LATZ_CORRUPT, "a slot points past the heap, to offset %llu",
			                 (unsigned long long)offset);
	}
	copied->unit = unit;
	copied->offset = offset;
	copied->word_at = lzi_heap_word(&store->heap, extent);
	copied->word = lzi_load_acquire(copied->word_at);
	lzi_fence_acquire();
	return LATZ_OK;
}

/* Head, key and more of the record aimed at. LATZ_BUSY: look again. */
static int copy_first(struct lzi_store *store, struct copied *copied)
{
	int rc;

	copied->room = lzi_heap_room(&store->heap, copied->offset, copied->word);
	if (copied->room < LZI_RECORD_HEAD) {
		if (lzi_extent_word_state(lzi_load_acquire(copied->word_at)) != LZI_EXTENT_IMAGE)
			return lzi_load_acquire(copied->word_at) == copied->word
			               ? damaged(copied, "its extent holds none")
			               : LATZ_BUSY;
		rc = lzi_heap_bring(&store->heap, copied->offset >> LZI_EXTENT_SHIFT); /* tells why not */
		return rc == LATZ_OK ? LATZ_BUSY : rc;
	}
	rc = read_heap(store, copied->first, copied->room < FIRST ? copied->room : FIRST, copied->offset,
	               &copied->got);
	if (rc != LATZ_OK)
		return rc;
	if (!is_valid(copied))
		return LATZ_BUSY;
	return copied->got >= LZI_RECORD_EXT_OFFSET + sizeof(struct lzi_record_ext) ||
	                       (copied->got >= LZI_RECORD_HEAD && (copied->record.flags & LZI_RECORD_EXT) == 0)
	               ? LATZ_OK
	               : damaged(copied, "the file ends before it does");
}

static uint64_t head_of(const struct copied *copied)
{
	return lzi_record_head(copied->record.flags & LZI_RECORD_EXT);
}

/* Bytes of the record from `at` on, from the first copy or another. */
static int copy_part(struct lzi_store *store, const struct copied *copied, uint64_t at, void *to, size_t size)
{
	size_t got;
	int rc;

	if (at + size > copied->room)
		return damaged(copied, "it reaches past its extent");
	if (at + size <= copied->got) {
		memcpy(to, copied->first + at, size);
		return LATZ_OK;
	}
	rc = read_heap(store, to, size, copied->offset + at, &got);
	if (rc != LATZ_OK)
		return rc;
	if (!is_valid(copied))
		return LATZ_BUSY;
	return got == size ? LATZ_OK : damaged(copied, "the file ends before it does");
}

/* LATZ_OK: it has the key; LATZ_NOTFOUND: another. */
static int compare_key(struct lzi_store *store, const struct copied *copied, latz_slice key)
{
	uint8_t part[FIRST];
	size_t done, n;
	int rc = LATZ_OK;

	if (copied->record.key_size != key.size)
		return LATZ_NOTFOUND;
	if (head_of(copied) + key.size <= copied->got)
		return memcmp(copied->first + head_of(copied), key.data, key.size) == 0 ? LATZ_OK : LATZ_NOTFOUND;
	for (done = 0; done < key.size && rc == LATZ_OK; done += n) {
		n = key.size - done < sizeof part ? key.size - done : sizeof part;
		rc = copy_part(store, copied, head_of(copied) + done, part, n);
		if (rc == LATZ_OK && memcmp(part, (const uint8_t *)key.data + done, n) != 0)
			rc = LATZ_NOTFOUND;
	}
	return rc;
}

/* ---- The table ---- */

static int bucket_at(struct lzi_store *store, uint64_t number, const struct lzi_bucket **ret_bucket)
{
	struct lzi_table *table = store->reads_only ? &store->looked : &store->table;
	int rc = LATZ_OK;

	*ret_bucket = lzi_table_bucket(table, number);
	if (lzi_unlikely(*ret_bucket == NULL)) {
		rc = lzi_table_view(table);
		if (rc == LATZ_OK && (*ret_bucket = lzi_table_bucket(table, number)) == NULL)
			rc = lzi_error(LATZ_CORRUPT, "bucket %llu is past the table", (unsigned long long)number);
	}
	return rc;
}

/* Whether what was taken from the chain, or the chain itself, may have changed. */
static int is_chain_same(const struct place *place)
{
	lzi_fence_acquire();
	return ((lzi_load_relaxed(&place->head->header) ^ place->header) & LZI_VERSION_MASK) == 0;
}

/* Whether the slot still says what was read from it. */
static int is_slot_same(struct lzi_store *store, const struct place *place, uint64_t word)
{
	uint64_t now;
	size_t got;

	if (place->at == 0)
		return lzi_load_acquire(place->slot) == word;
	return read_heap(store, &now, sizeof now, place->at, &got) == LATZ_OK && got == sizeof now && now == word &&
	       is_chain_same(place);
}

/* What is done with a slot's record. LATZ_NOTFOUND: go on with the next; LATZ_BUSY: all of the bucket anew. */
typedef int (*record_fn)(struct lzi_store *store, const struct place *place, struct copied *copied, void *arg);

static int take_slot(struct lzi_store *store, const struct place *place, uint64_t word, struct copied *copied,
                     record_fn fn, void *arg)
{
	int rc = lzi_slot_unit(word) == 0 ? LATZ_NOTFOUND : aim(store, lzi_slot_unit(word), copied);

	if (rc == LATZ_CORRUPT && !is_slot_same(store, place, word))
		return LATZ_BUSY;
	if (rc != LATZ_OK)
		return rc;
	/* At this moment the record was published, and its extent of that generation. */
	if (!is_slot_same(store, place, word))
		return LATZ_BUSY;
	rc = copy_first(store, copied);
	/* An extent that is being freed has its account cleared first, and the record had been moved before. */
	if (rc == LATZ_CORRUPT && !is_slot_same(store, place, word))
		return LATZ_BUSY;
	return rc == LATZ_OK ? fn(store, place, copied, arg) : rc;
}

/* Where all records are wanted one that is damaged keeps nobody from the others: it is told of, and passed over. */
static int pass_over(int rc, unsigned *damaged)
{
	if (rc != LATZ_CORRUPT || damaged == NULL)
		return rc;
	++*damaged;
	return LATZ_NOTFOUND;
}

/* Every slot of a bucket that has the tag of the hash; mask 0: every one. LATZ_NOTFOUND: that was all. damaged: NULL,
 * or slots are counted there whose record is, and the others walked on. */
static int walk_bucket(struct lzi_store *store, uint64_t number, uint64_t hash, uint64_t mask, struct copied *copied,
                       record_fn fn, void *arg, unsigned *damaged)
{
	struct place place = { .at = 0 };
	const uint64_t *slots;
	struct lzi_bucket over;
	uint64_t link = 0, word;
	unsigned i, hops;
	size_t got;
	int rc = bucket_at(store, number, &place.head);

	if (rc != LATZ_OK)
		return rc;
	rc = LATZ_NOTFOUND;
	place.header = lzi_load_acquire(&place.head->header);
	slots = place.head->slot;
	for (hops = 0; hops < LZI_CHAIN_MAX && rc == LATZ_NOTFOUND; hops++) {
		for (i = 0; i < LZI_SLOTS && rc == LATZ_NOTFOUND; i++) {
			word = lzi_load_acquire(&slots[i]);
			if (((word ^ hash) & mask) != 0)
				continue;
			place.slot = &slots[i];
			place.word = word;
			place.at = link == 0 ? 0
			                     : (link - 1) * sizeof over + offsetof(struct lzi_bucket, slot) +
			                               i * sizeof word;
			rc = pass_over(take_slot(store, &place, word, copied, fn, arg), damaged);
		}
		link = (link == 0 ? lzi_load_acquire(&place.head->header) : over.header) & LZI_LINK_MASK;
		if (rc != LATZ_NOTFOUND || link == 0)
			break;
		if (read_heap(store, &over, sizeof over, (link - 1) * sizeof over, &got) != LATZ_OK ||
		    got < sizeof over)
			rc = lzi_error(LATZ_CORRUPT, "an overflow bucket is past the heap");
		slots = over.slot;
	}
	/* What stands in an overflow bucket that was unlinked meanwhile, and is another's by now, is no damage. */
	return (rc == LATZ_NOTFOUND || rc == LATZ_CORRUPT) && !is_chain_same(&place) ? LATZ_BUSY : rc;
}

int lzi_reader_is_locked(struct lzi_store *store, uint64_t hash)
{
	uint64_t number = lzi_bucket_of(hash, lzi_load_acquire(&store->control.shared->buckets));
	const struct lzi_bucket *bucket;

	return bucket_at(store, number, &bucket) != LATZ_OK ||
	       lzi_load_acquire(&bucket->header) >> LZI_OWNER_SHIFT != 0;
}

/* ---- A key ---- */

struct wanted {
	latz_slice key;
	uint64_t hash, number;
	int64_t now_ms, expiry; /* expiry 0: never */
};

/* As lzi_read_settle(): the record's transaction is not decided. */
static int settle(struct lzi_store *store, const struct place *place, struct copied *copied, latz_slice key)
{
	uint64_t died = copied->record.died, again, old = lzi_undecided_old(died), committed, unit = copied->unit,
		 died_at = copied->offset + offsetof(struct lzi_record, died);
	struct copied first = *copied;
	size_t got;
	int rc;

	if (!lzi_death_valid(died) || lzi_undecided_actor(died) >= lzi_control_actors(&store->control))
		return damaged(copied, "the mark of its transaction is damaged");
	committed = lzi_load_acquire(&lzi_control_actor(&store->control, lzi_undecided_actor(died))->committed);
	if (committed == copied->record.seq)
		return copied->record.type == LZI_NOTE_DELETE ? LATZ_NOTFOUND : LATZ_OK;
	if (old != 0) {
		rc = aim(store, old, copied);
		if (rc != LATZ_OK)
			return rc;
	}
	/* It is undecided still: then what it is to replace has not been moved, nor its extent been freed. */
	rc = read_heap(store, &again, sizeof again, died_at, &got);
	if (rc != LATZ_OK)
		return rc;
	if (got != sizeof again || again != died || !is_valid(&first))
		return LATZ_BUSY;
	if (place->at == 0 && lzi_slot_unit(lzi_load_acquire(place->slot)) != unit)
		return LATZ_BUSY;
	if (place->at != 0 && (read_heap(store, &again, sizeof again, place->at, &got) != LATZ_OK ||
	                       got != sizeof again || lzi_slot_unit(again) != unit || !is_chain_same(place)))
		return LATZ_BUSY;
	if (old == 0)
		return LATZ_NOTFOUND;
	rc = copy_first(store, copied);
	if (rc == LATZ_CORRUPT && (read_heap(store, &again, sizeof again, died_at, &got) != LATZ_OK || again != died))
		return LATZ_BUSY; /* decided meanwhile: what it replaces may be gone */
	if (rc == LATZ_OK)
		rc = compare_key(store, copied, key);
	return rc == LATZ_NOTFOUND ? damaged(copied, "it is not what its transaction replaces") : rc;
}

/* Ends the walk, with LATZ_OK or LATZ_DONE (it is not there), where the slot is the key's. */
static int check_wanted(struct lzi_store *store, const struct place *place, struct copied *copied, void *arg)
{
	struct wanted *wanted = arg;
	int undecided, rc;

	/* Until its key has been moved it stays where it is. */
	if (lzi_bucket_of(wanted->hash, lzi_load_acquire(&store->control.shared->buckets)) != wanted->number)
		return LATZ_BUSY;
	rc = compare_key(store, copied, wanted->key);
	if (rc != LATZ_OK)
		return rc;
	undecided = lzi_undecided(copied->record.died);
	if (undecided) {
		rc = settle(store, place, copied, wanted->key);
		if (rc != LATZ_OK)
			return rc == LATZ_NOTFOUND ? LATZ_DONE : rc;
	} else if (!lzi_death_valid(copied->record.died)) {
		return damaged(copied, "its death mark is damaged");
	} else if (lzi_death_kind(copied->record.died) == LZI_DEATH_DELETED) {
		return LATZ_DONE;
	}
	wanted->expiry = copied->record.flags & LZI_RECORD_EXT ? lzi_record_ext(&copied->record)->expiry : 0;
	if (wanted->expiry == 0)
		return LATZ_OK;
	wanted->now_ms = lzi_clock_mono_ms();
	return wanted->expiry <= wanted->now_ms ? LATZ_DONE : LATZ_OK;
}

/* One pass. LATZ_BUSY: look again. */
static int find(struct lzi_store *store, struct wanted *wanted, struct copied *copied)
{
	const uint64_t *buckets = &store->control.shared->buckets;
	int rc;

	wanted->number = lzi_bucket_of(wanted->hash, lzi_load_acquire(buckets));
	wanted->expiry = 0;
	rc = walk_bucket(store, wanted->number, wanted->hash, ~0ull << LZI_TAG_SHIFT, copied, check_wanted, wanted,
	                 NULL);
	if (rc == LATZ_NOTFOUND && lzi_bucket_of(wanted->hash, lzi_load_acquire(buckets)) != wanted->number)
		return LATZ_BUSY;
	return rc == LATZ_DONE ? LATZ_NOTFOUND : rc;
}

/* The value's bytes as they are stored, to where there is room for them; checked. */
static int copy_value(struct lzi_store *store, const struct copied *copied, latz_slice key, void *to)
{
	const struct lzi_record *record = &copied->record;
	int rc = copy_part(store, copied, head_of(copied) + key.size, to, record->value_size);
	uint32_t sum;

	if (rc != LATZ_OK)
		return rc;
	sum = lzi_record_crc(record->value_size, record->key_size, record->type, record->flags, key.data, to) ^
	      lzi_record_crc_seq(record->seq);
	return sum == record->crc ? LATZ_OK : damaged(copied, "checksum does not match");
}

static int take_value(struct lzi_store *store, const struct copied *copied, latz_slice key, latz_value *value)
{
	const struct lzi_record *record = &copied->record;
	uint8_t *packed;
	int rc;

	if (head_of(copied) + key.size + record->value_size > copied->room)
		return damaged(copied, "it reaches past its extent");
	if (lzi_seal_lacks(store, record->flags, key))
		return lzi_not_sealed(copied->offset);
	if (record->flags & (LZI_RECORD_PACKED | LZI_RECORD_SEALED)) {
		packed = lzi_codec_room(record->value_size);
		rc = packed == NULL ? lzi_error(LATZ_NOMEM, "value of %u bytes", record->value_size)
		                    : copy_value(store, copied, key, packed);
		if (rc == LATZ_OK)
			rc = lzi_open_copied(store, packed, record, copied->offset, key, 0, value);
		if (rc == LATZ_OK && record->flags & LZI_RECORD_SEALED)
			rc = lzi_newest_check(store, key, record->seq, LZI_NEWEST_NOW, copied->offset, value);
	} else {
		rc = lzi_value_reserve(value, record->value_size);
		if (rc == LATZ_OK)
			rc = copy_value(store, copied, key, value->data);
		if (rc == LATZ_OK) {
			((char *)value->data)[record->value_size] = '\0';
			value->size = record->value_size;
		}
	}
	value->type = (latz_type)record->type;
	value->version = record->seq;
	return rc;
}

int lzi_reader_get(struct lzi_store *store, latz_slice key, uint64_t hash, uint64_t unless, latz_value *value)
{
	struct wanted wanted = { .key = key, .hash = hash };
	struct copied copied;
	unsigned tries = 0;
	int rc;

	while (((rc = find(store, &wanted, &copied)) == LATZ_BUSY ||
	        (rc == LATZ_OK && value != NULL && (unless == 0 || copied.record.seq != unless) &&
	         (rc = take_value(store, &copied, key, value)) == LATZ_BUSY)) &&
	       lzi_read_again(&tries))
		;
	if (rc == LATZ_BUSY)
		return lzi_read_restless();
	if (rc != LATZ_OK || value == NULL)
		return rc;
	if (unless != 0 && copied.record.seq == unless)
		return LATZ_MISMATCH;
	value->ttl_ms = wanted.expiry == 0 ? -1 : wanted.expiry - wanted.now_ms;
	return LATZ_OK;
}

int lzi_reader_stat(struct lzi_store *store, latz_slice key, uint64_t hash, latz_key_info *info)
{
	struct wanted wanted = { .key = key, .hash = hash };
	uint8_t packed[sizeof(struct lzi_sealed)] = { 0 };
	struct lzi_sealed sealed;
	struct copied copied;
	const struct lzi_record *record = &copied.record;
	unsigned tries = 0;
	int rc;

	do {
		rc = find(store, &wanted, &copied);
		if (rc == LATZ_OK && record->flags & (LZI_RECORD_PACKED | LZI_RECORD_SEALED))
			rc = copy_part(store, &copied, head_of(&copied) + key.size, packed,
			               record->value_size < sizeof packed ? record->value_size : sizeof packed);
	} while (rc == LATZ_BUSY && lzi_read_again(&tries));
	if (rc == LATZ_BUSY)
		return lzi_read_restless();
	if (rc != LATZ_OK)
		return rc;
	info->value_size = info->stored_size = record->value_size;
	info->record_bytes = lzi_record_span_of(record);
	info->address = copied.offset;
	info->version = record->seq;
	info->hash = hash;
	info->ttl_ms = wanted.expiry == 0 ? -1 : wanted.expiry - wanted.now_ms;
	info->type = (latz_type)record->type;
	info->dictionary = 0;
	memcpy(&sealed, packed, sizeof sealed);
	if (record->flags & LZI_RECORD_SEALED)
		info->value_size = sealed.size;
	return record->flags & LZI_RECORD_PACKED
	               ? lzi_packed_parse(packed, info->stored_size, &info->dictionary, &info->value_size)
	               : LATZ_OK;
}

/* ---- All keys ---- */

/*
 * Buckets are walked upwards. Splitting moves a key to a bucket of a higher number, copied before it is taken away, and
 * buckets are never joined: so a key that is there throughout is met, perhaps twice.
 */
struct gathering {
	lzi_reader_key_fn fn;
	void *arg;
	uint8_t key[LZI_KEY_MAX];
};

static int gather(struct lzi_store *store, const struct place *place, struct copied *copied, void *arg)
{
	struct gathering *gathering = arg;
	size_t size = copied->record.key_size;
	uint64_t hash;
	int rc;

	if (size == 0 || size > sizeof gathering->key)
		return damaged(copied, "its key has no size that one may have");
	rc = copy_part(store, copied, head_of(copied), gathering->key, size);
	if (rc != LATZ_OK)
		return rc;
	lzi_analyzed_written(gathering->key); /* by the kernel, as far as it has to be */
	/* Under a key that has become another nobody would find it: it would be missing without a word. */
	hash = lzi_store_hash(store, gathering->key, size);
	if ((hash ^ place->word) >> LZI_TAG_SHIFT != 0)
		return damaged(copied, "its key is not the slot's");
	rc = gathering->fn(gathering->arg, gathering->key, size);
	return rc == LATZ_OK ? LATZ_NOTFOUND : rc;
}

int lzi_reader_keys(struct lzi_store *store, lzi_reader_key_fn fn, void *arg, uint64_t *ret_damaged)
{
	const uint64_t *buckets = &store->control.shared->buckets;
	struct gathering *gathering = malloc(sizeof *gathering);
	struct copied copied;
	uint64_t number;
	int rc = LATZ_NOTFOUND;

	*ret_damaged = 0;
	if (gathering == NULL)
		return lzi_error(LATZ_NOMEM, "scan");
	gathering->fn = fn;
	gathering->arg = arg;
	for (number = 0; rc == LATZ_NOTFOUND && number < lzi_load_acquire(buckets); number++) {
		unsigned tries = 0, damaged;

		do {
			damaged = 0;
			rc = walk_bucket(store, number, 0, 0, &copied, gather, gathering, &damaged);
		} while (rc == LATZ_BUSY && lzi_read_again(&tries));
		if (rc == LATZ_BUSY) { /* misled by damage, or it would have come to rest */
			rc = LATZ_NOTFOUND;
			damaged += lzi_read_restless() != LATZ_OK;
		}
		*ret_damaged += damaged;
	}
	free(gathering);
	return rc == LATZ_NOTFOUND ? LATZ_OK : rc;
}
