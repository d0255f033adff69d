/*
 * Budgets of namespaces: whether a write may be, and what goes for it. What goes is the namespace's own: a queue of the
 * hashes of its inserts is gone through, oldest first; what was read since goes round once more. Evicting is deleting:
 * the log and open scans see it as that, so a restart finds the same keys.
 *
 * The queue is a hint. It may name keys that are not there any more, and lack some: it was overrun, its writer died,
 * the keys are older than the bounds, the pool was restored. When it is at its end all records are looked at and it is
 * made anew, oldest version first; if it is known to lack some, at the first need (renew_at).
 */
#include "config.h"

#include "store/space.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/point.h"

/* Keys that were read and go round once more, for one write; the next goes though it was read. */
#define SPARED_MAX 256u
/* Places of the queue looked at by one write. */
#define LOOKS_MAX 65536u
/* The least that a record takes. */
#define RECORD_MIN 48u

/* Whether it would have too many keys with so many more, 0 or more. */
static int is_over_entries(const struct lzi_space *space, const struct lzi_space_cell *sum, int64_t keys)
{
	uint64_t max_entries = lzi_load_relaxed(&space->max_entries);

	return max_entries != 0 && sum->keys + keys > (int64_t)max_entries;
}

/* Whether it would be over its bounds with so many keys, 0 or more, and bytes more. */
static int is_over(const struct lzi_space *space, const struct lzi_space_cell *sum, int64_t keys, uint64_t bytes)
{
	uint64_t max_bytes = lzi_load_relaxed(&space->max_bytes);

	return is_over_entries(space, sum, keys) ||
	       (max_bytes != 0 && sum->bytes + (int64_t)bytes > (int64_t)max_bytes);
}

static LZI_COLD int refuse(struct lzi_space *space, int rc)
{
	lzi_fetch_add_relaxed(&space->refused, 1ull);
	if (rc == LATZ_TOOBIG)
		return lzi_error(rc, "a record of more than the max_bytes of namespace %.64s, %llu", space->name,
		                 (unsigned long long)space->max_bytes);
	return lzi_error(rc, "namespace %.64s has reached its bounds", space->name);
}

/* Adds what others may be writing in the namespace at this moment, as in lzi_bound_entries_full(). Who looks at what
 * there is does so after it: then what they have written meanwhile is there. */
static void add_others(const struct lzi_call *call, const struct lzi_space *space, int64_t *keys, uint64_t *bytes)
{
	uint32_t n = lzi_control_actors(&call->store->control), at = lzi_space_index(call->store, space) + 1, i;

	for (i = 0; i < n; i++) {
		const struct lzi_actor *actor = lzi_control_actor(&call->store->control, i);

		/* Its bucket first: it has said before in which namespace. */
		if (i == call->index || lzi_load_acquire(&actor->bucket) == 0 ||
		    lzi_load_acquire(&actor->space_at) != at)
			continue;
		*keys += lzi_load_acquire(&actor->kind) == LZI_INTENT_TXN ? lzi_load_acquire(&actor->txn_inserts) : 1;
		*bytes += lzi_load_acquire(&actor->space_more);
	}
}

/* Whether there is room for so many keys more, and bytes, of which others know. 0: what comes is no more than goes. */
static int has_room(const struct lzi_call *call, const struct lzi_space *space, int64_t keys, uint64_t bytes)
{
	struct lzi_space_cell sum;
	int64_t more_keys = keys;
	uint64_t more_bytes = bytes;

	add_others(call, space, &more_keys, &more_bytes);
	lzi_space_sum(call->store, lzi_space_index(call->store, space), &sum);
	return !is_over(space, &sum, keys == 0 ? 0 : more_keys, bytes == 0 ? 0 : more_bytes);
}

