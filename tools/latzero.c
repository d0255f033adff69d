/*
 * The latzero tool: global options and the table of commands. Each command is in a cmd_*.c of its own.
 */
#include "cli.h"

#include <getopt.h>
#include <string.h>

static const struct cli_command *const commands[] = {
	&cmd_create, &cmd_list, &cmd_inspect, &cmd_destroy, &cmd_clear, &cmd_sweep, &cmd_verify, &cmd_get,
	&cmd_set, &cmd_del, &cmd_exists, &cmd_incr, &cmd_append, &cmd_ttl, &cmd_keys, &cmd_scan,
	&cmd_load, &cmd_dump, &cmd_top, &cmd_advise, &cmd_bench, &cmd_doctor, &cmd_persist, &cmd_rekey, &cmd_simulate,
	&cmd_audit, &cmd_train, &cmd_limit, &cmd_namespaces, &cmd_stats, &cmd_watch, &cmd_lock,
};

static void print_overview(FILE *file)
{
	fprintf(file,
	        "Usage: latzero [--dir D] [--namespace NS] [--password-file F] [--json] COMMAND ...\n"
	        "Shares key-value data between the processes of this machine, through pools of memory-mapped files.\n\n"
	        "Commands:\n");
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		fprintf(file, "  %-10s %-22s %s\n", commands[i]->name, commands[i]->synopsis, commands[i]->summary);
	fprintf(file, "\nOptions, before or after the command:\n"
	              "  --dir D            the runtime directory, instead of $LATZERO_DIR, /dev/shm/latzero-<uid> or "
	              "$TMPDIR/latzero-<uid>\n"
	              "  --namespace NS     the keys of this namespace; see latzero namespaces --help\n"
	              "  --password-file F  F, of mode 0600, holds the pool's password; else "
	              "$LATZERO_PASSWORD_FILE does\n"
	              "  --password-fd N    the password is read from descriptor N, up to a newline or the end\n"
	              "  --json             JSON Lines instead of text\n"
	              "  --help             this text, or with a command its own\n"
	              "  --version          the library's version\n"
	              "\nExit codes: 0 ok, 1 not found or condition not met, 2 usage, 3 any other error.\n"
	              "\nExample:\n"
	              "  latzero create cache --keep\n"
	              "  latzero set cache greeting hello --ttl 1h\n"
	              "  latzero get cache greeting\n");
}

static const struct cli_command *find_command(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	}
	return NULL;
}

/* Returns an exit code, or -1 to go on. */
static int parse_globals(int argc, char **argv)
{
	static const struct option options[] = {
		{ "dir", required_argument, NULL, 'd' }, { "namespace", required_argument, NULL, 'n' },
		{ "password-file", required_argument, NULL, 'p' },
		{ "password-fd", required_argument, NULL, 'f' },
		{ "json", no_argument, NULL, 'j' },      { "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },   { NULL, 0, NULL, 0 },
	};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "+:hV", options, NULL)) != -1) {
		switch (option) {
		case 'd': cli.dir = optarg; break;
		case 'n': cli.space = optarg; break;
		case 'p': cli.password_file = optarg; break;
		case 'f': cli.password_fd = optarg; break;
		case 'j': cli.json = true; break;
		case 'h': print_overview(stdout); return CLI_OK;
		case 'V': printf("latzero %s\n", latz_version()); return CLI_OK;
		case ':': return cli_error(CLI_USAGE, "%s needs a value; see latzero --help", argv[optind - 1]);
		default: return cli_error(CLI_USAGE, "unknown option %s; see latzero --help", argv[optind - 1]);
		}
	}
	return -1;
}

int main(int argc, char **argv)
{
	cli_begin();
	int code = parse_globals(argc, argv);
	if (code >= 0)
		return cli_finish(code);
	if (optind >= argc) {
		print_overview(stderr);
		return CLI_USAGE;
	}
	const char *name = argv[optind];
	const struct cli_command *command = find_command(name);
	if (command == NULL) {
		if (strcmp(name, "help") == 0) {
			command = optind + 1 < argc ? find_command(argv[optind + 1]) : NULL;
			if (command != NULL)
				cli_help(command);
			else
				print_overview(stdout);
			return cli_finish(CLI_OK);
		}
		return cli_error(CLI_USAGE, "unknown command '%s'; latzero --help lists them", name);
	}
	cli.command = command->name;
	return cli_finish(command->run(command, argc - optind - 1, argv + optind + 1));
}
