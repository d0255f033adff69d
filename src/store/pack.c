/*
 * Compressed values: packed before a record is drafted, outside all locks; unpacked from a copy whose checksum and
 * generation were looked at. Whoever can't pack stores the value as it is.
 */
#include "config.h"

#include <string.h>

#include "base/error.h"
#include "store/pack.h"

/* Dictionaries are made of small values, and help these. */
#define DICT_VALUE_MAX (64u << 10)
/* Smaller ones never get small enough to save a unit of the heap. */
#define MIN_LEAST 16u

/* The newest dictionary, if there is one and it can be had: one that can't is not tried again by this process. */
static struct lzi_codec_dict *newest(struct lzi_store *store)
{
	unsigned number = lzi_dict_newest(store);
	struct lzi_codec_dict *dict = NULL;

	if (number == 0 || lzi_load_relaxed(&store->codec.failed) == number)
		return NULL;
	if (lzi_unlikely(lzi_dict_find(store, number, &dict) != LATZ_OK))
		lzi_store_relaxed(&store->codec.failed, number);
	return dict;
}

int lzi_pack(struct lzi_store *store, latz_slice *value)
{
	struct lzi_compress *state = &store->control.shared->compress;
	struct lzi_codec_dict *dict = value->size <= DICT_VALUE_MAX ? newest(store) : NULL;
	const void *packed;
	size_t size = lzi_codec_pack(dict, lzi_load_relaxed(&state->level), value->data, value->size, &packed);

	lzi_fetch_add_relaxed(&state->raw, value->size);
	if (size == 0) {
		lzi_fetch_add_relaxed(&state->plain, 1ull);
		lzi_fetch_add_relaxed(&state->stored, value->size);
		return 0;
	}
	lzi_fetch_add_relaxed(&state->values, 1ull);
	lzi_fetch_add_relaxed(&state->stored, size);
	value->data = packed;
	value->size = size;
	return 1;
}

int lzi_unpack(struct lzi_store *store, uint8_t *packed, size_t size, uint64_t offset, latz_value *value)
{
	struct lzi_codec_dict *dict = NULL;
	unsigned number;
	uint64_t raw;
	int rc = lzi_packed_parse(packed, size, &number, &raw);

	if (rc == LATZ_OK && number != 0)
		rc = lzi_dict_find(store, number, &dict);
	if (rc == LATZ_OK)
		rc = lzi_value_reserve(value, raw);
	if (rc == LATZ_OK)
		rc = lzi_codec_unpack(dict, packed, size, value->data, raw);
	if (lzi_unlikely(rc != LATZ_OK))
		return lzi_error_prefix(rc, "record at heap offset %llu", (unsigned long long)offset);
	((char *)value->data)[raw] = '\0';
	value->size = raw;
	return LATZ_OK;
}

void lzi_compress_settings(struct lzi_shared *shared, const latz_options *options)
{
	size_t least = options->compress_min;

	if (least != 0 && least < MIN_LEAST)
		least = MIN_LEAST;
	lzi_store_relaxed(&shared->compress.level,
	                  options->compress_level == 0 ? LZI_CODEC_LEVEL : options->compress_level);
	lzi_store_relaxed(&shared->compress.by_itself, (uint32_t)(options->compress_dict == LATZ_DICT_AUTO));
	lzi_store_relaxed(&shared->compress_min, least > UINT32_MAX ? UINT32_MAX : (uint32_t)least);
}

void lzi_store_compress(struct lzi_call *call, const latz_options *options)
{
	lzi_compress_settings(call->store->control.shared, options);
}
