/*
 * The change feed's ring: the file `events`, made when somebody subscribes and given up some time after the last one
 * has gone. While it is fed, nobody makes or changes it; so a writer that has found the bit under its bucket's lock,
 * and a subscriber, may use it as it is.
 */
#include "config.h"

#include <latzero/latzero.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/point.h"
#include "store/feed.h"

#define BYTES_USUAL (1u << 20)
/* Of a bounded pool's bytes. */
#define BOUND_PART 16u
/* So long it goes on when nobody subscribes: who comes back misses nothing. */
#define REST_MS 5000

/* ---- Mapping ---- */

static LZI_COLD int map_file(struct lzi_store *store, uint64_t bytes)
{
	uint64_t size = 0;
	int rc = LATZ_OK, fd;

	pthread_mutex_lock(&store->feed.mutex);
	if (store->feed.fd < 0) {
		rc = lzi_file_open(store->poolfd, "events", 1, &fd);
		if (rc == LATZ_OK)
			store->feed.fd = fd;
	}
	if (rc == LATZ_OK)
		rc = lzi_file_size(store->feed.fd, &size);
	if (rc == LATZ_OK && size < bytes)
		rc = lzi_error(LATZ_CORRUPT, "the file events has %llu bytes", (unsigned long long)size);
	if (rc == LATZ_OK && store->feed.map.base == NULL)
		rc = lzi_map_open(&store->feed.map, store->feed.fd, bytes, 1);
	if (rc == LATZ_OK)
		rc = lzi_map_grow(&store->feed.map, bytes);
	pthread_mutex_unlock(&store->feed.mutex);
	return rc;
}

int lzi_feed_map(struct lzi_store *store, struct lzi_ring *ret_ring)
{
	struct lzi_feed *feed = &store->control.shared->feed;
	uint64_t cells = lzi_load_acquire(&feed->cells), bytes = lzi_feed_file_bytes(cells);
	uint8_t *base;
	int rc;

	if (cells == 0)
		return LATZ_NOTFOUND;
	if (lzi_unlikely(!lzi_feed_cells_valid(cells)))
		return lzi_error(LATZ_CORRUPT, "the change feed claims %llu cells", (unsigned long long)cells);
	base = lzi_map_at(&store->feed.map, 0, bytes);
	if (lzi_unlikely(base == NULL)) {
		rc = map_file(store, bytes);
		if (rc != LATZ_OK)
			return rc == LATZ_NOTFOUND ? lzi_error(LATZ_CORRUPT, "pool has no file events") : rc;
		base = lzi_map_at(&store->feed.map, 0, bytes);
	}
	ret_ring->feed = feed;
	ret_ring->page = (struct lzi_feed_page *)(void *)base;
	ret_ring->words = (uint64_t *)(void *)(base + LZI_PAGE);
	ret_ring->cells = base + LZI_PAGE + cells * sizeof(uint64_t);
	ret_ring->count = cells;
	ret_ring->segment = cells / LZI_FEED_SEGMENTS;
	return LATZ_OK;
}

void lzi_feed_close(struct lzi_store *store)
{
	if (store->feed.map.base != NULL)
		lzi_map_close(&store->feed.map);
	lzi_file_close(store->feed.fd);
	store->feed.fd = -1;
}

uint64_t lzi_feed_blocks(const struct lzi_store *store)
{
	const struct lzi_feed *feed = &store->control.shared->feed;
	uint64_t cells = lzi_load_acquire(&feed->cells);

	return lzi_feed_cells_valid(cells) ? lzi_feed_file_bytes(cells) : lzi_load_acquire(&feed->making);
}

/* ---- Making ---- */

