/*
 * Locks between processes: OFD locks for life and election, flock for a directory, robust mutexes for short exclusion.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mutex.h"
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

int lzi_mutex_init(struct lzi_mutex *mutex)
{
	pthread_mutexattr_t attr;
	int err;

	memset(mutex, 0, sizeof *mutex);
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	err = pthread_mutex_init(&mutex->mutex, &attr);
	pthread_mutexattr_destroy(&attr);
	return err == 0 ? LATZ_OK : lzi_error_sys(err, "make a robust mutex");
}

/* For error texts. A holder stopped before it could say who it is has its thread id in the mutex's first word, as the
 * kernel wants it of a robust futex; of a process's only thread that is the process id. */
static uint32_t holder(const struct lzi_mutex *mutex)
{
	uint32_t pid = lzi_load_relaxed(&mutex->holder_pid), word;

	if (pid != 0)
		return pid;
	memcpy(&word, &mutex->mutex, sizeof word);
	return word & FUTEX_TID_MASK;
}

int lzi_mutex_died(const struct lzi_mutex *mutex)
{
	return (lzi_load_acquire((const uint32_t *)(const void *)mutex) & FUTEX_OWNER_DIED) != 0;
}

#ifdef __GLIBC__

static int right_kind;

/* Before main(): nobody is waiting, and it can't fail. */
__attribute__((constructor)) static void learn_kind(void)
{
	struct lzi_mutex mutex;

	if (lzi_mutex_init(&mutex) == LATZ_OK)
		right_kind = mutex.mutex.__data.__kind;
}

/* The C library takes a mutex's kind on trust, and ends the process if it makes no sense. In a file it may. */
static int is_sound(const struct lzi_mutex *mutex)
{
	return lzi_likely(mutex->mutex.__data.__kind == right_kind);
}

#else
#define is_sound(mutex) 1
#endif

#if defined(__SANITIZE_THREAD__)

/* The sanitizer for threads of gcc 12 does not know pthread_mutex_clocklock(): it would see no lock taken, and then a
 * wrong unlock and races that the lock forbids. What it knows, a dead holder included, is pthread_mutex_trylock(). */
static int wait_for(pthread_mutex_t *mutex, const struct timespec *until)
{
	struct timespec now;
	int err;

	while ((err = pthread_mutex_trylock(mutex)) == EBUSY) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec > until->tv_sec || (now.tv_sec == until->tv_sec && now.tv_nsec >= until->tv_nsec))
			return ETIMEDOUT;
		lzi_sleep_us(20);
	}
	return err;
}

#else

static int wait_for(pthread_mutex_t *mutex, const struct timespec *until)
{
	return pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, until);
}

#endif

int lzi_mutex_lock(struct lzi_mutex *mutex, unsigned timeout_ms, const char *what)
{
	int err = is_sound(mutex) ? pthread_mutex_trylock(&mutex->mutex) : ENOTRECOVERABLE;

	if (err == EBUSY && timeout_ms > 0) {
		struct timespec until;

		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += timeout_ms / 1000;
		until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
		if (until.tv_nsec >= 1000000000) {
			until.tv_sec++;
			until.tv_nsec -= 1000000000;
		}
		err = wait_for(&mutex->mutex, &until);
	}
	if (err == EBUSY)
		return LATZ_BUSY;
	if (err == ETIMEDOUT)
		return lzi_error(LATZ_TIMEOUT, "waited %u ms for the %s lock, held by process %u", timeout_ms, what,
		                 holder(mutex));
	if (err != 0 && err != EOWNERDEAD)
		return lzi_error(LATZ_CORRUPT, "the %s lock is damaged: %s", what, strerror(err));
	lzi_store_relaxed(&mutex->holder_pid, lzi_process_id());
	if (err == 0)
		return LATZ_OK;
	pthread_mutex_consistent(&mutex->mutex);
	return LZI_OWNER_DIED;
}

int lzi_mutex_lock_patient(struct lzi_mutex *mutex, unsigned timeout_ms, const char *what, const uint64_t *heartbeat)
{
	uint64_t before;
	int rc;

	do {
		before = lzi_load_relaxed(heartbeat);
		rc = lzi_mutex_lock(mutex, timeout_ms, what);
	} while (rc == LATZ_TIMEOUT && lzi_load_relaxed(heartbeat) != before);
	return rc;
}

void lzi_mutex_unlock(struct lzi_mutex *mutex)
{
	lzi_store_relaxed(&mutex->holder_pid, 0);
	pthread_mutex_unlock(&mutex->mutex);
}
