/*
 * Namespaces and what else there is: transactions, batches, locks and leases of a namespace's handle are its own; what
 * they write is counted, and bounded.
 */
#include "lib/locks.h"
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
	assert_memory_equal(f->value.data, text, f->value.size);
}

static int count_one(const latz_lock_info *info, void *arg)
{
	(void)info;
	++*(int *)arg;
	return 0;
}

/* The namespace's figures are those of the keys that it has. */
static void assert_counted(latz_pool *sub, uint64_t keys)
{
	latz_stats_t stats = { .size = sizeof stats };
	uint64_t bytes = 0, seen = 0;
	latz_scan *scan;
	latz_slice key;

	assert_ok(latz_scan_open(sub, NULL, &scan));
	while (latz_scan_next(scan, &key, NULL) == LATZ_OK) {
		latz_key_info info = { .size = sizeof info };
		char copy[64];

		assert_true(key.size <= sizeof copy);
		memcpy(copy, key.data, key.size);
		assert_ok(latz_key_stat(sub, slice(copy, key.size), &info));
		bytes += info.record_bytes;
		seen++;
	}
	assert_ok(latz_scan_close(scan));
	assert_ok(latz_stats(sub, &stats));
	assert_int_equal(keys, seen);
	assert_int_equal(keys, stats.keys);
	assert_int_equal(bytes, stats.live_bytes);
}

/* ---- Transactions and batches ---- */

static void transactions(void **state)
{
	struct fixture *f = *state;
	static const char high[] = "\xff\0\0\0\0\1a";
	latz_pool *a = space(f, "a"), *b = space(f, "b"), *handle[3];
	latz_txn *txn;

	handle[0] = f->pool;
	handle[1] = a;
	handle[2] = b;
	for (unsigned h = 0; h < 3; h++) {
		char text[2] = { (char)('0' + h), '\0' };

		assert_ok(put(handle[h], "gone", "x"));
		assert_ok(latz_txn_begin(handle[h], 0, &txn));
		assert_rc(LATZ_NOTFOUND, latz_txn_get(txn, key_of("k"), &f->value));
		assert_ok(latz_txn_get(txn, key_of("gone"), &f->value));
		assert_ok(latz_txn_set(txn, key_of("k"), key_of(text), NULL));
		assert_ok(latz_txn_set(txn, slice(high, 7), key_of(text), NULL));
		assert_ok(latz_txn_delete(txn, key_of("gone")));
		assert_rc(h == 0 ? LATZ_OK : LATZ_BUSY, h == 0 ? LATZ_OK : latz_close(handle[h]));
		assert_ok(latz_txn_commit(txn));
	}
	for (unsigned h = 0; h < 3; h++) {
		char text[2] = { (char)('0' + h), '\0' };

		assert_has(f, handle[h], key_of("k"), text);
		assert_has(f, handle[h], slice(high, 7), text);
		assert_rc(LATZ_NOTFOUND, latz_exists(handle[h], key_of("gone")));
		if (h > 0)
			assert_counted(handle[h], 2);
	}
	/* Of a key that somebody else has: the conflict names it as its users do. */
	assert_ok(latz_txn_begin(a, 0, &txn));
	assert_ok(latz_txn_get(txn, key_of("k"), &f->value));
	assert_ok(latz_txn_set(txn, key_of("l"), key_of("1"), NULL));
	assert_ok(put(f->pool, "k", "others"));
	assert_ok(put(b, "k", "others"));
	assert_ok(latz_txn_commit(txn));
	assert_ok(latz_txn_begin(a, 0, &txn));
	assert_ok(latz_txn_get(txn, key_of("k"), &f->value));
	assert_ok(latz_txn_set(txn, key_of("l"), key_of("2"), NULL));
	assert_ok(put(a, "k", "mine"));
	assert_rc(LATZ_CONFLICT, latz_txn_commit(txn));
	assert_non_null(strstr(latz_error_detail(), "\"k\""));
	assert_counted(a, 3);
	assert_ok(latz_close(a));
	assert_ok(latz_close(b));
}

