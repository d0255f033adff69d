/*
 * The node store of the policies that know each entry by itself: nodes found by hash, in lists from the newest to the
 * oldest. Ghosts (entries that are gone but remembered) are nodes in lists of their own. It is the beginning of such a
 * policy's state: lzi_book_head, the policy's own words, all within LZI_BOOK_HEAD bytes; then hash buckets and nodes.
 *
 * A node takes 24 bytes and 4 to 8 of buckets. Indexes count from 1; 0 is none. How many nodes there are is read once
 * for each use, into the user's own struct lzi_book, if the block has room for them. An index read from the state is
 * bounded by lzi_book_at() before it is used, and walks are bounded, so what is scribbled over gives wrong decisions
 * until lzi_book_mend(), not wrong accesses.
 *
 * It knows nothing of what the lists mean, but that a policy's ghosts are in the last ones.
 */
#ifndef LZI_POLICY_BOOK_H
#define LZI_POLICY_BOOK_H

#include <stddef.h>
#include <stdint.h>

#include "base/analyzed.h"
#include "base/atomic.h"
#include "policy/policy.h"

enum {
	LZI_BOOK_LISTS = 5,  /* numbers 1 to 4 are used; a node of list 0 is free */
	LZI_BOOK_HEAD = 512, /* bytes before the buckets */
};

/* Most nodes: what 27 bits number, and one value that is none of them. */
#define LZI_BOOK_NODES_MAX ((1u << 27) - 2)

struct lzi_book_node {
	uint64_t hash;
	uint32_t weight;
	uint32_t newer, older;
	uint32_t chain : 27; /* the next of its bucket, or of the free ones */
	uint32_t list : 3;
	uint32_t visits : 2; /* the policy's */
};

struct lzi_book_list {
	uint32_t newest, oldest;
	uint32_t count, unused;
	uint64_t weight;
};

struct lzi_book_head {
	uint64_t magic;    /* names the policy */
	uint32_t nodes;    /* that there is room for */
	uint32_t shift;    /* of a hash to a bucket number */
	uint64_t check;    /* over magic, nodes, shift */
	uint64_t capacity; /* the cache's, in units of weight: the policy's to use */
	uint32_t free;     /* first of those given back */
	uint32_t fresh;    /* nodes up to this have been used */
	struct lzi_book_list list[LZI_BOOK_LISTS];
};

_Static_assert(sizeof(struct lzi_book_node) == 24, "a node is three words");
_Static_assert(sizeof(struct lzi_book_head) + 64 <= LZI_BOOK_HEAD, "there must be room for a policy's own words");

/* A state in use: what it is relied on to be. Private. */
struct lzi_book {
	struct lzi_book_head *head;
	uint32_t nodes; /* 0: it is none, or not within its block; then it has nothing, and room for nothing */
	uint32_t shift;
};

/* Bytes of a state with so many nodes. */
uint64_t lzi_book_size(uint64_t nodes);
/* Of how many nodes a state for `entries` entries with ghosts in proportion (num / den of them) has room. */
uint64_t lzi_book_nodes(uint64_t entries, unsigned num, unsigned den);

/* Makes an empty one; the policy's own words are zero. */
void lzi_book_init(struct lzi_policy_block block, uint64_t magic, uint64_t nodes, uint64_t capacity);
/* The state in a block. */
struct lzi_book lzi_book_of(struct lzi_policy_block block);
/* Adds to the empty `to` what is in `from`, list by list in order of their numbers, newest first, while there is room.
 */
void lzi_book_move(const struct lzi_book *to, const struct lzi_book *from);
/* Lists, buckets and counts are made to agree: each list as far as it can be followed, then what else says it is in it,
 * as the oldest. Of two nodes with one hash the second is dropped. `lists`: the policy has the numbers 1 to that; what
 * is said to be in another is dropped too, since nobody would ever evict it there. -1: it is not one with this magic.
 */
int lzi_book_mend(const struct lzi_book *book, uint64_t magic, unsigned lists);

/* The node of an index from the state; NULL if there is no such node. */
static inline struct lzi_book_node *lzi_book_at(const struct lzi_book *book, uint32_t index)
{
	if (index == 0 || index > book->nodes)
		return NULL;
	return (struct lzi_book_node *)((char *)book->head + LZI_BOOK_HEAD + (sizeof(uint32_t) << (64 - book->shift))) +
	       index - 1;
}

/* The index of an entry, 0 if it is unknown. */
uint32_t lzi_book_find(const struct lzi_book *book, uint64_t hash);
/* Adds an unknown entry as the newest of a list, visits 0. Its index, or 0: all nodes are in use. */
uint32_t lzi_book_add(const struct lzi_book *book, uint64_t hash, uint32_t weight, unsigned list);
/* Makes it the newest of a list, which may be the one it is in. */
void lzi_book_shift(const struct lzi_book *book, uint32_t index, unsigned list);
/* Forgets it. */
void lzi_book_drop(const struct lzi_book *book, uint32_t index);
/* Changes its weight. */
void lzi_book_weigh(const struct lzi_book *book, uint32_t index, uint32_t weight);
/* A walk did not end as it should have: is_sound() says so until it is mended. */
void lzi_book_spoil(const struct lzi_book *book);

/* The oldest of a list, 0 if there is none; always one that is in it, so dropping them one by one ends. */
static inline uint32_t lzi_book_oldest(const struct lzi_book *book, unsigned list)
{
	uint32_t index = book->nodes > 0 ? lzi_load_relaxed(&book->head->list[list].oldest) : 0;
	const struct lzi_book_node *node = lzi_book_at(book, index);

	return node != NULL && node->list == list ? index : 0;
}

/* As functions of struct lzi_policy. */
int lzi_book_is_whole(struct lzi_policy_block state);
void lzi_book_set_capacity(struct lzi_policy_block state, uint64_t capacity);
void lzi_book_remove(struct lzi_policy_block state, uint64_t hash);

#endif
