/*
 * Cleaning: emptying the extents with the least live data by moving their live records, taking the keys of deleted ones
 * out of the index, and freeing them; all under `maint`.
 *
 * An extent is freed only when no slot names a record in it (each was moved or is dead), no open scan may need one of
 * its dead versions, no borrowed view holds it, and the index has walked it. A borrower announces its extent, passes a
 * full barrier and looks at the slot again; we change the slot (a locked instruction) and then look at the
 * announcements: one of us sees the other.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/point.h"
#include "store/changes.h"
#include "store/store_int.h"

/* A writer cleans by itself when so much of the heap is dead and the janitor has not come. */
#define INLINE_DEAD_PERCENT 50u
#define INLINE_BUDGET_NS 500000u
/* Runs it frees at most, each of them as large as the one it writes, more or less; and what may be dead anyhow. */
#define INLINE_RUNS 64u
#define INLINE_DEAD_MIN (16ull * LZI_EXTENT)
/* Free extents that stay when space is short. */
#define KEEP_SPARE 4u
/* Extents emptied before the index hears of it and they are freed, in one go. */
#define GROUP 1024u

/* Who has little time looks for so many of the extents with the least live data, told apart by so many classes. */
#define LEAST 256u
#define LIVE_CLASSES 64u

struct victim {
	uint64_t extent, live, dead;
};

struct cleaning {
	struct lzi_call *call;
	uint32_t *open; /* where this extent's records go */
	struct lzi_changes removals;
	const uint8_t *end; /* of this extent's records */
	int kept;           /* this extent holds something that must stay */
};

/* A deleted record may still be named by its slot, kept for scans that have ended since. */
static int purge(struct cleaning *cleaning, struct lzi_record *record, uint64_t unit)
{
	struct lzi_call *call = cleaning->call;
	struct lzi_store *store = call->store;
	latz_slice key = { lzi_record_key(record), record->key_size };
	uint64_t hash = lzi_store_hash(store, key.data, key.size), *slot;
	struct lzi_record *found;
	struct lzi_bucket *bucket;
	int rc = lzi_table_lock(&store->table, call->actor, call->index, hash, &bucket);

	if (rc != LATZ_OK)
		return rc;
	rc = lzi_write_find(store, bucket, key, hash, &slot, &found);
	if (rc == LATZ_OK && lzi_slot_unit(lzi_load_relaxed(slot)) == unit) {
		LZI_POINT("purge.slot");
		lzi_store_release(slot, 0ull);
		rc = LATZ_NOTFOUND;
	} else if (rc == LATZ_OK && found->flags & LZI_RECORD_HAS_PREV &&
	           lzi_record_ext(found)->oldest <= lzi_load_acquire(&store->control.shared->pin_max)) {
		/* Set again since. A scan from between the delete and that follows the links down to here, to find the
		 * delete. */
		cleaning->kept = 1;
	}
	lzi_table_unlock(call->actor, bucket);
	/* Gone from the table, so it goes from the index. Who sets it again is indexed after us. */
	if (rc == LATZ_NOTFOUND)
		return lzi_changes_add(&cleaning->removals, store->control.header->hash_seed, key.data, key.size, 1);
	return rc;
}

/* The next record's bucket is a cache miss of its own: asked for while this record is moved. */
static void prefetch_next(const struct cleaning *cleaning, const struct lzi_record *record)
{
	const uint8_t *end = (const uint8_t *)record + lzi_record_span_of(record);
	const struct lzi_record *next = (const struct lzi_record *)(const void *)end;

	if (end + sizeof *next > cleaning->end || lzi_load_relaxed(&next->died) != 0 || next->key_size > LZI_KEY_MAX ||
	    lzi_record_key(next) + next->key_size > cleaning->end)
		return;
	lzi_read_prefetch_bucket(cleaning->call->store,
	                         lzi_store_hash(cleaning->call->store, lzi_record_key(next), next->key_size));
}

