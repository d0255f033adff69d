/*
 * What a bounded pool's policy hears, and where its state lies: the file `policy`, which begins with a ring of events
 * and goes on with a sample of references (advise.c) and the state, made larger (elsewhere in the file) as the pool
 * gets more keys.
 *
 * Whoever has something to tell takes a place of the ring and fills it. Nobody waits: who is too late to listen misses
 * events, and then the policy knows a little less than it might. Who listens holds `maint`. A death in the middle of a
 * change to the state leaves `mending` set, and the next one has the policy mend it.
 *
 * One word says where the state lies and which policy's it is, so that no other ever touches it: who tells of a key
 * does not hold `maint`, and the policy may be another a moment later. For the same reason a place is used again only
 * when nobody can be on his way to it any more.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/point.h"
#include "policy/policy.h"
#include "store/audit.h"
#include "store/store_int.h"

#define ENTRIES_MIN 4096u
#define ENTRIES_MOST UINT32_MAX
/* What a larger state may be of max_bytes. */
#define STATE_PART 6u
/* Places looked at in one go; and that may be filled late before they are given up. */
#define LATE 64u
#define PLACE_SHIFT 32
/* By age: so many before writers listen who do not have to. Each is put to several caches that are simulated. */
#define ENOUGH 32u
#define KIND_SHIFT 30
#define WEIGHT_MASK ((1u << KIND_SHIFT) - 1)

static uint64_t page_up(uint64_t size)
{
	return (size + LZI_PAGE - 1) & ~(uint64_t)(LZI_PAGE - 1);
}

static const struct lzi_policy *policy_of(const struct lzi_store *store)
{
	latz_policy id = (latz_policy)lzi_load_relaxed(&store->control.shared->bound.policy);

	return id == LATZ_POLICY_DEFAULT ? NULL : lzi_policy_by_id(id);
}

/* Maps the file, which is there from when the pool was first bounded. */
static LZI_COLD int open_file(struct lzi_store *store)
{
	uint64_t size = 0;
	int fd = -1, rc;

	pthread_mutex_lock(&store->hear.mutex);
	if (store->hear.ready) {
		pthread_mutex_unlock(&store->hear.mutex);
		return LATZ_OK;
	}
	rc = lzi_file_open(store->poolfd, "policy", 1, &fd);
	if (rc == LATZ_OK)
		rc = lzi_file_size(fd, &size);
	if (rc == LATZ_OK && size < LZI_STATES_AT)
		rc = lzi_error(LATZ_CORRUPT, "the file policy has %llu bytes", (unsigned long long)size);
	if (rc == LATZ_OK)
		rc = lzi_map_open(&store->hear.map, fd, page_up(size) * 2, 1);
	if (rc == LATZ_OK) {
		store->hear.fd = fd;
		lzi_store_release(&store->hear.reach, size);
		lzi_store_release(&store->hear.ready, 1);
	} else {
		lzi_file_close(fd);
	}
	pthread_mutex_unlock(&store->hear.mutex);
	return rc;
}

void lzi_hear_close(struct lzi_store *store)
{
	if (store->hear.ready) {
		lzi_map_close(&store->hear.map);
		lzi_file_close(store->hear.fd);
	}
	store->hear.ready = 0;
	store->hear.reach = 0;
	store->hear.fd = -1;
}

/* Has the map reach so far, if the file does. */
static LZI_COLD void reach(struct lzi_store *store, uint64_t end)
{
	uint64_t have;

	pthread_mutex_lock(&store->hear.mutex);
	if (lzi_file_size(store->hear.fd, &have) == LATZ_OK && have >= end &&
	    lzi_map_grow(&store->hear.map, end) == LATZ_OK)
		lzi_store_release(&store->hear.reach, have);
	pthread_mutex_unlock(&store->hear.mutex);
}

/* Where the state is, and its size, as the shared words say; 0: there is none, or none that makes sense. */
static uint64_t state_place(const struct lzi_store *store, uint64_t word, uint64_t *ret_size)
{
	uint64_t at = word & ~(uint64_t)(LZI_PAGE - 1);

	*ret_size = lzi_load_relaxed(&store->control.shared->bound.state_size);
	return at < LZI_STATES_AT || at > 1ull << 46 || *ret_size > 1ull << 46 || *ret_size % LZI_PAGE != 0 ? 0 : at;
}

