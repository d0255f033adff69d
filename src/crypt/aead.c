/*
 * AES-256-GCM. A context keeps the expanded key, one for each direction: setting it up costs more than sealing a small
 * record.
 */
#include "config.h"

#include "crypt/crypt_int.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <latzero/latzero.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "base/error.h"

/* OpenSSL counts in int; what is longer goes in parts. */
#define PART (1u << 30)
/* What is copied at a time, to and from memory that others may write. Not more lines than a core asks for at once, so
 * that they come while the cipher is at work; OpenSSL takes six blocks at a time: a multiple of that, and of a line. */
#define STEP 1536u
/* Up to which what is only authenticated is put together: another call costs more. */
#define AAD_JOINED 128u

struct lzi_aead {
	EVP_CIPHER_CTX *in, *out;
};

static EVP_CIPHER_CTX *context(const uint8_t *key, int seal)
{
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	EVP_CIPHER_CTX *made = cipher == NULL ? NULL : EVP_CIPHER_CTX_new();

	if (made != NULL && EVP_CipherInit_ex2(made, cipher, key, NULL, seal, NULL) != 1) {
		EVP_CIPHER_CTX_free(made);
		made = NULL;
	}
	EVP_CIPHER_free(cipher);
	return made;
}

struct lzi_aead *lzi_aead_new(const uint8_t key[LZI_KEY_BYTES])
{
	struct lzi_aead *aead = calloc(1, sizeof *aead);

	if (aead == NULL) {
		(void)lzi_error(LATZ_NOMEM, "cipher");
		return NULL;
	}
	aead->in = context(key, 1);
	aead->out = context(key, 0);
	if (aead->in != NULL && aead->out != NULL)
		return aead;
	lzi_aead_free(aead);
	(void)lzi_crypt_failed("AES-256-GCM");
	return NULL;
}

void lzi_aead_free(struct lzi_aead *aead)
{
	if (aead == NULL)
		return;
	EVP_CIPHER_CTX_free(aead->in);
	EVP_CIPHER_CTX_free(aead->out);
	free(aead);
}

/* The same steps in both directions. */
LZI_INLINE int begin(EVP_CIPHER_CTX *context, const uint8_t *nonce, const struct lzi_aad *aad)
{
	size_t size = aad->head_size + aad->tail_size;
	uint8_t joined[AAD_JOINED];
	int n;

	if (lzi_unlikely(EVP_CipherInit_ex2(context, NULL, NULL, nonce, -1, NULL) != 1))
		return 0;
	if (lzi_unlikely(size > sizeof joined || aad->tail_size == 0))
		return EVP_CipherUpdate(context, NULL, &n, aad->head, (int)aad->head_size) == 1 &&
		       (aad->tail_size == 0 ||
		        EVP_CipherUpdate(context, NULL, &n, aad->tail, (int)aad->tail_size) == 1);
	memcpy(joined, aad->head, aad->head_size);
	memcpy(joined + aad->head_size, aad->tail, aad->tail_size);
	return EVP_CipherUpdate(context, NULL, &n, joined, (int)size) == 1;
}

LZI_INLINE int text(EVP_CIPHER_CTX *context, const uint8_t *in, size_t size, uint8_t *out)
{
	int n;

	for (; lzi_unlikely(size > PART); size -= PART, in += PART, out += PART) {
		if (EVP_CipherUpdate(context, out, &n, in, PART) != 1)
			return 0;
	}
	return size == 0 || EVP_CipherUpdate(context, out, &n, in, (int)size) == 1;
}

/* The control call for tags makes the same of what it is given, and takes longer. */
LZI_INLINE OSSL_PARAM tag_of(const uint8_t *tag)
{
	return OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, (void *)(uintptr_t)tag, LZI_TAG_BYTES);
}

