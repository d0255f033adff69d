/*
 * Rounds of random SIGKILL among mixed clients of one pool, against a ledger of acknowledged writes that outlives them:
 * nothing acknowledged lost, nothing torn, no increment lost, no extent leaked, nobody made to wait. From one stop to
 * the next the pool is bounded or not, and compresses or not.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "ledger.h"

#define CLIENTS_MAX 64
#define SHARED_KEYS 64
#define SHARED_OWNER 200
#define COUNTER "shared/counter"
#define BOUNDED_TIMES 10
#define MAX_BYTES (16u << 20) /* each client has an extent of its own or two */

static uint64_t kills_max = 6, rounds = 1000, clients = 16, keys = 200, limit_ms = 10, check_every = 50;
static int is_short;

static const struct hn_option options[] = {
	{ "short", "15 rounds", NULL, NULL, &is_short },
	{ "rounds", "rounds of killing (default 1000)", &rounds, NULL, NULL },
	{ "clients", "processes at once (default 16, at most 64)", &clients, NULL, NULL },
	{ "keys", "keys of each client (default 200)", &keys, NULL, NULL },
	{ "kills", "at most so many are killed in a round; 0: none, to see what the machine itself does (default 6)",
	  &kills_max, NULL, NULL },
	{ "limit-ms", "ceiling for the longest wait (default 10), ten times that while the pool is bounded", &limit_ms,
	  NULL, NULL },
	{ "check-every", "rounds between two stops for verify and the leak check (default 50)", &check_every, NULL,
	  NULL },
	{ 0 }
};

struct side {
	struct hn_waits waits;
	char worst[24]; /* the kind of operation that waited longest */
	uint64_t worst_end_ns;
};

struct client {
	unsigned slot;
	struct hn_ledger *ledger;
	struct side side[2]; /* 1: while the pool was bounded */
	_Atomic uint64_t counter_acked;
	_Atomic uint64_t ops;
	_Atomic int stop;
	_Atomic int bad;
	unsigned lives;
};

struct shared {
	struct client client[CLIENTS_MAX];
	_Atomic uint64_t shared_number; /* of writes to the keys everybody writes */
	_Atomic uint64_t kills;
	uint64_t killed_ns[4096]; /* a ring of the times */
	_Atomic unsigned hot[2];  /* slots of those who do not rest */
	_Atomic unsigned compresses, bounded; /* what the pool does from the last stop on */
	_Atomic uint64_t trained;
	uint64_t evicted, compressed, stops;
};

static struct shared *sh;
static char dir[300];

struct run {
	struct client *c;
	latz_pool *pool;
	latz_value value;
	struct hn_meter meter;
	uint64_t rnd;
};

static void complain(struct run *r, const char *what, int rc)
{
	if (r->c->bad++ < 3)
		hn_fail("client %u: %s: %s (%s)", r->c->slot, what, hn_rc(rc), latz_error_detail());
}

static void measure(struct run *r, uint64_t start_ns, const char *what)
{
	struct side *side = &r->c->side[sh->bounded];
	uint64_t before = side->waits.max_net_ns;

	hn_meter_end(&r->meter, start_ns, &side->waits);
	if (side->waits.max_net_ns > before) {
		snprintf(side->worst, sizeof side->worst, "%s", what);
		side->worst_end_ns = hn_now_ns();
	}
}

static void own_write(struct run *r)
{
	uint32_t i = (uint32_t)(hn_random(&r->rnd) % r->c->ledger->count);
	uint64_t start = hn_meter_begin(&r->meter);
	int rc, kind = (int)(hn_random(&r->rnd) % 10);

	if (kind < 6)
		rc = hn_ledger_set(r->c->ledger, r->pool, i);
	else if (kind < 9)
		rc = hn_ledger_delete(r->c->ledger, r->pool, i);
	else
		rc = hn_ledger_swap(r->c->ledger, r->pool, i);
	/* A large value takes its time to be made, written and read back; waiting shows in the small ones. */
	if (hn_value_size(r->c->ledger, i, r->c->ledger->next - 1) <= 4096)
		measure(r, start, kind < 6 ? "set" : kind < 9 ? "delete" : "swap");
	if (rc != LATZ_OK && rc != LATZ_NOTFOUND)
		complain(r, "own write", rc);
}

