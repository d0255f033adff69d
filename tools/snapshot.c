/*
 * latzero-snapshot: writes a pool's keys as of one moment to a file or to stdout; tells of such a file, and checks it.
 */
#include "cli.h"

#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct arguments {
	bool verify, info, image;
	int64_t level;
	uint64_t threads;
};

/* ---- What is in a file ------------------------------------------------------------------------------------------ */

static const char *kind(const latz_snapshot_info *info)
{
	return info->image ? "image" : "snapshot";
}

static int64_t wall_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void hex(const uint8_t id[16], char out[33])
{
	for (int i = 0; i < 16; i++)
		snprintf(out + 2 * i, 3, "%02x", id[i]);
}

static void info_json(const latz_snapshot_info *info, const char *file)
{
	char id[33];

	hex(info->pool_id, id);
	cli_json_bytes("file", file, strlen(file));
	cli_json_text("kind", kind(info));
	cli_json_u64("major", info->major);
	cli_json_u64("minor", info->minor);
	cli_json_u64("keys", info->keys);
	cli_json_u64("bytes", info->bytes);
	cli_json_u64("file_bytes", info->file_bytes);
	cli_json_u64("blocks", info->blocks);
	cli_json_u64("seq", info->seq);
	cli_json_i64("created_wall_ms", info->created_wall_ms);
	cli_json_text("pool_id", id);
	cli_json_u64("first_segment", info->first_segment);
	cli_json_bool("encrypted", info->encrypted != 0);
}

static void info_print(const latz_snapshot_info *info, const char *file)
{
	char text[CLI_TEXT_MAX], id[33];
	time_t seconds = (time_t)(info->created_wall_ms / 1000);
	struct tm local;

	hex(info->pool_id, id);
	cli_field("file", "%s", file);
	cli_field("kind", "%s", kind(info));
	cli_field("format", "%u.%u", info->major, info->minor);
	cli_field("keys", "%s", cli_show_count(info->keys, text));
	cli_field("bytes", "%s", cli_show_size(info->bytes, text));
	cli_field("file_bytes", "%s", cli_show_size(info->file_bytes, text));
	cli_field("blocks", "%s", cli_show_count(info->blocks, text));
	cli_field("seq", "%" PRIu64, info->seq);
	if (cli.tty && localtime_r(&seconds, &local) != NULL &&
	    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &local) > 0) {
		cli_field("created", "%s", text);
		cli_field("age", "%s", cli_show_age(wall_ms() - info->created_wall_ms, text));
	} else {
		cli_field("created_wall_ms", "%" PRId64, info->created_wall_ms);
	}
	cli_field("pool_id", "%s", id);
	cli_field("encrypted", "%s", info->encrypted ? "yes" : "no");
	cli_field("log", info->first_segment != 0 ? "goes on in segment %" PRIu64 : "none", info->first_segment);
}

static int show_info(const char *file)
{
	latz_snapshot_info info = { .size = sizeof(info) };

	int rc = latz_snapshot_info_read(file, &info);
	if (rc != LATZ_OK)
		return cli_fail_file(rc, "reading", file, NULL);
	if (cli.json) {
		cli_json_begin(NULL, '{');
		info_json(&info, file);
		cli_json_end('}');
	} else {
		info_print(&info, file);
	}
	return CLI_OK;
}

/* ---- Verifying -------------------------------------------------------------------------------------------------- */

/* The library says nothing while it verifies: this thread shows a person that it goes on. */
struct ticker {
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	bool runs, stop, drawn;
	uint64_t begin_ns;
};

static void *tick(void *arg)
{
	struct ticker *ticker = arg;

	pthread_mutex_lock(&ticker->mutex);
	while (!ticker->stop) {
		struct timespec until;
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec++;
		pthread_cond_timedwait(&ticker->wake, &ticker->mutex, &until);
		if (ticker->stop)
			break;
		fprintf(stderr, "\rverifying  %.0f s \033[K", (double)(cli_now_ns() - ticker->begin_ns) / 1e9);
		ticker->drawn = true;
	}
	pthread_mutex_unlock(&ticker->mutex);
	return NULL;
}

