/* Lint: the ways of storing weights and what each needs beside its codes. */
#include "convert/lint_rules.h"
#include "quant/types.h"

static const struct qc_qtype *const u8[] = {&qc_u8, NULL};
static const struct qc_qtype *const i8[] = {&qc_i8, NULL};
static const struct qc_qtype *const i32[] = {&qc_i32, NULL};
static const struct qc_qtype *const i64[] = {&qc_i64, &qc_i32, NULL};
static const struct qc_qtype *const f16[] = {&qc_f16, NULL};
static const struct qc_qtype *const f32[] = {&qc_f32, NULL};
static const struct qc_qtype *const e4m3[] = {&qc_f8_e4m3, NULL};
static const struct qc_qtype *const f8[] = {&qc_f8_e4m3, &qc_f8_e5m2, NULL};
static const struct qc_qtype *const e8m0[] = {&qc_u8, &qc_f8_e8m0, NULL};
static const struct qc_qtype *const floats[] = {&qc_f32, &qc_bf16, &qc_f16, NULL};
static const struct qc_qtype *const halves[] = {&qc_f16, &qc_bf16, &qc_f32, NULL};
static const struct qc_qtype *const absmax[] = {&qc_f32, &qc_u8, NULL};
static const struct qc_qtype *const packed_types[] = {&qc_u8, &qc_i8, NULL};

static const char *const by_modelopt[] = {"modelopt", "modelopt_fp4", "modelopt_mixed", NULL};
static const char *const by_ct[] = {"compressed-tensors", "compressed_tensors", NULL};
static const char *const by_mxfp4[] = {"mxfp4", "gpt_oss_mxfp4", NULL};
static const char *const by_bnb[] = {"bitsandbytes", NULL};
static const char *const by_gptq[] = {"gptq", "gptq_marlin", "gptqmodel", "auto-round", NULL};
static const char *const by_awq[] = {"awq", "awq_marlin", "auto-round", NULL};
static const char *const by_awq_gemv[] = {"awq", NULL};
static const char *const by_fp8[] = {"fp8",
				     "modelopt",
				     "modelopt_mixed",
				     "compressed-tensors",
				     "compressed_tensors",
				     "fbgemm_fp8",
				     "fouroversix",
				     "quark",
				     "finegrained_fp8",
				     "mxfp8",
				     "modelopt_mxfp8",
				     "deepseek_v4_fp8",
				     NULL};
static const char *const by_mx_modelopt[] = {
	"modelopt", "mxfp4", "modelopt_mixed", "quark", "deepseek_v4_fp8", "fp8", NULL};

static const char *const nvfp4_algos[] = {"NVFP4",     "W4A16_NVFP4",	 "NVFP4_AWQ",
					  "NVFP4_SVD", "W4A8_NVFP4_FP8", NULL};
static const char *const fp8_algos[] = {"FP8", "FP8_PER_CHANNEL_PER_TOKEN", "FP8_PB_WO", "MXFP8",
					NULL};
static const char *const mxfp4_algos[] = {"MXFP4", "W4A8_MXFP4_FP8", "W4A16_MXFP4", NULL};

static const char *const nvfp4_formats[] = {"nvfp4-pack-quantized", NULL};
static const char *const mxfp4_formats[] = {"mxfp4-pack-quantized", NULL};
static const char *const fp8_formats[] = {"float-quantized", "naive-quantized", "mxfp8-quantized",
					  NULL};
static const char *const packed_formats[] = {"pack-quantized", NULL};
static const char *const int8_formats[] = {"int-quantized", "naive-quantized", NULL};

#define END                                                                                        \
	{                                                                                          \
		.part = LINT_PARTS                                                                 \
	}

