/*
 * Descriptors that tell that a moment has come.
 */
#include "config.h"

#include <errno.h>
#include <sys/timerfd.h>

#include "base/error.h"
#include "os/os.h"

int lzi_timer_open(int *ret_fd)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd < 0)
		return lzi_error_sys(errno, "timerfd");
	*ret_fd = fd;
	return LATZ_OK;
}

int lzi_timer_set(int fd, uint64_t when_ns)
{
	struct itimerspec when = { { 0, 0 },
		                   { (time_t)(when_ns / 1000000000u), (long)(when_ns % 1000000000u) } };

	return timerfd_settime(fd, TFD_TIMER_ABSTIME, &when, NULL) == 0 ? LATZ_OK : lzi_error_sys(errno, "timerfd");
}
