/*
 * Huge pages. A random read of a large pool costs two walks of the page tables besides its two lines; on 2 MiB pages
 * the walks all but vanish, and a process that attaches maps 512 times as much with each fault. The kernel gathers the
 * pages behind our maps in place (MADV_COLLAPSE, Linux 6.1; asks neither for a mount option nor for privileges), while
 * others go on using them. Where it will not, everything stays as it is.
 *
 * Only when nobody writes: while pages are gathered, who touches them waits, and on a busy machine that can be long.
 * Under `maint`. Only ranges whose blocks are all there are gathered, so it never takes space from the file system.
 */
#include "config.h"

#include <limits.h>
#include <stdlib.h>

#include "store/store_int.h"

/* Huge pages gathered in one round: each is 2 MiB copied by the kernel. */
#define ROUND 8u
/* And how long a round takes; the kernel may wait for all processors each time. Who has spent more on it leaves it for
 * twenty times as long. */
#define ROUND_NS 10000000u
#define PAUSE 20u

struct round {
	unsigned left;
	uint64_t until_ns;
};

static void count_one(struct round *round)
{
	if (lzi_clock_mono_ns() >= round->until_ns)
		round->left = 0;
	else
		round->left--;
}

/* Every extent of the group has its blocks and none is being given back. */
static int is_whole(struct lzi_heap *heap, uint64_t first)
{
	uint64_t e;

	for (e = first; e < first + LZI_EXTENTS_HUGE; e++) {
		switch (lzi_heap_state(heap, e)) {
		case LZI_EXTENT_OPEN:
		case LZI_EXTENT_CLOSED:
		case LZI_EXTENT_ROOM:
		case LZI_EXTENT_OVERFLOW: break;
		default: return 0;
		}
	}
	return 1;
}

static int table_round(struct lzi_store *store, struct round *round)
{
	struct lzi_shared *shared = store->control.shared;
	int rc;

	while (round->left > 0 &&
	       shared->table_huge + LZI_HUGE <= lzi_load_acquire(&shared->buckets) * sizeof(struct lzi_bucket)) {
		void *at = lzi_map_at(&store->table.map, shared->table_huge, LZI_HUGE);

		if (at == NULL)
			return LATZ_OK;
		rc = lzi_map_collapse(at, LZI_HUGE);
		if (rc != LATZ_OK)
			return rc;
		shared->table_huge += LZI_HUGE;
		count_one(round);
	}
	return LATZ_OK;
}

static int heap_round(struct lzi_store *store, struct round *round)
{
	struct lzi_heap *heap = &store->heap;
	uint64_t n = lzi_heap_count(&store->heap), e;
	int rc;

	for (e = 0; e + LZI_EXTENTS_HUGE <= n && round->left > 0; e += LZI_EXTENTS_HUGE) {
		struct lzi_extent *meta = lzi_heap_meta(heap, e);
		void *at = lzi_heap_at(heap, e * LZI_EXTENT, LZI_HUGE);

		if (meta->huge || at == NULL || !is_whole(heap, e))
			continue;
		rc = lzi_map_collapse(at, LZI_HUGE);
		if (rc != LATZ_OK)
			return rc;
		meta->huge = 1;
		count_one(round);
	}
	return LATZ_OK;
}

static int unsupported; /* once refused, not asked for again by this process; atomic */

static int is_wanted(void)
{
	return !lzi_load_relaxed(&unsupported) && getenv("LATZERO_NO_HUGE") == NULL;
}

void lzi_huge_table(struct lzi_store *store)
{
	struct round round = { UINT_MAX, UINT64_MAX };

	if (is_wanted() && table_round(store, &round) == LATZ_UNSUPPORTED)
		lzi_store_relaxed(&unsupported, 1);
}

void lzi_use_huge_pages(struct lzi_store *store, int *ret_more)
{
	uint64_t begin = lzi_clock_mono_ns(), end;
	struct round round = { ROUND, begin + ROUND_NS };
	int rc;

	if (!is_wanted() || begin < store->huge_due_ns || lzi_heap_view(&store->heap) != LATZ_OK ||
	    lzi_table_view(&store->table) != LATZ_OK)
		return;
	rc = table_round(store, &round);
	if (rc == LATZ_OK)
		rc = heap_round(store, &round);
	if (rc == LATZ_UNSUPPORTED)
		lzi_store_relaxed(&unsupported, 1);
	end = lzi_clock_mono_ns();
	if (end - begin >= ROUND_NS)
		store->huge_due_ns = end + (end - begin) * PAUSE;
	else
		*ret_more |= rc == LATZ_OK && round.left == 0;
}
