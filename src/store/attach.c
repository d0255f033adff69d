/*
 * Attaching and detaching. See ARCHITECTURE's "Lifetime" in doc/architecture.md for the protocol:
 *
 * attach: open the control file; lock the life byte shared; then look whether the path still names this file and the
 * pool is live, else start over. detach: unlock the life byte, try to lock it exclusively: whoever gets it is the last,
 * and takes the files away. Two that leave at once both unlock before they try, so one of them succeeds.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/error.h"
#include "base/log.h"
#include "base/point.h"
#include "store/retain.h"
#include "store/audit.h"
#include "store/carry.h"
#include "store/feed.h"
#include "store/idle.h"
#include "store/lifetime.h"
#include "store/seal.h"
#include "store/counter.h"
#include "store/log.h"
#include "store/pack.h"
#include "store/space.h"

/* Attempts of 1 ms when a pool is being made or taken away by somebody else. */
#define ATTEMPTS 5000
/* ... or keeps its persist directory locked, after having waited for that. */
#define REFUSALS 3
#define GUARD_WAIT_NS 200000000u
#define LEAVING_ROUNDS 3

int lzi_control_map(struct lzi_control *control, int fd, int writable)
{
	struct lzi_header *header = malloc(sizeof *header);
	void *base = MAP_FAILED;
	int rc = header != NULL ? lzi_file_read(fd, header, sizeof *header) : lzi_error(LATZ_NOMEM, "a header");
	uint64_t size;

	if (rc == LATZ_OK)
		rc = lzi_file_size(fd, &size);
	if (rc == LATZ_OK)
		rc = lzi_header_validate(header, size);
	/* Up to the thread slots it must have its blocks: a hole on a full disk can't be touched. */
	if (rc == LATZ_OK) {
		base = lzi_os.mmap(NULL, header->file_size, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED,
		                   fd, 0);
		if (base == MAP_FAILED)
			rc = lzi_error(LATZ_NOMEM, "map the control file");
	}
	if (rc != LATZ_OK) {
		free(header);
		return rc;
	}
	control->base = base;
	control->header = header;
	control->shared = (struct lzi_shared *)(void *)(control->base + LZI_PAGE);
	control->fd = fd;
	control->timeout_ms = 1000;
	return LATZ_OK;
}

void lzi_control_unmap(struct lzi_control *control)
{
	if (control->base != NULL) {
		munmap(control->base, control->header->file_size);
		free((void *)(uintptr_t)control->header);
	}
	control->base = NULL;
	control->header = NULL;
}

void lzi_opened_close(struct lzi_opened *opened)
{
	lzi_control_unmap(&opened->control);
	lzi_file_close(opened->control.fd);
	lzi_file_close(opened->poolfd);
	lzi_file_close(opened->persist_lock - 1);
	lzi_secrets_give(opened->secrets);
	opened->secrets = NULL;
	opened->control.fd = opened->poolfd = -1;
	opened->persist_lock = 0;
}

int lzi_pool_peek(int dirfd, const char *name, struct lzi_opened *ret_opened)
{
	struct lzi_opened opened = { .poolfd = -1, .control = { .fd = -1 } };
	int rc = lzi_dir_open_at(dirfd, name, &opened.poolfd);

	if (rc == LATZ_OK) {
		rc = lzi_file_open(opened.poolfd, "pool", 1, &opened.control.fd);
		if (rc == LATZ_NOTFOUND)
			rc = lzi_dir_same(dirfd, name, opened.poolfd)
			             ? lzi_error(LATZ_CORRUPT, "directory %s holds no pool", name)
			             : LATZ_BUSY; /* just being taken away */
	}
	if (rc == LATZ_OK)
		rc = lzi_control_map(&opened.control, opened.control.fd, 1);
	if (rc != LATZ_OK) {
		lzi_opened_close(&opened);
		return rc;
	}
	*ret_opened = opened;
	return LATZ_OK;
}

