/*
 * Point reads: the key of a record of which only the hash is known, for the index and for policies.
 */
#include "config.h"

#include <string.h>

#include "base/error.h"
#include "store/read_int.h"

/* Copies the key of a slot's record if it is the entry's, or with entry NULL that of the hash. LATZ_BUSY: look again;
 * LATZ_NOTFOUND: it is another. */
static int entry_key(struct lzi_store *store, const struct lzi_found *found, const void *entry, uint64_t hash,
                     latz_value *key)
{
	uint16_t size;
	uint64_t head;
	int rc;

	lzi_racy_reads_begin(); /* as key_is() */
	size = found->room < LZI_RECORD_HEAD ? 0 : found->record->key_size;
	head = size == 0 ? 0 : lzi_record_head(found->record->flags & LZI_RECORD_EXT);
	lzi_racy_reads_end();
	if (size == 0 && lzi_extent_word_state(found->word) == LZI_EXTENT_IMAGE) {
		rc = lzi_heap_bring(&store->heap, lzi_unit_offset(found->unit) >> LZI_EXTENT_SHIFT);
		return rc == LATZ_OK ? LATZ_BUSY : rc;
	}
	if (size == 0 || head + size > found->room)
		return lzi_found_valid(found) ? LATZ_NOTFOUND : LATZ_BUSY;
	rc = lzi_value_reserve(key, size);
	if (rc != LATZ_OK)
		return rc;
	lzi_racy_reads_begin();
	memcpy(key->data, (const uint8_t *)found->record + head, size);
	lzi_racy_reads_end();
	key->size = size;
	if (!lzi_found_valid(found))
		return LATZ_BUSY;
	return (entry != NULL ? lzi_entry_matches(entry, store->control.header->hash_seed, key->data, size)
	                      : lzi_store_hash(store, key->data, size) == hash)
	               ? LATZ_OK
	               : LATZ_NOTFOUND;
}

static int entry_key_once(struct lzi_store *store, const void *entry, uint64_t hash, latz_value *key)
{
	uint64_t n = lzi_load_acquire(&store->control.shared->buckets), header;
	struct lzi_bucket *head = lzi_table_bucket(&store->table, lzi_bucket_of(hash, n)), *bucket;
	struct lzi_found found;
	unsigned i, hops;
	int rc;

	if (head == NULL) {
		rc = lzi_read_wider(store);
		return rc != LATZ_OK ? rc : LATZ_BUSY;
	}
	header = lzi_load_acquire(&head->header);
	for (bucket = head, hops = 0; bucket != NULL && hops < LZI_CHAIN_MAX;
	     bucket = lzi_table_next(&store->table, bucket), hops++) {
		for (i = 0; i < LZI_SLOTS; i++) {
			uint64_t word = lzi_load_acquire(&bucket->slot[i]);

			if ((word ^ hash) >> LZI_TAG_SHIFT != 0)
				continue;
			rc = lzi_read_locate(store, &bucket->slot[i], word, &found);
			if (rc == LATZ_OK)
				rc = entry_key(store, &found, entry, hash, key);
			/* Who asks with an entry would take a key that is damaged for one that is gone. */
			if (rc == LATZ_NOTFOUND && entry != NULL && lzi_slot_unit(word) != 0 &&
			    (rc = lzi_read_other(store, &found, &bucket->slot[i], word)) == LATZ_OK)
				rc = LATZ_NOTFOUND;
			if (rc != LATZ_NOTFOUND)
				return rc;
		}
	}
	lzi_fence_acquire();
	if (lzi_load_relaxed(&store->control.shared->buckets) != n ||
	    ((lzi_load_relaxed(&head->header) ^ header) & LZI_VERSION_MASK) != 0)
		return LATZ_BUSY;
	return LATZ_NOTFOUND;
}

int lzi_read_key_of(struct lzi_store *store, const void *entry, uint64_t hash, latz_value *key)
{
	unsigned tries = 0;
	int rc;

	while ((rc = entry_key_once(store, entry, hash, key)) == LATZ_BUSY && lzi_read_again(&tries))
		;
	return rc != LATZ_BUSY ? rc : lzi_read_restless();
}
