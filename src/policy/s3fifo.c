/*
 * S3-FIFO (Yang, Zhang, Qiu, Yue, Rashmi, SOSP 2023): a small FIFO of a tenth that entries come into, a main FIFO for
 * those that were asked for twice there, or again soon after they went (a ghost FIFO remembers them), and in the main
 * one a count of up to three more rounds.
 */
#include "config.h"

#include "policy/book.h"
#include "policy/policy.h"

enum {
	SMALL = 1,
	MAIN,
	GHOST,
	PROMOTED_FROM = 2, /* hits in the small FIFO that lead to the main one */
};

#define MAGIC 0x4f46494633535005ull

struct s3fifo {
	struct lzi_book_head head;
	uint64_t returning; /* the entry that eviction was asked for last was a ghost: its hash ... */
	uint32_t is_returning;
};

_Static_assert(sizeof(struct s3fifo) <= LZI_BOOK_HEAD, "the state's head");

static struct s3fifo *words_of(const struct lzi_book *book)
{
	return (struct s3fifo *)book->head;
}

static uint64_t s3fifo_size(uint64_t entries)
{
	return lzi_book_size(lzi_book_nodes(entries, 9, 10));
}

static void s3fifo_init(struct lzi_policy_block state, uint64_t entries, uint64_t capacity)
{
	lzi_book_init(state, MAGIC, lzi_book_nodes(entries, 9, 10), capacity);
}

static uint64_t small_capacity(const struct lzi_book *book)
{
	return book->head->capacity < 10 ? 1 : book->head->capacity / 10;
}

static uint64_t ghost_capacity(const struct lzi_book *book)
{
	return book->head->capacity / 10 * 9 + book->head->capacity % 10 * 9 / 10;
}

static void s3fifo_move(struct lzi_policy_block to, struct lzi_policy_block from)
{
	struct lzi_book book = lzi_book_of(to), old = lzi_book_of(from);

	lzi_book_move(&book, &old);
	if (book.nodes == 0 || old.nodes == 0)
		return;
	words_of(&book)->returning = words_of(&old)->returning;
	words_of(&book)->is_returning = words_of(&old)->is_returning;
}

static int s3fifo_mend(struct lzi_policy_block state)
{
	struct lzi_book book = lzi_book_of(state);

	return lzi_book_mend(&book, MAGIC, GHOST);
}

static void s3fifo_access(struct lzi_policy_block state, uint64_t hash, uint32_t weight, int created)
{
	struct lzi_book book = lzi_book_of(state);
	uint32_t index = lzi_book_find(&book, hash);
	struct lzi_book_node *node = lzi_book_at(&book, index);

	(void)created;
	if (node == NULL || node->list == GHOST)
		return;
	lzi_book_weigh(&book, index, weight);
	if (node->visits < 3)
		node->visits++;
}

/* Forgets that an entry is a ghost; whether it was. */
static int take_ghost(const struct lzi_book *book, uint64_t hash)
{
	uint32_t index = lzi_book_find(book, hash);
	const struct lzi_book_node *node = lzi_book_at(book, index);

	if (node == NULL || node->list != GHOST)
		return 0;
	lzi_book_drop(book, index);
	return 1;
}

static int s3fifo_insert(struct lzi_policy_block state, uint64_t hash, uint32_t weight)
{
	struct lzi_book book = lzi_book_of(state);
	int returning;
	unsigned list;

	if (book.nodes == 0)
		return -1;
	returning = take_ghost(&book, hash) || (words_of(&book)->is_returning && words_of(&book)->returning == hash);
	list = returning ? MAIN : SMALL;
	words_of(&book)->is_returning = 0;
	if (lzi_book_find(&book, hash) != 0) {
		s3fifo_access(state, hash, weight, 0);
		return 0;
	}
	if (lzi_book_add(&book, hash, weight, list) != 0)
		return 0;
	/* All nodes are in use: better to have the entry than its ghost. */
	lzi_book_drop(&book, lzi_book_oldest(&book, GHOST));
	return lzi_book_add(&book, hash, weight, list) != 0 ? 0 : -1;
}

static void make_ghost(const struct lzi_book *book, uint32_t index, uint32_t weight)
{
	uint64_t capacity = ghost_capacity(book);
	uint32_t oldest;

	if (weight > capacity) {
		lzi_book_drop(book, index);
		return;
	}
	while (book->head->list[GHOST].weight > capacity - weight && (oldest = lzi_book_oldest(book, GHOST)) != 0)
		lzi_book_drop(book, oldest);
	lzi_book_shift(book, index, GHOST);
}

/* The small FIFO's oldest goes, or into the main one. Whether it went. */
static int step_small(const struct lzi_book *book, uint32_t index, uint64_t *ret_hash)
{
	struct lzi_book_node *node = lzi_book_at(book, index);

	if (node->visits >= PROMOTED_FROM) {
		node->visits = 0;
		lzi_book_shift(book, index, MAIN);
		return 0;
	}
	*ret_hash = node->hash;
	make_ghost(book, index, node->weight);
	return 1;
}

static int step_main(const struct lzi_book *book, uint32_t index, uint64_t *ret_hash)
{
	struct lzi_book_node *node = lzi_book_at(book, index);

	if (node->visits > 0) {
		node->visits--;
		lzi_book_shift(book, index, MAIN);
		return 0;
	}
	*ret_hash = node->hash;
	lzi_book_drop(book, index);
	return 1;
}

static int s3fifo_evict(struct lzi_policy_block state, uint64_t incoming, uint32_t weight, uint64_t *ret_hash)
{
	struct lzi_book opened = lzi_book_of(state), *book = &opened;
	uint64_t main_capacity;
	uint32_t index;
	int from_main;

	(void)weight;
	if (book->nodes == 0)
		return -1;
	if (take_ghost(book, incoming)) {
		words_of(book)->returning = incoming;
		words_of(book)->is_returning = 1;
	}
	main_capacity = book->head->capacity - small_capacity(book);
	from_main = lzi_book_oldest(book, SMALL) == 0 || book->head->list[MAIN].weight > main_capacity;
	/* Each step in the main FIFO lowers a count, which is at most 3, and none in the small one comes back. */
	for (uint64_t steps = 0; steps <= 5 * (uint64_t)book->nodes; steps++) {
		index = lzi_book_oldest(book, from_main ? MAIN : SMALL);
		if (index == 0) {
			from_main = !from_main;
			index = lzi_book_oldest(book, from_main ? MAIN : SMALL);
		}
		if (index == 0)
			return -1;
		if (from_main ? step_main(book, index, ret_hash) : step_small(book, index, ret_hash))
			return 0;
	}
	lzi_book_spoil(book);
	return -1;
}

const struct lzi_policy lzi_policy_s3fifo = {
	.name = "s3fifo",
	.id = LATZ_POLICY_S3FIFO,
	.kind = LZI_POLICY_BY_ENTRY,
	.size = s3fifo_size,
	.init = s3fifo_init,
	.resize = lzi_book_set_capacity,
	.move = s3fifo_move,
	.mend = s3fifo_mend,
	.is_sound = lzi_book_is_whole,
	.access = s3fifo_access,
	.insert = s3fifo_insert,
	.evict = s3fifo_evict,
	.remove = lzi_book_remove,
};
