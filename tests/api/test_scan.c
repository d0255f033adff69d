/*
 * Ordered iteration: bounds, order, long shared prefixes, point in time. The oracle says what a scan must return.
 */
#include "lib/oracle.h"
#include "lib/suite.h"

static latz_scan *scan_open(latz_pool *pool, const latz_scan_options *options)
{
	latz_scan *scan = NULL;

	assert_ok(latz_scan_open(pool, options, &scan));
	assert_non_null(scan);
	return scan;
}

/* Sets in both. */
static void both_set(struct fixture *f, struct oracle *oracle, latz_slice key, latz_slice value)
{
	assert_ok(latz_set(f->pool, key, value, NULL));
	oracle_set(oracle, key, value, LATZ_BYTES);
}

static bool in_range(const struct oracle_entry *entry, const latz_scan_options *o)
{
	if (entry->key_size < o->prefix.size ||
	    (o->prefix.size > 0 && memcmp(entry->key, o->prefix.data, o->prefix.size) != 0))
		return false;
	if (o->from.data != NULL && oracle_compare(entry->key, entry->key_size, o->from.data, o->from.size) < 0)
		return false;
	return o->to.data == NULL || oracle_compare(entry->key, entry->key_size, o->to.data, o->to.size) < 0;
}

/* Reads the rest of an open scan and compares it, entry for entry, with what the oracle has in the range. */
static size_t drain(struct fixture *f, latz_scan *scan, const struct oracle *oracle, const latz_scan_options *o)
{
	size_t returned = 0;
	latz_slice key;

	for (size_t i = 0; i < oracle->count; i++) {
		const struct oracle_entry *entry = oracle->entries[o->reverse ? oracle->count - 1 - i : i];

		if (!in_range(entry, o) || (o->limit != 0 && returned >= o->limit))
			continue;
		assert_ok(latz_scan_next(scan, &key, &f->value));
		assert_int_equal(key.size, entry->key_size);
		assert_memory_equal(key.data, entry->key, key.size);
		assert_true(f->value.version != 0);
		assert_int_equal(f->value.type, entry->type);
		assert_int_equal(f->value.size, o->keys_only ? 0 : entry->value_size);
		if (f->value.size > 0)
			assert_memory_equal(f->value.data, entry->value, f->value.size);
		returned++;
	}
	assert_rc(LATZ_DONE, latz_scan_next(scan, &key, &f->value));
	assert_rc(LATZ_DONE, latz_scan_next(scan, &key, NULL));
	assert_ok(latz_scan_close(scan));
	return returned;
}

static size_t compare(struct fixture *f, const struct oracle *oracle, const latz_scan_options *o)
{
	return drain(f, scan_open(f->pool, o), oracle, o);
}

/* Forwards, backwards, keys only, with limits. */
static void compare_ways(struct fixture *f, const struct oracle *oracle, latz_scan_options o)
{
	static const uint64_t limits[] = { 0, 1, 2, 7, 100000 };

	for (unsigned i = 0; i < 4 * ARRAY_LEN(limits); i++) {
		o.reverse = i & 1;
		o.keys_only = i >> 1 & 1;
		o.limit = limits[i / 4];
		compare(f, oracle, &o);
	}
}

static void scan_empty(void **state)
{
	struct fixture *f = *state;
	struct oracle oracle = { 0 };
	latz_scan_options o = LATZ_SCAN_OPTIONS_INIT;
	latz_scan *scan = NULL;

	compare_ways(f, &oracle, o);
	o.prefix = key_of("x");
	compare_ways(f, &oracle, o);
	assert_ok(put(f->pool, "k", "v"));
	assert_ok(del(f->pool, "k"));
	compare_ways(f, &oracle, o);
	assert_rc(LATZ_INVALID, latz_scan_open(NULL, NULL, &scan));
	assert_rc(LATZ_INVALID, latz_scan_open(f->pool, NULL, NULL));
	o.size = 0;
	assert_rc(LATZ_INVALID, latz_scan_open(f->pool, &o, &scan));
	assert_rc(LATZ_INVALID, latz_scan_close(NULL));
}

