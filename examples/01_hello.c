/*
 * The smallest use: open a pool by name, write a key, read it back.
 *
 *   cc 01_hello.c $(pkg-config --cflags --libs latzero)
 *
 * Whoever opens "hello" at the same moment, in whatever process, sees the same keys. When the last one closes it (or
 * dies), the pool is gone.
 */
#include <stdio.h>

#include <latzero/latzero.h>

static int fail(const char *what, int rc)
{
	fprintf(stderr, "%s: %s (%s)\n", what, latz_strerror(rc), latz_error_detail());
	return 1;
}

int main(void)
{
	latz_value value = LATZ_VALUE_INIT;
	latz_pool *pool;
	int rc;

	/* No options: created if it is not there, no size to choose, private to this user. */
	rc = latz_open("hello", NULL, &pool);
	if (rc != LATZ_OK)
		return fail("latz_open", rc);

	rc = latz_set(pool, latz_str("greeting"), latz_str("hello, world"), NULL);
	if (rc != LATZ_OK)
		return fail("latz_set", rc);

	/* The value's buffer belongs to `value`, grows as needed and is used again by the next call. */
	rc = latz_get(pool, latz_str("greeting"), &value);
	if (rc != LATZ_OK)
		return fail("latz_get", rc);
	printf("greeting: %s (%zu bytes)\n", (const char *)value.data, value.size);

	rc = latz_get(pool, latz_str("farewell"), &value);
	printf("farewell: %s\n", latz_strerror(rc));

	latz_value_free(&value);
	rc = latz_close(pool);
	return rc == LATZ_OK ? 0 : fail("latz_close", rc);
}
