/*
 * Robust mutexes in memory that others can write: nothing that stands there is believed.
 *
 * A mutex is a futex that the kernel marks when its holder dies. To find those, the kernel follows a list, one for each
 * thread, whose head the C library has given it and whose links stand in the mutexes. pthread_mutex_unlock() stores
 * through these links, to wherever they point; so here the links are only written, from what the thread remembers of
 * its own, and nobody but the kernel, which bears anything, follows them. The C library's own robust mutexes, if the
 * program has some, are in the same list: they come first, ours behind them.
 */
#include "config.h"

#include "base/mutex.h"

#include <latzero/latzero.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/error.h"
#include "os/os.h"

/* Mutexes that a thread usually holds at once, at most. */
#define FEW 16u
/* Of a word that keeps changing. */
#define PASS_TRIES 100u
/* As often somebody who waits believes that the holder gets on. */
#define RENEWED_MAX 600u
/* Foreign entries of the list that are looked at: the kernel looks at 2048. */
#define FOREIGN_MAX 2048u

/* What this thread holds, oldest first, which is the list from behind. */
static __thread struct {
	struct robust_list_head *head;
	uint32_t tid;
	unsigned count, capacity; /* capacity 0: they are in `few` */
	struct lzi_mutex **many;
	struct lzi_mutex *few[FEW];
	struct robust_list_head own; /* where the C library has no list */
} held;

static struct lzi_mutex **all(void)
{
	return held.capacity == 0 ? held.few : held.many;
}

/* A forked child holds nothing, and its list is empty. */
static void forget(void)
{
	held.count = 0;
	held.tid = 0;
}

__attribute__((constructor)) static void watch_forks(void)
{
	(void)pthread_atfork(NULL, NULL, forget);
}

/* ---- The list ---- */

static struct robust_list *entry_of(const struct lzi_mutex *mutex)
{
	return (struct robust_list *)((uintptr_t)mutex - (uintptr_t)held.head->futex_offset);
}

/* What comes before ours: the head, or the last of what is not ours. Those are the program's own. */
static struct robust_list *last_foreign(void)
{
	struct robust_list *first = held.count == 0 ? &held.head->list : entry_of(all()[held.count - 1]);
	struct robust_list *at = &held.head->list, *next;
	unsigned hops;

	for (hops = 0; hops < FOREIGN_MAX; hops++, at = next) {
		next = (struct robust_list *)((uintptr_t)at->next & ~(uintptr_t)1);
		if (next == first || next == &held.head->list)
			break;
	}
	return at;
}

/* The kernel may look at the list after every store. */
static void set_link(struct robust_list *at, struct robust_list *next)
{
	lzi_store_release(&at->next, next);
}

static void put_in(struct lzi_mutex *mutex)
{
	struct robust_list *entry = entry_of(mutex), *before = last_foreign();

	if (before->next == &held.head->list)
		held.count = 0; /* none of what we thought is ours: a fork that nobody told us of */
	set_link(entry, held.count == 0 ? &held.head->list : entry_of(all()[held.count - 1]));
	set_link(before, entry);
	all()[held.count++] = mutex;
}

static void take_out(const struct lzi_mutex *mutex)
{
	struct lzi_mutex **mutexes = all();
	unsigned i = held.count, j;

	while (i > 0 && mutexes[i - 1] != mutex)
		i--;
	if (i-- == 0)
		return;
	set_link(i + 1 < held.count ? entry_of(mutexes[i + 1]) : last_foreign(),
	         i == 0 ? &held.head->list : entry_of(mutexes[i - 1]));
	for (j = i + 1; j < held.count; j++)
		mutexes[j - 1] = mutexes[j];
	if (--held.count == 0 && held.capacity != 0) {
		free(held.many);
		held.capacity = 0;
	}
}

/* Before anything is locked: room to remember it. */
static int room_for_one(void)
{
	struct lzi_mutex **more;
	unsigned capacity;

	if (lzi_likely(held.count < (held.capacity == 0 ? FEW : held.capacity)))
		return LATZ_OK;
	capacity = held.capacity == 0 ? FEW * 4 : held.capacity * 2;
	more = malloc(capacity * sizeof *more);
	if (more == NULL)
		return lzi_error(LATZ_NOMEM, "a list of locks");
	memcpy(more, all(), held.count * sizeof *more);
	if (held.capacity != 0)
		free(held.many);
	held.many = more;
	held.capacity = capacity;
	return LATZ_OK;
}

