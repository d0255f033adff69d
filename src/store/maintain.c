/*
 * Maintenance, all under the `maint` mutex: expiry, leftovers of deletes, recounting after a death, giving memory back.
 * Nothing breaks if none of it is ever done; the pool only stays larger than it need be.
 */
#include "config.h"

#include <stdlib.h>

#include "base/error.h"
#include "base/log.h"
#include "base/point.h"
#include "store/retain.h"
#include "store/audit.h"
#include "store/feed.h"
#include "store/hook.h"
#include "store/idle.h"
#include "store/log.h"
#include "store/space.h"

/* Cleaning begins when so much of the heap is dead: while somebody writes the dead are left to gather, since an extent
 * with more of them costs less to empty. */
#define DEAD_PERCENT_BUSY 40u
#define DEAD_PERCENT_IDLE 3u
/* Free extents kept with their blocks: a few, and of those in use a quarter while somebody writes (they would be asked
 * for again at once), or as many as were taken lately if that is more, up to a limit: new blocks take longer than
 * what is written to them. When all is quiet, a 256th. */
#define KEEP_FREE 4u
#define KEEP_WANTED_MAX 64u
#define KEEP_SHIFT_BUSY 2
#define KEEP_SHIFT_IDLE 8
#define PUNCH_MAX 1024u
/* Expired records between two looks at the clock. */
#define EXPIRE_LOOK 64u
#define READER_WAIT_NS 5000000ull
#define HELD_UP_MAX 4u
#define TURNS_MAX 256u
/* Who waits for `maint` is awake by then. */
#define LET_US 100u

/* Whoever died may have been collecting expired records: the next one looks everywhere. */
static void look_for_expired(struct lzi_store *store)
{
	uint64_t n = lzi_heap_count(&store->heap), e, tail;

	for (e = 0; e < n; e++) {
		if (lzi_extent_holds(store, e, &tail))
			lzi_expiry_note(store, lzi_unit_of(e * LZI_EXTENT), 1);
	}
}

int lzi_maint_lock(struct lzi_store *store, int wait)
{
	struct lzi_shared *shared = store->control.shared;
	int rc = wait ? lzi_mutex_lock_patient(&shared->maint, store->control.timeout_ms, "maintenance",
	                                       &shared->heartbeat)
	              : lzi_mutex_lock(&shared->maint, 0, "maintenance");

	rc = lzi_mutex_own(&shared->maint, &store->own.maint, wait ? store->control.timeout_ms : 0, rc);
	if (rc == LZI_OWNER_DIED) {
		lzi_store_release(&shared->recount, 1u);
		rc = lzi_heap_view(&store->heap);
		if (rc == LATZ_OK) {
			look_for_expired(store);
			rc = lzi_heap_unpark_all(&store->heap); /* failing: lzi_heap_park() finds them */
		}
		if (rc != LATZ_OK)
			lzi_maint_unlock(store);
	}
	if (rc == LATZ_OK)
		lzi_bump_relaxed(&shared->maint_turns, 1ull);
	return rc;
}

int lzi_maint_turn(struct lzi_call *call, struct lzi_turns *turns)
{
	struct lzi_store *store = call->store;
	uint64_t begun_ns = lzi_clock_mono_ns();
	int inside = (call->actor->op & 1) != 0, rc;

	lzi_fetch_add_relaxed(&store->control.shared->heartbeat, 1ull);
	if (begun_ns - turns->since_ns < LZI_MAINT_TURN_NS || !lzi_mutex_wanted(&store->control.shared->maint) ||
	    turns->spent_ns >= (uint64_t)store->control.timeout_ms * 1000000)
		return LATZ_OK;
	if (inside)
		lzi_call_end(call);
	lzi_maint_unlock(store);
	lzi_sleep_us(LET_US);
	begun_ns = lzi_clock_mono_ns();
	rc = lzi_maint_lock(store, 1);
	if (inside)
		lzi_call_begin(call);
	turns->since_ns = lzi_clock_mono_ns();
	turns->spent_ns += turns->since_ns - begun_ns;
	turns->lost = rc != LATZ_OK;
	return rc == LATZ_OK ? 1 : rc;
}

