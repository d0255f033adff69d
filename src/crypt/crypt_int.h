/*
 * Private to crypt/.
 */
#ifndef LZI_CRYPT_CRYPT_INT_H
#define LZI_CRYPT_CRYPT_INT_H

#include "crypt/crypt.h"

/* AES-256 itself (block.c). NULL: no memory, or no such cipher, without a detail of its own. */
struct lzi_block;
struct lzi_block *lzi_block_new(const uint8_t key[LZI_KEY_BYTES]);
void lzi_block_free(struct lzi_block *block);
/* Whole blocks, each by itself; `in` and `out` may be the same. 0: it failed. */
int lzi_block_seal(struct lzi_block *block, const uint8_t *in, size_t size, uint8_t *out);

/* OpenSSL's first error of this thread as a detail; its queue is empty then. */
int lzi_crypt_failed(const char *what) LZI_COLD;

#endif
