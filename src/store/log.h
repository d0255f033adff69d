/*
 * Private to store/: the log's side of a durable pool. log.c: flushing, waiting. note.c: notes. persist.c: directories,
 * beginning, ending, checkpoints. replay.c: what the log says, back into a pool. doc/durability.md has the protocol.
 */
#ifndef LZI_STORE_LOG_H
#define LZI_STORE_LOG_H

#include "store/store_int.h"
#include "wal/wal.h"

/* ---- note.c ---- */

struct lzi_note {
	struct lzi_record *record; /* NULL: there was no room for one */
	uint64_t unit;
	latz_slice key; /* the caller's */
	uint32_t size;  /* of its value */
	uint8_t type;
};

/* Room and everything but seq; before the bucket's lock is taken. */
int lzi_note_draft(struct lzi_call *call, uint8_t type, latz_slice key, struct lzi_note *ret_note);
/* A note for the log, if the pool has one. Without room for it a delete goes on all the same: needing no space is what
 * deletes promise; it is written to the log directly then. */
int lzi_note_for(struct lzi_call *call, const struct lzi_write *write, uint8_t type, struct lzi_note *ret_note);
/* The rest; under the lock. */
void lzi_note_fill(const struct lzi_note *note, uint64_t seq, const struct lzi_note_touch *touch);
/* Now the flusher finds it. Idempotent but for the account. */
void lzi_note_book(struct lzi_store *store, uint64_t unit, const struct lzi_record *record);

/* ---- log.c ---- */

static inline int lzi_is_durable(const struct lzi_store *store)
{
	return lzi_load_relaxed(&store->control.shared->durable) != LZI_DURABLE_OFF;
}

/* Takes the log's mutex, with this process's directory and segment as the state says. wait: else LATZ_BUSY at once. */
int lzi_log_lock(struct lzi_store *store, int wait);
/* The mutex alone, with what its last holder left in the middle mended. Positive or LATZ_OK: it is held. */
int lzi_log_mutex(struct lzi_store *store, int wait);
void lzi_log_unlock(struct lzi_store *store);
/* Everything booked before is in the file, with sync on the disk, when it returns; the mutex is held. */
int lzi_log_flush(struct lzi_store *store, int sync);
/* The calling thread's writes are on disk when it returns, or an error says that nothing is. */
int lzi_log_wait(struct lzi_store *store);
/* A delete for whose note there was no room. It is done; whether it is durable is asked of lzi_log_wait(). */
void lzi_log_delete(struct lzi_store *store, latz_slice key, uint64_t seq);
/* The log lacks a delete, and will: it is broken until a younger snapshot is there. */
void lzi_log_miss(struct lzi_store *store);
/* What is due by the clock: flush or sync; cheap if nothing is. */
void lzi_log_tick(struct lzi_store *store);
/* The log is broken from now on; the mutex is held. */
void lzi_log_break(struct lzi_store *store, int rc);
/* LATZ_OK, or the error that tells that nothing is durable. */
int lzi_log_check(const struct lzi_store *store);
uint64_t lzi_log_lag(struct lzi_store *store);
/* Bytes of log that are in the file and were not there at the last sync, about. */
uint64_t lzi_log_unsynced(struct lzi_store *store);
static inline struct lzi_wal_position *lzi_log_position(const struct lzi_store *store)
{
	return (struct lzi_wal_position *)(void *)store->control.shared->log.position;
}
_Static_assert(sizeof(struct lzi_wal_position) <= 40, "fits the state");
static inline struct lzi_wal_move *lzi_log_move(const struct lzi_store *store)
{
	return (struct lzi_wal_move *)(void *)store->control.shared->log_move;
}
_Static_assert(sizeof(struct lzi_wal_move) == 48, "fits the state");
/* What a dead holder of the mutex left is mended; the mutex is held, or nobody else is there. */
static inline void lzi_log_mend(struct lzi_store *store)
{
	/* It may have taken entries out of `left` and not come to write them. */
	lzi_store_relaxed(&store->control.shared->log.sweep, 1u);
	lzi_wal_mend(lzi_log_move(store), lzi_log_position(store));
}

/* ---- persist_dir.c ---- */

