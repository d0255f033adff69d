/*
 * The change feed and the counters of a pool with namespaces: who hears of which keys, and by which name; what a budget
 * does; a dropped namespace's watch; who only waits, or only counts, uses a pool with idle_ttl_ms.
 */
#include "lib/suite.h"

#include <poll.h>

#define SOON_MS 10000
#define CHANGES (LATZ_EVENT_SET | LATZ_EVENT_DELETE | LATZ_EVENT_EXPIRE | LATZ_EVENT_EVICT)

static latz_pool *space(struct fixture *f, const char *name)
{
	latz_pool *sub;

	assert_ok(latz_namespace(f->pool, name, &sub));
	return sub;
}

static latz_watch *watch_on(latz_pool *pool, const char *prefix, size_t size)
{
	latz_watch_options options = LATZ_WATCH_OPTIONS_INIT;
	latz_watch *watch;

	options.kinds = CHANGES;
	options.prefix = slice(prefix, size);
	assert_ok(latz_watch_open(pool, &options, &watch));
	return watch;
}

static void expect(latz_watch *watch, latz_event_kind kind, const char *key, size_t size)
{
	latz_event event = LATZ_EVENT_INIT;

	assert_ok(latz_watch_next(watch, SOON_MS, &event));
	assert_int_equal(kind, event.kind);
	assert_int_equal(size, event.key.size);
	assert_memory_equal(key, event.key.data, size);
}

static void assert_none(latz_watch *watch)
{
	latz_event event = LATZ_EVENT_INIT;

	assert_rc(LATZ_TIMEOUT, latz_watch_next(watch, 0, &event));
}

/* Each handle hears of its own keys, as its users call them. */
static void each_hears_its_own(void **state)
{
	struct fixture *f = *state;
	static const char high[] = "\xff\0\0\0\0\1a";
	latz_pool *handle[3] = { f->pool, space(f, "a"), space(f, "b") };
	latz_watch *watch[3], *some[3], *highs[3];

	for (unsigned h = 0; h < 3; h++) {
		watch[h] = watch_on(handle[h], NULL, 0);
		some[h] = watch_on(handle[h], "key:", 4);
		highs[h] = watch_on(handle[h], "\xff\0", 2);
	}
	for (unsigned h = 0; h < 3; h++) {
		assert_ok(put(handle[h], "key:1", "v"));
		assert_ok(put(handle[h], "other", "v"));
		assert_ok(latz_set(handle[h], slice(high, 7), latz_str("v"), NULL));
		assert_ok(del(handle[h], "key:1"));
	}
	for (unsigned h = 0; h < 3; h++) {
		expect(watch[h], LATZ_EVENT_SET, "key:1", 5);
		expect(watch[h], LATZ_EVENT_SET, "other", 5);
		expect(watch[h], LATZ_EVENT_SET, high, 7);
		expect(watch[h], LATZ_EVENT_DELETE, "key:1", 5);
		assert_none(watch[h]);
		expect(some[h], LATZ_EVENT_SET, "key:1", 5);
		expect(some[h], LATZ_EVENT_DELETE, "key:1", 5);
		assert_none(some[h]);
		expect(highs[h], LATZ_EVENT_SET, high, 7);
		assert_none(highs[h]);
	}
	for (unsigned h = 0; h < 3; h++) {
		if (h > 0)
			assert_rc(LATZ_BUSY, latz_close(handle[h]));
		assert_ok(latz_watch_close(watch[h]));
		assert_ok(latz_watch_close(some[h]));
		assert_ok(latz_watch_close(highs[h]));
		if (h > 0)
			assert_ok(latz_close(handle[h]));
	}
}

/* What goes for want of room in a namespace is evicted, what its deadline takes has expired; and other watches of the
 * pool hear nothing of it. */
static void budgets_evict(void **state)
{
	struct fixture *f = *state;
	latz_namespace_options limits = LATZ_NAMESPACE_OPTIONS_INIT;
	latz_set_options brief = LATZ_SET_OPTIONS_INIT;
	latz_pool *a = space(f, "a");
	latz_watch *watch, *own = watch_on(f->pool, NULL, 0);

	limits.max_entries = 2;
	limits.policy = LATZ_POLICY_FIFO;
	assert_ok(latz_namespace_limits(a, &limits));
	watch = watch_on(a, NULL, 0);
	assert_ok(put(a, "1", "v"));
	assert_ok(put(a, "2", "v"));
	assert_ok(put(a, "3", "v"));
	expect(watch, LATZ_EVENT_SET, "1", 1);
	expect(watch, LATZ_EVENT_SET, "2", 1);
	expect(watch, LATZ_EVENT_EVICT, "1", 1);
	expect(watch, LATZ_EVENT_SET, "3", 1);
	brief.ttl_ms = 20;
	assert_ok(latz_set(a, latz_str("3"), latz_str("w"), &brief));
	expect(watch, LATZ_EVENT_SET, "3", 1);
	expect(watch, LATZ_EVENT_EXPIRE, "3", 1);
	assert_none(watch);
	assert_none(own);
	assert_ok(latz_watch_close(own));
	assert_ok(latz_watch_close(watch));
	assert_ok(latz_close(a));
}

