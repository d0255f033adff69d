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
	struct lzi_book_head head;
	uint64_t target;    /* p: of ONCE, in units of weight */
	uint64_t returning; /* the entry that eviction was asked for last was a ghost, of that list */
	uint32_t returning_list;
};

_Static_assert(sizeof(struct arc) <= LZI_BOOK_HEAD, "the state's head");

static struct arc *words_of(const struct lzi_book *book)
{
	return (struct arc *)book->head;
}

static uint64_t arc_size(uint64_t entries)
{
	return lzi_book_size(lzi_book_nodes(entries, 1, 1));
}

static void arc_init(struct lzi_policy_block state, uint64_t entries, uint64_t capacity)
{
	lzi_book_init(state, MAGIC, lzi_book_nodes(entries, 1, 1), capacity);
}

static void limit_target(const struct lzi_book *book)
{
	if (words_of(book)->target > book->head->capacity)
		words_of(book)->target = book->head->capacity;
}

static void arc_resize(struct lzi_policy_block state, uint64_t capacity)
{
	struct lzi_book book = lzi_book_of(state);

	if (book.nodes == 0)
		return;
	book.head->capacity = capacity;
	limit_target(&book);
}

static void arc_move(struct lzi_policy_block to, struct lzi_policy_block from)
{
	struct lzi_book book = lzi_book_of(to), old = lzi_book_of(from);

	lzi_book_move(&book, &old);
	if (book.nodes == 0 || old.nodes == 0)
		return;
	words_of(&book)->target = words_of(&old)->target;
	words_of(&book)->returning = words_of(&old)->returning;
	words_of(&book)->returning_list = words_of(&old)->returning_list;
	limit_target(&book);
}

static int arc_mend(struct lzi_policy_block state)
{
	struct lzi_book book = lzi_book_of(state);

	if (lzi_book_mend(&book, MAGIC, AGAIN_GHOST) != 0)
		return -1;
	limit_target(&book);
	words_of(&book)->returning_list = 0;
	return 0;
}

static void arc_access(struct lzi_policy_block state, uint64_t hash, uint32_t weight, int created)
{
	struct lzi_book book = lzi_book_of(state);
	uint32_t index = lzi_book_find(&book, hash);
	const struct lzi_book_node *node = lzi_book_at(&book, index);

	(void)created;
	if (node == NULL || node->list >= ONCE_GHOST)
		return;
	lzi_book_weigh(&book, index, weight);
	lzi_book_shift(&book, index, AGAIN);
}

/* The target learns from a hit on a ghost: by its weight, times how many of the other kind there are to one of this. */
static void learn(const struct lzi_book *book, unsigned ghosts, uint32_t weight)
{
	const struct lzi_book_list *list = book->head->list;
	struct arc *arc = words_of(book);
	uint64_t here = lzi_load_relaxed(&list[ghosts].weight);
	uint64_t other = lzi_load_relaxed(&list[ONCE_GHOST + AGAIN_GHOST - ghosts].weight);
	uint64_t step = (here > 0 && other > here ? other / here : 1) * weight;
	uint64_t capacity = book->head->capacity, target = arc->target;

	if (ghosts == ONCE_GHOST)
		arc->target = target < capacity && step < capacity - target ? target + step : capacity;
	else
		arc->target = step < target ? target - step : 0;
}

/* What it means that an entry comes that is a ghost, once for each coming: it is no ghost from here on. */
static void meet_ghost(const struct lzi_book *book, uint64_t hash)
{
	uint32_t index = lzi_book_find(book, hash);
	const struct lzi_book_node *node = lzi_book_at(book, index);
	unsigned list = node == NULL ? 0 : node->list;

	if (list != ONCE_GHOST && list != AGAIN_GHOST)
		return;
	learn(book, list, node->weight);
	words_of(book)->returning = hash;
	words_of(book)->returning_list = list;
	lzi_book_drop(book, index);
}

