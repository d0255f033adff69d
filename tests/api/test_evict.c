/*
 * Eviction beside everything else: views that are borrowed, scans that are open, times to live, and the log of a
 * durable pool.
 */
#include "lib/cache.h"
#include "lib/suite.h"

#define MIB (1ull << 20)

static latz_pool *open_bounded(struct fixture *f, uint64_t max_bytes, uint64_t max_entries, latz_policy policy)
{
	latz_options options = f->options;
	latz_pool *pool;

	options.max_bytes = max_bytes;
	options.max_entries = max_entries;
	options.policy = policy;
	assert_ok(latz_open("p", &options, &pool));
	return pool;
}

/* Writes keys from `from` on until as many bytes of values have been written. */
static void flood(struct cache *c, uint32_t from, uint64_t bytes, uint32_t size)
{
	for (uint64_t done = 0; done < bytes; done += size) {
		CHECK_OK(cache_set(c, from, size, 0));
		from = from + 1 < c->count ? from + 1 : from - 1000;
	}
}

/* ---- Views ---- */

/* Views keep their bytes while everything else goes many times over; when they are released the pool is as before. */
static void views_keep_their_bytes(void **state)
{
	struct fixture *f = *state;
	uint32_t evicted = 0;

	for (unsigned p = 0; p < cache_policies(); p++) {
		static const uint32_t sizes[] = { 16, 500, 30000, 200000 };
		latz_view views[ARRAY_LEN(sizes)] = { 0 };
		uint32_t serials[ARRAY_LEN(sizes)];
		char buffer[32];
		struct cache c;

		cache_init(&c, open_bounded(f, 8 * MIB, 0, cache_policy(p)), f->dir, "p", 20000, NULL);
		c.max_bytes = 8 * MIB;
		print_message("# %s\n", cache_policy_name(cache_policy(p)));
		for (uint32_t i = 0; i < ARRAY_LEN(sizes); i++) {
			assert_ok(cache_set(&c, i, sizes[i], 0));
			assert_ok(latz_borrow(c.pool, cache_key(&c, i, buffer), &views[i]));
			serials[i] = c.keys[i].serial;
			flood(&c, 1000, 40000, 1000);
		}
		flood(&c, 2000, 24 * MIB, 1500);
		cache_check_bounds(&c);
		for (uint32_t i = 0; i < ARRAY_LEN(sizes); i++) {
			evicted += !cache_get(&c, i);
			assert_int_equal(views[i].size, sizes[i]);
			assert_true(cache_is(&c, i, views[i].data, views[i].size, serials[i]));
		}
		for (uint32_t i = 0; i < ARRAY_LEN(sizes); i++)
			assert_ok(latz_release(&views[i]));
		flood(&c, 2000, 10 * MIB, 1500);
		cache_check_bounds(&c);
		assert_true(cache_check(&c) > 2000);
		assert_ok(verify_print(c.pool));
		assert_ok(latz_close(c.pool));
		cache_fini(&c);
	}
	/* Some policies keep what was asked for twice. */
	assert_true(evicted >= 8);
}

/* More views than can hold extents: the bound holds, writes go on, all of the views keep their bytes. */
static void views_of_everything(void **state)
{
	static latz_view views[4000];
	struct fixture *f = *state;
	char buffer[32];
	struct cache c;

	memset(views, 0, sizeof(views));
	cache_init(&c, open_bounded(f, 8 * MIB, 0, LATZ_POLICY_DEFAULT), f->dir, "p", 4000, NULL);
	c.max_bytes = 8 * MIB;
	for (uint32_t i = 0; i < ARRAY_LEN(views); i++) {
		assert_ok(cache_set(&c, i, 10000, 0));
		assert_ok(latz_borrow(c.pool, cache_key(&c, i, buffer), &views[i]));
		if (i % 64 == 0)
			cache_check_bounds(&c);
	}
	for (uint32_t i = 0; i < ARRAY_LEN(views); i++) {
		assert_true(cache_is(&c, i, views[i].data, views[i].size, i + 1));
		assert_ok(latz_release(&views[i]));
	}
	for (uint32_t i = 0; i < 2000; i++)
		assert_ok(cache_set(&c, i, 10000, 0));
	cache_check_bounds(&c);
	assert_true(cache_check(&c) > 300);
	assert_ok(verify_print(c.pool));
	assert_ok(latz_close(c.pool));
	cache_fini(&c);
}

