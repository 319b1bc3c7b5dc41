/*
 * Lint: what any Hugging Face directory must agree on, however its weights are stored:
 * config.json's sizes with the tensors', and the files that make a model of them.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "convert/lint_rules.h"

/* The name behind whatever stands before the text model's own names. */
static const char *text_name(const char *name)
{
	const char *at = strstr(name, "language_model.");

	if (at)
		name = at + strlen("language_model.");
	return strncmp(name, "model.", 6) ? name : name + 6;
}

static bool is_model(const struct lint *lint)
{
	return lint->is_dir && lint->config.readable;
}

static bool config_u64(const struct lint *lint, const char *path, uint64_t *out)
{
	return qc_json_u64(&lint->config.json, lint_config_get(lint, path), out);
}

/* The text model's module with this name; NULL. */
static const struct lint_module *find_module(const struct lint *lint, const char *name)
{
	for (size_t i = 0; i < lint->n_modules; i++)
		if (!strcmp(text_name(lint->modules[i].name), name) &&
		    (lint->modules[i].part[PART_WEIGHT] || lint->modules[i].scheme))
			return &lint->modules[i];
	return NULL;
}

static enum qc_status check_embedding(struct lint *lint)
{
	const struct lint_module *module = find_module(lint, "embed_tokens");
	const struct qc_tensor *weight = module ? lint_part(lint, module, PART_WEIGHT) : NULL;
	uint64_t rows, cols;
	enum qc_status s = QC_OK;

	if (!is_model(lint) || !weight || module->scheme || weight->n_dims != 2)
		return QC_OK;
	if (config_u64(lint, "vocab_size", &rows) && rows != weight->dims[1])
		s = lint_report(lint, QC_LINT_ERROR, weight->stored_name,
				lint_text(lint, "%llu rows", (unsigned long long)weight->dims[1]),
				lint_text(lint, "vocab_size, %llu", (unsigned long long)rows));
	if (!s && config_u64(lint, "hidden_size", &cols) && cols != weight->dims[0])
		s = lint_report(
			lint, QC_LINT_ERROR, weight->stored_name,
			lint_text(lint, "%llu columns", (unsigned long long)weight->dims[0]),
			lint_text(lint, "hidden_size, %llu", (unsigned long long)cols));
	return s;
}

static enum qc_status check_head(struct lint *lint)
{
	const struct lint_module *head = find_module(lint, "lm_head");
	qc_json_value value = lint_config_get(lint, "tie_word_embeddings");
	bool tied;

	if (!is_model(lint) || !find_module(lint, "embed_tokens") ||
	    !qc_json_bool(&lint->config.json, value, &tied))
		return QC_OK;
	if (!tied && !head)
		return lint_report(lint, QC_LINT_ERROR, "lm_head.weight",
				   "no such tensor, while tie_word_embeddings is false",
				   "an output head, or true");
	if (tied && head)
		return lint_report(lint, QC_LINT_WARNING, lint_module_subject(lint, head),
				   "there, while tie_word_embeddings is true",
				   "no such tensor, or false");
	return QC_OK;
}

/* The number behind `start` in "start12.", -1 without one. */
static long long number_behind(const char *name, const char *start)
{
	const size_t n = strlen(start);
	long long number = 0;
	size_t digits;

	if (strncmp(name, start, n) != 0)
		return -1;
	digits = strspn(name + n, "0123456789");
	if (!digits || digits > 9 || name[n + digits] != '.')
		return -1;
	for (size_t i = 0; i < digits; i++)
		number = 10 * number + (name[n + i] - '0');
	return number;
}

/* Which of 0 ... n - 1 do not occur: a count and the first. */
static enum qc_status count_missing(struct lint *lint, uint64_t n,
				    long long (*number_of)(const char *name), uint64_t *missing,
				    uint64_t *first, long long *most)
{
	bool *found = calloc((size_t)n + 1, sizeof(*found));

	*missing = *first = 0;
	*most = -1;
	if (!found)
		return qc_no_memory(lint->err);
	for (size_t i = 0; i < lint->n_modules; i++) {
		const long long number = number_of(text_name(lint->modules[i].name));

		if (number >= 0 && (uint64_t)number < n)
			found[number] = true;
		*most = number > *most ? number : *most;
	}
	for (uint64_t i = n; i-- > 0;)
		if (!found[i]) {
			++*missing;
			*first = i;
		}
	free(found);
	return QC_OK;
}

