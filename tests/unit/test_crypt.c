/*
 * Ciphers and keys: published vectors through our own calls, and what is made of bytes that were changed.
 */
#include "config.h"

#include <openssl/evp.h>

#include "crypt/crypt.h"
#include "lib/suite.h"

static size_t unhex(const char *hex, uint8_t *to)
{
	size_t n = 0;
	unsigned byte;

	for (; *hex != '\0'; hex += 2, n++) {
		assert_int_equal(sscanf(hex, "%2x", &byte), 1);
		to[n] = (uint8_t)byte;
	}
	return n;
}

/* NIST's GCM vectors for keys of 256 bits: test cases 13 to 16 of the specification submitted to it. */
static const struct {
	const char *key, *nonce, *aad, *text, *sealed, *tag;
} gcm[] = {
	{ "0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", "", "", "",
	  "530f8afbc74536b9a963b4f1c4cb738b" },
	{ "0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", "",
	  "00000000000000000000000000000000", "cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919" },
	{ "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888", "",
	  "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
	  "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
	  "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
	  "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad",
	  "b094dac5d93471bdec1a502270e3cc6c" },
	{ "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
	  "feedfacedeadbeeffeedfacedeadbeefabaddad2",
	  "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
	  "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
	  "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
	  "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
	  "76fc6ece0f4e1768cddf8853bb2d551b" },
};

static void gcm_vectors(void **state)
{
	uint8_t key[32], nonce[12], aad[64], text[64], sealed[64], tag[16], out[64], got[16];

	(void)state;
	for (size_t i = 0; i < sizeof gcm / sizeof *gcm; i++) {
		size_t aad_size, size;
		struct lzi_aead *aead;

		unhex(gcm[i].key, key);
		unhex(gcm[i].nonce, nonce);
		unhex(gcm[i].tag, tag);
		aad_size = unhex(gcm[i].aad, aad);
		size = unhex(gcm[i].text, text);
		assert_int_equal(unhex(gcm[i].sealed, sealed), size);
		aead = lzi_aead_new(key);
		assert_non_null(aead);
		/* Associated data in one part and in two, and the context used again. */
		for (size_t cut = 0; cut <= aad_size; cut++) {
			struct lzi_aad parts = { aad, aad_size - cut, aad + aad_size - cut, cut };

			assert_int_equal(lzi_aead_seal(aead, nonce, &parts, text, size, out, got), LATZ_OK);
			assert_memory_equal(out, sealed, size);
			assert_memory_equal(got, tag, sizeof tag);
			assert_int_equal(lzi_aead_open(aead, nonce, &parts, sealed, size, out, tag), LATZ_OK);
			assert_memory_equal(out, text, size);
		}
		lzi_aead_free(aead);
	}
}

