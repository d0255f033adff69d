/*
 * The benchmark of locks: taking and giving back a free one, a million of them, handing one over between two processes,
 * and what a fence costs a write. Beside it a pthread mutex and flock(2), as what there would be without. Progress goes
 * to stderr, the report to stdout.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pool.h"

static const char *dir;
static uint64_t ops = 1000000, names = 1000000, turns = 20000;
static unsigned rounds = 5;

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static latz_pool *open_pool(void)
{
	latz_options options = LATZ_OPTIONS_INIT;
	latz_pool *pool;

	options.dir = dir;
	check(latz_open("locks", &options, &pool), "open");
	return pool;
}

/* The median of the rounds, and the lowest and highest. */
static void report(const char *what, double *ns)
{
	qsort(ns, rounds, sizeof *ns, compare);
	printf("  %-44s %8.0f ns   (%.0f to %.0f)\n", what, ns[rounds / 2], ns[0], ns[rounds - 1]);
}

/* ---- Free ones ---- */

static double lock_unlock(latz_pool *pool, const latz_lock_options *options)
{
	uint64_t i, begin = bench_now_ns();

	for (i = 0; i < ops; i++) {
		latz_lock_t lock = LATZ_LOCK_INIT;

		check(latz_lock(pool, latz_str("a lock"), options, &lock), "lock");
		check(latz_unlock(&lock), "unlock");
	}
	return (double)(bench_now_ns() - begin) / (double)ops;
}

static double mutex(void)
{
	pthread_mutex_t *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_mutexattr_t attr;
	uint64_t i, begin;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(m, &attr);
	begin = bench_now_ns();
	for (i = 0; i < ops; i++) {
		pthread_mutex_lock(m);
		pthread_mutex_unlock(m);
	}
	return (double)(bench_now_ns() - begin) / (double)ops;
}

static double file_lock(int fd)
{
	uint64_t i, begin = bench_now_ns();

	for (i = 0; i < ops / 10; i++) {
		flock(fd, LOCK_EX);
		flock(fd, LOCK_UN);
	}
	return (double)(bench_now_ns() - begin) / (double)(ops / 10);
}

static void free_ones(latz_pool *pool)
{
	latz_lock_options plain = LATZ_LOCK_OPTIONS_INIT, leased = LATZ_LOCK_OPTIONS_INIT;
	double a[rounds], b[rounds], c[rounds], d[rounds];
	char path[4096];
	unsigned r;
	int fd;

	snprintf(path, sizeof path, "%s/flock", dir);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	leased.lease_ms = 10000;
	for (r = 0; r < rounds; r++) {
		fprintf(stderr, "free ones, round %u\n", r + 1);
		a[r] = lock_unlock(pool, &plain);
		b[r] = lock_unlock(pool, &leased);
		c[r] = mutex();
		d[r] = file_lock(fd);
	}
	printf("Taking a free lock and giving it back, %llu times\n", (unsigned long long)ops);
	report("latz_lock, latz_unlock", a);
	report("the same with a lease", b);
	report("robust pthread mutex", c);
	report("flock(2)", d);
	close(fd);
	unlink(path);
}

/* ---- Many ---- */

static void many(latz_pool *pool)
{
	latz_lock_t *locks = calloc(names, sizeof *locks);
	latz_stats_t before = { .size = sizeof before }, after = { .size = sizeof after };
	uint64_t i, begin, taken, given;
	char name[32];
	double bytes;

	fprintf(stderr, "%llu names\n", (unsigned long long)names);
	check(latz_stats(pool, &before), "stats");
	begin = bench_now_ns();
	for (i = 0; i < names; i++) {
		snprintf(name, sizeof name, "lock:%llu", (unsigned long long)i);
		check(latz_lock(pool, latz_str(name), NULL, &locks[i]), "lock");
	}
	taken = bench_now_ns();
	check(latz_stats(pool, &after), "stats");
	begin = taken - begin;
	taken = bench_now_ns();
	for (i = 0; i < names; i++)
		check(latz_unlock(&locks[i]), "unlock");
	given = bench_now_ns() - taken;
	printf("\n%llu locks held at once\n", (unsigned long long)names);
	bytes = (double)(after.file_bytes - before.file_bytes);
	printf("  taking each %.0f ns, giving it back %.0f ns; %.1f MiB, %.0f bytes each\n",
	       (double)begin / (double)names, (double)given / (double)names, bytes / 1048576, bytes / (double)names);
	free(locks);
}

