/* gemma3: what config.json says beside the key table. */
#include "formats/arch/config_back.h"

#define PATTERN 6 /* llama.cpp has it built in: five blocks with a window, then one without */

static bool is_sliding(const struct qc_model *model, uint32_t layer)
{
	(void)model;
	return (layer + 1) % PATTERN != 0;
}

/* As llama.cpp scales: by the head size, in the 62 blocks of 27B by embedding / heads. */
static uint32_t query_scalar(const struct qc_model *model)
{
	if (qc_arch_u32(model, "{a}.block_count", 0) == 62)
		return qc_arch_u32(model, "{a}.embedding_length", 0) /
		       qc_arch_u32(model, "{a}.attention.head_count", 1);
	return qc_arch_head_size(model);
}

enum qc_status qc_gemma3_config(struct qc_config_out *out, struct qc_err *err)
{
	const uint32_t window = qc_arch_u32(out->model, "{a}.attention.sliding_window", 0);

	(void)err;
	qc_config_put(out, "model_type", "\"gemma3_text\"");
	qc_config_put(out, "attention_bias", "false");
	qc_config_put(out, "attention_dropout", "0.0");
	qc_config_put(out, "attn_logit_softcapping", "null");
	qc_config_put(out, "hidden_activation", "\"gelu_pytorch_tanh\"");
	qc_config_put_u32(out, "query_pre_attn_scalar", query_scalar(out->model));
	qc_config_put_u32(out, "sliding_window_pattern", window ? PATTERN : 1);
	qc_config_copy_f32(out, "final_logit_softcapping", "{a}.final_logit_softcapping");
	qc_config_put(out, "final_logit_softcapping", "null");
	if (!window)
		return QC_OK;
	qc_config_put_u32(out, "sliding_window", window);
	qc_config_put_layer_types(out, is_sliding);
	return QC_OK;
}
