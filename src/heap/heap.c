/*
 * The heap's views and its growth; taking, leaving and freeing extents.
 */
#include "config.h"

#include <latzero/latzero.h>
#include <string.h>

#include "base/error.h"
#include "base/point.h"
#include "heap/heap_int.h"

/* First view: enough that most pools never widen, small enough that widening is exercised. Address space, not memory.
 */
#define VIEW_FIRST (64ull << 20)
/* Growing takes an eighth of what is there, so that calls to the kernel get rarer as the pool grows. */
#define GROW_SHIFT 3
#define GROW_MAX 32u

int lzi_heap_open(struct lzi_heap *heap, struct lzi_shared *shared, int fd, int dir_fd, unsigned timeout_ms,
                  int writable)
{
	int rc;

	heap->shared = shared;
	heap->fd = fd;
	heap->dir_fd = dir_fd;
	heap->timeout_ms = timeout_ms;
	heap->reads_only = !writable;
	pthread_mutex_init(&heap->widen, NULL);
	rc = writable ? lzi_map_open(&heap->map, fd, VIEW_FIRST, 1) : LATZ_OK;
	if (rc == LATZ_OK)
		rc = lzi_map_open(&heap->dir, dir_fd, VIEW_FIRST / 16, writable);
	if (rc == LATZ_OK)
		rc = lzi_heap_view(heap);
	return rc;
}

void lzi_heap_close(struct lzi_heap *heap)
{
	lzi_map_close(&heap->map);
	lzi_map_close(&heap->dir);
	lzi_file_close(heap->fd);
	lzi_file_close(heap->dir_fd);
	heap->fd = heap->dir_fd = -1;
}

struct lzi_extent_group *lzi_heap_nowhere(const struct lzi_heap *heap)
{
	struct lzi_extent_group *nowhere = &((struct lzi_heap *)(uintptr_t)heap)->nowhere;

	lzi_store_relaxed(&nowhere->word[0], lzi_extent_word(0, LZI_EXTENT_BODY));
	memset(&nowhere->meta[0], 0, sizeof nowhere->meta[0]);
	return nowhere;
}

int lzi_heap_view(struct lzi_heap *heap)
{
	/* What the files must hold is read before their sizes: they only grow. */
	uint64_t extents = lzi_load_acquire(&heap->shared->extents);
	uint64_t size, dir_size;
	int rc;

	if (extents > LZI_HEAP_MAX / LZI_EXTENT)
		return lzi_error(LATZ_CORRUPT, "control file claims %llu extents", (unsigned long long)extents);
	rc = lzi_file_size(heap->dir_fd, &dir_size);
	if (rc == LATZ_OK)
		rc = lzi_file_size(heap->fd, &size);
	if (rc != LATZ_OK)
		return rc;
	if (dir_size < lzi_extents_size(extents) || size < extents * LZI_EXTENT)
		return lzi_error(LATZ_CORRUPT, "heap or extents file is truncated: %llu bytes of heap for %llu extents",
		                 (unsigned long long)size, (unsigned long long)extents);
	pthread_mutex_lock(&heap->widen);
	rc = lzi_map_grow(&heap->dir, lzi_extents_size(extents));
	if (rc == LATZ_OK && !heap->reads_only)
		rc = lzi_map_grow(&heap->map, extents * LZI_EXTENT);
	if (rc == LATZ_OK && extents > heap->reach)
		lzi_store_release(&heap->reach, extents); /* pairs with who looks before it uses the maps' bases */
	pthread_mutex_unlock(&heap->widen);
	return rc;
}

uint64_t lzi_heap_count_view(struct lzi_heap *heap, uint64_t claimed)
{
	uint64_t reach;

	(void)!lzi_heap_view(heap);
	reach = lzi_load_acquire(&heap->reach);
	return claimed < reach ? claimed : reach;
}

void *lzi_heap_at_view(struct lzi_heap *heap, uint64_t offset, uint64_t size)
{
	if (heap->reads_only || lzi_heap_view(heap) != LATZ_OK)
		return NULL;
	return lzi_map_at(&heap->map, offset, size);
}

