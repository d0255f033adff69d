/*
 * Transactions. Included by <latzero/latzero.h>, which says what holds for all calls.
 */
#ifndef LATZERO_TXN_H
#define LATZERO_TXN_H

#include <latzero/latzero.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct latz_txn latz_txn;

/* Several reads and writes that happen as one, at one moment, or not at all: serializable. Optimistic: nothing is
 * locked until the commit, which fails with LATZ_CONFLICT if a key was written since the transaction read it. A death
 * at any moment, and in a durable pool a power cut, leaves all of its writes or none.
 *
 * A transaction reads as of the moment of its first read, and sees its own writes. Old versions of what others write
 * meanwhile stay in the pool until it ends, so it should be short. It belongs to one thread at a time. Several may be
 * under way in a thread, on one pool or more; they know nothing of each other: one inside another is not part of it.
 * Reads and writes of the same thread outside of it are not part of it either, and a write of a key that it has read
 * makes it conflict. So does a key's being evicted, or its deadline passing, since it was read. */

/* flags: 0 or LATZ_READONLY: a view of one moment, which never conflicts; writing is LATZ_READONLY. On success *txn is
 * to be ended with latz_txn_commit() or latz_txn_abort(), before its pool is closed (LATZ_BUSY). Waits for nobody.
 * Errors: LATZ_INVALID, LATZ_NOMEM, LATZ_CLIENTS, LATZ_DEAD. */
LATZ_API int latz_txn_begin(latz_pool *pool, unsigned flags, latz_txn **txn) LATZ_MUSTCHECK;

/* As latz_get(), as of the transaction's moment, or what the transaction itself has written (its version is 0 then).
 * The first read waits for writes under way, as latz_scan_open() does: also LATZ_TIMEOUT, LATZ_CLIENTS (1024 scans and
 * transactions that read). */
LATZ_API int latz_txn_get(latz_txn *txn, latz_slice key, latz_value *value) LATZ_MUSTCHECK;

/* As latz_set(), when the transaction commits; key and value are copied now. Conditions are looked at now, as a read of
 * the key is: a change of it until the commit is LATZ_CONFLICT. LATZ_IF_VERSION of a key that the transaction has
 * written is LATZ_MISMATCH, also of version 0. *options->version is written by the commit: it must stay where it is
 * until then. It says which version the key has then, also if LATZ_IF_CHANGED found nothing to write.
 * LATZ_DURABLE: the commit returns when all of it is on disk. Times to live count from the commit. options->fence: all
 * of the transaction is made in the name of the lock; one lock and token at most (LATZ_INVALID). If the token is not
 * the one granted when it commits, that is LATZ_FENCED. */
LATZ_API int latz_txn_set(latz_txn *txn, latz_slice key, latz_slice value,
                          const latz_set_options *options) LATZ_MUSTCHECK;

/* As latz_delete(), when the transaction commits; LATZ_OK whether or not the key is there, for it is not read. */
LATZ_API int latz_txn_delete(latz_txn *txn, latz_slice key) LATZ_MUSTCHECK;

/* Ends the transaction, whatever it returns. LATZ_OK: all of it has happened; if it wrote nothing, always. After
 * LATZ_CONFLICT, whose detail names the key, nothing has; it can be tried anew from the beginning. Writers of the same
 * keys wait while it commits. After another error nothing has happened either, but for those of the disk with
 * LATZ_DURABLE or LATZ_SYNC_ALWAYS (LATZ_IO, LATZ_NOSPC, LATZ_TIMEOUT), where it may have, in memory. Errors as
 * latz_set(); LATZ_TOOBIG over 1 048 576 writes, or more than half of max_bytes. */
LATZ_API int latz_txn_commit(latz_txn *txn) LATZ_MUSTCHECK;

/* Ends it: nothing has happened. In a forked child: frees its copy of it. NULL is LATZ_INVALID. */
LATZ_API int latz_txn_abort(latz_txn *txn);

/* What a transaction is to do. LATZ_OK: commit. Anything else: abort, and return that; but after LATZ_CONFLICT try
 * again. It must not end the transaction. */
typedef int (*latz_txn_fn)(latz_txn *txn, void *arg);

/* Runs fn in a transaction and commits, again and again until there is no conflict, each time after waiting a random
 * time that grows to 10 ms. After 10 000 conflicts, or 10 seconds and 100 of them, it is LATZ_CONFLICT. So fn may run
 * several times: what it does outside of the transaction must bear that. Errors: fn's; those of latz_txn_begin() and
 * latz_txn_commit(). */
LATZ_API int latz_txn_run(latz_pool *pool, latz_txn_fn fn, void *arg) LATZ_MUSTCHECK;

#ifdef __cplusplus
}
#endif

#endif
