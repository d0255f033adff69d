/*
 * Namespaces: keys apart from each other and from the pool's own, whatever bytes they have; bounds, statistics, times
 * to live of their own; dropping.
 */
#include "lib/suite.h"

static latz_pool *space(struct fixture *f, const char *name)
{
	latz_pool *sub;

	assert_ok(latz_namespace(f->pool, name, &sub));
	return sub;
}

static void assert_has(struct fixture *f, latz_pool *pool, latz_slice key, const char *text)
{
	assert_ok(latz_get(pool, key, &f->value));
	assert_int_equal(f->value.size, strlen(text));
	assert_memory_equal(f->value.data, text, strlen(text));
}

/* Keys that lie at, or look like, the seams of the pool's order. */
static const struct {
	const char *data;
	size_t size;
} odd[] = {
	{ "a", 1 },
	{ "\0", 1 },
	{ "\xfe\xff", 2 },
	{ "\xff", 1 },
	{ "\xff\0", 2 },
	{ "\xff\0\0\0\0\0n", 7 },
	{ "\xff\0\0\0\0\1", 6 },
	{ "\xff\0\0\0\0\1a", 7 },
	{ "\xff\1", 2 },
	{ "\xff\xff", 2 },
	{ "\xff\xff\xff\xff\xff\xff\xff\xff", 8 },
};

#define ODD(i) slice(odd[i].data, odd[i].size)

/* The same keys through each handle, and nothing of the others. */
static void keys_are_apart(void **state)
{
	struct fixture *f = *state;
	latz_pool *handle[3] = { f->pool, space(f, "a"), space(f, "b") };
	static const char *const text[3] = { "of the pool", "of a", "of b" };
	latz_value values[ARRAY_LEN(odd)];
	int results[ARRAY_LEN(odd)];
	latz_slice keys[ARRAY_LEN(odd)];

	memset(values, 0, sizeof values);
	for (unsigned h = 0; h < 3; h++) {
		for (unsigned i = 0; i < ARRAY_LEN(odd); i++) {
			assert_rc(LATZ_NOTFOUND, latz_get(handle[h], ODD(i), &f->value));
			assert_rc(LATZ_NOTFOUND, latz_exists(handle[h], ODD(i)));
			assert_ok(latz_set(handle[h], ODD(i), key_of(text[h]), NULL));
			keys[i] = ODD(i);
		}
		assert_int_equal(count_keys(handle[h]), ARRAY_LEN(odd));
	}
	for (unsigned h = 0; h < 3; h++) {
		assert_ok(latz_mget(handle[h], keys, ARRAY_LEN(odd), values, results));
		for (unsigned i = 0; i < ARRAY_LEN(odd); i++) {
			assert_has(f, handle[h], ODD(i), text[h]);
			assert_rc(LATZ_OK, results[i]);
			assert_int_equal(values[i].size, strlen(text[h]));
			assert_memory_equal(values[i].data, text[h], strlen(text[h]));
		}
	}
	for (unsigned i = 0; i < ARRAY_LEN(odd); i++)
		assert_ok(latz_delete(handle[1], ODD(i)));
	assert_int_equal(count_keys(handle[0]), ARRAY_LEN(odd));
	assert_int_equal(count_keys(handle[1]), 0);
	assert_int_equal(count_keys(handle[2]), ARRAY_LEN(odd));
	assert_ok(verify_print(f->pool));
	for (unsigned i = 0; i < ARRAY_LEN(odd); i++)
		latz_value_free(&values[i]);
	latz_close(handle[1]);
	latz_close(handle[2]);
}

