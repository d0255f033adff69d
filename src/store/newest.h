/*
 * Private to store/ and the api: what a process remembers of an encrypted pool's keys, so that an old record that
 * somebody puts back is not taken for the key's (newest.c).
 */
#ifndef LZI_STORE_NEWEST_H
#define LZI_STORE_NEWEST_H

#include "store/store_int.h"

struct lzi_newest;

/* Of an attachment; freed with it. NULL: no memory. */
struct lzi_newest *lzi_newest_make(void);
void lzi_newest_free(struct lzi_newest *newest);
/* In a forked child: what its parent knew of the same pool. */
void lzi_newest_inherit(struct lzi_store *store, const struct lzi_store *parents);

/* All take the key as it is in the pool, and do nothing if the pool is not encrypted or the key is the book's. */

/* This process has written, deleted or read that version of the key, and others can see it: no earlier. 0: none. */
void lzi_newest_note(struct lzi_store *store, latz_slice key, uint64_t seq);
/* The newest it knows of; 0: none. */
uint64_t lzi_newest_seen(struct lzi_store *store, latz_slice key);

/* The moment of a read that is for what the key is now. */
#define LZI_NEWEST_NOW 0u

/* A record of the key has been found, its tags are right, and the value is opened. moment: the seq as of which it is
 * read, LZI_NEWEST_NOW (then it is noted), or UINT64_MAX (the same, but it may be undone still, and is not). LATZ_BUSY:
 * look it up again, from the beginning; LATZ_CORRUPT. Either way the value is wiped. */
int lzi_newest_check(struct lzi_store *store, latz_slice key, uint64_t seq, uint64_t moment, uint64_t offset,
                     latz_value *value);
/* Under the bucket's lock, where nothing need be looked up again: the record is to be gone on from. */
int lzi_newest_check_locked(struct lzi_store *store, latz_slice key, const struct lzi_record *record);
/* Under the bucket's lock: the write, over `old` or NULL, is about to have that seq. LATZ_CORRUPT: it would not be
 * above all that the key has had, for somebody put the pool's clock back; or it is to be over a certain version only,
 * and that is not the newest. */
int lzi_newest_check_write(struct lzi_store *store, const struct lzi_write *write, const struct lzi_record *old,
                           uint64_t seq);

#endif
