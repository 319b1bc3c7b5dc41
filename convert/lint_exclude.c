/*
 * Lint: the list of modules that are not quantized, against those that are. Each loader reads it
 * its own way:
 *
 *   ModelOpt            shell patterns; vLLM also takes an entry that is a part of a module's name
 *   compressed-tensors  whole names and "re:" with a regular expression for the beginning of a name
 *   others              names, their beginnings or ends up to a dot, or any part of them
 *
 * Two questions are asked of it: whether a module is surely excluded, and whether it might be; what
 * lies between is no finding. Prefixes that loaders exchange ("model.", "language_model.") do not
 * count.
 */
#include <stdlib.h>
#include <string.h>

#include "convert/lint_rules.h"

#define MAX_PARTS 1024 /* entries that are tried one by one on every module */

static const struct {
	const char *method, *path;
} lists[] = {
	{"modelopt", "ignore"},
	{"modelopt_fp4", "ignore"},
	{"modelopt_mixed", "ignore"},
	{"compressed-tensors", "ignore"},
	{"compressed_tensors", "ignore"},
	{"bitsandbytes", "llm_int8_skip_modules"},
	{"awq", "modules_to_not_convert"},
	{"fp8", "modules_to_not_convert"},
	{"fp8", "ignored_layers"},
	{"mxfp4", "modules_to_not_convert"},
};

/* The name without "language_model." anywhere and "model." in front, in buf; cut when it is too
 * long. */
static const char *normal(const char *name, char buf[512])
{
	static const char text[] = "language_model.";
	size_t n = 0;

	for (const char *at = name; *at && n < 511;) {
		if ((at == name || at[-1] == '.') && !strncmp(at, text, sizeof(text) - 1))
			at += sizeof(text) - 1;
		else if (n == 0 && !strncmp(at, "model.", 6))
			at += 6;
		else
			buf[n++] = *at++;
	}
	buf[n] = 0;
	return buf;
}

