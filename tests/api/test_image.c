/*
 * Images: latz_snapshot() with LATZ_SNAPSHOT_IMAGE, and pools restored from them, whose values come from the image as
 * they are touched.
 */
#include "lib/suite.h"

#include <sys/mount.h>

#define HOUR_MS ((int64_t)3600 * 1000)
#define KEYS 3000

static char image_path[300];

static int image_of(latz_pool *pool, const char *path)
{
	latz_snapshot_options options = LATZ_SNAPSHOT_OPTIONS_INIT;

	options.flags = LATZ_SNAPSHOT_IMAGE;
	return latz_snapshot(pool, path, &options);
}

static latz_slice number_key(unsigned i, char text[64])
{
	return slice(text, (size_t)sprintf(text, "number:%06u", i));
}

static size_t number_size(unsigned i)
{
	return 200 + i % 900;
}

static int put_number(latz_pool *pool, unsigned i, uint64_t seed)
{
	unsigned char value[1200];
	char text[64];

	pattern_fill(value, number_size(i), seed + i);
	return latz_set(pool, number_key(i, text), slice(value, number_size(i)), NULL);
}

/* The number's value is what was put; 0 if not. */
static bool number_is(latz_pool *pool, latz_value *value, unsigned i, uint64_t seed)
{
	char text[64];

	return latz_get(pool, number_key(i, text), value) == LATZ_OK && value->size == number_size(i) &&
	       pattern_is(value->data, value->size, seed + i);
}

/* Values of all sizes, types and lifetimes, keys of all lengths. */
static void fill(latz_pool *pool)
{
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	unsigned char *big = check_alloc(1 << 20);
	int64_t sum;

	for (unsigned i = 0; i < KEYS; i++)
		assert_ok(put_number(pool, i, 0));
	for (unsigned size = 65000; size <= 1 << 20; size = size * 2 + 17) {
		pattern_fill(big, size, size);
		assert_ok(latz_set(pool, slice(&size, sizeof size), slice(big, size), NULL));
	}
	for (unsigned size = 400; size < 5000; size += 111) {
		memset(big, 'k', size); /* they agree in what the index has of them */
		assert_ok(latz_set(pool, slice(big, size), slice(&size, sizeof size), NULL));
	}
	options.ttl_ms = HOUR_MS;
	assert_ok(latz_set(pool, key_of("ttl"), key_of("an hour"), &options));
	options.ttl_ms = 1;
	assert_ok(latz_set(pool, key_of("ttl short"), key_of("gone"), &options));
	assert_ok(latz_increment(pool, key_of("sum"), 42, &sum));
	assert_ok(put(pool, "empty", ""));
	assert_ok(put(pool, "deleted", "x"));
	assert_ok(del(pool, "deleted"));
	free(big);
	sleep_ms(5);
}

/* Every key of one is in the other, the same; and the other way round. */
static void assert_same(latz_pool *a, latz_pool *b)
{
	latz_value value_a = LATZ_VALUE_INIT, value_b = LATZ_VALUE_INIT;
	latz_scan *scan_a, *scan_b;
	latz_slice key_a, key_b;
	int rc;

	assert_ok(latz_scan_open(a, NULL, &scan_a));
	assert_ok(latz_scan_open(b, NULL, &scan_b));
	do {
		rc = latz_scan_next(scan_a, &key_a, &value_a);
		assert_rc(rc, latz_scan_next(scan_b, &key_b, &value_b));
		if (rc != LATZ_OK)
			break;
		assert_int_equal(key_a.size, key_b.size);
		assert_memory_equal(key_a.data, key_b.data, key_a.size);
		assert_int_equal(value_a.size, value_b.size);
		assert_memory_equal(value_a.data, value_b.data, value_a.size);
		assert_int_equal(value_a.type, value_b.type);
		assert_true(value_a.version == value_b.version);
		assert_true((value_a.ttl_ms < 0) == (value_b.ttl_ms < 0));
		if (value_a.ttl_ms >= 0)
			assert_true(llabs((long long)(value_a.ttl_ms - value_b.ttl_ms)) < 60000);
	} while (rc == LATZ_OK);
	assert_int_equal(rc, LATZ_DONE);
	assert_ok(latz_scan_close(scan_a));
	assert_ok(latz_scan_close(scan_b));
	latz_value_free(&value_a);
	latz_value_free(&value_b);
}

