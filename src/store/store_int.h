/*
 * Private to store/: the attachment, and what its files offer each other.
 */
#ifndef LZI_STORE_STORE_INT_H
#define LZI_STORE_STORE_INT_H

#ifdef __SSE2__
#include <emmintrin.h>
#endif
#include <pthread.h>
#include <time.h>

#include "base/atomic.h"
#include "base/hash.h"
#include "client/client.h"
#include "format/image.h"
#include "format/key_hash.h"
#include "format/packed.h"
#include "format/sealed.h"
#include "heap/heap.h"
#include "index/index.h"
#include "policy/sample.h"
#include "store/store.h"
#include "store/worker.h"
#include "table/table.h"
#include "wal/wal.h"

struct lzi_audit;
struct lzi_codec_dict;
struct lzi_policy;
struct lzi_policy_block;

/* One attachment of this process to a pool; handles share it. */
struct lzi_store {
	uint64_t id;         /* unique in the process: thread-local caches compare it, not the address */
	unsigned fork_count; /* of the process when it attached: a forked child attaches anew */
	unsigned flags;      /* LATZ_NO_THREAD, LATZ_NO_GUARD, LATZ_READONLY of the first open */
	unsigned refs;       /* handles and views; atomic; to and from 0 under the registry's mutex */
	unsigned threads;    /* thread slots not yet given back; under `list_mutex` */
	int held;            /* 1: by latz_restore(), for the next who opens it; under the registry's mutex */
	int open;            /* 0: closed, kept only for threads that still hold slots; under `mutex` */
	int is_new;          /* 1: made by us, and not opened yet: if that fails, it goes, kept or not */
	int replaced;        /* 1: it took another's place, and that can't be undone if it can't be written down */
	int reads_only;      /* 1: reader.c: all maps and descriptors are for reading; nothing is ever written */
	int gone;            /* 1: of such: the pool's files were deleted; atomic, as the next */
	int64_t looked_ms;   /* of such: when it was last looked whether they have been */
	struct lzi_table looked; /* of such: the table; in `table`, which has no map, nobody finds a slot then */
	uint32_t client;
	struct lzi_control control;
	struct lzi_table table;
	struct lzi_heap heap;
	struct lzi_index index;
	int dirfd;  /* runtime directory */
	int poolfd; /* the pool's directory */
	char name[65];
	char *dir;                       /* path of the runtime directory */
	pthread_mutex_t mutex;           /* of this process: threads, `open` */
	pthread_mutex_t hazard_mutex;    /* hazards: nothing is waited for under it, so borrowing does not wait */
	pthread_mutex_t list_mutex;      /* first_thread, threads: nothing is waited for under it */
	struct lzi_thread *first_thread; /* taken out, and walked, under `mutex`; a new thread need not have that */
	struct {
		uint64_t extent; /* + 1; 0 free */
		unsigned count;
	} hazard[LZI_HAZARDS];
	/* 1: a thread of ours has that mutex of the pool's (lzi_mutex_own()): what each guards of this process's own is
	 * not to be lost because somebody scribbles over it. */
	struct {
		uint32_t log, scribe, maint;
	} own;
	uint32_t reaping; /* atomic: 1: a thread of ours looks for dead processes */
	unsigned refills; /* extents taken by this process to append to; atomic */
	uint32_t in_runs; /* and in runs; atomic */
	uint32_t moved_to; /* empty extents taken by this process for what cleaning and eviction move; atomic */
	uint32_t wanted;   /* extents that writers took between the janitor's last two rounds; atomic */
	unsigned copies;  /* views that are copies, for want of a hazard */
	struct lzi_worker janitor;
	struct lzi_worker scribe, office; /* started and stopped by the janitor, then by who stops the janitor */
	int is_janitor;          /* atomic: this process's thread holds the pool's janitor mutex */
	int64_t index_due_ms;    /* janitor only */
	/* Bytes of PART extents when they were last counted, which extents were empty then but not FREE, and when that
	 * was; atomic, hints. */
	uint64_t part_bytes, part_holes, part_due_ns;
	int64_t undue_ms;        /* then nothing was expired; atomic, a hint */
	uint32_t in_way;         /* actor + 1 that kept memory from being given back the last time; atomic, a hint */
	uint64_t recount_due_ns; /* holder of `maint` */
	uint64_t huge_due_ns;    /* the same */
	/* This process's part in a durable pool; changed under the log's mutex, or by who is alone. */
	struct {
		uint64_t generation; /* of the log state that the rest belongs to; 0: none */
		int dirfd, lockfd;   /* the persist directory, its lock held shared; -1: not open */
		int old_dirfd;       /* -1, or what the scribe's office may still use of a generation before */
		int was_left;        /* 1: its last pool had written everything; told by lzi_persist_prepare() */
		/* What a checkpoint that failed has left for the next: the segment begun for it, `bytes` before
		 * that, and the
		 * log then. segment 0: none. Holder of the scribe's office. */
		struct {
			uint64_t segment, bytes, generation, snapshot_seq;
		} rolled;
		struct lzi_wal wal;
		uint8_t *buffer; /* of flushes; NULL until the first */
	} persist;
	/* The image that the pool was restored from. Guarded by its own mutex, for which nothing is waited under it but
	 * the disk. */
	struct {
		pthread_mutex_t mutex;
		int fd, note_fd; /* -1: not open */
		int failed;      /* bringing in ahead came to nothing: not again; holder of `maint` */
		uint64_t cursor; /* where it goes on; the same */
		struct lzi_image_note *note;
	} image;
	/* This process's view of a bounded pool's policy (hear.c), and eviction's notes (evict.c: holder of
	 * `maint`). */
	struct {
		pthread_mutex_t mutex; /* guards opening */
		int fd;                /* -1: not open */
		int ready;             /* atomic: map is there */
		uint64_t reach;        /* atomic: the file is so long, and the map no shorter */
		int seeded;            /* 1: this pool, being made, has the hash seed of the one before it */
		struct lzi_map map;    /* file `policy` */
	} hear;
	/* This process's view of the change feed's ring. */
	struct {
		pthread_mutex_t mutex; /* guards opening and widening */
		int fd;                /* -1: not open */
		struct lzi_map map;    /* file `events`; size 0: not there */
	} feed;
	struct lzi_evictor *evictor;
	struct lzi_seal *seal; /* NULL: the pool is not encrypted */
	struct lzi_secrets *secrets; /* of a locked pool; NULL: it is not */
	/* This process's view of the shared counters. */
	struct {
		pthread_mutex_t mutex; /* guards opening and widening */
		int fd;
		int ready;          /* atomic: map and fd are there */
		uint64_t reach;     /* atomic: bytes known to be in the file */
		struct lzi_map map; /* file `counters` */
	} counters;
	/* NULL, or while a log is replayed: hears of the records evicted. */
	void (*on_evict)(void *arg, const struct lzi_record *record);
	void *on_evict_arg;
	/* Namespaces (space.c). */
	struct {
		pthread_mutex_t mutex; /* guards mapping */
		uint8_t *base;         /* of the file `spaces`: slots and cells; atomic */
		uint64_t **queue;      /* of each slot; NULL: not mapped. Atomic */
		uint64_t cursor;       /* where collecting goes on; holder of `maint`, as the next */
		int found;             /* something was, since it began */
		uint32_t *doomed;      /* numbers that it began with, LZI_SPACES_MAX */
	} space;
	int escaping; /* 1: keys are being made what they are now (space_escape.c); nobody else has the pool yet */
	/* Who wants to be asked before keys expire (hook.c). */
	struct {
		pthread_mutex_t mutex;
		struct lzi_hook *first; /* under it */
	} hooks;
	/* Dictionaries that this process has needed. */
	struct {
		pthread_mutex_t mutex;
		struct lzi_codec_dict *dict[LZI_DICTS_MAX + 1]; /* set once, under `mutex`; read without */
		unsigned failed; /* one that could not be had; atomic */
	} codec;
	/* This process's view of the locks (lock_file.c). */
	struct {
		pthread_mutex_t mutex; /* guards opening and widening */
		int fd;                /* -1: not open */
		int ready;             /* atomic: map is there */
		struct lzi_map map;    /* file `locks` */
	} locks;
	struct lzi_audit *audit; /* NULL: the pool has no audit log */
	struct lzi_store *next;  /* registry, or what a child inherited */
};

