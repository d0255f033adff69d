/* The jobs of latzero's child processes: restoring, attaching to a kept pool, a log to be replayed, paced sets. */
#define _GNU_SOURCE
#include "durable_latzero.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	WHY_SIZE = 200,
	PACE_NS = 5000,
	SETS_MAX = 40000000
};

/* The reason, or "" for success, comes before a job's results. */
static int say_why(const char *why)
{
	char text[WHY_SIZE] = "";
	snprintf(text, sizeof(text), "%s", why);
	return child_write(text, sizeof(text));
}

static int fail(void)
{
	say_why(durable_reason());
	return 1;
}

static int give(const void *result, size_t size)
{
	return say_why("") != 0 || child_write(result, size) != 0;
}

static int key_count(latz_pool *pool, uint64_t keys)
{
	latz_stats_t stats;
	memset(&stats, 0, sizeof(stats));
	stats.size = sizeof(stats);
	int rc = latz_stats(pool, &stats);
	if (rc != LATZ_OK)
		return lz_fail("latz_stats", rc);
	return stats.keys == keys ? 0 : durable_fail("%llu keys are there", (unsigned long long)stats.keys);
}

static int read_every_key(latz_pool *pool, uint64_t keys, size_t value_size, latz_value *value)
{
	int rc = 0;
	for (uint64_t id = 0; id < keys && rc == 0; id++)
		rc = lz_get_checked(pool, id, value_size, value);
	return rc;
}

/* restore PATH VALUE_SIZE KEYS */
static int job_restore(char **argv)
{
	static const char name[] = "restored";
	size_t value_size = strtoull(argv[1], NULL, 10);
	uint64_t keys = strtoull(argv[2], NULL, 10);
	struct restore_times times;
	latz_value value = LATZ_VALUE_INIT;
	latz_options options = LATZ_OPTIONS_INIT;
	latz_pool *pool;
	int rc = LATZ_UNSUPPORTED;
	options.dir = durable_config.shm;
	options.flags = LATZ_CREATE | LATZ_KEEP; /* so that it stays until it is opened */
	uint64_t start = bench_now_ns();
#ifdef DURABLE_NO_SNAPSHOTS
	if (latz_restore != NULL)
#endif
		rc = latz_restore(argv[0], name, &options, NULL);
	if (rc != LATZ_OK) {
		lz_fail("latz_restore", rc);
		return fail();
	}
	options.flags = 0;
	rc = lz_open(name, &options, &pool);
	if (rc == 0) {
		rc = lz_get_checked(pool, 12345 % keys, value_size, &value);
		times.first = durable_seconds(start);
		if (rc == 0)
			rc = key_count(pool, keys);
		if (rc == 0)
			rc = lz_get_checked(pool, keys - 1, value_size, &value);
		times.all = durable_seconds(start);
		start = bench_now_ns();
		if (rc == 0)
			rc = read_every_key(pool, keys, value_size, &value);
		times.read = durable_seconds(start);
		latz_value_free(&value);
		latz_close(pool);
	}
	if (latz_destroy(name, &options) != LATZ_OK && rc == 0)
		rc = lz_fail("latz_destroy", LATZ_IO);
	return rc == 0 ? give(&times, sizeof(times)) : fail();
}

/* keep NAME: makes the kept pool if it isn't there, with all keys, uses it, and waits to be killed. */
static int job_keep(char **argv)
{
	latz_options options = LATZ_OPTIONS_INIT;
	latz_value value = LATZ_VALUE_INIT;
	latz_pool *pool;
	options.dir = durable_config.shm;
	options.flags = LATZ_CREATE | LATZ_KEEP;
	if (lz_open(argv[0], &options, &pool) != 0)
		return fail();
	if (lz_get_checked(pool, 0, VALUE_MAX, &value) != 0 && lz_load(pool, durable_config.keys, VALUE_MAX) != 0)
		return fail();
	say_why("");
	for (;;)
		pause();
}

/* attach NAME: milliseconds from latz_open() to the answer of a get. */
static int job_attach(char **argv)
{
	latz_options options = LATZ_OPTIONS_INIT;
	latz_value value = LATZ_VALUE_INIT;
	latz_pool *pool;
	options.dir = durable_config.shm;
	options.flags = 0;
	uint64_t start = bench_now_ns();
	if (lz_open(argv[0], &options, &pool) != 0 ||
	    lz_get_checked(pool, 54321 % durable_config.keys, VALUE_MAX, &value) != 0)
		return fail();
	double ms = durable_seconds(start) * 1000;
	latz_value_free(&value);
	latz_close(pool);
	return give(&ms, sizeof(ms));
}

static latz_options log_options(int create, char path[PATH_SIZE * 2])
{
	struct store_spec spec = { STORE_LAZY, VALUE_SIZE, create };
	latz_options options = lz_options(&spec, path);
	durable_path(path, durable_config.disk, "latzero-log");
	options.flags = LATZ_CREATE;
	options.checkpoint_bytes = UINT64_C(1) << 40; /* none: all of it stays in the log */
	return options;
}