int lzi_space_resolve(struct lzi_call *call, struct lzi_write *write)
{
	uint32_t number = lzi_key_space(write->key.data);
	struct lzi_space *space = lzi_space_find(call->store, number);

	write->cell = NULL;
	if (number == 0)
		return LATZ_OK;
	if (space == NULL)
		return lzi_error(LATZ_DEAD, "the namespace was dropped");
	write->cell = lzi_space_cell(call, lzi_space_index(call->store, space));
	if (write->cell == NULL)
		return lzi_error(LATZ_NOSPC, "counters of namespace %.64s", space->name);
	write->space = space;
	write->bare.data = (const uint8_t *)write->key.data + LZI_SPACE_PREFIX;
	write->bare.size = write->key.size - LZI_SPACE_PREFIX;
	return LATZ_OK;
}

int lzi_space_admit_bounded(struct lzi_call *call, struct lzi_write *write, uint64_t span, uint64_t old_span)
{
	struct lzi_space *space = write->space;
	uint64_t max_bytes = lzi_load_relaxed(&space->max_bytes);

	if (lzi_load_acquire(&space->state) != LZI_SPACE_LIVE ||
	    lzi_load_relaxed(&space->number) != lzi_key_space(write->key.data))
		return lzi_error(LATZ_DEAD, "the namespace was dropped");
	if (max_bytes != 0 && span > max_bytes)
		return refuse(space, LATZ_TOOBIG);
	write->span = span > old_span ? span - old_span : 0;
	lzi_store_relaxed(&call->actor->space_more, write->span); /* before the lock it was said to be all of it */
	if (old_span != 0 && write->span == 0) /* it takes no more than there is */
		return LATZ_OK;
	if (has_room(call, space, old_span == 0, write->span))
		return LATZ_OK;
	write->crowded = LZI_CROWDED_SPACE;
	return LATZ_FULL;
}

int lzi_space_admit_all(struct lzi_call *call, uint32_t number, int64_t keys, int64_t bytes)
{
	struct lzi_space *space = lzi_space_find(call->store, number);
	uint64_t max_bytes, max_entries;

	if (space == NULL || lzi_load_relaxed(&space->state) != LZI_SPACE_LIVE)
		return lzi_error(LATZ_DEAD, "the namespace was dropped");
	if (lzi_space_cell(call, lzi_space_index(call->store, space)) == NULL)
		return lzi_error(LATZ_NOSPC, "counters of namespace %.64s", space->name);
	max_bytes = lzi_load_relaxed(&space->max_bytes);
	max_entries = lzi_load_relaxed(&space->max_entries);
	if (max_bytes != 0 && bytes > (int64_t)max_bytes)
		return refuse(space, LATZ_TOOBIG);
	if (max_entries != 0 && keys > (int64_t)max_entries)
		return refuse(space, LATZ_FULL);
	if ((max_bytes == 0 && max_entries == 0) || (keys <= 0 && bytes <= 0))
		return LATZ_OK;
	return has_room(call, space, keys > 0 ? keys : 0, bytes > 0 ? (uint64_t)bytes : 0) ? LATZ_OK
	                                                                                   : LZI_SPACE_CROWDED;
}

/* ---- The queue ---- */

/* 0: it has none, or what is said of it makes no sense. */
static uint32_t queue_size(const struct lzi_space *space)
{
	uint32_t size = lzi_load_acquire(&space->queue_size);

	return size <= LZI_SPACE_QUEUE_MAX && (size & (size - 1)) == 0 ? size : 0;
}

void lzi_space_push(struct lzi_store *store, struct lzi_space *space, uint64_t hash)
{
	uint32_t size = queue_size(space);
	uint64_t *queue = size == 0 ? NULL : lzi_space_queue(store, lzi_space_index(store, space));

	if (queue == NULL)
		return;
	lzi_store_relaxed(&queue[lzi_fetch_add_relaxed(&space->head, 1ull) & (size - 1)], hash);
}

