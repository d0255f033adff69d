/*
 * The heap and its directory, the table's buckets: layouts and the arithmetic on them. No I/O, no memory of its own.
 *
 * Addresses: a record's place is its byte offset in the heap file; in slots and links it is a *unit*: offset / 16 + 1,
 * so that 0 means none. doc/format.md lists the same fields in the same order.
 */
#ifndef LZI_FORMAT_HEAP_H
#define LZI_FORMAT_HEAP_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/crc32c.h"

/* 256 KiB: taking an extent is the slow part of a write, and must come up in fewer than one write of a thousand, or it
 * is the 99.9th percentile: 1 800 records of 144 bytes fill this one. */
#define LZI_EXTENT 262144u
#define LZI_EXTENT_SHIFT 18
/* A record over this gets a run of extents of its own, allocated only as far as it reaches; so the slack at the end of
 * a shared extent stays under a quarter. */
#define LZI_RECORD_SHARED_MAX (LZI_EXTENT / 4)
#define LZI_UNIT 16u

#define LZI_KEY_MAX 32767u
#define LZI_VALUE_MAX 0xffffffffull
#define LZI_SEQ_MAX (1ull << 50) /* of what files claim; death marks have 52 bits */
/* 45 bits of units; 4 GiB of slack so that offset + record never wraps. */
#define LZI_HEAP_MAX (((1ull << 45) - 2) * LZI_UNIT - (1ull << 33))

/* ---- Directory (`extents`) --------------------------------------------------------------------------------------- */

/* State in the low byte of an extent's word, generation above it. FREE is 0, so that fresh directory memory is free. */
enum lzi_extent_state {
	LZI_EXTENT_FREE,     /* empty, blocks allocated */
	LZI_EXTENT_OPEN,     /* an actor appends to it */
	LZI_EXTENT_CLOSED,   /* full: nobody appends */
	LZI_EXTENT_ROOM,     /* nobody appends, but there is room at its end: taken before others */
	LZI_EXTENT_RUN,      /* first of meta.run extents holding one record */
	LZI_EXTENT_BODY,     /* another one of a run */
	LZI_EXTENT_OVERFLOW, /* the table's overflow buckets */
	LZI_EXTENT_HOLE,     /* empty, blocks given back: allocate before use */
	LZI_EXTENT_PART,     /* empty, blocks allocated in part: as HOLE for taking, as FREE for giving back */
	LZI_EXTENT_PARKED,   /* empty, being given back: not to be taken */
	LZI_EXTENT_IMAGE     /* records, or a run's head, still in the image the pool was restored from; there may
	                        be no blocks. Brought in, it is CLOSED or RUN, of the same generation */
};

/* In a bounded pool (store/evict.c): what is fresh, and what cleaning or eviction kept, is in extents of its own. */
enum lzi_extent_list {
	LZI_LIST_WINDOW,
	LZI_LIST_MAIN
};

/* An extent's account, 64 bytes. */
struct lzi_extent {
	uint64_t tail;    /* 0: bytes of records. Owner; after its death the reaper */
	uint64_t dead;    /* 8: bytes of them dead. Anyone, atomic add: a hint, recounted by cleaning */
	uint8_t huge;     /* 16: in the first of 8: 1 when they lie on a huge page. Holder of `maint` */
	uint8_t list;     /* 17: enum lzi_extent_list. Holder of `heap`, when it takes an empty one; for a run
			     `maint` */
	uint16_t judged;  /* 18: units of records, from the beginning, that eviction has been over. Holder of
			     `maint`. Of
	                     a PART extent: units that have blocks, at least; holder of `heap` */
	uint32_t born;    /* 20: grows from each extent taken to the next: which is older. As list */
	uint64_t indexed; /* 24: bytes the index has looked at. Holder of `maint` */
	uint32_t owner;   /* 32: actor + 1 while OPEN or RUN being filled. Holder of `heap`, or the owner on leaving */
	uint32_t inserts; /* 36: records appended that created a key. Owner */
	uint32_t inserts_seen; /* 40: of them looked at by the index. Holder of `maint` */
	uint32_t deletes;      /* 44: records deleted. Anyone, atomic add */
	int64_t expiry_min;    /* 48: earliest deadline of its records, 0 none. Atomic min */
	uint32_t run;          /* 56: extents in the run, at its head. Holder of `heap` */
	uint32_t logged;       /* 60: units that are in the log, if there is one. Holder of `log` */
};
_Static_assert(sizeof(struct lzi_extent) == 64, "one line");
_Static_assert(offsetof(struct lzi_extent, expiry_min) == 48, "layout");