/* log NAME: writes every key twice, makes it durable, and waits to be killed. */
static int job_log(char **argv)
{
	char path[PATH_SIZE * 2];
	latz_options options = log_options(1, path);
	uint8_t value[VALUE_SIZE];
	latz_pool *pool;
	int rc = LATZ_OK;
	if (lz_open(argv[0], &options, &pool) != 0)
		return fail();
	for (uint64_t i = 0; i < 2 * durable_config.keys && rc == LATZ_OK; i++) {
		uint64_t id = i % durable_config.keys;
		bench_value(id, i / durable_config.keys, value);
		rc = lz_set(pool, id, value, VALUE_SIZE);
	}
	if (rc == LATZ_OK)
		rc = latz_sync_now(pool);
	if (rc != LATZ_OK) {
		lz_fail("the log", rc);
		return fail();
	}
	say_why("");
	for (;;)
		pause();
}

/* replay NAME: seconds that a warm start from the log takes; the last value of every key has to be there. */
static int job_replay(char **argv)
{
	char path[PATH_SIZE * 2];
	latz_options options = log_options(0, path);
	latz_value value = LATZ_VALUE_INIT;
	latz_pool *pool;
	uint64_t start = bench_now_ns();
	if (lz_open(argv[0], &options, &pool) != 0)
		return fail();
	double seconds = durable_seconds(start);
	int rc = key_count(pool, durable_config.keys);
	for (uint64_t id = 0; id < durable_config.keys && rc == 0; id += 97) {
		uint64_t generation = 0;
		rc = lz_get_checked(pool, id, VALUE_SIZE, &value);
		if (rc == 0)
			memcpy(&generation, (const uint8_t *)value.data + 8, 8);
		if (rc == 0 && generation != 1)
			rc = durable_fail("an old value after the replay");
	}
	latz_value_free(&value);
	if (rc != 0) {
		fail();
		_exit(1);
	}
	give(&seconds, sizeof(seconds));
	_exit(0); /* without closing: the log is to stay as it is */
}

static int by_time(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;
	return (x > y) - (x < y);
}

/* Sets at an even pace for so many seconds, or (0) until something comes from stdin; their p99 in ns. */
static double paced_p99(latz_pool *pool, float *ns, double seconds, size_t value_size, int *rc)
{
	static uint8_t value[VALUE_MAX];
	uint64_t seed = 42, start = bench_now_ns();
	size_t n = 0;
	struct pollfd in = { .fd = 0, .events = POLLIN };
	while (*rc == LATZ_OK && n < SETS_MAX) {
		if (seconds > 0 ? durable_seconds(start) > seconds : n % 256 == 0 && poll(&in, 1, 0) != 0)
			break;
		uint64_t id = bench_random(&seed) % durable_config.keys, at;
		bulk_value(id, value, value_size);
		while ((at = bench_now_ns()) < start + n * PACE_NS)
			;
		*rc = lz_set(pool, id, value, value_size);
		ns[n++] = (float)(bench_now_ns() - at);
	}
	if (n == 0)
		return 0;
	qsort(ns, n, sizeof(ns[0]), by_time);
	return ns[n * 99 / 100];
}

/* tail NAME VALUE_SIZE: p99 of paced sets, first by itself, then from child_go() until something more comes. */
static int job_tail(char **argv)
{
	latz_options options = LATZ_OPTIONS_INIT;
	latz_pool *pool;
	size_t value_size = strtoull(argv[1], NULL, 10);
	int rc = LATZ_OK;
	double p99[2];
	float *ns = malloc(SETS_MAX * sizeof(*ns));
	options.dir = durable_config.shm;
	options.flags = 0;
	bench_pin(bench_core_main());
	if (ns == NULL || lz_open(argv[0], &options, &pool) != 0)
		return fail();
	paced_p99(pool, ns, 0.5, value_size, &rc); /* pages in, caches warm */
	p99[0] = paced_p99(pool, ns, 2, value_size, &rc);
	if (child_ready() != 0)
		return 1;
	p99[1] = paced_p99(pool, ns, 0, value_size, &rc);
	free(ns);
	latz_close(pool);
	if (rc != LATZ_OK) {
		lz_fail("latz_set", rc);
		return fail();
	}
	return give(p99, sizeof(p99));
}

int durable_job(const char *job, int argc, char **argv, int *status)
{
	static const struct {
		const char *name;
		int argc;
		int (*run)(char **argv);
	} jobs[] = {
		{ "restore", 3, job_restore }, { "keep", 1, job_keep },     { "attach", 1, job_attach },
		{ "log", 1, job_log },         { "replay", 1, job_replay }, { "tail", 2, job_tail },
	};
	for (size_t i = 0; i < sizeof(jobs) / sizeof(jobs[0]); i++)
		if (strcmp(job, jobs[i].name) == 0 && argc == jobs[i].argc) {
			*status = jobs[i].run(argv);
			return 0;
		}
	return -1;
}
