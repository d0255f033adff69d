/*
 * AES-256-SIV (RFC 5297) of AES's single blocks. S2V is a few CMACs and doublings: with one component of associated
 * data and the text, the first two terms depend on the domain only and are kept. OpenSSL's CMAC and CTR would do as
 * well, but each begins with work of its own, of which a text of 16 bytes, one block of either, would pay twice.
 */
#include "config.h"

#include "crypt/crypt_int.h"

#include <stdlib.h>
#include <string.h>

#include <latzero/latzero.h>
#include <openssl/crypto.h>

#include "base/error.h"

#define BLOCK 16u

/* Of the counter's blocks, in one call of OpenSSL's. */
#define AT_ONCE 8u

struct lzi_siv {
	struct lzi_block *mac, *counter;
	uint8_t whole[BLOCK], padded[BLOCK]; /* CMAC's two: its last block is whole or not */
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

/* `state` with a block more. */
LZI_INLINE int chain(struct lzi_siv *siv, uint8_t state[BLOCK], const uint8_t *block)
{
	add(state, block);
	return lzi_block_seal(siv->mac, state, BLOCK, state);
}

/* CMAC (RFC 4493) of `a`, then `b`, of at most a block, which is whole if there is an `a`. */
static int cmac(struct lzi_siv *siv, const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size,
                uint8_t out[BLOCK])
{
	uint8_t end[2 * BLOCK] = { 0 };
	size_t n = a_size / BLOCK * BLOCK, i;
	int ok = 1;

	memset(out, 0, BLOCK);
	for (i = 0; ok && i < n; i += BLOCK)
		ok = chain(siv, out, a + i);
	memcpy(end, a + n, a_size - n);
	memcpy(end + (a_size - n), b, b_size);
	n = a_size - n + b_size;
	i = n > BLOCK ? BLOCK : 0;
	if (i != 0 && ok)
		ok = chain(siv, out, end);
	if (n - i == BLOCK) {
		add(out, siv->whole);
	} else {
		end[n] = 0x80;
		add(out, siv->padded);
	}
	return ok && chain(siv, out, end + i);
}

static int set_up(struct lzi_siv *siv, const uint8_t *key)
{
	static const uint8_t zero[BLOCK];
	int ok = (siv->mac = lzi_block_new(key)) != NULL &&
	         (siv->counter = lzi_block_new(key + LZI_SIV_KEY_BYTES / 2)) != NULL &&
	         lzi_block_seal(siv->mac, zero, BLOCK, siv->whole);

	twice(siv->whole);
	memcpy(siv->padded, siv->whole, BLOCK);
	twice(siv->padded);
	ok = ok && cmac(siv, zero, 0, zero, sizeof zero, siv->first);
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
	lzi_block_free(siv->mac);
	lzi_block_free(siv->counter);
	lzi_wipe(siv, sizeof *siv);
	free(siv);
}

int lzi_siv_domain(struct lzi_siv *siv, const void *domain, size_t size)
{
	if (!cmac(siv, domain, 0, domain, size, siv->domain))
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
	return cmac(siv, end, 0, end, BLOCK, tag);
}

/* Both directions. With its two bits cleared the counter's last 32 bits never carry (RFC 5297, 2.5). */
static int count(struct lzi_siv *siv, const uint8_t tag[BLOCK], const uint8_t *in, size_t size, uint8_t *out)
{
	uint8_t blocks[AT_ONCE * BLOCK];
	size_t done, n, i;
	uint32_t next;

	memcpy(&next, tag + 12, sizeof next);
	next = __builtin_bswap32(next) & 0x7fffffff;
	for (done = 0; done < size; done += n) {
		n = size - done < sizeof blocks ? size - done : sizeof blocks;
		for (i = 0; i < n; i += BLOCK) {
			uint32_t last = __builtin_bswap32(next++);

			memcpy(blocks + i, tag, BLOCK);
			blocks[i + 8] &= 0x7f;
			memcpy(blocks + i + 12, &last, sizeof last);
		}
		if (!lzi_block_seal(siv->counter, blocks, i, blocks))
			return 0;
		for (i = 0; i < n; i++)
			out[done + i] = in[done + i] ^ blocks[i];
	}
	return 1;
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
