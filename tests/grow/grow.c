/*
 * A pool grows under its readers' feet and gives memory back: readers attached while it was small see every key of a
 * pool grown to gigabytes without opening it again, and after most of it is deleted its files shrink to at most twice
 * the live bytes within seconds, with the readers reading all along.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "../crash/ledger.h"

static uint64_t grow_mib = 2048, readers = 8, limit_s = 5, keep_percent = 10, big_every = 173;
static int is_short;

static const struct hn_option options[] = {
	{ "short", "128 MiB instead of 2 GiB", NULL, NULL, &is_short },
	{ "mib", "grow to so many MiB of values (default 2048)", &grow_mib, NULL, NULL },
	{ "readers", "readers attached all along (default 8, at most 32)", &readers, NULL, NULL },
	{ "limit-s", "files must have shrunk by then (default 5)", &limit_s, NULL, NULL },
	{ "keep", "percent of the keys that stay (default 10)", &keep_percent, NULL, NULL },
	{ "big-every",
	  "every N-th value has 100 000 bytes; with a multiple of 100 (default 173) none of those is deleted",
	  &big_every, NULL, NULL },
	{ 0 }
};

#define READERS_MAX 32
#define OWNER 5

struct shared {
	_Atomic uint32_t keys; /* written so far */
	_Atomic int shrinking; /* a key that is to go may be missing */
	_Atomic int full_pass; /* number of the pass over all keys that readers shall make */
	_Atomic int stop;
	struct {
		_Atomic int ready, passed, bad;
		_Atomic uint64_t reads;
		struct hn_waits waits;
	} reader[READERS_MAX];
};

static struct shared *sh;
static char dir[300];

static size_t size_of(uint32_t i)
{
	return i % big_every == 0 ? 100000 : HN_VALUE_MIN + 600 + i % 800;
}

static int stays(uint32_t i)
{
	return i % 100 < keep_percent;
}

static latz_pool *attach(unsigned flags)
{
	latz_options o = hn_options(dir, LATZ_CREATE | flags);
	latz_pool *pool = NULL;
	int rc = latz_open("pool", &o, &pool);

	if (rc != LATZ_OK)
		hn_fail("open: %s (%s)", hn_rc(rc), latz_error_detail());
	return rc == LATZ_OK ? pool : NULL;
}

static int only_reads(int me)
{
	return me % 2;
}

static void read_key(latz_pool *pool, uint32_t i, int me, latz_value *value, struct hn_meter *meter)
{
	char key[HN_KEY_MAX];
	uint64_t number = 0, start = hn_meter_begin(meter);
	int was_shrinking = sh->shrinking, rc = latz_get(pool, hn_key(key, OWNER, i), value);

	if (i % big_every)
		hn_meter_end(meter, start, &sh->reader[me].waits);
	sh->reader[me].reads++;
	if (rc == LATZ_NOTFOUND && !stays(i) && (was_shrinking || sh->shrinking))
		return;
	if (rc == LATZ_DEAD && only_reads(me) && sh->stop)
		return; /* he keeps no pool: it went with the last of the others */
	if (rc != LATZ_OK)
		hn_fail("reader %d: key %u of %u: %s (%s)", me, i, (unsigned)sh->keys, hn_rc(rc), latz_error_detail());
	else if (hn_value_check(value->data, value->size, OWNER, i, &number) != 0 || number != i + 1u)
		hn_fail("reader %d: key %u is torn or wrong", me, i);
	else
		return;
	sh->reader[me].bad++;
}