int lzi_heap_beyond(struct lzi_heap *heap, uint64_t offset, uint64_t size)
{
	int rc = lzi_heap_view(heap);

	return rc != LATZ_OK ? rc
	                     : lzi_error(LATZ_CORRUPT, "%llu bytes at heap offset %llu reach past the heap",
	                                 (unsigned long long)size, (unsigned long long)offset);
}

/* Ends with the heap mutex held and everything it guards mended. */
int lzi_heap_lock(struct lzi_heap *heap)
{
	struct lzi_shared *shared = heap->shared;
	int rc = lzi_mutex_lock_patient(&shared->heap, heap->timeout_ms, "heap", &shared->image_beat);

	if (rc < 0)
		return rc;
	/* Noted, since the mutex tells it once, and we may not get to mending. */
	if (rc == LZI_OWNER_DIED)
		lzi_store_relaxed(&shared->heap_repair, 1u);
	if (lzi_load_relaxed(&shared->heap_repair) != 0 ||
	    lzi_map_at(&heap->dir, 0, lzi_extents_size(shared->extents)) == NULL) {
		rc = lzi_heap_view(heap);
		if (rc == LATZ_OK && lzi_load_relaxed(&shared->heap_repair) != 0) {
			lzi_heap_repair(heap);
			lzi_store_relaxed(&shared->heap_repair, 0u);
		}
		if (rc != LATZ_OK) {
			lzi_mutex_unlock(&shared->heap);
			return rc;
		}
	}
	return LATZ_OK;
}

void lzi_heap_unlock(struct lzi_heap *heap)
{
	lzi_mutex_unlock(&heap->shared->heap);
}

void lzi_heap_set_state(struct lzi_heap *heap, uint64_t extent, enum lzi_extent_state state, int new_generation)
{
	uint64_t *word = lzi_heap_word(heap, extent);
	uint64_t generation = lzi_extent_word_generation(lzi_load_relaxed(word)) + (new_generation ? 1 : 0);

	/* Pairs with the readers' load of the word: who sees bytes written after this sees the new generation. */
	lzi_store_release(word, lzi_extent_word(generation, state));
	lzi_fence_release();
}

void lzi_heap_set_generation(struct lzi_heap *heap, uint64_t extent)
{
	lzi_heap_set_state(heap, extent, LZI_EXTENT_OPEN, 1);
}

uint64_t lzi_heap_room_run(const struct lzi_heap *heap, uint64_t offset, uint64_t word)
{
	uint64_t extent = offset >> LZI_EXTENT_SHIFT, n = lzi_load_acquire(&heap->reach), run, tail;

	if (lzi_extent_word_state(word) == LZI_EXTENT_IMAGE) {
		if (lzi_heap_bring((struct lzi_heap *)(uintptr_t)heap, extent) != LATZ_OK)
			return 0;
		/* The generation is the same: the caller's word goes on being good. */
		if (lzi_load_relaxed(&lzi_heap_meta(heap, extent)->run) == 0)
			return LZI_EXTENT - (offset & (LZI_EXTENT - 1));
	} else if (lzi_extent_word_state(word) != LZI_EXTENT_RUN) {
		return 0;
	}
	run = lzi_load_relaxed(&lzi_heap_meta(heap, extent)->run);
	if (extent < n && run > n - extent)
		n = lzi_heap_count(heap); /* it may have been taken where the heap has grown since we looked */
	if ((offset & (LZI_EXTENT - 1)) != 0 || run == 0 || extent >= n || run > n - extent)
		return 0;
	/* Blocks end where the record does. Before the tail is stored, who published it vouches for the sizes. */
	tail = lzi_load_acquire(&lzi_heap_meta(heap, extent)->tail);
	return tail != 0 && tail < run * LZI_EXTENT ? tail : run * LZI_EXTENT;
}

/* Whether the pool's bounds leave room for so many bytes more. */
static int within_limit(const struct lzi_heap *heap, uint64_t bytes)
{
	uint64_t limit = lzi_load_relaxed(&heap->shared->bound.heap_limit);

	return lzi_likely(limit == 0) || lzi_file_blocks(heap->fd) + bytes <= limit;
}

static LZI_COLD int full(void)
{
	return lzi_error(LATZ_FULL, "the pool has reached its max_bytes");
}

/* The file ends where an extent does, if need be without blocks: whatever words and accounts claim, an extent is there.
 */