/* The policy whose state is in use, and where it lies; NULL: none. */
static const struct lzi_policy *state_of(struct lzi_store *store, struct lzi_policy_block *ret_state)
{
	uint64_t word = lzi_load_acquire(&store->control.shared->bound.state_at), size;
	uint64_t at = state_place(store, word, &size);
	unsigned id = (unsigned)(word & (LZI_PAGE - 1));
	const struct lzi_policy *policy = id == LATZ_POLICY_DEFAULT ? NULL : lzi_policy_by_id((latz_policy)id);

	if (at == 0 || policy == NULL)
		return NULL;
	if (lzi_unlikely(at + size > lzi_load_acquire(&store->hear.reach)))
		reach(store, at + size);
	if (at + size > lzi_load_acquire(&store->hear.reach))
		return NULL;
	ret_state->at = lzi_map_at(&store->hear.map, at, size);
	ret_state->size = size;
	return ret_state->at != NULL ? policy : NULL;
}

/* For how many entries a state was made, if that can be. */
static uint64_t entries_of(const struct lzi_store *store, const struct lzi_policy *policy)
{
	const struct lzi_bound *bound = &store->control.shared->bound;
	uint64_t entries = lzi_load_relaxed(&bound->state_entries);

	return entries <= ENTRIES_MOST && policy->size(entries) <= lzi_load_relaxed(&bound->state_size) ? entries : 0;
}

/* ---- Telling ---- */

static void listen_briefly(struct lzi_store *store);

static void tell(struct lzi_store *store, uint64_t hash, uint64_t span, enum lzi_event_kind kind)
{
	struct lzi_bound *bound = &store->control.shared->bound;
	uint64_t place = lzi_fetch_add_relaxed(&bound->head, 1ull), weight = span / LZI_UNIT;
	struct lzi_event *event = lzi_map_at(&store->hear.map, place % LZI_RING * sizeof *event, sizeof *event);

	lzi_store_relaxed(&event->what, 0ull);
	lzi_store_release(&event->hash, hash);
	lzi_store_release(&event->what, (place + 1) << PLACE_SHIFT | (uint64_t)kind << KIND_SHIFT |
	                                        (weight < WEIGHT_MASK ? weight : WEIGHT_MASK));
	/* A policy that wants to hear everything: whoever fills a quarter of the ring has it heard. It may be a read:
	 * a larger state is left to others. */
	if (lzi_unlikely(place % (LZI_RING / 4) == 0 &&
	                 lzi_load_relaxed(&store->control.shared->sampling) == UINT32_MAX))
		listen_briefly(store);
}

static inline int is_ready(struct lzi_store *store)
{
	return lzi_likely(lzi_load_acquire(&store->hear.ready) != 0) || open_file(store) == LATZ_OK;
}

int lzi_hear_ready(struct lzi_store *store)
{
	return is_ready(store);
}

uint64_t lzi_hear_blocks(struct lzi_store *store)
{
	return lzi_load_relaxed(&store->control.shared->bound.has_file) != 0 && is_ready(store)
	               ? lzi_file_blocks(store->hear.fd)
	               : 0;
}

/* For advice, if there is a sample. */
static inline void note_reference(struct lzi_call *call, uint64_t hash, uint64_t bytes, int created)
{
	uint32_t tracing = lzi_load_relaxed(&call->store->control.shared->tracing);
	uint64_t count = lzi_load_relaxed(&call->actor->references) + 1;

	lzi_store_relaxed(&call->actor->references, count);
	if (lzi_unlikely(lzi_sample_has(lzi_sample_id(hash), tracing)))
		lzi_sample_reference(call, hash, bytes, created);
	/* One of 64, at distances in which no loop over keys is at the same place again. */
	if (lzi_unlikely(count * 0x9e3779b97f4a7c15ull >> 58 == 0) && tracing != 0 && !created)
		lzi_sample_hit(call, hash);
}

