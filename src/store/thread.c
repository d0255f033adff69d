/*
 * Threads and forks: which slot the calling thread has in which store. A thread takes a slot on its first call and
 * gives it back at its exit (or when the store is closed); a forked child shares nothing but the memory and attaches
 * anew.
 */
#include "config.h"

#include <stdlib.h>

#include "base/error.h"
#include "store/audit.h"
#include "store/seal.h"

/* Slots that are said to be free, and are other threads' of this process. */
#define CLAIMS_MAX 8u

unsigned lzi_fork_count;
struct lzi_store *lzi_registry_first;
struct lzi_store *lzi_registry_inherited;

static pthread_mutex_t registry = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t reattaching = PTHREAD_MUTEX_INITIALIZER; /* taken before `registry` */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static int init_error;

/* The store the thread used last, and all it has used. Every call looks here: initial-exec makes it one load instead of
 * a call, for 24 bytes (and 8 of lzi_waited_ns) of the reserve that the C library keeps for libraries loaded late. */
static __thread __attribute__((tls_model("initial-exec"))) struct {
	uint64_t store_id;
	struct lzi_actor *actor;
	uint32_t index;
} last;
static __thread struct lzi_thread *threads;

void lzi_registry_lock(void)
{
	pthread_mutex_lock(&registry);
}

void lzi_registry_unlock(void)
{
	pthread_mutex_unlock(&registry);
}

void lzi_reattach_lock(void)
{
	pthread_mutex_lock(&reattaching);
}

void lzi_reattach_unlock(void)
{
	pthread_mutex_unlock(&reattaching);
}

static struct lzi_actor *actor_of(const struct lzi_thread *thread)
{
	return thread->own != NULL ? thread->own : lzi_control_actor(&thread->store->control, thread->index);
}

static void free_thread(struct lzi_thread *thread)
{
	free(thread->own);
	free(thread);
}

/* The store's list has it no more; the slot is given back by the thread that holds it, the one we are. */
static void give_back(struct lzi_thread *thread)
{
	struct lzi_store *store = thread->store;
	struct lzi_actor *actor = actor_of(thread);
	struct lzi_thread **at;
	int last_one;

	pthread_mutex_lock(&store->mutex);
	lzi_seal_part(store, thread->index); /* as long as the list says that the index is ours */
	pthread_mutex_lock(&store->list_mutex);
	for (at = &store->first_thread; *at != NULL && *at != thread; at = &(*at)->next_of_store)
		;
	if (*at != NULL)
		*at = thread->next_of_store;
	pthread_mutex_unlock(&store->list_mutex);
	if (store->open) {
		if (actor->extent != 0)
			lzi_heap_leave(&store->heap, actor->extent - 1);
		if (actor->clean_extent != 0)
			lzi_heap_leave(&store->heap, actor->clean_extent - 1);
		if (actor->clean_window != 0)
			lzi_heap_leave(&store->heap, actor->clean_window - 1);
	}
	if (thread->own == NULL)
		lzi_actor_release(&store->control, thread->index);
	pthread_mutex_lock(&store->list_mutex);
	last_one = --store->threads == 0 && !store->open;
	pthread_mutex_unlock(&store->list_mutex);
	pthread_mutex_unlock(&store->mutex);
	if (last.store_id == thread->store_id)
		last.store_id = 0;
	free_thread(thread);
	if (last_one)
		lzi_store_free(store);
}

/* The thread exits. */
static void thread_exits(void *arg)
{
	struct lzi_thread *thread = threads, *next;

	(void)arg;
	threads = NULL;
	lzi_wait_begin(); /* what its last call had no patience for is no matter of the exit's */
	for (; thread != NULL; thread = next) {
		next = thread->next_of_thread;
		if (thread->store->fork_count == lzi_fork_count)
			give_back(thread);
		else
			free_thread(thread);
	}
}

/* A child must not find either held for ever by a thread that it does not have. */
static void fork_prepare(void)
{
	pthread_mutex_lock(&reattaching);
	pthread_mutex_lock(&registry);
}

