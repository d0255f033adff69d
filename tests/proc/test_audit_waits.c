/*
 * How long a call waits for an audit log that others are at: threads of its own process, which may be waiting for the
 * disk, and other processes. For one entry its timeout, for all of the call three times that.
 */
#include "lib/suite.h"

#include "os/os.h"

#define TIMEOUT_MS 100
#define KEYS 100 /* of one call: their timeouts are more than CEILING_MS */
#define CEILING_MS 5000

static struct lzi_os os;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool is_slow, is_waiting;

/* A disk that is not done before it is told to. */
static int syncs_slowly(int fd)
{
	pthread_mutex_lock(&mutex);
	is_waiting = is_slow;
	pthread_cond_broadcast(&changed);
	while (is_slow)
		pthread_cond_wait(&changed, &mutex);
	is_waiting = false;
	pthread_mutex_unlock(&mutex);
	return os.fdatasync(fd);
}

static void *limits(void *arg)
{
	latz_limits limits = LATZ_LIMITS_INIT;

	limits.max_entries = 1000;
	CHECK_OK(latz_limit(arg, &limits));
	return NULL;
}

/* Begins with an entry that is to be synced, in a thread of its own; ends with that waiting for the disk. */
static void begin_waiting(pthread_t *thread, latz_pool *pool)
{
	is_slow = true;
	assert_int_equal(pthread_create(thread, NULL, limits, pool), 0);
	pthread_mutex_lock(&mutex);
	while (!is_waiting)
		pthread_cond_wait(&changed, &mutex);
	pthread_mutex_unlock(&mutex);
}

static void end_waiting(pthread_t thread)
{
	pthread_mutex_lock(&mutex);
	is_slow = false;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&mutex);
	pthread_join(thread, NULL);
}

/* If the other one were waited for, this would end it. */
static void *ends_too_late(void *arg)
{
	lzi_sleep_us(2 * CEILING_MS * 1000);
	(void)arg;
	pthread_mutex_lock(&mutex);
	is_slow = false;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&mutex);
	return NULL;
}

static void audited(struct fixture *f, char log[600], unsigned keys)
{
	snprintf(log, 600, "%s/the.audit", f->dir);
	f->options.audit = log;
	f->options.audit_keys = LATZ_AUDIT_WRITES | keys;
	f->options.timeout_ms = TIMEOUT_MS;
	f->options.flags |= LATZ_NO_THREAD | LATZ_NO_GUARD;
	assert_ok(latz_open("t", &f->options, &f->pool));
	assert_ok(put(f->pool, "k", "v"));
}

static void another_thread_waits_for_the_disk(void **state)
{
	struct fixture *f = *state;
	pthread_t thread, late;
	char log[600];

	audited(f, log, 0);
	os = lzi_os;
	lzi_os.fdatasync = syncs_slowly;
	begin_waiting(&thread, f->pool);
	assert_int_equal(pthread_create(&late, NULL, ends_too_late, NULL), 0);
	pthread_detach(late);
	int64_t begun_ms = lzi_clock_mono_ms();
	assert_rc(LATZ_TIMEOUT, put(f->pool, "k", "v2"));
	assert_true(lzi_clock_mono_ms() - begun_ms < CEILING_MS);
	assert_non_null(strstr(latz_error_detail(), "the.audit"));
	assert_text(f, "k", "v");
	end_waiting(thread);
	assert_ok(put(f->pool, "k", "v2"));
	lzi_os = os;
}

/* Each of many entries of a call that go on without it. */
static int sets_many(latz_pool *pool)
{
	latz_item items[KEYS];
	char text[KEYS][16];

	for (int i = 0; i < KEYS; i++) {
		items[i].key = slice(text[i], (size_t)sprintf(text[i], "key %d", i));
		items[i].value = key_of("v");
	}
	return latz_mset(pool, items, KEYS, NULL);
}

static void for_all_of_a_call(void **state)
{
	struct fixture *f = *state;
	latz_audit_status_t status = { .size = sizeof status };
	struct flock lock = { .l_type = F_WRLCK, .l_start = (off_t)1 << 40, .l_len = 1 };
	char log[600];
	int fd;

	audited(f, log, LATZ_AUDIT_LAX);
	fd = open(log, O_RDWR | O_CLOEXEC);
	assert_int_equal(fcntl(fd, F_OFD_SETLKW, &lock), 0); /* somebody stopped */
	int64_t begun_ms = lzi_clock_mono_ms();
	assert_ok(sets_many(f->pool));
	assert_true(lzi_clock_mono_ms() - begun_ms < CEILING_MS);
	assert_ok(latz_audit_status(f->pool, &status));
	assert_int_equal(status.lost, KEYS);
	close(fd);
	/* The next call has all its patience again. */
	assert_ok(put(f->pool, "k", "v2"));
	assert_ok(latz_audit_status(f->pool, &status));
	assert_int_equal(status.lost, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIR_TEST(another_thread_waits_for_the_disk),
		DIR_TEST(for_all_of_a_call),
	};

	latz_set_logger(NULL, NULL, LATZ_LOG_NONE); /* that something is not written down is what this is about */
	return suite_run(tests);
}
