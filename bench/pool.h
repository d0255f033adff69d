/*
 * For the benchmarks that call latzero alone: a call that must go well.
 */
#ifndef BENCH_POOL_H
#define BENCH_POOL_H

#include <latzero/latzero.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"

static inline void check(int rc, const char *what)
{
	if (rc == LATZ_OK)
		return;
	fprintf(stderr, "%s: %s (%s)\n", what, latz_strerror(rc), latz_error_detail());
	exit(1);
}

#endif
