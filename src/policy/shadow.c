/*
 * A cache in small. After the head: the nodes, a hash table of their indexes chained by node, the sketch's counters.
 */
#include "config.h"

#include <string.h>

#include "policy/shadow.h"

enum {
	EXTENTS = 128 /* emptied at once: as large a part as a pool does */
};

/* Nodes count from 1. */
struct node {
	uint64_t hash;
	uint32_t weight;
	uint16_t next;  /* the next younger of its list, or the next free one */
	uint16_t chain; /* the next of its bucket */
	uint8_t list;   /* and 1; 0: free */
	uint8_t visits;
	uint8_t pad[6];
};

_Static_assert(sizeof(struct node) == 24, "no holes in a node");
_Static_assert(sizeof(struct lzi_shadow) % 8 == 0, "words are behind it");

/* ---- Layout ----------------------------------------------------------------------------------------------------- */

static uint32_t nodes_of(const struct lzi_shadow *shadow)
{
	return shadow->nodes < LZI_SHADOW_MOST ? shadow->nodes : LZI_SHADOW_MOST;
}

/* The nodes' number rounded up, so that what follows is aligned. */
static uint32_t buckets_of(uint32_t nodes)
{
	return (nodes + 3) / 4 * 4;
}

static struct node *node_at(const struct lzi_shadow *shadow, uint32_t index)
{
	return (struct node *)(uintptr_t)(shadow + 1) + index - 1;
}

static uint16_t *buckets_at(const struct lzi_shadow *shadow)
{
	return (uint16_t *)node_at(shadow, nodes_of(shadow) + 1);
}

static uint64_t *words_at(const struct lzi_shadow *shadow)
{
	return (uint64_t *)(buckets_at(shadow) + buckets_of(nodes_of(shadow)));
}

uint64_t lzi_shadow_size(uint32_t nodes)
{
	return sizeof(struct lzi_shadow) + nodes * sizeof(struct node) + buckets_of(nodes) * sizeof(uint16_t) +
	       lzi_sketch_words(nodes) * sizeof(uint64_t);
}

static int is_node(const struct lzi_shadow *shadow, uint32_t index)
{
	return index != 0 && index <= nodes_of(shadow);
}

/* ---- The index -------------------------------------------------------------------------------------------------- */

static uint16_t *bucket_of(const struct lzi_shadow *shadow, uint64_t hash)
{
	/* Not the bits by which keys are in the sample: those are much the same for all of them. */
	uint32_t mixed = (uint32_t)((hash ^ hash >> 32) * 0xd6e8feb86659fd93ull >> 32);

	return buckets_at(shadow) + ((uint64_t)mixed * nodes_of(shadow) >> 32);
}

static uint32_t find(const struct lzi_shadow *shadow, uint64_t hash)
{
	uint32_t index = *bucket_of(shadow, hash);

	for (uint32_t i = 0; i < nodes_of(shadow) && is_node(shadow, index); i++) {
		const struct node *node = node_at(shadow, index);

		if (node->hash == hash && node->list != 0)
			return index;
		index = node->chain;
	}
	return 0;
}

static void unchain(const struct lzi_shadow *shadow, uint32_t index)
{
	uint16_t *link = bucket_of(shadow, node_at(shadow, index)->hash);

	for (uint32_t i = 0; i < nodes_of(shadow) && is_node(shadow, *link); i++) {
		if (*link == index) {
			*link = node_at(shadow, index)->chain;
			return;
		}
		link = &node_at(shadow, *link)->chain;
	}
}

/* ---- Lists ------------------------------------------------------------------------------------------------------ */

static void append(struct lzi_shadow *shadow, unsigned which, uint32_t index)
{
	struct lzi_shadow_list *list = &shadow->list[which];
	struct node *node = node_at(shadow, index);

	node->next = 0;
	node->list = (uint8_t)(which + 1);
	node->visits = 0;
	if (is_node(shadow, list->youngest) && list->oldest != 0)
		node_at(shadow, list->youngest)->next = (uint16_t)index;
	else
		list->oldest = (uint16_t)index;
	list->youngest = (uint16_t)index;
	list->entries++;
	list->weight += node->weight;
}

