/*
 * The demo's data: the machine's package database, one record a package, and values that can be checked.
 */
#ifndef DEMO_PACKAGES_H
#define DEMO_PACKAGES_H

#include <stddef.h>
#include <stdint.h>

struct demo_package {
	char *key;          /* "pkg/NAME", or "pkg/NAME:ARCH" for the second of a name */
	const char *stanza; /* its part of the file, with the last newline */
	size_t size;
};

struct demo_packages {
	char *text; /* the whole file */
	struct demo_package *items;
	size_t count;
};

/* Reads a file in the form of /var/lib/dpkg/status. 0, or -1 with a message on stderr. */
int demo_packages_read(const char *path, struct demo_packages *packages);

/* What a value is: the stanza, and a line that names who wrote it for the how-manieth time, with a checksum of key,
 * stanza and those two numbers. So a mixture of two values, or the value of another key, is recognised. */
size_t demo_value_max(const struct demo_package *package);
size_t demo_value_make(const struct demo_package *package, unsigned writer, uint64_t count, char *value);

/* 0 and who wrote it when, or -1 if it is not a whole value of this package. */
int demo_value_check(const struct demo_package *package, const char *value, size_t size, unsigned *writer,
                     uint64_t *count);

uint64_t demo_now_ns(void);

#endif