/* A thread's slot in one store. */
struct lzi_thread {
	struct lzi_store *store;
	uint64_t store_id;
	uint32_t index;
	struct lzi_actor *own; /* NULL, or of who only reads: its slot, which nobody else sees */
	struct lzi_thread *next_of_thread;
	struct lzi_thread *next_of_store;
};

/* ---- thread.c ---- */

int lzi_thread_init(void);
int lzi_thread_find(struct lzi_store *store, struct lzi_call *ret_call);
/* Closing: gives back the calling thread's slot, and the extents of those of the others. */
void lzi_thread_leave(struct lzi_store *store);
void lzi_registry_lock(void);
void lzi_registry_unlock(void);
void lzi_reattach_lock(void);
void lzi_reattach_unlock(void);
extern struct lzi_store *lzi_registry_first; /* under the registry's lock */
/* In a forked child: what ancestors had attached and handles of ours still name; under the reattach lock. */
extern struct lzi_store *lzi_registry_inherited;

/* Inside begin..end the thread may hold pointers into the heap: nothing is given back meanwhile. A plain store: who
 * gives memory back makes up for the missing fence with a barrier in every process. */
static inline void lzi_call_begin(const struct lzi_call *call)
{
	lzi_store_relaxed(&call->actor->op, call->actor->op + 1);
	lzi_compiler_barrier();
}

static inline void lzi_call_end(const struct lzi_call *call)
{
	lzi_store_release(&call->actor->op, call->actor->op + 1);
}

/* ---- attach.c ---- */

struct lzi_fill;
struct lzi_opened;
/* The pool was destroyed under our hands: to be tried again. LATZ_BUSY is final: the persist directory is in use. */
#define LZI_ATTACH_AGAIN 1
int lzi_store_attach(const char *dir, const char *name, const latz_options *options, struct lzi_fill *fill,
                     struct lzi_store **ret_store);
