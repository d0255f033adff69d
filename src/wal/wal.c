/*
 * The log's write side: segments made ahead of need, begun, appended to, synced, removed.
 *
 * A name wal-<n>.log only ever appears by a rename of a file whose header (and zeros) are on disk already, so a
 * segment without a good header is always damage. A file that is being made has a name of its own (*.tmp): who prepares
 * ahead of need does so without the log's lock.
 */
#include "config.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "base/point.h"
#include "os/os.h"
#include "wal/wal.h"
#include "wal/wal_int.h"

#define PREPARED "wal-prepared"
#define PREPARED_TMP "wal-prepared.tmp"
#define ZEROS (1u << 20) /* bytes written at once */
#define PARTS 64         /* more are put into an array of their own */

static const uint8_t no_bytes[LZI_LOG_BLOCK];

uint64_t lzi_wal_segment_bytes = LZI_SEGMENT_BYTES;

void lzi_wal_name(char name[LZI_WAL_NAME], uint64_t segment)
{
	snprintf(name, LZI_WAL_NAME, "wal-%llu.log", (unsigned long long)segment);
}

/* 0 if the name is not a segment's. */
static uint64_t number_of(const char *name)
{
	char same[LZI_WAL_NAME];
	uint64_t number;

	if (strncmp(name, "wal-", 4) != 0)
		return 0;
	number = strtoull(name + 4, NULL, 10);
	lzi_wal_name(same, number);
	return strcmp(same, name) == 0 ? number : 0;
}

void lzi_wal_init(struct lzi_wal *wal, int dirfd, const uint8_t log_id[16])
{
	memset(wal, 0, sizeof *wal);
	wal->dirfd = dirfd;
	wal->fd = -1;
	memcpy(wal->log_id, log_id, sizeof wal->log_id);
	wal->log_tag = lzi_crc32c(0, log_id, sizeof wal->log_id);
}

void lzi_wal_close(struct lzi_wal *wal)
{
	lzi_file_drop(&wal->fd); /* a child may be forked by another thread just now */
	wal->segment = wal->size = 0;
}

static void move_to(struct lzi_wal *wal, struct lzi_wal_position *position, const struct lzi_wal_position *next)
{
	if (wal->move != NULL) {
		wal->move->next = *next;
		lzi_store_release(&wal->move->moving, 1ull);
		lzi_fence_release();
	}
	LZI_POINT("wal.moving");
	lzi_store_relaxed(&position->offset, next->offset);
	LZI_POINT("wal.moving");
	lzi_store_relaxed(&position->segment, next->segment);
	LZI_POINT("wal.moving");
	lzi_store_relaxed(&position->frame, next->frame);
	LZI_POINT("wal.moving");
	lzi_store_relaxed(&position->synced, next->synced);
	lzi_store_relaxed(&position->bytes, next->bytes);
	if (wal->move != NULL)
		lzi_store_release(&wal->move->moving, 0ull);
	LZI_POINT("wal.moved");
}

void lzi_wal_mend(struct lzi_wal_move *move, struct lzi_wal_position *position)
{
	if (lzi_load_acquire(&move->moving) == 0)
		return;
	*position = move->next;
	lzi_store_release(&move->moving, 0ull);
}

/* The segment of the position is open in this process, which perhaps another one began. */
static int follow(struct lzi_wal *wal, const struct lzi_wal_position *position)
{
	char name[LZI_WAL_NAME];
	uint64_t size;
	int fd, rc;

	if (position->segment == 0 || position->offset < LZI_LOG_BLOCK || position->offset % LZI_LOG_BLOCK != 0 ||
	    position->offset > INT64_MAX || position->synced > position->frame)
		return lzi_error(LATZ_CORRUPT, "the log's position makes no sense");
	if (wal->fd >= 0 && wal->segment == position->segment)
		return LATZ_OK;
	lzi_wal_close(wal);
	lzi_wal_name(name, position->segment);
	rc = lzi_disk_open(wal->dirfd, name, 1, &fd);
	if (rc == LATZ_NOTFOUND)
		return lzi_error(LATZ_IO, "%s is gone", name);
	if (rc != LATZ_OK)
		return rc;
	rc = lzi_file_size(fd, &size);
	if (rc != LATZ_OK) {
		lzi_file_close(fd);
		return lzi_error_prefix(rc, "%s", name);
	}
	wal->fd = fd;
	wal->segment = position->segment;
	wal->size = size;
	return LATZ_OK;
}

