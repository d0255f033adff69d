/*
 * Memory that comes back, whatever is written: values of mixed sizes are written over and deleted while as much stays
 * alive, without a bound and in a pool that is always full; then most of them are deleted; and values of hundreds of
 * megabytes come and go. Readers are attached all along, read, and check what they read. At most a tenth of the files'
 * blocks may hold nothing alive seconds after, twice the live bytes after the deletion, and huge values leave neither
 * blocks nor a longer heap behind.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "../crash/ledger.h"

#define MIB (1ull << 20)
#define WRITERS_MAX 16
#define READERS_MAX 16
#define HUGE_OWNER 90u
#define SOME_OWNER 91u

static uint64_t ops_total = 10000000, live_mib = 256, writers = 2, readers = 3, settle_s = 5, waste_percent = 10,
		huge_mib = 100, huge_rounds = 40;
static int is_short;
static const char *only;

static const struct hn_option options[] = {
	{ "short", "60 000 operations on 96 MiB, of which 20 % may be wasted; 3 huge values", NULL, NULL, &is_short },
	{ "ops", "operations before it is looked at, a scene (default 10 000 000)", &ops_total, NULL, NULL },
	{ "mib", "of values alive; and max_bytes of the full pool (default 256)", &live_mib, NULL, NULL },
	{ "writers", "processes that write (default 2)", &writers, NULL, NULL },
	{ "readers", "processes that read (default 3)", &readers, NULL, NULL },
	{ "settle-s", "time that memory has to come back (default 5)", &settle_s, NULL, NULL },
	{ "waste", "percent of the blocks that may hold nothing alive then (default 10)", &waste_percent, NULL, NULL },
	{ "huge-mib", "size of the least huge value (default 100)", &huge_mib, NULL, NULL },
	{ "huge-rounds", "huge values written, at most four alive at a time (default 40)", &huge_rounds, NULL, NULL },
	{ "scene", "only steady, full or huge", NULL, &only, NULL },
	{ 0 }
};

struct shared {
	_Atomic int stop;     /* everybody leaves */
	_Atomic uint64_t ops; /* done */
	_Atomic uint64_t reads, found, set_bytes;
	_Atomic int ready, bad;
	_Atomic uint64_t huge[4]; /* number of the huge value in each place; 0: none */
};

struct scene {
	const char *name;
	uint64_t max_bytes;
	uint32_t keys; /* of each writer */
	char dir[300], path[400];
};

static struct shared *sh;
static struct scene scene;

/* ---- Keys and values -------------------------------------------------------------------------------------------- */

/* 64 bytes to a megabyte, 5.6 kB on average. */
static size_t size_of(uint64_t number)
{
	uint64_t r = hn_mix(number * 7919), lot = r % 1000, n = r >> 20;

	return (size_t)(lot < 700   ? 64 + n % 960
	                : lot < 950 ? 1024 + n % 7168
	                : lot < 995 ? 8192 + n % 53000
	                            : 65536 + n % 983041);
}

static latz_pool *attach(unsigned flags)
{
	latz_options o = hn_options(scene.dir, LATZ_CREATE | flags);
	latz_pool *pool = NULL;
	int rc;

	o.max_bytes = scene.max_bytes;
	rc = latz_open("pool", &o, &pool);
	if (rc != LATZ_OK)
		hn_fail("open: %s (%s)", hn_rc(rc), latz_error_detail());
	return rc == LATZ_OK ? pool : NULL;
}

static int write_value(latz_pool *pool, uint32_t owner, uint32_t index, uint64_t number, size_t size)
{
	unsigned char *bytes = malloc(size);
	char key[HN_KEY_MAX];
	int rc;

	if (!bytes)
		hn_die("no memory");
	hn_value_fill(bytes, size, owner, index, number);
	rc = latz_set(pool, hn_key(key, owner, index), (latz_slice){ bytes, size }, NULL);
	free(bytes);
	if (rc != LATZ_OK)
		hn_fail("set of %zu bytes: %s (%s)", size, hn_rc(rc), latz_error_detail());
	return rc;
}

