/*
 * Files and directories, opened with suspicion: never through links, only ones that belong to us.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "os/os.h"

#define OTHERS_WRITE (S_IWGRP | S_IWOTH)

/* Root looks after everybody's pools. */
static int owned(const struct stat *st)
{
	uid_t uid = geteuid();

	return st->st_uid == uid || uid == 0;
}

/* A file that was opened. */
static int check_file(const struct stat *st, const char *name, int is_owned, int is_pools)
{
	if (!is_owned)
		return lzi_error(LATZ_ACCESS, "%s belongs to user %u, we are user %u: it is not used", name,
		                 (unsigned)st->st_uid, (unsigned)geteuid());
	if (st->st_nlink > 1)
		return lzi_error(LATZ_ACCESS, "%s has %lu hard links: another name for it may be anybody's; remove "
		                 "the others, or the file", name, (unsigned long)st->st_nlink);
	if (is_pools && (st->st_mode & OTHERS_WRITE) != 0)
		return lzi_error(LATZ_ACCESS, "%s can be written by others (mode %04o): chmod go-w it, if they have "
		                 "not yet", name, (unsigned)st->st_mode & 07777);
	return LATZ_OK;
}

/* owner: NULL, or who may own it beside us and root, when it is only read. is_pools: nobody else may write it. */
static int open_checked(int dirfd, const char *name, int writable, const uid_t *owner, int is_pools, int *ret_fd)
{
	struct stat st;
	int rc, fd = lzi_os.openat(dirfd, name,
	                           (writable ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return lzi_error(LATZ_NOTFOUND, "%s: no such file", name);
	if (fd < 0 && errno == ELOOP)
		return lzi_error(LATZ_ACCESS, "%s is a symbolic link, and links are not followed", name);
	if (fd < 0)
		return lzi_error_sys(errno, "open %s", name);
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return lzi_error(LATZ_CORRUPT, "%s is not a regular file", name);
	}
	rc = check_file(&st, name, owned(&st) || (owner != NULL && (st.st_uid == *owner || st.st_uid == 0)),
	                is_pools);
	if (rc != LATZ_OK) {
		close(fd);
		return rc;
	}
	*ret_fd = fd;
	return LATZ_OK;
}

int lzi_file_open(int dirfd, const char *name, int writable, int *ret_fd)
{
	return open_checked(dirfd, name, writable, NULL, 1, ret_fd);
}

int lzi_file_open_any(int dirfd, const char *name, int writable, int *ret_fd)
{
	uid_t root = 0;

	return open_checked(dirfd, name, writable, writable ? NULL : &root, 0, ret_fd);
}

int lzi_file_look(int dirfd, const char *name, int *ret_fd)
{
	struct stat st;

	if (fstat(dirfd, &st) != 0)
		return lzi_error_sys(errno, "stat the directory of %s", name);
	return open_checked(dirfd, name, 0, &st.st_uid, 1, ret_fd);
}

int lzi_file_create(int dirfd, const char *name, unsigned mode, int *ret_fd)
{
	int fd = lzi_os.openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);

	if (fd < 0)
		return errno == EEXIST ? LATZ_EXISTS : lzi_error_sys(errno, "create %s", name);
	(void)!fchmod(fd, mode); /* past the umask; failing leaves it stricter */
	*ret_fd = fd;
	return LATZ_OK;
}

int lzi_file_is_ours(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_uid == geteuid();
}

int lzi_file_append(int dirfd, const char *name, int *ret_fd, int *ret_made)
{
	const int flags = O_RDWR | O_APPEND | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	struct stat st;
	int fd;

	if (ret_made != NULL)
		*ret_made = 0;
	do {
		fd = lzi_os.openat(dirfd, name, flags, 0);
		if (fd < 0 && errno == ENOENT) {
			if (ret_made == NULL)
				return lzi_error(LATZ_NOTFOUND, "%s is not there", name);
			fd = lzi_os.openat(dirfd, name, flags | O_CREAT | O_EXCL, 0600);
			*ret_made = fd >= 0;
		}
	} while (fd < 0 && (errno == EEXIST || errno == EINTR));
	if (fd < 0 && errno == ELOOP)
		return lzi_error(LATZ_ACCESS, "%s is a symbolic link, and links are not followed", name);
	if (fd < 0)
		return lzi_error_sys(errno, "open %s", name);
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && owned(&st) && st.st_nlink <= 1 && (st.st_mode & 022) == 0) {
		*ret_fd = fd;
		return LATZ_OK;
	}
	close(fd);
	return lzi_error(LATZ_ACCESS, "%s is not a file of ours alone that nobody else may write", name);
}

