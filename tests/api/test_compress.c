/*
 * Pools that compress: every call sees the values as they were written, with dictionaries and without, and gets them
 * back from log, snapshot and image.
 */
#include "lib/suite.h"

#include <dirent.h>

#define RECORDS 3000
#define TEXT 100000

static char text[TEXT + 1];

/* A record as applications have them: about 180 bytes, alike, and no two the same. */
static latz_slice make_record(unsigned i, char record[256])
{
	unsigned long h = i * 2654435761ul;

	return slice(record, (size_t)snprintf(record, 256,
	                                      "{\"id\":%u,\"name\":\"User %lu\",\"email\":\"user%u@example.com\","
	                                      "\"city\":\"%s\",\"created\":\"2024-%02lu-%02luT%02lu:%02lu:00Z\","
	                                      "\"active\":%s,\"score\":%lu}",
	                                      i, h % 99991, i, i % 3 ? "Berlin" : "Lisbon", 1 + h % 12, 1 + h % 28,
	                                      h % 24, h % 60, h % 2 ? "true" : "false", h % 100003));
}

static latz_slice record_key(unsigned i, char key[32])
{
	return slice(key, (size_t)sprintf(key, "user:%06u", i));
}

static void fill(latz_pool *pool, unsigned from, unsigned to)
{
	char record[256], key[32];

	for (; from < to; from++)
		assert_ok(latz_set(pool, record_key(from, key), make_record(from, record), NULL));
}

static void check(latz_pool *pool, unsigned from, unsigned to)
{
	latz_value value = LATZ_VALUE_INIT;
	char record[256], key[32];

	for (; from < to; from++) {
		latz_slice want = make_record(from, record);

		assert_ok(latz_get(pool, record_key(from, key), &value));
		assert_int_equal(value.size, want.size);
		assert_memory_equal(value.data, want.data, want.size);
		assert_int_equal(((char *)value.data)[value.size], 0);
	}
	latz_value_free(&value);
}

static latz_stats_t stats_of(latz_pool *pool)
{
	latz_stats_t stats = { .size = sizeof stats };

	assert_ok(latz_stats(pool, &stats));
	return stats;
}

static latz_key_info info_of(latz_pool *pool, const char *key)
{
	latz_key_info info = { .size = sizeof info };

	assert_ok(latz_key_stat(pool, key_of(key), &info));
	return info;
}

static unsigned train(latz_pool *pool)
{
	latz_train_info info = { .size = sizeof info };

	assert_ok(latz_train(pool, NULL, &info));
	if (info.dictionary != 0)
		assert_true(info.after_permille < info.before_permille && info.dict_bytes >= 256);
	return info.dictionary;
}

static int up(void **state)
{
	int rc = fixture_up_dir(state);
	struct fixture *f = *state;

	if (rc != 0)
		return rc;
	f->options.compress_min = 100;
	for (size_t i = 0; i < TEXT; i++)
		text[i] = "the quick brown fox jumps over the lazy dog; "[i * i / 7 % 45];
	for (size_t i = 0; i < TEXT; i += 500)
		memset(text + i, 'a' + (int)(i / 500 % 26), 400);
	return latz_open("t", &f->options, &f->pool) == LATZ_OK ? 0 : -1;
}

#define ZIP_TEST(fn) cmocka_unit_test_setup_teardown(fn, up, fixture_down)

static void set_text(latz_pool *pool, const char *key, size_t size, unsigned flags)
{
	latz_set_options how = LATZ_SET_OPTIONS_INIT;

	how.flags = flags;
	how.type = LATZ_STRING;
	assert_ok(latz_set(pool, key_of(key), slice(text, size), &how));
}

static void is_stored(latz_pool *pool, const char *key, size_t size, bool compressed)
{
	latz_key_info info = info_of(pool, key);

	assert_int_equal(info.value_size, size);
	if (compressed)
		assert_true(info.stored_size <= size - size / 8 && info.record_bytes < size + 28);
	else
		assert_int_equal(info.stored_size, size);
}

