/*
 * Extents used otherwise than for appending: overflow buckets, giving memory back, repair after a death.
 */
#include "config.h"

#include <latzero/latzero.h>
#include <string.h>

#include "base/error.h"
#include "base/point.h"
#include "heap/heap_int.h"

#define PER_EXTENT (LZI_EXTENT / sizeof(struct lzi_bucket))
/* `judged` of a PARKED extent that was FREE. */
#define ALL_BLOCKS (LZI_EXTENT / LZI_UNIT)

/* Bodies that no run covers, and the counts. An orphan becomes PART: it may or may not have all its blocks. */
void lzi_heap_repair(struct lzi_heap *heap)
{
	struct lzi_shared *shared = heap->shared;
	uint64_t n = lzi_heap_count(heap), free = 0, hole = 0, room = 0, image = 0, covered = 0, e, i;

	for (e = 0; e < n; e++) {
		struct lzi_extent *meta = lzi_heap_meta(heap, e);

		switch (lzi_heap_state(heap, e)) {
		case LZI_EXTENT_RUN:
			if (meta->run == 0) { /* being freed */
				lzi_store_relaxed(&meta->judged, (uint16_t)0);
				lzi_heap_set_state(heap, e, LZI_EXTENT_PART, 1);
				hole++;
				break;
			}
			covered = e + meta->run;
			break;
		case LZI_EXTENT_IMAGE:
			image++;
			if (meta->run > 0)
				covered = e + meta->run;
			break;
		case LZI_EXTENT_CLOSED:
			if (meta->tail > 0)
				break;
			lzi_heap_set_state(heap, e, LZI_EXTENT_FREE, 1); /* as well */
			free++;
			break;
		case LZI_EXTENT_BODY:
			if (e < covered)
				break;
			lzi_store_relaxed(&meta->judged, (uint16_t)0);
			lzi_heap_set_state(heap, e, LZI_EXTENT_PART, 1);
			hole++;
			break;
		case LZI_EXTENT_FREE: free++; break;
		case LZI_EXTENT_ROOM: room++; break;
		case LZI_EXTENT_HOLE: /* may have been given its blocks already */
			lzi_store_relaxed(&meta->judged, (uint16_t)0);
			lzi_heap_set_state(heap, e, LZI_EXTENT_PART, 0);
			hole++;
			break;
		case LZI_EXTENT_PART: hole++; break;
		case LZI_EXTENT_OVERFLOW: {
			const struct lzi_bucket *bucket = lzi_heap_at(heap, e * LZI_EXTENT, LZI_EXTENT);

			meta->tail = 0;
			for (i = 0; i < PER_EXTENT; i++)
				meta->tail += lzi_load_relaxed(&bucket[i].header) != 0;
			break;
		}
		default: break;
		}
	}
	lzi_store_relaxed(&shared->extents_free, free);
	lzi_store_relaxed(&shared->extents_hole, hole);
	lzi_store_relaxed(&shared->extents_room, room);
	lzi_store_relaxed(&shared->image_left, image);
}

/* An overflow extent with a free bucket, made if there is none. */
static int overflow_extent(struct lzi_heap *heap, uint64_t *ret_extent)
{
	struct lzi_shared *shared = heap->shared;
	uint64_t e = shared->overflow_hint, n = lzi_heap_count(heap);
	int rc;

	if (e > 0 && e <= n && lzi_heap_state(heap, e - 1) == LZI_EXTENT_OVERFLOW &&
	    lzi_heap_meta(heap, e - 1)->tail < PER_EXTENT) {
		*ret_extent = e - 1;
		return LATZ_OK;
	}
	for (e = 0; e < n; e++) {
		if (lzi_heap_state(heap, e) == LZI_EXTENT_OVERFLOW && lzi_heap_meta(heap, e)->tail < PER_EXTENT)
			break;
	}
	if (e >= n) {
		rc = lzi_heap_take_locked(heap, 0, &e);
		if (rc != LATZ_OK)
			return rc;
		/* Not reachable yet: cleared before its state says what it is. */
		memset(lzi_heap_at(heap, e * LZI_EXTENT, LZI_EXTENT), 0, LZI_EXTENT);
		LZI_POINT("overflow.cleared");
		lzi_heap_set_state(heap, e, LZI_EXTENT_OVERFLOW, 0);
	}
	shared->overflow_hint = e + 1;
	*ret_extent = e;
	return LATZ_OK;
}