void lzi_store_detach(struct lzi_store *store);
void lzi_store_free(struct lzi_store *store);
int lzi_store_reattach(struct lzi_store **store);
/* Maps and checks a control file. */
int lzi_control_map(struct lzi_control *control, int fd, int writable);
void lzi_control_unmap(struct lzi_control *control);
static inline int lzi_store_dead(const struct lzi_store *store)
{
	return lzi_load_relaxed(lzi_control_state(&store->control)) != LZI_STATE_LIVE;
}
/* Marks the pool dead if its files have gone. */
void lzi_store_check_files(struct lzi_store *store);
/* A file of the pool, for reading and writing; by who only reads, for that. LATZ_NOTFOUND. */
int lzi_store_file(const struct lzi_store *store, const char *name, int *ret_fd);

/* ---- reader.c: who only reads (doc/security.md) ---- */

int lzi_reader_attach(const char *dir, const char *name, const latz_options *options, struct lzi_fill *fill,
                      struct lzi_store **ret_store);
void lzi_reader_detach(struct lzi_store *store);
/* LATZ_DEAD: the files were deleted. Looks now and then. */
int lzi_reader_check(struct lzi_store *store);

/* ---- registry.c ---- */

/* Tears a pool down: the caller holds the life byte exclusively, or asks nobody. LATZ_OK also if the name is another
 * pool's by now; LATZ_BUSY: another remover has it. */
int lzi_pool_remove(int dirfd, const char *name, int poolfd, const struct lzi_control *control);
/* Takes a pool away whether or not somebody is attached. LATZ_NOTFOUND, LATZ_BUSY. */
int lzi_pool_destroy_at(int dirfd, const char *name);
int lzi_destroy_damaged(int dirfd, const char *name, int why);
/* Everything in a runtime directory that nobody uses. */
int lzi_dir_sweep(int dirfd, unsigned *ret_removed);
/* What dead makers and removers left; the caller holds the directory's lock exclusively. */
void lzi_dir_sweep_parts(int dirfd);
/* If nobody is attached to the ephemeral pool: removes it. 1 if it did. */
int lzi_pool_sweep(int dirfd, const char *name);

/* ---- guard.c ---- */

void lzi_guard_ensure(int dirfd, const char *dir);
/* Whether it has anything to do for such a pool: one that goes with its last user, or has a log. */
int lzi_guard_wanted(const struct lzi_control *control);
/* For a pool that is attached, unless it was opened without a guard. */
void lzi_store_guard(struct lzi_store *store);

/* ---- read.c ---- */

/* Which slots have the hash's tag: a bit each, lzi_slot_at() tells which slot the lowest stands for. All seven are
 * looked at: which of them it is can't be predicted, so a loop that stops there costs a misprediction, just when the
 * record's line should be asked for. A hint: who follows it loads the slot's word and looks again; but a slot that had
 * the tag throughout is among them. */
#if defined(__SSE2__) && !defined(__SANITIZE_THREAD__)
static inline unsigned lzi_slots_matching(const struct lzi_bucket *bucket, uint64_t hash)
{
	const __m128i *word = (const __m128i *)(const void *)bucket, tag = _mm_set1_epi16((short)(hash >> 48));
	__m128i low = _mm_packs_epi16(_mm_cmpeq_epi16(word[0], tag), _mm_cmpeq_epi16(word[1], tag));
	__m128i high = _mm_packs_epi16(_mm_cmpeq_epi16(word[2], tag), _mm_cmpeq_epi16(word[3], tag));

	/* A byte for 16 bits now; every fourth was the high end of a word, the first of these the header's. */
	return ((unsigned)_mm_movemask_epi8(low) | (unsigned)_mm_movemask_epi8(high) << 16) & 0x88888880u;
}

#define lzi_slot_at(bucket, match) (&(bucket)->slot[(__builtin_ctz(match) >> 2) - 1])
#else
static inline unsigned lzi_slots_matching(const struct lzi_bucket *bucket, uint64_t hash)
{
	unsigned match = 0;
	int i;

#pragma GCC unroll 7
	for (i = LZI_SLOTS - 1; i >= 0; i--)
		match = match + match + ((lzi_load_relaxed(&bucket->slot[i]) ^ hash) < 1ull << LZI_TAG_SHIFT);
	return match;
}

#define lzi_slot_at(bucket, match) (&(bucket)->slot[__builtin_ctz(match)])
#endif

/* Keys are short: a call of memcmp costs more than the comparison. Readers compare with what may be changing, and
 * look afterwards whether it was (read.c). */
#if defined(__SANITIZE_THREAD__)
__attribute__((no_sanitize("thread"), noinline, unused)) static int
#else
static inline int
#endif
lzi_same_bytes(const uint8_t *a, const uint8_t *b, size_t n)
{
	uint64_t x, y;
	size_t i;

	if (lzi_unlikely(n < 8)) {
		for (i = 0; i < n && a[i] == b[i]; i++)
			;
		return i == n;
	}
	for (i = 0; i + 8 < n; i += 8) {
		__builtin_memcpy(&x, a + i, 8);
		__builtin_memcpy(&y, b + i, 8);
		if (x != y)
			return 0;
	}
	__builtin_memcpy(&x, a + n - 8, 8);
	__builtin_memcpy(&y, b + n - 8, 8);
	return x == y;
}

/* A record found through a slot. Valid while the generation is unchanged: lzi_found_valid() after use. */
struct lzi_found {
	const struct lzi_record *record;
	uint64_t *slot;          /* that named it */
	const uint64_t *word_at; /* the extent's word */
	uint64_t word;
	uint64_t unit;
	uint64_t room; /* bytes from the record to its extent's end */
};

