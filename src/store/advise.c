/*
 * Sampling what is asked for, and advice from it: what another size would do, and which keys are hot (doc/advice.md).
 *
 * The sample (policy/sample.h) lies in the file `policy`, behind the ring of events. `tracing` in the control file says
 * which keys are in it; 0 none. It is always on in a pool that evicts, else when somebody asked for it. What a death
 * leaves half changed is made anew: it is a loss of memory, no more.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/point.h"
#include "policy/advise.h"
#include "policy/sample.h"
#include "store/log.h"
#include "store/store_int.h"

_Static_assert(LZI_SAMPLE_AT % LZI_PAGE == 0 && LZI_SAMPLE_BYTES % LZI_PAGE == 0, "pages of its own");

/* The log takes at most such a part of max_bytes; the smallest pools have no room to spare. */
#define LOG_PART 32u
#define SMALL (8ull << 20)
/* Of those that are told of late, because somebody else is making room, each so-maniest tries itself. */
#define LATE_EVERY 64u
/* Of the part of a heap's limit that live records have when it is full. */
#define LIVE_PERCENT 92u

static const double scales[] = { 0.125, 0.25, 0.5, 0.75, 1, 1.5, 2, 4, 8 };
#define SCALES (sizeof scales / sizeof scales[0])

static struct lzi_sample *sample_of(struct lzi_store *store)
{
	return lzi_hear_ready(store) ? lzi_map_at(&store->hear.map, LZI_SAMPLE_AT, LZI_SAMPLE_BYTES) : NULL;
}

static uint64_t places_wanted(const struct lzi_store *store)
{
	uint64_t max = lzi_load_relaxed(&store->control.shared->bound.max_bytes), places = LZI_SAMPLE_PLACES_MAX;

	if (max != 0 && max < SMALL)
		return LZI_SAMPLE_PLACES_MIN;
	while (max != 0 && places > LZI_SAMPLE_PLACES_MIN && places * sizeof(uint64_t) > max / LOG_PART)
		places /= 2;
	return places;
}

static struct lzi_sample_sum references(const struct lzi_store *store)
{
	struct lzi_sample_sum sum = { 0 };
	uint32_t i, n = lzi_control_actors(&store->control);

	for (i = 0; i < n; i++) {
		const struct lzi_actor *actor = lzi_control_actor(&store->control, i);

		sum.references += lzi_load_relaxed(&actor->references);
		sum.weight += lzi_load_relaxed(&actor->hit_bytes);
		sum.created += lzi_load_relaxed(&actor->created);
		sum.created_weight += lzi_load_relaxed(&actor->created_bytes);
	}
	sum.weight = (sum.weight + sum.created_weight) / LZI_UNIT;
	sum.created_weight /= LZI_UNIT;
	return sum;
}

/* ---- Sampling --------------------------------------------------------------------------------------------------- */

/* Begins anew; under `maint`. */
static int start(struct lzi_store *store)
{
	struct lzi_shared *shared = store->control.shared;
	uint64_t places = places_wanted(store);
	struct lzi_sample *sample;
	struct lzi_sample_sum now;
	int rc = lzi_hear_file(store);

	lzi_store_relaxed(&shared->tracing, 0u);
	if (rc == LATZ_OK)
		rc = lzi_file_allocate(store->hear.fd, LZI_SAMPLE_AT, sizeof *sample + places * sizeof sample->log[0]);
	if (rc != LATZ_OK)
		return rc;
	LZI_POINT("sample.allocated");
	sample = sample_of(store);
	if (sample == NULL)
		return lzi_error(LATZ_NOMEM, "the sample can't be mapped");
	now = references(store);
	lzi_sample_init(sample, places, &now, lzi_clock_mono_ms());
	if (lzi_store_keys(store) > 0)
		sample->cuts = 1; /* there was a past */
	LZI_POINT("sample.made");
	lzi_store_release(&shared->tracing, UINT32_MAX);
	lzi_fetch_or(&shared->watch, (uint32_t)LZI_WATCH_SAMPLE);
	lzi_bound_refresh(store); /* the heap makes room for it */
	return LATZ_OK;
}

/* Whether it goes on: begun, not half changed, and not for a pool of quite another size. */
static int is_running(struct lzi_store *store)
{
	const struct lzi_sample *sample;

	return (lzi_load_relaxed(&store->control.shared->watch) & LZI_WATCH_SAMPLE) != 0 &&
	       lzi_load_acquire(&store->control.shared->tracing) != 0 && (sample = sample_of(store)) != NULL &&
	       lzi_sample_is_whole(sample, LZI_SAMPLE_PLACES_MAX) &&
	       lzi_load_relaxed(&sample->places) == places_wanted(store);
}

