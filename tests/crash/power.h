/*
 * What the power cut test writes, and what may be left of it: every state a key was in, in order, and which of them is
 * promised to be on the disk. A cut leaves, for each key, the last promised state or any later one; or, if the pool is
 * bounded, nothing. A pool that is bounded stays so: what was evicted may come back from its log.
 */
#ifndef TESTS_CRASH_POWER_H
#define TESTS_CRASH_POWER_H

#include <latzero/latzero.h>
#include <pthread.h>

#include "harness.h"
#include "record.h"

#define PW_KEYS 40
#define PW_ALL (-1)

/* Behind the persist directory's path: what is copied to beside it. */
#define PW_SNAPSHOT "-copy.lzs"
#define PW_IMAGE "-copy.lzi"

enum pw_mark {
	PW_BEGIN, /* a write that makes the next state of `key` begins */
	PW_SAFE,  /* all begun states of `key` are promised */
	PW_STEP   /* the test's own step number `key` begins */
};

enum pw_kind { PW_ABSENT, PW_BYTES, PW_INT };
enum pw_life { PW_FOREVER, PW_HOUR, PW_DAY, PW_MOMENT /* may be gone already */, PW_LIVES };

struct pw_state {
	enum pw_kind kind;
	enum pw_life life;
	uint32_t number, size;
	int64_t sum;
};

struct pw_history {
	struct pw_state *list[PW_KEYS];
	int count[PW_KEYS];
};

/* The states of a key that a cut may leave: list[from] to list[to - 1]. */
struct pw_range {
	int from[PW_KEYS], to[PW_KEYS];
};

struct pw_setting {
	latz_sync sync;
	uint64_t checkpoint_bytes, segment_bytes;
	int snapshot_on_close, compresses;
	uint64_t max_entries; /* 0: not bounded */
	latz_policy policy;
};

struct pw_setting pw_setting_any(uint64_t *random);
const char *pw_setting_text(const struct pw_setting *setting);
latz_options pw_options(const struct pw_setting *setting, const char *run, const char *persist);

void pw_push(struct pw_history *history, int key, struct pw_state state);
void pw_history_free(struct pw_history *history);
/* Makes the marks' part of `event` known to the range. */
void pw_follow(const struct pw_history *history, struct pw_range *range, const struct rc_event *event);

/* Writes `steps` steps through *pool, which it may close and open again. Marks go into the record. 0, or 1 after a
 * failure. late: the pool is not durable yet, and becomes so on the way. */
struct pw_work {
	latz_pool *pool;
	struct pw_setting setting;
	const char *run, *persist;
	struct pw_history *history;
	uint64_t *random;
	int steps, late, durable, step;
	uint32_t number;
	pthread_mutex_t *lock; /* of each key, where there are several threads; else NULL */
};
int pw_work(struct pw_work *work);
/* Writes one key. */
int pw_set(struct pw_work *work, int key);
/* The same by several threads at once. */
#define PW_THREADS 4
int pw_work_together(struct pw_work *work);

/* Compares the pool with what may be left; the first difference into text. found (may be NULL): which state each key
 * is in; -1: evicted. 0 if all is well. */
int pw_check(latz_pool *pool, const struct pw_history *history, const struct pw_range *range, int bounded,
             int found[PW_KEYS], char *text, size_t size);

#endif
