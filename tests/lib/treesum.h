/*
 * A sum of all that is below a directory, to see whether anything of it has changed.
 */
#ifndef TESTS_LIB_TREESUM_H
#define TESTS_LIB_TREESUM_H

#include <stdbool.h>
#include <stdint.h>

/* Of names, owners, modes, sizes, times of change and bytes; all: of blocks as well, and of what has a name with a dot
 * first. Ends the process if something can't be read. */
uint64_t tree_sum(const char *path, bool all);

#endif
