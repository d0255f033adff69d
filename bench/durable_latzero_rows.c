/*
 * Rows that latzero runs by itself: what a log flushed in intervals costs a set, what a snapshot under way costs one,
 * attaching to a kept pool when every process was killed, and replaying a log.
 */
#define _GNU_SOURCE
#include "durable_latzero.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	WHY_SIZE = 200,
	ATTACHES = 10 /* a round */
};

/* ---- interval ---- */

struct side {
	const char *label;
	latz_pool *pool;
};

/* A slice lasts seconds, so that flushes of the interval fall into it; what is left over is flushed outside of it. */
static void slice_sets(const struct side *side, uint64_t seed)
{
	uint8_t value[VALUE_SIZE];
	uint64_t sets = 0, cpu = bench_cpu_ns(), start = bench_now_ns();
	uint64_t until = start + (uint64_t)(durable_config.seconds * 1e9);
	do {
		for (int i = 0; i < 1000; i++) {
			uint64_t id = bench_random(&seed) % durable_config.keys;
			bench_value(id, seed, value);
			int rc = lz_set(side->pool, id, value, VALUE_SIZE);
			if (rc != LATZ_OK)
				bench_fail("%s: latz_set: %s: %s", side->label, latz_strerror(rc), latz_error_detail());
		}
		sets += 1000;
	} while (bench_now_ns() < until);
	result_add("set", side->label, durable_seconds(start) * 1e9 / (double)sets);
	result_add("set-cpu", side->label, (double)(bench_cpu_ns() - cpu) / (double)sets);
	int rc = latz_sync_now(side->pool);
	if (rc != LATZ_OK && rc != LATZ_UNSUPPORTED)
		bench_fail("%s: latz_sync_now: %s: %s", side->label, latz_strerror(rc), latz_error_detail());
}

static int side_open(struct side *side, const char *name, enum store_use use)
{
	struct store_spec spec = { use, VALUE_SIZE, 1 };
	char path[PATH_SIZE * 2];
	latz_options options = lz_options(&spec, path);
	bench_say("filling %s", side->label);
	return lz_open(name, &options, &side->pool) != 0 || lz_load(side->pool, durable_config.keys, VALUE_SIZE) != 0;
}

static void side_check(const struct side *side)
{
	latz_value value = LATZ_VALUE_INIT;
	for (uint64_t id = 0; id < durable_config.keys; id += 101)
		if (lz_get_checked(side->pool, id, VALUE_SIZE, &value) != 0)
			bench_fail("%s: %s", side->label, durable_reason());
	latz_value_free(&value);
}

void rows_interval(void)
{
	struct side sides[2] = { { "latzero-plain", NULL }, { "latzero-interval", NULL } };
	if (!durable_wanted("interval") || !durable_asked("latzero"))
		return;
	if (side_open(&sides[0], "plain", STORE_PLAIN) != 0 || side_open(&sides[1], "interval", STORE_LAZY) != 0)
		report_not_run("interval", sides[sides[0].pool != NULL].label, durable_reason());
	else {
		bench_pin(bench_core_main());
		for (unsigned round = 0; round < durable_config.rounds; round++) {
			bench_say("plain sets and sync=interval, round %u of %u", round + 1, durable_config.rounds);
			for (unsigned i = 0; i < 2; i++)
				slice_sets(&sides[(i + round) % 2], 9000 + round);
		}
		bench_pin(-1);
		side_check(&sides[0]);
		side_check(&sides[1]);
	}
	for (int i = 0; i < 2; i++)
		if (sides[i].pool != NULL)
			latz_close(sides[i].pool);
}

/* ---- Children's answers ---- */

/* The child's result; -1 with durable_fail() if it gave a reason instead. */
static int result_read(struct child *c, void *result, size_t size)
{
	char why[WHY_SIZE];
	if (child_read(c, why, sizeof(why)) != 0)
		return durable_fail("a child process ended early");
	why[WHY_SIZE - 1] = '\0';
	if (why[0] != '\0')
		return durable_fail("%s", why);
	return size == 0 || child_read(c, result, size) == 0 ? 0 : durable_fail("a child process ended early");
}

/* Runs a job to its end. */
static int job(const char *name, const char *pool, double *result)
{
	const char *args[] = { pool, NULL };
	struct child c = child_start(name, args);
	int rc = result_read(&c, result, sizeof(*result));
	int status = child_end(&c);
	return rc == 0 && status != 0 ? durable_fail("a child process failed") : rc;
}

