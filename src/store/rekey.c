/*
 * New keys for a locked pool, while it is used. A new password only seals the master anew: one write of the record of
 * keys. A new data key is written there first (and, if there is a log, to the disk), then told to all; from then on
 * every writer seals with it, and the rest is gone over, record by record. A death in between leaves records of both
 * keys, which both are in the record: the next one that is asked for goes on.
 */
#include "config.h"

#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/point.h"
#include "store/audit.h"
#include "store/keys_int.h"

#define TRIES 100u
#define FEW_LEFT 4u /* data keys, of which who asks for one is told */

/* The data key that the record has becomes the one that who opens the pool seals with. */
static int use(struct lzi_call *call, unsigned n)
{
	struct lzi_keys keys;
	uint64_t version;
	unsigned tries;
	int rc = LATZ_MISMATCH;

	for (tries = 0; tries < TRIES && rc == LATZ_MISMATCH; tries++) {
		rc = lzi_keys_read(call, &keys, &version);
		if (rc == LATZ_OK)
			rc = lzi_keys_check(call->store->secrets, &keys);
		if (rc != LATZ_OK || keys.current >= n) /* another has come after us */
			return rc;
		keys.current = n;
		rc = lzi_keys_write(call, call->store->secrets, &keys, version);
	}
	return rc;
}

/* The record as it is, changed, if nobody else changes it meanwhile. */
static int change(struct lzi_call *call, const char *password, int data)
{
	struct lzi_store *store = call->store;
	struct lzi_secrets *secrets = store->secrets;
	struct lzi_audit_seal seal;
	struct lzi_keys keys;
	uint64_t version;
	unsigned tries, n;
	uint32_t told, was;
	int first = data && lzi_is_durable(store), rc;

	for (tries = 0; tries < TRIES; tries++) {
		rc = lzi_keys_read(call, &keys, &version);
		if (rc == LATZ_OK)
			rc = lzi_keys_check(secrets, &keys);
		if (rc != LATZ_OK)
			return rc;
		lzi_keys_tell(store, &keys);
		for (n = 0; n < LZI_DATA_KEYS && keys.data[n].used; n++)
			;
		if (data && n == LZI_DATA_KEYS)
			rc = lzi_error(LATZ_FULL,
			               "pool %s has had the %u data keys that a pool can have: load its keys into a "
			               "new pool (latzero dump, latzero load). Nothing was changed; its password "
			               "still can be",
			               store->name, n);
		was = keys.current;
		if (rc == LATZ_OK && data)
			rc = lzi_keys_add(secrets, &keys, n);
		if (first)
			keys.current = was;
		if (rc == LATZ_OK && password != NULL)
			rc = lzi_keys_lock(secrets, &keys, password, &seal);
		if (rc == LATZ_OK)
			rc = lzi_keys_write(call, secrets, &keys, version);
		if (rc == LATZ_OK)
			lzi_keys_tell(store, &keys);
		if (rc != LATZ_MISMATCH)
			break;
	}
	if (rc == LATZ_OK && password != NULL) {
		pthread_mutex_lock(&store->mutex);
		secrets->audit_seal = seal; /* for children; of two threads that do this at once either is right */
		pthread_mutex_unlock(&store->mutex);
		lzi_audit_rekeyed(store, &seal);
	}
	/* On disk before anything that is sealed with it: a power cut may end the log between the two, in whichever
	 * order their extents were written. A log that is broken, or breaks now, is told of in the end. */
	if (rc == LATZ_OK && first) {
		rc = lzi_log_wait(store);
		LZI_POINT("rekey.logged");
		if (rc != LATZ_TIMEOUT)
			rc = use(call, n);
		keys.current = n;
	}
	if (rc != LATZ_OK || !data)
		return rc == LATZ_MISMATCH ? lzi_error(LATZ_BUSY, "others are changing the pool's keys") : rc;
	LZI_POINT("rekey.written");
	if (n + 1 + FEW_LEFT >= LZI_DATA_KEYS)
		lzi_log(LATZ_LOG_WARNING, "pool %s: this is data key %u of the %u that a pool can have", store->name,
		        n + 1, LZI_DATA_KEYS);
	/* The newest of all: another may have come after us and been faster here. */
	told = lzi_load_relaxed(&store->control.shared->guarded.data_key);
	while (told < keys.current && !lzi_cas_acquire(&store->control.shared->guarded.data_key, &told, keys.current))
		;
	return lzi_seal_refresh(store);
}