/* Longest list of a key's versions that anybody follows. */
#define LZI_VERSIONS_MAX 1000000u

/* Finds the key's current record, whatever its death mark says; hash is the key's. LATZ_NOTFOUND if no slot has it. */
int lzi_read_find(struct lzi_store *store, latz_slice key, uint64_t hash, struct lzi_found *ret_found);

/* LATZ_OK if what was found is there to be read now: *found is the version, another one if that is not decided yet.
 * LATZ_NOTFOUND, LATZ_CORRUPT; LATZ_BUSY: look again. *ret_expiry: 0 never; else *ret_now is the time. */
int lzi_read_present(struct lzi_store *store, latz_slice key, struct lzi_found *found, int64_t *ret_now,
                     int64_t *ret_expiry);
/* read_undecided.c: a record whose transaction is not decided becomes the one that counts; the same, and whether that
 * is there. Results as above. */
int lzi_read_present_settled(struct lzi_store *store, latz_slice key, struct lzi_found *found, int64_t *ret_now,
                             int64_t *ret_expiry);
#define LZI_READ_UNDECIDED 1
int lzi_read_settle(struct lzi_store *store, latz_slice key, struct lzi_found *found);

static inline int lzi_found_valid(const struct lzi_found *found)
{
	lzi_fence_acquire();
	return ((lzi_load_relaxed(found->word_at) ^ found->word) >> 8) == 0;
}

enum lzi_read_how {
	LZI_READ_VALUE,
	LZI_READ_KEY,   /* without the value's bytes */
	LZI_READ_PACKED /* a compressed or sealed value as it is, its type marked */
};
/* Bits of a latz_value's type, within the library. */
#define LZI_TYPE_PACKED 0x100
#define LZI_TYPE_SEALED 0x200

/* The usual get, in steps, so that who knows many keys can take each step for some before the next: a bucket without
 * oddities, whose first slot with the key's tag is the key's. Whatever else there is, is looked at from the beginning
 * when the key's turn comes. What a step keeps may be used in a later call. */
struct lzi_ahead {
	uint64_t hash, buckets /* that there were */, word;
	struct lzi_bucket *bucket;
	uint64_t *slot; /* the first with the key's tag; NULL: look properly */
};

/* Each starts the memory accesses of the next: the bucket; its slot and the record; where the slot is in an overflow
 * bucket, the record, which takes a step more. */
void lzi_ahead_bucket(const struct lzi_store *store, uint64_t hash, struct lzi_ahead *ahead);
void lzi_ahead_record(const struct lzi_store *store, struct lzi_ahead *ahead);
void lzi_ahead_overflow(const struct lzi_store *store, const struct lzi_ahead *ahead);
/* The version of a key at a pinned seq; LATZ_NOTFOUND if there is none. now_ms: for expiry. */
int lzi_read_at(struct lzi_store *store, latz_slice key, const struct lzi_ahead *ahead, uint64_t seq, int64_t now_ms,
                enum lzi_read_how how, latz_value *value);
/* What a key's record was found as. */
struct lzi_seen {
	struct lzi_found found; /* slot NULL: not in the usual way */
	uint64_t hash;
};
/* Reads keys whose result is LATZ_OK so far, one after another. */
void lzi_read_many(struct lzi_call *call, const latz_slice *keys, size_t n, latz_value *values, int *results,
                   struct lzi_seen *seen);
/* scan.c: a pin, with everything up to its seq in place: lzi_read_at() finds it. Ends with lzi_pin_drop(). */
int lzi_moment_take(struct lzi_call *call, uint32_t *ret_pin, uint64_t *ret_seq);
/* Starts the memory accesses of a later read: the bucket; then the record. */
void lzi_read_prefetch_bucket(const struct lzi_store *store, uint64_t hash);
void lzi_read_prefetch_record(const struct lzi_store *store, uint64_t hash);
/* The second: for who has looked that it is too small. */
int lzi_value_reserve(latz_value *value, size_t size);
/* The same for something of an encrypted pool: from now on the value's buffers are wiped before they go. */
int lzi_value_reserve_secret(latz_value *value, size_t size);
int lzi_value_widen(latz_value *value, size_t size);
/* As that, keeping the first `keep` bytes. */
int lzi_value_grow(latz_value *value, size_t keep, size_t size);
/* The full key that a long index entry stands for, as a value. LATZ_NOTFOUND if the table has none. */
int lzi_read_key_of(struct lzi_store *store, const void *entry, uint64_t hash, latz_value *key);
static inline int lzi_read_entry_key(struct lzi_store *store, const void *entry, latz_value *key)
{
	return lzi_read_key_of(store, entry, lzi_entry_hash(entry), key);
}
/* A key with this hash. */
static inline int lzi_read_hash_key(struct lzi_store *store, uint64_t hash, latz_value *key)
{
	return lzi_read_key_of(store, NULL, hash, key);
}

static inline uint64_t lzi_store_hash(const struct lzi_store *store, const void *key, size_t size)
{
	return lzi_key_hash(store->control.header->hash_seed, key, size, &store->escaping);
}

