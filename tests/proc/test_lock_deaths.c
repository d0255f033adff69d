/*
 * Deaths inside the calls on locks: at every named point. What the dead held or waited for is the next one's; what
 * others hold they still hold; chains, free nodes and counts are right; and the points inside the mending as well.
 */
#include "../../src/base/point.h"
#include "lib/locks.h"
#include "lib/suite.h"

#define KEPT 300
#define NEXT_MS 20000

struct scene {
	const char *dir;
	latz_options options;
	const char *point;
	unsigned hit; /* which passing of it */
	int (*run)(struct scene *scene, latz_pool *pool);
	uint64_t token; /* of a lock that the parent holds */
};

static int up(void **state)
{
	static struct scene s;

	memset(&s, 0, sizeof s);
	s.dir = tempdir_make();
	s.options = (latz_options)LATZ_OPTIONS_INIT;
	s.options.dir = s.dir;
	s.options.flags = LATZ_CREATE | LATZ_NO_THREAD | LATZ_NO_GUARD;
	*state = &s;
	return 0;
}

static int down(void **state)
{
	struct scene *s = *state;

	tempdir_remove(s->dir);
	return 0;
}

#define DEATH_TEST(fn) cmocka_unit_test_setup_teardown(fn, up, down)

static latz_pool *attach(struct scene *s)
{
	latz_pool *pool;

	CHECK_OK(latz_open("p", &s->options, &pool));
	return pool;
}

static int dies(void *arg)
{
	struct scene *s = arg;
	latz_pool *pool = attach(s);

	lzi_point_arm(s->point, s->hit == 0 ? 1 : s->hit, LZI_POINT_KILL);
	return s->run(s, pool);
}

static void name_of(int i, char name[32])
{
	sprintf(name, "kept %d", i);
}

static void hold(latz_pool *pool, latz_lock_t locks[KEPT])
{
	char name[32];

	for (int i = 0; i < KEPT; i++) {
		name_of(i, name);
		assert_ok(lock_try(pool, name, i % 2, 0, 0, &locks[i]));
	}
}

/* Everything is as it should be: what is kept is held, just once; other names can be had. */
static void check(latz_pool *pool, latz_lock_t locks[KEPT], const char *point)
{
	latz_lock_t lock;
	char name[32];

	for (int i = 0; i < KEPT; i++) {
		name_of(i, name);
		assert_ok(latz_lock_status(&locks[i], NULL));
		assert_rc(LATZ_BUSY, lock_try(pool, name, 0, 0, 0, &lock));
	}
	for (int i = 0; i < 3 * KEPT; i++) {
		sprintf(name, "new %d", i);
		assert_ok(lock_try(pool, name, 0, 0, NEXT_MS, &lock));
		assert_ok(latz_unlock(&lock));
	}
	if (locks_held(pool) != KEPT || locks_waiting(pool) != 0)
		fail_msg("%s: %d held, %d wait", point, locks_held(pool), locks_waiting(pool));
}

static void expect_death(struct scene *s)
{
	int status = proc_run(dies, s, 60000);

	if (status != 128 + SIGKILL)
		fail_msg("%s was not reached: %d", s->point, status);
}

/* ---- Taking and giving back ---- */

static int run_take(struct scene *s, latz_pool *pool)
{
	latz_lock_t a, b;

	(void)s;
	CHECK_OK(lock_try(pool, "a", 0, 60000, 0, &a));
	CHECK_OK(lock_try(pool, "b", 1, 0, 0, &b));
	CHECK_OK(latz_lock_downgrade(&a));
	CHECK_OK(latz_lock_upgrade(&b, 0));
	(void)!lock_try(pool, "b", 0, 0, 50, &a);
	(void)!lock_try(pool, "kept 0", 0, 0, 5, &a);
	CHECK_OK(latz_unlock(&b));
	return 0;
}

