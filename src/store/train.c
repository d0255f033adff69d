/*
 * Making a dictionary of values that are in the pool: some are taken from buckets all over the table, seven eighths of
 * them make the dictionary, and the others tell whether it pays: what it was not made of shows what it is worth.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/point.h"
#include "store/pack.h"
#include "store/seal.h"

#define SAMPLE_BYTES (1u << 20)
#define SAMPLE_BYTES_MAX (64u << 20)
#define DICT_BYTES (32u << 10)
/* Longer values have their repetitions in themselves. */
#define VALUE_MAX (32u << 10)
#define VALUE_MIN 16u
#define BUCKETS_MAX 65536u
/* Fewer make nothing that could be trusted. */
#define SAMPLES_LEAST 64u
#define BYTES_LEAST (16u << 10)
/* What is kept of values has to fall to so many of a hundred, or the new one is not worth being kept for ever. */
#define PAYS_PERCENT 95u

/* By itself: so many values and bytes have to come first; then half as many again as ever came before. */
#define FIRST_VALUES 2048u
#define FIRST_BYTES (512u << 10)
#define EVERY_MS 10000
/* And the values have to have become so much larger than those it was tried on. */
#define FALLEN_PERCENT 130u

struct samples {
	latz_value bytes; /* one after another */
	size_t *sizes;
	size_t room; /* of sizes */
	unsigned count;
	size_t most;     /* bytes to be collected */
	uint64_t least;  /* bytes of a value */
	latz_value keys; /* of a bucket, each behind its size */
	latz_value value;
};

/* Keys of what is in a bucket, under its lock: copies, for the records may go then. */
static int take_keys(struct lzi_call *call, uint64_t number, struct samples *samples)
{
	struct lzi_store *store = call->store;
	struct lzi_bucket *head, *bucket;
	unsigned i, hops;
	int rc = lzi_table_lock(&store->table, call->actor, call->index, number, &head);

	samples->keys.size = 0;
	if (rc != LATZ_OK)
		return rc;
	for (bucket = head, hops = 0; bucket != NULL && rc == LATZ_OK && hops < LZI_CHAIN_MAX;
	     bucket = lzi_table_next(&store->table, bucket), hops++) {
		for (i = 0; i < LZI_SLOTS && rc == LATZ_OK; i++) {
			uint64_t unit = lzi_slot_unit(lzi_load_relaxed(&bucket->slot[i]));
			const struct lzi_record *record = unit == 0 ? NULL : lzi_record_at(store, unit);
			latz_value *keys = &samples->keys;
			uint16_t size = record == NULL ? 0 : lzi_load_relaxed(&record->key_size);

			if (size == 0 || size > LZI_KEY_MAX || lzi_load_relaxed(&record->died) != 0 ||
			    record->value_size > VALUE_MAX)
				continue;
			rc = lzi_value_grow(keys, keys->size, keys->size + sizeof size + size);
			if (rc != LATZ_OK)
				continue;
			memcpy((uint8_t *)keys->data + keys->size, &size, sizeof size);
			memcpy((uint8_t *)keys->data + keys->size + sizeof size, lzi_record_key(record), size);
			keys->size += sizeof size + size;
		}
	}
	lzi_table_unlock(call->actor, head);
	return rc;
}

static int add_sample(struct samples *samples)
{
	size_t size = samples->value.size, used = samples->bytes.size;
	int rc;

	if (size < samples->least || size > VALUE_MAX || size > samples->most - used)
		return LATZ_OK;
	if (samples->count == samples->room) {
		size_t room = samples->room == 0 ? 1024 : samples->room * 2;
		size_t *sizes = realloc(samples->sizes, room * sizeof *sizes);

		if (sizes == NULL)
			return lzi_error(LATZ_NOMEM, "samples");
		samples->sizes = sizes;
		samples->room = room;
	}
	rc = lzi_value_grow(&samples->bytes, used, used + size + (used + size) / 2);
	if (rc != LATZ_OK)
		return rc;
	memcpy((uint8_t *)samples->bytes.data + used, samples->value.data, size);
	samples->bytes.size = used + size;
	samples->sizes[samples->count++] = size;
	return LATZ_OK;
}

