/*
 * Handles opened with LATZ_READONLY among writers: they see whole values, and hold up neither them nor the giving back
 * of memory.
 */
#include "lib/suite.h"

static int read_on_and_on(void *arg)
{
	latz_pool *pool = must_open(arg, "t", (unsigned)LATZ_READONLY);
	latz_value value = LATZ_VALUE_INIT;

	for (;;)
		CHECK_OK(latz_get(pool, key_of("hot"), &value));
	return 0;
}

/* A reader that was stopped, wherever that was, holds up nobody, and no memory. */
static void stopped_reader(void **state)
{
	struct fixture *f = *state;
	latz_stats_t stats = { .size = sizeof stats };
	static char value[10000];
	struct proc reader;
	uint64_t heap;
	char key[16];

	assert_ok(put(f->pool, "hot", "hot"));
	proc_start(&reader, read_on_and_on, (void *)f->dir, false);
	sleep_ms(100);
	proc_kill(&reader, SIGSTOP);
	for (int i = 0; i < 3000; i++) {
		snprintf(key, sizeof key, "%d", i);
		assert_ok(latz_set(f->pool, key_of(key), slice(value, sizeof value), NULL));
	}
	assert_ok(latz_stats(f->pool, &stats));
	heap = stats.heap_bytes;
	for (int i = 0; i < 3000; i++) {
		snprintf(key, sizeof key, "%d", i);
		assert_ok(del(f->pool, key));
	}
	for (int i = 0; i < 100 && stats.heap_bytes > heap / 4; i++) {
		(void)!latz_maintain(f->pool, 0);
		assert_ok(latz_stats(f->pool, &stats));
		sleep_ms(20);
	}
	assert_true(stats.heap_bytes <= heap / 4);
	proc_kill(&reader, SIGKILL);
	assert_int_equal(proc_wait(&reader, 10000), 128 + SIGKILL);
}

/* Keys come, go, grow and move; blocks are given back. Each value tells of which key it is, and how long it has to be.
 */
#define CHURNED 400

static int churn(void *arg)
{
	latz_pool *pool = must_open(arg, "t", LATZ_NO_THREAD);
	uint64_t end = clock_ns() + 1500000000u, random = 88172645463325252u;
	static uint8_t bytes[300000];
	char key[16];

	while (clock_ns() < end) {
		uint32_t which;
		size_t size;

		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		which = (uint32_t)(random >> 20) % CHURNED;
		size = which % 50 == 0 ? 200000 + random % 100000 : 8 + random % 3000;
		snprintf(key, sizeof key, "%u", which);
		if (random % 3 == 0) {
			int rc = latz_delete(pool, key_of(key));

			CHECK(rc == LATZ_OK || rc == LATZ_NOTFOUND);
		} else {
			pattern_fill(bytes, size, which + (uint64_t)size * 1000);
			CHECK_OK(latz_set(pool, key_of(key), slice(bytes, size), NULL));
		}
		if (random % 512 == 0)
			(void)!latz_maintain(pool, 0);
	}
	CHECK_OK(latz_close(pool));
	return 0;
}

static void among_writers(void **state)
{
	struct fixture *f = *state;
	latz_options options = f->options;
	uint64_t reads = 0, found = 0;
	struct proc writer[2];
	latz_pool *reader;
	char key[16];
	int rc;

	options.flags = (unsigned)LATZ_READONLY;
	assert_ok(put(f->pool, "steady", "there throughout"));
	assert_ok(latz_open("t", &options, &reader));
	for (int i = 0; i < 2; i++)
		proc_start(&writer[i], churn, (void *)f->dir, false);
	while (!proc_ended(&writer[0])) {
		uint32_t which = (uint32_t)(reads++ % CHURNED);

		snprintf(key, sizeof key, "%u", which);
		rc = latz_get(reader, key_of(key), &f->value);
		if (rc == LATZ_OK) {
			assert_true(pattern_is(f->value.data, f->value.size, which + (uint64_t)f->value.size * 1000));
			found++;
		} else {
			assert_rc(LATZ_NOTFOUND, rc);
		}
		if (reads % 1000 == 0) {
			latz_scan *scan;
			latz_slice at;
			int steady = 0;

			assert_ok(latz_scan_open(reader, NULL, &scan));
			while ((rc = latz_scan_next(scan, &at, NULL)) == LATZ_OK)
				steady += at.size == 6 && memcmp(at.data, "steady", 6) == 0;
			assert_rc(LATZ_DONE, rc);
			assert_int_equal(steady, 1);
			assert_ok(latz_scan_close(scan));
		}
	}
	for (int i = 0; i < 2; i++)
		assert_int_equal(proc_wait(&writer[i], 20000), 0);
	assert_true(reads > 1000 && found > 0);
	assert_ok(latz_close(reader));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		POOL_TEST(stopped_reader),
		POOL_TEST(among_writers),
	};

	return suite_run(tests);
}
