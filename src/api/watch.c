/*
 * Public calls of the change feed.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "api/api.h"

#define KINDS \
	(LATZ_EVENT_SET | LATZ_EVENT_DELETE | LATZ_EVENT_EXPIRE | LATZ_EVENT_EVICT | LATZ_EVENT_CONNECT | \
	 LATZ_EVENT_DISCONNECT | LATZ_EVENT_LOST)

struct latz_watch {
	struct latz_pool *pool;
	struct lzi_watcher *watch;
	unsigned fork_count; /* of the process that opened it */
};

static int check_options(const latz_watch_options *options)
{
	if (options->prefix.data == NULL && options->prefix.size > 0)
		return lzi_error(LATZ_INVALID, "prefix.data is NULL");
	if (options->prefix.size > LZI_KEY_MAX)
		return lzi_error(LATZ_TOOBIG, "prefix of %zu bytes; the limit is %u", options->prefix.size,
		                 LZI_KEY_MAX);
	if ((options->kinds & ~(unsigned)KINDS) != 0)
		return lzi_error(LATZ_INVALID, "kinds has unknown bits: 0x%x", options->kinds);
	return LATZ_OK;
}

int latz_watch_open(latz_pool *pool, const latz_watch_options *options, latz_watch **watch)
{
	latz_watch_options taken = LATZ_WATCH_OPTIONS_INIT;
	struct lzi_api_room room = { .big = NULL };
	struct lzi_call call;
	latz_watch *handle;
	int rc;

	if (watch == NULL)
		return lzi_api_error(LATZ_INVALID, "watch is NULL");
	if (options != NULL && options->size < sizeof taken)
		return lzi_api_error(LATZ_INVALID, "options.size is %zu; set it to sizeof(latz_watch_options)",
		                     options->size);
	if (options != NULL)
		taken = *options;
	rc = check_options(&taken);
	if (rc == LATZ_OK)
		rc = lzi_api_client(pool, &call, "a subscription");
	if (rc != LATZ_OK)
		return lzi_api_result(rc);
	handle = calloc(1, sizeof *handle);
	if (handle == NULL)
		return lzi_api_error(LATZ_NOMEM, "watch");
	if (pool->space != 0)
		rc = lzi_space_check(&call, pool->space, pool->slot);
	if (rc == LATZ_OK)
		rc = lzi_api_map_bound(pool, &taken.prefix, &room);
	if (rc == LATZ_OK)
		rc = lzi_watch_open(&call, &taken, pool->space, pool->slot, &handle->watch);
	lzi_api_unmap(&room);
	if (rc != LATZ_OK) {
		free(handle);
		return lzi_api_result(rc);
	}
	handle->pool = pool;
	handle->fork_count = lzi_fork_count;
	lzi_api_count(&pool->scans);
	*watch = handle;
	return lzi_api_result(LATZ_OK);
}

/* LATZ_OK, LATZ_INVALID. */
static int check_watch(const latz_watch *watch)
{
	if (watch == NULL)
		return lzi_error(LATZ_INVALID, "watch is NULL");
	/* The child may have closed its handle, so that is not looked at. */
	if (watch->fork_count != lzi_fork_count)
		return lzi_error(LATZ_INVALID, "the watch was opened before the fork: it is the parent's");
	return LATZ_OK;
}

int latz_watch_next(latz_watch *watch, int64_t timeout_ms, latz_event *event)
{
	latz_event out;
	struct lzi_call call;
	int rc = check_watch(watch);

	if (rc == LATZ_OK && (event == NULL || event->size < offsetof(latz_event, key)))
		rc = lzi_error(LATZ_INVALID, "event is NULL, or its size is not set");
	if (rc == LATZ_OK)
		rc = lzi_api_call(watch->pool, &call);
	if (rc != LATZ_OK)
		return lzi_api_result(rc);
	memset(&out, 0, sizeof out);
	rc = lzi_watch_next(&call, watch->watch, timeout_ms, &out);
	if (rc == LATZ_TIMEOUT)
		return lzi_api_answer(rc, "no event has come");
	if (rc != LATZ_OK)
		return lzi_api_result(rc);
	if (out.key.size > 0) {
		unsigned strip = lzi_api_strip(watch->pool, out.key.data);

		out.key.data = (const uint8_t *)out.key.data + strip;
		out.key.size -= strip;
	}
	out.size = event->size < sizeof out ? event->size : sizeof out;
	memcpy(event, &out, out.size);
	return LATZ_OK;
}

int latz_watch_fd(latz_watch *watch)
{
	struct lzi_call call;
	int fd = -1, rc = check_watch(watch);

	if (rc == LATZ_OK)
		rc = lzi_api_call(watch->pool, &call);
	if (rc == LATZ_OK)
		rc = lzi_watch_fd(watch->watch, &fd);
	return rc == LATZ_OK ? fd : lzi_api_result(rc);
}

int latz_watch_close(latz_watch *watch)
{
	int ours;

	if (watch == NULL)
		return lzi_api_error(LATZ_INVALID, "watch is NULL");
	ours = watch->fork_count == lzi_fork_count;
	lzi_watch_close(watch->watch, ours);
	if (ours)
		lzi_api_uncount(&watch->pool->scans);
	free(watch);
	return LATZ_OK;
}
