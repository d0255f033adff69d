/*
 * The benchmark program: opens every system, fills it, and takes one slice of every row from every system in turn,
 * round after round, so that what the machine does meanwhile falls on all of them alike. The report is medians over
 * the rounds.
 *
 * The measured loops run on the last core, second processes on the one before it; threads a system starts may run on
 * any. Servers are tried on both cores for every row and stay where they are faster: on the same core an answer
 * costs a context switch, on another one a wake-up, and which is dearer depends on the machine. Progress goes to
 * stderr, the report to stdout.
 */
#define _GNU_SOURCE
#include "run.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

struct config config = { .keys = 1000000, .ops = 300000, .rounds = 5, .seconds = 0.4 };
struct subject subjects[SYSTEMS_MAX];
unsigned subject_count;

const struct system *const bench_systems[] = {
#ifdef HAVE_LATZERO
	&system_latzero,
#endif
	&system_floor,
#ifdef HAVE_LMDB
	&system_lmdb,
#endif
#ifdef HAVE_BOOST
	&system_boost,
	&system_boost_tuned,
#endif
#ifdef HAVE_TKRZW
	&system_tkrzw,
#endif
#ifdef HAVE_REDIS
	&system_redis,
#endif
#ifdef HAVE_MEMCACHED
	&system_memcached,
#endif
	NULL
};

const char *const bench_system_names[] = { "latzero", "floor", "lmdb",      "boost", "boost-tuned",
	                                   "tkrzw",   "redis", "memcached", NULL };

static const char *const row_names[] = { "get",     "ahead",  "zipf",  "miss", "mget",    "overwrite",
	                                 "insert",  "mset",   "scan",  "tail", "readers", "beside",
	                                 "writers", "attach", "space", "load", NULL };

static int probing; /* results are not kept, slices are short */
static uint32_t *ids;
static float *times;

static int wanted(const char *row)
{
	return list_has(config.only, row);
}

static void settle(const struct subject *s)
{
	if (s->system->settle != NULL && s->system->settle(s->db) != 0)
		bench_fail("%s: maintenance failed", s->system->name);
}

static uint64_t slice_ops(const struct subject *s)
{
	if (probing)
		return config.ops / 100 > 300 ? config.ops / 100 : 300;
	return s->system->caps & IS_SERVER ? config.ops / 10 : config.ops;
}

static void keep(const char *metric, const char *system, double value)
{
	if (!probing)
		result_add(metric, system, value);
}

/* ---- Rows: one slice of one system each ---- */

static void slice_get(const struct subject *s, const char *metric, int chained)
{
	size_t n = slice_ops(s);
	loop_get(s, ids, n / 20, 0, chained); /* back into the caches what the system before pushed out of them */
	keep(metric, s->system->name, loop_get(s, ids, n, 0, chained));
}

static void slice_overwrite(const struct subject *s, unsigned round)
{
	size_t n = slice_ops(s);
	loop_set(s, ids, n / 20, round);
	keep("overwrite", s->system->name, loop_set(s, ids, n, 100 + round));
	uint64_t start = bench_now_ns();
	settle(s);
	if (s->system->settle != NULL)
		keep("overwrite-rest", s->system->name, (double)(bench_now_ns() - start) / (double)n);
}

static void slice_insert(const struct subject *s)
{
	size_t n = slice_ops(s) / 3;
	double cpu_ns;
	keep("insert", s->system->name, loop_insert(s, config.keys, n, &cpu_ns));
	keep("insert-cpu", s->system->name, cpu_ns);
	delete_keys(s, config.keys, n);
	settle(s);
}

static int by_time(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;
	return (x > y) - (x < y);
}

static void slice_tail(const struct subject *s, unsigned round)
{
	static const char *const metrics[2][3] = {
		{ "tail-get-50", "tail-get-99", "tail-get-999" },
		{ "tail-set-50", "tail-set-99", "tail-set-999" },
	};
	size_t n = slice_ops(s);
	for (int set = 0; set < 2; set++) {
		if (set && !(s->system->caps & CAN_OVERWRITE))
			break;
		if (set)
			loop_tail_set(s, ids, n, 200 + round, times);
		else
			loop_tail_get(s, ids, n, times);
		qsort(times, n, sizeof(times[0]), by_time);
		keep(metrics[set][0], s->system->name, times[n / 2]);
		keep(metrics[set][1], s->system->name, times[n * 99 / 100]);
		keep(metrics[set][2], s->system->name, times[n * 999 / 1000]);
		if (set)
			settle(s);
	}
}

