/*
 * The only way words that other threads or processes also touch are read and written. Every name says its ordering, so
 * that a reader of the code sees at the access itself what it relies on. Works on plain integers of 8 to 64 bits and
 * on pointers; the words must be aligned to their size (shared-memory structs assert that).
 *
 * Also the few hints to the compiler and the processor that belong next to such accesses.
 */
#ifndef LZI_BASE_ATOMIC_H
#define LZI_BASE_ATOMIC_H

#include <stdbool.h>
#include <stdint.h>

#define lzi_load_relaxed(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define lzi_load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define lzi_load_seq_cst(p) __atomic_load_n((p), __ATOMIC_SEQ_CST)
#define lzi_store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define lzi_store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define lzi_store_seq_cst(p, v) __atomic_store_n((p), (v), __ATOMIC_SEQ_CST)

/* Strong compare and swap: true if *p was *expected and is desired now; else *expected is what *p holds. Acquire and
 * release when it succeeds, acquire when it fails. */
#define lzi_cas_acquire(p, expected, desired) \
	__atomic_compare_exchange_n((p), (expected), (desired), false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)

/* All four are sequentially consistent and return what the word held before. */
#define lzi_fetch_add(p, v) __atomic_fetch_add((p), (v), __ATOMIC_SEQ_CST)
#define lzi_fetch_sub(p, v) __atomic_fetch_sub((p), (v), __ATOMIC_SEQ_CST)
#define lzi_fetch_or(p, v) __atomic_fetch_or((p), (v), __ATOMIC_SEQ_CST)
#define lzi_fetch_and(p, v) __atomic_fetch_and((p), (v), __ATOMIC_SEQ_CST)
#define lzi_exchange(p, v) __atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST)

/* Counting only: orders nothing. */
#define lzi_fetch_add_relaxed(p, v) __atomic_fetch_add((p), (v), __ATOMIC_RELAXED)
#define lzi_fetch_sub_relaxed(p, v) __atomic_fetch_sub((p), (v), __ATOMIC_RELAXED)

/* For a counter with one writer: no locked instruction. Others may read it at any time. */
#define lzi_bump_relaxed(p, v) lzi_store_relaxed((p), lzi_load_relaxed(p) + (v))

/* The sanitizer for threads does not know fences: it warns, and then sees races that the fences forbid. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__SANITIZE_THREAD__)
#pragma GCC diagnostic ignored "-Wtsan"
#endif
#define lzi_fence_acquire() __atomic_thread_fence(__ATOMIC_ACQUIRE)
#define lzi_fence_release() __atomic_thread_fence(__ATOMIC_RELEASE)
#define lzi_fence_full() __atomic_thread_fence(__ATOMIC_SEQ_CST)

/* Around reads of what may be changing, and that are looked at only once it is sure that it was not: the sanitizer for
 * threads shall not see them. Atomic accesses in between order as ever. Each place says why it is one. */
#if defined(__SANITIZE_THREAD__)
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
#define lzi_racy_reads_begin() AnnotateIgnoreReadsBegin(__FILE__, __LINE__)
#define lzi_racy_reads_end() AnnotateIgnoreReadsEnd(__FILE__, __LINE__)
#else
#define lzi_racy_reads_begin() (void)0
#define lzi_racy_reads_end() (void)0
#endif

/* After lzi_cas_acquire(): makes it a full barrier, which on x86 it is anyway. */
#if defined(__x86_64__) || defined(__i386__)
#define lzi_fence_after_cas() lzi_compiler_barrier()
#else
#define lzi_fence_after_cas() lzi_fence_full()
#endif

/* Keeps the compiler, not the processor, from moving accesses across: the cheap half of a pairing whose dear half is
 * membarrier(2). */
#define lzi_compiler_barrier() __atomic_signal_fence(__ATOMIC_SEQ_CST)

/* Between two looks at a word that another processor is about to change. */
static inline void lzi_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("isb" ::: "memory");
#else
	lzi_compiler_barrier();
#endif
}

#define lzi_likely(x) __builtin_expect(!!(x), 1)
#define lzi_unlikely(x) __builtin_expect(!!(x), 0)
#define lzi_prefetch(p) __builtin_prefetch((p), 0, 3)

#define LZI_NOINLINE __attribute__((noinline))
#define LZI_INLINE __attribute__((always_inline)) static inline
#define LZI_COLD __attribute__((cold, noinline))

#endif