static void own_read(struct run *r)
{
	uint32_t i = (uint32_t)(hn_random(&r->rnd) % r->c->ledger->count);
	uint64_t acked = r->c->ledger->keys[i].acked, number = 0, start = hn_meter_begin(&r->meter);
	char key[HN_KEY_MAX];
	int rc = latz_get(r->pool, hn_key(key, r->c->ledger->owner, i), &r->value);

	measure(r, start, "get");
	if (rc == LATZ_OK) {
		if (hn_value_check(r->value.data, r->value.size, r->c->ledger->owner, i, &number) != 0 ||
		    number << 1 != acked) {
			hn_fail("client %u: key %u holds write %llu, acknowledged %llu", r->c->slot, i,
			        (unsigned long long)number, (unsigned long long)acked);
			r->c->bad++;
		}
	} else if (rc != LATZ_NOTFOUND || (acked && !(acked & 1) && !r->c->ledger->evicts)) {
		complain(r, "own read", rc);
	}
}

static void shared_op(struct run *r)
{
	uint32_t i = (uint32_t)(hn_random(&r->rnd) % SHARED_KEYS);
	unsigned char bytes[1200];
	char key[HN_KEY_MAX];
	latz_slice name = hn_key(key, SHARED_OWNER, i);
	uint64_t number = 0, start;
	int rc, kind = (int)(hn_random(&r->rnd) % 8);
	size_t size = HN_VALUE_MIN + hn_random(&r->rnd) % 1100;

	if (kind < 3)
		hn_value_fill(bytes, size, SHARED_OWNER, i, atomic_fetch_add(&sh->shared_number, 1) + 1);
	start = hn_meter_begin(&r->meter);
	if (kind < 3)
		rc = latz_set(r->pool, name, (latz_slice){ bytes, size }, NULL);
	else if (kind == 3)
		rc = latz_delete(r->pool, name);
	else if (kind == 4)
		rc = latz_increment(r->pool, latz_str(COUNTER), 1, NULL);
	else
		rc = latz_get(r->pool, name, &r->value);
	measure(r, start,
	        kind < 3    ? "shared set"
	        : kind == 3 ? "shared delete"
	        : kind == 4 ? "increment"
	                    : "shared get");
	if (kind == 4 && rc == LATZ_OK)
		r->c->counter_acked++;
	if (kind > 4 && rc == LATZ_OK && hn_value_check(r->value.data, r->value.size, SHARED_OWNER, i, &number) != 0) {
		hn_fail("client %u: read a torn value of shared key %u", r->c->slot, i);
		r->c->bad++;
	}
	if (rc != LATZ_OK && rc != LATZ_NOTFOUND)
		complain(r, "shared key", rc);
}

/* Keys in order, each once, values whole. */
static void scan_some(struct run *r)
{
	latz_scan_options o = LATZ_SCAN_OPTIONS_INIT;
	unsigned char last[HN_KEY_MAX];
	size_t last_size = 0;
	latz_scan *scan;
	latz_slice key;
	int rc, n = 0, limit = (int)(hn_random(&r->rnd) % 500);

	o.prefix = latz_str("key/");
	rc = latz_scan_open(r->pool, &o, &scan);
	if (rc != LATZ_OK) {
		complain(r, "scan_open", rc);
		return;
	}
	while (n++ < limit && (rc = latz_scan_next(scan, &key, &r->value)) == LATZ_OK) {
		size_t least = key.size < last_size ? key.size : last_size;
		int order = last_size ? memcmp(key.data, last, least) : 1;

		if (order < 0 || (order == 0 && key.size <= last_size)) {
			hn_fail("client %u: scan out of order", r->c->slot);
			r->c->bad++;
			break;
		}
		if (key.size <= sizeof last) {
			memcpy(last, key.data, key.size);
			last_size = key.size;
		}
	}
	if (rc != LATZ_OK && rc != LATZ_DONE)
		complain(r, "scan_next", rc);
	rc = latz_scan_close(scan);
	if (rc != LATZ_OK)
		complain(r, "scan_close", rc);
}