static void slice(const char *row, const struct subject *s, unsigned round)
{
	unsigned caps = s->system->caps;
	size_t n = slice_ops(s);
	if (strcmp(row, "get") == 0 || strcmp(row, "zipf") == 0)
		slice_get(s, row, 1);
	else if (strcmp(row, "ahead") == 0)
		slice_get(s, row, 0);
	else if (strcmp(row, "miss") == 0)
		keep(row, s->system->name, loop_miss(s, ids, n));
	else if (strcmp(row, "mget") == 0 && (caps & CAN_MGET))
		keep(row, s->system->name, loop_mget(s, ids, n));
	else if (strcmp(row, "overwrite") == 0 && (caps & CAN_OVERWRITE))
		slice_overwrite(s, round);
	else if (strcmp(row, "insert") == 0 && (caps & CAN_WRITE))
		slice_insert(s);
	else if (strcmp(row, "mset") == 0 && (caps & CAN_WRITE)) {
		keep(row, s->system->name, loop_mset(s, ids, n, 300 + round));
		settle(s);
	} else if (strcmp(row, "scan") == 0 && (caps & CAN_SCAN))
		keep(row, s->system->name, loop_scan(s, config.keys));
	else if (strcmp(row, "tail") == 0)
		slice_tail(s, round);
}

/* Puts a server on the core where it does this row faster, as a short try of both shows. */
static void place_server(const char *row, const struct subject *s, unsigned round)
{
	int cores[2] = { bench_core_main(), bench_core_other() }, pid = s->system->server(s->db);
	uint64_t ns[2];
	probing = 1;
	for (int i = 0; i < 2; i++) {
		bench_server_pin(pid, cores[i]);
		uint64_t start = bench_now_ns();
		slice(row, s, round);
		ns[i] = bench_now_ns() - start;
	}
	probing = 0;
	bench_server_pin(pid, cores[ns[1] < ns[0]]);
}

static void run_round(unsigned round)
{
	bench_say("round %u of %u", round + 1, config.rounds);
	for (int i = 0; row_names[i] != NULL; i++) {
		const char *row = row_names[i];
		if (!wanted(row))
			continue;
		bench_pin(bench_core_main());
		uint64_t seed = round * 1000 + (uint64_t)i;
		if (strcmp(row, "zipf") == 0)
			bench_fill_zipf(ids, config.ops, config.keys, seed);
		else
			bench_fill_uniform(ids, config.ops, config.keys, seed);
		for (unsigned j = 0; j < subject_count; j++) {
			const struct subject *s = &subjects[(j + round) % subject_count];
			if (s->system->server != NULL)
				place_server(row, s, round);
			slice(row, s, round);
		}
	}
	if (config.only != NULL && !wanted("readers") && !wanted("beside") && !wanted("writers"))
		return;
	for (unsigned j = 0; j < subject_count; j++)
		if (subjects[j].system->caps & CAN_SHARE)
			row_processes(&subjects[j], round);
	bench_pin(-1);
}

/* ---- Set-up ---- */

static void fill(struct subject *s)
{
	const struct system *system = s->system;
	bench_say("filling %s", system->name);
	bench_pin(-1); /* so that threads the system starts are not tied to the measured core */
	s->db = system->open(config.dir, "many", 1, config.keys);
	if (s->db == NULL)
		return;
	bench_pin(bench_core_main());
	if (system->caps & CAN_WRITE && !(system->caps & IS_SERVER))
		keep("load", system->name, loop_insert(s, 0, config.keys, NULL));
	else
		load_keys(s, 0, config.keys);
	settle(s);
	check_values(s, config.keys, 1000);
	int64_t bytes = wanted("space") && system->bytes != NULL ? system->bytes(s->db) : -1;
	if (bytes >= 0)
		keep("space", system->name, (double)bytes / (double)config.keys - KEY_SIZE - VALUE_SIZE);
	bench_pin(-1);
}

