/*
 * Clocks, this process, randomness, barriers across processes, starting the guard.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "os/os.h"

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

int64_t lzi_clock_mono_ms(void)
{
	return (int64_t)(clock_ns(CLOCK_MONOTONIC) / 1000000);
}

uint64_t lzi_clock_mono_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

int64_t lzi_clock_wall_ms(void)
{
	return (int64_t)(clock_ns(CLOCK_REALTIME) / 1000000);
}

uint64_t lzi_clock_cpu_ns(void)
{
	return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

void lzi_sleep_us(unsigned us)
{
	struct timespec ts = { us / 1000000, (long)(us % 1000000) * 1000 };

	nanosleep(&ts, NULL);
}

__thread __attribute__((tls_model("initial-exec"))) uint64_t lzi_waited_ns;

/* Of workers: who closes what they work for waits for them, and what they leave they come back to. */
static __thread __attribute__((tls_model("initial-exec"))) int is_worker;

void lzi_wait_begin_round(void)
{
	is_worker = 1;
	lzi_wait_begin();
}

static uint64_t left_of(unsigned timeout_ms, unsigned more)
{
	uint64_t most = (uint64_t)timeout_ms * ((is_worker ? 1 : LZI_WAITS) + more) * 1000000;

	return lzi_waited_ns < most ? most - lzi_waited_ns : 0;
}

uint64_t lzi_wait_left_ns(unsigned timeout_ms)
{
	return left_of(timeout_ms, 0);
}

uint64_t lzi_wait_left_for_ns(unsigned timeout_ms)
{
	return left_of(timeout_ms, 1);
}

void lzi_wait_charge(uint64_t since_ns)
{
	lzi_waited_ns += lzi_clock_mono_ns() - since_ns;
}

/* The C library asks the kernel each time, and we ask at every lock. It is for people to read: a child made past the
 * library's fork() shows its parent's. */
static uint32_t process_id;

static void forget_id(void)
{
	lzi_store_relaxed(&process_id, 0u);
}

/* Before main(): nobody forks yet. */
__attribute__((constructor)) static void watch_forks(void)
{
	(void)!pthread_atfork(NULL, NULL, forget_id);
}

uint32_t lzi_process_id(void)
{
	uint32_t id = lzi_load_relaxed(&process_id);

	if (lzi_unlikely(id == 0)) {
		id = (uint32_t)getpid();
		lzi_store_relaxed(&process_id, id);
	}
	return id;
}

void lzi_process_command(char name[16])
{
	FILE *file = fopen("/proc/self/comm", "re");
	size_t n = 0;

	memset(name, 0, 16);
	if (file != NULL) {
		n = fread(name, 1, 15, file);
		fclose(file);
	}
	if (n > 0 && name[n - 1] == '\n')
		name[n - 1] = '\0';
}

uint64_t lzi_process_start(void)
{
	FILE *file = fopen("/proc/self/stat", "re");
	char text[1024] = "";
	const char *at;
	size_t n = 0;
	int i;

	if (file != NULL) {
		n = fread(text, 1, sizeof text - 1, file);
		fclose(file);
	}
	text[n] = '\0';
	at = strrchr(text, ')'); /* its name may hold anything; then the state, 18 numbers, and this one */
	for (i = 0; at != NULL && i < 20; i++)
		at = strchr(at + 1, ' ');
	return at == NULL ? 0 : strtoull(at, NULL, 10);
}

uint32_t lzi_process_user(void)
{
	return (uint32_t)getuid();
}

int lzi_random(void *data, size_t size)
{
	uint8_t *p = data;

	while (size > 0) {
		ssize_t n = getrandom(p, size, 0);

		if (n < 0 && errno != EINTR)
			return lzi_error_sys(errno, "getrandom");
		if (n > 0) {
			p += n;
			size -= (size_t)n;
		}
	}
	return LATZ_OK;
}

void lzi_boot_id(uint8_t id[16])
{
	char text[64] = "";
	FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
	size_t i, n = 0;

	memset(id, 0, 16);
	if (file == NULL)
		return;
	if (fgets(text, sizeof text, file) == NULL)
		text[0] = '\0';
	fclose(file);
	for (i = 0; text[i] != '\0' && n < 32; i++) {
		int c = (unsigned char)text[i],
		    v = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;

		if (v < 0)
			continue;
		id[n / 2] = (uint8_t)(id[n / 2] << 4 | v);
		n++;
	}
}

static int membarrier_call(int command)
{
	return (int)syscall(SYS_membarrier, command, 0, 0);
}

int lzi_barrier_register(void)
{
	return membarrier_call(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED) == 0;
}

int lzi_barrier_all(void)
{
	if (membarrier_call(MEMBARRIER_CMD_GLOBAL_EXPEDITED) != 0) {
		(void)lzi_error_sys(errno, "membarrier");
		return lzi_error(LATZ_UNSUPPORTED, "%s", lzi_error_text());
	}
	return LATZ_OK;
}

int lzi_process_spawn(const char *path, const char *argument)
{
	char *argv[3] = { (char *)(uintptr_t)path, (char *)(uintptr_t)argument, NULL };
	char *envp[1] = { NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, defaults;
	pid_t pid;
	int err, status;

	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_RDWR, 0);
	posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_RDWR, 0);
	posix_spawn_file_actions_addclosefrom_np(&actions, 3);
	sigemptyset(&none);
	sigfillset(&defaults);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &defaults);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	err = posix_spawn(&pid, path, &actions, &attr, argv, envp);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	if (err != 0)
		return lzi_error_sys(err, "start %s", path);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return LATZ_OK;
}
