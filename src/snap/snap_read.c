/*
 * Reading a snapshot: the caller's thread reads blocks ahead and tells of their entries in order; checking and
 * decompressing are done beside it. Nothing of a block is told before all of it was found whole.
 *
 * Salvage: what is bad becomes a gap, from the first byte that could not be used to the next whole header. It is told
 * when the next good block is at hand, for only then it is known which keys lie in it.
 */
#include "config.h"

#include "snap/snap.h"

#include <latzero/latzero.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zstd.h>

#include "base/crc32c.h"
#include "base/error.h"
#include "format/packed.h"
#include "format/snapshot.h"
#include "format/space.h"
#include "os/os.h"
#include "snap/snap_int.h"
#include "snap/work.h"

#define TEXT 160

struct gap {
	int is;
	uint64_t from, to;
	char why[TEXT];
};

struct job {
	struct lzi_buffer stored, raw;
	struct lzi_snap_block block;
	uint64_t offset; /* of its header */
	struct gap gap;  /* before it */
	int rc;
	const char *error; /* with LATZ_CORRUPT */
};

struct reader {
	struct lzi_snap_read *read;
	struct lzi_snap_input input;
	struct lzi_snap_header header;
	struct lzi_work work;
	struct job job[LZI_WORK_DEPTH_MAX];
	ZSTD_DCtx *zstd[LZI_WORK_THREADS_MAX + 1];                /* by thread */
	struct lzi_snap_cursor *cursor[LZI_WORK_THREADS_MAX + 1]; /* to check with, by thread */

	/* The end that reads ahead. */
	int have_tag; /* 0: salvage without a header, and no block seen yet */
	int ended, rc;
	char detail[LZI_ERROR_DETAIL_SIZE]; /* of rc: what is called meanwhile may set another */
	uint64_t next_number;
	struct gap ahead;
	int have_footer;
	struct lzi_snap_footer footer;
	int digest_matches, lost;
	int sealed; /* there are encrypted entries: what their keys are nobody can say here */

	/* The end that tells. */
	uint64_t told_jobs, expected; /* jobs done with; number of the block to come */
	uint64_t keys, bytes, blocks, book;
	struct gap gap;
	uint32_t last_size;
	uint8_t last[LZI_KEY_MAX];
	struct lzi_snap_cursor telling;
};

/* ---- Beside the caller ------------------------------------------------------------------------------------------- */

static int unpack(struct reader *reader, struct job *job, unsigned thread)
{
	const struct lzi_snap_block *block = &job->block;
	size_t n;

	if (!reader->zstd[thread])
		reader->zstd[thread] = ZSTD_createDCtx();
	if (!reader->zstd[thread] || lzi_buffer_reserve(&job->raw, block->raw_size) != LATZ_OK)
		return LATZ_NOMEM;
	job->error = "not one zstd frame of the size the header says";
	if (ZSTD_getFrameContentSize(job->stored.data, job->stored.size) != block->raw_size ||
	    ZSTD_findFrameCompressedSize(job->stored.data, job->stored.size) != job->stored.size)
		return LATZ_CORRUPT;
	n = ZSTD_decompressDCtx(reader->zstd[thread], job->raw.data, block->raw_size, job->stored.data,
	                        job->stored.size);
	if (ZSTD_isError(n) || n != block->raw_size)
		return LATZ_CORRUPT;
	job->raw.size = n;
	return LATZ_OK;
}

