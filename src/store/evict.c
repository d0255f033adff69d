/*
 * Eviction: what goes when a bounded pool is full. All under `maint`.
 *
 * By age (the default): extents of each of two lists, window and main, oldest first; their live records, a batch at a
 * time, are put to the policy, with the visits their slots have counted. Those it keeps are moved to the main list's
 * open extent, the others die. When all of an extent has been judged it is emptied as cleaning does and is free. By
 * entry: the policy names keys by their hash; their records die, and cleaning gets the space back.
 *
 * A death in the middle leaves records that were moved or evicted, or not yet; the extent's `judged` is behind, so some
 * are looked at twice, and those still alive are judged then. An evicted record is dead as if it had been moved: a scan
 * that is open does not find it any more. doc/bounds.md has the order of stores.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/point.h"
#include "policy/policy.h"
#include "store/feed.h"
#include "store/log.h"
#include "store/oldest.h"
#include "store/space.h"

/* Extents judged, of this many, between two looks at all of them. */
#define SURVEY_SHARE 64u
/* And questions between two, as a multiple of their number; a part of it where entries go one by one: that empties no
 * extent, but cleaning has to know of it. */
#define SURVEY_ASKED 3u
#define ASKED_SHARE 16u
/* Batches in the life of all entries, at least. */
#define GRAIN 128u
/* Threads whose last write is looked up in a list; more of them one by one. */
#define FRESH_MAX 128u
/* What judging an extent comes to, beside results: nothing in it that was not judged before may go. */
#define ONLY_FRESH 1
#define ONLY_BOOK 2

struct target {
	uint64_t unit, hash;
	uint32_t span;
	int expired;
	int fresh; /* its writer has written nothing since */
	int book;  /* what namespaces are called: never goes */
};

struct batch {
	struct lzi_call *call;
	struct target target[LZI_POLICY_BATCH];
	int keep[LZI_POLICY_BATCH]; /* what the policy says */
	unsigned count, limit;
	unsigned others; /* that are neither fresh nor the book's */
	unsigned books;
	unsigned stay;   /* fresh ones, for which there is no room elsewhere, or which have just become so */
	int last_resort; /* there are no others: fresh ones go */
	int by_bytes;
	uint64_t end; /* unit behind the last record looked at */
	int64_t now_ms;
};

/* ---- One entry ---- */

static int is_expired(const struct lzi_record *record)
{
	int64_t expiry = record->flags & LZI_RECORD_EXT ? lzi_load_relaxed(&lzi_record_ext(record)->expiry) : 0;

	return expiry != 0 && expiry <= lzi_clock_mono_ms();
}

/* The bucket is locked: the record dies, its slot is cleared. */
static void evict_slot(struct lzi_call *call, uint64_t *slot, struct lzi_record *record, uint64_t unit)
{
	struct lzi_shared *shared = call->store->control.shared;
	struct lzi_actor *actor = call->actor;
	int spaced = lzi_record_is_spaced(record), expired = is_expired(record);
	uint32_t kind = LZI_INTENT_EVICT;

	if (lzi_unlikely(call->store->on_evict != NULL))
		call->store->on_evict(call->store->on_evict_arg, record);
	/* As in a delete: who sets the key again must get a later version. */
	if (record->seq >= lzi_load_acquire(&shared->clock))
		lzi_fetch_add(&shared->clock, LZI_SEQ_STRIDE);
	if (lzi_is_fed(call->store)) {
		lzi_feed_removed(call, expired ? LATZ_EVENT_EXPIRE : LATZ_EVENT_EVICT, record);
		kind |= LZI_INTENT_FED;
	}
	actor->record_old = unit;
	actor->record_new = 0;
	actor->keys_after = actor->keys - 1;
	if (spaced)
		lzi_space_intend(call, NULL, record, -1);
	/* Before it happens: a delete looks at it to see whether what is not there may be in the log. */
	lzi_bump_relaxed(&shared->bound.evicted, 1ull);
	lzi_store_release(&actor->kind, kind);
	LZI_POINT("evict.intent");
	lzi_record_kill(call->store, record, unit, record->seq, LZI_DEATH_MOVED); /* the eviction happens here */
	LZI_POINT("evict.dead");
	lzi_store_relaxed(&actor->keys, actor->keys_after);
	if (spaced)
		lzi_space_happened(call->store, actor, call->index);
	lzi_store_release(slot, 0ull);
	LZI_POINT("evict.cleared");
	if (lzi_unlikely(kind & LZI_INTENT_FED))
		lzi_feed_settle(call->store, actor, call->index, 1);
	lzi_store_release(&actor->kind, (uint32_t)LZI_INTENT_NONE);
	if (spaced)
		lzi_store_release(&actor->space, 0u);
	lzi_bump_relaxed(&shared->bound.evicted_for[expired ? LZI_EVICT_EXPIRED : call->store->evictor->why], 1ull);
	lzi_bump_relaxed(&shared->bound.evicted_bytes, lzi_record_span_of(record));
}