/* Every call that takes a key. */
static void every_call(void **state)
{
	struct fixture *f = *state;
	latz_pool *sub = space(f, "s");
	latz_slice key = slice("\xff\0key", 5);
	latz_key_info info = { .size = sizeof info };
	latz_view view = { NULL, 0, 0, 0, 0, NULL, 0 };
	latz_item items[2] = { { key_of("m1"), key_of("1") }, { key, key_of("2") } };
	int64_t sum;
	size_t size;

	for (int round = 0; round < 2; round++) {
		latz_pool *here = round == 0 ? sub : f->pool, *there = round == 0 ? f->pool : sub;
		size_t before = count_keys(there);

		assert_ok(latz_increment(here, key, 5, &sum));
		assert_int_equal(sum, 5);
		assert_ok(latz_increment(here, key, 2, &sum));
		assert_int_equal(sum, 7);
		assert_ok(latz_delete(here, key));
		assert_ok(latz_append(here, key, key_of("ab"), &size));
		assert_ok(latz_append(here, key, key_of("c"), &size));
		assert_int_equal(size, 3);
		assert_ok(latz_swap(here, key, key_of("new"), &f->value));
		assert_int_equal(f->value.size, 3);
		assert_memory_equal(f->value.data, "abc", 3);
		assert_ok(latz_touch(here, key, 60000));
		assert_ok(latz_get(here, key, &f->value));
		assert_true(f->value.ttl_ms > 0 && f->value.ttl_ms <= 60000);
		assert_rc(LATZ_MISMATCH, latz_get_if_changed(here, key, f->value.version, &f->value));
		assert_ok(latz_borrow(here, key, &view));
		assert_memory_equal(view.data, "new", 3);
		assert_ok(latz_release(&view));
		assert_ok(latz_key_stat(here, key, &info));
		assert_int_equal(info.value_size, 3);
		assert_ok(latz_mset(here, items, 2, NULL));
		assert_has(f, here, key, "2");
		assert_int_equal(count_keys(here), 2);
		assert_int_equal(count_keys(there), before);
		assert_ok(latz_clear(here));
		assert_int_equal(count_keys(here), 0);
		assert_int_equal(count_keys(there), before);
		assert_ok(put(here, "left", "1"));
	}
	latz_close(sub);
}

/* Keys of a scan, one after another, each with a comma behind it. */
static void scanned(latz_pool *pool, const latz_scan_options *options, char *to)
{
	latz_scan *scan;
	latz_slice key;

	*to = '\0';
	assert_ok(latz_scan_open(pool, options, &scan));
	while (latz_scan_next(scan, &key, NULL) == LATZ_OK) {
		for (size_t i = 0; i < key.size; i++)
			to += sprintf(to, ((const unsigned char *)key.data)[i] == 0xff ? "F" : "%c",
			              ((const char *)key.data)[i]);
		to += sprintf(to, ",");
	}
	assert_ok(latz_scan_close(scan));
}

static void scans_are_bounded(void **state)
{
	static const char *const keys[] = { "a", "b", "ba", "\xff", "\xff" "a", "\xff\xff", "\xff\xff" "a" };
	struct fixture *f = *state;
	latz_pool *handle[3] = { f->pool, space(f, "x"), space(f, "y") };
	char text[200];

	for (unsigned h = 0; h < 3; h++) {
		for (unsigned i = 0; i < ARRAY_LEN(keys); i++)
			assert_ok(put(handle[h], keys[i], "v"));
	}
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned h = 0; h < 3; h++) {
			latz_scan_options options = LATZ_SCAN_OPTIONS_INIT;

			scanned(handle[h], &options, text);
			assert_string_equal(text, "a,b,ba,F,Fa,FF,FFa,");
			options.reverse = 1;
			scanned(handle[h], &options, text);
			assert_string_equal(text, "FFa,FF,Fa,F,ba,b,a,");
			options.prefix = key_of("\xff");
			scanned(handle[h], &options, text);
			assert_string_equal(text, "FFa,FF,Fa,F,");
			options.reverse = 0;
			options.from = key_of("\xff" "a");
			scanned(handle[h], &options, text);
			assert_string_equal(text, "Fa,FF,FFa,");
			options.to = key_of("\xff\xff");
			scanned(handle[h], &options, text);
			assert_string_equal(text, "Fa,");
			options.prefix = key_of("");
			options.from = key_of("b");
			options.to = key_of("\xff\xff");
			scanned(handle[h], &options, text);
			assert_string_equal(text, "b,ba,F,Fa,");
			options.reverse = 1;
			options.limit = 3;
			scanned(handle[h], &options, text);
			assert_string_equal(text, "Fa,F,ba,");
			options.to = key_of("b");
			options.from = slice("", 0);
			scanned(handle[h], &options, text);
			assert_string_equal(text, "a,");
			options.to = slice("", 0);
			scanned(handle[h], &options, text);
			assert_string_equal(text, "");
		}
		/* Once more without the index. */
		latz_limits limits = LATZ_LIMITS_INIT;

		limits.max_entries = 24;
		assert_ok(latz_limit(f->pool, &limits));
	}
	latz_close(handle[1]);
	latz_close(handle[2]);
}

