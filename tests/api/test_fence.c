/*
 * Fenced writes; tokens over restarts; many locks, and what they take.
 */
#include "lib/locks.h"
#include "lib/suite.h"

/* ---- Fences ---- */

static void fence(void **state)
{
	struct fixture *f = *state;
	latz_lock_t a, b;
	uint64_t old;

	assert_rc(LATZ_FENCED, set_fenced(f->pool, "k", "v", "n", 1));
	assert_ok(lock_try(f->pool, "n", 0, 0, 0, &a));
	assert_ok(set_fenced(f->pool, "k", "one", "n", a.token));
	assert_rc(LATZ_FENCED, set_fenced(f->pool, "k", "two", "n", a.token - 1));
	assert_rc(LATZ_FENCED, set_fenced(f->pool, "k", "two", "n", a.token + 1));
	assert_rc(LATZ_FENCED, set_fenced(f->pool, "k", "two", "m", a.token));
	assert_text(f, "k", "one");
	old = a.token;
	assert_ok(latz_unlock(&a));
	assert_rc(LATZ_FENCED, set_fenced(f->pool, "k", "two", "n", old));
	assert_ok(lock_try(f->pool, "n", 0, 30, 0, &b));
	assert_rc(LATZ_FENCED, set_fenced(f->pool, "k", "two", "n", old));
	assert_ok(set_fenced(f->pool, "k", "three", "n", b.token));
	sleep_ms(40);
	assert_rc(LATZ_FENCED, set_fenced(f->pool, "k", "four", "n", b.token));
	assert_rc(LATZ_FENCED, latz_unlock(&b));
	assert_text(f, "k", "three");
	/* Those who share it may all write. */
	assert_ok(lock_try(f->pool, "n", 1, 0, 0, &a));
	assert_ok(lock_try(f->pool, "n", 1, 0, 0, &b));
	assert_ok(set_fenced(f->pool, "k", "five", "n", a.token));
	assert_ok(set_fenced(f->pool, "k", "six", "n", b.token));
	assert_ok(latz_unlock(&a));
	assert_ok(latz_unlock(&b));
}

/* With the other conditions, in batches, and by programs that do not know of fences. */
static void fence_options(void **state)
{
	struct fixture *f = *state;
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	latz_item items[2] = { { key_of("a"), key_of("1") }, { key_of("b"), key_of("2") } };
	latz_lock_t a;

	assert_ok(lock_try(f->pool, "n", 0, 0, 0, &a));
	options.fence.name = key_of("n");
	options.fence.token = a.token;
	options.flags = LATZ_IF_ABSENT;
	assert_ok(latz_set(f->pool, key_of("k"), key_of("v"), &options));
	assert_rc(LATZ_EXISTS, latz_set(f->pool, key_of("k"), key_of("v"), &options));
	options.flags = 0;
	assert_ok(latz_mset(f->pool, items, 2, &options));
	options.fence.token++;
	assert_rc(LATZ_FENCED, latz_mset(f->pool, items, 2, &options));
	options.size = offsetof(latz_set_options, fence);
	assert_ok(latz_mset(f->pool, items, 2, &options));
	options.size--;
	assert_rc(LATZ_INVALID, latz_mset(f->pool, items, 2, &options));
	options.size = sizeof options;
	options.fence.name = slice(NULL, 0);
	assert_rc(LATZ_INVALID, latz_set(f->pool, key_of("k"), key_of("v"), &options));
	options.fence.token = 0;
	assert_ok(latz_set(f->pool, key_of("k"), key_of("v"), &options));
	assert_ok(latz_unlock(&a));
}

