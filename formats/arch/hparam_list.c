/* The numbers that architectures have, each once. */
#include "formats/arch/arch.h"

const struct qc_hparam qc_block_count = {"{a}.block_count", QC_KV_U32, 1, QC_MAX_LAYERS};
const struct qc_hparam qc_context_length = {"{a}.context_length", QC_KV_U32, 1, UINT32_MAX};
const struct qc_hparam qc_vocab_size = {"{a}.vocab_size", QC_KV_U32, 1, 1 << 24};
const struct qc_hparam qc_embedding_length = {"{a}.embedding_length", QC_KV_U32, 1, 1 << 20};
const struct qc_hparam qc_embedding_length_per_layer = {"{a}.embedding_length_per_layer_input",
							QC_KV_U32, 0, 1 << 20};
const struct qc_hparam qc_feed_forward_length = {"{a}.feed_forward_length", QC_KV_U32, 1, 1 << 24};
const struct qc_hparam qc_head_count = {"{a}.attention.head_count", QC_KV_U32, 1, 1 << 16};
const struct qc_hparam qc_head_count_kv = {"{a}.attention.head_count_kv", QC_KV_U32, 1, 1 << 16};
const struct qc_hparam qc_key_length = {"{a}.attention.key_length", QC_KV_U32, 1, 1 << 16};
const struct qc_hparam qc_value_length = {"{a}.attention.value_length", QC_KV_U32, 1, 1 << 16};
const struct qc_hparam qc_key_length_swa = {"{a}.attention.key_length_swa", QC_KV_U32, 1, 1 << 16};
const struct qc_hparam qc_value_length_swa = {"{a}.attention.value_length_swa", QC_KV_U32, 1,
					      1 << 16};
const struct qc_hparam qc_rms_epsilon = {"{a}.attention.layer_norm_rms_epsilon", QC_KV_F32, 0, 1};
const struct qc_hparam qc_sliding_window = {"{a}.attention.sliding_window", QC_KV_U32, 1,
					    UINT32_MAX};
const struct qc_hparam qc_shared_kv_layers = {"{a}.attention.shared_kv_layers", QC_KV_U32, 0,
					      QC_MAX_LAYERS};
const struct qc_hparam qc_logit_softcap = {"{a}.final_logit_softcapping", QC_KV_F32, 0, 1e6};
const struct qc_hparam qc_expert_count = {"{a}.expert_count", QC_KV_U32, 1, 1 << 16};
const struct qc_hparam qc_expert_used_count = {"{a}.expert_used_count", QC_KV_U32, 1, 1 << 16};
const struct qc_hparam qc_expert_feed_forward_length = {"{a}.expert_feed_forward_length", QC_KV_U32,
							1, 1 << 24};
