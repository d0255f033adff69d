/*
 * latzero lock: runs a command while holding a lock.
 */
#include "cli.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

struct lock_arguments {
	int64_t lease_ms, wait_ms;
	const char *wait;
	bool shared;
};

static void watched(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGCHLD);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
}

/* In the child. It ends when we are killed: without the lock it must not go on. */
static void become(char **argv, pid_t parent, const sigset_t *mask, uint64_t token)
{
	char text[24];

	sigprocmask(SIG_SETMASK, mask, NULL);
	snprintf(text, sizeof(text), "%" PRIu64, token);
	setenv("LATZERO_TOKEN", text, 1);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
		_exit(CLI_FAIL);
	execvp(argv[0], argv);
	fprintf(stderr, "latzero lock: cannot run %s: %s\n", argv[0], strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

/* Signals go to the command, the lease is renewed, until it ends. *lost: the lock was; then the command is ended. */
static int attend(pid_t child, int signals, latz_lock_t *lock, int64_t lease_ms, bool *lost)
{
	struct pollfd fds[2] = { { .fd = signals, .events = POLLIN }, { .fd = -1, .events = POLLIN } };
	struct signalfd_siginfo info;
	int status;

	if (lease_ms > 0)
		fds[1].fd = latz_lock_fd(lock);
	for (;;) {
		if (waitpid(child, &status, WNOHANG) == child)
			return status;
		if (poll(fds, 2, 1000) < 0 && errno != EINTR)
			poll(NULL, 0, 10);
		if (fds[0].revents & POLLIN && read(signals, &info, sizeof(info)) == (ssize_t)sizeof(info) &&
		    info.ssi_signo != SIGCHLD)
			kill(child, (int)info.ssi_signo);
		if (fds[1].revents & POLLIN && latz_lock_renew(lock, lease_ms) != LATZ_OK) {
			*lost = true;
			fds[1].fd = -1;
			fds[1].revents = 0;
			kill(child, SIGTERM);
		}
	}
}

static int run_command(char **argv, const char *pool, latz_lock_t *lock, int64_t lease_ms)
{
	sigset_t set, mask;
	pid_t parent = getpid();
	bool lost = false;

	watched(&set);
	sigprocmask(SIG_BLOCK, &set, &mask);
	int signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	pid_t child = signals < 0 ? -1 : fork();
	if (child < 0)
		return cli_error(CLI_FAIL, "cannot start %s: %s", argv[0], strerror(errno));
	if (child == 0)
		become(argv, parent, &mask, lock->token);
	int status = attend(child, signals, lock, lease_ms, &lost);
	close(signals);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	if (lost)
		return cli_error(CLI_FAIL,
		                 "pool %s: the lock was lost, as this process stood still for longer than the lease; "
		                 "%s was ended. A longer --lease, or none, helps",
		                 pool, argv[0]);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int run_lock(const struct cli_command *command, int argc, char **argv)
{
	struct lock_arguments arguments = { .wait_ms = -1 };
	latz_lock_options options = LATZ_LOCK_OPTIONS_INIT;
	latz_lock_t lock = LATZ_LOCK_INIT;
	latz_pool *pool;
	const struct cli_option table[] = {
		{ "lease", CLI_DURATION, &arguments.lease_ms },
		{ "wait", CLI_TEXT, &arguments.wait },
		{ "shared", CLI_FLAG, &arguments.shared },
		{ NULL, CLI_FLAG, NULL },
	};

	int n = cli_parse(command, table, argc, argv, 3, -1);
	argv[n] = NULL;
	if (arguments.wait != NULL && strcmp(arguments.wait, "0") == 0)
		arguments.wait_ms = 0;
	else if (arguments.wait != NULL && !cli_parse_duration(arguments.wait, &arguments.wait_ms))
		return cli_error(CLI_USAGE, "--wait %s: a duration like 250ms, 5s or 2m, or 0", arguments.wait);
	options.lease_ms = arguments.lease_ms;
	options.wait_ms = arguments.wait_ms;
	options.shared = arguments.shared;
	int code = cli_open_write(argv[0], LATZ_NO_THREAD, &pool);
	if (code != CLI_OK)
		return code;
	const char *hint = argv[1][0] == '\0' ? "give a name of 1 to 32767 bytes" : "--lease is at most 49 days";
	int rc = latz_lock(pool, latz_str(argv[1]), &options, &lock);
	if (rc == LATZ_BUSY || rc == LATZ_TIMEOUT) {
		cli_error(CLI_NO, "pool %s: %s is locked: %s", argv[0], argv[1], latz_error_detail());
		return cli_close(argv[0], pool, CLI_NO);
	}
	if (rc != LATZ_OK)
		return cli_close(argv[0], pool, cli_fail(rc, "locking", argv[0], rc == LATZ_INVALID ? hint : NULL));
	code = run_command(argv + 2, argv[0], &lock, arguments.lease_ms);
	(void)!latz_unlock(&lock);
	return cli_close(argv[0], pool, code);
}

const struct cli_command cmd_lock = {
	"lock",
	"POOL NAME -- COMMAND...",
	"Runs a command while holding a lock",
	"Waits until it has the lock, runs COMMAND, and gives it back when that ends; the exit code is COMMAND's, or\n"
	"128 and the signal that ended it; 127 if there is no such COMMAND, 126 if it can't be run; 1, 2 and 3 may be\n"
	"latzero's own. Signals to latzero go to COMMAND. If latzero is killed, COMMAND is too, and the next one has\n"
	"the lock at once. COMMAND finds its token in $LATZERO_TOKEN. With --namespace it is a lock of that.\n\n"
	"Options:\n"
	"  --lease 10s   the lock ends so long after it was last renewed, which latzero does while it runs: so that\n"
	"                others go on if it is stopped. COMMAND is ended then. Without: as long as COMMAND runs\n"
	"  --shared      together with others who share it\n"
	"  --wait 5s     at most; 0: try once. If others have it all the time the exit code is 1\n\n"
	"Examples:\n"
	"  latzero lock jobs nightly -- ./backup.sh\n"
	"  latzero lock jobs nightly --wait 0 --lease 30s -- ./backup.sh\n"
	"  latzero lock jobs report --shared -- ./report.sh\n",
	run_lock,
};
