/*
 * MXFP4: two E2M1 codes a byte, an E8M0 exponent for 32 of them.
 *
 *   compressed-tensors   P.weight_packed u8 [out, in/2], P.weight_scale u8 [out, in/32]
 *   ModelOpt             P.weight u8 [out, in/2], P.weight_scale u8 [out, in/32]
 *   gpt-oss              X_blocks u8 [experts, out, in/32, 16], X_scales u8 [experts, out, in/32]:
 *                        experts only, whose bf16 form X is stored [experts, in, out]
 *
 * A source that is MXFP4 already, of whatever layout, is moved: nothing is rounded.
 */
#include <string.h>

#include "convert/pack_pieces.h"
#include "convert/step.h"
#include "formats/parts.h"
#include "quant/blocks.h"
#include "quant/grid_types.h"
#include "quant/mxfp4_pack.h"
#include "quant/types.h"

#define GROUP QC_MXFP4_GROUP

enum { CODES, SCALES };

static enum qc_status begin(struct qc_plan *plan, struct qc_step *step,
			    const struct qc_mxfp4_producer *producer, struct qc_err *err)
{
	/* const everywhere else: packings only hand it back to themselves */
	memcpy(&step->packed, &producer, sizeof(step->packed));
	step->copy = step->from == &qc_mxfp4 && step->source->ops->read_raw;
	return qc_pack_begin(plan, step, err);
}

static enum qc_status matrix_plan(struct qc_plan *plan, struct qc_step *step,
				  const struct qc_mxfp4_producer *producer, const char *suffix,
				  struct qc_err *err)
{
	const char *module = qc_pack_module(plan, step);
	const uint64_t codes[2] = {step->cols / 2, step->rows};
	const uint64_t scales[2] = {step->cols / GROUP, step->rows};
	enum qc_status s = module ? begin(plan, step, producer, err) : qc_no_memory(err);

	if (!s)
		s = qc_pack_add(plan, step, module, suffix, &qc_u8, 2, codes, codes[0], err);
	if (!s)
		s = qc_pack_add(plan, step, module, ".weight_scale", &qc_u8, 2, scales, scales[0],
				err);
	return s;
}

static enum qc_status compressed_plan(struct qc_plan *plan, struct qc_step *step,
				      const struct qconv_options *options, struct qc_err *err)
{
	(void)options;
	return matrix_plan(plan, step, &qc_mxfp4_compressed_tensors, ".weight_packed", err);
}

static enum qc_status modelopt_plan(struct qc_plan *plan, struct qc_step *step,
				    const struct qconv_options *options, struct qc_err *err)
{
	(void)options;
	return matrix_plan(plan, step, &qc_mxfp4_modelopt, ".weight", err);
}

static enum qc_status gpt_oss_plan(struct qc_plan *plan, struct qc_step *step,
				   const struct qconv_options *options, struct qc_err *err)
{
	enum qc_status s = QC_OK;

	(void)options;
	if (step->tensor->transposed) /* groups lie along `in` */
		s = qc_step_turn(plan, step, err);
	if (!s)
		s = begin(plan, step, &qc_mxfp4_gpt_oss, err);
	if (!s) {
		const uint64_t groups = step->cols / GROUP, experts = step->tensor->dims[2];
		const uint64_t codes[4] = {GROUP / 2, groups, step->rows / experts, experts};

		s = qc_pack_add(plan, step, step->name, "_blocks", &qc_u8, 4, codes, step->cols / 2,
				err);
		if (!s)
			s = qc_pack_add(plan, step, step->name, "_scales", &qc_u8, 3, codes + 1,
					groups, err);
	}
	return s;
}

static const char *matrix_unfit(struct qc_model *model, const struct qc_tensor *tensor)
{
	return qc_pack_unfit_matrix(model, tensor, GROUP);
}

static const char *gpt_oss_unfit(struct qc_model *model, const struct qc_tensor *tensor)
{
	(void)model;
	return tensor->dims[tensor->transposed] % GROUP ? "rows are not whole groups of 32" : NULL;
}

static void mxfp4_encode(const struct qc_pack_range *range)
{
	const struct qc_mxfp4_producer *producer = range->step->packed;
	size_t n = (size_t)range->n_elems;

	if (range->step->search)
		qc_mxfp4_search(producer, range->x, n, range->weight, range->out[CODES],
				range->out[SCALES], range->isa);
	else
		qc_mxfp4_encode(producer, range->x, n, range->out[CODES], range->out[SCALES],
				range->isa);
}

static void mxfp4_repack(const struct qc_pack_range *range)
{
	for (uint64_t i = 0; i < range->n_elems / GROUP; i++) {
		const uint8_t *block = range->raw + i * sizeof(struct qc_block_mxfp4);

		range->out[SCALES][i] = block[0];
		qc_nibbles_to_neighbours(block + 1, range->out[CODES] + i * (GROUP / 2), GROUP / 4);
	}
}

static const struct qc_grid *mxfp4_grid(const struct qc_step *step)
{
	(void)step;
	return &qc_grid_mxfp4;
}

