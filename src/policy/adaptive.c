/*
 * The adaptive policy, for caches in extents: judges by the knobs of that way of keeping which would have had the most
 * hits lately. Each way has a shadow, a cache in small that sees the requests for a sample of the keys; of accesses to
 * the rest nothing is heard but the visit counters. doc/eviction.md has the reasons and the figures.
 *
 * The state: this head, a shadow for each way, the sketch's counters. It makes no difference to it how much lies in
 * `state` beyond, nor where it lies.
 */
#include "config.h"

#include <string.h>

#include "base/atomic.h"
#include "policy/shadow.h"

#define MAGIC 0x544450414e5a4c01ull

enum {
	WAYS = 10,
	NODES_MIN = 16,   /* of a shadow */
	MEMORY = 4096,    /* accesses over which the hits of a way are averaged */
	MARGIN = 128,     /* parts; a way needs one more of them in hits than the one that judges, to take over */
	LOOK = 64,        /* accesses after which the ways are compared */
	CREATED_EVERY = 16 /* creations, of which one is counted, so that threads do not meet at the counter */
};

static const struct lzi_knobs ways[WAYS] = {
	/* Popularity: the smaller the window, the more it counts, the larger, the more recency does. */
	{ 1, LZI_JUDGE_BY_SCORE, LZI_SKETCH_MOST, 0, 1 },
	{ 10, LZI_JUDGE_BY_SCORE, LZI_SKETCH_MOST, 0, 1 },
	{ 30, LZI_JUDGE_BY_SCORE, LZI_SKETCH_MOST, 0, 1 },
	{ 60, LZI_JUDGE_BY_SCORE, LZI_SKETCH_MOST, 0, 1 },
	{ 90, LZI_JUDGE_BY_SCORE, LZI_SKETCH_MOST, 0, 1 },
	/* Loops: what is kept stays, where all are asked for equally often. */
	{ 1, LZI_JUDGE_BY_SCORE, LZI_SKETCH_MOST, 1, 1 },
	{ 1, LZI_JUDGE_BY_SCORE, 1, 0, 1 },
	/* Scans: only hits in the cache, or a second coming, speak for an entry. */
	{ 10, LZI_JUDGE_SEEN_TWICE, 1, 0, 0 },
	/* Recency, with bursts of requests for what is new. */
	{ 30, LZI_JUDGE_VISITED_TOO, LZI_SKETCH_MOST, 0, 0 },
	{ 60, LZI_JUDGE_VISITED_ONLY, LZI_SKETCH_MOST, 0, 0 },
};

struct adaptive {
	uint64_t magic;
	uint64_t entries;
	uint64_t check; /* over both: what lies where goes by `entries` */
	uint64_t capacity;
	uint32_t way;          /* that judges now */
	uint32_t looked;       /* accesses since ways were compared */
	uint64_t score[WAYS];  /* shares of hits lately, of 2^32 */
	uint64_t switches;
	struct lzi_sketch sketch;
	struct lzi_judge judge;
};

_Static_assert(sizeof(struct adaptive) % 8 == 0, "shadows are behind it");

/* ---- Layout ----------------------------------------------------------------------------------------------------- */

static uint32_t nodes_for(uint64_t entries)
{
	return entries < NODES_MIN ? NODES_MIN : entries < LZI_SHADOW_MOST ? (uint32_t)entries : LZI_SHADOW_MOST;
}

static struct lzi_shadow *shadow_of(const struct adaptive *adaptive, unsigned way)
{
	return (struct lzi_shadow *)((char *)(uintptr_t)(adaptive + 1) +
	                             way * lzi_shadow_size(nodes_for(adaptive->entries)));
}

static uint64_t *words_of(const struct adaptive *adaptive)
{
	return (uint64_t *)shadow_of(adaptive, WAYS);
}

static uint64_t size(uint64_t entries)
{
	return sizeof(struct adaptive) + WAYS * lzi_shadow_size(nodes_for(entries)) +
	       lzi_sketch_words(entries) * sizeof(uint64_t);
}

static uint32_t sampling(const void *state)
{
	const struct adaptive *adaptive = state;
	uint32_t nodes = nodes_for(adaptive->entries);

	return adaptive->entries <= nodes ? UINT32_MAX : (uint32_t)(((uint64_t)nodes << 32) / adaptive->entries);
}

/* The part of the capacity that is a shadow's. */
static uint64_t shadow_capacity(const struct adaptive *adaptive)
{
	uint64_t part = (uint64_t)((unsigned __int128)adaptive->capacity * sampling(adaptive) >> 32) + 1;

	return part < adaptive->capacity ? part : adaptive->capacity;
}

static const struct lzi_knobs *knobs_of(const struct adaptive *adaptive)
{
	return &ways[lzi_load_relaxed(&adaptive->way) % WAYS];
}

static uint64_t check_of(uint64_t entries)
{
	return (MAGIC ^ entries) * 0x9fb21c651e98df25ull + 1;
}

/* Whether head and sketch say truly how large they are. */
static int is_whole(const struct adaptive *adaptive)
{
	uint64_t entries = lzi_load_relaxed(&adaptive->entries);

	return entries <= UINT32_MAX && lzi_load_relaxed(&adaptive->check) == check_of(entries) &&
	       lzi_sketch_is_sound(&adaptive->sketch, entries);
}

