/*
 * Scribbles over a live pool's files while honest processes use it. Rounds: each makes a new directory, starts one or
 * two honest users and the scribbler, and ends the scribbler after a while. The users must end by themselves: without a
 * crash or a report of a sanitizer, with documented results only, and without a call that takes longer than it may.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "live.h"

#define SHORT_MS 300u

static uint64_t minutes, seconds = 60, round_only, round_ms = 1500, ceiling_ms = 3000, hang_ms = 100;
static uint64_t stuck_s = 20, users;
static int is_short, with_index, with_reader, tell_where;
static const char *only_file, *log_path;
static uint64_t late_ns, latest_ns; /* this program's own naps, in this round; in all */
static struct live_shared *shared;
static pid_t pids[LIVE_USERS]; /* of the round's users; 0: none */

static const struct hn_option options[] = {
	{ "short", "the form that ./dev check runs: 60 seconds", NULL, NULL, &is_short },
	{ "minutes", "how long", &minutes, NULL, NULL },
	{ "seconds", "the same (default 60)", &seconds, NULL, NULL },
	{ "round", "only this round of the seed, again and again", &round_only, NULL, NULL },
	{ "round-ms", "of each round (default 1500)", &round_ms, NULL, NULL },
	{ "ceiling-ms", "a call that works for longer fails (default 3000; short ones 300)", &ceiling_ms, NULL, NULL },
	{ "hang-ms", "a call that sleeps for longer fails (default 100)", &hang_ms, NULL, NULL },
	{ "stuck-s", "a call over this is ended and fails (default 20)", &stuck_s, NULL, NULL },
	{ "users", "1: one honest user in every round, 2: two", &users, NULL, NULL },
	{ "file", "scribble over this file only", NULL, &only_file, NULL },
	{ "index", "over the ordered index too, which LMDB reads without checking it", NULL, NULL, &with_index },
	{ "reader", "in every round the second user only reads, as another user if this one is root", NULL, NULL,
	  &with_reader },
	{ "where", "tell where each sleep over --hang-ms was, also if lateness excuses it", NULL, NULL,
	  &tell_where },
	{ "log", "the scribbler's last writes before a failure go into this file", NULL, &log_path, NULL },
	{ 0 }
};

static const char *const names[] = { "pool",     "pool",   "table",  "heap",   "extents", "locks",
	                             "counters", "spaces", "events", "policy", "dict",
	                             "audit" };

static void choose_round(uint64_t number)
{
	static const unsigned pauses[] = { 5000, 1000, 200, 20, 0 }, heals[] = { 0, 50, 98, 98 };
	struct live_round *round = &shared->round;
	uint64_t rnd = hn_mix(hn_seed) ^ hn_mix(number);

	memset(round, 0, sizeof *round);
	round->seed = hn_random(&rnd) >> 1;
	round->ms = (unsigned)round_ms;
	round->pause_us = pauses[hn_random(&rnd) % 5];
	round->heal = heals[hn_random(&rnd) % 4];
	round->words_only = hn_random(&rnd) % 2 == 0;
	if (hn_random(&rnd) % 2)
		snprintf(round->file, sizeof round->file, "%s",
		         names[hn_random(&rnd) % (sizeof names / sizeof *names)]);
	round->users = hn_random(&rnd) % 3 == 0 ? 2 : 1;
	round->kills = hn_random(&rnd) % 2 != 0;
	round->janitor = hn_random(&rnd) % 2 == 0;
	round->durable = hn_random(&rnd) % 4 == 0;
	round->bounded = hn_random(&rnd) % 3 == 0;
	round->packed = hn_random(&rnd) % 3 == 0;
	round->locked = hn_random(&rnd) % 3 == 0 ? 1 + (hn_random(&rnd) % 4 != 0) : 0;
	round->audited = hn_random(&rnd) % 4 == 0 ? 1 + (hn_random(&rnd) % 2 != 0) : 0;
	round->aged = hn_random(&rnd) % 4 == 0;
	round->reader = with_reader || (users == 0 && hn_random(&rnd) % 4 == 0);
	if (round->reader)
		round->users = 2;
	round->with_index = with_index;
	if (users != 0)
		round->users = users > 1 ? 2 : 1;
	if (only_file != NULL)
		snprintf(round->file, sizeof round->file, "%s", only_file);
}

