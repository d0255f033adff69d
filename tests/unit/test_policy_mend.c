/*
 * policy/, by entry: states that were scribbled over. Until they are mended the policy may decide wrongly, but ends and
 * stays within its block; mended, it is consistent, goes on, and has lost no more than was lost. Run it under
 * AddressSanitizer: the block is exactly as large as the policy says.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/book.h"
#include "policy/policy.h"

static const char *const names[] = { "lru", "fifo", "clock", "sieve", "s3fifo", "2q", "arc", "wtinylfu" };

enum {
	NAMES = sizeof names / sizeof names[0],
	ENTRIES = 50,
	KEYS = 300,
	ROUNDS = 400
};

static uint64_t seed;

static uint64_t next_random(uint64_t bound)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % bound;
}

/* A state after some requests; in[] says what it holds. */
static struct lzi_policy_block used_state(const struct lzi_policy *policy, uint8_t in[KEYS])
{
	struct lzi_policy_block state = { malloc(policy->size(ENTRIES)), policy->size(ENTRIES) };
	unsigned count = 0;
	uint64_t victim;

	assert_non_null(state.at);
	policy->init(state, ENTRIES, ENTRIES);
	memset(in, 0, KEYS);
	for (unsigned i = 0; i < 400; i++) {
		uint64_t hash = next_random(KEYS) * next_random(KEYS) / KEYS;

		if (in[hash]) {
			policy->access(state, hash, 1, 0);
			continue;
		}
		if (count == ENTRIES) {
			assert_int_equal(policy->evict(state, hash, 1, &victim), 0);
			in[victim] = 0;
			count--;
		}
		assert_int_equal(policy->insert(state, hash, 1), 0);
		in[hash] = 1;
		count++;
	}
	return state;
}

/* Whatever it does, it comes back. */
static void use_blindly(const struct lzi_policy *policy, struct lzi_policy_block state)
{
	uint64_t victim;

	for (unsigned i = 0; i < 200; i++) {
		uint64_t hash = next_random(KEYS);

		switch (next_random(5)) {
		case 0: policy->access(state, hash, (uint32_t)next_random(3), 0); break;
		case 1: policy->remove(state, hash); break;
		case 2: (void)policy->evict(state, hash, 1, &victim); break;
		default: (void)policy->insert(state, hash, 1);
		}
	}
}

/* Each list is the same from both ends, its count and weight are right, each node is found by its hash. */
static void assert_consistent(struct lzi_policy_block state)
{
	const struct lzi_book opened = lzi_book_of(state), *book = &opened;
	uint32_t nodes = 0;

	for (unsigned number = 1; number < LZI_BOOK_LISTS; number++) {
		const struct lzi_book_list *list = &book->head->list[number];
		uint32_t count = 0, newer = 0, index = list->newest;
		uint64_t weight = 0;

		for (; index != 0; count++) {
			const struct lzi_book_node *node = lzi_book_at(book, index);

			assert_non_null(node);
			assert_true(count < book->nodes);
			assert_int_equal(node->list, number);
			assert_int_equal(node->newer, newer);
			assert_int_equal(lzi_book_find(book, node->hash), index);
			weight += node->weight;
			newer = index;
			index = node->older;
		}
		assert_int_equal(list->oldest, newer);
		assert_int_equal(list->count, count);
		assert_int_equal(list->weight, weight);
		nodes += count;
	}
	for (uint32_t index = book->head->free; index != 0; index = lzi_book_at(book, index)->chain, nodes++)
		assert_true(nodes < book->nodes);
	assert_int_equal(nodes + (book->nodes - book->head->fresh), book->nodes);
}

/* Takes everything out. Each entry comes once; which of them came is in out[]. */
static unsigned drain(const struct lzi_policy *policy, struct lzi_policy_block state, uint8_t out[KEYS])
{
	unsigned count = 0;
	uint64_t victim;

	memset(out, 0, KEYS);
	while (policy->evict(state, KEYS, 1, &victim) == 0) {
		assert_true(count++ < lzi_book_of(state).nodes);
		if (victim >= KEYS)
			continue;
		assert_int_equal(out[victim], 0);
		out[victim] = 1;
	}
	return count;
}