static void attach_all(void)
{
	if (!wanted("attach"))
		return;
	bench_say("attaching");
	for (unsigned i = 0; i < subject_count; i++) {
		const struct system *system = subjects[i].system;
		if (!(system->caps & CAN_SHARE))
			continue;
		struct subject few = { system, system->open(config.dir, "few", 1, 10) };
		if (few.db == NULL)
			bench_fail("%s: a second store cannot be opened", system->name);
		load_keys(&few, 0, 10);
		settle(&few);
		row_attach(&subjects[i]);
		system->close(few.db);
	}
}

static void run_all(void)
{
	ids = malloc(config.ops * sizeof(ids[0]));
	times = malloc(config.ops * sizeof(times[0]));
	if (ids == NULL || times == NULL)
		bench_fail("no memory");
	for (int i = 0; bench_systems[i] != NULL; i++) {
		if (!list_has(config.systems, bench_systems[i]->name))
			continue;
		subjects[subject_count].system = bench_systems[i];
		fill(&subjects[subject_count]);
		if (subjects[subject_count].db != NULL)
			subject_count++;
	}
	attach_all();
	for (unsigned round = 0; round < config.rounds; round++)
		run_round(round);
	for (unsigned i = 0; i < subject_count; i++)
		check_values(&subjects[i], config.keys, 10000);
	free(ids);
	free(times);
}

static void usage(int rc)
{
	fprintf(stderr, "usage: ./dev bench [--quick | --big] [--only ROW,...] [--systems NAME,...]\n"
	                "                   [--rounds N] [--keys N] [--ops N]\n"
	                "  --quick   100k keys, 2 rounds, latzero, floor and lmdb: does it work\n"
	                "  --big     grows to 10M keys: get, overwrite and insert at 1M, 2M, 5M, 10M (latzero and "
	                "floor)\n  rows:    ");
	for (int i = 0; row_names[i] != NULL; i++)
		fprintf(stderr, " %s", row_names[i]);
	fprintf(stderr, "\n  systems: ");
	for (int i = 0; bench_system_names[i] != NULL; i++)
		fprintf(stderr, " %s", bench_system_names[i]);
	fprintf(stderr, "\n");
	exit(rc);
}

/* Every name of a list must be one of names. */
static void check_list(const char *list, const char *const *names)
{
	size_t known = 0;
	if (list == NULL)
		return;
	for (int i = 0; names[i] != NULL; i++)
		if (list_has(list, names[i]))
			known += strlen(names[i]) + 1;
	if (known != strlen(list) + 1)
		usage(2);
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "quick", 0, NULL, 'q' },   { "big", 0, NULL, 'b' },    { "only", 1, NULL, 'o' },
		{ "systems", 1, NULL, 's' }, { "rounds", 1, NULL, 'r' }, { "keys", 1, NULL, 'k' },
		{ "ops", 1, NULL, 'n' },     { "dir", 1, NULL, 'd' },    { "help", 0, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (c) {
		case 'q':
			config.keys = 100000;
			config.ops = 50000;
			config.rounds = 2;
			config.seconds = 0.1;
			if (config.systems == NULL)
				config.systems = "latzero,floor,lmdb";
			break;
		case 'b': config.big = 1; break;
		case 'o': config.only = optarg; break;
		case 's': config.systems = optarg; break;
		case 'r': config.rounds = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'k': config.keys = strtoull(optarg, NULL, 10); break;
		case 'n': config.ops = strtoull(optarg, NULL, 10); break;
		case 'd': config.dir = optarg; break;
		case 'h': usage(0); break;
		default: usage(2);
		}
	}
	check_list(config.only, row_names);
	check_list(config.systems, bench_system_names);
	if (config.dir == NULL || strlen(config.dir) >= PATH_SIZE / 2 || optind != argc || config.rounds < 1 ||
	    config.rounds > SAMPLES_MAX || config.keys < 1000 || config.keys > 1000000000 || config.ops < 1000)
		usage(2);
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	if (argc > 1 && strcmp(argv[1], "worker") == 0)
		return worker_main(argc, argv);
	parse(argc, argv);
	bench_tick_ns();
	uint64_t start = bench_now_ns();
	if (config.big)
		run_big();
	else
		run_all();
	report_print();
	for (unsigned i = 0; i < subject_count; i++)
		subjects[i].system->close(subjects[i].db);
	printf("\n%llu keys of %d bytes, values of %d, %u rounds, %.0f s\n", (unsigned long long)config.keys, KEY_SIZE,
	       VALUE_SIZE, config.rounds, (double)(bench_now_ns() - start) / 1e9);
	return 0;
}