static int clean_record(struct lzi_record *record, uint64_t unit, void *arg)
{
	struct cleaning *cleaning = arg;
	struct lzi_call *call = cleaning->call;
	uint64_t died = lzi_load_acquire(&record->died);
	int rc;

	prefetch_next(cleaning, record);
	if (died == 0) {
		rc = lzi_move_record(call, cleaning->open, unit, 0, 0, 0);
		if (rc == LATZ_OK) {
			lzi_fetch_add_relaxed(&call->store->control.shared->cleaned_bytes, lzi_record_span_of(record));
			return 0;
		}
		if (rc != LATZ_NOTFOUND)
			return rc;
		died = lzi_load_acquire(&record->died);
		if (died == 0) {
			/* No slot names it and nobody killed it: damage, which verify tells of. It can't be reached;
			 * let it go. */
			lzi_log(LATZ_LOG_WARNING, "%s: record at heap offset %llu was in no slot", call->store->name,
			        (unsigned long long)lzi_unit_offset(unit));
			lzi_record_kill(call->store, record, unit, record->seq, LZI_DEATH_SUPERSEDED);
			return 0;
		}
	}
	if (lzi_death_kind(died) != LZI_DEATH_MOVED &&
	    lzi_death_seq(died) > lzi_load_acquire(&call->store->control.shared->pin_min) &&
	    lzi_record_needed(call->store, record)) {
		cleaning->kept = 1;
		return 0;
	}
	return lzi_death_kind(died) == LZI_DEATH_DELETED ? purge(cleaning, record, unit) : 0;
}

static int is_borrowed(struct lzi_store *store, uint64_t extent)
{
	uint32_t i, j;

	lzi_fence_full();
	for (i = 0; i < store->control.header->clients_max; i++) {
		struct lzi_client *client = lzi_control_client(&store->control, i);

		if (lzi_load_relaxed(&client->state) == 0)
			continue; /* set before anything is borrowed */
		for (j = 0; j < LZI_HAZARDS; j++) {
			if (lzi_load_acquire(&client->hazards[j]) == extent + 1)
				return 1;
		}
	}
	return 0;
}

/* Empties an extent. LATZ_OK: it may be freed. LATZ_BUSY: it must stay for now. */
static int empty(struct cleaning *cleaning, uint64_t extent)
{
	struct lzi_store *store = cleaning->call->store;
	struct lzi_extent *meta = lzi_heap_meta(&store->heap, extent);
	uint64_t tail;
	int rc;

	if (lzi_heap_state(&store->heap, extent) != LZI_EXTENT_RUN) {
		rc = lzi_heap_shut(&store->heap, extent);
		if (rc != LATZ_OK)
			return rc;
	}
	if (!lzi_extent_holds(store, extent, &tail) ||
	    (lzi_load_relaxed(&meta->indexed) < tail &&
	     lzi_load_relaxed(&meta->inserts) != lzi_load_relaxed(&meta->inserts_seen) &&
	     lzi_load_relaxed(&store->control.shared->index_rebuild) == 0))
		return LATZ_BUSY;
	/* What the log has not got yet stays where it will be looked for. */
	if (lzi_log_collects(store) &&
	    (uint64_t)lzi_load_acquire(&meta->logged) * LZI_UNIT < tail)
		return LATZ_BUSY;
	cleaning->kept = 0;
	/* In a bounded pool what is fresh stays so: being beside what was overwritten is no merit. */
	cleaning->open = lzi_is_bounded(store) && lzi_load_relaxed(&meta->list) == LZI_LIST_WINDOW
	                         ? &cleaning->call->actor->clean_window
	                         : &cleaning->call->actor->clean_extent;
	cleaning->end = (const uint8_t *)lzi_heap_at(&store->heap, extent * LZI_EXTENT, tail) + tail;
	rc = lzi_extent_walk(store, extent, 0, tail, clean_record, cleaning);
	LZI_POINT("clean.emptied");
	if (rc != LATZ_OK)
		return rc;
	return cleaning->kept || is_borrowed(store, extent) ? LATZ_BUSY : LATZ_OK;
}

/* The keys of deleted records leave the index, then their extents are free. */
static int finish(struct cleaning *cleaning, const uint64_t *done, size_t count)
{
	struct lzi_store *store = cleaning->call->store;
	size_t i;
	int rc = lzi_changes_apply(store, &cleaning->removals);

	if (rc == LATZ_NOSPC) {
		/* No room even to take entries out. Space for values matters more: the index is made anew when it can
		 * be. */
		lzi_store_relaxed(&store->control.shared->index_rebuild, 1u);
		rc = LATZ_OK;
	}
	LZI_POINT("clean.unindexed");
	for (i = 0; i < count && rc == LATZ_OK; i++)
		rc = lzi_heap_free(&store->heap, done[i]);
	lzi_changes_fini(&cleaning->removals);
	return rc;
}

