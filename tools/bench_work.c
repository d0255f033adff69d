/*
 * The worker of latzero bench: picks keys and operations, times every one of them and checks what it reads.
 */
#include "bench.h"

#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The mixes of the Yahoo cloud serving benchmark (e, short scans, is latzero scan's business), and single operations.
 */
static const struct bench_workload workloads[] = {
	{ "a", "half reads, half updates", { 50, 50, 0, 0, 0 }, true, false },
	{ "b", "95% reads, 5% updates", { 95, 5, 0, 0, 0 }, true, false },
	{ "c", "reads", { 100, 0, 0, 0, 0 }, true, false },
	{ "d", "95% reads of the latest keys, 5% inserts", { 95, 0, 5, 0, 0 }, true, true },
	{ "f", "half reads, half read-modify-writes", { 50, 0, 0, 50, 0 }, true, false },
	{ "get", "reads, uniform", { 100, 0, 0, 0, 0 }, false, false },
	{ "set", "updates, uniform", { 0, 100, 0, 0, 0 }, false, false },
	{ "mget", "100 keys a call, uniform", { 0, 0, 0, 0, 100 }, false, false },
};

const char *const bench_op_names[BENCH_OPS] = { "read", "update", "insert", "rmw", "mget" };

const struct bench_workload *bench_workload_find(const char *name)
{
	for (size_t i = 0; i < sizeof(workloads) / sizeof(workloads[0]); i++) {
		if (strcmp(workloads[i].name, name) == 0)
			return &workloads[i];
	}
	return NULL;
}

/* ---- Histogram -------------------------------------------------------------------------------------------------- */

static unsigned bucket_of(uint64_t ns)
{
	unsigned shift = 0;

	if (ns >> (BENCH_SUB_BITS + 1) != 0)
		shift = 63u - (unsigned)__builtin_clzll(ns) - BENCH_SUB_BITS;
	unsigned bucket = (shift << BENCH_SUB_BITS) + (unsigned)(ns >> shift);
	return bucket < BENCH_BUCKETS ? bucket : BENCH_BUCKETS - 1;
}

void bench_record(struct bench_histogram *histogram, uint64_t ns)
{
	histogram->buckets[bucket_of(ns)]++;
	histogram->count++;
	if (ns > histogram->max_ns)
		histogram->max_ns = ns;
}

void bench_merge(struct bench_histogram *into, const struct bench_histogram *from)
{
	for (size_t i = 0; i < BENCH_BUCKETS; i++)
		into->buckets[i] += from->buckets[i];
	into->count += from->count;
	if (from->max_ns > into->max_ns)
		into->max_ns = from->max_ns;
}

uint64_t bench_quantile(const struct bench_histogram *histogram, double part)
{
	uint64_t wanted = (uint64_t)ceil((double)histogram->count * part), seen = 0;

	for (unsigned i = 0; i < BENCH_BUCKETS; i++) {
		seen += histogram->buckets[i];
		if (seen >= wanted && seen > 0) {
			unsigned shift = i < 2u << BENCH_SUB_BITS ? 0 : (i >> BENCH_SUB_BITS) - 1;
			uint64_t low = i - (shift << BENCH_SUB_BITS);
			uint64_t upper = ((low + 1) << shift) - 1;
			return upper < histogram->max_ns ? upper : histogram->max_ns;
		}
	}
	return 0;
}

