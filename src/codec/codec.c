/*
 * Packing and unpacking. Each thread has its contexts, made when it first needs them: making one costs more than using
 * it. zstd's magic number is taken off, and put on again, in the thread's buffers: only calls of zstd's stable
 * interface are used.
 */
#include "config.h"

#include "codec/codec.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <latzero/latzero.h>
#include <zdict.h>
#include <zstd.h>

#include "base/atomic.h"
#include "base/error.h"

/* A thread keeps its buffers, unless they are larger and the value at hand needs but a part of it. */
#define KEEP (1u << 20)
/* Three bytes before the packed value: with the dictionary's number they are the place of the magic number. */
#define LEAD 3u

static const uint8_t magic[] = { 0x28, 0xb5, 0x2f, 0xfd };

/* Compression depends on the level; of each level in use there is one. They stay: others may be using them. */
struct level {
	int level;
	ZSTD_CDict *dict;
	struct level *next;
};

struct lzi_codec_dict {
	unsigned number;
	ZSTD_DDict *out;
	struct level *levels; /* a list that only grows */
	pthread_mutex_t mutex;
	size_t size;
	uint8_t bytes[];
};

struct buffer {
	uint8_t *data;
	size_t room;
};

struct thread {
	ZSTD_CCtx *in;
	ZSTD_DCtx *out;
	const ZSTD_CDict *dict; /* that `in` refers to */
	int level;              /* that `in` has; what it has with a dictionary is the dictionary's */
	struct buffer packed, given;
	size_t dirty; /* of `packed`, from its beginning on */
};

static __thread struct thread *own;
static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int key_made;

static void thread_ends(void *arg)
{
	struct thread *thread = arg;

	ZSTD_freeCCtx(thread->in);
	ZSTD_freeDCtx(thread->out);
	free(thread->packed.data);
	free(thread->given.data);
	free(thread);
	own = NULL;
}

static void make_key(void)
{
	key_made = pthread_key_create(&key, thread_ends) == 0;
}

/* The thread that ends the process ends without its destructors. */
__attribute__((destructor)) static void process_ends(void)
{
	if (own != NULL)
		thread_ends(own);
	if (key_made)
		pthread_key_delete(key);
}

static LZI_NOINLINE struct thread *make_own(void)
{
	struct thread *thread;

	pthread_once(&once, make_key);
	thread = key_made ? calloc(1, sizeof *thread) : NULL;
	if (thread != NULL && pthread_setspecific(key, thread) != 0) {
		free(thread);
		thread = NULL;
	}
	own = thread;
	return thread;
}

static inline struct thread *find_own(void)
{
	return lzi_likely(own != NULL) ? own : make_own();
}

static int reserve(struct buffer *buffer, size_t size)
{
	if (lzi_likely(buffer->room >= size && (buffer->room <= KEEP || size > KEEP)))
		return 1;
	free(buffer->data);
	buffer->room = size < 4096 ? 4096 : size;
	buffer->data = malloc(buffer->room);
	if (buffer->data == NULL)
		buffer->room = 0;
	return buffer->data != NULL;
}

/* ---- Dictionaries ---- */

int lzi_codec_dict_new(unsigned number, const void *bytes, size_t size, struct lzi_codec_dict **ret_dict)
{
	struct lzi_codec_dict *dict = malloc(sizeof *dict + size);

	if (dict == NULL)
		return lzi_error(LATZ_NOMEM, "dictionary %u", number);
	memset(dict, 0, sizeof *dict);
	pthread_mutex_init(&dict->mutex, NULL);
	dict->number = number;
	dict->size = size;
	memcpy(dict->bytes, bytes, size);
	dict->out = ZSTD_createDDict(bytes, size);
	if (dict->out == NULL) {
		lzi_codec_dict_free(dict);
		return lzi_error(LATZ_CORRUPT, "dictionary %u is none of zstd's", number);
	}
	*ret_dict = dict;
	return LATZ_OK;
}

void lzi_codec_dict_free(struct lzi_codec_dict *dict)
{
	struct level *level, *next;

	if (dict == NULL)
		return;
	for (level = dict->levels; level != NULL; level = next) {
		next = level->next;
		ZSTD_freeCDict(level->dict);
		free(level);
	}
	ZSTD_freeDDict(dict->out);
	pthread_mutex_destroy(&dict->mutex);
	explicit_bzero(dict->bytes, dict->size); /* pieces of values, which may be encrypted ones */
	free(dict);
}

static const ZSTD_CDict *look_level(struct lzi_codec_dict *dict, int level)
{
	const struct level *at;

	for (at = lzi_load_acquire(&dict->levels); at != NULL; at = at->next) {
		if (at->level == level)
			return at->dict;
	}
	return NULL;
}