/* The slot of a chain that names the record at `unit`, or with unit 0 one whose key has the hash. */
static uint64_t *find_slot(struct lzi_store *store, struct lzi_bucket *bucket, uint64_t hash, uint64_t unit,
                           struct lzi_record **ret_record)
{
	unsigned match, hops;

	for (hops = 0; bucket != NULL && hops < LZI_CHAIN_MAX; bucket = lzi_table_next(&store->table, bucket), hops++) {
		for (match = lzi_slots_matching(bucket, hash); match != 0; match &= match - 1) {
			uint64_t *slot = lzi_slot_at(bucket, match), at = lzi_slot_unit(lzi_load_relaxed(slot));
			struct lzi_record *record;

			if (at == 0 || (unit != 0 && at != unit))
				continue;
			record = lzi_record_at(store, at);
			if (record == NULL ||
			    (unit == 0 && lzi_store_hash(store, lzi_record_key(record), record->key_size) != hash))
				continue;
			*ret_record = record;
			return slot;
		}
	}
	return NULL;
}

/* Whether a log still has to get the record. If it died before, a restart would bring back the version before it. */
static int log_lacks(struct lzi_store *store, uint64_t unit)
{
	uint64_t offset = lzi_unit_offset(unit), extent = offset >> LZI_EXTENT_SHIFT;

	return lzi_log_collects(store) &&
	       (uint64_t)lzi_load_acquire(&lzi_heap_meta(&store->heap, extent)->logged) * LZI_UNIT <=
	               (offset & (LZI_EXTENT - 1));
}

/* ---- What is fresh ---- */

/* What threads wrote last is to be there when they look for it, whatever the policy thinks of it. */
static const struct lzi_actor *who_wrote(const struct lzi_store *store, uint64_t hash)
{
	uint32_t n = lzi_control_actors(&store->control), i;

	for (i = 0; i < n; i++) {
		const struct lzi_actor *actor = lzi_control_actor(&store->control, i);

		if (lzi_load_relaxed(&actor->fresh_hash) == hash && lzi_load_relaxed(&actor->state) != 0)
			return actor;
	}
	return NULL;
}

/* Has the log written, not synced; what comes of it, its extents' accounts tell. */
static int write_log(struct lzi_store *store)
{
	int rc = lzi_log_lock(store, 1);

	if (rc != LATZ_OK)
		return rc;
	if (lzi_is_durable(store) && lzi_log_check(store) == LATZ_OK)
		(void)!lzi_log_flush(store, 0); /* failing breaks the log: then it lacks nothing */
	lzi_log_unlock(store);
	return LATZ_OK;
}

/* LATZ_NOTFOUND: it has gone, or is another one by now. LATZ_BUSY: the log has not got it yet. LATZ_EXISTS: somebody
 * has just written it, or seen that it is as it should be; that does not count if it is forsaken. */
