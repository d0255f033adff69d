/* latzero's part of the durability benchmark: what its store and its own rows share. */
#ifndef DURABLE_LATZERO_H
#define DURABLE_LATZERO_H

#include "durable.h"

#include <latzero/latzero.h>

/* A library that does not have these yet leaves them undefined; its rows are then reported as not run. */
#ifndef LATZ_SNAPSHOT_OPTIONS_INIT
#define DURABLE_NO_SNAPSHOTS
typedef struct latz_snapshot_progress latz_snapshot_progress;
typedef struct latz_snapshot_options {
	size_t size;
	unsigned flags;
	int level;
	unsigned threads;
	int (*progress)(const latz_snapshot_progress *, void *arg);
	void *arg;
} latz_snapshot_options;
enum {
	LATZ_SNAPSHOT_IMAGE = 1u << 0
};
/* clang-format off */
#define LATZ_SNAPSHOT_OPTIONS_INIT { sizeof(latz_snapshot_options), 0, 0, 0, NULL, NULL }
/* clang-format on */
__attribute__((weak)) int latz_snapshot(latz_pool *pool, const char *path, const latz_snapshot_options *options);
__attribute__((weak)) int latz_restore(const char *path, const char *name, const latz_options *options,
                                       const latz_snapshot_options *how);
#endif

/* durable_fail() with the result's name and detail. */
int lz_fail(const char *what, int rc);
/* Opens it with the thread's cores widened for the library's own threads, as those of other systems' servers are. */
int lz_open(const char *name, const latz_options *options, latz_pool **pool);
/* The options of a pool that sets as spec says. path: room for the persistence directory's. */
latz_options lz_options(const struct store_spec *spec, char path[PATH_SIZE * 2]);
int lz_load(latz_pool *pool, uint64_t keys, size_t value_size);
int lz_set(latz_pool *pool, uint64_t id, const uint8_t *value, size_t value_size);
/* One get of id's key, its value checked; 0 if right. */
int lz_get_checked(latz_pool *pool, uint64_t id, size_t value_size, latz_value *value);
int lz_snapshot(latz_pool *pool, const char *path, int image);

#endif