/* A bit of any part changed: no text. */
static void gcm_refuses(void **state)
{
	uint8_t key[32] = { 7 }, bytes[12 + 20 + 40 + 16], out[40], none[40] = { 0 };
	struct lzi_aad aad = { bytes + 12, 8, bytes + 20, 12 };
	struct lzi_aead *aead = lzi_aead_new(key);

	(void)state;
	memset(bytes, 0x5a, sizeof bytes);
	assert_int_equal(lzi_aead_seal(aead, bytes, &aad, bytes + 32, 40, bytes + 32, bytes + 72), LATZ_OK);
	for (size_t bit = 0; bit < sizeof bytes * 8; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		memset(out, 1, sizeof out);
		assert_int_equal(lzi_aead_open(aead, bytes, &aad, bytes + 32, 40, out, bytes + 72), LATZ_CORRUPT);
		assert_memory_equal(out, none, sizeof out);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(lzi_aead_open(aead, bytes, &aad, bytes + 32, 40, out, bytes + 72), LATZ_OK);
	lzi_aead_free(aead);
}

/* RFC 7914, section 12. */
static const struct {
	const char *password, *salt;
	struct lzi_scrypt cost;
	const char *out;
} scrypt[] = {
	{ "", "", { 4, 1, 1 },
	  "77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442"
	  "fcd0069ded0948f8326a753a0fc81f17e8d3e0fb2e0d3628cf35e20c38d18906" },
	{ "password", "NaCl", { 10, 8, 16 },
	  "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162"
	  "2eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640" },
	{ "pleaseletmein", "SodiumChloride", { 14, 8, 1 },
	  "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
	  "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887" },
	{ "pleaseletmein", "SodiumChloride", { 20, 8, 1 },
	  "2101cb9b6a511aaeaddbbe09cf70f881ec568d574a2ffd4dabe5ee9820adaa47"
	  "8e56fd8f4ba5d09ffa1c6d927c40f4c337304049e8a952fbcbf45c6fa77a41a4" },
};

static void scrypt_vectors(void **state)
{
	uint8_t want[64], out[64];

	(void)state;
	for (size_t i = 0; i < sizeof scrypt / sizeof *scrypt; i++) {
		unhex(scrypt[i].out, want);
		assert_int_equal(lzi_scrypt(scrypt[i].password, strlen(scrypt[i].password), scrypt[i].salt,
		                            strlen(scrypt[i].salt), &scrypt[i].cost, out, sizeof out),
		                 LATZ_OK);
		assert_memory_equal(out, want, sizeof out);
	}
}

static void scrypt_bounds(void **state)
{
	static const struct lzi_scrypt bad[] = { { 0, 8, 1 }, { 25, 8, 1 }, { 15, 0, 1 }, { 15, 8, 0 },
		                                 { 15, 65, 1 }, { 15, 8, 65 }, { 24, 64, 1 }, { 63, 8, 1 } };
	struct lzi_scrypt cost;
	uint8_t out[32];

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(lzi_scrypt("p", 1, "s", 1, &bad[i], out, sizeof out), LATZ_INVALID);
	assert_int_equal(lzi_scrypt_cost(1, &cost), LATZ_OK);
	assert_true(cost.log2_n >= 15 && cost.r == 8 && cost.p == 1);
}

/* RFC 5869, test case 3: neither salt nor info. */
static void hkdf_vector(void **state)
{
	uint8_t key[22], want[42], out[42], other[42];

	(void)state;
	memset(key, 0x0b, sizeof key);
	unhex("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8", want);
	assert_int_equal(lzi_hkdf(key, sizeof key, "", NULL, 0, out, sizeof out), LATZ_OK);
	assert_memory_equal(out, want, sizeof out);
	assert_int_equal(lzi_hkdf(key, sizeof key, "other", NULL, 0, out, sizeof out), LATZ_OK);
	assert_memory_not_equal(out, want, sizeof out);
	assert_int_equal(lzi_hkdf(key, sizeof key, "other", "context", 7, other, sizeof other), LATZ_OK);
	assert_memory_not_equal(out, other, sizeof out);
}

/* OpenSSL's own AES-256-SIV. */
static void evp_siv(const uint8_t *key, const void *domain, size_t domain_size, const uint8_t *text, size_t size,
                    uint8_t *out)
{
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "AES-256-SIV", NULL);
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	int n;

	assert_int_equal(EVP_EncryptInit_ex2(context, cipher, key, NULL, NULL), 1);
	assert_int_equal(EVP_EncryptUpdate(context, NULL, &n, domain, (int)domain_size), 1);
	assert_int_equal(EVP_EncryptUpdate(context, out + 16, &n, text, (int)size), 1);
	assert_int_equal(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, out), 1);
	EVP_CIPHER_CTX_free(context);
	EVP_CIPHER_free(cipher);
}

static void siv_is_openssls(void **state)
{
	uint8_t key[64], text[300], want[316], out[316], back[300];
	const char *domains[] = { "k", "l", "k\0\0\0\7" };
	const size_t domain_sizes[] = { 1, 1, 5 };

	(void)state;
	for (size_t i = 0; i < sizeof key; i++)
		key[i] = (uint8_t)(i * 37 + 11);
	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (uint8_t)(i * 101 + 3);
	struct lzi_siv *siv = lzi_siv_new(key);
	assert_non_null(siv);
	for (size_t d = 0; d < 3; d++) {
		assert_int_equal(lzi_siv_domain(siv, domains[d], domain_sizes[d]), LATZ_OK);
		for (size_t size = 1; size <= sizeof text; size++) {
			evp_siv(key, domains[d], domain_sizes[d], text, size, want);
			assert_int_equal(lzi_siv_seal(siv, text, size, out), LATZ_OK);
			assert_memory_equal(out, want, size + 16);
			assert_int_equal(lzi_siv_open(siv, out, size + 16, back), LATZ_OK);
			assert_memory_equal(back, text, size);
		}
	}
	lzi_siv_free(siv);
}

