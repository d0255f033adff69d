/*
 * Public calls on namespaces, hooks of expiry; and how a handle's keys become the pool's (format/space.h).
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "crypt/crypt.h"

/* ---- Keys -------------------------------------------------------------------------------------------------------- */

/* What stands before a key; how many bytes. */
static unsigned prefix_of(const struct latz_pool *pool, uint8_t to[LZI_SPACE_PREFIX])
{
	if (pool->space == 0) {
		to[0] = 0xff;
		return 1;
	}
	lzi_space_prefix(pool->space, to);
	return LZI_SPACE_PREFIX;
}

int lzi_api_map_at(const struct latz_pool *pool, struct lzi_call *call, latz_slice *key, uint8_t *to)
{
	unsigned size;
	int rc;

	if (pool->sealed) {
		rc = lzi_seal_key(call, pool->space, *key, to, &key->size);
		key->data = to;
		return rc;
	}
	size = prefix_of(pool, to);
	if (key->size > 0)
		memcpy(to + size, key->data, key->size);
	key->data = to;
	key->size += size;
	return LATZ_OK;
}

static uint8_t *reserve(struct lzi_api_room *room, size_t size)
{
	if (lzi_likely(size <= sizeof room->small))
		return room->small;
	room->big = malloc(size);
	if (room->big == NULL)
		(void)lzi_error(LATZ_NOMEM, "key of %zu bytes", size);
	return room->big;
}

static int put_prefix(const struct latz_pool *pool, struct lzi_call *call, latz_slice *key, struct lzi_api_room *room)
{
	uint8_t *to = reserve(room, LZI_SEALED_KEY_MORE + key->size);

	return lzi_likely(to != NULL) ? lzi_api_map_at(pool, call, key, to) : LATZ_NOMEM;
}

int lzi_api_map_size(const struct latz_pool *pool, latz_slice key)
{
	unsigned prefix = pool->space == 0 ? 1 : LZI_SPACE_PREFIX;

	if (pool->sealed)
		prefix += LZI_SEALED_KEY_MORE - LZI_SPACE_PREFIX;
	if (lzi_likely(key.size <= LZI_KEY_MAX - prefix || !lzi_api_is_mapped(pool, key)))
		return LATZ_OK;
	if (pool->sealed)
		return lzi_error(LATZ_TOOBIG, "key of %zu bytes; the limit in an encrypted pool is %u", key.size,
		                 LZI_KEY_MAX - prefix);
	return lzi_error(LATZ_TOOBIG, pool->space == 0
	                                      ? "key of %zu bytes; the limit of those that begin with ff is %u"
	                                      : "key of %zu bytes; the limit in a namespace is %u",
	                 key.size, LZI_KEY_MAX - prefix);
}

int lzi_api_map_check(struct latz_pool *pool, struct lzi_call *call, int write)
{
	if (pool->space != 0)
		return lzi_space_check(call, pool->space, pool->slot);
	if (write && !pool->sealed)
		lzi_space_note_high(call);
	return LATZ_OK;
}

int lzi_api_map_slow(struct latz_pool *pool, struct lzi_call *call, latz_slice *key, int write,
                     struct lzi_api_room *room)
{
	int rc = lzi_api_map_check(pool, call, write);

	if (rc == LATZ_OK)
		rc = lzi_api_map_size(pool, *key);
	return lzi_unlikely(rc != LATZ_OK) ? rc : put_prefix(pool, call, key, room);
}

void lzi_api_unmap(struct lzi_api_room *room)
{
	if (lzi_unlikely(room->big != NULL))
		free(room->big);
}

int lzi_api_map_bound(const struct latz_pool *pool, latz_slice *key, struct lzi_api_room *room)
{
	room->big = NULL;
	if (pool->space == 0 && (key->size == 0 || *(const uint8_t *)key->data != 0xff))
		return LATZ_OK;
	return put_prefix(pool, NULL, key, room);
}

int lzi_api_is_of(const struct latz_pool *pool, const latz_slice *key)
{
	int spaced = lzi_key_is_spaced(key->data, key->size);

	return pool->space == 0 ? !spaced : spaced && lzi_key_space(key->data) == pool->space;
}

int lzi_api_see(const struct latz_pool *pool, latz_slice *key, struct lzi_api_room *room)
{
	uint32_t number;
	uint8_t *to;

	room->big = NULL;
	if (!lzi_api_is_of(pool, key))
		return 0;
	to = reserve(room, key->size);
	return to != NULL && lzi_key_seen(pool->store, key, &number, to) == LATZ_OK;
}

void lzi_api_unsee(const struct latz_pool *pool, latz_slice key, struct lzi_api_room *room)
{
	if (pool->sealed)
		lzi_wipe(room->big != NULL ? room->big : room->small,
		         room->big != NULL || key.size < sizeof room->small ? key.size : sizeof room->small);
	lzi_api_unmap(room);
}

int lzi_api_whole(const struct latz_pool *pool)
{
	return pool == NULL || pool->space == 0
	               ? LATZ_OK
	               : lzi_error(LATZ_INVALID, "it concerns the pool as a whole, and this is a namespace's handle");
}

/* ---- Namespaces -------------------------------------------------------------------------------------------------- */

static int check_name(const char *ns)
{
	if (ns == NULL)
		return lzi_error(LATZ_INVALID, "ns is NULL");
	if (!lzi_name_valid(ns))
		return lzi_error(LATZ_INVALID,
		                 "a namespace's name must be 1 to 64 of A-Z a-z 0-9 . _ - and not start with a dot");
	return LATZ_OK;
}

