/*
 * Images as a restore and a check see them. A restored pool gets its table, its overflow buckets and a directory that
 * says of every extent of records that it is still in the image; so what it takes depends on the number of keys, and
 * hardly on their values.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/point.h"
#include "store/carry.h"
#include "store/image.h"
#include "store/log.h"
#include "store/pack.h"

int lzi_image_open(struct lzi_image *image, int fd, const char *path)
{
	struct lzi_image_header *header = &image->header;
	uint64_t size, got, i;
	int rc;

	memset(image, 0, sizeof *image);
	image->fd = fd;
	image->path = path;
	rc = lzi_image_peek(fd, path, header);
	if (rc != LATZ_OK)
		return rc;
	size = header->chunks * sizeof *image->sums;
	image->sums = malloc(size + 1);
	image->extents = malloc((header->part[LZI_IMAGE_EXTENTS].chunks + 1) * LZI_EXTENT);
	if (image->sums == NULL || image->extents == NULL)
		rc = lzi_error(LATZ_NOMEM, "image of %llu chunks", (unsigned long long)header->chunks);
	if (rc == LATZ_OK)
		rc = lzi_disk_read_at(fd, path, image->sums, size, header->sums_offset, &got);
	if (rc == LATZ_OK && (got != size || lzi_crc32c(0, image->sums, size) != header->sums_crc))
		rc = lzi_error(LATZ_CORRUPT, "checksum of the sums does not match");
	if (rc == LATZ_OK)
		rc = lzi_image_sums_validate(header, image->sums);
	if (rc != LATZ_OK) {
		lzi_image_close(image);
		return lzi_error_prefix(rc, "%s: offset %llu", path, (unsigned long long)header->sums_offset);
	}
	for (i = 0; i < header->part[LZI_IMAGE_EXTENTS].chunks && rc == LATZ_OK; i++)
		rc = lzi_image_read(fd, path, header, LZI_IMAGE_EXTENTS, i,
		                    &image->sums[header->part[LZI_IMAGE_EXTENTS].first + i],
		                    (uint8_t *)image->extents + i * LZI_EXTENT);
	if (rc == LATZ_OK) {
		rc = lzi_image_extents_validate(header, image->extents, image->sums);
		if (rc != LATZ_OK)
			rc = lzi_error_prefix(rc, "%s: offset %llu", path,
			                      (unsigned long long)header->part[LZI_IMAGE_EXTENTS].offset);
	}
	if (rc != LATZ_OK)
		lzi_image_close(image);
	return rc;
}

void lzi_image_close(struct lzi_image *image)
{
	free(image->sums);
	free(image->extents);
	image->sums = NULL;
	image->extents = NULL;
}

static const struct lzi_image_sum *sum_of(const struct lzi_image *image, enum lzi_image_part part, uint64_t index)
{
	return &image->sums[image->header.part[part].first + index];
}

/* Nobody holds a bucket of an image: a lock in it would be waited for. */
static int check_buckets(const struct lzi_image *image, enum lzi_image_part part, uint64_t index, const uint8_t *buffer)
{
	const struct lzi_bucket *bucket = (const struct lzi_bucket *)(const void *)buffer;
	const uint64_t free = part == LZI_IMAGE_TABLE ? 0 : LZI_OVERFLOW_MARK << LZI_OWNER_SHIFT;
	uint32_t i, n = sum_of(image, part, index)->length / sizeof *bucket;

	for (i = 0; i < n; i++) {
		if ((bucket[i].header & ~LZI_LINK_MASK) != free && (part == LZI_IMAGE_TABLE || bucket[i].header != 0))
			return lzi_error(LATZ_CORRUPT, "%s: offset %llu: a bucket is damaged", image->path,
			                 (unsigned long long)(lzi_image_chunk_offset(&image->header, part, index) +
			                                      i * sizeof *bucket));
	}
	return LATZ_OK;
}

/* ---- The files of a restored pool ---- */

/* One chunk of buckets to where it belongs in `fd`. */
static int copy_buckets(const struct lzi_image *image, enum lzi_image_part part, uint64_t index, int fd,
                        const char *name, uint8_t *buffer)
{
	const struct lzi_image_sum *sum = sum_of(image, part, index);
	int rc = lzi_image_read(image->fd, image->path, &image->header, part, index, sum, buffer);

	if (rc == LATZ_OK)
		rc = check_buckets(image, part, index, buffer);
	return rc == LATZ_OK ? lzi_disk_write_at(fd, name, buffer, sum->length, index * LZI_EXTENT) : rc;
}

