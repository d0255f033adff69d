/*
 * base/hash: XXH3's published values, so that a pool's table does not depend on which header compiled it.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"

/* Values of the algorithm's stable release. */
static void known_values(void **state)
{
	(void)state;
	assert_true(lzi_hash(0, "", 0) == 0x2D06800538D394C2u);
	assert_true(lzi_hash128(0, "", 0).low == 0x6001C324468D497Fu);
	assert_true(lzi_hash128(0, "", 0).high == 0x99AA06D3014798D8u);
}

/* Another seed or another byte, anywhere, is another hash. */
static void depends_on_all(void **state)
{
	char key[300];

	(void)state;
	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (char)(i * 7);
	for (size_t size = 1; size <= sizeof(key); size++) {
		uint64_t before = lzi_hash(1, key, size);

		assert_true(before != lzi_hash(2, key, size));
		key[size - 1] ^= 1;
		assert_true(before != lzi_hash(1, key, size));
		key[size - 1] ^= 1;
		key[0] ^= 1;
		assert_true(before != lzi_hash(1, key, size));
		key[0] ^= 1;
		assert_true(before == lzi_hash(1, key, size));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_values),
		cmocka_unit_test(depends_on_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
