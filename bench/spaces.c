/*
 * The benchmark of namespaces: what calls on a namespace's keys cost beside the same on the pool's own; and what a
 * tenant hears of another whose 64 MiB are full and are written on.
 *
 * What is compared is measured in turns, round after round, so that what the machine does meanwhile falls on both. The
 * noisy tenant is a process that writes either into its full namespace beside the quiet one's, or into the like of it
 * in another pool: so it takes as much of the machine either way.
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pool.h"
#include "samples.h"

#define KEYS 2000u
#define QUIET_KEYS 20000u
#define BUDGET (64ull << 20)
#define OPS 20000u
#define BLOCK 100u /* calls between two looks at the clock */

struct shared {
	volatile unsigned full, beside, beat;
};

static struct {
	const char *dir;
	unsigned rounds;
} config = { .rounds = 40 };
static struct shared *shared;
static char value[512];

static latz_pool *attach(const char *name)
{
	latz_options options = LATZ_OPTIONS_INIT;
	latz_pool *pool;

	options.dir = config.dir;
	check(latz_open(name, &options, &pool), "latz_open");
	return pool;
}

static latz_pool *space(latz_pool *pool, const char *name)
{
	latz_pool *sub;

	check(latz_namespace(pool, name, &sub), "latz_namespace");
	return sub;
}