static void spill(const char *path, const unsigned char *bytes, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, size), size);
	close(fd);
}

static int up(void **state)
{
	int rc = fixture_up(state);
	struct fixture *f = *state;

	snprintf(image_path, sizeof image_path, "%s/pool.img", f->dir);
	return rc;
}

static latz_pool *restore(struct fixture *f, const char *name)
{
	assert_ok(latz_restore(image_path, name, &f->options, NULL));
	return must_open(f->dir, name, 0);
}

static void image_equals_source(void **state)
{
	struct fixture *f = *state;
	latz_snapshot_info info = { .size = sizeof info }, again = { .size = sizeof again };
	latz_stats_t from = { .size = sizeof from }, stats = { .size = sizeof stats };
	latz_pool *pool;

	fill(f->pool);
	assert_ok(image_of(f->pool, image_path));
	assert_true(maintain_all(f->pool));
	assert_ok(latz_stats(f->pool, &from));
	assert_ok(latz_snapshot_info_read(image_path, &info));
	assert_ok(latz_snapshot_verify(image_path, NULL, &again));
	assert_int_equal(info.image, 1);
	assert_true(info.keys == from.keys && again.keys == info.keys && again.bytes == info.bytes);
	pool = restore(f, "copy");
	assert_ok(latz_stats(pool, &stats));
	assert_true(stats.keys == from.keys);
	assert_true(stats.heap_bytes <= 1 << 20); /* nothing of 7 MB has been brought in */
	assert_same(f->pool, pool);
	assert_ok(verify_print(pool));
	assert_rc(LATZ_NOTFOUND, latz_get(pool, key_of("deleted"), &f->value));
	assert_rc(LATZ_NOTFOUND, latz_get(pool, key_of("ttl short"), &f->value));
	assert_ok(latz_close(pool));
	pool = restore(f, "copy");
	assert_ok(verify_print(pool)); /* as the first touch of all */
	assert_same(f->pool, pool);
	assert_ok(latz_close(pool));
	assert_int_equal(tempdir_entries(f->dir), 3); /* the pool, the image, the guard's file */
}

static void image_of_nothing(void **state)
{
	struct fixture *f = *state;
	latz_pool *pool;

	assert_ok(image_of(f->pool, image_path));
	assert_ok(latz_snapshot_verify(image_path, NULL, NULL));
	pool = restore(f, "copy");
	assert_int_equal(count_keys(pool), 0);
	assert_ok(put(pool, "a", "b"));
	assert_ok(verify_print(pool));
	assert_ok(latz_close(pool));
}

static int end_it(const latz_snapshot_progress *progress, void *arg)
{
	(void)progress;
	++*(unsigned *)arg;
	return 1;
}

static void image_errors(void **state)
{
	struct fixture *f = *state;
	latz_snapshot_options options = LATZ_SNAPSHOT_OPTIONS_INIT;
	unsigned ended = 0;
	char other[320];

	assert_ok(put(f->pool, "a", "b"));
	assert_rc(LATZ_INVALID, image_of(f->pool, "-"));
	snprintf(other, sizeof other, "%s/none/x.img", f->dir);
	assert_rc(LATZ_IO, image_of(f->pool, other));
	snprintf(other, sizeof other, "%s/text", f->dir);
	spill(other, (const unsigned char *)"no snapshot", 11);
	assert_rc(LATZ_EXISTS, image_of(f->pool, other));
	assert_ok(unlink(other));
	assert_ok(image_of(f->pool, image_path));
	assert_ok(image_of(f->pool, image_path)); /* an image is replaced */
	assert_ok(latz_snapshot(f->pool, image_path, NULL));
	assert_ok(image_of(f->pool, image_path)); /* and a snapshot */
	assert_rc(LATZ_EXISTS, latz_restore(image_path, "t", &f->options, NULL));
	options.progress = end_it;
	options.arg = &ended;
	assert_rc(LATZ_BUSY, latz_restore(image_path, "copy", &f->options, &options));
	assert_int_equal(ended, 1);
	options.flags = LATZ_SNAPSHOT_IMAGE;
	assert_rc(LATZ_BUSY, latz_snapshot(f->pool, image_path, &options));
	assert_ok(latz_snapshot_verify(image_path, NULL, NULL));
	options.progress = NULL;
	options.flags = LATZ_RESTORE_REPLACE;
	assert_ok(latz_restore(image_path, "t", &f->options, &options));
	assert_rc(LATZ_DEAD, put(f->pool, "a", "c"));
	assert_ok(latz_close(f->pool));
	f->pool = must_open(f->dir, "t", 0);
	assert_text(f, "a", "b");
}

