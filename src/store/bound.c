/*
 * Bounds of a pool: what its files may take in all, how many keys it may have; and what is done ahead of need and in
 * need to stay within them. Everything under `maint`, but for the checks that writers make.
 *
 * The heap is what gives way: its limit is max_bytes less what all other files take, and extending it past that is
 * LATZ_FULL. A writer that meets it evicts (or, with LATZ_POLICY_NONE, cleans) until there is an extent for it. So that
 * it seldom has to, the janitor and, in small steps, the writers themselves keep a few extents free.
 */
#include "config.h"

#include <latzero/latzero.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/point.h"
#include "policy/policy.h"
#include "store/counter.h"
#include "store/feed.h"
#include "store/log.h"

/* The least a bounded pool may have: its own files, and heap for a few extents. */
#define BYTES_MIN (4ull << 20)
/* The least heap that bounds set later must leave: what is held back, and an extent for some who write at once. */
#define HEAP_MIN (6 * LZI_EXTENT)
/* No file of a pool is so large. */
#define BYTES_MOST (1ull << 46)
/* Kept for what grows while nobody looks: table, directory, index. */
#define MARGIN (256u << 10)
/* Dead data from which it is cleaned rather than live data evicted; and down to what. */
#define DEAD_PERCENT 12u
#define CLEAN_PERCENT 6u
#define CLEAN_NS 300000u
/* Extents kept free, while there are enough of them for it. */
#define RESERVE_MAX 16u
#define RESERVE_SHIFT 5
/* Writes of a thread between two looks, few, so that the steps they make are small; and looks between two at
 * everything. */
#define PACE 4u
#define LOOK 256u
/* Steps of a writer that can't go on without. */
#define STEPS_MAX 100000u
#define TIDY_STEPS 8u
/* Steps that came to nothing before a write is refused. */
#define IDLE_MAX 40u
/* Free extents whose blocks are not given back to make room for others. */
#define KEEP_FREE 2u
/* Times that a writer waits for readers in the way of giving back, before others' entries go instead: a reader that has
 * no processor comes back within milliseconds, one that was stopped does not. */
#define HELD_MAX 12u
/* Of max_bytes alive, below which a pool without eviction should not be full. */
#define LOOSE_PERCENT 82u
/* Index: not kept up when the pool is so full, in eighths, or when something was evicted less than so long ago. */
#define INDEX_EIGHTHS 4u
#define INDEX_EIGHTHS_NONE 7u
#define INDEX_AFTER_MS 10000

/* ---- What there is ---- */

/* The index changes under `maint` only, but for what is asked of the directory: so that is looked at when there is
 * time. */
static void refresh_all(struct lzi_store *store)
{
	lzi_store_relaxed(&store->control.shared->bound.index_bytes, lzi_dir_blocks(store->poolfd, "index"));
	lzi_bound_refresh(store);
}

/* A count of bytes that others may have scribbled over: nothing is as large as that. */
static uint64_t plausible(const uint64_t *word)
{
	uint64_t bytes = lzi_load_relaxed(word);

	return bytes < BYTES_MOST ? bytes : 0;
}

void lzi_bound_refresh(struct lzi_store *store)
{
	struct lzi_shared *shared = store->control.shared;
	struct lzi_bound *bound = &shared->bound;
	uint64_t other, limit, max = lzi_load_relaxed(&bound->max_bytes);

	if (max == 0) {
		lzi_store_relaxed(&bound->heap_limit, 0ull);
		lzi_store_relaxed(&bound->tight, (uint16_t)0);
		return;
	}
	other = lzi_file_blocks(store->table.fd) + lzi_file_blocks(store->heap.dir_fd) +
	        lzi_file_blocks(store->control.fd) + plausible(&bound->index_bytes) + lzi_hear_blocks(store) +
	        lzi_counters_blocks(store) + lzi_feed_blocks(store) + plausible(&bound->wanted);
	lzi_store_relaxed(&bound->other_bytes, other);
	limit = max > other + MARGIN ? max - other - MARGIN : 0;
	limit = limit < LZI_EXTENT ? LZI_EXTENT : limit;
	lzi_store_relaxed(&bound->heap_limit, limit);
	lzi_store_relaxed(&bound->tight,
	                  (uint16_t)(lzi_file_blocks(store->heap.fd) + limit / 16 + 2 * LZI_EXTENT > limit));
}