/* All combinations of bounds over a few hundred short keys with many shared beginnings. */
static void scan_bounds(void **state)
{
	static const char *const marks[] = { NULL, "", "a", "ab", "b", "ba", "bb\xff", "c", "\xff", "\xff\xff" };
	static const char alphabet[] = { 'a', 'b', 'c', '\0', '\xff' };
	struct fixture *f = *state;
	struct oracle oracle = { 0 };
	latz_scan_options o = LATZ_SCAN_OPTIONS_INIT;
	struct rng rng;

	rng_init(&rng, 42);
	for (unsigned i = 0; i < 400; i++) {
		char key[5];
		size_t size = 1 + rng_below(&rng, sizeof(key));

		for (size_t j = 0; j < size; j++)
			key[j] = alphabet[rng_below(&rng, sizeof(alphabet))];
		both_set(f, &oracle, slice(key, size), slice(&i, sizeof(i)));
	}
	compare_ways(f, &oracle, o);
	for (size_t p = 0; p < ARRAY_LEN(marks); p++) {
		for (size_t from = 0; from < ARRAY_LEN(marks); from++) {
			for (size_t to = 0; to < ARRAY_LEN(marks); to++) {
				o.prefix = latz_str(marks[p]);
				o.from = latz_str(marks[from]);
				o.to = latz_str(marks[to]);
				o.reverse = (p + from + to) % 2;
				compare(f, &oracle, &o);
			}
		}
	}
	oracle_fini(&oracle);
}

/* Keys that share far more than 511 bytes, inserted in random order, some being prefixes of others. */
static void scan_long_prefix(void **state)
{
	static const size_t shared[] = { 0, 400, 479, 495, 509, 510, 511, 512, 513, 520, 1000, 5000, 32000 };
	struct fixture *f = *state;
	struct oracle oracle = { 0 };
	latz_scan_options o = LATZ_SCAN_OPTIONS_INIT;
	unsigned char *key = check_alloc(32767);
	struct rng rng;

	rng_init(&rng, 43);
	for (unsigned i = 0; i < 1200; i++) {
		size_t common = shared[rng_below(&rng, ARRAY_LEN(shared))], tail = rng_below(&rng, 20);

		memset(key, 's', common);
		for (size_t j = 0; j < tail; j++)
			key[common + j] = (unsigned char)('r' + rng_below(&rng, 3));
		if (common + tail > 0)
			both_set(f, &oracle, slice(key, common + tail), slice(&i, sizeof(i)));
	}
	compare_ways(f, &oracle, o);
	for (size_t i = 0; i < ARRAY_LEN(shared); i++) {
		memset(key, 's', shared[i]);
		o.prefix = slice(key, shared[i]);
		compare_ways(f, &oracle, o);
		o.prefix.size = 0;
		o.from = slice(key, shared[i]);
		compare_ways(f, &oracle, o);
		o.to = slice(key, 32767);
		key[32766] = 't';
		memset(key + shared[i], 's', 32766 - shared[i]);
		compare_ways(f, &oracle, o);
		o.from = o.to = slice(NULL, 0);
	}
	assert_ok(verify_print(f->pool));
	oracle_fini(&oracle);
	free(key);
}

static void fill_mixed(struct fixture *f, struct oracle *oracle, unsigned count, const char *text)
{
	char key[32];

	for (unsigned i = 0; i < count; i++) {
		snprintf(key, sizeof(key), "key-%05u", (unsigned)(rng_mix(i) % 100000));
		both_set(f, oracle, key_of(key), key_of(text));
	}
}

