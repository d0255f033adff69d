/*
 * base/point: a named point kills or stops the process at the hit it was told, by call or by environment, and the
 * trace lists each name once.
 */
#include "config.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/point.h"

static char program[4096]; /* this test's own path */

/* Without LZI_POINTS the macro is no call at all, whatever is armed. */
static void macro_is_nothing(void **state)
{
	(void)state;
	lzi_point_arm("test.here", 1, LZI_POINT_KILL);
	LZI_POINT("test.here");
	lzi_point_arm(NULL, 0, LZI_POINT_KILL);
}

/* Runs this program again with an environment variable set; how it ended, as of waitpid. A child that stops is
 * continued and *stopped says so. */
static int run_fresh(const char *variable, const char *setting, const char *mode, int *stopped)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		setenv(variable, setting, 1);
		execl(program, program, mode, (char *)NULL);
		_exit(127);
	}
	*stopped = 0;
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	if (WIFSTOPPED(status)) {
		*stopped = WSTOPSIG(status);
		kill(pid, SIGCONT);
		assert_int_equal(waitpid(pid, &status, 0), pid);
	}
	return status;
}

/* The child's part: passes test.a three times and test.b once; the exit status counts what it survived. */
static int pass_points(void)
{
	for (int i = 0; i < 3; i++)
		lzi_point_hit("test.a");
	lzi_point_hit("test.b");
	return 4;
}

static void environment_kills(void **state)
{
	int stopped, status;

	(void)state;
	status = run_fresh("LATZERO_POINT", "test.a", "--pass", &stopped);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	status = run_fresh("LATZERO_POINT", "test.a:3", "--pass", &stopped);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	/* Neither a fourth hit nor a name that only begins alike. */
	status = run_fresh("LATZERO_POINT", "test.a:4", "--pass", &stopped);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 4);
	status = run_fresh("LATZERO_POINT", "test", "--pass", &stopped);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 4);
}

static void environment_stops(void **state)
{
	int stopped, status;

	(void)state;
	status = run_fresh("LATZERO_POINT", "test.a:2:stop", "--pass", &stopped);
	assert_int_equal(stopped, SIGSTOP);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 4);
}

/* Arming by call replaces what the environment said. */
static void arm_by_call(void **state)
{
	int stopped, status;

	(void)state;
	status = run_fresh("LATZERO_POINT", "test.a", "--arm", &stopped);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	status = run_fresh("LATZERO_POINT", "test.a", "--disarm", &stopped);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 4);
}

static void trace_lists_each_once(void **state)
{
	char path[] = "/tmp/latzero-point-XXXXXX", text[128];
	int fd = mkstemp(path), stopped, status;
	ssize_t size;

	(void)state;
	assert_true(fd >= 0);
	status = run_fresh("LATZERO_POINT_TRACE", path, "--pass", &stopped);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 4);
	size = read(fd, text, sizeof(text) - 1);
	close(fd);
	unlink(path);
	assert_true(size >= 0);
	text[size] = '\0';
	assert_string_equal(text, "test.a\ntest.b\n");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(macro_is_nothing),      cmocka_unit_test(environment_kills),
		cmocka_unit_test(environment_stops),     cmocka_unit_test(arm_by_call),
		cmocka_unit_test(trace_lists_each_once),
	};

	if (argc == 2) {
		if (strcmp(argv[1], "--arm") == 0)
			lzi_point_arm("test.b", 1, LZI_POINT_KILL);
		else if (strcmp(argv[1], "--disarm") == 0)
			lzi_point_arm(NULL, 0, LZI_POINT_KILL);
		return pass_points();
	}
	unsetenv("LATZERO_POINT");
	unsetenv("LATZERO_POINT_TRACE");
	if (readlink("/proc/self/exe", program, sizeof(program) - 1) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
