/*
 * Reads the package database and makes values that can be checked.
 */
#define _GNU_SOURCE 1
#include "demo_packages.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static char *read_file(const char *path, size_t *size)
{
	size_t capacity = 1 << 20;
	char *text = malloc(capacity);
	FILE *file = fopen(path, "r");

	*size = 0;
	if (file == NULL || text == NULL) {
		perror(path);
		exit(1);
	}
	size_t got;
	while ((got = fread(text + *size, 1, capacity - *size - 1, file)) > 0) {
		*size += got;
		if (capacity - *size < 2) {
			capacity *= 2;
			text = realloc(text, capacity);
			if (text == NULL)
				exit(1);
		}
	}
	fclose(file);
	text[*size] = '\0';
	return text;
}

/* The value of "Field: value" in a stanza; its length in *size. */
static const char *find_field(const char *stanza, size_t stanza_size, const char *field, size_t *size)
{
	size_t name_size = strlen(field);

	for (const char *line = stanza; line < stanza + stanza_size;) {
		const char *end = memchr(line, '\n', (size_t)(stanza + stanza_size - line));
		if (end == NULL)
			end = stanza + stanza_size;
		if ((size_t)(end - line) > name_size + 2 && memcmp(line, field, name_size) == 0 &&
		    line[name_size] == ':') {
			line += name_size + 1;
			while (*line == ' ')
				line++;
			*size = (size_t)(end - line);
			return line;
		}
		line = end + 1;
	}
	return NULL;
}

static int compare_keys(const void *a, const void *b)
{
	return strcmp(((const struct demo_package *)a)->key, ((const struct demo_package *)b)->key);
}

static void add_package(struct demo_packages *packages, const char *stanza, size_t size)
{
	size_t name_size;
	const char *name = find_field(stanza, size, "Package", &name_size);

	if (name == NULL)
		return;
	if ((packages->count & 1023) == 0) {
		packages->items = realloc(packages->items, (packages->count + 1024) * sizeof(*packages->items));
		if (packages->items == NULL)
			exit(1);
	}
	struct demo_package *package = &packages->items[packages->count++];
	package->stanza = stanza;
	package->size = size;
	package->key = malloc(name_size + 5);
	if (package->key == NULL)
		exit(1);
	snprintf(package->key, name_size + 5, "pkg/%.*s", (int)name_size, name);
}

/* A name may be there once for each architecture. */
static void tell_apart(struct demo_packages *packages)
{
	const char *previous = "";

	qsort(packages->items, packages->count, sizeof(*packages->items), compare_keys);
	for (size_t i = 0; i < packages->count; i++) {
		struct demo_package *package = &packages->items[i];
		size_t arch_size, key_size = strlen(package->key);
		const char *arch = find_field(package->stanza, package->size, "Architecture", &arch_size);
		if (strcmp(package->key, previous) != 0 || arch == NULL) {
			previous = package->key;
			continue;
		}
		char *key = malloc(key_size + arch_size + 2);
		if (key == NULL)
			exit(1);
		snprintf(key, key_size + arch_size + 2, "%s:%.*s", package->key, (int)arch_size, arch);
		free(package->key);
		package->key = key;
	}
	qsort(packages->items, packages->count, sizeof(*packages->items), compare_keys);
}

int demo_packages_read(const char *path, struct demo_packages *packages)
{
	size_t size;

	memset(packages, 0, sizeof(*packages));
	packages->text = read_file(path, &size);
	for (const char *stanza = packages->text; *stanza != '\0';) {
		const char *end = strstr(stanza, "\n\n");
		size_t stanza_size = end != NULL ? (size_t)(end + 1 - stanza) : strlen(stanza);
		add_package(packages, stanza, stanza_size);
		stanza += stanza_size;
		while (*stanza == '\n')
			stanza++;
	}
	if (packages->count == 0) {
		fprintf(stderr, "%s: no packages in it\n", path);
		return -1;
	}
	tell_apart(packages);
	return 0;
}

static uint64_t checksum(uint64_t sum, const void *data, size_t size)
{
	const unsigned char *bytes = data;

	for (size_t i = 0; i < size; i++)
		sum = (sum ^ bytes[i]) * UINT64_C(0x100000001b3);
	return sum;
}

static uint64_t value_sum(const struct demo_package *package, const char *stanza, unsigned writer, uint64_t count)
{
	uint64_t numbers[2] = { writer, count };
	uint64_t sum = checksum(UINT64_C(0xcbf29ce484222325), package->key, strlen(package->key));

	return checksum(checksum(sum, stanza, package->size), numbers, sizeof(numbers));
}

size_t demo_value_max(const struct demo_package *package)
{
	return package->size + 80;
}

size_t demo_value_make(const struct demo_package *package, unsigned writer, uint64_t count, char *value)
{
	memcpy(value, package->stanza, package->size);
	return package->size + (size_t)snprintf(value + package->size, 80,
	                                        "Demo-Write: %u %" PRIu64 " %016" PRIx64 "\n", writer, count,
	                                        value_sum(package, package->stanza, writer, count));
}

int demo_value_check(const struct demo_package *package, const char *value, size_t size, unsigned *writer,
                     uint64_t *count)
{
	uint64_t sum;
	char line[81];

	if (size <= package->size || size - package->size > 80 || memcmp(value, package->stanza, package->size) != 0)
		return -1;
	memcpy(line, value + package->size, size - package->size);
	line[size - package->size] = '\0';
	if (sscanf(line, "Demo-Write: %u %" SCNu64 " %" SCNx64, writer, count, &sum) != 3)
		return -1;
	return sum == value_sum(package, value, *writer, *count) ? 0 : -1;
}

uint64_t demo_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
