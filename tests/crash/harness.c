/*
 * The supervisor: main() becomes the parent and subreaper of the process that runs the test, so that whatever the test
 * starts, guards included, ends up as its child and can be told from a clean end. It waits with signals blocked, which
 * is why an interrupt never leaves processes or files behind.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

uint64_t hn_seed;
int hn_verbose;
char hn_root[256];

static const char *base_dir;
static int failures;

/* ---- Output ----------------------------------------------------------------------------------------------------- */

void hn_fail(const char *format, ...)
{
	char line[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(line, sizeof line, format, ap);
	va_end(ap);
	fflush(stdout);
	printf("FAIL: %s\n", line);
	fflush(stdout);
	failures++;
}

int hn_failures(void)
{
	return failures;
}

void hn_die(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	fputs("harness: ", stderr);
	vfprintf(stderr, format, ap);
	fputc('\n', stderr);
	va_end(ap);
	fflush(NULL);
	_exit(3);
}

void hn_note(const char *format, ...)
{
	va_list ap;

	if (!hn_verbose)
		return;
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

/* ---- Clocks, random, memory ------------------------------------------------------------------------------------- */

uint64_t hn_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

double hn_since_ms(uint64_t start_ns)
{
	return (double)(hn_now_ns() - start_ns) / 1e6;
}

void hn_sleep_us(unsigned us)
{
	struct timespec ts = { (time_t)(us / 1000000u), (long)(us % 1000000u) * 1000 };

	while (nanosleep(&ts, &ts) != 0 && errno == EINTR)
		;
}

uint64_t hn_mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

uint64_t hn_random(uint64_t *state)
{
	*state += 0x9e3779b97f4a7c15u;
	return hn_mix(*state);
}

void *hn_shared(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		hn_die("mmap of %zu shared bytes: %s", size, strerror(errno));
	return p;
}

/* ---- Children --------------------------------------------------------------------------------------------------- */

pid_t hn_fork(int (*fn)(void *arg), void *arg)
{
	pid_t parent = getpid(), pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		hn_die("fork: %s", strerror(errno));
	if (pid == 0) {
		int rc;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* Inside a new PID namespace the parent has no pid here (0), and cannot have gone unnoticed either. */
		if (getppid() != parent && getppid() != 0)
			_exit(9);
		failures = 0;
		rc = fn(arg);
		fflush(NULL);
		_exit(rc);
	}
	return pid;
}

int hn_wait(pid_t pid, int timeout_ms, int *status)
{
	uint64_t start = hn_now_ns();
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	for (;;) {
		pid_t got = waitpid(pid, status, WNOHANG);
		double left = timeout_ms - hn_since_ms(start);

		if (got == pid || (got < 0 && errno == ECHILD)) {
			if (fd >= 0)
				close(fd);
			return got == pid ? 0 : -1;
		}
		if (left <= 0)
			break;
		if (fd >= 0) {
			struct pollfd p = { fd, POLLIN, 0 };

			poll(&p, 1, left < 1 ? 1 : (int)left);
		} else {
			hn_sleep_us(500);
		}
	}
	if (fd >= 0)
		close(fd);
	return -1;
}

void hn_kill(pid_t pid, int sig)
{
	if (pid > 1)
		kill(pid, sig);
}

const char *hn_status_text(int status)
{
	static char text[4][40];
	static unsigned turn;
	char *out = text[turn++ % 4];

	if (WIFEXITED(status))
		snprintf(out, sizeof text[0], "exit %d", WEXITSTATUS(status));
	else if (WIFSIGNALED(status))
		snprintf(out, sizeof text[0], "signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		snprintf(out, sizeof text[0], "status %x", (unsigned)status);
	return out;
}

int hn_expect(pid_t pid, int timeout_ms, int expect, const char *what)
{
	int status;

	if (hn_wait(pid, timeout_ms, &status) != 0) {
		hn_kill(pid, SIGCONT);
		hn_kill(pid, SIGKILL);
		hn_wait(pid, 10000, &status);
		hn_fail("%s: did not end within %d ms", what, timeout_ms);
		return -1;
	}
	if (expect >= 0 ? WIFEXITED(status) && WEXITSTATUS(status) == expect
	                : WIFSIGNALED(status) && WTERMSIG(status) == -expect)
		return 0;
	hn_fail("%s: ended with %s", what, hn_status_text(status));
	return -1;
}

/* ---- The meter -------------------------------------------------------------------------------------------------- */

/* From here on an operation is worth two system calls of the meter's. */
#define SLOW_NS 100000u

/* Nanoseconds this thread has stood in the run queue, from schedstat's second number; 0 where there is none. */
static uint64_t run_delay(int fd)
{
	char text[96];
	ssize_t n = fd >= 0 ? pread(fd, text, sizeof text - 1, 0) : 0;
	char *p;

	if (n <= 0)
		return 0;
	text[n] = 0;
	p = strchr(text, ' ');
	return p ? strtoull(p, NULL, 10) : 0;
}

void hn_meter_open(struct hn_meter *meter)
{
	meter->fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
	meter->delay_ns = run_delay(meter->fd);
	meter->count = 0;
}

uint64_t hn_meter_begin(struct hn_meter *meter)
{
	/* Reading it costs more than an operation; within a few operations of each other the difference is still
	 * theirs. */
	if (meter->count++ % 8 == 0)
		meter->delay_ns = run_delay(meter->fd);
	return hn_now_ns();
}

void hn_meter_end(struct hn_meter *meter, uint64_t start_ns, struct hn_waits *waits)
{
	uint64_t end = hn_now_ns(), wall = end - start_ns, net = wall;

	if (wall >= SLOW_NS) {
		uint64_t delay = run_delay(meter->fd), stood = delay - meter->delay_ns;
		struct hn_slow *slow = &waits->slow[waits->slow_count % HN_SLOW_MAX];

		meter->delay_ns = delay;
		net = stood < wall ? wall - stood : 0;
		*slow = (struct hn_slow){ start_ns, end, net };
		waits->slow_count++;
	}
	if (wall > waits->max_wall_ns)
		waits->max_wall_ns = wall;
	if (net > waits->max_net_ns)
		waits->max_net_ns = net;
	waits->ops++;
}

void hn_waits_since(const struct hn_waits *waits, uint64_t from_ns, double *wall_ms, double *net_ms)
{
	uint64_t n = waits->slow_count < HN_SLOW_MAX ? waits->slow_count : HN_SLOW_MAX;

	for (uint64_t i = 0; i < n; i++) {
		const struct hn_slow *s = &waits->slow[i];

		if (s->end_ns <= from_ns)
			continue;
		if ((double)(s->end_ns - s->start_ns) / 1e6 > *wall_ms)
			*wall_ms = (double)(s->end_ns - s->start_ns) / 1e6;
		if ((double)s->net_ns / 1e6 > *net_ms)
			*net_ms = (double)s->net_ns / 1e6;
	}
}

/* ---- The supervisor --------------------------------------------------------------------------------------------- */

static int usage(const struct hn_program *program, FILE *out)
{
	fprintf(out, "%s: %s\n\n", program->name, program->about);
	for (const struct hn_option *o = program->options; o->name; o++)
		fprintf(out, "  --%s%s\n        %s\n", o->name, o->flag ? "" : o->number ? " N" : " TEXT", o->help);
	fprintf(out,
	        "  --seed N\n        random seed (printed; default: the clock)\n"
	        "  --base DIR\n        make the working directory here (default: $LATZERO_TEST_DIR, /dev/shm, "
	        "$TMPDIR)\n"
	        "  --verbose\n        say more\n\nExit: 0 passed, 1 failed, 2 usage, 3 harness broken, 77 skipped.\n");
	return out == stdout ? 0 : 2;
}

static int parse(const struct hn_program *program, int argc, char **argv)
{
	const struct hn_option common[] = { { "seed", NULL, &hn_seed, NULL, NULL },
		                            { "base", NULL, NULL, &base_dir, NULL },
		                            { "verbose", NULL, NULL, NULL, &hn_verbose },
		                            { 0 } };

	for (int i = 1; i < argc; i++) {
		const char *name = argv[i];
		const struct hn_option *o;
		char *end;

		if (strcmp(name, "--help") == 0) {
			usage(program, stdout);
			return 1;
		}
		if (strncmp(name, "--", 2) != 0)
			return -1;
		for (o = program->options; o->name && strcmp(o->name, name + 2) != 0; o++)
			;
		if (!o->name)
			for (o = common; o->name && strcmp(o->name, name + 2) != 0; o++)
				;
		if (!o->name)
			return -1;
		if (o->flag) {
			*o->flag = 1;
			continue;
		}
		if (++i >= argc)
			return -1;
		if (o->text) {
			*o->text = argv[i];
			continue;
		}
		*o->number = strtoull(argv[i], &end, 0);
		if (*end || end == argv[i])
			return -1;
	}
	return 0;
}

static void make_root(const char *name)
{
	const char *tmp = getenv("TMPDIR"), *own = getenv("LATZERO_TEST_DIR");
	const char *bases[] = { base_dir, own, "/dev/shm", tmp, "/tmp" };

	for (unsigned i = 0; i < sizeof bases / sizeof *bases; i++) {
		if (!bases[i] || !*bases[i] || access(bases[i], W_OK | X_OK) != 0)
			continue;
		snprintf(hn_root, sizeof hn_root, "%s/lzt-%s-XXXXXX", bases[i], name);
		if (mkdtemp(hn_root))
			return;
	}
	hn_die("no place for a working directory");
}

/* Children of this process, orphans of its children included. */
static int list_children(pid_t *pids, int max)
{
	char path[64];
	FILE *f;
	int n = 0;
	long pid;

	snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)getpid(), (int)getpid());
	f = fopen(path, "r");
	if (!f)
		return 0;
	while (n < max && fscanf(f, "%ld", &pid) == 1)
		pids[n++] = (pid_t)pid;
	fclose(f);
	return n;
}

/* A guard whose pools are all gone has this long to notice. */
#define END_GRACE_MS 5000

static int end_children(pid_t body, int clean)
{
	pid_t pids[256];
	uint64_t start = hn_now_ns();
	int killed = 0, n;

	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	while (clean && hn_since_ms(start) < END_GRACE_MS && list_children(pids, 1) > 0) {
		hn_sleep_us(5000);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
	kill(-body, SIGCONT);
	kill(-body, SIGKILL);
	while (hn_since_ms(start) < 2 * END_GRACE_MS && (n = list_children(pids, 256)) > 0) {
		for (int i = 0; i < n; i++) {
			if (clean && killed < 3)
				printf("FAIL: process %d was left behind\n", (int)pids[i]);
			kill(pids[i], SIGKILL);
			killed++;
		}
		hn_sleep_us(2000);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
	return clean ? killed : 0;
}

/* Returns the body's wait status, -1 on a timeout, or the signal we got as a negative number under -1. */
static int supervise(pid_t body, unsigned watchdog_s, const sigset_t *set)
{
	uint64_t start = hn_now_ns();
	struct timespec tick = { 0, 200000000 };
	int status;

	for (;;) {
		int sig;

		if (waitpid(body, &status, WNOHANG) == body)
			return status;
		if (hn_since_ms(start) > watchdog_s * 1e3)
			return -1;
		sig = sigtimedwait(set, NULL, &tick);
		if (sig > 0 && sig != SIGCHLD)
			return -1 - sig;
	}
}

int hn_main(const struct hn_program *program, int argc, char **argv)
{
	sigset_t set, old;
	unsigned watchdog;
	pid_t body;
	int rc = parse(program, argc, argv), code, left;

	if (rc)
		return rc > 0 ? 0 : usage(program, stderr);
	if (!hn_seed)
		hn_seed = hn_now_ns() % 1000000007u + 1;
	make_root(program->name);
	watchdog = program->watchdog ? program->watchdog() : program->watchdog_s;
	printf("%s: seed %llu, in %s\n", program->name, (unsigned long long)hn_seed, hn_root);
	fflush(stdout);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, &old);
	body = fork();
	if (body < 0)
		hn_die("fork: %s", strerror(errno));
	if (body == 0) {
		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		sigprocmask(SIG_SETMASK, &old, NULL);
		code = program->body();
		fflush(NULL);
		_exit(code ? code : failures ? 1 : 0);
	}
	setpgid(body, body);
	rc = supervise(body, watchdog, &set);
	code = rc >= 0 && WIFEXITED(rc) ? WEXITSTATUS(rc) : 1;
	if (rc == -1)
		printf("FAIL: %s did not end within %u s\n", program->name, watchdog);
	else if (rc < -1)
		printf("%s: interrupted\n", program->name);
	else if (!WIFEXITED(rc))
		printf("FAIL: %s: the test itself ended with %s\n", program->name, hn_status_text(rc));
	/* With the pools' files gone a guard has nothing left to guard and must end by itself. */
	hn_remove_tree(hn_root);
	left = end_children(body, rc >= 0);
	if (left && code == 0)
		code = 1;
	hn_remove_tree(hn_root);
	printf("%s: %s\n", program->name, code == 0 ? "passed" : code == HN_SKIP ? "skipped" : "FAILED");
	return code;
}
