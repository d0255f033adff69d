/*
 * Joins the mechanisms into a pool: lifetime, reads, writes, scans, maintenance. What api/ may call.
 *
 * Arguments have been checked by the caller. All calls are thread-safe unless said otherwise.
 */
#ifndef LZI_STORE_STORE_H
#define LZI_STORE_STORE_H

#include <latzero/latzero.h>

#include "client/client.h"

struct lzi_store;

extern unsigned lzi_fork_count; /* thread.c: forks between the first ancestor and us */

/* A call under way: the store, and the calling thread's slot in it. */
struct lzi_call {
	struct lzi_store *store;
	struct lzi_actor *actor;
	uint32_t index;
};

/* ---- Lifetime (attach.c, thread.c, registry.c) ----------------------------------------------------------------------
 */

int lzi_store_open(const char *name, const latz_options *options, struct lzi_store **ret_store);
/* One handle less; the last one detaches. */
void lzi_store_close(struct lzi_store *store);
/* One handle more. */
void lzi_store_ref(struct lzi_store *store);
int lzi_store_destroy(const char *name, const char *dir);
int lzi_store_list(const char *dir, latz_list_fn fn, void *arg);
int lzi_store_sweep(const char *dir, unsigned *ret_removed);

/* Finds (on the thread's first call: takes) the thread's slot. *store is replaced in a forked child, which attaches on
 * its own. LATZ_DEAD if the pool is gone. */
int lzi_store_call(struct lzi_store **store, struct lzi_call *ret_call);

/* ---- Keys and values (read.c, write.c) ------------------------------------------------------------------------------
 */

/* if_changed_from: 0, or the version for which LATZ_MISMATCH is wanted. value may be NULL: only whether it is there. */
int lzi_store_get(struct lzi_call *call, latz_slice key, uint64_t if_changed_from, latz_value *value);
/* Of a record of the library's own: counted as no get, since the user has got nothing. */
int lzi_store_get_own(struct lzi_call *call, latz_slice key, latz_value *value);
/* Of one moment. keys with a result that is not LATZ_OK are left out. */
int lzi_store_mget(struct lzi_call *call, const latz_slice *keys, size_t n, latz_value *values, int *results);
int lzi_store_key_stat(struct lzi_call *call, latz_slice key, latz_key_info *info);
int lzi_store_borrow(struct lzi_call *call, latz_slice key, latz_view *view);
int lzi_view_release(latz_view *view);
/* Frees a value's buffer, wiped if it has had something of an encrypted pool. */
void lzi_value_drop(latz_value *value);

enum lzi_write_kind {
	LZI_WRITE_SET,
	LZI_WRITE_INCREMENT,
	LZI_WRITE_DELETE,
	LZI_WRITE_EXPIRE,
	LZI_WRITE_TOUCH,
	LZI_WRITE_CROWD /* a delete for want of room in the key's namespace */
};

enum lzi_crowded {
	LZI_CROWDED = 1,  /* it would be one key too many for the pool */
	LZI_CROWDED_SPACE /* one key, or too many bytes, for its namespace */
};

/* A write that only who holds the lock may make: the pair names its grant. */
struct lzi_fence {
	latz_slice name;
	uint64_t token;
	int lease; /* 1: of a key's lease, not a lock's */
};

struct lzi_write {
	enum lzi_write_kind kind;
	latz_slice key, value;
	unsigned flags; /* LATZ_IF_..., LATZ_DURABLE */
	int later;      /* 1: not the last of a batch: durability is waited for later */
	uint8_t type;
	int64_t ttl_ms; /* > 0, or -1: never */
	uint64_t if_version;
	int64_t by;
	const struct lzi_fence *fence; /* may be NULL */
	int sweep; /* of a touch: the deadline it has is held to the key's age */
	int renew; /* of a touch: also of a key whose deadline has passed, if it has not been collected */
	/* What a key of a namespace is counted in, and the key as its users have it, which is what is hashed; found
	 * when it is written, if the first is NULL. */
	struct lzi_space *space;
	struct lzi_space_cell *cell;
	latz_slice bare;
	/* Out. */
	uint64_t span; /* bytes that it would take more, if it was crowded */
	int created; /* the key was not there */
	int crowded; /* enum lzi_crowded: why it is LATZ_FULL */
	uint64_t version;
	int64_t sum;
	int64_t deadline; /* of a touch: CLOCK_MONOTONIC ms; 0: never */
};

