/* Any bytes as the tokenizer.json of a model with merges: the first byte chooses between byte-level
 * BPE and one that keeps its own merges. */
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
	const char *pre, *text;
	struct qc_kv kv = {.type = QC_KV_ARRAY, .elem = QC_KV_STRING};
	size_t at = 0, len;

	if (!size)
		return 0;
	vocab.own_merges = data[0] == '1';
	if (!qc_json_parse(&json, (const char *)data + 1, size - 1, 0, &err)) {
		(void)!qc_bpe_pre(&json, &pre, &err);
		if (!qc_tokenizer_json_parse(&vocab, &json, &err)) {
			kv.n = vocab.merges.n;
			kv.data = vocab.merges.data;
			kv.bytes = vocab.merges.bytes;
			while (qc_kv_next_string(&kv, &at, &text, &len))
				if (!len)
					abort(); /* a merge has its separator at least */
		}
	}
	qc_json_clear(&json);
	free(vocab.merges.data);
	qc_arena_clear(&arena);
	return 0;
}
