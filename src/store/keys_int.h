/*
 * Private to keys.c, rekey.c, and what copies and checks locked pools: the record of a locked pool's keys.
 */
#ifndef LZI_STORE_KEYS_INT_H
#define LZI_STORE_KEYS_INT_H

#include "store/log.h"
#include "store/seal.h"

/* Its value. LATZ_CORRUPT, LATZ_VERSION. */
int lzi_keys_parse(const void *data, size_t size, struct lzi_keys *ret_keys);
int lzi_keys_is_record(latz_slice key);
/* Its key in the pool. */
#define LZI_KEYS_RECORD_ROOM 16u
latz_slice lzi_keys_record_key(uint8_t to[LZI_KEYS_RECORD_ROOM]);
/* 1: the pool has none. */
int lzi_keys_are_gone(struct lzi_call *call);
/* How many data keys the pool has by now; 0: it has none, or they can't be read. ret_encrypted: whether values are
 * sealed with them, also in a pool that is being made, whose keys are not known yet; may be NULL.
 *
 * What copies values as they are at some moment asks before it and after the last one: lzi_seal_rekey() seals them
 * anew and leaves them their versions, so values of the moment may need a key that the record of the moment has not
 * got. The record is written before: who finds the same number has met no such value. */
unsigned lzi_keys_count(struct lzi_call *call, int *ret_encrypted);
/* Has the pool's shared words say how many. */
void lzi_keys_tell(struct lzi_store *store, const struct lzi_keys *keys);
/* What is told then within what copies: a data key came while values were copied. */
#define LZI_KEYS_AGAIN 1
/* So often it is tried; after the first time nobody but another `latzero rekey --data` can be the reason. */
#define LZI_KEYS_TRIES 3u
int lzi_keys_moved(void); /* LATZ_BUSY */
/* Costs scrypt. LATZ_AUTH, without a detail: another password. */
int lzi_keys_try(struct lzi_keys *keys, const char *password, struct lzi_secrets *secrets);
/* LATZ_NOTFOUND: there is none. ret_version: may be NULL. */
int lzi_keys_read(struct lzi_call *call, struct lzi_keys *ret_keys, uint64_t *ret_version);
/* Whether the record is what somebody with the master wrote. LATZ_CORRUPT. */
int lzi_keys_check(const struct lzi_secrets *secrets, const struct lzi_keys *keys);
/* A new data key, number n, into the record; who opens it learns of it there. */
int lzi_keys_add(const struct lzi_secrets *secrets, struct lzi_keys *keys, unsigned n);
/* The master, sealed with a password; ret_audit: what goes with it in the audit log. */
int lzi_keys_lock(const struct lzi_secrets *secrets, struct lzi_keys *keys, const char *password,
                  struct lzi_audit_seal *ret_audit);
/* version: that it must still have, or 0: there is none. LATZ_MISMATCH. */
int lzi_keys_write(struct lzi_call *call, const struct lzi_secrets *secrets, struct lzi_keys *keys, uint64_t version);

#endif
