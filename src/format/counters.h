/*
 * The file `counters`: what counters, gauges and histograms of a pool are called, and the cells their parts are in. No
 * I/O. doc/format.md lists the same fields in the same order; doc/together.md says why.
 *
 * Entries, then a table for each thread slot, then pages of cells. A thread's table says which page of the file is its
 * n-th page of cells, 0: none yet. So what a counter takes is a page for each thread that uses one of its page.
 */
#ifndef LZI_FORMAT_COUNTERS_H
#define LZI_FORMAT_COUNTERS_H

#include <stddef.h>
#include <stdint.h>

#include "base/mutex.h"

#define LZI_COUNTERS_MAX 512u
#define LZI_COUNTER_NAME 64u
#define LZI_COUNTER_HELP 128u
#define LZI_COUNTER_PAGES 64u       /* of cells, a thread */
#define LZI_COUNTER_PAGE_CELLS 512u /* of 8 bytes */
#define LZI_COUNTER_CELLS (LZI_COUNTER_PAGES * LZI_COUNTER_PAGE_CELLS)
#define LZI_COUNTER_FILE_PAGES (1u << 24) /* there are never more */

/* A histogram's cells: each power of two is cut into 8 equal parts, up to 2^46; then the sum and the largest value. */
#define LZI_COUNTER_PARTS 8u
#define LZI_COUNTER_POWERS 44u
#define LZI_COUNTER_BUCKETS (LZI_COUNTER_PARTS * LZI_COUNTER_POWERS)
#define LZI_COUNTER_SUM LZI_COUNTER_BUCKETS
#define LZI_COUNTER_MAX (LZI_COUNTER_BUCKETS + 1)
#define LZI_COUNTER_SPAN (LZI_COUNTER_BUCKETS + 2)

struct lzi_counter_entry {
	char name[LZI_COUNTER_NAME]; /* 0: NUL-terminated, as is the next. Written once, before `count` has it */
	char help[LZI_COUNTER_HELP]; /* 64 */
	uint32_t kind;               /* 192: latz_counter_kind */
	uint32_t cell;               /* 196: the first of its cells, which are within a page */
	double scale;                /* 200: of one unit in the base unit */
	int64_t base;                /* 208: of a gauge: what is added to its cells. Holder of `mutex` */
	uint64_t pad[5];
};
_Static_assert(sizeof(struct lzi_counter_entry) == 256, "layout");
_Static_assert(offsetof(struct lzi_counter_entry, base) == 208, "layout");

#define LZI_COUNTER_TABLES_AT (LZI_COUNTERS_MAX * sizeof(struct lzi_counter_entry))
#define LZI_COUNTER_TABLE (LZI_COUNTER_PAGES * 4u)

/* In the control file. Writer: the holder of `mutex`, each word when what it counts is there. Its death leaves nothing:
 * which cells and pages are taken is seen from entries and tables. */
struct lzi_counters {
	struct lzi_mutex mutex;
	uint32_t count;   /* 64: entries */
	uint32_t room;    /* 68: entries that have blocks */
	uint32_t tables;  /* 72: that have blocks; 0: there is no file yet */
	uint8_t pad[52];
};
_Static_assert(sizeof(struct lzi_counters) == 128, "layout");

static inline unsigned lzi_counter_bucket(uint64_t value)
{
	unsigned power, bucket;

	if (value < LZI_COUNTER_PARTS)
		return (unsigned)value;
	power = 63 - (unsigned)__builtin_clzll(value);
	bucket = (power - 2) * LZI_COUNTER_PARTS + (unsigned)(value >> (power - 3) & (LZI_COUNTER_PARTS - 1));
	return bucket < LZI_COUNTER_BUCKETS ? bucket : LZI_COUNTER_BUCKETS - 1;
}

/* The largest value that falls into a bucket, but for the last, which has no end. */
static inline uint64_t lzi_counter_bucket_end(unsigned bucket)
{
	unsigned power = bucket / LZI_COUNTER_PARTS + 2;

	if (bucket < LZI_COUNTER_PARTS)
		return bucket;
	return ((uint64_t)(LZI_COUNTER_PARTS + bucket % LZI_COUNTER_PARTS + 1) << (power - 3)) - 1;
}

#endif
