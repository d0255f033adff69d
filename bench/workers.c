/*
 * Rows with several processes, and the time to attach. A worker is this program executed anew (no state is
 * inherited), pinned to its core; it opens the store the main process holds, warms up, says so on its stdout, waits
 * for a byte on its stdin, works for the time given and writes its rate.
 */
#define _GNU_SOURCE
#include "run.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	WORKER_IDS = 1 << 18,
	ATTACHES = 300
};

struct worker {
	pid_t pid;
	int in, out; /* its stdin and stdout, our ends */
};

/* ---- In the worker ---- */

static uint64_t work(const struct subject *s, int writer, const uint32_t *ids, double seconds, uint64_t generation)
{
	uint64_t ops = 0, until = bench_now_ns() + (uint64_t)(seconds * 1e9);
	do {
		const uint32_t *at = ids + (ops & (WORKER_IDS - 1));
		if (writer)
			loop_set(s, at, 64, generation);
		else
			loop_get(s, at, 64, 0, 1);
		ops += 64;
	} while (bench_now_ns() < until);
	return ops;
}

static int worker_rate(struct subject *s, int writer, uint64_t keys, double seconds, uint64_t seed)
{
	static uint32_t ids[WORKER_IDS];
	char byte = 'r';
	bench_fill_uniform(ids, WORKER_IDS, keys, seed);
	/* touch every page once, so that no page fault is left for the time that counts */
	for (uint64_t id = 0; id < keys; id += 4) {
		uint32_t one = (uint32_t)id;
		loop_get(s, &one, 1, 0, 0);
	}
	work(s, writer, ids, seconds / 4, seed);
	if (write(1, &byte, 1) != 1 || read(0, &byte, 1) != 1)
		return 1;
	uint64_t start = bench_now_ns();
	double rate = (double)work(s, writer, ids, seconds, seed + 1) * 1e9;
	rate /= (double)(bench_now_ns() - start);
	return write(1, &rate, sizeof(rate)) != sizeof(rate);
}

static int worker_attach(const struct system *system, const char *dir, const char *name)
{
	double us[ATTACHES];
	for (int i = 0; i < ATTACHES; i++) {
		uint64_t start = bench_now_ns();
		void *db = system->open(dir, name, 0, 0);
		us[i] = (double)(bench_now_ns() - start) / 1000;
		if (db == NULL)
			return 1;
		system->close(db);
	}
	return write(1, us, sizeof(us)) != sizeof(us);
}

/* worker SYSTEM read|write|attach DIR NAME KEYS CORE SECONDS SEED */
int worker_main(int argc, char **argv)
{
	struct subject s = { NULL, NULL };
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (argc != 10)
		return 2;
	for (int i = 0; bench_systems[i] != NULL; i++)
		if (strcmp(bench_systems[i]->name, argv[2]) == 0)
			s.system = bench_systems[i];
	if (s.system == NULL)
		return 2;
	if (strcmp(argv[3], "attach") == 0) {
		bench_pin(atoi(argv[7]));
		return worker_attach(s.system, argv[4], argv[5]);
	}
	bench_pin(-1); /* threads the system starts may run anywhere, as in the main process */
	uint64_t keys = strtoull(argv[6], NULL, 10);
	s.db = s.system->open(argv[4], argv[5], 0, keys);
	if (s.db == NULL)
		return 1;
	bench_pin(atoi(argv[7]));
	int rc = worker_rate(&s, strcmp(argv[3], "write") == 0, keys, atof(argv[8]), strtoull(argv[9], NULL, 10));
	s.system->close(s.db);
	return rc;
}

/* ---- In the main process ---- */

static struct worker worker_start(const struct subject *s, const char *kind, const char *name, int core, uint64_t seed)
{
	struct worker w;
	int in[2], out[2];
	char keys[24], core_text[12], seconds[24], seed_text[24];
	if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0)
		bench_fail("pipe");
	snprintf(keys, sizeof(keys), "%llu", (unsigned long long)config.keys);
	snprintf(core_text, sizeof(core_text), "%d", core);
	snprintf(seconds, sizeof(seconds), "%.3f", config.seconds);
	snprintf(seed_text, sizeof(seed_text), "%llu", (unsigned long long)seed);
	char *argv[] = { "latzero-bench",
		         "worker",
		         (char *)s->system->name,
		         (char *)kind,
		         (char *)config.dir,
		         (char *)name,
		         keys,
		         core_text,
		         seconds,
		         seed_text,
		         NULL };
	w.pid = fork();
	if (w.pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		execv("/proc/self/exe", argv);
		_exit(127);
	}
	if (w.pid < 0)
		bench_fail("fork");
	close(in[0]);
	close(out[1]);
	w.in = in[1];
	w.out = out[0];
	return w;
}

