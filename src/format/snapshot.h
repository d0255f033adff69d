/*
 * A snapshot's bytes: header, blocks of entries, footer. Parsing and making of each, no I/O, no memory of its own.
 *
 *   header   128 bytes
 *   block    48 bytes of header, then its stored payload; numbered from 0
 *   ...
 *   footer   72 bytes, the last of the file
 *
 * All integers are little-endian, whatever the machine. To change the layout: raise LZI_SNAP_MINOR when old readers may
 * pass over what is new (it lies in reserved bytes), LZI_SNAP_MAJOR when not, and keep a reader for major - 1. The
 * header's magic, major, minor, size and checksum stay where they are in every major. doc/format.md lists the same
 * fields in the same order.
 */
#ifndef LZI_FORMAT_SNAPSHOT_H
#define LZI_FORMAT_SNAPSHOT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "format/heap.h"

#define LZI_SNAP_MAJOR 1
#define LZI_SNAP_MAJOR_OLDEST 1 /* that is read: at most LZI_SNAP_MAJOR - 1, once there is one before */
#define LZI_SNAP_MINOR 0
#define LZI_SNAP_MAGIC "lz-snp\r\n"
#define LZI_SNAP_END_MAGIC "\r\nlz-end"
#define LZI_SNAP_BLOCK_MAGIC 0x4b425a4cu  /* "LZBK" */
#define LZI_SNAP_FOOTER_MAGIC 0x54465a4cu /* "LZFT" */

#define LZI_SNAP_HEADER_SIZE 128u
#define LZI_SNAP_BLOCK_SIZE 48u
#define LZI_SNAP_FOOTER_SIZE 72u

/* Raw bytes of a block that holds more than one entry. Large enough for zstd to find repetitions, small enough that a
 * block of each thread stays in its caches. */
#define LZI_SNAP_RAW_MAX (256u << 10)
/* A block with more raw bytes is not compressed: it goes to the file straight from the value, in no memory. */
#define LZI_SNAP_ZSTD_MAX (4u << 20)
/* Bytes of an entry before its key, at most: flags, type, 4 varints, deadline. */
#define LZI_SNAP_ENTRY_HEAD_MAX (2 + 3 + 3 + 5 + 10 + 8)
#define LZI_SNAP_ENTRY_MAX (LZI_SNAP_ENTRY_HEAD_MAX + (uint64_t)LZI_KEY_MAX + LZI_VALUE_MAX)

/* For level 0. On half-compressible data as small as with 1 or -1, and faster than that by half. */
#define LZI_SNAP_LEVEL_DEFAULT (-7)

enum lzi_snap_codec {
	LZI_SNAP_RAW = 0,
	LZI_SNAP_ZSTD = 1, /* one frame that holds its content's size */
	LZI_SNAP_DICT = 2, /* no entries: a dictionary for compressed values behind its header (format/packed.h) */
	/* No entries, nothing that a reader must know: what the pool's policy knew, behind its header
	 * (format/policy_state.h); or struct lzi_snap_keys, which older readers take for a state they can't use. By its
	 * first 8 bytes it is known. */
	LZI_SNAP_POLICY = 3
};

/* A copy of the record of a locked pool's keys, which is an entry, and stands behind most of what can't be opened
 * without it: the first block, for whose stream is cut, or damaged where the record is. As of the same moment. */
#define LZI_SNAP_KEYS_MAGIC "lz-kcpy\n"
#define LZI_SNAP_KEYS_HEAD 16u
struct lzi_snap_keys {
	uint64_t seq; /* 8: the record's version */
	const void *record; /* 16 */
	uint64_t size;
};

enum {
	/* Entry flags; other bits: 0. */
	LZI_SNAP_DEADLINE = 1, /* a deadline follows */
	LZI_SNAP_SEALED = 2    /* the value is encrypted (format/sealed.h) */
};

enum {
	LZI_SNAP_HAS_DICTS = 1, /* there are blocks of codec LZI_SNAP_DICT, before all others */
	LZI_SNAP_HAS_POLICY = 2, /* there is a block of codec LZI_SNAP_POLICY, before all that have entries */
	LZI_SNAP_HAS_SEALED = 16, /* there are entries with LZI_SNAP_SEALED */
	LZI_SNAP_HAS_COPY = 1, /* compatible: the first block is a struct lzi_snap_keys */
	LZI_SNAP_ESCAPED = 8 /* keys that begin with ff are as in format/space.h; without it they are not escaped */
};

struct lzi_snap_header {
	uint16_t major;         /* 8 */
	uint16_t minor;         /* 10 */
	uint8_t log_id[16];     /* 16 */
	uint64_t seq;           /* 32 */
	uint64_t touched_ns;    /* 40 */
	uint64_t first_segment; /* 48 */
	int64_t wall_ms;        /* 56 */
	int64_t ttl_ms;         /* 64 */
	uint32_t compatible;    /* 72: LZI_SNAP_HAS_COPY; unknown bits are ignored */
	uint32_t incompatible;  /* 76: LZI_SNAP_HAS_*; unknown bits are LATZ_VERSION */
	uint32_t tag;           /* 124: the checksum; blocks and footer repeat it, so that they are of this snapshot */
};

