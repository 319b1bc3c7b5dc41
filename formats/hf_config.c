/* What stands beside the weights of a Hugging Face checkpoint: config.json before them, the
 * tokenizer after them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "formats/arch/arch.h"
#include "formats/fold.h"
#include "formats/hf.h"
#include "formats/hf_sampling.h"
#include "formats/tokenizer.h"

#define MAX_CONFIG_BYTES (16u << 20)

/* Mistral's own releases: these names are no architecture's of ours. */
static bool has_mistral_names(const char *weights)
{
	return !strncmp(qc_text_base_name(weights), "consolidated", strlen("consolidated"));
}

/* The same of the files that have been made of a GGUF, in memory. */
static enum qc_status load_side(const struct qc_model *model, const char *name, char **text,
				size_t *size, struct qc_err *err)
{
	for (size_t i = 0; i < model->n_sides; i++) {
		const struct qc_side_text *side = &model->sides[i];

		if (strcmp(side->name, name) != 0)
			continue;
		*text = malloc(side->size + 1);
		if (!*text)
			return qc_no_memory(err);
		memcpy(*text, side->text, side->size + 1);
		*size = side->size;
	}
	return QC_OK;
}

enum qc_status qc_hf_load_text(struct qc_model *model, const char *name, uint64_t max, char **text,
			       size_t *size, struct qc_err *err)
{
	char *path = qc_arena_printf(&model->arena, "%s/%s", model->dir, name);
	struct stat st;

	if (!path)
		return qc_no_memory(err);
	if (model->n_sides)
		return load_side(model, name, text, size, err);
	if (stat(path, &st) && (errno == ENOENT || errno == ENOTDIR))
		return QC_OK;
	return qc_file_load(path, max, text, size, err);
}

enum qc_status qc_hf_load_generation(struct qc_model *model, struct qc_json *json, char **text,
				     struct qc_err *err)
{
	size_t size;
	enum qc_status s = qc_hf_load_text(model, "generation_config.json", MAX_CONFIG_BYTES, text,
					   &size, err);

	if (s || !*text)
		return s;
	s = qc_json_parse(json, *text, size, QC_JSON_ALLOW_NAN, err);
	if (!s)
		return QC_OK;
	free(*text);
	*text = NULL;
	return qc_fail_in(err, "reading '%s/generation_config.json'", model->dir);
}

enum qc_status qc_hf_load_config(struct qc_model *model, const char *weights, struct qc_err *err)
{
	char *path, *text;
	enum qc_status s;
	size_t size;

	if (has_mistral_names(weights)) {
		model->arch_note = "consolidated.safetensors has Mistral's own tensor names: a "
				   "plain bag of tensors";
		return QC_OK;
	}
	path = qc_arena_printf(&model->arena, "%s/config.json", model->dir);
	if (!path)
		return qc_no_memory(err);
	if (access(path, F_OK) && errno == ENOENT) {
		model->arch_note = "no config.json beside the weights: a plain bag of tensors";
		return QC_OK;
	}
	s = qc_file_load(path, MAX_CONFIG_BYTES, &text, &size, err);
	if (s)
		return s;
	model->config_text = text;
	s = qc_arch_from_config(model, text, size, err);
	return s ? qc_fail_in(err, "reading '%s'", path) : QC_OK;
}

/* Those of `all`, the tensors before they were named, that were dropped then: drops [first, ...),
 * in the same order. */
static enum qc_status keep_dropped(struct qc_model *model, const struct qc_tensor *all, size_t n,
				   size_t first, struct qc_err *err)
{
	size_t drop = first;

	if (drop == model->n_drops)
		return QC_OK;
	model->dropped = qc_arena_array(&model->arena, model->n_drops - drop, sizeof(*all));
	if (!model->dropped)
		return qc_no_memory(err);
	for (size_t i = 0; i < n && drop < model->n_drops; i++) {
		if (strcmp(all[i].stored_name, model->drops[drop].name))
			continue;
		model->dropped[model->n_dropped] = all[i];
		model->dropped[model->n_dropped++].name = all[i].stored_name;
		drop++;
	}
	return QC_OK;
}

enum qc_status qc_hf_restore_dropped(struct qc_model *model, struct qc_err *err)
{
	size_t kept = 0, next = 0;
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && i < model->n_drops; i++) {
		if (next < model->n_dropped &&
		    !strcmp(model->drops[i].name, model->dropped[next].stored_name))
			s = qc_model_add_tensor(model, &model->dropped[next++], err);
		else
			model->drops[kept++] = model->drops[i];
	}
	if (!s) {
		model->n_drops = kept;
		model->n_dropped = 0;
	}
	return s;
}

static enum qc_status name_tensors(struct qc_model *model, struct qc_err *err)
{
	size_t n = model->n_tensors, n_drops = model->n_drops;
	struct qc_tensor *all = malloc((n + 1) * sizeof(*all));
	enum qc_status s;

	if (!all)
		return qc_no_memory(err);
	if (n)
		memcpy(all, model->tensors, n * sizeof(*all));
	s = qc_arch_name_tensors(model, err);
	if (!s)
		s = keep_dropped(model, all, n, n_drops, err);
	free(all);
	return s;
}

enum qc_status qc_hf_finish(struct qc_model *model, struct qc_err *err)
{
	enum qc_status s = qc_fold_encodings(model, err);

	if (s)
		return qc_fail_in(err, "reading '%s'", model->path);
	if (!model->arch) {
		model->layout = QC_LAYOUT_PLAIN;
		model->tokenizer_note =
			"not read: a tokenizer belongs to a model of a known architecture";
		return QC_OK;
	}
	model->layout = QC_LAYOUT_HF;
	s = name_tensors(model, err);
	if (!s)
		s = qc_tokenizer_load(model, err);
	if (!s)
		s = qc_hf_read_sampling(model, err);
	return s ? qc_fail_in(err, "reading '%s'", model->path) : QC_OK;
}
