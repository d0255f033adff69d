/*
 * Single-flight: who is asked, who waits, who gets the stale value; what ends a lease; and bad arguments.
 */
#include "lib/locks.h"
#include "lib/suite.h"

static int ask(latz_pool *pool, const char *key, int64_t wait_ms, int64_t lease_ms, int64_t stale_ms, latz_value *value,
               latz_lease *lease)
{
	latz_lease_options options = LATZ_LEASE_OPTIONS_INIT;

	options.wait_ms = wait_ms;
	options.lease_ms = lease_ms;
	options.stale_ms = stale_ms;
	*lease = (latz_lease)LATZ_LEASE_INIT;
	return latz_get_or_lease(pool, key_of(key), &options, value, lease);
}

/* The first is asked; others are told to come again, or wait; and then there is the value. */
static void one_is_asked(void **state)
{
	struct fixture *f = *state;
	latz_lease a = LATZ_LEASE_INIT, b;

	assert_rc(LATZ_NOTFOUND, latz_get_or_lease(f->pool, key_of("k"), NULL, &f->value, &a));
	assert_true(a.lock.token != 0);
	assert_rc(LATZ_BUSY, ask(f->pool, "k", 0, 0, 0, &f->value, &b));
	assert_true(b.lock.token == 0);
	assert_rc(LATZ_NOTFOUND, ask(f->pool, "other", 0, 0, 0, &f->value, &b));
	assert_ok(latz_lease_drop(&b));
	assert_rc(LATZ_INVALID, latz_lease_drop(&b));
	assert_ok(latz_lease_fill(&a, key_of("v"), NULL));
	assert_rc(LATZ_INVALID, latz_lease_fill(&a, key_of("v"), NULL));
	assert_ok(ask(f->pool, "k", 0, 0, 0, &f->value, &b));
	assert_true(b.lock.token == 0);
	assert_text(f, "k", "v");
	assert_int_equal(locks_held(f->pool), 0);
}

struct worker {
	pthread_t thread;
	latz_pool *pool;
	int64_t wait_ms;
	int rc;
	latz_value value;
	latz_lease lease;
};

static void *work(void *arg)
{
	struct worker *w = arg;

	w->rc = ask(w->pool, "k", w->wait_ms, 0, 0, &w->value, &w->lease);
	return NULL;
}

static void start(struct worker *w, latz_pool *pool, int64_t wait_ms)
{
	*w = (struct worker){ .pool = pool, .wait_ms = wait_ms, .value = LATZ_VALUE_INIT };
	CHECK(pthread_create(&w->thread, NULL, work, w) == 0);
}

static void others_wait(void **state)
{
	struct fixture *f = *state;
	struct worker w[4];
	latz_lease a;

	assert_rc(LATZ_NOTFOUND, ask(f->pool, "k", 0, 0, 0, &f->value, &a));
	for (int i = 0; i < 4; i++)
		start(&w[i], f->pool, i == 0 ? 20 : -1);
	pthread_join(w[0].thread, NULL);
	assert_rc(LATZ_TIMEOUT, w[0].rc);
	locks_until_waiting(f->pool, 3);
	assert_ok(latz_lease_fill(&a, key_of("v"), NULL));
	for (int i = 1; i < 4; i++) {
		pthread_join(w[i].thread, NULL);
		assert_ok(w[i].rc);
		assert_true(w[i].lease.lock.token == 0);
		assert_string_equal(w[i].value.data, "v");
		latz_value_free(&w[i].value);
	}
	latz_value_free(&w[0].value);
}

/* Without a value the next one is asked; one who writes the key without a lease ends everybody's wait. */
static void dropped(void **state)
{
	struct fixture *f = *state;
	struct worker w[2];
	latz_lease a;
	int asked;

	assert_rc(LATZ_NOTFOUND, ask(f->pool, "k", 0, 0, 0, &f->value, &a));
	start(&w[0], f->pool, -1);
	locks_until_waiting(f->pool, 1);
	start(&w[1], f->pool, -1);
	locks_until_waiting(f->pool, 2);
	assert_ok(latz_lease_drop(&a));
	pthread_join(w[0].thread, NULL);
	assert_rc(LATZ_NOTFOUND, w[0].rc);
	asked = w[0].lease.lock.token != 0;
	assert_true(asked);
	assert_int_equal(locks_waiting(f->pool), 1);
	assert_ok(put(f->pool, "k", "v"));
	pthread_join(w[1].thread, NULL);
	assert_ok(w[1].rc);
	assert_true(w[1].lease.lock.token == 0);
	assert_ok(latz_lease_drop(&w[0].lease));
	latz_value_free(&w[0].value);
	latz_value_free(&w[1].value);
}

