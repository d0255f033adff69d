/*
 * Kills a process at every named point of the library, one after the other, beside others who go on: they finish an
 * operation within the limit, nothing acknowledged is lost or torn, verify is clean, and the next latz_open works.
 * A point that no situation reaches is a failure too, for then nothing is known about it.
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
#include "wal/wal.h"
#include "workload.h"

#define BYSTANDERS 2

static uint64_t limit_ms = 10, attempts = 3, hits = 1, late = 1300, rounds = 2, step = 1;
static const char *filter, *source_dir;
static int is_short, only_names;

static const struct hn_option options[] = {
	{ "short", "the short form for ./dev check: fewer rounds of work before a point counts as not reached", NULL,
	  NULL, &is_short },
	{ "limit-ms", "ceiling for a bystander's longest operation after a death (default 10)", &limit_ms, NULL, NULL },
	{ "attempts", "a point over the ceiling is tried so many times before it fails (default 3)", &attempts, NULL,
	  NULL },
	{ "hits", "die at the first, second .. N-th passing of each point (default 1)", &hits, NULL, NULL },
	{ "late", "die once more at the N-th passing, or else the N/20-th and so on; 0: do not (default 1300)", &late,
	  NULL, NULL },
	{ "every", "only every N-th point (default 1)", &step, NULL, NULL },
	{ "filter", "only points whose name contains TEXT", NULL, &filter, NULL },
	{ "src", "where the sources are, for the names (default $srcdir/src or src)", NULL, &source_dir, NULL },
	{ "names", "print the names and end", NULL, NULL, &only_names },
	{ 0 }
};

struct outcome {
	int reached, bad;
	double wall_ms, net_ms, open_us;
	enum wl_scene scene;
};

struct checker {
	struct wl_victim *victim;
	struct wl_bystander *bystanders; /* NULL: nobody else is there */
	double open_us;
	int bad;
	char when[128];
};

static struct wl_names names;
static struct wl_victim *victim;
static struct wl_bystander *bystanders;
static struct checker *checker;
static char dir[300];

static int all_paused(int pause)
{
	uint64_t start = hn_now_ns();

	for (int i = 0; i < BYSTANDERS; i++)
		bystanders[i].pause = pause;
	for (int i = 0; pause && i < BYSTANDERS; i++)
		while (!bystanders[i].paused) {
			if (hn_since_ms(start) > 5000)
				return -1;
			hn_sleep_us(200);
		}
	return 0;
}

static int is_kept(enum wl_scene scene)
{
	return scene == WL_ALONE_KEEP || scene == WL_BOUNDED;
}

/* A process of its own: attaches afresh, repairs, compares, verifies. */
static int checker_run(void *arg)
{
	struct checker *c = arg;
	latz_options o =
		hn_options(dir, LATZ_CREATE | LATZ_NO_THREAD | (is_kept(c->victim->scene) ? LATZ_KEEP : 0));
	char disk[400];
	uint64_t start;
	latz_pool *pool;
	int rc;

	lzi_point_arm(NULL, 0, 0);
	if (c->victim->scene == WL_DURABLE) {
		wl_durable_check(c->victim, c->when);
		wl_durable_disk(dir, disk, sizeof disk);
		o = wl_durable_options(dir, disk);
	}
	start = hn_now_ns();
	rc = latz_open("pool", &o, &pool);
	c->open_us = hn_since_ms(start) * 1e3;
	if (rc != LATZ_OK) {
		hn_fail("%s: the next open: %s (%s)", c->when, hn_rc(rc), latz_error_detail());
		return 1;
	}
	if (c->bystanders && all_paused(1) != 0)
		hn_fail("%s: a bystander does not go on", c->when);
	rc = hn_maintain(pool, 5000);
	if (rc != LATZ_OK)
		hn_fail("%s: maintain: %s (%s)", c->when, hn_rc(rc), latz_error_detail());
	/* An ephemeral pool that lost its only user is gone with its keys; any other has them all. */
	if (c->victim->scene != WL_ALONE && (c->victim->scene != WL_DURABLE || c->victim->stage != WL_EPHEMERAL))
		wl_victim_check(c->victim, pool, c->when);
	if (c->victim->scene == WL_BOUNDED)
		wl_bounded_check(pool, c->when);
	hn_verify(pool, c->when);
	rc = latz_set(pool, latz_str("checker"), latz_str("on"), NULL);
	if (rc != LATZ_OK)
		hn_fail("%s: set afterwards: %s (%s)", c->when, hn_rc(rc), latz_error_detail());
	rc = latz_close(pool);
	if (rc != LATZ_OK)
		hn_fail("%s: close afterwards: %s", c->when, hn_rc(rc));
	if (c->bystanders)
		all_paused(0);
	return hn_failures() ? 1 : 0;
}