int lzi_clean_extent(struct lzi_call *call, uint64_t extent)
{
	struct cleaning cleaning = { .call = call };
	int rc = empty(&cleaning, extent);

	if (rc == LATZ_OK)
		rc = finish(&cleaning, &extent, 1);
	else
		lzi_changes_fini(&cleaning.removals);
	return rc;
}

int lzi_clean_judged(struct lzi_call *call, uint64_t extent)
{
	struct lzi_store *store = call->store;
	const struct lzi_shared *shared = store->control.shared;
	uint64_t tail;
	int rc;

	/* Without scans nothing dead is wanted any more; without the index, and keys deleted under a scan, nothing has
	 * to be cleared up after it. A pin taken from here on is of a time when all of it was dead. */
	lzi_fence_full();
	if (lzi_load_acquire(&shared->pin_max) != 0 || lzi_load_relaxed(&shared->zombies) != 0 ||
	    lzi_load_relaxed(&shared->index_rebuild) == 0 || lzi_log_collects(store))
		return lzi_clean_extent(call, extent);
	rc = lzi_heap_shut(&store->heap, extent);
	/* Somebody may have taken it for the room at its end, and left it again, since its records were judged. */
	if (rc == LATZ_OK &&
	    (!lzi_extent_holds(store, extent, &tail) ||
	     lzi_load_relaxed(&lzi_heap_meta(&store->heap, extent)->judged) * (uint64_t)LZI_UNIT != tail))
		rc = LATZ_BUSY;
	if (rc == LATZ_OK && is_borrowed(store, extent))
		rc = LATZ_BUSY;
	return rc == LATZ_OK ? lzi_heap_free(&store->heap, extent) : rc;
}

static int compare(const void *a, const void *b)
{
	const struct victim *x = a, *y = b;

	return (x->live > y->live) - (x->live < y->live);
}

/* The first of a list are to be the some least live ones: the others, and with them the sorting of them all, are left
 * out. Returns how many there are then. */
static size_t choose_least(struct victim *list, size_t count)
{
	size_t have[LIVE_CLASSES + 1] = { 0 }, i, n = 0, sum = 0;
	unsigned most;

	for (i = 0; i < count; i++)
		have[list[i].live * LIVE_CLASSES / LZI_EXTENT]++;
	for (most = 0; most < LIVE_CLASSES && (sum += have[most]) < LEAST; most++)
		;
	for (i = 0; i < count; i++) {
		if (list[i].live * LIVE_CLASSES / LZI_EXTENT <= most)
			list[n++] = list[i];
	}
	return n;
}

/* Extents with dead data, least live first; used and dead: bytes of all records. some: who has little time does not
 * need all of them; *ret_more is 1 then if there are others. */
static int choose(struct lzi_store *store, int some, int *ret_more, struct victim **ret_list, size_t *ret_count,
                  uint64_t *ret_used, uint64_t *ret_dead)
{
	uint64_t n = lzi_heap_count(&store->heap), e, tail;
	struct victim *list;
	size_t count = 0;
	int rc = lzi_heap_view(&store->heap);

	*ret_used = *ret_dead = 0;
	if (rc != LATZ_OK)
		return rc;
	list = malloc((n + 1) * sizeof *list);
	if (list == NULL)
		return lzi_error(LATZ_NOMEM, "list of %llu extents", (unsigned long long)n);
	for (e = 0; e < n; e++) {
		uint64_t dead = lzi_load_relaxed(&lzi_heap_meta(&store->heap, e)->dead);
		enum lzi_extent_state state = lzi_heap_state(&store->heap, e);

		if (state == LZI_EXTENT_IMAGE)
			*ret_used += lzi_load_relaxed(&lzi_heap_meta(&store->heap, e)->tail);
		if (!lzi_extent_holds(store, e, &tail))
			continue;
		*ret_used += tail;
		*ret_dead += dead < tail ? dead : tail;
		if (state == LZI_EXTENT_OPEN || dead == 0 || (state == LZI_EXTENT_RUN && dead < tail))
			continue;
		list[count].extent = e;
		list[count].dead = dead < tail ? dead : tail;
		list[count++].live = dead < tail ? tail - dead : 0;
	}
	if (some && count > LEAST) {
		n = count;
		count = choose_least(list, count);
		*ret_more = count < n;
	}
	if (count > 1)
		qsort(list, count, sizeof *list, compare);
	*ret_list = list;
	*ret_count = count;
	return LATZ_OK;
}

