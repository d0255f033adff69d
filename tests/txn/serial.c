/*
 * Transactions of several processes over a few keys, some of which are killed: each process notes what it did and what
 * it read; then the history has to be serializable (graph.h), and money that is moved between accounts must be all
 * there, whenever it is counted.
 *
 *   serial [--seed S] [--rounds N] [--ops N]     N operations a process and round
 */
#include "../../src/base/point.h"
#include "lib/base.h"
#include "lib/proc.h"
#include "lib/rng.h"
#include "lib/tap.h"
#include "lib/tempdir.h"
#include "graph.h"

#define PROCESSES_MAX 8
#define ACCOUNTS 8 /* the first of the keys */
#define FUNDS 1000
#define TIMEOUT_MS 120000

struct log {
	uint32_t count; /* begun */
	uint32_t bad_sums;
	struct tg_txn txns[];
};

struct round {
	const char *dir;
	uint64_t seed;
	unsigned processes, ops;
	uint32_t point[PROCESSES_MAX]; /* that process dies at this point, + 1; 0: at any time, or not */
	struct log *logs[PROCESSES_MAX];
};

static const char *const points[] = { "txn.locked_one",    "txn.locked",       "txn.listed",     "txn.published_one",
	                              "txn.published",     "txn.committed",    "txn.old_dead",   "txn.note_out",
	                              "txn.finished_one",  "txn.finished",     "txn.booked_one", "bucket.unlocked",
	                              "txn.undone_one",    "txn.mended",       "set.published",  "append.before_tail",
	                              "delete.dead",       "split.copied_one", "reap.begun" };

struct worker {
	struct round *round;
	unsigned me;
	latz_pool *pool;
	struct rng rng;
	uint32_t number; /* of the transaction at hand, in the whole history */
	struct tg_txn *at;
	latz_value value;
};

/* Who wrote it, and, of an account, how much there is. */
struct content {
	uint32_t writer;
	int32_t money;
};

static latz_slice key_number(unsigned key, char text[24])
{
	snprintf(text, 24, key < ACCOUNTS ? "account-%u" : "register-%u", key);
	return latz_str(text);
}

static uint32_t number_of(const struct round *round, unsigned process, uint32_t i)
{
	return 2 + process * round->ops + i; /* 1 is who fills the accounts */
}

static void note_read(struct worker *w, unsigned key, int rc, const latz_value *value)
{
	struct tg_op *op = &w->at->ops[w->at->count];
	struct content content = { 0, 0 };

	CHECK(rc == LATZ_OK || rc == LATZ_NOTFOUND);
	if (rc == LATZ_OK) {
		CHECK(value->size == sizeof content);
		memcpy(&content, value->data, sizeof content);
	}
	*op = (struct tg_op){ (uint8_t)key, false, rc != LATZ_OK, content.writer, rc == LATZ_OK ? value->version : 0 };
	w->at->count++;
}

static void note_write(struct worker *w, unsigned key, bool is_delete)
{
	w->at->ops[w->at->count++] = (struct tg_op){ .key = (uint8_t)key, .is_write = true, .absent = is_delete };
}

/* Some keys, all different. */
static unsigned draw_keys(struct worker *w, unsigned from, unsigned to, unsigned most, unsigned keys[])
{
	unsigned n = (unsigned)rng_between(&w->rng, 2, most), i, j;

	for (i = 0; i < n; i++) {
		do {
			keys[i] = (unsigned)rng_between(&w->rng, from, to - 1);
			for (j = 0; j < i && keys[j] != keys[i]; j++)
				;
		} while (j < i);
	}
	return n;
}

static int32_t read_in(struct worker *w, latz_txn *txn, unsigned key)
{
	struct content content = { 0, 0 };
	char text[24];
	int rc = latz_txn_get(txn, key_number(key, text), &w->value);

	note_read(w, key, rc, &w->value);
	if (rc == LATZ_OK)
		memcpy(&content, w->value.data, sizeof content);
	return content.money;
}

static void write_in(struct worker *w, latz_txn *txn, unsigned key, int32_t money)
{
	struct content content = { w->number, money };
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	char text[24];

	options.version = &w->at->version;
	CHECK_OK(latz_txn_set(txn, key_number(key, text), slice(&content, sizeof content), &options));
	note_write(w, key, false);
}