static uint64_t cells_for(const struct lzi_store *store, uint64_t bytes)
{
	uint64_t max = lzi_load_relaxed(&store->control.shared->bound.max_bytes), cells = LZI_FEED_CELLS_MIN;

	if (bytes == 0)
		bytes = BYTES_USUAL;
	if (max != 0 && bytes > max / BOUND_PART)
		bytes = max / BOUND_PART;
	while (cells < LZI_FEED_CELLS_MAX && cells * LZI_FEED_CELL < bytes)
		cells *= 2;
	return cells;
}

/* A file of so many bytes, all of them 0. */
static int make_file(struct lzi_store *store, uint64_t bytes)
{
	uint64_t size = 0;
	int fd, rc = lzi_file_open(store->poolfd, "events", 1, &fd);

	if (rc == LATZ_NOTFOUND)
		rc = lzi_file_create(store->poolfd, "events", store->control.header->mode, &fd);
	if (rc != LATZ_OK)
		return rc;
	rc = lzi_file_size(fd, &size);
	if (rc == LATZ_OK && size > 0)
		rc = lzi_file_punch(fd, 0, size);
	if (rc == LATZ_OK)
		rc = lzi_file_allocate(fd, 0, bytes);
	if (rc != LATZ_OK) /* what there is of it goes back */
		(void)!lzi_file_punch(fd, 0, bytes);
	lzi_file_close(fd);
	return rc;
}

/* Under the feed's mutex; nobody writes to a ring. */
static int make_ring(struct lzi_call *call, uint64_t bytes)
{
	struct lzi_store *store = call->store;
	struct lzi_feed *feed = &store->control.shared->feed;
	uint64_t cells = cells_for(store, bytes);
	struct lzi_ring ring;
	int rc;

	/* In a bounded pool the heap gives the room first. */
	lzi_store_release(&feed->making, lzi_feed_file_bytes(cells));
	rc = lzi_bound_give_way(call);
	if (rc == LATZ_OK)
		rc = make_file(store, lzi_feed_file_bytes(cells));
	LZI_POINT("feed.file");
	if (rc == LATZ_OK) {
		lzi_store_release(&feed->room, cells);
		if (lzi_load_acquire(&feed->head) == 0)
			lzi_store_release(&feed->head, 1ull);
		lzi_store_release(&feed->cells, cells);
		LZI_POINT("feed.made");
		rc = lzi_feed_map(store, &ring);
		if (rc == LATZ_OK)
			memcpy(ring.page->magic, LZI_FEED_MAGIC, sizeof ring.page->magic);
	}
	lzi_store_release(&feed->making, 0ull);
	lzi_bound_refresh(store);
	return rc == LATZ_OK ? rc : lzi_error_prefix(rc, "the ring of the change feed");
}

/* ---- Subscribing ---- */

static int feed_lock(struct lzi_store *store)
{
	int rc = lzi_mutex_lock(&store->control.shared->feed.mutex, store->control.timeout_ms, "the change feed");

	return rc < 0 ? rc : LATZ_OK;
}

static void count(struct lzi_store *store, int old_values, uint32_t by)
{
	struct lzi_client *client = lzi_control_client(&store->control, store->client);

	lzi_fetch_add(&client->watches, by);
	if (old_values)
		lzi_fetch_add(&client->watches_old, by);
}

/* From now on writers tell. */
static int raise_flag(struct lzi_call *call, int old_values)
{
	struct lzi_store *store = call->store;
	struct lzi_shared *shared = store->control.shared;
	int first = !lzi_is_fed(store), wait = first;

	lzi_store_relaxed(&shared->feed.idle_ms, (int64_t)0);
	if (first) /* what happened since the last one went, if there was one, nobody has told */
		lzi_fetch_or(&shared->watch, (uint32_t)LZI_WATCH_FEED);
	LZI_POINT("feed.raised");
	if (first && lzi_load_acquire(&shared->feed.head) > 1)
		lzi_feed_gap(call);
	if (old_values && lzi_load_relaxed(&shared->feed.old_values) == 0) {
		lzi_store_seq_cst(&shared->feed.old_values, 1u);
		wait = 1;
	}
	return wait ? lzi_wait_for_writers(call) : LATZ_OK;
}

