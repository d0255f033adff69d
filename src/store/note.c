/*
 * Notes: in a durable pool, what is changed in place leaves a record of its own for the log (doc/durability.md). A note
 * stands in the heap among the records, but no slot names it: it is dead from the start.
 */
#include "config.h"

#include <string.h>

#include "base/error.h"
#include "base/point.h"
#include "store/log.h"
#include "store/store_int.h"

int lzi_note_draft(struct lzi_call *call, uint8_t type, latz_slice key, struct lzi_note *ret_note)
{
	struct lzi_draft draft = { NULL, 0, 0, 0, 0, NULL };
	struct lzi_record *record;
	uint32_t size = type == LZI_NOTE_TOUCH ? sizeof(struct lzi_note_touch) : 0;
	int rc;

	draft.span = lzi_record_span(key.size, size, 0);
	rc = lzi_draft_room(call, &call->actor->extent, &draft);
	if (rc != LATZ_OK)
		return rc;
	record = draft.record;
	record->value_size = size;
	record->key_size = (uint16_t)key.size;
	record->type = type;
	record->flags = 0;
	memcpy((uint8_t *)record + LZI_RECORD_HEAD, key.data, key.size);
	*ret_note = (struct lzi_note){ record, lzi_unit_of(draft.offset), key, size, type };
	return LATZ_OK;
}

int lzi_note_for(struct lzi_call *call, const struct lzi_write *write, uint8_t type, struct lzi_note *ret_note)
{
	int rc;

	ret_note->record = NULL;
	if (lzi_likely(!lzi_is_durable(call->store)) || write->kind == LZI_WRITE_EXPIRE)
		return LATZ_OK;
	rc = lzi_note_draft(call, type, write->key, ret_note);
	return (rc == LATZ_NOSPC || rc == LATZ_FULL) && type == LZI_NOTE_DELETE ? LATZ_OK : rc;
}

void lzi_note_fill(const struct lzi_note *note, uint64_t seq, const struct lzi_note_touch *touch)
{
	struct lzi_record *record = note->record;
	uint8_t *value = (uint8_t *)record + LZI_RECORD_HEAD + note->key.size;

	record->seq = seq;
	record->died = lzi_death_make(seq, LZI_DEATH_MOVED);
	if (touch != NULL)
		memcpy(value, touch, sizeof *touch);
	/* Of what we know, not of what stands there. */
	record->crc = lzi_record_crc_seq(seq) ^
	              lzi_record_crc(note->size, (uint16_t)note->key.size, note->type, 0, note->key.data, value);
}

void lzi_note_book(struct lzi_store *store, uint64_t unit, const struct lzi_record *record)
{
	struct lzi_extent *meta = lzi_heap_meta(&store->heap, lzi_unit_offset(unit) >> LZI_EXTENT_SHIFT);

	lzi_append_done(store, unit, record);
	LZI_POINT("note.booked");
	lzi_fetch_add_relaxed(&meta->dead, lzi_record_span_of(record));
}