static int round_up(struct lzi_heap *heap, uint64_t bytes)
{
	uint64_t size;
	int rc = lzi_file_size(heap->fd, &size);

	return rc == LATZ_OK && size < bytes ? lzi_file_resize(heap->fd, bytes) : rc;
}

/* Adds, to the `old` ones there are, `count` extents of `bytes` in all, the last perhaps only in part; or, if it is a
 * whole one, some more where there is room. Not for runs, which leave whole ones alone if they need less: they would
 * grow the heap every time. bare: without blocks, as HOLE. */
static int grow(struct lzi_heap *heap, uint64_t old, uint64_t count, uint64_t bytes, int bare)
{
	struct lzi_shared *shared = heap->shared;
	uint64_t more = count, i;
	int rc;

	if (bytes == LZI_EXTENT && old >> GROW_SHIFT > 1)
		more = old >> GROW_SHIFT > GROW_MAX ? GROW_MAX : old >> GROW_SHIFT;
	else if (bytes == LZI_EXTENT && shared->extents_free == 0)
		more = 2; /* the spare */
	if (old + more > LZI_HEAP_MAX / LZI_EXTENT)
		return lzi_error(LATZ_NOSPC, "heap is as large as its addresses reach");
	for (;;) {
		rc = within_limit(heap, count == more ? bytes : more * LZI_EXTENT) ? LATZ_OK : full();
		if (rc == LATZ_OK)
			rc = lzi_file_allocate(heap->dir_fd, 0, lzi_extents_size(old + more));
		if (rc == LATZ_OK && !bare)
			rc = lzi_file_allocate(heap->fd, old * LZI_EXTENT, count == more ? bytes : more * LZI_EXTENT);
		if (rc == LATZ_OK)
			rc = round_up(heap, (old + more) * LZI_EXTENT);
		if (rc == LATZ_OK || more == count)
			break;
		more = count;
	}
	if (rc != LATZ_OK)
		return lzi_error_prefix(rc, "grow the heap from %llu extents", (unsigned long long)old);
	LZI_POINT("grow.allocated");
	pthread_mutex_lock(&heap->widen);
	rc = lzi_map_grow(&heap->dir, lzi_extents_size(old + more));
	if (rc == LATZ_OK)
		rc = lzi_map_grow(&heap->map, (old + more) * LZI_EXTENT);
	pthread_mutex_unlock(&heap->widen);
	if (rc != LATZ_OK)
		return rc;
	for (i = old; i < old + more; i++) {
		int part = i + 1 == old + more && bytes % LZI_EXTENT != 0 && count == more;

		/* A grower that died here may have left words and accounts behind; nobody has seen them. */
		memset(lzi_heap_meta(heap, i), 0, sizeof(struct lzi_extent));
		lzi_heap_set_state(heap, i, bare ? LZI_EXTENT_HOLE : part ? LZI_EXTENT_PART : LZI_EXTENT_FREE, 0);
		if (bare || part)
			lzi_bump_relaxed(&shared->extents_hole, 1ull);
		else
			lzi_bump_relaxed(&shared->extents_free, 1ull);
	}
	lzi_store_relaxed(&shared->heap_bytes, old * LZI_EXTENT + (count == more ? bytes : more * LZI_EXTENT));
	LZI_POINT("grow.mapped");
	lzi_store_release(&shared->extents, old + more); /* pairs with lzi_heap_view() */
	LZI_POINT("grow.published");
	return LATZ_OK;
}

/* From the hint on, the first extent in `state`; shared->extents if there is none. */
static uint64_t find(struct lzi_heap *heap, enum lzi_extent_state state, uint64_t room, enum lzi_extent_list list)
{
	int any = lzi_load_relaxed(&heap->shared->bound.max_bytes) == 0 &&
	          lzi_load_relaxed(&heap->shared->bound.max_entries) == 0;
	uint64_t n = lzi_heap_count(heap), hint = heap->shared->extent_hint, i;

	for (i = 0; i < n; i++) {
		uint64_t e = hint + i < n ? hint + i : hint + i - n;

		if (e >= n)
			e = 0;
		if (lzi_heap_state(heap, e) != state)
			continue;
		if (state == LZI_EXTENT_ROOM && (lzi_heap_meta(heap, e)->tail + room > LZI_EXTENT ||
		                                 (!any && lzi_heap_meta(heap, e)->list != list)))
			continue;
		return e;
	}
	return n;
}

