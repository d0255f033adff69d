/*
 * Descriptors for poll() that stand for something that happened in memory.
 */
#include "config.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"
#include "os/os.h"

int lzi_event_open(int *ret_fd)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (fd < 0)
		return lzi_error_sys(errno, "eventfd");
	*ret_fd = fd;
	return LATZ_OK;
}

void lzi_event_set(int fd)
{
	uint64_t one = 1;

	(void)!write(fd, &one, sizeof one);
}

void lzi_event_clear(int fd)
{
	uint64_t count;

	(void)!read(fd, &count, sizeof count);
}