static void borrow_one(struct run *r)
{
	uint32_t i = (uint32_t)(hn_random(&r->rnd) % r->c->ledger->count);
	char key[HN_KEY_MAX];
	latz_view view = { 0 };
	uint64_t number;
	int rc = latz_borrow(r->pool, hn_key(key, r->c->ledger->owner, i), &view);

	if (rc == LATZ_NOTFOUND)
		return;
	if (rc != LATZ_OK) {
		complain(r, "borrow", rc);
		return;
	}
	rc = hn_ledger_delete(r->c->ledger, r->pool, i);
	if (rc != LATZ_OK)
		complain(r, "delete under a view", rc);
	if (hn_value_check(view.data, view.size, r->c->ledger->owner, i, &number) != 0) {
		hn_fail("client %u: a borrowed value changed", r->c->slot);
		r->c->bad++;
	}
	rc = latz_release(&view);
	if (rc != LATZ_OK)
		complain(r, "release", rc);
}

/* Of few values, so that it is done before its maker is killed, more often than not. */
static void train(struct run *r)
{
	latz_train_options o = LATZ_TRAIN_OPTIONS_INIT;
	latz_train_info info = { .size = sizeof info };
	int rc;

	o.sample_bytes = 64 << 10;
	o.dict_bytes = 2 << 10;
	rc = latz_train(r->pool, &o, &info);
	if (rc != LATZ_OK && rc != LATZ_TOOBIG)
		complain(r, "train", rc);
	sh->trained += rc == LATZ_OK && info.dictionary != 0;
}

static int client_run(void *arg)
{
	struct client *c = arg;
	latz_options o = hn_options(dir, LATZ_CREATE | (c->slot % 4 ? LATZ_NO_THREAD : 0));
	struct run r = { .c = c, .value = LATZ_VALUE_INIT, .rnd = hn_seed ^ hn_mix(c->slot * 7919u + c->lives) };
	int rc = latz_open("pool", &o, &r.pool);

	if (rc != LATZ_OK) {
		complain(&r, "open", rc);
		return 1;
	}
	hn_meter_open(&r.meter);
	/* The heir of whoever had this slot before: what it acknowledged must be here. */
	c->bad += hn_ledger_check(c->ledger, r.pool, 1, "after a death");
	while (!c->stop && !c->bad) {
		for (int i = 0; i < 20; i++) {
			int kind = (int)(hn_random(&r.rnd) % 16);

			if (kind < 7)
				own_write(&r);
			else if (kind < 11)
				own_read(&r);
			else
				shared_op(&r);
			c->ops++;
		}
		if (hn_random(&r.rnd) % 50 == 0)
			scan_some(&r);
		if (hn_random(&r.rnd) % 20 == 0)
			borrow_one(&r);
		if (sh->compresses && hn_random(&r.rnd) % 100 == 0)
			train(&r);
		/* With more to do than there are processors the figure would be the scheduler's: a few run hot, others
		 * rest. */
		if (sh->hot[0] == c->slot || sh->hot[1] == c->slot)
			hn_sleep_us(20);
		else
			hn_sleep_us(2000 + (unsigned)(hn_random(&r.rnd) % 4000));
	}
	latz_value_free(&r.value);
	rc = latz_close(r.pool);
	if (rc != LATZ_OK)
		complain(&r, "close", rc);
	return c->bad ? 1 : 0;
}

/* ---- The keeper: attached throughout, looks after everything when the clients are away ----------------------------
 */

static uint64_t in_use(const latz_stats_t *s)
{
	return s->extents - s->extents_free - s->extents_hole;
}