static LZI_COLD int find_head(void)
{
	struct robust_list_head *head = NULL;
	size_t size = 0;
	long offset;

	if (syscall(SYS_get_robust_list, 0, &head, &size) != 0 || (head != NULL && size != sizeof *head))
		return lzi_error(LATZ_UNSUPPORTED, "the kernel has no robust futexes");
	if (head == NULL) {
		head = &held.own;
		head->list.next = &head->list;
		head->futex_offset = -(long)(offsetof(struct lzi_mutex, link) + 16);
		head->list_op_pending = NULL;
		if (syscall(SYS_set_robust_list, head, sizeof *head) != 0)
			return lzi_error(LATZ_UNSUPPORTED, "the kernel has no robust futexes");
	}
	offset = -head->futex_offset;
	if (offset < (long)offsetof(struct lzi_mutex, link) ||
	    offset + (long)sizeof(void *) >
	            (long)(offsetof(struct lzi_mutex, link) + sizeof((struct lzi_mutex *)0)->link))
		return lzi_error(LATZ_UNSUPPORTED, "the C library's robust mutexes are of another kind");
	held.head = head;
	return LATZ_OK;
}

static inline int ready(void)
{
	int rc = LATZ_OK;

	if (lzi_unlikely(held.head == NULL))
		rc = find_head();
	if (lzi_unlikely(held.tid == 0))
		held.tid = (uint32_t)syscall(SYS_gettid);
	return rc == LATZ_OK ? room_for_one() : rc;
}

/* ---- The futex ---- */

/* What the kernel looks at first: a mutex that is ours by its word, and not yet, or no longer, in the list. */
static inline void begin_step(const struct lzi_mutex *mutex)
{
	lzi_store_relaxed(&held.head->list_op_pending, entry_of(mutex));
	lzi_compiler_barrier();
}

static inline void end_step(void)
{
	lzi_compiler_barrier();
	lzi_store_relaxed(&held.head->list_op_pending, (struct robust_list *)NULL);
}

/* Takes it if nobody living has it: LATZ_OK, LZI_OWNER_DIED; LATZ_BUSY, and what the word is. waited: there may be
 * others who wait, too. */
static int try_take(struct lzi_mutex *mutex, uint32_t waited, uint32_t *ret_word)
{
	uint32_t word = lzi_load_relaxed(&mutex->word);

	while ((word & FUTEX_OWNER_DIED) != 0 || (word & FUTEX_TID_MASK) == 0) {
		if (lzi_cas_acquire(&mutex->word, &word, held.tid | (word & FUTEX_WAITERS) | waited))
			return (word & FUTEX_OWNER_DIED) != 0 ? LZI_OWNER_DIED : LATZ_OK;
	}
	*ret_word = word;
	return LATZ_BUSY;
}

static int is_over(const struct timespec *until)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec > until->tv_sec || (now.tv_sec == until->tv_sec && now.tv_nsec >= until->tv_nsec);
}

/* Who leaves may have been woken in another's place, and somebody who does not know of any who wait may have been
 * faster: he is told, so that he wakes one. */
static LZI_COLD void pass_on(struct lzi_mutex *mutex)
{
	uint32_t word = lzi_load_relaxed(&mutex->word);
	unsigned tries;

	for (tries = 0; tries < PASS_TRIES && (word & FUTEX_TID_MASK) != 0 && (word & FUTEX_WAITERS) == 0; tries++) {
		if (lzi_cas_acquire(&mutex->word, &word, word | FUTEX_WAITERS))
			return;
	}
	if ((word & FUTEX_TID_MASK) == 0)
		lzi_futex_wake_some(&mutex->word, 1);
}

/* LATZ_TIMEOUT: somebody had it all the time, or so the word says. It ends, whatever becomes of the word meanwhile. */
static int wait_and_take(struct lzi_mutex *mutex, const struct timespec *until)
{
	uint32_t word = 0;
	int rc;

	while ((rc = try_take(mutex, FUTEX_WAITERS, &word)) == LATZ_BUSY && !is_over(until)) {
		if ((word & FUTEX_WAITERS) == 0 && !lzi_cas_acquire(&mutex->word, &word, word | FUTEX_WAITERS))
			continue;
		(void)syscall(SYS_futex, &mutex->word, FUTEX_WAIT_BITSET, word | FUTEX_WAITERS, until, NULL,
		              FUTEX_BITSET_MATCH_ANY);
	}
	if (rc == LATZ_BUSY)
		pass_on(mutex);
	return rc == LATZ_BUSY ? LATZ_TIMEOUT : rc;
}

