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
	struct lzi_sketch_head sketch;
	struct lzi_judge judge;
};

_Static_assert(sizeof(struct adaptive) % 8 == 0, "shadows are behind it");

/* ---- Layout ----------------------------------------------------------------------------------------------------- */

static uint32_t nodes_for(uint64_t entries)
{
	return entries < NODES_MIN ? NODES_MIN : entries < LZI_SHADOW_MOST ? (uint32_t)entries : LZI_SHADOW_MOST;
}

/* A state in use: what it is relied on to be. Private. */
struct view {
	struct adaptive *at;
	uint64_t entries;
};

static uint64_t size(uint64_t entries)
{
	return sizeof(struct adaptive) + WAYS * lzi_shadow_size(nodes_for(entries)) +
	       lzi_sketch_words(entries) * sizeof(uint64_t);
}

static uint64_t check_of(uint64_t entries)
{
	return (MAGIC ^ entries) * 0x9fb21c651e98df25ull + 1;
}

/* The state in a block, if it says truly how large it is: read once, for anybody may write there meanwhile. */
static int open_state(struct lzi_policy_block block, struct view *view)
{
	view->at = block.at;
	if (block.size < sizeof *view->at || lzi_load_relaxed(&view->at->magic) != MAGIC)
		return 0;
	view->entries = lzi_load_relaxed(&view->at->entries);
	return view->entries <= UINT32_MAX && lzi_load_relaxed(&view->at->check) == check_of(view->entries) &&
	       size(view->entries) <= block.size;
}

static uint32_t sampling_for(uint64_t entries)
{
	uint32_t nodes = nodes_for(entries);

	return entries <= nodes ? UINT32_MAX : (uint32_t)(((uint64_t)nodes << 32) / entries);
}

/* The part of the capacity that is a shadow's. */
static uint64_t shadow_capacity(const struct view *view)
{
	uint64_t capacity = lzi_load_relaxed(&view->at->capacity);
	uint64_t part = (uint64_t)((unsigned __int128)capacity * sampling_for(view->entries) >> 32) + 1;

	return part < capacity ? part : capacity;
}

static void *behind_shadows(const struct view *view, unsigned count)
{
	return (char *)(view->at + 1) + count * lzi_shadow_size(nodes_for(view->entries));
}

static struct lzi_shadow shadow_of(const struct view *view, unsigned way)
{
	return (struct lzi_shadow){ behind_shadows(view, way), nodes_for(view->entries), shadow_capacity(view) };
}

static struct lzi_sketch sketch_of(const struct view *view)
{
	return lzi_sketch_of(&view->at->sketch, behind_shadows(view, WAYS), view->entries);
}

static const struct lzi_knobs *knobs_of(const struct adaptive *adaptive)
{
	return &ways[lzi_load_relaxed(&adaptive->way) % WAYS];
}

static int is_sound(struct lzi_policy_block state)
{
	struct view view;

	return open_state(state, &view);
}

static uint32_t sampling(struct lzi_policy_block state)
{
	struct view view;

	return open_state(state, &view) ? sampling_for(view.entries) : 0;
}

/* ---- The state as a whole --------------------------------------------------------------------------------------- */

static void init(struct lzi_policy_block state, uint64_t entries, uint64_t capacity)
{
	struct view view = { state.at, entries };
	struct adaptive *adaptive = view.at;
	struct lzi_sketch sketch = sketch_of(&view);

	memset(adaptive, 0, sizeof *adaptive);
	adaptive->entries = entries;
	adaptive->check = check_of(entries);
	adaptive->capacity = capacity;
	lzi_sketch_init(&sketch);
	lzi_judge_init(&adaptive->judge);
	for (unsigned way = 0; way < WAYS; way++) {
		struct lzi_shadow shadow = shadow_of(&view, way);

		lzi_shadow_init(&shadow);
	}
	adaptive->magic = MAGIC;
}

