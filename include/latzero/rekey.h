/*
 * latzero: new keys for locked pools. Included by <latzero/latzero.h>.
 */
#ifndef LATZERO_REKEY_H
#define LATZERO_REKEY_H

#include <latzero/latzero.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct latz_rekey_options {
	size_t size;          /* sizeof(latz_rekey_options) */
	const char *password; /* the new one, 1 to 1024 bytes; NULL: it stays */
	int data_key;         /* 1: a new data key too, with which every value is sealed anew; of encrypted pools */
} latz_rekey_options;

#define LATZ_REKEY_OPTIONS_INIT { sizeof(latz_rekey_options), NULL, 0 }

/* Changes the password of a pool that was opened with its present one, at once: from when this returns the old one
 * opens it no more. Who has it open goes on. Snapshots, and what was copied of the pool's files, keep the password they
 * had; so does what stands in the log until its next checkpoint.
 *
 * data_key: all who write use a new data key from then on, and this call goes over all values, while others work; their
 * versions stay. It takes as long as reading and writing them once; a pool can have 16 data keys in its life, then it
 * is LATZ_FULL, and nothing is changed (doc/security.md says what to do). If it fails in between, values of both keys
 * are in the pool, which all can be read, and it may be called again.
 *
 * Blocks. Thread-safe. LATZ_INVALID: the pool has no password, or data_key and it is not encrypted, or there is nothing
 * to change; LATZ_READONLY; LATZ_FULL; LATZ_BUSY: others are changing keys at this moment; what writing returns. */
LATZ_API int latz_rekey(latz_pool *pool, const latz_rekey_options *options) LATZ_MUSTCHECK;

#ifdef __cplusplus
}
#endif

#endif
