/*
 * The control file's header: making, sealing, validating. No I/O.
 */
#include "config.h"

#include "format/control.h"

#include <latzero/latzero.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/error.h"
#include "format/heap.h"

#define ENDIAN_MARK 0x01020304u

void lzi_header_init(struct lzi_header *header, uint32_t clients_max)
{
	memset(header, 0, sizeof *header);
	memcpy(header->magic, LZI_MAGIC, sizeof header->magic);
	header->major = LZI_FORMAT_MAJOR;
	header->minor = LZI_FORMAT_MINOR;
	header->header_size = LZI_PAGE;
	header->clients_max = clients_max;
	header->actors_max = clients_max * 4 < 64 ? 64 : clients_max * 4;
	header->page_size = LZI_PAGE;
	header->extent_size = LZI_EXTENT;
	header->pins_offset = LZI_PAGE + sizeof(struct lzi_shared);
	header->clients_offset = header->pins_offset + LZI_PINS_MAX * sizeof(struct lzi_pin);
	header->actors_offset = header->clients_offset + (uint64_t)clients_max * sizeof(struct lzi_client);
	header->actors_offset = (header->actors_offset + LZI_PAGE - 1) & ~(uint64_t)(LZI_PAGE - 1);
	header->file_size = header->actors_offset + (uint64_t)header->actors_max * sizeof(struct lzi_actor);
	header->endian = ENDIAN_MARK;
	header->mutex_size = sizeof(struct lzi_mutex);
	header->state = LZI_STATE_LIVE;
}

void lzi_header_seal(struct lzi_header *header)
{
	header->checksum = lzi_crc32c(0, header, LZI_HEADER_CHECKED);
}

int lzi_header_validate(const struct lzi_header *header, uint64_t size)
{
	struct lzi_header want;

	if (size < LZI_PAGE)
		return lzi_error(LATZ_CORRUPT, "control file is %llu bytes, a header needs %u",
		                 (unsigned long long)size, LZI_PAGE);
	if (memcmp(header->magic, LZI_MAGIC, sizeof header->magic) != 0)
		return lzi_error(LATZ_CORRUPT, "control file does not start with the magic of a pool");
	if (header->major != LZI_FORMAT_MAJOR) {
		if (header->checksum == lzi_crc32c(0, header, LZI_HEADER_CHECKED))
			return lzi_error(LATZ_VERSION, "pool format %u.%u, this library reads %u.%u", header->major,
			                 header->minor, LZI_FORMAT_MAJOR, LZI_FORMAT_MINOR);
		return lzi_error(LATZ_CORRUPT, "control file header checksum does not match");
	}
	if (header->checksum != lzi_crc32c(0, header, LZI_HEADER_CHECKED))
		return lzi_error(LATZ_CORRUPT, "control file header checksum does not match");
	if ((header->incompatible & ~LZI_FEATURES_KNOWN) != 0)
		return lzi_error(LATZ_VERSION, "pool uses features 0x%x this library does not know",
		                 header->incompatible & ~LZI_FEATURES_KNOWN);
	if (header->endian != ENDIAN_MARK || header->mutex_size != sizeof(struct lzi_mutex) ||
	    header->page_size != LZI_PAGE || header->extent_size != LZI_EXTENT || header->header_size != LZI_PAGE)
		return lzi_error(LATZ_VERSION, "pool was made on another kind of machine or C library");
	if (header->clients_max < 1 || header->clients_max > 4096)
		return lzi_error(LATZ_CORRUPT, "control file claims %u clients", header->clients_max);
	lzi_header_init(&want, header->clients_max);
	if (header->pins_offset != want.pins_offset || header->clients_offset != want.clients_offset ||
	    header->actors_offset != want.actors_offset || header->actors_max != want.actors_max ||
	    header->file_size != want.file_size)
		return lzi_error(LATZ_CORRUPT, "control file geometry is inconsistent");
	if (size < header->file_size)
		return lzi_error(LATZ_CORRUPT, "control file is truncated: %llu of %llu bytes",
		                 (unsigned long long)size, (unsigned long long)header->file_size);
	if (header->state != LZI_STATE_LIVE && header->state != LZI_STATE_DEAD)
		return lzi_error(LATZ_CORRUPT, "control file state 0x%x is neither live nor dead", header->state);
	return LATZ_OK;
}
