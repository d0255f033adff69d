/* The report of the main benchmark: its tables, and its bars: what each figure has to be. */
#define _GNU_SOURCE
#include "run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- Tables ---- */

struct title {
	const char *metric, *row, *text;
	int decimals;
	int compare; /* show the ratio to latzero */
};

static const struct title titles[] = {
	{ "get", "get", "get, uniform, each after the answer to the one before (ns)", 1, 1 },
	{ "ahead", "ahead", "get, uniform, next keys known ahead (ns)", 1, 1 },
	{ "zipf", "zipf", "get, zipf 0.99, each after the answer to the one before (ns)", 1, 1 },
	{ "miss", "miss", "get of a key that is not there (ns)", 1, 1 },
	{ "mget", "mget", "100 gets in one call (ns a key)", 1, 1 },
	{ "overwrite", "overwrite", "overwrite, uniform (ns)", 1, 1 },
	{ "overwrite-rest", "overwrite", "  maintenance still to do when the overwrites had ended (ns a key)", 1, 0 },
	{ "insert", "insert", "insert of fresh keys, the index's catch-up included (ns)", 1, 1 },
	{ "insert-cpu", "insert", "  processor time of the same, all threads, servers not counted (ns)", 1, 1 },
	{ "mset", "mset", "100 sets in one call (ns a key)", 1, 1 },
	{ "scan", "scan", "full ordered scan with values (ns a key)", 1, 1 },
	{ "read-rate", "readers", "one reader process (million gets/s)", 3, 1 },
	{ "readers", "readers", "two reader processes against one (x; the floor shows what the machine gives)", 2, 0 },
	{ "beside", "beside", "what a writer process costs the reader beside it (%)", 1, 0 },
	{ "beside-rate", "beside", "  what the writer wrote meanwhile (million sets/s)", 3, 1 },
	{ "write-rate", "writers", "one writer process (million sets/s)", 3, 1 },
	{ "writers", "writers", "two writer processes against one (x; the floor has no locks)", 2, 0 },
	{ "attach-few", "attach", "attach, store of 10 keys, median of 300 in one process (us)", 1, 1 },
	{ "attach-many", "attach", "attach, full store, median of 300 in one process (us)", 1, 1 },
	{ "attach-first-few", "attach", "attach, store of 10 keys, the first of a fresh process (us)", 1, 1 },
	{ "attach-first-many", "attach", "attach, full store, the first of a fresh process (us)", 1, 1 },
	{ "space", "space", "memory beyond key and value (bytes an entry)", 1, 1 },
	{ "load", "load", "filling an empty store key by key, catch-up included, once (ns)", 1, 1 },
};

static int system_asked(const char *name)
{
	return list_has(config.systems, name);
}

static int system_here(const char *name)
{
	for (unsigned i = 0; i < subject_count; i++)
		if (strcmp(subjects[i].system->name, name) == 0)
			return 1;
	return 0;
}

static void print_table(const struct title *t)
{
	int any = 0;
	for (int i = 0; bench_system_names[i] != NULL; i++) {
		double min, max, median = result_range(t->metric, bench_system_names[i], &min, &max);
		double own = result_median(t->metric, "latzero");
		if (isnan(median) || !list_has(config.only, t->row))
			continue;
		if (!any++)
			printf("\n%s\n  %-12s %11s %11s %11s%s\n", t->text, "", "median", "min", "max",
			       t->compare ? "  of latzero" : "");
		printf("  %-12s %11.*f %11.*f %11.*f", bench_system_names[i], t->decimals, median, t->decimals, min,
		       t->decimals, max);
		if (t->compare && !isnan(own))
			printf("  %9.2fx", median / own);
		printf("\n");
	}
	if (!any && list_has(config.only, t->row) && !config.big)
		printf("\n%s\n  not run\n", t->text);
}

