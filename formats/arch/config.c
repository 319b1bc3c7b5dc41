/*
 * config.json: checked, matched to an architecture, and turned into metadata by the architecture's
 * key table.
 *
 * transformers fills absent fields from its configuration classes before llama.cpp's converter sees
 * them; published files rely on that, so the tables carry those defaults. Members of text_config
 * hide the root's, and null is absent.
 */
#include "formats/arch/arch.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* transformers' quantization methods, and ModelOpt's. Whether weights are quantized is decided by
 * the tensors. */
static const char *const quant_methods[] = {
	"aqlm", "auto-round", "awq",	  "bitnet",   "bitsandbytes", "compressed-tensors",
	"eetq", "fbgemm_fp8", "fp8",	  "fp_quant", "gptq",	      "higgs",
	"hqq",	"metal",      "modelopt", "mxfp4",    "quanto",	      "quark",
	"sinq", "spqr",	      "torchao",  "vptq",     NULL,
};

/* Print a value as it stands in the file, cut to what a message can hold. */
static const char *raw_text(const struct qc_model *model, qc_json_value value, char buf[48])
{
	size_t len;
	const char *raw = qc_json_raw(&model->config, value, &len);

	snprintf(buf, 48, "%.*s%s", len > 40 ? 40 : (int)len, raw, len > 40 ? "..." : "");
	return buf;
}

/* Walk `path` (its first `len` bytes) from the object `from`; 0 when something is missing or null.
 */
static qc_json_value walk(const struct qc_json *json, qc_json_value from, const char *path,
			  size_t len)
{
	while (from && len) {
		const char *dot = memchr(path, '.', len);
		const size_t n = dot ? (size_t)(dot - path) : len;
		char name[64];

		if (n >= sizeof(name))
			return 0;
		memcpy(name, path, n);
		name[n] = 0;
		from = qc_json_get(json, from, name);
		path += n + !!dot;
		len -= n + !!dot;
	}
	return qc_json_type_of(json, from) == QC_JSON_NULL ? 0 : from;
}

/* As `walk`, from text_config if it has a member of the path's first name, else from the root. */
static qc_json_value config_walk(const struct qc_model *model, const char *path, size_t len)
{
	const struct qc_json *json = &model->config;
	const char *dot = memchr(path, '.', len);
	char name[64];
	const size_t n = dot ? (size_t)(dot - path) : len;
	qc_json_value text;

	if (!json->n_nodes || n >= sizeof(name))
		return 0;
	memcpy(name, path, n);
	name[n] = 0;
	text = qc_json_get(json, QC_JSON_ROOT, "text_config");
	if (text && qc_json_get(json, text, name))
		return walk(json, text, path, len);
	return walk(json, QC_JSON_ROOT, path, len);
}

qc_json_value qc_config_get(const struct qc_model *model, const char *path)
{
	return config_walk(model, path, strlen(path));
}

/* The first of "a|b.c" that is present; *name, *len: which. */
static qc_json_value config_first(const struct qc_model *model, const char *paths,
				  const char **name, int *len)
{
	for (const char *at = paths;; at++) {
		const size_t n = strcspn(at, "|");
		qc_json_value value = config_walk(model, at, n);

		*name = at;
		*len = (int)n;
		at += n;
		if (value || !*at)
			return value;
	}
}

enum qc_status qc_config_number(const struct qc_model *model, const char *paths, bool integer,
				double fallback, double min, double max, double *out,
				struct qc_err *err)
{
	const char *name;
	int len;
	const qc_json_value value = config_first(model, paths, &name, &len);
	char raw[48];
	double number;
	int64_t whole;

	if (!value) {
		*out = fallback;
		return QC_OK;
	}
	raw_text(model, value, raw);
	if (!qc_json_f64(&model->config, value, &number))
		return qc_fail(err, QC_BAD_INPUT, "'%.*s' is %s, a number is needed", len, name,
			       raw);
	if (integer && number >= min && number <= max &&
	    !qc_json_i64(&model->config, value, &whole))
		return qc_fail(err, QC_BAD_INPUT, "'%.*s' is %s, an integer is needed", len, name,
			       raw);
	if (!(number >= min && number <= max))
		return qc_fail(err, QC_BAD_INPUT, "'%.*s' is %s, allowed is %.10g to %.10g", len,
			       name, raw, min, max);
	*out = number;
	return QC_OK;
}

