/* Children of tests; see proc.h. */
#include "base.h"
#include "proc.h"

#include <sys/prctl.h>

static void run_child(proc_fn fn, void *arg, int wait_fd, pid_t parent) __attribute__((noreturn));

static void run_child(proc_fn fn, void *arg, int wait_fd, pid_t parent)
{
	char byte;
	int status;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(99);
	if (wait_fd >= 0) {
		if (read(wait_fd, &byte, 1) != 1)
			_exit(98);
		close(wait_fd);
	}
	status = fn(arg);
	fflush(stdout);
	fflush(stderr);
	_exit(status);
}

void proc_start(struct proc *proc, proc_fn fn, void *arg, bool held)
{
	pid_t parent = getpid();
	int fds[2] = { -1, -1 };

	fflush(stdout);
	fflush(stderr);
	if (held)
		CHECK(pipe2(fds, O_CLOEXEC) == 0);
	fork_prepare();
	proc->pid = fork();
	CHECK(proc->pid >= 0);
	if (proc->pid == 0) {
		if (held)
			close(fds[1]);
		run_child(fn, arg, fds[0], parent);
	}
	if (held)
		close(fds[0]);
	proc->go = fds[1];
}

void proc_go(struct proc *proc)
{
	if (proc->go < 0)
		return;
	CHECK(write(proc->go, "g", 1) == 1);
	close(proc->go);
	proc->go = -1;
}

int proc_wait(struct proc *proc, unsigned timeout_ms)
{
	uint64_t end = clock_ns() + (uint64_t)timeout_ms * 1000000u;
	int status = 0;
	pid_t got;

	proc_go(proc);
	while ((got = waitpid(proc->pid, &status, WNOHANG)) == 0 && clock_ns() < end)
		sleep_ms(1);
	if (got == 0) {
		fprintf(stderr, "# child %d did not end within %u ms\n", (int)proc->pid, timeout_ms);
		kill(proc->pid, SIGKILL);
		waitpid(proc->pid, &status, 0);
		proc->pid = 0;
		return -1;
	}
	CHECK(got == proc->pid);
	proc->pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void proc_wait_stopped(const struct proc *proc)
{
	int status;

	CHECK(waitpid(proc->pid, &status, WUNTRACED) == proc->pid && WIFSTOPPED(status));
}

int proc_continue(struct proc *proc)
{
	proc_kill(proc, SIGCONT);
	return proc_wait(proc, 20000);
}

bool proc_ended(const struct proc *proc)
{
	siginfo_t ended = { 0 };

	CHECK(waitid(P_PID, (id_t)proc->pid, &ended, WEXITED | WNOHANG | WNOWAIT) == 0);
	return ended.si_pid != 0;
}

void proc_kill(const struct proc *proc, int signal)
{
	if (proc->pid > 0)
		kill(proc->pid, signal);
}

int proc_run(proc_fn fn, void *arg, unsigned timeout_ms)
{
	struct proc proc;

	proc_start(&proc, fn, arg, false);
	return proc_wait(&proc, timeout_ms);
}

void proc_mappings(pid_t pid, proc_mapping_fn fn, void *arg)
{
	struct proc_mapping mapping = { 0, 0, "", NULL };
	unsigned long first, last;
	char path[64], line[1024], how[8];
	FILE *maps;
	int mem;

	snprintf(path, sizeof path, "/proc/%d/smaps", (int)pid);
	maps = fopen(path, "re");
	snprintf(path, sizeof path, "/proc/%d/mem", (int)pid);
	mem = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(maps != NULL && mem >= 0);
	while (fgets(line, sizeof line, maps) != NULL) {
		if (sscanf(line, "%lx-%lx %7s", &first, &last, how) == 3) {
			mapping.from = first;
			mapping.to = last;
			memcpy(mapping.how, how, sizeof how);
		}
		if (strncmp(line, "VmFlags:", 8) != 0 || mapping.how[0] != 'r') /* they come last */
			continue;
		mapping.flags = line;
		fn(mem, &mapping, arg);
	}
	fclose(maps);
	close(mem);
}
