/*
 * Private to the transactions of store/: what one wants to commit, and finishing it. txn.c: the handle; txn_commit.c:
 * the order of stores; txn_mend.c: the part of it that a reaper does as well. doc/together.md has the protocol.
 */
#ifndef LZI_STORE_TXN_H
#define LZI_STORE_TXN_H

#include "store/write_int.h"

/* A key that a transaction has read, is to write, or both. */
struct lzi_txn_item {
	struct lzi_write write; /* key; if it is to be written, SET or DELETE, value and conditions */
	uint64_t hash;
	uint64_t read_version; /* that was read; 0: it was not there */
	uint8_t is_read, is_written;
	void *memory; /* that key and value are in; NULL: the caller's */
	/* The commit's. */
	struct lzi_compared compared;
	struct lzi_draft draft;
	struct lzi_sealed sealed; /* the draft's */
	struct lzi_record *old;
	uint64_t *slot;
	uint64_t number; /* of its bucket */
	int64_t expiry;
	uint32_t what; /* enum lzi_txn_what */
	uint8_t inserts, kills; /* creates a key; removes one */
	uint8_t present;        /* it is there, and its deadline has not passed */
};

#define LZI_TXN_MAX (1u << 20)

/* Commits what the items say, all or nothing, in the name of a lock if `fence` is not NULL (the items' own are not
 * looked at). No two have the same key. *ret_seq: the version of all that was written.
 * LATZ_CONFLICT: a key is not as it was read, told in the detail; what conditions say; LATZ_FULL, ... */
int lzi_txn_commit(struct lzi_call *call, struct lzi_txn_item *items, size_t count,
                   const struct lzi_fence *fence, uint64_t *ret_seq);

/* The transaction is decided: finishes it, under all its locks. Each step can be repeated; mending: some may have been
 * done. */
void lzi_txn_finish(struct lzi_store *store, struct lzi_actor *actor, uint32_t index, struct lzi_txn_list *list,
                    uint32_t writes, int mending);
/* For a reaper of an actor whose kind is TXN. */
int lzi_txn_mend(struct lzi_store *store, struct lzi_actor *actor, uint32_t index);
/* mend.c: whether `old`, at a unit where the record before `record` stood, is that one, and not what stands there since
 * it died. */
int lzi_record_was(struct lzi_store *store, uint64_t unit, const struct lzi_record *old,
                   const struct lzi_record *record);
/* The slot in a chain that names a record. */
uint64_t *lzi_slot_naming(struct lzi_store *store, struct lzi_bucket *bucket, uint64_t unit);

#endif
