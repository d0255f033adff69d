/*
 * latzero persist: makes a running pool durable, or ends that.
 */
#include "cli.h"

#include <string.h>

static int report(const char *name, const char *dir, const latz_options *options)
{
	if (cli.json) {
		cli_json_begin(NULL, '{');
		cli_json_text("pool", name);
		cli_json_bool("durable", dir != NULL);
		if (dir != NULL) {
			cli_json_bytes("dir", dir, strlen(dir));
			cli_json_text("sync", cli_sync_name(options->sync));
		}
		cli_json_end('}');
	} else if (dir != NULL) {
		printf("%s is durable: %s/%s, sync %s\n", name, dir, name, cli_sync_name(options->sync));
	} else {
		printf("%s is not durable any more; its files on disk stay\n", name);
	}
	return CLI_OK;
}

static const char *persist_hint(int rc, const latz_stats_t *before)
{
	switch (rc) {
	case LATZ_EXISTS:
		return before->durable && before->log_broken == 0 ? "end it first with latzero persist POOL --off"
		                                                  : "give another directory";
	case LATZ_NOSPC: return "free some room there, or give another directory";
	case LATZ_NOTFOUND: return "the directory it had is gone: put it back as it was";
	case LATZ_IO:
	case LATZ_ACCESS: return "check the directory and its disk";
	case LATZ_BUSY: return "give another directory";
	default: return NULL;
	}
}

static int run_persist(const struct cli_command *command, int argc, char **argv)
{
	struct cli_persist persist = CLI_PERSIST_INIT;
	latz_stats_t before = { .size = sizeof(before) };
	latz_options options;
	latz_pool *pool;
	bool off = false;
	const struct cli_option table[] = {
		{ "off", CLI_FLAG, &off },
		CLI_PERSIST_OPTIONS(persist),
		{ NULL, CLI_FLAG, NULL },
	};

	int count = cli_parse(command, table, argc, argv, 1, 2);
	if (off == (count == 2))
		return cli_error(CLI_USAGE,
		                 "give a directory, or --off; usage: latzero persist POOL DIR, or POOL --off");
	if (count == 2)
		persist.dir = argv[1];
	cli_pool_options(&options, 0);
	int code = cli_persist_options(&persist, &options);
	if (code == CLI_OK)
		code = cli_open_write(argv[0], LATZ_NO_THREAD, &pool);
	if (code != CLI_OK)
		return code;
	int rc = latz_stats(pool, &before);
	if (rc == LATZ_OK && before.durable && persist.sync == NULL && persist.sync_interval_ms == 0)
		options.sync = before.sync; /* a new log for a broken one is no wish for less */
	if (rc == LATZ_OK)
		rc = latz_persist(pool, off ? NULL : &options);
	if (rc != LATZ_OK)
		code = cli_fail(rc, off ? "ending durability" : "making it durable", argv[0],
		                persist_hint(rc, &before));
	else
		code = report(argv[0], persist.dir, &options);
	return cli_close(argv[0], pool, code);
}

const struct cli_command cmd_persist = {
	"persist",
	"POOL DIR|--off",
	"Makes a running pool durable, or ends that",
	"A snapshot and a log in DIR/POOL: with them the pool comes back after all its users, or the machine, were "
	"gone. Returns\n"
	"when the first snapshot is on the disk. A log that broke (latzero inspect tells) begins anew that way, too, "
	"in "
	"the sync\n"
	"mode it had if none is given. With --off the files on disk stay as they are.\n\n"
	"Options:\n" CLI_PERSIST_HELP "\n"
	"Examples:\n"
	"  latzero persist cache /var/lib/app --sync always\n"
	"  latzero persist cache --off\n",
	run_persist,
};
