/*
 * A pool that was restored from an image: bringing in what is still there. The pool's file `image` says where the image
 * is and what every chunk of it must be; the image itself is opened by each process when it first needs it. What does
 * not match is never used: a chunk's checksum, kept in the pool, has the image's id and the chunk's number in it.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/point.h"
#include "store/image.h"
#include "store/space.h"

#define NOTE "image"

/* ---- The image ---- */

int lzi_image_read(int fd, const char *path, const struct lzi_image_header *header, enum lzi_image_part part,
                   uint64_t index, const struct lzi_image_sum *sum, void *to)
{
	uint64_t chunk = header->part[part].first + index, offset = lzi_image_chunk_offset(header, part, index), got;
	int rc = lzi_disk_read_at(fd, path, to, sum->length, offset, &got);

	if (rc == LATZ_OK && (got != sum->length || lzi_image_crc(header, chunk, to, sum->length) != sum->crc))
		rc = lzi_error(LATZ_CORRUPT, "%s: offset %llu: %s", path, (unsigned long long)offset,
		               got != sum->length ? "it ends here" : "checksum does not match");
	return rc;
}

int lzi_image_peek(int fd, const char *path, struct lzi_image_header *ret_header)
{
	uint64_t size, got;
	int rc = lzi_file_size(fd, &size);

	if (rc == LATZ_OK)
		rc = lzi_disk_read_at(fd, path, ret_header, sizeof *ret_header, 0, &got);
	if (rc != LATZ_OK)
		return lzi_error_prefix(rc, "%s", path);
	if (got < sizeof *ret_header)
		return lzi_error(LATZ_CORRUPT, "%s: offset %llu: it ends within the header", path,
		                 (unsigned long long)got);
	rc = lzi_image_header_validate(ret_header);
	if (rc == LATZ_OK && size != ret_header->file_bytes)
		rc = lzi_error(LATZ_CORRUPT, "the header says %llu bytes, there are %llu",
		               (unsigned long long)ret_header->file_bytes, (unsigned long long)size);
	return rc == LATZ_OK ? rc : lzi_error_prefix(rc, "%s: offset 0", path);
}

int lzi_image_is(int fd)
{
	char magic[8];
	uint64_t got;

	return lzi_disk_read_at(fd, "", magic, sizeof magic, 0, &got) == LATZ_OK && got == sizeof magic &&
	       memcmp(magic, LZI_IMAGE_MAGIC, sizeof magic) == 0;
}

/* ---- Opening, by a process that needs it ---- */

/* Under the image's mutex. */
static int open_note(struct lzi_store *store)
{
	struct lzi_image_note *note;
	int fd, rc;

	if (store->image.note != NULL)
		return LATZ_OK;
	rc = lzi_file_open(store->poolfd, NOTE, 0, &fd);
	if (rc != LATZ_OK)
		return lzi_error(rc == LATZ_NOTFOUND ? LATZ_CORRUPT : rc, "the pool's file image: %s",
		                 lzi_error_text());
	note = malloc(sizeof *note);
	rc = note == NULL ? lzi_error(LATZ_NOMEM, "image") : lzi_file_read(fd, note, sizeof *note);
	if (rc == LATZ_OK && (memcmp(note->magic, LZI_IMAGE_NOTE_MAGIC, sizeof note->magic) != 0 ||
	                      memchr(note->path, '\0', sizeof note->path) == NULL))
		rc = lzi_error(LATZ_CORRUPT, "the pool's file image is damaged");
	if (rc == LATZ_OK)
		rc = lzi_image_header_validate(&note->header);
	if (rc != LATZ_OK) {
		free(note);
		lzi_file_close(fd);
		return rc;
	}
	store->image.note = note;
	store->image.note_fd = fd;
	return LATZ_OK;
}

static int open_image(struct lzi_store *store)
{
	struct lzi_image_header header;
	const char *path;
	int fd, rc;

	if (store->image.fd >= 0)
		return LATZ_OK;
	rc = open_note(store);
	if (rc != LATZ_OK)
		return rc;
	path = store->image.note->path;
	rc = lzi_disk_open(-1, path, 0, &fd);
	if (rc == LATZ_NOTFOUND)
		return lzi_error(LATZ_IO, "image %s, from which the pool was restored, is gone", path);
	if (rc != LATZ_OK)
		return rc;
	rc = lzi_fd_follow(store->poolfd, fd, 1, path);
	if (rc == LATZ_OK)
		rc = lzi_image_peek(fd, path, &header);
	if (rc == LATZ_OK && memcmp(&header, &store->image.note->header, sizeof header) != 0)
		rc = lzi_error(LATZ_CORRUPT, "%s: offset 0: it is not the image the pool was restored from", path);
	if (rc != LATZ_OK) {
		lzi_file_close(fd);
		return rc;
	}
	store->image.fd = fd;
	return LATZ_OK;
}

