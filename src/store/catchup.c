/*
 * Bringing the index up to date. The heap is its own log: records that created their key are flagged, so the index
 * walks what was appended since it last looked and puts those keys, in sorted batches. Keys leave the index when the
 * extent of their last record is cleaned (clean.c); until then they are in it and not in the table, which readers see.
 *
 * All under `maint`. A death before an extent's `indexed` is stored only means that its records are looked at again.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/point.h"
#include "store/changes.h"
#include "store/store_int.h"

/* Changes an LMDB transaction takes: enough that several fall on each page, little enough memory (40 MB). */
#define BATCH 1048576u

int lzi_extent_holds(struct lzi_store *store, uint64_t extent, uint64_t *ret_tail)
{
	struct lzi_extent *meta = lzi_heap_meta(&store->heap, extent);
	uint64_t limit = LZI_EXTENT;

	switch (lzi_heap_state(&store->heap, extent)) {
	case LZI_EXTENT_RUN: limit = (uint64_t)lzi_load_relaxed(&meta->run) * LZI_EXTENT; break;
	case LZI_EXTENT_OPEN:
	case LZI_EXTENT_CLOSED:
	case LZI_EXTENT_ROOM: break;
	default: return 0;
	}
	*ret_tail = lzi_load_acquire(&meta->tail); /* pairs with lzi_append_done() */
	return *ret_tail <= limit;
}

