/*
 * Private to store/: whether all that is encrypted in a snapshot, or an image, can be opened, without a
 * pool.
 */
#ifndef LZI_STORE_SNAPSHOT_CHECK_H
#define LZI_STORE_SNAPSHOT_CHECK_H

#include "snap/snap.h"
#include "store/image.h"

/* read: fd, at its beginning, and name; info is filled in. Reads it twice: first whether it is whole, and for its
 * keys. LATZ_AUTH: another password, or it is of a pool without one. LATZ_CORRUPT. */
int lzi_snapshot_check(struct lzi_snap_read *read, const char *password);
/* The same of an image that is open. Names the first record that does not open. */
int lzi_image_check(const struct lzi_image *image, const char *password);

#endif
