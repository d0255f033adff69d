/*
 * What the parent and the workers of latzero bench share: the plan, the area of shared memory, the histogram.
 */
#ifndef LATZERO_TOOLS_BENCH_H
#define LATZERO_TOOLS_BENCH_H

#include "cli.h"

#include <stdatomic.h>

enum bench_op {
	BENCH_READ,
	BENCH_UPDATE,
	BENCH_INSERT,
	BENCH_RMW,
	BENCH_MGET,
	BENCH_OPS
};

enum {
	BENCH_KEY_BYTES = 16,
	BENCH_MGET_KEYS = 100,
	BENCH_SUB_BITS = 5,           /* 32 steps an octave: 3% */
	BENCH_BUCKETS = 36 * 32 + 32, /* up to 2^41 ns */
};

/* Durations in steps of 3%. */
struct bench_histogram {
	uint64_t count, max_ns;
	uint64_t buckets[BENCH_BUCKETS];
};

/* A mix of operations, in percent. */
struct bench_workload {
	const char *name, *about;
	unsigned percent[BENCH_OPS];
	bool zipf, latest;
};

struct bench_plan {
	const struct bench_workload *workload;
	const char *pool_name;
	uint64_t keys, value_size, processes, run_ms;
	bool zipf;
	double zipf_theta, zipf_zeta, zipf_alpha, zipf_eta; /* of the generator, from keys */
};

struct bench_worker {
	uint64_t ops, misses, wrong;
	int rc; /* why it stopped early */
	char detail[256];
	struct bench_histogram histograms[BENCH_OPS];
};

/* In anonymous shared memory. go: 0 wait for the pool, 1 attach, 2 run, 3 stop; written by the parent alone. */
struct bench_shared {
	_Atomic int go;
	_Atomic unsigned ready;    /* workers attached */
	_Atomic uint64_t inserted; /* keys there are: those loaded and those of the workload's inserts */
	struct bench_worker workers[];
};

extern const char *const bench_op_names[BENCH_OPS];

/* NULL if there is none of that name. index < count walks them. */
const struct bench_workload *bench_workload_find(const char *name);

/* Sets up the zipf generator. */
void bench_plan_prepare(struct bench_plan *plan);

/* The key with a number, and a value that begins with it as far as it fits. */
void bench_make_key(uint64_t number, char key[BENCH_KEY_BYTES]);
void bench_make_value(const char key[BENCH_KEY_BYTES], uint64_t salt, char *value, uint64_t size);

/* A worker's life, in its own process; returns its exit code. */
int bench_work(const struct bench_plan *plan, struct bench_shared *shared, unsigned number);

void bench_record(struct bench_histogram *histogram, uint64_t ns);
void bench_merge(struct bench_histogram *into, const struct bench_histogram *from);
/* The duration that a part (0..1) of the operations do not exceed. */
uint64_t bench_quantile(const struct bench_histogram *histogram, double part);

#endif