static int delete_all(latz_pool *pool, const char *when)
{
	char key[HN_KEY_MAX];
	int bad = 0, rc;

	for (unsigned c = 0; c < clients; c++)
		for (uint32_t i = 0; i < keys; i++) {
			rc = hn_ledger_delete(sh->client[c].ledger, pool, i);

			bad += rc != LATZ_OK && rc != LATZ_NOTFOUND;
		}
	for (uint32_t i = 0; i < SHARED_KEYS; i++) {
		rc = latz_delete(pool, hn_key(key, SHARED_OWNER, i));
		bad += rc != LATZ_OK && rc != LATZ_NOTFOUND;
	}
	rc = latz_delete(pool, latz_str(COUNTER));
	bad += rc != LATZ_OK && !(rc == LATZ_NOTFOUND && sh->bounded);
	if (bad)
		hn_fail("%s: %d deletes failed (%s)", when, bad, latz_error_detail());
	return bad;
}

/* The counter's value is every acknowledged increment and at most one more for each death. */
static void check_counter(latz_pool *pool, const char *when)
{
	latz_value value = LATZ_VALUE_INIT;
	uint64_t acked = 0;
	int64_t count = 0;

	for (unsigned c = 0; c < clients; c++)
		acked += sh->client[c].counter_acked;
	if (latz_get(pool, latz_str(COUNTER), &value) == LATZ_OK && value.size == 8)
		memcpy(&count, value.data, 8);
	if (!sh->bounded && ((uint64_t)count < acked || (uint64_t)count > acked + sh->kills))
		hn_fail("%s: counter %lld, acknowledged %llu, deaths %llu", when, (long long)count,
		        (unsigned long long)acked, (unsigned long long)sh->kills);
	latz_value_free(&value);
}

/* For the time to the next stop; the pool is empty. */
static void change_settings(latz_pool *pool, const char *when)
{
	static const latz_policy policies[] = { LATZ_POLICY_ADAPTIVE, LATZ_POLICY_LRU, LATZ_POLICY_S3FIFO,
		                                LATZ_POLICY_WTINYLFU };
	static const unsigned lots[] = { 3, 1, 2, 0 };
	uint64_t rnd = hn_seed ^ hn_mix(sh->kills), lot = lots[sh->stops++ % 4];
	latz_options o = LATZ_OPTIONS_INIT;
	latz_limits limits = LATZ_LIMITS_INIT;
	int rc;

	sh->compresses = lot % 2;
	sh->bounded = lot / 2;
	o.compress_min = sh->compresses ? 40 : 0;
	o.compress_level = sh->compresses ? (int)(hn_random(&rnd) % 5) - 1 : 0;
	if (sh->bounded) {
		limits.max_bytes = MAX_BYTES;
		limits.max_entries = hn_random(&rnd) % 2 ? clients * keys / 2 : 0;
		limits.policy = policies[hn_random(&rnd) % 4];
	}
	rc = latz_compress(pool, &o);
	if (rc == LATZ_OK)
		rc = latz_limit(pool, &limits);
	if (rc != LATZ_OK)
		hn_fail("%s: other settings: %s (%s)", when, hn_rc(rc), latz_error_detail());
	for (unsigned c = 0; c < clients; c++)
		sh->client[c].ledger->evicts = sh->bounded;
}

