/*
 * The heap: extents and who has them. Owns the files `heap` and `extents`. Knows nothing of keys, slots or seqs.
 *
 * An extent goes FREE/HOLE/PART/ROOM -> OPEN (an actor's) -> CLOSED -> FREE ..., or FREE.. -> RUN + BODY.. -> FREE, or
 * FREE.. -> OVERFLOW; FREE/PART -> PARKED -> HOLE when memory is given back. Every change of state is one store of the
 * extent's word, under the `heap` mutex (OPEN -> CLOSED/ROOM also by the owner alone). In a pool restored from an image
 * extents begin as IMAGE, and whoever first needs one brings it in: -> CLOSED or RUN. A holder that dies leaves every
 * word valid, and lzi_heap_repair() mends what a half-done sequence of stores left.
 */
#ifndef LZI_HEAP_HEAP_H
#define LZI_HEAP_HEAP_H

#include <pthread.h>

#include "format/control.h"
#include "format/heap.h"
#include "os/os.h"

/* Extents on a huge page. */
#define LZI_EXTENTS_HUGE (LZI_HUGE / LZI_EXTENT)

#define LZI_HEAP_POPULATED 1024u

struct lzi_heap {
	struct lzi_shared *shared;
	struct lzi_map map; /* heap; none if reads_only */
	struct lzi_map dir; /* extents */
	int fd, dir_fd;
	uint64_t reach;        /* extents that both maps hold and that had blocks when they were widened; atomic */
	pthread_mutex_t widen; /* this process's: guards map, dir and reach while they widen */
	struct lzi_extent_group nowhere;
	unsigned timeout_ms;
	int reads_only; /* 1: the directory is mapped for reading, the heap not at all; an IMAGE is waited for */
	/* Reads an extent's, or a whole run's, first `size` bytes from the image. Under the mutex. NULL: none */
	int (*fetch)(void *arg, uint64_t extent, uint8_t *to, uint64_t size);
	void *fetch_arg;
	/* Extents whose pages this process has once had all of, by number, + 1: asking for them again takes as long as
	 * writing a tenth of them. Atomic; who errs here takes page faults. */
	uint32_t populated[LZI_HEAP_POPULATED];
};

/* Takes over the descriptors. */
int lzi_heap_open(struct lzi_heap *heap, struct lzi_shared *shared, int fd, int dir_fd, unsigned timeout_ms,
                  int writable);
void lzi_heap_close(struct lzi_heap *heap);
/* Widens this process's maps to cover everything the pool has now. */
int lzi_heap_view(struct lzi_heap *heap);

/* Cleared anew whenever it is needed: what was written to it counts for nothing. */
struct lzi_extent_group *lzi_heap_nowhere(const struct lzi_heap *heap) __attribute__((cold));

/* For who has made sure that the view holds it. */
static inline uint64_t *lzi_heap_word_in(uint8_t *dir, uint64_t extent)
{
	return (uint64_t *)(dir + (extent >> 6) * sizeof(struct lzi_extent_group)) + (extent & 63);
}

/* Extents that there are and that this process's view has: what the pool claims beyond that is damage. */
uint64_t lzi_heap_count_view(struct lzi_heap *heap, uint64_t claimed);
static inline uint64_t lzi_heap_count(const struct lzi_heap *heap)
{
	uint64_t n = lzi_load_acquire(&heap->shared->extents);

	return lzi_likely(n <= lzi_load_acquire(&heap->reach))
	               ? n
	               : lzi_heap_count_view((struct lzi_heap *)(uintptr_t)heap, n);
}

/* Which of two extents was taken first. */
static inline int lzi_born_before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

/* An extent's word or account. Of one that this process's view does not have (then lzi_heap_view()), or that a damaged
 * word claims: those of `nowhere`, which is a BODY, so that nobody looks for anything in it. */
static inline uint64_t *lzi_heap_word(const struct lzi_heap *heap, uint64_t extent)
{
	uint64_t *word = lzi_map_at(&heap->dir, (extent >> 6) * sizeof(struct lzi_extent_group) + (extent & 63) * 8, 8);

	return lzi_likely(word != NULL) ? word : lzi_heap_nowhere(heap)->word;
}

static inline struct lzi_extent *lzi_heap_meta(const struct lzi_heap *heap, uint64_t extent)
{
	struct lzi_extent *meta =
		lzi_map_at(&heap->dir, (extent >> 6) * sizeof(struct lzi_extent_group) + 512 + (extent & 63) * 64, 64);

	return lzi_likely(meta != NULL) ? meta : lzi_heap_nowhere(heap)->meta;
}

static inline enum lzi_extent_state lzi_heap_state(const struct lzi_heap *heap, uint64_t extent)
{
	return lzi_extent_word_state(lzi_load_acquire(lzi_heap_word(heap, extent)));
}

/* NULL: the heap has not so much. A run may have been taken where it has grown since this process last looked. */
void *lzi_heap_at_view(struct lzi_heap *heap, uint64_t offset, uint64_t size) __attribute__((cold));
static inline void *lzi_heap_at(const struct lzi_heap *heap, uint64_t offset, uint64_t size)
{
	void *at = lzi_map_at(&heap->map, offset, size);

	return lzi_likely(at != NULL) ? at : lzi_heap_at_view((struct lzi_heap *)(uintptr_t)heap, offset, size);
}

/* Why there was nothing: LATZ_CORRUPT if it is not of the heap, LATZ_IO, LATZ_NOMEM. */
int lzi_heap_beyond(struct lzi_heap *heap, uint64_t offset, uint64_t size) __attribute__((cold));