/* For error texts. A holder stopped before it could say who it is has its thread id in the word; of a process's only
 * thread that is the process id. */
static uint32_t holder(const struct lzi_mutex *mutex)
{
	uint32_t pid = lzi_load_relaxed(&mutex->holder_pid);

	return pid != 0 ? pid : lzi_load_relaxed(&mutex->word) & FUTEX_TID_MASK;
}

static uint32_t check_of(uint32_t pid, uint32_t tid)
{
	return pid * 0x9e3779b1u ^ tid * 0x85ebca77u ^ 0x6c7a6d78u;
}

/* Who has a mutex says so. A word that nobody stands by is somebody's scribbling, or of a holder that was stopped in
 * between: neither is worth more patience than the caller's own. By ids alone: those of another PID namespace can't be
 * asked about. */
static int has_holder(const struct lzi_mutex *mutex)
{
	uint32_t pid = lzi_load_relaxed(&mutex->holder_pid);

	return pid != 0 && lzi_load_relaxed(&mutex->check) ==
	                           check_of(pid, lzi_load_relaxed(&mutex->word) & FUTEX_TID_MASK);
}

int lzi_mutex_wanted(const struct lzi_mutex *mutex)
{
	return (lzi_load_relaxed(&mutex->word) & FUTEX_WAITERS) != 0;
}

int lzi_mutex_has_holder(const struct lzi_mutex *mutex)
{
	return has_holder(mutex);
}

/* ---- What is not worth a wait ---- */

/* A mutex that nobody has, whatever its word says, costs a thread its timeout once, not in every call and not for every
 * step of one. */
#define NOTED 8u
#define NOTED_NS 1000000000ull

static __thread struct {
	const struct lzi_mutex *mutex;
	uint32_t word;
	uint64_t until_ns;
} noted[NOTED];
static __thread unsigned noted_next;

static int is_noted(const struct lzi_mutex *mutex)
{
	unsigned i;

	for (i = 0; i < NOTED; i++) {
		if (noted[i].mutex == mutex)
			return !has_holder(mutex) &&
			       (lzi_load_relaxed(&mutex->word) & FUTEX_TID_MASK) == noted[i].word &&
			       lzi_clock_mono_ns() < noted[i].until_ns;
	}
	return 0;
}

static LZI_COLD void note(const struct lzi_mutex *mutex)
{
	unsigned i;

	if (has_holder(mutex))
		return;
	for (i = 0; i < NOTED && noted[i].mutex != mutex; i++)
		;
	if (i == NOTED)
		i = noted_next++ % NOTED;
	noted[i].mutex = mutex;
	noted[i].word = lzi_load_relaxed(&mutex->word) & FUTEX_TID_MASK;
	noted[i].until_ns = lzi_clock_mono_ns() + NOTED_NS;
}

/* ---- Mutexes ---- */

int lzi_mutex_init(struct lzi_mutex *mutex)
{
	memset(mutex, 0, sizeof *mutex);
	return LATZ_OK;
}

int lzi_mutex_died(const struct lzi_mutex *mutex)
{
	return (lzi_load_acquire(&mutex->word) & FUTEX_OWNER_DIED) != 0;
}

/* *ret_ms, with LATZ_TIMEOUT: how long that was waited for. */
static int take(struct lzi_mutex *mutex, unsigned timeout_ms, unsigned *ret_ms)
{
	uint64_t begun_ns, until_ns, left_ns;
	struct timespec until;
	uint32_t word;
	int rc = try_take(mutex, 0, &word);

	*ret_ms = 0;
	if (lzi_likely(rc != LATZ_BUSY) || timeout_ms == 0)
		return rc;
	left_ns = has_holder(mutex) ? lzi_wait_left_for_ns(timeout_ms) : lzi_wait_left_ns(timeout_ms);
	if (left_ns == 0 || is_noted(mutex))
		return LATZ_TIMEOUT;
	begun_ns = lzi_clock_mono_ns();
	until_ns = (uint64_t)timeout_ms * 1000000;
	until_ns = begun_ns + (until_ns < left_ns ? until_ns : left_ns);
	until.tv_sec = (time_t)(until_ns / 1000000000);
	until.tv_nsec = (long)(until_ns % 1000000000);
	rc = wait_and_take(mutex, &until);
	if (rc == LATZ_TIMEOUT) {
		*ret_ms = (unsigned)((lzi_clock_mono_ns() - begun_ns) / 1000000);
		lzi_wait_charge(begun_ns);
		note(mutex);
	}
	return rc;
}

