/*
 * Borrowed views: a value read in place. The process lists the few extents its views look at in its client slot;
 * cleaning leaves those alone. A view holds a reference on the attachment, so it outlives latz_close().
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/point.h"
#include "store/audit.h"
#include "store/idle.h"
#include "store/read_int.h"
#include "store/seal.h"
#include "store/store_int.h"

/* In a view's token: it is of a copy; the rest is its buffer's capacity. Else the hazard + 1. */
#define COPY (1ull << 63)

/* Announces an extent; the index of the hazard, or -1 if all are in use. */
static int hazard_take(struct lzi_store *store, uint64_t extent)
{
	struct lzi_client *client = lzi_control_client(&store->control, store->client);
	int i, at = -1;

	pthread_mutex_lock(&store->hazard_mutex);
	for (i = 0; i < (int)LZI_HAZARDS; i++) {
		if (store->hazard[i].extent == extent + 1) {
			at = i;
			break;
		}
		if (store->hazard[i].extent == 0 && at < 0)
			at = i;
	}
	if (at >= 0) {
		store->hazard[at].extent = extent + 1;
		store->hazard[at].count++;
		/* Seen by whoever empties the extent, or else we see that it has been emptied (clean.c). */
		lzi_store_seq_cst(&client->hazards[at], extent + 1);
		lzi_fence_full();
	}
	pthread_mutex_unlock(&store->hazard_mutex);
	return at;
}

static void hazard_drop(struct lzi_store *store, int at)
{
	pthread_mutex_lock(&store->hazard_mutex);
	if (--store->hazard[at].count == 0) {
		store->hazard[at].extent = 0;
		lzi_store_release(&lzi_control_client(&store->control, store->client)->hazards[at], 0ull);
	}
	pthread_mutex_unlock(&store->hazard_mutex);
}

/* For want of a hazard, or of the value's bytes as such in the pool: a copy of them. */
static int borrow_copy(struct lzi_call *call, latz_slice key, latz_view *view)
{
	latz_value value = LATZ_VALUE_INIT;
	int rc = lzi_store_get(call, key, 0, &value);

	if (rc != LATZ_OK) {
		latz_value_free(&value);
		return rc;
	}
	view->data = value.data;
	view->size = value.size;
	view->type = value.type;
	view->version = value.version;
	view->ttl_ms = value.ttl_ms;
	view->owner = value.data;
	view->token = COPY | value.capacity;
	return LATZ_OK;
}

/* The found record, announced and still in its slot. LATZ_BUSY: look again. */
static int hold(struct lzi_call *call, latz_slice key, uint64_t hash, const struct lzi_found *found, int at,
                latz_view *view)
{
	struct lzi_store *store = call->store;
	struct lzi_found again;
	struct lzi_record head;
	const struct lzi_record *record = found->record;
	uint64_t died = lzi_load_acquire(&record->died);
	int64_t expiry = 0, now = 0;
	int rc = lzi_read_find(store, key, hash, &again);

	if (rc != LATZ_OK)
		return rc;
	if (again.unit != found->unit || ((again.word ^ found->word) >> 8) != 0 || !lzi_found_valid(&again))
		return LATZ_BUSY;
	if (!lzi_death_valid(died))
		return lzi_error(LATZ_CORRUPT, "death mark of the record at heap offset %llu is damaged",
		                 (unsigned long long)lzi_unit_offset(found->unit));
	if (lzi_undecided(died))
		return LATZ_BUSY; /* as below */
	if (lzi_death_kind(died) == LZI_DEATH_DELETED)
		return LATZ_NOTFOUND;
	if (record->flags & LZI_RECORD_EXT && (expiry = lzi_load_relaxed(&lzi_record_ext(record)->expiry)) != 0) {
		now = lzi_clock_mono_ms();
		if (expiry <= now)
			return LATZ_NOTFOUND;
	}
	/* From here on nobody reuses it, so it can be looked at in peace. */
	rc = lzi_record_validate(record, found->room);
	if (rc != LATZ_OK && died == 0)
		return lzi_error_prefix(rc, "heap offset %llu", (unsigned long long)lzi_unit_offset(found->unit));
	memcpy(&head, record, LZI_RECORD_HEAD);
	lzi_compiler_barrier(); /* what is looked at is what is used */
	if (lzi_record_span_of(&head) > found->room)
		return lzi_error(LATZ_CORRUPT, "record at heap offset %llu reaches past its extent",
		                 (unsigned long long)lzi_unit_offset(found->unit));
	if (head.flags & (LZI_RECORD_PACKED | LZI_RECORD_SEALED))
		return LATZ_BUSY; /* written in between: it is not held, but copied */
	view->data = (const uint8_t *)record + lzi_record_head(head.flags & LZI_RECORD_EXT) + head.key_size;
	view->size = head.value_size;
	view->type = (latz_type)head.type;
	view->version = head.seq;
	view->ttl_ms = expiry == 0 ? -1 : expiry - now;
	view->owner = store;
	view->token = (uint64_t)at + 1;
	return LATZ_OK;
}

