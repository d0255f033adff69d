/*
 * Deaths while an image is made, restored, and while a restored pool brings in what it lacks: at every named point.
 */
#include "../../src/base/point.h"
#include "format/heap.h"
#include "lib/suite.h"

#define KEYS 2500
#define BIG 900000

static char image_path[300];

struct doing {
	struct fixture *f;
	const char *point;
	unsigned count;
};

static latz_slice number_key(unsigned i, char text[64])
{
	return slice(text, (size_t)sprintf(text, "number:%06u", i));
}

static latz_pool *attach(struct fixture *f, const char *name)
{
	latz_options options = f->options;
	latz_pool *pool;

	options.flags = LATZ_NO_THREAD | LATZ_NO_GUARD;
	CHECK_OK(latz_open(name, &options, &pool));
	return pool;
}

static void fill(latz_pool *pool, uint64_t seed)
{
	unsigned char *value = check_alloc(BIG);
	char text[64];

	for (unsigned i = 0; i < KEYS; i++) {
		pattern_fill(value, 500, i + seed);
		assert_ok(latz_set(pool, number_key(i, text), slice(value, 500), NULL));
	}
	pattern_fill(value, BIG, seed);
	assert_ok(latz_set(pool, key_of("big"), slice(value, BIG), NULL));
	free(value);
}

static void check_all(latz_pool *pool, uint64_t seed)
{
	latz_value value = LATZ_VALUE_INIT;
	char text[64];

	for (unsigned i = 0; i < KEYS; i++) {
		assert_ok(latz_get(pool, number_key(i, text), &value));
		assert_true(value.size == 500 && pattern_is(value.data, 500, i + seed));
	}
	assert_ok(latz_get(pool, key_of("big"), &value));
	assert_true(value.size == BIG && pattern_is(value.data, BIG, seed));
	assert_int_equal(count_keys(pool), KEYS + 1);
	assert_ok(verify_print(pool));
	latz_value_free(&value);
}

static int make(struct fixture *f, latz_pool *pool)
{
	latz_snapshot_options options = LATZ_SNAPSHOT_OPTIONS_INIT;

	(void)f;
	options.flags = LATZ_SNAPSHOT_IMAGE;
	return latz_snapshot(pool, image_path, &options);
}

static int restore(struct fixture *f)
{
	latz_options options = f->options;

	options.flags = LATZ_CREATE | LATZ_KEEP | LATZ_NO_THREAD | LATZ_NO_GUARD;
	return latz_restore(image_path, "copy", &options, NULL);
}

static int dies_making(void *arg)
{
	const struct doing *doing = arg;
	latz_pool *pool = attach(doing->f, "t");

	lzi_point_arm(doing->point, doing->count, LZI_POINT_KILL);
	(void)!make(doing->f, pool);
	return 1;
}

static int dies_restoring(void *arg)
{
	const struct doing *doing = arg;

	lzi_point_arm(doing->point, doing->count, LZI_POINT_KILL);
	(void)!restore(doing->f);
	return 1;
}

static int dies_touching(void *arg)
{
	const struct doing *doing = arg;
	latz_pool *pool = attach(doing->f, "copy");
	latz_value value = LATZ_VALUE_INIT;
	latz_scan *scan;
	latz_slice key;
	char text[64];

	lzi_point_arm(doing->point, doing->count, LZI_POINT_KILL);
	if (strcmp(doing->point, "image.ahead") == 0) {
		CHECK(unsetenv("LATZERO_NO_PREFETCH") == 0);
		(void)!latz_maintain(pool, 0);
	}
	(void)!latz_get(pool, key_of("big"), &value);
	for (unsigned i = 0; i < KEYS; i += 2)
		(void)!latz_set(pool, number_key(i, text), slice("x", 1), NULL);
	CHECK_OK(latz_scan_open(pool, NULL, &scan));
	(void)!latz_scan_next(scan, &key, NULL);
	return 1;
}

static int up(void **state)
{
	int rc = fixture_up(state);
	struct fixture *f = *state;

	snprintf(image_path, sizeof image_path, "%s/pool.img", f->dir);
	return rc;
}

#define KILLED (128 + SIGKILL)

