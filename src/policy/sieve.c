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
	struct lzi_book book;
	uint32_t hand; /* where it goes on; 0: at the oldest */
};

_Static_assert(sizeof(struct sieve) <= LZI_BOOK_HEAD, "the state's head");

static uint64_t sieve_size(uint64_t entries)
{
	return lzi_book_size(lzi_book_nodes(entries, 0, 1));
}

static void sieve_init(void *state, uint64_t entries, uint64_t capacity)
{
	lzi_book_init(state, MAGIC, lzi_book_nodes(entries, 0, 1), capacity);
}

static void sieve_move(void *to, const void *from)
{
	const struct sieve *old = from;
	const struct lzi_book_node *node;

	lzi_book_move(to, from);
	node = lzi_book_is_sound(&old->book) ? lzi_book_at(&old->book, old->hand) : NULL;
	((struct sieve *)to)->hand = node != NULL ? lzi_book_find(to, node->hash) : 0;
}

static int sieve_mend(void *state, uint64_t size)
{
	struct sieve *sieve = state;
	const struct lzi_book_node *node;

	if (lzi_book_mend(&sieve->book, MAGIC, size) != 0)
		return -1;
	node = lzi_book_at(&sieve->book, sieve->hand);
	if (node == NULL || node->list != QUEUE)
		sieve->hand = 0;
	return 0;
}

static void sieve_access(void *state, uint64_t hash, uint32_t weight, int created)
{
	uint32_t index = lzi_book_find(state, hash);

	(void)created;
	if (index == 0)
		return;
	lzi_book_weigh(state, index, weight);
	lzi_book_at(state, index)->visits = 1;
}

static int sieve_insert(void *state, uint64_t hash, uint32_t weight)
{
	if (lzi_book_find(state, hash) == 0)
		return lzi_book_add(state, hash, weight, QUEUE) != 0 ? 0 : -1;
	sieve_access(state, hash, weight, 0);
	return 0;
}

static int sieve_evict(void *state, uint64_t incoming, uint32_t weight, uint64_t *ret_hash)
{
	struct sieve *sieve = state;
	struct lzi_book_node *node;
	uint32_t index = sieve->hand;

	(void)incoming;
	(void)weight;
	if (lzi_book_oldest(&sieve->book, QUEUE) == 0)
		return -1;
	for (uint64_t steps = 0; steps <= (uint64_t)sieve->book.nodes * 2; steps++) {
		node = lzi_book_at(&sieve->book, index);
		if (node == NULL || node->list != QUEUE) {
			index = lzi_book_oldest(&sieve->book, QUEUE);
			node = lzi_book_at(&sieve->book, index);
		}
		if (node->visits == 0) {
			sieve->hand = node->newer;
			*ret_hash = node->hash;
			lzi_book_drop(&sieve->book, index);
			return 0;
		}
		node->visits = 0;
		index = node->newer;
	}
	return -1;
}

static void sieve_remove(void *state, uint64_t hash)
{
	struct sieve *sieve = state;
	uint32_t index = lzi_book_find(&sieve->book, hash);

	if (index == 0)
		return;
	if (sieve->hand == index)
		sieve->hand = lzi_book_at(&sieve->book, index)->newer;
	lzi_book_drop(&sieve->book, index);
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
	.is_sound = lzi_book_is_within,
	.access = sieve_access,
	.insert = sieve_insert,
	.evict = sieve_evict,
	.remove = sieve_remove,
};
