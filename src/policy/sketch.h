/*
 * How often keys were seen lately, roughly and small: a count-min sketch (Cormode, Muthukrishnan 2005) of counters of 4
 * bits, the four of a key within one line of the cache. It forgets as it goes: a hand goes round, and halves the
 * counters of a line at a time, so that no call ever has to halve them all.
 *
 * The counters are words of their own, after the head or elsewhere. They may be read and raised by any thread at any
 * time: a raise may get lost then, which a sketch survives. Ageing is for one caller at a time.
 */
#ifndef LZI_POLICY_SKETCH_H
#define LZI_POLICY_SKETCH_H

#include <stdint.h>

#define LZI_SKETCH_MOST 15u

struct lzi_sketch_head {
	uint64_t blocks; /* of 8 words. For who looks at it from outside: it is not relied on */
	uint64_t period; /* additions in which the hand goes round */
	uint64_t hand;
	uint64_t owed;   /* additions times blocks that the hand has not gone for yet */
	uint64_t rounds; /* of the hand */
	uint64_t seen;   /* additions by other threads, not yet aged for */
};

/* A sketch in use: how large it is its user knows. Private. */
struct lzi_sketch {
	struct lzi_sketch_head *head;
	uint64_t *words;
	uint64_t blocks; /* at least 1 */
};

/* Words for telling so many entries apart. */
uint64_t lzi_sketch_words(uint64_t entries);
/* The sketch for so many entries at these places. */
struct lzi_sketch lzi_sketch_of(struct lzi_sketch_head *head, uint64_t *words, uint64_t entries);
void lzi_sketch_init(const struct lzi_sketch *sketch);
/* Makes the head fit again; of the counters every value is one. */
void lzi_sketch_mend(const struct lzi_sketch *sketch);
unsigned lzi_sketch_get(const struct lzi_sketch *sketch, uint64_t hash);
/* Counts one, if fewer than `most` were. */
void lzi_sketch_raise(const struct lzi_sketch *sketch, uint64_t hash, unsigned most);
/* So many additions are past. */
void lzi_sketch_age(const struct lzi_sketch *sketch, uint64_t additions);
/* Fills a sketch of another size with what is in one. */
void lzi_sketch_move(const struct lzi_sketch *to, const struct lzi_sketch *from);

#endif