/* More keys than a step of a scan takes, on both sides of a namespace. */
static void long_scans(void **state)
{
	struct fixture *f = *state;
	latz_pool *sub = space(f, "many");
	latz_scan_options options = LATZ_SCAN_OPTIONS_INIT;
	latz_scan *scan;
	latz_slice key;
	char name[32];
	int n;

	for (int i = 0; i < 1500; i++) {
		snprintf(name, sizeof name, "k%04d", i);
		assert_ok(put(f->pool, name, "v"));
		assert_ok(put(sub, name, "v"));
		snprintf(name, sizeof name, "\xffk%04d", i);
		assert_ok(put(f->pool, name, "v"));
	}
	assert_int_equal(count_keys(f->pool), 3000);
	assert_int_equal(count_keys(sub), 1500);
	options.reverse = 1;
	assert_ok(latz_scan_open(f->pool, &options, &scan));
	for (n = 0; latz_scan_next(scan, &key, NULL) == LATZ_OK; n++)
		;
	assert_int_equal(n, 3000);
	assert_ok(latz_scan_close(scan));
	latz_close(sub);
}

static void long_keys(void **state)
{
	struct fixture *f = *state;
	latz_pool *sub = space(f, "long");
	unsigned char *key = check_alloc(32768);

	memset(key, 'k', 32768);
	for (unsigned size = 240; size < 270; size++) {
		assert_ok(latz_set(sub, slice(key, size), key_of("v"), NULL));
		assert_has(f, sub, slice(key, size), "v");
		assert_rc(LATZ_NOTFOUND, latz_get(f->pool, slice(key, size), &f->value));
	}
	assert_ok(latz_set(sub, slice(key, 32761), key_of("longest"), NULL));
	assert_has(f, sub, slice(key, 32761), "longest");
	assert_rc(LATZ_TOOBIG, latz_set(sub, slice(key, 32762), key_of("v"), NULL));
	assert_rc(LATZ_TOOBIG, latz_get(sub, slice(key, 32762), &f->value));
	assert_int_equal(count_keys(sub), 31);
	assert_ok(latz_set(f->pool, slice(key, 32767), key_of("v"), NULL));
	key[0] = 0xff;
	assert_ok(latz_set(f->pool, slice(key, 32766), key_of("high"), NULL));
	assert_has(f, f->pool, slice(key, 32766), "high");
	assert_rc(LATZ_TOOBIG, latz_set(f->pool, slice(key, 32767), key_of("v"), NULL));
	assert_int_equal(count_keys(f->pool), 2);
	assert_ok(verify_print(f->pool));
	free(key);
	latz_close(sub);
}

/* ---- Statistics, times to live ----------------------------------------------------------------------------------- */

static latz_stats_t stats_of(latz_pool *pool)
{
	latz_stats_t stats = { .size = sizeof stats };

	assert_ok(latz_stats(pool, &stats));
	return stats;
}

static void own_statistics(void **state)
{
	struct fixture *f = *state;
	latz_pool *a = space(f, "a"), *b = space(f, "b");
	latz_stats_t of_a, of_b, of_all;
	latz_value value = LATZ_VALUE_INIT;

	for (int i = 0; i < 10; i++) {
		char name[8];

		snprintf(name, sizeof name, "k%d", i);
		assert_ok(put(a, name, "0123456789"));
		assert_ok(latz_get(a, key_of(name), &value));
	}
	assert_rc(LATZ_NOTFOUND, latz_get(a, key_of("none"), &value));
	assert_ok(put(a, "k1", "0123456789012345678901234567890123456789"));
	assert_ok(del(a, "k0"));
	assert_ok(put(b, "k", "v"));
	of_a = stats_of(a);
	of_b = stats_of(b);
	of_all = stats_of(f->pool);
	assert_int_equal(of_a.keys, 9);
	assert_int_equal(of_a.live_bytes, 8 * 48 + 80);
	assert_int_equal(of_a.sets, 11);
	assert_int_equal(of_a.deletes, 1);
	assert_int_equal(of_a.gets, 11);
	assert_int_equal(of_a.hits, 10);
	assert_int_equal(of_b.keys, 1);
	assert_int_equal(of_b.live_bytes, 48);
	assert_int_equal(of_b.gets, 0);
	assert_true(of_all.keys >= 10);
	assert_true(of_all.gets >= 11);
	latz_value_free(&value);
	latz_close(a);
	latz_close(b);
}

