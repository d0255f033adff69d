/*
 * Finishing a transaction that is decided, by who committed it or by its reaper; undoing one that is not. Everything
 * here can be repeated: a reaper may die too.
 */
#include "config.h"

#include "base/error.h"
#include "base/point.h"
#include "store/feed.h"
#include "store/log.h"
#include "store/space.h"
#include "store/txn.h"

static struct lzi_bucket *bucket_of(struct lzi_store *store, uint64_t number)
{
	struct lzi_bucket *bucket = lzi_table_bucket(&store->table, number);

	if (bucket == NULL && lzi_table_view(&store->table) == LATZ_OK)
		bucket = lzi_table_bucket(&store->table, number);
	return bucket;
}

uint64_t *lzi_slot_naming(struct lzi_store *store, struct lzi_bucket *bucket, uint64_t unit)
{
	unsigned i, hops;

	for (hops = 0; bucket != NULL && hops < LZI_CHAIN_MAX; bucket = lzi_table_next(&store->table, bucket), hops++) {
		for (i = 0; i < LZI_SLOTS; i++) {
			if (lzi_slot_unit(lzi_load_relaxed(&bucket->slot[i])) == unit && unit != 0)
				return &bucket->slot[i];
		}
	}
	return NULL;
}

/* When the dead committer had come as far as killing it, its extent may have been freed since, and other records may
 * stand there; one of this key only as a draft, by a writer who waits for us. */
static struct lzi_record *old_of(struct lzi_store *store, const struct lzi_txn_entry *entry,
                                 const struct lzi_record *record, int mending)
{
	uint64_t unit = lzi_slot_unit(entry->old);
	struct lzi_record *old = entry->old == 0 ? NULL : lzi_record_at(store, unit);

	return old == NULL || !mending || lzi_record_was(store, unit, old, record) ? old : NULL;
}

/* The record that was replaced dies; the new one is a record like any other. */
static void finish_set(struct lzi_store *store, const struct lzi_txn_list *list, const struct lzi_txn_entry *entry,
                       struct lzi_record *record, struct lzi_record *old)
{
	if (old != NULL)
		lzi_record_kill(store, old, lzi_slot_unit(entry->old), list->seq, (enum lzi_death)entry->death);
	LZI_POINT("txn.old_dead");
	lzi_store_release(&record->died, 0ull);
}

/* As remove_record() of remove.c leaves it: the old record is dead, and in its slot only as long as a scan may want it.
 * A reader who has found the note looks whether the slot has changed, or at the note's death. */
static void finish_delete(struct lzi_store *store, const struct lzi_txn_list *list, const struct lzi_txn_entry *entry,
                          struct lzi_record *record, struct lzi_record *old)
{
	uint64_t *slot = lzi_slot_naming(store, bucket_of(store, entry->bucket), entry->record);

	if (old != NULL)
		lzi_record_kill(store, old, lzi_slot_unit(entry->old), list->seq, LZI_DEATH_DELETED);
	LZI_POINT("txn.deleted");
	if (slot != NULL && old != NULL && lzi_record_needed(store, old)) {
		lzi_store_relaxed(&store->control.shared->zombies, 1u);
		lzi_store_release(slot, entry->old);
	} else if (slot != NULL) {
		lzi_store_release(slot, 0ull);
	}
	LZI_POINT("txn.note_out");
	lzi_store_release(&record->died, lzi_death_make(list->seq, LZI_DEATH_DELETED));
}

/* From here on who walks the heap sees it. */
static void book(struct lzi_store *store, uint64_t unit, const struct lzi_record *record)
{
	if (lzi_load_relaxed(&record->died) != 0)
		lzi_note_book(store, unit, record);
	else
		lzi_append_done(store, unit, record);
	LZI_POINT("txn.booked_one");
}

void lzi_txn_finish(struct lzi_store *store, struct lzi_actor *actor, uint32_t index, struct lzi_txn_list *list,
                    uint32_t writes, int mending)
{
	const struct lzi_txn_entry *entry = lzi_txn_entries(list);
	struct lzi_record *record, *old;
	uint32_t i;

	for (i = 0; i < writes; i++) {
		record = lzi_record_at(store, entry[i].record);
		if (record == NULL || !lzi_undecided(lzi_load_relaxed(&record->died)))
			continue; /* done, or never in a slot */
		old = old_of(store, &entry[i], record, mending);
		if (entry[i].what == LZI_TXN_SET)
			finish_set(store, list, &entry[i], record, old);
		else if (entry[i].what == LZI_TXN_DELETE)
			finish_delete(store, list, &entry[i], record, old);
		LZI_POINT("txn.finished_one");
	}
	lzi_store_relaxed(&actor->keys, list->keys_after);
	lzi_space_mend(store, actor, index);
	LZI_POINT("txn.finished");
	for (i = 0; i < writes; i++) {
		record = lzi_record_at(store, entry[i].record);
		if (record != NULL)
			book(store, entry[i].record, record);
	}
	/* The log applies the others when it has all that this says there are. */
	record = list->group == 0 || !lzi_is_durable(store) ? NULL : lzi_record_at(store, list->group);
	if (record != NULL)
		book(store, list->group, record);
	LZI_POINT("txn.booked");
}

/* It did not happen: each slot names again what it did before. Who has found one of the records may still be looking at
 * it, and the next draft goes where it stands: so the extents get a new generation. */
