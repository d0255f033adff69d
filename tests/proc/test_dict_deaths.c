/*
 * Deaths while a dictionary is made, published, put beside the log, or restored: at every named point. What was there
 * before is there; the new dictionary is there whole or not at all, for those attached and for who comes when the
 * runtime files are lost; and the next one can be made.
 */
#include "../../src/base/point.h"
#include "lib/suite.h"

#include <dirent.h>

#define RECORDS 1500

struct zip {
	const char *dir, *disk;
	latz_options options;
	const char *point;
	char path[300];
};

static int up(void **state)
{
	static struct zip z;

	memset(&z, 0, sizeof z);
	z.dir = tempdir_make();
	z.disk = tempdir_make();
	z.options = (latz_options)LATZ_OPTIONS_INIT;
	z.options.dir = z.dir;
	z.options.compress_min = 64;
	z.options.flags = LATZ_CREATE | LATZ_KEEP | LATZ_NO_THREAD | LATZ_NO_GUARD;
	snprintf(z.path, sizeof z.path, "%s/image", z.disk);
	*state = &z;
	return 0;
}

static int down(void **state)
{
	struct zip *z = *state;

	tempdir_remove(z->dir);
	tempdir_remove(z->disk);
	return 0;
}

#define DEATH_TEST(fn) cmocka_unit_test_setup_teardown(fn, up, down)

static latz_pool *attach(struct zip *z, const char *name)
{
	latz_pool *pool;

	CHECK_OK(latz_open(name, &z->options, &pool));
	return pool;
}

static latz_slice record(unsigned i, unsigned kind, char text[256])
{
	return slice(text, (size_t)snprintf(text, 256,
	                                    "{\"kind\":%u,\"id\":%u,\"name\":\"user number %u\","
	                                    "\"mail\":\"u%u@example.com\","
	                                    "\"active\":%s,\"groups\":[\"staff\",\"kind-%u-group\"]}",
	                                    kind, i, i * 7919 % 10007, i, i % 2 ? "true" : "false", kind));
}

static void fill(latz_pool *pool, unsigned kind)
{
	char text[256], key[32];

	for (unsigned i = 0; i < RECORDS; i++) {
		sprintf(key, "%u:%05u", kind, i);
		CHECK_OK(latz_set(pool, key_of(key), record(i, kind, text), NULL));
	}
}

static void check(latz_pool *pool, unsigned kind)
{
	latz_value value = LATZ_VALUE_INIT;
	char text[256], key[32];

	for (unsigned i = 0; i < RECORDS; i++) {
		latz_slice want = record(i, kind, text);

		sprintf(key, "%u:%05u", kind, i);
		CHECK_OK(latz_get(pool, key_of(key), &value));
		CHECK(value.size == want.size && memcmp(value.data, want.data, want.size) == 0);
	}
	latz_value_free(&value);
}

static unsigned dictionaries(latz_pool *pool)
{
	latz_stats_t stats = { .size = sizeof stats };

	CHECK_OK(latz_stats(pool, &stats));
	return stats.dictionaries;
}

static unsigned train(latz_pool *pool)
{
	latz_train_info info = { .size = sizeof info };

	CHECK_OK(latz_train(pool, NULL, &info));
	return info.dictionary;
}

static int dies_training(void *arg)
{
	struct zip *z = arg;
	latz_pool *pool = attach(z, "p");

	lzi_point_arm(z->point, 1, LZI_POINT_KILL);
	(void)!latz_train(pool, NULL, NULL);
	return 1;
}

/* Everybody is dead or has left: the runtime files go without having been looked at. */
static latz_pool *lose_memory(struct zip *z)
{
	latz_pool *pool;

	assert_ok(latz_destroy("p", &z->options));
	pool = attach(z, "p");
	return pool;
}

/* Once without a log, once with one. */
static void death_while_training(void **state)
{
	static const struct {
		const char *point;
		int durable; /* 1: only with a log */
		int done;    /* 1: the dictionary is there */
	} deaths[] = {
		{ "train.made", 0, 0 },   { "dict.written", 0, 0 }, { "dict.synced", 1, 0 },
		{ "dict.renamed", 1, 0 }, { "dict.saved", 0, 0 },   { "dict.published", 0, 1 },
	};
	struct zip *z = *state;

	for (int durable = 0; durable < 2; durable++) {
		z->options.persist_dir = durable ? z->disk : NULL;
		for (size_t i = 0; i < ARRAY_LEN(deaths); i++) {
			latz_pool *pool;

			if (deaths[i].durable && !durable)
				continue;
			z->point = deaths[i].point;
			pool = attach(z, "p");
			fill(pool, 1);
			assert_int_equal(proc_run(dies_training, z, 60000), 128 + SIGKILL);
			assert_int_equal(dictionaries(pool), deaths[i].done);
			check(pool, 1);
			fill(pool, 1);
			if (!deaths[i].done)
				assert_int_equal(train(pool), 1);
			fill(pool, 2);
			check(pool, 1);
			assert_ok(verify_print(pool));
			if (durable) {
				assert_ok(latz_sync_now(pool));
				assert_ok(latz_close(pool));
				pool = lose_memory(z);
				assert_int_equal(dictionaries(pool), 1);
				check(pool, 1);
				check(pool, 2);
				fill(pool, 3);
				assert_ok(verify_print(pool));
			}
			assert_ok(latz_close(pool));
			assert_ok(latz_destroy("p", &z->options));
			tempdir_remove(z->disk);
			z->disk = tempdir_make();
			z->options.persist_dir = durable ? z->disk : NULL;
		}
	}
}

