/*
 * adapter_config.json: what of it changes the mathematics of a merge, and what does not.
 *
 * PEFT adds fields with nearly every release. Those that we know to matter are read or refused,
 * those that only guided the training are passed over; a field that we do not know is fine as long
 * as it is not set (null, false, 0, empty).
 */
#include "formats/lora.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"

#define MAX_RANK 65536

enum field_kind {
	FIELD_PASSED_OVER = 0, /* says how the adapter was trained, found or loaded */
	FIELD_READ,	       /* by parse_fields() */
	FIELD_UNSET,	       /* changes the mathematics in a way that qconv does not do */
};

static const struct {
	const char *name;
	enum field_kind kind;
} fields[] = {
	{"r", FIELD_READ},
	{"lora_alpha", FIELD_READ},
	{"use_rslora", FIELD_READ},
	{"use_dora", FIELD_READ},
	{"fan_in_fan_out", FIELD_READ},
	{"lora_bias", FIELD_READ},
	{"ensure_weight_tying", FIELD_READ},
	{"rank_pattern", FIELD_READ},
	{"alpha_pattern", FIELD_READ},
	{"target_parameters", FIELD_READ},
	{"init_lora_weights", FIELD_READ},
	{"peft_type", FIELD_READ},
	{"layer_replication", FIELD_UNSET},
	{"use_qalora", FIELD_UNSET},
	{"alora_invocation_tokens", FIELD_UNSET},
	{"trainable_token_indices", FIELD_UNSET},
	{"use_bdlora", FIELD_UNSET},
	{"arrow_config", FIELD_UNSET},
	{"kasa_config", FIELD_UNSET},
	{"monteclora_config", FIELD_UNSET},
	{"bias", FIELD_PASSED_OVER}, /* the tensors tell */
	{"modules_to_save", FIELD_PASSED_OVER},
	{"target_modules", FIELD_PASSED_OVER},
	{"exclude_modules", FIELD_PASSED_OVER},
	{"layers_to_transform", FIELD_PASSED_OVER},
	{"layers_pattern", FIELD_PASSED_OVER},
	{"auto_mapping", FIELD_PASSED_OVER},
	{"base_model_name_or_path", FIELD_PASSED_OVER},
	{"revision", FIELD_PASSED_OVER},
	{"peft_version", FIELD_PASSED_OVER},
	{"task_type", FIELD_PASSED_OVER},
	{"inference_mode", FIELD_PASSED_OVER},
	{"lora_dropout", FIELD_PASSED_OVER},
	{"megatron_config", FIELD_PASSED_OVER},
	{"megatron_core", FIELD_PASSED_OVER},
	{"loftq_config", FIELD_PASSED_OVER}, /* matters with init_lora_weights alone */
	{"eva_config", FIELD_PASSED_OVER},
	{"corda_config", FIELD_PASSED_OVER},
	{"lora_ga_config", FIELD_PASSED_OVER},
	{"velora_config", FIELD_PASSED_OVER}, /* another backward pass */
	{"qalora_group_size", FIELD_PASSED_OVER},
	{"runtime_config", FIELD_PASSED_OVER},
};

/* Ways to begin the training that left the base model as it was. */
static const char *const harmless_starts[] = {"gaussian", "eva", "orthogonal", "mica", NULL};

struct parser {
	struct qc_lora_config *config;
	struct qc_json json;
	struct qc_err *err;
};

static qc_json_value get(const struct parser *p, const char *name)
{
	const qc_json_value value = qc_json_get(&p->json, QC_JSON_ROOT, name);

	return qc_json_type_of(&p->json, value) == QC_JSON_NULL ? 0 : value;
}

static enum qc_status wrong_type(const struct parser *p, const char *name, qc_json_value value,
				 const char *wanted)
{
	return qc_fail(p->err, QC_BAD_INPUT, "'%.80s' is %s, %s is needed", name,
		       qc_json_type_name(qc_json_type_of(&p->json, value)), wanted);
}

static bool is_set(const struct parser *p, qc_json_value value)
{
	double number;

	switch (qc_json_type_of(&p->json, value)) {
	case QC_JSON_ABSENT:
	case QC_JSON_NULL:
	case QC_JSON_FALSE:
		return false;
	case QC_JSON_NUMBER:
		return !qc_json_f64(&p->json, value, &number) || number != 0;
	case QC_JSON_STRING:
		return !qc_json_equals(&p->json, value, "");
	case QC_JSON_ARRAY:
	case QC_JSON_OBJECT:
		return qc_json_count(&p->json, value) > 0;
	case QC_JSON_TRUE:
		break;
	}
	return true;
}

