/*
 * Public calls on keys and values.
 */
#include "config.h"

#include <string.h>

#include "api/api.h"

/* The buffer that takes the value must not be what the arguments stand in: it is written, or freed, while they are
 * still looked at. */
static inline int check_apart(latz_slice slice, const latz_value *value)
{
	if (lzi_unlikely((uintptr_t)slice.data - (uintptr_t)value->data < value->capacity))
		return lzi_error(LATZ_INVALID, "an argument lies in the buffer that is to take the value");
	return LATZ_OK;
}

/* How many bytes a value of the type must have; -1: any number. */
static int type_size(latz_type type)
{
	switch (type) {
	case LATZ_INT:
	case LATZ_FLOAT: return 8;
	case LATZ_BOOL: return 1;
	case LATZ_NULL: return 0;
	default: return -1;
	}
}

static int check_value(latz_slice value, latz_type type)
{
	if (lzi_unlikely(value.size > LZI_VALUE_MAX))
		return lzi_error(LATZ_TOOBIG, "value of %zu bytes; the limit is 4 GiB - 1", value.size);
	if (lzi_unlikely(value.data == NULL && value.size > 0))
		return lzi_error(LATZ_INVALID, "value.data is NULL");
	if (lzi_likely(type == LATZ_BYTES))
		return LATZ_OK;
	if ((unsigned)type > LATZ_PICKLE && ((unsigned)type < LATZ_USER || (unsigned)type > LATZ_USER + 63))
		return lzi_error(LATZ_INVALID, "there is no type %d", (int)type);
	if (type_size(type) >= 0 && (size_t)type_size(type) != value.size)
		return lzi_error(LATZ_TYPE, "a %s has %d byte%s, not %zu", lzi_type_name(type), type_size(type),
		                 type_size(type) == 1 ? "" : "s", value.size);
	if (type == LATZ_BOOL && *(const uint8_t *)value.data > 1)
		return lzi_error(LATZ_TYPE, "a LATZ_BOOL is 0 or 1");
	return LATZ_OK;
}

static int check_set_options(const latz_set_options *options)
{
	const unsigned known =
		LATZ_IF_ABSENT | LATZ_IF_PRESENT | LATZ_IF_VERSION | LATZ_IF_CHANGED | LATZ_KEEP_TTL | LATZ_DURABLE;

	if (options->size < sizeof(latz_set_options))
		return lzi_error(LATZ_INVALID, "options.size is %zu; set it to sizeof(latz_set_options)",
		                 options->size);
	if (options->flags & ~known)
		return lzi_error(LATZ_INVALID, "options.flags has unknown bits 0x%x", options->flags & ~known);
	if (options->flags & LATZ_IF_ABSENT && options->flags & (LATZ_IF_PRESENT | LATZ_IF_VERSION))
		return lzi_error(LATZ_INVALID, "LATZ_IF_ABSENT excludes LATZ_IF_PRESENT and LATZ_IF_VERSION");
	if (options->ttl_ms < -1)
		return lzi_error(LATZ_INVALID, "ttl_ms is negative");
	if (options->flags & LATZ_KEEP_TTL && options->ttl_ms != 0)
		return lzi_error(LATZ_INVALID, "LATZ_KEEP_TTL excludes a ttl_ms");
	return LATZ_OK;
}

static void fill(struct lzi_write *write, latz_slice key, latz_slice value, const latz_set_options *options)
{
	write->kind = LZI_WRITE_SET;
	write->later = 0;
	write->key = key;
	write->value = value;
	write->flags = options == NULL ? 0 : options->flags;
	write->renew = 0;
	write->type = options == NULL ? LATZ_BYTES : (uint8_t)options->type;
	write->ttl_ms = options == NULL ? 0 : options->ttl_ms;
	write->if_version = options == NULL ? 0 : options->if_version;
	write->space = NULL;
}

static LZI_NOINLINE int write_long_key(latz_pool *pool, struct lzi_call *call, struct lzi_write *write)
{
	struct lzi_api_room room;
	int rc = lzi_api_map(pool, call, &write->key, 1, &room);

	if (rc == LATZ_OK) {
		write->ttl_ms = lzi_api_ttl(pool, call, write->ttl_ms);
		rc = lzi_store_write(call, write);
	}
	lzi_api_unmap(&room);
	return rc;
}

