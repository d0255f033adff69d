/*
 * wal/ on a disk that fails: each call of each operation fails in turn, or moves less than it was asked to. After it
 * the error has a name, no frame is lost or half there, no descriptor is left, and trying again succeeds.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>

#include "base/error.h"
#include "wal_log.h"

static struct {
	int countdown; /* calls that go well; then one fails */
	int err;       /* 0: writes and reads move one byte less */
	int failed;
} fault;

static int fails(void)
{
	if (fault.countdown-- != 0)
		return 0;
	fault.failed = 1;
	errno = fault.err;
	return fault.err != 0;
}

/* Whether the call at hand is the one to come short. */
static int comes_short(void)
{
	return fault.failed && fault.err == 0 && fault.countdown == -1;
}

static int bad_openat(int fd, const char *path, int flags, mode_t mode)
{
	return fails() ? -1 : real_os.openat(fd, path, flags, mode);
}

static int bad_fallocate(int fd, int mode, off_t offset, off_t length)
{
	return fails() ? -1 : real_os.fallocate(fd, mode, offset, length);
}

static int bad_renameat(int olddir, const char *old, int newdir, const char *name)
{
	return fails() ? -1 : real_os.renameat(olddir, old, newdir, name);
}

static ssize_t bad_pread(int fd, void *data, size_t size, off_t offset)
{
	return fails() ? -1 : real_os.pread(fd, data, comes_short() && size > 1 ? size - 1 : size, offset);
}

static ssize_t bad_pwrite(int fd, const void *data, size_t size, off_t offset)
{
	return fails() ? -1 : real_os.pwrite(fd, data, comes_short() && size > 1 ? size - 1 : size, offset);
}

static ssize_t bad_pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
	if (fails())
		return -1;
	/* Within the first, or without the last. */
	if (comes_short() && parts[0].iov_len > 1)
		return real_os.pwrite(fd, parts[0].iov_base, parts[0].iov_len - 1, offset);
	return real_os.pwritev(fd, parts, comes_short() && count > 1 ? count - 1 : count, offset);
}

static int bad_fdatasync(int fd)
{
	return fails() ? -1 : real_os.fdatasync(fd);
}

static int bad_fsync(int fd)
{
	return fails() ? -1 : real_os.fsync(fd);
}

static int bad_ftruncate(int fd, off_t size)
{
	return fails() ? -1 : real_os.ftruncate(fd, size);
}

static int bad_unlinkat(int fd, const char *path, int flags)
{
	return fails() ? -1 : real_os.unlinkat(fd, path, flags);
}

static int descriptors(void)
{
	DIR *open_files = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(open_files) != NULL)
		count++;
	closedir(open_files);
	return count;
}

/* The operations, each from the same beginning. */
static int do_begin(void)
{
	return lzi_wal_begin(&wal, &position, position.segment + 1);
}

static int do_append(void)
{
	return append(3, 0);
}

static int do_roll(void)
{
	return append(1, LZI_SEGMENT_BYTES - 4 * LZI_LOG_BLOCK);
}

static int do_long(void)
{
	return append(1, LZI_SEGMENT_BYTES + 1);
}

static int do_sync(void)
{
	return lzi_wal_sync(&wal, &position);
}

static int do_prepare(void)
{
	return lzi_wal_prepare(dirfd_);
}

static int do_remove(void)
{
	return lzi_wal_remove_below(dirfd_, position.segment);
}

static int do_read(void)
{
	struct seen seen = { .next = 1, .gaps = 1 };
	struct lzi_wal_read read;
	int rc = read_log(&seen, &read, 1);

	if (rc == LATZ_OK)
		assert_int_equal(seen.count, 6);
	return rc;
}

static const struct {
	const char *name;
	int (*run)(void);
	int prepared;
} operations[] = {
	{ "begin", do_begin, 0 },     { "begin, prepared", do_begin, 1 }, { "append", do_append, 0 },
	{ "roll", do_roll, 0 },       { "roll, prepared", do_roll, 1 },   { "long frame", do_long, 0 },
	{ "sync", do_sync, 0 },       { "prepare", do_prepare, 0 },       { "remove", do_remove, 0 },
	{ "read", do_read, 0 },
};

/* After whatever failed: the frames before are there, and trying again succeeds. */
static void after_fault(unsigned op, int rc, const struct lzi_wal_position *before)
{
	struct lzi_wal_read read;

	if (rc != LATZ_OK) {
		assert_int_equal(rc, fault.err == ENOSPC ? LATZ_NOSPC : LATZ_IO);
		assert_true(strstr(lzi_error_text(), "wal-") != NULL || strstr(lzi_error_text(), "directory"));
		assert_int_equal(position.frame, before->frame);
		assert_true(position.synced == before->synced || position.synced == position.frame);
		assert_true(position.segment == before->segment ? position.offset == before->offset
		                                                : position.offset == LZI_LOG_BLOCK);
		assert_int_equal(operations[op].run(), LATZ_OK);
	}
	read = (struct lzi_wal_read){ .dirfd = dirfd_, .log_id = id, .from = 1 };
	if (operations[op].run == do_remove)
		read.from = position.segment;
	assert_int_equal(lzi_wal_read(&read), LATZ_OK);
	assert_int_equal(read.next_frame, position.frame);
}

/* A prepared segment that takes no time to make. */
static void begin_sparse(uint64_t segment)
{
	int fd = openat(dirfd_, "wal-prepared", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(ftruncate(fd, LZI_SEGMENT_BYTES), 0);
	close(fd);
	begin_ok(segment);
}

/* Segment 1 with some frames, synced, and 2 with some that are not. */
static void start_over(int prepared)
{
	empty_dir();
	begin_sparse(1);
	append_ok(2, 0);
	sync_ok();
	append_ok(1, 0);
	begin_sparse(2);
	append_ok(2, 0);
	append_ok(1, 0);
	if (prepared)
		assert_int_equal(lzi_wal_prepare(dirfd_), LATZ_OK);
}

static void every_call_fails(void **state)
{
	static const int errors[] = { EIO, ENOSPC, 0 };

	(void)state;
	for (unsigned op = 0; op < sizeof operations / sizeof *operations; op++) {
		for (unsigned e = 0; e < 3; e++) {
			for (int nth = 0;; nth++) {
				struct lzi_wal_position before;
				int rc, fds, failed;

				start_over(operations[op].prepared);
				before = position;
				fds = descriptors();
				lzi_os = (struct lzi_os){ bad_openat, bad_fallocate, real_os.mmap, real_os.madvise,
					                  bad_renameat, real_os.mkdirat, bad_pread,
					                  bad_pwrite, bad_pwritev, real_os.read, real_os.write,
					                  bad_fdatasync, bad_fsync, bad_ftruncate, bad_unlinkat };
				fault.countdown = nth;
				fault.err = errors[e];
				fault.failed = 0;
				rc = operations[op].run();
				lzi_os = real_os;
				failed = fault.failed;
				if (failed && errors[e] == 0)
					assert_int_equal(rc, LATZ_OK);
				assert_int_equal(descriptors(), fds);
				after_fault(op, rc, &before);
				assert_int_equal(descriptors(), fds);
				if (!failed) {
					assert_int_equal(rc, LATZ_OK);
					break;
				}
				assert_true(nth < 1000);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_call_fails, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