static int open_both(struct lzi_store *store)
{
	int rc;

	pthread_mutex_lock(&store->image.mutex);
	rc = open_image(store);
	pthread_mutex_unlock(&store->image.mutex);
	return rc;
}

/* A chunk of the restored pool's image, `size` bytes, checked against what the pool says it must be. */
static int fetch_chunk(struct lzi_store *store, enum lzi_image_part part, uint64_t index, uint8_t *to, uint64_t size)
{
	const struct lzi_image_note *note = store->image.note;
	const struct lzi_image_section *section = &note->header.part[part];
	struct lzi_image_sum sum;
	uint64_t got;
	int rc;

	if (index >= section->chunks)
		return lzi_error(LATZ_CORRUPT, "image %s has no chunk %llu of part %d", note->path,
		                 (unsigned long long)index, (int)part);
	rc = lzi_disk_read_at(store->image.note_fd, NOTE, &sum, sizeof sum,
	                      sizeof *note + (section->first + index) * sizeof sum, &got);
	if (rc == LATZ_OK && (got != sizeof sum || sum.length != size))
		rc = lzi_error(LATZ_CORRUPT, "the pool's file image is damaged");
	return rc == LATZ_OK ? lzi_image_read(store->image.fd, note->path, &note->header, part, index, &sum, to) : rc;
}

static uint64_t chunk_size(uint64_t size, uint64_t at)
{
	return size - at < LZI_EXTENT ? size - at : LZI_EXTENT;
}

/* ---- Extents ---- */

int64_t lzi_image_deadline(int64_t wall_ms, int64_t to_mono_ms)
{
	if (wall_ms == 0)
		return 0;
	return wall_ms + to_mono_ms > 0 ? wall_ms + to_mono_ms : 1; /* before the machine was started */
}

int lzi_image_records(uint8_t *records, uint64_t size, lzi_image_record_fn fn, void *arg)
{
	struct lzi_record head = { .seq = 0 };
	uint64_t at, span;
	int rc;

	for (at = 0; at < size; at += span) {
		struct lzi_record *record = (struct lzi_record *)(void *)(records + at);

		span = 0;
		if (size - at >= LZI_RECORD_HEAD) {
			/* What is bounded is what is gone by, whoever changes it meanwhile. */
			memcpy(&head, record, LZI_RECORD_HEAD);
			lzi_compiler_barrier();
			span = lzi_record_span_of(&head);
		}
		if (span == 0 || span > size - at || head.key_size == 0 || head.key_size > LZI_KEY_MAX ||
		    head.died != 0)
			return lzi_error(LATZ_CORRUPT, "record at byte %llu of its extent is damaged",
			                 (unsigned long long)at);
		LZI_POINT("image.record");
		rc = fn(record, &head, arg);
		if (rc != LATZ_OK)
			return rc;
	}
	return LATZ_OK;
}

/* Deadlines are of this boot's clock from now on. They are not in the record's checksum. */
static int convert(struct lzi_record *record, const struct lzi_record *head, void *arg)
{
	struct lzi_store *store = arg;
	const struct lzi_image_note *note = store->image.note;

	lzi_space_brought(store, record, head);
	if (head->flags & LZI_RECORD_EXT) {
		*lzi_record_written(record) = LZI_WRITTEN_LOADED;
		lzi_record_ext(record)->expiry =
			lzi_image_deadline(lzi_record_ext(record)->expiry, note->to_mono_ms);
	}
	return LATZ_OK;
}

/* Under the `heap` mutex. */
static int fetch_extent(void *arg, uint64_t extent, uint8_t *to, uint64_t size)
{
	struct lzi_store *store = arg;
	uint64_t at;
	int rc = open_both(store);

	for (at = 0; at < size && rc == LATZ_OK; at += LZI_EXTENT) {
		rc = fetch_chunk(store, LZI_IMAGE_HEAP, extent + at / LZI_EXTENT, to + at, chunk_size(size, at));
		lzi_fetch_add_relaxed(&store->control.shared->image_beat, 1ull);
	}
	if (rc != LATZ_OK)
		return rc;
	rc = lzi_image_records(to, size, convert, store);
	return rc == LATZ_OK ? rc : lzi_error_prefix(rc, "image %s: extent %llu", store->image.note->path,
	                                             (unsigned long long)extent);
}

/* ---- Index ---- */