/* What a durable pool holds may not be in its log yet. */
int lzi_pool_stays(const struct lzi_control *control)
{
	return (control->header->flags & LATZ_KEEP) != 0 ||
	       lzi_load_acquire(&control->shared->durable) != LZI_DURABLE_OFF;
}

int lzi_pool_is_old(const struct lzi_control *control)
{
	uint8_t boot_id[16];

	lzi_boot_id(boot_id);
	return memcmp(boot_id, control->header->boot_id, sizeof boot_id) != 0;
}

/* Nobody is attached: the life byte is ours alone. 1 if the pool is to go. */
static int is_leftover(const struct lzi_control *control)
{
	return !lzi_pool_stays(control) ||
	       (lzi_load_acquire(&control->shared->durable) == LZI_DURABLE_OFF && lzi_idle_over(control)) ||
	       lzi_pool_is_old(control) || lzi_load_acquire(lzi_control_state(control)) != LZI_STATE_LIVE;
}

int lzi_pool_open(int dirfd, const char *name, struct lzi_opened *ret_opened, int *ret_alone)
{
	struct lzi_opened opened;
	int rc = lzi_pool_peek(dirfd, name, &opened);

	if (rc != LATZ_OK)
		return rc;
	*ret_alone = lzi_ofd_try(opened.control.fd, LZI_LOCK_LIFE, 1) == LATZ_OK;
	if (*ret_alone && lzi_file_same(opened.poolfd, "pool", opened.control.fd) && is_leftover(&opened.control)) {
		lzi_pool_remove(dirfd, name, opened.poolfd, &opened.control);
		lzi_opened_close(&opened);
		return LATZ_BUSY;
	}
	LZI_POINT("attach.before_life");
	if (!*ret_alone)
		rc = lzi_ofd_try(opened.control.fd, LZI_LOCK_LIFE, 0);
	LZI_POINT("attach.life");
	if (rc == LATZ_OK &&
	    (!lzi_dir_same(dirfd, name, opened.poolfd) || !lzi_file_same(opened.poolfd, "pool", opened.control.fd) ||
	     lzi_load_acquire(lzi_control_state(&opened.control)) != LZI_STATE_LIVE))
		rc = LATZ_BUSY;
	/* Who marked it may have died before he could take it away, and others may stay attached to it for long. */
	if (rc == LATZ_BUSY && lzi_load_acquire(lzi_control_state(&opened.control)) == LZI_STATE_DEAD)
		lzi_pool_remove(dirfd, name, opened.poolfd, &opened.control);
	if (rc != LATZ_OK) {
		lzi_opened_close(&opened);
		return rc;
	}
	*ret_opened = opened;
	return LATZ_OK;
}

/* Whether a pool that is not there is to be made. */
static int may_create(const char *name, const latz_options *options)
{
	return (options->flags & LATZ_CREATE) != 0 ||
	       (options->persist_dir != NULL && lzi_persist_holds(options->persist_dir, name));
}

static int open_or_create(int dirfd, const char *name, const latz_options *options, struct lzi_fill *fill,
                          struct lzi_opened *ret_opened, int *ret_alone)
{
	int attempt, raced, refused = 0, rc = LATZ_BUSY;

	for (attempt = 0; attempt < ATTEMPTS; attempt++) {
		rc = lzi_pool_open(dirfd, name, ret_opened, ret_alone);
		if (rc == LATZ_OK && options->flags & LATZ_EXCLUSIVE && (fill == NULL || !fill->replace)) {
			lzi_opened_close(ret_opened);
			return lzi_error(LATZ_EXISTS, "pool %s exists", name);
		}
		if (rc == LATZ_OK && fill != NULL && fill->replace) {
			lzi_opened_close(ret_opened);
			rc = LATZ_NOTFOUND;
		}
		if (rc == LATZ_NOTFOUND && may_create(name, options)) {
			*ret_alone = 0;
			rc = lzi_pool_create(dirfd, name, options, fill, ret_opened, &raced);
			/* Who has the persist directory is making this very pool, or has another one. */
			if (raced || (rc == LZI_IN_USE && ++refused <= REFUSALS))
				continue;
			return rc;
		}
		if (rc != LATZ_BUSY)
			return rc == LATZ_NOTFOUND ? lzi_error(rc, "no pool %s", name) : rc;
		lzi_sleep_us(1000);
	}
	return lzi_error(LATZ_TIMEOUT, "pool %s is being made or taken away by another process", name);
}

