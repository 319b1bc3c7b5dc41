/* Any bytes as a tokenizer.json. */
#include <stdlib.h>

#include "base/json.h"
#include "formats/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct qc_arena arena = {0};
	struct qc_vocab vocab = {.arena = &arena};
	struct qc_json json = {0};
	struct qc_err err;

	if (!qc_json_parse(&json, (const char *)data, size, 0, &err))
		(void)!qc_tokenizer_json_parse(&vocab, &json, &err);
	qc_json_clear(&json);
	free(vocab.merges.data);
	qc_arena_clear(&arena);
	return 0;
}
