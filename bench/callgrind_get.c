/*
 * Gets for valgrind to count: fills a pool of its own, then reads random keys that are there. doc/performance.md has
 * the commands. Usage: callgrind_get [KEYS [GETS]]; the pool is in $LATZERO_DIR.
 */
#include <inttypes.h>
#include <latzero/latzero.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_SIZE 100

/* Keys of 16 bytes, as everywhere in the benchmark. */
static latz_slice make_key(uint64_t i, char buffer[17])
{
	latz_slice key = { buffer, 16 };

	snprintf(buffer, 17, "%016" PRIx64, i * 0x9e3779b97f4a7c15u);
	return key;
}

static int fill(latz_pool *pool, uint64_t keys)
{
	char buffer[17], bytes[VALUE_SIZE];
	latz_slice value = { bytes, sizeof bytes };
	uint64_t i;

	for (i = 0; i < keys; i++) {
		memset(bytes, (int)i, sizeof bytes);
		if (latz_set(pool, make_key(i, buffer), value, NULL) != LATZ_OK)
			return -1;
	}
	return 0;
}

static int read_random(latz_pool *pool, uint64_t keys, uint64_t gets)
{
	latz_value value = LATZ_VALUE_INIT;
	uint64_t i, state = 1;
	char buffer[17];
	int rc = 0;

	for (i = 0; i < gets && rc == 0; i++) {
		state = state * 6364136223846793005u + 1442695040888963407u;
		if (latz_get(pool, make_key((state >> 33) % keys, buffer), &value) != LATZ_OK)
			rc = -1;
		else if (value.size != VALUE_SIZE)
			rc = -1;
	}
	latz_value_free(&value);
	return rc;
}

int main(int argc, char **argv)
{
	uint64_t keys = argc > 1 ? strtoull(argv[1], NULL, 10) : 200000;
	uint64_t gets = argc > 2 ? strtoull(argv[2], NULL, 10) : 100000;
	latz_options options = LATZ_OPTIONS_INIT;
	latz_pool *pool;
	int rc;

	/* No second thread, so that what is counted is the same each time. */
	options.flags = LATZ_CREATE | LATZ_EXCLUSIVE | LATZ_NO_THREAD | LATZ_NO_GUARD;
	if (keys == 0 || latz_open("callgrind", &options, &pool) != LATZ_OK) {
		fprintf(stderr, "callgrind_get: %s\n", latz_error_detail());
		return 1;
	}
	rc = fill(pool, keys);
	if (rc == 0)
		rc = read_random(pool, keys, gets);
	if (rc != 0)
		fprintf(stderr, "callgrind_get: %s\n", latz_error_detail());
	else
		printf("%" PRIu64 " gets of %" PRIu64 " keys\n", gets, keys);
	return latz_close(pool) == LATZ_OK && rc == 0 ? 0 : 1;
}
