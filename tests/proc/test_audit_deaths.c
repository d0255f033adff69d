/*
 * Deaths of who writes an audit log: at named points, and at random, eight at once. One chain comes of it; what was
 * torn is told of; nobody who was killed is forgotten.
 */
#include "lib/suite.h"

#include <sys/mman.h>

#include "../../src/base/point.h"
#include "../../src/store/audit.h"

#define WRITERS 8
#define ROUNDS 60
#define LOG_BYTES 250000 /* more than 500 entries take */

static void audited(struct fixture *f, char path[600])
{
	snprintf(path, 600, "%s/the.audit", f->dir);
	f->options.audit = path;
	f->options.audit_keys = LATZ_AUDIT_WRITES;
	f->options.flags = LATZ_CREATE | LATZ_KEEP | LATZ_NO_THREAD | LATZ_NO_GUARD;
	assert_ok(latz_open("t", &f->options, &f->pool));
}

static void print_wrong(const char *what, void *arg)
{
	(void)arg;
	print_message("%s\n", what);
}

static latz_audit_info verified(const char *path)
{
	latz_audit_options options = LATZ_AUDIT_OPTIONS_INIT;
	latz_audit_info info = { .size = sizeof info };

	options.wrong = print_wrong;
	assert_ok(latz_audit_verify(path, &options, &info));
	return info;
}

struct counted {
	uint64_t opens, closes, gone, refused, creates, tellings, lost; /* these: entries `lost`, and of what */
};

static int count_one(const latz_audit_entry *entry, void *arg)
{
	struct counted *counted = arg;

	counted->opens += memmem(entry->text, entry->text_size, "\"event\":\"open\"", 14) != NULL;
	counted->closes += memmem(entry->text, entry->text_size, "\"event\":\"close\"", 15) != NULL;
	counted->gone += memmem(entry->text, entry->text_size, "\"event\":\"gone\"", 14) != NULL;
	counted->refused += memmem(entry->text, entry->text_size, "\"event\":\"refused\"", 17) != NULL;
	counted->creates += memmem(entry->text, entry->text_size, "\"event\":\"create\"", 16) != NULL;
	if (memmem(entry->text, entry->text_size, "\"event\":\"lost\"", 14) != NULL) {
		counted->tellings++;
		counted->lost += strtoull((char *)memmem(entry->text, entry->text_size, "\"entries\":", 10) + 10, NULL,
		                          10);
	}
	return 0;
}

static struct counted counted_in(const char *path)
{
	latz_audit_options options = LATZ_AUDIT_OPTIONS_INIT;
	struct counted counted = { 0 };

	options.entry = count_one;
	options.arg = &counted;
	assert_ok(latz_audit_verify(path, &options, NULL));
	return counted;
}

struct scene {
	struct fixture *f;
	const char *point;
	unsigned nth;
};

static int dies(void *arg)
{
	struct scene *scene = arg;
	char name[700];

	lzi_point_arm(scene->point, scene->nth, LZI_POINT_KILL);
	latz_pool *pool = fixture_attach(scene->f);
	CHECK_OK(put(pool, "k", "v"));
	CHECK_OK(latz_audit_rotate(scene->f->options.audit, name, sizeof name));
	CHECK_OK(put(pool, "k", "v"));
	CHECK_OK(latz_close(pool));
	return 0;
}

static void at_points(void **state)
{
	static const char *const points[] = { "audit.composed", "audit.written", "audit.head",   "audit.unlocked",
		                              "audit.enlisted", "audit.opened",  "audit.closed", "audit.rotate",
		                              "audit.next",     "audit.exchanged" };
	struct fixture *f = *state;
	char path[600], other[700];
	unsigned killed = 0;

	audited(f, path);
	for (size_t p = 0; p < ARRAY_LEN(points); p++) {
		for (unsigned nth = 1; nth < 12; nth++) {
			struct scene scene = { f, points[p], nth };
			int status = proc_run(dies, &scene, 20000);

			assert_true(status != 0 || nth > 1); /* each is reached */
			if (status == 0)
				break;
			assert_int_equal(status, 128 + SIGKILL);
			killed++;
			/* Others go on at once, and so does the next rotation when what was left is put away. */
			assert_ok(put(f->pool, "k", "v"));
			assert_int_equal(verified(path).tail_bytes, 0);
			snprintf(other, sizeof other, "%s.next", path);
			(void)!unlink(other);
		}
	}
	assert_true(killed > 20);
	/* All who were killed after their opening was written down. */
	(void)!latz_maintain(f->pool, 0);
	verified(path);
}