/* Takes the oldest off a list; 0: it is empty. */
static uint32_t take_oldest(struct lzi_shadow *shadow, unsigned which)
{
	struct lzi_shadow_list *list = &shadow->list[which];
	uint32_t index = list->oldest;

	if (!is_node(shadow, index)) {
		*list = (struct lzi_shadow_list){ .oldest = 0 };
		return 0;
	}
	list->oldest = node_at(shadow, index)->next;
	if (list->oldest == 0)
		list->youngest = 0;
	list->entries--;
	list->weight -= node_at(shadow, index)->weight;
	return index;
}

static void release(struct lzi_shadow *shadow, uint32_t index)
{
	struct node *node = node_at(shadow, index);

	unchain(shadow, index);
	node->list = 0;
	node->next = shadow->free;
	shadow->free = (uint16_t)index;
}

/* ---- Keeping ---------------------------------------------------------------------------------------------------- */

static void empty_oldest(struct lzi_shadow *shadow, const struct lzi_knobs *knobs)
{
	struct lzi_candidate candidate[LZI_POLICY_BATCH];
	uint32_t index[LZI_POLICY_BATCH];
	unsigned which = lzi_judge_next(knobs, shadow->list[0].weight, shadow->list[1].weight) == LZI_POLICY_MAIN;
	unsigned most = nodes_of(shadow) / EXTENTS, n = 0;

	if (shadow->list[which].oldest == 0)
		which = !which;
	for (most = most > 0 ? most : 1; n < most && (index[n] = take_oldest(shadow, which)) != 0; n++) {
		const struct node *node = node_at(shadow, index[n]);

		candidate[n] = (struct lzi_candidate){ .hash = node->hash,
			                               .weight = node->weight,
			                               .visits = node->visits };
	}
	lzi_judge_entries(&shadow->judge, knobs, &shadow->sketch, words_at(shadow),
	                  which == LZI_POLICY_MAIN ? LZI_POLICY_MAIN : LZI_POLICY_WINDOW, candidate, n);
	for (unsigned i = 0; i < n; i++) {
		if (candidate[i].keep)
			append(shadow, LZI_POLICY_MAIN, index[i]);
		else
			release(shadow, index[i]);
	}
}

static int has_room(const struct lzi_shadow *shadow, uint32_t weight)
{
	uint64_t used = shadow->list[0].weight + shadow->list[1].weight;

	return is_node(shadow, shadow->free) && used <= shadow->capacity && weight <= shadow->capacity - used;
}

/* An index of a node for a new entry, 0 if there is none to be had. */
static uint32_t make_room(struct lzi_shadow *shadow, const struct lzi_knobs *knobs, uint32_t weight)
{
	uint32_t index;

	/* All of them may pass from the window to the main list, and then go round there until they have to go. */
	for (uint32_t i = 0; i < 8 * nodes_of(shadow) && !has_room(shadow, weight); i++)
		empty_oldest(shadow, knobs);
	if (!has_room(shadow, weight))
		return 0;
	index = shadow->free;
	shadow->free = node_at(shadow, index)->next;
	return index;
}

int lzi_shadow_access(struct lzi_shadow *shadow, const struct lzi_knobs *knobs, uint64_t hash, uint32_t weight)
{
	uint32_t index = find(shadow, hash);
	struct node *node;

	if (index != 0) {
		node = node_at(shadow, index);
		if (node->visits < LZI_POLICY_VISITS)
			node->visits++;
		return 1;
	}
	if (weight > shadow->capacity)
		return 0;
	if (knobs->counted > 0)
		lzi_sketch_raise(&shadow->sketch, words_at(shadow), hash, knobs->counted);
	lzi_sketch_age(&shadow->sketch, words_at(shadow), 1);
	index = make_room(shadow, knobs, weight);
	if (index == 0)
		return 0;
	node = node_at(shadow, index);
	*node = (struct node){ .hash = hash, .weight = weight, .chain = *bucket_of(shadow, hash) };
	*bucket_of(shadow, hash) = (uint16_t)index;
	append(shadow, LZI_POLICY_WINDOW, index);
	return 0;
}