static void print_tail(const char *title, const char *p50, const char *p99, const char *p999)
{
	int any = 0;
	for (int i = 0; bench_system_names[i] != NULL; i++) {
		const char *name = bench_system_names[i];
		double m = result_median(p50, name), n = result_median(p99, name), x = result_median(p999, name);
		if (isnan(m))
			continue;
		if (!any++)
			printf("\n%s\n  %-12s %11s %11s %11s %11s\n", title, "", "p50", "p99", "p99.9", "p99.9/p50");
		printf("  %-12s %11.0f %11.0f %11.0f %10.1fx\n", name, m, n, x, x / m);
	}
}

/* ---- Bars ---- */

/* latzero's median of a metric against a system's. */
static double against(const char *metric, const char *system)
{
	return result_median(metric, "latzero") / result_median(metric, system);
}

/* Against the faster of Boost and Tkrzw; NAN unless both were measured. */
static double against_faster(const char *metric)
{
	double boost = result_median(metric, "boost"), tkrzw = result_median(metric, "tkrzw");
	return isnan(boost) || isnan(tkrzw) ? NAN : result_median(metric, "latzero") / fmin(boost, tkrzw);
}

static double own(const char *metric)
{
	return result_median(metric, "latzero");
}

static void print_bars_speed(void)
{
	static const char *const peers[] = { "lmdb", "boost", "tkrzw", "redis", "memcached" };
	bar("get against the floor", -1, 1.35, "x", against("get", "floor"));
	bar("get against the faster of Boost and Tkrzw", -1, 0.60, "x", against_faster("get"));
	bar("get, keys known ahead, against the floor's", -1, 1.35, "x", against("ahead", "floor"));
	bar("get, keys known ahead, against the faster of the two", -1, 0.60, "x", against_faster("ahead"));
	bar("get against LMDB", -1, 0.40, "x", against("get", "lmdb"));
	bar("get: times faster than Redis", 1, 18, "x", 1 / against("get", "redis"));
	bar("get, zipf 0.99, against Boost", -1, 0.60, "x", against("zipf", "boost"));
	bar("miss against Tkrzw", -1, 0.70, "x", against("miss", "tkrzw"));
	bar("mget of 100 against latzero's single gets", -1, 0.35, "x", own("mget") / own("get"));
	for (unsigned i = 0; i < sizeof(peers) / sizeof(peers[0]); i++) {
		char name[64];
		snprintf(name, sizeof(name), "mget of 100 against 100 gets in one call of %s", peers[i]);
		bar(name, -1, 0.15, "x", against("mget", peers[i]));
	}
	bar("overwrite against the faster of Boost and Tkrzw", -1, 0.80, "x", against_faster("overwrite"));
	bar("overwrite against LMDB", -1, 0.12, "x", against("overwrite", "lmdb"));
	bar("insert with catch-up against LMDB", -1, 0.40, "x", against("insert", "lmdb"));
	bar("batch of 100 sets against Boost", -1, 0.50, "x", against("mset", "boost"));
	bar("ordered scan with values against LMDB's cursor", -1, 3, "x", against("scan", "lmdb"));
	bar("get: p99.9 against its median", -1, 5, "x", own("tail-get-999") / own("tail-get-50"));
	bar("set: p99.9 against its median", -1, 15, "x", own("tail-set-999") / own("tail-set-50"));
}

/*
 * At each size against 1M keys, the worst ratio of a metric's four; the floor's own slowing down (caches) is shown
 * beside.
 */
static double worst_step(const char *const metrics[4], const char *system)
{
	double first = result_median(metrics[0], system), worst = NAN;
	for (int i = 1; i < 4; i++)
		worst = fmax(worst, result_median(metrics[i], system) / first);
	return worst;
}

static const char *const big_get[4] = { "big-get-1", "big-get-2", "big-get-5", "big-get-10" };
static const char *const big_set[4] = { "big-set-1", "big-set-2", "big-set-5", "big-set-10" };
static const char *const big_insert[4] = { "big-insert-1", "big-insert-2", "big-insert-5", "big-insert-10" };
static const char *const big_window[4] = { "big-window-1", "big-window-2", "big-window-5", "big-window-10" };