/* Shell pattern: "*", "?" and "[...]". Time is at most the product of the lengths. */
static bool glob_matches(const char *pattern, const char *text)
{
	const char *star = NULL, *retry = NULL;

	while (*text) {
		const char *close = *pattern == '[' ? strchr(pattern + 1, ']') : NULL;
		bool same = *pattern == '?' || (*pattern == *text && !close);
		const char *next = pattern + 1;

		for (const char *c = pattern + 1; close && c < close; c++)
			same |= *c == *text;
		if (close)
			next = close + 1;
		if (*pattern == '*') {
			star = ++pattern;
			retry = text;
		} else if (*pattern && same) {
			pattern = next;
			text++;
		} else if (star) {
			pattern = star;
			text = ++retry;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return !*pattern;
}

static bool is_glob(const char *entry)
{
	return strpbrk(entry, "*?[") != NULL;
}

static bool is_method(const struct lint *lint, const char *start)
{
	return lint->config.method && !strncmp(lint->config.method, start, strlen(start));
}

/* re.match() of Python, in terms of the matcher that adapters' patterns have. */
static enum qc_status add_regex(struct lint *lint, const char *regex)
{
	struct lint_exclude *e = &lint->exclude;
	const char *key = qc_arena_printf(&lint->model.arena, "^(%s).*", regex);
	struct qc_err err = {0};
	enum qc_status s;

	if (!key)
		return qc_no_memory(lint->err);
	s = qc_lora_patterns_add(&e->patterns, &lint->model.arena, key, 1, &err);
	if (s == QC_NO_MEMORY)
		return qc_no_memory(lint->err);
	e->unknown |= s != QC_OK;
	return QC_OK;
}

static enum qc_status add_entry(struct lint *lint, const char *entry)
{
	struct lint_exclude *e = &lint->exclude;
	char buf[512];
	const char *name, *copy;
	bool was_there;

	if (!strncmp(entry, "re:", 3) && is_method(lint, "compressed"))
		return add_regex(lint, entry + 3);
	name = normal(entry, buf);
	copy = qc_arena_copy(&lint->model.arena, name, strlen(name));
	if (!copy)
		return qc_no_memory(lint->err);
	if (*copy && !is_glob(copy) &&
	    qc_strmap_add(&e->exact, copy, strlen(copy), 1, &was_there, lint->err))
		return lint->err->status;
	/* names of modules are found by the map; what else there is must be tried */
	if (qc_strmap_find(&lint->by_name, entry, strlen(entry)))
		return QC_OK;
	if (e->n_parts == MAX_PARTS)
		e->unknown = true;
	else if (*copy)
		e->parts[e->n_parts++] = copy;
	return QC_OK;
}

static enum qc_status add_list(struct lint *lint, const struct qc_json *json, qc_json_value list,
			       const char *where)
{
	enum qc_status s = QC_OK;

	if (qc_json_type_of(json, list) != QC_JSON_ARRAY)
		return QC_OK;
	lint->exclude.where = where;
	for (qc_json_value v = qc_json_first(json, list); !s && v; v = qc_json_next(json, v)) {
		const char *entry;

		if (qc_json_type_of(json, v) != QC_JSON_STRING) {
			lint->exclude.unknown = true;
			continue;
		}
		entry = qc_json_string(json, v, &lint->model.arena, NULL);
		s = entry ? add_entry(lint, entry) : qc_no_memory(lint->err);
	}
	return s;
}

enum qc_status lint_exclude_load(struct lint *lint)
{
	const struct lint_config *c = &lint->config;
	enum qc_status s = QC_OK;

	lint->exclude.parts =
		qc_arena_array(&lint->model.arena, MAX_PARTS, sizeof(*lint->exclude.parts));
	if (!lint->exclude.parts)
		return qc_no_memory(lint->err);
	if (!c->quant && c->hf_quant)
		return add_list(lint, &c->hf, qc_json_get(&c->hf, c->hf_quant, "exclude_modules"),
				"hf_quant_config.json: quantization.exclude_modules");
	for (size_t i = 0; !s && i < sizeof(lists) / sizeof(*lists); i++) {
		const char *where;

		if (!lint_config_method_is(lint, lists[i].method))
			continue;
		where = qc_arena_printf(&lint->model.arena, "config.json: quantization_config.%s",
					lists[i].path);
		s = where ? add_list(lint, &c->json, qc_json_get(&c->json, c->quant, lists[i].path),
				     where)
			  : qc_no_memory(lint->err);
	}
	return s;
}

void lint_exclude_clear(struct lint *lint)
{
	qc_strmap_clear(&lint->exclude.exact);
	qc_lora_patterns_clear(&lint->exclude.patterns);
}

/* `part` stands in `name`, from the beginning or up to the end, with a dot on its other side. */
static bool is_end_or_start(const char *name, const char *part)
{
	const size_t len = strlen(name), n = strlen(part);

	if (n > len)
		return false;
	if (!strncmp(name, part, n) && (!name[n] || name[n] == '.'))
		return true;
	return !strcmp(name + len - n, part) && name[len - n - 1] == '.';
}

static bool pattern_matches(const struct lint_exclude *e, const char *name)
{
	return strlen(name) <= QC_LORA_MAX_PATH &&
	       qc_lora_patterns_match(&e->patterns, name) != NULL;
}

static bool regex_excludes(const struct lint *lint, const char *full, const char *name)
{
	char with_prefix[520] = "model.";

	if (!lint->exclude.patterns.n)
		return false;
	memcpy(with_prefix + 6, name, strlen(name) + 1);
	return pattern_matches(&lint->exclude, full) || pattern_matches(&lint->exclude, name) ||
	       pattern_matches(&lint->exclude, with_prefix);
}

/* By an entry that is its name or, where that counts, the name of a module that it lies in. */
static bool excluded_by_name(const struct lint *lint, const char *name, bool inside)
{
	if (qc_strmap_find(&lint->exclude.exact, name, strlen(name)))
		return true;
	for (size_t len = strlen(name); inside && len; len--)
		if (name[len] == '.' && qc_strmap_find(&lint->exclude.exact, name, len))
			return true;
	return false;
}

/* What excludes the module for certain; NULL. */
static const char *surely(const struct lint *lint, const char *full)
{
	const struct lint_exclude *e = &lint->exclude;
	const bool ct = is_method(lint, "compressed"), modelopt = is_method(lint, "modelopt");
	char buf[512];
	const char *name = normal(full, buf);

	if (excluded_by_name(lint, name, !ct))
		return "by its name";
	if (regex_excludes(lint, full, name))
		return "a regular expression";
	for (size_t i = 0; !ct && i < e->n_parts; i++) {
		const char *part = e->parts[i];

		if (is_glob(part) ? glob_matches(part, name)
		    : modelopt	  ? strstr(name, part) != NULL
				  : is_end_or_start(name, part))
			return part;
	}
	return NULL;
}

static bool maybe(const struct lint *lint, const char *full)
{
	const struct lint_exclude *e = &lint->exclude;
	char buf[512];
	const char *name = normal(full, buf);

	if (e->unknown || surely(lint, full) || excluded_by_name(lint, name, true))
		return true;
	for (size_t i = 0; i < e->n_parts; i++)
		if (is_glob(e->parts[i]) ? glob_matches(e->parts[i], name)
					 : strstr(name, e->parts[i]) != NULL)
			return true;
	return false;
}

static bool is_quantized_and_listed(const struct lint *lint, const struct lint_module *module)
{
	return module->scheme && lint->exclude.where &&
	       lint_in_list(module->scheme->methods, lint->config.method);
}

static enum qc_status check_excluded(struct lint *lint, const struct lint_module *module)
{
	const char *by = surely(lint, module->name);

	if (!by)
		return QC_OK;
	return lint_report(lint, QC_LINT_ERROR, lint_module_subject(lint, module),
			   lint_text(lint, "%s, while %s excludes it (%.200s)",
				     module->scheme->name, lint->exclude.where, by),
			   "no such entry, or a plain weight");
}

/* Layers that are linear in every model that has them. */
static const char *const linear[] = {
	"q_proj",   "k_proj",	 "v_proj",   "o_proj",	     "gate_proj",
	"up_proj",  "down_proj", "qkv_proj", "out_proj",     "q_a_proj",
	"q_b_proj", "kv_b_proj", "lm_head",  "gate_up_proj", "kv_a_proj_with_mqa",
	NULL,
};

/* vLLM never quantizes what has one of these in its name. */
static bool is_tower(const char *name)
{
	return strstr(name, "vision_tower") || strstr(name, "vision_model") ||
	       strstr(name, "visual") || strstr(name, "audio") || strstr(name, "mtp.");
}

/* compressed-tensors may name its targets instead of taking every linear layer. */
static bool takes_all(const struct lint *lint)
{
	const struct qc_json *json = &lint->config.json;
	qc_json_value groups = qc_json_get(json, lint->config.quant, "config_groups");
	bool all = true;

	for (qc_json_value g = qc_json_first(json, groups); g; g = qc_json_next(json, g)) {
		qc_json_value targets = qc_json_get(json, g, "targets");
		bool linear_too = false;

		for (qc_json_value t = qc_json_first(json, targets); t; t = qc_json_next(json, t))
			linear_too |= qc_json_equals(json, t, "Linear");
		all &= linear_too;
	}
	return all;
}

/* Plain linear layers of a quantized model whose loader goes by the list. */
static bool is_plain_linear(const struct lint *lint, const struct lint_module *module)
{
	const struct qc_tensor *weight = lint_part(lint, module, PART_WEIGHT);

	if (module->scheme || !weight || weight->n_dims != 2 || !lint->n_quantized)
		return false;
	return (is_method(lint, "modelopt") || is_method(lint, "compressed") ||
		is_method(lint, "bitsandbytes") || is_method(lint, "fp8")) &&
	       lint_in_list(linear, lint_leaf(module->name)) && !is_tower(module->name);
}

/* transformers keeps the head of its own accord where bitsandbytes' list is null, and fp8 only
 * takes the layers of blocks. */
static bool is_kept_head(const struct lint *lint, const struct lint_module *module)
{
	return !strcmp(lint_leaf(module->name), "lm_head") &&
	       ((is_method(lint, "bitsandbytes") && !lint->exclude.where) ||
		is_method(lint, "fp8"));
}

static enum qc_status check_not_excluded(struct lint *lint, const struct lint_module *module)
{
	if (lint->config.algo && !strcmp(lint->config.algo, "MIXED_PRECISION"))
		return QC_OK; /* has a list of what is quantized instead */
	if (is_kept_head(lint, module) || !takes_all(lint) || maybe(lint, module->name))
		return QC_OK;
	return lint_report(lint, QC_LINT_ERROR, lint_module_subject(lint, module),
			   lint_text(lint, "not quantized, and %s",
				     lint->exclude.where ? "not in the list of exceptions"
							 : "there is no list of exceptions"),
			   lint->exclude.where
				   ? lint_text(lint, "an entry in %s", lint->exclude.where)
				   : "one with an entry for it");
}

const struct lint_rule lint_rules_exclude[] = {
	{
		.name = "excluded-but-quantized",
		.loader = "vLLM, SGLang and transformers make a plain layer for it and fail",
		.check_module = check_excluded,
		.applies = is_quantized_and_listed,
	},
	{
		.name = "plain-but-not-excluded",
		.loader = "vLLM, SGLang and transformers make a quantized layer for it and fail",
		.check_module = check_not_excluded,
		.applies = is_plain_linear,
	},
	{0},
};