/* Each call that takes or gives a value. */
static void every_call(void **state)
{
	struct fixture *f = *state;
	const latz_slice keys[] = { key_of("a"), key_of("short"), key_of("none") };
	latz_value values[3] = { LATZ_VALUE_INIT, LATZ_VALUE_INIT, LATZ_VALUE_INIT };
	latz_view view = { 0 };
	uint64_t version;
	size_t size;
	int results[3];

	set_text(f->pool, "a", 5000, 0);
	set_text(f->pool, "short", 99, 0);
	is_stored(f->pool, "a", 5000, true);
	is_stored(f->pool, "short", 99, false);
	assert_ok(latz_get(f->pool, key_of("a"), &f->value));
	assert_true(f->value.size == 5000 && f->value.type == LATZ_STRING && f->value.ttl_ms == -1);
	assert_memory_equal(f->value.data, text, 5000);
	version = f->value.version;
	assert_rc(LATZ_MISMATCH, latz_get_if_changed(f->pool, key_of("a"), version, &f->value));
	assert_ok(latz_get_if_changed(f->pool, key_of("a"), version + 1, &f->value));
	assert_memory_equal(f->value.data, text, 5000);
	assert_ok(latz_mget(f->pool, keys, 3, values, results));
	assert_rc(LATZ_OK, results[0]);
	assert_rc(LATZ_OK, results[1]);
	assert_rc(LATZ_NOTFOUND, results[2]);
	assert_true(values[0].size == 5000 && memcmp(values[0].data, text, 5000) == 0);
	assert_true(values[1].size == 99 && memcmp(values[1].data, text, 99) == 0);
	assert_ok(latz_borrow(f->pool, key_of("a"), &view));
	assert_ok(latz_append(f->pool, key_of("a"), slice(text + 5000, 1000), &size));
	assert_int_equal(size, 6000);
	assert_true(view.size == 5000 && view.version == version && view.type == LATZ_STRING);
	assert_memory_equal(view.data, text, 5000);
	assert_int_equal(stats_of(f->pool).views, 0);
	assert_ok(latz_release(&view));
	assert_ok(latz_get(f->pool, key_of("a"), &f->value));
	assert_true(f->value.size == 6000 && f->value.type == LATZ_STRING && memcmp(f->value.data, text, 6000) == 0);
	assert_ok(latz_append(f->pool, key_of("short"), slice(text + 99, 2000), &size));
	is_stored(f->pool, "short", 2099, true);
	assert_ok(latz_swap(f->pool, key_of("a"), slice(text, 300), &f->value));
	assert_true(f->value.size == 6000 && memcmp(f->value.data, text, 6000) == 0);
	assert_ok(latz_exists(f->pool, key_of("a")));
	assert_rc(LATZ_TYPE, latz_increment(f->pool, key_of("a"), 1, NULL));
	assert_ok(latz_touch(f->pool, key_of("a"), 3600000));
	is_stored(f->pool, "a", 300, true);
	assert_ok(latz_get(f->pool, key_of("a"), &f->value));
	assert_true(f->value.size == 300 && memcmp(f->value.data, text, 300) == 0 && f->value.ttl_ms > 0);
	assert_ok(verify_print(f->pool));
	assert_ok(latz_delete(f->pool, key_of("a")));
	assert_ok(latz_clear(f->pool));
	for (int i = 0; i < 3; i++)
		latz_value_free(&values[i]);
}

/* LATZ_IF_CHANGED compares what was given, however it is stored, then and now. */
static void if_changed(void **state)
{
	struct fixture *f = *state;
	latz_options settings = f->options;
	uint64_t version;

	for (int round = 0; round < 4; round++) {
		settings.compress_min = round % 2 == 0 ? 100 : 0; /* as it stands */
		assert_ok(latz_compress(f->pool, &settings));
		set_text(f->pool, "k", 4000, 0);
		version = info_of(f->pool, "k").version;
		settings.compress_min = round / 2 == 0 ? 100 : 0; /* as it would be written */
		settings.compress_level = 1 + round;
		assert_ok(latz_compress(f->pool, &settings));
		set_text(f->pool, "k", 4000, LATZ_IF_CHANGED);
		assert_true(info_of(f->pool, "k").version == version);
		is_stored(f->pool, "k", 4000, round % 2 == 0);
		set_text(f->pool, "k", 4001, LATZ_IF_CHANGED);
		assert_true(info_of(f->pool, "k").version != version);
		version = info_of(f->pool, "k").version;
		text[17]++;
		set_text(f->pool, "k", 4001, LATZ_IF_CHANGED);
		assert_true(info_of(f->pool, "k").version != version);
		version = info_of(f->pool, "k").version;
		/* Another type is another value. */
		latz_set_options how = LATZ_SET_OPTIONS_INIT;
		how.flags = LATZ_IF_CHANGED;
		assert_ok(latz_set(f->pool, key_of("k"), slice(text, 4001), &how));
		assert_true(info_of(f->pool, "k").version != version);
		assert_int_equal(info_of(f->pool, "k").type, LATZ_BYTES);
	}
}

