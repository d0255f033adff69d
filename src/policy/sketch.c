/*
 * The sketch of how often keys were seen.
 */
#include "config.h"

#include <string.h>

#include "base/atomic.h"
#include "policy/sketch.h"

enum {
	BLOCK = 8, /* words: a line of the cache, 128 counters, a quarter of them for each of the four rows */
	ROWS = 4,
	WORDS_MIN = 64,
	ROUND = 20,      /* additions an entry until all is halved: popular keys stand out, and yet give way */
	AGE_BLOCKS = 512 /* most halved by one call */
};

uint64_t lzi_sketch_words(uint64_t entries)
{
	return entries < WORDS_MIN ? WORDS_MIN : (entries + BLOCK - 1) / BLOCK * BLOCK;
}

struct lzi_sketch lzi_sketch_of(struct lzi_sketch_head *head, uint64_t *words, uint64_t entries)
{
	return (struct lzi_sketch){ head, words, lzi_sketch_words(entries) / BLOCK };
}

static uint64_t period_of(const struct lzi_sketch *sketch)
{
	return (uint64_t)ROUND * BLOCK * sketch->blocks;
}

void lzi_sketch_init(const struct lzi_sketch *sketch)
{
	memset(sketch->head, 0, sizeof *sketch->head);
	memset(sketch->words, 0, sketch->blocks * BLOCK * sizeof *sketch->words);
	lzi_sketch_mend(sketch);
}

void lzi_sketch_mend(const struct lzi_sketch *sketch)
{
	struct lzi_sketch_head *head = sketch->head;

	head->blocks = sketch->blocks;
	head->period = period_of(sketch);
	if (head->hand >= sketch->blocks)
		head->hand = 0;
	if (head->owed >= head->period)
		head->owed = 0;
}

static uint64_t block_of(const struct lzi_sketch *sketch, uint64_t hash)
{
	return (hash >> 32) * (sketch->blocks & UINT32_MAX) >> 32;
}

/* Where in its block the counter of a row is: a word, and in it a shift. */
static unsigned counter_of(uint64_t hash, unsigned row, unsigned *shift)
{
	unsigned counter = hash * 0x9e3779b97f4a7c15ull >> (20 + 5 * row) & 31;

	*shift = 4 * (counter & 15);
	return 2 * row + counter / 16;
}

unsigned lzi_sketch_get(const struct lzi_sketch *sketch, uint64_t hash)
{
	const uint64_t *block = sketch->words + BLOCK * block_of(sketch, hash);
	unsigned least = LZI_SKETCH_MOST, shift, value;

	for (unsigned row = 0; row < ROWS; row++) {
		unsigned word = counter_of(hash, row, &shift);

		value = lzi_load_relaxed(&block[word]) >> shift & LZI_SKETCH_MOST;
		if (value < least)
			least = value;
	}
	return least;
}

/* Only the counters that say the least are raised: those above have been by other keys as well. */
void lzi_sketch_raise(const struct lzi_sketch *sketch, uint64_t hash, unsigned most)
{
	uint64_t *block = sketch->words + BLOCK * block_of(sketch, hash), value;
	unsigned least = lzi_sketch_get(sketch, hash), shift;

	if (least >= most || least >= LZI_SKETCH_MOST)
		return;
	for (unsigned row = 0; row < ROWS; row++) {
		unsigned word = counter_of(hash, row, &shift);

		value = lzi_load_relaxed(&block[word]);
		if ((value >> shift & LZI_SKETCH_MOST) == least)
			lzi_store_relaxed(&block[word], value + ((uint64_t)1 << shift));
	}
}

void lzi_sketch_age(const struct lzi_sketch *sketch, uint64_t additions)
{
	struct lzi_sketch_head *head = sketch->head;
	uint64_t period = period_of(sketch), owed = head->owed + additions * sketch->blocks, hand = head->hand;

	for (unsigned i = 0; i < AGE_BLOCKS && owed >= period; i++) {
		uint64_t *block;

		hand = hand < sketch->blocks ? hand : 0;
		block = sketch->words + BLOCK * hand;
		for (unsigned word = 0; word < BLOCK; word++)
			lzi_store_relaxed(&block[word], lzi_load_relaxed(&block[word]) >> 1 & 0x7777777777777777ull);
		owed -= period;
		if (++hand >= sketch->blocks) {
			hand = 0;
			head->rounds++;
		}
	}
	head->hand = hand;
	head->owed = owed < period ? owed : 0;
}

/* The larger of each two counters. */
static uint64_t larger(uint64_t a, uint64_t b)
{
	uint64_t result = 0, mask;

	for (unsigned shift = 0; shift < 64; shift += 4) {
		mask = (uint64_t)LZI_SKETCH_MOST << shift;
		result |= (a & mask) > (b & mask) ? a & mask : b & mask;
	}
	return result;
}

/* Blocks are ranges of hashes, so a block of one sketch has the keys of those it overlaps of the other. These may be
 * raised meanwhile; nobody else knows the new ones yet. */
void lzi_sketch_move(const struct lzi_sketch *to, const struct lzi_sketch *from)
{
	for (uint64_t block = 0; block < to->blocks; block++) {
		uint64_t first = block * from->blocks / to->blocks;
		uint64_t last = ((block + 1) * from->blocks - 1) / to->blocks;

		for (uint64_t i = first; i <= last && i < from->blocks; i++) {
			for (unsigned word = 0; word < BLOCK; word++)
				to->words[BLOCK * block + word] =
					larger(to->words[BLOCK * block + word],
				               lzi_load_relaxed(&from->words[BLOCK * i + word]));
		}
	}
}
