/*
 * The log of a simulated cache by age: extents in two lists, as in a pool's heap. An extent takes entries until it has
 * its weight, the last of them whole; what is still unfilled of the open ones counts as full, as its blocks are taken.
 * Extents are emptied from the oldest: a batch at a time is judged, and what stays is appended to the main list.
 */
#include "config.h"

#include <stdlib.h>

#include "base/error.h"
#include "policy/simulate_int.h"

enum {
	CREDIT_EXTENTS = 4 /* what was not copied of so many extents may be copied of later ones */
};

int lzi_simulation_log_open(struct lzi_simulation *simulation, unsigned extents, unsigned copied_limit)
{
	simulation->extent_weight = simulation->capacity / (extents > 0 ? extents : 1);
	if (simulation->extent_weight == 0)
		simulation->extent_weight = 1;
	simulation->copied_limit = copied_limit < 100 ? copied_limit : 99;
	return LATZ_OK;
}

static void free_list(struct extents *list)
{
	struct extent *extent, *next;

	for (extent = list->oldest; extent != NULL; extent = next) {
		next = extent->younger;
		free(extent);
	}
}

void lzi_simulation_log_close(struct lzi_simulation *simulation)
{
	free_list(&simulation->list[0]);
	free_list(&simulation->list[1]);
}

/* What its open extent has no entries for yet. */
static uint64_t unfilled(const struct lzi_simulation *simulation, const struct extents *list)
{
	if (list->open == NULL || list->open->weight >= simulation->extent_weight)
		return 0;
	return simulation->extent_weight - list->open->weight;
}

static struct extent *open_extent(struct lzi_simulation *simulation, struct extents *list)
{
	if (list->open != NULL && list->open->weight < simulation->extent_weight)
		return list->open;
	struct extent *extent = calloc(1, sizeof *extent);
	if (extent == NULL)
		return NULL;
	if (list->youngest != NULL)
		list->youngest->younger = extent;
	else
		list->oldest = extent;
	list->youngest = list->open = extent;
	return extent;
}

int lzi_simulation_append(struct lzi_simulation *simulation, enum lzi_policy_list list, uint32_t index)
{
	struct extents *extents = &simulation->list[list];
	struct extent *extent = open_extent(simulation, extents);
	struct resident *resident = &simulation->resident[index];

	if (extent == NULL)
		return lzi_error(LATZ_NOMEM, "extent of a simulation");
	resident->younger = 0;
	resident->visits = 0;
	if (extent->last != 0)
		simulation->resident[extent->last].younger = index;
	else
		extent->first = index;
	extent->last = index;
	extent->weight += resident->weight;
	extents->weight += resident->weight;
	return LATZ_OK;
}

/* One batch of an extent's oldest: the index of the first entry after them, 0 if it is empty. */
static int empty_batch(struct lzi_simulation *simulation, enum lzi_policy_list list, uint32_t *first)
{
	struct lzi_candidate candidate[LZI_POLICY_BATCH];
	uint32_t index[LZI_POLICY_BATCH];
	unsigned n = 0;
	uint32_t i;
	int rc = LATZ_OK;

	for (i = *first; i != 0 && n < LZI_POLICY_BATCH; i = simulation->resident[i].younger, n++) {
		const struct resident *resident = &simulation->resident[i];

		index[n] = i;
		candidate[n] = (struct lzi_candidate){ .hash = resident->hash,
			                               .weight = resident->weight,
			                               .visits = resident->visits };
	}
	*first = i;
	simulation->policy->judge(simulation->state, list, candidate, n);
	for (unsigned k = 0; k < n && rc == LATZ_OK; k++) {
		uint64_t cost = 100 * (uint64_t)candidate[k].weight;

		if (candidate[k].keep && cost <= simulation->credit) {
			simulation->credit -= cost;
			simulation->result.copies++;
			rc = lzi_simulation_append(simulation, LZI_POLICY_MAIN, index[k]);
		} else {
			lzi_simulation_forget(simulation, index[k]);
			simulation->result.evictions++;
		}
	}
	return rc;
}

/* Empties the oldest extent of the list that the policy names. */
static int empty_extent(struct lzi_simulation *simulation)
{
	struct extents *window = &simulation->list[LZI_POLICY_WINDOW], *main = &simulation->list[LZI_POLICY_MAIN];
	enum lzi_policy_list list = simulation->policy->next(simulation->state, window->weight, main->weight);
	struct extents *extents = &simulation->list[list == LZI_POLICY_MAIN];
	struct extent *extent;
	uint32_t first;
	int rc = LATZ_OK;

	if (extents->oldest == NULL)
		extents = extents == main ? window : main;
	extent = extents->oldest;
	if (extent == NULL)
		return lzi_error(LATZ_CORRUPT, "a simulated log is full of nothing");
	/* An extent that is still open is closed first: what is kept goes elsewhere. */
	if (extents->open == extent)
		extents->open = NULL;
	extents->oldest = extent->younger;
	if (extents->oldest == NULL)
		extents->youngest = NULL;
	extents->weight -= extent->weight;
	simulation->credit += simulation->copied_limit * extent->weight;
	if (simulation->credit > 100ul * CREDIT_EXTENTS * simulation->extent_weight + 100 * extent->weight)
		simulation->credit = 100ul * CREDIT_EXTENTS * simulation->extent_weight + 100 * extent->weight;
	for (first = extent->first; first != 0 && rc == LATZ_OK;)
		rc = empty_batch(simulation, extents == main ? LZI_POLICY_MAIN : LZI_POLICY_WINDOW, &first);
	free(extent);
	return rc;
}

/* Whether one more entry fits, with a new extent for it if that is what it takes. */
static int has_room(const struct lzi_simulation *simulation, uint32_t weight)
{
	const struct extents *window = &simulation->list[LZI_POLICY_WINDOW];
	uint64_t used = simulation->result.weight + unfilled(simulation, window) +
	                unfilled(simulation, &simulation->list[LZI_POLICY_MAIN]);
	uint64_t there = unfilled(simulation, window), wanted = weight;

	if (there == 0)
		wanted = weight > simulation->extent_weight ? weight : simulation->extent_weight;
	else
		wanted = weight > there ? weight - there : 0;
	return used <= simulation->capacity && wanted <= simulation->capacity - used &&
	       simulation->result.entries < simulation->entries_max;
}

int lzi_simulation_make_room(struct lzi_simulation *simulation, uint32_t weight)
{
	int rc = LATZ_OK;

	while (rc == LATZ_OK && !has_room(simulation, weight) && simulation->result.entries > 0)
		rc = empty_extent(simulation);
	return rc;
}
