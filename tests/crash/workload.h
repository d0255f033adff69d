/*
 * What a victim does so that every named point is passed, and the bystanders who go on meanwhile. Used by the programs
 * that kill (crash_points) and stop (crash_stop) at points.
 */
#ifndef TESTS_CRASH_WORKLOAD_H
#define TESTS_CRASH_WORKLOAD_H

#include "ledger.h"

/* Which situation the victim is in. */
enum wl_scene {
	WL_JOIN,        /* attached beside bystanders, no janitor thread: maintains by itself */
	WL_JOIN_THREAD, /* the same with a janitor thread */
	WL_HEIR,        /* others died in the middle of things just before, and the victim cleans up after them */
	WL_ALONE_KEEP,  /* creates a kept pool, works, destroys other pools, sweeps */
	WL_ALONE,       /* creates, works in, leaves and destroys ephemeral pools */
	WL_DURABLE,     /* alone in a pool with a log; leaves it and comes back */
	WL_BOUNDED,     /* alone in a pool smaller than what it writes */
	WL_SCENES
};
extern const char *const wl_scene_names[WL_SCENES];

struct wl_names {
	char name[512][64];
	int count;
};
/* Every LZI_POINT("...") in the sources below src, sorted. */
void wl_names_scan(struct wl_names *names, const char *src);

enum wl_stage {
	WL_EPHEMERAL,  /* dies with its user */
	WL_BEGINNING,  /* its log is being begun */
	WL_DURABLE_NOW /* what is acknowledged is on the disk */
};

struct wl_victim {
	const char *dir;
	const char *pool;
	const struct wl_names *names; /* WL_HEIR: where the dead died */
	const char *point;            /* armed as soon as the situation is made */
	unsigned countdown;
	int action; /* LZI_POINT_KILL ... */
	enum wl_scene scene;
	int rounds;
	struct hn_ledger *ledger;
	_Atomic uint64_t counter_acked; /* increments that returned */
	_Atomic uint64_t tail_acked;    /* appends that returned */
	_Atomic uint64_t passed;        /* 1: the victim came to the end of its work */
	_Atomic int stage;              /* WL_DURABLE: enum wl_stage */
};

#define WL_COUNTER "victim/counter"
#define WL_TAIL "victim/tail"

/* Runs the victim; 0, or 1 after a failure. Does not return when the point kills. arg: struct wl_victim in shared
 * memory. */
int wl_victim_run(void *arg);
/* After its death: keys, counter and tail against what was acknowledged. */
int wl_victim_check(struct wl_victim *victim, latz_pool *pool, const char *when);

/* workload_durable.c: the scene WL_DURABLE; where its disk is; what the disk alone says after its death. */
int wl_durable_run(struct wl_victim *victim);
void wl_durable_disk(const char *dir, char *out, size_t size);
latz_options wl_durable_options(const char *dir, const char *disk);
int wl_durable_check(struct wl_victim *victim, const char *when);

/* workload_bounded.c: the scene WL_BOUNDED; what holds after its death. */
int wl_bounded_run(struct wl_victim *victim);
void wl_bounded_check(latz_pool *pool, const char *when);

struct wl_bystander {
	const char *dir;
	const char *pool;
	uint32_t owner;
	uint32_t keys;
	const struct hn_ledger *peek; /* somebody else's keys, read and checked for wholeness */
	int tolerate_timeout;         /* a write may time out; the pid the message names goes to blamed */
	int tolerate_loss;            /* the pool may be cleared or destroyed under it */
	unsigned timeout_ms;
	_Atomic int ready, pause, paused, stop;
	_Atomic uint64_t laps; /* times around all its keys */
	_Atomic uint64_t ops;
	_Atomic uint64_t timeouts;
	_Atomic int64_t blamed;
	_Atomic int bad;
	struct hn_waits writes, reads;
};

int wl_bystander_run(void *arg); /* arg: struct wl_bystander in shared memory */

#endif
