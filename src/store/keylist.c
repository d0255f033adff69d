/*
 * A list of keys with their bytes.
 */
#include "config.h"

#include "store/keylist.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "index/index.h"

static int reserve(struct lzi_keylist *list, size_t size)
{
	size_t more = list->bytes_capacity == 0 ? 4096 : list->bytes_capacity;
	uint8_t *bytes;

	while (more < list->used + size)
		more *= 2;
	if (more == list->bytes_capacity)
		return LATZ_OK;
	bytes = realloc(list->bytes, more);
	if (bytes == NULL)
		return lzi_error(LATZ_NOMEM, "list of keys");
	list->bytes = bytes;
	list->bytes_capacity = more;
	return LATZ_OK;
}

int lzi_keylist_replace(struct lzi_keylist *list, size_t i, const void *key, size_t size)
{
	int rc = reserve(list, size);

	if (rc != LATZ_OK)
		return rc;
	memcpy(list->bytes + list->used, key, size);
	list->item[i].at = list->used;
	list->item[i].size = (uint32_t)size;
	list->used += size;
	return LATZ_OK;
}

int lzi_keylist_add(struct lzi_keylist *list, const void *key, size_t size)
{
	int rc;

	if (list->count == list->capacity) {
		size_t more = list->capacity == 0 ? 256 : list->capacity * 2;
		void *grown = realloc(list->item, more * sizeof *list->item);

		if (grown == NULL)
			return lzi_error(LATZ_NOMEM, "list of keys");
		list->item = grown;
		list->capacity = more;
	}
	rc = lzi_keylist_replace(list, list->count, key, size);
	if (rc == LATZ_OK)
		list->count++;
	return rc;
}

int lzi_keylist_same_prefix(const struct lzi_keylist *list, size_t i, size_t j, size_t n)
{
	return list->item[i].size >= n && list->item[j].size >= n &&
	       memcmp(lzi_keylist_bytes(list, i), lzi_keylist_bytes(list, j), n) == 0;
}

static int compare(const void *a, const void *b, void *arg)
{
	const struct lzi_keylist *list = arg;
	size_t x = *(const size_t *)a, y = *(const size_t *)b;

	return lzi_key_compare(lzi_keylist_bytes(list, x), list->item[x].size, lzi_keylist_bytes(list, y),
	                       list->item[y].size);
}

void lzi_keylist_sort(struct lzi_keylist *list, size_t from, size_t to, int reverse)
{
	size_t n = to - from, i, *order;
	void *sorted;

	if (n < 2)
		return;
	order = malloc(n * sizeof *order);
	sorted = malloc(n * sizeof *list->item);
	if (order == NULL || sorted == NULL) {
		/* No memory to sort in: by insertion, slowly, in place. */
		size_t j, k;

		for (j = from + 1; j < to; j++) {
			for (k = j; k > from; k--) {
				size_t x = k - 1, y = k;
				int c = compare(&x, &y, list);

				if ((reverse ? -c : c) <= 0)
					break;
				__typeof__(list->item[0]) item = list->item[k];
				list->item[k] = list->item[k - 1];
				list->item[k - 1] = item;
			}
		}
	} else {
		for (i = 0; i < n; i++)
			order[i] = from + i;
		qsort_r(order, n, sizeof *order, compare, list);
		for (i = 0; i < n; i++)
			memcpy((uint8_t *)sorted + i * sizeof *list->item, &list->item[order[reverse ? n - 1 - i : i]],
			       sizeof *list->item);
		memcpy(&list->item[from], sorted, n * sizeof *list->item);
	}
	free(order);
	free(sorted);
}

void lzi_keylist_unique(struct lzi_keylist *list)
{
	size_t i, out = 0;

	for (i = 0; i < list->count; i++) {
		size_t previous = out - 1;

		if (out > 0 && compare(&previous, &i, list) == 0)
			continue;
		list->item[out++] = list->item[i];
	}
	list->count = out;
}

void lzi_keylist_reset(struct lzi_keylist *list)
{
	list->count = 0;
	list->used = 0;
}

void lzi_keylist_fini(struct lzi_keylist *list)
{
	free(list->item);
	free(list->bytes);
	memset(list, 0, sizeof *list);
}
