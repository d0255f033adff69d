/*
 * Private to store/: images. image_make.c makes them, image_restore.c makes pools of them and checks them, image.c
 * brings in what a restored pool has not got yet.
 */
#ifndef LZI_STORE_IMAGE_H
#define LZI_STORE_IMAGE_H

#include "format/image.h"
#include "store/lifetime.h"
#include "store/snapshot.h"

/* Whether an open file begins as an image does. */
int lzi_image_is(int fd);
/* Header, and that the file is as long as it says. */
int lzi_image_peek(int fd, const char *path, struct lzi_image_header *ret_header);
/* A chunk, sum->length bytes of it, checked. */
int lzi_image_read(int fd, const char *path, const struct lzi_image_header *header, enum lzi_image_part part,
                   uint64_t index, const struct lzi_image_sum *sum, void *to);
/* Goes over an extent's, or a run's, records, which all must be alive. head: the record's first LZI_RECORD_HEAD bytes
 * as they were when it was found to be within its extent; what stands there now others may have written. */
typedef int (*lzi_image_record_fn)(struct lzi_record *record, const struct lzi_record *head, void *arg);
int lzi_image_records(uint8_t *records, uint64_t size, lzi_image_record_fn fn, void *arg);
/* A deadline of an image as one of this boot's clock. */
int64_t lzi_image_deadline(int64_t wall_ms, int64_t to_mono_ms);

/* All keys as of now into dirfd/name, by way of name.tmp and a directory beside it. Nothing is left on failure. */
int lzi_image_make(struct lzi_call *call, int dirfd, const char *name, const struct lzi_snapshot_job *job);

/* An image being restored from. */
struct lzi_image {
	int fd;
	const char *path;
	struct lzi_image_header header;
	struct lzi_image_sum *sums;
	struct lzi_image_extent *extents;
};

/* Reads and checks what a restore needs at once. */
int lzi_image_open(struct lzi_image *image, int fd, const char *path);
void lzi_image_close(struct lzi_image *image);
/* The files of a pool that is to have what is in the image, and its counts. */
int lzi_image_files(const struct lzi_image *image, struct lzi_opened *opened, unsigned mode);
/* A pool with these files knows what the policy of the one it was made of did, if it can use that. */
void lzi_image_adopt(const struct lzi_image *image, struct lzi_call *call);
/* Everything in the image is as its maker wrote it, as far as checksums tell. fn, which may be NULL, is given each
 * record that is whole, and where it stands in the file; what it returns ends it unless it is LATZ_OK. */
typedef int (*lzi_image_look_fn)(const struct lzi_record *record, uint64_t offset, void *arg);
int lzi_image_verify(const struct lzi_image *image, lzi_image_look_fn fn, void *arg);
void lzi_image_info(const struct lzi_image_header *header, latz_snapshot_info *info);

#endif
