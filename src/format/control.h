/*
 * The control file `pool`: layout, validation. Owns no memory and does no I/O.
 *
 *   page 0         immutable header, checksummed; one mutable word (state)
 *   pages 1..2     shared words, grouped by who writes them, each group on its own pair of cache lines
 *   pins           seqs that open scans still read at
 *   clients        one slot a process, alive while the OFD lock on the slot's byte is held
 *   actors         one slot a thread, alive while its robust mutex is held
 *
 * To change the layout: raise LZI_FORMAT_MINOR when old libraries may go on using the file, LZI_FORMAT_MAJOR (and write
 * a reader for the old one, or refuse it by name) when not. doc/format.md lists the same fields in the same order.
 */
#ifndef LZI_FORMAT_CONTROL_H
#define LZI_FORMAT_CONTROL_H

#include <stddef.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/mutex.h"
#include "format/counters.h"
#include "format/space.h"

#define LZI_MAGIC "latzero\n"
#define LZI_FORMAT_MAJOR 4 /* 1: without the log's state; 2: without compressed values and bounds; 3: shorter actors */
#define LZI_FORMAT_MINOR 0

#define LZI_PAGE 4096u
#define LZI_LINE 64u
#define LZI_HEADER_CHECKED 2044u /* bytes of page 0 that `checksum` covers */

enum {
	LZI_STATE_LIVE = 0x4556494c,
	LZI_STATE_DEAD = 0x44414544
}; /* "LIVE", "DEAD" as little-endian text */

/* Bytes of the control file that carry OFD locks; far past its end, so that no lock is ever on data. */
#define LZI_LOCK_LIFE (1ull << 40)          /* shared by every attached process; exclusive to tear the pool down */
#define LZI_LOCK_REMOVE (LZI_LOCK_LIFE + 1) /* exclusive by who is about to rename the pool's directory away */
#define LZI_LOCK_CLIENT (1ull << 41)        /* + slot: exclusive by the process that owns the client slot */

/* Seqs advance in strides: a scan or a delete adds one stride to `clock`, a write takes the next number at or above
 * it for its key. So writers never write a shared counter (see doc/concurrency.md, "The clock"). */
#define LZI_SEQ_STRIDE 64u

#define LZI_PINS_MAX 1024u
#define LZI_HAZARDS 16u

/* Creator only, before the file gets its name; never written again, but for `state`. */
struct lzi_header {
	uint8_t magic[8];        /* 0 */
	uint16_t major;          /* 8: refuse others */
	uint16_t minor;          /* 10 */
	uint32_t header_size;    /* 12: LZI_PAGE */
	uint32_t compatible;     /* 16: unknown bits are ignored */
	uint32_t incompatible;   /* 20: LZI_FEATURE_*; unknown bits refuse the file */
	uint8_t pool_id[16];     /* 24: random; the heap, table and extents files carry no header: they belong to the
	                            directory */
	uint8_t boot_id[16];     /* 40: of the running kernel; files of an earlier boot are leftovers */
	uint64_t hash_seed;      /* 56 */
	int64_t created_mono_ms; /* 64: CLOCK_MONOTONIC */
	int64_t created_wall_ms; /* 72: CLOCK_REALTIME */
	uint32_t flags;          /* 80: LATZ_KEEP */
	uint32_t clients_max;    /* 84 */
	uint32_t actors_max;     /* 88 */
	uint32_t mode;           /* 92: of the files */
	int64_t ttl_ms;          /* 96: default of keys, -1 none */
	uint32_t page_size;      /* 104: of the machine */
	uint32_t extent_size;    /* 108 */
	uint64_t pins_offset;    /* 112 */
	uint64_t clients_offset; /* 120 */
	uint64_t actors_offset;  /* 128 */
	uint64_t file_size;      /* 136 */
	uint32_t endian;         /* 144: 0x01020304 as the machine writes it */
	uint32_t mutex_size;     /* 148: of struct lzi_mutex */
	uint8_t reserved[1892];  /* 152 */
	uint32_t checksum;       /* 2044: crc32c of the bytes before it */
	uint32_t state; /* 2048: LIVE, then DEAD; by whoever destroys or finds the files gone. Checked by every call */
	uint8_t unused[2044];
};
_Static_assert(sizeof(struct lzi_header) == LZI_PAGE, "header is one page");
_Static_assert(offsetof(struct lzi_header, hash_seed) == 56, "layout");
_Static_assert(offsetof(struct lzi_header, pins_offset) == 112, "layout");
_Static_assert(offsetof(struct lzi_header, checksum) == LZI_HEADER_CHECKED, "layout");