static void undo(struct lzi_store *store, struct lzi_txn_list *list, uint32_t writes)
{
	const struct lzi_txn_entry *entry = lzi_txn_entries(list);
	uint64_t last = UINT64_MAX, extent;
	uint64_t *slot;
	uint32_t i;

	for (i = 0; i < writes; i++) {
		slot = lzi_slot_naming(store, bucket_of(store, entry[i].bucket), entry[i].record);
		if (slot != NULL)
			lzi_store_release(slot, entry[i].old);
		LZI_POINT("txn.undone_one");
	}
	for (i = 0; i < writes; i++) {
		extent = lzi_unit_offset(entry[i].record) >> LZI_EXTENT_SHIFT;
		if (extent != last && lzi_heap_state(&store->heap, extent) == LZI_EXTENT_OPEN)
			lzi_heap_set_generation(&store->heap, extent);
		last = extent;
	}
	LZI_POINT("txn.undone");
}

/* The list of a dead committer, where it says; NULL if there can't be one. What it has room for is read once. */
static struct lzi_txn_list *list_of(struct lzi_store *store, const struct lzi_actor *actor, uint32_t *ret_writes,
                                    uint32_t *ret_locks)
{
	uint64_t unit = lzi_load_relaxed(&actor->record_new), offset = lzi_unit_offset(unit), extent, room;
	struct lzi_txn_list *list;

	extent = offset >> LZI_EXTENT_SHIFT;
	if (unit == 0 || extent >= lzi_load_acquire(&store->heap.reach))
		return NULL;
	room = lzi_heap_room(&store->heap, offset, lzi_load_acquire(lzi_heap_word(&store->heap, extent)));
	list = lzi_heap_at(&store->heap, offset, sizeof *list);
	if (list == NULL || room < sizeof *list)
		return NULL;
	*ret_writes = lzi_load_relaxed(&list->writes);
	*ret_locks = lzi_load_relaxed(&list->locks);
	if (lzi_txn_list_span(*ret_writes, *ret_locks) > room)
		return NULL;
	return lzi_heap_at(&store->heap, offset, lzi_txn_list_span(*ret_writes, *ret_locks));
}

static int is_held(struct lzi_bucket *bucket, uint32_t index)
{
	return bucket != NULL && lzi_load_acquire(&bucket->header) >> LZI_OWNER_SHIFT == index + 1;
}

/* As the committer does before it gives its locks back: the log hears of all extents that have something of it. Else
 * what is done to a key after that may be in the log before the transaction is whole there. */
static void tell_log(struct lzi_store *store, struct lzi_txn_list *list, uint32_t writes)
{
	const struct lzi_txn_entry *entry = lzi_txn_entries(list);
	uint64_t last = UINT64_MAX, extent;
	uint32_t i;

	for (i = 0; i <= writes; i++) {
		uint64_t unit = i < writes ? entry[i].record : list->group;

		extent = lzi_unit_offset(unit) >> LZI_EXTENT_SHIFT;
		if (unit == 0 || extent == last || extent >= lzi_load_acquire(&store->heap.reach))
			continue;
		lzi_heap_tell(&store->heap, extent);
		LZI_POINT("txn.told_dead");
		last = extent;
	}
}

int lzi_txn_mend(struct lzi_store *store, struct lzi_actor *actor, uint32_t index)
{
	struct lzi_txn_list *list;
	struct lzi_bucket *bucket;
	uint32_t i, writes, locks, held = 0;
	int happened = 0;
	uint64_t at = lzi_load_acquire(&actor->bucket);
	int rc = lzi_heap_view(&store->heap);

	if (rc != LATZ_OK)
		return rc;
	list = list_of(store, actor, &writes, &locks);
	if (list == NULL)
		return lzi_error(LATZ_CORRUPT, "a dead thread names a list of a transaction that is none");
	for (i = 0; i < locks; i++)
		held += (uint32_t)is_held(bucket_of(store, lzi_txn_locks(list, writes)[i]), index);
	/* An overflow bucket for a chain of ours: in the chain, or it goes back. */
	bucket = at == 0 ? NULL : bucket_of(store, (at - 1) / sizeof *bucket);
	if (held == locks && is_held(bucket, index) && lzi_load_acquire(&actor->overflow) != 0) {
		rc = lzi_table_mend(&store->table, actor, index, bucket);
		if (rc != LATZ_OK)
			return rc;
	}
	/* Nothing is published before all are held, and all is done before the first is given back. */
	if (held == locks && list->seq != 0) {
		happened = lzi_load_acquire(&actor->committed) == list->seq;
		if (happened)
			lzi_txn_finish(store, actor, index, list, writes, 1);
		else
			undo(store, list, writes);
		if (happened)
			tell_log(store, list, writes);
	}
	rc = lzi_feed_mend(store, actor, index, happened);
	if (rc != LATZ_OK)
		return rc;
	LZI_POINT("txn.mended");
	for (i = 0; i < locks; i++) {
		bucket = bucket_of(store, lzi_txn_locks(list, writes)[i]);
		if (is_held(bucket, index))
			lzi_table_unlock_one(bucket);
	}
	lzi_store_release(&actor->bucket, 0ull);
	lzi_store_release(&actor->kind, (uint32_t)LZI_INTENT_NONE);
	lzi_store_release(&actor->space, 0u);
	return LATZ_OK;
}