/* Scans see the moment they were opened at, packed as it was then. */
static void scans(void **state)
{
	struct fixture *f = *state;
	latz_scan *scan;
	latz_slice key;
	unsigned n = 0;

	for (int i = 0; i < 50; i++) {
		char name[16];

		sprintf(name, "k%02d", i);
		set_text(f->pool, name, 1000 + (size_t)i, 0);
	}
	assert_ok(latz_scan_open(f->pool, NULL, &scan));
	for (int i = 0; i < 50; i++) {
		char name[16];

		sprintf(name, "k%02d", i);
		set_text(f->pool, name, 20, 0);
	}
	for (; latz_scan_next(scan, &key, &f->value) == LATZ_OK; n++) {
		assert_int_equal(f->value.size, 1000 + n);
		assert_memory_equal(f->value.data, text, 1000 + n);
		assert_int_equal(f->value.type, LATZ_STRING);
	}
	assert_int_equal(n, 50);
	assert_ok(latz_scan_close(scan));
}

/* From next to nothing up to what has extents of its own. */
static void sizes(void **state)
{
	static const size_t list[] = { 0, 1, 99, 100, 101, 255, 256, 1000, 60000, 65536, 70000, TEXT };
	struct fixture *f = *state;
	unsigned char noise[500];
	latz_stats_t stats;

	for (size_t i = 0; i < ARRAY_LEN(list); i++) {
		set_text(f->pool, "k", list[i], 0);
		assert_ok(latz_get(f->pool, key_of("k"), &f->value));
		assert_int_equal(f->value.size, list[i]);
		assert_memory_equal(f->value.data, text, list[i]);
		assert_int_equal(info_of(f->pool, "k").value_size, list[i]);
	}
	stats = stats_of(f->pool);
	assert_true(stats.compress_stored_bytes < stats.compress_raw_bytes);
	assert_int_equal(stats.compressed + stats.compress_refused, 9);
	pattern_fill(noise, sizeof noise, 99);
	assert_ok(latz_set(f->pool, key_of("noise"), slice(noise, sizeof noise), NULL));
	is_stored(f->pool, "noise", sizeof noise, false);
	assert_int_equal(stats_of(f->pool).compress_refused, stats.compress_refused + 1);
	assert_ok(latz_get(f->pool, key_of("noise"), &f->value));
	assert_memory_equal(f->value.data, noise, sizeof noise);
	assert_ok(verify_print(f->pool));
}

