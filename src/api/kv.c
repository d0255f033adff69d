/*
 * Public calls on keys and values.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "store/newest.h"

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

int lzi_api_typed(latz_slice value, latz_type type)
{
	if (value.size > LZI_VALUE_MAX)
		return lzi_error(LATZ_TOOBIG, "value of %zu bytes; the limit is 4 GiB - 1", value.size);
	if (value.data == NULL && value.size > 0)
		return lzi_error(LATZ_INVALID, "value.data is NULL");
	if (type == LATZ_BYTES)
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

/* The field came later. */
static int has_fence(const latz_set_options *options)
{
	return options->size >= sizeof(latz_set_options) &&
	       (options->fence.name.size != 0 || options->fence.token != 0);
}

int lzi_api_set_options(const latz_set_options *options)
{
	const unsigned known =
		LATZ_IF_ABSENT | LATZ_IF_PRESENT | LATZ_IF_VERSION | LATZ_IF_CHANGED | LATZ_KEEP_TTL | LATZ_DURABLE;

	if (options->size < offsetof(latz_set_options, fence))
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
	return has_fence(options) ? lzi_api_key(options->fence.name) : LATZ_OK;
}

LZI_INLINE void fill(struct lzi_write *write, latz_slice key, latz_slice value, const latz_set_options *options)
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
	write->fence = NULL;
	write->space = NULL;
}

void lzi_api_fill(const latz_pool *pool, struct lzi_call *call, struct lzi_write *write, latz_slice key,
                  latz_slice value, const latz_set_options *options)
{
	fill(write, key, value, options);
	write->ttl_ms = lzi_api_ttl(pool, call, write->ttl_ms);
}

int lzi_api_fence(latz_pool *pool, struct lzi_call *call, const latz_set_options *options, struct lzi_write *write,
                  struct lzi_api_fence *fence)
{
	int rc;

	fence->room.big = NULL;
	if (options == NULL || !has_fence(options))
		return LATZ_OK;
	fence->fence = (struct lzi_fence){ options->fence.name, options->fence.token, 0 };
	rc = lzi_api_map(pool, call, &fence->fence.name, 0, &fence->room);
	write->fence = &fence->fence;
	return rc;
}

static LZI_NOINLINE int write_long_key(latz_pool *pool, struct lzi_call *call, struct lzi_write *write)
{
	struct lzi_api_room room;
	int rc = lzi_api_map(pool, call, &write->key, 1, &room);

	if (rc == LATZ_OK) {
		write->ttl_ms = lzi_api_ttl(pool, call, write->ttl_ms);
		rc = lzi_likely(write->kind != LZI_WRITE_SET || !lzi_counter_due(call->actor->sets))
		             ? lzi_store_write(call, write)
		             : lzi_counter_time_write(call, write);
	}
	lzi_api_unmap(&room);
	return rc;
}

/* A write whose key is to be made what it is in the pool. */
static inline int write_key(latz_pool *pool, struct lzi_call *call, struct lzi_write *write)
{
	uint8_t in_pool[LZI_SPACE_ROOM];
	int rc;

	if (!pool->prefixed || lzi_unlikely(write->key.size > LZI_SPACE_SHORT))
		return write_long_key(pool, call, write);
	rc = lzi_space_prepare(call, lzi_api_ref(pool), write, in_pool);
	if (lzi_unlikely(rc != LATZ_OK))
		return rc;
	return lzi_likely(write->kind != LZI_WRITE_SET || !lzi_counter_due(call->actor->sets))
	               ? lzi_store_write(call, write)
	               : lzi_counter_time_write(call, write);
}

static LZI_NOINLINE int set_fenced(latz_pool *pool, struct lzi_call *call, struct lzi_write *write,
                                   const latz_set_options *options)
{
	struct lzi_api_fence fence;
	int rc = lzi_api_fence(pool, call, options, write, &fence);

	if (rc == LATZ_OK)
		rc = write_key(pool, call, write);
	write->fence = NULL;
	lzi_api_unmap(&fence.room);
	return rc;
}

