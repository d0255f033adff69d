/*
 * Writing a snapshot: the caller's thread packs entries into blocks; compressing, checksums and writing finished blocks
 * in their order are done beside it. The bytes depend on the entries and the level alone, not on threads or timing.
 */
#include "config.h"

#include "snap/snap.h"

#include <latzero/latzero.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zstd.h>

#include "base/atomic.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "base/hash.h"
#include "format/snapshot.h"
#include "format/space.h"
#include "os/os.h"
#include "snap/snap_int.h"
#include "snap/work.h"

/* Below, a frame's own bytes eat up what it saves. */
#define COMPRESS_MIN 128u
/* A piece from the middle of a block is tried first: if it does not shrink, most likely the block does not either, and
 * trying it would cost more than writing it. */
#define PROBE_MIN (64u << 10)
#define PROBE_SIZE (8u << 10)
/* Written bytes are sent to the disk after so many: the sync at the end would otherwise wait for all of them. */
#define PUSH (8u << 20)
/* Blocks under way: enough that one who waits for the disk, or for his turn, does not soon hold up the others. */
#define DEPTH 24u
/* Of those that hold one entry of over 256 KiB, fewer, since they take up to 4 MiB each, twice. */
#define DEPTH_LARGE 8u

struct job {
	struct lzi_buffer raw, packed;
	struct lzi_snap_block block;
	int rc;
};

/* The file so far. Whoever hands blocks on has it, and the caller when none is left to be handed on. */
struct output {
	int fd, failed; /* failed: the first failure, kept; atomic */
	uint64_t blocks, offset, pushed;
	XXH3_state_t *digest;
	char detail[LZI_ERROR_DETAIL_SIZE]; /* of the failure: errors are told by thread */
};

struct lzi_snap_writer {
	int rc; /* the first failure, kept */
	int level;
	struct lzi_snap_header header;
	struct lzi_snap_info info;
	struct output out;
	struct lzi_work work;
	struct job job[DEPTH];
	ZSTD_CCtx *zstd[LZI_WORK_THREADS_MAX + 1]; /* by thread */
	struct job *open;                          /* being filled; NULL: none */
	uint32_t key_size;
	uint8_t key[LZI_KEY_MAX]; /* of the last entry; key_size 0: none yet */
};

/* ---- Beside the caller ------------------------------------------------------------------------------------------- */

static int compress_block(ZSTD_CCtx *zstd, struct job *job)
{
	size_t size = job->raw.size, n;

	if (size < COMPRESS_MIN || lzi_buffer_reserve(&job->packed, size) != LATZ_OK)
		return 0;
	if (size >= PROBE_MIN) {
		n = ZSTD_compress2(zstd, job->packed.data, PROBE_SIZE, job->raw.data + size / 2, PROBE_SIZE);
		if (ZSTD_isError(n) || n > PROBE_SIZE - PROBE_SIZE / 32)
			return 0;
	}
	/* A sixteenth at least, or reading it raw is cheaper. Too little room is the error it stops with. */
	n = ZSTD_compress2(zstd, job->packed.data, size - size / 16, job->raw.data, size);
	if (ZSTD_isError(n))
		return 0;
	job->packed.size = n;
	return 1;
}

static ZSTD_CCtx *context(struct lzi_snap_writer *writer, unsigned thread)
{
	ZSTD_CCtx *zstd = writer->zstd[thread];

	if (zstd)
		return zstd;
	zstd = ZSTD_createCCtx();
	if (zstd && (ZSTD_isError(ZSTD_CCtx_setParameter(zstd, ZSTD_c_compressionLevel, writer->level)) ||
	             ZSTD_isError(ZSTD_CCtx_setParameter(zstd, ZSTD_c_contentSizeFlag, 1)))) {
		ZSTD_freeCCtx(zstd);
		zstd = NULL;
	}
	writer->zstd[thread] = zstd;
	return zstd;
}

static void run(void *arg, unsigned slot, unsigned thread)
{
	struct lzi_snap_writer *writer = arg;
	struct job *job = &writer->job[slot];
	ZSTD_CCtx *zstd = context(writer, thread);
	int packed;

	/* Not written raw instead: the same entries are to give the same bytes. */
	job->rc = zstd && lzi_buffer_reserve(&job->packed, job->raw.size) == LATZ_OK ? LATZ_OK : LATZ_NOMEM;
	if (job->rc != LATZ_OK)
		return;
	packed = compress_block(zstd, job);
	job->block.raw_size = job->raw.size;
	job->block.codec = packed ? LZI_SNAP_ZSTD : LZI_SNAP_RAW;
	job->block.stored_size = packed ? job->packed.size : job->raw.size;
	job->block.payload_crc = lzi_crc32c(0, packed ? job->packed.data : job->raw.data, job->block.stored_size);
}

