/*
 * crypt/digest: SHA-256 (FIPS 180-4), HMAC-SHA-256 (RFC 4231), digests as text and back; lines of an audit log that
 * have the form of an entry, and such that have not.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "crypt/digest.h"
#include "format/audit.h"

static void assert_digest(const uint8_t *key, const char *text, const char *want)
{
	uint8_t digest[LZI_DIGEST_BYTES], again[LZI_DIGEST_BYTES];
	char got[LZI_DIGEST_TEXT + 1] = "";

	assert_int_equal(lzi_digest(key, text, strlen(text), digest), LATZ_OK);
	lzi_digest_text(digest, got);
	assert_string_equal(got, want);
	assert_int_equal(lzi_digest_parse(got, again), 1);
	assert_memory_equal(again, digest, sizeof digest);
}

static void published_vectors(void **state)
{
	/* Keys shorter than a block are filled up with zeros. */
	uint8_t key[LZI_DIGEST_KEY_BYTES] = "Jefe", eleven[LZI_DIGEST_KEY_BYTES] = { 0 };

	(void)state;
	memset(eleven, 0x0b, 20);
	assert_digest(NULL, "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	assert_digest(NULL, "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_digest(NULL, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
	              "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	assert_digest(key, "what do ya want for nothing?",
	              "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	assert_digest(eleven, "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
}

static void no_digests(void **state)
{
	char text[LZI_DIGEST_TEXT + 1];
	uint8_t digest[LZI_DIGEST_BYTES];

	(void)state;
	memset(text, 'a', sizeof text);
	assert_int_equal(lzi_digest_parse(text, digest), 1);
	for (unsigned i = 0; i < LZI_DIGEST_TEXT; i++) {
		text[i] = i % 2 ? 'A' : 'g';
		assert_int_equal(lzi_digest_parse(text, digest), 0);
		text[i] = 'a';
	}
}

#define DIGITS "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define REST ",\"time\":\"2026-11-21T18:59:14.363Z\",\"event\":\"open\""
#define HEAD "{\"seq\":7" REST
#define PREV ",\"prev\":\"" DIGITS "\""
#define HASH ",\"hash\":\"" DIGITS "\"}"

static void forms_of_lines(void **state)
{
	static const char *const good = HEAD ",\"pool\":\"p\"" PREV HASH;
	static const char *const keyed = HEAD PREV ",\"mac\":\"" DIGITS "\"" HASH;
	static const char *const bad[] = {
		"",
		"{",
		"{\"seq\":",
		HEAD,
		PREV HASH,
		HEAD HASH,
		HEAD PREV,
		"{\"seq\":0" PREV HASH,
		"{\"seq\":07" REST PREV HASH,
		"{\"seq\":99999999999999999999" REST PREV HASH,
		HEAD PREV ",\"hash\":\"" DIGITS "\"]",
	};
	struct lzi_audit_line line;
	char copy[600];

	(void)state;
	assert_int_equal(lzi_audit_parse(good, strlen(good), &line), 1);
	assert_int_equal(line.seq, 7);
	assert_int_equal(line.event_size, 4);
	assert_int_equal(line.hashed, strlen(good) - strlen(HASH));
	assert_null(line.mac);
	assert_int_equal(lzi_audit_parse(keyed, strlen(keyed), &line), 1);
	assert_int_equal(line.maced, strlen(HEAD PREV));
	assert_non_null(line.mac);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(lzi_audit_parse(bad[i], strlen(bad[i]), &line), 0);
	/* No part of one is one, and none is read beyond its end. */
	for (size_t i = 0; i < strlen(good); i++) {
		memset(copy, '"', sizeof copy);
		memcpy(copy, good, i);
		assert_int_equal(lzi_audit_parse(copy, i, &line), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_vectors),
		cmocka_unit_test(no_digests),
		cmocka_unit_test(forms_of_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
