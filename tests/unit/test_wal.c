/*
 * wal/: what is appended is read back, across segments; torn ends are cut, damage is told of by file and offset, and
 * nothing wrong is ever handed out; each call to the disk may fail.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
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

static const uint8_t id[16] = "the log's own id", other_id[16] = "another log's id";
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
static int append(unsigned count, uint32_t value_size)
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

static void append_ok(unsigned count, uint32_t value_size)
{
	assert_int_equal(append(count, value_size), LATZ_OK);
}

static void sync_ok(void)
{
	assert_int_equal(lzi_wal_sync(&wal, &position), LATZ_OK);
	assert_int_equal(position.synced, position.frame);
}

static void begin_ok(uint64_t segment)
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

static int check_entry(const struct lzi_wal_entry *entry, void *arg)
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

static void note_lost(const char *what, void *arg)
{
	struct seen *seen = arg;

	seen->lost++;
	snprintf(seen->text + strlen(seen->text), sizeof seen->text - strlen(seen->text), "%s\n", what);
}

static int read_log(struct seen *seen, struct lzi_wal_read *read, uint64_t from)
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
static void read_all(uint64_t from, uint64_t frames)
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

static int open_segment(uint64_t segment)
{
	char name[LZI_WAL_NAME];
	int fd;

	lzi_wal_name(name, segment);
	fd = openat(dirfd_, name, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void flip(uint64_t segment, uint64_t at, uint8_t bits)
{
	int fd = open_segment(segment);
	uint8_t byte;

	assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
	byte ^= bits;
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
	close(fd);
}

/* ---- Writing and reading ----------------------------------------------------------------------------------------- */

static void round_trip(void **state)
{
	struct lzi_wal_read read;
	struct seen seen = { .next = 1 };

	(void)state;
	assert_int_equal(read_log(&seen, &read, 0), LATZ_OK); /* nothing at all */
	assert_int_equal(read.next_frame, 1);
	begin_ok(7);
	read_all(7, 0);
	for (unsigned i = 0; i < 50; i++)
		append_ok(1 + i % 7, 0);
	append_ok(0, 0); /* a frame may be empty */
	read_all(7, 51);
	sync_ok();
	read_all(0, 51);
	assert_int_equal(position.bytes % LZI_LOG_BLOCK, 0);
	assert_int_equal(lzi_wal_begin(&wal, &position, 7), LATZ_INVALID);
}

/* Another process, or this one after closing, goes on at the shared position. */
static void another_process(void **state)
{
	struct lzi_wal other;

	(void)state;
	begin_ok(1);
	append_ok(3, 0);
	lzi_wal_init(&other, dirfd_, id);
	for (unsigned i = 0; i < 6; i++) {
		struct lzi_wal swap = wal;

		append_ok(2, 0);
		if (i == 3)
			begin_ok(2);
		wal = other;
		other = swap;
	}
	sync_ok();
	read_all(1, 7);
	lzi_wal_close(&other);
}

static void rolls(void **state)
{
	uint64_t first, last, frames = 0;

	(void)state;
	begin_ok(1);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(lzi_wal_prepare(dirfd_), LATZ_OK);
		assert_int_equal(lzi_wal_prepare(dirfd_), LATZ_OK);
		while (position.segment == i + 1) {
			append_ok(9000, 0);
			frames++;
		}
		assert_int_equal(position.synced, position.frame - 1); /* all but the one after the roll */
		assert_int_not_equal(faccessat(dirfd_, "wal-prepared", F_OK, 0), 0);
	}
	append_ok(5, 0);
	assert_int_equal(lzi_wal_range(dirfd_, &first, &last), LATZ_OK);
	assert_int_equal(first, 1);
	assert_int_equal(last, 4);
	read_all(1, frames + 1);
}

/* Longer than a segment: one of its own, and the log goes on in the next. */
static void long_frames(void **state)
{
	const uint32_t sizes[] = { LZI_SEGMENT_BYTES - 9000, LZI_SEGMENT_BYTES, 3 * LZI_SEGMENT_BYTES + 5 };
	struct lzi_wal_read read;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct seen seen = { .next = 1, .value_size = sizes[i] };

		empty_dir();
		begin_ok(1);
		append_ok(1, sizes[i]);
		append_ok(1, sizes[i]);
		append_ok(1, sizes[i]);
		sync_ok();
		assert_int_equal(read_log(&seen, &read, 1), LATZ_OK);
		assert_int_equal(seen.count, 3);
		assert_int_equal(read.last_segment, position.segment);
		assert_true(read.last_segment >= 3);
	}
}