static enum tg_outcome end(latz_txn *txn)
{
	int rc = latz_txn_commit(txn);

	if (rc == LATZ_OK)
		return TG_DONE;
	CHECK_RC(LATZ_CONFLICT, rc);
	return TG_NOT_DONE;
}

static enum tg_outcome registers(struct worker *w)
{
	unsigned keys[5], n = draw_keys(w, ACCOUNTS, TG_KEYS, 5, keys), i;
	bool wrote = false;
	latz_txn *txn;
	char text[24];

	CHECK_OK(latz_txn_begin(w->pool, 0, &txn));
	for (i = 0; i < n; i++) {
		unsigned what = (unsigned)rng_below(&w->rng, 10);

		if (what < 7)
			(void)read_in(w, txn, keys[i]);
		if (what > 4 && what < 9) {
			write_in(w, txn, keys[i], 0);
			wrote = true;
		} else if (what == 9 && wrote) {
			CHECK_OK(latz_txn_delete(txn, key_number(keys[i], text)));
			note_write(w, keys[i], true);
		}
	}
	return end(txn);
}

static enum tg_outcome transfer(struct worker *w)
{
	unsigned keys[2];
	int32_t money[2], sum = (int32_t)rng_below(&w->rng, 50);
	latz_txn *txn;

	while (draw_keys(w, 0, ACCOUNTS, 2, keys) != 2)
		;
	CHECK_OK(latz_txn_begin(w->pool, 0, &txn));
	for (unsigned i = 0; i < 2; i++)
		money[i] = read_in(w, txn, keys[i]);
	write_in(w, txn, keys[0], money[0] - sum);
	write_in(w, txn, keys[1], money[1] + sum);
	return end(txn);
}

static void check_sum(struct worker *w, int64_t sum)
{
	if (sum != ACCOUNTS * FUNDS)
		w->round->logs[w->me]->bad_sums++;
}

static enum tg_outcome count_money(struct worker *w, bool readonly)
{
	int64_t sum = 0;
	latz_txn *txn;

	CHECK_OK(latz_txn_begin(w->pool, readonly ? (unsigned)LATZ_READONLY : 0, &txn));
	for (unsigned key = 0; key < ACCOUNTS; key++)
		sum += read_in(w, txn, key);
	CHECK_OK(latz_txn_commit(txn));
	check_sum(w, sum);
	return TG_DONE;
}

static enum tg_outcome look_at(struct worker *w, const unsigned *keys, unsigned n, bool money)
{
	latz_value values[ACCOUNTS] = { LATZ_VALUE_INIT };
	latz_slice slices[ACCOUNTS] = { { NULL, 0 } };
	char text[ACCOUNTS][24];
	int results[ACCOUNTS];
	int64_t sum = 0;

	memset(values, 0, sizeof values);
	for (unsigned i = 0; i < n; i++)
		slices[i] = key_number(keys[i], text[i]);
	CHECK_OK(latz_mget(w->pool, slices, n, values, results));
	for (unsigned i = 0; i < n; i++) {
		struct content content = { 0, 0 };

		note_read(w, keys[i], results[i], &values[i]);
		if (results[i] == LATZ_OK)
			memcpy(&content, values[i].data, sizeof content);
		sum += content.money;
		latz_value_free(&values[i]);
	}
	if (money)
		check_sum(w, sum);
	return TG_DONE;
}

static enum tg_outcome read_some(struct worker *w, bool at_once)
{
	unsigned keys[5], n = draw_keys(w, 0, TG_KEYS, 5, keys);
	latz_txn *txn;

	if (at_once)
		return look_at(w, keys, n, false);
	CHECK_OK(latz_txn_begin(w->pool, (unsigned)LATZ_READONLY, &txn));
	for (unsigned i = 0; i < n; i++)
		(void)read_in(w, txn, keys[i]);
	CHECK_OK(latz_txn_commit(txn));
	return TG_DONE;
}

static enum tg_outcome set_many(struct worker *w)
{
	unsigned keys[5], n = draw_keys(w, ACCOUNTS, TG_KEYS, 5, keys);
	struct content content = { w->number, 0 };
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	latz_item items[5];
	char text[5][24];

	options.version = &w->at->version;
	for (unsigned i = 0; i < n; i++) {
		items[i] = (latz_item){ key_number(keys[i], text[i]), slice(&content, sizeof content) };
		note_write(w, keys[i], false);
	}
	CHECK_OK(latz_mset(w->pool, items, n, &options));
	return TG_DONE;
}

