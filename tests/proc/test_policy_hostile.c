/*
 * policy/: states that others scribble over, between two uses and in the middle of one. Whatever stands there, a policy
 * stays within its block, comes back, and names what it likes; mended it goes on. Run it under AddressSanitizer: the
 * block is exactly as large as the policy says.
 */
#include "config.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base.h"
#include "lib/cache.h"
#include "lib/rng.h"
#include "policy/book.h"

enum {
	HEAD = 512,      /* bytes in which the words that matter most are */
	SECONDS_MAX = 300 /* for all of it, else something goes round for ever */
};

static const uint64_t sizes[] = { 1, 40, 700, 3000 };

/* Words that a state might have, and such that none has. */
static uint64_t some_word(struct rng *rng)
{
	switch (rng_below(rng, 6)) {
	case 0: return 0;
	case 1: return UINT64_MAX;
	case 2: return rng_below(rng, 100);
	case 3: return rng_next(rng) % 600 * 0x0001000100010001ull; /* four indexes of a shadow's nodes */
	case 4: return rng_next(rng) % 4000 * 0x0000000100000001ull; /* two of a book's */
	default: return rng_next(rng);
	}
}

/* One word, at any place or among those at the beginning; or the whole beginning of a state of another size. */
static void scribble(struct rng *rng, const struct lzi_policy *policy, struct lzi_policy_block block)
{
	uint64_t where = rng_below(rng, rng_below(rng, 3) == 0 && block.size > HEAD ? HEAD / 8 : block.size / 8);

	if (rng_below(rng, 500) == 0) {
		struct lzi_policy_block other = { NULL, 0 };
		uint64_t entries = sizes[rng_below(rng, ARRAY_LEN(sizes))];

		other.size = policy->size(entries);
		other.at = malloc(other.size);
		assert_non_null(other.at);
		policy->init(other, entries, some_word(rng));
		memcpy(block.at, other.at, HEAD);
		free(other.at);
		return;
	}
	__atomic_store_n((uint64_t *)block.at + where, some_word(rng), __ATOMIC_RELAXED);
}

static struct lzi_policy_block make_block(const struct lzi_policy *policy, uint64_t entries)
{
	struct lzi_policy_block block = { NULL, policy->size(entries) };

	block.at = malloc(block.size);
	assert_non_null(block.at);
	policy->init(block, entries, entries);
	return block;
}

static void use_by_entry(struct rng *rng, const struct lzi_policy *policy, struct lzi_policy_block block)
{
	uint64_t hash = rng_below(rng, 6000) * 0x9e3779b97f4a7c15ull, victim;
	uint32_t weight = (uint32_t)some_word(rng);

	switch (rng_below(rng, 6)) {
	case 0: policy->access(block, hash, weight, 0); break;
	case 1: policy->remove(block, hash); break;
	case 2: (void)policy->evict(block, hash, weight, &victim); break;
	default: (void)policy->insert(block, hash, rng_below(rng, 2) ? weight : 1);
	}
}

static void use_by_age(struct rng *rng, const struct lzi_policy *policy, struct lzi_policy_block block)
{
	struct lzi_candidate candidate[LZI_POLICY_BATCH];
	unsigned n = 1 + (unsigned)rng_below(rng, LZI_POLICY_BATCH), i;
	enum lzi_policy_list list = policy->next(block, rng_below(rng, 1000), rng_below(rng, 1000));

	assert_true(list == LZI_POLICY_WINDOW || list == LZI_POLICY_MAIN);
	for (i = 0; i < n; i++) {
		candidate[i] = (struct lzi_candidate){ .hash = rng_below(rng, 6000) * 0x9e3779b97f4a7c15ull,
			                               .weight = (uint32_t)some_word(rng),
			                               .visits = (uint8_t)rng_below(rng, 4) };
		policy->created(block, candidate[i].hash);
		if (lzi_policy_is_sampled(candidate[i].hash, policy->sampling(block)))
			policy->access(block, candidate[i].hash, candidate[i].weight, 1);
	}
	policy->judge(block, list, candidate, n);
	for (i = 0; i < n; i++)
		assert_in_range(candidate[i].keep, 0, 1);
}

static void move_elsewhere(struct rng *rng, const struct lzi_policy *policy, struct lzi_policy_block block)
{
	uint64_t entries = sizes[rng_below(rng, ARRAY_LEN(sizes))];
	struct lzi_policy_block to = make_block(policy, entries);

	policy->move(to, block);
	free(to.at);
}

/* As a pool does before each use. */
static void begin(const struct lzi_policy *policy, struct lzi_policy_block block, uint64_t entries)
{
	if (!policy->is_sound(block) && policy->mend(block) != 0)
		policy->init(block, entries, entries);
}

/* blindly: as those do who do not hold the lock, or are overtaken. */
static void use(struct rng *rng, const struct lzi_policy *policy, struct lzi_policy_block block, uint64_t entries,
                int blindly)
{
	if (!blindly)
		begin(policy, block, entries);
	if (rng_below(rng, 50) == 0)
		(void)policy->mend(block);
	if (rng_below(rng, 20) == 0)
		policy->resize(block, rng_below(rng, 4) == 0 ? some_word(rng) : entries);
	if (rng_below(rng, 100) == 0)
		move_elsewhere(rng, policy, block);
	if (policy->kind == LZI_POLICY_BY_ENTRY)
		use_by_entry(rng, policy, block);
	else
		use_by_age(rng, policy, block);
}

