/*
 * Warm start: what a persist directory holds, into a pool that nobody else sees yet. Writes nothing to the directory
 * but a new segment at the end. doc/durability.md says why entries may come in the wrong order, and how far.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/point.h"
#include "store/carry.h"
#include "store/log.h"
#include "store/pack.h"
#include "store/replay_group.h"
#include "store/snapshot.h"
#include "store/space.h"

/* What was told of a key by a delete or a touch, until records that come late can't come any more. */
struct told {
	lzi_hash128_t hash;
	uint64_t seq, when_ns;
	int64_t expiry;
	int op; /* enum lzi_log_op; 0: unused */
};

struct told_set {
	struct told *list;
	size_t count, capacity; /* a power of two */
};

struct replay {
	struct lzi_call *call;
	uint64_t snapshot_seq, seq_max, flush;
	int64_t to_mono_ms;          /* CLOCK_MONOTONIC minus CLOCK_REALTIME */
	struct told_set now, before; /* of this flush, of the one before */
	struct lzi_groups groups;    /* transactions that are not whole yet */
	int forgot;                  /* 1: no memory to remember an eviction in */
	struct lzi_escaped escaped;
};

static struct told *look(const struct told_set *set, lzi_hash128_t hash)
{
	size_t i;

	if (set->count == 0)
		return NULL;
	for (i = hash.low & (set->capacity - 1); set->list[i].op != 0; i = (i + 1) & (set->capacity - 1)) {
		if (set->list[i].hash.low == hash.low && set->list[i].hash.high == hash.high)
			return &set->list[i];
	}
	return NULL;
}

static struct told *place(struct told_set *set, lzi_hash128_t hash)
{
	size_t i = hash.low & (set->capacity - 1);

	while (set->list[i].op != 0 && (set->list[i].hash.low != hash.low || set->list[i].hash.high != hash.high))
		i = (i + 1) & (set->capacity - 1);
	return &set->list[i];
}

static int tell(struct told_set *set, const struct told *told)
{
	struct told *at;

	if (set->count * 2 >= set->capacity) {
		struct told_set wider = { NULL, set->count, set->capacity == 0 ? 1024 : set->capacity * 2 };
		size_t i;

		wider.list = calloc(wider.capacity, sizeof *wider.list);
		if (wider.list == NULL)
			return lzi_error(LATZ_NOMEM, "deletes of the log");
		for (i = 0; i < set->capacity; i++) {
			if (set->list[i].op != 0)
				*place(&wider, set->list[i].hash) = set->list[i];
		}
		free(set->list);
		*set = wider;
	}
	at = place(set, told->hash);
	if (at->op == 0)
		set->count++;
	else if (at->seq > told->seq || (at->seq == told->seq && at->when_ns > told->when_ns))
		return LATZ_OK;
	*at = *told;
	return LATZ_OK;
}

static void forget(struct told_set *set)
{
	if (set->count > 0)
		memset(set->list, 0, set->capacity * sizeof *set->list);
	set->count = 0;
}

static void next_flush(struct replay *replay, uint64_t flush)
{
	struct told_set old = replay->before;

	if (flush == replay->flush)
		return;
	/* Nothing comes late over a restart; and what the clock said before says nothing now. */
	if (flush >> LZI_FLUSH_SESSION != replay->flush >> LZI_FLUSH_SESSION) {
		forget(&replay->now);
		lzi_groups_clear(&replay->groups);
	}
	replay->flush = flush;
	replay->before = replay->now;
	forget(&old);
	replay->now = old;
}

/* The newest that was told of a key lately. */
static const struct told *told_of(const struct replay *replay, lzi_hash128_t hash)
{
	const struct told *a = look(&replay->now, hash), *b = look(&replay->before, hash);

	if (a == NULL || b == NULL)
		return a == NULL ? b : a;
	return a->seq > b->seq || (a->seq == b->seq && a->when_ns >= b->when_ns) ? a : b;
}

