/*
 * The life of a pool: its count of clients is right at every moment, its files are gone within 100 ms when its last
 * users are killed all at once, and processes that create, open, close and destroy pools while being killed at random
 * get only documented errors and leave nothing behind, guards included.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../crash/ledger.h"

static uint64_t processes = 128, limit_ms = 100, churners = 32, cycles = 500, attempts = 3;
static int is_short;

static const struct hn_option options[] = {
	{ "short", "20 cycles instead of 500", NULL, NULL, &is_short },
	{ "processes", "how many attach and are killed at once (default 128, at most 250)", &processes, NULL, NULL },
	{ "limit-ms", "the files must be gone by then (default 100)", &limit_ms, NULL, NULL },
	{ "churners", "processes that create and destroy (default 32, at most 64)", &churners, NULL, NULL },
	{ "cycles", "create/open/close/destroy cycles of each (default 500)", &cycles, NULL, NULL },
	{ "attempts", "a mass death over the limit is tried again so often (default 3)", &attempts, NULL, NULL },
	{ 0 }
};

#define PROCESSES_MAX 250
#define CHURNERS_MAX 64
#define POOLS 8

static char dir[300];

/* ---- 128 attach, and are killed at once ------------------------------------------------------------------------- */

struct attacher {
	_Atomic int ready, go;
	int megabytes; /* touched memory makes dying slower */
};

static int attach_and_stay(void *arg)
{
	struct attacher *a = arg;
	latz_options o = hn_options(dir, LATZ_CREATE);
	latz_pool *pool;
	int rc = latz_open("crowd", &o, &pool);
	char key[32];

	if (rc != LATZ_OK) {
		hn_fail("attach: %s (%s)", hn_rc(rc), latz_error_detail());
		return 1;
	}
	snprintf(key, sizeof key, "from/%d", (int)getpid());
	rc = latz_set(pool, latz_str(key), latz_str("here"), NULL);
	if (rc != LATZ_OK)
		hn_fail("set: %s (%s)", hn_rc(rc), latz_error_detail());
	if (a->megabytes) {
		char *p = malloc((size_t)a->megabytes << 20);

		if (p)
			memset(p, 1, (size_t)a->megabytes << 20);
	}
	a->ready = 1;
	while (!a->go)
		hn_sleep_us(20000);
	rc = latz_close(pool);
	return rc == LATZ_OK && !hn_failures() ? 0 : 1;
}

static int count_one(const latz_pool_info *info, void *arg)
{
	if (strcmp(info->name, "crowd") == 0)
		*(int *)arg = info->status == LATZ_OK ? (int)info->clients : -info->status;
	return 0;
}

static int clients_now(void)
{
	int n = 0, rc = latz_list(dir, count_one, &n);

	return rc == LATZ_OK ? n : -1;
}

/* Those who left by themselves or just came are counted at once; the killed as soon as the kernel let go of them. */
static double expect_clients(int want, int patience_ms, const char *when)
{
	uint64_t start = hn_now_ns();
	int n;

	while ((n = clients_now()) != want && hn_since_ms(start) < patience_ms)
		hn_sleep_us(500);
	if (n != want)
		hn_fail("%s: %d clients are counted, %d are there", when, n, want);
	return hn_since_ms(start);
}

static double await_gone(const char *path, int patience_ms)
{
	uint64_t start = hn_now_ns();

	while (access(path, F_OK) == 0 && hn_since_ms(start) < patience_ms)
		hn_sleep_us(500);
	return hn_since_ms(start);
}