/* Of `bytes` from the beginning of an empty extent, those that have blocks for sure. */
static uint64_t has_blocks(const struct lzi_heap *heap, uint64_t extent, uint64_t bytes)
{
	uint64_t sum = 0, has, size;

	for (; bytes > 0; bytes -= size, extent++) {
		enum lzi_extent_state state = lzi_heap_state(heap, extent);

		size = bytes < LZI_EXTENT ? bytes : LZI_EXTENT;
		has = state == LZI_EXTENT_FREE   ? LZI_EXTENT
		      : state == LZI_EXTENT_PART ? (uint64_t)lzi_heap_meta(heap, extent)->judged * LZI_UNIT
		                                 : 0;
		sum += has < size ? has : size;
	}
	return sum;
}

/* Whether the pool's bounds let empty extents have all their blocks. */
static int may_allocate(const struct lzi_heap *heap, uint64_t extent, uint64_t bytes)
{
	uint64_t has;

	if (lzi_likely(lzi_load_relaxed(&heap->shared->bound.heap_limit) == 0))
		return 1;
	has = has_blocks(heap, extent, bytes);
	return has == bytes || within_limit(heap, bytes - has);
}

/* Allocates the blocks of extents that may lack them, from the beginning of one. */
static int allocate(struct lzi_heap *heap, uint64_t extent, uint64_t bytes)
{
	int rc = lzi_file_allocate(heap->fd, extent * LZI_EXTENT, bytes);

	if (rc == LATZ_OK && heap->shared->heap_bytes < extent * LZI_EXTENT + bytes)
		lzi_store_relaxed(&heap->shared->heap_bytes, extent * LZI_EXTENT + bytes);
	return rc;
}

/* A reader can't evict: what an image brings may be over the bounds, until the next who looks. Blocks first: without
 * them the bytes can't even be stored. Who dies before the last store leaves an extent that is
 * still IMAGE, and whose bytes nobody looks at. */
static int bring_locked(struct lzi_heap *heap, uint64_t extent)
{
	struct lzi_extent *meta = lzi_heap_meta(heap, extent);
	uint64_t n = lzi_heap_count(heap), tail = lzi_load_relaxed(&meta->tail);
	uint32_t run = lzi_load_relaxed(&meta->run);
	uint64_t bytes = run > 0 ? (tail + LZI_PAGE - 1) & ~(uint64_t)(LZI_PAGE - 1) : LZI_EXTENT;
	void *to;
	int rc;

	if (heap->fetch == NULL || tail > bytes || tail == 0 || extent >= n || bytes > (n - extent) * LZI_EXTENT)
		return lzi_error(LATZ_CORRUPT, "extent %llu is of an image, but not as one is",
		                 (unsigned long long)extent);
	rc = allocate(heap, extent, bytes);
	if (rc != LATZ_OK)
		return lzi_error_prefix(rc, "bring in extent %llu", (unsigned long long)extent);
	LZI_POINT("image.allocated");
	to = lzi_heap_at(heap, extent * LZI_EXTENT, bytes);
	rc = to == NULL ? lzi_heap_beyond(heap, extent * LZI_EXTENT, bytes) : LATZ_OK;
	if (rc == LATZ_OK)
		rc = heap->fetch(heap->fetch_arg, extent, to, tail);
	LZI_POINT("image.fetched");
	if (rc != LATZ_OK) {
		(void)!lzi_file_punch(heap->fd, extent * LZI_EXTENT, bytes);
		return rc;
	}
	lzi_heap_set_state(heap, extent, run > 0 ? LZI_EXTENT_RUN : LZI_EXTENT_CLOSED, 0);
	LZI_POINT("image.brought");
	lzi_bump_relaxed(&heap->shared->image_left, -1ull);
	return LATZ_OK;
}