/* Replacing, appending, moving for a deadline: the bytes stay right. */
static void bytes_are_exact(void **state)
{
	struct fixture *f = *state;
	latz_pool *sub = space(f, "s");
	struct rng rng;
	char name[16], text[300];

	rng_init(&rng, 7);
	memset(text, 'x', sizeof text);
	for (int i = 0; i < 4000; i++) {
		latz_slice key;

		snprintf(name, sizeof name, "k%u", (unsigned)rng_below(&rng, 50));
		key = key_of(name);
		switch (rng_below(&rng, 6)) {
		case 0: (void)!latz_delete(sub, key); break;
		case 1: (void)!latz_touch(sub, key, 1000000); break;
		case 2: assert_ok(latz_append(sub, key, slice(text, rng_below(&rng, 20)), NULL)); break;
		default: assert_ok(latz_set(sub, key, slice(text, rng_below(&rng, 300)), NULL)); break;
		}
	}
	uint64_t bytes = 0, keys = 0;
	latz_scan *scan;
	latz_slice key;

	assert_ok(latz_scan_open(sub, NULL, &scan));
	while (latz_scan_next(scan, &key, NULL) == LATZ_OK) {
		latz_key_info info = { .size = sizeof info };

		memcpy(name, key.data, key.size);
		assert_ok(latz_key_stat(sub, slice(name, key.size), &info));
		bytes += info.record_bytes;
		keys++;
	}
	assert_ok(latz_scan_close(scan));
	assert_int_equal(stats_of(sub).keys, keys);
	assert_int_equal(stats_of(sub).live_bytes, bytes);
	assert_ok(latz_clear(sub));
	assert_int_equal(stats_of(sub).keys, 0);
	assert_int_equal(stats_of(sub).live_bytes, 0);
	latz_close(sub);
}

static void own_time_to_live(void **state)
{
	struct fixture *f = *state;
	latz_namespace_options options = LATZ_NAMESPACE_OPTIONS_INIT;
	latz_set_options never = LATZ_SET_OPTIONS_INIT;
	latz_pool *sub = space(f, "s");

	options.ttl_ms = 50;
	assert_ok(latz_namespace_limits(sub, &options));
	assert_ok(put(sub, "short", "v"));
	never.ttl_ms = -1;
	assert_ok(latz_set(sub, key_of("long"), key_of("v"), &never));
	assert_ok(latz_append(sub, key_of("appended"), key_of("v"), NULL));
	assert_ok(latz_increment(sub, key_of("counted"), 1, NULL));
	assert_ok(put(f->pool, "pool", "v"));
	assert_ok(latz_get(sub, key_of("short"), &f->value));
	assert_true(f->value.ttl_ms > 0 && f->value.ttl_ms <= 50);
	sleep_ms(60);
	assert_rc(LATZ_NOTFOUND, latz_get(sub, key_of("short"), &f->value));
	assert_rc(LATZ_NOTFOUND, latz_get(sub, key_of("appended"), &f->value));
	assert_rc(LATZ_NOTFOUND, latz_get(sub, key_of("counted"), &f->value));
	assert_ok(latz_get(sub, key_of("long"), &f->value));
	assert_ok(latz_get(f->pool, key_of("pool"), &f->value));
	assert_true(f->value.ttl_ms == -1);
	assert_true(maintain_all(f->pool));
	assert_int_equal(stats_of(sub).keys, 1);
	assert_int_equal(stats_of(sub).expired, 3);
	latz_close(sub);
}

/* ---- Bounds ------------------------------------------------------------------------------------------------------ */

static void limit_entries(struct fixture *f, latz_pool *sub, uint64_t entries, latz_policy policy)
{
	latz_namespace_options options = LATZ_NAMESPACE_OPTIONS_INIT;

	(void)f;
	options.max_entries = entries;
	options.policy = policy;
	assert_ok(latz_namespace_limits(sub, &options));
}