static int use_first(void *arg)
{
	return live_use(arg, 0);
}

static int use_second(void *arg)
{
	return live_use(arg, 1);
}

static int scribble(void *arg)
{
	return live_scribble(arg);
}

static void describe(uint64_t number)
{
	const struct live_round *r = &shared->round;

	printf("  round %llu: --seed %llu --round %llu: a write every %u us over %s, %u %% put back; %d "
	       "users%s%s%s%s%s%s%s%s%s\n",
	       (unsigned long long)number, (unsigned long long)hn_seed, (unsigned long long)number, r->pause_us,
	       r->file[0] ? r->file : "all files", r->heal, r->users, r->kills && r->users > 1 ? ", one killed" : "",
	       r->janitor ? ", janitor" : "", r->durable ? ", durable" : "", r->bounded ? ", bounded" : "",
	       r->packed ? ", compressed" : "", r->locked > 1 ? ", encrypted" : r->locked ? ", password" : "",
	       r->audited > 1 ? ", keys audited" : r->audited ? ", audited" : "", r->aged ? ", aged" : "",
	       r->reader ? ", one reads" : "");
}

static void print_writes(FILE *to, uint64_t most)
{
	uint64_t n = shared->writes, now = hn_now_ns();

	for (uint64_t i = n > most ? n - most : 0; i < n; i++) {
		const struct live_write *w = &shared->write[i % LIVE_WRITES];

		fprintf(to, "  %9.3f ms ago %s@%llu: %llx -> %llx\n", (double)(now - w->ns) / 1e6, w->file,
		        (unsigned long long)w->offset, (unsigned long long)w->before, (unsigned long long)w->after);
	}
}

static void fail(uint64_t number, unsigned who, const char *what)
{
	FILE *log;

	hn_fail("user %u %s, in %s", who, what, shared->user[who].name);
	describe(number);
	print_writes(stdout, 12);
	log = log_path != NULL ? fopen(log_path, "a") : NULL;
	if (log != NULL) {
		fprintf(log, "round %llu of seed %llu\n", (unsigned long long)number, (unsigned long long)hn_seed);
		print_writes(log, LIVE_WRITES);
		fclose(log);
	}
	fflush(stdout);
}

/* Sleeps, and sees how late the machine is to wake who sleeps, and where the users are. */
static void nap(unsigned us)
{
	uint64_t begin, took;
	int wanted = 0;

	for (unsigned u = 0; u < LIVE_USERS; u++)
		wanted |= pids[u] != 0 && live_where_wanted(&shared->user[u]);
	for (unsigned u = 0; wanted && u < LIVE_USERS; u++) {
		if (pids[u] != 0)
			live_where_look(&shared->user[u], pids[u]);
	}
	begin = hn_now_ns();
	hn_sleep_us(us);
	took = hn_now_ns() - begin;
	if (took > us * 1000ull && took - us * 1000ull > late_ns)
		late_ns = took - us * 1000ull;
}

/* Ends a user that is stuck: by a signal at which the sanitizer shows where. Since it was first looked at, the time in
 * which others had the processor is not counted. */
static int is_stuck(uint64_t number, unsigned who, pid_t pid)
{
	static uint64_t seen_ns[LIVE_USERS], stood_ns[LIVE_USERS];
	uint64_t began = shared->user[who].began_ns;

	if (began != seen_ns[who]) {
		seen_ns[who] = began;
		stood_ns[who] = live_where_stood(pid);
	}
	if (began == 0 ||
	    hn_since_ms(began) < (double)stuck_s * 1e3 + (double)(live_where_stood(pid) - stood_ns[who]) / 1e6)
		return 0;
	fail(number, who, "is stuck");
	kill(pid, SIGABRT);
	hn_sleep_us(2000000);
	kill(pid, SIGKILL);
	return 1;
}

