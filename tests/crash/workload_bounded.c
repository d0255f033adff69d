/*
 * The bounded victim: alone in a kept pool that is smaller than what it writes. Passes the points of evicting, of
 * bounds and policies that change, of policies' states that grow and, with a log in its second half, of deleting what
 * was evicted. See workload.h.
 */
#define _GNU_SOURCE
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "base/point.h"
#include "workload.h"

#define MAX_BYTES (8u << 20)
#define SLACK (1u << 20)

struct work {
	struct wl_victim *v;
	latz_pool *pool;
	uint64_t rnd;
	int bad;
};

static void check(struct work *w, const char *what, int rc)
{
	if (rc == LATZ_OK || rc == LATZ_NOTFOUND || rc == LATZ_BUSY)
		return;
	if (w->bad++ < 5)
		hn_fail("victim at %s: %s: %s (%s)", w->v->point ? w->v->point : "-", what, hn_rc(rc),
		        latz_error_detail());
}

static void check_bounds(latz_pool *pool, const char *when)
{
	latz_stats_t stats = { .size = sizeof stats };

	if (latz_stats(pool, &stats) != LATZ_OK || stats.max_bytes == 0)
		return;
	if (stats.file_bytes > stats.max_bytes + SLACK)
		hn_fail("%s: files take %llu, max_bytes is %llu", when, (unsigned long long)stats.file_bytes,
		        (unsigned long long)stats.max_bytes);
	if (stats.max_entries != 0 && stats.keys > stats.max_entries)
		hn_fail("%s: %llu keys, max_entries is %llu", when, (unsigned long long)stats.keys,
		        (unsigned long long)stats.max_entries);
}

static void limit(struct work *w, uint64_t max_bytes, uint64_t max_entries, latz_policy policy)
{
	latz_limits limits = LATZ_LIMITS_INIT;

	limits.max_bytes = max_bytes;
	limits.max_entries = max_entries;
	limits.policy = policy;
	check(w, "limit", latz_limit(w->pool, &limits));
	check_bounds(w->pool, "victim, after a change of limits");
}

static void writes(struct work *w, uint32_t count)
{
	struct hn_ledger *ledger = w->v->ledger;
	latz_value value = LATZ_VALUE_INIT;
	char key[HN_KEY_MAX];

	for (uint32_t i = 0; i < count && !w->bad; i++) {
		check(w, "set", hn_ledger_set(ledger, w->pool, (uint32_t)(hn_random(&w->rnd) % ledger->count)));
		check(w, "get", latz_get(w->pool, hn_key(key, ledger->owner,
		                                          (uint32_t)(hn_random(&w->rnd) % ledger->count)),
		                         &value));
		if (i % 8 == 1)
			check(w, "delete", hn_ledger_delete(ledger, w->pool,
			                                    (uint32_t)(hn_random(&w->rnd) % ledger->count)));
		if (i % 100 == 3)
			check(w, "maintain", hn_maintain(w->pool, 2000));
	}
	check_bounds(w->pool, "victim, among writes");
	latz_value_free(&value);
}

/* So many that a policy's notes of them grow. */
static void small_keys(struct work *w, uint32_t count)
{
	char key[64];

	for (uint32_t i = 0; i < count && !w->bad; i++) {
		snprintf(key, sizeof key, "victim/small/%u", i);
		check(w, "small set", latz_set(w->pool, latz_str(key), latz_str("s"), NULL));
	}
}

/* For which room has to be made at once. */
static void large_values(struct work *w)
{
	static unsigned char bytes[2u << 20];
	char key[64];

	memset(bytes, 'l', sizeof bytes);
	for (uint32_t i = 0; i < 12 && !w->bad; i++) {
		snprintf(key, sizeof key, "victim/large/%u", i % 5);
		check(w, "large set", latz_set(w->pool, latz_str(key), (latz_slice){ bytes, sizeof bytes }, NULL));
	}
}

/* Twice what fits, each once: under ADAPTIVE whole extents are judged. */
static void more_than_fits(struct work *w)
{
	static unsigned char bytes[40000];
	char key[64];

	memset(bytes, 'm', sizeof bytes);
	for (uint32_t i = 0; i < 2 * MAX_BYTES / sizeof bytes && !w->bad; i++) {
		snprintf(key, sizeof key, "victim/more/%u", i);
		check(w, "more set", latz_set(w->pool, latz_str(key), (latz_slice){ bytes, sizeof bytes }, NULL));
		if (i % 50 == 3)
			check(w, "maintain", hn_maintain(w->pool, 2000));
	}
}

/* The index is there while there is room for it. */
static void indexed_keys(struct work *w)
{
	latz_scan *scan;
	latz_slice key;

	small_keys(w, 3000);
	check(w, "maintain", hn_maintain(w->pool, 2000));
	if (latz_scan_open(w->pool, NULL, &scan) == LATZ_OK) {
		while (latz_scan_next(scan, &key, NULL) == LATZ_OK)
			;
		check(w, "scan_close", latz_scan_close(scan));
	}
}

int wl_bounded_run(struct wl_victim *v)
{
	latz_options options = hn_options(v->dir, LATZ_CREATE | LATZ_NO_THREAD | LATZ_KEEP), durable;
	struct work w = { v, NULL, hn_seed ^ 0x77u, 0 };
	char disk[400];
	int rc;

	wl_durable_disk(v->dir, disk, sizeof disk);
	options.max_bytes = MAX_BYTES;
	rc = latz_open(v->pool, &options, &w.pool);
	check(&w, "open", rc);
	if (rc != LATZ_OK)
		return 1;
	for (int round = 0; round < v->rounds && !w.bad; round++) {
		indexed_keys(&w);
		writes(&w, 500);
		more_than_fits(&w);
		limit(&w, MAX_BYTES, 0, LATZ_POLICY_LRU);
		small_keys(&w, 12000);
		writes(&w, 400);
		large_values(&w);
		limit(&w, MAX_BYTES / 4 * 3, 0, LATZ_POLICY_S3FIFO);
		writes(&w, 200);
		limit(&w, 0, 300, LATZ_POLICY_SIEVE);
		small_keys(&w, 1000);
		limit(&w, MAX_BYTES, 0, LATZ_POLICY_DEFAULT);
		durable = wl_durable_options(v->dir, disk);
		durable.sync = LATZ_SYNC_NONE;
		rc = round == 0 ? latz_persist(w.pool, &durable) : LATZ_OK;
		check(&w, "persist", rc);
		writes(&w, 500);
	}
	check(&w, "close", latz_close(w.pool));
	return w.bad;
}

/* After its death: the bounds hold, and go on to hold while others write what does not fit. */
void wl_bounded_check(latz_pool *pool, const char *when)
{
	static unsigned char bytes[100000];
	char key[64];

	memset(bytes, 'b', sizeof bytes);
	check_bounds(pool, when);
	for (unsigned i = 0; i < 400; i++) {
		int rc;

		snprintf(key, sizeof key, "after/%u", i);
		rc = latz_set(pool, latz_str(key), (latz_slice){ bytes, i % 10 == 0 ? sizeof bytes : 30000 },
		              NULL);
		if (rc != LATZ_OK) {
			hn_fail("%s: write %u afterwards: %s (%s)", when, i, hn_rc(rc), latz_error_detail());
			return;
		}
		if (i % 50 == 0)
			check_bounds(pool, when);
	}
	check_bounds(pool, when);
}
