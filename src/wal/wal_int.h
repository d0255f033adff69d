/*
 * What the log's write and read side share.
 */
#ifndef LZI_WAL_WAL_INT_H
#define LZI_WAL_WAL_INT_H

#include <stddef.h>
#include <stdint.h>

/* Numbers of the segments there are, rising; to be freed. */
int lzi_wal_list(int dirfd, uint64_t **ret_numbers, size_t *ret_count);

#endif
