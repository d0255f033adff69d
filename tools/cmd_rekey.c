/*
 * latzero rekey: another password for a locked pool, or another data key.
 */
#include "cli.h"

#include <string.h>

static const char *rekey_hint(int rc)
{
	switch (rc) {
	case LATZ_FULL: return "load its keys into a new pool: latzero dump, latzero load";
	case LATZ_BUSY: return "try again";
	case LATZ_INVALID:
		return "only a pool that was created with a password has keys, one that was created with --encrypt a "
		       "data key: for another kind, latzero dump and latzero load";
	default: return NULL;
	}
}

static int report(const char *name, bool password, bool data)
{
	if (cli.json) {
		cli_json_begin(NULL, '{');
		cli_json_text("pool", name);
		cli_json_bool("password", password);
		cli_json_bool("data_key", data);
		cli_json_end('}');
	} else {
		printf("%s has a new %s\n", name, !data ? "password" : password ? "password and data key" : "data key");
	}
	return CLI_OK;
}

/* Where the new password is to be read from; NULL if it stays. */
static const char *source(const char *file, const char *fd, char *text, size_t size)
{
	if (file != NULL)
		snprintf(text, size, "file:%s", file);
	else if (fd != NULL)
		snprintf(text, size, "fd:%s", fd);
	return file != NULL || fd != NULL ? text : NULL;
}

static int run_rekey(const struct cli_command *command, int argc, char **argv)
{
	latz_rekey_options options = LATZ_REKEY_OPTIONS_INIT;
	const char *file = NULL, *fd = NULL, *from;
	char text[4200], *password = NULL;
	latz_pool *pool;
	bool data = false;
	const struct cli_option table[] = {
		{ "new-password-file", CLI_TEXT, &file },
		{ "new-password-fd", CLI_TEXT, &fd },
		{ "data", CLI_FLAG, &data },
		{ NULL, CLI_FLAG, NULL },
	};

	cli_parse(command, table, argc, argv, 1, 1);
	if ((file != NULL && fd != NULL) || (file == NULL && fd == NULL && !data))
		return cli_error(CLI_USAGE, "give --new-password-file F or --new-password-fd N, or --data, or both");
	if (fd != NULL && !cli_is_fd(fd))
		return cli_error(CLI_USAGE,
		                 "--new-password-fd needs the number of an open descriptor, like 4 with 4<FILE");
	from = source(file, fd, text, sizeof(text));
	int code = from != NULL ? cli_read_password("new password", from, &password) : CLI_OK;
	if (code != CLI_OK)
		return code;
	code = cli_open(argv[0], LATZ_NO_THREAD, NULL, &pool);
	if (code == CLI_OK) {
		options.password = password;
		options.data_key = data;
		int rc = latz_rekey(pool, &options);

		code = rc == LATZ_OK ? report(argv[0], password != NULL, data)
		                     : cli_fail(rc, "changing its keys", argv[0], rekey_hint(rc));
		code = cli_close(argv[0], pool, code);
	}
	latz_password_free(password);
	return code;
}

const struct cli_command cmd_rekey = {
	"rekey",
	"POOL",
	"Gives a locked pool another password, or another data key",
	"The password that it has comes from --password-file and the like, as ever. Who has the pool open goes on.\n"
	"Snapshots, and copies of the pool's files, keep the password they had.\n\n"
	"Options:\n"
	"  --new-password-file F  the new password is what stands in file F\n"
	"  --new-password-fd N    or what can be read from descriptor N\n"
	"  --data                 seal everything anew, with a new data key, while the pool is used\n\n"
	"Examples:\n"
	"  latzero rekey cache --password-file old --new-password-file new\n"
	"  latzero rekey cache --password-file secret --data\n",
	run_rekey,
};