/* Brings an extent, or the run it is the head of, in from the image. LATZ_OK too if it is not, or no longer, IMAGE.
 * LATZ_NOSPC, LATZ_IO, LATZ_CORRUPT, LATZ_TIMEOUT: it is as it was. */
int lzi_heap_bring(struct lzi_heap *heap, uint64_t extent);
uint64_t lzi_heap_room_run(const struct lzi_heap *heap, uint64_t offset, uint64_t word);

/* Bytes from `offset` to the end of its extent or run; 0 if it is in none that holds records. Brings it in
 * if need be; failing that, 0, and it still is IMAGE: lzi_heap_bring() tells why. Nothing in an extent may be looked at
 * before this says that it is there, nor where it is: it may widen the view. */
static inline uint64_t lzi_heap_room(const struct lzi_heap *heap, uint64_t offset, uint64_t word)
{
	_Static_assert(LZI_EXTENT_CLOSED == LZI_EXTENT_OPEN + 1 && LZI_EXTENT_ROOM == LZI_EXTENT_OPEN + 2, "a range");
	if (lzi_likely((word & 0xff) - LZI_EXTENT_OPEN <= LZI_EXTENT_ROOM - LZI_EXTENT_OPEN))
		return LZI_EXTENT - (offset & (LZI_EXTENT - 1));
	return lzi_heap_room_run(heap, offset, word);
}

/* An extent of the list with at least `room` bytes at its end, OPEN and owned by `actor`. LATZ_NOSPC, LATZ_TIMEOUT,
 * LATZ_FULL: the heap is as large as its limit allows. The last free extent goes only to who asks for the spare:
 * cleaning, which needs one to make more. */
int lzi_heap_take(struct lzi_heap *heap, uint32_t actor, uint64_t room, int spare, enum lzi_extent_list list,
                  uint64_t *ret_extent);
/* An empty extent without blocks, OPEN and owned by `actor`: who asks writes all of it to the file before anybody looks
 * at its bytes. So only in a pool that nobody else sees. */
int lzi_heap_take_bare(struct lzi_heap *heap, uint32_t actor, uint64_t *ret_extent);
/* A run for one record of `span` bytes, RUN, owned by `actor` until lzi_heap_settle_run(). Errors as above. */
int lzi_heap_take_run(struct lzi_heap *heap, uint32_t actor, uint64_t span, uint64_t *ret_extent);
/* The record in the run is published: it has no owner any more. */
void lzi_heap_settle_run(struct lzi_heap *heap, uint64_t extent);
/* Takes an extent with room out of the reach of appenders: ROOM -> CLOSED. LATZ_OK also if it is CLOSED; LATZ_BUSY if
 * it is something else by now. */
int lzi_heap_shut(struct lzi_heap *heap, uint64_t extent);
/* The log is told that an extent has something new and will be nobody's: before the owner forgets it. */
void lzi_heap_tell(struct lzi_heap *heap, uint64_t extent);
/* *ret_lost: whether it is a BODY and no run's. Waits for who is taking or freeing one. LATZ_TIMEOUT. */
int lzi_heap_body_lost(struct lzi_heap *heap, uint64_t extent, int *ret_lost);
/* Whether there are empty extents in a row for such a run, with as few blocks to be allocated as the bounds allow. A
 * hint. */
int lzi_heap_has_row(struct lzi_heap *heap, uint64_t span);
/* Makes a run the youngest of a list. LATZ_TIMEOUT: it stays where it was. */
int lzi_heap_relist(struct lzi_heap *heap, uint64_t extent, enum lzi_extent_list list);
/* Who looks at bytes of an OPEN extent looks again. By the owner, or its reaper. */
void lzi_heap_set_generation(struct lzi_heap *heap, uint64_t extent);
/* The owner is done appending. */
void lzi_heap_leave(struct lzi_heap *heap, uint64_t extent);
/* Makes an extent, or a whole run by its head, free: nothing points into it any more. `extent` is not OPEN. */
int lzi_heap_free(struct lzi_heap *heap, uint64_t extent);

/* Overflow buckets, 64 bytes each: link is offset / 64 + 1. The link is stored in *note before the bucket is marked
 * as used, so that the reaper of an actor that dies here finds it. The bucket comes empty and marked as loose, the
 * actor's. */
int lzi_heap_overflow_take(struct lzi_heap *heap, uint32_t actor, uint64_t *note, uint64_t *ret_link);
/* loose_of: 0, or actor + 1: then only if the bucket is marked as that actor's. */
int lzi_heap_overflow_free(struct lzi_heap *heap, uint64_t link, uint32_t loose_of);
static inline struct lzi_bucket *lzi_heap_overflow(const struct lzi_heap *heap, uint64_t link)
{
	return lzi_map_at(&heap->map, (link - 1) * sizeof(struct lzi_bucket), sizeof(struct lzi_bucket));
}

/* Parks up to `max` extents that have blocks, leaving `keep` FREE ones; lists them, and those that are PARKED since
 * somebody could not take the parking back. Then, when no reader can be on its
 * way there, punches them, or takes the parking back. */
int lzi_heap_park(struct lzi_heap *heap, uint64_t keep, uint64_t *list, size_t max, size_t *ret_count);
int lzi_heap_punch(struct lzi_heap *heap, const uint64_t *list, size_t count);
void lzi_heap_unpark(struct lzi_heap *heap, const uint64_t *list, size_t count);
/* Mends whatever dead holders of the mutex, and a dead puncher, left. For who has just come and was alone. */
int lzi_heap_mend(struct lzi_heap *heap);
/* A puncher died: its PARKED extents become PART. */
int lzi_heap_unpark_all(struct lzi_heap *heap);

#endif