static long long layer_of(const char *name)
{
	return number_behind(name, "layers.");
}

static long long expert_of(const char *name)
{
	const char *at = layer_of(name) < 0 ? NULL : strstr(name, ".experts.");

	return at ? number_behind(at, ".experts.") : -1;
}

static enum qc_status check_layers(struct lint *lint)
{
	uint64_t n, next = 0, missing, first;
	long long most;
	enum qc_status s;

	if (!is_model(lint) || !config_u64(lint, "num_hidden_layers", &n) || n > 4096)
		return QC_OK;
	(void)config_u64(lint, "num_nextn_predict_layers", &next);
	s = count_missing(lint, n, layer_of, &missing, &first, &most);
	if (s || most < 0) /* other names */
		return s;
	if (missing)
		return lint_report(
			lint, QC_LINT_ERROR,
			lint_text(lint, "layers.%llu", (unsigned long long)first),
			lint_text(lint, "%llu layers have no tensors", (unsigned long long)missing),
			lint_text(lint, "num_hidden_layers, %llu", (unsigned long long)n));
	if ((uint64_t)most >= n && (uint64_t)most - n >= next)
		return lint_report(
			lint, QC_LINT_WARNING, lint_text(lint, "layers.%lld", most),
			"a layer that is not used",
			lint_text(lint, "num_hidden_layers, %llu", (unsigned long long)n));
	return QC_OK;
}

static enum qc_status check_experts(struct lint *lint)
{
	static const char *const counts[] = {"num_local_experts", "num_experts", "n_routed_experts",
					     NULL};
	uint64_t n = 0, used, missing, first;
	long long most;
	enum qc_status s;

	if (!is_model(lint))
		return QC_OK;
	for (const char *const *key = counts; *key && !n; key++)
		if (!config_u64(lint, *key, &n))
			n = 0;
	if (!n || n > 65536)
		return QC_OK;
	if (config_u64(lint, "num_experts_per_tok", &used) && (!used || used > n)) {
		s = lint_report(lint, QC_LINT_ERROR, "config.json: num_experts_per_tok",
				lint_text(lint, "%llu", (unsigned long long)used),
				lint_text(lint, "1 to %llu", (unsigned long long)n));
		if (s)
			return s;
	}
	s = count_missing(lint, n, expert_of, &missing, &first, &most);
	if (s || most < 0) /* all in one tensor */
		return s;
	if (!missing && (uint64_t)most < n)
		return QC_OK;
	return lint_report(lint, QC_LINT_ERROR, "config.json",
			   lint_text(lint, "experts up to %lld, %llu missing", most,
				     (unsigned long long)missing),
			   lint_text(lint, "%llu of them", (unsigned long long)n));
}

static enum qc_status check_tokenizer(struct lint *lint)
{
	static const char *const names[] = {
		"tokenizer.json", "tokenizer.model", "vocab.json",	   "vocab.txt",
		"tekken.json",	  "spiece.model",    "tokenizer.tiktoken", NULL};

	if (!is_model(lint) || !find_module(lint, "embed_tokens"))
		return QC_OK;
	for (const char *const *name = names; *name; name++) {
		const char *path =
			qc_arena_printf(&lint->model.arena, "%s/%s", lint->model.dir, *name);

		if (!path)
			return qc_no_memory(lint->err);
		if (!access(path, F_OK))
			return QC_OK;
	}
	return lint_report(lint, QC_LINT_WARNING, "tokenizer.json", "no tokenizer file",
			   "tokenizer.json or tokenizer.model");
}

const struct lint_rule lint_rules_plain[] = {
	{
		.name = "embedding-shape",
		.loader = "transformers and vLLM refuse the size",
		.check = check_embedding,
	},
	{
		.name = "output-head",
		.loader = "transformers starts the head at random or ties it; llama.cpp uses the "
			  "one that is stored",
		.check = check_head,
	},
	{
		.name = "layer-count",
		.loader = "transformers starts missing layers at random, vLLM leaves them "
			  "uninitialised",
		.check = check_layers,
	},
	{
		.name = "expert-count",
		.loader = "transformers starts missing experts at random, vLLM leaves them "
			  "uninitialised",
		.check = check_experts,
	},
	{
		.name = "tokenizer-file",
		.loader = "transformers, vLLM and llama.cpp's converter have no tokenizer",
		.check = check_tokenizer,
	},
	{0},
};
