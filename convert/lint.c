/* Lint: opening what is examined, running the tables of rules, keeping what they find. */
#include "convert/lint.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/lint_rules.h"
#include "formats/arch/arch.h"
#include "formats/gguf.h"
#include "formats/hf.h"
#include "formats/hf_stored.h"

static const struct lint_rule *const checkpoint_rules[] = {
	lint_rules_files,   lint_rules_config, lint_rules_modelopt, lint_rules_ct,
	lint_rules_exclude, lint_rules_common, lint_rules_nvfp4,    lint_rules_fp8,
	lint_rules_bnb,	    lint_rules_int,    lint_rules_plain,    NULL,
};
static const struct lint_rule *const gguf_rules[] = {
	lint_rules_gguf,
	lint_rules_gguf_scales,
	lint_rules_tokenizer,
	NULL,
};

enum qc_status lint_report(struct lint *lint, enum qc_severity severity, const char *subject,
			   const char *found, const char *expected)
{
	struct qc_findings *out = lint->out;
	const char *copy = subject ? qc_arena_copy(&out->arena, subject, strlen(subject)) : NULL;

	if (!copy || !found || !expected)
		return qc_no_memory(lint->err);
	if (out->n == out->cap) {
		const size_t cap = out->cap ? 2 * out->cap : 16;
		struct qc_finding *list = realloc(out->list, cap * sizeof(*list));

		if (!list)
			return qc_no_memory(lint->err);
		out->list = list;
		out->cap = cap;
	}
	out->n_errors += severity == QC_LINT_ERROR;
	out->list[out->n++] = (struct qc_finding){
		.severity = severity,
		.rule = lint->rule->name,
		.subject = copy,
		.found = found,
		.expected = expected,
		.loader = lint->loader,
	};
	return QC_OK;
}

const char *lint_text(struct lint *lint, const char *format, ...)
{
	char text[640];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return qc_arena_copy(&lint->out->arena, text, strlen(text));
}

const char *lint_shape_text(struct lint *lint, const struct qc_tensor *tensor)
{
	char shape[160];

	qc_tensor_shape_text(tensor, shape, sizeof(shape));
	return lint_text(lint, "%s %s", tensor->source->type->name, shape);
}

/* Without dimensions of 1 at the end (those that a safetensors shape begins with). */
static uint32_t rank_of(uint32_t n_dims, const uint64_t *dims)
{
	while (n_dims && dims[n_dims - 1] == 1)
		n_dims--;
	return n_dims;
}

enum qc_status lint_expect_shape(struct lint *lint, const struct qc_tensor *tensor, uint32_t n_dims,
				 const uint64_t *dims)
{
	struct qc_tensor wanted = {.n_dims = n_dims, .dims = dims};
	const uint32_t rank = rank_of(n_dims, dims);
	char shape[160];

	if (rank_of(tensor->n_dims, tensor->dims) == rank &&
	    (!rank || !memcmp(tensor->dims, dims, rank * sizeof(*dims))))
		return QC_OK;
	qc_tensor_shape_text(&wanted, shape, sizeof(shape));
	return lint_report(lint, QC_LINT_ERROR, tensor->stored_name, lint_shape_text(lint, tensor),
			   lint_text(lint, "%s", shape));
}

static bool stopped(const struct lint *lint)
{
	return lint->options->stop && *lint->options->stop;
}

static bool concerns(const struct lint *lint, const struct lint_rule *rule,
		     const struct lint_module *module)
{
	return rule->applies ? rule->applies(lint, module) : module->scheme != NULL;
}

static enum qc_status run_on_modules(struct lint *lint, const struct lint_rule *rule)
{
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && i < lint->n_modules; i++) {
		const struct lint_module *module = &lint->modules[i];

		if (stopped(lint))
			return qc_fail(lint->err, QC_INTERRUPTED, "interrupted");
		if (!concerns(lint, rule, module))
			continue;
		lint->loader = rule->loader	? rule->loader
			       : module->scheme ? module->scheme->loader
						: "";
		s = rule->check_module(lint, module);
	}
	return s;
}

static enum qc_status run_on_groups(struct lint *lint, const struct lint_rule *rule)
{
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && i < lint->n_groups; i++)
		if (lint->groups[i].n > 1 && concerns(lint, rule, lint->groups[i].members[0]))
			s = rule->check_group(lint, &lint->groups[i]);
	return s;
}

