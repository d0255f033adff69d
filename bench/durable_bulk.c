/*
 * Rows of snapshots and restores: every system that has them is filled with the same keys, then they take turns
 * writing a snapshot, then they take turns restoring it. What a restore reads was written just before, so it is in the
 * page cache, for all of them.
 */
#define _GNU_SOURCE
#include "durable.h"

#include <stdio.h>

struct bulk {
	const struct durable_system *system;
	void *db;
	int snapshots; /* 0: it has none, or it failed */
};

/* The metrics' names for a value size. */
struct names {
	const char *snapshot, *synced, *bytes, *first, *all, *read;
};

static const struct names names_100 = {
	"snapshot-100", "synced-100", "bytes-100", "first-100", "all-100", "read-100",
};
static const struct names names_1000 = {
	"snapshot-1000", "synced-1000", "bytes-1000", "first-1000", "all-1000", "read-1000",
};

static void slice_snapshot(struct bulk *b, const struct names *names, int kept)
{
	durable_quiesce();
	double seconds = b->system->snapshot(b->db);
	uint64_t returned = bench_now_ns();
	if (seconds < 0) {
		report_not_run("snapshot", b->system->name, durable_reason());
		report_not_run("restore", b->system->name, durable_reason());
		b->snapshots = 0;
		return;
	}
	if (kept) {
		durable_quiesce();
		result_add(names->snapshot, b->system->name, seconds);
		result_add(names->synced, b->system->name, seconds + durable_seconds(returned));
		result_add(names->bytes, b->system->name, (double)b->system->snapshot_bytes(b->db) / 1e6);
	}
}

static void slice_restore(struct bulk *b, const struct names *names)
{
	struct restore_times times = { 0, 0, 0 };
	durable_quiesce();
	if (b->system->restore(b->db, &times) != 0) {
		report_not_run("restore", b->system->name, durable_reason());
		b->snapshots = 0;
		return;
	}
	result_add(names->first, b->system->name, times.first);
	result_add(names->all, b->system->name, times.all);
	if (times.read > 0)
		result_add(names->read, b->system->name, times.read);
}

static unsigned fill(struct bulk *bulks, size_t value_size, int want_restore)
{
	unsigned count = 0;
	struct store_spec spec = { STORE_BULK, value_size, 1 };
	for (int i = 0; durable_systems[i] != NULL; i++) {
		const struct durable_system *system = durable_systems[i];
		if (!durable_asked(system->name) || (system->snapshot == NULL && system->restore == NULL) ||
		    (system->snapshot == NULL && !want_restore))
			continue;
		bench_say("filling %s with values of %zu bytes", system->name, value_size);
		struct bulk b = { system, system->open(&spec), 1 };
		if (b.db == NULL || system->load(b.db, durable_config.keys) != 0) {
			report_not_run("snapshot", system->name, durable_reason());
			report_not_run("restore", system->name, durable_reason());
			if (b.db != NULL)
				system->close(b.db);
			continue;
		}
		durable_check(system, b.db, durable_config.keys, 10000);
		bulks[count++] = b;
	}
	return count;
}

void rows_bulk(size_t value_size)
{
	struct bulk bulks[SYSTEMS_MAX];
	const struct names *names = value_size == 100 ? &names_100 : &names_1000;
	int want_snapshot = durable_wanted("snapshot"), want_restore = durable_wanted("restore");
	unsigned count = fill(bulks, value_size, want_restore), rounds = durable_config.rounds;
	/* a restore by itself needs one snapshot */
	for (unsigned round = 0; round < (want_snapshot ? rounds : 1); round++) {
		bench_say("snapshots of %zu-byte values, round %u of %u", value_size, round + 1, rounds);
		for (unsigned i = 0; i < count; i++) {
			struct bulk *b = &bulks[(i + round) % count];
			if (b->snapshots && b->system->snapshot != NULL)
				slice_snapshot(b, names, want_snapshot);
		}
	}
	for (unsigned round = 0; round < rounds && want_restore; round++) {
		bench_say("restores of %zu-byte values, round %u of %u", value_size, round + 1, rounds);
		for (unsigned i = 0; i < count; i++) {
			struct bulk *b = &bulks[(i + round) % count];
			if (b->snapshots && b->system->restore != NULL)
				slice_restore(b, names);
		}
	}
	for (unsigned i = 0; i < count; i++)
		bulks[i].system->close(bulks[i].db);
}
