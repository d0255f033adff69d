/*
 * What latzero advise has to tell, as its plot takes it.
 */
#ifndef LATZERO_TOOLS_ADVISE_H
#define LATZERO_TOOLS_ADVISE_H

#include "cli.h"

enum {
	ADVISE_POINTS = 32
};

struct advise {
	const char *pool;
	latz_advice_t advice;
	latz_advice_point points[ADVISE_POINTS];
	size_t count;
};

/* Misses over size, as a picture that stands for itself: SVG 1.1, no scripts, no fonts of its own. */
void advise_svg(FILE *file, const struct advise *advise);

#endif
