/*
 * A bounded pool while one of its processes is stopped: whatever it holds, a write that needs room ends, with room or
 * with a named error, and does not take the pool apart meanwhile.
 */
#include "config.h"

#include "base/atomic.h"
#include "base/point.h"
#include "format/control.h"
#include "lib/cache.h"
#include "lib/suite.h"

#define MIB (1ull << 20)
#define TIMEOUT_MS 200u
#define LONG_MS 20000u /* for a write that waits that long a few times, and for the processor as well */
#define MAX_BYTES (32 * MIB)
#define LARGE (2 * MIB)
#define SMALL 200u

static const char *stop_at;
static unsigned stop_after;

static int set_small(latz_pool *pool, uint32_t i)
{
	static char value[SMALL];
	char key[32];

	snprintf(key, sizeof key, "small-%u", i);
	return latz_set(pool, latz_str(key), slice(value, sizeof value), NULL);
}

/* Writes small and large values until it is stopped. */
static int writes_and_stops(void *arg)
{
	latz_pool *pool = fixture_attach(arg);
	char *large = check_alloc(LARGE), key[32];
	uint32_t i;
	int rc = LATZ_OK;

	memset(large, 1, LARGE);
	lzi_point_arm(stop_at, stop_after, LZI_POINT_STOP);
	for (i = 0; i < 4000000 && (rc == LATZ_OK || rc == LATZ_FULL || rc == LATZ_TIMEOUT); i++) {
		rc = set_small(pool, 1000000 + i);
		if (i % 3000 == 2999) {
			snprintf(key, sizeof key, "other-%u", i / 3000 % 4);
			rc = latz_set(pool, latz_str(key), slice(large, LARGE / 2), NULL);
		}
	}
	free(large);
	return rc;
}

static uint32_t begin(struct fixture *f)
{
	latz_pool *pool;
	uint32_t i;

	f->options.timeout_ms = TIMEOUT_MS;
	f->options.max_bytes = MAX_BYTES;
	pool = f->pool = fixture_attach(f);
	for (i = 0; cache_stats(pool).evicted == 0; i++)
		assert_ok(set_small(pool, i));
	return i;
}

/* Sets a large value, which may time out, and looks how long that takes. */
static void set_large(latz_pool *pool, char *value, const char *at, uint64_t *worst_ms)
{
	uint64_t start = clock_ns(), took_ms;
	int rc = latz_set(pool, latz_str("large"), slice(value, LARGE), NULL);

	took_ms = (clock_ns() - start) / 1000000;
	print_message("stopped at %s: %s in %llu ms%s%s\n", at, latz_strerror(rc), (unsigned long long)took_ms,
	              rc == LATZ_OK ? "" : ": ", rc == LATZ_OK ? "" : latz_error_detail());
	assert_true(rc == LATZ_OK || rc == LATZ_TIMEOUT || rc == LATZ_FULL);
	*worst_ms = took_ms > *worst_ms ? took_ms : *worst_ms;
}

static void a_large_value_waits_for_nobody_for_long(void **state)
{
	static const struct {
		const char *at;
		unsigned after;
	} points[] = { { "set.drafted", 5 },    { "set.intent", 5 },     { "evict.intent", 5 },  { "evict.judged", 1 },
		       { "bound.step", 1 },     { "extent.locked", 1 },  { "extent.open", 1 },   { "extent.left", 1 },
		       { "run.allocated", 1 },  { "run.marked", 2 },     { "free.cleared", 1 },  { "free.done", 1 },
		       { "park.done", 1 },      { "punch.quiet", 1 },    { "punch.one", 1 },     { "clean.emptied", 1 },
		       { "move.drafted", 1 },   { "clean.unindexed", 1 } };
	struct fixture *f = *state;
	char *large = check_alloc(LARGE);
	struct proc stopped;
	uint64_t worst_ms = 0;
	unsigned i, j;

	memset(large, 2, LARGE);
	(void)begin(f);
	for (i = 0; i < ARRAY_LEN(points); i++) {
		stop_at = points[i].at;
		stop_after = points[i].after;
		proc_start(&stopped, writes_and_stops, f, false);
		proc_wait_stopped(&stopped);
		for (j = 0; j < 2; j++)
			set_large(f->pool, large, stop_at, &worst_ms);
		proc_kill(&stopped, SIGKILL);
		assert_int_equal(proc_wait(&stopped, 10000), 128 + SIGKILL);
	}
	print_message("the longest took %llu ms\n", (unsigned long long)worst_ms);
	assert_in_range(worst_ms, 0, LONG_MS);
	assert_ok(verify_print(f->pool));
	free(large);
}