static int copy_index(struct lzi_store *store, int fd)
{
	uint8_t *buffer = malloc(LZI_EXTENT);
	uint64_t size = store->image.note->header.part[LZI_IMAGE_INDEX].size, at, n;
	int rc = buffer == NULL ? lzi_error(LATZ_NOMEM, "image") : LATZ_OK;

	for (at = 0; at < size && rc == LATZ_OK; at += n) {
		n = chunk_size(size, at);
		rc = fetch_chunk(store, LZI_IMAGE_INDEX, at / LZI_EXTENT, buffer, n);
		if (rc == LATZ_OK)
			rc = lzi_disk_write_at(fd, "index", buffer, n, at);
		lzi_fetch_add_relaxed(&store->control.shared->heartbeat, 1ull);
	}
	free(buffer);
	return rc;
}

/* Under the `index` mutex. The file gets its name when it is whole; dying before that leaves the index in the image. */
static int fetch_index(void *arg)
{
	struct lzi_store *store = arg;
	int dirfd, fd, rc = open_both(store);

	if (rc == LATZ_OK)
		rc = lzi_dir_open_at(store->poolfd, "index", &dirfd);
	if (rc != LATZ_OK)
		return rc;
	lzi_file_remove(dirfd, "data.tmp");
	rc = lzi_file_create(dirfd, "data.tmp", store->control.header->mode, &fd);
	if (rc == LATZ_OK) {
		rc = copy_index(store, fd);
		LZI_POINT("image.index_copied");
		lzi_file_close(fd);
		if (rc == LATZ_OK)
			rc = lzi_dir_rename(dirfd, "data.tmp", "data.mdb");
		if (rc != LATZ_OK)
			lzi_file_remove(dirfd, "data.tmp");
		LZI_POINT("image.index_renamed");
	}
	lzi_file_close(dirfd);
	if (rc == LATZ_CORRUPT) {
		/* The records tell the same. */
		lzi_log(LATZ_LOG_WARNING, "%s: the index is made anew: %s", store->name, lzi_error_text());
		lzi_store_release(&store->control.shared->index_rebuild, 1u);
		rc = LATZ_OK;
	}
	return rc;
}

/* ---- All of it ---- */

void lzi_image_attach(struct lzi_store *store)
{
	store->heap.fetch = fetch_extent;
	store->index.fetch = fetch_index;
	store->heap.fetch_arg = store->index.fetch_arg = store;
}

void lzi_image_part(struct lzi_store *store)
{
	lzi_file_drop(&store->image.fd);
	lzi_file_drop(&store->image.note_fd);
	free(store->image.note);
	store->image.note = NULL;
}

static int bring_some(struct lzi_store *store, uint64_t until_ns, int *ret_more)
{
	struct lzi_shared *shared = store->control.shared;
	uint64_t n = lzi_heap_count(&store->heap), i, e;
	int rc = LATZ_OK;

	if (lzi_load_acquire(&shared->image_index)) {
		rc = lzi_index_lock(&store->index);
		if (rc == LATZ_OK)
			lzi_index_unlock(&store->index);
	}
	if (rc == LATZ_OK)
		rc = lzi_heap_view(&store->heap);
	for (i = 0; i < n && rc == LATZ_OK && lzi_load_relaxed(&shared->image_left) > 0; i++) {
		e = (store->image.cursor + i) % n;
		if (lzi_heap_state(&store->heap, e) != LZI_EXTENT_IMAGE)
			continue;
		if (until_ns != 0 && lzi_clock_mono_ns() > until_ns) {
			*ret_more = 1;
			break;
		}
		rc = lzi_heap_bring(&store->heap, e);
		LZI_POINT("image.ahead");
	}
	store->image.cursor = n == 0 ? 0 : (store->image.cursor + i) % n;
	return rc;
}

void lzi_image_bring_ahead(struct lzi_store *store, uint64_t deadline_ns, int *ret_more)
{
	struct lzi_shared *shared = store->control.shared;
	uint64_t now;
	int rc;

	if (lzi_likely(lzi_load_relaxed(&shared->image_left) == 0 && lzi_load_relaxed(&shared->image_index) == 0))
		return;
	if (store->image.failed || getenv("LATZERO_NO_PREFETCH") != NULL)
		return;
	/* Half of the time: who touches what is not there yet waits for us. */
	now = lzi_clock_mono_ns();
	if (deadline_ns != 0)
		deadline_ns = deadline_ns > now ? now + (deadline_ns - now) / 2 : now;
	rc = bring_some(store, deadline_ns, ret_more);
	if (rc != LATZ_OK && rc != LATZ_TIMEOUT) {
		lzi_log(LATZ_LOG_WARNING, "%s: not brought in: %s", store->name, lzi_error_text());
		store->image.failed = rc != LATZ_NOSPC;
	}
	if (lzi_load_acquire(&shared->image_left) == 0 && lzi_load_acquire(&shared->image_index) == 0)
		lzi_file_remove(store->poolfd, NOTE);
}
