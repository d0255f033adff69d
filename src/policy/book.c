/*
 * Nodes, buckets and lists of the policies by entry. A caller may die between any two stores: nothing here is repaired
 * on the way, lzi_book_mend() does it all.
 */
#include "config.h"

#include <string.h>

#include "policy/book.h"

/* In `chain` while mending: not in a list yet. */
#define UNTAKEN (LZI_BOOK_NODES_MAX + 1)

static unsigned bucket_bits(uint64_t nodes)
{
	unsigned bits = 3;

	while ((uint64_t)1 << bits < nodes)
		bits++;
	return bits;
}

static uint64_t limit_nodes(uint64_t nodes)
{
	return nodes < 1 ? 1 : nodes > LZI_BOOK_NODES_MAX ? LZI_BOOK_NODES_MAX : nodes;
}

uint64_t lzi_book_size(uint64_t nodes)
{
	nodes = limit_nodes(nodes);
	return LZI_BOOK_HEAD + (sizeof(uint32_t) << bucket_bits(nodes)) + nodes * sizeof(struct lzi_book_node);
}

uint64_t lzi_book_nodes(uint64_t entries, unsigned num, unsigned den)
{
	if (entries > LZI_BOOK_NODES_MAX)
		entries = LZI_BOOK_NODES_MAX;
	/* A few more, so that what rounding makes of small shares fits too. */
	return limit_nodes(entries + entries * num / den + 8);
}

static uint32_t *bucket_of(const struct lzi_book *book, uint64_t hash)
{
	uint32_t *buckets = (uint32_t *)((char *)(uintptr_t)book + LZI_BOOK_HEAD);

	return &buckets[hash * 0x9e3779b97f4a7c15ull >> book->shift];
}

void lzi_book_init(struct lzi_book *book, uint64_t magic, uint64_t nodes, uint64_t capacity)
{
	nodes = limit_nodes(nodes);
	memset(book, 0, lzi_book_size(nodes));
	book->magic = magic;
	book->nodes = (uint32_t)nodes;
	book->shift = 64 - bucket_bits(nodes);
	book->check = lzi_book_check(book);
	book->capacity = capacity;
}

uint32_t lzi_book_find(const struct lzi_book *book, uint64_t hash)
{
	uint32_t index = lzi_book_is_sound(book) ? *bucket_of(book, hash) : 0, steps = book->nodes;
	const struct lzi_book_node *node;

	for (; (node = lzi_book_at(book, index)) != NULL && steps > 0; index = node->chain, steps--) {
		if (node->hash == hash && node->list != 0)
			return index;
	}
	return 0;
}

/* ---- Lists ------------------------------------------------------------------------------------------------------ */

static void link_newest(struct lzi_book *book, uint32_t index, struct lzi_book_node *node, unsigned number)
{
	struct lzi_book_list *list = &book->list[number];
	struct lzi_book_node *second = lzi_book_at(book, list->newest);

	node->newer = 0;
	node->older = second != NULL ? list->newest : 0;
	node->list = number;
	if (second != NULL)
		second->newer = index;
	else
		list->oldest = index;
	list->newest = index;
	list->count++;
	list->weight += node->weight;
}

static void link_oldest(struct lzi_book *book, uint32_t index, struct lzi_book_node *node, unsigned number)
{
	struct lzi_book_list *list = &book->list[number];
	struct lzi_book_node *second = lzi_book_at(book, list->oldest);

	node->older = 0;
	node->newer = second != NULL ? list->oldest : 0;
	node->list = number;
	if (second != NULL)
		second->older = index;
	else
		list->newest = index;
	list->oldest = index;
	list->count++;
	list->weight += node->weight;
}

static void unlink_node(struct lzi_book *book, uint32_t index, struct lzi_book_node *node)
{
	struct lzi_book_list *list = &book->list[node->list < LZI_BOOK_LISTS ? node->list : 0];
	struct lzi_book_node *newer = lzi_book_at(book, node->newer), *older = lzi_book_at(book, node->older);

	if (newer != NULL)
		newer->older = node->older;
	else if (list->newest == index)
		list->newest = node->older;
	if (older != NULL)
		older->newer = node->newer;
	else if (list->oldest == index)
		list->oldest = node->newer;
	list->count--;
	list->weight -= node->weight;
}

void lzi_book_shift(struct lzi_book *book, uint32_t index, unsigned list)
{
	struct lzi_book_node *node = lzi_book_at(book, index);

	if (node == NULL)
		return;
	unlink_node(book, index, node);
	link_newest(book, index, node, list);
}

void lzi_book_weigh(struct lzi_book *book, uint32_t index, uint32_t weight)
{
	struct lzi_book_node *node = lzi_book_at(book, index);

	if (node == NULL || node->weight == weight || node->list >= LZI_BOOK_LISTS)
		return;
	book->list[node->list].weight += (uint64_t)weight - node->weight;
	node->weight = weight;
}

/* ---- Nodes ------------------------------------------------------------------------------------------------------ */

/* A node that is in no list; 0 if there is none. */
static uint32_t take_node(struct lzi_book *book)
{
	struct lzi_book_node *node = lzi_book_at(book, book->free);
	uint32_t index = book->free;

	if (node != NULL) {
		book->free = node->chain;
		return node->list == 0 ? index : 0; /* one in use is there by damage only */
	}
	return book->fresh < book->nodes ? ++book->fresh : 0;
}

