/*
 * Counting together: four processes count what they do and how long it takes, in counters that live in the pool. None
 * waits for another, and what a killed one has counted stays. `latzero stats POOL --prometheus` shows them.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <latzero/latzero.h>

#define WORKERS 4
#define REQUESTS 10000

static void check(int rc, const char *what)
{
	if (rc == LATZ_OK)
		return;
	fprintf(stderr, "%s: %s (%s)\n", what, latz_strerror(rc), latz_error_detail());
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The same name is the same counter, in whichever process. */
static void open_counters(latz_pool *pool, latz_counter **requests, latz_counter **took)
{
	latz_counter_options options = LATZ_COUNTER_OPTIONS_INIT;

	options.help = "Requests answered";
	check(latz_counter_open(pool, "app_requests_total", &options, requests), "latz_counter_open");
	options.kind = LATZ_HISTOGRAM;
	options.help = "Time that a request takes";
	options.scale = 1e-9; /* nanoseconds, in a name that ends in _seconds */
	check(latz_counter_open(pool, "app_request_seconds", &options, took), "latz_counter_open");
}

static void work(latz_pool *pool)
{
	latz_counter *requests, *took;

	open_counters(pool, &requests, &took);
	for (int i = 0; i < REQUESTS; i++) {
		uint64_t begun = now_ns();

		check(latz_set(pool, latz_str("last"), latz_str("request"), NULL), "latz_set");
		check(latz_counter_add(requests, 1), "latz_counter_add");
		check(latz_counter_record(took, now_ns() - begun), "latz_counter_record");
	}
	latz_counter_close(requests);
	latz_counter_close(took);
}

int main(void)
{
	latz_options options = LATZ_OPTIONS_INIT;
	latz_counter_info info = { .size = sizeof(info) };
	latz_counter *requests, *took;
	latz_pool *pool;

	options.flags = LATZ_CREATE;
	check(latz_open("example-counters", &options, &pool), "latz_open");
	for (int i = 0; i < WORKERS; i++) {
		pid_t pid = fork();

		if (pid < 0) {
			perror("fork");
			return 1;
		}
		if (pid == 0) {
			work(pool); /* a forked child attaches anew by itself */
			_exit(0);
		}
	}
	for (int i = 0; i < WORKERS; i++) {
		int status;

		if (wait(&status) < 0 || status != 0)
			return 1;
	}
	open_counters(pool, &requests, &took);
	check(latz_counter_read(requests, &info), "latz_counter_read");
	printf("%" PRId64 " requests by %d processes\n", info.value, WORKERS);
	check(latz_counter_read(took, &info), "latz_counter_read");
	printf("half took up to %.2f us, 99%% up to %.2f us\n", (double)info.p50 / 1000, (double)info.p99 / 1000);
	latz_counter_close(requests);
	latz_counter_close(took);
	check(latz_close(pool), "latz_close");
	return 0;
}
