/*
 * What a static analyzer has to be told (`./dev lint`, which defines LZI_ANALYZED) since it sees one file at a time.
 * Nothing of this is in what is built. See also the end of base/error.h.
 */
#ifndef LZI_BASE_ANALYZED_H
#define LZI_BASE_ANALYZED_H

/* What holds at this place, and a pointer that is not NULL; a comment says why. */
#if defined(LZI_ANALYZED)
#define lzi_analyzed_assume(condition) \
	do { \
		if (!(condition)) \
			__builtin_unreachable(); \
	} while (0)
#define lzi_analyzed_sure(pointer) \
	({ \
		__typeof__(pointer) lzi_analyzed_pointer = (pointer); \
		lzi_analyzed_assume(lzi_analyzed_pointer != 0); \
		lzi_analyzed_pointer; \
	})
/* It has been written to, though by way of an index that they could not follow. */
#define lzi_analyzed_written(object) __asm__("" : "=m"(object))
#else
#define lzi_analyzed_assume(condition) (void)0
#define lzi_analyzed_sure(pointer) (pointer)
#define lzi_analyzed_written(object) (void)0
#endif

#endif
