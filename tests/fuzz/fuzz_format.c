/*
 * The parsers of what other processes wrote, as a libFuzzer target: the control header, heap records, index entries.
 * The first byte says which. What they accept must be true of the bytes, and nothing is read past the given size.
 */
#include "config.h"

#include <latzero/latzero.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

#include "format/control.h"
#include "format/heap.h"
#include "index/index.h"

const unsigned fuzz_runs = 20000;

/* The bytes in memory of exactly their size, so that a sanitizer sees a step past the end. */
static void *exactly(const uint8_t *data, size_t size, size_t least)
{
	/* Validators are told how much there is but may look at a whole struct when it is at least so large. */
	void *copy = malloc(size < least ? least : size);

	if (!copy)
		abort();
	memset(copy, 0, least);
	memcpy(copy, data, size);
	return copy;
}

static void header_one(const uint8_t *data, size_t size, int seal)
{
	struct lzi_header *header = exactly(data, size, 1);

	if (seal && size >= sizeof *header)
		lzi_header_seal(header);
	if (lzi_header_validate(header, size) == LATZ_OK) {
		if (header->file_size > size || header->clients_max < 1 || header->clients_max > 4096)
			abort();
		if (header->actors_offset + (uint64_t)header->actors_max * sizeof(struct lzi_actor) > size)
			abort();
		if (header->clients_offset + (uint64_t)header->clients_max * sizeof(struct lzi_client) >
		    header->actors_offset)
			abort();
		if (memcmp(header->magic, LZI_MAGIC, 8) != 0 || header->incompatible & ~LZI_FEATURES_KNOWN)
			abort();
	}
	free(header);
}

static void record_one(const uint8_t *data, size_t size, int seal)
{
	struct lzi_record *record = exactly(data, size, 1);

	if (seal && size >= sizeof *record && record->key_size && record->key_size <= LZI_KEY_MAX &&
	    lzi_record_span_of(record) <= size) {
		record->flags &= LZI_RECORD_EXT | LZI_RECORD_INSERT | LZI_RECORD_HAS_PREV | LZI_RECORD_PACKED;
		if (lzi_record_span_of(record) <= size)
			record->crc = lzi_record_crc(record->value_size, record->key_size, record->type, record->flags,
			                             lzi_record_key(record), lzi_record_value(record)) ^
			              lzi_record_crc_seq(record->seq);
	}
	if (lzi_record_validate(record, size) == LATZ_OK) {
		const uint8_t *end = lzi_record_value(record) + record->value_size;

		if (lzi_record_span_of(record) > size || end > (const uint8_t *)record + size)
			abort();
		/* A changed byte of key or value does not pass. */
		((uint8_t *)(uintptr_t)lzi_record_key(record))[0] ^= 1;
		if (lzi_record_validate(record, size) == LATZ_OK)
			abort();
	}
	free(record);
}

static void entry_one(const uint8_t *data, size_t size)
{
	size_t half = size / 2;
	const uint8_t *a = data, *b = data + half;
	size_t a_size = half, b_size = size - half;
	struct lzi_entry ea, eb;
	int order;

	if (a_size < 1 || b_size < 1 || b_size > LZI_KEY_MAX)
		return;
	lzi_entry_make(&ea, 42, a, a_size);
	lzi_entry_make(&eb, 42, b, b_size);
	if (ea.size > LZI_ENTRY_MAX || lzi_entry_is_long(ea.bytes, ea.size) != (a_size > LZI_ENTRY_MAX - 1))
		abort();
	if (lzi_entry_is_long(ea.bytes, ea.size) && !lzi_entry_matches(ea.bytes, 42, a, a_size))
		abort();
	order = lzi_key_compare(a, a_size, b, b_size);
	if ((order < 0) != (lzi_key_compare(b, b_size, a, a_size) > 0) || lzi_key_compare(a, a_size, a, a_size) != 0)
		abort();
	/* Entries of keys that differ in their first bytes are in the keys' order. */
	if (memcmp(a, b, a_size < LZI_ENTRY_PREFIX ? a_size : LZI_ENTRY_PREFIX) != 0 &&
	    (order < 0) != (lzi_key_compare(ea.bytes, ea.size, eb.bytes, eb.size) < 0))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	switch (data[0] % 5) {
	case 0:
	case 1: header_one(data + 1, size - 1, data[0] % 5); break;
	case 2:
	case 3: record_one(data + 1, size - 1, data[0] % 5 - 2); break;
	default: entry_one(data + 1, size - 1); break;
	}
	return 0;
}

/* A valid input of each kind to start from. */
size_t fuzz_seed(unsigned kind, uint8_t *out, size_t room)
{
	struct lzi_header *header = (struct lzi_header *)calloc(1, 300000);
	struct lzi_record *record = (struct lzi_record *)header;
	size_t size = 0;

	if (!header)
		abort();
	switch (kind % 5) {
	case 0:
	case 1:
		lzi_header_init(header, 16);
		lzi_header_seal(header);
		size = header->file_size;
		break;
	case 2:
	case 3:
		record->seq = 64 * (kind + 1);
		record->died = kind % 2 ? lzi_death_make(128, LZI_DEATH_DELETED) : 0;
		record->key_size = 20;
		record->value_size = 100;
		record->flags = kind & 8 ? LZI_RECORD_EXT : 0;
		size = lzi_record_span_of(record);
		memset((uint8_t *)record + lzi_record_head(record->flags & LZI_RECORD_EXT), 'r', 120);
		record->crc = lzi_record_crc(record->value_size, record->key_size, 0, record->flags,
		                             lzi_record_key(record), lzi_record_value(record)) ^
		              lzi_record_crc_seq(record->seq);
		break;
	default:
		size = kind & 8 ? 1300 : 30;
		memset(header, 'e', size);
		break;
	}
	if (size + 1 > room)
		size = room - 1;
	out[0] = (uint8_t)(kind % 5);
	memcpy(out + 1, header, size);
	free(header);
	return size + 1;
}
