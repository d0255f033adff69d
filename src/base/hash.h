/*
 * Hashes of keys: XXH3, inlined, since a call costs as much as hashing a short key. The seed is random per pool, so
 * that nobody can choose keys that collide.
 */
#ifndef LZI_BASE_HASH_H
#define LZI_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

typedef struct lzi_hash128_t {
	uint64_t low, high;
} lzi_hash128_t;

static inline uint64_t lzi_hash(uint64_t seed, const void *data, size_t size)
{
	return XXH3_64bits_withSeed(data, size, seed);
}

static inline lzi_hash128_t lzi_hash128(uint64_t seed, const void *data, size_t size)
{
	XXH128_hash_t hash = XXH3_128bits_withSeed(data, size, seed);
	lzi_hash128_t result = { hash.low64, hash.high64 };

	return result;
}

#endif