static void ticker_begin(struct ticker *ticker)
{
	*ticker = (struct ticker){ .begin_ns = cli_now_ns() };
	if (isatty(STDERR_FILENO) != 1)
		return;
	pthread_mutex_init(&ticker->mutex, NULL);
	pthread_cond_init(&ticker->wake, NULL);
	ticker->runs = pthread_create(&ticker->thread, NULL, tick, ticker) == 0;
}

static void ticker_end(struct ticker *ticker)
{
	if (!ticker->runs)
		return;
	pthread_mutex_lock(&ticker->mutex);
	ticker->stop = true;
	pthread_cond_signal(&ticker->wake);
	pthread_mutex_unlock(&ticker->mutex);
	pthread_join(ticker->thread, NULL);
	if (ticker->drawn)
		fputs("\r\033[K", stderr);
}

static int verify(const char *file)
{
	latz_snapshot_info info = { .size = sizeof(info) };
	struct ticker ticker;
	char text[CLI_TEXT_MAX];

	const char *password = cli_password();
	ticker_begin(&ticker);
	cli_hold_log();
	int rc = cli_release_log(latz_snapshot_verify(file, password, &info));
	ticker_end(&ticker);
	if (rc != LATZ_OK)
		return cli_fail_file(rc, "verifying", file,
		                     password == NULL || rc == LATZ_CORRUPT ? NULL
		                     : rc == LATZ_AUTH
		                             ? "give the password that the pool had then; without one checksums "
		                               "alone are checked"
		                     : rc == LATZ_UNSUPPORTED
		                             ? "without a password checksums alone are checked, in one go"
		                             : NULL);
	if (cli.json) {
		cli_json_begin(NULL, '{');
		cli_json_bool("ok", true);
		cli_json_bool("opened", password != NULL);
		info_json(&info, file);
		cli_json_end('}');
	} else {
		printf("%sok%s: %s with %s key%s, everything %s\n", cli_green(), cli_plain(), kind(&info),
		       cli_show_count(info.keys, text), info.keys == 1 ? "" : "s",
		       password != NULL     ? "checked and opened"
		       : info.encrypted == 0 ? "checked"
		                             : "checked but what is encrypted, which takes the password");
	}
	return CLI_OK;
}

/* ---- Writing ---------------------------------------------------------------------------------------------------- */

static int report_written(const char *name, const char *file, double seconds)
{
	latz_snapshot_info info = { .size = sizeof(info) };
	char keys[CLI_TEXT_MAX], bytes[CLI_TEXT_MAX];

	int rc = latz_snapshot_info_read(file, &info);
	if (rc != LATZ_OK)
		return cli_fail_file(rc, "reading", file, NULL);
	if (cli.json) {
		cli_json_begin(NULL, '{');
		cli_json_text("pool", name);
		info_json(&info, file);
		cli_json_double("seconds", seconds);
		cli_json_end('}');
	} else {
		printf("%s: %s key%s, %s%s in %s, %.3f s\n", name, cli_show_count(info.keys, keys),
		       info.keys == 1 ? "" : "s", cli_show_size(info.file_bytes, bytes), cli.tty ? "" : " bytes", file,
		       seconds);
	}
	return CLI_OK;
}

