/*
 * Writers in a pool that is synced at every write, all of them killed at a random moment, the pool's files removed, and
 * what the disk gives back compared with what was acknowledged: nothing may be lost. The same files go on through many
 * rounds, so that checkpoints and warm starts of what a death left come in between. In half of the rounds values are
 * compressed, with dictionaries; every second disk belongs to a bounded pool, whose keys may be gone, but never older.
 */
#define _GNU_SOURCE
#include "config.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ledger.h"
#include "wal/wal.h"

#define WRITERS_MAX 32

static uint64_t rounds = 1000, writers = 8, keys = 60, fresh_every = 40;
static int is_short;

static const struct hn_option options[] = {
	{ "short", "10 rounds, for ./dev check", NULL, NULL, &is_short },
	{ "rounds", "how many times all are killed (default 1000)", &rounds, NULL, NULL },
	{ "writers", "processes (default 8, at most 32)", &writers, NULL, NULL },
	{ "keys", "keys a writer has (default 60)", &keys, NULL, NULL },
	{ "fresh", "an empty disk every N rounds (default 40)", &fresh_every, NULL, NULL },
	{ 0 }
};

struct writer {
	unsigned number;
	uint64_t random;
	_Atomic uint64_t acked, trained;
	_Atomic int ready;
	struct hn_ledger *ledger;
};

static struct writer *shared;
static char run[300], disk[300];
static uint64_t checkpoint_bytes;
static int snapshot_on_close, with_guard, compresses;
static uint64_t max_entries; /* 0: not bounded */
static unsigned long guarded;

static latz_options pool_options(unsigned flags)
{
	latz_options o = hn_options(run, LATZ_CREATE | flags | (with_guard ? 0 : LATZ_NO_GUARD));

	o.persist_dir = disk;
	o.sync = LATZ_SYNC_ALWAYS;
	o.checkpoint_bytes = checkpoint_bytes;
	o.snapshot_on_close = snapshot_on_close;
	o.timeout_ms = 5000;
	o.compress_min = compresses ? 40 : 0;
	o.max_entries = max_entries;
	return o;
}

/* Of few values, so that it may be done before all are killed. */
static int train(struct writer *w, latz_pool *pool)
{
	latz_train_options o = LATZ_TRAIN_OPTIONS_INIT;
	latz_train_info info = { .size = sizeof info };
	int rc;

	o.sample_bytes = 64 << 10;
	o.dict_bytes = 2 << 10;
	rc = latz_train(pool, &o, &info);
	w->trained += rc == LATZ_OK && info.dictionary != 0;
	return rc == LATZ_TOOBIG ? LATZ_OK : rc;
}

static int write_on(void *arg)
{
	struct writer *w = arg;
	latz_options o = pool_options(w->number % 2 ? LATZ_NO_THREAD : 0);
	latz_pool *pool;
	int rc = latz_open("pool", &o, &pool);

	if (rc != LATZ_OK) {
		hn_fail("writer %u: open: %s (%s)", w->number, hn_rc(rc), latz_error_detail());
		return 1;
	}
	w->ready = 1;
	for (;;) {
		uint32_t key = (uint32_t)(hn_random(&w->random) % w->ledger->count);
		unsigned lot = (unsigned)(hn_random(&w->random) % 100);

		if (lot < 70)
			rc = hn_ledger_set(w->ledger, pool, key);
		else if (lot < 75)
			rc = hn_ledger_swap(w->ledger, pool, key);
		else if (lot < 95)
			rc = hn_ledger_delete(w->ledger, pool, key);
		else if (lot < 99)
			rc = hn_ledger_mset(w->ledger, pool, key, 1 + lot % 7);
		else if (compresses && hn_random(&w->random) % 4 == 0)
			rc = train(w, pool);
		else
			rc = latz_maintain(pool, 2000);
		if (rc != LATZ_OK && rc != LATZ_NOTFOUND && rc != LATZ_BUSY) {
			hn_fail("writer %u: %s (%s)", w->number, hn_rc(rc), latz_error_detail());
			return 1;
		}
		w->acked++;
	}
}

static int look(void *arg)
{
	const char *when = arg;
	latz_options o;
	latz_pool *pool;
	int rc;

	with_guard = 0;
	o = pool_options(LATZ_NO_THREAD);
	rc = latz_open("pool", &o, &pool);
	if (rc != LATZ_OK) {
		hn_fail("%s: open: %s (%s)", when, hn_rc(rc), latz_error_detail());
		return 1;
	}
	for (unsigned i = 0; i < writers; i++)
		hn_ledger_check(shared[i].ledger, pool, 1, when);
	hn_verify(pool, when);
	rc = latz_close(pool);
	if (rc != LATZ_OK)
		hn_fail("%s: close: %s", when, hn_rc(rc));
	return hn_failures() ? 1 : 0;
}

