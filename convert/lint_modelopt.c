/*
 * Lint: ModelOpt's configuration, quantization_config in config.json or "quantization" in
 * hf_quant_config.json, by the rules of vLLM (modelopt.py), which names what it wants, and of
 * TensorRT-LLM.
 */
#include <string.h>

#include "convert/lint_rules.h"

static bool is_modelopt(const struct lint *lint)
{
	return lint->config.method && !strncmp(lint->config.method, "modelopt", 8);
}

/* The first module of a scheme with ModelOpt's quant_algo; NULL. */
static const struct lint_module *first_module(const struct lint *lint)
{
	for (size_t i = 0; i < lint->n_modules; i++)
		if (lint->modules[i].scheme && lint->modules[i].scheme->algos)
			return &lint->modules[i];
	return NULL;
}

static enum qc_status check_algo(struct lint *lint)
{
	static const char *const by_vllm[] = {
		"FP8",	 "FP8_PER_CHANNEL_PER_TOKEN", "FP8_PB_WO", "NVFP4", "W4A16_NVFP4",
		"MXFP8", "MIXED_PRECISION",	      NULL};
	const struct lint_config *c = &lint->config;
	const struct lint_module *module = first_module(lint);

	if (!is_modelopt(lint) || !c->algo_where)
		return QC_OK;
	if (!c->algo)
		return lint_report(lint, QC_LINT_ERROR, c->algo_where, "missing",
				   "NVFP4, W4A16_NVFP4, FP8, ...");
	if (module && strcmp(c->algo, "MIXED_PRECISION") != 0 &&
	    !lint_in_list(module->scheme->algos, c->algo))
		return lint_report(
			lint, QC_LINT_ERROR, c->algo_where, lint_text(lint, "%s", c->algo),
			lint_text(lint, "%s, as '%.200s' is %s", module->scheme->algos[0],
				  module->name, module->scheme->name));
	/* as ModelOpt writes it, MXFP4 is read by nobody: whoever chose it was told */
	if (!lint_in_list(by_vllm, c->algo) && strcmp(c->algo, "MXFP4") != 0)
		return lint_report(lint, QC_LINT_WARNING, c->algo_where,
				   lint_text(lint, "%s", c->algo),
				   "one that vLLM loads: NVFP4, W4A16_NVFP4, FP8, "
				   "FP8_PER_CHANNEL_PER_TOKEN, FP8_PB_WO, MXFP8, MIXED_PRECISION");
	return QC_OK;
}

/* vLLM refuses NVFP4 without these, even null; only when it reads this file. */
static enum qc_status check_keys(struct lint *lint)
{
	static const char *const keys[] = {"group_size", "kv_cache_quant_algo", "exclude_modules",
					   NULL};
	const struct lint_config *c = &lint->config;
	enum qc_status s = QC_OK;
	const char *algo;

	s = lint_config_text(lint, &c->hf, qc_json_get(&c->hf, c->hf_quant, "quant_algo"), true,
			     &algo);
	if (s || !algo || !strstr(algo, "NVFP4"))
		return s;
	for (const char *const *key = keys; !s && *key; key++)
		if (!qc_json_get(&c->hf, c->hf_quant, *key))
			s = lint_report(
				lint, c->quant ? QC_LINT_WARNING : QC_LINT_ERROR,
				lint_text(lint, "hf_quant_config.json: quantization.%s", *key),
				"missing", "a value, which may be null");
	return s;
}

static enum qc_status check_agreement(struct lint *lint)
{
	const struct lint_config *c = &lint->config;
	const char *algo;
	enum qc_status s;

	if (!c->quant || !c->hf_quant)
		return QC_OK;
	if (!is_modelopt(lint))
		return lint_report(lint, QC_LINT_ERROR, "hf_quant_config.json",
				   lint_text(lint, "beside quant_method \"%s\" in config.json",
					     c->method ? c->method : ""),
				   "no such file, or \"modelopt\" in both");
	s = lint_config_text(lint, &c->hf, qc_json_get(&c->hf, c->hf_quant, "quant_algo"), true,
			     &algo);
	if (s || !algo || !c->algo || !strcmp(algo, c->algo))
		return s;
	return lint_report(lint, QC_LINT_ERROR, "hf_quant_config.json: quantization.quant_algo",
			   lint_text(lint, "%s", algo),
			   lint_text(lint, "%s, as in config.json", c->algo));
}

