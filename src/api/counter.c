/*
 * Public calls on shared counters, and the sample of how long gets and sets take.
 */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "format/counters.h"

struct latz_counter {
	struct latz_pool *pool;
	uint32_t index, cell;
	latz_counter_kind kind;
	int is_own; /* 1: the library's */
};

#define OWN_PREFIX "latzero_"

static int check_name(const char *name)
{
	size_t i, n;

	if (name == NULL)
		return lzi_error(LATZ_INVALID, "name is NULL");
	n = strnlen(name, LZI_COUNTER_NAME);
	if (n == 0 || n == LZI_COUNTER_NAME)
		return lzi_error(LATZ_INVALID, "a counter's name has 1 to %u bytes", LZI_COUNTER_NAME - 1);
	for (i = 0; i < n; i++) {
		char c = name[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':' ||
		      (i > 0 && c >= '0' && c <= '9')))
			return lzi_error(LATZ_INVALID, "a counter's name has letters, digits, _ and :, no digit first");
	}
	return LATZ_OK;
}

static int check_options(const latz_counter_options *options, latz_counter_options *ret_taken)
{
	const latz_counter_options none = LATZ_COUNTER_OPTIONS_INIT;

	*ret_taken = none;
	if (options == NULL)
		return LATZ_OK;
	if (options->size < sizeof(latz_counter_options))
		return lzi_error(LATZ_INVALID, "options.size is %zu; set it to sizeof(latz_counter_options)",
		                 options->size);
	if ((unsigned)options->kind > LATZ_HISTOGRAM)
		return lzi_error(LATZ_INVALID, "options.kind is %d", (int)options->kind);
	if (!isfinite(options->scale) || options->scale < 0)
		return lzi_error(LATZ_INVALID, "options.scale is no positive number");
	if (options->help != NULL && (strnlen(options->help, LZI_COUNTER_HELP) == LZI_COUNTER_HELP ||
	                              strchr(options->help, '\n') != NULL))
		return lzi_error(LATZ_INVALID, "options.help is a line of at most %u bytes", LZI_COUNTER_HELP - 1);
	*ret_taken = *options;
	return LATZ_OK;
}

int latz_counter_open(latz_pool *pool, const char *name, const latz_counter_options *options, latz_counter **counter)
{
	latz_counter_options taken;
	struct latz_counter *made;
	struct lzi_call call;
	int rc;

	if (counter == NULL)
		return lzi_api_error(LATZ_INVALID, "counter is NULL");
	rc = check_name(name);
	if (rc == LATZ_OK)
		rc = check_options(options, &taken);
	if (rc == LATZ_OK)
		rc = lzi_api_call(pool, &call);
	if (rc != LATZ_OK)
		return lzi_api_result(rc);
	made = calloc(1, sizeof *made);
	if (made == NULL)
		return lzi_api_error(LATZ_NOMEM, "counter");
	made->pool = pool;
	made->kind = taken.kind;
	made->is_own = strncmp(name, OWN_PREFIX, sizeof OWN_PREFIX - 1) == 0;
	rc = lzi_counter_open(&call, name, &taken,
	                      pool->readonly ? LZI_COUNTER_FIND : made->is_own ? LZI_COUNTER_OWN : LZI_COUNTER_MAKE,
	                      &made->index, &made->cell);
	if (rc == LATZ_NOTFOUND && !made->is_own)
		rc = lzi_error(LATZ_READONLY, "there is no counter %s, and the handle was opened with LATZ_READONLY",
		               name);
	if (rc != LATZ_OK) {
		free(made);
		return lzi_api_result(rc);
	}
	*counter = made;
	return LATZ_OK;
}

static inline int begin(latz_counter *counter, struct lzi_call *call)
{
	if (lzi_unlikely(counter == NULL))
		return lzi_error(LATZ_INVALID, "counter is NULL");
	if (lzi_unlikely(counter->is_own))
		return lzi_error(LATZ_INVALID, "the library's own counters are only read");
	return lzi_api_write(counter->pool, call);
}

