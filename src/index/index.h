/*
 * The ordered index: an LMDB environment that holds keys and nothing else, in byte order. Owns the directory `index`.
 *
 * It is a hint that may hold too much, never too little (once caught up): who reads it looks every key up in the table.
 * LMDB runs without its own locks; the `index` mutex guards every use, and nobody keeps a transaction beyond it. It
 * runs without MDB_WRITEMAP, so a full file system is an error of a write and no signal.
 *
 * Keys over LMDB's limit of 511 bytes: see index_key.c.
 */
#ifndef LZI_INDEX_INDEX_H
#define LZI_INDEX_INDEX_H

#include <lmdb.h>

#include "format/control.h"

/* Longest key of an entry, LMDB's limit. Entries of just this size stand for longer keys. */
#define LZI_ENTRY_MAX 511u
#define LZI_ENTRY_HASH 16u
#define LZI_ENTRY_PREFIX (LZI_ENTRY_MAX - LZI_ENTRY_HASH)

struct lzi_index {
	struct lzi_shared *shared;
	MDB_env *env; /* NULL until first used; opened and used only under the mutex */
	MDB_dbi dbi;
	MDB_txn *reader; /* reset between uses */
	uint32_t own;    /* 1: a thread of this process has the mutex: lzi_mutex_own() */
	int dirfd;       /* the pool's directory; not ours */
	unsigned mode;
	unsigned timeout_ms;
	/* Makes the file, of a pool restored from an image; under the mutex, before it is first used. May be NULL */
	int (*fetch)(void *arg);
	void *fetch_arg;
};

struct lzi_entry {
	uint16_t size;
	uint8_t bytes[LZI_ENTRY_MAX];
};

/* What a key is indexed as: itself if at most 510 bytes, else its first 495 bytes and 16 of hash. */
void lzi_entry_make(struct lzi_entry *entry, uint64_t seed, const void *key, size_t size);
static inline int lzi_entry_is_long(const void *entry, size_t size)
{
	(void)entry;
	return size == LZI_ENTRY_MAX;
}
/* The table hash of the key that a long entry stands for, and whether a key is that one. */
uint64_t lzi_entry_hash(const void *entry);
int lzi_entry_matches(const void *entry, uint64_t seed, const void *key, size_t size);
/* memcmp order, shorter first. */
int lzi_key_compare(const void *a, size_t a_size, const void *b, size_t b_size);

void lzi_index_init(struct lzi_index *index, struct lzi_shared *shared, int dirfd, unsigned mode, unsigned timeout_ms);
/* Whether the file is one to open: LMDB itself would follow a link. LATZ_OK also if there is none yet. */
int lzi_index_check(const struct lzi_index *index);
void lzi_index_close(struct lzi_index *index);

/* Every call below is made between these two. */
int lzi_index_lock(struct lzi_index *index);
void lzi_index_unlock(struct lzi_index *index);

/* One entry to put or delete: key points at bytes that are not an entry of their own if at most 510 long. */
struct lzi_index_change {
	const void *key; /* entry bytes */
	uint32_t size;
	uint32_t remove;
};

/* Applies sorted changes, all or none. LATZ_NOSPC, LATZ_IO, LATZ_CORRUPT. */
int lzi_index_apply(struct lzi_index *index, const struct lzi_index_change *changes, size_t count);
/* Removes every entry. */
int lzi_index_clear(struct lzi_index *index);

/* Called for each entry; a non-zero return ends the step. */
typedef int (*lzi_index_fn)(const void *entry, size_t size, void *arg);

/* Calls fn for entries from `from` on (>= from forwards, <= from backwards; from == NULL: from the end in question), at
 * most `max`. *ret_more: there may be more. */
int lzi_index_step(struct lzi_index *index, const void *from, size_t from_size, int reverse, size_t max,
                   lzi_index_fn fn, void *arg, int *ret_more);
/* Writes the tree anew with full pages if they have become less than three quarters as full as they can be: batches of
 * sorted keys leave them half full. For quiet times. LATZ_NOSPC leaves it as it was. */
int lzi_index_pack(struct lzi_index *index);
/* Gives free pages of the file back to the system if they are more than a sixteenth of it. */
int lzi_index_trim(struct lzi_index *index);

#endif