int latz_namespace(latz_pool *pool, const char *ns, latz_pool **sub)
{
	struct lzi_call call;
	latz_pool *handle;
	int rc;

	if (sub == NULL)
		return lzi_api_error(LATZ_INVALID, "sub is NULL");
	rc = check_name(ns);
	if (rc == LATZ_OK && pool != NULL && pool->space != 0)
		rc = lzi_error(LATZ_INVALID, "a namespace has no namespaces");
	if (rc == LATZ_OK)
		rc = lzi_api_call(pool, &call);
	if (rc != LATZ_OK)
		return lzi_api_result(rc);
	handle = calloc(1, sizeof *handle);
	if (handle == NULL)
		return lzi_api_error(LATZ_NOMEM, "handle");
	rc = lzi_space_enter(&call, ns, !pool->readonly, &handle->space, &handle->slot);
	if (rc != LATZ_OK) {
		free(handle);
		return rc == LATZ_NOTFOUND ? lzi_api_answer(rc, "no such namespace") : lzi_api_result(rc);
	}
	handle->readonly = pool->readonly;
	handle->number = lzi_api_number();
	handle->store = call.store;
	lzi_api_know(handle);
	lzi_store_ref(call.store);
	*sub = handle;
	return lzi_api_result(LATZ_OK);
}

int latz_namespace_limits(latz_pool *sub, const latz_namespace_options *options)
{
	struct lzi_space_bounds bounds;
	struct lzi_call call;
	int rc;

	if (options == NULL || options->size < offsetof(latz_namespace_options, max_age_ms))
		return lzi_api_error(LATZ_INVALID, "options is NULL, or its size is not set");
	if (sub == NULL || sub->space == 0)
		return lzi_api_error(LATZ_INVALID, "sub is %s", sub == NULL ? "NULL" : "no namespace's handle");
	if (options->ttl_ms < -1)
		return lzi_api_error(LATZ_INVALID, "options.ttl_ms is negative");
	bounds.max_age_ms = options->size < sizeof *options ? -1 : options->max_age_ms;
	if (options->size >= sizeof *options && options->max_age_ms < 0)
		return lzi_api_error(LATZ_INVALID, "options.max_age_ms is negative");
	if (bounds.max_age_ms > LZI_TTL_MAX_MS)
		bounds.max_age_ms = LZI_TTL_MAX_MS;
	if (options->max_bytes > INT64_MAX || options->max_entries > INT64_MAX)
		return lzi_api_error(LATZ_INVALID, "a bound is beyond 2^63");
	rc = lzi_api_policy(options->policy);
	if (rc == LATZ_OK && options->policy != LATZ_POLICY_DEFAULT && options->policy != LATZ_POLICY_FIFO &&
	    options->policy != LATZ_POLICY_NONE)
		rc = lzi_error(LATZ_UNSUPPORTED, "a namespace's policy is LATZ_POLICY_DEFAULT, _FIFO or _NONE");
	if (rc == LATZ_OK)
		rc = lzi_api_write(sub, &call);
	if (rc != LATZ_OK)
		return lzi_api_result(rc);
	bounds.max_bytes = options->max_bytes;
	bounds.max_entries = options->max_entries;
	bounds.policy = options->policy;
	bounds.ttl_ms = options->ttl_ms;
	return lzi_api_result(lzi_space_limit(&call, sub->space, &bounds));
}

int latz_namespace_drop(latz_pool *pool, const char *ns)
{
	struct lzi_call call;
	int rc = check_name(ns);

	if (rc == LATZ_OK)
		rc = lzi_api_write(pool, &call);
	if (rc == LATZ_OK)
		rc = lzi_space_drop(&call, ns);
	return rc == LATZ_NOTFOUND ? lzi_api_answer(rc, "no such namespace") : lzi_api_result(rc);
}

int latz_namespaces(latz_pool *pool, latz_namespace_fn fn, void *arg)
{
	struct lzi_call call;
	int rc;

	if (fn == NULL)
		return lzi_api_error(LATZ_INVALID, "fn is NULL");
	rc = lzi_api_call(pool, &call);
	return lzi_api_result(rc == LATZ_OK ? lzi_space_list(&call, fn, arg) : rc);
}

/* ---- Hooks ------------------------------------------------------------------------------------------------------- */

int latz_expire_hook(latz_pool *pool, latz_expire_fn fn, void *arg)
{
	struct lzi_call call;
	int rc = lzi_api_write(pool, &call); /* who only reads has no part in what expires */

	if (rc == LATZ_OK && pool->space != 0)
		rc = lzi_space_check(&call, pool->space, pool->slot);
	if (rc != LATZ_OK)
		return lzi_api_result(rc);
	lzi_api_unhook(pool);
	if (fn == NULL)
		return LATZ_OK;
	pool->hook.number = pool->space;
	pool->hook.fn = fn;
	pool->hook.arg = arg;
	pool->hook_of = call.store;
	lzi_hook_add(call.store, &pool->hook);
	return LATZ_OK;
}

void lzi_api_unhook(struct latz_pool *pool)
{
	/* After a fork the list is the parent's. */
	if (pool->hook_of != NULL && pool->hook_of == pool->store)
		lzi_hook_remove(pool->hook_of, &pool->hook);
	pool->hook_of = NULL;
}