static int comes_and_goes(void *arg)
{
	struct scene *scene = arg;
	latz_pool *pool;

	lzi_point_arm(scene->point, scene->nth, LZI_POINT_KILL);
	pool = fixture_attach(scene->f);
	CHECK_OK(latz_close(pool));
	return 0;
}

/* Whose coming stands in the log, of his going it is told: wherever he dies as he writes himself down. */
static void none_is_forgotten(void **state)
{
	static const char *const points[] = { "audit.written", "audit.head", "audit.unlocked", "audit.opened",
		                              "audit.closed" };
	struct fixture *f = *state;
	struct counted before, after;
	char path[600];

	audited(f, path);
	for (size_t p = 0; p < ARRAY_LEN(points); p++) {
		for (unsigned nth = 1, died = 1; died; nth++) {
			struct scene scene = { f, points[p], nth };

			before = counted_in(path);
			assert_true(nth < 10);
			died = proc_run(comes_and_goes, &scene, 20000) != 0;
			assert_true(died || nth > 1);
			assert_ok(latz_maintain(f->pool, 0));
			after = counted_in(path);
			/* Told of twice at most, or of one whose coming did not get as far. */
			assert_in_range(after.closes + after.gone - before.closes - before.gone,
			                after.opens - before.opens, after.opens - before.opens + 1);
			assert_int_equal(after.gone > before.gone, died);
		}
	}
}

static int leaves_nothing(void *arg)
{
	struct scene *scene = arg;

	(void)fixture_attach(scene->f);
	return raise(SIGKILL);
}

/* Who finds that another has gone dies as he has told of it. */
static void telling_of_the_gone(void **state)
{
	struct fixture *f = *state;
	struct scene scene = { f, "audit.gone", 1 };
	char path[600];

	audited(f, path);
	assert_int_equal(proc_run(leaves_nothing, &scene, 20000), 128 + SIGKILL);
	assert_int_equal(proc_run(dies, &scene, 20000), 128 + SIGKILL);
	assert_ok(put(f->pool, "k", "v"));
	(void)!latz_maintain(f->pool, 0);
	verified(path);
}

static int leaves_slowly(void *arg)
{
	struct scene *scene = arg;
	latz_pool *pool;

	lzi_point_arm("audit.gone", 1, LZI_POINT_STOP);
	pool = fixture_attach(scene->f);
	CHECK_OK(latz_close(pool));
	return 0;
}

/* Who tells of the gone may take long: nobody waits for that, and a death in it leaves it to the next. */
static void nobody_waits_for_who_tells(void **state)
{
	struct fixture *f = *state;
	struct scene scene = { f, NULL, 0 };
	struct proc teller;
	struct counted before;
	char path[600];

	f->options.timeout_ms = 500;
	audited(f, path);
	for (int dies = 0; dies < 2; dies++) {
		before = counted_in(path);
		assert_int_equal(proc_run(leaves_nothing, &scene, 20000), 128 + SIGKILL);
		proc_start(&teller, leaves_slowly, &scene, false);
		proc_wait_stopped(&teller);
		assert_int_equal(counted_in(path).gone, before.gone + 1);
		/* Another place is free. */
		assert_int_equal(proc_run(comes_and_goes, &(struct scene){ f, NULL, 0 }, 20000), 0);
		if (dies) {
			proc_kill(&teller, SIGKILL);
			assert_int_equal(proc_wait(&teller, 20000), 128 + SIGKILL);
			assert_ok(latz_maintain(f->pool, 0));
			/* Once more: it might not have been. */
			assert_int_equal(counted_in(path).gone, before.gone + 2);
		} else {
			assert_int_equal(proc_continue(&teller), 0);
			assert_ok(latz_maintain(f->pool, 0));
			assert_int_equal(counted_in(path).gone, before.gone + 1);
		}
	}
}

static int maintains_slowly(void *arg)
{
	struct scene *scene = arg;
	latz_pool *pool = fixture_attach(scene->f);

	while (latz_maintain(pool, 0) == LATZ_OK && scene->nth == 0) {
		raise(SIGSTOP); /* it is here; the next time somebody will be dead */
		lzi_point_arm("audit.gone", 1, LZI_POINT_STOP);
		scene->nth++;
	}
	CHECK_OK(latz_close(pool));
	return 0;
}

