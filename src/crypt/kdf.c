/*
 * Keys from passwords and from other keys; random ones; wiping.
 */
#include "config.h"

#include "crypt/crypt_int.h"

#include <string.h>

#include <latzero/latzero.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include "base/error.h"
#include "os/os.h"

/* What scrypt may need: 128 * N * r bytes. */
#define MEMORY_MAX (1ull << 30)
#define LOG2_N_LEAST 15u /* 32 MiB with r = 8 */
#define LOG2_N_MOST 20u

int lzi_crypt_failed(const char *what)
{
	unsigned long code = ERR_get_error();
	char text[160] = "unknown";

	if (code != 0)
		ERR_error_string_n(code, text, sizeof text);
	ERR_clear_error();
	return lzi_error(LATZ_NOMEM, "%s: libcrypto: %s", what, text);
}

int lzi_scrypt(const void *password, size_t size, const void *salt, size_t salt_size, const struct lzi_scrypt *cost,
               void *out, size_t out_size)
{
	if (cost->log2_n == 0 || cost->log2_n > LOG2_N_MOST + 4 || cost->r == 0 || cost->r > 64 || cost->p == 0 ||
	    cost->p > 64 || (128ull * cost->r << cost->log2_n) > MEMORY_MAX)
		return lzi_error(LATZ_INVALID, "scrypt with N = 2^%u, r = %u, p = %u", cost->log2_n, cost->r, cost->p);
	if (EVP_PBE_scrypt(password, size, salt, salt_size, 1ull << cost->log2_n, cost->r, cost->p, MEMORY_MAX * 2, out,
	                   out_size) == 1)
		return LATZ_OK;
	return lzi_crypt_failed("scrypt");
}

int lzi_scrypt_cost(unsigned least_ms, struct lzi_scrypt *ret_cost)
{
	struct lzi_scrypt cost = { LOG2_N_LEAST, 8, 1 };
	uint8_t out[32];
	uint64_t began;
	int rc;

	for (;; cost.log2_n++) {
		began = lzi_clock_cpu_ns();
		rc = lzi_scrypt("cost", 4, "cost", 4, &cost, out, sizeof out);
		if (rc != LATZ_OK)
			return rc;
		if ((lzi_clock_cpu_ns() - began) / 1000000 >= least_ms || cost.log2_n == LOG2_N_MOST)
			break;
	}
	*ret_cost = cost;
	return LATZ_OK;
}

int lzi_hkdf(const void *key, size_t size, const char *label, const void *context, size_t context_size, void *out,
             size_t out_size)
{
	char digest[] = "SHA256";
	OSSL_PARAM params[5], *next = params;
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *made = kdf == NULL ? NULL : EVP_KDF_CTX_new(kdf);
	int ok;

	/* The parts of the info are put together by OpenSSL. */
	*next++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0);
	*next++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)key, size);
	*next++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)label, strlen(label));
	if (context_size > 0)
		*next++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)context,
		                                            context_size);
	*next = OSSL_PARAM_construct_end();
	ok = made != NULL && EVP_KDF_derive(made, out, out_size, params) == 1;
	EVP_KDF_CTX_free(made);
	EVP_KDF_free(kdf);
	return ok ? LATZ_OK : lzi_crypt_failed("HKDF");
}

int lzi_draw(void *out, size_t size)
{
	return RAND_bytes(out, (int)size) == 1 ? LATZ_OK : lzi_crypt_failed("random bytes");
}

int lzi_draw_secret(void *out, size_t size)
{
	return RAND_priv_bytes(out, (int)size) == 1 ? LATZ_OK : lzi_crypt_failed("random bytes");
}

/* Not OPENSSL_cleanse(), which goes word by word: for a value of 10 kB that is eight times as long. */
void lzi_wipe(void *data, size_t size)
{
	if (size > 0)
		explicit_bzero(data, size);
}