/* ---- Keys ------------------------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t x)
{
	x ^= x >> 31;
	x *= UINT64_C(0x7fb5d329728ea185);
	x ^= x >> 27;
	x *= UINT64_C(0x81dadef4bc2dd44d);
	return x ^ x >> 33;
}

static uint64_t next_random(uint64_t *state)
{
	*state += UINT64_C(0x9e3779b97f4a7c15);
	return mix(*state);
}

static double next_unit(uint64_t *state)
{
	return (double)(next_random(state) >> 11) * 0x1p-53;
}

void bench_make_key(uint64_t number, char key[BENCH_KEY_BYTES])
{
	memcpy(key, "bench", 5);
	for (int i = BENCH_KEY_BYTES - 1; i >= 5; i--) {
		key[i] = (char)('0' + number % 10);
		number /= 10;
	}
}

void bench_make_value(const char key[BENCH_KEY_BYTES], uint64_t salt, char *value, uint64_t size)
{
	uint64_t head = size < BENCH_KEY_BYTES ? size : BENCH_KEY_BYTES;

	memcpy(value, key, head);
	memset(value + head, 'a' + (int)(salt % 26), size - head);
}

/* Gray et al., "Quickly generating billion-record synthetic databases": ranks with frequency 1/rank^theta. */
void bench_plan_prepare(struct bench_plan *plan)
{
	plan->zipf_theta = 0.99;
	if (!plan->zipf)
		return;
	for (uint64_t i = 1; i <= plan->keys; i++)
		plan->zipf_zeta += pow(1.0 / (double)i, plan->zipf_theta);
	double zeta2 = 1 + pow(0.5, plan->zipf_theta);
	plan->zipf_alpha = 1 / (1 - plan->zipf_theta);
	plan->zipf_eta = (1 - pow(2.0 / (double)plan->keys, 1 - plan->zipf_theta)) / (1 - zeta2 / plan->zipf_zeta);
}

static uint64_t zipf_rank(const struct bench_plan *plan, uint64_t *random)
{
	double unit = next_unit(random), scaled = unit * plan->zipf_zeta;

	if (scaled < 1)
		return 0;
	if (scaled < 1 + pow(0.5, plan->zipf_theta))
		return plan->keys > 1 ? 1 : 0;
	uint64_t rank =
		(uint64_t)((double)plan->keys * pow(plan->zipf_eta * unit - plan->zipf_eta + 1, plan->zipf_alpha));
	return rank < plan->keys ? rank : plan->keys - 1;
}

static uint64_t pick_key(const struct bench_plan *plan, struct bench_shared *shared, uint64_t *random)
{
	if (!plan->zipf)
		return next_random(random) % plan->keys;
	uint64_t rank = zipf_rank(plan, random);
	if (!plan->workload->latest)
		return mix(rank) % plan->keys; /* so that hot keys are no neighbours */
	uint64_t keys = atomic_load_explicit(&shared->inserted, memory_order_relaxed);
	return keys - 1 - rank;
}

/* ---- Operations ------------------------------------------------------------------------------------------------- */

struct run {
	const struct bench_plan *plan;
	struct bench_shared *shared;
	struct bench_worker *self;
	latz_pool *pool;
	uint64_t random;
	char *value;
	latz_value got;
	/* for mget */
	char keys[BENCH_MGET_KEYS][BENCH_KEY_BYTES];
	latz_slice slices[BENCH_MGET_KEYS];
	latz_value values[BENCH_MGET_KEYS];
	int results[BENCH_MGET_KEYS];
};

static void check_value(struct run *run, const char *key, const latz_value *value)
{
	size_t head = run->plan->value_size < BENCH_KEY_BYTES ? run->plan->value_size : BENCH_KEY_BYTES;

	if (value->size != run->plan->value_size || memcmp(value->data, key, head) != 0)
		run->self->wrong++;
}

static int write_key(struct run *run, const char *key)
{
	bench_make_value(key, next_random(&run->random), run->value, run->plan->value_size);
	return latz_set(run->pool, (latz_slice){ key, BENCH_KEY_BYTES },
	                (latz_slice){ run->value, run->plan->value_size }, NULL);
}

static int read_key(struct run *run, const char *key)
{
	int rc = latz_get(run->pool, (latz_slice){ key, BENCH_KEY_BYTES }, &run->got);

	if (rc == LATZ_OK)
		check_value(run, key, &run->got);
	if (rc == LATZ_NOTFOUND) { /* a latest key counted but not yet written */
		run->self->misses++;
		rc = LATZ_OK;
	}
	return rc;
}

