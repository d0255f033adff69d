/*
 * Calls made of reads and conditional writes: append, swap, clear.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "store/audit.h"
#include "store/log.h"
#include "store/seal.h"
#include "store/space.h"

/* Of a key that others write meanwhile; more is damage. */
#define TRIES_MAX 10000u

/* Whether to try once more. */
static int again(unsigned *tries, int *rc)
{
	if (*rc != LATZ_BUSY)
		return 0;
	if ((*tries)++ == TRIES_MAX) {
		*rc = lzi_error(LATZ_CORRUPT, "the value keeps changing");
		return 0;
	}
	lzi_pause();
	return 1;
}

/* Writes what was made of `old` unless the key has changed since. LATZ_BUSY: it has. */
static int write_if_same(struct lzi_call *call, struct lzi_write *write, const latz_value *old, int was_there)
{
	int rc;

	write->kind = LZI_WRITE_SET;
	write->flags |= was_there ? LATZ_IF_VERSION : LATZ_IF_ABSENT;
	write->if_version = old->version;
	rc = lzi_store_write(call, write);
	return rc == LATZ_MISMATCH || rc == LATZ_EXISTS || rc == LATZ_NOTFOUND ? LATZ_BUSY : rc;
}

static int append_once(struct lzi_call *call, latz_slice key, latz_slice tail, int64_t ttl_ms, latz_value *old,
                       size_t *ret_size)
{
	struct lzi_write write = { .key = key, .type = LATZ_BYTES, .flags = 0 };
	int rc = lzi_store_get(call, key, 0, old), was_there = rc == LATZ_OK;
	size_t size;

	if (rc != LATZ_OK && rc != LATZ_NOTFOUND)
		return rc;
	if (was_there &&
	    (old->type == LATZ_INT || old->type == LATZ_FLOAT || old->type == LATZ_BOOL || old->type == LATZ_NULL))
		return lzi_error(LATZ_TYPE, "can't append to a %s", lzi_type_name(old->type));
	size = was_there ? old->size : 0;
	if (tail.size > LZI_VALUE_MAX - size)
		return lzi_error(LATZ_TOOBIG, "value of %zu + %zu bytes; the limit is 4 GiB - 1", size, tail.size);
	if (lzi_is_sealed(call->store) && (rc = lzi_value_reserve_secret(old, 0)) != LATZ_OK)
		return rc;
	rc = lzi_value_grow(old, size, size + tail.size);
	if (rc != LATZ_OK)
		return rc;
	if (tail.size > 0)
		memcpy((uint8_t *)old->data + size, tail.data, tail.size);
	write.value.data = old->data;
	write.value.size = size + tail.size;
	if (was_there) {
		write.type = (uint8_t)old->type;
		write.flags = LATZ_KEEP_TTL;
		write.ttl_ms = -1;
	} else {
		write.ttl_ms = ttl_ms;
	}
	*ret_size = size + tail.size;
	return write_if_same(call, &write, old, was_there);
}

int lzi_store_append(struct lzi_call *call, latz_slice key, latz_slice tail, int64_t ttl_ms, size_t *ret_size)
{
	latz_value old = LATZ_VALUE_INIT;
	unsigned tries = 0;
	int rc;

	do
		rc = append_once(call, key, tail, ttl_ms, &old, ret_size);
	while (again(&tries, &rc));
	latz_value_free(&old);
	return rc;
}

int lzi_store_swap(struct lzi_call *call, latz_slice key, latz_slice value, int64_t ttl_ms, latz_value *old)
{
	unsigned tries = 0;
	int rc, was_there;

	do {
		struct lzi_write write = { .key = key, .value = value, .type = LATZ_BYTES, .ttl_ms = ttl_ms };

		rc = lzi_store_get(call, key, 0, old);
		was_there = rc == LATZ_OK;
		if (rc != LATZ_OK && rc != LATZ_NOTFOUND)
			return rc;
		rc = write_if_same(call, &write, old, was_there);
	} while (again(&tries, &rc));
	if (rc == LATZ_OK && !was_there) {
		rc = lzi_value_reserve(old, 0);
		if (rc == LATZ_OK)
			((char *)old->data)[0] = '\0';
		old->size = 0;
		old->version = 0;
		old->type = LATZ_BYTES;
		old->ttl_ms = -1;
	}
	return rc;
}