static int clean(struct lzi_call *call, unsigned dead_percent, uint64_t deadline_ns, int some, unsigned *ret_freed,
                 int *ret_more)
{
	struct cleaning cleaning = { .call = call };
	uint64_t done[GROUP], used = 0, dead = 0, freed = 0;
	struct victim *list = NULL;
	size_t count = 0, i, n = 0;
	int others = 0, rc = choose(call->store, some, &others, &list, &count, &used, &dead);

	*ret_more = 0;
	*ret_freed = 0;
	for (i = 0; i < count && rc == LATZ_OK; i++) {
		/* An extent all of whose records are dead costs nothing but the look. */
		if (list[i].live > 0 && (dead - freed) * 100 <= (used - freed) * dead_percent)
			break;
		if (list[i].live > 0 && deadline_ns != 0 && lzi_clock_mono_ns() > deadline_ns) {
			*ret_more = 1;
			break;
		}
		rc = empty(&cleaning, list[i].extent);
		if (rc == LATZ_OK) {
			done[n++] = list[i].extent;
			(*ret_freed)++;
			freed += list[i].dead;
		}
		/* What is empty already gives the room to go on with. */
		if (rc == LATZ_BUSY || (rc == LATZ_NOSPC && n > 0))
			rc = LATZ_OK;
		else if (rc != LATZ_OK)
			break;
		if (n == GROUP || (n > 0 && lzi_load_relaxed(&call->store->control.shared->extents_free) <= 1)) {
			rc = finish(&cleaning, done, n);
			n = 0;
		}
	}
	if (i == count && others && (dead - freed) * 100 > (used - freed) * dead_percent)
		*ret_more = 1;
	if (n > 0) {
		int last = finish(&cleaning, done, n);

		rc = rc == LATZ_OK ? last : rc;
	}
	lzi_changes_fini(&cleaning.removals);
	free(list);
	return rc;
}

int lzi_clean(struct lzi_call *call, unsigned dead_percent, uint64_t deadline_ns, unsigned *ret_freed, int *ret_more)
{
	int rc = clean(call, dead_percent, deadline_ns, deadline_ns != 0, ret_freed, ret_more);

	/* Those with the least may all have to stay for now. */
	if (rc == LATZ_OK && *ret_freed == 0 && *ret_more && lzi_clock_mono_ns() < deadline_ns)
		rc = clean(call, dead_percent, deadline_ns, 0, ret_freed, ret_more);
	return rc;
}

void lzi_clean_inline(struct lzi_call *call)
{
	struct lzi_store *store = call->store;
	const struct lzi_shared *shared = store->control.shared;
	uint64_t used, dead;
	unsigned emptied;
	int more;

	/* Looking costs with the size of the heap, so it is done the more seldom the larger the heap is. */
	if (lzi_load_relaxed(&shared->extents_free) > 1 ||
	    lzi_fetch_add_relaxed(&store->refills, 1u) % (1 + lzi_load_relaxed(&shared->extents) / 64) != 0)
		return;
	lzi_heap_account(store, &used, &dead);
	if (used < 16 * (uint64_t)LZI_EXTENT || dead * 100 < used * INLINE_DEAD_PERCENT)
		return;
	if (lzi_maint_lock(store, 0) != LATZ_OK)
		return;
	if (lzi_catchup(store) == LATZ_OK || lzi_load_relaxed(&store->control.shared->index_rebuild))
		(void)!lzi_clean(call, INLINE_DEAD_PERCENT, lzi_clock_mono_ns() + INLINE_BUDGET_NS, &emptied, &more);
	lzi_maint_unlock(store);
}

