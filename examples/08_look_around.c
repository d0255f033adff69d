/*
 * What is there: the pools of the runtime directory, who is attached to one, what it holds and costs; and a pool that
 * stays when its last user leaves.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <latzero/latzero.h>

static void check(int rc, const char *what)
{
	if (rc == LATZ_OK)
		return;
	fprintf(stderr, "%s: %s (%s)\n", what, latz_strerror(rc), latz_error_detail());
	exit(1);
}

static int print_pool(const latz_pool_info *info, void *arg)
{
	(void)arg;
	printf("  %-12s %u attached, %" PRIu64 " keys, %" PRIu64 " KiB%s\n", info->name, info->clients, info->keys,
	       info->bytes / 1024, info->flags & LATZ_KEEP ? ", kept" : "");
	return 0;
}

static int print_client(const latz_client_info *info, void *arg)
{
	(void)arg;
	printf("  slot %u: %s (pid %" PRId64 "), %u threads\n", info->slot, info->command, info->pid, info->threads);
	return 0;
}

int main(void)
{
	latz_options options = LATZ_OPTIONS_INIT;
	latz_stats_t stats = { .size = sizeof(stats) };
	latz_pool *pool;
	char key[32];

	options.flags = LATZ_CREATE | LATZ_KEEP;
	check(latz_open("look-around", &options, &pool), "latz_open");
	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "key-%d", i);
		check(latz_set(pool, latz_str(key), latz_str("value"), NULL), "latz_set");
	}
	puts("pools:");
	check(latz_list(NULL, print_pool, NULL), "latz_list");
	puts("attached:");
	check(latz_clients(pool, print_client, NULL), "latz_clients");
	check(latz_stats(pool, &stats), "latz_stats");
	printf("%" PRIu64 " keys in %" PRIu64 " live bytes; heap %" PRIu64 " KiB, table %" PRIu64 " KiB, index %" PRIu64
	       " KiB\n",
	       stats.keys, stats.live_bytes, stats.heap_bytes / 1024, stats.table_bytes / 1024,
	       stats.index_bytes / 1024);
	check(latz_verify(pool, NULL, NULL), "latz_verify");
	check(latz_close(pool), "latz_close");

	/* Nobody is attached, and it is still there: LATZ_KEEP. */
	puts("pools, after closing:");
	check(latz_list(NULL, print_pool, NULL), "latz_list");
	check(latz_destroy("look-around", NULL), "latz_destroy");
	return 0;
}