/* The next hash, 0 if there is none. Under space->mutex. */
static uint64_t pop(struct lzi_space *space, uint64_t *queue)
{
	uint32_t size = queue_size(space);
	uint64_t head = lzi_load_relaxed(&space->head), hash = 0;

	if (size == 0)
		return 0;
	if (head - space->tail > size) { /* overrun: those that lost their places come in when these are through */
		lzi_store_relaxed(&space->tail, head - size);
		if (space->renew_at > head)
			lzi_store_relaxed(&space->renew_at, head);
	}
	while (hash == 0 && space->tail < head) { /* 0: not there yet, or its writer is dead */
		hash = lzi_exchange(&queue[space->tail & (size - 1)], 0ull);
		lzi_store_relaxed(&space->tail, space->tail + 1);
	}
	return hash;
}

struct aged {
	uint64_t seq, hash;
};

/* What a walk finds of a namespace. */
struct found {
	struct lzi_store *store;
	const struct lzi_space *space;
	struct aged *keys;
	size_t count, capacity;
	int lacks; /* there are more, younger ones */
};

static int by_age(const void *a, const void *b)
{
	const struct aged *x = a, *y = b;

	return (x->seq > y->seq) - (x->seq < y->seq);
}

static void sort(struct found *found)
{
	if (found->count > 1)
		qsort(found->keys, found->count, sizeof *found->keys, by_age);
	if (found->count > LZI_SPACE_QUEUE_MAX) {
		found->count = LZI_SPACE_QUEUE_MAX;
		found->lacks = 1;
	}
}

static int reserve_one(struct found *found)
{
	size_t capacity = found->capacity == 0 ? LZI_SPACE_QUEUE_MIN : found->capacity * 2;
	struct aged *keys;

	if (found->count < found->capacity)
		return LATZ_OK;
	if (found->count >= LZI_SPACE_QUEUE_MAX * 2) {
		sort(found);
		return LATZ_OK;
	}
	keys = realloc(found->keys, capacity * sizeof *keys);
	if (keys == NULL)
		return lzi_error(LATZ_NOMEM, "the queue of namespace %.64s", found->space->name);
	found->keys = keys;
	found->capacity = capacity;
	return LATZ_OK;
}

static int find_one(struct lzi_record *record, uint64_t unit, void *arg)
{
	struct found *found = arg;
	const uint8_t *key = lzi_record_key(record);
	int rc;

	(void)unit;
	if (lzi_load_relaxed(&record->died) != 0 || !lzi_record_is_spaced(record) ||
	    lzi_key_space(key) != found->space->number)
		return 0;
	rc = reserve_one(found);
	if (rc != LATZ_OK)
		return rc;
	found->keys[found->count].seq = record->seq;
	found->keys[found->count++].hash = lzi_store_hash(found->store, key, record->key_size);
	return 0;
}

/* All there is, oldest first; of too many, the oldest. */
static int find_all(struct lzi_store *store, struct found *found)
{
	uint64_t n, e, tail;
	int rc = lzi_maint_lock(store, 1);

	if (rc < 0)
		return rc;
	rc = lzi_heap_view(&store->heap);
	n = lzi_heap_count(&store->heap);
	for (e = 0; e < n && rc == LATZ_OK; e++) {
		if (lzi_image_bring(store, e) == LATZ_OK && lzi_extent_holds(store, e, &tail))
			rc = lzi_extent_walk(store, e, 0, tail, find_one, found);
		lzi_fetch_add_relaxed(&store->control.shared->heartbeat, 1ull);
	}
	lzi_maint_unlock(store);
	sort(found);
	return rc;
}

/* Under space->mutex: what was found, from `from` on, instead of what the queue named; behind that what came meanwhile,
 * from `begun` on. Half the places at most, so that those that are still to come do not push them out. */
