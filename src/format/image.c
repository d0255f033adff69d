/*
 * An image's header, sums and extents: making and checking. Every byte that comes in is hostile.
 */
#include "config.h"

#include "format/image.h"

#include <latzero/latzero.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/error.h"
#include "format/control.h"

/* More than any file has; sums of it don't wrap. */
#define SIZE_LIMIT (1ull << 60)

uint32_t lzi_image_crc(const struct lzi_image_header *header, uint64_t chunk, const void *data, uint32_t length)
{
	uint32_t crc = lzi_crc32c(0, header->id, sizeof header->id);

	crc = lzi_crc32c(crc, &chunk, sizeof chunk);
	return lzi_crc32c(crc, data, length);
}

void lzi_image_header_init(struct lzi_image_header *header)
{
	memcpy(header->magic, LZI_IMAGE_MAGIC, sizeof header->magic);
	header->major = LZI_IMAGE_MAJOR;
	header->minor = LZI_IMAGE_MINOR;
	header->endian = LZI_IMAGE_ENDIAN;
	header->page_size = LZI_PAGE;
	header->extent_size = LZI_EXTENT;
}

static uint32_t checksum(const struct lzi_image_header *header)
{
	return lzi_crc32c(0, header, offsetof(struct lzi_image_header, checksum));
}

void lzi_image_header_seal(struct lzi_image_header *header)
{
	header->checksum = checksum(header);
}

static int check_sections(const struct lzi_image_header *header)
{
	uint64_t at = LZI_PAGE, chunk = 0;
	int i;

	for (i = 0; i < lzi_image_parts(header); i++) {
		const struct lzi_image_section *part = &header->part[i];

		if (part->offset < at || part->offset % LZI_PAGE != 0 || part->offset > header->file_bytes ||
		    part->size > header->file_bytes - part->offset || part->first != chunk ||
		    part->chunks != (part->size + LZI_EXTENT - 1) / LZI_EXTENT)
			return lzi_error(LATZ_CORRUPT, "section %d is not within the image", i);
		at = part->offset + part->size;
		chunk += part->chunks;
	}
	if (chunk != header->chunks || header->sums_offset < at || header->sums_offset > header->file_bytes ||
	    (header->file_bytes - header->sums_offset) / sizeof(struct lzi_image_sum) != chunk ||
	    (header->file_bytes - header->sums_offset) % sizeof(struct lzi_image_sum) != 0)
		return lzi_error(LATZ_CORRUPT, "the sums are not within the image");
	return LATZ_OK;
}

int lzi_image_header_validate(const struct lzi_image_header *header)
{
	if (memcmp(header->magic, LZI_IMAGE_MAGIC, sizeof header->magic) != 0)
		return lzi_error(LATZ_CORRUPT, "does not begin with the magic of an image");
	if (header->endian != LZI_IMAGE_ENDIAN && header->endian == __builtin_bswap32(LZI_IMAGE_ENDIAN))
		return lzi_error(LATZ_VERSION, "an image of a machine with the other byte order");
	if (header->checksum != checksum(header))
		return lzi_error(LATZ_CORRUPT, "checksum of the header does not match");
	if (header->major < LZI_IMAGE_MAJOR_OLDEST || header->major > LZI_IMAGE_MAJOR)
		return lzi_error(LATZ_VERSION, "an image of format %u; this release reads %d to %d", header->major,
		                 LZI_IMAGE_MAJOR_OLDEST, LZI_IMAGE_MAJOR);
	if (header->incompatible & ~(uint32_t)(LZI_IMAGE_PACKED | LZI_IMAGE_KNOWN | LZI_IMAGE_ESCAPED |
	                                       LZI_IMAGE_SEALED))
		return lzi_error(LATZ_VERSION, "an image with features 0x%x that this release does not know",
		                 header->incompatible);
	if (header->endian != LZI_IMAGE_ENDIAN || header->page_size != LZI_PAGE || header->extent_size != LZI_EXTENT)
		return lzi_error(LATZ_VERSION, "an image of another kind of machine: pages of %u, extents of %u bytes",
		                 header->page_size, header->extent_size);
	if (header->file_bytes > SIZE_LIMIT || header->buckets == 0 || header->buckets > SIZE_LIMIT / 64 ||
	    header->extents > LZI_HEAP_MAX / LZI_EXTENT || header->seq_max > UINT64_MAX >> 13)
		return lzi_error(LATZ_CORRUPT, "the header counts more than there can be");
	if (header->part[LZI_IMAGE_TABLE].size != header->buckets * sizeof(struct lzi_bucket) ||
	    header->part[LZI_IMAGE_EXTENTS].size != header->extents * sizeof(struct lzi_image_extent) ||
	    header->part[LZI_IMAGE_HEAP].chunks != header->extents)
		return lzi_error(LATZ_CORRUPT, "the header's counts do not fit its sections");
	return check_sections(header);
}