static int evict_one(struct lzi_call *call, uint64_t hash, uint64_t unit, int forsaken)
{
	struct lzi_store *store = call->store;
	struct lzi_record *record = NULL;
	struct lzi_bucket *bucket;
	uint64_t *slot;
	int rc = lzi_table_lock(&store->table, call->actor, call->index, hash, &bucket);

	if (rc != LATZ_OK)
		return rc;
	slot = find_slot(store, bucket, hash, unit, &record);
	if (slot == NULL || lzi_load_relaxed(&record->died) != 0 ||
	    lzi_key_is_book(lzi_record_key(record), record->key_size)) /* has the hash of another */
		rc = LATZ_NOTFOUND;
	else if (!forsaken && (unit == 0 || lzi_load_relaxed(&store->control.shared->bound.renewed) != 0) &&
	         who_wrote(store, hash) != NULL) /* since it was named, or what is fresh was listed */
		rc = LATZ_EXISTS;
	else if (log_lacks(store, lzi_slot_unit(lzi_load_relaxed(slot))))
		rc = LATZ_BUSY;
	else
		evict_slot(call, slot, record, lzi_slot_unit(lzi_load_relaxed(slot)));
	lzi_table_unlock(call->actor, bucket);
	if (lzi_is_fed(store))
		lzi_feed_ring(store);
	return rc;
}

/* ---- By age ---- */

static int gather(struct lzi_record *record, uint64_t unit, void *arg)
{
	struct batch *batch = arg;
	struct lzi_store *store = batch->call->store;
	struct target *target = &batch->target[batch->count];

	if (batch->count == batch->limit)
		return 1;
	batch->end = unit + lzi_record_span_of(record) / LZI_UNIT;
	if (lzi_load_acquire(&record->died) != 0)
		return 0;
	target->unit = unit;
	target->hash = lzi_store_hash(store, lzi_record_key(record), record->key_size);
	target->span = (uint32_t)(lzi_record_span_of(record) / LZI_UNIT);
	target->expired = 0;
	target->fresh = 0;
	target->book = lzi_key_is_book(lzi_record_key(record), record->key_size);
	if (record->flags & LZI_RECORD_EXT) {
		int64_t expiry = lzi_load_relaxed(&lzi_record_ext(record)->expiry);

		target->expired = expiry != 0 && expiry <= batch->now_ms;
	}
	lzi_read_prefetch_bucket(store, target->hash);
	batch->count++;
	return 0;
}

/* Visits counted since the record was put there. Without the lock: a hint. */
static unsigned visits_of(struct lzi_store *store, const struct target *target)
{
	struct lzi_bucket *bucket = lzi_table_bucket(
		&store->table,
		lzi_bucket_of(target->hash, lzi_load_acquire(&store->control.shared->buckets)));
	unsigned match, hops;

	for (hops = 0; bucket != NULL && hops < LZI_CHAIN_MAX; bucket = lzi_table_next(&store->table, bucket), hops++) {
		for (match = lzi_slots_matching(bucket, target->hash); match != 0; match &= match - 1) {
			uint64_t word = lzi_load_relaxed(lzi_slot_at(bucket, match));

			if (lzi_slot_unit(word) == target->unit)
				return lzi_slot_visits(word);
		}
	}
	return 0;
}

/* What threads wrote last, once for many entries; with very many threads, of the first of them. */
static unsigned list_fresh(const struct lzi_store *store, uint64_t hash[FRESH_MAX])
{
	uint32_t n = lzi_control_actors(&store->control), i;
	unsigned count = 0;

	for (i = 0; i < n && count < FRESH_MAX; i++) {
		const struct lzi_actor *actor = lzi_control_actor(&store->control, i);

		if (lzi_load_relaxed(&actor->state) != 0 && lzi_load_relaxed(&actor->fresh_hash) != 0)
			hash[count++] = lzi_load_relaxed(&actor->fresh_hash);
	}
	return count;
}