static void stop(struct lzi_store *store)
{
	struct lzi_shared *shared = store->control.shared;

	lzi_store_relaxed(&shared->tracing, 0u);
	lzi_fetch_and(&shared->watch, ~(uint32_t)LZI_WATCH_SAMPLE);
}

void lzi_sample_keep(struct lzi_store *store)
{
	struct lzi_shared *shared = store->control.shared;

	if ((lzi_load_relaxed(&shared->watch) & LZI_WATCH_HITS) == 0) {
		if ((lzi_load_relaxed(&shared->watch) & LZI_WATCH_SAMPLE) == 0)
			stop(store);
		return;
	}
	/* The smallest pools have no room for it, until somebody asks. */
	if (lzi_load_relaxed(&shared->bound.max_bytes) != 0 && lzi_load_relaxed(&shared->bound.max_bytes) < SMALL)
		return;
	lzi_fetch_or(&shared->watch, (uint32_t)LZI_WATCH_SAMPLE);
	if (!is_running(store))
		(void)!start(store); /* without it there is no advice */
}

/* Whoever finds the log full. */
static LZI_COLD void make_room(struct lzi_store *store, struct lzi_sample *sample)
{
	struct lzi_shared *shared = store->control.shared;
	struct lzi_sample_sum now;
	int64_t keys;

	if (lzi_maint_lock(store, 0) < 0)
		return;
	if (lzi_load_relaxed(&shared->tracing) == 0) {
		/* It has ended. */
	} else if (!lzi_sample_is_whole(sample, LZI_SAMPLE_PLACES_MAX)) {
		(void)!start(store);
	} else {
		now = references(store);
		keys = lzi_store_keys(store);
		lzi_sample_make_room(sample, keys > 0 ? (uint64_t)keys : 0, &now);
		lzi_store_relaxed(&shared->tracing, sample->threshold);
	}
	lzi_maint_unlock(store);
}

void lzi_sample_reference(struct lzi_call *call, uint64_t hash, uint64_t bytes, int created)
{
	struct lzi_sample *sample = sample_of(call->store);
	uint64_t places = sample == NULL ? 0 : lzi_load_relaxed(&sample->places), late;

	if (places == 0 || places > LZI_SAMPLE_PLACES_MAX)
		return;
	late = lzi_sample_add(sample, places, lzi_sample_word(lzi_sample_id(hash), bytes / LZI_UNIT, created));
	if (lzi_unlikely(late % LATE_EVERY == 1))
		make_room(call->store, sample);
}

/* A hit by chance. The place is by chance, too: so what is there fades, and nobody has to agree on one. */
void lzi_sample_hit(struct lzi_call *call, uint64_t hash)
{
	struct lzi_sample *sample = sample_of(call->store);
	uint64_t place =
		(lzi_load_relaxed(&call->actor->references) + ((uint64_t)call->index << 40)) * 0xd6e8feb86659fd93ull >>
		48;

	if (sample != NULL)
		lzi_store_relaxed(&sample->hot[place % LZI_SAMPLE_HOT], hash);
}

/* ---- Advice ----------------------------------------------------------------------------------------------------- */

/* What is needed of the pool, as of one moment. */
struct moment {
	uint64_t *log;
	struct lzi_advise_sample sample;
	uint64_t warm_keys; /* with which the caches are filled first; 0: the sample has all the past */
	latz_policy policy;
	uint64_t max_bytes, max_entries;
	uint64_t weight;       /* of records when it is full, or, without a bound on bytes, now */
	uint64_t fixed, table; /* bytes of its files that do not grow with keys; that do */
	uint64_t heap_limit, file_bytes;
};

static int take_sample(struct lzi_store *store, struct moment *moment, latz_advice_t *advice)
{
	const struct lzi_sample *sample = sample_of(store);
	struct lzi_sample_sum now = references(store);
	struct lzi_advise_sample *to = &moment->sample;
	int64_t keys = lzi_store_keys(store);
	uint64_t places = lzi_sample_places(sample);

	moment->log = calloc(places, sizeof *moment->log);
	if (moment->log == NULL)
		return lzi_error(LATZ_NOMEM, "a copy of the sample");
	to->word = moment->log;
	to->count = lzi_sample_copy(sample, places, moment->log);
	to->threshold = sample->threshold;
	to->by_weight = moment->max_bytes != 0 || moment->max_entries == 0;
	to->all = lzi_sample_since(sample, &now);
	advice->sampling = to->threshold == UINT32_MAX ? 1 : to->threshold / 4294967296.0;
	advice->references = to->all.references;
	advice->sampled = to->count;
	advice->age_ms = (int64_t)((uint64_t)lzi_clock_mono_ms() - (uint64_t)lzi_load_relaxed(&sample->began_ms));
	if (sample->cuts != 0 && keys > 0)
		moment->warm_keys = (uint64_t)keys * 2;
	return LATZ_OK;
}