/* The process that takes the log over after a restart begins a new segment, whatever the last one's tail is. */
static void goes_on(void **state)
{
	struct lzi_wal_read read;
	struct seen seen = { .next = 1 };

	(void)state;
	begin_ok(1);
	append_ok(4, 0);
	sync_ok();
	append_ok(4, 0);
	append_ok(4, 0);
	flip(1, 2 * LZI_LOG_BLOCK + 100, 1); /* frame 2 is torn, 3 is whole */
	assert_int_equal(read_log(&seen, &read, 1), LATZ_OK);
	assert_int_equal(seen.count, 4);
	assert_int_equal(read.next_frame, 2);
	assert_true(read.torn_bytes == 2 * LZI_LOG_BLOCK);
	lzi_wal_close(&wal);
	memset(&position, 0, sizeof position);
	position.frame = read.next_frame;
	next_seq = 5;
	begin_ok(read.last_segment + 1);
	append_ok(3, 0);
	append_ok(3, 0);
	sync_ok();
	append_ok(3, 0);
	read_all(1, 4);
}

/* A segment that a dead process began and did not use is no harm, and is replaced when its turn comes. */
static void begun_and_left(void **state)
{
	struct lzi_wal_position before;

	(void)state;
	begin_ok(1);
	append_ok(2, 0);
	before = position;
	begin_ok(2);
	lzi_wal_close(&wal);
	position = before;
	append_ok(2, 0);
	append_ok(2, 0);
	read_all(1, 3);
	begin_ok(2);
	append_ok(2, 0);
	read_all(1, 4);
}

static void removed_and_recycled(void **state)
{
	struct seen seen = { .next = 1 };
	struct lzi_wal_read read;
	uint64_t first, last, frames = 0, seq;

	(void)state;
	begin_ok(1);
	for (; position.segment < 4; frames++)
		append_ok(9000, 0);
	begin_ok(5);
	seq = next_seq;
	assert_int_equal(lzi_wal_remove_below(dirfd_, 5), LATZ_OK);
	assert_int_equal(lzi_wal_range(dirfd_, &first, &last), LATZ_OK);
	assert_int_equal(first, 5);
	assert_int_equal(last, 5);
	assert_int_equal(faccessat(dirfd_, "wal-prepared", F_OK, 0), 0);
	/* The recycled one's old frames are at the very places where the new ones' successors would be. */
	append_ok(1, 0);
	begin_ok(6);
	append_ok(9000, 0);
	append_ok(9000, 0);
	seen.next = seq;
	assert_int_equal(read_log(&seen, &read, 5), LATZ_OK);
	assert_int_equal(seen.next, next_seq);
	assert_int_equal(read.torn_bytes, 0);
	(void)frames;
}

static void refused(void **state)
{
	struct seen seen = { .next = 1, .gaps = 1 };
	struct lzi_wal_read read = { .dirfd = dirfd_, .log_id = other_id, .from = 1 };
	struct lzi_segment_header header;
	int fd;

	(void)state;
	begin_ok(1);
	append_ok(2, 0);
	begin_ok(2);
	append_ok(2, 0);
	begin_ok(3);
	append_ok(2, 0);
	sync_ok();
	assert_int_equal(lzi_wal_read(&read), LATZ_CORRUPT);
	assert_non_null(strstr(latz_error_detail(), "another pool"));
	read.log_id = NULL;
	assert_int_equal(lzi_wal_read(&read), LATZ_OK);
	assert_int_equal(read.entries, 6);
	assert_memory_equal(read.found_id, id, 16);
	/* Not from the first wanted one on, or with one missing. */
	assert_int_equal(read_log(&seen, &read, 4), LATZ_CORRUPT);
	assert_int_equal(unlinkat(dirfd_, "wal-2.log", 0), 0);
	seen = (struct seen){ .next = 1, .gaps = 1 };
	assert_int_equal(read_log(&seen, &read, 1), LATZ_CORRUPT);
	assert_non_null(strstr(latz_error_detail(), "wal-2.log"));
	seen = (struct seen){ .next = 1, .gaps = 1 };
	read.salvage = 1;
	assert_int_equal(lzi_wal_read(&read), LATZ_OK);
	assert_int_equal(seen.count, 4);
	assert_true(seen.lost >= 1);
	assert_non_null(strstr(seen.text, "wal-2.log"));
	/* A future version, by its header. */
	fd = open_segment(3);
	assert_int_equal(pread(fd, &header, sizeof header, 0), sizeof header);
	header.major++;
	header.checksum = lzi_crc32c(0, &header, 60);
	assert_int_equal(pwrite(fd, &header, sizeof header, 0), sizeof header);
	close(fd);
	seen = (struct seen){ .next = 1, .gaps = 1 };
	assert_int_equal(read_log(&seen, &read, 3), LATZ_VERSION);
}