/* Against Boost as far as it can be tuned: more than the bars ask for, so without a verdict. */
static void print_beside(void)
{
	static const char *const metrics[] = { "get", "ahead", "zipf", "miss", "mget", "overwrite", "insert", "mset" };
	int any = 0;
	for (unsigned i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++)
		if (!isnan(against(metrics[i], "boost-tuned")))
			printf("%s %s %.2fx",
			       any++ ? "," : "  beside the bars, latzero against boost-tuned:", metrics[i],
			       against(metrics[i], "boost-tuned"));
	if (any)
		printf("\n");
}

static void print_bars(void)
{
	printf("\nBars\n  %-58s    %-11s %9s\n", "", "target", "measured");
	if (!config.big && config.keys != 1000000)
		printf("  (they are meant for 1M keys; this run is for trying things out)\n");
	if (!config.big) {
		print_bars_speed();
		bar("two reader processes against one", 1, 1.9, "x", own("readers"));
		bar("cost of a writer process to the reader beside it", -1, 15, "%", own("beside"));
		bar("two writer processes against one", 1, 1.6, "x", own("writers"));
		bar("attach, 10 keys", -1, 300, "us", own("attach-few"));
		bar("attach, full store", -1, 300, "us", own("attach-many"));
		bar("attach, full store against 10 keys (within a quarter)", -1, 1.25, "x",
		    own("attach-many") / own("attach-few"));
		bar("space beyond key and value against Redis", -1, 1, "x", against("space", "redis"));
		bar("space beyond key and value (Redis's 87 bytes an entry)", -1, 87, "B", own("space"));
	}
	bar("10M keys: get at 2M, 5M, 10M against 1M, worst", -1, 2, "x", worst_step(big_get, "latzero"));
	bar("10M keys: overwrite at 2M, 5M, 10M against 1M, worst", -1, 2, "x", worst_step(big_set, "latzero"));
	bar("10M keys: insert up to 2M, 5M, 10M against 1M, worst", -1, 2, "x", worst_step(big_insert, "latzero"));
	print_beside();
	bars_print_counts();
}

static void print_big(const char *title, const char *const metrics[4])
{
	printf("\n%s\n  %-12s %11s %11s %11s %11s\n", title, "", "1M", "2M", "5M", "10M");
	for (int i = 0; bench_system_names[i] != NULL; i++) {
		const char *name = bench_system_names[i];
		if (isnan(result_median(metrics[0], name)))
			continue;
		printf("  %-12s", name);
		for (int j = 0; j < 4; j++)
			printf(" %11.1f", result_median(metrics[j], name));
		printf("\n");
	}
}

void report_print(void)
{
	printf("Systems\n");
	for (int i = 0; bench_system_names[i] != NULL; i++) {
		const char *name = bench_system_names[i], *what = "not run: not in this build (its package is missing)";
		for (int j = 0; bench_systems[j] != NULL; j++)
			if (strcmp(bench_systems[j]->name, name) == 0)
				what = bench_systems[j]->what;
		if (!system_asked(name))
			what = "not run: not asked for";
		else if (!system_here(name) && strncmp(what, "not run", 7) != 0)
			what = "not run: it did not start";
		printf("  %-12s %s\n", name, what);
	}
	if (config.big) {
		print_big("insert, average up to each size, catch-up included (ns)", big_insert);
		print_big("  the slowest 1000 inserts in a row on the way (ns an insert)", big_window);
		print_big("get, uniform, each after the answer to the one before (ns)", big_get);
		print_big("overwrite, uniform (ns)", big_set);
	} else {
		for (unsigned i = 0; i < sizeof(titles) / sizeof(titles[0]); i++)
			print_table(&titles[i]);
		print_tail("get, each timed by itself, clock included (ns)", "tail-get-50", "tail-get-99",
		           "tail-get-999");
		print_tail("overwrite, each timed by itself, clock included (ns)", "tail-set-50", "tail-set-99",
		           "tail-set-999");
	}
	print_bars();
}