static int write_snapshot(const struct arguments *arguments, const char *name, const char *file)
{
	latz_snapshot_options options = LATZ_SNAPSHOT_OPTIONS_INIT;
	bool streamed = strcmp(file, "-") == 0;
	struct cli_work work;
	latz_pool *pool;

	if (streamed && cli.tty)
		return cli_error(CLI_USAGE, "stdout is a terminal, and a snapshot is no text; give a file or a pipe");
	if (streamed && arguments->image)
		return cli_error(CLI_USAGE, "an image has to be a file; without --image it can be streamed");
	int code = cli_snapshot_options(arguments->level, arguments->threads, &options);
	if (code == CLI_OK)
		code = cli_open(name, LATZ_NO_THREAD, NULL, &pool);
	if (code != CLI_OK)
		return code;
	cli_catch_signals(); /* so that what is half written goes */
	cli_work_begin(&work, "writing");
	options.flags = arguments->image ? LATZ_SNAPSHOT_IMAGE : 0;
	options.progress = cli_work_step;
	options.arg = &work;
	int rc = latz_snapshot(pool, file, &options);
	double seconds = cli_work_end(&work);
	if (rc == LATZ_BUSY && cli_signalled())
		code = cli_error(CLI_FAIL, "%s: ended by a signal; nothing was written", file);
	else if (rc != LATZ_OK)
		code = cli_fail_file(rc, "writing", file, rc == LATZ_CORRUPT ? cli_hint_damaged(pool) : NULL);
	else if (!streamed)
		code = report_written(name, file, seconds);
	return cli_close(name, pool, code);
}

static int run_snapshot(const struct cli_command *command, int argc, char **argv)
{
	struct arguments arguments = { .level = 0 };
	const struct cli_option table[] = {
		{ "verify", CLI_FLAG, &arguments.verify },
		{ "info", CLI_FLAG, &arguments.info },
		{ "image", CLI_FLAG, &arguments.image },
		{ "level", CLI_INT, &arguments.level },
		{ "threads", CLI_COUNT, &arguments.threads },
		{ NULL, CLI_FLAG, NULL },
	};

	int count = cli_parse(command, table, argc, argv, 1, 2);
	bool look = arguments.verify || arguments.info;
	if (arguments.verify && arguments.info)
		return cli_error(CLI_USAGE, "--verify tells what --info does, and more: give one of them");
	if (look && (arguments.image || arguments.level != 0 || arguments.threads != 0))
		return cli_error(CLI_USAGE, "--image, --level and --threads are for writing a snapshot");
	if (count != (look ? 1 : 2))
		return cli_error(CLI_USAGE, "%s; usage: latzero-snapshot %s (--help tells more)",
		                 look ? "one file is looked at, and no pool" : "a pool and a file are needed",
		                 command->synopsis);
	if (arguments.verify)
		return verify(argv[0]);
	return arguments.info ? show_info(argv[0]) : write_snapshot(&arguments, argv[0], argv[1]);
}

static const struct cli_command command = {
	"latzero-snapshot",
	"POOL FILE|-  or --verify FILE  or --info FILE",
	"Writes all keys of a pool, as of one moment, to a file",
	"Writers go on meanwhile. FILE gets its name when it is complete and on the disk; a snapshot that was there is "
	"replaced\n"
	"then, any other file is not. With - it goes to stdout. latzero-restore makes a pool of it, here or on another "
	"machine.\n\n"
	"Options:\n"
	"  --level N     of compression: 1 to 19, or negative for speed; -7 if not given\n"
	"  --threads N   that compress\n"
	"  --image       a copy of the pool's own files, which a restore on this kind of machine only has to map\n"
	"  --verify      reads FILE, checks every checksum and the order of keys; exit 3 if something is wrong.\n"
	"                With the pool's password (--password-file F) also opens what is encrypted; FILE can be - for\n"
	"                standard input, but then no pipe, as it is read twice\n"
	"  --info        what is in FILE, from its beginning and end\n"
	"  --version     the library's version\n\n"
	"Examples:\n"
	"  latzero-snapshot cache /backup/cache.lzs\n"
	"  latzero-snapshot cache - | ssh other latzero-restore - cache --keep\n"
	"  latzero-snapshot --verify /backup/cache.lzs\n",
	run_snapshot,
};

int main(int argc, char **argv)
{
	return cli_main(&command, argc, argv);
}