int lzi_maint_lock_outside(struct lzi_call *call)
{
	int inside = (call->actor->op & 1) != 0, rc;

	if (inside)
		lzi_call_end(call);
	rc = lzi_maint_lock(call->store, 1);
	if (inside)
		lzi_call_begin(call);
	return rc;
}

void lzi_maint_unlock(struct lzi_store *store)
{
	lzi_mutex_disown(&store->control.shared->maint, &store->own.maint);
}

int64_t lzi_store_keys(const struct lzi_store *store)
{
	uint32_t i, n = lzi_control_actors(&store->control);
	uint64_t keys = (uint64_t)lzi_load_relaxed(&store->control.shared->base_keys);

	for (i = 0; i < n; i++)
		keys += (uint64_t)lzi_load_relaxed(&lzi_control_actor(&store->control, i)->keys);
	return lzi_keys_told(store->control.shared, (int64_t)keys);
}

void lzi_heap_account(struct lzi_store *store, uint64_t *ret_used, uint64_t *ret_dead)
{
	uint64_t n = lzi_heap_count(&store->heap), e, tail, dead;

	*ret_used = *ret_dead = 0;
	if (lzi_heap_view(&store->heap) != LATZ_OK)
		return;
	for (e = 0; e < n; e++) {
		if (lzi_heap_state(&store->heap, e) == LZI_EXTENT_IMAGE) /* all of it alive */
			*ret_used += lzi_load_relaxed(&lzi_heap_meta(&store->heap, e)->tail);
		if (!lzi_extent_holds(store, e, &tail))
			continue;
		dead = lzi_load_relaxed(&lzi_heap_meta(&store->heap, e)->dead);
		*ret_used += tail;
		*ret_dead += dead < tail ? dead : tail;
	}
}

/* ---- Expiry ---- */

struct expiring {
	struct lzi_call *call;
	int64_t now_ms, next_ms;
	uint64_t deadline_ns; /* 0: none */
	unsigned gone;
	int over; /* the deadline is */
};

static int expire_record(struct lzi_record *record, uint64_t unit, void *arg)
{
	struct expiring *expiring = arg;
	struct lzi_write write = { .kind = LZI_WRITE_EXPIRE, .key = { lzi_record_key(record), record->key_size } };
	int64_t expiry;
	int rc;

	(void)unit;
	if ((record->flags & LZI_RECORD_EXT) == 0 || lzi_load_relaxed(&record->died) != 0)
		return 0;
	expiry = lzi_load_relaxed(&lzi_record_ext(record)->expiry);
	if (expiry == 0)
		return 0;
	if (expiry <= expiring->now_ms && expiring->deadline_ns != 0 && ++expiring->gone % EXPIRE_LOOK == 0 &&
	    lzi_clock_mono_ns() > expiring->deadline_ns)
		return expiring->over = 1;
	if (expiry <= expiring->now_ms)
		lzi_hook_ask(expiring->call, write.key, &expiry);
	if (expiry > expiring->now_ms) {
		if (expiring->next_ms == 0 || expiry < expiring->next_ms)
			expiring->next_ms = expiry;
		return 0;
	}
	rc = lzi_store_write(expiring->call, &write);
	return rc == LATZ_OK || rc == LATZ_NOTFOUND || rc == LATZ_MISMATCH ? 0 : rc;
}

