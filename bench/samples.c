/*
 * The benchmarks' results: samples by metric and system, and the bars: whether a figure is what it has to be. A figure
 * that was not measured is "not run", never guessed.
 */
#define _GNU_SOURCE
#include "samples.h"
#include "bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	METRICS_MAX = 96
};

struct samples {
	const char *metric, *system;
	unsigned count;
	double values[SAMPLES_MAX];
};

static struct samples table[METRICS_MAX * SYSTEMS_MAX];
static unsigned table_count;

static struct samples *samples_find(const char *metric, const char *system)
{
	for (unsigned i = 0; i < table_count; i++)
		if (strcmp(table[i].metric, metric) == 0 && strcmp(table[i].system, system) == 0)
			return &table[i];
	return NULL;
}

void result_add(const char *metric, const char *system, double value)
{
	struct samples *s = samples_find(metric, system);
	if (s == NULL) {
		if (table_count == sizeof(table) / sizeof(table[0]))
			bench_fail("too many metrics");
		s = &table[table_count++];
		s->metric = metric;
		s->system = system;
	}
	if (s->count < SAMPLES_MAX)
		s->values[s->count++] = value;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

double result_range(const char *metric, const char *system, double *min, double *max)
{
	struct samples *s = samples_find(metric, system);
	if (s == NULL)
		return NAN;
	double sorted[SAMPLES_MAX];
	memcpy(sorted, s->values, s->count * sizeof(sorted[0]));
	qsort(sorted, s->count, sizeof(sorted[0]), by_value);
	*min = sorted[0];
	*max = sorted[s->count - 1];
	return s->count % 2 ? sorted[s->count / 2] : (sorted[s->count / 2 - 1] + sorted[s->count / 2]) / 2;
}

double result_median(const char *metric, const char *system)
{
	double min, max;
	return result_range(metric, system, &min, &max);
}

/* ---- Bars ---- */

static unsigned bars_met, bars_missed, bars_not_run;

void bar(const char *name, int sense, double target, const char *unit, double value)
{
	printf("  %-58s %s %7.2f%-3s ", name, sense < 0 ? "<=" : ">=", target, unit);
	if (isnan(value)) {
		printf("%10s     not run\n", "-");
		bars_not_run++;
		return;
	}
	int met = sense < 0 ? value <= target : value >= target;
	printf("%10.*f%-3s  %s\n", unit[0] == 'x' ? 3 : 1, value, unit, met ? "met" : "MISSED");
	*(met ? &bars_met : &bars_missed) += 1;
}

void bars_print_counts(void)
{
	printf("  %u met, %u missed, %u not run\n", bars_met, bars_missed, bars_not_run);
}
