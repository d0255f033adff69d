/*
 * Which of the oldest entries of a cache stay: a window of fresh ones and a main list, both first in, first out. What
 * leaves the window goes to the main list if it has been asked for more often, by its visit counter and a sketch, than
 * entries that lately left the main one. There, what has been visited stays. How exactly is up to the knobs.
 */
#ifndef LZI_POLICY_JUDGE_H
#define LZI_POLICY_JUDGE_H

#include "policy/policy.h"
#include "policy/sketch.h"

/* Most scores of entries gone that are remembered. */
#define LZI_JUDGE_RING 64u

enum lzi_judge_admission {
	LZI_JUDGE_BY_SCORE,     /* into the main list: those that beat what went from there */
	LZI_JUDGE_VISITED_TOO,  /* or that have been visited in the window */
	LZI_JUDGE_VISITED_ONLY, /* only these */
	LZI_JUDGE_SEEN_TWICE    /* visited, or known from before */
};

struct lzi_knobs {
	uint8_t window;    /* hundredths of the cache */
	uint8_t admission; /* enum lzi_judge_admission */
	uint8_t counted;   /* up to this score, creations are counted */
	uint8_t latest;    /* scores are compared with the latest that went, not with one by chance */
	uint8_t scored;    /* on the main list a score may save what has not been visited */
};

struct lzi_judge {
	struct {
		uint32_t score, weight;
	} ring[LZI_JUDGE_RING]; /* of entries that went from the main list */
	uint32_t ring_used, ring_next;
	uint64_t chance; /* pseudo-random */
	uint64_t rounds; /* of the sketch, to which the ring has been aged */
	int64_t saved;   /* weight that went and has not been used for copies yet */
};

void lzi_judge_init(struct lzi_judge *judge);
/* Within bounds again. */
void lzi_judge_mend(struct lzi_judge *judge);
/* The list that is to be emptied next. */
enum lzi_policy_list lzi_judge_next(const struct lzi_knobs *knobs, uint64_t window, uint64_t main);
/* Says of each candidate whether it stays, and counts its visits in the sketch. */
void lzi_judge_entries(struct lzi_judge *judge, const struct lzi_knobs *knobs, const struct lzi_sketch *sketch,
                       enum lzi_policy_list list, struct lzi_candidate *candidate, unsigned n);

#endif
