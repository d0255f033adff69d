/*
 * memcached with a memory file (-e) in memory: stopped with SIGUSR1 it leaves the file, and a server started on it
 * again has the items. Talked to in its text protocol over a unix socket.
 */
#define _GNU_SOURCE
#include "durable.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

struct db {
	FILE *in, *out;
	int pid;
	size_t value_size;
	uint64_t keys;
	char socket[PATH_SIZE * 2], memory[PATH_SIZE * 2], log[PATH_SIZE * 2 + 8];
};

static int server_start(const struct db *db)
{
	char megabytes[24], options[48];
	unsigned power = 16;
	while ((UINT64_C(1) << power) < durable_config.keys)
		power++;
	/* items, their headers and what slab classes waste, twice over */
	snprintf(megabytes, sizeof(megabytes), "%llu",
	         (unsigned long long)(durable_config.keys * (db->value_size + 150) * 2 / 1000000 + 256));
	snprintf(options, sizeof(options), "hashpower=%u", power);
	char *argv[] = { "memcached",
		         "-s",
		         (char *)db->socket,
		         "-m",
		         megabytes,
		         "-e",
		         (char *)db->memory,
		         "-t",
		         "2",
		         "-o",
		         options,
		         geteuid() == 0 ? "-u" : NULL,
		         "root",
		         NULL };
	return bench_server_start(argv, db->log);
}

static void disconnect(struct db *db)
{
	if (db->in != NULL)
		fclose(db->in);
	if (db->out != NULL)
		fclose(db->out);
	db->in = db->out = NULL;
}

static int connect_once(struct db *db)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || strlen(db->socket) >= sizeof(address.sun_path)) {
		close(fd);
		return -1;
	}
	strcpy(address.sun_path, db->socket);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		close(fd);
		return -1;
	}
	db->in = fdopen(fd, "r");
	db->out = fdopen(dup(fd), "w");
	return db->in != NULL && db->out != NULL ? 0 : -1;
}

static int db_get(void *ptr, const uint8_t *key, uint8_t *value)
{
	struct db *db = ptr;
	char line[256];
	size_t size;
	if (db->out == NULL || fprintf(db->out, "get %.*s\r\n", KEY_SIZE, (const char *)key) < 0 ||
	    fflush(db->out) != 0 || fgets(line, sizeof(line), db->in) == NULL)
		return durable_fail("memcached: no answer");
	if (sscanf(line, "VALUE %*s %*u %zu", &size) != 1 || size != db->value_size)
		return durable_fail("memcached: not there");
	if (fread(value, 1, size, db->in) != size || fgets(line, sizeof(line), db->in) == NULL ||
	    fgets(line, sizeof(line), db->in) == NULL || strncmp(line, "END", 3) != 0)
		return durable_fail("memcached: a torn answer");
	return 0;
}

/* Of "stats". */
static int64_t stat_of(struct db *db, const char *name)
{
	char line[256], found[64];
	long long value, result = -1;
	fputs("stats\r\n", db->out);
	fflush(db->out);
	while (fgets(line, sizeof(line), db->in) != NULL && strncmp(line, "END", 3) != 0)
		if (sscanf(line, "STAT %63s %lld", found, &value) == 2 && strcmp(found, name) == 0)
			result = value;
	return result;
}

static void db_close(void *ptr)
{
	struct db *db = ptr;
	disconnect(db);
	bench_server_stop(db->pid);
	durable_remove(db->memory);
	free(db);
}

static void *db_open(const struct store_spec *spec)
{
	char name[64];
	struct db *db = calloc(1, sizeof(*db));
	if (db == NULL)
		return NULL;
	db->value_size = spec->value_size;
	snprintf(name, sizeof(name), "memcached-%zu", spec->value_size);
	durable_path(db->socket, durable_config.shm, name);
	snprintf(name, sizeof(name), "memcached-%zu.memory", spec->value_size);
	durable_path(db->memory, durable_config.shm, name);
	snprintf(db->log, sizeof(db->log), "%s.log", db->socket);
	db->pid = server_start(db);
	for (int i = 0; i < 500; i++) {
		if (connect_once(db) == 0)
			return db;
		disconnect(db);
		usleep(10000);
	}
	durable_fail("memcached: the server does not answer");
	db_close(db);
	return NULL;
}

static int db_load(void *ptr, uint64_t keys)
{
	struct db *db = ptr;
	uint8_t key[KEY_SIZE], value[VALUE_MAX];
	for (uint64_t id = 0; id < keys; id++) {
		bench_key(id, key);
		bulk_value(id, value, db->value_size);
		fprintf(db->out, "set %.*s 0 0 %zu noreply\r\n", KEY_SIZE, (const char *)key, db->value_size);
		fwrite(value, 1, db->value_size, db->out);
		fputs("\r\n", db->out);
	}
	db->keys = keys;
	if (stat_of(db, "curr_items") != (int64_t)keys)
		return durable_fail("memcached: not all keys fit");
	return 0;
}

static int db_restore(void *ptr, struct restore_times *times)
{
	struct db *db = ptr;
	uint8_t key[KEY_SIZE], value[VALUE_MAX];
	int status, connected = 0;
	disconnect(db);
	kill(db->pid, SIGUSR1);
	waitpid(db->pid, &status, 0);
	db->pid = 0;
	sleep(2); /* it does not take up a memory file again in the second it was left in */
	bench_key(12345, key);
	uint64_t start = bench_now_ns();
	db->pid = server_start(db);
	while (!(connected = connect_once(db) == 0) && durable_seconds(start) < 120) {
		disconnect(db);
		usleep(500);
	}
	if (!connected || db_get(db, key, value) != 0)
		return durable_fail("memcached: the warm restart failed");
	times->first = durable_seconds(start);
	if (bench_value_word(value) != bench_word(12345) || stat_of(db, "curr_items") != (int64_t)db->keys)
		return durable_fail("memcached: the warm restart lost items");
	times->all = durable_seconds(start);
	return 0;
}

const struct durable_system durable_memcached = {
	.name = "memcached",
	.what = "unix socket, text protocol; warm restart from a memory file (-e) on tmpfs after SIGUSR1, from the "
		"server's "
		"start to an answer",
	.open = db_open,
	.close = db_close,
	.get = db_get,
	.load = db_load,
	.restore = db_restore,
};