/* ---- Who works -------------------------------------------------------------------------------------------------- */

static int writer_run(void *arg)
{
	uint32_t me = *(uint32_t *)arg;
	uint64_t rnd = hn_seed * 31 + me, number = me;
	latz_value value = LATZ_VALUE_INIT;
	latz_pool *pool = attach(0);
	char key[HN_KEY_MAX];
	int rc = pool ? LATZ_OK : LATZ_DEAD;

	for (uint32_t i = 0; i < scene.keys && rc == LATZ_OK; i++, number += WRITERS_MAX)
		rc = write_value(pool, me, i, number, size_of(number));
	sh->ready++;
	while (rc == LATZ_OK && !sh->stop && sh->ops < ops_total) {
		for (int n = 0; n < 64 && rc == LATZ_OK; n++) {
			uint64_t r = hn_random(&rnd), what;
			uint32_t index = (uint32_t)(r % scene.keys);

			number += WRITERS_MAX;
			what = r >> 32 & 15;
			if (what < 10)
				rc = write_value(pool, me, index, number, size_of(number));
			else if (what < 11)
				rc = latz_delete(pool, hn_key(key, me, index));
			else
				rc = latz_get(pool, hn_key(key, me, index), &value);
			if (what >= 11 && rc == LATZ_OK && hn_value_check(value.data, value.size, me, index, &r) != 0)
				hn_fail("key %u/%u is torn", me, index);
			rc = rc == LATZ_NOTFOUND ? LATZ_OK : rc;
			sh->set_bytes += what < 10 ? size_of(number) : 0;
		}
		sh->ops += 64;
	}
	if (rc != LATZ_OK)
		hn_fail("writer %u: %s (%s)", me, hn_rc(rc), latz_error_detail());
	/* Attached to the end, like everybody. */
	while (rc == LATZ_OK && !sh->stop)
		hn_sleep_us(5000);
	latz_value_free(&value);
	if (pool && latz_close(pool) != LATZ_OK)
		hn_fail("close: %s", latz_error_detail());
	sh->bad += hn_failures();
	return hn_failures() ? 1 : 0;
}

static void read_one(latz_pool *pool, uint32_t owner, uint32_t index, uint64_t least, latz_value *value)
{
	char key[HN_KEY_MAX];
	uint64_t number = 0;
	int rc = latz_get(pool, hn_key(key, owner, index), value);

	sh->reads++;
	if (rc == LATZ_NOTFOUND)
		return;
	sh->found++;
	if (rc != LATZ_OK)
		hn_fail("get: %s (%s)", hn_rc(rc), latz_error_detail());
	else if (hn_value_check(value->data, value->size, owner, index, &number) != 0 || number < least)
		hn_fail("reader: key %u/%u is torn, wrong or old (%zu bytes)", owner, index, value->size);
	sh->bad += hn_failures();
}

/* A huge value is read in place, now and then held while others come. */
static void read_huge(latz_pool *pool, uint32_t place, uint64_t *rnd)
{
	uint64_t least = sh->huge[place], number = 0;
	latz_view view = { 0 };
	char key[HN_KEY_MAX];
	int rc = latz_borrow(pool, hn_key(key, HUGE_OWNER, place), &view);

	sh->reads++;
	if (rc == LATZ_OK) {
		sh->found++;
		if (hn_value_check(view.data, view.size, HUGE_OWNER, place, &number) != 0 || number < least)
			hn_fail("reader: huge value %u is torn, wrong or old", place);
		if (hn_random(rnd) % 4 == 0)
			hn_sleep_us(20000);
		rc = latz_release(&view);
	}
	if (rc != LATZ_OK && rc != LATZ_NOTFOUND)
		hn_fail("reader: huge value %u: %s (%s)", place, hn_rc(rc), latz_error_detail());
	sh->bad += hn_failures();
}

