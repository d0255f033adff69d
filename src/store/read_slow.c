/*
 * Point reads: what happens seldom.
 */
#include "config.h"

#include "base/error.h"
#include "store/read_int.h"

int lzi_read_wider(struct lzi_store *store)
{
	int rc = lzi_table_view(&store->table);

	return rc == LATZ_OK ? lzi_heap_view(&store->heap) : rc;
}

int lzi_read_restless(void)
{
	return lzi_error(LATZ_CORRUPT, "what is read keeps changing");
}

int lzi_read_other(struct lzi_store *store, const struct lzi_found *found, const uint64_t *slot, uint64_t word)
{
	const struct lzi_record *record = found->record;
	int rc;

	if (found->room < LZI_RECORD_HEAD) {
		/* The room is told by the account, which is cleared before the generation changes; and a state from
		 * before the extent was taken again has the new generation already. */
		lzi_fence_acquire();
		if (lzi_load_acquire(slot) != word || lzi_load_relaxed(found->word_at) != found->word)
			return LATZ_BUSY;
		if (lzi_extent_word_state(found->word) == LZI_EXTENT_IMAGE) {
			rc = lzi_heap_bring(&store->heap, lzi_unit_offset(found->unit) >> LZI_EXTENT_SHIFT);
			return rc == LATZ_OK ? LATZ_BUSY : rc;
		}
		return lzi_error(LATZ_CORRUPT, "slot points outside the heap's records");
	}
	lzi_racy_reads_begin(); /* what it finds counts only if the record is still the same */
	rc = lzi_record_validate(record, found->room);
	lzi_racy_reads_end();
	if (rc == LATZ_OK || !lzi_found_valid(found))
		return LATZ_OK;
	return lzi_error_prefix(rc, "record at heap offset %llu", (unsigned long long)lzi_unit_offset(found->unit));
}

int lzi_read_not_there(const struct lzi_found *found, uint64_t seq)
{
	uint64_t is;
	int rc = LATZ_OK;

	lzi_racy_reads_begin(); /* as in lzi_read_other() */
	is = found->record->seq;
	if (is > seq)
		rc = lzi_record_validate(found->record, found->room);
	lzi_racy_reads_end();
	if (!lzi_found_valid(found))
		return LATZ_BUSY;
	return rc == LATZ_OK ? LATZ_NOTFOUND
	                     : lzi_error_prefix(rc, "record at heap offset %llu",
	                                        (unsigned long long)lzi_unit_offset(found->unit));
}

int lzi_read_far(struct lzi_store *store, const uint64_t *slot, uint64_t word)
{
	uint64_t offset = lzi_unit_offset(lzi_slot_unit(word));
	int rc;

	if (lzi_slot_unit(word) == 0)
		return LATZ_NOTFOUND; /* an empty slot has the tag of some hashes */
	rc = lzi_read_wider(store);
	if (rc != LATZ_OK)
		return rc;
	if (offset >> LZI_EXTENT_SHIFT < lzi_load_acquire(&store->heap.reach) || lzi_load_acquire(slot) != word)
		return LATZ_OK;
	return lzi_error(LATZ_CORRUPT, "slot points past the heap, to offset %llu", (unsigned long long)offset);
}
