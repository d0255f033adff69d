/*
 * Public calls of the change feed.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "crypt/crypt.h"
#include "format/feed.h"
#include "os/os.h"

#define KINDS \
	(LATZ_EVENT_SET | LATZ_EVENT_DELETE | LATZ_EVENT_EXPIRE | LATZ_EVENT_EVICT | LATZ_EVENT_CONNECT | \
	 LATZ_EVENT_DISCONNECT | LATZ_EVENT_LOST)

#define RING_MIN ((unsigned long long)LZI_FEED_CELLS_MIN * LZI_FEED_CELL)
#define RING_MAX ((unsigned long long)LZI_FEED_CELLS_MAX * LZI_FEED_CELL)

struct latz_watch {
	struct latz_pool *pool;
	struct lzi_watcher *watch;
	unsigned fork_count; /* of the process that opened it */
	/* If the pool is encrypted: keys are opened, and compared with the prefix, here. */
	uint8_t *key;
	void *prefix;
	size_t prefix_size;
};

static int check_options(const latz_watch_options *options)
{
	if (options->prefix.data == NULL && options->prefix.size > 0)
		return lzi_error(LATZ_INVALID, "prefix.data is NULL");
	if (options->prefix.size > LZI_KEY_MAX)
		return lzi_error(LATZ_TOOBIG, "prefix of %zu bytes; the limit is %u", options->prefix.size,
		                 LZI_KEY_MAX);
	if (options->ring_bytes != 0 && (options->ring_bytes < RING_MIN || options->ring_bytes > RING_MAX))
		return lzi_error(LATZ_INVALID, "ring_bytes is %llu, not %llu to %llu",
		                 (unsigned long long)options->ring_bytes, RING_MIN, RING_MAX);
	if ((options->kinds & ~(unsigned)KINDS) != 0)
		return lzi_error(LATZ_INVALID, "kinds has unknown bits: 0x%x", options->kinds);
	return LATZ_OK;
}

/* Keys are told by what all of the handle's begin with in the pool. */
static int take_prefix(const latz_pool *pool, latz_watch *watch, latz_slice *prefix, struct lzi_api_room *room)
{
	watch->key = malloc(LZI_KEY_MAX);
	watch->prefix = malloc(prefix->size + 1);
	if (watch->key == NULL || watch->prefix == NULL)
		return lzi_error(LATZ_NOMEM, "watch");
	if (prefix->size > 0)
		memcpy(watch->prefix, prefix->data, prefix->size);
	watch->prefix_size = prefix->size;
	*prefix = (latz_slice){ room->small, lzi_seal_prefix(pool->space, room->small) };
	return LATZ_OK;
}

static void free_handle(latz_watch *watch)
{
	if (watch->key != NULL)
		lzi_wipe(watch->key, LZI_KEY_MAX);
	if (watch->prefix != NULL)
		lzi_wipe(watch->prefix, watch->prefix_size);
	free(watch->key);
	free(watch->prefix);
	free(watch);
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
		rc = pool->sealed ? take_prefix(pool, handle, &taken.prefix, &room)
		                  : lzi_api_map_bound(pool, &taken.prefix, &room);
	if (rc == LATZ_OK)
		rc = lzi_watch_open(&call, &taken, pool->space, pool->slot, &handle->watch);
	lzi_api_unmap(&room);
	if (rc != LATZ_OK) {
		free_handle(handle);
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

/* The next event that is wanted, its key as the handle's users know it. */
static int next_sealed(latz_watch *watch, struct lzi_call *call, int64_t timeout_ms, latz_event *out)
{
	int64_t end, left = timeout_ms;
	uint32_t number;
	int rc;

	if (__builtin_add_overflow(lzi_clock_mono_ms(), timeout_ms, &end))
		end = INT64_MAX;
	for (;;) {
		memset(out, 0, sizeof *out);
		rc = lzi_watch_next(call, watch->watch, left, out);
		if (rc != LATZ_OK || out->key.size == 0)
			return rc;
		if (lzi_unlikely(out->key.size > LZI_KEY_MAX)) /* there are no such keys, nor room for one */
			return lzi_error(LATZ_CORRUPT, "event %llu of the change feed has a key of %zu bytes",
			                 (unsigned long long)out->seq, out->key.size);
		rc = lzi_key_seen(call->store, &out->key, &number, watch->key);
		if (rc != LATZ_OK || (out->key.size >= watch->prefix_size &&
		                      memcmp(out->key.data, watch->prefix, watch->prefix_size) == 0))
			return rc;
		if (timeout_ms > 0)
			left = end > lzi_clock_mono_ms() ? end - lzi_clock_mono_ms() : 0;
	}
}

int latz_watch_next(latz_watch *watch, int64_t timeout_ms, latz_event *event)
{
	latz_event out;
	struct lzi_call call;
	int rc = check_watch(watch);

	if (rc == LATZ_OK && (event == NULL || event->size < offsetof(latz_event, key)))
		rc = lzi_error(LATZ_INVALID, "event is NULL, or its size is not set");
	if (rc == LATZ_OK && timeout_ms < -1)
		rc = lzi_error(LATZ_INVALID, "timeout_ms is below -1");
	if (rc == LATZ_OK)
		rc = lzi_api_call(watch->pool, &call);
	if (rc != LATZ_OK)
		return lzi_api_result(rc);
	memset(&out, 0, sizeof out);
	rc = watch->key != NULL ? next_sealed(watch, &call, timeout_ms, &out)
	                        : lzi_watch_next(&call, watch->watch, timeout_ms, &out);
	if (rc == LATZ_TIMEOUT)
		return lzi_api_answer(rc, "no event has come");
	if (rc != LATZ_OK)
		return lzi_api_result(rc);
	if (out.key.size > 0 && watch->key == NULL) {
		unsigned strip = lzi_api_strip(watch->pool, out.key.data);

		out.key.data = (const uint8_t *)out.key.data + strip;
		out.key.size -= strip;
	}
	out.size = event->size < sizeof out ? event->size : sizeof out;
	memcpy(event, &out, out.size);
	return LATZ_OK;
}

int latz_watch_position(latz_watch *watch, uint64_t *seq)
{
	int rc = check_watch(watch);

	if (rc == LATZ_OK && seq == NULL)
		rc = lzi_error(LATZ_INVALID, "seq is NULL");
	if (rc == LATZ_OK)
		*seq = lzi_watch_position(watch->watch);
	return lzi_api_result(rc);
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
	lzi_wait_begin();
	ours = watch->fork_count == lzi_fork_count;
	lzi_watch_close(watch->watch, ours);
	if (ours)
		lzi_api_uncount(&watch->pool->scans);
	free_handle(watch);
	return LATZ_OK;
}
