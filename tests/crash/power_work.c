/*
 * The power cut test's writer, and the comparison: see power.h.
 */
#define _GNU_SOURCE
#include "config.h"

#include "power.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "base/crc32c.h"
#include "ledger.h"
#include "store/log.h"
#include "store/pack.h"

#define POOL "pool"
#define HOUR_MS 3600000ll
#define SIZE_MAX_VALUE 5000
#define INTERVAL_MS 2000 /* more than a record takes: time passes when the test says so */

static const int64_t lives_ms[PW_LIVES] = { -1, HOUR_MS, 24 * HOUR_MS, 3 };

/* ---- Settings --------------------------------------------------------------------------------------------------- */

static uint64_t any(uint64_t *random, uint64_t below)
{
	return hn_random(random) % below;
}

struct pw_setting pw_setting_any(uint64_t *random)
{
	static const uint64_t checkpoints[] = { 24 << 10, 80 << 10, 1 << 20 }, segments[] = { 32 << 10, 64 << 10 };
	static const latz_policy policies[] = { LATZ_POLICY_ADAPTIVE, LATZ_POLICY_LRU, LATZ_POLICY_SIEVE,
		                                LATZ_POLICY_WTINYLFU };
	struct pw_setting setting = { (latz_sync)any(random, 3), checkpoints[any(random, 3)],
		                      segments[any(random, 2)], (int)any(random, 2), (int)any(random, 2),
		                      any(random, 3) == 0 ? PW_KEYS / 2 : 0, policies[any(random, 4)] };

	return setting;
}

/* Another one for the same pool. */
static struct pw_setting setting_again(const struct pw_setting *before, uint64_t *random)
{
	struct pw_setting setting = pw_setting_any(random);

	setting.max_entries = before->max_entries;
	return setting;
}

const char *pw_setting_text(const struct pw_setting *setting)
{
	static const char *const syncs[] = { "none", "interval", "always" };
	static char text[128];

	snprintf(text, sizeof text, "sync %s, checkpoint at %llu, segments of %llu%s%s%s", syncs[setting->sync],
	         (unsigned long long)setting->checkpoint_bytes, (unsigned long long)setting->segment_bytes,
	         setting->snapshot_on_close ? ", snapshot on close" : "", setting->compresses ? ", compresses" : "",
	         setting->max_entries ? ", bounded" : "");
	return text;
}

latz_options pw_options(const struct pw_setting *setting, const char *run, const char *persist)
{
	latz_options options = hn_options(run, LATZ_CREATE | LATZ_NO_THREAD | LATZ_NO_GUARD);

	lzi_wal_segment_bytes = setting->segment_bytes;
	options.compress_min = setting->compresses ? 24 : 0;
	options.max_entries = setting->max_entries;
	options.policy = setting->max_entries ? setting->policy : LATZ_POLICY_DEFAULT;
	if (!persist)
		return options;
	options.persist_dir = persist;
	options.sync = setting->sync;
	options.sync_interval_ms = setting->sync == LATZ_SYNC_INTERVAL ? INTERVAL_MS : 0;
	options.checkpoint_bytes = setting->checkpoint_bytes;
	options.snapshot_on_close = setting->snapshot_on_close;
	return options;
}

/* ---- States ----------------------------------------------------------------------------------------------------- */

void pw_push(struct pw_history *history, int key, struct pw_state state)
{
	int n = history->count[key]++;

	if ((n & (n - 1)) == 0) {
		history->list[key] = realloc(history->list[key], (size_t)(n ? 2 * n : 1) * sizeof state);
		if (!history->list[key])
			hn_die("no memory");
	}
	history->list[key][n] = state;
}

void pw_history_free(struct pw_history *history)
{
	for (int k = 0; k < PW_KEYS; k++)
		free(history->list[k]);
	memset(history, 0, sizeof *history);
}