/* Extents the heap could have. */
static uint64_t extents_max(const struct lzi_store *store)
{
	uint64_t limit = lzi_load_relaxed(&store->control.shared->bound.heap_limit);

	return limit == 0 ? UINT64_MAX : limit / LZI_EXTENT;
}

/* Extents that should be free, or could be had. */
static uint64_t reserve(const struct lzi_store *store)
{
	uint64_t n = extents_max(store) >> RESERVE_SHIFT;

	return n < 2 ? 2 : n > RESERVE_MAX ? RESERVE_MAX : n;
}

/* Bytes that the heap may still grow by. */
static uint64_t headroom(const struct lzi_store *store)
{
	uint64_t limit = lzi_load_relaxed(&store->control.shared->bound.heap_limit), blocks;

	if (limit == 0)
		return UINT64_MAX;
	blocks = lzi_file_blocks(store->heap.fd);
	return blocks < limit ? limit - blocks : 0;
}

/* Whether as many extents as `extents` are free, or can be made, beside the spare. */
static int has_extents(const struct lzi_store *store, uint64_t extents)
{
	uint64_t have = lzi_load_relaxed(&store->control.shared->extents_free);

	return have > extents || have + headroom(store) / LZI_EXTENT > extents;
}

static int has_room(const struct lzi_store *store, uint64_t span)
{
	return span > LZI_RECORD_SHARED_MAX ? headroom(store) >= span + LZI_PAGE : has_extents(store, 1);
}

static uint64_t empty_extents(const struct lzi_store *store)
{
	const struct lzi_shared *shared = store->control.shared;

	return lzi_load_relaxed(&shared->extents_free) + lzi_load_relaxed(&shared->extents_hole);
}

int lzi_bound_index_wanted(const struct lzi_store *store)
{
	const struct lzi_bound *bound = &store->control.shared->bound;
	int64_t evicted = lzi_load_relaxed(&bound->evicted_ms), now;
	uint64_t max = lzi_load_relaxed(&bound->max_bytes), part;

	if (!lzi_is_bounded(store))
		return 1;
	now = lzi_clock_mono_ms();
	if (evicted > 0 && evicted <= now && now - evicted < INDEX_AFTER_MS)
		return 0;
	if (max == 0)
		return 1;
	part = lzi_load_relaxed(&bound->policy) == LATZ_POLICY_NONE ? INDEX_EIGHTHS_NONE : INDEX_EIGHTHS;
	if (lzi_load_relaxed(&bound->asleep)) /* it would take some of what it left */
		part /= 2;
	return lzi_file_blocks(store->heap.fd) + lzi_load_relaxed(&bound->other_bytes) < max / 8 * part;
}

/* The index gives its space to what it would find. Until it is wanted again scans look at all records. */
static void put_index_to_sleep(struct lzi_store *store)
{
	struct lzi_shared *shared = store->control.shared;

	if (lzi_load_relaxed(&shared->bound.asleep) || lzi_bound_index_wanted(store))
		return;
	lzi_store_release(&shared->index_rebuild, 1u);
	LZI_POINT("bound.index_asleep");
	if (lzi_index_lock(&store->index) != LATZ_OK)
		return;
	if (lzi_index_clear(&store->index) == LATZ_OK && lzi_index_pack(&store->index) == LATZ_OK &&
	    lzi_index_trim(&store->index) == LATZ_OK)
		lzi_store_relaxed(&shared->bound.asleep, (uint16_t)1);
	lzi_index_unlock(&store->index);
}

/* ---- Steps ---- */

/* After the bounds were lowered, or other files grew: back below them. */
static int is_over(const struct lzi_store *store)
{
	const struct lzi_bound *bound = &store->control.shared->bound;
	uint64_t limit = lzi_load_relaxed(&bound->heap_limit), max = lzi_load_relaxed(&bound->max_entries);
	int64_t keys = lzi_store_keys(store);

	return (max != 0 && keys > 0 && (uint64_t)keys > max) ||
	       (limit != 0 && lzi_file_blocks(store->heap.fd) > limit);
}

/* One step towards more room: cleans if enough is dead, else evicts. *ret_done: entries evicted. LATZ_BUSY: nothing can
 * be done now. */
