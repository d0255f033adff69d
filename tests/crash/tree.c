/*
 * Directories for the tests: make, copy, digest, count, remove, and who still uses one.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void hn_subdir(char *out, size_t size, const char *name)
{
	snprintf(out, size, "%s/%s", hn_root, name);
	hn_remove_tree(out);
	if (mkdir(out, 0700) != 0)
		hn_die("mkdir %s: %s", out, strerror(errno));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)ftw;
	if (type == FTW_DP || type == FTW_D)
		rmdir(path);
	else
		unlink(path);
	return 0;
}

void hn_remove_tree(const char *path)
{
	if (*path)
		nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Holes stay holes. */
static int copy_file(const char *from, const char *to, const struct stat *st)
{
	static char buf[1 << 16];
	int in = open(from, O_RDONLY | O_CLOEXEC),
	    out = open(to, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, st->st_mode & 0777);
	off_t at = 0;
	int rc = in >= 0 && out >= 0 && ftruncate(out, st->st_size) == 0 ? 0 : -1;

	while (rc == 0 && (at = lseek(in, at, SEEK_DATA)) >= 0) {
		off_t end = lseek(in, at, SEEK_HOLE);

		while (rc == 0 && at < end) {
			size_t want = (size_t)(end - at) < sizeof buf ? (size_t)(end - at) : sizeof buf;
			ssize_t n = pread(in, buf, want, at);

			if (n <= 0 || pwrite(out, buf, (size_t)n, at) != n)
				rc = -1;
			at += n;
		}
	}
	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	return rc;
}

int hn_copy_tree(const char *from, const char *to)
{
	DIR *dir = opendir(from);
	struct dirent *e;
	int rc = 0;

	if (!dir)
		return -1;
	if (mkdir(to, 0700) != 0 && errno != EEXIST)
		rc = -1;
	while (rc == 0 && (e = readdir(dir))) {
		char a[4096], b[4096];
		struct stat st;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		snprintf(a, sizeof a, "%s/%s", from, e->d_name);
		snprintf(b, sizeof b, "%s/%s", to, e->d_name);
		if (lstat(a, &st) != 0)
			rc = -1;
		else if (S_ISDIR(st.st_mode))
			rc = hn_copy_tree(a, b);
		else if (S_ISREG(st.st_mode))
			rc = copy_file(a, b, &st);
	}
	closedir(dir);
	return rc;
}

static uint64_t walk_sum;
static uint64_t walk_blocks;

static uint64_t digest_file(const char *path)
{
	static uint64_t buf[8192];
	uint64_t sum = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	off_t at = 0;

	/* Holes read as zeroes and count as such, so punching one is no change of content. */
	while (fd >= 0) {
		ssize_t n;

		memset(buf, 0, sizeof buf);
		n = pread(fd, buf, sizeof buf, at);
		if (n <= 0)
			break;
		for (size_t i = 0; i < ((size_t)n + 7) / 8; i++)
			if (buf[i])
				sum += hn_mix(buf[i] ^ hn_mix((uint64_t)at + i * 8));
		at += n;
	}
	if (fd >= 0)
		close(fd);
	return sum + hn_mix((uint64_t)at);
}

static int digest_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	uint64_t name = 0;

	(void)ftw;
	for (const char *p = path; *p; p++)
		name = hn_mix(name ^ (unsigned char)*p);
	if (type == FTW_F && S_ISREG(st->st_mode))
		walk_sum += hn_mix(name ^ digest_file(path));
	else
		walk_sum += name;
	return 0;
}

uint64_t hn_digest_tree(const char *path)
{
	walk_sum = 0;
	nftw(path, digest_one, 16, FTW_PHYS);
	return walk_sum;
}

static int blocks_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)path;
	(void)ftw;
	if (type == FTW_F)
		walk_blocks += (uint64_t)st->st_blocks * 512;
	return 0;
}

uint64_t hn_tree_blocks(const char *path)
{
	walk_blocks = 0;
	nftw(path, blocks_one, 16, FTW_PHYS);
	return walk_blocks;
}

int hn_count_entries(const char *path, char *names, size_t size)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	int n = 0;

	if (names && size)
		names[0] = 0;
	if (!dir)
		return -1;
	while ((e = readdir(dir))) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (names && strlen(names) + strlen(e->d_name) + 2 < size) {
			strcat(names, " ");
			strcat(names, e->d_name);
		}
		n++;
	}
	closedir(dir);
	return n;
}

/* Whether a process has path in its command line or a descriptor that leads below it. */
static int uses_path(const char *pid, const char *path)
{
	char name[300], text[4096];
	size_t len = strlen(path);
	struct dirent *e;
	ssize_t n;
	DIR *dir;
	int fd, found = 0;

	snprintf(name, sizeof name, "/proc/%s/cmdline", pid);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	n = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;
	if (fd >= 0)
		close(fd);
	if (n > 0 && memmem(text, (size_t)n, path, len))
		return 1;
	snprintf(name, sizeof name, "/proc/%s/fd", pid);
	dir = opendir(name);
	if (!dir)
		return 0;
	while (!found && (e = readdir(dir))) {
		char link[600];

		snprintf(link, sizeof link, "%s/%s", name, e->d_name);
		n = readlink(link, text, sizeof text - 1);
		if (n > (ssize_t)len && memcmp(text, path, len) == 0)
			found = 1;
	}
	closedir(dir);
	return found;
}

static int is_own_process(pid_t pid)
{
	return pid == getpid() || pid == getppid();
}

int hn_path_users(const char *path, pid_t *pids, int max)
{
	DIR *dir = opendir("/proc");
	struct dirent *e;
	int n = 0;

	while (dir && (e = readdir(dir))) {
		pid_t pid = (pid_t)atoi(e->d_name);

		if (pid <= 0 || is_own_process(pid) || !uses_path(e->d_name, path))
			continue;
		if (n < max)
			pids[n] = pid;
		n++;
	}
	if (dir)
		closedir(dir);
	return n;
}