void lzi_hear_hit(struct lzi_call *call, uint64_t *slot, uint64_t word, uint64_t hash, uint64_t bytes)
{
	struct lzi_store *store = call->store;

	if ((word & LZI_SLOT_VISITS) != LZI_SLOT_VISITS && lzi_slot_unit(word) != 0 &&
	    (lzi_load_relaxed(&store->control.shared->watch) & (LZI_WATCH_HITS | LZI_WATCH_SPACES)))
		(void)!lzi_cas_acquire(slot, &word, word + LZI_SLOT_VISIT); /* failing: it has changed; no matter */
	lzi_bump_relaxed(&call->actor->hit_bytes, bytes);
	note_reference(call, hash, bytes, 0);
	if (lzi_policy_is_sampled(hash, lzi_load_relaxed(&store->control.shared->sampling)) && is_ready(store))
		tell(store, hash, bytes, LZI_EVENT_HIT);
}

void lzi_hear_write(struct lzi_call *call, uint64_t hash, uint64_t span, enum lzi_event_kind kind)
{
	struct lzi_store *store = call->store;
	const struct lzi_policy *policy;
	struct lzi_policy_block state;

	if (kind == LZI_EVENT_CREATED) {
		lzi_bump_relaxed(&call->actor->created, 1ull);
		lzi_bump_relaxed(&call->actor->created_bytes, span);
		note_reference(call, hash, span, 1);
	}
	if ((lzi_load_relaxed(&store->control.shared->watch) & LZI_WATCH_HITS) == 0 || !is_ready(store))
		return;
	if (kind == LZI_EVENT_CREATED && (policy = state_of(store, &state)) != NULL && policy->created != NULL)
		policy->created(state, hash);
	if (lzi_policy_is_sampled(hash, lzi_load_relaxed(&store->control.shared->sampling)))
		tell(store, hash, span, kind);
}

/* A policy by entry would never name what it has not heard of. By age it comes to it. */
void lzi_hear_loaded(struct lzi_call *call, uint64_t hash, uint64_t span, enum lzi_event_kind kind)
{
	const struct lzi_policy *policy = policy_of(call->store);

	if (policy != NULL && policy->kind == LZI_POLICY_BY_ENTRY && is_ready(call->store))
		tell(call->store, hash, span, kind);
}

/* ---- The state ---- */

int lzi_hear_file(struct lzi_store *store)
{
	unsigned mode = store->control.header->mode;
	uint64_t size = 0;
	int fd, rc = lzi_file_open(store->poolfd, "policy", 1, &fd); /* a maker died, or it was bounded before */

	if (rc == LATZ_NOTFOUND)
		rc = lzi_file_create(store->poolfd, "policy", mode, &fd);
	if (rc != LATZ_OK)
		return rc;
	rc = lzi_file_size(fd, &size);
	if (rc == LATZ_OK)
		rc = lzi_file_allocate(fd, 0, LZI_RING_BYTES);
	if (rc == LATZ_OK && size < LZI_STATES_AT) /* the sample's blocks come when it begins */
		rc = lzi_file_resize(fd, LZI_STATES_AT);
	lzi_file_close(fd);
	if (rc == LATZ_OK && store->control.shared->bound.has_file == 0)
		lzi_store_release(&store->control.shared->bound.has_file, 1ull);
	return rc == LATZ_OK && !is_ready(store) ? lzi_error(LATZ_IO, "the file policy can't be mapped") : rc;
}

static uint64_t capacity_of(const struct lzi_store *store)
{
	const struct lzi_bound *bound = &store->control.shared->bound;

	return bound->max_bytes != 0 ? lzi_load_relaxed(&bound->heap_limit) / LZI_UNIT : bound->max_entries;
}

/* Which hits are to be told of. */
static void sample_for(struct lzi_store *store, const struct lzi_policy *policy, struct lzi_policy_block state)
{
	lzi_store_relaxed(&store->control.shared->sampling,
	                  policy->kind == LZI_POLICY_BY_ENTRY ? UINT32_MAX : policy->sampling(state));
}

