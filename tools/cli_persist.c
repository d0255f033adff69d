/*
 * The options of durability, as create, persist and latzero-restore take them.
 */
#include "cli.h"

#include <string.h>

static const char *const sync_names[] = { "none", "interval", "always" };

const char *cli_sync_name(latz_sync sync)
{
	return (unsigned)sync < sizeof(sync_names) / sizeof(sync_names[0]) ? sync_names[sync] : "unknown";
}

static int parse_sync(const char *text, latz_sync *sync)
{
	for (unsigned i = 0; i < sizeof(sync_names) / sizeof(sync_names[0]); i++) {
		if (strcmp(text, sync_names[i]) == 0) {
			*sync = (latz_sync)i;
			return CLI_OK;
		}
	}
	return cli_error(CLI_USAGE, "--sync %s: there are always, interval and none", text);
}

int cli_persist_options(const struct cli_persist *persist, latz_options *options)
{
	latz_sync sync = LATZ_SYNC_INTERVAL; /* who names a directory wants what is written to be there */
	int code = CLI_OK;

	if (persist->sync != NULL && (code = parse_sync(persist->sync, &sync)) != CLI_OK)
		return code;
	if (persist->dir == NULL) {
		if (persist->sync != NULL || persist->sync_interval_ms != 0 || persist->checkpoint_bytes != 0 ||
		    persist->snapshot_on_close)
			return cli_error(CLI_USAGE, "--sync, --sync-interval, --checkpoint-bytes and "
			                            "--snapshot-on-close go with a directory: --persist DIR");
		return CLI_OK;
	}
	if (*persist->dir == '\0')
		return cli_error(CLI_USAGE, "the directory of a durable pool is empty; give its path");
	if (persist->sync_interval_ms < 0 || persist->sync_interval_ms > 3600000)
		return cli_error(CLI_USAGE, "--sync-interval: 1ms to 1h");
	if (persist->sync_interval_ms != 0 && sync != LATZ_SYNC_INTERVAL)
		return cli_error(CLI_USAGE, "--sync-interval goes with --sync interval");
	options->persist_dir = persist->dir;
	options->sync = sync;
	options->sync_interval_ms = (unsigned)persist->sync_interval_ms;
	options->checkpoint_bytes = persist->checkpoint_bytes;
	options->snapshot_on_close = persist->snapshot_on_close;
	return CLI_OK;
}
