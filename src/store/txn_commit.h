/*
 * Private to the commit of transactions: txn_draft.c, which prepares the records, and txn_commit.c, which has the
 * order of stores.
 */
#ifndef LZI_STORE_TXN_COMMIT_H
#define LZI_STORE_TXN_COMMIT_H

#include "store/txn.h"

#define LZI_TXN_FEW 32u

/* Why it has to be done over. */
enum lzi_txn_again {
	LZI_TXN_AGAIN = 1,     /* a split has moved a key */
	LZI_TXN_AGAIN_EXT,     /* a record lacks an extension that it needs */
	LZI_TXN_AGAIN_NOTE,    /* the pool has become durable: the log wants a note */
	LZI_TXN_AGAIN_CROWDED, /* a key too many for max_entries */
	LZI_TXN_AGAIN_SPACE,   /* too much for its namespace */
	LZI_TXN_AGAIN_LOOK,    /* values are to be compared outside the locks */
	LZI_TXN_AGAIN_NOSPC,   /* a bucket's chain could not be lengthened */
	LZI_TXN_AGAIN_FULL     /* the same, for the pool's bounds */
};

struct lzi_txn_held {
	struct lzi_bucket *bucket;
	unsigned rooms; /* empty slots that are spoken for */
};

struct lzi_txn_commit {
	struct lzi_call *call;
	struct lzi_txn_item *items;
	const struct lzi_fence *fence; /* NULL: in no lock's name */
	size_t count, writes;
	uint32_t few[LZI_TXN_FEW], *extents; /* ours, in the order in which they are filled */
	size_t extent_count, extent_capacity;
	uint64_t at; /* where the next draft goes in the last of them */
	struct lzi_txn_list *list;
	uint64_t list_offset, list_span;
	struct lzi_draft group; /* record NULL: none */
	struct lzi_txn_held few_held[LZI_TXN_FEW], *held;
	uint32_t held_count; /* locked */
	uint64_t few_numbers[LZI_TXN_FEW], *numbers; /* of the buckets, ascending */
	uint32_t locks;
	int ext, wants_note;
	uint32_t inserts; /* keys that it would create */
	struct lzi_txn_item *look; /* LZI_TXN_AGAIN_LOOK: whose */
	unsigned attempts;
	uint64_t seq;
	int64_t space_keys, space_bytes; /* that the namespace of its keys has more, if they are of one */
};

/* For one commit, of one attempt or more; lzi_txn_commit_end() whatever this says. */
int lzi_txn_commit_begin(struct lzi_txn_commit *c, struct lzi_call *call, struct lzi_txn_item *items, size_t count,
                         const struct lzi_fence *fence);
void lzi_txn_commit_end(struct lzi_txn_commit *c);

/* Drafts of all records, and of the list. */
int lzi_txn_draft_all(struct lzi_txn_commit *c);
/* Of a run that is not to stay. */
void lzi_txn_draft_free(struct lzi_txn_commit *c, uint64_t offset, uint64_t span);
/* They are not to be. */
void lzi_txn_draft_abandon(struct lzi_txn_commit *c);
/* The log hears of the extents but the last, before the actor names that one; */
void lzi_txn_extents_tell(struct lzi_txn_commit *c);
/* then they are left; the last is the one to go on with. */
void lzi_txn_extents_leave(struct lzi_txn_commit *c);

#endif
