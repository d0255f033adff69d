/*
 * Temporary directories of tests. Each is made with mkdtemp under /dev/shm (else $TMPDIR, else /tmp), private to its
 * maker, and removed with all it holds when the maker exits normally or calls tempdir_remove().
 */
#ifndef TESTS_LIB_TEMPDIR_H
#define TESTS_LIB_TEMPDIR_H

/* The path stays valid until tempdir_remove(). Ends the process when it can't be made. */
const char *tempdir_make(void);

/* Removes one directory made by this process. */
void tempdir_remove(const char *path);

/* How many entries (without . and ..) a directory has; -1 if it can't be read. */
int tempdir_entries(const char *path);

#endif
