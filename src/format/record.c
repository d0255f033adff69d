/*
 * Records: is this one whole? Used where bytes are not trusted: recovery, cleaning, verify.
 */
#include "config.h"

#include <latzero/latzero.h>

#include "base/atomic.h"
#include "base/error.h"
#include "format/heap.h"

int lzi_record_validate(const struct lzi_record *record, uint64_t room)
{
	uint8_t known = LZI_RECORD_EXT | LZI_RECORD_INSERT | LZI_RECORD_HAS_PREV | LZI_RECORD_COPY |
	                LZI_RECORD_PACKED | LZI_RECORD_GROUP | LZI_RECORD_SEALED;

	if (room < sizeof *record || record->key_size < 1 || record->key_size > LZI_KEY_MAX || record->flags & ~known)
		return lzi_error(LATZ_CORRUPT, "record header is not one");
	if (lzi_record_span_of(record) > room)
		return lzi_error(LATZ_CORRUPT, "record of %u + %u bytes reaches past its extent", record->key_size,
		                 record->value_size);
	if (!lzi_death_valid(lzi_load_relaxed(&record->died)))
		return lzi_error(LATZ_CORRUPT, "record's death mark is damaged");
	if ((lzi_record_crc(record->value_size, record->key_size, record->type, record->flags, lzi_record_key(record),
	                    lzi_record_value(record)) ^
	     lzi_record_crc_seq(record->seq)) != record->crc)
		return lzi_error(LATZ_CORRUPT, "record checksum does not match");
	return LATZ_OK;
}