static enum qc_status run_rules(struct lint *lint, const struct lint_rule *const *tables)
{
	enum qc_status s = QC_OK;

	for (; !s && *tables; tables++)
		for (const struct lint_rule *rule = *tables; !s && rule->name; rule++) {
			lint->rule = rule;
			lint->loader = rule->loader;
			s = rule->check_module	? run_on_modules(lint, rule)
			    : rule->check_group ? run_on_groups(lint, rule)
						: rule->check(lint);
		}
	return s;
}

/* What no rule has a name for: the checks of whoever converts the model. */
static enum qc_status try_reading(struct lint *lint, const char *path)
{
	static const struct lint_rule rule = {.name = "readable", .loader = "qconv refuses it"};
	struct qc_model model;
	struct qc_err err = {0};
	enum qc_status s = qc_model_open(&model, path, &err);

	qc_model_close(&model);
	if (s != QC_BAD_INPUT && s != QC_UNSUPPORTED) {
		if (s)
			*lint->err = err;
		return s;
	}
	if (s == QC_BAD_INPUT && lint->out->n_errors)
		return QC_OK; /* the same again in other words */
	lint->rule = &rule;
	lint->loader = rule.loader;
	return lint_report(lint, s == QC_BAD_INPUT ? QC_LINT_ERROR : QC_LINT_WARNING, path,
			   lint_text(lint, "%s", err.text), "a model that can be decoded");
}

static enum qc_status lint_checkpoint(struct lint *lint, const char *path)
{
	enum qc_status s = qc_hf_open_stored(&lint->model, path, lint->err);

	if (!s)
		s = lint_config_load(lint);
	if (!s)
		s = lint_modules_build(lint);
	if (!s)
		s = lint_exclude_load(lint);
	if (!s)
		s = run_rules(lint, checkpoint_rules);
	if (!s)
		s = try_reading(lint, path);
	lint_exclude_clear(lint);
	lint_modules_clear(lint);
	lint_config_clear(lint);
	return s;
}

/* Rows of the architecture, for what they say of shapes. */
static enum qc_status find_arch(struct lint *lint)
{
	struct qc_err err = {0};
	enum qc_status s = qc_arch_from_meta(&lint->model, &err);

	if (s == QC_NO_MEMORY)
		return qc_no_memory(lint->err);
	if (s)
		lint->model.arch = NULL;
	return QC_OK;
}

static enum qc_status lint_gguf(struct lint *lint, const char *path, const struct qc_meta *meta)
{
	enum qc_status s = qc_gguf_open_stored(&lint->model, path, lint->err);

	if (!s && meta)
		s = qc_meta_assign(&lint->model.meta, meta, lint->err);
	if (!s)
		s = find_arch(lint);
	if (!s)
		s = run_rules(lint, gguf_rules);
	return s || meta ? s : try_reading(lint, path);
}

enum qc_status qc_lint(struct qc_findings *findings, const char *path,
		       const struct qconv_options *options, struct qc_err *err)
{
	return qc_lint_edited(findings, path, NULL, options, err);
}

enum qc_status qc_lint_edited(struct qc_findings *findings, const char *path,
			      const struct qc_meta *meta, const struct qconv_options *options,
			      struct qc_err *err)
{
	struct lint lint = {.out = findings, .options = options, .err = err};
	const struct qc_format *format;
	enum qc_status s;

	*findings = (struct qc_findings){0};
	s = qc_format_detect(path, &format, err);
	if (s)
		return s;
	lint.is_dir = format == &qc_format_hf;
	lint.buffer = malloc(LINT_BUFFER);
	lint.floats = malloc(LINT_FLOATS * sizeof(*lint.floats));
	if (!lint.buffer || !lint.floats)
		s = qc_no_memory(err);
	else
		s = format == &qc_format_gguf ? lint_gguf(&lint, path, meta)
					      : lint_checkpoint(&lint, path);
	free(lint.buffer);
	free(lint.floats);
	qc_model_close(&lint.model);
	return s;
}

void qc_findings_clear(struct qc_findings *findings)
{
	free(findings->list);
	qc_arena_clear(&findings->arena);
	*findings = (struct qc_findings){0};
}