static const struct lint_need nvfp4_modelopt_needs[] = {
	{PART_WEIGHT, u8, false},
	{PART_WEIGHT_SCALE, e4m3, false},
	{PART_WEIGHT_SCALE_2, floats, false},
	{PART_INPUT_SCALE, floats, true},
	END,
};
static const struct lint_scale nvfp4_modelopt_scales[] = {
	{PART_WEIGHT_SCALE, NULL, ZERO_WARNS, false},
	{PART_WEIGHT_SCALE_2, NULL, ZERO_FAILS, false},
	{PART_INPUT_SCALE, NULL, ZERO_FAILS, false},
	END,
};
const struct lint_scheme lint_nvfp4_modelopt = {
	.name = "NVFP4 (ModelOpt)",
	.methods = by_modelopt,
	.algos = nvfp4_algos,
	.loader = "vLLM, SGLang and TensorRT-LLM fail or leave it uninitialised; llama.cpp's "
		  "converter takes 1.0",
	.needs = nvfp4_modelopt_needs,
	.scales = nvfp4_modelopt_scales,
	.codes = PART_WEIGHT,
	.global = PART_WEIGHT_SCALE_2,
	.input = PART_INPUT_SCALE,
	.group = 16,
	.num_bits = 4,
	.check_shapes = lint_nvfp4_shapes,
};

static const struct lint_need nvfp4_experts_needs[] = {
	{PART_BARE, u8, false},
	{PART_WEIGHT_SCALE, e4m3, false},
	{PART_WEIGHT_SCALE_2, floats, false},
	{PART_INPUT_SCALE, floats, true},
	END,
};
const struct lint_scheme lint_nvfp4_experts = {
	.name = "NVFP4 (ModelOpt, all experts)",
	.methods = by_modelopt,
	.algos = nvfp4_algos,
	.loader = "vLLM and TensorRT-LLM fail or leave it uninitialised",
	.needs = nvfp4_experts_needs,
	.scales = nvfp4_modelopt_scales,
	.codes = PART_BARE,
	.global = PART_WEIGHT_SCALE_2,
	.input = PART_INPUT_SCALE,
	.group = 16,
	.num_bits = 4,
	.transposed = true,
	.check_shapes = lint_nvfp4_shapes,
};

static const struct lint_need nvfp4_ct_needs[] = {
	{PART_WEIGHT_PACKED, u8, false},
	{PART_WEIGHT_SCALE, e4m3, false},
	{PART_WEIGHT_GLOBAL_SCALE, floats, false},
	{PART_INPUT_GLOBAL_SCALE, floats, true},
	END,
};
static const struct lint_scale nvfp4_ct_scales[] = {
	{PART_WEIGHT_SCALE, NULL, ZERO_WARNS, false},
	{PART_WEIGHT_GLOBAL_SCALE, NULL, ZERO_FAILS, false},
	{PART_INPUT_GLOBAL_SCALE, NULL, ZERO_FAILS, false},
	END,
};
const struct lint_scheme lint_nvfp4_ct = {
	.name = "NVFP4 (compressed-tensors)",
	.methods = by_ct,
	.formats = nvfp4_formats,
	.loader = "vLLM, SGLang and transformers fail or leave it uninitialised",
	.needs = nvfp4_ct_needs,
	.scales = nvfp4_ct_scales,
	.codes = PART_WEIGHT_PACKED,
	.global = PART_WEIGHT_GLOBAL_SCALE,
	.input = PART_INPUT_GLOBAL_SCALE,
	.group = 16,
	.num_bits = 4,
	.divides = true,
	.check_shapes = lint_nvfp4_shapes,
};

static const struct lint_need mxfp4_gpt_oss_needs[] = {
	{PART_BLOCKS, u8, false},
	{PART_BLOCK_SCALES, e8m0, false},
	END,
};
static const struct lint_scale mxfp4_gpt_oss_scales[] = {
	{PART_BLOCK_SCALES, &qc_f8_e8m0, ZERO_FINE, false},
	END,
};
const struct lint_scheme lint_mxfp4_gpt_oss = {
	.name = "MXFP4 (gpt-oss)",
	.methods = by_mxfp4,
	.loader = "transformers, vLLM and llama.cpp's converter fail",
	.needs = mxfp4_gpt_oss_needs,
	.scales = mxfp4_gpt_oss_scales,
	.codes = PART_BLOCKS,
	.global = LINT_PARTS,
	.input = LINT_PARTS,
	.group = 32,
	.num_bits = 4,
	.check_shapes = lint_mxfp4_shapes,
};

