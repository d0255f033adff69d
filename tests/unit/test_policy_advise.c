/*
 * policy/sample and policy/advise: LRU's misses against an exact stack, sampled ones near them; logs that fill up; and
 * memory that was scribbled over.
 */
#include "config.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "policy/advise.h"
#include "policy/simulate.h"

enum {
	PLACES = LZI_SAMPLE_PLACES_MIN * 8,
	KEYS = 80000,
	CACHE = 16000,
	REFERENCES = 1500000
};

static uint64_t chance_state;

static uint64_t chance(void)
{
	chance_state = chance_state * 6364136223846793005ull + 1442695040888963407ull;
	return chance_state >> 33;
}

/* Some keys are asked for much more often than others. */
static uint64_t skewed(uint64_t keys)
{
	uint64_t a = chance() % keys, b = chance() % keys, c = chance() % keys;

	a = a < b ? a : b;
	return a < c ? a : c;
}

static uint64_t hash_of(uint64_t key)
{
	return lzi_hash(7, &key, sizeof key);
}

static struct lzi_sample *make(const struct lzi_sample_sum *now)
{
	struct lzi_sample *sample = calloc(1, LZI_SAMPLE_BYTES);

	assert_non_null(sample);
	lzi_sample_init(sample, PLACES, now, 1);
	assert_true(lzi_sample_is_whole(sample, PLACES));
	return sample;
}

/* An LRU cache as a list of keys, for comparison: slow and obvious. */
struct naive {
	uint64_t *key, *weight;
	size_t count, bound;
	uint64_t room, used;
};

/* 1: a hit. */
static int naive_get(struct naive *naive, uint64_t key, uint64_t weight)
{
	size_t at = 0;
	int hit;

	while (at < naive->count && naive->key[at] != key)
		at++;
	hit = at < naive->count;
	if (hit)
		naive->used -= naive->weight[at];
	else
		naive->count++;
	memmove(naive->key + 1, naive->key, at * sizeof *naive->key);
	memmove(naive->weight + 1, naive->weight, at * sizeof *naive->weight);
	naive->key[0] = key;
	naive->weight[0] = weight;
	naive->used += weight;
	while (naive->count > naive->bound || naive->used > naive->room)
		naive->used -= naive->weight[--naive->count];
	return hit;
}

static double naive_ratio(const uint64_t *word, size_t n, size_t bound, uint64_t room)
{
	struct naive naive = { calloc(n + 1, 8), calloc(n + 1, 8), 0, bound, room, 0 };
	size_t misses = 0;

	for (size_t i = 0; i < n; i++)
		misses += !naive_get(&naive, word[i] >> 24, word[i] & ((1 << 23) - 1));
	free(naive.key);
	free(naive.weight);
	return (double)misses / (double)n;
}

static void distances_are_exact(void **state)
{
	enum {
		N = 6000
	};
	static const uint64_t bounds[] = { 1, 2, 10, 100, 333, 700 };
	struct lzi_advise_size size[6];
	struct lzi_advise_misses misses[6];
	static uint64_t word[N];
	struct lzi_advise_sample sample = { .word = word, .count = N, .threshold = UINT32_MAX };

	(void)state;
	chance_state = 1;
	for (unsigned i = 0; i < N; i++)
		word[i] = lzi_sample_word(lzi_sample_id(hash_of(i % 7 == 0 ? i : skewed(800))), 1, 0);
	memset(size, 0, sizeof size);
	for (unsigned i = 0; i < 6; i++)
		size[i].entries = bounds[i];
	assert_int_equal(lzi_advise_lru(&sample, size, 6, misses), LATZ_OK);
	for (unsigned i = 0; i < 6; i++) {
		struct lzi_advise_misses own;

		assert_true(fabs(misses[i].references - naive_ratio(word, N, bounds[i], UINT64_MAX)) < 1e-9);
		/* The policy's own code, simulated, has to say the same. */
		assert_int_equal(lzi_advise_policy(&sample, lzi_policy_by_id(LATZ_POLICY_LRU), &size[i], &own),
		                 LATZ_OK);
		assert_true(fabs(misses[i].references - own.references) < 1e-9);
	}
}

