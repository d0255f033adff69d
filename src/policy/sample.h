/*
 * What was asked for: a log of the references to a sample of the keys, chosen by their hash, from which advice on a
 * pool's size is made (advise.h); and, for hot keys, some of all hits, chosen by chance.
 *
 * All of it is one block of memory without pointers, in the pool's file `policy`. A reference is a hit, or the creation
 * of a key: of a cache that is filled as it is missed in, that is all lookups. Any thread adds, with one atomic
 * addition and one store; the rest is for one caller at a time. It may have been scribbled over: then the advice is
 * bad.
 *
 * The log begins with all keys. When it is full, half of the keys leave the sample, and what the log had of them; so it
 * still has all of the others' past. Only when too few keys would be left, its oldest quarter goes
 * instead.
 */
#ifndef LZI_POLICY_SAMPLE_H
#define LZI_POLICY_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/atomic.h"

#define LZI_SAMPLE_PLACES_MIN 4096u
#define LZI_SAMPLE_PLACES_MAX 131072u
#define LZI_SAMPLE_HOT 2048u

/* Most of a weight that a reference tells. */
#define LZI_SAMPLE_WEIGHT_MAX ((1u << 23) - 1)

/* References since some moment, and their weight; and those of them that created their key. */
struct lzi_sample_sum {
	uint64_t references, weight;
	uint64_t created, created_weight;
};

#define LZI_SAMPLE_MARKS 8u

struct lzi_sample {
	uint64_t magic;
	uint64_t places;            /* of the log */
	uint32_t threshold;         /* keys below it are in the sample, of 2^32 */
	uint32_t mending;           /* 1: half changed */
	uint64_t cuts;              /* how often an oldest quarter went */
	struct lzi_sample_sum base; /* 32: of all keys, before the first that is in the log */
	int64_t began_ms;           /* 64: CLOCK_MONOTONIC */
	uint64_t pad0[23];
	uint64_t head; /* 256: references ever added since the log was last made smaller; anyone, atomic add */
	uint64_t pad1[15];
	struct lzi_sample_mark {
		uint64_t place;
		struct lzi_sample_sum sum;
	} mark[LZI_SAMPLE_MARKS]; /* 384: of all keys, before what is at a place; oldest first, place 0: none */
	uint64_t pad2[424];
	uint64_t hot[LZI_SAMPLE_HOT]; /* 4096: hashes; anyone, plain stores */
	uint64_t log[];               /* see lzi_sample_word() */
};
_Static_assert(offsetof(struct lzi_sample, head) == 256, "a line of its own");
_Static_assert(offsetof(struct lzi_sample, mark) == 384, "layout");
_Static_assert(offsetof(struct lzi_sample, hot) == 4096, "layout");

/* Bytes that a sample may take. */
#define LZI_SAMPLE_BYTES (sizeof(struct lzi_sample) + LZI_SAMPLE_PLACES_MAX * sizeof(uint64_t))

/* Keys are told apart by 40 bits of their hash, and chosen by a number made from them. */
static inline uint64_t lzi_sample_id(uint64_t hash)
{
	return hash & ((1ull << 40) - 1);
}

static inline int lzi_sample_has(uint64_t id, uint32_t threshold)
{
	return (id << 24) * 0xbf58476d1ce4e5b9ull >> 32 < threshold; /* by the highest of the 40 bits of a product */
}

/* A reference: id << 24 | created << 23 | weight; 0 is none. */
static inline uint64_t lzi_sample_word(uint64_t id, uint64_t weight, int created)
{
	weight = weight == 0 ? 1 : weight < LZI_SAMPLE_WEIGHT_MAX ? weight : LZI_SAMPLE_WEIGHT_MAX;
	return id << 24 | (uint64_t)(created != 0) << 23 | weight;
}

/* Adds one to a log of so many places. 1: it is full. */
static inline int lzi_sample_add(struct lzi_sample *sample, uint64_t places, uint64_t word)
{
	uint64_t place = lzi_fetch_add_relaxed(&sample->head, 1ull);

	if (lzi_likely(place < places)) {
		lzi_store_relaxed(&sample->log[place], word);
		return 0;
	}
	return 1;
}

/* Makes an empty one of so many places, all of whose memory is there. now: of all keys, until now. */
void lzi_sample_init(struct lzi_sample *sample, uint64_t places, const struct lzi_sample_sum *now, int64_t now_ms);
/* What all keys were asked for while the sample was taken. */
struct lzi_sample_sum lzi_sample_since(const struct lzi_sample *sample, const struct lzi_sample_sum *now);
/* Whether it is one, whole, of at most so many places. */
int lzi_sample_is_whole(const struct lzi_sample *sample, uint64_t places_most);
/* If it is full: makes room. keys: that the pool has, which tells how many are in the sample. */
void lzi_sample_make_room(struct lzi_sample *sample, uint64_t keys, const struct lzi_sample_sum *now);
/* Of how many places a log is, at most so many of which there can be. */
uint64_t lzi_sample_places(const struct lzi_sample *sample);
/* Copies the log, of so many places, to `to`, oldest first. The number of words, all of keys in the sample. */
uint64_t lzi_sample_copy(const struct lzi_sample *sample, uint64_t places, uint64_t *to);

#endif