/* Where a state of that size can be made: before or behind the one in use; if anybody may be on his way to what was
 * there before, at the file's end. */
static int find_place(struct lzi_store *store, uint64_t size, uint64_t *ret_at)
{
	const struct lzi_bound *bound = &store->control.shared->bound;
	uint64_t have, at = state_place(store, lzi_load_relaxed(&bound->state_at), &have), end;
	int rc = lzi_file_size(store->hear.fd, &end);

	*ret_at = at == 0 || at - LZI_STATES_AT >= size ? LZI_STATES_AT : at + have;
	if (lzi_load_relaxed(&bound->untidy) != 0 || *ret_at > end)
		*ret_at = page_up(end > LZI_STATES_AT ? end : LZI_STATES_AT);
	return rc;
}

/* A new state for so many entries. */
static int make_state(struct lzi_store *store, const struct lzi_policy *policy, uint64_t entries, int anew)
{
	struct lzi_bound *bound = &store->control.shared->bound;
	struct lzi_policy_block old, state = { NULL, page_up(policy->size(entries)) };
	const struct lzi_policy *before = state_of(store, &old);
	uint64_t at = 0;
	int rc = find_place(store, state.size, &at);

	if (rc != LATZ_OK)
		return rc;
	lzi_store_release(&bound->untidy, 1ull); /* also if we die here, or it fails */
	rc = lzi_file_allocate(store->hear.fd, at, state.size);
	if (rc != LATZ_OK)
		return rc;
	LZI_POINT("policy.allocated");
	reach(store, at + state.size);
	state.at = lzi_map_at(&store->hear.map, at, state.size);
	if (state.at == NULL)
		return lzi_error(LATZ_NOMEM, "the policy's state can't be mapped");
	memset(state.at, 0, state.size);
	policy->init(state, entries, capacity_of(store));
	if (before == policy && !anew)
		policy->move(state, old);
	LZI_POINT("policy.made");
	/* Nobody uses `at` with another's size: out of use, changed, in use again. */
	lzi_store_release(&bound->state_at, 0ull);
	lzi_store_release(&bound->state_size, state.size);
	bound->state_entries = entries;
	LZI_POINT("policy.between");
	lzi_store_release(&bound->state_at, at | (uint64_t)policy->id);
	sample_for(store, policy, state);
	return LATZ_OK;
}

/* Entries that a state should be for. How much a policy by age samples, and so what it takes the pool's size for,
 * goes by it. There are no more than the heap has room for, whatever a counter says. */
static uint64_t entries_for(const struct lzi_store *store, int64_t keys)
{
	const struct lzi_shared *shared = store->control.shared;
	uint64_t max = lzi_load_relaxed(&shared->bound.max_entries);
	uint64_t most = lzi_load_relaxed(&shared->extents) * (LZI_EXTENT / LZI_RECORD_HEAD);

	if (max != 0 && max < ENTRIES_MIN)
		return max;
	if (keys < (int64_t)ENTRIES_MIN)
		return ENTRIES_MIN;
	most = most < ENTRIES_MIN ? ENTRIES_MIN : most < ENTRIES_MOST ? most : ENTRIES_MOST;
	if (max == 0 || max > most)
		max = most;
	return (uint64_t)keys > max ? max : (uint64_t)keys;
}

/* Values are what the pool is for: of more entries than that the oldest go unasked. */
static int is_too_large(const struct lzi_store *store, const struct lzi_policy *policy, uint64_t entries)
{
	uint64_t max = lzi_load_relaxed(&store->control.shared->bound.max_bytes);

	return max != 0 && policy->size(entries) > max / STATE_PART;
}

static void want_no_more(struct lzi_store *store)
{
	struct lzi_bound *bound = &store->control.shared->bound;

	if (lzi_load_relaxed(&bound->wanted) == 0)
		return;
	lzi_store_relaxed(&bound->wanted, 0ull);
	lzi_bound_refresh(store);
}

