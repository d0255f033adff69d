/*
 * latzero-restore: makes a pool from a snapshot or image, and holds it unless it is kept.
 */
#include "cli.h"

#include <string.h>
#include <unistd.h>

struct arguments {
	struct cli_persist persist;
	struct cli_audit audit;
	bool keep, replace, salvage, no_guard;
	int64_t ttl_ms;
	uint64_t max_clients, threads;
	unsigned mode;
};

struct restore {
	struct cli_work work; /* first: the progress function gets it */
	uint64_t lost;
};

static void tell_lost(const char *what, void *arg)
{
	struct restore *restore = arg;

	restore->lost++;
	if (restore->work.bar.drawn_ns != 0)
		fputs("\r\033[K", stderr);
	if (cli.json) {
		cli_json_begin(NULL, '{');
		cli_json_text("lost", what);
		cli_json_end('}');
	} else {
		printf("%slost%s: %s\n", cli_red(), cli_plain(), what);
	}
}

static int complete_options(const struct arguments *arguments, latz_options *options, latz_snapshot_options *snapshot)
{
	if (arguments->max_clients < 1 || arguments->max_clients > 4096)
		return cli_error(CLI_USAGE, "--max-clients: 1 to 4096");
	if ((arguments->mode & 0600) != 0600)
		return cli_error(CLI_USAGE, "--mode %04o keeps the owner out; 0600 is usual", arguments->mode);
	cli_pool_options(options, LATZ_CREATE);
	options->flags |= arguments->keep ? LATZ_KEEP | LATZ_NO_THREAD : 0;
	options->flags |= arguments->no_guard ? LATZ_NO_GUARD : 0;
	options->mode = arguments->mode;
	options->max_clients = (unsigned)arguments->max_clients;
	options->ttl_ms = arguments->ttl_ms;
	snapshot->flags = (arguments->replace ? LATZ_RESTORE_REPLACE : 0) |
	                  (arguments->salvage ? LATZ_RESTORE_SALVAGE : 0);
	int code = cli_snapshot_options(0, arguments->threads, snapshot);
	if (code == CLI_OK)
		code = cli_audit_options(&arguments->audit, options);
	return code == CLI_OK ? cli_persist_options(&arguments->persist, options) : code;
}

/* What could not be: about the pool or about the file. */
static int restore_failed(int rc, const char *file, const char *name, const struct arguments *arguments)
{
	switch (rc) {
	case LATZ_BUSY:
		if (cli_signalled())
			return cli_error(CLI_FAIL, "pool %s: ended by a signal; there is no pool", name);
		return cli_fail(rc, "restoring", name, NULL);
	case LATZ_EXISTS:
		return cli_fail(rc, "restoring", name,
		                arguments->persist.dir == NULL
		                        ? "with --replace it is destroyed first"
		                : arguments->replace
		                        ? "the directory given with --persist must hold nothing of that name"
		                        : "with --replace a pool is destroyed first; the directory given with "
		                          "--persist must hold nothing of that name");
	case LATZ_CORRUPT:
		return cli_fail_file(rc, "restoring", file,
		                     arguments->salvage ? "nothing of it can be read" : NULL);
	case LATZ_AUTH: /* it is the file's */
		return cli_fail_file(rc, "restoring", file,
		                     cli_password() == NULL
		                             ? NULL
		                             : "give the password that the pool had when the file was written");
	case LATZ_NOTFOUND:
	case LATZ_VERSION: return cli_fail_file(rc, "restoring", file, NULL);
	default: return cli_fail_attaching(rc, "restoring", name, NULL);
	}
}

static int report(const char *name, latz_pool *pool, const struct arguments *arguments, const struct restore *restore,
                  double seconds)
{
	latz_stats_t stats = { .size = sizeof(stats) };
	char text[CLI_TEXT_MAX];

	int rc = latz_stats(pool, &stats);
	if (rc != LATZ_OK)
		return cli_fail(rc, "reading figures", name, NULL);
	if (cli.json) {
		cli_json_begin(NULL, '{');
		cli_json_text("pool", name);
		cli_json_u64("keys", stats.keys);
		cli_json_bool("keep", arguments->keep);
		cli_json_bool("durable", stats.durable != 0);
		cli_json_u64("losses", restore->lost);
		cli_json_double("seconds", seconds);
		cli_json_end('}');
	} else {
		printf("%srestored%s %s: %s key%s%s%s, %.3f s\n", cli_green(), cli_plain(), name,
		       cli_show_count(stats.keys, text), stats.keys == 1 ? "" : "s", arguments->keep ? ", kept" : "",
		       stats.durable ? ", durable" : "", seconds);
		if (!arguments->keep && cli.tty)
			printf("It stays until its last user leaves. Enter or Ctrl-C ends this one.\n");
	}
	return fflush(stdout) == 0 ? CLI_OK : CLI_FAIL;
}