/* One tenant's full namespace is nobody else's affair. */
static void full_refuses_itself(void **state)
{
	struct fixture *f = *state;
	latz_pool *full = space(f, "full"), *other = space(f, "other");
	char name[16];

	limit_entries(f, full, 10, LATZ_POLICY_NONE);
	for (int i = 0; i < 10; i++) {
		snprintf(name, sizeof name, "k%d", i);
		assert_ok(put(full, name, "v"));
	}
	assert_rc(LATZ_FULL, put(full, "one more", "v"));
	assert_ok(put(full, "k3", "another"));
	assert_ok(put(other, "one more", "v"));
	assert_ok(put(f->pool, "one more", "v"));
	assert_ok(del(full, "k5"));
	assert_ok(put(full, "one more", "v"));
	assert_int_equal(stats_of(full).refused, 1);
	assert_int_equal(stats_of(full).evicted, 0);
	assert_int_equal(stats_of(full).max_entries, 10);
	assert_int_equal(stats_of(full).policy, LATZ_POLICY_NONE);
	latz_close(full);
	latz_close(other);
}

static void full_evicts_its_oldest(void **state)
{
	struct fixture *f = *state;
	latz_pool *full = space(f, "full"), *other = space(f, "other");
	char name[16];

	assert_ok(put(other, "k0", "stays"));
	assert_ok(put(f->pool, "k0", "stays"));
	limit_entries(f, full, 100, LATZ_POLICY_DEFAULT);
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof name, "k%d", i);
		assert_ok(put(full, name, "v"));
		/* Read all the time: it goes round. */
		assert_ok(latz_get(full, key_of("k0"), &f->value));
		assert_true(stats_of(full).keys <= 100);
	}
	assert_int_equal(stats_of(full).keys, 100);
	assert_int_equal(stats_of(full).evicted, 900);
	assert_ok(latz_exists(full, key_of("k999")));
	assert_ok(latz_exists(full, key_of("k950")));
	assert_rc(LATZ_NOTFOUND, latz_exists(full, key_of("k1")));
	assert_has(f, other, key_of("k0"), "stays");
	assert_has(f, f->pool, key_of("k0"), "stays");
	assert_ok(verify_print(f->pool));
	/* First in, first out does not care. */
	limit_entries(f, full, 100, LATZ_POLICY_FIFO);
	for (int i = 1000; i < 1200; i++) {
		snprintf(name, sizeof name, "k%d", i);
		assert_ok(put(full, name, "v"));
		(void)!latz_get(full, key_of("k0"), &f->value);
	}
	assert_rc(LATZ_NOTFOUND, latz_exists(full, key_of("k0")));
	latz_close(full);
	latz_close(other);
}

static void bytes_are_bounded(void **state)
{
	struct fixture *f = *state;
	latz_namespace_options options = LATZ_NAMESPACE_OPTIONS_INIT;
	latz_pool *sub = space(f, "s");
	char *value = check_alloc(100000), name[16];

	memset(value, 'v', 100000);
	options.max_bytes = 65536;
	assert_ok(latz_namespace_limits(sub, &options));
	for (int i = 0; i < 2000; i++) {
		snprintf(name, sizeof name, "k%d", i);
		assert_ok(latz_set(sub, key_of(name), slice(value, (size_t)i % 1000), NULL));
		assert_true(stats_of(sub).live_bytes <= 65536);
	}
	assert_true(stats_of(sub).live_bytes > 60000);
	/* Growing is as much as being new. */
	for (int i = 0; i < 100; i++) {
		assert_ok(latz_append(sub, key_of("grows"), slice(value, 600), NULL));
		assert_true(stats_of(sub).live_bytes <= 65536);
	}
	assert_rc(LATZ_TOOBIG, latz_set(sub, key_of("large"), slice(value, 65536), NULL));
	assert_ok(latz_set(f->pool, key_of("large"), slice(value, 65536), NULL));
	/* Under what there is: it goes at once. */
	options.max_bytes = 1024;
	assert_ok(latz_namespace_limits(sub, &options));
	assert_true(stats_of(sub).live_bytes <= 1024);
	assert_ok(verify_print(f->pool));
	free(value);
	latz_close(sub);
}