static int reader_run(void *arg)
{
	int me = *(int *)arg, passed = 0;
	latz_value value = LATZ_VALUE_INIT;
	struct hn_meter meter;
	uint64_t rnd = hn_seed + (uint64_t)me;
	latz_pool *pool = attach(only_reads(me) ? LATZ_NO_THREAD | LATZ_READONLY : 0);
	int rc;

	if (!pool)
		return 1;
	hn_meter_open(&meter);
	while (!sh->stop && sh->reader[me].bad < 3) {
		if (sh->keys == 0) {
			hn_sleep_us(1000);
			sh->reader[me].ready = 1;
			continue;
		}
		for (int i = 0; i < 200 && !sh->reader[me].bad; i++)
			read_key(pool, (uint32_t)(hn_random(&rnd) % sh->keys), me, &value, &meter);
		sh->reader[me].ready = 1;
		/* Reading all along, but not instead of everybody else on a machine of few processors. */
		hn_sleep_us(2000);
		if (passed == sh->full_pass)
			continue;
		for (uint32_t i = 0; i < sh->keys && sh->reader[me].bad < 3; i++)
			read_key(pool, i, me, &value, &meter);
		sh->reader[me].passed = ++passed;
	}
	latz_value_free(&value);
	rc = latz_close(pool);
	return rc != LATZ_OK || sh->reader[me].bad ? 1 : 0;
}

static void full_pass(const char *when)
{
	uint64_t start = hn_now_ns();
	int pass = ++sh->full_pass;

	for (int i = 0; i < (int)readers; i++)
		while (sh->reader[i].passed < pass && !sh->reader[i].bad) {
			if (hn_since_ms(start) > 600e3) {
				hn_fail("%s: reader %d does not come to an end", when, i);
				return;
			}
			hn_sleep_us(2000);
		}
	printf("%s: %d readers saw all %u keys, %.1f s\n", when, (int)readers, (unsigned)sh->keys,
	       hn_since_ms(start) / 1e3);
	fflush(stdout);
}

static uint64_t write_until(latz_pool *pool, uint64_t bytes)
{
	unsigned char *value = malloc(1 << 17);
	uint64_t total = 0;
	char key[HN_KEY_MAX];

	for (uint32_t i = sh->keys; value && total < bytes; i++) {
		size_t size = size_of(i);
		int rc;

		hn_value_fill(value, size, OWNER, i, i + 1u);
		rc = latz_set(pool, hn_key(key, OWNER, i), (latz_slice){ value, size }, NULL);
		if (rc != LATZ_OK) {
			hn_fail("set of key %u after %llu MiB: %s (%s)", i, (unsigned long long)(total >> 20),
			        hn_rc(rc), latz_error_detail());
			break;
		}
		sh->keys = i + 1;
		total += size;
	}
	free(value);
	return total;
}

static void shrink(latz_pool *pool, const char *path)
{
	latz_stats_t s = { .size = sizeof s };
	uint64_t start, blocks = 0, live;
	char key[HN_KEY_MAX];
	int rc;

	sh->shrinking = 1;
	for (uint32_t i = 0; i < sh->keys; i++) {
		if (stays(i))
			continue;
		rc = latz_delete(pool, hn_key(key, OWNER, i));
		if (rc != LATZ_OK) {
			hn_fail("delete of key %u: %s (%s)", i, hn_rc(rc), latz_error_detail());
			return;
		}
	}
	start = hn_now_ns();
	do {
		hn_sleep_us(20000);
		rc = latz_stats(pool, &s);
		live = s.live_bytes;
		blocks = hn_tree_blocks(path);
	} while (rc == LATZ_OK && blocks > 2 * live && hn_since_ms(start) < (double)limit_s * 1e3);
	printf("shrunk: %.1f MiB live, files %.1f MiB (%.2fx) after %.2f s (limit %llu); heap %.1f table %.1f index "
	       "%.1f MiB\n",
	       (double)live / 1048576, (double)blocks / 1048576, live ? (double)blocks / (double)live : 0.0,
	       hn_since_ms(start) / 1e3, (unsigned long long)limit_s, (double)s.heap_bytes / 1048576,
	       (double)s.table_bytes / 1048576, (double)s.index_bytes / 1048576);
	if (rc != LATZ_OK || live == 0)
		hn_fail("stats: %s, %llu live bytes", hn_rc(rc), (unsigned long long)live);
	else if (blocks > 2 * live)
		hn_fail("%llu s after deleting %llu%% the files are %.2fx the live bytes: %llu bytes dead, %llu "
		        "extents, %llu of "
		        "them free, %llu given back; index %llu behind",
		        (unsigned long long)limit_s, 100 - (unsigned long long)keep_percent,
		        (double)blocks / (double)live, (unsigned long long)s.dead_bytes, (unsigned long long)s.extents,
		        (unsigned long long)s.extents_free, (unsigned long long)s.extents_hole,
		        (unsigned long long)s.index_lag_bytes);
}