void pw_follow(const struct pw_history *history, struct pw_range *range, const struct rc_event *event)
{
	if (event->kind != RC_MARK || event->what == PW_STEP)
		return;
	for (int k = 0; k < PW_KEYS; k++) {
		if (event->key != PW_ALL && event->key != k)
			continue;
		if (event->what == PW_SAFE)
			range->from[k] = range->to[k] - 1;
		else if (range->to[k] < history->count[k])
			range->to[k]++;
	}
}

static latz_slice key_of(char buf[64], int key)
{
	int n = snprintf(buf, 64, "key/%d/%08x", key, (unsigned)hn_mix((uint64_t)key));

	return (latz_slice){ buf, (size_t)n };
}

/* Every second value is of a few words, other ones from time to time, so that dictionaries help for a while. */
static void fill(uint8_t *to, int key, const struct pw_state *state)
{
	uint64_t random = hn_mix((uint64_t)key << 32 | state->number), word = 0;

	for (uint32_t i = 0; i < state->size; i++) {
		if (i % 8 == 0) {
			random = hn_mix(random);
			word = state->number % 2 ? hn_mix(state->number / 64 * 8 + random % 8) : random;
		}
		to[i] = (uint8_t)(word >> 8 * (i % 8));
	}
}

static int is_state(const latz_value *value, int there, int key, const struct pw_state *state)
{
	uint8_t bytes[SIZE_MAX_VALUE];
	int64_t sum;

	if (!there)
		return state->kind == PW_ABSENT || state->life == PW_MOMENT;
	if (state->kind == PW_ABSENT)
		return 0;
	if (state->kind == PW_INT) {
		if (value->type != LATZ_INT || value->size != 8)
			return 0;
		memcpy(&sum, value->data, 8);
		if (sum != state->sum)
			return 0;
	} else {
		if (value->type != LATZ_BYTES || value->size != state->size)
			return 0;
		fill(bytes, key, state);
		if (memcmp(bytes, value->data, value->size) != 0)
			return 0;
	}
	if (state->life == PW_FOREVER)
		return value->ttl_ms == -1;
	return value->ttl_ms >= 0 && value->ttl_ms <= lives_ms[state->life] &&
	       (state->life == PW_MOMENT || value->ttl_ms > lives_ms[state->life] - HOUR_MS / 2);
}

static uint32_t last_number(const struct pw_history *history)
{
	uint32_t most = 0;

	for (int k = 0; k < PW_KEYS; k++)
		for (int i = 0; i < history->count[k]; i++)
			most = history->list[k][i].number > most ? history->list[k][i].number : most;
	return most;
}

enum { GROUP_IN = 1, GROUP_OUT = 2 };

/* Which groups surely have happened as this key shows, and which have not: it may be in one of several states that look
 * alike. A later state says nothing of the group: what was not synced may be lost though what was written after it is
 * not (doc/durability.md). */
static void note_groups(uint8_t *groups, const latz_value *value, int there, const struct pw_history *history,
                        const struct pw_range *range, int key)
{
	const struct pw_state *list = history->list[key];
	int least = -1, most = -1;

	for (int i = range->from[key]; i < range->to[key]; i++)
		if (is_state(value, there, key, &list[i])) {
			least = least < 0 ? i : least;
			most = i;
		}
	for (int i = 0; i < history->count[key]; i++) {
		if (list[i].group && least == i && most == i)
			groups[list[i].group] |= GROUP_IN;
		else if (list[i].group && most < i)
			groups[list[i].group] |= GROUP_OUT;
	}
}

