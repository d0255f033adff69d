/*
 * Scans: the pool in key order as of one seq. Opening takes a pin (so the versions needed stay), waits until every
 * write that may be at or below it is published, and brings the index up to date. Then the index gives keys in short
 * steps and the table their versions at the seq; a key the index has in excess has none.
 *
 * If the index has no room to be brought up to date, the keys come from a walk over the heap instead.
 *
 * Who only reads has neither pin nor index: its keys come from a walk over the table, and each is looked up as of when
 * its turn comes (reader_read.c).
 *
 * Damage ends no scan, for a scan is what a damaged pool is saved with. A record that can't be read is LATZ_CORRUPT
 * with its key, and the next call goes on. Where the index, or what it is made of, is damaged, the keys come from the
 * table. What has no key that could be told is told of at the end, once.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/point.h"
#include "store/idle.h"
#include "store/keylist.h"
#include "store/reader.h"
#include "store/scan_damage.h"
#include "store/store_int.h"

#define STEP 512u /* keys a step takes from the index */
/* Keys ahead of the one at hand whose bucket, and whose record, are being fetched. */
#define AHEAD_BUCKET 24u
#define AHEAD_RECORD 12u
#define AHEAD_OVERFLOW 6u
#define AHEAD 32u

struct lzi_scan {
	struct lzi_store *store;
	uint32_t pin;
	uint64_t seq;
	int64_t now_ms;
	int reverse;
	enum lzi_read_how how;
	uint64_t left;       /* of the limit */
	uint8_t *low, *high; /* [low, high); high NULL: no end */
	size_t low_size, high_size;
	struct lzi_keylist keys; /* the present step's */
	size_t at;
	size_t buckets, records; /* of them whose buckets, whose records are being fetched */
	struct lzi_ahead ahead[AHEAD];
	int more; /* the index has more */
	struct lzi_scan_damage damage; /* of records whose key is not known, or of what keys come from */
	int own; /* 1: keys of namespaces are passed over */
	int resumed;
	struct lzi_entry last; /* entry where the next step begins, seen already */
};

static int bytes_copy(uint8_t **to, size_t *to_size, latz_slice from)
{
	uint8_t *copy = malloc(from.size + 1);

	if (copy == NULL)
		return lzi_error(LATZ_NOMEM, "scan");
	if (from.size > 0)
		memcpy(copy, from.data, from.size);
	free(*to);
	*to = copy;
	*to_size = from.size;
	return LATZ_OK;
}

/* The least key above all that start with prefix; size 0 if there is none. */
static int prefix_end(latz_slice prefix, uint8_t **ret_end, size_t *ret_size)
{
	size_t n = prefix.size;
	const uint8_t *p = prefix.data;
	int rc;

	while (n > 0 && p[n - 1] == 0xff)
		n--;
	if (n == 0)
		return LATZ_OK;
	rc = bytes_copy(ret_end, ret_size, (latz_slice){ p, n });
	if (rc == LATZ_OK)
		(*ret_end)[n - 1]++;
	return rc;
}

static int set_bounds(struct lzi_scan *scan, const latz_scan_options *options)
{
	int rc = bytes_copy(&scan->low, &scan->low_size, options->prefix);

	if (rc == LATZ_OK && options->from.data != NULL &&
	    lzi_key_compare(options->from.data, options->from.size, scan->low, scan->low_size) > 0)
		rc = bytes_copy(&scan->low, &scan->low_size, options->from);
	if (rc == LATZ_OK && options->prefix.size > 0)
		rc = prefix_end(options->prefix, &scan->high, &scan->high_size);
	if (rc == LATZ_OK && options->to.data != NULL &&
	    (scan->high == NULL ||
	     lzi_key_compare(options->to.data, options->to.size, scan->high, scan->high_size) < 0))
		rc = bytes_copy(&scan->high, &scan->high_size, options->to);
	return rc;
}

static int inside(const struct lzi_scan *scan, const void *key, size_t size)
{
	if (lzi_unlikely(*(const uint8_t *)key == 0xff) && scan->own && lzi_key_is_spaced(key, size))
		return 0;
	return lzi_key_compare(key, size, scan->low, scan->low_size) >= 0 &&
	       (scan->high == NULL || lzi_key_compare(key, size, scan->high, scan->high_size) < 0);
}

/* Whether the actor still is at what it was at: in the bucket that it had announced, or at a transaction, whose kind
 * stands from before its first bucket until after its last. bucket before kind: who is seen in a later bucket has said
 * before that it has several. */
