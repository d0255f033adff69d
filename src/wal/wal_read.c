/*
 * The log's read side. Trusts nothing: a frame counts when its header's and its payload's checksums are right and it
 * has the number that comes next.
 *
 * In each segment frames follow each other until there is none. What is there then is the end (zeros, or old contents
 * of a recycled file), or the torn end of the last writes before a power cut, or damage. It is damage if what comes
 * later says that the frame had been on disk: a whole frame further on in the segment, by `synced`, or the next
 * segment's header, by `first_frame`. Only frames with a higher number than the bad one's are heard: a value that
 * happens to be a copy of the log itself can hold lower ones only.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/error.h"
#include "os/os.h"
#include "wal/wal.h"
#include "wal/wal_int.h"

#define WINDOW (4ull << 20) /* read at once; more only for a longer frame */

struct reader {
	struct lzi_wal_read *read;
	uint32_t log_tag;
	int have_tag;
	uint64_t expect; /* number of the next frame */
	int begun;       /* `expect` means something */
	int damaged;     /* salvage, after something was lost: any later frame will do */
	int stopped;     /* the entry function does not want more */
	/* The segment at hand. */
	uint64_t segment, size;
	char name[LZI_WAL_NAME];
	int fd;
	unsigned major; /* of its header, or with that damaged of the one before */
	/* The bytes of it that are in memory: file offset `start`, `length` of them. */
	uint8_t *data;
	uint64_t capacity, start, length;
};

/* The bytes at `at`, NULL if the file ends before. Valid until the next call. `at` is a multiple of the block, so that
 * headers and entries are aligned in memory. */
static int look(struct reader *reader, uint64_t at, uint64_t want, const uint8_t **ret_bytes)
{
	uint64_t keep = 0, got, more, room = reader->size < WINDOW ? reader->size : WINDOW;
	int rc;

	*ret_bytes = NULL;
	if (at > reader->size || want > reader->size - at)
		return LATZ_OK;
	if (at < reader->start || at > reader->start + reader->length ||
	    want > reader->start + reader->length - at) {
		if (at >= reader->start && at < reader->start + reader->length) {
			keep = reader->start + reader->length - at;
			memmove(reader->data, reader->data + (at - reader->start), keep);
		}
		reader->start = at;
		reader->length = keep;
		room = want > room ? want : room;
		if (room > reader->capacity) {
			uint8_t *data = realloc(reader->data, room);

			if (data == NULL)
				return lzi_error(LATZ_NOMEM, "%s: offset %llu: a frame of %llu bytes", reader->name,
				                 (unsigned long long)at, (unsigned long long)want);
			reader->data = data;
			reader->capacity = room;
		}
		more = reader->capacity - keep;
		if (more > reader->size - at - keep)
			more = reader->size - at - keep;
		rc = lzi_disk_read_at(reader->fd, reader->name, reader->data + keep, more, at + keep, &got);
		if (rc != LATZ_OK)
			return lzi_error_prefix(rc, "offset %llu", (unsigned long long)(at + keep));
		reader->length += got;
		if (got < more) /* became shorter meanwhile */
			reader->size = reader->start + reader->length;
		if (want > reader->length)
			return LATZ_OK;
	}
	*ret_bytes = reader->data + (at - reader->start);
	return LATZ_OK;
}

/* What there is at an offset. */
enum look_result {
	NO_FRAME,
	BAD_FRAME,  /* a whole header of this segment, the rest is not whole */
	WHOLE_FRAME /* *ret_frame is valid until the next look() */
};

struct frame {
	struct lzi_frame_header header; /* not for NO_FRAME */
	const uint8_t *payload;
	uint64_t span;
};

/* Positive: enum look_result; negative: an error. */
static int look_frame(struct reader *reader, uint64_t at, struct frame *ret_frame)
{
	const struct lzi_frame_header *header;
	const uint8_t *bytes;
	int rc = look(reader, at, LZI_LOG_BLOCK, &bytes);

	if (rc != LATZ_OK)
		return rc;
	if (bytes == NULL)
		return NO_FRAME;
	header = (const struct lzi_frame_header *)bytes;
	if (!lzi_frame_header_valid(header, reader->log_tag, reader->segment))
		return NO_FRAME;
	ret_frame->header = *header;
	ret_frame->span = lzi_frame_span(header->payload_size);
	rc = look(reader, at, ret_frame->span, &bytes);
	if (rc != LATZ_OK)
		return rc;
	if (bytes == NULL)
		return BAD_FRAME;
	ret_frame->payload = bytes + sizeof *header;
	return lzi_crc32c(0, ret_frame->payload, ret_frame->header.payload_size) == ret_frame->header.payload_crc
	               ? WHOLE_FRAME
	               : BAD_FRAME;
}

