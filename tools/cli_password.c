/*
 * The password of the tools: where it comes from, and what to do when it is another.
 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --password-file, or $LATZERO_PASSWORD_FILE. */
static const char *password_file(void)
{
	const char *path = getenv("LATZERO_PASSWORD_FILE");

	if (cli.password_file != NULL)
		return cli.password_file;
	return path != NULL && *path != '\0' ? path : NULL;
}

static bool is_given(void)
{
	return cli.password_fd != NULL || password_file() != NULL;
}

/* What was read from stays with nobody: standard descriptors alone are of further use. */
static void close_fd(void)
{
	long fd = strtol(cli.password_fd, NULL, 10); /* it was read from, so it is one */

	if (fd > STDERR_FILENO)
		close((int)fd);
}

/* What it is not, is not told: it may be the password. */
bool cli_is_fd(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	return digits > 0 && digits < 10 && text[digits] == '\0';
}

int cli_read_password(const char *which, const char *from, char **ret_password)
{
	int rc = latz_password_read(from, ret_password);

	if (rc == LATZ_OK)
		return CLI_OK;
	return cli_error(cli_exit_code(rc), "reading the %s: %s (%s); it has to be %s", which, latz_strerror(rc),
	                 latz_error_detail(),
	                 strncmp(from, "fd:", 3) == 0
	                         ? "what can be read from an open descriptor, like 3 with 3<FILE, up to a newline"
	                         : "in a file of mode 0600, one line");
}

const char *cli_password(void)
{
	const char *file = cli.password_fd == NULL ? password_file() : cli.password_file;
	char from[4200];

	if (cli.password != NULL || (file == NULL && cli.password_fd == NULL))
		return cli.password;
	if (cli.password_fd != NULL && file != NULL) {
		cli_error(CLI_USAGE, "--password-file and --password-fd: give one of them");
		exit(CLI_USAGE);
	}
	if (file != NULL && strlen(file) > sizeof(from) - 8) {
		cli_error(CLI_USAGE, "the password file's path is too long");
		exit(CLI_USAGE);
	}
	if (file == NULL && !cli_is_fd(cli.password_fd)) {
		cli_error(CLI_USAGE, "--password-fd needs the number of an open descriptor, like 3 with 3<FILE");
		exit(CLI_USAGE);
	}
	snprintf(from, sizeof(from), "%s:%s", file != NULL ? "file" : "fd", file != NULL ? file : cli.password_fd);
	int code = cli_read_password("password", from, &cli.password);
	if (cli.password_fd != NULL)
		close_fd();
	if (code != CLI_OK)
		exit(code);
	return cli.password;
}

const char *cli_password_hint(const char *pool)
{
	struct cli_pool found;

	if (!is_given())
		return "give it with --password-file F, --password-fd N or $LATZERO_PASSWORD_FILE";
	bool there = pool != NULL && cli_find_pool(pool, &found) && found.info.status == LATZ_OK;
	if (pool != NULL && !there)
		return "check what the password file holds; every wrong one makes the next wait longer";
	if (there && !found.info.password)
		return "leave --password-file and $LATZERO_PASSWORD_FILE out if you mean this pool";
	if (there && access(found.path, W_OK) != 0) /* of who only reads nothing is counted in the pool */
		return "check what the password file holds";
	return "check what the password file holds; every wrong one makes the next wait longer, and latzero inspect "
	       "without a password shows how many there were";
}

const char *cli_locked_name(int password, int encrypted)
{
	return encrypted ? "encrypted" : password ? "password" : "no";
}
