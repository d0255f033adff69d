/*
 * The recording os table: see record.h.
 */
#define _GNU_SOURCE
#include "config.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "os/os.h"
#include "record.h"

#define FDS 4096

struct live {
	int is_dir, count;
	struct {
		char name[RC_NAME];
		int node;
	} entry[RC_ENTRIES];
};

static struct lzi_os real;
static int installed;
static struct rc_record *record;
static char root[512];
static struct live *live; /* names as they are now; node 0 is the root */
static int live_count;
static int fd_node[FDS]; /* node + 1, 0 for a file that is not of ours */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static struct rc_event *add(enum rc_kind kind)
{
	struct rc_event *event;

	if (record->count == record->capacity) {
		record->capacity = record->capacity ? record->capacity * 2 : 256;
		record->event = realloc(record->event, (size_t)record->capacity * sizeof *record->event);
		if (!record->event)
			hn_die("no memory");
	}
	event = &record->event[record->count++];
	memset(event, 0, sizeof *event);
	event->kind = kind;
	return event;
}

static int new_node(int is_dir)
{
	if (live_count == RC_NODES)
		hn_die("too many files in one record");
	live[live_count].is_dir = is_dir;
	live[live_count].count = 0;
	return live_count++;
}

/* The entry's place; -1 if it is not there. */
static int find(int dir, const char *name)
{
	for (int i = 0; i < live[dir].count; i++)
		if (strcmp(live[dir].entry[i].name, name) == 0)
			return i;
	return -1;
}

static void link_node(int dir, const char *name, int node)
{
	int at = find(dir, name);

	if (at < 0)
		at = live[dir].count++;
	if (at >= RC_ENTRIES || strlen(name) >= RC_NAME)
		hn_die("too many names, or too long ones, in one directory");
	snprintf(live[dir].entry[at].name, RC_NAME, "%s", name);
	live[dir].entry[at].node = node;
}

static void unlink_node(int dir, const char *name)
{
	int at = find(dir, name);

	if (at >= 0)
		live[dir].entry[at] = live[dir].entry[--live[dir].count];
}

/* A path's directory among ours and its last name; -1 if it is not of ours. "" is the directory itself. */
static int resolve(int dirfd, const char *path, const char **ret_name)
{
	int dir;

	if (path[0] == '/' || dirfd == AT_FDCWD) {
		size_t n = strlen(root);

		if (strncmp(path, root, n) != 0 || (path[n] != '/' && path[n] != 0))
			return -1;
		dir = 0;
		path += n;
	} else {
		if (dirfd < 0 || dirfd >= FDS || fd_node[dirfd] == 0)
			return -1;
		dir = fd_node[dirfd] - 1;
	}
	for (;;) {
		const char *slash;
		char part[RC_NAME];
		int at;

		while (*path == '/')
			path++;
		slash = strchr(path, '/');
		if (!slash) {
			*ret_name = strcmp(path, ".") == 0 ? "" : path;
			return dir;
		}
		snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
		at = find(dir, part);
		if (at < 0)
			return -1;
		dir = live[dir].entry[at].node;
		path = slash;
	}
}

static int node_of(int fd)
{
	return record && fd >= 0 && fd < FDS ? fd_node[fd] - 1 : -1;
}

static int on_openat(int dirfd, const char *path, int flags, mode_t mode)
{
	int fd = real.openat(dirfd, path, flags, mode), dir, at;
	const char *name;

	if (fd < 0 || fd >= FDS)
		return fd;
	pthread_mutex_lock(&mutex);
	fd_node[fd] = 0;
	if (record && (dir = resolve(dirfd, path, &name)) >= 0) {
		if (!*name) {
			fd_node[fd] = dir + 1;
		} else if ((at = find(dir, name)) >= 0) {
			fd_node[fd] = live[dir].entry[at].node + 1;
		} else if (flags & O_CREAT) {
			struct rc_event *event = add(RC_CREATE);

			event->dir = dir;
			event->node = new_node(0);
			snprintf(event->name, RC_NAME, "%s", name);
			link_node(dir, name, event->node);
			fd_node[fd] = event->node + 1;
		}
	}
	pthread_mutex_unlock(&mutex);
	return fd;
}

static int on_mkdirat(int dirfd, const char *path, mode_t mode)
{
	int rc = real.mkdirat(dirfd, path, mode), dir;
	const char *name;

	pthread_mutex_lock(&mutex);
	if (rc == 0 && record && (dir = resolve(dirfd, path, &name)) >= 0) {
		struct rc_event *event = add(RC_MKDIR);

		event->dir = dir;
		event->node = new_node(1);
		snprintf(event->name, RC_NAME, "%s", name);
		link_node(dir, name, event->node);
	}
	pthread_mutex_unlock(&mutex);
	return rc;
}

static void note_write(int fd, const void *data, size_t size, uint64_t offset)
{
	struct rc_event *event;

	pthread_mutex_lock(&mutex);
	if (node_of(fd) >= 0 && size > 0) {
		event = add(RC_WRITE);
		event->node = node_of(fd);
		event->offset = offset;
		event->size = size;
		event->data = malloc(size);
		if (!event->data)
			hn_die("no memory");
		memcpy(event->data, data, size);
	}
	pthread_mutex_unlock(&mutex);
}

static ssize_t on_pwrite(int fd, const void *data, size_t size, off_t offset)
{
	ssize_t n = real.pwrite(fd, data, size, offset);

	if (n > 0)
		note_write(fd, data, (size_t)n, (uint64_t)offset);
	return n;
}

