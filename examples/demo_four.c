/*
 * demo_four POOL FILE SECONDS: four processes read and write the packages at once, one of them is killed with SIGKILL
 * half-way, and at the end every key is compared with what its writer was told is written.
 */
#define _GNU_SOURCE 1
#include "demo_packages.h"

#include <fcntl.h>
#include <inttypes.h>
#include <latzero/latzero.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	WORKERS = 4,
	VICTIM = 2
};

/* What a phase cost a worker. */
struct phase {
	uint64_t reads, writes;
	uint64_t longest_ns[2];     /* a read, a write: from the end of the operation before to its own */
	uint64_t longest_own_ns[2]; /* the same without the time spent waiting for a core */
};

/* Shared with the workers, beside the pool: what they would tell a user. */
struct ledger {
	_Atomic int phase; /* -1 wait, 0 before the kill, 1 after it, 2 stop */
	_Atomic unsigned ready;
	struct worker {
		struct phase phases[2];
		_Atomic uint64_t torn;
		_Atomic int rc;
		char detail[200];
	} workers[WORKERS];
	_Atomic uint64_t acknowledged[]; /* per key: the last count whose latz_set has returned */
};

static int fail(int rc, const char *what)
{
	fprintf(stderr, "demo_four: %s: %s (%s)\n", what, latz_strerror(rc), latz_error_detail());
	return 1;
}

static void sleep_ms(long ms)
{
	struct timespec pause = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	while (nanosleep(&pause, &pause) != 0)
		continue;
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Each key has one writer, the worker of its number modulo 4, so that its counts only grow; all read all. */
static int write_one(latz_pool *pool, const struct demo_packages *packages, struct ledger *ledger, unsigned self,
                     size_t i, char *buffer)
{
	static const latz_set_options text = { .size = sizeof(latz_set_options), .type = LATZ_STRING };
	const struct demo_package *package = &packages->items[i];
	uint64_t count = atomic_load_explicit(&ledger->acknowledged[i], memory_order_relaxed) + 1;
	size_t size = demo_value_make(package, self, count, buffer);
	int rc = latz_set(pool, latz_str(package->key), (latz_slice){ buffer, size }, &text);

	if (rc == LATZ_OK)
		atomic_store_explicit(&ledger->acknowledged[i], count, memory_order_release);
	return rc;
}

static int read_one(latz_pool *pool, const struct demo_packages *packages, struct ledger *ledger, unsigned self,
                    size_t i, latz_value *value)
{
	const struct demo_package *package = &packages->items[i];
	uint64_t count, expected = atomic_load_explicit(&ledger->acknowledged[i], memory_order_acquire);
	unsigned writer;
	int rc = latz_get(pool, latz_str(package->key), value);

	/* Whole, and not older than what was acknowledged before we asked. */
	if (rc == LATZ_OK &&
	    (demo_value_check(package, value->data, value->size, &writer, &count) != 0 || count < expected))
		atomic_fetch_add(&ledger->workers[self].torn, 1);
	return rc;
}

/* How long this process has waited for a core so far, as the kernel counts it; 0 if it does not tell. */
static uint64_t core_wait_ns(int schedstat)
{
	char text[128];
	ssize_t size = schedstat >= 0 ? pread(schedstat, text, sizeof(text) - 1, 0) : -1;
	uint64_t wait_ns = 0;

	if (size <= 0)
		return 0;
	text[size] = '\0';
	return sscanf(text, "%*u %" SCNu64, &wait_ns) == 1 ? wait_ns : 0;
}

/* Pauses, told apart by whose fault they are. Asking the kernel costs more than an operation, so it is asked after long
 * pauses, and now and then to have something to compare with. */
struct pauses {
	int schedstat;
	uint64_t last_ns, waited_ns, operations;
};

static void note_pause(struct pauses *pauses, struct phase *phase, int write)
{
	enum {
		LONG_NS = 500000,
		ASK_EVERY = 256
	};
	uint64_t now_ns = demo_now_ns(), gap_ns = now_ns - pauses->last_ns, own_ns = gap_ns;

	if (gap_ns > LONG_NS || ++pauses->operations % ASK_EVERY == 0) {
		uint64_t waited_ns = core_wait_ns(pauses->schedstat), more_ns = waited_ns - pauses->waited_ns;
		pauses->waited_ns = waited_ns;
		own_ns = gap_ns > more_ns ? gap_ns - more_ns : 0;
	}
	if (gap_ns > phase->longest_ns[write])
		phase->longest_ns[write] = gap_ns;
	if (own_ns > phase->longest_own_ns[write])
		phase->longest_own_ns[write] = own_ns;
	pauses->last_ns = demo_now_ns();
}

static int work(const char *name, const struct demo_packages *packages, struct ledger *ledger, unsigned self)
{
	struct worker *worker = &ledger->workers[self];
	latz_options options = LATZ_OPTIONS_INIT;
	latz_value value = LATZ_VALUE_INIT;
	uint64_t random = 88172645463325252u + self * 1000003u;
	size_t size_max = 0;
	latz_pool *pool;

	for (size_t i = 0; i < packages->count; i++) {
		if (demo_value_max(&packages->items[i]) > size_max)
			size_max = demo_value_max(&packages->items[i]);
	}
	char *buffer = malloc(size_max);
	options.flags = 0;
	int rc = buffer != NULL ? latz_open(name, &options, &pool) : LATZ_NOMEM;
	atomic_fetch_add(&ledger->ready, 1);
	int now;
	while (rc == LATZ_OK && atomic_load(&ledger->phase) < 0)
		sleep_ms(1);
	struct pauses pauses = { .schedstat = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC) };
	pauses.waited_ns = core_wait_ns(pauses.schedstat);
	pauses.last_ns = demo_now_ns();
	while (rc == LATZ_OK && (now = atomic_load_explicit(&ledger->phase, memory_order_relaxed)) < 2) {
		struct phase *phase = &worker->phases[now];
		size_t i = next_random(&random) % packages->count;
		int write = (int)(next_random(&random) >> 32 & 1);
		if (write) {
			i = i - i % WORKERS + self;
			if (i >= packages->count)
				continue;
			rc = write_one(pool, packages, ledger, self, i, buffer);
			phase->writes++;
		} else {
			rc = read_one(pool, packages, ledger, self, i, &value);
			phase->reads++;
		}
		note_pause(&pauses, phase, write);
	}
	if (rc == LATZ_OK)
		rc = latz_close(pool);
	if (rc != LATZ_OK) {
		snprintf(worker->detail, sizeof(worker->detail), "%s (%s)", latz_strerror(rc), latz_error_detail());
		atomic_store(&worker->rc, rc);
	}
	return rc == LATZ_OK ? 0 : 1;
}