/* Whether what was found is sealed with an older data key. LATZ_BUSY: it has moved, look again. */
static int is_old(const struct lzi_store *store, const struct lzi_found *found, int *ret_old)
{
	const struct lzi_record *record = found->record;
	struct lzi_sealed sealed = { .key = 0 };
	int known;

	lzi_racy_reads_begin(); /* its generation is looked at below */
	known = record->flags & LZI_RECORD_SEALED && record->value_size >= sizeof sealed &&
	        lzi_record_span_of(record) <= found->room;
	if (known)
		memcpy(&sealed, lzi_record_value(record), sizeof sealed);
	lzi_racy_reads_end();
	*ret_old = known && sealed.key != lzi_load_relaxed(&store->secrets->current);
	return lzi_found_valid(found) ? LATZ_OK : LATZ_BUSY;
}

/* One key's record, if it is of an older data key. A key that has gone, or is always somewhere else, needs nothing: who
 * writes it now has the new one. */
static int reseal(struct lzi_call *call, latz_slice key)
{
	struct lzi_store *store = call->store;
	uint64_t hash = lzi_store_hash(store, key.data, key.size);
	struct lzi_found found;
	unsigned tries = 0;
	int rc, old = 0;

	do {
		lzi_call_begin(call);
		rc = lzi_read_find(store, key, hash, &found);
		if (rc == LATZ_OK)
			rc = is_old(store, &found, &old);
		if (rc == LATZ_OK && old) {
			rc = lzi_move_resealed(call, found.unit);
			if (rc == LATZ_NOTFOUND)
				rc = LATZ_BUSY;
		}
		lzi_call_end(call);
	} while (rc == LATZ_BUSY && ++tries < TRIES);
	return rc == LATZ_NOTFOUND || rc == LATZ_BUSY ? LATZ_OK : rc;
}

static int reseal_all(struct lzi_call *call)
{
	latz_scan_options options = LATZ_SCAN_OPTIONS_INIT;
	struct lzi_scan *scan;
	latz_slice key;
	int rc;

	options.keys_only = 1;
	rc = lzi_scan_open(call, &options, &scan);
	if (rc != LATZ_OK)
		return rc;
	while ((rc = lzi_scan_next(call, scan, &key, NULL)) == LATZ_OK) {
		rc = reseal(call, key);
		LZI_POINT("rekey.one");
		if (rc != LATZ_OK)
			break;
	}
	lzi_scan_close(scan);
	return rc == LATZ_DONE ? LATZ_OK : rc;
}

int lzi_seal_rekey(struct lzi_call *call, const char *password, int data)
{
	struct lzi_store *store = call->store;
	int rc;

	if (store->secrets == NULL)
		return lzi_error(LATZ_INVALID, "pool %s has no password", store->name);
	if (data && store->seal == NULL)
		return lzi_error(LATZ_INVALID, "pool %s is not encrypted: it has no data key", store->name);
	rc = lzi_audit_say_text(store, "rekey", "what", data ? password != NULL ? "both" : "data key" : "password");
	if (rc != LATZ_OK)
		return rc;
	rc = change(call, password, data);
	if (rc == LATZ_OK && data)
		rc = reseal_all(call);
	if (rc == LATZ_OK && lzi_is_durable(store))
		rc = lzi_log_wait(store);
	return lzi_audit_failed(store, "rekey", rc);
}