int lzi_store_file(const struct lzi_store *store, const char *name, int *ret_fd)
{
	return store->reads_only ? lzi_file_look(store->poolfd, name, ret_fd)
	                         : lzi_file_open(store->poolfd, name, 1, ret_fd);
}

static int open_file(const struct lzi_store *store, const char *file, int *ret_fd)
{
	int rc = lzi_store_file(store, file, ret_fd);

	return rc == LATZ_NOTFOUND ? lzi_error(LATZ_CORRUPT, "pool has no file %s", file) : rc;
}

/* The mechanisms, on an opened pool. */
int lzi_store_open_parts(struct lzi_store *store)
{
	unsigned timeout_ms = store->control.timeout_ms;
	int heap_fd = -1, dir_fd = -1, table_fd = -1, writes = !store->reads_only, rc;

	rc = open_file(store, "table", &table_fd);
	if (rc == LATZ_OK)
		rc = open_file(store, "heap", &heap_fd);
	if (rc == LATZ_OK)
		rc = open_file(store, "extents", &dir_fd);
	if (rc != LATZ_OK) {
		lzi_file_close(table_fd);
		lzi_file_close(heap_fd);
		return rc;
	}
	lzi_index_init(&store->index, store->control.shared, store->poolfd, store->control.header->mode, timeout_ms);
	lzi_image_attach(store);
	lzi_table_env_make(store, &store->table.env);
	rc = writes ? lzi_index_check(&store->index) : LATZ_OK;
	if (rc == LATZ_OK)
		rc = lzi_table_open(writes ? &store->table : &store->looked, store->control.shared, table_fd,
		                    timeout_ms, writes);
	else
		lzi_file_close(table_fd);
	if (rc != LATZ_OK) {
		lzi_file_close(heap_fd);
		lzi_file_close(dir_fd);
		return rc;
	}
	return lzi_heap_open(&store->heap, store->control.shared, heap_fd, dir_fd, timeout_ms, writes);
}

struct lzi_store *lzi_store_new(const char *dir, const char *name, const latz_options *options)
{
	static uint64_t last_id;
	struct lzi_store *store = calloc(1, sizeof *store);

	if (store == NULL)
		return NULL;
	store->dir = lzi_path_absolute(dir); /* a forked child opens it again, from wherever it is by then */
	if (store->dir == NULL) {
		free(store);
		return NULL;
	}
	strncpy(store->name, name, sizeof store->name - 1);
	store->id = lzi_fetch_add(&last_id, 1ull) + 1;
	store->fork_count = lzi_fork_count;
	store->flags = options->flags & (LATZ_NO_THREAD | LATZ_NO_GUARD | (unsigned)LATZ_READONLY);
	store->refs = 1;
	store->client = UINT32_MAX;
	store->persist.dirfd = store->persist.lockfd = store->persist.old_dirfd = store->persist.wal.fd = -1;
	store->dirfd = store->poolfd = store->control.fd = store->heap.fd = store->heap.dir_fd = store->table.fd = -1;
	store->looked.fd = -1;
	pthread_mutex_init(&store->mutex, NULL);
	pthread_mutex_init(&store->hazard_mutex, NULL);
	pthread_mutex_init(&store->list_mutex, NULL);
	pthread_mutex_init(&store->image.mutex, NULL);
	pthread_mutex_init(&store->hear.mutex, NULL);
	store->hear.fd = -1;
	pthread_mutex_init(&store->feed.mutex, NULL);
	store->feed.fd = -1;
	pthread_mutex_init(&store->codec.mutex, NULL);
	pthread_mutex_init(&store->space.mutex, NULL);
	pthread_mutex_init(&store->hooks.mutex, NULL);
	pthread_mutex_init(&store->counters.mutex, NULL);
	pthread_mutex_init(&store->locks.mutex, NULL);
	store->locks.fd = -1;
	store->image.fd = store->image.note_fd = -1;
	lzi_worker_init(&store->janitor);
	lzi_worker_init(&store->scribe);
	lzi_worker_init(&store->office);
	return store;
}

