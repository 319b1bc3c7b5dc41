/*
 * Special tokens, add_bos/add_eos and chat templates: what a tokenizer needs beside its vocabulary.
 *
 * A special token's id is looked up by its text (tokenizer_config.json's "bos_token", ...): among
 * the added tokens of tokenizer.json, those of tokenizer_config.json, then the vocabulary's control
 * tokens. Types that have no text there take config.json's "bos_token_id" and so on; a list of ids
 * only when nothing else names one.
 */
#include "formats/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *type; /* "{type}_token" in tokenizer_config.json */
	const char *key;
} special_types[] = {
	{"bos", "tokenizer.ggml.bos_token_id"},	    {"eos", "tokenizer.ggml.eos_token_id"},
	{"unk", "tokenizer.ggml.unknown_token_id"}, {"sep", "tokenizer.ggml.seperator_token_id"},
	{"pad", "tokenizer.ggml.padding_token_id"}, {"cls", "tokenizer.ggml.cls_token_id"},
	{"mask", "tokenizer.ggml.mask_token_id"},
};
#define N_SPECIAL_TYPES (sizeof(special_types) / sizeof(special_types[0]))

struct special {
	struct qc_model *model;
	const struct qc_tokenizer_files *files;
	const struct qc_vocab *vocab;
	struct qc_arena scratch;
};

/* The text of "{type}_token": a string, or an object with "content"; *text stays NULL when there is
 * none. */
static enum qc_status special_text(struct special *special, const char *type, const char **text,
				   size_t *len, struct qc_err *err)
{
	const struct qc_json *json = &special->files->config;
	char name[32];
	qc_json_value value;

	snprintf(name, sizeof(name), "%s_token", type);
	value = qc_json_get(json, QC_JSON_ROOT, name);
	if (qc_json_type_of(json, value) == QC_JSON_OBJECT)
		value = qc_json_get(json, value, "content");
	*text = NULL;
	if (qc_json_type_of(json, value) != QC_JSON_STRING)
		return QC_OK;
	*text = qc_json_string(json, value, &special->scratch, len);
	return *text ? QC_OK : qc_no_memory(err);
}

static bool id_by_text(const struct special *special, const char *text, size_t len, uint64_t *id)
{
	const struct qc_json *json = &special->files->tokenizer;
	const struct qc_vocab *vocab = special->vocab;

	for (qc_json_value v = qc_json_first(json, qc_json_get(json, QC_JSON_ROOT, "added_tokens"));
	     v; v = qc_json_next(json, v))
		if (qc_json_equals(json, qc_json_get(json, v, "content"), text))
			return qc_json_u64(json, qc_json_get(json, v, "id"), id);
	json = &special->files->config;
	for (qc_json_value v =
		     qc_json_first(json, qc_json_get(json, QC_JSON_ROOT, "added_tokens_decoder"));
	     v; v = qc_json_next(json, v))
		if (qc_json_equals(json, qc_json_get(json, v, "content"), text))
			return qc_tokenizer_key_id(json, v, id);
	for (*id = 0; *id < vocab->n_tokens; ++*id) {
		const struct qc_token *token = &vocab->tokens[*id];

		if ((token->type == QC_TOKEN_CONTROL || token->type == QC_TOKEN_UNKNOWN) &&
		    token->len == len && !memcmp(token->text, text, len))
			return true;
	}
	return false;
}

/* config.json's id, at the root or in text_config; from a list its first. */
static bool id_in_config(const struct special *special, const char *type, bool from_list,
			 uint64_t *id)
{
	const struct qc_json *json = &special->model->config;
	const char *const prefixes[] = {"", "text_config."};

	for (size_t i = 0; i < 2; i++) {
		char path[64];
		qc_json_value value;

		snprintf(path, sizeof(path), "%s%s_token_id", prefixes[i], type);
		value = qc_json_path(json, QC_JSON_ROOT, path);
		if (from_list && qc_json_type_of(json, value) == QC_JSON_ARRAY)
			value = qc_json_first(json, value);
		if (qc_json_u64(json, value, id))
			return true;
	}
	return false;
}

static enum qc_status set_ids(struct special *special, struct qc_err *err)
{
	const uint32_t n = special->vocab->n_tokens;
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && i < N_SPECIAL_TYPES; i++) {
		const char *type = special_types[i].type, *text;
		size_t len;
		uint64_t id = n;

		s = special_text(special, type, &text, &len, err);
		if (s)
			return s;
		if ((text && id_by_text(special, text, len, &id) && id < n) ||
		    (id_in_config(special, type, false, &id) && id < n) ||
		    (id_in_config(special, type, true, &id) && id < n))
			s = qc_meta_set_u32(&special->model->meta, special_types[i].key,
					    (uint32_t)id, err);
	}
	return s;
}

/* The special token that is entry `first` or last of a TemplateProcessing's "single"; 0 when a text
 * is there. */
static qc_json_value template_end(const struct qc_json *json, qc_json_value processor, bool first)
{
	const qc_json_value single = qc_json_get(json, processor, "single");
	qc_json_value entry = 0;

	if (!qc_json_equals(json, qc_json_get(json, processor, "type"), "TemplateProcessing") ||
	    qc_json_count(json, single) < 2)
		return 0;
	for (qc_json_value v = qc_json_first(json, single); v;
	     v = first ? 0 : qc_json_next(json, v))
		entry = v;
	return qc_json_path(json, entry, "SpecialToken.id");
}