/* Runs a job that waits to be killed, and kills it. */
static int job_killed(const char *name, const char *pool)
{
	const char *args[] = { pool, NULL };
	struct child c = child_start(name, args);
	int rc = result_read(&c, NULL, 0);
	child_kill(&c);
	return rc;
}

/* ---- tail ---- */

static int tail_round(latz_pool *pool, const char *name, const char *path)
{
	double p99[2];
	char byte;
	const char *args[] = { name, "100", NULL };
	struct child c = child_start("tail", args);
	int rc = child_read(&c, &byte, 1) == 0 && byte == 'r' ? 0 : durable_fail("the writing process failed");
	if (rc == 0) {
		durable_remove(path);
		/* The writer has a core for itself: what is measured is not how the kernel shares one. */
		bench_pin(bench_core_other());
		child_go(&c);
		uint64_t start = bench_now_ns();
		while (rc == 0 && durable_seconds(start) < 2) /* small ones are repeated */
			rc = lz_snapshot(pool, path, 0);
		bench_pin(-1);
		child_go(&c);
	}
	if (rc == 0)
		rc = result_read(&c, p99, sizeof(p99));
	child_kill(&c);
	if (rc != 0)
		return rc;
	result_add("tail-idle", "latzero", p99[0]);
	result_add("tail-snapshot", "latzero", p99[1]);
	result_add("tail-ratio", "latzero", p99[1] / p99[0]);
	return 0;
}

void row_tail(void)
{
	static const char name[] = "tail";
	latz_options options = LATZ_OPTIONS_INIT;
	latz_pool *pool;
	char path[PATH_SIZE * 2];
	if (!durable_wanted("tail") || !durable_asked("latzero"))
		return;
	options.dir = durable_config.shm;
	durable_path(path, durable_config.disk, "latzero-tail.snapshot");
	int rc = lz_open(name, &options, &pool);
	if (rc == 0) {
		rc = lz_load(pool, durable_config.keys, VALUE_SIZE);
		for (unsigned round = 0; round < durable_config.rounds && rc == 0; round++) {
			bench_say("sets beside a snapshot, round %u of %u", round + 1, durable_config.rounds);
			rc = tail_round(pool, name, path);
		}
		latz_close(pool);
	}
	if (rc != 0)
		report_not_run("tail", "latzero", durable_reason());
}

/* ---- attach ---- */

void row_attach_kept(void)
{
	static const char name[] = "kept";
	latz_options options = LATZ_OPTIONS_INIT;
	int rc = 0;
	if (!durable_wanted("attach") || !durable_asked("latzero"))
		return;
	bench_say("attaching to a kept pool");
	/* the first takes longer: it fills the pool */
	for (unsigned round = 0; round < ATTACHES * durable_config.rounds && rc == 0; round++) {
		double ms;
		rc = job_killed("keep", name);
		if (rc == 0)
			rc = job("attach", name, &ms);
		if (rc == 0)
			result_add("attach", "latzero", ms);
	}
	if (rc != 0)
		report_not_run("attach", "latzero", durable_reason());
	options.dir = durable_config.shm;
	if (latz_destroy(name, &options) != LATZ_OK)
		bench_say("the kept pool cannot be removed: %s", latz_error_detail());
}

/* ---- replay ---- */

void row_replay(void)
{
	static const char name[] = "replayed";
	char pool_path[PATH_SIZE * 2], log_path[PATH_SIZE * 2];
	int rc = 0;
	if (!durable_wanted("replay") || !durable_asked("latzero"))
		return;
	durable_path(pool_path, durable_config.shm, name);
	durable_path(log_path, durable_config.disk, "latzero-log");
	for (unsigned round = 0; round < durable_config.rounds && rc == 0; round++) {
		double seconds;
		bench_say("replaying a log, round %u of %u", round + 1, durable_config.rounds);
		rc = job_killed("log", name);
		durable_remove(pool_path); /* as a reboot does */
		durable_quiesce();
		if (rc == 0)
			rc = job("replay", name, &seconds);
		if (rc == 0)
			result_add("replay", "latzero", 2 * (double)durable_config.keys / seconds / 1e6);
		durable_remove(pool_path);
		durable_remove(log_path);
	}
	if (rc != 0)
		report_not_run("replay", "latzero", durable_reason());
}
