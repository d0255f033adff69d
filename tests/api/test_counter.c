/*
 * Shared counters: what is added is there exactly once, whoever added it and whatever became of him.
 */
#include "lib/suite.h"

static latz_counter *make(latz_pool *pool, const char *name, latz_counter_kind kind)
{
	latz_counter_options options = LATZ_COUNTER_OPTIONS_INIT;
	latz_counter *counter;

	options.kind = kind;
	CHECK_OK(latz_counter_open(pool, name, &options, &counter));
	return counter;
}

static latz_counter_info info_of(latz_counter *counter)
{
	latz_counter_info info = { .size = sizeof info };

	CHECK_OK(latz_counter_read(counter, &info));
	return info;
}

static void counts(void **state)
{
	struct fixture *f = *state;
	latz_counter *a = make(f->pool, "requests_total", LATZ_COUNTER), *again, *other;

	assert_int_equal(info_of(a).value, 0);
	assert_ok(latz_counter_add(a, 5));
	assert_ok(latz_counter_add(a, 0));
	assert_ok(latz_counter_open(f->pool, "requests_total", NULL, &again));
	assert_ok(latz_counter_add(again, 7));
	other = make(f->pool, "requests_total_2", LATZ_COUNTER);
	assert_ok(latz_counter_add(other, INT64_MAX));
	assert_int_equal(info_of(a).value, 12);
	assert_int_equal(info_of(again).value, 12);
	assert_true(info_of(other).value == INT64_MAX);
	assert_string_equal(info_of(a).name, "requests_total");
	assert_rc(LATZ_INVALID, latz_counter_add(a, -1));
	assert_rc(LATZ_TYPE, latz_counter_set(a, 1));
	assert_rc(LATZ_TYPE, latz_counter_record(a, 1));
	assert_int_equal(info_of(a).value, 12);
	assert_ok(latz_counter_close(a));
	assert_ok(latz_counter_close(again));
	assert_ok(latz_counter_close(other));
}

static void goes_up_and_down(void **state)
{
	struct fixture *f = *state;
	latz_counter *g = make(f->pool, "in_flight", LATZ_GAUGE);

	assert_ok(latz_counter_add(g, 3));
	assert_ok(latz_counter_add(g, -5));
	assert_int_equal(info_of(g).value, -2);
	assert_ok(latz_counter_set(g, 100));
	assert_int_equal(info_of(g).value, 100);
	assert_ok(latz_counter_add(g, 1));
	assert_ok(latz_counter_set(g, INT64_MIN));
	assert_true(info_of(g).value == INT64_MIN);
	assert_rc(LATZ_TYPE, latz_counter_record(g, 1));
	assert_ok(latz_counter_close(g));
}

static void histograms(void **state)
{
	struct fixture *f = *state;
	latz_counter_options options = { sizeof options, LATZ_HISTOGRAM, "how long it took", 1e-9 };
	latz_counter_info info;
	latz_counter *h;

	assert_ok(latz_counter_open(f->pool, "work_seconds", &options, &h));
	info = info_of(h);
	assert_int_equal(info.count, 0);
	assert_int_equal(info.p50, 0);
	for (uint64_t i = 1; i <= 1000; i++)
		assert_ok(latz_counter_record(h, i));
	info = info_of(h);
	assert_int_equal(info.kind, LATZ_HISTOGRAM);
	assert_string_equal(info.help, "how long it took");
	assert_true(info.scale == 1e-9);
	assert_int_equal(info.count, 1000);
	assert_int_equal(info.sum, 500500);
	assert_int_equal(info.max, 1000);
	assert_in_range(info.p50, 500, 562);
	assert_in_range(info.p99, 990, 1000);
	assert_in_range(info.p999, 999, 1000);
	assert_int_equal(info.below[0], 7); /* 1 to 7 */
	assert_int_equal(info.below[1], 15);
	assert_int_equal(info.below[6], 511);
	assert_int_equal(info.below[7], 1000);
	assert_int_equal(info.below[LATZ_COUNTER_POWERS - 1], 1000);
	assert_ok(latz_counter_record(h, UINT64_MAX));
	info = info_of(h);
	assert_true(info.max == UINT64_MAX);
	assert_int_equal(info.count, 1001);
	assert_int_equal(info.below[LATZ_COUNTER_POWERS - 1], 1000);
	assert_rc(LATZ_TYPE, latz_counter_add(h, 1));
	assert_rc(LATZ_TYPE, latz_counter_set(h, 1));
	assert_ok(latz_counter_close(h));
}

