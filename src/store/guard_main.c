/*
 * latzero-guard DIRECTORY: see guard.c. Its first process becomes the guard, forks and ends, so that whoever started it
 * knows that pools are guarded and has no child left over.
 */
#include "config.h"

#include <latzero/latzero.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "store/guard.h"

int main(int argc, char **argv)
{
	struct guard *guard;
	int rc;

	if (argc != 2)
		return 2;
	rc = lzi_guard_begin(argv[1], &guard);
	if (rc != LATZ_OK)
		return rc == LATZ_BUSY ? 0 : 1;
	if (fork() != 0)
		_exit(0);
	prctl(PR_SET_NAME, "latzero-guard");
	(void)!chdir("/");
	lzi_guard_run(guard);
	_exit(0);
}