/* Bounds that come when the keys are there already, some of which are then gone. */
static void bounds_come_late(void **state)
{
	struct fixture *f = *state;
	latz_pool *sub = space(f, "s");
	char name[16];

	for (int i = 0; i < 3000; i++) {
		snprintf(name, sizeof name, "k%d", i);
		assert_ok(put(sub, name, "v"));
		assert_ok(put(f->pool, name, "v"));
	}
	limit_entries(f, sub, 1000, LATZ_POLICY_DEFAULT);
	assert_int_equal(stats_of(sub).keys, 1000);
	assert_int_equal(count_keys(sub), 1000);
	assert_int_equal(count_keys(f->pool), 3000);
	limit_entries(f, sub, 0, LATZ_POLICY_DEFAULT);
	for (int i = 3000; i < 6000; i++) {
		snprintf(name, sizeof name, "k%d", i);
		assert_ok(put(sub, name, "v"));
	}
	assert_int_equal(stats_of(sub).keys, 4000);
	latz_close(sub);
}

/* ---- Dropping ---------------------------------------------------------------------------------------------------- */

static void dropped_at_once(void **state)
{
	struct fixture *f = *state;
	latz_pool *old = space(f, "s"), *other = space(f, "other"), *fresh;
	latz_stats_t stats = { .size = sizeof stats };
	latz_scan *scan;
	uint64_t keys;
	char name[16];

	for (int i = 0; i < 2000; i++) {
		snprintf(name, sizeof name, "k%d", i);
		assert_ok(put(old, name, "v"));
	}
	assert_ok(put(other, "k", "v"));
	keys = stats_of(f->pool).keys;
	assert_ok(latz_namespace_drop(f->pool, "s"));
	assert_rc(LATZ_DEAD, latz_get(old, key_of("k1"), &f->value));
	assert_rc(LATZ_DEAD, put(old, "k1", "v"));
	assert_rc(LATZ_DEAD, latz_scan_open(old, NULL, &scan));
	assert_rc(LATZ_DEAD, latz_clear(old));
	assert_rc(LATZ_DEAD, latz_stats(old, &stats));
	assert_rc(LATZ_DEAD, latz_increment(old, key_of("k1"), 1, NULL));
	fresh = space(f, "s");
	assert_int_equal(count_keys(fresh), 0);
	assert_ok(put(fresh, "k1", "new"));
	assert_true(maintain_all(f->pool));
	assert_true(stats_of(f->pool).keys < keys - 1900);
	assert_has(f, fresh, key_of("k1"), "new");
	assert_int_equal(stats_of(fresh).keys, 1);
	assert_ok(latz_exists(other, key_of("k")));
	assert_rc(LATZ_DEAD, latz_get(old, key_of("k1"), &f->value));
	assert_rc(LATZ_NOTFOUND, latz_namespace_drop(f->pool, "never"));
	assert_ok(verify_print(f->pool));
	latz_close(old);
	latz_close(fresh);
	latz_close(other);
}

/* Slots are used again, numbers are not. */
static void many_over_time(void **state)
{
	struct fixture *f = *state;
	latz_pool *sub, *first = space(f, "t0");
	char name[16];
	int rc;

	assert_ok(put(first, "k", "first"));
	for (int i = 0; i < 1500; i++) {
		snprintf(name, sizeof name, "t%d", i % 7);
		rc = latz_namespace_drop(f->pool, name);
		assert_true(rc == LATZ_OK || (rc == LATZ_NOTFOUND && i > 0 && i < 7));
		sub = space(f, name);
		assert_int_equal(count_keys(sub), 0);
		assert_ok(put(sub, "k", name));
		latz_close(sub);
		if (i % 100 == 0)
			assert_true(maintain_all(f->pool));
	}
	assert_true(maintain_all(f->pool));
	assert_rc(LATZ_DEAD, latz_get(first, key_of("k"), &f->value));
	for (int i = 0; i < 7; i++) {
		snprintf(name, sizeof name, "t%d", i);
		sub = space(f, name);
		assert_has(f, sub, key_of("k"), name);
		assert_int_equal(stats_of(sub).keys, 1);
		latz_close(sub);
	}
	latz_close(first);
	assert_ok(verify_print(f->pool));
}

static void too_many(void **state)
{
	struct fixture *f = *state;
	latz_pool *sub;
	char name[16];

	for (int i = 0; i < 1024; i++) {
		snprintf(name, sizeof name, "n%d", i);
		sub = space(f, name);
		assert_ok(put(sub, "k", name));
		latz_close(sub);
	}
	assert_rc(LATZ_FULL, latz_namespace(f->pool, "one-more", &sub));
	sub = space(f, "n77");
	assert_has(f, sub, key_of("k"), "n77");
	latz_close(sub);
	assert_ok(latz_namespace_drop(f->pool, "n5"));
	assert_true(maintain_all(f->pool));
	sub = space(f, "one-more");
	assert_ok(put(sub, "k", "v"));
	latz_close(sub);
}

