/*
 * SHA-256 and HMAC-SHA-256, by OpenSSL's EVP.
 */
#include "config.h"

#include "crypt/digest.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <string.h>

#include "base/error.h"

static EVP_MD *sha256;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* Looked up by its name for each digest it would cost more than a short text's digest. Never freed. */
static void fetch(void)
{
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

int lzi_digest(const uint8_t *key, const void *data, size_t size, uint8_t ret_digest[LZI_DIGEST_BYTES])
{
	unsigned got = LZI_DIGEST_BYTES;

	(void)pthread_once(&once, fetch);
	if (sha256 == NULL)
		return lzi_error(LATZ_IO, "libcrypto has no SHA-256");
	if (key == NULL ? EVP_Digest(data, size, ret_digest, &got, sha256, NULL) != 1
	                : HMAC(sha256, key, LZI_DIGEST_KEY_BYTES, data, size, ret_digest, &got) == NULL)
		return lzi_error(LATZ_NOMEM, "SHA-256");
	return LATZ_OK;
}

void lzi_digest_text(const uint8_t digest[LZI_DIGEST_BYTES], char text[LZI_DIGEST_TEXT])
{
	static const char digits[] = "0123456789abcdef";
	unsigned i;

	for (i = 0; i < LZI_DIGEST_BYTES; i++) {
		text[2 * i] = digits[digest[i] >> 4];
		text[2 * i + 1] = digits[digest[i] & 15];
	}
}

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int lzi_digest_parse(const char *text, uint8_t ret_digest[LZI_DIGEST_BYTES])
{
	unsigned i;

	for (i = 0; i < LZI_DIGEST_BYTES; i++) {
		int high = digit(text[2 * i]), low = high < 0 ? -1 : digit(text[2 * i + 1]);

		if (low < 0)
			return 0;
		ret_digest[i] = (uint8_t)(high << 4 | low);
	}
	return 1;
}
