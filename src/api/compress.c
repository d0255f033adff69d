/*
 * Public calls on compression.
 */
#include "config.h"

#include <string.h>

#include "api/api.h"
#include "codec/codec.h"
#include "format/packed.h"

int lzi_api_compression(const latz_options *options)
{
	if (!lzi_codec_level_valid(options->compress_level))
		return lzi_error(LATZ_INVALID, "options.compress_level is %d; the levels are -100 to 19",
		                 options->compress_level);
	if ((unsigned)options->compress_dict > LATZ_DICT_AUTO)
		return lzi_error(LATZ_INVALID, "options.compress_dict is %d", (int)options->compress_dict);
	return LATZ_OK;
}

int latz_compress(latz_pool *pool, const latz_options *options)
{
	latz_options taken;
	struct lzi_call call;
	int rc;

	if (options == NULL)
		return lzi_api_error(LATZ_INVALID, "options is NULL");
	rc = lzi_api_options(options, &taken);
	if (rc == LATZ_OK)
		rc = lzi_api_whole(pool);
	if (rc == LATZ_OK)
		rc = lzi_api_write(pool, &call);
	if (rc == LATZ_OK)
		lzi_store_compress(&call, &taken);
	return lzi_api_result(rc);
}

int latz_train(latz_pool *pool, const latz_train_options *options, latz_train_info *info)
{
	latz_train_options taken = LATZ_TRAIN_OPTIONS_INIT;
	latz_train_info out;
	struct lzi_call call;
	int rc;

	if (options != NULL && (options->size < sizeof options->size || options->size > 4096))
		return lzi_api_error(LATZ_INVALID, "options.size is %zu; set it to sizeof(latz_train_options)",
		                     options->size);
	if (options != NULL)
		memcpy(&taken, options, options->size < sizeof taken ? options->size : sizeof taken);
	if (taken.dict_bytes != 0 && (taken.dict_bytes < 256 || taken.dict_bytes > LZI_DICT_SIZE_MAX))
		return lzi_api_error(LATZ_INVALID, "options.dict_bytes is %zu; a dictionary has 256 to %u bytes",
		                     taken.dict_bytes, LZI_DICT_SIZE_MAX);
	if (info != NULL && info->size < sizeof info->size)
		return lzi_api_error(LATZ_INVALID, "info.size is %zu; set it to sizeof(latz_train_info)", info->size);
	memset(&out, 0, sizeof out);
	rc = lzi_api_whole(pool);
	if (rc == LATZ_OK)
		rc = lzi_api_write(pool, &call);
	if (rc == LATZ_OK)
		rc = lzi_store_train(&call, &taken, &out);
	if (rc == LATZ_OK && info != NULL) {
		out.size = info->size < sizeof out ? info->size : sizeof out;
		memcpy(info, &out, out.size);
	}
	return lzi_api_result(rc);
}
