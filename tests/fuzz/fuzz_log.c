/*
 * The log's reader as a libFuzzer target. The first byte says what the rest is:
 *   bit 0  checksums, numbers and the log's tag are put right where a header is, so that what is behind them is reached
 *   bit 1  salvage
 *   bits 2-3  how many segments the bytes are cut into (3: entries without a frame)
 * Whatever comes, reading ends with one of the named results, twice the same, and entries are within their sizes, of
 * frames whose numbers never fall. The segments are files in a directory under /dev/shm, else /tmp.
 */
#include "config.h"

#include <fcntl.h>
#include <latzero/latzero.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"

#include "base/error.h"
#include "base/crc32c.h"
#include "format/heap.h"
#include "wal/wal.h"

#define SEAL 1
#define SALVAGE 2
#define SEGMENTS_MAX 3

const unsigned fuzz_runs = 20000;

static const uint8_t id[16] = "the log's own id";
static char dir[64];
static int dir_fd = -1;

static void remove_from(unsigned segment)
{
	char name[LZI_WAL_NAME];

	for (; segment <= SEGMENTS_MAX; segment++) {
		lzi_wal_name(name, segment);
		unlinkat(dir_fd, name, 0);
	}
}

static void leave(void)
{
	remove_from(1);
	rmdir(dir);
}

static void enter(void)
{
	if (dir_fd >= 0)
		return;
	strcpy(dir, "/dev/shm/fuzz_log-XXXXXX");
	if (!mkdtemp(dir)) {
		strcpy(dir, "/tmp/fuzz_log-XXXXXX");
		if (!mkdtemp(dir))
			abort();
	}
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		abort();
	atexit(leave);
}

/* What a header says of itself is made true, where there is one. */
static void seal(uint8_t *data, size_t size, uint64_t segment)
{
	struct lzi_segment_header *head = (struct lzi_segment_header *)data;

	if (size >= sizeof *head) {
		memcpy(head->magic, LZI_LOG_MAGIC, 8);
		memcpy(head->log_id, id, sizeof id);
		head->segment = segment;
		head->checksum = lzi_crc32c(0, head, offsetof(struct lzi_segment_header, checksum));
	}
	for (size_t at = LZI_LOG_BLOCK; at + LZI_LOG_BLOCK <= size; at += LZI_LOG_BLOCK) {
		struct lzi_frame_header *frame = (struct lzi_frame_header *)(data + at);

		if (frame->magic != LZI_FRAME_MAGIC)
			continue;
		frame->segment = segment;
		frame->log_tag = lzi_crc32c(0, id, sizeof id);
		if (frame->payload_size <= size - at - sizeof *frame)
			frame->payload_crc = lzi_crc32c(0, frame + 1, frame->payload_size);
		lzi_frame_header_seal(frame);
	}
}

struct seen {
	uint64_t entries, frame, digest, lost;
	int salvage;
};

static int is_same(const struct seen *a, const struct seen *b)
{
	return a->entries == b->entries && a->frame == b->frame && a->digest == b->digest && a->lost == b->lost &&
	       a->salvage == b->salvage;
}

static int check_entry(const struct lzi_wal_entry *entry, void *arg)
{
	struct seen *seen = arg;

	if (entry->head->key_size < 1 || entry->head->key_size > LZI_KEY_MAX || entry->head->op < LZI_LOG_SET ||
	    (entry->head->op > LZI_LOG_GROUP && entry->head->op != LZI_LOG_SET_PACKED))
		abort();
	if (seen->frame != 0 && entry->frame < seen->frame)
		abort();
	seen->frame = entry->frame;
	seen->entries++;
	seen->digest = lzi_crc32c((uint32_t)seen->digest, entry->head, sizeof *entry->head);
	seen->digest = lzi_crc32c((uint32_t)seen->digest, entry->key,
	                          (size_t)entry->head->key_size + entry->head->value_size);
	return 0;
}

static void note_lost(const char *what, void *arg)
{
	struct seen *seen = arg;

	if (*what == '\0' || !seen->salvage)
		abort();
	seen->lost++;
}

static int read_once(struct seen *seen, int salvage)
{
	struct lzi_wal_read read = { .dirfd = dir_fd, .log_id = id, .from = 1, .salvage = salvage,
		                     .entry = check_entry, .lost = note_lost, .arg = seen };
	int rc;

	memset(seen, 0, sizeof *seen);
	seen->salvage = salvage;
	rc = lzi_wal_read(&read);
	if (rc != LATZ_OK && rc != LATZ_VERSION && (rc != LATZ_CORRUPT || salvage))
		abort();
	if (rc != LATZ_OK && *lzi_error_text() == '\0')
		abort();
	if (rc == LATZ_OK && read.frames > 0 && read.next_frame != read.last_frame + 1 && read.last_segment < 2)
		abort();
	return rc;
}

static void write_segment(uint64_t segment, const uint8_t *data, size_t size)
{
	char name[LZI_WAL_NAME];
	int fd;

	lzi_wal_name(name, segment);
	fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	close(fd);
}