/* A damaged record is left out: others find it. */
static int take_bucket(struct lzi_call *call, uint64_t number, struct samples *samples)
{
	const uint8_t *at, *end;
	uint16_t size;
	int rc;

	lzi_call_begin(call);
	rc = take_keys(call, number, samples);
	at = samples->keys.data;
	end = samples->keys.size == 0 ? at : at + samples->keys.size;
	for (; at < end && rc == LATZ_OK; at += size) {
		latz_slice key = { at + sizeof size, 0 };
		struct lzi_ahead ahead = { .slot = NULL };

		memcpy(&size, at, sizeof size);
		at += sizeof size;
		key.size = size;
		ahead.hash = lzi_store_hash(call->store, key.data, key.size);
		if (lzi_read_at(call->store, key, &ahead, UINT64_MAX, lzi_clock_mono_ms(), LZI_READ_VALUE,
		                &samples->value) == LATZ_OK)
			rc = add_sample(samples);
	}
	lzi_call_end(call);
	return rc;
}

/* One bucket out of each of so many parts of the table. Keys stand there by their hashes: so the order of the samples
 * says nothing about them. */
static int collect(struct lzi_call *call, struct samples *samples)
{
	uint64_t buckets = lzi_load_acquire(&call->store->control.shared->buckets), i, random = 0;
	uint64_t parts = buckets < BUCKETS_MAX ? buckets : BUCKETS_MAX;
	int rc = lzi_random(&random, sizeof random);

	for (i = 0; i < parts && rc == LATZ_OK && samples->bytes.size + VALUE_MAX < samples->most; i++) {
		uint64_t from = buckets / parts * i, width = buckets / parts;

		random = random * 0x5851f42d4c957f2dull + 0x14057b7ef767814full;
		rc = take_bucket(call, from + (random >> 33) % width, samples);
	}
	return rc;
}

/* So that what is copied of encrypted values, and what is made of them, goes wiped. */
static int samples_begin(const struct lzi_store *store, struct samples *samples)
{
	return lzi_is_sealed(store) ? lzi_value_reserve_secret(&samples->bytes, 0) : LATZ_OK;
}

static void samples_free(struct samples *samples)
{
	latz_value_free(&samples->bytes);
	latz_value_free(&samples->keys);
	latz_value_free(&samples->value);
	free(samples->sizes);
}

/* Bytes that the samples from `first` on would take. */
static uint64_t try_out(struct lzi_codec_dict *dict, int level, const struct samples *samples, unsigned first,
                        size_t offset)
{
	const uint8_t *at = (const uint8_t *)samples->bytes.data + offset;
	const void *packed;
	uint64_t sum = 0;
	unsigned i;

	for (i = first; i < samples->count; i++) {
		size_t size = lzi_codec_pack(dict, level, at, samples->sizes[i], &packed);

		sum += size == 0 ? samples->sizes[i] : size;
		at += samples->sizes[i];
	}
	return sum;
}

/* What there is now, and the new one, on what the new one was not made of. */
static int compare(struct lzi_store *store, const struct samples *samples, unsigned first, size_t offset,
                   const struct lzi_dict_header *made, latz_train_info *info)
{
	int level = lzi_load_relaxed(&store->control.shared->compress.level), rc = LATZ_OK;
	struct lzi_codec_dict *old = NULL, *fresh = NULL;
	unsigned newest = lzi_dict_newest(store);
	uint64_t raw = samples->bytes.size - offset;

	/* One that can't be read is as good as none. */
	if (newest != 0 && lzi_dict_find(store, newest, &old) != LATZ_OK)
		old = NULL;
	info->before_permille = (unsigned)(try_out(old, level, samples, first, offset) * 1000 / raw);
	rc = lzi_codec_dict_new(newest + 1, made + 1, made->size, &fresh);
	if (rc == LATZ_OK)
		info->after_permille = (unsigned)(try_out(fresh, level, samples, first, offset) * 1000 / raw);
	lzi_codec_dict_free(fresh);
	return rc;
}

