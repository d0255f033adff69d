/* Redis over a unix socket, no persistence; hiredis, MGET and MSET for batches. Started and stopped here. */
#define _GNU_SOURCE
#include "bench.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct db {
	redisContext *ctx;
	redisReply *reply; /* of the last get or mget: the values live in it */
	int pid;
	int64_t bytes_empty;
	const char *argv[2 * BATCH + 1];
	size_t sizes[2 * BATCH + 1];
};

static int64_t used_memory(struct db *db)
{
	int64_t bytes = -1;
	redisReply *reply = redisCommand(db->ctx, "INFO memory");
	if (reply != NULL && reply->str != NULL) {
		const char *at = strstr(reply->str, "used_memory:");
		if (at != NULL)
			bytes = atoll(at + 12);
	}
	freeReplyObject(reply);
	return bytes;
}

static void db_close(void *ptr)
{
	struct db *db = ptr;
	freeReplyObject(db->reply);
	if (db->ctx != NULL)
		redisFree(db->ctx);
	bench_server_stop(db->pid);
	free(db);
}

static void *db_open(const char *dir, const char *name, int create, uint64_t keys)
{
	(void)keys;
	char socket_path[PATH_SIZE * 2], log_path[PATH_SIZE * 2];
	struct db *db = calloc(1, sizeof(*db));
	if (db == NULL || !create) {
		free(db);
		return NULL;
	}
	snprintf(socket_path, sizeof(socket_path), "%s/%s.redis", dir, name);
	snprintf(log_path, sizeof(log_path), "%s/%s.redis.log", dir, name);
	char limit[32];
	snprintf(limit, sizeof(limit), "%llu", (unsigned long long)bench_max_bytes);
	char *argv[] = { "redis-server", "--port", "0",           "--unixsocket", socket_path,   "--save",
		         "",             "--appendonly", "no",    "--daemonize",  "no",          "--dir",
		         (char *)dir,    "--maxmemory",  limit,   "--maxmemory-policy", "allkeys-lfu", NULL };
	db->pid = bench_server_start(argv, log_path);
	for (int i = 0; i < 500 && db->pid > 0; i++) {
		db->ctx = redisConnectUnix(socket_path);
		if (db->ctx != NULL && !db->ctx->err) {
			db->bytes_empty = used_memory(db);
			if (db->bytes_empty > 0)
				return db;
		}
		if (db->ctx != NULL)
			redisFree(db->ctx);
		db->ctx = NULL;
		usleep(10000);
	}
	db_close(db);
	return NULL;
}

static redisReply *command(struct db *db, const char *name, size_t name_size, int argc)
{
	db->argv[0] = name;
	db->sizes[0] = name_size;
	return redisCommandArgv(db->ctx, argc, db->argv, db->sizes);
}

static void arg(struct db *db, int i, const uint8_t *bytes, size_t size)
{
	db->argv[i] = (const char *)bytes;
	db->sizes[i] = size;
}

static const uint8_t *db_get(void *ptr, const uint8_t *key)
{
	struct db *db = ptr;
	freeReplyObject(db->reply);
	arg(db, 1, key, KEY_SIZE);
	db->reply = command(db, "GET", 3, 2);
	if (db->reply == NULL)
		bench_fail("redis: %s", db->ctx->errstr);
	return db->reply->type == REDIS_REPLY_STRING ? (const uint8_t *)db->reply->str : NULL;
}

static int db_mget(void *ptr, const uint8_t *keys, size_t n, const uint8_t **values)
{
	struct db *db = ptr;
	freeReplyObject(db->reply);
	for (size_t i = 0; i < n; i++)
		arg(db, (int)i + 1, keys + i * KEY_SIZE, KEY_SIZE);
	db->reply = command(db, "MGET", 4, (int)n + 1);
	if (db->reply == NULL || db->reply->type != REDIS_REPLY_ARRAY || db->reply->elements != n)
		return -1;
	for (size_t i = 0; i < n; i++)
		values[i] = (const uint8_t *)db->reply->element[i]->str;
	return 0;
}

static int check_status(struct db *db, redisReply *reply, int type)
{
	if (reply == NULL || reply->type != type) {
		bench_say("redis: %s", reply && reply->str ? reply->str : db->ctx->errstr);
		freeReplyObject(reply);
		return -1;
	}
	freeReplyObject(reply);
	return 0;
}

static int db_set(void *ptr, const uint8_t *key, const uint8_t *value)
{
	struct db *db = ptr;
	arg(db, 1, key, KEY_SIZE);
	arg(db, 2, value, VALUE_SIZE);
	return check_status(db, command(db, "SET", 3, 3), REDIS_REPLY_STATUS);
}

static int db_mset(void *ptr, const uint8_t *keys, const uint8_t *values, size_t n)
{
	struct db *db = ptr;
	for (size_t i = 0; i < n; i++) {
		arg(db, (int)(2 * i) + 1, keys + i * KEY_SIZE, KEY_SIZE);
		arg(db, (int)(2 * i) + 2, values + i * VALUE_SIZE, VALUE_SIZE);
	}
	return check_status(db, command(db, "MSET", 4, (int)(2 * n) + 1), REDIS_REPLY_STATUS);
}

static int db_del(void *ptr, const uint8_t *keys, size_t n)
{
	struct db *db = ptr;
	for (size_t i = 0; i < n; i++)
		arg(db, (int)i + 1, keys + i * KEY_SIZE, KEY_SIZE);
	return check_status(db, command(db, "DEL", 3, (int)n + 1), REDIS_REPLY_INTEGER);
}

static int64_t db_bytes(void *ptr)
{
	struct db *db = ptr;
	int64_t bytes = used_memory(db);
	return bytes < 0 ? bytes : bytes - db->bytes_empty;
}

static int db_server(void *ptr)
{
	return ((struct db *)ptr)->pid;
}

const struct system system_redis = {
	.name = "redis",
	.what = "unix socket, no persistence, server on whichever core is faster for the row, hiredis, MGET/MSET",
	.caps = CAN_WRITE | CAN_OVERWRITE | CAN_MGET | IS_SERVER,
	.open = db_open,
	.close = db_close,
	.get = db_get,
	.set = db_set,
	.mget = db_mget,
	.mset = db_mset,
	.del = db_del,
	.bytes = db_bytes,
	.server = db_server,
};
