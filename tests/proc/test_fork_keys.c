/*
 * What a forked child has of its parent's keys: none of the ciphers; the keys themselves in locked memory only, for as
 * long as it has a handle by which it may yet attach; after that nothing. All that the child can read of its own memory
 * is searched for the keys, which this program keeps inverted.
 */
#include "config.h"

#include "lib/suite.h"

#include "api/api.h"
#include "store/seal.h"

#define PASSWORD "k33p-0ut-0f-ch1ldr3n"
#define KEYS 4u
#define KEY 32u

static unsigned char inverted[KEYS][KEY]; /* master, names, a data key, the audit log's; then the password */
static unsigned char inverted_password[sizeof PASSWORD - 1];

struct found {
	unsigned locked, elsewhere, passwords;
	bool others_locked; /* any mapping is: the limit allows it */
};

static void invert(unsigned char *to, const void *from, size_t size)
{
	for (size_t i = 0; i < size; i++)
		to[i] = (unsigned char)~((const unsigned char *)from)[i];
}

static bool is(const unsigned char *at, const unsigned char *wanted, size_t size)
{
	size_t i = 0;

	while (i < size && (at[i] ^ wanted[i]) == 0xff)
		i++;
	return i == size;
}

static void search(int mem, unsigned long from, unsigned long to, bool locked, struct found *found)
{
	size_t size = to - from;
	unsigned char *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ssize_t got;

	CHECK(bytes != MAP_FAILED);
	got = pread(mem, bytes, size, (off_t)from);
	for (ssize_t i = 0; i + (ssize_t)KEY <= got; i++) {
		for (unsigned k = 0; k < KEYS; k++) {
			if (is(bytes + i, inverted[k], KEY))
				*(locked ? &found->locked : &found->elsewhere) += 1;
		}
		if (is(bytes + i, inverted_password, sizeof inverted_password))
			found->passwords++;
	}
	explicit_bzero(bytes, size);
	munmap(bytes, size);
}

static void look_at(int mem, const struct proc_mapping *mapping, void *arg)
{
	bool locked = strstr(mapping->flags, " lo") != NULL;
	struct found *found = arg;

	if (mapping->how[3] == 's')
		return;
	found->others_locked |= locked;
	/* The constant in the program's own text is no secret of the library's. */
	if (mapping->how[1] == 'w')
		search(mem, mapping->from, mapping->to, locked, found);
}

/* Of what a process has for itself. */
static struct found look(pid_t pid)
{
	struct found found = { 0, 0, 0, false };

	proc_mappings(pid, look_at, &found);
	return found;
}

static void make(struct fixture *f)
{
	const struct lzi_secrets *secrets;
	char file[600];
	int fd;

	snprintf(file, sizeof file, "%s/password", f->dir);
	fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0 && write(fd, PASSWORD, sizeof PASSWORD - 1) == sizeof PASSWORD - 1);
	close(fd);
	snprintf(file, sizeof file, "file:%s/password", f->dir);
	f->options.password_from = file;
	f->options.encrypt = 1;
	f->options.flags |= LATZ_NO_THREAD | LATZ_NO_GUARD;
	assert_ok(latz_open("t", &f->options, &f->pool));
	f->options.password_from = NULL;
	assert_ok(put(f->pool, "k", "v"));
	assert_text(f, "k", "v");
	secrets = f->pool->store->secrets;
	invert(inverted[0], secrets->master, KEY);
	invert(inverted[1], secrets->names, KEY);
	invert(inverted[2], secrets->data[0], KEY);
	invert(inverted[3], secrets->audit, KEY);
	invert(inverted_password, PASSWORD, sizeof inverted_password);
}

/* ---- Children: they stop where they are to be looked at ---------------------------------------------------------- */

struct child {
	struct fixture *f;
	latz_pool *sub;
	latz_view *view;
};

/* Of one child at its n-th stop. */
static struct found at_stop(struct proc *proc)
{
	proc_wait_stopped(proc);
	return look(proc->pid);
}

static void stop(void)
{
	CHECK(raise(SIGSTOP) == 0);
}

static void check_get(struct fixture *f)
{
	latz_value value = LATZ_VALUE_INIT;

	CHECK_OK(latz_get(f->pool, latz_str("k"), &value));
	CHECK(value.size == 1 && memcmp(value.data, "v", 1) == 0);
	latz_value_free(&value);
}

static int does_nothing(void *arg)
{
	(void)arg;
	stop();
	return 0;
}

static int closes(void *arg)
{
	struct child *c = arg;

	CHECK_OK(latz_close(c->f->pool));
	stop();
	return 0;
}