/* ---- Scans ---- */

static uint32_t number_of(latz_slice key)
{
	char text[32] = "";

	CHECK(key.size == 15 && memcmp(key.data, "key/00/", 7) == 0);
	memcpy(text, (const char *)key.data + 7, 8);
	return (uint32_t)strtoul(text, NULL, 10);
}

/* Reads on: what comes is as it was when the scan was opened, in order. May be less: what was evicted is gone. */
static unsigned scan_some(struct cache *c, latz_scan *scan, const struct cache_key *then, int64_t *last, unsigned most)
{
	latz_slice key;
	unsigned n = 0;
	int rc = LATZ_OK;

	for (; n < most && (rc = latz_scan_next(scan, &key, &c->value)) == LATZ_OK; n++) {
		uint32_t i = number_of(key);

		assert_true((int64_t)i > *last);
		*last = i;
		assert_true(i < c->count && then[i].serial != 0);
		if (!cache_is(c, i, c->value.data, c->value.size, then[i].serial))
			fail_msg("key %u is not as it was when the scan was opened", i);
	}
	if (rc != LATZ_OK)
		assert_rc(LATZ_DONE, rc);
	return n;
}

static void scans_see_one_moment(void **state)
{
	struct fixture *f = *state;
	struct rng rng;

	rng_init(&rng, rng_test_seed("test_evict"));
	for (unsigned p = 0; p < cache_policies(); p++) {
		struct cache_key *then = check_alloc(18000 * sizeof(*then));
		unsigned found = 0;
		latz_scan *scan;
		int64_t last = -1;
		int rc = LATZ_OK;
		struct cache c;

		cache_init(&c, open_bounded(f, 8 * MIB, 0, cache_policy(p)), f->dir, "p", 18000, NULL);
		c.max_bytes = 8 * MIB;
		print_message("# %s\n", cache_policy_name(cache_policy(p)));
		for (uint32_t i = 0; i < 6000; i++)
			assert_ok(cache_set(&c, i, cache_size(&rng, 2000), 0));
		assert_ok(latz_scan_open(c.pool, NULL, &scan));
		memcpy(then, c.keys, c.count * sizeof(*then));
		for (unsigned round = 0; round < 40; round++) {
			found += scan_some(&c, scan, then, &last, 100);
			/* A few overwrites and deletes, whose old versions stay for the scan, and many new keys: in the
			 * end everything of the scan's time has been evicted. Each old version keeps its extent, of
			 * which there are not many: it may be that none is left to empty until the scan is closed. */
			for (unsigned i = 0; i < 300 && rc == LATZ_OK; i++) {
				uint32_t key = (uint32_t)rng_below(&rng, 6000);

				if (i % 100 == 99)
					cache_delete(&c, key);
				else
					rc = cache_set(&c, i % 20 == 0 ? key : 6000 + round * 300 + i,
					               cache_size(&rng, 2000), 0);
			}
			assert_true(rc == LATZ_OK || rc == LATZ_FULL);
			cache_check_bounds(&c);
		}
		found += scan_some(&c, scan, then, &last, UINT32_MAX);
		assert_true(found > 100);
		assert_ok(latz_scan_close(scan));
		for (uint32_t i = 0; i < 300; i++) /* now there is room */
			assert_ok(cache_set(&c, i, cache_size(&rng, 2000), 0));
		cache_check(&c);
		/* One opened now sees what gets see. */
		assert_true(maintain_all(c.pool));
		memcpy(then, c.keys, c.count * sizeof(*then));
		last = -1;
		assert_ok(latz_scan_open(c.pool, NULL, &scan));
		assert_int_equal(scan_some(&c, scan, then, &last, UINT32_MAX), cache_check(&c));
		assert_ok(latz_scan_close(scan));
		assert_ok(verify_print(c.pool));
		assert_ok(latz_close(c.pool));
		cache_fini(&c);
		free(then);
	}
}

/* ---- Times to live ---- */

