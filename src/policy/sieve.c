/*
 * SIEVE (Zhang, Yang, Yue, Vigfusson, Rashmi, NSDI 2024): a FIFO over which a hand goes from the oldest to the newest
 * and round again. It clears the bit of entries that were asked for, which stay where they are, and takes the first
 * that was not.
 */
#include "config.h"

#include "policy/book.h"
#include "policy/policy.h"

enum {
	QUEUE = 1
};

#define MAGIC 0x45564549534c5004ull

struct sieve {
	struct lzi_book_head head;
	uint32_t hand; /* where it goes on; 0: at the oldest */
};

_Static_assert(sizeof(struct sieve) <= LZI_BOOK_HEAD, "the state's head");

static uint64_t sieve_size(uint64_t entries)
{
	return lzi_book_size(lzi_book_nodes(entries, 0, 1));
}

static void sieve_init(struct lzi_policy_block state, uint64_t entries, uint64_t capacity)
{
	lzi_book_init(state, MAGIC, lzi_book_nodes(entries, 0, 1), capacity);
}

static uint32_t *hand_of(const struct lzi_book *book)
{
	return &((struct sieve *)book->head)->hand;
}

static void sieve_move(struct lzi_policy_block to, struct lzi_policy_block from)
{
	struct lzi_book book = lzi_book_of(to), old = lzi_book_of(from);
	const struct lzi_book_node *node;

	lzi_book_move(&book, &old);
	if (book.nodes == 0 || old.nodes == 0)
		return;
	node = lzi_book_at(&old, *hand_of(&old));
	*hand_of(&book) = node != NULL ? lzi_book_find(&book, node->hash) : 0;
}

static int sieve_mend(struct lzi_policy_block state)
{
	struct lzi_book book = lzi_book_of(state);
	const struct lzi_book_node *node;

	if (lzi_book_mend(&book, MAGIC, QUEUE) != 0)
		return -1;
	node = lzi_book_at(&book, *hand_of(&book));
	if (node == NULL || node->list != QUEUE)
		*hand_of(&book) = 0;
	return 0;
}

static void sieve_access(struct lzi_policy_block state, uint64_t hash, uint32_t weight, int created)
{
	struct lzi_book book = lzi_book_of(state);
	uint32_t index = lzi_book_find(&book, hash);

	(void)created;
	if (index == 0)
		return;
	lzi_book_weigh(&book, index, weight);
	lzi_analyzed_sure(lzi_book_at(&book, index))->visits = 1; /* it was found */
}

static int sieve_insert(struct lzi_policy_block state, uint64_t hash, uint32_t weight)
{
	struct lzi_book book = lzi_book_of(state);

	if (lzi_book_find(&book, hash) == 0)
		return lzi_book_add(&book, hash, weight, QUEUE) != 0 ? 0 : -1;
	sieve_access(state, hash, weight, 0);
	return 0;
}

static int sieve_evict(struct lzi_policy_block state, uint64_t incoming, uint32_t weight, uint64_t *ret_hash)
{
	struct lzi_book book = lzi_book_of(state);
	struct lzi_book_node *node;
	uint32_t index;

	(void)incoming;
	(void)weight;
	if (lzi_book_oldest(&book, QUEUE) == 0)
		return -1;
	index = *hand_of(&book);
	for (uint64_t steps = 0; steps <= (uint64_t)book.nodes * 2; steps++) {
		node = lzi_book_at(&book, index);
		if (node == NULL || node->list != QUEUE) {
			index = lzi_book_oldest(&book, QUEUE);
			node = lzi_book_at(&book, index);
		}
		if (node == NULL)
			return -1;
		if (node->visits == 0) {
			*hand_of(&book) = node->newer;
			*ret_hash = node->hash;
			lzi_book_drop(&book, index);
			return 0;
		}
		node->visits = 0;
		index = node->newer;
	}
	lzi_book_spoil(&book);
	return -1;
}

static void sieve_remove(struct lzi_policy_block state, uint64_t hash)
{
	struct lzi_book book = lzi_book_of(state);
	uint32_t index = lzi_book_find(&book, hash);

	if (index == 0)
		return;
	if (*hand_of(&book) == index)
		*hand_of(&book) = lzi_analyzed_sure(lzi_book_at(&book, index))->newer; /* it was found */
	lzi_book_drop(&book, index);
}

const struct lzi_policy lzi_policy_sieve = {
	.name = "sieve",
	.id = LATZ_POLICY_SIEVE,
	.kind = LZI_POLICY_BY_ENTRY,
	.size = sieve_size,
	.init = sieve_init,
	.resize = lzi_book_set_capacity,
	.move = sieve_move,
	.mend = sieve_mend,
	.is_sound = lzi_book_is_whole,
	.access = sieve_access,
	.insert = sieve_insert,
	.evict = sieve_evict,
	.remove = sieve_remove,
};
