/*
 * The parts of latzero top.
 */
#ifndef LATZERO_TOOLS_TOP_H
#define LATZERO_TOOLS_TOP_H

#include "cli.h"

/* The hottest keys of a pool. interval_ms: how long one that is not sampled is watched. Returns the exit code. */
int top_keys(const char *name, int64_t interval_ms, unsigned most);

#endif