/* Shadows are told each time they are used. */
static void resize(struct lzi_policy_block state, uint64_t capacity)
{
	struct view view;

	if (open_state(state, &view))
		lzi_store_relaxed(&view.at->capacity, capacity);
}

static void move(struct lzi_policy_block to_state, struct lzi_policy_block from_state)
{
	struct view to, from;
	struct lzi_sketch to_sketch, from_sketch;

	if (!open_state(to_state, &to) || !open_state(from_state, &from))
		return;
	to_sketch = sketch_of(&to);
	from_sketch = sketch_of(&from);
	to.at->way = from.at->way;
	memcpy(to.at->score, from.at->score, sizeof to.at->score);
	to.at->judge = from.at->judge;
	lzi_sketch_move(&to_sketch, &from_sketch);
	to.at->judge.rounds = to_sketch.head->rounds;
	for (unsigned way = 0; way < WAYS; way++) {
		struct lzi_shadow to_shadow = shadow_of(&to, way), from_shadow = shadow_of(&from, way);

		lzi_shadow_move(&to_shadow, &from_shadow, sampling_for(to.entries));
	}
}

static int mend(struct lzi_policy_block state)
{
	struct lzi_sketch sketch;
	struct view view;

	if (!open_state(state, &view))
		return -1;
	view.at->way %= WAYS;
	for (unsigned way = 0; way < WAYS; way++) {
		struct lzi_shadow shadow = shadow_of(&view, way);

		if (view.at->score[way] > UINT32_MAX)
			view.at->score[way] = 0;
		lzi_shadow_mend(&shadow);
	}
	lzi_judge_mend(&view.at->judge);
	sketch = sketch_of(&view);
	lzi_sketch_mend(&sketch);
	return 0;
}

/* ---- Which way -------------------------------------------------------------------------------------------------- */

static void compare_ways(struct adaptive *adaptive)
{
	unsigned judging = lzi_load_relaxed(&adaptive->way) % WAYS, best = judging;
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

static void hear_access(struct lzi_policy_block state, uint64_t hash, uint32_t weight, int created)
{
	uint64_t span = MEMORY;
	struct view view;

	(void)created;
	if (!open_state(state, &view))
		return;
	for (unsigned way = 0; way < WAYS; way++) {
		struct lzi_shadow shadow = shadow_of(&view, way);
		uint64_t hit = (uint64_t)lzi_shadow_access(&shadow, &ways[way], hash, weight), score;

		score = view.at->score[way] <= UINT32_MAX ? view.at->score[way] : 0;
		view.at->score[way] = score + (hit * UINT32_MAX) / span - score / span;
	}
	if (++view.at->looked >= LOOK) {
		view.at->looked = 0;
		compare_ways(view.at);
	}
}

/* ---- Judging ---------------------------------------------------------------------------------------------------- */

static void created(struct lzi_policy_block state, uint64_t hash)
{
	struct lzi_sketch sketch;
	struct view view;
	unsigned most;

	if (!open_state(state, &view))
		return;
	sketch = sketch_of(&view);
	most = knobs_of(view.at)->counted;
	if (most > 0)
		lzi_sketch_raise(&sketch, hash, most);
	if ((hash >> 20) % CREATED_EVERY == 0)
		lzi_fetch_add_relaxed(&sketch.head->seen, CREATED_EVERY);
}

static enum lzi_policy_list next(struct lzi_policy_block state, uint64_t window, uint64_t main)
{
	struct view view;

	return lzi_judge_next(open_state(state, &view) ? knobs_of(view.at) : &ways[0], window, main);
}

static void judge(struct lzi_policy_block state, enum lzi_policy_list list, struct lzi_candidate *candidate,
                  unsigned n)
{
	struct lzi_sketch sketch;
	struct view view;

	if (!open_state(state, &view)) /* the oldest go */
		return;
	sketch = sketch_of(&view);
	lzi_sketch_age(&sketch, lzi_exchange(&sketch.head->seen, 0) & UINT32_MAX);
	lzi_judge_entries(&view.at->judge, knobs_of(view.at), &sketch, list, candidate, n);
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
