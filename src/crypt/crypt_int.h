/*
 * Private to crypt/.
 */
#ifndef LZI_CRYPT_CRYPT_INT_H
#define LZI_CRYPT_CRYPT_INT_H

#include "crypt/crypt.h"

/* OpenSSL's first error of this thread as a detail; its queue is empty then. */
int lzi_crypt_failed(const char *what) LZI_COLD;

#endif
