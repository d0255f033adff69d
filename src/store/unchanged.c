/*
 * LATZ_IF_CHANGED outside the bucket's lock: whether a key has the bytes already that are to be written.
 */
#include "config.h"

#include <string.h>

#include "store/seal.h"
#include "store/write_int.h"

/* A sealed one can only be compared when it has been opened. */
static LZI_NOINLINE int has_same_sealed(struct lzi_call *call, struct lzi_write *write, uint64_t hash)
{
	struct lzi_ahead ahead = { .hash = hash };
	latz_value value = LATZ_VALUE_INIT;
	int same = lzi_read_at(call->store, write->key, &ahead, UINT64_MAX, lzi_clock_mono_ms(), LZI_READ_VALUE,
	                       &value) == LATZ_OK &&
	           value.size == write->value.size && value.type == (latz_type)write->type &&
	           (value.size == 0 || memcmp(value.data, write->value.data, value.size) == 0);

	write->version = value.version;
	latz_value_free(&value);
	return same;
}

int lzi_write_has_same(struct lzi_call *call, struct lzi_write *write, uint64_t hash)
{
	const struct lzi_record *record;
	struct lzi_found found;
	int same;

	if (lzi_is_sealed(call->store))
		return has_same_sealed(call, write, hash);
	if (lzi_read_find(call->store, write->key, hash, &found) != LATZ_OK)
		return 0;
	record = found.record;
	lzi_racy_reads_begin(); /* its generation is looked at below */
	same = record->type == write->type && record->value_size == write->value.size &&
	       (record->flags & (LZI_RECORD_PACKED | LZI_RECORD_SEALED)) == 0 &&
	       lzi_record_head(record->flags & LZI_RECORD_EXT) + write->key.size + write->value.size <= found.room &&
	       lzi_record_present(record) &&
	       (write->value.size == 0 ||
	        lzi_same_bytes(lzi_record_value(record), write->value.data, write->value.size));
	write->version = record->seq;
	lzi_racy_reads_end();
	return same && lzi_found_valid(&found);
}

int lzi_write_compare(struct lzi_call *call, const struct lzi_write *write, uint64_t hash,
                      struct lzi_compared *ret_compared)
{
	struct lzi_ahead ahead = { .hash = hash };
	latz_value value = LATZ_VALUE_INIT;
	int rc = lzi_read_at(call->store, write->key, &ahead, UINT64_MAX, 0, LZI_READ_VALUE, &value);

	if (rc == LATZ_OK) {
		ret_compared->seq = value.version;
		ret_compared->same = value.size == write->value.size && value.type == (latz_type)write->type &&
		                     memcmp(value.data, write->value.data, value.size) == 0;
	}
	latz_value_free(&value);
	return rc == LATZ_NOTFOUND ? LATZ_OK : rc;
}