int lzi_store_write(struct lzi_call *call, struct lzi_write *write);
/* ttl_ms: of a key that was not there. */
int lzi_store_append(struct lzi_call *call, latz_slice key, latz_slice tail, int64_t ttl_ms, size_t *ret_size);
int lzi_store_swap(struct lzi_call *call, latz_slice key, latz_slice value, int64_t ttl_ms, latz_value *old);
int lzi_name_valid(const char *name);

/* ---- Namespaces (space*.c) ------------------------------------------------------------------------------------------
 */

struct lzi_space_bounds {
	uint64_t max_bytes, max_entries; /* 0: none */
	latz_policy policy;              /* DEFAULT, FIFO, NONE */
	int64_t ttl_ms;                  /* 0: the pool's */
	int64_t max_age_ms;              /* 0: the pool's; -1: as it is */
};

/* Finds, or makes, the namespace; its number, and the slot it is counted in. LATZ_NOTFOUND: it may not be made. */
int lzi_space_enter(struct lzi_call *call, const char *name, int may_make, uint32_t *ret_number, uint32_t *ret_slot);
/* LATZ_DEAD: it was dropped. */
int lzi_space_check(struct lzi_call *call, uint32_t number, uint32_t slot);
int lzi_space_limit(struct lzi_call *call, uint32_t number, const struct lzi_space_bounds *bounds);
/* Only the age that no key passes. */
int lzi_space_retain(struct lzi_call *call, uint32_t number, int64_t max_age_ms);
/* The same of the pool (retain.c). */
int lzi_retain_set(struct lzi_call *call, int64_t max_age_ms);
int lzi_space_drop(struct lzi_call *call, const char *name);
int lzi_space_list(struct lzi_call *call, latz_namespace_fn fn, void *arg);
/* LATZ_DEAD: it was dropped. */
int lzi_space_stats(struct lzi_call *call, uint32_t number, latz_stats_t *stats);
/* Keys in a namespace of at most so many bytes, as its users have them, and room for one as it is in the pool. */
#define LZI_SPACE_SHORT 248u
#define LZI_SPACE_ROOM 256u
struct lzi_space_ref {
	uint32_t number, slot;
};
/* lzi_store_get() of such a key. */
int lzi_space_get(struct lzi_call *call, struct lzi_space_ref ref, latz_slice key, uint64_t if_changed_from,
                  latz_value *value);
/* Makes a write of a key as the namespace's users have it one of the pool's, with the time to live that keys have
 * there. in_pool: stays until it has been done. */
int lzi_space_prepare(struct lzi_call *call, struct lzi_space_ref ref, struct lzi_write *write,
                      uint8_t in_pool[LZI_SPACE_ROOM]);
/* Lookups in it, for its statistics. */
void lzi_space_got(struct lzi_call *call, uint32_t slot, uint64_t gets, uint64_t hits);
/* The time to live of keys written without one: > 0 or -1. */
int64_t lzi_space_ttl(struct lzi_call *call, uint32_t slot);
/* A key that begins with ff is about to be written. */
void lzi_space_note_high(struct lzi_call *call);
/* What is seen through a handle: keys of a namespace, or with number 0 of the pool itself. */
int lzi_space_clear(struct lzi_call *call, uint32_t number);

/* ---- Hooks (hook.c) ------------------------------------------------------------------------------------------------
 * */

/* The longest time to live: a century, so that now + ttl can't wrap. */
#define LZI_TTL_MAX_MS 3155760000000ll

struct lzi_hook {
	uint32_t number; /* of the namespace whose keys it is asked about; 0: the pool's own */
	latz_expire_fn fn;
	void *arg;
	struct lzi_hook *next;
};

