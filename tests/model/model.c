/*
 * The model test's driver: draws operations, starts the processes, verifies at the end. See model.h.
 *
 *   model [--seed S] [--ops N] [--processes P]     N operations a process, 1 000 000 if run by hand
 *
 * Without arguments (under make check): short runs with one process and with several.
 */
#include "lib/base.h"
#include "lib/proc.h"
#include "lib/tap.h"
#include "lib/tempdir.h"
#include "model.h"

void model_fail(const struct model *m, const char *file, int line, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	check_failed(file, line, "seed %" PRIu64 " process %u/%u op %" PRIu64 " (%s): %s", m->plan->seed, m->me,
	             m->plan->processes, m->op, m->doing, text);
}

static void do_maintain(struct model *m)
{
	int rc = latz_maintain(pick_pool(m), (unsigned)rng_below(&m->rng, 3000));

	EXPECT(m, rc == LATZ_OK || rc == LATZ_BUSY);
}

static latz_pool *open_handle(const struct model *m, unsigned flags)
{
	latz_options options = LATZ_OPTIONS_INIT;
	latz_pool *pool, *sub;

	options.dir = m->plan->dir;
	options.flags = flags;
	options.timeout_ms = 30000; /* others may have to wait for the processor */
	lock_options(&options);
	EXPECT_RC(m, LATZ_OK, latz_open("model", &options, &pool));
	if (m->space == NULL)
		return pool;
	EXPECT_RC(m, LATZ_OK, latz_namespace(pool, m->space, &sub));
	EXPECT_RC(m, LATZ_OK, latz_close(pool));
	return sub;
}

/* The other handle comes and goes; scans opened through it must be closed first. */
static void do_second_handle(struct model *m)
{
	if (m->second == NULL) {
		m->second = open_handle(m, 0);
		return;
	}
	scans_close(m);
	EXPECT_RC(m, LATZ_OK, latz_close(m->second));
	m->second = NULL;
}

/* Everything closed and opened again; views stay. */
static void do_reopen(struct model *m)
{
	scans_close(m);
	if (m->second != NULL)
		EXPECT_RC(m, LATZ_OK, latz_close(m->second));
	m->second = NULL;
	EXPECT_RC(m, LATZ_OK, latz_close(m->pool));
	m->pool = open_handle(m, rng_below(&m->rng, 2) ? LATZ_NO_THREAD : 0);
}

/* Of a pool that compresses: other settings, or a dictionary of what is there. */
static void do_compress(struct model *m)
{
	latz_options options = LATZ_OPTIONS_INIT;

	if (!m->plan->compress)
		return;
	if (rng_below(&m->rng, 4) == 0) {
		EXPECT_RC(m, sealed_bytes() == 0 ? LATZ_OK : LATZ_UNSUPPORTED, latz_train(m->pool, NULL, NULL));
		return;
	}
	options.compress_min = rng_below(&m->rng, 5) == 0 ? 0 : rng_between(&m->rng, 1, 300);
	options.compress_level = (int)rng_between(&m->rng, 0, 5) - 2;
	EXPECT_RC(m, LATZ_OK, latz_compress(m->pool, &options));
}

static void do_verify(struct model *m)
{
	EXPECT_RC(m, LATZ_OK, verify_print(m->pool));
}

#define OP(fn, weight) \
	{ \
		fn, #fn, weight, false \
	}
/* Not in a bounded pool. */
#define OP_UNBOUNDED(fn, weight) \
	{ \
		fn, #fn, weight, true \
	}

