/*
 * latzero namespaces: the namespaces of a pool; dropping one. And the bounds of one, for latzero limit.
 */
#include "cli.h"

#include <string.h>

static const char *policy_name(latz_policy policy)
{
	return policy == LATZ_POLICY_DEFAULT ? "default" : cli_policy_name(policy);
}

static void print_json(const latz_namespace_info *info)
{
	cli_json_begin(NULL, '{');
	cli_json_text("name", info->name);
	cli_json_u64("keys", info->keys);
	cli_json_u64("bytes", info->bytes);
	cli_json_u64("max_bytes", info->max_bytes);
	cli_json_u64("max_entries", info->max_entries);
	cli_json_text("policy", policy_name(info->policy));
	cli_json_i64("ttl_ms", info->ttl_ms);
	cli_json_u64("gets", info->gets);
	cli_json_u64("hits", info->hits);
	cli_json_u64("sets", info->sets);
	cli_json_u64("deletes", info->deletes);
	cli_json_u64("expired", info->expired);
	cli_json_u64("evicted", info->evicted);
	cli_json_u64("refused", info->refused);
	cli_json_i64("max_age_ms", info->max_age_ms);
	cli_json_end('}');
}

static int print_one(const latz_namespace_info *info, void *arg)
{
	struct cli_table *table = arg;
	char text[CLI_TEXT_MAX];

	if (cli.json) {
		print_json(info);
		return 0;
	}
	cli_table_cell(table, "%s", info->name);
	cli_table_cell(table, "%s", cli_show_count(info->keys, text));
	cli_table_cell(table, "%s", cli_show_size(info->bytes, text));
	cli_table_cell(table, "%s", info->max_bytes == 0 ? "none" : cli_show_size(info->max_bytes, text));
	cli_table_cell(table, "%s", info->max_entries == 0 ? "none" : cli_show_count(info->max_entries, text));
	cli_table_cell(table, "%s", policy_name(info->policy));
	cli_table_cell(table, "%s", cli_show_count(info->gets, text));
	cli_table_cell(table, "%.1f", cli_percent(info->hits, info->gets));
	cli_table_cell(table, "%s", cli_show_count(info->evicted, text));
	cli_table_cell(table, "%s", cli_show_count(info->refused, text));
	return 0;
}

static int list_all(const char *name, latz_pool *pool)
{
	static const char *const columns[] = { "NAME",   ">KEYS", ">BYTES",  ">MAX BYTES", ">MAX ENTRIES", "POLICY",
		                               ">GETS", ">HIT%", ">EVICTED", ">REFUSED",  NULL };
	struct cli_table *table = cli_table_open(columns);
	int rc = latz_namespaces(pool, print_one, table);

	cli_table_close(table);
	return rc == LATZ_OK ? CLI_OK : cli_fail(rc, "listing namespaces", name, NULL);
}

static int run_namespaces(const struct cli_command *command, int argc, char **argv)
{
	const char *drop = NULL;
	latz_pool *pool;
	const struct cli_option table[] = { { "drop", CLI_TEXT, &drop }, { NULL, CLI_FLAG, NULL } };

	cli_parse(command, table, argc, argv, 1, 1);
	int code = drop != NULL ? cli_open(argv[0], LATZ_NO_THREAD, NULL, &pool) : cli_open_read(argv[0], &pool);
	if (code != CLI_OK)
		return code;
	if (drop == NULL)
		return cli_close(argv[0], pool, list_all(argv[0], pool));
	int rc = latz_namespace_drop(pool, drop);
	if (rc != LATZ_OK)
		code = cli_fail(rc, "dropping the namespace", argv[0],
		                rc == LATZ_NOTFOUND ? "without --drop it lists those there are" : NULL);
	return cli_close_write(argv[0], pool, code);
}

