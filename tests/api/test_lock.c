/*
 * Locks: alone and shared, leases, waiting in order, upgrade and downgrade, deadlocks, lists, forks, the ends of
 * handles; and every call on bad arguments.
 */
#include "lib/locks.h"
#include "lib/suite.h"

#include <poll.h>

struct worker {
	pthread_t thread;
	latz_pool *pool;
	const char *name;
	int shared, rc, upgrade;
	int64_t wait_ms, lease_ms;
	latz_lock_t lock;
	volatile int done;
	void (*then)(struct worker *worker);
	int *order, *next;
};

static void *work(void *arg)
{
	struct worker *worker = arg;

	worker->rc = worker->upgrade ? latz_lock_upgrade(&worker->lock, worker->wait_ms)
	                             : lock_try(worker->pool, worker->name, worker->shared, worker->lease_ms,
	                                        worker->wait_ms, &worker->lock);
	__atomic_store_n(&worker->done, 1, __ATOMIC_RELEASE);
	if (worker->then != NULL)
		worker->then(worker);
	return NULL;
}

static void start(struct worker *worker)
{
	CHECK(pthread_create(&worker->thread, NULL, work, worker) == 0);
}

static void note_and_unlock(struct worker *worker)
{
	if (worker->rc == LATZ_OK) {
		worker->order[__atomic_fetch_add(worker->next, 1, __ATOMIC_SEQ_CST)] = (int)worker->wait_ms;
		CHECK_OK(latz_unlock(&worker->lock));
	}
}

/* ---- One ---- */

/* Alone: others are kept out until it is given back, and each grant has a larger token. */
static void alone(void **state)
{
	struct fixture *f = *state;
	latz_lock_t a, b;
	uint64_t first;

	assert_ok(lock_try(f->pool, "n", 0, 0, 0, &a));
	assert_rc(LATZ_BUSY, lock_try(f->pool, "n", 0, 0, 0, &b));
	assert_rc(LATZ_BUSY, lock_try(f->pool, "n", 1, 0, 0, &b));
	assert_int_equal(b.token, 0);
	assert_ok(lock_try(f->pool, "other", 0, 0, 0, &b));
	assert_true(b.token > a.token);
	assert_ok(latz_unlock(&b));
	first = a.token;
	assert_ok(latz_unlock(&a));
	assert_rc(LATZ_INVALID, latz_unlock(&a));
	assert_ok(latz_lock(f->pool, key_of("n"), NULL, &a));
	assert_true(a.token > first);
	assert_ok(latz_unlock(&a));
}

static void together(void **state)
{
	struct fixture *f = *state;
	latz_lock_t a, b, c;

	assert_ok(lock_try(f->pool, "n", 1, 0, 0, &a));
	assert_ok(lock_try(f->pool, "n", 1, 0, 0, &b));
	assert_true(b.token > a.token);
	assert_rc(LATZ_BUSY, lock_try(f->pool, "n", 0, 0, 0, &c));
	assert_ok(latz_unlock(&a));
	assert_rc(LATZ_BUSY, lock_try(f->pool, "n", 0, 0, 0, &c));
	assert_ok(latz_unlock(&b));
	assert_ok(lock_try(f->pool, "n", 0, 0, 0, &c));
	assert_ok(latz_unlock(&c));
}

/* A name is bytes, not the key of that name; long ones differ at their ends. */
static void names(void **state)
{
	struct fixture *f = *state;
	static char text[32767];
	latz_lock_t a = LATZ_LOCK_INIT, b = LATZ_LOCK_INIT;

	memset(text, 'x', sizeof text);
	assert_ok(latz_lock(f->pool, slice(text, sizeof text), NULL, &a));
	text[sizeof text - 1] = 'y';
	assert_ok(latz_lock(f->pool, slice(text, sizeof text), NULL, &b));
	assert_ok(latz_unlock(&b));
	assert_rc(LATZ_TOOBIG, latz_lock(f->pool, slice(text, sizeof text + 1), NULL, &b));
	assert_ok(latz_unlock(&a));
	assert_ok(latz_lock(f->pool, slice("\0\1", 2), NULL, &a));
	assert_ok(latz_lock(f->pool, slice("\0", 1), NULL, &b));
	assert_rc(LATZ_NOTFOUND, latz_exists(f->pool, slice("\0", 1)));
	assert_ok(latz_unlock(&a));
	assert_ok(latz_unlock(&b));
}

