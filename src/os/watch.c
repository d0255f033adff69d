/*
 * Waiting for something to happen in a directory.
 */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "os/os.h"

int lzi_dir_watch(int dirfd, const char *path, int *ret_fd)
{
	char by_descriptor[32];
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	if (fd < 0)
		return lzi_error_sys(errno, "inotify");
	snprintf(by_descriptor, sizeof by_descriptor, "/proc/self/fd/%d", dirfd);
	if (inotify_add_watch(fd, by_descriptor, IN_MOVED_TO | IN_CREATE) < 0 &&
	    inotify_add_watch(fd, path, IN_MOVED_TO | IN_CREATE) < 0) {
		close(fd);
		return lzi_error_sys(errno, "watch %s", path);
	}
	*ret_fd = fd;
	return LATZ_OK;
}

int lzi_dir_wait(int fd, int timeout_ms)
{
	struct pollfd poll_fd = { fd, POLLIN, 0 };
	char events[4096];

	if (poll(&poll_fd, 1, timeout_ms) <= 0)
		return 0;
	while (read(fd, events, sizeof events) > 0)
		;
	return 1;
}

int lzi_dir_exists(int dirfd)
{
	struct stat st;

	return fstat(dirfd, &st) == 0 && st.st_nlink > 0;
}

void lzi_file_remove(int dirfd, const char *name)
{
	lzi_os.unlinkat(dirfd, name, 0);
}