static int make_table(const struct lzi_image *image, struct lzi_opened *opened, unsigned mode, uint8_t *buffer)
{
	const struct lzi_image_section *section = &image->header.part[LZI_IMAGE_TABLE];
	uint64_t bytes = (section->size + LZI_PAGE - 1) & ~(uint64_t)(LZI_PAGE - 1), i;
	int fd, rc = lzi_file_create(opened->poolfd, "table", mode, &fd);

	if (rc != LATZ_OK)
		return rc;
	for (i = 0; i < section->chunks && rc == LATZ_OK; i++)
		rc = copy_buckets(image, LZI_IMAGE_TABLE, i, fd, "table", buffer);
	/* The last page may not be full. */
	if (rc == LATZ_OK)
		rc = lzi_file_allocate(fd, bytes - LZI_PAGE, LZI_PAGE);
	lzi_file_close(fd);
	LZI_POINT("image.table");
	opened->control.shared->buckets = image->header.buckets;
	opened->control.shared->table_bytes = bytes;
	return rc;
}

static int make_heap(const struct lzi_image *image, struct lzi_opened *opened, unsigned mode, uint8_t *buffer)
{
	struct lzi_shared *shared = opened->control.shared;
	uint64_t n = image->header.extents, e;
	int fd, rc = lzi_file_create(opened->poolfd, "heap", mode, &fd);

	if (rc != LATZ_OK)
		return rc;
	if (n > 0)
		rc = lzi_file_resize(fd, n * LZI_EXTENT);
	for (e = 0; e < n && rc == LATZ_OK; e++) {
		if (image->extents[e].kind != LZI_IMAGE_OVERFLOW)
			continue;
		rc = lzi_file_allocate(fd, e * LZI_EXTENT, LZI_EXTENT);
		if (rc == LATZ_OK)
			rc = copy_buckets(image, LZI_IMAGE_HEAP, e, fd, "heap", buffer);
	}
	lzi_file_close(fd);
	LZI_POINT("image.overflow");
	shared->extents = n;
	shared->heap_bytes = n * LZI_EXTENT;
	return rc;
}

static enum lzi_extent_state state_of(const struct lzi_image_extent *extent)
{
	switch (extent->kind) {
	case LZI_IMAGE_RECORDS:
	case LZI_IMAGE_RUN: return LZI_EXTENT_IMAGE;
	case LZI_IMAGE_BODY: return LZI_EXTENT_BODY;
	case LZI_IMAGE_OVERFLOW: return LZI_EXTENT_OVERFLOW;
	default: return LZI_EXTENT_HOLE;
	}
}

/* What the index has to look at it has in the image's index; what a log has to hold, if the pool gets one, its first
 * snapshot has. */
static void describe(const struct lzi_image_extent *from, struct lzi_extent *meta, int64_t to_mono_ms)
{
	meta->tail = from->kind == LZI_IMAGE_EMPTY ? 0 : from->tail;
	if (state_of(from) != LZI_EXTENT_IMAGE)
		return;
	meta->run = from->run;
	meta->indexed = from->tail;
	meta->logged = (uint32_t)(from->tail / LZI_UNIT);
	meta->inserts = meta->inserts_seen = from->records;
	meta->expiry_min = lzi_image_deadline(from->expiry_min, to_mono_ms);
}

