/* llama: Llama, Mistral, Mixtral. GGUF's row order has the pairs of a head side by side. */
#include "calib/graph.h"

const struct qc_graph_arch qc_graph_llama = {
	.name = "llama",
	.slots =
		{
			[QC_SLOT_ATTN_NORM] = {"attn_norm", QC_NEED_ALWAYS},
			[QC_SLOT_Q] = {"attn_q", QC_NEED_ALWAYS},
			[QC_SLOT_K] = {"attn_k", QC_NEED_ALWAYS},
			[QC_SLOT_V] = {"attn_v", QC_NEED_ALWAYS},
			[QC_SLOT_O] = {"attn_output", QC_NEED_ALWAYS},
			[QC_SLOT_FFN_NORM] = {"ffn_norm", QC_NEED_ALWAYS},
			[QC_SLOT_GATE] = {"ffn_gate", QC_NEED_DENSE},
			[QC_SLOT_UP] = {"ffn_up", QC_NEED_DENSE},
			[QC_SLOT_DOWN] = {"ffn_down", QC_NEED_DENSE},
			[QC_SLOT_ROUTER] = {"ffn_gate_inp", QC_NEED_EXPERTS},
			[QC_SLOT_GATE_EXPS] = {"ffn_gate_exps", QC_NEED_EXPERTS},
			[QC_SLOT_UP_EXPS] = {"ffn_up_exps", QC_NEED_EXPERTS},
			[QC_SLOT_DOWN_EXPS] = {"ffn_down_exps", QC_NEED_EXPERTS},
		},
	.activation = QC_ACT_SILU,
	.rope_interleaved = true,
};
