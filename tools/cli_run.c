/*
 * How a program of the tools begins and ends, and how one that holds a pool waits.
 */
#include "cli.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	LOOK_MS = 250 /* between looks whether the pool is still there */
};

static volatile sig_atomic_t stopped;

void cli_begin(void)
{
	const char *no_colour = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	(void)signal(SIGPIPE, SIG_IGN); /* so that `| head` ends a command in order, detached from its pool */
	cli.tty = isatty(STDOUT_FILENO) == 1;
	cli.colour = cli.tty && (no_colour == NULL || *no_colour == '\0') && term != NULL && strcmp(term, "dumb") != 0;
}

/* A full disk must not look like success; a reader that has left is no error. */
int cli_finish(int code)
{
	errno = 0;
	bool failed = fflush(stdout) != 0 || ferror(stdout);

	if (failed && errno != EPIPE && errno != 0 && code == CLI_OK)
		code = cli_error(CLI_FAIL, "writing the output: %s", strerror(errno));
	latz_password_free(cli.password);
	cli.password = NULL;
	return code;
}

/* ---- The library's warnings ---- */

static char held[2048];
static size_t held_size;

static void hold(latz_log_level level, const char *message, void *arg)
{
	size_t size = strlen(message);

	(void)level;
	(void)arg;
	if (size + 1 > sizeof(held) - held_size)
		return;
	memcpy(held + held_size, message, size);
	held_size += size;
	held[held_size++] = '\n';
}

/* Whoever wants to see what the library tells gets all of it, at once. */
static bool wants_log(void)
{
	const char *level = getenv("LATZERO_LOG");

	return level != NULL && *level != '\0';
}

int cli_attach(const char *name, const latz_options *options, latz_pool **pool)
{
	cli_hold_log();
	return cli_release_log(latz_open(name, options, pool));
}

void cli_hold_log(void)
{
	held_size = 0;
	if (!wants_log())
		latz_set_logger(hold, NULL, LATZ_LOG_WARNING);
}

int cli_release_log(int rc)
{
	if (wants_log())
		return rc;
	latz_set_logger(NULL, NULL, LATZ_LOG_WARNING);
	for (size_t at = 0; rc == LATZ_OK && at < held_size; at += strcspn(held + at, "\n") + 1)
		fprintf(stderr, "latzero: %.*s\n", (int)strcspn(held + at, "\n"), held + at);
	return rc;
}

int cli_main(const struct cli_command *command, int argc, char **argv)
{
	cli.program = command->name;
	cli_begin();
	if (argc == 2 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)) {
		printf("%s %s\n", cli.program, latz_version());
		return cli_finish(CLI_OK);
	}
	return cli_finish(command->run(command, argc - 1, argv + 1));
}

static void on_signal(int number)
{
	(void)number;
	stopped = 1;
}

void cli_catch_signals(void)
{
	/* The first one asks; a second one ends what does not come to it, such as a read from a pipe that is still. */
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND };

	sigemptyset(&action.sa_mask);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

bool cli_signalled(void)
{
	return stopped != 0;
}

static int stop_listing(const latz_client_info *info, void *arg)
{
	(void)info;
	(void)arg;
	return 1;
}

int cli_stay(const char *name, latz_pool *pool, bool input)
{
	const struct timespec look = { .tv_nsec = LOOK_MS * 1000000L };
	sigset_t blocked, before;
	int code = CLI_OK;
	char byte;

	sigemptyset(&blocked);
	sigaddset(&blocked, SIGINT);
	sigaddset(&blocked, SIGTERM);
	sigaddset(&blocked, SIGHUP);
	/* Blocked but inside ppoll, so that a signal between the test and the wait is not lost. */
	pthread_sigmask(SIG_BLOCK, &blocked, &before);
	cli_catch_signals();
	while (!stopped && code == CLI_OK) {
		struct pollfd watched = { .fd = input ? STDIN_FILENO : -1, .events = POLLIN };
		int ready = ppoll(&watched, 1, &look, &before);
		if (ready < 0 && errno != EINTR)
			break;
		if (ready == 0 && latz_clients(pool, stop_listing, NULL) == LATZ_DEAD)
			code = cli_error(CLI_FAIL, "pool %s: was destroyed meanwhile; create it again", name);
		if (ready <= 0)
			continue;
		ssize_t size = read(STDIN_FILENO, &byte, 1);
		if (size == 0 || (size == 1 && byte == '\n') || (size < 0 && errno != EINTR))
			break;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return code;
}
