/*
 * latzero: the change feed. Part of <latzero/latzero.h>, which includes it.
 */
#ifndef LATZERO_EVENTS_H
#define LATZERO_EVENTS_H

#include <latzero/latzero.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct latz_watch latz_watch;

/* What happens in a pool, told to whoever subscribes: writes in the order of each key's versions, with numbers that go
 * up by one. Subscribers are told by way of a ring in shared memory that they only read: one that is slow, or stopped,
 * costs writers nothing, and hears how much it has missed when it goes on. While nobody subscribes nothing is told;
 * then the ring is given up after some seconds, and a number is passed over.
 *
 * latz_set(), latz_mset(), latz_increment(), latz_append(), latz_swap(): SET. latz_delete(), latz_clear(): DELETE. A
 * deadline passed: EXPIRE, within 100 ms also if nobody touches the key. latz_touch(), maintenance and what a restart
 * or a restore puts back are no events. Those of a transaction, or of latz_mset(), are told when all of it has
 * happened. Numbers are of the pool in memory: one that is restored begins anew. */
typedef enum latz_event_kind {
	LATZ_EVENT_SET = 1 << 0,
	LATZ_EVENT_DELETE = 1 << 1,
	LATZ_EVENT_EXPIRE = 1 << 2,
	LATZ_EVENT_EVICT = 1 << 3,
	LATZ_EVENT_CONNECT = 1 << 4,    /* a process attached */
	LATZ_EVENT_DISCONNECT = 1 << 5, /* a process left, or died: within 100 ms */
	LATZ_EVENT_LOST = 1 << 6        /* this subscriber missed some; always told */
} latz_event_kind;

typedef struct latz_watch_options {
	size_t size;       /* sizeof(latz_watch_options) */
	latz_slice prefix; /* only events of keys that start with it, CONNECT and DISCONNECT; copied. Of keys, those of
	                    * the handle's namespace alone; through the pool's handle those of no namespace */
	unsigned kinds;    /* LATZ_EVENT_..., or-ed; 0: all */
	uint64_t from_seq; /* 0: only what comes. Else: first what there was from this number on, as far as the ring
	                    * still has it; LOST tells of the rest. LATZ_INVALID if it is above the next event's */
	int old_values; /* 1: events come with the value that was there before: writers copy those of up to 16 KiB (as
	                 * stored) while somebody wants them */
	uint64_t ring_bytes; /* of events that the ring should hold, if it is made for this subscriber: 512 KiB to 64
	                      * MiB, else LATZ_INVALID; 0: 1 MiB. A usual event takes 64 or 128. In a bounded pool it
	                      * counts to max_bytes, and is at most a sixteenth of that, or 512 KiB */
} latz_watch_options;

/* clang-format off */
#define LATZ_WATCH_OPTIONS_INIT { sizeof(latz_watch_options), { NULL, 0 }, 0, 0, 0, 0 }
/* clang-format on */

/* An event. Its memory belongs to the watch and is valid until the next latz_watch_next() or latz_watch_close(). */
typedef struct latz_event {
	size_t size; /* bytes of this struct that the library fills in; set it first */
	latz_event_kind kind;
	uint64_t seq;         /* its number; seq + 1 as from_seq goes on after it. LOST: of the last that was missed */
	latz_slice key;       /* not of CONNECT, DISCONNECT, LOST; followed by no NUL */
	uint64_t version;     /* SET: that the key has now. DELETE, EXPIRE, EVICT: that went */
	latz_type type;       /* of that value */
	uint64_t old_version; /* SET: of the value that was replaced; 0: the key was not there */
	int has_old;          /* with old_values: there was a value before */
	latz_slice old;       /* that value; data NULL, with its size, if it was too long to be told */
	latz_type old_type;
	unsigned client; /* CONNECT, DISCONNECT: its slot, as in latz_client_info */
	int64_t pid;     /* the same, as that process saw itself */
	uint64_t missed; /* LOST: how many numbers; those of writes that failed with their process count, too */
} latz_event;

/* clang-format off */
#define LATZ_EVENT_INIT                                                                                \
	{ sizeof(latz_event), LATZ_EVENT_LOST, 0, { NULL, 0 }, 0, LATZ_BYTES, 0, 0, { NULL, 0 }, LATZ_BYTES, 0, 0, 0 }
/* clang-format on */

/* Subscribes. Every write that begins after it has returned is told of. The first subscriber makes the ring; one more
 * costs nothing. Waits for writes that are under way. A watch belongs to one thread at a time, and in a forked child to
 * the parent: LATZ_INVALID there. options may be NULL. On success *watch is to be ended with latz_watch_close().
 * Errors: LATZ_INVALID, LATZ_NOSPC (no room for the ring), LATZ_FULL (none in a bounded pool), LATZ_NOMEM,
 * LATZ_TIMEOUT, LATZ_DEAD, LATZ_CLIENTS, LATZ_CORRUPT, LATZ_ACCESS, LATZ_IO. */
LATZ_API int latz_watch_open(latz_pool *pool, const latz_watch_options *options, latz_watch **watch) LATZ_MUSTCHECK;

/* The next event. Waits for it up to timeout_ms milliseconds, 0: not at all, -1: for ever; then LATZ_TIMEOUT. What was
 * begun and not finished by a writer that was stopped in the middle is waited for a second, and then counts as missed.
 * Errors: LATZ_INVALID, LATZ_TIMEOUT, LATZ_DEAD (of the pool, or, when all has been given, of the namespace),
 * LATZ_NOMEM, LATZ_CORRUPT, LATZ_CLIENTS. */
LATZ_API int latz_watch_next(latz_watch *watch, int64_t timeout_ms, latz_event *event) LATZ_MUSTCHECK;

/* The number of the next event that the watch will look at, whether it comes to be given or not: as from_seq it lets
 * another watch go on where this one is. Right after latz_watch_open() it is that of the first event that there will
 * be; so who reads the pool then knows from where on events are news. Errors: LATZ_INVALID. */
LATZ_API int latz_watch_position(latz_watch *watch, uint64_t *seq) LATZ_MUSTCHECK;

/* A descriptor that is readable while there is something for latz_watch_next(): for poll() and the like. Not to be read
 * or closed; the same at every call. A call of latz_watch_next() with timeout_ms 0 tells what it is; it may be
 * LATZ_TIMEOUT. The first call starts a thread of the process that waits for events, which takes a thread slot of the
 * pool. A negative result is an error: LATZ_INVALID, LATZ_NOMEM, LATZ_IO, LATZ_DEAD. */
LATZ_API int latz_watch_fd(latz_watch *watch) LATZ_MUSTCHECK;

/* Ends it, and the descriptor. NULL is LATZ_INVALID. */
LATZ_API int latz_watch_close(latz_watch *watch);

#ifdef __cplusplus
}
#endif

#endif
