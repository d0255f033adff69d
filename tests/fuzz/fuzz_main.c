/*
 * Runs a fuzz target without libFuzzer: valid inputs, then random changes to them from a printed seed, for a number of
 * runs. With a directory it writes the valid inputs there, for libFuzzer to start from; with files it replays those.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fuzz.h"

#define ROOM 300001

static uint64_t next(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15u;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

/* Most changes hit the first bytes, where sizes and offsets are. */
static void change(uint8_t *data, size_t *size, uint64_t *rnd)
{
	for (uint64_t n = 1 + next(rnd) % 4; n > 0 && *size > 8; n--) {
		size_t at = next(rnd) % 4 ? next(rnd) % (*size < 200 ? *size : 200) : next(rnd) % *size;
		uint64_t word = ~0ull >> next(rnd) % 64;

		switch (next(rnd) % 5) {
		case 0: data[at] = (uint8_t)next(rnd); break;
		case 1: data[at] ^= (uint8_t)(1u << next(rnd) % 8); break;
		case 2: memcpy(data + (at < *size - 8 ? at : *size - 8), &word, 8); break;
		case 3: *size = 1 + next(rnd) % *size; break;
		default: data[at] = (uint8_t)(next(rnd) % 2 ? 0 : 0xff); break;
		}
	}
}

static int write_seeds(const char *dir, uint8_t *data)
{
	for (unsigned kind = 0; kind < FUZZ_SEEDS; kind++) {
		char path[500];
		size_t size = fuzz_seed(kind, data, ROOM);
		FILE *f;

		snprintf(path, sizeof path, "%s/seed-%u", dir, kind);
		f = fopen(path, "wb");
		if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0) {
			fprintf(stderr, "%s cannot be written\n", path);
			return 1;
		}
	}
	return 0;
}

static int replay(const char *path, uint8_t *data)
{
	FILE *f = fopen(path, "rb");
	size_t size;

	if (!f) {
		fprintf(stderr, "%s cannot be read\n", path);
		return 1;
	}
	size = fread(data, 1, ROOM, f);
	fclose(f);
	LLVMFuzzerTestOneInput(data, size);
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t seed = (uint64_t)time(NULL), runs = fuzz_runs;
	uint8_t *data = malloc(ROOM);
	uint64_t rnd;

	if (!data)
		return 3;
	if (argc > 1 && strcmp(argv[1], "--help") == 0) {
		printf("%s [--runs N] [--seed N]   random changes to valid inputs\n%s --seeds DIR   writes the valid "
		       "inputs\n"
		       "%s FILE...   replays files\n",
		       argv[0], argv[0], argv[0]);
		return 0;
	}
	if (argc == 3 && strcmp(argv[1], "--seeds") == 0)
		return write_seeds(argv[2], data);
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--runs") == 0 && i + 1 < argc)
			runs = strtoull(argv[++i], NULL, 0);
		else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
			seed = strtoull(argv[++i], NULL, 0);
		else if (replay(argv[i], data) != 0)
			return 1;
		else
			runs = 0;
	}
	printf("1..1\n# seed %llu, %llu runs\n", (unsigned long long)seed, (unsigned long long)runs);
	fflush(stdout);
	rnd = seed;
	for (uint64_t i = 0; i < runs; i++) {
		size_t size = fuzz_seed((unsigned)(i % FUZZ_SEEDS), data, ROOM);

		if (i >= FUZZ_SEEDS)
			change(data, &size, &rnd);
		LLVMFuzzerTestOneInput(data, size);
	}
	printf("ok 1 - whatever comes, nothing breaks\n");
	free(data);
	return 0;
}
