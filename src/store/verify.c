/*
 * Verify: walks everything and compares heap, table, index and counts. Others may go on: what their activity can
 * explain is looked at again before it is reported, and counts are compared only if nobody was active. `maint` is given
 * up now and then: who opens a scan, or needs room, waits for it.
 */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/point.h"
#include "store/keylist.h"
#include "store/pack.h"
#include "store/seal.h"
#include "store/space.h"

#define NAPS_MAX 30u
#define LOOK_EVERY 256u /* buckets */

struct verify {
	unsigned naps;
	struct lzi_turns turns; /* with `maint` */
	int shared;             /* 1: somebody else may have had it in between, and changed counts */
	struct lzi_call *call;
	latz_verify_fn fn;
	void *arg;
	unsigned problems;
	latz_value value; /* for compressed ones */
	uint64_t live_records, live_slots, indexed, dead, miscounted;
	int64_t book; /* records that are no user's keys */
	struct lzi_space_cell *spaces; /* what was found of each namespace; NULL: not looked at */
};

__attribute__((format(printf, 2, 3))) static void report(struct verify *verify, const char *fmt, ...)
{
	char text[400];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	verify->problems++;
	if (verify->fn != NULL)
		verify->fn(text, verify->arg);
}

/* A compressed value is one, and its dictionary is there. */
static void check_packed(struct verify *verify, const struct lzi_record *record, uint64_t offset)
{
	uint32_t size = lzi_load_relaxed(&record->value_size);
	const uint8_t *value = lzi_record_value(record);
	uint8_t *packed = NULL;

	if (lzi_map_holds(&verify->call->store->heap.map, value, size))
		packed = lzi_codec_room(size);
	if (packed == NULL)
		return;
	memcpy(packed, value, size);
	if (lzi_unpack(verify->call->store, packed, size, offset, &verify->value) == LATZ_CORRUPT)
		report(verify, "%s", lzi_error_text());
}

/* What is sealed can be opened. */
static void check_sealed(struct verify *verify, const struct lzi_record *record, uint64_t offset)
{
	struct lzi_stored stored = { lzi_codec_room(record->value_size), record->value_size, record->type, record->seq,
		                     offset, { lzi_record_key(record), record->key_size } };

	if (stored.bytes == NULL)
		return;
	memcpy(stored.bytes, lzi_record_value(record), record->value_size);
	if (lzi_open_value(verify->call->store, &stored, &verify->value) == LATZ_CORRUPT)
		report(verify, "%s", lzi_error_text());
}

/* A transaction that is not decided is about to replace the record. */
static int is_being_replaced(const struct lzi_found *found, uint64_t unit)
{
	uint64_t died = lzi_load_acquire(&found->record->died);

	return lzi_undecided(died) && lzi_undecided_old(died) == unit;
}

static int check_record(struct lzi_record *record, uint64_t unit, void *arg)
{
	struct verify *verify = arg;
	struct lzi_store *store = verify->call->store;
	uint64_t offset = lzi_unit_offset(unit);
	latz_slice key = { lzi_record_key(record), record->key_size };
	struct lzi_found found;
	int rc, tries;

	if (lzi_record_validate(record, lzi_heap_room(&store->heap, offset,
	                                              *lzi_heap_word(&store->heap, offset >> LZI_EXTENT_SHIFT))) !=
	    LATZ_OK) {
		report(verify, "heap offset %llu: %s", (unsigned long long)offset, lzi_error_text());
		return 0;
	}
	if (lzi_load_acquire(&record->died) != 0) {
		verify->dead += lzi_record_span_of(record);
		return 0;
	}
	verify->live_records++;
	verify->book += lzi_key_is_book(lzi_record_key(record), record->key_size);
	lzi_space_tally_one(verify->call->store, verify->spaces, record);
	if (record->flags & LZI_RECORD_SEALED)
		check_sealed(verify, record, offset);
	else if (lzi_seal_lacks(store, record->flags, key))
		report(verify, "heap offset %llu: the record is not sealed", (unsigned long long)offset);
	if (record->flags & LZI_RECORD_PACKED)
		check_packed(verify, record, offset);
	for (tries = 0; tries < 3; tries++) {
		rc = lzi_read_find(store, key, lzi_store_hash(store, key.data, key.size), &found);
		if ((rc == LATZ_OK && (found.unit == unit || is_being_replaced(&found, unit))) ||
		    lzi_load_acquire(&record->died) != 0)
			return 0;
		/* A writer between its store to the slot and the death mark. Not every record has one. */
		if (verify->naps < NAPS_MAX) {
			verify->naps++;
			lzi_sleep_us(1000);
		}
	}
	report(verify, "heap offset %llu: live record that the table does not name", (unsigned long long)offset);
	return 0;
}