#define THREADS 8
#define ADDS 50000

static void *add_many(void *arg)
{
	for (int i = 0; i < ADDS; i++)
		CHECK_OK(latz_counter_add(arg, 1));
	return NULL;
}

static void many_threads(void **state)
{
	struct fixture *f = *state;
	latz_counter *a = make(f->pool, "requests_total", LATZ_COUNTER);
	pthread_t thread[THREADS];

	for (int round = 1; round <= 2; round++) {
		for (int i = 0; i < THREADS; i++)
			assert_int_equal(pthread_create(&thread[i], NULL, add_many, a), 0);
		for (int i = 0; i < THREADS; i++)
			assert_int_equal(pthread_join(thread[i], NULL), 0);
		assert_int_equal(info_of(a).value, round * THREADS * ADDS);
	}
	assert_ok(latz_counter_close(a));
}

struct child {
	struct fixture *f;
	uint64_t *done; /* shared: adds that have returned */
};

/* Adds until it is killed. */
static int adds_for_ever(void *arg)
{
	struct child *c = arg;
	latz_pool *pool = fixture_attach(c->f);
	latz_counter *a = make(pool, "requests_total", LATZ_COUNTER), *h = make(pool, "sizes", LATZ_HISTOGRAM);

	for (;;) {
		CHECK_OK(latz_counter_add(a, 1));
		__atomic_store_n(c->done, *c->done + 1, __ATOMIC_RELEASE);
		if (*c->done % 16 == 0)
			CHECK_OK(latz_counter_record(h, *c->done));
	}
}

/* What the dead have added is there once: all that returned, and at most the one each was at. */
static void parts_of_the_dead(void **state)
{
	struct fixture *f = *state;
	struct child c = { f, mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0) };
	latz_counter *a = make(f->pool, "requests_total", LATZ_COUNTER);
	uint64_t sum = 0;
	int kills = 20;

	for (int i = 0; i < kills; i++) {
		struct proc proc;

		*c.done = 0;
		proc_start(&proc, adds_for_ever, &c, false);
		while (__atomic_load_n(c.done, __ATOMIC_ACQUIRE) < 1000)
			sleep_ms(1);
		proc_kill(&proc, SIGKILL);
		assert_int_equal(proc_wait(&proc, 60000), 128 + SIGKILL);
		sum += *c.done;
	}
	assert_in_range(info_of(a).value, sum, sum + (uint64_t)kills);
	assert_ok(latz_counter_add(a, 1)); /* from whichever slot */
	assert_in_range(info_of(a).value, sum + 1, sum + 1 + (uint64_t)kills);
	assert_ok(verify_print(f->pool));
	assert_ok(latz_counter_close(a));
	munmap(c.done, 4096);
}

static int child_adds(void *arg)
{
	CHECK_OK(latz_counter_add(arg, 10)); /* through the handle of before the fork */
	return 0;
}

static void over_a_fork(void **state)
{
	struct fixture *f = *state;
	latz_counter *a = make(f->pool, "requests_total", LATZ_COUNTER);

	assert_ok(latz_counter_add(a, 1));
	assert_int_equal(proc_run(child_adds, a, 60000), 0);
	assert_int_equal(info_of(a).value, 11);
	assert_ok(latz_counter_close(a));
}

static int collect(const latz_counter_info *info, void *arg)
{
	char *names = arg;

	strcat(strcat(names, info->name), " ");
	return strcmp(info->name, "stop") == 0 ? 17 : 0;
}

static void lists_them(void **state)
{
	struct fixture *f = *state;
	char names[1000] = "";

	assert_ok(latz_counters(f->pool, collect, names));
	assert_string_equal(names, "");
	assert_ok(latz_counter_close(make(f->pool, "b", LATZ_COUNTER)));
	assert_ok(latz_counter_close(make(f->pool, "a", LATZ_GAUGE)));
	assert_ok(latz_counters(f->pool, collect, names));
	assert_string_equal(names, "latzero_get_seconds latzero_set_seconds latzero_lock_wait_seconds b a ");
	assert_ok(latz_counter_close(make(f->pool, "stop", LATZ_COUNTER)));
	assert_ok(latz_counter_close(make(f->pool, "c", LATZ_COUNTER)));
	names[0] = '\0';
	assert_int_equal(latz_counters(f->pool, collect, names), 17);
	assert_string_equal(names, "latzero_get_seconds latzero_set_seconds latzero_lock_wait_seconds b a stop ");
}