/* Makes a state, if the heap has given the bytes for it; until then they are wanted. */
static int make_within_bounds(struct lzi_store *store, const struct lzi_policy *policy, uint64_t entries, int anew)
{
	struct lzi_bound *bound = &store->control.shared->bound;
	uint64_t limit;
	int rc;

	lzi_store_relaxed(&bound->wanted, page_up(policy->size(entries)));
	lzi_bound_refresh(store);
	limit = lzi_load_relaxed(&bound->heap_limit); /* others may lower it, without `maint` */
	if (limit != 0 && lzi_file_blocks(store->heap.fd) > limit)
		return LATZ_BUSY;
	rc = make_state(store, policy, entries, anew);
	lzi_store_relaxed(&bound->wanted, 0ull);
	lzi_bound_refresh(store);
	return rc;
}

/* Whether there are so many more or fewer entries that a state should be made for them. By entry each needs its place;
 * by age it is only that of a full pool that matters. */
static int is_misfit(struct lzi_store *store, const struct lzi_policy *policy, uint64_t want)
{
	struct lzi_bound *bound = &store->control.shared->bound;
	uint64_t have = entries_of(store, policy), evicted = lzi_load_relaxed(&bound->evicted);

	if (policy->kind == LZI_POLICY_BY_ENTRY || want >= have * 2)
		return want > have;
	if (evicted - bound->fitted < have || (want < have + have / 4 && want > have - have / 4))
		return 0;
	lzi_store_relaxed(&bound->fitted, evicted);
	return 1;
}

struct telling {
	struct lzi_store *store;
	const struct lzi_policy *policy;
	struct lzi_policy_block state;
	int by_bytes;
};

static int tell_of(struct lzi_record *record, uint64_t unit, void *arg)
{
	const struct telling *telling = arg;
	uint64_t span = lzi_record_span_of(record) / LZI_UNIT;
	uint64_t hash = lzi_store_hash(telling->store, lzi_record_key(record), record->key_size);

	(void)unit;
	if (lzi_load_relaxed(&record->died) == 0)
		(void)!telling->policy->insert(telling->state, hash,
		                               telling->by_bytes ? (uint32_t)span : 1);
	return 0;
}

/* A new policy by entry hears of what is there: else what comes would go before it. */
static int tell_of_all(struct lzi_store *store)
{
	struct telling telling = { .store = store, .by_bytes = store->control.shared->bound.max_bytes != 0 };
	uint64_t n = lzi_heap_count(&store->heap), e, tail;
	int rc = lzi_heap_view(&store->heap);

	telling.policy = lzi_policy_begin(store, &telling.state);
	if (telling.policy == NULL)
		return rc;
	for (e = 0; e < n && rc == LATZ_OK && telling.policy->kind == LZI_POLICY_BY_ENTRY; e++) {
		if (lzi_extent_holds(store, e, &tail))
			rc = lzi_extent_walk(store, e, 0, tail, tell_of, &telling);
	}
	lzi_policy_end(store);
	return rc;
}

static void forget_state(struct lzi_bound *bound)
{
	if (lzi_load_relaxed(&bound->state_at) == 0)
		return;
	lzi_store_release(&bound->untidy, 1ull);
	lzi_store_release(&bound->state_at, 0ull);
}

int lzi_hear_reset(struct lzi_store *store)
{
	const struct lzi_policy *policy = policy_of(store);
	struct lzi_bound *bound = &store->control.shared->bound;
	int64_t keys = lzi_store_keys(store);
	uint64_t entries = entries_for(store, keys);
	int rc;

	if (policy == NULL) {
		forget_state(bound);
		return LATZ_OK;
	}
	while (entries > ENTRIES_MIN && is_too_large(store, policy, entries))
		entries = entries / 2 < ENTRIES_MIN ? ENTRIES_MIN : entries / 2;
	rc = lzi_hear_file(store);
	if (rc == LATZ_OK)
		rc = make_within_bounds(store, policy, entries, 1);
	return rc == LATZ_OK && keys > 0 ? tell_of_all(store) : rc;
}

/* For how many entries the state of a pool that was loaded should be, if the one it comes from was for `before`: for as
 * many, if the pool might have come to that by itself. */