/* Lists runs whose record is dead, beginning anywhere, so that some that must stay do not hide the others; the bytes
 * dead in all runs, and alive in all extents. */
static size_t choose_runs(struct lzi_store *store, uint64_t begin, uint64_t *list, size_t max, uint64_t *ret_dead,
                          uint64_t *ret_live)
{
	uint64_t n = lzi_heap_count(&store->heap), e, i, tail, dead;
	size_t count = 0;

	*ret_dead = *ret_live = 0;
	if (lzi_heap_view(&store->heap) != LATZ_OK)
		return 0;
	for (i = 0; i < n; i++) {
		e = (begin + i) % n;
		if (!lzi_extent_holds(store, e, &tail))
			continue;
		dead = lzi_load_relaxed(&lzi_heap_meta(&store->heap, e)->dead);
		*ret_live += dead < tail ? tail - dead : 0;
		if (dead < tail || tail == 0 || lzi_heap_state(&store->heap, e) != LZI_EXTENT_RUN)
			continue;
		*ret_dead += tail;
		if (count < max)
			list[count++] = e;
	}
	return count;
}

void lzi_clean_runs(struct lzi_call *call, uint64_t span)
{
	struct lzi_store *store = call->store;
	struct cleaning cleaning = { .call = call };
	uint64_t list[INLINE_RUNS], dead, live;
	uint32_t taken = (uint32_t)((span + LZI_EXTENT - 1) / LZI_EXTENT), before, every;
	size_t count, i, n = 0;

	/* Looking costs with the size of the heap, so the more is written between two looks the larger the heap is. */
	every = 1 + (uint32_t)(lzi_heap_count(&store->heap) / 64);
	before = lzi_fetch_add_relaxed(&store->in_runs, taken);
	if ((before + taken) / every == before / every)
		return;
	(void)choose_runs(store, 0, list, 0, &dead, &live);
	if (dead < INLINE_DEAD_MIN || dead < live || lzi_maint_lock(store, 0) != LATZ_OK)
		return;
	if (lzi_catchup(store) == LATZ_OK || lzi_load_relaxed(&store->control.shared->index_rebuild)) {
		count = choose_runs(store, before, list, INLINE_RUNS, &dead, &live);
		for (i = 0; i < count; i++) {
			if (empty(&cleaning, list[i]) == LATZ_OK)
				list[n++] = list[i];
		}
		if (n > 0)
			(void)!finish(&cleaning, list, n);
		lzi_changes_fini(&cleaning.removals);
	}
	lzi_maint_unlock(store);
}

/* Extents that an appender can take without growing the heap. */
static uint64_t with_room(const struct lzi_store *store)
{
	const struct lzi_shared *shared = store->control.shared;

	return lzi_load_relaxed(&shared->extents_free) + lzi_load_relaxed(&shared->extents_room);
}

int lzi_clean_for_room(struct lzi_call *call, const uint32_t *open)
{
	struct lzi_store *store = call->store;
	uint64_t before, blocks;
	unsigned emptied;
	int more, rc;

	if (open != &call->actor->extent)
		return LATZ_NOSPC; /* we are in it */
	rc = lzi_maint_lock_outside(call);
	if (rc != LATZ_OK)
		return rc;
	before = with_room(store);
	blocks = lzi_file_blocks(store->heap.fd);
	rc = lzi_catchup(store);
	if (rc == LATZ_NOSPC) {
		/* The index can't take the new keys now. It is made anew later; what it has not seen need not keep
		 * extents. */
		lzi_store_relaxed(&store->control.shared->index_rebuild, 1u);
		lzi_skip_index(store);
		rc = LATZ_OK;
	}
	if (rc == LATZ_OK)
		rc = lzi_clean(call, 2, 0, &emptied, &more);
	if (rc == LATZ_OK)
		(void)!lzi_give_back(call, KEEP_SPARE, 1, &more); /* blocks of extents that are empty, but not FREE */
	lzi_maint_unlock(store);
	return lzi_file_blocks(store->heap.fd) < blocks || with_room(store) > before ? LATZ_OK
	       : rc != LATZ_OK                                                       ? rc
	                                                                             : LATZ_NOSPC;
}
