/*
 * Room for a writer that met a bound: steps that clean or evict, blocks given back, and waiting for who is in the way.
 * All of it under `maint`, which is handed over between steps to whoever waits for it.
 */
#include "config.h"

#include <latzero/latzero.h>

#include "base/error.h"
#include "base/point.h"
#include "policy/policy.h"
#include "store/room.h"

/* Dead data from which it is cleaned rather than live data evicted; and down to what. */
#define DEAD_PERCENT 12u
#define CLEAN_PERCENT 6u
#define CLEAN_NS 300000u
/* Steps of a writer that can't go on without. */
#define STEPS_MAX 10000000u
/* Steps that came to nothing before a write is refused; and before what others have just written goes for it. */
#define IDLE_MAX 40u
#define IDLE_FRESH 20u
/* A pool of fewer extents has none to keep, nor open ones to spare, when a large record is to fit. */
#define SMALL_EXTENTS 64u
/* Times that a writer waits for readers in the way of giving back, before others' entries go instead: a reader that has
 * no processor comes back within milliseconds, one that was stopped does not. What is emptied then may lie in a row for
 * a large record; but when that comes to a multiple of it, nothing more goes, and it waits as long as for a lock. */
#define HELD_MAX 12u
#define HELD_SHARE 3u
/* How long, looking so often, others who wait for `maint` are given to take it. By the clock, as lzi_readers_gone(). */
#define HANDOVER_US 25u
#define HANDOVER_NS 1000000ull
/* How long it is taken for known what extents have blocks in part. */
#define PART_NS 5000000u
/* Of max_bytes alive, below which a pool without eviction should not be full. */
#define LOOSE_PERCENT 82u

static int is_run(uint64_t span)
{
	return span > LZI_RECORD_SHARED_MAX;
}

static int is_small(const struct lzi_store *store)
{
	return lzi_room_extents_max(store) <= SMALL_EXTENTS;
}

/* Looking for a row costs with the size of the heap: not again before there is another empty extent. */
static int has_room(struct lzi_store *store, struct lzi_need *need)
{
	const struct lzi_shared *shared = store->control.shared;
	uint64_t empty;

	if (!is_run(need->span))
		return lzi_room_has_extents(store, 1);
	if (lzi_room_headroom(store) >= need->span + LZI_PAGE)
		return 1;
	empty = lzi_load_relaxed(&shared->extents_free) + lzi_load_relaxed(&shared->extents_hole);
	if (empty == need->empty)
		return 0;
	need->empty = empty;
	return lzi_heap_has_row(&store->heap, need->span);
}

/* ---- Steps ---- */

int lzi_room_has_too_many(const struct lzi_store *store)
{
	uint64_t max = lzi_load_relaxed(&store->control.shared->bound.max_entries);
	int64_t keys = max == 0 ? 0 : lzi_store_keys(store);

	return keys > 0 && (uint64_t)keys > max;
}

/* After the bounds were lowered, or other files grew: back below them. */
int lzi_room_is_over(const struct lzi_store *store)
{
	uint64_t limit = lzi_load_relaxed(&store->control.shared->bound.heap_limit);

	return lzi_room_has_too_many(store) || (limit != 0 && lzi_file_blocks(store->heap.fd) > limit);
}

int lzi_room_step(struct lzi_call *call, enum lzi_evict_reason why, unsigned most, int last_resort,
                  unsigned *ret_done)
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
	return lzi_evict(call, why, most, last_resort, ret_done);
}

/* One who waits less; who dies waiting leaves one too many, until the janitor's next round. */
static void wait_no_more(uint32_t *urgent)
{
	uint32_t n = lzi_load_relaxed(urgent);

	while (n > 0 && !lzi_cas_acquire(urgent, &n, n - 1))
		;
}

