/*
 * Staged extents: the caller fills one after another, a thread writes them; without the thread the caller does.
 */
#include "config.h"

#include "store/stage.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/* Extents under way: one of them is being filled, one written. */
#define BUFFERS 8u

struct lzi_stage {
	struct lzi_call *call;
	uint8_t *memory; /* BUFFERS extents */
	uint64_t extent[BUFFERS];
	int open; /* the one at `filled` is being filled; only the caller looks at it */
	uint64_t tail; /* bytes of it that are. Its account says the same, but that others can write: this leads where
	                  we write in memory of our own */
	int has_thread, stop;
	uint64_t filled, written; /* extents so far */
	int rc;                   /* the first failure of writing */
	char detail[LZI_ERROR_DETAIL_SIZE];
	pthread_mutex_t mutex;
	pthread_cond_t moved;
	pthread_t thread;
};

static uint8_t *buffer_at(const struct lzi_stage *stage, uint64_t number)
{
	return stage->memory + number % BUFFERS * LZI_EXTENT;
}

/* Writes the oldest. Under the mutex, which is let go meanwhile. */
static void write_one(struct lzi_stage *stage)
{
	uint64_t number = stage->written;
	int rc = stage->rc;

	pthread_mutex_unlock(&stage->mutex);
	if (rc == LATZ_OK)
		rc = lzi_file_write_at(stage->call->store->heap.fd, buffer_at(stage, number), LZI_EXTENT,
		                       stage->extent[number % BUFFERS] * LZI_EXTENT);
	pthread_mutex_lock(&stage->mutex);
	if (rc != LATZ_OK && stage->rc == LATZ_OK) {
		stage->rc = rc;
		snprintf(stage->detail, sizeof stage->detail, "%s", lzi_error_text());
	}
	stage->written++;
	pthread_cond_broadcast(&stage->moved);
}

static void *run(void *arg)
{
	struct lzi_stage *stage = arg;

	pthread_mutex_lock(&stage->mutex);
	for (;;) {
		if (stage->written < stage->filled)
			write_one(stage);
		else if (stage->stop)
			break;
		else
			pthread_cond_wait(&stage->moved, &stage->mutex);
	}
	pthread_mutex_unlock(&stage->mutex);
	return NULL;
}

/* Until at most `most` filled extents have not been written. */
static int settle(struct lzi_stage *stage, uint64_t most)
{
	int rc;

	pthread_mutex_lock(&stage->mutex);
	while (stage->filled - stage->written > most) {
		if (stage->has_thread)
			pthread_cond_wait(&stage->moved, &stage->mutex);
		else
			write_one(stage);
	}
	rc = stage->rc;
	pthread_mutex_unlock(&stage->mutex);
	return rc == LATZ_OK ? rc : lzi_error(rc, "%s", stage->detail);
}

int lzi_stage_begin(struct lzi_call *call, struct lzi_stage **ret_stage)
{
	struct lzi_stage *stage = calloc(1, sizeof *stage);
	sigset_t all, before;

	if (stage == NULL || posix_memalign((void **)&stage->memory, LZI_PAGE, (size_t)BUFFERS * LZI_EXTENT) != 0) {
		free(stage);
		return lzi_error(LATZ_NOMEM, "extents to be loaded");
	}
	stage->call = call;
	pthread_mutex_init(&stage->mutex, NULL);
	pthread_cond_init(&stage->moved, NULL);
	/* The program's signals are none of the thread's business. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	stage->has_thread = pthread_create(&stage->thread, NULL, run, stage) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	*ret_stage = stage;
	return LATZ_OK;
}

/* The extent being filled is full, or the last. */
static void submit(struct lzi_stage *stage)
{
	struct lzi_heap *heap = &stage->call->store->heap;
	uint64_t extent = stage->extent[stage->filled % BUFFERS];

	memset(buffer_at(stage, stage->filled) + stage->tail, 0, LZI_EXTENT - stage->tail);
	lzi_heap_leave(heap, extent);
	stage->open = 0;
	pthread_mutex_lock(&stage->mutex);
	stage->filled++;
	pthread_cond_broadcast(&stage->moved);
	pthread_mutex_unlock(&stage->mutex);
}

int lzi_stage_room(struct lzi_stage *stage, struct lzi_draft *draft)
{
	struct lzi_heap *heap = &stage->call->store->heap;
	uint64_t *extent = &stage->extent[stage->filled % BUFFERS];
	int rc;

	if (stage->open && stage->tail + draft->span > LZI_EXTENT)
		submit(stage);
	if (!stage->open) {
		rc = settle(stage, BUFFERS - 1);
		extent = &stage->extent[stage->filled % BUFFERS];
		if (rc == LATZ_OK)
			rc = lzi_heap_take_bare(heap, stage->call->index, extent);
		if (rc != LATZ_OK)
			return rc;
		stage->open = 1;
		stage->tail = 0;
	}
	draft->offset = *extent * LZI_EXTENT + stage->tail;
	draft->record = (struct lzi_record *)(buffer_at(stage, stage->filled) + stage->tail);
	stage->tail += draft->span;
	/* What the record leaves of its last unit. */
	memset((uint8_t *)draft->record + draft->span - LZI_UNIT, 0, LZI_UNIT);
	return LATZ_OK;
}

int lzi_stage_end(struct lzi_stage *stage)
{
	int rc;

	if (stage->open)
		submit(stage);
	rc = settle(stage, 0);
	pthread_mutex_lock(&stage->mutex);
	stage->stop = 1;
	pthread_cond_broadcast(&stage->moved);
	pthread_mutex_unlock(&stage->mutex);
	if (stage->has_thread)
		pthread_join(stage->thread, NULL);
	pthread_cond_destroy(&stage->moved);
	pthread_mutex_destroy(&stage->mutex);
	free(stage->memory);
	free(stage);
	return rc;
}
