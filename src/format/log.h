/*
 * The write-ahead log on disk: segments, frames, entries; and the log's state in shared memory. No I/O.
 *
 * All integers little-endian. doc/format.md lists the same fields in the same order; doc/durability.md says why.
 */
#ifndef LZI_FORMAT_LOG_H
#define LZI_FORMAT_LOG_H

#include <stddef.h>
#include <stdint.h>

#include "base/mutex.h"

/* 1: without transactions, and keys that begin with ff are not escaped (format/space.h) */
#define LZI_LOG_MAJOR 2
#define LZI_LOG_MAJOR_OLDEST 1 /* that is read: at most LZI_LOG_MAJOR - 1 */
#define LZI_LOG_MINOR 0
#define LZI_LOG_MAGIC "lz-wal\r\n"
#define LZI_LOG_BLOCK 4096u        /* frames begin at multiples of it */
#define LZI_FRAME_NUMBER_MAX (1ull << 62) /* no log gets there: a higher one is damage */
#define LZI_FRAME_MAGIC 0x4d465a4cu /* "LZFM" */
#define LZI_FLUSH_SESSION 40u
#define LZI_FRAME_PAYLOAD (1u << 20) /* a frame is closed when it holds so much; one entry may be longer */
#define LZI_FRAME_MAX (1ull << 46)  /* no frame's payload is longer: sums of sizes and offsets don't overflow */
#define LZI_SEGMENT_BYTES (16ull << 20) /* a frame that is longer gets a segment of its size */

/* First block of a segment; the rest of the block is 0. */
struct lzi_segment_header {
	uint8_t magic[8];     /* 0 */
	uint16_t major;       /* 8: others than LZI_LOG_MAJOR_OLDEST to LZI_LOG_MAJOR are refused */
	uint16_t minor;       /* 10 */
	uint32_t header_size; /* 12: LZI_LOG_BLOCK */
	uint8_t log_id[16];   /* 16: of the durable pool; the same in its snapshots */
	uint64_t segment;     /* 32: as in the name */
	uint64_t first_frame; /* 40: number of the first frame in it */
	int64_t wall_ms;      /* 48: when it was begun */
	uint32_t reserved;    /* 56 */
	uint32_t checksum;    /* 60: crc32c of the 60 bytes before it */
};
_Static_assert(sizeof(struct lzi_segment_header) == 64, "layout");

/* What one flush wrote, or a part of it. Padded with zeros to a multiple of LZI_LOG_BLOCK. */
struct lzi_frame_header {
	uint32_t magic;        /* 0 */
	uint32_t count;        /* 4: entries */
	uint64_t frame;        /* 8: counts up by one over all segments */
	uint64_t segment;      /* 16: so that a recycled segment's old frames are none of this one's */
	uint64_t synced;       /* 24: every frame below this number was on disk when this one was written */
	uint64_t payload_size; /* 32 */
	uint64_t flush;        /* 40: grows with every flush that is whole; restarts from bit LZI_FLUSH_SESSION on */
	uint32_t log_tag;      /* 48: crc32c of log_id */
	uint32_t payload_crc;  /* 52 */
	uint32_t reserved;     /* 56 */
	uint32_t checksum;     /* 60: crc32c of the 60 bytes before it */
};
_Static_assert(sizeof(struct lzi_frame_header) == 64, "layout");

enum lzi_log_op {
	LZI_LOG_SET = 1,
	LZI_LOG_DELETE = 2, /* no value */
	LZI_LOG_TOUCH = 3,  /* value: 8 bytes, when (CLOCK_MONOTONIC ns of that boot): the later of two holds */
	/* Of a transaction, whose seq they have: they count only when all of them are there. */
	LZI_LOG_MEMBER_SET = 4,
	LZI_LOG_MEMBER_DELETE = 5,
	LZI_LOG_MEMBER_SET_PACKED = 6,
	/* Key: one byte, 0; value: struct lzi_note_group (format/heap.h): how many there are. */
	LZI_LOG_GROUP = 7,
	LZI_LOG_MEMBER_SET_SEALED = 8,
	LZI_LOG_SET_PACKED = 16, /* as SET, the value compressed (format/packed.h); its dictionary is beside the log */
	LZI_LOG_SET_SEALED = 17  /* as SET, the value encrypted (format/sealed.h) */
};

static inline int lzi_log_op_of_group(unsigned op)
{
	return op >= LZI_LOG_MEMBER_SET && op <= LZI_LOG_MEMBER_SET_SEALED;
}

/* Then key, value, and zeros up to a multiple of 8. */
struct lzi_log_entry {
	uint32_t value_size;    /* 0 */
	uint16_t key_size;      /* 4 */
	uint8_t op;             /* 6: enum lzi_log_op */
	uint8_t type;           /* 7: latz_type */
	uint64_t seq;           /* 8: version; of a delete its own, of a touch the version it touched */
	int64_t deadline_wall_ms; /* 16: CLOCK_REALTIME, 0 never */
};
_Static_assert(sizeof(struct lzi_log_entry) == 24, "layout");

/* Bytes of a frame in its file. */
static inline uint64_t lzi_frame_span(uint64_t payload_size)
{
	return (sizeof(struct lzi_frame_header) + payload_size + LZI_LOG_BLOCK - 1) & ~(uint64_t)(LZI_LOG_BLOCK - 1);
}

static inline uint64_t lzi_log_entry_span(uint64_t key_size, uint64_t value_size)
{
	return (sizeof(struct lzi_log_entry) + key_size + value_size + 7) & ~7ull;
}

void lzi_segment_header_make(struct lzi_segment_header *header, const uint8_t log_id[16], uint64_t segment,
                             uint64_t first_frame, int64_t wall_ms);
/* LATZ_OK, LATZ_CORRUPT, LATZ_VERSION, with detail. log_id NULL: any. segment: as in the file's name. */
int lzi_segment_header_validate(const struct lzi_segment_header *header, const uint8_t *log_id, uint64_t segment);
/* Fills in all but payload_crc and payload_size, count; then seal. */
void lzi_frame_header_seal(struct lzi_frame_header *header);
/* 1 if this is a frame header of that log and segment, whole. The payload's checksum is looked at elsewhere. */
int lzi_frame_header_valid(const struct lzi_frame_header *header, uint32_t log_tag, uint64_t segment);
/* Checks one entry at `at` of a payload: sizes within, op, type, key size. LATZ_OK or LATZ_CORRUPT; *ret_next. */
int lzi_log_entry_check(const uint8_t *payload, uint64_t size, uint64_t at, uint64_t *ret_next);

#endif