#define LZI_FEATURE_AUDIT 0x100u /* there is a file `audit`: format/audit.h */
#define LZI_FEATURES_KNOWN LZI_FEATURE_AUDIT

/* What writers have to do for the log. */
enum lzi_durable {
	LZI_DURABLE_OFF,
	LZI_DURABLE_ON,    /* deletes and touches leave notes */
	LZI_DURABLE_ALWAYS /* and every write waits for the disk */
};

#define LZI_LEFT_MAX 512u
#define LZI_PERSIST_PATH_MAX 2048u
#define LZI_WHY_MAX 244u

/* The log (doc/durability.md). Writer: the holder of `mutex`, unless said otherwise. Its death: the next one collects
 * again from what is marked as logged. */
struct lzi_log_state {
	struct lzi_mutex mutex;
	struct lzi_mutex scribe;  /* 64: held by who makes checkpoints, begins a log or ends it */
	uint64_t position[5];     /* 128: struct lzi_wal_position */
	uint64_t generation;      /* 168: grows when the log is begun, moved or ended: directories are opened anew */
	uint64_t started;         /* 176: flushes begun. Writers read it after their write */
	uint64_t written, synced; /* 184: the last flush that is in the file; on the disk */
	uint64_t left_head;       /* 200: entries ever put into `left`; anyone, atomic add */
	uint64_t left_tail;       /* 208: taken out */
	uint64_t snapshot_seq;    /* 216: of the newest snapshot; holder of `scribe`, as is the next */
	int64_t snapshot_wall_ms; /* 224 */
	int64_t synced_mono_ms;   /* 232: when the last sync ended that left nothing behind */
	uint64_t flushes, syncs;  /* 240 */
	uint64_t checkpoint_bytes; /* 256 */
	uint32_t bell;             /* 264: futex: changes when waiters should look again */
	uint32_t sync;             /* 268: latz_sync */
	uint32_t interval_ms;      /* 272 */
	uint32_t snapshot_on_close; /* 276 */
	int32_t broken;             /* 280: 0, or the error after which nothing is durable any more */
	uint32_t sweep;             /* 284: 1: `left` was too small, or is not to be trusted: look at every extent */
	uint8_t log_id[16];         /* 288 */
	int64_t healed_mono_ms;     /* 304: when a new beginning was last tried, or a checkpoint failed; holder of
	                             * `scribe`, as is the next */
	uint32_t healing;           /* 312: 1: a log is about to begin: cleaning keeps what it has not got */
	uint32_t synced_pages;      /* 316: `bytes` of the position at the last sync, in pages of 4096 */
	uint32_t left[LZI_LEFT_MAX]; /* 320: extents (+1) that were left with something new; anyone; 0: not there yet */
	char path[LZI_PERSIST_PATH_MAX]; /* 2368: of the persist directory; "" none */
};
_Static_assert(offsetof(struct lzi_log_state, started) == 176, "layout");
_Static_assert(offsetof(struct lzi_log_state, left) == 320, "layout");
_Static_assert(sizeof(struct lzi_log_state) == 4416, "layout");

/* Why an entry was evicted. */
enum lzi_evict_reason {
	LZI_EVICT_BYTES,   /* the pool's max_bytes */
	LZI_EVICT_ENTRIES, /* its max_entries */
	LZI_EVICT_LIMIT,   /* a bound was lowered, or a restart brought back more than it allows */
	LZI_EVICT_EXPIRED, /* one of these; but its deadline had passed */
	LZI_EVICT_SPACE_BYTES,
	LZI_EVICT_SPACE_ENTRIES,
	LZI_EVICT_SPACE_LIMIT,
	LZI_EVICT_REASONS
};

/* Bounds and what is done to keep them (doc/bounds.md). Writer: the holder of `maint`, unless said otherwise. Its
 * death: every word is right by itself, or recomputed by the next. */
