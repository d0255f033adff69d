/*
 * latzero top: what goes on in the pools, from the differences of their counters.
 *
 * It attaches for a moment at each sample and lets go again, so that it keeps no pool alive that others have left. A
 * pool that is named is opened once, to read only, which keeps none alive either: opening one with a password takes a
 * processor's time, and one with an audit log a line of it. Since wrong ones of who only reads
 * are not counted, one that is wrong is tried again by attaching as everybody else does, if we may write the pool.
 */
#include "top.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	PROBES = 16,
	COLUMNS = 14,
	NAME_MAX_BYTES = 64
};

/* A pool at one moment. */
struct sample {
	char name[NAME_MAX_BYTES + 1];
	uint64_t at_ns, probe_ns;
	latz_stats_t stats;
	uint64_t probes; /* of ours, that the next sample's figures have */
	int rc;
};

struct samples {
	struct sample *items;
	size_t count, capacity;
	const char *only; /* this pool alone, or NULL */
	latz_pool **kept; /* its handle, between samples */
};

static struct sample *add_sample(struct samples *samples, const char *name)
{
	if (samples->count == samples->capacity) {
		samples->capacity = samples->capacity * 2 + 16;
		samples->items = cli_realloc(samples->items, samples->capacity * sizeof(*samples->items));
	}
	struct sample *sample = &samples->items[samples->count++];
	memset(sample, 0, sizeof(*sample));
	snprintf(sample->name, sizeof(sample->name), "%s", name);
	return sample;
}

static int collect_name(const latz_pool_info *info, void *arg)
{
	struct samples *samples = arg;

	/* Not even tried: it would be refused, which is told to its audit log. */
	if (info->status == LATZ_OK)
		add_sample(samples, info->name)->rc = info->password ? LATZ_AUTH : LATZ_OK;
	return 0;
}