static int replay_set(struct replay *replay, const struct lzi_wal_entry *entry, latz_slice key, int64_t deadline_ms)
{
	struct lzi_loaded loaded = { key, { entry->value, entry->head->value_size }, entry->head->type,
		                     entry->head->seq, 0, entry->head->op == LZI_LOG_SET_PACKED,
		                     entry->head->op == LZI_LOG_SET_SEALED };
	const struct told *told = NULL;

	if (replay->now.count + replay->before.count > 0)
		told = told_of(replay, lzi_hash128(0, key.data, key.size));
	if (told != NULL && told->op == LZI_LOG_DELETE && told->seq >= entry->head->seq)
		return LATZ_OK;
	if (told != NULL && told->op == LZI_LOG_TOUCH && told->seq == entry->head->seq)
		deadline_ms = told->expiry;
	/* Though it be over: it did replace what was before, and a touch that comes may prolong it. */
	loaded.expiry = lzi_load_expiry(deadline_ms, replay->to_mono_ms);
	return lzi_load_put(replay->call, &loaded);
}

/* An entry that counts. */
static int replay_one(struct replay *replay, const struct lzi_wal_entry *entry)
{
	const struct lzi_log_entry *head = entry->head;
	latz_slice key = { entry->key, head->key_size };
	struct told told = { { 0, 0 }, head->seq, 0, head->deadline_wall_ms, head->op };
	const struct told *newer;
	int rc = entry->major < 2 ? lzi_space_escape(&replay->escaped, &key) : LATZ_OK;

	if (rc != LATZ_OK)
		return rc;
	if (head->op == LZI_LOG_SET_PACKED && *(const uint8_t *)entry->value > lzi_dict_newest(replay->call->store))
		return lzi_error(LATZ_CORRUPT, "a value needs dictionary %u, which is not beside the log",
		                 *(const uint8_t *)entry->value);
	if (head->op == LZI_LOG_SET || head->op == LZI_LOG_SET_PACKED || head->op == LZI_LOG_SET_SEALED)
		return replay_set(replay, entry, key, head->deadline_wall_ms);
	told.hash = lzi_hash128(0, key.data, key.size);
	if (head->op == LZI_LOG_TOUCH)
		memcpy(&told.when_ns, entry->value, sizeof told.when_ns);
	newer = told_of(replay, told.hash);
	if (newer != NULL && (newer->seq > told.seq || (newer->seq == told.seq && newer->when_ns > told.when_ns)))
		return LATZ_OK;
	rc = tell(&replay->now, &told);
	if (rc != LATZ_OK)
		return rc;
	if (head->op == LZI_LOG_DELETE)
		return lzi_load_delete(replay->call, key, head->seq);
	return lzi_load_touch(replay->call, key, head->seq,
	                      lzi_load_expiry(told.expiry, replay->to_mono_ms));
}

/* A transaction is whole with this entry, or waits for more. Its last one comes in the flush after that of what was
 * done to its keys later, or before: for that took their locks when all of it was booked. So what is told of its keys
 * is still remembered. */
static int replay_group(struct replay *replay, const struct lzi_wal_entry *entry)
{
	const struct lzi_member *member;
	struct lzi_wal_entry one = *entry;
	struct lzi_group *group;
	int rc = lzi_groups_add(&replay->groups, entry, &group);

	if (rc != LATZ_OK || group == NULL)
		return rc;
	for (member = group->first; member != NULL && rc == LATZ_OK; member = member->next) {
		one.head = &member->head;
		one.key = (const uint8_t *)(member + 1);
		one.value = one.key + member->head.key_size;
		rc = replay_one(replay, &one);
	}
	lzi_group_free(group);
	return rc;
}

static int replay_entry(const struct lzi_wal_entry *entry, void *arg)
{
	struct replay *replay = arg;
	const struct lzi_log_entry *head = entry->head;

	next_flush(replay, entry->flush);
	if (head->seq > replay->seq_max)
		replay->seq_max = head->seq;
	/* Of what the snapshot has, only deadlines can have changed. */
	if (head->seq <= replay->snapshot_seq && head->op != LZI_LOG_TOUCH)
		return LATZ_OK;
	return lzi_log_op_of_group(head->op) ? replay_group(replay, entry) : replay_one(replay, entry);
}