static int still_there(const struct lzi_actor *actor, uint64_t bucket)
{
	uint64_t now = lzi_load_acquire(&actor->bucket);

	return (now != 0 && now == bucket) || lzi_load_acquire(&actor->kind) == LZI_INTENT_TXN;
}

/* Waits until the actor has left the bucket it may have locked before the pin was taken. */
static int wait_for(struct lzi_call *call, uint32_t i, struct lzi_actor *actor)
{
	uint64_t bucket = lzi_load_seq_cst(&actor->bucket), op = lzi_load_acquire(&actor->op), since = 0, now;
	unsigned spins = 0, timeout_ms = call->store->control.timeout_ms;
	int rc;

	/* From even to odd is no end: it was cleaning, and is now being reaped. */
	while (still_there(actor, bucket) && (lzi_load_acquire(&actor->op) | 1) == (op | 1)) {
		if (++spins < 2000) {
			lzi_pause();
			continue;
		}
		now = lzi_clock_mono_ns();
		if (since == 0)
			since = now;
		rc = lzi_actor_reap(&call->store->control, i, lzi_mend_actor, call->store);
		if (rc < 0)
			return rc;
		if (now - since > (uint64_t)timeout_ms * 1000000 || now - since >= lzi_wait_left_ns(timeout_ms)) {
			lzi_wait_charge(since);
			return lzi_error(LATZ_TIMEOUT, "waited %llu ms for a write by process %u to end",
			                 (unsigned long long)((now - since) / 1000000),
			                 lzi_load_relaxed(&actor->alive.holder_pid));
		}
		lzi_sleep_us(50);
	}
	return LATZ_OK;
}

int lzi_wait_for_writers(struct lzi_call *call)
{
	uint32_t i, n = lzi_control_actors(&call->store->control);
	int rc = LATZ_OK;

	for (i = 0; i < n && rc == LATZ_OK; i++) {
		struct lzi_actor *actor = lzi_control_actor(&call->store->control, i);

		if (i != call->index && lzi_load_acquire(&actor->state) != 0)
			rc = wait_for(call, i, actor);
	}
	return rc;
}

int lzi_moment_take(struct lzi_call *call, uint32_t *ret_pin, uint64_t *ret_seq)
{
	int rc = lzi_pin_take(&call->store->control, call->store->client, ret_pin, ret_seq);

	if (rc != LATZ_OK)
		return rc;
	rc = lzi_wait_for_writers(call);
	if (rc != LATZ_OK)
		lzi_pin_drop(&call->store->control, *ret_pin);
	return rc;
}

struct gather {
	struct lzi_scan *scan;
	size_t count;
	int failed;
	int groups; /* some entries are to be settled */
	int jump;   /* what comes is of namespaces: the next step begins behind them */
};

/* Whether the entry belongs to the group of the one gathered last. */
static int same_group(const struct lzi_keylist *keys, const void *entry, size_t size)
{
	return keys->item[keys->count - 1].size >= LZI_ENTRY_PREFIX && size >= LZI_ENTRY_PREFIX &&
	       memcmp(lzi_keylist_bytes(keys, keys->count - 1), entry, LZI_ENTRY_PREFIX) == 0;
}

/* Whether the scan is past its far end: judged by the bytes of the key that the entry surely has. */
static int beyond(const struct lzi_scan *scan, const void *entry, size_t size)
{
	size_t n = size < LZI_ENTRY_PREFIX ? size : LZI_ENTRY_PREFIX;

	if (scan->reverse)
		return lzi_key_compare(entry, n, scan->low, scan->low_size < n ? scan->low_size : n) < 0;
	return scan->high != NULL && lzi_key_compare(entry, n, scan->high, scan->high_size) >= 0;
}

/* One entry of a step. Groups of keys that agree in their first 495 bytes are taken whole. */
static int gather_entry(const void *entry, size_t size, void *arg)
{
	struct gather *gather = arg;
	struct lzi_scan *scan = gather->scan;

	if (gather->count == 0 && scan->resumed && lzi_key_compare(entry, size, scan->last.bytes, scan->last.size) == 0)
		return 0; /* where the last step ended */
	if (gather->count >= STEP && !same_group(&scan->keys, entry, size))
		return 1;
	if (beyond(scan, entry, size)) {
		gather->failed = LATZ_DONE;
		return 1;
	}
	if (lzi_unlikely(*(const uint8_t *)entry == 0xff) && scan->own && lzi_key_is_spaced(entry, size)) {
		gather->jump = 1;
		return 1;
	}
	if (size < LZI_ENTRY_PREFIX && !inside(scan, entry, size))
		return 0; /* the seek went too low, or to the excluded end */
	gather->failed = lzi_keylist_add(&scan->keys, entry, size);
	if (gather->failed != LATZ_OK)
		return 1;
	gather->count++;
	if (size < LZI_ENTRY_PREFIX)
		scan->keys.item[scan->keys.count - 1].hash = lzi_store_hash(scan->store, entry, size);
	else
		gather->groups = 1;
	return 0;
}

