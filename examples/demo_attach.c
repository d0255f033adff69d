/*
 * demo_attach POOL KEY: how long a process takes from not knowing the pool to holding a value, each time in a new
 * process.
 */
#define _GNU_SOURCE 1
#include "demo_packages.h"

#include <inttypes.h>
#include <latzero/latzero.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	ROUNDS = 21
};

struct times {
	uint64_t open_ns[ROUNDS], get_ns[ROUNDS], keys, value_bytes;
};

static int attach_once(const char *name, const char *key, struct times *times, int round)
{
	latz_options options = LATZ_OPTIONS_INIT;
	latz_value value = LATZ_VALUE_INIT;
	latz_stats_t stats = { .size = sizeof(stats) };
	latz_pool *pool;

	options.flags = 0;
	uint64_t began_ns = demo_now_ns();
	int rc = latz_open(name, &options, &pool);
	uint64_t opened_ns = demo_now_ns();
	if (rc == LATZ_OK)
		rc = latz_get(pool, latz_str(key), &value);
	uint64_t got_ns = demo_now_ns();
	if (rc == LATZ_OK)
		rc = latz_stats(pool, &stats);
	if (rc != LATZ_OK) {
		fprintf(stderr, "demo_attach: %s: %s (%s)\n", key, latz_strerror(rc), latz_error_detail());
		return 1;
	}
	times->open_ns[round] = opened_ns - began_ns;
	times->get_ns[round] = got_ns - opened_ns;
	times->keys = stats.keys;
	times->value_bytes = value.size;
	latz_value_free(&value);
	return latz_close(pool) == LATZ_OK ? 0 : 1;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
	struct times *times = mmap(NULL, sizeof(*times), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (argc != 3 || times == MAP_FAILED)
		return 2;
	for (int i = 0; i < ROUNDS; i++) {
		int status;
		pid_t child = fork();
		if (child == 0)
			_exit(attach_once(argv[1], argv[2], times, i));
		if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
			return 1;
	}
	qsort(times->open_ns, ROUNDS, sizeof(uint64_t), compare);
	qsort(times->get_ns, ROUNDS, sizeof(uint64_t), compare);
	printf("  pool of %6" PRIu64 " keys: attached after %6.1f us, first value (%" PRIu64
	       " bytes) %5.1f us later; medians of %d new "
	       "processes\n",
	       times->keys, (double)times->open_ns[ROUNDS / 2] / 1e3, times->value_bytes,
	       (double)times->get_ns[ROUNDS / 2] / 1e3, ROUNDS);
	return 0;
}
