/*
 * What the benchmark needs of the machine: clocks, cores, random sequences, servers to talk to. Knows no system
 * under test.
 */
#define _GNU_SOURCE
#include "bench.h"

#include <dirent.h>
#include <ftw.h>
#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

static uint64_t clock_read(clockid_t clock)
{
	struct timespec ts;
	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t bench_now_ns(void)
{
	return clock_read(CLOCK_MONOTONIC);
}

uint64_t bench_cpu_ns(void)
{
	return clock_read(CLOCK_PROCESS_CPUTIME_ID);
}

uint64_t bench_ticks(void)
{
#if defined(__x86_64__)
	unsigned aux;
	return __rdtscp(&aux); /* waits for the instructions before it, so an operation is not counted short */
#else
	return bench_now_ns();
#endif
}

double bench_tick_ns(void)
{
	static double tick_ns;
	if (tick_ns > 0)
		return tick_ns;
	uint64_t n0 = bench_now_ns(), t0 = bench_ticks(), n1 = n0;
	while (n1 - n0 < 50000000)
		n1 = bench_now_ns();
	tick_ns = (double)(n1 - n0) / (double)(bench_ticks() - t0);
	return tick_ns;
}

int bench_core_main(void)
{
	return (int)sysconf(_SC_NPROCESSORS_ONLN) - 1;
}

int bench_core_other(void)
{
	int main_core = bench_core_main();
	return main_core > 0 ? main_core - 1 : 0;
}

static int pin(pid_t id, int core)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	for (int i = 0; i <= bench_core_main(); i++)
		if (core < 0 || i == core)
			CPU_SET(i, &set);
	return sched_setaffinity(id, sizeof(set), &set);
}

void bench_pin(int core)
{
	if (pin(0, core) != 0)
		bench_say("cannot pin to core %d: figures will be noisier", core);
}

uint64_t bench_random(uint64_t *state)
{
	*state += UINT64_C(0x9e3779b97f4a7c15);
	return bench_mix(*state);
}

void bench_fill_uniform(uint32_t *ids, size_t n, uint64_t keys, uint64_t seed)
{
	for (size_t i = 0; i < n; i++)
		ids[i] = (uint32_t)(((bench_random(&seed) >> 32) * keys) >> 32);
}

/*
 * Zipf with exponent 0.99 by the method of Gray et al. ("Quickly generating billion-record synthetic databases"). Ranks
 * are spread over the ids, so that hot keys are not neighbours in memory because they were loaded one after another.
 */
void bench_fill_zipf(uint32_t *ids, size_t n, uint64_t keys, uint64_t seed)
{
	static uint64_t zeta_keys;
	static double zeta;
	const double theta = 0.99;
	if (zeta_keys != keys) {
		zeta = 0;
		for (uint64_t i = 1; i <= keys; i++)
			zeta += 1 / pow((double)i, theta);
		zeta_keys = keys;
	}
	double zeta2 = 1 + pow(0.5, theta), alpha = 1 / (1 - theta);
	double eta = (1 - pow(2.0 / (double)keys, 1 - theta)) / (1 - zeta2 / zeta);
	for (size_t i = 0; i < n; i++) {
		double u = (double)(bench_random(&seed) >> 11) / 9007199254740992.0, uz = u * zeta;
		uint64_t rank = uz < 1 ? 0 : uz < zeta2 ? 1 : (uint64_t)((double)keys * pow(eta * u - eta + 1, alpha));
		if (rank >= keys)
			rank = keys - 1;
		ids[i] = (uint32_t)((rank * UINT64_C(2654435761)) % keys); /* a prime: one to one */
	}
}

static int64_t tree_bytes;

static int tree_visit(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)path;
	(void)ftw;
	if (type == FTW_F)
		tree_bytes += (int64_t)st->st_blocks * 512;
	return 0;
}

int64_t bench_tree_bytes(const char *path)
{
	tree_bytes = 0;
	return nftw(path, tree_visit, 16, FTW_PHYS) == 0 ? tree_bytes : -1;
}

int list_has(const char *list, const char *name)
{
	size_t size = strlen(name);
	if (list == NULL)
		return 1;
	for (const char *at = list; (at = strstr(at, name)) != NULL; at += size)
		if ((at == list || at[-1] == ',') && (at[size] == ',' || at[size] == '\0'))
			return 1;
	return 0;
}

void bench_say(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fputs("bench: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
}

void bench_fail(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fputs("bench: FAILED: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(3);
}

int bench_server_start(char *const argv[], const char *log_path)
{
	pid_t parent = getpid(), pid = fork();
	if (pid < 0)
		return -1;
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		int fd = open(log_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		if (fd >= 0) {
			dup2(fd, 1);
			dup2(fd, 2);
		}
		bench_pin(-1);
		execvp(argv[0], argv);
		_exit(127);
	}
	return pid;
}

void bench_server_stop(int pid)
{
	if (pid <= 0)
		return;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

void bench_server_pin(int pid, int core)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	DIR *tasks = opendir(path);
	if (tasks == NULL)
		return;
	for (struct dirent *entry; (entry = readdir(tasks)) != NULL;)
		if (entry->d_name[0] != '.')
			pin(atoi(entry->d_name), core);
	closedir(tasks);
}
