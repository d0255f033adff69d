/*
 * A ring of jobs that threads work off beside the caller: handed in and taken back in order, worked on in any. The
 * caller fills the job at `submitted` % depth, submits it, and waits for jobs from the oldest on; while it waits it
 * works too. So without threads everything still gets done. Threads start as there is work for them.
 *
 * With `emit` jobs are not taken back but handed on: in order, one at a time, by whoever is done with the one that is
 * next. The caller then waits only when the ring is full.
 */
#ifndef LZI_SNAP_WORK_H
#define LZI_SNAP_WORK_H

#include <pthread.h>
#include <stdint.h>

#define LZI_WORK_THREADS_MAX 16u
#define LZI_WORK_DEPTH_MAX 40u

struct lzi_work {
	/* thread: 0 the caller, 1 and on the threads; each has one job at a time. */
	void (*run)(void *arg, unsigned slot, unsigned thread);
	void (*emit)(void *arg, unsigned slot); /* NULL, or set before the first job */
	void *arg;
	unsigned depth, threads;
	unsigned created;   /* threads there are; only the caller writes it */
	unsigned started;   /* of them have a number */
	uint64_t submitted; /* jobs handed in; only the caller writes it */
	uint64_t taken;     /* by a thread or the caller, in order */
	uint64_t emitted;   /* of them handed on */
	int emitting;       /* somebody is handing on */
	int stop;
	uint8_t done[LZI_WORK_DEPTH_MAX];
	pthread_mutex_t mutex;
	pthread_cond_t work, finished;
	pthread_t thread[LZI_WORK_THREADS_MAX];
};

/* threads 0: as many as there are processors for us, at most 4. depth is set from it. */
int lzi_work_init(struct lzi_work *work, unsigned threads, void (*run)(void *arg, unsigned slot, unsigned thread),
                  void *arg);
/* Jobs that nobody has begun are dropped. */
void lzi_work_fini(struct lzi_work *work);
void lzi_work_submit(struct lzi_work *work);
/* Until job `number` (counted from 0, by submits) is done. */
void lzi_work_wait(struct lzi_work *work, uint64_t number);
/* With `emit`: until at most `most` jobs have not been handed on. 0: none, and nobody is at it any more. */
void lzi_work_settle(struct lzi_work *work, uint64_t most);

#endif