int lzi_room_begin(struct lzi_call *call, int wait)
{
	struct lzi_store *store = call->store;
	uint32_t *urgent = &store->control.shared->bound.urgent;
	int rc;

	if (wait)
		lzi_fetch_add_relaxed(urgent, 1u);
	rc = wait ? lzi_maint_lock_outside(call) : lzi_maint_lock(store, 0);
	if (wait)
		wait_no_more(urgent);
	if (rc < 0)
		return rc;
	if (wait || lzi_hear_is_due(store))
		(void)!lzi_hear(store); /* without it the oldest go */
	return LATZ_OK;
}

static void leave(struct lzi_call *call, uint32_t *open)
{
	uint32_t extent = *open;

	if (extent == 0)
		return;
	lzi_heap_tell(&call->store->heap, extent - 1);
	lzi_store_release(open, 0u);
	lzi_heap_leave(&call->store->heap, extent - 1);
}

void lzi_room_leave_open(struct lzi_call *call, int waits)
{
	struct lzi_bound *bound = &call->store->control.shared->bound;

	if (!is_small(call->store))
		return;
	leave(call, &call->actor->clean_window);
	if (call->actor->clean_extent == 0 || (!waits && bound->evictor == call->index + 1))
		return;
	bound->evictor = call->index + 1;
	leave(call, &call->actor->clean_extent);
}

void lzi_room_end(struct lzi_call *call)
{
	lzi_room_leave_open(call, 0);
	lzi_maint_unlock(call->store);
}

/* A large record may need the very extents that we have open, though nothing in them is alive any more. */
static void leave_all(struct lzi_call *call, const struct lzi_need *need)
{
	if (!need->keeps)
		leave(call, &call->actor->extent);
	leave(call, &call->actor->clean_window);
	leave(call, &call->actor->clean_extent);
}

static LZI_COLD int full(struct lzi_store *store, const char *bound)
{
	lzi_fetch_add_relaxed(&store->control.shared->bound.refused, 1ull);
	return lzi_error(LATZ_FULL, "pool %s has reached its %s", store->name, bound);
}

/* ---- What holds nothing ---- */

/* Extents that count as holes may have blocks that nobody knows of: somebody died while he made them his. */
static int has_stray_blocks(const struct lzi_store *store)
{
	const struct lzi_shared *shared = store->control.shared;
	uint64_t n = lzi_load_relaxed(&shared->extents), holes = lzi_load_relaxed(&shared->extents_hole);

	return holes > 0 && lzi_file_blocks(store->heap.fd) > (n - holes) * LZI_EXTENT;
}

/* Blocks of extents that count as holes but were part of a run. For that all extents are looked at: not again, for a
 * while, if as many are empty as then. */
static uint64_t part_bytes(struct lzi_store *store)
{
	const struct lzi_heap *heap = &store->heap;
	uint64_t holes = lzi_load_relaxed(&store->control.shared->extents_hole), sum = 0, now, n, e;

	if (holes == 0)
		return 0;
	now = lzi_clock_mono_ns();
	if (holes == lzi_load_relaxed(&store->part_holes) && now < lzi_load_relaxed(&store->part_due_ns))
		return lzi_load_relaxed(&store->part_bytes);
	n = lzi_load_acquire(&heap->reach);
	for (e = 0; e < n; e++) {
		if (lzi_heap_state(heap, e) == LZI_EXTENT_PART)
			sum += (uint64_t)lzi_load_relaxed(&lzi_heap_meta(heap, e)->judged) * LZI_UNIT;
	}
	lzi_store_relaxed(&store->part_bytes, sum);
	lzi_store_relaxed(&store->part_holes, holes);
	lzi_store_relaxed(&store->part_due_ns, now + PART_NS);
	return sum;
}

/* Blocks of the heap that are known to hold nothing. What a run has behind its record is not to be had while it is
 * one. */
static uint64_t idle_blocks(struct lzi_store *store)
{
	return lzi_load_relaxed(&store->control.shared->extents_free) * LZI_EXTENT + part_bytes(store);
}

