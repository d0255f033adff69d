/*
 * latzero inspect: everything there is to know about a pool, or the metadata of a key.
 */
#include "cli.h"
#include "inspect_locks.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct seen {
	const char *name;
	bool found;
	struct cli_pool pool;
};

static bool is_kept(const struct cli_pool *pool)
{
	return (pool->info.flags & LATZ_KEEP) != 0;
}

static void field_lifetime(const struct cli_pool *pool)
{
	cli_field("lifetime", "%s", is_kept(pool) ? "kept until destroyed" : "until its last user leaves");
}

/* Size for people on a terminal, bytes for programs. */
static void field_size(const char *name, uint64_t bytes)
{
	char text[CLI_TEXT_MAX];

	cli_field(name, "%s", cli_show_size(bytes, text));
}

static void field_count(const char *name, uint64_t count)
{
	char text[CLI_TEXT_MAX];

	cli_field(name, "%s", cli_show_count(count, text));
}

static void field_age(const char *name, int64_t ms)
{
	char text[CLI_TEXT_MAX];

	cli_field(name, "%s", cli_show_age(ms, text));
}

/* The error's name without its text. */
static const char *broken_name(int rc, char buffer[CLI_TEXT_MAX])
{
	const char *text = latz_strerror(rc);

	snprintf(buffer, CLI_TEXT_MAX, "%.*s", (int)strcspn(text, ":"), text);
	return buffer;
}

static void log_json(const latz_stats_t *stats)
{
	char text[CLI_TEXT_MAX];

	cli_json_bool("durable", stats->durable != 0);
	if (!stats->durable)
		return;
	cli_json_text("sync", cli_sync_name(stats->sync));
	if (stats->log_broken != 0)
		cli_json_text("log_broken", broken_name(stats->log_broken, text));
	else
		cli_json_null("log_broken");
	cli_json_u64("log_lag_bytes", stats->log_lag_bytes);
	cli_json_i64("log_lag_ms", stats->log_lag_ms);
	cli_json_u64("log_bytes", stats->log_bytes);
	cli_json_u64("log_flushes", stats->log_flushes);
	cli_json_u64("log_syncs", stats->log_syncs);
	cli_json_u64("snapshot_seq", stats->snapshot_seq);
	cli_json_i64("snapshot_age_ms", stats->snapshot_age_ms);
	cli_json_bytes("persist_dir", stats->persist_dir, strlen(stats->persist_dir));
	cli_json_u64("sync_interval_ms", stats->sync_interval_ms);
	cli_json_u64("checkpoint_bytes", stats->checkpoint_bytes);
	cli_json_bool("snapshot_on_close", stats->snapshot_on_close != 0);
	if (stats->checkpoint_error == 0) {
		cli_json_null("checkpoint_error");
		return;
	}
	cli_json_text("checkpoint_error", broken_name(stats->checkpoint_error, text));
	cli_json_i64("checkpoint_failed_wall_ms", stats->checkpoint_failed_wall_ms);
	cli_json_text("checkpoint_detail", stats->checkpoint_detail);
}

static void print_checkpoint(const latz_stats_t *stats)
{
	char text[CLI_TEXT_MAX];
	struct timespec now;

	if (stats->checkpoint_error == 0)
		return;
	cli_field("checkpoint", "%sfailed%s: %s: %s; the log grows until one succeeds, latzero verify looks for damage",
	          cli_red(), cli_plain(), broken_name(stats->checkpoint_error, text), stats->checkpoint_detail);
	clock_gettime(CLOCK_REALTIME, &now);
	if (cli.tty)
		cli_field("checkpoint_failed", "%s ago",
		          cli_show_age((int64_t)now.tv_sec * 1000 - stats->checkpoint_failed_wall_ms, text));
	else
		cli_field("checkpoint_failed_wall_ms", "%" PRId64, stats->checkpoint_failed_wall_ms);
}