/* What is done to the pool is not done to the image; what was touched and what was not live side by side. */
static void writes_leave_image(void **state)
{
	struct fixture *f = *state;
	unsigned char *before, *after;
	size_t size, size_after;
	latz_pool *pool;
	char text[64];

	fill(f->pool);
	assert_ok(image_of(f->pool, image_path));
	before = file_read(image_path, &size);
	pool = restore(f, "copy");
	for (unsigned i = 0; i < KEYS; i += 2)
		assert_ok(put_number(pool, i, 1000000));
	for (unsigned i = 1; i < KEYS; i += 20)
		assert_ok(latz_delete(pool, number_key(i, text)));
	for (unsigned i = 3; i < KEYS; i += 20)
		assert_ok(latz_touch(pool, number_key(i, text), HOUR_MS));
	assert_ok(latz_touch(pool, key_of("ttl"), 2 * HOUR_MS));
	for (unsigned i = KEYS; i < 3 * KEYS; i++)
		assert_ok(put_number(pool, i, 0));
	assert_true(maintain_all(pool));
	assert_ok(verify_print(pool));
	for (unsigned i = 0; i < 3 * KEYS; i++) {
		if (i < KEYS && i % 20 == 1)
			assert_rc(LATZ_NOTFOUND, latz_get(pool, number_key(i, text), &f->value));
		else
			assert_true(number_is(pool, &f->value, i, i < KEYS && i % 2 == 0 ? 1000000 : 0));
	}
	after = file_read(image_path, &size_after);
	assert_int_equal(size, size_after);
	assert_memory_equal(before, after, size);
	free(before);
	free(after);
	assert_ok(latz_close(pool));
	pool = restore(f, "copy");
	assert_same(f->pool, pool);
	assert_ok(latz_close(pool));
}

/* Scans and cleaning while most of the pool is still in the image; a scan sees what was at its moment. */
static void half_brought_in(void **state)
{
	struct fixture *f = *state;
	latz_value value = LATZ_VALUE_INIT;
	latz_scan *scan;
	latz_slice key;
	latz_pool *pool;
	size_t n = 0;
	int rc;

	for (unsigned i = 0; i < KEYS; i++)
		assert_ok(put_number(f->pool, i, 0));
	assert_ok(image_of(f->pool, image_path));
	pool = restore(f, "copy");
	assert_ok(latz_scan_open(pool, NULL, &scan));
	for (unsigned round = 1; round <= 8; round++) {
		for (unsigned i = 0; i < 300; i++)
			assert_ok(put_number(pool, i, round * 1000000));
		assert_true(latz_maintain(pool, 1000) <= LATZ_OK);
	}
	while ((rc = latz_scan_next(scan, &key, &value)) == LATZ_OK) {
		assert_true(value.size == number_size((unsigned)n) && pattern_is(value.data, value.size, n));
		n++;
	}
	assert_int_equal(rc, LATZ_DONE);
	assert_int_equal(n, KEYS);
	assert_ok(latz_scan_close(scan));
	assert_int_equal(count_keys(pool), KEYS);
	for (unsigned i = 0; i < KEYS; i++)
		assert_true(number_is(pool, &f->value, i, i < 300 ? 8000000 : 0));
	assert_true(maintain_all(pool));
	assert_ok(verify_print(pool));
	latz_value_free(&value);
	assert_ok(latz_close(pool));
}

