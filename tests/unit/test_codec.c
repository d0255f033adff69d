/*
 * Compressed values: packing, unpacking, and what is made of bytes that are none.
 */
#include "config.h"

#include <pthread.h>

#include "codec/codec.h"
#include "format/heap.h"
#include "format/packed.h"
#include "lib/suite.h"

#define ROOM 300000

static uint8_t raw[ROOM], back[ROOM + 1];

static void make_noise(uint8_t *to, size_t size, uint64_t seed)
{
	for (size_t i = 0; i < size; i++) {
		seed = seed * 0x5851f42d4c957f2dull + 0x14057b7ef767814full;
		to[i] = (uint8_t)(seed >> 56);
	}
}

/* Text that repeats itself, with numbers that do not. */
static size_t make_text(uint8_t *to, size_t size, unsigned seed)
{
	size_t used = 0;

	for (; used + 100 < size; seed++)
		used += (size_t)sprintf((char *)to + used, "{\"id\":%u,\"name\":\"user %u\",\"active\":true}\n", seed,
		                        seed * 7919 % 100003);
	memset(to + used, ' ', size - used);
	return size;
}

static int unpack(const struct lzi_codec_dict *dict, const void *packed, size_t size, void *to, uint64_t *ret_size)
{
	uint8_t *room = lzi_codec_room(size);
	unsigned number;
	int rc;

	assert_non_null(room);
	memcpy(room, packed, size);
	rc = lzi_packed_parse(room, size, &number, ret_size);
	if (rc != LATZ_OK)
		return rc;
	if (*ret_size > ROOM)
		return LATZ_NOMEM;
	return lzi_codec_unpack(dict, room, size, to, *ret_size);
}

static void comes_back(struct lzi_codec_dict *dict, unsigned want_dict, int level, size_t size)
{
	const void *packed;
	unsigned number;
	uint64_t n;
	size_t got = lzi_codec_pack(dict, level, raw, size, &packed);

	assert_true(got > 0 && got <= size - size / 8);
	assert_ok(lzi_packed_parse(packed, got, &number, &n));
	assert_int_equal(number, want_dict);
	assert_int_equal(n, size);
	assert_ok(unpack(dict, packed, got, back, &n));
	assert_memory_equal(raw, back, size);
}

/* Around the sizes at which the frame's head changes, and beyond its window. */
static void sizes_and_levels(void **state)
{
	static const size_t sizes[] = { 200, 255, 256, 257, 1000, 4096, 65535, 65791, 65792, 131072, 262144, ROOM };
	static const int levels[] = { -5, -1, 1, 3, 9, 19 };

	(void)state;
	make_text(raw, ROOM, 1);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		for (size_t j = 0; j < ARRAY_LEN(levels); j++) {
			if (sizes[i] >= 1000 || levels[j] > 0) /* a short one is too little for the fast levels */
				comes_back(NULL, 0, levels[j], sizes[i] < 1000 ? 1000 + sizes[i] : sizes[i]);
		}
	}
	memset(raw, 'x', ROOM);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		comes_back(NULL, 0, 3, sizes[i]);
}

static struct lzi_codec_dict *train(unsigned number)
{
	static uint8_t samples[400000], dict[8192];
	static size_t each[2000];
	struct lzi_codec_dict *made;
	size_t used = 0, size;

	for (unsigned i = 0; i < 2000; i++)
		used += each[i] = make_text(samples + used, 180 + i % 20, i * 31 + number);
	size = lzi_codec_train(samples, each, 2000, dict, sizeof dict);
	assert_true(size > 256 && size <= sizeof dict);
	assert_ok(lzi_codec_dict_new(number, dict, size, &made));
	return made;
}

/* Small values that pay only with a dictionary; refusing one leaves the thread as it was. */
static void dictionaries(void **state)
{
	struct lzi_codec_dict *dict = train(7), *other = train(8);
	const void *packed;
	uint8_t copy[200];
	uint64_t n;
	size_t size;

	(void)state;
	for (unsigned i = 0; i < 500; i++) {
		make_text(raw, 170 + i % 30, 1000000 + i);
		if (i % 3 == 0) {
			make_noise(back, 100, i);
			assert_int_equal(lzi_codec_pack(i % 2 ? dict : NULL, 3, back, 100, &packed), 0);
		}
		comes_back(dict, 7, i % 2 ? 1 : 3, 170 + i % 30);
		if (i % 5 == 0)
			comes_back(other, 8, 3, 170 + i % 30);
	}
	/* Without it, or with another, it is no such value: an error, or other bytes, but never more of them. */
	make_text(raw, 190, 4711);
	size = lzi_codec_pack(dict, 3, raw, 190, &packed);
	assert_true(size > 0 && size < 190 / 2 && size <= sizeof copy);
	memcpy(copy, packed, size);
	memset(back, 0xee, sizeof back);
	assert_rc(LATZ_CORRUPT, unpack(NULL, copy, size, back, &n));
	if (unpack(other, copy, size, back, &n) == LATZ_OK)
		assert_true(memcmp(back, raw, 190) != 0);
	assert_int_equal(back[190], 0xee);
	lzi_codec_dict_free(other);
	lzi_codec_dict_free(dict);
	lzi_codec_dict_free(NULL);
}