/* All places are taken, one of them by a dead one whom somebody is reaping: whoever comes waits for that. */
static void his_place_is_waited_for(void **state)
{
	struct fixture *f = *state;
	struct scene scene = { f, NULL, 0 };
	struct proc maintainer, comer;
	char path[600];

	f->options.max_clients = 3;
	f->options.timeout_ms = 20000;
	audited(f, path);
	proc_start(&maintainer, maintains_slowly, &scene, false);
	proc_wait_stopped(&maintainer);
	assert_int_equal(proc_run(leaves_nothing, &scene, 20000), 128 + SIGKILL);
	proc_kill(&maintainer, SIGCONT);
	proc_wait_stopped(&maintainer);
	proc_start(&comer, comes_and_goes, &scene, false);
	sleep_ms(100);
	assert_int_equal(proc_continue(&maintainer), 0);
	assert_int_equal(proc_wait(&comer, 20000), 0);
}

static int tells_slowly(void *arg)
{
	latz_pool *pool = fixture_attach(arg);

	raise(SIGSTOP); /* now something is lost */
	lzi_point_arm("audit.unlocked", 1, LZI_POINT_STOP);
	CHECK_OK(put(pool, "k", "v"));
	CHECK_OK(latz_close(pool));
	return 0;
}

#define LOST 5

