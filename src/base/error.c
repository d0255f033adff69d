/*
 * Result codes and the per-thread error detail. Fixed buffers: reporting that memory ran out must not need memory.
 *
 * There are two texts. `met` is what went wrong somewhere below; its caller may know how to go on, and then nothing has
 * failed. Only at the boundary of a public call that does fail it becomes `failed`, which the application sees.
 */
#include "config.h"

#undef LZI_ANALYZED /* here the functions are what they are */

#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

__thread const char *lzi_error_plain;
static __thread char failed[LZI_ERROR_DETAIL_SIZE];
static __thread struct {
	int code; /* that the text goes with; LATZ_OK: none */
	char text[LZI_ERROR_DETAIL_SIZE];
} met;

const char *latz_strerror(int rc)
{
	switch (rc) {
#define X(name, text) \
	case LATZ_##name: return "LATZ_" #name ": " text;
		LZI_ERRORS(X)
#undef X
	default: return "unknown result code";
	}
}

int lzi_error_read(int rc)
{
	switch (rc) {
#define X(name, text) \
	case LATZ_##name: return LATZ_##name;
		LZI_ERRORS(X)
#undef X
	default: return LATZ_CORRUPT;
	}
}

const char *latz_error_detail(void)
{
	return lzi_error_plain != NULL ? lzi_error_plain : failed;
}

const char *lzi_type_name(latz_type type)
{
	static const char *const names[] = { "LATZ_BYTES", "LATZ_STRING", "LATZ_INT",     "LATZ_FLOAT", "LATZ_BOOL",
		                             "LATZ_NULL",  "LATZ_JSON",   "LATZ_MSGPACK", "LATZ_PICKLE" };

	return (size_t)type < sizeof(names) / sizeof(names[0]) ? names[type] : "LATZ_USER";
}

const char *lzi_error_text(void)
{
	return met.text;
}

int lzi_error_result(int rc)
{
	if (rc < 0 && met.code != rc) {
		lzi_error_plain = latz_strerror(rc);
	} else if (rc < 0) {
		memcpy(failed, met.text, sizeof(failed));
		lzi_error_plain = NULL;
	}
	met.code = LATZ_OK;
	return rc;
}

int lzi_error(int rc, const char *fmt, ...)
{
	char text[LZI_ERROR_DETAIL_SIZE];
	va_list args;

	/* By way of a buffer, since an argument may be the detail itself. */
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	memcpy(met.text, text, sizeof(met.text));
	met.code = rc;
	return rc;
}

int lzi_error_code(int err)
{
	switch (err) {
	case 0: return LATZ_OK;
	case ENOSPC:
	case EDQUOT: return LATZ_NOSPC;
	case EACCES:
	case EPERM:
	case EROFS:
	case ELOOP: return LATZ_ACCESS;
	case ENOMEM: return LATZ_NOMEM;
	default: return LATZ_IO;
	}
}

int lzi_error_sys(int err, const char *fmt, ...)
{
	char text[LZI_ERROR_DETAIL_SIZE], reason[128];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	/* The reason is worth more than the end of an overlong text. */
	snprintf(met.text, sizeof(met.text), "%.*s: %s", LZI_ERROR_DETAIL_SIZE - 1 - 2 - (int)sizeof(reason), text,
	         strerror_r(err, reason, sizeof(reason)));
	met.code = lzi_error_code(err);
	return met.code;
}

int lzi_error_prefix(int rc, const char *fmt, ...)
{
	char prefix[LZI_ERROR_DETAIL_SIZE], rest[LZI_ERROR_DETAIL_SIZE];
	va_list args;
	int used;

	va_start(args, fmt);
	vsnprintf(prefix, sizeof(prefix), fmt, args);
	va_end(args);
	memcpy(rest, met.text, sizeof(rest));
	used = snprintf(met.text, sizeof(met.text), "%s: ", prefix);
	if (used > 0 && (size_t)used < sizeof(met.text))
		snprintf(met.text + used, sizeof(met.text) - (size_t)used, "%.*s", (int)sizeof(met.text) - used - 1,
		         rest);
	met.code = rc;
	return rc;
}
