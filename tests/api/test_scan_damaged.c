/*
 * Scans of damaged pools: what is damaged is told of, by its key where there is one, and everything else is there.
 */
#include "lib/suite.h"

#include <fcntl.h>
#include <unistd.h>

#define KEYS 3000u
#define HURT 1234u /* the one whose record is damaged */

/* Bytes of a record, by offset: doc/format.md, Heap. */
enum {
	AT_SEQ = 6,
	AT_KEY_SIZE = 24,
	AT_KEY = 28
};

static size_t long_by; /* keys are lengthened by so many bytes before the number */

static latz_slice key_number(unsigned i, char text[1024])
{
	memset(text, 'p', long_by);
	return (latz_slice){ text, long_by + (size_t)snprintf(text + long_by, 64, "key-%05u", i) };
}

static void fill(latz_pool *pool)
{
	char key[1024], value[64];

	for (unsigned i = 0; i < KEYS; i++) {
		snprintf(value, sizeof value, "the value of key %05u", i);
		assert_ok(latz_set(pool, key_number(i, key), latz_str(value), NULL));
	}
}

static void damage_at(const struct fixture *f, uint64_t offset, uint8_t mask, size_t size)
{
	char path[4096];
	uint8_t byte;
	int fd;

	snprintf(path, sizeof path, "%s/t/heap", f->dir);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	for (size_t i = 0; i < size; i++) {
		assert_int_equal(pread(fd, &byte, 1, (off_t)(offset + i)), 1);
		byte = mask == 0 ? 0 : byte ^ mask;
		assert_int_equal(pwrite(fd, &byte, 1, (off_t)(offset + i)), 1);
	}
	close(fd);
}

static latz_key_info record_of(latz_pool *pool, unsigned i)
{
	latz_key_info info = { .size = sizeof info };
	char key[1024];

	assert_ok(latz_key_stat(pool, key_number(i, key), &info));
	return info;
}

struct outcome {
	unsigned whole, named, nameless;
};

/* Every key but the damaged one must come, once, in order, with its value; the damaged one may come as an error. */
static struct outcome drain(struct fixture *f, latz_pool *pool, int reverse, int with_values)
{
	latz_scan_options options = LATZ_SCAN_OPTIONS_INIT;
	struct outcome outcome = { 0, 0, 0 };
	char want[1024], value[64];
	latz_scan *scan;
	latz_slice key;
	int rc;

	options.reverse = reverse;
	assert_ok(latz_scan_open(pool, &options, &scan));
	for (unsigned i = 0; (rc = latz_scan_next(scan, &key, with_values ? &f->value : NULL)) != LATZ_DONE; i++) {
		unsigned number = reverse ? KEYS - 1 - i : i;

		assert_true(rc == LATZ_OK || rc == LATZ_CORRUPT);
		assert_true(i <= KEYS); /* it gets on */
		assert_int_equal(outcome.nameless, 0); /* that is the last */
		if (rc == LATZ_CORRUPT && key.size == 0) {
			outcome.nameless++;
			assert_non_null(strstr(latz_error_detail(), "damage of which no key can be told"));
			continue;
		}
		if (number == HURT && !(key.size == key_number(HURT, want).size &&
		                        memcmp(key.data, want, key.size) == 0))
			number = reverse ? KEYS - 1 - ++i : ++i;
		assert_int_equal(key.size, key_number(number, want).size);
		assert_memory_equal(key.data, want, key.size);
		if (rc == LATZ_CORRUPT) {
			assert_int_equal(number, HURT);
			outcome.named++;
			continue;
		}
		outcome.whole++;
		if (!with_values)
			continue;
		snprintf(value, sizeof value, "the value of key %05u", number);
		assert_string_equal(f->value.data, value);
	}
	assert_rc(LATZ_DONE, latz_scan_next(scan, &key, NULL));
	assert_int_equal(key.size, 0);
	assert_ok(latz_scan_close(scan));
	return outcome;
}

static void expect(struct fixture *f, latz_pool *pool, unsigned named, unsigned nameless)
{
	for (int reverse = 0; reverse < 2; reverse++) {
		struct outcome outcome = drain(f, pool, reverse, 1);

		assert_int_equal(outcome.whole, KEYS - 1);
		assert_int_equal(outcome.named, named);
		assert_int_equal(outcome.nameless, nameless);
	}
}

static latz_pool *open_reader(struct fixture *f)
{
	latz_options options = f->options;
	latz_pool *pool;

	options.flags = LATZ_READONLY;
	assert_ok(latz_open("t", &options, &pool));
	return pool;
}

static void index_all(latz_pool *pool)
{
	assert_int_equal(count_keys(pool), KEYS);
}

/* A pool with everything in its index, one record of which is then damaged. */
static void fill_and_hurt(struct fixture *f, uint64_t at, uint8_t mask, size_t size)
{
	fill(f->pool);
	index_all(f->pool);
	damage_at(f, record_of(f->pool, HURT).address + at, mask, size);
}

static void expect_reader(struct fixture *f, unsigned named, unsigned nameless)
{
	latz_pool *reader = open_reader(f);

	expect(f, reader, named, nameless);
	assert_ok(latz_close(reader));
}