/* A lease ends by itself; until then others wait, and then one has it at once. */
static void lease(void **state)
{
	struct fixture *f = *state;
	struct worker w = { .pool = f->pool, .name = "n", .wait_ms = 10000 };
	latz_lock_t a, b;
	int64_t left = 0;
	uint64_t begin = clock_ns();

	assert_ok(lock_try(f->pool, "n", 0, 150, 0, &a));
	assert_ok(latz_lock_status(&a, &left));
	assert_true(left > 0 && left <= 150);
	assert_rc(LATZ_BUSY, lock_try(f->pool, "n", 0, 0, 0, &b));
	start(&w);
	pthread_join(w.thread, NULL);
	assert_ok(w.rc);
	b = w.lock;
	assert_true(clock_ns() - begin >= 149 * 1000000ull);
	assert_true(clock_ns() - begin < 5000 * 1000000ull);
	assert_true(b.token > a.token);
	assert_rc(LATZ_FENCED, latz_lock_status(&a, &left));
	assert_rc(LATZ_FENCED, latz_lock_renew(&a, 1000));
	assert_rc(LATZ_FENCED, latz_lock_upgrade(&a, 0));
	assert_rc(LATZ_FENCED, latz_lock_downgrade(&a));
	assert_rc(LATZ_FENCED, latz_unlock(&a));
	assert_ok(latz_lock_status(&b, &left));
	assert_int_equal(left, -1);
	assert_ok(latz_unlock(&b));
}

static void renew(void **state)
{
	struct fixture *f = *state;
	latz_lock_t a, b;
	int64_t left;

	assert_ok(lock_try(f->pool, "n", 0, 200, 0, &a));
	for (int i = 0; i < 4; i++) {
		sleep_ms(60);
		assert_ok(latz_lock_renew(&a, 1000));
	}
	assert_rc(LATZ_BUSY, lock_try(f->pool, "n", 0, 0, 0, &b));
	assert_ok(latz_lock_renew(&a, 0));
	assert_ok(latz_lock_status(&a, &left));
	assert_int_equal(left, -1);
	/* Nobody was waiting: it is lost all the same. */
	assert_ok(latz_lock_renew(&a, 20));
	sleep_ms(40);
	assert_rc(LATZ_FENCED, latz_lock_renew(&a, 1000));
	assert_rc(LATZ_FENCED, latz_unlock(&a));
	assert_ok(lock_try(f->pool, "n", 0, 0, 0, &b));
	assert_ok(latz_unlock(&b));
}

static bool is_readable(int fd, int timeout_ms)
{
	struct pollfd p = { fd, POLLIN, 0 };

	return poll(&p, 1, timeout_ms) == 1;
}

static void told_before(void **state)
{
	struct fixture *f = *state;
	latz_lock_t a;
	int fd;

	assert_ok(lock_try(f->pool, "n", 0, 600, 0, &a));
	fd = latz_lock_fd(&a);
	assert_true(fd >= 0);
	assert_int_equal(fd, latz_lock_fd(&a));
	assert_false(is_readable(fd, 0));
	assert_true(is_readable(fd, 590));
	assert_ok(latz_lock_status(&a, NULL));
	assert_ok(latz_lock_renew(&a, 60000));
	assert_false(is_readable(fd, 0));
	assert_ok(latz_lock_renew(&a, 0));
	assert_false(is_readable(fd, 50));
	assert_ok(latz_unlock(&a));
	assert_int_equal(fcntl(fd, F_GETFD), -1);
}

