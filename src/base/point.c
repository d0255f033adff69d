/*
 * Kill points for tests. This file is compiled into every variant of the library, but only the test build has calls of
 * lzi_point_hit(). It keeps the names it has seen in a fixed table: a point may sit anywhere, so nothing here
 * allocates or takes a lock that a killed process could leave behind for others.
 */
#include "config.h"

#include "base/point.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/atomic.h"

enum {
	POINT_NAME_SIZE = 64,
	POINTS_MAX = 1024 /* names traced; a power of two */
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static char armed_name[POINT_NAME_SIZE];
static unsigned armed_countdown; /* 0: nothing is armed */
static int armed_action;
static char trace_path[4096];
static const char *traced[POINTS_MAX];

static void arm(const char *name, size_t length, unsigned countdown, int action)
{
	if (length >= sizeof(armed_name))
		length = sizeof(armed_name) - 1;
	memcpy(armed_name, name, length);
	armed_name[length] = '\0';
	armed_action = action;
	lzi_store_release(&armed_countdown, countdown);
}

static void read_environment(void)
{
	const char *spec = getenv("LATZERO_POINT");
	const char *trace = getenv("LATZERO_POINT_TRACE");

	if (trace != NULL)
		snprintf(trace_path, sizeof(trace_path), "%s", trace);
	if (spec != NULL && *spec != '\0') {
		size_t length = strcspn(spec, ":");
		unsigned countdown = 1;
		char *rest = (char *)spec + length;

		if (*rest == ':')
			countdown = (unsigned)strtoul(rest + 1, &rest, 10);
		arm(spec, length, countdown, strcmp(rest, ":stop") == 0 ? LZI_POINT_STOP : LZI_POINT_KILL);
	}
}

void lzi_point_arm(const char *name, unsigned countdown, int action)
{
	pthread_once(&once, read_environment);
	if (name == NULL)
		lzi_store_release(&armed_countdown, 0u);
	else
		arm(name, strlen(name), countdown, action);
}

/* True the first time. Names are string constants, but the same name may sit at several addresses. */
static bool trace_first(const char *name)
{
	unsigned hash = 5381;

	for (const char *p = name; *p != '\0'; p++)
		hash = hash * 33 + (unsigned char)*p;
	for (unsigned i = 0; i < POINTS_MAX; i++) {
		const char **slot = &traced[(hash + i) % POINTS_MAX];
		const char *there = lzi_load_acquire(slot);

		if (there == NULL && lzi_cas_acquire(slot, &there, name))
			return true;
		if (strcmp(there, name) == 0)
			return false;
	}
	return false;
}

static void trace(const char *name)
{
	char line[POINT_NAME_SIZE + 1];
	int fd, length;

	if (!trace_first(name))
		return;
	fd = open(trace_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	/* One write a line: lines of processes that trace into the same file must not mix. */
	length = snprintf(line, sizeof(line), "%s\n", name);
	if (length > 0 && write(fd, line, (size_t)length) < 0)
		fprintf(stderr, "latzero: could not trace point %s\n", name);
	close(fd);
}

void lzi_point_hit(const char *name)
{
	pthread_once(&once, read_environment);
	if (trace_path[0] != '\0')
		trace(name);
	if (lzi_load_acquire(&armed_countdown) == 0 || strcmp(name, armed_name) != 0)
		return;
	if (lzi_fetch_sub(&armed_countdown, 1u) == 1)
		raise(armed_action == LZI_POINT_STOP ? SIGSTOP : SIGKILL);
}
