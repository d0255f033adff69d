/* Release numbers. build-aux/version.sh reads them for configure; latz_version() reports the library's own. */
#ifndef LATZERO_VERSION_H
#define LATZERO_VERSION_H

#define LATZ_VERSION_MAJOR 0
#define LATZ_VERSION_MINOR 1
#define LATZ_VERSION_PATCH 0

#endif
