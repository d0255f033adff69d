/*
 * A snapshot's header, block headers, footer and entries, from and to bytes. Every byte that comes in is hostile.
 */
#include "config.h"

#include "format/snapshot.h"

#include "format/packed.h"
#include "format/policy_state.h"

#include <latzero/latzero.h>

#include "base/atomic.h"
#include "base/crc32c.h"
#include "base/error.h"

static inline void put(uint8_t *to, uint64_t value, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		to[i] = (uint8_t)(value >> (8 * i));
}

static inline uint64_t get(const uint8_t *from, unsigned size)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < size; i++)
		value |= (uint64_t)from[i] << (8 * i);
	return value;
}

/* ---- Header ------------------------------------------------------------------------------------------------------ */

#define HEADER_CHECKSUM (LZI_SNAP_HEADER_SIZE - 4)

void lzi_snap_header_make(struct lzi_snap_header *header, uint8_t bytes[LZI_SNAP_HEADER_SIZE])
{
	header->major = LZI_SNAP_MAJOR;
	header->minor = LZI_SNAP_MINOR;
	memset(bytes, 0, LZI_SNAP_HEADER_SIZE);
	memcpy(bytes, LZI_SNAP_MAGIC, 8);
	put(bytes + 8, header->major, 2);
	put(bytes + 10, header->minor, 2);
	put(bytes + 12, LZI_SNAP_HEADER_SIZE, 4);
	memcpy(bytes + 16, header->log_id, 16);
	put(bytes + 32, header->seq, 8);
	put(bytes + 40, header->touched_ns, 8);
	put(bytes + 48, header->first_segment, 8);
	put(bytes + 56, (uint64_t)header->wall_ms, 8);
	put(bytes + 64, (uint64_t)header->ttl_ms, 8);
	put(bytes + 72, header->compatible, 4);
	put(bytes + 76, header->incompatible, 4);
	header->tag = lzi_crc32c(0, bytes, HEADER_CHECKSUM);
	put(bytes + HEADER_CHECKSUM, header->tag, 4);
}

int lzi_snap_header_parse(const uint8_t bytes[LZI_SNAP_HEADER_SIZE], struct lzi_snap_header *ret_header)
{
	struct lzi_snap_header header;

	if (memcmp(bytes, LZI_SNAP_MAGIC, 8) != 0)
		return lzi_error(LATZ_CORRUPT, "does not begin with the magic of a snapshot");
	header.tag = (uint32_t)get(bytes + HEADER_CHECKSUM, 4);
	if (header.tag != lzi_crc32c(0, bytes, HEADER_CHECKSUM))
		return lzi_error(LATZ_CORRUPT, "the header's checksum does not match");
	header.major = (uint16_t)get(bytes + 8, 2);
	header.minor = (uint16_t)get(bytes + 10, 2);
	if (header.major < LZI_SNAP_MAJOR_OLDEST || header.major > LZI_SNAP_MAJOR)
		return lzi_error(LATZ_VERSION, "snapshot format %u.%u, this library reads %d to %d", header.major,
		                 header.minor, LZI_SNAP_MAJOR_OLDEST, LZI_SNAP_MAJOR);
	if (get(bytes + 12, 4) != LZI_SNAP_HEADER_SIZE)
		return lzi_error(LATZ_CORRUPT, "the header claims to have %llu bytes",
		                 (unsigned long long)get(bytes + 12, 4));
	memcpy(header.log_id, bytes + 16, 16);
	header.seq = get(bytes + 32, 8);
	header.touched_ns = get(bytes + 40, 8);
	header.first_segment = get(bytes + 48, 8);
	header.wall_ms = (int64_t)get(bytes + 56, 8);
	header.ttl_ms = (int64_t)get(bytes + 64, 8);
	header.compatible = (uint32_t)get(bytes + 72, 4);
	header.incompatible = (uint32_t)get(bytes + 76, 4);
	if (header.incompatible & ~(uint32_t)(LZI_SNAP_HAS_DICTS | LZI_SNAP_HAS_POLICY | LZI_SNAP_ESCAPED |
	                                       LZI_SNAP_HAS_SEALED))
		return lzi_error(LATZ_VERSION, "the snapshot uses features 0x%x this library does not know",
		                 header.incompatible);
	*ret_header = header;
	return LATZ_OK;
}

/* ---- Blocks ------------------------------------------------------------------------------------------------------ */

void lzi_snap_block_make(const struct lzi_snap_block *block, uint8_t bytes[LZI_SNAP_BLOCK_SIZE])
{
	put(bytes, LZI_SNAP_BLOCK_MAGIC, 4);
	put(bytes + 4, block->tag, 4);
	put(bytes + 8, block->number, 8);
	put(bytes + 16, block->raw_size, 8);
	put(bytes + 24, block->stored_size, 8);
	put(bytes + 32, block->count, 4);
	put(bytes + 36, block->codec, 4);
	put(bytes + 40, block->payload_crc, 4);
	put(bytes + 44, lzi_crc32c(0, bytes, 44), 4);
}

static int block_bad(const char *what)
{
	return lzi_error(LATZ_CORRUPT, "block header: %s", what);
}

