/*
 * What an honest user does with a pool: every call of the public interface that works on one, in any order. It looks at
 * all bytes it is given, and expects nothing of them.
 */
#include <stdio.h>
#include <string.h>

#include "live.h"

#define KEYS 400

static latz_slice some_key(struct live_client *c)
{
	unsigned n = (unsigned)live_below(c, live_below(c, 4) ? 40 : KEYS);
	size_t size = (size_t)snprintf((char *)c->key, sizeof c->key, "%skey%u", n % 11 == 0 ? "\xff" : "", n);

	if (n % 17 == 0) {
		memset(c->key + size, 'k', 700 - size);
		size = 500 + n % 200;
	}
	return (latz_slice){ c->key, size };
}

static latz_slice some_bytes(struct live_client *c)
{
	size_t size = live_below(c, 300);

	if (live_below(c, 10) == 0)
		size = live_below(c, 6000);
	if (live_below(c, 400) == 0)
		size = live_below(c, sizeof c->bytes);
	return (latz_slice){ c->bytes + live_below(c, sizeof c->bytes - size), size };
}

/* The namespace's handle, or the pool's. */
static latz_pool *some_handle(struct live_client *c)
{
	return c->space != NULL && live_below(c, 3) == 0 ? c->space : c->pool;
}

static void look_at_value(struct live_client *c, int rc)
{
	if (rc == LATZ_OK)
		live_look(c, c->value.data, c->value.size + 1);
}

static void call_get(struct live_client *c)
{
	latz_pool *pool = some_handle(c);

	switch (live_below(c, 8)) {
	case 0: (void)LIVE_CALL(c, "exists", latz_exists(pool, some_key(c))); break;
	case 1:
		look_at_value(c, LIVE_CALL(c, "get_if_changed",
		                           latz_get_if_changed(pool, some_key(c), c->value.version, &c->value)));
		break;
	case 2: {
		latz_key_info info = { .size = sizeof info };

		(void)LIVE_CALL(c, "key_stat", latz_key_stat(pool, some_key(c), &info));
		break;
	}
	default: look_at_value(c, LIVE_CALL(c, "get", latz_get(pool, some_key(c), &c->value)));
	}
}

static void call_set(struct live_client *c)
{
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	uint64_t version;

	if (live_below(c, 3) == 0)
		options.flags = (unsigned)live_below(c, 32);
	if (live_below(c, 3) == 0)
		options.ttl_ms = 1 + (int64_t)live_below(c, 300);
	if (live_below(c, 50) == 0)
		options.flags |= LATZ_DURABLE;
	options.version = &version;
	options.if_version = c->value.version;
	if (c->lock.token != 0 && live_below(c, 2)) {
		options.fence.name = latz_str("lock1");
		options.fence.token = c->lock.token;
	}
	(void)LIVE_CALL(c, "set", latz_set(some_handle(c), some_key(c), some_bytes(c), &options));
}

static void call_change(struct live_client *c)
{
	latz_pool *pool = some_handle(c);
	char counter[16];
	int64_t sum;
	size_t size;

	switch (live_below(c, 6)) {
	case 0: (void)LIVE_CALL(c, "append", latz_append(pool, some_key(c), some_bytes(c), &size)); break;
	case 1: look_at_value(c, LIVE_CALL(c, "swap", latz_swap(pool, some_key(c), some_bytes(c), &c->value))); break;
	case 2: (void)LIVE_CALL(c, "touch", latz_touch(pool, some_key(c), (int64_t)live_below(c, 500) - 1)); break;
	case 3:
		snprintf(counter, sizeof counter, "int%u", (unsigned)live_below(c, 8));
		(void)LIVE_CALL(c, "increment", latz_increment(pool, latz_str(counter), 3, &sum));
		break;
	default: (void)LIVE_CALL(c, "delete", latz_delete(pool, some_key(c)));
	}
}