struct lzi_bound {
	uint64_t max_bytes;   /* 0: what everything may take; 0 none */
	uint64_t max_entries; /* 8: 0 none */
	uint64_t heap_limit;  /* 16: bytes of blocks the heap may have; 0 none. Anyone, when another file grows */
	uint32_t policy;      /* 24: latz_policy, never DEFAULT */
	uint32_t pad;
	uint64_t state_at;    /* 32: of the policy's state in the file `policy`, a page; in the lowest 12 bits whose it
	                       * is (latz_policy); 0 none */
	uint64_t state_size;  /* 40 */
	uint64_t state_entries; /* 48: for which it was made */
	uint64_t untidy;      /* 56: 1: beside the state the file may have blocks, and readers on their way to them */
	uint64_t pad2;
	uint64_t has_file;    /* 72: 1: there is a file `policy` */
	uint64_t tail;        /* 80: of the ring: events heard */
	int64_t evicted_ms;   /* 88: CLOCK_MONOTONIC, of the last eviction; 0 none */
	uint32_t evictor;     /* 96: actor + 1 that evicted last; 0 none */
	uint32_t mending;     /* 100: 1: the policy's state may be half changed */
	uint32_t urgent;      /* 104: so many wait for `maint` to evict: long work ends early. Anyone, atomic add */
	uint16_t asleep;      /* 108: 1: the index is not kept up */
	uint16_t tight;       /* 110: 1: the heap is about as large as it may be: extents are to be kept free */
	uint64_t evicted;     /* 112: entries evicted */
	uint64_t evicted_bytes, kept, kept_bytes; /* 120: their records' sizes; those moved on instead */
	uint64_t refused;     /* 144: anyone, atomic add: writes refused with LATZ_FULL or LATZ_TOOBIG */
	uint64_t other_bytes; /* 152: of the pool's files but the heap, when last looked at */
	uint64_t wanted;      /* 160: bytes for a larger state, which the heap has to give first */
	uint64_t index_bytes; /* 168: blocks of the index, when last looked at */
	uint64_t capacity;    /* 176: that the policy was told last */
	uint64_t fitted;      /* 184: `evicted` when the state was last made for as many entries as there are */
	uint64_t renewed;     /* 192: 1: since who evicts has looked what is fresh, a write left a record as it is: he
	                       * looks again. The holder of a bucket, or of `maint` */
	uint64_t evicted_for[7]; /* 200: by enum lzi_evict_reason; those of namespaces: anyone, atomic add */
	uint64_t head;        /* 256: of the ring: anyone, atomic add */
	uint64_t pad1[15];
};
_Static_assert(offsetof(struct lzi_bound, evicted_for) == 200, "layout");
_Static_assert(offsetof(struct lzi_bound, head) == 256, "a line of its own");
_Static_assert(sizeof(struct lzi_bound) == 384, "layout");

/* An event of the ring in the file `policy`, which begins with it. Writer: whoever got its place from `head`. */
#define LZI_RING 4096u
struct lzi_event {
	uint64_t hash;
	uint64_t what; /* place + 1 (32 bits) << 32 | kind << 30 | weight / 16; stored last */
};
enum lzi_event_kind {
	LZI_EVENT_HIT,
	LZI_EVENT_CREATED,
	LZI_EVENT_WRITTEN,
	LZI_EVENT_REMOVED
};

/* What a pool's users look at. */
enum lzi_watch {
	LZI_WATCH_BOUNDS = 1, /* the pool is bounded */
	LZI_WATCH_HITS = 2,   /* hits are counted in slots, and those below `sampling` are told of */
	LZI_WATCH_SAMPLE = 4, /* references below `tracing` are logged */
	LZI_WATCH_FEED = 8,   /* writes are told of in the change feed */
	LZI_WATCH_SPACES = 16, /* hits in namespaces are counted in slots: some evict */
	LZI_WATCH_AUDIT_WRITES = 32, /* writes of keys, and reads, go to the audit log. Creator only */
	LZI_WATCH_AUDIT_READS = 64,
	LZI_WATCH_RETAIN = 128 /* there are ages that keys do not pass. Anyone, before there are: it stays */
};
/* What is asked about before a key is written. */
#define LZI_WATCH_BEFORE (LZI_WATCH_BOUNDS | LZI_WATCH_AUDIT_WRITES | LZI_WATCH_RETAIN)
/* What no policy is about. */
#define LZI_WATCH_STAYS (LZI_WATCH_SPACES | LZI_WATCH_AUDIT_WRITES | LZI_WATCH_AUDIT_READS | LZI_WATCH_RETAIN)
/* Compressed values (doc/compression.md). */
struct lzi_compress {
	struct lzi_mutex mutex; /* held by who adds one. Its death: what `dicts` does not count is not there */
	uint64_t dicts; /* 64: bytes of the file `dict` that count << 8 | dictionaries in them. Holder of `mutex` */
	int32_t level;      /* 72: of zstd. Anyone who changes the settings, as the next */
	uint32_t by_itself; /* 76: 1: the janitor makes dictionaries */
	/* The janitor's, of when it last thought of making one. */
	uint64_t tried_values;  /* 80: `values` and `plain` */
	uint64_t tried_raw;     /* 88: `raw` */
	uint64_t tried_stored;  /* 96: `stored` */
	int64_t tried_mono_ms;  /* 104 */
	uint8_t pad0[16];
	/* Of values written since the pool was made that were long enough. Anyone, atomic add. */
	uint64_t values; /* 128: compressed ones */
	uint64_t plain;  /* 136: those that were not, as it would have saved too little */
	uint64_t raw;    /* 144: bytes of both */
	uint64_t stored; /* 152: bytes that became of them */
	uint8_t pad1[96];
};
_Static_assert(offsetof(struct lzi_compress, values) == 128, "layout");
_Static_assert(sizeof(struct lzi_compress) == 256, "layout");

