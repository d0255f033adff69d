/*
 * Private to keys.c, rekey.c and snapshot_check.c: the record of a locked pool's keys.
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
