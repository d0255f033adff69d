/*
 * latz_set, latz_get, latz_exists, latz_delete over the sizes at which the engine changes its mind, and any bytes.
 */
#include "lib/suite.h"

static const size_t value_sizes[] = { 0,      1,      7,      8,      9,       15,      16,     17,    31,
	                              32,     33,     63,     64,     65,      99,      100,    101,   112,
	                              128,    129,    130,    1000,   4095,    4096,    4097,   32768, 65000,
	                              65400,  65471,  65472,  65473,  65500,   65535,   65536,  65537, 66000,
	                              131071, 131072, 131073, 200000, 1048575, 1048576, 1048577 };

static const size_t key_sizes[] = { 1,   2,   15,  16,  17,  100,  255,  256,   494,   495,  496,
	                            510, 511, 512, 513, 600, 1023, 4096, 16384, 32766, 32767 };

static void round_trip(struct fixture *f, latz_slice key, size_t value_size, uint64_t seed)
{
	unsigned char *value = check_alloc(value_size);

	pattern_fill(value, value_size, seed);
	assert_ok(latz_set(f->pool, key, slice(value, value_size), NULL));
	assert_ok(latz_get(f->pool, key, &f->value));
	assert_int_equal(f->value.size, value_size);
	assert_true(f->value.capacity >= value_size || value_size == 0);
	assert_true(pattern_is(f->value.data, value_size, seed));
	assert_int_equal(f->value.type, LATZ_BYTES);
	assert_true(f->value.version != 0);
	assert_true(f->value.ttl_ms == -1);
	if (f->value.data != NULL)
		assert_int_equal(((char *)f->value.data)[value_size], 0);
	assert_ok(latz_exists(f->pool, key));
	free(value);
}

/* Each value size on a new key, then all of them over one key upwards and downwards. */
static void value_size_range(void **state)
{
	struct fixture *f = *state;
	char name[32];

	for (size_t i = 0; i < ARRAY_LEN(value_sizes); i++) {
		snprintf(name, sizeof(name), "size-%zu", value_sizes[i]);
		round_trip(f, key_of(name), value_sizes[i], i);
	}
	for (size_t i = 0; i < ARRAY_LEN(value_sizes); i++)
		round_trip(f, key_of("one"), value_sizes[i], 1000 + i);
	for (size_t i = ARRAY_LEN(value_sizes); i-- > 0;)
		round_trip(f, key_of("one"), value_sizes[i], 2000 + i);
	/* Everything is still there after all that. */
	for (size_t i = 0; i < ARRAY_LEN(value_sizes); i++) {
		snprintf(name, sizeof(name), "size-%zu", value_sizes[i]);
		assert_ok(latz_get(f->pool, key_of(name), &f->value));
		assert_int_equal(f->value.size, value_sizes[i]);
		assert_true(pattern_is(f->value.data, value_sizes[i], i));
	}
	assert_int_equal(count_keys(f->pool), ARRAY_LEN(value_sizes) + 1);
	assert_ok(verify_print(f->pool));
}

/* Every size around one extent, with a key that is not a multiple of anything. */
static void value_size_around_extent(void **state)
{
	struct fixture *f = *state;

	for (size_t size = 65536 - 160; size <= 65536 + 32; size++)
		round_trip(f, key_of("seven77"), size, size);
	assert_ok(verify_print(f->pool));
}

/* A key of size bytes that differs from others of the same size at its end only. */
static void make_key(unsigned char *key, size_t size, unsigned char last)
{
	memset(key, 'p', size);
	key[size - 1] = last;
}

static void key_size_range(void **state)
{
	static const size_t sizes[] = { 0, 5, 100, 70000 };
	struct fixture *f = *state;
	unsigned char *key = check_alloc(32768);
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_LEN(key_sizes); i++) {
		for (unsigned last = 0; last < 4; last++) {
			make_key(key, key_sizes[i], (unsigned char)(last * 80));
			round_trip(f, slice(key, key_sizes[i]), sizes[last], i * 4 + last);
			count++;
		}
	}
	assert_int_equal(count_keys(f->pool), count);
	assert_ok(verify_print(f->pool));
	for (size_t i = 0; i < ARRAY_LEN(key_sizes); i++) {
		for (unsigned last = 0; last < 4; last++) {
			make_key(key, key_sizes[i], (unsigned char)(last * 80));
			assert_ok(latz_get(f->pool, slice(key, key_sizes[i]), &f->value));
			assert_true(pattern_is(f->value.data, sizes[last], i * 4 + last));
			assert_ok(latz_delete(f->pool, slice(key, key_sizes[i])));
			assert_rc(LATZ_NOTFOUND, latz_get(f->pool, slice(key, key_sizes[i]), &f->value));
			assert_rc(LATZ_NOTFOUND, latz_delete(f->pool, slice(key, key_sizes[i])));
		}
	}
	assert_int_equal(count_keys(f->pool), 0);
	free(key);
}

