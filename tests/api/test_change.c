/*
 * Calls that read and write at once: latz_increment, latz_append, latz_swap; alone and from several processes.
 */
#include "lib/suite.h"

static int set_int(latz_pool *pool, const char *key, int64_t number)
{
	latz_set_options options = LATZ_SET_OPTIONS_INIT;

	options.type = LATZ_INT;
	return latz_set(pool, key_of(key), slice(&number, 8), &options);
}

static int64_t int_of(struct fixture *f, const char *key)
{
	int64_t number;

	assert_ok(latz_get(f->pool, key_of(key), &f->value));
	assert_int_equal(f->value.type, LATZ_INT);
	assert_int_equal(f->value.size, 8);
	memcpy(&number, f->value.data, 8);
	return number;
}

static void increment_values(void **state)
{
	struct fixture *f = *state;
	int64_t sum = 0;

	assert_ok(latz_increment(f->pool, key_of("n"), 7, &sum));
	assert_true(sum == 7 && int_of(f, "n") == 7);
	assert_ok(latz_increment(f->pool, key_of("n"), -10, &sum));
	assert_true(sum == -3 && int_of(f, "n") == -3);
	assert_ok(latz_increment(f->pool, key_of("n"), 0, NULL));
	assert_true(int_of(f, "n") == -3);
	assert_ok(latz_increment(f->pool, key_of("zero"), 0, &sum));
	assert_true(sum == 0 && int_of(f, "zero") == 0);
}

static void increment_overflow(void **state)
{
	struct fixture *f = *state;
	int64_t sum = 99;

	assert_ok(set_int(f->pool, "n", INT64_MAX - 1));
	assert_ok(latz_increment(f->pool, key_of("n"), 1, &sum));
	assert_true(sum == INT64_MAX);
	assert_rc(LATZ_OVERFLOW, latz_increment(f->pool, key_of("n"), 1, &sum));
	assert_rc(LATZ_OVERFLOW, latz_increment(f->pool, key_of("n"), INT64_MAX, &sum));
	assert_true(sum == INT64_MAX && int_of(f, "n") == INT64_MAX);
	assert_ok(latz_increment(f->pool, key_of("n"), INT64_MIN, &sum));
	assert_true(sum == -1);
	assert_ok(set_int(f->pool, "n", INT64_MIN));
	assert_rc(LATZ_OVERFLOW, latz_increment(f->pool, key_of("n"), -1, &sum));
	assert_rc(LATZ_OVERFLOW, latz_increment(f->pool, key_of("n"), INT64_MIN, &sum));
	assert_true(int_of(f, "n") == INT64_MIN);
}

/* Only a LATZ_INT can be counted, even if another value has 8 bytes; the refused call changes nothing. */
static void increment_types(void **state)
{
	struct fixture *f = *state;
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	int64_t sum;

	assert_ok(put(f->pool, "bytes", "12345678"));
	assert_rc(LATZ_TYPE, latz_increment(f->pool, key_of("bytes"), 1, &sum));
	assert_text(f, "bytes", "12345678");
	options.type = LATZ_FLOAT;
	assert_ok(latz_set(f->pool, key_of("float"), key_of("12345678"), &options));
	assert_rc(LATZ_TYPE, latz_increment(f->pool, key_of("float"), 1, &sum));
	options.type = LATZ_NULL;
	assert_ok(latz_set(f->pool, key_of("null"), slice(NULL, 0), &options));
	assert_rc(LATZ_TYPE, latz_increment(f->pool, key_of("null"), 1, &sum));
	assert_rc(LATZ_INVALID, latz_increment(f->pool, slice(NULL, 0), 1, &sum));
	assert_rc(LATZ_INVALID, latz_increment(NULL, key_of("n"), 1, &sum));
}

static void append_values(void **state)
{
	struct fixture *f = *state;
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	unsigned char part[1000];
	size_t size = 0;

	assert_ok(latz_append(f->pool, key_of("k"), key_of("ab"), &size));
	assert_int_equal(size, 2);
	assert_ok(latz_append(f->pool, key_of("k"), slice(NULL, 0), &size));
	assert_int_equal(size, 2);
	assert_ok(latz_append(f->pool, key_of("k"), key_of("cd"), NULL));
	assert_text(f, "k", "abcd");
	assert_int_equal(f->value.type, LATZ_BYTES);
	options.type = LATZ_JSON;
	assert_ok(latz_set(f->pool, key_of("j"), key_of("[1"), &options));
	assert_ok(latz_append(f->pool, key_of("j"), key_of(",2]"), NULL));
	assert_text(f, "j", "[1,2]");
	assert_int_equal(f->value.type, LATZ_JSON);
	/* Over the size of an extent in steps. */
	for (unsigned i = 0; i < 150; i++) {
		memset(part, (int)i, sizeof(part));
		assert_ok(latz_append(f->pool, key_of("grow"), slice(part, sizeof(part)), &size));
		assert_int_equal(size, (i + 1) * sizeof(part));
	}
	assert_ok(latz_get(f->pool, key_of("grow"), &f->value));
	assert_int_equal(f->value.size, 150 * sizeof(part));
	for (unsigned i = 0; i < 150; i++) {
		memset(part, (int)i, sizeof(part));
		assert_memory_equal((char *)f->value.data + i * sizeof(part), part, sizeof(part));
	}
	assert_ok(verify_print(f->pool));
}