/* Entries one after another, in memory of exactly their size. */
static void entries_one(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size + 1);
	uint64_t at = 0, next;

	if (!copy)
		abort();
	memcpy(copy, data, size);
	while (at < size && lzi_log_entry_check(copy, size, at, &next) == LATZ_OK) {
		if (next <= at || next > size || next % 8 != 0)
			abort();
		at = next;
	}
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned what, segments;
	struct seen first, second;
	uint8_t *copy;
	size_t part;
	int rc;

	if (size < 2)
		return 0;
	what = *data++;
	size--;
	segments = what >> 2 & 3;
	if (segments == 3) {
		entries_one(data, size);
		return 0;
	}
	enter();
	segments++;
	part = segments == 1 ? size : size / segments / LZI_LOG_BLOCK * LZI_LOG_BLOCK;
	copy = malloc(size + sizeof(struct lzi_segment_header));
	if (!copy)
		abort();
	memcpy(copy, data, size);
	remove_from(segments + 1);
	for (unsigned i = 0; i < segments; i++) {
		size_t length = i + 1 < segments ? part : size - part * i;

		if (what & SEAL)
			seal(copy + part * i, length, i + 1);
		write_segment(i + 1, copy + part * i, length);
	}
	free(copy);
	rc = read_once(&first, what & SALVAGE);
	if (read_once(&second, what & SALVAGE) != rc || !is_same(&first, &second))
		abort();
	return 0;
}

/* Makes a compressed value of `size` bytes: made with dictionary 1, one block that is stored as it is. */
static void pack(uint8_t *to, uint32_t size)
{
	unsigned wide = size > 255, raw = size - 6 - wide, told = wide ? raw - 256 : raw;

	*to++ = 1;
	*to++ = wide ? 0x60 : 0x20;
	*to++ = (uint8_t)told;
	if (wide)
		*to++ = (uint8_t)(told >> 8);
	*to++ = (uint8_t)(raw << 3 | 1);
	*to++ = (uint8_t)(raw >> 5);
	*to = (uint8_t)(raw >> 13);
}

/* A segment's header and two frames, of two entries and of one. packed: values are compressed. */
static size_t make_segment(uint8_t *to, uint64_t segment, uint64_t first_frame, unsigned kind, int packed)
{
	size_t size = LZI_LOG_BLOCK;

	lzi_segment_header_make((struct lzi_segment_header *)to, id, segment, first_frame, 1700000000000);
	for (unsigned i = 0; i < 2; i++) {
		struct lzi_frame_header *frame = (struct lzi_frame_header *)(to + size);
		struct lzi_log_entry *entry = (struct lzi_log_entry *)(frame + 1);
		uint64_t span;

		frame->count = 2 - i;
		frame->frame = first_frame + i;
		frame->segment = segment;
		frame->synced = kind & 1 ? frame->frame : first_frame;
		frame->log_tag = lzi_crc32c(0, id, sizeof id);
		for (unsigned n = 0; n < frame->count; n++) {
			entry->op = (uint8_t)(1 + (kind + n) % 3);
			if (entry->op == LZI_LOG_SET && packed)
				entry->op = LZI_LOG_SET_PACKED;
			entry->seq = 64 * (frame->frame + n);
			entry->key_size = 5;
			entry->value_size = entry->op == LZI_LOG_TOUCH    ? 8
			                    : entry->op == LZI_LOG_DELETE ? 0
			                    : kind & 8                    ? 5000
			                                                  : 20;
			span = lzi_log_entry_span(entry->key_size, entry->value_size);
			memset(entry + 1, 'k', entry->key_size + entry->value_size);
			if (entry->op == LZI_LOG_SET_PACKED)
				pack((uint8_t *)(entry + 1) + entry->key_size, entry->value_size);
			frame->payload_size += span;
			entry = (struct lzi_log_entry *)((uint8_t *)entry + span);
		}
		frame->payload_crc = lzi_crc32c(0, frame + 1, frame->payload_size);
		lzi_frame_header_seal(frame);
		size += lzi_frame_span(frame->payload_size);
	}
	return size;
}

size_t fuzz_seed(unsigned kind, uint8_t *out, size_t room)
{
	uint8_t *bytes = calloc(1, 1 << 17);
	unsigned segments = kind % 4 == 3 ? 1 : 1 + kind % 3;
	size_t size = 0;

	if (!bytes)
		abort();
	/* Segments of one size, since the bytes are cut evenly. */
	for (unsigned i = 0; i < segments; i++)
		size += make_segment(bytes + size, i + 1, 1 + 2 * i, kind & 8, (kind & 6) == 4);
	out[0] = (uint8_t)((kind >> 1 & 3) | (segments - 1) << 2);
	if (kind == 15) {
		size = 200;
		memmove(bytes, bytes + LZI_LOG_BLOCK + sizeof(struct lzi_frame_header), size);
		out[0] = 3 << 2;
	}
	if (size + 1 > room)
		size = room - 1;
	memcpy(out + 1, bytes, size);
	free(bytes);
	return size + 1;
}
