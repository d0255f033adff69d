/*
 * Memory cgroups: see cgroup.h.
 */
#define _GNU_SOURCE
#include "cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int read_text(const char *dir, const char *name, char *text, size_t size)
{
	char path[600];
	ssize_t n;
	int fd;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd >= 0 ? read(fd, text, size - 1) : -1;
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = 0;
	return n > 0 ? 0 : -1;
}

static int write_number(const char *dir, const char *name, uint64_t number)
{
	char path[600], text[32];
	int n = snprintf(text, sizeof text, "%llu", (unsigned long long)number), fd;
	ssize_t done;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	done = write(fd, text, (size_t)n);
	close(fd);
	return done == n ? 0 : -1;
}

/* The number behind a word at the beginning of a line; -1 if there is none. */
static long long number_of(const char *text, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = text; p; p = strchr(p, '\n')) {
		p += *p == '\n';
		if (strncmp(p, word, len) == 0 && p[len] == ' ')
			return strtoll(p + len + 1, NULL, 10);
	}
	return -1;
}

/* Where the hierarchy of the version is mounted; for version 1, that of its memory controller. */
static int find_mount(int version, char *out, size_t size)
{
	FILE *f = fopen("/proc/self/mounts", "re");
	char line[1024], dir[300], type[32], options[400];
	int found = 0;

	while (f && !found && fgets(line, sizeof line, f)) {
		if (sscanf(line, "%*s %299s %31s %399s", dir, type, options) != 3)
			continue;
		found = version == 2 ? strcmp(type, "cgroup2") == 0
		                     : strcmp(type, "cgroup") == 0 && strstr(options, "memory") != NULL;
	}
	if (f)
		fclose(f);
	if (found)
		snprintf(out, size, "%s", dir);
	return found ? 0 : -1;
}

/* The program's own cgroup, as a path below the mount: "" is the root. */
static int find_own(int version, char *out, size_t size)
{
	FILE *f = fopen("/proc/self/cgroup", "re");
	char line[600];
	int found = 0;

	while (f && !found && fgets(line, sizeof line, f)) {
		char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;

		if (!path)
			continue;
		*path++ = 0;
		path[strcspn(path, "\n")] = 0;
		found = version == 2 ? controllers[1] == 0 : strstr(controllers + 1, "memory") != NULL;
		if (found)
			snprintf(out, size, "%s", strcmp(path, "/") == 0 ? "" : path);
	}
	if (f)
		fclose(f);
	return found ? 0 : -1;
}

/* rmdir() refuses those that are in use. */
static void remove_leftovers(const char *parent, const char *name)
{
	DIR *dir = opendir(parent);
	struct dirent *e;
	char path[700];

	while (dir && (e = readdir(dir))) {
		if (strncmp(e->d_name, name, strlen(name)) != 0)
			continue;
		snprintf(path, sizeof path, "%s/%s", parent, e->d_name);
		rmdir(path);
	}
	if (dir)
		closedir(dir);
}

static int make_in(struct cg_group *group, const char *parent, const char *name, uint64_t limit)
{
	char prefix[100], text[64];

	snprintf(prefix, sizeof prefix, "lzt-%s-", name);
	remove_leftovers(parent, prefix);
	snprintf(group->path, sizeof group->path, "%.300s/%s%d", parent, prefix, (int)getpid());
	if (mkdir(group->path, 0755) == 0) {
		const char *file = group->version == 2 ? "memory.max" : "memory.limit_in_bytes";

		if (write_number(group->path, file, limit) == 0 &&
		    read_text(group->path, file, text, sizeof text) == 0 && strtoull(text, NULL, 10) != 0) {
			/* Without swap, or the limit says nothing. Not there: there is none. */
			write_number(group->path,
			             group->version == 2 ? "memory.swap.max" : "memory.memsw.limit_in_bytes",
			             group->version == 2 ? 0 : limit);
			return 0;
		}
		rmdir(group->path);
	}
	group->path[0] = 0;
	return -1;
}

int cg_make(struct cg_group *group, const char *name, uint64_t limit, char *why, size_t size)
{
	char mount[300], own[300], parent[620];

	memset(group, 0, sizeof *group);
	snprintf(why, size, "no memory controller is mounted");
	for (group->version = 2; group->version >= 1; group->version--) {
		if (find_mount(group->version, mount, sizeof mount) != 0 ||
		    find_own(group->version, own, sizeof own) != 0)
			continue;
		snprintf(parent, sizeof parent, "%s%s", mount, own);
		if (make_in(group, parent, name, limit) == 0)
			return 0;
		snprintf(why, size, "%s: %s", parent,
		         errno == EACCES || errno == EROFS ? strerror(errno) : "no memory controller");
		if (group->version == 2 && strrchr(own, '/')) {
			*strrchr(parent, '/') = 0;
			if (make_in(group, parent, name, limit) == 0)
				return 0;
		}
	}
	return -1;
}

int cg_enter(const struct cg_group *group)
{
	return write_number(group->path, "cgroup.procs", (uint64_t)getpid());
}

uint64_t cg_usage(const struct cg_group *group)
{
	char text[64];

	read_text(group->path, group->version == 2 ? "memory.current" : "memory.usage_in_bytes", text, sizeof text);
	return strtoull(text, NULL, 10);
}

uint64_t cg_shared(const struct cg_group *group)
{
	char text[8192];
	long long n;

	read_text(group->path, "memory.stat", text, sizeof text);
	n = number_of(text, "shmem");
	return n > 0 ? (uint64_t)n : 0;
}

long cg_killed(const struct cg_group *group)
{
	char text[512];

	read_text(group->path, group->version == 2 ? "memory.events" : "memory.oom_control", text, sizeof text);
	return (long)number_of(text, "oom_kill");
}

long cg_failed(const struct cg_group *group)
{
	char text[512];

	if (group->version == 2) {
		read_text(group->path, "memory.events", text, sizeof text);
		return (long)number_of(text, "max");
	}
	read_text(group->path, "memory.failcnt", text, sizeof text);
	return strtol(text, NULL, 10);
}

int cg_remove(struct cg_group *group)
{
	int tries, rc = -1;

	if (!group->path[0])
		return 0;
	/* A process that has ended leaves a little later. */
	for (tries = 0; tries < 200 && rc != 0; tries++) {
		rc = rmdir(group->path);
		if (rc != 0)
			usleep(5000);
	}
	group->path[0] = 0;
	return rc;
}
