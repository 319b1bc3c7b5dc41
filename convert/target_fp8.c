/*
 * FP8 weights, E4M3, activations quantized by the loader as it goes.
 *
 *   compressed-tensors   P.weight E4M3 [out, in], P.weight_scale [out, 1]: one scale a row, in the
 *                        weights' own precision (f32 for f16 weights, where it could underflow)
 *   block                P.weight E4M3 [out, in], P.weight_scale_inv f32 [out/128, in/128]
 *                        (transformers' "fp8", DeepSeek, Qwen)
 *
 *   scale = largest |x| / 448 of the row or block, 1 where all are zero;  code = E4M3(x / scale)
 *
 * Both multiply on loading: the "inv" is of the scale that was applied.
 */
#include "base/bytes.h"
#include "convert/pack_pieces.h"
#include "quant/e4m3.h"
#include "quant/half.h"
#include "quant/types.h"

#define BLOCK 128

enum { CODES, SCALES };

static float scale_of(float amax)
{
	float scale = amax / 448;

	return scale > 0 ? scale : 1;
}

static void encode_run(const float *x, uint64_t n, float scale, uint8_t *codes)
{
	for (uint64_t i = 0; i < n; i++)
		codes[i] = qc_f32_to_e4m3_saturated(x[i] / scale);
}

static bool scales_are_bf16(const struct qc_step *step)
{
	return step->from != &qc_f16 && step->from != &qc_f32 && step->from != &qc_f64;
}

static enum qc_status row_plan(struct qc_plan *plan, struct qc_step *step,
			       const struct qconv_options *options, struct qc_err *err)
{
	const char *module = qc_pack_module(plan, step);
	const struct qc_qtype *type = scales_are_bf16(step) ? &qc_bf16 : &qc_f32;
	const uint64_t codes[2] = {step->cols, step->rows}, scales[2] = {1, step->rows};
	enum qc_status s = module ? qc_pack_begin(plan, step, err) : qc_no_memory(err);

	(void)options;
	if (!s)
		s = qc_pack_add(plan, step, module, ".weight", &qc_f8_e4m3, 2, codes, step->cols,
				err);
	if (!s)
		s = qc_pack_add(plan, step, module, ".weight_scale", type, 2, scales,
				type->block_bytes, err);
	return s;
}

static void row_encode(const struct qc_pack_range *range)
{
	const uint64_t cols = range->step->cols;
	const bool bf16 = scales_are_bf16(range->step);

	for (uint64_t row = 0; row < range->n_units; row++) {
		const float *x = range->x + row * cols;
		float scale = scale_of(qc_largest(x, (size_t)cols));
		uint16_t half = qc_f32_to_bf16(scale);

		if (bf16 && qc_bf16_to_f32(half) > 0) {
			scale = qc_bf16_to_f32(half);
			qc_put_le16(range->out[SCALES] + 2 * row, half);
		} else if (bf16) { /* below all of bf16: zeros */
			scale = 1;
			qc_put_le16(range->out[SCALES] + 2 * row, qc_f32_to_bf16(scale));
		} else {
			qc_put_le32(range->out[SCALES] + 4 * row, qc_f32_bits(scale));
		}
		encode_run(x, cols, scale, range->out[CODES] + row * cols);
	}
}

static enum qc_status block_plan(struct qc_plan *plan, struct qc_step *step,
				 const struct qconv_options *options, struct qc_err *err)
{
	const char *module = qc_pack_module(plan, step);
	const uint64_t codes[2] = {step->cols, step->rows};
	const uint64_t scales[2] = {(step->cols + BLOCK - 1) / BLOCK,
				    (step->rows + BLOCK - 1) / BLOCK};
	enum qc_status s = module ? qc_pack_begin(plan, step, err) : qc_no_memory(err);

	(void)options;
	step->unit_elems = step->cols * BLOCK;
	step->n_units = scales[1];
	if (!s)
		s = qc_pack_add(plan, step, module, ".weight", &qc_f8_e4m3, 2, codes,
				step->cols * BLOCK, err);
	if (!s)
		s = qc_pack_add(plan, step, module, ".weight_scale_inv", &qc_f32, 2, scales,
				scales[0] * sizeof(float), err);
	return s;
}

