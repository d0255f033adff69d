/*
 * What latzero-snapshot and latzero-restore share: progress, and options of the work.
 */
#include "cli.h"

void cli_work_begin(struct cli_work *work, const char *what)
{
	*work = (struct cli_work){ .begin_ns = cli_now_ns() };
	cli_progress_begin(&work->bar, what, 0);
}

int cli_work_step(const latz_snapshot_progress *progress, void *arg)
{
	struct cli_work *work = arg;

	work->bar.total = progress->keys_total;
	cli_progress_step(&work->bar, progress->keys);
	return cli_signalled();
}

double cli_work_end(struct cli_work *work)
{
	cli_progress_end(&work->bar);
	return (double)(cli_now_ns() - work->begin_ns) / 1e9;
}

int cli_snapshot_options(int64_t level, uint64_t threads, latz_snapshot_options *options)
{
	if (level > 19 || level < -100)
		return cli_error(CLI_USAGE, "--level: 1 to 19, or a negative one for speed");
	if (threads > 256)
		return cli_error(CLI_USAGE, "--threads: at most 256; without it the library chooses");
	options->level = (int)level;
	options->threads = (unsigned)threads;
	return CLI_OK;
}
