/*
 * Figures about a pool and its clients.
 */
#include "config.h"

#include <string.h>

#include "base/error.h"
#include "format/sealed.h"
#include "store/audit.h"
#include "store/counter.h"
#include "store/feed.h"
#include "store/log.h"
#include "store/idle.h"
#include "store/pack.h"
#include "store/space.h"
#include "store/store_int.h"

int64_t lzi_store_ttl(const struct lzi_store *store)
{
	return store->control.header->ttl_ms;
}

static void add_actors(const struct lzi_store *store, latz_stats_t *stats)
{
	uint32_t i, n = lzi_control_actors(&store->control);

	for (i = 0; i < n; i++) {
		const struct lzi_actor *actor = lzi_control_actor(&store->control, i);

		stats->gets += lzi_load_relaxed(&actor->gets);
		stats->hits += lzi_load_relaxed(&actor->hits);
		stats->sets += lzi_load_relaxed(&actor->sets);
		stats->deletes += lzi_load_relaxed(&actor->deletes);
		stats->expired += lzi_load_relaxed(&actor->expired);
		stats->hit_bytes += lzi_load_relaxed(&actor->hit_bytes);
		stats->created_bytes += lzi_load_relaxed(&actor->created_bytes);
		stats->lock_takes += lzi_load_relaxed(&actor->lock_takes);
		stats->lock_waits += lzi_load_relaxed(&actor->lock_waits);
		stats->bucket_waits += lzi_load_relaxed(&actor->bucket_waits);
		stats->bucket_wait_ns += lzi_load_relaxed(&actor->bucket_wait_ns);
		stats->threads += lzi_load_relaxed(&actor->state) != 0;
	}
}

static void add_bounds(const struct lzi_store *store, latz_stats_t *stats)
{
	const struct lzi_bound *bound = &store->control.shared->bound;

	stats->max_bytes = lzi_load_relaxed(&bound->max_bytes);
	stats->max_entries = lzi_load_relaxed(&bound->max_entries);
	stats->policy = (latz_policy)lzi_load_relaxed(&bound->policy);
	stats->evicted = lzi_load_relaxed(&bound->evicted);
	stats->evicted_bytes = lzi_load_relaxed(&bound->evicted_bytes);
	stats->kept = lzi_load_relaxed(&bound->kept);
	stats->kept_bytes = lzi_load_relaxed(&bound->kept_bytes);
	stats->refused = lzi_load_relaxed(&bound->refused);
	stats->evicted_for_bytes = lzi_load_relaxed(&bound->evicted_for[LZI_EVICT_BYTES]);
	stats->evicted_for_entries = lzi_load_relaxed(&bound->evicted_for[LZI_EVICT_ENTRIES]);
	stats->evicted_for_limit = lzi_load_relaxed(&bound->evicted_for[LZI_EVICT_LIMIT]);
	stats->evicted_expired = lzi_load_relaxed(&bound->evicted_for[LZI_EVICT_EXPIRED]);
	stats->spaces_evicted_for_bytes = lzi_load_relaxed(&bound->evicted_for[LZI_EVICT_SPACE_BYTES]);
	stats->spaces_evicted_for_entries = lzi_load_relaxed(&bound->evicted_for[LZI_EVICT_SPACE_ENTRIES]);
	stats->spaces_evicted_for_limit = lzi_load_relaxed(&bound->evicted_for[LZI_EVICT_SPACE_LIMIT]);
}

static void add_slots(const struct lzi_store *store, latz_stats_t *stats)
{
	uint32_t i, j;

	for (i = 0; i < LZI_PINS_MAX; i++)
		stats->pins += lzi_load_relaxed(&lzi_control_pin(&store->control, i)->seq) != 0;
	for (i = 0; i < store->control.header->clients_max; i++) {
		for (j = 0; j < LZI_HAZARDS; j++)
			stats->views += lzi_load_relaxed(&lzi_control_client(&store->control, i)->hazards[j]) != 0;
	}
	stats->clients = lzi_client_count(&store->control, store->client);
	stats->clients_max = store->control.header->clients_max;
}

/* The option: without the pool's own directory below it. Another process may be changing it. */
static void persist_dir(const struct lzi_store *store, char dir[LZI_PERSIST_PATH_MAX])
{
	char *slash;

	memcpy(dir, store->control.shared->log.path, LZI_PERSIST_PATH_MAX);
	dir[LZI_PERSIST_PATH_MAX - 1] = '\0';
	slash = strrchr(dir, '/');
	if (slash != NULL)
		slash[slash == dir] = '\0';
}

