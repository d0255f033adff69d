/*
 * Golden logs and images: tests/golden/make.pl makes them from text. Warm start and restore find in them what the text
 * says; and at the same moment, with the same random numbers, the library writes the same bytes. Of snapshots, which
 * tests/unit/test_snap.c compares with what is written, only that they are restored.
 */
#include "config.h"

#include "lib/suite.h"

#include <sys/random.h>
#include <sys/syscall.h>

#include "base/error.h"
#include "format/image.h"
#include "wal/wal.h"

#define WALL_MS 1700000000123
#define MONO_MS 5000000ll
#define GOLDEN_MAX ((size_t)20 << 20)

/* ---- The moment, and chance -------------------------------------------------------------------------------------- */

static bool frozen;

/* The library's, since this program's come first. */
int clock_gettime(clockid_t id, struct timespec *now)
{
	int64_t ms = id == CLOCK_REALTIME ? WALL_MS : MONO_MS;

	if (!frozen)
		return (int)syscall(SYS_clock_gettime, id, now);
	now->tv_sec = ms / 1000;
	now->tv_nsec = ms % 1000 * 1000000;
	return 0;
}

ssize_t getrandom(void *to, size_t size, unsigned flags)
{
	uint8_t *bytes = to;

	if (!frozen)
		return syscall(SYS_getrandom, to, size, flags);
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(i % 16 * 0x11);
	return (ssize_t)size;
}

/* ---- Files ------------------------------------------------------------------------------------------------------- */

struct bytes {
	uint8_t *data;
	size_t size;
};

static struct bytes slurp(FILE *file)
{
	struct bytes bytes = { check_alloc(GOLDEN_MAX), 0 };

	bytes.size = fread(bytes.data, 1, GOLDEN_MAX, file);
	return bytes;
}

static struct bytes golden(const char *name)
{
	const char *top = getenv("top_srcdir");
	struct bytes bytes;
	char command[1000];
	FILE *pipe;

	top = top ? top : ".";
	snprintf(command, sizeof command, "perl '%s/tests/golden/make.pl' '%s/tests/golden/%s.txt'", top, top, name);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	bytes = slurp(pipe);
	assert_int_equal(pclose(pipe), 0);
	return bytes;
}

static struct bytes file_at(const char *path)
{
	FILE *file = fopen(path, "rb");
	struct bytes bytes;

	assert_non_null(file);
	bytes = slurp(file);
	fclose(file);
	return bytes;
}

static void put_golden(const char *name, const char *path)
{
	struct bytes bytes = golden(name);
	FILE *file = fopen(path, "wb");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes.data, 1, bytes.size, file), bytes.size);
	assert_int_equal(fclose(file), 0);
	free(bytes.data);
}

/* The first difference is named by its place. */
static void same_bytes(const char *what, const uint8_t *have, const uint8_t *want, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (have[i] != want[i])
			fail_msg("%s: byte %zu is 0x%02x, the golden one is 0x%02x", what, i, have[i], want[i]);
	}
}

/* ---- Logs -------------------------------------------------------------------------------------------------------- */

static char disk[300];

static int log_up(void **state)
{
	int rc = fixture_up_dir(state);
	struct fixture *f = *state;

	snprintf(disk, sizeof disk, "%s/disk", f->dir);
	f->options.persist_dir = disk;
	f->options.sync = LATZ_SYNC_NONE;
	f->options.flags |= LATZ_NO_THREAD | LATZ_NO_GUARD;
	frozen = true;
	return rc;
}

static int golden_down(void **state)
{
	int rc = fixture_down(state);

	frozen = false;
	return rc;
}

static void segment_path(char path[400], unsigned segment)
{
	snprintf(path, 400, "%s/p/wal-%u.log", disk, segment);
}

static void open_log(struct fixture *f)
{
	assert_ok(latz_open("p", &f->options, &f->pool));
}

static void close_log(struct fixture *f)
{
	assert_ok(latz_close(f->pool));
	f->pool = NULL;
}