static int limit(latz_pool *pool, uint64_t max_bytes)
{
	latz_limits limits = LATZ_LIMITS_INIT;

	limits.max_bytes = max_bytes;
	return latz_limit(pool, &limits);
}

/* Somebody is stopped inside a call, with no lock: no memory can be given back, and borrowed views keep free extents
 * from lying in a row. However often it is tried, not much goes for it. */
static void what_waits_for_a_reader_evicts_no_more(void **state)
{
	struct fixture *f = *state;
	char *large = check_alloc(LARGE), key[32];
	latz_view view[16] = { 0 };
	uint64_t start, took_ms = 0, live;
	struct proc stopped;
	uint32_t count, i;

	memset(large, 3, LARGE);
	count = begin(f);
	stop_at = "set.drafted";
	stop_after = 5;
	proc_start(&stopped, writes_and_stops, f, false);
	proc_wait_stopped(&stopped);
	for (i = 0; i < ARRAY_LEN(view); i++) {
		snprintf(key, sizeof key, "small-%u", count / 20 * (i + 3));
		assert_ok(latz_borrow(f->pool, latz_str(key), &view[i]));
	}
	live = cache_stats(f->pool).live_bytes;
	for (i = 0; i < 5; i++)
		set_large(f->pool, large, stop_at, &took_ms);
	assert_in_range(took_ms, 0, LONG_MS);
	print_message("%llu of %llu bytes alive\n", (unsigned long long)cache_stats(f->pool).live_bytes,
	              (unsigned long long)live);
	assert_true(cache_stats(f->pool).live_bytes >= live - 5 * LARGE);
	live = cache_stats(f->pool).live_bytes;
	for (i = 0; i < 3; i++) {
		start = clock_ns();
		assert_ok(limit(f->pool, MAX_BYTES - 4 * MIB));
		assert_in_range((clock_ns() - start) / 1000000, 0, LONG_MS);
	}
	print_message("%llu of %llu bytes alive under a lower bound\n",
	              (unsigned long long)cache_stats(f->pool).live_bytes, (unsigned long long)live);
	assert_true(cache_stats(f->pool).live_bytes >= live - 8 * MIB);
	proc_kill(&stopped, SIGKILL);
	assert_int_equal(proc_wait(&stopped, 10000), 128 + SIGKILL);
	assert_ok(latz_set(f->pool, latz_str("large"), slice(large, LARGE), NULL));
	assert_true(cache_stats(f->pool).file_bytes <= MAX_BYTES - 4 * MIB + CACHE_SLACK);
	for (i = 0; i < ARRAY_LEN(view); i++)
		assert_ok(latz_release(&view[i]));
	assert_ok(verify_print(f->pool));
	free(large);
}

/* ---- Who does long work lets writers in ---- */

#define EXPIRING 60000u

static int collects_and_stops(void *arg)
{
	latz_pool *pool = fixture_attach(arg);

	lzi_point_arm("expire.walked", 1, LZI_POINT_STOP);
	(void)!latz_maintain(pool, 0);
	return 0;
}

/* The pool's shared words, to see when somebody waits. */
static const struct lzi_shared *map_shared(const struct fixture *f)
{
	char path[4096];
	void *map;
	int fd;

	snprintf(path, sizeof path, "%s/t/pool", f->dir);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	map = mmap(NULL, sizeof(struct lzi_shared), PROT_READ, MAP_SHARED, fd, LZI_PAGE);
	assert_true(map != MAP_FAILED);
	close(fd);
	return map;
}

struct writer {
	latz_pool *pool;
	_Atomic bool over; /* nobody is stopped any more */
	uint64_t expired;  /* when it had its room then */
	int rc;
};

static void *writes_until_it_waited(void *arg)
{
	struct writer *writer = arg;
	char *large = check_alloc(LARGE), key[32];

	memset(large, 4, LARGE);
	for (int i = 0; !writer->over && writer->rc == LATZ_OK; i++) {
		snprintf(key, sizeof key, "large-%d", i % 64);
		writer->rc = latz_set(writer->pool, latz_str(key), slice(large, LARGE), NULL);
	}
	writer->expired = cache_stats(writer->pool).expired;
	free(large);
	return NULL;
}

/* A process is stopped while it collects what expired, all of it in one go. When it goes on and a writer waits for
 * room, it leaves off at once: long before it is through. */