/* Small records need a dictionary; what was written with an older one, or without, stays readable, and can be moved. */
static void dictionaries(void **state)
{
	struct fixture *f = *state;
	latz_train_options small = LATZ_TRAIN_OPTIONS_INIT;
	latz_train_info info = { .size = sizeof info };
	latz_stats_t before, after;
	char key[32];

	assert_int_equal(train(f->pool), 0);
	fill(f->pool, 0, RECORDS);
	before = stats_of(f->pool);
	assert_int_equal(train(f->pool), 1);
	/* The same again pays no more. */
	fill(f->pool, 0, RECORDS);
	after = stats_of(f->pool);
	assert_true((after.compress_raw_bytes - before.compress_raw_bytes) >
	            3 * (after.compress_stored_bytes - before.compress_stored_bytes));
	assert_int_equal(info_of(f->pool, "user:000007").dictionary, 1);
	assert_int_equal(train(f->pool), 0);
	assert_int_equal(stats_of(f->pool).dictionaries, 1);
	/* Other values, another dictionary. */
	for (unsigned i = RECORDS; i < 2 * RECORDS; i++) {
		char value[300];
		int n = sprintf(value, "<row><a>%u</a><colour>green</colour><weight unit=\"kg\">%u</weight>"
		                       "<origin>Portugal</origin><year>20%02u</year><certified by=\"none\"/></row>",
		                i * 7919 % 10007, i % 977, i % 30);

		assert_ok(latz_set(f->pool, record_key(i, key), slice(value, (size_t)n), NULL));
	}
	small.dict_bytes = 4096;
	small.sample_bytes = 400000;
	assert_ok(latz_train(f->pool, &small, &info));
	assert_int_equal(info.dictionary, 2);
	assert_true(info.dict_bytes <= 4096 && info.sample_bytes <= 400000);
	fill(f->pool, RECORDS / 2, RECORDS);
	assert_int_equal(info_of(f->pool, "user:000007").dictionary, 1);
	check(f->pool, 0, RECORDS);
	for (unsigned i = 0; i < RECORDS; i += 2)
		assert_ok(latz_delete(f->pool, record_key(i, key)));
	assert_true(maintain_all(f->pool));
	fill(f->pool, 0, 1);
	for (unsigned i = 1; i < RECORDS; i += 2)
		check(f->pool, i, i + 1);
	assert_ok(verify_print(f->pool));
}

static void arguments(void **state)
{
	struct fixture *f = *state;
	latz_options options = f->options;
	latz_train_options how = LATZ_TRAIN_OPTIONS_INIT;
	latz_train_info info = { .size = 0 };
	latz_pool *pool;

	assert_rc(LATZ_INVALID, latz_train(NULL, NULL, NULL));
	assert_rc(LATZ_INVALID, latz_train(f->pool, NULL, &info));
	how.dict_bytes = 255;
	assert_rc(LATZ_INVALID, latz_train(f->pool, &how, NULL));
	how.dict_bytes = 65537;
	assert_rc(LATZ_INVALID, latz_train(f->pool, &how, NULL));
	how.size = 1;
	assert_rc(LATZ_INVALID, latz_train(f->pool, &how, NULL));
	assert_ok(latz_train(f->pool, NULL, NULL));
	assert_rc(LATZ_INVALID, latz_compress(f->pool, NULL));
	assert_rc(LATZ_INVALID, latz_compress(NULL, &options));
	options.compress_level = 20;
	assert_rc(LATZ_INVALID, latz_compress(f->pool, &options));
	assert_rc(LATZ_INVALID, latz_open("x", &options, &pool));
	options.compress_level = -101;
	assert_rc(LATZ_INVALID, latz_open("x", &options, &pool));
	options.compress_level = 1;
	options.compress_dict = (latz_dict)2;
	assert_rc(LATZ_INVALID, latz_open("x", &options, &pool));
	options.compress_dict = LATZ_DICT_AUTO;
	assert_ok(latz_compress(f->pool, &options));
	assert_int_equal(stats_of(f->pool).compress_level, 1);
	assert_int_equal(stats_of(f->pool).compress_dict, LATZ_DICT_AUTO);
	options.flags = (unsigned)LATZ_READONLY;
	assert_ok(latz_open("t", &options, &pool));
	assert_rc(LATZ_READONLY, latz_train(pool, NULL, NULL));
	assert_rc(LATZ_READONLY, latz_compress(pool, &options));
	assert_ok(latz_close(pool));
}

static int reads_and_writes(void *arg)
{
	struct fixture *f = arg;
	latz_pool *pool = must_open(f->dir, "t", 0);

	check(pool, 0, RECORDS);
	fill(pool, RECORDS, RECORDS + 100);
	CHECK_OK(latz_close(pool));
	return 0;
}

