/*
 * Changes to the index, gathered and sorted. Keys up to 510 bytes are pointed at where they stand, unless `copy`.
 */
#ifndef LZI_STORE_CHANGES_H
#define LZI_STORE_CHANGES_H

#include "store/store_int.h"

struct lzi_change {
	uint64_t prefix; /* eight bytes of the key after those all have in common, as a number. Set by sorting */
	const void *key;
	uint32_t size;
	uint32_t order; /* of gathering */
	uint32_t remove;
};

struct lzi_changes {
	struct lzi_change *change;
	size_t count, capacity;
	struct lzi_entry *entries; /* made for long keys, or for all */
	int copy;
	size_t common; /* bytes all keys begin with */
};

int lzi_changes_add(struct lzi_changes *changes, uint64_t seed, const void *key, size_t size, int remove);
void lzi_changes_sort(struct lzi_changes *changes);
int lzi_changes_apply(struct lzi_store *store, struct lzi_changes *changes);
void lzi_changes_fini(struct lzi_changes *changes);

#endif
