/*
 * latz_set_options: conditions, types, the version out; and latz_mset with them.
 */
#include "lib/suite.h"

static int set_with(latz_pool *pool, const char *key, const char *value, unsigned flags, uint64_t if_version,
                    uint64_t *version)
{
	latz_set_options options = LATZ_SET_OPTIONS_INIT;

	options.flags = flags;
	options.if_version = if_version;
	options.version = version;
	return latz_set(pool, key_of(key), key_of(value), &options);
}

static uint64_t version_of(struct fixture *f, const char *key)
{
	assert_ok(latz_get(f->pool, key_of(key), &f->value));
	return f->value.version;
}

static void set_if_absent(void **state)
{
	struct fixture *f = *state;

	assert_ok(set_with(f->pool, "k", "one", LATZ_IF_ABSENT, 0, NULL));
	assert_rc(LATZ_EXISTS, set_with(f->pool, "k", "two", LATZ_IF_ABSENT, 0, NULL));
	assert_text(f, "k", "one");
	assert_ok(del(f->pool, "k"));
	assert_ok(set_with(f->pool, "k", "three", LATZ_IF_ABSENT, 0, NULL));
	assert_text(f, "k", "three");
}

static void set_if_present(void **state)
{
	struct fixture *f = *state;

	assert_rc(LATZ_NOTFOUND, set_with(f->pool, "k", "one", LATZ_IF_PRESENT, 0, NULL));
	assert_rc(LATZ_NOTFOUND, latz_exists(f->pool, key_of("k")));
	assert_ok(put(f->pool, "k", "one"));
	assert_ok(set_with(f->pool, "k", "two", LATZ_IF_PRESENT, 0, NULL));
	assert_text(f, "k", "two");
	assert_ok(del(f->pool, "k"));
	assert_rc(LATZ_NOTFOUND, set_with(f->pool, "k", "three", LATZ_IF_PRESENT, 0, NULL));
}

static void set_if_version(void **state)
{
	struct fixture *f = *state;
	uint64_t first, second;

	assert_rc(LATZ_NOTFOUND, set_with(f->pool, "k", "one", LATZ_IF_VERSION, 1, NULL));
	assert_ok(set_with(f->pool, "k", "one", 0, 0, &first));
	assert_true(first == version_of(f, "k"));
	assert_ok(set_with(f->pool, "k", "two", LATZ_IF_VERSION, first, &second));
	assert_true(second != first && second == version_of(f, "k"));
	assert_rc(LATZ_MISMATCH, set_with(f->pool, "k", "three", LATZ_IF_VERSION, first, NULL));
	assert_rc(LATZ_MISMATCH, set_with(f->pool, "k", "three", LATZ_IF_VERSION, 0, NULL));
	assert_text(f, "k", "two");
	assert_ok(del(f->pool, "k"));
	assert_rc(LATZ_NOTFOUND, set_with(f->pool, "k", "three", LATZ_IF_VERSION, second, NULL));
	assert_ok(put(f->pool, "k", "two"));
	/* The old version does not come back with the old bytes. */
	assert_rc(LATZ_MISMATCH, set_with(f->pool, "k", "three", LATZ_IF_VERSION, second, NULL));
}

static void set_if_changed(void **state)
{
	struct fixture *f = *state;
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	uint64_t first, second;

	assert_ok(set_with(f->pool, "k", "one", LATZ_IF_CHANGED, 0, &first));
	assert_ok(set_with(f->pool, "k", "one", LATZ_IF_CHANGED, 0, &second));
	assert_true(first == second && first == version_of(f, "k"));
	assert_ok(set_with(f->pool, "k", "two", LATZ_IF_CHANGED, 0, &second));
	assert_true(first != second && second == version_of(f, "k"));
	assert_text(f, "k", "two");
	/* Same bytes, another type: that is a change. */
	options.flags = LATZ_IF_CHANGED;
	options.type = LATZ_STRING;
	options.version = &first;
	assert_ok(latz_set(f->pool, key_of("k"), key_of("two"), &options));
	assert_true(first != second);
	assert_ok(latz_get(f->pool, key_of("k"), &f->value));
	assert_int_equal(f->value.type, LATZ_STRING);
}

/* The version written is known to the caller also when another condition is given, and stays as it was on failure. */
static void set_version_out(void **state)
{
	struct fixture *f = *state;
	uint64_t version = 4711;

	assert_rc(LATZ_NOTFOUND, set_with(f->pool, "k", "x", LATZ_IF_PRESENT, 0, &version));
	assert_true(version == 4711);
	assert_ok(set_with(f->pool, "k", "x", LATZ_IF_ABSENT, 0, &version));
	assert_true(version == version_of(f, "k"));
}

