/*
 * The benchmark of the change feed: how long from a set in one process to its event in another; what a set costs with
 * subscribers, and with one of a hundred that is stopped; how late deadlines and deaths are told of.
 *
 * What is compared is measured in turns, round after round, so that what the machine does meanwhile falls on both.
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pool.h"
#include "samples.h"

#define SUBSCRIBERS 100

struct shared {
	volatile unsigned ready, stop;
	volatile uint64_t seen; /* latencies noted */
	float latency[1 << 20]; /* microseconds */
};

static struct {
	const char *dir;
	unsigned rounds, events;
} config = { .rounds = 7, .events = 4000 };
static struct shared *shared;

static latz_pool *attach(const char *name)
{
	latz_options options = LATZ_OPTIONS_INIT;
	latz_pool *pool;

	options.dir = config.dir;
	check(latz_open(name, &options, &pool), "latz_open");
	return pool;
}

static int by_size(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return x < y ? -1 : x > y;
}

static float percentile(float *sorted, size_t n, double p)
{
	return n == 0 ? 0 : sorted[(size_t)((double)(n - 1) * p)];
}

static void wait_ready(unsigned count)
{
	while (__atomic_load_n(&shared->ready, __ATOMIC_ACQUIRE) < count)
		usleep(1000);
}

/* A key's first eight bytes are the time when it was set. */
static pid_t start_subscriber(const char *name, int notes)
{
	latz_event event = LATZ_EVENT_INIT;
	latz_watch *watch;
	latz_pool *pool;
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	pool = attach(name);
	check(latz_watch_open(pool, NULL, &watch), "latz_watch_open");
	__atomic_fetch_add(&shared->ready, 1, __ATOMIC_ACQ_REL);
	while (!shared->stop) {
		uint64_t set;

		if (latz_watch_next(watch, 100, &event) != LATZ_OK || !notes || event.key.size != 16)
			continue;
		memcpy(&set, event.key.data, 8);
		shared->latency[shared->seen & 0xfffff] = (float)(bench_now_ns() - set) / 1000;
		__atomic_store_n(&shared->seen, shared->seen + 1, __ATOMIC_RELEASE);
	}
	_exit(0);
}

static void stop_all(pid_t *pids, unsigned count)
{
	unsigned i;

	shared->stop = 1;
	for (i = 0; i < count; i++) {
		kill(pids[i], SIGCONT);
		waitpid(pids[i], NULL, 0);
	}
	shared->stop = 0;
	shared->ready = 0;
	shared->seen = 0;
}

static void set_now(latz_pool *pool, uint64_t number)
{
	uint64_t key[2] = { 0, number };

	key[0] = bench_now_ns();
	check(latz_set(pool, (latz_slice){ key, sizeof key }, latz_str("a value of some thirty bytes, so"), NULL),
	      "set");
}

/* Events one by one, with pauses in which the subscriber falls asleep. */
static void latency(void)
{
	latz_pool *pool = attach("latency");
	pid_t pid = start_subscriber("latency", 1);
	unsigned round, i;
	double p50 = 0, p99 = 0;

	wait_ready(1);
	printf("\nFrom a set to its event in another process, microseconds\n  %-8s %10s %10s %10s %10s\n", "round",
	       "p50", "p99", "p99.9", "max");
	for (round = 0; round < config.rounds; round++) {
		shared->seen = 0;
		for (i = 0; i < config.events; i++) {
			set_now(pool, i);
			while (__atomic_load_n(&shared->seen, __ATOMIC_ACQUIRE) <= i)
				sched_yield();
			usleep(100 + (unsigned)rand() % 400);
		}
		qsort(shared->latency, config.events, sizeof(float), by_size);
		printf("  %-8u %10.1f %10.1f %10.1f %10.1f\n", round, percentile(shared->latency, config.events, 0.5),
		       percentile(shared->latency, config.events, 0.99),
		       percentile(shared->latency, config.events, 0.999),
		       percentile(shared->latency, config.events, 1));
		result_add("p50", "feed", percentile(shared->latency, config.events, 0.5));
		result_add("p99", "feed", percentile(shared->latency, config.events, 0.99));
	}
	p50 = result_median("p50", "feed");
	p99 = result_median("p99", "feed");
	stop_all(&pid, 1);
	check(latz_close(pool), "latz_close");
	bar("set in one process to event in another, p50", -1, 20, "us", p50);
	bar("the same, p99", -1, 1000, "us", p99);
}

/* Sets as they come, each timed; with a pause now and then. Median and 99th percentile in nanoseconds. */
static void time_sets(latz_pool *pool, double *p50, double *p99)
{
	static float times[40000];
	unsigned i;

	for (i = 0; i < 40000; i++) {
		uint64_t begin = bench_now_ns(), key[2] = { i % 1000, 7 };

		check(latz_set(pool, (latz_slice){ key, sizeof key }, latz_str("a value of some thirty bytes, so"),
		               NULL),
		      "set");
		times[i] = (float)(bench_now_ns() - begin);
		if (i % 100 == 0)
			usleep(500);
	}
	qsort(times, 40000, sizeof(float), by_size);
	*p50 = percentile(times, 40000, 0.5);
	*p99 = percentile(times, 40000, 0.99);
}