static void timeout(void **state)
{
	struct fixture *f = *state;
	latz_lock_t a, b;
	char pid[32];

	assert_ok(lock_try(f->pool, "n", 0, 0, 0, &a));
	snprintf(pid, sizeof pid, "process %d", (int)getpid());
	assert_rc(LATZ_BUSY, lock_try(f->pool, "n", 0, 0, 0, &b));
	assert_non_null(strstr(latz_error_detail(), pid));
	assert_ok(latz_unlock(&a));
}

/* ---- Several threads ---- */

/* Those who want it alone get it as they came. */
static void in_order(void **state)
{
	struct fixture *f = *state;
	struct worker workers[6] = { 0 };
	int order[6], next = 0;
	latz_lock_t a;

	assert_ok(lock_try(f->pool, "n", 0, 0, 0, &a));
	for (int i = 0; i < 6; i++) {
		workers[i].pool = f->pool;
		workers[i].name = "n";
		workers[i].wait_ms = 60000 + i;
		workers[i].then = note_and_unlock;
		workers[i].order = order;
		workers[i].next = &next;
		start(&workers[i]);
		locks_until_waiting(f->pool, i + 1);
	}
	assert_ok(latz_unlock(&a));
	for (int i = 0; i < 6; i++) {
		pthread_join(workers[i].thread, NULL);
		assert_ok(workers[i].rc);
	}
	for (int i = 0; i < 6; i++)
		assert_int_equal(order[i], 60000 + i);
}

/* Who comes to share waits behind who waits to have it alone; those before and behind share together. */
static void writer_not_overtaken(void **state)
{
	struct fixture *f = *state;
	struct worker w = { .pool = f->pool, .name = "n", .wait_ms = 60000 };
	struct worker r[3];
	latz_lock_t a;

	assert_ok(lock_try(f->pool, "n", 1, 0, 0, &a));
	start(&w);
	locks_until_waiting(f->pool, 1);
	for (int i = 0; i < 3; i++) {
		r[i] = (struct worker){ .pool = f->pool, .name = "n", .wait_ms = 60000, .shared = 1 };
		start(&r[i]);
		locks_until_waiting(f->pool, 2 + i);
	}
	assert_ok(latz_unlock(&a));
	pthread_join(w.thread, NULL);
	assert_ok(w.rc);
	assert_int_equal(locks_waiting(f->pool), 3);
	assert_ok(latz_unlock(&w.lock));
	for (int i = 0; i < 3; i++) {
		pthread_join(r[i].thread, NULL);
		assert_ok(r[i].rc);
	}
	for (int i = 0; i < 3; i++)
		assert_ok(latz_unlock(&r[i].lock));
}

/* One that waits no more is in nobody's way. */
static void waiter_gives_up(void **state)
{
	struct fixture *f = *state;
	struct worker w = { .pool = f->pool, .name = "n", .wait_ms = 60 };
	struct worker r = { .pool = f->pool, .name = "n", .wait_ms = 60000, .shared = 1 };
	latz_lock_t a;

	assert_ok(lock_try(f->pool, "n", 1, 0, 0, &a));
	start(&w);
	locks_until_waiting(f->pool, 1);
	start(&r);
	pthread_join(w.thread, NULL);
	assert_rc(LATZ_TIMEOUT, w.rc);
	pthread_join(r.thread, NULL);
	assert_ok(r.rc);
	assert_int_equal(locks_waiting(f->pool), 0);
	assert_ok(latz_unlock(&a));
	assert_ok(latz_unlock(&r.lock));
}

/* A lock outlives the thread that took it; another may give it back. */
static void thread_ends(void **state)
{
	struct fixture *f = *state;
	struct worker w = { .pool = f->pool, .name = "n" };
	latz_lock_t b;

	start(&w);
	pthread_join(w.thread, NULL);
	assert_ok(w.rc);
	assert_rc(LATZ_BUSY, lock_try(f->pool, "n", 0, 0, 0, &b));
	assert_ok(latz_lock_status(&w.lock, NULL));
	assert_ok(latz_unlock(&w.lock));
	assert_ok(lock_try(f->pool, "n", 0, 0, 0, &b));
	assert_ok(latz_unlock(&b));
}