void lzi_store_free(struct lzi_store *store)
{
	lzi_control_unmap(&store->control);
	pthread_mutex_destroy(&store->mutex);
	pthread_mutex_destroy(&store->hazard_mutex);
	pthread_mutex_destroy(&store->list_mutex);
	pthread_mutex_destroy(&store->image.mutex);
	pthread_mutex_destroy(&store->hear.mutex);
	pthread_mutex_destroy(&store->feed.mutex);
	free(store->evictor);
	pthread_mutex_destroy(&store->codec.mutex);
	pthread_mutex_destroy(&store->space.mutex);
	pthread_mutex_destroy(&store->hooks.mutex);
	free(store->space.doomed);
	pthread_mutex_destroy(&store->counters.mutex);
	pthread_mutex_destroy(&store->locks.mutex);
	lzi_worker_fini(&store->janitor);
	lzi_worker_fini(&store->scribe);
	lzi_worker_fini(&store->office);
	free(store->dir);
	free(store);
}

/* Alone with a kept pool, the life byte locked exclusively: nobody holds a mutex or scans, whatever the file says. Only
 * now that its files have been looked at is anything of it changed. */
static int take_over(struct lzi_store *store)
{
	int rc = lzi_control_init_mutexes(&store->control);

	if (rc == LATZ_OK)
		rc = lzi_space_take_over(store);
	if (rc == LATZ_OK) {
		lzi_log_mend(store);
		lzi_pin_drop_all(&store->control);
		lzi_locks_reset(store);
		rc = lzi_ofd_try(store->control.fd, LZI_LOCK_LIFE, 0); /* turns the lock into a shared one */
	}
	return rc;
}

/* Without its disk the pool works all the same, but for what needs it. */
static void join_log(struct lzi_store *store, int alone)
{
	const struct lzi_log_state *log = &store->control.shared->log;

	if (lzi_log_lock(store, 1) != LATZ_OK) {
		lzi_log(LATZ_LOG_INFO, "%s: %s", store->name, lzi_error_text()); /* as a warning when it broke */
		return;
	}
	/* Who was taking the pool away may have died after having left the directory. */
	if (alone && lzi_load_acquire(&log->broken) == 0 &&
	    lzi_owner_take(store, store->persist.dirfd, log->path, NULL) != LATZ_OK)
		lzi_log_break(store, LATZ_IO);
	lzi_log_unlock(store);
}

static void client_gone(uint32_t slot, void *store)
{
	lzi_audit_gone(store, slot);
}

/* A client slot for this process. In an audited pool all the dead are reaped first, not just one whose slot it is. */
static int claim_client(struct lzi_store *store, uint32_t flags, uint32_t *ret_had_pid)
{
	int rc = lzi_audit_attach(store);

	if (rc != LATZ_OK)
		return rc;
	/* The change feed tells of them when the slot is taken, or maintenance does. */
	if (lzi_is_audited(store) && !lzi_is_fed(store))
		(void)lzi_client_reap(&store->control, UINT32_MAX, client_gone, store);
	return lzi_client_claim(&store->control, flags, client_gone, store, &store->client, ret_had_pid);
}

/* The rest of joining for who only brings the log to the disk (lzi_fill.tends). Slots of the dead are what tells that
 * somebody has to come: they are given back. */
static int join_to_tend(struct lzi_call *call, int alone)
{
	struct lzi_store *store = call->store;

	lzi_reap_clients(call);
	lzi_feed_connect(call);
	if (lzi_is_durable(store))
		join_log(store, alone);
	return lzi_audit_open(store);
}