/* polite: it ends early when others wait for `maint`. */
static int expire(struct lzi_call *call, uint64_t deadline_ns, int polite, int *ret_more)
{
	struct lzi_store *store = call->store;
	uint64_t n = lzi_heap_count(&store->heap), e, tail;
	struct expiring expiring = { call, lzi_clock_mono_ms(), 0, deadline_ns, 0, 0 };
	int rc = lzi_heap_view(&store->heap);

	for (e = 0; e < n && rc == LATZ_OK; e++) {
		struct lzi_extent *meta = lzi_heap_meta(&store->heap, e);
		int64_t due = lzi_load_relaxed(&meta->expiry_min);

		if (due == 0 || due > expiring.now_ms || lzi_image_bring(store, e) != LATZ_OK ||
		    !lzi_extent_holds(store, e, &tail))
			continue;
		if ((deadline_ns != 0 && lzi_clock_mono_ns() > deadline_ns) || (polite && lzi_bound_urgent(store))) {
			*ret_more = 1;
			break;
		}
		/* Cleared before looking: a deadline noted meanwhile is not lost. */
		if (!lzi_cas_acquire(&meta->expiry_min, &due, (int64_t)0))
			continue;
		expiring.next_ms = 0;
		rc = lzi_extent_walk(store, e, 0, tail, expire_record, &expiring);
		LZI_POINT("expire.walked");
		lzi_expiry_note(store, lzi_unit_of(e * LZI_EXTENT), rc == LATZ_OK ? expiring.next_ms : expiring.now_ms);
		if (expiring.over) {
			*ret_more = 1;
			return LATZ_OK;
		}
	}
	return rc;
}

int lzi_expire(struct lzi_call *call, uint64_t deadline_ns, int *ret_more)
{
	return expire(call, deadline_ns, 1, ret_more);
}

/* Without a lock: what is found now can be collected. */
static int is_something_due(struct lzi_store *store, int64_t now_ms)
{
	uint64_t n, e;

	if (lzi_heap_view(&store->heap) != LATZ_OK)
		return 0;
	n = lzi_load_acquire(&store->control.shared->extents);
	for (e = 0; e < n; e++) {
		int64_t due = lzi_load_relaxed(&lzi_heap_meta(&store->heap, e)->expiry_min);

		if (due != 0 && due <= now_ms)
			return 1;
	}
	return 0;
}

int lzi_expire_for_room(struct lzi_call *call)
{
	struct lzi_store *store = call->store;
	int64_t now_ms = lzi_clock_mono_ms();
	int inside = (call->actor->op & 1) != 0, more = 0, rc;
	uint64_t before = call->actor->expired;

	/* A hook may want what the caller has locked. Deadlines are in milliseconds: one look in each is enough. */
	if (lzi_load_acquire(&store->hooks.first) != NULL || lzi_load_relaxed(&store->undue_ms) == now_ms)
		return 0;
	if (!is_something_due(store, now_ms)) {
		lzi_store_relaxed(&store->undue_ms, now_ms);
		return 0;
	}
	if (inside)
		lzi_call_end(call);
	rc = lzi_maint_lock(store, 1);
	if (rc >= 0) {
		rc = expire(call, 0, 0, &more);
		lzi_maint_unlock(store);
	}
	if (inside)
		lzi_call_begin(call);
	return rc < 0 ? rc : call->actor->expired != before;
}

/* ---- Deleted records still in their slots ---- */

/* Clears a bucket's slots whose records are dead and needed by no scan. Returns how many must stay. */
static int purge_bucket(struct lzi_store *store, struct lzi_bucket *bucket)
{
	int stay = 0;
	unsigned i, hops;

	for (hops = 0; bucket != NULL && hops < LZI_CHAIN_MAX; bucket = lzi_table_next(&store->table, bucket), hops++) {
		for (i = 0; i < LZI_SLOTS; i++) {
			uint64_t word = lzi_load_relaxed(&bucket->slot[i]);
			const struct lzi_record *record =
				lzi_slot_unit(word) == 0 || lzi_image_has(store, lzi_slot_unit(word))
					? NULL
					: lzi_record_at(store, lzi_slot_unit(word));

			if (record == NULL || lzi_death_kind(lzi_load_relaxed(&record->died)) != LZI_DEATH_DELETED)
				continue;
			if (lzi_record_needed(store, record))
				stay++;
			else
				lzi_store_release(&bucket->slot[i], 0ull);
		}
	}
	return stay;
}

