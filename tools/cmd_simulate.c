/*
 * latzero simulate: what caches of several sizes, with several policies, would make of a trace. The policies are the
 * library's own, as they run in a pool.
 */
#include "trace.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	POLICIES_MAX = 16,
	SIZES_MAX = 64,
	STEP = 1 << 16, /* requests between two looks at the clock and at signals */
};

struct simulate {
	struct trace trace;
	latz_policy policy[POLICIES_MAX];
	uint64_t size[SIZES_MAX];
	unsigned policies, sizes;
	uint64_t extents, processes; /* 0: not in a pool */
	bool all, bytes;
	struct cli_table *table;
	struct cli_progress bar;
	uint64_t done; /* requests, of all runs */
};

/* Cuts up the text. */
static int parse_policies(struct simulate *simulate, char *text)
{
	static const latz_policy all[] = { LATZ_POLICY_ADAPTIVE, LATZ_POLICY_LRU,   LATZ_POLICY_FIFO,
		                           LATZ_POLICY_CLOCK,    LATZ_POLICY_SIEVE, LATZ_POLICY_S3FIFO,
		                           LATZ_POLICY_2Q,       LATZ_POLICY_ARC,   LATZ_POLICY_WTINYLFU };
	char *word;

	simulate->all = text == NULL || strcmp(text, "all") == 0;
	if (simulate->all) {
		memcpy(simulate->policy, all, sizeof(all));
		simulate->policies = sizeof(all) / sizeof(all[0]);
		return CLI_OK;
	}
	while ((word = strsep(&text, ",")) != NULL) {
		latz_policy policy;

		if (!cli_policy_parse(word, &policy) || policy == LATZ_POLICY_NONE)
			return cli_error(
				CLI_USAGE,
				"--policy %s: there are adaptive, lru, fifo, clock, sieve, s3fifo, 2q, arc and "
				"wtinylfu, with commas between, and all",
				word);
		if (simulate->policies == POLICIES_MAX)
			return cli_error(CLI_USAGE, "--policy: at most %d of them", POLICIES_MAX);
		simulate->policy[simulate->policies++] = policy == LATZ_POLICY_DEFAULT ? LATZ_POLICY_ADAPTIVE : policy;
	}
	return CLI_OK;
}

/* One size: a number, with --bytes of bytes, or a share of what is distinct in the trace. */
static bool parse_size(const struct simulate *simulate, const char *word, uint64_t *size)
{
	uint64_t whole = simulate->bytes ? simulate->trace.bytes_distinct : simulate->trace.keys;
	size_t length = strlen(word);
	char *end;

	if (length > 1 && word[length - 1] == '%') {
		double share = strtod(word, &end);

		if (end != word + length - 1 || !isfinite(share) || share <= 0 || share > 10000)
			return false;
		*size = (uint64_t)llround((double)whole * share / 100);
		if (*size == 0)
			*size = 1;
		return true;
	}
	return (simulate->bytes ? cli_parse_size(word, size) : cli_parse_count(word, size)) && *size > 0;
}

static int parse_sizes(struct simulate *simulate, char *text)
{
	char *word;

	while ((word = strsep(&text, ",")) != NULL) {
		if (simulate->sizes == SIZES_MAX)
			return cli_error(CLI_USAGE, "--size: at most %d of them", SIZES_MAX);
		if (!parse_size(simulate, word, &simulate->size[simulate->sizes]))
			return cli_error(CLI_USAGE, "--size %s: %s, with commas between", word,
			                 simulate->bytes
			                         ? "bytes like 64M, or a share of the bytes of all keys like 5%"
			                         : "a number of entries, or a share of the distinct keys like 5%");
		simulate->sizes++;
	}
	return CLI_OK;
}

static double share_of(uint64_t part, uint64_t whole)
{
	return whole > 0 ? (double)part / (double)whole : 0;
}