/* The change feed (doc/together.md); its ring is the file `events` (format/feed.h). Writer: the holder of `mutex`,
 * unless said otherwise. Its death: every word is right by itself. */
struct lzi_feed {
	struct lzi_mutex mutex; /* held by who makes the ring, or gives it up */
	uint64_t cells;      /* 64: of the ring; 0: there is none. Changed while nobody writes events */
	uint32_t old_values; /* 72: 1: a subscriber wants to have them */
	uint32_t pad0;
	int64_t idle_ms;     /* 80: CLOCK_MONOTONIC since when nobody subscribes; 0: not known */
	int64_t tended_ms;   /* 88: when somebody last looked for deaths and deadlines; anyone, compare and swap */
	uint64_t making;     /* 96: bytes of a ring that is being made; a dead maker's count until the next one's */
	uint64_t pad1[3];
	uint64_t head;       /* 128: number of the next event, 0 before the first ring; anyone, compare and swap */
	uint64_t room;       /* 136: place where the next event's cells begin; anyone, compare and swap */
	uint64_t unheard;    /* 144: events that could not be put into the ring; anyone, atomic add */
	uint64_t pad2[5];
	uint32_t asleep;     /* 192: 1: a subscriber sleeps; anyone, exchange */
	uint32_t bell;       /* 196: futex: changes when sleepers should look again; anyone, atomic add */
	uint64_t pad3[7];
};
_Static_assert(offsetof(struct lzi_feed, head) == 128, "a line of its own");
_Static_assert(offsetof(struct lzi_feed, asleep) == 192, "a line of its own");
_Static_assert(sizeof(struct lzi_feed) == 256, "layout");
#define LZI_DEAD 8u

/* Locks (doc/together.md); the locks themselves are in the file `locks` (format/locks.h). */
struct lzi_locks {
	struct lzi_mutex mutex; /* held by who makes the file, lets it grow, or notes tokens on disk. Its death: what
	                         * the words below do not tell of is not there */
	uint64_t token;         /* 64: the last one handed out. Anyone, atomic add */
	uint64_t pad0[7];
	uint64_t ticket;     /* 128: of who began to wait last. Anyone, atomic add */
	uint64_t lives;      /* 136: the last number given to a client or a thread. Anyone, atomic add */
	uint64_t reserved;   /* 144: a restart goes on above it. Holder of `mutex`, as is the rest */
	uint64_t generation; /* 152: of the log that it was noted for */
	uint64_t blocks;     /* 160: of the file, all formatted */
	uint32_t ready;      /* 168: 1: the file is there */
	uint32_t pad1;
	uint64_t dead[LZI_DEAD]; /* 176: `life` of threads that were found dead of late; their reapers */
	uint64_t dead_count; /* 240: how many ever; atomic add */
	uint64_t pad2;
};
_Static_assert(offsetof(struct lzi_locks, ticket) == 128, "layout");
_Static_assert(sizeof(struct lzi_locks) == 256, "layout");

/* Ages that no key passes (doc/audit.md). */
struct lzi_retain {
	struct lzi_mutex mutex; /* held by who goes through the keys that were there before. Its death: `due` says */
	int64_t max_age_ms; /* 64: 0: none. Anyone who changes it */
	uint32_t due;       /* 72: LZI_RETAIN_*; anyone, atomic */
	uint32_t pad0;
	uint64_t beat;      /* 80: moves while the holder of `mutex` gets on */
	uint64_t pad1[5];
};
_Static_assert(offsetof(struct lzi_retain, max_age_ms) == 64, "layout");
_Static_assert(sizeof(struct lzi_retain) == 128, "layout");
#define LZI_RECOUNT_BOOK 2u /* recount: but for spaces.book all is counted, some of the pool was in its image still */
#define LZI_RETAIN_NOTE 1u  /* the age is to be noted in the book */
#define LZI_RETAIN_SWEEP 2u /* keys are to be gone through */
#define LZI_RETAIN_SETS 4u  /* somebody is changing it, or died in that: the book may say another: noted again */