static int make_directory(const struct lzi_image *image, struct lzi_opened *opened, unsigned mode, int64_t to_mono_ms)
{
	struct lzi_shared *shared = opened->control.shared;
	uint64_t n = image->header.extents, g, i;
	struct lzi_extent_group *group = malloc(sizeof *group);
	int fd, rc = group == NULL ? lzi_error(LATZ_NOMEM, "image") : LATZ_OK;

	if (rc == LATZ_OK)
		rc = lzi_file_create(opened->poolfd, "extents", mode, &fd);
	if (rc != LATZ_OK) {
		free(group);
		return rc;
	}
	for (g = 0; g * 64 < n && rc == LATZ_OK; g++) {
		memset(group, 0, sizeof *group);
		for (i = 0; i < 64 && g * 64 + i < n; i++) {
			const struct lzi_image_extent *extent = &image->extents[g * 64 + i];
			enum lzi_extent_state state = state_of(extent);

			describe(extent, &group->meta[i], to_mono_ms);
			group->word[i] = lzi_extent_word(0, state);
			shared->image_left += state == LZI_EXTENT_IMAGE;
			shared->extents_hole += state == LZI_EXTENT_HOLE;
		}
		rc = lzi_disk_write_at(fd, "extents", group, sizeof *group, g * sizeof *group);
	}
	if (rc == LATZ_OK && n > 0)
		rc = lzi_file_allocate(fd, 0, lzi_extents_size(n));
	lzi_file_close(fd);
	free(group);
	LZI_POINT("image.extents");
	return rc;
}

/* All of them at once: they are few, and small. */
static int make_dicts(const struct lzi_image *image, struct lzi_opened *opened, unsigned mode)
{
	const struct lzi_image_section *section = &image->header.part[LZI_IMAGE_DICT];
	uint64_t i, size = image->header.incompatible & LZI_IMAGE_PACKED ? section->size : 0;
	uint8_t *bytes;
	int rc = LATZ_OK;

	if (size == 0)
		return LATZ_OK;
	if (size > LZI_DICTS_MAX * lzi_dict_span(LZI_DICT_SIZE_MAX))
		return lzi_error(LATZ_CORRUPT, "%s: offset %llu: dictionaries of %llu bytes", image->path,
		                 (unsigned long long)section->offset, (unsigned long long)size);
	bytes = malloc(section->chunks * LZI_EXTENT);
	if (bytes == NULL)
		return lzi_error(LATZ_NOMEM, "image");
	for (i = 0; i < section->chunks && rc == LATZ_OK; i++)
		rc = lzi_image_read(image->fd, image->path, &image->header, LZI_IMAGE_DICT, i,
		                    sum_of(image, LZI_IMAGE_DICT, i), bytes + i * LZI_EXTENT);
	if (rc == LATZ_OK)
		rc = lzi_dict_file(opened == NULL ? -1 : opened->poolfd, mode, bytes, size,
		                   opened == NULL ? NULL : opened->control.shared);
	if (rc == LATZ_CORRUPT)
		rc = lzi_error_prefix(rc, "%s: offset %llu", image->path, (unsigned long long)section->offset);
	free(bytes);
	LZI_POINT("image.dicts");
	return rc;
}

/* Bytes of the section that says what the policy knew; 0: there is none, or none that anybody could have made. */
static uint64_t known_size(const struct lzi_image *image)
{
	uint64_t size = image->header.part[LZI_IMAGE_POLICY].size;

	return image->header.incompatible & LZI_IMAGE_KNOWN && size > sizeof(struct lzi_policy_state) &&
	                       size <= sizeof(struct lzi_policy_state) + LZI_POLICY_STATE_MAX
	               ? size
	               : 0;
}

static int read_known(const struct lzi_image *image, uint8_t **ret_bytes)
{
	const struct lzi_image_section *section = &image->header.part[LZI_IMAGE_POLICY];
	uint8_t *bytes = malloc(section->chunks * LZI_EXTENT);
	uint64_t i;
	int rc = bytes == NULL ? lzi_error(LATZ_NOMEM, "image") : LATZ_OK;

	for (i = 0; i < section->chunks && rc == LATZ_OK; i++)
		rc = lzi_image_read(image->fd, image->path, &image->header, LZI_IMAGE_POLICY, i,
		                    sum_of(image, LZI_IMAGE_POLICY, i), bytes + i * LZI_EXTENT);
	if (rc == LATZ_OK)
		*ret_bytes = bytes;
	else
		free(bytes);
	return rc;
}

void lzi_image_adopt(const struct lzi_image *image, struct lzi_call *call)
{
	uint64_t size = known_size(image);
	uint8_t *bytes;

	if (size == 0 || !lzi_is_bounded(call->store))
		return;
	if (read_known(image, &bytes) != LATZ_OK) {
		lzi_log(LATZ_LOG_INFO, "%s: what its policy knew is passed over: %s", call->store->name,
		        lzi_error_text());
		return;
	}
	lzi_carry_adopt(call, lzi_carry_bring(call->store, bytes, size));
	free(bytes);
	LZI_POINT("image.adopted");
}