static void requeue(struct lzi_store *store, struct lzi_space *space, const struct found *found, size_t from,
                    uint64_t begun)
{
	uint64_t *queue = lzi_space_queue(store, lzi_space_index(store, space)), hash, head, i;
	uint32_t size = queue_size(space);
	size_t end = found->count - from > size / 2 ? from + size / 2 : found->count;
	int lacks = found->lacks || end < found->count;

	head = lzi_load_relaxed(&space->head);
	lzi_store_relaxed(&space->tail, head);
	LZI_POINT("space.requeue");
	for (i = from; i < end; i++)
		lzi_space_push(store, space, found->keys[i].hash);
	LZI_POINT("space.requeued");
	if (head - begun > size / 4) {
		begun = head - size / 4;
		lacks = 1;
	}
	for (i = begun; i < head; i++) {
		hash = lzi_load_relaxed(&queue[i & (size - 1)]);
		if (hash != 0)
			lzi_space_push(store, space, hash);
	}
	lzi_store_relaxed(&space->renew_at, lacks ? head + (end - from) : UINT64_MAX);
}

/* ---- Eviction ---- */

/* Whether the key goes now: 1; 0: it was read, and goes round once more; negative: it is not there. */
static int judge(struct lzi_call *call, const struct lzi_space *space, uint64_t hash, int spare, latz_value *key)
{
	struct lzi_store *store = call->store;
	struct lzi_found found;
	uint64_t word;
	int rc;

	lzi_call_begin(call);
	rc = lzi_read_hash_key(store, hash, key);
	if (rc == LATZ_OK && (!lzi_key_is_spaced(key->data, key->size) || lzi_key_space(key->data) != space->number))
		rc = LATZ_NOTFOUND;
	if (rc == LATZ_OK)
		rc = lzi_read_find(store, (latz_slice){ key->data, key->size }, hash, &found);
	if (rc == LATZ_OK && spare) {
		word = lzi_load_relaxed(found.slot);
		if (lzi_slot_visits(word) > 0 && lzi_slot_unit(word) == found.unit) {
			(void)!lzi_cas_acquire(found.slot, &word, word & ~LZI_SLOT_VISITS); /* a hint */
			rc = 1;
		}
	}
	lzi_call_end(call);
	return rc == LATZ_OK ? 1 : rc == 1 ? 0 : rc;
}

struct eviction {
	struct lzi_call *call;
	struct lzi_space *space;
	int64_t keys;
	uint64_t span;
	enum lzi_evict_reason why; /* SPACE_LIMIT; else as was last found */
	latz_value key;
	uint64_t round[SPARED_MAX]; /* spared */
	unsigned spared;
};

static int is_full(struct eviction *eviction)
{
	struct lzi_store *store = eviction->call->store;
	struct lzi_space_cell sum;

	lzi_space_sum(store, lzi_space_index(store, eviction->space), &sum);
	if (eviction->why != LZI_EVICT_SPACE_LIMIT)
		eviction->why = is_over_entries(eviction->space, &sum, eviction->keys) ? LZI_EVICT_SPACE_ENTRIES
		                                                                       : LZI_EVICT_SPACE_BYTES;
	return is_over(eviction->space, &sum, eviction->keys, eviction->span);
}

/* LATZ_OK also if it is not there. 1: it goes round once more. */
static int evict_one(struct eviction *eviction, uint64_t hash)
{
	struct lzi_write write = { .kind = LZI_WRITE_CROWD, .later = 1 };
	struct lzi_space *space = eviction->space;
	int rc = judge(eviction->call, space, hash,
	               space->policy != LATZ_POLICY_FIFO && eviction->spared < SPARED_MAX, &eviction->key);

	if (rc == 0) {
		eviction->round[eviction->spared++] = hash;
		return 1;
	}
	if (rc == 1) {
		write.key = (latz_slice){ eviction->key.data, eviction->key.size };
		rc = lzi_store_write(eviction->call, &write);
		LZI_POINT("space.evicted");
		if (rc == LATZ_OK) {
			lzi_fetch_add_relaxed(&space->evicted, 1ull);
			lzi_fetch_add_relaxed(&space->evicted_bytes, write.span);
			lzi_fetch_add_relaxed(
				&eviction->call->store->control.shared->bound.evicted_for[eviction->why], 1ull);
		}
	}
	return rc == LATZ_NOTFOUND ? LATZ_OK : rc;
}

