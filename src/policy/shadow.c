/*
 * A cache in small. After the head: the nodes, a hash table of their indexes chained by node, the sketch's counters.
 */
#include "config.h"

#include <string.h>

#include "base/atomic.h"
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
_Static_assert(sizeof(struct lzi_shadow_head) % 8 == 0, "words are behind it");

/* ---- Layout ----------------------------------------------------------------------------------------------------- */

/* The nodes' number rounded up, so that what follows is aligned. */
static uint32_t buckets_of(uint32_t nodes)
{
	return (nodes + 3) / 4 * 4;
}

static struct node *node_at(const struct lzi_shadow *shadow, uint32_t index)
{
	return (struct node *)(uintptr_t)(shadow->head + 1) + index - 1;
}

static uint16_t *buckets_at(const struct lzi_shadow *shadow)
{
	return (uint16_t *)node_at(shadow, shadow->nodes + 1);
}

static struct lzi_sketch sketch_of(const struct lzi_shadow *shadow)
{
	return lzi_sketch_of(&shadow->head->sketch, (uint64_t *)(buckets_at(shadow) + buckets_of(shadow->nodes)),
	                     shadow->nodes);
}

uint64_t lzi_shadow_size(uint32_t nodes)
{
	return sizeof(struct lzi_shadow_head) + nodes * sizeof(struct node) + buckets_of(nodes) * sizeof(uint16_t) +
	       lzi_sketch_words(nodes) * sizeof(uint64_t);
}

static int is_node(const struct lzi_shadow *shadow, uint32_t index)
{
	return index != 0 && index <= shadow->nodes;
}

/* ---- The index -------------------------------------------------------------------------------------------------- */

static uint16_t *bucket_of(const struct lzi_shadow *shadow, uint64_t hash)
{
	/* Not the bits by which keys are in the sample: those are much the same for all of them. */
	uint32_t mixed = (uint32_t)((hash ^ hash >> 32) * 0xd6e8feb86659fd93ull >> 32);

	return buckets_at(shadow) + ((uint64_t)mixed * shadow->nodes >> 32);
}

