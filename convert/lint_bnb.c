/*
 * Lint: bitsandbytes. The real shape, the block size and the kind of a 4-bit weight stand in a text
 * beside it; the kernels on a GPU use tables of their own, not the one that is stored.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "convert/lint_rules.h"
#include "formats/bnb_state.h"
#include "quant/bnb.h"
#include "quant/types.h"

static bool is_bnb4(const struct lint *lint, const struct lint_module *module)
{
	(void)lint;
	return module->scheme == &lint_bnb4;
}

static const struct qc_tensor *codes_of(const struct lint *lint, const struct lint_module *module)
{
	const struct qc_tensor *codes = lint_part(lint, module, PART_WEIGHT);

	return codes ? codes : lint_part(lint, module, PART_BARE);
}

/* *ok: the state could be read. What cannot be read is reported when `say`. */
static enum qc_status load_state(struct lint *lint, const struct lint_module *module, bool say,
				 struct qc_bnb_state *state, bool *ok)
{
	const struct qc_tensor *tensor = lint_part(lint, module, PART_STATE_NF4);
	char text[QC_BNB_STATE_MAX_BYTES];
	struct qc_extent extent;
	struct qc_err err = {0};
	enum qc_status s;

	*ok = false;
	if (!tensor)
		tensor = lint_part(lint, module, PART_STATE_FP4);
	if (!tensor)
		return say ? lint_report(lint, QC_LINT_ERROR, lint_module_subject(lint, module),
					 "no quant_state",
					 lint_text(lint,
						   "'%.300s.weight.quant_state.bitsandbytes__nf4' "
						   "(or __fp4)",
						   module->name))
			   : QC_OK;
	if (!tensor->source->rows ||
	    !qc_source_extent(tensor->source, 0, tensor->source->rows, &extent) ||
	    extent.bytes > sizeof(text))
		return say ? lint_report(lint, QC_LINT_ERROR, tensor->stored_name,
					 lint_shape_text(lint, tensor),
					 lint_text(lint, "1 to %u bytes of JSON",
						   QC_BNB_STATE_MAX_BYTES))
			   : QC_OK;
	s = qc_file_read(extent.file, extent.offset, text, (size_t)extent.bytes, lint->err);
	if (s)
		return s;
	s = qc_bnb_state_parse(state, text, (size_t)extent.bytes, &err);
	*ok = !s;
	if (s == QC_NO_MEMORY)
		return qc_no_memory(lint->err);
	return s && say ? lint_report(lint, QC_LINT_ERROR, tensor->stored_name,
				      lint_text(lint, "%s", err.text), "what bitsandbytes writes")
			: QC_OK;
}

/* A vector of n. */
static enum qc_status expect_count(struct lint *lint, const struct lint_module *module,
				   enum lint_part part, uint64_t n)
{
	const struct qc_tensor *tensor = lint_part(lint, module, part);

	return tensor ? lint_expect_shape(lint, tensor, 1, &n) : QC_OK;
}

static enum qc_status check_codes(struct lint *lint, const struct lint_module *module,
				  const struct qc_bnb_state *state)
{
	const struct qc_tensor *codes = codes_of(lint, module);

	if (!codes)
		return lint_report(lint, QC_LINT_ERROR, lint_module_subject(lint, module),
				   lint_text(lint, "no '%.300s.weight'", module->name),
				   "the codes that it belongs to");
	if (qc_tensor_stored_bytes(codes) == qc_divide_up(state->elems, 2))
		return QC_OK;
	return lint_report(lint, QC_LINT_ERROR, codes->stored_name, lint_shape_text(lint, codes),
			   lint_text(lint, "%llu bytes for the %llu weights of its quant_state",
				     (unsigned long long)qc_divide_up(state->elems, 2),
				     (unsigned long long)state->elems));
}

static enum qc_status check_nesting(struct lint *lint, const struct lint_module *module,
				    const struct qc_bnb_state *state)
{
	const struct qc_tensor *absmax = lint_part(lint, module, PART_ABSMAX);
	const struct qc_qtype *want = state->nested ? &qc_u8 : &qc_f32;

	if (absmax->source->type != want)
		return lint_report(lint, QC_LINT_ERROR, absmax->stored_name,
				   lint_shape_text(lint, absmax),
				   lint_text(lint, "%s, as its quant_state is %snested", want->name,
					     state->nested ? "" : "not "));
	if (state->nested &&
	    (!module->part[PART_NESTED_ABSMAX] || !module->part[PART_NESTED_QUANT_MAP]))
		return lint_report(lint, QC_LINT_ERROR, absmax->stored_name,
				   "no nested_absmax or no nested_quant_map",
				   "both, as its quant_state is nested");
	return QC_OK;
}

