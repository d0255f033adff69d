/* Random numbers for tests; see rng.h. */
#include "base.h"
#include "rng.h"

uint64_t rng_mix(uint64_t value)
{
	value += 0x9e3779b97f4a7c15u;
	value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
	value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
	return value ^ (value >> 31);
}

void rng_init(struct rng *rng, uint64_t seed)
{
	for (size_t i = 0; i < ARRAY_LEN(rng->state); i++)
		rng->state[i] = rng_mix(seed + i * 0x9e3779b97f4a7c15u);
}

static uint64_t rotate(uint64_t value, unsigned bits)
{
	return (value << bits) | (value >> (64 - bits));
}

uint64_t rng_next(struct rng *rng)
{
	uint64_t *s = rng->state;
	uint64_t result = rotate(s[1] * 5, 7) * 9;
	uint64_t shifted = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= shifted;
	s[3] = rotate(s[3], 45);
	return result;
}

uint64_t rng_below(struct rng *rng, uint64_t bound)
{
	/* The bias of the plain remainder is below 2^-40 for every bound the tests use. */
	return rng_next(rng) % bound;
}

uint64_t rng_between(struct rng *rng, uint64_t low, uint64_t high)
{
	return low + rng_below(rng, high - low + 1);
}

void rng_fill(struct rng *rng, void *data, size_t size)
{
	unsigned char *to = data;

	while (size > 0) {
		uint64_t word = rng_next(rng);
		size_t part = size < sizeof(word) ? size : sizeof(word);

		memcpy(to, &word, part);
		to += part;
		size -= part;
	}
}

uint64_t rng_test_seed(const char *program)
{
	uint64_t seed = env_number("LATZ_TEST_SEED", rng_mix(clock_ns() ^ (uint64_t)getpid() << 32) >> 16);

	printf("# %s: seed %" PRIu64 " (LATZ_TEST_SEED=%" PRIu64 " repeats it)\n", program, seed, seed);
	fflush(stdout);
	return seed;
}