static void fork_parent(void)
{
	pthread_mutex_unlock(&registry);
	pthread_mutex_unlock(&reattaching);
}

/* The child must not keep its parent's locks alive, nor its files: its copies of the descriptors go. The memory stays
 * mapped: views borrowed before the fork can still be read. */
static void close_copies(struct lzi_store *store)
{
	lzi_file_close(store->control.fd);
	lzi_file_close(store->heap.fd);
	lzi_file_close(store->heap.dir_fd);
	lzi_file_close(store->table.fd);
	lzi_file_close(store->looked.fd);
	lzi_file_close(store->dirfd);
	lzi_file_close(store->poolfd);
	lzi_file_close(store->feed.fd);
	lzi_file_close(store->hear.fd);
	lzi_file_close(store->locks.fd);
	if (store->counters.ready)
		lzi_file_close(store->counters.fd);
	lzi_file_close(store->image.fd);
	lzi_file_close(store->image.note_fd);
	lzi_file_close(store->persist.dirfd);
	lzi_file_close(store->persist.old_dirfd);
	lzi_file_close(store->persist.lockfd);
	lzi_file_close(store->persist.wal.fd);
	lzi_audit_forget(store);
}

static void fork_child(void)
{
	struct lzi_store *store, **end = &lzi_registry_first;

	lzi_fork_count++;
	for (store = lzi_registry_first; store != NULL; store = store->next) {
		close_copies(store);
		end = &store->next;
	}
	*end = lzi_registry_inherited;
	lzi_registry_inherited = lzi_registry_first;
	for (store = lzi_registry_inherited; store != NULL; store = store->next)
		lzi_seal_forked(store);
	lzi_registry_first = NULL;
	last.store_id = 0;
	threads = NULL;
	fork_parent();
}

static void init(void)
{
	init_error = pthread_key_create(&key, thread_exits);
	if (init_error == 0)
		init_error = pthread_atfork(fork_prepare, fork_parent, fork_child);
}

int lzi_thread_init(void)
{
	pthread_once(&once, init);
	return init_error == 0 ? LATZ_OK : lzi_error_sys(init_error, "prepare for threads and forks");
}

/* That no other thread of who only reads has: nothing of the pool's goes by it. */
static uint32_t lowest_index(struct lzi_store *store)
{
	const struct lzi_thread *thread;
	uint32_t index = 0;

	pthread_mutex_lock(&store->list_mutex);
	for (thread = store->first_thread; thread != NULL;) {
		if (thread->index != index) {
			thread = thread->next_of_store;
			continue;
		}
		index++;
		thread = store->first_thread;
	}
	pthread_mutex_unlock(&store->list_mutex);
	return index;
}

/* A slot of the pool's; of who only reads, one that is in nothing but this process's memory. */
static int claim(struct lzi_store *store, struct lzi_thread *thread)
{
	if (!store->reads_only)
		return lzi_actor_claim(&store->control, store->client, lzi_mend_actor, store, &thread->index);
	thread->index = lowest_index(store);
	if (thread->own == NULL)
		thread->own = calloc(1, sizeof *thread->own);
	return thread->own != NULL ? LATZ_OK : lzi_error(LATZ_NOMEM, "thread slot");
}

/* Into the store's list, unless another thread of ours has that index there: what goes by it in our own memory,
 * ciphers and their nonces, is one thread's only. Then 0. */
static int enter(struct lzi_store *store, struct lzi_thread *thread)
{
	const struct lzi_thread *other;

	pthread_mutex_lock(&store->list_mutex);
	for (other = store->first_thread; other != NULL && other->index != thread->index; other = other->next_of_store)
		;
	if (other == NULL) {
		thread->next_of_store = store->first_thread;
		store->first_thread = thread;
		store->threads++;
	}
	pthread_mutex_unlock(&store->list_mutex);
	return other == NULL;
}

/* Of two that only read, both may have found the same index free: the other has it now, and there is a next. A slot
 * that a living thread has is free only if somebody has scribbled over it: it stays, marked as used. */