/* Each keeps its own count, also when there is no room for another. */
static void as_many_as_there_may_be(void **state)
{
	struct fixture *f = *state;
	latz_counter_options options = LATZ_COUNTER_OPTIONS_INIT;
	static latz_counter *counter[600];
	unsigned n, histograms;
	char name[32];
	int rc;

	for (n = 0; n < 600; n++) {
		options.kind = n % 4 == 3 ? LATZ_HISTOGRAM : LATZ_COUNTER;
		snprintf(name, sizeof name, "c%u", n);
		rc = latz_counter_open(f->pool, name, &options, &counter[n]);
		if (rc != LATZ_OK)
			break;
	}
	assert_rc(LATZ_FULL, rc);
	histograms = n / 4;
	assert_true(histograms >= 60);
	for (unsigned i = 0; i < n; i++) {
		assert_ok(i % 4 == 3 ? latz_counter_record(counter[i], i) : latz_counter_add(counter[i], i));
	}
	for (unsigned i = 0; i < n; i++) {
		latz_counter_info info = info_of(counter[i]);

		assert_int_equal(i % 4 == 3 ? (int64_t)info.sum : info.value, i);
		assert_ok(latz_counter_close(counter[i]));
	}
}

static void times_calls(void **state)
{
	struct fixture *f = *state;
	latz_stats_t stats = { .size = sizeof stats };
	latz_counter *gets;

	assert_rc(LATZ_NOTFOUND, latz_counter_open(f->pool, "latzero_none", NULL, &gets));
	for (int i = 0; i < 1024; i++)
		assert_ok(put(f->pool, "key", "value"));
	for (int i = 0; i < 1024; i++)
		assert_ok(latz_get(f->pool, key_of("key"), &f->value));
	assert_ok(latz_stats(f->pool, &stats));
	assert_true(stats.latency_get_ns[0] > 0 && stats.latency_get_ns[0] <= stats.latency_get_ns[1]);
	assert_true(stats.latency_set_ns[3] >= stats.latency_set_ns[2] && stats.latency_set_ns[2] > 0);
	gets = make(f->pool, "latzero_get_seconds", LATZ_HISTOGRAM);
	assert_int_equal(info_of(gets).count, 4);
	assert_int_equal(info_of(gets).max, stats.latency_get_ns[3]);
	assert_rc(LATZ_INVALID, latz_counter_record(gets, 1));
	assert_ok(latz_counter_close(gets));
}

static void a_bounded_pool_counts_them(void **state)
{
	struct fixture *f = *state;
	latz_limits limits = LATZ_LIMITS_INIT;
	latz_stats_t stats = { .size = sizeof stats };
	latz_counter *h;
	char key[32];
	static char value[2000];

	limits.max_bytes = 8 << 20;
	assert_ok(latz_limit(f->pool, &limits));
	h = make(f->pool, "sizes", LATZ_HISTOGRAM);
	for (unsigned i = 0; i < 8000; i++) {
		snprintf(key, sizeof key, "%u", i);
		assert_ok(latz_set(f->pool, key_of(key), slice(value, sizeof value), NULL));
		assert_ok(latz_counter_record(h, i));
	}
	assert_ok(latz_stats(f->pool, &stats));
	assert_true(stats.file_bytes <= limits.max_bytes);
	assert_ok(latz_counter_close(h));
}

/* Who may only read opens what is there, and reads it. */
static void reading_handle(void **state)
{
	struct fixture *f = *state;
	latz_counter_options histogram = { sizeof histogram, LATZ_HISTOGRAM, NULL, 0 };
	latz_options options = f->options;
	latz_counter *made, *seen;
	latz_pool *reader;

	options.flags = (unsigned)LATZ_READONLY;
	assert_ok(latz_open("t", &options, &reader));
	assert_rc(LATZ_READONLY, latz_counter_open(reader, "a", NULL, &seen));
	assert_rc(LATZ_NOTFOUND, latz_counter_open(reader, "latzero_get_seconds", &histogram, &seen));
	made = make(f->pool, "a", LATZ_COUNTER);
	assert_ok(latz_counter_add(made, 5));
	assert_ok(latz_counter_open(reader, "a", NULL, &seen));
	assert_int_equal(info_of(seen).value, 5);
	assert_rc(LATZ_READONLY, latz_counter_add(seen, 1));
	assert_ok(latz_counter_add(made, 1));
	assert_int_equal(info_of(seen).value, 6);
	assert_ok(latz_counter_close(seen));
	assert_rc(LATZ_TYPE, latz_counter_open(reader, "a", &histogram, &seen));
	assert_rc(LATZ_READONLY, latz_counter_open(reader, "b", NULL, &seen));
	assert_ok(latz_counter_open(reader, "latzero_get_seconds", &histogram, &seen));
	assert_rc(LATZ_INVALID, latz_counter_record(seen, 1));
	assert_ok(latz_counter_close(seen));
	assert_ok(latz_counter_close(made));
	assert_ok(latz_close(reader));
}