/* Keys that expire and keys that are evicted: neither comes back, and both give their room to others. */
static void expiry_and_eviction(void **state)
{
	struct fixture *f = *state;
	struct rng rng;

	rng_init(&rng, rng_test_seed("test_evict"));
	for (unsigned p = 0; p < cache_policies(); p++) {
		uint64_t *deadline = check_alloc(8000 * sizeof(*deadline));
		uint64_t expired = 0;
		struct cache c;

		latz_pool *pool = open_bounded(f, p % 2 ? 6 * MIB : 0, p % 2 ? 0 : 2000, cache_policy(p));

		cache_init(&c, pool, f->dir, "p", 8000, NULL);
		c.max_bytes = p % 2 ? 6 * MIB : 0;
		c.max_entries = p % 2 ? 0 : 2000;
		print_message("# %s\n", cache_policy_name(cache_policy(p)));
		memset(deadline, 0xff, 8000 * sizeof(*deadline));
		for (unsigned i = 0; i < 20000; i++) {
			uint32_t key = (uint32_t)rng_below(&rng, c.count);
			int64_t ttl = i % 2 ? (int64_t)rng_between(&rng, 1, 100) : 0;
			uint64_t now = clock_ns();
			bool there = cache_get(&c, key);

			if (there && now > deadline[key])
				fail_msg("key %u is there %" PRIu64 " us after its end", key,
				         (now - deadline[key]) / 1000);
			assert_ok(cache_set(&c, key, cache_size(&rng, 3000), ttl));
			/* By the library's clock, in milliseconds. */
			deadline[key] = ttl > 0 ? clock_ns() + ((uint64_t)ttl + 2) * 1000000 : UINT64_MAX;
			if (i % 64 == 0)
				cache_check_bounds(&c);
		}
		sleep_ms(110);
		assert_true(maintain_all(c.pool));
		for (uint32_t i = 0; i < c.count; i++) {
			if (deadline[i] != UINT64_MAX && c.keys[i].serial != 0) {
				assert_false(cache_get(&c, i));
				expired++;
			}
		}
		assert_true(expired > 100);
		assert_true(cache_check(&c) > 10);
		assert_ok(verify_print(c.pool));
		assert_ok(latz_close(c.pool));
		cache_fini(&c);
		free(deadline);
	}
}

/* ---- Durable pools ---- */

/* What a writer has been told, in memory it shares with who looks afterwards. */
struct shared {
	uint32_t serial;   /* of the write under way, or the last */
	uint32_t key;      /* it is to */
	int is_delete;
	struct cache_key keys[3000];
};

struct writer {
	latz_options options;
	struct shared *shared;
	uint64_t seed;
	unsigned operations; /* 0: until killed */
};

static void cache_of_shared(struct cache *c, latz_pool *pool, const latz_options *options, struct shared *shared)
{
	cache_init(c, pool, options->dir, "p", ARRAY_LEN(shared->keys), shared->keys);
	c->max_bytes = options->max_bytes;
	c->serial = shared->serial;
}

/* Overwrites and deletes, in a pool that can't keep half of it. */
static int write_durable(void *arg)
{
	struct writer *w = arg;
	struct shared *shared = w->shared;
	latz_pool *pool;
	struct cache c;
	struct rng rng;

	rng_init(&rng, w->seed);
	CHECK_OK(latz_open("p", &w->options, &pool));
	cache_of_shared(&c, pool, &w->options, shared);
	for (unsigned i = 0; w->operations == 0 || i < w->operations; i++) {
		shared->key = (uint32_t)rng_below(&rng, c.count);
		shared->is_delete = rng_below(&rng, 10) == 0;
		if (shared->is_delete) {
			cache_delete(&c, shared->key);
		} else {
			shared->serial = c.serial + 1;
			CHECK_OK(cache_set(&c, shared->key, cache_size(&rng, 16000), 0));
		}
		if (i % 64 == 0)
			cache_check_bounds(&c);
	}
	CHECK_OK(verify_print(pool));
	CHECK_OK(latz_close(pool));
	return 0;
}

/* Of the write that was under way when the writer died, either outcome is right; from here on the key is deleted. */
static void settle_last(struct cache *c, struct shared *shared)
{
	char buffer[32];
	uint32_t i = shared->key;
	int rc = latz_get(c->pool, cache_key(c, i, buffer), &c->value);

	if (rc != LATZ_NOTFOUND) {
		assert_ok(rc);
		assert_true(cache_is(c, i, c->value.data, c->value.size, c->keys[i].serial) ||
		            (!shared->is_delete &&
		             cache_is(c, i, c->value.data, c->value.size, shared->serial)));
	}
	cache_delete(c, i);
}