/* An extent whose deadlines have passed is brought in to be collected, though nobody reads it. */
static void expires_in_image(void **state)
{
	struct fixture *f = *state;
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	latz_stats_t stats = { .size = sizeof stats };
	latz_pool *pool;
	char text[64];

	options.ttl_ms = 700;
	for (unsigned i = 0; i < KEYS; i++)
		assert_ok(latz_set(f->pool, number_key(i, text), key_of("x"), i % 2 ? &options : NULL));
	assert_ok(image_of(f->pool, image_path));
	pool = restore(f, "copy");
	sleep_ms(800);
	assert_true(maintain_all(pool));
	assert_ok(latz_stats(pool, &stats));
	assert_true(stats.keys == KEYS / 2);
	assert_rc(LATZ_NOTFOUND, latz_get(pool, number_key(1, text), &f->value));
	assert_ok(latz_get(pool, number_key(2, text), &f->value));
	assert_int_equal(f->value.ttl_ms, -1);
	assert_ok(verify_print(pool));
	assert_ok(latz_close(pool));
}

/* 1: the pool's answer is right, or a named error; 0: wrong data. */
static bool answer_is_honest(latz_pool *pool, latz_value *value, unsigned i, const char *where)
{
	char text[64];
	int rc = latz_get(pool, number_key(i, text), value);

	if (rc == LATZ_OK)
		return value->size == number_size(i) && pattern_is(value->data, value->size, i);
	return (rc == LATZ_CORRUPT || rc == LATZ_IO) && strstr(latz_error_detail(), where) != NULL;
}

static void count_call(const char *what, void *arg)
{
	(void)what;
	++*(unsigned *)arg;
}

static void image_gone(void **state)
{
	struct fixture *f = *state;
	char away[320];
	latz_stats_t stats = { .size = sizeof(stats) };
	unsigned told = 0;
	latz_pool *pool;
	unsigned char *bytes;
	size_t size;

	for (unsigned i = 0; i < KEYS; i++)
		assert_ok(put_number(f->pool, i, 0));
	assert_ok(image_of(f->pool, image_path));
	/* Without a thread that would bring some of it in beforehand. */
	assert_ok(latz_restore(image_path, "copy", &f->options, NULL));
	pool = must_open(f->dir, "copy", LATZ_NO_THREAD);
	assert_ok(latz_stats(pool, &stats));
	assert_true(stats.image_left_bytes > KEYS * 100);
	snprintf(away, sizeof away, "%s.away", image_path);
	assert_int_equal(rename(image_path, away), 0);
	for (unsigned i = 0; i < KEYS; i += 100)
		assert_false(number_is(pool, &f->value, i, 0));
	assert_true(answer_is_honest(pool, &f->value, 7, "gone"));
	assert_rc(LATZ_IO, put_number(pool, 7, 1)); /* whether the key is the slot's can't be told */
	/* One look is enough to tell what can't be verified. */
	assert_rc(LATZ_IO, latz_verify(pool, count_call, &told));
	assert_int_equal(told, 0);
	assert_non_null(strstr(latz_error_detail(), image_path));
	/* Another image at its place is not it. */
	assert_ok(image_of(f->pool, image_path));
	assert_rc(LATZ_CORRUPT, latz_get(pool, slice("number:000007", 13), &f->value));
	assert_non_null(strstr(latz_error_detail(), image_path));
	/* The same bytes are. */
	bytes = file_read(away, &size);
	spill(image_path, bytes, size);
	free(bytes);
	for (unsigned i = 0; i < KEYS; i++)
		assert_true(number_is(pool, &f->value, i, 0));
	/* What is there by now does not need it. */
	assert_int_equal(unlink(image_path), 0);
	assert_ok(verify_print(pool));
	assert_ok(latz_stats(pool, &stats));
	assert_true(stats.image_left_bytes == 0);
	assert_ok(latz_close(pool));
}

static void small_image(struct fixture *f, unsigned keys)
{
	for (unsigned i = 0; i < keys; i++)
		assert_ok(put_number(f->pool, i, 0));
	assert_ok(image_of(f->pool, image_path));
}