/* The directory of pool `name` in dir, as other processes see it, from wherever they are. */
int lzi_persist_path(const char *dir, const char *name, char path[LZI_PERSIST_PATH_MAX]);
/* Who opens a pool with options->persist_dir relies on it. LATZ_EXISTS: it is there, and not durable, or elsewhere. */
int lzi_persist_is_asked(const struct lzi_store *store, const latz_options *options);
/* Where the pool says that its log is, if it is a directory to be used (doc/security.md); the log's mutex is held. */
int lzi_persist_follow(struct lzi_store *store, char path[LZI_PERSIST_PATH_MAX], int *ret_dirfd, int *ret_lockfd);
/* The directory that is open is the log state's. */
void lzi_persist_adopt(struct lzi_store *store);
/* Opens the directory that is the pool's already: its lock is shared with others who are attached. */
int lzi_persist_prepare_again(struct lzi_store *store, const char *path);
/* A beginning that failed leaves nothing, so that another can be tried. */
void lzi_persist_clear(int dirfd);
/* LATZ_CORRUPT: who set files aside died on the way, and what is left is no pool. LATZ_IO. */
int lzi_persist_is_whole(int dirfd);
/* The store's directory, open and locked alone, holds no pool: one may begin in it. LATZ_EXISTS. */
int lzi_persist_vacant(struct lzi_store *store, const latz_options *options);
/* A sync failed here: what is read back in this boot may be in the system's memory only, and a further sync would not
 * tell. So until the next boot a start builds on nothing that it finds, but writes it again. */
void lzi_persist_distrust(int dirfd);
int lzi_persist_trusts(int dirfd);
void lzi_persist_trust(int dirfd);
/* Who still holds the directory's lock holds it of a file without a name. */
void lzi_persist_unname_lock(struct lzi_store *store);

/* ---- persist.c ---- */

/* This process's part in a durable pool: the directory opened and locked. The log's mutex is held, or the store is not
 * yet anybody else's. Does nothing if it is open already. */
int lzi_persist_join(struct lzi_store *store);
void lzi_persist_part(struct lzi_store *store);
/* owner.c: the directory, locked alone, is this pool's from now on. LZI_IN_USE: it is another's that is still there.
 * *ret_left (may be NULL): 0 if it had an owner that did not leave it, with everything written. */
int lzi_owner_take(struct lzi_store *store, int dirfd, const char *path, int *ret_left);
/* Whether that directory is a pool's that is there, and has the place that this one is to have. */
int lzi_owner_is_replaced(struct lzi_store *store, const char *path);
/* LATZ_ACCESS: it names another pool. */
int lzi_owner_is(struct lzi_store *store, int dirfd, const char *path);
/* All that the pool held is on disk, and nobody will write to it any more. */
void lzi_owner_leave(struct lzi_store *store);
/* Makes the pool durable, with a first snapshot; options NULL: not durable any more. */
int lzi_persist_begin(struct lzi_call *call, const latz_options *options);
int lzi_persist_end(struct lzi_store *store);
/* A snapshot in the directory, and the log from then on only. */
int lzi_checkpoint(struct lzi_call *call);
/* The same by a caller: waits for who is at one. */
int lzi_checkpoint_now(struct lzi_call *call);
/* The scribe: a thread for lzi_log_tick(), and one for what may take long: checkpoints and the like. */
int lzi_scribe_start(struct lzi_store *store);
/* A round of the second one's work. Does nothing if another process is at it. */
void lzi_scribe_office(struct lzi_call *call);
/* A round of both, for latz_maintain(). */
void lzi_scribe_work(struct lzi_call *call);
/* The last user, as it seems, leaves: everything to disk, a snapshot if it is wanted. What fails, but for the snapshot,
 * leaves something that only memory has. */
int lzi_persist_leave(struct lzi_store *store);
/* Whether that would write anything; nobody else is attached. */
int lzi_persist_owes(struct lzi_store *store);

struct lzi_snap_info;
/* After a warm start: the log goes on behind `segment`, in one of its own, with `frame`. id all zeros: a new log. */
int lzi_persist_continue(struct lzi_store *store, const uint8_t id[16], uint64_t segment, uint64_t frame,
                         const struct lzi_snap_info *info);
/* A struct lzi_fill's: a pool that is being made gets what the persist directory holds, and its log. */
int lzi_persist_create(struct lzi_store *store, const latz_options *options, void *arg);
/* Nobody gets the pool: the segment that was begun for it goes, if nothing is in it. A death before leaves that; a
 * later start goes on behind it. */