/* A persist directory of these segments. */
static void put_log(const char *name, unsigned segments)
{
	char path[400], text[100];

	snprintf(path, sizeof path, "%s/p", disk);
	assert_true((mkdir(disk, 0700) == 0 || errno == EEXIST) && (mkdir(path, 0700) == 0 || errno == EEXIST));
	for (unsigned i = 1; i <= segments; i++) {
		segment_path(path, i);
		snprintf(text, sizeof text, segments == 1 ? "%s" : "%s-%u", name, i);
		put_golden(text, path);
	}
}

static void assert_value(struct fixture *f, const char *key, const void *value, size_t size, latz_type type,
                         uint64_t version, int64_t ttl_ms)
{
	assert_ok(latz_get(f->pool, key_of(key), &f->value));
	assert_int_equal(f->value.size, size);
	assert_memory_equal(f->value.data, value, size);
	assert_int_equal(f->value.type, type);
	assert_int_equal(f->value.version, version);
	assert_int_equal(f->value.ttl_ms, ttl_ms);
}

/* As make.pl makes it of `random 1 SIZE`. */
static uint8_t *random_value(size_t size)
{
	uint8_t *value = check_alloc(size);
	uint64_t x = 1;

	for (size_t i = 0; i < size; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		value[i] = (uint8_t)(x >> 56);
	}
	return value;
}

#define LONG 300000

static void log_is_read(void **state)
{
	struct fixture *f = *state;
	uint8_t *value = random_value(LONG);

	put_log("good-log-1.0", 2);
	open_log(f);
	assert_value(f, "apple", "", 0, LATZ_BYTES, 128, 120000);
	assert_value(f, "pear", "Conference", 10, LATZ_STRING, 129, -1);
	assert_value(f, "cherry", "\xff\0", 2, LATZ_USER + 63, 192, 60000);
	assert_value(f, "long", value, LONG, LATZ_BYTES, 192, -1);
	assert_value(f, "plum", "2", 1, LATZ_BYTES, 320, -1);
	assert_rc(LATZ_NOTFOUND, latz_get(f->pool, key_of("count"), &f->value));
	assert_int_equal(count_keys(f->pool), 5);
	assert_ok(verify_print(f->pool));
	close_log(f);
	free(value);
}

/* The same, and a transaction; then one that lacks a member. */
static void log_with_a_transaction_is_read(void **state)
{
	struct fixture *f = *state;

	put_log("good-log-2.0", 2);
	open_log(f);
	assert_value(f, "kiwi", "3", 1, LATZ_BYTES, 384, -1);
	assert_rc(LATZ_NOTFOUND, latz_get(f->pool, key_of("pear"), &f->value));
	assert_int_equal(count_keys(f->pool), 5);
	assert_ok(verify_print(f->pool));
	close_log(f);
}

static void transaction_that_is_not_whole(void **state)
{
	struct fixture *f = *state;

	put_log("good-log-cut", 1);
	open_log(f);
	assert_value(f, "a", "1", 1, LATZ_BYTES, 64, -1);
	assert_rc(LATZ_NOTFOUND, latz_get(f->pool, key_of("b"), &f->value));
	assert_int_equal(count_keys(f->pool), 1);
	assert_ok(verify_print(f->pool));
	close_log(f);
}

/* Keys of version 1 that begin with ff: what they are now is another to the pool, and the same to who uses it. */
static void high_keys_are_read(void **state)
{
	struct fixture *f = *state;

	put_log("good-log-1.0-high", 1);
	for (int i = 0; i < 2; i++) { /* the second time from what this library wrote behind it */
		open_log(f);
		assert_ok(latz_get(f->pool, slice("\xff\0\0\0\0\1k", 7), &f->value));
		assert_int_equal(f->value.version, 64);
		assert_rc(LATZ_NOTFOUND, latz_get(f->pool, slice("\xff", 1), &f->value));
		assert_value(f, "a", "3", 1, LATZ_BYTES, 64, -1);
		if (i == 0)
			assert_ok(latz_set(f->pool, slice("\xff\0", 2), key_of("new"), NULL));
		assert_ok(latz_get(f->pool, slice("\xff\0", 2), &f->value));
		assert_int_equal(count_keys(f->pool), 3);
		assert_ok(verify_print(f->pool));
		close_log(f);
	}
}