static int step(struct lzi_call *call, unsigned most, unsigned *ret_done)
{
	struct lzi_store *store = call->store;
	uint64_t used, dead;
	unsigned freed;
	int more, rc = lzi_evict_survey(store, 0, &used, &dead);

	if (rc != LATZ_OK)
		return rc;
	if (dead * 100 > used * DEAD_PERCENT) {
		rc = lzi_clean(call, CLEAN_PERCENT, lzi_clock_mono_ns() + CLEAN_NS, &freed, &more);
		/* One that was emptied into another is as good: in the end there is a free one more. */
		if (rc == LATZ_OK && freed > 0)
			return lzi_evict_survey(store, 1, &used, &dead);
		if (rc != LATZ_OK && rc != LATZ_FULL && rc != LATZ_NOSPC)
			return rc;
	}
	if (lzi_load_relaxed(&store->control.shared->bound.policy) == LATZ_POLICY_NONE)
		return LATZ_BUSY;
	return lzi_evict(call, most, ret_done);
}

/* Ends with `maint` held and what was told heard. wait: else LATZ_BUSY at once. */
static int begin(struct lzi_call *call, int wait)
{
	struct lzi_store *store = call->store;
	int rc;

	if (wait)
		lzi_store_relaxed(&store->control.shared->bound.urgent, 1u);
	rc = wait ? lzi_maint_lock_outside(call) : lzi_maint_lock(store, 0);
	if (wait)
		lzi_store_relaxed(&store->control.shared->bound.urgent, 0u);
	if (rc < 0)
		return rc;
	if (wait || lzi_hear_is_due(store))
		(void)!lzi_hear(store); /* without it the oldest go */
	return LATZ_OK;
}

/* Small pools: the evictor's open extent is for whoever evicts next. */
static void leave_main(struct lzi_call *call)
{
	struct lzi_bound *bound = &call->store->control.shared->bound;
	uint32_t open = call->actor->clean_extent;

	if (open == 0 || bound->evictor == call->index + 1 || extents_max(call->store) > 64)
		return;
	bound->evictor = call->index + 1;
	lzi_heap_tell(&call->store->heap, open - 1);
	lzi_store_release(&call->actor->clean_extent, 0u);
	lzi_heap_leave(&call->store->heap, open - 1);
}

static void end(struct lzi_call *call)
{
	leave_main(call);
	lzi_maint_unlock(call->store);
}

static LZI_COLD int full(struct lzi_store *store, const char *bound)
{
	lzi_fetch_add_relaxed(&store->control.shared->bound.refused, 1ull);
	return lzi_error(LATZ_FULL, "pool %s has reached its %s", store->name, bound);
}

/* Extents that count as holes may have blocks that nobody knows of: somebody died while he made them his. */
static int has_stray_blocks(const struct lzi_store *store)
{
	const struct lzi_shared *shared = store->control.shared;
	uint64_t n = lzi_load_relaxed(&shared->extents), holes = lzi_load_relaxed(&shared->extents_hole);

	return holes > 0 && lzi_file_blocks(store->heap.fd) > (n - holes) * LZI_EXTENT;
}

/* Blocks of the heap that are known to hold nothing: of free extents, and of those that count as holes but were part of
 * a run. What a run has behind its record is not to be had while it is one. */
static uint64_t idle_blocks(const struct lzi_store *store)
{
	const struct lzi_heap *heap = &store->heap;
	uint64_t n = lzi_load_acquire(&heap->reach), idle = 0, e;

	for (e = 0; e < n; e++) {
		enum lzi_extent_state state = lzi_heap_state(heap, e);

		if (state == LZI_EXTENT_FREE)
			idle += LZI_EXTENT;
		else if (state == LZI_EXTENT_PART)
			idle += (uint64_t)lzi_load_relaxed(&lzi_heap_meta(heap, e)->judged) * LZI_UNIT;
	}
	return idle;
}

/* Whether giving back what holds nothing, but for `keep` free extents, makes room for so many bytes: then nothing has
 * to go. */
static int has_strays(struct lzi_store *store, uint64_t bytes, uint64_t keep)
{
	const struct lzi_shared *shared = store->control.shared;
	uint64_t free = lzi_load_relaxed(&shared->extents_free);

	if (lzi_load_relaxed(&shared->extents_hole) == 0 && free <= keep)
		return 0;
	return lzi_heap_view(&store->heap) == LATZ_OK &&
	       idle_blocks(store) >= bytes + (free < keep ? free : keep) * LZI_EXTENT;
}