static int start_bystanders(pid_t *pids, const struct wl_victim *v)
{
	uint64_t start = hn_now_ns();

	for (int i = 0; i < BYSTANDERS; i++) {
		struct wl_bystander *b = &bystanders[i];

		memset(b, 0, sizeof *b);
		b->dir = dir;
		b->pool = "pool";
		b->owner = 10 + (uint32_t)i;
		b->keys = 400;
		b->peek = v->ledger;
		pids[i] = hn_fork(wl_bystander_run, b);
	}
	for (int i = 0; i < BYSTANDERS; i++)
		while (!bystanders[i].ready) {
			if (hn_since_ms(start) > 10000) {
				hn_fail("bystander %d does not get ready", i);
				return -1;
			}
			hn_sleep_us(200);
		}
	return 0;
}

static void stop_bystanders(const pid_t *pids, const char *when)
{
	for (int i = 0; i < BYSTANDERS; i++)
		bystanders[i].stop = 1;
	for (int i = 0; i < BYSTANDERS; i++) {
		char what[200];

		snprintf(what, sizeof what, "%s: bystander %d", when, i);
		hn_expect(pids[i], 5000, 0, what);
	}
}

/* Each bystander goes once around all its keys, and so through everything the dead may have held. */
static void await_laps(const char *when)
{
	uint64_t start = hn_now_ns(), target[BYSTANDERS];

	for (int i = 0; i < BYSTANDERS; i++)
		target[i] = bystanders[i].laps + 2;
	for (int i = 0; i < BYSTANDERS; i++)
		while (bystanders[i].laps < target[i]) {
			if (hn_since_ms(start) > 5000) {
				hn_fail("%s: bystander %d is stuck after %llu operations", when, i,
				        (unsigned long long)bystanders[i].ops);
				return;
			}
			hn_sleep_us(500);
		}
}