/* ---- Listing, errors --------------------------------------------------------------------------------------------- */

struct listed {
	char text[200];
	int stop;
};

static int list_one(const latz_namespace_info *info, void *arg)
{
	struct listed *listed = arg;

	sprintf(listed->text + strlen(listed->text), "%s:%d:%d ", info->name, (int)info->keys, (int)info->max_entries);
	return listed->stop;
}

static void listing(void **state)
{
	struct fixture *f = *state;
	struct listed listed = { "", 0 };
	latz_pool *a, *b;

	assert_ok(latz_namespaces(f->pool, list_one, &listed));
	assert_string_equal(listed.text, "");
	b = space(f, "b");
	a = space(f, "a");
	assert_ok(put(b, "1", "v"));
	limit_entries(f, a, 7, LATZ_POLICY_DEFAULT);
	assert_ok(latz_namespaces(b, list_one, &listed));
	assert_string_equal(listed.text, "a:0:7 b:1:0 ");
	listed.text[0] = '\0';
	listed.stop = 5;
	assert_int_equal(latz_namespaces(f->pool, list_one, &listed), 5);
	assert_string_equal(listed.text, "a:0:7 ");
	latz_close(a);
	latz_close(b);
}

static void wrong_arguments(void **state)
{
	struct fixture *f = *state;
	latz_namespace_options options = LATZ_NAMESPACE_OPTIONS_INIT;
	latz_limits limits = LATZ_LIMITS_INIT;
	latz_pool *sub = space(f, "s"), *other = NULL, *reader;
	latz_options reading = f->options;

	assert_rc(LATZ_INVALID, latz_namespace(NULL, "x", &other));
	assert_rc(LATZ_INVALID, latz_namespace(f->pool, NULL, &other));
	assert_rc(LATZ_INVALID, latz_namespace(f->pool, "x", NULL));
	assert_rc(LATZ_INVALID, latz_namespace(f->pool, "", &other));
	assert_rc(LATZ_INVALID, latz_namespace(f->pool, "a/b", &other));
	assert_rc(LATZ_INVALID, latz_namespace(sub, "x", &other));
	assert_null(other);
	assert_rc(LATZ_INVALID, latz_namespace_limits(f->pool, &options));
	assert_rc(LATZ_INVALID, latz_namespace_limits(sub, NULL));
	options.policy = LATZ_POLICY_LRU;
	assert_rc(LATZ_UNSUPPORTED, latz_namespace_limits(sub, &options));
	options.policy = (latz_policy)99;
	assert_rc(LATZ_INVALID, latz_namespace_limits(sub, &options));
	options.policy = LATZ_POLICY_DEFAULT;
	options.ttl_ms = -2;
	assert_rc(LATZ_INVALID, latz_namespace_limits(sub, &options));
	options.size = 3;
	assert_rc(LATZ_INVALID, latz_namespace_limits(sub, &options));
	assert_rc(LATZ_INVALID, latz_namespace_drop(f->pool, NULL));
	assert_rc(LATZ_INVALID, latz_namespace_drop(NULL, "s"));
	assert_rc(LATZ_INVALID, latz_namespaces(f->pool, NULL, NULL));
	assert_rc(LATZ_INVALID, latz_limit(sub, &limits));
	assert_rc(LATZ_INVALID, latz_snapshot(sub, "/nonexistent", NULL));
	assert_rc(LATZ_INVALID, latz_persist(sub, NULL));
	assert_rc(LATZ_INVALID, latz_compress(sub, &f->options));
	assert_rc(LATZ_INVALID, latz_train(sub, NULL, NULL));
	assert_rc(LATZ_INVALID, latz_advise(sub, NULL, NULL, NULL, NULL));
	assert_rc(LATZ_INVALID, latz_set(sub, slice("", 0), key_of("v"), NULL));
	reading.flags = (unsigned)LATZ_READONLY;
	assert_ok(latz_open("t", &reading, &reader));
	assert_rc(LATZ_NOTFOUND, latz_namespace(reader, "absent", &other));
	assert_ok(latz_namespace(reader, "s", &other));
	assert_ok(put(sub, "k", "v"));
	assert_has(f, other, key_of("k"), "v");
	assert_rc(LATZ_READONLY, put(other, "k", "w"));
	options = (latz_namespace_options)LATZ_NAMESPACE_OPTIONS_INIT;
	assert_rc(LATZ_READONLY, latz_namespace_limits(other, &options));
	assert_rc(LATZ_READONLY, latz_namespace_drop(other, "s"));
	latz_close(other);
	latz_close(reader);
	latz_close(sub);
}

