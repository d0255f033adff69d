/*
 * Locks with fencing tokens, and single-flight: part of <latzero/latzero.h>, which says what holds for all calls.
 */
#ifndef LATZERO_LOCK_H
#define LATZERO_LOCK_H

#include <latzero/latzero.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Locks ------------------------------------------------------------------------------------------------------ */

/* A lock is a name, 1 to 32 767 bytes of any kind, that has nothing to do with a key of that name. A process may hold
 * it alone, or share it with others. It owns it until it gives it back, until the lease is over, or until it ends,
 * however it ends: then, when the kernel has marked its death, which it does at once, the next one has it within some
 * 20 ms. It may be given back by another thread than the one that took it, and it stays when that one ends. Waiting is
 * in order of arrival, those who share together; so nobody is overtaken for good. Leases count on a clock that nobody
 * sets. The locks of a pool take 128 bytes each of its files, and count to its max_bytes. */

/* A lock that is held. Start from LATZ_LOCK_INIT or zeroes; one thread at a time. A forked child does not own what its
 * parent holds: there its copy can only be given back, which costs the parent nothing. */
typedef struct latz_lock_t {
	uint64_t token; /* larger than that of every grant before, of any lock of the pool, over restarts of a durable
	                 * pool too; 0: holds nothing */
	latz_pool *pool; /* the library's own, as are the next */
	uint32_t node, shard;
	unsigned fork_count;
	int fd; /* + 1 */
} latz_lock_t;

/* clang-format off */
#define LATZ_LOCK_INIT { 0, NULL, 0, 0, 0, 0 }
/* clang-format on */

/* Set size to sizeof(latz_lock_options). */
typedef struct latz_lock_options {
	size_t size;
	int shared;       /* 0: alone; 1: with others who share it */
	int64_t lease_ms; /* after so many milliseconds others may have it, at most 49 days; 0: as long as we live */
	int64_t wait_ms;  /* 0: try once; -1: for ever */
} latz_lock_options;

/* clang-format off */
#define LATZ_LOCK_OPTIONS_INIT { sizeof(latz_lock_options), 0, 0, 0 }
/* clang-format on */

/* Takes a lock; *lock must hold nothing. options may be NULL. Blocks for wait_ms at most. A thread that holds the lock
 * already waits for itself, unless both are shared. Errors: LATZ_BUSY (wait_ms 0, and others have it, or the caller
 * itself), LATZ_TIMEOUT (they had it all the time; latz_error_detail() names the pid of one), LATZ_DEADLOCK (threads
 * wait for each other in a circle, and this one came last), LATZ_INVALID, LATZ_TOOBIG (name), LATZ_NOSPC, LATZ_FULL,
 * LATZ_NOMEM, LATZ_CLIENTS, LATZ_READONLY, LATZ_DEAD, LATZ_CORRUPT, LATZ_IO. */
LATZ_API int latz_lock(latz_pool *pool, latz_slice name, const latz_lock_options *options,
                       latz_lock_t *lock) LATZ_MUSTCHECK;

/* A lease of lease_ms from now on; 0: none any more. LATZ_FENCED: the lock is lost already. */
LATZ_API int latz_lock_renew(latz_lock_t *lock, int64_t lease_ms) LATZ_MUSTCHECK;

/* Has a shared lock alone, when all others have given it back; those who wait do so behind. The token is a new one, of
 * which lock->token tells, also when it fails. The lease begins anew. If two do it one gets LATZ_DEADLOCK and has to
 * give back what it has. Does nothing if the lock is held alone. Errors as latz_lock(), with what was held still held;
 * LATZ_FENCED: it is not. */
LATZ_API int latz_lock_upgrade(latz_lock_t *lock, int64_t wait_ms) LATZ_MUSTCHECK;

/* Shares a lock that was held alone. The token stays. LATZ_FENCED. */
LATZ_API int latz_lock_downgrade(latz_lock_t *lock) LATZ_MUSTCHECK;

/* LATZ_OK, and what is left of the lease, -1 if there is none; or LATZ_FENCED: the lock is lost. remaining_ms may be
 * NULL. */
LATZ_API int latz_lock_status(latz_lock_t *lock, int64_t *remaining_ms) LATZ_MUSTCHECK;

/* A descriptor for poll() that is readable when two thirds of the lease are over, until it is renewed; without a lease
 * never. It belongs to the lock, which closes it; nothing needs to be read. Negative: an error. */