static void first_one(void **state)
{
	static const char *const points[] = { "lock.file", "lock.shards" };
	struct scene *s = *state;
	latz_lock_t locks[KEPT];

	for (size_t i = 0; i < ARRAY_LEN(points); i++) {
		latz_pool *pool = attach(s);

		s->point = points[i];
		s->run = run_take;
		expect_death(s);
		hold(pool, locks);
		check(pool, locks, s->point);
		assert_ok(latz_close(pool));
	}
}

static void taking(void **state)
{
	static const char *const points[] = {
		"lock.shard",    "lock.node",      "lock.filled",  "lock.taken",    "lock.linked",
		"lock.wants",    "lock.upgrading", "lock.upgraded", "lock.offered",  "lock.downgraded",
		"lock.released", "lock.unlinked",  "lock.freed",   "lock.passed",   "lock.quiet",
		"lock.waits",    "lock.abandoned", "lock.cycle",
	};
	struct scene *s = *state;
	latz_pool *pool = attach(s);
	latz_lock_t locks[KEPT], a, b;

	hold(pool, locks);
	s->run = run_take;
	for (size_t i = 0; i < ARRAY_LEN(points); i++) {
		for (s->hit = 1; s->hit <= 3; s->hit++) {
			int status;

			s->point = points[i];
			status = proc_run(dies, s, 60000);
			assert_true(status == 128 + SIGKILL || (status == 0 && s->hit > 1));
			assert_ok(lock_try(pool, "a", 0, 0, NEXT_MS, &a));
			assert_ok(lock_try(pool, "b", 0, 0, NEXT_MS, &b));
			assert_ok(latz_unlock(&a));
			assert_ok(latz_unlock(&b));
			check(pool, locks, s->point);
		}
	}
	assert_ok(latz_close(pool));
}

/* ---- Many: blocks, heads ---- */

static int run_many(struct scene *s, latz_pool *pool)
{
	latz_lock_t lock;
	char name[32];

	(void)s;
	for (int i = 0; i < 90000; i++) {
		sprintf(name, "many %d", i);
		CHECK_OK(lock_try(pool, name, 0, 0, 0, &lock));
	}
	return 0;
}

static void growing(void **state)
{
	static const char *const points[] = { "lock.allocated",  "lock.block",     "lock.rehashed", "lock.heads",
		                              "lock.converting", "lock.converted", "lock.emptied",  "lock.mended" };
	static const unsigned hits[] = { 1, 70, 500 };
	struct scene *s = *state;
	latz_lock_t locks[KEPT];

	s->run = run_many;
	for (size_t i = 0; i < ARRAY_LEN(points); i++) {
		for (size_t j = 0; j < ARRAY_LEN(hits); j++) {
			latz_pool *pool = attach(s);
			int status;

			hold(pool, locks);
			/* The last two are in the mending of what another left. */
			if (i >= 6) {
				s->point = "lock.rehashed";
				s->hit = 20;
				expect_death(s);
			}
			s->point = points[i];
			s->hit = i >= 6 ? 1 : hits[j];
			status = proc_run(dies, s, 60000);
			assert_true(status == 128 + SIGKILL || (status == 0 && j > 0));
			check(pool, locks, s->point);
			s->point = "none";
			assert_int_equal(proc_run(dies, s, 60000), 0);
			check(pool, locks, s->point);
			assert_ok(latz_close(pool));
		}
	}
}

static int run_trim(struct scene *s, latz_pool *pool)
{
	latz_lock_t locks[3000];
	char name[32];

	(void)s;
	for (int i = 0; i < 3000; i++) {
		sprintf(name, "many %d", i);
		CHECK_OK(lock_try(pool, name, 0, 0, 0, &locks[i]));
	}
	for (int i = 0; i < 3000; i++)
		CHECK_OK(latz_unlock(&locks[i]));
	CHECK(maintain_all(pool));
	return 0;
}

