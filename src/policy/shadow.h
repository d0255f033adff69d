/*
 * A cache in small that nobody asks for values: what hit rate one setting of the knobs would have, told on a sample of
 * the keys. It keeps entries as a pool does, in a window and a main list that are emptied from the oldest.
 *
 * All of it is one block of memory without pointers, which may be damaged at any moment: what stands in it is read once
 * and bounded before use, and if it can't be made sense of it is mended.
 */
#ifndef LZI_POLICY_SHADOW_H
#define LZI_POLICY_SHADOW_H

#include "policy/judge.h"

/* Most entries of one. */
#define LZI_SHADOW_MOST 512u

struct lzi_shadow_list {
	uint16_t oldest, youngest; /* 0: none */
	uint16_t entries, pad;
	uint64_t weight;
};

struct lzi_shadow_head {
	uint32_t nodes; /* entries it has room for. For who looks at it from outside, as capacity: not relied on */
	uint16_t free;  /* the first of the nodes that are not in a list */
	uint16_t pad;
	uint64_t capacity; /* units of weight */
	struct lzi_shadow_list list[2];
	struct lzi_sketch_head sketch;
	struct lzi_judge judge;
};

/* A shadow in use: how large it is its user knows. Private. */
struct lzi_shadow {
	struct lzi_shadow_head *head;
	uint32_t nodes;    /* at most LZI_SHADOW_MOST */
	uint64_t capacity; /* units of weight */
};

uint64_t lzi_shadow_size(uint32_t nodes);
void lzi_shadow_init(const struct lzi_shadow *shadow);
/* Lists and index consistent again. */
void lzi_shadow_mend(const struct lzi_shadow *shadow);
/* 1: it had the entry. 0: not, now it does. */
int lzi_shadow_access(const struct lzi_shadow *shadow, const struct lzi_knobs *knobs, uint64_t hash, uint32_t weight);
/* Fills an empty one with what another has of the keys in a sample. */
void lzi_shadow_move(const struct lzi_shadow *to, const struct lzi_shadow *from, uint32_t sampling);

#endif