/* A damaged key is not found where it stands: trying to delete it would have no end. The bucket is locked. */
static int check_place(const struct lzi_store *store, uint64_t slot, uint64_t number, const void *key, size_t size)
{
	uint64_t hash = size > 0 ? lzi_store_hash(store, key, size) : 0;

	if (size > 0 && (hash ^ slot) >> LZI_TAG_SHIFT == 0 &&
	    lzi_bucket_of(hash, lzi_load_acquire(&store->control.shared->buckets)) == number)
		return LATZ_OK;
	return lzi_error(LATZ_CORRUPT, "key of the record at heap offset %llu is damaged",
	                 (unsigned long long)lzi_unit_offset(lzi_slot_unit(slot)));
}

/* Whether the key is of the namespace, or with space 0 of none. */
static int is_of(const struct lzi_record *record, uint32_t space)
{
	const uint8_t *key = lzi_record_key(record);

	return lzi_key_is_spaced(key, record->key_size) ? space != 0 && lzi_key_space(key) == space : space == 0;
}

/* Deletes of a bucket's keys that find nothing; more is damage. */
#define VAIN_MAX 1000u

/* The live record a slot names, by its key's copy: the key's own memory may go while we delete it. */
static int clear_bucket(struct lzi_call *call, uint64_t number, uint32_t space)
{
	struct lzi_store *store = call->store;
	struct lzi_bucket *head, *bucket;
	uint8_t key[LZI_KEY_MAX];
	unsigned i, hops, vain = 0;
	size_t size;
	int rc;

	do {
		size = 0;
		rc = lzi_table_lock(&store->table, call->actor, call->index, number, &head);
		if (rc != LATZ_OK)
			return rc;
		for (bucket = head, hops = 0; bucket != NULL && size == 0 && rc == LATZ_OK && hops < LZI_CHAIN_MAX;
		     bucket = lzi_table_next(&store->table, bucket), hops++) {
			for (i = 0; i < LZI_SLOTS && size == 0 && rc == LATZ_OK; i++) {
				uint64_t word = lzi_load_relaxed(&bucket->slot[i]), unit = lzi_slot_unit(word);
				const struct lzi_record *record = unit == 0 ? NULL : lzi_record_at(store, unit);

				if (record != NULL && lzi_load_relaxed(&record->died) == 0 && is_of(record, space)) {
					size = lzi_load_relaxed(&record->key_size);
					if (size > LZI_KEY_MAX ||
					    !lzi_map_holds(&store->heap.map, lzi_record_key(record), size))
						size = 0;
					memcpy(key, lzi_record_key(record), size);
					rc = check_place(store, word, number, key, size);
				}
			}
		}
		lzi_table_unlock(call->actor, head);
		if (size > 0 && rc == LATZ_OK) {
			struct lzi_write write = { .kind = LZI_WRITE_DELETE, .key = { key, size } };

			rc = lzi_store_write(call, &write);
			if (rc == LATZ_NOTFOUND && vain++ == VAIN_MAX) /* somebody else may have, now and then */
				rc = lzi_error(LATZ_CORRUPT, "a key of bucket %llu can't be deleted",
				               (unsigned long long)number);
		}
	} while (size > 0 && (rc == LATZ_OK || rc == LATZ_NOTFOUND));
	return rc == LATZ_NOTFOUND ? LATZ_OK : rc;
}

/* What is to be written down before. */
static int say_clear(struct lzi_call *call, uint32_t space)
{
	const struct lzi_space *named = space == 0 ? NULL : lzi_space_find(call->store, space);
	char name[LZI_SPACE_NAME_MAX + 1] = "";

	if (named != NULL)
		memcpy(name, named->name, LZI_SPACE_NAME_MAX);
	return lzi_audit_say_text(call->store, "clear", "namespace", named == NULL ? NULL : name);
}

int lzi_space_clear(struct lzi_call *call, uint32_t space)
{
	uint64_t number;
	int rc = say_clear(call, space);

	/* A bucket that comes by a split meanwhile is visited too, or holds only what its parent's visit left. */
	for (number = 0; number < lzi_load_acquire(&call->store->control.shared->buckets) && rc == LATZ_OK; number++)
		rc = clear_bucket(call, number, space);
	/* What was evicted before is still in the log, and nothing there says that it has gone. */
	if (rc == LATZ_OK && lzi_is_durable(call->store) &&
	    lzi_load_relaxed(&call->store->control.shared->bound.evicted) != 0)
		rc = lzi_checkpoint_now(call);
	return rc;
}