static void read_all(const struct worker *w, void *to, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t got = read(w->out, (char *)to + done, size - done);
		if (got <= 0)
			bench_fail("a worker process ended early");
		done += (size_t)got;
	}
}

static void worker_end(struct worker *w)
{
	int status;
	close(w->in);
	close(w->out);
	if (waitpid(w->pid, &status, 0) != w->pid || status != 0)
		bench_fail("a worker process ended with status %d", status);
}

/*
 * Runs the workers at the same time, the first on core first_core, the second (kind2, may be NULL) on the other;
 * operations/s.
 */
static void run_workers(const struct subject *s, const char *kind1, const char *kind2, int first_core, double rates[2])
{
	static uint64_t seed = 1000;
	int cores[2] = { first_core, first_core == bench_core_main() ? bench_core_other() : bench_core_main() };
	struct worker workers[2];
	int n = kind2 != NULL ? 2 : 1;
	char byte = 'g';
	for (int i = 0; i < n; i++) {
		workers[i] = worker_start(s, i == 0 ? kind1 : kind2, "many", cores[i], seed);
		seed += 10;
	}
	for (int i = 0; i < n; i++)
		read_all(&workers[i], &byte, 1);
	for (int i = 0; i < n; i++)
		if (write(workers[i].in, &byte, 1) != 1)
			bench_fail("a worker process ended early");
	for (int i = 0; i < n; i++)
		read_all(&workers[i], &rates[i], sizeof(rates[i]));
	for (int i = 0; i < n; i++)
		worker_end(&workers[i]);
	if (s->system->settle != NULL)
		s->system->settle(s->db);
}

/* One process alone is measured on both cores: they need not be alike. */
void row_processes(const struct subject *s, unsigned round)
{
	int a = bench_core_main(), b = bench_core_other();
	const char *name = s->system->name;
	double read_a[2], read_b[2], write_a[2], write_b[2], two[2];
	(void)round;
	bench_pin(-1);
	int readers = list_has(config.only, "readers"), beside = list_has(config.only, "beside");
	int writers = list_has(config.only, "writers");
	if (readers || beside) {
		run_workers(s, "read", NULL, a, read_a);
		run_workers(s, "read", NULL, b, read_b);
		result_add("read-rate", name, (read_a[0] + read_b[0]) / 2e6);
	}
	if (readers) {
		run_workers(s, "read", "read", a, two);
		result_add("readers", name, (two[0] + two[1]) / ((read_a[0] + read_b[0]) / 2));
	}
	if (beside) {
		run_workers(s, "read", "write", a, two);
		result_add("beside", name, 100 * (1 - two[0] / read_a[0]));
		result_add("beside-rate", name, two[1] / 1e6);
	}
	if (writers) {
		run_workers(s, "write", NULL, a, write_a);
		run_workers(s, "write", NULL, b, write_b);
		result_add("write-rate", name, (write_a[0] + write_b[0]) / 2e6);
		run_workers(s, "write", "write", a, two);
		result_add("writers", name, (two[0] + two[1]) / ((write_a[0] + write_b[0]) / 2));
	}
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* The first attach of a process, and the median of many in one. */
void row_attach(const struct subject *s)
{
	static const char *const names[] = { "few", "many" };
	bench_pin(-1);
	for (int i = 0; i < 2; i++) {
		double us[ATTACHES];
		struct worker w = worker_start(s, "attach", names[i], bench_core_main(), 0);
		read_all(&w, us, sizeof(us));
		worker_end(&w);
		result_add(i == 0 ? "attach-first-few" : "attach-first-many", s->system->name, us[0]);
		qsort(us, ATTACHES, sizeof(us[0]), by_value);
		result_add(i == 0 ? "attach-few" : "attach-many", s->system->name, us[ATTACHES / 2]);
	}
}
