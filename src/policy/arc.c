/*
 * ARC (Megiddo, Modha, FAST 2003): two LRU lists, of entries asked for once and of those asked for again, each with the
 * ghosts of what went from it; a hit on a ghost moves the target size of the first list towards the list it is of.
 */
#include "config.h"

#include "policy/book.h"
#include "policy/policy.h"

enum {
	ONCE = 1,    /* T1 */
	AGAIN,       /* T2 */
	ONCE_GHOST,  /* B1 */
	AGAIN_GHOST, /* B2 */
};

#define MAGIC 0x4352414352414c07ull

struct arc {
	struct lzi_book book;
	uint64_t target;    /* p: of ONCE, in units of weight */
	uint64_t returning; /* the entry that eviction was asked for last was a ghost, of that list */
	uint32_t returning_list;
};

_Static_assert(sizeof(struct arc) <= LZI_BOOK_HEAD, "the state's head");

static uint64_t arc_size(uint64_t entries)
{
	return lzi_book_size(lzi_book_nodes(entries, 1, 1));
}

static void arc_init(void *state, uint64_t entries, uint64_t capacity)
{
	lzi_book_init(state, MAGIC, lzi_book_nodes(entries, 1, 1), capacity);
}

static void arc_resize(void *state, uint64_t capacity)
{
	struct arc *arc = state;

	arc->book.capacity = capacity;
	if (arc->target > capacity)
		arc->target = capacity;
}

static void arc_move(void *to, const void *from)
{
	const struct arc *old = from;
	struct arc *arc = to;

	lzi_book_move(to, from);
	arc->target = old->target < arc->book.capacity ? old->target : arc->book.capacity;
	arc->returning = old->returning;
	arc->returning_list = old->returning_list;
}

static int arc_mend(void *state, uint64_t size)
{
	struct arc *arc = state;

	if (lzi_book_mend(&arc->book, MAGIC, size) != 0)
		return -1;
	if (arc->target > arc->book.capacity)
		arc->target = arc->book.capacity;
	arc->returning_list = 0;
	return 0;
}

static void arc_access(void *state, uint64_t hash, uint32_t weight, int created)
{
	uint32_t index = lzi_book_find(state, hash);
	const struct lzi_book_node *node = lzi_book_at(state, index);

	(void)created;
	if (node == NULL || node->list >= ONCE_GHOST)
		return;
	lzi_book_weigh(state, index, weight);
	lzi_book_shift(state, index, AGAIN);
}

/* The target learns from a hit on a ghost: by its weight, times how many of the other kind there are to one of this. */
static void learn(struct arc *arc, unsigned ghosts, uint32_t weight)
{
	const struct lzi_book_list *list = arc->book.list;
	uint64_t here = list[ghosts].weight, other = list[ONCE_GHOST + AGAIN_GHOST - ghosts].weight;
	uint64_t step = (here > 0 && other > here ? other / here : 1) * weight;

	if (ghosts == ONCE_GHOST)
		arc->target = arc->target < arc->book.capacity && step < arc->book.capacity - arc->target
		                      ? arc->target + step
		                      : arc->book.capacity;
	else
		arc->target = step < arc->target ? arc->target - step : 0;
}

/* What it means that an entry comes that is a ghost, once for each coming: it is no ghost from here on. */
static void meet_ghost(struct arc *arc, uint64_t hash)
{
	uint32_t index = lzi_book_find(&arc->book, hash);
	const struct lzi_book_node *node = lzi_book_at(&arc->book, index);

	if (node == NULL || (node->list != ONCE_GHOST && node->list != AGAIN_GHOST))
		return;
	learn(arc, node->list, node->weight);
	arc->returning = hash;
	arc->returning_list = node->list;
	lzi_book_drop(&arc->book, index);
}

static void drop_oldest_ghost(struct arc *arc)
{
	uint32_t index = lzi_book_oldest(&arc->book, ONCE_GHOST);

	lzi_book_drop(&arc->book, index != 0 ? index : lzi_book_oldest(&arc->book, AGAIN_GHOST));
}

