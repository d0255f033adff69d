/*
 * base/crc32c: known values, and both implementations against each other on every length that takes another path.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/crc32c.h"

enum {
	BUFFER_SIZE = 70000
};

static unsigned char *buffer;

static int fill(void **state)
{
	uint32_t x = 1;

	(void)state;
	buffer = malloc(BUFFER_SIZE);
	for (size_t i = 0; buffer != NULL && i < BUFFER_SIZE; i++) {
		x = x * 1664525u + 1013904223u;
		buffer[i] = (unsigned char)(x >> 24);
	}
	return buffer == NULL;
}

static int drop(void **state)
{
	(void)state;
	free(buffer);
	return 0;
}

/* Those of RFC 3720, B.4, and the usual check value. */
static void known_values(void **state)
{
	unsigned char bytes[32];

	(void)state;
	assert_int_equal(lzi_crc32c(0, "", 0), 0);
	assert_int_equal(lzi_crc32c(0, "123456789", 9), 0xE3069283u);
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(lzi_crc32c(0, bytes, sizeof(bytes)), 0x8A9136AAu);
	memset(bytes, 0xff, sizeof(bytes));
	assert_int_equal(lzi_crc32c(0, bytes, sizeof(bytes)), 0x62A8AB43u);
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)i;
	assert_int_equal(lzi_crc32c(0, bytes, sizeof(bytes)), 0x46DD794Eu);
	assert_int_equal(lzi_crc32c_table(0, bytes, sizeof(bytes)), 0x46DD794Eu);
}

/* All short lengths at all alignments, then blocks around and beyond the interleaved sizes. */
static void same_as_table(void **state)
{
	(void)state;
	for (size_t size = 0; size < 300; size++) {
		for (size_t at = 0; at < 8; at++)
			assert_int_equal(lzi_crc32c(7, buffer + at, size), lzi_crc32c_table(7, buffer + at, size));
	}
	for (size_t size = 300; size <= BUFFER_SIZE; size += size < 7000 ? 1 : 997)
		assert_int_equal(lzi_crc32c(0, buffer, size), lzi_crc32c_table(0, buffer, size));
}

/* A text in two parts gives what it gives in one, wherever it is cut. */
static void parts_chain(void **state)
{
	uint32_t whole = lzi_crc32c(0, buffer, 5000);

	(void)state;
	for (size_t cut = 0; cut <= 5000; cut += 7)
		assert_int_equal(lzi_crc32c(lzi_crc32c(0, buffer, cut), buffer + cut, 5000 - cut), whole);
}

/* Copying and summing at once gives the same copy and sum as one after the other, whatever the sizes. */
static void copies_and_sums(void **state)
{
	unsigned char copy[LZI_CRC32C_COPY_MAX + 1];
	uint64_t word = 0x0123456789abcdefu;

	(void)state;
	for (size_t key = 1; key < 100; key += key < 20 ? 1 : 13) {
		for (size_t size = 0; size <= LZI_CRC32C_COPY_MAX; size++) {
			uint32_t parts = lzi_crc32c_parts(word, buffer, key, buffer + key, size);

			memset(copy, 0xee, sizeof(copy));
			assert_int_equal(lzi_crc32c_copy(word, buffer, key, copy, buffer + key, size), parts);
			assert_memory_equal(copy, buffer + key, size);
			assert_int_equal(copy[size], 0xee);
		}
	}
}

/* Any single flipped bit of a record-sized text shows. */
static void bit_flips_show(void **state)
{
	uint32_t whole = lzi_crc32c(0, buffer, 152);

	(void)state;
	for (size_t bit = 0; bit < 152 * 8; bit++) {
		buffer[bit / 8] ^= (unsigned char)(1u << (bit % 8));
		assert_int_not_equal(lzi_crc32c(0, buffer, 152), whole);
		buffer[bit / 8] ^= (unsigned char)(1u << (bit % 8));
	}
	assert_int_equal(lzi_crc32c(0, buffer, 152), whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_values),
		cmocka_unit_test(same_as_table),
		cmocka_unit_test(parts_chain),
		cmocka_unit_test(copies_and_sums),
		cmocka_unit_test(bit_flips_show),
	};

	return cmocka_run_group_tests(tests, fill, drop) != 0;
}
