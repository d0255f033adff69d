/*
 * What the parts of the program `live` share: honest users of a pool (live_user.c, live_calls.c) and who scribbles over
 * its files meanwhile (live_scribble.c), started and watched by live.c, which sees where they wait (live_where.c).
 */
#ifndef TESTS_FUZZ_LIVE_H
#define TESTS_FUZZ_LIVE_H

#include <latzero/latzero.h>
#include <stdatomic.h>

#include "../crash/harness.h"

#define LIVE_USERS 2
#define LIVE_CALLS 64      /* kinds of calls, by name */
#define LIVE_WRITES 16384u /* of the scribbler that are remembered */
#define LIVE_TIMEOUT_MS 20 /* latz_options.timeout_ms of the users */
#define LIVE_PASSWORD "correct horse battery staple"
#define LIVE_NOBODY 65534u

struct live_write {
	uint64_t ns, offset, before, after;
	char file[24];
};

struct live_call {
	char name[16];
	uint64_t count, refused;
	uint64_t worst_ns; /* from its begin to its end */
	uint64_t worst_net_ns;  /* without the time that it stood ready, but others had the processor */
	uint64_t worst_slept_ns; /* without the time that it had the processor either: it waited for something */
	uint64_t worst_began_ns, worst_ended_ns; /* of the call that slept for so long */
};

struct live_user {
	_Atomic uint64_t began_ns; /* of the call under way; 0 none */
	_Atomic uint64_t calls;
	char name[16]; /* of the last call */
	struct live_call call[LIVE_CALLS];
	int failed;        /* it has said why */
	_Atomic int dying; /* the sanitizer is just telling why */
};

/* What a round is like; chosen by its seed. */
struct live_round {
	uint64_t seed;
	unsigned ms;
	unsigned pause_us; /* of the scribbler between two writes; 0: none */
	unsigned heal;     /* of 100 words scribbled over, so many are put back soon */
	int words_only;    /* 1: it writes words; 0: bytes and longer pieces too */
	char file[24];     /* the only one scribbled over; "": all */
	int users, kills;  /* users; 1: the second is killed now and then */
	int janitor;       /* 1: the users have maintenance threads */
	int durable, bounded, packed;
	int locked;  /* 1: it has a password; 2: and is encrypted */
	int audited; /* 1: it has an audit log; 2: of keys, too */
	int aged;    /* 1: its keys live for a while only */
	int reader;  /* 1: the second user only reads, as another user of the system if we are root */
	int with_index; /* 1: the index is scribbled over too */
};

struct live_shared {
	struct live_round round;
	char dir[280], persist[280];
	_Atomic int stop_users, stop_scribbler;
	struct live_user user[LIVE_USERS];
	_Atomic uint64_t writes;
	struct live_write write[LIVE_WRITES];
};

/* Both run in a process of their own, until they are told to stop. */
int live_scribble(struct live_shared *shared);
int live_use(struct live_shared *shared, unsigned who);

/* For how long its main thread has been ready in all while others had the processor. */
uint64_t live_where_stood(pid_t pid);
/* Whether the call under way takes long; looks where the process's threads are; and tells what was seen between two
 * moments, but not what was the same as before. */
int live_where_wanted(const struct live_user *user);
void live_where_look(const struct live_user *user, pid_t pid);
void live_where_print(uint64_t from_ns, uint64_t until_ns);
void live_where_clear(void);

/* An honest user's own. */
struct live_client {
	struct live_shared *shared;
	struct live_user *user;
	struct hn_meter meter;
	uint64_t cpu_ns; /* of this thread, or all of the process, when the call under way began */
	int reads;       /* 1: it only reads */
	uint64_t random;
	unsigned name; /* of the pool: p0, p1, ... */
	int dead;      /* calls in a row that found the pool dead or damaged */
	latz_pool *pool, *space;
	latz_value value;
	latz_scan *scan;
	latz_watch *watch;
	latz_txn *txn;
	latz_counter *counter;
	latz_lock_t lock;
	latz_lease lease;
	latz_view view[4];
	uint64_t sum; /* of all bytes that calls gave */
	char snapshot[300];
	uint8_t key[900];
	uint8_t bytes[400000];
};

uint64_t live_below(struct live_client *c, uint64_t n);
void live_begin(struct live_client *c, const char *name);
int live_end(struct live_client *c, int rc);
/* One call of the library: timed, its result one that is documented. */
#define LIVE_CALL(c, name, call) (live_begin(c, name), live_end(c, call))
void live_look(struct live_client *c, const void *bytes, size_t size);
/* Some call, or a few that belong together. */
void live_some_call(struct live_client *c);
/* A call of who only reads. */
void live_some_read(struct live_client *c);
/* Ends what is open, but for the pool. */
void live_put_down(struct live_client *c);

#endif