static void call_many(struct live_client *c)
{
	static uint8_t key[24][900];
	latz_value values[24];
	latz_item items[24];
	latz_slice keys[24];
	int results[24];
	size_t n = 1 + live_below(c, 24);

	memset(values, 0, sizeof values);
	for (size_t i = 0; i < n; i++) {
		keys[i] = some_key(c);
		memcpy(key[i], keys[i].data, keys[i].size);
		keys[i].data = key[i];
		items[i].key = keys[i];
		items[i].value = some_bytes(c);
	}
	if (live_below(c, 2)) {
		(void)LIVE_CALL(c, "mset", latz_mset(some_handle(c), items, n, NULL));
	} else if (LIVE_CALL(c, "mget", latz_mget(some_handle(c), keys, n, values, results)) == LATZ_OK) {
		for (size_t i = 0; i < n; i++) {
			if (results[i] == LATZ_OK)
				live_look(c, values[i].data, values[i].size);
		}
	}
	for (size_t i = 0; i < n; i++)
		latz_value_free(&values[i]);
}

static void call_scan(struct live_client *c)
{
	latz_scan_options options = LATZ_SCAN_OPTIONS_INIT;
	latz_slice key;
	uint64_t steps = live_below(c, 60);
	int rc;

	if (c->scan == NULL) {
		options.reverse = (int)live_below(c, 2);
		options.keys_only = live_below(c, 4) == 0;
		if (live_below(c, 3) == 0)
			options.prefix = latz_str("key1");
		if (live_below(c, 3) == 0)
			options.from = some_key(c);
		if (LIVE_CALL(c, "scan_open", latz_scan_open(some_handle(c), &options, &c->scan)) != LATZ_OK)
			c->scan = NULL;
	}
	for (rc = LATZ_OK; c->scan != NULL && rc == LATZ_OK && steps > 0; steps--) {
		rc = LIVE_CALL(c, "scan_next", latz_scan_next(c->scan, &key, &c->value));
		if (rc == LATZ_OK) {
			live_look(c, key.data, key.size);
			live_look(c, c->value.data, c->value.size);
		}
	}
	if (c->scan != NULL && (rc != LATZ_OK || live_below(c, 3) == 0)) {
		(void)LIVE_CALL(c, "scan_close", latz_scan_close(c->scan));
		c->scan = NULL;
	}
}

static void call_borrow(struct live_client *c)
{
	latz_view *view = &c->view[live_below(c, 4)];

	if (view->owner != NULL) {
		live_look(c, view->data, view->size);
		(void)LIVE_CALL(c, "release", latz_release(view));
		memset(view, 0, sizeof *view);
		return;
	}
	if (LIVE_CALL(c, "borrow", latz_borrow(some_handle(c), some_key(c), view)) == LATZ_OK)
		live_look(c, view->data, view->size);
	else
		memset(view, 0, sizeof *view);
}

static void call_txn(struct live_client *c)
{
	if (c->txn == NULL) {
		if (LIVE_CALL(c, "txn_begin",
		              latz_txn_begin(some_handle(c), live_below(c, 4) ? 0 : LATZ_READONLY, &c->txn)) != LATZ_OK)
			c->txn = NULL;
		return;
	}
	switch (live_below(c, 6)) {
	case 0:
	case 1: look_at_value(c, LIVE_CALL(c, "txn_get", latz_txn_get(c->txn, some_key(c), &c->value))); break;
	case 2: (void)LIVE_CALL(c, "txn_set", latz_txn_set(c->txn, some_key(c), some_bytes(c), NULL)); break;
	case 3: (void)LIVE_CALL(c, "txn_delete", latz_txn_delete(c->txn, some_key(c))); break;
	case 4:
		(void)LIVE_CALL(c, "txn_commit", latz_txn_commit(c->txn));
		c->txn = NULL;
		break;
	default:
		if (live_below(c, 4))
			break;
		(void)LIVE_CALL(c, "txn_abort", latz_txn_abort(c->txn));
		c->txn = NULL;
	}
}

