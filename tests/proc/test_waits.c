/*
 * What a call may wait in vain is its own: none begins with what another has used up. And who lives and says so is
 * waited for as long as the handle says, whatever the call has met before.
 */
#include "config.h"

#include <signal.h>

#include "../../src/base/point.h"
#include "base/error.h"
#include "lib/suite.h"
#include "os/os.h"
#include "store/store_int.h"

#define SPENT (UINT64_MAX / 4)
#define TIMEOUT_MS 400u

/* ---- Every call begins anew ---- */

static void assert_began(const char *what)
{
	if (lzi_waited_ns >= SPENT)
		fail_msg("%s begins with what was waited for before it", what);
	lzi_waited_ns = SPENT;
}

#define BEGINS(call) \
	do { \
		(void)!(call); \
		assert_began(#call); \
	} while (0)

static int no_pool(const latz_pool_info *info, void *arg)
{
	(void)info;
	(void)arg;
	return 0;
}

static int nothing_to_do(latz_txn *txn, void *arg)
{
	(void)arg;
	return latz_txn_delete(txn, key_of("none"));
}

static void of_pools(void **state)
{
	struct fixture *f = *state;
	latz_stats_t stats = { .size = sizeof stats };
	latz_pool *pool, *space;
	unsigned removed;

	lzi_waited_ns = SPENT;
	BEGINS(latz_open("u", &f->options, &pool));
	BEGINS(latz_stats(pool, &stats));
	BEGINS(latz_maintain(pool, 0));
	BEGINS(latz_verify(pool, NULL, NULL));
	BEGINS(latz_retain(pool, 60000));
	BEGINS(latz_namespace(pool, "space", &space));
	BEGINS(latz_close(space));
	BEGINS(latz_namespace_drop(pool, "space"));
	BEGINS(latz_clear(pool));
	BEGINS(latz_close(pool));
	BEGINS(latz_list(f->dir, no_pool, NULL));
	BEGINS(latz_sweep(f->dir, &removed));
	BEGINS(latz_destroy("u", &f->options));
}

static void of_keys(void **state)
{
	struct fixture *f = *state;
	latz_counter *counter;
	latz_watch *watch;
	latz_scan *scan;
	latz_event event = { .size = sizeof event };
	latz_slice key;
	latz_view view;
	int64_t sum;

	lzi_waited_ns = SPENT;
	BEGINS(put(f->pool, "k", "v"));
	BEGINS(latz_get(f->pool, key_of("k"), &f->value));
	BEGINS(latz_exists(f->pool, key_of("k")));
	BEGINS(latz_touch(f->pool, key_of("k"), 60000));
	BEGINS(latz_increment(f->pool, key_of("n"), 1, &sum));
	BEGINS(latz_borrow(f->pool, key_of("k"), &view));
	assert_ok(latz_release(&view));
	BEGINS(latz_delete(f->pool, key_of("k")));
	BEGINS(latz_scan_open(f->pool, NULL, &scan));
	BEGINS(latz_scan_next(scan, &key, NULL));
	BEGINS(latz_scan_close(scan));
	BEGINS(latz_watch_open(f->pool, NULL, &watch));
	BEGINS(latz_watch_next(watch, 0, &event));
	BEGINS(latz_watch_close(watch));
	BEGINS(latz_counter_open(f->pool, "counter", NULL, &counter));
	BEGINS(latz_counter_add(counter, 1));
	assert_ok(latz_counter_close(counter));
}

static void of_transactions(void **state)
{
	struct fixture *f = *state;
	latz_lock_t lock = LATZ_LOCK_INIT;
	latz_txn *txn;

	lzi_waited_ns = SPENT;
	BEGINS(latz_txn_begin(f->pool, 0, &txn));
	BEGINS(latz_txn_get(txn, key_of("k"), &f->value));
	BEGINS(latz_txn_commit(txn));
	BEGINS(latz_txn_begin(f->pool, 0, &txn));
	BEGINS(latz_txn_get(txn, key_of("k"), &f->value)); /* which has it take a pin */
	BEGINS(latz_txn_abort(txn));
	BEGINS(latz_txn_run(f->pool, nothing_to_do, NULL));
	BEGINS(latz_lock(f->pool, key_of("lock"), NULL, &lock));
	BEGINS(latz_lock_renew(&lock, 60000));
	BEGINS(latz_unlock(&lock));
}

/* ---- Buckets ---- */

/* A write of a call that has no patience left. */
static int write_late(struct lzi_store *store)
{
	struct lzi_write write = {
		.kind = LZI_WRITE_SET, .key = key_of("k"), .value = key_of("late"), .type = LATZ_BYTES, .ttl_ms = -1
	};
	struct lzi_call call;

	assert_ok(lzi_thread_find(store, &call));
	lzi_waited_ns = SPENT;
	return lzi_store_write(&call, &write);
}

static unsigned told_ms(void)
{
	unsigned ms = 0;

	assert_int_equal(sscanf(lzi_error_text(), "waited %u ms for a bucket", &ms), 1);
	return ms;
}

static struct lzi_store *open_beside(struct fixture *f)
{
	latz_options options = f->options;
	struct lzi_store *store;

	f->options.timeout_ms = options.timeout_ms = TIMEOUT_MS;
	options.flags = LATZ_CREATE | LATZ_KEEP | LATZ_NO_THREAD | LATZ_NO_GUARD;
	assert_ok(lzi_store_open("t", &options, &store));
	return store;
}

static int holds_a_bucket(void *arg)
{
	latz_pool *pool = fixture_attach(arg);

	lzi_point_arm("bucket.locked", 1, LZI_POINT_STOP);
	CHECK_OK(put(pool, "k", "theirs"));
	CHECK_OK(latz_close(pool));
	return 0;
}

static int is_idle(void *arg)
{
	latz_pool *pool = fixture_attach(arg);

	CHECK_OK(put(pool, "k", "theirs"));
	raise(SIGSTOP);
	CHECK_OK(latz_close(pool));
	return 0;
}

/* He is stopped, and lives. */
static void who_is_there_gets_his_time(void **state)
{
	struct fixture *f = *state;
	struct lzi_store *store = open_beside(f);
	struct proc child;
	uint64_t begun;

	proc_start(&child, holds_a_bucket, f, false);
	proc_wait_stopped(&child);
	begun = lzi_clock_mono_ns();
	assert_rc(LATZ_TIMEOUT, write_late(store));
	assert_true(lzi_clock_mono_ns() - begun >= TIMEOUT_MS * 1000000ull);
	assert_in_range(told_ms(), TIMEOUT_MS, TIMEOUT_MS * 1000);
	assert_int_equal(proc_continue(&child), 0);
	assert_ok(write_late(store));
	lzi_store_close(store);
}

/* Somebody lives who has not locked it, though the bucket says so. */
static void who_is_elsewhere_gets_none(void **state)
{
	struct fixture *f = *state;
	struct lzi_store *store = open_beside(f);
	struct lzi_bucket *bucket;
	struct proc child;
	uint32_t i = 0;

	proc_start(&child, is_idle, f, false);
	proc_wait_stopped(&child);
	while (lzi_control_actor(&store->control, i)->alive.holder_pid != (uint32_t)child.pid)
		assert_true(++i < lzi_control_actors(&store->control));
	bucket = lzi_table_bucket(&store->table, 0); /* of a table that has one */
	bucket->header |= (uint64_t)(i + 1) << LZI_OWNER_SHIFT;
	assert_rc(LATZ_TIMEOUT, write_late(store));
	assert_in_range(told_ms(), 0, TIMEOUT_MS / 2);
	bucket->header &= ~(0xffffull << LZI_OWNER_SHIFT);
	assert_ok(write_late(store));
	assert_int_equal(proc_continue(&child), 0);
	lzi_store_close(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		POOL_TEST(of_pools),
		POOL_TEST(of_keys),
		POOL_TEST(of_transactions),
		DIR_TEST(who_is_there_gets_his_time),
		DIR_TEST(who_is_elsewhere_gets_none),
	};

	return suite_run(tests);
}