static int is_listed(const uint64_t *list, unsigned count, uint64_t hash)
{
	unsigned i;

	for (i = 0; i < count; i++) {
		if (list[i] == hash)
			return 1;
	}
	return 0;
}

/* Where a list has few extents, or large records, the oldest entries may be the youngest of a thread. */
static void spare_fresh(struct batch *batch)
{
	const struct lzi_store *store = batch->call->store;
	uint64_t fresh[FRESH_MAX];
	unsigned known = list_fresh(store, fresh), i;

	batch->others = batch->books = 0;
	for (i = 0; i < batch->count; i++) {
		struct target *target = &batch->target[i];

		target->fresh = !target->expired && (is_listed(fresh, known, target->hash) ||
		                                     (known == FRESH_MAX && who_wrote(store, target->hash) != NULL));
		batch->books += target->book != 0;
		batch->others += !target->fresh && !target->book;
	}
}

/* Nothing else is left to make room. */
static void forsake(struct batch *batch)
{
	unsigned i;

	for (i = 0; i < batch->count; i++)
		batch->target[i].fresh = 0;
	batch->last_resort = 1;
}

/* What is fresh the policy is not asked about: it would count it as gone, and keep others for that without end. */
static void judge(struct batch *batch, enum lzi_policy_list list)
{
	struct lzi_store *store = batch->call->store;
	struct lzi_candidate asked[LZI_POLICY_BATCH];
	unsigned of[LZI_POLICY_BATCH], n = 0, i;
	const struct lzi_policy *policy;
	struct lzi_policy_block state;

	for (i = 0; i < batch->count; i++) {
		batch->keep[i] = batch->target[i].book; /* stays, whatever the policy would think of it */
		if (batch->target[i].fresh || batch->target[i].book || batch->last_resort)
			continue;
		asked[n].hash = batch->target[i].hash;
		asked[n].weight = batch->by_bytes ? batch->target[i].span : 1;
		asked[n].visits = (uint8_t)visits_of(store, &batch->target[i]);
		asked[n].keep = 0;
		of[n++] = i;
	}
	policy = lzi_policy_begin(store, &state);
	if (policy == NULL)
		return;
	if (policy->judge != NULL && n > 0) /* else first in, first out */
		policy->judge(state, list, asked, n);
	lzi_policy_end(store);
	for (i = 0; i < n; i++)
		batch->keep[of[i]] = asked[i].keep != 0;
}

/* Moves a record to the main list. A run just changes its list. */
static int keep_one(struct lzi_call *call, const struct target *target)
{
	struct lzi_store *store = call->store;
	uint64_t extent = lzi_unit_offset(target->unit) >> LZI_EXTENT_SHIFT;
	struct lzi_bound *bound = &store->control.shared->bound;
	int rc;

	if (lzi_heap_state(&store->heap, extent) == LZI_EXTENT_RUN)
		rc = lzi_heap_relist(&store->heap, extent, LZI_LIST_MAIN);
	else
		rc = lzi_move_record(call, &call->actor->clean_extent, target->unit, 0, 0, 1);
	if (rc == LATZ_OK) {
		lzi_bump_relaxed(&bound->kept, 1ull);
		lzi_bump_relaxed(&bound->kept_bytes, (uint64_t)target->span * LZI_UNIT);
	}
	return rc;
}

/* Moves a record behind the others of its list. */
static int spare_one(struct lzi_call *call, const struct target *target)
{
	const struct lzi_extent *meta =
		lzi_heap_meta(&call->store->heap, lzi_unit_offset(target->unit) >> LZI_EXTENT_SHIFT);
	uint32_t *open = lzi_load_relaxed(&meta->list) == LZI_LIST_MAIN ? &call->actor->clean_extent
	                                                                : &call->actor->clean_window;

	if (lzi_heap_state(&call->store->heap, lzi_unit_offset(target->unit) >> LZI_EXTENT_SHIFT) == LZI_EXTENT_RUN)
		return lzi_heap_relist(&call->store->heap, lzi_unit_offset(target->unit) >> LZI_EXTENT_SHIFT,
		                       LZI_LIST_MAIN);
	return lzi_move_record(call, open, target->unit, 0, 0, 0);
}

