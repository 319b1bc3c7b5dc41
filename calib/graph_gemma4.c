/* gemma4: unscaled attention over normed keys, queries and values; blocks with embeddings, output
 * scales and, in some sizes, experts beside the dense network; the last blocks may use the keys and
 * values of earlier ones. */
#include "calib/graph.h"

const struct qc_graph_arch qc_graph_gemma4 = {
	.name = "gemma4",
	.slots =
		{
			[QC_SLOT_ATTN_NORM] = {"attn_norm", QC_NEED_ALWAYS},
			[QC_SLOT_Q] = {"attn_q", QC_NEED_ALWAYS},
			[QC_SLOT_K] = {"attn_k", QC_NEED_OWN_KV},
			[QC_SLOT_V] = {"attn_v", QC_NEED_OPTIONAL},
			[QC_SLOT_Q_NORM] = {"attn_q_norm", QC_NEED_ALWAYS},
			[QC_SLOT_K_NORM] = {"attn_k_norm", QC_NEED_OWN_KV},
			[QC_SLOT_O] = {"attn_output", QC_NEED_ALWAYS},
			[QC_SLOT_POST_ATTN_NORM] = {"post_attention_norm", QC_NEED_ALWAYS},
			[QC_SLOT_FFN_NORM] = {"ffn_norm", QC_NEED_ALWAYS},
			[QC_SLOT_GATE] = {"ffn_gate", QC_NEED_ALWAYS},
			[QC_SLOT_UP] = {"ffn_up", QC_NEED_ALWAYS},
			[QC_SLOT_DOWN] = {"ffn_down", QC_NEED_ALWAYS},
			[QC_SLOT_POST_FFW_NORM_1] = {"post_ffw_norm_1", QC_NEED_EXPERTS},
			[QC_SLOT_ROUTER] = {"ffn_gate_inp", QC_NEED_EXPERTS},
			[QC_SLOT_ROUTER_SCALE] = {"ffn_gate_inp.scale", QC_NEED_EXPERTS},
			[QC_SLOT_PRE_FFW_NORM_2] = {"pre_ffw_norm_2", QC_NEED_EXPERTS},
			[QC_SLOT_GATE_UP_EXPS] = {"ffn_gate_up_exps", QC_NEED_OPTIONAL},
			[QC_SLOT_GATE_EXPS] = {"ffn_gate_exps", QC_NEED_OPTIONAL},
			[QC_SLOT_UP_EXPS] = {"ffn_up_exps", QC_NEED_OPTIONAL},
			[QC_SLOT_DOWN_EXPS] = {"ffn_down_exps", QC_NEED_EXPERTS},
			[QC_SLOT_POST_FFW_NORM_2] = {"post_ffw_norm_2", QC_NEED_EXPERTS},
			[QC_SLOT_POST_FFW_NORM] = {"post_ffw_norm", QC_NEED_ALWAYS},
			[QC_SLOT_PLE_GATE] = {"inp_gate", QC_NEED_PLE},
			[QC_SLOT_PLE_PROJ] = {"proj", QC_NEED_PLE},
			[QC_SLOT_PLE_NORM] = {"post_norm", QC_NEED_PLE},
			[QC_SLOT_OUT_SCALE] = {"layer_output_scale", QC_NEED_OPTIONAL},
		},
	.activation = QC_ACT_GELU_TANH,
	.embedding_scaled = true,
	.value_norm = true,
	.value_from_key = true,
	.router_normed = true,
	.attention_scale = 1,
	.window_rope_base = 10000,
};
