#include "formats/arch/config_back.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_out.h"
#include "base/text.h"
#include "formats/layout_back.h"

bool qc_config_has(const struct qc_config_out *out, const char *name)
{
	for (size_t i = 0; i < out->n; i++)
		if (!strcmp(out->members[i].name, name))
			return true;
	return false;
}

/* `text` in the arena, NULL when memory is out. */
static void put_member(struct qc_config_out *out, const char *name, const char *text)
{
	const char *own = text ? qc_arena_copy(out->arena, name, strlen(name)) : NULL;

	if (!own || out->n == QC_CONFIG_MEMBERS) {
		out->out_of_memory = true;
		return;
	}
	out->members[out->n].name = own;
	out->members[out->n++].text = text;
}

void qc_config_put(struct qc_config_out *out, const char *name, const char *format, ...)
{
	char *text = NULL;
	va_list args;

	if (qc_config_has(out, name))
		return;
	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	put_member(out, name, text ? qc_arena_copy(out->arena, text, strlen(text)) : NULL);
	free(text);
}

void qc_config_put_u32(struct qc_config_out *out, const char *name, uint32_t value)
{
	qc_config_put(out, name, "%u", value);
}

void qc_config_put_f32(struct qc_config_out *out, const char *name, float value)
{
	char text[32];

	qc_json_float_text(value, text);
	qc_config_put(out, name, "%s", text);
}

void qc_config_put_bool(struct qc_config_out *out, const char *name, bool value)
{
	qc_config_put(out, name, "%s", value ? "true" : "false");
}

void qc_config_put_string(struct qc_config_out *out, const char *name, const char *text, size_t len)
{
	char *quoted = NULL;
	size_t size;
	FILE *stream;

	if (qc_config_has(out, name))
		return;
	stream = open_memstream(&quoted, &size);
	if (stream) {
		qc_json_print_string(stream, text, len);
		if (fclose(stream)) {
			free(quoted);
			quoted = NULL;
		}
	}
	put_member(out, name, quoted ? qc_arena_copy(out->arena, quoted, strlen(quoted)) : NULL);
	free(quoted);
}

void qc_config_copy_u32(struct qc_config_out *out, const char *name, const char *key)
{
	const struct qc_model *model = out->model;
	uint32_t value;
	char full[96];

	if (qc_meta_u32(&model->meta, qc_arch_key_name(model, key, full), &value))
		qc_config_put_u32(out, name, value);
}

void qc_config_copy_f32(struct qc_config_out *out, const char *name, const char *key)
{
	const struct qc_model *model = out->model;
	char full[96];
	float value;

	if (qc_meta_f32(&model->meta, qc_arch_key_name(model, key, full), &value))
		qc_config_put_f32(out, name, value);
}

void qc_config_put_layer_types(struct qc_config_out *out,
			       bool (*is_sliding)(const struct qc_model *model, uint32_t layer))
{
	const uint32_t n = qc_arch_u32(out->model, "{a}.block_count", 0);
	char *text = NULL;
	size_t size;
	FILE *stream = open_memstream(&text, &size);

	for (uint32_t i = 0; stream && i < n && i < QC_MAX_LAYERS; i++)
		fprintf(stream, "%s\n    \"%s_attention\"", i ? "," : "[",
			is_sliding(out->model, i) ? "sliding" : "full");
	if (stream)
		fputs(n ? "\n  ]" : "[]", stream);
	if (stream && fclose(stream)) {
		free(text);
		text = NULL;
	}
	if (text)
		qc_config_put(out, "layer_types", "%s", text);
	else
		out->out_of_memory = true;
	free(text);
}

bool qc_config_has_tensor(const struct qc_config_out *out, const char *pattern)
{
	const char *name = qc_arch_block_name(out->arena, pattern, 0);

	return name && qc_model_find(out->model, name);
}

/* The first of a row's paths, its own member or one of an object: only the former can be put. */
static bool first_path(const struct qc_arch_key *row, char name[64])
{
	const size_t n = strcspn(row->paths, "|");

	if (n >= 64 || memchr(row->paths, '.', n))
		return false;
	memcpy(name, row->paths, n);
	name[n] = 0;
	return true;
}

/* What llama.cpp computes with when the key is not there, where that is no constant. */
static void put_default(struct qc_config_out *out, const struct qc_arch_key *row, const char *name)
{
	if (isnan(row->fallback))
		return;
	if (row->hparam == &qc_head_count_kv)
		qc_config_copy_u32(out, name, "{a}.attention.head_count");
	else if (row->hparam == &qc_key_length || row->hparam == &qc_value_length)
		qc_config_put_u32(out, name, qc_arch_head_size(out->model));
}

/* Some path of the row is among the first `n_own` members, the architecture's own. */
static bool is_said(const struct qc_config_out *out, const struct qc_arch_key *row, size_t n_own)
{
	for (const char *at = row->paths; *at; at += *at == '|') {
		const size_t n = strcspn(at, "|");

		for (size_t i = 0; i < n_own; i++)
			if (strlen(out->members[i].name) == n &&
			    !memcmp(out->members[i].name, at, n))
				return true;
		at += n;
	}
	return false;
}

