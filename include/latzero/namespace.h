/*
 * latzero: namespaces within a pool, and hooks of expiry. Included by <latzero/latzero.h>.
 */
#ifndef LATZERO_NAMESPACE_H
#define LATZERO_NAMESPACE_H

#include <latzero/latzero.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Namespaces -------------------------------------------------------------------------------------------------- */

/* A namespace has keys, statistics and bounds of its own within a pool: what is done through its handle concerns its
 * keys alone, and through the pool's handle those that are in no namespace. latz_set() and the like, transactions,
 * scans, latz_clear(), latz_hot_keys(), latz_stats() (keys, live_bytes, counters, bounds; the rest is 0),
 * latz_expire_hook(), latz_watch_open(), the names of locks and the keys of leases are the namespace's. Counters,
 * maintenance, verification, clients, syncing are the whole pool's through any handle. What changes the pool as a
 * whole (latz_limit(), latz_compress(), latz_train(), latz_persist(), latz_snapshot(), latz_advise()) is LATZ_INVALID.
 * The pool's statistics count everything. Keys may have 6 bytes fewer than elsewhere: 32 761.
 *
 * Makes the namespace if it is not there; through a handle opened with LATZ_READONLY that is LATZ_NOTFOUND. ns: 1 to 64
 * of [A-Za-z0-9._-], not starting with '.'. Names are the pool's: a namespace has none of its own (LATZ_INVALID). *sub
 * is ended with latz_close(), and may outlive `pool`. When somebody drops the namespace its handles get LATZ_DEAD. A
 * pool has at most 1024 at once. Errors: LATZ_INVALID, LATZ_FULL (1024, or the pool's max_entries), LATZ_NOSPC,
 * LATZ_NOMEM, LATZ_TIMEOUT, LATZ_DEAD, LATZ_CORRUPT. */
LATZ_API int latz_namespace(latz_pool *pool, const char *ns, latz_pool **sub) LATZ_MUSTCHECK;

/* Bounds of a namespace, within those of the pool. What is over them is the namespace's own affair: its keys go, or its
 * writes are refused; of other keys nothing changes. Bytes are those of its records (header, key, value as stored,
 * padding), as latz_stats_t.live_bytes. Threads that write at the same moment may pass max_bytes by a record each. */
typedef struct latz_namespace_options {
	size_t size;          /* sizeof(latz_namespace_options) */
	uint64_t max_bytes;   /* 0: no bound */
	uint64_t max_entries; /* 0: no bound */
	latz_policy policy;   /* LATZ_POLICY_DEFAULT: the oldest go, those read since they were last looked at later;
	                       * LATZ_POLICY_FIFO: the oldest; LATZ_POLICY_NONE: nothing, writes are LATZ_FULL */
	int64_t ttl_ms;       /* of keys written with ttl_ms 0; 0: the pool's default, -1: they never expire */
	int64_t max_age_ms;   /* as latz_retain(); 0: the pool's alone */
} latz_namespace_options;

/* clang-format off */
#define LATZ_NAMESPACE_OPTIONS_INIT { sizeof(latz_namespace_options), 0, 0, LATZ_POLICY_DEFAULT, 0, 0 }
/* clang-format on */

/* Sets all of them, for all its users, at once and for as long as there is the namespace: log, snapshots and images
 * carry them. What is over the new bounds goes before it returns. sub: a handle of latz_namespace(), else LATZ_INVALID.
 * LATZ_UNSUPPORTED: another policy. Errors else as latz_set(). May block on maintenance. */
LATZ_API int latz_namespace_limits(latz_pool *sub, const latz_namespace_options *options) LATZ_MUSTCHECK;

/* Drops a namespace with all its keys, at once, however many they are: nobody sees them any more, its handles get
 * LATZ_DEAD (they are still to be closed), as do scans, transactions and locks that came by them, at the next call but
 * the one that ends them; and latz_namespace() makes a new one of the name. Space comes back as
 * maintenance collects the keys, in small steps. LATZ_NOTFOUND: there is none of that name. pool: any handle. */
LATZ_API int latz_namespace_drop(latz_pool *pool, const char *ns) LATZ_MUSTCHECK;

typedef struct latz_namespace_info {
	size_t size;      /* bytes of this struct that the library filled in */
	const char *name; /* valid during the callback */
	uint64_t keys;    /* expired but not yet collected ones included */
	uint64_t bytes;   /* of its records */
	uint64_t max_bytes, max_entries; /* 0: no bound */
	latz_policy policy;
	int64_t ttl_ms;   /* 0: the pool's default */
	uint64_t gets, hits, sets, deletes, expired; /* since it was made, or the pool was restored, as the next */
	uint64_t evicted, evicted_bytes;             /* by its own bounds */
	uint64_t refused;                            /* writes refused by its own bounds */
	int64_t max_age_ms;                          /* 0: the pool's alone */
} latz_namespace_info;

/* A non-zero return stops the listing and is returned by latz_namespaces(). */
typedef int (*latz_namespace_fn)(const latz_namespace_info *info, void *arg);

/* Calls fn for each namespace of the pool in order of name. */
LATZ_API int latz_namespaces(latz_pool *pool, latz_namespace_fn fn, void *arg) LATZ_MUSTCHECK;

/* ---- Expiry ------------------------------------------------------------------------------------------------------ */

/* Returns 0 to let the key go, or its new time to live in milliseconds. */
typedef int64_t (*latz_expire_fn)(latz_slice key, void *arg);

/* fn is asked before an expired key that the handle sees goes: by whoever collects it, if that is this process; so a
 * hook that is to be asked for every key is set by every process, or by the one that alone does maintenance. It runs in
 * the library's maintenance thread, or in the thread that calls latz_maintain(), one call at a time, with maintenance
 * held up: it should be quick, and must not call the library. Between its deadline and then nobody sees the key; one
 * that is renewed is there again as it was, of the same version. A key that is overwritten, deleted or evicted after
 * its deadline is not asked about. Where nothing is evicted a write that finds no room collects what is expired itself,
 * but not in a process that has hooks. One hook a handle; NULL takes it away, and then it is not running any more, as
 * after latz_close(). A forked child has none. */
LATZ_API int latz_expire_hook(latz_pool *pool, latz_expire_fn fn, void *arg) LATZ_MUSTCHECK;

#ifdef __cplusplus
}
#endif

#endif