static uint64_t bytes_for(uint64_t span)
{
	return span > LZI_RECORD_SHARED_MAX ? span + LZI_PAGE : LZI_EXTENT;
}

static void give_back_strays(struct lzi_call *call)
{
	int more, rc;

	do {
		more = 0;
		rc = lzi_give_back(call, KEEP_FREE, 1, &more);
	} while (rc == LATZ_OK && more);
}

/* What can't go just now may be a dead thread's, or on its way to the log. Others may have `maint` meanwhile; if it
 * can't be had again it is not held. */
static int wait_a_little(struct lzi_call *call, unsigned idle)
{
	struct lzi_store *store = call->store;

	if (idle <= 2)
		return LATZ_OK;
	end(call);
	(void)!lzi_actor_reap_all(&store->control, lzi_mend_actor, store);
	lzi_sleep_us(500);
	return begin(call, 1);
}

/* Gives back what holds nothing if that makes room, and waits for the readers that are in the way: *held counts how
 * often. 0: there is nothing to be had so, or not for a while. As wait_a_little(). */
static int use_strays(struct lzi_call *call, uint64_t span, unsigned *held)
{
	int rc;

	if (*held >= HELD_MAX || !has_strays(call->store, bytes_for(span), KEEP_FREE))
		return 0;
	give_back_strays(call);
	(*held)++;
	/* If they are gone nobody is in the way. */
	if (has_room(call->store, span) || !has_strays(call->store, bytes_for(span), KEEP_FREE))
		return 1;
	rc = wait_a_little(call, IDLE_MAX);
	return rc < 0 ? rc : 1;
}

/* The janitor may not have come since the pool was filled: what other files take is looked at, and the index goes to
 * sleep if it is time. */
static int look_again(struct lzi_call *call)
{
	int rc = begin(call, 1);

	if (rc != LATZ_OK)
		return rc;
	refresh_all(call->store);
	put_index_to_sleep(call->store);
	refresh_all(call->store);
	end(call);
	return LATZ_OK;
}

/* Whether cleaning should have found something: what keeps it from that is passing, as a dead thread's extents, or
 * another who cleans and has the last free ones. */
static int is_loose(struct lzi_store *store)
{
	uint64_t used, dead;

	lzi_heap_account(store, &used, &dead);
	return used - dead < lzi_load_relaxed(&store->control.shared->bound.max_bytes) / 100 * LOOSE_PERCENT;
}

/* Nothing goes: only what is dead makes room, or what holds nothing, when its readers have left it. */
static int make_room_by_cleaning(struct lzi_call *call, const uint32_t *open, uint64_t span)
{
	struct lzi_store *store = call->store;
	unsigned held;
	int rc;

	for (held = 0; held < HELD_MAX; held++) {
		rc = lzi_clean_for_room(call, open);
		if (rc != LATZ_NOSPC && rc != LATZ_FULL)
			return rc;
		rc = held == 0 ? look_again(call) : LATZ_OK;
		if (rc != LATZ_OK || has_room(store, span)) /* others may have made it */
			return rc;
		if (!has_strays(store, bytes_for(span), KEEP_FREE) && !is_loose(store))
			break;
		lzi_call_end(call);
		(void)!lzi_actor_reap_all(&store->control, lzi_mend_actor, store);
		lzi_sleep_us(500);
		lzi_call_begin(call);
	}
	return full(store, "max_bytes");
}

