/*
 * Private to store/: namespaces. What each has is counted where keys come and go (the first part), which costs other
 * keys a look at their first byte. doc/together.md, "Namespaces".
 */
#ifndef LZI_STORE_SPACE_H
#define LZI_STORE_SPACE_H

#include "base/point.h"
#include "store/store_int.h"

/* ---- space.c: slots, cells, counting ---- */

/* Maps the file `spaces`, making it if need be. */
int lzi_space_open(struct lzi_store *store);
void lzi_space_close(struct lzi_store *store);
/* Alone with a kept pool: as lzi_control_init_mutexes(). */
int lzi_space_take_over(struct lzi_store *store);
/* Bytes that the file takes. */
uint64_t lzi_space_blocks(struct lzi_store *store);

/* 0 also if the slots are not mapped. */
static inline int lzi_space_is_live(const struct lzi_store *store, struct lzi_space_ref ref)
{
	uint8_t *base = lzi_load_acquire(&store->space.base);
	const struct lzi_space *space = (const struct lzi_space *)(void *)base + ref.slot;

	return lzi_likely(base != NULL && lzi_load_acquire(&space->state) == LZI_SPACE_LIVE &&
	                  lzi_load_relaxed(&space->number) == ref.number);
}

/* NULL: there is none of that number, or the file is not there. */
struct lzi_space *lzi_space_search(struct lzi_store *store, uint32_t number);
static inline struct lzi_space *lzi_space_find(struct lzi_store *store, uint32_t number)
{
	uint8_t *base = lzi_load_acquire(&store->space.base);
	struct lzi_space *space = (struct lzi_space *)(void *)base + number % LZI_SPACES_MAX;

	if (lzi_likely(base != NULL && number != 0 && lzi_load_acquire(&space->number) == number))
		return space;
	return lzi_space_search(store, number);
}
/* The same; makes one LOADED if need be. Under the `heap` mutex, or alone. NULL: all are in use. */
struct lzi_space *lzi_space_claim(struct lzi_store *store, uint32_t number);
struct lzi_space *lzi_space_slot(struct lzi_store *store, uint32_t slot);
/* Whether there is a namespace of that number. */
static inline int lzi_space_is_there(struct lzi_store *store, uint32_t number)
{
	const struct lzi_space *space = lzi_space_find(store, number);

	return space != NULL && lzi_load_acquire(&space->state) == LZI_SPACE_LIVE;
}
static inline uint32_t lzi_space_index(const struct lzi_store *store, const struct lzi_space *space)
{
	return (uint32_t)(space - (const struct lzi_space *)(void *)lzi_load_relaxed(&store->space.base));
}
/* A thread's part; that of the calling one, NULL: there is no room for it. */
static inline struct lzi_space_cell *lzi_space_cell_in(uint8_t *base, uint32_t actor, uint32_t slot)
{
	return (struct lzi_space_cell *)(void *)(base + LZI_SPACE_CELLS_AT + actor * LZI_SPACE_CELLS_SIZE) +
	       (slot & (LZI_SPACES_MAX - 1));
}
static inline struct lzi_space_cell *lzi_space_cell_at(const struct lzi_store *store, uint32_t actor, uint32_t slot)
{
	return lzi_space_cell_in(lzi_load_relaxed(&store->space.base), actor, slot);
}
static inline int lzi_space_has_page(const struct lzi_call *call, uint32_t slot)
{
	return (call->actor->space_pages >> slot / LZI_SPACE_CELLS_A_PAGE & 1) != 0;
}
int lzi_space_add_page(struct lzi_call *call, uint32_t slot);
static inline struct lzi_space_cell *lzi_space_cell(struct lzi_call *call, uint32_t slot)
{
	if (lzi_unlikely(!lzi_space_has_page(call, slot)) && !lzi_space_add_page(call, slot))
		return NULL;
	return lzi_space_cell_at(call->store, call->index, slot);
}
/* All threads' parts. */
void lzi_space_sum(struct lzi_store *store, uint32_t slot, struct lzi_space_cell *ret_sum);
/* All cells of a slot as new. Nobody counts in it. */
void lzi_space_wipe(struct lzi_store *store, uint32_t slot);