static int read_many(struct run *run)
{
	int rc = latz_mget(run->pool, run->slices, BENCH_MGET_KEYS, run->values, run->results);

	for (size_t i = 0; i < BENCH_MGET_KEYS && rc == LATZ_OK; i++) {
		if (run->results[i] == LATZ_OK)
			check_value(run, run->keys[i], &run->values[i]);
		else if (run->results[i] == LATZ_NOTFOUND)
			run->self->misses++;
		else
			rc = run->results[i];
	}
	return rc;
}

static enum bench_op pick_op(struct run *run)
{
	unsigned point = (unsigned)(next_random(&run->random) % 100);
	unsigned op = 0;

	while (op + 1 < BENCH_OPS && point >= run->plan->workload->percent[op])
		point -= run->plan->workload->percent[op++];
	return (enum bench_op)op;
}

/* One operation and its record. */
static int step(struct run *run)
{
	enum bench_op op = pick_op(run);
	char key[BENCH_KEY_BYTES];
	int rc = LATZ_OK;

	if (op == BENCH_MGET) {
		for (size_t i = 0; i < BENCH_MGET_KEYS; i++)
			bench_make_key(pick_key(run->plan, run->shared, &run->random), run->keys[i]);
	} else if (op == BENCH_INSERT) {
		bench_make_key(atomic_fetch_add_explicit(&run->shared->inserted, 1, memory_order_relaxed), key);
	} else {
		bench_make_key(pick_key(run->plan, run->shared, &run->random), key);
	}
	uint64_t began_ns = cli_now_ns();
	switch (op) {
	case BENCH_MGET: rc = read_many(run); break;
	case BENCH_READ: rc = read_key(run, key); break;
	case BENCH_RMW:
		rc = read_key(run, key);
		if (rc == LATZ_OK)
			rc = write_key(run, key);
		break;
	default: rc = write_key(run, key);
	}
	bench_record(&run->self->histograms[op], cli_now_ns() - began_ns);
	run->self->ops += op == BENCH_MGET ? BENCH_MGET_KEYS : 1;
	return rc;
}

static int fail(struct bench_worker *self, int rc)
{
	self->rc = rc;
	snprintf(self->detail, sizeof(self->detail), "%s", latz_error_detail());
	return CLI_FAIL;
}

static int wait_for(struct bench_shared *shared, int go)
{
	struct timespec pause = { .tv_nsec = 200000 };
	int now;

	while ((now = atomic_load(&shared->go)) < go)
		nanosleep(&pause, NULL);
	return now;
}

int bench_work(const struct bench_plan *plan, struct bench_shared *shared, unsigned number)
{
	struct bench_worker *self = &shared->workers[number];
	struct run *run = cli_realloc(NULL, sizeof(*run));
	latz_options options;

	memset(run, 0, sizeof(*run));
	run->plan = plan;
	run->shared = shared;
	run->self = self;
	run->random = (uint64_t)number * 7919 + 1;
	run->value = cli_realloc(NULL, plan->value_size + 1);
	for (size_t i = 0; i < BENCH_MGET_KEYS; i++)
		run->slices[i] = (latz_slice){ run->keys[i], BENCH_KEY_BYTES };
	if (wait_for(shared, 1) == 3)
		return CLI_OK;
	cli_pool_options(&options, 0);
	int rc = latz_open(plan->pool_name, &options, &run->pool);
	if (rc != LATZ_OK)
		fail(self, rc);
	atomic_fetch_add(&shared->ready, 1);
	if (rc != LATZ_OK)
		return CLI_FAIL;
	wait_for(shared, 2);
	while (rc == LATZ_OK && atomic_load_explicit(&shared->go, memory_order_relaxed) == 2)
		rc = step(run);
	if (rc != LATZ_OK)
		fail(self, rc);
	latz_value_free(&run->got);
	for (size_t i = 0; i < BENCH_MGET_KEYS; i++)
		latz_value_free(&run->values[i]);
	free(run->value);
	int closed = latz_close(run->pool);
	free(run);
	if (rc == LATZ_OK && closed != LATZ_OK)
		return fail(self, closed);
	return rc == LATZ_OK ? CLI_OK : CLI_FAIL;
}