static void print_log(const latz_stats_t *stats)
{
	if (!stats->durable) {
		cli_field("durable", "no");
		return;
	}
	cli_field("durable", "%s", stats->log_broken == 0 ? "yes" : "no, the log is broken");
	cli_field("persist_dir", "%s", stats->persist_dir);
	cli_field("sync", "%s", cli_sync_name(stats->sync));
	if (stats->sync == LATZ_SYNC_INTERVAL)
		field_age(cli.tty ? "sync_interval" : "sync_interval_ms", stats->sync_interval_ms);
	field_size("checkpoint_bytes", stats->checkpoint_bytes);
	cli_field("snapshot_on_close", "%s", stats->snapshot_on_close ? "yes" : "no");
	if (stats->log_broken != 0)
		cli_field("log_broken", "%s%s%s; latzero persist begins a new log", cli_red(),
		          latz_strerror(stats->log_broken), cli_plain());
	field_size("log_lag_bytes", stats->log_lag_bytes);
	field_age(cli.tty ? "log_lag" : "log_lag_ms", stats->log_lag_ms);
	field_size("log_bytes", stats->log_bytes);
	field_count("log_flushes", stats->log_flushes);
	field_count("log_syncs", stats->log_syncs);
	if (stats->snapshot_age_ms < 0)
		cli_field("snapshot", "none");
	else
		field_age(cli.tty ? "snapshot_age" : "snapshot_age_ms", stats->snapshot_age_ms);
	print_checkpoint(stats);
}

static void compression_json(const latz_stats_t *stats)
{
	cli_json_u64("compress_min", stats->compress_min);
	if (stats->compress_min != 0)
		cli_json_i64("compress_level", stats->compress_level);
	cli_json_text("compress_dict", stats->compress_dict == LATZ_DICT_AUTO ? "auto" : "trained");
	cli_json_u64("compressed", stats->compressed);
	cli_json_u64("compress_refused", stats->compress_refused);
	cli_json_u64("compress_raw_bytes", stats->compress_raw_bytes);
	cli_json_u64("compress_stored_bytes", stats->compress_stored_bytes);
	cli_json_u64("dictionaries", stats->dictionaries);
	cli_json_u64("dict_bytes", stats->dict_bytes);
}

static void print_compression(const latz_stats_t *stats)
{
	char text[CLI_TEXT_MAX];

	if (stats->compress_min == 0)
		cli_field("compress", "no");
	else
		cli_field("compress", "from %s, level %d", cli_show_size(stats->compress_min, text),
		          stats->compress_level);
	if (stats->compressed + stats->compress_refused > 0) {
		field_count("compressed", stats->compressed);
		field_count("compress_refused", stats->compress_refused);
		field_size("compress_raw_bytes", stats->compress_raw_bytes);
		field_size("compress_stored_bytes", stats->compress_stored_bytes);
	}
	if (stats->dictionaries > 0 || stats->compress_dict == LATZ_DICT_AUTO) {
		cli_field("dictionaries", "%u%s", stats->dictionaries,
		          stats->compress_dict == LATZ_DICT_AUTO ? ", made by itself" : "");
		field_size("dict_bytes", stats->dict_bytes);
	}
}

static bool read_audit(latz_pool *pool, latz_audit_status_t *status)
{
	status->size = sizeof(*status);
	return latz_audit_status(pool, status) == LATZ_OK && status->path[0] != '\0';
}

static void audit_json(latz_pool *pool)
{
	latz_audit_status_t status;

	if (!read_audit(pool, &status))
		return;
	cli_json_text("audit", status.path);
	cli_json_u64("audit_entries", status.seq);
	cli_json_u64("audit_lost", status.lost);
}

static void print_audit(latz_pool *pool)
{
	latz_audit_status_t status;

	if (!read_audit(pool, &status))
		return;
	cli_field("audit", "%s", status.path);
	field_count("audit_entries", status.seq);
	if (status.lost > 0)
		cli_field("audit_lost", "%s%" PRIu64 "%s", cli_red(), status.lost, cli_plain());
}

