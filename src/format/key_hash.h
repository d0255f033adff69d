/*
 * The hash of a key, by which the table knows it. A namespace's key is hashed as its users have it, with the number
 * mixed into the seed: who reads through a namespace's handle hashes what he was given.
 */
#ifndef LZI_FORMAT_KEY_HASH_H
#define LZI_FORMAT_KEY_HASH_H

#include "base/atomic.h"
#include "base/hash.h"
#include "format/space.h"

static inline uint64_t lzi_space_seed(uint64_t seed, uint32_t number)
{
	return seed ^ (uint64_t)number * 0x9fb21c651e98df25ull;
}

/* plain: looked at only for such a key; 1: it is hashed as others are (store/space_escape.c). */
static inline uint64_t lzi_key_hash(uint64_t seed, const void *key, size_t size, const int *plain)
{
	const uint8_t *bytes = key;

	if (lzi_unlikely(lzi_key_is_spaced(key, size)) && !*plain) {
		seed = lzi_space_seed(seed, lzi_key_space(key));
		bytes += LZI_SPACE_PREFIX;
		size -= LZI_SPACE_PREFIX;
	}
	return lzi_hash(seed, bytes, size);
}

#endif
