/*
 * Ages that no key passes: of the pool, of namespaces; the smaller one counts. The walk over the table that makes keys
 * fit which were there before.
 */
#include "config.h"

#include "store/retain.h"

#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/point.h"
#include "store/audit.h"
#include "store/write_int.h"

#define SAME_MOST 100 /* times that a key is made to fit, while others change ages */

static int64_t smaller(int64_t a, int64_t b)
{
	return a == 0 || (b != 0 && b < a) ? b : a;
}

int64_t lzi_retain_age(struct lzi_store *store, latz_slice key)
{
	int64_t age = lzi_load_relaxed(&store->control.shared->retain.max_age_ms);
	const struct lzi_space *space;

	if (lzi_likely(!lzi_key_is_spaced(key.data, key.size)))
		return age;
	if (lzi_key_is_book(key.data, key.size)) /* what namespaces are called */
		return 0;
	space = lzi_space_find(store, lzi_key_space(key.data));
	return space == NULL ? age : smaller(age, lzi_load_relaxed(&space->max_age_ms));
}

void lzi_retain_cap(struct lzi_store *store, struct lzi_write *write)
{
	int64_t age = lzi_retain_age(store, write->key);

	if (age != 0 && (write->ttl_ms <= 0 || write->ttl_ms > age))
		write->ttl_ms = age;
}

int64_t lzi_retain_deadline(struct lzi_store *store, latz_slice key, int64_t expiry)
{
	int64_t age = lzi_retain_age(store, key), cap = age == 0 ? 0 : lzi_clock_mono_ms() + age;

	return smaller(expiry, cap);
}

uint32_t lzi_retain_now(void)
{
	uint32_t now = (uint32_t)((uint64_t)lzi_clock_mono_ms() >> LZI_WRITTEN_SHIFT);

	return now < LZI_WRITTEN_FIRST ? LZI_WRITTEN_FIRST : now;
}

/* Not later than the record was written. Its note wraps after years. */
static int64_t written_ms(int64_t now_ms, uint32_t written)
{
	uint32_t age = (uint32_t)((uint64_t)now_ms >> LZI_WRITTEN_SHIFT) - written;

	return (now_ms & ~(int64_t)((1 << LZI_WRITTEN_SHIFT) - 1)) - ((int64_t)age << LZI_WRITTEN_SHIFT);
}

int64_t lzi_retain_moved(struct lzi_store *store, const struct lzi_record *record, int64_t expiry, int sweep,
                         uint32_t *ret_written)
{
	latz_slice key = { lzi_record_key(record), record->key_size };
	int has_ext = (record->flags & LZI_RECORD_EXT) != 0;
	uint32_t written = has_ext ? *lzi_record_written(record) : LZI_WRITTEN_UNKNOWN;
	int64_t age = lzi_retain_age(store, key), now = lzi_clock_mono_ms(), have = lzi_record_expiry(record);

	*ret_written = written;
	if (sweep)
		expiry = have;
	if (age == 0)
		return expiry;
	if (written >= LZI_WRITTEN_FIRST)
		return smaller(expiry, written_ms(now, written) + age);
	/* Of one that came from a log, a snapshot or an image its deadline is all that is known: it may have been the
	 * last that it could get. */
	if (written == LZI_WRITTEN_LOADED && have != 0)
		return smaller(smaller(expiry, have), now + age);
	*ret_written = lzi_retain_now();
	return smaller(expiry, now + age);
}

/* ---- What was there before ---- */

/* key: its copy. */
static int fits(struct lzi_store *store, const struct lzi_record *record, latz_slice key)
{
	uint32_t written;
	int64_t have = lzi_record_expiry(record);

	if (lzi_retain_age(store, key) == 0)
		return 1;
	if ((record->flags & LZI_RECORD_EXT) == 0 || *lzi_record_written(record) == LZI_WRITTEN_UNKNOWN)
		return 0;
	return have != 0 && lzi_retain_moved(store, record, 0, 1, &written) == have;
}

/* The first record of a bucket that does not fit: its key's copy. 0: there is none. */
static size_t find_one(struct lzi_call *call, const struct lzi_bucket *bucket, uint8_t key[LZI_KEY_MAX])
{
	struct lzi_store *store = call->store;
	unsigned i, hops;
	size_t size;

	for (hops = 0; bucket != NULL && hops < LZI_CHAIN_MAX; bucket = lzi_table_next(&store->table, bucket), hops++) {
		for (i = 0; i < LZI_SLOTS; i++) {
			uint64_t unit = lzi_slot_unit(lzi_load_relaxed(&bucket->slot[i]));
			const struct lzi_record *record = unit == 0 ? NULL : lzi_record_at(store, unit);

			if (record == NULL || lzi_load_relaxed(&record->died) != 0)
				continue;
			size = lzi_load_relaxed(&record->key_size);
			if (size == 0 || size > LZI_KEY_MAX ||
			    !lzi_map_holds(&store->heap.map, lzi_record_key(record), size))
				continue;
			memcpy(key, lzi_record_key(record), size);
			if (!fits(store, record, (latz_slice){ key, size }))
				return size;
		}
	}
	return 0;
}

