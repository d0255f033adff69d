/*
 * Locks between processes that are stopped, that wait for each other, that read and write by turns, and that write in
 * the name of a token while another takes the lock.
 */
#include "../../src/base/point.h"
#include "lib/locks.h"
#include "lib/suite.h"

#define LONG_MS 30000

struct scene {
	struct fixture *f;
	const char *first, *second, *point;
	int shared;
	int64_t lease_ms;
	uint64_t token;
	int txn; /* the late write is a transaction */
	struct board {
		uint64_t token;
		uint64_t turns[16];
		uint32_t ready, stop, rc[16];
	} *board;
	int number;
};

static int up(void **state)
{
	static struct scene s;

	memset(&s, 0, sizeof s);
	if (fixture_up((void **)&s.f) != 0)
		return -1;
	s.board = mmap(NULL, sizeof *s.board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	*state = &s;
	return s.board == MAP_FAILED;
}

static int down(void **state)
{
	struct scene *s = *state;
	void *f = s->f;

	munmap(s->board, sizeof *s->board);
	return fixture_down(&f);
}

#define PROC_TEST(fn) cmocka_unit_test_setup_teardown(fn, up, down)

static void ready(struct scene *s)
{
	__atomic_fetch_add(&s->board->ready, 1, __ATOMIC_SEQ_CST);
}

static void until_ready(struct scene *s, uint32_t n)
{
	for (int i = 0; __atomic_load_n(&s->board->ready, __ATOMIC_SEQ_CST) < n; i++) {
		CHECK(i < 60000);
		sleep_ms(1);
	}
}

/* ---- Stopped ---- */

static int holds_and_stops(void *arg)
{
	struct scene *s = arg;
	latz_pool *pool = fixture_attach(s->f);
	latz_lock_t lock;

	CHECK_OK(lock_try(pool, "n", 0, s->lease_ms, 0, &lock));
	s->board->token = lock.token;
	raise(SIGSTOP);
	if (s->lease_ms == 0) {
		CHECK_OK(set_fenced(pool, "k", "mine", "n", lock.token));
		CHECK_OK(latz_unlock(&lock));
	} else {
		CHECK_RC(LATZ_FENCED, set_fenced(pool, "k", "mine", "n", lock.token));
		CHECK_RC(LATZ_FENCED, latz_lock_status(&lock, NULL));
		CHECK_RC(LATZ_FENCED, latz_unlock(&lock));
	}
	return 0;
}

/* Who is stopped keeps what it holds for as long as it is, and is named. */
static void stopped(void **state)
{
	struct scene *s = *state;
	struct proc child;
	latz_lock_t lock;
	char pid[32];

	proc_start(&child, holds_and_stops, s, false);
	proc_wait_stopped(&child);
	snprintf(pid, sizeof pid, "process %d", (int)child.pid);
	assert_rc(LATZ_TIMEOUT, lock_try(s->f->pool, "n", 0, 0, 300, &lock));
	assert_non_null(strstr(latz_error_detail(), pid));
	assert_rc(LATZ_BUSY, lock_try(s->f->pool, "n", 1, 0, 0, &lock));
	assert_int_equal(proc_continue(&child), 0);
	assert_ok(lock_try(s->f->pool, "n", 0, 0, LONG_MS, &lock));
	assert_true(lock.token > s->board->token);
	assert_text(s->f, "k", "mine");
	assert_ok(latz_unlock(&lock));
}

/* With a lease it loses it, and finds out. */
static void stopped_with_lease(void **state)
{
	struct scene *s = *state;
	struct proc child;
	latz_lock_t lock;
	uint64_t begin = clock_ns();

	s->lease_ms = 200;
	proc_start(&child, holds_and_stops, s, false);
	proc_wait_stopped(&child);
	assert_ok(lock_try(s->f->pool, "n", 0, 0, LONG_MS, &lock));
	assert_true(clock_ns() - begin >= 199 * 1000000ull);
	assert_true(lock.token > s->board->token);
	assert_rc(LATZ_FENCED, set_fenced(s->f->pool, "k", "old", "n", s->board->token));
	assert_ok(set_fenced(s->f->pool, "k", "new", "n", lock.token));
	assert_int_equal(proc_continue(&child), 0);
	assert_text(s->f, "k", "new");
	assert_ok(latz_unlock(&lock));
}

static int waits_forever(void *arg)
{
	struct scene *s = arg;
	latz_pool *pool = fixture_attach(s->f);
	latz_lock_t lock;

	CHECK_OK(lock_try(pool, "n", 0, 0, -1, &lock));
	for (;;)
		pause();
}

/* Who dies while it waits holds nobody up. */
static void dead_waiters(void **state)
{
	struct scene *s = *state;
	struct proc children[5];
	latz_lock_t a, b;

	assert_ok(lock_try(s->f->pool, "n", 0, 0, 0, &a));
	for (int i = 0; i < 5; i++) {
		proc_start(&children[i], waits_forever, s, false);
		locks_until_waiting(s->f->pool, i + 1);
	}
	for (int i = 0; i < 5; i++) {
		proc_kill(&children[i], SIGKILL);
		assert_int_equal(proc_wait(&children[i], LONG_MS), 128 + SIGKILL);
	}
	assert_ok(latz_unlock(&a));
	assert_ok(lock_try(s->f->pool, "n", 0, 0, LONG_MS, &b));
	assert_int_equal(locks_waiting(s->f->pool), 0);
	assert_ok(latz_unlock(&b));
	/* Killed between being granted and knowing it, too. */
	assert_ok(lock_try(s->f->pool, "n", 0, 0, 0, &a));
	proc_start(&children[0], waits_forever, s, false);
	locks_until_waiting(s->f->pool, 1);
	proc_kill(&children[0], SIGSTOP);
	proc_wait_stopped(&children[0]);
	assert_ok(latz_unlock(&a));
	assert_rc(LATZ_TIMEOUT, lock_try(s->f->pool, "n", 0, 0, 50, &b));
	proc_kill(&children[0], SIGKILL);
	assert_ok(lock_try(s->f->pool, "n", 0, 0, LONG_MS, &b));
	assert_int_equal(proc_wait(&children[0], LONG_MS), 128 + SIGKILL);
	assert_ok(latz_unlock(&b));
}

/* ---- A circle of processes ---- */

static int dines(void *arg)
{
	struct scene *s = arg;
	latz_pool *pool = fixture_attach(s->f);
	latz_lock_t a, b;
	int rc;

	CHECK_OK(lock_try(pool, s->first, 0, 0, 0, &a));
	ready(s);
	until_ready(s, (uint32_t)s->shared);
	rc = lock_try(pool, s->second, 0, 0, -1, &b);
	CHECK(rc == LATZ_OK || rc == LATZ_DEADLOCK);
	if (rc == LATZ_OK)
		CHECK_OK(latz_unlock(&b));
	CHECK_OK(latz_unlock(&a));
	return rc == LATZ_OK ? 0 : 3;
}

static int upgrades(void *arg)
{
	struct scene *s = arg;
	latz_pool *pool = fixture_attach(s->f);
	latz_lock_t a;
	int rc;

	CHECK_OK(lock_try(pool, "n", 1, 0, 0, &a));
	ready(s);
	until_ready(s, (uint32_t)s->shared);
	rc = latz_lock_upgrade(&a, -1);
	CHECK(rc == LATZ_OK || rc == LATZ_DEADLOCK);
	CHECK_OK(latz_unlock(&a));
	return rc == LATZ_OK ? 0 : 3;
}

static void circles(void **state)
{
	static const char *const names[] = { "one", "two", "three", "four" };
	struct scene *s = *state, each[4];
	struct proc children[4];

	for (int n = 1; n <= 4; n++) { /* 1: two that upgrade */
		int procs = n == 1 ? 2 : n, gave_up = 0;

		s->board->ready = 0;
		for (int i = 0; i < procs; i++) {
			each[i] = *s;
			each[i].first = names[i];
			each[i].second = names[(i + 1) % procs];
			each[i].shared = procs;
			proc_start(&children[i], n == 1 ? upgrades : dines, &each[i], false);
		}
		for (int i = 0; i < procs; i++) {
			int status = proc_wait(&children[i], LONG_MS);

			assert_true(status == 0 || status == 3);
			gave_up += status == 3;
		}
		assert_int_equal(gave_up, 1);
	}
}

/* ---- Turns ---- */

#define READERS 8

static int reads(void *arg)
{
	struct scene *s = arg;
	latz_pool *pool = fixture_attach(s->f);
	latz_lock_t lock;

	ready(s);
	while (__atomic_load_n(&s->board->stop, __ATOMIC_ACQUIRE) == 0) {
		CHECK_OK(lock_try(pool, "n", 1, 0, LONG_MS, &lock));
		__atomic_fetch_add(&s->board->turns[s->number], 1, __ATOMIC_SEQ_CST);
		sleep_ms(1);
		CHECK_OK(latz_unlock(&lock));
	}
	return 0;
}

struct writer {
	pthread_t thread;
	struct scene *s;
	uint64_t turns[READERS]; /* that readers had had when it was granted */
	int done;
};

static void *writes(void *arg)
{
	struct writer *w = arg;
	latz_lock_t lock;

	CHECK_OK(lock_try(w->s->f->pool, "n", 0, 0, LONG_MS, &lock));
	for (int i = 0; i < READERS; i++)
		w->turns[i] = __atomic_load_n(&w->s->board->turns[i], __ATOMIC_SEQ_CST);
	CHECK_OK(latz_unlock(&lock));
	__atomic_store_n(&w->done, 1, __ATOMIC_RELEASE);
	return NULL;
}

static int is_writer_waiting(const latz_lock_info *info, void *arg)
{
	*(int *)arg |= info->waiting && !info->shared;
	return 0;
}

/* A writer among readers who share it all the time: from when it is seen to wait until it has it, none of them takes
 * more than two turns. */
static void writer_among_readers(void **state)
{
	struct scene *s = *state, each[READERS];
	struct proc readers[READERS];
	int seen = 0;

	for (int i = 0; i < READERS; i++) {
		each[i] = *s;
		each[i].number = i;
		proc_start(&readers[i], reads, &each[i], false);
	}
	until_ready(s, READERS);
	for (int round = 0; round < 50; round++) {
		struct writer w = { .s = s };
		uint64_t before[READERS];
		int waiting = 0;

		assert_int_equal(pthread_create(&w.thread, NULL, writes, &w), 0);
		while (!waiting && !__atomic_load_n(&w.done, __ATOMIC_ACQUIRE))
			assert_ok(latz_locks(s->f->pool, is_writer_waiting, &waiting));
		for (int i = 0; i < READERS; i++)
			before[i] = __atomic_load_n(&s->board->turns[i], __ATOMIC_SEQ_CST);
		pthread_join(w.thread, NULL);
		seen += waiting;
		for (int i = 0; i < READERS && waiting; i++) {
			if (w.turns[i] > before[i] + 2)
				fail_msg("a reader had %" PRIu64 " turns", w.turns[i] - before[i]);
		}
	}
	__atomic_store_n(&s->board->stop, 1, __ATOMIC_RELEASE);
	for (int i = 0; i < READERS; i++)
		assert_int_equal(proc_wait(&readers[i], LONG_MS), 0);
	assert_true(seen > 0);
}

/* ---- A write and a take-over ---- */

/* Two keys in a transaction. */
static int set_two(latz_pool *pool, const char *value, uint64_t token)
{
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	latz_txn *txn;

	options.fence = (latz_fence){ latz_str("n"), token };
	CHECK_OK(latz_txn_begin(pool, 0, &txn));
	CHECK_OK(latz_txn_set(txn, latz_str("k"), latz_str(value), &options));
	CHECK_OK(latz_txn_set(txn, latz_str("other"), latz_str(value), &options));
	return latz_txn_commit(txn);
}

static int writes_late(void *arg)
{
	struct scene *s = arg;
	latz_pool *pool = fixture_attach(s->f);
	int rc;

	lzi_point_arm(s->point, 1, LZI_POINT_STOP);
	rc = s->txn ? set_two(pool, "late", s->token) : set_fenced(pool, "k", "late", "n", s->token);
	CHECK(rc == LATZ_OK);
	CHECK_RC(LATZ_FENCED, set_two(pool, "later", s->token));
	CHECK_RC(LATZ_FENCED, set_fenced(pool, "k", "later", "n", s->token));
	return 0;
}

/* A write that has looked at its token, and is stopped before it writes, keeps the lock from being granted: whatever it
 * writes is there before the next holder begins. */
static void late_write(void **state)
{
	static const char *const points[] = { "fence.checked", "bucket.locked", "set.intent",
		                              "fence.checked", "txn.locked",    "txn.published" };
	struct scene *s = *state;

	for (size_t i = 0; i < ARRAY_LEN(points); i++) {
		for (int how = 0; how < 2; how++) { /* given back, or the lease is over */
			struct proc child;
			latz_lock_t a, b;

			assert_ok(lock_try(s->f->pool, "n", 0, how == 0 ? 0 : 2000, 0, &a));
			s->token = a.token;
			s->point = points[i];
			s->txn = i >= 3;
			proc_start(&child, writes_late, s, false);
			proc_wait_stopped(&child);
			if (how == 0)
				assert_ok(latz_unlock(&a));
			else
				assert_ok(latz_lock_renew(&a, 1));
			sleep_ms(5);
			assert_rc(LATZ_TIMEOUT, lock_try(s->f->pool, "n", 0, 0, 100, &b));
			proc_kill(&child, SIGCONT);
			assert_ok(lock_try(s->f->pool, "n", 0, 0, LONG_MS, &b));
			assert_text(s->f, "k", "late");
			assert_ok(set_fenced(s->f->pool, "k", "mine", "n", b.token));
			assert_int_equal(proc_wait(&child, LONG_MS), 0);
			assert_text(s->f, "k", "mine");
			assert_ok(latz_unlock(&b));
		}
	}
}

/* ---- Many take a lock and write in its name: the last one granted has the last word ---- */

static int takes_over(void *arg)
{
	struct scene *s = arg;
	latz_pool *pool = fixture_attach(s->f);
	latz_value value = LATZ_VALUE_INIT;
	char text[32];

	for (int i = 0; i < 300; i++) {
		latz_lock_t lock;
		int rc;

		CHECK_OK(lock_try(pool, "n", 0, 1, LONG_MS, &lock)); /* a lease that is over before long */
		for (int k = 0; k < 20; k++) {
			snprintf(text, sizeof text, "%020" PRIu64, lock.token);
			rc = set_fenced(pool, "k", text, "n", lock.token);
			CHECK(rc == LATZ_OK || rc == LATZ_FENCED);
			if (rc == LATZ_FENCED)
				break;
			CHECK_OK(latz_get(pool, key_of("k"), &value));
			/* Somebody newer may have written by now, nobody older. */
			CHECK(memcmp(value.data, text, 20) >= 0);
		}
		rc = latz_unlock(&lock);
		CHECK(rc == LATZ_OK || rc == LATZ_FENCED);
	}
	latz_value_free(&value);
	return 0;
}

static void newest_wins(void **state)
{
	struct scene *s = *state;
	struct proc children[4];

	for (int i = 0; i < 4; i++)
		proc_start(&children[i], takes_over, s, false);
	for (int i = 0; i < 4; i++)
		assert_int_equal(proc_wait(&children[i], 120000), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PROC_TEST(stopped), PROC_TEST(stopped_with_lease),   PROC_TEST(dead_waiters),
		PROC_TEST(circles), PROC_TEST(writer_among_readers), PROC_TEST(late_write),
		PROC_TEST(newest_wins),
	};

	return suite_run(tests);
}