/* Makes one of the samples, and adds it if it pays. */
static int make(struct lzi_store *store, const struct samples *samples, size_t room, latz_train_info *info)
{
	unsigned first = samples->count - samples->count / 8, i;
	size_t offset = 0;
	struct lzi_dict_header *dict;
	int rc;

	for (i = 0; i < first; i++)
		offset += samples->sizes[i];
	/* One as large as its samples would know them by heart. */
	if (room > offset / 8)
		room = offset / 8;
	if (lzi_is_sealed(store) && room > LZI_DICT_SIZE_MAX - LZI_DICT_SEALED_MORE)
		room = LZI_DICT_SIZE_MAX - LZI_DICT_SEALED_MORE;
	dict = calloc(1, sizeof *dict + room);
	if (dict == NULL)
		return lzi_error(LATZ_NOMEM, "dictionary");
	dict->size = (uint32_t)lzi_codec_train(samples->bytes.data, samples->sizes, first, dict + 1, room);
	LZI_POINT("train.made");
	rc = dict->size == 0 ? LATZ_OK : compare(store, samples, first, offset, dict, info);
	if (rc == LATZ_OK && dict->size != 0 &&
	    (uint64_t)info->after_permille * 100 <= (uint64_t)info->before_permille * PAYS_PERCENT) {
		dict->crc = lzi_crc32c(0, dict + 1, dict->size);
		dict->created_wall_ms = lzi_clock_wall_ms();
		dict->samples = first;
		dict->permille = info->after_permille;
		rc = lzi_dict_add(store, dict);
		if (rc == LATZ_OK) {
			info->dictionary = dict->number;
			info->dict_bytes = dict->size;
		}
	}
	if (lzi_is_sealed(store))
		lzi_wipe(dict + 1, room);
	free(dict);
	return rc;
}

int lzi_store_train(struct lzi_call *call, const latz_train_options *options, latz_train_info *info)
{
	struct lzi_store *store = call->store;
	struct samples samples = { .most = options->sample_bytes == 0 ? SAMPLE_BYTES : options->sample_bytes };
	size_t room = options->dict_bytes == 0 ? DICT_BYTES : options->dict_bytes;
	int rc;

	if (samples.most > SAMPLE_BYTES_MAX)
		samples.most = SAMPLE_BYTES_MAX;
	samples.least = lzi_load_relaxed(&store->control.shared->compress_min);
	if (samples.least < VALUE_MIN || samples.least > VALUE_MAX / 2)
		samples.least = VALUE_MIN;
	rc = samples_begin(store, &samples);
	if (rc == LATZ_OK)
		rc = collect(call, &samples);
	info->samples = samples.count;
	info->sample_bytes = samples.bytes.size;
	if (rc == LATZ_OK && samples.count >= SAMPLES_LEAST && samples.bytes.size >= BYTES_LEAST)
		rc = make(store, &samples, room, info);
	samples_free(&samples);
	if (lzi_is_sealed(store))
		lzi_codec_wipe();
	return rc;
}

/* ---- By itself ---- */

/* Whether values have become larger than what the newest dictionary was tried on. */
static int has_fallen(struct lzi_store *store, uint64_t raw, uint64_t stored)
{
	struct lzi_dict_header *dict;
	uint64_t permille;

	if (lzi_dict_read(store, lzi_dict_newest(store), &dict) != LATZ_OK)
		return 1;
	permille = dict->permille;
	free(dict);
	return stored * 1000 / raw * 100 > permille * FALLEN_PERCENT;
}

void lzi_train_by_itself(struct lzi_call *call)
{
	struct lzi_store *store = call->store;
	struct lzi_compress *state = &store->control.shared->compress;
	latz_train_options options = { .size = sizeof options };
	latz_train_info info = { .size = sizeof info };
	uint64_t values, raw, stored, due;
	int64_t now;
	int rc;

	if (lzi_likely(!lzi_load_relaxed(&state->by_itself)) ||
	    lzi_load_relaxed(&store->control.shared->compress_min) == 0)
		return;
	values = lzi_load_relaxed(&state->values) + lzi_load_relaxed(&state->plain);
	due = state->tried_values / 2;
	now = lzi_clock_mono_ms();
	raw = lzi_load_relaxed(&state->raw);
	stored = lzi_load_relaxed(&state->stored);
	if (values - state->tried_values < (due > FIRST_VALUES ? due : FIRST_VALUES) ||
	    raw - state->tried_raw < FIRST_BYTES || now - state->tried_mono_ms < EVERY_MS)
		return;
	if (lzi_dict_newest(store) == 0 || has_fallen(store, raw - state->tried_raw, stored - state->tried_stored)) {
		rc = lzi_store_train(call, &options, &info);
		if (rc != LATZ_OK)
			lzi_log(LATZ_LOG_WARNING, "%s: making a dictionary: %s: %s", store->name, latz_strerror(rc),
			        lzi_error_text());
		else if (info.dictionary != 0)
			lzi_log(LATZ_LOG_INFO, "%s: dictionary %u made: of 1000 bytes %u stay instead of %u",
			        store->name, info.dictionary, info.after_permille, info.before_permille);
	}
	state->tried_values = values;
	state->tried_raw = raw;
	state->tried_stored = stored;
	state->tried_mono_ms = now;
}
