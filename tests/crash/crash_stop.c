/*
 * Stops a process (SIGSTOP) at named points and at random moments: the others' point reads never stall, a write that
 * needs what the stopped one holds fails with LATZ_TIMEOUT naming its pid, and after SIGCONT everything goes on.
 */
#define _GNU_SOURCE
#include "config.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/point.h"
#include "workload.h"

#define BYSTANDERS 2

static uint64_t stop_ms = 3000, limit_ms = 5, timeout_ms = 200, attempts = 3, random_rounds = 10, step = 1;
static const char *filter, *source_dir;
static int is_short;

static const struct hn_option options[] = {
	{ "short", "stops of 400 ms, at few points", NULL, NULL, &is_short },
	{ "stop-ms", "how long a stop lasts (default 3000)", &stop_ms, NULL, NULL },
	{ "limit-ms", "ceiling for a point read meanwhile (default 5)", &limit_ms, NULL, NULL },
	{ "attempts", "a stall is tried again so often before it fails (default 3)", &attempts, NULL, NULL },
	{ "random", "rounds of stops at random moments (default 10)", &random_rounds, NULL, NULL },
	{ "every", "only every N-th point (default 1)", &step, NULL, NULL },
	{ "filter", "only points whose name contains TEXT", NULL, &filter, NULL },
	{ "src", "where the sources are, for the names (default $srcdir/src or src)", NULL, &source_dir, NULL },
	{ 0 }
};

struct outcome {
	int reached, bad;
	double read_wall_ms, read_net_ms;
	uint64_t timeouts;
};

static struct wl_names names;
static struct wl_victim *victim;
static struct wl_bystander *bystanders;
static char dir[300];
static uint64_t timeouts_seen;

static int checker_run(void *arg)
{
	const char *when = arg;
	latz_options o = hn_options(dir, LATZ_CREATE | LATZ_NO_THREAD);
	latz_pool *pool;
	int rc;

	lzi_point_arm(NULL, 0, 0);
	rc = latz_open("pool", &o, &pool);
	if (rc != LATZ_OK) {
		hn_fail("%s: open: %s (%s)", when, hn_rc(rc), latz_error_detail());
		return 1;
	}
	rc = hn_maintain(pool, 5000);
	if (rc != LATZ_OK && rc != LATZ_BUSY)
		hn_fail("%s: maintain: %s (%s)", when, hn_rc(rc), latz_error_detail());
	wl_victim_check(victim, pool, when);
	hn_verify(pool, when);
	rc = latz_close(pool);
	return rc != LATZ_OK || hn_failures() ? 1 : 0;
}

/* Waits until the victim stops by itself (1), or ends (0). */
static int await_stop(pid_t pid, unsigned limit)
{
	uint64_t start = hn_now_ns();
	int status;

	while (hn_since_ms(start) < limit) {
		pid_t got = waitpid(pid, &status, WNOHANG | WUNTRACED);

		if (got == pid)
			return WIFSTOPPED(status) ? 1 : 0;
		hn_sleep_us(500);
	}
	return -1;
}

static void clear_figures(void)
{
	for (int i = 0; i < BYSTANDERS; i++) {
		bystanders[i].blamed = 0;
		bystanders[i].timeouts = 0;
	}
}

/* What the bystanders went through since `from`, and whom they blamed. */
static void judge(struct outcome *out, pid_t pid, uint64_t from, const uint64_t *ops, const char *when)
{
	for (int i = 0; i < BYSTANDERS; i++) {
		struct wl_bystander *b = &bystanders[i];

		hn_waits_since(&b->reads, from, &out->read_wall_ms, &out->read_net_ms);
		out->timeouts += b->timeouts;
		if (b->timeouts && b->blamed != pid)
			hn_fail("%s: LATZ_TIMEOUT names pid %lld, stopped is %d", when, (long long)b->blamed, (int)pid);
		if (b->ops == ops[i])
			hn_fail("%s: bystander %d did nothing at all meanwhile", when, i);
	}
}

static struct outcome try_stop(const char *point, unsigned hit, unsigned random_us)
{
	struct outcome out = { 0 };
	struct hn_ledger *ledger = victim->ledger;
	int before = hn_failures(), stopped;
	uint64_t ops[BYSTANDERS], from;
	pid_t pids[BYSTANDERS], pid;
	char when[128];