/* 64 extents' words, then their accounts: readers look only at words, which seldom change, so the accounts are kept
 * off their lines. */
struct lzi_extent_group {
	uint64_t word[64];
	struct lzi_extent meta[64];
};
_Static_assert(sizeof(struct lzi_extent_group) == 4608, "no padding");

static inline uint64_t lzi_extent_word(uint64_t generation, enum lzi_extent_state state)
{
	return generation << 8 | (uint64_t)state;
}

static inline enum lzi_extent_state lzi_extent_word_state(uint64_t word)
{
	return (enum lzi_extent_state)(word & 0xff);
}

static inline uint64_t lzi_extent_word_generation(uint64_t word)
{
	return word >> 8;
}

/* Bytes of directory that `count` extents need. */
static inline uint64_t lzi_extents_size(uint64_t count)
{
	return (count + 63) / 64 * sizeof(struct lzi_extent_group);
}

/* ---- Records ----------------------------------------------------------------------------------------------------- */

enum {
	LZI_RECORD_EXT = 1, /* struct lzi_record_ext follows the header; covered by crc */
	LZI_RECORD_INSERT =
		2, /* created its key: the index must hear of it. Written under the bucket lock, not in crc */
	LZI_RECORD_HAS_PREV = 4, /* ext.prev is valid. As INSERT */
	LZI_RECORD_COPY = 8, /* a copy that cleaning made of a record that is in the log. As INSERT */
	LZI_RECORD_PACKED = 16, /* the value is compressed (format/packed.h); covered by crc */
	LZI_RECORD_GROUP = 32,  /* written by a transaction: in the log it counts with the others only. As INSERT */
	/* The value is encrypted (format/sealed.h); covered by crc, which covers no more of it than LZI_SEALED_SUMMED
	 * bytes: the cipher's own tags do the rest. */
	LZI_RECORD_SEALED = 64
};
#define LZI_SEALED_SUMMED 36u

/* Why a record died. MOVED: nobody will want it any more: a copy has taken its place, or it was superseded when no scan
 * could see it. The others may be wanted by scans. `died` is 0 while the record is alive, else seq << 12 | check << 4 |
 * kind: one store kills a record and says when. */
enum lzi_death {
	LZI_DEATH_NONE,
	LZI_DEATH_SUPERSEDED,
	LZI_DEATH_DELETED,
	LZI_DEATH_MOVED
};

/* While the transaction that writes a record is undecided, `died` is this instead: bit 3, which no death has; who
 * commits; the record it is to replace. Stored before a slot names the record. */
#define LZI_UNDECIDED 8ull
#define LZI_UNDECIDED_ACTORS 16384u /* 14 bits */

/* Types of notes: records that only tell the log what was changed in place. No slot names one; they are dead, MOVED,
 * from the start. */
enum {
	LZI_NOTE_DELETE = 0xf0, /* no value. Its seq is the delete's */
	LZI_NOTE_TOUCH = 0xf1,  /* struct lzi_note_touch. Its seq is that of the version touched */
	LZI_NOTE_GROUP = 0xf2   /* struct lzi_note_group, its key one byte, 0. Its seq is the transaction's */
};

struct lzi_note_touch {
	int64_t expiry;   /* CLOCK_MONOTONIC ms, 0 never */
	uint64_t when_ns; /* CLOCK_MONOTONIC */
};