/* Whether there is a log that wants what is in the heap. */
static inline int lzi_log_collects(const struct lzi_store *store)
{
	const struct lzi_shared *shared = store->control.shared;

	return lzi_unlikely(lzi_load_relaxed(&shared->durable) != LZI_DURABLE_OFF) &&
	       (lzi_load_acquire(&shared->log.broken) == 0 || lzi_load_acquire(&shared->log.healing) != 0);
}

/* ---- bound.c, room.c, hear.c, evict.c: bounded pools (doc/bounds.md) ---- */

static inline int lzi_is_bounded(const struct lzi_store *store)
{
	return lzi_unlikely((lzi_load_relaxed(&store->control.shared->watch) & LZI_WATCH_BOUNDS) != 0);
}

/* Whether somebody wants to hear of accesses: the policy, or a sample. */
static inline int lzi_is_watched(const struct lzi_store *store)
{
	return lzi_unlikely((lzi_load_relaxed(&store->control.shared->watch) &
	                     ~(uint32_t)(LZI_WATCH_FEED | LZI_WATCH_STAYS)) != 0);
}

/* Whether LZI_WATCH_AUDIT_* are to be written down. */
#define lzi_audits(call, bits) lzi_unlikely((lzi_load_relaxed(&(call)->store->control.shared->watch) & (bits)) != 0)

/* Whether somebody wants to hear of gets that found something. */
#define lzi_watches_gets(call) \
	lzi_unlikely((lzi_load_relaxed(&(call)->store->control.shared->watch) & \
	              (LZI_WATCH_HITS | LZI_WATCH_SAMPLE | LZI_WATCH_SPACES | LZI_WATCH_AUDIT_READS)) != 0)

/* Under `maint`. The feed's bit is not under it, and that of namespaces stays. */
static inline void lzi_watch_set(struct lzi_shared *shared, uint32_t bits)
{
	uint32_t had = lzi_load_relaxed(&shared->watch);

	while (!lzi_cas_acquire(&shared->watch, &had, (had & (LZI_WATCH_FEED | LZI_WATCH_STAYS)) | bits))
		;
}

/* Whether writes are to be told of in the change feed (feed.h). If it is so under the bucket's lock, the ring stays
 * until that is given up. */
static inline int lzi_is_fed(const struct lzi_store *store)
{
	return lzi_unlikely((lzi_load_relaxed(&store->control.shared->watch) & LZI_WATCH_FEED) != 0);
}

/* The file `policy`: the ring, the sample, states. */
#define LZI_RING_BYTES (LZI_RING * sizeof(struct lzi_event))
#define LZI_SAMPLE_AT LZI_RING_BYTES
#define LZI_STATES_AT (LZI_SAMPLE_AT + LZI_SAMPLE_BYTES)

/* A hit in a bounded pool, found through the slot when it was `word`. */
void lzi_hear_hit(struct lzi_call *call, uint64_t *slot, uint64_t word, uint64_t hash, uint64_t bytes);
/* The same of a get. ahead: how it was found, if its slot is known. */
void lzi_hear_get(struct lzi_call *call, latz_slice key, const struct lzi_ahead *ahead, int slot_known,
                  const latz_value *value);
/* A get found something: the same, and the audit log is told. LATZ_OK, or the value is not to be given out. */
int lzi_hear_read(struct lzi_call *call, latz_slice key, const struct lzi_ahead *ahead, int slot_known,
                  const latz_value *value);
/* Something happened to a key: for the policy, if it wants to know. */
void lzi_hear_write(struct lzi_call *call, uint64_t hash, uint64_t span, enum lzi_event_kind kind);
/* The same of a record put back by a restart or a restore. */
void lzi_hear_loaded(struct lzi_call *call, uint64_t hash, uint64_t span, enum lzi_event_kind kind);
/* The rest under `maint`. Has the policy hear what was told; makes, or enlarges, its state. LATZ_OK, or there is no
 * policy to be asked: LATZ_NOSPC, LATZ_CORRUPT, ... */
int lzi_hear(struct lzi_store *store);
/* Whether who decides just now should listen first, and not leave it to maintenance. */
int lzi_hear_is_due(const struct lzi_store *store);
/* Makes the file, if need be, and maps it. */
int lzi_hear_file(struct lzi_store *store);
/* Whether it is mapped; not under `maint`, too. */
int lzi_hear_ready(struct lzi_store *store);
/* Bytes that the file takes. */
uint64_t lzi_hear_blocks(struct lzi_store *store);
/* Forgets what this process has mapped. */
void lzi_hear_close(struct lzi_store *store);
/* The policy's state is made anew for another policy. LATZ_BUSY: the heap has to give the bytes for it first. */
int lzi_hear_reset(struct lzi_store *store);
/* As it was in another pool, made for so many entries, and mended. What was told until now counts for less. */
int lzi_hear_adopt(struct lzi_store *store, uint64_t entries, struct lzi_policy_block from);
/* The same, smaller, if it takes more of max_bytes than one would be given, and far fewer keys are left. */
int lzi_hear_fit(struct lzi_store *store);
/* Bytes that the file will take at least, with the smallest state of a policy. */
uint64_t lzi_hear_fixed(struct lzi_store *store, latz_policy policy);
/* Gives back the blocks of states that are no longer used, or never were. */
void lzi_hear_tidy(struct lzi_call *call);
/* advise.c: begins sampling, or ends it, or goes on, as befits the pool's bounds; under `maint`. */
void lzi_sample_keep(struct lzi_store *store);
/* A reference to a key in the sample; a hit taken by chance. Not under `maint`. */
void lzi_sample_reference(struct lzi_call *call, uint64_t hash, uint64_t bytes, int created);
void lzi_sample_hit(struct lzi_call *call, uint64_t hash);
/* Between the two, after lzi_hear(), the state may be changed. */
const struct lzi_policy *lzi_policy_begin(struct lzi_store *store, struct lzi_policy_block *ret_state);
void lzi_policy_end(struct lzi_store *store);