/* ---- Upgrade, downgrade ---- */

static void upgrade(void **state)
{
	struct fixture *f = *state;
	latz_lock_t a, b;
	uint64_t token;

	assert_ok(lock_try(f->pool, "n", 1, 0, 0, &a));
	token = a.token;
	assert_ok(latz_lock_upgrade(&a, 0));
	assert_true(a.token > token);
	assert_rc(LATZ_BUSY, lock_try(f->pool, "n", 1, 0, 0, &b));
	assert_rc(LATZ_FENCED, set_fenced(f->pool, "k", "v", "n", token));
	assert_ok(set_fenced(f->pool, "k", "v", "n", a.token));
	token = a.token;
	assert_ok(latz_lock_upgrade(&a, 0));
	assert_true(a.token == token);
	assert_ok(latz_lock_downgrade(&a));
	assert_true(a.token == token);
	assert_ok(lock_try(f->pool, "n", 1, 0, 0, &b));
	assert_rc(LATZ_BUSY, latz_lock_upgrade(&a, 0));
	assert_rc(LATZ_DEADLOCK, latz_lock_upgrade(&a, 30000));
	assert_ok(latz_lock_status(&a, NULL));
	assert_ok(latz_unlock(&b));
	assert_ok(latz_lock_upgrade(&a, 0));
	assert_ok(latz_unlock(&a));
}

/* Who upgrades waits for those who share it, and others wait for him. */
static void upgrade_waits(void **state)
{
	struct fixture *f = *state;
	struct worker w = { .pool = f->pool, .wait_ms = 60000, .upgrade = 1 };
	struct worker r = { .pool = f->pool, .name = "n", .wait_ms = 60000, .shared = 1 };
	latz_lock_t b;

	assert_ok(lock_try(f->pool, "n", 1, 0, 0, &w.lock));
	assert_ok(lock_try(f->pool, "n", 1, 0, 0, &b));
	start(&w);
	locks_until_waiting(f->pool, 1);
	start(&r);
	locks_until_waiting(f->pool, 2);
	assert_ok(latz_unlock(&b));
	pthread_join(w.thread, NULL);
	assert_ok(w.rc);
	assert_int_equal(locks_waiting(f->pool), 1);
	assert_ok(latz_unlock(&w.lock));
	pthread_join(r.thread, NULL);
	assert_ok(r.rc);
	assert_ok(latz_unlock(&r.lock));
}

/* Whose wait for having it alone is over still shares it. */
static void upgrade_gives_up(void **state)
{
	struct fixture *f = *state;
	struct worker w = { .pool = f->pool, .wait_ms = 40, .upgrade = 1 };
	latz_lock_t b, c;

	assert_ok(lock_try(f->pool, "n", 1, 0, 0, &w.lock));
	assert_ok(lock_try(f->pool, "n", 1, 0, 0, &b));
	start(&w);
	pthread_join(w.thread, NULL);
	assert_rc(LATZ_TIMEOUT, w.rc);
	assert_ok(latz_lock_status(&w.lock, NULL));
	assert_ok(lock_try(f->pool, "n", 1, 0, 0, &c));
	assert_ok(latz_unlock(&c));
	assert_ok(latz_unlock(&b));
	assert_rc(LATZ_BUSY, lock_try(f->pool, "n", 0, 0, 0, &c));
	assert_ok(latz_unlock(&w.lock));
}

