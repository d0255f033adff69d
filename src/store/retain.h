/*
 * Private to store/: ages that no key passes (doc/audit.md, "Retention"). Where the watch word has LZI_WATCH_RETAIN; it
 * stays when the last age has been taken back.
 *
 * A record written by then has an extension, and in it when it was written; what was there before is gone through once,
 * and gets one. So a deadline can be moved, but not beyond its record's age.
 */
#ifndef LZI_STORE_RETAIN_H
#define LZI_STORE_RETAIN_H

#include "store/space.h"

#define lzi_retains(store) \
	lzi_unlikely((lzi_load_relaxed(&(store)->control.shared->watch) & LZI_WATCH_RETAIN) != 0)

/* The age that a key must not pass; 0: none. */
int64_t lzi_retain_age(struct lzi_store *store, latz_slice key);
/* A write's time to live is no longer than that. */
void lzi_retain_cap(struct lzi_store *store, struct lzi_write *write);
/* The deadline of a record that is being written, which would be `expiry` (0: none). */
int64_t lzi_retain_deadline(struct lzi_store *store, latz_slice key, int64_t expiry);
/* The same of one that is there, and is to get another deadline; sweep: what it has, made to fit. Under its bucket's
 * lock. *ret_written is what is to be noted of when it was written. */
int64_t lzi_retain_moved(struct lzi_store *store, const struct lzi_record *record, int64_t expiry, int sweep,
                         uint32_t *ret_written);
/* For a record that is being written, or whose time of writing nobody knows. */
uint32_t lzi_retain_now(void);

/* What was not done yet, if anything: by who attaches, and by maintenance. sweeps: also what takes as long as there are
 * keys. */
void lzi_retain_rest(struct lzi_call *call, int sweeps);
/* Holds all keys to their ages. */
int lzi_retain_sweep(struct lzi_call *call);

/* space_book.c: sets the pool's age, and notes it for a restart. -1: the one it has. */
int lzi_space_note_age(struct lzi_call *call, int64_t max_age_ms);

#endif
