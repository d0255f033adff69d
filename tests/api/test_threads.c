/*
 * One pool, many threads: through one handle and through several, all calls at once.
 */
#include "lib/suite.h"

#define THREADS 8
#define KEYS 200
#define ROUNDS 20000

struct hammer {
	latz_pool *pool;
	pthread_t thread;
	unsigned number;
	uint64_t writes[KEYS]; /* last counter written to own keys */
};

/* What a value says about itself: which key it is of and a check word over the counter. */
struct stamp {
	uint64_t key, counter, check;
	unsigned char fill[104];
};

static size_t stamp_make(struct stamp *stamp, uint64_t key, uint64_t counter)
{
	stamp->key = key;
	stamp->counter = counter;
	stamp->check = rng_mix(key * 1000003 + counter);
	memset(stamp->fill, (int)(counter & 0xff), sizeof(stamp->fill));
	return offsetof(struct stamp, fill) + counter % sizeof(stamp->fill);
}

static void stamp_check(const void *data, size_t size, uint64_t key)
{
	struct stamp stamp, want;

	CHECK(size >= offsetof(struct stamp, fill) && size <= sizeof(stamp));
	memcpy(&stamp, data, size);
	CHECK(stamp.key == key);
	CHECK(stamp_make(&want, key, stamp.counter) == size);
	CHECK(memcmp(&stamp, &want, size) == 0);
}

static latz_slice key_number(char *text, size_t size, unsigned number)
{
	snprintf(text, size, "key-%u", number);
	return key_of(text);
}

static void hammer_write(struct hammer *h, struct rng *rng, uint64_t round)
{
	unsigned index = (unsigned)rng_below(rng, KEYS), number = index * THREADS + h->number;
	struct stamp stamp;
	char text[24];
	int rc;

	if (rng_below(rng, 5) == 0) {
		rc = latz_delete(h->pool, key_number(text, sizeof(text), number));
		CHECK(rc == (h->writes[index] ? LATZ_OK : LATZ_NOTFOUND));
		h->writes[index] = 0;
		return;
	}
	h->writes[index] = round + 1;
	CHECK_OK(latz_set(h->pool, key_number(text, sizeof(text), number),
	                  slice(&stamp, stamp_make(&stamp, number, round + 1)), NULL));
}

static void hammer_read(struct hammer *h, struct rng *rng, latz_value *value)
{
	unsigned number = (unsigned)rng_below(rng, KEYS * THREADS);
	latz_view view = { 0 };
	char text[24];
	latz_slice key = key_number(text, sizeof(text), number);
	int rc;

	if (rng_below(rng, 4) == 0) {
		rc = latz_borrow(h->pool, key, &view);
		CHECK(rc == LATZ_OK || rc == LATZ_NOTFOUND);
		if (rc == LATZ_OK) {
			stamp_check(view.data, view.size, number);
			CHECK_OK(latz_release(&view));
		}
		return;
	}
	rc = latz_get(h->pool, key, value);
	CHECK(rc == LATZ_OK || rc == LATZ_NOTFOUND);
	if (rc == LATZ_OK)
		stamp_check(value->data, value->size, number);
	if (number % THREADS == h->number)
		CHECK(rc == (h->writes[number / THREADS] ? LATZ_OK : LATZ_NOTFOUND));
}

static void *hammer_run(void *arg)
{
	struct hammer *h = arg;
	latz_value value = LATZ_VALUE_INIT;
	struct rng rng;

	rng_init(&rng, h->number + 1);
	for (uint64_t round = 0; round < ROUNDS; round++) {
		if (rng_below(&rng, 3) == 0)
			hammer_write(h, &rng, round);
		else
			hammer_read(h, &rng, &value);
		if (round % 32 == 0)
			CHECK_OK(latz_increment(h->pool, key_of("sum"), 1, NULL));
		if (round % 4000 == 0)
			CHECK(count_keys(h->pool) <= KEYS * THREADS + 1);
		if (round % 7000 == 0)
			CHECK(latz_maintain(h->pool, 100) != LATZ_INVALID);
	}
	latz_value_free(&value);
	return NULL;
}