static enum tg_outcome set_one(struct worker *w)
{
	unsigned key = (unsigned)rng_between(&w->rng, ACCOUNTS, TG_KEYS - 1);
	struct content content = { w->number, 0 };
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	char text[24];

	options.version = &w->at->version;
	note_write(w, key, false);
	CHECK_OK(latz_set(w->pool, key_number(key, text), slice(&content, sizeof content), &options));
	return TG_DONE;
}

/* A read of one key is of some moment, but a read at a pin that is under way may be of an earlier one than what such
 * reads have seen (doc/together.md). */
static enum tg_outcome get_one(struct worker *w)
{
	unsigned key = (unsigned)rng_below(&w->rng, TG_KEYS);
	char text[24];
	int rc = latz_get(w->pool, key_number(key, text), &w->value);

	w->at->timeless = true;
	note_read(w, key, rc, &w->value);
	return TG_DONE;
}

static enum tg_outcome any(struct worker *w)
{
	static const unsigned all[ACCOUNTS] = { 0, 1, 2, 3, 4, 5, 6, 7 };
	unsigned what = (unsigned)rng_below(&w->rng, 100);

	return what < 32   ? registers(w)
	       : what < 50 ? transfer(w)
	       : what < 57 ? count_money(w, true)
	       : what < 60 ? count_money(w, false)
	       : what < 70 ? look_at(w, all, ACCOUNTS, true)
	       : what < 76 ? read_some(w, false)
	       : what < 82 ? read_some(w, true)
	       : what < 88 ? set_many(w)
	       : what < 95 ? set_one(w)
	                   : get_one(w);
}

static uint64_t fenced_clock_ns(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return clock_ns();
}

static int work(void *arg)
{
	struct worker *w = arg;
	struct round *round = w->round;
	struct log *log = round->logs[w->me];

	w->pool = must_open(round->dir, "serial", 0);
	w->value = (latz_value)LATZ_VALUE_INIT;
	rng_init(&w->rng, round->seed ^ rng_mix(w->me + 17));
	if (round->point[w->me] != 0)
		lzi_point_arm(points[round->point[w->me] - 1], (unsigned)rng_between(&w->rng, 1, 200),
		              LZI_POINT_KILL);
	for (unsigned i = 0; i < round->ops; i++) {
		enum tg_outcome outcome;

		w->at = &log->txns[i];
		w->number = number_of(round, w->me, i);
		memset(w->at, 0, sizeof *w->at);
		w->at->invoked = fenced_clock_ns();
		__atomic_store_n(&log->count, i + 1, __ATOMIC_RELEASE);
		outcome = any(w);
		w->at->returned = fenced_clock_ns();
		w->at->outcome = outcome;
		if (rng_below(&w->rng, 500) == 0)
			(void)!latz_maintain(w->pool, 500);
	}
	latz_value_free(&w->value);
	CHECK_OK(latz_close(w->pool));
	return 0;
}

/* The whole history: who fills the accounts, the processes', who reads everything at the end. */
static bool check_round(struct round *round, latz_pool *pool, struct tg_txn *first)
{
	size_t count = 3 + (size_t)round->processes * round->ops;
	struct tg_txn *txns = check_alloc(count * sizeof *txns), *last = &txns[count - 1];
	struct worker w = { .round = round, .pool = pool, .at = last, .value = LATZ_VALUE_INIT };
	char why[256] = "";
	int64_t sum = 0;
	latz_txn *txn;
	bool good;

	memset(txns, 0, count * sizeof *txns);
	txns[1] = *first;
	for (unsigned p = 0; p < round->processes; p++) {
		memcpy(&txns[number_of(round, p, 0)], round->logs[p]->txns,
		       round->logs[p]->count * sizeof(struct tg_txn));
		if (round->logs[p]->bad_sums > 0)
			snprintf(why, sizeof why, "process %u counted wrong sums %u times", p,
			         round->logs[p]->bad_sums);
	}
	/* Twelve keys at a time fit a transaction of the history. */
	last->invoked = fenced_clock_ns();
	CHECK_OK(latz_txn_begin(pool, (unsigned)LATZ_READONLY, &txn));
	for (unsigned key = 0; key < TG_OPS_MAX; key++)
		sum += read_in(&w, txn, key);
	CHECK_OK(latz_txn_commit(txn));
	last->returned = fenced_clock_ns();
	last->outcome = TG_DONE;
	if (sum != ACCOUNTS * FUNDS)
		snprintf(why, sizeof why, "%" PRId64 " at the end", sum);
	good = why[0] == '\0' && tg_check(txns, count, why);
	if (!good)
		fprintf(stderr, "# round seed %" PRIu64 ": %s\n", round->seed, why);
	latz_value_free(&w.value);
	free(txns);
	return good;
}

