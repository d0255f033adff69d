/*
 * Tries each kernel feature the library rests on, for real, with a scratch file where pools would be.
 */
#include "doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

enum {
	SCRATCH_BYTES = 1 << 20
};

static int make_scratch(const char *dir)
{
	char path[4096];

	if (snprintf(path, sizeof(path), "%s/.latzero-doctor-XXXXXX", dir) >= (int)sizeof(path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	int fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		unlink(path); /* nameless from now on: nothing can be left behind */
	return fd;
}

static void check_fallocate(int fd)
{
	if (fallocate(fd, 0, 0, SCRATCH_BYTES) != 0) {
		doctor_report(DOCTOR_FAIL, "fallocate", "put pools on tmpfs, ext4 or xfs with --dir",
		              "space can't be reserved: %s", strerror(errno));
		return;
	}
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, SCRATCH_BYTES / 2, 65536) != 0)
		doctor_report(DOCTOR_FAIL, "punch hole", "put pools on tmpfs, ext4 or xfs with --dir",
		              "memory can't be given back: %s", strerror(errno));
	else
		doctor_report(DOCTOR_OK, "fallocate", NULL, "space can be reserved, and given back by punching holes");
}

/* The same pages a second time, which lets a pool grow without moving anything a reader may look at. */
static void check_mapping(int fd)
{
	long page = sysconf(_SC_PAGESIZE);
	char *first = mmap(NULL, (size_t)page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (first == MAP_FAILED) {
		doctor_report(DOCTOR_FAIL, "shared mapping", "see ulimit -v and the cgroup's limits", "mmap: %s",
		              strerror(errno));
		return;
	}
	char *second = mmap(NULL, (size_t)page * 2, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	bool works = second != MAP_FAILED && second != first;
	if (works) {
		first[0] = 'x';
		works = second[0] == 'x';
	}
	if (works)
		doctor_report(DOCTOR_OK, "second mapping", NULL,
		              "a shared mapping can be mapped a second time, larger");
	else
		doctor_report(DOCTOR_FAIL, "second mapping", "see ulimit -v and the cgroup's limits",
		              "a shared mapping can't be mapped a second time: %s", strerror(errno));
	if (madvise(first, (size_t)page, MADV_POPULATE_WRITE) == 0)
		doctor_report(DOCTOR_OK, "MADV_POPULATE_WRITE", NULL, "pages can be brought in ahead of need");
	else
		doctor_report(DOCTOR_WARN, "MADV_POPULATE_WRITE",
		              "Linux 5.14 or later has it; without it the first touch of new "
		              "memory costs a page fault each",
		              "pages can't be brought in ahead of need: %s", strerror(errno));
	if (second != MAP_FAILED)
		munmap(second, (size_t)page * 2);
	munmap(first, (size_t)page);
}

/* A lock of one open file that another open of the same file must see: liveness rests on it. */
static void check_ofd_locks(int fd)
{
	char path[64];
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1 };
	struct flock probe = lock;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int other = open(path, O_RDWR | O_CLOEXEC);
	if (other < 0) {
		doctor_report(DOCTOR_WARN, "OFD locks", "mount /proc", "could not be tried: %s: %s", path,
		              strerror(errno));
		return;
	}
	if (fcntl(fd, F_OFD_SETLK, &lock) != 0 || fcntl(other, F_OFD_GETLK, &probe) != 0)
		doctor_report(DOCTOR_FAIL, "OFD locks", "put pools on a local file system (tmpfs) with --dir",
		              "the file system has none: %s", strerror(errno));
	else if (probe.l_type == F_UNLCK)
		doctor_report(DOCTOR_FAIL, "OFD locks", "put pools on a local file system (tmpfs) with --dir",
		              "a lock is not seen through another open file");
	else
		doctor_report(DOCTOR_OK, "OFD locks", NULL, "the kernel tells who is alive");
	close(other);
}

static void check_membarrier(void)
{
#ifdef SYS_membarrier
	long commands = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
	if (commands > 0 && (commands & MEMBARRIER_CMD_GLOBAL_EXPEDITED) != 0 &&
	    syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) == 0 &&
	    syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0) == 0) {
		doctor_report(DOCTOR_OK, "membarrier", NULL, "readers need no barriers of their own");
		return;
	}
#endif
	doctor_report(DOCTOR_FAIL, "membarrier", "Linux 4.16 or later has it; allow membarrier in the seccomp profile",
	              "no MEMBARRIER_CMD_GLOBAL_EXPEDITED: memory can't be given back safely");
}

/* A child takes a robust mutex and dies with it; the kernel must tell its heirs. */
static void check_robust(int fd)
{
	pthread_mutexattr_t attributes;
	pthread_mutex_t *mutex = mmap(NULL, sizeof(*mutex), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (mutex == MAP_FAILED)
		return; /* check_mapping has said so */
	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(mutex, &attributes);
	fflush(NULL);
	pid_t child = fork();
	if (child == 0) {
		pthread_mutex_lock(mutex);
		_exit(0);
	}
	int result = EAGAIN;
	if (child > 0 && waitpid(child, NULL, 0) == child)
		result = pthread_mutex_trylock(mutex);
	if (result == EOWNERDEAD)
		doctor_report(DOCTOR_OK, "robust futexes", NULL, "the kernel marks what a dead process held");
	else
		doctor_report(DOCTOR_FAIL, "robust futexes", "allow set_robust_list and futex in the seccomp profile",
		              "a dead process's lock is not marked: %s", strerror(result));
	munmap(mutex, sizeof(*mutex));
	pthread_mutexattr_destroy(&attributes);
}

void doctor_check_kernel(const char *dir)
{
	int fd = make_scratch(dir);

	if (fd < 0) {
		doctor_report(DOCTOR_FAIL, "scratch file", "give a directory you may write with --dir or $LATZERO_DIR",
		              "%s: %s", dir, strerror(errno));
		check_membarrier();
		return;
	}
	check_fallocate(fd);
	check_mapping(fd);
	check_ofd_locks(fd);
	check_robust(fd);
	close(fd);
	check_membarrier();
}