/* Others can write it: it is to be printable, and to end. */
static void add_failed_checkpoint(const struct lzi_store *store, latz_stats_t *stats)
{
	const struct lzi_failed_checkpoint *failed = &store->control.shared->failed_checkpoint;
	size_t i;

	_Static_assert(sizeof stats->checkpoint_detail >= sizeof failed->why, "holds any");
	stats->checkpoint_error = lzi_error_read(lzi_load_acquire(&failed->error));
	if (stats->checkpoint_error == 0)
		return;
	stats->checkpoint_failed_wall_ms = lzi_load_relaxed(&failed->wall_ms);
	memcpy(stats->checkpoint_detail, failed->why, sizeof failed->why);
	stats->checkpoint_detail[sizeof failed->why - 1] = '\0';
	for (i = 0; stats->checkpoint_detail[i] != '\0'; i++) {
		if (stats->checkpoint_detail[i] < ' ' || stats->checkpoint_detail[i] > '~')
			stats->checkpoint_detail[i] = '?';
	}
}

static uint64_t left_in_image(struct lzi_store *store)
{
	uint64_t n = lzi_heap_count(&store->heap), e, sum = 0;

	if (lzi_likely(lzi_load_relaxed(&store->control.shared->image_left) == 0) ||
	    lzi_heap_view(&store->heap) != LATZ_OK)
		return 0;
	for (e = 0; e < n; e++) {
		if (lzi_heap_state(&store->heap, e) == LZI_EXTENT_IMAGE)
			sum += lzi_load_relaxed(&lzi_heap_meta(&store->heap, e)->tail);
	}
	return sum;
}

static void add_log(struct lzi_store *store, latz_stats_t *stats)
{
	const struct lzi_shared *shared = store->control.shared;
	const struct lzi_log_state *log = &shared->log;
	const struct lzi_wal_position *position = lzi_log_position(store);

	stats->snapshot_age_ms = -1;
	if (!lzi_is_durable(store))
		return;
	stats->durable = 1;
	stats->log_broken = lzi_error_read(lzi_load_acquire(&log->broken));
	stats->sync = (latz_sync)lzi_load_relaxed(&log->sync);
	stats->sync_interval_ms = lzi_load_relaxed(&log->interval_ms);
	stats->checkpoint_bytes = lzi_load_relaxed(&log->checkpoint_bytes);
	stats->snapshot_on_close = (int)lzi_load_relaxed(&log->snapshot_on_close);
	_Static_assert(sizeof stats->persist_dir == LZI_PERSIST_PATH_MAX, "holds any");
	persist_dir(store, stats->persist_dir);
	add_failed_checkpoint(store, stats);
	stats->log_bytes = lzi_load_relaxed(&position->bytes);
	stats->log_flushes = lzi_load_relaxed(&log->flushes);
	stats->log_syncs = lzi_load_relaxed(&log->syncs);
	stats->log_sync_bytes = lzi_load_relaxed(&shared->log_sync_bytes);
	stats->log_sync_ns = lzi_load_relaxed(&shared->log_sync_ns);
	stats->log_syncs_ns = lzi_load_relaxed(&shared->log_syncs_ns);
	stats->log_sync_lag_ms = lzi_load_relaxed(&shared->log_sync_lag_ms);
	stats->snapshot_seq = lzi_load_relaxed(&log->snapshot_seq);
	if (stats->snapshot_seq != 0) {
		stats->snapshot_age_ms = lzi_clock_wall_ms() - lzi_load_relaxed(&log->snapshot_wall_ms);
		if (stats->snapshot_age_ms < 0) /* the clock was set back */
			stats->snapshot_age_ms = 0;
	}
	(void)lzi_heap_view(&store->heap);
	stats->log_lag_bytes = lzi_log_lag(store) + lzi_log_unsynced(store);
	if (stats->log_lag_bytes > 0)
		stats->log_lag_ms = lzi_clock_mono_ms() - lzi_load_relaxed(&log->synced_mono_ms);
}

static void add_compression(const struct lzi_store *store, latz_stats_t *stats)
{
	const struct lzi_shared *shared = store->control.shared;
	const struct lzi_compress *state = &shared->compress;

	stats->compress_min = lzi_load_relaxed(&shared->compress_min);
	stats->compress_level = stats->compress_min == 0 ? 0 : lzi_load_relaxed(&state->level);
	stats->compress_dict = lzi_load_relaxed(&state->by_itself) ? LATZ_DICT_AUTO : LATZ_DICT_TRAINED;
	stats->compressed = lzi_load_relaxed(&state->values);
	stats->compress_refused = lzi_load_relaxed(&state->plain);
	stats->compress_raw_bytes = lzi_load_relaxed(&state->raw);
	stats->compress_stored_bytes = lzi_load_relaxed(&state->stored);
	stats->dict_bytes = lzi_dict_extent(store, &stats->dictionaries);
}

static uint64_t other_blocks(struct lzi_store *store)
{
	return lzi_file_blocks(store->control.fd) + lzi_hear_blocks(store) + lzi_counters_blocks(store) +
	       lzi_feed_blocks(store) + lzi_locks_blocks(store) + lzi_space_blocks(store) + lzi_audit_blocks(store);
}