/* Waits for a user's end. */
static void await_end(uint64_t number, unsigned who, pid_t pid)
{
	int status, stuck = 0;

	while (hn_wait(pid, 0, &status) != 0) {
		nap(5000);
		if (!stuck)
			stuck = is_stuck(number, who, pid);
	}
	if (status != 0 && !stuck) {
		char what[100];

		snprintf(what, sizeof what, "ended with %s", hn_status_text(status));
		fail(number, who, what);
	}
}

/* What is long by what it does, whoever else is there: passwords cost what they cost, pools are read whole. */
static int is_long(const char *name)
{
	static const char *const long_ones[] = { "open",  "close",  "destroy",  "restore", "snapshot", "persist",
		                                 "rekey", "verify", "train",    "clear",   "advise",   "maintain",
		                                 "audit", "retain", "sync_now", "watch_close" };

	for (unsigned i = 0; i < sizeof long_ones / sizeof *long_ones; i++) {
		if (strncmp(name, long_ones[i], strlen(long_ones[i])) == 0)
			return 1;
	}
	return 0;
}

/*
 * A call hangs if it sleeps for more than 100 ms in all, with timeout_ms 20: that is five locks which nobody has and
 * everybody believes in. (But for an open: it waits until another process has made the pool, or has taken it away.)
 * Time in which others had the processor is not counted. Where the call waits for an honest thread or process that has
 * none it is, so ten times what this program's own naps are late by in the round is added. What the call does by itself
 * has a ceiling of its own: 300 ms for what is short (100 ms, and a sanitizer makes threefold of it), --ceiling-ms for
 * the rest.
 */
static void check_calls(uint64_t number, struct live_call *worst)
{
	for (unsigned u = 0; u < LIVE_USERS; u++) {
		for (unsigned i = 0; i < LIVE_CALLS; i++) {
			const struct live_call *call = &shared->user[u].call[i];
			uint64_t ceiling = is_long(call->name) ? ceiling_ms : SHORT_MS;
			char what[120];
			int waits = strcmp(call->name, "open") == 0; /* for other users */

			if (!waits && call->worst_slept_ns > worst->worst_slept_ns)
				*worst = *call;
			if (call->worst_slept_ns > (waits ? ceiling_ms : hang_ms) * 1000000 + 10 * late_ns) {
				snprintf(what, sizeof what, "slept for %.0f ms in a call: %s; naps were %.0f ms late",
				         (double)call->worst_slept_ns / 1e6, call->name, (double)late_ns / 1e6);
				fail(number, u, what);
				live_where_print(call->worst_began_ns, call->worst_ended_ns);
			} else if (tell_where && !waits && call->worst_slept_ns > hang_ms * 1000000) {
				printf("  slept for %.0f ms in %s; naps were %.0f ms late\n",
				       (double)call->worst_slept_ns / 1e6, call->name, (double)late_ns / 1e6);
				describe(number);
				live_where_print(call->worst_began_ns, call->worst_ended_ns);
			}
			if (call->worst_net_ns > ceiling * 1000000 + 10 * late_ns) {
				snprintf(what, sizeof what, "had a call of %.0f ms: %s",
				         (double)call->worst_net_ns / 1e6, call->name);
				fail(number, u, what);
			}
		}
	}
}

static struct live_call totals[LIVE_CALLS];
static uint64_t total_calls, total_refused, total_writes;

static void add_totals(void)
{
	for (unsigned u = 0; u < LIVE_USERS; u++) {
		for (unsigned i = 0; i < LIVE_CALLS; i++) {
			const struct live_call *call = &shared->user[u].call[i];
			unsigned t = 0;

			if (call->count == 0)
				continue;
			while (t < LIVE_CALLS - 1 && totals[t].name[0] && strcmp(totals[t].name, call->name) != 0)
				t++;
			memcpy(totals[t].name, call->name, sizeof call->name);
			totals[t].count += call->count;
			totals[t].refused += call->refused;
			if (call->worst_net_ns > totals[t].worst_net_ns)
				totals[t].worst_net_ns = call->worst_net_ns;
			if (call->worst_ns > totals[t].worst_ns)
				totals[t].worst_ns = call->worst_ns;
			if (call->worst_slept_ns > totals[t].worst_slept_ns)
				totals[t].worst_slept_ns = call->worst_slept_ns;
			total_calls += call->count;
			total_refused += call->refused;
		}
	}
	total_writes += shared->writes;
}