static uint32_t find(const struct lzi_shadow *shadow, uint64_t hash)
{
	uint32_t index = lzi_load_relaxed(bucket_of(shadow, hash));

	for (uint32_t i = 0; i < shadow->nodes && is_node(shadow, index); i++) {
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

	for (uint32_t i = 0; i < shadow->nodes; i++) {
		uint32_t at = lzi_load_relaxed(link);

		if (!is_node(shadow, at))
			return;
		if (at == index) {
			*link = node_at(shadow, index)->chain;
			return;
		}
		link = &node_at(shadow, at)->chain;
	}
}

/* ---- Lists ------------------------------------------------------------------------------------------------------ */

static void append(const struct lzi_shadow *shadow, unsigned which, uint32_t index)
{
	struct lzi_shadow_list *list = &shadow->head->list[which];
	struct node *node = node_at(shadow, index);
	uint32_t youngest = lzi_load_relaxed(&list->youngest);

	node->next = 0;
	node->list = (uint8_t)(which + 1);
	node->visits = 0;
	if (is_node(shadow, youngest) && list->oldest != 0)
		node_at(shadow, youngest)->next = (uint16_t)index;
	else
		list->oldest = (uint16_t)index;
	list->youngest = (uint16_t)index;
	list->entries++;
	list->weight += node->weight;
}

/* Takes the oldest off a list; 0: it is empty. */
static uint32_t take_oldest(const struct lzi_shadow *shadow, unsigned which)
{
	struct lzi_shadow_list *list = &shadow->head->list[which];
	uint32_t index = lzi_load_relaxed(&list->oldest);

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

static void release(const struct lzi_shadow *shadow, uint32_t index)
{
	struct node *node = node_at(shadow, index);

	unchain(shadow, index);
	node->list = 0;
	node->next = shadow->head->free;
	shadow->head->free = (uint16_t)index;
}

/* ---- Keeping ---------------------------------------------------------------------------------------------------- */

/* How many it looked at. */
static unsigned empty_oldest(const struct lzi_shadow *shadow, const struct lzi_knobs *knobs)
{
	struct lzi_sketch sketch = sketch_of(shadow);
	struct lzi_candidate candidate[LZI_POLICY_BATCH];
	uint32_t index[LZI_POLICY_BATCH];
	const struct lzi_shadow_list *list = shadow->head->list;
	unsigned which = lzi_judge_next(knobs, list[0].weight, list[1].weight) == LZI_POLICY_MAIN;
	unsigned most = shadow->nodes / EXTENTS, n = 0;

	if (list[which].oldest == 0)
		which = !which;
	for (most = most > 0 ? most : 1; n < most && (index[n] = take_oldest(shadow, which)) != 0; n++) {
		const struct node *node = node_at(shadow, index[n]);

		candidate[n] = (struct lzi_candidate){ .hash = node->hash,
			                               .weight = node->weight,
			                               .visits = node->visits };
	}
	lzi_judge_entries(&shadow->head->judge, knobs, &sketch,
	                  which == LZI_POLICY_MAIN ? LZI_POLICY_MAIN : LZI_POLICY_WINDOW, candidate, n);
	for (unsigned i = 0; i < n; i++) {
		if (candidate[i].keep)
			append(shadow, LZI_POLICY_MAIN, index[i]);
		else
			release(shadow, index[i]);
	}
	return n;
}

static int has_room(const struct lzi_shadow *shadow, uint32_t weight)
{
	uint64_t used = shadow->head->list[0].weight + shadow->head->list[1].weight;

	return is_node(shadow, lzi_load_relaxed(&shadow->head->free)) && used <= shadow->capacity &&
	       weight <= shadow->capacity - used;
}

/* An index of a node for a new entry, 0 if there is none to be had. */
static uint32_t make_room(const struct lzi_shadow *shadow, const struct lzi_knobs *knobs, uint32_t weight)
{
	uint32_t index, left;

	/* All of them may pass from the window to the main list, and then go round there until they have to go. */
	for (left = 8 * shadow->nodes; left > 0 && !has_room(shadow, weight) && empty_oldest(shadow, knobs) > 0; left--)
		;
	index = lzi_load_relaxed(&shadow->head->free);
	if (!has_room(shadow, weight) || !is_node(shadow, index)) { /* which there must be, but for damage */
		lzi_shadow_mend(shadow);
		return 0;
	}
	shadow->head->free = node_at(shadow, index)->next;
	return index;
}

int lzi_shadow_access(const struct lzi_shadow *shadow, const struct lzi_knobs *knobs, uint64_t hash, uint32_t weight)
{
	struct lzi_sketch sketch = sketch_of(shadow);
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
		lzi_sketch_raise(&sketch, hash, knobs->counted);
	lzi_sketch_age(&sketch, 1);
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

void lzi_shadow_init(const struct lzi_shadow *shadow)
{
	struct lzi_sketch sketch = sketch_of(shadow);

	memset(shadow->head, 0, lzi_shadow_size(shadow->nodes));
	shadow->head->nodes = shadow->nodes;
	shadow->head->capacity = shadow->capacity;
	for (uint32_t i = shadow->nodes; i > 0; i--) {
		node_at(shadow, i)->next = shadow->head->free;
		shadow->head->free = (uint16_t)i;
	}
	lzi_judge_init(&shadow->head->judge);
	lzi_sketch_init(&sketch);
}

void lzi_shadow_move(const struct lzi_shadow *to, const struct lzi_shadow *from, uint32_t sampling)
{
	struct lzi_sketch to_sketch = sketch_of(to), from_sketch = sketch_of(from);

	for (unsigned which = 0; which < 2; which++) {
		uint32_t index = lzi_load_relaxed(&from->head->list[which].oldest);

		for (uint32_t i = 0; i < from->nodes && is_node(from, index); i++) {
			const struct node *node = node_at(from, index);
			uint32_t weight = node->weight, fresh = lzi_load_relaxed(&to->head->free);
			uint64_t hash = node->hash;
			struct node *made;

			index = node->next;
			if (!lzi_policy_is_sampled(hash, sampling) || !has_room(to, weight) || !is_node(to, fresh) ||
			    find(to, hash) != 0)
				continue;
			made = node_at(to, fresh);

			to->head->free = made->next;
			*made = (struct node){ .hash = hash, .weight = weight };
			made->chain = *bucket_of(to, hash);
			*bucket_of(to, hash) = (uint16_t)fresh;
			append(to, which, fresh);
			made->visits = node->visits;
		}
	}
	lzi_sketch_move(&to_sketch, &from_sketch);
	to->head->judge = from->head->judge;
	to->head->judge.rounds = to_sketch.head->rounds;
}

/* Puts a node that is in no list and no bucket yet into both. */
static void take_up(const struct lzi_shadow *shadow, unsigned which, uint32_t index, uint8_t *seen)
{
	struct node *node = node_at(shadow, index);
	uint8_t visits = node->visits < LZI_POLICY_VISITS ? node->visits : LZI_POLICY_VISITS;

	seen[index] = 1;
	node->chain = *bucket_of(shadow, node->hash);
	*bucket_of(shadow, node->hash) = (uint16_t)index;
	append(shadow, which, index);
	node->visits = visits;
}

void lzi_shadow_mend(const struct lzi_shadow *shadow)
{
	uint8_t seen[LZI_SHADOW_MOST + 1] = { 0 };
	struct lzi_shadow_head *head = shadow->head;
	uint16_t oldest[2] = { head->list[0].oldest, head->list[1].oldest };
	struct lzi_sketch sketch = sketch_of(shadow);

	head->nodes = shadow->nodes;
	head->capacity = shadow->capacity;
	head->free = 0;
	memset(head->list, 0, sizeof head->list);
	memset(buckets_at(shadow), 0, buckets_of(shadow->nodes) * sizeof(uint16_t));
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
	for (uint32_t index = 1; index <= shadow->nodes; index++) {
		struct node *node = node_at(shadow, index);

		if (seen[index])
			continue;
		if (node->list != 0 && node->weight <= shadow->capacity && find(shadow, node->hash) == 0) {
			take_up(shadow, node->list == 2, index, seen);
			continue;
		}
		node->list = 0;
		node->next = head->free;
		head->free = (uint16_t)index;
	}
	lzi_judge_mend(&head->judge);
	lzi_sketch_mend(&sketch);
}
