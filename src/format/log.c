/*
 * The log's headers and entries: made, and looked at without trust.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include <latzero/latzero.h>

#include "base/crc32c.h"
#include "base/error.h"
#include "format/heap.h"
#include "format/log.h"
#include "format/packed.h"
#include "format/sealed.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the structs are the bytes in the file");

void lzi_segment_header_make(struct lzi_segment_header *header, const uint8_t log_id[16], uint64_t segment,
                             uint64_t first_frame, int64_t wall_ms)
{
	memset(header, 0, sizeof *header);
	memcpy(header->magic, LZI_LOG_MAGIC, sizeof header->magic);
	header->major = LZI_LOG_MAJOR;
	header->minor = LZI_LOG_MINOR;
	header->header_size = LZI_LOG_BLOCK;
	memcpy(header->log_id, log_id, sizeof header->log_id);
	header->segment = segment;
	header->first_frame = first_frame;
	header->wall_ms = wall_ms;
	header->checksum = lzi_crc32c(0, header, offsetof(struct lzi_segment_header, checksum));
}

int lzi_segment_header_validate(const struct lzi_segment_header *header, const uint8_t *log_id, uint64_t segment)
{
	if (memcmp(header->magic, LZI_LOG_MAGIC, sizeof header->magic) != 0)
		return lzi_error(LATZ_CORRUPT, "not a segment of a log");
	if (lzi_crc32c(0, header, offsetof(struct lzi_segment_header, checksum)) != header->checksum)
		return lzi_error(LATZ_CORRUPT, "segment header's checksum does not match");
	if (header->major < LZI_LOG_MAJOR_OLDEST || header->major > LZI_LOG_MAJOR)
		return lzi_error(LATZ_VERSION, "log of format %u, this library reads %d to %d", header->major,
		                 LZI_LOG_MAJOR_OLDEST, LZI_LOG_MAJOR);
	if (header->header_size != LZI_LOG_BLOCK)
		return lzi_error(LATZ_CORRUPT, "segment header of %u bytes", header->header_size);
	if (log_id != NULL && memcmp(header->log_id, log_id, sizeof header->log_id) != 0)
		return lzi_error(LATZ_CORRUPT, "segment of another pool's log");
	if (header->first_frame > LZI_FRAME_NUMBER_MAX)
		return lzi_error(LATZ_CORRUPT, "segment header's first frame is none");
	if (header->segment != segment)
		return lzi_error(LATZ_CORRUPT, "segment %llu under the name of %llu",
		                 (unsigned long long)header->segment, (unsigned long long)segment);
	return LATZ_OK;
}

void lzi_frame_header_seal(struct lzi_frame_header *header)
{
	header->magic = LZI_FRAME_MAGIC;
	header->reserved = 0;
	header->checksum = lzi_crc32c(0, header, offsetof(struct lzi_frame_header, checksum));
}

int lzi_frame_header_valid(const struct lzi_frame_header *header, uint32_t log_tag, uint64_t segment)
{
	return header->magic == LZI_FRAME_MAGIC && header->segment == segment && header->log_tag == log_tag &&
	       header->frame <= LZI_FRAME_NUMBER_MAX && header->synced <= header->frame &&
	       header->payload_size <= LZI_FRAME_MAX &&
	       lzi_crc32c(0, header, offsetof(struct lzi_frame_header, checksum)) == header->checksum;
}

static int check_packed(const struct lzi_log_entry *entry, const uint8_t *value, uint64_t next, uint64_t *ret_next)
{
	unsigned dict;
	uint64_t size;
	int rc = lzi_packed_parse(value, entry->value_size, &dict, &size);

	*ret_next = next;
	return rc == LATZ_OK ? rc : lzi_error_prefix(rc, "log entry");
}

int lzi_log_entry_check(const uint8_t *payload, uint64_t size, uint64_t at, uint64_t *ret_next)
{
	const struct lzi_log_entry *entry = (const struct lzi_log_entry *)(payload + at);
	uint64_t span;

	if (at % 8 != 0 || at > size || size - at < sizeof *entry)
		return lzi_error(LATZ_CORRUPT, "no room for a log entry");
	if (entry->seq > LZI_SEQ_MAX)
		return lzi_error(LATZ_CORRUPT, "log entry of a version that is none");
	span = lzi_log_entry_span(entry->key_size, entry->value_size);
	if (entry->key_size < 1 || entry->key_size > LZI_KEY_MAX || span > size - at)
		return lzi_error(LATZ_CORRUPT, "log entry of %u + %llu bytes does not fit", entry->key_size,
		                 (unsigned long long)entry->value_size);
	if (entry->type > LATZ_PICKLE && (entry->type < LATZ_USER || entry->type > LATZ_USER + 63))
		return lzi_error(LATZ_CORRUPT, "log entry: unknown type %u", entry->type);
	switch (entry->op) {
	case LZI_LOG_SET:
	case LZI_LOG_MEMBER_SET:
		break;
	case LZI_LOG_SET_SEALED:
	case LZI_LOG_MEMBER_SET_SEALED:
		if (entry->value_size < LZI_SEALED_HEAD)
			return lzi_error(LATZ_CORRUPT, "log entry: a sealed value of %u bytes", entry->value_size);
		break;
	case LZI_LOG_SET_PACKED:
	case LZI_LOG_MEMBER_SET_PACKED:
		return check_packed(entry, payload + at + sizeof *entry + entry->key_size, at + span, ret_next);
	case LZI_LOG_DELETE:
	case LZI_LOG_MEMBER_DELETE:
		if (entry->value_size != 0)
			return lzi_error(LATZ_CORRUPT, "log entry: a delete with a value");
		break;
	case LZI_LOG_TOUCH:
		if (entry->value_size != 8)
			return lzi_error(LATZ_CORRUPT, "log entry: a touch with %u bytes", entry->value_size);
		break;
	case LZI_LOG_GROUP:
		if (entry->value_size != sizeof(struct lzi_note_group) || entry->key_size != 1)
			return lzi_error(LATZ_CORRUPT, "log entry: a group with %u bytes", entry->value_size);
		break;
	default:
		return lzi_error(LATZ_CORRUPT, "log entry: unknown operation %u", entry->op);
	}
	*ret_next = at + span;
	return LATZ_OK;
}