static const struct {
	void (*run)(struct model *m);
	const char *name;
	unsigned weight;
	bool unbounded_only;
} ops[] = {
	OP(do_set, 2200),
	OP_UNBOUNDED(do_set_conditional, 700),
	OP(do_set_typed, 400),
	OP(do_delete, 1000),
	OP_UNBOUNDED(do_increment, 500),
	OP_UNBOUNDED(do_append, 500),
	OP(do_swap, 300),
	OP_UNBOUNDED(do_touch, 300),
	OP(do_mset, 80),
	OP_UNBOUNDED(do_txn, 120),
	OP(do_expire, 2),
	OP(do_clear, 1),
	OP(do_get, 2200),
	OP(do_get_if_changed, 400),
	OP(do_exists, 400),
	OP(do_mget, 200),
	OP_UNBOUNDED(do_key_stat, 200),
	OP(do_borrow, 300),
	OP(do_release, 300),
	OP(do_scan_open, 40),
	OP(do_scan_step, 200),
	OP(do_scan_close, 15),
	OP(do_maintain, 15),
	OP(do_second_handle, 6),
	OP(do_reopen, 2),
	OP(check_whole, 6),
	OP(do_verify, 1),
	OP(do_compress, 2),
};

static void run_op(struct model *m, unsigned total)
{
	uint64_t draw = rng_below(&m->rng, total);
	size_t i;

	for (i = 0; draw >= ops[i].weight; i++)
		draw -= ops[i].weight;
	if (ops[i].unbounded_only && (m->plan->max_bytes != 0 || m->plan->max_entries != 0))
		return;
	m->doing = ops[i].name;
	ops[i].run(m);
}

struct job {
	const struct model_plan *plan;
	unsigned me, number; /* of the process: `me` counts where it is not alone */
};

/* One process of the test. */
static int run_process(void *arg)
{
	const struct job *job = arg;
	const struct model_plan *plan = job->plan;
	struct model m = { .plan = plan, .me = job->me, .value = LATZ_VALUE_INIT, .doing = "start" };
	unsigned total = 0;
	char space[16];

	snprintf(space, sizeof space, "space-%u", job->number);
	if (plan->spaces && job->number > 0)
		m.space = space;

	for (size_t i = 0; i < ARRAY_LEN(ops); i++)
		total += ops[i].weight;
	rng_init(&m.rng, plan->seed ^ rng_mix(job->number + 1));
	m.seen = check_alloc(plan->key_count * sizeof(m.seen[0]));
	memset(m.seen, 0, plan->key_count * sizeof(m.seen[0]));
	m.scratch = check_alloc(VALUE_MAX);
	m.pool = open_handle(&m, 0);
	for (m.op = 1; m.op <= plan->ops; m.op++)
		run_op(&m, total);
	m.doing = "end";
	check_whole(&m);
	scans_close(&m);
	views_release(&m);
	if (m.second != NULL)
		EXPECT_RC(&m, LATZ_OK, latz_close(m.second));
	EXPECT_RC(&m, LATZ_OK, latz_close(m.pool));
	latz_value_free(&m.value);
	oracle_fini(&m.oracle);
	free(m.scratch);
	free(m.seen);
	return 0;
}

static bool run_plan(struct model_plan plan)
{
	unsigned processes = plan.processes;
	latz_options options = LATZ_OPTIONS_INIT;
	struct proc procs[PROCESSES_MAX];
	struct job jobs[PROCESSES_MAX];
	latz_stats_t stats = { .size = sizeof(stats) };
	latz_pool *pool;
	/* Far above what it takes: it only ends a run that hangs. */
	unsigned timeout_ms = 120000 + (unsigned)(plan.ops * processes / 2);
	bool ok = true;

	plan.dir = tempdir_make();
	if (plan.spaces)
		plan.processes = 1;
	plan_init(&plan);
	options.compress_min = plan.compress ? 32 : 0;
	options.dir = plan.dir;
	options.flags = LATZ_CREATE | LATZ_KEEP | LATZ_NO_THREAD;
	options.max_bytes = plan.max_bytes;
	options.max_entries = plan.max_entries;
	options.policy = plan.policy;
	lock_options(&options);
	CHECK_OK(latz_open("model", &options, &pool));
	/* Handles are not shared over the fork here: each process opens its own. */
	CHECK_OK(latz_close(pool));
	for (unsigned i = 0; i < processes; i++) {
		jobs[i] = (struct job){ &plan, plan.spaces ? 0 : i, i };
		proc_start(&procs[i], run_process, &jobs[i], true);
	}
	for (unsigned i = 0; i < processes; i++)
		proc_go(&procs[i]);
	for (unsigned i = 0; i < processes; i++)
		ok = proc_wait(&procs[i], timeout_ms) == 0 && ok;
	pool = must_open(plan.dir, "model", 0);
	ok = verify_print(pool) == LATZ_OK && ok;
	CHECK_OK(latz_stats(pool, &stats));
	if (plan.max_bytes != 0 || plan.max_entries != 0) /* or it was no test of it */
		ok = ok && stats.evicted > 0;
	CHECK_OK(latz_close(pool));
	CHECK_OK(latz_destroy("model", &options));
	plan_fini(&plan);
	tempdir_remove(plan.dir);
	return ok;
}