static void put(struct output *out, const void *data, size_t size)
{
	int rc;

	if (lzi_load_relaxed(&out->failed) != LATZ_OK)
		return;
	XXH3_128bits_update(out->digest, data, size);
	rc = lzi_disk_write(out->fd, LZI_SNAP_NAME, data, size);
	if (rc != LATZ_OK) {
		snprintf(out->detail, sizeof out->detail, "%s", lzi_error_text());
		lzi_store_release(&out->failed, rc); /* pairs with check() */
		return;
	}
	out->offset += size;
	if (out->offset - out->pushed >= PUSH) {
		lzi_disk_push(out->fd, out->pushed, out->offset - out->pushed);
		out->pushed = out->offset;
	}
}

static void put_block_header(struct lzi_snap_writer *writer, struct lzi_snap_block *block)
{
	uint8_t bytes[LZI_SNAP_BLOCK_SIZE];

	block->tag = writer->header.tag;
	block->number = writer->out.blocks++;
	lzi_snap_block_make(block, bytes);
	put(&writer->out, bytes, sizeof bytes);
}

/* Buffers of a block that was larger than most are not kept. */
static void shrink(struct lzi_buffer *buffer)
{
	if (buffer->room > 2ul * LZI_SNAP_RAW_MAX)
		lzi_buffer_free(buffer);
}

static void emit(void *arg, unsigned slot)
{
	struct lzi_snap_writer *writer = arg;
	struct job *job = &writer->job[slot];

	if (job->rc != LATZ_OK && lzi_load_relaxed(&writer->out.failed) == LATZ_OK) {
		snprintf(writer->out.detail, sizeof writer->out.detail, "no memory to compress a block");
		lzi_store_release(&writer->out.failed, job->rc);
	}
	put_block_header(writer, &job->block);
	put(&writer->out, job->block.codec == LZI_SNAP_ZSTD ? job->packed.data : job->raw.data, job->block.stored_size);
	shrink(&job->raw);
	shrink(&job->packed);
}

/* ---- The caller's thread ----------------------------------------------------------------------------------------- */

/* What has failed beside the caller becomes his. */
static int check(struct lzi_snap_writer *writer)
{
	int failed = lzi_load_acquire(&writer->out.failed);

	if (writer->rc == LATZ_OK && failed != LATZ_OK)
		writer->rc = lzi_error(failed, "%s", writer->out.detail);
	return writer->rc;
}

static void close_block(struct lzi_snap_writer *writer)
{
	if (!writer->open)
		return;
	writer->open = NULL;
	lzi_work_submit(&writer->work);
}

/* An empty block to fill. */
static int open_block(struct lzi_snap_writer *writer, size_t room)
{
	struct lzi_work *work = &writer->work;
	struct job *job = &writer->job[work->submitted % work->depth];

	lzi_work_settle(work, (room > LZI_SNAP_RAW_MAX ? DEPTH_LARGE : DEPTH) - 1);
	if (check(writer) != LATZ_OK)
		return writer->rc;
	job->raw.size = 0;
	job->block.count = 0;
	writer->rc = lzi_buffer_reserve(&job->raw, room > LZI_SNAP_RAW_MAX ? room : LZI_SNAP_RAW_MAX);
	if (writer->rc == LATZ_OK)
		writer->open = job;
	return writer->rc;
}

static int write_pending(struct lzi_snap_writer *writer)
{
	close_block(writer);
	lzi_work_settle(&writer->work, 0);
	return check(writer);
}

/* Too large to be held in memory twice: a raw block, from where the value lies. */
static int write_large(struct lzi_snap_writer *writer, const struct lzi_snap_entry *entry,
                       const struct lzi_snap_entry_head *head)
{
	uint8_t bytes[LZI_SNAP_ENTRY_HEAD_MAX];
	size_t size = lzi_snap_entry_make(head, bytes);
	struct lzi_snap_block block = { .count = 1, .codec = LZI_SNAP_RAW };

	if (write_pending(writer) != LATZ_OK)
		return writer->rc;
	block.raw_size = block.stored_size = size + entry->key_size + (uint64_t)entry->value_size;
	block.payload_crc = lzi_crc32c(0, bytes, size);
	block.payload_crc = lzi_crc32c(block.payload_crc, entry->key, entry->key_size);
	block.payload_crc = lzi_crc32c(block.payload_crc, entry->value, entry->value_size);
	put_block_header(writer, &block);
	put(&writer->out, bytes, size);
	put(&writer->out, entry->key, entry->key_size);
	put(&writer->out, entry->value, entry->value_size);
	return check(writer);
}