int lzi_purge_zombies(struct lzi_call *call)
{
	struct lzi_store *store = call->store;
	struct lzi_shared *shared = store->control.shared;
	uint64_t number;
	int stay = 0, rc = LATZ_OK;

	if (lzi_load_relaxed(&shared->zombies) == 0 || lzi_load_acquire(&shared->pin_max) != 0)
		return LATZ_OK;
	lzi_store_relaxed(&shared->zombies, 0u);
	/* Buckets that come by splits meanwhile get their slots from ones not yet visited, or already clean. */
	for (number = 0; number < lzi_load_acquire(&shared->buckets) && rc == LATZ_OK; number++) {
		struct lzi_bucket *bucket;

		if (lzi_bound_urgent(store)) {
			stay = 1; /* another time */
			break;
		}
		rc = lzi_table_lock(&store->table, call->actor, call->index, number, &bucket);
		if (rc == LATZ_OK) {
			stay += purge_bucket(store, bucket);
			lzi_table_unlock(call->actor, bucket);
		}
	}
	if (stay > 0 || rc != LATZ_OK)
		lzi_store_relaxed(&shared->zombies, 1u);
	return rc;
}

/* ---- Recounting ---- */

struct count {
	uint64_t dead, live_records;
	int64_t book;
	struct lzi_store *store;
	struct lzi_space_cell *spaces; /* or NULL */
};

static int count_record(struct lzi_record *record, uint64_t unit, void *arg)
{
	struct count *count = arg;

	(void)unit;
	if (lzi_load_relaxed(&record->died) != 0)
		count->dead += lzi_record_span_of(record);
	else {
		count->live_records++;
		count->book += lzi_key_is_book(lzi_record_key(record), record->key_size);
		lzi_space_tally_one(count->store, count->spaces, record);
	}
	return 0;
}

/* A sum that changes whenever a thread other than ours begins or ends a call; odd ones are inside one. */
static uint64_t activity(const struct lzi_call *call, int *ret_busy)
{
	uint32_t i, n = lzi_control_actors(&call->store->control);
	uint64_t sum = 0, op;

	lzi_fence_full();
	*ret_busy = 0;
	for (i = 0; i < n; i++) {
		if (i == call->index)
			continue;
		op = lzi_load_acquire(&lzi_control_actor(&call->store->control, i)->op);
		sum += op;
		*ret_busy |= (int)(op & 1);
	}
	lzi_fence_full();
	return sum;
}

/* LZI_RECOUNT_BOOK waits until all of the image is there. */
static int is_due(struct lzi_shared *shared)
{
	uint32_t recount = lzi_load_relaxed(&shared->recount);

	return recount == LZI_RECOUNT_BOOK ? lzi_load_relaxed(&shared->image_left) == 0 : recount != 0;
}

/* While others are active a count may not come to an end, however often it is begun; and it looks at every record. So
 * who has a budget spends a twentieth of the time on it. */
#define RECOUNT_PAUSE 20u

static int recount(struct lzi_call *call, struct lzi_turns *turns)
{
	struct lzi_store *store = call->store;
	struct lzi_shared *shared = store->control.shared;
	struct count count = { .store = store }, all = { 0, 0, 0, NULL, NULL };
	uint64_t n, e, tail, before, first;
	uint32_t none = 0;
	int busy, missed, from_image = 0, rc = lzi_heap_view(&store->heap);
	int64_t keys;

	if (!is_due(shared) || rc != LATZ_OK)
		return rc;
	lzi_store_relaxed(&shared->recount, 0u);
	count.spaces = lzi_space_tally(store);
	LZI_POINT("recount.begin");
	first = activity(call, &missed);
	n = lzi_heap_count(&store->heap); /* behind it: who writes where the heap grows from here on is active */
	for (e = 0; e < n && rc == LATZ_OK; e++) {
		if (lzi_bound_urgent(store)) {
			missed = 1;
			break;
		}
		rc = lzi_maint_turn(call, turns);
		if (rc < 0)
			break;
		missed |= rc; /* what was counted may have been moved to where we come yet */
		rc = LATZ_OK;
		before = activity(call, &busy);
		if (lzi_heap_state(&store->heap, e) == LZI_EXTENT_IMAGE) {
			/* Its records are alive, each a key; dying takes being brought in. */
			all.live_records += lzi_load_relaxed(&lzi_heap_meta(&store->heap, e)->inserts);
			from_image = 1; /* some may be the book's */
			continue;
		}
		if (!lzi_extent_holds(store, e, &tail))
			continue;
		count.dead = count.live_records = 0;
		count.book = 0;
		rc = lzi_extent_walk(store, e, 0, tail, count_record, &count);
		if (!busy && activity(call, &busy) == before)
			lzi_store_relaxed(&lzi_heap_meta(&store->heap, e)->dead, count.dead);
		else
			missed = 1; /* somebody may have changed it under our eyes */
		all.live_records += count.live_records;
		all.book += count.book;
	}
	keys = lzi_keys_told(shared, (int64_t)all.live_records) - lzi_store_keys(store);
	if (rc == LATZ_OK && !missed && activity(call, &busy) == first && keys != 0)
		lzi_fetch_add_relaxed(&shared->base_keys, keys);
	if (rc == LATZ_OK && !missed && !from_image && activity(call, &busy) == first)
		lzi_store_relaxed(&shared->spaces.book, all.book);
	if (rc == LATZ_OK && !missed && activity(call, &busy) == first)
		lzi_space_correct(store, count.spaces);
	free(count.spaces);
	if (rc != LATZ_OK || missed || activity(call, &busy) != first)
		lzi_store_relaxed(&shared->recount, 1u);
	else if (from_image) /* unless somebody has died meanwhile */
		(void)lzi_cas_acquire(&shared->recount, &none, LZI_RECOUNT_BOOK);
	return rc;
}

