/* Samples by metric and system, and bars: what the benchmark programs share of reporting. */
#ifndef SAMPLES_H
#define SAMPLES_H

enum {
	SYSTEMS_MAX = 12,
	SAMPLES_MAX = 64
};

/* Both names must stay valid. */
void result_add(const char *metric, const char *system, double value);
double result_median(const char *metric, const char *system);                          /* NAN if there is none */
double result_range(const char *metric, const char *system, double *min, double *max); /* the median; NAN if none */

/* sense < 0: value must be at most target, > 0: at least. unit: printed after both. NAN: not run. */
void bar(const char *name, int sense, double target, const char *unit, double value);
void bars_print_counts(void);

#endif
