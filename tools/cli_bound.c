/*
 * Bounds and policies, as create, limit, inspect and top show and take them.
 */
#include "cli.h"

#include <string.h>

int cli_parse_policy(const char *text, latz_policy *policy)
{
	if (cli_policy_parse(text, policy))
		return CLI_OK;
	return cli_error(CLI_USAGE, "--policy %s: there are " CLI_POLICIES, text);
}

bool cli_parse_bound(const char *text, bool is_size, uint64_t *bound)
{
	if (strcmp(text, "none") == 0) {
		*bound = 0;
		return true;
	}
	return is_size ? cli_parse_size(text, bound) : cli_parse_count(text, bound);
}

bool cli_is_bounded(const latz_stats_t *stats)
{
	return stats->max_bytes != 0 || stats->max_entries != 0;
}

double cli_percent(uint64_t part, uint64_t whole)
{
	return whole == 0 ? 0 : (double)part * 100 / (double)whole;
}