enum qc_status lint_bnb4_shapes(struct lint *lint, const struct lint_module *module)
{
	struct qc_bnb_state state;
	uint64_t blocks;
	bool ok;
	enum qc_status s = load_state(lint, module, true, &state, &ok);

	if (s || !ok)
		return s;
	blocks = qc_divide_up(state.elems, state.blocksize);
	s = check_codes(lint, module, &state);
	if (!s)
		s = expect_count(lint, module, PART_ABSMAX, blocks);
	if (!s)
		s = expect_count(lint, module, PART_QUANT_MAP, 16);
	if (!s && state.nested)
		s = expect_count(lint, module, PART_NESTED_ABSMAX,
				 qc_divide_up(blocks, state.nested_blocksize));
	if (!s && state.nested)
		s = expect_count(lint, module, PART_NESTED_QUANT_MAP, 256);
	return s ? s : check_nesting(lint, module, &state);
}

enum qc_status lint_bnb8_shapes(struct lint *lint, const struct lint_module *module)
{
	const struct qc_tensor *weight = lint_part(lint, module, PART_WEIGHT);
	const struct qc_tensor *format = lint_part(lint, module, PART_WEIGHT_FORMAT);
	enum qc_status s = QC_OK;
	bool has = false;
	float value;

	if (weight->n_dims != 2)
		return lint_report(lint, QC_LINT_ERROR, weight->stored_name,
				   lint_shape_text(lint, weight), "[outputs, inputs]");
	s = expect_count(lint, module, PART_SCB, weight->dims[1]);
	if (!s && format)
		s = lint_first(lint, format, &has, &value);
	if (!s && has && value != 0)
		s = lint_report(lint, QC_LINT_ERROR, format->stored_name,
				lint_text(lint, "%g: a layout of one kind of GPU", (double)value),
				"0: rows as they are");
	return s;
}

/* The f32 absmax of weights without double quantization. */
static enum qc_status check_absmax(struct lint *lint, const struct lint_module *module)
{
	const struct qc_tensor *absmax = lint_part(lint, module, PART_ABSMAX);
	struct lint_counts c;
	enum qc_status s;

	if (!absmax || absmax->source->type != &qc_f32)
		return QC_OK;
	s = lint_scan(lint, absmax, NULL, &c);
	if (s || !(c.nan || c.infinite || c.negative))
		return s;
	return lint_report(lint, QC_LINT_ERROR, absmax->stored_name,
			   lint_text(lint, "%llu NaN, %llu infinite, %llu negative of %llu",
				     (unsigned long long)c.nan, (unsigned long long)c.infinite,
				     (unsigned long long)c.negative, (unsigned long long)c.n),
			   "largest magnitudes");
}

struct table {
	float values[256];
	size_t n;
};

static void load_table(void *user, const uint8_t *bytes, size_t n)
{
	struct table *table = user;

	for (size_t i = 0; i + 4 <= n && table->n < 256; i += 4)
		table->values[table->n++] = qc_bits_f32(qc_le32(bytes + i));
}

/* A stored table against the one that kernels have; 1e-5: older versions rounded otherwise. */
static enum qc_status check_table(struct lint *lint, const struct lint_module *module,
				  enum lint_part part, const float *want, size_t n)
{
	const struct qc_tensor *tensor = lint_part(lint, module, part);
	struct table table = {.n = 0};
	enum qc_status s;

	if (!tensor || tensor->source->type != &qc_f32 || qc_tensor_elems(tensor) != n)
		return QC_OK;
	s = lint_each_part(lint, tensor, load_table, &table);
	for (size_t i = 0; !s && i < n; i++)
		if (!(fabsf(table.values[i] - want[i]) <= 1e-5f))
			return lint_report(
				lint, QC_LINT_ERROR, tensor->stored_name,
				lint_text(lint, "code %zu is %.9g", i, (double)table.values[i]),
				lint_text(lint, "%.9g", (double)want[i]));
	return s;
}

static enum qc_status check_tables(struct lint *lint, const struct lint_module *module)
{
	const struct qc_bnb4_kind *kind = module->part[PART_STATE_FP4] ? &qc_bnb_fp4 : &qc_bnb_nf4;
	enum qc_status s = check_table(lint, module, PART_QUANT_MAP, kind->map, 16);

	return s ? s : check_table(lint, module, PART_NESTED_QUANT_MAP, qc_bnb_dynamic_map, 256);
}