static void call_watch(struct live_client *c)
{
	latz_watch_options options = LATZ_WATCH_OPTIONS_INIT;
	latz_event event = LATZ_EVENT_INIT;
	int rc = LATZ_OK;

	if (c->watch == NULL) {
		options.old_values = (int)live_below(c, 2);
		options.from_seq = live_below(c, 4) == 0;
		if (LIVE_CALL(c, "watch_open", latz_watch_open(some_handle(c), &options, &c->watch)) != LATZ_OK)
			c->watch = NULL;
		return;
	}
	if (live_below(c, 40) == 0)
		(void)LIVE_CALL(c, "watch_fd", latz_watch_fd(c->watch) < 0 ? LATZ_IO : LATZ_OK);
	for (unsigned i = 0; i < 20 && rc == LATZ_OK; i++) {
		rc = LIVE_CALL(c, "watch_next", latz_watch_next(c->watch, 0, &event));
		if (rc == LATZ_OK) {
			live_look(c, event.key.data, event.key.size);
			live_look(c, event.old.data, event.old.data != NULL ? event.old.size : 0);
		}
	}
	if (live_below(c, 10) == 0 || rc == LATZ_DEAD) {
		(void)LIVE_CALL(c, "watch_close", latz_watch_close(c->watch));
		c->watch = NULL;
	}
}

static int look_at_lock(const latz_lock_info *info, void *arg)
{
	live_look(arg, info->name.data, info->name.size);
	return 0;
}

static void call_lock(struct live_client *c)
{
	latz_lock_options options = LATZ_LOCK_OPTIONS_INIT;
	int64_t left;

	if (live_below(c, 10) == 0)
		(void)LIVE_CALL(c, "locks", latz_locks(some_handle(c), look_at_lock, c));
	if (c->lock.token == 0) {
		options.shared = (int)live_below(c, 2);
		options.wait_ms = (int64_t)live_below(c, 3);
		options.lease_ms = live_below(c, 2) ? (int64_t)live_below(c, 50) : 0;
		(void)LIVE_CALL(c, "lock",
		                latz_lock(c->pool, latz_str(live_below(c, 4) ? "lock1" : "lock2"), &options, &c->lock));
		return;
	}
	switch (live_below(c, 8)) {
	case 0: (void)LIVE_CALL(c, "lock_renew", latz_lock_renew(&c->lock, 30)); break;
	case 1: (void)LIVE_CALL(c, "lock_upgrade", latz_lock_upgrade(&c->lock, 2)); break;
	case 2: (void)LIVE_CALL(c, "lock_downgrade", latz_lock_downgrade(&c->lock)); break;
	case 3: (void)LIVE_CALL(c, "lock_status", latz_lock_status(&c->lock, &left)); break;
	default: (void)LIVE_CALL(c, "unlock", latz_unlock(&c->lock));
	}
}

static void call_lease(struct live_client *c)
{
	latz_lease_options options = LATZ_LEASE_OPTIONS_INIT;

	options.lease_ms = 20;
	options.stale_ms = 5;
	options.wait_ms = (int64_t)live_below(c, 3);
	if (c->lease.lock.token == 0)
		look_at_value(c, LIVE_CALL(c, "get_or_lease",
		                           latz_get_or_lease(c->pool, some_key(c), &options, &c->value, &c->lease)));
	else if (live_below(c, 3))
		(void)LIVE_CALL(c, "lease_fill", latz_lease_fill(&c->lease, some_bytes(c), NULL));
	else
		(void)LIVE_CALL(c, "lease_drop", latz_lease_drop(&c->lease));
}

static int look_at_counter(const latz_counter_info *info, void *arg)
{
	live_look(arg, info->name, strlen(info->name));
	live_look(arg, info->help, strlen(info->help));
	return 0;
}

