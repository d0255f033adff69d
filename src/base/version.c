/* The version of the library that runs. */
#include "config.h"

#include <latzero/latzero.h>

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

const char *latz_version(void)
{
	return TEXT(LATZ_VERSION_MAJOR) "." TEXT(LATZ_VERSION_MINOR) "." TEXT(LATZ_VERSION_PATCH);
}
