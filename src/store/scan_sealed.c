/*
 * Scans of encrypted pools. In the pool's index keys stand in the order of what they are sealed as, which says nothing.
 * So all keys of the pool, or of the namespace, are opened when the scan is, those that are wanted are sorted, and
 * values are read one by one as of the moment of the scan. It costs time for every key there is, and memory for every
 * key that is wanted: doc/security.md, "What it costs".
 *
 * Damage is told of as by other scans (scan.c); a key that does not open is damage without a key.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "format/space.h"
#include "store/scan_damage.h"
#include "store/seal.h"

struct item {
	size_t at; /* in bytes */
	uint32_t size : 31;
	uint32_t damaged : 1; /* its record is */
};

struct lzi_sealed_scan {
	struct lzi_scan *raw; /* keeps the moment */
	uint32_t number;
	int keys_only;
	struct lzi_scan_damage damage;
	uint8_t *bytes;
	size_t used, room;
	struct item *items;
	size_t count, items_room, next;
	uint8_t sealed[LZI_SPACE_PREFIX + LZI_TAG_BYTES + LZI_KEY_MAX];
};

static int compare(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size)
{
	int order = memcmp(a, b, a_size < b_size ? a_size : b_size);

	return order != 0 ? order : (a_size > b_size) - (a_size < b_size);
}

static int by_key(const void *a, const void *b, void *bytes)
{
	const struct item *x = a, *y = b;

	return compare((uint8_t *)bytes + x->at, x->size, (uint8_t *)bytes + y->at, y->size);
}

static int is_wanted(const latz_scan_options *options, const uint8_t *key, size_t size)
{
	return (size >= options->prefix.size &&
	        (options->prefix.size == 0 || memcmp(key, options->prefix.data, options->prefix.size) == 0)) &&
	       (options->from.data == NULL || compare(key, size, options->from.data, options->from.size) >= 0) &&
	       (options->to.data == NULL || compare(key, size, options->to.data, options->to.size) < 0);
}

static int grow(void **at, size_t *room, size_t need, size_t each)
{
	size_t wide = *room == 0 ? 1024 : *room;
	void *wider;

	if (need <= *room)
		return LATZ_OK;
	if (need > SIZE_MAX / 2 / each)
		return lzi_error(LATZ_NOMEM, "a scan of %zu keys", need);
	while (wide < need)
		wide *= 2;
	wider = malloc(wide * each); /* not realloc, which leaves keys in what it frees */
	if (wider == NULL)
		return lzi_error(LATZ_NOMEM, "a scan of %zu keys", need);
	if (*at != NULL) {
		memcpy(wider, *at, *room * each);
		lzi_wipe(*at, *room * each);
		free(*at);
	}
	*at = wider;
	*room = wide;
	return LATZ_OK;
}

static int collect_key(struct lzi_call *call, struct lzi_sealed_scan *scan, const latz_scan_options *options,
                       latz_slice key, int damaged)
{
	void *bytes = scan->bytes, *items;
	uint32_t number;
	int rc = grow(&bytes, &scan->room, scan->used + key.size, 1);

	scan->bytes = bytes;
	if (rc == LATZ_OK)
		rc = lzi_key_seen(call->store, &key, &number, scan->bytes + scan->used);
	if (rc != LATZ_OK || !is_wanted(options, key.data, key.size))
		return rc;
	items = scan->items;
	rc = grow(&items, &scan->items_room, scan->count + 1, sizeof *scan->items);
	scan->items = items;
	if (rc != LATZ_OK)
		return rc;
	scan->items[scan->count++] = (struct item){ scan->used, (uint32_t)key.size, damaged != 0 };
	scan->used += key.size;
	return LATZ_OK;
}

static int collect(struct lzi_call *call, struct lzi_sealed_scan *scan, const latz_scan_options *options)
{
	latz_slice key;
	int damaged, rc;

	for (;;) {
		rc = lzi_scan_next(call, scan->raw, &key, NULL);
		damaged = rc == LATZ_CORRUPT;
		if (rc == LATZ_DONE)
			return LATZ_OK;
		if (rc == LATZ_OK || (damaged && key.size > 0))
			rc = collect_key(call, scan, options, key, damaged);
		if (rc == LATZ_CORRUPT)
			lzi_scan_note_damage(&scan->damage, 1);
		else if (rc != LATZ_OK)
			return rc;
	}
}

static void arrange(struct lzi_sealed_scan *scan, const latz_scan_options *options)
{
	size_t i;

	if (scan->count > 1)
		qsort_r(scan->items, scan->count, sizeof *scan->items, by_key, scan->bytes);
	for (i = 0; options->reverse && i < scan->count / 2; i++) {
		struct item other = scan->items[i];

		scan->items[i] = scan->items[scan->count - 1 - i];
		scan->items[scan->count - 1 - i] = other;
	}
	if (options->limit != 0 && scan->count >= options->limit) {
		scan->count = options->limit;
		scan->damage.places = 0; /* what the limit kept from being looked at is not missed */
	}
}

int lzi_sealed_scan_open(struct lzi_call *call, const latz_scan_options *options, uint32_t number,
                         struct lzi_sealed_scan **ret_scan)
{
	struct lzi_sealed_scan *scan = calloc(1, sizeof *scan);
	latz_scan_options all = LATZ_SCAN_OPTIONS_INIT;
	int rc;

	if (scan == NULL)
		return lzi_error(LATZ_NOMEM, "scan");
	scan->number = number;
	scan->keys_only = options->keys_only;
	all.keys_only = 1;
	all.prefix = (latz_slice){ scan->sealed, lzi_seal_prefix(number, scan->sealed) };
	rc = lzi_scan_open(call, &all, &scan->raw);
	if (rc == LATZ_OK)
		rc = collect(call, scan, options);
	if (rc != LATZ_OK) {
		lzi_sealed_scan_close(scan);
		return rc;
	}
	arrange(scan, options);
	*ret_scan = scan;
	return LATZ_OK;
}

int lzi_sealed_scan_next(struct lzi_call *call, struct lzi_sealed_scan *scan, latz_slice *key, latz_value *value)
{
	latz_slice sealed = { scan->sealed, 0 };
	latz_value none = LATZ_VALUE_INIT;
	const struct item *item;
	int rc;

	do {
		if (scan->next == scan->count)
			return lzi_scan_end(&scan->damage, key);
		item = &scan->items[scan->next++];
		*key = (latz_slice){ scan->bytes + item->at, item->size };
		if (value == NULL && !item->damaged)
			return LATZ_OK;
		rc = lzi_seal_key(call, scan->number, *key, scan->sealed, &sealed.size);
		if (rc == LATZ_OK)
			rc = lzi_scan_get(call, scan->raw, sealed, scan->keys_only || value == NULL,
			                  value == NULL ? &none : value);
		if (value == NULL)
			latz_value_free(&none);
	} while (rc == LATZ_NOTFOUND); /* expired as of that moment */
	return rc;
}

struct lzi_scan *lzi_sealed_scan_raw(struct lzi_sealed_scan *scan)
{
	return scan->raw;
}

void lzi_sealed_scan_close(struct lzi_sealed_scan *scan)
{
	if (scan->raw != NULL)
		lzi_scan_close(scan->raw);
	if (scan->bytes != NULL)
		lzi_wipe(scan->bytes, scan->room);
	free(scan->bytes);
	free(scan->items);
	free(scan);
}