/* The words of a slot's queue, mapped; NULL: they can't be. */
uint64_t *lzi_space_queue(struct lzi_store *store, uint32_t slot);
int lzi_space_queue_allocate(struct lzi_store *store, uint32_t slot, uint32_t places);

/* Around a write under its bucket's lock. comes, goes: records of one key; one of them may be NULL. Before
 * the intent's kind is stored; when the write has happened, before the kind is taken back. */
void lzi_space_intend(struct lzi_call *call, const struct lzi_record *comes, const struct lzi_record *goes,
                      int64_t keys);
/* The same of several keys of one namespace: how many more, and bytes of records. */
void lzi_space_intend_all(struct lzi_call *call, uint32_t number, int64_t keys, int64_t bytes);
static inline void lzi_space_intend_write(struct lzi_call *call, const struct lzi_write *write, int64_t keys,
                                          uint64_t span, uint64_t old_span)
{
	call->actor->space_keys = write->cell->keys + keys;
	call->actor->space_bytes = write->cell->bytes + (int64_t)(span - old_span);
	lzi_store_release(&call->actor->space, lzi_space_index(call->store, write->space) + 1);
}
static inline void lzi_space_happened(struct lzi_store *store, struct lzi_actor *actor, uint32_t index)
{
	struct lzi_space_cell *cell;

	uint32_t space = lzi_load_relaxed(&actor->space);

	if (space == 0 || lzi_unlikely(lzi_load_relaxed(&store->space.base) == NULL))
		return;
	cell = lzi_space_cell_at(store, index, space - 1);
	lzi_store_relaxed(&cell->keys, actor->space_keys);
	LZI_POINT("space.counted");
	lzi_store_relaxed(&cell->bytes, actor->space_bytes);
}
/* A record that came (1) or went (-1): of the book, it is not counted among the users' keys. */
static inline void lzi_space_count_book(struct lzi_store *store, const void *key, size_t size, int64_t keys)
{
	if (lzi_unlikely(lzi_key_is_book(key, size)) && keys != 0)
		lzi_fetch_add_relaxed(&store->control.shared->spaces.book, keys);
}
/* The same for a dead actor. */
void lzi_space_mend(struct lzi_store *store, struct lzi_actor *actor, uint32_t index);
static inline int lzi_record_is_spaced(const struct lzi_record *record)
{
	return lzi_unlikely(lzi_key_is_spaced(lzi_record_key(record), record->key_size));
}

/* A key that begins with ff is about to be written. */
static inline void lzi_space_mark_high(struct lzi_store *store)
{
	if (lzi_unlikely(lzi_load_relaxed(&store->control.shared->spaces.high) == 0))
		lzi_store_seq_cst(&store->control.shared->spaces.high, 1u);
}

/* A key of a file that was made before keys that begin with ff were escaped: *key is what it is now, in `escaped` if it
 * is another. LATZ_TOOBIG: it can't be any more. */
struct lzi_escaped {
	uint8_t key[LZI_KEY_MAX];
};
int lzi_space_escape(struct lzi_escaped *escaped, latz_slice *key);
/* The same of all keys of a pool that was restored from an image. */
int lzi_space_escape_all(struct lzi_call *call);

/* A key of a snapshot or log is about to be put back: there is to be something to count it in. */
int lzi_space_loading(struct lzi_store *store, latz_slice key);
/* It was, without an intent. */
void lzi_space_loaded(struct lzi_call *call, latz_slice key, uint64_t span);
/* A record came in from an image; under the `heap` mutex. head: as in lzi_image_record_fn. */
void lzi_space_brought(struct lzi_store *store, const struct lzi_record *record, const struct lzi_record *head);

/* Recounting: begin, each live record, then what it says is made true, if it can be relied on. NULL: nothing to do. */
struct lzi_space_cell *lzi_space_tally(struct lzi_store *store);
void lzi_space_tally_one(struct lzi_store *store, struct lzi_space_cell *tally, const struct lzi_record *record);
void lzi_space_correct(struct lzi_store *store, struct lzi_space_cell *tally);