/* Carries out what was decided. */
static int carry_out(struct batch *batch, struct lzi_evictor *evictor, enum lzi_policy_list list, unsigned *ret_done)
{
	struct lzi_call *call = batch->call;
	unsigned i;
	int rc;

	for (i = 0; i < batch->count; i++) {
		const struct target *target = &batch->target[i];
		uint64_t bytes = (uint64_t)target->span * LZI_UNIT;

		rc = LATZ_NOSPC;
		if (batch->keep[i] && !target->expired)
			rc = keep_one(call, target);
		else if (target->fresh)
			rc = spare_one(call, target);
		if (rc == LATZ_OK)
			evictor->weight[target->fresh ? list : LZI_POLICY_MAIN] += bytes;
		if ((rc == LATZ_NOSPC || rc == LATZ_FULL) && target->fresh) {
			batch->stay++; /* when others have gone there is */
			continue;
		}
		if ((rc == LATZ_NOSPC || rc == LATZ_FULL) && !target->book) { /* or there is no room for it */
			rc = evict_one(call, target->hash, target->unit, batch->last_resort);
			*ret_done += rc == LATZ_OK;
			if (rc == LATZ_EXISTS) {
				batch->stay++;
				continue;
			}
		}
		if (rc != LATZ_OK && rc != LATZ_NOTFOUND)
			return rc;
		evictor->weight[list] -= bytes < evictor->weight[list] ? bytes : evictor->weight[list];
	}
	return LATZ_OK;
}

/* Collects what is judged next of an extent, up to its first entries that are not fresh. */
static int collect(struct batch *batch, uint64_t extent, uint64_t from, uint64_t tail, unsigned limit)
{
	struct lzi_store *store = batch->call->store;
	int rc;

	batch->end = lzi_unit_of(extent * LZI_EXTENT + from);
	do {
		batch->limit = batch->count + limit < LZI_POLICY_BATCH ? batch->count + limit : LZI_POLICY_BATCH;
		from = lzi_unit_offset(batch->end) - extent * LZI_EXTENT;
		rc = from < tail ? lzi_extent_walk(store, extent, from, tail, gather, batch) : 0;
		if (rc < 0)
			return rc;
		spare_fresh(batch); /* after they were seen: what is written from here on is elsewhere */
	} while (batch->others == 0 && batch->count == batch->limit && batch->count < LZI_POLICY_BATCH);
	return LATZ_OK;
}

/* Whether something is won by moving what is fresh, with nothing else beside it: half an extent that is free then; of
 * one that is appended to, only what is behind very many. */
static int is_worth_sparing(struct lzi_store *store, const struct batch *batch, uint64_t extent)
{
	enum lzi_extent_state state = lzi_heap_state(&store->heap, extent);
	uint64_t bytes = 0;
	unsigned i;

	if (state == LZI_EXTENT_RUN)
		return 0;
	if (state == LZI_EXTENT_OPEN)
		return batch->count == LZI_POLICY_BATCH;
	for (i = 0; i < batch->count; i++)
		bytes += (uint64_t)batch->target[i].span * LZI_UNIT;
	return bytes <= LZI_EXTENT / 2;
}

/* One batch of an extent. LATZ_BUSY: it must stay as it is for now. ONLY_FRESH, unless that goes as a last resort.
 * ONLY_BOOK: what never goes; to move it again and again would free nothing. */