void lzi_file_close(int fd)
{
	if (fd >= 0)
		close(fd);
}

void lzi_file_drop(int *fd)
{
	int was = *fd;

	lzi_store_release(fd, -1);
	lzi_file_close(was);
}

int lzi_file_size(int fd, uint64_t *ret_size)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return lzi_error_sys(errno, "stat");
	*ret_size = (uint64_t)st.st_size;
	return LATZ_OK;
}

int lzi_file_read(int fd, void *data, size_t size)
{
	ssize_t n = lzi_os.pread(fd, data, size, 0);

	if (n < 0)
		return lzi_error_sys(errno, "read");
	return (size_t)n == size ? LATZ_OK : lzi_error(LATZ_CORRUPT, "file is %zd bytes, %zu are needed", n, size);
}

int lzi_file_write(int fd, const void *data, size_t size)
{
	ssize_t n = lzi_os.pwrite(fd, data, size, 0);

	if (n < 0)
		return lzi_error_sys(errno, "write");
	return (size_t)n == size ? LATZ_OK : lzi_error(LATZ_NOSPC, "only %zd of %zu bytes could be written", n, size);
}

int lzi_file_write_at(int fd, const void *data, size_t size, uint64_t offset)
{
	const uint8_t *from = data;

	while (size > 0) {
		ssize_t n = lzi_os.pwrite(fd, from, size, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return lzi_error_sys(n < 0 ? errno : ENOSPC, "write %zu bytes at %llu", size,
			                     (unsigned long long)offset);
		from += n;
		offset += (uint64_t)n;
		size -= (size_t)n;
	}
	return LATZ_OK;
}

int lzi_file_resize(int fd, uint64_t size)
{
	return lzi_os.ftruncate(fd, (off_t)size) == 0
	               ? LATZ_OK
	               : lzi_error_sys(errno, "resize to %llu bytes", (unsigned long long)size);
}

uint64_t lzi_file_blocks(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}

int lzi_file_same(int dirfd, const char *name, int fd)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && fstatat(dirfd, name, &b, AT_SYMLINK_NOFOLLOW) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

int lzi_path_same(const char *a, const char *b)
{
	struct stat x, y;

	return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

int lzi_dir_default(char *buf, size_t size)
{
	const char *dir = getenv("LATZERO_DIR");
	struct stat st;
	int n;

	if (dir != NULL && *dir != '\0')
		n = snprintf(buf, size, "%s", dir);
	else if (stat("/dev/shm", &st) == 0 && S_ISDIR(st.st_mode) && access("/dev/shm", W_OK) == 0)
		n = snprintf(buf, size, "/dev/shm/latzero-%u", (unsigned)geteuid());
	else {
		dir = getenv("TMPDIR");
		n = snprintf(buf, size, "%s/latzero-%u", dir != NULL && *dir != '\0' ? dir : "/tmp",
		             (unsigned)geteuid());
	}
	return n < 0 || (size_t)n >= size ? lzi_error(LATZ_INVALID, "runtime directory's path is too long") : LATZ_OK;
}

char *lzi_path_absolute(const char *path)
{
	char *here = path[0] == '/' ? NULL : getcwd(NULL, 0), *whole = NULL;

	if (here == NULL)
		return strdup(path);
	if (asprintf(&whole, "%s/%s", here, path) < 0)
		whole = NULL;
	free(here);
	return whole;
}

#define ANYBODY ((uid_t)-1)

/* owner: as open_checked(). */
static int check_dir(int fd, const char *path, const uid_t *owner)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return lzi_error_sys(errno, "stat %s", path);
	if (!owned(&st) && (owner == NULL || (*owner != ANYBODY && st.st_uid != *owner && st.st_uid != 0)))
		return lzi_error(LATZ_ACCESS, "directory %s belongs to user %u, we are user %u: it is not used; name "
		                 "another, or have it removed", path, (unsigned)st.st_uid, (unsigned)geteuid());
	if ((st.st_mode & OTHERS_WRITE) != 0 && (st.st_mode & S_ISVTX) == 0)
		return lzi_error(LATZ_ACCESS, "directory %s can be written by others (mode %04o): chmod go-w it", path,
		                 (unsigned)st.st_mode & 07777);
	return LATZ_OK;
}

static int open_dir_checked(int dirfd, const char *name, int how, const uid_t *owner, int *ret_fd)
{
	int rc, fd = lzi_os.openat(dirfd, name, how | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);

	if (fd < 0 && errno == ENOENT)
		return lzi_error(LATZ_NOTFOUND, "%s: no such directory", name);
	if (fd < 0 && (errno == ENOTDIR || errno == ELOOP))
		return lzi_error(LATZ_ACCESS, "%s is not a directory, or a symbolic link", name);
	if (fd < 0)
		return lzi_error_sys(errno, "open directory %s", name);
	rc = check_dir(fd, name, owner);
	if (rc != LATZ_OK) {
		close(fd);
		return rc;
	}
	*ret_fd = fd;
	return LATZ_OK;
}

int lzi_dir_open_at(int dirfd, const char *name, int *ret_fd)
{
	return open_dir_checked(dirfd, name, O_RDONLY, NULL, ret_fd);
}

/* Without the right to list them it is enough to know what is in them: O_PATH. */
int lzi_dir_look(const char *path, int whoever, int *ret_fd)
{
	uid_t owner = whoever ? ANYBODY : geteuid();

	return open_dir_checked(AT_FDCWD, path, O_PATH, &owner, ret_fd);
}

int lzi_dir_look_at(int dirfd, const char *name, int *ret_fd)
{
	struct stat st;

	if (fstat(dirfd, &st) != 0)
		return lzi_error_sys(errno, "stat the directory of %s", name);
	return open_dir_checked(dirfd, name, O_PATH, &st.st_uid, ret_fd);
}

int lzi_dir_open(const char *path, int create, unsigned mode, int *ret_fd)
{
	if (create && lzi_os.mkdirat(AT_FDCWD, path, mode) != 0 && errno != EEXIST)
		return lzi_error_sys(errno, "create directory %s", path);
	return lzi_dir_open_at(AT_FDCWD, path, ret_fd);
}

/* Past the umask. Nobody else can have put something in its place: who may write the directory is us. */
int lzi_dir_make(int dirfd, const char *name, unsigned mode)
{
	int fd, rc;

	if (lzi_os.mkdirat(dirfd, name, 0700) != 0)
		return errno == EEXIST ? LATZ_EXISTS : lzi_error_sys(errno, "create directory %s", name);
	rc = lzi_dir_open_at(dirfd, name, &fd);
	if (rc != LATZ_OK)
		return rc;
	if (fchmod(fd, mode) != 0)
		rc = lzi_error_sys(errno, "set the mode of directory %s", name);
	close(fd);
	return rc;
}

int lzi_dir_rename(int dirfd, const char *old, const char *name)
{
	if (lzi_os.renameat(dirfd, old, dirfd, name) == 0)
		return LATZ_OK;
	if (errno == ENOTEMPTY || errno == EEXIST)
		return LATZ_EXISTS;
	if (errno == ENOTDIR)
		return lzi_error(LATZ_ACCESS, "%s is there and is not a pool's directory", name);
	if (errno == ENOENT)
		return lzi_error(LATZ_NOTFOUND, "%s is gone", old);
	return lzi_error_sys(errno, "rename %s to %s", old, name);
}

/* Calls fn(dirfd, name, is_dir) for each entry. Non-zero, with errno, if not all could be read. */
static int each_entry(int fd, void (*fn)(int dirfd, const char *name, int is_dir, void *arg), void *arg)
{
	int copy = lzi_os.openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0), err;
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *entry;

	if (dir == NULL) {
		err = errno;
		if (copy >= 0)
			close(copy);
		errno = err;
		return -1;
	}
	while (errno = 0, (entry = readdir(dir)) != NULL) {
		struct stat st;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			fn(fd, entry->d_name, S_ISDIR(st.st_mode), arg);
	}
	err = errno;
	closedir(dir);
	errno = err;
	return err == 0 ? 0 : -1;
}