LATZ_API int latz_lock_fd(latz_lock_t *lock) LATZ_MUSTCHECK;

/* Gives the lock back, whatever is returned; *lock holds nothing then. LATZ_FENCED: it had been lost. LATZ_INVALID if
 * it holds nothing. latz_close() gives back what was taken through its handle; the structs must not be used after. */
LATZ_API int latz_unlock(latz_lock_t *lock);

/* A grant, or a wait for one. */
typedef struct latz_lock_info {
	size_t size;     /* bytes of this struct that the library filled in */
	latz_slice name; /* its first 28 bytes; valid during the callback. In an encrypted pool none if it has over 11,
	                  * or in a namespace 6 */
	int cut;         /* 1: it is longer */
	int lease;       /* 1: no lock, but a key's lease (latz_get_or_lease()): the name is the key */
	int shared;
	int waiting;     /* 1: for the lock; or, with a token, for having it alone */
	uint64_t token;  /* 0: not granted */
	int64_t pid;     /* as latz_client_info's */
	int64_t remaining_ms; /* of the lease; -1: none */
} latz_lock_info;

/* A non-zero return ends the call and is returned. */
typedef int (*latz_locks_fn)(const latz_lock_info *info, void *arg);

/* Calls fn for everything that is locked, and everybody who waits: in the handle's namespace, or through the pool's
 * handle in none. */
LATZ_API int latz_locks(latz_pool *pool, latz_locks_fn fn, void *arg) LATZ_MUSTCHECK;

/* ---- Single-flight ---------------------------------------------------------------------------------------------- */

/* The right, and the duty, to compute a key's value. Start from LATZ_LEASE_INIT or zeroes; one thread at a time. */
typedef struct latz_lease {
	latz_lock_t lock; /* its token; 0: holds nothing */
	void *key;        /* the library's own, as are the next */
	size_t key_size;
	int64_t stale_ms;
} latz_lease;

/* clang-format off */
#define LATZ_LEASE_INIT { LATZ_LOCK_INIT, NULL, 0, 0 }
/* clang-format on */

/* Set size to sizeof(latz_lease_options). */
typedef struct latz_lease_options {
	size_t size;
	int64_t wait_ms;  /* while another computes: 0: not at all; -1: as long as it takes */
	int64_t lease_ms; /* who has not filled it after so long loses it to the next; 0: only by its end */
	int64_t stale_ms; /* a value is still used for so long after its time to live, while one computes the next */
} latz_lease_options;

/* clang-format off */
#define LATZ_LEASE_OPTIONS_INIT { sizeof(latz_lease_options), 0, 0, 0 }
/* clang-format on */

/* The key's value; or the lease on it, to one caller of all:
 * LATZ_OK, lease->lock.token 0: *value is the key's; it may be stale, if another is computing the next.
 * LATZ_OK, lease->lock.token not 0: *value is stale, and the caller is asked for the next one.
 * LATZ_NOTFOUND, lease->lock.token not 0: there is none, and the caller is asked for it.
 * Who holds a lease ends it with latz_lease_fill() or latz_lease_drop(). If its process dies, it passes on to the next
 * who waits. A value is stale when less than stale_ms of the time are left that latz_lease_fill() gave it.
 * options may be NULL. *lease must hold nothing. Otherwise as latz_lock(): LATZ_BUSY, LATZ_TIMEOUT and LATZ_DEADLOCK
 * are about who computes. A handle opened with LATZ_READONLY gets values that are not stale, else LATZ_READONLY. */
LATZ_API int latz_get_or_lease(latz_pool *pool, latz_slice key, const latz_lease_options *options, latz_value *value,
                               latz_lease *lease) LATZ_MUSTCHECK;

/* Writes the value and ends the lease, whatever is returned. Options as latz_set()'s, may be NULL; ttl_ms, or the
 * pool's default, is how long it is not stale: the key lives stale_ms longer. LATZ_FENCED, and nothing is written: the
 * lease was lost. Other errors as latz_set(); then nothing is written, and the next one is asked. */
LATZ_API int latz_lease_fill(latz_lease *lease, latz_slice value, const latz_set_options *options) LATZ_MUSTCHECK;

/* Ends a lease without a value: the next one is asked. LATZ_FENCED: it was lost. */
LATZ_API int latz_lease_drop(latz_lease *lease);

#ifdef __cplusplus
}
#endif

#endif
