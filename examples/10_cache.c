/*
 * A cache that never takes more than it is given: read-through, in a pool with a bound. What is asked for again stays,
 * the rest makes room. Any process that opens the pool shares it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <latzero/latzero.h>

static void check(int rc, const char *what)
{
	if (rc == LATZ_OK)
		return;
	fprintf(stderr, "%s: %s (%s)\n", what, latz_strerror(rc), latz_error_detail());
	exit(1);
}

/* What takes long: here it just makes a page of text. */
static size_t render(int page, char *text, size_t size)
{
	size_t length = (size_t)snprintf(text, size, "page %d\n", page);

	memset(text + length, '.', size - length);
	return size;
}

/* From the cache, or made and put there. A cache that is in trouble is no reason to fail. */
static void read_page(latz_pool *pool, int page, latz_value *value)
{
	static char text[4000];
	char key[32];

	snprintf(key, sizeof(key), "page/%d", page);
	if (latz_get(pool, latz_str(key), value) == LATZ_OK)
		return;
	size_t size = render(page, text, sizeof(text));
	int rc = latz_set(pool, latz_str(key), (latz_slice){ text, size }, NULL);
	if (rc != LATZ_OK)
		fprintf(stderr, "not cached: %s\n", latz_strerror(rc));
}

static void print_figures(latz_pool *pool, const char *when)
{
	latz_stats_t stats = { .size = sizeof(stats) };

	check(latz_stats(pool, &stats), "latz_stats");
	printf("%s: %" PRIu64 " keys in %" PRIu64 " of %" PRIu64 " KiB, %" PRIu64 " of %" PRIu64
	       " gets were hits, %" PRIu64 " evicted\n",
	       when, stats.keys, stats.file_bytes / 1024, stats.max_bytes / 1024, stats.hits, stats.gets,
	       stats.evicted);
}

int main(void)
{
	latz_options options = LATZ_OPTIONS_INIT;
	latz_limits limits = LATZ_LIMITS_INIT;
	latz_value value = LATZ_VALUE_INIT;
	latz_pool *pool;

	options.max_bytes = 8 << 20;
	check(latz_open("pages", &options, &pool), "latz_open");
	/* Ten times as many pages as there is room for; some are read far more often than others. */
	srand(1);
	for (int i = 0; i < 50000; i++)
		read_page(pool, rand() % (1 + rand() % 20000), &value);
	print_figures(pool, "8 MiB ");

	/* The pool can be given more, or less, while it is used. */
	limits.max_bytes = 32 << 20;
	check(latz_limit(pool, &limits), "latz_limit");
	for (int i = 0; i < 50000; i++)
		read_page(pool, rand() % (1 + rand() % 20000), &value);
	print_figures(pool, "32 MiB");

	latz_value_free(&value);
	check(latz_close(pool), "latz_close");
	return 0;
}