static int stop_at_three(const struct lzi_wal_entry *entry, void *arg)
{
	(void)arg;
	return entry->head->seq == 3 ? LATZ_IO : 0;
}

static void entry_stops(void **state)
{
	struct lzi_wal_read read = { .dirfd = dirfd_, .from = 1, .salvage = 1, .entry = stop_at_three };

	(void)state;
	begin_ok(1);
	append_ok(5, 0);
	assert_int_equal(lzi_wal_read(&read), LATZ_IO);
}

/* Checksums are right and the contents are not: never taken, not even at the end. */
static void nonsense_in_a_whole_frame(void **state)
{
	static const struct {
		uint32_t value_size;
		uint16_t key_size;
		uint8_t op, type;
		uint32_t count;
	} bad[] = { { 8, 0, 1, 0, 1 },  { 8, 40000, 1, 0, 1 }, { 9000, 3, 1, 0, 1 }, { 8, 3, 4, 0, 1 },
		    { 8, 3, 0, 0, 1 },  { 8, 3, 2, 0, 1 },     { 7, 3, 3, 0, 1 },    { 8, 3, 1, 9, 1 },
		    { 8, 3, 1, 200, 1 }, { 8, 3, 1, 0, 2 },    { 8, 3, 1, 0, 0 } };

	(void)state;
	for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
		uint8_t payload[40] = { 0 };
		struct lzi_log_entry entry = { .value_size = bad[i].value_size,
			                       .key_size = bad[i].key_size,
			                       .op = bad[i].op,
			                       .type = bad[i].type,
			                       .seq = 1 };
		struct lzi_frame_header header = { .count = bad[i].count, .payload_size = sizeof payload };
		struct lzi_wal_part part = { payload, sizeof payload };
		struct lzi_wal_read read = { .dirfd = dirfd_, .from = 1 };

		memcpy(payload, &entry, sizeof entry);
		header.payload_crc = lzi_crc32c(0, payload, sizeof payload);
		empty_dir();
		begin_ok(1);
		assert_int_equal(lzi_wal_append(&wal, &position, &header, &part, 1), LATZ_OK);
		assert_int_equal(lzi_wal_read(&read), LATZ_CORRUPT);
		assert_non_null(strstr(latz_error_detail(), "wal-1.log: offset 4"));
	}
}

/* ---- Torn ends and damage ---------------------------------------------------------------------------------------- */

#define SMALL_FRAMES 4

/* Entries that are whole when the file ends, or is bad, at `at`; frame i's span in *ends. */
static uint64_t small_log(uint64_t ends[SMALL_FRAMES + 1], uint64_t seqs[SMALL_FRAMES + 1])
{
	static const unsigned counts[SMALL_FRAMES] = { 3, 70, 1, 2 };

	empty_dir();
	begin_ok(1);
	ends[0] = LZI_LOG_BLOCK;
	seqs[0] = 1;
	for (unsigned i = 0; i < SMALL_FRAMES; i++) {
		append_ok(counts[i], 0);
		if (i == 1)
			sync_ok();
		ends[i + 1] = position.offset;
		seqs[i + 1] = next_seq;
	}
	return position.offset;
}

/* The file ends anywhere: what is whole before that is read, and the rest is cut. */
static void every_length(void **state)
{
	uint64_t ends[SMALL_FRAMES + 1], seqs[SMALL_FRAMES + 1], size = small_log(ends, seqs);
	int fd = open_segment(1);

	(void)state;
	for (uint64_t length = size + 5000; length-- > 0;) {
		struct seen seen = { .next = 1 };
		struct lzi_wal_read read;
		unsigned whole = 0;
		int rc;

		assert_int_equal(ftruncate(fd, (off_t)length), 0);
		rc = read_log(&seen, &read, 1);
		if (length < sizeof(struct lzi_segment_header)) {
			assert_int_equal(rc, LATZ_CORRUPT);
			assert_non_null(strstr(latz_error_detail(), "wal-1.log: offset "));
			continue;
		}
		assert_int_equal(rc, LATZ_OK);
		while (whole < SMALL_FRAMES && ends[whole + 1] <= length)
			whole++;
		assert_int_equal(seen.next, seqs[whole]);
		if (length > ends[whole] && length < ends[SMALL_FRAMES])
			assert_int_equal(read.torn_bytes, length - ends[whole]);
	}
	close(fd);
}