int lzi_heap_overflow_take(struct lzi_heap *heap, uint32_t actor, uint64_t *note, uint64_t *ret_link)
{
	struct lzi_bucket *bucket;
	uint64_t e, i, start;
	int rc = lzi_heap_lock(heap);

	if (rc != LATZ_OK)
		return rc;
	rc = overflow_extent(heap, &e);
	if (rc != LATZ_OK) {
		lzi_heap_unlock(heap);
		return rc;
	}
	bucket = lzi_heap_at(heap, e * LZI_EXTENT, LZI_EXTENT);
	if (bucket == NULL) {
		lzi_heap_unlock(heap);
		return lzi_error(LATZ_CORRUPT, "overflow extent %llu is past the heap", (unsigned long long)e);
	}
	/* Buckets are freed seldom: the first free one is most often right after the used ones. */
	start = lzi_heap_meta(heap, e)->tail;
	for (i = 0; i < PER_EXTENT && lzi_load_relaxed(&bucket[(start + i) % PER_EXTENT].header) != 0; i++)
		;
	i = (start + i) % PER_EXTENT;
	if (lzi_load_relaxed(&bucket[i].header) != 0) {
		lzi_heap_unlock(heap);
		return lzi_error(LATZ_CORRUPT, "overflow extent %llu miscounts its buckets", (unsigned long long)e);
	}
	*ret_link = (e * LZI_EXTENT) / sizeof *bucket + i + 1;
	lzi_store_release(note, *ret_link);
	LZI_POINT("overflow.noted");
	memset(bucket[i].slot, 0, sizeof bucket[i].slot);
	lzi_store_release(&bucket[i].header, LZI_OVERFLOW_MARK << LZI_OWNER_SHIFT | (actor + 1) * LZI_VERSION_ONE);
	lzi_heap_meta(heap, e)->tail++;
	LZI_POINT("overflow.taken");
	lzi_heap_unlock(heap);
	return LATZ_OK;
}

int lzi_heap_overflow_free(struct lzi_heap *heap, uint64_t link, uint32_t loose_of)
{
	struct lzi_bucket *bucket;
	uint64_t e, header;
	int rc = lzi_heap_lock(heap);

	if (rc != LATZ_OK)
		return rc;
	bucket = lzi_heap_overflow(heap, link);
	e = (link - 1) * sizeof *bucket / LZI_EXTENT;
	header = bucket == NULL ? 0 : lzi_load_relaxed(&bucket->header);
	if (header != 0 && lzi_heap_state(heap, e) == LZI_EXTENT_OVERFLOW &&
	    (loose_of == 0 || (header & LZI_VERSION_MASK) == loose_of * LZI_VERSION_ONE)) {
		lzi_store_release(&bucket->header, 0ull);
		LZI_POINT("overflow.freed");
		lzi_heap_meta(heap, e)->tail--;
		heap->shared->overflow_hint = e + 1;
	}
	lzi_heap_unlock(heap);
	return LATZ_OK;
}