static void run_round(uint64_t number, struct live_call *worst)
{
	pid_t scribbler;
	uint64_t start;
	int status;

	memset(shared->user, 0, sizeof shared->user);
	shared->stop_users = shared->stop_scribbler = 0;
	late_ns = 0;
	live_where_clear();
	shared->writes = 0;
	choose_round(number);
	hn_subdir(shared->dir, sizeof shared->dir, "pools");
	hn_subdir(shared->persist, sizeof shared->persist, "disk");
	if (shared->round.reader && (chmod(hn_root, 0755) != 0 || chmod(shared->dir, 0755) != 0))
		hn_die("chmod: %s", strerror(errno));
	if (hn_verbose)
		describe(number);
	fflush(stdout);
	pids[0] = hn_fork(use_first, shared);
	if (shared->round.users > 1)
		pids[1] = hn_fork(use_second, shared);
	hn_sleep_us(shared->round.seed % 2 ? 100000 : 0);
	scribbler = hn_fork(scribble, shared);
	start = hn_now_ns();
	while (hn_since_ms(start) < shared->round.ms) {
		for (unsigned i = 0; i < shared->round.ms / 35; i++)
			nap(5000);
		if (pids[1] != 0 && shared->round.kills) {
			if (!shared->user[1].dying)
				kill(pids[1], SIGKILL);
			while (hn_wait(pids[1], 1000, &status) != 0)
				;
			shared->user[1].began_ns = 0;
			if (WIFSIGNALED(status) ? WTERMSIG(status) != SIGKILL : status != 0)
				fail(number, 1, hn_status_text(status));
			pids[1] = hn_fork(use_second, shared);
		}
	}
	shared->stop_scribbler = 1;
	if (hn_wait(scribbler, 10000, &status) != 0)
		hn_die("the scribbler does not end");
	hn_sleep_us(shared->round.seed % 4 ? 0 : 200000);
	shared->stop_users = 1;
	for (unsigned u = 0; u < LIVE_USERS; u++) {
		if (pids[u] != 0)
			await_end(number, u, pids[u]);
		pids[u] = 0;
	}
	check_calls(number, worst);
	latest_ns = late_ns > latest_ns ? late_ns : latest_ns;
	add_totals();
}

static int body(void)
{
	uint64_t start = hn_now_ns(), number;
	struct live_call worst = { .name = "" };

	if (is_short)
		seconds = 60;
	if (minutes != 0)
		seconds = minutes * 60;
	shared = hn_shared(sizeof *shared);
	for (number = 1; hn_since_ms(start) < (double)seconds * 1e3 && hn_failures() < 10; number++)
		run_round(round_only ? round_only : number, &worst);
	for (unsigned i = 0; i < LIVE_CALLS && totals[i].count > 0; i++)
		printf("  %-16s %9llu calls, %9llu refused, longest %7.1f ms, with a processor of its own %7.1f, "
		       "asleep %7.1f\n",
		       totals[i].name, (unsigned long long)totals[i].count, (unsigned long long)totals[i].refused,
		       (double)totals[i].worst_ns / 1e6, (double)totals[i].worst_net_ns / 1e6,
		       (double)totals[i].worst_slept_ns / 1e6);
	printf("live: %llu rounds in %.0f s, %llu calls, %llu refused, %llu places scribbled over; longest sleep in a "
	       "call %.1f ms (%s), naps up to %.1f ms late; %d failures\n",
	       (unsigned long long)number - 1, hn_since_ms(start) / 1e3, (unsigned long long)total_calls,
	       (unsigned long long)total_refused, (unsigned long long)total_writes,
	       (double)worst.worst_slept_ns / 1e6, worst.name, (double)latest_ns / 1e6, hn_failures());
	return hn_failures() ? 1 : 0;
}

static unsigned watchdog(void)
{
	return (unsigned)(minutes != 0 ? minutes * 60 : is_short ? 60 : seconds) + 120;
}

int main(int argc, char **argv)
{
	const struct hn_program program = { "live",   "scribbles over a live pool's files while it is used",
		                            options,  0,
		                            watchdog, body };

	return hn_main(&program, argc, argv);
}