static double crowd(void)
{
	static pid_t pids[PROCESSES_MAX];
	struct attacher *a = hn_shared(PROCESSES_MAX * sizeof *a);
	int n = (int)processes, alone = n / 8, left;
	double gone, most = 0, took;
	char path[400];
	int status;

	snprintf(path, sizeof path, "%s/crowd", dir);
	expect_clients(0, 0, "nobody yet");
	for (int i = 0; i < n; i++) {
		a[i].megabytes = i % 16 == 0 ? 16 : 0;
		pids[i] = hn_fork(attach_and_stay, &a[i]);
		for (uint64_t start = hn_now_ns(); !a[i].ready && hn_since_ms(start) < 10000;)
			hn_sleep_us(200);
		if (i % 8 == 0 || i == n - 1)
			expect_clients(i + 1, 0, "attached one after another");
	}
	left = n;
	/* A quarter leaves properly, one after another, then some are killed one by one: the count follows. */
	for (int i = 0; i < n / 4; i++) {
		a[i].go = 1;
		hn_expect(pids[i], 5000, 0, "one that leaves");
		left--;
		if (i % 8 == 0)
			expect_clients(left, 0, "left by itself");
	}
	for (int i = n / 4; i < n / 4 + alone; i++) {
		hn_kill(pids[i], SIGKILL);
		hn_wait(pids[i], 5000, &status);
		left--;
		took = expect_clients(left, 100, "killed alone");
		most = took > most ? took : most;
	}
	for (int i = n / 4 + alone; i < n; i++)
		hn_kill(pids[i], SIGKILL);
	gone = await_gone(path, 5000);
	for (int i = n / 4 + alone; i < n; i++)
		hn_wait(pids[i], 5000, &status);
	if (clients_now() != 0)
		hn_fail("after the mass death somebody is still counted");
	printf("crowd: %d attached, count right within %.1f ms of a death, last %d killed at once: files gone after "
	       "%.1f ms "
	       "(limit %llu)\n",
	       n, most, left, gone, (unsigned long long)limit_ms);
	fflush(stdout);
	return gone;
}

/* ---- Create, open, close, destroy ------------------------------------------------------------------------------- */

struct churner {
	unsigned number;
	_Atomic uint64_t done; /* cycles, kept across deaths */
	_Atomic uint64_t codes[32];
	_Atomic uint64_t opened;
	_Atomic uint64_t bad; /* outlives the process that found it, as it may be killed next */
	uint64_t lives;
};

static struct churner *churner;

/* Documented, and possible while others destroy the pool at any moment. */
static int is_expected(int rc)
{
	return rc == LATZ_OK || rc == LATZ_NOTFOUND || rc == LATZ_EXISTS || rc == LATZ_DEAD;
}

static void note(struct churner *c, const char *what, int rc)
{
	int slot = rc == LATZ_OK ? 31 : -1000 - rc;

	if (slot >= 0 && slot < 32)
		c->codes[slot]++;
	if (!is_expected(rc) && c->bad++ < 3)
		hn_fail("churner %u: %s: %s (%s)", c->number, what, hn_rc(rc), latz_error_detail());
}

static void use_pool(struct churner *c, latz_pool *pool, uint64_t *rnd)
{
	latz_value value = LATZ_VALUE_INIT;

	for (int i = 0; i < 5; i++) {
		char key[32];

		snprintf(key, sizeof key, "k%llu", (unsigned long long)(hn_random(rnd) % 50));
		note(c, "set", latz_set(pool, latz_str(key), latz_str("the value"), NULL));
		note(c, "get", latz_get(pool, latz_str(key), &value));
		if (value.size != 9 && value.size != 0)
			if (c->bad++ < 3)
				hn_fail("churner %u: a value of %zu bytes", c->number, value.size);
	}
	latz_value_free(&value);
}

static int churner_run(void *arg)
{
	struct churner *c = arg;
	uint64_t rnd = hn_seed ^ hn_mix(c->number * 131u + c->lives);

	while (c->done < cycles && c->bad < 5) {
		char name[16];
		unsigned flags = hn_random(&rnd) % 4   ? LATZ_CREATE
		                 : hn_random(&rnd) % 2 ? LATZ_CREATE | LATZ_EXCLUSIVE
		                                       : 0;
		latz_options o;
		latz_pool *pool;
		int rc;

		snprintf(name, sizeof name, "pool%llu", (unsigned long long)(hn_random(&rnd) % POOLS));
		flags |= hn_random(&rnd) % 2 ? LATZ_NO_THREAD : 0;
		o = hn_options(dir, flags);
		rc = latz_open(name, &o, &pool);
		note(c, "open", rc);
		if (rc == LATZ_OK) {
			c->opened++;
			use_pool(c, pool, &rnd);
			if (hn_random(&rnd) % 8 == 0)
				note(c, "destroy", latz_destroy(name, &o));
			note(c, "close", latz_close(pool));
		} else if (hn_random(&rnd) % 8 == 0) {
			note(c, "destroy", latz_destroy(name, &o));
		}
		c->done++;
	}
	return 0;
}