static int keeper_pause(void *arg)
{
	const char *when = arg;
	latz_options o = hn_options(dir, LATZ_NO_THREAD);
	latz_stats_t s = { .size = sizeof s };
	latz_pool *pool;
	int rc = latz_open("pool", &o, &pool);

	if (rc != LATZ_OK) {
		hn_fail("%s: open: %s (%s)", when, hn_rc(rc), latz_error_detail());
		return 1;
	}
	rc = hn_maintain(pool, 10000);
	if (rc != LATZ_OK)
		hn_fail("%s: maintain: %s (%s)", when, hn_rc(rc), latz_error_detail());
	for (unsigned c = 0; c < clients; c++)
		hn_ledger_check(sh->client[c].ledger, pool, 1, when);
	check_counter(pool, when);
	hn_verify(pool, when);
	delete_all(pool, when);
	for (unsigned c = 0; c < clients; c++)
		sh->client[c].counter_acked = 0;
	rc = hn_maintain(pool, 10000);
	if (rc != LATZ_OK)
		hn_fail("%s: maintain after deleting all: %s (%s)", when, hn_rc(rc), latz_error_detail());
	rc = latz_stats(pool, &s);
	if (rc != LATZ_OK || s.keys != 0 || s.live_bytes != 0)
		hn_fail("%s: after deleting everything %llu keys, %llu live bytes are left (%s)", when,
		        (unsigned long long)s.keys, (unsigned long long)s.live_bytes, hn_rc(rc));
	/* The two attached here may each have one open, and the pool a few of its own. */
	if (in_use(&s) > 8)
		hn_fail("%s: %llu extents leaked (of %llu; %llu free, %llu given back); %llu bytes dead, %u scans and "
		        "%u views of %u "
		        "clients, index %llu behind",
		        when, (unsigned long long)in_use(&s), (unsigned long long)s.extents,
		        (unsigned long long)s.extents_free, (unsigned long long)s.extents_hole,
		        (unsigned long long)s.dead_bytes, s.pins, s.views, s.clients,
		        (unsigned long long)s.index_lag_bytes);
	hn_verify(pool, when);
	sh->evicted = s.evicted;
	sh->compressed = s.compressed;
	change_settings(pool, when);
	hn_note("%s: extents %llu in use %llu, reaped %llu, file bytes %llu", when, (unsigned long long)s.extents,
	        (unsigned long long)in_use(&s), (unsigned long long)s.reaped, (unsigned long long)s.file_bytes);
	rc = latz_close(pool);
	return rc != LATZ_OK || hn_failures() ? 1 : 0;
}

static int keeper_stay(void *arg)
{
	latz_options o = hn_options(dir, LATZ_CREATE | LATZ_NO_THREAD);
	_Atomic int *ready = arg;
	latz_pool *pool;
	int rc = latz_open("pool", &o, &pool);

	if (rc != LATZ_OK) {
		hn_fail("keeper: open: %s (%s)", hn_rc(rc), latz_error_detail());
		return 1;
	}
	*ready = 1;
	while (*ready)
		hn_sleep_us(2000);
	rc = latz_close(pool);
	return rc == LATZ_OK ? 0 : 1;
}

/* ---- Rounds ----------------------------------------------------------------------------------------------------- */

static pid_t pids[CLIENTS_MAX];

static void spawn(unsigned c)
{
	sh->client[c].stop = 0;
	sh->client[c].lives++;
	pids[c] = hn_fork(client_run, &sh->client[c]);
}

static void kill_some(uint64_t *rnd)
{
	unsigned n = kills_max ? 1 + (unsigned)(hn_random(rnd) % kills_max) : 0;

	for (unsigned i = 0; i < n; i++) {
		unsigned c = i < 2 && hn_random(rnd) % 2 ? sh->hot[i] : (unsigned)(hn_random(rnd) % clients);
		int status;

		if (!pids[c])
			continue;
		sh->killed_ns[sh->kills % 4096] = hn_now_ns();
		hn_kill(pids[c], SIGKILL);
		if (hn_random(rnd) % 2)
			hn_sleep_us((unsigned)(hn_random(rnd) % 3000));
		if (hn_wait(pids[c], 10000, &status) != 0 || !WIFSIGNALED(status))
			hn_fail("client %u ended by itself: %s", c, hn_status_text(status));
		pids[c] = 0;
		sh->kills++;
	}
}

static void stop_all(const char *when)
{
	for (unsigned c = 0; c < clients; c++)
		sh->client[c].stop = 1;
	for (unsigned c = 0; c < clients; c++) {
		char what[100];

		snprintf(what, sizeof what, "%s: client %u", when, c);
		if (pids[c])
			hn_expect(pids[c], 20000, 0, what);
		pids[c] = 0;
	}
}

/* The longest wait: of what kind, and whether a death lies in it. In a bounded pool writers wait for each other to make
 * room, and whoever is at it may be without a processor for some time. */