/* What comes after the control file is mapped and the life byte locked. */
static int join(struct lzi_store *store, struct lzi_opened *opened, const latz_options *options,
                const struct lzi_fill *fill, int alone)
{
	static int reachable = -1;
	struct lzi_call call;
	uint32_t had_pid = 0;
	int rc = lzi_store_open_parts(store);

	/* Who has no password leaves the pool as it is. */
	if (rc == LATZ_OK && options->password == NULL && opened->secrets == NULL &&
	    (fill == NULL || (!fill->trusted && !fill->tends)))
		rc = lzi_seal_missed(store);
	if (rc == LATZ_OK && alone)
		rc = take_over(store);
	if (rc != LATZ_OK)
		return rc;
	if (reachable < 0)
		reachable = lzi_barrier_register();
	rc = claim_client(store, reachable ? LZI_CLIENT_MEMBARRIER : 0, &had_pid);
	if (rc != LATZ_OK)
		return rc;
	LZI_POINT("attach.client");
	store->open = 1;
	if (alone) {
		rc = lzi_heap_mend(&store->heap);
		if (rc != LATZ_OK)
			return rc;
		lzi_store_release(&store->control.shared->recount, 1u);
		(void)!lzi_actor_reap_all(&store->control, lzi_mend_actor, store);
	}
	rc = lzi_thread_find(store, &call);
	/* Whose slot it was has nobody else who tells; whether we are let in or not. */
	if (rc == LATZ_OK && had_pid != 0 && lzi_is_fed(store))
		lzi_feed_alone(&call, LATZ_EVENT_DISCONNECT, store->client, had_pid);
	if (rc == LATZ_OK && fill != NULL && fill->tends)
		return join_to_tend(&call, alone);
	if (rc == LATZ_OK)
		rc = lzi_seal_join(&call, options, fill != NULL && fill->trusted, &opened->secrets);
	lzi_secrets_give(opened->secrets);
	opened->secrets = NULL;
	lzi_audit_unlocked(store);
	lzi_idle_use(&store->control);
	if (rc == LATZ_OK)
		lzi_space_rest(&call);
	if (rc == LATZ_OK)
		lzi_retain_rest(&call, 0);
	if (rc == LATZ_OK)
		rc = lzi_bound_join(&call);
	if (rc == LATZ_OK)
		lzi_feed_connect(&call);
	if (rc == LATZ_OK && lzi_is_durable(store))
		join_log(store, alone);
	if (rc == LATZ_OK)
		rc = lzi_audit_open(store);
	if (rc == LATZ_OK && (store->flags & LATZ_NO_THREAD) == 0)
		rc = lzi_janitor_start(store);
	LZI_POINT("attach.done");
	return rc;
}

static void release_client(struct lzi_store *store)
{
	if (store->client != UINT32_MAX)
		lzi_client_release(&store->control, store->client);
	store->client = UINT32_MAX;
}

/* The last one leaves a durable pool: what is not on the disk yet goes there. A log that can't be written, or only not
 * now (another looks whether he can have the directory, no descriptor is left), keeps the pool's files from being taken
 * away: they hold what it lacks. 1 if they may go. */
static int leave_durable(struct lzi_store *store)
{
	if (!lzi_is_durable(store) || lzi_store_dead(store))
		return 1;
	if (store->open && lzi_persist_leave(store) == LATZ_OK &&
	    lzi_load_acquire(&store->control.shared->log.broken) == 0)
		return 1;
	lzi_log(LATZ_LOG_INFO, "%s: its log can't be written: the pool stays in memory", store->name);
	return 0;
}

/* The life byte alone for us, and nothing left to be written: who comes while the last one waits for the disk need not
 * wait, too, but is attached beside him. What is written under the byte after all is what came in between. */
static int lock_life(struct lzi_store *store, int *ret_last)
{
	int fd = store->control.fd, rounds, rc = lzi_ofd_try(fd, LZI_LOCK_LIFE, 1);

	for (rounds = 0; rc == LATZ_OK && rounds < LEAVING_ROUNDS && lzi_persist_owes(store); rounds++) {
		(void)!lzi_ofd_try(fd, LZI_LOCK_LIFE, 0); /* makes it a shared one */
		*ret_last = leave_durable(store);
		lzi_ofd_unlock(fd, LZI_LOCK_LIFE);
		rc = lzi_ofd_try(fd, LZI_LOCK_LIFE, 1);
	}
	return rc;
}

