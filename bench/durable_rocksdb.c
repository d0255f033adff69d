/* RocksDB by its C interface: one process has it, so its clients are threads. */
#define _GNU_SOURCE
#include "durable.h"

#include <rocksdb/c.h>
#include <stdlib.h>

struct db {
	rocksdb_t *rocks;
	rocksdb_options_t *options;
	rocksdb_writeoptions_t *sync, *lazy;
	rocksdb_readoptions_t *read;
};

/* Takes the message over. */
static int fail(char *err)
{
	durable_fail("rocksdb: %s", err);
	rocksdb_free(err);
	return -1;
}

static void db_close(void *ptr)
{
	struct db *db = ptr;
	if (db->rocks != NULL)
		rocksdb_close(db->rocks);
	rocksdb_options_destroy(db->options);
	rocksdb_writeoptions_destroy(db->sync);
	rocksdb_writeoptions_destroy(db->lazy);
	rocksdb_readoptions_destroy(db->read);
	free(db);
}

static void *db_open(const struct store_spec *spec)
{
	char path[PATH_SIZE * 2], *err = NULL;
	struct db *db = calloc(1, sizeof(*db));
	if (db == NULL)
		return NULL;
	db->options = rocksdb_options_create();
	rocksdb_options_set_create_if_missing(db->options, (unsigned char)spec->create);
	db->sync = rocksdb_writeoptions_create();
	rocksdb_writeoptions_set_sync(db->sync, 1);
	db->lazy = rocksdb_writeoptions_create();
	db->read = rocksdb_readoptions_create();
	durable_path(path, durable_config.disk, "rocksdb");
	db->rocks = rocksdb_open(db->options, path, &err);
	if (err != NULL) {
		fail(err);
		db_close(db);
		return NULL;
	}
	return db;
}

static int put(struct db *db, const rocksdb_writeoptions_t *how, const uint8_t *key, const uint8_t *value)
{
	char *err = NULL;
	rocksdb_put(db->rocks, how, (const char *)key, KEY_SIZE, (const char *)value, VALUE_SIZE, &err);
	return err == NULL ? 0 : fail(err);
}

static int db_set(void *ptr, const uint8_t *key, const uint8_t *value)
{
	struct db *db = ptr;
	return put(db, db->sync, key, value);
}

static int db_get(void *ptr, const uint8_t *key, uint8_t *value)
{
	struct db *db = ptr;
	size_t size;
	char *err = NULL, *data = rocksdb_get(db->rocks, db->read, (const char *)key, KEY_SIZE, &size, &err);
	if (err != NULL)
		return fail(err);
	if (data == NULL || size != VALUE_SIZE) {
		rocksdb_free(data);
		return durable_fail("rocksdb: not there");
	}
	memcpy(value, data, size);
	rocksdb_free(data);
	return 0;
}

static int db_load(void *ptr, uint64_t keys)
{
	struct db *db = ptr;
	uint8_t key[KEY_SIZE], value[VALUE_SIZE];
	int rc = 0;
	for (uint64_t id = 0; id < keys && rc == 0; id++) {
		bench_key(id, key);
		bulk_value(id, value, VALUE_SIZE);
		rc = put(db, db->lazy, key, value);
	}
	return rc;
}

const struct durable_system durable_rocksdb = {
	.name = "rocksdb",
	.what = "WriteOptions.sync, defaults otherwise; it is for one process, so its clients are threads of one",
	.one_process = 1,
	.open = db_open,
	.close = db_close,
	.set = db_set,
	.get = db_get,
	.load = db_load,
};
