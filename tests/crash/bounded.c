/*
 * A bounded pool under everything at once: eight processes read, write, delete, append and set deadlines, some are
 * killed at random and come back, and all the while somebody looks at what the pool's files take. That is never more
 * than max_bytes and a megabyte; nobody gets SIGBUS; nothing is refused while less than 80 % is alive; what is read is
 * whole, and never older than what was written. Where a memory cgroup can be had the members are in one of max_bytes
 * and 32 MiB, and none is killed for lack of memory.
 */
#define _GNU_SOURCE
#include "bounded.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define MIB (1ull << 20)
#define SLACK MIB

static uint64_t ops_total = 10000000, max_mib = 64, members = 8, kill_ms = 60, group_mib = 32, full_percent = 80;
static const char *policy_name;
static int is_short, no_group, need_group;

static const struct hn_option options[] = {
	{ "short", "200 000 operations a policy, and fewer milliseconds between deaths", NULL, NULL, &is_short },
	{ "ops", "operations of all members, a policy (default 10 000 000)", &ops_total, NULL, NULL },
	{ "mib", "max_bytes (default 64)", &max_mib, NULL, NULL },
	{ "members", "processes (default 8, at most 32)", &members, NULL, NULL },
	{ "policy", "only adaptive, lru, fifo, sieve, s3fifo, 2q, arc, wtinylfu, clock or none", NULL, &policy_name,
	  NULL },
	{ "kill-ms", "between two deaths, on average (default 60; 0: none)", &kill_ms, NULL, NULL },
	{ "group-mib", "what the cgroup may have beyond max_bytes (default 32)", &group_mib, NULL, NULL },
	{ "no-group", "without a cgroup", NULL, NULL, &no_group },
	{ "need-group", "fail where no cgroup can be had", NULL, NULL, &need_group },
	{ 0 }
};

static const struct {
	const char *name;
	latz_policy policy;
} policies[] = { { "adaptive", LATZ_POLICY_DEFAULT },
	         { "lru", LATZ_POLICY_LRU },
	         { "none", LATZ_POLICY_NONE },
	         { "fifo", LATZ_POLICY_FIFO },
	         { "sieve", LATZ_POLICY_SIEVE },
	         { "s3fifo", LATZ_POLICY_S3FIFO },
	         { "2q", LATZ_POLICY_2Q },
	         { "arc", LATZ_POLICY_ARC },
	         { "clock", LATZ_POLICY_CLOCK },
	         { "wtinylfu", LATZ_POLICY_WTINYLFU } };
/* Those that go without being named. */
#define USUAL 3

/* ---- The watcher ------------------------------------------------------------------------------------------------ */

struct watch {
	_Atomic int stop;
	char path[400];
	struct cg_group group;
	_Atomic uint64_t looks, over, most; /* of the files' blocks */
	_Atomic uint64_t usage_most, shared_most;
};

static int watch_run(void *arg)
{
	struct watch *watch = arg;

	for (unsigned i = 0; !watch->stop; i++) {
		uint64_t blocks = hn_tree_blocks(watch->path), n;

		watch->looks++;
		if (blocks > watch->most)
			watch->most = blocks;
		if (blocks > bd_config.max_bytes + SLACK && watch->over++ < 3)
			hn_fail("the files take %llu bytes, %llu more than max_bytes", (unsigned long long)blocks,
			        (unsigned long long)(blocks - bd_config.max_bytes));
		if (watch->group.path[0] && i % 4 == 0) {
			n = cg_usage(&watch->group);
			if (n > watch->usage_most)
				watch->usage_most = n;
			n = i % 16 == 0 ? cg_shared(&watch->group) : 0;
			if (n > watch->shared_most)
				watch->shared_most = n;
		}
		hn_sleep_us(300);
	}
	return watch->over ? 1 : 0;
}

/* ---- Deaths ----------------------------------------------------------------------------------------------------- */

struct crew {
	pid_t pid[BD_MEMBERS_MAX];
	unsigned number[BD_MEMBERS_MAX];
	uint64_t back_ns[BD_MEMBERS_MAX]; /* when the next one takes its place */
	unsigned left, killed, oom;
};

static void start(struct crew *crew, unsigned i)
{
	crew->number[i] = i;
	crew->pid[i] = hn_fork(bd_member_run, &crew->number[i]);
}

static void ended(struct crew *crew, unsigned i, int status, int by_us)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		crew->left++;
	} else if (by_us && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
		crew->killed++;
	} else {
		hn_fail("member %u ended with %s%s", i, hn_status_text(status),
		        WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? ", and not by us" : "");
		bd_config.shared->stop = 1;
	}
	crew->pid[i] = 0;
}

