/*
 * Lint: config.json and hf_quant_config.json, and whether the method that they name is the one by
 * which the tensors are stored: loaders choose their layers by it before they see a tensor.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "convert/lint_rules.h"

#define MAX_CONFIG_BYTES (16u << 20)

/* Parse model->dir/name when it is there and is JSON; a file that is not leaves `json` empty. */
static enum qc_status load_json(struct lint *lint, const char *name, struct qc_json *json,
				char **text)
{
	char *path = qc_arena_printf(&lint->model.arena, "%s/%s", lint->model.dir, name);
	struct qc_err err = {0};
	size_t size;
	enum qc_status s;

	if (!path)
		return qc_no_memory(lint->err);
	if (access(path, F_OK) && errno == ENOENT)
		return QC_OK;
	s = qc_file_load(path, MAX_CONFIG_BYTES, text, &size, &err);
	if (!s)
		s = qc_json_parse(json, *text, size, QC_JSON_ALLOW_NAN, &err);
	if (s == QC_NO_MEMORY || s == QC_IO) {
		*lint->err = err;
		return s;
	}
	if (s)
		*json = (struct qc_json){0};
	return QC_OK;
}

enum qc_status lint_config_text(struct lint *lint, const struct qc_json *json, qc_json_value value,
				bool upper, const char **out)
{
	char *text;

	*out = NULL;
	if (qc_json_type_of(json, value) != QC_JSON_STRING)
		return QC_OK;
	text = qc_json_string(json, value, &lint->model.arena, NULL);
	if (!text)
		return qc_no_memory(lint->err);
	for (char *c = text; *c; c++)
		*c = (char)(upper ? toupper((unsigned char)*c) : tolower((unsigned char)*c));
	*out = text;
	return QC_OK;
}

/* The quant_algo that vLLM takes: config.json hides hf_quant_config.json. */
static enum qc_status load_algo(struct lint *lint)
{
	struct lint_config *c = &lint->config;
	enum qc_status s = lint_config_text(
		lint, &c->json, qc_json_get(&c->json, c->quant, "quant_method"), false, &c->method);

	if (!s && c->quant) {
		c->algo_where = "config.json: quantization_config.quant_algo";
		s = lint_config_text(lint, &c->json, qc_json_get(&c->json, c->quant, "quant_algo"),
				     true, &c->algo);
	} else if (!s && c->hf_quant) {
		c->algo_where = "hf_quant_config.json: quantization.quant_algo";
		c->method = "modelopt";
		s = lint_config_text(lint, &c->hf, qc_json_get(&c->hf, c->hf_quant, "quant_algo"),
				     true, &c->algo);
	}
	return s;
}

static qc_json_value object_at(const struct qc_json *json, const char *path)
{
	qc_json_value value = qc_json_path(json, QC_JSON_ROOT, path);

	return qc_json_type_of(json, value) == QC_JSON_OBJECT ? value : 0;
}

/* Mistral's own files have no config.json of their own. */
static bool is_mistral(const struct lint *lint)
{
	const char *path = lint->model.n_files ? lint->model.files[0]->path : "";

	return !strncmp(qc_text_base_name(path), "consolidated", strlen("consolidated"));
}

enum qc_status lint_config_load(struct lint *lint)
{
	struct lint_config *c = &lint->config;
	enum qc_status s;

	if (is_mistral(lint))
		return QC_OK;
	s = load_json(lint, "config.json", &c->json, &c->text);
	if (!s)
		s = load_json(lint, "hf_quant_config.json", &c->hf, &c->hf_text);
	if (s)
		return s;
	c->readable = qc_json_type_of(&c->json, QC_JSON_ROOT) == QC_JSON_OBJECT;
	c->quant = object_at(&c->json, "quantization_config");
	if (!c->quant)
		c->quant = object_at(&c->json, "text_config.quantization_config");
	c->hf_quant = object_at(&c->hf, "quantization");
	return load_algo(lint);
}

void lint_config_clear(struct lint *lint)
{
	qc_json_clear(&lint->config.json);
	qc_json_clear(&lint->config.hf);
	free(lint->config.text);
	free(lint->config.hf_text);
}

