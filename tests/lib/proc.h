/*
 * Children of tests: forked, ended with their parent, waited for with a ceiling. The function of a child must not use
 * cmocka's asserts (they would jump into the parent's runner): CHECK is for it; its result is the exit status.
 */
#ifndef TESTS_LIB_PROC_H
#define TESTS_LIB_PROC_H

#include <stdbool.h>
#include <sys/types.h>

typedef int (*proc_fn)(void *arg);

struct proc {
	pid_t pid; /* 0: none */
	int go;    /* write end: the child starts when proc_go() is called; -1 if it started at once */
};

/* Before the first fork of a program; proc_start() does it. Under a sanitizer, makes forks among threads work (fork.c).
 */
void fork_prepare(void);

/* Starts a child that runs fn(arg). held: it waits for proc_go(). */
void proc_start(struct proc *proc, proc_fn fn, void *arg, bool held);
void proc_go(struct proc *proc);

/* Waits up to timeout_ms, then kills. The exit status, 128 + signal, or -1 when it had to be killed. */
int proc_wait(struct proc *proc, unsigned timeout_ms);

/* Whether it has ended by itself or by a signal; it can still be waited for. */
bool proc_ended(const struct proc *proc);

/* Sends a signal to it by pid. */
void proc_kill(const struct proc *proc, int signal);

/* Until it has stopped itself, at a point say. Then lets it go on to its end, as proc_wait(). */
void proc_wait_stopped(const struct proc *proc);
int proc_continue(struct proc *proc);

/* A mapping of a process: how as "rw-p", flags as VmFlags of smaps tells them. */
struct proc_mapping {
	unsigned long from, to;
	char how[8];
	const char *flags;
};

/* Each that can be read; mem: the process's memory, by address. */
typedef void (*proc_mapping_fn)(int mem, const struct proc_mapping *mapping, void *arg);
void proc_mappings(pid_t pid, proc_mapping_fn fn, void *arg);

/* proc_start and proc_wait in one. */
int proc_run(proc_fn fn, void *arg, unsigned timeout_ms);

#endif