static void add(const char *what, double p50, double p99)
{
	result_add("set p50", what, p50);
	result_add("set p99", what, p99);
}

static void crowd(void)
{
	static pid_t pids[SUBSCRIBERS];
	latz_pool *alone = attach("alone"), *pool = attach("crowd");
	unsigned round, i;
	double p50, p99;

	for (i = 0; i < SUBSCRIBERS; i++)
		pids[i] = start_subscriber("crowd", 0);
	wait_ready(SUBSCRIBERS);
	for (round = 0; round < config.rounds * 2; round++) {
		time_sets(alone, &p50, &p99);
		add("none", p50, p99);
		time_sets(pool, &p50, &p99);
		add("100", p50, p99);
		kill(pids[0], SIGSTOP);
		time_sets(pool, &p50, &p99);
		add("100, one stopped", p50, p99);
		kill(pids[0], SIGCONT);
	}
	stop_all(pids, SUBSCRIBERS);
	printf("\nA set, nanoseconds, medians of rounds\n  %-20s %10s %10s\n", "subscribers", "p50", "p99");
	printf("  %-20s %10.0f %10.0f\n", "none", result_median("set p50", "none"), result_median("set p99", "none"));
	printf("  %-20s %10.0f %10.0f\n", "100", result_median("set p50", "100"), result_median("set p99", "100"));
	printf("  %-20s %10.0f %10.0f\n", "100, one stopped", result_median("set p50", "100, one stopped"),
	       result_median("set p99", "100, one stopped"));
	check(latz_close(alone), "latz_close");
	check(latz_close(pool), "latz_close");
	bar("p99 of a set beside 100 subscribers, one stopped, of that with none stopped", -1, 1.1, "x",
	    result_median("set p99", "100, one stopped") / result_median("set p99", "100"));
}

/* A process that has touched a gigabyte is killed. */
static void lateness(void)
{
	latz_pool *pool = attach("late");
	latz_set_options ttl = LATZ_SET_OPTIONS_INIT;
	latz_event event = LATZ_EVENT_INIT;
	latz_watch *watch;
	double expire = 0, gone = 0;
	unsigned i;

	check(latz_watch_open(pool, NULL, &watch), "latz_watch_open");
	for (i = 0; i < 20; i++) {
		uint64_t due;

		ttl.ttl_ms = 50 + (int64_t)(rand() % 200);
		due = bench_now_ns() + (uint64_t)ttl.ttl_ms * 1000000;
		check(latz_set(pool, latz_str("key"), latz_str("value"), &ttl), "set");
		do
			check(latz_watch_next(watch, -1, &event), "latz_watch_next");
		while (event.kind != LATZ_EVENT_EXPIRE);
		/* Deadlines are whole milliseconds. */
		if ((double)((int64_t)bench_now_ns() - (int64_t)due) / 1e6 > expire)
			expire = (double)((int64_t)bench_now_ns() - (int64_t)due) / 1e6;
	}
	for (i = 0; i < 10; i++) {
		int fds[2];
		char byte;
		uint64_t killed;
		pid_t pid;

		if (pipe(fds) != 0)
			exit(1);
		pid = fork();
		if (pid == 0) {
			size_t size = (size_t)1 << 30;
			char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

			(void)attach("late");
			memset(memory, 1, size);
			(void)!write(fds[1], "x", 1);
			pause();
		}
		(void)!read(fds[0], &byte, 1);
		killed = bench_now_ns();
		kill(pid, SIGKILL);
		do
			check(latz_watch_next(watch, -1, &event), "latz_watch_next");
		while (event.kind != LATZ_EVENT_DISCONNECT);
		if ((double)(bench_now_ns() - killed) / 1e6 > gone)
			gone = (double)(bench_now_ns() - killed) / 1e6;
		waitpid(pid, NULL, 0);
		close(fds[0]);
		close(fds[1]);
	}
	printf("\nLatest of 20 deadlines: %.1f ms; of 10 deaths of a process with 1 GiB: %.1f ms\n", expire, gone);
	check(latz_watch_close(watch), "latz_watch_close");
	check(latz_close(pool), "latz_close");
	bar("EXPIRE after its deadline, latest", -1, 100, "ms", expire);
	bar("DISCONNECT after a SIGKILL, latest", -1, 100, "ms", gone);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "dir", required_argument, NULL, 'd' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "events", required_argument, NULL, 'e' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (option) {
		case 'd': config.dir = optarg; break;
		case 'r': config.rounds = (unsigned)atoi(optarg); break;
		case 'e': config.events = (unsigned)atoi(optarg); break;
		default: printf("Usage: ./dev bench feed [--rounds 7] [--events 4000]\n"); return option == 'h' ? 0 : 2;
		}
	}
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (config.rounds < 1 || config.rounds * 2 > SAMPLES_MAX || config.events < 1 || config.events > 1 << 20 ||
	    shared == MAP_FAILED)
		return 2;
	latency();
	crowd();
	lateness();
	printf("\n");
	bars_print_counts();
	return 0;
}