/* The kind is said twice: by the name of the state and in it. */
static enum qc_status check_kind(struct lint *lint, const struct lint_module *module)
{
	const char *by_name = module->part[PART_STATE_NF4] ? "nf4" : "fp4";
	struct qc_bnb_state state;
	bool ok;
	enum qc_status s;

	if (module->part[PART_STATE_NF4] && module->part[PART_STATE_FP4])
		return lint_report(lint, QC_LINT_ERROR, lint_module_subject(lint, module),
				   "two quant_states, nf4 and fp4", "one");
	s = load_state(lint, module, false, &state, &ok);
	if (s || !ok || !strcmp(state.quant_type, by_name))
		return s;
	return lint_report(lint, QC_LINT_ERROR, lint_module_subject(lint, module),
			   lint_text(lint, "quant_type %s in a quant_state named %s",
				     state.quant_type, by_name),
			   "the same");
}

/* Settings of config.json that describe what is stored; the tensors are what counts. */
static enum qc_status compare_flag(struct lint *lint, const char *key, bool have,
				   const char *tensor)
{
	qc_json_value value = qc_json_get(&lint->config.json, lint->config.quant, key);
	bool said;

	if (!qc_json_bool(&lint->config.json, value, &said) || said == have)
		return QC_OK;
	return lint_report(lint, QC_LINT_WARNING,
			   lint_text(lint, "config.json: quantization_config.%s", key),
			   said ? "true" : "false",
			   lint_text(lint, "%s, as '%.200s' is", have ? "true" : "false", tensor));
}

static enum qc_status check_config(struct lint *lint)
{
	const struct qc_json *json = &lint->config.json;
	qc_json_value type = qc_json_get(json, lint->config.quant, "bnb_4bit_quant_type");
	const struct lint_module *module = NULL;
	const char *kind;
	enum qc_status s = QC_OK;

	for (size_t i = 0; !module && i < lint->n_modules; i++)
		if (lint->modules[i].scheme == &lint_bnb4)
			module = &lint->modules[i];
	if (!module || !lint->config.quant)
		return QC_OK;
	kind = module->part[PART_STATE_FP4] ? "fp4" : "nf4";
	/* absent means fp4 */
	if (qc_json_type_of(json, type) == QC_JSON_STRING ? !qc_json_equals(json, type, kind)
							  : strcmp(kind, "fp4") != 0)
		s = lint_report(lint, QC_LINT_WARNING,
				"config.json: quantization_config.bnb_4bit_quant_type",
				"another kind than the tensors'",
				lint_text(lint, "%s, as '%.200s' is", kind, module->name));
	return s ? s
		 : compare_flag(lint, "bnb_4bit_use_double_quant",
				module->part[PART_NESTED_ABSMAX] != 0, module->name);
}

/* load_in_4bit and load_in_8bit decide which layers are made before any tensor is looked at. */
static enum qc_status check_bits(struct lint *lint, const struct lint_module *module)
{
	const struct qc_json *json = &lint->config.json;
	const bool four = module->scheme == &lint_bnb4;
	const char *key = four ? "load_in_4bit" : "load_in_8bit";
	bool said = false;

	if (!lint_config_method_is(lint, "bitsandbytes"))
		return QC_OK; /* another rule's */
	if (qc_json_bool(json, qc_json_get(json, lint->config.quant, key), &said) && said)
		return QC_OK;
	return lint_report(lint, QC_LINT_ERROR, lint_module_subject(lint, module),
			   lint_text(lint, "%s is not true in quantization_config", key), "true");
}

static bool is_bnb(const struct lint *lint, const struct lint_module *module)
{
	(void)lint;
	return module->scheme == &lint_bnb4 || module->scheme == &lint_bnb8;
}

const struct lint_rule lint_rules_bnb[] = {
	{
		.name = "bnb-absmax",
		.loader = "every loader multiplies with it: blocks of wrong sign, NaN or infinity",
		.check_module = check_absmax,
		.applies = is_bnb4,
	},
	{
		.name = "bnb-tables",
		.loader = "bitsandbytes' GPU kernels use their own table, not this one: other "
			  "weights on every device",
		.check_module = check_tables,
		.applies = is_bnb4,
	},
	{
		.name = "bnb-kind",
		.loader = "transformers and vLLM decode with the one or the other: nonsense",
		.check_module = check_kind,
		.applies = is_bnb4,
	},
	{
		.name = "bnb-bits",
		.loader = "transformers makes plain layers for it and fails",
		.check_module = check_bits,
		.applies = is_bnb,
	},
	{
		.name = "bnb-config",
		.loader = "transformers shows and saves again what config.json says, not what is "
			  "stored",
		.check = check_config,
	},
	{0},
};
