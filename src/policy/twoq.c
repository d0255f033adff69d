/*
 * 2Q (Johnson, Shasha, VLDB 1994), the full version: entries come into a FIFO of a quarter; those that went from it are
 * remembered as ghosts, by half the capacity; those asked for while they are ghosts come into an LRU list.
 */
#include "config.h"

#include "policy/book.h"
#include "policy/policy.h"

enum {
	IN = 1, /* A1in */
	LRU,    /* Am */
	OUT,    /* A1out: ghosts */
};

#define MAGIC 0x51324f57544c5006ull

struct twoq {
	struct lzi_book book;
	uint64_t returning; /* the entry that eviction was asked for last was a ghost */
	uint32_t is_returning;
};

_Static_assert(sizeof(struct twoq) <= LZI_BOOK_HEAD, "the state's head");

static uint64_t twoq_size(uint64_t entries)
{
	return lzi_book_size(lzi_book_nodes(entries, 1, 2));
}

static void twoq_init(void *state, uint64_t entries, uint64_t capacity)
{
	lzi_book_init(state, MAGIC, lzi_book_nodes(entries, 1, 2), capacity);
}

static void twoq_move(void *to, const void *from)
{
	const struct twoq *old = from;
	struct twoq *twoq = to;

	lzi_book_move(to, from);
	twoq->returning = old->returning;
	twoq->is_returning = old->is_returning;
}

static int twoq_mend(void *state, uint64_t size)
{
	return lzi_book_mend(state, MAGIC, size);
}

static void twoq_access(void *state, uint64_t hash, uint32_t weight, int created)
{
	uint32_t index = lzi_book_find(state, hash);
	const struct lzi_book_node *node = lzi_book_at(state, index);

	(void)created;
	if (node == NULL || node->list == OUT)
		return;
	lzi_book_weigh(state, index, weight);
	if (node->list == LRU)
		lzi_book_shift(state, index, LRU);
}

static int take_ghost(struct twoq *twoq, uint64_t hash)
{
	uint32_t index = lzi_book_find(&twoq->book, hash);
	const struct lzi_book_node *node = lzi_book_at(&twoq->book, index);

	if (node == NULL || node->list != OUT)
		return 0;
	lzi_book_drop(&twoq->book, index);
	return 1;
}

static int twoq_insert(void *state, uint64_t hash, uint32_t weight)
{
	struct twoq *twoq = state;
	int returning = take_ghost(twoq, hash) || (twoq->is_returning && twoq->returning == hash);
	unsigned list = returning ? LRU : IN;

	twoq->is_returning = 0;
	if (lzi_book_find(&twoq->book, hash) != 0) {
		twoq_access(state, hash, weight, 0);
		return 0;
	}
	if (lzi_book_add(&twoq->book, hash, weight, list) != 0)
		return 0;
	/* All nodes are in use: better to have the entry than its ghost. */
	lzi_book_drop(&twoq->book, lzi_book_oldest(&twoq->book, OUT));
	return lzi_book_add(&twoq->book, hash, weight, list) != 0 ? 0 : -1;
}

static void make_ghost(struct lzi_book *book, uint32_t index, uint32_t weight)
{
	uint64_t capacity = book->capacity / 2;
	uint32_t oldest;

	if (weight > capacity) {
		lzi_book_drop(book, index);
		return;
	}
	while (book->list[OUT].weight > capacity - weight && (oldest = lzi_book_oldest(book, OUT)) != 0)
		lzi_book_drop(book, oldest);
	lzi_book_shift(book, index, OUT);
}

static int twoq_evict(void *state, uint64_t incoming, uint32_t weight, uint64_t *ret_hash)
{
	struct twoq *twoq = state;
	struct lzi_book *book = &twoq->book;
	const struct lzi_book_node *node;
	uint32_t index;

	(void)weight;
	if (take_ghost(twoq, incoming)) {
		twoq->returning = incoming;
		twoq->is_returning = 1;
	}
	index = lzi_book_oldest(book, IN);
	if (index != 0 && (book->list[IN].weight > book->capacity / 4 || lzi_book_oldest(book, LRU) == 0)) {
		node = lzi_book_at(book, index);
		*ret_hash = node->hash;
		make_ghost(book, index, node->weight);
		return 0;
	}
	index = lzi_book_oldest(book, LRU);
	if (index == 0)
		return -1;
	*ret_hash = lzi_book_at(book, index)->hash;
	lzi_book_drop(book, index);
	return 0;
}

const struct lzi_policy lzi_policy_2q = {
	.name = "2q",
	.id = LATZ_POLICY_2Q,
	.kind = LZI_POLICY_BY_ENTRY,
	.size = twoq_size,
	.init = twoq_init,
	.resize = lzi_book_set_capacity,
	.move = twoq_move,
	.mend = twoq_mend,
	.is_sound = lzi_book_is_within,
	.access = twoq_access,
	.insert = twoq_insert,
	.evict = twoq_evict,
	.remove = lzi_book_remove,
};
