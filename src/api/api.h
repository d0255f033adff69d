/*
 * Private to api/: handles, and the checks every call begins with.
 */
#ifndef LZI_API_API_H
#define LZI_API_API_H

#include <latzero/latzero.h>

#include "base/error.h"
#include "format/heap.h"
#include "format/space.h"
#include "store/store.h"

struct latz_pool {
	struct lzi_store *store; /* replaced in a forked child, on first use */
	int readonly;
	uint32_t number; /* of the handle, in its process: whose its locks are */
	uint32_t locks;  /* 1: some were taken through it */
	/* Low half: open ones (scans: and watches) of the process whose lzi_fork_count is the high half; atomic. */
	uint64_t scans, txns;
	int sealed;     /* the pool is encrypted */
	int mapped;     /* keys are others in the pool */
	int prefixed;   /* they are the same behind a namespace's prefix: the short way */
	uint32_t space; /* number of the namespace it is a handle of; 0: of the pool */
	uint32_t slot;  /* of the namespace */
	struct lzi_hook hook;      /* if hook.fn is set */
	struct lzi_store *hook_of; /* where it is */
};

struct latz_scan {
	struct latz_pool *pool;
	struct lzi_scan *scan;
	struct lzi_sealed_scan *sealed; /* instead, if the pool is encrypted */
	unsigned fork_count; /* of the process that opened it */
};

/* How every public call returns that can fail in more ways than a key not being there. */
static inline int lzi_api_result(int rc)
{
	return lzi_error_result(rc);
}

#define lzi_api_error(...) lzi_error_result(lzi_error(__VA_ARGS__))

/* What is no failure but an answer gets a constant for its detail. */
static inline int lzi_api_answer(int rc, const char *text)
{
	lzi_error_plain = text;
	return rc;
}

static LZI_COLD LZI_NOINLINE int lzi_api_key_failed(int rc)
{
	switch (rc) {
	case LATZ_EXISTS: return lzi_api_answer(rc, "the key is there already");
	case LATZ_MISMATCH: return lzi_api_answer(rc, "the key has another version");
	default: return lzi_error_result(rc);
	}
}

/* How calls on a key return. Nothing to do when it went well. */
static inline int lzi_api_key_result(int rc)
{
	if (lzi_likely(rc == LATZ_OK))
		return rc;
	return rc == LATZ_NOTFOUND ? lzi_api_answer(rc, "no such key") : lzi_api_key_failed(rc);
}

static LZI_COLD LZI_NOINLINE int lzi_api_key_wrong(latz_slice key)
{
	if (key.size > LZI_KEY_MAX && key.data != NULL)
		return lzi_error(LATZ_TOOBIG, "key of %zu bytes; the limit is %u", key.size, LZI_KEY_MAX);
	return lzi_error(LATZ_INVALID, "%s", key.size == 0 ? "key is empty" : "key.data is NULL");
}

static inline int lzi_api_key(latz_slice key)
{
	/* One comparison for none and for too many. */
	return lzi_likely(key.data != NULL && key.size - 1 < LZI_KEY_MAX) ? LATZ_OK : lzi_api_key_wrong(key);
}

/* The buffer that takes the value must not be what the arguments stand in: it is written, or freed, while they are
 * still looked at. */
static inline int lzi_api_apart(latz_slice slice, const latz_value *value)
{
	if (lzi_unlikely((uintptr_t)slice.data - (uintptr_t)value->data < value->capacity))
		return lzi_error(LATZ_INVALID, "an argument lies in the buffer that is to take the value");
	return LATZ_OK;
}

static inline int lzi_api_call(struct latz_pool *pool, struct lzi_call *call)
{
	if (lzi_unlikely(pool == NULL))
		return lzi_error(LATZ_INVALID, "pool is NULL");
	return lzi_store_call(&pool->store, call);
}

static inline int lzi_api_write(struct latz_pool *pool, struct lzi_call *call)
{
	if (lzi_unlikely(pool != NULL && pool->readonly))
		return lzi_error(LATZ_READONLY, "the handle was opened with LATZ_READONLY");
	return lzi_api_call(pool, call);
}

/* What changes nothing that users see, but can't be had without a place among the pool's clients. */
static inline int lzi_api_client(struct latz_pool *pool, struct lzi_call *call, const char *what)
{
	if (pool != NULL && pool->readonly)
		return lzi_error(LATZ_UNSUPPORTED, "%s: not through a handle opened with LATZ_READONLY", what);
	return lzi_api_call(pool, call);
}

/* ---- space.c: keys as they are in the pool ---- */

/* Memory for one, as long as it is used. */
struct lzi_api_room {
	void *big; /* NULL, or from malloc() */
	uint8_t small[256];
};

/* Whether the key, which has been checked, is another one in the pool. */
static inline int lzi_api_is_mapped(const struct latz_pool *pool, latz_slice key)
{
	return lzi_unlikely(pool->mapped || *(const uint8_t *)key.data == 0xff);
}

static inline struct lzi_space_ref lzi_api_ref(const struct latz_pool *pool)
{
	return (struct lzi_space_ref){ pool->space, pool->slot };
}

/* Makes *key what it is in the pool; lzi_api_unmap() after use, whatever the result. LATZ_TOOBIG; LATZ_DEAD: its
 * namespace was dropped; LATZ_NOMEM. */
int lzi_api_map_slow(struct latz_pool *pool, struct lzi_call *call, latz_slice *key, int write,
                     struct lzi_api_room *room);
