/*
 * What there is to know of a key's record.
 */
#include "config.h"

#include <string.h>

#include "base/error.h"
#include "store/audit.h"
#include "store/reader.h"
#include "store/read_int.h"
#include "store/seal.h"

int lzi_store_get_own(struct lzi_call *call, latz_slice key, latz_value *value)
{
	struct lzi_actor *actor = call->store->reads_only ? NULL : call->actor;
	uint64_t gets = actor == NULL ? 0 : actor->gets, hits = actor == NULL ? 0 : actor->hits;
	int rc = lzi_store_get(call, key, 0, value);

	if (actor != NULL) {
		lzi_store_relaxed(&actor->gets, gets);
		lzi_store_relaxed(&actor->hits, hits);
	}
	return rc;
}

int lzi_store_key_stat(struct lzi_call *call, latz_slice key, latz_key_info *info)
{
	uint64_t hash = lzi_store_hash(call->store, key.data, key.size);
	struct lzi_found found;
	uint8_t packed[sizeof(struct lzi_sealed)] = { 0 };
	struct lzi_sealed sealed;
	latz_key_info out;
	int64_t now = 0, expiry;
	uint64_t head;
	unsigned tries = 0;
	uint8_t flags;
	int rc;

	if (lzi_audits(call, LZI_WATCH_AUDIT_READS) && (rc = lzi_audit_key_op(call->store, "stat", key)) != LATZ_OK)
		return rc;
	if (call->store->reads_only) {
		rc = lzi_reader_stat(call->store, key, hash, &out);
		if (rc == LATZ_OK) {
			out.size = info->size < sizeof out ? info->size : sizeof out;
			memcpy(info, &out, out.size);
		}
		return rc;
	}
	lzi_call_begin(call);
	do {
		rc = lzi_read_find(call->store, key, hash, &found);
		if (rc == LATZ_OK)
			rc = lzi_read_present(call->store, key, &found, &now, &expiry);
		if (rc != LATZ_OK)
			continue;
		lzi_racy_reads_begin(); /* used only if the generation is the same at the end */
		flags = lzi_load_relaxed(&found.record->flags);
		out.value_size = out.stored_size = lzi_load_relaxed(&found.record->value_size);
		out.record_bytes = lzi_record_span_of(found.record);
		out.address = lzi_unit_offset(found.unit);
		out.version = found.record->seq;
		out.hash = hash;
		out.ttl_ms = expiry == 0 ? -1 : expiry - now;
		out.type = (latz_type)found.record->type;
		out.dictionary = 0;
		head = lzi_record_head(flags & LZI_RECORD_EXT) + key.size;
		if (flags & (LZI_RECORD_PACKED | LZI_RECORD_SEALED) && head + out.stored_size <= found.room)
			memcpy(packed, (const uint8_t *)found.record + head,
			       out.stored_size < sizeof packed ? out.stored_size : sizeof packed);
		lzi_racy_reads_end();
		rc = lzi_found_valid(&found) ? LATZ_OK : LATZ_BUSY;
		if (rc == LATZ_OK && flags & LZI_RECORD_SEALED) {
			memcpy(&sealed, packed, sizeof sealed);
			out.value_size = sealed.size;
		} else if (rc == LATZ_OK && flags & LZI_RECORD_PACKED)
			rc = lzi_packed_parse(packed, out.stored_size, &out.dictionary, &out.value_size);
	} while (rc == LATZ_BUSY && lzi_read_again(&tries));
	if (rc == LATZ_BUSY)
		rc = lzi_read_restless();
	lzi_bump_relaxed(&call->actor->uses, 1u);
	lzi_call_end(call);
	if (rc == LATZ_OK) {
		out.size = info->size < sizeof out ? info->size : sizeof out;
		memcpy(info, &out, out.size);
	}
	return rc;
}
