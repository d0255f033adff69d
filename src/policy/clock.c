/*
 * CLOCK with one bit: a FIFO in which an entry asked for since it was last looked at begins anew instead of going. Also
 * known as second chance, and as FIFO with reinsertion.
 */
#include "config.h"

#include "policy/book.h"
#include "policy/policy.h"

enum {
	QUEUE = 1
};

#define MAGIC 0x4b434f4c434c5003ull

static uint64_t clock_size(uint64_t entries)
{
	return lzi_book_size(lzi_book_nodes(entries, 0, 1));
}

static void clock_init(struct lzi_policy_block state, uint64_t entries, uint64_t capacity)
{
	lzi_book_init(state, MAGIC, lzi_book_nodes(entries, 0, 1), capacity);
}

static void clock_move(struct lzi_policy_block to, struct lzi_policy_block from)
{
	struct lzi_book book = lzi_book_of(to), old = lzi_book_of(from);

	lzi_book_move(&book, &old);
}

static int clock_mend(struct lzi_policy_block state)
{
	struct lzi_book book = lzi_book_of(state);

	return lzi_book_mend(&book, MAGIC, QUEUE);
}

static void clock_access(struct lzi_policy_block state, uint64_t hash, uint32_t weight, int created)
{
	struct lzi_book book = lzi_book_of(state);
	uint32_t index = lzi_book_find(&book, hash);

	(void)created;
	if (index == 0)
		return;
	lzi_book_weigh(&book, index, weight);
	lzi_analyzed_sure(lzi_book_at(&book, index))->visits = 1; /* it was found */
}

static int clock_insert(struct lzi_policy_block state, uint64_t hash, uint32_t weight)
{
	struct lzi_book book = lzi_book_of(state);

	if (lzi_book_find(&book, hash) == 0)
		return lzi_book_add(&book, hash, weight, QUEUE) != 0 ? 0 : -1;
	clock_access(state, hash, weight, 0);
	return 0;
}

static int clock_evict(struct lzi_policy_block state, uint64_t incoming, uint32_t weight, uint64_t *ret_hash)
{
	struct lzi_book book = lzi_book_of(state);
	struct lzi_book_node *node;
	uint32_t index;

	(void)incoming;
	(void)weight;
	/* Each step clears a bit, so the second time round ends it; a ring that damage made is longer. */
	for (uint64_t steps = 0; steps <= (uint64_t)book.nodes; steps++) {
		index = lzi_book_oldest(&book, QUEUE);
		if ((node = lzi_book_at(&book, index)) == NULL)
			return -1;
		if (node->visits == 0) {
			*ret_hash = node->hash;
			lzi_book_drop(&book, index);
			return 0;
		}
		node->visits = 0;
		lzi_book_shift(&book, index, QUEUE);
	}
	lzi_book_spoil(&book);
	return -1;
}

const struct lzi_policy lzi_policy_clock = {
	.name = "clock",
	.id = LATZ_POLICY_CLOCK,
	.kind = LZI_POLICY_BY_ENTRY,
	.size = clock_size,
	.init = clock_init,
	.resize = lzi_book_set_capacity,
	.move = clock_move,
	.mend = clock_mend,
	.is_sound = lzi_book_is_whole,
	.access = clock_access,
	.insert = clock_insert,
	.evict = clock_evict,
	.remove = lzi_book_remove,
};