static uint64_t entries_loaded(const struct lzi_store *store, const struct lzi_policy *policy, uint64_t before)
{
	uint64_t want = entries_for(store, lzi_store_keys(store));

	/* Not all that is there need be known, nor all that is known be there: a log brings back what was evicted. */
	if (policy->kind == LZI_POLICY_BY_ENTRY)
		want += want / 2;
	return before > want && before / 2 < want ? before : want;
}

/* A copy of what loading has told a policy by entry; by age it was told of nothing. */
static int copy_told(struct lzi_store *store, const struct lzi_policy *policy, struct lzi_policy_block *ret_told)
{
	struct lzi_policy_block state;

	ret_told->at = NULL;
	if (policy->kind != LZI_POLICY_BY_ENTRY || state_of(store, &state) != policy)
		return LATZ_OK;
	ret_told->size = state.size;
	ret_told->at = malloc(state.size);
	if (ret_told->at == NULL)
		return lzi_error(LATZ_NOMEM, "the policy's state");
	memcpy(ret_told->at, state.at, state.size);
	return LATZ_OK;
}

int lzi_hear_adopt(struct lzi_store *store, uint64_t entries, struct lzi_policy_block from)
{
	struct lzi_bound *bound = &store->control.shared->bound;
	const struct lzi_policy *policy = policy_of(store);
	struct lzi_policy_block told, state;
	int rc = policy == NULL ? LATZ_CORRUPT : lzi_hear(store);

	if (rc == LATZ_OK)
		rc = copy_told(store, policy, &told);
	if (rc != LATZ_OK)
		return rc;
	entries = entries_loaded(store, policy, entries);
	if (entries != entries_of(store, policy) && !is_too_large(store, policy, entries))
		(void)!make_within_bounds(store, policy, entries, 1); /* failing: it does with what it has */
	policy = lzi_policy_begin(store, &state);
	if (policy != NULL) {
		policy->init(state, entries_of(store, policy), capacity_of(store));
		policy->move(state, from);
		/* What only the loading has told of comes in as the oldest; and what is not of single entries is again
		 * as it was. */
		if (told.at != NULL) {
			policy->move(state, told);
			policy->move(state, from);
		}
		lzi_policy_end(store);
		sample_for(store, policy, state);
	}
	free(told.at);
	lzi_store_relaxed(&bound->tail, lzi_load_acquire(&bound->head));
	lzi_store_relaxed(&bound->fitted, lzi_load_relaxed(&bound->evicted));
	return policy != NULL ? LATZ_OK : lzi_error(LATZ_CORRUPT, "the policy's state is not there");
}

int lzi_hear_fit(struct lzi_store *store)
{
	struct lzi_bound *bound = &store->control.shared->bound;
	uint64_t max = lzi_load_relaxed(&bound->max_bytes);
	const struct lzi_policy *policy = policy_of(store);

	if (policy == NULL || max == 0 || lzi_load_relaxed(&bound->state_size) <= max / STATE_PART ||
	    entries_for(store, lzi_store_keys(store)) > entries_of(store, policy) / 2)
		return LATZ_OK;
	forget_state(bound);
	return lzi_hear_reset(store);
}

uint64_t lzi_hear_fixed(struct lzi_store *store, latz_policy policy_id)
{
	const struct lzi_policy *policy = policy_id <= LATZ_POLICY_NONE ? NULL : lzi_policy_by_id(policy_id);
	uint64_t blocks = lzi_hear_blocks(store);

	return (blocks < LZI_STATES_AT ? blocks : LZI_STATES_AT) +
	       (policy != NULL ? page_up(policy->size(ENTRIES_MIN)) : 0);
}

