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
	SLICE = 250000, /* sets in a row */
	SLICES = 8      /* a round, for each of the two pools: long enough for flushes to fall into them */
};

/* ---- interval ---- */

struct pair {
	const char *label;
	void *db;
	double ns, cpu_ns;
};

static void slice_sets(struct pair *p, uint64_t *seed)
{
	uint8_t key[KEY_SIZE], value[VALUE_SIZE];
	uint64_t cpu = bench_cpu_ns(), start = bench_now_ns();
	for (int i = 0; i < SLICE; i++) {
		uint64_t id = bench_random(seed) % durable_config.keys;
		bench_key(id, key);
		bench_value(id, *seed, value);
		if (durable_latzero.set(p->db, key, value) != 0)
			bench_fail("%s: set: %s", p->label, durable_reason());
	}
	p->ns += durable_seconds(start) * 1e9;
	p->cpu_ns += (double)(bench_cpu_ns() - cpu);
}

void rows_interval(void)
{
	struct pair pairs[2] = { { "latzero-plain", NULL, 0, 0 }, { "latzero-interval", NULL, 0, 0 } };
	struct store_spec specs[2] = { { STORE_PLAIN, VALUE_SIZE, 1 }, { STORE_LAZY, VALUE_SIZE, 1 } };
	uint64_t seed = 9000;
	int ready = 1;
	if (!durable_wanted("interval") || !durable_asked("latzero"))
		return;
	for (int i = 0; i < 2 && ready; i++) {
		bench_say("filling %s", pairs[i].label);
		pairs[i].db = durable_latzero.open(&specs[i]);
		ready = pairs[i].db != NULL && durable_latzero.load(pairs[i].db, durable_config.keys) == 0;
		if (!ready)
			report_not_run("interval", pairs[i].label, durable_reason());
	}
	bench_pin(bench_core_main());
	for (unsigned round = 0; round < durable_config.rounds && ready; round++) {
		bench_say("plain sets and sync=interval, round %u of %u", round + 1, durable_config.rounds);
		pairs[0].ns = pairs[0].cpu_ns = pairs[1].ns = pairs[1].cpu_ns = 0;
		for (unsigned i = 0; i < 2 * SLICES; i++)
			slice_sets(&pairs[(i + round) % 2], &seed);
		for (int i = 0; i < 2; i++) {
			result_add("set", pairs[i].label, pairs[i].ns / SLICES / SLICE);
			result_add("set-cpu", pairs[i].label, pairs[i].cpu_ns / SLICES / SLICE);
		}
	}
	bench_pin(-1);
	for (int i = 0; i < 2; i++)
		if (pairs[i].db != NULL) {
			if (ready)
				durable_check(&durable_latzero, pairs[i].db, durable_config.keys, 10000);
			durable_latzero.close(pairs[i].db);
		}
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
	for (unsigned round = 0; round < 3 * durable_config.rounds && rc == 0; round++) {
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
