/* Tokens that a model must never produce: generation_config.json's suppress_tokens. */
#include <stdlib.h>

#include "base/bytes.h"
#include "formats/arch/arch.h"
#include "formats/hf.h"
#include "formats/tokenizer.h"

static enum qc_status set_tokens(struct qc_model *model, const struct qc_json *json,
				 struct qc_err *err)
{
	const qc_json_value list = qc_json_get(json, QC_JSON_ROOT, "suppress_tokens");
	const uint32_t n_vocab = qc_arch_vocab_size(model);
	struct qc_kv_builder ids = {0};
	enum qc_status s = QC_OK;

	if (qc_json_type_of(json, list) != QC_JSON_ARRAY)
		return QC_OK;
	for (qc_json_value v = qc_json_first(json, list); !s && v; v = qc_json_next(json, v)) {
		uint8_t word[4];
		uint64_t id;

		if (!qc_json_u64(json, v, &id) || id >= n_vocab) {
			s = qc_fail(err, QC_BAD_INPUT,
				    "suppress_tokens: entry %llu is no id of %u tokens",
				    (unsigned long long)ids.n, n_vocab);
			break;
		}
		qc_put_le32(word, (uint32_t)id);
		s = qc_kv_push(&ids, word, sizeof(word), err);
	}
	if (!s && ids.n)
		s = qc_meta_set(&model->meta, "tokenizer.ggml.suppress_tokens", QC_KV_ARRAY,
				QC_KV_I32, ids.n, ids.data, ids.bytes, err);
	free(ids.data);
	return s;
}

enum qc_status qc_tokenizer_suppress(struct qc_model *model, struct qc_err *err)
{
	struct qc_json json = {0};
	char *text = NULL;
	enum qc_status s = qc_hf_load_generation(model, &json, &text, err);

	if (s || !text)
		return s;
	s = set_tokens(model, &json, err);
	qc_json_clear(&json);
	free(text);
	return s ? qc_fail_in(err, "reading '%s/generation_config.json'", model->dir) : QC_OK;
}
