/*
 * Private to store/: who only reads. A point read of it takes records out of the heap with pread(), never from memory.
 */
#ifndef LZI_STORE_READER_H
#define LZI_STORE_READER_H

#include "store/store_int.h"

/* value: NULL, or where it goes; unless: 0, or the version of which it is not wanted (LATZ_MISMATCH). Else as
 * lzi_store_get(). */
int lzi_reader_get(struct lzi_store *store, latz_slice key, uint64_t hash, uint64_t unless, latz_value *value);
/* All but size. */
int lzi_reader_stat(struct lzi_store *store, latz_slice key, uint64_t hash, latz_key_info *info);
/* Whether a writer has the bucket of a hash just now. */
int lzi_reader_is_locked(struct lzi_store *store, uint64_t hash);

/* Called for each key that the table has, at least once for one that is there throughout; maybe for others that come or
 * go meanwhile, and for one that has been deleted. What is not LATZ_OK ends it and is returned. */
typedef int (*lzi_reader_key_fn)(void *arg, const void *key, size_t size);
/* *ret_damaged: records whose key can't be read, which is no failure; the thread's detail tells of the last. Who may
 * write may call it, too. */
int lzi_reader_keys(struct lzi_store *store, lzi_reader_key_fn fn, void *arg, uint64_t *ret_damaged);

#endif
