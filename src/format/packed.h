/*
 * Compressed values as they stand in records and in the log, and the dictionaries they may need. Layouts and their
 * validation; no I/O, and nothing of zstd but the beginning of its frames. doc/format.md lists the same fields in the
 * same order.
 */
#ifndef LZI_FORMAT_PACKED_H
#define LZI_FORMAT_PACKED_H

#include <stddef.h>
#include <stdint.h>

/* A packed value is a byte, the number of its dictionary (0: none), and then a zstd frame of its own without the magic
 * number, with the content's size, and without checksum and dictionary id: the record has a checksum, and small values
 * should lose few bytes. */
#define LZI_PACKED_MIN 6u /* number, frame descriptor, size, block header */
#define LZI_DICTS_MAX 255u
#define LZI_DICT_SIZE_MAX 65536u

/* The dictionary's number and the value's own size, from the first of its `size` bytes. LATZ_OK or LATZ_CORRUPT: then
 * it claims more than so many bytes can hold, too. */
int lzi_packed_parse(const uint8_t *packed, uint64_t size, unsigned *ret_dict, uint64_t *ret_raw_size);

#define LZI_DICT_MAGIC "lz-dict\n"
#define LZI_DICT_MAJOR 1
#define LZI_DICT_MINOR 0

/* Before a dictionary's bytes: in the pool's file `dict`, in files of a persist directory, in snapshots and images. */
struct lzi_dict_header {
	uint8_t magic[8];        /* 0 */
	uint16_t major;          /* 8: refuse others */
	uint16_t minor;          /* 10 */
	uint32_t number;         /* 12: 1 to LZI_DICTS_MAX */
	uint32_t size;           /* 16: of the dictionary, which follows */
	uint32_t crc;            /* 20: of the dictionary */
	uint8_t log_id[16];      /* 24: in a persist directory: of the log; else 0 */
	int64_t created_wall_ms; /* 40 */
	uint32_t samples;        /* 48: values it was made of */
	uint32_t permille;       /* 52: of 1000 bytes of values it was tried on so many stayed */
	uint32_t flags;          /* 56: LZI_DICT_SEALED; others are LATZ_VERSION */
	uint32_t checksum;       /* 60: crc32c of the 60 bytes before it */
};
/* Encrypted (doc/format.md): a nonce and a tag, and then the text. */
#define LZI_DICT_SEALED 1u
#define LZI_DICT_SEALED_MORE 28u
_Static_assert(sizeof(struct lzi_dict_header) == 64, "layout");
_Static_assert(offsetof(struct lzi_dict_header, created_wall_ms) == 40, "layout");

/* Bytes in a file, header included: the next one begins at a multiple of 64. */
static inline uint64_t lzi_dict_span(uint32_t size)
{
	return sizeof(struct lzi_dict_header) + (((uint64_t)size + 63) & ~63ull);
}

/* Fills in magic, versions and checksum. */
void lzi_dict_header_seal(struct lzi_dict_header *header);
/* LATZ_OK, LATZ_CORRUPT or LATZ_VERSION, with detail. number 0: any. */
int lzi_dict_header_validate(const struct lzi_dict_header *header, unsigned number);
int lzi_dict_validate(const struct lzi_dict_header *header, const void *bytes);

#endif
