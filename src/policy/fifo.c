/*
 * FIFO: the entry that came first goes first, whatever it is asked for.
 */
#include "config.h"

#include "policy/book.h"
#include "policy/policy.h"

enum {
	QUEUE = 1
};

#define MAGIC 0x4f4649464c4f5001ull

static uint64_t fifo_size(uint64_t entries)
{
	return lzi_book_size(lzi_book_nodes(entries, 0, 1));
}

static void fifo_init(struct lzi_policy_block state, uint64_t entries, uint64_t capacity)
{
	lzi_book_init(state, MAGIC, lzi_book_nodes(entries, 0, 1), capacity);
}

static void fifo_move(struct lzi_policy_block to, struct lzi_policy_block from)
{
	struct lzi_book book = lzi_book_of(to), old = lzi_book_of(from);

	lzi_book_move(&book, &old);
}

static int fifo_mend(struct lzi_policy_block state)
{
	struct lzi_book book = lzi_book_of(state);

	return lzi_book_mend(&book, MAGIC, QUEUE);
}

static void fifo_access(struct lzi_policy_block state, uint64_t hash, uint32_t weight, int created)
{
	struct lzi_book book = lzi_book_of(state);

	(void)created;
	lzi_book_weigh(&book, lzi_book_find(&book, hash), weight);
}

static int fifo_insert(struct lzi_policy_block state, uint64_t hash, uint32_t weight)
{
	struct lzi_book book = lzi_book_of(state);
	uint32_t index = lzi_book_find(&book, hash);

	lzi_book_weigh(&book, index, weight);
	return index != 0 || lzi_book_add(&book, hash, weight, QUEUE) != 0 ? 0 : -1;
}

static int fifo_evict(struct lzi_policy_block state, uint64_t incoming, uint32_t weight, uint64_t *ret_hash)
{
	struct lzi_book book = lzi_book_of(state);
	uint32_t index = lzi_book_oldest(&book, QUEUE);

	(void)incoming;
	(void)weight;
	if (index == 0)
		return -1;
	*ret_hash = lzi_book_at(&book, index)->hash;
	lzi_book_drop(&book, index);
	return 0;
}

const struct lzi_policy lzi_policy_fifo = {
	.name = "fifo",
	.id = LATZ_POLICY_FIFO,
	.kind = LZI_POLICY_BY_ENTRY,
	.size = fifo_size,
	.init = fifo_init,
	.resize = lzi_book_set_capacity,
	.move = fifo_move,
	.mend = fifo_mend,
	.is_sound = lzi_book_is_whole,
	.access = fifo_access,
	.insert = fifo_insert,
	.evict = fifo_evict,
	.remove = lzi_book_remove,
};
