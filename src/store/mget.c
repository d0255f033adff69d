/*
 * Reads of several keys as of one moment. Most often nothing changes while they are read: then a second look at each
 * says so, and costs little. Else they are read at a pin, as a scan reads.
 *
 * Of the second look: at a moment after the last key was read and before the first was looked at again, all of them
 * were as they were read. That nobody has their buckets locked when they are looked at is for the sake of who reads at
 * a pin: a writer may have a number below the pin already, and not have stored yet. Who waits for it sees it; we would
 * not, though we may see what was written with a number above the pin. Whoever locks a bucket after that takes a number
 * beyond every pin that what we have seen is beyond (doc/concurrency.md, C.1). Absent keys: a delete moves the clock.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "store/audit.h"
#include "store/read_int.h"
#include "store/reader.h"
#include "store/write_int.h"

#define FEW 32u
#define PASSES 4u

static int is_locked(struct lzi_store *store, uint64_t hash)
{
	uint64_t number = lzi_bucket_of(hash, lzi_load_acquire(&store->control.shared->buckets));
	const struct lzi_bucket *bucket = lzi_table_bucket(&store->table, number);

	if (lzi_unlikely(store->reads_only))
		return lzi_reader_is_locked(store, hash);
	return bucket == NULL || lzi_load_acquire(&bucket->header) >> LZI_OWNER_SHIFT != 0;
}

/* The slot still names the record, which is alive, and its deadline has not passed. */
static int is_same(const struct lzi_found *found)
{
	int there;

	lzi_racy_reads_begin(); /* its generation is looked at after it */
	there = lzi_load_acquire(&found->record->died) == 0 &&
	        ((found->record->flags & LZI_RECORD_EXT) == 0 ||
	         (lzi_record_head(1) <= found->room && lzi_record_present(found->record)));
	lzi_racy_reads_end();
	return there && lzi_slot_unit(lzi_load_acquire(found->slot)) == found->unit && lzi_found_valid(found);
}

/* The same of a key that was not found in the usual way, or not at all. */
static int is_same_again(struct lzi_store *store, latz_slice key, uint64_t hash, int result, uint64_t version)
{
	latz_key_info info = { .version = 0 };
	struct lzi_found found;
	int64_t now, expiry;
	uint64_t seq = 0;
	unsigned tries = 0;
	int rc;

	if (store->reads_only) {
		rc = lzi_reader_stat(store, key, hash, &info);
		return rc == result && (rc != LATZ_OK || info.version == version);
	}
	do {
		rc = lzi_read_find(store, key, hash, &found);
		if (rc == LATZ_OK)
			rc = lzi_read_present(store, key, &found, &now, &expiry);
		if (rc != LATZ_OK)
			continue;
		lzi_racy_reads_begin(); /* the same */
		seq = found.record->seq;
		lzi_racy_reads_end();
		if (!lzi_found_valid(&found))
			rc = LATZ_BUSY;
	} while (rc == LATZ_BUSY && lzi_read_again(&tries));
	return rc == result && (rc != LATZ_OK || seq == version);
}

/* Whether all keys were, at one moment, as they have been read since the clock was `clock`. */
static int is_moment(struct lzi_call *call, const latz_slice *keys, size_t n, const latz_value *values,
                     const int *results, const struct lzi_seen *seen, const uint8_t *skip, uint64_t clock)
{
	struct lzi_store *store = call->store;
	int absent = 0, same = 1;
	size_t i;

	lzi_fence_full(); /* pairs with that of who locks a bucket */
	lzi_call_begin(call);
	for (i = 0; i < n && same; i++) {
		if (skip[i] || (results[i] != LATZ_OK && results[i] != LATZ_NOTFOUND))
			continue;
		absent |= results[i] == LATZ_NOTFOUND;
		same = !is_locked(store, seen[i].hash) &&
		       (results[i] == LATZ_OK && seen[i].found.slot != NULL
		                ? is_same(&seen[i].found)
		                : is_same_again(store, keys[i], seen[i].hash, results[i], values[i].version));
	}
	lzi_call_end(call);
	return same && (!absent || lzi_load_acquire(&store->control.shared->clock) == clock);
}

static int read_pinned(struct lzi_call *call, const latz_slice *keys, size_t n, latz_value *values, int *results,
                       const uint8_t *skip)
{
	struct lzi_ahead ahead = { .slot = NULL };
	uint64_t seq;
	uint32_t pin;
	int64_t now;
	size_t i;
	int rc = lzi_moment_take(call, &pin, &seq);

	if (rc != LATZ_OK)
		return rc;
	now = lzi_clock_mono_ms();
	lzi_call_begin(call);
	for (i = 0; i < n; i++) {
		if (skip[i])
			continue;
		ahead.hash = lzi_store_hash(call->store, keys[i].data, keys[i].size);
		results[i] = lzi_read_at(call->store, keys[i], &ahead, seq, now, LZI_READ_VALUE, &values[i]);
	}
	lzi_call_end(call);
	lzi_pin_drop(&call->store->control, pin);
	return LATZ_OK;
}

/* Who only reads has no pins: it tries on, for as long as others would wait. */
static int is_to_go_on(const struct lzi_store *store, uint64_t *begun)
{
	uint64_t now;

	if (!store->reads_only)
		return 0;
	now = lzi_clock_mono_ns();
	if (*begun == 0)
		*begun = now;
	return now - *begun < (uint64_t)store->control.timeout_ms * 1000000;
}

static int read_all(struct lzi_call *call, const latz_slice *keys, size_t n, latz_value *values, int *results,
                    struct lzi_seen *seen, uint8_t *skip)
{
	const struct lzi_shared *shared = call->store->control.shared;
	uint64_t clock, begun = 0;
	unsigned pass;
	size_t i;

	for (i = 0; i < n; i++)
		skip[i] = results[i] != LATZ_OK;
	for (pass = 0; pass < PASSES || is_to_go_on(call->store, &begun); pass++) {
		for (i = 0; i < n && pass > 0; i++)
			results[i] = skip[i] ? results[i] : LATZ_OK;
		clock = lzi_load_acquire(&shared->clock);
		lzi_read_many(call, keys, n, values, results, seen);
		if (n < 2 || is_moment(call, keys, n, values, results, seen, skip, clock))
			return LATZ_OK;
	}
	return call->store->reads_only ? lzi_error(LATZ_TIMEOUT, "in %u ms %zu keys did not stay as they were while "
	                                           "they were read", call->store->control.timeout_ms, n)
	                               : read_pinned(call, keys, n, values, results, skip);
}

int lzi_store_mget(struct lzi_call *call, const latz_slice *keys, size_t n, latz_value *values, int *results)
{
	struct lzi_seen few[FEW], *seen = few;
	uint8_t few_skipped[FEW], *skip = few_skipped;
	size_t i;
	int rc;

	for (i = 0; lzi_audits(call, LZI_WATCH_AUDIT_READS) && i < n; i++) {
		rc = results[i] == LATZ_OK ? lzi_audit_key_op(call->store, "get", keys[i]) : LATZ_OK;
		if (rc != LATZ_OK)
			return rc;
	}
	if (n > FEW) {
		seen = malloc(n * (sizeof *seen + sizeof *skip));
		if (seen == NULL)
			return lzi_error(LATZ_NOMEM, "a read of %zu keys", n);
		skip = (uint8_t *)(seen + n);
	}
	rc = read_all(call, keys, n, values, results, seen, skip);
	if (seen != few)
		free(seen);
	return rc;
}