/* Between two things that are looked at: others have their turn, if it is time. 1: they may have had it. */
static int let_others(struct verify *verify)
{
	const uint64_t *turns = &verify->call->store->control.shared->maint_turns;
	uint64_t before = lzi_load_relaxed(turns);
	int rc = lzi_maint_turn(verify->call, &verify->turns);

	verify->shared |= rc == 1 && lzi_load_relaxed(turns) != before + 1;
	return rc;
}

/* LATZ_IO: the image can't be read. What is still in it is not looked at one by one, each time in vain. */
static int check_heap(struct verify *verify)
{
	struct lzi_store *store = verify->call->store;
	uint64_t n = lzi_heap_count(&store->heap), e, tail, covered = 0, dead;
	int rc, lost;

	for (e = 0; e < n; e++) {
		struct lzi_extent *meta = lzi_heap_meta(&store->heap, e);
		enum lzi_extent_state state;

		LZI_POINT("verify.extent");
		rc = let_others(verify);
		if (rc < 0)
			return rc;
		rc = lzi_image_bring(store, e);
		if (rc == LATZ_IO)
			return rc;
		if (rc != LATZ_OK)
			report(verify, "extent %llu: %s", (unsigned long long)e, lzi_error_text());
		state = lzi_heap_state(&store->heap, e);
		if (state > LZI_EXTENT_IMAGE)
			report(verify, "extent %llu: state %u", (unsigned long long)e, (unsigned)state);
		/* A run may have come, without `maint`, that begins in what was passed. */
		if (state == LZI_EXTENT_BODY && e >= covered && lzi_heap_body_lost(&store->heap, e, &lost) == LATZ_OK &&
		    lost)
			report(verify, "extent %llu: part of no run", (unsigned long long)e);
		if (state == LZI_EXTENT_RUN || (state == LZI_EXTENT_IMAGE && meta->run > 0))
			covered = e + meta->run;
		if (!lzi_extent_holds(store, e, &tail)) {
			if (state == LZI_EXTENT_OPEN || state == LZI_EXTENT_CLOSED || state == LZI_EXTENT_ROOM ||
			    state == LZI_EXTENT_RUN)
				report(verify, "extent %llu: %llu bytes of records", (unsigned long long)e,
				       (unsigned long long)tail);
			continue;
		}
		dead = lzi_load_relaxed(&meta->dead);
		verify->dead = 0;
		rc = lzi_extent_walk(store, e, 0, tail, check_record, verify);
		if (rc != LATZ_OK)
			report(verify, "extent %llu: %s", (unsigned long long)e, lzi_error_text());
		else if (dead != verify->dead)
			verify->miscounted++; /* a problem only if all was quiet */
	}
	return LATZ_OK;
}

static void check_slot(struct verify *verify, uint64_t number, const uint64_t *slot, uint64_t word)
{
	struct lzi_store *store = verify->call->store;
	struct lzi_record *record = lzi_record_at(store, lzi_slot_unit(word));
	uint64_t hash;

	if (record == NULL) {
		report(verify, "bucket %llu: slot names no record", (unsigned long long)number);
		return;
	}
	hash = lzi_store_hash(store, lzi_record_key(record), record->key_size);
	if ((hash ^ word) >> LZI_TAG_SHIFT != 0 ||
	    lzi_bucket_of(hash, lzi_load_acquire(&store->control.shared->buckets)) != number)
		report(verify, "bucket %llu: slot of a key that belongs elsewhere", (unsigned long long)number);
	if (lzi_load_acquire(&record->died) == 0)
		verify->live_slots++;
	(void)slot;
}

