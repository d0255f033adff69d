/*
 * latzero as one of the systems of the durability benchmark, by its public calls only, twice: with the portable stream
 * and with the image as its snapshot. A restore runs in a fresh process, the job "restore".
 */
#define _GNU_SOURCE
#include "durable_latzero.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	LOAD_BATCH = 1000
};

struct db {
	latz_pool *pool;
	latz_value value;
	size_t value_size;
	uint64_t keys;
	int image;
	char name[40], snapshot[PATH_SIZE * 2];
};

int lz_fail(const char *what, int rc)
{
	const char *detail = rc == LATZ_UNSUPPORTED ? "" : latz_error_detail();
	return durable_fail("%s: %s%s%s", what, latz_strerror(rc), detail[0] ? ": " : "", detail);
}

int lz_open(const char *name, const latz_options *options, latz_pool **pool)
{
	cpu_set_t own;
	int pinned = sched_getaffinity(0, sizeof(own), &own) == 0;
	bench_pin(-1);
	int rc = latz_open(name, options, pool);
	if (pinned)
		sched_setaffinity(0, sizeof(own), &own);
	return rc == LATZ_OK ? 0 : lz_fail("latz_open", rc);
}

latz_options lz_options(const struct store_spec *spec, char path[PATH_SIZE * 2])
{
	latz_options options = LATZ_OPTIONS_INIT;
	options.dir = durable_config.shm;
	options.flags = spec->create ? LATZ_CREATE | LATZ_EXCLUSIVE : 0;
	if (spec->use == STORE_SYNC || spec->use == STORE_LAZY) {
		durable_path(path, durable_config.disk,
		             spec->use == STORE_SYNC ? "latzero-always" : "latzero-interval");
		options.persist_dir = path;
		options.sync = spec->use == STORE_SYNC ? LATZ_SYNC_ALWAYS : LATZ_SYNC_INTERVAL;
	}
	return options;
}

static void *open_as(const struct store_spec *spec, int image)
{
	static const char *const uses[] = { "sync", "plain", "lazy", "bulk" };
	char path[PATH_SIZE * 2], name[64];
	latz_options options = lz_options(spec, path);
	struct db *db = calloc(1, sizeof(*db));
	if (db == NULL)
		return NULL;
	db->value_size = spec->value_size;
	db->image = image;
	snprintf(db->name, sizeof(db->name), "%s%s-%zu", uses[spec->use], image ? "-image" : "", spec->value_size);
	snprintf(name, sizeof(name), "latzero-%s.snapshot", db->name);
	durable_path(db->snapshot, durable_config.disk, name);
	if (lz_open(db->name, &options, &db->pool) == 0)
		return db;
	free(db);
	return NULL;
}

static void *db_open(const struct store_spec *spec)
{
	return open_as(spec, 0);
}

static void *image_open(const struct store_spec *spec)
{
	return open_as(spec, 1);
}

static void db_close(void *ptr)
{
	struct db *db = ptr;
	latz_value_free(&db->value);
	latz_close(db->pool);
	free(db);
}

static int db_set(void *ptr, const uint8_t *key, const uint8_t *value)
{
	struct db *db = ptr;
	int rc = latz_set(db->pool, (latz_slice){ key, KEY_SIZE }, (latz_slice){ value, db->value_size }, NULL);
	return rc == LATZ_OK ? 0 : lz_fail("latz_set", rc);
}

static int db_get(void *ptr, const uint8_t *key, uint8_t *value)
{
	struct db *db = ptr;
	int rc = latz_get(db->pool, (latz_slice){ key, KEY_SIZE }, &db->value);
	if (rc != LATZ_OK)
		return lz_fail("latz_get", rc);
	if (db->value.size != db->value_size)
		return durable_fail("a value of %zu bytes", db->value.size);
	memcpy(value, db->value.data, db->value.size);
	return 0;
}