/* An upgrade's own lease may be over before the others have given it back. */
static void upgrade_loses(void **state)
{
	struct fixture *f = *state;
	struct worker w = { .pool = f->pool, .wait_ms = 10000, .upgrade = 1 };
	latz_lock_t b;

	assert_ok(lock_try(f->pool, "n", 1, 50, 0, &w.lock));
	assert_ok(lock_try(f->pool, "n", 1, 0, 0, &b));
	start(&w);
	pthread_join(w.thread, NULL);
	assert_rc(LATZ_FENCED, w.rc);
	assert_rc(LATZ_FENCED, latz_unlock(&w.lock));
	assert_ok(latz_lock_upgrade(&b, 0));
	assert_ok(latz_unlock(&b));
}

/* ---- Deadlocks ---- */

static void itself(void **state)
{
	struct fixture *f = *state;
	latz_lock_t a, b;

	assert_ok(lock_try(f->pool, "n", 0, 0, 0, &a));
	assert_rc(LATZ_DEADLOCK, lock_try(f->pool, "n", 0, 0, -1, &b));
	assert_rc(LATZ_DEADLOCK, lock_try(f->pool, "n", 1, 0, -1, &b));
	assert_ok(latz_unlock(&a));
	assert_ok(lock_try(f->pool, "n", 1, 0, 0, &a));
	assert_rc(LATZ_DEADLOCK, lock_try(f->pool, "n", 0, 0, 60000, &b));
	assert_ok(latz_unlock(&a));
}

struct philosopher {
	pthread_t thread;
	latz_pool *pool;
	const char *first, *second;
	pthread_barrier_t *barrier;
	int rc;
};

static void *dine(void *arg)
{
	struct philosopher *p = arg;
	latz_lock_t a, b;

	CHECK_OK(lock_try(p->pool, p->first, 0, 0, 0, &a));
	pthread_barrier_wait(p->barrier);
	p->rc = lock_try(p->pool, p->second, 0, 0, -1, &b);
	if (p->rc == LATZ_OK)
		CHECK_OK(latz_unlock(&b));
	CHECK_OK(latz_unlock(&a));
	return NULL;
}

/* Just one of a circle gives up. */
static void circle(struct fixture *f, int n)
{
	static const char *const names[] = { "one", "two", "three", "four", "five" };
	struct philosopher p[5];
	pthread_barrier_t barrier;
	int gave_up = 0;

	pthread_barrier_init(&barrier, NULL, (unsigned)n);
	for (int i = 0; i < n; i++) {
		p[i] = (struct philosopher){ .pool = f->pool, .first = names[i], .second = names[(i + 1) % n],
			                     .barrier = &barrier };
		CHECK(pthread_create(&p[i].thread, NULL, dine, &p[i]) == 0);
	}
	for (int i = 0; i < n; i++) {
		pthread_join(p[i].thread, NULL);
		assert_true(p[i].rc == LATZ_OK || p[i].rc == LATZ_DEADLOCK);
		gave_up += p[i].rc == LATZ_DEADLOCK;
	}
	assert_int_equal(gave_up, 1);
	pthread_barrier_destroy(&barrier);
}

static void deadlock(void **state)
{
	for (int round = 0; round < 10; round++) {
		circle(*state, 2);
		circle(*state, 3);
		circle(*state, 5);
	}
}

/* Of a circle it is the one who began to wait last, whoever sees it first. */
static void youngest(void **state)
{
	struct fixture *f = *state;

	for (int round = 0; round < 60; round++) {
		struct philosopher p = { .pool = f->pool, .first = "one", .second = "two" };
		pthread_barrier_t barrier;
		latz_lock_t mine, other;

		pthread_barrier_init(&barrier, NULL, 2);
		p.barrier = &barrier;
		assert_ok(lock_try(f->pool, "two", 0, 0, 0, &mine));
		assert_int_equal(pthread_create(&p.thread, NULL, dine, &p), 0);
		pthread_barrier_wait(&barrier);
		locks_until_waiting(f->pool, 1);
		for (int i = 0; i < round * 100; i++) /* its next look may come just after we begin */
			sched_yield();
		assert_rc(LATZ_DEADLOCK, lock_try(f->pool, "one", 0, 0, -1, &other));
		assert_ok(latz_unlock(&mine));
		pthread_join(p.thread, NULL);
		assert_ok(p.rc);
		pthread_barrier_destroy(&barrier);
	}
}

