/*
 * Whose a persist directory is. Its lock tells only of pools that somebody is attached to; a kept pool may have nobody
 * for a while, and its log must go on where it was. So the file `owner` in the directory names the pool: who wants the
 * directory for another one looks whether that pool is still there. Of a copied directory it says nothing. Who takes a
 * pool away whose log has everything removes it: if it is there at a start, writes may have been lost.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "store/lifetime.h"
#include "store/log.h"

#define OWNER "owner"
#define OWNER_TMP "owner.tmp"
#define OWNER_MAX 5000

struct owner {
	char pool[33], boot[33], name[65], dir[4096];
	uint64_t device, inode; /* of the persist directory */
};

static void hex(const uint8_t id[16], char text[33])
{
	int i;

	for (i = 0; i < 16; i++)
		snprintf(text + 2 * i, 3, "%02x", id[i]);
}

/* LATZ_NOTFOUND: there is none, or none that makes sense: a power cut may have left anything. */
static int read_owner(int dirfd, struct owner *owner)
{
	char text[OWNER_MAX + 1];
	uint64_t got = 0;
	int fd, n = 0, rc = lzi_disk_open(dirfd, OWNER, 0, &fd);
	size_t size;

	if (rc != LATZ_OK)
		return rc;
	rc = lzi_disk_read_at(fd, OWNER, text, OWNER_MAX, 0, &got);
	lzi_file_close(fd);
	if (rc != LATZ_OK)
		return rc;
	text[got] = '\0';
	memset(owner, 0, sizeof *owner);
	/* NOLINTNEXTLINE(cert-err34-c): numbers out of range are those of no file */
	if (sscanf(text, "pool %32[0-9a-f]\nboot %32[0-9a-f]\nat %" SCNu64 " %" SCNu64 "\nname %64s\ndir %n",
	           owner->pool, owner->boot, &owner->device, &owner->inode, owner->name, &n) != 5 ||
	    n == 0 || !lzi_name_valid(owner->name))
		return LATZ_NOTFOUND;
	size = strcspn(text + n, "\n");
	if (text[(size_t)n + size] != '\n' || size >= sizeof owner->dir)
		return LATZ_NOTFOUND;
	memcpy(owner->dir, text + n, size);
	return LATZ_OK;
}

/* Whether the pool that is named is there, of this boot, and still has its log here. */
static int is_there(const struct owner *owner)
{
	struct lzi_opened opened;
	uint8_t boot[16];
	char text[33];
	int dirfd, found = 0;

	lzi_boot_id(boot);
	hex(boot, text);
	if (strcmp(text, owner->boot) != 0 || lzi_dir_open(owner->dir, 0, 0, &dirfd) != LATZ_OK)
		return 0;
	if (lzi_pool_peek(dirfd, owner->name, &opened) == LATZ_OK) {
		hex(opened.control.header->pool_id, text);
		found = strcmp(text, owner->pool) == 0 &&
		        lzi_load_acquire(lzi_control_state(&opened.control)) == LZI_STATE_LIVE &&
		        lzi_load_acquire(&opened.control.shared->durable) != LZI_DURABLE_OFF;
		lzi_opened_close(&opened);
	}
	lzi_file_close(dirfd);
	return found;
}

int lzi_owner_is(struct lzi_store *store, int dirfd, const char *path)
{
	struct owner owner;
	char pool[33];

	hex(store->control.header->pool_id, pool);
	return read_owner(dirfd, &owner) == LATZ_OK && strcmp(owner.pool, pool) != 0
	               ? lzi_error(LATZ_ACCESS, "%s says that it is pool %s's", path, owner.name)
	               : LATZ_OK;
}

int lzi_owner_is_replaced(struct lzi_store *store, const char *path)
{
	struct owner owner;
	char dir[4096];
	int dirfd, found;

	if (lzi_dir_open(path, 0, 0700, &dirfd) != LATZ_OK)
		return 0;
	found = read_owner(dirfd, &owner) == LATZ_OK && strcmp(owner.name, store->name) == 0 &&
	        lzi_fd_parent(store->poolfd, dir, sizeof dir) == LATZ_OK && strcmp(owner.dir, dir) == 0 &&
	        is_there(&owner);
	lzi_file_close(dirfd);
	return found;
}

/* Whatever it says. */
static int is_file(int dirfd)
{
	int fd, rc = lzi_disk_open(dirfd, OWNER, 0, &fd);

	if (rc == LATZ_OK)
		lzi_file_close(fd);
	return rc != LATZ_NOTFOUND;
}

void lzi_owner_leave(struct lzi_store *store)
{
	/* Not synced: if it is back after a power cut, a leap of the clock is made for nothing. */
	if (store->persist.dirfd >= 0)
		(void)!lzi_disk_remove(store->persist.dirfd, OWNER);
}

int lzi_owner_take(struct lzi_store *store, int dirfd, const char *path, int *ret_left)
{
	uint64_t device = 0, inode = 0;
	char text[OWNER_MAX], pool[33], boot_text[33], dir[4096];
	struct owner owner;
	uint8_t boot[16];
	int fd, n, rc = lzi_file_identity(dirfd, &device, &inode);

	if (rc == LATZ_OK)
		rc = lzi_fd_parent(store->poolfd, dir, sizeof dir);
	if (rc != LATZ_OK)
		return rc;
	hex(store->control.header->pool_id, pool);
	lzi_boot_id(boot);
	hex(boot, boot_text);
	if (read_owner(dirfd, &owner) == LATZ_OK && owner.device == device && owner.inode == inode) {
		if (strcmp(owner.pool, pool) == 0)
			return LATZ_OK;
		if (is_there(&owner))
			return lzi_error(LZI_IN_USE, "%s is in use by a pool of another runtime directory: %s in %s",
			                 path, owner.name, owner.dir);
	}
	n = snprintf(text, sizeof text, "pool %s\nboot %s\nat %" PRIu64 " %" PRIu64 "\nname %s\ndir %s\n", pool,
	             boot_text, device, inode, store->name, dir);
	if (ret_left != NULL)
		*ret_left = !is_file(dirfd);
	rc = lzi_disk_remove(dirfd, OWNER_TMP);
	if (rc == LATZ_OK)
		rc = lzi_disk_create(dirfd, OWNER_TMP, &fd);
	if (rc != LATZ_OK)
		return rc;
	rc = lzi_disk_write_at(fd, OWNER_TMP, text, (uint64_t)n, 0);
	if (rc == LATZ_OK)
		rc = lzi_disk_sync(fd, OWNER_TMP);
	lzi_file_close(fd);
	if (rc == LATZ_OK)
		rc = lzi_disk_rename(dirfd, OWNER_TMP, OWNER);
	return rc == LATZ_OK ? lzi_disk_sync_dir(dirfd) : rc;
}
