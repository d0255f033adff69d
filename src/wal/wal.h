/*
 * The write-ahead log's files: segments made ahead of need, frames appended, read back with the torn-tail rule. Owns
 * `wal-*.log` in a persist directory. Knows nothing of pools: entries go in and out as bytes (format/log.h).
 */
#ifndef LZI_WAL_WAL_H
#define LZI_WAL_WAL_H

#include "format/log.h"

/* Where the next frame goes. Lives in shared memory, under the `log` mutex; any process may be the next to append. */
struct lzi_wal_position {
	uint64_t segment; /* number of the segment being written; 0: none */
	uint64_t offset;  /* in it, of the next frame */
	uint64_t frame;   /* number of the next frame */
	uint64_t synced;  /* frames below are on disk */
	uint64_t bytes;   /* of frames since the last checkpoint */
};

/* A process's open end of the log. Not thread-safe: used under the `log` mutex, but for lzi_wal_prepare(). */
struct lzi_wal {
	int dirfd; /* persist directory; not owned */
	int fd;    /* of the segment `segment`, -1 if none is open */
	uint64_t segment;
	uint64_t size; /* of the segment file */
	uint8_t log_id[16];
	uint32_t log_tag;
};

void lzi_wal_init(struct lzi_wal *wal, int dirfd, const uint8_t log_id[16]);
void lzi_wal_close(struct lzi_wal *wal);

/* Begins segment `segment` (a new file, or the prepared one renamed; synced with its directory) and makes it the
 * position: everything appended from now on is in it or later ones. The one before, if it is open, is synced first. */
int lzi_wal_begin(struct lzi_wal *wal, struct lzi_wal_position *position, uint64_t segment);
/* Appends a frame; rolls to the next segment when it does not fit. The header's payload_size, count, flush and
 * payload_crc are the caller's; the rest is filled in. The payload is gathered from `parts`. Not synced. The position
 * is moved last. Errors: LATZ_NOSPC, LATZ_IO; then the position is as before, and trying again is allowed. */
struct lzi_wal_part {
	const void *data;
	uint64_t size;
};
int lzi_wal_append(struct lzi_wal *wal, struct lzi_wal_position *position, struct lzi_frame_header *header,
                   const struct lzi_wal_part *parts, size_t count);
/* Everything appended is on disk; position->synced follows. After an error nothing is known of the segment any more. */
int lzi_wal_sync(struct lzi_wal *wal, struct lzi_wal_position *position);
/* Makes the next segment ahead of need: `wal-prepared.tmp`, full of zeros, synced, renamed to `wal-prepared`. May be
 * called without any lock by one process at a time; does nothing if it is there. Takes long. */
int lzi_wal_prepare(int dirfd);
/* Removes segments with lower numbers (one becomes the prepared one), then syncs the directory. */
int lzi_wal_remove_below(int dirfd, uint64_t segment);
/* Lowest and highest segment there is; 0 if none. */
int lzi_wal_range(int dirfd, uint64_t *ret_first, uint64_t *ret_last);

/* One entry read back. Pointers are valid during the call. Non-zero ends the reading and is returned. */
struct lzi_wal_entry {
	const struct lzi_log_entry *head;
	const uint8_t *key, *value;
	uint64_t frame, flush;
};
typedef int (*lzi_wal_entry_fn)(const struct lzi_wal_entry *entry, void *arg);

struct lzi_wal_read {
	int dirfd;
	const uint8_t *log_id;  /* NULL: any */
	uint64_t from;          /* first segment wanted; it must be there unless there is none at all */
	int salvage;            /* go on after damage, telling `lost` */
	lzi_wal_entry_fn entry; /* may be NULL: only look */
	void (*lost)(const char *what, void *arg); /* may be NULL */
	void *arg;
	/* Out. */
	uint64_t frames, entries, last_frame, last_segment;
	uint64_t torn_bytes; /* cut at the end */
};
/* Reads segments from `from` on, in order. Writes nothing. LATZ_OK also if the tail was torn; LATZ_CORRUPT with file and
 * offset when a frame is bad that a later whole frame, in this or a later segment, says had been synced, or when a
 * segment in between is missing; LATZ_VERSION. */
int lzi_wal_read(struct lzi_wal_read *read);

#endif