static void call_counter(struct live_client *c)
{
	latz_counter_options options = LATZ_COUNTER_OPTIONS_INIT;
	latz_counter_info info = { .size = sizeof info };
	char name[24];

	if (c->counter == NULL) {
		options.kind = (latz_counter_kind)live_below(c, 3);
		options.help = "what it counts";
		snprintf(name, sizeof name, "c%u_%d", (unsigned)live_below(c, 5), (int)options.kind);
		if (LIVE_CALL(c, "counter_open", latz_counter_open(c->pool, name, &options, &c->counter)) != LATZ_OK)
			c->counter = NULL;
		return;
	}
	switch (live_below(c, 12)) {
	case 0: (void)LIVE_CALL(c, "counters", latz_counters(c->pool, look_at_counter, c)); break;
	case 1: (void)LIVE_CALL(c, "counter_read", latz_counter_read(c->counter, &info)); break;
	case 2:
	case 3: (void)LIVE_CALL(c, "counter_set", latz_counter_set(c->counter, 7)); break;
	case 4:
	case 5:
	case 6: (void)LIVE_CALL(c, "counter_record", latz_counter_record(c->counter, live_below(c, 100000))); break;
	case 7:
		(void)LIVE_CALL(c, "counter_close", latz_counter_close(c->counter));
		c->counter = NULL;
		break;
	default: (void)LIVE_CALL(c, "counter_add", latz_counter_add(c->counter, 3));
	}
}

static int look_at_space(const latz_namespace_info *info, void *arg)
{
	live_look(arg, info->name, strlen(info->name));
	return 0;
}

static void call_space(struct live_client *c)
{
	latz_namespace_options options = LATZ_NAMESPACE_OPTIONS_INIT;
	char name[16];

	snprintf(name, sizeof name, "space%u", (unsigned)live_below(c, 4));
	switch (live_below(c, 6)) {
	case 0: (void)LIVE_CALL(c, "namespaces", latz_namespaces(c->pool, look_at_space, c)); break;
	case 1:
		if (live_below(c, 3) == 0)
			(void)LIVE_CALL(c, "namespace_drop", latz_namespace_drop(c->pool, name));
		break;
	case 2:
		if (c->space == NULL)
			break;
		options.max_entries = live_below(c, 3) ? 20 : 0;
		options.max_bytes = live_below(c, 3) ? 9000 : 0;
		options.policy = live_below(c, 2) ? LATZ_POLICY_FIFO : LATZ_POLICY_DEFAULT;
		(void)LIVE_CALL(c, "namespace_limit", latz_namespace_limits(c->space, &options));
		break;
	default:
		if (c->space != NULL && c->scan == NULL && c->watch == NULL && c->txn == NULL) {
			(void)LIVE_CALL(c, "close", latz_close(c->space));
			c->space = NULL;
		}
		if (c->space == NULL && LIVE_CALL(c, "namespace", latz_namespace(c->pool, name, &c->space)) != LATZ_OK)
			c->space = NULL;
	}
}

static int look_at_client(const latz_client_info *info, void *arg)
{
	live_look(arg, info->command, strlen(info->command));
	return 0;
}

static void look_at_line(const char *what, void *arg)
{
	live_look(arg, what, strlen(what));
}

static int look_at_point(const latz_advice_point *point, void *arg)
{
	(void)arg;
	return point->size == 0;
}

static int look_at_hot(latz_slice key, double share, void *arg)
{
	live_look(arg, key.data, key.size);
	return share < 0;
}

static int look_at_pool(const latz_pool_info *info, void *arg)
{
	live_look(arg, info->name, strlen(info->name));
	return 0;
}

/* What looks at all of the pool. */
static void call_overview(struct live_client *c)
{
	latz_advise_options options = LATZ_ADVISE_OPTIONS_INIT;
	latz_stats_t stats = { .size = sizeof stats };

	switch (live_below(c, 7)) {
	case 0: (void)LIVE_CALL(c, "verify", latz_verify(c->pool, look_at_line, c)); break;
	case 1: (void)LIVE_CALL(c, "clients", latz_clients(c->pool, look_at_client, c)); break;
	case 2:
		options.flags = LATZ_ADVISE_START;
		(void)LIVE_CALL(c, "advise", latz_advise(c->pool, &options, look_at_point, NULL, NULL));
		break;
	case 3: (void)LIVE_CALL(c, "hot_keys", latz_hot_keys(c->pool, 10, look_at_hot, c)); break;
	case 4: (void)LIVE_CALL(c, "list", latz_list(c->shared->dir, look_at_pool, c)); break;
	default: (void)LIVE_CALL(c, "stats", latz_stats(some_handle(c), &stats));
	}
}

