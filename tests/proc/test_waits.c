/*
 * What a call may wait in vain is its own: none begins with what another has used up. And who lives and says so is
 * waited for as long as the handle says, whatever the call has met before.
 */
#include "config.h"

#include <signal.h>
#include <sys/mman.h>

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

/* ---- Who walks all of a pool ---- */

#define WALKED 600000u
#define TRIES 5

struct walk {
	struct fixture *f;
	int times;
	int (*walk)(latz_pool *pool, uint64_t *ret_ns);
	_Atomic int begun, ended;
	uint64_t least_ns;
};

static int fill_for(latz_pool *pool, int64_t ttl_ms)
{
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	char key[16];

	options.ttl_ms = ttl_ms;
	for (unsigned i = 0; i < WALKED; i++) {
		snprintf(key, sizeof key, "key%06u", i);
		CHECK_OK(latz_set(pool, key_of(key), key_of(key), &options));
	}
	return 0;
}

static int fill(latz_pool *pool)
{
	return fill_for(pool, 0);
}

static int verifies(latz_pool *pool, uint64_t *ret_ns)
{
	uint64_t began = lzi_clock_mono_ns();

	CHECK_OK(latz_verify(pool, NULL, NULL));
	*ret_ns = lzi_clock_mono_ns() - began;
	return 0;
}

/* Three of four keys are gone by then. */
static int maintains(latz_pool *pool, uint64_t *ret_ns)
{
	uint64_t began;
	char key[16];

	CHECK(fill(pool) == 0);
	for (unsigned i = 0; i < WALKED; i++) {
		snprintf(key, sizeof key, "key%06u", i);
		if (i % 4 != 0)
			CHECK_OK(latz_delete(pool, latz_str(key)));
	}
	began = lzi_clock_mono_ns();
	CHECK_OK(latz_maintain(pool, 0));
	*ret_ns = lzi_clock_mono_ns() - began;
	return 0;
}

/* All of them are gone by then, and nothing else is. */
static int expires(latz_pool *pool, uint64_t *ret_ns)
{
	uint64_t began;

	CHECK(fill_for(pool, 1) == 0);
	lzi_sleep_us(2000);
	began = lzi_clock_mono_ns();
	CHECK_OK(latz_maintain(pool, 0));
	*ret_ns = lzi_clock_mono_ns() - began;
	return 0;
}

static int walks(void *arg)
{
	struct walk *walk = arg;
	latz_pool *pool = fixture_attach(walk->f);
	uint64_t ns;

	walk->least_ns = UINT64_MAX;
	walk->begun = 1;
	for (int i = 0; i < walk->times; i++) {
		CHECK(walk->walk(pool, &ns) == 0);
		if (ns < walk->least_ns)
			walk->least_ns = ns;
	}
	walk->ended = 1;
	CHECK_OK(latz_close(pool));
	return 0;
}

/* How long the slowest scan's opening took while another process was at it, in hundredths of that. */
static uint64_t slowest_scan(struct walk *walk)
{
	uint64_t most = 0, began;
	struct proc child;
	latz_scan *scan;

	walk->begun = walk->ended = 0;
	proc_start(&child, walks, walk, false);
	while (!walk->begun && !proc_ended(&child))
		lzi_sleep_us(100);
	while (!walk->ended && !proc_ended(&child)) {
		began = lzi_clock_mono_ns();
		assert_ok(latz_scan_open(walk->f->pool, NULL, &scan));
		if (lzi_clock_mono_ns() - began > most)
			most = lzi_clock_mono_ns() - began;
		assert_ok(latz_scan_close(scan));
		lzi_sleep_us(500);
	}
	assert_int_equal(proc_wait(&child, 60000), 0);
	return most * 100 / walk->least_ns;
}

static struct walk *walk_new(struct fixture *f, int times, int (*fn)(latz_pool *pool, uint64_t *ret_ns))
{
	struct walk *walk = mmap(NULL, sizeof *walk, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(walk, MAP_FAILED);
	walk->f = f;
	walk->times = times;
	walk->walk = fn;
	return walk;
}

/* The machine may have something else to do: once in a while it has not. */
static void scans_get_turns(struct fixture *f, int times, int (*fn)(latz_pool *pool, uint64_t *ret_ns))
{
	struct walk *walk = walk_new(f, times, fn);
	uint64_t hundredths = 100;

	for (int i = 0; i < TRIES && hundredths >= 50; i++)
		hundredths = slowest_scan(walk);
	assert_in_range(hundredths, 0, 49);
	munmap(walk, sizeof *walk);
}

static void who_walks_gives_turns(void **state)
{
	struct fixture *f = *state;
	latz_scan *scan;

	assert_int_equal(fill(f->pool), 0);
	assert_ok(latz_scan_open(f->pool, NULL, &scan)); /* the index has them all */
	assert_ok(latz_scan_close(scan));
	scans_get_turns(f, 3, verifies);
	scans_get_turns(f, 1, maintains);
}

/* In a pool of its own each time, where nothing is left to do from before. */
static void who_expires_gives_turns(void **state)
{
	struct fixture *f = *state;
	struct walk *walk = walk_new(f, 1, expires);
	uint64_t hundredths = 100;

	for (int i = 0; i < TRIES && hundredths >= 50; i++) {
		assert_ok(latz_open("t", &f->options, &f->pool));
		hundredths = slowest_scan(walk);
		assert_ok(latz_destroy("t", &f->options));
		assert_ok(latz_close(f->pool));
		f->pool = NULL;
	}
	assert_in_range(hundredths, 0, 49);
	munmap(walk, sizeof *walk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		POOL_TEST(of_pools),
		POOL_TEST(of_keys),
		POOL_TEST(of_transactions),
		DIR_TEST(who_is_there_gets_his_time),
		DIR_TEST(who_is_elsewhere_gets_none),
		POOL_TEST(who_walks_gives_turns),
		DIR_TEST(who_expires_gives_turns),
	};

	return suite_run(tests);
}