static int check(struct reader *reader, struct job *job, unsigned thread)
{
	struct lzi_snap_cursor *cursor = reader->cursor[thread];
	const struct lzi_buffer *raw = &job->stored;
	int rc;

	if (!cursor)
		cursor = reader->cursor[thread] = malloc(sizeof *cursor);
	if (!cursor)
		return LATZ_NOMEM;
	job->error = "the payload's checksum does not match";
	if (lzi_crc32c(0, job->stored.data, job->stored.size) != job->block.payload_crc)
		return LATZ_CORRUPT;
	if (job->block.codec == LZI_SNAP_DICT) {
		const struct lzi_dict_header *dict = (const struct lzi_dict_header *)(const void *)raw->data;

		job->error = "not a dictionary of the size the header says";
		return lzi_dict_header_validate(dict, 0) == LATZ_OK && dict->size == raw->size - sizeof *dict &&
		                       lzi_dict_validate(dict, dict + 1) == LATZ_OK
		               ? LATZ_OK
		               : LATZ_CORRUPT;
	}
	if (job->block.codec == LZI_SNAP_POLICY) /* who wants it looks at it; who does not can do without */
		return LATZ_OK;
	if (job->block.codec == LZI_SNAP_ZSTD) {
		rc = unpack(reader, job, thread);
		if (rc != LATZ_OK)
			return rc;
		raw = &job->raw;
	}
	lzi_snap_cursor_init(cursor, raw->data, raw->size, job->block.count);
	while ((rc = lzi_snap_cursor_next(cursor)) > 0)
		;
	job->error = cursor->error;
	return rc < 0 ? LATZ_CORRUPT : LATZ_OK;
}

static void run(void *arg, unsigned slot, unsigned thread)
{
	struct reader *reader = arg;

	reader->job[slot].rc = check(reader, &reader->job[slot], thread);
}

/* ---- Reading ahead ----------------------------------------------------------------------------------------------- */