static void write_log(struct fixture *f)
{
	latz_txn *txn;

	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	uint8_t *value = random_value(LONG);

	open_log(f);
	assert_ok(put(f->pool, "apple", ""));
	assert_ok(put(f->pool, "pear", "W"));
	assert_ok(latz_increment(f->pool, key_of("count"), 42, NULL));
	assert_ok(latz_sync_now(f->pool));
	options.type = LATZ_STRING;
	assert_ok(latz_set(f->pool, key_of("pear"), key_of("Conference"), &options));
	assert_ok(latz_touch(f->pool, key_of("apple"), 120000));
	assert_ok(del(f->pool, "count"));
	options.type = LATZ_USER + 63;
	options.ttl_ms = 60000;
	assert_ok(latz_set(f->pool, key_of("cherry"), slice("\xff", 2), &options));
	assert_ok(latz_sync_now(f->pool));
	assert_ok(latz_set(f->pool, key_of("long"), slice(value, LONG), NULL));
	assert_ok(latz_sync_now(f->pool));
	close_log(f);
	open_log(f);
	assert_ok(put(f->pool, "plum", "2"));
	assert_ok(latz_sync_now(f->pool));
	assert_ok(latz_txn_begin(f->pool, 0, &txn));
	assert_ok(latz_txn_set(txn, key_of("kiwi"), key_of("3"), NULL));
	assert_ok(latz_txn_delete(txn, key_of("pear")));
	assert_ok(latz_txn_commit(txn));
	assert_ok(latz_sync_now(f->pool));
	close_log(f);
	free(value);
}

static void log_is_written(void **state)
{
	struct fixture *f = *state;

	write_log(f);
	for (unsigned i = 1; i <= 2; i++) {
		char path[400], name[40];
		struct bytes have, want;

		segment_path(path, i);
		snprintf(name, sizeof name, "good-log-2.0-%u", i);
		have = file_at(path);
		want = golden(name);
		assert_int_equal(have.size, want.size);
		same_bytes(name, have.data, want.data, want.size);
		free(have.data);
		free(want.data);
	}
}

/* Torn frames, old contents of a recycled file, a delete before the write it undoes. */
static void log_ends(void **state)
{
	struct fixture *f = *state;

	put_log("good-log-torn", 2);
	open_log(f);
	assert_value(f, "a", "1", 1, LATZ_BYTES, 64, -1);
	assert_value(f, "b", "2", 1, LATZ_BYTES, 64, -1);
	assert_int_equal(count_keys(f->pool), 2);
	close_log(f);
}

/* Nothing is opened, and nothing is changed. */
static void refused(struct fixture *f, const char *name, int rc, const char *why)
{
	char path[400];
	struct bytes before = golden(name), after;

	put_log(name, 1);
	assert_rc(rc, latz_open("p", &f->options, &f->pool));
	if (strstr(latz_error_detail(), "wal-1.log: offset ") == NULL || strstr(latz_error_detail(), why) == NULL)
		fail_msg("%s: %s", name, latz_error_detail());
	segment_path(path, 1);
	after = file_at(path);
	assert_int_equal(after.size, before.size);
	assert_memory_equal(after.data, before.data, before.size);
	segment_path(path, 2);
	assert_int_not_equal(access(path, F_OK), 0);
	free(before.data);
	free(after.data);
}

static void log_is_refused(void **state)
{
	struct fixture *f = *state;

	refused(f, "bad-log-count", LATZ_CORRUPT, "offset 4192: frame 1: not the 2 entries");
	refused(f, "bad-log-op", LATZ_CORRUPT, "offset 4160: frame 1: log entry: unknown operation 15");
	refused(f, "bad-log-number", LATZ_CORRUPT, "offset 8192: frame 3 where 2 was to come");
	refused(f, "bad-log-lost", LATZ_CORRUPT, "offset 8192: frame 2 is damaged or missing; a later one says");
	refused(f, "unsupported-log-major", LATZ_VERSION, "format 3, this library reads 1 to 2");
	refused(f, "unsupported-log-old", LATZ_VERSION, "format 0,");
}

/* ---- Images ------------------------------------------------------------------------------------------------------ */

static char image_path[300];

static int image_up(void **state)
{
	int rc = fixture_up_dir(state);
	struct fixture *f = *state;

	snprintf(image_path, sizeof image_path, "%s/image", f->dir);
	f->options.flags |= LATZ_NO_THREAD | LATZ_NO_GUARD;
	frozen = true;
	return rc;
}