/* Any byte is wrong. In a frame that a later one vouches for (the first two here) that is damage; after that it is as
 * if the log ended there. Salvage gets all the others. */
static void every_byte(void **state)
{
	uint64_t ends[SMALL_FRAMES + 1], seqs[SMALL_FRAMES + 1], size = small_log(ends, seqs);
	int fd = open_segment(1);

	(void)state;
	assert_int_equal(ftruncate(fd, (off_t)size), 0); /* zeros behind it only take time */
	close(fd);
	for (uint64_t at = 0; at < size; at++) {
		struct seen seen = { .next = 1 };
		struct lzi_wal_read read;
		uint8_t bits = (uint8_t)(1u << at % 8);
		unsigned frame = 0;
		char where[64];
		int rc;

		flip(1, at, bits);
		rc = read_log(&seen, &read, 1);
		while (at >= ends[frame])
			frame++;
		if (frame == 0) {
			assert_int_equal(rc, at < sizeof(struct lzi_segment_header) ? LATZ_CORRUPT : LATZ_OK);
		} else if (rc == LATZ_OK && seen.next == next_seq) {
			; /* in the padding */
		} else if (frame <= 2) {
			assert_int_equal(rc, LATZ_CORRUPT);
			snprintf(where, sizeof where, "wal-1.log: offset %llu", (unsigned long long)ends[frame - 1]);
			assert_non_null(strstr(latz_error_detail(), where));
			assert_int_equal(seen.next, seqs[frame - 1]);
			seen = (struct seen){ .next = 1, .gaps = 1 };
			read.salvage = 1;
			assert_int_equal(lzi_wal_read(&read), LATZ_OK);
			assert_int_equal(seen.lost, 1);
			assert_int_equal(seen.count, next_seq - 1 - (seqs[frame] - seqs[frame - 1]));
		} else {
			assert_int_equal(rc, LATZ_OK);
			assert_int_equal(seen.next, seqs[frame - 1]);
		}
		flip(1, at, bits);
	}
}

/* A whole block of each frame is lost; and the next segment, or a frame in it, vouches. */
static void every_block(void **state)
{
	uint64_t ends[SMALL_FRAMES + 1], seqs[SMALL_FRAMES + 1], size;
	uint8_t old[LZI_LOG_BLOCK], zeros[LZI_LOG_BLOCK] = { 0 };
	int fd;

	(void)state;
	size = small_log(ends, seqs);
	begin_ok(2);
	append_ok(2, 0);
	fd = open_segment(1);
	for (uint64_t at = LZI_LOG_BLOCK; at < size; at += LZI_LOG_BLOCK) {
		struct seen seen = { .next = 1 };
		struct lzi_wal_read read;
		unsigned frame = 0;

		assert_int_equal(pread(fd, old, sizeof old, (off_t)at), sizeof old);
		assert_int_equal(pwrite(fd, zeros, sizeof zeros, (off_t)at), sizeof zeros);
		while (at >= ends[frame])
			frame++;
		assert_int_equal(read_log(&seen, &read, 1), LATZ_CORRUPT);
		assert_int_equal(seen.next, seqs[frame - 1]);
		assert_non_null(strstr(latz_error_detail(), "wal-1.log: offset "));
		seen = (struct seen){ .next = 1, .gaps = 1 };
		read.salvage = 1;
		assert_int_equal(lzi_wal_read(&read), LATZ_OK);
		assert_int_equal(seen.next, next_seq);
		assert_int_equal(seen.count, next_seq - 1 - (seqs[frame] - seqs[frame - 1]));
		assert_int_equal(pwrite(fd, old, sizeof old, (off_t)at), sizeof old);
	}
	close(fd);
}