/* Pages 1 and 2. Each group below starts on its own 128 bytes. */
struct lzi_shared {
	/* Read by every call. Writer: the holder of `split`. Its death: the value is simply the old or the new one. */
	uint64_t buckets;   /* 0: primary buckets of the table */
	uint32_t watch;     /* 8: enum lzi_watch. Holder of `maint`, as is the next; a reader that sees an old value
	                       counts a hit too many or too few. FEED: holder of feed.mutex */
	uint32_t sampling;  /* 12: lzi_policy_is_sampled() */
	uint32_t tracing;   /* 16: lzi_sample_has(); 0 none. Holder of `maint` */
	uint8_t pad0[108];

	/* Read by every write. clock: anyone, atomic add. pin_*: the holder of `pins`, which are recomputed by the next
	 * holder if it died. */
	uint64_t clock;   /* 128 */
	uint64_t pin_min; /* 136: lowest seq an open scan reads at, UINT64_MAX if none */
	uint64_t pin_max; /* 144: highest one, 0 if none */
	uint32_t durable; /* 152: enum lzi_durable. Holder of `log`, who waits for calls under way (persist.c) */
	uint32_t compress_min; /* 156: values of so many bytes and more are compressed; 0: none. As compress.level */
	uint8_t pad1[96];

	/* Read when an extent is taken. Writer: the holder of `heap`. Its death: recounted by the next holder. */
	uint64_t extents;       /* 256: extents in the heap file, all with a directory entry */
	uint64_t extents_free;  /* 264: of them FREE */
	uint64_t extents_hole;  /* 272: of them HOLE or PART */
	uint64_t extent_hint;   /* 280: where to look next for a free one */
	uint64_t overflow_hint; /* 288: the overflow extent with room, +1; 0 none */
	uint64_t extents_room;  /* 296: of them ROOM */
	uint64_t heap_bytes;    /* 304: the heap file is at least so long; the last extent may be allocated in part */
	uint32_t heap_repair;   /* 312: 1: a holder of `heap` died, and nobody could mend yet what it left */
	uint32_t image_index;   /* 316: 1: the index is still in the image. Holder of `index` */
	uint64_t image_left;    /* 320: extents, or heads of runs, that are IMAGE */
	uint64_t image_beat;    /* 328: moves while the holder of `heap` reads from the image */
	uint8_t pad2[48];

	/* Janitor's and reapers' notes. Atomic; a lost update costs work, never data. */
	uint32_t actors_ready;  /* 384: actor slots whose memory is allocated; holder of `slots` */
	uint32_t recount;       /* 388: 1: a client died, accounts may be off by its last record; or LZI_RECOUNT_BOOK */
	uint32_t zombies;       /* 392: 1: deleted records may still be in table slots */
	uint32_t index_rebuild; /* 396: 1: the index may lack keys (it had no room): rebuild before use */
	uint64_t reaped;        /* 400 */
	uint64_t cleaned_bytes; /* 408 */
	uint64_t heartbeat;     /* 416: moves while the holder of `maint` or `index` gets on with something long */
	uint64_t index_trimmed; /* 424: LMDB transaction after which free pages were last given back */
	uint64_t table_bytes;   /* 432: allocated of the table file; holder of `split` */
	uint64_t packed_pages;  /* 440: leaf pages of the index when it was last written in one go; holder of `index` */
	uint64_t packed_entries; /* 448: and its entries */
	uint64_t table_huge;     /* 456: bytes at the table's beginning that lie on huge pages; holder of `maint` */
	uint64_t index_bytes;    /* 464: the index file was so long when it was last left; holder of `index` */
	uint64_t log_sync_bytes; /* 472: of log that the last sync brought to the disk; holder of `log`, as the next */
	uint64_t log_sync_ns;    /* 480: that it took */
	uint64_t log_syncs_ns;   /* 488: that all took together */
	int64_t log_sync_lag_ms; /* 496: at its end since the one before: nothing waited longer for it */
	uint64_t maint_turns;    /* 504: times that somebody got `maint`; its holder */

