/* quantization_config of NVFP4 checkpoints. */
#include "convert/nvfp4_config.h"

#include "convert/pack_pieces.h"

/* The weights have input scales, all of them. */
static bool has_inputs(const struct qc_plan *plan)
{
	bool has = false;

	for (size_t i = 0; i < plan->n_steps; i++) {
		const struct qc_step *step = &plan->steps[i];

		if (step->packing && step->n_pieces <= QC_NVFP4_INPUT)
			return false;
		has = has || step->packing;
	}
	return has;
}

#define MODELOPT_GROUP                                                                             \
	"{\n          \"dynamic\": false,\n          \"group_size\": 16,\n"                        \
	"          \"num_bits\": 4,\n          \"type\": \"float\"\n        }"

/* ModelOpt's convert_hf_config.py. */
void qc_nvfp4_modelopt_config(FILE *out, const struct qc_plan *plan)
{
	bool inputs = has_inputs(plan);

	fputs("{\n    \"config_groups\": {\n      \"group_0\": {\n", out);
	if (inputs)
		fputs("        \"input_activations\": " MODELOPT_GROUP ",\n", out);
	fputs("        \"targets\": [\n          \"Linear\"\n        ],\n"
	      "        \"weights\": " MODELOPT_GROUP "\n      }\n    },\n    \"ignore\": ",
	      out);
	qc_pack_put_skipped(out, plan, 4);
	fprintf(out,
		",\n    \"producer\": {\n      \"name\": \"modelopt\",\n"
		"      \"version\": \"qconv %s\"\n    },\n    \"quant_algo\": \"%s\",\n"
		"    \"quant_method\": \"modelopt\"\n  }",
		qconv_version(), inputs ? "NVFP4" : "W4A16_NVFP4");
}

void qc_nvfp4_modelopt_extra(FILE *out, const struct qc_plan *plan)
{
	fprintf(out,
		"{\n  \"producer\": {\n    \"name\": \"modelopt\",\n    \"version\": \"qconv %s\"\n"
		"  },\n  \"quantization\": {\n    \"quant_algo\": \"%s\",\n"
		"    \"kv_cache_quant_algo\": null,\n    \"group_size\": 16,\n"
		"    \"exclude_modules\": ",
		qconv_version(), has_inputs(plan) ? "NVFP4" : "W4A16_NVFP4");
	qc_pack_put_skipped(out, plan, 4);
	fputs("\n  }\n}\n", out);
}

#define COMPRESSED_ARGS                                                                            \
	"          \"group_size\": 16,\n          \"num_bits\": 4,\n"                              \
	"          \"observer\": \"static_minmax\",\n          \"observer_kwargs\": {},\n"         \
	"          \"scale_dtype\": \"torch.float8_e4m3fn\",\n"                                    \
	"          \"strategy\": \"tensor_group\",\n          \"symmetric\": true,\n"              \
	"          \"type\": \"float\",\n          \"zp_dtype\": \"torch.float8_e4m3fn\"\n       " \
	" }"

void qc_nvfp4_compressed_config(FILE *out, const struct qc_plan *plan)
{
	fputs("{\n    \"config_groups\": {\n      \"group_0\": {\n"
	      "        \"format\": \"nvfp4-pack-quantized\",\n        \"input_activations\": ",
	      out);
	if (has_inputs(plan))
		fputs("{\n          \"dynamic\": \"local\",\n" COMPRESSED_ARGS, out);
	else
		fputs("null", out);
	fputs(",\n        \"output_activations\": null,\n        \"targets\": [\n"
	      "          \"Linear\"\n        ],\n        \"weights\": {\n"
	      "          \"dynamic\": false,\n" COMPRESSED_ARGS
	      "\n      }\n    },\n    \"format\": \"nvfp4-pack-quantized\",\n"
	      "    \"global_compression_ratio\": null,\n    \"ignore\": ",
	      out);
	qc_pack_put_skipped(out, plan, 4);
	fputs(",\n    \"kv_cache_scheme\": null,\n    \"quant_method\": \"compressed-tensors\",\n"
	      "    \"quantization_status\": \"compressed\"\n  }",
	      out);
}