int lzi_recount(struct lzi_call *call, int patient, struct lzi_turns *turns)
{
	struct lzi_store *store = call->store;
	uint64_t begin, end;
	int rc;

	if (!is_due(store->control.shared))
		return LATZ_OK;
	begin = lzi_clock_mono_ns();
	if (patient && begin < store->recount_due_ns)
		return LATZ_OK;
	rc = recount(call, turns);
	end = lzi_clock_mono_ns();
	store->recount_due_ns = end + (end - begin) * RECOUNT_PAUSE;
	return rc;
}

/* ---- Giving memory back ---- */

/* Whether every attached process can be reached by the barrier. */
static int all_reachable(struct lzi_store *store)
{
	uint32_t i;

	for (i = 0; i < store->control.header->clients_max; i++) {
		const struct lzi_client *client = lzi_control_client(&store->control, i);

		if (lzi_load_acquire(&client->state) != 0 && (client->flags & LZI_CLIENT_MEMBARRIER) == 0 &&
		    lzi_client_alive(&store->control, i, store->client))
			return 0;
	}
	return 1;
}

/* Waits until every thread that was inside a call has left it. The barrier makes up for the fence that
 * lzi_call_begin() does not have: after it, who is inside is seen to be, or sees that the extents are parked. */
int lzi_readers_gone(const struct lzi_call *call)
{
	struct lzi_store *store = call->store;
	uint32_t i, n = lzi_control_actors(&store->control);
	/* By the clock: where many want the processor a nap is far longer than it is asked to be. */
	uint64_t begun = 0, until = 0, left;

	lzi_store_relaxed(&store->in_way, 0u);
	if (!all_reachable(store) || lzi_barrier_all() != LATZ_OK)
		return 0;
	for (i = 0; i < n; i++) {
		const struct lzi_actor *actor = lzi_control_actor(&store->control, i);
		uint64_t op = lzi_load_acquire(&actor->op);

		while (actor != call->actor && (op & 1) != 0 && lzi_load_acquire(&actor->op) == op) {
			if (begun == 0) {
				left = lzi_wait_left_ns(store->control.timeout_ms);
				begun = lzi_clock_mono_ns();
				until = begun + (left < READER_WAIT_NS ? left : READER_WAIT_NS);
			}
			if (lzi_clock_mono_ns() >= until) { /* stopped, perhaps: another time */
				lzi_wait_charge(begun);
				lzi_store_relaxed(&store->in_way, i + 1);
				return 0;
			}
			lzi_sleep_us(50);
		}
	}
	return 1;
}

