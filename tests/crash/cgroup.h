/*
 * A memory cgroup of one's own, version 2 or 1, for tests that must do with so much memory. Owns its directory: below
 * the cgroup that the program is in, so that what holds for that goes on holding, or beside it where version 2 allows
 * no processes in inner ones.
 */
#ifndef TESTS_CRASH_CGROUP_H
#define TESTS_CRASH_CGROUP_H

#include <stddef.h>
#include <stdint.h>

struct cg_group {
	char path[400]; /* "": there is none */
	int version;
};

/* Makes one with a limit. -1: it can't be had, and `why` says why. Empty ones that a dead program of this name left are
 * removed. */
int cg_make(struct cg_group *group, const char *name, uint64_t limit, char *why, size_t size);
/* Moves the calling process into it. */
int cg_enter(const struct cg_group *group);
/* Bytes charged to it now, and of them those of files in memory. 0 if they can't be read. */
uint64_t cg_usage(const struct cg_group *group);
uint64_t cg_shared(const struct cg_group *group);
/* Processes that the kernel killed in it for lack of memory; -1 if it does not say. */
long cg_killed(const struct cg_group *group);
/* Times that it was at its limit. */
long cg_failed(const struct cg_group *group);
/* Once all its processes have ended. */
int cg_remove(struct cg_group *group);

#endif
