/*
 * Many keys in one call: latz_mset and latz_mget cost a fraction of as many single calls, since the waits for memory
 * overlap.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <latzero/latzero.h>

#define KEYS 100000
#define BATCH 100

static char names[KEYS][16];

static void check(int rc, const char *what)
{
	if (rc == LATZ_OK)
		return;
	fprintf(stderr, "%s: %s (%s)\n", what, latz_strerror(rc), latz_error_detail());
	exit(1);
}

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void report(const char *what, double start)
{
	printf("%-22s %6.0f ns a key\n", what, (now_ns() - start) / KEYS);
}

int main(void)
{
	latz_item items[BATCH];
	latz_slice keys[BATCH];
	latz_value values[BATCH] = { LATZ_VALUE_INIT }, value = LATZ_VALUE_INIT;
	int results[BATCH];
	unsigned missing = 0;
	latz_pool *pool;
	double start;

	check(latz_open("batches", NULL, &pool), "latz_open");
	for (unsigned i = 0; i < KEYS; i++)
		snprintf(names[i], sizeof(names[i]), "key-%u", i);

	start = now_ns();
	for (unsigned i = 0; i < KEYS; i += BATCH) {
		for (unsigned j = 0; j < BATCH; j++)
			items[j] = (latz_item){ latz_str(names[i + j]), latz_str("some value of some bytes") };
		check(latz_mset(pool, items, BATCH, NULL), "latz_mset");
	}
	report("set, 100 in a call", start);

	start = now_ns();
	for (unsigned i = 0; i < KEYS; i++)
		check(latz_get(pool, latz_str(names[i * 7919ul % KEYS]), &value), "latz_get");
	report("get, one in a call", start);

	start = now_ns();
	for (unsigned i = 0; i < KEYS; i += BATCH) {
		for (unsigned j = 0; j < BATCH; j++)
			keys[j] = latz_str(names[(i + j) * 7919ul % KEYS]);
		check(latz_mget(pool, keys, BATCH, values, results), "latz_mget");
		for (unsigned j = 0; j < BATCH; j++)
			missing += results[j] != LATZ_OK;
	}
	report("get, 100 in a call", start);

	for (unsigned j = 0; j < BATCH; j++)
		latz_value_free(&values[j]);
	latz_value_free(&value);
	check(latz_close(pool), "latz_close");
	return missing != 0;
}
