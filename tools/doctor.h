/*
 * What the checks of latzero doctor report through.
 */
#ifndef LATZERO_TOOLS_DOCTOR_H
#define LATZERO_TOOLS_DOCTOR_H

#include "cli.h"

enum doctor_level {
	DOCTOR_OK,
	DOCTOR_WARN,
	DOCTOR_FAIL
};

/* One line: what was looked at, what was found, and what to do (NULL if nothing). */
void doctor_report(enum doctor_level level, const char *check, const char *remedy, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* The first line of a file without its newline; false if it can't be read. */
bool doctor_read_line(const char *path, char *line, size_t size);

/* Tries the kernel features the library rests on, with scratch files in dir, which exists. */
void doctor_check_kernel(const char *dir);

#endif
