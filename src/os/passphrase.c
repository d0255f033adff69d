/*
 * Passwords from where they are kept: a file, a descriptor, the kernel's keyring. They come to memory for secrets and
 * nowhere else: no buffer of stdio's, no stack, no error text.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/keyctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "os/os.h"

/* One more than is allowed, so that too long can be told; the newline; the NUL. */
#define ROOM (LZI_PASSPHRASE_MAX + 3)

static int no_file(int err, const char *path)
{
	if (err == EMFILE || err == ENFILE || err == ENOMEM || err == EIO)
		return lzi_error_sys(err, "password file %s", path);
	if (err == ELOOP)
		return lzi_error(LATZ_ACCESS, "password file %s is a symbolic link, and links are not followed", path);
	/* Not LATZ_NOTFOUND, which is about pools. */
	lzi_error_sys(err, "password file %s", path);
	return lzi_error_prefix(LATZ_ACCESS, "no password");
}

static int check_file(int fd, const char *path)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return no_file(errno, path);
	if (!S_ISREG(st.st_mode))
		return lzi_error(LATZ_ACCESS, "password file %s is not a regular file; give a pipe as fd:N", path);
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return lzi_error(LATZ_ACCESS, "password file %s belongs to user %u", path, (unsigned)st.st_uid);
	if (st.st_mode & 077)
		return lzi_error(LATZ_ACCESS, "password file %s has mode 0%03o: others than its owner are let at it; "
		                              "chmod 600 helps",
		                 path, (unsigned)st.st_mode & 0777);
	return LATZ_OK;
}

static int from_file(const char *path, char *text, size_t *ret_size)
{
	uint64_t got = 0;
	int rc, fd = lzi_os.openat(AT_FDCWD, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);

	if (fd < 0)
		return no_file(errno, path);
	rc = check_file(fd, path);
	if (rc == LATZ_OK)
		rc = lzi_disk_read(fd, path, text, ROOM - 1, &got);
	close(fd);
	if (got > 0 && text[got - 1] == '\n')
		got--;
	*ret_size = (size_t)got;
	return rc;
}

/* A larger number is not told where there is no such descriptor: it may be the password itself. */
#define FD_TOLD 1024

/* Byte by byte: what stands behind the line is the caller's. */
static int from_fd(const char *number, char *text, size_t *ret_size)
{
	char *end;
	long fd = strtol(number, &end, 10);
	uint64_t got = 0;
	size_t size = 0;
	char name[48];
	int rc = LATZ_OK;

	if (*number < '0' || *number > '9' || *end != '\0' || fd > INT_MAX ||
	    (fd >= FD_TOLD && fcntl((int)fd, F_GETFD) < 0))
		return lzi_error(LATZ_INVALID, "a password from fd:N, which is no open descriptor");
	if (fcntl((int)fd, F_GETFD) < 0)
		return lzi_error(LATZ_INVALID, "a password from fd:%ld, which is no open descriptor", fd);
	if ((fcntl((int)fd, F_GETFL) & O_ACCMODE) == O_WRONLY)
		return lzi_error(LATZ_INVALID, "a password from fd:%ld, which is open for writing alone", fd);
	snprintf(name, sizeof name, "a password from fd:%ld", fd);
	while (size <= LZI_PASSPHRASE_MAX) {
		rc = lzi_disk_read((int)fd, name, text + size, 1, &got);
		if (rc != LATZ_OK || got == 0 || text[size] == '\n')
			break;
		size++;
	}
	*ret_size = size;
	return rc;
}

static long search_key(int keyring, const char *name)
{
	return syscall(SYS_keyctl, KEYCTL_SEARCH, keyring, "user", name, 0);
}

/* The size; -1, with errno. Why the session's key is none (expired, say) is told rather than that the user has none. */
static long read_key(const char *name, char *text)
{
	long key = search_key(KEY_SPEC_SESSION_KEYRING, name);
	int err = errno;

	if (key < 0 && err != ENOSYS) {
		key = search_key(KEY_SPEC_USER_KEYRING, name);
		if (key < 0 && errno == ENOKEY)
			errno = err;
	}
	return key < 0 ? -1 : syscall(SYS_keyctl, KEYCTL_READ, key, text, ROOM - 1);
}

static int from_keyring(const char *name, char *text, size_t *ret_size)
{
	long size = read_key(name, text);
	int err = errno;

	/* Only what can be reached from the thread, process or session can be read, which the user's keyring can't in a
	 * session of cron's or su's, say: so for a moment it hangs on this thread. */
	if (size < 0 && err == EACCES &&
	    syscall(SYS_keyctl, KEYCTL_LINK, KEY_SPEC_USER_KEYRING, KEY_SPEC_THREAD_KEYRING) == 0) {
		size = read_key(name, text);
		err = errno;
		syscall(SYS_keyctl, KEYCTL_UNLINK, KEY_SPEC_USER_KEYRING, KEY_SPEC_THREAD_KEYRING);
	}
	if (size < 0 && err == ENOSYS)
		return lzi_error(LATZ_UNSUPPORTED, "this kernel has no keyring");
	if (size < 0) {
		lzi_error_sys(err, "key %s of the kernel's keyring", name);
		return lzi_error_prefix(LATZ_ACCESS, "no password");
	}
	*ret_size = (size_t)size;
	/* As of a file: keyctl padd takes what was typed with it. Of a longer one all of text may not be filled in. */
	if (size > 0 && size <= LZI_PASSPHRASE_MAX + 1 && text[size - 1] == '\n')
		--*ret_size;
	return LATZ_OK;
}

int lzi_passphrase_valid(const char *text, size_t size)
{
	if (size == 0)
		return lzi_error(LATZ_INVALID, "the password is empty");
	if (size > LZI_PASSPHRASE_MAX)
		return lzi_error(LATZ_INVALID, "the password has more than %u bytes", LZI_PASSPHRASE_MAX);
	if (memchr(text, '\0', size) != NULL)
		return lzi_error(LATZ_INVALID, "the password has a NUL in it");
	return LATZ_OK;
}

int lzi_passphrase_take(const char *from, char **ret_text)
{
	size_t size = 0;
	char *text = lzi_secret_take(ROOM);
	int rc;

	if (text == NULL)
		return lzi_error(LATZ_NOMEM, "password");
	if (strncmp(from, "file:", 5) == 0)
		rc = from_file(from + 5, text, &size);
	else if (strncmp(from, "fd:", 3) == 0)
		rc = from_fd(from + 3, text, &size);
	else if (strncmp(from, "keyring:", 8) == 0)
		rc = from_keyring(from + 8, text, &size);
	else /* which is not told: it may be the password itself */
		rc = lzi_error(LATZ_INVALID, "a password comes from file:PATH, fd:N or keyring:NAME");
	if (rc == LATZ_OK && (rc = lzi_passphrase_valid(text, size)) != LATZ_OK)
		rc = lzi_error_prefix(rc, "%s", from); /* a descriptor, a path or a name, which have been read from */
	if (rc != LATZ_OK) {
		lzi_passphrase_give(text);
		return rc;
	}
	text[size] = '\0';
	*ret_text = text;
	return LATZ_OK;
}

void lzi_passphrase_bequeath(char *text)
{
	(void)!lzi_secret_bequeath(text, ROOM); /* else it has none, which is told as such */
}

void lzi_passphrase_give(char *text)
{
	lzi_secret_give(text, ROOM);
}
