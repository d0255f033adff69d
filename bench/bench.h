/*
 * The benchmark's shared declarations.
 *
 * Every system under test is a `struct system`: a few function pointers with the same signatures, so that the loop,
 * the keys, the values and the checks are the same code for all of them and what a row compares is the systems
 * alone.
 *
 * Keys are 16 hexadecimal digits made from a number by a bijective mixer (so their byte order is random against the
 * order they are written in); values are 100 bytes: word 0 says which key it belongs to, word 1 which generation,
 * the rest follows from both. Loops check word 0 of what they read; whole values are checked outside of the timing.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
	KEY_SIZE = 16,
	VALUE_SIZE = 100,
	BATCH = 100,
	PATH_SIZE = 256
};

/* What a system can do here; a row skips the systems that lack what it needs. */
enum {
	CAN_WRITE = 1u << 0,     /* set, mset, del: everything but the floor, which only overwrites */
	CAN_OVERWRITE = 1u << 1, /* set of keys that are there */
	CAN_SCAN = 1u << 2,
	CAN_SHARE = 1u << 3, /* several processes may have it open, one of them writing */
	CAN_MGET = 1u << 4,
	IS_SERVER = 1u << 5 /* microseconds an operation: gets smaller slices */
};

struct bench_scan {
	uint64_t keys;
	uint64_t sum;      /* of word 0 of every value */
	uint64_t disorder; /* keys not greater than the one before */
	uint64_t last[2];
};

/*
 * One system. Functions return 0 (or a pointer), negative or NULL on failure. A get returns a pointer to a copy of
 * the value in memory of this process, valid until the next call, NULL if the key is not there.
 */
struct system {
	const char *name;
	const char *what; /* one line on how it is set up */
	unsigned caps;
	/* dir: the run's directory; name: of the store in it. create: make it, with room for `keys` keys, else attach
	 */
	void *(*open)(const char *dir, const char *name, int create, uint64_t keys);
	void (*close)(void *db);
	const uint8_t *(*get)(void *db, const uint8_t *key);
	int (*set)(void *db, const uint8_t *key, const uint8_t *value);
	/* keys: n keys one after another; values[i] is NULL if absent */
	int (*mget)(void *db, const uint8_t *keys, size_t n, const uint8_t **values);
	int (*mset)(void *db, const uint8_t *keys, const uint8_t *values, size_t n);
	int (*del)(void *db, const uint8_t *keys, size_t n);
	int (*scan)(void *db, struct bench_scan *scan);
	int (*catch_up)(void *db);  /* may be NULL: waits until what writes left to be done later is done */
	int (*settle)(void *db);    /* may be NULL: all maintenance, so that the next slice starts from rest */
	int64_t (*bytes)(void *db); /* memory the store occupies as a whole; -1 if it cannot tell */
	int (*server)(void *db);    /* servers only: its pid */
};

/* What a store may take, for those that can be told; 0: no bound. Set before open(). Of a server it is that of its
 * values. */
extern uint64_t bench_max_bytes;

extern const struct system *const bench_systems[]; /* ends with NULL; those this build has */
extern const char *const bench_system_names[];     /* ends with NULL; all there are */

extern const struct system system_latzero, system_floor, system_lmdb, system_boost, system_boost_tuned, system_tkrzw,
	system_redis, system_memcached;

/* ---- Keys and values: inline, the same in every loop ---- */

static inline uint64_t bench_mix(uint64_t x)
{
	x ^= x >> 30;
	x *= UINT64_C(0xbf58476d1ce4e5b9);
	x ^= x >> 27;
	x *= UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

/* Nibbles are spread over bytes and turned into digits in registers: no table, no memory touched. */
static inline void bench_key(uint64_t id, uint8_t *key)
{
	uint64_t m = bench_mix(id + 1);
	for (int half = 0; half < 2; half++) {
		uint64_t n = half ? (uint32_t)m : m >> 32;
		/* spread the nibbles over the bytes, highest first */
		n = ((n & 0xffff) << 32) | (n >> 16);
		n = ((n & UINT64_C(0x000000ff000000ff)) << 16) | ((n >> 8) & UINT64_C(0x000000ff000000ff));
		n = ((n & UINT64_C(0x000f000f000f000f)) << 8) | ((n >> 4) & UINT64_C(0x000f000f000f000f));
		uint64_t letter = ((n + UINT64_C(0x0606060606060606)) >> 4) & UINT64_C(0x0101010101010101);
		n += UINT64_C(0x3030303030303030) + letter * ('a' - '0' - 10);
		memcpy(key + half * 8, &n, 8);
	}
}

static inline uint64_t bench_word(uint64_t id)
{
	return bench_mix(id ^ UINT64_C(0x5bd1e9955bd1e995)) | 1;
}

static inline void bench_value(uint64_t id, uint64_t generation, uint8_t *value)
{
	uint64_t w = bench_word(id), g = generation;
	memcpy(value, &w, 8);
	memcpy(value + 8, &g, 8);
	for (int i = 2; i < 12; i++) {
		uint64_t x = (w + (uint64_t)i) ^ (g << 20);
		memcpy(value + i * 8, &x, 8);
	}
	uint32_t tail = (uint32_t)(w ^ g);
	memcpy(value + 96, &tail, 4);
}

static inline uint64_t bench_value_word(const uint8_t *value)
{
	uint64_t w;
	memcpy(&w, value, 8);
	return w;
}

/* Accounts for one entry of an ordered scan: the same work in every system's scan. */
static inline void bench_scan_note(struct bench_scan *scan, const void *key, const void *value)
{
	uint64_t k[2], w;
	memcpy(k, key, 16);
	memcpy(&w, value, 8);
	k[0] = __builtin_bswap64(k[0]);
	k[1] = __builtin_bswap64(k[1]);
	if (scan->keys > 0 && (k[0] < scan->last[0] || (k[0] == scan->last[0] && k[1] <= scan->last[1])))
		scan->disorder++;
	scan->last[0] = k[0];
	scan->last[1] = k[1];
	scan->keys++;
	scan->sum += w;
}

/* ---- Helpers (util.c) ---- */

uint64_t bench_now_ns(void);
uint64_t bench_cpu_ns(void); /* of this process, all threads */
uint64_t bench_ticks(void);  /* the cheapest clock there is */
double bench_tick_ns(void);  /* nanoseconds a tick */
void bench_pin(int core);    /* the calling thread; -1: all cores */
int bench_core_main(void);   /* where measured loops run */
int bench_core_other(void);  /* servers, and the second process */
uint64_t bench_random(uint64_t *state);
void bench_fill_uniform(uint32_t *ids, size_t n, uint64_t keys, uint64_t seed);
void bench_fill_zipf(uint32_t *ids, size_t n, uint64_t keys, uint64_t seed);
int64_t bench_tree_bytes(const char *path); /* st_blocks of every file below it */
/* True if the comma-separated list names it; a NULL list names everything. */
int list_has(const char *list, const char *name);
void bench_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
void bench_say(const char *format, ...) __attribute__((format(printf, 1, 2))); /* to stderr: progress */
/* Starts a server; it dies with this process. Returns its pid. */
int bench_server_start(char *const argv[], const char *log_path);
void bench_server_stop(int pid);
void bench_server_pin(int pid, int core); /* all its threads */

#ifdef __cplusplus
}
#endif

#endif
