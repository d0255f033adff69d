/*
 * Private to store/: namespaces. What each has is counted where keys come and go (the first part), which costs other
 * keys a look at their first byte. doc/together.md, "Namespaces".
 */
#ifndef LZI_STORE_SPACE_H
#define LZI_STORE_SPACE_H

#include "store/store_int.h"

/* ---- space.c: slots, cells, counting ---- */

/* Maps the file `spaces`, making it if need be. */
int lzi_space_open(struct lzi_store *store);
void lzi_space_close(struct lzi_store *store);
/* Alone with a kept pool: as lzi_control_init_mutexes(). */
int lzi_space_take_over(struct lzi_store *store);
/* Bytes that the file takes. */
uint64_t lzi_space_blocks(struct lzi_store *store);

/* NULL: there is none of that number, or the file is not there. */
struct lzi_space *lzi_space_find(struct lzi_store *store, uint32_t number);
/* The same; makes one LOADED if need be. Under the `heap` mutex, or alone. NULL: all are in use. */
struct lzi_space *lzi_space_claim(struct lzi_store *store, uint32_t number);
struct lzi_space *lzi_space_slot(struct lzi_store *store, uint32_t slot);
uint32_t lzi_space_index(const struct lzi_store *store, const struct lzi_space *space);
/* The calling thread's part; NULL: there is no room for it. */
struct lzi_space_cell *lzi_space_cell(struct lzi_call *call, uint32_t slot);
/* All threads' parts. */
void lzi_space_sum(struct lzi_store *store, uint32_t slot, struct lzi_space_cell *ret_sum);
/* All cells of a slot as new. Nobody counts in it. */
void lzi_space_wipe(struct lzi_store *store, uint32_t slot);

/* The words of a slot's queue, mapped; NULL: they can't be. */
uint64_t *lzi_space_queue(struct lzi_store *store, uint32_t slot);
int lzi_space_queue_allocate(struct lzi_store *store, uint32_t slot, uint32_t places);

/* As its users know it. */
static inline latz_slice lzi_key_for_people(latz_slice key)
{
	unsigned strip = lzi_key_is_spaced(key.data, key.size) ? LZI_SPACE_PREFIX : *(const uint8_t *)key.data == 0xff;

	return (latz_slice){ (const uint8_t *)key.data + strip, key.size - strip };
}

/* Around a write under its bucket's lock. comes, goes: records of one key; one of them may be NULL. Before
 * the intent's kind is stored; when the write has happened, before the kind is taken back. */
void lzi_space_intend(struct lzi_call *call, const struct lzi_record *comes, const struct lzi_record *goes,
                      int64_t keys);
/* The same of several keys of one namespace: how many more, and bytes of records. */
void lzi_space_intend_all(struct lzi_call *call, uint32_t number, int64_t keys, int64_t bytes);
void lzi_space_happened(struct lzi_store *store, struct lzi_actor *actor, uint32_t index);
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
/* A record came in from an image; under the `heap` mutex. */
void lzi_space_brought(struct lzi_store *store, const struct lzi_record *record);

/* Recounting: begin, each live record, then what it says is made true, if it can be relied on. NULL: nothing to do. */
struct lzi_space_cell *lzi_space_tally(struct lzi_store *store);
void lzi_space_tally_one(struct lzi_store *store, struct lzi_space_cell *tally, const struct lzi_record *record);
void lzi_space_correct(struct lzi_store *store, struct lzi_space_cell *tally);

/* ---- space_limit.c: budgets ---- */

/* Under the bucket's lock: whether the namespace may have the record. old_span: of the one it replaces, 0 none.
 * LATZ_FULL: not before something of it has gone. LATZ_DEAD: it was dropped. */
int lzi_space_admit(struct lzi_call *call, struct lzi_write *write, uint64_t span, uint64_t old_span);
/* The same of several keys: how many more, and bytes. LZI_SPACE_CROWDED: not before something of it has gone;
 * LATZ_FULL: never. */
#define LZI_SPACE_CROWDED 1
int lzi_space_admit_all(struct lzi_call *call, uint32_t number, int64_t keys, int64_t bytes);
/* For so many keys of its namespace. LATZ_FULL: nothing is to be had. */
int lzi_space_make_room(struct lzi_call *call, latz_slice key, int64_t keys, uint64_t span);
/* The key was written. */
void lzi_space_written(struct lzi_call *call, const struct lzi_write *write, uint64_t hash);
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
