/*
 * Subscribers. A watch reads the ring and writes nothing to it: however slow its owner is, nobody waits for him. When
 * the ring has gone round he goes on with the oldest event that is still there, and hears how many numbers he has
 * missed.
 *
 * The watch holds two events: the one its owner has, and the one that comes next, which is looked for at once when
 * there is a descriptor: that is readable while there is one. The thread behind the descriptor looks for it, too;
 * `mutex` is between the two.
 */
#include "config.h"

#include <latzero/latzero.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "store/feed.h"
#include "store/idle.h"
#include "store/pack.h"
#include "store/seal.h"

/* A sleeper looks by itself after so long: who should have woken it may have died. */
#define SLEEP_US 20000u
/* An event that is being filled in: is looked at so often; its writer may be dead after so long; and after so long it
 * is not waited for any more. */
#define STUCK_SLEEP_US 500u
#define STUCK_ASK_NS 1000000u
#define STUCK_MAX_NS 1000000000u
/* Looks before it sleeps. */
#define SPINS 200u

struct held {
	struct lzi_feed_event event;
	uint8_t *bytes; /* key, then old value as it was stored */
	size_t capacity;
	latz_value old; /* unpacked */
};

struct lzi_watcher {
	struct lzi_store *store;
	pthread_mutex_t mutex;
	struct lzi_ring ring;
	unsigned kinds;
	int old_values;
	uint8_t *prefix;
	size_t prefix_size;
	uint32_t number, slot; /* the namespace whose keys it is about; 0: keys of none */
	uint64_t next;         /* number to be looked at */
	uint64_t unheard;      /* of the feed, as far as it was told */
	uint64_t missed;       /* not told yet */
	struct held held[2];
	unsigned given; /* which of them the owner has */
	int waits;      /* 1: the other one is an event to be given */
	uint64_t stuck, stuck_ns;
	int failed; /* by the descriptor's thread */
	int fd;     /* -1: none */
	struct lzi_worker worker;
};

/* ---- Reading ---- */

static uint64_t word_of(const struct lzi_watcher *watch, uint64_t number)
{
	return lzi_load_acquire(lzi_ring_word(&watch->ring, number));
}

/* Whether an event can still be read, or will be there. */
static int is_there(const struct lzi_watcher *watch, uint64_t number)
{
	uint64_t word = word_of(watch, number);

	if (!lzi_feed_is_of(word, number, watch->ring.count))
		return 0;
	if (lzi_feed_state(word) != LZI_FEED_READY)
		return lzi_feed_state(word) == LZI_FEED_FILLING;
	return lzi_feed_holds(word, lzi_load_acquire(lzi_ring_entered(&watch->ring, lzi_feed_cell(word))),
	                      watch->ring.count);
}

/* The ring has gone round: to the oldest that is there. */
static void skip(struct lzi_watcher *watch)
{
	uint64_t head = lzi_load_acquire(&watch->ring.feed->head), number = watch->next + 1;

	if (head > watch->ring.count && number < head - watch->ring.count)
		number = head - watch->ring.count;
	while (number < head && !is_there(watch, number))
		number++;
	watch->missed += number - watch->next;
	watch->next = number;
}

static int reserve(struct held *held, size_t size)
{
	uint8_t *bytes;

	if (held->capacity >= size)
		return LATZ_OK;
	bytes = realloc(held->bytes, size + size / 2);
	if (bytes == NULL)
		return lzi_error(LATZ_NOMEM, "an event of %zu bytes", size);
	held->bytes = bytes;
	held->capacity = size + size / 2;
	return LATZ_OK;
}

enum copied {
	COPIED,
	COPIED_NOT,  /* it has gone */
	COPIED_OTHER /* it is not for us */
};

static int is_wanted(const struct lzi_watcher *watch, const struct lzi_feed_event *event, const uint8_t *key)
{
	if ((event->kind & watch->kinds) == 0)
		return 0;
	/* One kind, and only those two have no key: else it is damaged. */
	if ((event->kind & (event->kind - 1)) != 0)
		return 0;
	if ((event->kind & (LATZ_EVENT_CONNECT | LATZ_EVENT_DISCONNECT)) != 0)
		return event->key_size == 0;
	if (event->key_size == 0 || event->key_size < watch->prefix_size ||
	    memcmp(key, watch->prefix, watch->prefix_size) != 0)
		return 0;
	return watch->number != 0 || event->key_size == 0 || !lzi_key_is_spaced(key, event->key_size);
}

