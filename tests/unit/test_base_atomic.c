/*
 * base/atomic: each name on each size, and that increments of several threads are not lost.
 */
#include "config.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/atomic.h"

enum {
	THREADS = 4,
	ROUNDS = 20000
};

#define EXERCISE(type) \
	do { \
		type word = 1, expected = 2; \
		lzi_store_relaxed(&word, (type)5); \
		assert_int_equal(lzi_load_relaxed(&word), 5); \
		lzi_store_release(&word, (type)6); \
		assert_int_equal(lzi_load_acquire(&word), 6); \
		assert_false(lzi_cas_acquire(&word, &expected, (type)9)); \
		assert_int_equal(expected, 6); \
		assert_int_equal(word, 6); \
		assert_true(lzi_cas_acquire(&word, &expected, (type)9)); \
		assert_int_equal(lzi_fetch_add(&word, (type)3), 9); \
		assert_int_equal(lzi_fetch_sub(&word, (type)2), 12); \
		assert_int_equal(lzi_exchange(&word, (type)96), 10); \
		assert_int_equal(lzi_fetch_or(&word, (type)3), 96); \
		assert_int_equal(lzi_fetch_and(&word, (type)66), 99); \
		lzi_bump_relaxed(&word, (type)1); \
		assert_int_equal(word, 67); \
	} while (0)

static void every_size(void **state)
{
	(void)state;
	EXERCISE(uint8_t);
	EXERCISE(uint16_t);
	EXERCISE(uint32_t);
	EXERCISE(uint64_t);
}

static void pointers(void **state)
{
	int a = 0, b = 0;
	int *word = &a, *expected = &a;

	(void)state;
	assert_true(lzi_cas_acquire(&word, &expected, &b));
	assert_ptr_equal(lzi_load_acquire(&word), &b);
	assert_ptr_equal(lzi_exchange(&word, &a), &b);
}

static uint64_t counter;
static uint32_t spinlock;
static uint64_t guarded; /* plain, under spinlock */

static void *count(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		uint32_t unlocked = 0;

		lzi_fetch_add(&counter, 1u);
		while (!lzi_cas_acquire(&spinlock, &unlocked, 1u)) {
			unlocked = 0;
			lzi_pause();
		}
		guarded++;
		lzi_store_release(&spinlock, 0u);
	}
	return arg;
}

/* The adds are atomic, and the compare and swap acquires what the release store published. */
static void threads(void **state)
{
	pthread_t ids[THREADS];

	(void)state;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&ids[i], NULL, count, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(ids[i], NULL), 0);
	assert_int_equal(counter, THREADS * ROUNDS);
	assert_int_equal(guarded, THREADS * ROUNDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_size),
		cmocka_unit_test(pointers),
		cmocka_unit_test(threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
