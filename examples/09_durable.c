/*
 * A cache that comes back: a durable pool with its log in a directory of its own, closed, opened again from there; and
 * a snapshot as one file that can be carried to another machine.
 */
#define _GNU_SOURCE 1
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <latzero/latzero.h>

static char directory[4096];

static void clean_up(void)
{
	char command[sizeof(directory) + 16];

	snprintf(command, sizeof(command), "rm -rf '%s'", directory);
	if (system(command) != 0)
		fprintf(stderr, "%s stays\n", directory);
}

static void check(int rc, const char *what)
{
	if (rc == LATZ_OK)
		return;
	fprintf(stderr, "%s: %s (%s)\n", what, latz_strerror(rc), latz_error_detail());
	exit(1);
}

static uint64_t count_keys(latz_pool *pool)
{
	latz_stats_t stats = { .size = sizeof(stats) };

	check(latz_stats(pool, &stats), "latz_stats");
	return stats.keys;
}

int main(void)
{
	latz_options options = LATZ_OPTIONS_INIT, plain = LATZ_OPTIONS_INIT;
	latz_set_options durable = LATZ_SET_OPTIONS_INIT;
	latz_snapshot_info info = { .size = sizeof(info) };
	char file[sizeof(directory) + 16], key[32];
	latz_pool *pool;

	/* A service would name a directory that stays, on a disk: /var/lib/NAME. */
	const char *parent = getenv("TMPDIR");
	snprintf(directory, sizeof(directory), "%s/latzero-example-XXXXXX", parent != NULL ? parent : "/tmp");
	if (mkdtemp(directory) == NULL)
		return 1;
	atexit(clean_up);
	snprintf(file, sizeof(file), "%s/copy.lzs", directory);

	/* All a service says: where its data is kept. What is there is restored; the first time, that is nothing. */
	options.persist_dir = directory;
	options.sync = LATZ_SYNC_INTERVAL; /* a power cut loses the last second at most; killed processes nothing */
	check(latz_open("durable", &options, &pool), "latz_open");
	printf("begins with %" PRIu64 " keys\n", count_keys(pool));
	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "key-%d", i);
		check(latz_set(pool, latz_str(key), latz_str("value"), NULL), "latz_set");
	}
	/* This one is on the disk when the call returns; latz_sync_now() does the same for all that came before. */
	durable.flags = LATZ_DURABLE;
	check(latz_set(pool, latz_str("order"), latz_str("paid"), &durable), "latz_set");
	check(latz_close(pool), "latz_close");

	/* Nobody had it open any more, so it was gone from memory. */
	check(latz_open("durable", &options, &pool), "latz_open");
	printf("comes back with %" PRIu64 " keys\n", count_keys(pool));
	if (count_keys(pool) != 1001)
		return 1;

	/* A copy as one file, while others might go on writing. */
	check(latz_snapshot(pool, file, NULL), "latz_snapshot");
	check(latz_close(pool), "latz_close");
	check(latz_snapshot_verify(file, NULL, &info), "latz_snapshot_verify");
	printf("the snapshot has %" PRIu64 " keys in %" PRIu64 " bytes\n", info.keys, info.file_bytes);

	/* It makes a pool of any name, which this process then holds until it closes it. */
	check(latz_restore(file, "copy", &plain, NULL), "latz_restore");
	check(latz_open("copy", NULL, &pool), "latz_open");
	printf("the copy has %" PRIu64 " keys\n", count_keys(pool));
	if (count_keys(pool) != info.keys || latz_exists(pool, latz_str("order")) != LATZ_OK)
		return 1;
	check(latz_close(pool), "latz_close");
	return 0;
}