struct lzi_note_group {
	uint32_t count; /* records of the transaction that the log has, each with LZI_RECORD_GROUP */
	uint32_t reserved;
};

/* 28 bytes (LZI_RECORD_HEAD; the struct's own padding already belongs to what follows), then the extension if any, the
 * key, the value; padded to 16. Immutable once a slot names it, but for `died` (bucket's lock holder, once) and
 * ext.expiry (the same, any time). */
struct lzi_record {
	uint64_t seq;        /* 0: version of the key */
	uint64_t died;       /* 8 */
	uint32_t crc;        /* 16: lzi_record_crc() ^ lzi_record_crc_seq() */
	uint32_t value_size; /* 20 */
	uint16_t key_size;   /* 24 */
	uint8_t type;        /* 26: latz_type */
	uint8_t flags;       /* 27 */
};
#define LZI_RECORD_HEAD 28u
_Static_assert(offsetof(struct lzi_record, flags) + 1 == LZI_RECORD_HEAD, "layout");

/* At byte 28 of a record with LZI_RECORD_EXT, which is free there: when it was written, CLOCK_MONOTONIC in units of
 * 64 ms, the lowest 32 bits; changed by the bucket's lock holder. */
#define LZI_WRITTEN_SHIFT 6
#define LZI_WRITTEN_LOADED 0u  /* it came from a log, a snapshot or an image, which do not tell */
#define LZI_WRITTEN_UNKNOWN 1u /* nobody wanted to know */
#define LZI_WRITTEN_FIRST 2u
static inline uint32_t *lzi_record_written(const struct lzi_record *record)
{
	return (uint32_t *)((uintptr_t)record + LZI_RECORD_HEAD);
}

/* At byte 32 of a record with LZI_RECORD_EXT; then the head is 56 bytes. */
struct lzi_record_ext {
	int64_t expiry;  /* 32: CLOCK_MONOTONIC ms, 0 never */
	uint64_t prev;   /* 40: unit of an older version that a scan may need, 0 none. With HAS_PREV, as is the next */
	uint64_t oldest; /* 48: seq of the oldest version that can be reached through prev */
};
#define LZI_RECORD_EXT_OFFSET 32u
_Static_assert(sizeof(struct lzi_record_ext) == 24, "layout");

static inline uint64_t lzi_record_head(int ext)
{
	return ext ? LZI_RECORD_EXT_OFFSET + sizeof(struct lzi_record_ext) : LZI_RECORD_HEAD;
}

/* Bytes a record takes. */
static inline uint64_t lzi_record_span(uint64_t key_size, uint64_t value_size, int ext)
{
	return (lzi_record_head(ext) + key_size + value_size + LZI_UNIT - 1) & ~(uint64_t)(LZI_UNIT - 1);
}

static inline uint64_t lzi_record_span_of(const struct lzi_record *record)
{
	return lzi_record_span(record->key_size, record->value_size, record->flags & LZI_RECORD_EXT);
}

static inline const uint8_t *lzi_record_key(const struct lzi_record *record)
{
	return (const uint8_t *)record + lzi_record_head(record->flags & LZI_RECORD_EXT);
}

static inline const uint8_t *lzi_record_value(const struct lzi_record *record)
{
	return lzi_record_key(record) + record->key_size;
}

static inline struct lzi_record_ext *lzi_record_ext(const struct lzi_record *record)
{
	return (struct lzi_record_ext *)((uintptr_t)record + LZI_RECORD_EXT_OFFSET);
}

/* The crc's part that depends on seq, so that seq can be chosen after the long part has been computed. */
static inline uint32_t lzi_record_crc_seq(uint64_t seq)
{
	return (uint32_t)((seq * 0x9e3779b97f4a7c15ull) >> 32);
}

