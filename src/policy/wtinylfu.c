/*
 * W-TinyLFU (Einziger, Friedman, Manes, ACM TOS 2017): entries come into a small LRU window; what leaves it gets into
 * the main part only if a sketch of past requests says that it is asked for more often than what would go from there.
 * The main part is a segmented LRU: on probation until asked for, then protected, in four fifths of it.
 *
 * The sketch is a count-min one: 16 counters of 4 bits a node, each request raises the four it is hashed to, and all
 * are halved when ten times as many requests as there are nodes have been counted. It follows the nodes in the state.
 */
#include "config.h"

#include <string.h>

#include "policy/book.h"
#include "policy/policy.h"

enum {
	WINDOW = 1,
	PROBATION,
	PROTECTED,

	ROWS = 4,
	SAMPLE = 10,       /* requests for a node until counters are halved ... */
	SAMPLE_MIN = 4096, /* ... and in all: a few entries tell little by ten times their number */
	WORDS_MIN = 1024,  /* in fewer a few frequent entries drown the others */
};

#define MAGIC 0x554c594e49544c08ull

struct wtinylfu {
	struct lzi_book_head head;
	uint64_t counted; /* requests since counters were halved */
};

_Static_assert(sizeof(struct wtinylfu) <= LZI_BOOK_HEAD, "the state's head");

/* ---- The sketch ------------------------------------------------------------------------------------------------- */

/* Words of 16 counters, a power of two. */
static uint64_t sketch_words(uint64_t nodes)
{
	uint64_t words = WORDS_MIN;

	while (words < nodes)
		words *= 2;
	return words;
}

static uint64_t sample_of(uint64_t nodes)
{
	return SAMPLE * nodes < SAMPLE_MIN ? SAMPLE_MIN : SAMPLE * nodes;
}

static struct wtinylfu *words_of(const struct lzi_book *book)
{
	return (struct wtinylfu *)book->head;
}

static uint64_t *sketch_of(const struct lzi_book *book)
{
	return (uint64_t *)((char *)book->head + lzi_book_size(book->nodes));
}

/* Where the counter of a row is: a word, and in it a shift. A row has four of a word's sixteen. */
static uint64_t counter_of(uint64_t hash, unsigned row, uint64_t words, unsigned *shift)
{
	static const uint64_t seeds[ROWS] = { 0xc3a5c85c97cb3127ull, 0xb492b66fbe98f273ull, 0x9ae16a3b2f90404full,
		                              0xcbf29ce484222325ull };
	uint64_t mixed = (hash + seeds[row]) * seeds[row];

	mixed ^= mixed >> 32;
	*shift = 16 * row + 4 * (unsigned)(mixed >> 30 & 3);
	return mixed & (words - 1);
}

static unsigned estimate(const struct lzi_book *book, uint64_t hash)
{
	const uint64_t *sketch = sketch_of(book);
	uint64_t words = sketch_words(book->nodes), word;
	unsigned least = 15, shift;

	for (unsigned row = 0; row < ROWS; row++) {
		word = sketch[counter_of(hash, row, words, &shift)];
		if ((word >> shift & 15) < least)
			least = word >> shift & 15;
	}
	return least;
}

static void halve(const struct lzi_book *book)
{
	uint64_t *sketch = sketch_of(book), words = sketch_words(book->nodes);

	for (uint64_t i = 0; i < words; i++)
		sketch[i] = sketch[i] >> 1 & 0x7777777777777777ull;
	words_of(book)->counted /= 2;
}

static void count(const struct lzi_book *book, uint64_t hash)
{
	uint64_t *sketch = sketch_of(book), words = sketch_words(book->nodes), i;
	unsigned shift;

	for (unsigned row = 0; row < ROWS; row++) {
		i = counter_of(hash, row, words, &shift);
		if ((sketch[i] >> shift & 15) < 15)
			sketch[i] += (uint64_t)1 << shift;
	}
	if (++words_of(book)->counted >= sample_of(book->nodes))
		halve(book);
}

/* A larger sketch looks at more bits of the same hashes, so each word is as many of it; a smaller one at fewer. */
static void move_sketch(const struct lzi_book *to, const struct lzi_book *from)
{
	uint64_t *sketch = sketch_of(to), words = sketch_words(to->nodes);
	const uint64_t *old = sketch_of(from);
	uint64_t old_words = sketch_words(from->nodes);

	for (uint64_t i = 0; i < (words > old_words ? words : old_words); i++) {
		uint64_t *word = &sketch[i & (words - 1)], other = old[i & (old_words - 1)];

		for (unsigned shift = 0; shift < 64; shift += 4) {
			if ((other >> shift & 15) > (*word >> shift & 15))
				*word = (*word & ~((uint64_t)15 << shift)) | (other & (uint64_t)15 << shift);
		}
	}
	words_of(to)->counted = words_of(from)->counted;
}

/* ---- The state -------------------------------------------------------------------------------------------------- */

static uint64_t size_of(uint64_t nodes)
{
	return lzi_book_size(nodes) + sizeof(uint64_t) * sketch_words(nodes);
}

static uint64_t wtinylfu_size(uint64_t entries)
{
	return size_of(lzi_book_nodes(entries, 0, 1));
}

/* The state in a block that has room for all of it, the sketch too. */
static struct lzi_book wtinylfu_of(struct lzi_policy_block state)
{
	struct lzi_book book = lzi_book_of(state);