/* Who takes too long loses it, and what it computed is not written. */
static void too_late(void **state)
{
	struct fixture *f = *state;
	latz_lease a, b;

	assert_rc(LATZ_NOTFOUND, ask(f->pool, "k", 0, 30, 0, &f->value, &a));
	sleep_ms(40);
	assert_rc(LATZ_NOTFOUND, ask(f->pool, "k", 0, 0, 0, &f->value, &b));
	assert_true(b.lock.token > a.lock.token);
	assert_rc(LATZ_FENCED, latz_lease_fill(&a, key_of("old"), NULL));
	assert_rc(LATZ_NOTFOUND, latz_exists(f->pool, key_of("k")));
	assert_ok(latz_lease_fill(&b, key_of("new"), NULL));
	assert_text(f, "k", "new");
}

/* In the window one is asked for the next value, and has the stale one too; others have it at once. */
static void stale(void **state)
{
	struct fixture *f = *state;
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	latz_lease a, b;

	assert_rc(LATZ_NOTFOUND, ask(f->pool, "k", 0, 0, 600000, &f->value, &a));
	options.ttl_ms = 50;
	options.type = LATZ_STRING;
	assert_ok(latz_lease_fill(&a, key_of("one"), &options));
	assert_ok(ask(f->pool, "k", 0, 0, 600000, &f->value, &a));
	assert_true(a.lock.token == 0 && f->value.type == LATZ_STRING && f->value.ttl_ms > 600000 - 1000);
	sleep_ms(60);
	assert_ok(ask(f->pool, "k", -1, 0, 600000, &f->value, &a));
	assert_true(a.lock.token != 0);
	assert_string_equal(f->value.data, "one");
	assert_ok(ask(f->pool, "k", -1, 0, 600000, &f->value, &b));
	assert_true(b.lock.token == 0);
	assert_string_equal(f->value.data, "one");
	assert_ok(latz_lease_fill(&a, key_of("two"), &options));
	assert_ok(ask(f->pool, "k", -1, 0, 600000, &f->value, &b));
	assert_true(b.lock.token == 0);
	assert_string_equal(f->value.data, "two");
}

/* Without a window what has expired is not there. */
static void expires(void **state)
{
	struct fixture *f = *state;
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	latz_lease a;

	options.ttl_ms = 30;
	assert_rc(LATZ_NOTFOUND, ask(f->pool, "k", 0, 0, 0, &f->value, &a));
	assert_ok(latz_lease_fill(&a, key_of("one"), &options));
	sleep_ms(40);
	assert_rc(LATZ_NOTFOUND, ask(f->pool, "k", 0, 0, 0, &f->value, &a));
	assert_ok(latz_lease_drop(&a));
	/* Values that never expire are never stale. */
	options.ttl_ms = -1;
	assert_rc(LATZ_NOTFOUND, ask(f->pool, "k", 0, 0, 1000, &f->value, &a));
	assert_ok(latz_lease_fill(&a, key_of("one"), &options));
	assert_ok(ask(f->pool, "k", 0, 0, 1LL << 50, &f->value, &a));
	assert_true(a.lock.token == 0);
}

/* A fill that fails ends the lease too. */
static void fill_fails(void **state)
{
	struct fixture *f = *state;
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	latz_lease a;

	options.type = LATZ_INT;
	assert_rc(LATZ_NOTFOUND, ask(f->pool, "k", 0, 0, 0, &f->value, &a));
	assert_rc(LATZ_TYPE, latz_lease_fill(&a, key_of("one"), &options));
	assert_true(a.lock.token == 0 && a.key == NULL);
	assert_int_equal(locks_held(f->pool), 0);
}

