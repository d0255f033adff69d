/*
 * A thread of this process's own that works, naps, and ends when it is told to: the janitor and the scribe are two.
 */
#ifndef LZI_STORE_WORKER_H
#define LZI_STORE_WORKER_H

#include <pthread.h>

struct lzi_worker {
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	int runs;  /* for who starts and stops it */
	int stops; /* under `mutex`; read without it */
};

void lzi_worker_init(struct lzi_worker *worker);
void lzi_worker_fini(struct lzi_worker *worker);
/* Starts run(arg), unless it runs already. One at a time starts or stops a worker. */
int lzi_worker_start(struct lzi_worker *worker, const char *name, void *(*run)(void *arg), void *arg);
/* Tells it to stop. Who has several to stop tells them all first: each may be waiting for a dead or stopped process. */
void lzi_worker_tell(struct lzi_worker *worker);
/* Returns when it has ended; for good: it is not started again. */
void lzi_worker_stop(struct lzi_worker *worker);
/* The worker itself: whether it is told to stop, before it waits in a way of its own. */
int lzi_worker_stops(const struct lzi_worker *worker);
/* The worker itself: waits; 1 when told to stop. */
int lzi_worker_nap(struct lzi_worker *worker, unsigned ms);
/* Ends its nap. */
void lzi_worker_poke(struct lzi_worker *worker);

#endif