/* Each byte, one after another: the check names it or does not mind it, and then nor do the pools made of it. */
static void flipped_bytes(void **state)
{
	struct fixture *f = *state;
	unsigned keys = 30, named = 0, harmless = 0;
	unsigned char *bytes;
	size_t size, i;
	int fd, rc;

	small_image(f, keys);
	bytes = file_read(image_path, &size);
	fd = open(image_path, O_WRONLY | O_CLOEXEC);
	for (i = 0; i < size; i++) {
		unsigned char flipped = bytes[i] ^ (unsigned char)(1u << i % 8);

		assert_int_equal(pwrite(fd, &flipped, 1, (off_t)i), 1);
		rc = latz_snapshot_verify(image_path, NULL, NULL);
		assert_true(rc == LATZ_OK || rc == LATZ_CORRUPT || rc == LATZ_VERSION);
		named += rc != LATZ_OK;
		harmless += rc == LATZ_OK;
		if (rc != LATZ_OK)
			assert_non_null(strstr(latz_error_detail(), image_path));
		else
			assert_int_equal(bytes[i], 0); /* between the sections, or past an extent's records */
		if ((rc == LATZ_OK || i % 97 == 0) &&
		    (rc != LATZ_OK || i % 509 == 0)) { /* a pool takes longer to make than to check */
			rc = latz_restore(image_path, "copy", &f->options, NULL);
			assert_true(rc == LATZ_OK || rc == LATZ_CORRUPT || rc == LATZ_VERSION);
			if (rc == LATZ_OK) {
				latz_pool *pool = must_open(f->dir, "copy", 0);

				for (unsigned k = 0; k < keys; k++)
					assert_true(answer_is_honest(pool, &f->value, k, image_path));
				assert_ok(latz_close(pool));
			}
		}
		assert_int_equal(pwrite(fd, &bytes[i], 1, (off_t)i), 1);
	}
	close(fd);
	assert_true(harmless > 0 && named > keys * 200 + 512);
	assert_ok(latz_snapshot_verify(image_path, NULL, NULL));
	print_message("%u flips named, %u harmless\n", named, harmless);
	free(bytes);
}

/* To every length there is. */
static void truncated(void **state)
{
	struct fixture *f = *state;
	unsigned char *bytes;
	size_t size, at;
	int rc;

	small_image(f, 3);
	bytes = file_read(image_path, &size);
	for (at = size; at-- > 0;) {
		assert_int_equal(truncate(image_path, (off_t)at), 0);
		rc = latz_snapshot_verify(image_path, NULL, NULL);
		assert_rc(LATZ_CORRUPT, rc);
		assert_non_null(strstr(latz_error_detail(), image_path));
		if (at % 7 == 0)
			assert_rc(LATZ_CORRUPT, latz_restore(image_path, "copy", &f->options, NULL));
	}
	spill(image_path, bytes, size);
	assert_ok(latz_snapshot_verify(image_path, NULL, NULL));
	bytes[size] = 0;
	spill(image_path, bytes, size + 1);
	assert_rc(LATZ_CORRUPT, latz_snapshot_verify(image_path, NULL, NULL));
	free(bytes);
	assert_int_equal(tempdir_entries(f->dir), 3); /* no parts of pools */
}

struct touching {
	const char *dir;
	unsigned from;
};

static int touch_all(void *arg)
{
	const struct touching *touching = arg;
	latz_pool *pool = must_open(touching->dir, "copy", 0);
	latz_value value = LATZ_VALUE_INIT;

	for (unsigned i = 0; i < KEYS; i++)
		CHECK(number_is(pool, &value, (i * 7 + touching->from) % KEYS, 0));
	for (unsigned i = 0; i < 100; i++)
		CHECK_OK(put_number(pool, KEYS + touching->from * 100 + i, 0));
	latz_value_free(&value);
	CHECK_OK(latz_close(pool));
	return 0;
}

static void many_processes(void **state)
{
	struct fixture *f = *state;
	struct touching touching[6];
	struct proc procs[6];
	latz_pool *pool;

	for (unsigned i = 0; i < KEYS; i++)
		assert_ok(put_number(f->pool, i, 0));
	assert_ok(image_of(f->pool, image_path));
	for (unsigned round = 0; round < 3; round++) {
		pool = restore(f, "copy");
		for (unsigned i = 0; i < 6; i++) {
			touching[i].dir = f->dir;
			touching[i].from = i;
			proc_start(&procs[i], touch_all, &touching[i], true);
		}
		for (unsigned i = 0; i < 6; i++)
			proc_go(&procs[i]);
		for (unsigned i = 0; i < 6; i++)
			assert_int_equal(proc_wait(&procs[i], 60000), 0);
		assert_int_equal(count_keys(pool), KEYS + 600);
		assert_ok(verify_print(pool));
		assert_ok(latz_close(pool));
	}
}

