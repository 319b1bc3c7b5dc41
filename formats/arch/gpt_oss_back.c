/* gpt-oss: what config.json says beside the key table. */
#include "formats/arch/config_back.h"

static bool is_sliding(const struct qc_model *model, uint32_t layer)
{
	(void)model;
	return layer % 2 == 0;
}

enum qc_status qc_gpt_oss_config(struct qc_config_out *out, struct qc_err *err)
{
	(void)err;
	qc_config_put(out, "attention_bias", "true");
	qc_config_put(out, "attention_dropout", "0.0");
	qc_config_copy_u32(out, "experts_per_token", "{a}.expert_used_count");
	qc_config_copy_u32(out, "num_experts_per_tok", "{a}.expert_used_count");
	qc_config_put(out, "hidden_act", "\"silu\"");
	qc_config_copy_u32(out, "initial_context_length",
			   "{a}.rope.scaling.original_context_length");
	qc_config_put_layer_types(out, is_sliding);
	qc_config_put(out, "swiglu_limit", "7.0");
	return QC_OK;
}