struct lzi_snap_block {
	uint32_t tag;         /* 4 */
	uint64_t number;      /* 8 */
	uint64_t raw_size;    /* 16 */
	uint64_t stored_size; /* 24 */
	uint32_t count;       /* 32: entries */
	uint8_t codec;        /* 36 */
	uint32_t payload_crc; /* 40: of the stored bytes */
};

struct lzi_snap_footer {
	uint32_t tag;                     /* 4 */
	uint64_t keys, bytes;             /* 8, 16 */
	uint64_t blocks;                  /* 24 */
	uint64_t file_bytes;              /* 32: this footer included */
	uint64_t digest_low, digest_high; /* 40, 48: XXH3, 128 bits, of all bytes before the footer */
	uint32_t book; /* 56: of the keys, those that are the pool's own (format/space.h). 0 from older writers */
};

/* Fills in major, minor and tag. */
void lzi_snap_header_make(struct lzi_snap_header *header, uint8_t bytes[LZI_SNAP_HEADER_SIZE]);
/* LATZ_OK, LATZ_CORRUPT or LATZ_VERSION, with detail. */
int lzi_snap_header_parse(const uint8_t bytes[LZI_SNAP_HEADER_SIZE], struct lzi_snap_header *ret_header);

/* Its 16 bytes before the record. */
void lzi_snap_keys_make(uint64_t seq, uint8_t bytes[LZI_SNAP_KEYS_HEAD]);
/* Of a block's bytes. 0: it is something else. */
int lzi_snap_keys_parse(const void *bytes, uint64_t size, struct lzi_snap_keys *ret_keys);

void lzi_snap_block_make(const struct lzi_snap_block *block, uint8_t bytes[LZI_SNAP_BLOCK_SIZE]);
/* LATZ_OK or LATZ_CORRUPT, with detail. tag NULL: any. Sizes are within bounds afterwards; the number is not looked at.
 */
int lzi_snap_block_parse(const uint8_t bytes[LZI_SNAP_BLOCK_SIZE], const uint32_t *tag,
                         struct lzi_snap_block *ret_block);

void lzi_snap_footer_make(const struct lzi_snap_footer *footer, uint8_t bytes[LZI_SNAP_FOOTER_SIZE]);
int lzi_snap_footer_parse(const uint8_t bytes[LZI_SNAP_FOOTER_SIZE], const uint32_t *tag,
                          struct lzi_snap_footer *ret_footer);

/* ---- Entries ----------------------------------------------------------------------------------------------------- */

/* flags (1), type (1), varints of: bytes of the key shared with the previous key of the block, bytes of the key that
 * follow, value size, seq; with LZI_SNAP_DEADLINE the deadline (8); the key's rest; the value. A varint has 7 bits a
 * byte, lowest first, the high bit set in all but the last; none is longer than needed. */
struct lzi_snap_entry_head {
	uint8_t flags, type;
	uint32_t shared, rest;
	uint32_t value_size;
	uint64_t seq;
	int64_t deadline; /* CLOCK_REALTIME ms; 0 without the flag, and only then */
};

/* Returns the bytes written, at most LZI_SNAP_ENTRY_HEAD_MAX. */
size_t lzi_snap_entry_make(const struct lzi_snap_entry_head *head, uint8_t *to);

/* Goes over a block's raw bytes. `key` holds the whole key of the entry last read; its value lies in the payload. */
struct lzi_snap_cursor {
	const uint8_t *at, *end;
	uint32_t left; /* entries not read yet */
	uint32_t key_size;
	struct lzi_snap_entry_head head;
	const uint8_t *value;
	const char *error; /* after -1: what is wrong */
	uint8_t key[LZI_KEY_MAX];
};

void lzi_snap_cursor_init(struct lzi_snap_cursor *cursor, const void *raw, size_t size, uint32_t count);
/* 1: an entry; 0: the block is at its end, and whole; -1: damage, at `at`. Keys ascend within the block. */
int lzi_snap_cursor_next(struct lzi_snap_cursor *cursor);

/* Bytes at the beginning of both. */
static inline uint32_t lzi_snap_shared(const uint8_t *a, const uint8_t *b, uint32_t size)
{
	uint32_t i = 0;

	for (; size - i >= 8; i += 8) {
		uint64_t x, y;

		memcpy(&x, a + i, 8);
		memcpy(&y, b + i, 8);
		if (x != y)
			break;
	}
	while (i < size && a[i] == b[i])
		i++;
	return i;
}

#endif
