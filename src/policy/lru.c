/*
 * LRU: the entry not asked for the longest goes.
 */
#include "config.h"

#include "policy/book.h"
#include "policy/policy.h"

enum {
	QUEUE = 1
};

#define MAGIC 0x0055524c4c4f5002ull

static uint64_t lru_size(uint64_t entries)
{
	return lzi_book_size(lzi_book_nodes(entries, 0, 1));
}

static void lru_init(struct lzi_policy_block state, uint64_t entries, uint64_t capacity)
{
	lzi_book_init(state, MAGIC, lzi_book_nodes(entries, 0, 1), capacity);
}

static void lru_move(struct lzi_policy_block to, struct lzi_policy_block from)
{
	struct lzi_book book = lzi_book_of(to), old = lzi_book_of(from);

	lzi_book_move(&book, &old);
}

static int lru_mend(struct lzi_policy_block state)
{
	struct lzi_book book = lzi_book_of(state);

	return lzi_book_mend(&book, MAGIC, QUEUE);
}

static void lru_access(struct lzi_policy_block state, uint64_t hash, uint32_t weight, int created)
{
	struct lzi_book book = lzi_book_of(state);
	uint32_t index = lzi_book_find(&book, hash);

	(void)created;
	lzi_book_weigh(&book, index, weight);
	lzi_book_shift(&book, index, QUEUE);
}

static int lru_insert(struct lzi_policy_block state, uint64_t hash, uint32_t weight)
{
	struct lzi_book book = lzi_book_of(state);

	if (lzi_book_find(&book, hash) == 0)
		return lzi_book_add(&book, hash, weight, QUEUE) != 0 ? 0 : -1;
	lru_access(state, hash, weight, 0);
	return 0;
}

static int lru_evict(struct lzi_policy_block state, uint64_t incoming, uint32_t weight, uint64_t *ret_hash)
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

const struct lzi_policy lzi_policy_lru = {
	.name = "lru",
	.id = LATZ_POLICY_LRU,
	.kind = LZI_POLICY_BY_ENTRY,
	.size = lru_size,
	.init = lru_init,
	.resize = lzi_book_set_capacity,
	.move = lru_move,
	.mend = lru_mend,
	.is_sound = lzi_book_is_whole,
	.access = lru_access,
	.insert = lru_insert,
	.evict = lru_evict,
	.remove = lzi_book_remove,
};
