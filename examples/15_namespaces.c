/*
 * Tenants in one pool: each has keys of its own, a budget that only it can use up, and goes in one call.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <latzero/latzero.h>

static void check(int rc, const char *what)
{
	if (rc == LATZ_OK)
		return;
	fprintf(stderr, "%s: %s (%s)\n", what, latz_strerror(rc), latz_error_detail());
	exit(1);
}

static int print_one(const latz_namespace_info *info, void *arg)
{
	(void)arg;
	printf("%s: %" PRIu64 " keys in %" PRIu64 " bytes, %" PRIu64 " evicted\n", info->name, info->keys, info->bytes,
	       info->evicted);
	return 0;
}

int main(void)
{
	latz_namespace_options budget = LATZ_NAMESPACE_OPTIONS_INIT;
	latz_value value = LATZ_VALUE_INIT;
	latz_pool *pool, *alice, *bob;
	char key[32];

	check(latz_open("example-tenants", NULL, &pool), "latz_open");
	check(latz_namespace(pool, "alice", &alice), "latz_namespace");
	check(latz_namespace(pool, "bob", &bob), "latz_namespace");

	/* The same key, three values: in each namespace, and in none. */
	check(latz_set(alice, latz_str("colour"), latz_str("green"), NULL), "latz_set");
	check(latz_set(bob, latz_str("colour"), latz_str("blue"), NULL), "latz_set");
	check(latz_set(pool, latz_str("colour"), latz_str("grey"), NULL), "latz_set");
	check(latz_get(alice, latz_str("colour"), &value), "latz_get");
	printf("alice's colour is %s\n", (char *)value.data);

	/* Bob writes more than he may have: his oldest go, nobody else's. */
	budget.max_bytes = 64 << 10;
	check(latz_namespace_limits(bob, &budget), "latz_namespace_limits");
	for (int i = 0; i < 5000; i++) {
		snprintf(key, sizeof(key), "page/%d", i);
		check(latz_set(bob, latz_str(key), latz_str("some text of bob's"), NULL), "latz_set");
	}
	check(latz_namespaces(pool, print_one, NULL), "latz_namespaces");
	check(latz_exists(alice, latz_str("colour")), "latz_exists");

	/* All that bob had goes at once; who still has a handle of it is told. */
	check(latz_namespace_drop(pool, "bob"), "latz_namespace_drop");
	printf("bob's handle: %s\n", latz_strerror(latz_get(bob, latz_str("colour"), &value)));

	latz_value_free(&value);
	latz_close(alice);
	latz_close(bob);
	check(latz_close(pool), "latz_close");
	return 0;
}
