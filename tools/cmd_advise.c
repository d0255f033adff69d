/*
 * latzero advise: what a pool would miss if it had less memory, or more.
 */
#include "advise.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

enum {
	SECONDS = 10 /* that a pool which was not sampled before is watched */
};

static int collect(const latz_advice_point *point, void *arg)
{
	struct advise *advise = arg;

	if (advise->count < ADVISE_POINTS)
		advise->points[advise->count++] = *point;
	return 0;
}

static int ask(latz_pool *pool, unsigned flags, latz_policy policy, bool points, struct advise *advise)
{
	latz_advise_options options = LATZ_ADVISE_OPTIONS_INIT;

	options.flags = flags;
	options.policy = policy;
	advise->count = 0;
	advise->advice.size = sizeof(advise->advice);
	return latz_advise(pool, &options, points ? collect : NULL, advise, &advise->advice);
}

/* Sampling is begun if it is not under way, and then ended again. */
static int watch_and_ask(latz_pool *pool, uint64_t seconds, latz_policy policy, struct advise *advise)
{
	struct timespec left;
	unsigned stop = 0;
	int rc = ask(pool, 0, policy, false, advise);

	if (rc == LATZ_OK && !advise->advice.running) {
		stop = LATZ_ADVISE_STOP;
		rc = ask(pool, LATZ_ADVISE_START, policy, false, advise);
		if (seconds == 0)
			seconds = SECONDS;
	}
	left = (struct timespec){ .tv_sec = (time_t)seconds };
	while (rc == LATZ_OK && !cli_signalled() && nanosleep(&left, &left) != 0 && errno == EINTR)
		continue;
	return rc == LATZ_OK ? ask(pool, stop, policy, true, advise) : rc;
}

static void print_json(const struct advise *advise)
{
	const latz_advice_t *advice = &advise->advice;

	cli_json_begin(NULL, '{');
	cli_json_text("pool", advise->pool);
	cli_json_text("policy", cli_policy_name(advice->policy));
	cli_json_u64("accesses", advice->references);
	cli_json_u64("sampled", advice->sampled);
	cli_json_double("sampling", advice->sampling);
	cli_json_i64("age_ms", advice->age_ms);
	cli_json_double("miss_ratio", advice->miss_ratio);
	cli_json_double("byte_miss_ratio", advice->byte_miss_ratio);
	cli_json_begin("points", '[');
	for (size_t i = 0; i < advise->count; i++) {
		const latz_advice_point *point = &advise->points[i];

		cli_json_begin(NULL, '{');
		cli_json_double("scale", point->scale);
		cli_json_u64("max_bytes", point->max_bytes);
		cli_json_u64("max_entries", point->max_entries);
		cli_json_double("miss_ratio", point->miss_ratio);
		cli_json_double("byte_miss_ratio", point->byte_miss_ratio);
		cli_json_double("lru_miss_ratio", point->lru_miss_ratio);
		cli_json_double("lru_byte_miss_ratio", point->lru_byte_miss_ratio);
		cli_json_end('}');
	}
	cli_json_end(']');
	cli_json_end('}');
}

static void print_table(const struct advise *advise)
{
	static const char *const columns[] = {
		">SIZE", ">BYTES", ">KEYS", ">MISS%", ">BYTES MISS%", ">LRU MISS%", NULL
	};
	const latz_advice_t *advice = &advise->advice;
	char text[CLI_TEXT_MAX], age[CLI_TEXT_MAX];
	struct cli_table *table;

	if (cli.tty)
		printf("%s%s%s under %s: %s accesses in %s, of which %.2f%% missed; known of %.3g%% of the keys\n\n",
		       cli_bold(), advise->pool, cli_plain(), cli_policy_name(advice->policy),
		       cli_format_count(advice->references, text), cli_format_age(advice->age_ms, age),
		       advice->miss_ratio * 100, advice->sampling * 100);
	table = cli_table_open(columns);
	for (size_t i = 0; i < advise->count; i++) {
		const latz_advice_point *point = &advise->points[i];

		cli_table_cell(table, "x%g", point->scale);
		cli_table_cell(table, "%s", point->max_bytes != 0 ? cli_show_size(point->max_bytes, text) : "-");
		cli_table_cell(table, "%s", point->max_entries != 0 ? cli_show_count(point->max_entries, text) : "-");
		cli_table_cell(table, "%.2f", point->miss_ratio * 100);
		cli_table_cell(table, "%.2f", point->byte_miss_ratio * 100);
		cli_table_cell(table, "%.2f", point->lru_miss_ratio * 100);
	}
	cli_table_close(table);
}