/* What was at the path is there, or the new one is; and the next one is made as if nothing had been. */
static void death_while_making(void **state)
{
	static const struct {
		const char *point;
		unsigned count;
	} deaths[] = {
		{ "create.borrowed", 1 }, { "create.header", 1 }, { "create.files", 1 },    { "image.entry", 1 },
		{ "image.entry", 1500 },  { "image.loaded", 1 },  { "index.applied", 1 },   { "image.section", 1 },
		{ "image.section", 3 },   { "image.heap", 1 },    { "fill.done", 1 },       { "image.packed", 1 },
		{ "image.synced", 1 },    { "image.renamed", 1 },
	};
	struct fixture *f = *state;
	latz_snapshot_info info = { .size = sizeof info };
	uint64_t seq = 0;

	fill(f->pool, 0);
	for (size_t i = 0; i < ARRAY_LEN(deaths); i++) {
		struct doing doing = { f, deaths[i].point, deaths[i].count };
		int rc;

		assert_int_equal(proc_run(dies_making, &doing, 30000), KILLED);
		rc = latz_snapshot_verify(image_path, NULL, &info);
		assert_rc(seq == 0 ? LATZ_NOTFOUND : LATZ_OK, rc);
		if (strcmp(doing.point, "image.renamed") != 0)
			assert_true(info.seq == seq);
		assert_ok(make(f, f->pool));
		assert_ok(latz_snapshot_info_read(image_path, &info));
		seq = info.seq;
		assert_int_equal(tempdir_entries(f->dir), 3); /* nothing but pool, image, guard */
	}
	check_all(f->pool, 0);
}

static void death_while_restoring(void **state)
{
	static const char *const points[] = {
		"create.header", "image.table",          "image.overflow", "image.extents",
		"image.note",    "create.before_rename", "create.renamed", "attach.client",
	};
	struct fixture *f = *state;
	latz_pool *pool;

	fill(f->pool, 0);
	assert_ok(make(f, f->pool));
	for (size_t i = 0; i < ARRAY_LEN(points); i++) {
		struct doing doing = { f, points[i], 1 };
		int rc, named = i >= 6;

		assert_int_equal(proc_run(dies_restoring, &doing, 30000), KILLED);
		rc = restore(f);
		assert_rc(named ? LATZ_EXISTS : LATZ_OK, rc);
		pool = attach(f, "copy");
		check_all(pool, 0);
		assert_ok(latz_close(pool));
		assert_ok(latz_destroy("copy", &f->options));
	}
}

static void death_while_bringing_in(void **state)
{
	static const struct {
		const char *point;
		unsigned count;
	} deaths[] = {
		{ "image.allocated", 1 }, { "image.fetched", 1 }, { "image.brought", 1 },      { "image.allocated", 2 },
		{ "image.fetched", 3 },   { "image.brought", 3 }, { "image.index_copied", 1 },
		{ "image.index_renamed", 1 }, { "image.ahead", 1 }, { "image.ahead", 4 },
	};
	struct fixture *f = *state;
	latz_value value = LATZ_VALUE_INIT;
	latz_pool *pool;
	char text[64];

	fill(f->pool, 0);
	assert_ok(make(f, f->pool));
	for (size_t i = 0; i < ARRAY_LEN(deaths); i++) {
		struct doing doing = { f, deaths[i].point, deaths[i].count };

		assert_ok(restore(f));
		assert_int_equal(proc_run(dies_touching, &doing, 30000), KILLED);
		pool = attach(f, "copy");
		for (unsigned k = 0; k < KEYS; k++) {
			assert_ok(latz_get(pool, number_key(k, text), &value));
			if (k % 2 == 1)
				assert_true(value.size == 500 && pattern_is(value.data, 500, k));
			else
				assert_true(value.size == 1 || (value.size == 500 && pattern_is(value.data, 500, k)));
		}
		assert_ok(latz_get(pool, key_of("big"), &value));
		assert_true(value.size == BIG && pattern_is(value.data, BIG, 0));
		assert_int_equal(count_keys(pool), KEYS + 1);
		assert_true(maintain_all(pool));
		assert_ok(verify_print(pool));
		assert_ok(latz_close(pool));
		assert_ok(latz_destroy("copy", &f->options));
	}
	latz_value_free(&value);
}

static int stops_touching(void *arg)
{
	const struct doing *doing = arg;
	latz_pool *pool = attach(doing->f, "copy");
	latz_value value = LATZ_VALUE_INIT;
	char text[64];

	lzi_point_arm(doing->point, doing->count, LZI_POINT_STOP);
	CHECK_OK(latz_get(pool, number_key(0, text), &value));
	CHECK(value.size == 500 && pattern_is(value.data, 500, 0));
	return 0;
}