static int run_victim(const char *when)
{
	pid_t pid = hn_fork(wl_victim_run, victim);
	int status;

	if (hn_wait(pid, 60000, &status) != 0) {
		hn_fail("%s: the victim neither died nor came to its end", when);
		hn_kill(pid, SIGKILL);
		hn_wait(pid, 10000, &status);
		return 0;
	}
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		return 1;
	if (!victim->passed || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
		hn_fail("%s: the victim ended with %s", when, hn_status_text(status));
	return 0;
}

static struct outcome try_scene(const char *point, unsigned hit, enum wl_scene scene)
{
	struct outcome out = { .scene = scene };
	int beside = scene == WL_JOIN || scene == WL_JOIN_THREAD || scene == WL_HEIR, before = hn_failures();
	struct hn_ledger *ledger = victim->ledger;
	pid_t pids[BYSTANDERS];
	char disk[400];

	hn_subdir(dir, sizeof dir, "points");
	wl_durable_disk(dir, disk, sizeof disk);
	hn_remove_tree(disk);
	hn_ledger_reset(ledger);
	memset(victim, 0, sizeof *victim);
	*victim = (struct wl_victim){ .dir = dir,
		                      .pool = "pool",
		                      .names = &names,
		                      .point = point,
		                      .countdown = hit,
		                      .action = LZI_POINT_KILL,
		                      .scene = scene,
		                      .rounds = (int)rounds,
		                      .ledger = ledger };
	memset(checker, 0, sizeof *checker);
	checker->victim = victim;
	checker->bystanders = beside ? bystanders : NULL;
	snprintf(checker->when, sizeof checker->when, "%s:%u %s", point, hit, wl_scene_names[scene]);
	if (beside && start_bystanders(pids, victim) != 0) {
		out.bad = 1;
		return out;
	}
	/* The heir shall be the one who finds the dead, so nobody else may. */
	if (scene == WL_HEIR)
		all_paused(1);
	out.reached = run_victim(checker->when);
	if (beside) {
		all_paused(0);
		await_laps(checker->when);
		for (int i = 0; i < BYSTANDERS; i++) {
			hn_waits_since(&bystanders[i].writes, ledger->alive, &out.wall_ms, &out.net_ms);
			hn_waits_since(&bystanders[i].reads, ledger->alive, &out.wall_ms, &out.net_ms);
		}
	}
	if (out.reached) {
		pid_t pid = hn_fork(checker_run, checker);

		hn_expect(pid, 30000, 0, checker->when);
		out.open_us = checker->open_us;
	}
	if (beside)
		stop_bystanders(pids, checker->when);
	out.bad = hn_failures() != before;
	return out;
}

static int starts(const char *name, const char *prefix)
{
	return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* Where the disk has a part. */
static int is_durable(const char *point)
{
	static const char *const prefixes[] = { "flush.", "note.",  "wal.",  "checkpoint.", "snapshot.",
		                                "warm.",  "begin.", "leave.", "fill.",       NULL };

	for (int i = 0; prefixes[i]; i++)
		if (starts(point, prefixes[i]))
			return 1;
	return 0;
}

/* The scene most likely to reach a point first; the others follow. */
static enum wl_scene first_scene(const char *point)
{
	if (starts(point, "create") || starts(point, "destroy") || starts(point, "sweep") || starts(point, "clear"))
		return WL_ALONE_KEEP;
	if (starts(point, "detach") || starts(point, "remove"))
		return WL_ALONE;
	if (starts(point, "reap") || starts(point, "mend") || starts(point, "index.rebuilt"))
		return WL_HEIR;
	if (starts(point, "janitor"))
		return WL_JOIN_THREAD;
	if (is_durable(point))
		return WL_DURABLE;
	if (starts(point, "bound") || starts(point, "evict") || starts(point, "policy") ||
	    strcmp(point, "clean.judged") == 0 || strcmp(point, "delete.evicted") == 0)
		return WL_BOUNDED;
	return WL_JOIN;
}

struct totals {
	int tried, killed;
	double wall_ms, net_ms;
};

/* A death too slow for the others is tried again: a busy machine is slow at times, a mistake every time. */
static void judge(const char *point, unsigned hit, struct outcome out, struct totals *totals)
{
	struct outcome worst = out;

	for (uint64_t n = 1; n < attempts && out.reached && !out.bad && out.net_ms > (double)limit_ms; n++) {
		out = try_scene(point, hit, out.scene);
		if (out.net_ms > worst.net_ms || out.bad)
			worst = out;
	}
	if (out.reached && out.net_ms > (double)limit_ms)
		hn_fail("%s: after the death an operation took %.1f ms, %.1f of them waiting (ceiling %llu), in each "
		        "of %llu tries",
		        point, out.wall_ms, out.net_ms, (unsigned long long)limit_ms, (unsigned long long)attempts);
	printf("%-24s %5u %-8s %-8s %9.2f %9.2f %9.0f  %s\n", point, hit, wl_scene_names[worst.scene],
	       worst.reached ? "killed" : "-", worst.wall_ms, worst.net_ms, worst.open_us,
	       worst.bad       ? "FAILED"
	       : worst.reached ? "clean"
	                       : "not reached");
	fflush(stdout);
	totals->tried++;
	totals->killed += worst.reached;
	totals->wall_ms = worst.wall_ms > totals->wall_ms ? worst.wall_ms : totals->wall_ms;
	totals->net_ms = worst.net_ms > totals->net_ms ? worst.net_ms : totals->net_ms;
}

/* Where it matters whether there was a value before. */
static int is_in_write(const char *point)
{
	return starts(point, "set") || starts(point, "delete") || starts(point, "record") || starts(point, "move") ||
	       starts(point, "bucket") || starts(point, "free");
}

static void walk_point(const char *point, struct totals *totals)
{
	enum wl_scene first = first_scene(point);
	struct outcome out = { 0 };

	/* Making images and restoring from them, and from snapshots: tests/proc/test_image_deaths and
	 * test_restore_deaths, test_dict_deaths, test_counter_deaths, test_lock_deaths, test_txn_deaths, test_feed,
	 * test_space_deaths, test_audit_deaths, test_guesses, test_key_deaths and test_policy_state walk those, and
	 * fail if one is not reached. Who verifies changes nothing: tests/proc/test_stopped stops there. */
	if (starts(point, "image") || starts(point, "restore") || starts(point, "aside") ||
	    starts(point, "counter") || starts(point, "dict") || starts(point, "feed") || starts(point, "train") ||
	    starts(point, "carry") || starts(point, "lock") || starts(point, "fence") || starts(point, "tokens") ||
	    starts(point, "txn") || starts(point, "space") || starts(point, "idle") ||
	    starts(point, "audit") || starts(point, "guess") || starts(point, "rekey") || starts(point, "retain") ||
	    starts(point, "verify") ||
	    strcmp(point, "create.borrowed") == 0 || strcmp(point, "create.replaced") == 0)
		return;

	for (int i = 0; i < WL_SCENES && !out.reached && !out.bad; i++) {
		enum wl_scene scene = i == 0 ? first : (enum wl_scene)(i <= (int)first ? i - 1 : i);

		out = try_scene(point, 1, scene);
	}
	judge(point, 1, out, totals);
	if (!out.reached) {
		hn_fail("%s was never reached", point);
		return;
	}
	for (unsigned hit = 3; hit < 300 && is_durable(point) && !is_short; hit *= 4) {
		struct outcome again = try_scene(point, hit, out.scene);

		if (again.reached || again.bad)
			judge(point, hit, again, totals);
	}
	for (unsigned hit = 2; hit <= hits && out.reached; hit++) {
		out = try_scene(point, hit, out.scene);
		if (out.reached || out.bad)
			judge(point, hit, out, totals);
	}
	if (is_short && !is_in_write(point))
		return;
	/* The first time is an insert into a young pool; later on it is an overwrite in a used one. */
	for (unsigned hit = (unsigned)late; hit > 1; hit /= 20) {
		struct outcome again = try_scene(point, hit, out.scene);

		if (again.reached || again.bad) {
			judge(point, hit, again, totals);
			break;
		}
	}
}

static int body(void)
{
	struct totals totals = { 0 };
	char path[400];
	int points = 0;

	if (!source_dir) {
		snprintf(path, sizeof path, "%s/src", getenv("srcdir") ? getenv("srcdir") : ".");
		source_dir = path;
	}
	wl_names_scan(&names, source_dir);
	if (only_names) {
		for (int i = 0; i < names.count; i++)
			puts(names.name[i]);
		return names.count ? 0 : 1;
	}
	if (names.count == 0) {
		hn_fail("no points below %s", source_dir);
		return 1;
	}
	if (is_short)
		rounds = 1;
	lzi_wal_segment_bytes = 128 << 10;
	victim = hn_shared(sizeof *victim);
	victim->ledger = hn_ledger_new(1, 1200, 400000);
	bystanders = hn_shared(BYSTANDERS * sizeof *bystanders);
	checker = hn_shared(sizeof *checker);
	printf("%-24s %5s %-8s %-8s %9s %9s %9s  %s\n", "point", "hit", "scene", "victim", "wall ms", "wait ms",
	       "open us", "verify");
	for (int i = 0; i < names.count; i += (int)step) {
		if (filter && !strstr(names.name[i], filter))
			continue;
		points++;
		walk_point(names.name[i], &totals);
	}
	printf("points: %d points, %d deaths; a bystander's longest operation after a death %.2f ms, of it waiting "
	       "%.2f ms "
	       "(ceiling %llu; under 0.1 is not measured); %d failures\n",
	       points, totals.killed, totals.wall_ms, totals.net_ms, (unsigned long long)limit_ms, hn_failures());
	return hn_failures() ? 1 : 0;
}

static unsigned watchdog(void)
{
	return is_short ? 240 : 3600;
}

int main(int argc, char **argv)
{
	const struct hn_program program = {
		"crash_points", "kills a process at each named point beside others who go on",
		options,        0,
		watchdog,       body
	};

	return hn_main(&program, argc, argv);
}