static int corrupt(struct reader *reader, uint64_t offset, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static int corrupt(struct reader *reader, uint64_t offset, const char *fmt, ...)
{
	char text[TEXT];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	return lzi_error(LATZ_CORRUPT, "%s: offset %llu: %s", reader->read->name, (unsigned long long)offset, text);
}

static void gap_add(struct gap *gap, uint64_t from, uint64_t to, const char *why)
{
	if (!gap->is) {
		gap->is = 1;
		gap->from = from;
		snprintf(gap->why, sizeof gap->why, "%s", why);
	}
	if (to > gap->to || gap->to < gap->from)
		gap->to = to;
}

static int is_header(struct reader *reader, const uint8_t *at, size_t size)
{
	const uint32_t *tag = reader->have_tag ? &reader->header.tag : NULL;
	struct lzi_snap_block block;
	struct lzi_snap_footer footer;

	/* The magics' first bytes, before any message is made. */
	if (at[0] != 'L' || at[1] != 'Z')
		return 0;
	if (size >= LZI_SNAP_BLOCK_SIZE && at[2] == 'B' && lzi_snap_block_parse(at, tag, &block) == LATZ_OK)
		return 1;
	return size >= LZI_SNAP_FOOTER_SIZE && at[2] == 'F' && lzi_snap_footer_parse(at, tag, &footer) == LATZ_OK;
}

/* Offset of the first whole header in some bytes; size if there is none. */
static size_t find_header(struct reader *reader, const uint8_t *data, size_t size)
{
	for (size_t i = 0; i + LZI_SNAP_BLOCK_SIZE <= size; i++) {
		const uint8_t *at = memchr(data + i, 'L', size - LZI_SNAP_BLOCK_SIZE + 1 - i);

		if (!at)
			break;
		i = (size_t)(at - data);
		if (is_header(reader, at, size - i))
			return i;
	}
	return size;
}

/* Salvage: from here, or past the byte here, to the next whole header or the end. */
static int seek_header(struct reader *reader, uint64_t from, const char *why, int past)
{
	struct lzi_snap_input *input = &reader->input;
	size_t have, at;
	int rc;

	reader->lost = 1;
	while ((rc = lzi_snap_input_fill(input, (size_t)1 << 16, &have)) == LATZ_OK && have > 0) {
		const uint8_t *data = input->window.data + input->at;

		at = past + find_header(reader, data + past, have - (size_t)past);
		past = 0;
		if (at < have) {
			lzi_snap_input_skip(input, at, 0);
			break;
		}
		/* A header may begin in the last bytes, unless nothing follows them. */
		lzi_snap_input_skip(input, have < 1 << 16 ? have : have - LZI_SNAP_FOOTER_SIZE + 1, 0);
	}
	gap_add(&reader->ahead, from, input->offset, why);
	return rc;
}

/* The reading ends: with an error, or because all is read. */
static void end(struct reader *reader, int rc)
{
	reader->ended = 1;
	reader->rc = rc;
	if (rc != LATZ_OK)
		snprintf(reader->detail, sizeof reader->detail, "%s", lzi_error_text());
}

/* Something is wrong at `from`, as the detail says: the end, or the search for what is whole after it. */
static int bad(struct reader *reader, uint64_t from, int past)
{
	char why[TEXT];

	if (!reader->read->salvage)
		return LATZ_CORRUPT;
	snprintf(why, sizeof why, "%s", lzi_error_text());
	return seek_header(reader, from, why, past);
}

static int read_footer(struct reader *reader, size_t have)
{
	struct lzi_snap_input *input = &reader->input;
	uint64_t offset = input->offset;
	XXH128_hash_t digest = XXH3_128bits_digest(input->digest);
	int rc;

	if (have < LZI_SNAP_FOOTER_SIZE) {
		corrupt(reader, offset + have, "it ends within the footer");
		return bad(reader, offset, 1);
	}
	rc = lzi_snap_footer_parse(input->window.data + input->at, reader->have_tag ? &reader->header.tag : NULL,
	                           &reader->footer);
	if (rc != LATZ_OK) {
		lzi_error_prefix(rc, "%s: offset %llu", reader->read->name, (unsigned long long)offset);
		return bad(reader, offset, 1);
	}
	lzi_snap_input_skip(input, LZI_SNAP_FOOTER_SIZE, 0);
	reader->have_footer = 1;
	reader->digest_matches =
		digest.low64 == reader->footer.digest_low && digest.high64 == reader->footer.digest_high;
	rc = lzi_snap_input_fill(input, 1, &have);
	if (rc == LATZ_OK && have > 0)
		rc = corrupt(reader, input->offset, "bytes after the footer");
	if (rc == LATZ_CORRUPT && reader->read->salvage) {
		char why[TEXT];

		snprintf(why, sizeof why, "%s", lzi_error_text());
		gap_add(&reader->ahead, input->offset, input->offset + have, why);
		rc = LATZ_OK;
	}
	end(reader, rc);
	return rc;
}

/* Salvage looks at the payload's checksum at once: if it is wrong, perhaps bytes are missing in it, and the next header
 * begins in what was taken for payload. */
static int payload_bad(struct reader *reader, struct job *job)
{
	int rc = lzi_snap_input_untake(&reader->input, job->stored.data, job->stored.size);

	if (rc != LATZ_OK)
		return rc;
	corrupt(reader, job->offset, "block %llu: the payload's checksum does not match",
	        (unsigned long long)job->block.number);
	return bad(reader, job->offset, 0);
}

static int read_block(struct reader *reader)
{
	struct lzi_snap_input *input = &reader->input;
	struct job *job = &reader->job[reader->work.submitted % reader->work.depth];
	int rc;

	job->offset = input->offset;
	rc = lzi_snap_block_parse(input->window.data + input->at, reader->have_tag ? &reader->header.tag : NULL,
	                          &job->block);
	if (rc != LATZ_OK) {
		lzi_error_prefix(rc, "%s: offset %llu", reader->read->name, (unsigned long long)job->offset);
		return bad(reader, job->offset, 1);
	}
	if (!reader->read->salvage && job->block.number != reader->next_number)
		return corrupt(reader, job->offset, "block %llu where %llu should be",
		               (unsigned long long)job->block.number, (unsigned long long)reader->next_number);
	reader->next_number = job->block.number + 1;
	reader->header.tag = job->block.tag;
	reader->have_tag = 1;
	lzi_snap_input_skip(input, LZI_SNAP_BLOCK_SIZE, 1);
	if (job->stored.room > 2ul * LZI_SNAP_RAW_MAX)
		lzi_buffer_free(&job->stored);
	if (job->raw.room > 2ul * LZI_SNAP_RAW_MAX)
		lzi_buffer_free(&job->raw);
	rc = lzi_snap_input_take(input, &job->stored, job->block.stored_size);
	if (rc != LATZ_OK)
		return rc;
	if (reader->read->salvage && (job->stored.size < job->block.stored_size ||
	                              lzi_crc32c(0, job->stored.data, job->stored.size) != job->block.payload_crc))
		return payload_bad(reader, job);
	if (job->stored.size < job->block.stored_size)
		return corrupt(reader, input->offset, "it ends within block %llu",
		               (unsigned long long)job->block.number);
	job->gap = reader->ahead;
	memset(&reader->ahead, 0, sizeof reader->ahead);
	lzi_work_submit(&reader->work);
	return LATZ_OK;
}

/* Takes what comes next: a block, the footer, the end. */
static int read_next(struct reader *reader)
{
	struct lzi_snap_input *input = &reader->input;
	uint64_t offset = input->offset;
	size_t have;
	int rc = lzi_snap_input_fill(input, LZI_SNAP_FOOTER_SIZE, &have);

	if (rc != LATZ_OK)
		return rc;
	if (have >= 4 && memcmp(input->window.data + input->at, "LZFT", 4) == 0)
		return read_footer(reader, have);
	if (have >= LZI_SNAP_BLOCK_SIZE)
		return read_block(reader);
	rc = corrupt(reader, offset + have, "it ends without a footer");
	if (reader->read->salvage) {
		rc = bad(reader, offset, 0);
		end(reader, rc);
	}
	return rc;
}

static int read_header(struct reader *reader)
{
	struct lzi_snap_input *input = &reader->input;
	struct lzi_snap_info *info = &reader->read->info;
	size_t have;
	int rc = lzi_snap_input_fill(input, LZI_SNAP_HEADER_SIZE, &have);

	memset(info, 0, sizeof *info);
	info->ttl_ms = -1;
	if (rc != LATZ_OK)
		return rc;
	if (have < LZI_SNAP_HEADER_SIZE)
		rc = corrupt(reader, have, "it ends within the header");
	else {
		rc = lzi_snap_header_parse(input->window.data + input->at, &reader->header);
		if (rc != LATZ_OK)
			lzi_error_prefix(rc, "%s: offset 0", reader->read->name);
	}
	if (rc == LATZ_CORRUPT && reader->read->salvage) {
		info->major = LZI_SNAP_MAJOR;
		info->escaped = 1; /* as this library writes it */
		return bad(reader, 0, 0);
	}
	if (rc != LATZ_OK)
		return rc;
	lzi_snap_input_skip(input, LZI_SNAP_HEADER_SIZE, 1);
	reader->have_tag = 1;
	lzi_snap_info_fill(info, &reader->header, NULL);
	reader->sealed = info->has_sealed;
	return LATZ_OK;
}

/* ---- Telling ----------------------------------------------------------------------------------------------------- */

/* A key as text, cut to what tells it from others. */
static const char *key_text(const uint8_t *key, uint32_t size, char *text, size_t room)
{
	size_t used = 0;

	for (uint32_t i = 0; i < size && used + 8 < room; i++) {
		int plain = key[i] >= 0x20 && key[i] < 0x7f && key[i] != '"' && key[i] != '\\';

		used += (size_t)snprintf(text + used, room - used, plain ? "%c" : "\\x%02x", key[i]);
		if (used + 8 >= room && i + 1 < size)
			snprintf(text + used, room - used, "...");
	}
	return text;
}

/* ` and before "key"`; nothing of one that says nothing to anybody. */
static void limit_text(const struct reader *reader, const char *how, const uint8_t *key, uint32_t size, char text[192])
{
	unsigned strip = 0;
	char shown[128] = "", of[40] = "";

	text[0] = '\0';
	if (size == 0 || reader->sealed)
		return;
	if (reader->read->info.escaped && lzi_key_is_book(key, size)) {
		snprintf(text, 192, "%s the pool's own records", how);
		return;
	}
	if (reader->read->info.escaped && key[0] == 0xff) {
		strip = lzi_key_is_spaced(key, size) ? LZI_SPACE_PREFIX : 1;
		if (strip > 1)
			snprintf(of, sizeof of, " of namespace %u", (unsigned)lzi_key_space(key));
	}
	snprintf(text, 192, "%s \"%s\"%s", how, key_text(key + strip, size - strip, shown, sizeof shown), of);
}

/* Tells of the gap, now that the block that follows it, or the end, is known. `next`: its number. */
static void tell_gap(struct reader *reader, uint64_t next, const uint8_t *key, uint32_t key_size)
{
	struct gap *gap = &reader->gap;
	char text[1024], blocks[80], after[192], before[192];

	if (!reader->read->lost)
		return;
	if (next == UINT64_MAX)
		snprintf(blocks, sizeof blocks, "from block %llu on", (unsigned long long)reader->expected);
	else if (next == reader->expected)
		snprintf(blocks, sizeof blocks, "no block");
	else if (next == reader->expected + 1)
		snprintf(blocks, sizeof blocks, "block %llu", (unsigned long long)reader->expected);
	else
		snprintf(blocks, sizeof blocks, "blocks %llu to %llu", (unsigned long long)reader->expected,
		         (unsigned long long)next - 1);
	limit_text(reader, " after", reader->last, reader->last_size, after);
	limit_text(reader, " before", key, key ? key_size : 0, before);
	snprintf(text, sizeof text, "%s: bytes %llu to %llu are passed over, %s lost, keys%s%s%s%s: %s",
	         reader->read->name, (unsigned long long)gap->from, (unsigned long long)gap->to, blocks, after,
	         *after && *before ? " and" : "", before,
	         *after || *before ? "" : reader->sealed ? " encrypted" : " unknown", gap->why);
	reader->read->lost(text, reader->read->arg);
	memset(gap, 0, sizeof *gap);
}

static int compare(const uint8_t *a, uint32_t a_size, const uint8_t *b, uint32_t b_size)
{
	int order = memcmp(a, b, a_size < b_size ? a_size : b_size);

	return order != 0 ? order : (a_size > b_size) - (a_size < b_size);
}

static int tell_entries(struct reader *reader)
{
	struct lzi_snap_cursor *cursor = &reader->telling;
	lzi_snap_entry_fn fn = reader->read->entry;
	struct lzi_snap_entry entry;

	entry.key = cursor->key;
	do {
		entry.value = cursor->value;
		entry.key_size = cursor->key_size;
		entry.value_size = cursor->head.value_size;
		entry.type = cursor->head.type;
		entry.sealed = (cursor->head.flags & LZI_SNAP_SEALED) != 0;
		entry.seq = cursor->head.seq;
		entry.deadline_wall_ms = cursor->head.deadline;
		reader->keys++;
		reader->book += reader->read->info.escaped && lzi_key_is_book(entry.key, entry.key_size);
		reader->bytes += entry.key_size + (uint64_t)entry.value_size;
		if (fn) {
			int rc = fn(&entry, reader->read->arg);

			if (rc != 0)
				return rc;
		}
	} while (lzi_snap_cursor_next(cursor) > 0);
	reader->last_size = cursor->key_size;
	memcpy(reader->last, cursor->key, cursor->key_size);
	return LATZ_OK;
}

/* A block without entries. */
static int tell_aside(struct reader *reader, const struct lzi_snap_block *block, const uint8_t *data)
{
	const struct lzi_snap_read *read = reader->read;
	uint64_t number = block->number;
	struct lzi_snap_keys keys;

	if (reader->gap.is || number != reader->expected) {
		reader->lost = 1;
		tell_gap(reader, number, NULL, 0);
	}
	reader->expected = number + 1;
	reader->blocks++;
	if (block->codec == LZI_SNAP_POLICY && lzi_snap_keys_parse(data, block->raw_size, &keys))
		return read->keys ? read->keys(keys.seq, keys.record, keys.size, read->arg) : LATZ_OK;
	if (block->codec == LZI_SNAP_POLICY)
		return read->policy ? read->policy(data, block->raw_size, read->arg) : LATZ_OK;
	return read->dict ? read->dict(data, read->arg) : LATZ_OK;
}

/* The oldest block. */
static int tell_block(struct reader *reader)
{
	struct job *job = &reader->job[reader->told_jobs % reader->work.depth];
	const struct lzi_buffer *raw = job->block.codec == LZI_SNAP_ZSTD ? &job->raw : &job->stored;
	struct lzi_snap_cursor *cursor = &reader->telling;
	uint64_t number = job->block.number;

	lzi_work_wait(&reader->work, reader->told_jobs++);
	if (job->gap.is)
		gap_add(&reader->gap, job->gap.from, job->gap.to, job->gap.why);
	if (job->rc == LATZ_NOMEM)
		return lzi_error(LATZ_NOMEM, "%s: no memory for block %llu", reader->read->name,
		                 (unsigned long long)number);
	if (job->rc == LATZ_OK && job->block.codec >= LZI_SNAP_DICT && number >= reader->expected)
		return tell_aside(reader, &job->block, raw->data);
	if (job->rc == LATZ_OK) {
		lzi_snap_cursor_init(cursor, raw->data, raw->size, job->block.count);
		lzi_snap_cursor_next(cursor);
		reader->sealed |= (cursor->head.flags & LZI_SNAP_SEALED) != 0;
		if (number < reader->expected) {
			job->rc = LATZ_CORRUPT;
			job->error = "out of place";
		} else if (compare(cursor->key, cursor->key_size, reader->last, reader->last_size) <= 0) {
			job->rc = LATZ_CORRUPT;
			job->error = "its keys do not follow those before it";
		}
	}
	if (job->rc != LATZ_OK) {
		corrupt(reader, job->offset, "block %llu: %s", (unsigned long long)number, job->error);
		if (!reader->read->salvage)
			return LATZ_CORRUPT;
		reader->lost = 1;
		gap_add(&reader->gap, job->offset, job->offset + LZI_SNAP_BLOCK_SIZE + job->stored.size,
		        lzi_error_text());
		return LATZ_OK;
	}
	if (number != reader->expected) {
		reader->lost = 1;
		gap_add(&reader->gap, job->offset, job->offset, "blocks are missing");
	}
	if (reader->gap.is)
		tell_gap(reader, number, cursor->key, cursor->key_size);
	reader->expected = number + 1;
	reader->blocks++;
	return tell_entries(reader);
}

/* ---- The whole --------------------------------------------------------------------------------------------------- */

static int tell_all(struct reader *reader)
{
	int rc = LATZ_OK;

	while (rc == LATZ_OK) {
		while (!reader->ended && reader->work.submitted - reader->told_jobs < reader->work.depth) {
			rc = read_next(reader);
			if (rc != LATZ_OK && !reader->ended)
				end(reader, rc);
			rc = LATZ_OK;
		}
		if (reader->told_jobs == reader->work.submitted)
			break;
		rc = tell_block(reader);
	}
	/* What is wrong further on is told of after what comes before it. */
	if (rc == LATZ_OK && reader->rc != LATZ_OK)
		rc = lzi_error(reader->rc, "%s", reader->detail);
	return rc;
}

static void lost_text(struct reader *reader, const char *text)
{
	char line[512];

	reader->lost = 1;
	snprintf(line, sizeof line, "%s: %s", reader->read->name, text);
	if (reader->read->lost)
		reader->read->lost(line, reader->read->arg);
}

/* The pool's own records are nobody's keys; older writers did not say how many there are. */
static void footer_text(const struct reader *reader, char text[TEXT])
{
	const struct lzi_snap_footer *footer = &reader->footer;
	uint64_t counted = footer->keys - footer->book, here = reader->keys - (footer->book > 0 ? reader->book : 0);

	if (counted != here)
		snprintf(text, TEXT, "the footer counts %llu keys, %llu are here", (unsigned long long)counted,
		         (unsigned long long)here);
	else
		snprintf(text, TEXT, "the footer counts %llu of the pool's own records, %llu are here",
		         (unsigned long long)footer->book, (unsigned long long)reader->book);
}

/* After salvage: what is still missing, and whether there was anything to save at all. */
static int settle(struct reader *reader)
{
	const struct lzi_snap_footer *footer = &reader->footer;
	char text[TEXT];

	if (reader->ahead.is)
		gap_add(&reader->gap, reader->ahead.from, reader->ahead.to, reader->ahead.why);
	if (!reader->have_tag && !reader->have_footer)
		return lzi_error(LATZ_CORRUPT, "%s: offset 0: nothing in it is of a snapshot", reader->read->name);
	if (reader->have_footer && footer->blocks > reader->expected)
		gap_add(&reader->gap, reader->input.offset, reader->input.offset, "blocks are missing at the end");
	if (reader->gap.is) {
		reader->lost = 1;
		tell_gap(reader, reader->have_footer ? footer->blocks : UINT64_MAX, NULL, 0);
	}
	if (!reader->have_footer) {
		reader->lost = 1;
		return LATZ_OK;
	}
	if (footer->keys != reader->keys) {
		footer_text(reader, text);
		lost_text(reader, text);
	} else if (!reader->lost && !reader->digest_matches) {
		lost_text(reader, "every block is whole, but the digest of them all does not match");
	}
	return LATZ_OK;
}

static int check_footer(struct reader *reader)
{
	const struct lzi_snap_footer *footer = &reader->footer;
	uint64_t offset = reader->input.offset - LZI_SNAP_FOOTER_SIZE;

	if (footer->keys != reader->keys || footer->bytes != reader->bytes || footer->blocks != reader->blocks)
		return corrupt(reader, offset, "the footer counts %llu keys in %llu blocks, there are %llu in %llu",
		               (unsigned long long)footer->keys, (unsigned long long)footer->blocks,
		               (unsigned long long)reader->keys, (unsigned long long)reader->blocks);
	if (footer->file_bytes != reader->input.offset)
		return corrupt(reader, offset, "the footer says %llu bytes, there are %llu",
		               (unsigned long long)footer->file_bytes, (unsigned long long)reader->input.offset);
	if (!reader->digest_matches)
		return corrupt(reader, offset, "the digest of the whole does not match");
	return LATZ_OK;
}

static void reader_free(struct reader *reader)
{
	lzi_work_fini(&reader->work);
	for (size_t i = 0; i < sizeof reader->job / sizeof *reader->job; i++) {
		lzi_buffer_free(&reader->job[i].stored);
		lzi_buffer_free(&reader->job[i].raw);
	}
	for (size_t i = 0; i < sizeof reader->zstd / sizeof *reader->zstd; i++) {
		ZSTD_freeDCtx(reader->zstd[i]);
		free(reader->cursor[i]);
	}
	lzi_snap_input_fini(&reader->input);
	free(reader);
}

int lzi_snap_read(struct lzi_snap_read *read)
{
	struct reader *reader = calloc(1, sizeof *reader);
	int rc;

	if (!reader)
		return lzi_error(LATZ_NOMEM, "a snapshot's reader");
	reader->read = read;
	rc = lzi_work_init(&reader->work, read->threads, run, reader);
	if (rc != LATZ_OK) {
		free(reader);
		return rc;
	}
	rc = lzi_snap_input_init(&reader->input, read->fd);
	if (rc == LATZ_OK)
		rc = read_header(reader);
	if (rc == LATZ_OK && read->begin)
		rc = read->begin(&read->info, read->arg);
	if (rc == LATZ_OK)
		rc = tell_all(reader);
	if (rc == LATZ_OK)
		rc = read->salvage ? settle(reader) : check_footer(reader);
	read->info.keys = reader->keys;
	read->info.book = reader->book;
	read->info.bytes = reader->bytes;
	read->info.blocks = reader->blocks;
	read->info.file_bytes = reader->input.offset;
	reader_free(reader);
	return rc;
}
