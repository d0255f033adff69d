/*
 * Redis over a unix socket. To set durably: appendfsync always. Snapshots: SAVE with the defaults; restore: a second
 * server started on the dump, timed from its start.
 */
#define _GNU_SOURCE
#include "durable.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	PIPELINE = 1000
};

struct db {
	redisContext *ctx;
	int pid; /* of the server; 0: not ours */
	size_t value_size;
	uint64_t keys;
	char dir[PATH_SIZE * 2];
};

static void socket_path(char path[PATH_SIZE * 2], const char *use, size_t value_size)
{
	char name[64];
	snprintf(name, sizeof(name), "redis-%s-%zu", use, value_size);
	durable_path(path, durable_config.shm, name);
}

static int server_start(const char *socket, const char *dir, const char *append)
{
	char log_path[PATH_SIZE * 2 + 8];
	snprintf(log_path, sizeof(log_path), "%s.log", socket);
	char *argv[] = { "redis-server", "--port",      "0",         "--unixsocket",
		         (char *)socket, "--save",      "",          "--appendonly",
		         (char *)append, "--daemonize", "no",        "--appendfsync",
		         "always",       "--dir",       (char *)dir, NULL };
	return bench_server_start(argv, log_path);
}

/* A get that a server which is still loading, or not yet listening, does not answer with a value. */
static int try_get(redisContext **ctx, const char *socket, const uint8_t *key, uint8_t *value, size_t value_size)
{
	int rc = -1;
	if (*ctx == NULL)
		*ctx = redisConnectUnix(socket);
	if (*ctx != NULL && !(*ctx)->err) {
		redisReply *reply = redisCommand(*ctx, "GET %b", key, (size_t)KEY_SIZE);
		if (reply != NULL && reply->type == REDIS_REPLY_STRING && reply->len == value_size) {
			memcpy(value, reply->str, value_size);
			rc = 0;
		} else if (reply != NULL && reply->type == REDIS_REPLY_NIL)
			rc = 1;
		freeReplyObject(reply);
	}
	if (*ctx != NULL && (*ctx)->err) {
		redisFree(*ctx);
		*ctx = NULL;
	}
	return rc;
}

static void db_close(void *ptr)
{
	struct db *db = ptr;
	if (db->ctx != NULL)
		redisFree(db->ctx);
	bench_server_stop(db->pid);
	free(db);
}

static void *db_open(const struct store_spec *spec)
{
	char socket[PATH_SIZE * 2], name[64];
	uint8_t none[KEY_SIZE] = { 0 }, value[VALUE_MAX];
	const char *use = spec->use == STORE_SYNC ? "sync" : "bulk";
	struct db *db = calloc(1, sizeof(*db));
	if (db == NULL)
		return NULL;
	db->value_size = spec->value_size;
	socket_path(socket, use, spec->value_size);
	snprintf(name, sizeof(name), "redis-%s-%zu", use, spec->value_size);
	durable_path(db->dir, durable_config.disk, name);
	if (spec->create && mkdir(db->dir, 0700) == 0)
		db->pid = server_start(socket, db->dir, spec->use == STORE_SYNC ? "yes" : "no");
	for (int i = 0; i < 500; i++) {
		if (try_get(&db->ctx, socket, none, value, 0) == 1)
			return db;
		usleep(10000);
	}
	durable_fail("redis: the server does not answer");
	db_close(db);
	return NULL;
}

static int reply_is(struct db *db, redisReply *reply, int type)
{
	int rc = 0;
	if (reply == NULL || reply->type != type)
		rc = durable_fail("redis: %s", reply && reply->str ? reply->str : db->ctx->errstr);
	freeReplyObject(reply);
	return rc;
}

static int db_set(void *ptr, const uint8_t *key, const uint8_t *value)
{
	struct db *db = ptr;
	return reply_is(db, redisCommand(db->ctx, "SET %b %b", key, (size_t)KEY_SIZE, value, db->value_size),
	                REDIS_REPLY_STATUS);
}

static int db_get(void *ptr, const uint8_t *key, uint8_t *value)
{
	struct db *db = ptr;
	return try_get(&db->ctx, "", key, value, db->value_size) == 0 ? 0 : durable_fail("redis: not there");
}

static int db_load(void *ptr, uint64_t keys)
{
	struct db *db = ptr;
	uint8_t key[KEY_SIZE], value[VALUE_MAX];
	int rc = 0;
	for (uint64_t first = 0; first < keys && rc == 0; first += PIPELINE) {
		uint64_t end = first + PIPELINE < keys ? first + PIPELINE : keys;
		for (uint64_t id = first; id < end; id++) {
			bench_key(id, key);
			bulk_value(id, value, db->value_size);
			redisAppendCommand(db->ctx, "SET %b %b", key, (size_t)KEY_SIZE, value, db->value_size);
		}
		for (uint64_t id = first; id < end; id++) {
			redisReply *reply = NULL;
			redisGetReply(db->ctx, (void **)&reply);
			rc |= reply_is(db, reply, REDIS_REPLY_STATUS);
		}
	}
	db->keys = keys;
	return rc;
}

static void dump_path(struct db *db, char path[PATH_SIZE * 2])
{
	durable_path(path, db->dir, "dump.rdb");
}

static double db_snapshot(void *ptr)
{
	struct db *db = ptr;
	char path[PATH_SIZE * 2];
	dump_path(db, path);
	durable_remove(path);
	uint64_t start = bench_now_ns();
	redisReply *reply = redisCommand(db->ctx, "SAVE");
	double seconds = durable_seconds(start);
	return reply_is(db, reply, REDIS_REPLY_STATUS) == 0 ? seconds : -1;
}

static int64_t db_snapshot_bytes(void *ptr)
{
	char path[PATH_SIZE * 2];
	dump_path(ptr, path);
	return durable_file_bytes(path);
}

static int64_t key_count(redisContext *ctx)
{
	redisReply *reply = redisCommand(ctx, "DBSIZE");
	int64_t count = reply != NULL && reply->type == REDIS_REPLY_INTEGER ? reply->integer : -1;
	freeReplyObject(reply);
	return count;
}

static int db_restore(void *ptr, struct restore_times *times)
{
	struct db *db = ptr;
	char socket[PATH_SIZE * 2];
	uint8_t key[KEY_SIZE], value[VALUE_MAX];
	redisContext *ctx = NULL;
	int rc = -1;
	socket_path(socket, "restored", db->value_size);
	unlink(socket);
	bench_key(12345, key);
	uint64_t start = bench_now_ns();
	int pid = server_start(socket, db->dir, "no");
	while ((rc = try_get(&ctx, socket, key, value, db->value_size)) < 0 && durable_seconds(start) < 600)
		usleep(500);
	times->first = durable_seconds(start);
	if (rc != 0 || bench_value_word(value) != bench_word(12345))
		rc = durable_fail("redis: the dump was not loaded");
	else if (key_count(ctx) != (int64_t)db->keys)
		rc = durable_fail("redis: the dump was not loaded as a whole");
	times->all = durable_seconds(start);
	if (ctx != NULL)
		redisFree(ctx);
	bench_server_stop(pid);
	return rc;
}

const struct durable_system durable_redis = {
	.name = "redis",
	.what = "unix socket, hiredis; appendonly with appendfsync always; SAVE with its compression (LZF), restore: a "
		"server "
		"started on the dump, from its start to an answer",
	.open = db_open,
	.close = db_close,
	.set = db_set,
	.get = db_get,
	.load = db_load,
	.snapshot = db_snapshot,
	.snapshot_bytes = db_snapshot_bytes,
	.restore = db_restore,
};