static void long_work_is_left_for_a_writer(void **state)
{
	latz_set_options expiring = LATZ_SET_OPTIONS_INIT;
	struct fixture *f = *state;
	const struct lzi_shared *shared;
	struct writer writer = { 0 };
	struct proc collector;
	pthread_t thread;
	char key[32];
	uint32_t i;

	(void)begin(f);
	assert_ok(latz_close(f->pool));
	f->options.timeout_ms = 20000;
	f->pool = fixture_attach(f);
	shared = map_shared(f);
	expiring.ttl_ms = 1;
	for (i = 0; i < EXPIRING; i++) {
		snprintf(key, sizeof key, "short-%u", i);
		assert_ok(latz_set(f->pool, latz_str(key), slice(key, sizeof key), &expiring));
	}
	sleep_ms(5);
	proc_start(&collector, collects_and_stops, f, false);
	proc_wait_stopped(&collector);
	assert_int_equal(lzi_load_relaxed(&shared->bound.urgent), 0);
	writer.pool = f->pool;
	assert_int_equal(pthread_create(&thread, NULL, writes_until_it_waited, &writer), 0);
	for (i = 0; i < 10000 && lzi_load_relaxed(&shared->bound.urgent) == 0; i++)
		sleep_ms(1);
	assert_int_equal(lzi_load_relaxed(&shared->bound.urgent), 1);
	writer.over = true;
	assert_int_equal(proc_continue(&collector), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_ok(writer.rc);
	print_message("%llu of %u expired when the writer had its room\n", (unsigned long long)writer.expired,
	              EXPIRING);
	assert_in_range(writer.expired, 1, EXPIRING / 4);
	assert_int_equal(lzi_load_relaxed(&shared->bound.urgent), 0);
	assert_int_equal(munmap((void *)(uintptr_t)shared, sizeof *shared), 0);
}

/* ---- Who needs much room lets others in ---- */

#define GIANT (12 * MIB)
#define TINY 8u

static int sets_a_giant_and_stops(void *arg)
{
	latz_pool *pool = fixture_attach(arg);
	char *giant = check_alloc(GIANT);

	memset(giant, 5, GIANT);
	lzi_point_arm("bound.step", 1, LZI_POINT_STOP);
	CHECK_OK(latz_set(pool, latz_str("giant"), slice(giant, GIANT), NULL));
	return 0;
}

struct other {
	latz_pool *pool;
	_Atomic bool over;
	uint64_t evicted; /* when it had its room then */
	int rc;
};

static void *writes_tiny(void *arg)
{
	struct other *other = arg;
	char key[32];

	for (uint32_t i = 0; !other->over && other->rc == LATZ_OK; i++) {
		snprintf(key, sizeof key, "b%u", i);
		other->rc = latz_set(other->pool, latz_str(key), slice(key, TINY), NULL);
	}
	other->evicted = cache_stats(other->pool).evicted;
	return NULL;
}

/* A process is stopped in the first of the thousands of steps that its value takes. When it goes on, one who waits for
 * room does not have to wait for all of them. */
static void a_giant_lets_others_in(void **state)
{
	struct other other = { 0 };
	struct fixture *f = *state;
	const struct lzi_shared *shared;
	uint64_t before, after;
	struct proc giant;
	pthread_t thread;
	char key[32];
	uint32_t i;

	f->options.timeout_ms = 20000;
	f->options.max_bytes = MAX_BYTES;
	other.pool = f->pool = fixture_attach(f);
	shared = map_shared(f);
	for (i = 0; i % 1000 != 0 || cache_stats(f->pool).evicted < 1000; i++) {
		snprintf(key, sizeof key, "a%u", i);
		assert_ok(latz_set(f->pool, latz_str(key), slice(key, TINY), NULL));
	}
	proc_start(&giant, sets_a_giant_and_stops, f, false);
	proc_wait_stopped(&giant);
	before = cache_stats(f->pool).evicted;
	assert_int_equal(pthread_create(&thread, NULL, writes_tiny, &other), 0);
	for (i = 0; i < 10000 && lzi_load_relaxed(&shared->bound.urgent) == 0; i++)
		sleep_ms(1);
	assert_int_equal(lzi_load_relaxed(&shared->bound.urgent), 1);
	other.over = true;
	assert_int_equal(proc_continue(&giant), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_ok(other.rc);
	after = cache_stats(f->pool).evicted;
	print_message("%llu evicted for the giant, %llu when the other had its room\n",
	              (unsigned long long)(after - before), (unsigned long long)(other.evicted - before));
	assert_true(after - before > 20000);
	assert_true(other.evicted - before < (after - before) / 4);
	assert_int_equal(munmap((void *)(uintptr_t)shared, sizeof *shared), 0);
	assert_ok(verify_print(f->pool));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIR_TEST(a_large_value_waits_for_nobody_for_long),
		DIR_TEST(what_waits_for_a_reader_evicts_no_more),
		DIR_TEST(long_work_is_left_for_a_writer),
		DIR_TEST(a_giant_lets_others_in),
	};

	return suite_run(tests);
}
