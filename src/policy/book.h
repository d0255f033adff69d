/*
 * The node store of the policies that know each entry by itself: nodes found by hash, in lists from the newest to the
 * oldest. Ghosts (entries that are gone but remembered) are nodes in lists of their own. It is the beginning of such a
 * policy's state: lzi_book, the policy's own words, all within LZI_BOOK_HEAD bytes; then hash buckets and nodes.
 *
 * A node takes 24 bytes and 4 to 8 of buckets. Indexes count from 1; 0 is none. An index read from the state is bounded
 * by lzi_book_at() before it is used, and walks are bounded by the number of nodes, so what is scribbled over gives
 * wrong decisions until lzi_book_mend(), not wrong accesses. Only the number of nodes is relied on; it has a check of
 * its own.
 *
 * It knows nothing of what the lists mean, but that a policy's ghosts are in the last ones.
 */
#ifndef LZI_POLICY_BOOK_H
#define LZI_POLICY_BOOK_H

#include <stddef.h>
#include <stdint.h>

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

struct lzi_book {
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
_Static_assert(sizeof(struct lzi_book) + 64 <= LZI_BOOK_HEAD, "there must be room for a policy's own words");

/* Bytes of a state with so many nodes. */
uint64_t lzi_book_size(uint64_t nodes);
/* Of how many nodes a state for `entries` entries with ghosts in proportion (num / den of them) has room. */
uint64_t lzi_book_nodes(uint64_t entries, unsigned num, unsigned den);

/* Makes an empty one; the policy's own words are zero. */
void lzi_book_init(struct lzi_book *book, uint64_t magic, uint64_t nodes, uint64_t capacity);
/* Adds to the empty `to` what is in `from`, list by list in order of their numbers, newest first, while there is room.
 */
void lzi_book_move(struct lzi_book *to, const struct lzi_book *from);
/* Lists, buckets and counts are made to agree: each list as far as it can be followed, then what else says it is in it,
 * as the oldest. Of two nodes with one hash the second is dropped. -1: it is not one with this magic in so many bytes.
 */
int lzi_book_mend(struct lzi_book *book, uint64_t magic, uint64_t size);

static inline uint64_t lzi_book_check(const struct lzi_book *book)
{
	return (book->magic ^ ((uint64_t)book->nodes << 8 | book->shift)) * 0x9fb21c651e98df25ull + 1;
}

/* Whether it says truly how many nodes there are. Where indexes come from (find, oldest, add) it is asked first, and
 * what is not sound has none. */
static inline int lzi_book_is_sound(const struct lzi_book *book)
{
	return book->check == lzi_book_check(book);
}

/* The node of an index from the state; NULL if there is no such node. */
static inline struct lzi_book_node *lzi_book_at(const struct lzi_book *book, uint32_t index)
{
	if (index == 0 || index > book->nodes)
		return NULL;
	return (struct lzi_book_node *)((char *)(uintptr_t)book + LZI_BOOK_HEAD +
	                                (sizeof(uint32_t) << (64 - book->shift))) +
	       index - 1;
}

/* The index of an entry, 0 if it is unknown. */
uint32_t lzi_book_find(const struct lzi_book *book, uint64_t hash);
/* Adds an unknown entry as the newest of a list, visits 0. Its index, or 0: all nodes are in use. */
uint32_t lzi_book_add(struct lzi_book *book, uint64_t hash, uint32_t weight, unsigned list);
/* Makes it the newest of a list, which may be the one it is in. */
void lzi_book_shift(struct lzi_book *book, uint32_t index, unsigned list);
/* Forgets it. */
void lzi_book_drop(struct lzi_book *book, uint32_t index);
/* Changes its weight. */
void lzi_book_weigh(struct lzi_book *book, uint32_t index, uint32_t weight);

/* The oldest of a list, 0 if there is none; always one that is in it, so dropping them one by one ends. */
static inline uint32_t lzi_book_oldest(const struct lzi_book *book, unsigned list)
{
	const struct lzi_book_node *node = lzi_book_is_sound(book) ? lzi_book_at(book, book->list[list].oldest) : NULL;

	return node != NULL && node->list == list ? book->list[list].oldest : 0;
}

/* As functions of struct lzi_policy. */
int lzi_book_is_within(const void *state, uint64_t size);
void lzi_book_set_capacity(void *state, uint64_t capacity);
void lzi_book_remove(void *state, uint64_t hash);

#endif