/* What the post-processor says of add_bos (`first`) or add_eos; *known stays false when it says
 * nothing. */
static enum qc_status template_flag(struct special *special, bool first, bool *flag, bool *known,
				    struct qc_err *err)
{
	const struct qc_json *json = &special->files->tokenizer;
	const qc_json_value post = qc_json_get(json, QC_JSON_ROOT, "post_processor");
	const qc_json_value steps = qc_json_get(json, post, "processors");
	const char *names[2];
	size_t len;
	enum qc_status s = special_text(special, first ? "bos" : "eos", &names[0], &len, err);

	if (!s)
		s = special_text(special, first ? "cls" : "sep", &names[1], &len, err);
	for (qc_json_value v = steps ? qc_json_first(json, steps) : post; !s && v;
	     v = steps ? qc_json_next(json, v) : 0) {
		const qc_json_value id = template_end(json, v, first);

		if (!id)
			continue;
		*known = true;
		/* without a tokenizer_config.json the token that is put there is the one */
		*flag = !special->files->config.n_nodes ||
			(names[0] && qc_json_equals(json, id, names[0])) ||
			(names[1] && qc_json_equals(json, id, names[1]));
	}
	return s;
}

static enum qc_status set_flags(struct special *special, struct qc_err *err)
{
	static const char *const types[] = {"bos", "eos", "sep"};
	const struct qc_json *json = &special->files->config;
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && i < 3; i++) {
		bool flag = false, known = false;
		char name[32], key[64];

		if (i < 2)
			s = template_flag(special, !i, &flag, &known, err);
		snprintf(name, sizeof(name), "add_%s_token", types[i]);
		snprintf(key, sizeof(key), "tokenizer.ggml.add_%s_token", types[i]);
		known |= qc_json_bool(json, qc_json_get(json, QC_JSON_ROOT, name), &flag);
		if (!s && known)
			s = qc_meta_set_bool(&special->model->meta, key, flag, err);
	}
	return s;
}

enum qc_status qc_tokenizer_special(struct qc_model *model, const struct qc_tokenizer_files *files,
				    const struct qc_vocab *vocab, struct qc_err *err)
{
	struct special special = {.model = model, .files = files, .vocab = vocab};
	enum qc_status s = set_ids(&special, err);

	if (!s)
		s = set_flags(&special, err);
	qc_arena_clear(&special.scratch);
	return s;
}

/* A key may hold letters and digits only; anything else in a template's name becomes '_'. */
static void clean_name(char *name)
{
	for (; *name; name++)
		if (!((*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') ||
		      (*name >= '0' && *name <= '9')))
			*name = '_';
}

/* [{"name", "template"}]: "default" is the chat template, the others get keys and a list of their
 * names. */
static enum qc_status set_named(struct qc_model *model, const struct qc_json *json,
				qc_json_value list, struct qc_arena *scratch, struct qc_err *err)
{
	struct qc_kv_builder names = {0};
	enum qc_status s = QC_OK;

	for (qc_json_value v = qc_json_first(json, list); !s && v; v = qc_json_next(json, v)) {
		const qc_json_value name_value = qc_json_get(json, v, "name");
		const qc_json_value text_value = qc_json_get(json, v, "template");
		char *name, *text, key[160];
		size_t name_len, len;

		if (qc_json_type_of(json, name_value) != QC_JSON_STRING ||
		    qc_json_type_of(json, text_value) != QC_JSON_STRING)
			continue;
		name = qc_json_string(json, name_value, scratch, &name_len);
		text = qc_json_string(json, text_value, scratch, &len);
		if (!name || !text) {
			s = qc_no_memory(err);
			break;
		}
		clean_name(name);
		name_len = strlen(name);
		if (!name_len || name_len > 100)
			continue;
		snprintf(key, sizeof(key), "tokenizer.chat_template%s%s",
			 strcmp(name, "default") ? "." : "", strcmp(name, "default") ? name : "");
		s = qc_meta_set_string(&model->meta, key, text, len, err);
		if (!s && strcmp(name, "default"))
			s = qc_kv_push_string(&names, name, name_len, err);
	}
	if (!s && names.n)
		s = qc_meta_set(&model->meta, "tokenizer.chat_templates", QC_KV_ARRAY, QC_KV_STRING,
				names.n, names.data, names.bytes, err);
	free(names.data);
	return s;
}

enum qc_status qc_tokenizer_template(struct qc_model *model, const struct qc_tokenizer_files *files,
				     struct qc_err *err)
{
	const struct qc_json *json = &files->config;
	qc_json_value value = qc_json_get(json, QC_JSON_ROOT, "chat_template");
	struct qc_arena scratch = {0};
	enum qc_status s = QC_OK;
	char *text;
	size_t len;

	if (qc_json_type_of(json, value) <= QC_JSON_NULL) {
		if (files->jinja)
			return qc_meta_set_string(&model->meta, "tokenizer.chat_template",
						  files->jinja, files->jinja_size, err);
		json = &files->template;
		value = qc_json_get(json, QC_JSON_ROOT, "chat_template");
	}
	if (qc_json_type_of(json, value) == QC_JSON_STRING) {
		text = qc_json_string(json, value, &scratch, &len);
		s = text ? qc_meta_set_string(&model->meta, "tokenizer.chat_template", text, len,
					      err)
			 : qc_no_memory(err);
	} else if (qc_json_type_of(json, value) == QC_JSON_ARRAY) {
		s = set_named(model, json, value, &scratch, err);
	}
	qc_arena_clear(&scratch);
	return s;
}
