/* LMDB: its default, synchronous commits for durable sets, and mdb_env_copy2() with MDB_CP_COMPACT for snapshots. */
#define _GNU_SOURCE
#include "durable.h"

#include <errno.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	LOAD_BATCH = 10000
};

struct db {
	MDB_env *env;
	MDB_dbi dbi;
	size_t value_size;
	char copy[PATH_SIZE * 2];
};

static int fail(int rc)
{
	return durable_fail("lmdb: %s", mdb_strerror(rc));
}

static void db_close(void *ptr)
{
	struct db *db = ptr;
	if (db->env != NULL)
		mdb_env_close(db->env);
	free(db);
}

static int env_open(struct db *db, const struct store_spec *spec)
{
	char name[64], path[PATH_SIZE * 2];
	MDB_txn *txn;
	int rc, bulk = spec->use == STORE_BULK;
	snprintf(name, sizeof(name), "lmdb-%s-%zu", bulk ? "bulk" : "sync", spec->value_size);
	durable_path(path, durable_config.disk, name);
	snprintf(name, sizeof(name), "lmdb-copy-%zu", spec->value_size);
	durable_path(db->copy, durable_config.disk, name);
	if (spec->create && mkdir(path, 0700) != 0)
		return errno;
	if ((rc = mdb_env_create(&db->env)) != 0 ||
	    (rc = mdb_env_set_mapsize(db->env, durable_config.keys * 4000 + (1 << 28))) != 0 ||
	    (rc = mdb_env_open(db->env, path, bulk ? MDB_NOSYNC | MDB_WRITEMAP : 0, 0600)) != 0 ||
	    (rc = mdb_txn_begin(db->env, NULL, 0, &txn)) != 0)
		return rc;
	if ((rc = mdb_dbi_open(txn, NULL, 0, &db->dbi)) != 0) {
		mdb_txn_abort(txn);
		return rc;
	}
	return mdb_txn_commit(txn);
}

static void *db_open(const struct store_spec *spec)
{
	struct db *db = calloc(1, sizeof(*db));
	if (db == NULL)
		return NULL;
	db->value_size = spec->value_size;
	int rc = env_open(db, spec);
	if (rc == 0)
		return db;
	fail(rc);
	db_close(db);
	return NULL;
}

static int db_set(void *ptr, const uint8_t *key, const uint8_t *value)
{
	struct db *db = ptr;
	MDB_val k = { KEY_SIZE, (void *)key }, v = { db->value_size, (void *)value };
	MDB_txn *txn;
	int rc = mdb_txn_begin(db->env, NULL, 0, &txn);
	if (rc != 0)
		return fail(rc);
	if ((rc = mdb_put(txn, db->dbi, &k, &v, 0)) != 0) {
		mdb_txn_abort(txn);
		return fail(rc);
	}
	rc = mdb_txn_commit(txn);
	return rc == 0 ? 0 : fail(rc);
}

static int db_get(void *ptr, const uint8_t *key, uint8_t *value)
{
	struct db *db = ptr;
	MDB_val k = { KEY_SIZE, (void *)key }, v;
	MDB_txn *txn;
	int rc = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn);
	if (rc != 0)
		return fail(rc);
	rc = mdb_get(txn, db->dbi, &k, &v);
	if (rc == 0 && v.mv_size != db->value_size)
		rc = MDB_BAD_VALSIZE;
	if (rc == 0)
		memcpy(value, v.mv_data, v.mv_size);
	mdb_txn_abort(txn);
	return rc == 0 ? 0 : fail(rc);
}

static int db_load(void *ptr, uint64_t keys)
{
	struct db *db = ptr;
	uint8_t key[KEY_SIZE], value[VALUE_MAX];
	MDB_val k = { KEY_SIZE, key }, v = { db->value_size, value };
	MDB_txn *txn;
	int rc = 0;
	for (uint64_t first = 0; first < keys && rc == 0; first += LOAD_BATCH) {
		rc = mdb_txn_begin(db->env, NULL, 0, &txn);
		if (rc != 0)
			break;
		for (uint64_t id = first; id < keys && id < first + LOAD_BATCH && rc == 0; id++) {
			bench_key(id, key);
			bulk_value(id, value, db->value_size);
			rc = mdb_put(txn, db->dbi, &k, &v, 0);
		}
		if (rc == 0)
			rc = mdb_txn_commit(txn);
		else
			mdb_txn_abort(txn);
	}
	if (rc == 0)
		rc = mdb_env_sync(db->env, 1);
	return rc == 0 ? 0 : fail(rc);
}

static double db_snapshot(void *ptr)
{
	struct db *db = ptr;
	durable_remove(db->copy);
	if (mkdir(db->copy, 0700) != 0)
		return durable_fail("%s: %s", db->copy, strerror(errno));
	uint64_t start = bench_now_ns();
	int rc = mdb_env_copy2(db->env, db->copy, MDB_CP_COMPACT);
	return rc == 0 ? durable_seconds(start) : fail(rc);
}

static int64_t db_snapshot_bytes(void *ptr)
{
	return durable_file_bytes(((struct db *)ptr)->copy);
}

const struct durable_system durable_lmdb = {
	.name = "lmdb",
	.what = "default, synchronous commits; snapshot: mdb_env_copy2 with MDB_CP_COMPACT, as mdb_copy -c (no "
		"compression; O_DIRECT, "
		"no sync)",
	.open = db_open,
	.close = db_close,
	.set = db_set,
	.get = db_get,
	.load = db_load,
	.snapshot = db_snapshot,
	.snapshot_bytes = db_snapshot_bytes,
};