void lzi_hook_add(struct lzi_store *store, struct lzi_hook *hook);
/* It is not under way any more when this returns. Nothing, if it was not there. */
void lzi_hook_remove(struct lzi_store *store, struct lzi_hook *hook);

/* ---- Compression (pack.c, train.c) ---------------------------------------------------------------------------------
 */

void lzi_store_compress(struct lzi_call *call, const latz_options *options);
int lzi_store_train(struct lzi_call *call, const latz_train_options *options, latz_train_info *info);

/* ---- Scans (scan.c). One thread at a time ---------------------------------------------------------------------------
 */

struct lzi_scan;
int lzi_scan_open(struct lzi_call *call, const latz_scan_options *options, struct lzi_scan **ret_scan);
/* The same without the keys of namespaces. */
int lzi_scan_open_own(struct lzi_call *call, const latz_scan_options *options, struct lzi_scan **ret_scan);
int lzi_scan_next(struct lzi_call *call, struct lzi_scan *scan, latz_slice *key, latz_value *value);
void lzi_scan_close(struct lzi_scan *scan);
/* From now on compressed values come as they are stored, their type marked (store_int.h). */
void lzi_scan_packed(struct lzi_scan *scan);
/* A key, as it is in the pool, as of that moment. LATZ_NOTFOUND. */
int lzi_scan_get(struct lzi_call *call, const struct lzi_scan *scan, latz_slice key, int keys_only, latz_value *value);
/* The point in time: as a version, and by the clock that deadlines count on. */
uint64_t lzi_scan_seq(const struct lzi_scan *scan);
int64_t lzi_scan_now_ms(const struct lzi_scan *scan);

/* ---- Encrypted pools (seal.c, scan_sealed.c) ------------------------------------------------------------------------
 */

int lzi_store_is_sealed(const struct lzi_store *store);
/* Bytes that a key in the pool has more than its users', at most. */
#define LZI_SEALED_KEY_MORE (6u + 16u)
/* What stands before all keys of a namespace, or with number 0 of the pool itself: bytes. */
unsigned lzi_seal_prefix(uint32_t number, uint8_t *to);
/* A key, or the name of a lock, as it is in an encrypted pool. */
int lzi_seal_key(struct lzi_call *call, uint32_t number, latz_slice key, uint8_t *to, size_t *ret_size);
/* What users have for a key of the pool; *ret_number: its namespace. to: room for key->size bytes, used if the pool is
 * encrypted. LATZ_CORRUPT. */
int lzi_key_seen(struct lzi_store *store, latz_slice *key, uint32_t *ret_number, uint8_t *to);
/* A new password, unless it is NULL; data: and a new data key, with which everything is sealed anew. */
int lzi_seal_rekey(struct lzi_call *call, const char *password, int data);
/* Scans, in the order of the keys as users have them. options are not mapped. */
struct lzi_sealed_scan;
int lzi_sealed_scan_open(struct lzi_call *call, const latz_scan_options *options, uint32_t number,
                         struct lzi_sealed_scan **ret_scan);
int lzi_sealed_scan_next(struct lzi_call *call, struct lzi_sealed_scan *scan, latz_slice *key, latz_value *value);
struct lzi_scan *lzi_sealed_scan_raw(struct lzi_sealed_scan *scan);
void lzi_sealed_scan_close(struct lzi_sealed_scan *scan);

/* ---- The change feed (watch.c). One thread at a time ---------------------------------------------------------------
 */

struct lzi_watcher;
/* number, slot: of the namespace whose keys it is about, with the prefix as it is in the pool; 0: keys of none. */
int lzi_watch_open(struct lzi_call *call, const latz_watch_options *options, uint32_t number, uint32_t slot,
                   struct lzi_watcher **ret_watch);