/* A scan opened before, and half read before, sees nothing of what happens later in its own process. */
static void scan_point_in_time(void **state)
{
	struct fixture *f = *state;
	struct oracle oracle = { 0 }, then;
	latz_scan_options o = LATZ_SCAN_OPTIONS_INIT;
	latz_scan *scans[6];
	char key[32];

	fill_mixed(f, &oracle, 3000, "before");
	oracle_copy(&then, &oracle);
	for (unsigned i = 0; i < 6; i++) {
		o.reverse = i & 1;
		scans[i] = scan_open(f->pool, &o);
		for (unsigned round = 0; round < 3000; round++) {
			unsigned number = (unsigned)(rng_mix(round * 7 + i) % 100000);

			snprintf(key, sizeof(key), "key-%05u", number);
			if (round % 3 == 0)
				(void)!latz_delete(f->pool, key_of(key));
			else
				assert_ok(put(f->pool, key, "after"));
		}
		(void)!latz_maintain(f->pool, 10000);
		if (i == 4)
			assert_ok(latz_clear(f->pool));
		if (i == 0) {
			/* Only the first was opened while the pool was still as the copy has it. */
			drain(f, scans[0], &then, &o);
			continue;
		}
	}
	for (unsigned i = 1; i < 6; i++)
		assert_ok(latz_scan_close(scans[i]));
	oracle_fini(&then);
	oracle_fini(&oracle);
	assert_true(maintain_all(f->pool));
	assert_ok(verify_print(f->pool));
}

/* Several scans, each of its own moment, read in turns while the pool goes on changing. */
static void scan_many_moments(void **state)
{
	struct fixture *f = *state;
	struct oracle oracle = { 0 }, moments[8];
	latz_scan_options o = LATZ_SCAN_OPTIONS_INIT;
	latz_scan *scans[8];
	char key[32], value[32];

	for (unsigned i = 0; i < 8; i++) {
		for (unsigned round = 0; round < 1500; round++) {
			uint64_t random = rng_mix(i * 100000 + round);

			snprintf(key, sizeof(key), "key-%04u", (unsigned)(random % 3000));
			snprintf(value, sizeof(value), "%u/%u", i, round);
			if (random >> 40 & 1) {
				both_set(f, &oracle, key_of(key), key_of(value));
			} else {
				int rc = latz_delete(f->pool, key_of(key));

				assert_rc(oracle_delete(&oracle, key_of(key)) ? LATZ_OK : LATZ_NOTFOUND, rc);
			}
		}
		oracle_copy(&moments[i], &oracle);
		scans[i] = scan_open(f->pool, &o);
	}
	assert_ok(latz_clear(f->pool));
	(void)!latz_maintain(f->pool, 0);
	for (unsigned i = 0; i < 8; i++) {
		unsigned at = i * 3 % 8;

		drain(f, scans[at], &moments[at], &o);
		oracle_fini(&moments[at]);
		(void)!latz_maintain(f->pool, 0);
	}
	oracle_fini(&oracle);
	assert_int_equal(count_keys(f->pool), 0);
	assert_ok(verify_print(f->pool));
}

/* Overwrites, deletes, inserts until the parent says stop. */
struct disturb_case {
	const char *dir;
	volatile int stop;
};

static int disturb(void *arg)
{
	struct disturb_case *c = arg;
	latz_pool *pool = must_open(c->dir, "t", 0);
	char key[32];

	for (unsigned round = 0; !c->stop; round++) {
		snprintf(key, sizeof(key), "key-%05u", (unsigned)(rng_mix(round) % 100000));
		if (round % 2 == 0)
			(void)!latz_delete(pool, key_of(key));
		else
			CHECK_OK(put(pool, key, "after"));
	}
	CHECK_OK(latz_close(pool));
	return 0;
}