qc_json_value lint_config_get(const struct lint *lint, const char *path)
{
	const struct qc_json *json = &lint->config.json;
	qc_json_value text, value;

	if (!lint->config.readable)
		return 0;
	text = qc_json_get(json, QC_JSON_ROOT, "text_config");
	value = text ? qc_json_path(json, text, path) : 0;
	if (!value || qc_json_type_of(json, value) == QC_JSON_NULL)
		value = qc_json_path(json, QC_JSON_ROOT, path);
	return qc_json_type_of(json, value) == QC_JSON_NULL ? 0 : value;
}

bool lint_in_list(const char *const *list, const char *text)
{
	for (; text && list && *list; list++)
		if (!strcmp(*list, text))
			return true;
	return false;
}

bool lint_config_method_is(const struct lint *lint, const char *method)
{
	return lint->config.method && !strcmp(lint->config.method, method);
}

static enum qc_status check_readable(struct lint *lint)
{
	const struct lint_config *c = &lint->config;
	enum qc_status s = QC_OK;

	if (!c->text && lint->is_dir && !is_mistral(lint))
		s = lint_report(lint, QC_LINT_WARNING, "config.json", "no such file",
				"the model's configuration");
	if (!s && c->text && !c->readable)
		s = lint_report(lint, QC_LINT_ERROR, "config.json", "not a JSON object",
				"the model's configuration");
	if (!s && c->hf_text && !c->hf_quant)
		s = lint_report(lint, QC_LINT_ERROR, "hf_quant_config.json",
				"no JSON object with an object \"quantization\"",
				"what ModelOpt writes");
	return s;
}

static const char *list_text(struct lint *lint, const char *const *list)
{
	const char *text = lint_text(lint, "quant_method \"%s\"", list[0]);

	for (size_t i = 1; text && list[i] && i < 4; i++)
		text = lint_text(lint, "%s or \"%s\"", text, list[i]);
	return text;
}

/* Each scheme once, by its first module. */
static enum qc_status check_method(struct lint *lint)
{
	const struct lint_config *c = &lint->config;
	const struct lint_scheme *said[16];
	size_t n_said = 0;
	enum qc_status s = QC_OK;

	if (!c->readable && !c->hf_quant)
		return QC_OK;
	for (size_t i = 0; !s && i < lint->n_modules; i++) {
		const struct lint_module *module = &lint->modules[i];
		bool again = !module->scheme;

		for (size_t k = 0; !again && k < n_said; k++)
			again = said[k] == module->scheme;
		if (again || n_said == sizeof(said) / sizeof(*said))
			continue;
		said[n_said++] = module->scheme;
		if (lint_in_list(module->scheme->methods, c->method))
			continue;
		s = lint_report(lint, QC_LINT_ERROR, lint_module_subject(lint, module),
				lint_text(lint, "stored as %s, while config.json has %s%s%s",
					  module->scheme->name,
					  c->method ? "quant_method \"" : "no quantization_config",
					  c->method ? c->method : "", c->method ? "\"" : ""),
				list_text(lint, module->scheme->methods));
	}
	return s;
}

/* Methods whose loaders need packed tensors; others quantize plain ones while they load. */
static enum qc_status check_unquantized(struct lint *lint)
{
	static const char *const packed[] = {"bitsandbytes", "gptq",	     "awq", "mxfp4",
					     "modelopt",     "modelopt_fp4", NULL};
	const struct lint_config *c = &lint->config;

	if (lint->n_quantized || !lint->is_dir || (!c->quant && !c->hf_quant))
		return QC_OK;
	return lint_report(lint, lint_in_list(packed, c->method) ? QC_LINT_ERROR : QC_LINT_WARNING,
			   c->quant ? "config.json: quantization_config" : "hf_quant_config.json",
			   lint_text(lint, "quant_method \"%s\", and no tensor is quantized",
				     c->method ? c->method : ""),
			   "no quantization_config, or tensors that are quantized");
}

const struct lint_rule lint_rules_config[] = {
	{
		.name = "config-readable",
		.loader = "transformers, vLLM and llama.cpp's converter cannot load the directory",
		.check = check_readable,
	},
	{
		.name = "quant-method",
		.loader =
			"transformers, vLLM and SGLang make other layers for it and fail, or take "
			"codes for weights",
		.check = check_method,
	},
	{
		.name = "quant-unused",
		.loader = "transformers and vLLM look for codes and scales and fail",
		.check = check_unquantized,
	},
	{0},
};