static void key_limits(void **state)
{
	struct fixture *f = *state;
	unsigned char *key = check_alloc(40000);
	latz_slice none = { NULL, 0 }, null_key = { NULL, 5 }, big;

	memset(key, 'k', 40000);
	big = slice(key, 32768);
	assert_rc(LATZ_TOOBIG, latz_set(f->pool, big, key_of("v"), NULL));
	assert_rc(LATZ_TOOBIG, latz_get(f->pool, big, &f->value));
	assert_rc(LATZ_TOOBIG, latz_delete(f->pool, big));
	assert_rc(LATZ_TOOBIG, latz_exists(f->pool, big));
	assert_rc(LATZ_INVALID, latz_set(f->pool, none, key_of("v"), NULL));
	assert_rc(LATZ_INVALID, latz_get(f->pool, none, &f->value));
	assert_rc(LATZ_INVALID, latz_delete(f->pool, none));
	assert_rc(LATZ_INVALID, latz_exists(f->pool, none));
	assert_rc(LATZ_INVALID, latz_set(f->pool, null_key, key_of("v"), NULL));
	assert_rc(LATZ_INVALID, latz_get(f->pool, null_key, &f->value));
	/* The size alone is over the limit; the bytes are never looked at. */
	assert_rc(LATZ_TOOBIG, latz_set(f->pool, key_of("k"), slice(key, (size_t)1 << 32), NULL));
	assert_rc(LATZ_INVALID, latz_set(f->pool, key_of("k"), slice(NULL, 3), NULL));
	assert_ok(latz_set(f->pool, key_of("k"), none, NULL));
	assert_int_equal(count_keys(f->pool), 1);
	free(key);
}

static void null_arguments(void **state)
{
	struct fixture *f = *state;

	assert_rc(LATZ_INVALID, latz_set(NULL, key_of("k"), key_of("v"), NULL));
	assert_rc(LATZ_INVALID, latz_get(NULL, key_of("k"), &f->value));
	assert_rc(LATZ_INVALID, latz_get(f->pool, key_of("k"), NULL));
	assert_rc(LATZ_INVALID, latz_delete(NULL, key_of("k")));
	assert_rc(LATZ_INVALID, latz_exists(NULL, key_of("k")));
	assert_rc(LATZ_INVALID, latz_clear(NULL));
	latz_value_free(NULL);
	assert_int_equal(latz_str(NULL).size, 0);
	assert_int_equal(latz_str("abc").size, 3);
}

/* Every single byte as a key, and pairs with NULs: distinct keys, in byte order in a scan. */
static void key_bytes(void **state)
{
	struct fixture *f = *state;
	unsigned char key[3];
	latz_scan *scan;
	latz_slice got;
	unsigned n = 0;

	for (unsigned i = 0; i < 256; i++) {
		key[0] = (unsigned char)i;
		key[1] = 0;
		key[2] = (unsigned char)(255 - i);
		for (size_t size = 1; size <= 3; size++)
			assert_ok(latz_set(f->pool, slice(key, size), slice(key, size), NULL));
	}
	assert_ok(latz_scan_open(f->pool, NULL, &scan));
	while (latz_scan_next(scan, &got, &f->value) == LATZ_OK) {
		key[0] = (unsigned char)(n / 3);
		key[1] = 0;
		key[2] = (unsigned char)(255 - n / 3);
		assert_int_equal(got.size, n % 3 + 1);
		assert_memory_equal(got.data, key, got.size);
		assert_int_equal(f->value.size, got.size);
		assert_memory_equal(f->value.data, key, got.size);
		n++;
	}
	assert_int_equal(n, 768);
	assert_ok(latz_scan_close(scan));
}

/* The version changes with each write and not with reads; deleting and writing again gives another one. */
static void version_changes(void **state)
{
	struct fixture *f = *state;
	uint64_t seen[64];

	for (unsigned i = 0; i < 64; i++) {
		if (i % 5 == 4)
			assert_ok(del(f->pool, "k"));
		assert_ok(put(f->pool, "k", "same"));
		assert_ok(latz_get(f->pool, key_of("k"), &f->value));
		seen[i] = f->value.version;
		assert_true(seen[i] != 0);
		for (unsigned j = 0; j < i; j++)
			assert_true(seen[j] != seen[i]);
		assert_ok(latz_get(f->pool, key_of("k"), &f->value));
		assert_true(f->value.version == seen[i]);
	}
}