static int reader_run(void *arg)
{
	uint32_t me = *(uint32_t *)arg;
	uint64_t rnd = hn_seed * 37 + me;
	latz_value value = LATZ_VALUE_INIT;
	latz_pool *pool = attach(me % 2 ? LATZ_NO_THREAD | LATZ_READONLY : 0);
	int huge = strcmp(scene.name, "huge") == 0;

	sh->ready++;
	while (pool && !sh->stop && !hn_failures()) {
		for (int i = 0; i < 50 && !hn_failures(); i++)
			read_one(pool, huge ? SOME_OWNER : (uint32_t)(hn_random(&rnd) % writers),
			         (uint32_t)(hn_random(&rnd) % scene.keys), 0, &value);
		if (huge && !hn_failures())
			read_huge(pool, (uint32_t)(hn_random(&rnd) % 4), &rnd);
		/* All along, but not instead of the others. */
		hn_sleep_us(1000);
	}
	latz_value_free(&value);
	if (pool && latz_close(pool) != LATZ_OK)
		hn_fail("close: %s", latz_error_detail());
	return !pool || hn_failures() ? 1 : 0;
}

/* ---- Looking ---------------------------------------------------------------------------------------------------- */

static void get_stats(latz_pool *pool, latz_stats_t *s)
{
	memset(s, 0, sizeof *s);
	s->size = sizeof *s;
	if (latz_stats(pool, s) != LATZ_OK)
		hn_fail("stats: %s", latz_error_detail());
}

/* Waits until at most `percent` of the blocks hold nothing that is alive; says when that was. */
static void settle(latz_pool *pool, const char *when, uint64_t percent)
{
	uint64_t start = hn_now_ns(), blocks, at_once = 0;
	latz_stats_t s;
	int good;

	do {
		get_stats(pool, &s);
		blocks = hn_tree_blocks(scene.path);
		at_once = at_once ? at_once : blocks;
		good = s.live_bytes > 0 &&
		       (blocks <= s.live_bytes || (blocks - s.live_bytes) * 100 <= blocks * percent);
		if (!good)
			hn_sleep_us(20000);
	} while (!good && hn_since_ms(start) < (double)settle_s * 1e3 && !hn_failures());
	printf("%s, %s: %.1f MiB alive, files %.1f MiB at once, %.1f MiB after %.2f s (%.1f %% hold nothing alive, "
	       "limit %llu); heap "
	       "%.1f, dead %.1f, table %.1f, index %.1f MiB\n",
	       scene.name, when, (double)s.live_bytes / MIB, (double)at_once / MIB, (double)blocks / MIB,
	       hn_since_ms(start) / 1e3, 100.0 * ((double)blocks - (double)s.live_bytes) / (double)blocks,
	       (unsigned long long)percent, (double)s.heap_bytes / MIB, (double)s.dead_bytes / MIB,
	       (double)s.table_bytes / MIB, (double)s.index_bytes / MIB);
	fflush(stdout);
	if (!good)
		hn_fail("%s, %s: %llu extents, %llu free, %llu given back; index %llu behind", scene.name, when,
		        (unsigned long long)s.extents, (unsigned long long)s.extents_free,
		        (unsigned long long)s.extents_hole, (unsigned long long)s.index_lag_bytes);
}

/* ---- Scenes ----------------------------------------------------------------------------------------------------- */

static pid_t pids[WRITERS_MAX + READERS_MAX];
static uint32_t numbers[WRITERS_MAX + READERS_MAX];
static int started;

