/*
 * What a key is indexed as. LMDB takes at most 511 bytes. A key up to 510 bytes is its own entry; a longer one is its
 * first 495 bytes and a 128-bit hash, 511 bytes in all, which no shorter key is. So entries order keys rightly but for
 * those that agree in 495 bytes: readers gather such a group and order it by the full keys (store/scan.c).
 */
#include "config.h"

#include <string.h>

#include "format/key_hash.h"
#include "index/index.h"

/* Any odd constant: the second half must only be independent of the table's hash. */
#define SECOND_SEED 0x9ae16a3b2f90404full

void lzi_entry_make(struct lzi_entry *entry, uint64_t seed, const void *key, size_t size)
{
	const int plain = 0;
	uint64_t hash[2];

	if (size < LZI_ENTRY_MAX) {
		entry->size = (uint16_t)size;
		memcpy(entry->bytes, key, size);
		return;
	}
	hash[0] = lzi_key_hash(seed, key, size, &plain);
	hash[1] = lzi_hash(seed ^ SECOND_SEED, key, size);
	entry->size = LZI_ENTRY_MAX;
	memcpy(entry->bytes, key, LZI_ENTRY_PREFIX);
	memcpy(entry->bytes + LZI_ENTRY_PREFIX, hash, sizeof hash);
}

uint64_t lzi_entry_hash(const void *entry)
{
	uint64_t hash;

	memcpy(&hash, (const uint8_t *)entry + LZI_ENTRY_PREFIX, sizeof hash);
	return hash;
}

int lzi_entry_matches(const void *entry, uint64_t seed, const void *key, size_t size)
{
	uint64_t second;

	if (size < LZI_ENTRY_MAX || memcmp(entry, key, LZI_ENTRY_PREFIX) != 0)
		return 0;
	memcpy(&second, (const uint8_t *)entry + LZI_ENTRY_PREFIX + 8, sizeof second);
	/* The first one is what the caller has found the key by. */
	return second == lzi_hash(seed ^ SECOND_SEED, key, size);
}

int lzi_key_compare(const void *a, size_t a_size, const void *b, size_t b_size)
{
	size_t n = a_size < b_size ? a_size : b_size;
	int order = n == 0 ? 0 : memcmp(a, b, n);

	return order != 0 ? order : (a_size > b_size) - (a_size < b_size);
}
