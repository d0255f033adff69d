/*
 * What a dead thread left undone. Every step can be repeated: a reaper may die too. The bucket it held tells by its
 * slots whether the write had happened; then the rest of the write is done, else nothing was.
 */
#include "config.h"

#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/point.h"
#include "store/feed.h"
#include "store/log.h"
#include "store/space.h"
#include "store/txn.h"

/* Whether a record is one that was published: those stand before the tail of their extent, drafts behind it. */
static int is_booked(struct lzi_store *store, uint64_t unit, const struct lzi_record *record)
{
	uint64_t offset = lzi_unit_offset(unit);
	const struct lzi_extent *meta = lzi_heap_meta(&store->heap, offset >> LZI_EXTENT_SHIFT);

	return (offset & (LZI_EXTENT - 1)) + lzi_record_span_of(record) <= lzi_load_acquire(&meta->tail);
}

int lzi_record_was(struct lzi_store *store, uint64_t unit, const struct lzi_record *old,
                   const struct lzi_record *record)
{
	return is_booked(store, unit, old) && old->key_size == record->key_size && old->seq <= record->seq &&
	       memcmp(lzi_record_key(old), lzi_record_key(record), old->key_size) == 0;
}

/* What its thread has counted after it. */
static void mend_counts(struct lzi_store *store, struct lzi_actor *actor, uint32_t index)
{
	lzi_store_relaxed(&actor->keys, actor->keys_after);
	lzi_space_mend(store, actor, index);
}

/* These three: 1 if what it intended has happened. */
static int mend_write(struct lzi_store *store, struct lzi_actor *actor, uint32_t index, struct lzi_bucket *bucket,
                      enum lzi_death kind)
{
	struct lzi_record *record, *old;

	if (lzi_slot_naming(store, bucket, actor->record_new) == NULL)
		return 0; /* it never happened */
	record = lzi_record_at(store, actor->record_new);
	old = actor->record_old == 0 ? NULL : lzi_record_at(store, actor->record_old);
	if (record == NULL)
		return 0;
	/* The dead writer may have come as far as killing it; then other records may stand there by now, and one of
	 * this key may be on its way: as a draft, by a writer that waits for us. */
	if (old != NULL && lzi_record_was(store, actor->record_old, old, record) &&
	    (old->seq == record->seq) == (kind == LZI_DEATH_MOVED))
		lzi_record_kill(store, old, actor->record_old, record->seq, kind);
	LZI_POINT("mend.old_dead");
	mend_counts(store, actor, index);
	lzi_append_done(store, actor->record_new, record);
	return 1;
}

/* The log's note of a delete that happened. */
static void mend_note(struct lzi_store *store, const struct lzi_actor *actor)
{
	struct lzi_record *note = actor->record_new == 0 ? NULL : lzi_record_at(store, actor->record_new);

	if (note != NULL && note->type == LZI_NOTE_DELETE && !is_booked(store, actor->record_new, note))
		lzi_note_book(store, actor->record_new, note);
}

static int mend_delete(struct lzi_store *store, struct lzi_actor *actor, uint32_t index, struct lzi_bucket *bucket)
{
	uint64_t *slot = lzi_slot_naming(store, bucket, actor->record_old);
	struct lzi_record *old;

	if (slot == NULL) { /* cleared: it was dead before that */
		mend_note(store, actor);
		mend_counts(store, actor, index);
		return 1;
	}
	old = lzi_record_at(store, actor->record_old);
	if (old == NULL || lzi_load_relaxed(&old->died) == 0)
		return 0; /* it never happened */
	mend_note(store, actor);
	mend_counts(store, actor, index);
	if (lzi_record_needed(store, old))
		lzi_store_relaxed(&store->control.shared->zombies, 1u);
	else
		lzi_store_release(slot, 0ull);
	return 1;
}

/* An eviction whose record is dead, but whose slot may not be cleared yet. */
static int mend_evict(struct lzi_store *store, struct lzi_actor *actor, uint32_t index, struct lzi_bucket *bucket)
{
	uint64_t *slot = lzi_slot_naming(store, bucket, actor->record_old);
	const struct lzi_record *old = slot == NULL ? NULL : lzi_record_at(store, actor->record_old);

	if (slot != NULL && (old == NULL || lzi_load_relaxed(&old->died) == 0))
		return 0; /* it never happened */
	mend_counts(store, actor, index);
	if (slot != NULL)
		lzi_store_release(slot, 0ull);
	return 1;
}