/* A write whose key is to be made what it is in the pool. */
static inline int write_key(latz_pool *pool, struct lzi_call *call, struct lzi_write *write)
{
	uint8_t in_pool[LZI_SPACE_ROOM];
	int rc;

	if (pool->space == 0 || lzi_unlikely(write->key.size > LZI_SPACE_SHORT))
		return write_long_key(pool, call, write);
	rc = lzi_space_prepare(call, lzi_api_ref(pool), write, in_pool);
	if (lzi_unlikely(rc != LATZ_OK))
		return rc;
	return lzi_likely(write->kind != LZI_WRITE_SET || !lzi_counter_due(call->actor->sets))
	               ? lzi_store_write(call, write)
	               : lzi_counter_time_write(call, write);
}

int latz_set(latz_pool *pool, latz_slice key, latz_slice value, const latz_set_options *options)
{
	struct lzi_write write;
	struct lzi_call call;
	int rc = lzi_api_key(key);

	if (lzi_likely(rc == LATZ_OK) && options != NULL)
		rc = check_set_options(options);
	if (lzi_likely(rc == LATZ_OK))
		rc = check_value(value, options == NULL ? LATZ_BYTES : options->type);
	if (lzi_likely(rc == LATZ_OK))
		rc = lzi_api_write(pool, &call);
	if (lzi_unlikely(rc != LATZ_OK))
		return lzi_api_key_result(rc);
	fill(&write, key, value, options);
	if (lzi_api_is_mapped(pool, key)) {
		rc = write_key(pool, &call, &write);
	} else {
		write.ttl_ms = lzi_api_ttl(pool, &call, write.ttl_ms);
		rc = lzi_likely(!lzi_counter_due(call.actor->sets)) ? lzi_store_write(&call, &write)
		                                                    : lzi_counter_time_write(&call, &write);
	}
	if (rc == LATZ_OK && options != NULL && options->version != NULL)
		*options->version = write.version;
	return lzi_api_key_result(rc);
}

/* A lookup of a key that is another one in the pool; value may be NULL. */
static LZI_NOINLINE int get_mapped(latz_pool *pool, struct lzi_call *call, latz_slice key, uint64_t version,
                                   latz_value *value)
{
	int timed = version == 0 && value != NULL && lzi_counter_due(call->actor->gets);
	struct lzi_api_room room;
	int rc;

	if (lzi_likely(pool->space != 0 && key.size <= LZI_SPACE_SHORT && !timed))
		return lzi_space_get(call, lzi_api_ref(pool), key, version, value);
	rc = lzi_api_map(pool, call, &key, 0, &room);
	if (lzi_likely(rc == LATZ_OK)) {
		rc = timed ? lzi_counter_time_get(call, key, value) : lzi_store_get(call, key, version, value);
		if (pool->space != 0)
			lzi_space_got(call, pool->slot, 1, rc == LATZ_OK);
	}
	lzi_api_unmap(&room);
	return rc;
}

int latz_get(latz_pool *pool, latz_slice key, latz_value *value)
{
	struct lzi_call call;
	int rc = lzi_api_key(key);

	if (lzi_unlikely(value == NULL))
		return lzi_api_error(LATZ_INVALID, "value is NULL");
	if (lzi_likely(rc == LATZ_OK))
		rc = check_apart(key, value);
	if (lzi_likely(rc == LATZ_OK))
		rc = lzi_api_call(pool, &call);
	if (lzi_unlikely(rc != LATZ_OK))
		return lzi_api_key_result(rc);
	if (lzi_unlikely(pool->space != 0) && lzi_likely(key.size <= LZI_SPACE_SHORT) &&
	    lzi_likely(!lzi_counter_due(call.actor->gets)))
		return lzi_api_key_result(lzi_space_get(&call, lzi_api_ref(pool), key, 0, value));
	if (lzi_api_is_mapped(pool, key))
		return lzi_api_key_result(get_mapped(pool, &call, key, 0, value));
	rc = lzi_likely(!lzi_counter_due(call.actor->gets)) ? lzi_store_get(&call, key, 0, value)
	                                                    : lzi_counter_time_get(&call, key, value);
	return lzi_api_key_result(rc);
}

int latz_get_if_changed(latz_pool *pool, latz_slice key, uint64_t version, latz_value *value)
{
	struct lzi_call call;
	int rc = lzi_api_key(key);

	if (value == NULL)
		return lzi_api_error(LATZ_INVALID, "value is NULL");
	if (rc == LATZ_OK)
		rc = check_apart(key, value);
	if (rc == LATZ_OK)
		rc = lzi_api_call(pool, &call);
	if (rc == LATZ_OK)
		rc = lzi_api_is_mapped(pool, key) ? get_mapped(pool, &call, key, version, value)
		                                  : lzi_store_get(&call, key, version, value);
	return rc == LATZ_MISMATCH ? lzi_api_answer(rc, "the key still has that version") : lzi_api_key_result(rc);
}

