/*
 * What a cache of another size would make of the references in a sample: in the memory of whoever asks.
 *
 * Spatial sampling: the keys of a sample, chosen by their hash, behave in a cache that is smaller by the same factor as
 * all keys do in the whole one. From distances between references to the same key (SHARDS: Waldspurger et al., FAST
 * 2015) follows what LRU would make of any size at once; other ways of keeping are simulated in small (Waldspurger et
 * al., ATC 2017). What chance put into the sample is evened out by what is known of all keys: the misses of another
 * size are told as so many times those that there really were, in the sample; and how many there were in all was
 * counted. So it makes no difference whether the few hottest keys are in the sample (which SHARDS-adj is about, too).
 */
#ifndef LZI_POLICY_ADVISE_H
#define LZI_POLICY_ADVISE_H

#include "policy/policy.h"
#include "policy/sample.h"

struct lzi_advise_sample {
	const uint64_t *word; /* lzi_sample_word() */
	uint64_t count;
	uint64_t warm; /* so many at the beginning fill the caches, and are not counted */
	uint32_t threshold;
	int by_weight;             /* else every entry weighs 1 */
	struct lzi_sample_sum all; /* of all keys while the sample was taken; zeroes: not known */
};

/* A size of the whole cache, not of the one in small. */
struct lzi_advise_size {
	uint64_t entries; /* 0: no bound */
	uint64_t weight;  /* 0: no bound; only by_weight */
	int larger;       /* than the one there was, or the same: what was hit without its past being known would be */
};

/* Shares of references, and of their weight, that would be missed: 0 to 1. */
struct lzi_advise_misses {
	double references, weight;
};

/* Sets `warm`: until so many keys, of all, have been asked for, at most a third. LATZ_NOMEM. */
int lzi_advise_warm(struct lzi_advise_sample *sample, uint64_t keys);
/* Of the size that there was. */
void lzi_advise_measured(const struct lzi_advise_sample *sample, struct lzi_advise_misses *ret_misses);
/* Under LRU, for n sizes. LATZ_NOMEM. */
int lzi_advise_lru(const struct lzi_advise_sample *sample, const struct lzi_advise_size *size, unsigned n,
                   struct lzi_advise_misses *ret_misses);
/* Under a policy, for one size. LATZ_NOMEM, LATZ_CORRUPT. */
int lzi_advise_policy(const struct lzi_advise_sample *sample, const struct lzi_policy *policy,
                      const struct lzi_advise_size *size, struct lzi_advise_misses *ret_misses);

#endif