int lzi_bound_make_room(struct lzi_call *call, const uint32_t *open, uint64_t span, unsigned attempt)
{
	struct lzi_store *store = call->store;
	uint64_t empty, extents = (span + LZI_EXTENT - 1) / LZI_EXTENT;
	unsigned tidy = extents < TIDY_STEPS ? TIDY_STEPS / (unsigned)extents : 1;
	unsigned i, done = 0, idle = 0, held = 0;
	int more, rc;

	if (open != &call->actor->extent)
		return LATZ_FULL; /* we are in it */
	if (lzi_load_relaxed(&store->control.shared->bound.policy) == LATZ_POLICY_NONE)
		return make_room_by_cleaning(call, open, span);
	rc = begin(call, 1);
	if (rc != LATZ_OK)
		return rc;
	lzi_hear_tidy(call);
	refresh_all(store);
	put_index_to_sleep(store);
	if (has_stray_blocks(store))
		give_back_strays(call);
	empty = empty_extents(store);
	for (i = 0; i < STEPS_MAX && rc == LATZ_OK && !has_room(store, span); i++) {
		rc = use_strays(call, span, &held);
		if (rc < 0)
			return rc;
		if (rc > 0) {
			rc = LATZ_OK;
			continue;
		}
		rc = step(call, LZI_POLICY_BATCH, &done);
		/* An extent that must stay for now may hide others. */
		if (rc == LATZ_BUSY) {
			give_back_strays(call);
			if (++idle < IDLE_MAX && (rc = wait_a_little(call, idle)) != LATZ_OK)
				return rc;
		}
		/* Blocks of extents that are empty, but not as they are wanted, go back: now and then, for it takes
		 * everybody's time. */
		if ((i + attempt) % tidy == tidy - 1)
			(void)!lzi_give_back(call, KEEP_FREE, 1, &more);
		/* A run may fit now into what a run was in. */
		if (span > LZI_RECORD_SHARED_MAX && empty_extents(store) != empty)
			break;
		LZI_POINT("bound.step");
	}
	end(call);
	return rc == LATZ_BUSY || i == STEPS_MAX ? full(store, "max_bytes") : rc;
}

/* ---- Entries ---- */

int lzi_bound_entries_full(const struct lzi_store *store)
{
	uint64_t max = lzi_load_relaxed(&store->control.shared->bound.max_entries);
	int64_t keys, others = -1;
	uint32_t i, n;

	if (max == 0)
		return 0;
	keys = lzi_load_relaxed(&store->control.shared->base_keys);
	n = lzi_control_actors(&store->control);
	for (i = 0; i < n; i++) {
		const struct lzi_actor *actor = lzi_control_actor(&store->control, i);

		keys += lzi_load_relaxed(&actor->keys);
		others += lzi_load_relaxed(&actor->bucket) != 0; /* may be about to create one as well */
	}
	return keys > 0 && (uint64_t)keys + (others > 0 ? (uint64_t)others : 0) >= max;
}

int lzi_bound_make_entry(struct lzi_call *call)
{
	struct lzi_store *store = call->store;
	uint64_t used, dead;
	unsigned done = 0, idle = 0, i;
	int rc;

	if (lzi_load_relaxed(&store->control.shared->bound.policy) == LATZ_POLICY_NONE)
		return full(store, "max_entries");
	rc = begin(call, 1);
	if (rc != LATZ_OK)
		return rc;
	/* One at least: who finds that others have no bucket now may meet them again and again when he has his. */
	for (i = 0; i < STEPS_MAX && rc == LATZ_OK && done == 0; i++) {
		rc = lzi_evict_survey(store, 0, &used, &dead);
		if (rc != LATZ_OK)
			break;
		rc = lzi_evict(call, LZI_POLICY_BATCH, &done);
		if (rc == LATZ_BUSY && ++idle < IDLE_MAX && (rc = wait_a_little(call, idle)) != LATZ_OK)
			return rc;
	}
	end(call);
	return rc == LATZ_BUSY || i == STEPS_MAX ? full(store, "max_entries") : rc;
}

int lzi_bound_check(struct lzi_store *store, uint64_t span)
{
	const struct lzi_bound *bound = &store->control.shared->bound;
	uint64_t max = lzi_load_relaxed(&bound->max_bytes);

	if (max == 0 || span <= LZI_RECORD_SHARED_MAX || span <= max / 2)
		return LATZ_OK;
	lzi_fetch_add_relaxed(&store->control.shared->bound.refused, 1ull);
	return lzi_error(LATZ_TOOBIG, "a record of %llu bytes is more than half of the pool's max_bytes, %llu",
	                 (unsigned long long)span, (unsigned long long)max);
}

/* ---- Ahead of need ---- */

/* Every so often everything is looked at, for there may be no janitor. */
static LZI_NOINLINE void look_around(struct lzi_call *call)
{
	struct lzi_store *store = call->store;
	int more;

	if (begin(call, 0) != LATZ_OK)
		return;
	lzi_hear_tidy(call);
	lzi_bound_refresh(store);
	if (is_over(store))
		(void)!lzi_give_back(call, KEEP_FREE, 1, &more);
	end(call);
}