	/* What the actors' sums lack: keys that came with an image, or that a recount found. Atomic add. */
	int64_t base_keys; /* 512 */
	/* Locked pools. */
	struct lzi_guarded {
		uint32_t kind;        /* 520: enum lzi_locked_kind. Creator only */
		uint32_t data_key;    /* 524: that records are sealed with; holder of `maint`, after the record of keys
		                       * says so. Who has not got it looks there */
		uint32_t failures;    /* 528: attempts with another password since the last right one; anyone, atomic */
		uint32_t attempts;    /* 532: of them since the pool was made; the same */
		int64_t not_before;   /* 536: ms, and a step (guess.c): no password is looked at before; the same */
		int64_t failed_ms;    /* 544: CLOCK_REALTIME of the last failure; the same */
		uint32_t data_keys;   /* 552: how many the record of keys has had, used up or not; who adds one to it,
		                       * raised only, once it is there. He dies before: whoever is next tells */
	} guarded;
	uint8_t pad4[80];

	/* In which order they are taken: doc/concurrency.md, "Order". */
	struct lzi_mutex slots;   /* 640: client slots; making more actor slots */
	struct lzi_mutex pins;    /* 704 */
	struct lzi_mutex heap;    /* 768: extent states, growth, overflow buckets */
	struct lzi_mutex split;   /* 832: table growth */
	struct lzi_mutex maint;   /* 896: index catch-up, expiry, cleaning, giving memory back */
	struct lzi_mutex index;   /* 960: the LMDB environment */
	struct lzi_mutex janitor; /* 1024: held by the janitor as long as it is one */
	uint8_t pad5[64];
	struct lzi_log_state log; /* 1152 */
	uint64_t log_move[6];     /* 5568: struct lzi_wal_move; holder of `log`, and the next one if it died */
	uint64_t log_missed;      /* 5616: deletes that the log has not got, and will not; anyone, atomic add */
	uint32_t extents_born;    /* 5624: the last extent's `born`; holder of `heap` */
	uint8_t pad6[4];
	struct lzi_bound bound;   /* 5632 */
	struct lzi_compress compress; /* 6016 */
	struct lzi_feed feed;     /* 6272 */
	struct lzi_locks locks;   /* 6528 */
	struct lzi_counters counters; /* 6784 */
	struct lzi_spaces spaces; /* 6912 */
	struct lzi_retain retain; /* 7168 */
	/* The checkpoint that was tried last, if it failed. Writer: the holder of `log.scribe`. Its death: the next
	 * checkpoint tells anew. */
	struct lzi_failed_checkpoint {
		int64_t wall_ms; /* 7296: CLOCK_REALTIME */
		int32_t error;   /* 7304: 0: it did not fail, or there was none. Stored last */
		char why[LZI_WHY_MAX]; /* 7308: for people; ends with NUL */
	} failed_checkpoint;
	uint8_t pad8[640];
};
_Static_assert(offsetof(struct lzi_shared, clock) == 128, "layout");
_Static_assert(offsetof(struct lzi_shared, extents) == 256, "layout");
_Static_assert(offsetof(struct lzi_shared, actors_ready) == 384, "layout");
_Static_assert(offsetof(struct lzi_shared, log_sync_bytes) == 472, "layout");
_Static_assert(offsetof(struct lzi_shared, base_keys) == 512, "layout");
_Static_assert(offsetof(struct lzi_shared, slots) == 640, "layout");
_Static_assert(offsetof(struct lzi_shared, log) == 1152, "layout");
_Static_assert(offsetof(struct lzi_shared, log_move) == 5568, "layout");
_Static_assert(offsetof(struct lzi_shared, log_missed) == 5616, "layout");
_Static_assert(offsetof(struct lzi_shared, bound) == 5632, "layout");
_Static_assert(offsetof(struct lzi_shared, compress) == 6016, "layout");
_Static_assert(offsetof(struct lzi_shared, feed) == 6272, "layout");
_Static_assert(offsetof(struct lzi_shared, counters) == 6784, "layout");
_Static_assert(offsetof(struct lzi_shared, locks) == 6528, "layout");
_Static_assert(offsetof(struct lzi_shared, spaces) == 6912, "layout");
_Static_assert(offsetof(struct lzi_shared, retain) == 7168, "layout");
_Static_assert(offsetof(struct lzi_shared, failed_checkpoint) == 7296, "layout");
_Static_assert(sizeof(struct lzi_failed_checkpoint) == 256, "layout");
_Static_assert(sizeof(struct lzi_shared) == 2 * LZI_PAGE, "two pages");

