/*
 * latzero train: makes a dictionary, for compressing small values, of what is in a pool.
 */
#include "cli.h"

#include <inttypes.h>

static int report(const char *name, const latz_train_info *info, uint64_t compress_min)
{
	char text[CLI_TEXT_MAX];

	if (cli.json) {
		cli_json_begin(NULL, '{');
		cli_json_text("pool", name);
		cli_json_u64("dictionary", info->dictionary);
		cli_json_u64("dict_bytes", info->dict_bytes);
		cli_json_u64("samples", info->samples);
		cli_json_u64("sample_bytes", info->sample_bytes);
		cli_json_u64("before_permille", info->before_permille);
		cli_json_u64("after_permille", info->after_permille);
		cli_json_end('}');
		return CLI_OK;
	}
	if (info->dictionary == 0 && info->after_permille == 0)
		printf("no dictionary: %" PRIu64 " values of 16 bytes to 32 KiB are too few or too unlike\n",
		       info->samples);
	else if (info->dictionary == 0)
		printf("no dictionary: with it 1000 bytes would become %u, and are %u without\n", info->after_permille,
		       info->before_permille);
	else
		printf("dictionary %u, %s, of %" PRIu64 " values: 1000 bytes become %u instead of %u\n",
		       info->dictionary, cli_show_size(info->dict_bytes, text), info->samples, info->after_permille,
		       info->before_permille);
	if (info->dictionary != 0 && compress_min == 0)
		printf("%s compresses nothing now: it will help when that is turned on\n", name);
	return CLI_OK;
}

static int run_train(const struct cli_command *command, int argc, char **argv)
{
	latz_train_options options = LATZ_TRAIN_OPTIONS_INIT;
	latz_train_info info = { .size = sizeof(info) };
	latz_stats_t stats = { .size = sizeof(stats) };
	uint64_t dict_bytes = 0, sample_bytes = 0;
	latz_pool *pool;
	const struct cli_option table[] = {
		{ "dict-size", CLI_SIZE, &dict_bytes },
		{ "sample", CLI_SIZE, &sample_bytes },
		{ NULL, CLI_FLAG, NULL },
	};

	cli_parse(command, table, argc, argv, 1, 1);
	options.dict_bytes = (size_t)dict_bytes;
	options.sample_bytes = (size_t)sample_bytes;
	int code = cli_open_write(argv[0], LATZ_NO_THREAD, &pool);
	if (code != CLI_OK)
		return code;
	int rc = latz_train(pool, &options, &info);
	if (rc == LATZ_OK)
		rc = latz_stats(pool, &stats);
	if (rc != LATZ_OK)
		code = cli_fail(rc, "making a dictionary", argv[0],
		                rc == LATZ_INVALID ? "--dict-size is 256 to 64K" : NULL);
	else
		code = report(argv[0], &info, stats.compress_min);
	return cli_close(argv[0], pool, code);
}

const struct cli_command cmd_train = {
	"train",
	"POOL [OPTION...]",
	"Makes a dictionary for compressing small values",
	"Of values that are in the pool, from 16 bytes (or --compress-min) to 32 KiB. With it small values that are\n"
	"alike, as JSON records are, become several times smaller. It is used for what is written from then on, and\n"
	"kept with the pool, its log, snapshots and images; those before it stay for the values that need them. If\n"
	"it would not pay none is made, which is no failure. With --compress-dict auto the pool does it by itself.\n\n"
	"Options:\n"
	"  --dict-size 32K   at most, 256 to 64K\n"
	"  --sample 1M       of values it is made of; more takes longer, about a second for 4M\n\n"
	"Examples:\n"
	"  latzero create cache --keep --compress-min 100\n"
	"  latzero load cache < first-part.jsonl\n"
	"  latzero train cache\n",
	run_train,
};
