/*
 * The guard: a process, one a runtime directory, that looks after pools whose last user was killed: ephemeral ones it
 * takes away, and what a durable one has not got on the disk yet it brings there. It waits on the life byte of every
 * pool; the kernel grants it when the last user is gone, however that went. It ends when there is nothing left to
 * guard. Started on demand by latz_open() and latz_persist().
 *
 * A kept pool stays for good, and nobody need wait for it while it is not in use. That it may need somebody is told by
 * its life byte being held, or by slots of clients that never gave theirs back.
 *
 * It holds a lock on `.guard` while it lives. It ends only with the directory locked exclusively and no pool in it, and
 * latz_open() looks for it with the directory locked shared, after its pool is in place: so no pool is overlooked.
 */
#include "config.h"

#include "store/guard.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "store/lifetime.h"

#define GUARD_FILE ".guard"
#define GUARD_BYTE 0
#define LINGER_MS 300
#define RESCAN_MS 500
#define POLL_MS 100

void lzi_guard_ensure(int dirfd, const char *dir)
{
	const char *path = getenv("LATZERO_GUARD");
	int fd, held = 0;

	if (lzi_file_open(dirfd, GUARD_FILE, 1, &fd) == LATZ_OK) {
		held = lzi_ofd_held(fd, GUARD_BYTE);
		lzi_file_close(fd);
	}
	if (held)
		return;
	if (path == NULL || *path == '\0')
		path = LATZ_GUARD_PATH;
	if (lzi_process_spawn(path, dir) != LATZ_OK)
		lzi_log(LATZ_LOG_INFO,
		        "no guard: %s; a pool whose last user is killed stays until the next open or list",
		        lzi_error_text());
}

/* A pool being waited for. */
struct watch {
	struct guard *guard;
	struct lzi_opened opened;
	char name[65];
	struct watch *next;
};

struct guard {
	const char *dir;
	int dirfd, lockfd;
	pthread_mutex_t mutex;
	struct watch *first; /* under mutex */
	int wakefd;
};

static void forget(struct watch *watch)
{
	struct guard *guard = watch->guard;
	struct watch **at;

	pthread_mutex_lock(&guard->mutex);
	for (at = &guard->first; *at != watch; at = &(*at)->next)
		;
	*at = watch->next;
	lzi_opened_close(&watch->opened);
	free(watch);
	pthread_mutex_unlock(&guard->mutex);
}

int lzi_guard_wanted(const struct lzi_control *control)
{
	return !lzi_pool_is_kept(control) || lzi_pool_is_durable(control);
}

/* Nobody is attached: the life byte is ours alone. */
static void end_of(struct watch *watch)
{
	struct lzi_control *control = &watch->opened.control;

	if (lzi_pool_is_durable(control)) {
		/* Who closed a kept pool has written everything before. */
		if (lzi_pool_wants_tending(control)) {
			lzi_ofd_unlock(control->fd, LZI_LOCK_LIFE);
			lzi_pool_tend(watch->guard->dir, watch->name);
		}
	} else if (!lzi_pool_is_kept(control)) {
		lzi_pool_remove(watch->guard->dirfd, watch->name, watch->opened.poolfd, control);
	}
}

static void *wait_for_end(void *arg)
{
	struct watch *watch = arg;
	struct lzi_opened *opened = &watch->opened;

	if (lzi_ofd_wait(opened->control.fd, LZI_LOCK_LIFE, 1) == LATZ_OK &&
	    lzi_file_same(opened->poolfd, "pool", opened->control.fd))
		end_of(watch);
	forget(watch);
	return NULL;
}

static int is_watched(struct guard *guard, const char *name)
{
	struct watch *watch;

	for (watch = guard->first; watch != NULL; watch = watch->next) {
		if (strcmp(watch->name, name) == 0 && lzi_dir_same(guard->dirfd, name, watch->opened.poolfd))
			return 1;
	}
	return 0;
}

/* A pool whose log can't be written stays in memory whoever leaves it: there is nothing to be waited for. */
static int is_to_be_watched(const struct lzi_control *control)
{
	return lzi_guard_wanted(control) && !lzi_pool_keeps_itself(control) &&
	       (!lzi_pool_is_kept(control) || lzi_ofd_held(control->fd, LZI_LOCK_LIFE) ||
	        lzi_pool_has_clients(control, 0));
}