enum qc_status qc_config_expect(const struct qc_model *model, const char *path, const char *allowed,
				struct qc_err *err)
{
	const char *name;
	int len;
	const qc_json_value value = config_first(model, path, &name, &len);
	char word[48], raw[48];

	if (!value)
		return QC_OK;
	for (const char *at = allowed; *at; at += strcspn(at, "|"), at += *at == '|') {
		snprintf(word, sizeof(word), "%.*s", (int)strcspn(at, "|"), at);
		if (qc_json_equals(&model->config, value, word))
			return QC_OK;
	}
	return qc_fail(err, QC_UNSUPPORTED, "'%.*s' is %s, GGUF's %s computes %s only", len, name,
		       raw_text(model, value, raw), model->arch->name, allowed);
}

/* One of {bos,eos,pad}_token_id: an id, a list of them, or -1 for none. Padding beyond the
 * vocabulary exists (and is ignored by llama.cpp); a begin or an end there means that config.json
 * is another model's. */
static enum qc_status check_token_id(const struct qc_model *model, qc_json_value object,
				     const char *key, bool in_vocab, struct qc_err *err)
{
	const struct qc_json *json = &model->config;
	const uint32_t n_vocab = qc_arch_vocab_size(model);
	qc_json_value value = qc_json_get(json, object, key), last = value;
	int64_t id;
	char raw[48];

	if (qc_json_type_of(json, value) == QC_JSON_ARRAY) {
		value = qc_json_first(json, value);
		last = 0;
	}
	for (; value; value = last ? 0 : qc_json_next(json, value)) {
		if (qc_json_type_of(json, value) == QC_JSON_NULL)
			continue;
		if (!qc_json_i64(json, value, &id) || id < -1)
			return qc_fail(err, QC_BAD_INPUT, "'%s' is %s, a token id is needed", key,
				       raw_text(model, value, raw));
		if (in_vocab && id >= (int64_t)n_vocab)
			return qc_fail(err, QC_BAD_INPUT, "'%s' is %s, but vocab_size is %u", key,
				       raw_text(model, value, raw), n_vocab);
	}
	return QC_OK;
}

static enum qc_status check_token_ids(const struct qc_model *model, struct qc_err *err)
{
	const qc_json_value objects[] = {QC_JSON_ROOT,
					 qc_json_get(&model->config, QC_JSON_ROOT, "text_config")};
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && i < 2; i++) {
		s = check_token_id(model, objects[i], "bos_token_id", true, err);
		if (!s)
			s = check_token_id(model, objects[i], "eos_token_id", true, err);
		if (!s)
			s = check_token_id(model, objects[i], "pad_token_id", false, err);
	}
	return s;
}

/* What every quantization_config must be, whatever the tensors turn out to hold. */
static enum qc_status check_quantization(const struct qc_model *model, struct qc_err *err)
{
	const struct qc_json *json = &model->config;
	const qc_json_value config = qc_config_get(model, "quantization_config");
	const qc_json_value method = qc_config_get(model, "quantization_config.quant_method");
	bool four = false, eight = false;
	const char *const *known = quant_methods;
	char raw[48];

	if (config && qc_json_type_of(json, config) != QC_JSON_OBJECT)
		return qc_fail(err, QC_BAD_INPUT,
			       "'quantization_config' is %s, an object is needed",
			       qc_json_type_name(qc_json_type_of(json, config)));
	while (method && *known && !qc_json_equals(json, method, *known))
		known++;
	if (!*known)
		return qc_fail(err, QC_UNSUPPORTED, "quant_method %s is not known",
			       raw_text(model, method, raw));
	(void)(qc_json_bool(json, qc_config_get(model, "quantization_config.load_in_4bit"),
			    &four) &&
	       qc_json_bool(json, qc_config_get(model, "quantization_config.load_in_8bit"),
			    &eight));
	if (four && eight)
		return qc_fail(err, QC_BAD_INPUT,
			       "quantization_config has both load_in_4bit and load_in_8bit");
	return QC_OK;
}

static bool value_in_list(const struct qc_json *json, qc_json_value value, const char *const *list)
{
	while (*list && !qc_json_equals(json, value, *list))
		list++;
	return *list;
}

/* Set model->arch by architectures[0] or, when there is no such list, by model_type. */
static enum qc_status choose_arch(struct qc_model *model, struct qc_err *err)
{
	const struct qc_json *json = &model->config;
	const qc_json_value list = walk(json, QC_JSON_ROOT, "architectures", 13);
	const qc_json_value type = walk(json, QC_JSON_ROOT, "model_type", 10);
	const qc_json_value class = qc_json_first(json, list);
	char raw[48];