void lzi_bound_pace(struct lzi_call *call)
{
	struct lzi_store *store = call->store;
	struct lzi_shared *shared = store->control.shared;
	uint32_t writes = ++call->actor->writes;
	unsigned done = 0;

	if (writes % PACE != 0)
		return;
	/* Records of small pools are told apart by age through their versions. */
	if (writes % (PACE * 4) == 0 &&
	    (lzi_load_relaxed(&shared->bound.max_entries) != 0 || extents_max(store) <= 64))
		lzi_fetch_add(&shared->clock, LZI_SEQ_STRIDE);
	if (lzi_load_relaxed(&shared->bound.max_bytes) == 0)
		return;
	if (writes % (PACE * LOOK) == 0) {
		look_around(call);
		return;
	}
	if (!lzi_load_relaxed(&shared->bound.tight) ||
	    lzi_load_relaxed(&shared->extents_free) > reserve(store) || begin(call, 0) != LATZ_OK)
		return;
	/* What holds nothing the janitor gives back, or who needs it: nothing goes for that. */
	(void)!step(call, PACE * 2, &done);
	end(call);
}

void lzi_bound_maintain(struct lzi_call *call, uint64_t deadline_ns, int *ret_more)
{
	struct lzi_store *store = call->store;
	unsigned done = 0, idle = 0;
	int more, rc;

	lzi_hear_tidy(call); /* before it is looked how much there is */
	refresh_all(store);
	put_index_to_sleep(store);
	(void)!lzi_hear(store);
	if (has_stray_blocks(store))
		give_back_strays(call);
	while ((is_over(store) || !has_extents(store, reserve(store))) && idle < 4) {
		if (deadline_ns != 0 && lzi_clock_mono_ns() > deadline_ns) {
			*ret_more = 1;
			break;
		}
		if (has_strays(store, LZI_EXTENT, UINT64_MAX)) {
			give_back_strays(call);
			idle += has_strays(store, LZI_EXTENT, UINT64_MAX);
			continue;
		}
		rc = step(call, LZI_POLICY_BATCH, &done);
		if (rc == LATZ_BUSY)
			idle++;
		else if (rc != LATZ_OK)
			break;
		if (is_over(store))
			(void)!lzi_give_back(call, KEEP_FREE, 1, &more);
	}
	leave_main(call);
}

int lzi_bound_give_way(struct lzi_call *call)
{
	struct lzi_store *store = call->store;
	int more = 0, rc;

	if (lzi_load_relaxed(&store->control.shared->bound.max_bytes) == 0)
		return LATZ_OK;
	rc = lzi_maint_lock(store, 1);
	if (rc < 0)
		return rc;
	lzi_bound_maintain(call, 0, &more);
	rc = is_over(store) ? lzi_error(LATZ_FULL, "pool %s has no room for it within its max_bytes", store->name)
	                    : LATZ_OK;
	lzi_maint_unlock(store);
	return rc;
}

/* ---- Setting ---- */

int lzi_bound_valid(uint64_t max_bytes)
{
	if (max_bytes == 0 || max_bytes >= BYTES_MIN)
		return LATZ_OK;
	return lzi_error(LATZ_INVALID, "max_bytes is %llu; the least is %llu", (unsigned long long)max_bytes,
	                 BYTES_MIN);
}

/* The policy that goes with bounds; DEFAULT: there are none. */
static latz_policy policy_for(uint64_t max_bytes, uint64_t max_entries, latz_policy policy)
{
	if (max_bytes == 0 && max_entries == 0)
		return LATZ_POLICY_DEFAULT;
	return policy == LATZ_POLICY_DEFAULT ? LATZ_POLICY_ADAPTIVE : policy;
}

static uint32_t watch_for(latz_policy policy)
{
	return policy == LATZ_POLICY_DEFAULT ? 0u
	       : policy == LATZ_POLICY_NONE  ? LZI_WATCH_BOUNDS
	                                     : LZI_WATCH_BOUNDS | LZI_WATCH_HITS;
}

void lzi_bound_init(struct lzi_shared *shared, const latz_options *options)
{
	latz_policy policy = policy_for(options->max_bytes, options->max_entries, options->policy);

	shared->bound.max_bytes = options->max_bytes;
	shared->bound.max_entries = options->max_entries;
	shared->bound.policy = (uint32_t)policy;
	shared->watch = watch_for(policy);
}

