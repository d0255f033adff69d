/*
 * The benchmark of bounded pools: what eviction costs, beside the same pool without bounds, and what it finds, beside
 * memcached and Redis with as much memory. Progress goes to stderr, the report to stdout.
 */
#define _GNU_SOURCE
#include "bench.h"

#include <getopt.h>
#include <latzero/latzero.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "samples.h"

static struct {
	const char *dir, *only, *systems;
	uint64_t bytes, ops;
	unsigned rounds;
} config = { NULL, NULL, NULL, 64 << 20, 2000000, 5 };

static const struct system *const systems[] = {
	&system_latzero,
#ifdef HAVE_REDIS
	&system_redis,
#endif
#ifdef HAVE_MEMCACHED
	&system_memcached,
#endif
	NULL
};

static uint32_t *ids;

/* ---- What it costs ---- */

static latz_pool *open_pool(const char *name, uint64_t max_bytes)
{
	latz_options options = LATZ_OPTIONS_INIT;
	latz_pool *pool;

	options.dir = config.dir;
	options.max_bytes = max_bytes;
	bench_pin(-1); /* its maintenance thread may run on any core, as servers may */
	if (latz_open(name, &options, &pool) != LATZ_OK)
		bench_fail("latzero: %s", latz_error_detail());
	bench_pin(bench_core_main());
	return pool;
}

static void put(latz_pool *pool, uint64_t id)
{
	uint8_t key[KEY_SIZE], value[VALUE_SIZE];
	latz_slice k = { key, KEY_SIZE }, v = { value, VALUE_SIZE };

	bench_key(id, key);
	bench_value(id, 0, value);
	if (latz_set(pool, k, v, NULL) != LATZ_OK)
		bench_fail("latzero: %s", latz_error_detail());
}

static double time_gets(latz_pool *pool, size_t n)
{
	latz_value value = LATZ_VALUE_INIT;
	uint8_t key[KEY_SIZE];
	latz_slice k = { key, KEY_SIZE };
	uint64_t sum = 0, begin = bench_now_ns();

	for (size_t i = 0; i < n; i++) {
		bench_key(ids[i] + (sum & 0), key);
		if (latz_get(pool, k, &value) != LATZ_OK)
			bench_fail("latzero: %s", latz_error_detail());
		sum += bench_value_word(value.data);
	}
	begin = bench_now_ns() - begin;
	latz_value_free(&value);
	return (double)begin / (double)n;
}