static int judge_extent(struct lzi_call *call, struct lzi_evictor *evictor, uint64_t extent, enum lzi_policy_list list,
                        unsigned limit, int last_resort, unsigned *ret_done)
{
	struct lzi_store *store = call->store;
	struct lzi_extent *meta = lzi_heap_meta(&store->heap, extent);
	int is_run = lzi_heap_state(&store->heap, extent) == LZI_EXTENT_RUN, rc;
	uint64_t from = is_run ? 0 : (uint64_t)lzi_load_relaxed(&meta->judged) * LZI_UNIT, tail;
	struct batch batch = { .call = call,
		               .by_bytes = store->control.shared->bound.max_bytes != 0,
		               .now_ms = lzi_clock_mono_ms() };

	if (!lzi_extent_holds(store, extent, &tail))
		return LATZ_BUSY;
	if (log_lacks(store, lzi_unit_of(extent * LZI_EXTENT + tail) - 1)) {
		rc = write_log(store);
		if (rc != LATZ_OK)
			return rc;
		if (lzi_log_collects(store) && tail > (uint64_t)lzi_load_acquire(&meta->logged) * LZI_UNIT)
			tail = (uint64_t)lzi_load_acquire(&meta->logged) * LZI_UNIT;
	}
	if (from >= tail)
		return LATZ_BUSY;
	(void)!lzi_exchange(&store->control.shared->bound.renewed, 0ull);
	rc = collect(&batch, extent, from, tail, limit);
	if (rc != LATZ_OK)
		return rc;
	if (batch.others == 0 && batch.count > 0) {
		if (last_resort)
			forsake(&batch);
		else if (!is_worth_sparing(store, &batch, extent))
			return batch.books == batch.count ? ONLY_BOOK : ONLY_FRESH;
	}
	judge(&batch, list);
	LZI_POINT("evict.listed");
	rc = carry_out(&batch, evictor, list, ret_done);
	if (rc != LATZ_OK)
		return rc;
	LZI_POINT("evict.judged");
	if (batch.stay > 0) /* the extent is come to again when there is room for them elsewhere */
		return batch.others > 0 ? LATZ_OK : ONLY_FRESH;
	if (is_run) {
		if (batch.count == 1 && batch.keep[0])
			return LATZ_OK;
		rc = lzi_clean_extent(call, extent);
		if (rc == LATZ_BUSY) /* a view has it: others are to go now, cleaning comes to it again */
			lzi_store_relaxed(&meta->judged, (uint16_t)1);
		return rc;
	}
	lzi_store_relaxed(&meta->judged, (uint16_t)((lzi_unit_offset(batch.end) - extent * LZI_EXTENT) / LZI_UNIT));
	if (lzi_unit_offset(batch.end) - extent * LZI_EXTENT < tail ||
	    lzi_heap_state(&store->heap, extent) == LZI_EXTENT_OPEN)
		return LATZ_OK;
	evictor->judged++;
	rc = lzi_clean_judged(call, extent);
	return rc == LATZ_BUSY ? LATZ_OK : rc; /* cleaning comes to it again */
}

static unsigned batch_limit(const struct lzi_store *store, const struct lzi_evictor *evictor, unsigned most)
{
	int64_t keys = lzi_store_keys(store);

	if (!lzi_oldest_is_fine(store, evictor))
		return most;
	return keys / GRAIN < 1 ? 1 : keys / GRAIN > most ? most : (unsigned)(keys / GRAIN);
}

/* Only what is still in an image is left: the next time some of it can go. */
static int bring_some(struct lzi_store *store)
{
	uint64_t n = lzi_heap_count(&store->heap), e;

	for (e = 0; e < n; e++) {
		if (lzi_heap_state(&store->heap, e) == LZI_EXTENT_IMAGE)
			return lzi_image_bring(store, e);
	}
	return LATZ_BUSY;
}

/* From which list the policy wants something to go. */
static enum lzi_policy_list next_list(struct lzi_store *store, const struct lzi_evictor *evictor,
                                      const struct lzi_policy *policy)
{
	enum lzi_policy_list list = LZI_POLICY_WINDOW;
	struct lzi_policy_block state;

	if (policy != NULL && policy->next != NULL && lzi_policy_begin(store, &state) != NULL) {
		list = policy->next(state, evictor->weight[LZI_POLICY_WINDOW], evictor->weight[LZI_POLICY_MAIN]);
		lzi_policy_end(store);
	}
	return list;
}

