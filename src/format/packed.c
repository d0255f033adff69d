/*
 * Compressed values and dictionaries: what their first bytes say, looked at without trust.
 */
#include "config.h"

#include "format/packed.h"

#include <latzero/latzero.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/error.h"
#include "format/heap.h"

/* The frame's first byte, of zstd's format (RFC 8878, 3.1.1.1). */
#define SIZE_FLAG_SHIFT 6
#define SINGLE_SEGMENT 0x20u
#define REFUSED 0x1fu /* unused, reserved, checksum, dictionary id: never written */
/* A block has at least four bytes, and at most so many come of it. */
#define BLOCK_LEAST 4u
#define BLOCK_MOST (128u << 10)

int lzi_packed_parse(const uint8_t *packed, uint64_t size, unsigned *ret_dict, uint64_t *ret_raw_size)
{
	unsigned flag, bytes, at, i;
	uint64_t raw = 0;

	if (size < LZI_PACKED_MIN)
		return lzi_error(LATZ_CORRUPT, "compressed value of %llu bytes", (unsigned long long)size);
	flag = packed[1] >> SIZE_FLAG_SHIFT;
	at = packed[1] & SINGLE_SEGMENT ? 2 : 3;
	bytes = flag == 0 ? packed[1] & SINGLE_SEGMENT ? 1u : 0u : 1u << flag;
	if (packed[1] & REFUSED || bytes == 0 || size < at + bytes + BLOCK_LEAST - 1)
		return lzi_error(LATZ_CORRUPT, "compressed value begins as none does");
	for (i = 0; i < bytes; i++)
		raw |= (uint64_t)packed[at + i] << 8 * i;
	raw += bytes == 2 ? 256 : 0;
	if (raw > LZI_VALUE_MAX || raw > (size / BLOCK_LEAST + 1) * BLOCK_MOST)
		return lzi_error(LATZ_CORRUPT, "compressed value of %llu bytes claims to hold %llu",
		                 (unsigned long long)size, (unsigned long long)raw);
	*ret_dict = packed[0];
	*ret_raw_size = raw;
	return LATZ_OK;
}

void lzi_dict_header_seal(struct lzi_dict_header *header)
{
	memcpy(header->magic, LZI_DICT_MAGIC, sizeof header->magic);
	header->major = LZI_DICT_MAJOR;
	header->minor = LZI_DICT_MINOR;
	header->checksum = lzi_crc32c(0, header, offsetof(struct lzi_dict_header, checksum));
}

int lzi_dict_header_validate(const struct lzi_dict_header *header, unsigned number)
{
	if (memcmp(header->magic, LZI_DICT_MAGIC, sizeof header->magic) != 0)
		return lzi_error(LATZ_CORRUPT, "no dictionary begins here");
	if (header->checksum != lzi_crc32c(0, header, offsetof(struct lzi_dict_header, checksum)))
		return lzi_error(LATZ_CORRUPT, "dictionary header's checksum does not match");
	if (header->major != LZI_DICT_MAJOR)
		return lzi_error(LATZ_VERSION, "dictionary of format %u, this library reads %d", header->major,
		                 LZI_DICT_MAJOR);
	if (header->flags & ~LZI_DICT_SEALED)
		return lzi_error(LATZ_VERSION, "a dictionary with features 0x%x that this library does not know",
		                 header->flags);
	if (header->size == 0 || header->size > LZI_DICT_SIZE_MAX)
		return lzi_error(LATZ_CORRUPT, "dictionary of %u bytes", header->size);
	if (header->number < 1 || header->number > LZI_DICTS_MAX || (number != 0 && header->number != number))
		return lzi_error(LATZ_CORRUPT, "dictionary number %u where %u should be", header->number, number);
	return LATZ_OK;
}

int lzi_dict_validate(const struct lzi_dict_header *header, const void *bytes)
{
	return lzi_crc32c(0, bytes, header->size) == header->crc
	               ? LATZ_OK
	               : lzi_error(LATZ_CORRUPT, "dictionary %u: checksum does not match", header->number);
}