static void set_bad_options(void **state)
{
	struct fixture *f = *state;
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	int rc;

	assert_rc(LATZ_UNSUPPORTED, set_with(f->pool, "k", "v", LATZ_DURABLE, 0, NULL));
	assert_rc(LATZ_INVALID, set_with(f->pool, "k", "v", 1u << 25, 0, NULL));
	options.size = 0;
	assert_rc(LATZ_INVALID, latz_set(f->pool, key_of("k"), key_of("v"), &options));
	options.size = sizeof(options);
	options.type = 200;
	rc = latz_set(f->pool, key_of("k"), key_of("v"), &options);
	assert_true(rc == LATZ_INVALID || rc == LATZ_TYPE);
	options.type = 30;
	rc = latz_set(f->pool, key_of("k"), key_of("v"), &options);
	assert_true(rc == LATZ_INVALID || rc == LATZ_TYPE);
	assert_rc(LATZ_NOTFOUND, latz_exists(f->pool, key_of("k")));
}

static int set_typed(latz_pool *pool, latz_type type, const void *data, size_t size)
{
	latz_set_options options = LATZ_SET_OPTIONS_INIT;

	options.type = type;
	return latz_set(pool, key_of("typed"), slice(data, size), &options);
}

/* Each type comes back as it was; the fixed-size ones refuse other sizes. */
static void set_types(void **state)
{
	static const latz_type any_size[] = { LATZ_BYTES,  LATZ_STRING, LATZ_JSON,     LATZ_MSGPACK,
		                              LATZ_PICKLE, LATZ_USER,   LATZ_USER + 1, LATZ_USER + 63 };
	struct fixture *f = *state;
	unsigned char bytes[16] = { 1, 2, 3, 4, 5, 6, 7, 8 };

	for (size_t i = 0; i < ARRAY_LEN(any_size); i++) {
		for (size_t size = 0; size <= 16; size++) {
			assert_ok(set_typed(f->pool, any_size[i], bytes, size));
			assert_ok(latz_get(f->pool, key_of("typed"), &f->value));
			assert_int_equal(f->value.type, any_size[i]);
			assert_int_equal(f->value.size, size);
		}
	}
	for (size_t size = 0; size <= 16; size++) {
		assert_rc(size == 8 ? LATZ_OK : LATZ_TYPE, set_typed(f->pool, LATZ_INT, bytes, size));
		assert_rc(size == 8 ? LATZ_OK : LATZ_TYPE, set_typed(f->pool, LATZ_FLOAT, bytes, size));
		assert_rc(size == 1 ? LATZ_OK : LATZ_TYPE, set_typed(f->pool, LATZ_BOOL, bytes, size));
		assert_rc(size == 0 ? LATZ_OK : LATZ_TYPE, set_typed(f->pool, LATZ_NULL, bytes, size));
	}
	bytes[0] = 2;
	assert_rc(LATZ_TYPE, set_typed(f->pool, LATZ_BOOL, bytes, 1));
	bytes[0] = 0;
	assert_ok(set_typed(f->pool, LATZ_BOOL, bytes, 1));
	assert_ok(latz_get(f->pool, key_of("typed"), &f->value));
	assert_int_equal(f->value.type, LATZ_BOOL);
}

/* mset writes all; a condition that fails for one key is reported. */
static void mset_options(void **state)
{
	struct fixture *f = *state;
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	latz_item items[3];

	for (int i = 0; i < 3; i++) {
		items[i].key = key_of(i == 0 ? "a" : i == 1 ? "b" : "c");
		items[i].value = key_of("first");
	}
	options.flags = LATZ_IF_PRESENT;
	assert_rc(LATZ_NOTFOUND, latz_mset(f->pool, items, 3, &options));
	options.flags = LATZ_IF_ABSENT;
	options.type = LATZ_STRING;
	assert_ok(latz_mset(f->pool, items, 3, &options));
	assert_ok(latz_get(f->pool, key_of("b"), &f->value));
	assert_int_equal(f->value.type, LATZ_STRING);
	assert_rc(LATZ_EXISTS, latz_mset(f->pool, items, 3, &options));
	assert_ok(latz_mset(f->pool, items, 0, NULL));
	assert_ok(latz_mset(f->pool, NULL, 0, NULL));
	assert_rc(LATZ_INVALID, latz_mset(f->pool, NULL, 1, NULL));
	items[1].key.size = 0;
	assert_rc(LATZ_INVALID, latz_mset(f->pool, items, 3, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		POOL_TEST(set_if_absent),  POOL_TEST(set_if_present),  POOL_TEST(set_if_version),
		POOL_TEST(set_if_changed), POOL_TEST(set_version_out), POOL_TEST(set_bad_options),
		POOL_TEST(set_types),      POOL_TEST(mset_options),
	};

	return suite_run(tests);
}