static void distances_in_bytes_are_near(void **state)
{
	enum {
		N = 6000
	};
	struct lzi_advise_size size = { .weight = 3000 };
	struct lzi_advise_misses misses;
	static uint64_t word[N];
	struct lzi_advise_sample sample = { .word = word, .count = N, .threshold = UINT32_MAX, .by_weight = 1 };

	(void)state;
	chance_state = 2;
	for (unsigned i = 0; i < N; i++) {
		uint64_t key = skewed(800);

		word[i] = lzi_sample_word(lzi_sample_id(hash_of(key)), 1 + key % 20, 0);
	}
	assert_int_equal(lzi_advise_lru(&sample, &size, 1, &misses), LATZ_OK);
	assert_true(fabs(misses.references - naive_ratio(word, N, SIZE_MAX, 3000)) < 0.005);
}

/* What a pool of CACHE keys tells: all keys' references, with how they ended there. */
struct pool {
	struct lzi_simulation *simulation;
	struct lzi_sample *sample;
	struct lzi_sample_sum now;
};

static void refer(struct pool *pool, uint64_t key)
{
	uint64_t hash = hash_of(key), id = lzi_sample_id(hash);
	int created = lzi_simulation_request(pool->simulation, hash, 1) == LATZ_NOTFOUND;

	pool->now.references++;
	pool->now.weight++;
	pool->now.created += (uint64_t)created;
	pool->now.created_weight += (uint64_t)created;
	if (lzi_sample_has(id, pool->sample->threshold) &&
	    lzi_sample_add(pool->sample, PLACES, lzi_sample_word(id, 1, created)) != 0)
		lzi_sample_make_room(pool->sample, CACHE, &pool->now);
}

static struct lzi_simulation *cache_of(uint64_t entries)
{
	struct lzi_simulation_options options = { .entries = entries };
	struct lzi_simulation *simulation;

	assert_int_equal(lzi_simulation_open(lzi_policy_by_id(LATZ_POLICY_LRU), &options, &simulation), LATZ_OK);
	return simulation;
}

/* The log overflows many times; half and twice the size are told to two points all the same. */
static void samples_tell_other_sizes(void **state)
{
	struct pool pool = { .simulation = cache_of(CACHE) };
	struct lzi_simulation *other[2] = { cache_of(CACHE / 2), cache_of(CACHE * 2) };
	double missed[2] = { 0, 0 };
	struct lzi_advise_size size[2] = { { .entries = CACHE / 2 }, { .entries = CACHE * 2, .larger = 1 } };
	struct lzi_advise_misses misses[2], measured;
	struct lzi_advise_sample sample = { 0 };
	uint64_t *log = calloc(PLACES, sizeof *log);

	(void)state;
	chance_state = 3;
	pool.sample = make(&pool.now);
	for (unsigned i = 0; i < REFERENCES; i++) {
		uint64_t key = skewed(KEYS);

		refer(&pool, key);
		/* The sample is about the latest part, when all are full. */
		for (unsigned at = 0; at < 2; at++)
			missed[at] +=
				lzi_simulation_request(other[at], hash_of(key), 1) != LATZ_OK && i >= REFERENCES / 2;
	}
	assert_true(pool.sample->threshold <= UINT32_MAX / 8);
	assert_true(pool.sample->threshold >= UINT32_MAX / 16);
	assert_true(pool.sample->cuts > 0);
	sample.word = log;
	sample.count = lzi_sample_copy(pool.sample, lzi_sample_places(pool.sample), log);
	sample.threshold = pool.sample->threshold;
	sample.all = lzi_sample_since(pool.sample, &pool.now);
	assert_true(sample.count > PLACES / 2);
	/* The base moved with what was dropped. */
	assert_true(fabs((double)sample.all.references * sample.threshold / 4294967296.0 / (double)sample.count - 1) <
	            0.1);
	assert_int_equal(lzi_advise_warm(&sample, CACHE * 2), LATZ_OK);
	assert_true(sample.warm > 0 && sample.warm <= sample.count / 3);
	assert_int_equal(lzi_advise_lru(&sample, size, 2, misses), LATZ_OK);
	lzi_advise_measured(&sample, &measured);
	for (unsigned at = 0; at < 2; at++) {
		assert_true(fabs(misses[at].references - missed[at] / (REFERENCES / 2.0)) < 0.02);
		lzi_simulation_close(other[at]);
	}
	lzi_simulation_close(pool.simulation);
	assert_true(measured.references > misses[1].references && measured.references < misses[0].references);
	free(log);
	free(pool.sample);
}