/* The text is through: *tag of it. */
LZI_INLINE int sealed(struct lzi_aead *aead, int ok, uint8_t tag[LZI_TAG_BYTES])
{
	OSSL_PARAM params[2] = { tag_of(tag), OSSL_PARAM_construct_end() };
	uint8_t none[LZI_TAG_BYTES];
	int n;

	if (lzi_likely(ok && EVP_CipherFinal_ex(aead->in, none, &n) == 1 &&
	               EVP_CIPHER_CTX_get_params(aead->in, params) == 1))
		return LATZ_OK;
	return lzi_crypt_failed("sealing");
}

/* Likewise: is it the right one? */
LZI_INLINE int opened(struct lzi_aead *aead, int ok, void *out, size_t size, const uint8_t tag[LZI_TAG_BYTES])
{
	OSSL_PARAM params[2] = { tag_of(tag), OSSL_PARAM_construct_end() };
	uint8_t none[LZI_TAG_BYTES];
	int n;

	if (lzi_unlikely(!ok || EVP_CIPHER_CTX_set_params(aead->out, params) != 1)) {
		lzi_wipe(out, size);
		return lzi_crypt_failed("opening");
	}
	if (lzi_likely(EVP_CipherFinal_ex(aead->out, none, &n) == 1))
		return LATZ_OK;
	lzi_wipe(out, size);
	return LATZ_CORRUPT;
}

int lzi_aead_seal(struct lzi_aead *aead, const uint8_t nonce[LZI_NONCE_BYTES], const struct lzi_aad *aad,
                  const void *in, size_t size, void *out, uint8_t tag[LZI_TAG_BYTES])
{
	return sealed(aead, begin(aead->in, nonce, aad) && text(aead->in, in, size, out), tag);
}

int lzi_aead_open(struct lzi_aead *aead, const uint8_t nonce[LZI_NONCE_BYTES], const struct lzi_aad *aad,
                  const void *in, size_t size, void *out, const uint8_t tag[LZI_TAG_BYTES])
{
	return opened(aead, begin(aead->out, nonce, aad) && text(aead->out, in, size, out), out, size, tag);
}

/* ---- Between memory of our own and memory that others may write -------------------------------------------------- */

/* Lines that nobody here has in a cache come while the cipher is at work. */
static inline void ask_for(const uint8_t *at, size_t size)
{
	const uint8_t *end = at + (size < STEP ? size : STEP);

	for (; at < end; at += 64)
		lzi_prefetch(at);
}

/* Not knowing the most that n may be, compilers call the C library's, which is faster by far for a step than what they
 * put in its place. */
static inline void copy(uint8_t *to, const uint8_t *from, size_t n)
{
	__asm__("" : "+r"(n));
	memcpy(to, from, n);
}

int lzi_aead_seal_to(struct lzi_aead *aead, const uint8_t nonce[LZI_NONCE_BYTES], const struct lzi_aad *aad,
                     const void *in, size_t size, void *out, uint8_t tag[LZI_TAG_BYTES])
{
	const uint8_t *from = in;
	uint8_t *to = out, part[STEP];
	size_t left, n;
	int ok = begin(aead->in, nonce, aad);

	for (left = size; ok && left > 0; left -= n, from += n, to += n) {
		n = left < STEP ? left : STEP;
		ask_for(to, n);
		ok = text(aead->in, from, n, part);
		copy(to, part, n);
	}
	return sealed(aead, ok, tag);
}

int lzi_aead_open_from(struct lzi_aead *aead, const uint8_t nonce[LZI_NONCE_BYTES], const struct lzi_aad *aad,
                       const void *in, size_t size, void *out, const uint8_t tag[LZI_TAG_BYTES])
{
	const uint8_t *from = in;
	uint8_t *to = out;
	size_t left, n;
	int ok;

	ask_for(from, size);
	ok = begin(aead->out, nonce, aad);
	for (left = size; ok && left > 0; left -= n, from += n, to += n) {
		n = left < STEP ? left : STEP;
		lzi_racy_reads_begin();
		copy(to, from, n);
		lzi_racy_reads_end();
		ask_for(from + n, left - n);
		ok = text(aead->out, to, n, to);
	}
	return opened(aead, ok, out, size, tag);
}
