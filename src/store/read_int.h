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

/* A slot that points beyond what this process has mapped. LATZ_OK: it is mapped now, or the slot has changed. */
LZI_COLD int lzi_read_far(struct lzi_store *store, const uint64_t *slot, uint64_t word);

#endif