static const struct lint_need mxfp4_ct_needs[] = {
	{PART_WEIGHT_PACKED, u8, false},
	{PART_WEIGHT_SCALE, e8m0, false},
	END,
};
static const struct lint_scale mxfp4_ct_scales[] = {
	{PART_WEIGHT_SCALE, &qc_f8_e8m0, ZERO_FINE, false},
	END,
};
const struct lint_scheme lint_mxfp4_ct = {
	.name = "MXFP4 (compressed-tensors)",
	.methods = by_ct,
	.formats = mxfp4_formats,
	.loader = "vLLM and transformers fail",
	.needs = mxfp4_ct_needs,
	.scales = mxfp4_ct_scales,
	.codes = PART_WEIGHT_PACKED,
	.global = LINT_PARTS,
	.input = LINT_PARTS,
	.group = 32,
	.num_bits = 4,
	.check_shapes = lint_mxfp4_shapes,
};

static const struct lint_need mxfp4_modelopt_needs[] = {
	{PART_WEIGHT, packed_types, false},
	END,
};
static const struct lint_scale mxfp4_modelopt_scales[] = {
	{PART_WEIGHT_SCALE, &qc_f8_e8m0, ZERO_FINE, false},
	{PART_SCALE, &qc_f8_e8m0, ZERO_FINE, false},
	END,
};
const struct lint_scheme lint_mxfp4_modelopt = {
	.name = "MXFP4 (ModelOpt, DeepSeek)",
	.methods = by_mx_modelopt,
	.algos = mxfp4_algos,
	.loader = "vLLM and TensorRT-LLM fail",
	.needs = mxfp4_modelopt_needs,
	.scales = mxfp4_modelopt_scales,
	.codes = PART_WEIGHT,
	.global = LINT_PARTS,
	.input = LINT_PARTS,
	.group = 32,
	.num_bits = 4,
	.check_shapes = lint_mxfp4_shapes,
};

/* Which scales there are, lint_fp8_shapes tells. */
static const struct lint_need fp8_needs[] = {{PART_WEIGHT, f8, false}, END};
static const struct lint_scale fp8_scales[] = {
	{PART_WEIGHT_SCALE, NULL, ZERO_WARNS, false},
	{PART_WEIGHT_SCALE_INV, NULL, ZERO_WARNS, false},
	{PART_SCALE, NULL, ZERO_WARNS, false},
	{PART_INPUT_SCALE, NULL, ZERO_FAILS, false},
	END,
};
const struct lint_scheme lint_fp8 = {
	.name = "FP8",
	.methods = by_fp8,
	.algos = fp8_algos,
	.formats = fp8_formats,
	.loader = "vLLM, SGLang and transformers fail or leave it uninitialised",
	.needs = fp8_needs,
	.scales = fp8_scales,
	.codes = PART_WEIGHT,
	.global = LINT_PARTS,
	.input = PART_INPUT_SCALE,
	.num_bits = 8,
	.check_shapes = lint_fp8_shapes,
};

static const struct lint_need bnb4_needs[] = {
	{PART_ABSMAX, absmax, false},
	{PART_QUANT_MAP, f32, false},
	{PART_NESTED_ABSMAX, f32, true},
	{PART_NESTED_QUANT_MAP, f32, true},
	{PART_STATE_NF4, u8, true},
	{PART_STATE_FP4, u8, true},
	END,
};
/* absmax in u8 is codes: lint_bnb.c has the rules for the rest. */
static const struct lint_scale bnb4_scales[] = {
	{PART_NESTED_ABSMAX, NULL, ZERO_FINE, false},
	END,
};
const struct lint_scheme lint_bnb4 = {
	.name = "bitsandbytes 4-bit",
	.methods = by_bnb,
	.loader = "transformers and vLLM fail",
	.needs = bnb4_needs,
	.scales = bnb4_scales,
	.codes = PART_WEIGHT,
	.global = LINT_PARTS,
	.input = LINT_PARTS,
	.num_bits = 4,
	.check_shapes = lint_bnb4_shapes,
};