static int mend_bucket(struct lzi_store *store, struct lzi_actor *actor, uint32_t index)
{
	uint64_t at = lzi_load_acquire(&actor->bucket);
	struct lzi_bucket *bucket;
	int happened = 0, rc;

	if (lzi_load_acquire(&actor->kind) == LZI_INTENT_TXN)
		return lzi_txn_mend(store, actor, index);
	if (at == 0)
		return LATZ_OK;
	bucket = lzi_table_bucket(&store->table, (at - 1) / sizeof *bucket);
	if (bucket == NULL) {
		rc = lzi_table_view(&store->table);
		bucket = lzi_table_bucket(&store->table, (at - 1) / sizeof *bucket);
		if (rc != LATZ_OK || bucket == NULL)
			return rc != LATZ_OK ? rc
			                     : lzi_error(LATZ_CORRUPT, "a dead thread names a bucket past the table");
	}
	if (lzi_load_acquire(&bucket->header) >> LZI_OWNER_SHIFT != index + 1)
		return LATZ_OK; /* not yet locked, or unlocked already */
	rc = lzi_heap_view(&store->heap);
	if (rc == LATZ_OK)
		rc = lzi_table_mend(&store->table, actor, index, bucket);
	if (rc != LATZ_OK)
		return rc;
	switch (lzi_load_relaxed(&actor->kind) & (LZI_INTENT_FED - 1)) {
	case LZI_INTENT_WRITE: happened = mend_write(store, actor, index, bucket, LZI_DEATH_SUPERSEDED); break;
	case LZI_INTENT_MOVE: (void)mend_write(store, actor, index, bucket, LZI_DEATH_MOVED); break;
	case LZI_INTENT_DELETE: happened = mend_delete(store, actor, index, bucket); break;
	case LZI_INTENT_EVICT: happened = mend_evict(store, actor, index, bucket); break;
	default: break;
	}
	rc = lzi_feed_mend(store, actor, index, happened);
	if (rc != LATZ_OK)
		return rc;
	LZI_POINT("mend.before_unlock");
	lzi_store_relaxed(&actor->kind, (uint32_t)LZI_INTENT_NONE);
	lzi_store_relaxed(&actor->space, 0u);
	lzi_table_unlock(actor, bucket);
	return LATZ_OK;
}

/* Extents the dead thread had open, or runs it had taken and not published. */
static int mend_extents(struct lzi_store *store, uint32_t index)
{
	uint64_t n = lzi_heap_count(&store->heap), e;
	int rc = lzi_heap_view(&store->heap);

	for (e = 0; rc == LATZ_OK && e < n; e++) {
		struct lzi_extent *meta = lzi_heap_meta(&store->heap, e);
		uint32_t owner = index + 1;
		enum lzi_extent_state state;

		if (lzi_load_acquire(&meta->owner) != index + 1)
			continue;
		/* One that only still bears the name may just be taken by another, who writes his own before he changes
		 * the state: so the name is looked at after it. */
		state = lzi_heap_state(&store->heap, e);
		if (lzi_load_acquire(&meta->owner) != index + 1)
			continue;
		if (state == LZI_EXTENT_OPEN) {
			lzi_heap_leave(&store->heap, e);
		} else if (state == LZI_EXTENT_RUN && lzi_load_acquire(&meta->tail) == 0) { /* unpublished */
			rc = lzi_heap_free(&store->heap, e);
		} else {
			if (state == LZI_EXTENT_RUN) /* published, but the flusher may not have been told of it */
				lzi_heap_tell(&store->heap, e);
			if (lzi_cas_acquire(&meta->owner, &owner, 0u)) /* or it died between owning and opening */
				LZI_POINT("mend.disowned");
		}
		LZI_POINT("mend.extent");
	}
	return rc;
}

