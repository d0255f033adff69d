/*
 * A fuzz target: the entry point that libFuzzer calls, and valid inputs for runs without it (fuzz_main.c).
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t fuzz_seed(unsigned kind, uint8_t *out, size_t room);
#define FUZZ_SEEDS 16
/* Inputs of a run without libFuzzer, unless it is told how many. */
extern const unsigned fuzz_runs;

#endif