int lzi_bound_join(struct lzi_call *call)
{
	struct lzi_store *store = call->store;
	int more = 0, rc;

	if (!lzi_is_bounded(store))
		return LATZ_OK;
	/* Who has it may be stopped, and who comes may only want to read: all this is done by others as well. */
	rc = lzi_maint_lock(store, 0);
	if (rc < 0)
		return rc == LATZ_BUSY || rc == LATZ_TIMEOUT ? LATZ_OK : rc;
	refresh_all(store);
	rc = lzi_hear(store);
	if (rc == LATZ_NOSPC) /* without it the oldest go */
		rc = LATZ_OK;
	if (rc == LATZ_OK)
		lzi_sample_keep(store);
	/* What a log or a snapshot held was put back without asking how much it is. */
	if (rc == LATZ_OK && is_over(store))
		lzi_bound_maintain(call, 0, &more);
	lzi_maint_unlock(store);
	return rc;
}

/* Whether lower bounds leave room beside what does not get smaller: a table stays as large as it has become. */
static int check_lower(struct lzi_store *store, uint64_t max_bytes, latz_policy policy)
{
	const struct lzi_bound *bound = &store->control.shared->bound;
	uint64_t now = lzi_load_relaxed(&bound->max_bytes), table = lzi_file_blocks(store->table.fd), need;

	if (max_bytes == 0 || (now != 0 && max_bytes >= now))
		return LATZ_OK;
	need = table + lzi_file_blocks(store->heap.dir_fd) + lzi_file_blocks(store->control.fd) +
	       lzi_hear_fixed(store, policy) + MARGIN + HEAP_MIN;
	if (max_bytes >= need)
		return LATZ_OK;
	return lzi_error(LATZ_INVALID,
	                 "max_bytes is %llu; as the pool's table has grown to %llu, the least is %llu",
	                 (unsigned long long)max_bytes, (unsigned long long)table, (unsigned long long)need);
}

int lzi_bound_set(struct lzi_call *call, uint64_t max_bytes, uint64_t max_entries, latz_policy policy)
{
	struct lzi_store *store = call->store;
	struct lzi_shared *shared = store->control.shared;
	struct lzi_bound *bound = &shared->bound;
	int more = 0, rc = LATZ_OK;

	rc = lzi_bound_valid(max_bytes);
	if (rc != LATZ_OK)
		return rc;
	policy = policy_for(max_bytes, max_entries, policy);
	rc = lzi_maint_lock(store, 1);
	if (rc < 0)
		return rc;
	rc = check_lower(store, max_bytes, policy);
	if (rc != LATZ_OK) {
		lzi_maint_unlock(store);
		return rc;
	}
	lzi_store_relaxed(&bound->max_bytes, max_bytes);
	lzi_store_relaxed(&bound->max_entries, max_entries);
	refresh_all(store);
	LZI_POINT("bound.set");
	if (lzi_load_relaxed(&bound->policy) != (uint32_t)policy || bound->state_at == 0) {
		lzi_hear_tidy(call); /* so that there is room in the file for a new one */
		lzi_store_relaxed(&bound->policy, (uint32_t)policy);
		LZI_POINT("bound.policy");
		rc = lzi_hear_reset(store);
	}
	lzi_watch_set(shared, watch_for(policy));
	if (policy <= LATZ_POLICY_NONE)
		lzi_store_relaxed(&shared->sampling, 0u);
	lzi_sample_keep(store);
	if (policy == LATZ_POLICY_DEFAULT)
		lzi_store_relaxed(&bound->asleep, (uint16_t)0);
	if ((rc == LATZ_OK || rc == LATZ_BUSY) && policy != LATZ_POLICY_DEFAULT) {
		lzi_bound_maintain(call, 0, &more);
		if (rc == LATZ_OK)
			rc = lzi_hear_fit(store);
		lzi_hear_tidy(call);
		if (rc == LATZ_BUSY) /* for want of bytes, which were given meanwhile, or are to whoever is next */
			rc = lzi_hear(store);
		lzi_hear_tidy(call);
		lzi_bound_refresh(store);
	}
	lzi_maint_unlock(store);
	return rc;
}
