/*
 * latzero stats: the figures of a pool that are amounts, and its counters, for people, as JSON, or as Prometheus reads
 * them (text exposition format 0.0.4: base units, counters that end in _total, nothing that grows with the keys).
 */
#include "cli.h"

#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

enum kind {
	COUNT,    /* only grows */
	LEVEL,    /* goes up and down */
	MILLIS    /* a level, in milliseconds; shown in seconds */
};

enum width {
	U64,
	I64,
	UNSIGNED,
	INT
};

struct figure {
	const char *name; /* as in latz_stats_t; Prometheus: latzero_NAME, and what its kind adds */
	const char *help;
	enum kind kind;
	enum width width;
	size_t at;
};

#define FIGURE(field, kind, width, help) { #field, help, kind, width, offsetof(latz_stats_t, field) }

static const struct figure figures[] = {
	FIGURE(keys, LEVEL, U64, "Keys present"),
	FIGURE(live_bytes, LEVEL, U64, "Bytes of records in use"),
	FIGURE(dead_bytes, LEVEL, U64, "Bytes of records waiting for cleaning"),
	FIGURE(heap_bytes, LEVEL, U64, "Bytes of blocks of the heap"),
	FIGURE(table_bytes, LEVEL, U64, "Bytes of blocks of the table and the heap's directory"),
	FIGURE(index_bytes, LEVEL, U64, "Bytes of blocks of the ordered index"),
	FIGURE(file_bytes, LEVEL, U64, "Bytes of blocks of all files"),
	FIGURE(index_lag_bytes, LEVEL, U64, "Bytes of the heap that the index has not looked at"),
	FIGURE(max_bytes, LEVEL, U64, "Bound of file_bytes, 0 for none"),
	FIGURE(max_entries, LEVEL, U64, "Bound of keys, 0 for none"),
	FIGURE(gets, COUNT, U64, "Gets"),
	FIGURE(hits, COUNT, U64, "Gets that found something"),
	FIGURE(hit_bytes, COUNT, U64, "Bytes of records that gets found, in bounded pools"),
	FIGURE(created_bytes, COUNT, U64, "Bytes of records that created their key, in bounded pools"),
	FIGURE(sets, COUNT, U64, "Writes"),
	FIGURE(deletes, COUNT, U64, "Deletes"),
	FIGURE(expired, COUNT, U64, "Keys collected after their time to live"),
	FIGURE(evicted, COUNT, U64, "Keys evicted"),
	FIGURE(evicted_bytes, COUNT, U64, "Bytes of records evicted"),
	FIGURE(kept, COUNT, U64, "Keys that eviction looked at and kept"),
	FIGURE(kept_bytes, COUNT, U64, "Bytes of records that eviction kept"),
	FIGURE(refused, COUNT, U64, "Writes refused for want of room"),
	FIGURE(reaped, COUNT, U64, "Dead threads cleaned up after"),
	FIGURE(cleaned_bytes, COUNT, U64, "Bytes of live records that cleaning moved"),
	FIGURE(clients, LEVEL, UNSIGNED, "Processes attached"),
	FIGURE(clients_max, LEVEL, UNSIGNED, "Processes that can be attached"),
	FIGURE(threads, LEVEL, UNSIGNED, "Threads with a slot"),
	FIGURE(pins, LEVEL, UNSIGNED, "Scans open"),
	FIGURE(views, LEVEL, UNSIGNED, "Extents that borrowed views hold"),
	FIGURE(age_ms, MILLIS, I64, "Time since the pool was made"),
	FIGURE(durable, LEVEL, INT, "1 if the pool has a log"),
	FIGURE(log_broken, LEVEL, INT, "0, or the error after which nothing is durable"),
	FIGURE(log_lag_bytes, LEVEL, U64, "Bytes written and not yet synced, about"),
	FIGURE(log_lag_ms, MILLIS, I64, "Time since the last sync, if something is not yet synced"),
	FIGURE(log_bytes, LEVEL, U64, "Bytes of log since the last checkpoint"),
	FIGURE(log_flushes, COUNT, U64, "Flushes of the log"),
	FIGURE(log_syncs, COUNT, U64, "Syncs of the log"),
	FIGURE(snapshot_age_ms, MILLIS, I64, "Time since the last snapshot, negative for none"),
	FIGURE(image_left_bytes, LEVEL, U64, "Bytes of records still in the image the pool was restored from"),
	FIGURE(compressed, COUNT, U64, "Values written compressed"),
	FIGURE(compress_refused, COUNT, U64, "Values long enough that were stored as they are"),
	FIGURE(compress_raw_bytes, COUNT, U64, "Bytes of both before"),
	FIGURE(compress_stored_bytes, COUNT, U64, "Bytes of both as stored"),
	FIGURE(dictionaries, LEVEL, UNSIGNED, "Dictionaries"),
	FIGURE(dict_bytes, LEVEL, U64, "Bytes of dictionaries"),
};

