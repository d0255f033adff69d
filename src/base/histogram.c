/*
 * Reading latency histograms. The counts are read one by one while their writer may go on, so the sum is taken from
 * the counts themselves and not from `total`: a percentile then always exists among them.
 */
#include "config.h"

#include "base/histogram.h"

/* The largest value that falls into a bucket. */
static uint64_t bucket_end(unsigned bucket)
{
	unsigned power, part;

	if (bucket < LZI_HISTOGRAM_PARTS)
		return bucket;
	power = bucket / LZI_HISTOGRAM_PARTS + 3;
	part = bucket % LZI_HISTOGRAM_PARTS;
	if (power > 63)
		return UINT64_MAX;
	return ((uint64_t)(LZI_HISTOGRAM_PARTS + part) << (power - 4)) + (((uint64_t)1 << (power - 4)) - 1);
}

uint64_t lzi_histogram_percentile(const lzi_histogram *h, double p)
{
	uint64_t total = 0, seen = 0, wanted, max = lzi_load_relaxed(&h->max);
	double exact;

	for (unsigned i = 0; i < LZI_HISTOGRAM_BUCKETS; i++)
		total += lzi_load_relaxed(&h->counts[i]);
	if (total == 0)
		return 0;
	/* The tolerance keeps 99.9% of 1000 at 999: the product is a hair above it in binary. */
	exact = p / 100.0 * (double)total - 1e-6;
	wanted = exact <= 0.0 ? 1 : (uint64_t)exact;
	if ((double)wanted < exact)
		wanted++;
	if (wanted > total)
		wanted = total;
	for (unsigned i = 0; i < LZI_HISTOGRAM_BUCKETS; i++) {
		seen += lzi_load_relaxed(&h->counts[i]);
		if (seen >= wanted)
			return bucket_end(i) < max ? bucket_end(i) : max;
	}
	return max;
}

uint64_t lzi_histogram_max(const lzi_histogram *h)
{
	return lzi_load_relaxed(&h->max);
}

void lzi_histogram_merge(lzi_histogram *to, const lzi_histogram *from)
{
	uint64_t max = lzi_load_relaxed(&from->max);

	for (unsigned i = 0; i < LZI_HISTOGRAM_BUCKETS; i++) {
		uint64_t count = lzi_load_relaxed(&from->counts[i]);

		lzi_bump_relaxed(&to->counts[i], count);
		lzi_bump_relaxed(&to->total, count);
	}
	if (max > to->max)
		lzi_store_relaxed(&to->max, max);
}