/* Where the first step begins: at or beyond the bound, as entries are ordered. */
static void first_entry(const struct lzi_scan *scan, struct lzi_entry *entry, int *ret_have)
{
	const uint8_t *bound = scan->reverse ? scan->high : scan->low;
	size_t size = scan->reverse ? scan->high_size : scan->low_size;

	*ret_have = bound != NULL && size > 0;
	if (!*ret_have)
		return;
	entry->size = (uint16_t)(size < LZI_ENTRY_PREFIX ? size : LZI_ENTRY_PREFIX);
	memcpy(entry->bytes, bound, entry->size);
	if (scan->reverse && size >= LZI_ENTRY_PREFIX) {
		memset(entry->bytes + LZI_ENTRY_PREFIX, 0xff, LZI_ENTRY_HASH);
		entry->size = LZI_ENTRY_MAX;
	}
}

void lzi_scan_note_damage(struct lzi_scan_damage *damage, uint64_t places)
{
	if (damage->places == 0)
		snprintf(damage->first, sizeof damage->first, "%s", lzi_error_text());
	damage->places += places;
}

int lzi_scan_end(struct lzi_scan_damage *damage, latz_slice *key)
{
	uint64_t places = damage->places;

	*key = (latz_slice){ NULL, 0 };
	if (places == 0)
		return LATZ_DONE;
	damage->places = 0;
	return lzi_error(LATZ_CORRUPT, "there is damage of which no key can be told, in %llu place%s: %s",
	                 (unsigned long long)places, places == 1 ? "" : "s", damage->first);
}

/* Long entries become the keys they stand for; groups are put in order; what lies outside the bounds goes. */
static int settle(struct lzi_scan *scan)
{
	struct lzi_keylist *keys = &scan->keys;
	latz_value full = LATZ_VALUE_INIT;
	size_t i, j, out = 0;
	int rc = LATZ_OK;

	for (i = 0; i < keys->count && rc == LATZ_OK; i++) {
		const uint8_t *bytes = lzi_keylist_bytes(keys, i);

		if (lzi_entry_is_long(bytes, keys->item[i].size)) {
			rc = lzi_read_entry_key(scan->store, bytes, &full);
			if (rc == LATZ_OK)
				rc = lzi_keylist_replace(keys, i, full.data, full.size);
			else if (rc == LATZ_NOTFOUND || rc == LATZ_CORRUPT) {
				if (rc == LATZ_CORRUPT)
					lzi_scan_note_damage(&scan->damage, 1);
				keys->item[i].size = 0; /* in excess, or lost */
				rc = LATZ_OK;
			}
		}
	}
	latz_value_free(&full);
	for (i = 0; i < keys->count && rc == LATZ_OK; i++) {
		if (keys->item[i].size > 0)
			keys->item[out++] = keys->item[i];
	}
	keys->count = out;
	out = 0;
	for (i = 0; i < keys->count && rc == LATZ_OK; i = j) {
		for (j = i + 1; j < keys->count && lzi_keylist_same_prefix(keys, i, j, LZI_ENTRY_PREFIX); j++)
			;
		if (j - i > 1)
			lzi_keylist_sort(keys, i, j, scan->reverse);
	}
	for (i = 0; i < keys->count && rc == LATZ_OK; i++) {
		if (inside(scan, lzi_keylist_bytes(keys, i), keys->item[i].size)) {
			keys->item[out] = keys->item[i];
			keys->item[out].hash =
				lzi_store_hash(scan->store, lzi_keylist_bytes(keys, i), keys->item[i].size);
			out++;
		}
	}
	keys->count = out;
	return rc;
}

