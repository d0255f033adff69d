/*
 * The figures of latzero stats, as its ways of showing them take them.
 */
#ifndef LATZERO_TOOLS_STATS_H
#define LATZERO_TOOLS_STATS_H

#include "cli.h"

enum stats_kind {
	STATS_COUNT,  /* only grows */
	STATS_LEVEL,  /* goes up and down */
	STATS_MILLIS, /* a level, in milliseconds; Prometheus: in seconds, as the next two */
	STATS_NANOS,  /* a level, in nanoseconds */
	STATS_SPENT,  /* nanoseconds that only grow */
	STATS_EVICTED /* only grows; Prometheus: latzero_evictions_total, with the reason as a label */
};

enum stats_width {
	STATS_U64,
	STATS_I64,
	STATS_UNSIGNED,
	STATS_INT
};

struct stats_figure {
	const char *name; /* as in latz_stats_t */
	const char *help; /* STATS_EVICTED: the reason */
	enum stats_kind kind;
	enum stats_width width;
	size_t at;
};

extern const struct stats_figure stats_figures[];
extern const size_t stats_figures_count;

int64_t stats_value(const latz_stats_t *stats, const struct stats_figure *figure);

/* Everything, as text that Prometheus reads. */
int stats_prometheus(const char *name, latz_pool *pool, const latz_stats_t *stats);

#endif