static inline uint64_t lzi_record_crc_head(uint32_t value_size, uint16_t key_size, uint8_t type, uint8_t flags)
{
	return (uint64_t)value_size << 32 | (uint64_t)key_size << 16 | (uint64_t)type << 8 |
	       (flags & (LZI_RECORD_EXT | LZI_RECORD_PACKED | LZI_RECORD_SEALED));
}

/* Bytes of the value that the crc covers. */
static inline uint32_t lzi_record_summed(uint32_t value_size, uint8_t flags)
{
	return flags & LZI_RECORD_SEALED && value_size > LZI_SEALED_SUMMED ? LZI_SEALED_SUMMED : value_size;
}

/* crc32c of sizes, type, flags EXT, PACKED and SEALED, key and value. These may be apart (a value copied out, a
 * key given). */
static inline uint32_t lzi_record_crc(uint32_t value_size, uint16_t key_size, uint8_t type, uint8_t flags,
                                      const void *key, const void *value)
{
	return lzi_crc32c_parts(lzi_record_crc_head(value_size, key_size, type, flags), key, key_size, value,
	                        lzi_record_summed(value_size, flags));
}

static inline uint64_t lzi_death_check(uint64_t seq, enum lzi_death kind)
{
	return ((seq ^ (uint64_t)kind << 56) * 0xd6e8feb86659fd93ull) >> 56;
}

static inline uint64_t lzi_death_make(uint64_t seq, enum lzi_death kind)
{
	return seq << 12 | lzi_death_check(seq, kind) << 4 | (uint64_t)kind;
}

static inline uint64_t lzi_death_seq(uint64_t died)
{
	return died >> 12;
}

static inline enum lzi_death lzi_death_kind(uint64_t died)
{
	return (enum lzi_death)(died & 15);
}

static inline int lzi_undecided(uint64_t died)
{
	return (died & LZI_UNDECIDED) != 0;
}

/* old: unit of the record to be replaced, 0 none. Its check has four bits, one of them above LZI_UNDECIDED. */
static inline uint64_t lzi_undecided_make(uint64_t old, uint32_t actor)
{
	uint64_t what = old << 14 | actor, check = ((what ^ 1) * 0xd6e8feb86659fd93ull) >> 60;

	return what << 5 | (check & 8) << 1 | LZI_UNDECIDED | (check & 7);
}

static inline uint64_t lzi_undecided_old(uint64_t died)
{
	return died >> 19;
}

static inline uint32_t lzi_undecided_actor(uint64_t died)
{
	return (uint32_t)(died >> 5) & (LZI_UNDECIDED_ACTORS - 1);
}

/* Whether `died` is 0 or something that one of the two made. */
static inline int lzi_death_valid(uint64_t died)
{
	enum lzi_death kind = lzi_death_kind(died);

	if (lzi_undecided(died))
		return died == lzi_undecided_make(lzi_undecided_old(died), lzi_undecided_actor(died));
	return died == 0 ||
	       (kind >= LZI_DEATH_SUPERSEDED && kind <= LZI_DEATH_MOVED && died == lzi_death_make(died >> 12, kind));
}

/* Whether a record in memory is whole: sizes within `room` bytes, type, flags, crc, death mark. */
int lzi_record_validate(const struct lzi_record *record, uint64_t room);

/* ---- Transactions ------------------------------------------------------------------------------------------------ */

/* What a commit is about to change, for who finishes or undoes it when the committer dies (doc/together.md): behind the
 * tail of an extent of its own, or in a run. Then writes, in the order in which their records stand in the heap; then
 * the numbers of the buckets, ascending. Writer: the committer; then its reaper. */
struct lzi_txn_list {
	uint64_t seq;           /* 0: none yet */
	uint64_t group;         /* unit of the note of the group, 0 none */
	uint32_t writes, locks; /* 16 */
	int64_t keys_after;     /* 24: of the actor */
};

struct lzi_txn_entry {
	uint64_t bucket; /* number */
	uint64_t record; /* unit */
	uint64_t old;    /* the slot's word before; 0: there was none */
	uint32_t death;  /* enum lzi_death: how the old one dies */
	uint32_t what;   /* enum lzi_txn_what */
};