/* Has the memory of the keys to come fetched. */
static void look_ahead(struct lzi_scan *scan)
{
	size_t count = scan->keys.count, bucket = scan->at + AHEAD_BUCKET, record = scan->at + AHEAD_RECORD;

	for (; scan->buckets <= bucket && scan->buckets < count; scan->buckets++)
		lzi_ahead_bucket(scan->store, scan->keys.item[scan->buckets].hash,
		                 &scan->ahead[scan->buckets % AHEAD]);
	for (; scan->records <= record && scan->records < count; scan->records++)
		lzi_ahead_record(scan->store, &scan->ahead[scan->records % AHEAD]);
	if (scan->at + AHEAD_OVERFLOW < count)
		lzi_ahead_overflow(scan->store, &scan->ahead[(scan->at + AHEAD_OVERFLOW) % AHEAD]);
}

/* LATZ_BUSY: the index is being made anew, or has to be. */
static int step_index(struct lzi_scan *scan)
{
	struct lzi_index *index = &scan->store->index;
	struct gather gather = { scan, 0, LATZ_OK, 0, 0 };
	struct lzi_entry from;
	int have = 1, more = 0, rc;

	lzi_keylist_reset(&scan->keys);
	scan->at = scan->buckets = scan->records = 0;
	if (scan->resumed)
		from = scan->last;
	else
		first_entry(scan, &from, &have);
	rc = lzi_index_lock(index);
	if (rc != LATZ_OK)
		return rc;
	/* Set before the index is emptied, cleared when it has everything again. */
	if (lzi_load_acquire(&index->shared->index_rebuild)) {
		lzi_index_unlock(index);
		return LATZ_BUSY;
	}
	rc = lzi_index_step(index, have ? from.bytes : NULL, have ? from.size : 0, scan->reverse, SIZE_MAX,
	                    gather_entry, &gather, &more);
	lzi_index_unlock(index);
	if (scan->keys.count > 0) { /* where the next step begins: at the entry, not at the key it may stand for */
		size_t at = scan->keys.count - 1;

		scan->last.size = (uint16_t)scan->keys.item[at].size;
		memcpy(scan->last.bytes, lzi_keylist_bytes(&scan->keys, at), scan->last.size);
		scan->resumed = 1;
	}
	if (gather.jump) { /* no key is either of these, and none of the pool's own is between them */
		scan->last.size = 2;
		scan->last.bytes[0] = 0xff;
		scan->last.bytes[1] = scan->reverse ? 0 : 1;
		scan->resumed = 1;
	}
	scan->more = more && gather.failed == LATZ_OK;
	if (rc == LATZ_OK && gather.failed != LATZ_OK && gather.failed != LATZ_DONE)
		rc = gather.failed;
	if (rc == LATZ_OK && gather.groups)
		rc = settle(scan);
	return rc;
}

/* Without the index: every key visible at the seq, from the records themselves. Under `maint`. */
static int gather_record(struct lzi_record *record, uint64_t unit, void *arg)
{
	struct lzi_scan *scan = arg;
	uint64_t died = lzi_load_acquire(&record->died);

	(void)unit;
	/* A key too many does no harm: its version is looked up. One moved by a touch while we walk may be seen here
	 * only, or twice. */
	if (record->seq > scan->seq ||
	    (died != 0 && lzi_death_seq(died) <= scan->seq && lzi_death_seq(died) != record->seq) ||
	    !inside(scan, lzi_record_key(record), record->key_size))
		return 0;
	return lzi_keylist_add(&scan->keys, lzi_record_key(record), record->key_size);
}

/* All that were gathered, in order. */
static void arrange(struct lzi_scan *scan)
{
	size_t i;

	lzi_keylist_sort(&scan->keys, 0, scan->keys.count, scan->reverse);
	lzi_keylist_unique(&scan->keys);
	for (i = 0; i < scan->keys.count; i++)
		scan->keys.item[i].hash =
			lzi_store_hash(scan->store, lzi_keylist_bytes(&scan->keys, i), scan->keys.item[i].size);
	scan->more = 0;
}

static int gather_heap(struct lzi_scan *scan)
{
	struct lzi_store *store = scan->store;
	uint64_t n = lzi_heap_count(&store->heap), e, tail;
	int rc = lzi_heap_view(&store->heap);

	for (e = 0; e < n && rc == LATZ_OK; e++) {
		rc = lzi_image_bring(store, e);
		if (rc == LATZ_OK && lzi_extent_holds(store, e, &tail))
			rc = lzi_extent_walk(store, e, 0, tail, gather_record, scan);
	}
	arrange(scan);
	return rc;
}

static int gather_key(void *arg, const void *key, size_t size)
{
	struct lzi_scan *scan = arg;

	return inside(scan, key, size) ? lzi_keylist_add(&scan->keys, key, size) : LATZ_OK;
}