static void hammer_all(struct fixture *f, bool own_handles)
{
	struct hammer *all = check_alloc(THREADS * sizeof(*all));
	int64_t sum;
	char text[24];

	memset(all, 0, THREADS * sizeof(*all));
	for (unsigned i = 0; i < THREADS; i++) {
		all[i].number = i;
		all[i].pool = f->pool;
		if (own_handles)
			assert_ok(latz_open("t", &f->options, &all[i].pool));
		assert_int_equal(pthread_create(&all[i].thread, NULL, hammer_run, &all[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(all[i].thread, NULL), 0);
	assert_ok(latz_get(f->pool, key_of("sum"), &f->value));
	memcpy(&sum, f->value.data, 8);
	assert_int_equal(sum, THREADS * (ROUNDS / 32));
	for (unsigned number = 0; number < KEYS * THREADS; number++) {
		uint64_t counter = all[number % THREADS].writes[number / THREADS];
		struct stamp want;
		int rc = latz_get(f->pool, key_number(text, sizeof(text), number), &f->value);

		assert_rc(counter ? LATZ_OK : LATZ_NOTFOUND, rc);
		if (counter != 0) {
			assert_int_equal(f->value.size, stamp_make(&want, number, counter));
			assert_memory_equal(f->value.data, &want, f->value.size);
		}
	}
	for (unsigned i = 0; own_handles && i < THREADS; i++)
		assert_ok(latz_close(all[i].pool));
	assert_ok(verify_print(f->pool));
	free(all);
}

static void threads_one_handle(void **state)
{
	hammer_all(*state, false);
}

static void threads_own_handles(void **state)
{
	hammer_all(*state, true);
}

static void *open_use_close(void *arg)
{
	struct fixture *f = arg;

	for (int i = 0; i < 100; i++) {
		latz_pool *pool = must_open(f->dir, "t", 0);

		CHECK_OK(put(pool, "k", "v"));
		CHECK_OK(latz_exists(pool, key_of("k")));
		CHECK_OK(latz_close(pool));
	}
	return NULL;
}

/* Handles come and go in all threads; threads come and go by the hundred. */
static void threads_open_close(void **state)
{
	struct fixture *f = *state;
	latz_stats_t stats = { .size = sizeof(stats) };
	pthread_t threads[THREADS];

	for (int round = 0; round < 30; round++) {
		for (int i = 0; i < THREADS; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, open_use_close, f), 0);
		for (int i = 0; i < THREADS; i++)
			assert_int_equal(pthread_join(threads[i], NULL), 0);
	}
	assert_ok(latz_stats(f->pool, &stats));
	assert_int_equal(stats.clients, 1);
	/* Slots of threads that ended were given back: this thread's and perhaps the janitor's are left. */
	assert_true(stats.threads <= 3);
}

/* The pool comes and goes under threads that create it anew. */
static void *create_destroy(void *arg)
{
	struct fixture *f = arg;

	for (int i = 0; i < 200; i++) {
		latz_options options = f->options;
		latz_pool *pool;

		CHECK_OK(latz_open("brief", &options, &pool));
		CHECK_OK(put(pool, "k", "v"));
		CHECK_OK(latz_close(pool));
	}
	return NULL;
}

static void threads_create_close(void **state)
{
	struct fixture *f = *state;
	pthread_t threads[4];
	char path[512];

	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, create_destroy, f), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	snprintf(path, sizeof(path), "%s/brief", f->dir);
	assert_int_not_equal(access(path, F_OK), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		POOL_TEST(threads_one_handle),
		POOL_TEST(threads_own_handles),
		POOL_TEST(threads_open_close),
		DIR_TEST(threads_create_close),
	};

	return suite_run(tests);
}