int latz_set(latz_pool *pool, latz_slice key, latz_slice value, const latz_set_options *options)
{
	struct lzi_write write;
	struct lzi_call call;
	int rc = lzi_api_key(key);

	if (lzi_likely(rc == LATZ_OK) && options != NULL)
		rc = lzi_api_set_options(options);
	if (lzi_likely(rc == LATZ_OK))
		rc = lzi_api_value(value, options == NULL ? LATZ_BYTES : options->type);
	if (lzi_likely(rc == LATZ_OK))
		rc = lzi_api_write(pool, &call);
	if (lzi_unlikely(rc != LATZ_OK))
		return lzi_api_key_result(rc);
	fill(&write, key, value, options);
	if (lzi_unlikely(options != NULL && has_fence(options))) {
		rc = set_fenced(pool, &call, &write, options);
	} else if (lzi_api_is_mapped(pool, key)) {
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

	if (lzi_likely(pool->prefixed && key.size <= LZI_SPACE_SHORT && !timed))
		return lzi_space_get(call, lzi_api_ref(pool), key, version, value);
	rc = lzi_api_map(pool, call, &key, 0, &room);
	if (lzi_likely(rc == LATZ_OK)) {
		rc = timed ? lzi_counter_time_get(call, key, value) : lzi_store_get(call, key, version, value);
		/* That nothing has changed was told by a record that nobody has opened. */
		if (lzi_unlikely(rc == LATZ_MISMATCH) && lzi_newest_seen(call->store, key) > version)
			rc = lzi_store_get(call, key, 0, value);
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
		rc = lzi_api_apart(key, value);
	if (lzi_likely(rc == LATZ_OK))
		rc = lzi_api_call(pool, &call);
	if (lzi_unlikely(rc != LATZ_OK))
		return lzi_api_key_result(rc);
	if (lzi_unlikely(pool->prefixed) && lzi_likely(key.size <= LZI_SPACE_SHORT) &&
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
		rc = lzi_api_apart(key, value);
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
		rc = lzi_api_value(tail, LATZ_BYTES);
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
		rc = lzi_api_value(value, LATZ_BYTES);
	if (rc == LATZ_OK)
		rc = lzi_api_apart(key, old);
	if (rc == LATZ_OK)
		rc = lzi_api_apart(value, old);
	if (rc == LATZ_OK)
		rc = lzi_api_write(pool, &call);
	if (rc == LATZ_OK)
		rc = lzi_api_map(pool, &call, &key, 1, &room);
	if (rc == LATZ_OK)
		rc = lzi_store_swap(&call, key, value, lzi_api_ttl(pool, &call, 0), old);
	lzi_api_unmap(&room);
	return lzi_api_key_result(rc);
}

/* ---- Several keys ---- */

/* Keys as they are in the pool: *next is where the next one goes. */
static int map_into(const latz_pool *pool, struct lzi_call *call, latz_slice *key, uint8_t **next)
{
	int rc = LATZ_OK;

	if (lzi_api_is_mapped(pool, *key)) {
		rc = lzi_api_map_at(pool, call, key, *next);
		*next += key->size;
	}
	return rc;
}

static int mget_mapped(latz_pool *pool, struct lzi_call *call, const latz_slice *keys, size_t n, latz_value *values,
                       int *results)
{
	uint64_t gets = 0, hits = 0;
	latz_slice *mapped;
	size_t i, size = n * sizeof *mapped;
	uint8_t *next;
	int rc = lzi_api_map_check(pool, call, 0);

	if (rc != LATZ_OK)
		return rc;
	for (i = 0; i < n; i++) {
		if (results[i] == LATZ_OK)
			results[i] = lzi_api_map_size(pool, keys[i]);
		size += results[i] == LATZ_OK ? keys[i].size + LZI_SEALED_KEY_MORE : 0;
	}
	mapped = malloc(size);
	if (mapped == NULL)
		return lzi_error(LATZ_NOMEM, "%zu keys", n);
	next = (uint8_t *)(mapped + n);
	for (i = 0; i < n; i++) {
		mapped[i] = keys[i];
		if (results[i] == LATZ_OK)
			results[i] = map_into(pool, call, &mapped[i], &next);
	}
	rc = lzi_store_mget(call, mapped, n, values, results);
	for (i = 0; i < n; i++) {
		gets += results[i] == LATZ_OK || results[i] == LATZ_NOTFOUND;
		hits += results[i] == LATZ_OK;
	}
	if (pool->space != 0)
		lzi_space_got(call, pool->slot, gets, hits);
	free(mapped);
	return rc;
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
			results[i] = lzi_api_apart(keys[i], &values[i]);
		}
	}
	rc = lzi_unlikely(mapped) ? mget_mapped(pool, &call, keys, n, values, results)
	                          : lzi_store_mget(&call, keys, n, values, results);
	return lzi_api_key_result(rc);
}

static int mset_mapped(latz_pool *pool, struct lzi_call *call, const struct lzi_write *write, const latz_item *items,
                       size_t n, uint64_t *ret_version)
{
	latz_item *mapped;
	size_t i, size = n * sizeof *mapped;
	uint8_t *next;
	int rc = lzi_api_map_check(pool, call, 1);

	for (i = 0; i < n && rc == LATZ_OK; i++) {
		rc = lzi_api_map_size(pool, items[i].key);
		size += items[i].key.size + LZI_SEALED_KEY_MORE;
	}
	if (rc != LATZ_OK)
		return rc;
	mapped = malloc(size);
	if (mapped == NULL)
		return lzi_error(LATZ_NOMEM, "%zu items", n);
	next = (uint8_t *)(mapped + n);
	for (i = 0; i < n && rc == LATZ_OK; i++) {
		mapped[i] = items[i];
		rc = map_into(pool, call, &mapped[i].key, &next);
	}
	if (rc == LATZ_OK)
		rc = lzi_store_mset(call, write, mapped, n, ret_version);
	free(mapped);
	return rc;
}

int latz_mset(latz_pool *pool, const latz_item *items, size_t n, const latz_set_options *options)
{
	latz_slice none = { NULL, 0 };
	struct lzi_api_fence fence;
	struct lzi_write write;
	struct lzi_call call;
	uint64_t version = 0;
	int mapped = 0, rc;
	size_t i;

	if (n > 0 && items == NULL)
		return lzi_api_error(LATZ_INVALID, "items is NULL");
	rc = options == NULL ? LATZ_OK : lzi_api_set_options(options);
	for (i = 0; i < n && rc == LATZ_OK; i++) {
		rc = lzi_api_key(items[i].key);
		if (rc == LATZ_OK)
			mapped |= pool != NULL && lzi_api_is_mapped(pool, items[i].key);
		if (rc == LATZ_OK)
			rc = lzi_api_value(items[i].value, options == NULL ? LATZ_BYTES : options->type);
	}
	if (rc == LATZ_OK)
		rc = lzi_api_write(pool, &call);
	if (rc != LATZ_OK)
		return lzi_api_key_result(rc);
	lzi_api_fill(pool, &call, &write, none, none, options);
	rc = lzi_api_fence(pool, &call, options, &write, &fence);
	if (rc == LATZ_OK)
		rc = mapped ? mset_mapped(pool, &call, &write, items, n, &version)
		            : lzi_store_mset(&call, &write, items, n, &version);
	lzi_api_unmap(&fence.room);
	if (rc == LATZ_OK && n > 0 && options != NULL && options->version != NULL)
		*options->version = version;
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