static void get_if_changed(void **state)
{
	struct fixture *f = *state;
	uint64_t version;

	assert_rc(LATZ_NOTFOUND, latz_get_if_changed(f->pool, key_of("k"), 1, &f->value));
	assert_ok(put(f->pool, "k", "one"));
	assert_ok(latz_get_if_changed(f->pool, key_of("k"), 0, &f->value));
	version = f->value.version;
	assert_memory_equal(f->value.data, "one", 4);
	assert_rc(LATZ_MISMATCH, latz_get_if_changed(f->pool, key_of("k"), version, &f->value));
	assert_ok(put(f->pool, "k", "two"));
	assert_ok(latz_get_if_changed(f->pool, key_of("k"), version, &f->value));
	assert_memory_equal(f->value.data, "two", 4);
	assert_true(f->value.version != version);
	assert_ok(del(f->pool, "k"));
	assert_rc(LATZ_NOTFOUND, latz_get_if_changed(f->pool, key_of("k"), version, &f->value));
}

/* Overwriting a few keys for long does not grow the pool without bound. */
static void overwrite_reuses_space(void **state)
{
	struct fixture *f = *state;
	latz_stats_t stats = { .size = sizeof(stats) };
	unsigned char value[1000];
	char key[16];

	for (unsigned i = 0; i < 100000; i++) {
		snprintf(key, sizeof(key), "k%u", i % 100);
		pattern_fill(value, sizeof(value), i);
		assert_ok(latz_set(f->pool, key_of(key), slice(value, sizeof(value)), NULL));
	}
	for (unsigned i = 99900; i < 100000; i++) {
		snprintf(key, sizeof(key), "k%u", i % 100);
		assert_ok(latz_get(f->pool, key_of(key), &f->value));
		assert_true(pattern_is(f->value.data, sizeof(value), i));
	}
	/* 100 MB were written, 100 KB are alive. */
	assert_ok(latz_stats(f->pool, &stats));
	assert_true(stats.file_bytes < 50u << 20);
	assert_ok(verify_print(f->pool));
}

/* Many keys, deleted in another order, with a look at each. */
static void many_keys(void **state)
{
	struct fixture *f = *state;
	const unsigned n = 50000;
	char key[24], value[24];

	for (unsigned i = 0; i < n; i++) {
		snprintf(key, sizeof(key), "key-%u", i);
		snprintf(value, sizeof(value), "value-%u", i);
		assert_ok(put(f->pool, key, value));
	}
	assert_int_equal(count_keys(f->pool), n);
	for (unsigned i = 0; i < n; i += 2) {
		snprintf(key, sizeof(key), "key-%u", n - 2 - i);
		assert_ok(del(f->pool, key));
	}
	for (unsigned i = 0; i < n; i++) {
		snprintf(key, sizeof(key), "key-%u", i);
		snprintf(value, sizeof(value), "value-%u", i);
		if (i % 2 == 1)
			assert_text(f, key, value);
		else
			assert_rc(LATZ_NOTFOUND, latz_get(f->pool, key_of(key), &f->value));
	}
	assert_int_equal(count_keys(f->pool), n / 2);
	assert_ok(verify_print(f->pool));
}

static void large_value(void **state)
{
	struct fixture *f = *state;

	round_trip(f, key_of("large"), (size_t)70 << 20, 1);
	round_trip(f, key_of("large"), ((size_t)70 << 20) + 1, 2);
	assert_ok(verify_print(f->pool));
	assert_ok(del(f->pool, "large"));
	assert_true(maintain_all(f->pool));
	if (env_number("LATZ_TEST_BIG", 0) != 0)
		round_trip(f, key_of("largest"), ((size_t)1 << 32) - 1, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		POOL_TEST(value_size_range),
		POOL_TEST(value_size_around_extent),
		POOL_TEST(key_size_range),
		POOL_TEST(key_limits),
		POOL_TEST(null_arguments),
		POOL_TEST(key_bytes),
		POOL_TEST(version_changes),
		POOL_TEST(get_if_changed),
		POOL_TEST(overwrite_reuses_space),
		POOL_TEST(many_keys),
		POOL_TEST(large_value),
	};

	return suite_run(tests);
}