/* Somebody was faster. If he attached, he is the last one now. If it is the guard, he takes the files away, and who
 * closes and opens again should not find what is going; who only looked does not. So it is tried again for a moment. 1:
 * it is ours after all. */
static int lock_life_late(struct lzi_store *store, int *ret_last)
{
	const struct lzi_control *control = &store->control;
	uint64_t begun_ns = lzi_clock_mono_ns(), most_ns = lzi_wait_left_ns(control->timeout_ms);

	if (most_ns > GUARD_WAIT_NS)
		most_ns = GUARD_WAIT_NS;
	while ((control->header->flags & LATZ_KEEP) == 0 && lzi_clock_mono_ns() - begun_ns < most_ns &&
	       lzi_file_same(store->poolfd, "pool", control->fd) && lzi_client_count(control, store->client) <= 1) {
		lzi_sleep_us(1000);
		if (lock_life(store, ret_last) == LATZ_OK)
			return 1;
	}
	return 0;
}

/* Gives the pool's files up: the last one out takes them away. */
static void part(struct lzi_store *store)
{
	int fd = store->control.fd, last = 0;

	(void)lzi_idle_over(&store->control); /* who left last is when it was used last */
	if (!lzi_is_durable(store)) /* else it is needed for leaving */
		release_client(store);
	else if (lzi_client_count(&store->control, store->client) <= 1)
		/* The last one, it seems: the guard, who may be faster with the life byte, then finds it done,
		 * and who closes knows that everything is on disk. */
		last = leave_durable(store);
	LZI_POINT("detach.released");
	lzi_ofd_unlock(fd, LZI_LOCK_LIFE);
	LZI_POINT("detach.unlocked");
	if (lock_life(store, &last) == LATZ_OK || (last && lock_life_late(store, &last))) {
		int may_go = lzi_file_same(store->poolfd, "pool", fd) && leave_durable(store);

		release_client(store);
		if (may_go && ((store->control.header->flags & LATZ_KEEP) == 0 || store->is_new)) {
			if (lzi_is_durable(store) && !lzi_store_dead(store)) {
				lzi_carry_save(store);
				lzi_owner_leave(store);
			}
			LZI_POINT("detach.left");
			lzi_pool_remove(store->dirfd, store->name, store->poolfd, &store->control);
		}
		lzi_ofd_unlock(fd, LZI_LOCK_LIFE);
		return;
	}
	release_client(store);
}

void lzi_store_close_parts(struct lzi_store *store)
{
	lzi_index_close(&store->index);
	if (store->reads_only)
		lzi_table_close(&store->looked);
	else
		lzi_table_close(&store->table);
	lzi_heap_close(&store->heap);
	lzi_hear_close(store);
	lzi_space_close(store);
	lzi_feed_close(store);
	lzi_counters_close(store);
	lzi_locks_close(store);
	lzi_image_part(store);
	lzi_persist_part(store);
	lzi_dict_part(store);
	lzi_seal_close(store);
}

/* What they wait for in vain meanwhile so does who closes, who keeps some patience for himself. */
static void stop_workers(struct lzi_store *store)
{
	uint64_t begun_ns = lzi_clock_mono_ns(), had_ns = lzi_waited_ns;
	uint64_t most_ns = (uint64_t)store->control.timeout_ms * (LZI_WAITS - 1) * 1000000;

	if (store->janitor.runs) { /* not in a forked child, where a mutex may be held by nobody */
		lzi_worker_tell(&store->janitor);
		lzi_worker_tell(&store->scribe);
		lzi_worker_tell(&store->office);
	}
	lzi_worker_stop(&store->janitor);
	lzi_worker_stop(&store->scribe);
	lzi_worker_stop(&store->office);
	lzi_wait_charge(begun_ns);
	if (lzi_waited_ns - had_ns > most_ns)
		lzi_waited_ns = had_ns + most_ns;
}