static void report(const struct simulate *simulate, latz_policy policy, uint64_t size,
                   const latz_simulate_result_t *result)
{
	char text[CLI_TEXT_MAX];

	if (cli.json) {
		cli_json_begin(NULL, '{');
		cli_json_text("trace", simulate->trace.name);
		cli_json_text("policy", cli_policy_name(policy));
		cli_json_u64(simulate->bytes ? "max_bytes" : "max_entries", size);
		cli_json_u64("requests", result->requests);
		cli_json_u64("hits", result->hits);
		cli_json_double("hit_rate", share_of(result->hits, result->requests));
		if (simulate->trace.sized)
			cli_json_double("byte_hit_rate", share_of(result->bytes_hit, result->bytes_requested));
		cli_json_u64("inserts", result->inserts);
		cli_json_u64("evictions", result->evictions);
		cli_json_u64("copies", result->copies);
		cli_json_u64("toobig", result->toobig);
		cli_json_u64("state_bytes", result->state_bytes);
		cli_json_end('}');
		return;
	}
	cli_table_cell(simulate->table, "%s", cli_policy_name(policy));
	cli_table_cell(simulate->table, "%s", simulate->bytes ? cli_show_size(size, text) : cli_show_count(size, text));
	cli_table_cell(simulate->table, "%.2f", 100 * share_of(result->hits, result->requests));
	if (simulate->trace.sized)
		cli_table_cell(simulate->table, "%.2f", 100 * share_of(result->bytes_hit, result->bytes_requested));
	else
		cli_table_cell(simulate->table, "-");
	cli_table_cell(simulate->table, "%.2f", share_of(result->copies, result->inserts));
}

/* All requests of the trace. */
static int run_requests(struct simulate *simulate, latz_simulation *simulation)
{
	const struct trace *trace = &simulate->trace;

	for (size_t i = 0; i < trace->count; i++) {
		int rc = latz_simulate_request(simulation, trace_key(trace, i), trace->bytes[i]);

		if (rc != LATZ_OK && rc != LATZ_NOTFOUND)
			return rc;
		if ((++simulate->done & (STEP - 1)) == 0)
			cli_progress_step(&simulate->bar, simulate->done);
	}
	return LATZ_OK;
}

/* In a real pool. */
static int run_pool_cell(struct simulate *simulate, latz_policy policy, uint64_t size)
{
	latz_simulate_result_t result = { .size = sizeof(result) };
	latz_options options = LATZ_OPTIONS_INIT;

	options.dir = cli.dir;
	options.policy = policy;
	if (simulate->bytes)
		options.max_bytes = size;
	else
		options.max_entries = size;
	int code = trace_run_in_pool(&simulate->trace, &options, (unsigned)simulate->processes, &result);
	if (code == CLI_OK)
		report(simulate, policy, size, &result);
	simulate->done += simulate->trace.count;
	cli_progress_step(&simulate->bar, simulate->done);
	return code;
}

static int run_cell(struct simulate *simulate, latz_policy policy, uint64_t size)
{
	latz_simulate_options options = LATZ_SIMULATE_OPTIONS_INIT;
	latz_simulate_result_t result = { .size = sizeof(result) };
	latz_simulation *simulation;

	if (simulate->processes > 0)
		return run_pool_cell(simulate, policy, size);
	options.policy = policy;
	if (simulate->bytes)
		options.max_bytes = size;
	else
		options.max_entries = size;
	options.extents = (unsigned)simulate->extents;
	int rc = latz_simulate_open(&options, &simulation);
	if (rc == LATZ_UNSUPPORTED && simulate->all)
		return CLI_OK;
	if (rc == LATZ_OK) {
		rc = run_requests(simulate, simulation);
		if (rc == LATZ_OK)
			rc = latz_simulate_result(simulation, &result);
		latz_simulate_close(simulation);
	}
	if (rc != LATZ_OK)
		return cli_error(cli_exit_code(rc), "trace %s: policy %s: %s: %s", simulate->trace.name,
		                 cli_policy_name(policy), latz_strerror(rc), latz_error_detail());
	report(simulate, policy, size, &result);
	return CLI_OK;
}