static void kill_one(struct crew *crew, unsigned i)
{
	int status;

	if (crew->pid[i] == 0)
		return;
	/* Has it ended by itself? */
	if (waitpid(crew->pid[i], &status, WNOHANG) == crew->pid[i]) {
		ended(crew, i, status, 0);
		return;
	}
	hn_kill(crew->pid[i], SIGKILL);
	if (hn_wait(crew->pid[i], 20000, &status) != 0) {
		hn_fail("member %u does not die", i);
		bd_config.shared->stop = 1;
		return;
	}
	ended(crew, i, status, 1);
}

/* One, seldom several, and now and then all of them. The first one lives long. */
static void some_die(struct crew *crew, uint64_t *rnd)
{
	uint64_t lot = hn_random(rnd) % 100, count = lot < 85 ? 1 : lot < 98 ? 3 : members;

	for (uint64_t n = 0; n < count; n++) {
		unsigned i = (unsigned)(count == members ? n : hn_random(rnd) % members);

		if (i == 0 && count != members && hn_random(rnd) % 10 != 0)
			continue;
		kill_one(crew, i);
		crew->back_ns[i] = hn_now_ns() + hn_random(rnd) % 20000000;
	}
}

/* Runs the crew until all operations are done; 0, or -1 if it does not get on. */
static int run_crew(struct crew *crew, const struct watch *watch)
{
	struct bd_shared *sh = bd_config.shared;
	uint64_t rnd = hn_seed ^ 0xdead, seen = 0, seen_ns = hn_now_ns(), next_ns = hn_now_ns();

	for (unsigned i = 0; i < members; i++)
		start(crew, i);
	while (!sh->stop && sh->ops < bd_config.ops) {
		int status;

		hn_sleep_us(500);
		for (unsigned i = 0; i < members; i++) {
			if (crew->pid[i] == 0 && hn_now_ns() > crew->back_ns[i] && sh->ops < bd_config.ops)
				start(crew, i);
			else if (crew->pid[i] != 0 && waitpid(crew->pid[i], &status, WNOHANG) == crew->pid[i])
				ended(crew, i, status, 0);
		}
		if (kill_ms != 0 && hn_now_ns() > next_ns) {
			some_die(crew, &rnd);
			next_ns = hn_now_ns() + hn_random(&rnd) % (2 * kill_ms * 1000000);
		}
		if (sh->ops != seen) {
			seen = sh->ops;
			seen_ns = hn_now_ns();
		} else if (hn_since_ms(seen_ns) > 20000) {
			hn_fail("no operation was done for 20 s");
			sh->stop = 1;
		}
		if (watch->over)
			sh->stop = 1;
	}
	for (unsigned i = 0; i < members; i++) {
		if (crew->pid[i] != 0)
			hn_expect(crew->pid[i], 20000, 0, "a member at the end");
	}
	return sh->stop ? -1 : 0;
}

/* ---- A policy's turn -------------------------------------------------------------------------------------------- */

static void print_turn(const char *name, const struct crew *crew, const struct watch *watch, const latz_stats_t *s,
                       double seconds)
{
	const struct bd_shared *sh = bd_config.shared;

	printf("%s: %llu operations in %.1f s (%llu gets, %.1f %% found; %llu sets of %.1f GiB; %llu deletes, %llu "
	       "touches, %llu appends, %llu increments, %llu views), %u killed, %llu evicted\n",
	       name, (unsigned long long)sh->ops, seconds, (unsigned long long)sh->gets,
	       100.0 * (double)sh->hits / (double)(sh->gets ? sh->gets : 1), (unsigned long long)sh->sets,
	       (double)sh->set_bytes / 1073741824.0, (unsigned long long)sh->deletes, (unsigned long long)sh->touches,
	       (unsigned long long)sh->appends, (unsigned long long)sh->increments, (unsigned long long)sh->borrows,
	       crew->killed, (unsigned long long)s->evicted);
	printf("%s: files at most %.2f MiB of %.0f (%llu looks, %llu over); alive %.1f %% (at least %.1f); LATZ_FULL "
	       "%llu",
	       name, (double)watch->most / MIB, (double)bd_config.max_bytes / MIB, (unsigned long long)watch->looks,
	       (unsigned long long)watch->over,
	       (double)sh->live_sum / 10 / (double)(sh->live_looks ? sh->live_looks : 1), (double)sh->live_least / 10,
	       (unsigned long long)sh->full);
	if (sh->full)
		printf(" (the least alive then %.1f %%, under %llu %%: %llu)", (double)sh->full_live / 10,
		       (unsigned long long)full_percent, (unsigned long long)sh->full_low);
	printf("\n");
	if (watch->group.path[0])
		printf("%s: cgroup v%d of %.0f MiB: at most %.1f MiB, of them files %.1f; %ld times at its limit, %ld "
		       "killed "
		       "by it\n",
		       name, watch->group.version, (double)(bd_config.max_bytes + group_mib * MIB) / MIB,
		       (double)watch->usage_most / MIB, (double)watch->shared_most / MIB, cg_failed(&watch->group),
		       cg_killed(&watch->group));
	fflush(stdout);
}

