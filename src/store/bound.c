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
#include "store/audit.h"
#include "store/counter.h"
#include "store/feed.h"
#include "store/log.h"
#include "store/room.h"
#include "store/space.h"

/* The least a bounded pool may have: its own files, and heap for a few extents. */
#define BYTES_MIN (4ull << 20)
/* The least heap that bounds set later must leave: what is held back, and an extent for some who write at once. */
#define HEAP_MIN (6 * LZI_EXTENT)
/* No file of a pool is so large. */
#define BYTES_MOST (1ull << 46)
/* Kept for what grows while nobody looks: table, directory, index. */
#define MARGIN (256u << 10)
/* Extents kept free, while there are enough of them for it. */
#define RESERVE_MAX 16u
#define RESERVE_SHIFT 5
/* Writes of a thread between two looks, few, so that the steps they make are small; and looks between two at
 * everything. */
#define PACE 4u
#define LOOK 256u
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
	        lzi_counters_blocks(store) + lzi_feed_blocks(store) + lzi_locks_blocks(store) +
	        lzi_audit_blocks(store) + lzi_space_blocks(store) + plausible(&bound->wanted);
	lzi_store_relaxed(&bound->other_bytes, other);
	limit = max > other + MARGIN ? max - other - MARGIN : 0;
	limit = limit < LZI_EXTENT ? LZI_EXTENT : limit;
	lzi_store_relaxed(&bound->heap_limit, limit);
	lzi_store_relaxed(&bound->tight,
	                  (uint16_t)(lzi_file_blocks(store->heap.fd) + limit / 16 + 2ul * LZI_EXTENT > limit));
}

/* Extents that should be free, or could be had. */
static uint64_t reserve(const struct lzi_store *store)
{
	uint64_t n = lzi_room_extents_max(store) >> RESERVE_SHIFT;

	return n < 2 ? 2 : n > RESERVE_MAX ? RESERVE_MAX : n;
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
static int put_index_to_sleep(struct lzi_store *store)
{
	struct lzi_shared *shared = store->control.shared;

	if (lzi_load_relaxed(&shared->bound.asleep) || lzi_bound_index_wanted(store))
		return 0;
	lzi_store_release(&shared->index_rebuild, 1u);
	LZI_POINT("bound.index_asleep");
	if (lzi_index_lock(&store->index) != LATZ_OK)
		return 0;
	if (lzi_index_clear(&store->index) == LATZ_OK && lzi_index_pack(&store->index) == LATZ_OK &&
	    lzi_index_trim(&store->index) == LATZ_OK)
		lzi_store_relaxed(&shared->bound.asleep, (uint16_t)1);
	lzi_index_unlock(&store->index);
	return 1;
}

void lzi_bound_look(struct lzi_store *store)
{
	refresh_all(store);
	if (put_index_to_sleep(store))
		refresh_all(store);
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

		/* May be about to create one as well; in a transaction, several. If it has done so it is in `keys`,
		 * at which we look after this. */
		if (lzi_load_acquire(&actor->kind) == LZI_INTENT_TXN)
			others += lzi_load_acquire(&actor->txn_inserts);
		else
			others += lzi_load_acquire(&actor->bucket) != 0;
		keys += lzi_load_relaxed(&actor->keys);
	}
	keys = lzi_keys_told(store->control.shared, keys);
	return keys > 0 && (uint64_t)keys + (others > 0 ? (uint64_t)others : 0) >= max;
}

/* Bytes of heap that no eviction brings: extents that other threads have open; and what long chains of the table are
 * made of, for which all are looked at: so only if `span` is much of the heap. */
static uint64_t bytes_held(const struct lzi_call *call, uint64_t span, uint64_t limit)
{
	const struct lzi_store *store = call->store;
	uint32_t i, actors = lzi_control_actors(&store->control);
	uint64_t n = lzi_load_acquire(&store->heap.reach), held = 0, e;

	for (i = 0; i < actors; i++) {
		const struct lzi_actor *actor = lzi_control_actor(&store->control, i);

		if (i != call->index)
			held += (lzi_load_relaxed(&actor->extent) != 0) +
			        (lzi_load_relaxed(&actor->clean_extent) != 0) +
			        (lzi_load_relaxed(&actor->clean_window) != 0);
	}
	for (e = 0; e < n && span + held * LZI_EXTENT > limit / 2; e++)
		held += lzi_heap_state(&store->heap, e) == LZI_EXTENT_OVERFLOW;
	return held * LZI_EXTENT;
}