static latz_pool *open_scene(const char *name, uint64_t max_bytes, uint32_t keys, uint64_t with_writers)
{
	latz_pool *pool;

	memset(sh, 0, sizeof *sh);
	scene.name = name;
	scene.max_bytes = max_bytes;
	scene.keys = keys;
	hn_subdir(scene.dir, sizeof scene.dir, name);
	snprintf(scene.path, sizeof scene.path, "%.290s/pool", scene.dir);
	pool = attach(0);
	started = 0;
	for (uint64_t i = 0; pool && i < with_writers + readers; i++, started++) {
		numbers[i] = (uint32_t)(i < with_writers ? i : i - with_writers);
		pids[i] = hn_fork(i < with_writers ? writer_run : reader_run, &numbers[i]);
	}
	for (uint64_t start = hn_now_ns(); pool && sh->ready < started && hn_since_ms(start) < 120e3 && !sh->bad;)
		hn_sleep_us(1000);
	return pool;
}

static void close_scene(latz_pool *pool)
{
	sh->stop = 1;
	for (int i = 0; i < started; i++)
		hn_expect(pids[i], 60000, 0, "a reader or writer");
	if (!hn_failures())
		hn_verify(pool, "at the end");
	if (latz_close(pool) != LATZ_OK)
		hn_fail("close: %s", latz_error_detail());
	printf("%s: %llu reads meanwhile, %.1f %% found something; %d failures\n", scene.name,
	       (unsigned long long)sh->reads, 100.0 * (double)sh->found / (double)(sh->reads ? sh->reads : 1),
	       hn_failures());
	fflush(stdout);
}

/* Until all operations are done; the most that the files took for what was alive. */
static void churn(latz_pool *pool)
{
	uint64_t start = hn_now_ns(), most = 0, most_live = 1, blocks;
	latz_stats_t s;

	while (sh->ops < ops_total && !sh->bad && !hn_failures()) {
		hn_sleep_us(10000);
		get_stats(pool, &s);
		blocks = hn_tree_blocks(scene.path);
		if (s.live_bytes > 0 && sh->ops > ops_total / 10 &&
		    (double)blocks / (double)s.live_bytes > (double)most / (double)most_live) {
			most = blocks;
			most_live = s.live_bytes;
		}
		if (scene.max_bytes && blocks > scene.max_bytes + MIB)
			hn_fail("%s: files take %llu bytes", scene.name, (unsigned long long)blocks);
	}
	printf("%s: %llu operations in %.1f s, %.1f GiB written; meanwhile files at most %.2fx what was alive\n",
	       scene.name, (unsigned long long)sh->ops, hn_since_ms(start) / 1e3, (double)sh->set_bytes / 1073741824.0,
	       (double)most / (double)most_live);
	fflush(stdout);
	if (sh->bad)
		hn_fail("%s: somebody failed", scene.name);
}

static void delete_most(latz_pool *pool)
{
	char key[HN_KEY_MAX];

	for (uint32_t owner = 0; owner < writers; owner++) {
		for (uint32_t i = 0; i < scene.keys; i++) {
			int rc = i % 10 == 3 ? LATZ_OK : latz_delete(pool, hn_key(key, owner, i));

			if (rc != LATZ_OK && rc != LATZ_NOTFOUND) {
				hn_fail("delete: %s (%s)", hn_rc(rc), latz_error_detail());
				return;
			}
		}
	}
}

static void steady(const char *name, uint64_t max_bytes)
{
	/* 5.6 kB a value; a key is there nine times of ten. */
	uint64_t keys = live_mib * MIB / 5000 / writers;
	latz_pool *pool = open_scene(name, max_bytes, (uint32_t)(max_bytes ? keys * 3 / 2 : keys), writers);

	if (!pool)
		return;
	churn(pool);
	if (!hn_failures())
		settle(pool, "after the last write", waste_percent);
	if (!hn_failures()) {
		delete_most(pool);
		settle(pool, "nine of ten deleted", 50);
	}
	close_scene(pool);
}