/* Hit rates since creation; by bytes of a read-through cache, where what was missed is created. */
static void bounds_json(const latz_stats_t *stats)
{
	cli_json_double("hit_percent", cli_percent(stats->hits, stats->gets));
	cli_json_bool("bounded", cli_is_bounded(stats));
	if (!cli_is_bounded(stats))
		return;
	cli_json_u64("max_bytes", stats->max_bytes);
	cli_json_u64("max_entries", stats->max_entries);
	cli_json_text("policy", cli_policy_name(stats->policy));
	cli_json_u64("evicted", stats->evicted);
	cli_json_u64("evicted_bytes", stats->evicted_bytes);
	cli_json_u64("kept", stats->kept);
	cli_json_u64("kept_bytes", stats->kept_bytes);
	cli_json_u64("refused", stats->refused);
	cli_json_u64("hit_bytes", stats->hit_bytes);
	cli_json_u64("created_bytes", stats->created_bytes);
	cli_json_double("byte_hit_percent", cli_percent(stats->hit_bytes, stats->hit_bytes + stats->created_bytes));
}

static void print_bounds(const latz_stats_t *stats)
{
	cli_field("hit_percent", "%.1f", cli_percent(stats->hits, stats->gets));
	if (!cli_is_bounded(stats)) {
		cli_field("bounds", "none");
		return;
	}
	if (stats->max_bytes != 0)
		field_size("max_bytes", stats->max_bytes);
	if (stats->max_entries != 0)
		field_count("max_entries", stats->max_entries);
	cli_field("policy", "%s", cli_policy_name(stats->policy));
	field_count("evicted", stats->evicted);
	field_size("evicted_bytes", stats->evicted_bytes);
	field_count("kept", stats->kept);
	field_size("kept_bytes", stats->kept_bytes);
	field_count("refused", stats->refused);
	cli_field("byte_hit_percent", "%.1f",
	          cli_percent(stats->hit_bytes, stats->hit_bytes + stats->created_bytes));
}

static int client_json(const latz_client_info *info, void *arg)
{
	(void)arg;
	cli_json_begin(NULL, '{');
	cli_json_u64("slot", info->slot);
	cli_json_i64("pid", info->pid);
	cli_json_bytes("command", info->command, strlen(info->command));
	cli_json_i64("since_ms", info->since_ms);
	cli_json_u64("threads", info->threads);
	cli_json_u64("pins", info->pins);
	cli_json_u64("views", info->views);
	cli_json_bool("janitor", info->janitor != 0);
	cli_json_bool("self", info->pid == getpid());
	cli_json_end('}');
	return 0;
}

/* What is known of its password; also to who has not got it. */
static void locked_json(const latz_pool_info *info)
{
	cli_json_bool("password", info->password != 0);
	cli_json_bool("encrypted", info->encrypted != 0);
	if (!info->password)
		return;
	if (info->encrypted)
		cli_json_u64("data_keys", info->data_keys);
	cli_json_u64("wrong_in_row", info->wrong_in_row);
	cli_json_u64("wrong_passwords", info->wrong_passwords);
	if (info->wrong_wall_ms != 0)
		cli_json_i64("wrong_wall_ms", info->wrong_wall_ms);
	else
		cli_json_null("wrong_wall_ms");
}

static void print_locked(const latz_pool_info *info)
{
	struct timespec now;
	char text[CLI_TEXT_MAX];

	cli_field("locked", "%s", cli_locked_name(info->password, info->encrypted));
	if (!info->password)
		return;
	if (info->encrypted)
		cli_field("data_keys", cli.tty ? "%u of %u" : "%u", info->data_keys, (unsigned)LATZ_DATA_KEYS);
	field_count("wrong_in_row", info->wrong_in_row);
	field_count("wrong_passwords", info->wrong_passwords);
	if (info->wrong_wall_ms == 0)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	if (cli.tty)
		cli_field("last_wrong", "%s ago",
		          cli_show_age((int64_t)now.tv_sec * 1000 - info->wrong_wall_ms, text));
	else
		cli_field("wrong_wall_ms", "%" PRId64, info->wrong_wall_ms);
}

