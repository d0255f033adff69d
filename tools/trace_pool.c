/*
 * A trace run through a real pool, by several processes that share its requests: what latzero simulate says, checked.
 */
#include "trace.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the processes share. */
struct shared {
	_Atomic uint64_t next; /* request */
	_Atomic uint64_t hits, bytes_hit, bytes_requested, inserts;
	_Atomic int failed; /* the first failure */
	char why[256];
};

static uint64_t largest(const struct trace *trace)
{
	uint64_t most = 1;

	for (size_t i = 0; i < trace->count; i++)
		most = trace->bytes[i] > most ? trace->bytes[i] : most;
	return most;
}

/* Requests until there are no more: a process that is not running holds up one. */
static int run_requests(const struct trace *trace, struct shared *shared, latz_pool *pool, const char *bytes)
{
	latz_value value = LATZ_VALUE_INIT;
	uint64_t at;
	int rc = LATZ_OK;

	while ((at = atomic_fetch_add(&shared->next, 1)) < trace->count && atomic_load(&shared->failed) == 0) {
		latz_slice key = trace_key(trace, at), fresh = { bytes, trace->bytes[at] };

		atomic_fetch_add(&shared->bytes_requested, trace->bytes[at]);
		rc = latz_get(pool, key, &value);
		if (rc == LATZ_OK) {
			atomic_fetch_add(&shared->hits, 1);
			atomic_fetch_add(&shared->bytes_hit, trace->bytes[at]);
			continue;
		}
		if (rc == LATZ_NOTFOUND)
			rc = latz_set(pool, key, fresh, NULL);
		if (rc == LATZ_OK)
			atomic_fetch_add(&shared->inserts, 1);
		else if (rc != LATZ_TOOBIG)
			break;
	}
	latz_value_free(&value);
	return rc == LATZ_NOTFOUND || rc == LATZ_TOOBIG ? LATZ_OK : rc;
}

static void run_child(const struct trace *trace, struct shared *shared, const char *name, const latz_options *options)
{
	char *bytes = calloc(1, largest(trace));
	latz_pool *pool;
	int rc = bytes == NULL ? LATZ_NOMEM : latz_open(name, options, &pool);

	if (rc == LATZ_OK) {
		rc = run_requests(trace, shared, pool, bytes);
		if (rc != LATZ_OK && atomic_exchange(&shared->failed, rc) == 0)
			snprintf(shared->why, sizeof(shared->why), "%s", latz_error_detail());
		(void)!latz_close(pool);
	} else if (atomic_exchange(&shared->failed, rc) == 0) {
		snprintf(shared->why, sizeof(shared->why), "%s", latz_error_detail());
	}
	free(bytes);
	_exit(rc == LATZ_OK ? 0 : 1);
}

static int start(const struct trace *trace, struct shared *shared, const char *name, const latz_options *options,
                 unsigned processes)
{
	unsigned i, ended = 0;
	int status;

	for (i = 0; i < processes; i++) {
		pid_t pid = fork();

		if (pid == 0)
			run_child(trace, shared, name, options);
		if (pid < 0) {
			atomic_store(&shared->failed, LATZ_IO);
			snprintf(shared->why, sizeof(shared->why), "fork: %s", strerror(errno));
			break;
		}
	}
	while (ended < i) {
		if (waitpid(-1, &status, 0) < 0 && errno != EINTR)
			break;
		ended++;
		if (status != 0 && atomic_load(&shared->failed) == 0)
			atomic_store(&shared->failed, LATZ_IO);
	}
	return atomic_load(&shared->failed);
}

int trace_run_in_pool(const struct trace *trace, const latz_options *bounds, unsigned processes,
                      latz_simulate_result_t *ret)
{
	struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	latz_options options = *bounds;
	latz_stats_t stats = { .size = sizeof(stats) };
	latz_pool *pool;
	char name[64];

	if (shared == MAP_FAILED)
		return cli_error(CLI_FAIL, "out of memory");
	snprintf(name, sizeof(name), "simulate-%ld", (long)getpid());
	options.flags = LATZ_CREATE;
	int rc = latz_open(name, &options, &pool);
	if (rc == LATZ_OK) {
		rc = start(trace, shared, name, &options, processes);
		if (rc == LATZ_OK)
			rc = latz_stats(pool, &stats);
		(void)!latz_close(pool);
	}
	if (rc != LATZ_OK) {
		rc = cli_error(cli_exit_code(rc), "pool %s: %s: %s", name, latz_strerror(rc),
		               shared->why[0] != '\0' ? shared->why : latz_error_detail());
	} else {
		ret->requests = trace->count;
		ret->hits = shared->hits;
		ret->bytes_requested = shared->bytes_requested;
		ret->bytes_hit = shared->bytes_hit;
		ret->inserts = shared->inserts;
		ret->evictions = stats.evicted;
		ret->copies = stats.kept;
	}
	munmap(shared, sizeof(*shared));
	return rc;
}
