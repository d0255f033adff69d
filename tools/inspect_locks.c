/*
 * The part of latzero inspect that lists a pool's locks.
 */
#include "inspect_locks.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *what_of(const latz_lock_info *info)
{
	return info->lease ? "lease" : info->shared ? "shared" : "alone";
}

static int lock_json(const latz_lock_info *info, void *arg)
{
	(void)arg;
	cli_json_begin(NULL, '{');
	cli_json_bytes("name", info->name.data, info->name.size);
	cli_json_bool("cut", info->cut != 0);
	cli_json_text("what", what_of(info));
	cli_json_bool("waiting", info->waiting != 0);
	cli_json_u64("token", info->token);
	cli_json_i64("pid", info->pid);
	cli_json_i64("remaining_ms", info->remaining_ms);
	cli_json_end('}');
	return 0;
}

void inspect_locks_json(latz_pool *pool)
{
	cli_json_begin("locks", '[');
	(void)!latz_locks(pool, lock_json, NULL);
	cli_json_end(']');
}

static int lock_row(const latz_lock_info *info, void *arg)
{
	struct cli_table **table = arg;
	static const char *const on_terminal[] = { "LOCK", "WHAT", "STATE", ">PID", ">TOKEN", ">LEASE", NULL };
	static const char *const piped[] = { "KIND", "LOCK", "WHAT", "STATE", ">PID", ">TOKEN", ">LEASE", NULL };
	char age[CLI_TEXT_MAX], *name = NULL;
	size_t size = 0;
	FILE *file = open_memstream(&name, &size);

	if (file == NULL)
		return 0;
	cli_write_escaped(file, info->name.data, info->name.size);
	if (info->cut)
		fputs("...", file);
	fclose(file);
	if (*table == NULL) {
		if (cli.tty)
			putchar('\n');
		*table = cli_table_open(cli.tty ? on_terminal : piped);
	}
	if (!cli.tty)
		cli_table_cell(*table, "lock");
	cli_table_cell(*table, "%s", name);
	cli_table_cell(*table, "%s", what_of(info));
	cli_table_cell(*table, "%s", info->waiting ? "waits" : "held");
	cli_table_cell(*table, "%" PRId64, info->pid);
	cli_table_cell(*table, "%" PRIu64, info->token);
	cli_table_cell(*table, "%s", info->remaining_ms < 0 ? "-" : cli_show_age(info->remaining_ms, age));
	free(name);
	return 0;
}

void inspect_locks_print(latz_pool *pool)
{
	struct cli_table *table = NULL;

	(void)!latz_locks(pool, lock_row, &table);
	if (table != NULL)
		cli_table_close(table);
}
