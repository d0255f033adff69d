/*
 * A latency histogram of fixed size: each power of two is cut into 16 equal parts, so that a value is known to 6.25%.
 * Recording is one increment. A histogram has one writer at a time; others may read it meanwhile and see it a little
 * older in places.
 */
#ifndef LZI_BASE_HISTOGRAM_H
#define LZI_BASE_HISTOGRAM_H

#include <stdint.h>

#include "base/atomic.h"

enum {
	LZI_HISTOGRAM_PARTS = 16,
	LZI_HISTOGRAM_BUCKETS = 64 * LZI_HISTOGRAM_PARTS /* 61 x 16 are used: values below 16 share one set */
};

/* Begins as all zeroes. */
typedef struct lzi_histogram {
	uint64_t counts[LZI_HISTOGRAM_BUCKETS];
	uint64_t total;
	uint64_t max;
} lzi_histogram;

/* Values below 16 have a bucket each; from there on, power and upper four bits below the leading one. */
static inline unsigned lzi_histogram_bucket(uint64_t value)
{
	unsigned power;

	if (value < LZI_HISTOGRAM_PARTS)
		return (unsigned)value;
	power = 63 - (unsigned)__builtin_clzll(value);
	return (power - 3) * LZI_HISTOGRAM_PARTS + (unsigned)((value >> (power - 4)) & (LZI_HISTOGRAM_PARTS - 1));
}

static inline void lzi_histogram_record(lzi_histogram *h, uint64_t ns)
{
	lzi_bump_relaxed(&h->counts[lzi_histogram_bucket(ns)], 1);
	lzi_bump_relaxed(&h->total, 1);
	if (ns > lzi_load_relaxed(&h->max))
		lzi_store_relaxed(&h->max, ns);
}

/* The value that p percent (0 to 100) of the recorded ones do not exceed, rounded up to its bucket's end but never
 * above the largest one recorded. 0 if nothing was recorded. */
uint64_t lzi_histogram_percentile(const lzi_histogram *h, double p);

/* The largest value recorded, exactly. */
uint64_t lzi_histogram_max(const lzi_histogram *h);

/* Adds what `from` has recorded to `to`. */
void lzi_histogram_merge(lzi_histogram *to, const lzi_histogram *from);

#endif