static void remove_entry(int dirfd, const char *name, int is_dir, void *arg)
{
	int *depth = arg;

	if (is_dir && *depth > 0) {
		int fd = lzi_os.openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
		int below = *depth - 1;

		if (fd >= 0) {
			each_entry(fd, remove_entry, &below);
			close(fd);
		}
		lzi_os.unlinkat(dirfd, name, AT_REMOVEDIR);
	} else {
		lzi_os.unlinkat(dirfd, name, is_dir ? AT_REMOVEDIR : 0);
	}
}

void lzi_dir_remove(int dirfd, const char *name)
{
	int depth = 2;

	remove_entry(dirfd, name, 1, &depth);
}

struct block_sum {
	uint64_t bytes;
	int depth;
};

static void add_blocks(int dirfd, const char *name, int is_dir, void *arg)
{
	struct block_sum *sum = arg;
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return;
	sum->bytes += (uint64_t)st.st_blocks * 512;
	if (is_dir && sum->depth > 0) {
		int fd = lzi_os.openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);

		if (fd >= 0) {
			sum->depth--;
			each_entry(fd, add_blocks, sum);
			sum->depth++;
			close(fd);
		}
	}
}

uint64_t lzi_dir_blocks(int dirfd, const char *name)
{
	struct block_sum sum = { 0, 2 };

	add_blocks(dirfd, name, 1, &sum);
	return sum.bytes;
}