static int compare_times(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* How long a lookup takes from here: the median of a few gets of a key nobody has. The pool's counters see them; the
 * caller takes them off again. */
static uint64_t probe(latz_pool *pool)
{
	static const char key[] = "\xfflatzero top\xff";
	latz_value value = LATZ_VALUE_INIT;
	uint64_t times[PROBES];

	for (size_t i = 0; i < PROBES; i++) {
		uint64_t began_ns = cli_now_ns();
		(void)!latz_get(pool, (latz_slice){ key, sizeof(key) - 1 }, &value);
		times[i] = cli_now_ns() - began_ns;
	}
	latz_value_free(&value);
	qsort(times, PROBES, sizeof(times[0]), compare_times);
	return times[PROBES / 2];
}

/* Anybody's, attached to for a moment. A password is for the pool that is named, and not tried on others. */
static void take_sample(struct sample *sample)
{
	latz_options options;
	latz_pool *pool;

	cli_pool_options(&options, LATZ_NO_THREAD | LATZ_NO_GUARD);
	options.password = NULL;
	sample->rc = latz_open(sample->name, &options, &pool);
	bool reads_only = sample->rc == LATZ_ACCESS && !cli_may_write(sample->name);
	if (reads_only) {
		options.flags = (unsigned)LATZ_READONLY;
		sample->rc = latz_open(sample->name, &options, &pool);
	}
	if (sample->rc != LATZ_OK)
		return;
	sample->stats.size = sizeof(sample->stats);
	sample->at_ns = cli_now_ns();
	sample->rc = latz_stats(pool, &sample->stats);
	if (sample->rc == LATZ_OK) {
		sample->probe_ns = probe(pool);
		sample->probes = PROBES;
		if (sample->stats.clients > 0 && !reads_only)
			sample->stats.clients--; /* this one */
	}
	(void)latz_close(pool);
}

/* A wrong password is counted of who attaches to write, and then he waits for his turn: so that is what tells. */
static int attach_to_write(const char *name)
{
	latz_options options;
	latz_pool *pool;

	cli_pool_options(&options, LATZ_NO_THREAD | LATZ_NO_GUARD);
	int rc = cli_attach(name, &options, &pool);
	if (rc == LATZ_OK)
		(void)latz_close(pool);
	return rc;
}

static int attach_to_read(const char *name, latz_pool **pool)
{
	latz_options options;

	cli_pool_options(&options, (unsigned)LATZ_READONLY);
	bool counts = options.password != NULL && cli_may_write(name); /* before, as it has a detail of its own */
	int rc = cli_attach(name, &options, pool);
	if (rc == LATZ_AUTH && counts && (rc = attach_to_write(name)) == LATZ_OK) /* it is another meanwhile */
		rc = cli_attach(name, &options, pool);
	return rc;
}

/* Of the one that is named; of one made anew under its name, too. Nothing is counted of who reads only. */
static void follow_sample(struct sample *sample, latz_pool **kept)
{
	for (int i = 0; i < 2; i++) {
		sample->rc = *kept != NULL ? LATZ_OK : attach_to_read(sample->name, kept);
		if (sample->rc != LATZ_OK)
			return;
		sample->stats.size = sizeof(sample->stats);
		sample->at_ns = cli_now_ns();
		sample->rc = latz_stats(*kept, &sample->stats);
		if (sample->rc != LATZ_DEAD)
			break;
		(void)latz_close(*kept);
		*kept = NULL;
	}
	if (sample->rc == LATZ_OK)
		sample->probe_ns = probe(*kept);
}

static int take_samples(struct samples *samples)
{
	samples->count = 0;
	if (samples->only != NULL) { /* the directory need not be one that we may list */
		follow_sample(add_sample(samples, samples->only), samples->kept);
		samples->count -= samples->items[0].rc == LATZ_NOTFOUND;
		return CLI_OK;
	}
	int rc = latz_list(cli.dir, collect_name, samples);
	if (rc != LATZ_OK)
		return cli_fail_dir(rc, "listing", "check --dir and who may read it");
	for (size_t i = 0; i < samples->count; i++) {
		if (samples->items[i].rc == LATZ_OK)
			take_sample(&samples->items[i]);
	}
	return CLI_OK;
}

static const struct sample *find_sample(const struct samples *samples, const char *name)
{
	for (size_t i = 0; i < samples->count; i++) {
		if (strcmp(samples->items[i].name, name) == 0)
			return &samples->items[i];
	}
	return NULL;
}

/* Per second; a pool that was made anew under its name counts from 0. */
static double rate(uint64_t before, uint64_t now, uint64_t ours, double seconds)
{
	uint64_t more = now > before ? now - before : 0;

	return (double)(more > ours ? more - ours : 0) / seconds;
}

struct figures {
	double gets, hits, sets, deletes, expired, evicted, hit_percent;
};

static struct figures compute(const struct sample *before, const struct sample *now)
{
	static const latz_stats_t none;
	const latz_stats_t *old = before != NULL && before->rc == LATZ_OK && before->stats.age_ms <= now->stats.age_ms
	                                  ? &before->stats
	                                  : &none;
	double seconds =
		old != &none ? (double)(now->at_ns - before->at_ns) / 1e9 : (double)now->stats.age_ms / 1e3 + 1e-3;
	struct figures figures = {
		.gets = rate(old->gets, now->stats.gets, old != &none ? before->probes : 0, seconds),
		.hits = rate(old->hits, now->stats.hits, 0, seconds),
		.sets = rate(old->sets, now->stats.sets, 0, seconds),
		.deletes = rate(old->deletes, now->stats.deletes, 0, seconds),
		.expired = rate(old->expired, now->stats.expired, 0, seconds),
		.evicted = rate(old->evicted, now->stats.evicted, 0, seconds),
	};

	figures.hit_percent = figures.gets > 0 ? figures.hits * 100 / figures.gets : 0;
	if (figures.hit_percent > 100)
		figures.hit_percent = 100;
	return figures;
}

static const char *log_text(const latz_stats_t *stats)
{
	return !stats->durable ? "-" : stats->log_broken != 0 ? "broken" : cli_sync_name(stats->sync);
}

static void print_json(const struct sample *sample, const struct figures *figures)
{
	cli_json_begin(NULL, '{');
	cli_json_text("pool", sample->name);
	cli_json_u64("clients", sample->stats.clients);
	cli_json_u64("keys", sample->stats.keys);
	cli_json_double("gets_per_second", figures->gets);
	cli_json_double("hit_percent", figures->hit_percent);
	cli_json_double("sets_per_second", figures->sets);
	cli_json_double("deletes_per_second", figures->deletes);
	cli_json_double("expired_per_second", figures->expired);
	cli_json_double("evicted_per_second", figures->evicted);
	cli_json_u64("live_bytes", sample->stats.live_bytes);
	cli_json_u64("file_bytes", sample->stats.file_bytes);
	cli_json_u64("index_lag_bytes", sample->stats.index_lag_bytes);
	cli_json_u64("probe_ns", sample->probe_ns);
	cli_json_bool("durable", sample->stats.durable != 0);
	cli_json_text("sync", log_text(&sample->stats));
	cli_json_u64("log_lag_bytes", sample->stats.log_lag_bytes);
	cli_json_i64("log_lag_ms", sample->stats.log_lag_ms);
	cli_json_u64("log_bytes", sample->stats.log_bytes);
	cli_json_end('}');
}

/* What can be told of a pool without its password: that it has one. */
static void print_locked(struct cli_table *table, const struct sample *sample)
{
	if (cli.json) {
		cli_json_begin(NULL, '{');
		cli_json_text("pool", sample->name);
		cli_json_bool("locked", true);
		cli_json_end('}');
		return;
	}
	cli_table_cell(table, "%s", sample->name);
	cli_table_cell(table, "locked");
	for (int i = 2; i < COLUMNS; i++)
		cli_table_cell(table, "-");
}

static void print_row(struct cli_table *table, const struct sample *sample, const struct figures *figures)
{
	const double rates[] = { figures->gets, figures->sets, figures->deletes, figures->expired };
	const uint64_t sizes[] = { sample->stats.live_bytes, sample->stats.file_bytes };
	char text[CLI_TEXT_MAX];

	cli_table_cell(table, "%s", sample->name);
	cli_table_cell(table, "%u", sample->stats.clients);
	cli_table_cell(table, "%s", cli_show_count(sample->stats.keys, text));
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		cli_table_cell(table, "%s", cli_show_count((uint64_t)(rates[i] + 0.5), text));
		if (i == 0)
			cli_table_cell(table, "%.1f", figures->hit_percent);
	}
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		cli_table_cell(table, "%s", cli_show_size(sizes[i], text));
	}
	cli_table_cell(table, "%s", cli_show_ns(sample->probe_ns, text));
	cli_table_cell(table, "%s", log_text(&sample->stats));
	cli_table_cell(table, "%s", cli_show_size(sample->stats.log_lag_bytes, text));
	cli_table_cell(table, "%s", cli_show_count((uint64_t)(figures->evicted + 0.5), text));
}

