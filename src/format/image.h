/*
 * An image: a pool's own files in one, to be mapped by a restore. Layout and its validation; no I/O.
 *
 *   header     LZI_IMAGE_HEADER bytes, then nothing up to LZI_PAGE
 *   table      the primary buckets, unlocked
 *   extents    struct lzi_image_extent, one for each extent
 *   index      the LMDB environment's file
 *   heap       extent n at n * LZI_EXTENT; each as far as it has records, then nothing: a hole
 *   dict       the pool's dictionaries, as in its file `dict`; only with LZI_IMAGE_PACKED
 *   policy     what the pool's policy knew (format/policy_state.h); only with LZI_IMAGE_KNOWN
 *   sums       struct lzi_image_sum, one for each chunk, in the order of the sections
 *
 * Sections begin at multiples of LZI_PAGE and are cut into chunks of LZI_EXTENT, the last one shorter; a chunk of the
 * heap is an extent. Deadlines, here and in the records' extensions, are CLOCK_REALTIME ms. What is in
 * an image is as the machine that made it has it: another byte order, page or extent size is LATZ_VERSION, and the
 * portable snapshot is for that. doc/format.md lists the same fields in the same order.
 */
#ifndef LZI_FORMAT_IMAGE_H
#define LZI_FORMAT_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "format/heap.h"

#define LZI_IMAGE_MAGIC "lz-img\r\n"
#define LZI_IMAGE_MAJOR 1
#define LZI_IMAGE_MAJOR_OLDEST 1 /* that is read: at most LZI_IMAGE_MAJOR - 1, once there is one before */
#define LZI_IMAGE_MINOR 1 /* 0: keys that begin with ff, if there are any, are not escaped (format/space.h) */
#define LZI_IMAGE_ENDIAN 0x01020304u
#define LZI_IMAGE_HEADER 512u

enum lzi_image_part {
	LZI_IMAGE_TABLE,
	LZI_IMAGE_EXTENTS,
	LZI_IMAGE_INDEX,
	LZI_IMAGE_HEAP,
	LZI_IMAGE_DICT,   /* only with LZI_IMAGE_PACKED or LZI_IMAGE_KNOWN */
	LZI_IMAGE_POLICY, /* only with LZI_IMAGE_KNOWN */
	LZI_IMAGE_PARTS
};

enum {
	/* In header.incompatible. */
	LZI_IMAGE_PACKED = 1, /* records may be LZI_RECORD_PACKED; there is a part LZI_IMAGE_DICT */
	LZI_IMAGE_ESCAPED = 8, /* keys that begin with ff are escaped, and there are such */
	LZI_IMAGE_SEALED = 16, /* records may be LZI_RECORD_SEALED */
	LZI_IMAGE_KNOWN = 2   /* there is a part LZI_IMAGE_POLICY; what is before it may be of 0 bytes */
};

struct lzi_image_section {
	uint64_t offset; /* 0: in the file */
	uint64_t size;   /* 8: bytes; of the heap up to the end of the last extent's records */
	uint64_t first;  /* 16: number of its first chunk */
	uint64_t chunks; /* 24 */
};