static ssize_t on_pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
	ssize_t n = real.pwritev(fd, parts, count, offset);
	uint8_t *all;
	size_t at = 0;

	if (n <= 0 || node_of(fd) < 0)
		return n;
	/* One call is one write: its blocks come apart in the image, its parts do not. */
	all = malloc((size_t)n);
	if (!all)
		hn_die("no memory");
	for (int i = 0; i < count && at < (size_t)n; i++) {
		size_t take = parts[i].iov_len < (size_t)n - at ? parts[i].iov_len : (size_t)n - at;

		memcpy(all + at, parts[i].iov_base, take);
		at += take;
	}
	note_write(fd, all, (size_t)n, (uint64_t)offset);
	free(all);
	return n;
}

static ssize_t on_write(int fd, const void *data, size_t size)
{
	off_t offset = node_of(fd) >= 0 ? lseek(fd, 0, SEEK_CUR) : 0;
	ssize_t n = real.write(fd, data, size);

	if (n > 0)
		note_write(fd, data, (size_t)n, (uint64_t)offset);
	return n;
}

static void note(enum rc_kind kind, int fd, size_t size)
{
	pthread_mutex_lock(&mutex);
	if (node_of(fd) >= 0) {
		int node = node_of(fd);
		struct rc_event *event = add(kind == RC_SYNC && live[node].is_dir ? RC_SYNC_DIR : kind);

		event->node = node;
		event->size = size;
	}
	pthread_mutex_unlock(&mutex);
}

static int on_fdatasync(int fd)
{
	int rc = node_of(fd) >= 0 ? 0 : real.fdatasync(fd);

	if (rc == 0)
		note(RC_SYNC, fd, 0);
	return rc;
}

static int on_fsync(int fd)
{
	int rc = node_of(fd) >= 0 ? 0 : real.fsync(fd);

	if (rc == 0)
		note(RC_SYNC, fd, 0);
	return rc;
}

static int on_ftruncate(int fd, off_t size)
{
	int rc = real.ftruncate(fd, size);

	if (rc == 0)
		note(RC_RESIZE, fd, (size_t)size);
	return rc;
}

static int on_fallocate(int fd, int mode, off_t offset, off_t length)
{
	int rc = real.fallocate(fd, mode, offset, length);

	if (rc == 0 && mode == 0)
		note(RC_RESIZE, fd, (size_t)(offset + length));
	return rc;
}

static int on_renameat(int olddir, const char *old, int newdir, const char *name)
{
	int rc = real.renameat(olddir, old, newdir, name), dir, at;
	const char *from, *to;

	pthread_mutex_lock(&mutex);
	if (rc == 0 && record && (dir = resolve(olddir, old, &from)) >= 0 && resolve(newdir, name, &to) == dir &&
	    (at = find(dir, from)) >= 0) {
		struct rc_event *event = add(RC_RENAME);

		event->dir = dir;
		event->node = live[dir].entry[at].node;
		snprintf(event->name, RC_NAME, "%s", from);
		snprintf(event->to, RC_NAME, "%s", to);
		unlink_node(dir, event->name);
		link_node(dir, event->to, event->node);
	}
	pthread_mutex_unlock(&mutex);
	return rc;
}

static int on_unlinkat(int dirfd, const char *path, int flags)
{
	int rc = real.unlinkat(dirfd, path, flags), dir;
	const char *name;

	pthread_mutex_lock(&mutex);
	if (rc == 0 && record && (dir = resolve(dirfd, path, &name)) >= 0) {
		struct rc_event *event = add(RC_UNLINK);

		event->dir = dir;
		snprintf(event->name, RC_NAME, "%s", name);
		unlink_node(dir, event->name);
	}
	pthread_mutex_unlock(&mutex);
	return rc;
}

static void install(void)
{
	if (installed)
		return;
	installed = 1;
	real = lzi_os;
	lzi_os.openat = on_openat;
	lzi_os.mkdirat = on_mkdirat;
	lzi_os.renameat = on_renameat;
	lzi_os.unlinkat = on_unlinkat;
	lzi_os.pwrite = on_pwrite;
	lzi_os.pwritev = on_pwritev;
	lzi_os.write = on_write;
	lzi_os.fdatasync = on_fdatasync;
	lzi_os.fsync = on_fsync;
	lzi_os.ftruncate = on_ftruncate;
	lzi_os.fallocate = on_fallocate;
	live = calloc(RC_NODES, sizeof *live);
	if (!live)
		hn_die("no memory");
}

void rc_begin(struct rc_record *into, const char *dir, const struct rc_tree *base)
{
	install();
	memset(into, 0, sizeof *into);
	memset(fd_node, 0, sizeof fd_node);
	snprintf(root, sizeof root, "%s", dir);
	live_count = 0;
	new_node(1);
	record = into;
	for (int i = 0; base && i < base->count; i++) {
		const char *name;
		char path[1024];
		int where;

		snprintf(path, sizeof path, "%s/%s", root, base->file[i].path);
		where = resolve(AT_FDCWD, path, &name);
		if (where < 0)
			hn_die("%s has no directory", path);
		link_node(where, name, new_node(base->file[i].is_dir));
	}
}

void rc_end(void)
{
	pthread_mutex_lock(&mutex);
	record = NULL;
	pthread_mutex_unlock(&mutex);
}

void rc_mark(int what, int key)
{
	pthread_mutex_lock(&mutex);
	if (record) {
		struct rc_event *event = add(RC_MARK);

		event->what = what;
		event->key = key;
	}
	pthread_mutex_unlock(&mutex);
}

void rc_record_free(struct rc_record *done)
{
	for (int i = 0; i < done->count; i++)
		free(done->event[i].data);
	free(done->event);
	memset(done, 0, sizeof *done);
}

const char *rc_kind_name(enum rc_kind kind)
{
	static const char *const names[] = { "create", "mkdir",  "write", "resize",   "rename",
		                             "unlink", "sync",   "sync of a directory", "mark" };

	return names[kind];
}
