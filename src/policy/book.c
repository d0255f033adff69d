/*
 * Nodes, buckets and lists of the policies by entry. A caller may die between any two stores: nothing here is repaired
 * on the way, lzi_book_mend() does it all.
 */
#include "config.h"

#include <string.h>

#include "policy/book.h"

/* In `chain` while mending: not in a list yet. */
#define UNTAKEN (LZI_BOOK_NODES_MAX + 1)

/* No bucket has so many, or the hashes are none. */
#define CHAIN_MAX 4096u

/* For at least one and at most LZI_BOOK_NODES_MAX nodes. */
static unsigned bucket_bits(uint64_t nodes)
{
	return nodes <= 8 ? 3 : 64 - (unsigned)__builtin_clzll(nodes - 1);
}

static uint64_t check_of(uint64_t magic, uint32_t nodes, uint32_t shift)
{
	return (magic ^ ((uint64_t)nodes << 8 | shift)) * 0x9fb21c651e98df25ull + 1;
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

void lzi_book_init(struct lzi_policy_block block, uint64_t magic, uint64_t nodes, uint64_t capacity)
{
	struct lzi_book_head *head = block.at;

	nodes = limit_nodes(nodes);
	memset(head, 0, lzi_book_size(nodes));
	head->magic = magic;
	head->nodes = (uint32_t)nodes;
	head->shift = 64 - bucket_bits(nodes);
	head->check = check_of(magic, head->nodes, head->shift);
	head->capacity = capacity;
}

struct lzi_book lzi_book_of(struct lzi_policy_block block)
{
	struct lzi_book book = { block.at, 0, 0 };
	uint32_t nodes, shift;

	if (block.size < LZI_BOOK_HEAD)
		return book;
	nodes = lzi_load_relaxed(&book.head->nodes);
	shift = lzi_load_relaxed(&book.head->shift);
	if (lzi_load_relaxed(&book.head->check) != check_of(lzi_load_relaxed(&book.head->magic), nodes, shift) ||
	    nodes < 1 || nodes > LZI_BOOK_NODES_MAX || shift != 64 - bucket_bits(nodes) ||
	    lzi_book_size(nodes) > block.size)
		return book;
	book.nodes = nodes;
	book.shift = shift;
	return book;
}

/* Of a book that has nodes. */
static uint32_t *bucket_of(const struct lzi_book *book, uint64_t hash)
{
	uint32_t *buckets = (uint32_t *)((char *)book->head + LZI_BOOK_HEAD);

	return &buckets[hash * 0x9e3779b97f4a7c15ull >> book->shift];
}

void lzi_book_spoil(const struct lzi_book *book)
{
	lzi_store_relaxed(&book->head->list[0].count, 1u);
}

uint32_t lzi_book_find(const struct lzi_book *book, uint64_t hash)
{
	uint32_t index = book->nodes > 0 ? lzi_load_relaxed(bucket_of(book, hash)) : 0, steps;
	const struct lzi_book_node *node;

	for (steps = 0; (node = lzi_book_at(book, index)) != NULL; index = node->chain) {
		if (node->hash == hash && node->list != 0)
			return index;
		if (++steps == CHAIN_MAX) {
			lzi_book_spoil(book);
			return 0;
		}
	}
	return 0;
}

/* ---- Lists ------------------------------------------------------------------------------------------------------ */

static void link_newest(const struct lzi_book *book, uint32_t index, struct lzi_book_node *node, unsigned number)
{
	struct lzi_book_list *list = &book->head->list[number];
	uint32_t newest = lzi_load_relaxed(&list->newest);
	struct lzi_book_node *second = lzi_book_at(book, newest);

	node->newer = 0;
	node->older = second != NULL ? newest : 0;
	node->list = number;
	if (second != NULL)
		second->newer = index;
	else
		list->oldest = index;
	list->newest = index;
	list->count++;
	list->weight += node->weight;
}

static void link_oldest(const struct lzi_book *book, uint32_t index, struct lzi_book_node *node, unsigned number)
{
	struct lzi_book_list *list = &book->head->list[number];
	uint32_t oldest = lzi_load_relaxed(&list->oldest);
	struct lzi_book_node *second = lzi_book_at(book, oldest);

	node->older = 0;
	node->newer = second != NULL ? oldest : 0;
	node->list = number;
	if (second != NULL)
		second->older = index;
	else
		list->newest = index;
	list->oldest = index;
	list->count++;
	list->weight += node->weight;
}

/* Of a node: where all that is not a list is one that has nothing. */
static struct lzi_book_list *list_of(const struct lzi_book *book, const struct lzi_book_node *node)
{
	unsigned number = ((const volatile struct lzi_book_node *)node)->list;

	return &book->head->list[number < LZI_BOOK_LISTS ? number : 0];
}

static void unlink_node(const struct lzi_book *book, uint32_t index, struct lzi_book_node *node)
{
	struct lzi_book_list *list = list_of(book, node);
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

void lzi_book_shift(const struct lzi_book *book, uint32_t index, unsigned list)
{
	struct lzi_book_node *node = lzi_book_at(book, index);

	if (node == NULL)
		return;
	unlink_node(book, index, node);
	link_newest(book, index, node, list);
}

void lzi_book_weigh(const struct lzi_book *book, uint32_t index, uint32_t weight)
{
	struct lzi_book_node *node = lzi_book_at(book, index);

	if (node == NULL || node->weight == weight)
		return;
	list_of(book, node)->weight += (uint64_t)weight - node->weight;
	node->weight = weight;
}

/* ---- Nodes ------------------------------------------------------------------------------------------------------ */

/* Where there is no node to be had all are in lists, or some have got lost. */
static uint32_t no_node(const struct lzi_book *book)
{
	uint64_t listed = 0;

	for (unsigned list = 1; list < LZI_BOOK_LISTS; list++)
		listed += lzi_load_relaxed(&book->head->list[list].count);
	if (listed != book->nodes)
		lzi_book_spoil(book);
	return 0;
}

/* A node that is in no list; 0 if there is none. */
static uint32_t take_node(const struct lzi_book *book)
{
	uint32_t index = lzi_load_relaxed(&book->head->free), fresh;
	struct lzi_book_node *node = lzi_book_at(book, index);

	if (node != NULL) {
		book->head->free = node->chain;
	} else {
		fresh = lzi_load_relaxed(&book->head->fresh);
		if (fresh >= book->nodes)
			return no_node(book);
		index = fresh + 1;
		lzi_store_relaxed(&book->head->fresh, index);
		node = lzi_book_at(book, index);
	}
	if (node->list == 0)
		return index;
	lzi_book_spoil(book); /* one in use is there by damage only: taken, its entry would be lost */
	return 0;
}

static uint32_t add_node(const struct lzi_book *book, uint64_t hash, uint32_t weight)
{
	uint32_t index = take_node(book), *bucket = bucket_of(book, hash);
	struct lzi_book_node *node = lzi_book_at(book, index);

	if (node == NULL)
		return 0;
	node->hash = hash;
	node->weight = weight;
	node->visits = 0;
	node->chain = lzi_book_at(book, *bucket) != NULL ? *bucket : 0;
	*bucket = index;
	return index;
}

uint32_t lzi_book_add(const struct lzi_book *book, uint64_t hash, uint32_t weight, unsigned list)
{
	uint32_t index = book->nodes > 0 ? add_node(book, hash, weight) : 0;

	if (index != 0)
		link_newest(book, index, lzi_book_at(book, index), list);
	return index;
}

void lzi_book_drop(const struct lzi_book *book, uint32_t index)
{
	struct lzi_book_node *node = lzi_book_at(book, index), *before = NULL, *at;
	uint32_t *bucket, i, steps = 0;

	if (node == NULL || node->list == 0)
		return;
	bucket = bucket_of(book, node->hash);
	for (i = *bucket; i != index && (at = lzi_book_at(book, i)) != NULL && steps < CHAIN_MAX; steps++) {
		before = at;
		i = at->chain;
	}
	if (i == index) {
		if (before != NULL)
			before->chain = node->chain;
		else
			*bucket = node->chain;
	}
	unlink_node(book, index, node);
	node->list = 0;
	node->chain = book->head->free <= book->nodes ? book->head->free : 0;
	book->head->free = index;
}

/* What the lists' ends say must agree with their counts, and there is nothing in what is no list. */
int lzi_book_is_whole(struct lzi_policy_block state)
{
	struct lzi_book book = lzi_book_of(state);

	if (book.nodes == 0 || lzi_load_relaxed(&book.head->list[0].count) != 0)
		return 0;
	for (unsigned list = 1; list < LZI_BOOK_LISTS; list++) {
		const struct lzi_book_list *at = &book.head->list[list];
		int is_empty = lzi_load_relaxed(&at->count) == 0;

		if (is_empty != (lzi_book_oldest(&book, list) == 0) ||
		    (is_empty && lzi_load_relaxed(&at->weight) != 0))
			return 0;
	}
	return 1;
}

void lzi_book_set_capacity(struct lzi_policy_block state, uint64_t capacity)
{
	struct lzi_book book = lzi_book_of(state);

	if (book.nodes > 0)
		book.head->capacity = capacity;
}

void lzi_book_remove(struct lzi_policy_block state, uint64_t hash)
{
	struct lzi_book book = lzi_book_of(state);

	lzi_book_drop(&book, lzi_book_find(&book, hash));
}

void lzi_book_move(const struct lzi_book *to, const struct lzi_book *from)
{
	const struct lzi_book_node *node;
	uint32_t index, steps;

	if (from->nodes == 0)
		return;
	for (unsigned list = 1; list < LZI_BOOK_LISTS; list++) {
		steps = from->nodes;
		for (index = from->head->list[list].newest; (node = lzi_book_at(from, index)) != NULL && steps > 0;
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
static int take_up(const struct lzi_book *book, uint32_t index, struct lzi_book_node *node)
{
	uint32_t *bucket = bucket_of(book, node->hash);

	if (lzi_book_find(book, node->hash) != 0)
		return 0;
	node->chain = *bucket;
	*bucket = index;
	return 1;
}

/* Follows what was a list from its newest node, and makes it again of what belongs to it. */
static void mend_list(const struct lzi_book *book, unsigned number)
{
	uint32_t index = book->head->list[number].newest, older, steps;
	struct lzi_book_node *node;

	memset(&book->head->list[number], 0, sizeof book->head->list[number]);
	for (steps = 0; steps < book->nodes; steps++) {
		node = lzi_book_at(book, index);
		if (node == NULL || node->chain != UNTAKEN || node->list != number)
			break;
		older = node->older;
		if (take_up(book, index, node))
			link_oldest(book, index, node, number);
		else
			node->list = 0; /* and so it is not come by again */
		index = older;
	}
}

int lzi_book_mend(const struct lzi_book *book, uint64_t magic, unsigned lists)
{
	struct lzi_book_node *node;
	uint32_t index;
	unsigned list;

	if (book->nodes == 0 || book->head->magic != magic)
		return -1;
	memset((char *)book->head + LZI_BOOK_HEAD, 0, sizeof(uint32_t) << (64 - book->shift));
	for (index = 1; index <= book->nodes; index++)
		lzi_analyzed_sure(lzi_book_at(book, index))->chain = UNTAKEN; /* 1 to nodes */
	for (list = 1; list <= lists; list++)
		mend_list(book, list);
	memset(&book->head->list[0], 0, sizeof book->head->list[0]);
	memset(&book->head->list[lists + 1], 0, (LZI_BOOK_LISTS - 1 - lists) * sizeof book->head->list[0]);
	book->head->free = 0;
	book->head->fresh = book->nodes;
	for (index = book->nodes; index >= 1; index--) {
		node = lzi_analyzed_sure(lzi_book_at(book, index)); /* 1 to nodes */
		if (node->chain != UNTAKEN)
			continue;
		list = (unsigned)(list_of(book, node) - book->head->list);
		if (list != 0 && list <= lists && take_up(book, index, node)) {
			link_oldest(book, index, node, list);
			continue;
		}
		node->list = 0;
		node->chain = book->head->free;
		book->head->free = index;
	}
	return 0;
}