int lzi_bound_check(const struct lzi_call *call, uint64_t span)
{
	struct lzi_store *store = call->store;
	const struct lzi_bound *bound = &store->control.shared->bound;
	uint64_t max = lzi_load_relaxed(&bound->max_bytes), limit = lzi_load_relaxed(&bound->heap_limit), held;

	if (max == 0 || span <= LZI_RECORD_SHARED_MAX)
		return LATZ_OK;
	if (span > max / 2) {
		lzi_fetch_add_relaxed(&store->control.shared->bound.refused, 1ull);
		return lzi_error(LATZ_TOOBIG, "a record of %llu bytes is more than half of the pool's max_bytes, %llu",
		                 (unsigned long long)span, (unsigned long long)max);
	}
	held = bytes_held(call, span, limit);
	if (limit == 0 || span + LZI_PAGE + held <= limit)
		return LATZ_OK;
	lzi_fetch_add_relaxed(&store->control.shared->bound.refused, 1ull);
	return lzi_error(LATZ_TOOBIG,
	                 "of the pool's max_bytes, %llu, its table and what threads have open leave too little for a "
	                 "record of %llu bytes: %llu",
	                 (unsigned long long)max, (unsigned long long)span,
	                 (unsigned long long)(limit > held ? limit - held : 0));
}

/* ---- Ahead of need ---- */

/* Every so often everything is looked at, for there may be no janitor. */
static LZI_NOINLINE void look_around(struct lzi_call *call)
{
	struct lzi_store *store = call->store;

	if (lzi_room_begin(call, 0) != LATZ_OK)
		return;
	lzi_hear_tidy(call);
	lzi_bound_refresh(store);
	if (lzi_room_is_over(store))
		lzi_room_give_back(call);
	lzi_room_end(call);
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
	    (lzi_load_relaxed(&shared->bound.max_entries) != 0 || lzi_room_extents_max(store) <= 64))
		lzi_fetch_add(&shared->clock, LZI_SEQ_STRIDE);
	if (lzi_load_relaxed(&shared->bound.max_bytes) == 0)
		return;
	if (writes % (PACE * LOOK) == 0) {
		look_around(call);
		return;
	}
	if (!lzi_load_relaxed(&shared->bound.tight) ||
	    lzi_load_relaxed(&shared->extents_free) > reserve(store) || lzi_room_begin(call, 0) != LATZ_OK)
		return;
	/* What holds nothing the janitor gives back, or who needs it: nothing goes for that. */
	(void)!lzi_room_step(call, LZI_EVICT_BYTES, PACE * 2, 0, &done);
	lzi_room_end(call);
}

/* Bytes of the heap that are over its limit. */
static uint64_t over_limit(const struct lzi_store *store)
{
	uint64_t limit = lzi_load_relaxed(&store->control.shared->bound.heap_limit),
		 blocks = lzi_file_blocks(store->heap.fd);

	return limit == 0 || blocks <= limit ? 0 : blocks - limit;
}

