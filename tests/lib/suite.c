/* Fixture and conveniences of the cmocka suites; see suite.h. */
#include "suite.h"

int fixture_up_dir(void **state)
{
	struct fixture *f = check_alloc(sizeof(*f));

	*f = (struct fixture){ .dir = tempdir_make(), .options = LATZ_OPTIONS_INIT, .value = LATZ_VALUE_INIT };
	f->options.dir = f->dir;
	lock_options(&f->options);
	*state = f;
	return 0;
}

int fixture_up(void **state)
{
	struct fixture *f;
	int rc;

	fixture_up_dir(state);
	f = *state;
	rc = latz_open("t", &f->options, &f->pool);
	if (rc != LATZ_OK)
		fprintf(stderr, "# latz_open: %s (%s)\n", latz_strerror(rc), latz_error_detail());
	return rc;
}

latz_pool *fixture_attach(struct fixture *f)
{
	latz_pool *pool;

	f->options.flags = LATZ_CREATE | LATZ_NO_THREAD | LATZ_NO_GUARD;
	CHECK_OK(latz_open("t", &f->options, &pool));
	return pool;
}

int fixture_down(void **state)
{
	struct fixture *f = *state;
	int rc = LATZ_OK;

	if (f->pool != NULL)
		rc = latz_close(f->pool);
	if (rc != LATZ_OK)
		fprintf(stderr, "# latz_close: %s (%s)\n", latz_strerror(rc), latz_error_detail());
	latz_value_free(&f->value);
	tempdir_remove(f->dir);
	free(f);
	return rc;
}

latz_slice key_of(const char *text)
{
	return latz_str(text);
}

int put(latz_pool *pool, const char *key, const char *value)
{
	return latz_set(pool, latz_str(key), latz_str(value), NULL);
}

int del(latz_pool *pool, const char *key)
{
	return latz_delete(pool, latz_str(key));
}

void assert_text(struct fixture *f, const char *key, const char *value)
{
	assert_ok(latz_get(f->pool, latz_str(key), &f->value));
	assert_int_equal(f->value.size, strlen(value));
	/* Compared with the NUL past the end, which the header promises. */
	assert_memory_equal(f->value.data, value, strlen(value) + 1);
}

void pattern_fill(void *data, size_t size, uint64_t seed)
{
	struct rng rng;

	rng_init(&rng, seed ^ size);
	rng_fill(&rng, data, size);
}

bool pattern_is(const void *data, size_t size, uint64_t seed)
{
	const unsigned char *at = data;
	struct rng rng;

	rng_init(&rng, seed ^ size);
	for (size_t done = 0; done < size; done += 8) {
		uint64_t word = rng_next(&rng);
		size_t part = size - done < 8 ? size - done : 8;

		if (memcmp(at + done, &word, part) != 0)
			return false;
	}
	return true;
}

size_t count_keys(latz_pool *pool)
{
	unsigned char *last = check_alloc(32768);
	size_t last_size = 0, count = 0;
	latz_scan *scan;
	latz_slice key;
	int rc;

	CHECK_OK(latz_scan_open(pool, NULL, &scan));
	while ((rc = latz_scan_next(scan, &key, NULL)) == LATZ_OK) {
		size_t common = key.size < last_size ? key.size : last_size;
		int order = memcmp(last, key.data, common);

		CHECK(key.size >= 1 && key.size <= 32767);
		CHECK(count == 0 || order < 0 || (order == 0 && last_size < key.size));
		memcpy(last, key.data, key.size);
		last_size = key.size;
		count++;
	}
	CHECK(rc == LATZ_DONE);
	CHECK_OK(latz_scan_close(scan));
	free(last);
	return count;
}

bool maintain_all(latz_pool *pool)
{
	for (int i = 0; i < 2000; i++) {
		int rc = latz_maintain(pool, 0);

		if (rc == LATZ_OK)
			return true;
		if (rc != LATZ_BUSY)
			check_failed(__FILE__, __LINE__, "latz_maintain: %s", latz_strerror(rc));
		sleep_ms(1);
	}
	return false;
}