/* Whether a very hot key is in the sample or not: the same advice. */
static void hot_keys_make_no_difference(void **state)
{
	struct lzi_advise_size size = { .entries = 500 };
	struct lzi_advise_misses misses[2];

	(void)state;
	for (unsigned with = 0; with < 2; with++) {
		enum {
			N = 40000
		};
		uint64_t *word = calloc(N, sizeof *word);
		struct lzi_simulation *cache = cache_of(1000);
		struct lzi_advise_sample sample = { .word = word, .threshold = UINT32_MAX / 4 };

		chance_state = 4;
		for (unsigned i = 0; i < N; i++) {
			uint64_t key = chance() % 2 == 0 ? UINT64_MAX : skewed(5000), id = lzi_sample_id(hash_of(key));
			int created = lzi_simulation_request(cache, hash_of(key), 1) == LATZ_NOTFOUND;

			sample.all.references++;
			sample.all.created += (uint64_t)created;
			if (key == UINT64_MAX ? with == 1 : lzi_sample_has(id, sample.threshold) != 0)
				word[sample.count++] = lzi_sample_word(id, 1, created);
		}
		assert_int_equal(lzi_advise_lru(&sample, &size, 1, &misses[with]), LATZ_OK);
		lzi_simulation_close(cache);
		free(word);
	}
	assert_true(fabs(misses[0].references - misses[1].references) < 0.02);
}

/* Words of every kind in the block: nothing outside it is touched, and everything ends. */
static void scribbled_over(void **state)
{
	struct lzi_sample_sum now = { 1000, 1000, 500, 500 };
	struct lzi_sample *sample = make(&now);
	uint64_t *copy = calloc(LZI_SAMPLE_PLACES_MAX, sizeof *copy);

	(void)state;
	chance_state = 5;
	for (unsigned round = 0; round < 300; round++) {
		struct lzi_advise_sample taken = { .word = copy };
		struct lzi_advise_size size = { .entries = 100 };
		struct lzi_advise_misses misses;
		uint64_t *words = (uint64_t *)(void *)sample, places;

		for (unsigned i = 0; i < 100; i++) {
			uint64_t at = chance() % (i % 2 ? 100 : LZI_SAMPLE_BYTES / 8);

			words[at] = chance() % 3 ? chance() << 33 ^ chance() : chance() % 5000;
		}
		places = sample->places;
		if (places != 0 && places <= LZI_SAMPLE_PLACES_MAX)
			lzi_sample_add(sample, places, chance());
		lzi_sample_make_room(sample, chance(), &now);
		if (!lzi_sample_is_whole(sample, LZI_SAMPLE_PLACES_MAX)) {
			lzi_sample_init(sample, PLACES, &now, 1);
			continue;
		}
		taken.count = lzi_sample_copy(sample, lzi_sample_places(sample), copy);
		assert_true(taken.count <= sample->places);
		taken.threshold = sample->threshold;
		taken.all = lzi_sample_since(sample, &now);
		assert_int_equal(lzi_advise_warm(&taken, 100), LATZ_OK);
		assert_int_equal(lzi_advise_lru(&taken, &size, 1, &misses), LATZ_OK);
		assert_true(misses.references >= 0 && misses.references <= 1);
		assert_int_equal(lzi_advise_policy(&taken, lzi_policy_by_id(LATZ_POLICY_S3FIFO), &size, &misses),
		                 LATZ_OK);
		assert_true(misses.references >= 0 && misses.references <= 1);
	}
	free(copy);
	free(sample);
}

/* A change that was not finished is seen; a new beginning is empty. */
static void half_changed(void **state)
{
	struct lzi_sample_sum now = { 0 };
	struct lzi_sample *sample = make(&now);
	static uint64_t copy[PLACES];

	(void)state;
	assert_int_equal(lzi_sample_add(sample, PLACES, lzi_sample_word(1, 1, 0)), 0);
	assert_int_equal(lzi_sample_copy(sample, lzi_sample_places(sample), copy), 1);
	sample->mending = 1;
	assert_false(lzi_sample_is_whole(sample, PLACES));
	lzi_sample_init(sample, PLACES, &now, 1);
	assert_true(lzi_sample_is_whole(sample, PLACES));
	assert_false(lzi_sample_is_whole(sample, PLACES / 2));
	assert_int_equal(lzi_sample_copy(sample, lzi_sample_places(sample), copy), 0);
	free(sample);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(distances_are_exact),      cmocka_unit_test(distances_in_bytes_are_near),
		cmocka_unit_test(samples_tell_other_sizes), cmocka_unit_test(hot_keys_make_no_difference),
		cmocka_unit_test(scribbled_over),           cmocka_unit_test(half_changed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