	if (list && qc_json_type_of(json, list) != QC_JSON_ARRAY)
		return qc_fail(err, QC_BAD_INPUT, "'architectures' is %s, an array is needed",
			       qc_json_type_name(qc_json_type_of(json, list)));
	if (list && qc_json_type_of(json, class) != QC_JSON_STRING)
		return qc_fail(err, QC_BAD_INPUT, "'architectures' is %s, a class name is needed",
			       raw_text(model, list, raw));
	if (type && qc_json_type_of(json, type) != QC_JSON_STRING)
		return qc_fail(err, QC_BAD_INPUT, "'model_type' is %s, a string is needed",
			       raw_text(model, type, raw));
	for (const struct qc_arch *const *a = qc_archs; *a && !model->arch; a++)
		if (list ? value_in_list(json, class, (*a)->hf_classes)
			 : value_in_list(json, type, (*a)->model_types))
			model->arch = *a;
	if (model->arch)
		return QC_OK;
	if (list || type)
		model->arch_note = qc_arena_printf(
			&model->arena, "%s %s of config.json is not known: a plain bag of tensors",
			list ? "architecture" : "model_type",
			raw_text(model, list ? class : type, raw));
	else
		model->arch_note = "config.json names no architecture: a plain bag of tensors";
	return model->arch_note ? QC_OK : qc_no_memory(err);
}

static enum qc_status write_key(struct qc_model *model, const struct qc_arch_key *row,
				struct qc_err *err)
{
	const struct qc_hparam *hparam = row->hparam;
	const bool integer = hparam->type == QC_KV_U32;
	char name[96];
	double number;
	enum qc_status s = qc_config_number(model, row->paths, integer, row->fallback, hparam->min,
					    hparam->max, &number, err);

	if (s || isnan(number))
		return s;
	qc_arch_key_name(model, hparam->key, name);
	return integer ? qc_meta_set_u32(&model->meta, name, (uint32_t)number, err)
		       : qc_meta_set_f32(&model->meta, name, (float)number, err);
}

/* What holds for every architecture: whole heads, heads in whole groups, a vocabulary. */
static enum qc_status check_sizes(const struct qc_model *model, struct qc_err *err)
{
	const uint32_t width = qc_arch_u32(model, "{a}.embedding_length", 0);
	const uint32_t heads = qc_arch_u32(model, "{a}.attention.head_count", 1);
	const uint32_t heads_kv = qc_arch_u32(model, "{a}.attention.head_count_kv", 1);
	double n_vocab;

	if (!qc_arch_u32(model, "{a}.attention.key_length", 0) && width % heads)
		return qc_fail(err, QC_BAD_INPUT,
			       "hidden_size %u is not a multiple of num_attention_heads %u", width,
			       heads);
	if (heads % heads_kv)
		return qc_fail(err, QC_BAD_INPUT,
			       "num_attention_heads %u is not a multiple of "
			       "num_key_value_heads %u",
			       heads, heads_kv);
	return qc_config_number(model, "vocab_size", true, model->arch->vocab_size, 1, 1 << 24,
				&n_vocab, err);
}

enum qc_status qc_arch_from_config(struct qc_model *model, char *text, size_t size,
				   struct qc_err *err)
{
	enum qc_status s;

	model->config_text = text;
	s = qc_json_parse(&model->config, text, size, QC_JSON_ALLOW_NAN, err);
	if (s)
		return s;
	if (qc_json_type_of(&model->config, QC_JSON_ROOT) != QC_JSON_OBJECT)
		return qc_fail(err, QC_BAD_INPUT, "the file is %s, an object is needed",
			       qc_json_type_name(qc_json_type_of(&model->config, QC_JSON_ROOT)));
	s = choose_arch(model, err);
	if (!s)
		s = check_quantization(model, err);
	if (!s && !model->arch) {
		model->layout = QC_LAYOUT_PLAIN;
		return QC_OK;
	}
	model->layout = QC_LAYOUT_HF;
	if (!s)
		s = qc_arch_general(model, err);
	for (const struct qc_arch_key *row = s ? NULL : model->arch->keys; !s && row->hparam; row++)
		s = write_key(model, row, err);
	if (!s)
		s = check_sizes(model, err);
	if (!s)
		s = check_token_ids(model, err);
	if (!s)
		s = qc_arch_rope_keys(model, err);
	if (!s && model->arch->finish)
		s = model->arch->finish(model, err);
	return s;
}
