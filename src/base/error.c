/*
 * Result codes and the per-thread error detail. The detail is a fixed buffer: reporting that memory ran out must not
 * need memory.
 */
#include "config.h"

#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static __thread char detail[LZI_ERROR_DETAIL_SIZE];

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

const char *latz_error_detail(void)
{
	return detail;
}

int lzi_error(int rc, const char *fmt, ...)
{
	char text[LZI_ERROR_DETAIL_SIZE];
	va_list args;

	/* By way of a buffer, since an argument may be the detail itself. */
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	memcpy(detail, text, sizeof(detail));
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
	snprintf(detail, sizeof(detail), "%.*s: %s", LZI_ERROR_DETAIL_SIZE - 1 - 2 - (int)sizeof(reason), text,
	         strerror_r(err, reason, sizeof(reason)));
	return lzi_error_code(err);
}

int lzi_error_prefix(int rc, const char *fmt, ...)
{
	char prefix[LZI_ERROR_DETAIL_SIZE], rest[LZI_ERROR_DETAIL_SIZE];
	va_list args;
	int used;

	va_start(args, fmt);
	vsnprintf(prefix, sizeof(prefix), fmt, args);
	va_end(args);
	memcpy(rest, detail, sizeof(rest));
	used = snprintf(detail, sizeof(detail), "%s: ", prefix);
	if (used > 0 && (size_t)used < sizeof(detail))
		snprintf(detail + used, sizeof(detail) - (size_t)used, "%.*s", (int)sizeof(detail) - used - 1, rest);
	return rc;
}