/* The bytes may be changing under our eyes: they are the event's if its segment has not been entered again after they
 * were read. */
static int copy(struct lzi_watcher *watch, uint64_t word, uint64_t number, struct held *held, enum copied *ret_copied)
{
	const struct lzi_ring *ring = &watch->ring;
	uint64_t cell = lzi_feed_cell(word), *at, entered, room, size;
	const uint8_t *from;
	int wanted, rc;

	*ret_copied = COPIED_NOT;
	if (cell >= ring->count)
		return lzi_error(LATZ_CORRUPT, "event %llu of the change feed names a cell past its ring",
		                 (unsigned long long)number);
	at = lzi_ring_entered(ring, cell);
	entered = lzi_load_acquire(at);
	if (!lzi_feed_holds(word, entered, ring->count))
		return LATZ_OK;
	room = (ring->segment - cell % ring->segment) * LZI_FEED_CELL;
	from = ring->cells + cell * LZI_FEED_CELL;
	lzi_racy_reads_begin(); /* as said above */
	memcpy(&held->event, from, sizeof held->event);
	size = (uint64_t)held->event.key_size + (held->event.flags & LZI_FEED_OLD ? held->event.old_size : 0);
	wanted = size <= room - sizeof held->event && is_wanted(watch, &held->event, from + sizeof held->event);
	lzi_racy_reads_end();
	lzi_fence_acquire();
	if (lzi_load_relaxed(at) != entered || held->event.number != number)
		return LATZ_OK;
	if (size > room - sizeof held->event)
		return lzi_error(LATZ_CORRUPT, "event %llu of the change feed reaches past its segment",
		                 (unsigned long long)number);
	*ret_copied = COPIED_OTHER;
	if (!wanted)
		return LATZ_OK;
	rc = reserve(held, size + 1);
	if (rc != LATZ_OK)
		return rc;
	lzi_racy_reads_begin();
	memcpy(held->bytes, from + sizeof held->event, size);
	lzi_racy_reads_end();
	lzi_fence_acquire();
	*ret_copied = lzi_load_relaxed(at) == entered ? COPIED : COPIED_NOT;
	return LATZ_OK;
}

/* A compressed or sealed old value; one that can't be had counts as too long. */
static void unpack_old(struct lzi_watcher *watch, struct held *held)
{
	struct lzi_feed_event *event = &held->event;
	struct lzi_stored stored = { .size = event->old_size,
		                     .type = event->old_type,
		                     .key = { held->bytes, event->key_size } };
	uint8_t *packed;
	int rc = LATZ_NOMEM;

	if ((event->flags & LZI_FEED_OLD) == 0)
		return;
	if (lzi_is_sealed(watch->store) && (event->flags & LZI_FEED_OLD_SEALED) == 0) { /* nobody of us wrote that */
		event->flags = LZI_FEED_OLD_LEFT_OUT;
		return;
	}
	if ((event->flags & (LZI_FEED_OLD_PACKED | LZI_FEED_OLD_SEALED)) == 0)
		return;
	stored.seq = event->kind == LATZ_EVENT_SET ? event->old_version : event->version;
	packed = lzi_codec_room(event->old_size);
	if (packed != NULL)
		memcpy(packed, held->bytes + event->key_size, event->old_size);
	stored.bytes = packed;
	if (packed != NULL)
		rc = event->flags & LZI_FEED_OLD_SEALED
		             ? lzi_open_value(watch->store, &stored, &held->old)
		             : lzi_unpack(watch->store, packed, event->old_size, 0, &held->old);
	if (rc != LATZ_OK)
		event->flags = LZI_FEED_OLD_LEFT_OUT;
}

