/*
 * What every test program starts with: the public header, the usual system headers, and checks that work outside
 * cmocka (in children, threads and plain programs): CHECK prints where and why and ends the process with status 1.
 */
#ifndef TESTS_LIB_BASE_H
#define TESTS_LIB_BASE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <latzero/latzero.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* Called by check_failed() before it ends the process; tempdir.c takes its directories away there. */
extern void (*check_cleanup)(void);

/* Prints file, line, the message, the library's error detail; _exit(1). */
void check_failed(const char *file, int line, const char *format, ...) __attribute__((noreturn, format(printf, 3, 4)));

#define CHECK(cond) \
	do { \
		if (!(cond)) \
			check_failed(__FILE__, __LINE__, "%s", #cond); \
	} while (0)

#define CHECK_RC(want, call) \
	do { \
		int check_rc_ = (call); \
		if (check_rc_ != (want)) \
			check_failed(__FILE__, __LINE__, "%s: %s, expected %s", #call, latz_strerror(check_rc_), \
			             latz_strerror(want)); \
	} while (0)

#define CHECK_OK(call) CHECK_RC(LATZ_OK, call)

/* Monotonic clock. */
uint64_t clock_ns(void);
void sleep_ms(unsigned ms);

/* malloc and realloc that end the process instead of failing. */
void *check_alloc(size_t size);
void *check_realloc(void *old, size_t size);

/* A whole file, with a NUL behind it, to be freed; and one made, or made anew. */
void *file_read(const char *path, size_t *ret_size);
void file_write(const char *path, const void *data, size_t size);

/* A number from the environment, or the default when it is not set. */
uint64_t env_number(const char *name, uint64_t fallback);

/* A slice of given bytes. */
latz_slice slice(const void *data, size_t size);

/* Opens `name` in `dir` with flags; ends the process when it fails. */
/* With LATZ_TEST_ENCRYPT in the environment: a password, and encryption, so that whole suites run over such pools. */
void lock_options(latz_options *options);
/* That such a pool's values take more than others'. */
size_t sealed_bytes(void);
latz_pool *must_open(const char *dir, const char *name, unsigned flags);

/* latz_verify that prints what it found; the result of latz_verify. */
int verify_print(latz_pool *pool);

#endif
