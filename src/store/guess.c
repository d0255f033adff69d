/*
 * Trying passwords: turns in time.
 *
 * After a wrong password none is looked at before a moment that every failure in a row puts further from the last one
 * (100 ms, doubled up to 3 s). Who comes sooner waits for it; whose turn it is moves it on, before his attempt is
 * made, by one compare-and-swap, and who finds it moved waits again. So neither trying from many processes nor dying at
 * a failure saves anything; and who waits has nothing yet that others would have to wait for, should he be stopped or
 * killed. There is no order among those who wait, so the moment comes with how far it was put: the next turn puts it
 * one step further, if there were so many failures.
 *
 * While there was no failure nobody waits: many who open a pool at the same moment, with the right password, are not to
 * wait for each other. Those that began then and find, when they know whether theirs is right, that another one failed
 * meanwhile, wait for their turn only now, and tell what they know no sooner than if they had waited at the beginning.
 * So a hundred at once learn no more in a second than one after another would.
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
#define LOOK_MS 20 /* between two looks whether a right password has ended the row */
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

/* not_before: the moment, and how many steps it was put off. */
#define MOMENT_BITS 48
#define STEPS_MAX 6u

static int64_t moment_of(int64_t word)
{
	return word & ((1LL << MOMENT_BITS) - 1);
}

/* That many ms from now, for the step that follows that word's. *ret_ms: how many. */
static int64_t step_after(int64_t word, uint32_t failures, int64_t now, int64_t *ret_ms)
{
	uint32_t step = (uint32_t)((uint64_t)word >> MOMENT_BITS) + 1;

	if (step > failures)
		step = failures;
	if (step > STEPS_MAX)
		step = STEPS_MAX;
	if (step == 0) /* the count went over */
		step = 1;
	*ret_ms = (int64_t)DELAY_MS << (step - 1);
	if (*ret_ms > DELAY_MAX_MS)
		*ret_ms = DELAY_MAX_MS;
	return (int64_t)((uint64_t)step << MOMENT_BITS) | (now + *ret_ms);
}

static const char *kind(const struct lzi_guess *guess)
{
	return guess->store != NULL && guess->name == guess->store->name ? "pool " : "";
}

/* Waits for the attempt's turn, and takes it. nth: the failure that it is; 0: it has not been made yet. */
static int wait_for_turn(struct lzi_guess *guess, uint32_t nth)
{
	const int64_t began = lzi_clock_mono_ms();
	int64_t had, now, moment, next, ms, left;
	uint32_t failures;

	for (;;) {
		had = lzi_load_relaxed(guess->not_before);
		now = lzi_clock_mono_ms();
		failures = lzi_load_acquire(guess->failures);
		if (failures < nth)
			failures = nth;
		if (failures == 0)
			return LATZ_OK;
		moment = moment_of(had);
		next = step_after(had, failures, now, &ms);
		if (moment > now + DELAY_MAX_MS) { /* nobody of us wrote that: it must not lock everybody out */
			(void)lzi_cas_acquire(guess->not_before, &had, next);
			continue;
		}
		if (moment <= now && lzi_cas_acquire(guess->not_before, &had, next))
			break;
		if (moment - began > PATIENCE_MS)
			return lzi_error(LATZ_TIMEOUT,
			                 "%s%s: others try passwords, %u wrong ones in a row, and it was not our turn "
			                 "in %d s, which no timeout_ms makes longer: try again",
			                 kind(guess), guess->name, failures, PATIENCE_MS / 1000);
		/* Not all of it: a right password ends the row, and then nobody waits who has not been wrong in it. */
		left = moment - now < LOOK_MS ? moment - now : LOOK_MS;
		if (left > 0)
			lzi_sleep_us((unsigned)left * 1000);
	}
	guess->has_turn = 1;
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
	int64_t ms;

	guess->file.failures++;
	guess->file.attempts++;
	guess->file.failed_ms = lzi_clock_wall_ms();
	guess->file.not_before = step_after(was.not_before, guess->file.failures, lzi_clock_mono_ms(), &ms);
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

	*guess = (struct lzi_guess){ .store = store, .name = name != NULL ? name : store->name, .fd = -1 };
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

/* Whoever comes next waits longer. */
static void put_off(struct lzi_guess *guess, uint32_t failures)
{
	int64_t had = lzi_load_relaxed(guess->not_before), now = lzi_clock_mono_ms(), ms;
	int64_t next = step_after(had, failures, now, &ms);

	if (moment_of(had) < now + ms)
		(void)lzi_cas_acquire(guess->not_before, &had, next);
}

static int failed(struct lzi_guess *guess)
{
	uint32_t failures = lzi_fetch_add(guess->failures, 1u) + 1;
	int rc = LATZ_OK;

	if (guess->fd >= 0) {
		guess->file.attempts++;
		guess->file.failed_ms = lzi_clock_wall_ms();
	} else if (guess->guarded != NULL) {
		lzi_fetch_add(&guess->guarded->attempts, 1u);
		lzi_store_relaxed(&guess->guarded->failed_ms, lzi_clock_wall_ms());
	}
	if (failures > 1 && !guess->has_turn) /* others failed while this one was looked at */
		rc = wait_for_turn(guess, failures);
	else
		put_off(guess, failures);
	if (rc != LATZ_OK)
		return rc;
	lzi_log(LATZ_LOG_WARNING, "%s%s: opened with a wrong password, %u in a row", kind(guess), guess->name,
	        failures);
	return lzi_error(LATZ_AUTH, "%s%s: wrong password", kind(guess), guess->name);
}

int lzi_guess_end(struct lzi_guess *guess, int rc)
{
	if (rc == LATZ_AUTH)
		rc = failed(guess);
	else if (rc == LATZ_OK && !guess->has_turn)
		rc = wait_for_turn(guess, 0);
	if (rc == LATZ_OK) {
		lzi_store_relaxed(guess->not_before, 0LL);
		lzi_store_release(guess->failures, 0u);
	}
	close_file(guess, rc);
	return rc;
}