#define FIGURES (sizeof(figures) / sizeof(figures[0]))

/* What it is, as a number of 64 bits; all fit an int64_t as long as memory has less than 8 EiB. */
static int64_t value_of(const latz_stats_t *stats, const struct figure *figure)
{
	const void *at = (const char *)stats + figure->at;

	switch (figure->width) {
	case UNSIGNED: return (int64_t) * (const unsigned *)at;
	case INT: return *(const int *)at;
	case I64: return *(const int64_t *)at;
	default: return (int64_t) * (const uint64_t *)at;
	}
}

/* ---- Prometheus ---- */

static void header(const char *name, const char *suffix, const char *help, const char *type)
{
	if (help[0] != '\0') {
		printf("# HELP %s%s ", name, suffix);
		for (; *help != '\0'; help++) {
			if (*help == '\\')
				putchar('\\');
			putchar(*help);
		}
		putchar('\n');
	}
	printf("# TYPE %s%s %s\n", name, suffix, type);
}

static void prometheus_figure(const char *pool, const latz_stats_t *stats, const struct figure *figure)
{
	char name[64], text[CLI_TEXT_MAX];
	int64_t value = value_of(stats, figure);
	size_t cut = strlen(figure->name) - (figure->kind == MILLIS ? strlen("_ms") : 0);

	snprintf(name, sizeof(name), "latzero_%.*s", (int)cut, figure->name);
	header(name, figure->kind == COUNT ? "_total" : figure->kind == MILLIS ? "_seconds" : "", figure->help,
	       figure->kind == COUNT ? "counter" : "gauge");
	if (figure->kind == MILLIS)
		printf("%s_seconds{pool=\"%s\"} %s\n", name, pool,
		       cli_format_double(value < 0 ? -1 : (double)value / 1000, text));
	else
		printf("%s%s{pool=\"%s\"} %" PRId64 "\n", name, figure->kind == COUNT ? "_total" : "", pool, value);
}

static void prometheus_histogram(const char *pool, const latz_counter_info *info)
{
	char text[CLI_TEXT_MAX];

	for (unsigned i = 0; i < LATZ_COUNTER_POWERS; i++)
		printf("%s_bucket{pool=\"%s\",le=\"%s\"} %" PRIu64 "\n", info->name, pool,
		       cli_format_double((double)(((uint64_t)1 << (i + 3)) - 1) * info->scale, text), info->below[i]);
	printf("%s_bucket{pool=\"%s\",le=\"+Inf\"} %" PRIu64 "\n", info->name, pool, info->count);
	printf("%s_sum{pool=\"%s\"} %s\n", info->name, pool,
	       cli_format_double((double)info->sum * info->scale, text));
	printf("%s_count{pool=\"%s\"} %" PRIu64 "\n", info->name, pool, info->count);
}

static int prometheus_counter(const latz_counter_info *info, void *arg)
{
	static const char *const types[] = { "counter", "gauge", "histogram" };
	const char *pool = arg;
	char text[CLI_TEXT_MAX];

	header(info->name, "", info->help, types[info->kind]);
	if (info->kind == LATZ_HISTOGRAM)
		prometheus_histogram(pool, info);
	else if (info->scale == 1)
		printf("%s{pool=\"%s\"} %" PRId64 "\n", info->name, pool, info->value);
	else
		printf("%s{pool=\"%s\"} %s\n", info->name, pool,
		       cli_format_double((double)info->value * info->scale, text));
	return 0;
}

/* ---- Text and JSON ---- */

static void print_figure(const latz_stats_t *stats, const struct figure *figure)
{
	int64_t value = value_of(stats, figure);
	char text[CLI_TEXT_MAX], name[64];

	if (!cli.tty || value < 0) {
		cli_field(figure->name, "%" PRId64, value);
	} else if (figure->kind == MILLIS) {
		snprintf(name, sizeof(name), "%.*s", (int)(strlen(figure->name) - strlen("_ms")), figure->name);
		cli_field(name, "%s", cli_show_age(value, text));
	} else if (strstr(figure->name, "_bytes") != NULL) {
		cli_field(figure->name, "%s", cli_show_size((uint64_t)value, text));
	} else {
		cli_field(figure->name, "%s", cli_show_count((uint64_t)value, text));
	}
}