void lzi_persist_create_undo(struct lzi_store *store);
/* The same, but the pool holds what is to be persisted already, and the directory must be empty. */
int lzi_persist_create_from(struct lzi_store *store, const latz_options *options);
/* Opens options->persist_dir for a pool that is being made, and locks it for it alone. LATZ_BUSY: in use. */
int lzi_persist_prepare(struct lzi_store *store, const latz_options *options);
/* Whether a persist directory holds anything of a pool of that name. */
int lzi_persist_holds(const char *dir, const char *name);
/* locked_dir.c: what the directory says of its pool's lock, an enum lzi_locked_kind: of one that is open, and of one
 * that may not be there, or NULL. LATZ_IO. */
int lzi_locked_mark(int dirfd, uint32_t *ret_kind);
int lzi_locked_mark_of(const char *dir, const char *name, uint32_t *ret_kind);
/* LATZ_AUTH unless that is LZI_LOCKED_NOT: a pool without a password is not made there. */
int lzi_locked_refuse(const char *name, uint32_t kind);
/* Has it say so, once nothing of another kind counts there any more; and before that, when such a one is about to
 * begin there, beside what it says yet. LATZ_NOSPC, LATZ_IO, LATZ_ACCESS. */
int lzi_locked_remember(int dirfd, uint32_t kind);
int lzi_locked_announce(int dirfd, uint32_t kind);
/* Renames everything there to *.bad. */
int lzi_persist_set_aside(const char *dir, const char *name);

/* ---- replay.c, load.c ---- */

/* What the persist directory holds, into a new pool that nobody else sees. Its directory is open. */
int lzi_warm_start(struct lzi_store *store);

/* A record as it was, with its seq: kept if it is newer than what the pool has. expiry: CLOCK_MONOTONIC ms, 0 never. */
struct lzi_loaded {
	latz_slice key, value;
	uint8_t type;
	uint64_t seq;
	int64_t expiry;
	int packed; /* the value is compressed already, with a dictionary that the pool has */
	int sealed; /* the value is encrypted, with the keys that come with it */
};
int lzi_load_put(struct lzi_call *call, const struct lzi_loaded *loaded);

/* The same into a pool that was empty, of keys that are all different: first the record, its bucket asked for; and a
 * few records later its slot, when the bucket has come. */
#define LZI_LOAD_AHEAD 32u
struct lzi_stage;
struct lzi_load {
	struct lzi_call *call;
	struct lzi_stage *stage;    /* where records are built; NULL: in the heap itself */
	uint64_t keys_left;         /* of those that there is a table for */
	unsigned at, count; /* in the ring */
	struct {
		uint64_t hash, unit;
	} ring[LZI_LOAD_AHEAD];
};
/* keys: how many there will be, 0 if that is not known. */
int lzi_load_begin(struct lzi_load *load, struct lzi_call *call, uint64_t keys);
/* Records are to be built beside the heap (stage.h). Only in a pool that nobody else sees. */
int lzi_load_staged(struct lzi_load *load);
int lzi_load_add(struct lzi_load *load, const struct lzi_loaded *loaded);
/* The last slots, if rc, what it has come to so far, is LATZ_OK. To be called whatever it is, unless beginning
 * failed. */
int lzi_load_finish(struct lzi_load *load, int rc);
/* Forgets a key if its seq is below. */
int lzi_load_delete(struct lzi_call *call, latz_slice key, uint64_t seq);
/* A deadline of its own for that version, which may have expired by the one it had. */
int lzi_load_touch(struct lzi_call *call, latz_slice key, uint64_t seq, int64_t expiry);
/* A deadline by wall clock as one of this boot; not 0 if it is long over. to_mono_ms: CLOCK_MONOTONIC minus
 * CLOCK_REALTIME. */
static inline int64_t lzi_load_expiry(int64_t deadline_wall_ms, int64_t to_mono_ms)
{
	int64_t expiry;

	if (deadline_wall_ms == 0)
		return 0;
	if (__builtin_add_overflow(deadline_wall_ms, to_mono_ms, &expiry))
		return deadline_wall_ms < 0 ? 1 : INT64_MAX;
	return expiry < 1 ? 1 : expiry;
}
/* What a restart leaps over, when there may have been writes that nothing on disk tells of: readers may remember their
 * versions, and must not meet them again. So many seqs are 2^34 writes of one key, or 2^28 deletes. */
#define LZI_SEQ_LEAP (1ull << 34)
uint64_t lzi_load_leap(uint64_t clock);
/* New writes come after everything that was loaded; lost: and after what may have come after that. */
void lzi_load_end(struct lzi_store *store, uint64_t seq_max, int lost);

#endif
