/*
 * latzero keys, scan and dump: a pool's keys in order, as of one moment, streamed.
 */
#include "cli.h"

#include <string.h>

enum output_form {
	OUTPUT_KEYS,
	OUTPUT_TSV,
	OUTPUT_JSONL
};

/* Prints one key. A time to live of 0 left still is one: "expires at once" must not turn into "the pool's default". */
static void print_entry(enum output_form form, latz_slice key, latz_value *value)
{
	if (form == OUTPUT_JSONL) {
		cli_json_begin(NULL, '{');
		cli_json_bytes("key", key.data, key.size);
		if (value != NULL) {
			if (value->ttl_ms == 0)
				value->ttl_ms = 1;
			cli_value_json(value);
		}
		cli_json_end('}');
		return;
	}
	cli_write_escaped(stdout, key.data, key.size);
	if (form == OUTPUT_TSV) {
		putchar('\t');
		cli_value_write(stdout, value, true);
	}
	putchar('\n');
}

/* Records that can't be read are named, the first few of them; the rest of the pool is what is wanted now. */
#define DAMAGE_NAMED 5u

/* Whether the scan goes on. */
static bool pass_over(const char *name, latz_slice key, uint64_t *damaged)
{
	if (key.size == 0) { /* keys are missing, and which can't be told: the scan ends with it */
		cli_fail(LATZ_CORRUPT, "scanning", name, "what else was found is here");
		++*damaged;
		return false;
	}
	if (++*damaged <= DAMAGE_NAMED)
		cli_fail_key(LATZ_CORRUPT, "reading", name, key, "it is left out");
	return true;
}

static int tell_damage(const char *name, latz_pool *pool, uint64_t damaged, uint64_t count)
{
	char left_out[CLI_TEXT_MAX], here[CLI_TEXT_MAX];
	bool durable = cli_is_durable(pool);

	return cli_error(CLI_FAIL, "pool %s is damaged in %s place%s, %s key%s here; %s", name,
	                 cli_show_count(damaged, left_out), damaged == 1 ? "" : "s", cli_show_count(count, here),
	                 count == 1 ? " is" : "s are",
	                 durable ? cli_hint_damaged(pool)
	                         : "with latzero dump of each namespace, too, latzero destroy, latzero create and "
	                           "latzero load a pool is made of what is whole");
}

static int stream(const char *name, const latz_scan_options *options, enum output_form form, bool progress)
{
	struct cli_progress bar;
	latz_value value = LATZ_VALUE_INIT;
	latz_slice key;
	latz_scan *scan;
	latz_pool *pool;
	uint64_t count = 0, damaged = 0;
	int code = cli_open_read(name, &pool);

	if (code != CLI_OK)
		return code;
	int rc = latz_scan_open(pool, options, &scan);
	if (rc != LATZ_OK)
		return cli_close(name, pool, cli_fail(rc, "scanning", name, NULL));
	latz_stats_t stats = { .size = sizeof(stats) };
	if (progress && (options->prefix.size > 0 || latz_stats(pool, &stats) != LATZ_OK))
		stats.keys = 0;
	/* No bar where the output itself goes by on the same terminal. */
	cli_progress_begin(&bar, "dumped", stats.keys);
	if (!progress || cli.tty)
		bar.begin_ns = 0;
	latz_value *wanted = options->keys_only ? NULL : &value;
	while (((rc = latz_scan_next(scan, &key, wanted)) == LATZ_OK || rc == LATZ_CORRUPT) && cli_out_ok()) {
		if (rc == LATZ_CORRUPT) {
			if (!pass_over(name, key, &damaged))
				break;
			continue;
		}
		print_entry(form, key, wanted);
		if ((++count & 1023) == 0)
			cli_progress_step(&bar, count);
	}
	cli_progress_end(&bar);
	if (rc != LATZ_DONE && rc != LATZ_OK && rc != LATZ_CORRUPT)
		code = cli_fail(rc, "scanning", name, NULL);
	if (damaged > 0)
		code = tell_damage(name, pool, damaged, count);
	latz_scan_close(scan);
	latz_value_free(&value);
	return cli_close(name, pool, code);
}

struct range_arguments {
	char *from, *to;
	bool reverse, escaped;
	uint64_t limit;
};

