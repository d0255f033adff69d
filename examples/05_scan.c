/*
 * Keys in order: a prefix, a range, backwards. A scan shows the pool as it was when the scan was opened, whatever is
 * written while it runs.
 */
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

static unsigned print_all(latz_scan *scan)
{
	latz_value value = LATZ_VALUE_INIT;
	latz_slice key;
	unsigned n = 0;
	int rc;

	while ((rc = latz_scan_next(scan, &key, &value)) == LATZ_OK) {
		printf("  %.*s = %s\n", (int)key.size, (const char *)key.data, (const char *)value.data);
		n++;
	}
	if (rc != LATZ_DONE)
		check(rc, "latz_scan_next");
	latz_value_free(&value);
	check(latz_scan_close(scan), "latz_scan_close");
	return n;
}

int main(void)
{
	static const char *const cities[][2] = {
		{ "city/de/berlin", "3.7M" }, { "city/fr/paris", "2.1M" },  { "city/de/hamburg", "1.9M" },
		{ "city/it/rome", "2.8M" },   { "city/de/munich", "1.5M" }, { "river/de/elbe", "1094 km" },
	};
	latz_scan_options options = LATZ_SCAN_OPTIONS_INIT;
	latz_scan *before;
	latz_pool *pool;
	latz_scan *scan;

	check(latz_open("atlas", NULL, &pool), "latz_open");
	for (size_t i = 0; i < sizeof(cities) / sizeof(cities[0]); i++)
		check(latz_set(pool, latz_str(cities[i][0]), latz_str(cities[i][1]), NULL), "latz_set");

	puts("by prefix city/de/:");
	options.prefix = latz_str("city/de/");
	check(latz_scan_open(pool, &options, &scan), "latz_scan_open");
	print_all(scan);

	puts("from city/f up to (not including) river, last first, at most two:");
	options = (latz_scan_options)LATZ_SCAN_OPTIONS_INIT;
	options.from = latz_str("city/f");
	options.to = latz_str("river");
	options.reverse = 1;
	options.limit = 2;
	check(latz_scan_open(pool, &options, &scan), "latz_scan_open");
	print_all(scan);

	puts("everything, as it was before all of it was deleted:");
	check(latz_scan_open(pool, NULL, &before), "latz_scan_open");
	check(latz_clear(pool), "latz_clear");
	if (print_all(before) != sizeof(cities) / sizeof(cities[0]))
		return 1;
	puts("and as it is now:");
	check(latz_scan_open(pool, NULL, &scan), "latz_scan_open");
	if (print_all(scan) != 0)
		return 1;
	check(latz_close(pool), "latz_close");
	return 0;
}
