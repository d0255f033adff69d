/*
 * AES-256-SIV (RFC 5297). Its S2V is a few CMACs and doublings: with one component of associated data and the text, the
 * first two terms depend on the domain only and are kept.
 */
#include "config.h"

#include "crypt/crypt_int.h"

#include <stdlib.h>
#include <string.h>

#include <latzero/latzero.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "base/error.h"

#define BLOCK 16u

struct lzi_siv {
	EVP_MAC_CTX *mac;
	EVP_CIPHER_CTX *counter;
	uint8_t first[BLOCK]; /* CMAC of a block of zeros, doubled */
	uint8_t domain[BLOCK]; /* and with the domain's CMAC */
};

/* Multiplication by x in GF(2^128), as RFC 5297 numbers its bits. */
static void twice(uint8_t block[BLOCK])
{
	unsigned carry = block[0] >> 7, i;

	for (i = 0; i + 1 < BLOCK; i++)
		block[i] = (uint8_t)(block[i] << 1 | block[i + 1] >> 7);
	block[BLOCK - 1] = (uint8_t)(block[BLOCK - 1] << 1 ^ (0x87 & (0u - carry)));
}

static void add(uint8_t *to, const uint8_t *with)
{
	unsigned i;

	for (i = 0; i < BLOCK; i++)
		to[i] ^= with[i];
}

static int cmac(struct lzi_siv *siv, const void *a, size_t a_size, const void *b, size_t b_size, uint8_t out[BLOCK])
{
	size_t n;

	return EVP_MAC_init(siv->mac, NULL, 0, NULL) == 1 &&
	       (a_size == 0 || EVP_MAC_update(siv->mac, a, a_size) == 1) &&
	       EVP_MAC_update(siv->mac, b, b_size) == 1 && EVP_MAC_final(siv->mac, out, &n, BLOCK) == 1;
}

static int set_up(struct lzi_siv *siv, const uint8_t *key)
{
	static const uint8_t zero[BLOCK];
	char name[] = "AES-256-CBC";
	const OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_CIPHER, name, 0),
		                      OSSL_PARAM_construct_end() };
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "AES-256-CTR", NULL);
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "CMAC", NULL);
	int ok = cipher != NULL && mac != NULL;

	ok = ok && (siv->mac = EVP_MAC_CTX_new(mac)) != NULL && (siv->counter = EVP_CIPHER_CTX_new()) != NULL &&
	     EVP_MAC_init(siv->mac, key, LZI_SIV_KEY_BYTES / 2, params) == 1 &&
	     EVP_EncryptInit_ex2(siv->counter, cipher, key + LZI_SIV_KEY_BYTES / 2, zero, NULL) == 1 &&
	     cmac(siv, NULL, 0, zero, sizeof zero, siv->first);
	EVP_CIPHER_free(cipher);
	EVP_MAC_free(mac);
	twice(siv->first);
	return ok;
}

struct lzi_siv *lzi_siv_new(const uint8_t key[LZI_SIV_KEY_BYTES])
{
	struct lzi_siv *siv = calloc(1, sizeof *siv);

	if (siv == NULL) {
		(void)lzi_error(LATZ_NOMEM, "cipher");
		return NULL;
	}
	if (set_up(siv, key) && lzi_siv_domain(siv, "", 0) == LATZ_OK)
		return siv;
	lzi_siv_free(siv);
	(void)lzi_crypt_failed("AES-256-SIV");
	return NULL;
}

void lzi_siv_free(struct lzi_siv *siv)
{
	if (siv == NULL)
		return;
	EVP_MAC_CTX_free(siv->mac);
	EVP_CIPHER_CTX_free(siv->counter);
	lzi_wipe(siv, sizeof *siv);
	free(siv);
}

int lzi_siv_domain(struct lzi_siv *siv, const void *domain, size_t size)
{
	if (!cmac(siv, NULL, 0, domain, size, siv->domain))
		return lzi_crypt_failed("CMAC");
	add(siv->domain, siv->first);
	return LATZ_OK;
}

/* S2V's last step. */
static int synthetic(struct lzi_siv *siv, const uint8_t *text, size_t size, uint8_t tag[BLOCK])
{
	uint8_t end[BLOCK];

	if (size >= BLOCK) {
		memcpy(end, text + size - BLOCK, BLOCK);
		add(end, siv->domain);
		return cmac(siv, text, size - BLOCK, end, BLOCK, tag);
	}
	memcpy(end, siv->domain, BLOCK);
	twice(end);
	for (size_t i = 0; i < size; i++)
		end[i] ^= text[i];
	end[size] ^= 0x80;
	return cmac(siv, NULL, 0, end, BLOCK, tag);
}

/* Both directions. */
static int count(struct lzi_siv *siv, const uint8_t tag[BLOCK], const uint8_t *in, size_t size, uint8_t *out)
{
	uint8_t start[BLOCK];
	int n;

	memcpy(start, tag, BLOCK);
	start[8] &= 0x7f;
	start[12] &= 0x7f;
	return EVP_EncryptInit_ex2(siv->counter, NULL, NULL, start, NULL) == 1 &&
	       EVP_EncryptUpdate(siv->counter, out, &n, in, (int)size) == 1;
}

int lzi_siv_seal(struct lzi_siv *siv, const void *in, size_t size, uint8_t *out)
{
	if (lzi_likely(synthetic(siv, in, size, out) && count(siv, out, in, size, out + BLOCK)))
		return LATZ_OK;
	return lzi_crypt_failed("sealing a key");
}

int lzi_siv_open(struct lzi_siv *siv, const uint8_t *in, size_t size, void *out)
{
	uint8_t tag[BLOCK];

	if (size < BLOCK)
		return LATZ_CORRUPT;
	if (!count(siv, in, in + BLOCK, size - BLOCK, out) || !synthetic(siv, out, size - BLOCK, tag))
		return lzi_crypt_failed("opening a key");
	if (lzi_likely(CRYPTO_memcmp(tag, in, BLOCK) == 0))
		return LATZ_OK;
	lzi_wipe(out, size - BLOCK);
	return LATZ_CORRUPT;
}