static int worker_run(void *arg)
{
	latz_pool *pool = attach(0);
	uint64_t start, total;
	char path[400];
	int rc;

	(void)arg;
	if (!pool)
		return 1;
	snprintf(path, sizeof path, "%s/pool", dir);
	write_until(pool, 1 << 20);
	for (int i = 0; i < (int)readers; i++)
		for (start = hn_now_ns(); !sh->reader[i].ready && hn_since_ms(start) < 10000;)
			hn_sleep_us(1000);
	full_pass("small");
	start = hn_now_ns();
	total = write_until(pool, grow_mib << 20);
	printf("grown: %llu MiB of values in %.1f s, files %.1f MiB\n", (unsigned long long)(total >> 20),
	       hn_since_ms(start) / 1e3, (double)hn_tree_blocks(path) / 1048576);
	fflush(stdout);
	if (!hn_failures())
		full_pass("large");
	if (!hn_failures())
		shrink(pool, path);
	if (!hn_failures())
		full_pass("shrunk");
	sh->stop = 1;
	hn_verify(pool, "at the end");
	rc = latz_close(pool);
	return rc != LATZ_OK || hn_failures() ? 1 : 0;
}

static int body(void)
{
	static int numbers[READERS_MAX];
	pid_t pids[READERS_MAX], worker;
	struct statvfs st;
	double wall = 0, net = 0;
	uint64_t reads = 0;

	if (is_short)
		grow_mib = 128;
	readers = readers > READERS_MAX ? READERS_MAX : readers;
	sh = hn_shared(sizeof *sh);
	hn_subdir(dir, sizeof dir, "grow");
	if (statvfs(dir, &st) == 0 && st.f_bavail * st.f_bsize / 1048576 < grow_mib * 2) {
		printf("1..0 # SKIP %llu MiB free in %s, %llu wanted (--base elsewhere)\n",
		       (unsigned long long)(st.f_bavail * st.f_bsize / 1048576), dir, (unsigned long long)grow_mib * 2);
		return HN_SKIP;
	}
	/* The pool must be there before those who only read come. */
	worker = hn_fork(worker_run, NULL);
	for (uint64_t start = hn_now_ns(); sh->keys == 0 && hn_since_ms(start) < 5000;)
		hn_sleep_us(500);
	for (int i = 0; i < (int)readers; i++) {
		numbers[i] = i;
		pids[i] = hn_fork(reader_run, &numbers[i]);
	}
	hn_expect(worker, 1200000, 0, "worker");
	sh->stop = 1;
	for (int i = 0; i < (int)readers; i++) {
		hn_expect(pids[i], 20000, 0, "reader");
		reads += sh->reader[i].reads;
		wall = (double)sh->reader[i].waits.max_wall_ns / 1e6 > wall
		               ? (double)sh->reader[i].waits.max_wall_ns / 1e6
		               : wall;
		net = (double)sh->reader[i].waits.max_net_ns / 1e6 > net ? (double)sh->reader[i].waits.max_net_ns / 1e6
		                                                         : net;
	}
	printf("grow: %llu reads meanwhile, the longest %.2f ms, of it waiting %.2f ms; %d failures\n",
	       (unsigned long long)reads, wall, net, hn_failures());
	return hn_failures() ? 1 : 0;
}

static unsigned watchdog(void)
{
	return is_short ? 120 : 1800;
}

int main(int argc, char **argv)
{
	const struct hn_program program = { "grow",   "a pool grows and shrinks under attached readers",
		                            options,  0,
		                            watchdog, body };

	return hn_main(&program, argc, argv);
}