/* What a write needs that got LATZ_FULL, and what its waiting has come to: zeroed, but for `span` and `keeps`, before
 * the first of its attempts. */
struct lzi_need {
	uint64_t span;
	int keeps;        /* 1: there are drafts in the writer's open extent: it stays */
	uint64_t held_ns; /* since when readers are in the way of giving back; 0 */
	unsigned held;    /* how often it waited for them */
	uint64_t empty;   /* extents that were when it was last looked for a row of them */
};

/* Evicts or cleans until there is room. LATZ_FULL: there is none to be had; LATZ_TIMEOUT. */
int lzi_bound_make_room(struct lzi_call *call, const uint32_t *open, struct lzi_need *need);
/* Room for so many more keys within max_entries, for one at least. */
int lzi_bound_make_entries(struct lzi_call *call, uint32_t count);
/* Whether one more key would be too many; for a key just being created. */
int lzi_bound_entries_full(const struct lzi_store *store);
/* A value whose record takes `span` bytes can't be kept, whatever is evicted: LATZ_TOOBIG. */
int lzi_bound_check(const struct lzi_call *call, uint64_t span);
/* Now and then, by writers: bounded work ahead of need. */
void lzi_bound_pace(struct lzi_call *call);
/* By who has `maint`: the same, and what has to be brought back within changed bounds. why: LZI_EVICT_LIMIT, if that is
 * why; else LZI_EVICT_BYTES or _ENTRIES, whichever it is. */
void lzi_bound_maintain(struct lzi_call *call, enum lzi_evict_reason why, uint64_t deadline_ns, int *ret_more);
/* A write leaves a record as it is, and has named it in its actor; its bucket is locked. Who evicts may have listed
 * what is fresh before that, and would not notice, as no slot changes. */
static inline void lzi_bound_renew(struct lzi_store *store)
{
	uint64_t *renewed = &store->control.shared->bound.renewed;

	if (!lzi_is_bounded(store))
		return;
	lzi_fence_after_cas(); /* by which we locked: either we see that he begins, or he sees the name */
	if (lzi_load_relaxed(renewed) == 0)
		lzi_store_release(renewed, 1ull);
}

/* What is left for the heap; after other files grew. */
void lzi_bound_refresh(struct lzi_store *store);
/* The heap gives way to a file that is about to grow, and counts already. LATZ_FULL: it can't. */
int lzi_bound_give_way(struct lzi_call *call);
/* Whether the index is to be kept up. */
int lzi_bound_index_wanted(const struct lzi_store *store);
/* Bounds of a pool that is being made. */
void lzi_bound_init(struct lzi_shared *shared, const latz_options *options);
/* On attaching. */
int lzi_bound_join(struct lzi_call *call);
/* Whether long work under `maint` should be left to another time. */
static inline int lzi_bound_urgent(const struct lzi_store *store)
{
	return lzi_unlikely(lzi_load_relaxed(&store->control.shared->bound.urgent) != 0);
}

/* Evicts, or moves on, at most `most` of what goes next; under `maint`, after lzi_hear() and a survey. *ret_done:
 * entries evicted. LATZ_BUSY: there is nothing that could go. last_resort: then something that was just written does.
 */
int lzi_evict(struct lzi_call *call, enum lzi_evict_reason why, unsigned most, int last_resort, unsigned *ret_done);
/* Bytes of records, and of dead ones, as of not long ago; again: as of now. */
int lzi_evict_survey(struct lzi_store *store, int again, uint64_t *ret_used, uint64_t *ret_dead);

/* ---- lock_token.c: writes in the name of a lock (doc/together.md) ---- */

/* LATZ_OK: from now until lzi_fence_end() nobody else is granted the lock. LATZ_FENCED. */
int lzi_fence_check(struct lzi_call *call, const struct lzi_fence *fence);
static inline int lzi_fence_begin(struct lzi_call *call, const struct lzi_fence *fence)
{
	return lzi_likely(fence == NULL) ? LATZ_OK : lzi_fence_check(call, fence);
}
static inline void lzi_fence_end(struct lzi_call *call, const struct lzi_fence *fence)
{
	if (lzi_unlikely(fence != NULL))
		lzi_store_release(&call->actor->fence, 0ull);
}
/* By who begins a log, or restores from it: tokens go on above all that were given out. */
int lzi_tokens_join(struct lzi_store *store);
/* lock_file.c. Bytes that the file takes; its memory goes back when nothing is locked; by who is alone with the pool:
 * nobody holds anything. */
uint64_t lzi_locks_blocks(struct lzi_store *store);
void lzi_locks_trim(struct lzi_store *store);
/* Whether somebody alive holds a lock, or waits for one. */
int lzi_locks_in_use(struct lzi_store *store);
void lzi_locks_reset(struct lzi_store *store);
void lzi_locks_close(struct lzi_store *store);