static void batches(void **state)
{
	struct fixture *f = *state;
	latz_pool *a = space(f, "a"), *handle[2];
	latz_item items[3] = { { key_of("x"), key_of("1") },
		               { slice("\xff\0y", 3), key_of("2") },
		               { key_of("x"), key_of("3") } };
	latz_slice keys[3] = { key_of("x"), slice("\xff\0y", 3), key_of("none") };
	latz_value values[3] = { LATZ_VALUE_INIT, LATZ_VALUE_INIT, LATZ_VALUE_INIT };
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	latz_stats_t stats = { .size = sizeof stats };
	char *wide = check_alloc(1 << 16);
	int results[3];

	handle[0] = f->pool;
	handle[1] = a;
	for (unsigned h = 0; h < 2; h++) {
		assert_ok(latz_mset(handle[h], items, 3, NULL));
		assert_ok(latz_mget(handle[h], keys, 3, values, results));
		assert_ok(results[0]);
		assert_string_equal(values[0].data, "3");
		assert_ok(results[1]);
		assert_string_equal(values[1].data, "2");
		assert_int_equal(LATZ_NOTFOUND, results[2]);
	}
	assert_counted(a, 2);
	assert_ok(latz_stats(a, &stats));
	assert_true(stats.gets >= 3 && stats.hits >= 2);
	/* All or nothing here, too. */
	options.flags = LATZ_IF_ABSENT;
	items[0].key = key_of("new");
	assert_rc(LATZ_EXISTS, latz_mset(a, items, 2, &options));
	assert_rc(LATZ_NOTFOUND, latz_exists(a, key_of("new")));
	/* Keys that are too long with what stands before them. */
	memset(wide, 'w', 1 << 16);
	keys[2] = slice(wide, 32762);
	assert_ok(latz_mget(a, keys, 3, values, results));
	assert_ok(results[0]);
	assert_int_equal(LATZ_TOOBIG, results[2]);
	items[0].key = keys[2];
	assert_rc(LATZ_TOOBIG, latz_mset(a, items, 2, NULL));
	free(wide);
	for (unsigned i = 0; i < 3; i++)
		latz_value_free(&values[i]);
	assert_ok(latz_close(a));
}

/* A transaction is as much within the bounds as a write. */
static void bounds(void **state)
{
	struct fixture *f = *state;
	latz_namespace_options limits = LATZ_NAMESPACE_OPTIONS_INIT;
	latz_stats_t stats = { .size = sizeof stats };
	latz_pool *a = space(f, "a"), *b = space(f, "b");
	char text[16];
	latz_txn *txn;

	limits.max_entries = 10;
	limits.policy = LATZ_POLICY_NONE;
	assert_ok(latz_namespace_limits(a, &limits));
	limits.policy = LATZ_POLICY_FIFO;
	assert_ok(latz_namespace_limits(b, &limits));
	for (int i = 0; i < 10; i++) {
		snprintf(text, sizeof text, "%d", i);
		assert_ok(put(a, text, "v"));
		assert_ok(put(b, text, "v"));
	}
	for (int h = 0; h < 2; h++) {
		assert_ok(latz_txn_begin(h == 0 ? a : b, 0, &txn));
		for (int i = 20; i < 24; i++) {
			snprintf(text, sizeof text, "%d", i);
			assert_ok(latz_txn_set(txn, key_of(text), key_of("v"), NULL));
		}
		assert_rc(h == 0 ? LATZ_FULL : LATZ_OK, latz_txn_commit(txn));
	}
	assert_counted(a, 10);
	assert_rc(LATZ_NOTFOUND, latz_exists(a, key_of("20")));
	assert_ok(latz_stats(b, &stats));
	assert_true(stats.keys <= 10 && stats.evicted >= 4);
	for (int i = 20; i < 24; i++) {
		snprintf(text, sizeof text, "%d", i);
		assert_ok(latz_exists(b, key_of(text)));
	}
	/* As many go as come. */
	assert_ok(latz_txn_begin(a, 0, &txn));
	assert_ok(latz_txn_delete(txn, key_of("0")));
	assert_ok(latz_txn_set(txn, key_of("new"), key_of("v"), NULL));
	assert_ok(latz_txn_commit(txn));
	assert_counted(a, 10);
	/* More than there may ever be. */
	assert_ok(latz_txn_begin(b, 0, &txn));
	for (int i = 30; i < 41; i++) {
		snprintf(text, sizeof text, "%d", i);
		assert_ok(latz_txn_set(txn, key_of(text), key_of("v"), NULL));
	}
	assert_rc(LATZ_FULL, latz_txn_commit(txn));
	/* Gone in the middle of it. */
	assert_ok(latz_txn_begin(b, 0, &txn));
	assert_ok(latz_txn_set(txn, key_of("1"), key_of("v"), NULL));
	assert_ok(latz_txn_set(txn, key_of("2"), key_of("v"), NULL));
	assert_ok(latz_namespace_drop(f->pool, "b"));
	assert_rc(LATZ_DEAD, latz_txn_commit(txn));
	assert_ok(latz_close(a));
	assert_ok(latz_close(b));
}