/* A value may hold a copy of the log itself, at a place where a frame could be. It vouches for nothing. */
static void value_like_a_frame(void **state)
{
	uint8_t *payload = calloc(1, 4 * LZI_LOG_BLOCK), copy[LZI_LOG_BLOCK];
	struct lzi_log_entry entry = { .op = LZI_LOG_SET, .seq = 9, .key_size = 1 };
	struct lzi_frame_header header = { .count = 1 };
	struct lzi_wal_part part = { payload, 0 };
	struct seen seen = { .next = 1 };
	struct lzi_wal_read read;
	int fd;

	(void)state;
	begin_ok(1);
	append_ok(1, 0);
	sync_ok();
	append_ok(1, 0);
	fd = open_segment(1);
	assert_int_equal(pread(fd, copy, sizeof copy, 2 * LZI_LOG_BLOCK), sizeof copy);
	close(fd);
	entry.value_size = 3 * LZI_LOG_BLOCK;
	header.payload_size = part.size = lzi_log_entry_span(1, entry.value_size);
	memcpy(payload, &entry, sizeof entry);
	for (unsigned i = 1; i < 3; i++) /* the frame's second and third block */
		memcpy(payload + i * LZI_LOG_BLOCK - sizeof header, copy, sizeof copy);
	header.payload_crc = lzi_crc32c(0, payload, header.payload_size);
	assert_int_equal(lzi_wal_append(&wal, &position, &header, &part, 1), LATZ_OK);
	flip(1, 3 * LZI_LOG_BLOCK, 1);
	assert_int_equal(read_log(&seen, &read, 1), LATZ_OK);
	assert_int_equal(read.frames, 2);
	free(payload);
}

/* ---- Faults ------------------------------------------------------------------------------------------------------ */

static struct {
	int countdown; /* calls that go well; then one fails */
	int err;       /* 0: writes and reads move one byte less */
	int failed;
} fault;

static int fails(void)
{
	if (fault.countdown-- != 0)
		return 0;
	fault.failed = 1;
	errno = fault.err;
	return fault.err != 0;
}

/* Whether the call at hand is the one to come short. */
static int comes_short(void)
{
	return fault.failed && fault.err == 0 && fault.countdown == -1;
}

static int bad_openat(int fd, const char *path, int flags, mode_t mode)
{
	return fails() ? -1 : real_os.openat(fd, path, flags, mode);
}

static int bad_fallocate(int fd, int mode, off_t offset, off_t length)
{
	return fails() ? -1 : real_os.fallocate(fd, mode, offset, length);
}

static int bad_renameat(int olddir, const char *old, int newdir, const char *name)
{
	return fails() ? -1 : real_os.renameat(olddir, old, newdir, name);
}

static ssize_t bad_pread(int fd, void *data, size_t size, off_t offset)
{
	return fails() ? -1 : real_os.pread(fd, data, comes_short() && size > 1 ? size - 1 : size, offset);
}

static ssize_t bad_pwrite(int fd, const void *data, size_t size, off_t offset)
{
	return fails() ? -1 : real_os.pwrite(fd, data, comes_short() && size > 1 ? size - 1 : size, offset);
}

static ssize_t bad_pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
	if (fails())
		return -1;
	/* Within the first, or without the last. */
	if (comes_short() && parts[0].iov_len > 1)
		return real_os.pwrite(fd, parts[0].iov_base, parts[0].iov_len - 1, offset);
	return real_os.pwritev(fd, parts, comes_short() && count > 1 ? count - 1 : count, offset);
}

static int bad_fdatasync(int fd)
{
	return fails() ? -1 : real_os.fdatasync(fd);
}

static int bad_fsync(int fd)
{
	return fails() ? -1 : real_os.fsync(fd);
}

static int bad_ftruncate(int fd, off_t size)
{
	return fails() ? -1 : real_os.ftruncate(fd, size);
}

static int bad_unlinkat(int fd, const char *path, int flags)
{
	return fails() ? -1 : real_os.unlinkat(fd, path, flags);
}

static int descriptors(void)
{
	DIR *open_files = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(open_files) != NULL)
		count++;
	closedir(open_files);
	return count;
}

/* The operations, each from the same beginning: segment 1 with a few frames, in the last one no room. */
static int do_begin(void)
{
	return lzi_wal_begin(&wal, &position, position.segment + 1);
}

static int do_append(void)
{
	return append(3, 0);
}

static int do_roll(void)
{
	return append(1, LZI_SEGMENT_BYTES - 4 * LZI_LOG_BLOCK);
}

static int do_long(void)
{
	return append(1, LZI_SEGMENT_BYTES + 1);
}

static int do_sync(void)
{
	return lzi_wal_sync(&wal, &position);
}

static int do_prepare(void)
{
	return lzi_wal_prepare(dirfd_);
}

static int do_remove(void)
{
	return lzi_wal_remove_below(dirfd_, position.segment);
}