/* Salvage: LATZ_OK and the reader goes on with whatever is whole. Else the error, whose text is in the detail. */
static int lose(struct reader *reader, int rc)
{
	if (!reader->read->salvage || (rc != LATZ_CORRUPT && rc != LATZ_IO))
		return rc;
	if (reader->read->lost != NULL)
		reader->read->lost(lzi_error_text(), reader->read->arg);
	reader->damaged = 1;
	return LATZ_OK;
}

static int deliver(struct reader *reader, const struct frame *frame, uint64_t offset)
{
	struct lzi_wal_read *read = reader->read;
	uint64_t at = 0, next, count = 0, size = frame->header.payload_size;
	struct lzi_wal_entry entry = { .frame = frame->header.frame, .flush = frame->header.flush,
		                       .major = reader->major };
	int rc = LATZ_OK;

	for (; at < size && rc == LATZ_OK; at = next) {
		rc = lzi_log_entry_check(frame->payload, size, at, &next);
		if (rc != LATZ_OK)
			break;
		count++;
		if (count > frame->header.count)
			break;
		if (read->entry == NULL)
			continue;
		entry.head = (const struct lzi_log_entry *)(frame->payload + at);
		entry.key = (const uint8_t *)(entry.head + 1);
		entry.value = entry.key + entry.head->key_size;
		rc = read->entry(&entry, read->arg);
		if (rc != 0) {
			reader->stopped = 1;
			return rc;
		}
	}
	read->entries += count;
	if (rc == LATZ_OK && count == frame->header.count)
		return LATZ_OK;
	if (rc == LATZ_OK)
		rc = lzi_error(LATZ_CORRUPT, "not the %u entries that its header says", frame->header.count);
	rc = lzi_error_prefix(rc, "%s: offset %llu: frame %llu", reader->name,
	                      (unsigned long long)(offset + sizeof frame->header + at),
	                      (unsigned long long)frame->header.frame);
	return lose(reader, rc);
}

/* What comes after a place where the next frame should be and is not. */
struct rest {
	int vouched;     /* it had been on disk */
	uint64_t resume; /* offset of the first whole frame with a higher number; 0: none */
	uint64_t resume_number;
	uint64_t end;    /* as far as there is something of this segment */
};

static int look_on(struct reader *reader, uint64_t at, struct rest *rest)
{
	struct frame frame;
	int what = look_frame(reader, at, &frame);
	const uint8_t *bytes;

	memset(rest, 0, sizeof *rest);
	rest->end = at;
	if (what < 0)
		return what;
	if (what == BAD_FRAME && frame.header.frame == reader->expect) {
		/* Its payload is somebody's data: not to be searched. */
		rest->end = frame.span < reader->size - at ? at + frame.span : reader->size;
		at = rest->end;
	} else if (what == NO_FRAME && reader->size - at < LZI_LOG_BLOCK) {
		rest->end = reader->size;
	} else if (what == NO_FRAME) {
		const struct lzi_frame_header *header;
		int rc = look(reader, at, LZI_LOG_BLOCK, &bytes);

		if (rc != LATZ_OK)
			return rc;
		header = (const struct lzi_frame_header *)bytes;
		/* One of a recycled segment is whole, if it is one: only a torn header is neither. */
		if (bytes != NULL && header->magic == LZI_FRAME_MAGIC &&
		    !lzi_frame_header_valid(header, header->log_tag, header->segment))
			rest->end = at + LZI_LOG_BLOCK;
	}
	while (at < reader->size && !rest->vouched) {
		what = look_frame(reader, at, &frame);
		if (what < 0)
			return what;
		if (what == NO_FRAME || frame.header.frame <= reader->expect) {
			at += LZI_LOG_BLOCK;
			continue;
		}
		if (what == WHOLE_FRAME && rest->resume == 0) {
			rest->resume = at;
			rest->resume_number = frame.header.frame;
		}
		rest->vouched = what == WHOLE_FRAME && frame.header.synced > reader->expect;
		if (frame.span > reader->size - at)
			at = reader->size;
		else
			at += frame.span;
		rest->end = at;
	}
	return LATZ_OK;
}

