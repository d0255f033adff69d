/*
 * What a transaction is to write, drafted past the tails of extents of the writer's own, so that nobody sees it yet;
 * and the list of it that a reaper goes by.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/point.h"
#include "store/log.h"
#include "store/pack.h"
#include "store/seal.h"
#include "store/txn_commit.h"

int lzi_txn_commit_begin(struct lzi_txn_commit *c, struct lzi_call *call, struct lzi_txn_item *items, size_t count,
                         const struct lzi_fence *fence)
{
	size_t i;

	c->call = call;
	c->items = items;
	c->fence = fence;
	c->count = count;
	c->writes = 0;
	c->extents = c->few;
	c->extent_count = 0;
	c->extent_capacity = LZI_TXN_FEW;
	c->held = c->few_held;
	c->numbers = c->few_numbers;
	c->held_count = c->locks = c->attempts = 0;
	c->list = NULL;
	c->group.record = NULL;
	c->ext = c->wants_note = 0;
	c->look = NULL;
	for (i = 0; i < count; i++) {
		items[i].draft.record = NULL;
		items[i].compared.seq = 0;
		c->writes += items[i].is_written;
		lzi_read_prefetch_bucket(call->store, items[i].hash);
	}
	if (c->writes > LZI_TXN_MAX || count > LZI_TXN_MAX * 4ull)
		return lzi_error(LATZ_TOOBIG, "a transaction of %zu writes; the limit is %u", c->writes, LZI_TXN_MAX);
	if (count <= LZI_TXN_FEW)
		return LATZ_OK;
	c->held = malloc(count * sizeof *c->held);
	c->numbers = malloc(count * sizeof *c->numbers);
	return c->held == NULL || c->numbers == NULL ? lzi_error(LATZ_NOMEM, "a transaction of %zu keys", count)
	                                             : LATZ_OK;
}

void lzi_txn_commit_end(struct lzi_txn_commit *c)
{
	if (c->held != c->few_held)
		free(c->held);
	if (c->numbers != c->few_numbers)
		free(c->numbers);
	if (c->extents != c->few)
		free(c->extents);
}

static int add_extent(struct lzi_txn_commit *c, uint64_t extent)
{
	uint32_t *more;

	if (c->extent_count == c->extent_capacity) {
		lzi_analyzed_assume(c->extent_capacity > 0); /* at least the few */
		more = malloc(c->extent_capacity * 2 * sizeof *more);
		if (more == NULL)
			return lzi_error(LATZ_NOMEM, "extents of a transaction");
		memcpy(more, c->extents, c->extent_count * sizeof *more);
		if (c->extents != c->few)
			free(c->extents);
		c->extents = more;
		c->extent_capacity *= 2;
	}
	c->at = lzi_load_relaxed(&lzi_heap_meta(&c->call->store->heap, extent)->tail);
	if (c->at > LZI_EXTENT || c->at % LZI_UNIT != 0)
		return lzi_error(LATZ_CORRUPT, "the account of extent %llu is damaged", (unsigned long long)extent);
	c->extents[c->extent_count++] = (uint32_t)extent;
	return LATZ_OK;
}

/* Room past the tails of extents that stay OPEN and ours until the end, or a run. */
static int reserve(struct lzi_txn_commit *c, uint64_t span, uint64_t *ret_offset)
{
	struct lzi_actor *actor = c->call->actor;
	uint64_t extent;
	int rc = LATZ_OK;

	if (span > LZI_RECORD_SHARED_MAX) {
		rc = lzi_append_take(c->call, &actor->extent, span, 1, &extent);
		*ret_offset = extent * LZI_EXTENT;
		return rc;
	}
	if (c->extent_count == 0 && actor->extent != 0)
		rc = add_extent(c, actor->extent - 1);
	if (rc == LATZ_OK && (c->extent_count == 0 || c->at + span > LZI_EXTENT)) {
		rc = lzi_append_take(c->call, &actor->extent, span, 1, &extent);
		if (rc == LATZ_OK && (rc = add_extent(c, extent)) != LATZ_OK)
			lzi_heap_leave(&c->call->store->heap, extent);
		if (rc == LATZ_OK && actor->extent == 0)
			lzi_store_relaxed(&actor->extent, (uint32_t)extent + 1);
		LZI_POINT("txn.extent");
	}
	if (rc == LATZ_OK && c->at + span > LZI_EXTENT)
		rc = lzi_error(LATZ_CORRUPT, "the account of an extent with room is damaged");
	if (rc != LATZ_OK)
		return rc;
	*ret_offset = c->extents[c->extent_count - 1] * (uint64_t)LZI_EXTENT + c->at;
	c->at += span;
	return LATZ_OK;
}

static int room(struct lzi_txn_commit *c, uint64_t span, uint64_t *ret_offset, void *ret_at)
{
	struct lzi_heap *heap = &c->call->store->heap;
	void *at;
	int rc = reserve(c, span, ret_offset);

	if (rc != LATZ_OK)
		return rc;
	at = lzi_heap_at(heap, *ret_offset, span);
	rc = at == NULL ? lzi_heap_beyond(heap, *ret_offset, span) : LATZ_OK;
	if (rc != LATZ_OK)
		lzi_append_abandon(c->call->store, *ret_offset, span);
	memcpy(ret_at, &at, sizeof at);
	return rc;
}

static int draft_record(struct lzi_txn_commit *c, struct lzi_draft *draft, latz_slice key, latz_slice value,
                        uint8_t type)
{
	int rc;

	draft->span = lzi_record_span(key.size, value.size, draft->ext);
	rc = room(c, draft->span, &draft->offset, &draft->record);
	if (rc != LATZ_OK)
		draft->record = NULL;
	else
		lzi_draft_fill(draft, key, value, type);
	return rc;
}