/* Who is stopped at it keeps others from what is still in the image, for so long; not from what is there. */
static void stopped_while_bringing_in(void **state)
{
	struct fixture *f = *state;
	struct doing doing = { f, "image.fetched", 1 };
	latz_value value = LATZ_VALUE_INIT;
	struct proc proc;
	latz_pool *pool;
	char text[64];

	fill(f->pool, 0);
	assert_ok(make(f, f->pool));
	assert_ok(restore(f));
	f->options.timeout_ms = 200;
	pool = attach(f, "copy");
	assert_ok(latz_get(pool, number_key(KEYS - 1, text), &value));
	proc_start(&proc, stops_touching, &doing, false);
	proc_wait_stopped(&proc);
	assert_ok(latz_get(pool, number_key(KEYS - 1, text), &value));
	assert_rc(LATZ_TIMEOUT, latz_get(pool, number_key(0, text), &value));
	assert_int_equal(proc_continue(&proc), 0);
	check_all(pool, 0);
	latz_value_free(&value);
	assert_ok(latz_close(pool));
	assert_ok(latz_destroy("copy", &f->options));
}

static int dies_naming(void *arg)
{
	const struct doing *doing = arg;
	latz_pool *pool = attach(doing->f, "copy"), *sub;

	lzi_point_arm(doing->point, doing->count, LZI_POINT_KILL);
	(void)!latz_namespace(pool, "space", &sub);
	return 1;
}

/* A record of the pool's own that is there, and was not counted as such: what is counted while some of the pool is in
 * the image is counted again when it is not. */
static void death_in_the_book(void **state)
{
	struct fixture *f = *state;
	struct doing doing = { f, "set.published", 1 };
	latz_stats_t stats = { .size = sizeof stats };
	latz_pool *pool;

	fill(f->pool, 0);
	assert_ok(make(f, f->pool));
	assert_ok(restore(f));
	assert_int_equal(proc_run(dies_naming, &doing, 30000), KILLED);
	pool = attach(f, "copy");
	assert_true(maintain_all(pool));
	check_all(pool, 0); /* brings all of it in */
	assert_true(maintain_all(pool));
	assert_ok(verify_print(pool));
	assert_ok(latz_stats(pool, &stats));
	assert_int_equal(stats.keys, KEYS + 1);
	assert_ok(latz_close(pool));
	assert_ok(latz_destroy("copy", &f->options));
}

/* ---- Somebody scribbles over a record that is being brought in ---- */

static int looks_beside(void *arg)
{
	const struct doing *doing = arg;
	latz_pool *pool = attach(doing->f, "copy");
	latz_value value = LATZ_VALUE_INIT;

	lzi_point_arm(doing->point, doing->count, LZI_POINT_STOP);
	CHECK_OK(latz_get(pool, key_of("b"), &value));
	CHECK(value.size == 0);
	CHECK_OK(latz_close(pool));
	return 0;
}

/* The first record of the first extent that has one: with an extension, as it says from now on. */
static void claim_extension(const struct fixture *f)
{
	char path[300];
	unsigned char head[LZI_RECORD_HEAD + 1];
	off_t at = 0;
	int fd;

	snprintf(path, sizeof path, "%s/copy/heap", f->dir);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	do {
		assert_int_equal(pread(fd, head, sizeof head, at), sizeof head);
		at += LZI_EXTENT;
	} while (head[24] != 1);
	at -= LZI_EXTENT;
	assert_int_equal(head[LZI_RECORD_HEAD], 'a');
	head[27] |= LZI_RECORD_EXT;
	assert_int_equal(pwrite(fd, head + 27, 1, at + 27), 1);
	close(fd);
}

/* What a record is was looked at once: its neighbour is left alone, which may be what is behind the heap. */
static void a_record_changed_under_who_brings_it_in(void **state)
{
	struct fixture *f = *state;
	struct doing doing = { f, "image.record", 1 };
	struct proc proc;

	assert_ok(put(f->pool, "a", "")); /* records of 32 bytes: an extension reaches past them */
	assert_ok(put(f->pool, "b", ""));
	assert_ok(make(f, f->pool));
	assert_ok(restore(f));
	proc_start(&proc, looks_beside, &doing, false);
	proc_wait_stopped(&proc);
	claim_extension(f);
	assert_int_equal(proc_continue(&proc), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define IMAGE_TEST(fn) cmocka_unit_test_setup_teardown(fn, up, fixture_down)
		IMAGE_TEST(death_while_making),
		IMAGE_TEST(death_while_restoring),
		IMAGE_TEST(death_while_bringing_in),
		IMAGE_TEST(stopped_while_bringing_in),
		IMAGE_TEST(death_in_the_book),
		IMAGE_TEST(a_record_changed_under_who_brings_it_in),
	};

	if (setenv("LATZERO_NO_PREFETCH", "1", 1) != 0)
		return 1;
	return suite_run(tests);
}
