/*
 * latzero: passwords and where they come from. Included by <latzero/latzero.h>.
 */
#ifndef LATZERO_PASSWORD_H
#define LATZERO_PASSWORD_H

#include <latzero/latzero.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A pool that is made with a password asks everybody for it who opens it. With latz_options.encrypt keys and values are
 * encrypted besides, in memory, in the log, in snapshots and images; without, anybody who may read the files can read
 * them. A wrong password is LATZ_AUTH. It costs as much time as a right one, 50 ms or more, and each in a row makes the
 * next attempt wait longer, up to 3 seconds, whoever makes it; LATZ_TIMEOUT if others were always faster, for 15. What
 * is protected against whom: doc/security.md.
 *
 * Programs should not have passwords in their text, their arguments or their environment. Where they can be had:
 *
 *   file:PATH     a regular file of this user's or root's, no symbolic link, that nobody else may read or write (mode
 *                 0600 or 0400), else LATZ_ACCESS. All of it is the password, but for a newline at its end
 *   fd:N          an open descriptor, say a pipe's: up to a newline or the end. It stays the caller's
 *   keyring:NAME  a key of type "user" of that name in the kernel's keyring of the session, else of the user, but for a
 *                 newline at its end; the user's also where the session has no link to it
 *
 * There is no env:NAME: the environment is inherited by every child, and can be read in /proc. */

/* Reads a password, 1 to 1024 bytes without a NUL, to memory that is locked and left out of core dumps. On success
 * *password is a string to be ended with latz_password_free(). latz_options.password_from does both by itself; this is
 * for who needs it more than once, as a descriptor can be read but once. May block for the descriptor. Errors:
 * LATZ_ACCESS, LATZ_INVALID, LATZ_UNSUPPORTED (no keyring), LATZ_NOMEM, LATZ_IO. */
LATZ_API int latz_password_read(const char *from, char **password) LATZ_MUSTCHECK;

/* Wipes it and gives its memory back. NULL is ignored. */
LATZ_API void latz_password_free(char *password);

#ifdef __cplusplus
}
#endif

#endif
