/*
 * The shape of a mutex in shared memory. The calls on it are in os/: they may block.
 */
#ifndef LZI_BASE_MUTEX_H
#define LZI_BASE_MUTEX_H

#include <pthread.h>
#include <stdint.h>

/* A robust process-shared mutex and who has it. A dead holder's mutex goes to the next taker with EOWNERDEAD, who
 * repairs what it guards; a living holder is never robbed. holder_pid is for error texts only. */
struct lzi_mutex {
	pthread_mutex_t mutex;
	uint32_t holder_pid;
	uint8_t pad[64 - sizeof(pthread_mutex_t) - 4];
};
_Static_assert(sizeof(struct lzi_mutex) == 64, "one line");

#endif