enum lzi_txn_what {
	LZI_TXN_SET = 1,
	LZI_TXN_DELETE = 2, /* the record is a note of it, in the slot meanwhile */
	LZI_TXN_NOTE = 3,   /* the same of a key that is not there: in no slot */
	LZI_TXN_SAME = 4    /* nothing to change: a dead record that takes its place */
};

static inline struct lzi_txn_entry *lzi_txn_entries(struct lzi_txn_list *list)
{
	return (struct lzi_txn_entry *)(list + 1);
}

/* writes: that the list was made for, or found to have room for. */
static inline uint64_t *lzi_txn_locks(struct lzi_txn_list *list, uint32_t writes)
{
	return (uint64_t *)(void *)(lzi_txn_entries(list) + writes);
}

static inline uint64_t lzi_txn_list_span(uint64_t writes, uint64_t locks)
{
	return (sizeof(struct lzi_txn_list) + writes * sizeof(struct lzi_txn_entry) + locks * sizeof(uint64_t) +
	        LZI_UNIT - 1) & ~(uint64_t)(LZI_UNIT - 1);
}

/* ---- Buckets (`table`, and overflow extents) --------------------------------------------------------------------- */

#define LZI_SLOTS 7

/* One cache line. header: 63-48 owner (actor + 1, 0 unlocked; 0xffff marks an overflow bucket in use), 47-32 version
 * (changes when slots are taken away by a split or a chain is shortened; in an overflow bucket: the
 * actor + 1 that has it loose, in no chain), 31-0 link to an overflow bucket (heap
 * offset / 64 + 1, 0 none). Writer of header and slots: the lock's holder; its death: reaper. */
struct lzi_bucket {
	uint64_t header;
	uint64_t slot[LZI_SLOTS];
};
_Static_assert(sizeof(struct lzi_bucket) == LZI_SLOTS * 8 + 8, "one line");

#define LZI_OWNER_SHIFT 48
#define LZI_OVERFLOW_MARK 0xffffull
#define LZI_VERSION_ONE (1ull << 32)
#define LZI_VERSION_MASK (0xffffull << 32)
#define LZI_LINK_MASK 0xffffffffull

/* Slot: 63-48 tag, 47-46 visits: hits since the record was last judged, at most 3, counted in bounded pools only (the
 * one thing readers write, by compare-and-swap), 45 being moved by a split, 44-0 record unit. 0: empty. */
#define LZI_SLOT_VISIT (1ull << 46)
#define LZI_SLOT_VISITS (3ull << 46)
#define LZI_SLOT_UNIT_MASK ((1ull << 45) - 1)
#define LZI_SLOT_MOVING (1ull << 45)
#define LZI_TAG_SHIFT 48

static inline uint64_t lzi_slot_make(uint64_t hash, uint64_t unit)
{
	return (hash >> LZI_TAG_SHIFT) << LZI_TAG_SHIFT | unit;
}

static inline unsigned lzi_slot_visits(uint64_t slot)
{
	return (unsigned)(slot >> 46 & 3);
}

static inline uint64_t lzi_slot_unit(uint64_t slot)
{
	return slot & LZI_SLOT_UNIT_MASK;
}

static inline uint64_t lzi_unit_of(uint64_t offset)
{
	return offset / LZI_UNIT + 1;
}

static inline uint64_t lzi_unit_offset(uint64_t unit)
{
	return (unit - 1) * LZI_UNIT;
}

/* Linear hashing: the bucket of a hash among n. Low bits; the tag is taken from the high ones. */
static inline uint64_t lzi_bucket_of(uint64_t hash, uint64_t n)
{
	uint64_t mask = ~0ull >> (n > 1 ? __builtin_clzll(n - 1) : 63);
	uint64_t index = hash & mask;

	return index < n ? index : index & (mask >> 1);
}

#endif
