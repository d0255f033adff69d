/*
 * latzero list: the live pools of a runtime directory.
 */
#include "cli.h"

#include <inttypes.h>

struct list_state {
	struct cli_table *table;
	bool unreadable;
};

static void list_json(const latz_pool_info *info)
{
	cli_json_begin(NULL, '{');
	cli_json_text("name", info->name);
	cli_json_text("path", info->path);
	cli_json_u64("clients", info->clients);
	cli_json_u64("keys", info->keys);
	cli_json_u64("bytes", info->bytes);
	cli_json_i64("age_ms", info->age_ms);
	cli_json_bool("keep", (info->flags & LATZ_KEEP) != 0);
	cli_json_bool("durable", info->durable != 0);
	cli_json_bool("log_broken", info->log_broken != 0);
	cli_json_bool("bounded", info->bounded != 0);
	cli_json_bool("password", info->password != 0);
	cli_json_bool("encrypted", info->encrypted != 0);
	cli_json_u64("wrong_passwords", info->wrong_passwords);
	cli_json_text("status", latz_strerror(info->status));
	cli_json_end('}');
}

static const char *flags_text(const latz_pool_info *info, char buffer[2 * CLI_TEXT_MAX])
{
	const char *log = !info->durable ? "" : info->log_broken == 0 ? ",durable" : ",broken";

	snprintf(buffer, 2 * CLI_TEXT_MAX, "%s%s%s%s%s", (info->flags & LATZ_KEEP) != 0 ? ",keep" : "", log,
	         info->bounded ? ",bounded" : "", info->password ? "," : "",
	         info->password ? cli_locked_name(info->password, info->encrypted) : "");
	return *buffer == '\0' ? "-" : buffer + 1;
}

static int list_pool(const latz_pool_info *info, void *arg)
{
	struct list_state *state = arg;
	char text[2 * CLI_TEXT_MAX];

	if (info->status != LATZ_OK)
		state->unreadable = true;
	if (cli.json) {
		list_json(info);
		return 0;
	}
	cli_table_cell(state->table, "%s", info->name);
	cli_table_cell(state->table, "%u", info->clients);
	cli_table_cell(state->table, "%s", cli_show_count(info->keys, text));
	cli_table_cell(state->table, "%s", cli_show_size(info->bytes, text));
	cli_table_cell(state->table, "%s", cli_show_age(info->age_ms, text));
	cli_table_cell(state->table, "%s", flags_text(info, text));
	cli_table_cell(state->table, "%s", info->status == LATZ_OK ? "ok" : latz_strerror(info->status));
	return 0;
}

static int run_list(const struct cli_command *command, int argc, char **argv)
{
	static const char *const columns[] = { "NAME", ">CLIENTS", ">KEYS", ">BYTES", ">AGE", "FLAGS", "STATUS", NULL };
	struct list_state state = { 0 };

	cli_parse(command, NULL, argc, argv, 0, 0);
	state.table = cli_table_open(columns);
	int rc = latz_list(cli.dir, list_pool, &state);
	cli_table_close(state.table);
	return rc == LATZ_OK ? CLI_OK : cli_fail_dir(rc, "listing", "check --dir and who may read it");
}

const struct cli_command cmd_list = {
	"list",
	"",
	"Lists the live pools: name, clients, keys, bytes, age, flags",
	"Piped, the fields have a tab between them, bytes and age are plain numbers (bytes, milliseconds). A pool that "
	"can't be\n"
	"read is listed with the reason as its status. Flags: keep, durable, broken (durable, but its log can't be "
	"written), bounded,\n"
	"password (it asks for one), encrypted (the same, and what is in it is encrypted).\n"
	"Keys are all that were put there, of namespaces too.\n"
	"Ephemeral pools without a user are removed on the way. In another user's directory nothing is, and those are "
	"shown\n"
	"that may be read.\n\n"
	"Example:\n"
	"  latzero list --json | jq -r .name\n",
	run_list,
};
