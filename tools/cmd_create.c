/*
 * latzero create: makes a pool and, unless it is to be kept, stays attached so that it lives.
 */
#include "cli.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct create_arguments {
	latz_options options;
	struct cli_persist persist;
	struct cli_audit audit;
	const char *policy, *compress_dict;
	int64_t ttl_ms, idle_ttl_ms, compress_level;
	uint64_t max_clients, compress_min;
	bool keep, attach, encrypt, no_guard, no_thread, start_empty;
};

/* The parsed arguments as the library's options. */
static int complete_options(struct create_arguments *arguments)
{
	latz_options *options = &arguments->options;
	int code;

	if (arguments->policy != NULL && (code = cli_parse_policy(arguments->policy, &options->policy)) != CLI_OK)
		return code;
	if (arguments->policy != NULL && options->max_bytes == 0 && options->max_entries == 0)
		return cli_error(CLI_USAGE, "--policy goes with a bound: --max-bytes or --max-entries");
	if ((code = cli_persist_options(&arguments->persist, options)) != CLI_OK)
		return code;
	if (arguments->start_empty && options->persist_dir == NULL)
		return cli_error(CLI_USAGE, "--start-empty goes with --persist DIR");
	if (arguments->max_clients < 1 || arguments->max_clients > 4096)
		return cli_error(CLI_USAGE, "--max-clients: 1 to 4096");
	if ((options->mode & 0600) != 0600) /* also 0, which would mean the default */
		return cli_error(CLI_USAGE, "--mode %04o keeps the owner out; 0600 is usual", options->mode);
	options->max_clients = (unsigned)arguments->max_clients;
	options->ttl_ms = arguments->ttl_ms;
	options->idle_ttl_ms = arguments->idle_ttl_ms;
	options->compress_min = (size_t)arguments->compress_min;
	if (arguments->compress_level < -100 || arguments->compress_level > 19)
		return cli_error(CLI_USAGE, "--compress-level: 1 to 19, or negative for speed");
	options->compress_level = (int)arguments->compress_level;
	if (arguments->compress_dict != NULL && strcmp(arguments->compress_dict, "auto") == 0)
		options->compress_dict = LATZ_DICT_AUTO;
	else if (arguments->compress_dict != NULL && strcmp(arguments->compress_dict, "trained") != 0)
		return cli_error(CLI_USAGE, "--compress-dict %s: there are trained and auto", arguments->compress_dict);
	if ((code = cli_audit_options(&arguments->audit, options)) != CLI_OK)
		return code;
	options->encrypt = arguments->encrypt;
	options->dir = cli.dir;
	options->password = cli_password();
	if (options->encrypt && options->password == NULL)
		return cli_error(CLI_USAGE, "--encrypt needs a password: --password-file F, with F of mode 0600");
	options->flags = LATZ_CREATE | LATZ_EXCLUSIVE | (arguments->keep ? LATZ_KEEP : 0) |
	                 (arguments->no_guard ? LATZ_NO_GUARD : 0) | (arguments->start_empty ? LATZ_START_EMPTY : 0) |
	                 (arguments->no_thread || arguments->keep ? LATZ_NO_THREAD : 0);
	return CLI_OK;
}

/* What a durable pool begins with: keys of an earlier run. */
static uint64_t restored_keys(latz_pool *pool, const latz_options *options)
{
	latz_stats_t stats = { .size = sizeof(stats) };

	return options->persist_dir != NULL && latz_stats(pool, &stats) == LATZ_OK ? stats.keys : 0;
}

/* Attaching changes nothing, so the password is not what is wrong. */
static bool is_another_kind(int rc, const latz_options *options)
{
	const char *detail = latz_error_detail();

	return rc == LATZ_AUTH && options->encrypt &&
	       (strstr(detail, "is not encrypted") != NULL || strstr(detail, "has no password: ") != NULL);
}

static const char *create_hint(int rc, const latz_options *options)
{
	if (rc == LATZ_EXISTS && (options->flags & LATZ_EXCLUSIVE) != 0)
		return "with --attach the pool that is there will do";
	if (rc == LATZ_EXISTS)
		return "leave --persist out, or give what it has; latzero persist makes a running pool durable";
	if (rc == LATZ_CORRUPT && options->persist_dir != NULL)
		return "nothing was changed; --start-empty sets those files aside as *.bad and starts empty";
	if (rc == LATZ_IO && options->persist_dir != NULL)
		return "check the directory given with --persist and its disk";
	return NULL;
}