int lzi_extent_walk(struct lzi_store *store, uint64_t extent, uint64_t from, uint64_t to, lzi_walk_fn fn, void *arg)
{
	uint64_t span;
	int rc;

	lzi_fetch_add_relaxed(&store->control.shared->heartbeat, 1ull); /* whoever walks, gets on */
	if (from % LZI_UNIT != 0)
		return lzi_error(LATZ_CORRUPT, "the account of extent %llu is damaged", (unsigned long long)extent);
	for (; from < to; from += span) {
		uint64_t offset = extent * LZI_EXTENT + from;
		struct lzi_record *record = lzi_heap_at(&store->heap, offset, to - from);

		if (record == NULL)
			return lzi_error(LATZ_CORRUPT, "extent %llu is past the heap", (unsigned long long)extent);
		span = to - from < LZI_RECORD_HEAD ? 0 : lzi_record_span_of(record);
		if (span == 0 || span > to - from || record->key_size == 0)
			return lzi_error(LATZ_CORRUPT, "record at heap offset %llu has no end",
			                 (unsigned long long)offset);
		rc = fn(record, lzi_unit_of(offset), arg);
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* How many bytes all keys have in common with the first: sorting looks at what comes after them. */
static void note_common(struct lzi_changes *changes, const struct lzi_change *change)
{
	const uint8_t *first = changes->change[0].key, *key = change->key;
	size_t n = changes->count == 0 ? change->size : changes->common, i = 0;

	if (n > change->size)
		n = change->size;
	if (changes->count > 0 && memcmp(first, key, n) != 0) {
		while (i < n && first[i] == key[i])
			i++;
		n = i;
	}
	changes->common = n;
}

int lzi_changes_add(struct lzi_changes *changes, uint64_t seed, const void *key, size_t size, int remove)
{
	struct lzi_change *change;
	struct lzi_entry *entry;

	if (changes->count == changes->capacity) {
		size_t more = changes->capacity == 0 ? 256 : changes->capacity * 2;
		void *grown = realloc(changes->change, more * sizeof *changes->change);

		if (grown == NULL)
			return lzi_error(LATZ_NOMEM, "%zu changes to the index", more);
		changes->change = grown;
		changes->capacity = more;
	}
	change = &changes->change[changes->count];
	if (size >= LZI_ENTRY_MAX || changes->copy) {
		entry = malloc(sizeof *entry + sizeof(void *));
		if (entry == NULL)
			return lzi_error(LATZ_NOMEM, "an index entry");
		lzi_entry_make(entry, seed, key, size);
		/* Chained through what follows it. */
		memcpy((uint8_t *)(entry + 1), &changes->entries, sizeof(void *));
		changes->entries = entry;
		key = entry->bytes;
		size = entry->size;
	}
	change->key = key;
	change->size = (uint32_t)size;
	change->remove = (uint32_t)remove;
	change->order = (uint32_t)changes->count;
	note_common(changes, change);
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): what is taken above hangs on `changes` */
	changes->count++;
	return LATZ_OK;
}

/* For keys that are the same in all the radix sort looks at, too. */
static int compare(const void *a, const void *b)
{
	const struct lzi_change *x = a, *y = b;
	int order;

	if (x->prefix != y->prefix)
		return x->prefix < y->prefix ? -1 : 1;
	order = lzi_key_compare(x->key, x->size, y->key, y->size);
	/* Of one key's changes the one found last is right. */
	return order != 0 ? order : (x->order > y->order) - (x->order < y->order);
}

/* One pass: orders by byte `shift` / 8 of the prefix, keeping the order of equals. */
static void radix_pass(const struct lzi_change *from, struct lzi_change *to, size_t count, unsigned shift,
                       const size_t *histogram)
{
	size_t at[256], sum = 0, i;

	for (i = 0; i < 256; i++) {
		at[i] = sum;
		sum += histogram[i];
	}
	for (i = 0; i < count; i++)
		to[at[(from[i].prefix >> shift) & 0xff]++] = from[i];
}

/* By prefix, least significant byte first; bytes that are all the same are skipped. */
static void radix_sort(struct lzi_changes *changes, struct lzi_change *spare)
{
	static const size_t bytes = sizeof(uint64_t);
	struct lzi_change *from = changes->change, *to = spare, *swap;
	size_t histogram[8][256] = { { 0 } }, i, b;

	for (i = 0; i < changes->count; i++) {
		for (b = 0; b < bytes; b++)
			histogram[b][(from[i].prefix >> (8 * b)) & 0xff]++;
	}
	for (b = 0; b < bytes; b++) {
		if (histogram[b][(from[0].prefix >> (8 * b)) & 0xff] == changes->count)
			continue;
		radix_pass(from, to, changes->count, (unsigned)(8 * b), histogram[b]);
		lzi_analyzed_written(*to); /* all of them */
		swap = from;
		from = to;
		to = swap;
	}
	if (from != changes->change)
		memcpy(changes->change, from, changes->count * sizeof *from);
}

void lzi_changes_sort(struct lzi_changes *changes)
{
	struct lzi_change *spare = changes->count > 1 ? malloc(changes->count * sizeof *spare) : NULL;
	size_t i, j;

	if (changes->count < 2)
		return;
	for (i = 0; i < changes->count; i++) {
		struct lzi_change *change = &changes->change[i];
		size_t n = change->size - changes->common;

		change->prefix = 0;
		memcpy(&change->prefix, (const uint8_t *)change->key + changes->common, n < 8 ? n : 8);
		change->prefix = __builtin_bswap64(change->prefix);
	}
	if (spare == NULL) {
		qsort(changes->change, changes->count, sizeof *changes->change, compare);
		return;
	}
	radix_sort(changes, spare);
	free(spare);
	for (i = 0; i < changes->count; i = j) {
		for (j = i + 1; j < changes->count && changes->change[j].prefix == changes->change[i].prefix; j++)
			;
		if (j - i > 1)
			qsort(&changes->change[i], j - i, sizeof *changes->change, compare);
	}
}

void lzi_changes_fini(struct lzi_changes *changes)
{
	struct lzi_entry *entry = changes->entries, *next;

	for (; entry != NULL; entry = next) {
		memcpy(&next, (const uint8_t *)(entry + 1), sizeof(void *));
		free(entry);
	}
	free(changes->change);
	memset(changes, 0, sizeof *changes);
}

int lzi_changes_apply(struct lzi_store *store, struct lzi_changes *changes)
{
	struct lzi_index_change *list;
	size_t i;
	int rc;

	if (changes->count == 0)
		return LATZ_OK;
	lzi_changes_sort(changes);
	list = malloc(changes->count * sizeof *list);
	if (list == NULL)
		return lzi_error(LATZ_NOMEM, "%zu changes to the index", changes->count);
	for (i = 0; i < changes->count; i++) {
		list[i].key = changes->change[i].key;
		list[i].size = changes->change[i].size;
		list[i].remove = changes->change[i].remove;
	}
	rc = lzi_index_lock(&store->index);
	if (rc == LATZ_OK) {
		rc = lzi_index_apply(&store->index, list, changes->count);
		lzi_index_unlock(&store->index);
	}
	free(list);
	return rc;
}

struct walk {
	struct lzi_store *store;
	struct lzi_changes changes;
	uint32_t inserts;
	int all; /* rebuilding: every record, not only those that created their key */
};

static int collect(struct lzi_record *record, uint64_t unit, void *arg)
{
	struct walk *walk = arg;
	latz_slice key = { lzi_record_key(record), record->key_size };
	uint64_t died = lzi_load_relaxed(&record->died);
	struct lzi_found found;
	int rc, remove = 0;

	(void)unit;
	if (!walk->all && (record->flags & LZI_RECORD_INSERT) == 0)
		return 0;
	walk->inserts += (record->flags & LZI_RECORD_INSERT) != 0;
	if (died != 0) {
		/* Also when rebuilding: what took its place may stand where we have been already, and say nothing of a
		 * new key. */
		rc = lzi_read_find(walk->store, key, lzi_store_hash(walk->store, key.data, key.size), &found);
		remove = rc == LATZ_NOTFOUND;
		if (remove && walk->all)
			return 0;
	}
	return lzi_changes_add(&walk->changes, walk->store->control.header->hash_seed, key.data, key.size, remove);
}

/* What a batch has walked, to be booked when it is committed. */
struct covered {
	uint64_t extent, tail;
	uint32_t inserts;
};

static void book(struct lzi_store *store, const struct covered *covered, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		struct lzi_extent *meta = lzi_heap_meta(&store->heap, covered[i].extent);

		lzi_store_relaxed(&meta->inserts_seen, covered[i].inserts);
		lzi_store_release(&meta->indexed, covered[i].tail);
		LZI_POINT("index.booked");
	}
}

