/*
 * An honest user: opens a pool, makes calls until it is told to stop, each timed and its result looked at; opens it
 * anew, or another, when it has become useless.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "live.h"
#include "os/os.h"

#define FILE_MAX (512ll << 20)
#define DEAD_MAX 40 /* calls in a row that found nothing to work with */
#define RENEW 4000  /* calls, about, after which a pool is left */

uint64_t live_below(struct live_client *c, uint64_t n)
{
	return hn_random(&c->random) % n;
}

/* These end threads of the process, or have some work for them: what those do meanwhile (a round of maintenance, a
 * dictionary being made) is work of the call, not a wait. */
static int has_threads(const char *name)
{
	return strcmp(name, "close") == 0 || strcmp(name, "watch_close") == 0 || strcmp(name, "snapshot") == 0 ||
	       strcmp(name, "restore") == 0;
}

static uint64_t cpu_ns(const char *name)
{
	struct timespec ts;

	clock_gettime(has_threads(name) ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

void live_begin(struct live_client *c, const char *name)
{
	snprintf(c->user->name, sizeof c->user->name, "%s", name);
	c->cpu_ns = cpu_ns(name);
	c->user->began_ns = hn_meter_begin(&c->meter);
}

static struct live_call *call_of(struct live_user *user)
{
	unsigned i = 0;

	while (i < LIVE_CALLS - 1 && user->call[i].name[0] != '\0' && strcmp(user->call[i].name, user->name) != 0)
		i++;
	memcpy(user->call[i].name, user->name, sizeof user->name);
	return &user->call[i];
}

/* Codes are named by the library: what it has no name for it must not return. */
static int is_documented(int rc)
{
	return strncmp(latz_strerror(rc), "LATZ_", 5) == 0;
}

int live_end(struct live_client *c, int rc)
{
	static struct hn_waits waits;
	struct live_call *call = call_of(c->user);
	uint64_t began = c->user->began_ns, had, slept;

	waits.max_wall_ns = waits.max_net_ns = 0;
	hn_meter_end(&c->meter, began, &waits);
	c->user->began_ns = 0;
	c->user->calls++;
	call->count++;
	call->refused += rc < 0 && rc != LATZ_NOTFOUND && rc != LATZ_DONE;
	if (waits.max_wall_ns > call->worst_ns)
		call->worst_ns = waits.max_wall_ns;
	had = cpu_ns(c->user->name) - c->cpu_ns;
	slept = waits.max_net_ns > had ? waits.max_net_ns - had : 0;
	if (slept > call->worst_slept_ns) {
		call->worst_slept_ns = slept;
		call->worst_began_ns = began;
		call->worst_ended_ns = hn_now_ns();
	}
	if (waits.max_net_ns > call->worst_net_ns)
		call->worst_net_ns = waits.max_net_ns;
	if (!is_documented(rc)) {
		hn_fail("%s returns %d, which is no result", c->user->name, rc);
		c->user->failed = 1;
	}
	c->dead = rc == LATZ_DEAD || rc == LATZ_CORRUPT || rc == LATZ_CLIENTS || rc == LATZ_TIMEOUT ? c->dead + 1 : 0;
	return rc;
}

void live_look(struct live_client *c, const void *bytes, size_t size)
{
	const uint8_t *b = bytes;

	for (size_t i = 0; i < size; i++)
		c->sum += b[i];
}

static latz_options options_of(const struct live_client *c)
{
	static const latz_policy policies[] = { LATZ_POLICY_NONE,   LATZ_POLICY_LRU,      LATZ_POLICY_WTINYLFU,
		                                LATZ_POLICY_S3FIFO, LATZ_POLICY_SIEVE,    LATZ_POLICY_ARC,
		                                LATZ_POLICY_2Q,     LATZ_POLICY_ADAPTIVE, LATZ_POLICY_FIFO,
		                                LATZ_POLICY_CLOCK };
	const struct live_round *round = &c->shared->round;
	latz_options options = LATZ_OPTIONS_INIT;

	options.flags = LATZ_CREATE | LATZ_NO_GUARD | (round->janitor ? 0 : LATZ_NO_THREAD) |
	                (round->seed % 3 == 0 ? LATZ_KEEP : 0);
	options.dir = c->shared->dir;
	options.max_clients = 8;
	options.timeout_ms = LIVE_TIMEOUT_MS;
	if (round->bounded) {
		options.max_bytes = round->seed % 2 ? 6u << 20 : 0;
		options.max_entries = round->seed % 2 && round->seed % 5 ? 0 : 200;
		options.policy = policies[round->seed / 2 % 10];
	}
	if (round->locked) {
		options.password = LIVE_PASSWORD;
		options.encrypt = round->locked > 1;
	}
	if (c->reads) {
		options.flags = LATZ_READONLY;
		return options;
	}
	if (round->reader)
		options.mode = 0644;
	if (round->audited) {
		options.audit = c->shared->persist;
		options.audit_keys = round->audited > 1 ? LATZ_AUDIT_WRITES | LATZ_AUDIT_READS : 0;
	}
	options.max_age_ms = round->aged ? 300 : 0;
	if (round->packed) {
		options.compress_min = 40;
		options.compress_dict = round->seed % 2 ? LATZ_DICT_AUTO : LATZ_DICT_TRAINED;
	}
	if (round->durable) {
		options.persist_dir = c->shared->persist;
		options.sync = (latz_sync)(round->seed % 3);
		options.sync_interval_ms = 20;
		options.checkpoint_bytes = 1 << 20;
		options.snapshot_on_close = round->seed % 2;
		options.flags |= LATZ_START_EMPTY;
	}
	return options;
}

/* A pool of which nothing is known any more is taken away, or left to itself. */
static void open_pool(struct live_client *c)
{
	latz_options options = options_of(c);
	char name[16];
	int rc;

	for (;;) {
		snprintf(name, sizeof name, "p%u", c->name);
		rc = LIVE_CALL(c, "open", latz_open(name, &options, &c->pool));
		c->dead = 0;
		if (rc == LATZ_OK || c->shared->stop_users)
			break;
		if (c->reads) {
			c->name = (unsigned)live_below(c, 6);
			hn_sleep_us(2000);
			continue;
		}
		(void)LIVE_CALL(c, "destroy", latz_destroy(name, &options));
		c->name += live_below(c, 2) ? 1 : 0;
		hn_sleep_us(500);
	}
	if (rc != LATZ_OK)
		c->pool = NULL;
}

static void close_pool(struct live_client *c)
{
	latz_options options = options_of(c);
	char name[16];

	if (c->pool == NULL)
		return;
	live_put_down(c);
	if (c->space != NULL)
		(void)LIVE_CALL(c, "close", latz_close(c->space));
	if (LIVE_CALL(c, "close", latz_close(c->pool)) != LATZ_OK) {
		hn_fail("latz_close: %s", latz_error_detail());
		c->user->failed = 1;
	}
	c->space = c->pool = NULL;
	snprintf(name, sizeof name, "p%u", c->name);
	if (c->reads)
		return;
	if (live_below(c, 2) || (c->shared->round.seed % 3 == 0 && live_below(c, 4)))
		(void)LIVE_CALL(c, "destroy", latz_destroy(name, &options));
}

static void use_pool(struct live_client *c)
{
	uint64_t left = 100 + live_below(c, 2 * RENEW);

	for (; left > 0 && c->dead < DEAD_MAX && !c->shared->stop_users; left--)
		if (c->reads)
			live_some_read(c);
		else
			live_some_call(c);
}

static int allocate_some(int fd, int mode, off_t offset, off_t size)
{
	if ((mode & FALLOC_FL_PUNCH_HOLE) == 0 && size > FILE_MAX) {
		errno = ENOSPC;
		return -1;
	}
	return fallocate(fd, mode, offset, size);
}

static void no_message(latz_log_level level, const char *message, void *arg)
{
	(void)level;
	(void)message;
	(void)arg;
}

static struct live_user *self;

/* The sanitizer calls this when it finds something, before it tells what. */
void __asan_on_error(void);
void __asan_on_error(void)
{
	if (self != NULL)
		self->dying = 1;
}

int live_use(struct live_shared *shared, unsigned who)
{
	static struct live_client client;
	struct live_client *c = &client;

	/* What the scribbler makes of counts and sizes must not fill the machine. */
	lzi_os.fallocate = allocate_some;
	if (!hn_verbose)
		latz_set_logger(no_message, NULL, LATZ_LOG_NONE);
	c->shared = shared;
	c->user = self = &shared->user[who];
	c->random = hn_mix(shared->round.seed + who);
	c->name = (unsigned)live_below(c, 2);
	snprintf(c->snapshot, sizeof c->snapshot, "%s/snap-%u", shared->persist, who);
	for (size_t i = 0; i < sizeof c->bytes; i++)
		c->bytes[i] = (uint8_t)(i % 37 < 30 ? "{\"name\": \"value\", \"number\": 1234567890}"[i % 39]
		                                    : (char)hn_random(&c->random));
	hn_meter_open(&c->meter);
	c->reads = shared->round.reader && who == 1;
	if (c->reads && geteuid() == 0 &&
	    (setresgid(LIVE_NOBODY, LIVE_NOBODY, LIVE_NOBODY) != 0 ||
	     setresuid(LIVE_NOBODY, LIVE_NOBODY, LIVE_NOBODY) != 0))
		hn_die("become user %u: %s", LIVE_NOBODY, strerror(errno));
	do {
		open_pool(c);
		if (c->pool == NULL)
			break;
		use_pool(c);
		close_pool(c);
	} while (!shared->stop_users);
	latz_value_free(&c->value);
	return c->user->failed;
}