static void *upgrade_thread(void *arg)
{
	struct philosopher *p = arg;
	latz_lock_t a;

	CHECK_OK(lock_try(p->pool, "n", 1, 0, 0, &a));
	pthread_barrier_wait(p->barrier);
	p->rc = latz_lock_upgrade(&a, -1);
	CHECK_OK(latz_unlock(&a));
	return NULL;
}

/* Two upgrade: each waits for the other. */
static void upgrade_deadlock(void **state)
{
	struct fixture *f = *state;
	struct philosopher p[2];
	pthread_barrier_t barrier;

	for (int round = 0; round < 10; round++) {
		pthread_barrier_init(&barrier, NULL, 2);
		for (int i = 0; i < 2; i++) {
			p[i] = (struct philosopher){ .pool = f->pool, .barrier = &barrier };
			CHECK(pthread_create(&p[i].thread, NULL, upgrade_thread, &p[i]) == 0);
		}
		for (int i = 0; i < 2; i++)
			pthread_join(p[i].thread, NULL);
		assert_true((p[0].rc == LATZ_OK && p[1].rc == LATZ_DEADLOCK) ||
		            (p[1].rc == LATZ_OK && p[0].rc == LATZ_DEADLOCK));
		pthread_barrier_destroy(&barrier);
	}
}

/* ---- Lists, ends ---- */

struct seen {
	int held, waiting, shared, cut;
	uint64_t token;
};

static int look(const latz_lock_info *info, void *arg)
{
	struct seen *seen = arg;

	CHECK(info->pid == getpid());
	seen->held += info->token != 0;
	seen->waiting += info->waiting;
	seen->shared += info->shared;
	seen->cut += info->cut;
	if (info->name.size == 1 && memcmp(info->name.data, "n", 1) == 0) {
		CHECK(info->remaining_ms > 0 && info->remaining_ms <= 100000);
		seen->token = info->token;
	} else {
		CHECK(info->remaining_ms == -1);
	}
	return 0;
}

static int stop_there(const latz_lock_info *info, void *arg)
{
	(void)info;
	(*(int *)arg)++;
	return 7;
}

static void list(void **state)
{
	struct fixture *f = *state;
	struct seen seen = { 0 };
	latz_lock_t a, b, c;
	int n = 0;

	assert_ok(latz_locks(f->pool, look, &seen));
	assert_ok(lock_try(f->pool, "n", 0, 100000, 0, &a));
	assert_ok(lock_try(f->pool, "a name of more than twenty-eight bytes", 1, 0, 0, &b));
	assert_ok(lock_try(f->pool, "third", 1, 0, 0, &c));
	assert_ok(latz_locks(f->pool, look, &seen));
	assert_int_equal(seen.held, 3);
	assert_int_equal(seen.waiting, 0);
	assert_int_equal(seen.shared, 2);
	assert_int_equal(seen.cut, 1);
	assert_true(seen.token == a.token);
	assert_int_equal(latz_locks(f->pool, stop_there, &n), 7);
	assert_int_equal(n, 1);
	assert_rc(LATZ_INVALID, latz_locks(f->pool, NULL, NULL));
	assert_ok(latz_unlock(&a));
	assert_ok(latz_unlock(&b));
	assert_ok(latz_unlock(&c));
}

/* Closing a handle gives back what was taken through it, and nothing else. */
static void close_releases(void **state)
{
	struct fixture *f = *state;
	latz_pool *other = fixture_attach(f);
	latz_lock_t a, b, c;

	assert_ok(lock_try(other, "n", 0, 0, 0, &a));
	assert_ok(lock_try(f->pool, "mine", 0, 0, 0, &b));
	assert_rc(LATZ_BUSY, lock_try(f->pool, "n", 0, 0, 0, &c));
	assert_ok(latz_close(other));
	assert_ok(lock_try(f->pool, "n", 0, 0, 0, &c));
	assert_ok(latz_lock_status(&b, NULL));
	assert_ok(latz_unlock(&b));
	assert_ok(latz_unlock(&c));
}

