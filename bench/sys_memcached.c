/*
 * memcached over a unix socket; libmemcached with the binary protocol. Its hash table starts at its
 * final size. Batches of sets go out quietly and are waited for by one get at the end. Started and stopped here.
 */
#define _GNU_SOURCE
#include "bench.h"

#include <libmemcached/memcached.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct db {
	memcached_st *mc;    /* one request, one answer */
	memcached_st *quiet; /* sets and deletes without an answer */
	memcached_result_st result;
	int pid;
	char *value; /* of the last get */
	uint8_t values[BATCH][VALUE_SIZE];
};

static memcached_st *session(const char *socket_path)
{
	memcached_st *mc = memcached_create(NULL);
	if (mc == NULL)
		return NULL;
	memcached_behavior_set(mc, MEMCACHED_BEHAVIOR_BINARY_PROTOCOL, 1);
	memcached_server_add_unix_socket(mc, socket_path);
	return mc;
}

static void db_close(void *ptr)
{
	struct db *db = ptr;
	free(db->value);
	memcached_result_free(&db->result);
	memcached_free(db->mc);
	memcached_free(db->quiet);
	bench_server_stop(db->pid);
	free(db);
}

static void *db_open(const char *dir, const char *name, int create, uint64_t keys)
{
	char socket_path[PATH_SIZE * 2], log_path[PATH_SIZE * 2], megabytes[32], options[32];
	struct db *db = calloc(1, sizeof(*db));
	if (db == NULL || !create) {
		free(db);
		return NULL;
	}
	snprintf(socket_path, sizeof(socket_path), "%s/%s.mc", dir, name);
	snprintf(log_path, sizeof(log_path), "%s/%s.mc.log", dir, name);
	snprintf(megabytes, sizeof(megabytes), "%u",
	         bench_max_bytes != 0 ? (unsigned)(bench_max_bytes >> 20) : (unsigned)(keys * 600 / 1000000 + 256));
	unsigned power = 16;
	while ((UINT64_C(1) << power) < keys)
		power++;
	snprintf(options, sizeof(options), "hashpower=%u", power);
	char *argv[] = { "memcached", "-s", socket_path, "-m",    megabytes,
		         "-t",        "1",  "-o",        options, geteuid() == 0 ? "-u" : NULL,
		         "root",      NULL };
	db->pid = bench_server_start(argv, log_path);
	db->mc = session(socket_path);
	db->quiet = session(socket_path);
	if (db->mc != NULL && db->quiet != NULL && db->pid > 0) {
		memcached_result_create(db->mc, &db->result);
		memcached_behavior_set(db->quiet, MEMCACHED_BEHAVIOR_NOREPLY, 1);
		for (int i = 0; i < 500; i++) {
			if (memcached_set(db->mc, "ready", 5, "1", 1, 0, 0) == MEMCACHED_SUCCESS)
				return db;
			memcached_quit(db->mc);
			usleep(10000);
		}
	}
	db_close(db);
	return NULL;
}

static const uint8_t *db_get(void *ptr, const uint8_t *key)
{
	struct db *db = ptr;
	memcached_return_t rc;
	size_t size;
	uint32_t flags;
	free(db->value);
	db->value = memcached_get(db->mc, (const char *)key, KEY_SIZE, &size, &flags, &rc);
	if (db->value == NULL && rc != MEMCACHED_NOTFOUND)
		bench_fail("memcached: %s", memcached_strerror(db->mc, rc));
	return (const uint8_t *)db->value;
}

static int db_mget(void *ptr, const uint8_t *keys, size_t n, const uint8_t **values)
{
	struct db *db = ptr;
	const char *names[BATCH];
	size_t sizes[BATCH], at = 0;
	memcached_return_t rc;
	for (size_t i = 0; i < n; i++) {
		names[i] = (const char *)keys + i * KEY_SIZE;
		sizes[i] = KEY_SIZE;
		values[i] = NULL;
	}
	if ((rc = memcached_mget(db->mc, names, sizes, n)) != MEMCACHED_SUCCESS)
		return -1;
	while (memcached_fetch_result(db->mc, &db->result, &rc) != NULL) {
		/* one server answers in the order of asking */
		while (at < n && memcmp(memcached_result_key_value(&db->result), names[at], KEY_SIZE) != 0)
			at++;
		if (at == n)
			return -1;
		memcpy(db->values[at], memcached_result_value(&db->result), VALUE_SIZE);
		values[at] = db->values[at];
		at++;
	}
	return 0;
}

static int db_set(void *ptr, const uint8_t *key, const uint8_t *value)
{
	struct db *db = ptr;
	return memcached_set(db->mc, (const char *)key, KEY_SIZE, (const char *)value, VALUE_SIZE, 0, 0) ==
	                       MEMCACHED_SUCCESS
	               ? 0
	               : -1;
}

/* A quiet session has no answers; a get on the same connection cannot overtake what was sent before. */
static int quiet_wait(struct db *db, const uint8_t *key, int present)
{
	memcached_return_t rc;
	size_t size;
	uint32_t flags;
	char *value = memcached_get(db->quiet, (const char *)key, KEY_SIZE, &size, &flags, &rc);
	free(value);
	return (value != NULL) == present ? 0 : -1;
}

static int db_mset(void *ptr, const uint8_t *keys, const uint8_t *values, size_t n)
{
	struct db *db = ptr;
	memcached_behavior_set(db->quiet, MEMCACHED_BEHAVIOR_BUFFER_REQUESTS, 1);
	for (size_t i = 0; i < n; i++) {
		memcached_return_t rc = memcached_set(db->quiet, (const char *)keys + i * KEY_SIZE, KEY_SIZE,
		                                      (const char *)values + i * VALUE_SIZE, VALUE_SIZE, 0, 0);
		if (rc != MEMCACHED_SUCCESS && rc != MEMCACHED_BUFFERED)
			return -1;
	}
	return quiet_wait(db, keys + (n - 1) * KEY_SIZE, 1);
}

static int db_del(void *ptr, const uint8_t *keys, size_t n)
{
	struct db *db = ptr;
	for (size_t i = 0; i < n; i++)
		if (memcached_delete(db->mc, (const char *)keys + i * KEY_SIZE, KEY_SIZE, 0) != MEMCACHED_SUCCESS)
			return -1;
	return 0;
}

/* Slab pages taken plus the hash table. */
static int64_t db_bytes(void *ptr)
{
	struct db *db = ptr;
	memcached_return_t rc;
	int64_t bytes = 0;
	static const struct {
		char *kind;
		const char *name;
	} parts[] = {
		{ "slabs", "total_malloced" },
		{ NULL, "hash_bytes" },
	};
	for (size_t i = 0; i < 2; i++) {
		memcached_stat_st *stats = memcached_stat(db->mc, parts[i].kind, &rc);
		char *text = stats ? memcached_stat_get_value(db->mc, stats, parts[i].name, &rc) : NULL;
		if (text != NULL)
			bytes += atoll(text);
		free(text);
		memcached_stat_free(db->mc, stats);
	}
	return bytes > 0 ? bytes : -1;
}

static int db_server(void *ptr)
{
	return ((struct db *)ptr)->pid;
}

const struct system system_memcached = {
	.name = "memcached",
	.what = "unix socket, one server thread on whichever core is faster for the row, libmemcached, binary protocol",
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
