/*
 * latz_mget, latz_mset, latz_clear, latz_key_stat.
 */
#include "lib/suite.h"

#define N 1000

struct batch {
	char names[N][24];
	unsigned char data[N][300];
	latz_slice keys[N];
	latz_item items[N];
	latz_value values[N];
	int results[N];
};

static struct batch *batch_make(void)
{
	struct batch *b = check_alloc(sizeof(*b));

	for (unsigned i = 0; i < N; i++) {
		snprintf(b->names[i], sizeof(b->names[i]), "key-%u", i);
		pattern_fill(b->data[i], i % 300, i);
		b->keys[i] = key_of(b->names[i]);
		b->items[i].key = b->keys[i];
		b->items[i].value = slice(b->data[i], i % 300);
		b->values[i] = (latz_value)LATZ_VALUE_INIT;
		b->results[i] = 1;
	}
	return b;
}

static void batch_free(struct batch *b)
{
	for (unsigned i = 0; i < N; i++)
		latz_value_free(&b->values[i]);
	free(b);
}

static void mset_then_mget(void **state)
{
	struct fixture *f = *state;
	struct batch *b = batch_make();

	assert_ok(latz_mset(f->pool, b->items, N, NULL));
	assert_int_equal(count_keys(f->pool), N);
	for (int round = 0; round < 3; round++) {
		assert_ok(latz_mget(f->pool, b->keys, N, b->values, b->results));
		for (unsigned i = 0; i < N; i++) {
			assert_int_equal(b->results[i], LATZ_OK);
			assert_int_equal(b->values[i].size, i % 300);
			assert_true(pattern_is(b->values[i].data, i % 300, i));
			assert_ok(latz_get(f->pool, b->keys[i], &f->value));
			assert_true(f->value.version == b->values[i].version);
		}
	}
	batch_free(b);
}

/* Every answer is that of latz_get for the key: missing, bad and repeated keys among the good ones. */
static void mget_mixed(void **state)
{
	struct fixture *f = *state;
	struct batch *b = batch_make();
	char *huge = check_alloc(32768);

	memset(huge, 'h', 32768);
	for (unsigned i = 0; i < N; i += 2)
		assert_ok(latz_set(f->pool, b->keys[i], b->items[i].value, NULL));
	b->keys[10] = slice(NULL, 0);
	b->keys[20] = slice(huge, 32768);
	b->keys[30] = b->keys[40];
	assert_ok(latz_mget(f->pool, b->keys, N, b->values, b->results));
	for (unsigned i = 0; i < N; i++) {
		int want = i == 10 ? LATZ_INVALID : i == 20 ? LATZ_TOOBIG : i % 2 ? LATZ_NOTFOUND : LATZ_OK;
		unsigned from = i == 30 ? 40 : i;

		assert_rc(want, b->results[i]);
		if (want == LATZ_OK)
			assert_true(pattern_is(b->values[i].data, from % 300, from));
	}
	assert_ok(latz_mget(f->pool, b->keys, 0, NULL, NULL));
	assert_rc(LATZ_INVALID, latz_mget(f->pool, NULL, 1, b->values, b->results));
	assert_rc(LATZ_INVALID, latz_mget(f->pool, b->keys, 1, NULL, b->results));
	assert_rc(LATZ_INVALID, latz_mget(f->pool, b->keys, 1, b->values, NULL));
	assert_rc(LATZ_INVALID, latz_mget(NULL, b->keys, 1, b->values, b->results));
	free(huge);
	batch_free(b);
}

/* The same key twice in one batch: the later item wins. */
static void mset_repeated(void **state)
{
	struct fixture *f = *state;
	latz_item items[3] = { { key_of("k"), key_of("one") },
		               { key_of("other"), key_of("x") },
		               { key_of("k"), key_of("two") } };

	assert_ok(latz_mset(f->pool, items, 3, NULL));
	assert_text(f, "k", "two");
	assert_int_equal(count_keys(f->pool), 2);
}

static void clear_all(void **state)
{
	struct fixture *f = *state;
	struct batch *b = batch_make();
	latz_stats_t stats = { .size = sizeof(stats) };

	assert_ok(latz_clear(f->pool));
	for (int round = 0; round < 3; round++) {
		assert_ok(latz_mset(f->pool, b->items, N, NULL));
		assert_ok(latz_clear(f->pool));
		assert_int_equal(count_keys(f->pool), 0);
		for (unsigned i = 0; i < N; i++)
			assert_rc(LATZ_NOTFOUND, latz_exists(f->pool, b->keys[i]));
		assert_ok(latz_stats(f->pool, &stats));
		assert_int_equal(stats.keys, 0);
	}
	assert_ok(put(f->pool, "k", "after"));
	assert_text(f, "k", "after");
	assert_ok(verify_print(f->pool));
	batch_free(b);
}

static void key_stat(void **state)
{
	struct fixture *f = *state;
	latz_key_info info = { .size = sizeof(info) }, other = { .size = sizeof(other) };
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	unsigned char value[500] = { 0 };

	assert_rc(LATZ_NOTFOUND, latz_key_stat(f->pool, key_of("k"), &info));
	options.type = LATZ_JSON;
	options.ttl_ms = 3600000;
	assert_ok(latz_set(f->pool, key_of("k"), slice(value, sizeof(value)), &options));
	assert_ok(latz_get(f->pool, key_of("k"), &f->value));
	assert_ok(latz_key_stat(f->pool, key_of("k"), &info));
	assert_int_equal(info.value_size, sizeof(value));
	assert_true(info.record_bytes >= sizeof(value) + 1 && info.record_bytes < sizeof(value) + 200);
	assert_true(info.version == f->value.version);
	assert_int_equal(info.type, LATZ_JSON);
	assert_true(info.ttl_ms > 0 && info.ttl_ms <= 3600000);
	assert_ok(put(f->pool, "k2", "x"));
	assert_ok(latz_key_stat(f->pool, key_of("k2"), &other));
	assert_true(other.address != info.address);
	assert_true(other.hash != info.hash);
	assert_true(other.ttl_ms == -1);
	info.size = 0;
	assert_rc(LATZ_INVALID, latz_key_stat(f->pool, key_of("k"), &info));
	assert_rc(LATZ_INVALID, latz_key_stat(f->pool, key_of("k"), NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		POOL_TEST(mset_then_mget), POOL_TEST(mget_mixed), POOL_TEST(mset_repeated),
		POOL_TEST(clear_all),      POOL_TEST(key_stat),
	};

	return suite_run(tests);
}