int lzi_give_back(struct lzi_call *call, uint64_t keep, int partial, int *ret_more)
{
	struct lzi_store *store = call->store;
	uint64_t list[PUNCH_MAX];
	size_t count;
	int rc;

	if ((!partial && lzi_load_relaxed(&store->control.shared->extents_free) <= keep) || !all_reachable(store))
		return LATZ_OK;
	rc = lzi_heap_park(&store->heap, keep, list, PUNCH_MAX, &count);
	if (rc != LATZ_OK || count == 0)
		return rc;
	if (!lzi_readers_gone(call)) {
		lzi_heap_unpark(&store->heap, list, count);
		return LATZ_OK;
	}
	LZI_POINT("punch.quiet");
	rc = lzi_heap_punch(&store->heap, list, count);
	*ret_more |= count == PUNCH_MAX;
	return rc;
}

/* Free extents that should keep their blocks. When all is quiet, those that have blocks only in part are given back
 * too. */
static uint64_t keep_free(const struct lzi_store *store, int idle)
{
	const struct lzi_shared *shared = store->control.shared;
	uint64_t in_use = lzi_load_relaxed(&shared->extents) - lzi_load_relaxed(&shared->extents_free) -
	                  lzi_load_relaxed(&shared->extents_hole);
	uint64_t wanted = lzi_load_relaxed(&store->wanted);

	if (idle)
		return KEEP_FREE + (in_use >> KEEP_SHIFT_IDLE);
	in_use >>= KEEP_SHIFT_BUSY;
	wanted = wanted < KEEP_WANTED_MAX ? wanted : KEEP_WANTED_MAX;
	return KEEP_FREE + (in_use > wanted ? in_use : wanted);
}

/* ---- All of it ---- */

static int shrink_index(struct lzi_store *store)
{
	int rc = lzi_index_lock(&store->index);

	if (rc != LATZ_OK)
		return rc;
	rc = lzi_index_pack(&store->index);
	if (rc == LATZ_OK)
		rc = lzi_index_trim(&store->index);
	lzi_index_unlock(&store->index);
	return rc;
}

static int maintain_locked(struct lzi_call *call, uint64_t deadline_ns, unsigned what, struct lzi_turns *turns,
                           int *ret_more)
{
	struct lzi_store *store = call->store;
	const int idle = (what & LZI_MAINTAIN_IDLE) != 0;
	unsigned freed;
	int rc, index_rc = LATZ_OK, cleaning = 0;

	if (lzi_is_bounded(store))
		lzi_bound_maintain(call, LZI_EVICT_BYTES, deadline_ns, ret_more);
	if ((what & LZI_MAINTAIN_INDEX) != 0 && lzi_bound_index_wanted(store))
		index_rc = lzi_catchup(store);
	rc = lzi_expire(call, deadline_ns, ret_more);
	if (rc == LATZ_OK)
		rc = lzi_purge_zombies(call);
	if (rc == LATZ_OK)
		rc = lzi_recount(call, deadline_ns != 0, turns);
	if (turns->lost)
		return rc;
	/* Without room for the index extents can't be cleaned, but for those it has seen. */
	if (rc == LATZ_OK)
		rc = lzi_clean(call, idle ? DEAD_PERCENT_IDLE : DEAD_PERCENT_BUSY, deadline_ns, &freed, &cleaning);
	*ret_more |= cleaning;
	if (rc == LATZ_FULL) /* no extent to move to: some will be evicted for the next writer */
		rc = LATZ_OK;
	if (rc == LATZ_OK)
		lzi_space_collect(call, deadline_ns, ret_more);
	if (rc == LATZ_OK)
		rc = lzi_give_back(call, keep_free(store, idle), idle, ret_more);
	if (rc == LATZ_OK && idle)
		lzi_image_bring_ahead(store, deadline_ns, ret_more);
	if (rc == LATZ_OK && (what & LZI_MAINTAIN_HUGE) != 0)
		lzi_use_huge_pages(store, ret_more);
	if (idle)
		lzi_locks_trim(store);
	if (rc == LATZ_OK && index_rc == LATZ_OK && idle)
		index_rc = shrink_index(store);
	return rc != LATZ_OK ? rc : index_rc;
}