static void put_keys(struct qc_config_out *out)
{
	const struct qc_model *model = out->model;
	const size_t n_own = out->n;

	for (const struct qc_arch_key *row = model->arch->keys; row->hparam; row++) {
		char name[64], key[96];

		if (is_said(out, row, n_own) || !first_path(row, name))
			continue;
		qc_arch_key_name(model, row->hparam->key, key);
		if (row->hparam->type == QC_KV_U32)
			qc_config_copy_u32(out, name, row->hparam->key);
		else if (row->hparam->type == QC_KV_F32)
			qc_config_copy_f32(out, name, row->hparam->key);
		if (!qc_meta_find(&model->meta, key))
			put_default(out, row, name);
	}
}

/* tokenizer.ggml.*_token_id, for those that transformers has in config.json. */
static void put_tokens(struct qc_config_out *out)
{
	static const char *const rows[][2] = {
		{"bos_token_id", "tokenizer.ggml.bos_token_id"},
		{"eos_token_id", "tokenizer.ggml.eos_token_id"},
		{"pad_token_id", "tokenizer.ggml.padding_token_id"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		qc_config_copy_u32(out, rows[i][0], rows[i][1]);
}

/* general.name as a name of a repository: hyphens for spaces where arch/general.c makes the same
 * name of it. */
static void put_name(struct qc_config_out *out)
{
	const char *text;
	size_t len;
	char *name;

	if (!qc_meta_string(&out->model->meta, "general.name", &text, &len) || !len)
		return;
	name = qc_arena_copy(out->arena, text, len);
	for (size_t i = 0; name && i < len; i++)
		name[i] = (char)(name[i] == ' ' ? '-' : name[i]);
	if (name)
		qc_config_put_string(out, "_name_or_path", name, len);
	else
		out->out_of_memory = true;
}

static void put_dtype(struct qc_config_out *out)
{
	static const char *const names[][2] = {
		{"bf16", "bfloat16"}, {"f16", "float16"}, {"f32", "float32"}, {"f64", "float64"}};
	const char *type = qc_layout_back_dtype(out->model)->name;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(type, names[i][0]))
			qc_config_put_string(out, "torch_dtype", names[i][1], strlen(names[i][1]));
}

static enum qc_status print_members(struct qc_config_out *out, const char **text, size_t *size,
				    struct qc_err *err)
{
	char *printed = NULL;
	struct qc_json_out json = {.file = open_memstream(&printed, size)};
	bool failed = out->out_of_memory;

	if (!json.file)
		return qc_no_memory(err);
	qsort(out->members, out->n, sizeof(out->members[0]), qc_text_order);
	qc_json_out_begin(&json, NULL, '{');
	for (size_t i = 0; i < out->n; i++)
		qc_json_out_raw(&json, out->members[i].name, out->members[i].text);
	qc_json_out_end(&json, '}');
	failed = ferror(json.file) || failed;
	failed = fclose(json.file) || failed;
	*text = failed ? NULL : qc_arena_copy(out->arena, printed, *size);
	free(printed);
	return *text ? QC_OK : qc_no_memory(err);
}

static uint64_t count_vocab(const struct qc_model *model)
{
	const struct qc_kv *tokens = qc_meta_find(&model->meta, "tokenizer.ggml.tokens");
	const struct qc_tensor *embedding = qc_model_find(model, "token_embd.weight");

	if (tokens)
		return tokens->n;
	return embedding && embedding->n_dims == 2 ? embedding->dims[1] : 0;
}

enum qc_status qc_arch_config_text(const struct qc_model *model, struct qc_arena *arena,
				   const float *freqs, uint64_t n_freqs, const char **text,
				   size_t *size, struct qc_err *err)
{
	struct qc_config_out *out = calloc(1, sizeof(*out));
	enum qc_status s = QC_OK;

	if (!out)
		return qc_no_memory(err);
	out->model = model;
	out->arena = arena;
	out->freqs = freqs;
	out->n_freqs = n_freqs;
	out->n_vocab = count_vocab(model);
	out->tied = !qc_model_find(model, "output.weight");
	if (model->arch->config)
		s = model->arch->config(out, err);
	qc_config_put(out, "architectures", "[\n    \"%s\"\n  ]", model->arch->hf_classes[0]);
	qc_config_put(out, "model_type", "\"%s\"", model->arch->model_types[0]);
	if (out->n_vocab) /* the embedding has a row for each token, whatever {a}.vocab_size says */
		qc_config_put(out, "vocab_size", "%llu", (unsigned long long)out->n_vocab);
	put_keys(out);
	put_tokens(out);
	put_name(out);
	put_dtype(out);
	qc_config_put_bool(out, "tie_word_embeddings", out->tied);
	qc_config_put_bool(out, "use_cache", true);
	if (!s)
		s = qc_config_put_rope(out, err);
	if (!s)
		s = print_members(out, text, size, err);
	free(out);
	return s;
}