/* Looks at all records; what is too much goes, the queue names the rest. LATZ_NOTFOUND: nothing. */
static int renew(struct eviction *eviction)
{
	struct lzi_store *store = eviction->call->store;
	struct lzi_space *space = eviction->space;
	struct found found = { .store = store, .space = space };
	uint64_t begun = lzi_load_relaxed(&space->head);
	unsigned spared = eviction->spared;
	size_t i;
	int rc = find_all(store, &found);

	lzi_store_relaxed(&space->renew_at, 0ull); /* until it is done */
	if (rc == LATZ_OK && found.count == 0)
		rc = LATZ_NOTFOUND;
	for (i = 0; i < found.count && rc == LATZ_OK && is_full(eviction); i++) {
		rc = evict_one(eviction, found.keys[i].hash);
		rc = rc == 1 ? LATZ_OK : rc;
		lzi_fetch_add_relaxed(&store->control.shared->heartbeat, 1ull);
	}
	if (rc == LATZ_OK)
		requeue(store, space, &found, i, begun);
	for (; spared < eviction->spared; spared++)
		lzi_space_push(store, space, eviction->round[spared]);
	free(found.keys);
	return rc;
}

/* Under space->mutex: evicts until there is room for `span` more, and a key more if keys is 1. */
static int evict(struct lzi_call *call, struct lzi_space *space, enum lzi_evict_reason why, int64_t keys, uint64_t span)
{
	struct eviction eviction = { call, space, keys, span, .why = why, .key = LATZ_VALUE_INIT };
	uint64_t *queue = lzi_space_queue(call->store, lzi_space_index(call->store, space)), hash;
	unsigned looks = 0, renewals = 0;
	int rc = queue == NULL ? lzi_error(LATZ_NOMEM, "map the queue of namespace %.64s", space->name) : LATZ_OK;

	while (rc == LATZ_OK && looks++ < LOOKS_MAX && is_full(&eviction)) {
		hash = space->tail >= space->renew_at ? 0 : pop(space, queue);
		if (hash == 0) {
			rc = renewals++ < 2 ? renew(&eviction) : LATZ_NOTFOUND;
			continue;
		}
		rc = evict_one(&eviction, hash);
		if (rc == 1) {
			lzi_space_push(call->store, space, hash);
			rc = LATZ_OK;
		}
	}
	latz_value_free(&eviction.key);
	return rc == LATZ_NOTFOUND ? LATZ_FULL : rc;
}

static int evict_locked(struct lzi_call *call, struct lzi_space *space, enum lzi_evict_reason why, int64_t keys,
                        uint64_t span)
{
	struct lzi_store *store = call->store;
	int inside = (call->actor->op & 1) != 0, rc;

	/* Nothing of the pool is in hand yet; and who has the mutex, or what it waits for, may wait for all readers to
	 * leave. */
	if (inside)
		lzi_call_end(call);
	rc = lzi_mutex_lock_patient(&space->mutex, store->control.timeout_ms, "eviction in a namespace",
	                            &store->control.shared->heartbeat);
	if (rc >= 0) {
		rc = evict(call, space, why, keys, span);
		lzi_mutex_unlock(&space->mutex);
	}
	if (inside)
		lzi_call_begin(call);
	return rc;
}

