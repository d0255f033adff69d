/*
 * The shape of a mutex in shared memory. The calls on it are in os/: they may block.
 */
#ifndef LZI_BASE_MUTEX_H
#define LZI_BASE_MUTEX_H

#include <stdint.h>

/* A robust mutex and who has it. A dead holder's mutex goes to the next taker with LZI_OWNER_DIED, who repairs what it
 * guards; a living holder is never robbed. holder_pid is for error texts, and with `check` for how long is waited. */
struct lzi_mutex {
	uint32_t word;  /* 0: as the kernel wants it of a robust futex: thread id, FUTEX_WAITERS, FUTEX_OWNER_DIED */
	uint8_t pad0[12];
	uint8_t link[24]; /* 16: of what a thread holds; for the kernel. Where in it is the C library's choice */
	uint32_t holder_pid; /* 40 */
	uint32_t check;      /* 44: of holder_pid and thread id: tells a holder from what somebody has scribbled */
	uint8_t pad1[16];
};
_Static_assert(sizeof(struct lzi_mutex) == 64, "one line");

#endif
