/* What the parts of the benchmark program share: its configuration, results, loops and worker processes. */
#ifndef RUN_H
#define RUN_H

#include "bench.h"
#include "samples.h"

struct subject {
	const struct system *system;
	void *db;
};

struct config {
	const char *dir;
	const char *only;    /* comma-separated rows, NULL: all */
	const char *systems; /* comma-separated, NULL: all */
	uint64_t keys;
	uint64_t ops; /* a slice of a fast system */
	unsigned rounds;
	double seconds; /* a slice of a worker process */
	int big;
};

extern struct config config;
extern struct subject subjects[SYSTEMS_MAX];
extern unsigned subject_count;

/* ---- results.c: tables and bars ---- */

void report_print(void);

/* ---- loops.c: the timed loops ---- */

enum pattern {
	PATTERN_UNIFORM,
	PATTERN_ZIPF,
	PATTERN_MISS
};

/*
 * Reads ids[0..n); ns per operation. chained: the next key depends on the value read before, as far as the processor
 * knows.
 */
double loop_get(const struct subject *s, const uint32_t *ids, size_t n, uint64_t offset, int chained);
double loop_miss(const struct subject *s, const uint32_t *ids, size_t n);
double loop_mget(const struct subject *s, const uint32_t *ids, size_t n);
double loop_set(const struct subject *s, const uint32_t *ids, size_t n, uint64_t generation);
double loop_mset(const struct subject *s, const uint32_t *ids, size_t n, uint64_t generation);
/*
 * Writes the fresh ids from first on, catch-up included; *cpu_ns: processor time per key over all threads of this
 * process.
 */
double loop_insert(const struct subject *s, uint64_t first, size_t n, double *cpu_ns);
/* Writes them for the set-up, untimed, the fastest way the system has. */
void load_keys(const struct subject *s, uint64_t first, size_t n);
void delete_keys(const struct subject *s, uint64_t first, size_t n);
double loop_scan(const struct subject *s, uint64_t keys);
/* Fills ns[0..n) with the time of each operation. */
void loop_tail_get(const struct subject *s, const uint32_t *ids, size_t n, float *ns);
void loop_tail_set(const struct subject *s, const uint32_t *ids, size_t n, uint64_t generation, float *ns);
/* Every byte of n random keys' values; fails the run if one is wrong. */
void check_values(const struct subject *s, uint64_t keys, size_t n);

/* ---- workers.c: rows with several processes, and attaching ---- */

int worker_main(int argc, char **argv);
void row_processes(const struct subject *s, unsigned round);
void row_attach(const struct subject *s);

/* ---- big.c ---- */

void run_big(void);

#endif