int pw_check(latz_pool *pool, const struct pw_history *history, const struct pw_range *range, int bounded,
             int found[PW_KEYS], char *text, size_t size)
{
	latz_value value = LATZ_VALUE_INIT;
	uint8_t *groups = calloc(last_number(history) + 1, 1);
	int bad = 0;

	if (!groups)
		hn_die("no memory");
	for (int k = 0; k < PW_KEYS && !bad; k++) {
		const struct pw_state *list = history->list[k];
		char buf[64];
		int rc = latz_get(pool, key_of(buf, k), &value), i, older = -1;

		if (rc != LATZ_OK && rc != LATZ_NOTFOUND) {
			snprintf(text, size, "get of key %d: %s (%s)", k, hn_rc(rc), latz_error_detail());
			bad = 1;
			break;
		}
		if (bounded && rc == LATZ_NOTFOUND) { /* deleted or evicted, who knows */
			if (found)
				found[k] = -1;
			continue;
		}
		for (i = range->to[k] - 1; i >= range->from[k]; i--)
			if (is_state(&value, rc == LATZ_OK, k, &list[i]))
				break;
		if (i >= range->from[k]) {
			if (found)
				found[k] = i;
			note_groups(groups, &value, rc == LATZ_OK, history, range, k);
			continue;
		}
		for (i = 0; i < history->count[k]; i++)
			if (is_state(&value, rc == LATZ_OK, k, &list[i]))
				older = i;
		snprintf(text, size,
		         "key %d: %s of %zu bytes, ttl %lld, is state %d; promised is %d (%s, number %u, %u bytes, "
		         "life %d), begun %d",
		         k, rc == LATZ_OK ? "a value" : "nothing", rc == LATZ_OK ? value.size : 0,
		         rc == LATZ_OK ? (long long)value.ttl_ms : 0, older, range->from[k],
		         list[range->from[k]].kind == PW_ABSENT ? "absent" : "there", list[range->from[k]].number,
		         list[range->from[k]].size, (int)list[range->from[k]].life, range->to[k] - 1);
		bad = 1;
	}
	for (uint32_t group = 1; group <= last_number(history) && !bad; group++) {
		if (groups[group] == (GROUP_IN | GROUP_OUT)) {
			snprintf(text, size, "of what was written together as number %u some is there and some is not",
			         group);
			bad = 1;
		}
	}
	free(groups);
	latz_value_free(&value);
	return bad;
}

/* ---- Writing ---------------------------------------------------------------------------------------------------- */

/* Several threads write the same keys, but each key one after the other, so that the order is known. */
static void lock_keys(struct pw_work *work, int first, int count)
{
	for (int k = first; work->lock && k < first + count; k++)
		pthread_mutex_lock(&work->lock[k]);
}

static int unlock_keys(struct pw_work *work, int first, int count, int result)
{
	for (int k = first; work->lock && k < first + count; k++)
		pthread_mutex_unlock(&work->lock[k]);
	return result;
}

static struct pw_state *last(struct pw_work *work, int key)
{
	return &work->history->list[key][work->history->count[key] - 1];
}

static void begin(struct pw_work *work, int key, struct pw_state state)
{
	pw_push(work->history, key, state);
	rc_mark(PW_BEGIN, key);
}

static int done(struct pw_work *work, const char *what, int rc, int key, int durable)
{
	if (rc != LATZ_OK) {
		hn_fail("step %d: %s: %s (%s)", work->step, what, hn_rc(rc), latz_error_detail());
		return 1;
	}
	if (work->durable && (durable || work->setting.sync == LATZ_SYNC_ALWAYS))
		rc_mark(PW_SAFE, key);
	return 0;
}

static int step_set(struct pw_work *work, int key, int durable)
{
	struct pw_state state = { PW_BYTES, PW_FOREVER, ++work->number, 0, 0, 0 };
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	uint8_t bytes[SIZE_MAX_VALUE];
	char buf[64];

	state.size = (uint32_t)any(work->random, any(work->random, 5) ? 300 : SIZE_MAX_VALUE + 1);
	if (any(work->random, 4) == 0)
		state.life = (enum pw_life)any(work->random, PW_LIVES);
	options.ttl_ms = lives_ms[state.life];
	options.flags = durable && work->durable ? LATZ_DURABLE : 0;
	fill(bytes, key, &state);
	begin(work, key, state);
	return done(work, "set", latz_set(work->pool, key_of(buf, key), (latz_slice){ bytes, state.size }, &options),
	            key, durable);
}