/* The copy of what `fill` made, and a key that was set later, are there when only the persist directory is left. */
static void assert_comes_back(struct fixture *f, const latz_options *options)
{
	latz_pool *pool;

	assert_ok(latz_open("copy", options, &pool));
	assert_ok(del(pool, "later"));
	assert_same(f->pool, pool);
	assert_ok(verify_print(pool));
	assert_ok(latz_close(pool));
}

/* With a log: all of it comes in, and is there when only the disk is left. */
static void restored_durable(void **state)
{
	struct fixture *f = *state;
	latz_options options = f->options;
	char persist[320];
	latz_pool *pool;

	fill(f->pool);
	assert_ok(image_of(f->pool, image_path));
	snprintf(persist, sizeof persist, "%s/disk", f->dir);
	options.persist_dir = persist;
	assert_ok(latz_restore(image_path, "copy", &options, NULL));
	assert_ok(latz_open("copy", &options, &pool));
	assert_ok(put(pool, "later", "x"));
	assert_int_equal(unlink(image_path), 0);
	assert_same(pool, pool);
	assert_ok(latz_close(pool));
	assert_comes_back(f, &options);
}

/* A pool restored from an image that becomes durable later. */
static void durable_later(void **state)
{
	struct fixture *f = *state;
	latz_options options = f->options;
	char persist[320];
	latz_pool *pool;

	fill(f->pool);
	assert_ok(image_of(f->pool, image_path));
	snprintf(persist, sizeof persist, "%s/disk", f->dir);
	pool = restore(f, "copy");
	options.persist_dir = persist;
	assert_ok(latz_persist(pool, &options));
	assert_ok(put(pool, "later", "x"));
	assert_ok(latz_close(pool));
	assert_int_equal(unlink(image_path), 0);
	assert_comes_back(f, &options);
}

/* The janitor brings the rest in, and then the image is not needed. */
static void brought_in_ahead(void **state)
{
	struct fixture *f = *state;
	char note[320];
	latz_pool *pool;
	unsigned waited;

	for (unsigned i = 0; i < KEYS; i++)
		assert_ok(put_number(f->pool, i, 0));
	assert_ok(image_of(f->pool, image_path));
	assert_int_equal(unsetenv("LATZERO_NO_PREFETCH"), 0);
	pool = restore(f, "copy");
	snprintf(note, sizeof note, "%s/copy/image", f->dir);
	for (waited = 0; waited < 30000 && access(note, F_OK) == 0; waited += 10)
		sleep_ms(10);
	assert_int_equal(setenv("LATZERO_NO_PREFETCH", "1", 1), 0);
	assert_int_not_equal(access(note, F_OK), 0);
	assert_int_equal(unlink(image_path), 0);
	for (unsigned i = 0; i < KEYS; i++)
		assert_true(number_is(pool, &f->value, i, 0));
	assert_int_equal(count_keys(pool), KEYS);
	assert_ok(verify_print(pool));
	assert_ok(latz_close(pool));
}