int lzi_room_has_strays(struct lzi_store *store, uint64_t bytes, uint64_t keep)
{
	const struct lzi_shared *shared = store->control.shared;
	uint64_t free = lzi_load_relaxed(&shared->extents_free);

	if (lzi_load_relaxed(&shared->extents_hole) == 0 && free <= keep)
		return 0;
	return lzi_heap_view(&store->heap) == LATZ_OK &&
	       idle_blocks(store) >= bytes + (free < keep ? free : keep) * LZI_EXTENT;
}

static void give_back(struct lzi_call *call, uint64_t keep)
{
	int more, rc;

	do {
		more = 0;
		rc = lzi_give_back(call, keep, 1, &more);
	} while (rc == LATZ_OK && more);
	lzi_store_relaxed(&call->store->part_due_ns, 0ull);
}

void lzi_room_give_back(struct lzi_call *call)
{
	give_back(call, LZI_ROOM_KEEP);
}

void lzi_room_give_back_lost(struct lzi_call *call)
{
	if (has_stray_blocks(call->store))
		give_back(call, LZI_ROOM_KEEP);
}

/* ---- Waiting ---- */

/* Without `maint`, and outside the call: nobody has to wait for us. If it can't be had again it is not held. */
static int pause_for(struct lzi_call *call, unsigned us)
{
	struct lzi_store *store = call->store;
	int inside = (call->actor->op & 1) != 0;
	uint64_t begun = lzi_clock_mono_ns();

	if (lzi_wait_left_ns(store->control.timeout_ms) == 0) {
		lzi_room_end(call);
		return lzi_error(LATZ_TIMEOUT, "waited %u ms for room, and for who is in the way",
		                 store->control.timeout_ms * LZI_WAITS);
	}
	lzi_room_leave_open(call, 1);
	lzi_room_end(call);
	if (inside)
		lzi_call_end(call);
	(void)!lzi_actor_reap_all(&store->control, lzi_mend_actor, store);
	lzi_sleep_us(us);
	lzi_wait_charge(begun);
	if (inside)
		lzi_call_begin(call);
	return lzi_room_begin(call, 1);
}

/* What can't go just now may be a dead thread's, or on its way to the log. As pause_for(). */
static int wait_a_little(struct lzi_call *call, unsigned idle)
{
	return idle <= 2 ? LATZ_OK : pause_for(call, 500);
}

/* Others who wait for `maint` need one step; a large record needs many. As pause_for(). */
static int let_others(struct lzi_call *call)
{
	struct lzi_store *store = call->store;
	uint32_t waiting = lzi_load_relaxed(&store->control.shared->bound.urgent);
	uint64_t begun, until;

	if (waiting == 0 || lzi_wait_left_ns(store->control.timeout_ms) == 0)
		return LATZ_OK;
	lzi_room_end(call);
	lzi_call_end(call);
	begun = lzi_clock_mono_ns();
	until = begun + HANDOVER_NS;
	while (lzi_load_relaxed(&store->control.shared->bound.urgent) >= waiting && lzi_clock_mono_ns() < until)
		lzi_sleep_us(HANDOVER_US);
	if (lzi_load_relaxed(&store->control.shared->bound.urgent) >= waiting) /* nobody is, perhaps */
		lzi_wait_charge(begun);
	lzi_call_begin(call);
	return lzi_room_begin(call, 1);
}

static LZI_COLD int in_the_way(const struct lzi_store *store)
{
	uint32_t index = lzi_load_relaxed(&store->in_way);
	const struct lzi_actor *actor = index == 0 ? NULL : lzi_control_actor(&store->control, index - 1);
	uint32_t client = actor == NULL ? UINT32_MAX : lzi_load_relaxed(&actor->client), pid = 0;

	if (client < store->control.header->clients_max)
		pid = lzi_load_relaxed(&lzi_control_client(&store->control, client)->pid);
	return lzi_error(LATZ_TIMEOUT, "waited %u ms to give memory back, for a call that process %u is in",
	                 store->control.timeout_ms, pid);
}

int lzi_room_is_over_time(const struct lzi_store *store, uint64_t *since_ns)
{
	uint64_t now = lzi_clock_mono_ns();

	if (*since_ns == 0)
		*since_ns = now;
	return now - *since_ns >= (uint64_t)store->control.timeout_ms * 1000000;
}

