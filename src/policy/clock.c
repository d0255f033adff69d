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

static void clock_init(void *state, uint64_t entries, uint64_t capacity)
{
	lzi_book_init(state, MAGIC, lzi_book_nodes(entries, 0, 1), capacity);
}

static void clock_move(void *to, const void *from)
{
	lzi_book_move(to, from);
}

static int clock_mend(void *state, uint64_t size)
{
	return lzi_book_mend(state, MAGIC, size);
}

static void clock_access(void *state, uint64_t hash, uint32_t weight, int created)
{
	uint32_t index = lzi_book_find(state, hash);

	(void)created;
	if (index == 0)
		return;
	lzi_book_weigh(state, index, weight);
	lzi_book_at(state, index)->visits = 1;
}

static int clock_insert(void *state, uint64_t hash, uint32_t weight)
{
	if (lzi_book_find(state, hash) == 0)
		return lzi_book_add(state, hash, weight, QUEUE) != 0 ? 0 : -1;
	clock_access(state, hash, weight, 0);
	return 0;
}

static int clock_evict(void *state, uint64_t incoming, uint32_t weight, uint64_t *ret_hash)
{
	struct lzi_book *book = state;
	struct lzi_book_node *node;
	uint32_t index;

	(void)incoming;
	(void)weight;
	/* Each step clears a bit, so the second time round ends it; a ring that damage made is longer. */
	for (uint64_t steps = 0; steps <= (uint64_t)book->nodes; steps++) {
		index = lzi_book_oldest(book, QUEUE);
		if ((node = lzi_book_at(book, index)) == NULL)
			return -1;
		if (node->visits == 0) {
			*ret_hash = node->hash;
			lzi_book_drop(book, index);
			return 0;
		}
		node->visits = 0;
		lzi_book_shift(book, index, QUEUE);
	}
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
	.is_sound = lzi_book_is_within,
	.access = clock_access,
	.insert = clock_insert,
	.evict = clock_evict,
	.remove = lzi_book_remove,
};