static void watch_pool(struct guard *guard, const char *name)
{
	struct watch *watch;
	pthread_attr_t attr;
	pthread_t thread;

	if (is_watched(guard, name) || (watch = calloc(1, sizeof *watch)) == NULL)
		return;
	watch->guard = guard;
	strncpy(watch->name, name, sizeof watch->name - 1);
	if (lzi_pool_peek(guard->dirfd, name, &watch->opened) != LATZ_OK) {
		free(watch);
		return;
	}
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 256 * 1024);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if (!is_to_be_watched(&watch->opened.control) ||
	    pthread_create(&thread, &attr, wait_for_end, watch) != 0) {
		lzi_opened_close(&watch->opened);
		free(watch);
	} else {
		watch->next = guard->first;
		guard->first = watch;
	}
	pthread_attr_destroy(&attr);
}

/* Watches every pool that wants it. Returns how many are watched. */
static size_t scan(struct guard *guard)
{
	struct watch *watch;
	size_t count = 0, i, n = 0;
	char **names;

	if (lzi_dir_read(guard->dirfd, &names, &count) != LATZ_OK)
		return 1;
	pthread_mutex_lock(&guard->mutex);
	for (i = 0; i < count; i++) {
		if (lzi_name_valid(names[i]))
			watch_pool(guard, names[i]);
	}
	for (watch = guard->first; watch != NULL; watch = watch->next)
		n++;
	pthread_mutex_unlock(&guard->mutex);
	lzi_dir_free(names, count);
	return n;
}

/* Ends the guard if there is nothing left, for sure. */
static int try_end(struct guard *guard)
{
	unsigned removed;

	if (lzi_dir_lock(guard->dirfd, 1, 0) != LATZ_OK)
		return 0;
	lzi_dir_sweep_parts(guard->dirfd);
	if (scan(guard) == 0) {
		lzi_file_remove(guard->dirfd, GUARD_FILE);
		return 1; /* the process's end lets both locks go */
	}
	lzi_dir_unlock(guard->dirfd);
	(void)!lzi_dir_sweep(guard->dirfd, &removed);
	return 0;
}

int lzi_guard_begin(const char *dir, struct guard **ret_guard)
{
	struct guard *guard = calloc(1, sizeof *guard);
	int rc;

	if (guard == NULL)
		return LATZ_NOMEM;
	pthread_mutex_init(&guard->mutex, NULL);
	guard->lockfd = guard->wakefd = -1;
	guard->dir = dir;
	rc = lzi_dir_open(dir, 0, 0, &guard->dirfd);
	if (rc == LATZ_OK) {
		rc = lzi_file_open(guard->dirfd, GUARD_FILE, 1, &guard->lockfd);
		if (rc == LATZ_NOTFOUND && lzi_file_create(guard->dirfd, GUARD_FILE, 0600, &guard->lockfd) == LATZ_OK)
			rc = LATZ_OK;
	}
	if (rc == LATZ_OK)
		rc = lzi_ofd_try(guard->lockfd, GUARD_BYTE, 1);
	if (rc == LATZ_OK && !lzi_file_same(guard->dirfd, GUARD_FILE, guard->lockfd))
		rc = LATZ_BUSY; /* another guard's end was faster */
	if (rc == LATZ_OK && lzi_dir_watch(guard->dirfd, dir, &guard->wakefd) != LATZ_OK)
		guard->wakefd = -1; /* the user's watches are used up, perhaps: then we look often */
	if (rc != LATZ_OK) {
		free(guard);
		return rc;
	}
	*ret_guard = guard;
	return LATZ_OK;
}

void lzi_guard_run(struct guard *guard)
{
	int idle_ms = 0;

	for (;;) {
		size_t n;

		lzi_wait_begin();
		n = scan(guard);
		if (!lzi_dir_exists(guard->dirfd))
			return;
		idle_ms = n == 0 ? idle_ms : 0;
		if (n == 0 && idle_ms >= LINGER_MS && try_end(guard))
			return;
		/* A new pool wakes us at once; an unheard of event costs half a second. */
		if (lzi_dir_wait(guard->wakefd, n == 0 || guard->wakefd < 0 ? POLL_MS : RESCAN_MS))
			idle_ms = 0;
		else
			idle_ms += POLL_MS;
	}
}
