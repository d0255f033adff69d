/* latzero, by its public calls only. The value buffers are kept between calls, as a program that cares would do. */
#define _GNU_SOURCE
#include "bench.h"

#include <latzero/latzero.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

struct db {
	latz_pool *pool;
	latz_value value;
	latz_value values[BATCH];
	latz_slice slices[BATCH];
	int results[BATCH];
	char path[PATH_SIZE * 2];
};

static latz_slice key_slice(const uint8_t *key)
{
	return (latz_slice){ key, KEY_SIZE };
}

static void *db_open(const char *dir, const char *name, int create, uint64_t keys)
{
	(void)keys; /* a pool grows by itself */
	latz_options options = LATZ_OPTIONS_INIT;
	options.dir = dir;
	options.flags = create ? LATZ_CREATE | LATZ_EXCLUSIVE : 0;
	options.max_bytes = bench_max_bytes;
	struct db *db = calloc(1, sizeof(*db));
	if (db == NULL)
		return NULL;
	/* The pool's maintenance thread may run on any core, as the other systems' servers may: it is started here and
	 * takes over what this thread may use. The processor time of all threads is shown where it matters. */
	cpu_set_t own;
	int pinned = sched_getaffinity(0, sizeof(own), &own) == 0;
	bench_pin(-1);
	int rc = latz_open(name, &options, &db->pool);
	if (pinned)
		sched_setaffinity(0, sizeof(own), &own);
	if (rc != LATZ_OK) {
		bench_say("latz_open: %s: %s", latz_strerror(rc), latz_error_detail());
		free(db);
		return NULL;
	}
	snprintf(db->path, sizeof(db->path), "%s/%s", dir, name);
	return db;
}

static void db_close(void *ptr)
{
	struct db *db = ptr;
	latz_value_free(&db->value);
	for (int i = 0; i < BATCH; i++)
		latz_value_free(&db->values[i]);
	latz_close(db->pool);
	free(db);
}

static const uint8_t *db_get(void *ptr, const uint8_t *key)
{
	struct db *db = ptr;
	if (latz_get(db->pool, key_slice(key), &db->value) != LATZ_OK)
		return NULL;
	return db->value.data;
}

static int db_set(void *ptr, const uint8_t *key, const uint8_t *value)
{
	struct db *db = ptr;
	return latz_set(db->pool, key_slice(key), (latz_slice){ value, VALUE_SIZE }, NULL);
}

static int db_mget(void *ptr, const uint8_t *keys, size_t n, const uint8_t **values)
{
	struct db *db = ptr;
	for (size_t i = 0; i < n; i++)
		db->slices[i] = key_slice(keys + i * KEY_SIZE);
	int rc = latz_mget(db->pool, db->slices, n, db->values, db->results);
	if (rc != LATZ_OK)
		return rc;
	for (size_t i = 0; i < n; i++)
		values[i] = db->results[i] == LATZ_OK ? db->values[i].data : NULL;
	return 0;
}

static int db_mset(void *ptr, const uint8_t *keys, const uint8_t *values, size_t n)
{
	struct db *db = ptr;
	latz_item items[BATCH];
	for (size_t i = 0; i < n; i++)
		items[i] = (latz_item){ key_slice(keys + i * KEY_SIZE), { values + i * VALUE_SIZE, VALUE_SIZE } };
	return latz_mset(db->pool, items, n, NULL);
}

static int db_del(void *ptr, const uint8_t *keys, size_t n)
{
	struct db *db = ptr;
	for (size_t i = 0; i < n; i++) {
		int rc = latz_delete(db->pool, key_slice(keys + i * KEY_SIZE));
		if (rc != LATZ_OK)
			return rc;
	}
	return 0;
}

static int db_scan(void *ptr, struct bench_scan *note)
{
	struct db *db = ptr;
	latz_scan_options options = LATZ_SCAN_OPTIONS_INIT;
	latz_scan *scan;
	latz_slice key;
	int rc = latz_scan_open(db->pool, &options, &scan);
	if (rc != LATZ_OK)
		return rc;
	while ((rc = latz_scan_next(scan, &key, &db->value)) == LATZ_OK)
		bench_scan_note(note, key.data, db->value.data);
	latz_scan_close(scan);
	return rc == LATZ_DONE ? 0 : rc;
}

/* Opening a scan waits until the ordered index knows every key written before. */
static int db_catch_up(void *ptr)
{
	struct db *db = ptr;
	latz_scan_options options = LATZ_SCAN_OPTIONS_INIT;
	latz_scan *scan;
	int rc = latz_scan_open(db->pool, &options, &scan);
	return rc == LATZ_OK ? latz_scan_close(scan) : rc;
}

static int db_settle(void *ptr)
{
	struct db *db = ptr;
	uint64_t until = bench_now_ns() + UINT64_C(20000000000);
	int rc;
	while ((rc = latz_maintain(db->pool, 0)) == LATZ_BUSY && bench_now_ns() < until)
		sched_yield(); /* the pool's own janitor is at it */
	return rc == LATZ_BUSY ? 0 : rc;
}

static int64_t db_bytes(void *ptr)
{
	struct db *db = ptr;
	return bench_tree_bytes(db->path);
}

const struct system system_latzero = {
	.name = "latzero",
	.what = "a pool on tmpfs, default options, its maintenance thread on any core",
	.caps = CAN_WRITE | CAN_OVERWRITE | CAN_SCAN | CAN_SHARE | CAN_MGET,
	.open = db_open,
	.close = db_close,
	.get = db_get,
	.set = db_set,
	.mget = db_mget,
	.mset = db_mset,
	.del = db_del,
	.scan = db_scan,
	.catch_up = db_catch_up,
	.settle = db_settle,
	.bytes = db_bytes,
};