static int evict_by_age(struct lzi_call *call, const struct lzi_policy *policy, unsigned most, int last_resort,
                        unsigned *ret_done)
{
	struct lzi_store *store = call->store;
	struct lzi_evictor *evictor = store->evictor;
	enum lzi_policy_list list;
	const struct lzi_oldest *passed;
	struct lzi_oldest *known;
	int rc;

	if (evictor->at[LZI_POLICY_WINDOW] == evictor->count[LZI_POLICY_WINDOW] ||
	    evictor->at[LZI_POLICY_MAIN] == evictor->count[LZI_POLICY_MAIN]) {
		rc = lzi_oldest_survey(store, evictor);
		if (rc != LATZ_OK)
			return rc;
	}
	list = next_list(store, evictor, policy);
	for (;;) {
		known = lzi_oldest_choose(store, evictor, list);
		if (known == NULL) {
			list = list == LZI_POLICY_MAIN ? LZI_POLICY_WINDOW : LZI_POLICY_MAIN;
			known = lzi_oldest_choose(store, evictor, list);
		}
		if (known == NULL)
			break;
		rc = judge_extent(call, evictor, known->extent, list, batch_limit(store, evictor, most), 0, ret_done);
		if (rc != ONLY_FRESH && rc != ONLY_BOOK)
			return rc;
		known->passed = rc;
	}
	if (lzi_load_relaxed(&store->control.shared->image_left) > 0)
		return bring_some(store);
	passed = last_resort ? lzi_oldest_passed(store, evictor, &list) : NULL;
	if (passed != NULL)
		rc = judge_extent(call, evictor, passed->extent, list, batch_limit(store, evictor, most), 1, ret_done);
	/* The next time all extents are looked at, and not those known to be of no use. */
	evictor->at[LZI_POLICY_WINDOW] = evictor->count[LZI_POLICY_WINDOW];
	return passed != NULL ? rc : LATZ_BUSY;
}

/* ---- By entry ---- */

/* The policy named it, and so forgot it; but it was just written and stays. */
static void tell_again(struct lzi_store *store, uint64_t hash)
{
	const struct lzi_actor *actor = who_wrote(store, hash);
	uint32_t weight = actor != NULL && store->control.shared->bound.max_bytes != 0
	                          ? lzi_load_relaxed(&actor->fresh_units)
	                          : 1;
	const struct lzi_policy *policy;
	struct lzi_policy_block state;

	policy = lzi_policy_begin(store, &state);
	if (policy == NULL)
		return;
	if (policy->kind == LZI_POLICY_BY_ENTRY)
		(void)!policy->insert(state, hash, weight);
	lzi_policy_end(store);
}

/* Has the policy name so many keys; how many it did. If it knows of no others, the oldest records go. */
static unsigned pick(struct lzi_store *store, const struct lzi_policy *policy, struct lzi_policy_block state,
                     unsigned limit, uint64_t hash[LZI_POLICY_BATCH])
{
	struct {
		uint64_t hash;
		uint32_t weight;
	} spared[LZI_POLICY_BATCH];
	const struct lzi_actor *actor;
	unsigned n = 0, count = 0, i;

	while (n < limit && policy->evict(state, 0, 1, &hash[n]) == 0) {
		actor = count < LZI_POLICY_BATCH ? who_wrote(store, hash[n]) : NULL;
		if (actor != NULL) {
			spared[count].hash = hash[n];
			spared[count++].weight = store->control.shared->bound.max_bytes != 0
			                                 ? lzi_load_relaxed(&actor->fresh_units)
			                                 : 1;
		} else {
			n++;
		}
	}
	for (i = 0; i < count; i++)
		(void)!policy->insert(state, spared[i].hash, spared[i].weight);
	return n;
}