static uint64_t longest(const struct phase *phase)
{
	return phase->longest_own_ns[phase->longest_own_ns[1] > phase->longest_own_ns[0]];
}

static void print_phase(const struct ledger *ledger, int phase, double seconds, const char *title)
{
	printf("  %-16s %9s %11s %8s %12s %11s %8s\n", title, "reads/s", "longest ms", "own ms", "writes/s",
	       "longest ms", "own ms");
	for (unsigned i = 0; i < WORKERS; i++) {
		const struct phase *figures = &ledger->workers[i].phases[phase];
		if (phase == 1 && i == VICTIM) {
			printf("    process %-6u      dead\n", i + 1);
			continue;
		}
		printf("    process %-6u %9.0f %11.3f %8.3f %12.0f %11.3f %8.3f\n", i + 1,
		       (double)figures->reads / seconds, (double)figures->longest_ns[0] / 1e6,
		       (double)figures->longest_own_ns[0] / 1e6, (double)figures->writes / seconds,
		       (double)figures->longest_ns[1] / 1e6, (double)figures->longest_own_ns[1] / 1e6);
	}
}

/* Every key against the ledger: nothing acknowledged is missing, nothing is torn. */
static int check_all(latz_pool *pool, const struct demo_packages *packages, struct ledger *ledger)
{
	latz_value value = LATZ_VALUE_INIT;
	uint64_t lost = 0, torn = 0, total = 0, unacknowledged = 0;

	for (size_t i = 0; i < packages->count; i++) {
		uint64_t expected = atomic_load(&ledger->acknowledged[i]), count;
		unsigned writer;
		int rc = latz_get(pool, latz_str(packages->items[i].key), &value);
		total += expected;
		if (rc != LATZ_OK) {
			lost++;
			continue;
		}
		if (demo_value_check(&packages->items[i], value.data, value.size, &writer, &count) != 0)
			torn++;
		else if (count < expected)
			lost++;
		else if (count > expected)
			unacknowledged++;
		/* The victim may have died between the write and its note: that one write more is whole, and may be
		 * there. */
		if (count > expected && (count > expected + 1 || i % WORKERS != VICTIM))
			torn++;
	}
	latz_value_free(&value);
	printf("  %" PRIu64 " acknowledged writes: %" PRIu64 " lost; %zu values: %" PRIu64 " torn\n", total, lost,
	       packages->count, torn);
	if (unacknowledged > 0)
		printf("  %" PRIu64 " write was whole before its writer died and could be told so: it is there\n",
		       unacknowledged);
	return lost == 0 && torn == 0 && unacknowledged <= 1 ? 0 : 1;
}