int lz_load(latz_pool *pool, uint64_t keys, size_t value_size)
{
	static uint8_t key_bytes[LOAD_BATCH][KEY_SIZE], values[LOAD_BATCH][VALUE_MAX];
	static latz_item items[LOAD_BATCH];
	for (uint64_t first = 0; first < keys; first += LOAD_BATCH) {
		size_t n = keys - first < LOAD_BATCH ? keys - first : LOAD_BATCH;
		for (size_t i = 0; i < n; i++) {
			bench_key(first + i, key_bytes[i]);
			bulk_value(first + i, values[i], value_size);
			items[i] = (latz_item){ { key_bytes[i], KEY_SIZE }, { values[i], value_size } };
		}
		int rc = latz_mset(pool, items, n, NULL);
		if (rc != LATZ_OK)
			return lz_fail("latz_mset", rc);
	}
	return 0;
}

static int db_load(void *ptr, uint64_t keys)
{
	struct db *db = ptr;
	db->keys = keys;
	return lz_load(db->pool, keys, db->value_size);
}

int lz_set(latz_pool *pool, uint64_t id, const uint8_t *value, size_t value_size)
{
	uint8_t key[KEY_SIZE];
	bench_key(id, key);
	return latz_set(pool, (latz_slice){ key, KEY_SIZE }, (latz_slice){ value, value_size }, NULL);
}

int lz_get_checked(latz_pool *pool, uint64_t id, size_t value_size, latz_value *value)
{
	uint8_t key[KEY_SIZE];
	bench_key(id, key);
	int rc = latz_get(pool, (latz_slice){ key, KEY_SIZE }, value);
	if (rc != LATZ_OK)
		return lz_fail("latz_get", rc);
	if (value->size != value_size || bench_value_word(value->data) != bench_word(id))
		return durable_fail("a wrong value");
	return 0;
}

int lz_snapshot(latz_pool *pool, const char *path, int image)
{
	latz_snapshot_options options = LATZ_SNAPSHOT_OPTIONS_INIT;
	int rc = LATZ_UNSUPPORTED;
	if (image)
		options.flags = LATZ_SNAPSHOT_IMAGE;
#ifdef DURABLE_NO_SNAPSHOTS
	if (latz_snapshot != NULL)
#endif
		rc = latz_snapshot(pool, path, &options);
	return rc == LATZ_OK ? 0 : lz_fail("latz_snapshot", rc);
}

static double db_snapshot(void *ptr)
{
	struct db *db = ptr;
	durable_remove(db->snapshot);
	uint64_t start = bench_now_ns();
	return lz_snapshot(db->pool, db->snapshot, db->image) == 0 ? durable_seconds(start) : -1;
}

static int64_t db_snapshot_bytes(void *ptr)
{
	return durable_file_bytes(((struct db *)ptr)->snapshot);
}

static int db_restore(void *ptr, struct restore_times *times)
{
	struct db *db = ptr;
	char size[24], keys[24], why[200] = "";
	snprintf(size, sizeof(size), "%zu", db->value_size);
	snprintf(keys, sizeof(keys), "%llu", (unsigned long long)db->keys);
	const char *args[] = { db->snapshot, size, keys, NULL };
	struct child c = child_start("restore", args);
	int rc = child_read(&c, why, sizeof(why));
	if (rc == 0 && why[0] == '\0')
		rc = child_read(&c, times, sizeof(*times));
	if (child_end(&c) != 0 && rc == 0 && why[0] == '\0')
		rc = -1;
	if (rc != 0)
		return durable_fail("the restoring process ended early");
	return why[0] == '\0' ? 0 : durable_fail("%s", why);
}

/* An image answers for all its keys before it has any: all are there when each has been read. */
static int image_restore(void *ptr, struct restore_times *times)
{
	int rc = db_restore(ptr, times);
	times->all += times->read;
	return rc;
}

const struct durable_system durable_latzero = {
	.name = "latzero",
	.what = "pools on tmpfs; sync=always; snapshot: the portable stream, default options; restore: latz_restore "
		"and "
		"latz_open in a fresh process",
	.open = db_open,
	.close = db_close,
	.set = db_set,
	.get = db_get,
	.load = db_load,
	.snapshot = db_snapshot,
	.snapshot_bytes = db_snapshot_bytes,
	.restore = db_restore,
};

const struct durable_system durable_latzero_image = {
	.name = "latzero-image",
	.what = "the same with an image as its snapshot",
	.open = image_open,
	.close = db_close,
	.get = db_get,
	.load = db_load,
	.snapshot = db_snapshot,
	.snapshot_bytes = db_snapshot_bytes,
	.restore = image_restore,
};
