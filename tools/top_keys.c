/*
 * latzero top --keys: which keys most gets ask for.
 */
#include "top.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

struct hot {
	struct cli_table *table;
	const char *pool;
	unsigned count;
};

static int print_key(latz_slice key, double share, void *arg)
{
	struct hot *hot = arg;

	hot->count++;
	if (cli.json) {
		cli_json_begin(NULL, '{');
		cli_json_text("pool", hot->pool);
		cli_json_bytes("key", key.data, key.size);
		cli_json_double("share", share);
		cli_json_end('}');
	} else {
		char *text = NULL;
		size_t size;
		FILE *file = open_memstream(&text, &size);

		if (file == NULL)
			return LATZ_NOMEM;
		cli_write_escaped(file, key.data, key.size);
		fclose(file);
		cli_table_cell(hot->table, "%.2f", share * 100);
		cli_table_cell(hot->table, "%s", text);
		free(text);
	}
	return 0;
}

/* A pool that is not sampled is for a while. */
static int watch(latz_pool *pool, int64_t interval_ms, latz_advise_options *options)
{
	struct timespec left = { .tv_sec = (time_t)(interval_ms / 1000),
		                 .tv_nsec = (long)(interval_ms % 1000) * 1000000 };
	latz_advice_t advice = { .size = sizeof(advice) };
	int rc = latz_advise(pool, options, NULL, NULL, &advice);

	if (rc != LATZ_OK || advice.running)
		return rc;
	options->flags = LATZ_ADVISE_START;
	rc = latz_advise(pool, options, NULL, NULL, &advice);
	while (rc == LATZ_OK && !cli_signalled() && nanosleep(&left, &left) != 0 && errno == EINTR)
		continue;
	return rc;
}

int top_keys(const char *name, int64_t interval_ms, unsigned most)
{
	static const char *const columns[] = { ">GETS%", "KEY", NULL };
	latz_advise_options options = LATZ_ADVISE_OPTIONS_INIT;
	struct hot hot = { .pool = name };
	latz_pool *pool;
	int code = cli_open(name, LATZ_NO_THREAD, NULL, &pool);

	if (code != CLI_OK)
		return code;
	int rc = watch(pool, interval_ms, &options);
	hot.table = cli_table_open(columns);
	if (rc == LATZ_OK)
		rc = latz_hot_keys(pool, most, print_key, &hot);
	cli_table_close(hot.table);
	if (options.flags != 0) {
		options.flags = LATZ_ADVISE_STOP;
		int end = latz_advise(pool, &options, NULL, NULL, NULL);
		rc = rc == LATZ_OK ? end : rc;
	}
	if (rc != LATZ_OK)
		code = cli_fail(rc, "looking for hot keys", name, NULL);
	else if (hot.count == 0)
		code = cli_error(CLI_NO, "pool %s: no key was got twice of late; try --interval 60s, when it is in use",
		                 name);
	return cli_close(name, pool, code);
}