/* head: of head_size bytes, before the data. */
static int write_aside(struct lzi_snap_writer *writer, enum lzi_snap_codec codec, const void *head, uint64_t head_size,
                       const void *data, uint64_t size)
{
	struct lzi_snap_block block = { .codec = (uint8_t)codec, .raw_size = head_size + size };

	if (write_pending(writer) != LATZ_OK)
		return writer->rc;
	block.stored_size = block.raw_size;
	block.payload_crc = lzi_crc32c(lzi_crc32c(0, head, head_size), data, size);
	put_block_header(writer, &block);
	put(&writer->out, head, head_size);
	put(&writer->out, data, size);
	return check(writer);
}

int lzi_snap_write_dict(struct lzi_snap_writer *writer, const void *dict, uint32_t size)
{
	return write_aside(writer, LZI_SNAP_DICT, "", 0, dict, size);
}

int lzi_snap_write_policy(struct lzi_snap_writer *writer, const void *state, uint64_t size)
{
	return write_aside(writer, LZI_SNAP_POLICY, "", 0, state, size);
}

int lzi_snap_write_keys(struct lzi_snap_writer *writer, uint64_t seq, const void *record, uint32_t size)
{
	uint8_t head[LZI_SNAP_KEYS_HEAD];

	lzi_snap_keys_make(seq, head);
	return write_aside(writer, LZI_SNAP_POLICY, head, sizeof head, record, size);
}

static void append(struct job *job, const struct lzi_snap_entry *entry, const struct lzi_snap_entry_head *head)
{
	uint8_t *at = job->raw.data + job->raw.size;

	at += lzi_snap_entry_make(head, at);
	memcpy(at, (const uint8_t *)entry->key + head->shared, head->rest);
	at += head->rest;
	if (entry->value_size > 0)
		memcpy(at, entry->value, entry->value_size);
	at += entry->value_size;
	job->raw.size = (size_t)(at - job->raw.data);
	job->block.count++;
}

static int check_order(struct lzi_snap_writer *writer, const struct lzi_snap_entry *entry, uint32_t *ret_shared)
{
	uint32_t both = entry->key_size < writer->key_size ? entry->key_size : writer->key_size;
	uint32_t shared;

	if (entry->key_size < 1 || entry->key_size > LZI_KEY_MAX)
		return lzi_error(LATZ_INVALID, "a key of %u bytes", entry->key_size);
	shared = lzi_snap_shared(entry->key, writer->key, both);
	if (shared == both ? entry->key_size <= writer->key_size
	                   : ((const uint8_t *)entry->key)[shared] < writer->key[shared])
		return lzi_error(LATZ_INVALID, "keys of a snapshot must come in order");
	*ret_shared = shared;
	return LATZ_OK;
}

int lzi_snap_write(struct lzi_snap_writer *writer, const struct lzi_snap_entry *entry)
{
	struct lzi_snap_entry_head head;
	uint64_t most = LZI_SNAP_ENTRY_HEAD_MAX + (uint64_t)entry->key_size + entry->value_size;
	uint32_t shared = 0;

	if (writer->rc != LATZ_OK)
		return lzi_error(writer->rc, "the snapshot has failed already");
	writer->rc = check_order(writer, entry, &shared);
	if (writer->rc != LATZ_OK)
		return writer->rc;
	if (writer->open && writer->open->raw.size + most > LZI_SNAP_RAW_MAX)
		close_block(writer);
	if (!writer->open)
		shared = 0;
	head.flags = (entry->deadline_wall_ms != 0 ? LZI_SNAP_DEADLINE : 0) | (entry->sealed ? LZI_SNAP_SEALED : 0);
	head.type = entry->type;
	head.shared = shared;
	head.rest = entry->key_size - shared;
	head.value_size = entry->value_size;
	head.seq = entry->seq;
	head.deadline = entry->deadline_wall_ms;
	if (most > LZI_SNAP_ZSTD_MAX) {
		if (write_large(writer, entry, &head) != LATZ_OK)
			return writer->rc;
	} else {
		if (!writer->open && open_block(writer, most) != LATZ_OK)
			return writer->rc;
		append(writer->open, entry, &head);
	}
	memcpy(writer->key + shared, (const uint8_t *)entry->key + shared, head.rest);
	writer->key_size = entry->key_size;
	writer->info.keys++;
	writer->info.book += writer->info.escaped && lzi_key_is_book(entry->key, entry->key_size);
	writer->info.bytes += entry->key_size + (uint64_t)entry->value_size;
	return LATZ_OK;
}

