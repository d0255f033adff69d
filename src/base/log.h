/*
 * Messages for the operator: one line each, to the application's logger or to stderr.
 */
#ifndef LZI_BASE_LOG_H
#define LZI_BASE_LOG_H

#include <latzero/latzero.h>

#include "base/atomic.h"

/* Sends a message if the level in force lets it through. Messages are cut at 1 KiB. */
void lzi_log(latz_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3))) LZI_COLD;

#endif
