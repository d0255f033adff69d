/*
 * Miss ratios from a sample: reuse distances for LRU, miniature simulations for the rest.
 *
 * The distance of a reference is what else was asked for since its key was last: how many keys, and what they weigh.
 * Every key counts at the place of its latest reference, in a tree of partial sums (Fenwick 1994) over the places.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "policy/advise.h"
#include "policy/simulate.h"

/* The log that a pool is, by age, as the simulation of it has it. */
#define EXTENTS 128
#define COPIED_LIMIT 90

#define WEIGHT_MASK ((1u << 23) - 1)

/* Misses in the sample, or references of it that created their key, fewer than which tell nothing. */
#define MISSES_MIN 32u
/* By which the sample may be off from the whole, at most. */
#define FACTOR_MAX 16.0

/* ---- Misses counted --------------------------------------------------------------------------------------------- */

struct count {
	uint64_t references, weight; /* of those counted */
	uint64_t missed, missed_weight;
	uint64_t created, created_weight; /* of them: those that really were misses */
};

static uint64_t id_of(uint64_t word)
{
	return word >> 24;
}

static uint64_t weight_of(uint64_t word)
{
	return word & WEIGHT_MASK;
}

static int was_created(uint64_t word)
{
	return (int)(word >> 23 & 1);
}

static void count_one(struct count *count, uint64_t word, int missed)
{
	uint64_t weight = weight_of(word);

	count->references++;
	count->weight += weight;
	if (was_created(word)) {
		count->created++;
		count->created_weight += weight;
	}
	if (missed) {
		count->missed++;
		count->missed_weight += weight;
	}
}

/* The share of all references: what was missed really, times what would have been in the sample, to what was there. */
static double share(uint64_t missed, uint64_t created, uint64_t of, uint64_t all_created, uint64_t all, unsigned least)
{
	double ratio = of > 0 ? (double)missed / (double)of : 0;

	if (all > 0 && created >= least && created > 0) {
		double factor = (double)all_created / (double)all / ((double)created / (double)of);

		/* The counts may be off, but not all is in the sample, or nothing, because of a few keys. */
		ratio *= factor > FACTOR_MAX ? FACTOR_MAX : factor < 1 / FACTOR_MAX ? 1 / FACTOR_MAX : factor;
	}
	return ratio > 1 ? 1 : ratio;
}

static void finish(const struct lzi_advise_sample *sample, const struct count *count,
                   struct lzi_advise_misses *ret_misses)
{
	const struct lzi_sample_sum *all = &sample->all;

	ret_misses->references =
		share(count->missed, count->created, count->references, all->created, all->references, MISSES_MIN);
	ret_misses->weight = share(count->missed_weight, count->created_weight, count->weight, all->created_weight,
	                           all->weight, MISSES_MIN);
}

void lzi_advise_measured(const struct lzi_advise_sample *sample, struct lzi_advise_misses *ret_misses)
{
	const struct lzi_sample_sum *all = &sample->all;

	ret_misses->references = all->references > 0 ? (double)all->created / (double)all->references : 0;
	ret_misses->weight = all->weight > 0 ? (double)all->created_weight / (double)all->weight : 0;
}

/* The part of a size that is the sample's; 0 stays 0. */
static uint64_t part(uint64_t size, uint32_t threshold)
{
	uint64_t small;

	if (size == 0 || threshold == UINT32_MAX)
		return size;
	small = (uint64_t)(((unsigned __int128)size * threshold + (1u << 31)) >> 32);
	return small < 1 ? 1 : small;
}

/* ---- Distances -------------------------------------------------------------------------------------------------- */

struct seen {
	uint64_t id;
	uint64_t place;  /* of the latest reference, + 1; 0: none */
	uint64_t weight; /* when it was created, or, if that is not known, first asked for: a hit tells what it got,
	                    which may have been kept compressed */
};

struct distances {
	const struct lzi_advise_sample *sample;
	struct seen *seen; /* a hash table */
	uint64_t mask;
	uint64_t *keys, *weights; /* trees, indexed from 1 */
	uint64_t keys_all, weights_all;
};

static void add(uint64_t *tree, uint64_t count, uint64_t place, uint64_t what)
{
	for (; place <= count; place += place & -place)
		tree[place] += what;
}

static uint64_t sum(const uint64_t *tree, uint64_t place)
{
	uint64_t all = 0;

	for (; place > 0; place -= place & -place)
		all += tree[place];
	return all;
}

static struct seen *find(struct distances *distances, uint64_t id)
{
	uint64_t at = id * 0x9e3779b97f4a7c15ull >> 20;

	while (distances->seen[at & distances->mask].place != 0 && distances->seen[at & distances->mask].id != id)
		at++;
	return &distances->seen[at & distances->mask];
}

static int distances_open(struct distances *distances, const struct lzi_advise_sample *sample)
{
	uint64_t size = 64;

	while (size < sample->count * 2)
		size *= 2;
	memset(distances, 0, sizeof *distances);
	distances->sample = sample;
	distances->mask = size - 1;
	distances->seen = calloc(size, sizeof *distances->seen);
	distances->keys = calloc(sample->count + 1, sizeof *distances->keys);
	distances->weights = calloc(sample->count + 1, sizeof *distances->weights);
	if (distances->seen == NULL || distances->keys == NULL || distances->weights == NULL)
		return lzi_error(LATZ_NOMEM, "reuse distances of %llu references", (unsigned long long)sample->count);
	return LATZ_OK;
}