/* Opens segment `number` and reads its header: of any other log, version or number it is refused. */
static int open_segment(struct reader *reader, uint64_t number, int *ret_fd, struct lzi_segment_header *ret_header)
{
	const struct lzi_wal_read *read = reader->read;
	const uint8_t *id = read->log_id != NULL ? read->log_id : reader->have_tag ? read->found_id : NULL;
	char name[LZI_WAL_NAME];
	uint64_t got;
	int fd, rc;

	lzi_wal_name(name, number);
	rc = lzi_disk_open(read->dirfd, name, 0, &fd);
	if (rc != LATZ_OK)
		return rc;
	rc = lzi_disk_read_at(fd, name, ret_header, sizeof *ret_header, 0, &got);
	if (rc == LATZ_OK && got < sizeof *ret_header)
		rc = lzi_error(LATZ_CORRUPT, "%s: offset %llu: the file ends in its header", name,
		               (unsigned long long)got);
	else if (rc == LATZ_OK) {
		rc = lzi_segment_header_validate(ret_header, id, number);
		if (rc != LATZ_OK)
			lzi_error_prefix(rc, "%s: offset 0", name);
	}
	if (rc != LATZ_OK && rc != LATZ_CORRUPT) {
		lzi_file_close(fd);
		return rc;
	}
	*ret_fd = fd;
	return rc;
}

/* 1 if the next segment's header says that the expected frame had been on disk. */
static int next_vouches(struct reader *reader, uint64_t next)
{
	struct lzi_segment_header header;
	int fd = -1, rc;

	if (next == 0)
		return 0;
	rc = open_segment(reader, next, &fd, &header);
	lzi_file_close(fd);
	return rc == LATZ_OK && header.first_frame > reader->expect;
}

/* At a place without the expected frame. *ret_at: where to go on, 0: the segment's end. */
static int judge(struct reader *reader, uint64_t at, uint64_t next_segment, uint64_t *ret_at)
{
	struct rest rest;
	int rc = look_on(reader, at, &rest);

	*ret_at = 0;
	if (rc != LATZ_OK)
		return rc;
	if (!rest.vouched && !reader->damaged && !next_vouches(reader, next_segment)) {
		if (next_segment == 0)
			reader->read->torn_bytes = rest.end - at;
		return LATZ_OK;
	}
	if (!reader->damaged || rest.vouched) {
		rc = lose(reader, lzi_error(LATZ_CORRUPT, "%s: offset %llu: frame %llu is damaged or missing%s",
		                            reader->name, (unsigned long long)at,
		                            (unsigned long long)reader->expect,
		                            rest.vouched ? "; a later one says it had been on disk"
		                                         : "; the next segment says it had been on disk"));
		if (rc != LATZ_OK)
			return rc;
	}
	if (rest.resume != 0) {
		reader->expect = rest.resume_number;
		*ret_at = rest.resume;
	}
	return LATZ_OK;
}

static int read_frames(struct reader *reader, uint64_t next_segment)
{
	struct lzi_wal_read *read = reader->read;
	uint64_t at = LZI_LOG_BLOCK;

	for (;;) {
		struct frame frame;
		int rc, what = look_frame(reader, at, &frame);

		if (what < 0)
			return what;
		if (what == WHOLE_FRAME && frame.header.frame != reader->expect && !reader->damaged) {
			rc = lose(reader, lzi_error(LATZ_CORRUPT, "%s: offset %llu: frame %llu where %llu was to come",
			                            reader->name, (unsigned long long)at,
			                            (unsigned long long)frame.header.frame,
			                            (unsigned long long)reader->expect));
			if (rc != LATZ_OK)
				return rc;
		}
		if (what == WHOLE_FRAME && reader->damaged && frame.header.frame > reader->expect)
			reader->expect = frame.header.frame;
		if (what == WHOLE_FRAME && frame.header.frame == reader->expect) {
			reader->damaged = 0;
			reader->begun = 1; /* even if the segment's header was lost: numbers don't fall from here on */
			read->frames++;
			read->last_frame = reader->expect++;
			rc = deliver(reader, &frame, at);
			if (rc != LATZ_OK)
				return rc;
			reader->damaged = 0;
			at += frame.span;
			continue;
		}
		rc = judge(reader, at, next_segment, &at);
		if (rc != LATZ_OK || at == 0)
			return rc;
	}
}

