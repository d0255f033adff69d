/*
 * AES-256 of single blocks, the key expanded once: what SIV and the tags of two blocks are made of. The bare cipher is
 * nothing to encrypt a text with; it stays in crypt/.
 */
#include "config.h"

#include "crypt/crypt_int.h"

#include <stdlib.h>
#include <string.h>

#include <latzero/latzero.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/error.h"

struct lzi_block *lzi_block_new(const uint8_t key[LZI_KEY_BYTES])
{
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "AES-256-ECB", NULL);
	EVP_CIPHER_CTX *made = cipher == NULL ? NULL : EVP_CIPHER_CTX_new();

	if (made != NULL && (EVP_EncryptInit_ex2(made, cipher, key, NULL, NULL) != 1 ||
	                     EVP_CIPHER_CTX_set_padding(made, 0) != 1)) {
		EVP_CIPHER_CTX_free(made);
		made = NULL;
	}
	EVP_CIPHER_free(cipher);
	return (struct lzi_block *)made;
}

void lzi_block_free(struct lzi_block *block)
{
	EVP_CIPHER_CTX_free((EVP_CIPHER_CTX *)block);
}

int lzi_block_seal(struct lzi_block *block, const uint8_t *in, size_t size, uint8_t *out)
{
	int n;

	return EVP_EncryptUpdate((EVP_CIPHER_CTX *)block, out, &n, in, (int)size) == 1;
}

/* ---- Tags of two blocks ------------------------------------------------------------------------------------------ */

struct lzi_tie *lzi_tie_new(const uint8_t key[LZI_KEY_BYTES])
{
	struct lzi_block *block = lzi_block_new(key);

	if (block == NULL)
		(void)lzi_crypt_failed("AES-256");
	return (struct lzi_tie *)block;
}

void lzi_tie_free(struct lzi_tie *tie)
{
	lzi_block_free((struct lzi_block *)tie);
}

int lzi_tie(struct lzi_tie *tie, const uint8_t first[LZI_TAG_BYTES], const uint8_t second[LZI_TAG_BYTES],
            uint8_t tag[LZI_TAG_BYTES])
{
	struct lzi_block *block = (struct lzi_block *)tie;
	uint8_t state[LZI_TAG_BYTES];
	unsigned i;

	if (lzi_unlikely(!lzi_block_seal(block, first, sizeof state, state)))
		return lzi_crypt_failed("a tag");
	for (i = 0; i < sizeof state; i++)
		state[i] ^= second[i];
	return lzi_likely(lzi_block_seal(block, state, sizeof state, tag)) ? LATZ_OK : lzi_crypt_failed("a tag");
}

int lzi_same_tag(const uint8_t a[LZI_TAG_BYTES], const uint8_t b[LZI_TAG_BYTES])
{
	return CRYPTO_memcmp(a, b, LZI_TAG_BYTES) == 0;
}