struct forked {
	struct fixture *f;
	latz_lock_t *lock;
	latz_lease *lease;
};

static int child(void *arg)
{
	struct forked *forked = arg;
	latz_lock_t own;

	CHECK_RC(LATZ_INVALID, latz_lock_status(forked->lock, NULL));
	CHECK_RC(LATZ_INVALID, latz_lock_renew(forked->lock, 100));
	CHECK_RC(LATZ_INVALID, latz_lock_upgrade(forked->lock, 100));
	CHECK_RC(LATZ_INVALID, latz_lock_downgrade(forked->lock));
	CHECK(latz_lock_fd(forked->lock) == LATZ_INVALID);
	CHECK_RC(LATZ_INVALID, latz_lease_fill(forked->lease, key_of("x"), NULL));
	CHECK_RC(LATZ_BUSY, lock_try(forked->f->pool, "n", 0, 0, 0, &own));
	CHECK_OK(latz_unlock(forked->lock));
	CHECK_RC(LATZ_INVALID, latz_unlock(forked->lock));
	CHECK_RC(LATZ_BUSY, lock_try(forked->f->pool, "n", 0, 0, 0, &own));
	CHECK_OK(lock_try(forked->f->pool, "m", 0, 0, 0, &own));
	CHECK_OK(latz_close(forked->f->pool));
	return 0;
}

static void after_fork(void **state)
{
	struct fixture *f = *state;
	latz_value value = LATZ_VALUE_INIT;
	latz_lease lease = LATZ_LEASE_INIT;
	latz_lock_t a, b;
	struct forked forked = { f, &a, &lease };

	assert_ok(lock_try(f->pool, "n", 0, 0, 0, &a));
	assert_true(latz_lock_fd(&a) >= 0);
	assert_rc(LATZ_NOTFOUND, latz_get_or_lease(f->pool, key_of("k"), NULL, &value, &lease));
	assert_int_equal(proc_run(child, &forked, 60000), 0);
	assert_ok(latz_lock_status(&a, NULL));
	assert_rc(LATZ_BUSY, lock_try(f->pool, "n", 0, 0, 0, &b));
	assert_ok(latz_unlock(&a));
	assert_ok(latz_lease_drop(&lease));
	assert_ok(lock_try(f->pool, "m", 0, 0, 0, &b));
	assert_ok(latz_unlock(&b));
	latz_value_free(&value);
}