/* For idle_ttl_ms: no other counter tells of it. */
static inline void note_use(struct lzi_call *call)
{
	lzi_bump_relaxed(&call->actor->uses, 1u);
}

int latz_counter_add(latz_counter *counter, int64_t by)
{
	struct lzi_call call;
	int rc = begin(counter, &call);

	if (lzi_unlikely(rc != LATZ_OK))
		return lzi_api_result(rc);
	if (lzi_unlikely(counter->kind == LATZ_HISTOGRAM))
		return lzi_api_error(LATZ_TYPE, "a histogram is recorded in");
	if (lzi_unlikely(by < 0 && counter->kind == LATZ_COUNTER))
		return lzi_api_error(LATZ_INVALID, "a counter only grows");
	note_use(&call);
	rc = lzi_counter_add(&call, counter->cell, (uint64_t)by);
	return lzi_likely(rc == LATZ_OK) ? rc : lzi_api_result(rc);
}

int latz_counter_record(latz_counter *counter, uint64_t value)
{
	struct lzi_call call;
	int rc = begin(counter, &call);

	if (lzi_unlikely(rc != LATZ_OK))
		return lzi_api_result(rc);
	if (lzi_unlikely(counter->kind != LATZ_HISTOGRAM))
		return lzi_api_error(LATZ_TYPE, "only a histogram is recorded in");
	note_use(&call);
	rc = lzi_counter_record(&call, counter->cell, value);
	return lzi_likely(rc == LATZ_OK) ? rc : lzi_api_result(rc);
}

int latz_counter_set(latz_counter *counter, int64_t value)
{
	struct lzi_call call;
	int rc = begin(counter, &call);

	if (rc == LATZ_OK && counter->kind != LATZ_GAUGE)
		rc = lzi_error(LATZ_TYPE, "only a gauge is set");
	if (rc != LATZ_OK)
		return lzi_api_result(rc);
	note_use(&call);
	rc = lzi_counter_set(&call, counter->index, value);
	return lzi_api_result(rc);
}

static int read_one(struct lzi_call *call, uint32_t index, latz_counter_info *info)
{
	size_t size = info->size;
	latz_counter_info whole;
	int rc;

	if (size < sizeof info->size)
		return lzi_error(LATZ_INVALID, "info.size is %zu; set it to sizeof(latz_counter_info)", size);
	rc = lzi_counter_read(call, index, &whole);
	if (rc != LATZ_OK)
		return rc;
	whole.size = size < sizeof whole ? size : sizeof whole;
	memcpy(info, &whole, whole.size);
	return LATZ_OK;
}

int latz_counter_read(latz_counter *counter, latz_counter_info *info)
{
	struct lzi_call call;
	int rc;

	if (counter == NULL || info == NULL)
		return lzi_api_error(LATZ_INVALID, "%s is NULL", counter == NULL ? "counter" : "info");
	rc = lzi_api_call(counter->pool, &call);
	if (rc != LATZ_OK)
		return lzi_api_result(rc);
	note_use(&call);
	return lzi_api_result(read_one(&call, counter->index, info));
}

int latz_counter_close(latz_counter *counter)
{
	if (counter == NULL)
		return lzi_api_error(LATZ_INVALID, "counter is NULL");
	free(counter);
	return LATZ_OK;
}

int latz_counters(latz_pool *pool, latz_counter_fn fn, void *arg)
{
	struct lzi_call call;
	uint32_t i, n;
	int rc;

	if (fn == NULL)
		return lzi_api_error(LATZ_INVALID, "fn is NULL");
	rc = lzi_api_call(pool, &call);
	if (rc != LATZ_OK)
		return lzi_api_result(rc);
	n = lzi_counter_count(&call);
	for (i = 0; i < n && rc == LATZ_OK; i++) {
		latz_counter_info info = { .size = sizeof info };

		rc = read_one(&call, i, &info);
		if (rc != LATZ_OK)
			return lzi_api_result(rc);
		rc = fn(&info, arg);
	}
	return rc;
}