/* What the segment's header says of what was before it. */
static int enter(struct reader *reader, const struct lzi_segment_header *header)
{
	struct lzi_wal_read *read = reader->read;

	if (!reader->have_tag) {
		memcpy(read->found_id, header->log_id, sizeof read->found_id);
		reader->log_tag = lzi_crc32c(0, header->log_id, sizeof header->log_id);
		reader->have_tag = 1;
	}
	/* The frames in between were told of at the end of the segment before, or there is none. A lower number is of a
	 * segment whose maker died before it was used, and the one before was used on. */
	reader->major = header->major;
	if (!reader->begun || header->first_frame > reader->expect)
		reader->expect = header->first_frame;
	reader->begun = 1;
	return LATZ_OK;
}

static int read_segment(struct reader *reader, uint64_t number, uint64_t next_number)
{
	struct lzi_segment_header header;
	int rc, fd = -1;

	reader->segment = number;
	reader->start = reader->length = 0;
	reader->read->torn_bytes = 0;
	lzi_wal_name(reader->name, number);
	rc = open_segment(reader, number, &fd, &header);
	if (rc == LATZ_OK)
		rc = enter(reader, &header);
	else
		rc = lose(reader, rc == LATZ_NOTFOUND ? LATZ_IO : rc);
	if (rc == LATZ_OK && fd >= 0 && reader->have_tag) {
		reader->fd = fd;
		rc = lzi_file_size(fd, &reader->size);
		if (rc == LATZ_OK)
			rc = read_frames(reader, next_number);
		if (rc == LATZ_IO && !reader->stopped)
			rc = lose(reader, rc);
	}
	lzi_file_close(fd);
	if (reader->capacity > WINDOW) {
		free(reader->data);
		reader->data = NULL;
		reader->capacity = 0;
	}
	return rc;
}

/* Segment `number` should be there and is not. */
static int missing(struct reader *reader, uint64_t number)
{
	char name[LZI_WAL_NAME];

	lzi_wal_name(name, number);
	return lose(reader, lzi_error(LATZ_CORRUPT, "%s is missing, and there are others", name));
}

int lzi_wal_read(struct lzi_wal_read *read)
{
	struct reader reader = { .read = read, .expect = 1, .fd = -1, .major = LZI_LOG_MAJOR };
	uint64_t *numbers, wanted = read->from;
	size_t count, i;
	int rc = lzi_wal_list(read->dirfd, &numbers, &count);

	if (rc != LATZ_OK)
		return rc;
	read->frames = read->entries = read->last_frame = read->last_segment = read->torn_bytes = 0;
	memset(read->found_id, 0, sizeof read->found_id);
	if (read->log_id != NULL) {
		memcpy(read->found_id, read->log_id, sizeof read->found_id);
		reader.log_tag = lzi_crc32c(0, read->log_id, sizeof read->found_id);
		reader.have_tag = 1;
	}
	for (i = 0; i < count && rc == LATZ_OK; i++) {
		if (numbers[i] < wanted)
			continue;
		if (wanted != 0 && numbers[i] != wanted)
			rc = missing(&reader, wanted);
		if (rc != LATZ_OK)
			break;
		/* One that is missing is told of as that, not as damage at the end of the one before. */
		rc = read_segment(&reader, numbers[i],
		                  i + 1 < count && numbers[i + 1] == numbers[i] + 1 ? numbers[i + 1] : 0);
		read->last_segment = numbers[i];
		wanted = numbers[i] + 1;
	}
	if (rc == LATZ_OK && count > 0 && read->last_segment == 0)
		rc = missing(&reader, wanted);
	read->next_frame = reader.expect;
	free(reader.data);
	free(numbers);
	return rc;
}