static void pool_json(latz_pool *pool, const struct seen *seen, const latz_stats_t *stats)
{
	cli_json_begin(NULL, '{');
	cli_json_text("pool", seen->name);
	if (seen->found) {
		cli_json_bytes("path", seen->pool.path, strlen(seen->pool.path));
		cli_json_bool("keep", is_kept(&seen->pool));
	}
	cli_json_i64("age_ms", stats->age_ms);
	cli_json_u64("keys", stats->keys);
	cli_json_u64("live_bytes", stats->live_bytes);
	cli_json_u64("dead_bytes", stats->dead_bytes);
	cli_json_u64("heap_bytes", stats->heap_bytes);
	cli_json_u64("table_bytes", stats->table_bytes);
	cli_json_u64("index_bytes", stats->index_bytes);
	cli_json_u64("file_bytes", stats->file_bytes);
	cli_json_u64("extents", stats->extents);
	cli_json_u64("extents_free", stats->extents_free);
	cli_json_u64("extents_hole", stats->extents_hole);
	cli_json_u64("index_lag_bytes", stats->index_lag_bytes);
	cli_json_u64("gets", stats->gets);
	cli_json_u64("hits", stats->hits);
	cli_json_u64("sets", stats->sets);
	cli_json_u64("deletes", stats->deletes);
	cli_json_u64("expired", stats->expired);
	cli_json_u64("reaped", stats->reaped);
	cli_json_u64("cleaned_bytes", stats->cleaned_bytes);
	cli_json_u64("image_left_bytes", stats->image_left_bytes);
	cli_json_u64("clients_max", stats->clients_max);
	cli_json_u64("threads", stats->threads);
	cli_json_u64("pins", stats->pins);
	cli_json_u64("views", stats->views);
	bounds_json(stats);
	log_json(stats);
	compression_json(stats);
	cli_json_i64("max_age_ms", stats->max_age_ms);
	audit_json(pool);
	if (seen->found)
		locked_json(&seen->pool.info);
	cli_json_begin("clients", '[');
	(void)!latz_clients(pool, client_json, NULL);
	cli_json_end(']');
	inspect_locks_json(pool);
	cli_json_end('}');
}

/* Piped: one line a client, "client" and then what the columns of the table are. */
static int client_row(const latz_client_info *info, void *arg)
{
	struct cli_table *table = arg;
	char text[CLI_TEXT_MAX];

	if (!cli.tty)
		cli_table_cell(table, "client");
	cli_table_cell(table, "%u", info->slot);
	cli_table_cell(table, "%" PRId64, info->pid);
	char command[64];
	size_t size = 0;
	for (const char *c = info->command; *c != '\0' && size + 1 < sizeof(command);
	     c++) /* any process names itself */
		command[size++] = (char)((unsigned char)*c >= 0x20 && *c != 0x7f ? *c : '?');
	command[size] = '\0';
	cli_table_cell(table, "%s%s", command, cli.tty && info->pid == getpid() ? " (this one)" : "");
	cli_table_cell(table, "%s", cli_show_age(info->since_ms, text));
	cli_table_cell(table, "%u", info->threads);
	cli_table_cell(table, "%u", info->pins);
	cli_table_cell(table, "%u", info->views);
	cli_table_cell(table, "%s", info->janitor ? "janitor" : "-");
	return 0;
}

static void print_clients(latz_pool *pool)
{
	static const char *const on_terminal[] = { ">SLOT",  ">PID",   "COMMAND", ">SINCE", ">THREADS",
		                                   ">SCANS", ">VIEWS", "DOES",    NULL };
	static const char *const piped[] = { "KIND",     ">SLOT",  ">PID",   "COMMAND", ">SINCE",
		                             ">THREADS", ">SCANS", ">VIEWS", "DOES",    NULL };
	struct cli_table *table = cli_table_open(cli.tty ? on_terminal : piped);

	if (cli.tty)
		putchar('\n');
	(void)!latz_clients(pool, client_row, table);
	cli_table_close(table);
}