/* Up to 128 rows by up to 128 columns, from x and codes on. */
static float encode_block(const float *x, uint64_t rows, uint64_t n, uint64_t cols, uint8_t *codes)
{
	float amax = 0, scale;

	for (uint64_t row = 0; row < rows; row++) {
		float largest = qc_largest(x + row * cols, (size_t)n);

		amax = largest > amax ? largest : amax;
	}
	scale = scale_of(amax);
	for (uint64_t row = 0; row < rows; row++)
		encode_run(x + row * cols, n, scale, codes + row * cols);
	return scale;
}

static void block_encode(const struct qc_pack_range *range)
{
	const uint64_t cols = range->step->cols, rows = range->n_elems / cols;
	uint8_t *scale = range->out[SCALES];

	for (uint64_t row = 0; row < rows; row += BLOCK)
		for (uint64_t col = 0; col < cols; col += BLOCK, scale += sizeof(float)) {
			uint64_t at = row * cols + col;
			uint64_t high = rows - row < BLOCK ? rows - row : BLOCK;
			uint64_t wide = cols - col < BLOCK ? cols - col : BLOCK;

			qc_put_le32(scale, qc_f32_bits(encode_block(range->x + at, high, wide, cols,
								    range->out[CODES] + at)));
		}
}

static const char *fp8_unfit(struct qc_model *model, const struct qc_tensor *tensor)
{
	(void)model;
	return tensor->n_dims == 2 ? NULL : "experts in one tensor are not packed in this layout";
}

static void row_config(FILE *out, const struct qc_plan *plan)
{
	fputs("{\n    \"config_groups\": {\n      \"group_0\": {\n"
	      "        \"format\": \"float-quantized\",\n        \"input_activations\": {\n"
	      "          \"dynamic\": true,\n          \"num_bits\": 8,\n"
	      "          \"observer\": null,\n          \"observer_kwargs\": {},\n"
	      "          \"strategy\": \"token\",\n          \"symmetric\": true,\n"
	      "          \"type\": \"float\"\n        },\n        \"output_activations\": null,\n"
	      "        \"targets\": [\n          \"Linear\"\n        ],\n        \"weights\": {\n"
	      "          \"dynamic\": false,\n          \"num_bits\": 8,\n"
	      "          \"observer\": \"minmax\",\n          \"observer_kwargs\": {},\n"
	      "          \"strategy\": \"channel\",\n          \"symmetric\": true,\n"
	      "          \"type\": \"float\"\n        }\n      }\n    },\n"
	      "    \"format\": \"float-quantized\",\n    \"global_compression_ratio\": null,\n"
	      "    \"ignore\": ",
	      out);
	qc_pack_put_skipped(out, plan, 4);
	fputs(",\n    \"kv_cache_scheme\": null,\n    \"quant_method\": \"compressed-tensors\",\n"
	      "    \"quantization_status\": \"compressed\"\n  }",
	      out);
}

static void block_config(FILE *out, const struct qc_plan *plan)
{
	fputs("{\n    \"activation_scheme\": \"dynamic\",\n    \"fmt\": \"e4m3\",\n"
	      "    \"modules_to_not_convert\": ",
	      out);
	qc_pack_put_skipped(out, plan, 4);
	fputs(",\n    \"quant_method\": \"fp8\",\n    \"weight_block_size\": [\n      128,\n"
	      "      128\n    ]\n  }",
	      out);
}

const struct qc_packing qc_pack_fp8_compressed = {
	.name = "fp8",
	.layout = "compressed-tensors",
	.fused_alike = true,
	.about = "8 bits, E4M3, a scale a row",
	.unfit = fp8_unfit,
	.plan = row_plan,
	.encode = row_encode,
	.config = row_config,
};

const struct qc_packing qc_pack_fp8_block = {
	.name = "fp8",
	.layout = "block",
	.fused_alike = true,
	.about = "8 bits, E4M3, a scale a block of 128x128 (transformers' fp8, DeepSeek)",
	.unfit = fp8_unfit,
	.plan = block_plan,
	.encode = block_encode,
	.config = block_config,
};
