/*
 * Request traces in memory: text, one request a line, `key` or `key size`, plain or compressed by zstd.
 */
#ifndef LATZERO_TOOLS_TRACE_H
#define LATZERO_TOOLS_TRACE_H

#include "cli.h"

struct trace {
	const char *name; /* for error lines */

	/* Requests: number of the key, and how many bytes it says. */
	uint32_t *key;
	uint64_t *bytes;
	size_t count, capacity;

	/* Distinct keys, one after another in `text`; key n is from start[n] to start[n + 1]. */
	char *text;
	size_t text_capacity;
	uint64_t *start;
	uint32_t keys, keys_capacity;
	uint32_t *bucket; /* number of a key + 1, open addressing */
	uint32_t buckets;

	uint64_t bytes_distinct; /* sum of what each key's first request says */
	bool sized;              /* some request says its bytes */
};

/* Reads a file, or with "-" standard input, to its end. An exit code, with its error line if it is not CLI_OK. */
int trace_read(struct trace *trace, const char *path);
void trace_free(struct trace *trace);
/* Has so many processes run it through a pool of its own with these bounds. An exit code. */
int trace_run_in_pool(const struct trace *trace, const latz_options *bounds, unsigned processes,
                      latz_simulate_result_t *ret);

static inline latz_slice trace_key(const struct trace *trace, size_t request)
{
	uint32_t key = trace->key[request];

	return (latz_slice){ trace->text + trace->start[key], trace->start[key + 1] - trace->start[key] };
}

#endif
