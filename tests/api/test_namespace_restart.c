/*
 * Namespaces over restarts: names, bounds, keys and what is counted come back from a log, a snapshot, an image; what
 * was dropped does not. What was there before its bounds, or before the restart, goes before what came later.
 */
#include "lib/suite.h"

static latz_pool *space(latz_pool *pool, const char *name)
{
	latz_pool *sub;

	assert_ok(latz_namespace(pool, name, &sub));
	return sub;
}

static latz_stats_t stats_of(latz_pool *pool)
{
	latz_stats_t stats = { .size = sizeof stats };

	assert_ok(latz_stats(pool, &stats));
	return stats;
}

static void put_many(latz_pool *pool, const char *prefix, int from, int to)
{
	char name[16];

	for (int i = from; i <= to; i++) {
		snprintf(name, sizeof name, "%s%d", prefix, i);
		assert_ok(put(pool, name, "v"));
	}
}

/* It has just those. */
static void assert_names(latz_pool *pool, const char *prefix, int from, int to)
{
	char name[16];

	assert_int_equal(count_keys(pool), to - from + 1);
	for (int i = from; i <= to; i++) {
		snprintf(name, sizeof name, "%s%d", prefix, i);
		assert_ok(latz_exists(pool, key_of(name)));
	}
}

static void limit(latz_pool *pool, uint64_t entries, latz_policy policy)
{
	latz_namespace_options options = LATZ_NAMESPACE_OPTIONS_INIT;

	options.max_entries = entries;
	options.policy = policy;
	assert_ok(latz_namespace_limits(pool, &options));
}

static void older_than_their_bounds(void **state)
{
	static const latz_policy policies[] = { LATZ_POLICY_FIFO, LATZ_POLICY_DEFAULT };
	struct fixture *f = *state;

	/* Exactly: nobody else has a bucket, for which one more would go. */
	f->options.flags |= LATZ_NO_THREAD | LATZ_NO_GUARD;
	assert_ok(latz_open("late", &f->options, &f->pool));
	for (unsigned p = 0; p < ARRAY_LEN(policies); p++) {
		latz_pool *few = space(f->pool, p == 0 ? "few" : "few2"), *many = space(f->pool, p == 0 ? "a" : "b");

		put_many(few, "old", 0, 2);
		put_many(many, "n", 1, 2000);
		limit(few, 4, policies[p]);
		limit(many, 3000, policies[p]);
		put_many(few, "new", 0, 0);
		put_many(few, "new", 1, 1);
		assert_rc(LATZ_NOTFOUND, latz_exists(few, key_of("old0")));
		assert_ok(latz_exists(few, key_of("old1")));
		put_many(few, "new", 2, 19);
		assert_names(few, "new", 16, 19);
		/* In the order in which they came, the bounds' coming or not. */
		put_many(many, "n", 2001, 4500);
		assert_names(many, "n", 1501, 4500);
		/* With other bounds, the same. */
		limit(many, 0, policies[p]);
		put_many(many, "n", 4501, 12000);
		limit(many, 600, policies[p]);
		assert_names(many, "n", 11401, 12000);
		put_many(many, "n", 12001, 12100);
		assert_names(many, "n", 11501, 12100);
		latz_close(few);
		latz_close(many);
	}
}

/* Places of keys that were deleted push out those of keys that are there: these go all the same, some time. */
static void lost_places(void **state)
{
	struct fixture *f = *state;
	latz_pool *sub;

	f->options.flags |= LATZ_NO_THREAD | LATZ_NO_GUARD;
	assert_ok(latz_open("lost", &f->options, &f->pool));
	sub = space(f->pool, "s");
	limit(sub, 8, LATZ_POLICY_FIFO);
	put_many(sub, "first", 0, 7);
	put_many(sub, "second", 0, 7);
	for (int i = 0; i < 3000; i++) {
		assert_ok(del(sub, "second0"));
		assert_ok(put(sub, "second0", "v"));
	}
	put_many(sub, "third", 0, 99);
	assert_names(sub, "third", 92, 99);
	latz_close(sub);
}

static void older_than_the_restart(void **state)
{
	struct fixture *f = *state;
	latz_pool *sub;
	char disk[300];

	snprintf(disk, sizeof disk, "%s/disk", f->dir);
	f->options.persist_dir = disk;
	f->options.flags |= LATZ_NO_THREAD | LATZ_NO_GUARD;
	for (int snapshot = 0; snapshot < 2; snapshot++) {
		const char *name = snapshot ? "t" : "s";

		assert_ok(latz_open("p", &f->options, &f->pool));
		sub = space(f->pool, name);
		limit(sub, 4, LATZ_POLICY_FIFO);
		put_many(sub, "k", 1, 3);
		latz_close(sub);
		assert_ok(latz_close(f->pool));
		f->options.snapshot_on_close = 1; /* the second time */
		assert_ok(latz_open("p", &f->options, &f->pool));
		sub = space(f->pool, name);
		put_many(sub, "k", 4, 5);
		assert_names(sub, "k", 2, 5);
		put_many(sub, "k", 6, 12);
		assert_names(sub, "k", 9, 12);
		latz_close(sub);
		assert_ok(latz_close(f->pool));
	}
	f->pool = NULL;
	f->options.persist_dir = NULL;
}