/* A version before it may still come, and must not take its place. */
static void remember_evicted(void *arg, const struct lzi_record *record)
{
	struct replay *replay = arg;
	struct told told = { lzi_hash128(0, lzi_record_key(record), record->key_size), record->seq, 0, 0,
		             LZI_LOG_DELETE };

	if (tell(&replay->now, &told) != LATZ_OK)
		replay->forgot = 1;
}

static void begin(struct replay *replay, struct lzi_call *call)
{
	memset(replay, 0, sizeof *replay);
	replay->call = call;
	replay->to_mono_ms = lzi_clock_mono_ms() - lzi_clock_wall_ms();
	call->store->on_evict = remember_evicted;
	call->store->on_evict_arg = replay;
}

static void end(struct replay *replay)
{
	replay->call->store->on_evict = NULL;
	lzi_groups_clear(&replay->groups);
	free(replay->now.list);
	free(replay->before.list);
}

static int load_newest(struct lzi_call *call, int dirfd, struct lzi_snap_info *ret_info)
{
	char name[64];
	int rc = lzi_snapshot_newest(dirfd, name, sizeof name);

	memset(ret_info, 0, sizeof *ret_info);
	if (rc != LATZ_OK)
		return rc == LATZ_NOTFOUND ? LATZ_OK : rc;
	return lzi_snapshot_load(call, dirfd, name, NULL, ret_info);
}

/* What is over by the last deadline told of it. What fails is left to the janitor: nobody sees it anyhow. */
static void drop_expired(struct lzi_call *call)
{
	int more;

	if (lzi_maint_lock(call->store, 1) != LATZ_OK)
		return;
	(void)!lzi_expire(call, 0, &more);
	lzi_maint_unlock(call->store);
}

/* What the log's values need. Without a log or snapshot they are what a beginning left that did not come to its end. */
static int load_dicts(struct lzi_store *store, uint8_t ret_id[16])
{
	int dirfd = store->persist.dirfd, rc;
	char name[64];
	uint64_t first, last;

	memset(ret_id, 0, 16);
	rc = lzi_wal_range(dirfd, &first, &last);
	if (rc == LATZ_OK && last == 0 && lzi_snapshot_newest(dirfd, name, sizeof name) == LATZ_NOTFOUND)
		return lzi_dict_save(store, dirfd, ret_id);
	return rc == LATZ_OK ? lzi_dict_load(store, dirfd, ret_id) : rc;
}

/* Another log's dictionaries would make other values of what this one has. */
static int check_dicts(unsigned loaded, const uint8_t dict_id[16], const uint8_t log_id[16])
{
	return loaded == 0 || memcmp(dict_id, log_id, 16) == 0
	               ? LATZ_OK
	               : lzi_error(LATZ_CORRUPT, "the dictionaries are of another log");
}

/* The log goes on behind what was read; or, where that can't be relied on, behind a snapshot of it all. */
static int go_on(struct lzi_call *call, struct lzi_snap_info *info, const struct lzi_wal_read *read, uint64_t last)
{
	struct lzi_store *store = call->store;
	struct lzi_snapshot_job job = { .tick = NULL };
	struct lzi_snap_info again = *info;
	int trusts = last == 0 || lzi_persist_trusts(store->persist.dirfd), rc = LATZ_OK;

	again.first_segment = last + 1;
	if (!trusts)
		rc = lzi_snapshot_to_file(call, store->persist.dirfd, NULL, &job, &again);
	/* Which first puts on disk what was read, if it is in the system's cache only. */
	if (rc == LATZ_OK)
		rc = lzi_persist_continue(store, info->log_id, last >= read->from ? last : read->from - 1,
		                          read->next_frame, &again);
	if (rc == LATZ_IO)
		lzi_persist_distrust(store->persist.dirfd);
	if (rc != LATZ_OK)
		return rc;
	if (!trusts) {
		rc = lzi_snapshot_remove_below(store->persist.dirfd, again.seq);
		if (rc == LATZ_OK)
			rc = lzi_wal_remove_below(store->persist.dirfd, again.first_segment);
		if (rc == LATZ_OK)
			lzi_persist_trust(store->persist.dirfd);
	} else if (last >= read->from) {
		/* What was replayed now would be again, until a checkpoint. */
		lzi_log_position(store)->bytes = (last - read->from + 1) * lzi_wal_segment_bytes;
		store->control.shared->log.synced_pages = (uint32_t)(lzi_log_position(store)->bytes / LZI_PAGE);
	}
	return rc;
}