static int claim_alone(struct lzi_store *store, struct lzi_thread *thread)
{
	unsigned i;
	int rc;

	for (i = 0; i < CLAIMS_MAX || store->reads_only; i++) {
		rc = claim(store, thread);
		if (rc != LATZ_OK || enter(store, thread))
			return rc;
		if (!store->reads_only)
			lzi_mutex_unlock(&lzi_control_actor(&store->control, thread->index)->alive);
	}
	return lzi_error(LATZ_CORRUPT, "thread slot %u is free, and another thread's of this process", thread->index);
}

static LZI_NOINLINE int find_slow(struct lzi_store *store, struct lzi_call *ret_call)
{
	struct lzi_thread *thread;
	int rc = store->reads_only ? lzi_reader_check(store) : LATZ_OK;

	if (rc != LATZ_OK)
		return rc;
	for (thread = threads; thread != NULL; thread = thread->next_of_thread) {
		if (thread->store_id == store->id)
			break;
	}
	if (thread == NULL) {
		thread = calloc(1, sizeof *thread);
		if (thread == NULL || pthread_setspecific(key, thread) != 0) {
			free(thread);
			return lzi_error(LATZ_NOMEM, "thread slot");
		}
		thread->store = store;
		thread->store_id = store->id;
		rc = claim_alone(store, thread);
		if (rc != LATZ_OK) {
			free_thread(thread);
			pthread_setspecific(key, threads);
			return rc;
		}
		thread->next_of_thread = threads;
		threads = thread;
	}
	ret_call->store = store;
	ret_call->actor = actor_of(thread);
	ret_call->index = thread->index;
	if (store->reads_only)
		return LATZ_OK; /* each of its calls comes here, to look whether the pool is still there */
	last.store_id = store->id;
	last.index = ret_call->index;
	last.actor = ret_call->actor;
	return LATZ_OK;
}

int lzi_thread_find(struct lzi_store *store, struct lzi_call *ret_call)
{
	if (lzi_unlikely(last.store_id != store->id))
		return find_slow(store, ret_call);
	ret_call->store = store;
	ret_call->actor = last.actor;
	ret_call->index = last.index;
	return LATZ_OK;
}

int lzi_store_call(struct lzi_store **store, struct lzi_call *ret_call)
{
	int rc;

	lzi_wait_begin();
	if (lzi_unlikely((*store)->fork_count != lzi_fork_count)) {
		rc = lzi_store_reattach(store);
		if (rc != LATZ_OK)
			return lzi_error_prefix(rc, "attach again after fork");
	}
	if (lzi_unlikely(lzi_store_dead(*store)))
		return lzi_error(LATZ_DEAD, "pool %s was destroyed", (*store)->name);
	return lzi_thread_find(*store, ret_call);
}

void lzi_thread_leave(struct lzi_store *store)
{
	struct lzi_thread **at, *thread;
	struct lzi_thread *own = NULL;

	for (at = &threads; *at != NULL; at = &(*at)->next_of_thread) {
		if ((*at)->store_id == store->id) {
			own = *at;
			*at = own->next_of_thread;
			break;
		}
	}
	if (own != NULL) {
		pthread_setspecific(key, threads);
		give_back(own);
	}
	/* Other threads are in no call now. Their slots are theirs to give back; their extents need not wait for it. */
	pthread_mutex_lock(&store->mutex);
	for (thread = store->first_thread; thread != NULL; thread = thread->next_of_store) {
		struct lzi_actor *actor = actor_of(thread);

		if (actor->extent != 0)
			lzi_heap_leave(&store->heap, actor->extent - 1);
		if (actor->clean_extent != 0)
			lzi_heap_leave(&store->heap, actor->clean_extent - 1);
		if (actor->clean_window != 0)
			lzi_heap_leave(&store->heap, actor->clean_window - 1);
		actor->extent = actor->clean_extent = actor->clean_window = 0;
	}
	pthread_mutex_unlock(&store->mutex);
}