static uint64_t bytes_for(uint64_t span)
{
	return is_run(span) ? span + LZI_PAGE : LZI_EXTENT;
}

/* Whether giving back what holds nothing makes room. A large record needs of it what the limit does not leave anyway:
 * in a small pool all that is empty may be less than the record. */
static int strays_suffice(struct lzi_store *store, const struct lzi_need *need, uint64_t keep)
{
	uint64_t bytes = bytes_for(need->span), room = is_run(need->span) ? lzi_room_headroom(store) : 0;

	return lzi_room_has_strays(store, bytes > room ? bytes - room : 1, keep);
}

/* Gives back what holds nothing if that makes room, and waits for the readers that are in the way. 0: there is nothing
 * to be had so, or not for a while. As pause_for(). */
static int use_strays(struct lzi_call *call, struct lzi_need *need)
{
	struct lzi_store *store = call->store;
	uint64_t keep = is_run(need->span) && is_small(store) ? 0 : LZI_ROOM_KEEP, bytes = bytes_for(need->span);
	int rc;

	if (!strays_suffice(store, need, keep))
		return 0;
	if (need->held >= HELD_MAX && (!is_run(need->span) || lzi_load_relaxed(&store->in_way) == 0 ||
	                               !lzi_room_has_strays(store, HELD_SHARE * bytes, keep)))
		return 0;
	give_back(call, keep);
	need->held++;
	/* If they are gone nobody is in the way. */
	if (has_room(store, need) || !strays_suffice(store, need, keep)) {
		need->held_ns = 0;
		return 1;
	}
	if (is_run(need->span) && lzi_room_is_over_time(store, &need->held_ns)) {
		lzi_room_end(call);
		return in_the_way(store);
	}
	rc = pause_for(call, need->held > HELD_MAX ? 5000 : 500);
	return rc < 0 ? rc : 1;
}

/* ---- Without eviction ---- */

/* The janitor may not have come since the pool was filled: what other files take is looked at, and the index goes to
 * sleep if it is time. */
