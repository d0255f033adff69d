/* Random numbers for tests: xoshiro256** seeded by splitmix64. Each test prints its seed; $LATZ_TEST_SEED repeats it.
 */
#ifndef TESTS_LIB_RNG_H
#define TESTS_LIB_RNG_H

#include <stddef.h>
#include <stdint.h>

struct rng {
	uint64_t state[4];
};

/* One step of splitmix64: also a good mixer of numbers that are not random. */
uint64_t rng_mix(uint64_t value);

void rng_init(struct rng *rng, uint64_t seed);
uint64_t rng_next(struct rng *rng);

/* 0 <= result < bound; bound > 0. */
uint64_t rng_below(struct rng *rng, uint64_t bound);

/* low <= result <= high. */
uint64_t rng_between(struct rng *rng, uint64_t low, uint64_t high);

void rng_fill(struct rng *rng, void *data, size_t size);

/* $LATZ_TEST_SEED, else one from clock and pid; printed as a TAP comment. */
uint64_t rng_test_seed(const char *program);

#endif
