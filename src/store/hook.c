/*
 * Hooks of this process: asked by whoever collects an expired key, in the middle of maintenance, before it goes.
 */
#include "config.h"

#include "store/hook.h"

#include <stdlib.h>

#include "format/space.h"
#include "store/seal.h"

static const struct lzi_hook *hook_of(const struct lzi_store *store, uint32_t number)
{
	const struct lzi_hook *hook = store->hooks.first;

	while (hook != NULL && hook->number != number)
		hook = hook->next;
	return hook;
}

void lzi_hook_ask(struct lzi_call *call, latz_slice key, int64_t *expiry)
{
	struct lzi_store *store = call->store;
	struct lzi_write write = { .kind = LZI_WRITE_TOUCH, .key = key, .later = 1, .renew = 1 };
	const struct lzi_hook *hook;
	size_t size = key.size;
	uint32_t number;
	uint8_t *room;

	if (lzi_likely(lzi_load_acquire(&store->hooks.first) == NULL))
		return;
	room = malloc(key.size);
	if (room == NULL || lzi_key_seen(store, &key, &number, room) != LATZ_OK) {
		free(room);
		return;
	}
	/* Held meanwhile, so that who takes a hook away knows that it is not under way. */
	pthread_mutex_lock(&store->hooks.mutex);
	hook = hook_of(store, number);
	write.ttl_ms = hook == NULL ? 0 : hook->fn(key, hook->arg);
	pthread_mutex_unlock(&store->hooks.mutex);
	if (lzi_is_sealed(store))
		lzi_wipe(room, size);
	free(room);
	if (write.ttl_ms <= 0)
		return;
	write.ttl_ms = write.ttl_ms > LZI_TTL_MAX_MS ? LZI_TTL_MAX_MS : write.ttl_ms;
	if (lzi_store_write(call, &write) == LATZ_OK)
		*expiry = write.deadline; /* which its age may have made another */
}

void lzi_hook_add(struct lzi_store *store, struct lzi_hook *hook)
{
	pthread_mutex_lock(&store->hooks.mutex);
	hook->next = store->hooks.first;
	lzi_store_release(&store->hooks.first, hook);
	pthread_mutex_unlock(&store->hooks.mutex);
}

void lzi_hook_remove(struct lzi_store *store, struct lzi_hook *hook)
{
	struct lzi_hook **at;

	if (store->fork_count != lzi_fork_count)
		return; /* our parent's, and who holds the mutex may not be here */
	pthread_mutex_lock(&store->hooks.mutex);
	for (at = &store->hooks.first; *at != NULL && *at != hook; at = &(*at)->next)
		;
	if (*at != NULL)
		lzi_store_release(at, hook->next);
	pthread_mutex_unlock(&store->hooks.mutex);
}
