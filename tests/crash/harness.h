/*
 * What the programs under tests/crash, full, life, grow, bad and fuzz share: a supervisor that always ends, kills what
 * is left and removes what was made; children by pid; shared memory; clocks. Knows nothing of pools.
 */
#ifndef TESTS_CRASH_HARNESS_H
#define TESTS_CRASH_HARNESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define HN_SKIP 77

/* One command line option. `number`: takes an unsigned number; else `text`; else it is a switch that sets *flag. */
struct hn_option {
	const char *name; /* without the dashes */
	const char *help;
	uint64_t *number;
	const char **text;
	int *flag;
};

struct hn_program {
	const char *name;
	const char *about;
	const struct hn_option *options; /* ends with a NULL name */
	unsigned watchdog_s;             /* may be changed by the options: read after parsing if watchdog is NULL */
	unsigned (*watchdog)(void);      /* NULL: watchdog_s */
	int (*body)(void);               /* 0, 1, or HN_SKIP */
};

/* Set by every program's common options --seed, --base and --verbose. */
extern uint64_t hn_seed;
extern int hn_verbose;
/* The program's own directory, removed at the end. */
extern char hn_root[256];

/* Parses, makes hn_root, runs body() in a child under a watchdog, ends whatever the body left running, removes hn_root.
 * Returns main's exit code: 1 on failure, death or timeout of the body, and when processes had to be killed. */
int hn_main(const struct hn_program *program, int argc, char **argv);

/* Prints a line starting with "FAIL:" and counts it; the count of this process is hn_failures(). */
void hn_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
int hn_failures(void);
/* Ends this process with code 3 after printing: for a broken harness, not a broken library. */
void hn_die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
void hn_note(const char *format, ...) __attribute__((format(printf, 1, 2))); /* with --verbose only */

/* Forks; the child runs fn(arg), exits with what it returns, and dies with its parent. */
pid_t hn_fork(int (*fn)(void *arg), void *arg);
/* Waits at most timeout_ms; returns 0 and the wait status, or -1 when it still runs. */
int hn_wait(pid_t pid, int timeout_ms, int *status);
/* Waits; when it does not end in time, kills it and says so. `expect` is an exit code, or -SIGNAL. 0 when as expected.
 */
int hn_expect(pid_t pid, int timeout_ms, int expect, const char *what);
void hn_kill(pid_t pid, int sig);
/* "exit 0", "signal 9", ...; static storage, a few at a time. */
const char *hn_status_text(int status);

uint64_t hn_now_ns(void);
double hn_since_ms(uint64_t start_ns);
void hn_sleep_us(unsigned us);
uint64_t hn_random(uint64_t *state);
uint64_t hn_mix(uint64_t x);
void *hn_shared(size_t size); /* zeroed, shared with children made later */

/* root/name; made fresh and empty. Ends the program when it cannot. */
void hn_subdir(char *out, size_t size, const char *name);
void hn_remove_tree(const char *path);
int hn_copy_tree(const char *from, const char *to);
/* A digest of all regular files' names, sizes and bytes under path. */
uint64_t hn_digest_tree(const char *path);
/* Entries under path, "." and ".." not counted; -1 if it is not there. names (may be NULL) gets the first few. */
int hn_count_entries(const char *path, char *names, size_t size);
/* st_blocks * 512 of all files under path. */
uint64_t hn_tree_blocks(const char *path);
/* Processes other than the program's own that name `path` in their command line or hold a file below it. */
int hn_path_users(const char *path, pid_t *pids, int max);
/* The program's pid before hn_main forked: not a user in hn_path_users. */

/* Measures waits of one thread. The time a thread stood ready but another had the processor is taken off (net), for
 * it says how busy the machine is and nothing about the library. */
struct hn_meter {
	int fd;
	uint64_t delay_ns;
	unsigned count;
};
struct hn_slow {
	uint64_t start_ns, end_ns, net_ns;
};
#define HN_SLOW_MAX 1024
struct hn_waits { /* in shared memory, written by one thread */
	uint64_t ops;
	uint64_t max_wall_ns, max_net_ns;
	uint64_t slow_count;
	struct hn_slow slow[HN_SLOW_MAX]; /* a ring of those over 0.1 ms */
};
void hn_meter_open(struct hn_meter *meter);
uint64_t hn_meter_begin(struct hn_meter *meter);
void hn_meter_end(struct hn_meter *meter, uint64_t start_ns, struct hn_waits *waits);
/* The longest of those that ended after from_ns, and what of it was waiting (net). */
void hn_waits_since(const struct hn_waits *waits, uint64_t from_ns, double *wall_ms, double *net_ms);

#endif