static void between_uses(void **unused)
{
	struct rng rng;

	(void)unused;
	rng_init(&rng, rng_test_seed("between_uses"));
	for (unsigned i = 0; i < CACHE_POLICIES * ARRAY_LEN(sizes); i++) {
		const struct lzi_policy *policy = lzi_policy_by_id(cache_policy(i % CACHE_POLICIES));
		uint64_t entries = sizes[i / CACHE_POLICIES];
		struct lzi_policy_block block = make_block(policy, entries);

		for (unsigned round = 0; round < env_number("LATZ_TEST_ROUNDS", 100); round++) {
			unsigned words = 1u << rng_below(&rng, 8), uses = 10 + (unsigned)rng_below(&rng, 20), j;
			int blindly = rng_below(&rng, 2) == 0;

			for (j = 0; j < words; j++)
				scribble(&rng, policy, block);
			for (j = 0; j < uses; j++)
				use(&rng, policy, block, entries, blindly);
		}
		free(block.at);
	}
}

/* Each goes in: room that got lost is found again when there is none left. */
static void put_in(const struct lzi_policy *policy, struct lzi_policy_block block, unsigned count)
{
	for (uint64_t i = 1; i <= count; i++) {
		uint64_t hash = i * 0x9e3779b97f4a7c15ull;

		begin(policy, block, count);
		if (policy->insert(block, hash, 1) == 0)
			continue;
		if (policy->is_sound(block))
			fail_msg("%s has no room for entry %u", policy->name, (unsigned)i);
		begin(policy, block, count);
		assert_int_equal(policy->insert(block, hash, 1), 0);
	}
}

/* All that it knows is named. How many of the numbers up to `count`. */
static unsigned take_out(const struct lzi_policy *policy, struct lzi_policy_block block, unsigned count)
{
	uint8_t *seen = calloc(1, count + 1);
	unsigned named = 0;

	assert_non_null(seen);
	for (unsigned i = 0; i < 100 * count; i++) {
		uint64_t victim, number;

		begin(policy, block, count);
		if (policy->evict(block, 1, 1, &victim) != 0 && policy->is_sound(block))
			break;
		number = victim * 0xf1de83e19937733dull; /* the other factor's inverse */
		if (number >= 1 && number <= count && !seen[number]++)
			named++;
	}
	free(seen);
	return named;
}

/* A state is used again as if nothing had been, when nobody scribbles any more: what goes in comes out. */
static void goes_on_afterwards(void **unused)
{
	struct rng rng;

	(void)unused;
	rng_init(&rng, rng_test_seed("goes_on_afterwards"));
	for (unsigned i = 0; i < CACHE_POLICIES; i++) {
		const struct lzi_policy *policy = lzi_policy_by_id(cache_policy(i));
		struct lzi_policy_block block;

		if (policy->kind != LZI_POLICY_BY_ENTRY)
			continue;
		block = make_block(policy, 700);
		for (unsigned j = 0; j < 5000; j++) {
			scribble(&rng, policy, block);
			use(&rng, policy, block, 700, 0);
		}
		(void)take_out(policy, block, 700);
		if (policy->mend(block) == 0) /* entries that no list led to any more come back, as the oldest */
			(void)take_out(policy, block, 700);
		if (lzi_book_of(block).nodes < 700) /* what it says of its size is another's */
			policy->init(block, 700, 700);
		policy->resize(block, 700);
		put_in(policy, block, 700);
		if (take_out(policy, block, 700) != 700)
			fail_msg("%s does not name all", policy->name);
		free(block.at);
	}
}

struct scribbler {
	const struct lzi_policy *policy;
	struct lzi_policy_block block;
	uint64_t seed;
	int stop;
};

static void *scribbles(void *arg)
{
	struct scribbler *scribbler = arg;
	struct rng rng;

	rng_init(&rng, scribbler->seed);
	while (!__atomic_load_n(&scribbler->stop, __ATOMIC_ACQUIRE)) {
		for (unsigned i = 0; i < 64; i++)
			scribble(&rng, scribbler->policy, scribbler->block);
	}
	return NULL;
}

static void in_the_middle_of_a_use(void **unused)
{
	struct rng rng;

	(void)unused;
#if defined(__SANITIZE_THREAD__)
	skip(); /* it is a race, and meant to be one */
#endif
	rng_init(&rng, rng_test_seed("in_the_middle_of_a_use"));
	for (unsigned i = 0; i < CACHE_POLICIES; i++) {
		struct scribbler scribbler = { .policy = lzi_policy_by_id(cache_policy(i)), .seed = rng_next(&rng) };
		uint64_t until;
		pthread_t thread;

		scribbler.block = make_block(scribbler.policy, 700);
		assert_int_equal(pthread_create(&thread, NULL, scribbles, &scribbler), 0);
		for (until = clock_ns() + 100000000u; clock_ns() < until;) {
			for (unsigned j = 0; j < 20; j++)
				use(&rng, scribbler.policy, scribbler.block, 700, 0);
		}
		__atomic_store_n(&scribbler.stop, 1, __ATOMIC_RELEASE);
		assert_int_equal(pthread_join(thread, NULL), 0);
		free(scribbler.block.at);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(between_uses),
		cmocka_unit_test(goes_on_afterwards),
		cmocka_unit_test(in_the_middle_of_a_use),
	};

	alarm(SECONDS_MAX);
	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
