/*
 * Public call for new keys.
 */
#include "config.h"

#include <string.h>

#include "api/api.h"

#define PASSWORD_MAX 1024u

int latz_rekey(latz_pool *pool, const latz_rekey_options *options)
{
	struct lzi_call call;
	int rc;

	if (options == NULL || options->size < sizeof *options)
		return lzi_api_error(LATZ_INVALID, "options is NULL, or its size is not set");
	if (options->password == NULL && !options->data_key)
		return lzi_api_error(LATZ_INVALID, "there is nothing to change");
	if (options->password != NULL &&
	    (options->password[0] == '\0' || strnlen(options->password, PASSWORD_MAX + 1) > PASSWORD_MAX))
		return lzi_api_error(LATZ_INVALID, "a password has 1 to %u bytes", PASSWORD_MAX);
	rc = lzi_api_whole(pool);
	if (rc == LATZ_OK)
		rc = lzi_api_write(pool, &call);
	return lzi_api_result(rc == LATZ_OK ? lzi_seal_rekey(&call, options->password, options->data_key != 0) : rc);
}
