/* SQLite: a table of keys and values, write-ahead log, synchronous=FULL; every set is a transaction. */
#define _GNU_SOURCE
#include "durable.h"

#include <sqlite3.h>
#include <stdlib.h>

struct db {
	sqlite3 *sqlite;
	sqlite3_stmt *set, *get;
};

static int fail(struct db *db)
{
	return durable_fail("sqlite: %s", sqlite3_errmsg(db->sqlite));
}

static void db_close(void *ptr)
{
	struct db *db = ptr;
	sqlite3_finalize(db->set);
	sqlite3_finalize(db->get);
	sqlite3_close(db->sqlite);
	free(db);
}

static void *db_open(const struct store_spec *spec)
{
	char path[PATH_SIZE * 2];
	struct db *db = calloc(1, sizeof(*db));
	if (db == NULL)
		return NULL;
	durable_path(path, durable_config.disk, "sqlite.db");
	if (sqlite3_open(path, &db->sqlite) == SQLITE_OK && sqlite3_busy_timeout(db->sqlite, 60000) == SQLITE_OK &&
	    (!spec->create ||
	     sqlite3_exec(db->sqlite,
	                  "PRAGMA journal_mode=WAL; CREATE TABLE kv(k BLOB PRIMARY KEY, v BLOB) WITHOUT ROWID", NULL,
	                  NULL, NULL) == SQLITE_OK) &&
	    sqlite3_exec(db->sqlite, "PRAGMA synchronous=FULL", NULL, NULL, NULL) == SQLITE_OK &&
	    sqlite3_prepare_v2(db->sqlite, "INSERT OR REPLACE INTO kv VALUES(?, ?)", -1, &db->set, NULL) == SQLITE_OK &&
	    sqlite3_prepare_v2(db->sqlite, "SELECT v FROM kv WHERE k = ?", -1, &db->get, NULL) == SQLITE_OK)
		return db;
	fail(db);
	db_close(db);
	return NULL;
}

static int db_set(void *ptr, const uint8_t *key, const uint8_t *value)
{
	struct db *db = ptr;
	sqlite3_bind_blob(db->set, 1, key, KEY_SIZE, SQLITE_STATIC);
	sqlite3_bind_blob(db->set, 2, value, VALUE_SIZE, SQLITE_STATIC);
	int rc = sqlite3_step(db->set);
	sqlite3_reset(db->set);
	return rc == SQLITE_DONE ? 0 : fail(db);
}

static int db_get(void *ptr, const uint8_t *key, uint8_t *value)
{
	struct db *db = ptr;
	int rc = -1;
	sqlite3_bind_blob(db->get, 1, key, KEY_SIZE, SQLITE_STATIC);
	if (sqlite3_step(db->get) == SQLITE_ROW && sqlite3_column_bytes(db->get, 0) == VALUE_SIZE) {
		memcpy(value, sqlite3_column_blob(db->get, 0), VALUE_SIZE);
		rc = 0;
	}
	sqlite3_reset(db->get);
	return rc == 0 ? 0 : durable_fail("sqlite: not there");
}

static int db_load(void *ptr, uint64_t keys)
{
	struct db *db = ptr;
	uint8_t key[KEY_SIZE], value[VALUE_SIZE];
	int rc = sqlite3_exec(db->sqlite, "BEGIN", NULL, NULL, NULL);
	for (uint64_t id = 0; id < keys && rc == 0; id++) {
		bench_key(id, key);
		bulk_value(id, value, VALUE_SIZE);
		rc = db_set(db, key, value);
	}
	if (rc == 0 && sqlite3_exec(db->sqlite, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
		rc = fail(db);
	return rc;
}

const struct durable_system durable_sqlite = {
	.name = "sqlite",
	.what = "a table of BLOBs WITHOUT ROWID, journal_mode=WAL, synchronous=FULL, busy_timeout, prepared INSERT OR "
		"REPLACE",
	.open = db_open,
	.close = db_close,
	.set = db_set,
	.get = db_get,
	.load = db_load,
};