/* ---- Beginning, moving, mending --------------------------------------------------------------------------------- */

void lzi_shadow_init(struct lzi_shadow *shadow, uint32_t nodes, uint64_t capacity)
{
	memset(shadow, 0, lzi_shadow_size(nodes));
	shadow->nodes = nodes;
	shadow->capacity = capacity;
	for (uint32_t i = nodes; i > 0; i--) {
		node_at(shadow, i)->next = shadow->free;
		shadow->free = (uint16_t)i;
	}
	lzi_judge_init(&shadow->judge);
	lzi_sketch_init(&shadow->sketch, words_at(shadow), nodes);
}

int lzi_shadow_is_sound(const struct lzi_shadow *shadow, uint32_t nodes)
{
	return shadow->nodes == nodes && nodes <= LZI_SHADOW_MOST && lzi_sketch_is_sound(&shadow->sketch, nodes);
}

void lzi_shadow_move(struct lzi_shadow *to, const struct lzi_shadow *from, uint32_t sampling)
{
	for (unsigned which = 0; which < 2; which++) {
		uint32_t index = from->list[which].oldest;

		for (uint32_t i = 0; i < nodes_of(from) && is_node(from, index); i++) {
			const struct node *node = node_at(from, index);

			index = node->next;
			if (!lzi_policy_is_sampled(node->hash, sampling) || !has_room(to, node->weight) ||
			    find(to, node->hash) != 0)
				continue;
			uint32_t fresh = to->free;
			struct node *made = node_at(to, fresh);

			to->free = made->next;
			*made = (struct node){ .hash = node->hash, .weight = node->weight };
			made->chain = *bucket_of(to, node->hash);
			*bucket_of(to, node->hash) = (uint16_t)fresh;
			append(to, which, fresh);
			made->visits = node->visits;
		}
	}
	lzi_sketch_move(&to->sketch, words_at(to), &from->sketch, words_at(from));
	to->judge = from->judge;
	to->judge.rounds = to->sketch.rounds;
}

/* Puts a node that is in no list and no bucket yet into both. */
static void take_up(struct lzi_shadow *shadow, unsigned which, uint32_t index, uint8_t *seen)
{
	struct node *node = node_at(shadow, index);
	uint8_t visits = node->visits < LZI_POLICY_VISITS ? node->visits : LZI_POLICY_VISITS;

	seen[index] = 1;
	node->chain = *bucket_of(shadow, node->hash);
	*bucket_of(shadow, node->hash) = (uint16_t)index;
	append(shadow, which, index);
	node->visits = visits;
}

void lzi_shadow_mend(struct lzi_shadow *shadow, uint32_t nodes, uint64_t capacity)
{
	uint8_t seen[LZI_SHADOW_MOST + 1] = { 0 };
	uint16_t oldest[2] = { shadow->list[0].oldest, shadow->list[1].oldest };

	shadow->nodes = nodes;
	shadow->capacity = capacity;
	shadow->free = 0;
	memset(shadow->list, 0, sizeof shadow->list);
	memset(buckets_at(shadow), 0, buckets_of(nodes) * sizeof(uint16_t));
	for (unsigned which = 0; which < 2; which++) {
		uint32_t index = oldest[which], next;

		/* One seen already ends the walk: the list runs into itself or into the other. */
		for (; is_node(shadow, index) && !seen[index]; index = next) {
			next = node_at(shadow, index)->next;
			if (find(shadow, node_at(shadow, index)->hash) != 0)
				break;
			take_up(shadow, which, index, seen);
		}
	}
	for (uint32_t index = 1; index <= nodes; index++) {
		struct node *node = node_at(shadow, index);

		if (seen[index])
			continue;
		if (node->list != 0 && node->weight <= capacity && find(shadow, node->hash) == 0) {
			take_up(shadow, node->list == 2, index, seen);
			continue;
		}
		node->list = 0;
		node->next = shadow->free;
		shadow->free = (uint16_t)index;
	}
	lzi_judge_mend(&shadow->judge);
	lzi_sketch_mend(&shadow->sketch, nodes);
}
