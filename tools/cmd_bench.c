/*
 * latzero bench: forks workers, each with an attachment of its own, and reports what they measured.
 */
#include "bench.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	LOAD_BATCH = 256,
	PROCESSES_MAX = 1024
};

static void sleep_ms(uint64_t ms)
{
	struct timespec pause = { .tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000 };

	nanosleep(&pause, NULL);
}

/* Forked before this process attaches, so that each worker's attachment is its own from the start. */
static int fork_workers(const struct bench_plan *plan, struct bench_shared *shared, pid_t *pids)
{
	pid_t parent = getpid();

	fflush(NULL);
	for (unsigned i = 0; i < plan->processes; i++) {
		pids[i] = fork();
		if (pids[i] < 0)
			return cli_error(CLI_FAIL, "fork: %s; see latzero doctor for the limits", strerror(errno));
		if (pids[i] == 0) {
			/* The parent stops everybody, so that what was measured is reported. */
			(void)signal(SIGINT, SIG_IGN);
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			_exit(getppid() == parent ? bench_work(plan, shared, i) : CLI_FAIL);
		}
	}
	return CLI_OK;
}

static int load_keys(const struct bench_plan *plan, latz_pool *pool)
{
	char(*keys)[BENCH_KEY_BYTES] = cli_realloc(NULL, LOAD_BATCH * sizeof(*keys));
	char *values = cli_realloc(NULL, LOAD_BATCH * plan->value_size + 1);
	latz_item items[LOAD_BATCH];
	struct cli_progress bar;
	int rc = LATZ_OK;

	cli_progress_begin(&bar, "loading keys", plan->keys);
	for (uint64_t done = 0; done < plan->keys && rc == LATZ_OK && !cli_signalled();) {
		size_t count = plan->keys - done < LOAD_BATCH ? (size_t)(plan->keys - done) : LOAD_BATCH;
		for (size_t i = 0; i < count; i++) {
			bench_make_key(done + i, keys[i]);
			bench_make_value(keys[i], done, values + i * plan->value_size, plan->value_size);
			items[i].key = (latz_slice){ keys[i], BENCH_KEY_BYTES };
			items[i].value = (latz_slice){ values + i * plan->value_size, plan->value_size };
		}
		rc = latz_mset(pool, items, count, NULL);
		done += count;
		cli_progress_step(&bar, done);
	}
	cli_progress_end(&bar);
	free(keys);
	free(values);
	return rc == LATZ_OK ? CLI_OK : cli_fail(rc, "loading keys", plan->pool_name, NULL);
}

/* A pool of the user's gets its keys taken away again. */
static void delete_keys(struct bench_shared *shared, latz_pool *pool)
{
	uint64_t keys = atomic_load(&shared->inserted);
	char key[BENCH_KEY_BYTES];

	for (uint64_t i = 0; i < keys; i++) {
		bench_make_key(i, key);
		int rc = latz_delete(pool, (latz_slice){ key, BENCH_KEY_BYTES });
		if (rc != LATZ_OK && rc != LATZ_NOTFOUND)
			return;
	}
	(void)!latz_maintain(pool, 0); /* and their memory back */
}