/* Compressed, sealed, or of a transaction that is not decided. Who copies it looks again. */
static int is_to_be_copied(const struct lzi_store *store, const struct lzi_found *found)
{
	int copied;

	if (lzi_is_sealed(store))
		return 1;
	if (found->room < LZI_RECORD_HEAD)
		return 0;
	lzi_racy_reads_begin();
	copied = found->record->flags & (LZI_RECORD_PACKED | LZI_RECORD_SEALED) ||
	         lzi_undecided(lzi_load_relaxed(&found->record->died));
	lzi_racy_reads_end();
	return copied;
}

int lzi_store_borrow(struct lzi_call *call, latz_slice key, latz_view *view)
{
	struct lzi_store *store = call->store;
	uint64_t hash = lzi_store_hash(store, key.data, key.size);
	struct lzi_found found;
	latz_view out = { NULL, 0, LATZ_BYTES, 0, -1, NULL, 0 };
	unsigned tries = 0;
	int at, rc;

	if (store->reads_only) /* there is nothing that it could be held by */
		return borrow_copy(call, key, view);
	if (lzi_audits(call, LZI_WATCH_AUDIT_READS) && (rc = lzi_audit_key_op(store, "borrow", key)) != LATZ_OK)
		return rc;
	lzi_call_begin(call);
	do {
		rc = lzi_read_find(store, key, hash, &found);
		if (rc != LATZ_OK || is_to_be_copied(store, &found))
			break;
		at = hazard_take(store, lzi_unit_offset(found.unit) >> LZI_EXTENT_SHIFT);
		if (at < 0)
			break;
		LZI_POINT("borrow.announced");
		rc = hold(call, key, hash, &found, at, &out);
		if (rc != LATZ_OK)
			hazard_drop(store, at);
	} while (rc == LATZ_BUSY && lzi_read_again(&tries));
	if (rc == LATZ_BUSY)
		rc = lzi_read_restless();
	if (rc != LATZ_OK || out.owner != NULL) /* else the get of the copy counts */
		lzi_bump_relaxed(&call->actor->gets, 1ull);
	if (rc == LATZ_OK && out.owner != NULL) {
		lzi_bump_relaxed(&call->actor->hits, 1ull);
		if (lzi_load_relaxed(&store->control.shared->watch) &
		    (LZI_WATCH_HITS | LZI_WATCH_SAMPLE | LZI_WATCH_SPACES))
			lzi_hear_hit(call, found.slot, lzi_load_relaxed(found.slot), hash,
			             lzi_record_span(key.size, out.size, 0));
	}
	lzi_call_end(call);
	if (rc == LATZ_OK && out.owner == NULL)
		rc = borrow_copy(call, key, &out);
	if (rc != LATZ_OK)
		return rc;
	if ((out.token & COPY) == 0)
		lzi_fetch_add(&store->refs, 1u); /* not the last: the caller's handle has one */
	*view = out;
	return LATZ_OK;
}

int lzi_view_release(latz_view *view)
{
	struct lzi_store *store = view->owner;
	latz_value copy = LATZ_VALUE_INIT;

	if (view->owner == NULL)
		return lzi_error(LATZ_INVALID, "the view holds nothing");
	if (view->token & COPY) {
		copy.data = view->owner;
		copy.capacity = (size_t)(view->token & ~COPY);
		lzi_value_drop(&copy);
	} else {
		if (store->fork_count == lzi_fork_count) { /* else our parent's: it is the parent that holds it */
			lzi_idle_ended(&store->control);
			hazard_drop(store, (int)view->token - 1);
		}
		lzi_wait_begin(); /* with the last one the pool is closed */
		lzi_store_close(store);
	}
	memset(view, 0, sizeof *view);
	return LATZ_OK;
}
