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
	uint64_t scans; /* low half: open scans and watches of the process whose lzi_fork_count is the high half;
	                   atomic */
	uint32_t space; /* number of the namespace it is a handle of; 0: of the pool */
	uint32_t slot;  /* of the namespace */
	struct lzi_hook hook;      /* if hook.fn is set */
	struct lzi_store *hook_of; /* where it is */
};

struct latz_scan {
	struct latz_pool *pool;
	struct lzi_scan *scan;
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

static inline int lzi_api_key(latz_slice key)
{
	if (lzi_unlikely(key.data == NULL || key.size == 0))
		return lzi_error(LATZ_INVALID, "%s", key.size == 0 ? "key is empty" : "key.data is NULL");
	if (lzi_unlikely(key.size > LZI_KEY_MAX))
		return lzi_error(LATZ_TOOBIG, "key of %zu bytes; the limit is %u", key.size, LZI_KEY_MAX);
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

/* ---- space.c: keys as they are in the pool ---- */

/* Memory for one, as long as it is used. */
struct lzi_api_room {
	void *big; /* NULL, or from malloc() */
	uint8_t small[256];
};

/* Whether the key, which has been checked, is another one in the pool. */
static inline int lzi_api_is_mapped(const struct latz_pool *pool, latz_slice key)
{
	return lzi_unlikely(pool->space != 0 || *(const uint8_t *)key.data == 0xff);
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
/* A bound of a scan, as it is in the pool; may be empty. */
int lzi_api_map_bound(const struct latz_pool *pool, latz_slice *key, struct lzi_api_room *room);
/* A key of the pool as the handle's users know it; 0 if they don't. */
int lzi_api_see(const struct latz_pool *pool, latz_slice *key);
/* The bytes in front of a key of this handle's that it does not have for its users. */
static inline unsigned lzi_api_strip(const struct latz_pool *pool, const void *key)
{
	return pool->space != 0 ? LZI_SPACE_PREFIX : *(const uint8_t *)key == 0xff;
}
/* Before a handle goes. */
void lzi_api_unhook(struct latz_pool *pool);
/* LATZ_INVALID for a namespace's handle. */
int lzi_api_whole(const struct latz_pool *pool);
/* Default time to live. */
int64_t lzi_api_ttl(const struct latz_pool *pool, struct lzi_call *call, int64_t ttl_ms);
/* One scan or watch more on a handle, and less. A forked child has none yet, whatever its copy of the handle says. */
static inline void lzi_api_count(struct latz_pool *pool)
{
	uint64_t old = lzi_load_relaxed(&pool->scans), now;

	do {
		now = (old >> 32 == lzi_fork_count ? old : (uint64_t)lzi_fork_count << 32) + 1;
	} while (!lzi_cas_acquire(&pool->scans, &old, now));
}

static inline void lzi_api_uncount(struct latz_pool *pool)
{
	lzi_fetch_sub(&pool->scans, 1u);
}

/* Checks; copies what the caller's struct has of the options, the rest is zero. pool.c. */
int lzi_api_name(const char *name);
int lzi_api_policy(latz_policy policy);
int lzi_api_options(const latz_options *from, latz_options *to);
/* compress.c */
int lzi_api_compression(const latz_options *options);

#endif