	if (book.nodes > 0 && size_of(book.nodes) > state.size)
		book.nodes = 0;
	return book;
}

static void wtinylfu_init(struct lzi_policy_block state, uint64_t entries, uint64_t capacity)
{
	uint64_t nodes = lzi_book_nodes(entries, 0, 1);

	lzi_book_init(state, MAGIC, nodes, capacity);
	memset((char *)state.at + lzi_book_size(nodes), 0, sizeof(uint64_t) * sketch_words(nodes));
}

static void wtinylfu_move(struct lzi_policy_block to, struct lzi_policy_block from)
{
	struct lzi_book book = wtinylfu_of(to), old = wtinylfu_of(from);

	lzi_book_move(&book, &old);
	if (book.nodes > 0 && old.nodes > 0)
		move_sketch(&book, &old);
}

static int wtinylfu_mend(struct lzi_policy_block state)
{
	struct lzi_book book = wtinylfu_of(state);

	/* Whatever the counters hold is some counts. */
	if (lzi_book_mend(&book, MAGIC, PROTECTED) != 0)
		return -1;
	if (words_of(&book)->counted > sample_of(book.nodes))
		words_of(&book)->counted = sample_of(book.nodes);
	return 0;
}

static int wtinylfu_is_sound(struct lzi_policy_block state)
{
	return lzi_book_is_whole(state) && wtinylfu_of(state).nodes > 0;
}

/* ---- The cache -------------------------------------------------------------------------------------------------- */

static uint64_t window_capacity(const struct lzi_book *book)
{
	return book->head->capacity < 100 ? 1 : book->head->capacity / 100;
}

static uint64_t protected_capacity(const struct lzi_book *book)
{
	return (book->head->capacity - window_capacity(book)) / 5 * 4;
}

/* Asked for in the main part: protected from here on, others are so no longer. */
static void protect(const struct lzi_book *book, uint32_t index)
{
	uint64_t capacity = protected_capacity(book);
	uint32_t oldest;

	lzi_book_shift(book, index, PROTECTED);
	for (uint32_t steps = book->nodes; steps > 0 && book->head->list[PROTECTED].weight > capacity; steps--) {
		if ((oldest = lzi_book_oldest(book, PROTECTED)) == 0)
			break;
		lzi_book_shift(book, oldest, PROBATION);
	}
}

static void wtinylfu_access(struct lzi_policy_block state, uint64_t hash, uint32_t weight, int created)
{
	struct lzi_book opened = wtinylfu_of(state), *book = &opened;
	uint32_t index = lzi_book_find(book, hash);
	const struct lzi_book_node *node = lzi_book_at(book, index);

	(void)created;
	if (node == NULL)
		return;
	count(book, hash);
	lzi_book_weigh(book, index, weight);
	if (node->list == WINDOW)
		lzi_book_shift(book, index, WINDOW);
	else
		protect(book, index);
}

static int wtinylfu_insert(struct lzi_policy_block state, uint64_t hash, uint32_t weight)
{
	struct lzi_book opened = wtinylfu_of(state), *book = &opened;
	uint32_t oldest, steps;

	if (lzi_book_find(book, hash) != 0) {
		wtinylfu_access(state, hash, weight, 0);
		return 0;
	}
	if (lzi_book_add(book, hash, weight, WINDOW) == 0)
		return -1;
	count(book, hash);
	/* There is room for all of them, so what the window has not comes in unasked. */
	for (steps = book->nodes; steps > 0 && book->head->list[WINDOW].weight > window_capacity(book); steps--) {
		if ((oldest = lzi_book_oldest(book, WINDOW)) == 0 || oldest == book->head->list[WINDOW].newest)
			break;
		lzi_book_shift(book, oldest, PROBATION);
	}
	return 0;
}

static int wtinylfu_evict(struct lzi_policy_block state, uint64_t incoming, uint32_t weight, uint64_t *ret_hash)
{
	struct lzi_book opened = wtinylfu_of(state), *book = &opened;
	uint32_t candidate = lzi_book_oldest(book, WINDOW), victim = lzi_book_oldest(book, PROBATION);
	int window_full;

	(void)incoming;
	if (book->nodes == 0)
		return -1;
	window_full = book->head->list[WINDOW].weight + weight > window_capacity(book);
	if (victim == 0)
		victim = lzi_book_oldest(book, PROTECTED);
	if (victim == 0)
		victim = candidate;
	else if (candidate != 0 && window_full) {
		if (estimate(book, lzi_book_at(book, candidate)->hash) >
		    estimate(book, lzi_book_at(book, victim)->hash))
			lzi_book_shift(book, candidate, PROBATION);
		else
			victim = candidate;
	}
	if (victim == 0)
		return -1;
	*ret_hash = lzi_book_at(book, victim)->hash;
	lzi_book_drop(book, victim);
	return 0;
}

const struct lzi_policy lzi_policy_wtinylfu = {
	.name = "wtinylfu",
	.id = LATZ_POLICY_WTINYLFU,
	.kind = LZI_POLICY_BY_ENTRY,
	.size = wtinylfu_size,
	.init = wtinylfu_init,
	.resize = lzi_book_set_capacity,
	.move = wtinylfu_move,
	.mend = wtinylfu_mend,
	.is_sound = wtinylfu_is_sound,
	.access = wtinylfu_access,
	.insert = wtinylfu_insert,
	.evict = wtinylfu_evict,
	.remove = lzi_book_remove,
};
