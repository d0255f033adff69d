/*
 * demo_durable fill POOL N: writes N more keys with values that can be checked.
 * demo_durable warm POOL DIR FILE N LATE: opens the pool from its directory on disk and compares every value: the
 * packages of FILE, the N keys, and the LATE keys that were written after the snapshot. Tells how long it took.
 */
#define _GNU_SOURCE 1
#include "demo_packages.h"

#include <inttypes.h>
#include <latzero/latzero.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	VALUE_SIZE = 100
};

static int fail(int rc, const char *what)
{
	fprintf(stderr, "demo_durable: %s: %s (%s)\n", what, latz_strerror(rc), latz_error_detail());
	return 1;
}

/* Key and value number i; the value's bytes follow from i. */
static void make(uint64_t i, char key[32], char value[VALUE_SIZE])
{
	uint64_t state = i * UINT64_C(0x9e3779b97f4a7c15) + 1;

	snprintf(key, 32, "more/%08" PRIu64, i);
	for (size_t at = 0; at < VALUE_SIZE; at++) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		value[at] = (char)('a' + state % 26);
	}
}

static int fill(const char *name, uint64_t n)
{
	latz_options options = LATZ_OPTIONS_INIT;
	char key[32], value[VALUE_SIZE];
	latz_pool *pool;

	options.flags = 0;
	int rc = latz_open(name, &options, &pool);
	if (rc != LATZ_OK)
		return fail(rc, "latz_open");
	uint64_t began_ns = demo_now_ns();
	for (uint64_t i = 0; i < n; i++) {
		make(i, key, value);
		rc = latz_set(pool, latz_str(key), (latz_slice){ value, VALUE_SIZE }, NULL);
		if (rc != LATZ_OK)
			return fail(rc, key);
	}
	printf("  %" PRIu64 " more keys of %d bytes in %.0f ms\n", n, VALUE_SIZE,
	       (double)(demo_now_ns() - began_ns) / 1e6);
	rc = latz_close(pool);
	return rc == LATZ_OK ? 0 : fail(rc, "latz_close");
}

static uint64_t count_wrong(latz_pool *pool, const struct demo_packages *packages, uint64_t n, uint64_t late)
{
	latz_value value = LATZ_VALUE_INIT;
	char key[32], expected[VALUE_SIZE];
	uint64_t wrong = 0, count;
	unsigned writer;

	for (size_t i = 0; i < packages->count; i++) {
		const struct demo_package *package = &packages->items[i];
		if (latz_get(pool, latz_str(package->key), &value) != LATZ_OK ||
		    demo_value_check(package, value.data, value.size, &writer, &count) != 0)
			wrong++;
	}
	for (uint64_t i = 0; i < n; i++) {
		make(i, key, expected);
		if (latz_get(pool, latz_str(key), &value) != LATZ_OK || value.size != VALUE_SIZE ||
		    memcmp(value.data, expected, VALUE_SIZE) != 0)
			wrong++;
	}
	for (uint64_t i = 0; i < late; i++) {
		snprintf(key, sizeof(key), "late/%" PRIu64, i);
		if (latz_get(pool, latz_str(key), &value) != LATZ_OK || value.size != strlen(key) ||
		    memcmp(value.data, key, value.size) != 0)
			wrong++;
	}
	latz_value_free(&value);
	return wrong;
}

static int warm(const char *name, const char *dir, const char *file, uint64_t n, uint64_t late)
{
	latz_options options = LATZ_OPTIONS_INIT;
	latz_stats_t stats = { .size = sizeof(stats) };
	struct demo_packages packages;
	latz_value value = LATZ_VALUE_INIT;
	latz_pool *pool;

	if (demo_packages_read(file, &packages) != 0)
		return 2;
	options.flags = 0;
	options.persist_dir = dir;
	uint64_t began_ns = demo_now_ns();
	int rc = latz_open(name, &options, &pool);
	uint64_t opened_ns = demo_now_ns();
	if (rc == LATZ_OK)
		rc = latz_get(pool, latz_str(packages.items[0].key), &value);
	uint64_t got_ns = demo_now_ns();
	if (rc == LATZ_OK)
		rc = latz_stats(pool, &stats);
	latz_value_free(&value);
	if (rc != LATZ_OK)
		return fail(rc, "warm start");
	uint64_t wrong = count_wrong(pool, &packages, n, late), all = packages.count + n + late;
	printf("  latz_open with persist_dir: %" PRIu64 " keys, %.1f MiB, in %.1f ms; first value %.1f us later\n",
	       stats.keys, (double)stats.live_bytes / (1 << 20), (double)(opened_ns - began_ns) / 1e6,
	       (double)(got_ns - opened_ns) / 1e3);
	printf("  %" PRIu64 " values compared: %" PRIu64 " wrong or missing, %" PRId64 " keys too many\n", all, wrong,
	       (int64_t)(stats.keys - all));
	rc = latz_close(pool);
	if (rc != LATZ_OK)
		return fail(rc, "latz_close");
	return wrong == 0 && stats.keys == all ? 0 : 1;
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "fill") == 0)
		return fill(argv[2], strtoull(argv[3], NULL, 10));
	if (argc == 7 && strcmp(argv[1], "warm") == 0)
		return warm(argv[2], argv[3], argv[4], strtoull(argv[5], NULL, 10), strtoull(argv[6], NULL, 10));
	return 2;
}
