/*
 * --namespace: which commands take it, and how they come to the namespace's handle.
 */
#include "cli.h"

#include <string.h>

/* Where else the option means something; elsewhere it is refused, so that nobody destroys a pool who meant a part. */
static const char *const within[] = { "get",  "set",  "del",   "exists", "incr",    "append", "ttl",  "keys",
	                              "scan", "load", "dump",  "clear",  "limit",   "inspect", "lock", "watch" };

bool cli_takes_namespace(const char *command)
{
	for (size_t i = 0; i < sizeof(within) / sizeof(within[0]); i++) {
		if (strcmp(within[i], command) == 0)
			return true;
	}
	return false;
}

static int is_it(const latz_namespace_info *info, void *arg)
{
	(void)arg;
	return strcmp(info->name, cli.space) == 0;
}

int cli_enter_namespace(const char *name, bool make, latz_pool **pool)
{
	latz_pool *sub = NULL;
	int found = make ? 1 : latz_namespaces(*pool, is_it, NULL), code;

	if (found == 0)
		code = cli_error(CLI_NO, "pool %s has no namespace %.64s: list them: latzero namespaces %s", name,
		                 cli.space, name);
	else if (found < 0)
		code = cli_fail(found, "looking for the namespace", name, NULL);
	else {
		int rc = latz_namespace(*pool, cli.space, &sub);
		code = rc == LATZ_OK ? CLI_OK
		                     : cli_fail(rc, "entering the namespace", name,
		                                rc == LATZ_INVALID ? "its name: 1 to 64 of A-Z a-z 0-9 . _ -" : NULL);
	}
	(void)!latz_close(*pool);
	*pool = sub;
	return code;
}