static void take_sizes(struct lzi_store *store, struct moment *moment)
{
	const struct lzi_bound *bound = &store->control.shared->bound;
	uint64_t used, dead;

	moment->max_bytes = lzi_load_relaxed(&bound->max_bytes);
	moment->max_entries = lzi_load_relaxed(&bound->max_entries);
	moment->policy = (latz_policy)lzi_load_relaxed(&bound->policy);
	moment->heap_limit = lzi_load_relaxed(&bound->heap_limit);
	moment->table = lzi_file_blocks(store->table.fd) + lzi_file_blocks(store->heap.dir_fd) +
	                lzi_hear_blocks(store) +
	                lzi_dir_blocks(store->poolfd, "index");
	moment->file_bytes = moment->table + lzi_file_blocks(store->heap.fd) + lzi_file_blocks(store->control.fd);
	lzi_heap_account(store, &used, &dead);
	moment->weight = (used > dead ? used - dead : 0) / LZI_UNIT;
	if (moment->max_bytes == 0)
		return;
	if (lzi_load_relaxed(&bound->evicted) == 0)
		moment->weight = moment->heap_limit / LZI_UNIT / 100 * LIVE_PERCENT;
	if (moment->max_bytes > moment->heap_limit + moment->table)
		moment->fixed = moment->max_bytes - moment->heap_limit - moment->table;
}

/* Begins and ends sampling as asked; then takes what there is. */
static int take_moment(struct lzi_call *call, unsigned flags, struct moment *moment, latz_advice_t *advice)
{
	struct lzi_store *store = call->store;
	int rc = lzi_maint_lock_outside(call);

	if (rc < 0)
		return rc;
	rc = LATZ_OK;
	if ((flags & LATZ_ADVISE_START) && !is_running(store))
		rc = start(store);
	if (rc == LATZ_OK) {
		take_sizes(store, moment);
		advice->running = is_running(store);
		if (advice->running)
			rc = take_sample(store, moment, advice);
	}
	if ((flags & LATZ_ADVISE_STOP) && (lzi_load_relaxed(&store->control.shared->watch) & LZI_WATCH_HITS) == 0)
		stop(store);
	lzi_maint_unlock(store);
	return rc;
}

/* The size of a pool so many times as large; 0: there can't be such a one. */
static int size_at(const struct moment *moment, double scale, struct lzi_advise_size *size, latz_advice_point *point)
{
	double max = (double)moment->max_bytes * scale, heap;

	memset(size, 0, sizeof *size);
	size->larger = scale >= 1;
	memset(point, 0, sizeof *point);
	point->size = sizeof *point;
	point->scale = scale;
	if (moment->max_entries != 0) {
		size->entries = point->max_entries = (uint64_t)((double)moment->max_entries * scale + 0.5);
		if (size->entries == 0)
			return 0;
	}
	if (moment->max_bytes == 0) {
		if (moment->max_entries == 0) {
			point->max_bytes = (uint64_t)((double)moment->file_bytes * scale);
			size->weight = (uint64_t)((double)moment->weight * scale) + 1;
		}
		return 1;
	}
	point->max_bytes = (uint64_t)max;
	heap = max - (double)moment->fixed - (double)moment->table * scale;
	if (lzi_bound_valid(point->max_bytes) != LATZ_OK || heap < LZI_EXTENT)
		return 0;
	size->weight = (uint64_t)((double)moment->weight * heap / (double)moment->heap_limit) + 1;
	return 1;
}

/* What was missed, at the size that there was. */
static void measure(const struct lzi_advise_sample *sample, latz_advice_t *advice)
{
	struct lzi_advise_misses misses;

	lzi_advise_measured(sample, &misses);
	advice->miss_ratio = misses.references;
	advice->byte_miss_ratio = misses.weight;
}

static const struct lzi_policy *policy_wanted(const struct moment *moment, latz_policy wanted)
{
	const struct lzi_policy *policy = lzi_policy_by_id(wanted != LATZ_POLICY_DEFAULT ? wanted : moment->policy);

	return policy != NULL ? policy : lzi_policy_by_id(LATZ_POLICY_DEFAULT);
}