/* Gets of keys that both pools have: in one it is looked whether the hit is to be counted. */
static void row_get(void)
{
	uint64_t keys = config.bytes / 400;
	latz_pool *plain = open_pool("plain", 0), *bounded = open_pool("bounded", config.bytes);

	for (uint64_t i = 0; i < keys; i++) {
		put(plain, i);
		put(bounded, i);
	}
	(void)!latz_maintain(plain, 0);
	(void)!latz_maintain(bounded, 0);
	/* A hit is counted until the record has three. */
	bench_fill_uniform(ids, config.ops, keys, 99);
	for (uint64_t i = 0; i < 1 + 6 * keys / config.ops; i++) {
		(void)time_gets(plain, config.ops);
		(void)time_gets(bounded, config.ops);
	}
	for (unsigned round = 0; round < config.rounds; round++) {
		bench_say("get, round %u", round + 1);
		bench_fill_uniform(ids, config.ops / 4, keys, round + 1);
		if (round % 2)
			result_add("get", "bounded", time_gets(bounded, config.ops / 4));
		result_add("get", "unbounded", time_gets(plain, config.ops / 4));
		if (round % 2 == 0)
			result_add("get", "bounded", time_gets(bounded, config.ops / 4));
	}
	(void)!latz_close(plain);
	(void)!latz_close(bounded);
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Sets of fresh keys, each timed by itself; the mean and the distribution. */
static void time_sets(latz_pool *pool, const char *what, uint64_t first, size_t n)
{
	uint64_t begin = bench_now_ns(), before = begin, now;

	for (size_t i = 0; i < n; i++) {
		put(pool, first + i);
		now = bench_now_ns();
		ids[i] = (uint32_t)(now - before);
		before = now;
	}
	result_add("set", what, (double)(before - begin) / (double)n);
	qsort(ids, n, sizeof(*ids), compare);
	result_add("median", what, ids[n / 2]);
	result_add("p99.9", what, ids[n - n / 1000 - 1]);
	result_add("p99.9 of median", what, (double)ids[n - n / 1000 - 1] / ids[n / 2]);
}

static void row_set(void)
{
	uint64_t first = 0, fill = config.bytes / 100, n = config.ops / 4;
	latz_pool *bounded = open_pool("bounded", config.bytes);

	for (; first < fill; first++)
		put(bounded, first);
	for (unsigned round = 0; round < config.rounds; round++) {
		latz_pool *plain = open_pool("plain", 0);

		bench_say("set, round %u", round + 1);
		/* As many keys as the other has, so that tables are as large. */
		for (uint64_t i = 0; i < config.bytes / 180; i++)
			put(plain, i);
		time_sets(plain, "unbounded", config.bytes / 180, n);
		time_sets(bounded, "evicting", first, n);
		first += n;
		(void)!latz_close(plain);
	}
	(void)!latz_close(bounded);
}

/* ---- What it finds ---- */

/* A read-through cache: hits of the second half of the requests. */
static void run_hits(const struct system *system)
{
	uint64_t keys = config.bytes * 10 / (KEY_SIZE + VALUE_SIZE), hits = 0;
	uint8_t key[KEY_SIZE], value[VALUE_SIZE];
	size_t n = config.ops, i;
	void *db;

	bench_say("hits, %s", system->name);
	bench_max_bytes = config.bytes;
	db = system->open(config.dir, "hits", 1, config.bytes / 200);
	bench_max_bytes = 0;
	if (db == NULL)
		bench_fail("%s can't be opened", system->name);
	bench_fill_zipf(ids, n, keys, 7);
	for (i = 0; i < n; i++) {
		bench_key(ids[i], key);
		if (system->get(db, key) != NULL) {
			hits += i >= n / 2;
			continue;
		}
		bench_value(ids[i], 0, value);
		if (system->set(db, key, value) != 0)
			bench_fail("%s: set failed", system->name);
	}
	result_add("hits", system->name, 100.0 * (double)hits / (double)(n - n / 2));
	system->close(db);
}

static void row_hits(void)
{
	for (int i = 0; systems[i] != NULL; i++) {
		if (list_has(config.systems, systems[i]->name))
			run_hits(systems[i]);
	}
}

/* ---- Report ---- */

static void print_row(const char *title, const char *metric, const char *const *names)
{
	printf("\n%s\n  %-12s %10s %10s %10s\n", title, "", "median", "min", "max");
	for (; *names != NULL; names++) {
		double min, max, median = result_range(metric, *names, &min, &max);

		if (!isnan(median))
			printf("  %-12s %10.1f %10.1f %10.1f\n", *names, median, min, max);
	}
}

static void report(void)
{
	static const char *const get[] = { "unbounded", "bounded", NULL };
	static const char *const set[] = { "unbounded", "evicting", NULL };
	static const char *const hit[] = { "latzero", "redis", "memcached", NULL };
	double best = fmax(result_median("hits", "redis"), result_median("hits", "memcached"));

	printf("Bounded pools: %.0f MiB, values of 100 bytes, the default policy\n", (double)config.bytes / (1 << 20));
	print_row("get of keys that are there (ns)", "get", get);
	print_row("set of fresh keys (ns)", "set", set);
	print_row("  median of single sets, clock included (ns)", "median", set);
	print_row("  99.9th percentile (ns)", "p99.9", set);
	print_row("hits of a read-through cache, zipf 0.99 over ten times the memory (%; redis: allkeys-lfu)", "hits",
	          hit);
	printf("\nBars\n");
	bar("get, of unbounded", -1, 1.10, "x", result_median("get", "bounded") / result_median("get", "unbounded"));
	bar("set while evicting, of unbounded", -1, 1.5, "x",
	    result_median("set", "evicting") / result_median("set", "unbounded"));
	bar("99.9th percentile of set while evicting, of its median", -1, 20, "x",
	    result_median("p99.9 of median", "evicting"));
	bar("hits, over the better of Redis and memcached", 1, 0, " points", result_median("hits", "latzero") - best);
	bars_print_counts();
}

static void usage(void)
{
	printf("Usage: ./dev bench evict [--only get,set,hits] [--systems latzero,redis,memcached] [--rounds N]\n"
	       "                         [--mib N] [--ops N] [--quick]\n"
	       "Measures bounded pools: what keeping the bound costs, and hit rates beside caches of the same size.\n");
	exit(0);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "only", 1, NULL, 'o' }, { "systems", 1, NULL, 's' }, { "rounds", 1, NULL, 'r' },
		{ "mib", 1, NULL, 'm' },  { "ops", 1, NULL, 'n' },     { "quick", 0, NULL, 'q' },
		{ "dir", 1, NULL, 'd' },  { "help", 0, NULL, 'h' },    { NULL, 0, NULL, 0 }
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'o': config.only = optarg; break;
		case 's': config.systems = optarg; break;
		case 'r': config.rounds = (unsigned)atoi(optarg); break;
		case 'm': config.bytes = strtoull(optarg, NULL, 10) << 20; break;
		case 'n': config.ops = strtoull(optarg, NULL, 10); break;
		case 'q':
			config.bytes = 16 << 20;
			config.ops = 200000;
			config.rounds = 1;
			break;
		case 'd': config.dir = optarg; break;
		case 'h': usage(); break;
		default: return 2;
		}
	}
	if (config.dir == NULL || config.rounds == 0 || config.ops < 4000 || config.bytes < 8 << 20)
		bench_fail("called by bench/run.sh, with at least 8 MiB, 4000 operations and a round");
	ids = calloc(config.ops, sizeof(*ids));
	if (ids == NULL)
		bench_fail("no memory");
	bench_pin(bench_core_main());
	if (list_has(config.only, "get"))
		row_get();
	if (list_has(config.only, "set"))
		row_set();
	if (list_has(config.only, "hits"))
		row_hits();
	report();
	free(ids);
	return 0;
}