const struct cli_command cmd_namespaces = {
	"namespaces",
	"POOL [--drop NS]",
	"Lists a pool's namespaces with what they have, or drops one",
	"A namespace has keys, figures and bounds of its own. With --namespace NS the commands get, set, del, exists,\n"
	"incr, append, ttl, keys, scan, load, dump, clear, watch, inspect POOL KEY and limit are about its keys, lock\n"
	"about its locks; those that write make it, and lock does.\n"
	"Without it they are about the keys that are in none.\n\n"
	"Options:\n"
	"  --drop NS    removes the namespace with all its keys, at once\n\n"
	"Examples:\n"
	"  latzero set cache greeting hello --namespace tenant7\n"
	"  latzero limit cache --namespace tenant7 --max-bytes 64M\n"
	"  latzero namespaces cache\n"
	"  latzero namespaces cache --drop tenant7\n",
	run_namespaces,
};

/* ---- Bounds of one: latzero limit --namespace -------------------------------------------------------------------- */

static int take_present(const latz_namespace_info *info, void *arg)
{
	latz_namespace_options *options = arg;

	if (strcmp(info->name, cli.space) != 0)
		return 0;
	options->max_bytes = info->max_bytes;
	options->max_entries = info->max_entries;
	options->policy = info->policy;
	options->ttl_ms = info->ttl_ms;
	options->max_age_ms = info->max_age_ms;
	return 1;
}

static int complete(const char *max_bytes, const char *max_entries, const char *policy,
                    latz_namespace_options *options)
{
	if (max_bytes != NULL && !cli_parse_bound(max_bytes, true, &options->max_bytes))
		return cli_error(CLI_USAGE, "--max-bytes %s: a size like 64M, or none", max_bytes);
	if (max_entries != NULL && !cli_parse_bound(max_entries, false, &options->max_entries))
		return cli_error(CLI_USAGE, "--max-entries %s: a number, or none", max_entries);
	if (policy == NULL)
		return CLI_OK;
	if (strcmp(policy, "default") == 0)
		options->policy = LATZ_POLICY_DEFAULT;
	else if (strcmp(policy, "fifo") == 0)
		options->policy = LATZ_POLICY_FIFO;
	else if (strcmp(policy, "none") == 0)
		options->policy = LATZ_POLICY_NONE;
	else
		return cli_error(CLI_USAGE, "--policy %s: of a namespace there are default, fifo and none", policy);
	return CLI_OK;
}

static int show_one(const latz_namespace_info *info, void *arg)
{
	char text[CLI_TEXT_MAX];

	(void)arg;
	if (strcmp(info->name, cli.space) != 0)
		return 0;
	if (cli.json) {
		print_json(info);
		return 1;
	}
	cli_field("max_bytes", "%s", info->max_bytes == 0 ? "none" : cli_show_size(info->max_bytes, text));
	cli_field("max_entries", "%s", info->max_entries == 0 ? "none" : cli_show_count(info->max_entries, text));
	cli_field("policy", "%s", policy_name(info->policy));
	cli_field("ttl", "%s",
	          info->ttl_ms == 0  ? "default"
	          : info->ttl_ms < 0 ? "never"
	                             : cli_show_age(info->ttl_ms, text));
	cli_field("bytes", "%s", cli_show_size(info->bytes, text));
	cli_field("keys", "%s", cli_show_count(info->keys, text));
	cli_field("max_age", "%s", info->max_age_ms == 0 ? "none" : cli_show_age(info->max_age_ms, text));
	return 1;
}

int cli_limit_namespace(const char *name, latz_pool *sub, const char *max_bytes, const char *max_entries,
                        const char *policy, const int64_t *ttl_ms)
{
	latz_namespace_options wanted = LATZ_NAMESPACE_OPTIONS_INIT;
	int rc = latz_namespaces(sub, take_present, &wanted), code = CLI_OK;

	if (rc >= 0 && (max_bytes != NULL || max_entries != NULL || policy != NULL || ttl_ms != NULL)) {
		code = complete(max_bytes, max_entries, policy, &wanted);
		if (code != CLI_OK)
			return code;
		if (ttl_ms != NULL)
			wanted.ttl_ms = *ttl_ms;
		rc = latz_namespace_limits(sub, &wanted);
	}
	if (rc >= 0)
		rc = latz_namespaces(sub, show_one, NULL);
	return rc < 0 ? cli_fail(rc, "bounds of the namespace", name, NULL) : code;
}