int lzi_store_maintain(struct lzi_call *call, unsigned budget_us)
{
	lzi_scribe_work(call);
	/* Not on a budget: the kernel may wait for all processors before it gathers a page. */
	return lzi_maintain(call, budget_us,
	                    LZI_MAINTAIN_IDLE | LZI_MAINTAIN_INDEX | (budget_us == 0 ? LZI_MAINTAIN_HUGE : 0));
}

static void client_gone(uint32_t slot, void *call)
{
	lzi_audit_gone(((struct lzi_call *)call)->store, slot);
	lzi_feed_client_gone(slot, call);
}

void lzi_reap_clients(struct lzi_call *call)
{
	struct lzi_store *store = call->store;

	if (lzi_exchange(&store->reaping, 1u) != 0)
		return;
	(void)lzi_client_reap(&store->control, store->client, client_gone, call);
	lzi_store_release(&store->reaping, 0u);
}

/* Most of what there is to do, a little at a time: who waits for `maint` does not wait for all of it. */
static int maintain_in_turns(struct lzi_call *call, unsigned what, struct lzi_turns *turns)
{
	uint64_t until_ns;
	unsigned i;
	int more, rc;

	for (i = 0; i < TURNS_MAX; i++) {
		/* Who is waiting now waits for a round at most; if the one who said so died, nobody else would take it
		 * back. */
		lzi_store_relaxed(&call->store->control.shared->bound.urgent, 0u);
		more = 0;
		until_ns = lzi_clock_mono_ns() + LZI_MAINT_TURN_NS;
		rc = maintain_locked(call, until_ns, what & ~(unsigned)LZI_MAINTAIN_HUGE, turns, &more);
		if (turns->lost)
			return rc;
		if (lzi_bound_urgent(call->store))
			turns->since_ns = 0; /* it is time */
		else if (!more || lzi_clock_mono_ns() < until_ns)
			break;
		if (rc != LATZ_OK)
			break;
		rc = lzi_maint_turn(call, turns);
		if (rc < 0)
			return rc;
	}
	return LATZ_OK; /* what failed does so again, and what is left is not much */
}

int lzi_maintain(struct lzi_call *call, unsigned budget_us, unsigned what)
{
	struct lzi_store *store = call->store;
	uint64_t deadline = budget_us == 0 ? 0 : lzi_clock_mono_ns() + (uint64_t)budget_us * 1000;
	struct lzi_turns turns = { 0, 0, 0 };
	unsigned held_up = 0;
	int more = 0, rounds, rc;

	lzi_reap_clients(call);
	rc = lzi_actor_reap_all(&store->control, lzi_mend_actor, store);
	if (rc < 0)
		return rc;
	lzi_space_rest(call);
	lzi_retain_rest(call, 1);
	lzi_feed_rest(call);
	rc = lzi_maint_lock(store, budget_us == 0);
	turns.since_ns = lzi_clock_mono_ns();
	if (rc == LATZ_OK && budget_us == 0)
		rc = maintain_in_turns(call, what, &turns);
	if (rc != LATZ_OK)
		return rc;
	lzi_store_relaxed(&store->control.shared->bound.urgent, 0u); /* likewise */
	for (rounds = 0; rounds < 64; rounds++) {
		more = 0;
		rc = maintain_locked(call, deadline, what, &turns, &more);
		if (turns.lost)
			return rc;
		/* Who is in the way of giving back is waited for each time: he may be stopped. */
		held_up += lzi_load_relaxed(&store->in_way) != 0;
		if (rc != LATZ_OK || !more || (deadline != 0 && lzi_clock_mono_ns() > deadline) ||
		    lzi_bound_urgent(store) || held_up == HELD_UP_MAX)
			break;
	}
	if (budget_us == 0 && call->actor->clean_extent != 0) {
		uint64_t extent = call->actor->clean_extent - 1;

		lzi_store_relaxed(&call->actor->clean_extent, 0u);
		lzi_heap_leave(&store->heap, extent);
	}
	lzi_maint_unlock(store);
	lzi_idle_check(call);
	return rc != LATZ_OK ? rc : more ? LATZ_BUSY : LATZ_OK;
}