static void call_snapshot(struct live_client *c)
{
	latz_snapshot_options options = LATZ_SNAPSHOT_OPTIONS_INIT;
	latz_options pool_options = LATZ_OPTIONS_INIT;
	latz_pool *pool;

	options.flags = live_below(c, 3) == 0 ? LATZ_SNAPSHOT_IMAGE : 0;
	if (LIVE_CALL(c, "snapshot", latz_snapshot(c->pool, c->snapshot, &options)) != LATZ_OK || live_below(c, 3))
		return;
	options.flags = LATZ_RESTORE_REPLACE;
	pool_options.dir = c->shared->dir;
	pool_options.flags |= LATZ_NO_GUARD | LATZ_NO_THREAD;
	pool_options.timeout_ms = LIVE_TIMEOUT_MS;
	pool_options.password = c->shared->round.locked ? LIVE_PASSWORD : NULL;
	if (LIVE_CALL(c, "restore", latz_restore(c->snapshot, "restored", &pool_options, &options)) != LATZ_OK)
		return;
	if (LIVE_CALL(c, "open", latz_open("restored", &pool_options, &pool)) != LATZ_OK)
		return;
	for (unsigned i = 0; i < 50; i++)
		look_at_value(c, LIVE_CALL(c, "get", latz_get(pool, some_key(c), &c->value)));
	(void)LIVE_CALL(c, "close", latz_close(pool));
}

static void call_rekey(struct live_client *c)
{
	latz_rekey_options options = LATZ_REKEY_OPTIONS_INIT;

	options.data_key = (int)live_below(c, 2);
	options.password = !options.data_key || live_below(c, 2) ? LIVE_PASSWORD : NULL;
	(void)LIVE_CALL(c, "rekey", latz_rekey(c->pool, &options));
}

static void call_audit(struct live_client *c)
{
	latz_audit_status_t status = { .size = sizeof status };
	latz_audit_options options = LATZ_AUDIT_OPTIONS_INIT;
	latz_audit_info info = { .size = sizeof info };
	char path[320], name[320];

	(void)LIVE_CALL(c, "audit_key", latz_audit_key(c->pool, info.head));
	if (LIVE_CALL(c, "audit_status", latz_audit_status(c->pool, &status)) == LATZ_OK)
		live_look(c, status.path, strlen(status.path));
	snprintf(path, sizeof path, "%s/p%u.audit", c->shared->persist, c->name);
	if (live_below(c, 4))
		(void)LIVE_CALL(c, "audit_verify", latz_audit_verify(path, &options, &info));
	else
		(void)LIVE_CALL(c, "audit_rotate", latz_audit_rotate(path, name, sizeof name));
}

static void call_settings(struct live_client *c)
{
	latz_train_options train = LATZ_TRAIN_OPTIONS_INIT;
	latz_options options = LATZ_OPTIONS_INIT;
	latz_limits limits = LATZ_LIMITS_INIT;

	switch (live_below(c, 12)) {
	case 0:
		limits.max_bytes = live_below(c, 2) ? 6u << 20 : 0;
		limits.max_entries = live_below(c, 2) ? 200 : 0;
		limits.policy = (latz_policy)live_below(c, LATZ_POLICY_CLOCK + 1);
		(void)LIVE_CALL(c, "limit", latz_limit(c->pool, &limits));
		break;
	case 1:
		options.compress_min = live_below(c, 100);
		(void)LIVE_CALL(c, "compress", latz_compress(c->pool, &options));
		break;
	case 2:
		train.sample_bytes = 20000;
		train.dict_bytes = 1024;
		(void)LIVE_CALL(c, "train", latz_train(c->pool, &train, NULL));
		break;
	case 3: (void)LIVE_CALL(c, "sync_now", latz_sync_now(c->pool)); break;
	case 4:
		options.persist_dir = c->shared->persist;
		if (c->shared->round.durable && live_below(c, 3) == 0)
			(void)LIVE_CALL(c, "persist", latz_persist(c->pool, live_below(c, 2) ? &options : NULL));
		break;
	case 6: call_rekey(c); break;
	case 7: (void)LIVE_CALL(c, "retain", latz_retain(c->pool, (int64_t)live_below(c, 3) * 150)); break;
	case 8: call_audit(c); break;
	case 5: (void)LIVE_CALL(c, "clear", latz_clear(some_handle(c))); break;
	default: call_snapshot(c);
	}
}

