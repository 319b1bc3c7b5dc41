/* Lint: the files of a directory. The index says what lies where; programs read it, the shards, or
 * both. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/text.h"
#include "convert/lint_rules.h"
#include "formats/format.h"
#include "formats/hf.h"
#include "formats/safetensors.h"

/* A file of the model's directory; NULL when memory is out. */
static const char *path_of(struct lint *lint, const char *name)
{
	return qc_arena_printf(&lint->model.arena, "%s/%s", lint->model.dir, name);
}

static bool exists(const char *path)
{
	return !access(path, F_OK);
}

/* Where each stored tensor lies, against the index; marks the entries that were met. */
static enum qc_status check_tensors(struct lint *lint, const struct qc_hf_index *index,
				    struct qc_strmap *met)
{
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && i < lint->model.n_tensors; i++) {
		const struct qc_tensor *tensor = &lint->model.tensors[i];
		const char *name = tensor->stored_name;
		const char *file = qc_text_base_name(lint->model.files[tensor->file]->path);
		const uint64_t *shard = qc_strmap_find(&index->tensors, name, strlen(name));
		bool was_there;

		s = qc_strmap_add(met, name, strlen(name), i, &was_there, lint->err);
		if (!s && was_there)
			s = lint_report(lint, QC_LINT_ERROR, name,
					lint_text(lint, "again in '%s'", file),
					"one tensor a name");
		else if (!s && !shard)
			s = lint_report(lint, QC_LINT_ERROR, name,
					lint_text(lint, "in '%s', not in the index", file),
					"the tensors of the index");
		else if (!s && strcmp(index->shards[*shard], file) != 0)
			s = lint_report(
				lint, QC_LINT_ERROR, name, lint_text(lint, "in '%s'", file),
				lint_text(lint, "'%s', as the index says", index->shards[*shard]));
	}
	return s;
}

/* Entries of the index that are in no file, sorted: the order of slots means nothing. */
static enum qc_status check_entries(struct lint *lint, const struct qc_hf_index *index,
				    const struct qc_strmap *met)
{
	const char **names = malloc((index->n_tensors + 1) * sizeof(*names));
	size_t n = 0;
	enum qc_status s = names ? QC_OK : qc_no_memory(lint->err);

	for (size_t i = 0; !s && i < index->tensors.n_slots; i++) {
		const struct qc_strmap_slot *slot = &index->tensors.slots[i];

		if (slot->key && !qc_strmap_find(met, slot->key, slot->len))
			names[n++] = slot->key;
	}
	if (n)
		qsort(names, n, sizeof(*names), qc_text_order);
	for (size_t i = 0; !s && i < n; i++) {
		const uint64_t *shard = qc_strmap_find(&index->tensors, names[i], strlen(names[i]));

		s = lint_report(lint, QC_LINT_ERROR, names[i], "in the index, in no file",
				lint_text(lint, "a tensor in '%s'", index->shards[*shard]));
	}
	free(names);
	return s;
}

static enum qc_status check_total(struct lint *lint, const char *text, size_t size)
{
	struct qc_json json = {0};
	qc_json_value metadata, total;
	uint64_t bytes = 0, said;
	enum qc_status s = qc_json_parse(&json, text, size, 0, lint->err);

	if (s)
		return s;
	metadata = qc_json_get(&json, QC_JSON_ROOT, "metadata");
	total = qc_json_get(&json, metadata, "total_size");
	for (size_t i = 0; i < lint->model.n_tensors; i++)
		bytes += qc_tensor_stored_bytes(&lint->model.tensors[i]);
	if (qc_json_type_of(&json, metadata) != QC_JSON_OBJECT)
		s = lint_report(lint, QC_LINT_ERROR, "model.safetensors.index.json: metadata",
				"missing", "an object: transformers takes it for granted");
	else if (!qc_json_u64(&json, total, &said))
		s = lint_report(lint, QC_LINT_WARNING,
				"model.safetensors.index.json: metadata.total_size", "missing",
				lint_text(lint, "%llu", (unsigned long long)bytes));
	else if (said != bytes)
		s = lint_report(lint, QC_LINT_WARNING,
				"model.safetensors.index.json: metadata.total_size",
				lint_text(lint, "%llu", (unsigned long long)said),
				lint_text(lint, "%llu, the bytes of all tensors",
					  (unsigned long long)bytes));
	qc_json_clear(&json);
	return s;
}

/* The text of the index that the model was read by (malloc); NULL when there is none. */
static enum qc_status load_index(struct lint *lint, char **text, size_t *size)
{
	char buf[4096];
	const char *path = lint->model.path;

