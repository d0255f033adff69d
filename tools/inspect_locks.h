/*
 * Locks, for latzero inspect.
 */
#ifndef LATZERO_TOOLS_INSPECT_LOCKS_H
#define LATZERO_TOOLS_INSPECT_LOCKS_H

#include "cli.h"

void inspect_locks_json(latz_pool *pool);
/* Nothing if nothing is locked. */
void inspect_locks_print(latz_pool *pool);

#endif
