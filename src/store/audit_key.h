/*
 * Private to store/: the key that entries of a locked pool's audit log are authenticated with. It follows from the
 * pool's master key, so a new password or data key changes nothing of it; the log has it sealed with the password, so
 * that whoever knows that can verify the log, the pool being there or not.
 */
#ifndef LZI_STORE_AUDIT_KEY_H
#define LZI_STORE_AUDIT_KEY_H

#include "crypt/crypt.h"
#include "format/audit.h"

/* And the one that keys are hashed with. */
int lzi_audit_key_make(const uint8_t master[LZI_KEY_BYTES], const uint8_t id[LZI_AUDIT_KEY_ID],
                       uint8_t ret_key[LZI_KEY_BYTES], uint8_t ret_names[LZI_KEY_BYTES]);
/* seal: complete but for what is sealed. from_password: of scrypt. */
int lzi_audit_key_seal(const uint8_t master[LZI_KEY_BYTES], const uint8_t from_password[LZI_KEY_BYTES],
                       struct lzi_audit_seal *seal);

/* ---- For who verifies a log: what a password opens of it ---- */

struct lzi_audit_ring;

/* NULL: no memory. */
struct lzi_audit_ring *lzi_audit_ring_new(const char *password);
void lzi_audit_ring_free(struct lzi_audit_ring *ring);
/* Costs scrypt, but for salts that were tried before. A seal that the password does not open is no error, nor is one
 * too many. */
int lzi_audit_ring_learn(struct lzi_audit_ring *ring, const struct lzi_audit_seal *seal);
/* 1: not all were tried. */
int lzi_audit_ring_is_full(const struct lzi_audit_ring *ring);
/* LZI_KEY_BYTES. NULL: not known. */
const uint8_t *lzi_audit_ring_find(const struct lzi_audit_ring *ring, const uint8_t id[LZI_AUDIT_KEY_ID]);

#endif
