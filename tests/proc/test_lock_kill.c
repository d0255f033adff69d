/*
 * The holder is killed, again and again: the next one has the lock soon, its token is larger, and there are never two.
 * A witness that knows nothing of latzero says so: a lock of fcntl on a file, which a holder takes while it holds the
 * other. $LATZ_LOCK_ROUNDS rounds; by hand 1000.
 */
#include "lib/locks.h"
#include "lib/suite.h"

#define PROCS 4
/* The bar is 100 ms; here the machine may be busy. */
#define NEXT_MS 3000u

struct shared {
	uint64_t token;    /* of the latest grant */
	uint64_t grants;   /* how many there were */
	uint64_t since_ns; /* of that */
	pid_t holder;      /* 0: just now nobody */
	uint64_t violations;
	uint32_t stop;
};

struct game {
	const char *dir;
	char witness[300];
	struct shared *shared;
	int64_t lease_ms;
	bool shares;
};

static struct flock whole(short type)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1 };

	return lock;
}

/* Only a dead process may still have it: the kernel takes files back later than robust mutexes. */
static void witness(struct game *game, int fd)
{
	struct flock lock = whole(F_WRLCK), other = whole(F_WRLCK);

	if (fcntl(fd, F_SETLK, &lock) == 0)
		return;
	CHECK(fcntl(fd, F_GETLK, &other) == 0);
	for (int i = 0; other.l_type != F_UNLCK; i++) {
		char path[64], text[200] = "";
		FILE *file;

		/* Z or X, or just being killed: SIGKILL is pending or handled. */
		snprintf(path, sizeof path, "/proc/%d/stat", (int)other.l_pid);
		file = fopen(path, "r");
		if (file != NULL) {
			char *end;

			CHECK(fgets(text, sizeof text, file) != NULL || feof(file) || ferror(file));
			fclose(file);
			end = strrchr(text, ')');
			if (i > 2000 && end != NULL && strchr("RSD", end[2]) != NULL) {
				__atomic_fetch_add(&game->shared->violations, 1, __ATOMIC_SEQ_CST);
				return;
			}
		}
		sleep_ms(1);
		CHECK(fcntl(fd, F_GETLK, &other) == 0);
	}
	CHECK(fcntl(fd, F_SETLKW, &lock) == 0);
}

static int player(void *arg)
{
	struct game *game = arg;
	struct shared *shared = game->shared;
	latz_pool *pool = must_open(game->dir, "p", 0);
	struct flock none = whole(F_UNLCK);
	int fd = open(game->witness, O_RDWR | O_CREAT, 0600);

	CHECK(fd >= 0);
	while (__atomic_load_n(&shared->stop, __ATOMIC_ACQUIRE) == 0) {
		latz_lock_t lock;
		uint64_t before;

		CHECK_OK(lock_try(pool, "n", 0, game->lease_ms, -1, &lock));
		witness(game, fd);
		before = __atomic_exchange_n(&shared->token, lock.token, __ATOMIC_SEQ_CST);
		if (before >= lock.token ||
		    __atomic_exchange_n(&shared->holder, getpid(), __ATOMIC_SEQ_CST) == getpid())
			__atomic_fetch_add(&shared->violations, 1, __ATOMIC_SEQ_CST);
		__atomic_store_n(&shared->since_ns, clock_ns(), __ATOMIC_SEQ_CST);
		__atomic_fetch_add(&shared->grants, 1, __ATOMIC_SEQ_CST);
		for (int i = 0; i < 20; i++) /* long enough to be killed in it */
			sched_yield();
		CHECK_OK(set_fenced(pool, "k", "v", "n", lock.token));
		if (__atomic_exchange_n(&shared->holder, 0, __ATOMIC_SEQ_CST) != getpid())
			__atomic_fetch_add(&shared->violations, 1, __ATOMIC_SEQ_CST);
		CHECK(fcntl(fd, F_SETLK, &none) == 0);
		CHECK_OK(latz_unlock(&lock));
	}
	CHECK_OK(latz_close(pool));
	return 0;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void kill_holder(void **state)
{
	uint64_t rounds = env_number("LATZ_LOCK_ROUNDS", 40), *took = check_alloc(rounds * sizeof *took);
	uint64_t held = 0, median;
	struct game game = { .dir = tempdir_make() };
	struct proc procs[PROCS];
	struct rng rng;

	(void)state;
	rng_init(&rng, rng_test_seed("test_lock_kill"));
	snprintf(game.witness, sizeof game.witness, "%s/witness", game.dir);
	game.shared = mmap(NULL, sizeof *game.shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(game.shared != MAP_FAILED);
	latz_pool *pool = must_open(game.dir, "p", LATZ_CREATE);
	for (int i = 0; i < PROCS; i++)
		proc_start(&procs[i], player, &game, false);
	for (uint64_t round = 0; round < rounds; round++) {
		uint64_t grants, since;
		pid_t holder = 0;
		int victim = -1;

		sleep_ms((unsigned)rng_below(&rng, 4));
		/* Mostly the holder, in whatever it is doing; else anybody. */
		for (int i = 0; i < 200 && victim < 0; i++) {
			holder = __atomic_load_n(&game.shared->holder, __ATOMIC_SEQ_CST);
			for (int k = 0; k < PROCS; k++) {
				if (procs[k].pid == holder)
					victim = k;
			}
		}
		if (victim < 0)
			victim = (int)rng_below(&rng, PROCS);
		kill(procs[victim].pid, SIGKILL);
		since = clock_ns();
		grants = __atomic_load_n(&game.shared->grants, __ATOMIC_SEQ_CST);
		held += __atomic_load_n(&game.shared->holder, __ATOMIC_SEQ_CST) == procs[victim].pid;
		while (__atomic_load_n(&game.shared->grants, __ATOMIC_SEQ_CST) == grants) {
			if (clock_ns() - since > NEXT_MS * 1000000ull)
				fail_msg("nobody had the lock %u ms after a death", NEXT_MS);
			sched_yield();
		}
		took[round] = clock_ns() - since;
		proc_wait(&procs[victim], 60000);
		proc_start(&procs[victim], player, &game, false);
	}
	__atomic_store_n(&game.shared->stop, 1, __ATOMIC_RELEASE);
	for (int i = 0; i < PROCS; i++)
		assert_int_equal(proc_wait(&procs[i], 60000), 0);
	assert_true(game.shared->violations == 0);
	qsort(took, rounds, sizeof *took, compare);
	median = took[rounds / 2];
	printf("# %" PRIu64 " rounds, %" PRIu64 " killed holding it, %" PRIu64
	       " grants; from the kill to the next grant p50 %.2f ms, max %.2f ms\n",
	       rounds, held, game.shared->grants, (double)median / 1e6, (double)took[rounds - 1] / 1e6);
	assert_true(verify_print(pool) == LATZ_OK);
	assert_ok(latz_close(pool));
	munmap(game.shared, sizeof *game.shared);
	free(took);
	tempdir_remove(game.dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kill_holder),
	};

	return suite_run(tests);
}