static LZI_NOINLINE const ZSTD_CDict *make_level(struct lzi_codec_dict *dict, int level)
{
	const ZSTD_CDict *found;
	struct level *made;

	pthread_mutex_lock(&dict->mutex);
	found = look_level(dict, level);
	made = found == NULL ? malloc(sizeof *made) : NULL;
	if (made != NULL) {
		made->level = level;
		made->next = dict->levels;
		found = made->dict = ZSTD_createCDict(dict->bytes, dict->size, level);
		if (found != NULL)
			lzi_store_release(&dict->levels, made);
		else
			free(made);
	}
	pthread_mutex_unlock(&dict->mutex);
	return found;
}

size_t lzi_codec_train(const void *samples, const size_t *sizes, unsigned count, void *dict, size_t room)
{
	size_t size = ZDICT_trainFromBuffer(dict, room, samples, sizes, count);

	return ZDICT_isError(size) ? 0 : size;
}

/* ---- Packing ---- */

int lzi_codec_level_valid(int level)
{
	return level >= -100 && level <= 19;
}

/* 0 for want of memory. */
static int prepare(struct thread *thread, struct lzi_codec_dict *dict, int level)
{
	const ZSTD_CDict *want = NULL;

	if (dict != NULL) {
		want = look_level(dict, level);
		if (lzi_unlikely(want == NULL) && (want = make_level(dict, level)) == NULL)
			return 0;
	}
	if (lzi_unlikely(thread->in == NULL)) {
		thread->in = ZSTD_createCCtx();
		thread->dict = NULL;
		thread->level = 0;
		if (thread->in == NULL || ZSTD_isError(ZSTD_CCtx_setParameter(thread->in, ZSTD_c_dictIDFlag, 0)))
			return 0;
	}
	if (lzi_unlikely(want == NULL && thread->level != level)) {
		if (ZSTD_isError(ZSTD_CCtx_setParameter(thread->in, ZSTD_c_compressionLevel, level)))
			return 0;
		thread->level = level;
	}
	if (lzi_unlikely(thread->dict != want)) {
		if (ZSTD_isError(ZSTD_CCtx_refCDict(thread->in, want)))
			return 0;
		thread->dict = want;
	}
	return 1;
}

size_t lzi_codec_pack(struct lzi_codec_dict *dict, int level, const void *raw, size_t size, const void **ret_packed)
{
	struct thread *thread = find_own();
	/* An eighth at least, or it is not worth the time of unpacking it each time. What does not fit is given up. */
	size_t room = LEAD + size - size / 8, n;

	if (size < 16 || thread == NULL || !reserve(&thread->packed, room) || !prepare(thread, dict, level))
		return 0;
	thread->dirty = room; /* also of what is given up */
	n = ZSTD_compress2(thread->in, thread->packed.data, room, raw, size);
	if (ZSTD_isError(n)) {
		/* What was given up counts as under way: dictionary and level could not be changed. */
		(void)!ZSTD_CCtx_reset(thread->in, ZSTD_reset_session_only);
		return 0;
	}
	thread->packed.data[LEAD] = dict == NULL ? 0 : (uint8_t)dict->number;
	*ret_packed = thread->packed.data + LEAD;
	return n - LEAD;
}

void lzi_codec_wipe(void)
{
	if (own == NULL || own->dirty == 0)
		return;
	explicit_bzero(own->packed.data, own->dirty);
	own->dirty = 0;
}

/* ---- Unpacking ---- */

uint8_t *lzi_codec_room(size_t size)
{
	struct thread *thread = find_own();

	return thread != NULL && reserve(&thread->given, LEAD + size) ? thread->given.data + LEAD : NULL;
}

int lzi_codec_unpack(const struct lzi_codec_dict *dict, uint8_t *packed, size_t size, void *to, size_t raw_size)
{
	struct thread *thread = find_own();
	uint8_t *frame = packed - LEAD;
	size_t n;

	if (lzi_unlikely(thread != NULL && thread->out == NULL))
		thread->out = ZSTD_createDCtx();
	if (lzi_unlikely(thread == NULL || thread->out == NULL))
		return lzi_error(LATZ_NOMEM, "no memory to decompress a value");
	memcpy(frame, magic, sizeof magic);
	n = dict == NULL ? ZSTD_decompressDCtx(thread->out, to, raw_size, frame, LEAD + size)
	                 : ZSTD_decompress_usingDDict(thread->out, to, raw_size, frame, LEAD + size, dict->out);
	if (lzi_likely(n == raw_size))
		return LATZ_OK;
	return lzi_error(LATZ_CORRUPT, "compressed value: %s",
	                 ZSTD_isError(n) ? ZSTD_getErrorName(n) : "its size is another");
}
