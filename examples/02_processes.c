/*
 * Several processes on one pool: they count together and no increment is lost. A child may use the handle it got from
 * its parent, or open the pool by name; both are the same pool.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <latzero/latzero.h>

#define CHILDREN 4
#define EACH 10000

static void check(int rc, const char *what)
{
	if (rc == LATZ_OK)
		return;
	fprintf(stderr, "%s: %s (%s)\n", what, latz_strerror(rc), latz_error_detail());
	exit(1);
}

static void count(latz_pool *pool)
{
	int64_t sum = 0;

	for (int i = 0; i < EACH; i++)
		check(latz_increment(pool, latz_str("visits"), 1, &sum), "latz_increment");
	printf("process %d leaves at %lld\n", (int)getpid(), (long long)sum);
}

int main(void)
{
	latz_pool *pool;
	int64_t sum;
	int failed = 0;

	check(latz_open("counting", NULL, &pool), "latz_open");
	for (int i = 0; i < CHILDREN; i++) {
		fflush(stdout);
		if (fork() == 0) {
			latz_pool *own = pool;

			/* Every other child opens the pool itself. */
			if (i % 2 == 1)
				check(latz_open("counting", NULL, &own), "latz_open");
			count(own);
			exit(0);
		}
	}
	for (int i = 0; i < CHILDREN; i++) {
		int status;

		if (wait(&status) < 0 || status != 0)
			failed = 1;
	}
	/* Adding nothing is a way to read a counter. */
	check(latz_increment(pool, latz_str("visits"), 0, &sum), "latz_increment");
	printf("together: %lld\n", (long long)sum);
	check(latz_close(pool), "latz_close");
	return failed || sum != (int64_t)CHILDREN * EACH;
}