static void print_samples(const struct samples *before, const struct samples *now, bool clear)
{
	static const char *const columns[] = { "POOL",    ">CLIENTS",   ">KEYS", ">GETS/S", ">HIT%",   ">SETS/S",
		                               ">DELS/S", ">EXPIRED/S", ">LIVE", ">FILES",  ">LOOKUP", "SYNC",   ">LAG",
		                               ">EVICTED/S", NULL };
	struct cli_table *table = cli_table_open(columns);
	char text[64] = "";

	if (clear) {
		time_t seconds = time(NULL);
		struct tm local;
		if (localtime_r(&seconds, &local) == NULL || strftime(text, sizeof(text), "%H:%M:%S", &local) == 0)
			text[0] = '\0';
		printf("\033[H\033[2J%slatzero top%s  %s  %zu pool%s; Ctrl-C ends\n\n", cli_bold(), cli_plain(), text,
		       now->count, now->count == 1 ? "" : "s");
	}
	for (size_t i = 0; i < now->count; i++) {
		const struct sample *sample = &now->items[i];
		if (sample->rc == LATZ_AUTH)
			print_locked(table, sample);
		if (sample->rc != LATZ_OK)
			continue;
		struct figures figures = compute(find_sample(before, sample->name), sample);
		if (cli.json)
			print_json(sample, &figures);
		else
			print_row(table, sample, &figures);
	}
	cli_table_close(table);
	fflush(stdout);
}