/* Sizes of groups, in whichever file has them. */
static enum qc_status check_size(struct lint *lint, const struct lint_module *module,
				 const struct qc_json *json, qc_json_value value, const char *where)
{
	uint64_t size;

	if (!qc_json_u64(json, value, &size) || size == module->scheme->group)
		return QC_OK;
	return lint_report(lint, QC_LINT_ERROR, where,
			   lint_text(lint, "%llu", (unsigned long long)size),
			   lint_text(lint, "%u, as '%.200s' is %s", module->scheme->group,
				     module->name, module->scheme->name));
}

static enum qc_status check_group_size(struct lint *lint)
{
	const struct lint_config *c = &lint->config;
	const struct lint_module *module = first_module(lint);
	enum qc_status s;

	if (!is_modelopt(lint) || !module || !module->scheme->group ||
	    (c->algo && !strcmp(c->algo, "MIXED_PRECISION")))
		return QC_OK;
	s = check_size(lint, module, &c->json, qc_json_get(&c->json, c->quant, "group_size"),
		       "config.json: quantization_config.group_size");
	return s ? s
		 : check_size(lint, module, &c->hf, qc_json_get(&c->hf, c->hf_quant, "group_size"),
			      "hf_quant_config.json: quantization.group_size");
}

/* Whether activations are quantized is told by quant_algo; the scales for it by the tensors. */
static enum qc_status check_activations(struct lint *lint)
{
	const struct lint_config *c = &lint->config;
	const struct lint_module *with = NULL, *without = NULL;

	for (size_t i = 0; i < lint->n_modules; i++) {
		const struct lint_module *module = &lint->modules[i];

		if (!module->scheme || !module->scheme->algos ||
		    module->scheme->global == LINT_PARTS)
			continue;
		if (module->part[module->scheme->input])
			with = with ? with : module;
		else
			without = without ? without : module;
	}
	if (c->algo && !strcmp(c->algo, "NVFP4") && !with && without)
		return lint_report(
			lint, QC_LINT_ERROR, c->algo_where, "NVFP4 (W4A4)",
			lint_text(lint, "W4A16_NVFP4, as no weight has an input_scale ('%.200s')",
				  without->name));
	if (c->algo && !strcmp(c->algo, "W4A16_NVFP4") && with)
		return lint_report(lint, QC_LINT_WARNING, c->algo_where, "W4A16_NVFP4",
				   lint_text(lint,
					     "NVFP4, as '%.200s' has an input_scale, which is not "
					     "used",
					     with->name));
	return QC_OK;
}

/* The cache's scales hang off k_proj and v_proj. */
static enum qc_status check_kv_cache(struct lint *lint)
{
	const struct lint_config *c = &lint->config;
	qc_json_value algo = qc_json_get(&c->hf, c->hf_quant, "kv_cache_quant_algo");
	qc_json_value scheme = qc_json_get(&c->json, c->quant, "kv_cache_scheme");
	const bool wanted = qc_json_type_of(&c->json, scheme) == QC_JSON_OBJECT ||
			    qc_json_type_of(&c->json, scheme) == QC_JSON_STRING ||
			    (!c->quant && qc_json_type_of(&c->hf, algo) == QC_JSON_STRING);
	bool found = false;

	for (size_t i = 0; i < lint->n_modules; i++)
		found |= lint->modules[i].part[PART_K_SCALE] || lint->modules[i].part[PART_V_SCALE];
	if (wanted == found || !lint->is_dir)
		return QC_OK;
	return lint_report(lint, QC_LINT_WARNING,
			   c->quant ? "config.json: quantization_config.kv_cache_scheme"
				    : "hf_quant_config.json: quantization.kv_cache_quant_algo",
			   wanted ? "a quantized cache, and no k_scale or v_scale"
				  : "no quantized cache, and tensors k_scale or v_scale",
			   "both or neither");
}

const struct lint_rule lint_rules_modelopt[] = {
	{
		.name = "modelopt-algo",
		.loader = "vLLM and TensorRT-LLM refuse the model",
		.check = check_algo,
	},
	{
		.name = "modelopt-keys",
		.loader = "vLLM refuses the model when it reads hf_quant_config.json",
		.check = check_keys,
	},
	{
		.name = "modelopt-agreement",
		.loader = "vLLM reads config.json, TensorRT-LLM hf_quant_config.json",
		.check = check_agreement,
	},
	{
		.name = "modelopt-group-size",
		.loader = "vLLM and TensorRT-LLM expect scales of another shape and fail",
		.check = check_group_size,
	},
	{
		.name = "modelopt-activations",
		.loader = "vLLM and SGLang quantize activations with an uninitialised scale and "
			  "answer nonsense",
		.check = check_activations,
	},
	{
		.name = "kv-cache-scales",
		.loader = "vLLM takes 1.0, or ignores the scales",
		.check = check_kv_cache,
	},
	{0},
};