static void trimming(void **state)
{
	static const char *const points[] = { "lock.trimming", "lock.trimmed" };
	struct scene *s = *state;
	latz_lock_t locks[KEPT];
	latz_pool *pool = attach(s);

	s->run = run_trim;
	for (size_t i = 0; i < ARRAY_LEN(points); i++) {
		s->point = points[i];
		expect_death(s);
		hold(pool, locks);
		check(pool, locks, s->point);
		for (int k = 0; k < KEPT; k++)
			assert_ok(latz_unlock(&locks[k]));
	}
	assert_ok(latz_close(pool));
}

/* ---- Handing over to somebody else ---- */

struct waiter {
	pthread_t thread;
	latz_pool *pool;
	latz_lock_t lock;
	int upgrade, shared, rc;
};

static void *wait_for_it(void *arg)
{
	struct waiter *w = arg;

	w->rc = w->upgrade ? latz_lock_upgrade(&w->lock, NEXT_MS)
	                   : lock_try(w->pool, "passed", w->shared, 0, NEXT_MS, &w->lock);
	return NULL;
}

/* Holds it until somebody waits, and dies giving it back. */
static int run_pass(struct scene *s, latz_pool *pool)
{
	latz_lock_t lock;

	(void)s;
	lzi_point_arm(NULL, 0, LZI_POINT_KILL);
	CHECK_OK(lock_try(pool, "passed", s->token != 0, 0, 0, &lock));
	locks_until_waiting(pool, 1);
	lzi_point_arm(s->point, 1, LZI_POINT_KILL);
	CHECK_OK(latz_unlock(&lock));
	return 0;
}

static void until_held(latz_pool *pool, int n)
{
	for (int i = 0; locks_held(pool) < n; i++) {
		assert_true(i < 20000);
		sleep_ms(1);
	}
}

static void handing_over(void **state)
{
	static const char *const points[] = {
		"lock.entitled", "lock.granted", "lock.released", "lock.unlinked", "lock.freed",
		"lock.passed",   "lock.quiet",   "lock.upgrading", "lock.upgraded", "lock.offered",
	};
	struct scene *s = *state;
	latz_pool *pool = attach(s);
	latz_lock_t locks[KEPT];

	hold(pool, locks);
	s->run = run_pass;
	for (size_t i = 0; i < ARRAY_LEN(points); i++) {
		for (int upgrade = i >= 7; upgrade < 2 && (i >= 2 || upgrade == 0); upgrade++) {
			struct waiter w = { .pool = pool, .upgrade = upgrade };
			struct proc child;

			s->point = points[i];
			s->token = (uint64_t)upgrade;
			if (upgrade)
				assert_ok(lock_try(pool, "passed", 1, 0, 0, &w.lock));
			proc_start(&child, dies, s, false);
			until_held(pool, KEPT + 1 + upgrade);
			assert_int_equal(pthread_create(&w.thread, NULL, wait_for_it, &w), 0);
			assert_int_equal(proc_wait(&child, 60000), 128 + SIGKILL);
			pthread_join(w.thread, NULL);
			assert_ok(w.rc);
			assert_ok(latz_lock_status(&w.lock, NULL));
			assert_int_equal(locks_held(pool), KEPT + 1);
			assert_ok(set_fenced(pool, "k", "v", "passed", w.lock.token));
			assert_ok(latz_unlock(&w.lock));
			check(pool, locks, s->point);
		}
	}
	assert_ok(latz_close(pool));
}

/* ---- Fenced writes ---- */

static int run_fenced(struct scene *s, latz_pool *pool)
{
	CHECK_OK(set_fenced(pool, "k", "child", "g", s->token));
	return 0;
}

/* Who dies writing in the name of a lock keeps nobody out for long. */
static void fenced(void **state)
{
	static const char *const points[] = { "fence.checked", "bucket.locked", "set.intent", "set.published",
		                              "set.booked", "bucket.unlocked" };
	struct scene *s = *state;
	latz_pool *pool = attach(s);
	latz_lock_t locks[KEPT], a;

	hold(pool, locks);
	s->run = run_fenced;
	for (size_t i = 0; i < ARRAY_LEN(points); i++) {
		s->point = points[i];
		assert_ok(lock_try(pool, "g", 0, 0, 0, &a));
		s->token = a.token;
		expect_death(s);
		assert_ok(latz_unlock(&a));
		assert_ok(lock_try(pool, "g", 0, 0, NEXT_MS, &a));
		assert_ok(latz_unlock(&a));
		check(pool, locks, s->point);
	}
	assert_ok(latz_close(pool));
}

