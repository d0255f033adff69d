/*
 * Rows of durable sets: what eight clients get done a second, each waiting for the disk with every set, and how long
 * one client waits, against one bare write and fdatasync.
 *
 * Stores hold sync_keys keys before; clients overwrite random ones. In the row of one client the systems take turns
 * every few sets, because a disk's speed drifts; its figure against the bare write is made within each round.
 */
#define _GNU_SOURCE
#include "durable.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	TURN = 5,    /* sets in a row */
	TURNS = 160, /* a round */
	SLICES = 6,  /* of the clients' seconds a round */
	STORES = 16
};

struct store {
	const struct durable_system *system;
	void *db; /* NULL while a process of clients has it alone */
};

static struct store stores[STORES];
static unsigned store_count;

static void reopen(struct store *s)
{
	struct store_spec spec = { STORE_SYNC, VALUE_SIZE, 0 };
	if (s->db == NULL)
		s->db = s->system->open(&spec);
	if (s->db == NULL)
		bench_fail("%s: the store cannot be opened again: %s", s->system->name, durable_reason());
}

void rows_sets_open(void)
{
	struct store_spec spec = { STORE_SYNC, VALUE_SIZE, 1 };
	for (int i = 0; durable_systems[i] != NULL; i++) {
		const struct durable_system *system = durable_systems[i];
		if (system->set == NULL || !durable_asked(system->name))
			continue;
		bench_say("filling %s to set durably", system->name);
		struct store s = { system, system->open(&spec) };
		if (s.db == NULL || system->load(s.db, durable_config.sync_keys) != 0) {
			report_not_run("always", system->name, durable_reason());
			report_not_run("client", system->name, durable_reason());
			if (s.db != NULL)
				system->close(s.db);
			continue;
		}
		durable_check(system, s.db, durable_config.sync_keys, 1000);
		stores[store_count++] = s;
	}
	durable_quiesce();
}

void rows_sets_close(void)
{
	for (unsigned i = 0; i < store_count; i++) {
		reopen(&stores[i]);
		durable_check(stores[i].system, stores[i].db, durable_config.sync_keys, 1000);
		stores[i].system->close(stores[i].db);
	}
	store_count = 0;
}

/* One slice: sets/s of the clients together, each a process, or all threads of one. */
static double clients_rate(struct store *s, unsigned round)
{
	struct child clients[CLIENTS];
	int n = s->system->one_process ? 1 : CLIENTS;
	char threads[12], seed[24], seconds[24], byte;
	double sum = 0;
	if (s->system->one_process && s->db != NULL) {
		s->system->close(s->db);
		s->db = NULL;
	}
	snprintf(threads, sizeof(threads), "%d", s->system->one_process ? CLIENTS : 1);
	snprintf(seconds, sizeof(seconds), "%.3f", durable_config.seconds / SLICES);
	for (int i = 0; i < n; i++) {
		snprintf(seed, sizeof(seed), "%u", 1000 * (round + 1) + (unsigned)i);
		const char *args[] = { s->system->name, threads, seed, seconds, NULL };
		clients[i] = child_start("set", args);
	}
	for (int i = 0; i < n; i++)
		if (child_read(&clients[i], &byte, 1) != 0)
			bench_fail("%s: a client ended early", s->system->name);
	for (int i = 0; i < n; i++)
		child_go(&clients[i]);
	for (int i = 0; i < n; i++) {
		double rate;
		if (child_read(&clients[i], &rate, sizeof(rate)) != 0 || child_end(&clients[i]) != 0 || rate < 0)
			bench_fail("%s: a client failed", s->system->name);
		sum += rate;
	}
	return sum;
}

/* A disk's speed has phases of its own, so the time is cut into short turns, and systems are compared within each. */
void row_always(unsigned round)
{
	for (unsigned turn = 0; turn < SLICES; turn++) {
		double rates[STORES], own = NAN;
		for (unsigned i = 0; i < store_count; i++) {
			unsigned at = (i + turn + round) % store_count;
			durable_quiesce();
			rates[at] = clients_rate(&stores[at], round * SLICES + turn);
			result_add("always", stores[at].system->name, rates[at]);
			if (strcmp(stores[at].system->name, "latzero") == 0)
				own = rates[at];
		}
		for (unsigned i = 0; i < store_count && !isnan(own); i++)
			result_add("always-times", stores[i].system->name, own / rates[i]);
	}
}

static int by_time(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

void row_client(unsigned round)
{
	static double us[STORES][TURN * TURNS];
	uint8_t key[KEY_SIZE], value[VALUE_SIZE];
	uint64_t seed = 5000 + round;
	double bare = NAN;
	for (unsigned i = 0; i < store_count; i++)
		reopen(&stores[i]);
	durable_quiesce();
	for (unsigned n = 0; n < TURN * TURNS; n += TURN) {
		for (unsigned i = 0; i < store_count; i++) {
			struct store *s = &stores[(i + n / TURN) % store_count];
			for (unsigned k = n; k < n + TURN; k++) {
				uint64_t id = bench_random(&seed) % durable_config.sync_keys;
				bench_key(id, key);
				bench_value(id, seed, value);
				uint64_t start = bench_now_ns();
				if (s->system->set(s->db, key, value) != 0)
					bench_fail("%s: set: %s", s->system->name, durable_reason());
				us[s - stores][k] = (double)(bench_now_ns() - start) / 1000;
			}
		}
	}
	for (unsigned i = 0; i < store_count; i++) {
		qsort(us[i], TURN * TURNS, sizeof(us[i][0]), by_time);
		result_add("client", stores[i].system->name, us[i][TURN * TURNS / 2]);
		result_add("client-99", stores[i].system->name, us[i][TURN * TURNS * 99 / 100]);
		if (stores[i].system == &durable_bare)
			bare = us[i][TURN * TURNS / 2];
	}
	for (unsigned i = 0; i < store_count && !isnan(bare); i++)
		result_add("client-bare", stores[i].system->name, us[i][TURN * TURNS / 2] / bare);
}