/* Who may not write waits for those who may, and who bring in all of it sooner or later. */
static LZI_COLD int wait_brought(const struct lzi_heap *heap, uint64_t extent)
{
	uint64_t begun_ns = lzi_clock_mono_ns();
	unsigned i;

	if (extent >= lzi_load_acquire(&heap->reach))
		return LATZ_OK;
	for (i = 0; lzi_heap_state(heap, extent) == LZI_EXTENT_IMAGE; i++) {
		if (i >= heap->timeout_ms || i * 1000000ull >= lzi_wait_left_ns(heap->timeout_ms)) {
			lzi_wait_charge(begun_ns);
			return lzi_error(LATZ_TIMEOUT, "extent %llu is still in the image that the pool was restored "
			                 "from, and who only reads can't bring it in", (unsigned long long)extent);
		}
		lzi_sleep_us(1000);
	}
	return LATZ_OK;
}

int lzi_heap_bring(struct lzi_heap *heap, uint64_t extent)
{
	int rc;

	if (lzi_unlikely(heap->reads_only))
		return wait_brought(heap, extent);
	rc = lzi_heap_lock(heap);
	if (rc != LATZ_OK)
		return rc;
	if (extent < lzi_heap_count(heap) && lzi_heap_state(heap, extent) == LZI_EXTENT_IMAGE)
		rc = bring_locked(heap, extent);
	lzi_heap_unlock(heap);
	return rc;
}

int lzi_heap_take_locked(struct lzi_heap *heap, int spare, uint64_t *ret_extent)
{
	struct lzi_shared *shared = heap->shared;
	uint64_t e, n = lzi_heap_count(heap);
	int rc;

	if (shared->extents_free > (spare ? 0u : 1u) && (e = find(heap, LZI_EXTENT_FREE, 0, 0)) < n) {
		lzi_bump_relaxed(&shared->extents_free, -1ull);
	} else {
		e = n;
		if (shared->extents_hole > 0 && (e = find(heap, LZI_EXTENT_PART, 0, 0)) >= n)
			e = find(heap, LZI_EXTENT_HOLE, 0, 0);
		if (e < n) {
			rc = may_allocate(heap, e, LZI_EXTENT) ? allocate(heap, e, LZI_EXTENT) : full();
			if (rc != LATZ_OK)
				return rc;
			lzi_bump_relaxed(&shared->extents_hole, -1ull);
		} else {
			rc = grow(heap, n, 1, LZI_EXTENT, 0);
			if (rc != LATZ_OK)
				return rc;
			e = n;
			lzi_bump_relaxed(&shared->extents_free, -1ull);
		}
	}
	*ret_extent = e;
	return LATZ_OK;
}

static int take_any(struct lzi_heap *heap, uint64_t room, int spare, enum lzi_extent_list list, uint64_t *ret_extent)
{
	struct lzi_shared *shared = heap->shared;
	uint64_t e;

	if (shared->extents_room > 0 && (e = find(heap, LZI_EXTENT_ROOM, room, list)) < lzi_heap_count(heap)) {
		lzi_bump_relaxed(&shared->extents_room, -1ull);
		*ret_extent = e;
		return LATZ_OK;
	}
	return lzi_heap_take_locked(heap, spare, ret_extent);
}

/* What tells eviction where an extent belongs. Before anything is in it. */
static void stamp(struct lzi_heap *heap, struct lzi_extent *meta, enum lzi_extent_list list)
{
	lzi_store_relaxed(&meta->list, (uint8_t)list);
	lzi_store_relaxed(&meta->judged, (uint16_t)0);
	lzi_bump_relaxed(&heap->shared->extents_born, 1u);
	lzi_store_relaxed(&meta->born, heap->shared->extents_born);
}

/* All its pages at once, rather than fault by fault. */
static void populate(struct lzi_heap *heap, uint64_t extent, int had_blocks)
{
	uint32_t *known = &heap->populated[extent % LZI_HEAP_POPULATED];

	if (had_blocks && lzi_load_relaxed(known) == extent + 1)
		return;
	lzi_store_relaxed(known, (uint32_t)(extent + 1));
	lzi_file_populate(lzi_heap_at(heap, extent * LZI_EXTENT, LZI_EXTENT), LZI_EXTENT);
}

