/*
 * latz_borrow and latz_release: the bytes of a view stay as they are, whatever happens to key, extent and handle.
 */
#include "lib/suite.h"

/* Enough writes that every extent is cleaned and reused several times over. */
static void churn(latz_pool *pool, unsigned rounds)
{
	unsigned char value[3000];
	char key[24];

	for (unsigned i = 0; i < rounds; i++) {
		memset(value, (int)(i | 0x80), sizeof(value));
		snprintf(key, sizeof(key), "churn-%u", i % 37);
		CHECK_OK(latz_set(pool, key_of(key), slice(value, 500 + i % 2500), NULL));
		if (i % 11 == 0)
			(void)!latz_delete(pool, key_of(key));
		if (i % 2000 == 0)
			(void)!latz_maintain(pool, 0);
	}
	(void)!latz_maintain(pool, 0);
}

static void borrow_reads(void **state)
{
	struct fixture *f = *state;
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	latz_view view = { 0 }, empty = { 0 };

	assert_rc(LATZ_NOTFOUND, latz_borrow(f->pool, key_of("k"), &view));
	options.type = LATZ_STRING;
	options.ttl_ms = 3600000;
	assert_ok(latz_set(f->pool, key_of("k"), key_of("borrowed"), &options));
	assert_ok(latz_get(f->pool, key_of("k"), &f->value));
	assert_ok(latz_borrow(f->pool, key_of("k"), &view));
	assert_int_equal(view.size, 8);
	assert_memory_equal(view.data, "borrowed", 8);
	assert_int_equal(view.type, LATZ_STRING);
	assert_true(view.version == f->value.version);
	assert_true(view.ttl_ms > 0 && view.ttl_ms <= 3600000);
	assert_ok(latz_release(&view));
	assert_rc(LATZ_INVALID, latz_release(&view));
	assert_rc(LATZ_INVALID, latz_release(&empty));
	assert_rc(LATZ_INVALID, latz_release(NULL));
	assert_ok(latz_set(f->pool, key_of("k"), slice(NULL, 0), NULL));
	assert_ok(latz_borrow(f->pool, key_of("k"), &view));
	assert_int_equal(view.size, 0);
	assert_ok(latz_release(&view));
	assert_rc(LATZ_INVALID, latz_borrow(f->pool, key_of("k"), NULL));
	assert_rc(LATZ_INVALID, latz_borrow(NULL, key_of("k"), &view));
}

/* Views of small, extent-sized and larger values outlive overwriting, deleting, clearing and cleaning. */
static void borrow_outlives(void **state)
{
	static const size_t sizes[] = { 0, 1, 100, 1000, 30000, 60000, 65536, 70000, 300000 };
	struct fixture *f = *state;
	latz_view views[ARRAY_LEN(sizes)] = { { 0 } };
	latz_stats_t stats = { .size = sizeof(stats) };
	unsigned char *value = check_alloc(300000);
	char key[24];

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		snprintf(key, sizeof(key), "view-%zu", i);
		pattern_fill(value, sizes[i], i);
		assert_ok(latz_set(f->pool, key_of(key), slice(value, sizes[i]), NULL));
		assert_ok(latz_borrow(f->pool, key_of(key), &views[i]));
		churn(f->pool, 200);
	}
	assert_ok(latz_stats(f->pool, &stats));
	assert_true(stats.views >= 1 && stats.views <= ARRAY_LEN(sizes));
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		snprintf(key, sizeof(key), "view-%zu", i);
		assert_ok(i % 2 ? put(f->pool, key, "overwritten") : del(f->pool, key));
	}
	churn(f->pool, 20000);
	assert_ok(latz_clear(f->pool));
	churn(f->pool, 20000);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		assert_int_equal(views[i].size, sizes[i]);
		assert_true(pattern_is(views[i].data, sizes[i], i));
	}
	/* A view holds its extents, not the pool. */
	assert_ok(latz_stats(f->pool, &stats));
	assert_true(stats.file_bytes < 60u << 20);
	assert_ok(verify_print(f->pool));
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		assert_ok(latz_release(&views[i]));
	assert_ok(latz_stats(f->pool, &stats));
	assert_int_equal(stats.views, 0);
	free(value);
}