static void fill_accounts(latz_pool *pool, struct tg_txn *first)
{
	struct content content = { 1, FUNDS };
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	latz_item items[ACCOUNTS];
	char text[ACCOUNTS][24];

	memset(first, 0, sizeof *first);
	options.version = &first->version;
	first->invoked = fenced_clock_ns();
	for (unsigned key = 0; key < ACCOUNTS; key++) {
		items[key] = (latz_item){ key_number(key, text[key]), slice(&content, sizeof content) };
		first->ops[first->count++] = (struct tg_op){ .key = (uint8_t)key, .is_write = true };
	}
	CHECK_OK(latz_mset(pool, items, ACCOUNTS, &options));
	first->returned = fenced_clock_ns();
	first->outcome = TG_DONE;
}

/* deadly: half of them are killed, at a point or at any time. */
static bool run_round(struct round *round, struct rng *rng, bool deadly)
{
	latz_pool *pool = must_open(round->dir, "serial", LATZ_CREATE | LATZ_EXCLUSIVE);
	struct proc procs[PROCESSES_MAX];
	struct worker workers[PROCESSES_MAX];
	bool killed[PROCESSES_MAX] = { false }, good = true;
	struct tg_txn first;

	fill_accounts(pool, &first);
	for (unsigned p = 0; p < round->processes; p++) {
		killed[p] = deadly && p % 2 == 1;
		round->point[p] = killed[p] && rng_below(rng, 3) > 0 ? 1 + (uint32_t)rng_below(rng, ARRAY_LEN(points))
		                                                     : 0;
		memset(round->logs[p], 0, sizeof(struct log) + round->ops * sizeof(struct tg_txn));
		workers[p] = (struct worker){ .round = round, .me = p };
		proc_start(&procs[p], work, &workers[p], true);
	}
	for (unsigned p = 0; p < round->processes; p++)
		proc_go(&procs[p]);
	for (unsigned p = 0; p < round->processes; p++) {
		uint32_t until = (uint32_t)rng_below(rng, round->ops);

		if (!killed[p] || round->point[p] != 0)
			continue;
		while (__atomic_load_n(&round->logs[p]->count, __ATOMIC_ACQUIRE) < until && !proc_ended(&procs[p]))
			sched_yield();
		proc_kill(&procs[p], SIGKILL);
	}
	for (unsigned p = 0; p < round->processes; p++) {
		int status = proc_wait(&procs[p], TIMEOUT_MS);

		good = good && (status == 0 || (killed[p] && status == 128 + SIGKILL));
	}
	good = good && check_round(round, pool, &first);
	good = verify_print(pool) == LATZ_OK && good;
	CHECK_OK(latz_close(pool));
	return good;
}

int main(int argc, char **argv)
{
	uint64_t seed = 0, rounds = 8, ops = 400;
	struct round round = { .dir = tempdir_make() };
	bool calm = true, deadly = true;
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
		seed = rng_test_seed("serial");
	rng_init(&rng, seed);
	round.ops = (unsigned)ops;
	for (unsigned p = 0; p < PROCESSES_MAX; p++) {
		round.logs[p] = mmap(NULL, sizeof(struct log) + ops * sizeof(struct tg_txn), PROT_READ | PROT_WRITE,
		                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		CHECK(round.logs[p] != MAP_FAILED);
	}
	for (uint64_t i = 0; i < rounds; i++) {
		round.seed = rng_next(&rng);
		round.processes = (unsigned)rng_between(&rng, 4, PROCESSES_MAX);
		if (!run_round(&round, &rng, i % 4 != 0))
			*(i % 4 != 0 ? &deadly : &calm) = false;
	}
	tap_ok(calm, "histories of 4 to %d processes are serializable", PROCESSES_MAX);
	tap_ok(deadly, "and so they are when some are killed");
	return tap_done();
}