/* An event that was begun and is not ready. 1: it is not waited for any more, or its writer's end has been made. */
static int is_over(struct lzi_watcher *watch, uint64_t word)
{
	struct lzi_store *store = watch->store;
	uint64_t now = lzi_clock_mono_ns();
	uint32_t actor = lzi_feed_actor(word);

	if (watch->stuck != watch->next) {
		watch->stuck = watch->next;
		watch->stuck_ns = now;
	}
	if (now - watch->stuck_ns < STUCK_ASK_NS)
		return 0;
	if (actor < lzi_control_actors(&store->control) &&
	    lzi_actor_reap(&store->control, actor, lzi_mend_actor, store) > 0)
		return 1;
	if (now - watch->stuck_ns < STUCK_MAX_NS)
		return 0;
	watch->missed++;
	watch->next++;
	return 1;
}

/* Looks for what comes next: an event, or something missed. LATZ_OK, also if there is nothing. */
static int look(struct lzi_watcher *watch)
{
	const struct lzi_ring *ring = &watch->ring;
	struct held *held = &watch->held[!watch->given];
	uint64_t word, unheard;
	enum copied copied;
	int rc;

	while (!watch->waits) {
		word = word_of(watch, watch->next);
		if (!lzi_feed_is_of(word, watch->next, ring->count)) {
			if (lzi_load_acquire(&ring->feed->head) <= watch->next)
				break;
			if (word_of(watch, watch->next) == word) /* else it has just come */
				skip(watch);
			continue;
		}
		switch (lzi_feed_state(word)) {
		case LZI_FEED_FILLING:
			if (!is_over(watch, word))
				return LATZ_OK;
			break;
		case LZI_FEED_GONE: watch->missed++; /* fall through */
		case LZI_FEED_VOID: watch->next++; break;
		default:
			rc = copy(watch, word, watch->next, held, &copied);
			if (rc != LATZ_OK)
				return rc;
			if (copied == COPIED_NOT) {
				skip(watch);
				break;
			}
			watch->next++;
			watch->waits = copied == COPIED;
			if (watch->waits)
				unpack_old(watch, held);
		}
	}
	unheard = lzi_load_relaxed(&ring->feed->unheard);
	watch->missed += unheard - watch->unheard;
	watch->unheard = unheard;
	return LATZ_OK;
}

/* ---- Giving ---- */

static int has_some(const struct lzi_watcher *watch)
{
	return watch->missed != 0 || watch->waits;
}

/* What was missed comes before the event behind it. */
static void give(struct lzi_watcher *watch, latz_event *out)
{
	const struct lzi_feed_event *event;
	struct held *held;

	if (watch->missed != 0) {
		out->kind = LATZ_EVENT_LOST;
		out->missed = watch->missed;
		out->seq = watch->waits ? watch->held[!watch->given].event.number - 1 : watch->next - 1;
		watch->missed = 0;
		return;
	}
	watch->given = !watch->given;
	watch->waits = 0;
	held = &watch->held[watch->given];
	event = &held->event;
	out->kind = (latz_event_kind)event->kind;
	out->seq = event->number;
	out->key.data = held->bytes;
	out->key.size = event->key_size;
	out->version = event->version;
	out->type = (latz_type)event->type;
	out->client = event->client;
	out->pid = event->pid;
	out->old_version = event->old_version;
	out->old_type = (latz_type)event->old_type;
	if (!watch->old_values)
		return;
	out->has_old = (event->flags & (LZI_FEED_OLD | LZI_FEED_OLD_LEFT_OUT)) != 0;
	out->old.size = event->old_size;
	if ((event->flags & LZI_FEED_OLD) && (event->flags & (LZI_FEED_OLD_PACKED | LZI_FEED_OLD_SEALED)))
		out->old = (latz_slice){ held->old.data, held->old.size };
	else if (event->flags & LZI_FEED_OLD)
		out->old.data = held->bytes + event->key_size;
}

/* ---- Waiting ---- */

/* LATZ_DEAD: nothing comes any more, of the pool or of the namespace. */
static int check_alive(struct lzi_call *call, const struct lzi_watcher *watch)
{
	if (lzi_store_dead(watch->store))
		return lzi_error(LATZ_DEAD, "pool %s was destroyed", watch->store->name);
	return watch->number == 0 ? LATZ_OK : lzi_space_check(call, watch->number, watch->slot);
}