static void siv_refuses(void **state)
{
	uint8_t key[64] = { 3 }, out[20 + 16], back[20];
	struct lzi_siv *siv = lzi_siv_new(key);

	(void)state;
	assert_int_equal(lzi_siv_domain(siv, "a", 1), LATZ_OK);
	assert_int_equal(lzi_siv_seal(siv, "twenty bytes of key!", 20, out), LATZ_OK);
	for (size_t bit = 0; bit < sizeof out * 8; bit++) {
		out[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(lzi_siv_open(siv, out, sizeof out, back), LATZ_CORRUPT);
		out[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t size = 0; size < sizeof out; size++)
		assert_int_equal(lzi_siv_open(siv, out, size, back), LATZ_CORRUPT);
	assert_int_equal(lzi_siv_domain(siv, "b", 1), LATZ_OK);
	assert_int_equal(lzi_siv_open(siv, out, sizeof out, back), LATZ_CORRUPT);
	lzi_siv_free(siv);
}

/* OpenSSL's CBC, of which the last block is the tag. */
static void tie_is_cbc(void **state)
{
	uint8_t key[32], text[32], out[32], tag[16];
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	static const uint8_t zero[16];
	struct lzi_tie *tie;
	int n;

	(void)state;
	for (size_t i = 0; i < sizeof key; i++) {
		key[i] = (uint8_t)(i * 29 + 5);
		text[i] = (uint8_t)(i * 43 + 7);
	}
	tie = lzi_tie_new(key);
	assert_non_null(tie);
	for (size_t i = 0; i < 100; i++) {
		assert_int_equal(EVP_EncryptInit_ex2(context, cipher, key, zero, NULL), 1);
		assert_int_equal(EVP_CIPHER_CTX_set_padding(context, 0), 1);
		assert_int_equal(EVP_EncryptUpdate(context, out, &n, text, sizeof text), 1);
		assert_int_equal(lzi_tie(tie, text, text + 16, tag), LATZ_OK);
		assert_memory_equal(tag, out + 16, sizeof tag);
		assert_true(lzi_same_tag(tag, out + 16));
		tag[i % 16] ^= (uint8_t)(1 << i % 8);
		assert_false(lzi_same_tag(tag, out + 16));
		memcpy(text, out, sizeof text);
	}
	lzi_tie_free(tie);
	EVP_CIPHER_CTX_free(context);
	EVP_CIPHER_free(cipher);
}

/* What is only authenticated comes in one part or in two, of any length: it is the same. */
static void aad_in_parts(void **state)
{
	static const size_t sizes[] = { 1, 16, 127, 128, 129, 300 };
	uint8_t key[32] = { 9 }, nonce[12] = { 0 }, about[300], tag[16], want_tag[16], out[16];
	struct lzi_aead *aead = lzi_aead_new(key);

	(void)state;
	for (size_t i = 0; i < sizeof about; i++)
		about[i] = (uint8_t)(i * 7 + 1);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		const struct lzi_aad whole = { about, sizes[i], NULL, 0 };

		assert_int_equal(lzi_aead_seal(aead, nonce, &whole, "text", 4, out, want_tag), LATZ_OK);
		for (size_t head = 0; head <= sizes[i]; head++) {
			const struct lzi_aad parts = { about, head, about + head, sizes[i] - head };

			assert_int_equal(lzi_aead_seal(aead, nonce, &parts, "text", 4, out, tag), LATZ_OK);
			assert_memory_equal(tag, want_tag, sizeof tag);
		}
	}
	lzi_aead_free(aead);
}

/* Of all lengths about the step in which others' memory is copied: as of memory of one's own. */
static void others_memory(void **state)
{
	static uint8_t text[10000], want[10000], out[10000];
	static const size_t sizes[] = { 0, 1, 100, 1535, 1536, 1537, 3072, 3073, 10000 };
	uint8_t key[32] = { 9 }, nonce[12] = { 0 }, tag[16], want_tag[16];
	const struct lzi_aad aad = { "head", 4, "tail", 4 };
	struct lzi_aead *aead = lzi_aead_new(key);

	(void)state;
	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (uint8_t)(i * 31 + i / 256);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		nonce[0] = (uint8_t)i;
		assert_int_equal(lzi_aead_seal(aead, nonce, &aad, text, sizes[i], want, want_tag), LATZ_OK);
		assert_int_equal(lzi_aead_seal_to(aead, nonce, &aad, text, sizes[i], out, tag), LATZ_OK);
		assert_memory_equal(tag, want_tag, sizeof tag);
		assert_memory_equal(out, want, sizes[i]);
		assert_int_equal(lzi_aead_open_from(aead, nonce, &aad, want, sizes[i], out, tag), LATZ_OK);
		assert_memory_equal(out, text, sizes[i]);
		tag[i] ^= 1;
		assert_int_equal(lzi_aead_open_from(aead, nonce, &aad, want, sizes[i], out, tag), LATZ_CORRUPT);
		for (size_t at = 0; at < sizes[i]; at++)
			assert_int_equal(out[at], 0);
	}
	lzi_aead_free(aead);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gcm_vectors),    cmocka_unit_test(gcm_refuses), cmocka_unit_test(scrypt_vectors),
		cmocka_unit_test(scrypt_bounds),  cmocka_unit_test(hkdf_vector),
		cmocka_unit_test(siv_is_openssls), cmocka_unit_test(siv_refuses),
		cmocka_unit_test(tie_is_cbc),     cmocka_unit_test(aad_in_parts),
		cmocka_unit_test(others_memory),
	};

	return suite_run(tests);
}