static int start(struct lzi_call *call)
{
	struct lzi_store *store = call->store;
	struct lzi_wal_read read = { .dirfd = store->persist.dirfd, .entry = replay_entry };
	struct lzi_log_state *log = &store->control.shared->log;
	struct lzi_snap_info info;
	struct replay replay;
	uint64_t first, last;
	uint8_t dict_id[16];
	unsigned dicts;
	int rc;

	begin(&replay, call);
	rc = lzi_persist_is_whole(store->persist.dirfd);
	if (rc != LATZ_OK)
		return rc;
	rc = load_dicts(store, dict_id);
	dicts = lzi_dict_newest(store);
	if (rc == LATZ_OK)
		rc = load_newest(call, store->persist.dirfd, &info);
	LZI_POINT("warm.snapshot");
	if (rc == LATZ_OK)
		rc = lzi_wal_range(store->persist.dirfd, &first, &last);
	if (rc != LATZ_OK)
		return rc;
	replay.snapshot_seq = replay.seq_max = info.seq;
	if (info.seq == 0 && last > 0 && first != 1)
		return lzi_error(LATZ_CORRUPT, "the log begins with segment %llu, and there is no snapshot before it",
		                 (unsigned long long)first);
	read.log_id = info.seq == 0 ? NULL : info.log_id;
	read.from = info.first_segment != 0 ? info.first_segment : 1;
	read.arg = &replay;
	read.next_frame = 1;
	/* A snapshot may be there without a segment after it: its maker died in between. */
	if (last >= read.from)
		rc = lzi_wal_read(&read);
	LZI_POINT("warm.replayed");
	end(&replay);
	if (rc == LATZ_OK && replay.forgot)
		rc = lzi_error(LATZ_NOMEM, "evictions while the log was read");
	if (rc != LATZ_OK)
		return rc;
	if (info.seq == 0 && last > 0)
		memcpy(info.log_id, read.found_id, sizeof info.log_id);
	rc = check_dicts(dicts, dict_id, info.log_id);
	/* The snapshot may have had one that is not beside it. */
	if (rc == LATZ_OK && lzi_dict_newest(store) > dicts)
		rc = lzi_dict_save(store, store->persist.dirfd, info.log_id);
	if (rc != LATZ_OK)
		return rc;
	drop_expired(call);
	lzi_load_end(store, replay.seq_max, !store->persist.was_left);
	rc = lzi_tokens_join(store);
	if (rc != LATZ_OK)
		return rc;
	if (read.torn_bytes > 0 && store->persist.was_left)
		lzi_log(LATZ_LOG_WARNING,
		        "%s: the log ends in the middle of a write, though it was whole when the pool was left: %llu "
		        "bytes of it are damaged, or lost, and passed over",
		        store->name, (unsigned long long)read.torn_bytes);
	else if (read.torn_bytes > 0)
		lzi_log(LATZ_LOG_INFO, "%s: the log ended in the middle of a write; %llu bytes cut", store->name,
		        (unsigned long long)read.torn_bytes);
	log->started = log->written = log->synced = ((replay.flush >> LZI_FLUSH_SESSION) + 1) << LZI_FLUSH_SESSION;
	return go_on(call, &info, &read, last);
}

int lzi_warm_start(struct lzi_store *store)
{
	struct lzi_policy_state *known;
	struct lzi_call call;
	int rc = lzi_thread_find(store, &call);

	if (rc != LATZ_OK)
		return rc;
	known = lzi_carry_load(store);
	rc = start(&call);
	if (rc == LATZ_OK)
		lzi_carry_adopt(&call, known);
	else
		free(known);
	return rc;
}