void live_some_call(struct live_client *c)
{
	switch (live_below(c, 100)) {
	case 0: call_overview(c); break;
	case 1:
		if (live_below(c, 8) == 0)
			call_settings(c);
		break;
	case 2:
	case 3:
	case 4: (void)LIVE_CALL(c, "maintain", latz_maintain(c->pool, live_below(c, 8) ? 2000 : 0)); break;
	case 5:
	case 6:
	case 7: call_space(c); break;
	case 8:
	case 9:
	case 10:
	case 11:
	case 12: call_scan(c); break;
	case 13:
	case 14:
	case 15:
	case 16: call_watch(c); break;
	case 17:
	case 18:
	case 19:
	case 20:
	case 21: call_lock(c); break;
	case 22:
	case 23:
	case 24: call_lease(c); break;
	case 25:
	case 26:
	case 27:
	case 28: call_counter(c); break;
	case 29:
	case 30:
	case 31:
	case 32: call_borrow(c); break;
	case 33:
	case 34:
	case 35:
	case 36:
	case 37:
	case 38: call_many(c); break;
	default:
		switch (live_below(c, 6)) {
		case 0:
		case 1: call_set(c); break;
		case 2: call_change(c); break;
		case 3: call_txn(c); break;
		default: call_get(c);
		}
	}
}

/* Of the rest each says that it can't, which is soon tried. */
void live_some_read(struct live_client *c)
{
	switch (live_below(c, 40)) {
	case 0: call_overview(c); break;
	case 1:
	case 2: call_space(c); break;
	case 3:
	case 4: call_scan(c); break;
	case 5: call_counter(c); break;
	case 6: call_watch(c); break;
	case 7: call_lock(c); break;
	case 8: call_txn(c); break;
	case 9: call_set(c); break;
	case 10: call_change(c); break;
	case 11:
	case 12:
	case 13: call_borrow(c); break;
	case 14:
	case 15:
	case 16:
	case 17: call_many(c); break;
	default: call_get(c);
	}
}

void live_put_down(struct live_client *c)
{
	for (unsigned i = 0; i < 4; i++) {
		if (c->view[i].owner != NULL)
			(void)LIVE_CALL(c, "release", latz_release(&c->view[i]));
	}
	memset(c->view, 0, sizeof c->view);
	if (c->scan != NULL)
		(void)LIVE_CALL(c, "scan_close", latz_scan_close(c->scan));
	if (c->watch != NULL)
		(void)LIVE_CALL(c, "watch_close", latz_watch_close(c->watch));
	if (c->txn != NULL)
		(void)LIVE_CALL(c, "txn_abort", latz_txn_abort(c->txn));
	if (c->counter != NULL)
		(void)LIVE_CALL(c, "counter_close", latz_counter_close(c->counter));
	if (c->lock.token != 0)
		(void)LIVE_CALL(c, "unlock", latz_unlock(&c->lock));
	if (c->lease.lock.token != 0)
		(void)LIVE_CALL(c, "lease_drop", latz_lease_drop(&c->lease));
	c->scan = NULL;
	c->watch = NULL;
	c->txn = NULL;
	c->counter = NULL;
}