/* The file, or what the pool's own is in a directory, be it by another path. */
static bool is_log(const char *asked, const char *name, const char *path)
{
	struct stat want, have;
	char inside[4096];

	if (stat(asked, &want) == 0 && S_ISDIR(want.st_mode)) {
		snprintf(inside, sizeof(inside), "%s/%s.audit", asked, name);
		asked = inside;
	}
	return stat(asked, &want) == 0 && stat(path, &have) == 0 && want.st_dev == have.st_dev &&
	       want.st_ino == have.st_ino;
}

/* What a pool that is there already does not become is not passed over where somebody relies on it. */
static int check_attached(const char *name, latz_pool *pool, const struct create_arguments *arguments)
{
	struct cli_pool found;
	const latz_options *options = &arguments->options;
	latz_audit_status_t status = { .size = sizeof(status) };
	latz_stats_t stats = { .size = sizeof(stats) };

	if (arguments->keep && cli_find_pool(name, &found) && (found.info.flags & LATZ_KEEP) == 0)
		return cli_error(CLI_NO,
		                 "pool %s: is there already and goes with its last user; leave --keep "
		                 "out, or destroy it first",
		                 name);
	if (options->audit != NULL && latz_audit_status(pool, &status) == LATZ_OK &&
	    (status.path[0] == '\0' || !is_log(options->audit, name, status.path) ||
	     status.keys != options->audit_keys))
		return cli_error(CLI_NO,
		                 "pool %s: is there already and is %s; leave --audit out, or destroy it first", name,
		                 status.path[0] == '\0' ? "not audited" : "audited in another way (latzero inspect)");
	if (options->max_age_ms > 0 && latz_stats(pool, &stats) == LATZ_OK &&
	    stats.max_age_ms != options->max_age_ms)
		return cli_error(CLI_NO,
		                 "pool %s: is there already and has another --max-age, or none; latzero limit changes "
		                 "it",
		                 name);
	return CLI_OK;
}

static int report_created(const char *name, bool created, bool keep, uint64_t restored)
{
	char text[CLI_TEXT_MAX];

	if (cli.json) {
		cli_json_begin(NULL, '{');
		cli_json_text("pool", name);
		cli_json_bool("created", created);
		cli_json_bool("keep", keep);
		cli_json_u64("restored", restored);
		cli_json_end('}');
	} else {
		printf("%s%s%s %s%s", cli_green(), created ? "created" : "attached to", cli_plain(), name,
		       keep ? ", kept" : "");
		if (restored > 0)
			printf(", %s key%s restored", cli_show_count(restored, text), restored == 1 ? "" : "s");
		putchar('\n');
		if (!keep && isatty(STDIN_FILENO) == 1 && cli.tty)
			printf("It stays until its last user leaves. Enter ends this one.\n");
	}
	return fflush(stdout) == 0 ? CLI_OK : CLI_FAIL;
}

