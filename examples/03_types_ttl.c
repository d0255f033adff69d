/*
 * Types and time to live: a value carries what it means and, if asked for, when it goes away.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <latzero/latzero.h>

static void check(int rc, const char *what)
{
	if (rc == LATZ_OK)
		return;
	fprintf(stderr, "%s: %s (%s)\n", what, latz_strerror(rc), latz_error_detail());
	exit(1);
}

static void show(latz_pool *pool, const char *key)
{
	latz_value value = LATZ_VALUE_INIT;
	int rc = latz_get(pool, latz_str(key), &value);

	if (rc != LATZ_OK)
		printf("%-10s %s\n", key, latz_strerror(rc));
	else
		printf("%-10s type %d, %zu bytes, time left: %" PRId64 " ms\n", key, (int)value.type, value.size,
		       value.ttl_ms);
	latz_value_free(&value);
}

int main(void)
{
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	struct timespec pause = { 0, 200 * 1000000 };
	double pi = 3.14159265;
	int64_t answer = 42;
	latz_pool *pool;

	check(latz_open("typed", NULL, &pool), "latz_open");

	options.type = LATZ_INT;
	check(latz_set(pool, latz_str("answer"), (latz_slice){ &answer, sizeof(answer) }, &options), "set answer");
	options.type = LATZ_FLOAT;
	check(latz_set(pool, latz_str("pi"), (latz_slice){ &pi, sizeof(pi) }, &options), "set pi");

	/* The library looks at sizes of the fixed types, so a mistake does not get into the pool. */
	options.type = LATZ_INT;
	printf("an integer of 3 bytes: %s\n",
	       latz_strerror(latz_set(pool, latz_str("answer"), latz_str("abc"), &options)));

	options.type = LATZ_STRING;
	options.ttl_ms = 100;
	check(latz_set(pool, latz_str("session"), latz_str("alice"), &options), "set session");
	options.ttl_ms = 60000;
	check(latz_set(pool, latz_str("token"), latz_str("s3cret"), &options), "set token");

	show(pool, "answer");
	show(pool, "pi");
	show(pool, "session");
	show(pool, "token");
	nanosleep(&pause, NULL);
	puts("after 200 ms:");
	show(pool, "session");
	show(pool, "token");

	/* -1: it never expires. */
	check(latz_touch(pool, latz_str("token"), -1), "latz_touch");
	show(pool, "token");
	check(latz_close(pool), "latz_close");
	return 0;
}