static int do_read(void)
{
	struct seen seen = { .next = 1, .gaps = 1 };
	struct lzi_wal_read read;
	int rc = read_log(&seen, &read, 1);

	if (rc == LATZ_OK)
		assert_int_equal(seen.count, 6);
	return rc;
}

static const struct {
	const char *name;
	int (*run)(void);
	int prepared;
} operations[] = {
	{ "begin", do_begin, 0 },     { "begin, prepared", do_begin, 1 }, { "append", do_append, 0 },
	{ "roll", do_roll, 0 },       { "roll, prepared", do_roll, 1 },   { "long frame", do_long, 0 },
	{ "sync", do_sync, 0 },       { "prepare", do_prepare, 0 },       { "remove", do_remove, 0 },
	{ "read", do_read, 0 },
};

/* After whatever failed: the frames before are there, and trying again succeeds. */
static void after_fault(unsigned op, int rc, const struct lzi_wal_position *before)
{
	struct lzi_wal_read read;

	if (rc != LATZ_OK) {
		assert_int_equal(rc, fault.err == ENOSPC ? LATZ_NOSPC : LATZ_IO);
		assert_true(strstr(latz_error_detail(), "wal-") != NULL || strstr(latz_error_detail(), "directory"));
		assert_int_equal(position.frame, before->frame);
		assert_true(position.synced == before->synced || position.synced == position.frame);
		assert_true(position.segment == before->segment ? position.offset == before->offset
		                                                : position.offset == LZI_LOG_BLOCK);
		assert_int_equal(operations[op].run(), LATZ_OK);
	}
	read = (struct lzi_wal_read){ .dirfd = dirfd_, .log_id = id, .from = 1 };
	if (operations[op].run == do_remove)
		read.from = position.segment;
	assert_int_equal(lzi_wal_read(&read), LATZ_OK);
	assert_int_equal(read.next_frame, position.frame);
}

static void every_call_fails(void **state)
{
	static const int errors[] = { EIO, ENOSPC, 0 };

	(void)state;
	for (unsigned op = 0; op < sizeof operations / sizeof *operations; op++) {
		for (unsigned e = 0; e < 3; e++) {
			for (int nth = 0;; nth++) {
				struct lzi_wal_position before;
				int rc, fds, failed;

				empty_dir();
				begin_ok(1);
				append_ok(2, 0);
				sync_ok();
				append_ok(1, 0);
				begin_ok(2);
				append_ok(2, 0);
				append_ok(1, 0);
				assert_false(operations[op].prepared && lzi_wal_prepare(dirfd_) != LATZ_OK);
				before = position;
				fds = descriptors();
				lzi_os = (struct lzi_os){ bad_openat, bad_fallocate, real_os.mmap, real_os.mremap,
					                  real_os.madvise, bad_renameat, real_os.mkdirat, bad_pread,
					                  bad_pwrite, bad_pwritev, real_os.read, real_os.write,
					                  bad_fdatasync, bad_fsync, bad_ftruncate, bad_unlinkat };
				fault.countdown = nth;
				fault.err = errors[e];
				fault.failed = 0;
				rc = operations[op].run();
				lzi_os = real_os;
				failed = fault.failed;
				if (failed && errors[e] == 0)
					assert_int_equal(rc, LATZ_OK);
				assert_int_equal(descriptors(), fds);
				after_fault(op, rc, &before);
				assert_int_equal(descriptors(), fds);
				if (!failed) {
					assert_int_equal(rc, LATZ_OK);
					break;
				}
				assert_true(nth < 1000);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(round_trip, set_up, tear_down),
		cmocka_unit_test_setup_teardown(another_process, set_up, tear_down),
		cmocka_unit_test_setup_teardown(rolls, set_up, tear_down),
		cmocka_unit_test_setup_teardown(long_frames, set_up, tear_down),
		cmocka_unit_test_setup_teardown(goes_on, set_up, tear_down),
		cmocka_unit_test_setup_teardown(begun_and_left, set_up, tear_down),
		cmocka_unit_test_setup_teardown(removed_and_recycled, set_up, tear_down),
		cmocka_unit_test_setup_teardown(refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(entry_stops, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nonsense_in_a_whole_frame, set_up, tear_down),
		cmocka_unit_test_setup_teardown(every_length, set_up, tear_down),
		cmocka_unit_test_setup_teardown(every_byte, set_up, tear_down),
		cmocka_unit_test_setup_teardown(every_block, set_up, tear_down),
		cmocka_unit_test_setup_teardown(value_like_a_frame, set_up, tear_down),
		cmocka_unit_test_setup_teardown(every_call_fails, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
