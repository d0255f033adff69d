/*
 * The durable victim: alone in a pool that writes a log, synced at every write. Passes the points of flushing, notes,
 * checkpoints, snapshots, leaving, warm starts and beginning a log on a running pool. See workload.h.
 */
#define _GNU_SOURCE
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/point.h"
#include "workload.h"

static void check(struct wl_victim *v, int *bad, const char *what, int rc)
{
	if (rc == LATZ_OK || rc == LATZ_NOTFOUND || rc == LATZ_BUSY)
		return;
	if ((*bad)++ < 5)
		hn_fail("victim at %s: %s: %s (%s)", v->point ? v->point : "-", what, hn_rc(rc), latz_error_detail());
}

void wl_durable_disk(const char *dir, char *out, size_t size)
{
	snprintf(out, size, "%s-disk", dir);
}

latz_options wl_durable_options(const char *dir, const char *disk)
{
	latz_options o = hn_options(dir, LATZ_CREATE | LATZ_NO_THREAD | LATZ_NO_GUARD);

	o.persist_dir = disk;
	o.sync = LATZ_SYNC_ALWAYS;
	o.checkpoint_bytes = 256 << 10;
	o.snapshot_on_close = 1;
	return o;
}

static void writes(struct wl_victim *v, latz_pool *pool, int *bad, uint32_t count)
{
	uint64_t rnd = hn_seed ^ v->ledger->next;

	for (uint32_t i = 0; i < count && !*bad; i++) {
		uint32_t key = (uint32_t)(hn_random(&rnd) % v->ledger->count);
		char buf[HN_KEY_MAX];

		check(v, bad, "set", hn_ledger_set(v->ledger, pool, key));
		if (i % 4 == 1)
			check(v, bad, "delete",
			      hn_ledger_delete(v->ledger, pool, (uint32_t)(hn_random(&rnd) % v->ledger->count)));
		if (i % 4 == 2)
			check(v, bad, "touch",
			      latz_touch(pool, hn_key(buf, v->ledger->owner, key), i % 8 == 2 ? 3600000 : -1));
		if (i % 16 == 3)
			check(v, bad, "maintain", hn_maintain(pool, 2000));
	}
}

int wl_durable_run(struct wl_victim *v)
{
	char disk[400];
	latz_options durable, plain = hn_options(v->dir, LATZ_CREATE | LATZ_NO_THREAD | LATZ_NO_GUARD);
	latz_pool *pool;
	int bad = 0, rc;

	wl_durable_disk(v->dir, disk, sizeof disk);
	durable = wl_durable_options(v->dir, disk);
	rc = latz_open(v->pool, &plain, &pool);
	check(v, &bad, "open", rc);
	if (rc != LATZ_OK)
		return 1;
	writes(v, pool, &bad, 60);
	v->stage = WL_BEGINNING;
	rc = latz_persist(pool, &durable);
	check(v, &bad, "persist", rc);
	v->stage = WL_DURABLE_NOW;
	for (int round = 0; round < v->rounds + 1 && !bad; round++) {
		writes(v, pool, &bad, 160);
		check(v, &bad, "sync_now", latz_sync_now(pool));
		check(v, &bad, "maintain", hn_maintain(pool, 2000));
		check(v, &bad, "close", latz_close(pool));
		rc = latz_open(v->pool, &durable, &pool);
		check(v, &bad, "open again", rc);
		if (rc != LATZ_OK)
			return 1;
	}
	check(v, &bad, "close", latz_close(pool));
	return bad;
}

/* From a copy of the disk alone, as when the pool's files are gone. */
int wl_durable_check(struct wl_victim *v, const char *when)
{
	char disk[400], copy[420], run[400], what[200];
	latz_options o;
	latz_pool *pool;
	int rc;

	wl_durable_disk(v->dir, disk, sizeof disk);
	hn_subdir(run, sizeof run, "side");
	snprintf(copy, sizeof copy, "%s-disk", run);
	hn_remove_tree(copy);
	snprintf(what, sizeof what, "%s, from the disk alone", when);
	if (access(disk, F_OK) == 0 && hn_copy_tree(disk, copy) != 0)
		hn_die("cannot copy %s", disk);
	o = wl_durable_options(run, copy);
	rc = latz_open(v->pool, &o, &pool);
	if (rc != LATZ_OK) {
		hn_fail("%s: open: %s (%s)", what, hn_rc(rc), latz_error_detail());
		return 1;
	}
	if (v->stage == WL_DURABLE_NOW)
		wl_victim_check(v, pool, what);
	hn_verify(pool, what);
	rc = latz_close(pool);
	if (rc != LATZ_OK)
		hn_fail("%s: close: %s", what, hn_rc(rc));
	hn_remove_tree(run);
	hn_remove_tree(copy);
	return hn_failures() ? 1 : 0;
}