/* Every member is one that we know, or is not set. */
static enum qc_status check_fields(struct parser *p)
{
	const size_t n = sizeof(fields) / sizeof(fields[0]);

	for (qc_json_value v = qc_json_first(&p->json, QC_JSON_ROOT); v;
	     v = qc_json_next(&p->json, v)) {
		const char *name;
		size_t i = 0;

		while (i < n && !qc_json_key_equals(&p->json, v, fields[i].name))
			i++;
		if ((i < n && fields[i].kind != FIELD_UNSET) || !is_set(p, v))
			continue;
		name = qc_json_key(&p->json, v, &p->config->arena, NULL);
		if (!name)
			return qc_no_memory(p->err);
		if (i < n)
			return qc_fail(p->err, QC_UNSUPPORTED,
				       "'%.80s' is set: such an adapter is no sum of the base and "
				       "B A, qconv cannot merge it",
				       name);
		return qc_fail(p->err, QC_UNSUPPORTED,
			       "the field '%.80s' is set, and qconv does not know what it does to "
			       "the weights",
			       name);
	}
	return QC_OK;
}

static enum qc_status parse_bool(struct parser *p, const char *name, bool *out)
{
	const qc_json_value value = get(p, name);

	if (!value || qc_json_bool(&p->json, value, out))
		return QC_OK;
	return wrong_type(p, name, value, "true or false");
}

/* A finite number; a rank is a whole one from 1. */
static enum qc_status parse_number(struct parser *p, const char *name, qc_json_value value,
				   bool is_rank, double *out)
{
	double number;

	if (!qc_json_f64(&p->json, value, &number))
		return wrong_type(p, name, value, "a number");
	if (is_rank && !(number >= 1 && number <= MAX_RANK && number == floor(number)))
		return qc_fail(p->err, QC_BAD_INPUT,
			       "'%.80s' is %g, a rank is a whole number from 1 to %d", name, number,
			       MAX_RANK);
	if (!(fabs(number) <= 1e30))
		return qc_fail(p->err, QC_BAD_INPUT, "'%.80s' is %g", name, number);
	*out = number;
	return QC_OK;
}

static enum qc_status parse_pattern(struct parser *p, const char *name, bool is_rank,
				    struct qc_lora_patterns *patterns)
{
	struct qc_arena *arena = &p->config->arena;
	const qc_json_value object = get(p, name);
	enum qc_status s = QC_OK;

	if (object && qc_json_type_of(&p->json, object) != QC_JSON_OBJECT)
		return wrong_type(p, name, object, "an object");
	for (qc_json_value v = qc_json_first(&p->json, object); v && !s;
	     v = qc_json_next(&p->json, v)) {
		size_t len;
		const char *key = qc_json_key(&p->json, v, arena, &len);
		double value = 0;

		if (!key)
			return qc_no_memory(p->err);
		if (strlen(key) != len)
			return qc_fail(p->err, QC_BAD_INPUT, "'%s': a key holds a NUL", name);
		s = parse_number(p, name, v, is_rank, &value);
		if (!s)
			s = qc_lora_patterns_add(patterns, arena, key, value, p->err);
	}
	return s ? qc_fail_in(p->err, "'%s'", name) : QC_OK;
}

static enum qc_status parse_parameters(struct parser *p)
{
	static const char name[] = "target_parameters";
	struct qc_lora_config *config = p->config;
	const qc_json_value list = get(p, name);

	if (list && qc_json_type_of(&p->json, list) != QC_JSON_ARRAY)
		return wrong_type(p, name, list, "an array");
	config->parameters =
		qc_arena_array(&config->arena, (uint64_t)qc_json_count(&p->json, list) + 1,
			       sizeof(*config->parameters));
	if (!config->parameters)
		return qc_no_memory(p->err);
	for (qc_json_value v = qc_json_first(&p->json, list); v; v = qc_json_next(&p->json, v)) {
		const char *text;

		if (qc_json_type_of(&p->json, v) != QC_JSON_STRING)
			return wrong_type(p, name, v, "an array of strings");
		text = qc_json_string(&p->json, v, &config->arena, NULL);
		if (!text)
			return qc_no_memory(p->err);
		config->parameters[config->n_parameters++] = text;
	}
	return QC_OK;
}