/* The dead one's place is free again: who is left is the one that holds the pool, and this process. */
static int check_clients(latz_pool *pool)
{
	latz_stats_t stats = { .size = sizeof(stats) };
	int rc = LATZ_OK;

	for (int i = 0; i < 200; i++) {
		rc = latz_stats(pool, &stats);
		if (rc != LATZ_OK || (stats.clients == 2 && stats.reaped >= 1))
			break;
		sleep_ms(10);
	}
	printf("  dead clients cleaned up after: %" PRIu64
	       "; clients now: %u, the one that holds the pool and this check\n",
	       stats.reaped, stats.clients);
	return rc == LATZ_OK && stats.clients == 2 && stats.reaped >= 1 ? 0 : 1;
}

static int finish(struct ledger *ledger, pid_t *pids)
{
	int failed = 0;

	for (unsigned i = 0; i < WORKERS; i++) {
		struct worker *worker = &ledger->workers[i];
		int status = 0;
		if (i != VICTIM && (waitpid(pids[i], &status, 0) != pids[i] || status != 0)) {
			printf("  FAILED: process %u: %s\n", i + 1, worker->detail);
			failed = 1;
		}
		if (atomic_load(&worker->torn) != 0) {
			printf("  FAILED: process %u read %" PRIu64 " torn or stale values\n", i + 1,
			       atomic_load(&worker->torn));
			failed = 1;
		}
		/* Generous: a busy machine pauses processes by itself. Standing still is what must not happen. */
		if (i != VICTIM && (worker->phases[1].writes == 0 || longest(&worker->phases[1]) > 1000000000u)) {
			printf("  FAILED: process %u stood still after the death\n", i + 1);
			failed = 1;
		}
	}
	return failed;
}

int main(int argc, char **argv)
{
	latz_options options = LATZ_OPTIONS_INIT;
	struct demo_packages packages;
	pid_t pids[WORKERS];
	latz_pool *pool;

	if (argc != 4 || demo_packages_read(argv[2], &packages) != 0)
		return 2;
	long half_ms = atol(argv[3]) * 500;
	size_t size = sizeof(struct ledger) + packages.count * sizeof(_Atomic uint64_t);
	struct ledger *ledger = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (ledger == MAP_FAILED)
		return 1;
	atomic_store(&ledger->phase, -1);
	fflush(stdout);
	for (unsigned i = 0; i < WORKERS; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			_exit(work(argv[1], &packages, ledger, i));
		}
	}
	while (atomic_load(&ledger->ready) < WORKERS)
		sleep_ms(1);

	uint64_t began_ns = demo_now_ns();
	atomic_store(&ledger->phase, 0);
	sleep_ms(half_ms);
	kill(pids[VICTIM], SIGKILL);
	uint64_t killed_ns = demo_now_ns();
	atomic_store(&ledger->phase, 1);
	int status;
	waitpid(pids[VICTIM], &status, 0);
	sleep_ms(half_ms);
	atomic_store(&ledger->phase, 2);
	uint64_t ended_ns = demo_now_ns();
	int failed = finish(ledger, pids);

	print_phase(ledger, 0, (double)(killed_ns - began_ns) / 1e9, "Four at once");
	printf("  SIGKILL to process %d, pid %d, in the middle of it\n", VICTIM + 1, (int)pids[VICTIM]);
	print_phase(ledger, 1, (double)(ended_ns - killed_ns) / 1e9, "The others go on");
	options.flags = 0;
	int rc = latz_open(argv[1], &options, &pool);
	if (rc != LATZ_OK)
		return fail(rc, "latz_open");
	failed |= check_all(pool, &packages, ledger);
	failed |= check_clients(pool);
	rc = latz_close(pool);
	if (rc != LATZ_OK)
		return fail(rc, "latz_close");
	if (!WIFSIGNALED(status))
		printf("  FAILED: process %d was not alive to be killed\n", VICTIM + 1);
	return failed || !WIFSIGNALED(status);
}