static int run_range(const struct cli_command *command, int argc, char **argv, bool keys_only)
{
	struct range_arguments arguments = { 0 };
	latz_scan_options options = LATZ_SCAN_OPTIONS_INIT;
	const struct cli_option table[] = {
		{ "from", CLI_TEXT, &arguments.from },       { "to", CLI_TEXT, &arguments.to },
		{ "limit", CLI_COUNT, &arguments.limit },    { "reverse", CLI_FLAG, &arguments.reverse },
		{ "escaped", CLI_FLAG, &arguments.escaped }, { NULL, CLI_FLAG, NULL },
	};

	int count = cli_parse(command, table, argc, argv, 1, 2);
	if (count > 1)
		options.prefix = cli_key(argv[1], arguments.escaped);
	if (arguments.from != NULL)
		options.from = cli_key(arguments.from, arguments.escaped);
	if (arguments.to != NULL)
		options.to = cli_key(arguments.to, arguments.escaped);
	options.reverse = arguments.reverse;
	options.limit = arguments.limit;
	options.keys_only = keys_only;
	return stream(argv[0], &options, cli.json ? OUTPUT_JSONL : keys_only ? OUTPUT_KEYS : OUTPUT_TSV, false);
}

#define RANGE_HELP \
	"Options:\n" \
	"  --from KEY   only keys from this one on\n" \
	"  --to KEY     only keys before this one\n" \
	"  --limit N    at most N keys (0: all)\n" \
	"  --reverse    the last key first\n" \
	"  --escaped    PREFIX, --from and --to are in the escapes that keys are printed with\n\n"

static int run_keys(const struct cli_command *command, int argc, char **argv)
{
	return run_range(command, argc, argv, true);
}

const struct cli_command cmd_keys = {
	"keys",
	"POOL [PREFIX]",
	"Lists the keys in byte order",
	"One key a line, as of one moment. Tab, newline, carriage return and backslash come as \\t \\n \\r \\\\, other "
	"bytes that\n"
	"are not printable UTF-8 as \\xNN. With --json a key that is not UTF-8 comes as \"key_b64\".\n\n" RANGE_HELP
	"Example:\n"
	"  latzero keys cache user: --limit 10\n",
	run_keys,
};

static int run_scan(const struct cli_command *command, int argc, char **argv)
{
	return run_range(command, argc, argv, false);
}

const struct cli_command cmd_scan = {
	"scan",
	"POOL [PREFIX]",
	"Lists keys and values in byte order",
	"KEY, a tab, VALUE on each line, as of one moment, with the escapes of latzero keys. --json tells types and "
	"times to live.\n\n" RANGE_HELP "Example:\n"
	"  latzero scan cache user: --json\n",
	run_scan,
};

static int run_dump(const struct cli_command *command, int argc, char **argv)
{
	latz_scan_options options = LATZ_SCAN_OPTIONS_INIT;
	const char *format = "jsonl";
	const struct cli_option table[] = {
		{ "format", CLI_TEXT, &format },
		{ NULL, CLI_FLAG, NULL },
	};

	cli_parse(command, table, argc, argv, 1, 1);
	bool tsv = strcmp(format, "tsv") == 0 && !cli.json;
	if (!tsv && strcmp(format, "jsonl") != 0 && strcmp(format, "tsv") != 0)
		return cli_error(CLI_USAGE, "--format %s: there are tsv and jsonl", format);
	return stream(argv[0], &options, tsv ? OUTPUT_TSV : OUTPUT_JSONL, true);
}

const struct cli_command cmd_dump = {
	"dump",
	"POOL [--format F]",
	"Writes keys and values to stdout, for latzero load",
	"A consistent picture of one moment, in key order: of the keys that are in no namespace, or with --namespace\n"
	"of those in this one. latzero-snapshot copies a pool with all its namespaces. Of an encrypted pool dump\n"
	"writes plain text, which latzero-snapshot does not.\n"
	"Of a damaged pool it writes what can be read, tells on stderr what can't, and exits with 3.\n\n"
	"Options:\n"
	"  --format jsonl   an object a line: key or key_b64, type, value or value_b64, ttl_ms (-1: never). Exact; the "
	"default\n"
	"  --format tsv     KEY, a tab, VALUE a line, with \\t \\n \\r \\\\ \\xNN. Without types and times to live\n\n"
	"Example:\n"
	"  latzero dump cache > cache.jsonl\n",
	run_dump,
};