int lzi_heap_park(struct lzi_heap *heap, uint64_t keep, uint64_t *list, size_t max, size_t *ret_count)
{
	struct lzi_shared *shared = heap->shared;
	uint64_t e;
	size_t count = 0;
	int rc = lzi_heap_lock(heap);

	if (rc != LATZ_OK)
		return rc;
	/* From the end: what is left is then near the beginning, and runs find room. */
	for (e = lzi_heap_count(heap); e-- > 0 && count < max;) {
		enum lzi_extent_state state = lzi_heap_state(heap, e);

		if (state == LZI_EXTENT_FREE && shared->extents_free > keep) {
			lzi_bump_relaxed(&shared->extents_free, -1ull);
			lzi_store_relaxed(&lzi_heap_meta(heap, e)->judged, (uint16_t)ALL_BLOCKS);
		} else if (state == LZI_EXTENT_PART) {
			lzi_bump_relaxed(&shared->extents_hole, -1ull);
		} else if (state == LZI_EXTENT_PARKED) {
			/* Left over: only the holder of `maint` parks, and we are it. */
			lzi_store_relaxed(&lzi_heap_meta(heap, e)->judged, (uint16_t)0);
		} else {
			continue;
		}
		lzi_heap_set_state(heap, e, LZI_EXTENT_PARKED, 1);
		list[count++] = e;
	}
	LZI_POINT("park.done");
	lzi_heap_unlock(heap);
	*ret_count = count;
	return LATZ_OK;
}

static int unpark(struct lzi_heap *heap, const uint64_t *list, size_t count, enum lzi_extent_state state)
{
	size_t i;
	int rc = lzi_heap_lock(heap);

	if (rc != LATZ_OK)
		return rc;
	for (i = 0; i < count; i++) {
		lzi_store_relaxed(&lzi_heap_meta(heap, list[i])->judged, (uint16_t)0);
		lzi_heap_set_state(heap, list[i], state, 0);
		lzi_bump_relaxed(&heap->shared->extents_hole, 1ull);
	}
	lzi_heap_unlock(heap);
	return LATZ_OK;
}

int lzi_heap_punch(struct lzi_heap *heap, const uint64_t *list, size_t count)
{
	size_t i, j, k;
	int rc = LATZ_OK;

	/* The list runs downwards: punch neighbours together. */
	for (i = 0; i < count && rc == LATZ_OK; i = j) {
		for (j = i + 1; j < count && list[j] + 1 == list[j - 1]; j++)
			;
		for (k = i; k < j; k++)
			lzi_heap_meta(heap, list[k] & ~(uint64_t)(LZI_EXTENTS_HUGE - 1))->huge = 0;
		rc = lzi_file_punch(heap->fd, list[j - 1] * LZI_EXTENT, (j - i) * (uint64_t)LZI_EXTENT);
		LZI_POINT("punch.one");
	}
	if (rc != LATZ_OK) {
		(void)unpark(heap, list, count, LZI_EXTENT_PART);
		return rc;
	}
	return unpark(heap, list, count, LZI_EXTENT_HOLE);
}

void lzi_heap_unpark(struct lzi_heap *heap, const uint64_t *list, size_t count)
{
	size_t i;

	if (lzi_heap_lock(heap) != LATZ_OK)
		return; /* lzi_heap_park() finds them */
	for (i = 0; i < count; i++) {
		int all = lzi_load_relaxed(&lzi_heap_meta(heap, list[i])->judged) == ALL_BLOCKS;

		lzi_heap_set_state(heap, list[i], all ? LZI_EXTENT_FREE : LZI_EXTENT_PART, 0);
		lzi_bump_relaxed(all ? &heap->shared->extents_free : &heap->shared->extents_hole, 1ull);
	}
	lzi_heap_unlock(heap);
}

int lzi_heap_unpark_all(struct lzi_heap *heap)
{
	uint64_t e, n;
	int rc = lzi_heap_lock(heap);

	if (rc != LATZ_OK)
		return rc;
	for (e = 0, n = lzi_heap_count(heap); e < n; e++) {
		if (lzi_heap_state(heap, e) == LZI_EXTENT_PARKED) {
			lzi_store_relaxed(&lzi_heap_meta(heap, e)->judged, (uint16_t)0);
			lzi_heap_set_state(heap, e, LZI_EXTENT_PART, 0);
			lzi_bump_relaxed(&heap->shared->extents_hole, 1ull);
		}
	}
	lzi_heap_unlock(heap);
	return LATZ_OK;
}

int lzi_heap_mend(struct lzi_heap *heap)
{
	int rc = lzi_heap_lock(heap);

	if (rc != LATZ_OK)
		return rc;
	lzi_heap_repair(heap);
	lzi_heap_unlock(heap);
	return lzi_heap_unpark_all(heap);
}