int lzi_heap_take(struct lzi_heap *heap, uint32_t actor, uint64_t room, int spare, enum lzi_extent_list list,
                  uint64_t *ret_extent)
{
	struct lzi_extent *meta;
	uint64_t e;
	int fresh = 0, had_blocks = 0, rc = lzi_heap_lock(heap);

	if (rc != LATZ_OK)
		return rc;
	LZI_POINT("extent.locked");
	rc = take_any(heap, room, spare, list, &e);
	meta = rc == LATZ_OK ? lzi_heap_meta(heap, e) : NULL;
	if (meta != NULL) {
		fresh = meta->tail == 0;
		had_blocks = lzi_heap_state(heap, e) == LZI_EXTENT_FREE;
		if (fresh)
			stamp(heap, meta, list);
		lzi_store_relaxed(&meta->owner, actor + 1);
		LZI_POINT("extent.owned");
		lzi_heap_set_state(heap, e, LZI_EXTENT_OPEN, 0);
		LZI_POINT("extent.open");
		lzi_store_relaxed(&heap->shared->extent_hint, e + 1);
	}
	lzi_heap_unlock(heap);
	if (rc != LATZ_OK)
		return rc;
	if (fresh)
		populate(heap, e, had_blocks);
	*ret_extent = e;
	return LATZ_OK;
}

int lzi_heap_take_bare(struct lzi_heap *heap, uint32_t actor, uint64_t *ret_extent)
{
	struct lzi_shared *shared = heap->shared;
	uint64_t e, n;
	int rc = lzi_heap_lock(heap);

	if (rc != LATZ_OK)
		return rc;
	n = lzi_heap_count(heap);
	e = shared->extents_hole > 0 ? find(heap, LZI_EXTENT_HOLE, 0, 0) : n;
	if (e >= n) {
		e = n;
		rc = grow(heap, n, 1, LZI_EXTENT, 1);
	}
	if (rc == LATZ_OK) {
		lzi_bump_relaxed(&shared->extents_hole, -1ull);
		stamp(heap, lzi_heap_meta(heap, e), LZI_LIST_WINDOW);
		lzi_store_relaxed(&lzi_heap_meta(heap, e)->owner, actor + 1);
		lzi_heap_set_state(heap, e, LZI_EXTENT_OPEN, 0);
		lzi_store_relaxed(&shared->extent_hint, e + 1);
	}
	lzi_heap_unlock(heap);
	*ret_extent = e;
	return rc;
}

static int is_empty(enum lzi_extent_state state)
{
	return state == LZI_EXTENT_FREE || state == LZI_EXTENT_HOLE || state == LZI_EXTENT_PART;
}

/* First-fit: `count` empty extents in a row, of the first n; n if there are none. spare_free: the last of them must not
 * be FREE, since all its blocks are there and the record needs only some. */
static uint64_t find_run(struct lzi_heap *heap, uint64_t n, uint64_t count, int spare_free)
{
	uint64_t row = 0, e;

	if (heap->shared->extents_free + heap->shared->extents_hole < count)
		return n;
	for (e = 0; e < n; e++) {
		row = is_empty(lzi_heap_state(heap, e)) ? row + 1 : 0;
		if (row >= count && !(spare_free && lzi_heap_state(heap, e) == LZI_EXTENT_FREE))
			return e + 1 - count;
	}
	return n;
}

/* Everything but `huge`, which is of the pages, not of what is on them, and which who has `maint` may be storing. Field
 * by field, since others scan the accounts meanwhile: they may see some fields old and some new, but no half of one. */
static void clear_account(struct lzi_extent *meta)
{
	lzi_store_relaxed(&meta->tail, 0ull);
	lzi_store_relaxed(&meta->dead, 0ull);
	lzi_store_relaxed(&meta->indexed, 0ull);
	lzi_store_relaxed(&meta->owner, 0u);
	lzi_store_relaxed(&meta->inserts, 0u);
	lzi_store_relaxed(&meta->inserts_seen, 0u);
	lzi_store_relaxed(&meta->deletes, 0u);
	lzi_store_relaxed(&meta->expiry_min, (int64_t)0);
	lzi_store_relaxed(&meta->run, 0u);
	lzi_store_relaxed(&meta->judged, (uint16_t)0);
	lzi_store_release(&meta->logged, 0u); /* last: the flusher reads it first, then the tail */
}

