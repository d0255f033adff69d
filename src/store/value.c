/*
 * Buffers of values that callers receive.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "store/store_int.h"

int lzi_value_widen(latz_value *value, size_t size)
{
	size_t capacity = size + 1;
	void *data;

	if (capacity < 64)
		capacity = 64;
	else if (capacity < 1u << 20)
		capacity += capacity / 2;
	/* Not realloc: the old bytes are not wanted. */
	data = malloc(capacity);
	if (data == NULL)
		return lzi_error(LATZ_NOMEM, "value of %zu bytes", size);
	free(value->data);
	value->data = data;
	value->capacity = capacity;
	return LATZ_OK;
}

int lzi_value_reserve(latz_value *value, size_t size)
{
	return value->capacity > size && value->data != NULL ? LATZ_OK : lzi_value_widen(value, size);
}

int lzi_value_grow(latz_value *value, size_t keep, size_t size)
{
	latz_value wider = LATZ_VALUE_INIT;
	int rc;

	if (value->capacity > size && value->data != NULL)
		return LATZ_OK;
	rc = lzi_value_reserve(&wider, size);
	if (rc != LATZ_OK)
		return rc;
	if (keep > 0) /* so there is something */
		memcpy(wider.data, lzi_analyzed_sure(value->data), keep);
	free(value->data);
	value->data = wider.data;
	value->capacity = wider.capacity;
	return LATZ_OK;
}