static void append_types(void **state)
{
	static const struct {
		latz_type type;
		size_t size;
	} fixed[] = { { LATZ_INT, 8 }, { LATZ_FLOAT, 8 }, { LATZ_BOOL, 1 }, { LATZ_NULL, 0 } };
	struct fixture *f = *state;
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	unsigned char zeroes[8] = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(fixed); i++) {
		options.type = fixed[i].type;
		assert_ok(latz_set(f->pool, key_of("k"), slice(zeroes, fixed[i].size), &options));
		assert_rc(LATZ_TYPE, latz_append(f->pool, key_of("k"), key_of("x"), NULL));
		assert_ok(latz_get(f->pool, key_of("k"), &f->value));
		assert_int_equal(f->value.size, fixed[i].size);
	}
	assert_rc(LATZ_INVALID, latz_append(f->pool, key_of("k"), slice(NULL, 3), NULL));
}

static void swap_values(void **state)
{
	struct fixture *f = *state;
	uint64_t version;

	assert_ok(latz_swap(f->pool, key_of("k"), key_of("one"), &f->value));
	assert_int_equal(f->value.size, 0);
	assert_true(f->value.version == 0);
	assert_text(f, "k", "one");
	version = f->value.version;
	assert_ok(latz_swap(f->pool, key_of("k"), key_of("two"), &f->value));
	assert_memory_equal(f->value.data, "one", 4);
	assert_true(f->value.version == version);
	assert_text(f, "k", "two");
	assert_ok(set_int(f->pool, "k", 5));
	assert_ok(latz_swap(f->pool, key_of("k"), key_of("three"), &f->value));
	assert_int_equal(f->value.type, LATZ_INT);
	assert_text(f, "k", "three");
	assert_int_equal(f->value.type, LATZ_BYTES);
}

#define PROCESSES 4
#define ROUNDS 5000

/* Counts, appends own marks, and hands a token round with swaps. */
static int change_together(void *arg)
{
	latz_pool *pool = must_open(arg, "t", 0);
	char mark = (char)('A' + (int)(getpid() % 26));
	latz_value old = LATZ_VALUE_INIT;
	int64_t sum, last = 0;

	for (int i = 0; i < ROUNDS; i++) {
		CHECK_OK(latz_increment(pool, key_of("count"), 1, &sum));
		CHECK(sum > last);
		last = sum;
		if (i % 50 == 0)
			CHECK_OK(latz_append(pool, key_of("marks"), slice(&mark, 1), NULL));
		/* Whoever takes the old value out adds it to the total: nothing is counted twice or lost. */
		CHECK_OK(latz_swap(pool, key_of("token"), slice(&sum, 8), &old));
		if (old.version != 0) {
			int64_t taken;

			CHECK(old.size == 8);
			memcpy(&taken, old.data, 8);
			CHECK_OK(latz_increment(pool, key_of("taken"), taken, NULL));
		}
	}
	latz_value_free(&old);
	CHECK_OK(latz_close(pool));
	return 0;
}

static void change_from_processes(void **state)
{
	struct fixture *f = *state;
	struct proc procs[PROCESSES];
	int64_t n = (int64_t)PROCESSES * ROUNDS, last;

	for (int i = 0; i < PROCESSES; i++)
		proc_start(&procs[i], change_together, (void *)f->dir, true);
	for (int i = 0; i < PROCESSES; i++)
		proc_go(&procs[i]);
	for (int i = 0; i < PROCESSES; i++)
		assert_int_equal(proc_wait(&procs[i], 120000), 0);
	assert_true(int_of(f, "count") == n);
	assert_ok(latz_get(f->pool, key_of("marks"), &f->value));
	assert_int_equal(f->value.size, n / 50);
	assert_ok(latz_get(f->pool, key_of("token"), &f->value));
	memcpy(&last, f->value.data, 8);
	assert_true(int_of(f, "taken") + last == n * (n + 1) / 2);
	assert_ok(verify_print(f->pool));
}

/* A counter made of IF_VERSION loses nothing either. */
static int compare_and_set(void *arg)
{
	latz_pool *pool = must_open(arg, "t", 0);
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	latz_value value = LATZ_VALUE_INIT;

	options.flags = LATZ_IF_VERSION;
	for (int i = 0; i < 1000; i++) {
		int64_t number;
		int rc;

		do {
			CHECK_OK(latz_get(pool, key_of("cas"), &value));
			memcpy(&number, value.data, 8);
			number++;
			options.if_version = value.version;
			rc = latz_set(pool, key_of("cas"), slice(&number, 8), &options);
			CHECK(rc == LATZ_OK || rc == LATZ_MISMATCH);
		} while (rc != LATZ_OK);
	}
	latz_value_free(&value);
	CHECK_OK(latz_close(pool));
	return 0;
}

static void compare_and_set_from_processes(void **state)
{
	struct fixture *f = *state;
	struct proc procs[PROCESSES];
	int64_t number = 0;

	assert_ok(latz_set(f->pool, key_of("cas"), slice(&number, 8), NULL));
	for (int i = 0; i < PROCESSES; i++)
		proc_start(&procs[i], compare_and_set, (void *)f->dir, false);
	for (int i = 0; i < PROCESSES; i++)
		assert_int_equal(proc_wait(&procs[i], 120000), 0);
	assert_ok(latz_get(f->pool, key_of("cas"), &f->value));
	memcpy(&number, f->value.data, 8);
	assert_int_equal(number, PROCESSES * 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		POOL_TEST(increment_values),      POOL_TEST(increment_overflow),
		POOL_TEST(increment_types),       POOL_TEST(append_values),
		POOL_TEST(append_types),          POOL_TEST(swap_values),
		POOL_TEST(change_from_processes), POOL_TEST(compare_and_set_from_processes),
	};

	return suite_run(tests);
}
