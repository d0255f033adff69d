/*
 * Namespaces: how keys tell them apart, and the file `spaces`, which counts what each has. No I/O, no memory of its
 * own.
 *
 * Key of a namespace: ff 00, the namespace's number (4 bytes, big-endian), the key. Key of the pool itself: as it is;
 * with another ff before it if it begins with one. So all of one namespace lie together, and none between the pool's
 * own but where nothing else can be. Number 0 is the pool's own book: what namespaces are called and may have.
 *
 *   slots    LZI_SPACES_MAX of struct lzi_space: what every writer looks at
 *   cells    one struct lzi_space_cell for each thread slot and space slot; a page is allocated before its first use,
 *            which a bit of the thread slot (lzi_actor.space_pages) tells
 *   queues   LZI_SPACE_QUEUE_MAX words for each slot, allocated as far as the namespace's queue reaches
 *
 * doc/format.md lists the same fields in the same order.
 */
#ifndef LZI_FORMAT_SPACE_H
#define LZI_FORMAT_SPACE_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/mutex.h"

#define LZI_SPACE_PREFIX 6u
#define LZI_SPACES_MAX 1024u /* a power of two; at once: numbers are not used again */
#define LZI_SPACE_NAME_MAX 64u
#define LZI_BOOK_MAX (2 * (int64_t)LZI_SPACES_MAX + 3) /* for each a name and what is to be done; three are single */
#define LZI_SPACE_QUEUE_MIN 512u
#define LZI_SPACE_QUEUE_MAX (1u << 21)

/* What namespaces share: in the control file. Writer: the holder of `mutex`, unless said otherwise. Its death: what its
 * slots of the states MAKING and DROPPING come to is looked up in the book. */
struct lzi_spaces {
	struct lzi_mutex mutex; /* held by who makes, changes or drops a namespace */
	uint32_t ready;  /* 64: 1: the file `spaces` is there; who makes it */
	uint32_t high;   /* 68: 1: keys that begin with ff have been written; anyone, before the first */
	uint32_t settle; /* 72: 1: the book has to be read: the pool was restored */
	uint32_t doomed; /* 76: 1: there may be namespaces whose keys are to be collected; anyone */
	int64_t book;    /* 80: records of the book: no user's keys. Anyone, atomic add; recounted after a death */
	uint64_t pad1[5];
	/* How long nobody used the pool. */
	int64_t idle_ttl_ms;   /* 128: after which it goes; 0: never. Creator only */
	uint64_t idle_uses;    /* 136: sum of what was counted, when last looked at; anyone, as the next */
	int64_t idle_since_ms; /* 144: CLOCK_MONOTONIC of when it was another */
	uint64_t pad2[13];
};
_Static_assert(offsetof(struct lzi_spaces, idle_ttl_ms) == 128, "a line of its own");
_Static_assert(sizeof(struct lzi_spaces) == 256, "layout");

enum lzi_space_state {
	LZI_SPACE_NONE,     /* never used, or free again */
	LZI_SPACE_LOADED,   /* its keys came before its name was read */
	LZI_SPACE_MAKING,
	LZI_SPACE_LIVE,
	LZI_SPACE_DROPPING, /* not there any more, unless its dropper died before it told the book */
	LZI_SPACE_DROPPED,  /* its keys are being collected */
	LZI_SPACE_SWEPT     /* they were, since the last that could be writing one has ended; once more to be sure */
};