static int write_svg(const struct advise *advise, const char *path)
{
	FILE *file;
	int failed;

	if (strcmp(path, "-") == 0) {
		advise_svg(stdout, advise);
		return CLI_OK;
	}
	file = fopen(path, "w");
	if (file == NULL)
		return cli_error(CLI_FAIL, "%s: %s; give another file with --svg", path, strerror(errno));
	advise_svg(file, advise);
	failed = ferror(file);
	if (fclose(file) != 0 || failed)
		return cli_error(CLI_FAIL, "%s can't be written; free some room there, or give another file with --svg",
		                 path);
	return CLI_OK;
}

static int report(const struct advise *advise, const char *svg)
{
	int code = CLI_OK;

	if (advise->count == 0)
		return cli_error(CLI_NO,
		                 "pool %s: nothing was read or created while it was watched; try --seconds 60, when it "
		                 "is in use",
		                 advise->pool);
	if (svg != NULL)
		code = write_svg(advise, svg);
	if (code != CLI_OK || (svg != NULL && strcmp(svg, "-") == 0))
		return code;
	if (cli.json)
		print_json(advise);
	else
		print_table(advise);
	return code;
}

static int run_advise(const struct cli_command *command, int argc, char **argv)
{
	const char *svg = NULL, *policy_name = "default";
	struct advise advise = { .pool = NULL };
	uint64_t seconds = 0;
	latz_policy policy;
	latz_pool *pool;
	const struct cli_option options[] = {
		{ "seconds", CLI_COUNT, &seconds },
		{ "policy", CLI_TEXT, &policy_name },
		{ "svg", CLI_TEXT, &svg },
		{ NULL, CLI_FLAG, NULL },
	};

	cli_parse(command, options, argc, argv, 1, 1);
	if (!cli_policy_parse(policy_name, &policy) || policy == LATZ_POLICY_NONE)
		return cli_error(CLI_USAGE, "--policy %s: not one that evicts; see latzero advise --help", policy_name);
	if (seconds > 1000000)
		return cli_error(CLI_USAGE, "--seconds %" PRIu64 ": at most 1000000", seconds);
	advise.pool = argv[0];
	int code = cli_open(argv[0], LATZ_NO_THREAD, NULL, &pool);
	if (code != CLI_OK)
		return code;
	cli_catch_signals();
	int rc = watch_and_ask(pool, seconds, policy, &advise);
	code = rc == LATZ_OK ? report(&advise, svg) : cli_fail(rc, "asking for advice", argv[0], NULL);
	return cli_close(argv[0], pool, code);
}

const struct cli_command cmd_advise = {
	"advise",
	"POOL",
	"Tells what the pool would miss if it were larger or smaller",
	"From a sample of what is asked for: a line for each size, with the share of accesses, and of bytes, that "
	"would "
	"have\n"
	"missed, and that under LRU. An access is a get that found something, or the creation of a key. A pool that "
	"evicts is\n"
	"always sampled. Any other is for as long as the command watches it: then x1 is what it takes now. Piped: "
	"size, "
	"bytes,\n"
	"keys, percent missed, percent of bytes missed, percent missed under LRU, tabs between.\n\n"
	"Options:\n"
	"  --seconds N   watch for so long before; without it, 10 if the pool was not sampled yet, else 0\n"
	"  --policy P    what another policy would do: adaptive, lru, fifo, clock, sieve, s3fifo, 2q, arc, wtinylfu\n"
	"  --svg FILE    a plot, too; with - only the plot, to standard output\n\n"
	"Example:\n"
	"  latzero advise cache --svg cache.svg\n",
	run_advise,
};
