/* Any bytes as a tokenizer.model. */
#include "formats/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct qc_arena arena = {0};
	struct qc_vocab vocab = {.arena = &arena};
	struct qc_err err;

	(void)!qc_sentencepiece_parse(&vocab, data, size, &err);
	qc_arena_clear(&arena);
	return 0;
}