int lzi_image_sums_validate(const struct lzi_image_header *header, const struct lzi_image_sum *sums)
{
	uint64_t i;
	int part;

	for (part = 0; part < lzi_image_parts(header); part++) {
		const struct lzi_image_section *section = &header->part[part];

		for (i = 0; i < section->chunks; i++) {
			uint64_t left = section->size - i * LZI_EXTENT, most = left < LZI_EXTENT ? left : LZI_EXTENT;
			uint32_t length = sums[section->first + i].length;

			if (part == LZI_IMAGE_HEAP ? length > most : length != most)
				return lzi_error(LATZ_CORRUPT, "length of chunk %llu",
				                 (unsigned long long)(section->first + i));
		}
	}
	return LATZ_OK;
}

/* Bytes that the sums say extent `e` has. */
static uint32_t have(const struct lzi_image_header *header, const struct lzi_image_sum *sums, uint64_t e)
{
	return sums[header->part[LZI_IMAGE_HEAP].first + e].length;
}

static int run_is_sound(const struct lzi_image_header *header, const struct lzi_image_extent *extents,
                        const struct lzi_image_sum *sums, uint64_t e)
{
	uint64_t run = extents[e].run, tail = extents[e].tail, i, left;

	if (run == 0 || run > header->extents - e || tail <= (run - 1) * LZI_EXTENT || tail > run * LZI_EXTENT)
		return 0;
	for (i = 0; i < run; i++) {
		left = tail - i * LZI_EXTENT;
		if ((i > 0 && extents[e + i].kind != LZI_IMAGE_BODY) ||
		    have(header, sums, e + i) != (left < LZI_EXTENT ? left : LZI_EXTENT))
			return 0;
	}
	return 1;
}

int lzi_image_extents_validate(const struct lzi_image_header *header, const struct lzi_image_extent *extents,
                               const struct lzi_image_sum *sums)
{
	uint64_t e, covered = 0, records = 0;

	for (e = 0; e < header->extents; e++) {
		const struct lzi_image_extent *extent = &extents[e];
		uint32_t length = have(header, sums, e);
		int sound = 0;

		switch (extent->kind) {
		case LZI_IMAGE_EMPTY: sound = length == 0; break;
		case LZI_IMAGE_RECORDS: sound = extent->tail == length && length > 0 && extent->run == 0; break;
		case LZI_IMAGE_RUN: sound = extent->records == 1 && run_is_sound(header, extents, sums, e); break;
		case LZI_IMAGE_BODY: sound = e < covered; break;
		case LZI_IMAGE_OVERFLOW:
			sound = length % sizeof(struct lzi_bucket) == 0 &&
			        extent->tail <= length / sizeof(struct lzi_bucket);
			break;
		default: break;
		}
		if (!sound || (extent->kind != LZI_IMAGE_BODY && e < covered))
			return lzi_error(LATZ_CORRUPT, "extent %llu is damaged", (unsigned long long)e);
		if (extent->kind == LZI_IMAGE_RUN)
			covered = e + extent->run;
		if (extent->kind == LZI_IMAGE_RUN || extent->kind == LZI_IMAGE_RECORDS)
			records += extent->records;
	}
	if (records != header->keys)
		return lzi_error(LATZ_CORRUPT, "%llu keys, but %llu records", (unsigned long long)header->keys,
		                 (unsigned long long)records);
	return LATZ_OK;
}