int pw_set(struct pw_work *work, int key)
{
	return step_set(work, key, 0);
}

/* The same in a transaction, which deletes some of them. */
static int commit(struct pw_work *work, const latz_item *items, const uint8_t *deleted, int n)
{
	latz_txn *txn;
	int rc = latz_txn_begin(work->pool, 0, &txn);

	if (rc != LATZ_OK)
		return rc;
	for (int i = 0; i < n && rc == LATZ_OK; i++)
		rc = deleted[i] ? latz_txn_delete(txn, items[i].key)
		                : latz_txn_set(txn, items[i].key, items[i].value, NULL);
	if (rc == LATZ_OK)
		return latz_txn_commit(txn);
	(void)!latz_txn_abort(txn);
	return rc;
}

static int step_mset(struct pw_work *work)
{
	int first = (int)any(work->random, PW_KEYS / 2), n = 2 + (int)any(work->random, 6), bad = 0, rc;
	int is_txn = (int)any(work->random, 2);
	uint32_t group = work->number + 1;
	uint8_t bytes[8][256], deleted[8];
	latz_item items[8];
	char buf[8][64];

	lock_keys(work, first, n);
	for (int i = 0; i < n; i++) {
		struct pw_state state = { PW_BYTES, PW_FOREVER, ++work->number, (uint32_t)any(work->random, 256), 0,
			                  group };

		deleted[i] = is_txn && any(work->random, 3) == 0;
		if (deleted[i]) {
			state.kind = PW_ABSENT;
			state.size = 0;
		}
		fill(bytes[i], first + i, &state);
		items[i].key = key_of(buf[i], first + i);
		items[i].value = (latz_slice){ bytes[i], state.size };
		begin(work, first + i, state);
	}
	rc = is_txn ? commit(work, items, deleted, n) : latz_mset(work->pool, items, (size_t)n, NULL);
	for (int i = 0; i < n; i++)
		bad |= done(work, is_txn ? "transaction" : "mset", rc, first + i, 0);
	return unlock_keys(work, first, n, bad);
}

static int step_delete(struct pw_work *work, int key)
{
	struct pw_state state = { PW_ABSENT, PW_FOREVER, ++work->number, 0, 0, 0 };
	char buf[64];
	int rc;

	begin(work, key, state);
	rc = latz_delete(work->pool, key_of(buf, key));
	/* Of what was not there nothing is promised but that: it may have been deleted, and not durably so. */
	if (rc == LATZ_NOTFOUND)
		return 0;
	return done(work, "delete", rc, key, 0);
}

static int step_touch(struct pw_work *work, int key)
{
	struct pw_state state = *last(work, key), before = state;
	char buf[64];
	int rc;

	if (state.kind == PW_ABSENT || state.life == PW_MOMENT)
		return 0;
	state.life = (enum pw_life)any(work->random, PW_MOMENT);
	state.group = 0; /* the touch is alone */
	begin(work, key, state);
	rc = latz_touch(work->pool, key_of(buf, key), lives_ms[state.life]);
	if (rc == LATZ_NOTFOUND && work->setting.max_entries) { /* evicted: nothing has changed */
		/* Nor has anything been written together a second time: else who has the first says that it was not. */
		before.group = 0;
		begin(work, key, before);
		return 0;
	}
	return done(work, "touch", rc, key, 0);
}