/* One batch from *extent on. */
static int batch(struct lzi_store *store, uint64_t *extent, struct walk *walk)
{
	struct covered *covered = NULL;
	size_t count = 0, capacity = 0;
	uint64_t n = lzi_heap_count(&store->heap), tail;
	int rc = LATZ_OK;

	for (; *extent < n && walk->changes.count < BATCH && rc == LATZ_OK; ++*extent) {
		struct lzi_extent *meta = lzi_heap_meta(&store->heap, *extent);
		uint64_t from = walk->all ? 0 : lzi_load_relaxed(&meta->indexed);

		/* The image's index has what is in the image; without it, the records are needed. */
		if (walk->all)
			rc = lzi_image_bring(store, *extent);
		if (rc != LATZ_OK)
			break;
		if (!lzi_extent_holds(store, *extent, &tail) || tail <= from)
			continue;
		if (!walk->all && lzi_load_relaxed(&meta->inserts) == meta->inserts_seen) {
			/* Nothing created since: inserts is stored before the tail that covers it. */
			lzi_store_release(&meta->indexed, tail);
			continue;
		}
		if (count == capacity) {
			void *grown = realloc(covered, (capacity = capacity * 2 + 64) * sizeof *covered);

			if (grown == NULL) {
				rc = lzi_error(LATZ_NOMEM, "index batch");
				break;
			}
			covered = grown;
		}
		walk->inserts = from == 0 ? 0 : meta->inserts_seen;
		rc = lzi_extent_walk(store, *extent, from, tail, collect, walk);
		covered[count].extent = *extent;
		covered[count].tail = tail;
		covered[count++].inserts = walk->inserts;
	}
	LZI_POINT("index.collected");
	if (rc == LATZ_OK)
		rc = lzi_changes_apply(store, &walk->changes);
	LZI_POINT("index.applied");
	if (rc == LATZ_OK)
		book(store, covered, count);
	free(covered);
	lzi_changes_fini(&walk->changes);
	return rc;
}

int lzi_catchup(struct lzi_store *store)
{
	struct lzi_shared *shared = store->control.shared;
	struct walk walk = { store, { .change = NULL }, 0, 0 };
	uint64_t extent = 0;
	int rc = lzi_heap_view(&store->heap);

	if (rc == LATZ_OK && !lzi_bound_index_wanted(store)) {
		lzi_store_release(&shared->index_rebuild, 1u);
		return LATZ_NOSPC; /* in the pool's bounds */
	}
	if (rc == LATZ_OK && lzi_load_relaxed(&shared->index_rebuild)) {
		walk.all = 1;
		rc = lzi_index_lock(&store->index);
		if (rc == LATZ_OK) {
			rc = lzi_index_clear(&store->index);
			lzi_index_unlock(&store->index);
		}
	}
	while (rc == LATZ_OK && extent < lzi_load_acquire(&shared->extents)) {
		rc = lzi_heap_view(&store->heap);
		if (rc == LATZ_OK)
			rc = batch(store, &extent, &walk);
	}
	if (rc == LATZ_OK && walk.all) {
		LZI_POINT("index.rebuilt");
		lzi_store_relaxed(&shared->index_rebuild, 0u);
		lzi_store_relaxed(&shared->bound.asleep, (uint16_t)0);
	}
	return rc;
}

int lzi_catchup_lag(struct lzi_store *store, uint64_t *ret_bytes)
{
	uint64_t n = lzi_heap_count(&store->heap), e, tail;
	int rc = lzi_heap_view(&store->heap);

	*ret_bytes = 0;
	for (e = 0; rc == LATZ_OK && e < n; e++) {
		struct lzi_extent *meta = lzi_heap_meta(&store->heap, e);

		if (lzi_extent_holds(store, e, &tail) && tail > lzi_load_relaxed(&meta->indexed) &&
		    lzi_load_relaxed(&meta->inserts) != lzi_load_relaxed(&meta->inserts_seen))
			*ret_bytes += tail - lzi_load_relaxed(&meta->indexed);
	}
	return rc;
}

void lzi_skip_index(struct lzi_store *store)
{
	uint64_t n = lzi_heap_count(&store->heap), e, tail;

	for (e = 0; e < n; e++) {
		if (lzi_extent_holds(store, e, &tail))
			lzi_store_release(&lzi_heap_meta(&store->heap, e)->indexed, tail);
	}
}