/* With the others more than one bucket holds. */
static const char *const full[] = { "k07", "k11", "k19", "k21", "k23", "k25", "k29", "k34" };

static void make_image(struct fixture *f)
{
	latz_snapshot_options options = LATZ_SNAPSHOT_OPTIONS_INIT;
	latz_set_options with_ttl = LATZ_SET_OPTIONS_INIT;
	uint8_t *value = random_value(LONG);

	with_ttl.ttl_ms = 60000;
	with_ttl.type = LATZ_STRING;
	assert_ok(latz_open("p", &f->options, &f->pool));
	for (unsigned i = 0; i < ARRAY_LEN(full); i++)
		assert_ok(latz_set(f->pool, key_of(full[i]), slice(full[i], i % 4), NULL));
	assert_ok(latz_set(f->pool, key_of("long"), slice(value, LONG), NULL));
	assert_ok(latz_set(f->pool, key_of("ttl"), key_of("a minute"), &with_ttl));
	options.flags = LATZ_SNAPSHOT_IMAGE;
	assert_ok(latz_snapshot(f->pool, image_path, &options));
	free(value);
}

static void read_image(struct fixture *f, const char *name)
{
	latz_snapshot_info info = { .size = sizeof info };
	uint8_t *value = random_value(LONG);

	put_golden(name, image_path);
	assert_ok(latz_snapshot_verify(image_path, NULL, &info));
	assert_int_equal(info.image, 1);
	assert_int_equal(info.keys, 10);
	assert_int_equal(info.bytes, 300051);
	assert_int_equal(info.created_wall_ms, WALL_MS);
	assert_ok(latz_restore(image_path, "copy", &f->options, NULL));
	assert_ok(latz_open("copy", &f->options, &f->pool));
	for (unsigned i = 0; i < ARRAY_LEN(full); i++)
		assert_value(f, full[i], full[i], i % 4, LATZ_BYTES, 64, -1);
	assert_value(f, "long", value, LONG, LATZ_BYTES, 64, -1);
	assert_value(f, "ttl", "a minute", 8, LATZ_STRING, 64, 60000);
	assert_int_equal(count_keys(f->pool), 10);
	assert_ok(verify_print(f->pool));
	free(value);
}

static void image_is_read(void **state)
{
	read_image(*state, "good-image-1.1");
}

static void image_before_is_read(void **state)
{
	read_image(*state, "good-image-1.0");
}

/* An image of minor version 0 whose keys begin with ff: made of one whose keys would be escaped by now. */
static void high_image_is_read(void **state)
{
	struct fixture *f = *state;
	latz_snapshot_options options = LATZ_SNAPSHOT_OPTIONS_INIT;
	struct lzi_image_header *header;
	struct bytes image;
	FILE *file;

	assert_ok(latz_open("p", &f->options, &f->pool));
	assert_ok(put(f->pool, "a", "1"));
	assert_ok(latz_set(f->pool, slice("\xff", 1), key_of("2"), NULL)); /* ff ff in the pool */
	assert_ok(latz_set(f->pool, slice("\xff\0k", 3), key_of("3"), NULL));
	options.flags = LATZ_SNAPSHOT_IMAGE;
	assert_ok(latz_snapshot(f->pool, image_path, &options));
	image = file_at(image_path);
	header = (struct lzi_image_header *)(void *)image.data;
	assert_int_equal(header->minor, 1);
	assert_int_equal(header->incompatible, LZI_IMAGE_ESCAPED);
	header->minor = 0;
	header->incompatible = 0;
	header->checksum = lzi_crc32c(0, header, sizeof *header - 4);
	file = fopen(image_path, "wb");
	assert_int_equal(fwrite(image.data, 1, image.size, file), image.size);
	assert_int_equal(fclose(file), 0);
	free(image.data);
	assert_ok(latz_close(f->pool));
	assert_ok(latz_restore(image_path, "copy", &f->options, NULL));
	assert_ok(latz_open("copy", &f->options, &f->pool));
	assert_text(f, "a", "1");
	assert_text(f, "\xff\xff", "2");
	assert_ok(latz_get(f->pool, slice("\xff\xff\0k", 4), &f->value));
	assert_int_equal(count_keys(f->pool), 3);
	assert_ok(verify_print(f->pool));
}

