/*
 * What the disk itself does: each set is one write of a log record's bytes and one fdatasync, into a file whose blocks
 * are there and were written before. Every process writes its own file. No system can be faster with one client.
 */
#define _GNU_SOURCE
#include "durable.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	RECORD = KEY_SIZE + VALUE_SIZE + 32, /* with a header */
	FILE_SIZE = 16 << 20
};

struct db {
	int fd;
	off_t at;
};

static void *db_open(const struct store_spec *spec)
{
	char path[PATH_SIZE * 2], name[32];
	static uint8_t zeros[1 << 20];
	struct db *db = calloc(1, sizeof(*db));
	(void)spec;
	if (db == NULL)
		return NULL;
	snprintf(name, sizeof(name), "bare.%d", (int)getpid());
	durable_path(path, durable_config.disk, name);
	db->fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int failed = db->fd < 0;
	for (int i = 0; i < FILE_SIZE >> 20 && !failed; i++)
		failed = write(db->fd, zeros, sizeof(zeros)) != (ssize_t)sizeof(zeros);
	if (failed || fsync(db->fd) != 0) {
		durable_fail("%s: %s", path, strerror(errno));
		free(db);
		return NULL;
	}
	return db;
}

static void db_close(void *ptr)
{
	struct db *db = ptr;
	close(db->fd);
	free(db);
}

static int db_load(void *ptr, uint64_t keys)
{
	(void)ptr;
	(void)keys;
	return 0;
}

static int db_set(void *ptr, const uint8_t *key, const uint8_t *value)
{
	struct db *db = ptr;
	uint8_t record[RECORD] = { RECORD };
	memcpy(record + 32, key, KEY_SIZE);
	memcpy(record + 32 + KEY_SIZE, value, VALUE_SIZE);
	if (pwrite(db->fd, record, RECORD, db->at) != RECORD || fdatasync(db->fd) != 0)
		return durable_fail("write: %s", strerror(errno));
	db->at += RECORD;
	if (db->at > FILE_SIZE - RECORD)
		db->at = 0;
	return 0;
}

const struct durable_system durable_bare = {
	.name = "bare",
	.what = "one write of 148 bytes and one fdatasync, into zero-written files, a file a process",
	.open = db_open,
	.close = db_close,
	.set = db_set,
	.load = db_load,
};