/* The checksum tells; the key is whole, and is told. Who wants no values is not kept from it. */
static void value(void **state)
{
	struct fixture *f = *state;

	fill_and_hurt(f, AT_KEY + 15, 0x40, 2);
	expect(f, f->pool, 1, 0);
	assert_int_equal(drain(f, f->pool, 0, 0).whole, KEYS);
	expect_reader(f, 1, 0);
}

/* What a namespace's keys begin with in the pool is no more told of there than elsewhere. */
static void in_namespace(void **state)
{
	struct fixture *f = *state;
	latz_pool *space;

	assert_ok(latz_namespace(f->pool, "space", &space));
	fill(space);
	index_all(space);
	damage_at(f, record_of(space, HURT).address + AT_KEY + 30, 0x40, 2);
	expect(f, space, 1, 0);
	assert_int_equal(count_keys(f->pool), 0);
	assert_ok(latz_close(space));
}

/* The index has it, the record has another. Who reads has no index, and meets it under a key that is not its own. */
static void key(void **state)
{
	struct fixture *f = *state;

	fill_and_hurt(f, AT_KEY + 4, 1, 1);
	expect(f, f->pool, 1, 0);
	expect_reader(f, 0, 1);
}

/* A version that none has yet is not one written since the scan was opened. */
static void version(void **state)
{
	struct fixture *f = *state;

	fill_and_hurt(f, AT_SEQ, 1, 1);
	expect(f, f->pool, 1, 0);
}

/* Of keys that long the index has the beginning and a hash. */
static void long_key(void **state)
{
	struct fixture *f = *state;

	long_by = 600;
	fill(f->pool);
	index_all(f->pool);
	damage_at(f, record_of(f->pool, HURT).address + AT_KEY + 602, 1, 1);
	expect(f, f->pool, 0, 1);
}

/* The index is made of records one after another: one without an end hides those behind it. The table knows them. */
static void unindexed(void **state)
{
	struct fixture *f = *state;
	latz_pool *pool;

	assert_ok(latz_close(f->pool));
	f->pool = NULL;
	pool = fixture_attach(f);
	fill(pool);
	damage_at(f, record_of(pool, HURT).address + AT_KEY_SIZE, 0, 2);
	expect(f, pool, 0, 1);
	f->pool = pool;
}

static void encrypt(struct fixture *f, latz_pool **ret_space)
{
	f->options.password = "correct horse battery";
	f->options.encrypt = 1;
	f->options.flags = LATZ_CREATE;
	assert_ok(latz_open("t", &f->options, &f->pool));
	assert_ok(latz_namespace(f->pool, "space", ret_space));
	fill(*ret_space);
	index_all(*ret_space);
}

/* In the namespace of an encrypted pool. */
static void sealed_value(void **state)
{
	struct fixture *f = *state;
	latz_pool *space;
	latz_key_info info;

	encrypt(f, &space);
	info = record_of(space, HURT);
	damage_at(f, info.address + info.record_bytes - 24, 0x10, 1);
	expect(f, space, 1, 0);
	assert_int_equal(drain(f, space, 0, 0).whole, KEYS);
	assert_int_equal(count_keys(f->pool), 0);
	assert_ok(latz_close(space));
}

static void sealed_key(void **state)
{
	struct fixture *f = *state;
	latz_pool *space, *reader, *in_reader;

	encrypt(f, &space);
	damage_at(f, record_of(space, HURT).address + AT_KEY + 12, 1, 1);
	expect(f, space, 1, 0);
	reader = open_reader(f);
	assert_ok(latz_namespace(reader, "space", &in_reader));
	expect(f, in_reader, 0, 1);
	assert_ok(latz_close(in_reader));
	assert_ok(latz_close(reader));
	assert_ok(latz_close(space));
}

/* What a limit keeps from being looked at is not missed. */
static void limited(void **state)
{
	struct fixture *f = *state;
	latz_scan_options options = LATZ_SCAN_OPTIONS_INIT;
	latz_scan *scan;
	latz_slice found;

	fill(f->pool);
	index_all(f->pool);
	damage_at(f, record_of(f->pool, HURT).address + AT_KEY + 4, 1, 1);
	options.limit = 10;
	assert_ok(latz_scan_open(f->pool, &options, &scan));
	for (unsigned i = 0; i < 10; i++)
		assert_ok(latz_scan_next(scan, &found, &f->value));
	assert_rc(LATZ_DONE, latz_scan_next(scan, &found, &f->value));
	assert_ok(latz_scan_close(scan));
}

static int down(void **state)
{
	long_by = 0;
	return fixture_down(state);
}

#define SCAN_TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_up, down)
#define SEALED_TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_up_dir, down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCAN_TEST(value),     SCAN_TEST(key),     SCAN_TEST(version),        SCAN_TEST(long_key),
		SCAN_TEST(unindexed), SCAN_TEST(limited), SCAN_TEST(in_namespace),   SEALED_TEST(sealed_value),
		SEALED_TEST(sealed_key),
	};

	return suite_run(tests);
}