static void snapshot_is_read(void **state)
{
	struct fixture *f = *state;
	uint8_t *value = random_value(270000);

	put_golden("good-snapshot-1.0", image_path);
	assert_ok(latz_snapshot_verify(image_path, NULL, NULL));
	assert_ok(latz_restore(image_path, "copy", &f->options, NULL));
	assert_ok(latz_open("copy", &f->options, &f->pool));
	assert_value(f, "apple", "", 0, LATZ_STRING, 300, -1);
	assert_value(f, "apricot", "abc", 3, LATZ_BYTES, 64, 1700000060000 - WALL_MS);
	assert_value(f, "apricots", "", 1, LATZ_USER, 0xffffffffffff, -1);
	assert_value(f, "long", value, 270000, LATZ_BYTES, 128, -1);
	assert_ok(latz_get(f->pool, slice("\xff", 2), &f->value));
	assert_int_equal(f->value.type, LATZ_INT);
	assert_memory_equal(f->value.data, "\x2a\0\0\0\0\0\0", 8);
	assert_int_equal(count_keys(f->pool), 5);
	assert_ok(verify_print(f->pool));
	free(value);
}

/* What LMDB makes of the index may differ from one release of it to the next, and with it checksums. */
static void image_is_written(void **state)
{
	struct bytes have, want = golden("good-image-1.1");
	const struct lzi_image_header *header = (const struct lzi_image_header *)(const void *)want.data;
	const struct lzi_image_section *section = &header->part[LZI_IMAGE_INDEX];
	struct {
		uint64_t offset, size;
	} skip[] = {
		{ section->offset, section->size },
		{ header->sums_offset + section->first * sizeof(struct lzi_image_sum) + 4, 4 },
		{ offsetof(struct lzi_image_header, sums_crc), 4 },
		{ offsetof(struct lzi_image_header, checksum), 4 },
	};

	make_image(*state);
	have = file_at(image_path);
	assert_int_equal(have.size, want.size);
	for (unsigned i = 0; i < ARRAY_LEN(skip); i++)
		memcpy(have.data + skip[i].offset, want.data + skip[i].offset, skip[i].size);
	same_bytes("image", have.data, want.data, want.size);
	free(have.data);
	free(want.data);
}

static void image_is_unsupported(void **state)
{
	static const char *const names[] = { "major", "old", "feature", "machine" };
	static const char *const why[] = { "format 2", "format 0", "features 0x4", "pages of 16384" };
	struct fixture *f = *state;
	char name[60];

	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(name, sizeof name, "unsupported-image-%s", names[i]);
		put_golden(name, image_path);
		assert_rc(LATZ_VERSION, latz_snapshot_verify(image_path, NULL, NULL));
		assert_non_null(strstr(latz_error_detail(), why[i]));
		assert_rc(LATZ_VERSION, latz_restore(image_path, "copy", &f->options, NULL));
		assert_non_null(strstr(latz_error_detail(), why[i]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(log_is_read, log_up, golden_down),
		cmocka_unit_test_setup_teardown(high_keys_are_read, log_up, golden_down),
		cmocka_unit_test_setup_teardown(log_with_a_transaction_is_read, log_up, golden_down),
		cmocka_unit_test_setup_teardown(transaction_that_is_not_whole, log_up, golden_down),
		cmocka_unit_test_setup_teardown(log_is_written, log_up, golden_down),
		cmocka_unit_test_setup_teardown(log_ends, log_up, golden_down),
		cmocka_unit_test_setup_teardown(log_is_refused, log_up, golden_down),
		cmocka_unit_test_setup_teardown(image_is_read, image_up, golden_down),
		cmocka_unit_test_setup_teardown(image_before_is_read, image_up, golden_down),
		cmocka_unit_test_setup_teardown(high_image_is_read, image_up, golden_down),
		cmocka_unit_test_setup_teardown(image_is_written, image_up, golden_down),
		cmocka_unit_test_setup_teardown(snapshot_is_read, image_up, golden_down),
		cmocka_unit_test_setup_teardown(image_is_unsupported, image_up, golden_down),
	};

	return suite_run(tests);
}