static void print_pool(latz_pool *pool, const struct seen *seen, const latz_stats_t *stats)
{
	cli_field("pool", "%s", seen->name);
	if (seen->found) { /* else the directory is another user's and may not be listed */
		cli_field("path", "%s", seen->pool.path);
		field_lifetime(&seen->pool);
	}
	field_age(cli.tty ? "age" : "age_ms", stats->age_ms);
	field_count("keys", stats->keys);
	field_size("live_bytes", stats->live_bytes);
	field_size("dead_bytes", stats->dead_bytes);
	field_size("heap_bytes", stats->heap_bytes);
	field_size("table_bytes", stats->table_bytes);
	field_size("index_bytes", stats->index_bytes);
	field_size("file_bytes", stats->file_bytes);
	if (stats->image_left_bytes > 0)
		field_size("image_left_bytes", stats->image_left_bytes);
	field_count("extents", stats->extents);
	field_count("extents_free", stats->extents_free);
	field_count("extents_hole", stats->extents_hole);
	field_size("index_lag_bytes", stats->index_lag_bytes);
	field_count("gets", stats->gets);
	field_count("hits", stats->hits);
	field_count("sets", stats->sets);
	field_count("deletes", stats->deletes);
	field_count("expired", stats->expired);
	field_count("reaped", stats->reaped);
	field_size("cleaned_bytes", stats->cleaned_bytes);
	field_count("scans", stats->pins);
	field_count("views", stats->views);
	field_count("threads", stats->threads);
	print_bounds(stats);
	print_log(stats);
	print_compression(stats);
	if (stats->max_age_ms > 0)
		field_age(cli.tty ? "max_age" : "max_age_ms", stats->max_age_ms);
	print_audit(pool);
	if (seen->found)
		print_locked(&seen->pool.info);
	cli_field("clients", "%u of %u", stats->clients, stats->clients_max);
	print_clients(pool);
	inspect_locks_print(pool);
}

static int inspect_pool(const char *name, latz_pool *pool)
{
	struct seen seen = { .name = name };
	latz_stats_t stats = { .size = sizeof(stats) };

	int rc = latz_stats(pool, &stats);
	if (rc != LATZ_OK)
		return cli_fail(rc, "reading figures", name, NULL);
	seen.found = cli_find_pool(name, &seen.pool);
	if (cli.json)
		pool_json(pool, &seen, &stats);
	else
		print_pool(pool, &seen, &stats);
	return CLI_OK;
}

/* A pool whose password we have not got: what everybody can see who may read its files. False: it is none. */
static bool inspect_locked(const char *name)
{
	struct seen seen = { .name = name };

	if (!cli_find_pool(name, &seen.pool) || !seen.pool.info.password)
		return false;
	if (cli.json) {
		cli_json_begin(NULL, '{');
		cli_json_text("pool", name);
		cli_json_bytes("path", seen.pool.path, strlen(seen.pool.path));
		cli_json_bool("keep", is_kept(&seen.pool));
		cli_json_i64("age_ms", seen.pool.info.age_ms);
		cli_json_u64("keys", seen.pool.info.keys);
		cli_json_u64("file_bytes", seen.pool.info.bytes);
		cli_json_u64("clients", seen.pool.info.clients);
		locked_json(&seen.pool.info);
		cli_json_end('}');
		return true;
	}
	cli_field("pool", "%s", name);
	cli_field("path", "%s", seen.pool.path);
	field_lifetime(&seen.pool);
	field_age(cli.tty ? "age" : "age_ms", seen.pool.info.age_ms);
	field_count("keys", seen.pool.info.keys);
	field_size("file_bytes", seen.pool.info.bytes);
	field_count("clients", seen.pool.info.clients);
	print_locked(&seen.pool.info);
	return true;
}