int lzi_heap_take_run(struct lzi_heap *heap, uint32_t actor, uint64_t span, uint64_t *ret_extent)
{
	uint64_t count = (span + LZI_EXTENT - 1) / LZI_EXTENT,
		 bytes = (span + LZI_PAGE - 1) & ~(uint64_t)(LZI_PAGE - 1), e, n, i;
	struct lzi_extent *meta;
	int rc = lzi_heap_lock(heap);

	if (rc != LATZ_OK)
		return rc;
	n = lzi_heap_count(heap);
	e = find_run(heap, n, count, bytes < count * LZI_EXTENT * 7 / 8);
	if (e < n)
		rc = may_allocate(heap, e, bytes) ? allocate(heap, e, bytes) : full();
	else
		rc = grow(heap, n, count, bytes, 0);
	if ((rc == LATZ_NOSPC || rc == LATZ_FULL) && (e = find_run(heap, n, count, 0)) < n)
		rc = may_allocate(heap, e, bytes) ? allocate(heap, e, bytes) : full();
	if (rc != LATZ_OK) {
		lzi_heap_unlock(heap);
		return rc;
	}
	LZI_POINT("run.allocated");
	for (i = count; i-- > 0;) {
		if (lzi_heap_state(heap, e + i) == LZI_EXTENT_FREE)
			lzi_bump_relaxed(&heap->shared->extents_free, -1ull);
		else
			lzi_bump_relaxed(&heap->shared->extents_hole, -1ull);
		meta = lzi_heap_meta(heap, e + i);
		clear_account(meta);
		if (i == 0) {
			stamp(heap, meta, LZI_LIST_WINDOW);
			lzi_store_relaxed(&meta->run, (uint32_t)count);
			lzi_store_relaxed(&meta->owner, actor + 1);
		}
		lzi_heap_set_state(heap, e + i, i == 0 ? LZI_EXTENT_RUN : LZI_EXTENT_BODY, 0);
		LZI_POINT("run.marked");
	}
	lzi_heap_unlock(heap);
	*ret_extent = e;
	return LATZ_OK;
}

int lzi_heap_body_lost(struct lzi_heap *heap, uint64_t extent, int *ret_lost)
{
	enum lzi_extent_state state;
	uint64_t head = extent;
	int rc = lzi_heap_lock(heap);

	if (rc != LATZ_OK)
		return rc;
	while (head > 0 && lzi_heap_state(heap, head) == LZI_EXTENT_BODY)
		head--;
	state = lzi_heap_state(heap, head);
	*ret_lost = head == extent ? state == LZI_EXTENT_BODY
	                           : (state != LZI_EXTENT_RUN && state != LZI_EXTENT_IMAGE) ||
	                                     lzi_load_relaxed(&lzi_heap_meta(heap, head)->run) <= extent - head;
	lzi_heap_unlock(heap);
	return LATZ_OK;
}

int lzi_heap_has_row(struct lzi_heap *heap, uint64_t span)
{
	uint64_t n = lzi_load_acquire(&heap->reach), e;

	e = find_run(heap, n, (span + LZI_EXTENT - 1) / LZI_EXTENT, 0);
	return e < n && may_allocate(heap, e, (span + LZI_PAGE - 1) & ~(uint64_t)(LZI_PAGE - 1));
}

int lzi_heap_relist(struct lzi_heap *heap, uint64_t extent, enum lzi_extent_list list)
{
	int rc = lzi_heap_lock(heap);

	if (rc != LATZ_OK)
		return rc;
	stamp(heap, lzi_heap_meta(heap, extent), list);
	lzi_heap_unlock(heap);
	return LATZ_OK;
}

void lzi_heap_tell(struct lzi_heap *heap, uint64_t extent)
{
	struct lzi_log_state *log = &heap->shared->log;
	uint64_t at;

	if (lzi_likely(lzi_load_relaxed(&heap->shared->durable) == LZI_DURABLE_OFF))
		return;
	at = lzi_fetch_add(&log->left_head, 1ull);
	LZI_POINT("tell.claimed");
	lzi_store_release(&log->left[at % LZI_LEFT_MAX], (uint32_t)extent + 1);
	/* The flusher may have passed our place already, with what was in it of old. He says that he has been there
	 * before he looks, we fill it before we look: one of us sees the other. */
	lzi_fence_full();
	if (lzi_unlikely(lzi_load_relaxed(&log->left_tail) > at))
		lzi_store_release(&log->sweep, 1u);
}

