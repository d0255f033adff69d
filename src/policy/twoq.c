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
	struct lzi_book_head head;
	uint64_t returning; /* the entry that eviction was asked for last was a ghost */
	uint32_t is_returning;
};

_Static_assert(sizeof(struct twoq) <= LZI_BOOK_HEAD, "the state's head");

static struct twoq *words_of(const struct lzi_book *book)
{
	return (struct twoq *)book->head;
}

static uint64_t twoq_size(uint64_t entries)
{
	return lzi_book_size(lzi_book_nodes(entries, 1, 2));
}

static void twoq_init(struct lzi_policy_block state, uint64_t entries, uint64_t capacity)
{
	lzi_book_init(state, MAGIC, lzi_book_nodes(entries, 1, 2), capacity);
}

static void twoq_move(struct lzi_policy_block to, struct lzi_policy_block from)
{
	struct lzi_book book = lzi_book_of(to), old = lzi_book_of(from);

	lzi_book_move(&book, &old);
	if (book.nodes == 0 || old.nodes == 0)
		return;
	words_of(&book)->returning = words_of(&old)->returning;
	words_of(&book)->is_returning = words_of(&old)->is_returning;
}

static int twoq_mend(struct lzi_policy_block state)
{
	struct lzi_book book = lzi_book_of(state);

	return lzi_book_mend(&book, MAGIC, OUT);
}

static void twoq_access(struct lzi_policy_block state, uint64_t hash, uint32_t weight, int created)
{
	struct lzi_book book = lzi_book_of(state);
	uint32_t index = lzi_book_find(&book, hash);
	const struct lzi_book_node *node = lzi_book_at(&book, index);

	(void)created;
	if (node == NULL || node->list == OUT)
		return;
	lzi_book_weigh(&book, index, weight);
	if (node->list == LRU)
		lzi_book_shift(&book, index, LRU);
}

static int take_ghost(const struct lzi_book *book, uint64_t hash)
{
	uint32_t index = lzi_book_find(book, hash);
	const struct lzi_book_node *node = lzi_book_at(book, index);

	if (node == NULL || node->list != OUT)
		return 0;
	lzi_book_drop(book, index);
	return 1;
}

static int twoq_insert(struct lzi_policy_block state, uint64_t hash, uint32_t weight)
{
	struct lzi_book book = lzi_book_of(state);
	int returning;
	unsigned list;

	if (book.nodes == 0)
		return -1;
	returning = take_ghost(&book, hash) || (words_of(&book)->is_returning && words_of(&book)->returning == hash);
	list = returning ? LRU : IN;
	words_of(&book)->is_returning = 0;
	if (lzi_book_find(&book, hash) != 0) {
		twoq_access(state, hash, weight, 0);
		return 0;
	}
	if (lzi_book_add(&book, hash, weight, list) != 0)
		return 0;
	/* All nodes are in use: better to have the entry than its ghost. */
	lzi_book_drop(&book, lzi_book_oldest(&book, OUT));
	return lzi_book_add(&book, hash, weight, list) != 0 ? 0 : -1;
}

static void make_ghost(const struct lzi_book *book, uint32_t index, uint32_t weight)
{
	uint64_t capacity = book->head->capacity / 2;
	uint32_t oldest;

	if (weight > capacity) {
		lzi_book_drop(book, index);
		return;
	}
	while (book->head->list[OUT].weight > capacity - weight && (oldest = lzi_book_oldest(book, OUT)) != 0)
		lzi_book_drop(book, oldest);
	lzi_book_shift(book, index, OUT);
}

static int twoq_evict(struct lzi_policy_block state, uint64_t incoming, uint32_t weight, uint64_t *ret_hash)
{
	struct lzi_book opened = lzi_book_of(state), *book = &opened;
	const struct lzi_book_node *node;
	uint32_t index;

	(void)weight;
	if (book->nodes == 0)
		return -1;
	if (take_ghost(book, incoming)) {
		words_of(book)->returning = incoming;
		words_of(book)->is_returning = 1;
	}
	index = lzi_book_oldest(book, IN);
	if (index != 0 && (book->head->list[IN].weight > book->head->capacity / 4 || lzi_book_oldest(book, LRU) == 0)) {
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
	.is_sound = lzi_book_is_whole,
	.access = twoq_access,
	.insert = twoq_insert,
	.evict = twoq_evict,
	.remove = lzi_book_remove,
};