/* Any words anywhere. */
static void scribbled_over(void **unused)
{
	(void)unused;
	seed = 20261121;
	for (unsigned round = 0; round < NAMES * ROUNDS; round++) {
		const struct lzi_policy *policy = lzi_policy_by_name(names[round % NAMES]);
		uint8_t in[KEYS], out[KEYS];
		struct lzi_policy_block state = used_state(policy, in);
		int rc;

		for (uint64_t words = 1 + next_random(20); words > 0; words--) {
			/* Half of them where the lists begin, since most of the block is nodes. */
			uint64_t where = next_random(next_random(2) ? state.size / 4 : LZI_BOOK_HEAD / 4);
			uint32_t word = next_random(2) ? (uint32_t)next_random(100) : (uint32_t)next_random(UINT64_MAX);

			memcpy((char *)state.at + where * 4, &word, 4);
		}
		if (next_random(2))
			use_blindly(policy, state);
		rc = policy->mend(state);
		if (rc != 0) {
			assert_int_equal(rc, -1);
			policy->init(state, ENTRIES, ENTRIES);
		}
		policy->resize(state, ENTRIES); /* as whoever mends does: it may be anything */
		assert_consistent(state);
		use_blindly(policy, state);
		assert_consistent(state);
		drain(policy, state, out);
		use_blindly(policy, state);
		free(state.at);
	}
}

/* A size that is not its own, another policy's state, a state of other geometry: refused. */
static void not_of_this_policy(void **unused)
{
	uint8_t in[KEYS];

	(void)unused;
	seed = 1;
	for (unsigned i = 0; i < NAMES; i++) {
		const struct lzi_policy *policy = lzi_policy_by_name(names[i]);
		struct lzi_policy_block state = used_state(policy, in), less = state;

		assert_int_equal(policy->mend(state), 0);
		for (unsigned other = 0; other < NAMES; other++) {
			if (other != i)
				assert_int_equal(lzi_policy_by_name(names[other])->mend(state), -1);
		}
		for (less.size = 0; less.size < 64; less.size++)
			assert_int_equal(policy->mend(less), -1);
		less.size = state.size - 1;
		assert_int_equal(policy->mend(less), -1);
		((struct lzi_book_head *)state.at)->nodes--;
		assert_int_equal(policy->mend(state), -1);
		memset(state.at, 0, state.size);
		assert_int_equal(policy->mend(state), -1);
		memset(state.at, 0xff, state.size);
		assert_int_equal(policy->mend(state), -1);
		free(state.at);
	}
}

/* Of links, list ends, buckets, counts and free nodes nothing is unique: whatever is lost of them, every entry stays.
 */
static void only_links_lost(void **unused)
{
	(void)unused;
	seed = 7;
	for (unsigned round = 0; round < NAMES * 100; round++) {
		const struct lzi_policy *policy = lzi_policy_by_name(names[round % NAMES]);
		uint8_t in[KEYS], out[KEYS];
		struct lzi_policy_block state = used_state(policy, in);
		const struct lzi_book opened = lzi_book_of(state), *book = &opened;

		for (uint64_t words = 1 + next_random(20); words > 0; words--) {
			struct lzi_book_node *node = lzi_book_at(book, 1 + (uint32_t)next_random(book->nodes));
			struct lzi_book_list *list = &book->head->list[1 + next_random(LZI_BOOK_LISTS - 1)];
			uint32_t word = (uint32_t)next_random(next_random(2) ? book->nodes + 2 : UINT32_MAX);

			switch (next_random(8)) {
			case 0: node->newer = word; break;
			case 1: node->older = word; break;
			case 2: node->chain = word & LZI_BOOK_NODES_MAX; break;
			case 3: list->newest = word; break;
			case 4: list->oldest = word; break;
			case 5: list->count = word; break;
			case 6: book->head->free = word; break;
			default: memcpy((char *)book->head + LZI_BOOK_HEAD + 4 * next_random(8), &word, 4);
			}
		}
		assert_int_equal(policy->mend(state), 0);
		assert_consistent(state);
		drain(policy, state, out);
		assert_memory_equal(in, out, KEYS);
		free(state.at);
	}
}

/* Mending what is whole changes nothing: the same entries go in the same order. */
static void whole(void **unused)
{
	(void)unused;
	for (unsigned i = 0; i < NAMES; i++) {
		const struct lzi_policy *policy = lzi_policy_by_name(names[i]);
		uint8_t in[KEYS];
		uint64_t one, other;
		struct lzi_policy_block mended, kept;
		int rc;

		seed = 99;
		kept = used_state(policy, in);
		seed = 99;
		mended = used_state(policy, in);
		assert_int_equal(policy->mend(mended), 0);
		do {
			rc = policy->evict(kept, KEYS, 1, &one);
			assert_int_equal(policy->evict(mended, KEYS, 1, &other), rc);
			if (rc == 0)
				assert_int_equal(one, other);
		} while (rc == 0);
		free(kept.at);
		free(mended.at);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole),
		cmocka_unit_test(only_links_lost),
		cmocka_unit_test(not_of_this_policy),
		cmocka_unit_test(scribbled_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
