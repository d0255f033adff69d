/*
 * Buffers of values that callers receive.
 *
 * A buffer that has had something of an encrypted pool is wiped before it goes. That it has is told by its capacity,
 * which is odd then, and even of all others: so no read of a plain pool has anything to do for it, and the struct,
 * which is the caller's, needs no field.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "crypt/crypt.h"
#include "store/store_int.h"

static int is_secret(const latz_value *value)
{
	return (value->capacity & 1) != 0;
}

void lzi_value_drop(latz_value *value)
{
	if (is_secret(value) && value->data != NULL)
		lzi_wipe(value->data, value->capacity);
	free(value->data);
}

/* Another buffer, without what was in the old one. */
static int widen(latz_value *value, size_t size, int secret)
{
	size_t capacity = size + 1;
	void *data;

	if (capacity < 64)
		capacity = 64;
	else if (capacity < 1u << 20)
		capacity += capacity / 2;
	capacity = secret ? capacity | 1 : (capacity + 1) & ~(size_t)1;
	/* Not realloc: the old bytes are not wanted. */
	data = malloc(capacity);
	if (data == NULL)
		return lzi_error(LATZ_NOMEM, "value of %zu bytes", size);
	lzi_value_drop(value);
	value->data = data;
	value->capacity = capacity;
	return LATZ_OK;
}

int lzi_value_widen(latz_value *value, size_t size)
{
	return widen(value, size, is_secret(value));
}

int lzi_value_reserve(latz_value *value, size_t size)
{
	return value->capacity > size && value->data != NULL ? LATZ_OK : lzi_value_widen(value, size);
}

int lzi_value_reserve_secret(latz_value *value, size_t size)
{
	if (lzi_likely(is_secret(value)))
		return lzi_value_reserve(value, size);
	/* One that a plain pool's value was in gives a byte away. */
	if (value->data == NULL || value->capacity <= size + 1)
		return widen(value, size, 1);
	value->capacity--;
	return LATZ_OK;
}

int lzi_value_grow(latz_value *value, size_t keep, size_t size)
{
	latz_value wider = LATZ_VALUE_INIT;
	int rc;

	if (value->capacity > size && value->data != NULL)
		return LATZ_OK;
	rc = widen(&wider, size, is_secret(value));
	if (rc != LATZ_OK)
		return rc;
	if (keep > 0) /* so there is something */
		memcpy(wider.data, lzi_analyzed_sure(value->data), keep);
	lzi_value_drop(value);
	value->data = wider.data;
	value->capacity = wider.capacity;
	return LATZ_OK;
}
