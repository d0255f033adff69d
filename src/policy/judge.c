/*
 * Which entries stay.
 */
#include "config.h"

#include <string.h>

#include "base/atomic.h"
#include "policy/judge.h"

#define SAVED_LIMIT ((int64_t)1 << 60)

enum {
	SAVED = 64 /* what went more than was copied counts for later, up to so many entries of their mean weight */
};

struct verdict {
	uint32_t score[LZI_POLICY_BATCH];
	uint64_t kept, gone; /* weight */
};

void lzi_judge_init(struct lzi_judge *judge)
{
	memset(judge, 0, sizeof *judge);
	judge->chance = 0x6c617473;
}

void lzi_judge_mend(struct lzi_judge *judge)
{
	if (judge->ring_used > LZI_JUDGE_RING)
		judge->ring_used = LZI_JUDGE_RING;
	judge->ring_next %= LZI_JUDGE_RING;
	if (judge->saved < -SAVED_LIMIT || judge->saved > SAVED_LIMIT)
		judge->saved = 0;
	for (unsigned i = 0; i < LZI_JUDGE_RING; i++) {
		if (judge->ring[i].score > LZI_SKETCH_MOST)
			judge->ring[i].score = LZI_SKETCH_MOST;
	}
}

enum lzi_policy_list lzi_judge_next(const struct lzi_knobs *knobs, uint64_t window, uint64_t main)
{
	if (main == 0)
		return LZI_POLICY_WINDOW;
	return window > (window / 100 + main / 100) * knobs->window + (window % 100 + main % 100) * knobs->window / 100
	               ? LZI_POLICY_WINDOW
	               : LZI_POLICY_MAIN;
}

static uint32_t draw(struct lzi_judge *judge, uint32_t below)
{
	uint64_t mixed = judge->chance += 0x9e3779b97f4a7c15ull;

	mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9ull;
	return (uint32_t)((mixed >> 32) * below >> 32);
}

/* Whether a score, for its weight, is above that of an entry which went. */
static int beats(struct lzi_judge *judge, const struct lzi_knobs *knobs, uint32_t score, uint32_t weight)
{
	uint32_t used = lzi_load_relaxed(&judge->ring_used), i;

	if (used == 0)
		return score > 0;
	i = knobs->latest ? (lzi_load_relaxed(&judge->ring_next) + LZI_JUDGE_RING - 1) % LZI_JUDGE_RING
	                  : draw(judge, used < LZI_JUDGE_RING ? used : LZI_JUDGE_RING);
	return (uint64_t)score * judge->ring[i].weight > (uint64_t)judge->ring[i].score * weight;
}

/* The scores of entries gone get old as others do. */
static void age_ring(struct lzi_judge *judge, const struct lzi_sketch *sketch)
{
	if (judge->rounds == sketch->head->rounds)
		return;
	judge->rounds = sketch->head->rounds;
	for (unsigned i = 0; i < LZI_JUDGE_RING; i++)
		judge->ring[i].score -= judge->ring[i].score / 2;
}

static void remember(struct lzi_judge *judge, uint32_t score, uint32_t weight)
{
	uint32_t at = lzi_load_relaxed(&judge->ring_next) % LZI_JUDGE_RING;

	judge->ring[at].score = score;
	judge->ring[at].weight = weight;
	judge->ring_next = (at + 1) % LZI_JUDGE_RING;
	if (judge->ring_used < LZI_JUDGE_RING)
		judge->ring_used++;
}

static int is_admitted(struct lzi_judge *judge, const struct lzi_knobs *knobs, const struct lzi_candidate *candidate,
                       uint32_t score)
{
	switch (knobs->admission) {
	case LZI_JUDGE_VISITED_TOO:
		return candidate->visits > 0 || beats(judge, knobs, score, candidate->weight);
	case LZI_JUDGE_VISITED_ONLY:
		return candidate->visits > 0;
	case LZI_JUDGE_SEEN_TWICE:
		return candidate->visits > 0 || score >= 2;
	default:
		return beats(judge, knobs, score, candidate->weight);
	}
}

/* What is saved, or owed, after what goes and what is kept of n, by weight: it has its limits. */
static int64_t settle(const struct lzi_judge *judge, const struct verdict *verdict, unsigned n)
{
	int64_t most = n > 0 ? SAVED * (int64_t)((verdict->gone + verdict->kept) / n) : 0;
	int64_t saved = lzi_load_relaxed(&judge->saved);

	if (saved < -SAVED_LIMIT || saved > SAVED_LIMIT)
		saved = 0;
	saved += (int64_t)verdict->gone - (int64_t)verdict->kept;
	return saved > most ? most : saved < -most ? -most : saved;
}

/* Copies must be paid for by what goes. If there is not enough, those of the main list with the least scores for their
 * weight go too. */
static void afford(struct lzi_judge *judge, struct verdict *verdict, struct lzi_candidate *candidate, unsigned n)
{
	int64_t saved = settle(judge, verdict, n);

	while (saved < 0 && verdict->kept > 0) {
		unsigned least = n;

		for (unsigned i = 0; i < n; i++) {
			if (candidate[i].keep &&
			    (least == n || (uint64_t)verdict->score[i] * candidate[least].weight <
			                           (uint64_t)verdict->score[least] * candidate[i].weight))
				least = i;
		}
		if (least == n)
			break;
		candidate[least].keep = 0;
		verdict->kept -= candidate[least].weight;
		verdict->gone += candidate[least].weight;
		saved += 2 * (int64_t)candidate[least].weight;
	}
	judge->saved = saved;
}

static void verdict_of(struct verdict *verdict, struct lzi_candidate *candidate, int keep)
{
	candidate->keep = keep != 0;
	*(keep ? &verdict->kept : &verdict->gone) += candidate->weight;
}

static void judge_main(struct lzi_judge *judge, const struct lzi_knobs *knobs, struct verdict *verdict,
                       struct lzi_candidate *candidate, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		verdict_of(verdict, &candidate[i],
		           candidate[i].visits > 0 ||
		                   (knobs->scored && beats(judge, knobs, verdict->score[i], candidate[i].weight)));
	}
	afford(judge, verdict, candidate, n);
	for (unsigned i = 0; i < n; i++) {
		if (!candidate[i].keep)
			remember(judge, verdict->score[i], candidate[i].weight);
	}
}

void lzi_judge_entries(struct lzi_judge *judge, const struct lzi_knobs *knobs, const struct lzi_sketch *sketch,
                       enum lzi_policy_list list, struct lzi_candidate *candidate, unsigned n)
{
	struct verdict verdict = { .kept = 0, .gone = 0 };
	uint64_t additions = 0;

	if (n > LZI_POLICY_BATCH)
		n = LZI_POLICY_BATCH;
	age_ring(judge, sketch);
	for (unsigned i = 0; i < n; i++) {
		for (unsigned visit = 0; visit < candidate[i].visits && visit < LZI_POLICY_VISITS; visit++, additions++)
			lzi_sketch_raise(sketch, candidate[i].hash, LZI_SKETCH_MOST);
		verdict.score[i] = lzi_sketch_get(sketch, candidate[i].hash);
	}
	lzi_sketch_age(sketch, additions);
	if (list == LZI_POLICY_MAIN) {
		judge_main(judge, knobs, &verdict, candidate, n);
		return;
	}
	for (unsigned i = 0; i < n; i++)
		verdict_of(&verdict, &candidate[i], is_admitted(judge, knobs, &candidate[i], verdict.score[i]));
	judge->saved = settle(judge, &verdict, n);
}