int lzi_snap_writer_open(int fd, const struct lzi_snap_info *info, int level, unsigned threads,
                         struct lzi_snap_writer **ret_writer)
{
	struct lzi_snap_writer *writer = calloc(1, sizeof *writer);
	uint8_t bytes[LZI_SNAP_HEADER_SIZE];
	int rc;

	if (!writer)
		return lzi_error(LATZ_NOMEM, "a snapshot's writer");
	writer->out.fd = fd;
	writer->level = level == 0 ? LZI_SNAP_LEVEL_DEFAULT : level;
	writer->info = *info;
	writer->info.major = LZI_SNAP_MAJOR;
	writer->info.minor = LZI_SNAP_MINOR;
	writer->info.keys = writer->info.bytes = writer->info.blocks = writer->info.book = 0;
	writer->out.digest = XXH3_createState();
	rc = writer->out.digest ? lzi_work_init(&writer->work, threads, run, writer)
	                        : lzi_error(LATZ_NOMEM, "a digest");
	if (rc != LATZ_OK) {
		XXH3_freeState(writer->out.digest);
		free(writer);
		return rc;
	}
	writer->work.emit = emit;
	writer->work.depth = DEPTH;
	XXH3_128bits_reset(writer->out.digest);
	memcpy(writer->header.log_id, info->log_id, sizeof writer->header.log_id);
	writer->header.seq = info->seq;
	writer->header.touched_ns = info->touched_ns;
	writer->header.first_segment = info->first_segment;
	writer->header.wall_ms = info->wall_ms;
	writer->header.ttl_ms = info->ttl_ms;
	writer->header.compatible = info->has_copy ? (uint32_t)LZI_SNAP_HAS_COPY : 0;
	writer->header.incompatible = (info->has_dicts ? (uint32_t)LZI_SNAP_HAS_DICTS : 0) |
	                              (info->has_policy ? (uint32_t)LZI_SNAP_HAS_POLICY : 0) |
	                              (info->escaped ? (uint32_t)LZI_SNAP_ESCAPED : 0) |
	                              (info->has_sealed ? (uint32_t)LZI_SNAP_HAS_SEALED : 0);
	lzi_snap_header_make(&writer->header, bytes);
	put(&writer->out, bytes, sizeof bytes);
	rc = check(writer);
	if (rc != LATZ_OK) {
		lzi_snap_abort(writer);
		return rc;
	}
	*ret_writer = writer;
	return LATZ_OK;
}

int lzi_snap_finish(struct lzi_snap_writer *writer, struct lzi_snap_info *ret_info)
{
	struct lzi_snap_footer footer;
	uint8_t bytes[LZI_SNAP_FOOTER_SIZE];
	XXH128_hash_t digest;
	int rc = writer->rc;

	if (rc != LATZ_OK)
		lzi_error(rc, "the snapshot has failed already");
	else
		rc = write_pending(writer);
	if (rc == LATZ_OK) {
		digest = XXH3_128bits_digest(writer->out.digest);
		footer.tag = writer->header.tag;
		footer.keys = writer->info.keys;
		footer.book = (uint32_t)writer->info.book;
		footer.bytes = writer->info.bytes;
		footer.blocks = writer->info.blocks = writer->out.blocks;
		footer.file_bytes = writer->info.file_bytes = writer->out.offset + LZI_SNAP_FOOTER_SIZE;
		footer.digest_low = digest.low64;
		footer.digest_high = digest.high64;
		lzi_snap_footer_make(&footer, bytes);
		put(&writer->out, bytes, sizeof bytes);
		rc = check(writer);
	}
	if (rc == LATZ_OK && ret_info)
		*ret_info = writer->info;
	lzi_snap_abort(writer);
	return rc;
}

void lzi_snap_abort(struct lzi_snap_writer *writer)
{
	if (!writer)
		return;
	lzi_work_fini(&writer->work);
	for (size_t i = 0; i < sizeof writer->job / sizeof *writer->job; i++) {
		lzi_buffer_free(&writer->job[i].raw);
		lzi_buffer_free(&writer->job[i].packed);
	}
	for (size_t i = 0; i < sizeof writer->zstd / sizeof *writer->zstd; i++)
		ZSTD_freeCCtx(writer->zstd[i]);
	XXH3_freeState(writer->out.digest);
	free(writer);
}
