/*
 * The floor: the least a shared hash table with separate records can do. In a mapped tmpfs file: hash the key
 * (XXH3), read the one 64-byte slot line the hash names, read the record it points at, compare the key, copy the
 * value. No locks, no versions, no checks of what another process might be doing, nothing that survives anything. It
 * is the yardstick for gets; its overwrite (in place, torn for whoever reads at the same time) and its many-process
 * rows only show what the machine gives.
 */
#define _GNU_SOURCE
#define XXH_INLINE_ALL
#include "bench.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

enum {
	SLOTS = 8,
	HEAD_SIZE = 4096
};

struct head {
	uint64_t lines, records_max, records;
};

struct line {
	uint64_t slots[SLOTS]; /* 16 bits of hash, 48 bits of record number + 1 */
};

struct record {
	uint8_t key[KEY_SIZE];
	uint8_t value[VALUE_SIZE];
	uint8_t pad[12];
};

struct db {
	struct head *head;
	struct line *lines;
	struct record *records;
	uint64_t mask;
	size_t size;
	uint8_t value[VALUE_SIZE];
	uint8_t values[BATCH][VALUE_SIZE];
	char path[PATH_SIZE * 2];
};

_Static_assert(sizeof(struct line) == 64, "a slot line is a cache line");
_Static_assert(sizeof(struct record) == 128, "a record is two cache lines");

static void *db_open(const char *dir, const char *name, int create, uint64_t keys)
{
	struct db *db = aligned_alloc(64, (sizeof(*db) + 63) / 64 * 64);
	if (db == NULL)
		return NULL;
	memset(db, 0, sizeof(*db));
	snprintf(db->path, sizeof(db->path), "%s/%s.floor", dir, name);
	int fd = open(db->path, O_RDWR | O_CLOEXEC | (create ? O_CREAT | O_EXCL : 0), 0600);
	if (fd < 0)
		goto fail;
	struct head head = { 1, keys + 1, 0 };
	while (head.lines * 5 < keys) /* 2.5 to 5 of 8 slots in use */
		head.lines *= 2;
	if (create) {
		db->size = HEAD_SIZE + head.lines * sizeof(struct line) + head.records_max * sizeof(struct record);
		if (ftruncate(fd, (off_t)db->size) != 0 || pwrite(fd, &head, sizeof(head), 0) != sizeof(head))
			goto fail_fd;
	} else if (pread(fd, &head, sizeof(head), 0) != sizeof(head))
		goto fail_fd;
	db->size = HEAD_SIZE + head.lines * sizeof(struct line) + head.records_max * sizeof(struct record);
	db->head = mmap(NULL, db->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (db->head == MAP_FAILED)
		goto fail_fd;
	close(fd);
	db->lines = (struct line *)((char *)db->head + HEAD_SIZE);
	db->records = (struct record *)(db->lines + head.lines);
	db->mask = head.lines - 1;
	return db;
fail_fd:
	close(fd);
fail:
	free(db);
	return NULL;
}

static void db_close(void *ptr)
{
	struct db *db = ptr;
	munmap(db->head, db->size);
	free(db);
}

/* Which of a line's slots carry the tag, as bits. */
static inline unsigned line_match(const struct line *line, uint64_t tag)
{
	unsigned bits = 0;
	for (unsigned i = 0; i < SLOTS; i++)
		bits |= (unsigned)(line->slots[i] >> 48 == tag && line->slots[i] != 0) << i;
	return bits;
}

static inline struct record *find(struct db *db, uint64_t hash, const uint8_t *key)
{
	for (uint64_t at = hash & db->mask;; at = (at + 1) & db->mask) {
		const struct line *line = &db->lines[at];
		for (unsigned bits = line_match(line, hash >> 48); bits; bits &= bits - 1) {
			uint64_t slot = line->slots[__builtin_ctz(bits)];
			struct record *record = &db->records[(slot & UINT64_C(0xffffffffffff)) - 1];
			if (memcmp(record->key, key, KEY_SIZE) == 0)
				return record;
		}
		if (line->slots[SLOTS - 1] == 0)
			return NULL;
	}
}

static const uint8_t *db_get(void *ptr, const uint8_t *key)
{
	struct db *db = ptr;
	const struct record *record = find(db, XXH3_64bits(key, KEY_SIZE), key);
	if (record == NULL)
		return NULL;
	memcpy(db->value, record->value, VALUE_SIZE);
	return db->value;
}

static int db_mget(void *ptr, const uint8_t *keys, size_t n, const uint8_t **values)
{
	struct db *db = ptr;
	uint64_t hashes[BATCH];
	for (size_t i = 0; i < n; i++) {
		hashes[i] = XXH3_64bits(keys + i * KEY_SIZE, KEY_SIZE);
		__builtin_prefetch(&db->lines[hashes[i] & db->mask]);
	}
	for (size_t i = 0; i < n; i++) {
		const struct line *line = &db->lines[hashes[i] & db->mask];
		unsigned bits = line_match(line, hashes[i] >> 48);
		if (bits) {
			const char *record =
				(const char *)&db->records[(line->slots[__builtin_ctz(bits)] << 16 >> 16) - 1];
			__builtin_prefetch(record);
			__builtin_prefetch(record + 64);
		}
	}
	for (size_t i = 0; i < n; i++) {
		const struct record *record = find(db, hashes[i], keys + i * KEY_SIZE);
		values[i] = record ? memcpy(db->values[i], record->value, VALUE_SIZE) : NULL;
	}
	return 0;
}

static int db_set(void *ptr, const uint8_t *key, const uint8_t *value)
{
	struct db *db = ptr;
	uint64_t hash = XXH3_64bits(key, KEY_SIZE);
	struct record *record = find(db, hash, key);
	if (record == NULL) {
		if (db->head->records == db->head->records_max)
			return -1;
		uint64_t at = hash & db->mask;
		unsigned slot = 0;
		while (db->lines[at].slots[slot] != 0)
			if (++slot == SLOTS) {
				slot = 0;
				at = (at + 1) & db->mask;
			}
		record = &db->records[db->head->records];
		memcpy(record->key, key, KEY_SIZE);
		db->lines[at].slots[slot] = hash >> 48 << 48 | ++db->head->records;
	}
	memcpy(record->value, value, VALUE_SIZE);
	return 0;
}

const struct system system_floor = {
	.name = "floor",
	.what = "hash, slot line, record, copy: nothing else",
	.caps = CAN_OVERWRITE | CAN_SHARE | CAN_MGET,
	.open = db_open,
	.close = db_close,
	.get = db_get,
	.set = db_set,
	.mget = db_mget,
};