/* ---- write.c ---- */

/* Marks a record dead and books it. The bucket's lock is held. */
void lzi_record_kill(struct lzi_store *store, struct lzi_record *record, uint64_t unit, uint64_t seq,
                     enum lzi_death kind);
/* Slot and record of a key; the bucket's lock is held. LATZ_NOTFOUND, LATZ_CORRUPT. */
int lzi_write_find(struct lzi_store *store, struct lzi_bucket *bucket, latz_slice key, uint64_t hash,
                   uint64_t **ret_slot, struct lzi_record **ret_record);
/* The record behind a unit, checked against its extent; NULL if it is not one. */
struct lzi_record *lzi_record_at(struct lzi_store *store, uint64_t unit);
/* Why lzi_record_at() found none. */
int lzi_record_missing(struct lzi_store *store, uint64_t unit);
/* Books a published record into its extent. Idempotent. */
void lzi_append_done(struct lzi_store *store, uint64_t unit, const struct lzi_record *record);
/* Room for a record: in the actor's extent *open, or a run. Nothing is booked before lzi_append_done(). */
int lzi_append_reserve(struct lzi_call *call, uint32_t *open, uint64_t span, uint64_t *ret_offset);
/* An extent with room for it, or a run; who is refused for want of space makes some, as far as it goes. keeps: as in
 * struct lzi_need. */
int lzi_append_take(struct lzi_call *call, uint32_t *open, uint64_t span, int keeps, uint64_t *ret_extent);
void lzi_append_abandon(struct lzi_store *store, uint64_t offset, uint64_t span);
void lzi_expiry_note(struct lzi_store *store, uint64_t unit, int64_t expiry);
/* After the deadline can be seen. */
void lzi_expiry_note_again(struct lzi_store *store, uint64_t unit, int64_t expiry);
int lzi_record_needed(const struct lzi_store *store, const struct lzi_record *record);

/* A record being made, before the lock is taken. */
struct lzi_draft {
	struct lzi_record *record;
	uint64_t offset, span;
	int ext;
	uint8_t flags; /* LZI_RECORD_PACKED, SEALED, if the value is */
	/* What lzi_seal_body() has made, for lzi_seal_head(): in memory of ours, where nobody changes a nonce or a tag
	 * in between. */
	struct lzi_sealed *sealed;
};

/* Room for draft->span bytes. */
int lzi_draft_room(struct lzi_call *call, uint32_t *open, struct lzi_draft *draft);
/* Fills that room with the whole record but its seq, which the checksum lacks too, its deadline and links. */
void lzi_draft_fill(struct lzi_draft *draft, latz_slice key, latz_slice value, uint8_t type);
/* The same, and seals the value on its way: raw_size and packed say what it was. lzi_seal_head() is still to come. */
int lzi_draft_seal(struct lzi_call *call, struct lzi_draft *draft, latz_slice key, latz_slice value, uint8_t type,
                   uint64_t raw_size);
/* Everything that changes under the bucket's lock, once it is decided. old: NULL for an insert; else it dies of
 * `death`. delta: to the number of keys. kind: enum lzi_intent_kind, and LZI_INTENT_FED if it has been told. */
void lzi_publish(struct lzi_call *call, uint64_t *slot, uint64_t slot_word, struct lzi_record *record,
                 struct lzi_record *old, int delta, unsigned kind, enum lzi_death death);

/* Keys a bucket should hold on average. */
#define LZI_KEYS_PER_BUCKET 4
/* After keys were created: adds buckets if it is time. */
void lzi_write_grow_table(struct lzi_call *call);

/* ---- move.c ---- */

/* Copies the record at `unit`, if a slot still names it, to the actor's extent *open and publishes the copy in its
 * place. add_ext: with an extension, holding `expiry`. judged: its visits are forgotten. LATZ_NOTFOUND if no slot names
 * it any more. */
int lzi_move_record(struct lzi_call *call, uint32_t *open, uint64_t unit, int add_ext, int64_t expiry, int judged);

/* ---- mend.c ---- */

int lzi_mend_actor(struct lzi_actor *actor, uint32_t index, void *store);
void lzi_table_env_make(struct lzi_store *store, struct lzi_table_env *env);

/* ---- image.c ---- */

/* Reading from the image, for heap and index. */
void lzi_image_attach(struct lzi_store *store);
void lzi_image_part(struct lzi_store *store);
/* Bring in what is not there yet: an extent, if it is IMAGE (cheap if not); the rest, bit by bit. */
static inline int lzi_image_bring(struct lzi_store *store, uint64_t extent)
{
	return lzi_likely(lzi_heap_state(&store->heap, extent) != LZI_EXTENT_IMAGE)
	               ? LATZ_OK
	               : lzi_heap_bring(&store->heap, extent);
}
/* Under `maint`. deadline_ns 0: all of it. */
void lzi_image_bring_ahead(struct lzi_store *store, uint64_t deadline_ns, int *ret_more);
/* Whether a record is still in the image. */
static inline int lzi_image_has(const struct lzi_store *store, uint64_t unit)
{
	uint64_t extent = lzi_unit_offset(unit) >> LZI_EXTENT_SHIFT;

	return extent < lzi_load_acquire(&store->heap.reach) &&
	       lzi_heap_state(&store->heap, extent) == LZI_EXTENT_IMAGE;
}