/* Whatever was lost is told of once, though two find that some was. */
static void lost_is_told_of_once(void **state)
{
	struct fixture *f = *state;
	struct lzi_audit_page *at;
	struct proc teller;
	char path[600], page[600];
	int fd;

	audited(f, path);
	snprintf(page, sizeof page, "%s/t/audit", f->dir);
	fd = open(page, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	at = mmap(NULL, sizeof *at, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	assert_true(at != MAP_FAILED);
	proc_start(&teller, tells_slowly, f, false);
	proc_wait_stopped(&teller);
	lzi_fetch_add(&at->lost, (uint64_t)LOST);
	proc_kill(&teller, SIGCONT);
	proc_wait_stopped(&teller);
	assert_ok(put(f->pool, "k", "v"));
	assert_int_equal(proc_continue(&teller), 0);
	assert_int_equal(at->lost, 0);
	assert_int_equal(counted_in(path).lost, LOST);
	assert_int_equal(counted_in(path).tellings, 1);
	munmap(at, sizeof *at);
}

struct made {
	struct fixture *f;
	int action; /* LZI_POINT_* */
};

static int makes(void *arg)
{
	struct made *made = arg;
	latz_pool *pool;

	lzi_point_arm("attach.client", 1, made->action);
	CHECK_OK(latz_open("t", &made->f->options, &pool));
	CHECK_OK(latz_close(pool));
	return 0;
}

/* Somebody is refused before the pool's maker has told of it: it is told of all the same, by whoever comes. */
static void refused_before_it_was_made(void **state)
{
	struct fixture *f = *state;
	struct made made = { f, LZI_POINT_STOP };
	char path[600], disk[600], set[700];
	struct proc maker;
	latz_pool *pool;

	snprintf(path, sizeof path, "%s/the.audit", f->dir);
	f->options.audit = path;
	f->options.password = "right";
	f->options.persist_dir = disk;
	f->options.flags = LATZ_CREATE | LATZ_KEEP | LATZ_NO_THREAD | LATZ_NO_GUARD;
	for (int dies = 0; dies < 2; dies++) {
		latz_options wrong = f->options;

		snprintf(disk, sizeof disk, "%s/disk%d", f->dir, dies);
		assert_int_equal(mkdir(disk, 0700), 0);
		made.action = dies ? LZI_POINT_KILL : LZI_POINT_STOP;
		proc_start(&maker, makes, &made, false);
		if (dies)
			assert_int_equal(proc_wait(&maker, 20000), 128 + SIGKILL);
		else
			proc_wait_stopped(&maker);
		wrong.password = "wrong";
		assert_rc(LATZ_AUTH, latz_open("t", &wrong, &pool));
		assert_int_equal(counted_in(path).refused, 1);
		assert_int_equal(counted_in(path).creates, 0);
		if (!dies)
			assert_int_equal(proc_continue(&maker), 0);
		assert_ok(latz_open("t", &f->options, &f->pool));
		assert_int_equal(counted_in(path).creates, 1);
		/* What a restart without the option goes by. */
		snprintf(set, sizeof set, "%s/t/audit", disk);
		assert_ok(latz_close(f->pool));
		f->pool = NULL;
		assert_ok(latz_destroy("t", &f->options));
		assert_int_equal(access(set, F_OK), 0);
		assert_int_equal(unlink(path), 0);
	}
}

static int works(void *arg)
{
	struct fixture *f = arg;
	latz_pool *pool;
	char key[32];

	for (int i = 0;; i++) {
		pool = fixture_attach(f);
		for (int j = 0; j < 20; j++) {
			snprintf(key, sizeof key, "key %d", i * 20 + j);
			CHECK_OK(put(pool, key, "v"));
		}
		CHECK_OK(latz_close(pool));
	}
	return 0;
}

static void at_random(void **state)
{
	struct fixture *f = *state;
	struct proc writers[WRITERS];
	struct counted counted;
	latz_audit_info info;
	struct stat stat_of;
	struct rng rng;
	char path[600];

	audited(f, path);
	rng_init(&rng, env_number("LATZ_TEST_SEED", 1));
	for (int i = 0; i < WRITERS; i++)
		proc_start(&writers[i], works, f, false);
	for (int round = 0; round < ROUNDS; round++) {
		int i = (int)rng_below(&rng, WRITERS);

		sleep_ms((unsigned)rng_below(&rng, 20));
		proc_kill(&writers[i], SIGKILL);
		assert_int_equal(proc_wait(&writers[i], 20000), 128 + SIGKILL);
		/* Half an entry, as if the disk had been full then. */
		if (round % 10 == 5) {
			struct flock lock = { .l_type = F_WRLCK, .l_start = (off_t)1 << 40, .l_len = 1 };
			int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);

			assert_int_equal(fcntl(fd, F_OFD_SETLKW, &lock), 0);
			assert_int_equal(write(fd, "{\"seq\":77,\"ti", 13), 13);
			close(fd);
		}
		proc_start(&writers[i], works, f, false);
	}
	/* Where others have the processors, there may not be much yet. */
	for (int i = 0; i < 6000 && stat(path, &stat_of) == 0 && stat_of.st_size < LOG_BYTES; i++)
		sleep_ms(10);
	for (int i = 0; i < WRITERS; i++) {
		proc_kill(&writers[i], SIGKILL);
		assert_int_equal(proc_wait(&writers[i], 20000), 128 + SIGKILL);
	}
	sleep_ms(200);
	(void)!latz_maintain(f->pool, 0);
	info = verified(path);
	print_message("%" PRIu64 " entries, %" PRIu64 " torn, %" PRIu64 " gone\n", info.entries, info.torn, info.gone);
	assert_true(info.entries > 500);
	assert_true(info.torn >= 1);
	counted = counted_in(path);
	/* One is open. Of who died as he closed, or before his opening was written, is told as well; and twice, if who
	 * told of it died then. */
	assert_in_range(counted.closes + counted.gone + 1, counted.opens, counted.opens + 2 * (ROUNDS + WRITERS));
	assert_in_range(counted.gone, 1, 2 * (ROUNDS + WRITERS));
}

/* A key that only the pool's users have. */
static void authenticated(void **state)
{
	struct fixture *f = *state;
	latz_audit_options options = LATZ_AUDIT_OPTIONS_INIT;
	latz_audit_info info = { .size = sizeof info };
	uint8_t key[32] = { 1, 2, 3 }, other[32] = { 1, 2, 4 };
	struct lzi_store *store;
	char path[600];

	audited(f, path);
	latz_options again = f->options;
	again.flags = 0;
	assert_ok(lzi_store_open("t", &again, &store));
	lzi_audit_key(store, key, NULL);
	assert_ok(put(f->pool, "k", "v"));
	assert_ok(put(f->pool, "k", "v2"));
	options.key = key;
	assert_ok(latz_audit_verify(path, &options, &info));
	assert_int_equal(info.keyed, 2);
	assert_int_equal(info.last_keyed, info.last_seq);
	options.key = other;
	assert_rc(LATZ_CORRUPT, latz_audit_verify(path, &options, &info));
	/* Without one the chain can be looked at all the same. */
	assert_ok(latz_audit_verify(path, NULL, NULL));
	lzi_audit_key(store, NULL, NULL);
	assert_ok(put(f->pool, "k", "v3"));
	options.key = key;
	assert_ok(latz_audit_verify(path, &options, &info));
	assert_int_equal(info.last_keyed, info.last_seq - 1);
	lzi_store_close(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIR_TEST(at_points),
		DIR_TEST(none_is_forgotten),
		DIR_TEST(telling_of_the_gone),
		DIR_TEST(nobody_waits_for_who_tells),
		DIR_TEST(his_place_is_waited_for),
		DIR_TEST(lost_is_told_of_once),
		DIR_TEST(refused_before_it_was_made),
		DIR_TEST(at_random),
		DIR_TEST(authenticated),
	};

	return suite_run(tests);
}