#define KEYS 3000

static void fill(struct fixture *f)
{
	latz_namespace_options options = LATZ_NAMESPACE_OPTIONS_INIT;
	latz_pool *a = space(f->pool, "a"), *gone = space(f->pool, "gone"), *b = space(f->pool, "b");
	char name[16];

	options.max_entries = KEYS;
	options.max_bytes = 1 << 30;
	options.ttl_ms = 3600000;
	assert_ok(latz_namespace_limits(a, &options));
	for (int i = 0; i < KEYS; i++) {
		snprintf(name, sizeof name, "k%d", i);
		assert_ok(put(a, name, name));
		assert_ok(put(gone, name, name));
		assert_ok(put(f->pool, name, "of the pool"));
	}
	assert_ok(put(b, "only", "one"));
	assert_ok(latz_set(f->pool, slice("\xff\0", 2), key_of("high"), NULL));
	assert_ok(latz_namespace_drop(f->pool, "gone"));
	latz_close(a);
	latz_close(b);
	latz_close(gone);
}

static int count_one(const latz_namespace_info *info, void *arg)
{
	(void)info;
	++*(int *)arg;
	return 0;
}

static void check(struct fixture *f)
{
	latz_pool *a = space(f->pool, "a"), *b = space(f->pool, "b"), *again;
	int spaces = 0;

	assert_ok(latz_namespaces(f->pool, count_one, &spaces));
	assert_int_equal(spaces, 2);
	assert_int_equal(stats_of(a).max_entries, KEYS);
	assert_int_equal(stats_of(a).max_bytes, 1 << 30);
	assert_ok(latz_get(a, key_of("k77"), &f->value));
	assert_int_equal(f->value.size, 3);
	assert_true(f->value.ttl_ms > 0 && f->value.ttl_ms <= 3600000);
	assert_int_equal(count_keys(a), KEYS);
	assert_int_equal(count_keys(b), 1);
	assert_int_equal(count_keys(f->pool), KEYS + 1);
	assert_ok(latz_get(f->pool, slice("\xff\0", 2), &f->value));
	assert_true(maintain_all(f->pool)); /* of an image: all has come in */
	assert_int_equal(stats_of(a).keys, KEYS);
	assert_int_equal(stats_of(a).live_bytes, KEYS * 80);
	assert_int_equal(stats_of(b).keys, 1);
	/* Full as it was: one more is one too many. */
	assert_ok(put(a, "more", "v"));
	assert_int_equal(stats_of(a).keys, KEYS);
	assert_int_equal(stats_of(a).evicted, 1);
	again = space(f->pool, "gone");
	assert_int_equal(count_keys(again), 0);
	assert_true(maintain_all(f->pool));
	assert_ok(put(again, "new", "v"));
	assert_int_equal(stats_of(again).keys, 1);
	assert_ok(verify_print(f->pool));
	latz_close(a);
	latz_close(b);
	latz_close(again);
}

static void from_a_log(void **state)
{
	struct fixture *f = *state;
	char disk[300];

	snprintf(disk, sizeof disk, "%s/disk", f->dir);
	f->options.persist_dir = disk;
	f->options.flags |= LATZ_NO_THREAD | LATZ_NO_GUARD;
	assert_ok(latz_open("p", &f->options, &f->pool));
	fill(f);
	assert_ok(latz_close(f->pool));
	f->options.snapshot_on_close = 1;
	assert_ok(latz_open("p", &f->options, &f->pool));
	check(f);
	/* And from a snapshot. */
	assert_ok(latz_close(f->pool));
	assert_ok(latz_open("p", &f->options, &f->pool));
	latz_pool *a = space(f->pool, "a");

	assert_int_equal(stats_of(a).keys, KEYS);
	assert_int_equal(count_keys(a), KEYS);
	latz_close(a);
	assert_ok(latz_close(f->pool));
	f->pool = NULL;
	f->options.persist_dir = NULL;
}

static void through_a_file(struct fixture *f, unsigned flags)
{
	latz_snapshot_options options = LATZ_SNAPSHOT_OPTIONS_INIT;
	char path[300];

	snprintf(path, sizeof path, "%s/file", f->dir);
	f->options.flags |= LATZ_NO_THREAD | LATZ_NO_GUARD;
	assert_ok(latz_open("p", &f->options, &f->pool));
	fill(f);
	options.flags = flags;
	assert_ok(latz_snapshot(f->pool, path, &options));
	assert_ok(latz_snapshot_verify(path, NULL, NULL));
	assert_ok(latz_close(f->pool));
	assert_ok(latz_restore(path, "q", &f->options, NULL));
	assert_ok(latz_open("q", &f->options, &f->pool));
	check(f);
}

static void from_a_snapshot(void **state)
{
	through_a_file(*state, 0);
}

static void from_an_image(void **state)
{
	through_a_file(*state, LATZ_SNAPSHOT_IMAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIR_TEST(from_a_log),
		DIR_TEST(from_a_snapshot),
		DIR_TEST(from_an_image),
		DIR_TEST(older_than_their_bounds),
		DIR_TEST(lost_places),
		DIR_TEST(older_than_the_restart),
	};

	return suite_run(tests);
}
