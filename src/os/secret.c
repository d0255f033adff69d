/*
 * Memory for secrets.
 */
#include "config.h"

#include "os/os.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"

static size_t pages(size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (size + page - 1) / page * page;
}

/* What a forked child finds: zeros, or a copy. */
static int leave_to_children(void *secret, size_t size, int advice)
{
	return lzi_os.madvise(secret, pages(size), advice);
}

void *lzi_secret_take(size_t size)
{
	void *secret = lzi_os.mmap(NULL, pages(size), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (secret == MAP_FAILED)
		return NULL;
	/* Both keep it from a disk; neither failing is a reason to refuse. */
	(void)!mlock(secret, pages(size));
	(void)!lzi_os.madvise(secret, pages(size), MADV_DONTDUMP);
	(void)!leave_to_children(secret, size, MADV_WIPEONFORK);
	return secret;
}

int lzi_secret_bequeath(void *secret, size_t size)
{
	return leave_to_children(secret, size, MADV_KEEPONFORK) == 0
	               ? LATZ_OK
	               : lzi_error_sys(errno, "leave a pool's keys to forked children");
}

void lzi_secret_inherited(void *secret, size_t size)
{
	(void)!mlock(secret, pages(size));
}

void lzi_secret_give(void *secret, size_t size)
{
	if (secret == NULL)
		return;
	explicit_bzero(secret, pages(size));
	munmap(secret, pages(size));
}

void *lzi_unforked_take(void)
{
	void *page = lzi_secret_take(1);

	if (page != NULL && leave_to_children(page, 1, MADV_WIPEONFORK) != 0) {
		lzi_secret_give(page, 1);
		return NULL;
	}
	return page;
}