static void huge(void)
{
	latz_pool *pool = open_scene("huge", 0, 2000, 0);
	uint64_t most = 0, extents_early = 0;
	latz_stats_t s;

	if (!pool)
		return;
	for (uint32_t i = 0; i < scene.keys && !hn_failures(); i++)
		write_value(pool, SOME_OWNER, i, i + 1, 2000 + i % 7000);
	for (uint64_t round = 0; round < huge_rounds && !hn_failures(); round++) {
		uint32_t place = (uint32_t)(hn_mix(round) % 4);
		char key[HN_KEY_MAX];

		/* Between the least and three times that; half of them over others, and small ones come in between. */
		if (round % 2 && latz_delete(pool, hn_key(key, HUGE_OWNER, place)) == LATZ_OK)
			sh->huge[place] = 0;
		if (write_value(pool, HUGE_OWNER, place, round + 1,
		                huge_mib * MIB + hn_mix(round + 77) % (2 * huge_mib * MIB)) == LATZ_OK)
			sh->huge[place] = round + 1;
		for (uint32_t i = 0; i < 200 && !hn_failures(); i++)
			write_value(pool, SOME_OWNER, (uint32_t)(hn_mix(round * 200 + i) % scene.keys), i + 1,
			            2000 + i * 30);
		get_stats(pool, &s);
		most = s.file_bytes > most ? s.file_bytes : most;
		if (round == huge_rounds / 2)
			extents_early = s.extents;
	}
	get_stats(pool, &s);
	printf("huge: %llu values of %llu to %llu MiB; files at most %.1f MiB; heap %llu extents long after half of "
	       "them, %llu "
	       "after all\n",
	       (unsigned long long)huge_rounds, (unsigned long long)huge_mib, (unsigned long long)huge_mib * 3,
	       (double)most / MIB, (unsigned long long)extents_early, (unsigned long long)s.extents);
	if (!hn_failures() && huge_rounds >= 20 && s.extents > extents_early + extents_early / 4)
		hn_fail("huge: the heap gets longer and longer");
	if (!hn_failures())
		settle(pool, "with some alive", waste_percent);
	for (uint32_t place = 0; place < 4 && !hn_failures(); place++) {
		char key[HN_KEY_MAX];

		sh->huge[place] = 0;
		(void)!latz_delete(pool, hn_key(key, HUGE_OWNER, place));
	}
	if (!hn_failures())
		settle(pool, "all gone", 50);
	close_scene(pool);
}

static int body(void)
{
	struct statvfs st;

	if (is_short) {
		ops_total = 60000;
		live_mib = 96;
		/* Four free extents and one open for each writer and cleaner are much of so little. */
		waste_percent = 20;
		huge_rounds = 3;
	}
	writers = writers < 1 ? 1 : writers > WRITERS_MAX ? WRITERS_MAX : writers;
	readers = readers > READERS_MAX ? READERS_MAX : readers;
	sh = hn_shared(sizeof *sh);
	if (statvfs(hn_root, &st) == 0 && st.f_bavail * st.f_bsize < 3 * live_mib * MIB + 20 * huge_mib * MIB) {
		printf("1..0 # SKIP %llu MiB free in %s (--base elsewhere)\n",
		       (unsigned long long)(st.f_bavail * st.f_bsize / MIB), hn_root);
		return HN_SKIP;
	}
	if (!only || strcmp(only, "steady") == 0)
		steady("steady", 0);
	if (!hn_failures() && (!only || strcmp(only, "full") == 0))
		steady("full", live_mib * MIB);
	if (!hn_failures() && (!only || strcmp(only, "huge") == 0))
		huge();
	printf("churn: %d failures\n", hn_failures());
	return hn_failures() ? 1 : 0;
}

static unsigned watchdog(void)
{
	return is_short ? 180 : 7200;
}

int main(int argc, char **argv)
{
	const struct hn_program program = { "churn",  "memory comes back under readers, whatever is written",
		                            options,  0,
		                            watchdog, body };

	return hn_main(&program, argc, argv);
}