static int make_note(const struct lzi_image *image, struct lzi_opened *opened, unsigned mode, int64_t to_mono_ms)
{
	struct lzi_image_note *note = calloc(1, sizeof *note);
	char *path = lzi_path_absolute(image->path);
	int fd, rc = LATZ_OK;

	if (note == NULL || path == NULL)
		rc = lzi_error(LATZ_NOMEM, "image");
	else if (strlen(path) >= sizeof note->path)
		rc = lzi_error(LATZ_INVALID, "the image's path is too long");
	if (rc == LATZ_OK) {
		memcpy(note->magic, LZI_IMAGE_NOTE_MAGIC, sizeof note->magic);
		note->to_mono_ms = to_mono_ms;
		note->header = image->header;
		snprintf(note->path, sizeof note->path, "%s", path);
		rc = lzi_file_create(opened->poolfd, "image", mode, &fd);
	}
	if (rc == LATZ_OK) {
		rc = lzi_disk_write_at(fd, "image", note, sizeof *note, 0);
		if (rc == LATZ_OK)
			rc = lzi_disk_write_at(fd, "image", image->sums, image->header.chunks * sizeof *image->sums,
			                       sizeof *note);
		lzi_file_close(fd);
	}
	LZI_POINT("image.note");
	free(path);
	free(note);
	return rc;
}

int lzi_image_files(const struct lzi_image *image, struct lzi_opened *opened, unsigned mode)
{
	struct lzi_shared *shared = opened->control.shared;
	int64_t to_mono_ms = lzi_clock_mono_ms() - lzi_clock_wall_ms();
	uint64_t seq = image->header.seq > image->header.seq_max ? image->header.seq : image->header.seq_max;
	uint8_t *buffer = malloc(LZI_EXTENT);
	int rc = buffer == NULL ? lzi_error(LATZ_NOMEM, "image") : LATZ_OK;

	if (rc == LATZ_OK)
		rc = make_table(image, opened, mode, buffer);
	if (rc == LATZ_OK)
		rc = make_heap(image, opened, mode, buffer);
	if (rc == LATZ_OK)
		rc = make_directory(image, opened, mode, to_mono_ms);
	if (rc == LATZ_OK)
		rc = make_dicts(image, opened, mode);
	if (rc == LATZ_OK)
		rc = make_note(image, opened, mode, to_mono_ms);
	if (rc == LATZ_OK)
		rc = lzi_dir_make(opened->poolfd, "index", lzi_dir_mode(mode));
	free(buffer);
	shared->base_keys = (int64_t)image->header.keys;
	shared->spaces.book = (int64_t)image->header.book;
	shared->image_index = 1;
	if (image->header.incompatible & LZI_IMAGE_ESCAPED)
		shared->spaces.high = shared->spaces.settle = 1;
	/* As after loading: new writes come after everything there is. */
	shared->clock = lzi_load_leap((seq / LZI_SEQ_STRIDE + 2) * LZI_SEQ_STRIDE);
	return rc;
}

/* ---- Checking ---- */

struct checking {
	const struct lzi_image *image;
	lzi_image_look_fn look;
	void *arg;
	const uint8_t *buffer; /* what is looked at, */
	uint64_t from;         /* and where that stands */
	uint64_t keys, bytes;
};

static int check_record(struct lzi_record *record, const struct lzi_record *head, void *arg)
{
	struct checking *checking = arg;

	uint64_t size = head->value_size;
	unsigned dict;
	int rc = lzi_record_validate(record, lzi_record_span_of(head));

	if (rc == LATZ_OK && record->flags & LZI_RECORD_PACKED)
		rc = lzi_packed_parse(lzi_record_value(record), record->value_size, &dict, &size);
	if (rc != LATZ_OK)
		return rc;
	checking->keys++;
	checking->bytes += record->key_size + size;
	if (record->seq > checking->image->header.seq_max)
		return lzi_error(LATZ_CORRUPT, "a record is younger than the image");
	if (checking->look == NULL)
		return LATZ_OK;
	return checking->look(record, checking->from + (uint64_t)((const uint8_t *)record - checking->buffer),
	                      checking->arg);
}