/* The watch of a dropped namespace: what it has not given yet, then LATZ_DEAD, for who sleeps in poll(), too. */
static void dropped_ends(void **state)
{
	struct fixture *f = *state;
	latz_event event = LATZ_EVENT_INIT;
	latz_pool *a = space(f, "a"), *b = space(f, "b");
	latz_watch *watch = watch_on(a, NULL, 0), *behind = watch_on(a, NULL, 0), *other = watch_on(b, NULL, 0);
	struct pollfd readable = { latz_watch_fd(behind), POLLIN, 0 };

	assert_true(readable.fd >= 0);
	assert_ok(put(a, "k", "v"));
	assert_int_equal(1, poll(&readable, 1, SOON_MS));
	expect(behind, LATZ_EVENT_SET, "k", 1);
	assert_rc(LATZ_TIMEOUT, latz_watch_next(behind, 0, &event));
	assert_ok(latz_namespace_drop(f->pool, "a"));
	expect(watch, LATZ_EVENT_SET, "k", 1);
	assert_rc(LATZ_DEAD, latz_watch_next(watch, -1, &event));
	assert_rc(LATZ_DEAD, latz_watch_next(watch, 0, &event));
	assert_int_equal(1, poll(&readable, 1, SOON_MS));
	assert_rc(LATZ_DEAD, latz_watch_next(behind, 0, &event));
	assert_rc(LATZ_DEAD, latz_watch_open(a, NULL, &watch));
	assert_ok(latz_watch_close(watch));
	assert_ok(latz_watch_close(behind));
	assert_ok(latz_close(a));
	/* Its name's next bearer has nothing to do with it. */
	a = space(f, "a");
	watch = watch_on(a, NULL, 0);
	assert_ok(put(a, "k", "v"));
	expect(watch, LATZ_EVENT_SET, "k", 1);
	assert_none(other);
	assert_ok(latz_watch_close(watch));
	assert_ok(latz_watch_close(other));
	assert_ok(latz_close(a));
	assert_ok(latz_close(b));
}

/* Counters are the pool's, through any handle. */
static void counters_are_the_pools(void **state)
{
	struct fixture *f = *state;
	latz_counter_info info = { .size = sizeof info };
	latz_pool *a = space(f, "a");
	latz_counter *one, *two;

	assert_ok(latz_counter_open(f->pool, "hits", NULL, &one));
	assert_ok(latz_counter_open(a, "hits", NULL, &two));
	assert_ok(latz_counter_add(one, 2));
	assert_ok(latz_counter_add(two, 3));
	assert_ok(latz_counter_read(one, &info));
	assert_int_equal(info.value, 5);
	assert_ok(latz_counter_close(one));
	assert_ok(latz_counter_close(two));
	assert_ok(latz_close(a));
}

/* For three times its idle_ttl_ms, somebody only waits for events, then only counts: it stays. */
static void waiting_is_use(void **state)
{
	struct fixture *f = *state;
	latz_event event = LATZ_EVENT_INIT;
	latz_stats_t stats = { .size = sizeof stats };
	latz_counter *counter;
	latz_watch *watch;

	f->options.idle_ttl_ms = 300;
	assert_ok(latz_open("idle", &f->options, &f->pool));
	watch = watch_on(f->pool, NULL, 0);
	assert_rc(LATZ_TIMEOUT, latz_watch_next(watch, 1000, &event));
	assert_ok(latz_watch_close(watch));
	assert_ok(latz_counter_open(f->pool, "n", NULL, &counter));
	for (unsigned i = 0; i < 100; i++) {
		assert_ok(latz_counter_add(counter, 1));
		sleep_ms(10);
	}
	assert_ok(latz_counter_close(counter));
	assert_ok(latz_stats(f->pool, &stats));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		POOL_TEST(each_hears_its_own),     POOL_TEST(budgets_evict), POOL_TEST(dropped_ends),
		POOL_TEST(counters_are_the_pools), DIR_TEST(waiting_is_use),
	};

	return suite_run(tests);
}
