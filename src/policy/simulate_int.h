/*
 * Private to the simulation: its struct, and the log that a cache by age keeps its entries in.
 */
#ifndef LZI_POLICY_SIMULATE_INT_H
#define LZI_POLICY_SIMULATE_INT_H

#include <inttypes.h>

#include "policy/simulate.h"

/* An entry that is in. */
struct resident {
	uint64_t hash;
	uint32_t weight;
	uint32_t chain;   /* the next of its bucket, or of the free ones */
	uint32_t younger; /* by age: the next of its extent */
	uint8_t visits;
};

/* Entries in order of their coming. */
struct extent {
	struct extent *younger;
	uint32_t first, last;
	uint64_t weight;
};

/* One of the two lists of a log. */
struct extents {
	struct extent *oldest, *open; /* open: also the youngest; NULL if the next entry begins a new one */
	struct extent *youngest;
	uint64_t weight; /* of entries */
};

struct lzi_simulation {
	const struct lzi_policy *policy;
	struct lzi_policy_block state;
	uint64_t state_entries; /* that it was made for */
	uint64_t capacity;      /* in units of weight */
	uint64_t entries_max;
	int by_bytes;
	struct lzi_simulation_result result;

	/* Residents: a hash table, chained by index from 1. */
	struct resident *resident;
	uint32_t *bucket;
	uint32_t size, used, free;
	unsigned shift;

	/* By age. */
	struct extents list[2];
	uint64_t extent_weight; /* at which an extent is closed */
	unsigned copied_limit;  /* hundredths */
	uint64_t credit;        /* hundredths of weight that may be copied yet */
};

/* Takes an entry out of the table; not out of its extent. */
void lzi_simulation_forget(struct lzi_simulation *simulation, uint32_t index);

/* simulate_log.c */
int lzi_simulation_log_open(struct lzi_simulation *simulation, unsigned extents, unsigned copied_limit);
void lzi_simulation_log_close(struct lzi_simulation *simulation);
/* Empties extents until one more entry fits. */
int lzi_simulation_make_room(struct lzi_simulation *simulation, uint32_t weight);
/* Appends to the open extent of a list. */
int lzi_simulation_append(struct lzi_simulation *simulation, enum lzi_policy_list list, uint32_t index);

#endif