void lzi_store_detach(struct lzi_store *store)
{
	stop_workers(store);
	if (store->open) {
		if (lzi_is_fed(store) && !lzi_store_dead(store))
			lzi_feed_disconnect(store);
		lzi_thread_leave(store);
	}
	lzi_audit_close(store);
	part(store);
	lzi_store_end(store);
}

void lzi_store_end(struct lzi_store *store)
{
	int last;

	/* A thread that ends meanwhile gives back its extents and ciphers before, or finds them closed. */
	pthread_mutex_lock(&store->mutex);
	lzi_store_close_parts(store);
	lzi_audit_part(store);
	lzi_file_close(store->control.fd);
	lzi_file_close(store->poolfd);
	lzi_file_close(store->dirfd);
	/* Threads that have used the store hold mutexes in the control file until they end: it stays mapped for them.
	 */
	store->open = 0;
	last = store->threads == 0;
	pthread_mutex_unlock(&store->mutex);
	if (last)
		lzi_store_free(store);
}

/* Sweepers and an ending guard have the directory for themselves, briefly; but one of them may be stopped. */
static int lock_dir(int dirfd)
{
	int attempt, rc = LATZ_BUSY;

	for (attempt = 0; attempt < ATTEMPTS && rc == LATZ_BUSY; attempt++) {
		rc = lzi_dir_lock(dirfd, 0, 0);
		if (rc == LATZ_BUSY)
			lzi_sleep_us(attempt < 100 ? 100 : 1000);
	}
	return rc == LATZ_BUSY ? lzi_error(LATZ_TIMEOUT, "another process has locked the runtime directory") : rc;
}

void lzi_store_guard(struct lzi_store *store)
{
	if ((store->flags & LATZ_NO_GUARD) != 0 || !lzi_guard_wanted(&store->control))
		return;
	if (lock_dir(store->dirfd) != LATZ_OK) {
		lzi_log(LATZ_LOG_INFO, "%s: no guard: %s", store->name, lzi_error_text());
		return;
	}
	lzi_guard_ensure(store->dirfd, store->dir);
	lzi_dir_unlock(store->dirfd);
}

/* The log of a pool that has been filled. In its first snapshot, for which all comes in that an image has, what is
 * sealed stands as it is: for that the store has to know that it is. */
static int persist(struct lzi_store *store, const latz_options *options, struct lzi_opened *opened)
{
	int rc = LATZ_OK;

	if (opened->secrets != NULL && opened->secrets->kind == LZI_LOCKED_ENCRYPTED) {
		store->secrets = opened->secrets;
		rc = lzi_seal_open(store);
	}
	if (rc == LATZ_OK)
		rc = lzi_persist_create_from(store, options);
	LZI_POINT("restore.persisted");
	store->secrets = NULL; /* they are the maker's */
	lzi_seal_close(store);
	return rc;
}

int lzi_pool_fill(const char *name, const latz_options *options, struct lzi_fill *fill,
                  struct lzi_opened *opened)
{
	struct lzi_store *store = lzi_store_new(".", name, options);
	struct lzi_call call;
	uint32_t had_pid;
	int rc;