int lzi_snap_block_parse(const uint8_t bytes[LZI_SNAP_BLOCK_SIZE], const uint32_t *tag,
                         struct lzi_snap_block *ret_block)
{
	struct lzi_snap_block block;

	if (get(bytes, 4) != LZI_SNAP_BLOCK_MAGIC)
		return block_bad("no magic");
	if (get(bytes + 44, 4) != lzi_crc32c(0, bytes, 44))
		return block_bad("the checksum does not match");
	block.tag = (uint32_t)get(bytes + 4, 4);
	if (tag && block.tag != *tag)
		return block_bad("of another snapshot");
	block.number = get(bytes + 8, 8);
	block.raw_size = get(bytes + 16, 8);
	block.stored_size = get(bytes + 24, 8);
	block.count = (uint32_t)get(bytes + 32, 4);
	block.codec = bytes[36];
	block.payload_crc = (uint32_t)get(bytes + 40, 4);
	if (get(bytes + 36, 4) > LZI_SNAP_POLICY)
		return block_bad("an unknown codec");
	if (block.codec == LZI_SNAP_DICT) {
		if (block.count != 0 || block.stored_size != block.raw_size ||
		    block.raw_size <= sizeof(struct lzi_dict_header) ||
		    block.raw_size > sizeof(struct lzi_dict_header) + LZI_DICT_SIZE_MAX)
			return block_bad("a dictionary of such a size");
		*ret_block = block;
		return LATZ_OK;
	}
	if (block.codec == LZI_SNAP_POLICY) {
		if (block.count != 0 || block.stored_size != block.raw_size ||
		    block.raw_size <= sizeof(struct lzi_policy_state) ||
		    block.raw_size > sizeof(struct lzi_policy_state) + LZI_POLICY_STATE_MAX)
			return block_bad("a policy's state of such a size");
		*ret_block = block;
		return LATZ_OK;
	}
	/* The least entry: flags, type, 4 varints, one byte of key. */
	if (block.count == 0 || block.raw_size > LZI_SNAP_ENTRY_MAX || block.raw_size < 7 * (uint64_t)block.count)
		return block_bad("sizes that cannot be");
	if (block.count > 1 && block.raw_size > LZI_SNAP_RAW_MAX)
		return block_bad("more raw bytes than a block of several entries has");
	if (block.codec == LZI_SNAP_RAW && block.stored_size != block.raw_size)
		return block_bad("raw, but of another size");
	if (block.codec == LZI_SNAP_ZSTD && (block.stored_size >= block.raw_size || block.raw_size > LZI_SNAP_ZSTD_MAX))
		return block_bad("compressed, but of such a size");
	*ret_block = block;
	return LATZ_OK;
}

void lzi_snap_keys_make(uint64_t seq, uint8_t bytes[LZI_SNAP_KEYS_HEAD])
{
	memcpy(bytes, LZI_SNAP_KEYS_MAGIC, 8);
	put(bytes + 8, seq, 8);
}

int lzi_snap_keys_parse(const void *bytes, uint64_t size, struct lzi_snap_keys *ret_keys)
{
	const uint8_t *at = bytes;

	if (size <= LZI_SNAP_KEYS_HEAD || memcmp(at, LZI_SNAP_KEYS_MAGIC, 8) != 0)
		return 0;
	ret_keys->seq = get(at + 8, 8);
	ret_keys->record = at + LZI_SNAP_KEYS_HEAD;
	ret_keys->size = size - LZI_SNAP_KEYS_HEAD;
	return 1;
}

/* ---- Footer ------------------------------------------------------------------------------------------------------ */

void lzi_snap_footer_make(const struct lzi_snap_footer *footer, uint8_t bytes[LZI_SNAP_FOOTER_SIZE])
{
	put(bytes, LZI_SNAP_FOOTER_MAGIC, 4);
	put(bytes + 4, footer->tag, 4);
	put(bytes + 8, footer->keys, 8);
	put(bytes + 16, footer->bytes, 8);
	put(bytes + 24, footer->blocks, 8);
	put(bytes + 32, footer->file_bytes, 8);
	put(bytes + 40, footer->digest_low, 8);
	put(bytes + 48, footer->digest_high, 8);
	put(bytes + 56, footer->book, 4);
	put(bytes + 60, lzi_crc32c(0, bytes, 60), 4);
	memcpy(bytes + 64, LZI_SNAP_END_MAGIC, 8);
}

static int footer_bad(const char *what)
{
	return lzi_error(LATZ_CORRUPT, "footer: %s", what);
}

int lzi_snap_footer_parse(const uint8_t bytes[LZI_SNAP_FOOTER_SIZE], const uint32_t *tag,
                          struct lzi_snap_footer *ret_footer)
{
	struct lzi_snap_footer footer;