static int evict_by_entry(struct lzi_call *call, unsigned limit, unsigned *ret_done)
{
	struct lzi_store *store = call->store;
	const struct lzi_policy *policy;
	uint64_t hash[LZI_POLICY_BATCH];
	unsigned n, i;
	struct lzi_policy_block state;
	int rc, busy = 0;

	policy = lzi_policy_begin(store, &state);
	if (policy == NULL)
		return LATZ_BUSY;
	n = pick(store, policy, state, limit, hash);
	lzi_policy_end(store);
	for (i = 0; i < n; i++)
		lzi_read_prefetch_bucket(store, hash[i]);
	for (i = 0; i < n; i++) {
		rc = evict_one(call, hash[i], 0, 0);
		*ret_done += rc == LATZ_OK;
		busy += rc == LATZ_BUSY;
		if (rc == LATZ_EXISTS)
			tell_again(store, hash[i]);
		else if (rc != LATZ_OK && rc != LATZ_NOTFOUND && rc != LATZ_BUSY)
			return rc;
	}
	rc = busy > 0 ? write_log(store) : LATZ_OK;
	return rc != LATZ_OK ? rc : n == 0 ? LATZ_BUSY : LATZ_OK;
}

/* Others evict as well, and writes kill: so not only when we have used up what we know. Seldom enough not to be among
 * what one of a thousand writes has to wait for. */
static int is_stale(const struct lzi_store *store, struct lzi_evictor *evictor)
{
	const struct lzi_policy *policy =
		lzi_policy_by_id((latz_policy)lzi_load_relaxed(&store->control.shared->bound.policy));

	evictor->asked++;
	if (policy == NULL || policy->kind == LZI_POLICY_BY_ENTRY)
		return (uint64_t)evictor->asked * ASKED_SHARE >= evictor->extents;
	return (uint64_t)evictor->judged * SURVEY_SHARE >= evictor->extents ||
	       evictor->asked >= evictor->extents * SURVEY_ASKED;
}

int lzi_evict_survey(struct lzi_store *store, int again, uint64_t *ret_used, uint64_t *ret_dead)
{
	struct lzi_evictor *evictor = store->evictor;
	int rc = LATZ_OK;

	if (evictor == NULL) {
		evictor = store->evictor = calloc(1, sizeof *store->evictor);
		if (evictor == NULL)
			return lzi_error(LATZ_NOMEM, "notes of eviction");
	}
	if (again || lzi_oldest_is_fine(store, evictor) || is_stale(store, evictor))
		rc = lzi_oldest_survey(store, evictor);
	*ret_used = evictor->used;
	*ret_dead = evictor->dead;
	return rc;
}

int lzi_evict(struct lzi_call *call, enum lzi_evict_reason why, unsigned most, int last_resort, unsigned *ret_done)
{
	struct lzi_store *store = call->store;
	struct lzi_shared *shared = store->control.shared;
	const struct lzi_policy *policy = lzi_policy_by_id((latz_policy)lzi_load_relaxed(&shared->bound.policy));
	int rc = LATZ_BUSY;

	store->evictor->why = why;
	/* What goes from here on does not leave the index one by one. */
	if (lzi_load_relaxed(&shared->index_rebuild) == 0)
		lzi_store_release(&shared->index_rebuild, 1u);
	lzi_store_relaxed(&shared->bound.evicted_ms, lzi_clock_mono_ms());
	lzi_fetch_add_relaxed(&shared->heartbeat, 1ull);
	if (policy != NULL && policy->kind == LZI_POLICY_BY_ENTRY)
		rc = evict_by_entry(call, batch_limit(store, store->evictor, most), ret_done);
	if (rc == LATZ_BUSY) /* or of keys that the policy has not heard of */
		rc = evict_by_age(call, policy != NULL && policy->kind == LZI_POLICY_BY_AGE ? policy : NULL, most,
		                  last_resort, ret_done);
	return rc;
}