static inline int lzi_api_map(struct latz_pool *pool, struct lzi_call *call, latz_slice *key, int write,
                              struct lzi_api_room *room)
{
	room->big = NULL;
	return lzi_api_is_mapped(pool, *key) ? lzi_api_map_slow(pool, call, key, write, room) : LATZ_OK;
}
void lzi_api_unmap(struct lzi_api_room *room);
/* The same in parts, for many at once: whether the handle has its namespace; whether the key is short enough; the key,
 * if it is another one in the pool, to where there is room for LZI_SEALED_KEY_MORE bytes more. */
int lzi_api_map_check(struct latz_pool *pool, struct lzi_call *call, int write);
int lzi_api_map_size(const struct latz_pool *pool, latz_slice key);
int lzi_api_map_at(const struct latz_pool *pool, struct lzi_call *call, latz_slice *key, uint8_t *to);
/* A bound of a scan, as it is in the pool; may be empty. Not of encrypted pools. */
int lzi_api_map_bound(const struct latz_pool *pool, latz_slice *key, struct lzi_api_room *room);
/* Whether a key of the pool, or its beginning, is one of the handle's. */
int lzi_api_is_of(const struct latz_pool *pool, const latz_slice *key);
/* A key of the pool as the handle's users know it; 0 if they don't. lzi_api_unsee() after use, whatever the result,
 * with what the key was before. */
int lzi_api_see(const struct latz_pool *pool, latz_slice *key, struct lzi_api_room *room);
void lzi_api_unsee(const struct latz_pool *pool, latz_slice key, struct lzi_api_room *room);
/* The bytes in front of a key of this handle's that it does not have for its users, if the pool is not encrypted. */
static inline unsigned lzi_api_strip(const struct latz_pool *pool, const void *key)
{
	return pool->space != 0 ? LZI_SPACE_PREFIX : *(const uint8_t *)key == 0xff;
}
/* What follows from the store and the namespace. */
static inline void lzi_api_know(struct latz_pool *pool)
{
	pool->sealed = lzi_store_is_sealed(pool->store);
	pool->mapped = pool->sealed || pool->space != 0;
	pool->prefixed = !pool->sealed && pool->space != 0;
}
/* Before a handle goes. */
void lzi_api_unhook(struct latz_pool *pool);
/* LATZ_DEAD if the handle's namespace was dropped: for calls on what was opened through it. */
static inline int lzi_api_space(const struct latz_pool *pool, struct lzi_call *call)
{
	return lzi_likely(pool->space == 0) ? LATZ_OK : lzi_space_check(call, pool->space, pool->slot);
}
/* LATZ_INVALID for a namespace's handle. */
int lzi_api_whole(const struct latz_pool *pool);
/* Default time to live. */
static inline int64_t lzi_api_ttl(const struct latz_pool *pool, struct lzi_call *call, int64_t ttl_ms)
{
	if (lzi_likely(ttl_ms == 0))
		ttl_ms = lzi_likely(pool->space == 0) ? lzi_store_ttl(call->store) : lzi_space_ttl(call, pool->slot);
	return ttl_ms > LZI_TTL_MAX_MS ? LZI_TTL_MAX_MS : ttl_ms;
}
/* Counts one more in pool->scans or txns. A forked child has none yet, whatever its copy of the handle says. */
static inline void lzi_api_count(uint64_t *count)
{
	uint64_t old = lzi_load_relaxed(count), now;

	do {
		now = (old >> 32 == lzi_fork_count ? old : (uint64_t)lzi_fork_count << 32) + 1;
	} while (!lzi_cas_acquire(count, &old, now));
}

static inline void lzi_api_uncount(uint64_t *count)
{
	lzi_fetch_sub(count, 1u);
}

/* Of this process. */
static inline uint32_t lzi_api_counted(const uint64_t *count)
{
	uint64_t now = lzi_load_acquire(count);

	return now >> 32 == lzi_fork_count ? (uint32_t)now : 0;
}

/* Checks; copies what the caller's struct has of the options, the rest is zero. pool.c. */
int lzi_api_name(const char *name);
uint32_t lzi_api_number(void); /* for one handle more */
int lzi_api_policy(latz_policy policy);
int lzi_api_options(const latz_options *from, latz_options *to);
int lzi_api_password(const char *password);
/* The password that options->password_from names, into options->password. *ret_secret: for lzi_passphrase_give() when
 * the options are used no more, whatever the result. */
int lzi_api_password_take(latz_options *options, char **ret_secret);
/* lock.c: what was taken through the handle. */
void lzi_api_unlock_all(struct latz_pool *pool);
/* kv.c: checks of a write's arguments, and what the store is told. The pool's time to live for 0. */
int lzi_api_typed(latz_slice value, latz_type type);
static inline int lzi_api_value(latz_slice value, latz_type type)
{
	return lzi_likely(type == LATZ_BYTES && value.size <= LZI_VALUE_MAX && value.data != NULL)
	               ? LATZ_OK
	               : lzi_api_typed(value, type);
}
int lzi_api_set_options(const latz_set_options *options);
void lzi_api_fill(const struct latz_pool *pool, struct lzi_call *call, struct lzi_write *write, latz_slice key,
                  latz_slice value, const latz_set_options *options);
/* The lock in whose name it is to be made, if options name one; lzi_api_unmap(&fence->room) after the write, whatever
 * the result. */
struct lzi_api_fence {
	struct lzi_fence fence;
	struct lzi_api_room room;
};
int lzi_api_fence(struct latz_pool *pool, struct lzi_call *call, const latz_set_options *options,
                  struct lzi_write *write, struct lzi_api_fence *fence);
/* audit.c */
int lzi_api_audit(const latz_options *options);
/* compress.c */
int lzi_api_compression(const latz_options *options);

#endif
