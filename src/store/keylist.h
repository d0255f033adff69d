/*
 * A list of keys with their bytes, in one growing block. For scans.
 */
#ifndef LZI_STORE_KEYLIST_H
#define LZI_STORE_KEYLIST_H

#include <stddef.h>
#include <stdint.h>

struct lzi_keylist {
	struct {
		size_t at; /* of its bytes in `bytes` */
		uint32_t size;
		uint64_t hash; /* set by the owner */
	} * item;
	size_t count, capacity;
	uint8_t *bytes;
	size_t used, bytes_capacity;
};

static inline const uint8_t *lzi_keylist_bytes(const struct lzi_keylist *list, size_t i)
{
	return list->bytes + list->item[i].at;
}

int lzi_keylist_add(struct lzi_keylist *list, const void *key, size_t size);
/* Gives item i other bytes. */
int lzi_keylist_replace(struct lzi_keylist *list, size_t i, const void *key, size_t size);
/* Whether i and j both have at least n bytes and agree in them. */
int lzi_keylist_same_prefix(const struct lzi_keylist *list, size_t i, size_t j, size_t n);
/* Orders items from..to-1 by their bytes. */
void lzi_keylist_sort(struct lzi_keylist *list, size_t from, size_t to, int reverse);
/* Of equal neighbours leaves one. */
void lzi_keylist_unique(struct lzi_keylist *list);
void lzi_keylist_reset(struct lzi_keylist *list);
void lzi_keylist_fini(struct lzi_keylist *list);

#endif