/* An extent's or a run's records, read whole: a run holds one. */
static int check_extent(struct checking *checking, uint64_t e)
{
	const struct lzi_image *image = checking->image;
	uint64_t count = image->extents[e].kind == LZI_IMAGE_RUN ? image->extents[e].run : 1, i;
	uint8_t *buffer = malloc(count * LZI_EXTENT);
	int rc = buffer == NULL ? lzi_error(LATZ_NOMEM, "image") : LATZ_OK;

	for (i = 0; i < count && rc == LATZ_OK; i++)
		rc = lzi_image_read(image->fd, image->path, &image->header, LZI_IMAGE_HEAP, e + i,
		                    sum_of(image, LZI_IMAGE_HEAP, e + i), buffer + i * LZI_EXTENT);
	if (rc == LATZ_OK && image->extents[e].kind == LZI_IMAGE_OVERFLOW)
		rc = check_buckets(image, LZI_IMAGE_HEAP, e, buffer);
	else if (rc == LATZ_OK) {
		checking->buffer = buffer;
		checking->from = lzi_image_chunk_offset(&image->header, LZI_IMAGE_HEAP, e);
		rc = lzi_image_records(buffer, image->extents[e].tail, check_record, checking);
		if (rc != LATZ_OK)
			rc = lzi_error_prefix(rc, "%s: offset %llu", image->path, (unsigned long long)checking->from);
	}
	free(buffer);
	return rc;
}

int lzi_image_verify(const struct lzi_image *image, lzi_image_look_fn fn, void *arg)
{
	const struct lzi_image_header *header = &image->header;
	struct checking checking = { .image = image, .look = fn, .arg = arg };
	uint8_t *buffer = malloc(LZI_EXTENT);
	uint64_t i;
	int rc = buffer == NULL ? lzi_error(LATZ_NOMEM, "image") : LATZ_OK;

	for (i = 0; i < header->part[LZI_IMAGE_TABLE].chunks && rc == LATZ_OK; i++) {
		rc = lzi_image_read(image->fd, image->path, header, LZI_IMAGE_TABLE, i,
		                    sum_of(image, LZI_IMAGE_TABLE, i), buffer);
		if (rc == LATZ_OK)
			rc = check_buckets(image, LZI_IMAGE_TABLE, i, buffer);
	}
	for (i = 0; i < header->part[LZI_IMAGE_INDEX].chunks && rc == LATZ_OK; i++)
		rc = lzi_image_read(image->fd, image->path, header, LZI_IMAGE_INDEX, i,
		                    sum_of(image, LZI_IMAGE_INDEX, i), buffer);
	free(buffer);
	if (rc == LATZ_OK)
		rc = make_dicts(image, NULL, 0);
	if (rc == LATZ_OK && known_size(image) > 0) {
		rc = read_known(image, &buffer);
		if (rc == LATZ_OK)
			free(buffer);
	}
	for (i = 0; i < header->extents && rc == LATZ_OK; i++) {
		if (image->extents[i].kind != LZI_IMAGE_EMPTY && image->extents[i].kind != LZI_IMAGE_BODY)
			rc = check_extent(&checking, i);
	}
	if (rc == LATZ_OK && (checking.keys != header->keys || checking.bytes != header->bytes))
		rc = lzi_error(LATZ_CORRUPT, "%s: offset 0: %llu keys of %llu bytes, but %llu records of %llu",
		               image->path, (unsigned long long)header->keys, (unsigned long long)header->bytes,
		               (unsigned long long)checking.keys, (unsigned long long)checking.bytes);
	return rc;
}

void lzi_image_info(const struct lzi_image_header *header, latz_snapshot_info *info)
{
	info->image = 1;
	info->major = header->major;
	info->minor = header->minor;
	info->keys = header->keys - (header->book < header->keys ? header->book : 0);
	info->bytes = header->bytes;
	info->file_bytes = header->file_bytes;
	info->seq = header->seq;
	info->created_wall_ms = header->wall_ms;
	memcpy(info->pool_id, header->pool_id, sizeof info->pool_id);
	info->blocks = header->chunks;
	info->encrypted = (header->incompatible & LZI_IMAGE_SEALED) != 0;
}
