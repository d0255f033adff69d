/*
 * For cmocka suites over the public API: includes cmocka the way it wants, result-code asserts that print names, and a
 * fixture that gives each test its own directory with one open pool.
 */
#ifndef TESTS_LIB_SUITE_H
#define TESTS_LIB_SUITE_H

#include "base.h"
#include "proc.h"
#include "rng.h"
#include "tempdir.h"

#include <cmocka.h>

/* Only in the test's own thread and process; elsewhere CHECK. */
#define assert_rc(want, call) \
	do { \
		int assert_rc_ = (call); \
		if (assert_rc_ != (want)) \
			fail_msg("%s: %s, expected %s (detail: %s)", #call, latz_strerror(assert_rc_), \
			         latz_strerror(want), latz_error_detail()); \
	} while (0)

#define assert_ok(call) assert_rc(LATZ_OK, call)

struct fixture {
	const char *dir;
	latz_options options; /* dir set, LATZ_CREATE */
	latz_pool *pool;      /* "t" in dir; a test that closes it sets NULL */
	latz_value value;     /* scratch */
};

/* cmocka set-up and tear-down. The second set-up opens no pool. */
int fixture_up(void **state);
int fixture_up_dir(void **state);
int fixture_down(void **state);
/* The fixture's pool once more, without helpers in the background; for children too. */
latz_pool *fixture_attach(struct fixture *f);

#define POOL_TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_up, fixture_down)
#define DIR_TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_up_dir, fixture_down)

/* Runs a group; the exit status for main (never 77 or 99, which automake reads its own way). */
#define suite_run(tests) (cmocka_run_group_tests(tests, NULL, NULL) != 0)

/* Short forms on strings. */
int put(latz_pool *pool, const char *key, const char *value);
latz_slice key_of(const char *text);
int del(latz_pool *pool, const char *key);

/* Asserts that the key holds exactly this text. */
void assert_text(struct fixture *f, const char *key, const char *value);

/* Fills size bytes that depend on the seed. */
void pattern_fill(void *data, size_t size, uint64_t seed);
bool pattern_is(const void *data, size_t size, uint64_t seed);

/* Counts keys with a full scan, checking ascending order. */
size_t count_keys(latz_pool *pool);

/* latz_maintain until it says there is nothing left; false when it never does. */
bool maintain_all(latz_pool *pool);

#endif