/* Nobody is left who could go on: what is beside the log alone is taken up, or is in nobody's way. */
static void death_of_the_last(void **state)
{
	static const char *const points[] = { "dict.written", "dict.synced", "dict.renamed", "dict.saved",
		                              "dict.published" };
	struct zip *z = *state;

	for (size_t i = 0; i < ARRAY_LEN(points); i++) {
		latz_pool *pool;

		z->options.persist_dir = z->disk;
		pool = attach(z, "p");
		fill(pool, 1);
		assert_ok(latz_sync_now(pool));
		assert_ok(latz_close(pool));
		z->point = points[i];
		assert_int_equal(proc_run(dies_training, z, 60000), 128 + SIGKILL);
		pool = lose_memory(z);
		assert_int_equal(dictionaries(pool), i >= 2);
		check(pool, 1);
		if (i < 2)
			assert_int_equal(train(pool), 1);
		fill(pool, 2);
		assert_ok(latz_close(pool));
		pool = lose_memory(z);
		check(pool, 1);
		check(pool, 2);
		assert_ok(verify_print(pool));
		assert_ok(latz_close(pool));
		assert_ok(latz_destroy("p", &z->options));
		tempdir_remove(z->disk);
		z->disk = tempdir_make();
	}
}

static int dies_beginning(void *arg)
{
	struct zip *z = arg;
	latz_options durable = z->options;
	latz_pool *pool = attach(z, "p");

	durable.persist_dir = z->disk;
	lzi_point_arm(z->point, 1, LZI_POINT_KILL);
	(void)!latz_persist(pool, &durable);
	return 1;
}

/* A log begins for a pool that has dictionaries: who begins it dies, others finish it, and they are there. */
static void death_while_beginning(void **state)
{
	static const char *const points[] = { "dict.synced", "dict.renamed", "begin.dicts", "begin.snapshot" };
	struct zip *z = *state;

	for (size_t i = 0; i < ARRAY_LEN(points); i++) {
		latz_pool *pool;

		z->options.persist_dir = NULL;
		z->options.flags &= ~(unsigned)LATZ_NO_THREAD;
		pool = attach(z, "p");
		fill(pool, 1);
		assert_int_equal(train(pool), 1);
		fill(pool, 1);
		z->point = points[i];
		assert_int_equal(proc_run(dies_beginning, z, 60000), 128 + SIGKILL);
		fill(pool, 2);
		for (int wait = 0; wait < 300 && latz_sync_now(pool) != LATZ_OK; wait++)
			sleep_ms(100);
		assert_ok(latz_sync_now(pool));
		assert_ok(latz_close(pool));
		z->options.persist_dir = z->disk;
		pool = lose_memory(z);
		assert_int_equal(dictionaries(pool), 1);
		check(pool, 1);
		check(pool, 2);
		assert_ok(latz_close(pool));
		assert_ok(latz_destroy("p", &z->options));
		tempdir_remove(z->disk);
		z->disk = tempdir_make();
	}
}

static int dies_restoring(void *arg)
{
	struct zip *z = arg;

	lzi_point_arm(z->point, 1, LZI_POINT_KILL);
	(void)!latz_restore(z->path, "copy", &z->options, NULL);
	return 1;
}

static void death_while_restoring(void **state)
{
	struct zip *z = *state;
	latz_snapshot_options how = LATZ_SNAPSHOT_OPTIONS_INIT;
	latz_pool *pool = attach(z, "p");

	fill(pool, 1);
	assert_int_equal(train(pool), 1);
	fill(pool, 1);
	for (int image = 0; image < 2; image++) {
		how.flags = image ? LATZ_SNAPSHOT_IMAGE : 0;
		assert_ok(latz_snapshot(pool, z->path, &how));
		z->point = image ? "image.dicts" : "dict.published";
		assert_int_equal(proc_run(dies_restoring, z, 60000), 128 + SIGKILL);
		assert_ok(latz_restore(z->path, "copy", &z->options, NULL));
		latz_pool *copy = attach(z, "copy");
		assert_int_equal(dictionaries(copy), 1);
		check(copy, 1);
		assert_ok(verify_print(copy));
		assert_ok(latz_close(copy));
		assert_ok(latz_destroy("copy", &z->options));
		assert_int_equal(unlink(z->path), 0);
	}
	assert_ok(latz_close(pool));
	assert_ok(latz_destroy("p", &z->options));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DEATH_TEST(death_while_training),
		DEATH_TEST(death_of_the_last),
		DEATH_TEST(death_while_beginning),
		DEATH_TEST(death_while_restoring),
	};

	return suite_run(tests);
}
