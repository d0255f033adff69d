/*
 * For tests of the tool: counters in a pool of $LATZERO_DIR. Usage: make_counters POOL KIND NAME SCALE VALUE..., again
 * and again from KIND on, "/" between; KIND: counter, gauge or histogram, which records each of the values.
 */
#include "lib/base.h"

static latz_counter_kind kind_of(const char *name)
{
	return name[0] == 'c' ? LATZ_COUNTER : name[0] == 'g' ? LATZ_GAUGE : LATZ_HISTOGRAM;
}

int main(int argc, char **argv)
{
	latz_pool *pool;
	int i = 2;

	CHECK(argc > 4);
	CHECK_OK(latz_open(argv[1], NULL, &pool));
	while (i + 2 < argc) {
		latz_counter_options options = LATZ_COUNTER_OPTIONS_INIT;
		latz_counter *counter;

		options.kind = kind_of(argv[i]);
		options.scale = strtod(argv[i + 2], NULL);
		CHECK_OK(latz_counter_open(pool, argv[i + 1], &options, &counter));
		for (i += 3; i < argc && strcmp(argv[i], "/") != 0; i++) {
			if (options.kind == LATZ_HISTOGRAM)
				CHECK_OK(latz_counter_record(counter, strtoull(argv[i], NULL, 10)));
			else
				CHECK_OK(latz_counter_add(counter, strtoll(argv[i], NULL, 10)));
		}
		i++;
		CHECK_OK(latz_counter_close(counter));
	}
	CHECK_OK(latz_close(pool));
	return 0;
}
