/*
 * demo_load POOL FILE: writes each package of the database under its name, reads all of them back and compares.
 */
#define _GNU_SOURCE 1
#include "demo_packages.h"

#include <latzero/latzero.h>
#include <stdio.h>
#include <stdlib.h>

static int fail(int rc, const char *what)
{
	fprintf(stderr, "demo_load: %s: %s (%s)\n", what, latz_strerror(rc), latz_error_detail());
	return 1;
}

int main(int argc, char **argv)
{
	latz_options options = LATZ_OPTIONS_INIT;
	latz_set_options text = LATZ_SET_OPTIONS_INIT;
	struct demo_packages packages;
	latz_value value = LATZ_VALUE_INIT;
	latz_pool *pool;
	size_t bytes = 0, wrong = 0;
	unsigned writer;
	uint64_t count;

	if (argc != 3 || demo_packages_read(argv[2], &packages) != 0)
		return 2;
	options.flags = 0;
	text.type = LATZ_STRING;
	int rc = latz_open(argv[1], &options, &pool);
	if (rc != LATZ_OK)
		return fail(rc, "latz_open");

	uint64_t began_ns = demo_now_ns();
	for (size_t i = 0; i < packages.count; i++) {
		const struct demo_package *package = &packages.items[i];
		char *buffer = malloc(demo_value_max(package));
		if (buffer == NULL)
			return 1;
		size_t size = demo_value_make(package, 0, 0, buffer);
		rc = latz_set(pool, latz_str(package->key), (latz_slice){ buffer, size }, &text);
		free(buffer);
		if (rc != LATZ_OK)
			return fail(rc, package->key);
		bytes += size;
	}
	uint64_t written_ns = demo_now_ns();
	for (size_t i = 0; i < packages.count; i++) {
		const struct demo_package *package = &packages.items[i];
		rc = latz_get(pool, latz_str(package->key), &value);
		if (rc != LATZ_OK || demo_value_check(package, value.data, value.size, &writer, &count) != 0)
			wrong++;
	}
	uint64_t read_ns = demo_now_ns();
	latz_value_free(&value);

	double write_s = (double)(written_ns - began_ns) / 1e9, read_s = (double)(read_ns - written_ns) / 1e9;
	printf("  %zu packages, %.1f KiB, from %s\n", packages.count, (double)bytes / 1024, argv[2]);
	printf("  written one by one in %.2f ms: %.2f us each, value and checksum made included\n", write_s * 1e3,
	       write_s * 1e6 / (double)packages.count);
	printf("  read back and compared in %.2f ms: %.2f us each; %zu wrong\n", read_s * 1e3,
	       read_s * 1e6 / (double)packages.count, wrong);
	rc = latz_close(pool);
	if (rc != LATZ_OK)
		return fail(rc, "latz_close");
	return wrong == 0 ? 0 : 1;
}
