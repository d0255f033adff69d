/*
 * Trying passwords: places in time.
 *
 * After a wrong password an attempt first takes a place in time, which every failure in a row puts further from the
 * last one (100 ms, doubled up to 3 s). It is taken before the attempt is made, by one compare-and-swap, so neither
 * trying from many processes nor dying at a failure saves anything, and nobody can hold others up by being stopped.
 *
 * While there was no failure nobody waits: many who open a pool at the same moment, with the right password, are not to
 * wait for each other. Those that began then and find, when they know whether theirs is right, that another one failed
 * meanwhile, take their place only now, and tell what they know no sooner than if they had stood in line from the
 * beginning. So a hundred at once learn no more in a second than one after another would.
 *
 * What is done to a pool that is being made from its persist directory is done by one process at a time, which has the
 * directory for itself. Its file says that an attempt failed before the attempt is made, and is taken back if it did
 * not: dying saves nothing there either.
 */
#include "config.h"

#include "store/guess.h"

#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/point.h"

#define DELAY_MS 100
#define DELAY_MAX_MS 3000
#define PATIENCE_MS 15000
#define FILE_NAME "guesses"
#define MAGIC "lz-try\r\n"
#define ROWS 16u

/* The file; its pool's persist directory is nobody else's. */
struct record {
	uint8_t magic[8];
	uint8_t boot_id[16]; /* whose clock not_before is of */
	struct lzi_guesses guesses;
};
_Static_assert(sizeof(struct record) == 48, "no padding");

/* What this process knows of pools where it can't write anything down; two may share a row. */
static struct lzi_guesses rows[ROWS];

static int64_t delay_after(uint32_t failures)
{
	int64_t delay = failures > 5 || failures == 0 ? DELAY_MAX_MS : (int64_t)DELAY_MS << (failures - 1);

	return delay > DELAY_MAX_MS ? DELAY_MAX_MS : delay;
}

static const char *kind(const struct lzi_guess *guess)
{
	return guess->store != NULL ? "pool " : "";
}

/* Takes the attempt's place in time, and waits for it. nth: the failure that it is, or may become; 0: of all. */
static int wait_for_turn(struct lzi_guess *guess, uint32_t nth)
{
	int64_t had = lzi_load_relaxed(guess->not_before), now, turn;
	uint32_t failures;

	do {
		now = lzi_clock_mono_ms();
		failures = lzi_load_acquire(guess->failures);
		if (failures == 0 && nth == 0)
			return LATZ_OK;
		/* A word that nobody of us wrote must not lock everybody out. */
		turn = had < now ? now : had > now + 2 * PATIENCE_MS ? now + DELAY_MAX_MS : had;
		if (turn - now > PATIENCE_MS)
			return lzi_error(LATZ_TIMEOUT, "%s%s: passwords are being tried, %u wrong ones in a row",
			                 kind(guess), guess->name, failures);
	} while (!lzi_cas_acquire(guess->not_before, &had, turn + delay_after(nth == 0 ? failures : nth)));
	guess->has_place = 1;
	if (turn > now)
		lzi_sleep_us((unsigned)(turn - now) * 1000);
	return LATZ_OK;
}

/* ---- In a persist directory -------------------------------------------------------------------------------------- */

static void write_file(struct lzi_guess *guess)
{
	struct record record = { .guesses = guess->file };

	memcpy(record.magic, MAGIC, sizeof record.magic);
	lzi_boot_id(record.boot_id);
	if (guess->fd >= 0 && lzi_disk_write_at(guess->fd, FILE_NAME, &record, sizeof record, 0) != LATZ_OK)
		lzi_log(LATZ_LOG_WARNING, "%s%s: wrong passwords are not counted: %s", kind(guess), guess->name,
		        lzi_error_text());
}