/* Zeros up to `size`, then all of it on disk. Overwriting zeros later costs the file system no commit of its own. */
static int fill(int fd, const char *name, uint64_t from, uint64_t size)
{
	void *zeros = calloc(1, ZEROS);
	int rc = zeros == NULL ? lzi_error(LATZ_NOMEM, "make %s", name) : LATZ_OK;

	while (rc == LATZ_OK && from < size) {
		uint64_t n = size - from < ZEROS ? size - from : ZEROS;

		rc = lzi_disk_write_at(fd, name, zeros, n, from);
		from += n;
	}
	free(zeros);
	return rc == LATZ_OK ? lzi_disk_sync_all(fd, name) : rc;
}

int lzi_wal_prepare(int dirfd)
{
	int fd, rc = lzi_disk_open(dirfd, PREPARED, 0, &fd);

	if (rc != LATZ_NOTFOUND) {
		if (rc == LATZ_OK)
			lzi_file_close(fd);
		return rc;
	}
	rc = lzi_disk_create(dirfd, PREPARED_TMP, &fd);
	if (rc != LATZ_OK)
		return rc;
	rc = fill(fd, PREPARED_TMP, 0, lzi_wal_segment_bytes);
	lzi_file_close(fd);
	LZI_POINT("wal.prepared");
	if (rc == LATZ_OK)
		rc = lzi_disk_rename(dirfd, PREPARED_TMP, PREPARED);
	if (rc == LATZ_OK)
		return lzi_disk_sync_dir(dirfd);
	(void)!lzi_os.unlinkat(dirfd, PREPARED_TMP, 0); /* the error to tell of is the first */
	return rc;
}

/* Takes the prepared segment under the name `tmp`. LATZ_NOTFOUND if there is none that will do. */
static int take_prepared(int dirfd, const char *tmp, uint64_t need, int *ret_fd, uint64_t *ret_size)
{
	int fd, rc;

	if (need > lzi_wal_segment_bytes)
		return LATZ_NOTFOUND;
	/* Under its old name, a new one might be renamed over it while we write the header. */
	rc = lzi_disk_rename(dirfd, PREPARED, tmp);
	if (rc != LATZ_OK)
		return rc;
	rc = lzi_disk_open(dirfd, tmp, 1, &fd);
	if (rc != LATZ_OK)
		return rc;
	rc = lzi_file_size(fd, ret_size);
	if (rc == LATZ_OK && *ret_size != lzi_wal_segment_bytes)
		rc = LATZ_NOTFOUND;
	if (rc != LATZ_OK) {
		lzi_file_close(fd);
		return rc;
	}
	*ret_fd = fd;
	return LATZ_OK;
}

/* A segment's file with its header, on disk, under the name `tmp`. */
static int make_segment(int dirfd, const char *tmp, const struct lzi_segment_header *header, uint64_t need, int *ret_fd,
                        uint64_t *ret_size)
{
	uint8_t block[LZI_LOG_BLOCK] = { 0 };
	uint64_t size = lzi_wal_segment_bytes;
	int fd, rc = take_prepared(dirfd, tmp, need, &fd, &size), taken = rc == LATZ_OK;

	if (!taken) {
		if (rc != LATZ_NOTFOUND)
			return rc;
		rc = lzi_disk_create(dirfd, tmp, &fd);
		if (rc != LATZ_OK)
			return rc;
		size = need > lzi_wal_segment_bytes ? need : lzi_wal_segment_bytes;
	}
	memcpy(block, header, sizeof *header);
	/* One for a long frame is written once and synced once: zeros would only double the work. */
	if (size > lzi_wal_segment_bytes)
		rc = lzi_disk_allocate(fd, tmp, size);
	if (rc == LATZ_OK)
		rc = lzi_disk_write_at(fd, tmp, block, sizeof block, 0);
	if (rc == LATZ_OK && (taken || size > lzi_wal_segment_bytes))
		rc = lzi_disk_sync_all(fd, tmp);
	else if (rc == LATZ_OK)
		rc = fill(fd, tmp, sizeof block, size);
	if (rc != LATZ_OK) {
		lzi_file_close(fd);
		return rc;
	}
	*ret_fd = fd;
	*ret_size = size;
	return LATZ_OK;
}