static bool run_model(uint64_t seed, uint64_t ops_each, unsigned processes, bool compress)
{
	return run_plan((struct model_plan){
		.seed = seed, .ops = ops_each, .processes = processes, .compress = compress });
}

/* The same keys in the pool and in namespaces. */
static bool run_spaces(uint64_t seed, uint64_t ops_each, unsigned processes, uint64_t max_entries)
{
	return run_plan((struct model_plan){
		.seed = seed, .ops = ops_each, .processes = processes, .spaces = true, .max_entries = max_entries });
}

static bool run_bounded(uint64_t seed, uint64_t ops_each, unsigned processes, uint64_t max_bytes, uint64_t max_entries,
                        latz_policy policy)
{
	return run_plan((struct model_plan){ .seed = seed,
	                                     .ops = ops_each,
	                                     .processes = processes,
	                                     .max_bytes = max_bytes,
	                                     .max_entries = max_entries,
	                                     .policy = policy });
}

int main(int argc, char **argv)
{
	uint64_t seed = 0, ops_each = 1000000, compress = 0;
	unsigned processes = 1;

	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--seed") == 0)
			seed = strtoull(argv[i + 1], NULL, 0);
		else if (strcmp(argv[i], "--ops") == 0)
			ops_each = strtoull(argv[i + 1], NULL, 0);
		else if (strcmp(argv[i], "--processes") == 0)
			processes = (unsigned)strtoul(argv[i + 1], NULL, 0);
		else if (strcmp(argv[i], "--compress") == 0)
			compress = strtoull(argv[i + 1], NULL, 0);
		else
			argc = 0;
	}
	if (argc == 0 || argc % 2 == 0 || processes < 1 || processes > PROCESSES_MAX) {
		fprintf(stderr, "usage: model [--seed S] [--ops N] [--processes 1..%d] [--compress 0|1]\n",
		        PROCESSES_MAX);
		return 2;
	}
	if (seed == 0)
		seed = rng_test_seed("model");
	if (argc > 1) {
		tap_ok(run_model(seed, ops_each, processes, compress != 0),
		       "%" PRIu64 " operations, %u processes, seed %" PRIu64, ops_each, processes, seed);
		return tap_done();
	}
	tap_ok(run_model(seed, 60000, 1, false), "one process, every result checked");
	tap_ok(run_model(seed + 1, 60000, 1, false), "one process, another seed");
	tap_ok(run_model(seed + 2, 20000, 4, false), "four processes, each with its own keys");
	tap_ok(run_bounded(seed + 3, 60000, 1, 5 << 20, 0, LATZ_POLICY_DEFAULT), "one process, few bytes");
	tap_ok(run_bounded(seed + 4, 60000, 1, 0, 300, LATZ_POLICY_LRU), "one process, few keys");
	tap_ok(run_bounded(seed + 5, 20000, 4, 0, 700, LATZ_POLICY_S3FIFO), "four processes, few keys");
	tap_ok(run_model(seed + 6, 40000, 1, true), "one process, values compressed, dictionaries made on the way");
	tap_ok(run_model(seed + 7, 15000, 4, true), "four processes, values compressed");
	tap_ok(run_spaces(seed + 8, 20000, 4, 0), "four processes, three in namespaces of their own");
	tap_ok(run_spaces(seed + 9, 20000, 4, 1200), "the same, with few keys");
	return tap_done();
}