/* LATZ_TIMEOUT: nothing has come. */
int lzi_watch_next(struct lzi_call *call, struct lzi_watcher *watch, int64_t timeout_ms, latz_event *event);
/* The number of what comes next. */
uint64_t lzi_watch_position(struct lzi_watcher *watch);
int lzi_watch_fd(struct lzi_watcher *watch, int *ret_fd);
/* ours: 0 in a child that was forked since. */
void lzi_watch_close(struct lzi_watcher *watch, int ours);
/* ---- Transactions (txn.c). One thread at a time ---------------------------------------------------------------------
 */

struct lzi_txn;
int lzi_txn_begin(struct lzi_call *call, int reads_only, struct lzi_txn **ret_txn);
int lzi_txn_get(struct lzi_call *call, struct lzi_txn *txn, latz_slice key, latz_value *value);
/* A SET or DELETE. Key and value are copied. ret_version: NULL, or where the version goes when it is committed. */
int lzi_txn_write(struct lzi_call *call, struct lzi_txn *txn, const struct lzi_write *write, uint64_t *ret_version);
/* Commits it; lzi_txn_end() is still to be called. LATZ_CONFLICT names the key. */
int lzi_txn_end_with(struct lzi_call *call, struct lzi_txn *txn);
void lzi_txn_end(struct lzi_txn *txn);
/* All items or none, each written as `write` says. */
int lzi_store_mset(struct lzi_call *call, const struct lzi_write *write, const latz_item *items, size_t n,
                   uint64_t *ret_version);

/* ---- Durability (log.c, persist.c, restore.c) -------------------------------------------------------------------- */

int lzi_store_sync(struct lzi_call *call);
int lzi_store_persist(struct lzi_call *call, const latz_options *options);
int lzi_store_snapshot(struct lzi_call *call, const char *path, const latz_snapshot_options *options);
/* Reads a snapshot, or with !whole only its ends. */
int lzi_store_snapshot_look(const char *path, int whole, const char *password, latz_snapshot_info *ret_info);
int lzi_store_restore(const char *path, const char *name, const latz_options *options,
                      const latz_snapshot_options *snapshot_options);

/* ---- Audit logs (audit.c, audit_verify.c) ------------------------------------------------------------------------ */

int lzi_audit_status(struct lzi_call *call, latz_audit_status_t *status);
/* What entries are authenticated with. LATZ_INVALID: with nothing. */
int lzi_audit_secret(struct lzi_call *call, uint8_t ret_key[32]);
/* Keys are about to be listed, or watched, by somebody. LATZ_OK at once unless reads are written down. */
int lzi_audit_scan(struct lzi_call *call, latz_slice prefix);
/* audit_verify.c, audit_chain.c: files alone. */
int lzi_audit_verify(const char *path, const latz_audit_options *options, latz_audit_info *info);
int lzi_audit_rotate(const char *path, char *name, size_t size);

/* ---- Shared counters (counter.c) ------------------------------------------------------------------------------------
 */

/* The library's own. */
enum lzi_counter_own {
	LZI_COUNTER_GETS,
	LZI_COUNTER_SETS,
	LZI_COUNTER_LOCK_WAITS,
	LZI_COUNTERS_OWN
};

enum lzi_counter_may {
	LZI_COUNTER_FIND,  /* and change nothing for it */
	LZI_COUNTER_OWN,   /* find what the library has, when there is anything */
	LZI_COUNTER_MAKE
};
/* Finds a counter, or makes it. LATZ_NOTFOUND; LATZ_TYPE: it is of another kind. LATZ_FULL, LATZ_NOSPC. */
int lzi_counter_open(struct lzi_call *call, const char *name, const latz_counter_options *options,
                     enum lzi_counter_may may, uint32_t *ret_index, uint32_t *ret_cell);
int lzi_counter_add(struct lzi_call *call, uint32_t cell, uint64_t by);
int lzi_counter_record(struct lzi_call *call, uint32_t cell, uint64_t value);
int lzi_counter_set(struct lzi_call *call, uint32_t index, int64_t value);
/* Fills in all but size. */
int lzi_counter_read(struct lzi_call *call, uint32_t index, latz_counter_info *info);
uint32_t lzi_counter_count(struct lzi_call *call);
/* One of 256 calls of a thread, by its count of them, is timed: then these are called instead. */
static inline int lzi_counter_due(uint64_t count)
{
	return (count & 255) == 255;
}

