/*
 * Child processes of the durability benchmark: this program executed anew with a job and its words. The child's
 * configuration comes on its command line, its results go to its stdout. The job that every system has, setting
 * durably, is here; latzero's own are elsewhere.
 */
#define _GNU_SOURCE
#include "durable.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- Ours ---- */

struct child child_start(const char *job, const char *const args[])
{
	struct child c;
	int in[2], out[2];
	char keys[24], sync_keys[24], seconds[24];
	const char *argv[ARGS_MAX + 8] = {
		"latzero-bench-durable", "child", durable_config.shm, durable_config.disk, keys, sync_keys, seconds, job
	};
	snprintf(keys, sizeof(keys), "%llu", (unsigned long long)durable_config.keys);
	snprintf(sync_keys, sizeof(sync_keys), "%llu", (unsigned long long)durable_config.sync_keys);
	snprintf(seconds, sizeof(seconds), "%.3f", durable_config.seconds);
	for (int i = 0; args[i] != NULL; i++)
		argv[8 + i] = args[i];
	if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0)
		bench_fail("pipe");
	pid_t parent = getpid();
	c.pid = fork();
	if (c.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		dup2(in[0], 0);
		dup2(out[1], 1);
		execv("/proc/self/exe", (char *const *)argv);
		_exit(127);
	}
	if (c.pid < 0)
		bench_fail("fork");
	close(in[0]);
	close(out[1]);
	c.in = in[1];
	c.out = out[0];
	return c;
}

static int read_all(int fd, void *to, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t got = read(fd, (char *)to + done, size - done);
		if (got <= 0)
			return -1;
		done += (size_t)got;
	}
	return 0;
}

int child_read(const struct child *c, void *to, size_t size)
{
	return read_all(c->out, to, size);
}

void child_go(const struct child *c)
{
	if (write(c->in, "g", 1) != 1)
		bench_fail("a child process ended early");
}

int child_end(struct child *c)
{
	int status;
	close(c->in);
	close(c->out);
	if (waitpid(c->pid, &status, 0) != c->pid)
		bench_fail("a child process is not there");
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void child_kill(struct child *c)
{
	kill(c->pid, SIGKILL);
	child_end(c);
}

/* ---- The child's ---- */

int child_write(const void *from, size_t size)
{
	return write(1, from, size) == (ssize_t)size ? 0 : -1;
}

int child_ready(void)
{
	char byte = 'r';
	return child_write(&byte, 1) == 0 && read_all(0, &byte, 1) == 0 ? 0 : -1;
}

struct setter {
	const struct durable_system *system;
	void *db;
	uint64_t seed, until, sets;
	int failed;
};

static void *set_for_a_while(void *arg)
{
	struct setter *s = arg;
	uint8_t key[KEY_SIZE], value[VALUE_SIZE];
	do {
		uint64_t id = bench_random(&s->seed) % durable_config.sync_keys;
		bench_key(id, key);
		bench_value(id, s->seed, value);
		s->failed = s->system->set(s->db, key, value) != 0;
		if (s->failed)
			bench_say("%s: set: %s", s->system->name, durable_reason());
		s->sets++;
	} while (!s->failed && bench_now_ns() < s->until);
	return NULL;
}

/* set SYSTEM THREADS SEED SECONDS: sets durably; writes its rate (sets/s), negative on failure. */
static int job_set(char **argv)
{
	struct setter setters[CLIENTS];
	pthread_t threads[CLIENTS];
	const struct durable_system *system = durable_system_find(argv[0]);
	int n = atoi(argv[1]);
	struct store_spec spec = { STORE_SYNC, VALUE_SIZE, 0 };
	if (system == NULL || n < 1 || n > CLIENTS)
		return 2;
	void *db = system->open(&spec);
	if (db == NULL) {
		bench_say("%s: a client cannot open the store: %s", system->name, durable_reason());
		return 1;
	}
	memset(setters, 0, sizeof(setters));
	for (int i = 0; i < n; i++)
		setters[i] =
			(struct setter){ system, db, strtoull(argv[2], NULL, 10) + (uint64_t)i * 1000003, 0, 0, 0 };
	if (child_ready() != 0)
		return 1;
	uint64_t start = bench_now_ns();
	for (int i = 0; i < n; i++) {
		setters[i].until = start + (uint64_t)(atof(argv[3]) * 1e9);
		if (pthread_create(&threads[i], NULL, set_for_a_while, &setters[i]) != 0)
			return 1;
	}
	double sets = 0;
	int failed = 0;
	for (int i = 0; i < n; i++) {
		pthread_join(threads[i], NULL);
		sets += (double)setters[i].sets;
		failed |= setters[i].failed;
	}
	double rate = failed ? -1 : sets / durable_seconds(start);
	system->close(db);
	return child_write(&rate, sizeof(rate)) != 0;
}

/* child SHM DISK KEYS SYNC_KEYS SECONDS JOB WORD... */
int child_main(int argc, char **argv)
{
	int status = 2;
	if (argc < 8)
		return 2;
	durable_config.shm = argv[2];
	durable_config.disk = argv[3];
	durable_config.keys = strtoull(argv[4], NULL, 10);
	durable_config.sync_keys = strtoull(argv[5], NULL, 10);
	durable_config.seconds = atof(argv[6]);
	if (strcmp(argv[7], "set") == 0 && argc == 12)
		return job_set(argv + 8);
#ifdef HAVE_LATZERO
	if (durable_job(argv[7], argc - 8, argv + 8, &status) == 0)
		return status;
#endif
	return status;
}