static void bad_arguments(void **state)
{
	struct fixture *f = *state;
	latz_lock_options options = LATZ_LOCK_OPTIONS_INIT;
	latz_lock_t a = LATZ_LOCK_INIT;

	assert_rc(LATZ_INVALID, latz_lock(NULL, key_of("n"), NULL, &a));
	assert_rc(LATZ_INVALID, latz_lock(f->pool, key_of("n"), NULL, NULL));
	assert_rc(LATZ_INVALID, latz_lock(f->pool, key_of(""), NULL, &a));
	assert_rc(LATZ_INVALID, latz_lock(f->pool, slice(NULL, 3), NULL, &a));
	options.size = 4;
	assert_rc(LATZ_INVALID, latz_lock(f->pool, key_of("n"), &options, &a));
	options.size = sizeof options;
	options.wait_ms = -2;
	assert_rc(LATZ_INVALID, latz_lock(f->pool, key_of("n"), &options, &a));
	options.wait_ms = 0;
	options.lease_ms = -1;
	assert_rc(LATZ_INVALID, latz_lock(f->pool, key_of("n"), &options, &a));
	options.lease_ms = 1LL << 32;
	assert_rc(LATZ_INVALID, latz_lock(f->pool, key_of("n"), &options, &a));
	options.lease_ms = 0;
	options.shared = 7;
	assert_rc(LATZ_INVALID, latz_lock(f->pool, key_of("n"), &options, &a));
	options.shared = -1;
	assert_rc(LATZ_INVALID, latz_lock(f->pool, key_of("n"), &options, &a));
	options.shared = 0;
	assert_rc(LATZ_INVALID, latz_unlock(NULL));
	assert_rc(LATZ_INVALID, latz_unlock(&a));
	assert_rc(LATZ_INVALID, latz_lock_renew(&a, 1));
	assert_rc(LATZ_INVALID, latz_lock_upgrade(&a, 1));
	assert_rc(LATZ_INVALID, latz_lock_upgrade(NULL, 1));
	assert_rc(LATZ_INVALID, latz_lock_downgrade(&a));
	assert_rc(LATZ_INVALID, latz_lock_status(&a, NULL));
	assert_int_equal(latz_lock_fd(&a), LATZ_INVALID);
	assert_rc(LATZ_INVALID, latz_locks(NULL, look, NULL));
	options.lease_ms = 0;
	assert_ok(latz_lock(f->pool, key_of("n"), &options, &a));
	assert_rc(LATZ_INVALID, latz_lock(f->pool, key_of("m"), &options, &a));
	assert_rc(LATZ_INVALID, latz_lock_renew(&a, -1));
	assert_rc(LATZ_INVALID, latz_lock_upgrade(&a, -2));
	assert_ok(latz_unlock(&a));
}

static void read_only(void **state)
{
	struct fixture *f = *state;
	latz_options options = f->options;
	latz_lock_t a = LATZ_LOCK_INIT;
	latz_pool *reader;
	int n = 0;

	options.flags = (unsigned)LATZ_READONLY;
	assert_ok(latz_open("t", &options, &reader));
	assert_rc(LATZ_READONLY, latz_lock(reader, key_of("n"), NULL, &a));
	assert_rc(LATZ_UNSUPPORTED, latz_locks(reader, stop_there, &n));
	assert_ok(latz_close(reader));
}

static void dead_pool(void **state)
{
	struct fixture *f = *state;
	struct worker w = { .pool = f->pool, .name = "n", .wait_ms = -1 };
	latz_lock_t a, b;

	assert_ok(lock_try(f->pool, "n", 0, 0, 0, &a));
	start(&w);
	locks_until_waiting(f->pool, 1);
	assert_ok(latz_destroy("t", &f->options));
	pthread_join(w.thread, NULL);
	assert_rc(LATZ_DEAD, w.rc);
	assert_rc(LATZ_DEAD, lock_try(f->pool, "n", 0, 0, 0, &b));
	assert_rc(LATZ_DEAD, latz_lock_status(&a, NULL));
	assert_rc(LATZ_DEAD, latz_unlock(&a));
	assert_rc(LATZ_INVALID, latz_unlock(&a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		POOL_TEST(alone),
		POOL_TEST(together),
		POOL_TEST(names),
		POOL_TEST(lease),
		POOL_TEST(renew),
		POOL_TEST(told_before),
		POOL_TEST(timeout),
		POOL_TEST(in_order),
		POOL_TEST(writer_not_overtaken),
		POOL_TEST(waiter_gives_up),
		POOL_TEST(thread_ends),
		POOL_TEST(upgrade),
		POOL_TEST(upgrade_waits),
		POOL_TEST(upgrade_gives_up),
		POOL_TEST(upgrade_loses),
		POOL_TEST(itself),
		POOL_TEST(deadlock),
		POOL_TEST(youngest),
		POOL_TEST(upgrade_deadlock),
		POOL_TEST(list),
		POOL_TEST(close_releases),
		POOL_TEST(after_fork),
		POOL_TEST(bad_arguments),
		POOL_TEST(read_only),
		POOL_TEST(dead_pool),
	};

	return suite_run(tests);
}