static void scan_disturbed_by_others(void **state)
{
	struct fixture *f = *state;
	struct oracle oracle = { 0 };
	latz_scan_options o = LATZ_SCAN_OPTIONS_INIT;
	latz_scan *forward, *backward;
	struct disturb_case *c = mmap(NULL, sizeof(*c), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct proc procs[2];

	assert_true(c != MAP_FAILED);
	c->dir = f->dir;
	fill_mixed(f, &oracle, 5000, "before");
	forward = scan_open(f->pool, &o);
	o.reverse = 1;
	backward = scan_open(f->pool, &o);
	for (int i = 0; i < 2; i++)
		proc_start(&procs[i], disturb, c, false);
	sleep_ms(100);
	drain(f, backward, &oracle, &o);
	sleep_ms(100);
	o.reverse = 0;
	drain(f, forward, &oracle, &o);
	c->stop = 1;
	for (int i = 0; i < 2; i++)
		assert_int_equal(proc_wait(&procs[i], 20000), 0);
	assert_ok(verify_print(f->pool));
	oracle_fini(&oracle);
	munmap(c, sizeof(*c));
}

/* A pool can't be closed with a scan open on the handle; it stays usable. */
static void scan_holds_handle(void **state)
{
	struct fixture *f = *state;
	latz_stats_t stats = { .size = sizeof(stats) };
	latz_scan *scan, *other;
	latz_slice key;

	assert_ok(put(f->pool, "a", "1"));
	assert_ok(put(f->pool, "b", "2"));
	scan = scan_open(f->pool, NULL);
	other = scan_open(f->pool, NULL);
	assert_ok(latz_stats(f->pool, &stats));
	assert_int_equal(stats.pins, 2);
	assert_ok(latz_scan_next(scan, &key, &f->value));
	assert_rc(LATZ_BUSY, latz_close(f->pool));
	assert_ok(latz_scan_close(other));
	assert_rc(LATZ_BUSY, latz_close(f->pool));
	assert_ok(put(f->pool, "c", "3"));
	assert_ok(latz_scan_next(scan, &key, &f->value));
	assert_memory_equal(key.data, "b", 1);
	assert_rc(LATZ_DONE, latz_scan_next(scan, &key, &f->value));
	assert_ok(latz_scan_close(scan));
	assert_ok(latz_stats(f->pool, &stats));
	assert_int_equal(stats.pins, 0);
	assert_ok(latz_close(f->pool));
	f->pool = NULL;
}

/* Bounds are copied: the caller's memory may change after the call. */
static void scan_copies_bounds(void **state)
{
	struct fixture *f = *state;
	latz_scan_options o = LATZ_SCAN_OPTIONS_INIT;
	char prefix[] = "p", from[] = "pb", to[] = "pd";
	latz_scan *scan;
	latz_slice key;

	assert_ok(put(f->pool, "pa", ""));
	assert_ok(put(f->pool, "pb", ""));
	assert_ok(put(f->pool, "pc", ""));
	assert_ok(put(f->pool, "pd", ""));
	o.prefix = key_of(prefix);
	o.from = key_of(from);
	o.to = key_of(to);
	scan = scan_open(f->pool, &o);
	memset(prefix, 'z', 1);
	memset(from, 'z', 2);
	memset(to, 'a', 2);
	assert_ok(latz_scan_next(scan, &key, NULL));
	assert_memory_equal(key.data, "pb", 2);
	assert_ok(latz_scan_next(scan, &key, NULL));
	assert_memory_equal(key.data, "pc", 2);
	assert_rc(LATZ_DONE, latz_scan_next(scan, &key, NULL));
	assert_ok(latz_scan_close(scan));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		POOL_TEST(scan_empty),         POOL_TEST(scan_bounds),        POOL_TEST(scan_long_prefix),
		POOL_TEST(scan_point_in_time), POOL_TEST(scan_many_moments),  POOL_TEST(scan_disturbed_by_others),
		POOL_TEST(scan_holds_handle),  POOL_TEST(scan_copies_bounds),
	};

	return suite_run(tests);
}