static latz_slice key_of(char buffer[24], unsigned i)
{
	snprintf(buffer, 24, "key:%012u", i);
	return (latz_slice){ buffer, 16 };
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double at(double *times, size_t n, double p)
{
	qsort(times, n, sizeof *times, by_size);
	return times[(size_t)((double)(n - 1) * p)];
}

/* ---- What a call costs ------------------------------------------------------------------------------------------- */

static double turn(latz_pool *pool, int set)
{
	static char keys[KEYS][24];
	latz_value got = LATZ_VALUE_INIT;
	double begun;
	unsigned i;

	for (i = 0; i < KEYS; i++)
		(void)key_of(keys[i], i);
	begun = (double)bench_now_ns();
	for (i = 0; i < KEYS; i++) {
		latz_slice key = { keys[i * 7 % KEYS], 16 };

		check(set ? latz_set(pool, key, (latz_slice){ value, 100 }, NULL) : latz_get(pool, key, &got), "call");
	}
	begun = ((double)bench_now_ns() - begun) / KEYS;
	latz_value_free(&got);
	return begun;
}

static void calls(void)
{
	latz_pool *handle[2];
	double *times[4];
	unsigned n = config.rounds * 50, round, which;

	handle[0] = attach("calls");
	handle[1] = space(handle[0], "a");
	for (which = 0; which < 4; which++)
		times[which] = calloc(n, sizeof(double));
	(void)turn(handle[0], 1);
	(void)turn(handle[1], 1);
	for (round = 0; round < n; round++) {
		for (which = 0; which < 4; which++) {
			unsigned now = round % 2 ? which : which ^ 1; /* each is first every other time */

			times[now][round] = turn(handle[now % 2], now >= 2);
		}
		if (round % 16 == 15)
			check(latz_maintain(handle[0], 0), "latz_maintain");
	}
	printf("One call, 16-byte keys, 100-byte values, %u rounds (10th percentile, median; ns)\n", n);
	for (which = 0; which < 4; which++)
		printf("  %s, %-14s %6.1f %6.1f\n", which < 2 ? "get" : "set",
		       which % 2 ? "in a namespace" : "of the pool", at(times[which], n, 0.1),
		       at(times[which], n, 0.5));
	bar("get in a namespace / of the pool", -1, 1.10, "x", at(times[1], n, 0.1) / at(times[0], n, 0.1));
	bar("set in a namespace / of the pool", -1, 1.10, "x", at(times[3], n, 0.1) / at(times[2], n, 0.1));
	for (which = 0; which < 4; which++)
		free(times[which]);
	check(latz_close(handle[1]), "latz_close");
	check(latz_close(handle[0]), "latz_close");
}

/* ---- Tenants ----------------------------------------------------------------------------------------------------- */

static void noise(void)
{
	latz_namespace_options limits = LATZ_NAMESPACE_OPTIONS_INIT;
	latz_pool *pool[2] = { attach("apart"), attach("tenants") }, *noisy[2];
	char buffer[24];
	unsigned i, to;

	limits.max_bytes = BUDGET;
	for (to = 0; to < 2; to++) {
		noisy[to] = space(pool[to], "noisy");
		check(latz_namespace_limits(noisy[to], &limits), "latz_namespace_limits");
		for (i = 0; i < BUDGET / 400; i++) /* more than there is room for */
			check(latz_set(noisy[to], key_of(buffer, i), (latz_slice){ value, 400 }, NULL), "latz_set");
	}
	shared->full = 1;
	for (;; i++) {
		check(latz_set(noisy[shared->beside], key_of(buffer, i), (latz_slice){ value, 400 }, NULL), "latz_set");
		shared->beat = i;
	}
}

/* Calls on the quiet tenant's keys, in blocks; ns each. */
static void quiet_turn(latz_pool *quiet, unsigned seed, double *gets, double *sets, unsigned *ret_misses)
{
	latz_value got = LATZ_VALUE_INIT;
	char buffer[24];
	unsigned i, j;

	for (i = 0; i < OPS / BLOCK; i++) {
		double begun = (double)bench_now_ns(), middle;

		for (j = 0; j < BLOCK; j++) {
			unsigned k = (seed + i * BLOCK + j) * 2654435761u % QUIET_KEYS;

			*ret_misses += latz_get(quiet, key_of(buffer, k), &got) != LATZ_OK;
		}
		middle = (double)bench_now_ns();
		for (j = 0; j < BLOCK; j++) {
			unsigned k = (seed + i * BLOCK + j) * 2246822519u % QUIET_KEYS;

			check(latz_set(quiet, key_of(buffer, k), (latz_slice){ value, 100 }, NULL), "latz_set");
		}
		gets[i] = (middle - begun) / BLOCK;
		sets[i] = ((double)bench_now_ns() - middle) / BLOCK;
	}
	latz_value_free(&got);
}

static void tenants(void)
{
	latz_pool *pool = attach("tenants"), *quiet = space(pool, "quiet"), *noisy = space(pool, "noisy");
	size_t n = (size_t)config.rounds * (OPS / BLOCK);
	latz_stats_t stats = { .size = sizeof stats };
	double *gets[2], *sets[2];
	unsigned round, which, misses = 0, i;
	char buffer[24];
	pid_t pid;

	for (i = 0; i < QUIET_KEYS; i++)
		check(latz_set(quiet, key_of(buffer, i), (latz_slice){ value, 100 }, NULL), "latz_set");
	for (which = 0; which < 2; which++) {
		gets[which] = calloc(n, sizeof(double));
		sets[which] = calloc(n, sizeof(double));
	}
	pid = fork();
	if (pid == 0)
		noise();
	while (!shared->full)
		usleep(1000);
	for (round = 0; round < config.rounds * 2; round++) {
		unsigned beat = shared->beat;
		size_t first = (size_t)(round / 2) * (OPS / BLOCK);

		which = (round + round / 2) % 2;
		shared->beside = which;
		while (shared->beat < beat + 10) /* it has come over */
			usleep(100);
		quiet_turn(quiet, round, gets[which] + first, sets[which] + first, &misses);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	check(latz_stats(quiet, &stats), "latz_stats");
	printf("\nA tenant of %llu keys, of which %llu were evicted and %u gets missed; ns a call, in blocks of %u "
	       "(median, 90th, 99th percentile)\n",
	       (unsigned long long)stats.keys, (unsigned long long)stats.evicted, misses, BLOCK);
	for (which = 0; which < 2; which++)
		printf("  another's 64 MiB are full and written on in %-8s get %6.1f %6.1f %8.1f  set %6.1f %6.1f "
		       "%8.1f\n",
		       which ? "the pool" : "another", at(gets[which], n, 0.5), at(gets[which], n, 0.9),
		       at(gets[which], n, 0.99), at(sets[which], n, 0.5), at(sets[which], n, 0.9),
		       at(sets[which], n, 0.99));
	bar("quiet tenant: keys evicted and gets missed", -1, 0, "", (double)(stats.evicted + misses));
	bar("quiet tenant: get, median", -1, 1.05, "x", at(gets[1], n, 0.5) / at(gets[0], n, 0.5));
	bar("quiet tenant: get, 90th", -1, 1.05, "x", at(gets[1], n, 0.9) / at(gets[0], n, 0.9));
	bar("quiet tenant: set, median", -1, 1.05, "x", at(sets[1], n, 0.5) / at(sets[0], n, 0.5));
	bar("quiet tenant: set, 90th", -1, 1.05, "x", at(sets[1], n, 0.9) / at(sets[0], n, 0.9));
	check(latz_stats(noisy, &stats), "latz_stats");
	printf("  the noisy one has %.1f MiB and lost %llu keys\n", (double)stats.live_bytes / (1 << 20),
	       (unsigned long long)stats.evicted);
	for (which = 0; which < 2; which++) {
		free(gets[which]);
		free(sets[which]);
	}
	check(latz_close(noisy), "latz_close");
	check(latz_close(quiet), "latz_close");
	check(latz_close(pool), "latz_close");
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "dir", required_argument, NULL, 'd' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (option) {
		case 'd': config.dir = optarg; break;
		case 'r': config.rounds = (unsigned)atoi(optarg); break;
		default: printf("Usage: ./dev bench spaces [--rounds 40]\n"); return option == 'h' ? 0 : 2;
		}
	}
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (config.rounds < 1 || config.rounds > 10000 || shared == MAP_FAILED)
		return 2;
	calls();
	tenants();
	printf("\n");
	bars_print_counts();
	return 0;
}