	if (store == NULL)
		return lzi_error(LATZ_NOMEM, "attachment");
	store->control = opened->control;
	store->control.timeout_ms = options->timeout_ms == 0 ? 1000 : options->timeout_ms;
	store->poolfd = opened->poolfd;
	rc = lzi_store_open_parts(store);
	if (rc == LATZ_OK)
		rc = lzi_client_claim(&store->control, 0, NULL, NULL, &store->client, &had_pid);
	if (rc == LATZ_OK) {
		store->open = 1;
		rc = lzi_thread_find(store, &call);
		if (rc == LATZ_OK)
			lzi_space_rest(&call);
		if (rc == LATZ_OK)
			rc = lzi_bound_join(&call);
		if (rc == LATZ_OK && fill != NULL && fill->fn != NULL)
			fill->failed = rc = fill->fn(store, options, fill->arg);
		if (rc == LATZ_OK && (fill == NULL || !fill->trusted)) {
			rc = lzi_seal_make(&call, options, fill == NULL ? NULL : fill->from, &opened->secrets);
			if (rc != LATZ_OK && fill != NULL)
				fill->failed = rc;
			if (rc != LATZ_OK)
				lzi_persist_create_undo(store);
			if (rc == LATZ_AUTH || rc == LATZ_TIMEOUT) /* it will never have been there, its log has */
				rc = lzi_audit_refused(store, options, rc);
			lzi_audit_part(store);
		}
		if (rc == LATZ_OK && fill != NULL && fill->persists)
			fill->failed = rc = persist(store, options, opened);
		LZI_POINT("fill.done");
		lzi_thread_leave(store);
	}
	release_client(store);
	/* The persist directory stays the pool's: shared, so that attaching to it is possible. */
	if (rc == LATZ_OK && store->persist.lockfd >= 0 && lzi_ofd_try(store->persist.lockfd, 0, 0) == LATZ_OK) {
		opened->persist_lock = store->persist.lockfd + 1;
		store->persist.lockfd = -1;
	}
	lzi_store_close_parts(store);
	store->control.base = NULL; /* the maker's */
	lzi_store_free(store);
	return rc;
}

int lzi_store_attach(const char *dir, const char *name, const latz_options *options, struct lzi_fill *fill,
                     struct lzi_store **ret_store)
{
	struct lzi_opened opened = { .poolfd = -1, .control = { .fd = -1 } };
	struct lzi_store *store = lzi_store_new(dir, name, options);
	int alone = 0, rc;

	if (store == NULL)
		return lzi_error(LATZ_NOMEM, "attachment");
	rc = lzi_dir_open(dir, may_create(name, options), 0700, &store->dirfd);
	if (rc == LATZ_OK)
		rc = lock_dir(store->dirfd);
	if (rc == LATZ_OK)
		rc = open_or_create(store->dirfd, name, options, fill, &opened, &alone);
	if (rc == LATZ_OK && (options->flags & LATZ_NO_GUARD) == 0 && lzi_guard_wanted(&opened.control))
		lzi_guard_ensure(store->dirfd, dir);
	if (store->dirfd >= 0)
		lzi_dir_unlock(store->dirfd);
	if (rc != LATZ_OK) {
		lzi_file_close(store->dirfd);
		lzi_store_free(store);
		return lzi_error_prefix(rc, "open %s in %s", name, dir);
	}
	store->control = opened.control;
	store->control.timeout_ms = options->timeout_ms == 0 ? 1000 : options->timeout_ms;
	store->poolfd = opened.poolfd;
	store->replaced = opened.replaced;
	store->is_new = opened.made && !opened.replaced;
	if (fill != NULL && fill->secrets != NULL) {
		opened.secrets = fill->secrets;
		fill->secrets = NULL;
	}
	rc = join(store, &opened, options, fill, alone);
	lzi_file_close(opened.persist_lock - 1);
	if (rc != LATZ_OK) {
		if (rc == LATZ_CORRUPT && lzi_store_dead(store))
			rc = LATZ_BUSY; /* destroyed under our hands: that is why its files were gone */
		if (rc != LATZ_BUSY)
			rc = lzi_audit_refused(store, options, rc);
		lzi_store_detach(store);
		if (rc == LATZ_BUSY)
			return LZI_ATTACH_AGAIN;
		return lzi_error_prefix(rc, "open %s in %s", name, dir);
	}
	store->is_new = 0;
	*ret_store = store;
	return LATZ_OK;
}

void lzi_store_check_files(struct lzi_store *store)
{
	if (lzi_file_same(store->poolfd, "pool", store->control.fd) || lzi_store_dead(store))
		return;
	lzi_store_release(lzi_control_state(&store->control), (uint32_t)LZI_STATE_DEAD);
	lzi_log(LATZ_LOG_WARNING, "%s: the pool's files were deleted", store->name);
}
