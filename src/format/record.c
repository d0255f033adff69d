/*
 * Records: is this one whole? Used where bytes are not trusted: recovery, cleaning, verify.
 */
#include "config.h"

#include <latzero/latzero.h>
#include <string.h>

#include "base/atomic.h"
#include "base/error.h"
#include "format/heap.h"

int lzi_record_validate(const struct lzi_record *record, uint64_t room)
{
	uint8_t known = LZI_RECORD_EXT | LZI_RECORD_INSERT | LZI_RECORD_HAS_PREV | LZI_RECORD_COPY |
	                LZI_RECORD_PACKED | LZI_RECORD_GROUP | LZI_RECORD_SEALED;

	struct lzi_record head;
	const uint8_t *key;

	if (room < sizeof *record)
		return lzi_error(LATZ_CORRUPT, "record header is not one");
	/* What is looked at is what is used, whoever changes it meanwhile. */
	memcpy(&head, record, LZI_RECORD_HEAD);
	lzi_compiler_barrier();
	if (head.key_size < 1 || head.key_size > LZI_KEY_MAX || head.flags & ~known)
		return lzi_error(LATZ_CORRUPT, "record header is not one");
	if (lzi_record_span_of(&head) > room)
		return lzi_error(LATZ_CORRUPT, "record of %u + %u bytes reaches past its extent", head.key_size,
		                 head.value_size);
	if (!lzi_death_valid(head.died))
		return lzi_error(LATZ_CORRUPT, "record's death mark is damaged");
	key = (const uint8_t *)record + lzi_record_head(head.flags & LZI_RECORD_EXT);
	if ((lzi_record_crc(head.value_size, head.key_size, head.type, head.flags, key, key + head.key_size) ^
	     lzi_record_crc_seq(head.seq)) != head.crc)
		return lzi_error(LATZ_CORRUPT, "record checksum does not match");
	return LATZ_OK;
}