/* A handle may outlive the pool's; a destroyed pool is dead through it. */
static void handles_outlive(void **state)
{
	struct fixture *f = *state;
	latz_pool *sub = space(f, "s"), *again;

	assert_ok(latz_close(f->pool));
	assert_ok(put(sub, "k", "v"));
	f->pool = fixture_attach(f);
	again = space(f, "s");
	assert_has(f, again, key_of("k"), "v");
	assert_ok(latz_destroy("t", &f->options));
	assert_rc(LATZ_DEAD, put(sub, "k", "v"));
	assert_rc(LATZ_DEAD, latz_namespace(f->pool, "s", &(latz_pool *){ NULL }));
	latz_close(again);
	latz_close(sub);
}

static int child(void *arg)
{
	struct fixture *f = arg;
	latz_pool *sub = f->options.persist_dir == NULL ? (latz_pool *)(uintptr_t)f->value.version : NULL;
	latz_value value = LATZ_VALUE_INIT;

	CHECK_OK(latz_get(sub, key_of("k"), &value));
	CHECK_OK(put(sub, "child", "v"));
	CHECK_OK(latz_close(sub));
	return 0;
}

static void after_fork(void **state)
{
	struct fixture *f = *state;
	latz_pool *sub = space(f, "s");

	assert_ok(put(sub, "k", "v"));
	f->value.version = (uint64_t)(uintptr_t)sub;
	assert_int_equal(proc_run(child, f, 20000), 0);
	assert_has(f, sub, key_of("child"), "v");
	assert_int_equal(stats_of(sub).keys, 2);
	latz_close(sub);
}

/* What the pool evicts is never what its namespaces are called. */
static void book_survives_eviction(void **state)
{
	static const latz_policy policies[] = { LATZ_POLICY_ADAPTIVE, LATZ_POLICY_LRU, LATZ_POLICY_FIFO,
		                                LATZ_POLICY_2Q };
	struct fixture *f = *state;
	latz_pool *sub, *keeper = space(f, "keeper");
	char name[16];

	assert_ok(put(keeper, "k", "v"));
	for (unsigned p = 0; p < ARRAY_LEN(policies); p++) {
		latz_limits limits = LATZ_LIMITS_INIT;

		limits.max_entries = 200;
		limits.policy = policies[p];
		assert_ok(latz_limit(f->pool, &limits));
		for (int i = 0; i < 3000; i++) {
			snprintf(name, sizeof name, "k%d", i);
			assert_ok(put(i % 3 == 0 ? keeper : f->pool, name, "v"));
		}
		assert_ok(latz_namespace(f->pool, "keeper", &sub));
		assert_ok(put(sub, "now", "v"));
		assert_ok(latz_get(keeper, key_of("now"), &f->value));
		assert_int_equal(stats_of(keeper).keys, count_keys(keeper));
		latz_close(sub);
	}
	assert_ok(verify_print(f->pool));
	latz_close(keeper);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		POOL_TEST(keys_are_apart),    POOL_TEST(every_call),          POOL_TEST(scans_are_bounded),
		POOL_TEST(long_scans),        POOL_TEST(long_keys),           POOL_TEST(own_statistics),
		POOL_TEST(bytes_are_exact),   POOL_TEST(own_time_to_live),    POOL_TEST(full_refuses_itself),
		POOL_TEST(full_evicts_its_oldest), POOL_TEST(bytes_are_bounded), POOL_TEST(bounds_come_late),
		POOL_TEST(dropped_at_once),   POOL_TEST(many_over_time),      POOL_TEST(too_many),
		POOL_TEST(listing),           POOL_TEST(wrong_arguments),     POOL_TEST(handles_outlive),
		POOL_TEST(after_fork),        POOL_TEST(book_survives_eviction),
	};

	return suite_run(tests);
}