/* ---- scan.c ---- */

/* Until every write that had begun has ended. LATZ_TIMEOUT: one was stopped. */
int lzi_wait_for_writers(struct lzi_call *call);

/* ---- maintain.c, catchup.c, clean.c, huge.c ---- */

/* Ends with `maint` held and mended. wait: else LATZ_BUSY at once. */
int lzi_maint_lock(struct lzi_store *store, int wait);
/* The same, waiting, by a thread that may be inside a call and has nothing of the pool in hand: it is not inside
 * meanwhile, for the holder may be waiting for all readers to leave, to give back what we wait for. */
int lzi_maint_lock_outside(struct lzi_call *call);
/* Who has it for something long gives it up every LZI_MAINT_TURN_NS if somebody waits, and goes on when those had the
 * time to wake up and take it. */
#define LZI_MAINT_TURN_NS 10000000u
struct lzi_turns {
	uint64_t since_ns; /* it has been had */
	uint64_t spent_ns; /* that the call was kept waiting, 0 at first: past one timeout it keeps it */
	int lost;          /* it is not held any more */
};
/* Not with a bucket's lock, nor with anything else of the pool in hand; inside a call or not. 1: others may have had
 * it meanwhile. LATZ_TIMEOUT: another has it, and it was not got back. */
int lzi_maint_turn(struct lzi_call *call, struct lzi_turns *turns);
void lzi_maint_unlock(struct lzi_store *store);

/* Walks the records of an extent from `from` to `to`; a non-zero return of fn ends the walk and is returned. */
typedef int (*lzi_walk_fn)(struct lzi_record *record, uint64_t unit, void *arg);
int lzi_extent_walk(struct lzi_store *store, uint64_t extent, uint64_t from, uint64_t to, lzi_walk_fn fn, void *arg);
/* Whether an extent's state is one that holds records, and how many bytes of them. */
int lzi_extent_holds(struct lzi_store *store, uint64_t extent, uint64_t *ret_tail);

/* The rest under `maint`. */
int lzi_catchup(struct lzi_store *store);
/* Books everything as indexed; index_rebuild is set. */
void lzi_skip_index(struct lzi_store *store);
int lzi_catchup_lag(struct lzi_store *store, uint64_t *ret_bytes);
/* *ret_freed: extents emptied. */
int lzi_clean(struct lzi_call *call, unsigned dead_percent, uint64_t deadline_ns, unsigned *ret_freed, int *ret_more);
/* Empties one extent and frees it. LATZ_BUSY: it must stay for now. */
int lzi_clean_extent(struct lzi_call *call, uint64_t extent);
/* The same of one all of whose records are dead. */
int lzi_clean_judged(struct lzi_call *call, uint64_t extent);
int lzi_expire(struct lzi_call *call, uint64_t deadline_ns, int *ret_more);
/* The same by who finds no room where nothing is evicted. 1: something went; 0: nothing was expired. Not if the
 * process has hooks of expiry. */
int lzi_expire_for_room(struct lzi_call *call);
/* Keeps so many FREE extents; partial: looks for those that have blocks in part, too. */
int lzi_give_back(struct lzi_call *call, uint64_t keep, int partial, int *ret_more);
/* Whether every other thread that was inside a call has left it. */
int lzi_readers_gone(const struct lzi_call *call);
/* lzi_store_maintain(), for the janitor, who knows what it is time for. */
enum {
	LZI_MAINTAIN_IDLE = 1,  /* nothing was written since the last time, or nobody waits for us */
	LZI_MAINTAIN_INDEX = 2, /* the index is due */
	LZI_MAINTAIN_HUGE = 4   /* pages are gathered into huge ones */
};
int lzi_maintain(struct lzi_call *call, unsigned budget_us, unsigned what);
/* Slots of clients that died are given back, and told of; unless another thread of ours is at it. */
void lzi_reap_clients(struct lzi_call *call);
int lzi_purge_zombies(struct lzi_call *call);
/* Puts table and heap on huge pages, where the kernel has them, a few at a time. */
void lzi_use_huge_pages(struct lzi_store *store, int *ret_more);
/* All of the table at once: for who is about to fill it, in a pool that nobody else sees. */
void lzi_huge_table(struct lzi_store *store);
/* patient: not again right after one that came to nothing. */
int lzi_recount(struct lzi_call *call, int patient, struct lzi_turns *turns);

/* A writer found no space: cleans whatever can be cleaned. LATZ_OK if that gave something back. */
int lzi_clean_for_room(struct lzi_call *call, const uint32_t *open);
/* Bounded work of a writer that needs an extent when the janitor has not kept up. */
void lzi_clean_inline(struct lzi_call *call);
/* The same of one that needs a run of `span` bytes: frees runs whose record is dead, which copies nothing. */
void lzi_clean_runs(struct lzi_call *call, uint64_t span);

int lzi_janitor_start(struct lzi_store *store);

/* Sums of counters. */
int64_t lzi_store_keys(const struct lzi_store *store);
void lzi_heap_account(struct lzi_store *store, uint64_t *ret_used, uint64_t *ret_dead);

/* stats.c: of the pool's password, and of those that were wrong. */
void lzi_stats_guarded(struct lzi_store *store, latz_stats_t *out);

#endif