static LZI_NOINLINE int draft_sealed(struct lzi_txn_commit *c, struct lzi_txn_item *item, latz_slice value)
{
	struct lzi_draft *draft = &item->draft;
	const struct lzi_write *write = &item->write;
	int rc = lzi_seal_fits(value.size);

	draft->span = lzi_record_span(write->key.size, value.size + LZI_SEALED_HEAD, draft->ext);
	if (rc == LATZ_OK)
		rc = room(c, draft->span, &draft->offset, &draft->record);
	if (rc != LATZ_OK) {
		draft->record = NULL;
		return rc;
	}
	draft->sealed = &item->sealed;
	return lzi_draft_seal(c->call, draft, write->key, value, write->type, write->value.size);
}

static int draft_item(struct lzi_txn_commit *c, struct lzi_txn_item *item)
{
	const struct lzi_write *write = &item->write;
	latz_slice value = write->value;

	item->draft.ext = c->ext || (write->kind == LZI_WRITE_SET && write->ttl_ms > 0);
	item->draft.flags = LZI_RECORD_GROUP;
	item->draft.sealed = NULL;
	if (write->kind == LZI_WRITE_DELETE) {
		value.size = 0;
		return draft_record(c, &item->draft, write->key, value, LZI_NOTE_DELETE);
	}
	if (lzi_pack_wanted(c->call->store, value.size) && lzi_pack(c->call->store, &value))
		item->draft.flags |= LZI_RECORD_PACKED;
	if (lzi_is_sealed(c->call->store) && lzi_seal_wanted(c->call->store, write->key)) {
		int rc = draft_sealed(c, item, value);

		lzi_codec_wipe();
		return rc;
	}
	return draft_record(c, &item->draft, write->key, value, write->type);
}

static int draft_group(struct lzi_txn_commit *c)
{
	struct lzi_note_group none = { 0, 0 };
	latz_slice key = { "", 1 }, value = { &none, sizeof none };

	c->group.ext = 0;
	c->group.flags = 0;
	return draft_record(c, &c->group, key, value, LZI_NOTE_GROUP);
}

/* The list, but for what is known under the locks only. */
static int draft_list(struct lzi_txn_commit *c)
{
	struct lzi_txn_entry *entry;
	size_t i;
	int rc;

	c->list_span = lzi_txn_list_span(c->writes, c->count);
	rc = room(c, c->list_span, &c->list_offset, &c->list);
	if (rc != LATZ_OK) {
		c->list = NULL;
		return rc;
	}
	c->list->seq = 0;
	c->list->group = c->group.record == NULL ? 0 : lzi_unit_of(c->group.offset);
	c->list->writes = (uint32_t)c->writes;
	entry = lzi_txn_entries(c->list);
	for (i = 0; i < c->count; i++) {
		if (c->items[i].is_written)
			(entry++)->record = lzi_unit_of(c->items[i].draft.offset);
	}
	return LATZ_OK;
}

int lzi_txn_draft_all(struct lzi_txn_commit *c)
{
	size_t i;
	int rc = LATZ_OK;

	if (lzi_load_relaxed(&c->call->store->control.shared->pin_max) != 0)
		c->ext = 1; /* for what scans may want */
	for (i = 0; i < c->count && rc == LATZ_OK; i++) {
		if (c->items[i].is_written)
			rc = draft_item(c, &c->items[i]);
	}
	if (rc == LATZ_OK && (c->wants_note || lzi_is_durable(c->call->store)))
		rc = draft_group(c);
	if (rc == LATZ_OK)
		rc = draft_list(c);
	LZI_POINT("txn.drafted");
	return rc;
}

void lzi_txn_draft_free(struct lzi_txn_commit *c, uint64_t offset, uint64_t span)
{
	if (span > LZI_RECORD_SHARED_MAX)
		lzi_append_abandon(c->call->store, offset, span);
}

/* All but the last of our extents are left; that is the one to go on with. */
void lzi_txn_extents_leave(struct lzi_txn_commit *c)
{
	struct lzi_heap *heap = &c->call->store->heap;
	size_t i;

	for (i = 0; i + 1 < c->extent_count; i++) {
		lzi_heap_leave(heap, c->extents[i]);
		LZI_POINT("txn.extent_left");
	}
	if (c->extent_count > 1)
		lzi_clean_inline(c->call); /* as who fills an extent does */
	c->extent_count = 0;
}

/* The log hears of them before the actor names another. */
void lzi_txn_extents_tell(struct lzi_txn_commit *c)
{
	struct lzi_actor *actor = c->call->actor;
	size_t i;

	for (i = 0; i + 1 < c->extent_count; i++)
		lzi_heap_tell(&c->call->store->heap, c->extents[i]);
	if (c->extent_count > 1) {
		LZI_POINT("txn.told");
		lzi_store_release(&actor->extent, c->extents[c->extent_count - 1] + 1);
	}
}

void lzi_txn_draft_abandon(struct lzi_txn_commit *c)
{
	size_t i;

	for (i = 0; i < c->count; i++) {
		if (c->items[i].draft.record != NULL)
			lzi_txn_draft_free(c, c->items[i].draft.offset, c->items[i].draft.span);
		c->items[i].draft.record = NULL;
	}
	if (c->list != NULL)
		lzi_txn_draft_free(c, c->list_offset, c->list_span);
	c->list = NULL;
	c->group.record = NULL;
	lzi_txn_extents_tell(c);
	lzi_txn_extents_leave(c);
}