/* turns: those that others have meanwhile, or NULL. Without `maint` only if that is lost. */
static int maintain(struct lzi_call *call, enum lzi_evict_reason why, uint64_t deadline_ns, struct lzi_turns *turns,
                    int *ret_more)
{
	struct lzi_store *store = call->store;
	unsigned done = 0, idle = 0, before;
	uint64_t since_ns = 0, over;
	int rc;

	lzi_hear_tidy(call); /* before it is looked how much there is */
	lzi_bound_look(store);
	(void)!lzi_hear(store);
	lzi_room_give_back_lost(call);
	while ((lzi_room_is_over(store) || !lzi_room_has_extents(store, reserve(store))) && idle < 4) {
		if (deadline_ns != 0 && lzi_clock_mono_ns() > deadline_ns) {
			*ret_more = 1;
			break;
		}
		if (turns != NULL) {
			lzi_room_leave_open(call, 0);
			rc = lzi_maint_turn(call, turns);
			if (rc < 0)
				return rc;
			if (rc == 1)
				(void)!lzi_hear(store);
		}
		if (lzi_room_has_strays(store, LZI_EXTENT, UINT64_MAX)) {
			lzi_room_give_back(call);
			idle += lzi_room_has_strays(store, LZI_EXTENT, UINT64_MAX);
			continue;
		}
		/* Blocks that hold nothing only wait for readers to leave: nothing has to go for them. */
		over = over_limit(store);
		if (over > 0 && lzi_room_has_strays(store, over, LZI_ROOM_KEEP)) {
			lzi_room_give_back(call);
			idle += over_limit(store) >= over;
			continue;
		}
		before = done;
		if (why != LZI_EVICT_LIMIT)
			why = lzi_room_has_too_many(store) ? LZI_EVICT_ENTRIES : LZI_EVICT_BYTES;
		rc = lzi_room_step(call, why, LZI_POLICY_BATCH, idle > 0 && lzi_room_is_over(store), &done);
		if (rc == LATZ_BUSY)
			idle++;
		else if (rc != LATZ_OK)
			break;
		if (done != before)
			since_ns = 0;
		else if (lzi_room_is_over_time(store, &since_ns))
			break;
	}
	lzi_room_leave_open(call, 0);
	return LATZ_OK;
}

void lzi_bound_maintain(struct lzi_call *call, enum lzi_evict_reason why, uint64_t deadline_ns, int *ret_more)
{
	(void)maintain(call, why, deadline_ns, NULL, ret_more);
}

int lzi_bound_give_way(struct lzi_call *call)
{
	struct lzi_store *store = call->store;
	struct lzi_turns turns = { 0, 0, 0 };
	int more = 0, rc;

	if (lzi_load_relaxed(&store->control.shared->bound.max_bytes) == 0)
		return LATZ_OK;
	rc = lzi_maint_lock_outside(call);
	if (rc < 0)
		return rc;
	turns.since_ns = lzi_clock_mono_ns();
	rc = maintain(call, LZI_EVICT_BYTES, 0, &turns, &more);
	if (rc != LATZ_OK)
		return rc;
	if (lzi_room_is_over(store))
		rc = lzi_error(LATZ_FULL, "pool %s has no room for it within its max_bytes", store->name);
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
	if (rc == LATZ_OK && lzi_room_is_over(store))
		lzi_bound_maintain(call, LZI_EVICT_LIMIT, 0, &more);
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

static int set(struct lzi_call *call, uint64_t max_bytes, uint64_t max_entries, latz_policy policy)
{
	struct lzi_store *store = call->store;
	struct lzi_shared *shared = store->control.shared;
	struct lzi_bound *bound = &shared->bound;
	int more = 0, rc = LATZ_OK;

	rc = lzi_bound_valid(max_bytes);
	if (rc != LATZ_OK)
		return rc;
	policy = policy_for(max_bytes, max_entries, policy);
	rc = lzi_maint_lock_outside(call);
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
		lzi_bound_maintain(call, LZI_EVICT_LIMIT, 0, &more);
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

int lzi_bound_set(struct lzi_call *call, uint64_t max_bytes, uint64_t max_entries, latz_policy policy)
{
	struct lzi_audit_note note;
	struct lzi_audit_text *text = lzi_audit_note(&note);
	int rc;

	lzi_audit_number(text, "max_bytes", max_bytes);
	lzi_audit_number(text, "max_entries", max_entries);
	lzi_audit_number(text, "policy", (uint64_t)policy);
	rc = lzi_audit_say(call->store, "limit", &note);
	return rc == LATZ_OK ? lzi_audit_failed(call->store, "limit", set(call, max_bytes, max_entries, policy)) : rc;
}