int latz_exists(latz_pool *pool, latz_slice key)
{
	struct lzi_call call;
	int rc = lzi_api_key(key);

	if (rc == LATZ_OK)
		rc = lzi_api_call(pool, &call);
	if (rc == LATZ_OK)
		rc = get_mapped(pool, &call, key, 0, NULL);
	return lzi_api_key_result(rc);
}

int latz_borrow(latz_pool *pool, latz_slice key, latz_view *view)
{
	struct lzi_api_room room;
	struct lzi_call call;
	int rc = lzi_api_key(key);

	if (view == NULL)
		return lzi_api_error(LATZ_INVALID, "view is NULL");
	if (rc == LATZ_OK)
		rc = lzi_api_call(pool, &call);
	if (rc != LATZ_OK)
		return lzi_api_key_result(rc);
	rc = lzi_api_map(pool, &call, &key, 0, &room);
	if (rc == LATZ_OK) {
		rc = lzi_store_borrow(&call, key, view);
		if (pool->space != 0)
			lzi_space_got(&call, pool->slot, 1, rc == LATZ_OK);
	}
	lzi_api_unmap(&room);
	return lzi_api_key_result(rc);
}

int latz_release(latz_view *view)
{
	if (view == NULL)
		return lzi_api_error(LATZ_INVALID, "view is NULL");
	return lzi_api_key_result(lzi_view_release(view));
}

int latz_delete(latz_pool *pool, latz_slice key)
{
	struct lzi_write write = { .kind = LZI_WRITE_DELETE, .key = key };
	struct lzi_call call;
	int rc = lzi_api_key(key);

	if (rc == LATZ_OK)
		rc = lzi_api_write(pool, &call);
	return lzi_api_key_result(rc == LATZ_OK ? write_key(pool, &call, &write) : rc);
}

int latz_touch(latz_pool *pool, latz_slice key, int64_t ttl_ms)
{
	struct lzi_write write = { .kind = LZI_WRITE_TOUCH, .key = key, .ttl_ms = ttl_ms };
	struct lzi_call call;
	int rc = lzi_api_key(key);

	if (ttl_ms < -1)
		return lzi_api_error(LATZ_INVALID, "ttl_ms is negative");
	if (rc == LATZ_OK)
		rc = lzi_api_write(pool, &call);
	return lzi_api_key_result(rc == LATZ_OK ? write_key(pool, &call, &write) : rc);
}

int latz_increment(latz_pool *pool, latz_slice key, int64_t by, int64_t *result)
{
	struct lzi_write write = { .kind = LZI_WRITE_INCREMENT, .key = key, .type = LATZ_INT, .by = by };
	struct lzi_call call;
	int rc = lzi_api_key(key);

	if (rc == LATZ_OK)
		rc = lzi_api_write(pool, &call);
	if (rc == LATZ_OK)
		rc = write_key(pool, &call, &write);
	if (rc == LATZ_OK && result != NULL)
		*result = write.sum;
	return lzi_api_key_result(rc);
}

int latz_append(latz_pool *pool, latz_slice key, latz_slice tail, size_t *new_size)
{
	struct lzi_api_room room = { .big = NULL };
	struct lzi_call call;
	size_t size;
	int rc = lzi_api_key(key);

	if (rc == LATZ_OK)
		rc = check_value(tail, LATZ_BYTES);
	if (rc == LATZ_OK)
		rc = lzi_api_write(pool, &call);
	if (rc == LATZ_OK)
		rc = lzi_api_map(pool, &call, &key, 1, &room);
	if (rc == LATZ_OK)
		rc = lzi_store_append(&call, key, tail, lzi_api_ttl(pool, &call, 0), &size);
	lzi_api_unmap(&room);
	if (rc == LATZ_OK && new_size != NULL)
		*new_size = size;
	return lzi_api_key_result(rc);
}

int latz_swap(latz_pool *pool, latz_slice key, latz_slice value, latz_value *old)
{
	struct lzi_api_room room = { .big = NULL };
	struct lzi_call call;
	int rc = lzi_api_key(key);

	if (old == NULL)
		return lzi_api_error(LATZ_INVALID, "old is NULL");
	if (rc == LATZ_OK)
		rc = check_value(value, LATZ_BYTES);
	if (rc == LATZ_OK)
		rc = check_apart(key, old);
	if (rc == LATZ_OK)
		rc = check_apart(value, old);
	if (rc == LATZ_OK)
		rc = lzi_api_write(pool, &call);
	if (rc == LATZ_OK)
		rc = lzi_api_map(pool, &call, &key, 1, &room);
	if (rc == LATZ_OK)
		rc = lzi_store_swap(&call, key, value, lzi_api_ttl(pool, &call, 0), old);
	lzi_api_unmap(&room);
	return lzi_api_key_result(rc);
}

