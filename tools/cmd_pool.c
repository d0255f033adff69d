/*
 * latzero clear, destroy, sweep and verify: the commands about a pool as a whole.
 */
#include "cli.h"

static int run_clear(const struct cli_command *command, int argc, char **argv)
{
	latz_pool *pool;

	cli_parse(command, NULL, argc, argv, 1, 1);
	int code = cli_open(argv[0], LATZ_NO_THREAD, NULL, &pool);
	if (code != CLI_OK)
		return code;
	int rc = latz_clear(pool);
	if (rc != LATZ_OK)
		code = cli_fail(rc, "clearing", argv[0], NULL);
	else
		(void)!latz_maintain(pool, 0); /* gives the memory back, even if nobody is attached who would */
	return cli_close(argv[0], pool, code);
}

const struct cli_command cmd_clear = {
	"clear",
	"POOL",
	"Deletes every key of a pool",
	"Keys that others write meanwhile may stay.\n\n"
	"Example:\n"
	"  latzero clear cache\n",
	run_clear,
};

static const char *destroy_hint(int rc)
{
	return rc == LATZ_CORRUPT ? "remove its directory by hand" : NULL;
}

static int run_destroy(const struct cli_command *command, int argc, char **argv)
{
	latz_options options = LATZ_OPTIONS_INIT;

	int count = cli_parse(command, NULL, argc, argv, 1, -1);
	int code = CLI_OK;
	options.dir = cli.dir;
	for (int i = 0; i < count; i++) {
		int rc = latz_destroy(argv[i], &options);
		if (rc != LATZ_OK) {
			int failed = cli_fail_attaching(rc, "destroying", argv[i], destroy_hint(rc));
			code = failed > code ? failed : code;
		}
	}
	return code;
}

const struct cli_command cmd_destroy = {
	"destroy",
	"POOL...",
	"Removes pools, whether or not they are in use",
	"Whoever is attached gets LATZ_DEAD from then on. What a durable pool has on disk stays there. It needs no "
	"password:\n"
	"who may write the directory can remove what is in it.\n\n"
	"Example:\n"
	"  latzero destroy cache\n",
	run_destroy,
};

static int run_sweep(const struct cli_command *command, int argc, char **argv)
{
	unsigned removed = 0;

	cli_parse(command, NULL, argc, argv, 0, 0);
	int rc = latz_sweep(cli.dir, &removed);
	if (rc != LATZ_OK)
		return cli_fail_dir(rc, "sweeping", "check --dir and who may write it");
	if (cli.json) {
		cli_json_begin(NULL, '{');
		cli_json_u64("removed", removed);
		cli_json_end('}');
	} else {
		printf("%u\n", removed);
	}
	return CLI_OK;
}

const struct cli_command cmd_sweep = {
	"sweep",
	"",
	"Removes what dead processes left, and prints how many",
	"Ephemeral pools without a user, half-created ones, and pools from before a reboot.\n\n"
	"Example:\n"
	"  latzero sweep\n",
	run_sweep,
};

static void report_problem(const char *what, void *arg)
{
	unsigned *problems = arg;

	(*problems)++;
	if (cli.json) {
		cli_json_begin(NULL, '{');
		cli_json_text("problem", what);
		cli_json_end('}');
	} else {
		printf("%s%s%s\n", cli_red(), what, cli_plain());
	}
}

static int run_verify(const struct cli_command *command, int argc, char **argv)
{
	latz_stats_t stats = { .size = sizeof(stats) };
	unsigned problems = 0;
	latz_pool *pool;

	cli_parse(command, NULL, argc, argv, 1, 1);
	int code = cli_open(argv[0], LATZ_NO_THREAD, NULL, &pool);
	if (code != CLI_OK)
		return code;
	int rc = latz_verify(pool, report_problem, &problems);
	if (rc != LATZ_OK) {
		code = cli_fail(rc, "verifying", argv[0],
		                rc == LATZ_CORRUPT ? cli_hint_damaged(pool)
		                : rc == LATZ_IO    ? "put the image back: what is still in it can't be checked"
		                                   : NULL);
	} else if ((rc = latz_stats(pool, &stats)) != LATZ_OK) {
		code = cli_fail(rc, "reading figures", argv[0], NULL);
	} else if (cli.json) {
		cli_json_begin(NULL, '{');
		cli_json_text("pool", argv[0]);
		cli_json_bool("ok", true);
		cli_json_u64("keys", stats.keys);
		cli_json_end('}');
	} else {
		char keys[CLI_TEXT_MAX];
		printf("%sok%s: %s key%s, everything checked\n", cli_green(), cli_plain(),
		       cli_show_count(stats.keys, keys), stats.keys == 1 ? "" : "s");
	}
	return cli_close(argv[0], pool, code);
}

const struct cli_command cmd_verify = {
	"verify",
	"POOL",
	"Walks everything and checks every checksum and cross-reference",
	"Others may go on meanwhile. Exit 3 and a list, one line each, where something is wrong.\n\n"
	"Example:\n"
	"  latzero verify cache\n",
	run_verify,
};
