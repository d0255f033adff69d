/*
 * latzero: shared counters. Part of <latzero/latzero.h>, which includes it.
 */
#ifndef LATZERO_COUNTER_H
#define LATZERO_COUNTER_H

#include <latzero/latzero.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Counters, gauges and histograms of an application that live in the pool: any process adds, none waits for another,
 * and what a process has added stays when it ends or dies. They are not durable: a restart begins at 0. */
typedef struct latz_counter latz_counter;

typedef enum latz_counter_kind {
	LATZ_COUNTER,  /* only grows */
	LATZ_GAUGE,    /* goes up and down */
	LATZ_HISTOGRAM /* counts values by size, each power of two in 8 parts, up to 2^46 */
} latz_counter_kind;

/* Set size to sizeof(latz_counter_options). */
typedef struct latz_counter_options {
	size_t size;
	latz_counter_kind kind;
	const char *help; /* a line for people, at most 127 bytes; NULL: none */
	double scale;     /* what 1 is in the base unit that the name tells: 1e-9 for nanoseconds in a name that ends in
	                     _seconds; 0: 1. For who shows it */
} latz_counter_options;

#define LATZ_COUNTER_OPTIONS_INIT { sizeof(latz_counter_options), LATZ_COUNTER, NULL, 0 }

#define LATZ_COUNTER_POWERS 43

typedef struct latz_counter_info {
	size_t size; /* set it first */
	char name[64], help[128];
	latz_counter_kind kind;
	double scale;
	int64_t value;             /* of a counter or gauge */
	uint64_t count, sum;       /* of a histogram, as all that follow: values recorded, their sum */
	uint64_t p50, p99, p999;   /* to 12.5 %, rounded up */
	uint64_t max;              /* exactly */
	uint64_t below[LATZ_COUNTER_POWERS]; /* [k]: values less than 2^(k+3) */
} latz_counter_info;

/* Finds the pool's counter of that name, or makes it. name: a letter, _ or :, then those and digits, at most 63 bytes;
 * those that begin with latzero_ are the library's, which can be opened to be read. options NULL: a counter. help and
 * scale are those of whoever made it. The pool's handle must outlive *counter, which any thread may use. A pool has
 * room for 512, among them at most 61 histograms. Errors: LATZ_INVALID; LATZ_TYPE: it is there and of another kind;
 * LATZ_NOTFOUND: the name begins with latzero_ and the library has none such; LATZ_READONLY: the pool's handle only
 * reads, and there is none; LATZ_FULL; LATZ_NOSPC; LATZ_NOMEM; LATZ_TIMEOUT; LATZ_DEAD; LATZ_CORRUPT. */
LATZ_API int latz_counter_open(latz_pool *pool, const char *name, const latz_counter_options *options,
                               latz_counter **counter) LATZ_MUSTCHECK;

/* Adds. A thread's first time may allocate a page and wait for others who do; no other time waits. Errors: LATZ_INVALID
 * (a counter, and by is negative), LATZ_TYPE (a histogram), LATZ_NOSPC, LATZ_TIMEOUT, LATZ_DEAD. */
LATZ_API int latz_counter_add(latz_counter *counter, int64_t by);

/* Makes a gauge `value`; what others add at the same time may come before or after it. Errors: LATZ_TYPE (no gauge),
 * LATZ_TIMEOUT, LATZ_DEAD. */
LATZ_API int latz_counter_set(latz_counter *counter, int64_t value);

/* Counts a value in a histogram. Waits and fails as latz_counter_add(). */
LATZ_API int latz_counter_record(latz_counter *counter, uint64_t value);

/* The sum over all that ever added: everything that was added before the call, perhaps some that is added meanwhile. */
LATZ_API int latz_counter_read(latz_counter *counter, latz_counter_info *info) LATZ_MUSTCHECK;

/* Frees the handle; the counter stays in the pool. NULL is LATZ_INVALID. */
LATZ_API int latz_counter_close(latz_counter *counter);

typedef int (*latz_counter_fn)(const latz_counter_info *info, void *arg);

/* Calls fn for each of the pool's counters, in the order they were made; a non-zero return stops and is returned. */
LATZ_API int latz_counters(latz_pool *pool, latz_counter_fn fn, void *arg) LATZ_MUSTCHECK;

#ifdef __cplusplus
}
#endif

#endif
