/*
 * Committing a transaction. Order of stores (doc/together.md has what a death between any two leaves):
 *
 *   drafts of all records, past the tails of extents of our own; the list of what is about to change
 *   the lock in whose name it is, if any, looked at and announced
 *   record_new = the list, kind = TXN
 *   buckets locked, in ascending order of their numbers
 *   what was read is still so? conditions; then the seq
 *   what is told to the change feed
 *   each record: undecided, what it replaces into the list, its slot
 *   committed = seq: the transaction happens here
 *   the rest (txn_mend.c); events settled; buckets unlocked; kind = NONE; the lock's announcement taken back
 *
 * What can fail fails before the first slot is stored.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/point.h"
#include "store/retain.h"
#include "store/audit.h"
#include "store/feed.h"
#include "store/log.h"
#include "store/newest.h"
#include "store/seal.h"
#include "store/space.h"
#include "store/txn_commit.h"

#define TRIES_MAX 1000u
/* More is damage. */
#define SPLITS_MAX 1000u
#define ATTEMPTS_MAX 10000u

/* ---- Locks ---- */

static int compare_numbers(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void sort(uint64_t *list, size_t count)
{
	size_t i, j;

	if (count > LZI_TXN_FEW) {
		qsort(list, count, sizeof *list, compare_numbers);
		return;
	}
	for (i = 1; i < count; i++) {
		uint64_t number = list[i];

		for (j = i; j > 0 && list[j - 1] > number; j--)
			list[j] = list[j - 1];
		list[j] = number;
	}
}

/* Which buckets, by the number of them there is now; into the list as well. No lock is held. */
static void choose_buckets(struct lzi_txn_commit *c)
{
	uint64_t n = lzi_load_acquire(&c->call->store->control.shared->buckets);
	struct lzi_txn_entry *entry = lzi_txn_entries(c->list);
	size_t i;

	for (i = 0; i < c->count; i++) {
		c->items[i].number = c->numbers[i] = lzi_bucket_of(c->items[i].hash, n);
		if (c->items[i].is_written)
			(entry++)->bucket = c->numbers[i];
	}
	sort(c->numbers, c->count);
	c->locks = 0;
	for (i = 0; i < c->count; i++) {
		if (i == 0 || c->numbers[i] != c->numbers[i - 1])
			c->numbers[c->locks++] = c->numbers[i];
	}
	c->list->locks = c->locks;
	memcpy(lzi_txn_locks(c->list, (uint32_t)c->writes), c->numbers, c->locks * sizeof *c->numbers);
}

static void unlock_all(struct lzi_txn_commit *c)
{
	struct lzi_actor *actor = c->call->actor;

	while (c->held_count > 0)
		lzi_table_unlock_one(c->held[--c->held_count].bucket);
	LZI_POINT("txn.unlocked");
	lzi_store_release(&actor->bucket, 0ull);
	lzi_store_release(&actor->kind, (uint32_t)LZI_INTENT_NONE);
	lzi_store_release(&actor->space, 0u);
	lzi_store_release(&actor->txn_inserts, 0u);
}

static int lock_all(struct lzi_txn_commit *c)
{
	struct lzi_store *store = c->call->store;
	struct lzi_actor *actor = c->call->actor;
	uint64_t n;
	size_t i;
	int rc = LATZ_OK;

	choose_buckets(c);
	actor->record_new = lzi_unit_of(c->list_offset);
	lzi_store_release(&actor->kind, (uint32_t)LZI_INTENT_TXN);
	LZI_POINT("txn.intent");
	while (c->held_count < c->locks && rc == LATZ_OK) {
		struct lzi_txn_held *held = &c->held[c->held_count];

		rc = lzi_table_lock_number(&store->table, actor, c->call->index, c->numbers[c->held_count],
		                           &held->bucket);
		held->rooms = 0;
		c->held_count += rc == LATZ_OK;
		LZI_POINT("txn.locked_one");
	}
	if (rc != LATZ_OK)
		return rc;
	/* A split may have moved a key before we had its lock; now nothing moves. */
	n = lzi_load_acquire(&store->control.shared->buckets);
	for (i = 0; i < c->count; i++) {
		if (lzi_bucket_of(c->items[i].hash, n) != c->items[i].number)
			return LZI_TXN_AGAIN;
	}
	LZI_POINT("txn.locked");
	return LATZ_OK;
}

static struct lzi_txn_held *held_of(struct lzi_txn_commit *c, uint64_t number)
{
	uint32_t low = 0, high = c->locks, middle;

	while (high - low > 1) {
		middle = (low + high) / 2;
		if (c->numbers[middle] <= number)
			low = middle;
		else
			high = middle;
	}
	return &c->held[low];
}

/* ---- Under the locks ---- */

/* what: became of the key since it was read. */
static LZI_COLD int conflict(struct lzi_store *store, const struct lzi_txn_item *item, const char *what)
{
	latz_slice key = item->write.key;
	uint8_t *room = malloc(key.size);
	char text[80];
	uint32_t number;
	size_t i, n;

	if (room == NULL || lzi_key_seen(store, &key, &number, room) != LATZ_OK)
		key.size = 0;
	n = key.size < 79 ? key.size : 79;

	for (i = 0; i < n; i++) {
		uint8_t byte = ((const uint8_t *)key.data)[i];

		text[i] = (char)(byte >= 0x20 && byte < 0x7f ? byte : '?');
	}
	text[n] = '\0';
	if (room != NULL && lzi_is_sealed(store))
		lzi_wipe(room, item->write.key.size);
	free(room);
	return lzi_error(LATZ_CONFLICT, "key \"%s\"%s %s since it was read", text, n < key.size ? "..." : "", what);
}

static LZI_COLD int conflict_found(struct lzi_store *store, const struct lzi_txn_item *item, int present)
{
	if (item->read_version == 0 || present)
		return conflict(store, item, "was written by somebody else");
	return conflict(store, item, item->old != NULL && lzi_load_relaxed(&item->old->died) == 0 &&
	                                             item->old->seq == item->read_version
	                                     ? "has expired"
	                                     : "has gone");
}

/* What a write would do to the key as it is now. */
static int look_at_write(struct lzi_txn_commit *c, struct lzi_txn_item *item, int present)
{
	struct lzi_write *write = &item->write;
	int rc;

	item->inserts = item->kills = 0;
	item->present = (uint8_t)present;
	if (write->kind == LZI_WRITE_DELETE) {
		item->kills = item->old != NULL && lzi_load_relaxed(&item->old->died) == 0;
		item->what = item->kills ? LZI_TXN_DELETE : LZI_TXN_NOTE;
		return LATZ_OK;
	}
	item->what = LZI_TXN_SET;
	item->expiry = write->ttl_ms > 0 ? lzi_clock_mono_ms() + write->ttl_ms : 0;
	rc = write->flags != 0 ? lzi_write_check(c->call->store, write, item->old, present, &item->compared) : LATZ_OK;
	if (rc == LZI_WRITE_LOOK) {
		c->look = item;
		return LZI_TXN_AGAIN_LOOK;
	}
	if (rc == 1)
		item->what = LZI_TXN_SAME;
	else if (rc != LATZ_OK)
		return rc;
	if (present && write->flags & LATZ_KEEP_TTL)
		item->expiry = lzi_record_expiry(item->old);
	if (lzi_retains(c->call->store))
		item->expiry = lzi_retain_deadline(c->call->store, write->key, item->expiry);
	item->inserts = item->old == NULL || lzi_load_relaxed(&item->old->died) != 0;
	return item->expiry != 0 && !item->draft.ext ? LZI_TXN_AGAIN_EXT : LATZ_OK;
}

static int look_at(struct lzi_txn_commit *c, struct lzi_txn_item *item)
{
	struct lzi_bucket *bucket = held_of(c, item->number)->bucket;
	int present = 0, rc;

	item->old = NULL;
	item->slot = NULL;
	rc = lzi_write_find(c->call->store, bucket, item->write.key, item->hash, &item->slot, &item->old);
	if (rc == LATZ_OK)
		present = lzi_record_present(item->old);
	else if (rc != LATZ_NOTFOUND)
		return rc;
	if (item->is_read && item->read_version != (present ? item->old->seq : 0))
		return conflict_found(c->call->store, item, present);
	return item->is_written ? look_at_write(c, item, present) : LATZ_OK;
}

/* What the namespace has more, if the keys are of one; a handle's are of one, or of none. */
static void reckon_space(struct lzi_txn_commit *c)
{
	size_t i;

	c->space_keys = c->space_bytes = 0;
	for (i = 0; i < c->count; i++) {
		const struct lzi_txn_item *item = &c->items[i];

		if (!item->is_written || (item->what != LZI_TXN_SET && item->what != LZI_TXN_DELETE))
			continue;
		if (item->old != NULL && lzi_load_relaxed(&item->old->died) == 0)
			c->space_bytes -= (int64_t)lzi_record_span_of(item->old);
		if (item->what == LZI_TXN_SET)
			c->space_bytes += (int64_t)item->draft.span;
		c->space_keys += item->inserts - item->kills;
	}
	lzi_store_relaxed(&c->call->actor->space_more, c->space_bytes > 0 ? (uint64_t)c->space_bytes : 0);
}

static int is_spaced(const struct lzi_txn_commit *c)
{
	return lzi_unlikely(lzi_key_is_spaced(c->items[0].write.key.data, c->items[0].write.key.size));
}

/* A slot for each key that comes. Overflow buckets are mended through the bucket that is announced. */
static int find_slots(struct lzi_txn_commit *c)
{
	struct lzi_call *call = c->call;
	size_t i;
	int rc = LATZ_OK;

	for (i = 0; i < c->count && rc == LATZ_OK; i++) {
		struct lzi_txn_item *item = &c->items[i];
		struct lzi_txn_held *held;

		if (!item->is_written || item->what != LZI_TXN_SET || item->slot != NULL)
			continue;
		held = held_of(c, item->number);
		lzi_store_release(&call->actor->bucket, item->number * sizeof(struct lzi_bucket) + 1);
		rc = lzi_table_room(&call->store->table, call->actor, call->index, held->bucket, held->rooms++,
		                    &item->slot);
	}
	return rc == LATZ_NOSPC ? LZI_TXN_AGAIN_NOSPC : rc == LATZ_FULL ? LZI_TXN_AGAIN_FULL : rc;
}

/* Everything that may fail, but for what depends on the seq. */
static int validate(struct lzi_txn_commit *c)
{
	struct lzi_store *store = c->call->store;
	uint32_t inserts = 0;
	uint64_t max;
	size_t i;
	int rc;

	for (i = 0; i < c->count; i++) {
		rc = look_at(c, &c->items[i]);
		if (rc != LATZ_OK)
			return rc;
		inserts += c->items[i].is_written && c->items[i].inserts;
	}
	c->inserts = inserts;
	lzi_store_relaxed(&c->call->actor->txn_inserts, inserts);
	if (is_spaced(c))
		reckon_space(c);
	if ((inserts > 0 && lzi_is_bounded(store)) || is_spaced(c))
		lzi_fence_full(); /* others who create keys see it, or we see theirs */
	if (lzi_is_bounded(store) && inserts > 0) {
		max = lzi_load_relaxed(&store->control.shared->bound.max_entries);
		if (max != 0 && inserts > max)
			return lzi_error(LATZ_FULL, "%u new keys; max_entries is %llu", inserts,
			                 (unsigned long long)max);
		if (lzi_bound_entries_full(store))
			return LZI_TXN_AGAIN_CROWDED;
	}
	if (is_spaced(c)) {
		rc = lzi_space_admit_all(c->call, lzi_key_space(c->items[0].write.key.data), c->space_keys,
		                         c->space_bytes);
		if (rc != LATZ_OK)
			return rc == LZI_SPACE_CROWDED ? LZI_TXN_AGAIN_SPACE : rc;
	}
	return find_slots(c);
}

/* The number that names the transaction: above all that its keys have had. Who takes a pin announces it and then moves
 * the clock, so a seq beyond a pin knows it. Whoever sets a key that we delete must come after us, though nothing of us
 * may be left in the table: so then the clock moves past us, too. */
static int take_seq(struct lzi_txn_commit *c)
{
	struct lzi_store *store = c->call->store;
	uint64_t strides = 1;
	size_t i;

	for (i = 0; i < c->count && strides == 1; i++)
		strides += c->items[i].is_written && c->items[i].write.kind == LZI_WRITE_DELETE;
	c->seq = lzi_fetch_add(&store->control.shared->clock, strides * LZI_SEQ_STRIDE) + LZI_SEQ_STRIDE;
	if (lzi_is_durable(store) && c->group.record == NULL)
		return LZI_TXN_AGAIN_NOTE;
	for (i = 0; i < c->count; i++) {
		const struct lzi_txn_item *item = &c->items[i];

		if (!item->is_written || item->old == NULL)
			continue;
		if (lzi_last_seq(item->old) >= c->seq)
			return lzi_seq_damaged(item->old);
		if (!item->draft.ext && lzi_record_needed(store, item->old))
			return LZI_TXN_AGAIN_EXT;
	}
	return LATZ_OK;
}

/* Values were sealed when they were drafted; what ties them to the seq comes once it is known, once for each draft. */
static int seal_heads(struct lzi_txn_commit *c)
{
	struct lzi_sealing sealing;
	size_t i;
	int rc = LATZ_OK;

	for (i = 0; i < c->count && rc == LATZ_OK; i++) {
		struct lzi_record *record = c->items[i].draft.record;

		if (!c->items[i].is_written || c->items[i].draft.sealed == NULL)
			continue;
		record->seq = c->seq;
		sealing = lzi_draft_sealing(&c->items[i].draft, c->items[i].write.key, c->items[i].write.type);
		rc = lzi_newest_check_write(c->call->store, &c->items[i].write, c->items[i].old, c->seq);
		if (rc == LATZ_OK)
			rc = lzi_seal_head(c->call, &sealing, c->seq, c->items[i].draft.sealed);
	}
	return rc;
}

/* What nobody can undo any more. */
static void note_newest(struct lzi_txn_commit *c)
{
	size_t i;

	for (i = 0; i < c->count; i++) {
		if (c->items[i].is_written && (c->items[i].what == LZI_TXN_SET || c->items[i].kills))
			lzi_newest_note(c->call->store, c->items[i].write.key, c->seq);
	}
}

static void finish(struct lzi_record *record, uint64_t seq)
{
	record->seq = seq;
	record->crc ^= lzi_record_crc_seq(seq);
}

static void fill_group(struct lzi_txn_commit *c, uint32_t members)
{
	struct lzi_note_group group = { members, 0 };
	struct lzi_record *record = c->group.record;
	uint8_t *value;

	if (record == NULL)
		return;
	value = (uint8_t *)record + LZI_RECORD_HEAD + 1; /* as draft_group() made it */
	memcpy(value, &group, sizeof group);
	record->crc = lzi_record_crc(sizeof group, 1, LZI_NOTE_GROUP, 0, "", &group);
	finish(record, c->seq);
	record->died = lzi_death_make(c->seq, LZI_DEATH_MOVED);
}

/* One record into its slot: undecided. */
static void publish(struct lzi_txn_commit *c, struct lzi_txn_item *item, struct lzi_txn_entry *entry)
{
	struct lzi_store *store = c->call->store;
	struct lzi_record *record = item->draft.record;
	uint64_t unit = lzi_unit_of(item->draft.offset), word = item->slot == NULL ? 0 : lzi_load_relaxed(item->slot);
	int replaces = item->old != NULL, lives = replaces && lzi_load_relaxed(&item->old->died) == 0;

	finish(record, c->seq);
	entry->what = item->what;
	entry->old = 0;
	entry->death = LZI_DEATH_SUPERSEDED;
	if (item->what == LZI_TXN_SAME)
		record->flags |= LZI_RECORD_COPY; /* which the log passes over */
	if (item->what == LZI_TXN_SAME || item->what == LZI_TXN_NOTE) {
		record->died = lzi_death_make(c->seq, item->what == LZI_TXN_SAME ? LZI_DEATH_MOVED : LZI_DEATH_DELETED);
		return;
	}
	entry->old = replaces ? word : 0;
	if (item->inserts)
		record->flags |= LZI_RECORD_INSERT;
	if (item->draft.ext) {
		if (lzi_retains(store))
			*lzi_record_written(record) = lzi_retain_now();
		lzi_record_ext(record)->expiry = item->what == LZI_TXN_SET ? item->expiry : 0;
		if (replaces && lzi_record_needed(store, item->old))
			entry->death = lzi_write_link(store->control.shared, record, item->old, lzi_slot_unit(word));
		if (item->what == LZI_TXN_SET)
			lzi_expiry_note(store, unit, item->expiry);
	}
	record->died = lzi_undecided_make(lives ? lzi_slot_unit(word) : 0, c->call->index);
	/* Pairs with the readers' load of the slot. */
	lzi_store_release(item->slot, lzi_slot_make(item->hash, unit) | (word & LZI_SLOT_VISITS));
	LZI_POINT("txn.published_one");
}

/* All its events before it happens: they happen with it, or nobody hears of them. */
static LZI_NOINLINE void tell_feed(struct lzi_txn_commit *c)
{
	size_t i;

	for (i = 0; i < c->count; i++) {
		const struct lzi_txn_item *item = &c->items[i];

		if (item->is_written && item->what == LZI_TXN_SET)
			lzi_feed_set(c->call, item->write.key, c->seq, item->write.type, item->old, item->present);
		else if (item->is_written && item->what == LZI_TXN_DELETE)
			lzi_feed_removed(c->call, item->present ? LATZ_EVENT_DELETE : LATZ_EVENT_EXPIRE, item->old);
	}
	LZI_POINT("txn.fed");
}

/* What is written last is not evicted before the next write (doc/bounds.md). Under the locks: an old record of the key
 * is not spared for it. */
static void name_fresh(struct lzi_txn_commit *c)
{
	struct lzi_actor *actor = c->call->actor;
	size_t i;

	for (i = c->count; i-- > 0;) {
		const struct lzi_txn_item *item = &c->items[i];

		if (!item->is_written || item->write.kind != LZI_WRITE_SET)
			continue;
		lzi_store_relaxed(&actor->fresh_units, (uint32_t)(item->draft.span / LZI_UNIT));
		lzi_store_relaxed(&actor->fresh_hash, item->hash);
		if (item->what == LZI_TXN_SAME)
			lzi_bound_renew(c->call->store);
		return;
	}
}

static void publish_all(struct lzi_txn_commit *c)
{
	struct lzi_actor *actor = c->call->actor;
	struct lzi_txn_entry *entry = lzi_txn_entries(c->list);
	uint32_t members = 0;
	int64_t keys = actor->keys;
	size_t i;

	for (i = 0; i < c->count; i++) {
		if (!c->items[i].is_written)
			continue;
		members += c->items[i].what != LZI_TXN_SAME;
		keys += c->items[i].what == LZI_TXN_SET && c->items[i].inserts;
		keys -= c->items[i].kills;
	}
	if (lzi_is_bounded(c->call->store))
		name_fresh(c);
	if (lzi_is_fed(c->call->store))
		tell_feed(c);
	fill_group(c, members);
	c->list->keys_after = keys;
	if (is_spaced(c))
		lzi_space_intend_all(c->call, lzi_key_space(c->items[0].write.key.data), c->space_keys, c->space_bytes);
	lzi_store_release(&c->list->seq, c->seq); /* from here on a reaper undoes it */
	LZI_POINT("txn.listed");
	for (i = 0; i < c->count; i++) {
		if (c->items[i].is_written)
			publish(c, &c->items[i], entry++);
	}
	LZI_POINT("txn.published");
	lzi_store_release(&actor->committed, c->seq); /* the transaction happens here */
	LZI_POINT("txn.committed");
}

/* ---- All of it ---- */

static int attempt(struct lzi_txn_commit *c)
{
	unsigned splits = 0;
	size_t i;
	int rc;

	lzi_store_relaxed(&c->call->actor->fresh_hash, 0ull); /* what we wrote before may make room for this */
	rc = lzi_txn_draft_all(c);
	if (rc == LATZ_OK)
		rc = lzi_fence_begin(c->call, c->fence);
	if (rc == LATZ_OK) {
		for (i = 0; i < c->count; i++)
			lzi_read_prefetch_record(c->call->store, c->items[i].hash);
		do {
			rc = lock_all(c);
			if (rc == LZI_TXN_AGAIN)
				unlock_all(c);
		} while (rc == LZI_TXN_AGAIN && splits++ < SPLITS_MAX);
		if (rc == LZI_TXN_AGAIN)
			rc = lzi_error(LATZ_CORRUPT, "the number of buckets keeps changing");
		if (rc == LATZ_OK)
			rc = validate(c);
		if (rc == LATZ_OK)
			rc = take_seq(c);
		if (rc == LATZ_OK && lzi_is_sealed(c->call->store))
			rc = seal_heads(c);
		if (rc == LATZ_OK) {
			publish_all(c);
			lzi_txn_finish(c->call->store, c->call->actor, c->call->index, c->list, (uint32_t)c->writes, 0);
			lzi_txn_extents_tell(c);
			if (lzi_unlikely(c->call->actor->feed_first != 0))
				lzi_feed_settle(c->call->store, c->call->actor, c->call->index, 1);
		}
		unlock_all(c);
	}
	lzi_fence_end(c->call, c->fence);
	if (rc != LATZ_OK) {
		lzi_txn_draft_abandon(c);
		return rc;
	}
	lzi_txn_draft_free(c, c->list_offset, c->list_span);
	lzi_txn_extents_leave(c);
	return LATZ_OK;
}

/* Makes good what an attempt failed for, as far as that goes: LATZ_OK: another one. */
static LZI_COLD int prepare_again(struct lzi_txn_commit *c, int rc, unsigned *tries, int *cleaned)
{
	struct lzi_need need = { .span = LZI_UNIT };
	struct lzi_call *call = c->call;

	if (c->attempts++ > ATTEMPTS_MAX)
		return lzi_error(LATZ_CORRUPT, "what the transaction finds keeps changing");
	switch (rc) {
	case LZI_TXN_AGAIN_EXT: c->ext = 1; return LATZ_OK;
	case LZI_TXN_AGAIN_NOTE: c->wants_note = 1; return LATZ_OK;
	case LZI_TXN_AGAIN_LOOK: return lzi_write_compare(call, &c->look->write, c->look->hash, &c->look->compared);
	case LZI_TXN_AGAIN_CROWDED:
		return ++*tries < TRIES_MAX ? lzi_bound_make_entries(call, c->inserts)
		                            : lzi_error(LATZ_FULL, "others take the entries that were made");
	case LZI_TXN_AGAIN_SPACE:
		return ++*tries < TRIES_MAX ? lzi_space_make_room(call, c->items[0].write.key, c->space_keys,
		                                                  c->space_bytes > 0 ? (uint64_t)c->space_bytes : 0)
		                            : lzi_error(LATZ_FULL, "others take the room that was made");
	case LZI_TXN_AGAIN_NOSPC:
		return (*cleaned)++ == 0 ? lzi_clean_for_room(call, &call->actor->extent)
		                         : lzi_error(LATZ_NOSPC, "no room for a bucket of the table");
	case LZI_TXN_AGAIN_FULL:
		return ++*tries < TRIES_MAX ? lzi_bound_make_room(call, &call->actor->extent, &need)
		                            : lzi_error(LATZ_FULL, "others take the room that was made");
	default: return rc;
	}
}

static void after(struct lzi_txn_commit *c)
{
	struct lzi_call *call = c->call;
	struct lzi_actor *actor = call->actor;
	uint64_t sets = 0, deletes = 0, expired = 0;
	size_t i;

	if (lzi_is_fed(call->store))
		lzi_feed_ring(call->store);
	for (i = 0; i < c->count; i++) {
		struct lzi_txn_item *item = &c->items[i];

		if (!item->is_written)
			continue;
		if (item->what == LZI_TXN_SET) {
			sets++;
			item->write.created = item->inserts;
			if (is_spaced(c) && lzi_space_resolve(call, &item->write) == LATZ_OK &&
			    item->write.cell != NULL)
				lzi_space_written(call, &item->write, item->hash);
			actor->debt += item->inserts;
			if (item->draft.ext)
				lzi_expiry_note_again(call->store, lzi_unit_of(item->draft.offset), item->expiry);
		} else {
			deletes += item->kills && item->present;
			if (item->kills && is_spaced(c))
				lzi_space_erased(call, &item->write, !item->present);
			expired += item->kills && !item->present;
		}
		if (lzi_is_watched(call->store) && (item->what == LZI_TXN_SET || item->kills))
			lzi_hear_write(call, item->hash, item->kills ? 0 : item->draft.span,
			               item->kills     ? LZI_EVENT_REMOVED
			               : item->inserts ? LZI_EVENT_CREATED
			                               : LZI_EVENT_WRITTEN);
	}
	lzi_bump_relaxed(&actor->uses, 1u); /* though nothing may have changed */
	lzi_bump_relaxed(&actor->sets, sets);
	lzi_bump_relaxed(&actor->deletes, deletes);
	lzi_bump_relaxed(&actor->expired, expired);
	lzi_write_grow_table(call);
	if (lzi_is_bounded(call->store))
		lzi_bound_pace(call);
	if (lzi_is_sealed(call->store))
		note_newest(c);
}

/* In which namespace it may be creating keys, for others to reckon with. */
static void say_space(struct lzi_txn_commit *c)
{
	struct lzi_store *store = c->call->store;
	struct lzi_space *space = lzi_space_find(store, lzi_key_space(c->items[0].write.key.data));

	lzi_store_relaxed(&c->call->actor->space_more, 0ull); /* until it is known */
	lzi_store_relaxed(&c->call->actor->space_at, space == NULL ? 0 : lzi_space_index(store, space) + 1);
}

static int write_down(struct lzi_txn_commit *c)
{
	int rc = LATZ_OK;
	size_t i;

	for (i = 0; i < c->count && rc == LATZ_OK && lzi_audits(c->call, LZI_WATCH_AUDIT_WRITES); i++)
		rc = c->items[i].is_written ? lzi_audit_write(c->call, &c->items[i].write) : LATZ_OK;
	return rc;
}

static int check_bounds(struct lzi_txn_commit *c)
{
	uint64_t span = 0;
	size_t i;

	if (!lzi_is_bounded(c->call->store))
		return LATZ_OK;
	for (i = 0; i < c->count; i++) {
		uint64_t each = lzi_record_span(c->items[i].write.key.size, c->items[i].write.value.size, 1);

		/* A large one has extents of its own. */
		if (c->items[i].is_written)
			span += each <= LZI_RECORD_SHARED_MAX ? each
			                                      : (each + LZI_EXTENT - 1) / LZI_EXTENT * LZI_EXTENT;
	}
	return lzi_bound_check(c->call, span);
}

static int commit_many(struct lzi_call *call, struct lzi_txn_item *items, size_t count, const struct lzi_fence *fence,
                       uint64_t *ret_seq)
{
	unsigned tries = 0;
	struct lzi_txn_commit c;
	int cleaned = 0, rc = lzi_txn_commit_begin(&c, call, items, count, fence);

	lzi_call_begin(call);
	if (rc == LATZ_OK)
		rc = write_down(&c);
	if (rc == LATZ_OK)
		rc = check_bounds(&c);
	if (rc == LATZ_OK && is_spaced(&c))
		say_space(&c);
	while (rc == LATZ_OK) {
		rc = attempt(&c);
		if (rc == LATZ_OK)
			break;
		rc = prepare_again(&c, rc, &tries, &cleaned);
	}
	if (rc == LATZ_OK) {
		after(&c);
		*ret_seq = c.seq;
	}
	lzi_store_release(&call->actor->space_at, 0u);
	lzi_call_end(call);
	lzi_txn_commit_end(&c);
	return rc;
}

/* One write, of a key that was read, or not, is a write like any other. */
static int commit_one(struct lzi_call *call, struct lzi_txn_item *item, const struct lzi_fence *fence,
                      uint64_t *ret_seq)
{
	struct lzi_write write = item->write;
	int rc;

	write.later = 1;
	write.fence = fence;
	if (item->is_read) {
		write.flags |= item->read_version == 0 ? LATZ_IF_ABSENT : LATZ_IF_VERSION;
		write.if_version = item->read_version;
	}
	rc = lzi_store_write(call, &write);
	*ret_seq = write.version;
	if (write.kind == LZI_WRITE_DELETE)
		return rc == LATZ_NOTFOUND ? LATZ_OK : rc;
	if (item->is_read && (rc == LATZ_EXISTS || rc == LATZ_NOTFOUND || rc == LATZ_MISMATCH))
		return conflict(call->store, item, rc == LATZ_NOTFOUND ? "has gone" : "was written by somebody else");
	return rc;
}

int lzi_txn_commit(struct lzi_call *call, struct lzi_txn_item *items, size_t count, const struct lzi_fence *fence,
                   uint64_t *ret_seq)
{
	/* A delete looks at no lock. */
	if (count == 1 && (items[0].write.kind == LZI_WRITE_SET || (!items[0].is_read && fence == NULL)))
		return commit_one(call, items, fence, ret_seq);
	return commit_many(call, items, count, fence, ret_seq);
}