static void judge_waits(unsigned bounded)
{
	const struct side *worst = &sh->client[0].side[bounded];
	double ceiling = (double)limit_ms * (bounded ? BOUNDED_TIMES : 1), wall, net;
	uint64_t start, end;
	int deaths = 0;

	for (unsigned c = 1; c < clients; c++)
		if (sh->client[c].side[bounded].waits.max_net_ns > worst->waits.max_net_ns)
			worst = &sh->client[c].side[bounded];
	if (worst->waits.ops == 0)
		return;
	end = worst->worst_end_ns;
	start = end - worst->waits.max_net_ns;
	/* A wait that began up to a millisecond before or after a death is that death's. */
	for (unsigned i = 0; i < 4096; i++)
		deaths += sh->killed_ns[i] + 1000000 >= start && sh->killed_ns[i] <= end;
	wall = (double)worst->waits.max_wall_ns / 1e6;
	net = (double)worst->waits.max_net_ns / 1e6;
	printf("random, %s: the longest operation %.2f ms, the longest wait %.2f ms (ceiling %.0f), a %s's, with %d "
	       "deaths meanwhile\n",
	       bounded ? "bounded" : "not bounded", wall, net, ceiling, worst->worst, deaths);
	if (net > ceiling)
		hn_fail("the longest wait was %.1f ms (ceiling %.0f)", net, ceiling);
}

static int body(void)
{
	_Atomic int *ready = hn_shared(sizeof *ready);
	uint64_t rnd = hn_seed, ops = 0;
	char when[64];
	pid_t keeper;

	if (is_short) {
		rounds = 15;
		check_every = 5;
	}
	if (clients > CLIENTS_MAX)
		clients = CLIENTS_MAX;
	sh = hn_shared(sizeof *sh);
	hn_subdir(dir, sizeof dir, "random");
	for (unsigned c = 0; c < clients; c++) {
		sh->client[c].slot = c;
		sh->client[c].ledger = hn_ledger_new(c + 1, (uint32_t)keys, 300000);
	}
	keeper = hn_fork(keeper_stay, ready);
	for (uint64_t start = hn_now_ns(); !*ready && hn_since_ms(start) < 10000;)
		hn_sleep_us(500);
	for (uint64_t round = 1; round <= rounds && !hn_failures(); round++) {
		for (unsigned c = 0; c < clients; c++)
			if (!pids[c])
				spawn(c);
		for (unsigned i = 0; i < 2; i++)
			sh->hot[i] = (unsigned)(hn_random(&rnd) % clients);
		hn_sleep_us(3000 + (unsigned)(hn_random(&rnd) % 60000));
		kill_some(&rnd);
		if (round % check_every != 0 && round != rounds)
			continue;
		snprintf(when, sizeof when, "round %llu", (unsigned long long)round);
		stop_all(when);
		hn_expect(hn_fork(keeper_pause, when), 60000, 0, when);
		if (!is_short)
			printf("%s: %llu killed so far, %d failures\n", when, (unsigned long long)sh->kills,
			       hn_failures());
		fflush(stdout);
	}
	stop_all("end");
	*ready = 0;
	hn_expect(keeper, 10000, 0, "keeper");
	for (unsigned c = 0; c < clients; c++)
		ops += sh->client[c].ops;
	judge_waits(0);
	judge_waits(1);
	printf("random: %llu evicted, %llu values compressed, %llu dictionaries\n", (unsigned long long)sh->evicted,
	       (unsigned long long)sh->compressed, (unsigned long long)sh->trained);
	printf("random: %llu rounds, %llu clients, %llu killed, %llu operations; lost, torn or leaked: %s\n",
	       (unsigned long long)rounds, (unsigned long long)clients, (unsigned long long)sh->kills,
	       (unsigned long long)ops, hn_failures() ? "see above" : "0");
	return hn_failures() ? 1 : 0;
}

static unsigned watchdog(void)
{
	return is_short ? 120 : 3600;
}

int main(int argc, char **argv)
{
	const struct hn_program program = {
		"crash_random", "random SIGKILL among mixed clients against a ledger of writes",
		options,        0,
		watchdog,       body
	};

	return hn_main(&program, argc, argv);
}
