/*
 * Which extents of a bounded pool are emptied next: those of each of two lists, by age; of several threads' extents in
 * a small pool, the one with the oldest record.
 */
#include "config.h"

#include <string.h>

#include "store/oldest.h"

/* In a pool of fewer extents than this, or entries, which of several threads' extents has the oldest record is looked
 * at for each batch, and batches are smaller: a list may have no more extents than threads. */
#define FINE_EXTENTS 64u
#define FINE_ENTRIES 65536u

int lzi_oldest_is_fine(const struct lzi_store *store, const struct lzi_evictor *evictor)
{
	const struct lzi_bound *bound = &store->control.shared->bound;

	return evictor->extents < FINE_EXTENTS || (bound->max_entries != 0 && bound->max_entries < FINE_ENTRIES);
}

/* Whether an extent has records of the list that were not judged yet. */
static int has_more(struct lzi_store *store, uint64_t extent, enum lzi_policy_list list)
{
	const struct lzi_extent *meta = lzi_heap_meta(&store->heap, extent);
	uint64_t tail;

	return lzi_extent_holds(store, extent, &tail) && lzi_load_relaxed(&meta->list) == (uint8_t)list &&
	       (lzi_heap_state(&store->heap, extent) == LZI_EXTENT_RUN
	                ? tail > 0 && lzi_load_relaxed(&meta->owner) == 0 && lzi_load_relaxed(&meta->judged) == 0
	                : lzi_load_relaxed(&meta->judged) * (uint64_t)LZI_UNIT < tail);
}

/* Keeps the oldest: `known` is a list in order. */
static void note_known(struct lzi_evictor *evictor, enum lzi_policy_list list, uint64_t extent, uint32_t born)
{
	struct lzi_oldest *known = evictor->known[list];
	unsigned n = evictor->count[list], i;

	if (n == LZI_OLDEST_KNOWN) {
		if (!lzi_born_before(born, known[n - 1].born))
			return;
		n--;
	}
	for (i = n; i > 0 && lzi_born_before(born, known[i - 1].born); i--)
		known[i] = known[i - 1];
	known[i].extent = extent;
	known[i].born = born;
	known[i].passed = 0;
	evictor->count[list] = n + 1;
}

int lzi_oldest_survey(struct lzi_store *store, struct lzi_evictor *evictor)
{
	uint64_t n = lzi_heap_count(&store->heap), e, tail, dead;
	int rc = lzi_heap_view(&store->heap);

	if (rc != LATZ_OK)
		return rc;
	memset(evictor, 0, sizeof *evictor);
	for (e = 0; e < n; e++) {
		const struct lzi_extent *meta = lzi_heap_meta(&store->heap, e);
		enum lzi_policy_list list = lzi_load_relaxed(&meta->list) == LZI_LIST_MAIN ? LZI_POLICY_MAIN
		                                                                         : LZI_POLICY_WINDOW;

		if (!lzi_extent_holds(store, e, &tail))
			continue;
		dead = lzi_load_relaxed(&meta->dead);
		evictor->weight[list] += dead < tail ? tail - dead : 0;
		evictor->used += tail;
		evictor->dead += dead < tail ? dead : tail;
		evictor->extents++;
		if (has_more(store, e, list))
			note_known(evictor, list, e, lzi_load_relaxed(&meta->born));
	}
	return LATZ_OK;
}

/* The version of the first record not judged: which of several open extents has the oldest. */
static uint64_t head_seq(struct lzi_store *store, uint64_t extent)
{
	uint64_t at = lzi_heap_state(&store->heap, extent) == LZI_EXTENT_RUN
	                      ? 0
	                      : (uint64_t)lzi_load_relaxed(&lzi_heap_meta(&store->heap, extent)->judged) * LZI_UNIT;
	const struct lzi_record *record = lzi_heap_at(&store->heap, extent * LZI_EXTENT + at, LZI_RECORD_HEAD);

	return record == NULL ? UINT64_MAX : lzi_load_relaxed(&record->seq);
}

/* Whether what is known of an extent is still so. */
static int is_current(struct lzi_store *store, const struct lzi_oldest *known, enum lzi_policy_list list)
{
	return lzi_load_relaxed(&lzi_heap_meta(&store->heap, known->extent)->born) == known->born &&
	       has_more(store, known->extent, list);
}

struct lzi_oldest *lzi_oldest_choose(struct lzi_store *store, struct lzi_evictor *evictor, enum lzi_policy_list list)
{
	struct lzi_oldest *best = NULL, *open = NULL;
	uint64_t best_seq = UINT64_MAX;
	unsigned i;

	for (i = evictor->at[list]; i < evictor->count[list]; i++) {
		struct lzi_oldest *known = &evictor->known[list][i];
		uint64_t seq;

		if (!is_current(store, known, list)) {
			if (i == evictor->at[list])
				evictor->at[list]++;
			continue;
		}
		if (known->passed)
			continue;
		if (!lzi_oldest_is_fine(store, evictor)) {
			if (lzi_heap_state(&store->heap, known->extent) != LZI_EXTENT_OPEN)
				return known;
			open = open == NULL ? known : open;
			continue;
		}
		if (list == LZI_POLICY_MAIN)
			return known;
		seq = head_seq(store, known->extent);
		if (seq < best_seq) {
			best = known;
			best_seq = seq;
		}
	}
	return best != NULL ? best : open;
}

const struct lzi_oldest *lzi_oldest_passed(struct lzi_store *store, const struct lzi_evictor *evictor,
                                           enum lzi_policy_list *ret_list)
{
	int any = lzi_load_relaxed(&store->control.shared->bound.max_entries) != 0;
	enum lzi_policy_list list;
	unsigned i;

	for (list = LZI_POLICY_WINDOW; list <= LZI_POLICY_MAIN; list++) {
		for (i = evictor->at[list]; i < evictor->count[list]; i++) {
			const struct lzi_oldest *known = &evictor->known[list][i];

			if (known->passed == 1 && is_current(store, known, list) &&
			    (any || lzi_heap_state(&store->heap, known->extent) != LZI_EXTENT_OPEN)) {
				*ret_list = list;
				return known;
			}
		}
	}
	return NULL;
}