static int run_ghost(struct scene *s, latz_pool *pool)
{
	latz_lock_t lock;

	lzi_point_arm(NULL, 0, LZI_POINT_KILL);
	CHECK_OK(lock_try(pool, "g", 0, 0, 0, &lock));
	/* The parent's other child writes in its name, and is stopped. */
	CHECK_OK(latz_set(pool, key_of("token"), slice(&lock.token, sizeof lock.token), NULL));
	while (latz_exists(pool, key_of("go")) != LATZ_OK)
		sleep_ms(1);
	lzi_point_arm(s->point, 1, LZI_POINT_KILL);
	CHECK_OK(latz_unlock(&lock));
	return 0;
}

static int stops(void *arg)
{
	struct scene *s = arg;
	latz_pool *pool = attach(s);

	lzi_point_arm("fence.checked", 1, LZI_POINT_STOP);
	return run_fenced(s, pool);
}

static void ghost(void **state)
{
	struct scene *s = *state, writer;
	latz_value value = LATZ_VALUE_INIT;
	latz_pool *pool = attach(s);
	latz_lock_t locks[KEPT], a;
	struct proc holder, other;

	hold(pool, locks);
	s->point = "lock.ghost";
	s->run = run_ghost;
	proc_start(&holder, dies, s, false);
	while (latz_get(pool, key_of("token"), &value) != LATZ_OK)
		sleep_ms(1);
	writer = *s;
	memcpy(&writer.token, value.data, sizeof writer.token);
	latz_value_free(&value);
	proc_start(&other, stops, &writer, false);
	proc_wait_stopped(&other);
	assert_ok(put(pool, "go", ""));
	assert_int_equal(proc_wait(&holder, 60000), 128 + SIGKILL);
	assert_rc(LATZ_TIMEOUT, lock_try(pool, "g", 0, 0, 100, &a));
	assert_int_equal(proc_continue(&other), 0);
	assert_ok(lock_try(pool, "g", 0, 0, NEXT_MS, &a));
	assert_ok(latz_unlock(&a));
	check(pool, locks, s->point);
	assert_ok(latz_close(pool));
}

/* ---- Tokens of a durable pool ---- */

static int run_token(struct scene *s, latz_pool *pool)
{
	latz_lock_t lock;

	(void)s;
	CHECK_OK(lock_try(pool, "n", 0, 0, 0, &lock));
	return 0;
}

static void tokens(void **state)
{
	static const char *const points[] = { "tokens.made", "tokens.synced" };
	struct scene *s = *state;
	uint64_t highest = 0;

	for (size_t i = 0; i < ARRAY_LEN(points); i++) {
		latz_pool *pool;
		latz_lock_t a;

		s->options.persist_dir = tempdir_make();
		pool = attach(s);
		s->point = points[i];
		s->run = run_token;
		expect_death(s);
		for (int again = 0; again < 3; again++) {
			assert_ok(lock_try(pool, "n", 0, 0, NEXT_MS, &a));
			assert_true(a.token > (again == 0 ? 0 : highest));
			highest = a.token;
			assert_ok(latz_unlock(&a));
			assert_ok(latz_close(pool));
			assert_rc(LATZ_NOTFOUND, latz_destroy("p", &s->options));
			pool = attach(s);
		}
		assert_ok(latz_close(pool));
		tempdir_remove(s->options.persist_dir);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DEATH_TEST(first_one),    DEATH_TEST(taking), DEATH_TEST(growing), DEATH_TEST(trimming),
		DEATH_TEST(handing_over), DEATH_TEST(fenced), DEATH_TEST(ghost),   DEATH_TEST(tokens),
	};

	return suite_run(tests);
}