static void not_worth_it(void **state)
{
	const void *packed;

	(void)state;
	make_noise(raw, 100000, 5);
	assert_int_equal(lzi_codec_pack(NULL, 3, raw, 100000, &packed), 0);
	assert_int_equal(lzi_codec_pack(NULL, 3, raw, 16, &packed), 0);
	assert_int_equal(lzi_codec_pack(NULL, 3, raw, 15, &packed), 0);
	assert_int_equal(lzi_codec_pack(NULL, 3, raw, 0, &packed), 0);
	assert_true(lzi_codec_level_valid(-100) && lzi_codec_level_valid(19) && lzi_codec_level_valid(0));
	assert_false(lzi_codec_level_valid(-101) || lzi_codec_level_valid(20));
}

/* Every truncation is an error; every flipped byte one, or a value of the size it says; nothing is written past it. */
static void garbled(void **state)
{
	uint8_t whole[1200], bad[1200];
	const void *packed;
	uint64_t n;
	size_t size;
	int rc;

	(void)state;
	make_text(raw, 1000, 3);
	size = lzi_codec_pack(NULL, 3, raw, 1000, &packed);
	assert_true(size > LZI_PACKED_MIN && size < sizeof whole);
	memcpy(whole, packed, size);
	for (size_t i = 0; i < size; i++)
		assert_rc(LATZ_CORRUPT, unpack(NULL, whole, i, back, &n));
	for (size_t i = 0; i < size * 8; i++) {
		memcpy(bad, whole, size);
		bad[i / 8] ^= (uint8_t)(1u << i % 8);
		n = 0;
		memset(back, 0xee, sizeof back);
		rc = unpack(NULL, bad, size, back, &n);
		/* LATZ_NOMEM: another size than ours; it has room somewhere else. */
		if (rc != LATZ_OK && rc != LATZ_CORRUPT && rc != LATZ_NOMEM)
			fail_msg("bit %zu: %s", i, latz_strerror(rc));
		assert_true(n > ROOM || back[n] == 0xee);
	}
	/* A byte more is another frame, and there is none. */
	memcpy(bad, whole, size);
	bad[size] = 0;
	assert_rc(LATZ_CORRUPT, unpack(NULL, bad, size + 1, back, &n));
}

/* What a head may claim is bounded by the bytes there are. */
static void hostile_sizes(void **state)
{
	uint8_t bytes[64] = { 0, 0xe0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }; /* 8 bytes of size */
	unsigned dict;
	uint64_t n;

	(void)state;
	assert_rc(LATZ_CORRUPT, lzi_packed_parse(bytes, sizeof bytes, &dict, &n));
	memset(bytes + 6, 0, 4); /* 4 GiB - 1 */
	assert_rc(LATZ_CORRUPT, lzi_packed_parse(bytes, sizeof bytes, &dict, &n));
	memset(bytes + 4, 0, 2); /* 64 KiB - 1 */
	assert_ok(lzi_packed_parse(bytes, sizeof bytes, &dict, &n));
	assert_int_equal(n, 65535);
	for (unsigned i = 0; i < 256; i++) { /* descriptors with a checksum, a dictionary id, without a size */
		bytes[1] = (uint8_t)i;
		if ((i & 0x1f) != 0 || i >> 5 == 0)
			assert_rc(LATZ_CORRUPT, lzi_packed_parse(bytes, sizeof bytes, &dict, &n));
	}
	bytes[1] = 0x20;
	assert_ok(lzi_packed_parse(bytes, 6, &dict, &n));
	assert_rc(LATZ_CORRUPT, lzi_packed_parse(bytes, 5, &dict, &n));
}

