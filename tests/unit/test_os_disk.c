/*
 * os/disk: whole reads and writes over a kernel that moves less than asked and is interrupted; named errors.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <latzero/latzero.h>

#include "base/error.h"
#include "os/os.h"

static struct lzi_os real_os;
static char dir[64];
static int dir_fd, calls, error;

/* Every other call is interrupted, the others move at most 7 bytes. */
static ssize_t few(ssize_t (*call)(int fd, void *data, size_t size), int fd, void *data, size_t size)
{
	if (calls++ % 2 == 0) {
		errno = EINTR;
		return -1;
	}
	return call(fd, data, size < 7 ? size : 7);
}

static ssize_t few_read(int fd, void *data, size_t size)
{
	return few(real_os.read, fd, data, size);
}

static ssize_t to_write(int fd, void *data, size_t size)
{
	return write(fd, data, size);
}

static ssize_t few_write(int fd, const void *data, size_t size)
{
	return few(to_write, fd, (void *)(uintptr_t)data, size);
}

static ssize_t few_pread(int fd, void *data, size_t size, off_t offset)
{
	return calls++ % 2 ? pread(fd, data, size < 7 ? size : 7, offset) : (errno = EINTR, -1);
}

static ssize_t few_pwrite(int fd, const void *data, size_t size, off_t offset)
{
	return calls++ % 2 ? pwrite(fd, data, size < 7 ? size : 7, offset) : (errno = EINTR, -1);
}

/* At most 7 bytes, of several parts if they are short. */
static ssize_t few_pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
	char bytes[7];
	size_t n = 0;

	for (int i = 0; i < count; i++) {
		for (size_t j = 0; j < parts[i].iov_len && n < sizeof bytes; j++)
			bytes[n++] = ((const char *)parts[i].iov_base)[j];
	}
	return few_pwrite(fd, bytes, n, offset);
}

static int interrupted_sync(int fd)
{
	return calls++ % 2 ? fsync(fd) : (errno = EINTR, -1);
}

static int failing_sync(int fd)
{
	(void)fd;
	errno = error;
	return -1;
}

static ssize_t failing_pwrite(int fd, const void *data, size_t size, off_t offset)
{
	(void)fd;
	(void)data;
	(void)size;
	(void)offset;
	errno = error;
	return error ? -1 : 0;
}

static int set_up(void **state)
{
	(void)state;
	real_os = lzi_os;
	strcpy(dir, "/tmp/test_os_disk-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	lzi_os = real_os;
	unlinkat(dir_fd, "a", 0);
	unlinkat(dir_fd, "b", 0);
	close(dir_fd);
	return rmdir(dir);
}

static void whole(void **state)
{
	enum { PARTS = 3000 }; /* more than one call takes */
	struct iovec parts[PARTS];
	uint8_t data[PARTS * 2], back[PARTS * 2 + 10];
	uint64_t size = 0, got;
	int fd;

	(void)state;
	for (unsigned i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)(i * 7 + i / 256);
	for (unsigned i = 0; i < PARTS; i++) {
		parts[i] = (struct iovec){ data + size, i % 4 };
		size += i % 4;
	}
	assert_int_equal(lzi_disk_create(dir_fd, "a", &fd), LATZ_OK);
	lzi_os.pread = few_pread;
	lzi_os.pwrite = few_pwrite;
	lzi_os.pwritev = few_pwritev;
	lzi_os.fdatasync = lzi_os.fsync = interrupted_sync;
	assert_int_equal(lzi_disk_writev_at(fd, "a", parts, PARTS, 100), LATZ_OK);
	assert_int_equal(lzi_disk_write_at(fd, "a", data, 100, 0), LATZ_OK);
	assert_int_equal(lzi_disk_sync(fd, "a"), LATZ_OK);
	assert_int_equal(lzi_disk_sync_all(fd, "a"), LATZ_OK);
	assert_int_equal(lzi_disk_sync_dir(dir_fd), LATZ_OK);
	assert_int_equal(lzi_disk_read_at(fd, "a", back, sizeof back, 100, &got), LATZ_OK);
	assert_int_equal(got, size);
	assert_memory_equal(back, data, size);
	assert_int_equal(lzi_disk_read_at(fd, "a", back, 100, 0, &got), LATZ_OK);
	assert_int_equal(got, 100);
	assert_memory_equal(back, data, 100);
	close(fd);
}

static void pipes(void **state)
{
	uint8_t data[5000], back[6000];
	uint64_t got;
	int ends[2];

	(void)state;
	for (unsigned i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)(i % 253);
	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	lzi_os.read = few_read;
	lzi_os.write = few_write;
	assert_int_equal(lzi_disk_write(ends[1], "pipe", data, sizeof data), LATZ_OK);
	assert_int_equal(lzi_disk_read(ends[0], "pipe", back, 1000, &got), LATZ_OK);
	assert_int_equal(got, 1000);
	close(ends[1]);
	assert_int_equal(lzi_disk_read(ends[0], "pipe", back + 1000, 5000, &got), LATZ_OK);
	assert_int_equal(got, 4000);
	assert_memory_equal(back, data, sizeof data);
	close(ends[0]);
}

static void errors(void **state)
{
	static const struct {
		int error, rc;
	} cases[] = { { EIO, LATZ_IO },         { ENOSPC, LATZ_NOSPC }, { EDQUOT, LATZ_NOSPC },
		      { EPERM, LATZ_IO },       { ENOMEM, LATZ_IO },    { 0, LATZ_IO } };
	int fd, again;

	(void)state;
	assert_int_equal(lzi_disk_open(dir_fd, "a", 0, &fd), LATZ_NOTFOUND);
	assert_int_equal(lzi_disk_rename(dir_fd, "a", "b"), LATZ_NOTFOUND);
	assert_int_equal(lzi_disk_remove(dir_fd, "a"), LATZ_OK);
	assert_int_equal(lzi_disk_create(dir_fd, "a", &fd), LATZ_OK);
	lzi_os.pwrite = failing_pwrite;
	lzi_os.fdatasync = lzi_os.fsync = failing_sync;
	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
		error = cases[i].error;
		assert_int_equal(lzi_disk_write_at(fd, "file a", "x", 1, 0), cases[i].rc);
		assert_non_null(strstr(lzi_error_text(), "file a"));
		if (error == 0)
			continue;
		assert_non_null(strstr(lzi_error_text(), strerror(error)));
		assert_int_equal(lzi_disk_sync(fd, "file a"), cases[i].rc);
		assert_int_equal(lzi_disk_sync_all(fd, "file a"), cases[i].rc);
		assert_non_null(strstr(lzi_error_text(), "file a"));
	}
	lzi_os = real_os;
	assert_int_equal(lzi_disk_write_at(fd, "a", "x", 1, 0), LATZ_OK);
	assert_int_equal(lzi_disk_allocate(fd, "a", 10000), LATZ_OK);
	assert_int_equal(lseek(fd, 0, SEEK_END), 10000);
	assert_int_equal(lzi_disk_truncate(fd, "a", 10), LATZ_OK);
	assert_int_equal(lseek(fd, 0, SEEK_END), 10);
	/* A new file, though there is one of that name. */
	assert_int_equal(lzi_disk_create(dir_fd, "a", &again), LATZ_OK);
	assert_int_equal(lseek(again, 0, SEEK_END), 0);
	assert_int_equal(lzi_disk_rename(dir_fd, "a", "b"), LATZ_OK);
	assert_int_equal(faccessat(dir_fd, "b", F_OK, 0), 0);
	close(again);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(whole, set_up, tear_down),
		cmocka_unit_test_setup_teardown(pipes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(errors, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