static void bad_arguments(void **state)
{
	struct fixture *f = *state;
	latz_counter_options options = LATZ_COUNTER_OPTIONS_INIT;
	latz_counter_info info = { .size = 0 };
	char name[65], help[129];
	latz_counter *a, *b;

	memset(name, 'n', 64);
	name[64] = '\0';
	memset(help, 'h', 128);
	help[128] = '\0';
	assert_rc(LATZ_INVALID, latz_counter_open(NULL, "a", NULL, &a));
	assert_rc(LATZ_INVALID, latz_counter_open(f->pool, NULL, NULL, &a));
	assert_rc(LATZ_INVALID, latz_counter_open(f->pool, "a", NULL, NULL));
	assert_rc(LATZ_INVALID, latz_counter_open(f->pool, "", NULL, &a));
	assert_rc(LATZ_INVALID, latz_counter_open(f->pool, "9a", NULL, &a));
	assert_rc(LATZ_INVALID, latz_counter_open(f->pool, "a b", NULL, &a));
	assert_rc(LATZ_INVALID, latz_counter_open(f->pool, name, NULL, &a));
	options.size = 0;
	assert_rc(LATZ_INVALID, latz_counter_open(f->pool, "a", &options, &a));
	options.size = sizeof options;
	options.kind = (latz_counter_kind)3;
	assert_rc(LATZ_INVALID, latz_counter_open(f->pool, "a", &options, &a));
	options.kind = LATZ_COUNTER;
	options.scale = -1;
	assert_rc(LATZ_INVALID, latz_counter_open(f->pool, "a", &options, &a));
	options.scale = 0.0 / 0.0;
	assert_rc(LATZ_INVALID, latz_counter_open(f->pool, "a", &options, &a));
	options.scale = 0;
	options.help = help;
	assert_rc(LATZ_INVALID, latz_counter_open(f->pool, "a", &options, &a));
	options.help = "two\nlines";
	assert_rc(LATZ_INVALID, latz_counter_open(f->pool, "a", &options, &a));
	options.help = NULL;
	name[63] = '\0';
	assert_ok(latz_counter_open(f->pool, name, &options, &a));
	options.kind = LATZ_GAUGE;
	assert_rc(LATZ_TYPE, latz_counter_open(f->pool, name, &options, &b));
	assert_rc(LATZ_INVALID, latz_counter_read(a, &info));
	assert_rc(LATZ_INVALID, latz_counter_read(a, NULL));
	assert_rc(LATZ_INVALID, latz_counter_read(NULL, &info));
	assert_rc(LATZ_INVALID, latz_counter_add(NULL, 1));
	assert_rc(LATZ_INVALID, latz_counter_set(NULL, 1));
	assert_rc(LATZ_INVALID, latz_counter_record(NULL, 1));
	assert_rc(LATZ_INVALID, latz_counter_close(NULL));
	assert_rc(LATZ_INVALID, latz_counters(f->pool, NULL, NULL));
	assert_rc(LATZ_INVALID, latz_counters(NULL, collect, NULL));
	assert_ok(latz_destroy("t", &f->options));
	assert_rc(LATZ_DEAD, latz_counter_add(a, 1));
	assert_rc(LATZ_DEAD, latz_counter_read(a, &(latz_counter_info){ .size = sizeof info }));
	assert_ok(latz_counter_close(a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		POOL_TEST(counts),
		POOL_TEST(goes_up_and_down),
		POOL_TEST(histograms),
		POOL_TEST(many_threads),
		POOL_TEST(parts_of_the_dead),
		POOL_TEST(over_a_fork),
		POOL_TEST(lists_them),
		POOL_TEST(as_many_as_there_may_be),
		POOL_TEST(times_calls),
		POOL_TEST(a_bounded_pool_counts_them),
		POOL_TEST(reading_handle), POOL_TEST(bad_arguments),
	};

	return suite_run(tests);
}