static void compressed_config(FILE *out, const struct qc_plan *plan)
{
	fputs("{\n    \"config_groups\": {\n      \"group_0\": {\n"
	      "        \"format\": \"mxfp4-pack-quantized\",\n"
	      "        \"input_activations\": null,\n        \"output_activations\": null,\n"
	      "        \"targets\": [\n          \"Linear\"\n        ],\n        \"weights\": {\n"
	      "          \"dynamic\": false,\n          \"group_size\": 32,\n"
	      "          \"num_bits\": 4,\n          \"observer\": \"minmax\",\n"
	      "          \"observer_kwargs\": {},\n          \"scale_dtype\": \"torch.uint8\",\n"
	      "          \"strategy\": \"group\",\n          \"symmetric\": true,\n"
	      "          \"type\": \"float\",\n          \"zp_dtype\": \"torch.uint8\"\n        }\n"
	      "      }\n    },\n    \"format\": \"mxfp4-pack-quantized\",\n"
	      "    \"global_compression_ratio\": null,\n    \"ignore\": ",
	      out);
	qc_pack_put_skipped(out, plan, 4);
	fputs(",\n    \"kv_cache_scheme\": null,\n    \"quant_method\": \"compressed-tensors\",\n"
	      "    \"quantization_status\": \"compressed\"\n  }",
	      out);
}

/* ModelOpt has no entry for it in its tables (quant_utils.py: process_layer_quant_config(),
 * convert_hf_config.py), so that its own name of the format stands there, and nothing else. */
static void modelopt_config(FILE *out, const struct qc_plan *plan)
{
	fputs("{\n    \"ignore\": ", out);
	qc_pack_put_skipped(out, plan, 4);
	fprintf(out,
		",\n    \"producer\": {\n      \"name\": \"modelopt\",\n"
		"      \"version\": \"qconv %s\"\n    },\n    \"quant_algo\": \"mxfp4\",\n"
		"    \"quant_method\": \"modelopt\"\n  }",
		qconv_version());
}

static void modelopt_extra(FILE *out, const struct qc_plan *plan)
{
	fprintf(out,
		"{\n  \"producer\": {\n    \"name\": \"modelopt\",\n    \"version\": \"qconv %s\"\n"
		"  },\n  \"quantization\": {\n    \"quant_algo\": \"mxfp4\",\n"
		"    \"kv_cache_quant_algo\": null,\n    \"exclude_modules\": ",
		qconv_version());
	qc_pack_put_skipped(out, plan, 4);
	fputs("\n  }\n}\n", out);
}

/* vLLM: modelopt.py; TensorRT-LLM: QuantAlgo. */
static const char *modelopt_loaders(const struct qc_plan *plan)
{
	(void)plan;
	return "neither vLLM nor TensorRT-LLM knows ModelOpt's quant_algo \"mxfp4\" (vLLM reads "
	       "--layout compressed-tensors)";
}

/* As OpenAI's own checkpoints have it. */
static void gpt_oss_config(FILE *out, const struct qc_plan *plan)
{
	(void)plan;
	fputs("{\n    \"modules_to_not_convert\": [\n      \"model.layers.*.self_attn\",\n"
	      "      \"model.layers.*.mlp.router\",\n      \"model.embed_tokens\",\n"
	      "      \"lm_head\"\n    ],\n    \"quant_method\": \"mxfp4\"\n  }",
	      out);
}

const struct qc_packing qc_pack_mxfp4_compressed = {
	.name = "mxfp4",
	.layout = "compressed-tensors",
	.fused_alike = true,
	.type = &qc_mxfp4,
	.splits_experts = true,
	.splits_turned = true,
	.about = "4.25 bits, a power of two per 32; as compressed-tensors stores it",
	.unfit = matrix_unfit,
	.plan = compressed_plan,
	.grid = mxfp4_grid,
	.encode = mxfp4_encode,
	.repack = mxfp4_repack,
	.config = compressed_config,
	.loaders = qc_pack_single_experts_note,
};

const struct qc_packing qc_pack_mxfp4_modelopt = {
	.name = "mxfp4",
	.layout = "modelopt",
	.fused_alike = true,
	.type = &qc_mxfp4,
	.splits_experts = true,
	.about = "the same, with ModelOpt's names and rounding",
	.unfit = matrix_unfit,
	.plan = modelopt_plan,
	.grid = mxfp4_grid,
	.encode = mxfp4_encode,
	.repack = mxfp4_repack,
	.config = modelopt_config,
	.loaders = modelopt_loaders,
	.extra_name = "hf_quant_config.json",
	.extra = modelopt_extra,
};

const struct qc_packing qc_pack_mxfp4_gpt_oss = {
	.name = "mxfp4",
	.layout = "gpt-oss",
	.fused_alike = true,
	.type = &qc_mxfp4,
	.about = "the same, experts of gpt-oss models only, as OpenAI stores them",
	.experts_only = true,
	.unfit = gpt_oss_unfit,
	.plan = gpt_oss_plan,
	.grid = mxfp4_grid,
	.encode = mxfp4_encode,
	.repack = mxfp4_repack,
	.config = gpt_oss_config,
};
