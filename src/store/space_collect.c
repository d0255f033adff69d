/*
 * Collecting the keys of namespaces that were dropped: a walk over all extents, in bounded steps, by maintenance. When
 * none is found any more, and all that were in a call then have left it, who was about to write one has seen that it is
 * dropped; one more walk that finds none, and slot and number are done with.
 */
#include "config.h"

#include "store/space.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/point.h"

struct collecting {
	struct lzi_call *call;
	uint32_t *found; /* of each slot */
};

static int is_doomed(const struct lzi_space *space)
{
	uint32_t state = lzi_load_acquire(&space->state);

	return lzi_load_relaxed(&space->number) != 0 && (state == LZI_SPACE_DROPPED || state == LZI_SPACE_SWEPT);
}

static int collect_one(struct lzi_record *record, uint64_t unit, void *arg)
{
	struct collecting *collecting = arg;
	struct lzi_store *store = collecting->call->store;
	struct lzi_write write = { .kind = LZI_WRITE_DELETE, .later = 1 };
	struct lzi_space *space;
	int rc;

	(void)unit;
	if (lzi_load_relaxed(&record->died) != 0 || !lzi_record_is_spaced(record))
		return 0;
	space = lzi_space_find(store, lzi_key_space(lzi_record_key(record)));
	if (space == NULL || !is_doomed(space))
		return 0;
	collecting->found[lzi_space_index(store, space)] = 1;
	write.key = (latz_slice){ lzi_record_key(record), record->key_size };
	rc = lzi_store_write(collecting->call, &write);
	LZI_POINT("space.collected");
	return rc == LATZ_NOTFOUND ? 0 : rc;
}

static int begin(struct lzi_store *store)
{
	uint32_t i;

	if (store->space.doomed == NULL)
		store->space.doomed = malloc(2 * LZI_SPACES_MAX * sizeof *store->space.doomed);
	if (store->space.doomed == NULL)
		return 0;
	memset(store->space.doomed, 0, 2 * LZI_SPACES_MAX * sizeof *store->space.doomed);
	for (i = 0; i < LZI_SPACES_MAX; i++) {
		const struct lzi_space *space = lzi_space_slot(store, i);

		if (is_doomed(space))
			store->space.doomed[i] = space->number;
	}
	return 1;
}

/* The number's last traces. */
static void finish_one(struct lzi_call *call, struct lzi_space *space)
{
	if (lzi_space_undoom(call, space->number) != LATZ_OK)
		return;
	lzi_space_wipe(call->store, lzi_space_index(call->store, space));
	lzi_store_relaxed(&space->state, (uint32_t)LZI_SPACE_NONE);
	LZI_POINT("space.wiped");
	lzi_store_release(&space->number, 0u);
}

/* All extents have been walked. 1: there is more to do. */
static int finish(struct lzi_call *call)
{
	struct lzi_store *store = call->store;
	const uint32_t *doomed = store->space.doomed, *found = doomed + LZI_SPACES_MAX;
	int more = 0, gone = -1;
	uint32_t i;

	lzi_store_relaxed(&store->control.shared->spaces.doomed, 0u);
	for (i = 0; i < LZI_SPACES_MAX; i++) {
		struct lzi_space *space = lzi_space_slot(store, i);

		if (!is_doomed(space))
			continue;
		if (doomed[i] == space->number && !found[i] && space->state == LZI_SPACE_SWEPT) {
			finish_one(call, space);
		} else if (doomed[i] == space->number && !found[i]) {
			if (gone < 0)
				gone = lzi_readers_gone(call);
			if (gone)
				lzi_store_release(&space->state, (uint32_t)LZI_SPACE_SWEPT);
		} else if (space->state == LZI_SPACE_SWEPT) {
			lzi_store_release(&space->state, (uint32_t)LZI_SPACE_DROPPED);
		}
		more |= is_doomed(space);
	}
	if (more)
		lzi_store_relaxed(&store->control.shared->spaces.doomed, 1u);
	return more;
}

void lzi_space_collect(struct lzi_call *call, uint64_t deadline_ns, int *ret_more)
{
	struct lzi_store *store = call->store;
	struct collecting collecting = { call, NULL };
	uint64_t n = lzi_heap_count(&store->heap), tail;

	if (lzi_likely(lzi_load_acquire(&store->control.shared->spaces.doomed) == 0) ||
	    lzi_space_slot(store, 0) == NULL || lzi_heap_view(&store->heap) != LATZ_OK)
		return;
	if ((store->space.cursor == 0 || store->space.doomed == NULL) && !begin(store))
		return;
	collecting.found = store->space.doomed + LZI_SPACES_MAX;
	for (; store->space.cursor < n; store->space.cursor++) {
		if ((deadline_ns != 0 && lzi_clock_mono_ns() > deadline_ns) || lzi_bound_urgent(store)) {
			*ret_more = 1;
			return;
		}
		if (lzi_image_bring(store, store->space.cursor) == LATZ_OK &&
		    lzi_extent_holds(store, store->space.cursor, &tail) &&
		    lzi_extent_walk(store, store->space.cursor, 0, tail, collect_one, &collecting) != LATZ_OK)
			return; /* another time */
	}
	store->space.cursor = 0;
	*ret_more |= finish(call);
}
