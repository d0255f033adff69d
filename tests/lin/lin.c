/*
 * Linearizability of a pool: four processes hammer a few keys, each notes when its calls began and ended and what they
 * returned; then each key's history is checked. In some rounds one process is killed in the middle, in some there are
 * two processes of two threads each.
 *
 *   lin [--seed S] [--rounds N] [--ops N]     N operations a process and round
 */
#include "lib/base.h"
#include "lib/proc.h"
#include "lib/rng.h"
#include "lib/tap.h"
#include "lib/tempdir.h"
#include "history.h"

#define PROCESSES 4
#define KEYS_MAX 5
#define TIMEOUT_MS 120000

/* In shared memory, so that what a killed process did is not lost. */
struct log {
	uint32_t count; /* begun */
	struct lin_op ops[];
};

struct round {
	const char *dir;
	uint64_t seed;
	unsigned keys, ops, victim; /* victim: process to kill, PROCESSES for none */
	bool threads;               /* two processes with two threads each */
	struct log *logs[PROCESSES];
};

struct worker {
	struct round *round;
	unsigned me;
};

static latz_slice key_name(char *text, size_t size, unsigned key)
{
	snprintf(text, size, "register-%u", key);
	return latz_str(text);
}

static void read_result(struct lin_op *op, const latz_value *value)
{
	op->got_version = value->version;
	if (op->rc != LATZ_OK || value->version == 0)
		return;
	CHECK(value->size == 8);
	memcpy(&op->got, value->data, 8);
}

/* Makes the call the operation describes and notes the result. */
static void call(latz_pool *pool, struct lin_op *op, latz_value *value)
{
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	char text[32];
	latz_slice key = key_name(text, sizeof(text), op->key), bytes = slice(&op->value, 8);

	options.type = LATZ_INT;
	options.version = &op->got_version;
	switch (op->kind) {
	case LIN_SET_ABSENT: options.flags = LATZ_IF_ABSENT; break;
	case LIN_SET_VERSION:
		options.flags = LATZ_IF_VERSION;
		options.if_version = op->if_version;
		break;
	default: break;
	}
	switch (op->kind) {
	case LIN_GET: op->rc = latz_get(pool, key, value); break;
	case LIN_SET:
	case LIN_SET_ABSENT:
	case LIN_SET_VERSION: op->rc = latz_set(pool, key, bytes, &options); break;
	case LIN_DELETE: op->rc = latz_delete(pool, key); break;
	case LIN_INCREMENT: op->rc = latz_increment(pool, key, op->value, &op->got); break;
	case LIN_SWAP: op->rc = latz_swap(pool, key, bytes, value); break;
	}
}

/* The time, after everything before it has become visible to all. When a call returns, its last store may still wait in
 * the processor's buffer; whoever hears of the return through memory sees the store first, but a clock is read past it.
 */
static uint64_t fenced_clock_ns(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return clock_ns();
}

static enum lin_kind draw_kind(struct rng *rng)
{
	static const enum lin_kind kinds[] = { LIN_GET,        LIN_GET,         LIN_GET,         LIN_GET,
		                               LIN_GET,        LIN_SET,         LIN_SET,         LIN_SET,
		                               LIN_SET_ABSENT, LIN_SET_VERSION, LIN_SET_VERSION, LIN_DELETE,
		                               LIN_INCREMENT,  LIN_INCREMENT,   LIN_SWAP };

	return kinds[rng_below(rng, ARRAY_LEN(kinds))];
}

static int work(void *arg)
{
	struct worker *w = arg;
	struct round *round = w->round;
	struct log *log = round->logs[w->me];
	latz_pool *pool = must_open(round->dir, "lin", 0);
	latz_value value = LATZ_VALUE_INIT;
	uint64_t versions[KEYS_MAX] = { 0 };
	struct rng rng;

	rng_init(&rng, round->seed ^ rng_mix(w->me + 17));
	for (unsigned i = 0; i < round->ops; i++) {
		struct lin_op op = { .kind = draw_kind(&rng), .key = (unsigned)rng_below(&rng, round->keys) };

		op.value = op.kind == LIN_INCREMENT ? 1 : (int64_t)(((uint64_t)w->me + 1) << 40 | (uint64_t)i << 16);
		op.if_version = versions[op.key];
		op.invoked = fenced_clock_ns();
		log->ops[i] = op;
		__atomic_store_n(&log->count, i + 1, __ATOMIC_RELEASE);
		call(pool, &op, &value);
		op.returned = fenced_clock_ns();
		if (op.kind == LIN_GET || op.kind == LIN_SWAP)
			read_result(&op, &value);
		if (op.rc == LATZ_OK && op.got_version != 0 && op.kind != LIN_SWAP)
			versions[op.key] = op.got_version;
		log->ops[i] = op;
	}
	latz_value_free(&value);
	CHECK_OK(latz_close(pool));
	return 0;
}

static void *work_thread(void *arg)
{
	work(arg);
	return NULL;
}