/* Dictionaries are the pool's: another process has them, and so does a forked child. */
static void other_processes(void **state)
{
	struct fixture *f = *state;

	fill(f->pool, 0, RECORDS);
	assert_int_equal(train(f->pool), 1);
	fill(f->pool, 0, RECORDS);
	assert_int_equal(proc_run(reads_and_writes, f, 60000), 0);
	check(f->pool, RECORDS, RECORDS + 100);
	assert_int_equal(info_of(f->pool, "user:003050").dictionary, 1);
}

/* Without being asked, and once. */
static void by_itself(void **state)
{
	struct fixture *f = *state;

	f->options.compress_dict = LATZ_DICT_AUTO;
	assert_ok(latz_compress(f->pool, &f->options));
	for (int i = 0; i < 300 && stats_of(f->pool).dictionaries == 0; i++) {
		fill(f->pool, 0, RECORDS);
		sleep_ms(100);
	}
	assert_int_equal(stats_of(f->pool).dictionaries, 1);
	fill(f->pool, 0, RECORDS);
	assert_int_equal(info_of(f->pool, "user:000007").dictionary, 1);
	check(f->pool, 0, RECORDS);
}

/* ---- What is kept elsewhere ---- */

static void close_all(struct fixture *f)
{
	char path[4300];

	assert_ok(latz_close(f->pool));
	f->pool = NULL;
	snprintf(path, sizeof path, "%s/t", f->dir);
	for (int i = 0; i < 5000 && access(path, F_OK) == 0; i++)
		usleep(1000);
	assert_int_not_equal(access(path, F_OK), 0);
}

static void durable_rounds(struct fixture *f, const char *disk, int snapshot_on_close)
{
	f->options.persist_dir = disk;
	f->options.snapshot_on_close = snapshot_on_close;
	assert_ok(latz_open("t", &f->options, &f->pool));
	fill(f->pool, 0, RECORDS);
	assert_int_equal(train(f->pool), 1);
	fill(f->pool, RECORDS / 2, RECORDS);
	close_all(f);
	/* From the log, and what is written then is compressed with what came back. */
	assert_ok(latz_open("t", &f->options, &f->pool));
	assert_int_equal(stats_of(f->pool).dictionaries, 1);
	check(f->pool, 0, RECORDS);
	assert_int_equal(info_of(f->pool, "user:002000").dictionary, 1);
	fill(f->pool, 0, RECORDS / 2);
	assert_int_equal(info_of(f->pool, "user:000007").dictionary, 1);
	assert_ok(latz_sync_now(f->pool));
	close_all(f);
	assert_ok(latz_open("t", &f->options, &f->pool));
	assert_int_equal(stats_of(f->pool).dictionaries, 1);
	check(f->pool, 0, RECORDS);
	assert_ok(verify_print(f->pool));
	close_all(f);
}

static void from_the_log(void **state)
{
	struct fixture *f = *state;
	const char *disk = tempdir_make(), *other = tempdir_make();

	close_all(f);
	durable_rounds(f, disk, 0);
	durable_rounds(f, other, 1);
	tempdir_remove(disk);
	tempdir_remove(other);
}

static void remove_files(const char *disk, const char *beginning)
{
	char path[600];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof path, "%s/t", disk);
	dir = opendir(path);
	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL) {
		if (strncmp(entry->d_name, beginning, strlen(beginning)) == 0)
			assert_int_equal(unlinkat(dirfd(dir), entry->d_name, 0), 0);
	}
	closedir(dir);
}

/* A dictionary that is gone, or another log's, is an error that says so, and nothing is changed. */
static void dictionary_lost(void **state)
{
	struct fixture *f = *state;
	const char *disk = tempdir_make(), *other = tempdir_make();
	char from[600], to[600];

	close_all(f);
	durable_rounds(f, disk, 0);
	durable_rounds(f, other, 0);
	snprintf(from, sizeof from, "%s/t/dict-001.lzd", other);
	snprintf(to, sizeof to, "%s/t/dict-001.lzd", disk);
	assert_int_equal(rename(from, to), 0);
	f->options.persist_dir = disk;
	assert_rc(LATZ_CORRUPT, latz_open("t", &f->options, &f->pool));
	assert_non_null(strstr(latz_error_detail(), "another log"));
	f->options.persist_dir = other;
	assert_rc(LATZ_CORRUPT, latz_open("t", &f->options, &f->pool));
	assert_non_null(strstr(latz_error_detail(), "dictionary 1"));
	/* Without anything else to be read, dictionaries are left over. */
	f->options.persist_dir = disk;
	remove_files(disk, "wal-");
	remove_files(disk, "snapshot-");
	assert_ok(latz_open("t", &f->options, &f->pool));
	assert_int_equal(stats_of(f->pool).dictionaries, 0);
	assert_int_not_equal(access(to, F_OK), 0);
	tempdir_remove(other);
	close_all(f);
	tempdir_remove(disk);
}

