/*
 * latzero stats: the figures of a pool that are amounts, and its counters, for people or as JSON. For Prometheus:
 * stats_prometheus.c.
 */
#include "stats.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#define FIGURE(field, kind, width, help) \
	{ #field, help, STATS_##kind, STATS_##width, offsetof(latz_stats_t, field) }

const struct stats_figure stats_figures[] = {
	FIGURE(keys, LEVEL, U64, "Keys present"),
	FIGURE(live_bytes, LEVEL, U64, "Bytes of records in use"),
	FIGURE(dead_bytes, LEVEL, U64, "Bytes of records waiting for cleaning"),
	FIGURE(heap_bytes, LEVEL, U64, "Bytes of blocks of the heap"),
	FIGURE(table_bytes, LEVEL, U64, "Bytes of blocks of the table and the heap's directory"),
	FIGURE(index_bytes, LEVEL, U64, "Bytes of blocks of the ordered index"),
	FIGURE(file_bytes, LEVEL, U64, "Bytes of blocks of all files"),
	FIGURE(index_lag_bytes, LEVEL, U64, "Bytes of the heap that the index has not looked at"),
	FIGURE(extents, LEVEL, U64, "Extents of the heap"),
	FIGURE(extents_free, LEVEL, U64, "Extents that are empty and have blocks"),
	FIGURE(extents_hole, LEVEL, U64, "Extents that are empty and given back"),
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
	FIGURE(evicted_for_bytes, EVICTED, U64, "bytes"),
	FIGURE(evicted_for_entries, EVICTED, U64, "entries"),
	FIGURE(evicted_for_limit, EVICTED, U64, "limit"),
	FIGURE(evicted_expired, EVICTED, U64, "expired"),
	FIGURE(spaces_evicted_for_bytes, EVICTED, U64, "namespace_bytes"),
	FIGURE(spaces_evicted_for_entries, EVICTED, U64, "namespace_entries"),
	FIGURE(spaces_evicted_for_limit, EVICTED, U64, "namespace_limit"),
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
	FIGURE(lock_takes, COUNT, U64, "Locks taken"),
	FIGURE(lock_waits, COUNT, U64, "Waits for locks"),
	FIGURE(bucket_waits, COUNT, U64, "Buckets of the table found locked"),
	FIGURE(bucket_wait_ns, SPENT, U64, "Time that these were waited for"),
	FIGURE(age_ms, MILLIS, I64, "Time since the pool was made"),
	FIGURE(idle_ms, MILLIS, I64, "Time since the pool was last known to be used"),
	FIGURE(wrong_passwords, COUNT, UNSIGNED, "Wrong passwords that were tried"),
	FIGURE(durable, LEVEL, INT, "1 if the pool has a log"),
	FIGURE(log_broken, LEVEL, INT, "0, or the error after which nothing is durable"),
	FIGURE(log_lag_bytes, LEVEL, U64, "Bytes written and not yet synced, about"),
	FIGURE(log_lag_ms, MILLIS, I64, "Time since the last sync, if something is not yet synced"),
	FIGURE(log_bytes, LEVEL, U64, "Bytes of log since the last checkpoint"),
	FIGURE(log_flushes, COUNT, U64, "Flushes of the log"),
	FIGURE(log_syncs, COUNT, U64, "Syncs of the log"),
	FIGURE(log_syncs_ns, SPENT, U64, "Time that syncs of the log took"),
	FIGURE(log_sync_ns, NANOS, U64, "Time that the last sync of the log took"),
	FIGURE(log_sync_bytes, LEVEL, U64, "Bytes that the last sync of the log brought to the disk"),
	FIGURE(log_sync_lag_ms, MILLIS, I64, "Time between the last two syncs of the log"),
	FIGURE(checkpoint_error, LEVEL, INT, "0, or the error by which the last checkpoint failed"),
	FIGURE(snapshot_age_ms, MILLIS, I64, "Time since the last snapshot, negative for none"),
	FIGURE(image_left_bytes, LEVEL, U64, "Bytes of records still in the image the pool was restored from"),
	FIGURE(compressed, COUNT, U64, "Values written compressed"),
	FIGURE(compress_refused, COUNT, U64, "Values long enough that were stored as they are"),
	FIGURE(compress_raw_bytes, COUNT, U64, "Bytes of both before"),
	FIGURE(compress_stored_bytes, COUNT, U64, "Bytes of both as stored"),
	FIGURE(dictionaries, LEVEL, UNSIGNED, "Dictionaries"),
	FIGURE(dict_bytes, LEVEL, U64, "Bytes of dictionaries"),
};

const size_t stats_figures_count = sizeof(stats_figures) / sizeof(stats_figures[0]);

/* What it is, as a number of 64 bits; all fit an int64_t as long as memory has less than 8 EiB. */
int64_t stats_value(const latz_stats_t *stats, const struct stats_figure *figure)
{
	const void *at = (const char *)stats + figure->at;

	switch (figure->width) {
	case STATS_UNSIGNED: return (int64_t) * (const unsigned *)at;
	case STATS_INT: return *(const int *)at;
	case STATS_I64: return *(const int64_t *)at;
	default: return (int64_t) * (const uint64_t *)at;
	}
}

static void print_figure(const latz_stats_t *stats, const struct stats_figure *figure)
{
	int64_t value = stats_value(stats, figure);
	char text[CLI_TEXT_MAX], name[64];

	if (!cli.tty || value < 0) {
		cli_field(figure->name, "%" PRId64, value);
	} else if (figure->kind == STATS_MILLIS) {
		snprintf(name, sizeof(name), "%.*s", (int)(strlen(figure->name) - strlen("_ms")), figure->name);
		cli_field(name, "%s", cli_show_age(value, text));
	} else if (figure->kind == STATS_NANOS || figure->kind == STATS_SPENT) {
		snprintf(name, sizeof(name), "%.*s", (int)(strlen(figure->name) - strlen("_ns")), figure->name);
		cli_field(name, "%s", cli_show_ns((uint64_t)value, text));
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
	char text[6][CLI_TEXT_MAX];

	(void)arg;
	if (info->kind != LATZ_HISTOGRAM)
		cli_field(info->name, "%" PRId64, info->value);
	else
		cli_field(info->name, "count %s, sum %s, p50 %s, p99 %s, p99.9 %s, max %s",
		          cli_show_count(info->count, text[0]), show(info, info->sum, text[1]),
		          show(info, info->p50, text[2]), show(info, info->p99, text[3]),
		          show(info, info->p999, text[4]), show(info, info->max, text[5]));
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
	for (size_t i = 0; i < stats_figures_count; i++)
		cli_json_i64(stats_figures[i].name, stats_value(stats, &stats_figures[i]));
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
	int code = cli_open_read(argv[0], &pool);
	if (code != CLI_OK)
		return code;
	int rc = latz_stats(pool, &stats);
	if (rc == LATZ_OK && cli.json) {
		rc = print_json(argv[0], pool, &stats);
	} else if (rc == LATZ_OK && prometheus) {
		rc = stats_prometheus(argv[0], pool, &stats);
	} else if (rc == LATZ_OK) {
		for (size_t i = 0; i < stats_figures_count; i++)
			print_figure(&stats, &stats_figures[i]);
		rc = latz_counters(pool, print_counter, NULL);
	}
	if (rc != LATZ_OK)
		code = cli_fail(rc, "reading figures", argv[0], NULL);
	return cli_close(argv[0], pool, code);
}

const struct cli_command cmd_stats = {
	"stats",
	"POOL [--prometheus]",
	"Shows figures of a pool, and its counters",
	"Keys, bytes, bounds, evictions by reason, counts of calls, clients, waits, log, compression; how long gets,\n"
	"sets and waits for locks take; and the counters, gauges and histograms that applications keep in the pool\n"
	"(latz_counter_open(3)). Settings are shown by latzero inspect. The command is one of the clients it counts.\n"
	"Keys are all there are, those of namespaces too.\n\n"
	"Options:\n"
	"  --prometheus   the text that Prometheus reads: base units, labels for the pool and for namespaces\n\n"
	"Examples:\n"
	"  latzero stats cache\n"
	"  latzero stats cache --prometheus > /var/lib/prometheus/node-exporter/cache.prom\n",
	run_stats,
};
