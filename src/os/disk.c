/*
 * Files that must survive a power cut: whole reads and writes, syncs, names. Every call goes through the table, so that
 * tests can record what was written and synced, and make the nth call fail.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "base/error.h"
#include "os/os.h"

/* One call of the kernel's moves no more. */
#define CALL_MAX (1ull << 30)

/* The reason in the detail; the code says only whether there is room. */
static int failed(int err, const char *verb, const char *name)
{
	lzi_error_sys(err, "%s %s", verb, name);
	return err == ENOSPC || err == EDQUOT ? LATZ_NOSPC : LATZ_IO;
}

/* Whether to call again: interrupted, or a pipe that does not block and is full or empty, after waiting for it. */
static int again(int err, int fd, short events)
{
	struct pollfd wait = { fd, events, 0 };

	if (err == EAGAIN)
		return poll(&wait, 1, -1) >= 0 || errno == EINTR;
	return err == EINTR;
}

static size_t at_most(uint64_t size)
{
	return (size_t)(size < CALL_MAX ? size : CALL_MAX);
}

int lzi_disk_open(int dirfd, const char *name, int writable, int *ret_fd)
{
	return lzi_file_open_any(dirfd, name, writable, ret_fd);
}

int lzi_disk_create(int dirfd, const char *name, int *ret_fd)
{
	const int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	int fd, rc;

	while ((fd = lzi_os.openat(dirfd, name, flags, 0600)) < 0 && errno == EINTR)
		;
	if (fd < 0 && errno == EEXIST) {
		rc = lzi_disk_remove(dirfd, name);
		if (rc != LATZ_OK)
			return rc;
		fd = lzi_os.openat(dirfd, name, flags, 0600);
	}
	if (fd < 0)
		return lzi_error_sys(errno, "create %s", name);
	*ret_fd = fd;
	return LATZ_OK;
}

/* offset NULL: at the descriptor's own position. */
static int write_all(int fd, const char *name, const void *data, uint64_t size, const uint64_t *offset)
{
	const uint8_t *from = data, *end = from + size;

	while (from < end) {
		size_t part = at_most((uint64_t)(end - from));
		off_t done = from - (const uint8_t *)data;
		ssize_t n = offset == NULL ? lzi_os.write(fd, from, part)
		                           : lzi_os.pwrite(fd, from, part, (off_t)*offset + done);

		if (n < 0 && again(errno, fd, POLLOUT))
			continue;
		if (n <= 0)
			return failed(n < 0 ? errno : EIO, "write", name);
		from += n;
	}
	return LATZ_OK;
}

int lzi_disk_write_at(int fd, const char *name, const void *data, uint64_t size, uint64_t offset)
{
	return write_all(fd, name, data, size, &offset);
}

int lzi_disk_write(int fd, const char *name, const void *data, uint64_t size)
{
	return write_all(fd, name, data, size, NULL);
}

int lzi_disk_writev_at(int fd, const char *name, struct iovec *parts, size_t count, uint64_t offset)
{
	while (count > 0) {
		ssize_t n;

		if (parts->iov_len == 0) {
			parts++;
			count--;
			continue;
		}
		n = lzi_os.pwritev(fd, parts, count < IOV_MAX ? (int)count : IOV_MAX, (off_t)offset);
		if (n < 0 && again(errno, fd, POLLOUT))
			continue;
		if (n <= 0)
			return failed(n < 0 ? errno : EIO, "write", name);
		offset += (uint64_t)n;
		for (; n > 0 && (size_t)n >= parts->iov_len; parts++, count--)
			n -= (ssize_t)parts->iov_len;
		if (n > 0) {
			parts->iov_base = (uint8_t *)parts->iov_base + n;
			parts->iov_len -= (size_t)n;
		}
	}
	return LATZ_OK;
}

/* offset NULL: at the descriptor's own position. */
static int read_all(int fd, const char *name, void *data, uint64_t size, const uint64_t *offset,
                    uint64_t *ret_got)
{
	uint64_t got = 0;

	while (got < size) {
		uint8_t *to = (uint8_t *)data + got;
		ssize_t n = offset == NULL ? lzi_os.read(fd, to, at_most(size - got))
		                           : lzi_os.pread(fd, to, at_most(size - got), (off_t)(*offset + got));

		if (n < 0 && again(errno, fd, POLLIN))
			continue;
		if (n < 0)
			return failed(errno, "read", name);
		if (n == 0)
			break;
		got += (uint64_t)n;
	}
	*ret_got = got;
	return LATZ_OK;
}