void lzi_hear_tidy(struct lzi_call *call)
{
	struct lzi_store *store = call->store;
	struct lzi_bound *bound = &store->control.shared->bound;
	uint64_t at, size, end;

	if (lzi_load_relaxed(&bound->untidy) == 0 || !is_ready(store) || !lzi_readers_gone(call) ||
	    lzi_file_size(store->hear.fd, &end) != LATZ_OK)
		return;
	at = state_place(store, lzi_load_relaxed(&bound->state_at), &size);
	if (at == 0 || size > end || at > end - size)
		at = end, size = 0;
	if (at > LZI_STATES_AT && lzi_file_punch(store->hear.fd, LZI_STATES_AT, at - LZI_STATES_AT) != LATZ_OK)
		return;
	LZI_POINT("policy.punched");
	if (at + size < end && lzi_file_punch(store->hear.fd, at + size, end - at - size) != LATZ_OK)
		return;
	lzi_store_relaxed(&bound->untidy, 0ull);
}

const struct lzi_policy *lzi_policy_begin(struct lzi_store *store, struct lzi_policy_block *ret_state)
{
	struct lzi_bound *bound = &store->control.shared->bound;
	const struct lzi_policy *policy = policy_of(store);
	struct lzi_policy_block state;
	uint64_t entries;

	if (policy == NULL || !is_ready(store) || state_of(store, &state) != policy)
		return NULL;
	if (lzi_unlikely(lzi_load_relaxed(&bound->mending) != 0 || !policy->is_sound(state)) &&
	    policy->mend(state) != 0) {
		lzi_log(LATZ_LOG_INFO, "%s: what the policy %s knew is lost", store->name, policy->name);
		entries = lzi_load_relaxed(&bound->state_entries);
		if (entries > ENTRIES_MOST || policy->size(entries) > state.size) {
			lzi_store_release(&bound->state_at, 0ull); /* another is made when it is next listened to */
			return NULL;
		}
		policy->init(state, entries, capacity_of(store));
	}
	lzi_store_relaxed(&bound->mending, 1u);
	lzi_compiler_barrier();
	*ret_state = state;
	return policy;
}

void lzi_policy_end(struct lzi_store *store)
{
	lzi_store_release(&store->control.shared->bound.mending, 0u);
}

/* ---- Listening ---- */

/* By entry: -1 if the state has no room for another. */
static int pass_on(const struct lzi_policy *policy, struct lzi_policy_block state, const struct lzi_event *event,
                   uint64_t what, int by_bytes)
{
	enum lzi_event_kind kind = (enum lzi_event_kind)(what >> KIND_SHIFT & 3);
	uint32_t weight = by_bytes ? (uint32_t)(what & WEIGHT_MASK) : 1;
	uint64_t hash = lzi_load_relaxed(&event->hash);

	if (policy->kind == LZI_POLICY_BY_AGE) {
		if (kind != LZI_EVENT_REMOVED)
			policy->access(state, hash, weight, kind == LZI_EVENT_CREATED);
		return 0;
	}
	if (kind == LZI_EVENT_REMOVED) {
		policy->remove(state, hash);
		return 0;
	}
	if (kind == LZI_EVENT_CREATED)
		return policy->insert(state, hash, weight);
	policy->access(state, hash, weight, 0);
	return 0;
}

/* What has been told since the last time. 1: the state is too small; can_grow: what it had no room for is past. */
static int drain(struct lzi_store *store, const struct lzi_policy *policy, struct lzi_policy_block state, int can_grow)
{
	struct lzi_bound *bound = &store->control.shared->bound;
	uint64_t head = lzi_load_acquire(&bound->head), tail = bound->tail, what;
	int small = 0;

	if (head - tail > LZI_RING)
		tail = head - LZI_RING;
	for (; tail != head; tail++) {
		const struct lzi_event *event =
			lzi_map_at(&store->hear.map, tail % LZI_RING * sizeof *event, sizeof *event);

		what = lzi_load_acquire(&event->what);
		if (what >> PLACE_SHIFT != (uint32_t)(tail + 1)) {
			if (head - tail < LATE)
				break; /* whoever has the place will fill it; or is dead, and then we pass it soon */
			continue;
		}
		if (pass_on(policy, state, event, what, bound->max_bytes != 0) != 0) {
			small = 1;
			if (!can_grow)
				break;
		}
	}
	lzi_store_relaxed(&bound->tail, tail);
	return small;
}

