/*
 * base/error: the list of codes, and what the error detail of a thread holds.
 */
#include "config.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"

/* Each code's text begins with its own name, and no two codes share a number. */
static void codes_have_names(void **state)
{
	static const struct {
		int rc;
		const char *name;
	} codes[] = {
#define X(name, text) { LATZ_##name, "LATZ_" #name ": " },
		LZI_ERRORS(X)
#undef X
	};
	size_t count = sizeof(codes) / sizeof(codes[0]);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		assert_memory_equal(latz_strerror(codes[i].rc), codes[i].name, strlen(codes[i].name));
		assert_true(strlen(latz_strerror(codes[i].rc)) > strlen(codes[i].name));
		for (size_t j = 0; j < i; j++)
			assert_int_not_equal(codes[i].rc, codes[j].rc);
	}
}

/* Every number from LATZ_NOTFOUND to LATZ_DONE is in the list, but for the one that is not used. */
static void codes_have_no_gap(void **state)
{
	(void)state;
	for (int rc = LATZ_NOTFOUND; rc >= LATZ_DONE; rc--) {
		if (rc == -1010)
			assert_string_equal(latz_strerror(rc), "unknown result code");
		else
			assert_memory_equal(latz_strerror(rc), "LATZ_", 5);
	}
	assert_string_equal(latz_strerror(1), "unknown result code");
	assert_string_equal(latz_strerror(LATZ_DONE - 1), "unknown result code");
}

/* What a call below met becomes the detail only if the public call fails with it. */
static void detail_of_failed_calls(void **state)
{
	(void)state;
	lzi_error_result(lzi_error(LATZ_IO, "the first"));
	assert_string_equal(latz_error_detail(), "the first");
	lzi_error(LATZ_NOTFOUND, "handled");
	assert_string_equal(latz_error_detail(), "the first");
	assert_int_equal(lzi_error_result(LATZ_OK), LATZ_OK);
	assert_string_equal(latz_error_detail(), "the first");
	assert_int_equal(lzi_error_result(LATZ_NOTFOUND), LATZ_NOTFOUND);
	assert_string_equal(latz_error_detail(), latz_strerror(LATZ_NOTFOUND));
	lzi_error(LATZ_IO, "handled too");
	assert_int_equal(lzi_error_result(LATZ_BUSY), LATZ_BUSY);
	assert_string_equal(latz_error_detail(), latz_strerror(LATZ_BUSY));
	assert_int_equal(lzi_error_result(1), 1); /* a callback's own */
	assert_string_equal(latz_error_detail(), latz_strerror(LATZ_BUSY));
	lzi_error_result(lzi_error(LATZ_IO, "the last"));
	assert_string_equal(latz_error_detail(), "the last");
}

static void detail_is_set(void **state)
{
	(void)state;
	assert_int_equal(lzi_error(LATZ_CORRUPT, "pool %s: offset %d", "p", 64), LATZ_CORRUPT);
	assert_string_equal(lzi_error_text(), "pool p: offset 64");
}

/* Prefixes go in front, also when the detail itself is an argument. */
static void detail_takes_prefixes(void **state)
{
	(void)state;
	assert_int_equal(lzi_error(LATZ_IO, "read"), LATZ_IO);
	assert_int_equal(lzi_error_prefix(LATZ_IO, "map %s", "heap"), LATZ_IO);
	assert_int_equal(lzi_error_prefix(LATZ_CORRUPT, "open"), LATZ_CORRUPT);
	assert_string_equal(lzi_error_text(), "open: map heap: read");
	lzi_error(LATZ_IO, "again: %s", lzi_error_text());
	assert_string_equal(lzi_error_text(), "again: open: map heap: read");
}

/* Whatever the lengths, the text is cut and ends; the reason of a system error survives the cut. */
static void detail_is_bounded(void **state)
{
	char longer[2 * LZI_ERROR_DETAIL_SIZE];

	(void)state;
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	lzi_error(LATZ_IO, "%s", longer);
	assert_int_equal(strlen(lzi_error_text()), LZI_ERROR_DETAIL_SIZE - 1);
	lzi_error_prefix(LATZ_IO, "before");
	assert_int_equal(strlen(lzi_error_text()), LZI_ERROR_DETAIL_SIZE - 1);
	assert_memory_equal(lzi_error_text(), "before: xxx", 11);
	lzi_error_prefix(LATZ_IO, "%s", longer);
	assert_int_equal(strlen(lzi_error_text()), LZI_ERROR_DETAIL_SIZE - 1);
	lzi_error_sys(ENOSPC, "%s", longer);
	assert_true(strlen(lzi_error_text()) < LZI_ERROR_DETAIL_SIZE);
	assert_non_null(strstr(lzi_error_text(), ": No space left on device"));
}

static void errno_is_translated(void **state)
{
	static const struct {
		int err, rc;
	} cases[] = {
		{ ENOSPC, LATZ_NOSPC }, { EDQUOT, LATZ_NOSPC }, { EACCES, LATZ_ACCESS }, { EPERM, LATZ_ACCESS },
		{ EROFS, LATZ_ACCESS }, { ELOOP, LATZ_ACCESS }, { ENOMEM, LATZ_NOMEM },  { EMFILE, LATZ_IO },
		{ ENFILE, LATZ_IO },    { EIO, LATZ_IO },       { EINVAL, LATZ_IO },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(lzi_error_code(cases[i].err), cases[i].rc);
		assert_int_equal(lzi_error_sys(cases[i].err, "open %s", "f"), cases[i].rc);
		assert_memory_equal(lzi_error_text(), "open f: ", 8);
		assert_string_equal(lzi_error_text() + 8, strerror(cases[i].err));
	}
}

static void *other_thread(void *arg)
{
	const char **seen = arg;

	*seen = strdup(lzi_error_text());
	lzi_error(LATZ_IO, "of the other thread");
	return NULL;
}

/* A thread begins without a detail and does not see or change another's. */
static void detail_is_of_the_thread(void **state)
{
	pthread_t thread;
	char *seen = NULL;

	(void)state;
	lzi_error(LATZ_IO, "mine");
	assert_int_equal(pthread_create(&thread, NULL, other_thread, &seen), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_string_equal(seen, "");
	assert_string_equal(lzi_error_text(), "mine");
	free(seen);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(codes_have_names),        cmocka_unit_test(codes_have_no_gap),
		cmocka_unit_test(detail_is_set),           cmocka_unit_test(detail_takes_prefixes),
		cmocka_unit_test(detail_is_bounded),       cmocka_unit_test(errno_is_translated),
		cmocka_unit_test(detail_is_of_the_thread), cmocka_unit_test(detail_of_failed_calls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
