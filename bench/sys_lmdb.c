/*
 * Raw LMDB: environment on tmpfs, NOSYNC and WRITEMAP, a commit for every set, the read transaction renewed for
 * every get.
 */
#define _GNU_SOURCE
#include "bench.h"

#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

struct db {
	MDB_env *env;
	MDB_dbi dbi;
	MDB_txn *reader;
	uint8_t value[VALUE_SIZE];
	uint8_t values[BATCH][VALUE_SIZE];
	char path[PATH_SIZE * 2];
};

static int db_start(struct db *db, int create, uint64_t keys)
{
	MDB_txn *txn;
	size_t size = (size_t)(keys > 1000000 ? keys : 1000000) * 1000;
	int rc;
	if ((rc = mdb_env_create(&db->env)) != 0 || (rc = mdb_env_set_mapsize(db->env, size)) != 0 ||
	    (rc = mdb_env_open(db->env, db->path, MDB_NOSYNC | MDB_WRITEMAP, 0600)) != 0 ||
	    (rc = mdb_txn_begin(db->env, NULL, create ? 0 : MDB_RDONLY, &txn)) != 0)
		return rc;
	if ((rc = mdb_dbi_open(txn, NULL, 0, &db->dbi)) != 0 || (rc = mdb_txn_commit(txn)) != 0 ||
	    (rc = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &db->reader)) != 0)
		return rc;
	mdb_txn_reset(db->reader);
	return 0;
}

static void *db_open(const char *dir, const char *name, int create, uint64_t keys)
{
	struct db *db = calloc(1, sizeof(*db));
	if (db == NULL)
		return NULL;
	snprintf(db->path, sizeof(db->path), "%s/%s.lmdb", dir, name);
	if (create)
		mkdir(db->path, 0700);
	int rc = db_start(db, create, keys);
	if (rc == 0)
		return db;
	bench_say("lmdb: %s", mdb_strerror(rc));
	mdb_env_close(db->env);
	free(db);
	return NULL;
}

static void db_close(void *ptr)
{
	struct db *db = ptr;
	mdb_txn_abort(db->reader);
	mdb_env_close(db->env);
	free(db);
}

static const uint8_t *db_get(void *ptr, const uint8_t *key)
{
	struct db *db = ptr;
	MDB_val k = { KEY_SIZE, (void *)key }, v;
	if (mdb_txn_renew(db->reader) != 0)
		return NULL;
	int rc = mdb_get(db->reader, db->dbi, &k, &v);
	if (rc == 0)
		memcpy(db->value, v.mv_data, VALUE_SIZE);
	mdb_txn_reset(db->reader);
	return rc == 0 ? db->value : NULL;
}

static int db_mget(void *ptr, const uint8_t *keys, size_t n, const uint8_t **values)
{
	struct db *db = ptr;
	int rc = mdb_txn_renew(db->reader);
	if (rc != 0)
		return rc;
	for (size_t i = 0; i < n; i++) {
		MDB_val k = { KEY_SIZE, (void *)(keys + i * KEY_SIZE) }, v;
		values[i] =
			mdb_get(db->reader, db->dbi, &k, &v) == 0 ? memcpy(db->values[i], v.mv_data, VALUE_SIZE) : NULL;
	}
	mdb_txn_reset(db->reader);
	return 0;
}

static int db_mset(void *ptr, const uint8_t *keys, const uint8_t *values, size_t n)
{
	struct db *db = ptr;
	MDB_txn *txn;
	int rc = mdb_txn_begin(db->env, NULL, 0, &txn);
	if (rc != 0)
		return rc;
	for (size_t i = 0; i < n; i++) {
		MDB_val k = { KEY_SIZE, (void *)(keys + i * KEY_SIZE) };
		MDB_val v = { VALUE_SIZE, (void *)(values + i * VALUE_SIZE) };
		if ((rc = mdb_put(txn, db->dbi, &k, &v, 0)) != 0) {
			mdb_txn_abort(txn);
			return rc;
		}
	}
	return mdb_txn_commit(txn);
}

static int db_set(void *ptr, const uint8_t *key, const uint8_t *value)
{
	return db_mset(ptr, key, value, 1);
}

static int db_del(void *ptr, const uint8_t *keys, size_t n)
{
	struct db *db = ptr;
	MDB_txn *txn;
	int rc = mdb_txn_begin(db->env, NULL, 0, &txn);
	if (rc != 0)
		return rc;
	for (size_t i = 0; i < n; i++) {
		MDB_val k = { KEY_SIZE, (void *)(keys + i * KEY_SIZE) };
		if ((rc = mdb_del(txn, db->dbi, &k, NULL)) != 0) {
			mdb_txn_abort(txn);
			return rc;
		}
	}
	return mdb_txn_commit(txn);
}

static int db_scan(void *ptr, struct bench_scan *note)
{
	struct db *db = ptr;
	MDB_cursor *cursor;
	MDB_val k, v;
	int rc = mdb_txn_renew(db->reader);
	if (rc != 0)
		return rc;
	if ((rc = mdb_cursor_open(db->reader, db->dbi, &cursor)) == 0) {
		while ((rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) == 0)
			bench_scan_note(note, k.mv_data, v.mv_data); /* in place: no copy of the value */
		mdb_cursor_close(cursor);
	}
	mdb_txn_reset(db->reader);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

static int64_t db_bytes(void *ptr)
{
	struct db *db = ptr;
	return bench_tree_bytes(db->path);
}

const struct system system_lmdb = {
	.name = "lmdb",
	.what = "NOSYNC|WRITEMAP on tmpfs, one commit a set (a batch: one commit), scan in place by cursor",
	.caps = CAN_WRITE | CAN_OVERWRITE | CAN_SCAN | CAN_SHARE | CAN_MGET,
	.open = db_open,
	.close = db_close,
	.get = db_get,
	.set = db_set,
	.mget = db_mget,
	.mset = db_mset,
	.del = db_del,
	.scan = db_scan,
	.bytes = db_bytes,
};