static int run_create(const struct cli_command *command, int argc, char **argv)
{
	struct create_arguments arguments = { .options = LATZ_OPTIONS_INIT, .max_clients = 256 };
	latz_options *options = &arguments.options;
	latz_pool *pool;

	options->mode = 0600;

	const struct cli_option table[] = {
		{ "keep", CLI_FLAG, &arguments.keep },
		{ "attach", CLI_FLAG, &arguments.attach },
		{ "mode", CLI_MODE, &options->mode },
		{ "max-clients", CLI_COUNT, &arguments.max_clients },
		{ "ttl", CLI_TTL, &arguments.ttl_ms },
		{ "no-guard", CLI_FLAG, &arguments.no_guard },
		{ "no-thread", CLI_FLAG, &arguments.no_thread },
		{ "max-bytes", CLI_SIZE, &options->max_bytes },
		{ "max-entries", CLI_COUNT, &options->max_entries },
		{ "policy", CLI_TEXT, &arguments.policy },
		{ "idle-ttl", CLI_DURATION, &arguments.idle_ttl_ms },
		{ "compress-min", CLI_SIZE, &arguments.compress_min },
		{ "compress-level", CLI_INT, &arguments.compress_level },
		{ "compress-dict", CLI_TEXT, &arguments.compress_dict },
		CLI_AUDIT_OPTIONS(arguments.audit),
		{ "max-age", CLI_DURATION, &options->max_age_ms },
		{ "encrypt", CLI_FLAG, &arguments.encrypt },
		{ "persist", CLI_TEXT, &arguments.persist.dir },
		{ "start-empty", CLI_FLAG, &arguments.start_empty },
		CLI_PERSIST_OPTIONS(arguments.persist),
		{ NULL, CLI_FLAG, NULL },
	};
	cli_parse(command, table, argc, argv, 1, 1);
	const char *name = argv[0];
	int code = complete_options(&arguments);
	if (code != CLI_OK)
		return code;

	int rc = cli_attach(name, options, &pool);
	bool created = rc == LATZ_OK;
	if (rc == LATZ_EXISTS && arguments.attach) {
		options->flags &= ~(unsigned)LATZ_EXCLUSIVE;
		rc = cli_attach(name, options, &pool);
		if (rc == LATZ_OK && (code = check_attached(name, pool, &arguments)) != CLI_OK)
			return cli_close(name, pool, code);
	}
	if (is_another_kind(rc, options))
		return cli_error(cli_exit_code(rc),
		                 "pool %s: is there already and is not encrypted, which attaching does not change; "
		                 "leave %s out, or load its keys into a new pool (latzero dump, latzero load)",
		                 name,
		                 strstr(latz_error_detail(), "has no") != NULL ? "--encrypt and the password"
		                                                               : "--encrypt");
	if (rc != LATZ_OK)
		return cli_fail(rc, "creating", name, create_hint(rc, options));
	report_created(name, created, arguments.keep, created ? restored_keys(pool, options) : 0);
	return cli_close(name, pool, arguments.keep ? CLI_OK : cli_stay(name, pool, true));
}

const struct cli_command cmd_create = {
	"create",
	"POOL [OPTION...]",
	"Creates a pool",
	"Without --keep it stays attached until Enter, the end of stdin, SIGINT or SIGTERM; the pool goes with its "
	"last user.\n"
	"If somebody destroys the pool meanwhile, it ends with 3.\n\n"
	"Options:\n"
	"  --keep              the pool stays until latzero destroy or a reboot, and the command ends at once\n"
	"  --attach            a pool that is there already will do (default: exit 1)\n"
	"  --mode 0600         mode of the pool's files\n"
	"  --max-clients N     processes attached at once, 1 to 4096 (256)\n"
	"  --ttl 5s            time to live of keys that are written without one\n"
	"  --no-guard          no guard process that removes the pool when its last user was killed\n"
	"  --no-thread         no maintenance thread in this process\n"
	"  --max-age 30d       no key lives longer than that after it was last written, whatever it is told\n"
	"Audited pools:\n"
	CLI_AUDIT_HELP
	"                      A durable pool that comes back is audited as before\n"
	"Durable pools:\n"
	"  --persist DIR       a log and snapshots in DIR/POOL: the pool comes back from there when it is not in "
	"memory\n"
	"  --start-empty       what can't be restored is set aside as *.bad instead of failing\n" CLI_PERSIST_HELP
	"  --idle-ttl 1h       the pool goes when nobody has used it for so long\n"
	"Compression:\n"
	"  --compress-min 1K   values of so many bytes and more are compressed, if that saves an eighth\n"
	"  --compress-level 3  of zstd: 1 to 19, or negative for speed\n"
	"  --compress-dict auto  dictionaries for small values are made by themselves; else latzero train makes them\n"
	"Bounded pools (latzero limit changes all three later):\n"
	"  --max-bytes 64M     what all of the pool's files may take together, at least 4M\n"
	"  --max-entries N     keys it may have\n"
	"  --policy P          what goes when it is full: " CLI_POLICIES ";\n"
	"                      with none nothing goes and writes are refused\n"
	"Pools with a password (--password-file F, --password-fd N, $LATZERO_PASSWORD_FILE):\n"
	"  --encrypt           keys and values are encrypted, in memory and on disk. Without it the password is asked\n"
	"                      for at every open, and protects from nobody who may read the files\n\n"
	"Examples:\n"
	"  latzero create cache --keep --ttl 10m --max-bytes 64M\n"
	"  latzero create scratch          # until Enter\n"
	"  latzero create sessions --persist /var/lib/app --sync interval\n"
	"  (umask 077; head -c 24 /dev/urandom | base64 >~/.cache-password)\n"
	"  latzero create private --keep --encrypt --password-file ~/.cache-password\n",
	run_create,
};