static int arc_insert(void *state, uint64_t hash, uint32_t weight)
{
	struct arc *arc = state;
	unsigned list;

	meet_ghost(arc, hash);
	list = arc->returning_list != 0 && arc->returning == hash ? AGAIN : ONCE;
	arc->returning_list = 0;
	if (lzi_book_find(&arc->book, hash) != 0) {
		arc_access(state, hash, weight, 0);
		return 0;
	}
	if (lzi_book_add(&arc->book, hash, weight, list) != 0)
		return 0;
	/* All nodes are in use: better to have the entry than a ghost. */
	drop_oldest_ghost(arc);
	return lzi_book_add(&arc->book, hash, weight, list) != 0 ? 0 : -1;
}

/* The paper's REPLACE: one of the lists' oldest becomes a ghost. */
static int replace(struct arc *arc, unsigned returning_list, uint64_t *ret_hash)
{
	struct lzi_book *book = &arc->book;
	uint32_t once = lzi_book_oldest(book, ONCE), again = lzi_book_oldest(book, AGAIN);
	uint64_t weight = book->list[ONCE].weight;
	const struct lzi_book_node *node;
	int from_once = once != 0 && (weight > arc->target ||
	                              (weight == arc->target && returning_list == AGAIN_GHOST) || again == 0);

	node = lzi_book_at(book, from_once ? once : again);
	if (node == NULL)
		return -1;
	*ret_hash = node->hash;
	lzi_book_shift(book, from_once ? once : again, from_once ? ONCE_GHOST : AGAIN_GHOST);
	return 0;
}

/* Drops ghosts of a list until there is so much less of it. */
static void trim(struct arc *arc, unsigned ghosts, uint64_t weight)
{
	uint64_t left = arc->book.list[ghosts].weight > weight ? arc->book.list[ghosts].weight - weight : 0;
	uint32_t index;

	while (arc->book.list[ghosts].weight > left && (index = lzi_book_oldest(&arc->book, ghosts)) != 0)
		lzi_book_drop(&arc->book, index);
}

static int arc_evict(void *state, uint64_t incoming, uint32_t weight, uint64_t *ret_hash)
{
	struct arc *arc = state;
	const struct lzi_book_list *list = arc->book.list;
	uint64_t capacity = arc->book.capacity, first, all;
	unsigned returning;
	uint32_t index;

	meet_ghost(arc, incoming);
	returning = arc->returning_list != 0 && arc->returning == incoming ? arc->returning_list : 0;
	if (returning != 0)
		return replace(arc, returning, ret_hash);
	first = list[ONCE].weight + list[ONCE_GHOST].weight;
	all = first + list[AGAIN].weight + list[AGAIN_GHOST].weight;
	if (first + weight > capacity) {
		if (lzi_book_oldest(&arc->book, ONCE_GHOST) != 0) {
			trim(arc, ONCE_GHOST, first + weight - capacity);
			return replace(arc, 0, ret_hash);
		}
		/* All of it are entries asked for once: the oldest goes without a trace. */
		index = lzi_book_oldest(&arc->book, ONCE);
		if (index != 0) {
			*ret_hash = lzi_book_at(&arc->book, index)->hash;
			lzi_book_drop(&arc->book, index);
			return 0;
		}
	} else if (all + weight > 2 * capacity) {
		trim(arc, AGAIN_GHOST, all + weight - 2 * capacity);
	}
	return replace(arc, 0, ret_hash);
}

const struct lzi_policy lzi_policy_arc = {
	.name = "arc",
	.id = LATZ_POLICY_ARC,
	.kind = LZI_POLICY_BY_ENTRY,
	.size = arc_size,
	.init = arc_init,
	.resize = arc_resize,
	.move = arc_move,
	.mend = arc_mend,
	.is_sound = lzi_book_is_within,
	.access = arc_access,
	.insert = arc_insert,
	.evict = arc_evict,
	.remove = lzi_book_remove,
};
