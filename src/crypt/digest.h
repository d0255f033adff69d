/*
 * SHA-256 and HMAC-SHA-256 of OpenSSL's libcrypto, and digests as text. Knows nothing of what is digested.
 */
#ifndef LZI_CRYPT_DIGEST_H
#define LZI_CRYPT_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define LZI_DIGEST_BYTES 32u
#define LZI_DIGEST_KEY_BYTES 32u
#define LZI_DIGEST_TEXT 64u /* in hexadecimal, without a NUL */

/* key NULL: SHA-256; else HMAC-SHA-256 with LZI_DIGEST_KEY_BYTES of key. Thread-safe. LATZ_IO: the library has no such
 * digest; LATZ_NOMEM. */
int lzi_digest(const uint8_t *key, const void *data, size_t size, uint8_t ret_digest[LZI_DIGEST_BYTES]);

/* Lower-case, no NUL. */
void lzi_digest_text(const uint8_t digest[LZI_DIGEST_BYTES], char text[LZI_DIGEST_TEXT]);
/* 0 unless it is just that: 64 lower-case digits. */
int lzi_digest_parse(const char *text, uint8_t ret_digest[LZI_DIGEST_BYTES]);

#endif