/* PiSSA, OLoRA, CorDA, LoRA-GA and LoftQ take something out of the base model before the training:
 * an adapter that was not converted back when saved does not fit the base that the user has. */
static enum qc_status check_start(struct parser *p)
{
	static const char name[] = "init_lora_weights";
	const qc_json_value value = get(p, name);
	const char *text;
	bool flag;

	if (!value || qc_json_bool(&p->json, value, &flag))
		return QC_OK;
	if (qc_json_type_of(&p->json, value) != QC_JSON_STRING)
		return wrong_type(p, name, value, "a string, true or false");
	text = qc_json_string(&p->json, value, &p->config->arena, NULL);
	if (!text)
		return qc_no_memory(p->err);
	for (const char *const *h = harmless_starts; *h; h++)
		if (!strcasecmp(text, *h))
			return QC_OK;
	return qc_fail(p->err, QC_UNSUPPORTED,
		       "'%s' is '%.80s': the adapter belongs to a base model that was changed when "
		       "training began; save it with path_initial_model_for_weight_conversion",
		       name, text);
}

static enum qc_status check_method(struct parser *p)
{
	const qc_json_value value = get(p, "peft_type");
	const char *text;

	if (qc_json_type_of(&p->json, value) != QC_JSON_STRING)
		return wrong_type(p, "peft_type", value, "a string");
	if (qc_json_equals(&p->json, value, "LORA"))
		return QC_OK;
	text = qc_json_string(&p->json, value, &p->config->arena, NULL);
	return text ? qc_fail(p->err, QC_UNSUPPORTED,
			      "'peft_type' is '%.80s': only LORA adapters can be read", text)
		    : qc_no_memory(p->err);
}

static enum qc_status parse_fields(struct parser *p)
{
	struct qc_lora_config *config = p->config;
	qc_json_value value;
	enum qc_status s = check_method(p);

	config->r = config->alpha = 8; /* LoraConfig's defaults */
	if (!s)
		s = check_start(p);
	if (!s && (value = get(p, "r")))
		s = parse_number(p, "r", value, true, &config->r);
	if (!s && (value = get(p, "lora_alpha")))
		s = parse_number(p, "lora_alpha", value, false, &config->alpha);
	if (!s)
		s = parse_bool(p, "use_rslora", &config->use_rslora);
	if (!s)
		s = parse_bool(p, "use_dora", &config->use_dora);
	if (!s)
		s = parse_bool(p, "fan_in_fan_out", &config->fan_in_fan_out);
	if (!s)
		s = parse_bool(p, "lora_bias", &config->lora_bias);
	if (!s)
		s = parse_bool(p, "ensure_weight_tying", &config->ensure_weight_tying);
	if (!s)
		s = parse_pattern(p, "rank_pattern", true, &config->rank);
	if (!s)
		s = parse_pattern(p, "alpha_pattern", false, &config->alphas);
	return s ? s : parse_parameters(p);
}

enum qc_status qc_lora_config_parse(struct qc_lora_config *config, const char *text, size_t size,
				    struct qc_err *err)
{
	struct parser p = {.config = config, .err = err};
	enum qc_status s;

	*config = (struct qc_lora_config){0};
	s = qc_json_parse(&p.json, text, size, QC_JSON_ALLOW_NAN, err);
	if (!s && qc_json_type_of(&p.json, QC_JSON_ROOT) != QC_JSON_OBJECT)
		s = qc_fail(err, QC_BAD_INPUT, "not an object");
	if (!s)
		s = check_fields(&p);
	if (!s)
		s = parse_fields(&p);
	qc_json_clear(&p.json);
	if (s)
		qc_lora_config_clear(config);
	return s;
}

void qc_lora_config_clear(struct qc_lora_config *config)
{
	qc_lora_patterns_clear(&config->rank);
	qc_lora_patterns_clear(&config->alphas);
	qc_arena_clear(&config->arena);
	*config = (struct qc_lora_config){0};
}

double qc_lora_config_rank(const struct qc_lora_config *config, const char *path)
{
	const double *value = qc_lora_patterns_match(&config->rank, path);

	return value ? *value : config->r;
}

double qc_lora_config_alpha(const struct qc_lora_config *config, const char *path)
{
	const double *value = qc_lora_patterns_match(&config->alphas, path);

	return value ? *value : config->alpha;
}