/* When all is done: the pool is what it should be, and takes what it may. */
static void look_after(const struct watch *watch, latz_stats_t *s)
{
	latz_options o = bd_options(LATZ_NO_THREAD);
	latz_pool *pool;
	int rc = latz_open(BD_POOL, &o, &pool);

	s->size = sizeof *s;
	if (rc == LATZ_OK)
		rc = latz_stats(pool, s);
	if (rc != LATZ_OK) {
		hn_fail("at the end: %s (%s)", hn_rc(rc), latz_error_detail());
		return;
	}
	rc = hn_maintain(pool, 10000);
	if (rc != LATZ_OK)
		hn_fail("at the end: maintenance: %s (%s)", hn_rc(rc), latz_error_detail());
	hn_verify(pool, "at the end");
	if (hn_tree_blocks(watch->path) > bd_config.max_bytes)
		hn_fail("at the end the files take %llu bytes", (unsigned long long)hn_tree_blocks(watch->path));
	rc = latz_close(pool);
	if (rc == LATZ_OK)
		rc = latz_destroy(BD_POOL, &o);
	if (rc != LATZ_OK)
		hn_fail("the pool does not go: %s (%s)", hn_rc(rc), latz_error_detail());
}

static struct watch *make_watch(const char *dir)
{
	struct watch *watch = hn_shared(sizeof *watch);
	char why[700];

	snprintf(watch->path, sizeof watch->path, "%s/%s", dir, BD_POOL);
	if (no_group ||
	    cg_make(&watch->group, "bounded", bd_config.max_bytes + group_mib * MIB, why, sizeof why) != 0) {
		watch->group.path[0] = 0;
		if (!no_group)
			printf("no cgroup: %s\n", why);
		if (need_group)
			hn_fail("no cgroup: %s", why);
	}
	return watch;
}

static void turn(const char *name, latz_policy policy)
{
	struct crew crew;
	struct watch *watch;
	latz_stats_t stats = { 0 };
	char dir[300];
	uint64_t began;
	pid_t watcher;

	memset(&crew, 0, sizeof crew);
	hn_subdir(dir, sizeof dir, name);
	/* Here, and not in the cgroup: nothing of the test's own is to count there that need not. */
	memset(bd_config.shared, 0, sizeof *bd_config.shared);
	bd_config.dir = dir;
	bd_config.policy = policy;
	watch = make_watch(dir);
	bd_config.group = watch->group.path[0] ? &watch->group : NULL;
	watcher = hn_fork(watch_run, watch);
	began = hn_now_ns();
	run_crew(&crew, watch);
	watch->stop = 1;
	hn_expect(watcher, 10000, 0, "the watcher");
	look_after(watch, &stats);
	print_turn(name, &crew, watch, &stats, hn_since_ms(began) / 1e3);
	if (watch->group.path[0] && cg_killed(&watch->group) > 0)
		hn_fail("%s: the kernel killed %ld for lack of memory", name, cg_killed(&watch->group));
	if (watch->shared_most > bd_config.max_bytes + SLACK)
		hn_fail("%s: the cgroup had %llu bytes of files", name, (unsigned long long)watch->shared_most);
	if (bd_config.shared->full_low)
		hn_fail("%s: %llu writes were refused with less than %llu %% alive", name,
		        (unsigned long long)bd_config.shared->full_low, (unsigned long long)full_percent);
	if (cg_remove(&watch->group) != 0)
		hn_fail("%s: the cgroup does not go", name);
}

static int body(void)
{
	unsigned count = 0;

	if (is_short) {
		ops_total = ops_total == 10000000 ? 200000 : ops_total;
		kill_ms = 25;
	}
	members = members < 1 ? 1 : members > BD_MEMBERS_MAX ? BD_MEMBERS_MAX : members;
	bd_config.ops = ops_total;
	bd_config.members = members;
	bd_config.max_bytes = max_mib * MIB;
	bd_config.live_percent = full_percent;
	bd_config.shared = hn_shared(sizeof *bd_config.shared);
	for (unsigned i = 0; i < sizeof policies / sizeof *policies && !hn_failures(); i++) {
		if (policy_name ? strcmp(policy_name, policies[i].name) != 0 : i >= USUAL)
			continue;
		turn(policies[i].name, policies[i].policy);
		count++;
	}
	if (count == 0)
		hn_die("no policy %s", policy_name);
	printf("bounded: %d failures\n", hn_failures());
	return hn_failures() ? 1 : 0;
}

static unsigned watchdog(void)
{
	return is_short ? 180 : 7200;
}

int main(int argc, char **argv)
{
	const struct hn_program program = { "bounded", "a bounded pool never takes more, whoever dies",
		                            options,   0,
		                            watchdog,  body };

	return hn_main(&program, argc, argv);
}
