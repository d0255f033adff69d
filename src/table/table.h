/*
 * The hot table: buckets of seven slots, linear hashing (W. Litwin, VLDB 1980), one bucket at a time. Owns the file
 * `table`. Knows slots as words; whose hash a slot has, where overflow buckets come from and whether a lock's owner
 * lives it asks through callbacks.
 *
 * A bucket's lock covers its whole chain. Readers take no lock: see store/read.c for what they may rely on, which is:
 *   T.1 a key that is in the table throughout is in a slot of the chain its hash selects among `buckets` buckets;
 *   T.2 a slot is taken away from a chain, or an overflow bucket unlinked, only after `buckets` or the head's version
 *       has changed: so a reader that found nothing and sees neither change has not missed anything;
 *   T.3 a key is moved by copying it, publishing the copy, then clearing the original.
 */
#ifndef LZI_TABLE_TABLE_H
#define LZI_TABLE_TABLE_H

#include <pthread.h>

#include "format/control.h"
#include "format/heap.h"
#include "os/os.h"

struct lzi_table_env {
	struct lzi_bucket *(*overflow)(void *arg,
	                               uint64_t link); /* address of an overflow bucket, NULL if there is none */
	/* As lzi_heap_overflow_take() and lzi_heap_overflow_free(). */
	int (*overflow_take)(void *arg, uint32_t actor, uint64_t *note, uint64_t *ret_link);
	int (*overflow_free)(void *arg, uint64_t link, uint32_t loose_of);
	/* Of the key of the record there. LATZ_CORRUPT: nobody will ever know; other errors: not now. */
	int (*hash_of)(void *arg, uint64_t unit, uint64_t *ret_hash);
	int (*owner_dead)(void *arg, uint32_t actor); /* 1: it was, and has been reaped; 0: it lives; negative: error */
	uint32_t (*owner_pid)(void *arg, uint32_t actor);
	/* Whether the thread says that it lives, and is at the bucket whose number this is. */
	int (*owner_stands_by)(void *arg, uint32_t actor, uint64_t number);
	void *arg;
};

struct lzi_table {
	struct lzi_shared *shared;
	struct lzi_map map;
	int fd;
	pthread_mutex_t widen;
	unsigned timeout_ms;
	struct lzi_table_env env;
};

/* Longest chain anybody follows; more is damage. */
#define LZI_CHAIN_MAX 4096u

int lzi_table_open(struct lzi_table *table, struct lzi_shared *shared, int fd, unsigned timeout_ms, int writable);
void lzi_table_close(struct lzi_table *table);
/* Allocates the first bucket of a new pool. */
int lzi_table_create(int fd, struct lzi_shared *shared);
/* Widens this process's map to all buckets there are. */
int lzi_table_view(struct lzi_table *table);

/* NULL if this process's view ends before it. */
static inline struct lzi_bucket *lzi_table_bucket(const struct lzi_table *table, uint64_t index)
{
	/* A view's size is a multiple of a bucket's. */
	if (lzi_unlikely(index >= lzi_load_acquire(&table->map.size) / sizeof(struct lzi_bucket)))
		return NULL;
	return (struct lzi_bucket *)(void *)lzi_load_relaxed(&table->map.base) + index;
}

static inline struct lzi_bucket *lzi_table_next(const struct lzi_table *table, const struct lzi_bucket *bucket)
{
	uint64_t link = lzi_load_acquire(&bucket->header) & LZI_LINK_MASK;

	return link == 0 ? NULL : table->env.overflow(table->env.arg, link);
}

/* Locks the bucket of a hash for the actor. LATZ_TIMEOUT names the holder. */
int lzi_table_lock(struct lzi_table *table, struct lzi_actor *actor, uint32_t index, uint64_t hash,
                   struct lzi_bucket **ret_bucket);
void lzi_table_unlock(struct lzi_actor *actor, struct lzi_bucket *bucket);
/* For a transaction, which has several: by number, whatever is in it; and without a word that it was the last. Who
 * locks several does so in the order of their numbers. */
int lzi_table_lock_number(struct lzi_table *table, struct lzi_actor *actor, uint32_t index, uint64_t number,
                          struct lzi_bucket **ret_bucket);
void lzi_table_unlock_one(struct lzi_bucket *bucket);
/* The lock is held: an empty slot of the chain, which is lengthened if need be. skip: empty ones that are somebody's
 * already; all that skips goes up from 0 by one. LATZ_NOSPC. */
int lzi_table_room(struct lzi_table *table, struct lzi_actor *actor, uint32_t index, struct lzi_bucket *bucket,
                   unsigned skip, uint64_t **ret_slot);

/* Adds a bucket and moves to it what belongs there. Does nothing, successfully, if somebody else is at it or there is
 * no space. */
int lzi_table_split(struct lzi_table *table, struct lzi_actor *actor, uint32_t index);

/* For an empty table that nobody else sees: so many buckets at once. LATZ_NOSPC. */
int lzi_table_presize(struct lzi_table *table, uint64_t buckets);

/* For a reaper, with the dead actor's bucket still locked in its name: ends its split, frees its loose overflow bucket.
 */
int lzi_table_mend(struct lzi_table *table, struct lzi_actor *actor, uint32_t index, struct lzi_bucket *bucket);

#endif
