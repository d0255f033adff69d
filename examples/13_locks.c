/*
 * A lock between processes: several workers want to write a report, one at a time. The first one takes too long and
 * loses its lease; what it then writes in the name of its token is refused. And a value that many ask for at once is
 * computed once.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <latzero/latzero.h>

#define WORKERS 4

static void check(int rc, const char *what)
{
	if (rc == LATZ_OK)
		return;
	fprintf(stderr, "%s: %s (%s)\n", what, latz_strerror(rc), latz_error_detail());
	exit(1);
}

/* Writes the report in the name of the lock. */
static void work(latz_pool *pool, int number)
{
	latz_lock_options how = LATZ_LOCK_OPTIONS_INIT;
	latz_set_options set = LATZ_SET_OPTIONS_INIT;
	latz_lock_t lock = LATZ_LOCK_INIT;
	char text[64];
	int rc;

	how.lease_ms = 100;
	how.wait_ms = -1;
	check(latz_lock(pool, latz_str("report"), &how, &lock), "latz_lock");
	if (number == 0)
		usleep(150000); /* longer than the lease */
	snprintf(text, sizeof(text), "by worker %d", number);
	set.fence.name = latz_str("report");
	set.fence.token = lock.token;
	rc = latz_set(pool, latz_str("report"), latz_str(text), &set);
	printf("worker %d: %s\n", number, rc == LATZ_OK ? "written" : rc == LATZ_FENCED ? "too late" : "failed");
	fflush(stdout);
	rc = latz_unlock(&lock);
	if (rc != LATZ_FENCED) /* which says that it was lost */
		check(rc, "latz_unlock");
}

/* Asks for a value that takes time to compute. */
static void ask(latz_pool *pool, int number)
{
	latz_lease_options how = LATZ_LEASE_OPTIONS_INIT;
	latz_lease lease = LATZ_LEASE_INIT;
	latz_value value = LATZ_VALUE_INIT;
	int rc;

	how.wait_ms = -1;
	rc = latz_get_or_lease(pool, latz_str("answer"), &how, &value, &lease);
	if (rc == LATZ_NOTFOUND) {
		printf("worker %d computes\n", number);
		fflush(stdout);
		usleep(50000);
		check(latz_lease_fill(&lease, latz_str("42"), NULL), "latz_lease_fill");
	} else {
		check(rc, "latz_get_or_lease");
	}
	latz_value_free(&value);
}

int main(void)
{
	latz_pool *pool;
	int failed = 0, status;

	check(latz_open("example-locks", NULL, &pool), "latz_open");
	for (int i = 0; i < WORKERS; i++) {
		if (fork() == 0) {
			usleep((useconds_t)i * 10000); /* so that the first is the first */
			work(pool, i);
			ask(pool, i);
			check(latz_close(pool), "latz_close");
			exit(0);
		}
	}
	for (int i = 0; i < WORKERS; i++) {
		if (wait(&status) < 0 || status != 0)
			failed = 1;
	}
	check(latz_exists(pool, latz_str("answer")), "latz_exists");
	check(latz_close(pool), "latz_close");
	return failed;
}