void lzi_heap_settle_run(struct lzi_heap *heap, uint64_t extent)
{
	lzi_heap_tell(heap, extent);
	lzi_store_release(&lzi_heap_meta(heap, extent)->owner, 0u);
}

int lzi_heap_shut(struct lzi_heap *heap, uint64_t extent)
{
	int rc = LATZ_OK;

	if (lzi_heap_state(heap, extent) == LZI_EXTENT_CLOSED)
		return LATZ_OK;
	rc = lzi_heap_lock(heap);
	if (rc != LATZ_OK)
		return rc;
	if (lzi_heap_state(heap, extent) == LZI_EXTENT_ROOM) {
		lzi_heap_set_state(heap, extent, LZI_EXTENT_CLOSED, 0);
		lzi_bump_relaxed(&heap->shared->extents_room, -1ull);
	} else if (lzi_heap_state(heap, extent) != LZI_EXTENT_CLOSED) {
		rc = LATZ_BUSY;
	}
	lzi_heap_unlock(heap);
	return rc;
}

void lzi_heap_leave(struct lzi_heap *heap, uint64_t extent)
{
	struct lzi_extent *meta = lzi_heap_meta(heap, extent);
	int room = meta->tail < LZI_EXTENT - LZI_RECORD_SHARED_MAX;
	uint32_t owner = lzi_load_relaxed(&meta->owner);

	lzi_heap_tell(heap, extent);
	if (!room) {
		lzi_heap_set_state(heap, extent, LZI_EXTENT_CLOSED, 0);
		/* From here on it may be cleaned, taken again, and be another's. */
		(void)!lzi_cas_acquire(&meta->owner, &owner, 0u);
		return;
	}
	if (lzi_heap_lock(heap) != LATZ_OK)
		return; /* it stays ours, and is found when we die */
	if (meta->tail == 0) {
		lzi_heap_set_state(heap, extent, LZI_EXTENT_FREE, 1);
		lzi_bump_relaxed(&heap->shared->extents_free, 1ull);
	} else {
		lzi_heap_set_state(heap, extent, LZI_EXTENT_ROOM, 0);
		lzi_bump_relaxed(&heap->shared->extents_room, 1ull);
	}
	LZI_POINT("extent.given_up");
	lzi_store_relaxed(&meta->owner, 0u);
	lzi_heap_unlock(heap);
}

int lzi_heap_free(struct lzi_heap *heap, uint64_t extent)
{
	struct lzi_extent *meta;
	uint64_t i, n, run, count, tail;
	int rc = lzi_heap_lock(heap);

	if (rc != LATZ_OK)
		return rc;
	meta = lzi_heap_meta(heap, extent);
	n = lzi_heap_count(heap);
	run = lzi_load_relaxed(&meta->run);
	count = run > 0 && extent < n && run <= n - extent ? run : 1;
	tail = run > 0 ? lzi_load_relaxed(&meta->tail) : LZI_EXTENT;
	if (lzi_heap_state(heap, extent) == LZI_EXTENT_ROOM)
		lzi_bump_relaxed(&heap->shared->extents_room, -1ull);
	/* The head first: a freer that dies in between leaves bodies without a head to lzi_heap_repair(). */
	for (i = 0; i < count; i++) {
		uint64_t e = extent + i;
		int part = (i + 1) * (uint64_t)LZI_EXTENT > tail;

		if (i == 0)
			clear_account(meta);
		LZI_POINT("free.cleared");
		if (part) {
			uint64_t has = tail > i * LZI_EXTENT ? (tail - i * LZI_EXTENT) & ~(uint64_t)(LZI_PAGE - 1) : 0;

			lzi_store_relaxed(&lzi_heap_meta(heap, e)->judged, (uint16_t)(has / LZI_UNIT));
		}
		lzi_heap_set_state(heap, e, part ? LZI_EXTENT_PART : LZI_EXTENT_FREE, 1);
		if (part)
			lzi_bump_relaxed(&heap->shared->extents_hole, 1ull);
		else
			lzi_bump_relaxed(&heap->shared->extents_free, 1ull);
	}
	LZI_POINT("free.done");
	lzi_heap_unlock(heap);
	return LATZ_OK;
}