static void wait_ms(int64_t ms)
{
	struct timespec left = { .tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000 };

	while (!cli_signalled() && nanosleep(&left, &left) != 0 && errno == EINTR)
		continue;
}

static int show(const char *only, int64_t interval_ms, uint64_t count)
{
	latz_pool *kept = NULL;
	struct samples both[2] = { { .only = only, .kept = &kept }, { .only = only, .kept = &kept } };
	bool clear = cli.tty && !cli.json && count != 1;
	int code = take_samples(&both[0]);
	unsigned now = 0;

	if (code == CLI_OK && only != NULL && both[0].count == 0)
		code = cli_error(CLI_NO, "pool %s: LATZ_NOTFOUND: no such pool; latzero list shows the pools there are",
		                 only);
	if (code == CLI_OK && only != NULL && both[0].items[0].rc != LATZ_OK)
		code = cli_fail_attaching(both[0].items[0].rc, "attaching", only, NULL);
	for (uint64_t i = 0; code == CLI_OK && (count == 0 || i < count); i++) {
		wait_ms(interval_ms);
		if (cli_signalled() || !cli_out_ok())
			break;
		now ^= 1;
		code = take_samples(&both[now]);
		if (code != CLI_OK)
			break;
		if (only != NULL && both[now].count == 0) {
			if (cli.tty)
				printf("%s is gone.\n", only);
			break;
		}
		print_samples(&both[now ^ 1], &both[now], clear);
	}
	if (kept != NULL)
		(void)latz_close(kept);
	free(both[0].items);
	free(both[1].items);
	return code;
}

static int run_top(const struct cli_command *command, int argc, char **argv)
{
	int64_t interval_ms = 1000;
	uint64_t times = 0;
	uint64_t most = 10;
	bool once = false, keys = false;
	const struct cli_option options[] = {
		{ "once", CLI_FLAG, &once },
		{ "count", CLI_COUNT, &times },
		{ "interval", CLI_DURATION, &interval_ms },
		{ "keys", CLI_FLAG, &keys },
		{ "most", CLI_COUNT, &most },
		{ NULL, CLI_FLAG, NULL },
	};

	int count = cli_parse(command, options, argc, argv, 0, 1);
	if (interval_ms < 10)
		return cli_error(CLI_USAGE, "--interval: at least 10ms");
	if (keys && count == 0)
		return cli_error(CLI_USAGE, "--keys needs a pool; usage: latzero top POOL --keys");
	if (keys) {
		cli_catch_signals();
		return top_keys(argv[0], interval_ms, most > 2048 ? 2048 : (unsigned)most);
	}
	if (once || (times == 0 && !cli.tty))
		times = 1;
	cli_catch_signals();
	return show(count > 0 ? argv[0] : NULL, interval_ms, times);
}

const struct cli_command cmd_top = {
	"top",
	"[POOL]",
	"Shows operations per second, hits, memory and clients, live",
	"All pools of the runtime directory, or POOL alone, each second; of those with a password only that they\n"
	"are locked. Piped it prints one sample: pool, clients, keys, gets/s,\n"
	"hit percent, sets/s, deletes/s, expired/s, live bytes, file bytes, nanoseconds of a lookup, sync mode, bytes "
	"not synced\n"
	"yet, evicted/s, tabs between. LOOKUP is how long a get of an absent key takes from here. SYNC is - for a pool "
	"that is not durable,\n"
	"and broken for one whose log can't be written.\n\n"
	"Options:\n"
	"  --once            one sample\n"
	"  --count N         N samples\n"
	"  --interval 1s     between them\n"
	"  --keys            instead: the keys most gets ask for, and their share of those that find something, in "
	"percent;\n"
	"                    a pool that does not evict is watched for --interval first\n"
	"  --most 10         keys, at most\n\n"
	"Examples:\n"
	"  latzero top cache --count 5 --json\n"
	"  latzero top --keys cache\n",
	run_top,
};