/* A histogram's figure in its own unit; in a terminal, where that is a nanosecond, as people say it. */
static const char *show(const latz_counter_info *info, uint64_t value, char text[CLI_TEXT_MAX])
{
	return info->scale == 1e-9 ? cli_show_ns(value, text) : cli_show_count(value, text);
}

static int print_counter(const latz_counter_info *info, void *arg)
{
	char text[5][CLI_TEXT_MAX];

	(void)arg;
	if (info->kind != LATZ_HISTOGRAM)
		cli_field(info->name, "%" PRId64, info->value);
	else
		cli_field(info->name, "count %s, p50 %s, p99 %s, p99.9 %s, max %s",
		          cli_show_count(info->count, text[0]), show(info, info->p50, text[1]),
		          show(info, info->p99, text[2]), show(info, info->p999, text[3]),
		          show(info, info->max, text[4]));
	return 0;
}

static int json_counter(const latz_counter_info *info, void *arg)
{
	(void)arg;
	if (info->kind != LATZ_HISTOGRAM) {
		cli_json_i64(info->name, info->value);
		return 0;
	}
	cli_json_begin(info->name, '{');
	cli_json_double("scale", info->scale);
	cli_json_u64("count", info->count);
	cli_json_u64("sum", info->sum);
	cli_json_u64("p50", info->p50);
	cli_json_u64("p99", info->p99);
	cli_json_u64("p999", info->p999);
	cli_json_u64("max", info->max);
	cli_json_end('}');
	return 0;
}

static int print_json(const char *name, latz_pool *pool, const latz_stats_t *stats)
{
	int rc;

	cli_json_begin(NULL, '{');
	cli_json_text("pool", name);
	for (size_t i = 0; i < FIGURES; i++)
		cli_json_i64(figures[i].name, value_of(stats, &figures[i]));
	cli_json_begin("counters", '{');
	rc = latz_counters(pool, json_counter, NULL);
	cli_json_end('}');
	cli_json_end('}');
	return rc;
}

static int run_stats(const struct cli_command *command, int argc, char **argv)
{
	latz_stats_t stats = { .size = sizeof(stats) };
	bool prometheus = false;
	latz_pool *pool;
	const struct cli_option options[] = {
		{ "prometheus", CLI_FLAG, &prometheus },
		{ NULL, CLI_FLAG, NULL },
	};

	cli_parse(command, options, argc, argv, 1, 1);
	if (prometheus && cli.json)
		return cli_error(CLI_USAGE, "--prometheus and --json exclude each other");
	int code = cli_open(argv[0], LATZ_NO_THREAD, NULL, &pool);
	if (code != CLI_OK)
		return code;
	int rc = latz_stats(pool, &stats);
	if (rc == LATZ_OK && cli.json) {
		rc = print_json(argv[0], pool, &stats);
	} else if (rc == LATZ_OK) {
		for (size_t i = 0; i < FIGURES; i++) {
			if (prometheus)
				prometheus_figure(argv[0], &stats, &figures[i]);
			else
				print_figure(&stats, &figures[i]);
		}
		rc = latz_counters(pool, prometheus ? prometheus_counter : print_counter, argv[0]);
	}
	if (rc != LATZ_OK)
		code = cli_fail(rc, "reading figures", argv[0], NULL);
	return cli_close(argv[0], pool, code);
}

const struct cli_command cmd_stats = {
	"stats",
	"POOL [--prometheus]",
	"Shows figures of a pool, and its counters",
	"Keys, bytes, bounds, counts of calls, clients, log, compression; how long gets and sets take; and the\n"
	"counters, gauges and histograms that applications keep in the pool (latz_counter_open(3)). Settings are\n"
	"shown by latzero inspect. The command is one of the clients it counts. Keys are all there are, those of\n"
	"namespaces too.\n\n"
	"Options:\n"
	"  --prometheus   the text that Prometheus reads: base units, a label for the pool\n\n"
	"Examples:\n"
	"  latzero stats cache\n"
	"  latzero stats cache --prometheus > /var/lib/prometheus/node-exporter/cache.prom\n",
	run_stats,
};