/* What was read back after a restart may be in the page cache only, and the header to be written says that all before
 * it is on disk. Segments further back were synced when the one after them was begun. */
static int sync_before(int dirfd, uint64_t segment)
{
	char name[LZI_WAL_NAME];
	int fd, rc;

	lzi_wal_name(name, segment - 1);
	rc = lzi_disk_open(dirfd, name, 0, &fd);
	if (rc != LATZ_OK)
		return rc == LATZ_NOTFOUND ? LATZ_OK : rc;
	rc = lzi_disk_sync(fd, name);
	lzi_file_close(fd);
	return rc;
}

static int sync_present(struct lzi_wal *wal, struct lzi_wal_position *position)
{
	uint64_t frame = position->frame;
	char name[LZI_WAL_NAME];
	int rc;

	if (position->segment == 0 || position->synced == frame)
		return LATZ_OK;
	rc = follow(wal, position);
	if (rc != LATZ_OK)
		return rc;
	lzi_wal_name(name, wal->segment);
	rc = lzi_disk_sync(wal->fd, name);
	if (rc == LATZ_OK)
		position->synced = frame;
	return rc;
}

/* lzi_wal_begin() for a segment that has room for `need` bytes. */
static int begin(struct lzi_wal *wal, struct lzi_wal_position *position, uint64_t segment, uint64_t need)
{
	char tmp[LZI_WAL_NAME + 8], name[LZI_WAL_NAME];
	struct lzi_segment_header header;
	struct lzi_wal_position next;
	uint64_t size;
	int fd, rc;

	if (segment <= position->segment)
		return lzi_error(LATZ_INVALID, "segment %llu after %llu", (unsigned long long)segment,
		                 (unsigned long long)position->segment);
	rc = position->segment == 0 ? sync_before(wal->dirfd, segment) : sync_present(wal, position);
	if (rc != LATZ_OK)
		return rc;
	lzi_wal_name(name, segment);
	snprintf(tmp, sizeof tmp, "%s.tmp", name);
	lzi_segment_header_make(&header, wal->log_id, segment, position->frame, lzi_clock_wall_ms());
	rc = make_segment(wal->dirfd, tmp, &header, need, &fd, &size);
	if (rc != LATZ_OK) {
		(void)!lzi_os.unlinkat(wal->dirfd, tmp, 0);
		return rc;
	}
	LZI_POINT("wal.segment_made");
	rc = lzi_disk_rename(wal->dirfd, tmp, name);
	if (rc != LATZ_OK)
		(void)!lzi_os.unlinkat(wal->dirfd, tmp, 0);
	else
		rc = lzi_disk_sync_dir(wal->dirfd);
	if (rc != LATZ_OK) {
		lzi_file_close(fd);
		return rc == LATZ_NOTFOUND ? LATZ_IO : rc;
	}
	LZI_POINT("wal.segment_named");
	lzi_wal_close(wal);
	wal->fd = fd;
	wal->segment = segment;
	wal->size = size;
	next = *position;
	next.offset = LZI_LOG_BLOCK;
	next.synced = next.frame;
	next.segment = segment;
	move_to(wal, position, &next);
	return LATZ_OK;
}

int lzi_wal_begin(struct lzi_wal *wal, struct lzi_wal_position *position, uint64_t segment)
{
	return begin(wal, position, segment, 0);
}

/* Header, parts and padding in one call to the kernel where that will do. */
static int write_frame(struct lzi_wal *wal, uint64_t offset, struct lzi_frame_header *header,
                       const struct lzi_wal_part *parts, size_t count)
{
	struct iovec few[PARTS + 2], *iov = few;
	uint64_t size = 0, pad;
	char name[LZI_WAL_NAME];
	size_t i;
	int rc;

	lzi_wal_name(name, wal->segment);
	if (count > PARTS)
		iov = malloc((count + 2) * sizeof *iov);
	if (iov == NULL)
		return lzi_error(LATZ_NOMEM, "write %s", name);
	iov[0] = (struct iovec){ header, sizeof *header };
	for (i = 0; i < count; i++) {
		iov[i + 1] = (struct iovec){ (void *)(uintptr_t)parts[i].data, parts[i].size };
		size += parts[i].size;
	}
	pad = lzi_frame_span(size) - sizeof *header - size;
	iov[count + 1] = (struct iovec){ (void *)(uintptr_t)no_bytes, pad };
	if (size != header->payload_size)
		rc = lzi_error(LATZ_INVALID, "the frame's parts are %llu bytes, not %llu", (unsigned long long)size,
		               (unsigned long long)header->payload_size);
	else
		rc = lzi_disk_writev_at(wal->fd, name, iov, count + 2, offset);
	if (iov != few)
		free(iov);
	return rc;
}

