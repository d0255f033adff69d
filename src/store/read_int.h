/*
 * Point reads, between read.c and what of them happens seldom.
 */
#ifndef LZI_STORE_READ_INT_H
#define LZI_STORE_READ_INT_H

#include "store/write_int.h"

/* Who reads looks again when something moved. Whom it happens to so often is misled by damage. */
#define LZI_READ_TRIES 100000u

static inline int lzi_read_again(unsigned *tries)
{
	lzi_pause();
	return (*tries)++ < LZI_READ_TRIES;
}

/* What is said then. */
LZI_COLD int lzi_read_restless(void);

/* Maps what was added to the table and the heap meanwhile. */
LZI_COLD int lzi_read_wider(struct lzi_store *store);

/* A record whose key is another one: the same tag by chance, or damage? LATZ_BUSY: neither, look again. */
LZI_COLD int lzi_read_other(struct lzi_store *store, const struct lzi_found *found, const uint64_t *slot,
                            uint64_t word);

/* The record of a key, as of seq, says that there was none: was it later that it came, or is its seq damaged?
 * LATZ_NOTFOUND, LATZ_CORRUPT, LATZ_BUSY: look again. */
LZI_COLD int lzi_read_not_there(const struct lzi_found *found, uint64_t seq);

/* A slot that points beyond what this process has mapped. LATZ_OK: it is mapped now, or the slot has changed. */
LZI_COLD int lzi_read_far(struct lzi_store *store, const uint64_t *slot, uint64_t word);

/* A record is seldom on one line; the processor would ask for the others only when it gets to them. */
LZI_INLINE void lzi_read_prefetch(const uint8_t *record)
{
	lzi_prefetch(record);
	lzi_prefetch(record + 64);
	lzi_prefetch(record + 128);
}

/* Locates the record of a slot's word: steps 3 and 4. LATZ_OK; LATZ_BUSY: look again; LATZ_NOTFOUND: the slot is empty;
 * LATZ_CORRUPT. */
static inline int lzi_read_locate(struct lzi_store *store, uint64_t *slot, uint64_t word, struct lzi_found *found)
{
	uint64_t unit = lzi_slot_unit(word), offset = lzi_unit_offset(unit), extent = offset >> LZI_EXTENT_SHIFT;

	/* What lies past the last extent is mapped, but there is no file behind it. */
	if (lzi_unlikely(extent >= lzi_load_acquire(&store->heap.reach))) {
		int rc = lzi_read_far(store, slot, word);

		return rc == LATZ_OK ? LATZ_BUSY : rc;
	}
	lzi_read_prefetch(lzi_load_relaxed(&store->heap.map.base) + offset);
	found->word_at = lzi_heap_word_in(lzi_load_relaxed(&store->heap.dir.base), extent);
	found->word = lzi_load_acquire(found->word_at);
	found->slot = slot;
	found->unit = unit;
	if (lzi_unlikely(lzi_load_acquire(slot) != word))
		return LATZ_BUSY;
	found->room = lzi_heap_room(&store->heap, offset, found->word); /* which may move the map */
	found->record = (const struct lzi_record *)(lzi_load_relaxed(&store->heap.map.base) + offset);
	return LATZ_OK;
}

#endif
