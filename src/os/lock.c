/*
 * Locks between processes: OFD locks for life and election, flock for a directory. Mutexes are in mutex.c.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/error.h"
#include "os/os.h"

static int ofd(int fd, int command, short type, uint64_t byte, struct flock *lock)
{
	int rc;

	memset(lock, 0, sizeof *lock);
	lock->l_type = type;
	lock->l_whence = SEEK_SET;
	lock->l_start = (off_t)byte;
	lock->l_len = 1;
	do {
		rc = fcntl(fd, command, lock);
	} while (rc != 0 && errno == EINTR);
	return rc;
}

int lzi_ofd_try(int fd, uint64_t byte, int exclusive)
{
	struct flock lock;

	if (ofd(fd, F_OFD_SETLK, exclusive ? F_WRLCK : F_RDLCK, byte, &lock) == 0)
		return LATZ_OK;
	return errno == EAGAIN || errno == EACCES ? LATZ_BUSY : lzi_error_sys(errno, "lock a byte of the control file");
}

int lzi_ofd_wait(int fd, uint64_t byte, int exclusive)
{
	struct flock lock;

	if (ofd(fd, F_OFD_SETLKW, exclusive ? F_WRLCK : F_RDLCK, byte, &lock) == 0)
		return LATZ_OK;
	return lzi_error_sys(errno, "wait for a byte of the control file");
}

void lzi_ofd_unlock(int fd, uint64_t byte)
{
	struct flock lock;

	(void)ofd(fd, F_OFD_SETLK, F_UNLCK, byte, &lock);
}

int lzi_ofd_held(int fd, uint64_t byte)
{
	struct flock lock;

	return ofd(fd, F_OFD_GETLK, F_WRLCK, byte, &lock) == 0 && lock.l_type != F_UNLCK;
}

int lzi_dir_lock(int dirfd, int exclusive, int wait)
{
	int rc;

	do {
		rc = flock(dirfd, (exclusive ? LOCK_EX : LOCK_SH) | (wait ? 0 : LOCK_NB));
	} while (rc != 0 && errno == EINTR);
	if (rc == 0)
		return LATZ_OK;
	return errno == EWOULDBLOCK ? LATZ_BUSY : lzi_error_sys(errno, "lock the runtime directory");
}

void lzi_dir_unlock(int dirfd)
{
	flock(dirfd, LOCK_UN);
}
