/*
 * A copy of a part of a pool in the memory of a process, kept up by events: subscribe first, then read what is there,
 * then follow. The descriptor lets an event loop wait for events among other things.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <latzero/latzero.h>

#define PREFIX "config/"

static void check(int rc, const char *what)
{
	if (rc == LATZ_OK)
		return;
	fprintf(stderr, "%s: %s (%s)\n", what, latz_strerror(rc), latz_error_detail());
	exit(1);
}

/* What this process makes of a setting; here it prints it. */
static void apply(const char *how, latz_slice key, const latz_value *value)
{
	printf("  %s %.*s%s%s\n", how, (int)key.size, (const char *)key.data, value == NULL ? "" : " = ",
	       value == NULL ? "" : (const char *)value->data);
}

static void read_all(latz_pool *pool)
{
	latz_scan_options options = LATZ_SCAN_OPTIONS_INIT;
	latz_value value = LATZ_VALUE_INIT;
	latz_slice key;
	latz_scan *scan;
	int rc;

	options.prefix = latz_str(PREFIX);
	check(latz_scan_open(pool, &options, &scan), "latz_scan_open");
	while ((rc = latz_scan_next(scan, &key, &value)) == LATZ_OK)
		apply("found", key, &value);
	if (rc != LATZ_DONE)
		check(rc, "latz_scan_next");
	latz_value_free(&value);
	check(latz_scan_close(scan), "latz_scan_close");
}

/* An event says that something changed; what it is now is read. 1: it was the last of this example. */
static int follow(latz_pool *pool, const latz_event *event)
{
	latz_value value = LATZ_VALUE_INIT;
	int last = 0, rc;

	if (event->kind == LATZ_EVENT_LOST) { /* the ring went round while we did something else */
		read_all(pool);
		return 0;
	}
	rc = latz_get(pool, event->key, &value);
	if (rc == LATZ_OK)
		apply("set", event->key, &value);
	else if (rc == LATZ_NOTFOUND)
		apply("gone", event->key, NULL);
	else
		check(rc, "latz_get");
	last = event->key.size == strlen(PREFIX "done") && memcmp(event->key.data, PREFIX "done", event->key.size) == 0;
	latz_value_free(&value);
	return last;
}

/* Another process, which changes settings. */
static void change(void)
{
	latz_set_options shortly = LATZ_SET_OPTIONS_INIT;
	latz_pool *pool;

	check(latz_open("settings", NULL, &pool), "latz_open");
	check(latz_set(pool, latz_str("config/colour"), latz_str("green"), NULL), "latz_set");
	check(latz_set(pool, latz_str("sessions/17"), latz_str("nobody listens to this"), NULL), "latz_set");
	check(latz_delete(pool, latz_str("config/size")), "latz_delete");
	shortly.ttl_ms = 20;
	check(latz_set(pool, latz_str("config/banner"), latz_str("back soon"), &shortly), "latz_set");
	usleep(200000);
	check(latz_set(pool, latz_str("config/done"), latz_str("yes"), NULL), "latz_set");
	check(latz_close(pool), "latz_close");
}

int main(void)
{
	latz_watch_options options = LATZ_WATCH_OPTIONS_INIT;
	latz_event event = LATZ_EVENT_INIT;
	latz_watch *watch;
	latz_pool *pool;
	int done = 0, rc;
	pid_t other;

	check(latz_open("settings", NULL, &pool), "latz_open");
	check(latz_set(pool, latz_str("config/colour"), latz_str("red"), NULL), "latz_set");
	check(latz_set(pool, latz_str("config/size"), latz_str("10"), NULL), "latz_set");

	options.prefix = latz_str(PREFIX);
	options.kinds = LATZ_EVENT_SET | LATZ_EVENT_DELETE | LATZ_EVENT_EXPIRE | LATZ_EVENT_EVICT;
	check(latz_watch_open(pool, &options, &watch), "latz_watch_open");
	read_all(pool);
	fflush(stdout);

	other = fork();
	if (other == 0) {
		change();
		_exit(0);
	}
	struct pollfd wait_for = { .fd = latz_watch_fd(watch), .events = POLLIN };
	check(wait_for.fd < 0 ? wait_for.fd : LATZ_OK, "latz_watch_fd");
	while (!done) {
		poll(&wait_for, 1, -1); /* with whatever else the program waits for */
		while (!done && (rc = latz_watch_next(watch, 0, &event)) == LATZ_OK)
			done = follow(pool, &event);
		if (!done && rc != LATZ_TIMEOUT)
			check(rc, "latz_watch_next");
	}
	waitpid(other, NULL, 0);
	check(latz_watch_close(watch), "latz_watch_close");
	check(latz_close(pool), "latz_close");
	return 0;
}