static int sweep_bucket(struct lzi_call *call, uint64_t number)
{
	struct lzi_bucket *bucket;
	uint8_t key[LZI_KEY_MAX];
	uint64_t last_hash = 0, hash;
	unsigned again = 0;
	size_t size;
	int rc;

	for (;;) {
		struct lzi_write write = { .kind = LZI_WRITE_TOUCH, .later = 1, .renew = 1, .sweep = 1 };

		rc = lzi_table_lock(&call->store->table, call->actor, call->index, number, &bucket);
		if (rc != LATZ_OK)
			return rc;
		size = find_one(call, bucket, key);
		lzi_table_unlock(call->actor, bucket);
		if (size == 0)
			return LATZ_OK;
		/* A damaged one would be found for ever. */
		hash = lzi_store_hash(call->store, key, size);
		again = hash == last_hash ? again + 1 : 0;
		if (again == SAME_MOST)
			return lzi_error(LATZ_CORRUPT, "a key in bucket %llu is not where it stands",
			                 (unsigned long long)number);
		last_hash = hash;
		write.key = (latz_slice){ key, size };
		rc = lzi_store_write(call, &write);
		LZI_POINT("retain.swept_one");
		if (rc != LATZ_OK && rc != LATZ_NOTFOUND)
			return rc;
	}
}

/* Under retain.mutex. Images are brought in as far as the table's records are looked at: all of it first. */
static int sweep(struct lzi_call *call)
{
	struct lzi_store *store = call->store;
	struct lzi_retain *retain = &store->control.shared->retain;
	uint64_t number, e, n = lzi_heap_count(&store->heap);
	int rc = lzi_heap_view(&store->heap);

	lzi_fetch_and(&retain->due, ~LZI_RETAIN_SWEEP);
	for (e = 0; rc == LATZ_OK && e < n; e++)
		rc = lzi_image_bring(store, e);
	/* Deadlines are decided under the bucket's lock: who had it before us is seen here, who has it after us sees
	 * the age. What comes by a split is visited too, or was with its parent. */
	for (number = 0; rc == LATZ_OK && number < lzi_load_acquire(&store->control.shared->buckets); number++) {
		if ((number & 1023) == 0)
			lzi_fetch_add_relaxed(&retain->beat, 1ull);
		rc = sweep_bucket(call, number);
	}
	if (rc != LATZ_OK)
		lzi_fetch_or(&retain->due, LZI_RETAIN_SWEEP);
	return rc;
}

int lzi_retain_sweep(struct lzi_call *call)
{
	struct lzi_store *store = call->store;
	struct lzi_retain *retain = &store->control.shared->retain;
	int rc = lzi_mutex_lock_patient(&retain->mutex, store->control.timeout_ms, "keys being held to their ages",
	                                &retain->beat);

	if (rc < 0)
		return rc;
	rc = sweep(call);
	lzi_mutex_unlock(&retain->mutex);
	return rc;
}

/* ---- Ages ---- */

static int say(struct lzi_call *call, int64_t max_age_ms)
{
	struct lzi_audit_note note;

	lzi_audit_number(lzi_audit_note(&note), "max_age_ms", (uint64_t)max_age_ms);
	return lzi_audit_say(call->store, "retain", &note);
}

int lzi_retain_set(struct lzi_call *call, int64_t max_age_ms)
{
	int rc = say(call, max_age_ms);

	if (rc == LATZ_OK)
		rc = lzi_space_note_age(call, max_age_ms);
	return rc != LATZ_OK || max_age_ms == 0 ? rc : lzi_retain_sweep(call);
}

void lzi_retain_rest(struct lzi_call *call, int sweeps)
{
	struct lzi_store *store = call->store;
	struct lzi_retain *retain = &store->control.shared->retain;
	const uint32_t notes = LZI_RETAIN_NOTE | LZI_RETAIN_SETS;
	int rc = LATZ_OK;

	if (lzi_likely((lzi_load_acquire(&retain->due) & (sweeps ? ~0u : notes)) == 0) ||
	    lzi_mutex_lock(&retain->mutex, 0, "ages") < 0)
		return;
	if (lzi_load_acquire(&retain->due) & notes)
		rc = lzi_space_note_age(call, -1);
	if (rc == LATZ_OK && sweeps && lzi_load_acquire(&retain->due) & LZI_RETAIN_SWEEP)
		rc = sweep(call);
	lzi_mutex_unlock(&retain->mutex);
	if (rc != LATZ_OK)
		lzi_log(LATZ_LOG_INFO, "%s: holding keys to their ages: %s", store->name, lzi_error_text());
}