/* Views keep their bytes after the handle they came from, and the pool, are gone. */
static void borrow_outlives_handle(void **state)
{
	struct fixture *f = *state;
	latz_view small = { 0 }, large = { 0 };
	unsigned char *value = check_alloc(200000);
	latz_pool *pool;

	pattern_fill(value, 200000, 5);
	assert_ok(latz_open("v", &f->options, &pool));
	assert_ok(put(pool, "small", "small value"));
	assert_ok(latz_set(pool, key_of("large"), slice(value, 200000), NULL));
	assert_ok(latz_borrow(pool, key_of("small"), &small));
	assert_ok(latz_borrow(pool, key_of("large"), &large));
	assert_ok(latz_close(pool));
	assert_memory_equal(small.data, "small value", 11);
	assert_true(pattern_is(large.data, 200000, 5));
	assert_ok(latz_open("v", &f->options, &pool));
	churn(pool, 3000);
	assert_memory_equal(small.data, "small value", 11);
	assert_true(pattern_is(large.data, 200000, 5));
	assert_ok(latz_release(&small));
	assert_ok(latz_release(&large));
	churn(pool, 100);
	assert_ok(latz_close(pool));
	free(value);
}

/* Growing the pool far beyond what was mapped does not move a view. */
static void borrow_outlives_growth(void **state)
{
	struct fixture *f = *state;
	unsigned char *value = check_alloc(1u << 20);
	latz_view view = { 0 };
	char key[24];

	assert_ok(put(f->pool, "k", "stays here"));
	assert_ok(latz_borrow(f->pool, key_of("k"), &view));
	memset(value, 7, 1u << 20);
	for (unsigned i = 0; i < 100; i++) {
		snprintf(key, sizeof(key), "grow-%u", i);
		assert_ok(latz_set(f->pool, key_of(key), slice(value, 1u << 20), NULL));
	}
	assert_memory_equal(view.data, "stays here", 10);
	assert_ok(latz_release(&view));
	free(value);
}

struct release_case {
	latz_view *views;
	unsigned count;
};

static void *release_views(void *arg)
{
	struct release_case *c = arg;

	for (unsigned i = 0; i < c->count; i++)
		CHECK_OK(latz_release(&c->views[i]));
	return NULL;
}

/* Many views at once, of one key and of many, given back by another thread. */
static void borrow_many(void **state)
{
	struct fixture *f = *state;
	latz_view views[500];
	struct release_case c = { views, ARRAY_LEN(views) };
	latz_stats_t stats = { .size = sizeof(stats) };
	char key[24], value[24];
	pthread_t thread;

	memset(views, 0, sizeof(views));
	for (unsigned i = 0; i < ARRAY_LEN(views); i++) {
		unsigned number = i % 2 ? i : 0;

		snprintf(key, sizeof(key), "key-%u", number);
		snprintf(value, sizeof(value), "value-%08u", number);
		assert_ok(put(f->pool, key, value));
		assert_ok(latz_borrow(f->pool, key_of(key), &views[i]));
	}
	churn(f->pool, 5000);
	for (unsigned i = 0; i < ARRAY_LEN(views); i++) {
		snprintf(value, sizeof(value), "value-%08u", i % 2 ? i : 0);
		assert_int_equal(views[i].size, strlen(value));
		assert_memory_equal(views[i].data, value, strlen(value));
	}
	assert_int_equal(pthread_create(&thread, NULL, release_views, &c), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_ok(latz_stats(f->pool, &stats));
	assert_int_equal(stats.views, 0);
}

/* More extents are looked at than a process can announce: views go on working, and their bytes stay. */
static void borrow_many_extents(void **state)
{
	struct fixture *f = *state;
	unsigned char *value = check_alloc(60000);
	latz_view views[48];
	latz_stats_t stats = { .size = sizeof(stats) };
	char key[24];

	memset(views, 0, sizeof(views));
	for (unsigned i = 0; i < ARRAY_LEN(views); i++) {
		snprintf(key, sizeof(key), "wide-%u", i);
		pattern_fill(value, 60000, i);
		assert_ok(latz_set(f->pool, key_of(key), slice(value, 60000), NULL));
		assert_ok(latz_borrow(f->pool, key_of(key), &views[i]));
	}
	assert_ok(latz_clear(f->pool));
	churn(f->pool, 20000);
	for (unsigned i = 0; i < ARRAY_LEN(views); i++) {
		unsigned at = i * 7 % ARRAY_LEN(views);

		assert_int_equal(views[at].size, 60000);
		assert_true(pattern_is(views[at].data, 60000, at));
		assert_ok(latz_release(&views[at]));
	}
	assert_ok(latz_stats(f->pool, &stats));
	assert_int_equal(stats.views, 0);
	assert_ok(verify_print(f->pool));
	free(value);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		POOL_TEST(borrow_reads),           POOL_TEST(borrow_outlives), DIR_TEST(borrow_outlives_handle),
		POOL_TEST(borrow_outlives_growth), POOL_TEST(borrow_many),     POOL_TEST(borrow_many_extents),
	};

	return suite_run(tests);
}