static int gather_table(struct lzi_scan *scan)
{
	uint64_t damaged;
	int rc = lzi_reader_keys(scan->store, gather_key, scan, &damaged);

	if (damaged > 0)
		lzi_scan_note_damage(&scan->damage, damaged);
	arrange(scan);
	return rc;
}

/* Whether an earlier step has been at the key. Keys that agree in their first bytes were taken together. */
static int is_past(const struct lzi_scan *scan, const void *key, size_t size)
{
	size_t last = scan->last.size;
	int order;

	if (last >= LZI_ENTRY_PREFIX) {
		last = LZI_ENTRY_PREFIX;
		size = size < last ? size : last;
	}
	order = lzi_key_compare(key, size, scan->last.bytes, last);
	return scan->reverse ? order >= 0 : order <= 0;
}

/* Of all keys, those that no earlier step has been at. */
static void drop_past(struct lzi_scan *scan)
{
	struct lzi_keylist *keys = &scan->keys;
	size_t i, out = 0;

	for (i = 0; i < keys->count && scan->resumed; i++) {
		if (!is_past(scan, lzi_keylist_bytes(keys, i), keys->item[i].size))
			keys->item[out++] = keys->item[i];
	}
	if (scan->resumed)
		keys->count = out;
}

/* The index can't be gone by, as the detail says. What the table leads to is there all the same, but for keys deleted
 * since the scan was opened. */
static int step_damaged(struct lzi_scan *scan)
{
	int rc;

	lzi_scan_note_damage(&scan->damage, 1);
	lzi_keylist_reset(&scan->keys);
	rc = gather_table(scan);
	drop_past(scan);
	return rc;
}

/* The index may lack what it had, for want of room or because it is being made anew: it is brought up to date, or done
 * without. */
static int step_anew(struct lzi_scan *scan)
{
	int rc = lzi_maint_lock(scan->store, 1);

	if (rc < 0)
		return rc;
	rc = lzi_catchup(scan->store);
	if (rc != LATZ_NOSPC) {
		lzi_maint_unlock(scan->store);
		return rc == LATZ_OK ? LATZ_BUSY : rc;
	}
	rc = gather_heap(scan);
	lzi_maint_unlock(scan->store);
	drop_past(scan);
	return rc;
}

static int step(struct lzi_scan *scan)
{
	struct lzi_entry last = scan->last;
	int resumed = scan->resumed, rc;

	do {
		rc = step_index(scan);
		if (rc == LATZ_BUSY)
			rc = step_anew(scan);
	} while (rc == LATZ_BUSY);
	if (lzi_likely(rc != LATZ_CORRUPT))
		return rc;
	scan->last = last; /* nothing of what this step got counts */
	scan->resumed = resumed;
	return step_damaged(scan);
}

static int prepare(struct lzi_call *call, struct lzi_scan *scan)
{
	int rc = lzi_wait_for_writers(call);

	if (rc != LATZ_OK)
		return rc;
	rc = lzi_maint_lock_outside(call);
	if (rc != LATZ_OK)
		return rc;
	scan->more = 1;
	rc = lzi_catchup(scan->store);
	if (rc == LATZ_NOSPC)
		rc = gather_heap(scan);
	lzi_maint_unlock(scan->store);
	return rc == LATZ_CORRUPT ? step_damaged(scan) : rc;
}

static int scan_open(struct lzi_call *call, const latz_scan_options *options, int own, struct lzi_scan **ret_scan)
{
	struct lzi_scan *scan = calloc(1, sizeof *scan);
	int rc;

	if (scan == NULL)
		return lzi_error(LATZ_NOMEM, "scan");
	lzi_bump_relaxed(&call->actor->uses, 1u);
	scan->store = call->store;
	scan->reverse = options->reverse;
	scan->own = own;
	scan->how = options->keys_only ? LZI_READ_KEY : LZI_READ_VALUE;
	scan->left = options->limit == 0 ? UINT64_MAX : options->limit;
	scan->pin = UINT32_MAX;
	rc = set_bounds(scan, options);
	if (rc == LATZ_OK && !call->store->reads_only)
		rc = lzi_pin_take(&call->store->control, call->store->client, &scan->pin, &scan->seq);
	scan->now_ms = lzi_clock_mono_ms();
	if (rc == LATZ_OK)
		rc = call->store->reads_only ? gather_table(scan) : prepare(call, scan);
	if (rc != LATZ_OK) {
		lzi_scan_close(scan);
		return rc;
	}
	*ret_scan = scan;
	return LATZ_OK;
}

