/*
 * Private to heap/: the mutex with its repair, and the one way to change an extent's state.
 */
#ifndef LZI_HEAP_HEAP_INT_H
#define LZI_HEAP_HEAP_INT_H

#include "heap/heap.h"

int lzi_heap_lock(struct lzi_heap *heap);
void lzi_heap_unlock(struct lzi_heap *heap);
void lzi_heap_set_state(struct lzi_heap *heap, uint64_t extent, enum lzi_extent_state state, int new_generation);
/* An empty extent with all its blocks, still marked as it was; the caller holds the mutex and marks it. */
int lzi_heap_take_locked(struct lzi_heap *heap, int spare, uint64_t *ret_extent);
/* After a holder of the mutex died in it: frees bodies without a head, recounts free and overflow extents. */
void lzi_heap_repair(struct lzi_heap *heap);

#endif
