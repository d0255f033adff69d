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

/* 1: the value is the same already. */
static int compare_packed(const struct lzi_write *write, const struct lzi_record *old,
                          const struct lzi_compared *compared)
{
	struct lzi_sealed sealed;
	unsigned dict;
	uint64_t size;

	if (old->flags & LZI_RECORD_SEALED && old->value_size >= sizeof sealed) {
		memcpy(&sealed, lzi_record_value(old), sizeof sealed);
		size = sealed.size;
	} else if (lzi_packed_parse(lzi_record_value(old), old->value_size, &dict, &size) != LATZ_OK) {
		return LATZ_OK;
	}
	if (size != write->value.size)
		return LATZ_OK;
	return compared->seq != old->seq ? LZI_WRITE_LOOK : compared->same;
}

int lzi_write_check(const struct lzi_store *store, const struct lzi_write *write, const struct lzi_record *old,
                    int present, const struct lzi_compared *compared)
{
	if (write->flags & LATZ_IF_ABSENT && present)
		return LATZ_EXISTS;
	if (write->flags & (LATZ_IF_PRESENT | LATZ_IF_VERSION) && !present)
		return LATZ_NOTFOUND;
	if (write->flags & LATZ_IF_VERSION && old->seq != write->if_version)
		return LATZ_MISMATCH;
	if (write->flags & LATZ_IF_CHANGED && present && old->flags & (LZI_RECORD_PACKED | LZI_RECORD_SEALED))
		return old->type == write->type ? compare_packed(write, old, compared) : LATZ_OK;
	if (present && lzi_seal_lacks(store, old->flags, write->key))
		return LATZ_OK; /* written over: whether it is the same would tell what we write */
	if (write->flags & LATZ_IF_CHANGED && present && old->type == write->type &&
	    old->value_size == write->value.size &&
	    lzi_map_holds(&store->heap.map, lzi_record_value(old), write->value.size) &&
	    memcmp(lzi_record_value(old), write->value.data == NULL ? "" : write->value.data, write->value.size) == 0)
		return 1;
	return LATZ_OK;
}
