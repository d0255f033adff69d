/*
 * What a process knows of a bounded pool's extents by age, for evicting. Not in shared memory; used by the holder of
 * `maint`, of one process's threads one at a time.
 */
#ifndef LZI_STORE_OLDEST_H
#define LZI_STORE_OLDEST_H

#include "policy/policy.h"
#include "store/store_int.h"

/* Extents of each list that are known by age. */
#define LZI_OLDEST_KNOWN 64u

/* An extent, as it was when it was found. */
struct lzi_oldest {
	uint64_t extent;
	uint32_t born;
	int passed; /* 1: it had nothing but what is fresh; 2: but what never goes */
};

struct lzi_evictor {
	struct lzi_oldest known[2][LZI_OLDEST_KNOWN];
	unsigned count[2], at[2];
	uint64_t weight[2]; /* live bytes of a list's extents, when last counted, and what was moved and evicted
			       since */
	uint64_t extents;   /* that hold records */
	uint64_t used, dead; /* bytes of records in them, when last counted */
	unsigned judged;    /* extents judged since then */
	unsigned asked;     /* and how often it was asked for since then */
	enum lzi_evict_reason why;
};

/* Whether a list may have no more extents than there are threads. */
int lzi_oldest_is_fine(const struct lzi_store *store, const struct lzi_evictor *evictor);
/* Looks at all extents: weights of the lists, and their oldest. */
int lzi_oldest_survey(struct lzi_store *store, struct lzi_evictor *evictor);
/* The extent to be judged next; NULL: the list has none but what was passed over. */
struct lzi_oldest *lzi_oldest_choose(struct lzi_store *store, struct lzi_evictor *evictor, enum lzi_policy_list list);
/* Of what was passed over, the oldest that makes room if what is fresh goes from it: where records are counted, any;
 * where bytes are, one that nobody appends to. NULL: none. */
const struct lzi_oldest *lzi_oldest_passed(struct lzi_store *store, const struct lzi_evictor *evictor,
                                           enum lzi_policy_list *ret_list);

#endif
