/*
 * A cache in small that nobody asks for values: what hit rate one setting of the knobs would have, told on a sample of
 * the keys. It keeps entries as a pool does, in a window and a main list that are emptied from the oldest.
 *
 * All of it is one block of memory without pointers, which may be damaged: indexes are bounded before use.
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

struct lzi_shadow {
	uint32_t nodes; /* entries it has room for, at most LZI_SHADOW_MOST */
	uint16_t free;  /* the first of the nodes that are not in a list */
	uint16_t pad;
	uint64_t capacity; /* units of weight */
	struct lzi_shadow_list list[2];
	struct lzi_sketch sketch;
	struct lzi_judge judge;
};

uint64_t lzi_shadow_size(uint32_t nodes);
void lzi_shadow_init(struct lzi_shadow *shadow, uint32_t nodes, uint64_t capacity);
/* Whether it says truly how large it is. */
int lzi_shadow_is_sound(const struct lzi_shadow *shadow, uint32_t nodes);
/* Lists and index of at most `nodes` entries consistent again. */
void lzi_shadow_mend(struct lzi_shadow *shadow, uint32_t nodes, uint64_t capacity);
/* 1: it had the entry. 0: not, now it does. */
int lzi_shadow_access(struct lzi_shadow *shadow, const struct lzi_knobs *knobs, uint64_t hash, uint32_t weight);
/* Fills an empty one with what another has of the keys in a sample. */
void lzi_shadow_move(struct lzi_shadow *to, const struct lzi_shadow *from, uint32_t sampling);

#endif