/* An open scan. Writer: the holder of `pins`; freed by it or, when the client is dead, by a reaper. */
struct lzi_pin {
	uint64_t seq;    /* 0: free */
	uint32_t client; /* slot */
	uint32_t pad;
};
_Static_assert(sizeof(struct lzi_pin) == 16, "layout");

/* A process. Alive while its OFD lock is held; state alone says nothing. */
struct lzi_client {
	uint32_t state;   /* 0 free, 1 used; under `slots` and the byte's OFD lock */
	uint32_t pid;     /* for people to read */
	int64_t since_ms; /* CLOCK_MONOTONIC */
	char command[16];
	uint32_t flags; /* LZI_CLIENT_* */
	/* Of the change feed. */
	uint32_t connected; /* 36: 1: nobody has told yet that it left; who does, by exchange */
	uint32_t watches;   /* 40: open subscriptions; the process, atomic add. Death: as state */
	uint32_t watches_old; /* 44: of them such that want old values */
	uint32_t died;      /* 48: 1: a thread of it was found dead; its reaper */
	/* Of the audit log. */
	uint32_t user;    /* 52: whose process it is */
	uint64_t started; /* 56: lzi_process_start() */
	/* Extents (+1) that borrowed views look at. Writer: the process, under its own lock; death: cleared by a
	 * reaper. */
	uint64_t hazards[LZI_HAZARDS]; /* 64 */
	/* Of locks. */
	uint64_t life;      /* 192: a number that no other client or thread ever had */
	uint64_t dead_life; /* 200: `life`, once a thread of it was found dead; by its reaper */
	uint64_t pad2[6];
};
_Static_assert(sizeof(struct lzi_client) == 256, "layout");
_Static_assert(offsetof(struct lzi_client, hazards) == 64, "layout");
_Static_assert(offsetof(struct lzi_client, watches) == 40, "layout");

#define LZI_CLIENT_REAPED 4u     /* it is dead, and who has its byte frees the slot soon. By him, under `slots` */
#define LZI_CLIENT_AUDITED 2u    /* the audit log may know that it came, and not that it went. Anyone, atomic */
#define LZI_CLIENT_MEMBARRIER 1u /* its readers can be waited for with membarrier(): memory may be given back */

/* What an actor is in the middle of; read only by its reaper. */
enum lzi_intent_kind {
	LZI_INTENT_NONE,
	LZI_INTENT_WRITE, /* publish record_new over record_old (0: an insert) */
	LZI_INTENT_DELETE,
	LZI_INTENT_MOVE, /* cleaning: record_new is a copy of record_old */
	LZI_INTENT_SPLIT, /* `bucket` is being split into bucket number `record_new` */
	LZI_INTENT_EVICT,
	LZI_INTENT_TXN, /* several buckets; `record_new` is the unit of a struct lzi_txn_list */
	LZI_INTENT_FED = 0x100 /* flag: events of it stand in the change feed */
};

/* A thread. Alive while it holds `alive`, from its first call to its exit; whoever gets the mutex with EOWNERDEAD is
 * its reaper, and a reaper that dies passes the office on in the same way. Writer of all fields: the thread, then its
 * reaper. */