int lzi_space_make_room(struct lzi_call *call, latz_slice key, int64_t keys, uint64_t span)
{
	struct lzi_space *space = lzi_space_find(call->store, lzi_key_space(key.data));
	int rc;

	if (space == NULL)
		return lzi_error(LATZ_DEAD, "the namespace was dropped");
	if (lzi_load_relaxed(&space->policy) == LATZ_POLICY_NONE) {
		rc = lzi_expire_for_room(call);
		return rc == 0 ? refuse(space, LATZ_FULL) : rc < 0 ? rc : LATZ_OK;
	}
	add_others(call, space, &keys, &span);
	rc = evict_locked(call, space, LZI_EVICT_SPACE_BYTES, keys, span);
	return rc == LATZ_FULL ? refuse(space, rc) : rc;
}

int lzi_space_trim(struct lzi_call *call, uint32_t number)
{
	struct lzi_space *space = lzi_space_find(call->store, number);
	struct lzi_space_cell sum;
	int rc = LATZ_OK;

	if (space == NULL || space->queue_size == 0)
		return LATZ_OK;
	do {
		lzi_space_sum(call->store, lzi_space_index(call->store, space), &sum);
		if (is_over(space, &sum, 0, 0))
			rc = evict_locked(call, space, LZI_EVICT_SPACE_LIMIT, 0, 0);
	} while (rc == LATZ_OK && is_over(space, &sum, 0, 0));
	return rc == LATZ_FULL ? LATZ_OK : rc;
}

/* ---- What writes tell ---- */

void lzi_space_erased(struct lzi_call *call, const struct lzi_write *write, int expired)
{
	struct lzi_space *space = lzi_space_find(call->store, lzi_key_space(write->key.data));
	struct lzi_space_cell *cell;

	if (space == NULL || write->kind == LZI_WRITE_CROWD)
		return;
	cell = lzi_space_cell(call, lzi_space_index(call->store, space));
	if (cell != NULL)
		lzi_bump_relaxed(expired ? &cell->expired : &cell->deletes, 1ull);
}

/* ---- Changing bounds ---- */

/* Twice the keys there may be: so places of keys that have gone don't push out those that are there. */
static uint32_t places_for(const struct lzi_space *space)
{
	uint64_t keys = UINT64_MAX;
	uint32_t size = LZI_SPACE_QUEUE_MIN;

	if (space->max_entries != 0)
		keys = space->max_entries;
	if (space->max_bytes != 0 && space->max_bytes / RECORD_MIN < keys)
		keys = space->max_bytes / RECORD_MIN;
	if (keys == UINT64_MAX || space->policy == LATZ_POLICY_NONE)
		return 0;
	while (size < LZI_SPACE_QUEUE_MAX && size < keys * 2)
		size *= 2;
	return size;
}

int lzi_space_settle_queue(struct lzi_call *call, struct lzi_space *space)
{
	struct lzi_store *store = call->store;
	struct lzi_shared *shared = store->control.shared;
	uint32_t size = places_for(space);
	int rc;

	if (size == space->queue_size)
		return LATZ_OK;
	rc = lzi_mutex_lock(&space->mutex, store->control.timeout_ms, "eviction in a namespace");
	if (rc < 0)
		return rc;
	lzi_store_relaxed(&space->queue_size, 0u);
	rc = size == 0 ? LATZ_OK : lzi_space_queue_allocate(store, lzi_space_index(store, space), size);
	LZI_POINT("space.queue");
	if (rc == LATZ_OK) {
		lzi_store_relaxed(&space->tail, lzi_load_relaxed(&space->head)); /* what it named has moved */
		lzi_store_relaxed(&space->renew_at, 0ull); /* and it lacks the keys that are there */
		lzi_store_release(&space->queue_size, size);
	}
	lzi_mutex_unlock(&space->mutex);
	if (rc == LATZ_OK && size != 0 && (lzi_load_relaxed(&shared->watch) & LZI_WATCH_SPACES) == 0) {
		rc = lzi_maint_lock(store, 1);
		if (rc < 0)
			return rc;
		lzi_fetch_or(&shared->watch, (uint32_t)LZI_WATCH_SPACES);
		lzi_maint_unlock(store);
		rc = LATZ_OK;
	}
	return rc;
}
