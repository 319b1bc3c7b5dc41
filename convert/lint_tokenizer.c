/* Lint: the tokenizer in a GGUF file, by what llama.cpp does without each key (llama-vocab.cpp). */
#include <string.h>

#include "convert/lint_rules.h"

#define KEY(name) "tokenizer.ggml." name

static bool model_is(const struct lint *lint, const char *const *names)
{
	const char *model;
	size_t len;

	if (!lint_is_gguf_model(lint) ||
	    !qc_meta_string(&lint->model.meta, KEY("model"), &model, &len))
		return false;
	for (; *names; names++)
		if (strlen(*names) == len && !memcmp(*names, model, len))
			return true;
	return false;
}

static const char *const without[] = {"no_vocab", "none", NULL};
static const char *const bpe[] = {"gpt2", "gemma4", "hybriddna", "whitespace", NULL};
static const char *const by_pre[] = {"gpt2", "hybriddna", "whitespace", NULL};
static const char *const sentencepiece[] = {"llama", NULL};
static const char *const others[] = {"bert", "t5", "rwkv", "plamo2", NULL};

static uint64_t count(const struct lint *lint, const char *key)
{
	const struct qc_kv *kv = qc_meta_find(&lint->model.meta, key);

	return kv && kv->type == QC_KV_ARRAY ? kv->n : 0;
}

static enum qc_status missing(struct lint *lint, const char *key, enum qc_severity severity,
			      const char *expected)
{
	return lint_report(lint, severity, key, "no such key", expected);
}

static enum qc_status check_model(struct lint *lint)
{
	if (!lint_is_gguf_model(lint))
		return QC_OK;
	if (!qc_meta_find(&lint->model.meta, KEY("model")))
		return missing(lint, KEY("model"), QC_LINT_ERROR, "llama, gpt2, gemma4, ...");
	if (!model_is(lint, without) && !model_is(lint, bpe) && !model_is(lint, sentencepiece) &&
	    !model_is(lint, others))
		return lint_report(lint, QC_LINT_ERROR, KEY("model"), "a kind that is not known",
				   "llama, gpt2, gemma4, bert, t5, rwkv or plamo2");
	return QC_OK;
}

static enum qc_status check_tokens(struct lint *lint)
{
	if (!lint_is_gguf_model(lint) || model_is(lint, without) ||
	    !qc_meta_find(&lint->model.meta, KEY("model")) || count(lint, KEY("tokens")))
		return QC_OK;
	return missing(lint, KEY("tokens"), QC_LINT_ERROR, "the vocabulary");
}

static enum qc_status check_merges(struct lint *lint)
{
	const char *pre;
	size_t len;

	if (!model_is(lint, bpe) || qc_meta_find(&lint->model.meta, KEY("merges")))
		return QC_OK;
	if (qc_meta_string(&lint->model.meta, KEY("pre"), &pre, &len) && len == 7 &&
	    !memcmp(pre, "kimi-k2", 7))
		return QC_OK;
	return missing(lint, KEY("merges"), QC_LINT_ERROR, "the merges of a BPE");
}

static enum qc_status check_pre(struct lint *lint)
{
	const char *pre;
	size_t len;

	if (!model_is(lint, by_pre) ||
	    (qc_meta_string(&lint->model.meta, KEY("pre"), &pre, &len) && len))
		return QC_OK;
	return missing(lint, KEY("pre"), QC_LINT_WARNING, "how text is cut before merging");
}

static enum qc_status check_scores(struct lint *lint)
{
	enum qc_status s = QC_OK;

	if (!model_is(lint, sentencepiece))
		return QC_OK;
	if (!count(lint, KEY("scores")))
		s = missing(lint, KEY("scores"), QC_LINT_ERROR, "a score for every token");
	return s;
}

static enum qc_status check_types(struct lint *lint)
{
	if (!lint_is_gguf_model(lint) || !count(lint, KEY("tokens")) ||
	    count(lint, KEY("token_type")))
		return QC_OK;
	return missing(lint, KEY("token_type"), QC_LINT_WARNING, "a type for every token");
}

/* Rows of the embedding and the head against tokens. */
static enum qc_status check_rows(struct lint *lint)
{
	static const char *const names[] = {"token_embd.weight", "output.weight", NULL};
	const uint64_t n = count(lint, KEY("tokens"));
	enum qc_status s = QC_OK;

	for (const char *const *name = names; !s && n && lint_is_gguf_model(lint) && *name;
	     name++) {
		const struct qc_tensor *t = qc_model_find(&lint->model, *name);

		if (t && t->n_dims == 2 && t->dims[1] != n)
			s = lint_report(
				lint, QC_LINT_ERROR, *name,
				lint_text(lint, "%llu rows", (unsigned long long)t->dims[1]),
				lint_text(lint, "%llu, one for each token", (unsigned long long)n));
	}
	return s;
}

static enum qc_status check_ids(struct lint *lint)
{
	static const char *const ids[] = {KEY("bos_token_id"),	   KEY("eos_token_id"),
					  KEY("unknown_token_id"), KEY("padding_token_id"),
					  KEY("eot_token_id"),	   NULL};
	const uint64_t n = count(lint, KEY("tokens"));
	enum qc_status s = QC_OK;
	uint32_t id;

	if (!n || !lint_is_gguf_model(lint))
		return QC_OK;
	for (const char *const *key = ids; !s && *key; key++)
		if (qc_meta_u32(&lint->model.meta, *key, &id) && id >= n)
			s = lint_report(lint, QC_LINT_WARNING, *key, lint_text(lint, "%u", id),
					lint_text(lint, "less than %llu", (unsigned long long)n));
	if (!s && (model_is(lint, bpe) || model_is(lint, sentencepiece)) &&
	    !qc_meta_find(&lint->model.meta, KEY("eos_token_id")))
		s = missing(lint, KEY("eos_token_id"), QC_LINT_WARNING,
			    "the token that ends a text");
	return s;
}

const struct lint_rule lint_rules_tokenizer[] = {
	{
		.name = "tokenizer-model",
		.loader = "llama.cpp refuses the file",
		.check = check_model,
	},
	{
		.name = "tokenizer-tokens",
		.loader = "llama.cpp refuses the file",
		.check = check_tokens,
	},
	{
		.name = "tokenizer-merges",
		.loader = "llama.cpp refuses the file",
		.check = check_merges,
	},
	{
		.name = "tokenizer-pre",
		.loader = "llama.cpp cuts text in its default way, other tokens than in training",
		.check = check_pre,
	},
	{
		.name = "tokenizer-scores",
		.loader = "llama.cpp merges pieces in the wrong order and answers nonsense",
		.check = check_scores,
	},
	{
		.name = "tokenizer-types",
		.loader = "llama.cpp takes control and byte tokens for text",
		.check = check_types,
	},
	{
		.name = "tokenizer-rows",
		.loader = "llama.cpp refuses the file: wrong shape",
		.check = check_rows,
	},
	{
		.name = "tokenizer-ids",
		.loader = "llama.cpp takes its default ids, which may be ordinary tokens",
		.check = check_ids,
	},
	{0},
};