struct lzi_actor {
	/* Line 0: written by every call of the thread, with plain stores. */
	uint64_t op;           /* 0: odd while inside a call that reads pool memory */
	uint64_t bucket;       /* 8: byte offset + 1 of the bucket it holds or is about to lock; 0 none */
	uint64_t record_old;   /* 16: record unit */
	uint64_t record_new;   /* 24: record unit; for a split the new bucket's number */
	int64_t keys_after;    /* 32: `keys` after the write at hand */
	uint64_t overflow;     /* 40: overflow bucket link taken but perhaps not chained yet */
	uint32_t kind;         /* 48: enum lzi_intent_kind */
	uint32_t extent;       /* 52: open extent + 1, 0 none */
	uint32_t clean_extent; /* 56: open extent + 1 that cleaning and eviction fill; changed by the holder of
				  `maint` */
	uint32_t clean_window; /* 60: the same of what cleaning moves within the window of a bounded pool */
	/* Line 1: counters. Plain; summed by readers. */
	int64_t keys;                                /* 64: inserts minus deletes by this thread */
	uint64_t gets, hits, sets, deletes, expired; /* 72 */
	uint32_t state;                              /* 112: 0 free, 1 used; under `alive` */
	uint32_t client;                             /* 116: slot of its process */
	uint32_t debt;                               /* 120: inserts since it last looked whether to split */
	uint32_t unlogged;                           /* 124: 1: a delete for which there is no note, and which the log
	                                                may not have got yet */
	struct lzi_mutex alive; /* 128 */
	/* While hits are watched, as the counters. */
	uint64_t hit_bytes, created_bytes; /* 192: of records read; of records that created their key */
	uint32_t writes;                   /* 208: since it last looked whether to evict */
	uint32_t fresh_units;              /* 212: of the record written last; not evicted before the next write */
	uint64_t fresh_hash;               /* 216: of its key; 0 none, as while another is begun */
	uint64_t references, created;      /* 224: hits and keys created; these alone */
	uint64_t pad2[2];
	/* Transactions. */
	uint64_t committed;   /* 256: seq of the last one: its store is what decides */
	uint32_t txn_inserts; /* 264: keys that the one at hand may create */
	uint32_t pad3;
	uint64_t pad4[2];
	/* Events it is about to put into the change feed. 0: none. */
	uint64_t feed_low;   /* 288: place + 1 from which on it may be writing, */
	uint64_t feed_high;  /* 296: place before which; valid while feed_low is not 0 */
	uint64_t feed_first; /* 304: number + 1 from which on it may have begun some, */
	uint64_t feed_last;  /* 312: number + 1 up to which; valid while feed_first is not 0 */
	/* Locks. The first two by who takes the slot. */
	uint64_t life;        /* 320: as a client's */
	uint64_t client_life; /* 328: of its process */
	uint64_t fence;       /* 336: lock node in whose name it is about to write; 0 none */
	uint64_t waits;       /* 344: lock node that it waits with; 0 none */
	uint64_t pad5[4];
	/* Namespaces. */
	uint64_t space_pages; /* 384: pages of its cells in the file `spaces` that are allocated; stays with the slot */
	uint32_t space;       /* 392: slot + 1 of the namespace that the write at hand is in; 0 none */
	uint32_t uses;        /* 396: scans, counters, locks, deadlines moved, writes of what is so already: uses of the
	                       * pool that no other counter tells */
	int64_t space_keys, space_bytes; /* 400: of its cell after the write at hand; valid while space is not 0 */
	uint32_t space_at; /* 416: slot + 1 of the namespace in which it may be creating keys; 0 none */
	uint32_t pad7;
	/* Waiting, as the counters. */
	uint64_t lock_takes, lock_waits; /* 424: locks taken, also after waiting; waits, whatever they came to */
	uint64_t bucket_waits, bucket_wait_ns; /* 440: buckets found locked; until they were not */
	uint64_t space_more; /* 456: bytes that it may be adding to that namespace; valid while space_at is not 0 */
	uint64_t pad6[6];
};
_Static_assert(offsetof(struct lzi_actor, committed) == 256, "layout");
_Static_assert(sizeof(struct lzi_actor) == 512, "layout");
_Static_assert(offsetof(struct lzi_actor, space_pages) == 384, "layout");
_Static_assert(offsetof(struct lzi_actor, lock_takes) == 424, "layout");
_Static_assert(offsetof(struct lzi_actor, keys) == 64, "layout");
_Static_assert(offsetof(struct lzi_actor, alive) == 128, "layout");
_Static_assert(offsetof(struct lzi_actor, feed_low) == 288, "layout");
_Static_assert(offsetof(struct lzi_actor, life) == 320, "layout");

/* Of the keys that are counted, those that are the users': not the book's, which are what namespaces are called, the
 * last number given out, the age that no key passes, a locked pool's keys. What there can't be nobody of us counted. */
static inline int64_t lzi_keys_told(const struct lzi_shared *shared, int64_t keys)
{
	int64_t book = lzi_load_relaxed(&shared->spaces.book);

	return book < 0 || book > LZI_BOOK_MAX ? keys : keys - book;
}

/* Fills in a header for a new pool: geometry and everything but ids, times, flags and ttl. */
void lzi_header_init(struct lzi_header *header, uint32_t clients_max);
/* Computes `checksum`. */
void lzi_header_seal(struct lzi_header *header);
/* LATZ_OK, LATZ_CORRUPT or LATZ_VERSION, with detail; size: bytes readable at header. */
int lzi_header_validate(const struct lzi_header *header, uint64_t size);

#endif
