/*
 * Reads of a record whose transaction is not decided yet.
 *
 * While a record is undecided its transaction has not been finished. So if the committer's `committed` was not its seq
 * at one moment, and the record is undecided and in its slot after that, at that moment it had not happened, and the
 * record it is to replace was the key's (doc/together.md, "Transactions").
 */
#include "config.h"

#include <string.h>

#include "base/error.h"
#include "store/write_int.h"

static int damaged(const struct lzi_found *found)
{
	return lzi_found_valid(found)
	               ? lzi_error(LATZ_CORRUPT, "the mark of an undecided record at heap offset %llu is damaged",
	                           (unsigned long long)lzi_unit_offset(found->unit))
	               : LATZ_BUSY;
}

/* Locates the record that is to be replaced. LATZ_BUSY: this process can't see it yet, or it is not there any more. */
static int locate_old(struct lzi_store *store, uint64_t unit, struct lzi_found *old)
{
	uint64_t offset = lzi_unit_offset(unit), extent = offset >> LZI_EXTENT_SHIFT;

	if (extent >= lzi_load_acquire(&store->heap.reach))
		return lzi_heap_view(&store->heap) == LATZ_OK && extent < lzi_load_acquire(&store->heap.reach)
		               ? LATZ_BUSY
		               : LATZ_NOTFOUND;
	old->unit = unit;
	old->word_at = lzi_heap_word_in(lzi_load_relaxed(&store->heap.dir.base), extent);
	old->word = lzi_load_acquire(old->word_at);
	old->room = lzi_heap_room(&store->heap, offset, old->word); /* which may move the map */
	old->record = (const struct lzi_record *)(lzi_load_relaxed(&store->heap.map.base) + offset);
	return LATZ_OK;
}

static int has_key(const struct lzi_found *found, latz_slice key)
{
	uint64_t head;
	size_t size;

	if (found->room < LZI_RECORD_HEAD)
		return 0;
	lzi_racy_reads_begin(); /* the caller looks at both generations after it */
	head = lzi_record_head(found->record->flags & LZI_RECORD_EXT);
	size = found->record->key_size;
	lzi_racy_reads_end();
	return size == key.size && found->room >= head + size &&
	       lzi_same_bytes((const uint8_t *)found->record + head, key.data, key.size);
}

/* An extent that can't be brought in from an image has no room for a record; the error tells why. */
static int why_no_key(struct lzi_store *store, const struct lzi_found *found, const struct lzi_found *old)
{
	int rc;

	if (lzi_image_has(store, old->unit)) {
		rc = lzi_heap_bring(&store->heap, lzi_unit_offset(old->unit) >> LZI_EXTENT_SHIFT);
		return rc == LATZ_OK ? LATZ_BUSY : rc;
	}
	return lzi_found_valid(old) ? damaged(found) : LATZ_BUSY;
}

int lzi_read_settle(struct lzi_store *store, latz_slice key, struct lzi_found *found)
{
	const struct lzi_record *record = found->record;
	struct lzi_found old = *found;
	uint64_t died, committed, seq;
	uint8_t type;
	int rc;

	lzi_racy_reads_begin(); /* what is made of them counts only if the generation is the same */
	died = lzi_load_acquire(&record->died);
	seq = record->seq;
	type = record->type;
	lzi_racy_reads_end();
	if (!lzi_found_valid(found) || !lzi_undecided(died))
		return LATZ_BUSY;
	if (!lzi_death_valid(died) || lzi_undecided_actor(died) >= lzi_control_actors(&store->control))
		return damaged(found);
	committed = lzi_load_acquire(&lzi_control_actor(&store->control, lzi_undecided_actor(died))->committed);
	/* No other transaction ever has this number. */
	if (committed == seq)
		return type == LZI_NOTE_DELETE ? LATZ_NOTFOUND : LATZ_OK;
	if (lzi_undecided_old(died) != 0) {
		rc = locate_old(store, lzi_undecided_old(died), &old);
		if (rc != LATZ_OK)
			return rc == LATZ_NOTFOUND ? damaged(found) : rc;
	}
	/* It is undecided still: then what it is to replace has not been moved, nor its extent been freed. */
	if (lzi_load_acquire(&record->died) != died ||
	    lzi_slot_unit(lzi_load_acquire(found->slot)) != found->unit || !lzi_found_valid(found))
		return LATZ_BUSY;
	if (lzi_undecided_old(died) == 0)
		return LATZ_NOTFOUND;
	if (!has_key(&old, key))
		return why_no_key(store, found, &old);
	*found = old;
	return LATZ_OK;
}

/* Once it is settled which version is to be read it does not matter what its death mark says. */
int lzi_read_present_settled(struct lzi_store *store, latz_slice key, struct lzi_found *found, int64_t *ret_now,
                             int64_t *ret_expiry)
{
	int rc = lzi_read_settle(store, key, found);

	*ret_expiry = 0;
	if (rc != LATZ_OK)
		return rc;
	lzi_racy_reads_begin(); /* as present() */
	if (found->record->flags & LZI_RECORD_EXT && (*ret_expiry = lzi_record_expiry(found->record)) != 0) {
		*ret_now = lzi_clock_mono_ms();
		if (*ret_expiry <= *ret_now)
			rc = lzi_found_valid(found) ? LATZ_NOTFOUND : LATZ_BUSY;
	}
	lzi_racy_reads_end();
	return rc;
}
