/* llama: what config.json says beside the key table. */
#include "formats/arch/config_back.h"

enum qc_status qc_llama_config(struct qc_config_out *out, struct qc_err *err)
{
	(void)err;
	qc_config_put_bool(out, "attention_bias", qc_config_has_tensor(out, "blk.{i}.attn_q.bias"));
	qc_config_put(out, "attention_dropout", "0.0");
	qc_config_put(out, "hidden_act", "\"silu\"");
	qc_config_put_bool(out, "mlp_bias", qc_config_has_tensor(out, "blk.{i}.ffn_up.bias"));
	return QC_OK;
}