/* Sleeps until there may be something, at most so long. */
static void sleep_for(struct lzi_watcher *watch, uint64_t number, unsigned us)
{
	struct lzi_feed *feed = watch->ring.feed;
	uint64_t seen = word_of(watch, number);
	uint32_t bell;
	unsigned i;

	for (i = 0; i < SPINS; i++) {
		if (word_of(watch, number) != seen)
			return;
		lzi_pause();
	}
	bell = lzi_load_acquire(&feed->bell);
	lzi_store_seq_cst(&feed->asleep, 1u);
	lzi_fence_full(); /* pairs with the one before lzi_feed_ring() */
	if (word_of(watch, number) != seen || lzi_worker_stops(&watch->worker))
		return;
	lzi_futex_wait(&feed->bell, bell, us);
	if (lzi_load_acquire(&feed->bell) != bell) /* one was woken: the others are for us to wake */
		lzi_futex_wake_some(&feed->bell, 2);
}

static unsigned nap_us(const struct lzi_watcher *watch, uint64_t left_ns)
{
	uint64_t us = watch->stuck == watch->next ? STUCK_SLEEP_US : SLEEP_US;

	return (unsigned)(left_ns / 1000 < us ? left_ns / 1000 + 1 : us);
}

/* Readable while something waits to be given. The mutex is held. */
static void signal_fd(struct lzi_watcher *watch, int had)
{
	if (watch->fd < 0 || has_some(watch) == had)
		return;
	if (!had) {
		lzi_event_set(watch->fd);
		return;
	}
	lzi_event_clear(watch->fd);
	lzi_worker_poke(&watch->worker); /* it looks for what comes next */
}

int lzi_watch_next(struct lzi_call *call, struct lzi_watcher *watch, int64_t timeout_ms, latz_event *event)
{
	uint64_t now = lzi_clock_mono_ns(), until = UINT64_MAX, number; /* past what can be counted is for ever */
	int rc, had;

	if (timeout_ms >= 0 && (uint64_t)timeout_ms <= (UINT64_MAX - now) / 1000000)
		until = now + (uint64_t)timeout_ms * 1000000;
	for (;;) {
		pthread_mutex_lock(&watch->mutex);
		had = has_some(watch);
		rc = watch->failed != LATZ_OK ? watch->failed : look(watch);
		watch->failed = LATZ_OK;
		if (rc == LATZ_OK && has_some(watch)) {
			give(watch, event);
			if (watch->fd >= 0 && !has_some(watch))
				watch->failed = look(watch);
			signal_fd(watch, had);
			pthread_mutex_unlock(&watch->mutex);
			return LATZ_OK;
		}
		number = watch->next;
		pthread_mutex_unlock(&watch->mutex);
		if (rc != LATZ_OK)
			return rc;
		rc = check_alive(call, watch);
		if (rc != LATZ_OK || now >= until)
			return rc != LATZ_OK ? rc : LATZ_TIMEOUT;
		sleep_for(watch, number, nap_us(watch, until - now));
		lzi_feed_tend(call);
		now = lzi_clock_mono_ns();
	}
}

uint64_t lzi_watch_position(struct lzi_watcher *watch)
{
	uint64_t number;

	pthread_mutex_lock(&watch->mutex);
	number = watch->waits ? watch->held[!watch->given].event.number : watch->next;
	pthread_mutex_unlock(&watch->mutex);
	return number;
}

/* Behind the descriptor. */
static void *feed_fd(void *arg)
{
	struct lzi_watcher *watch = arg;
	struct lzi_call call = { .store = watch->store };
	int found = lzi_thread_find(watch->store, &call) == LATZ_OK, had;
	uint64_t number;

	while (!lzi_worker_nap(&watch->worker, 0)) {
		if (found)
			lzi_feed_tend(&call);
		pthread_mutex_lock(&watch->mutex);
		had = has_some(watch);
		if (!had && watch->failed == LATZ_OK) {
			watch->failed = look(watch);
			if (watch->failed != LATZ_OK || check_alive(&call, watch) != LATZ_OK)
				lzi_event_set(watch->fd); /* to be told by the next call */
		}
		signal_fd(watch, had);
		number = watch->next;
		had = has_some(watch);
		pthread_mutex_unlock(&watch->mutex);
		/* While something waits the owner is at it: he looks for what comes after it himself. */
		if (had)
			(void)lzi_worker_nap(&watch->worker, LZI_FEED_TEND_MS);
		else
			sleep_for(watch, number, nap_us(watch, UINT64_MAX));
	}
	return NULL;
}