struct lzi_image_header {
	uint8_t magic[8];      /* 0 */
	uint16_t major;        /* 8: others than LZI_IMAGE_MAJOR_OLDEST to LZI_IMAGE_MAJOR are refused */
	uint16_t minor;        /* 10 */
	uint32_t endian;       /* 12: LZI_IMAGE_ENDIAN as the machine writes it */
	uint32_t compatible;   /* 16: unknown bits are ignored */
	uint32_t incompatible; /* 20: unknown bits refuse the file */
	uint8_t id[16];        /* 24: random; in every chunk's checksum, so that none passes for another image's */
	uint8_t pool_id[16];   /* 40: of the pool it was made of */
	uint32_t page_size;    /* 56: of the machine */
	uint32_t extent_size;  /* 60 */
	uint64_t hash_seed;    /* 64: of table and index; the restored pool's too */
	uint64_t seq;          /* 72: the point in time */
	int64_t wall_ms;       /* 80 */
	int64_t ttl_ms;        /* 88: the pool's default for keys, -1 none */
	uint64_t keys;         /* 96 */
	uint64_t bytes;        /* 104: of keys and values */
	uint64_t buckets;      /* 112: in the table */
	uint64_t extents;      /* 120 */
	uint64_t seq_max;      /* 128: no record's is higher */
	uint64_t file_bytes;   /* 136 */
	uint64_t chunks;       /* 144: of all sections */
	uint64_t sums_offset;  /* 152 */
	uint32_t sums_crc;     /* 160: of the sums */
	uint32_t pad;          /* 164 */
	struct lzi_image_section part[LZI_IMAGE_PARTS]; /* 168 */
	uint64_t book;         /* 360: of the keys, those that are the pool's own (format/space.h) */
	uint8_t reserved[140]; /* 368 */
	uint32_t checksum;     /* 508: crc32c of the bytes before it */
};
_Static_assert(sizeof(struct lzi_image_header) == LZI_IMAGE_HEADER, "layout");
_Static_assert(offsetof(struct lzi_image_header, part) == 168, "layout");
_Static_assert(offsetof(struct lzi_image_header, checksum) == LZI_IMAGE_HEADER - 4, "layout");

enum lzi_image_kind {
	LZI_IMAGE_EMPTY,
	LZI_IMAGE_RECORDS, /* an extent of records */
	LZI_IMAGE_RUN,     /* the first of a run */
	LZI_IMAGE_BODY,    /* another of a run */
	LZI_IMAGE_OVERFLOW /* overflow buckets; tail: how many are in use */
};

struct lzi_image_extent {
	uint64_t tail;      /* 0: bytes of records; of a run, of all of it */
	int64_t expiry_min; /* 8: earliest deadline, 0 none */
	uint32_t records;   /* 16 */
	uint32_t run;       /* 20: extents in the run, at its head */
	uint32_t kind;      /* 24 */
	uint32_t pad;
};
_Static_assert(sizeof(struct lzi_image_extent) == 32, "layout");

struct lzi_image_sum {
	uint32_t length; /* bytes of the chunk that count; the rest is not looked at */
	uint32_t crc;    /* lzi_image_crc() */
};
_Static_assert(sizeof(struct lzi_image_sum) == 8, "layout");

/* A restored pool's file `image`: where the rest of it is. Then the image's sums, all of them. Written before the pool
 * has its name, never changed, removed when nothing is missing any more. */
#define LZI_IMAGE_NOTE_MAGIC "lz-imn\r\n"
struct lzi_image_note {
	uint8_t magic[8];
	int64_t to_mono_ms; /* 8: to be added to the image's deadlines */
	struct lzi_image_header header;
	char path[4096];    /* absolute */
};

/* How many parts there are. */
static inline int lzi_image_parts(const struct lzi_image_header *header)
{
	if (header->incompatible & LZI_IMAGE_KNOWN)
		return LZI_IMAGE_PARTS;
	return header->incompatible & LZI_IMAGE_PACKED ? LZI_IMAGE_POLICY : LZI_IMAGE_DICT;
}

uint32_t lzi_image_crc(const struct lzi_image_header *header, uint64_t chunk, const void *data, uint32_t length);
/* Fills in magic, versions, machine, `first` and `chunks` of the sections, `chunks`; then, when all is known, seals. */
void lzi_image_header_init(struct lzi_image_header *header);
void lzi_image_header_seal(struct lzi_image_header *header);
/* LATZ_OK, LATZ_CORRUPT or LATZ_VERSION, with detail. Everything lies within file_bytes then. */
int lzi_image_header_validate(const struct lzi_image_header *header);
/* Whether the sums' lengths are ones that chunks can have. */
int lzi_image_sums_validate(const struct lzi_image_header *header, const struct lzi_image_sum *sums);
/* Whether the extents fit each other. */
int lzi_image_extents_validate(const struct lzi_image_header *header, const struct lzi_image_extent *extents,
                               const struct lzi_image_sum *sums);

static inline uint64_t lzi_image_chunk_offset(const struct lzi_image_header *header, enum lzi_image_part part,
                                              uint64_t index)
{
	return header->part[part].offset + index * LZI_EXTENT;
}

#endif