/* ---- Handing over ---- */

struct board {
	volatile uint64_t gave_ns; /* when it was given back last */
	volatile uint32_t turn;    /* whose is next */
};

/* Both want it all the time, so who gives it back gives it to the other, who sleeps by then. */
static void play(latz_pool *pool, struct board *board, uint32_t me, double *took)
{
	latz_lock_options options = LATZ_LOCK_OPTIONS_INIT;
	uint64_t i;

	options.wait_ms = -1;
	for (i = 0; i < turns; i++) {
		latz_lock_t lock = LATZ_LOCK_INIT;
		uint64_t gave, got;

		check(latz_lock(pool, latz_str("ball"), &options, &lock), "lock");
		got = bench_now_ns();
		gave = board->gave_ns;
		/* Else the other had ended. */
		took[i] = board->turn != me || gave == 0 ? -1 : (double)(got - gave);
		board->turn = !me;
		usleep(100); /* in which the other begins to wait, and sleeps */
		board->gave_ns = bench_now_ns();
		check(latz_unlock(&lock), "unlock");
	}
}

static void handing_over(void)
{
	struct board *board = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	double *took = calloc(turns, sizeof *took);
	uint64_t i, n = 0;
	latz_pool *pool;
	pid_t child;

	fprintf(stderr, "handing over\n");
	child = fork();
	if (child == 0) {
		pool = open_pool();
		play(pool, board, 1, took);
		check(latz_close(pool), "close");
		_exit(0);
	}
	pool = open_pool();
	play(pool, board, 0, took);
	waitpid(child, NULL, 0);
	for (i = 0; i < turns; i++) {
		if (took[i] >= 0)
			took[n++] = took[i];
	}
	qsort(took, n, sizeof *took, compare);
	printf("\nHanded over from one process to another that sleeps, %llu times\n", (unsigned long long)n);
	if (n > 0)
		printf("  from before latz_unlock to after latz_lock: p50 %.1f us, p99 %.1f us, max %.0f us\n",
		       took[n / 2] / 1000, took[n * 99 / 100] / 1000, took[n - 1] / 1000);
	check(latz_close(pool), "close");
	free(took);
}

/* ---- Fences ---- */

static double sets(latz_pool *pool, const latz_set_options *options)
{
	uint64_t i, begin = bench_now_ns();

	for (i = 0; i < ops; i++)
		check(latz_set(pool, latz_str("key"), latz_str("value"), options), "set");
	return (double)(bench_now_ns() - begin) / (double)ops;
}

static void fences(latz_pool *pool)
{
	latz_set_options plain = LATZ_SET_OPTIONS_INIT, fenced = LATZ_SET_OPTIONS_INIT;
	latz_lock_t lock = LATZ_LOCK_INIT;
	double a[rounds], b[rounds];
	unsigned r;

	check(latz_lock(pool, latz_str("fence"), NULL, &lock), "lock");
	fenced.fence.name = latz_str("fence");
	fenced.fence.token = lock.token;
	for (r = 0; r < rounds; r++) {
		fprintf(stderr, "fences, round %u\n", r + 1);
		a[r] = sets(pool, &plain);
		b[r] = sets(pool, &fenced);
	}
	printf("\nWriting one key\n");
	report("latz_set", a);
	report("in the name of a lock", b);
	check(latz_unlock(&lock), "unlock");
}

static void usage(void)
{
	printf("Usage: ./dev bench lock [--ops N] [--names N] [--turns N] [--rounds N]\n"
	       "What locks cost: free ones, many, handed over, and fenced writes.\n");
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "ops", required_argument, NULL, 'o' },    { "names", required_argument, NULL, 'n' },
		{ "turns", required_argument, NULL, 't' },  { "rounds", required_argument, NULL, 'r' },
		{ "dir", required_argument, NULL, 'd' },    { "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	latz_pool *pool;
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 'o': ops = strtoull(optarg, NULL, 10); break;
		case 'n': names = strtoull(optarg, NULL, 10); break;
		case 't': turns = strtoull(optarg, NULL, 10); break;
		case 'r': rounds = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'd': dir = optarg; break;
		case 'h': usage(); return 0;
		default: usage(); return 2;
		}
	}
	if (dir == NULL || ops < 10 || rounds == 0 || rounds > 100) {
		usage();
		return 2;
	}
	handing_over();
	pool = open_pool();
	free_ones(pool);
	many(pool);
	fences(pool);
	check(latz_close(pool), "close");
	return 0;
}