void lzi_stats_guarded(struct lzi_store *store, latz_stats_t *out)
{
	struct lzi_guarded *guarded = &store->control.shared->guarded;

	out->password = lzi_load_relaxed(&guarded->kind) != LZI_LOCKED_NOT;
	out->encrypted = lzi_load_relaxed(&guarded->kind) == LZI_LOCKED_ENCRYPTED;
	out->wrong_in_row = lzi_load_relaxed(&guarded->failures);
	out->wrong_passwords = lzi_load_relaxed(&guarded->attempts);
	out->wrong_wall_ms = lzi_load_relaxed(&guarded->failed_ms);
}

int lzi_store_stats(struct lzi_call *call, latz_stats_t *stats)
{
	struct lzi_store *store = call->store;
	struct lzi_shared *shared = store->control.shared;
	latz_stats_t out;
	uint64_t used;
	int64_t keys = lzi_store_keys(store);
	int rc;

	memset(&out, 0, sizeof out);
	out.size = stats->size < sizeof out ? stats->size : sizeof out;
	out.keys = keys > 0 ? (uint64_t)keys : 0;
	lzi_heap_account(store, &used, &out.dead_bytes);
	out.live_bytes = used - out.dead_bytes;
	rc = lzi_catchup_lag(store, &out.index_lag_bytes);
	if (rc != LATZ_OK)
		return rc;
	out.heap_bytes = lzi_file_blocks(store->heap.fd);
	out.table_bytes = lzi_file_blocks(store->reads_only ? store->looked.fd : store->table.fd) +
	                  lzi_file_blocks(store->heap.dir_fd);
	out.index_bytes = lzi_dir_blocks(store->poolfd, "index");
	out.file_bytes = store->reads_only ? lzi_dir_blocks(store->dirfd, store->name)
	                                   : out.heap_bytes + out.table_bytes + out.index_bytes + other_blocks(store);
	out.extents = lzi_load_relaxed(&shared->extents);
	out.extents_free = lzi_load_relaxed(&shared->extents_free);
	out.extents_hole = lzi_load_relaxed(&shared->extents_hole);
	out.reaped = lzi_load_relaxed(&shared->reaped);
	out.cleaned_bytes = lzi_load_relaxed(&shared->cleaned_bytes);
	out.age_ms = lzi_clock_mono_ms() - store->control.header->created_mono_ms;
	add_actors(store, &out);
	add_slots(store, &out);
	add_bounds(store, &out);
	add_log(store, &out);
	out.image_left_bytes = left_in_image(store);
	add_compression(store, &out);
	if (!store->reads_only)
		out.file_bytes += (out.dict_bytes + LZI_PAGE - 1) & ~(uint64_t)(LZI_PAGE - 1);
	lzi_counter_percentiles(call, LZI_COUNTER_GETS, out.latency_get_ns);
	lzi_counter_percentiles(call, LZI_COUNTER_SETS, out.latency_set_ns);
	lzi_counter_percentiles(call, LZI_COUNTER_LOCK_WAITS, out.lock_wait_ns);
	out.idle_ttl_ms = lzi_load_relaxed(&shared->spaces.idle_ttl_ms);
	out.idle_ms = store->reads_only ? lzi_idle_known(&store->control) : lzi_idle_for(&store->control);
	out.max_age_ms = lzi_load_relaxed(&shared->retain.max_age_ms);
	lzi_stats_guarded(store, &out);
	memcpy(stats, &out, out.size);
	return LATZ_OK;
}

int lzi_store_clients(struct lzi_call *call, latz_client_fn fn, void *arg)
{
	struct lzi_store *store = call->store;
	uint32_t slot, i, j, n = lzi_control_actors(&store->control);
	int rc = 0;

	for (slot = 0; slot < store->control.header->clients_max && rc == 0; slot++) {
		const struct lzi_client *client = lzi_control_client(&store->control, slot);
		latz_client_info info = { .size = sizeof info, .slot = slot };
		char command[17] = "";

		if (!lzi_client_alive(&store->control, slot, store->client))
			continue;
		memcpy(command, client->command, 16);
		info.command = command;
		info.pid = client->pid;
		info.since_ms = lzi_clock_mono_ms() - client->since_ms;
		for (j = 0; j < LZI_HAZARDS; j++)
			info.views += lzi_load_relaxed(&client->hazards[j]) != 0;
		for (i = 0; i < n; i++) {
			const struct lzi_actor *actor = lzi_control_actor(&store->control, i);

			info.threads += lzi_load_relaxed(&actor->state) != 0 && actor->client == slot;
		}
		for (i = 0; i < LZI_PINS_MAX; i++) {
			const struct lzi_pin *pin = lzi_control_pin(&store->control, i);

			info.pins += pin->seq != 0 && pin->client == slot;
		}
		info.janitor = lzi_load_relaxed(&store->control.shared->janitor.holder_pid) == client->pid;
		rc = fn(&info, arg);
	}
	return rc;
}
