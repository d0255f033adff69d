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

void lzi_sketch_init(struct lzi_sketch *sketch, uint64_t *words, uint64_t entries)
{
	memset(sketch, 0, sizeof *sketch);
	memset(words, 0, lzi_sketch_words(entries) * sizeof *words);
	lzi_sketch_mend(sketch, entries);
}

int lzi_sketch_is_sound(const struct lzi_sketch *sketch, uint64_t entries)
{
	return lzi_load_relaxed(&sketch->blocks) == lzi_sketch_words(entries) / BLOCK;
}

void lzi_sketch_mend(struct lzi_sketch *sketch, uint64_t entries)
{
	sketch->blocks = lzi_sketch_words(entries) / BLOCK;
	sketch->period = ROUND * BLOCK * sketch->blocks;
	if (sketch->hand >= sketch->blocks)
		sketch->hand = 0;
	if (sketch->owed >= sketch->period)
		sketch->owed = 0;
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

unsigned lzi_sketch_get(const struct lzi_sketch *sketch, const uint64_t *words, uint64_t hash)
{
	const uint64_t *block = words + BLOCK * block_of(sketch, hash);
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
void lzi_sketch_raise(const struct lzi_sketch *sketch, uint64_t *words, uint64_t hash, unsigned most)
{
	uint64_t *block = words + BLOCK * block_of(sketch, hash), value;
	unsigned least = lzi_sketch_get(sketch, words, hash), shift;

	if (least >= most || least >= LZI_SKETCH_MOST)
		return;
	for (unsigned row = 0; row < ROWS; row++) {
		unsigned word = counter_of(hash, row, &shift);

		value = lzi_load_relaxed(&block[word]);
		if ((value >> shift & LZI_SKETCH_MOST) == least)
			lzi_store_relaxed(&block[word], value + ((uint64_t)1 << shift));
	}
}

void lzi_sketch_age(struct lzi_sketch *sketch, uint64_t *words, uint64_t additions)
{
	sketch->owed += additions * sketch->blocks;
	for (unsigned i = 0; i < AGE_BLOCKS && sketch->owed >= sketch->period; i++) {
		uint64_t *block = words + BLOCK * (sketch->hand < sketch->blocks ? sketch->hand : 0);

		for (unsigned word = 0; word < BLOCK; word++)
			lzi_store_relaxed(&block[word], lzi_load_relaxed(&block[word]) >> 1 & 0x7777777777777777ull);
		sketch->owed -= sketch->period;
		if (++sketch->hand >= sketch->blocks) {
			sketch->hand = 0;
			sketch->rounds++;
		}
	}
	if (sketch->owed >= sketch->period)
		sketch->owed = 0;
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
void lzi_sketch_move(const struct lzi_sketch *to, uint64_t *to_words, const struct lzi_sketch *from,
                     const uint64_t *from_words)
{
	for (uint64_t block = 0; block < to->blocks; block++) {
		uint64_t first = block * from->blocks / to->blocks;
		uint64_t last = ((block + 1) * from->blocks - 1) / to->blocks;

		for (uint64_t i = first; i <= last && i < from->blocks; i++) {
			for (unsigned word = 0; word < BLOCK; word++)
				to_words[BLOCK * block + word] =
					larger(to_words[BLOCK * block + word],
				               lzi_load_relaxed(&from_words[BLOCK * i + word]));
		}
	}
}