/* A lease and a lock of the same name have nothing to do with each other. */
static void not_a_lock(void **state)
{
	struct fixture *f = *state;
	latz_lock_t lock;
	latz_lease a;

	assert_ok(lock_try(f->pool, "k", 0, 0, 0, &lock));
	assert_rc(LATZ_NOTFOUND, ask(f->pool, "k", 0, 0, 0, &f->value, &a));
	assert_rc(LATZ_FENCED, set_fenced(f->pool, "k", "v", "k", a.lock.token));
	assert_ok(latz_lease_drop(&a));
	assert_ok(latz_unlock(&lock));
}

static void bad_arguments(void **state)
{
	struct fixture *f = *state;
	latz_lease_options options = LATZ_LEASE_OPTIONS_INIT;
	latz_options reading = f->options;
	latz_lease a = LATZ_LEASE_INIT;
	latz_pool *reader;

	assert_rc(LATZ_INVALID, latz_get_or_lease(NULL, key_of("k"), NULL, &f->value, &a));
	assert_rc(LATZ_INVALID, latz_get_or_lease(f->pool, key_of(""), NULL, &f->value, &a));
	assert_rc(LATZ_INVALID, latz_get_or_lease(f->pool, key_of("k"), NULL, NULL, &a));
	assert_rc(LATZ_INVALID, latz_get_or_lease(f->pool, key_of("k"), NULL, &f->value, NULL));
	options.size = 1;
	assert_rc(LATZ_INVALID, latz_get_or_lease(f->pool, key_of("k"), &options, &f->value, &a));
	options.size = sizeof options;
	options.stale_ms = -1;
	assert_rc(LATZ_INVALID, latz_get_or_lease(f->pool, key_of("k"), &options, &f->value, &a));
	options.stale_ms = 0;
	options.wait_ms = -2;
	assert_rc(LATZ_INVALID, latz_get_or_lease(f->pool, key_of("k"), &options, &f->value, &a));
	assert_rc(LATZ_INVALID, latz_lease_fill(&a, key_of("v"), NULL));
	assert_rc(LATZ_INVALID, latz_lease_fill(NULL, key_of("v"), NULL));
	assert_rc(LATZ_INVALID, latz_lease_drop(NULL));
	reading.flags = (unsigned)LATZ_READONLY;
	assert_ok(latz_open("t", &reading, &reader));
	assert_rc(LATZ_READONLY, latz_get_or_lease(reader, key_of("k"), NULL, &f->value, &a));
	assert_int_equal(a.lock.token, 0);
	/* A fresh value is only read; a stale one is for who computes the next. */
	assert_ok(put(f->pool, "k", "v"));
	assert_ok(latz_get_or_lease(reader, key_of("k"), NULL, &f->value, &a));
	assert_int_equal(a.lock.token, 0);
	assert_int_equal(f->value.size, 1);
	assert_ok(latz_touch(f->pool, key_of("k"), 100000));
	options.wait_ms = 0;
	options.stale_ms = 200000;
	assert_rc(LATZ_READONLY, latz_get_or_lease(reader, key_of("k"), &options, &f->value, &a));
	options.stale_ms = 50000;
	assert_ok(latz_get_or_lease(reader, key_of("k"), &options, &f->value, &a));
	assert_ok(del(f->pool, "k"));
	assert_ok(latz_close(reader));
	assert_rc(LATZ_NOTFOUND, latz_get_or_lease(f->pool, key_of("k"), NULL, &f->value, &a));
	assert_rc(LATZ_INVALID, latz_get_or_lease(f->pool, key_of("k"), NULL, &f->value, &a));
	assert_ok(latz_destroy("t", &f->options));
	assert_rc(LATZ_DEAD, latz_lease_fill(&a, key_of("v"), NULL));
	assert_rc(LATZ_DEAD, latz_get_or_lease(f->pool, key_of("k"), NULL, &f->value, &a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		POOL_TEST(one_is_asked), POOL_TEST(others_wait), POOL_TEST(dropped),
		POOL_TEST(too_late),     POOL_TEST(stale),       POOL_TEST(expires),
		POOL_TEST(fill_fails),   POOL_TEST(not_a_lock),  POOL_TEST(bad_arguments),
	};

	return suite_run(tests);
}