/* Each bucket under its lock, so that nothing moves. */
static int check_table(struct verify *verify)
{
	struct lzi_store *store = verify->call->store;
	uint64_t number;
	unsigned i, hops;
	int rc;

	for (number = 0; number < lzi_load_acquire(&store->control.shared->buckets); number++) {
		struct lzi_bucket *head, *bucket;

		rc = number % LOOK_EVERY == 0 ? let_others(verify) : LATZ_OK;
		if (rc >= 0)
			rc = lzi_table_lock(&store->table, verify->call->actor, verify->call->index, number, &head);
		if (rc != LATZ_OK)
			return rc;
		for (bucket = head, hops = 0; bucket != NULL && hops < LZI_CHAIN_MAX;
		     bucket = lzi_table_next(&store->table, bucket), hops++) {
			for (i = 0; i < LZI_SLOTS; i++) {
				uint64_t word = lzi_load_relaxed(&bucket->slot[i]);

				if (word != 0)
					check_slot(verify, number, &bucket->slot[i], word);
			}
		}
		if (hops == LZI_CHAIN_MAX)
			report(verify, "bucket %llu: chain does not end", (unsigned long long)number);
		lzi_table_unlock(verify->call->actor, head);
	}
	return LATZ_OK;
}

static int copy_entry(const void *entry, size_t size, void *arg)
{
	return lzi_keylist_add(arg, entry, size) != LATZ_OK;
}

/* How many of the index's entries are of keys that are there. */
static void count_entries(struct verify *verify, const struct lzi_keylist *list, size_t from)
{
	struct lzi_store *store = verify->call->store;
	latz_value full = LATZ_VALUE_INIT;
	struct lzi_found found;
	size_t i;

	for (i = from; i < list->count; i++) {
		latz_slice key = { lzi_keylist_bytes(list, i), list->item[i].size };

		if (lzi_entry_is_long(key.data, key.size)) {
			if (lzi_read_entry_key(store, key.data, &full) != LATZ_OK)
				continue;
			key.data = full.data;
			key.size = full.size;
		}
		if (lzi_read_find(store, key, lzi_store_hash(store, key.data, key.size), &found) == LATZ_OK &&
		    lzi_load_acquire(&found.record->died) == 0)
			verify->indexed++;
	}
	latz_value_free(&full);
}

static int check_index(struct verify *verify)
{
	struct lzi_store *store = verify->call->store;
	struct lzi_keylist list = { NULL, 0, 0, NULL, 0, 0 };
	struct lzi_entry last = { .size = 0 };
	int more = 1, rc = LATZ_OK;

	while (more && rc == LATZ_OK) {
		size_t from = 0;

		lzi_keylist_reset(&list);
		rc = let_others(verify);
		if (rc >= 0)
			rc = lzi_index_lock(&store->index);
		if (rc != LATZ_OK)
			break;
		rc = lzi_index_step(&store->index, last.size == 0 ? NULL : last.bytes, last.size, 0, 1024, copy_entry,
		                    &list, &more);
		lzi_index_unlock(&store->index);
		if (rc != LATZ_OK || list.count == 0)
			break;
		if (last.size > 0 &&
		    lzi_key_compare(lzi_keylist_bytes(&list, 0), list.item[0].size, last.bytes, last.size) == 0)
			from = 1;
		count_entries(verify, &list, from);
		last.size = (uint16_t)list.item[list.count - 1].size;
		memcpy(last.bytes, lzi_keylist_bytes(&list, list.count - 1), last.size);
	}
	lzi_keylist_fini(&list);
	return rc;
}

/* Sum of other threads' call counts; odd if one is inside a call. */
static uint64_t others(const struct lzi_call *call, int *ret_busy)
{
	uint32_t i, n = lzi_control_actors(&call->store->control);
	uint64_t sum = 0;

	*ret_busy = 0;
	for (i = 0; i < n; i++) {
		const struct lzi_actor *actor = lzi_control_actor(&call->store->control, i);
		uint64_t op = lzi_load_seq_cst(&actor->op);

		if (actor == call->actor)
			continue;
		sum += op;
		*ret_busy |= (int)(op & 1);
	}
	return sum;
}

