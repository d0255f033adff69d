/* A few lines of TAP for the programs that are not cmocka suites. */
#ifndef TESTS_LIB_TAP_H
#define TESTS_LIB_TAP_H

#include <stdbool.h>

/* Prints the result of one test; remembers failures. */
void tap_ok(bool ok, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Prints the plan; the exit status for main: 0 if all were ok. */
int tap_done(void);

#endif
