/*
 * Deaths while the file of counters, a thread's table, a page or an entry is made: what was counted before is counted,
 * and others make what the dead did not.
 */
#include "../../src/base/point.h"
#include "lib/suite.h"

struct victim {
	struct fixture *f;
	const char *point;
};

static latz_counter *make(latz_pool *pool, const char *name)
{
	latz_counter *counter;

	CHECK_OK(latz_counter_open(pool, name, NULL, &counter));
	return counter;
}

static int64_t value_of(latz_counter *counter)
{
	latz_counter_info info = { .size = sizeof info };

	CHECK_OK(latz_counter_read(counter, &info));
	return info.value;
}

#define THREADS 20

static pthread_barrier_t together;

static void *adds_one(void *arg)
{
	CHECK_OK(latz_counter_add(arg, 1));
	pthread_barrier_wait(&together); /* each has a slot of its own */
	return NULL;
}

/* More threads than a page has tables for. */
static void adds(latz_pool *pool, const char *name)
{
	pthread_t thread[THREADS];
	latz_counter *counter = make(pool, name);

	CHECK(pthread_barrier_init(&together, NULL, THREADS) == 0);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_create(&thread[i], NULL, adds_one, counter) == 0);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(thread[i], NULL) == 0);
	CHECK_OK(latz_counter_close(counter));
}

static int dies(void *arg)
{
	struct victim *v = arg;
	latz_pool *pool = fixture_attach(v->f);

	lzi_point_arm(v->point, 1, LZI_POINT_KILL);
	adds(pool, "new");
	return 1;
}

static void deaths(void **state)
{
	static const char *const points[] = { "counter.file",   "counter.filled", "counter.entered",
		                              "counter.tables", "counter.page" };
	struct victim v = { .f = *state };

	for (size_t i = 0; i < ARRAY_LEN(points); i++) {
		/* The first two are passed by who makes the file; the others also with counters there before. */
		for (int before = 0; before < (i < 2 ? 1 : 2); before++) {
			latz_pool *pool = fixture_attach(v.f);
			latz_counter *old = NULL, *counter;
			int64_t had;

			if (before) {
				old = make(pool, "old");
				assert_ok(latz_counter_add(old, 7));
			}
			v.point = points[i];
			assert_int_equal(proc_run(dies, &v, 60000), 128 + SIGKILL);
			counter = make(pool, "new");
			had = value_of(counter);
			assert_in_range(had, 0, THREADS);
			adds(pool, "new");
			assert_int_equal(value_of(counter), had + THREADS);
			adds(pool, "another");
			assert_int_equal(value_of(counter), had + THREADS);
			if (before) {
				assert_int_equal(value_of(old), 7);
				assert_ok(latz_counter_close(old));
			}
			assert_ok(latz_counter_close(counter));
			assert_ok(verify_print(pool));
			assert_ok(latz_close(pool));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIR_TEST(deaths),
	};

	return suite_run(tests);
}
