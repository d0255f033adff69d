/*
 * Durable pools whose last user was killed: what is not on the disk yet is brought there by attaching and leaving. The
 * guard does it, and who sweeps where there is none. No keys are needed for it: records are logged as they stand.
 */
#include "config.h"

#include "base/error.h"
#include "base/log.h"
#include "store/lifetime.h"

int lzi_pool_is_kept(const struct lzi_control *control)
{
	return (control->header->flags & LATZ_KEEP) != 0;
}

int lzi_pool_is_durable(const struct lzi_control *control)
{
	return lzi_load_acquire(&control->shared->durable) != LZI_DURABLE_OFF;
}

int lzi_pool_has_clients(const struct lzi_control *control, int dead)
{
	uint32_t i;

	for (i = 0; i < control->header->clients_max; i++) {
		if (lzi_load_acquire(&lzi_control_client(control, i)->state) != 0 &&
		    (!dead || !lzi_client_alive(control, i, UINT32_MAX)))
			return 1;
	}
	return 0;
}

int lzi_pool_keeps_itself(const struct lzi_control *control)
{
	return lzi_pool_is_durable(control) && lzi_load_acquire(&control->shared->log.broken) != 0;
}

int lzi_pool_wants_tending(const struct lzi_control *control)
{
	return lzi_pool_is_durable(control) && !lzi_pool_keeps_itself(control) &&
	       (!lzi_pool_is_kept(control) || lzi_pool_has_clients(control, 1));
}

void lzi_pool_tend(const char *dir, const char *name)
{
	latz_options options = LATZ_OPTIONS_INIT;
	struct lzi_fill fill = { .tends = 1 };
	struct lzi_store *store;
	int rc;

	options.flags = LATZ_NO_THREAD | LATZ_NO_GUARD;
	lzi_wait_begin();
	rc = lzi_thread_init();
	if (rc == LATZ_OK)
		rc = lzi_store_attach(dir, name, &options, &fill, &store);
	if (rc == LATZ_OK) {
		lzi_wait_begin();
		lzi_store_detach(store);
	} else if (rc != LATZ_NOTFOUND && rc != LZI_ATTACH_AGAIN) { /* gone by now, or going */
		lzi_log(LATZ_LOG_WARNING, "%s stays in memory: %s", name, lzi_error_text());
	}
}