/* ---- Locks ---- */

struct names {
	int count;
	char name[40];
};

static int note(const latz_lock_info *info, void *arg)
{
	struct names *names = arg;

	names->count++;
	snprintf(names->name, sizeof names->name, "%.*s", (int)info->name.size, (const char *)info->name.data);
	return 0;
}

/* The same name, thrice. */
static void locks(void **state)
{
	struct fixture *f = *state;
	latz_pool *a = space(f, "a"), *b = space(f, "b"), *handle[3];
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	latz_lock_t lock[3], other;
	latz_txn *txn;

	handle[0] = f->pool;
	handle[1] = a;
	handle[2] = b;
	for (unsigned h = 0; h < 3; h++) {
		assert_ok(lock_try(handle[h], "n", 0, 0, 0, &lock[h]));
		assert_rc(LATZ_BUSY, lock_try(handle[h], "n", 0, 0, 0, &other));
	}
	for (unsigned h = 0; h < 3; h++) {
		struct names names = { 0, "" };

		assert_ok(latz_locks(handle[h], note, &names));
		assert_int_equal(1, names.count);
		assert_string_equal("n", names.name);
		for (unsigned of = 0; of < 3; of++) {
			assert_rc(of == h ? LATZ_OK : LATZ_FENCED,
			          set_fenced(handle[h], "k", "v", "n", lock[of].token));
			options.fence = (latz_fence){ key_of("n"), lock[of].token };
			assert_ok(latz_txn_begin(handle[h], 0, &txn));
			assert_ok(latz_txn_set(txn, key_of("k"), key_of("w"), &options));
			assert_ok(latz_txn_set(txn, key_of("l"), key_of("w"), NULL));
			assert_rc(of == h ? LATZ_OK : LATZ_FENCED, latz_txn_commit(txn));
		}
	}
	/* The end of a handle ends its locks, and no others. */
	assert_ok(latz_close(a));
	a = space(f, "a");
	assert_ok(lock_try(a, "n", 0, 0, 0, &other));
	assert_ok(latz_unlock(&other));
	assert_rc(LATZ_BUSY, lock_try(b, "n", 0, 0, 0, &other));
	assert_ok(latz_unlock(&lock[0]));
	assert_ok(latz_unlock(&lock[2]));
	assert_ok(latz_close(a));
	assert_ok(latz_close(b));
}

static void leases(void **state)
{
	struct fixture *f = *state;
	latz_pool *a = space(f, "a"), *b = space(f, "b");
	latz_lease_options options = LATZ_LEASE_OPTIONS_INIT;
	latz_lease one = LATZ_LEASE_INIT, two = LATZ_LEASE_INIT, none = LATZ_LEASE_INIT;

	options.wait_ms = 0;
	assert_rc(LATZ_NOTFOUND, latz_get_or_lease(a, key_of("k"), &options, &f->value, &one));
	assert_rc(LATZ_NOTFOUND, latz_get_or_lease(b, key_of("k"), &options, &f->value, &two));
	assert_rc(LATZ_BUSY, latz_get_or_lease(a, key_of("k"), &options, &f->value, &none));
	assert_ok(latz_lease_fill(&one, key_of("of a"), NULL));
	assert_ok(latz_lease_drop(&two));
	assert_has(f, a, key_of("k"), "of a");
	assert_rc(LATZ_NOTFOUND, latz_exists(b, key_of("k")));
	assert_rc(LATZ_NOTFOUND, latz_exists(f->pool, key_of("k")));
	assert_ok(latz_get_or_lease(a, key_of("k"), &options, &f->value, &one));
	assert_counted(a, 1);
	assert_ok(latz_close(a));
	assert_ok(latz_close(b));
}

struct crowd {
	latz_pool *sub;
	unsigned number;
	int batches;
};

/* Writes new keys, one at a time or a batch, until there is no room. */
static void *fill_up(void *arg)
{
	const struct crowd *crowd = arg;
	static const char value[1000];
	latz_item items[4];
	char keys[4][24];
	int rc = LATZ_OK;

	for (unsigned n = 0; rc == LATZ_OK; n++) {
		for (unsigned i = 0; i < 4; i++) {
			snprintf(keys[i], sizeof keys[i], "%u-%u-%u", crowd->number, n, i);
			items[i].key = key_of(keys[i]);
			items[i].value = slice(value, sizeof value);
		}
		if (crowd->batches)
			rc = latz_mset(crowd->sub, items, 4, NULL);
		else
			rc = latz_set(crowd->sub, items[0].key, items[0].value, NULL);
	}
	CHECK_RC(LATZ_FULL, rc);
	return NULL;
}