/* A running pool becomes durable, and what it has by then comes along; training goes on there. */
static void becomes_durable(void **state)
{
	struct fixture *f = *state;
	const char *disk = tempdir_make();
	latz_options durable = f->options;

	durable.persist_dir = disk;
	fill(f->pool, 0, RECORDS);
	assert_int_equal(train(f->pool), 1);
	assert_ok(latz_persist(f->pool, &durable));
	fill(f->pool, 0, RECORDS);
	close_all(f);
	assert_ok(latz_open("t", &durable, &f->pool));
	check(f->pool, 0, RECORDS);
	assert_int_equal(stats_of(f->pool).dictionaries, 1);
	/* Ended, and begun in another place: all of them go there. */
	assert_ok(latz_persist(f->pool, NULL));
	tempdir_remove(disk);
	disk = tempdir_make();
	durable.persist_dir = disk;
	assert_ok(latz_persist(f->pool, &durable));
	fill(f->pool, 0, RECORDS);
	close_all(f);
	assert_ok(latz_open("t", &durable, &f->pool));
	check(f->pool, 0, RECORDS);
	assert_int_equal(info_of(f->pool, "user:000007").dictionary, 1);
	close_all(f);
	tempdir_remove(disk);
}

/* A snapshot is readable without compression, and carries the dictionaries on. */
static void snapshots(void **state)
{
	struct fixture *f = *state;
	latz_snapshot_options how = LATZ_SNAPSHOT_OPTIONS_INIT;
	latz_snapshot_info info = { .size = sizeof info };
	latz_options plain = { .size = sizeof plain, .dir = f->dir, .flags = LATZ_CREATE };
	char path[400];

	snprintf(path, sizeof path, "%s/file", f->dir);
	fill(f->pool, 0, RECORDS);
	assert_int_equal(train(f->pool), 1);
	fill(f->pool, 0, RECORDS);
	for (int image = 0; image < 2; image++) {
		latz_pool *pool;

		how.flags = image ? LATZ_SNAPSHOT_IMAGE : 0;
		assert_ok(latz_snapshot(f->pool, path, &how));
		assert_ok(latz_snapshot_verify(path, NULL, &info));
		assert_int_equal(info.keys, RECORDS);
		assert_true(info.bytes > RECORDS * 120);
		for (int compress = 0; compress < 2; compress++) {
			assert_ok(latz_restore(path, "copy", compress ? &f->options : &plain, NULL));
			assert_ok(latz_open("copy", &plain, &pool));
			assert_int_equal(stats_of(pool).dictionaries, 1);
			check(pool, 0, RECORDS);
			assert_int_equal(info_of(pool, "user:000007").dictionary, image || compress ? 1 : 0);
			assert_ok(latz_compress(pool, &f->options));
			fill(pool, 0, 10);
			assert_int_equal(info_of(pool, "user:000007").dictionary, 1);
			assert_ok(verify_print(pool));
			assert_ok(latz_close(pool));
			(void)!latz_destroy("copy", &plain);
		}
		assert_int_equal(unlink(path), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ZIP_TEST(every_call),      ZIP_TEST(if_changed),   ZIP_TEST(scans),           ZIP_TEST(sizes),
		ZIP_TEST(dictionaries),    ZIP_TEST(arguments),    ZIP_TEST(other_processes), ZIP_TEST(by_itself),
		ZIP_TEST(from_the_log),    ZIP_TEST(snapshots),    ZIP_TEST(becomes_durable), ZIP_TEST(dictionary_lost),
	};

	return suite_run(tests);
}