static void dict_headers(void **state)
{
	struct lzi_dict_header header = { .number = 3, .size = 5 }, bad;
	struct lzi_codec_dict *dict;

	(void)state;
	header.crc = lzi_crc32c(0, "bytes", 5);
	lzi_dict_header_seal(&header);
	assert_ok(lzi_dict_header_validate(&header, 0));
	assert_ok(lzi_dict_header_validate(&header, 3));
	assert_ok(lzi_dict_validate(&header, "bytes"));
	assert_rc(LATZ_CORRUPT, lzi_dict_validate(&header, "bytez"));
	assert_rc(LATZ_CORRUPT, lzi_dict_header_validate(&header, 2));
	for (size_t i = 0; i < sizeof header; i++) {
		bad = header;
		((uint8_t *)&bad)[i] ^= 0x10;
		assert_rc(LATZ_CORRUPT, lzi_dict_header_validate(&bad, 3));
	}
	for (unsigned i = 0; i < 3; i++) {
		bad = header;
		bad.number = i == 0 ? 0 : i == 1 ? 256 : 3;
		bad.size = i == 2 ? LZI_DICT_SIZE_MAX + 1 : 5;
		lzi_dict_header_seal(&bad);
		assert_rc(LATZ_CORRUPT, lzi_dict_header_validate(&bad, 0));
	}
	bad = header;
	bad.major = LZI_DICT_MAJOR + 1;
	bad.checksum = lzi_crc32c(0, &bad, offsetof(struct lzi_dict_header, checksum));
	assert_rc(LATZ_VERSION, lzi_dict_header_validate(&bad, 3));
	/* Bytes that are no dictionary of zstd's are one of plain content. */
	assert_ok(lzi_codec_dict_new(1, "plain content", 13, &dict));
	lzi_codec_dict_free(dict);
	/* Those that claim to be, and are not. */
	assert_rc(LATZ_CORRUPT, lzi_codec_dict_new(1, "\x37\xa4\x30\xec garbled", 12, &dict));
}

static void *one_of_many(void *arg)
{
	struct lzi_codec_dict *dict = arg;
	uint8_t text[200], again[200], *room;
	const void *packed;
	intptr_t wrong = 0;

	for (unsigned i = 0; i < 3000; i++) {
		size_t size;

		make_text(text, 200, i);
		size = lzi_codec_pack(i % 3 == 0 ? NULL : dict, i % 7 == 0 ? 1 : 3, text, 200, &packed);
		room = lzi_codec_room(size);
		wrong += room == NULL || (i % 3 != 0 && size == 0);
		if (room == NULL || size == 0)
			continue;
		memcpy(room, packed, size);
		wrong += lzi_codec_unpack(i % 3 == 0 ? NULL : dict, room, size, again, 200) != LATZ_OK ||
		         memcmp(text, again, 200) != 0;
	}
	return (void *)wrong;
}

/* Contexts are each thread's own, a dictionary everybody's. */
static void threads(void **state)
{
	struct lzi_codec_dict *dict = train(1);
	pthread_t thread[4];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(thread); i++)
		assert_int_equal(pthread_create(&thread[i], NULL, one_of_many, dict), 0);
	for (size_t i = 0; i < ARRAY_LEN(thread); i++) {
		void *wrong;

		assert_int_equal(pthread_join(thread[i], &wrong), 0);
		assert_null(wrong);
	}
	lzi_codec_dict_free(dict);
}

/* What packing leaves in the thread's buffer goes: of what was packed, and of what would not get small enough. */
static void wiped(void **state)
{
	const void *packed, *again;
	const uint8_t *at;
	size_t size, left = 0;

	(void)state;
	make_text(raw, 20000, 1);
	size = lzi_codec_pack(NULL, 3, raw, 20000, &packed);
	assert_true(size > 100);
	lzi_codec_wipe();
	for (at = packed; at < (const uint8_t *)packed + size; at++)
		left += *at != 0;
	assert_int_equal(left, 0);
	make_noise(raw, 10000, 1);
	assert_int_equal(lzi_codec_pack(NULL, 3, raw, 10000, &again), 0);
	lzi_codec_wipe();
	for (at = packed; at < (const uint8_t *)packed + 8000; at++)
		left += *at != 0;
	assert_int_equal(left, 0);
	lzi_codec_wipe(); /* nothing to do */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_and_levels), cmocka_unit_test(dictionaries),  cmocka_unit_test(not_worth_it),
		cmocka_unit_test(garbled),          cmocka_unit_test(hostile_sizes), cmocka_unit_test(dict_headers),
		cmocka_unit_test(threads),          cmocka_unit_test(wiped),
	};

	return suite_run(tests);
}