static int uses(void *arg)
{
	struct child *c = arg;

	check_get(c->f);
	stop();
	return 0;
}

static int uses_and_closes(void *arg)
{
	struct child *c = arg;

	check_get(c->f);
	CHECK_OK(latz_close(c->f->pool));
	stop();
	return 0;
}

/* One handle after the other; each could have attached by what is kept. */
static int closes_all(void *arg)
{
	struct child *c = arg;

	check_get(c->f);
	CHECK_OK(latz_close(c->f->pool));
	CHECK_OK(put(c->sub, "k", "w"));
	CHECK_OK(latz_close(c->sub));
	CHECK(c->view->size == 1 && memcmp(c->view->data, "v", 1) == 0);
	CHECK_OK(latz_release(c->view));
	stop();
	return 0;
}

/* In a child of a child that has not used the pool. */
static int in_a_child(proc_fn fn, struct child *c)
{
	struct proc proc;
	struct found found;

	proc_start(&proc, fn, c, false);
	found = at_stop(&proc);
	CHECK(proc_continue(&proc) == 0);
	CHECK(found.passwords == 0 && found.elsewhere == 0);
	return (int)found.locked;
}

static int begets_idle(void *arg)
{
	return in_a_child(does_nothing, arg) == KEYS ? 0 : 1;
}

static int begets_closing(void *arg)
{
	return in_a_child(closes, arg) == 0 ? 0 : 1;
}

static int begets_using(void *arg)
{
	return in_a_child(uses_and_closes, arg) == 0 ? 0 : 1;
}

static struct found of_child(proc_fn fn, struct child *c)
{
	struct proc proc;
	struct found found;

	proc_start(&proc, fn, c, false);
	found = at_stop(&proc);
	assert_int_equal(proc_continue(&proc), 0);
	print_message("# keys: %u locked, %u elsewhere\n", found.locked, found.elsewhere);
	assert_int_equal(found.passwords, 0);
	return found;
}

/* ---- Tests ------------------------------------------------------------------------------------------------------- */

/* That they are found where they are: the keys locked, if the limit allows that, and what OpenSSL has made of them. */
static bool can_lock(void)
{
	struct found own = look(getpid());

	assert_true(own.locked + own.elsewhere > KEYS);
	assert_true(own.elsewhere > 0);
	return own.others_locked;
}

static void child_with_handles(void **state)
{
	struct fixture *f = *state;
	struct child c = { .f = f };
	struct found found;

	make(f);
	if (!can_lock()) {
		print_message("# no memory can be locked here\n");
		skip();
	}
	found = of_child(does_nothing, &c);
	assert_int_equal(found.locked, KEYS);
	assert_int_equal(found.elsewhere, 0);
	assert_int_equal(proc_run(begets_idle, &c, 20000), 0);
}

static void child_without_handles(void **state)
{
	struct fixture *f = *state;
	struct child c = { .f = f };
	struct found found;

	make(f);
	(void)can_lock();
	found = of_child(closes, &c);
	assert_int_equal(found.locked + found.elsewhere, 0);
	found = of_child(uses_and_closes, &c);
	assert_int_equal(found.locked + found.elsewhere, 0);
	assert_int_equal(proc_run(begets_closing, &c, 20000), 0);
	assert_int_equal(proc_run(begets_using, &c, 20000), 0);
	assert_text(f, "k", "v");
}

/* Its own attachment's, and not its parent's as well. */
static void child_that_attached(void **state)
{
	struct fixture *f = *state;
	struct child c = { .f = f };
	struct found found;

	make(f);
	if (!can_lock())
		skip();
	found = of_child(uses, &c);
	assert_int_equal(found.locked, KEYS);
}

static void child_with_several(void **state)
{
	struct fixture *f = *state;
	latz_view view = { .size = 0 };
	struct child c = { .f = f, .view = &view };
	struct found found;

	make(f);
	assert_ok(latz_namespace(f->pool, "space", &c.sub));
	assert_ok(latz_borrow(f->pool, latz_str("k"), &view));
	found = of_child(closes_all, &c);
	assert_int_equal(found.locked + found.elsewhere, 0);
	assert_ok(latz_release(&view));
	assert_ok(latz_close(c.sub));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIR_TEST(child_with_handles),
		DIR_TEST(child_without_handles),
		DIR_TEST(child_that_attached),
		DIR_TEST(child_with_several),
	};

	fork_prepare();
	latz_set_logger(NULL, NULL, LATZ_LOG_ERROR);
	return suite_run(tests);
}