static void churn(void)
{
	pid_t pids[CHURNERS_MAX] = { 0 };
	uint64_t rnd = hn_seed, start = hn_now_ns(), kills = 0, opened = 0;
	unsigned alive = (unsigned)churners;
	int status;

	for (unsigned i = 0; i < churners; i++) {
		churner[i].number = i;
		pids[i] = hn_fork(churner_run, &churner[i]);
	}
	while (alive && hn_since_ms(start) < (is_short ? 60e3 : 1200e3)) {
		unsigned victim = (unsigned)(hn_random(&rnd) % churners);

		hn_sleep_us(1000 + (unsigned)(hn_random(&rnd) % 10000));
		if (pids[victim]) {
			hn_kill(pids[victim], SIGKILL);
			kills++;
		}
		for (unsigned i = 0; i < churners; i++) {
			if (!pids[i] || waitpid(pids[i], &status, WNOHANG) != pids[i])
				continue;
			pids[i] = 0;
			if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
				churner[i].lives++;
				pids[i] = hn_fork(churner_run, &churner[i]);
				continue;
			}
			alive--;
			if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
				hn_fail("churner %u ended with %s", i, hn_status_text(status));
		}
	}
	for (unsigned i = 0; i < churners; i++) {
		opened += churner[i].opened;
		if (churner[i].bad)
			hn_fail("churner %u: %llu results that nothing explains", i,
			        (unsigned long long)churner[i].bad);
		if (!pids[i])
			continue;
		hn_fail("churner %u did not get through: %llu cycles", i, (unsigned long long)churner[i].done);
		hn_kill(pids[i], SIGKILL);
		hn_wait(pids[i], 5000, &status);
	}
	printf("churn: %llu processes x %llu cycles over %d names in %.1f s, %llu killed, %llu opens done; results:",
	       (unsigned long long)churners, (unsigned long long)cycles, POOLS, hn_since_ms(start) / 1e3,
	       (unsigned long long)kills, (unsigned long long)opened);
	for (int code = 0; code < 31; code++) {
		uint64_t n = 0;

		for (unsigned i = 0; i < churners; i++)
			n += churner[i].codes[code];
		if (n)
			printf(" %s %llu", hn_rc(-1000 - code), (unsigned long long)n);
	}
	printf("\n");
}

/* With everybody gone the guard takes the last pools away by itself; then nothing and nobody is left. */
static void nothing_left(void)
{
	uint64_t start = hn_now_ns();
	char found[400];
	pid_t users[8];
	unsigned removed = 0, swept = 0;
	int n = 0, rc;

	while (hn_since_ms(start) < 3000 && (n = hn_path_users(dir, users, 8)) > 0)
		hn_sleep_us(10000);
	printf("left: guards gone after %.0f ms", hn_since_ms(start));
	if (n > 0)
		hn_fail("%d processes still use the directory, e.g. %d", n, (int)users[0]);
	/* A guard that is just ending keeps the directory locked for its last moments. */
	for (int tries = 0; tries < 5 && hn_count_entries(dir, NULL, 0) > 0; tries++) {
		rc = latz_sweep(dir, &removed);
		swept += removed;
		if (rc != LATZ_OK)
			hn_fail("sweep: %s (%s)", hn_rc(rc), latz_error_detail());
		hn_sleep_us(20000);
	}
	n = hn_count_entries(dir, found, sizeof found);
	printf(", sweep removed %u, entries left in the directory: %d%s\n", swept, n, n > 0 ? found : "");
	for (char *p = strtok(found, " "); n > 0 && p; p = strtok(NULL, " "))
		if (p[0] != '.' || strncmp(p, ".tmp", 4) == 0 || strncmp(p, ".new", 4) == 0)
			hn_fail("left behind: %s", p);
	if (n > 2)
		hn_fail("%d entries left behind", n);
}

static int body(void)
{
	double gone = 0;

	if (is_short)
		cycles = 20;
	processes = processes > PROCESSES_MAX ? PROCESSES_MAX : processes;
	churners = churners > CHURNERS_MAX ? CHURNERS_MAX : churners;
	churner = hn_shared(CHURNERS_MAX * sizeof *churner);
	hn_subdir(dir, sizeof dir, "life");
	for (uint64_t i = 0; i < attempts; i++) {
		gone = crowd();
		if (gone <= (double)limit_ms)
			break;
	}
	if (gone > (double)limit_ms)
		hn_fail("files gone %.1f ms after the last user's death (limit %llu)", gone,
		        (unsigned long long)limit_ms);
	nothing_left();
	churn();
	nothing_left();
	printf("life: %d failures\n", hn_failures());
	return hn_failures() ? 1 : 0;
}

static unsigned watchdog(void)
{
	return is_short ? 120 : 1800;
}

int main(int argc, char **argv)
{
	const struct hn_program program = { "life",   "attach, count, die at once, create and destroy",
		                            options,  0,
		                            watchdog, body };

	return hn_main(&program, argc, argv);
}
