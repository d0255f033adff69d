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

static void fifo_init(void *state, uint64_t entries, uint64_t capacity)
{
	lzi_book_init(state, MAGIC, lzi_book_nodes(entries, 0, 1), capacity);
}

static void fifo_move(void *to, const void *from)
{
	lzi_book_move(to, from);
}

static int fifo_mend(void *state, uint64_t size)
{
	return lzi_book_mend(state, MAGIC, size);
}

static void fifo_access(void *state, uint64_t hash, uint32_t weight, int created)
{
	(void)created;
	lzi_book_weigh(state, lzi_book_find(state, hash), weight);
}

static int fifo_insert(void *state, uint64_t hash, uint32_t weight)
{
	uint32_t index = lzi_book_find(state, hash);

	lzi_book_weigh(state, index, weight);
	return index != 0 || lzi_book_add(state, hash, weight, QUEUE) != 0 ? 0 : -1;
}

static int fifo_evict(void *state, uint64_t incoming, uint32_t weight, uint64_t *ret_hash)
{
	uint32_t index = lzi_book_oldest(state, QUEUE);

	(void)incoming;
	(void)weight;
	if (index == 0)
		return -1;
	*ret_hash = lzi_book_at(state, index)->hash;
	lzi_book_drop(state, index);
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
	.is_sound = lzi_book_is_within,
	.access = fifo_access,
	.insert = fifo_insert,
	.evict = fifo_evict,
	.remove = lzi_book_remove,
};