/* Lets the workers run for the planned time and returns the nanoseconds it was. */
static uint64_t measure(const struct bench_plan *plan, struct bench_shared *shared, const pid_t *pids)
{
	struct cli_progress bar;
	unsigned attached;

	atomic_store(&shared->go, 1);
	while ((attached = atomic_load(&shared->ready)) < plan->processes && !cli_signalled()) {
		bool alive = true;
		for (unsigned i = 0; i < plan->processes; i++) {
			siginfo_t info = { .si_pid = 0 };
			if (waitid(P_PID, (id_t)pids[i], &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0)
				alive = false;
		}
		if (!alive && atomic_load(&shared->ready) == attached)
			break; /* it failed, or was killed: the result tells */
		sleep_ms(1);
	}
	uint64_t began_ns = cli_now_ns(), elapsed_ms = 0;
	atomic_store(&shared->go, 2);
	cli_progress_begin(&bar, "running", plan->run_ms);
	while (elapsed_ms < plan->run_ms && !cli_signalled()) {
		uint64_t left = plan->run_ms - elapsed_ms;
		sleep_ms(left < 50 ? left : 50);
		elapsed_ms = (cli_now_ns() - began_ns) / 1000000;
		cli_progress_step(&bar, elapsed_ms);
	}
	atomic_store(&shared->go, 3);
	uint64_t elapsed_ns = cli_now_ns() - began_ns;
	cli_progress_end(&bar);
	return elapsed_ns;
}

static int collect(const struct bench_plan *plan, struct bench_shared *shared, const pid_t *pids)
{
	uint64_t wrong = 0;
	int code = CLI_OK;

	atomic_store(&shared->go, 3);
	for (unsigned i = 0; i < plan->processes; i++) {
		const struct bench_worker *worker = &shared->workers[i];
		int status;
		if (pids[i] <= 0)
			continue;
		while (waitpid(pids[i], &status, 0) < 0 && errno == EINTR)
			continue;
		wrong += worker->wrong;
		if (worker->rc != LATZ_OK)
			code = cli_error(cli_exit_code(worker->rc),
			                 "pool %s: worker %u: %s (%s); the figures are not whole", plan->pool_name, i,
			                 latz_strerror(worker->rc), worker->detail);
		else if (!WIFEXITED(status) || WEXITSTATUS(status) != CLI_OK)
			code = cli_error(CLI_FAIL, "pool %s: worker %u ended with %s %d; the figures are not whole",
			                 plan->pool_name, i, WIFSIGNALED(status) ? "signal" : "status",
			                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	}
	if (wrong > 0)
		code = cli_error(CLI_FAIL,
		                 "pool %s: %" PRIu64 " values read were not what was written; run latzero verify %s",
		                 plan->pool_name, wrong, plan->pool_name);
	return code;
}

static void report_op(struct cli_table *table, const struct bench_plan *plan, const char *name,
                      const struct bench_histogram *histogram, uint64_t ops, double seconds)
{
	static const double parts[] = { 0.5, 0.99, 0.999 };
	static const char *const names[] = { "p50_ns", "p99_ns", "p999_ns" };
	char text[CLI_TEXT_MAX];

	if (cli.json) {
		cli_json_begin(NULL, '{');
		cli_json_text("workload", plan->workload->name);
		cli_json_text("op", name);
		cli_json_u64("processes", plan->processes);
		cli_json_u64("keys", plan->keys);
		cli_json_u64("value_size", plan->value_size);
		cli_json_u64("ops", ops);
		cli_json_double("seconds", seconds);
		cli_json_double("ops_per_second", (double)ops / seconds);
		for (size_t i = 0; i < 3; i++)
			cli_json_u64(names[i], bench_quantile(histogram, parts[i]));
		cli_json_u64("max_ns", histogram->max_ns);
		cli_json_end('}');
		return;
	}
	cli_table_cell(table, "%s", plan->workload->name);
	cli_table_cell(table, "%s", name);
	cli_table_cell(table, "%s", cli_show_count(ops, text));
	cli_table_cell(table, "%s", cli_show_count((uint64_t)((double)ops / seconds), text));
	for (size_t i = 0; i < 4; i++) {
		uint64_t ns = i < 3 ? bench_quantile(histogram, parts[i]) : histogram->max_ns;
		cli_table_cell(table, "%s", cli_show_ns(ns, text));
	}
}

static void report(const struct bench_plan *plan, const struct bench_shared *shared, uint64_t elapsed_ns)
{
	static const char *const columns[] = { "WORKLOAD", "OP",     ">OPS", ">OPS/S", ">P50",
		                               ">P99",     ">P99.9", ">MAX", NULL };
	struct bench_histogram *sums = cli_realloc(NULL, (BENCH_OPS + 1) * sizeof(*sums));
	struct cli_table *table = cli_table_open(columns);
	double seconds = (double)elapsed_ns / 1e9;
	uint64_t ops = 0;
	unsigned kinds = 0;

	memset(sums, 0, (BENCH_OPS + 1) * sizeof(*sums));
	for (unsigned i = 0; i < plan->processes; i++) {
		for (unsigned op = 0; op < BENCH_OPS; op++)
			bench_merge(&sums[op], &shared->workers[i].histograms[op]);
		ops += shared->workers[i].ops;
	}
	if (cli.tty && !cli.json)
		printf("%s: %s. %" PRIu64 " processes, %" PRIu64 " keys of %d bytes, values of %" PRIu64
		       " bytes, %s keys, %.1f s\n",
		       plan->workload->name, plan->workload->about, plan->processes, plan->keys, BENCH_KEY_BYTES,
		       plan->value_size, plan->zipf ? "zipf 0.99" : "uniform", seconds);
	for (unsigned op = 0; op < BENCH_OPS; op++) {
		bench_merge(&sums[BENCH_OPS], &sums[op]);
		if (sums[op].count == 0)
			continue;
		kinds++;
		report_op(table, plan, bench_op_names[op], &sums[op],
		          sums[op].count * (op == BENCH_MGET ? BENCH_MGET_KEYS : 1), seconds);
	}
	if (kinds != 1)
		report_op(table, plan, "all", &sums[BENCH_OPS], ops, seconds);
	cli_table_close(table);
	if (cli.tty && !cli.json && plan->workload->percent[BENCH_MGET] > 0)
		printf("Operations are keys; the times are of calls with %d keys each.\n", BENCH_MGET_KEYS);
	free(sums);
}

static int run_plan(const struct bench_plan *plan, bool own_pool)
{
	size_t size = sizeof(struct bench_shared) + plan->processes * sizeof(struct bench_worker);
	struct bench_shared *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t *pids = cli_realloc(NULL, plan->processes * sizeof(*pids));
	latz_options options;
	latz_pool *pool;

	if (shared == MAP_FAILED)
		return cli_error(CLI_FAIL, "no memory for %" PRIu64 " workers: %s", plan->processes, strerror(errno));
	memset(pids, 0, plan->processes * sizeof(*pids));
	atomic_store(&shared->inserted, plan->keys);
	cli_catch_signals();
	(void)cli_password(); /* read once, before they go their ways */
	int code = fork_workers(plan, shared, pids);
	cli_pool_options(&options, own_pool ? LATZ_CREATE | LATZ_EXCLUSIVE : 0);
	int rc = code == CLI_OK ? cli_attach(plan->pool_name, &options, &pool) : LATZ_OK;
	if (rc != LATZ_OK)
		code = cli_fail_attaching(rc, own_pool ? "creating a pool to measure" : "attaching", plan->pool_name,
		                          NULL);
	if (code != CLI_OK) {
		collect(plan, shared, pids);
		free(pids);
		return code;
	}
	code = load_keys(plan, pool);
	uint64_t elapsed_ns = code == CLI_OK ? measure(plan, shared, pids) : 0;
	int collected = collect(plan, shared, pids);
	if (code == CLI_OK) {
		report(plan, shared, elapsed_ns > 0 ? elapsed_ns : 1);
		code = collected;
	}
	if (!own_pool)
		delete_keys(shared, pool);
	free(pids);
	munmap(shared, size);
	return cli_close(plan->pool_name, pool, code);
}

static int run_bench(const struct cli_command *command, int argc, char **argv)
{
	struct bench_plan plan = { .keys = 100000, .value_size = 100 };
	const char *workload = "b", *keys = NULL;
	int64_t run_ms = -1;
	uint64_t seconds = 5;
	char own_name[64];
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	plan.processes = cores > 0 ? (uint64_t)cores : 1;
	const struct cli_option options[] = {
		{ "workload", CLI_TEXT, &workload },          { "keys", CLI_COUNT, &plan.keys },
		{ "value-size", CLI_SIZE, &plan.value_size }, { "processes", CLI_COUNT, &plan.processes },
		{ "seconds", CLI_COUNT, &seconds },           { "duration", CLI_DURATION, &run_ms },
		{ "distribution", CLI_TEXT, &keys },          { NULL, CLI_FLAG, NULL },
	};

	int count = cli_parse(command, options, argc, argv, 0, 1);
	plan.workload = bench_workload_find(workload);
	if (plan.workload == NULL)
		return cli_error(CLI_USAGE, "--workload %s: there are a, b, c, d, f, get, set and mget", workload);
	if (plan.keys == 0 || plan.keys > UINT64_C(10000000000) || plan.processes == 0 ||
	    plan.processes > PROCESSES_MAX || plan.value_size > UINT32_MAX / LOAD_BATCH)
		return cli_error(CLI_USAGE, "--keys is 1 to 10000000000, --processes 1 to %d, --value-size at most %u",
		                 PROCESSES_MAX, UINT32_MAX / LOAD_BATCH);
	plan.zipf = plan.workload->zipf;
	if (keys != NULL && strcmp(keys, "zipf") != 0 && strcmp(keys, "uniform") != 0)
		return cli_error(CLI_USAGE, "--distribution %s: there are zipf and uniform", keys);
	if (keys != NULL && !plan.workload->latest)
		plan.zipf = strcmp(keys, "zipf") == 0;
	if (run_ms == 0 || (run_ms < 0 && seconds == 0))
		return cli_error(CLI_USAGE, "--%s: it measures for at least 1ms",
		                 run_ms == 0 ? "duration 0s" : "seconds 0");
	plan.run_ms = run_ms > 0 ? (uint64_t)run_ms : seconds * 1000;
	snprintf(own_name, sizeof(own_name), "bench-%d", (int)getpid());
	plan.pool_name = count > 0 ? argv[0] : own_name;
	bench_plan_prepare(&plan);
	return run_plan(&plan, count == 0);
}

const struct cli_command cmd_bench = {
	"bench",
	"[POOL] [OPTION...]",
	"Measures operations per second and latencies",
	"Forks processes that all use one pool, times every operation and checks every value read. Without POOL it "
	"uses a pool of\n"
	"its own, which is gone afterwards; in POOL it writes keys that begin with \"bench\", and deletes them at the "
	"end.\n"
	"The times include reading the clock twice, about 50 ns.\n\n"
	"Options:\n"
	"  --workload W        a: half reads, half updates; b (default): 95% reads; c: reads; d: reads of the latest, "
	"5% inserts;\n"
	"                      f: half read-modify-writes; get, set, mget (100 keys a call): nothing else, uniform\n"
	"  --keys N            how many keys (100000), of 16 bytes\n"
	"  --value-size N      bytes of a value (100)\n"
	"  --processes N       (one a core)\n"
	"  --seconds S         (5); --duration 500ms for less\n"
	"  --distribution D    zipf (0.99) or uniform, instead of the workload's own\n\n"
	"Piped: workload, op, ops, ops/s, and p50, p99, p99.9, max in nanoseconds, tabs between.\n\n"
	"Example:\n"
	"  latzero bench --workload a --keys 1000000 --processes 4\n",
	run_bench,
};