static void wait_until_gone(const char *dir)
{
	char path[4200];

	snprintf(path, sizeof(path), "%s/p", dir);
	for (int i = 0; i < 5000 && access(path, F_OK) == 0; i++)
		sleep_ms(1);
	assert_int_not_equal(access(path, F_OK), 0);
}

/* Opens it as it was left; anew: when nothing is left of it but what is on the disk. */
static uint64_t check_durable(struct writer *w, uint64_t max_bytes, bool anew)
{
	latz_options options = w->options;
	latz_pool *pool;
	struct cache c;
	uint64_t there;

	options.max_bytes = max_bytes;
	if (anew)
		wait_until_gone(options.dir);
	assert_ok(latz_open("p", &options, &pool));
	cache_of_shared(&c, pool, &options, w->shared);
	cache_check_bounds(&c);
	settle_last(&c, w->shared);
	there = cache_check(&c);
	assert_ok(verify_print(pool));
	assert_ok(latz_close(pool));
	c.keys = NULL; /* the caller's */
	cache_fini(&c);
	return there;
}

static void writer_init(struct writer *w, struct fixture *f, const char *disk, latz_policy policy)
{
	*w = (struct writer){ .options = f->options };
	w->options.max_bytes = 6 * MIB;
	w->options.policy = policy;
	w->options.persist_dir = disk;
	w->options.checkpoint_bytes = 4 * MIB;
	w->shared = mmap(NULL, sizeof(*w->shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(w->shared != MAP_FAILED);
}

/* Written, closed, opened again from the disk: what comes back is what was written last. */
static void restart_brings_no_older_value(void **state)
{
	struct fixture *f = *state;

	for (unsigned p = 0; p < cache_policies(); p++) {
		const char *disk = tempdir_make();
		struct writer w;

		writer_init(&w, f, disk, cache_policy(p));
		print_message("# %s\n", cache_policy_name(cache_policy(p)));
		w.options.sync = p % 2 ? LATZ_SYNC_NONE : LATZ_SYNC_INTERVAL;
		w.options.snapshot_on_close = p % 3 == 0;
		for (int round = 0; round < 2; round++) {
			w.seed = rng_test_seed("test_evict");
			w.operations = 4000;
			assert_int_equal(proc_run(write_durable, &w, 60000), 0);
			assert_true(check_durable(&w, 6 * MIB, true) > 100);
		}
		assert_true(check_durable(&w, 4 * MIB, true) > 30); /* a smaller bound: some more go */
		assert_true(check_durable(&w, 32 * MIB, true) > 30);
		wait_until_gone(f->dir);
		munmap(w.shared, sizeof(*w.shared));
		tempdir_remove(disk);
	}
}

/* The same, but the writer is killed. */
static void death_brings_no_older_value(void **state)
{
	struct fixture *f = *state;
	struct rng rng;

	rng_init(&rng, rng_test_seed("test_evict"));
	for (unsigned p = 0; p < cache_policies(); p++) {
		const char *disk = tempdir_make();
		struct writer w;

		writer_init(&w, f, disk, cache_policy(p));
		print_message("# %s\n", cache_policy_name(cache_policy(p)));
		for (int round = 0; round < 3; round++) {
			struct proc proc;

			w.seed = rng_next(&rng);
			proc_start(&proc, write_durable, &w, false);
			sleep_ms((unsigned)rng_between(&rng, 100, 400));
			assert_false(proc_ended(&proc));
			proc_kill(&proc, SIGKILL);
			assert_int_equal(proc_wait(&proc, 20000), 128 + SIGKILL);
			/* From the disk if the guard was there first, else from what it left in memory. */
			check_durable(&w, 6 * MIB, round == 1);
		}
		wait_until_gone(f->dir);
		munmap(w.shared, sizeof(*w.shared));
		tempdir_remove(disk);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIR_TEST(views_keep_their_bytes),        DIR_TEST(views_of_everything),
		DIR_TEST(scans_see_one_moment),          DIR_TEST(expiry_and_eviction),
		DIR_TEST(restart_brings_no_older_value), DIR_TEST(death_brings_no_older_value),
	};

	return suite_run(tests);
}
