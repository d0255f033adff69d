/*
 * Futexes: waiting for a word in shared memory to change.
 */
#include "config.h"

#include <linux/futex.h>
#include <limits.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "os/os.h"

void lzi_futex_wait(uint32_t *word, uint32_t value, unsigned timeout_us)
{
	struct timespec timeout = { (time_t)(timeout_us / 1000000u), (long)(timeout_us % 1000000u) * 1000 };

	(void)syscall(SYS_futex, word, FUTEX_WAIT, value, &timeout, NULL, 0);
}

void lzi_futex_wake(uint32_t *word)
{
	lzi_futex_wake_some(word, INT_MAX);
}

void lzi_futex_wake_some(uint32_t *word, int count)
{
	(void)syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0);
}