static void key_json(latz_slice key, const latz_key_info *info)
{
	char text[CLI_TEXT_MAX];

	cli_json_begin(NULL, '{');
	cli_json_bytes("key", key.data, key.size);
	cli_json_text("type", cli_type_name(info->type, text));
	cli_json_u64("value_size", info->value_size);
	cli_json_u64("record_bytes", info->record_bytes);
	cli_json_u64("stored_size", info->stored_size);
	cli_json_u64("dictionary", info->dictionary);
	cli_json_u64("version", info->version);
	cli_json_i64("ttl_ms", info->ttl_ms);
	cli_json_u64("address", info->address);
	snprintf(text, sizeof(text), "%016" PRIx64, info->hash);
	cli_json_text("hash", text); /* 64 bits do not survive as a JSON number */
	cli_json_end('}');
}

static int inspect_key(const char *name, latz_pool *pool, latz_slice key)
{
	latz_key_info info = { .size = sizeof(info) };
	char text[CLI_TEXT_MAX];

	int rc = latz_key_stat(pool, key, &info);
	if (rc != LATZ_OK)
		return cli_fail_key(rc, "looking at the key", name, key, NULL);
	if (cli.json) {
		key_json(key, &info);
		return CLI_OK;
	}
	if (cli.tty)
		printf("%s%-18s%s ", cli_dim(), "key", cli_plain());
	else
		fputs("key\t", stdout);
	cli_write_escaped(stdout, key.data, key.size);
	putchar('\n');
	cli_field("type", "%s", cli_type_name(info.type, text));
	field_size("value_size", info.value_size);
	field_size("record_bytes", info.record_bytes);
	if (info.stored_size != info.value_size)
		field_size("stored_size", info.stored_size);
	if (info.dictionary != 0)
		cli_field("dictionary", "%u", info.dictionary);
	cli_field("version", "%" PRIu64, info.version);
	if (info.ttl_ms < 0)
		cli_field("ttl", "never");
	else
		cli_field("ttl", "%" PRId64 "ms", info.ttl_ms);
	cli_field("address", "0x%" PRIx64, info.address);
	cli_field("hash", "%016" PRIx64, info.hash);
	return CLI_OK;
}

static int run_inspect(const struct cli_command *command, int argc, char **argv)
{
	bool escaped = false;
	const struct cli_option options[] = {
		{ "escaped", CLI_FLAG, &escaped },
		{ NULL, CLI_FLAG, NULL },
	};
	latz_pool *pool;

	int count = cli_parse(command, options, argc, argv, 1, 2);
	latz_slice key = count > 1 ? cli_key(argv[1], escaped) : (latz_slice){ NULL, 0 };
	if (count == 1 && cli.space != NULL)
		return cli_error(CLI_USAGE, "of a namespace it shows a key; latzero namespaces %s shows the rest",
		                 argv[0]);
	if (count == 1 && cli_password() == NULL && inspect_locked(argv[0]))
		return CLI_OK;
	int code = cli_open_read(argv[0], &pool);
	if (code != CLI_OK)
		return code;
	code = count > 1 ? inspect_key(argv[0], pool, key) : inspect_pool(argv[0], pool);
	return cli_close(argv[0], pool, code);
}

const struct cli_command cmd_inspect = {
	"inspect",
	"POOL [KEY]",
	"Shows a pool's figures, clients and locks, or a key's metadata",
	"The command attaches to look, so it is one of the clients it lists. Of a pool with a password it shows less\n"
	"if that is not given: that it has one, and how many wrong ones were tried, in a row and since it was made.\n\n"
	"Options:\n"
	"  --escaped   KEY is in the escapes that keys are printed with (\\t \\n \\r \\\\ \\xNN)\n\n"
	"Examples:\n"
	"  latzero inspect cache\n"
	"  latzero inspect cache greeting --json\n",
	run_inspect,
};