struct lzi_space {
	/* Line 0: read by every write of the namespace. Writer: the holder of spaces.mutex; number and state also who
	 * frees it, under `maint`. */
	uint32_t number;      /* 0: of its keys; 0: the slot is free */
	uint32_t state;       /* 4: enum lzi_space_state */
	uint64_t max_bytes;   /* 8: of records; 0: no bound */
	uint64_t max_entries; /* 16: 0: no bound */
	int64_t ttl_ms;       /* 24: of keys written without one; 0: the pool's default */
	uint32_t policy;      /* 32: latz_policy: DEFAULT, FIFO or NONE */
	uint32_t queue_size;  /* 36: places in its queue, a power of two; 0: it has none */
	uint32_t used;        /* 40: 1: number was not 0 at one time: who looks for one goes on */
	uint32_t pad0;
	int64_t max_age_ms;   /* 48: that no key passes; 0: the pool's */
	uint64_t pad1;
	struct lzi_mutex mutex; /* 64: held by who evicts from it. Its death: the queue is short of some */
	uint64_t head;  /* 128: hashes put into the queue; anyone, atomic add */
	uint64_t tail;  /* 136: taken out; holder of `mutex` */
	uint64_t evicted, evicted_bytes, refused; /* 144: anyone, atomic add, as the next */
	int64_t base_keys, base_bytes; /* 168: what no thread's cell has: came in from an image; corrections */
	uint64_t renew_at; /* 184: when `tail` is here the queue is made anew: it lacks keys. 0: now; UINT64_MAX: none
	                    * that is known of. Holder of `mutex` */
	char name[LZI_SPACE_NAME_MAX]; /* 192: shorter: NUL behind it */
};
_Static_assert(offsetof(struct lzi_space, mutex) == 64, "layout");
_Static_assert(offsetof(struct lzi_space, head) == 128, "layout");
_Static_assert(offsetof(struct lzi_space, name) == 192, "layout");
_Static_assert(sizeof(struct lzi_space) == 256, "layout");

/* A thread's part. It stays when the thread goes: the next of the slot adds to it. Writer: the thread; of keys and
 * bytes its reaper, too. */
struct lzi_space_cell {
	int64_t keys, bytes; /* may be negative: one creates, another deletes */
	uint64_t gets, hits, sets, deletes, expired;
	uint64_t pad;
};
_Static_assert(sizeof(struct lzi_space_cell) == 64, "a line");

#define LZI_SPACE_CELLS_A_PAGE (4096 / sizeof(struct lzi_space_cell))
#define LZI_SPACE_CELLS_AT ((uint64_t)LZI_SPACES_MAX * sizeof(struct lzi_space))
#define LZI_SPACE_CELLS_SIZE ((uint64_t)LZI_SPACES_MAX * sizeof(struct lzi_space_cell)) /* of one thread slot */

static inline int lzi_key_is_spaced(const void *key, size_t size)
{
	const uint8_t *bytes = key;

	return bytes[0] == 0xff && size > LZI_SPACE_PREFIX && bytes[1] == 0;
}

/* A record of the book. */
static inline int lzi_key_is_book(const void *key, size_t size)
{
	static const uint8_t prefix[LZI_SPACE_PREFIX] = { 0xff };

	return *(const uint8_t *)key == 0xff && size > sizeof prefix && memcmp(key, prefix, sizeof prefix) == 0;
}

static inline uint32_t lzi_key_space(const void *key)
{
	const uint8_t *bytes = key;

	return (uint32_t)bytes[2] << 24 | (uint32_t)bytes[3] << 16 | (uint32_t)bytes[4] << 8 | bytes[5];
}

static inline void lzi_space_prefix(uint32_t number, uint8_t to[LZI_SPACE_PREFIX])
{
	to[0] = 0xff;
	to[1] = 0;
	to[2] = (uint8_t)(number >> 24);
	to[3] = (uint8_t)(number >> 16);
	to[4] = (uint8_t)(number >> 8);
	to[5] = (uint8_t)number;
}

/* What a key of a namespace is in the pool; `to` has room for 8 bytes more than it has, and its size is usual. */
static inline int lzi_space_is_usual(size_t size)
{
	return size - 8 <= 24;
}

static inline void lzi_space_put_usual(uint8_t *to, uint32_t number, const void *key, size_t size)
{
	uint64_t word = htole64((uint64_t)htobe32(number) << 16 | 0xff), c, d;
	struct two {
		uint64_t word[2];
	} a, b;
	const uint8_t *from = key;

	memcpy(to, &word, sizeof word);
	to += LZI_SPACE_PREFIX;
	if (size >= sizeof a) {
		memcpy(&a, from, sizeof a);
		memcpy(&b, from + size - sizeof b, sizeof b);
		memcpy(to, &a, sizeof a);
		memcpy(to + size - sizeof b, &b, sizeof b);
	} else {
		memcpy(&c, from, sizeof c);
		memcpy(&d, from + size - sizeof d, sizeof d);
		memcpy(to, &c, sizeof c);
		memcpy(to + size - sizeof d, &d, sizeof d);
	}
}

/* Of any size from 1 on. */
static inline void lzi_space_put_key(uint8_t *to, uint32_t number, const void *key, size_t size)
{
	lzi_space_prefix(number, to);
	memcpy(to + LZI_SPACE_PREFIX, key, size);
}

#endif