/* All of a transaction in the name of one lock, or none of it. */
static void fence_txn(void **state)
{
	struct fixture *f = *state;
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	latz_lock_t a, b;
	latz_txn *txn;

	assert_ok(lock_try(f->pool, "n", 0, 0, 0, &a));
	options.fence = (latz_fence){ key_of("n"), a.token };
	assert_ok(put(f->pool, "gone", "x"));
	for (int round = 0; round < 2; round++) {
		const char *text = round == 0 ? "one" : "two";

		assert_ok(latz_txn_begin(f->pool, 0, &txn));
		assert_ok(latz_txn_set(txn, key_of("k"), key_of(text), &options));
		assert_ok(latz_txn_set(txn, key_of("l"), key_of(text), NULL));
		assert_ok(latz_txn_delete(txn, key_of("gone")));
		if (round == 1)
			assert_ok(latz_unlock(&a));
		assert_rc(round == 0 ? LATZ_OK : LATZ_FENCED, latz_txn_commit(txn));
		assert_text(f, "k", "one");
		assert_text(f, "l", "one");
		assert_int_equal(round == 0 ? LATZ_NOTFOUND : LATZ_OK, latz_exists(f->pool, key_of("gone")));
		assert_ok(put(f->pool, "gone", "x"));
	}
	/* Of one key; of one that would not change; of a key besides which another goes. */
	assert_ok(latz_txn_begin(f->pool, 0, &txn));
	assert_ok(latz_txn_set(txn, key_of("k"), key_of("two"), &options));
	assert_rc(LATZ_FENCED, latz_txn_commit(txn));
	options.flags = LATZ_IF_CHANGED;
	assert_ok(latz_txn_begin(f->pool, 0, &txn));
	assert_ok(latz_txn_set(txn, key_of("k"), key_of("one"), &options));
	assert_rc(LATZ_FENCED, latz_txn_commit(txn));
	/* One lock at most: a thread announces one at a time. */
	options.flags = 0;
	assert_ok(lock_try(f->pool, "n", 0, 0, 0, &a));
	assert_ok(lock_try(f->pool, "m", 0, 0, 0, &b));
	assert_ok(latz_txn_begin(f->pool, 0, &txn));
	options.fence.token = a.token;
	assert_ok(latz_txn_set(txn, key_of("k"), key_of("three"), &options));
	options.fence = (latz_fence){ key_of("m"), b.token };
	assert_rc(LATZ_INVALID, latz_txn_set(txn, key_of("l"), key_of("three"), &options));
	assert_ok(latz_txn_commit(txn));
	assert_text(f, "k", "three");
	assert_text(f, "l", "one");
	assert_ok(latz_unlock(&a));
	assert_ok(latz_unlock(&b));
}

/* ---- Many ---- */

static uint64_t bytes_of(latz_pool *pool)
{
	latz_stats_t stats = { .size = sizeof stats };

	CHECK_OK(latz_stats(pool, &stats));
	return stats.file_bytes;
}

/* Names by the thousand, all held at once, found again; and the memory goes back. */
static void many(void **state)
{
	enum { MANY = 20000 };
	struct fixture *f = *state;
	latz_lock_t *locks = check_alloc(MANY * sizeof *locks), again;
	uint64_t before, most;
	char name[32];

	assert_ok(lock_try(f->pool, "first", 0, 0, 0, &again));
	assert_ok(latz_unlock(&again));
	before = bytes_of(f->pool);
	for (int i = 0; i < MANY; i++) {
		sprintf(name, "name %d", i);
		assert_ok(lock_try(f->pool, name, 0, 0, 0, &locks[i]));
		assert_true(i == 0 || locks[i].token > locks[i - 1].token);
	}
	most = bytes_of(f->pool);
	assert_true(most > before + MANY * 128ull && most < before + MANY * 300ull);
	for (int i = 0; i < MANY; i++) {
		sprintf(name, "name %d", i);
		assert_rc(LATZ_BUSY, lock_try(f->pool, name, 1, 0, 0, &again));
	}
	for (int i = 0; i < MANY; i++)
		assert_ok(latz_unlock(&locks[i]));
	assert_true(maintain_all(f->pool));
	assert_true(bytes_of(f->pool) < before + (1u << 20));
	assert_ok(lock_try(f->pool, "name 7", 0, 0, 0, &again));
	assert_ok(latz_unlock(&again));
	free(locks);
}