/* In a file system of its own, in a mount namespace of its own. 77: that can't be had. */
static int on_full_tmpfs(void *arg)
{
	struct fixture *f = arg;
	latz_value value = LATZ_VALUE_INIT;
	latz_options options = f->options;
	char dir[320], filler[340], text[64];
	unsigned brought = 0, refused = 0;
	latz_pool *pool;
	int fd, rc;

	snprintf(dir, sizeof dir, "%s/full", f->dir);
	if (mkdir(dir, 0700) != 0 || unshare(CLONE_NEWNS) != 0 ||
	    mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount("latzero", dir, "tmpfs", 0, "size=3m") != 0)
		return 77;
	options.dir = dir;
	options.flags |= LATZ_NO_GUARD;
	CHECK_OK(latz_restore(image_path, "copy", &options, NULL));
	CHECK_OK(latz_open("copy", &options, &pool));
	for (unsigned i = 0; i < 3 * KEYS; i++) {
		rc = latz_get(pool, number_key(i, text), &value);
		CHECK(rc == LATZ_NOSPC || number_is(pool, &value, i, 0));
		brought += rc == LATZ_OK;
		refused += rc == LATZ_NOSPC;
	}
	CHECK(brought > 100 && refused > 100);
	/* Not even a page is left. */
	snprintf(filler, sizeof filler, "%s/filler", dir);
	fd = open(filler, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	memset(dir, 1, sizeof dir);
	for (unsigned i = 0; i < 100000 && write(fd, dir, sizeof dir) > 0; i++)
		;
	for (unsigned i = 0; i < 3 * KEYS; i++)
		CHECK(number_is(pool, &value, i, 0) || latz_get(pool, number_key(i, text), &value) == LATZ_NOSPC);
	CHECK(unlink(filler) == 0);
	close(fd);
	snprintf(dir, sizeof dir, "%s/full", f->dir);
	CHECK(mount("latzero", dir, "tmpfs", MS_REMOUNT, "size=64m") == 0);
	for (unsigned i = 0; i < 3 * KEYS; i++)
		CHECK(number_is(pool, &value, i, 0));
	CHECK_OK(verify_print(pool));
	CHECK_OK(latz_close(pool));
	return 0;
}

static void full_tmpfs(void **state)
{
	struct fixture *f = *state;
	int status;

	for (unsigned i = 0; i < 3 * KEYS; i++)
		assert_ok(put_number(f->pool, i, 0));
	assert_ok(image_of(f->pool, image_path));
	status = proc_run(on_full_tmpfs, f, 60000);
	if (status == 77)
		skip();
	assert_int_equal(status, 0);
}

struct writing {
	latz_pool *pool;
	_Atomic int stop;
};

/* y follows x: whoever sees both as of one moment sees y at most as far as x. */
static void *write_pairs(void *arg)
{
	struct writing *writing = arg;
	int64_t sum;

	while (!writing->stop) {
		CHECK_OK(latz_increment(writing->pool, key_of("x"), 1, &sum));
		CHECK_OK(latz_increment(writing->pool, key_of("y"), 1, &sum));
	}
	return NULL;
}

static int64_t number_at(struct fixture *f, latz_pool *pool, const char *key)
{
	int64_t number;

	assert_ok(latz_get(pool, key_of(key), &f->value));
	memcpy(&number, f->value.data, sizeof number);
	return number;
}

static void one_moment(void **state)
{
	struct fixture *f = *state;
	struct writing writing = { f->pool, 0 };
	latz_pool *pool;
	pthread_t thread;
	int64_t sum, x, y;

	assert_ok(latz_increment(f->pool, key_of("x"), 1, &sum));
	assert_ok(latz_increment(f->pool, key_of("y"), 1, &sum));
	for (unsigned i = 0; i < KEYS; i++)
		assert_ok(put_number(f->pool, i, 0));
	assert_int_equal(pthread_create(&thread, NULL, write_pairs, &writing), 0);
	for (unsigned round = 0; round < 20; round++) {
		assert_ok(image_of(f->pool, image_path));
		pool = restore(f, "copy");
		x = number_at(f, pool, "x");
		y = number_at(f, pool, "y");
		assert_true(x == y || x == y + 1);
		assert_int_equal(count_keys(pool), KEYS + 2);
		assert_ok(latz_close(pool));
	}
	writing.stop = 1;
	pthread_join(thread, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define IMAGE_TEST(fn) cmocka_unit_test_setup_teardown(fn, up, fixture_down)
		IMAGE_TEST(image_equals_source), IMAGE_TEST(image_of_nothing), IMAGE_TEST(image_errors),
		IMAGE_TEST(writes_leave_image),  IMAGE_TEST(half_brought_in),  IMAGE_TEST(expires_in_image),
		IMAGE_TEST(image_gone),          IMAGE_TEST(flipped_bytes),    IMAGE_TEST(truncated),
		IMAGE_TEST(many_processes),      IMAGE_TEST(restored_durable), IMAGE_TEST(durable_later),
		IMAGE_TEST(brought_in_ahead),    IMAGE_TEST(full_tmpfs),       IMAGE_TEST(one_moment),
	};

	if (setenv("LATZERO_NO_PREFETCH", "1", 1) != 0)
		return 1;
	return suite_run(tests);
}