static const struct lint_need bnb8_needs[] = {
	{PART_WEIGHT, i8, false},
	{PART_SCB, f32, false},
	{PART_WEIGHT_FORMAT, u8, true},
	END,
};
static const struct lint_scale bnb8_scales[] = {{PART_SCB, NULL, ZERO_FINE, false}, END};
const struct lint_scheme lint_bnb8 = {
	.name = "bitsandbytes int8",
	.methods = by_bnb,
	.loader = "transformers fails",
	.needs = bnb8_needs,
	.scales = bnb8_scales,
	.codes = PART_WEIGHT,
	.global = LINT_PARTS,
	.input = LINT_PARTS,
	.num_bits = 8,
	.check_shapes = lint_bnb8_shapes,
};

static const struct lint_need gptq_needs[] = {
	{PART_QWEIGHT, i32, false},
	{PART_QZEROS, i32, false},
	{PART_SCALES, halves, false},
	{PART_G_IDX, i32, true},
	END,
};
static const struct lint_scale int_scales[] = {
	{PART_SCALES, NULL, ZERO_WARNS, true},
	{PART_WEIGHT_SCALE, NULL, ZERO_WARNS, true},
	END,
};
const struct lint_scheme lint_gptq = {
	.name = "GPTQ",
	.methods = by_gptq,
	.loader = "vLLM, SGLang and transformers (GPTQModel) fail",
	.needs = gptq_needs,
	.scales = int_scales,
	.codes = PART_QWEIGHT,
	.global = LINT_PARTS,
	.input = LINT_PARTS,
	.check_shapes = lint_gptq_shapes,
};

static const struct lint_need awq_needs[] = {
	{PART_QWEIGHT, i32, false},
	{PART_QZEROS, i32, false},
	{PART_SCALES, halves, false},
	END,
};
const struct lint_scheme lint_awq = {
	.name = "AWQ",
	.methods = by_awq,
	.loader = "vLLM, SGLang and transformers fail",
	.needs = awq_needs,
	.scales = int_scales,
	.codes = PART_QWEIGHT,
	.global = LINT_PARTS,
	.input = LINT_PARTS,
	.num_bits = 4,
	.check_shapes = lint_awq_shapes,
};

static const struct lint_need awq_gemv_needs[] = {
	{PART_QWEIGHT, i32, false},
	{PART_QZEROS, i32, false},
	{PART_SCALES, f16, false},
	END,
};
/* Packed along the inputs, its shapes padded: reading the weights shows what is wrong with them. */
const struct lint_scheme lint_awq_gemv = {
	.name = "AWQ (GEMV)",
	.methods = by_awq_gemv,
	.loader = "AutoAWQ and transformers fail; vLLM and SGLang read AWQ's GEMM form only",
	.needs = awq_gemv_needs,
	.codes = PART_QWEIGHT,
	.global = LINT_PARTS,
	.input = LINT_PARTS,
	.num_bits = 4,
};

static const struct lint_need ct_packed_needs[] = {
	{PART_WEIGHT_PACKED, i32, false},
	{PART_WEIGHT_SCALE, halves, false},
	{PART_WEIGHT_SHAPE, i64, false},
	{PART_WEIGHT_ZERO_POINT, i32, true},
	END,
};
const struct lint_scheme lint_ct_packed = {
	.name = "packed integers (compressed-tensors)",
	.methods = by_ct,
	.formats = packed_formats,
	.loader = "vLLM and transformers fail",
	.needs = ct_packed_needs,
	.scales = int_scales,
	.codes = PART_WEIGHT_PACKED,
	.global = LINT_PARTS,
	.input = LINT_PARTS,
	.check_shapes = lint_ct_packed_shapes,
};

static const struct lint_need ct_int8_needs[] = {
	{PART_WEIGHT, i8, false},
	{PART_WEIGHT_SCALE, halves, false},
	END,
};
const struct lint_scheme lint_ct_int8 = {
	.name = "int8 (compressed-tensors)",
	.methods = by_ct,
	.formats = int8_formats,
	.loader = "vLLM and transformers fail",
	.needs = ct_int8_needs,
	.scales = int_scales,
	.codes = PART_WEIGHT,
	.global = LINT_PARTS,
	.input = PART_INPUT_SCALE,
	.num_bits = 8,
	.check_shapes = lint_ct_int8_shapes,
};
