/*
 * What the tests of wal/ share: a log in a directory of its own, whose entries follow from their seq, so that whoever
 * reads one can tell whether it is right.
 */
#ifndef TESTS_UNIT_WAL_LOG_H
#define TESTS_UNIT_WAL_LOG_H

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <latzero/latzero.h>

#include "base/crc32c.h"
#include "os/os.h"
#include "wal/wal.h"

static const uint8_t id[16] = "the log's own id";
static char dir[64];
static int dirfd_ = -1;
static struct lzi_wal wal;
static struct lzi_wal_position position;
static uint64_t next_seq;
static struct lzi_os real_os;

/* ---- Fixture ----------------------------------------------------------------------------------------------------- */

static void empty_dir(void)
{
	char **names;
	size_t count, i;

	lzi_wal_close(&wal);
	assert_int_equal(lzi_dir_read(dirfd_, &names, &count), LATZ_OK);
	for (i = 0; i < count; i++)
		unlinkat(dirfd_, names[i], 0);
	lzi_dir_free(names, count);
	memset(&position, 0, sizeof position);
	position.frame = 1;
	next_seq = 1;
	lzi_wal_init(&wal, dirfd_, id);
}

static int set_up(void **state)
{
	(void)state;
	real_os = lzi_os;
	strcpy(dir, "/dev/shm/test_wal-XXXXXX");
	if (mkdtemp(dir) == NULL) {
		strcpy(dir, "/tmp/test_wal-XXXXXX");
		if (mkdtemp(dir) == NULL)
			return -1;
	}
	dirfd_ = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	lzi_wal_init(&wal, dirfd_, id);
	empty_dir();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	lzi_os = real_os;
	empty_dir();
	close(dirfd_);
	return rmdir(dir);
}

/* Entry `seq`: key and value follow from it, so that whoever reads it can tell. */
static uint32_t value_size_of(uint64_t seq)
{
	return (uint32_t)(seq * 37 % 200);
}

static uint64_t entry_make(uint8_t *to, uint64_t seq, uint32_t value_size)
{
	struct lzi_log_entry entry = { .op = LZI_LOG_SET, .seq = seq, .deadline_wall_ms = (int64_t)(seq * 3) };
	uint64_t span;
	char key[32];

	entry.key_size = (uint16_t)snprintf(key, sizeof key, "key-%llu", (unsigned long long)seq);
	entry.value_size = value_size;
	span = lzi_log_entry_span(entry.key_size, value_size);
	memset(to, 0, span);
	memcpy(to, &entry, sizeof entry);
	memcpy(to + sizeof entry, key, entry.key_size);
	memset(to + sizeof entry + entry.key_size, (int)(seq % 251), value_size);
	return span;
}

/* One frame of `count` entries; value_size 0: as value_size_of() says. The payload goes in as two parts. */
static inline int append(unsigned count, uint32_t value_size)
{
	struct lzi_frame_header header = { .count = count, .flush = position.frame };
	uint8_t *payload = malloc((uint64_t)count * (300 + (uint64_t)value_size) + 8);
	struct lzi_wal_part parts[3];
	uint64_t size = 0;
	int rc;

	for (unsigned i = 0; i < count; i++)
		size += entry_make(payload + size, next_seq + i,
		                   value_size != 0 ? value_size : value_size_of(next_seq + i));
	header.payload_size = size;
	header.payload_crc = lzi_crc32c(0, payload, size);
	parts[0] = (struct lzi_wal_part){ payload, size / 3 };
	parts[1] = (struct lzi_wal_part){ NULL, 0 };
	parts[2] = (struct lzi_wal_part){ payload + size / 3, size - size / 3 };
	rc = lzi_wal_append(&wal, &position, &header, parts, 3);
	free(payload);
	if (rc == LATZ_OK)
		next_seq += count;
	return rc;
}

static inline void append_ok(unsigned count, uint32_t value_size)
{
	assert_int_equal(append(count, value_size), LATZ_OK);
}

static inline void sync_ok(void)
{
	assert_int_equal(lzi_wal_sync(&wal, &position), LATZ_OK);
	assert_int_equal(position.synced, position.frame);
}

static inline void begin_ok(uint64_t segment)
{
	assert_int_equal(lzi_wal_begin(&wal, &position, segment), LATZ_OK);
}

struct seen {
	uint64_t next; /* seq that comes next */
	uint64_t count, lost;
	int gaps; /* allowed, forward */
	uint32_t value_size;
	char text[4096];
};

static inline int check_entry(const struct lzi_wal_entry *entry, void *arg)
{
	struct seen *seen = arg;
	char key[32];
	int n = snprintf(key, sizeof key, "key-%llu", (unsigned long long)entry->head->seq);

	assert_true(seen->gaps ? entry->head->seq >= seen->next : entry->head->seq == seen->next);
	assert_int_equal(entry->head->key_size, n);
	assert_memory_equal(entry->key, key, (size_t)n);
	assert_int_equal(entry->head->deadline_wall_ms, entry->head->seq * 3);
	assert_int_equal(entry->head->value_size,
	                 seen->value_size != 0 ? seen->value_size : value_size_of(entry->head->seq));
	for (uint32_t i = 0; i < entry->head->value_size; i++) {
		if (entry->value[i] != entry->head->seq % 251)
			fail_msg("wrong data in entry %llu", (unsigned long long)entry->head->seq);
	}
	assert_int_equal(entry->frame, entry->flush);
	seen->next = entry->head->seq + 1;
	seen->count++;
	return 0;
}

static inline void note_lost(const char *what, void *arg)
{
	struct seen *seen = arg;

	seen->lost++;
	snprintf(seen->text + strlen(seen->text), sizeof seen->text - strlen(seen->text), "%s\n", what);
}

static inline int read_log(struct seen *seen, struct lzi_wal_read *read, uint64_t from)
{
	memset(read, 0, sizeof *read);
	read->dirfd = dirfd_;
	read->log_id = id;
	read->from = from;
	read->entry = check_entry;
	read->lost = note_lost;
	read->arg = seen;
	return lzi_wal_read(read);
}

/* All that was appended is there. */
static inline void read_all(uint64_t from, uint64_t frames)
{
	struct seen seen = { .next = 1 };
	struct lzi_wal_read read;

	assert_int_equal(read_log(&seen, &read, from), LATZ_OK);
	assert_int_equal(seen.next, next_seq);
	assert_int_equal(read.entries, next_seq - 1);
	assert_int_equal(read.frames, frames);
	assert_int_equal(read.next_frame, position.frame);
	assert_int_equal(read.torn_bytes, 0);
}

static inline int open_segment(uint64_t segment)
{
	char name[LZI_WAL_NAME];
	int fd;

	lzi_wal_name(name, segment);
	fd = openat(dirfd_, name, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static inline void flip(uint64_t segment, uint64_t at, uint8_t bits)
{
	int fd = open_segment(segment);
	uint8_t byte;

	assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
	byte ^= bits;
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
	close(fd);
}

#endif
