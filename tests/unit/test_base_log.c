/*
 * base/log: which messages reach the logger, the default on stderr, and what $LATZERO_LOG overrides. The environment is
 * read once in a process, so the cases that need it run in children.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"

static char program[4096]; /* this test's own path */

struct heard {
	unsigned count;
	latz_log_level level;
	char text[2048];
};

static void hear(latz_log_level level, const char *message, void *arg)
{
	struct heard *heard = arg;

	heard->count++;
	heard->level = level;
	snprintf(heard->text, sizeof(heard->text), "%s", message);
}

/* Messages up to the level arrive, whole and with their level; others do not. */
static void logger_gets_its_levels(void **state)
{
	struct heard heard = { 0 };

	(void)state;
	latz_set_logger(hear, &heard, LATZ_LOG_INFO);
	lzi_log(LATZ_LOG_DEBUG, "no");
	assert_int_equal(heard.count, 0);
	lzi_log(LATZ_LOG_INFO, "pool %s: %d", "p", 7);
	assert_int_equal(heard.count, 1);
	assert_int_equal(heard.level, LATZ_LOG_INFO);
	assert_string_equal(heard.text, "pool p: 7");
	lzi_log(LATZ_LOG_ERROR, "bad");
	assert_int_equal(heard.count, 2);
	latz_set_logger(hear, &heard, LATZ_LOG_NONE);
	lzi_log(LATZ_LOG_ERROR, "worse");
	assert_int_equal(heard.count, 2);
	latz_set_logger(NULL, NULL, LATZ_LOG_WARNING);
}

/* Long messages are cut, not dropped. */
static void long_message_is_cut(void **state)
{
	struct heard heard = { 0 };
	char longer[5000];

	(void)state;
	memset(longer, 'y', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	latz_set_logger(hear, &heard, LATZ_LOG_WARNING);
	lzi_log(LATZ_LOG_WARNING, "%s", longer);
	latz_set_logger(NULL, NULL, LATZ_LOG_WARNING);
	assert_int_equal(heard.count, 1);
	assert_int_equal(strlen(heard.text), 1023);
}

/* What a fresh process with the given $LATZERO_LOG (NULL: none) writes to stderr. It is this program, started again,
 * since the environment is read once. */
static void run_fresh(const char *setting, char *text, size_t size)
{
	int pipe_fds[2], status;
	size_t used = 0;
	ssize_t got;
	pid_t pid;

	assert_int_equal(pipe(pipe_fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (setting != NULL)
			setenv("LATZERO_LOG", setting, 1);
		else
			unsetenv("LATZERO_LOG");
		dup2(pipe_fds[1], STDERR_FILENO);
		execl(program, program, "--messages", (char *)NULL);
		_exit(127);
	}
	close(pipe_fds[1]);
	while (used < size - 1 && (got = read(pipe_fds[0], text + used, size - 1 - used)) > 0)
		used += (size_t)got;
	text[used] = '\0';
	close(pipe_fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static int print_messages(void)
{
	lzi_log(LATZ_LOG_ERROR, "an error");
	lzi_log(LATZ_LOG_WARNING, "a warning");
	lzi_log(LATZ_LOG_INFO, "a note");
	latz_set_logger(NULL, NULL, LATZ_LOG_ERROR);
	lzi_log(LATZ_LOG_DEBUG, "a detail");
	return 0;
}

static void default_is_warnings_to_stderr(void **state)
{
	char text[1024];

	(void)state;
	run_fresh(NULL, text, sizeof(text));
	assert_string_equal(text, "latzero: an error\nlatzero: a warning\n");
	run_fresh("nonsense", text, sizeof(text));
	assert_string_equal(text, "latzero: an error\nlatzero: a warning\n");
}

/* Also against a level the program sets. */
static void environment_overrides(void **state)
{
	char text[1024];

	(void)state;
	run_fresh("none", text, sizeof(text));
	assert_string_equal(text, "");
	run_fresh("debug", text, sizeof(text));
	assert_string_equal(text, "latzero: an error\nlatzero: a warning\nlatzero: a note\nlatzero: a detail\n");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(logger_gets_its_levels),
		cmocka_unit_test(long_message_is_cut),
		cmocka_unit_test(default_is_warnings_to_stderr),
		cmocka_unit_test(environment_overrides),
	};

	if (argc == 2 && strcmp(argv[1], "--messages") == 0)
		return print_messages();
	/* The cases without a child must not depend on who started the tests. */
	unsetenv("LATZERO_LOG");
	if (readlink("/proc/self/exe", program, sizeof(program) - 1) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