static uint32_t add_node(struct lzi_book *book, uint64_t hash, uint32_t weight)
{
	uint32_t index = take_node(book), *bucket = bucket_of(book, hash);
	struct lzi_book_node *node = lzi_book_at(book, index);

	if (node == NULL)
		return 0;
	node->hash = hash;
	node->weight = weight;
	node->visits = 0;
	node->chain = *bucket <= book->nodes ? *bucket : 0;
	*bucket = index;
	return index;
}

uint32_t lzi_book_add(struct lzi_book *book, uint64_t hash, uint32_t weight, unsigned list)
{
	uint32_t index = lzi_book_is_sound(book) ? add_node(book, hash, weight) : 0;

	if (index != 0)
		link_newest(book, index, lzi_book_at(book, index), list);
	return index;
}

void lzi_book_drop(struct lzi_book *book, uint32_t index)
{
	struct lzi_book_node *node = lzi_book_at(book, index), *before = NULL, *at;
	uint32_t *bucket, i, steps = book->nodes;

	if (node == NULL || node->list == 0)
		return;
	bucket = bucket_of(book, node->hash);
	for (i = *bucket; i != index && (at = lzi_book_at(book, i)) != NULL && steps > 0; i = at->chain, steps--)
		before = at;
	if (i == index) {
		if (before != NULL)
			before->chain = node->chain;
		else
			*bucket = node->chain;
	}
	unlink_node(book, index, node);
	node->list = 0;
	node->chain = book->free <= book->nodes ? book->free : 0;
	book->free = index;
}

int lzi_book_is_within(const void *state, uint64_t size)
{
	const struct lzi_book *book = state;

	return size >= LZI_BOOK_HEAD && lzi_book_is_sound(book) && book->nodes >= 1 &&
	       book->nodes <= LZI_BOOK_NODES_MAX && book->shift == 64 - bucket_bits(book->nodes) &&
	       lzi_book_size(book->nodes) <= size;
}

void lzi_book_set_capacity(void *state, uint64_t capacity)
{
	((struct lzi_book *)state)->capacity = capacity;
}

void lzi_book_remove(void *state, uint64_t hash)
{
	lzi_book_drop(state, lzi_book_find(state, hash));
}

void lzi_book_move(struct lzi_book *to, const struct lzi_book *from)
{
	const struct lzi_book_node *node;
	uint32_t index, steps;

	if (!lzi_book_is_sound(from))
		return;
	for (unsigned list = 1; list < LZI_BOOK_LISTS; list++) {
		steps = from->nodes;
		for (index = from->list[list].newest; (node = lzi_book_at(from, index)) != NULL && steps > 0;
		     index = node->older, steps--) {
			uint32_t copy = lzi_book_find(to, node->hash) == 0 ? add_node(to, node->hash, node->weight) : 0;

			if (copy == 0)
				continue;
			lzi_book_at(to, copy)->visits = node->visits;
			link_oldest(to, copy, lzi_book_at(to, copy), list);
		}
	}
}

/* ---- Mending ---------------------------------------------------------------------------------------------------- */

/* Puts a node that is in no bucket yet into its one; 0 if its hash is there already. */
static int take_up(struct lzi_book *book, uint32_t index, struct lzi_book_node *node)
{
	uint32_t *bucket = bucket_of(book, node->hash);

	if (lzi_book_find(book, node->hash) != 0)
		return 0;
	node->chain = *bucket;
	*bucket = index;
	return 1;
}

/* Follows what was a list from its newest node, and makes it again of what belongs to it. */
static void mend_list(struct lzi_book *book, unsigned number)
{
	uint32_t index = book->list[number].newest, older;
	struct lzi_book_node *node;

	memset(&book->list[number], 0, sizeof book->list[number]);
	while ((node = lzi_book_at(book, index)) != NULL && node->chain == UNTAKEN && node->list == number) {
		older = node->older;
		if (take_up(book, index, node))
			link_oldest(book, index, node, number);
		else
			node->list = 0; /* and so it is not come by again */
		index = older;
	}
}

int lzi_book_mend(struct lzi_book *book, uint64_t magic, uint64_t size)
{
	struct lzi_book_node *node;
	uint32_t index;

	if (!lzi_book_is_within(book, size) || book->magic != magic)
		return -1;
	memset((char *)book + LZI_BOOK_HEAD, 0, sizeof(uint32_t) << (64 - book->shift));
	for (index = 1; index <= book->nodes; index++)
		lzi_book_at(book, index)->chain = UNTAKEN;
	for (unsigned list = 1; list < LZI_BOOK_LISTS; list++)
		mend_list(book, list);
	memset(&book->list[0], 0, sizeof book->list[0]);
	book->free = 0;
	book->fresh = book->nodes;
	for (index = book->nodes; index >= 1; index--) {
		node = lzi_book_at(book, index);
		if (node->chain != UNTAKEN)
			continue;
		if (node->list != 0 && node->list < LZI_BOOK_LISTS && take_up(book, index, node)) {
			link_oldest(book, index, node, node->list);
			continue;
		}
		node->list = 0;
		node->chain = book->free;
		book->free = index;
	}
	return 0;
}