static int run_cells(struct simulate *simulate)
{
	static const char *const columns[] = { "policy", ">size", ">hit %", ">byte hit %", ">copies/insert", NULL };
	uint64_t cells = (uint64_t)simulate->policies * simulate->sizes;
	int code = CLI_OK;

	if (!cli.json)
		simulate->table = cli_table_open(columns);
	cli_progress_begin(&simulate->bar, "simulated requests", cells * simulate->trace.count);
	for (unsigned size = 0; size < simulate->sizes; size++) {
		for (unsigned policy = 0; policy < simulate->policies && code == CLI_OK; policy++)
			code = run_cell(simulate, simulate->policy[policy], simulate->size[size]);
	}
	cli_progress_end(&simulate->bar);
	if (!cli.json)
		cli_table_close(simulate->table);
	return code;
}

static int run_simulate(const struct cli_command *command, int argc, char **argv)
{
	static struct simulate simulate;
	const char *policy = NULL, *size = NULL;
	const struct cli_option options[] = {
		{ "policy", CLI_TEXT, &policy },
		{ "size", CLI_TEXT, &size },
		{ "bytes", CLI_FLAG, &simulate.bytes },
		{ "extents", CLI_COUNT, &simulate.extents },
		{ "processes", CLI_COUNT, &simulate.processes },
		{ NULL, CLI_FLAG, NULL },
	};

	cli_parse(command, options, argc, argv, 1, 1);
	if (size == NULL)
		return cli_error(CLI_USAGE, "--size N is needed: a number of entries, or a share of the keys like 5%%");
	if (simulate.extents > 1000000)
		return cli_error(CLI_USAGE, "--extents: at most a million");
	if (simulate.processes > 64)
		return cli_error(CLI_USAGE, "--processes: at most 64");
	char *policies = policy != NULL ? strdup(policy) : NULL, *sizes = strdup(size);
	if (sizes == NULL || (policy != NULL && policies == NULL))
		return cli_error(CLI_FAIL, "out of memory");
	int code = parse_policies(&simulate, policies);
	if (code == CLI_OK)
		code = trace_read(&simulate.trace, argv[0]);
	if (code == CLI_OK && simulate.bytes && !simulate.trace.sized)
		code = cli_error(CLI_USAGE, "--bytes: trace %s has only keys, no sizes", simulate.trace.name);
	if (code == CLI_OK)
		code = parse_sizes(&simulate, sizes);
	if (code == CLI_OK)
		code = run_cells(&simulate);
	trace_free(&simulate.trace);
	free(policies);
	free(sizes);
	return code;
}

const struct cli_command cmd_simulate = {
	"simulate",
	"TRACE|- --size N[,N...]",
	"What caches of these sizes would make of a trace",
	"TRACE has one request a line, a key, or a key and the bytes of its value; it may be compressed by zstd. A "
	"key\n"
	"that is not there is put in. For each size and policy: the share of requests, and of bytes, that were there;\n"
	"and how many entries were copied to keep them for each one put in. The policies are those of a pool.\n\n"
	"Options:\n"
	"  --size N[,N...]    entries, or N% of the distinct keys; with --bytes, sizes like 64M, or N% of the bytes\n"
	"                     that all keys have together, as their first requests say\n"
	"  --bytes            the caches are bounded by bytes\n"
	"  --policy P[,P...]  adaptive, lru, fifo, clock, sieve, s3fifo, 2q, arc, wtinylfu, or all (the default)\n"
	"  --extents N        of the log that adaptive keeps its entries in (128)\n"
	"  --processes N      not simulated: so many processes share the requests, in a pool of their own\n\n"
	"Examples:\n"
	"  latzero simulate requests.txt.zst --size 1%,5%,10%\n"
	"  awk '{ print $7, $10 }' access.log | latzero simulate - --policy adaptive,lru --bytes --size 64M,256M\n",
	run_simulate,
};