static int restore_pool(const struct arguments *arguments, const char *file, const char *name)
{
	latz_snapshot_options snapshot = LATZ_SNAPSHOT_OPTIONS_INIT;
	bool streamed = strcmp(file, "-") == 0;
	struct restore restore = { .lost = 0 };
	latz_options options;
	latz_pool *pool;

	if (streamed && isatty(STDIN_FILENO) == 1)
		return cli_error(CLI_USAGE, "stdin is a terminal; give a file, or pipe a snapshot in");
	int code = complete_options(arguments, &options, &snapshot);
	if (code != CLI_OK)
		return code;
	cli_catch_signals();
	cli_work_begin(&restore.work, "restoring");
	snapshot.progress = cli_work_step;
	snapshot.arg = &restore;
	snapshot.lost = tell_lost;
	snapshot.threads = (unsigned)arguments->threads;
	cli_hold_log();
	int rc = cli_release_log(latz_restore(file, name, &options, &snapshot));
	double seconds = cli_work_end(&restore.work);
	if (rc != LATZ_OK)
		return restore_failed(rc, file, name, arguments);
	/* To hold it, and to count. latz_restore() holds it until this handle is closed. */
	code = cli_open(name, arguments->keep ? LATZ_NO_THREAD : 0, NULL, &pool);
	if (code != CLI_OK)
		return code;
	code = report(name, pool, arguments, &restore, seconds);
	if (code == CLI_OK && !arguments->keep)
		code = cli_stay(name, pool, !streamed); /* a stream's end is no wish to leave */
	if (code == CLI_OK && restore.lost > 0)
		code = cli_error(CLI_NO,
		                 "%s: not all of it could be restored to pool %s: the lines that begin with lost tell "
		                 "what is missing",
		                 file, name);
	return cli_close(name, pool, code);
}

static int run_restore(const struct cli_command *command, int argc, char **argv)
{
	struct arguments arguments = { .persist = CLI_PERSIST_INIT, .max_clients = 256, .mode = 0600 };
	const struct cli_option table[] = {
		{ "keep", CLI_FLAG, &arguments.keep },
		{ "replace", CLI_FLAG, &arguments.replace },
		{ "salvage", CLI_FLAG, &arguments.salvage },
		{ "threads", CLI_COUNT, &arguments.threads },
		{ "mode", CLI_MODE, &arguments.mode },
		{ "max-clients", CLI_COUNT, &arguments.max_clients },
		{ "ttl", CLI_TTL, &arguments.ttl_ms },
		{ "no-guard", CLI_FLAG, &arguments.no_guard },
		CLI_AUDIT_OPTIONS(arguments.audit),
		{ "persist", CLI_TEXT, &arguments.persist.dir },
		CLI_PERSIST_OPTIONS(arguments.persist),
		{ NULL, CLI_FLAG, NULL },
	};

	cli_parse(command, table, argc, argv, 2, 2);
	return restore_pool(&arguments, argv[0], argv[1]);
}

static const struct cli_command command = {
	"latzero-restore",
	"FILE|- POOL [OPTION...]",
	"Makes a pool from a snapshot or image",
	"Nobody sees the pool before it is complete. Keys keep their types, versions and deadlines. Without --keep it "
	"stays attached\n"
	"until Enter, the end of stdin, SIGINT or SIGTERM (with - only a signal); the pool goes with its last user.\n\n"
	"Options:\n"
	"  --keep              the pool stays until latzero destroy or a reboot, and the command ends at once\n"
	"  --replace           a pool of that name is destroyed first\n"
	"  --salvage           of a damaged file takes what is whole; prints what is lost, and then exits with 1\n"
	"  --threads N         that decompress\n"
	"  --mode 0600         mode of the pool's files\n"
	"  --max-clients N     processes attached at once, 1 to 4096 (256)\n"
	"  --ttl 5s            time to live of keys that are written without one from now on\n"
	"  --no-guard          no guard process that removes the pool when its last user was killed\n"
	CLI_AUDIT_HELP
	"                      A snapshot says nothing of a log. A pool that is replaced keeps the one it has\n"
	"  --persist DIR       the pool is durable, in DIR/POOL, which must hold nothing yet\n" CLI_PERSIST_HELP
	"  --version           the library's version\n\n"
	"Examples:\n"
	"  latzero-restore /backup/cache.lzs cache --keep\n"
	"  ssh other latzero-snapshot cache - | latzero-restore - cache --keep --replace\n",
	run_restore,
};

int main(int argc, char **argv)
{
	return cli_main(&command, argc, argv);
}
