/*
 * Private to bound.c and room.c: how much room there is, and one step towards more.
 */
#ifndef LZI_STORE_ROOM_H
#define LZI_STORE_ROOM_H

#include "store/store_int.h"

/* Free extents whose blocks are not given back to make room for others. */
#define LZI_ROOM_KEEP 2u

/* Extents the heap could have. */
static inline uint64_t lzi_room_extents_max(const struct lzi_store *store)
{
	uint64_t limit = lzi_load_relaxed(&store->control.shared->bound.heap_limit);

	return limit == 0 ? UINT64_MAX : limit / LZI_EXTENT;
}

/* Bytes that the heap may still grow by. */
static inline uint64_t lzi_room_headroom(const struct lzi_store *store)
{
	uint64_t limit = lzi_load_relaxed(&store->control.shared->bound.heap_limit), blocks;

	if (limit == 0)
		return UINT64_MAX;
	blocks = lzi_file_blocks(store->heap.fd);
	return blocks < limit ? limit - blocks : 0;
}

/* Whether as many extents as `extents` are free, or can be made, beside the spare. */
static inline int lzi_room_has_extents(const struct lzi_store *store, uint64_t extents)
{
	uint64_t have = lzi_load_relaxed(&store->control.shared->extents_free);

	return have > extents || have + lzi_room_headroom(store) / LZI_EXTENT > extents;
}

/* Ends with `maint` held and what was told heard. wait: else LATZ_BUSY at once. */
int lzi_room_begin(struct lzi_call *call, int wait);
void lzi_room_end(struct lzi_call *call);
/* The rest between the two. One step towards more room: cleans if enough is dead, else evicts. last_resort:
 * lzi_evict(). *ret_done: entries evicted. LATZ_BUSY: nothing can be done now. */
int lzi_room_step(struct lzi_call *call, enum lzi_evict_reason why, unsigned most, int last_resort,
                  unsigned *ret_done);
/* Whether there are more keys than max_entries. */
int lzi_room_has_too_many(const struct lzi_store *store);
/* Whether there is more than the bounds allow. */
int lzi_room_is_over(const struct lzi_store *store);
/* Whether giving back what holds nothing, but for `keep` free extents, makes room for so many bytes: then nothing has
 * to go. */
int lzi_room_has_strays(struct lzi_store *store, uint64_t bytes, uint64_t keep);
/* Gives it back, if all readers leave in time. */
void lzi_room_give_back(struct lzi_call *call);
/* The same if there may be blocks that nobody knows of. */
void lzi_room_give_back_lost(struct lzi_call *call);
/* Whether a time of `timeout_ms` has passed since it was first asked; 0: it begins. */
int lzi_room_is_over_time(const struct lzi_store *store, uint64_t *since_ns);
/* Small pools: the evictor's open extents are for whoever comes next, and nobody waits with some in hand. */
void lzi_room_leave_open(struct lzi_call *call, int waits);

/* ---- bound.c ---- */

/* Looks at everything, as who may be the first for a long time. */
void lzi_bound_look(struct lzi_store *store);

#endif
