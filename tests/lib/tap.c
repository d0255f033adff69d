/* TAP output; see tap.h. */
#include "base.h"
#include "tap.h"

static unsigned tests, failures;

void tap_ok(bool ok, const char *format, ...)
{
	va_list args;

	tests++;
	failures += !ok;
	printf("%s %u - ", ok ? "ok" : "not ok", tests);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
}

int tap_done(void)
{
	printf("1..%u\n", tests);
	fflush(stdout);
	return failures > 0;
}
