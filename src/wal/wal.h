/*
 * The write-ahead log's files: segments made ahead of need, frames appended, read back with the torn-tail rule. Owns
 * `wal-*.log` in a persist directory. Knows nothing of pools: entries go in and out as bytes (format/log.h).
 */
#ifndef LZI_WAL_WAL_H
#define LZI_WAL_WAL_H

#include "format/log.h"

/* The name of a segment's file: "wal-<number>.log", decimal, no zeros in front. */
#define LZI_WAL_NAME 40
void lzi_wal_name(char name[LZI_WAL_NAME], uint64_t segment);

/* LZI_SEGMENT_BYTES. Tests make it smaller, before there is a log: a multiple of LZI_LOG_BLOCK. */
extern uint64_t lzi_wal_segment_bytes;

/* Where the next frame goes. Lives in shared memory, under the `log` mutex; any process may be the next to append. */
struct lzi_wal_position {
	uint64_t segment; /* number of the segment being written; 0: none */
	uint64_t offset;  /* in it, of the next frame */
	uint64_t frame;   /* number of the next frame */
	uint64_t synced;  /* frames below are on disk */
	uint64_t bytes;   /* of frames since the last checkpoint */
};

/* A position is moved by storing where to, then all of it: who finds that its mover died moves it again. Beside the
 * position in shared memory. */
struct lzi_wal_move {
	struct lzi_wal_position next;
	uint64_t moving; /* 1: from when `next` is whole until the position is */
};
/* After the death of who held the mutex. */
void lzi_wal_mend(struct lzi_wal_move *move, struct lzi_wal_position *position);

/* A process's open end of the log. Not thread-safe: used under the `log` mutex, but for lzi_wal_prepare(). */
struct lzi_wal {
	int dirfd; /* persist directory; not owned */
	int fd;    /* of the segment `segment`, -1 if none is open */
	uint64_t segment;
	uint64_t size; /* of the segment file */
	uint8_t log_id[16];
	uint32_t log_tag;
	struct lzi_wal_move *move; /* NULL: the position is nobody else's */
};

void lzi_wal_init(struct lzi_wal *wal, int dirfd, const uint8_t log_id[16]);
void lzi_wal_close(struct lzi_wal *wal);

/* Begins segment `segment` (a new file, or the prepared one renamed; synced with its directory) and makes it the
 * position: everything appended from now on is in it or later ones. The one before, if there is one, is synced first:
 * position->synced follows. What may be there under the number (of somebody who died while beginning it) is replaced.
 * LATZ_INVALID unless it is higher than the position's. On failure the position is as before; but a failed sync
 * (LATZ_IO) is one of lzi_wal_sync() and leaves its doubts. Segments have consecutive numbers, and frames go on over
 * them; what was read back after a restart is continued in a new segment (position all 0 but for `frame`), never in the
 * last one, whose tail may be torn. */
int lzi_wal_begin(struct lzi_wal *wal, struct lzi_wal_position *position, uint64_t segment);
/* Appends a frame; rolls to the next segment when it does not fit. The header's payload_size, count, flush and
 * payload_crc are the caller's; the rest is filled in. The payload is gathered from `parts`. Not synced. The position
 * is moved last. Errors: LATZ_NOSPC, LATZ_IO (LATZ_CORRUPT: the position is none); then there is not one frame more:
 * the position is as before, or at the beginning of the next segment with the same frame to come, and trying again is
 * allowed, with other contents too. */
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
/* Removes segments with lower numbers (one becomes the prepared one), then syncs the directory. Not at the same time as
 * lzi_wal_begin() by another: under the `log` mutex, or else by who holds the log's directory alone. */
int lzi_wal_remove_below(int dirfd, uint64_t segment);
/* Lowest and highest segment there is; 0 if none. */
int lzi_wal_range(int dirfd, uint64_t *ret_first, uint64_t *ret_last);

/* One entry read back. Pointers are valid during the call. Non-zero ends the reading and is returned. */
struct lzi_wal_entry {
	const struct lzi_log_entry *head;
	const uint8_t *key, *value; /* value: not aligned to anything */
	uint64_t frame, flush;
	unsigned major; /* of its segment */
};
typedef int (*lzi_wal_entry_fn)(const struct lzi_wal_entry *entry, void *arg);

struct lzi_wal_read {
	int dirfd;
	const uint8_t *log_id;  /* NULL: any */
	uint64_t from;          /* first segment wanted; it must be there unless there is none at all. 0: the lowest */
	int salvage;            /* go on after damage, telling `lost` */
	lzi_wal_entry_fn entry; /* may be NULL: only look */
	void (*lost)(const char *what, void *arg); /* may be NULL */
	void *arg;
	/* Out. */
	uint64_t frames, entries, last_frame, last_segment;
	uint64_t torn_bytes;  /* cut at the end, as far as can be told: a recycled segment's old contents don't count */
	uint64_t next_frame;  /* number for the frame that continues the log (in segment last_segment + 1) */
	uint8_t found_id[16]; /* log id of the segments read */
};
/* Reads segments from `from` on, in order. Writes nothing. LATZ_OK also if the tail was torn; LATZ_CORRUPT with file
 * and offset when a frame is bad that a later whole frame, or the next segment's header, says had been synced, or when
 * a segment in between is missing; LATZ_VERSION. */
int lzi_wal_read(struct lzi_wal_read *read);

#endif