static int step_increment(struct pw_work *work, int key)
{
	struct pw_state state = { PW_INT, PW_FOREVER, ++work->number, 8, 1 + (int64_t)any(work->random, 9),
		                  0 };
	struct pw_state anew = state;
	int64_t by = state.sum, sum = 0;
	char buf[64];
	int rc;

	if (last(work, key)->kind == PW_BYTES)
		return step_set(work, key, 0);
	if (last(work, key)->kind == PW_INT) {
		state.sum += last(work, key)->sum;
		state.life = last(work, key)->life;
	}
	/* If it was evicted it begins anew. */
	if (work->setting.max_entries)
		begin(work, key, anew);
	begin(work, key, state);
	rc = latz_increment(work->pool, key_of(buf, key), by, &sum);
	if (rc == LATZ_OK && sum != state.sum && (sum != by || !work->setting.max_entries)) {
		hn_fail("step %d: key %d counts %lld", work->step, key, (long long)sum);
		return 1;
	}
	if (rc == LATZ_OK && sum != state.sum)
		begin(work, key, anew);
	return done(work, "increment", rc, key, 0);
}

/* The log and what is beside it get a dictionary. Of how it was made the disk knows nothing. */
static int step_dictionary(struct pw_work *work)
{
	uint64_t bytes[(sizeof(struct lzi_dict_header) + 1024) / 8] = { 0 };
	struct lzi_dict_header *dict = (struct lzi_dict_header *)(void *)bytes;
	uint8_t *content = (uint8_t *)(dict + 1);
	struct pw_state alike = { PW_BYTES, PW_FOREVER, work->number | 1, 1024, 0, 0 };

	if (lzi_dict_newest(work->pool->store) > 200)
		return 0;
	fill(content, (int)any(work->random, PW_KEYS), &alike);
	dict->size = alike.size;
	dict->crc = lzi_crc32c(0, content, dict->size);
	return done(work, "dictionary", lzi_dict_add(work->pool->store, dict), PW_ALL, 0);
}

/* The log's clock: the next maintenance finds a flush due, with a sync or without. */
static void let_time_pass(struct pw_work *work)
{
	struct lzi_log_state *log = &work->pool->store->control.shared->log;

	lzi_store_relaxed(&log->synced_mono_ms, lzi_clock_mono_ms() - 2 * INTERVAL_MS);
}

static int step_maintain(struct pw_work *work)
{
	latz_stats_t stats = { .size = sizeof stats };
	int due = any(work->random, 3) != 0, rc;

	if (due)
		let_time_pass(work);
	rc = latz_maintain(work->pool, 0);
	if (rc != LATZ_OK && rc != LATZ_BUSY)
		return done(work, "maintain", rc, PW_ALL, 0);
	rc = latz_stats(work->pool, &stats);
	if (rc != LATZ_OK || stats.log_broken)
		return done(work, "stats after maintain", rc != LATZ_OK ? rc : stats.log_broken, PW_ALL, 0);
	/* The interval's flush: what was there before it is safe; but another thread may be at it, and have begun
	 * before. */
	return done(work, "", LATZ_OK, PW_ALL, due && work->setting.sync == LATZ_SYNC_INTERVAL && !work->lock);
}

static int step_reopen(struct pw_work *work)
{
	latz_options options;
	int rc = latz_close(work->pool);

	work->pool = NULL;
	if (done(work, "close", rc, PW_ALL, 1))
		return 1;
	if (any(work->random, 2))
		work->setting = setting_again(&work->setting, work->random);
	options = pw_options(&work->setting, work->run, work->persist);
	return done(work, "open again", latz_open(POOL, &options, &work->pool), PW_ALL, 1);
}

/* A snapshot or an image beside the persist directory, in place of the last one. */
static int step_copy(struct pw_work *work)
{
	latz_snapshot_options options = LATZ_SNAPSHOT_OPTIONS_INIT;
	int image = (int)any(work->random, 2);
	char path[440];

	options.flags = image ? LATZ_SNAPSHOT_IMAGE : 0;
	options.threads = 1;
	snprintf(path, sizeof path, "%s%s", work->persist, image ? PW_IMAGE : PW_SNAPSHOT);
	return done(work, path, latz_snapshot(work->pool, path, &options), PW_ALL, 0);
}

