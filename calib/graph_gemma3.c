/* gemma3: norms before and behind both halves of a block, five blocks with a sliding window and
 * then one with full attention, whose rotary embedding alone is scaled. */
#include "calib/graph.h"

const struct qc_graph_arch qc_graph_gemma3 = {
	.name = "gemma3",
	.slots =
		{
			[QC_SLOT_ATTN_NORM] = {"attn_norm", QC_NEED_ALWAYS},
			[QC_SLOT_Q] = {"attn_q", QC_NEED_ALWAYS},
			[QC_SLOT_K] = {"attn_k", QC_NEED_ALWAYS},
			[QC_SLOT_V] = {"attn_v", QC_NEED_ALWAYS},
			[QC_SLOT_Q_NORM] = {"attn_q_norm", QC_NEED_ALWAYS},
			[QC_SLOT_K_NORM] = {"attn_k_norm", QC_NEED_ALWAYS},
			[QC_SLOT_O] = {"attn_output", QC_NEED_ALWAYS},
			[QC_SLOT_POST_ATTN_NORM] = {"post_attention_norm", QC_NEED_ALWAYS},
			[QC_SLOT_FFN_NORM] = {"ffn_norm", QC_NEED_ALWAYS},
			[QC_SLOT_GATE] = {"ffn_gate", QC_NEED_ALWAYS},
			[QC_SLOT_UP] = {"ffn_up", QC_NEED_ALWAYS},
			[QC_SLOT_DOWN] = {"ffn_down", QC_NEED_ALWAYS},
			[QC_SLOT_POST_FFW_NORM] = {"post_ffw_norm", QC_NEED_ALWAYS},
		},
	.activation = QC_ACT_GELU_TANH,
	.embedding_scaled = true,
	.window_period = 6,
	.window_rope_base = 10000,
	.scale_by_width_blocks = 62, /* 27B: query_pre_attn_scalar is 168, its heads have 128 */
};
