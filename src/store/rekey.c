/*
 * New keys for a locked pool, while it is used. A new password only seals the master anew: one write of the record of
 * keys. A new data key is written there first, then told to all; from then on every writer seals with it, and the rest
 * is gone over, record by record. A death in between leaves records of both keys, which both are in the record: the
 * next one that is asked for goes on.
 */
#include "config.h"

#include <string.h>

#include "base/error.h"
#include "base/point.h"
#include "store/audit.h"
#include "store/keys_int.h"

#define TRIES 100u

/* The record as it is, changed, if nobody else changes it meanwhile. */
static int change(struct lzi_call *call, const char *password, int data)
{
	struct lzi_store *store = call->store;
	struct lzi_secrets *secrets = store->secrets;
	struct lzi_keys keys;
	uint64_t version;
	unsigned tries, n;
	int rc;

	for (tries = 0; tries < TRIES; tries++) {
		rc = lzi_keys_read(call, &keys, &version);
		if (rc == LATZ_OK)
			rc = lzi_keys_check(secrets, &keys);
		for (n = 0; n < LZI_DATA_KEYS && keys.data[n].used; n++)
			;
		if (rc == LATZ_OK && data && n == LZI_DATA_KEYS)
			rc = lzi_error(LATZ_FULL, "the pool has had %u data keys; load its keys into a new one", n);
		if (rc == LATZ_OK && data)
			rc = lzi_keys_add(secrets, &keys, n);
		if (rc == LATZ_OK && password != NULL)
			rc = lzi_keys_lock(secrets, &keys, password);
		if (rc == LATZ_OK)
			rc = lzi_keys_write(call, secrets, &keys, version);
		if (rc != LATZ_MISMATCH)
			break;
	}
	lzi_wipe(&keys, sizeof keys);
	if (rc != LATZ_OK || !data)
		return rc == LATZ_MISMATCH ? lzi_error(LATZ_BUSY, "others are changing the pool's keys") : rc;
	LZI_POINT("rekey.written");
	lzi_store_release(&store->control.shared->guarded.data_key, keys.current);
	return lzi_seal_refresh(store);
}

/* One key's record, if it is of an older data key. */
static int reseal(struct lzi_call *call, latz_slice key)
{
	struct lzi_store *store = call->store;
	struct lzi_sealed sealed;
	struct lzi_found found;
	unsigned tries;
	int rc = LATZ_OK, old;

	for (tries = 0; tries < TRIES; tries++) {
		lzi_call_begin(call);
		rc = lzi_read_find(store, key, lzi_store_hash(store, key.data, key.size), &found);
		old = 0;
		if (rc == LATZ_OK) {
			lzi_racy_reads_begin(); /* looked at again when it is moved */
			old = found.record->flags & LZI_RECORD_SEALED && found.record->value_size >= sizeof sealed &&
			      lzi_record_span_of(found.record) <= found.room;
			if (old)
				memcpy(&sealed, lzi_record_value(found.record), sizeof sealed);
			lzi_racy_reads_end();
		}
		if (old && lzi_found_valid(&found) && sealed.key != lzi_load_relaxed(&store->secrets->current))
			rc = lzi_move_resealed(call, found.unit);
		else if (old && !lzi_found_valid(&found))
			rc = LATZ_NOTFOUND;
		else
			tries = TRIES;
		lzi_call_end(call);
		if (rc != LATZ_NOTFOUND)
			break;
	}
	return rc == LATZ_NOTFOUND ? LATZ_OK : rc;
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
	if (rc == LATZ_OK)
		rc = change(call, password, data);
	if (rc == LATZ_OK && data)
		rc = reseal_all(call);
	if (rc == LATZ_OK && lzi_is_durable(store))
		rc = lzi_log_wait(store);
	return rc;
}
