/*
 * The process-wide logger. A message is formatted outside the lock and delivered inside it, so that a logger that was
 * replaced is not running any more when latz_set_logger() returns, and fn and arg always belong together.
 */
#include "config.h"

#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	MESSAGE_SIZE = 1024
};

static pthread_mutex_t logger_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static latz_log_fn logger_fn;
static void *logger_arg;
static int logger_level = LATZ_LOG_WARNING; /* atomic: read without the lock */
static int forced_level = -1;               /* from the environment; -1: not given */

static void fork_prepare(void)
{
	pthread_mutex_lock(&logger_mutex);
}

static void fork_done(void)
{
	pthread_mutex_unlock(&logger_mutex);
}

static void read_environment(void)
{
	static const char *const names[] = { "none", "error", "warning", "info", "debug" };
	const char *text = getenv("LATZERO_LOG");

	for (int level = 0; text != NULL && level < (int)(sizeof(names) / sizeof(names[0])); level++) {
		if (strcmp(text, names[level]) == 0)
			forced_level = level;
	}
	if (forced_level >= 0)
		lzi_store_relaxed(&logger_level, forced_level);
	/* A child forked while another thread logs must not find the mutex locked for ever. */
	pthread_atfork(fork_prepare, fork_done, fork_done);
}

void latz_set_logger(latz_log_fn fn, void *arg, latz_log_level level)
{
	pthread_once(&once, read_environment);
	pthread_mutex_lock(&logger_mutex);
	logger_fn = fn;
	logger_arg = arg;
	lzi_store_relaxed(&logger_level, forced_level >= 0 ? forced_level : (int)level);
	pthread_mutex_unlock(&logger_mutex);
}

void lzi_log(latz_log_level level, const char *fmt, ...)
{
	char message[MESSAGE_SIZE];
	int saved_errno = errno;
	va_list args;

	pthread_once(&once, read_environment);
	if (level == LATZ_LOG_NONE || (int)level > lzi_load_relaxed(&logger_level))
		return;
	va_start(args, fmt);
	vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	pthread_mutex_lock(&logger_mutex);
	if (logger_fn != NULL)
		logger_fn(level, message, logger_arg);
	else
		fprintf(stderr, "latzero: %s\n", message);
	pthread_mutex_unlock(&logger_mutex);
	errno = saved_errno;
}
