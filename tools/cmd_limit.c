/*
 * latzero limit: a pool's bounds and policy, and how it compresses, shown or changed while it is used.
 */
#include "cli.h"

#include <inttypes.h>
#include <string.h>

struct limit_arguments {
	const char *max_bytes, *max_entries, *policy, *compress_min, *max_age;
	int64_t compress_level;
};

#define NO_LEVEL INT64_MAX

/* What is not given stays; policies of a pool that had no bounds are the default. */
static int complete(const struct limit_arguments *arguments, const latz_stats_t *now, latz_limits *limits)
{
	limits->max_bytes = now->max_bytes;
	limits->max_entries = now->max_entries;
	limits->policy = now->policy;
	if (arguments->max_bytes != NULL && !cli_parse_bound(arguments->max_bytes, true, &limits->max_bytes))
		return cli_error(CLI_USAGE, "--max-bytes %s: a size like 64M, or none", arguments->max_bytes);
	if (arguments->max_entries != NULL && !cli_parse_bound(arguments->max_entries, false, &limits->max_entries))
		return cli_error(CLI_USAGE, "--max-entries %s: a number, or none", arguments->max_entries);
	if (arguments->policy == NULL)
		return CLI_OK;
	if (limits->max_bytes == 0 && limits->max_entries == 0)
		return cli_error(CLI_USAGE, "--policy goes with a bound: --max-bytes or --max-entries");
	return cli_parse_policy(arguments->policy, &limits->policy);
}

/* As the pool has it, but for what is given. */
static int complete_compression(const struct limit_arguments *arguments, const latz_stats_t *now, latz_options *options)
{
	uint64_t min = now->compress_min;

	if (arguments->compress_min != NULL && !cli_parse_bound(arguments->compress_min, true, &min))
		return cli_error(CLI_USAGE, "--compress-min %s: a size like 1K, or none", arguments->compress_min);
	options->compress_min = (size_t)min;
	options->compress_level = now->compress_level;
	options->compress_dict = now->compress_dict;
	if (arguments->compress_level == NO_LEVEL)
		return CLI_OK;
	if (arguments->compress_level < -100 || arguments->compress_level > 19)
		return cli_error(CLI_USAGE, "--compress-level: 1 to 19, or negative for speed");
	if (min == 0)
		return cli_error(CLI_USAGE, "--compress-level goes with --compress-min: the pool compresses nothing");
	options->compress_level = (int)arguments->compress_level;
	return CLI_OK;
}

static void print_compression(const latz_stats_t *stats)
{
	char text[CLI_TEXT_MAX];

	if (cli.json) {
		cli_json_u64("compress_min", stats->compress_min);
		cli_json_i64("compress_level", stats->compress_level);
		return;
	}
	cli_field("compress_min", "%s", stats->compress_min == 0 ? "none" : cli_show_size(stats->compress_min, text));
	if (stats->compress_min != 0)
		cli_field("compress_level", "%d", stats->compress_level);
}

static void print_bounds(const char *name, const latz_stats_t *stats, bool compression)
{
	char text[CLI_TEXT_MAX];

	if (cli.json) {
		cli_json_begin(NULL, '{');
		cli_json_text("pool", name);
		cli_json_u64("max_bytes", stats->max_bytes);
		cli_json_u64("max_entries", stats->max_entries);
		cli_json_text("policy", cli_is_bounded(stats) ? cli_policy_name(stats->policy) : "none");
		cli_json_u64("file_bytes", stats->file_bytes);
		cli_json_u64("keys", stats->keys);
		if (compression)
			print_compression(stats);
		cli_json_i64("max_age_ms", stats->max_age_ms);
		cli_json_end('}');
		return;
	}
	cli_field("max_bytes", "%s", stats->max_bytes == 0 ? "none" : cli_show_size(stats->max_bytes, text));
	cli_field("max_entries", "%s", stats->max_entries == 0 ? "none" : cli_show_count(stats->max_entries, text));
	cli_field("policy", "%s", cli_is_bounded(stats) ? cli_policy_name(stats->policy) : "none");
	cli_field("file_bytes", "%s", cli_show_size(stats->file_bytes, text));
	cli_field("keys", "%s", cli_show_count(stats->keys, text));
	if (compression)
		print_compression(stats);
	cli_field("max_age", "%s", stats->max_age_ms == 0 ? "none" : cli_show_age(stats->max_age_ms, text));
}

/* No key's time goes beyond it; of the namespace, if there is one. */
static int change_age(const char *name, latz_pool *pool, int64_t max_age_ms)
{
	int rc = latz_retain(pool, max_age_ms);

	return rc == LATZ_OK ? CLI_OK : cli_fail(rc, "changing the age of keys of", name, NULL);
}

