/*
 * What a snapshot says of itself, without its blocks.
 */
#include "config.h"

#include <latzero/latzero.h>
#include <string.h>

#include "base/error.h"
#include "os/os.h"
#include "snap/snap.h"
#include "snap/snap_int.h"

void lzi_snap_info_fill(struct lzi_snap_info *info, const struct lzi_snap_header *header,
                        const struct lzi_snap_footer *footer)
{
	memset(info, 0, sizeof *info);
	info->major = header->major;
	info->minor = header->minor;
	memcpy(info->log_id, header->log_id, sizeof info->log_id);
	info->seq = header->seq;
	info->touched_ns = header->touched_ns;
	info->first_segment = header->first_segment;
	info->wall_ms = header->wall_ms;
	info->ttl_ms = header->ttl_ms;
	info->has_sealed = (header->incompatible & LZI_SNAP_HAS_SEALED) != 0;
	info->has_copy = (header->compatible & LZI_SNAP_HAS_COPY) != 0;
	info->escaped = (header->incompatible & LZI_SNAP_ESCAPED) != 0;
	if (footer) {
		info->keys = footer->keys;
		info->book = footer->book;
		info->bytes = footer->bytes;
		info->blocks = footer->blocks;
		info->file_bytes = footer->file_bytes;
	}
}

int lzi_snap_peek(int fd, const char *name, struct lzi_snap_info *ret_info)
{
	uint8_t bytes[LZI_SNAP_HEADER_SIZE];
	struct lzi_snap_header header;
	struct lzi_snap_footer footer;
	uint64_t size, at, n = 0;
	int rc = lzi_file_size(fd, &size);

	if (rc == LATZ_OK)
		rc = lzi_disk_read_at(fd, LZI_SNAP_NAME, bytes, LZI_SNAP_HEADER_SIZE, 0, &n);
	if (rc != LATZ_OK)
		return lzi_error_prefix(rc, "%s", name);
	if (n < LZI_SNAP_HEADER_SIZE)
		return lzi_error(LATZ_CORRUPT, "%s: offset %llu: it ends within the header", name,
		                 (unsigned long long)n);
	rc = lzi_snap_header_parse(bytes, &header);
	if (rc != LATZ_OK)
		return lzi_error_prefix(rc, "%s: offset 0", name);
	if (size < LZI_SNAP_HEADER_SIZE + LZI_SNAP_FOOTER_SIZE)
		return lzi_error(LATZ_CORRUPT, "%s: offset %llu: it ends without a footer", name,
		                 (unsigned long long)size);
	at = size - LZI_SNAP_FOOTER_SIZE;
	rc = lzi_disk_read_at(fd, LZI_SNAP_NAME, bytes, LZI_SNAP_FOOTER_SIZE, at, &n);
	if (rc != LATZ_OK)
		return lzi_error_prefix(rc, "%s", name);
	rc = n < LZI_SNAP_FOOTER_SIZE ? lzi_error(LATZ_CORRUPT, "it ends within the footer")
	                              : lzi_snap_footer_parse(bytes, &header.tag, &footer);
	if (rc == LATZ_OK && footer.file_bytes != size)
		rc = lzi_error(LATZ_CORRUPT, "the footer says %llu bytes, there are %llu",
		               (unsigned long long)footer.file_bytes, (unsigned long long)size);
	if (rc != LATZ_OK)
		return lzi_error_prefix(rc, "%s: offset %llu", name, (unsigned long long)at);
	lzi_snap_info_fill(ret_info, &header, &footer);
	return LATZ_OK;
}