static void kill_writers(const pid_t *pids, unsigned from, unsigned to, const char *when)
{
	int status;

	for (unsigned i = from; i < to; i++)
		hn_kill(pids[i], SIGKILL);
	for (unsigned i = from; i < to; i++) {
		if (hn_wait(pids[i], 10000, &status) != 0)
			hn_fail("%s: writer %u does not die", when, i);
		else if (!WIFSIGNALED(status))
			hn_fail("%s: writer %u had ended by itself: %s", when, i, hn_status_text(status));
	}
}

/* The guard brings what is missing to the disk and takes the pool's files away. */
static void await_guard(const char *when)
{
	char path[400];
	uint64_t start = hn_now_ns();

	snprintf(path, sizeof path, "%s/pool", run);
	while (access(path, F_OK) == 0) {
		if (hn_since_ms(start) > 20000) {
			hn_fail("%s: the guard does not take the pool away", when);
			return;
		}
		hn_sleep_us(1000);
	}
	guarded++;
}

static void one_round(uint64_t round, uint64_t *random)
{
	pid_t pids[WRITERS_MAX] = { 0 };
	unsigned n = (unsigned)writers, first = (unsigned)(hn_random(random) % (n + 1));
	char when[80];

	snprintf(when, sizeof when, "round %llu", (unsigned long long)round);
	with_guard = round % 4 == 3;
	snapshot_on_close = (int)(hn_random(random) % 2);
	checkpoint_bytes = hn_random(random) % 2 ? 128 << 10 : 1 << 20;
	compresses = (int)(hn_random(random) % 2);
	for (unsigned i = 0; i < n; i++) {
		shared[i].ready = 0;
		shared[i].random = hn_random(random);
		pids[i] = hn_fork(write_on, &shared[i]);
	}
	/* Some deaths come while others are still attaching. */
	if (hn_random(random) % 8) {
		uint64_t start = hn_now_ns();

		for (unsigned i = 0; i < n; i++)
			while (!shared[i].ready && hn_since_ms(start) < 20000)
				hn_sleep_us(200);
	}
	hn_sleep_us(1000 + (unsigned)(hn_random(random) % 40000));
	if (hn_random(random) % 2)
		first = 0;
	kill_writers(pids, 0, first, when);
	if (first > 0 && first < n)
		hn_sleep_us(500 + (unsigned)(hn_random(random) % 10000));
	kill_writers(pids, first, n, when);
	if (with_guard && shared[n - 1].ready)
		await_guard(when);
	hn_remove_tree(run);
	hn_expect(hn_fork(look, when), 60000, 0, when);
	hn_remove_tree(run);
}

static int body(void)
{
	uint64_t random = hn_seed, start = hn_now_ns(), acked = 0, trained = 0, round;

	if (is_short) {
		rounds = 10;
		fresh_every = 5;
	}
	if (writers < 1 || writers > WRITERS_MAX)
		writers = 8;
	lzi_wal_segment_bytes = 256 << 10;
	shared = hn_shared(writers * sizeof *shared);
	for (unsigned i = 0; i < writers; i++) {
		shared[i].number = i;
		shared[i].ledger = hn_ledger_new(i + 1, (uint32_t)keys, 6000);
	}
	hn_subdir(run, sizeof run, "run");
	for (round = 0; round < rounds && !hn_failures(); round++) {
		if (round % fresh_every == 0) {
			hn_subdir(disk, sizeof disk, "disk");
			max_entries = round / fresh_every % 2 ? writers * keys / 2 : 0;
			for (unsigned i = 0; i < writers; i++) {
				hn_ledger_reset(shared[i].ledger);
				shared[i].ledger->evicts = max_entries != 0;
			}
		}
		one_round(round, &random);
	}
	for (unsigned i = 0; i < writers; i++) {
		acked += shared[i].acked;
		trained += shared[i].trained;
	}
	printf("durable: %llu rounds of %llu writers, %lu of them ended by the guard, %llu acknowledged writes, %llu "
	       "dictionaries, %.1f s; lost or torn: %s\n",
	       (unsigned long long)round, (unsigned long long)writers, guarded, (unsigned long long)acked,
	       (unsigned long long)trained,
	       hn_since_ms(start) / 1e3, hn_failures() ? "see above" : "0");
	return hn_failures() ? 1 : 0;
}

static unsigned watchdog(void)
{
	return is_short ? 120 : 3600;
}

int main(int argc, char **argv)
{
	const struct hn_program program = { "crash_durable", "kills all writers of a durable pool", options, 0,
		                            watchdog, body };

	return hn_main(&program, argc, argv);
}
