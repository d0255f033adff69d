/*
 * Two clients that are both PID 1 of their own PID namespace share a pool, as two containers do: each sees what the
 * other writes, killing one leaves the other its life and its slot, and the count of clients is right at every moment.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ledger.h"

static const struct hn_option options[] = { { 0 } };

struct container {
	unsigned number;
	_Atomic int pid_outside; /* of the one that is PID 1 inside; -1: no permission */
	_Atomic int pid_inside;
	_Atomic int ready, stop, bad;
	_Atomic uint64_t ops;
	struct hn_ledger *ledger, *other;
	struct hn_waits waits;
};

static struct container *containers;
static char dir[300];

static int inside(void *arg)
{
	struct container *c = arg;
	latz_options o = hn_options(dir, LATZ_CREATE);
	latz_value value = LATZ_VALUE_INIT;
	struct hn_meter meter;
	latz_pool *pool;
	int rc = latz_open("pool", &o, &pool);

	c->pid_inside = getpid();
	if (rc != LATZ_OK) {
		hn_fail("PID 1 number %u: open: %s (%s)", c->number, hn_rc(rc), latz_error_detail());
		c->bad = 1;
		return 1;
	}
	hn_meter_open(&meter);
	while (!c->stop && !c->bad) {
		for (uint32_t i = 0; i < c->ledger->count; i++) {
			char key[HN_KEY_MAX];
			uint64_t number, start = hn_meter_begin(&meter);

			rc = i % 5 ? hn_ledger_set(c->ledger, pool, i) : hn_ledger_delete(c->ledger, pool, i);
			hn_meter_end(&meter, start, &c->waits);
			if (rc != LATZ_OK && rc != LATZ_NOTFOUND && c->bad++ < 3)
				hn_fail("PID 1 number %u: write: %s (%s)", c->number, hn_rc(rc), latz_error_detail());
			rc = latz_get(pool, hn_key(key, c->other->owner, i), &value);
			if (rc == LATZ_OK && hn_value_check(value.data, value.size, c->other->owner, i, &number) != 0 &&
			    c->bad++ < 3)
				hn_fail("PID 1 number %u: torn value", c->number);
			c->ops++;
		}
		c->ready = 1;
		hn_sleep_us(100);
	}
	latz_value_free(&value);
	rc = latz_close(pool);
	return rc != LATZ_OK || c->bad ? 1 : 0;
}

/* Stands outside the new namespace as the parent of its PID 1 and passes on how that ended. */
static int outside(void *arg)
{
	struct container *c = arg;
	int status;
	pid_t pid;

	if (unshare(CLONE_NEWPID) != 0) {
		c->pid_outside = -1;
		return 0;
	}
	pid = hn_fork(inside, c);
	c->pid_outside = pid;
	if (waitpid(pid, &status, 0) != pid)
		return 1;
	if (WIFSIGNALED(status))
		return 100 + WTERMSIG(status);
	return WEXITSTATUS(status);
}

static int count_one(const latz_pool_info *info, void *arg)
{
	if (strcmp(info->name, "pool") == 0)
		*(int *)arg = (int)info->clients;
	return 0;
}

static int clients_now(void)
{
	int n = 0;

	if (latz_list(dir, count_one, &n) != LATZ_OK)
		return -1;
	return n;
}

static void await_clients(int want, const char *when)
{
	uint64_t start = hn_now_ns();
	int n = -1;

	while (hn_since_ms(start) < 1000 && (n = clients_now()) != want)
		hn_sleep_us(1000);
	if (n != want)
		hn_fail("%s: %d clients counted, %d are there", when, n, want);
	else
		printf("%-40s %d clients, right after %.1f ms\n", when, n, hn_since_ms(start));
}

static int checker(void *arg)
{
	latz_options o = hn_options(dir, LATZ_NO_THREAD);
	latz_pool *pool;
	int rc = latz_open("pool", &o, &pool);

	(void)arg;
	if (rc != LATZ_OK) {
		hn_fail("open beside the survivor: %s (%s)", hn_rc(rc), latz_error_detail());
		return 1;
	}
	hn_maintain(pool, 2000);
	hn_ledger_check(containers[0].ledger, pool, 0, "keys of the killed one");
	hn_verify(pool, "after one PID 1 was killed");
	rc = latz_close(pool);
	return rc != LATZ_OK || hn_failures() ? 1 : 0;
}

static int await_ready(unsigned i)
{
	for (uint64_t start = hn_now_ns(); hn_since_ms(start) < 10000; hn_sleep_us(1000)) {
		if (containers[i].ready)
			return 1;
		if (containers[i].pid_outside == -1)
			return -1;
	}
	return 0;
}

static int body(void)
{
	pid_t pids[2];
	uint64_t ops;
	char path[400];

	containers = hn_shared(2 * sizeof *containers);
	hn_subdir(dir, sizeof dir, "pid1");
	for (unsigned i = 0; i < 2; i++) {
		containers[i].number = i;
		containers[i].ledger = hn_ledger_new(i + 1, 300, 3000);
	}
	for (unsigned i = 0; i < 2; i++)
		containers[i].other = containers[1 - i].ledger;
	for (unsigned i = 0; i < 2; i++) {
		int ready;

		pids[i] = hn_fork(outside, &containers[i]);
		ready = await_ready(i);
		if (ready < 0) {
			printf("1..0 # SKIP unshare(CLONE_NEWPID) is not permitted\n");
			return HN_SKIP;
		}
		if (!ready)
			hn_fail("PID 1 number %u does not get ready", i);
		else if (containers[i].pid_inside != 1)
			hn_fail("number %u is PID %d", i, containers[i].pid_inside);
	}
	await_clients(2, "two, both PID 1:");
	hn_sleep_us(100000);
	hn_kill(containers[0].pid_outside, SIGKILL);
	hn_expect(pids[0], 5000, 100 + SIGKILL, "the killed PID 1");
	await_clients(1, "one killed:");
	ops = containers[1].ops;
	hn_sleep_us(50000);
	if (containers[1].ops == ops)
		hn_fail("the other PID 1 does not go on");
	hn_expect(hn_fork(checker, NULL), 10000, 0, "checker");
	/* The guard of the first lived in its namespace and died with it: the second's death must be noticed all the
	 * same. */
	hn_sleep_us(1500000);
	hn_kill(containers[1].pid_outside, SIGKILL);
	hn_expect(pids[1], 5000, 100 + SIGKILL, "the other PID 1");
	snprintf(path, sizeof path, "%s/pool", dir);
	for (uint64_t start = hn_now_ns();; hn_sleep_us(1000)) {
		if (access(path, F_OK) != 0) {
			printf("%-40s files gone after %.1f ms\n", "both killed:", hn_since_ms(start));
			break;
		}
		if (hn_since_ms(start) > 100) {
			printf("%-40s files still there: no guard outlived the namespaces, the next list sweeps\n",
			       "both killed:");
			break;
		}
	}
	if (clients_now() != 0 || access(path, F_OK) == 0)
		hn_fail("a pool without users survived latz_list");
	printf("pid1: the survivor's longest operation %.2f ms, of it waiting %.2f ms; %d failures\n",
	       (double)containers[1].waits.max_wall_ns / 1e6, (double)containers[1].waits.max_net_ns / 1e6,
	       hn_failures());
	return hn_failures() ? 1 : 0;
}

int main(int argc, char **argv)
{
	const struct hn_program program = { "crash_pid1", "two clients that are both PID 1 share a pool",
		                            options,      60,
		                            NULL,         body };

	return hn_main(&program, argc, argv);
}
