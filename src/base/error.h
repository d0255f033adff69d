/*
 * Result codes with their texts, and the calling thread's error detail. A function that fails returns a LATZ_ code and
 * has put the story into a text of the thread; each caller on the way up may put a prefix in front ("open pool: map
 * heap: ..."), or deal with it. The text becomes the calling thread's error detail when a public call fails
 * (lzi_error_result()).
 */
#ifndef LZI_BASE_ERROR_H
#define LZI_BASE_ERROR_H

#include <latzero/latzero.h>

#include "base/analyzed.h"
#include "base/atomic.h"

/* The one list of codes: X(name without LATZ_, text). */
#define LZI_ERRORS(X) \
	X(OK, "success") \
	X(NOTFOUND, "no such key or pool") \
	X(EXISTS, "already exists") \
	X(MISMATCH, "the version or condition does not hold") \
	X(INVALID, "invalid argument") \
	X(TOOBIG, "key or value too big") \
	X(NOSPC, "no space left for the pool") \
	X(FULL, "the pool's own limit is reached") \
	X(NOMEM, "out of memory or address space") \
	X(BUSY, "in use") \
	X(TIMEOUT, "timed out waiting for another process") \
	X(ACCESS, "permission denied") \
	X(AUTH, "wrong or missing password") \
	X(CORRUPT, "damaged data") \
	X(VERSION, "another format version") \
	X(DEAD, "the pool was destroyed") \
	X(TYPE, "the value's type does not allow it") \
	X(OVERFLOW, "integer overflow") \
	X(CLIENTS, "no free client slot") \
	X(CONFLICT, "lost against another transaction") \
	X(DEADLOCK, "waiting would deadlock") \
	X(FENCED, "stale lock token") \
	X(IO, "input/output error") \
	X(UNSUPPORTED, "not supported in this release") \
	X(DONE, "end of the scan") \
	X(READONLY, "the handle is read-only")

enum {
	LZI_ERROR_DETAIL_SIZE = 512 /* bytes kept, the NUL included; longer texts are cut */
};

/* Sets the thread's text and returns rc. */
int lzi_error(int rc, const char *fmt, ...) __attribute__((format(printf, 2, 3))) LZI_COLD;

/* "LATZ_INT"; LATZ_USER for all of those. */
const char *lzi_type_name(latz_type type) LZI_COLD;

/* The LATZ_ code for an errno number. */
int lzi_error_code(int err) LZI_COLD;

/* A code that stands in memory which others can write: what is none is LATZ_CORRUPT. */
int lzi_error_read(int rc) LZI_COLD;

/* Sets the thread's text to "<fmt>: <text of err>" and returns the code for err. */
int lzi_error_sys(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3))) LZI_COLD;

/* Puts "<fmt>: " in front of the text there is and returns rc. */
int lzi_error_prefix(int rc, const char *fmt, ...) __attribute__((format(printf, 2, 3))) LZI_COLD;

/* The thread's text. */
const char *lzi_error_text(void);

/* A public call ends with rc. If that is an error, the detail is the text that was set for it, or the code's own. */
int lzi_error_result(int rc) LZI_COLD;

/* The detail of a failed call that needs no more than a constant, which costs one store; NULL: some other text. */
extern __thread const char *lzi_error_plain __attribute__((tls_model("initial-exec")));

/* Static analyzers do not see error.c, and so not that what reports an error returns one. */
#if defined(LZI_ANALYZED)
#define lzi_error(rc, ...) lzi_error_is(rc, (lzi_error)(lzi_error_rc, __VA_ARGS__))
#define lzi_error_prefix(rc, ...) lzi_error_is(rc, (lzi_error_prefix)(lzi_error_rc, __VA_ARGS__))
#define lzi_error_result(rc) lzi_error_is(rc, (lzi_error_result)(lzi_error_rc))
#define lzi_error_is(rc, call) \
	({ \
		int lzi_error_rc = (rc); \
		lzi_analyzed_assume(lzi_error_rc <= 0); \
		(void)(call); \
		lzi_error_rc; \
	})
#define lzi_error_sys(err, ...) \
	({ \
		int lzi_error_code = (lzi_error_sys)(err, __VA_ARGS__); \
		lzi_analyzed_assume(lzi_error_code < 0); \
		lzi_error_code; \
	})
#endif

#endif
