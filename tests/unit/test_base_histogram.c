/*
 * base/histogram: buckets cover all values in order, and percentiles are within the promised 6.25%.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/histogram.h"

static lzi_histogram one, two;

static int clear(void **state)
{
	(void)state;
	memset(&one, 0, sizeof(one));
	memset(&two, 0, sizeof(two));
	return 0;
}

/* Bucket numbers never fall as values grow, have no gap, and stay inside the array. */
static void buckets_are_ordered(void **state)
{
	unsigned last = 0;

	(void)state;
	for (uint64_t value = 0; value < 1 << 20; value++) {
		unsigned bucket = lzi_histogram_bucket(value);

		assert_true(bucket == last || bucket == last + 1);
		last = bucket;
	}
	for (unsigned power = 20; power < 64; power++) {
		unsigned before = lzi_histogram_bucket(((uint64_t)1 << power) - 1);

		assert_int_equal(lzi_histogram_bucket((uint64_t)1 << power), before + 1);
	}
	assert_true(lzi_histogram_bucket(UINT64_MAX) < LZI_HISTOGRAM_BUCKETS);
}

static void nothing_recorded(void **state)
{
	(void)state;
	assert_int_equal(lzi_histogram_percentile(&one, 50), 0);
	assert_int_equal(lzi_histogram_max(&one), 0);
}

/* One value is every percentile, exactly: none exceeds the largest one. */
static void single_value(void **state)
{
	(void)state;
	lzi_histogram_record(&one, 1234567);
	assert_int_equal(lzi_histogram_percentile(&one, 0), 1234567);
	assert_int_equal(lzi_histogram_percentile(&one, 50), 1234567);
	assert_int_equal(lzi_histogram_percentile(&one, 100), 1234567);
	assert_int_equal(lzi_histogram_max(&one), 1234567);
}

static void extreme_values(void **state)
{
	(void)state;
	lzi_histogram_record(&one, 0);
	lzi_histogram_record(&one, UINT64_MAX);
	assert_int_equal(lzi_histogram_percentile(&one, 50), 0);
	assert_true(lzi_histogram_percentile(&one, 100) == UINT64_MAX);
	assert_true(lzi_histogram_max(&one) == UINT64_MAX);
}

/* 1 to 100 000 once each: the p-th percentile is p * 1000, plus at most a sixteenth. */
static void percentiles_are_close(void **state)
{
	static const double points[] = { 0.1, 1, 10, 25, 50, 75, 90, 99, 99.9, 100 };

	(void)state;
	for (uint64_t value = 1; value <= 100000; value++)
		lzi_histogram_record(&one, value);
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		double exact = points[i] * 1000, got = (double)lzi_histogram_percentile(&one, points[i]);

		assert_true(got >= exact - 0.001 && got <= exact * (1 + 1.0 / 16));
	}
}

/* 99.9% of 1 000 are 999 of them, not 1 000. */
static void percentile_does_not_round_up(void **state)
{
	(void)state;
	for (int i = 0; i < 999; i++)
		lzi_histogram_record(&one, 5);
	lzi_histogram_record(&one, 1000000);
	assert_int_equal(lzi_histogram_percentile(&one, 99.9), 5);
	assert_int_equal(lzi_histogram_percentile(&one, 99.99), 1000000);
}

static void merge_adds(void **state)
{
	(void)state;
	for (int i = 0; i < 10; i++) {
		lzi_histogram_record(&one, 3);
		lzi_histogram_record(&two, 9);
	}
	lzi_histogram_merge(&one, &two);
	assert_int_equal(lzi_histogram_percentile(&one, 50), 3);
	assert_int_equal(lzi_histogram_percentile(&one, 51), 9);
	assert_int_equal(lzi_histogram_max(&one), 9);
	assert_int_equal(one.total, 20);
	assert_int_equal(two.total, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(buckets_are_ordered, clear),
		cmocka_unit_test_setup(nothing_recorded, clear),
		cmocka_unit_test_setup(single_value, clear),
		cmocka_unit_test_setup(extreme_values, clear),
		cmocka_unit_test_setup(percentiles_are_close, clear),
		cmocka_unit_test_setup(percentile_does_not_round_up, clear),
		cmocka_unit_test_setup(merge_adds, clear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