int lzi_watch_fd(struct lzi_watcher *watch, int *ret_fd)
{
	int fd, rc;

	if (watch->fd < 0) {
		rc = lzi_event_open(&fd);
		if (rc != LATZ_OK)
			return rc;
		watch->fd = fd;
		if (has_some(watch))
			lzi_event_set(fd);
		rc = lzi_worker_start(&watch->worker, "watch", feed_fd, watch);
		if (rc != LATZ_OK) {
			lzi_file_close(fd);
			watch->fd = -1;
			return rc;
		}
	}
	*ret_fd = watch->fd;
	return LATZ_OK;
}

/* ---- Opening and closing ---- */

static void watch_free(struct lzi_watcher *watch)
{
	unsigned i;

	for (i = 0; i < 2; i++) {
		free(watch->held[i].bytes);
		latz_value_free(&watch->held[i].old);
	}
	free(watch->prefix);
	free(watch);
}

int lzi_watch_open(struct lzi_call *call, const latz_watch_options *options, uint32_t number, uint32_t slot,
                   struct lzi_watcher **ret_watch)
{
	struct lzi_watcher *watch = calloc(1, sizeof *watch);
	uint64_t next = 0;
	int rc = LATZ_OK;

	if (watch == NULL)
		return lzi_error(LATZ_NOMEM, "watch");
	watch->store = call->store;
	watch->fd = -1;
	watch->number = number;
	watch->slot = slot;
	watch->kinds = options->kinds == 0 ? ~0u : options->kinds;
	watch->old_values = options->old_values != 0;
	watch->prefix_size = options->prefix.size;
	watch->prefix = malloc(options->prefix.size + 1);
	if (watch->prefix == NULL)
		rc = lzi_error(LATZ_NOMEM, "watch");
	else if (options->prefix.size > 0)
		memcpy(watch->prefix, options->prefix.data, options->prefix.size);
	if (rc == LATZ_OK)
		rc = lzi_feed_join(call, options->ring_bytes, watch->old_values, &next);
	if (rc != LATZ_OK) {
		watch_free(watch);
		return rc;
	}
	rc = lzi_feed_map(call->store, &watch->ring);
	if (rc == LATZ_OK && options->from_seq > next)
		rc = lzi_error(LATZ_INVALID, "from_seq is %llu; the next event's number is %llu",
		               (unsigned long long)options->from_seq, (unsigned long long)next);
	if (rc != LATZ_OK) {
		lzi_feed_part(call->store, watch->old_values);
		watch_free(watch);
		return rc;
	}
	watch->next = options->from_seq != 0 ? options->from_seq : next;
	watch->unheard = lzi_load_relaxed(&watch->ring.feed->unheard);
	pthread_mutex_init(&watch->mutex, NULL);
	lzi_worker_init(&watch->worker);
	*ret_watch = watch;
	return LATZ_OK;
}

void lzi_watch_close(struct lzi_watcher *watch, int ours)
{
	if (ours) {
		lzi_worker_tell(&watch->worker);
		if (watch->fd >= 0) { /* which is asleep as a rule; others look and sleep on */
			lzi_fetch_add(&watch->ring.feed->bell, 1u);
			lzi_futex_wake_some(&watch->ring.feed->bell, INT_MAX);
		}
		lzi_worker_stop(&watch->worker);
		lzi_idle_ended(&watch->store->control);
		lzi_feed_part(watch->store, watch->old_values);
		pthread_mutex_destroy(&watch->mutex);
		lzi_worker_fini(&watch->worker);
	}
	lzi_file_close(watch->fd);
	watch_free(watch);
}