int lzi_wal_append(struct lzi_wal *wal, struct lzi_wal_position *position, struct lzi_frame_header *header,
                   const struct lzi_wal_part *parts, size_t count)
{
	struct lzi_wal_position next;
	uint64_t span;
	int rc = follow(wal, position);

	if (rc != LATZ_OK)
		return rc;
	if (header->payload_size > LZI_FRAME_MAX)
		return lzi_error(LATZ_TOOBIG, "a frame of %llu bytes", (unsigned long long)header->payload_size);
	span = lzi_frame_span(header->payload_size);
	if (position->offset > wal->size || span > wal->size - position->offset) {
		rc = begin(wal, position, position->segment + 1, LZI_LOG_BLOCK + span);
		if (rc != LATZ_OK)
			return rc;
	}
	header->frame = position->frame;
	header->segment = position->segment;
	header->synced = position->synced;
	header->log_tag = wal->log_tag;
	lzi_frame_header_seal(header);
	rc = write_frame(wal, position->offset, header, parts, count);
	if (rc != LATZ_OK)
		return rc;
	LZI_POINT("wal.frame_written");
	next = *position;
	next.offset += span;
	next.frame++;
	next.bytes += span;
	move_to(wal, position, &next);
	return LATZ_OK;
}

int lzi_wal_sync(struct lzi_wal *wal, struct lzi_wal_position *position)
{
	return sync_present(wal, position);
}

/* One file of the right size is worth keeping: its blocks are written already. What it holds says which segment's it
 * is, so nobody takes it for the next one's. */
static int recycle(int dirfd, const char *name)
{
	struct stat st;
	int fd, rc;

	if (lzi_disk_open(dirfd, PREPARED, 0, &fd) == LATZ_OK) {
		lzi_file_close(fd);
		return LATZ_EXISTS;
	}
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode) || st.st_nlink != 1 ||
	    (uint64_t)st.st_size != lzi_wal_segment_bytes)
		return LATZ_EXISTS;
	rc = lzi_disk_rename(dirfd, name, PREPARED);
	return rc;
}

int lzi_wal_remove_below(int dirfd, uint64_t segment)
{
	char **names;
	size_t count, i;
	int rc = lzi_dir_read(dirfd, &names, &count);

	if (rc != LATZ_OK)
		return rc;
	for (i = 0; i < count && rc == LATZ_OK; i++) {
		uint64_t number = number_of(names[i]);

		if (number == 0 || number >= segment)
			continue;
		LZI_POINT("wal.remove");
		if (recycle(dirfd, names[i]) != LATZ_OK)
			rc = lzi_disk_remove(dirfd, names[i]);
	}
	lzi_dir_free(names, count);
	return rc == LATZ_OK ? lzi_disk_sync_dir(dirfd) : rc;
}

static int compare_numbers(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int lzi_wal_list(int dirfd, uint64_t **ret_numbers, size_t *ret_count)
{
	uint64_t *numbers;
	char **names;
	size_t count, i, n = 0;
	int rc = lzi_dir_read(dirfd, &names, &count);

	if (rc != LATZ_OK)
		return rc;
	numbers = malloc((count + 1) * sizeof *numbers);
	for (i = 0; i < count && numbers != NULL; i++) {
		numbers[n] = number_of(names[i]);
		n += numbers[n] != 0;
	}
	lzi_dir_free(names, count);
	if (numbers == NULL)
		return lzi_error(LATZ_NOMEM, "list the log's segments");
	qsort(numbers, n, sizeof *numbers, compare_numbers);
	*ret_numbers = numbers;
	*ret_count = n;
	return LATZ_OK;
}

int lzi_wal_range(int dirfd, uint64_t *ret_first, uint64_t *ret_last)
{
	uint64_t *numbers;
	size_t count;
	int rc = lzi_wal_list(dirfd, &numbers, &count);

	if (rc != LATZ_OK)
		return rc;
	*ret_first = count > 0 ? numbers[0] : 0;
	*ret_last = count > 0 ? numbers[count - 1] : 0;
	free(numbers);
	return LATZ_OK;
}