struct name_list {
	char **names;
	size_t count, capacity;
	int failed;
};

static void add_name(int dirfd, const char *name, int is_dir, void *arg)
{
	struct name_list *list = arg;

	(void)dirfd;
	(void)is_dir;
	if (list->count == list->capacity) {
		size_t more = list->capacity == 0 ? 32 : list->capacity * 2;
		char **names = realloc(list->names, more * sizeof *names);

		if (names == NULL) {
			list->failed = 1;
			return;
		}
		list->names = names;
		list->capacity = more;
	}
	list->names[list->count] = strdup(name);
	if (list->names[list->count] == NULL)
		list->failed = 1;
	else
		list->count++;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int lzi_dir_read(int dirfd, char ***ret_names, size_t *ret_count)
{
	struct name_list list = { NULL, 0, 0, 0 };

	if (each_entry(dirfd, add_name, &list) != 0) {
		int err = errno;

		lzi_dir_free(list.names, list.count);
		return lzi_error_sys(err, "list a directory");
	}
	if (list.failed) {
		lzi_dir_free(list.names, list.count);
		return lzi_error(LATZ_NOMEM, "list a directory");
	}
	if (list.count > 1)
		qsort(list.names, list.count, sizeof *list.names, compare_names);
	*ret_names = list.names;
	*ret_count = list.count;
	return LATZ_OK;
}

void lzi_dir_free(char **names, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		free(names[i]);
	free(names);
}

int lzi_file_identity(int fd, uint64_t *ret_device, uint64_t *ret_inode)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return lzi_error_sys(errno, "look at a file");
	*ret_device = (uint64_t)st.st_dev;
	*ret_inode = (uint64_t)st.st_ino;
	return LATZ_OK;
}

int lzi_fd_follow(int poolfd, int fd, int reads, const char *path)
{
	struct stat pool, st;

	if (fstat(poolfd, &pool) != 0 || fstat(fd, &st) != 0)
		return lzi_error_sys(errno, "stat %s", path);
	if (pool.st_uid == geteuid() || st.st_uid == pool.st_uid || (reads && (st.st_mode & S_IROTH) != 0))
		return LATZ_OK;
	return lzi_error(LATZ_ACCESS, "%s belongs to user %u, the pool that names it to user %u: it is not used", path,
	                 (unsigned)st.st_uid, (unsigned)pool.st_uid);
}

int lzi_fd_follow_to(int poolfd, int dirfd, const char *name)
{
	int fd, rc;

	fd = lzi_os.openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
	if (fd < 0)
		return errno == ENOENT ? lzi_fd_follow(poolfd, dirfd, 0, name) : lzi_error_sys(errno, "open %s", name);
	rc = lzi_fd_follow(poolfd, fd, 0, name);
	close(fd);
	return rc;
}

int lzi_fd_parent(int fd, char *buf, size_t size)
{
	char name[40], *slash;
	ssize_t n;

	snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
	n = readlink(name, buf, size - 1);
	if (n <= 0)
		return lzi_error_sys(errno, "read %s", name);
	buf[n] = '\0';
	slash = strrchr(buf, '/');
	if (slash == NULL || slash == buf)
		return lzi_error(LATZ_IO, "%s is in no directory", buf);
	*slash = '\0';
	return LATZ_OK;
}