/* Who writes at the same moment as others does not pass the bounds together with them. */
static void bounds_at_once(void **state)
{
	struct fixture *f = *state;
	latz_namespace_options limits = LATZ_NAMESPACE_OPTIONS_INIT;
	latz_stats_t stats = { .size = sizeof stats };
	latz_pool *a = space(f, "a");
	struct crowd crowd[4];
	pthread_t threads[4];

	limits.policy = LATZ_POLICY_NONE;
	for (unsigned round = 0; round < 300; round++) {
		limits.max_bytes = round % 2 == 0 ? 40000 : 0;
		limits.max_entries = round % 2 == 0 ? 0 : 40;
		assert_ok(latz_namespace_limits(a, &limits));
		for (unsigned i = 0; i < ARRAY_LEN(threads); i++) {
			crowd[i] = (struct crowd){ a, i, (round / 2 + i) % 2 == 0 };
			assert_int_equal(pthread_create(&threads[i], NULL, fill_up, &crowd[i]), 0);
		}
		for (unsigned i = 0; i < ARRAY_LEN(threads); i++)
			assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_ok(latz_stats(a, &stats));
		if (limits.max_bytes != 0)
			assert_in_range(stats.live_bytes, 30000, limits.max_bytes);
		else
			assert_in_range(stats.keys, 30, limits.max_entries);
		assert_ok(latz_clear(a));
	}
	assert_ok(latz_close(a));
}

/* What was opened through the handle is dead with its namespace, at the call; ending it works. */
static void dropped(void **state)
{
	struct fixture *f = *state;
	latz_pool *a = space(f, "a");
	latz_lock_t lock = LATZ_LOCK_INIT, other = LATZ_LOCK_INIT;
	latz_lease lease = LATZ_LEASE_INIT;
	latz_txn *txn, *reads, *late;
	latz_scan *scan;
	latz_slice key;

	assert_ok(put(a, "j", "1"));
	assert_ok(put(a, "k", "1"));
	assert_ok(latz_scan_open(a, NULL, &scan));
	assert_ok(latz_scan_next(scan, &key, NULL));
	assert_ok(lock_try(a, "l", 1, 0, 0, &lock));
	assert_ok(lock_try(a, "m", 0, 60000, 0, &other));
	assert_rc(LATZ_NOTFOUND, latz_get_or_lease(a, key_of("n"), NULL, &f->value, &lease));
	assert_ok(latz_txn_begin(a, 0, &txn));
	assert_ok(latz_txn_set(txn, key_of("k"), key_of("2"), NULL));
	assert_ok(latz_txn_begin(a, (unsigned)LATZ_READONLY, &reads));
	assert_ok(latz_namespace_drop(f->pool, "a"));

	assert_rc(LATZ_DEAD, latz_scan_next(scan, &key, NULL));
	assert_ok(latz_scan_close(scan));
	assert_rc(LATZ_DEAD, latz_lock_status(&lock, NULL));
	assert_rc(LATZ_DEAD, latz_lock_renew(&other, 1000));
	assert_rc(LATZ_DEAD, latz_lock_upgrade(&lock, 0));
	assert_rc(LATZ_DEAD, latz_lock_downgrade(&other));
	assert_int_equal(LATZ_DEAD, latz_lock_fd(&lock));
	assert_rc(LATZ_DEAD, latz_locks(a, count_one, &(int){ 0 }));
	assert_ok(latz_unlock(&lock));
	assert_ok(latz_unlock(&other));
	assert_rc(LATZ_DEAD, latz_lease_fill(&lease, key_of("v"), NULL));
	assert_int_equal(0, lease.lock.token);
	assert_rc(LATZ_DEAD, latz_txn_begin(a, 0, &late));
	assert_rc(LATZ_DEAD, latz_txn_get(reads, key_of("k"), &f->value));
	assert_ok(latz_txn_abort(reads));
	assert_rc(LATZ_DEAD, latz_txn_commit(txn));
	assert_ok(latz_close(a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		POOL_TEST(transactions), POOL_TEST(batches), POOL_TEST(bounds), POOL_TEST(locks), POOL_TEST(leases),
		POOL_TEST(dropped),      POOL_TEST(bounds_at_once),
	};

	return suite_run(tests);
}