static void distances_close(struct distances *distances)
{
	free(distances->seen);
	free(distances->keys);
	free(distances->weights);
}

/* The key's weight from this reference on. */
static uint64_t weigh(const struct seen *seen, uint64_t word)
{
	return seen->place == 0 || was_created(word) ? weight_of(word) : seen->weight;
}

int lzi_advise_warm(struct lzi_advise_sample *sample, uint64_t keys)
{
	struct distances distances;
	uint64_t i, n = 0, few = part(keys, sample->threshold);
	int rc = distances_open(&distances, sample);

	for (i = 0; rc == LATZ_OK && i < sample->count / 3 && n < few; i++) {
		struct seen *seen = find(&distances, id_of(sample->word[i]));

		n += seen->place == 0;
		*seen = (struct seen){ id_of(sample->word[i]), i + 1, 0 };
	}
	sample->warm = i;
	distances_close(&distances);
	return rc;
}

/* The next reference's distance, itself included. 0: its key was not there before. */
static int distance(struct distances *distances, uint64_t i, uint64_t *ret_keys, uint64_t *ret_weight)
{
	const struct lzi_advise_sample *sample = distances->sample;
	uint64_t id = id_of(sample->word[i]);
	struct seen *seen = find(distances, id);
	uint64_t before = seen->place, old = seen->weight;
	uint64_t weight = sample->by_weight ? weigh(seen, sample->word[i]) : 1;

	if (before != 0) {
		*ret_keys = distances->keys_all - sum(distances->keys, before) + 1;
		*ret_weight = distances->weights_all - sum(distances->weights, before) + weight;
		add(distances->keys, sample->count, before, -1ull);
		add(distances->weights, sample->count, before, -old);
		distances->keys_all--;
		distances->weights_all -= old;
	}
	*seen = (struct seen){ id, i + 1, weight };
	add(distances->keys, sample->count, i + 1, 1);
	add(distances->weights, sample->count, i + 1, weight);
	distances->keys_all++;
	distances->weights_all += weight;
	return before != 0;
}

/* The first time that the sample has a key. */
static int is_miss_at_first(uint64_t word, const struct lzi_advise_size *size)
{
	return was_created(word) || !size->larger;
}

int lzi_advise_lru(const struct lzi_advise_sample *sample, const struct lzi_advise_size *size, unsigned n,
                   struct lzi_advise_misses *ret_misses)
{
	uint64_t i, keys = 0, weight = 0;
	struct count *count = calloc(n, sizeof *count);
	struct distances distances;
	unsigned at;
	int rc = distances_open(&distances, sample);

	if (rc == LATZ_OK && count == NULL)
		rc = lzi_error(LATZ_NOMEM, "miss ratios of %u sizes", n);
	for (i = 0; rc == LATZ_OK && i < sample->count; i++) {
		int again = distance(&distances, i, &keys, &weight);

		for (at = 0; at < n && i >= sample->warm; at++) {
			uint64_t entries = part(size[at].entries, sample->threshold);
			uint64_t room = part(size[at].weight, sample->threshold);
			int missed = again ? (entries != 0 && keys > entries) || (room != 0 && weight > room)
			                   : is_miss_at_first(sample->word[i], &size[at]);

			count_one(&count[at], sample->word[i], missed);
		}
	}
	for (at = 0; rc == LATZ_OK && at < n; at++)
		finish(sample, &count[at], &ret_misses[at]);
	distances_close(&distances);
	free(count);
	return rc;
}

/* ---- In small --------------------------------------------------------------------------------------------------- */

/* Ids are neighbours in value when they are in no other way: policies take bits of a hash for chance. */
static uint64_t mix(uint64_t id)
{
	id *= 0x9e3779b97f4a7c15ull;
	id = (id ^ id >> 32) * 0xd6e8feb86659fd93ull;
	return id ^ id >> 32;
}

int lzi_advise_policy(const struct lzi_advise_sample *sample, const struct lzi_policy *policy,
                      const struct lzi_advise_size *size, struct lzi_advise_misses *ret_misses)
{
	uint64_t entries = part(size->entries, sample->threshold);
	/* No more can ever be in it than are asked for. */
	struct lzi_simulation_options options = { .entries = entries < sample->count ? entries : sample->count,
		                                  .bytes = part(size->weight, sample->threshold),
		                                  .extents = EXTENTS,
		                                  .copied_limit = COPIED_LIMIT };
	struct lzi_simulation *simulation = NULL;
	struct distances distances;
	struct count count = { 0 };
	uint64_t i;
	int rc = distances_open(&distances, sample);

	if (rc == LATZ_OK)
		rc = lzi_simulation_open(policy, &options, &simulation);
	for (i = 0; rc == LATZ_OK && i < sample->count; i++) {
		uint64_t word = sample->word[i];
		struct seen *seen = find(&distances, id_of(word));
		uint64_t weight = weigh(seen, word);
		int missed;

		rc = lzi_simulation_request(simulation, mix(id_of(word)), weight);
		missed = rc == LATZ_NOTFOUND && (seen->place != 0 || is_miss_at_first(word, size));
		*seen = (struct seen){ id_of(word), i + 1, weight };
		if (i >= sample->warm)
			count_one(&count, word, missed);
		rc = rc == LATZ_NOTFOUND ? LATZ_OK : rc;
	}
	lzi_simulation_close(simulation);
	distances_close(&distances);
	if (rc == LATZ_OK)
		finish(sample, &count, ret_misses);
	return rc;
}