/* What namespaces count of themselves. */
static void check_spaces(struct verify *verify)
{
	struct lzi_store *store = verify->call->store;
	struct lzi_space_cell sum;
	uint32_t i;

	for (i = 0; i < LZI_SPACES_MAX; i++) {
		const struct lzi_space_cell *found = &verify->spaces[i];
		uint32_t number = lzi_load_acquire(&lzi_space_slot(store, i)->number);

		if (number == 0)
			continue;
		lzi_space_sum(store, i, &sum);
		if (sum.keys != found->keys || sum.bytes != found->bytes)
			report(verify, "namespace %u: %lld keys of %lld bytes counted, %lld of %lld found", number,
			       (long long)sum.keys, (long long)sum.bytes, (long long)found->keys,
			       (long long)found->bytes);
	}
}

static int verify_locked(struct verify *verify)
{
	struct lzi_store *store = verify->call->store;
	int busy, still, index_rc, rc;
	uint64_t before, keys, found;

	rc = lzi_heap_view(&store->heap);
	if (rc == LATZ_OK)
		rc = lzi_recount(verify->call, 0, &verify->turns);
	before =
		others(verify->call, &busy); /* before the index: what is created after it has looked is activity too */
	index_rc = rc == LATZ_OK ? lzi_catchup(store) : rc;
	if (rc == LATZ_OK) {
		if (lzi_dict_verify(store) != LATZ_OK)
			report(verify, "%s", lzi_error_text());
		rc = check_heap(verify);
		if (rc == LATZ_IO)
			return rc;
	}
	if (rc == LATZ_OK)
		rc = check_table(verify);
	if (rc == LATZ_OK && index_rc == LATZ_OK)
		rc = check_index(verify);
	/* Somebody who has the lock is stopped: that is not the pool's fault */
	if (rc != LATZ_OK && verify->turns.lost)
		return rc;
	if (rc != LATZ_OK)
		report(verify, "could not go on: %s", lzi_error_text());
	if (rc != LATZ_OK || busy || verify->shared || others(verify->call, &still) != before)
		return rc;
	keys = (uint64_t)lzi_store_keys(store);
	if (verify->live_slots != verify->live_records)
		report(verify, "%llu live records, %llu slots that name live records",
		       (unsigned long long)verify->live_records, (unsigned long long)verify->live_slots);
	if (verify->miscounted > 0 && lzi_load_relaxed(&store->control.shared->recount) != 1)
		report(verify, "%llu extents miscount their dead bytes", (unsigned long long)verify->miscounted);
	found = (uint64_t)lzi_keys_told(store->control.shared, (int64_t)verify->live_records);
	if (keys != found && lzi_load_relaxed(&store->control.shared->recount) != 1)
		report(verify, "%llu keys counted, %llu found", (unsigned long long)keys,
		       (unsigned long long)found);
	if (verify->book != lzi_load_relaxed(&store->control.shared->spaces.book) &&
	    !lzi_load_relaxed(&store->control.shared->recount))
		report(verify, "%lld records of the pool's own counted, %lld found",
		       (long long)lzi_load_relaxed(&store->control.shared->spaces.book), (long long)verify->book);
	if (verify->spaces != NULL && lzi_load_relaxed(&store->control.shared->recount) != 1)
		check_spaces(verify);
	if (index_rc == LATZ_OK && verify->indexed != verify->live_records)
		report(verify, "%llu keys, %llu of them in the index", (unsigned long long)verify->live_records,
		       (unsigned long long)verify->indexed);
	return LATZ_OK;
}

int lzi_store_verify(struct lzi_call *call, latz_verify_fn fn, void *arg)
{
	struct verify verify = { .call = call, .fn = fn, .arg = arg };
	int rc = lzi_actor_reap_all(&call->store->control, lzi_mend_actor, call->store);

	if (rc >= 0)
		rc = lzi_maint_lock(call->store, 1);
	if (rc != LATZ_OK)
		return rc;
	verify.turns.since_ns = lzi_clock_mono_ns();
	/* What the records that are looked at stand in is nobody else's meanwhile. */
	lzi_call_begin(call);
	verify.spaces = lzi_space_tally(call->store); /* NULL: there are none, or no memory */
	rc = verify_locked(&verify);
	lzi_call_end(call);
	if (!verify.turns.lost)
		lzi_maint_unlock(call->store);
	free(verify.spaces);
	latz_value_free(&verify.value);
	if (verify.problems > 0)
		return lzi_error(LATZ_CORRUPT, "%u problems found", verify.problems);
	return rc;
}