int lzi_mutex_lock(struct lzi_mutex *mutex, unsigned timeout_ms, const char *what)
{
	unsigned ms;
	int rc = ready();

	if (rc != LATZ_OK)
		return rc;
	begin_step(mutex);
	rc = take(mutex, timeout_ms, &ms);
	if (rc >= 0)
		put_in(mutex);
	end_step();
	if (rc == LATZ_TIMEOUT)
		return lzi_error(LATZ_TIMEOUT, "waited %u ms for the %s lock, held by process %u", ms, what,
		                 holder(mutex));
	if (rc >= 0) {
		lzi_store_relaxed(&mutex->check, check_of(lzi_process_id(), held.tid));
		lzi_store_relaxed(&mutex->holder_pid, lzi_process_id());
	}
	return rc;
}

int lzi_mutex_lock_patient(struct lzi_mutex *mutex, unsigned timeout_ms, const char *what, const uint64_t *heartbeat)
{
	uint64_t before, waited_ns = lzi_waited_ns;
	unsigned renewed = 0;
	int rc;

	do {
		lzi_wait_undo(waited_ns); /* what went on meanwhile was not waited for in vain */
		before = lzi_load_relaxed(heartbeat);
		rc = lzi_mutex_lock(mutex, timeout_ms, what);
	} while (rc == LATZ_TIMEOUT && lzi_load_relaxed(heartbeat) != before && has_holder(mutex) &&
	         renewed++ < RENEWED_MAX);
	if (rc != LATZ_TIMEOUT)
		lzi_wait_undo(waited_ns);
	return rc;
}

int lzi_mutex_lock_long(struct lzi_mutex *mutex, unsigned timeout_ms, unsigned times, const char *what)
{
	uint64_t waited_ns = lzi_waited_ns;
	int rc;

	do {
		lzi_wait_undo(waited_ns); /* it is as one wait, of a longer timeout */
		rc = lzi_mutex_lock(mutex, timeout_ms, what);
	} while (rc == LATZ_TIMEOUT && --times > 0 && has_holder(mutex));
	if (rc != LATZ_TIMEOUT)
		lzi_wait_undo(waited_ns);
	return rc;
}

int lzi_mutex_own(struct lzi_mutex *mutex, uint32_t *own, unsigned timeout_ms, int locked)
{
	uint64_t until;

	if (lzi_likely(locked < 0) || lzi_likely(lzi_exchange(own, 1u) == 0))
		return locked;
	until = lzi_clock_mono_ns() + (uint64_t)timeout_ms * 1000000;
	while (lzi_exchange(own, 1u) != 0) {
		if (lzi_clock_mono_ns() >= until) {
			lzi_mutex_unlock(mutex);
			return timeout_ms == 0 ? LATZ_BUSY
			                       : lzi_error(LATZ_TIMEOUT, "another thread of this process has a lock "
			                                                 "that the pool says is free");
		}
		lzi_sleep_us(200);
	}
	return locked;
}

void lzi_mutex_disown(struct lzi_mutex *mutex, uint32_t *own)
{
	lzi_store_release(own, 0u);
	lzi_mutex_unlock(mutex);
}

void lzi_mutex_unlock(struct lzi_mutex *mutex)
{
	uint32_t word;

	lzi_store_relaxed(&mutex->holder_pid, 0u);
	begin_step(mutex);
	take_out(mutex);
	lzi_compiler_barrier();
	word = lzi_exchange(&mutex->word, 0u);
	/* Of a word that somebody changed nobody knows who waits. */
	if (lzi_unlikely(word != held.tid))
		lzi_futex_wake_some(&mutex->word, 1);
	end_step();
}