static int tell_points(const struct moment *moment, const struct lzi_policy *policy, latz_advise_fn fn, void *arg)
{
	struct lzi_advise_size size[SCALES];
	struct lzi_advise_misses lru[SCALES], own;
	latz_advice_point point[SCALES];
	unsigned i, n = 0;
	int rc;

	for (i = 0; i < SCALES; i++)
		n += (unsigned)size_at(moment, scales[i], &size[n], &point[n]);
	rc = lzi_advise_lru(&moment->sample, size, n, lru);
	for (i = 0; i < n && rc == LATZ_OK; i++) {
		own = lru[i];
		if (policy != NULL && policy->id != LATZ_POLICY_LRU)
			rc = lzi_advise_policy(&moment->sample, policy, &size[i], &own);
		if (rc != LATZ_OK)
			break;
		point[i].miss_ratio = own.references;
		point[i].byte_miss_ratio = own.weight;
		point[i].lru_miss_ratio = lru[i].references;
		point[i].lru_byte_miss_ratio = lru[i].weight;
		rc = fn(&point[i], arg);
	}
	return rc;
}

int lzi_store_advise(struct lzi_call *call, const latz_advise_options *options, latz_advise_fn fn, void *arg,
                     latz_advice_t *advice)
{
	struct moment moment;
	const struct lzi_policy *policy;
	latz_advice_t out;
	int rc;

	memset(&moment, 0, sizeof moment);
	memset(&out, 0, sizeof out);
	out.size = advice->size < sizeof out ? advice->size : sizeof out;
	lzi_call_begin(call);
	rc = take_moment(call, options->flags, &moment, &out);
	lzi_call_end(call);
	if (rc == LATZ_OK && moment.warm_keys != 0)
		rc = lzi_advise_warm(&moment.sample, moment.warm_keys);
	policy = policy_wanted(&moment, options->policy);
	out.policy = policy != NULL ? policy->id : LATZ_POLICY_LRU;
	if (rc == LATZ_OK && out.running)
		measure(&moment.sample, &out);
	if (rc == LATZ_OK)
		memcpy(advice, &out, out.size);
	if (rc == LATZ_OK && fn != NULL && moment.sample.count > 0)
		rc = tell_points(&moment, policy, fn, arg);
	free(moment.log);
	return rc;
}

/* ---- Hot keys --------------------------------------------------------------------------------------------------- */

struct hot {
	uint64_t hash;
	uint64_t count;
};

static int compare_hashes(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static int compare_counts(const void *a, const void *b)
{
	const struct hot *x = a, *y = b;

	return x->count > y->count ? -1 : x->count < y->count;
}

/* How often each was hit, the most frequent first. How many keys; *ret_all: hits that were looked at. */
static unsigned count_hot(const struct lzi_sample *sample, struct hot *hot, uint64_t *ret_all)
{
	uint64_t hash[LZI_SAMPLE_HOT], all = 0, i;
	unsigned n = 0;

	for (i = 0; i < LZI_SAMPLE_HOT; i++) {
		hash[all] = lzi_load_relaxed(&sample->hot[i]);
		all += hash[all] != 0;
	}
	qsort(hash, all, sizeof hash[0], compare_hashes);
	for (i = 0; i < all; i++) {
		if (n == 0 || hot[n - 1].hash != hash[i])
			hot[n++] = (struct hot){ .hash = hash[i] };
		hot[n - 1].count++;
	}
	qsort(hot, n, sizeof hot[0], compare_counts);
	*ret_all = all;
	return n;
}

int lzi_store_hot_keys(struct lzi_call *call, unsigned max, latz_hot_key_fn fn, void *arg)
{
	struct lzi_store *store = call->store;
	latz_value key = LATZ_VALUE_INIT;
	const struct lzi_sample *sample = NULL;
	struct hot *hot = malloc(LZI_SAMPLE_HOT * sizeof *hot);
	unsigned i, n = 0, told = 0;
	uint64_t all = 0;
	int rc = LATZ_OK;

	if (hot == NULL)
		return lzi_error(LATZ_NOMEM, "hot keys");
	if (lzi_load_relaxed(&store->control.shared->tracing) != 0)
		sample = sample_of(store);
	if (sample != NULL)
		n = count_hot(sample, hot, &all);
	/* Once is no sign of heat. */
	for (i = 0; i < n && told < max && hot[i].count > 1 && rc == LATZ_OK; i++) {
		lzi_call_begin(call);
		rc = lzi_read_hash_key(store, hot[i].hash, &key);
		lzi_call_end(call);
		if (rc == LATZ_OK) {
			latz_slice name = { key.data, key.size };

			rc = fn(name, (double)hot[i].count / (double)all, arg);
			told++;
		} else if (rc == LATZ_NOTFOUND) {
			rc = LATZ_OK; /* it has gone */
		}
	}
	latz_value_free(&key);
	free(hot);
	return rc;
}