static int is_sound(const void *state, uint64_t bytes)
{
	const struct adaptive *adaptive = state;

	if (bytes < sizeof *adaptive || adaptive->magic != MAGIC || !is_whole(adaptive) ||
	    size(adaptive->entries) > bytes)
		return 0;
	for (unsigned way = 0; way < WAYS; way++) {
		if (!lzi_shadow_is_sound(shadow_of(adaptive, way), nodes_for(adaptive->entries)))
			return 0;
	}
	return 1;
}

/* ---- The state as a whole --------------------------------------------------------------------------------------- */

static void init(void *state, uint64_t entries, uint64_t capacity)
{
	struct adaptive *adaptive = state;

	memset(adaptive, 0, sizeof *adaptive);
	adaptive->entries = entries;
	adaptive->check = check_of(entries);
	adaptive->capacity = capacity;
	lzi_sketch_init(&adaptive->sketch, words_of(adaptive), entries);
	lzi_judge_init(&adaptive->judge);
	for (unsigned way = 0; way < WAYS; way++)
		lzi_shadow_init(shadow_of(adaptive, way), nodes_for(entries), shadow_capacity(adaptive));
	adaptive->magic = MAGIC;
}

static void resize(void *state, uint64_t capacity)
{
	struct adaptive *adaptive = state;

	adaptive->capacity = capacity;
	for (unsigned way = 0; way < WAYS; way++)
		shadow_of(adaptive, way)->capacity = shadow_capacity(adaptive);
}

static void move(void *to_state, const void *from_state)
{
	struct adaptive *to = to_state;
	const struct adaptive *from = from_state;

	if (!is_sound(from, UINT64_MAX))
		return;
	to->way = from->way;
	memcpy(to->score, from->score, sizeof to->score);
	to->judge = from->judge;
	lzi_sketch_move(&to->sketch, words_of(to), &from->sketch, words_of(from));
	to->judge.rounds = to->sketch.rounds;
	for (unsigned way = 0; way < WAYS; way++)
		lzi_shadow_move(shadow_of(to, way), shadow_of(from, way), sampling(to));
}

static int mend(void *state, uint64_t bytes)
{
	struct adaptive *adaptive = state;

	if (bytes < sizeof *adaptive || adaptive->magic != MAGIC || adaptive->entries > UINT32_MAX ||
	    adaptive->check != check_of(adaptive->entries) || size(adaptive->entries) > bytes)
		return -1;
	adaptive->way %= WAYS;
	for (unsigned way = 0; way < WAYS; way++) {
		if (adaptive->score[way] > UINT32_MAX)
			adaptive->score[way] = 0;
		lzi_shadow_mend(shadow_of(adaptive, way), nodes_for(adaptive->entries), shadow_capacity(adaptive));
	}
	lzi_judge_mend(&adaptive->judge);
	lzi_sketch_mend(&adaptive->sketch, adaptive->entries);
	return 0;
}

/* ---- Which way -------------------------------------------------------------------------------------------------- */

static void compare_ways(struct adaptive *adaptive)
{
	unsigned judging = adaptive->way % WAYS, best = judging;
	uint64_t bar = adaptive->score[judging] + adaptive->score[judging] / MARGIN;

	for (unsigned way = 0; way < WAYS; way++) {
		if (adaptive->score[way] > bar) {
			best = way;
			bar = adaptive->score[way];
		}
	}
	if (best != judging) {
		lzi_store_relaxed(&adaptive->way, best);
		adaptive->switches++;
	}
}

static void hear_access(void *state, uint64_t hash, uint32_t weight, int created)
{
	struct adaptive *adaptive = state;
	uint64_t span = MEMORY;

	(void)created;
	for (unsigned way = 0; way < WAYS; way++) {
		uint64_t hit = (uint64_t)lzi_shadow_access(shadow_of(adaptive, way), &ways[way], hash, weight);

		adaptive->score[way] += ((hit * UINT32_MAX) / span) - adaptive->score[way] / span;
	}
	if (++adaptive->looked >= LOOK) {
		adaptive->looked = 0;
		compare_ways(adaptive);
	}
}

/* ---- Judging ---------------------------------------------------------------------------------------------------- */

static void created(void *state, uint64_t hash)
{
	struct adaptive *adaptive = state;
	unsigned most = knobs_of(adaptive)->counted;

	if (!is_whole(adaptive)) /* nobody has looked, as for the others */
		return;
	if (most > 0)
		lzi_sketch_raise(&adaptive->sketch, words_of(adaptive), hash, most);
	if ((hash >> 20) % CREATED_EVERY == 0)
		lzi_fetch_add_relaxed(&adaptive->sketch.seen, CREATED_EVERY);
}

static enum lzi_policy_list next(const void *state, uint64_t window, uint64_t main)
{
	return lzi_judge_next(knobs_of(state), window, main);
}

static void judge(void *state, enum lzi_policy_list list, struct lzi_candidate *candidate, unsigned n)
{
	struct adaptive *adaptive = state;
	uint64_t seen = lzi_exchange(&adaptive->sketch.seen, 0);

	lzi_sketch_age(&adaptive->sketch, words_of(adaptive), seen & UINT32_MAX);
	lzi_judge_entries(&adaptive->judge, knobs_of(adaptive), &adaptive->sketch, words_of(adaptive), list, candidate,
	                  n);
}

const struct lzi_policy lzi_policy_adaptive = {
	.name = "adaptive",
	.id = LATZ_POLICY_ADAPTIVE,
	.kind = LZI_POLICY_BY_AGE,
	.size = size,
	.init = init,
	.resize = resize,
	.move = move,
	.mend = mend,
	.is_sound = is_sound,
	.access = hear_access,
	.created = created,
	.next = next,
	.judge = judge,
	.sampling = sampling,
};