int lzi_disk_read_at(int fd, const char *name, void *data, uint64_t size, uint64_t offset, uint64_t *ret_got)
{
	return read_all(fd, name, data, size, &offset, ret_got);
}

int lzi_disk_read(int fd, const char *name, void *data, uint64_t size, uint64_t *ret_got)
{
	return read_all(fd, name, data, size, NULL, ret_got);
}

int lzi_disk_sync(int fd, const char *name)
{
	int rc;

	while ((rc = lzi_os.fdatasync(fd)) != 0 && errno == EINTR)
		;
	return rc == 0 ? LATZ_OK : failed(errno, "sync", name);
}

void lzi_disk_push(int fd, uint64_t offset, uint64_t size)
{
	/* Without the flags that wait: those would take an error away from the sync. */
	(void)!sync_file_range(fd, (off_t)offset, (off_t)size, SYNC_FILE_RANGE_WRITE);
}

int lzi_disk_sync_all(int fd, const char *name)
{
	int rc;

	while ((rc = lzi_os.fsync(fd)) != 0 && errno == EINTR)
		;
	return rc == 0 ? LATZ_OK : failed(errno, "sync", name);
}

int lzi_disk_sync_dir(int dirfd)
{
	return lzi_disk_sync_all(dirfd, "directory");
}

int lzi_disk_rename(int dirfd, const char *old, const char *name)
{
	int code;

	if (lzi_os.renameat(dirfd, old, dirfd, name) == 0)
		return LATZ_OK;
	if (errno == ENOENT)
		return lzi_error(LATZ_NOTFOUND, "%s: no such file", old);
	code = errno == ENOSPC || errno == EDQUOT ? LATZ_NOSPC : LATZ_IO;
	lzi_error_sys(errno, "rename %s to %s", old, name);
	return code;
}

int lzi_disk_exchange(int dirfd, const char *one, const char *other)
{
	if (renameat2(dirfd, one, dirfd, other, RENAME_EXCHANGE) == 0)
		return LATZ_OK;
	return lzi_error_sys(errno, "exchange %s and %s", one, other);
}

int lzi_disk_remove(int dirfd, const char *name)
{
	struct stat st;

	if (lzi_os.unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return LATZ_OK;
	if (errno == EPERM && fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_uid != geteuid())
		return lzi_error(LATZ_ACCESS, "%s is there already, and belongs to user %u: it is left alone", name,
		                 (unsigned)st.st_uid);
	return failed(errno, "remove", name);
}

int lzi_disk_truncate(int fd, const char *name, uint64_t size)
{
	int rc;

	while ((rc = lzi_os.ftruncate(fd, (off_t)size)) != 0 && errno == EINTR)
		;
	return rc == 0 ? LATZ_OK : failed(errno, "resize", name);
}

int lzi_disk_allocate(int fd, const char *name, uint64_t size)
{
	int rc;

	while ((rc = lzi_os.fallocate(fd, 0, 0, (off_t)size)) != 0 && errno == EINTR)
		;
	if (rc == 0)
		return LATZ_OK;
	if (errno == EOPNOTSUPP || errno == ENOSYS)
		return lzi_disk_truncate(fd, name, size);
	return failed(errno == EFBIG ? ENOSPC : errno, "allocate", name);
}

int lzi_disk_reserve(int fd, const char *name, uint64_t offset, uint64_t size)
{
	int rc;

	while ((rc = lzi_os.fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)size)) != 0 && errno == EINTR)
		;
	return rc == 0 || (errno != ENOSPC && errno != EDQUOT) ? LATZ_OK : failed(errno, "allocate", name);
}

int lzi_disk_check_dir(int dirfd, const char *path)
{
	struct stat st;

	if (fstat(dirfd, &st) != 0)
		return lzi_error_sys(errno, "stat %s", path);
	if ((st.st_mode & S_IWOTH) != 0 && (st.st_mode & S_ISVTX) == 0)
		return lzi_error(LATZ_ACCESS, "everybody can write the directory of %s (mode %04o), and put another "
		                 "file in its place", path, (unsigned)st.st_mode & 07777);
	return LATZ_OK;
}

int lzi_disk_open_dir(const char *path, int *ret_fd)
{
	int fd = lzi_os.openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);

	if (fd < 0)
		return lzi_error_sys(errno, "open directory %s", path);
	*ret_fd = fd;
	return LATZ_OK;
}