	if (get(bytes, 4) != LZI_SNAP_FOOTER_MAGIC)
		return footer_bad("no magic");
	if (get(bytes + 60, 4) != lzi_crc32c(0, bytes, 60))
		return footer_bad("the checksum does not match");
	if (memcmp(bytes + 64, LZI_SNAP_END_MAGIC, 8) != 0)
		return footer_bad("no end magic");
	footer.tag = (uint32_t)get(bytes + 4, 4);
	if (tag && footer.tag != *tag)
		return footer_bad("of another snapshot");
	footer.keys = get(bytes + 8, 8);
	footer.bytes = get(bytes + 16, 8);
	footer.blocks = get(bytes + 24, 8);
	footer.file_bytes = get(bytes + 32, 8);
	footer.digest_low = get(bytes + 40, 8);
	footer.digest_high = get(bytes + 48, 8);
	footer.book = (uint32_t)get(bytes + 56, 4);
	if (footer.book > footer.keys)
		return footer_bad("more keys of the pool's own than keys");
	*ret_footer = footer;
	return LATZ_OK;
}

/* ---- Entries ----------------------------------------------------------------------------------------------------- */

static inline uint8_t *put_varint(uint8_t *to, uint64_t value)
{
	while (value > 0x7f) {
		*to++ = (uint8_t)(value | 0x80);
		value >>= 7;
	}
	*to++ = (uint8_t)value;
	return to;
}

/* NULL: past the end, over `max`, or longer than needed. */
static inline const uint8_t *get_varint(const uint8_t *from, const uint8_t *end, uint64_t max, uint64_t *ret_value)
{
	uint64_t value = 0;

	for (unsigned shift = 0; from < end && shift < 64; shift += 7) {
		uint8_t byte = *from++;

		if (shift == 63 && byte > 1)
			return NULL;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80) {
			if (value > max || (byte == 0 && shift > 0))
				return NULL;
			*ret_value = value;
			return from;
		}
	}
	return NULL;
}

size_t lzi_snap_entry_make(const struct lzi_snap_entry_head *head, uint8_t *to)
{
	uint8_t *at = to;

	*at++ = head->flags;
	*at++ = head->type;
	at = put_varint(at, head->shared);
	at = put_varint(at, head->rest);
	at = put_varint(at, head->value_size);
	at = put_varint(at, head->seq);
	if (head->flags & LZI_SNAP_DEADLINE) {
		put(at, (uint64_t)head->deadline, 8);
		at += 8;
	}
	return (size_t)(at - to);
}

void lzi_snap_cursor_init(struct lzi_snap_cursor *cursor, const void *raw, size_t size, uint32_t count)
{
	cursor->at = raw;
	cursor->end = cursor->at + size;
	cursor->left = count;
	cursor->key_size = 0;
	cursor->error = NULL;
}

static int cursor_bad(struct lzi_snap_cursor *cursor, const char *what)
{
	cursor->error = what;
	return -1;
}

int lzi_snap_cursor_next(struct lzi_snap_cursor *cursor)
{
	const uint8_t *at = cursor->at, *end = cursor->end;
	uint64_t shared, rest, value_size;
	uint32_t both;
	int order;

	if (cursor->left == 0)
		return at == end ? 0 : cursor_bad(cursor, "bytes after the last entry");
	if (end - at < 2)
		return cursor_bad(cursor, "fewer entries than the header says");
	cursor->head.flags = at[0];
	cursor->head.type = at[1];
	at += 2;
	if (cursor->head.flags & ~(LZI_SNAP_DEADLINE | LZI_SNAP_SEALED))
		return cursor_bad(cursor, "unknown flags of an entry");
	if (!(at = get_varint(at, end, cursor->key_size, &shared)) || !(at = get_varint(at, end, LZI_KEY_MAX, &rest)) ||
	    !(at = get_varint(at, end, LZI_VALUE_MAX, &value_size)) ||
	    !(at = get_varint(at, end, UINT64_MAX, &cursor->head.seq)))
		return cursor_bad(cursor, "a number of an entry that cannot be");
	cursor->head.deadline = 0;
	if (cursor->head.flags & LZI_SNAP_DEADLINE) {
		if (end - at < 8)
			return cursor_bad(cursor, "an entry that ends too soon");
		cursor->head.deadline = (int64_t)get(at, 8);
		at += 8;
		if (cursor->head.deadline == 0)
			return cursor_bad(cursor, "a deadline of 0");
	}
	/* Without a rest it would be no longer than the key before. */
	if (rest == 0 || shared + rest > LZI_KEY_MAX)
		return cursor_bad(cursor, "a key size that cannot be");
	if (rest > (uint64_t)(end - at) || value_size > (uint64_t)(end - at) - rest)
		return cursor_bad(cursor, "an entry longer than the block");
	both = cursor->key_size - (uint32_t)shared;
	if (both > rest)
		both = (uint32_t)rest;
	order = memcmp(at, cursor->key + shared, both);
	if (order < 0 || (order == 0 && shared + rest <= cursor->key_size))
		return cursor_bad(cursor, "keys out of order");
	memcpy(cursor->key + shared, at, rest);
	cursor->key_size = (uint32_t)(shared + rest);
	cursor->head.shared = (uint32_t)shared;
	cursor->head.rest = (uint32_t)rest;
	cursor->head.value_size = (uint32_t)value_size;
	cursor->value = at + rest;
	cursor->at = at + rest + value_size;
	cursor->left--;
	return 1;
}
