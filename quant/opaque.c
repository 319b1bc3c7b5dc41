/*
 * Types that can be held, measured, swapped and copied, but not computed: no codec.
 *
 * Block sizes and fields are those of ggml-common.h; the f6 types and c64 are safetensors'. The
 * words are the multi-byte fields of a block, among them those that ggml reads as words from a byte
 * array (iq3_xxs: scales and signs).
 */
#include "quant/types.h"

const struct qc_qtype qc_c64 = {
	.name = "c64",
	.block_elems = 1,
	.block_bytes = 8,
	.words = {{0, 4, 2}},
};

const struct qc_qtype qc_f6_e2m3 = {
	.name = "f6_e2m3",
	.block_elems = 4,
	.block_bytes = 3,
};

const struct qc_qtype qc_f6_e3m2 = {
	.name = "f6_e3m2",
	.block_elems = 4,
	.block_bytes = 3,
};

const struct qc_qtype qc_q8_1 = {
	.name = "q8_1",
	.block_elems = 32,
	.block_bytes = 36,
	.words = {{0, 2, 2}},
};

const struct qc_qtype qc_q8_K = {
	.name = "q8_K",
	.block_elems = 256,
	.block_bytes = 292,
	.words = {{0, 4, 1}, {260, 2, 16}},
};