/* What is wrong is said before anything is changed. */
static int change_all(const char *name, latz_pool *pool, const struct limit_arguments *arguments, latz_stats_t *stats)
{
	bool bounds = arguments->max_bytes != NULL || arguments->max_entries != NULL || arguments->policy != NULL;
	bool compression = arguments->compress_min != NULL || arguments->compress_level != NO_LEVEL;
	latz_options options = LATZ_OPTIONS_INIT;
	latz_limits limits = LATZ_LIMITS_INIT;
	int code = bounds ? complete(arguments, stats, &limits) : CLI_OK, rc = LATZ_OK;

	if (code == CLI_OK && compression)
		code = complete_compression(arguments, stats, &options);
	if (code != CLI_OK)
		return code;
	if (bounds)
		rc = latz_limit(pool, &limits);
	if (rc == LATZ_OK && compression)
		rc = latz_compress(pool, &options);
	if (rc == LATZ_OK)
		rc = latz_stats(pool, stats);
	return rc == LATZ_OK ? CLI_OK : cli_fail(rc, "changing bounds", name, NULL);
}

static int run_limit(const struct cli_command *command, int argc, char **argv)
{
	struct limit_arguments arguments = { .compress_level = NO_LEVEL };
	int64_t ttl_ms = INT64_MIN;
	latz_stats_t stats = { .size = sizeof(stats) };
	latz_pool *pool;
	const struct cli_option table[] = {
		{ "max-bytes", CLI_TEXT, &arguments.max_bytes },
		{ "max-entries", CLI_TEXT, &arguments.max_entries },
		{ "policy", CLI_TEXT, &arguments.policy },
		{ "ttl", CLI_TTL, &ttl_ms },
		{ "compress-min", CLI_TEXT, &arguments.compress_min },
		{ "compress-level", CLI_INT, &arguments.compress_level },
		{ "max-age", CLI_TEXT, &arguments.max_age },
		{ NULL, CLI_FLAG, NULL },
	};

	cli_parse(command, table, argc, argv, 1, 1);
	bool compression = arguments.compress_min != NULL || arguments.compress_level != NO_LEVEL;
	bool change = compression || arguments.max_bytes != NULL || arguments.max_entries != NULL ||
	              arguments.policy != NULL || arguments.max_age != NULL || ttl_ms != INT64_MIN;
	int64_t max_age_ms = 0;
	if (arguments.max_age != NULL && strcmp(arguments.max_age, "none") != 0 &&
	    (!cli_parse_duration(arguments.max_age, &max_age_ms) || max_age_ms == 0))
		return cli_error(CLI_USAGE, "--max-age %s: a time like 30d, or none", arguments.max_age);
	if (ttl_ms != INT64_MIN && cli.space == NULL)
		return cli_error(CLI_USAGE, "--ttl goes with --namespace");
	if (compression && cli.space != NULL)
		return cli_error(CLI_USAGE, "compression is the whole pool's: not with --namespace");
	int code = change ? cli_open_write(argv[0], LATZ_NO_THREAD, &pool)
	                  : cli_open_read(argv[0], &pool);
	if (code != CLI_OK)
		return code;
	if (arguments.max_age != NULL && (code = change_age(argv[0], pool, max_age_ms)) != CLI_OK)
		return cli_close(argv[0], pool, code);
	if (cli.space != NULL)
		return cli_close(argv[0], pool,
		                 cli_limit_namespace(argv[0], pool, arguments.max_bytes, arguments.max_entries,
		                                     arguments.policy, ttl_ms != INT64_MIN ? &ttl_ms : NULL));
	int rc = latz_stats(pool, &stats);
	if (rc != LATZ_OK)
		code = cli_fail(rc, "reading figures", argv[0], NULL);
	else if (change)
		code = change_all(argv[0], pool, &arguments, &stats);
	if (code == CLI_OK)
		print_bounds(argv[0], &stats, compression);
	return cli_close(argv[0], pool, code);
}

const struct cli_command cmd_limit = {
	"limit",
	"POOL [OPTION...]",
	"Shows or changes a pool's bounds and what goes when it is full",
	"For all its users, at once; what is over the new bounds is evicted before it returns. What is not given stays "
	"as it is.\n"
	"Without options it shows the bounds, and how much there is.\n\n"
	"Options:\n"
	"  --max-bytes 64M|none    what all of the pool's files may take together, at least 4M, and more if the pool\n"
	"                          had very many keys\n"
	"  --max-entries N|none    keys it may have\n"
	"  --policy P              " CLI_POLICIES "\n"
	"                          (none: nothing goes, writes are refused)\n"
	"  --compress-min 1K|none  values of so many bytes and more are compressed that are written from now on\n"
	"  --compress-level 3      of zstd: 1 to 19, or negative for speed\n"
	"  --max-age 30d|none      no key lives longer than that after it was last written, whatever it is told; keys\n"
	"                          that are there are held to it. With --namespace the namespace's keys\n"
	"With --namespace NS: bounds of the namespace's records; policies are default, fifo and none, and\n"
	"  --ttl 1h|never|default  time to live of keys set without one\n\n"
	"Examples:\n"
	"  latzero limit cache --max-bytes 256M\n"
	"  latzero limit cache --max-bytes none --max-entries 100000 --policy lru\n"
	"  latzero limit cache --json\n"
	"  latzero limit cache --namespace tenant7 --max-bytes 64M --ttl 1h\n",
	run_limit,
};
