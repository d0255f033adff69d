/*
 * Compressed values and dictionaries as a libFuzzer target. The first byte says what the rest is:
 *   bit 0  a dictionary behind its header (else a packed value)
 *   bit 1  its checksums are put right; or the value is read with a dictionary
 *   bit 2  the packed value is made of the rest, and must come back
 * Whatever comes, unpacking ends with a named result and writes nothing past the size that the value says.
 */
#include "config.h"

#include <latzero/latzero.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

#include "base/crc32c.h"
#include "base/error.h"
#include "codec/codec.h"
#include "format/heap.h"
#include "format/packed.h"

#define DICT 1
#define HELP 2
#define MAKE 4
#define RAW_MAX (4u << 20)

const unsigned fuzz_runs = 20000;

static const char content[] = "{\"id\":1,\"name\":\"somebody\",\"email\":\"somebody@example.com\",\"active\":true}";

static struct lzi_codec_dict *dictionary(void)
{
	static struct lzi_codec_dict *dict;

	if (!dict && lzi_codec_dict_new(1, content, sizeof content - 1, &dict) != LATZ_OK)
		abort();
	return dict;
}

/* Unpacks into memory of exactly the size, so that a sanitizer sees a step past it. */
static uint8_t *unpack(const struct lzi_codec_dict *dict, const uint8_t *data, size_t size, uint64_t *ret_size)
{
	uint8_t *room = lzi_codec_room(size), *to;
	unsigned number;
	uint64_t raw;
	int rc;

	if (!room)
		abort();
	memcpy(room, data, size);
	rc = lzi_packed_parse(room, size, &number, &raw);
	if (rc != LATZ_OK && rc != LATZ_CORRUPT)
		abort();
	if (rc != LATZ_OK || raw > RAW_MAX)
		return NULL;
	if (raw > LZI_VALUE_MAX || number > LZI_DICTS_MAX)
		abort();
	to = malloc(raw == 0 ? 1 : raw);
	if (!to)
		abort();
	rc = lzi_codec_unpack(dict, room, size, to, raw);
	if ((rc != LATZ_OK && rc != LATZ_CORRUPT) || (rc != LATZ_OK && *lzi_error_text() == '\0'))
		abort();
	*ret_size = raw;
	if (rc == LATZ_OK)
		return to;
	free(to);
	return NULL;
}

static void value_one(const uint8_t *data, size_t size, unsigned how)
{
	struct lzi_codec_dict *dict = how & HELP ? dictionary() : NULL;
	uint8_t *copy = malloc(size + 1), *back;
	const void *packed;
	uint64_t raw = 0;
	size_t n;

	if (!copy)
		abort();
	memcpy(copy, data, size);
	if (how & MAKE) {
		n = lzi_codec_pack(dict, (int)(how >> 4) - 3, copy, size, &packed);
		if (n > size - size / 8)
			abort();
		back = n == 0 ? NULL : unpack(dict, packed, n, &raw);
		if (n != 0 && (!back || raw != size || memcmp(back, copy, size) != 0))
			abort();
	} else {
		back = unpack(dict, copy, size, &raw);
	}
	free(back);
	free(copy);
}

static void dict_one(const uint8_t *data, size_t size, unsigned how)
{
	struct lzi_dict_header *header = malloc(size + sizeof *header);
	struct lzi_codec_dict *dict;
	const void *packed;
	uint64_t raw = 0;
	uint8_t *back;
	size_t n;

	if (!header)
		abort();
	memset(header, 0, sizeof *header);
	memcpy(header, data, size);
	if (how & HELP && size > sizeof *header) {
		header->number = 1 + header->number % LZI_DICTS_MAX;
		header->size = (uint32_t)(size - sizeof *header);
		header->crc = lzi_crc32c(0, header + 1, header->size);
		lzi_dict_header_seal(header);
	}
	if (size > sizeof *header && lzi_dict_header_validate(header, 0) == LATZ_OK &&
	    header->size == size - sizeof *header && lzi_dict_validate(header, header + 1) == LATZ_OK &&
	    lzi_codec_dict_new(header->number, header + 1, header->size, &dict) == LATZ_OK) {
		n = lzi_codec_pack(dict, 3, content, sizeof content, &packed);
		back = n == 0 ? NULL : unpack(dict, packed, n, &raw);
		if (n != 0 && (!back || raw != sizeof content || memcmp(back, content, raw) != 0))
			abort();
		free(back);
		lzi_codec_dict_free(dict);
	}
	free(header);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	if (data[0] & DICT)
		dict_one(data + 1, size - 1, data[0]);
	else
		value_one(data + 1, size - 1, data[0]);
	return 0;
}

size_t fuzz_seed(unsigned kind, uint8_t *out, size_t room)
{
	char text[3000];
	const void *packed;
	size_t size = 0;

	if (room < sizeof text + 100)
		abort();
	out[0] = (uint8_t)(kind % 8);
	while (size + sizeof content < sizeof text / (1 + kind / 4))
		size += (size_t)sprintf(text + size, "%s%u", content, kind * 7 + (unsigned)size);
	if (kind % 8 & DICT) {
		struct lzi_dict_header *header = (struct lzi_dict_header *)(void *)text;

		memset(header, 0, sizeof *header);
		header->number = 1;
		header->size = 500;
		header->crc = lzi_crc32c(0, header + 1, 500);
		lzi_dict_header_seal(header);
		memcpy(out + 1, text, sizeof *header + 500);
		return 1 + sizeof *header + 500;
	}
	if (kind % 8 & MAKE) {
		memcpy(out + 1, text, size);
		return 1 + size;
	}
	size = lzi_codec_pack(kind % 8 & HELP ? dictionary() : NULL, 3, text, size, &packed);
	memcpy(out + 1, packed, size);
	return 1 + size;
}