int lzi_counter_time_get(struct lzi_call *call, latz_slice key, latz_value *value);
int lzi_counter_time_write(struct lzi_call *call, struct lzi_write *write);
/* ---- Locks (lock.c, lock_list.c, lease.c) --------------------------------------------------------------------- */

/* What is asked for. */
struct lzi_lock_ask {
	latz_slice name;
	int shared;
	int lease;         /* 1: a key's lease, not a lock */
	int readonly;      /* 1: a lease is not to be had: LATZ_READONLY */
	uint32_t handle;   /* whose end ends it */
	int64_t lease_ms;  /* 0: none */
	int64_t wait_ms;   /* 0: try once; -1: for ever */
	/* While it waits, now and then: anything but LATZ_OK ends the wait. May be NULL. */
	int (*look)(struct lzi_call *call, void *arg);
	void *arg;
};

/* What is held. */
struct lzi_lock_held {
	uint64_t token;
	uint32_t node, shard;
};

int lzi_lock_take(struct lzi_call *call, const struct lzi_lock_ask *ask, struct lzi_lock_held *ret_held);
/* LATZ_FENCED, of this and the next: it was lost. */
int lzi_lock_release(struct lzi_call *call, const struct lzi_lock_held *held);
int lzi_lock_renew(struct lzi_call *call, const struct lzi_lock_held *held, int64_t lease_ms, uint64_t *ret_end_ns);
/* *ret_end_ns: 0: it has no lease. */
int lzi_lock_look(struct lzi_call *call, const struct lzi_lock_held *held, uint64_t *ret_end_ns,
                  uint32_t *ret_lease_ms);
/* Alone, or shared again. held->token is the new one. */
int lzi_lock_upgrade(struct lzi_call *call, struct lzi_lock_held *held, int64_t wait_ms);
int lzi_lock_downgrade(struct lzi_call *call, const struct lzi_lock_held *held);
/* Everything that a handle holds. */
void lzi_lock_release_all(struct lzi_call *call, uint32_t handle);
/* 1: attached by the process that forked this one, and not by this one yet. */
int lzi_store_is_parents(const struct lzi_store *store);
int lzi_store_locks(struct lzi_call *call, latz_locks_fn fn, void *arg);
/* The value, or the lease on the key, or both: as latz_get_or_lease(). ret_held->token 0: no lease. */
int lzi_lease_get(struct lzi_call *call, const struct lzi_lock_ask *ask, int64_t stale_ms, latz_value *value,
                  struct lzi_lock_held *ret_held);

/* ---- The rest (maintain.c, verify.c, stats.c, advise.c) -------------------------------------------------------------
 */

int lzi_store_maintain(struct lzi_call *call, unsigned budget_us);
/* Bounds of the pool from now on, 0: none; what is over them is evicted. LATZ_INVALID: less than a pool can live
 * with. */
int lzi_bound_set(struct lzi_call *call, uint64_t max_bytes, uint64_t max_entries, latz_policy policy);
/* As that of options, before there is anything to do. */
int lzi_bound_valid(uint64_t max_bytes);
int lzi_store_verify(struct lzi_call *call, latz_verify_fn fn, void *arg);
int lzi_store_stats(struct lzi_call *call, latz_stats_t *stats);
int lzi_store_advise(struct lzi_call *call, const latz_advise_options *options, latz_advise_fn fn, void *arg,
                     latz_advice_t *advice);
int lzi_store_hot_keys(struct lzi_call *call, unsigned max, latz_hot_key_fn fn, void *arg);
int lzi_store_clients(struct lzi_call *call, latz_client_fn fn, void *arg);
/* The pool's default time to live: > 0 or -1. */
int64_t lzi_store_ttl(const struct lzi_store *store);

#endif
