/* gpt-oss: biases everywhere, attention sinks, every other block with a sliding window, experts
 * only. YaRN holds in all blocks. */
#include "calib/graph.h"

const struct qc_graph_arch qc_graph_gpt_oss = {
	.name = "gpt-oss",
	.slots =
		{
			[QC_SLOT_ATTN_NORM] = {"attn_norm", QC_NEED_ALWAYS},
			[QC_SLOT_Q] = {"attn_q", QC_NEED_ALWAYS},
			[QC_SLOT_K] = {"attn_k", QC_NEED_ALWAYS},
			[QC_SLOT_V] = {"attn_v", QC_NEED_ALWAYS},
			[QC_SLOT_SINKS] = {"attn_sinks", QC_NEED_ALWAYS},
			[QC_SLOT_O] = {"attn_output", QC_NEED_ALWAYS},
			[QC_SLOT_FFN_NORM] = {"post_attention_norm", QC_NEED_ALWAYS},
			[QC_SLOT_ROUTER] = {"ffn_gate_inp", QC_NEED_ALWAYS},
			[QC_SLOT_GATE_EXPS] = {"ffn_gate_exps", QC_NEED_ALWAYS},
			[QC_SLOT_UP_EXPS] = {"ffn_up_exps", QC_NEED_ALWAYS},
			[QC_SLOT_DOWN_EXPS] = {"ffn_down_exps", QC_NEED_ALWAYS},
		},
	.activation = QC_ACT_SWIGLU_CLAMPED,
	.rope_window_scaled = true,
	.window_period = 2,
};