static int step_persist(struct pw_work *work)
{
	latz_options options = pw_options(&work->setting, work->run, work->persist);
	int rc = latz_persist(work->pool, &options);

	work->durable = rc == LATZ_OK;
	return done(work, "persist", rc, PW_ALL, 1);
}

static int step_clear(struct pw_work *work)
{
	for (int k = 0; k < PW_KEYS; k++)
		pw_push(work->history, k, (struct pw_state){ PW_ABSENT, PW_FOREVER, ++work->number, 0, 0, 0 });
	rc_mark(PW_BEGIN, PW_ALL);
	return done(work, "clear", latz_clear(work->pool), PW_ALL, 0);
}

/* One key's step; it is locked. */
static int step_key(struct pw_work *work, int key, unsigned lot)
{
	/* The last keys are counters. */
	if (key >= PW_KEYS - 4)
		return lot < 900 ? step_increment(work, key) : step_delete(work, key);
	if (lot < 560)
		return step_set(work, key, 0);
	if (lot < 660)
		return step_set(work, key, 1);
	if (lot < 820)
		return step_delete(work, key);
	return lot < 910 ? step_touch(work, key) : step_increment(work, key);
}

/* What concerns all keys; they are locked. */
static int step_all(struct pw_work *work, unsigned lot)
{
	if (lot < 55)
		return step_maintain(work);
	if (lot < 75)
		return work->durable ? done(work, "sync_now", latz_sync_now(work->pool), PW_ALL, 1) : 0;
	if (lot < 80)
		return step_clear(work);
	if (lot < 85)
		return step_copy(work);
	if (lot < 92)
		return work->setting.compresses ? step_dictionary(work) : 0;
	return work->durable && !work->lock ? step_reopen(work) : 0;
}

static int step(struct pw_work *work)
{
	unsigned lot = (unsigned)any(work->random, 1000);
	int key = (int)any(work->random, PW_KEYS), rc;

	if (work->late && !work->durable && work->step > work->steps / 3)
		return step_persist(work);
	if (lot < 100) {
		lock_keys(work, 0, PW_KEYS);
		return unlock_keys(work, 0, PW_KEYS, step_all(work, lot));
	}
	if (lot < 140)
		return step_mset(work);
	if (lot < 170) { /* while others write, if there are any: it promises nothing */
		if (lot % 2)
			let_time_pass(work);
		rc = latz_maintain(work->pool, 0);
		return rc == LATZ_OK || rc == LATZ_BUSY ? 0 : done(work, "maintain", rc, PW_ALL, 0);
	}
	lock_keys(work, key, 1);
	return unlock_keys(work, key, 1, step_key(work, key, (unsigned)any(work->random, 1000)));
}

int pw_work(struct pw_work *work)
{
	int bad = 0, end = work->step + work->steps;

	for (; work->step < end && !bad; work->step++) {
		rc_mark(PW_STEP, work->step);
		bad = step(work);
	}
	return bad;
}

static void *work_thread(void *arg)
{
	struct pw_work *work = arg;

	return pw_work(work) ? work : NULL;
}

int pw_work_together(struct pw_work *work)
{
	struct pw_work part[PW_THREADS];
	uint64_t random[PW_THREADS];
	pthread_t thread[PW_THREADS];
	pthread_mutex_t lock[PW_KEYS];
	int bad = 0;

	for (int k = 0; k < PW_KEYS; k++)
		pthread_mutex_init(&lock[k], NULL);
	for (int i = 0; i < PW_THREADS; i++) {
		part[i] = *work;
		part[i].lock = lock;
		part[i].number = work->number + 100000u * (unsigned)(i + 1);
		part[i].steps = work->steps / PW_THREADS;
		random[i] = hn_random(work->random);
		part[i].random = &random[i];
		if (pthread_create(&thread[i], NULL, work_thread, &part[i]) != 0)
			hn_die("no thread");
	}
	for (int i = 0; i < PW_THREADS; i++) {
		void *result;

		pthread_join(thread[i], &result);
		bad |= result != NULL;
	}
	return bad;
}