static int look_again(struct lzi_call *call)
{
	int rc = lzi_room_begin(call, 1);

	if (rc != LATZ_OK)
		return rc;
	lzi_bound_look(call->store);
	lzi_room_end(call);
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

/* Nothing goes but what is expired: only what is dead makes room, or what holds nothing, when its readers have left
 * it. */
static int make_room_by_cleaning(struct lzi_call *call, const uint32_t *open, struct lzi_need *need)
{
	struct lzi_store *store = call->store;
	uint64_t begun;
	unsigned held;
	int expired = 0, rc;

	for (held = 0; held < HELD_MAX; held++) {
		rc = lzi_clean_for_room(call, open);
		while ((rc == LATZ_NOSPC || rc == LATZ_FULL) && (expired = lzi_expire_for_room(call)) > 0)
			rc = lzi_clean_for_room(call, open);
		if (expired < 0)
			return expired;
		if (rc != LATZ_NOSPC && rc != LATZ_FULL)
			return rc;
		rc = held == 0 ? look_again(call) : LATZ_OK;
		if (rc != LATZ_OK || has_room(store, need)) /* others may have made it */
			return rc;
		if (!is_loose(store) && !lzi_room_has_strays(store, bytes_for(need->span), LZI_ROOM_KEEP))
			break;
		lzi_call_end(call);
		(void)!lzi_actor_reap_all(&store->control, lzi_mend_actor, store);
		if (lzi_wait_left_ns(store->control.timeout_ms) > 0) {
			begun = lzi_clock_mono_ns();
			lzi_sleep_us(500);
			lzi_wait_charge(begun);
		}
		lzi_call_begin(call);
	}
	return full(store, "max_bytes");
}

/* ---- For a record ---- */

int lzi_bound_make_room(struct lzi_call *call, const uint32_t *open, struct lzi_need *need)
{
	struct lzi_store *store = call->store;
	uint64_t waited_ns, before_ns;
	unsigned i, done = 0, idle = 0;
	int rc;

	if (open != &call->actor->extent)
		return LATZ_FULL; /* we are in it */
	if (lzi_load_relaxed(&store->control.shared->bound.policy) == LATZ_POLICY_NONE)
		return make_room_by_cleaning(call, open, need);
	rc = lzi_room_begin(call, 1);
	if (rc != LATZ_OK)
		return rc;
	lzi_hear_tidy(call);
	lzi_bound_look(store);
	lzi_room_give_back_lost(call);
	/* What was waited for readers stays charged even where room is made: they did not leave. */
	waited_ns = lzi_waited_ns;
	for (i = 0; i < STEPS_MAX && rc == LATZ_OK && !has_room(store, need); i++) {
		rc = use_strays(call, need);
		if (rc < 0)
			return rc;
		if (rc > 0) {
			rc = LATZ_OK;
			continue;
		}
		rc = lzi_room_step(call, LZI_EVICT_BYTES, LZI_POLICY_BATCH, idle >= IDLE_FRESH, &done);
		/* An extent that must stay for now may hide others. */
		if (rc == LATZ_BUSY) {
			if (is_run(need->span))
				leave_all(call, need);
			before_ns = lzi_waited_ns;
			lzi_room_give_back(call);
			waited_ns += lzi_waited_ns - before_ns;
			if (++idle < IDLE_MAX && (rc = wait_a_little(call, idle)) != LATZ_OK)
				return rc;
		}
		LZI_POINT("bound.step");
		if (rc == LATZ_OK && (rc = let_others(call)) != LATZ_OK)
			return rc;
	}
	lzi_room_end(call);
	if (rc == LATZ_OK)
		lzi_wait_undo(waited_ns);
	return rc == LATZ_BUSY || i == STEPS_MAX ? full(store, "max_bytes") : rc;
}

/* ---- For an entry ---- */

int lzi_bound_make_entries(struct lzi_call *call, uint32_t count)
{
	struct lzi_store *store = call->store;
	uint64_t max = lzi_load_relaxed(&store->control.shared->bound.max_entries);
	int64_t over = lzi_store_keys(store) + count - (int64_t)(max < INT64_MAX ? max : INT64_MAX);
	unsigned want = over > (int64_t)count ? count : over > 1 ? (unsigned)over : 1, done = 0, idle = 0;
	uint64_t used, dead, since_ns = 0, waited_ns = lzi_waited_ns;
	int rc;

	if (lzi_load_relaxed(&store->control.shared->bound.policy) == LATZ_POLICY_NONE) {
		rc = lzi_expire_for_room(call);
		return rc == 0 ? full(store, "max_entries") : rc < 0 ? rc : LATZ_OK;
	}
	rc = lzi_room_begin(call, 1);
	if (rc != LATZ_OK)
		return rc;
	/* One at least: who finds that others have no bucket now may meet them again and again when he has his. */
	while (rc == LATZ_OK && done < want) {
		unsigned had = done;

		rc = lzi_evict_survey(store, 0, &used, &dead);
		if (rc != LATZ_OK)
			break;
		rc = lzi_evict(call, LZI_EVICT_ENTRIES, LZI_POLICY_BATCH, idle >= IDLE_FRESH, &done);
		if (rc == LATZ_BUSY && ++idle < IDLE_MAX && (rc = wait_a_little(call, idle)) != LATZ_OK)
			return rc;
		if (done > had)
			since_ns = 0;
		else if (rc == LATZ_OK && lzi_room_is_over_time(store, &since_ns))
			rc = lzi_error(LATZ_TIMEOUT, "in %u ms nothing could be evicted", store->control.timeout_ms);
		if (rc == LATZ_OK && done < want && (rc = let_others(call)) != LATZ_OK)
			return rc;
	}
	lzi_room_end(call);
	if (rc == LATZ_OK)
		lzi_wait_undo(waited_ns);
	return rc == LATZ_BUSY ? full(store, "max_entries") : rc;
}
