/*
 * What a process keeps open while others of its threads may fork: a number that is closed is nobody's any more before
 * that, or the child, which closes its copies, closes what has got the number since.
 */
#include "config.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/suite.h"
#include "store/audit_chain.h"
#include "wal/wal.h"

static const int *watched; /* where the number stands */
static int more;           /* by so much more than it is */
static unsigned closed, too_early;

/* In the C library's place. */
int close(int fd);
int close(int fd)
{
	if (watched != NULL && fd >= 0) {
		closed++;
		too_early += *watched == fd + more;
	}
	return (int)syscall(SYS_close, fd);
}

static void watch(const int *at, int by)
{
	more = by;
	closed = too_early = 0;
	watched = at;
}

static void assert_in_time(void)
{
	watched = NULL;
	assert_true(closed > 0);
	assert_int_equal(too_early, 0);
}

static void of_a_segment(void **state)
{
	const uint8_t id[16] = { 0 };
	struct lzi_wal wal;

	(void)state;
	lzi_wal_init(&wal, -1, id);
	wal.fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_true(wal.fd >= 0);
	watch(&wal.fd, 0);
	lzi_wal_close(&wal);
	assert_in_time();
	assert_int_equal(wal.fd, -1);
}

/* A file that was rotated away is let go of. */
static void of_an_audit_log(void **state)
{
	struct fixture *f = *state;
	struct lzi_chain_entry entry = { "test", "", "", 0 };
	struct lzi_chain chain;
	char path[600], name[700];

	snprintf(path, sizeof path, "%s/the.audit", f->dir);
	assert_ok(lzi_chain_open(&chain, path, NULL, 1000));
	assert_ok(lzi_chain_append(&chain, &entry, 0));
	watch(&chain.fd, 0);
	assert_ok(lzi_chain_rotate(&chain, "", name, sizeof name));
	assert_in_time();
	assert_ok(lzi_chain_append(&chain, &entry, 0));
	assert_true(chain.fd >= 0);
	watch(&chain.fd, 0);
	lzi_chain_close(&chain);
	assert_in_time();
}

static void of_a_lease(void **state)
{
	struct fixture *f = *state;
	latz_lock_t lock = LATZ_LOCK_INIT;

	assert_ok(latz_lock(f->pool, key_of("lock"), NULL, &lock));
	assert_true(latz_lock_fd(&lock) >= 0);
	assert_int_equal(lock.fd, latz_lock_fd(&lock) + 1);
	watch(&lock.fd, 1);
	assert_ok(latz_unlock(&lock));
	assert_in_time();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_a_segment),
		DIR_TEST(of_an_audit_log),
		POOL_TEST(of_a_lease),
	};

	return suite_run(tests);
}