/* Without it, on a full disk, the process's own row has to do. */
static void open_file(struct lzi_guess *guess)
{
	int dirfd = guess->store->persist.dirfd;
	struct record record;
	uint8_t boot_id[16];
	uint64_t got = 0;
	int rc = dirfd < 0 ? LATZ_UNSUPPORTED : lzi_disk_open(dirfd, FILE_NAME, 1, &guess->fd);

	if (rc == LATZ_NOTFOUND)
		rc = lzi_disk_create(dirfd, FILE_NAME, &guess->fd);
	if (rc != LATZ_OK) {
		guess->fd = -1;
		return;
	}
	if (lzi_disk_read_at(guess->fd, FILE_NAME, &record, sizeof record, 0, &got) != LATZ_OK || got < sizeof record ||
	    memcmp(record.magic, MAGIC, sizeof record.magic) != 0)
		memset(&record, 0, sizeof record);
	guess->file = record.guesses;
	lzi_boot_id(boot_id);
	if (memcmp(boot_id, record.boot_id, sizeof boot_id) != 0)
		guess->file.not_before = 0;
	guess->failures = &guess->file.failures;
	guess->not_before = &guess->file.not_before;
}

/* It may fail, and we may not live to tell. */
static void expect_failure(struct lzi_guess *guess)
{
	const struct lzi_guesses was = guess->file;

	guess->file.failures++;
	guess->file.attempts++;
	guess->file.failed_ms = lzi_clock_wall_ms();
	guess->file.not_before = lzi_clock_mono_ms() + delay_after(guess->file.failures);
	write_file(guess);
	guess->file = was;
}

/* The pool goes on counting. */
static void close_file(struct lzi_guess *guess, int rc)
{
	struct lzi_guarded *guarded;

	if (guess->fd < 0)
		return;
	if (rc == LATZ_OK) {
		guarded = &guess->store->control.shared->guarded;
		lzi_store_relaxed(&guarded->attempts, guess->file.attempts);
		lzi_store_relaxed(&guarded->failed_ms, guess->file.failed_ms);
		(void)!lzi_disk_remove(guess->store->persist.dirfd, FILE_NAME);
	} else {
		write_file(guess);
	}
	lzi_file_close(guess->fd);
	guess->fd = -1;
}

/* ---- An attempt -------------------------------------------------------------------------------------------------- */

int lzi_guess_begin(struct lzi_guess *guess, struct lzi_store *store, const char *name, const uint8_t id[16],
                    int making)
{
	struct lzi_guesses *row = &rows[id[0] % ROWS];
	int rc;

	*guess = (struct lzi_guess){ .store = store, .name = name, .fd = -1 };
	guess->failures = &row->failures;
	guess->not_before = &row->not_before;
	if (store != NULL && !store->reads_only && !making) {
		guess->guarded = &store->control.shared->guarded;
		guess->failures = &guess->guarded->failures;
		guess->not_before = &guess->guarded->not_before;
	}
	if (making)
		open_file(guess);
	rc = wait_for_turn(guess, 0);
	if (guess->fd >= 0 && rc == LATZ_OK)
		expect_failure(guess);
	else if (rc != LATZ_OK)
		lzi_file_close(guess->fd);
	LZI_POINT("guess.begun");
	return rc;
}

static int failed(struct lzi_guess *guess)
{
	uint32_t failures = lzi_fetch_add(guess->failures, 1u) + 1;
	int64_t was, now;
	int rc;

	if (guess->fd >= 0) {
		guess->file.attempts++;
		guess->file.failed_ms = lzi_clock_wall_ms();
	} else if (guess->guarded != NULL) {
		lzi_fetch_add(&guess->guarded->attempts, 1u);
		lzi_store_relaxed(&guess->guarded->failed_ms, lzi_clock_wall_ms());
	}
	/* Others failed while this one was looked at. */
	rc = failures > 1 && !guess->has_place ? wait_for_turn(guess, failures) : LATZ_OK;
	if (rc != LATZ_OK)
		return rc;
	now = lzi_clock_mono_ms();
	was = lzi_load_relaxed(guess->not_before);
	if (was < now + delay_after(failures))
		(void)lzi_cas_acquire(guess->not_before, &was, now + delay_after(failures));
	lzi_log(LATZ_LOG_WARNING, "%s%s: opened with a wrong password, %u in a row", kind(guess), guess->name,
	        failures);
	return lzi_error(LATZ_AUTH, "%s%s: wrong password", kind(guess), guess->name);
}

int lzi_guess_end(struct lzi_guess *guess, int rc)
{
	if (rc == LATZ_AUTH)
		rc = failed(guess);
	else if (rc == LATZ_OK && !guess->has_place)
		rc = wait_for_turn(guess, 0);
	if (rc == LATZ_OK)
		lzi_store_release(guess->failures, 0u);
	close_file(guess, rc);
	return rc;
}