/* This worker and the next in one process. */
static int work_pair(void *arg)
{
	struct worker *w = arg;
	pthread_t threads[2];

	for (int i = 0; i < 2; i++)
		CHECK(pthread_create(&threads[i], NULL, work_thread, &w[i]) == 0);
	for (int i = 0; i < 2; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	return 0;
}

/* The operations around the place from which none can come next. */
static void print_stuck(const struct lin_track *tracks, const struct lin_stuck *stuck)
{
	static const char *const names[] = { "get",    "set",       "set if absent", "set if version",
		                             "delete", "increment", "swap" };
	uint64_t zero = UINT64_MAX;

	for (unsigned i = 0; i < PROCESSES; i++) {
		if (stuck->done[i] < tracks[i].count && tracks[i].ops[stuck->done[i]].invoked < zero)
			zero = tracks[i].ops[stuck->done[i]].invoked;
	}
	fprintf(stderr, "# after %zu operations the key %s, value %" PRIx64 ", version %" PRIu64 "; then:\n",
	        stuck->total, stuck->present ? "is there" : "is not there", (uint64_t)stuck->value, stuck->version);
	for (unsigned i = 0; i < PROCESSES; i++) {
		for (size_t j = stuck->done[i] < 2 ? 0 : stuck->done[i] - 2;
		     j < tracks[i].count && j < stuck->done[i] + 3; j++) {
			const struct lin_op *op = &tracks[i].ops[j];

			fprintf(stderr,
			        "#  p%u%c %s(%" PRIx64 ", if %" PRIu64 "): %s %" PRIx64 " version %" PRIu64 ", %" PRId64
			        " to %" PRId64 " ns\n",
			        i, j < stuck->done[i] ? ' ' : '*', names[op->kind], (uint64_t)op->value, op->if_version,
			        latz_strerror(op->rc), (uint64_t)op->got, op->got_version,
			        (int64_t)(op->invoked - zero),
			        op->returned == 0 ? INT64_MAX : (int64_t)(op->returned - zero));
		}
	}
}

/* Checks one key's history of a round. */
static bool check_key(const struct round *round, unsigned key)
{
	struct lin_track tracks[PROCESSES];
	struct lin_op *ops[PROCESSES];
	struct lin_stuck stuck;
	bool ok;

	for (unsigned i = 0; i < PROCESSES; i++) {
		size_t count = 0;

		ops[i] = check_alloc(round->logs[i]->count * sizeof(struct lin_op));
		for (uint32_t j = 0; j < round->logs[i]->count; j++) {
			if (round->logs[i]->ops[j].key == key)
				ops[i][count++] = round->logs[i]->ops[j];
		}
		tracks[i] = (struct lin_track){ ops[i], count };
	}
	ok = lin_check(tracks, PROCESSES, &stuck);
	if (!ok) {
		fprintf(stderr, "# round seed %" PRIu64 ", key %u: not linearizable\n", round->seed, key);
		print_stuck(tracks, &stuck);
	}
	for (unsigned i = 0; i < PROCESSES; i++)
		free(ops[i]);
	return ok;
}

/* Starts the workers, kills the victim on its way, waits. */
static bool run_workers(struct round *round)
{
	struct proc procs[PROCESSES];
	struct worker workers[PROCESSES];
	unsigned step = round->threads ? 2 : 1;
	bool ok = true;

	for (unsigned i = 0; i < PROCESSES; i++) {
		memset(round->logs[i], 0, sizeof(struct log) + round->ops * sizeof(struct lin_op));
		workers[i] = (struct worker){ round, i };
	}
	for (unsigned i = 0; i < PROCESSES; i += step)
		proc_start(&procs[i], round->threads ? work_pair : work, &workers[i], true);
	for (unsigned i = 0; i < PROCESSES; i += step)
		proc_go(&procs[i]);
	if (round->victim < PROCESSES) {
		while (__atomic_load_n(&round->logs[round->victim]->count, __ATOMIC_ACQUIRE) < round->ops / 2 &&
		       !proc_ended(&procs[round->victim]))
			sched_yield();
		proc_kill(&procs[round->victim], SIGKILL);
	}
	for (unsigned i = 0; i < PROCESSES; i += step) {
		int status = proc_wait(&procs[i], TIMEOUT_MS);

		ok = ok && (status == 0 || (i == round->victim && status == 128 + SIGKILL));
	}
	return ok;
}

static bool run_round(struct round *round)
{
	latz_pool *pool = must_open(round->dir, "lin", LATZ_CREATE | LATZ_EXCLUSIVE);
	bool ok = run_workers(round);

	for (unsigned key = 0; key < round->keys && ok; key++)
		ok = check_key(round, key);
	ok = verify_print(pool) == LATZ_OK && ok;
	CHECK_OK(latz_close(pool));
	return ok;
}

int main(int argc, char **argv)
{
	uint64_t seed = 0, rounds = 12, ops = 3000;
	struct round round = { .dir = tempdir_make() };
	bool calm = true, deadly = true, threaded = true;
	struct rng rng;

	for (int i = 1; i + 1 < argc; i += 2) {
		uint64_t number = strtoull(argv[i + 1], NULL, 0);

		if (strcmp(argv[i], "--seed") == 0)
			seed = number;
		else if (strcmp(argv[i], "--rounds") == 0)
			rounds = number;
		else if (strcmp(argv[i], "--ops") == 0)
			ops = number;
	}
	if (seed == 0)
		seed = rng_test_seed("lin");
	rng_init(&rng, seed);
	round.ops = (unsigned)ops;
	for (unsigned i = 0; i < PROCESSES; i++) {
		round.logs[i] = mmap(NULL, sizeof(struct log) + ops * sizeof(struct lin_op), PROT_READ | PROT_WRITE,
		                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		CHECK(round.logs[i] != MAP_FAILED);
	}
	for (uint64_t i = 0; i < rounds; i++) {
		round.seed = rng_next(&rng);
		round.keys = (unsigned)rng_between(&rng, 1, KEYS_MAX);
		round.victim = i % 3 == 1 ? (unsigned)rng_below(&rng, PROCESSES) : PROCESSES;
		round.threads = i % 3 == 2;
		if (!run_round(&round))
			*(round.threads ? &threaded : round.victim < PROCESSES ? &deadly : &calm) = false;
	}
	tap_ok(calm, "histories of %d processes are linearizable", PROCESSES);
	tap_ok(deadly, "and so they are when one process is killed");
	tap_ok(threaded, "and those of two processes with two threads each");
	return tap_done();
}
