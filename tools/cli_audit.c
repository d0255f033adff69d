/*
 * The options of audit logs, as create and latzero-restore take them.
 */
#include "cli.h"

#include <string.h>

/* Words with commas between. */
static int parse_keys(const char *text, unsigned *ret_keys)
{
	static const struct {
		const char *name;
		unsigned bits;
	} words[] = { { "writes", LATZ_AUDIT_WRITES },
		      { "reads", LATZ_AUDIT_READS },
		      { "all", LATZ_AUDIT_WRITES | LATZ_AUDIT_READS },
		      { "plain", LATZ_AUDIT_PLAIN } };

	for (size_t i, n; *text != '\0'; text += n + (text[n] == ',')) {
		n = strcspn(text, ",");
		for (i = 0; i < sizeof(words) / sizeof(words[0]) &&
		            (strlen(words[i].name) != n || strncmp(text, words[i].name, n) != 0);
		     i++)
			;
		if (i == sizeof(words) / sizeof(words[0]))
			return cli_error(CLI_USAGE, "--audit-keys %s: there are writes, reads, all and plain", text);
		*ret_keys |= words[i].bits;
	}
	return CLI_OK;
}

int cli_audit_options(const struct cli_audit *audit, latz_options *options)
{
	int code = audit->keys != NULL ? parse_keys(audit->keys, &options->audit_keys) : CLI_OK;

	options->audit = audit->file;
	if (audit->lax)
		options->audit_keys |= LATZ_AUDIT_LAX;
	if (code == CLI_OK && options->audit_keys != 0 && options->audit == NULL)
		return cli_error(CLI_USAGE, "--audit-keys and --audit-lax go with --audit FILE");
	return code;
}