	*text = NULL;
	if (!lint->is_dir)
		return QC_OK;
	if (!strcmp(path, lint->model.dir) || !qc_hf_index_path(path, buf, sizeof(buf)))
		path = path_of(lint, "model.safetensors.index.json");
	else
		path = buf;
	if (!path)
		return qc_no_memory(lint->err);
	return exists(path) ? qc_file_load(path, QC_JSON_MAX_BYTES, text, size, lint->err) : QC_OK;
}

static enum qc_status check_index(struct lint *lint)
{
	struct qc_hf_index index = {0};
	struct qc_strmap met = {0};
	char *text;
	size_t size;
	enum qc_status s = load_index(lint, &text, &size);

	if (s || !text)
		return s;
	s = qc_hf_index_parse(&index, text, size, lint->err);
	if (!s)
		s = check_tensors(lint, &index, &met);
	if (!s)
		s = check_entries(lint, &index, &met);
	qc_strmap_clear(&met);
	qc_hf_index_clear(&index);
	free(text);
	return s;
}

static enum qc_status check_index_total(struct lint *lint)
{
	char *text;
	size_t size;
	enum qc_status s = load_index(lint, &text, &size);

	if (!s && text)
		s = check_total(lint, text, size);
	free(text);
	return s;
}

/* Several shards need an index; one of them needs none. */
static enum qc_status check_presence(struct lint *lint)
{
	const char *single = path_of(lint, "model.safetensors");
	char *text;
	size_t size;
	enum qc_status s = single ? load_index(lint, &text, &size) : qc_no_memory(lint->err);
	const bool has_index = !s && text;

	if (s)
		return s;
	free(text);
	if (!has_index && lint->is_dir && lint->model.n_files > 1)
		return lint_report(
			lint, QC_LINT_ERROR, "model.safetensors.index.json",
			lint_text(lint, "no such file for %zu shards", lint->model.n_files),
			"an index");
	if (has_index && exists(single) &&
	    (lint->model.n_files != 1 ||
	     strcmp(qc_text_base_name(lint->model.files[0]->path), "model.safetensors") != 0))
		return lint_report(lint, QC_LINT_WARNING, "model.safetensors",
				   "there beside an index of other files", "one of the two");
	return QC_OK;
}

/* The "format" in a file's metadata, which transformers insists on. */
static enum qc_status check_format_of(struct lint *lint, const struct qc_file *file)
{
	static const char *const known[] = {"pt", "tf", "flax", "mlx", NULL};
	struct qc_json json = {0};
	qc_json_value format;
	uint8_t head[8];
	uint64_t n;
	char *text;
	bool ok = false;
	enum qc_status s = qc_file_read(file, 0, head, sizeof(head), lint->err);

	if (s)
		return s;
	n = qc_le64(head); /* has been checked against the file's size */
	text = malloc((size_t)n + 1);
	s = text ? qc_file_read(file, 8, text, (size_t)n, lint->err) : qc_no_memory(lint->err);
	if (!s)
		s = qc_json_parse(&json, text, (size_t)n, 0, lint->err);
	if (!s) {
		format = qc_json_get(&json, qc_json_get(&json, QC_JSON_ROOT, "__metadata__"),
				     "format");
		for (const char *const *k = known; *k; k++)
			ok |= qc_json_equals(&json, format, *k);
	}
	qc_json_clear(&json);
	free(text);
	if (s || ok)
		return s;
	return lint_report(lint, QC_LINT_WARNING, qc_text_base_name(file->path),
			   "no \"format\" in __metadata__", "\"pt\"");
}

static enum qc_status check_format(struct lint *lint)
{
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && lint->is_dir && i < lint->model.n_files; i++)
		s = check_format_of(lint, lint->model.files[i]);
	return s;
}

const struct lint_rule lint_rules_files[] = {
	{
		.name = "index-tensors",
		.loader = "llama.cpp's converter refuses; transformers and vLLM load by the one or "
			  "the other and leave weights at random",
		.check = check_index,
	},
	{
		.name = "index-metadata",
		.loader = "transformers plans memory by it, and fails without the object",
		.check = check_index_total,
	},
	{
		.name = "index-presence",
		.loader = "transformers finds no weights, or other ones than llama.cpp's converter",
		.check = check_presence,
	},
	{
		.name = "safetensors-format",
		.loader = "transformers refuses metadata without it, older versions also a file "
			  "without metadata",
		.check = check_format,
	},
	{0},
};
