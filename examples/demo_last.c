/*
 * demo_last POOL PID SIGNAL: ends the pool's last user with a signal and measures how long until the pool's files are
 * gone.
 */
#define _GNU_SOURCE 1
#include "demo_packages.h"

#include <errno.h>
#include <latzero/latzero.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* The promise is 100 ms; the demo calls it a failure when it takes so long that a busy machine is no excuse. */
enum {
	GIVE_UP_MS = 3000
};

struct search {
	const char *name;
	char path[4096];
	unsigned clients;
	unsigned long long bytes;
};

static int find(const latz_pool_info *info, void *arg)
{
	struct search *search = arg;

	if (strcmp(info->name, search->name) != 0)
		return 0;
	snprintf(search->path, sizeof(search->path), "%s", info->path);
	search->clients = info->clients;
	search->bytes = info->bytes;
	return 0;
}

int main(int argc, char **argv)
{
	struct search search = { .name = argc > 1 ? argv[1] : "" };
	struct stat info;

	if (argc != 4)
		return 2;
	int rc = latz_list(NULL, find, &search);
	if (rc != LATZ_OK || *search.path == '\0' || search.clients != 1 || stat(search.path, &info) != 0) {
		fprintf(stderr, "demo_last: pool %s: expected one with one client: %s, %u clients\n", argv[1],
		        latz_strerror(rc), search.clients);
		return 1;
	}
	int number = atoi(argv[3]);
	printf("  %s: %llu KiB, 1 client (pid %s), which now gets %s\n", search.path, search.bytes / 1024, argv[2],
	       strsignal(number));
	uint64_t began_ns = demo_now_ns(), elapsed_ns = 0;
	if (kill((pid_t)atol(argv[2]), number) != 0) {
		perror("demo_last: kill");
		return 1;
	}
	while (stat(search.path, &info) == 0) {
		struct timespec pause = { .tv_nsec = 50000 };
		elapsed_ns = demo_now_ns() - began_ns;
		if (elapsed_ns > GIVE_UP_MS * UINT64_C(1000000)) {
			printf("  FAILED: still there after %d ms\n", GIVE_UP_MS);
			return 1;
		}
		nanosleep(&pause, NULL);
	}
	elapsed_ns = demo_now_ns() - began_ns;
	printf("  its files are gone %.2f ms later\n", (double)elapsed_ns / 1e6);
	return 0;
}