static void drop_oldest_ghost(const struct lzi_book *book)
{
	uint32_t index = lzi_book_oldest(book, ONCE_GHOST);

	lzi_book_drop(book, index != 0 ? index : lzi_book_oldest(book, AGAIN_GHOST));
}

static int arc_insert(struct lzi_policy_block state, uint64_t hash, uint32_t weight)
{
	struct lzi_book opened = lzi_book_of(state), *book = &opened;
	struct arc *arc = words_of(book);
	unsigned list;

	if (book->nodes == 0)
		return -1;
	meet_ghost(book, hash);
	list = arc->returning_list != 0 && arc->returning == hash ? AGAIN : ONCE;
	arc->returning_list = 0;
	if (lzi_book_find(book, hash) != 0) {
		arc_access(state, hash, weight, 0);
		return 0;
	}
	if (lzi_book_add(book, hash, weight, list) != 0)
		return 0;
	/* All nodes are in use: better to have the entry than a ghost. */
	drop_oldest_ghost(book);
	return lzi_book_add(book, hash, weight, list) != 0 ? 0 : -1;
}

/* The paper's REPLACE: one of the lists' oldest becomes a ghost. */
static int replace(const struct lzi_book *book, unsigned returning_list, uint64_t *ret_hash)
{
	uint32_t once = lzi_book_oldest(book, ONCE), again = lzi_book_oldest(book, AGAIN);
	uint64_t weight = book->head->list[ONCE].weight, target = words_of(book)->target;
	const struct lzi_book_node *node;
	int from_once = once != 0 && (weight > target || (weight == target && returning_list == AGAIN_GHOST) ||
	                              again == 0);

	node = lzi_book_at(book, from_once ? once : again);
	if (node == NULL)
		return -1;
	*ret_hash = node->hash;
	lzi_book_shift(book, from_once ? once : again, from_once ? ONCE_GHOST : AGAIN_GHOST);
	return 0;
}

/* Drops ghosts of a list until there is so much less of it. */
static void trim(const struct lzi_book *book, unsigned ghosts, uint64_t weight)
{
	const struct lzi_book_list *list = &book->head->list[ghosts];
	uint64_t left = list->weight > weight ? list->weight - weight : 0;
	uint32_t index;

	while (list->weight > left && (index = lzi_book_oldest(book, ghosts)) != 0)
		lzi_book_drop(book, index);
}

static int arc_evict(struct lzi_policy_block state, uint64_t incoming, uint32_t weight, uint64_t *ret_hash)
{
	struct lzi_book opened = lzi_book_of(state), *book = &opened;
	const struct lzi_book_list *list = book->head->list;
	const struct arc *arc = words_of(book);
	uint64_t capacity, first, all;
	unsigned returning;
	uint32_t index;

	if (book->nodes == 0)
		return -1;
	meet_ghost(book, incoming);
	returning = arc->returning == incoming ? arc->returning_list : 0;
	if (returning != 0)
		return replace(book, returning, ret_hash);
	capacity = book->head->capacity;
	first = list[ONCE].weight + list[ONCE_GHOST].weight;
	all = first + list[AGAIN].weight + list[AGAIN_GHOST].weight;
	if (first + weight > capacity) {
		if (lzi_book_oldest(book, ONCE_GHOST) != 0) {
			trim(book, ONCE_GHOST, first + weight - capacity);
			return replace(book, 0, ret_hash);
		}
		/* All of it are entries asked for once: the oldest goes without a trace. */
		index = lzi_book_oldest(book, ONCE);
		if (index != 0) {
			*ret_hash = lzi_book_at(book, index)->hash;
			lzi_book_drop(book, index);
			return 0;
		}
	} else if (all + weight > 2 * capacity) {
		trim(book, AGAIN_GHOST, all + weight - 2 * capacity);
	}
	return replace(book, 0, ret_hash);
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
	.is_sound = lzi_book_is_whole,
	.access = arc_access,
	.insert = arc_insert,
	.evict = arc_evict,
	.remove = lzi_book_remove,
};