/* They count to max_bytes, and may not take all of it. */
static void bounded(void **state)
{
	struct fixture *f = *state;
	latz_options options = f->options;
	latz_lock_t *locks = check_alloc(20000 * sizeof *locks);
	latz_pool *pool;
	char name[32];
	int rc = LATZ_OK, n = 0;

	options.max_bytes = 4u << 20;
	assert_ok(latz_open("bounded", &options, &pool));
	for (; n < 20000 && rc == LATZ_OK; n++) {
		sprintf(name, "name %d", n);
		rc = lock_try(pool, name, 0, 0, 0, &locks[n]);
	}
	assert_rc(LATZ_FULL, rc);
	assert_true(n > 3000);
	for (int i = 0; i < 2000; i++) {
		sprintf(name, "key %d", i);
		assert_ok(latz_set(pool, key_of(name), slice(locks, 4000), NULL));
	}
	maintain_all(pool);
	assert_true(bytes_of(pool) <= (4u << 20) + (1u << 20));
	for (int i = 0; i < n - 1; i++)
		assert_ok(latz_unlock(&locks[i]));
	assert_ok(latz_close(pool));
	free(locks);
}

/* ---- Restarts ---- */

/* Tokens go on above those before, with writes after the last and without, for pools left and pools lost. */
static void restarts(void **state)
{
	struct fixture *f = *state;
	const char *disk = tempdir_make();
	latz_options options = f->options;
	uint64_t highest = 0;

	options.persist_dir = disk;
	options.flags |= LATZ_KEEP;
	for (int round = 0; round < 6; round++) {
		latz_pool *pool;
		latz_lock_t a;

		assert_ok(latz_open("durable", &options, &pool));
		if (highest != 0)
			assert_rc(LATZ_FENCED, set_fenced(pool, "k", "v", "n", highest));
		for (int i = 0; i < 3; i++) {
			assert_ok(lock_try(pool, "n", 0, 0, 0, &a));
			assert_true(a.token > highest);
			highest = a.token;
			if (round % 2)
				assert_ok(set_fenced(pool, "k", "v", "n", a.token));
			if (i < 2)
				assert_ok(latz_unlock(&a));
		}
		if (round < 3) /* held to the end */
			assert_ok(latz_sync_now(pool));
		assert_ok(latz_close(pool));
		if (round != 2) /* the runtime files are lost; else it goes on in memory */
			assert_ok(latz_destroy("durable", &options));
	}
	tempdir_remove(disk);
}

/* A log begins for a pool whose locks have been used: what was given out before counts too. */
static void log_begins(void **state)
{
	struct fixture *f = *state;
	const char *disk = tempdir_make(), *other = tempdir_make();
	latz_options options = f->options;
	uint64_t highest = 0;
	latz_pool *pool;
	latz_lock_t a;

	for (int i = 0; i < 5; i++) {
		assert_ok(lock_try(f->pool, "n", 0, 0, 0, &a));
		assert_ok(latz_unlock(&a));
	}
	highest = a.token;
	options.persist_dir = disk;
	assert_ok(latz_persist(f->pool, &options));
	assert_ok(latz_persist(f->pool, NULL));
	options.persist_dir = other;
	assert_ok(latz_persist(f->pool, &options));
	assert_ok(latz_close(f->pool));
	f->pool = NULL;
	assert_ok(latz_open("t", &options, &pool));
	assert_ok(lock_try(pool, "n", 0, 0, 0, &a));
	assert_true(a.token > highest);
	assert_ok(latz_close(pool));
	tempdir_remove(disk);
	tempdir_remove(other);
}

/* Alone with a kept pool: what its last user held is nobody's. */
static void kept(void **state)
{
	struct fixture *f = *state;
	latz_options options = f->options;
	latz_pool *pool;
	latz_lock_t a;
	uint64_t token;

	options.flags |= LATZ_KEEP;
	assert_ok(latz_open("kept", &options, &pool));
	assert_ok(lock_try(pool, "n", 0, 0, 0, &a));
	token = a.token;
	assert_ok(latz_close(pool));
	assert_ok(latz_open("kept", &options, &pool));
	assert_ok(lock_try(pool, "n", 0, 0, 0, &a));
	assert_true(a.token > token);
	assert_ok(latz_unlock(&a));
	assert_ok(verify_print(pool));
	assert_ok(latz_close(pool));
	assert_ok(latz_destroy("kept", &options));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		POOL_TEST(fence),      POOL_TEST(fence_options), POOL_TEST(many), POOL_TEST(bounded),
		POOL_TEST(fence_txn),
		POOL_TEST(restarts),   POOL_TEST(log_begins),    POOL_TEST(kept),
	};

	return suite_run(tests);
}