	snprintf(when, sizeof when, "stop at %s", point ? point : "random");
	hn_subdir(dir, sizeof dir, "stop");
	hn_ledger_reset(ledger);
	memset(victim, 0, sizeof *victim);
	*victim = (struct wl_victim){ .dir = dir,
		                      .pool = "pool",
		                      .names = &names,
		                      .point = point,
		                      .countdown = hit,
		                      .action = LZI_POINT_STOP,
		                      .scene = WL_JOIN,
		                      .rounds = point ? 1 : 1000,
		                      .ledger = ledger };
	for (int i = 0; i < BYSTANDERS; i++) {
		memset(&bystanders[i], 0, sizeof bystanders[i]);
		bystanders[i] = (struct wl_bystander){ .dir = dir,
			                               .pool = "pool",
			                               .owner = 10 + (uint32_t)i,
			                               .keys = 400,
			                               .peek = ledger,
			                               .tolerate_timeout = 1,
			                               .timeout_ms = (unsigned)timeout_ms };
		pids[i] = hn_fork(wl_bystander_run, &bystanders[i]);
	}
	for (uint64_t start = hn_now_ns(); hn_since_ms(start) < 5000 && !(bystanders[0].ready && bystanders[1].ready);)
		hn_sleep_us(500);
	pid = hn_fork(wl_victim_run, victim);
	if (point) {
		stopped = await_stop(pid, 30000);
	} else {
		hn_sleep_us(random_us);
		hn_kill(pid, SIGSTOP);
		stopped = await_stop(pid, 5000);
	}
	from = hn_now_ns();
	clear_figures();
	for (int i = 0; i < BYSTANDERS; i++)
		ops[i] = bystanders[i].ops;
	out.reached = stopped == 1;
	if (stopped == 1) {
		hn_sleep_us((unsigned)stop_ms * 1000);
		judge(&out, pid, from, ops, when);
		hn_kill(pid, SIGCONT);
	}
	/* From here on nobody is stopped: no write may time out any more. */
	if (!point) {
		hn_sleep_us(50000);
		hn_kill(pid, SIGKILL);
	}
	if (stopped != 0 && hn_expect(pid, 60000, point ? 0 : -SIGKILL, when) == 0 && stopped == 1) {
		for (int i = 0; i < BYSTANDERS; i++) {
			uint64_t laps = bystanders[i].laps;

			for (uint64_t start = hn_now_ns(); bystanders[i].laps < laps + 2 && hn_since_ms(start) < 5000;)
				hn_sleep_us(500);
			if (bystanders[i].laps < laps + 2)
				hn_fail("%s: bystander %d does not go on after SIGCONT", when, i);
			bystanders[i].tolerate_timeout = 0;
		}
		hn_expect(hn_fork(checker_run, when), 30000, 0, when);
	}
	for (int i = 0; i < BYSTANDERS; i++)
		bystanders[i].stop = 1;
	for (int i = 0; i < BYSTANDERS; i++)
		hn_expect(pids[i], 5000, 0, "bystander");
	out.bad = hn_failures() != before;
	return out;
}

static void stop_at(const char *point, unsigned random_us)
{
	struct outcome out = { 0 };
	double worst = 0;

	for (uint64_t n = 0; n < attempts; n++) {
		out = try_stop(point, 3, random_us);
		if (point && !out.reached && !out.bad)
			out = try_stop(point, 1, random_us);
		worst = out.read_net_ms > worst ? out.read_net_ms : worst;
		if (out.bad || !out.reached || out.read_net_ms <= (double)limit_ms)
			break;
	}
	if (out.reached && out.read_net_ms > (double)limit_ms)
		hn_fail("%s: a read stalled %.1f ms (ceiling %llu)", point ? point : "random", out.read_net_ms,
		        (unsigned long long)limit_ms);
	timeouts_seen += out.timeouts;
	printf("%-28s %-12s %9.2f %9llu  %s\n", point ? point : "(random)", out.reached ? "stopped" : "not reached",
	       worst, (unsigned long long)out.timeouts, out.bad ? "FAILED" : "ok");
	fflush(stdout);
}

static int body(void)
{
	char path[400];
	uint64_t rnd = hn_seed;
	int stride = (int)step;

	if (!source_dir) {
		snprintf(path, sizeof path, "%s/src", getenv("srcdir") ? getenv("srcdir") : ".");
		source_dir = path;
	}
	wl_names_scan(&names, source_dir);
	if (is_short) {
		stop_ms = 400;
		random_rounds = 3;
		timeout_ms = 60;
	}
	victim = hn_shared(sizeof *victim);
	victim->ledger = hn_ledger_new(1, 1200, 100000);
	bystanders = hn_shared(BYSTANDERS * sizeof *bystanders);
	printf("%-28s %-12s %9s %9s  %s\n", "point", "victim", "read ms", "timeouts", "result");
	for (int i = 0; i < names.count; i += stride) {
		if (filter && !strstr(names.name[i], filter))
			continue;
		/* In short form the points inside a write, and every eighth of the others. */
		if (is_short && !filter && strncmp(names.name[i], "set.", 4) != 0 && i % 8 != 0)
			continue;
		stop_at(names.name[i], 0);
	}
	for (uint64_t i = 0; i < random_rounds && !filter; i++)
		stop_at(NULL, 2000 + (unsigned)(hn_random(&rnd) % 120000));
	if (!filter && stride == 1 && timeouts_seen == 0)
		hn_fail("no stop made any write time out: nothing was shown about LATZ_TIMEOUT");
	printf("stop: %llu writes timed out naming the stopped process, %d failures\n",
	       (unsigned long long)timeouts_seen, hn_failures());
	return hn_failures() ? 1 : 0;
}

static unsigned watchdog(void)
{
	return is_short ? 180 : 3600;
}

int main(int argc, char **argv)
{
	const struct hn_program program = {
		"crash_stop", "stops a process at points and at random beside others who go on", options, 0, watchdog,
		body
	};

	return hn_main(&program, argc, argv);
}