int lzi_feed_join(struct lzi_call *call, uint64_t bytes, int old_values, uint64_t *ret_next)
{
	struct lzi_store *store = call->store;
	struct lzi_feed *feed = &store->control.shared->feed;
	struct lzi_ring ring;
	int rc = feed_lock(store);

	if (rc != LATZ_OK)
		return rc;
	count(store, old_values, 1);
	LZI_POINT("feed.counted");
	if (lzi_load_acquire(&feed->cells) == 0)
		rc = make_ring(call, bytes);
	if (rc == LATZ_OK)
		rc = lzi_feed_map(store, &ring);
	if (rc == LATZ_OK)
		rc = raise_flag(call, old_values);
	if (rc == LATZ_OK)
		*ret_next = lzi_load_acquire(&feed->head);
	else
		count(store, old_values, (uint32_t)-1);
	lzi_mutex_unlock(&feed->mutex);
	return rc;
}

void lzi_feed_part(struct lzi_store *store, int old_values)
{
	count(store, old_values, (uint32_t)-1);
}

/* ---- Giving up ---- */

/* Who subscribes, and who wants old values. */
static uint32_t subscribers(const struct lzi_store *store, uint32_t *ret_old)
{
	uint32_t n = 0, i;

	*ret_old = 0;
	for (i = 0; i < store->control.header->clients_max; i++) {
		const struct lzi_client *client = lzi_control_client(&store->control, i);

		if (lzi_load_acquire(&client->state) == 0)
			continue;
		n += lzi_load_acquire(&client->watches);
		*ret_old += lzi_load_acquire(&client->watches_old);
	}
	return n;
}

/* Whether nobody can be on his way to the ring: the bit is not set any more. */
static int is_quiet(struct lzi_call *call)
{
	uint32_t n = lzi_control_actors(&call->store->control), i;

	lzi_fence_full();
	if (lzi_wait_for_writers(call) != LATZ_OK)
		return 0;
	for (i = 0; i < n; i++) {
		if (lzi_load_acquire(&lzi_control_actor(&call->store->control, i)->feed_low) != 0)
			return 0;
	}
	return 1;
}

static void give_up(struct lzi_call *call)
{
	struct lzi_store *store = call->store;
	struct lzi_feed *feed = &store->control.shared->feed;
	struct lzi_ring ring;

	if (!is_quiet(call) || lzi_feed_map(store, &ring) != LATZ_OK)
		return;
	lzi_store_release(&feed->cells, 0ull);
	LZI_POINT("feed.given_up");
	(void)!lzi_file_punch(store->feed.fd, 0, lzi_feed_file_bytes(ring.count));
	lzi_bound_refresh(store);
}

void lzi_feed_rest(struct lzi_call *call)
{
	struct lzi_store *store = call->store;
	struct lzi_shared *shared = store->control.shared;
	struct lzi_feed *feed = &shared->feed;
	int64_t now = lzi_clock_mono_ms(), since;
	uint32_t old;

	if (lzi_likely(lzi_load_acquire(&feed->cells) == 0) || lzi_mutex_lock(&feed->mutex, 0, "the change feed") < 0)
		return;
	if (subscribers(store, &old) != 0) {
		lzi_store_relaxed(&feed->idle_ms, (int64_t)0);
	} else if ((since = lzi_load_relaxed(&feed->idle_ms)) == 0) {
		lzi_store_relaxed(&feed->idle_ms, now);
	} else if (now - since >= REST_MS) {
		lzi_fetch_and(&shared->watch, ~(uint32_t)LZI_WATCH_FEED);
		LZI_POINT("feed.lowered");
		give_up(call);
	}
	if (old == 0)
		lzi_store_relaxed(&feed->old_values, 0u);
	lzi_mutex_unlock(&feed->mutex);
}