int lzi_mend_actor(struct lzi_actor *actor, uint32_t index, void *arg)
{
	struct lzi_store *store = arg;
	int rc = mend_bucket(store, actor, index);

	if (rc == LATZ_OK) /* of no bucket: it comes and goes, which has happened */
		rc = lzi_feed_mend(store, actor, index, 1);
	if (lzi_load_acquire(&actor->unlogged) != 0) {
		lzi_log_miss(store);
		lzi_store_release(&actor->unlogged, 0u);
	}
	if (rc == LATZ_OK)
		rc = mend_extents(store, index);
	if (rc != LATZ_OK) {
		lzi_log(LATZ_LOG_WARNING, "%s: cleaning up after a dead thread: %s", store->name, lzi_error_text());
		return rc;
	}
	lzi_store_release(&store->control.shared->recount, 1u);
	if (actor->client < store->control.header->clients_max)
		lzi_store_release(&lzi_control_client(&store->control, actor->client)->died, 1u);
	lzi_log(LATZ_LOG_INFO, "%s: cleaned up after a thread that died", store->name);
	return LATZ_OK;
}

static struct lzi_bucket *env_overflow(void *arg, uint64_t link)
{
	struct lzi_store *store = arg;
	struct lzi_bucket *bucket = lzi_heap_overflow(&store->heap, link);
	uint64_t extent = (link - 1) * sizeof *bucket >> LZI_EXTENT_SHIFT;

	if (lzi_unlikely(bucket == NULL) && lzi_heap_view(&store->heap) == LATZ_OK)
		bucket = lzi_heap_overflow(&store->heap, link);
	/* Elsewhere memory may not even be there to be looked at. */
	if (lzi_unlikely(extent >= lzi_heap_count(&store->heap) ||
	                 lzi_heap_state(&store->heap, extent) != LZI_EXTENT_OVERFLOW))
		return NULL;
	return bucket;
}

static int env_overflow_take(void *arg, uint32_t actor, uint64_t *note, uint64_t *ret_link)
{
	return lzi_heap_overflow_take(&((struct lzi_store *)arg)->heap, actor, note, ret_link);
}

static int env_overflow_free(void *arg, uint64_t link, uint32_t loose_of)
{
	return lzi_heap_overflow_free(&((struct lzi_store *)arg)->heap, link, loose_of);
}

static int env_hash_of(void *arg, uint64_t unit, uint64_t *ret_hash)
{
	struct lzi_store *store = arg;
	const struct lzi_record *record = lzi_record_at(store, unit);
	uint64_t extent = lzi_unit_offset(unit) >> LZI_EXTENT_SHIFT;

	if (record == NULL) {
		int rc = lzi_record_missing(store, unit);

		/* What can't be brought in from an image is not damage of the pool: its key has a hash, though nobody
		 * can tell it now. */
		return extent < lzi_load_acquire(&store->heap.reach) &&
		                       lzi_heap_state(&store->heap, extent) == LZI_EXTENT_IMAGE
		               ? LATZ_IO
		               : rc;
	}
	*ret_hash = lzi_store_hash(store, lzi_record_key(record), record->key_size);
	return LATZ_OK;
}

static int env_owner_dead(void *arg, uint32_t actor)
{
	struct lzi_store *store = arg;

	if (actor >= lzi_control_actors(&store->control))
		return lzi_error(LATZ_CORRUPT, "a bucket's lock names thread slot %u, which does not exist", actor);
	return lzi_actor_reap(&store->control, actor, lzi_mend_actor, store);
}

static uint32_t env_owner_pid(void *arg, uint32_t actor)
{
	struct lzi_store *store = arg;

	if (actor >= lzi_control_actors(&store->control))
		return 0;
	return lzi_load_relaxed(&lzi_control_actor(&store->control, actor)->alive.holder_pid);
}

/* A transaction has its buckets in a list, and announces one of them at most. */
static int env_owner_stands_by(void *arg, uint32_t index, uint64_t number)
{
	struct lzi_store *store = arg;
	const struct lzi_actor *actor;

	if (index >= lzi_control_actors(&store->control))
		return 0;
	actor = lzi_control_actor(&store->control, index);
	return lzi_mutex_has_holder(&actor->alive) &&
	       (lzi_load_acquire(&actor->bucket) == number * sizeof(struct lzi_bucket) + 1 ||
	        lzi_load_acquire(&actor->kind) == LZI_INTENT_TXN);
}

void lzi_table_env_make(struct lzi_store *store, struct lzi_table_env *env)
{
	env->overflow = env_overflow;
	env->overflow_take = env_overflow_take;
	env->overflow_free = env_overflow_free;
	env->hash_of = env_hash_of;
	env->owner_dead = env_owner_dead;
	env->owner_pid = env_owner_pid;
	env->owner_stands_by = env_owner_stands_by;
	env->arg = store;
}