/* Some at a time, so that it takes no memory but for long keys. */
#define MAPPED 24

static void mget_mapped(latz_pool *pool, struct lzi_call *call, const latz_slice *keys, size_t n, latz_value *values,
                        int *results)
{
	struct lzi_api_room room[MAPPED];
	latz_slice mapped[MAPPED];
	uint64_t gets, hits;
	size_t at, i, m;

	for (at = 0; at < n; at += m) {
		m = n - at < MAPPED ? n - at : MAPPED;
		for (i = 0; i < m; i++) {
			mapped[i] = keys[at + i];
			room[i].big = NULL;
			if (results[at + i] == LATZ_OK)
				results[at + i] = lzi_api_map(pool, call, &mapped[i], 0, &room[i]);
		}
		lzi_store_mget(call, mapped, m, values + at, results + at);
		for (i = 0, gets = hits = 0; i < m; i++) {
			gets += results[at + i] == LATZ_OK || results[at + i] == LATZ_NOTFOUND;
			hits += results[at + i] == LATZ_OK;
			lzi_api_unmap(&room[i]);
		}
		if (pool->space != 0)
			lzi_space_got(call, pool->slot, gets, hits);
	}
}

int latz_mget(latz_pool *pool, const latz_slice *keys, size_t n, latz_value *values, int *results)
{
	struct lzi_call call;
	int mapped = 0, rc;
	size_t i;

	if (n > 0 && (keys == NULL || values == NULL || results == NULL))
		return lzi_api_error(LATZ_INVALID, "keys, values or results is NULL");
	rc = lzi_api_call(pool, &call);
	if (rc != LATZ_OK)
		return lzi_api_key_result(rc);
	for (i = 0; i < n; i++) {
		results[i] = lzi_api_key(keys[i]);
		if (results[i] == LATZ_OK) {
			mapped |= lzi_api_is_mapped(pool, keys[i]);
			results[i] = check_apart(keys[i], &values[i]);
		}
	}
	if (lzi_unlikely(mapped))
		mget_mapped(pool, &call, keys, n, values, results);
	else
		lzi_store_mget(&call, keys, n, values, results);
	return LATZ_OK;
}

int latz_mset(latz_pool *pool, const latz_item *items, size_t n, const latz_set_options *options)
{
	struct lzi_call call;
	size_t i;
	int rc;

	if (n > 0 && items == NULL)
		return lzi_api_error(LATZ_INVALID, "items is NULL");
	rc = options == NULL ? LATZ_OK : check_set_options(options);
	for (i = 0; i < n && rc == LATZ_OK; i++) {
		rc = lzi_api_key(items[i].key);
		if (rc == LATZ_OK)
			rc = check_value(items[i].value, options == NULL ? LATZ_BYTES : options->type);
	}
	if (rc == LATZ_OK)
		rc = lzi_api_write(pool, &call);
	for (i = 0; i < n && rc == LATZ_OK; i++) {
		struct lzi_write write;

		if (pool->space == 0) /* hashes of its keys are others */
			lzi_store_ahead(&call, items, n, i);
		fill(&write, items[i].key, items[i].value, options);
		write.later = i + 1 < n;
		rc = write_key(pool, &call, &write);
		if (rc == LATZ_OK && options != NULL && options->version != NULL)
			*options->version = write.version;
	}
	return lzi_api_key_result(rc);
}

int latz_clear(latz_pool *pool)
{
	struct lzi_call call;
	int rc = lzi_api_write(pool, &call);

	if (rc == LATZ_OK && pool->space != 0)
		rc = lzi_space_check(&call, pool->space, pool->slot);
	return lzi_api_key_result(rc == LATZ_OK ? lzi_space_clear(&call, pool->space) : rc);
}

int latz_key_stat(latz_pool *pool, latz_slice key, latz_key_info *info)
{
	struct lzi_api_room room = { .big = NULL };
	struct lzi_call call;
	int rc = lzi_api_key(key);

	if (info == NULL || info->size < sizeof info->size)
		return lzi_api_error(LATZ_INVALID, "info is NULL, or its size is not set");
	if (rc == LATZ_OK)
		rc = lzi_api_call(pool, &call);
	if (rc == LATZ_OK)
		rc = lzi_api_map(pool, &call, &key, 0, &room);
	if (rc == LATZ_OK)
		rc = lzi_store_key_stat(&call, key, info);
	lzi_api_unmap(&room);
	return lzi_api_key_result(rc);
}