int lzi_scan_open(struct lzi_call *call, const latz_scan_options *options, struct lzi_scan **ret_scan)
{
	return scan_open(call, options, 0, ret_scan);
}

int lzi_scan_open_own(struct lzi_call *call, const latz_scan_options *options, struct lzi_scan **ret_scan)
{
	return scan_open(call, options, 1, ret_scan);
}

/* As of now; without the value: what is told of it all the same. */
static int read_now(struct lzi_call *call, const struct lzi_scan *scan, latz_slice key, enum lzi_read_how how,
                    latz_value *value)
{
	latz_key_info info = { .size = sizeof info };
	int rc;

	if (how != LZI_READ_KEY) {
		rc = lzi_store_get(call, key, 0, value);
	} else {
		rc = lzi_store_key_stat(call, key, &info);
		if (rc == LATZ_OK)
			rc = lzi_value_reserve(value, 0);
		if (rc != LATZ_OK)
			return rc;
		((char *)value->data)[0] = '\0';
		value->size = 0;
		value->type = info.type;
		value->version = info.version;
		value->ttl_ms = info.ttl_ms;
	}
	if (rc == LATZ_OK && value->ttl_ms >= 0)
		value->ttl_ms += lzi_clock_mono_ms() - scan->now_ms; /* told as of when the scan was opened */
	return rc;
}

int lzi_scan_next(struct lzi_call *call, struct lzi_scan *scan, latz_slice *key, latz_value *value)
{
	struct lzi_store *store = scan->store;
	latz_value none = LATZ_VALUE_INIT;
	enum lzi_read_how how;
	int rc = LATZ_OK;

	if (scan->left == 0)
		return LATZ_DONE;
	lzi_call_begin(call);
	for (;;) {
		if (scan->at == scan->keys.count) {
			*key = (latz_slice){ NULL, 0 }; /* of which nothing is said here, if it fails */
			rc = scan->more ? step(scan) : lzi_scan_end(&scan->damage, key);
			if (rc != LATZ_OK)
				break;
			continue;
		}
		if (!store->reads_only)
			look_ahead(scan);
		key->data = lzi_keylist_bytes(&scan->keys, scan->at);
		key->size = scan->keys.item[scan->at].size;
		how = value == NULL ? LZI_READ_KEY : scan->how;
		rc = store->reads_only
		             ? read_now(call, scan, *key, how, value == NULL ? &none : value)
		             : lzi_read_at(store, *key, &scan->ahead[scan->at % AHEAD], scan->seq, scan->now_ms, how,
		                           value == NULL ? &none : value);
		if (rc != LATZ_OK && rc != LATZ_NOTFOUND && rc != LATZ_CORRUPT)
			break;
		scan->at++;
		if (rc != LATZ_NOTFOUND)
			break;
	}
	lzi_call_end(call);
	if (value == NULL)
		latz_value_free(&none);
	if (rc == LATZ_OK)
		scan->left--;
	return rc;
}

int lzi_scan_get(struct lzi_call *call, const struct lzi_scan *scan, latz_slice key, int keys_only, latz_value *value)
{
	struct lzi_ahead ahead = { .hash = lzi_store_hash(scan->store, key.data, key.size) };
	int rc;

	if (scan->store->reads_only) {
		rc = lzi_reader_get(scan->store, key, ahead.hash, 0, value);
		if (rc == LATZ_OK && keys_only)
			value->size = 0;
		return rc;
	}
	lzi_call_begin(call);
	rc = lzi_read_at(scan->store, key, &ahead, scan->seq, scan->now_ms, keys_only ? LZI_READ_KEY : LZI_READ_VALUE,
	                 value);
	lzi_call_end(call);
	return rc;
}

void lzi_scan_packed(struct lzi_scan *scan)
{
	scan->how = LZI_READ_PACKED;
}

void lzi_scan_close(struct lzi_scan *scan)
{
	if (scan->pin != UINT32_MAX && scan->store->fork_count == lzi_fork_count) {
		lzi_idle_ended(&scan->store->control);
		lzi_pin_drop(&scan->store->control, scan->pin);
	}
	lzi_keylist_fini(&scan->keys);
	free(scan->low);
	free(scan->high);
	free(scan);
}

uint64_t lzi_scan_seq(const struct lzi_scan *scan)
{
	return scan->seq;
}

int64_t lzi_scan_now_ms(const struct lzi_scan *scan)
{
	return scan->now_ms;
}
