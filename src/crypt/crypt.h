/*
 * Ciphers and keys, all of OpenSSL's libcrypto 3.0: AES-256-GCM for records, AES-256-SIV (RFC 5297) for what must be
 * found again, scrypt (RFC 7914) for passwords, HKDF-SHA-256 (RFC 5869) for one key from another, its DRBG for keys and
 * nonces. Nothing here knows what a pool is, nor which nonces were used: that is the caller's.
 *
 * Not thread-safe: contexts belong to one thread at a time. Functions return LATZ_OK or a code with its detail, unless
 * said otherwise; no detail contains a secret.
 */
#ifndef LZI_CRYPT_CRYPT_H
#define LZI_CRYPT_CRYPT_H

#include <stddef.h>
#include <stdint.h>

#include "base/atomic.h"

#define LZI_KEY_BYTES 32u   /* of AES-256 */
#define LZI_NONCE_BYTES 12u /* of GCM */
#define LZI_TAG_BYTES 16u   /* of GCM and SIV */

/* ---- AES-256-GCM (aead.c) ---------------------------------------------------------------------------------------- */

struct lzi_aead;

/* What is authenticated beside the text; two parts, so that neither need be copied to the other. */
struct lzi_aad {
	const void *head;
	size_t head_size;
	const void *tail;
	size_t tail_size;
};

/* NULL: no memory, or no such cipher, with the detail set. */
struct lzi_aead *lzi_aead_new(const uint8_t key[LZI_KEY_BYTES]);
/* The key is wiped. NULL is allowed. */
void lzi_aead_free(struct lzi_aead *aead);
/* `size` bytes from `in` to `out`, which may be the same; they may not overlap otherwise. The pair (key, nonce) must
 * never have been sealed with before. */
int lzi_aead_seal(struct lzi_aead *aead, const uint8_t nonce[LZI_NONCE_BYTES], const struct lzi_aad *aad,
                  const void *in, size_t size, void *out, uint8_t tag[LZI_TAG_BYTES]);
/* LATZ_CORRUPT, without a detail of its own: key, nonce, aad, text or tag is another. What stands in `out` then is
 * wiped. */
int lzi_aead_open(struct lzi_aead *aead, const uint8_t nonce[LZI_NONCE_BYTES], const struct lzi_aad *aad,
                  const void *in, size_t size, void *out, const uint8_t tag[LZI_TAG_BYTES]);
/* The same to, and from, memory that others may write meanwhile, which OpenSSL would look at twice: what it has
 * encrypted is copied there, never read again; what it decrypts was copied to `out` before. Only the tag says whether
 * anything of it was what it should be. */
int lzi_aead_seal_to(struct lzi_aead *aead, const uint8_t nonce[LZI_NONCE_BYTES], const struct lzi_aad *aad,
                     const void *in, size_t size, void *out, uint8_t tag[LZI_TAG_BYTES]);
int lzi_aead_open_from(struct lzi_aead *aead, const uint8_t nonce[LZI_NONCE_BYTES], const struct lzi_aad *aad,
                       const void *in, size_t size, void *out, const uint8_t tag[LZI_TAG_BYTES]);

/* ---- AES-256-SIV (siv.c) ----------------------------------------------------------------------------------------- */

/* Deterministic: the same text in the same domain becomes the same bytes, so that it can be looked up; that, and its
 * length, is all that the bytes tell. RFC 5297 with one component of associated data, made of OpenSSL's AES: its own
 * AES-256-SIV takes 660 ns a text of 16 bytes, since a context serves but once and has to be copied. The tests compare
 * the two. */
struct lzi_siv;
#define LZI_SIV_KEY_BYTES 64u

struct lzi_siv *lzi_siv_new(const uint8_t key[LZI_SIV_KEY_BYTES]);
void lzi_siv_free(struct lzi_siv *siv);
/* Texts sealed from now on are of this domain; at most 16 bytes. */
int lzi_siv_domain(struct lzi_siv *siv, const void *domain, size_t size);
/* LZI_TAG_BYTES + size bytes to `out`. */
int lzi_siv_seal(struct lzi_siv *siv, const void *in, size_t size, uint8_t *out);
/* `size` bytes, of which the first LZI_TAG_BYTES are the tag, to size - LZI_TAG_BYTES of `out`. LATZ_CORRUPT. */
int lzi_siv_open(struct lzi_siv *siv, const uint8_t *in, size_t size, void *out);

/* ---- Tags of two blocks (block.c) -------------------------------------------------------------------------------- */

/* CBC-MAC with AES-256 of a text that is always 32 bytes long, for which it is as good a MAC as the cipher is a cipher;
 * of texts of several lengths it is none. The key serves nothing else. */
struct lzi_tie;

struct lzi_tie *lzi_tie_new(const uint8_t key[LZI_KEY_BYTES]);
void lzi_tie_free(struct lzi_tie *tie);
int lzi_tie(struct lzi_tie *tie, const uint8_t first[LZI_TAG_BYTES], const uint8_t second[LZI_TAG_BYTES],
            uint8_t tag[LZI_TAG_BYTES]);
/* In the same time, whatever differs. */
int lzi_same_tag(const uint8_t a[LZI_TAG_BYTES], const uint8_t b[LZI_TAG_BYTES]);

/* ---- Keys (kdf.c) ------------------------------------------------------------------------------------------------ */

struct lzi_scrypt {
	uint32_t log2_n, r, p;
};

/* LATZ_NOMEM; LATZ_INVALID: parameters out of range, as those of a file that somebody changed: over 1 GiB of memory. */
int lzi_scrypt(const void *password, size_t size, const void *salt, size_t salt_size, const struct lzi_scrypt *cost,
               void *out, size_t out_size);
/* The least cost, with 32 MiB or more, that takes at least so long here: a password that is right or wrong costs that
 * much to try. */
int lzi_scrypt_cost(unsigned least_ms, struct lzi_scrypt *ret_cost);
/* HKDF-SHA-256 without salt. `label` says what the key is for. */
int lzi_hkdf(const void *key, size_t size, const char *label, const void *context, size_t context_size, void *out,
             size_t out_size);
/* From OpenSSL's DRBG; for secrets from the one that gives nothing else. */
int lzi_draw(void *out, size_t size);
int lzi_draw_secret(void *out, size_t size);
/* Stores that no compiler leaves out. */
void lzi_wipe(void *data, size_t size);

#endif