/* ---- space_limit.c: budgets ---- */

static inline uint64_t lzi_write_hash(const struct lzi_store *store, const struct lzi_write *write)
{
	uint64_t seed = store->control.header->hash_seed;

	if (lzi_likely(write->space == NULL))
		return lzi_store_hash(store, write->key.data, write->key.size);
	return lzi_hash(lzi_space_seed(seed, lzi_key_space(write->key.data)), write->bare.data, write->bare.size);
}
/* For a key of a namespace: finds write->space, cell, which stay NULL for the book. LATZ_DEAD, LATZ_NOSPC. */
int lzi_space_resolve(struct lzi_call *call, struct lzi_write *write);
/* Under the bucket's lock: whether the namespace may have the record. old_span: of the one it replaces, 0 none.
 * LATZ_FULL: not before something of it has gone. LATZ_DEAD: it was dropped. */
int lzi_space_admit_bounded(struct lzi_call *call, struct lzi_write *write, uint64_t span, uint64_t old_span);
static inline int lzi_space_admit(struct lzi_call *call, struct lzi_write *write, uint64_t span, uint64_t old_span)
{
	const struct lzi_space *space = write->space;

	if (lzi_likely(lzi_load_acquire(&space->state) == LZI_SPACE_LIVE &&
	               lzi_load_relaxed(&space->number) == lzi_key_space(write->key.data) &&
	               (lzi_load_relaxed(&space->max_bytes) | lzi_load_relaxed(&space->max_entries)) == 0))
		return LATZ_OK;
	return lzi_space_admit_bounded(call, write, span, old_span);
}
/* Before the bucket is locked: what it may add, for others to reckon with who lock theirs at the same moment. */
static inline void lzi_space_say(struct lzi_call *call, const struct lzi_write *write)
{
	uint64_t size = write->kind == LZI_WRITE_INCREMENT ? sizeof(int64_t) : write->value.size;

	lzi_store_relaxed(&call->actor->space_more, lzi_record_span(write->key.size, size, 1));
	lzi_store_relaxed(&call->actor->space_at, lzi_space_index(call->store, write->space) + 1);
}
/* The same of several keys: how many more, and bytes. LZI_SPACE_CROWDED: not before something of it has gone;
 * LATZ_FULL: never. */
#define LZI_SPACE_CROWDED 1
int lzi_space_admit_all(struct lzi_call *call, uint32_t number, int64_t keys, int64_t bytes);
/* For so many keys of its namespace. LATZ_FULL: nothing is to be had. */
int lzi_space_make_room(struct lzi_call *call, latz_slice key, int64_t keys, uint64_t span);
/* The key was written. */
void lzi_space_push(struct lzi_store *store, struct lzi_space *space, uint64_t hash);
static inline void lzi_space_written(struct lzi_call *call, const struct lzi_write *write, uint64_t hash)
{
	lzi_bump_relaxed(&write->cell->sets, 1ull);
	if (write->created && lzi_unlikely(lzi_load_relaxed(&write->space->queue_size) != 0))
		lzi_space_push(call->store, write->space, hash);
}
/* Or deleted. */
void lzi_space_erased(struct lzi_call *call, const struct lzi_write *write, int expired);
/* What is over the bounds goes. LATZ_OK also if nothing may. */
int lzi_space_trim(struct lzi_call *call, uint32_t number);
/* Under spaces.mutex. */
int lzi_space_settle_queue(struct lzi_call *call, struct lzi_space *space);

/* ---- space_book.c: names, drops ---- */

/* Reads the book, if that is due. */
void lzi_space_rest(struct lzi_call *call);
/* A dropped number's keys have all gone. */
int lzi_space_undoom(struct lzi_call *call, uint32_t number);

/* ---- space_collect.c ---- */

/* Under `maint`: collects the keys of what was dropped. */
void lzi_space_collect(struct lzi_call *call, uint64_t deadline_ns, int *ret_more);

#endif