static LZI_COLD void listen_briefly(struct lzi_store *store)
{
	const struct lzi_policy *policy;
	struct lzi_policy_block state;

	if (lzi_maint_lock(store, 0) < 0)
		return;
	policy = lzi_policy_begin(store, &state);
	if (policy != NULL) {
		(void)!drain(store, policy, state, 0);
		lzi_policy_end(store);
	}
	lzi_maint_unlock(store);
}

int lzi_hear_is_due(const struct lzi_store *store)
{
	const struct lzi_bound *bound = &store->control.shared->bound;
	const struct lzi_policy *policy = policy_of(store);

	return policy != NULL &&
	       (policy->kind == LZI_POLICY_BY_ENTRY || lzi_load_relaxed(&bound->state_at) == 0 ||
	        bound->capacity != capacity_of(store) || lzi_load_relaxed(&bound->head) - bound->tail >= ENOUGH);
}

int lzi_hear(struct lzi_store *store)
{
	struct lzi_bound *bound = &store->control.shared->bound;
	const struct lzi_policy *policy;
	struct lzi_policy_block state;
	uint64_t entries, have;
	int small;

	if (policy_of(store) == NULL) {
		want_no_more(store);
		return LATZ_OK;
	}
	policy = lzi_policy_begin(store, &state);
	if (policy == NULL) { /* its maker died, or found no space */
		int rc = lzi_hear_reset(store);

		if (rc != LATZ_OK)
			return rc == LATZ_BUSY ? LATZ_OK : rc;
		policy = lzi_policy_begin(store, &state);
	}
	if (policy == NULL)
		return lzi_error(LATZ_CORRUPT, "the policy's state is not there");
	/* Also if it was told before: nobody says that it still stands there. */
	lzi_store_relaxed(&bound->capacity, capacity_of(store));
	policy->resize(state, capacity_of(store));
	small = drain(store, policy, state, 1) && policy->is_sound(state); /* else room got lost, and is found again */
	lzi_policy_end(store);
	entries = entries_for(store, lzi_store_keys(store));
	have = entries_of(store, policy);
	if (small || is_misfit(store, policy, entries)) {
		if (policy->kind == LZI_POLICY_BY_ENTRY && entries < have * 3 / 2)
			entries = have * 3 / 2;
		if (!is_too_large(store, policy, entries))
			(void)!make_within_bounds(store, policy, entries, 0); /* else with the one there is */
	} else { /* so many may have gone meanwhile that it will do */
		want_no_more(store);
	}
	return LATZ_OK;
}

/* The hit counts, in a bounded pool, or one that is sampled. ahead: how it was found, if its slot is known. */
void lzi_hear_get(struct lzi_call *call, latz_slice key, const struct lzi_ahead *ahead, int slot_known,
                                  const latz_value *value)
{
	uint64_t bytes = lzi_record_span(key.size, value->size, 0);
	struct lzi_found found;

	if (call->store->reads_only)
		return;
	/* Only hits in namespaces count. */
	if ((lzi_load_relaxed(&call->store->control.shared->watch) & (LZI_WATCH_HITS | LZI_WATCH_SAMPLE)) == 0 &&
	    !lzi_key_is_spaced(key.data, key.size))
		return;
	if (slot_known)
		lzi_hear_hit(call, ahead->slot, ahead->word, ahead->hash, bytes);
	else if (lzi_read_find(call->store, key, ahead->hash, &found) == LATZ_OK)
		lzi_hear_hit(call, found.slot, lzi_load_relaxed(found.slot), ahead->hash, bytes);
}

int lzi_hear_read(struct lzi_call *call, latz_slice key, const struct lzi_ahead *ahead, int slot_known,
                  const latz_value *value)
{
	if (value != NULL && (lzi_load_relaxed(&call->store->control.shared->watch) &
	                      (LZI_WATCH_HITS | LZI_WATCH_SAMPLE | LZI_WATCH_SPACES)) != 0)
		lzi_hear_get(call, key, ahead, slot_known, value);
	return lzi_audits(call, LZI_WATCH_AUDIT_READS) ? lzi_audit_read(call, key, LATZ_OK) : LATZ_OK;
}
