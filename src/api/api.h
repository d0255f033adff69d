/*
 * Private to api/: handles, and the checks every call begins with.
 */
#ifndef LZI_API_API_H
#define LZI_API_API_H

#include <latzero/latzero.h>

#include "base/error.h"
#include "format/heap.h"
#include "store/store.h"

struct latz_pool {
	struct lzi_store *store; /* replaced in a forked child, on first use */
	int readonly;
	uint32_t number; /* of the handle, in its process: whose its locks are */
	uint32_t locks;  /* 1: some were taken through it */
	uint64_t scans; /* low half: open scans and watches of the process whose lzi_fork_count is the high half;
	                   atomic */
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
/* lock.c: what was taken through the handle. */
void lzi_api_unlock_all(struct latz_pool *pool);
/* kv.c: options of a write, as they were checked. */
int lzi_api_set_options(const latz_set_options *options);
int lzi_api_value(latz_slice value, latz_type type);
void lzi_api_fill(struct lzi_call *call, struct lzi_write *write, struct lzi_fence *fence, latz_slice key,
                  latz_slice value, const latz_set_options *options);
/* compress.c */
int lzi_api_compression(const latz_options *options);

#endif
