/*
 * The log of sampled references.
 */
#include "config.h"

#include <string.h>

#include "policy/sample.h"

#define MAGIC 0x454c504d41534c01ull

/* Keys that should be left in the sample. With 1024 of them the miss ratio is told to a point or so. */
#define KEYS_MIN 1024u
/* The share of all keys, of 2^32, down to which fewer may be left: told of every access to a small pool, or its tenth,
 * would cost more than the advice is worth. */
#define SHARE_MIN (UINT32_MAX / 16)

void lzi_sample_init(struct lzi_sample *sample, uint64_t places, const struct lzi_sample_sum *now, int64_t now_ms)
{
	lzi_store_release(&sample->mending, 1u);
	memset(sample->log, 0, places * sizeof sample->log[0]);
	memset(sample->hot, 0, sizeof sample->hot);
	memset(sample->mark, 0, sizeof sample->mark);
	sample->places = places;
	sample->threshold = UINT32_MAX;
	sample->cuts = 0;
	sample->base = *now;
	sample->began_ms = now_ms;
	sample->magic = MAGIC;
	lzi_store_release(&sample->head, 0ull);
	lzi_store_release(&sample->mending, 0u);
}

int lzi_sample_is_whole(const struct lzi_sample *sample, uint64_t places_most)
{
	return lzi_load_relaxed(&sample->magic) == MAGIC && lzi_load_acquire(&sample->mending) == 0 &&
	       sample->places >= LZI_SAMPLE_PLACES_MIN && sample->places <= places_most;
}

/* ---- Marks ------------------------------------------------------------------------------------------------------- */

static uint64_t between(uint64_t a, uint64_t b, uint64_t part, uint64_t of)
{
	return b <= a || of == 0 ? a : a + (uint64_t)((double)(b - a) * (double)part / (double)of);
}

static struct lzi_sample_sum sum_between(const struct lzi_sample_sum *a, const struct lzi_sample_sum *b, uint64_t part,
                                         uint64_t of)
{
	return (struct lzi_sample_sum){ between(a->references, b->references, part, of),
		                        between(a->weight, b->weight, part, of),
		                        between(a->created, b->created, part, of),
		                        between(a->created_weight, b->created_weight, part, of) };
}

struct lzi_sample_sum lzi_sample_since(const struct lzi_sample *sample, const struct lzi_sample_sum *now)
{
	const struct lzi_sample_sum *base = &sample->base;

	return (struct lzi_sample_sum){ now->references - base->references, now->weight - base->weight,
		                        now->created - base->created, now->created_weight - base->created_weight };
}

static void add_mark(struct lzi_sample *sample, uint64_t place, const struct lzi_sample_sum *now)
{
	unsigned n = 0;

	while (n < LZI_SAMPLE_MARKS && sample->mark[n].place != 0)
		n++;
	if (n == LZI_SAMPLE_MARKS) {
		n--;
		memmove(&sample->mark[0], &sample->mark[1], n * sizeof sample->mark[0]);
	}
	sample->mark[n].place = place;
	sample->mark[n].sum = *now;
}

/* What is at the beginning goes: what was asked for before is the marks' to tell. */
static void cut_marks(struct lzi_sample *sample, uint64_t place)
{
	struct lzi_sample_mark *mark = sample->mark;
	uint64_t before = 0;
	unsigned i, n = 0;

	for (i = 0; i < LZI_SAMPLE_MARKS && mark[i].place != 0 && mark[i].place <= place; i++) {
		before = mark[i].place;
		sample->base = mark[i].sum;
	}
	if (i < LZI_SAMPLE_MARKS && mark[i].place > before)
		sample->base = sum_between(&sample->base, &mark[i].sum, place - before, mark[i].place - before);
	for (; i < LZI_SAMPLE_MARKS && mark[i].place > place; i++) {
		mark[n] = mark[i];
		mark[n++].place -= place;
	}
	memset(&mark[n], 0, (LZI_SAMPLE_MARKS - n) * sizeof mark[0]);
}

/* ---- Room -------------------------------------------------------------------------------------------------------- */

/* Moves together the words whose keys are in the sample, and the marks with them. How many. */
static uint64_t squeeze(struct lzi_sample *sample, uint64_t places)
{
	uint64_t i, n = 0;
	unsigned at = 0;

	for (i = 0; i < places; i++) {
		uint64_t word = lzi_load_relaxed(&sample->log[i]);

		while (at < LZI_SAMPLE_MARKS && sample->mark[at].place != 0 && sample->mark[at].place <= i)
			sample->mark[at++].place = n > 0 ? n : 1;
		if (word != 0 && lzi_sample_has(word >> 24, sample->threshold))
			lzi_store_relaxed(&sample->log[n++], word);
	}
	while (at < LZI_SAMPLE_MARKS && sample->mark[at].place != 0)
		sample->mark[at++].place = n > 0 ? n : 1;
	return n;
}

void lzi_sample_make_room(struct lzi_sample *sample, uint64_t keys, const struct lzi_sample_sum *now)
{
	uint64_t places = lzi_sample_places(sample), n, cut;
	uint32_t half = sample->threshold / 2;

	if (lzi_load_acquire(&sample->head) < places)
		return;
	lzi_store_relaxed(&sample->mending, 1u);
	lzi_compiler_barrier();
	add_mark(sample, places, now);
	n = places;
	if (half > 0 && (half >= SHARE_MIN || (keys * half) >> 32 >= KEYS_MIN)) {
		sample->threshold = half;
		n = squeeze(sample, places);
	}
	/* Or nearly all was asked of few keys. */
	if (n > places / 8 * 7) {
		cut = n / 4;
		cut_marks(sample, cut);
		sample->cuts++;
		n -= cut;
		memmove(sample->log, sample->log + cut, n * sizeof sample->log[0]);
	}
	memset(sample->log + n, 0, (places - n) * sizeof sample->log[0]);
	lzi_store_release(&sample->head, n);
	lzi_store_release(&sample->mending, 0u);
}

uint64_t lzi_sample_places(const struct lzi_sample *sample)
{
	uint64_t places = lzi_load_relaxed(&sample->places);

	return places < LZI_SAMPLE_PLACES_MAX ? places : LZI_SAMPLE_PLACES_MAX;
}

uint64_t lzi_sample_copy(const struct lzi_sample *sample, uint64_t places, uint64_t *to)
{
	uint64_t head = lzi_load_acquire(&sample->head), i, n = 0;

	for (i = 0; i < head && i < places; i++) {
		uint64_t word = lzi_load_relaxed(&sample->log[i]);

		if (word != 0 && lzi_sample_has(word >> 24, sample->threshold))
			to[n++] = word;
	}
	return n;
}
