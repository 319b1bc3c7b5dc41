#include "convert/side_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json_edit.h"
#include "base/text.h"
#include "convert/output.h"
#include "quant/types.h"

#define MAX_CONFIG_BYTES (16u << 20)
#define MAX_SIDE_BYTES	 (256u << 20)
#define MAX_SIDE_FILES	 256

/* Endings of files that describe a model and are not its weights. */
static const char *const copied_endings[] = {
	".json", ".jinja", ".model", ".txt",  ".md",  ".py",	   ".vocab", ".bpe",
	".spm",	 ".v3",	   ".v7",    ".yaml", ".yml", ".tiktoken", ".pdf",   NULL,
};

/* Names without an ending that are copied, by how they begin. */
static const char *const copied_names[] = {"LICENSE", "NOTICE", "USE_POLICY", "README", NULL};

/* Made anew, or told about the old weights. */
static const char *const never_copied[] = {
	"config.json",
	"hf_quant_config.json",
	QC_OUTPUT_MANIFEST,
	"quantize_config.json",
	"quant_config.json",
	"quantization_config.json",
	NULL,
};

static bool is_copied(const char *name)
{
	if (*name == '.' || qc_text_has_extension(name, ".index.json") ||
	    qc_text_has_extension(name, ".qconv.json"))
		return false;
	for (const char *const *other = never_copied; *other; other++)
		if (!strcmp(name, *other))
			return false;
	for (const char *const *end = copied_endings; *end; end++)
		if (qc_text_has_extension(name, *end))
			return true;
	for (const char *const *start = copied_names; *start; start++)
		if (!strncasecmp(name, *start, strlen(*start)))
			return true;
	return false;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct qc_file *)a)->path, ((const struct qc_file *)b)->path);
}

/* Open one file of the directory when it is to be copied. */
static enum qc_status open_one(struct qc_plan *plan, int dir_fd, const char *name,
			       struct qc_err *err)
{
	struct qc_file *file = &plan->side_files[plan->n_side_files];
	struct stat st;
	char *path;
	enum qc_status s;

	if (!is_copied(name) || fstatat(dir_fd, name, &st, 0) || !S_ISREG(st.st_mode) ||
	    st.st_size > MAX_SIDE_BYTES)
		return QC_OK;
	if (plan->n_side_files == MAX_SIDE_FILES)
		return qc_fail(
			err, QC_UNSUPPORTED,
			"'%s' has more than %d files beside the weights that would be copied",
			plan->model->dir, MAX_SIDE_FILES);
	path = qc_arena_printf(&plan->arena, "%s/%s", plan->model->dir, name);
	s = path ? qc_file_open_at(file, dir_fd, name, path, err) : qc_no_memory(err);
	if (!s)
		plan->n_side_files++;
	return s;
}

/* Only beside a config.json: a folder with a lone .safetensors may hold anything. */
static enum qc_status open_all(struct qc_plan *plan, struct qc_err *err)
{
	const char *config = qc_arena_printf(&plan->arena, "%s/config.json", plan->model->dir);
	DIR *dir = config && !access(config, F_OK) ? opendir(plan->model->dir) : NULL;
	const struct dirent *entry;
	enum qc_status s = QC_OK;

	plan->side_files = calloc(MAX_SIDE_FILES + 1, sizeof(*plan->side_files));
	if (!plan->side_files)
		s = qc_no_memory(err);
	while (!s && dir && (entry = readdir(dir)))
		s = open_one(plan, dirfd(dir), entry->d_name, err);
	if (dir)
		closedir(dir);
	if (!s && plan->n_side_files)
		qsort(plan->side_files, plan->n_side_files, sizeof(*plan->side_files), by_path);
	return s;
}

/* A file of this text (malloc; taken over, also on failure). */
static enum qc_status add_text(struct qc_plan *plan, const char *name, char *text, size_t size,
			       struct qc_err *err)
{
	struct qc_out_file *file = text ? qc_out_add(&plan->out) : NULL;

	if (!file) {
		free(text);
		return qc_no_memory(err);
	}
	file->header = (uint8_t *)text;
	file->header_bytes = size;
	file->total_bytes = size;
	plan->out.total_bytes += size;
	file->name = strdup(name);
	return file->name ? QC_OK : qc_no_memory(err);
}

static enum qc_status add_copies(struct qc_plan *plan, struct qc_err *err)
{
	for (size_t i = 0; i < plan->n_side_files; i++) {
		const struct qc_file *from = &plan->side_files[i];
		struct qc_out_file *file = qc_out_add(&plan->out);

		if (!file)
			return qc_no_memory(err);
		file->name = strdup(qc_text_base_name(from->path));
		file->copy_of = from;
		file->total_bytes = from->size;
		plan->out.total_bytes += from->size;
		if (!file->name)
			return qc_no_memory(err);
	}
	return QC_OK;
}

/* transformers' name of the type that --q asks for; NULL when that is no plain one. */
static const char *dtype_name(const struct qc_plan *plan)
{
	static const struct {
		const struct qc_qtype *type;
		const char *name;
	} names[] = {
		{&qc_bf16, "\"bfloat16\""}, {&qc_f16, "\"float16\""}, {&qc_f32, "\"float32\""}};
	const struct qc_qtype *type = qc_qtype_find(plan->recipe);

	for (size_t i = 0; !plan->packing && i < sizeof(names) / sizeof(names[0]); i++)
		if (type == names[i].type)
			return names[i].name;
	return NULL;
}

/* `dtype` and `torch_dtype` where they stand: in the root and the configurations in it. */
static enum qc_status set_dtype(struct qc_json_edit *edit, const char *dtype, struct qc_err *err)
{
	static const char *const keys[] = {"dtype", "torch_dtype"};
	const struct qc_json *json = edit->json;
	enum qc_status s = QC_OK;
	bool found = false;

	for (size_t k = 0; !s && k < 2; k++) {
		if (qc_json_get(json, QC_JSON_ROOT, keys[k])) {
			found = true;
			s = qc_json_edit_set(edit, QC_JSON_ROOT, keys[k], dtype, err);
		}
		for (qc_json_value v = qc_json_first(json, QC_JSON_ROOT); v && !s;
		     v = qc_json_next(json, v))
			if (qc_json_get(json, v, keys[k]) &&
			    qc_json_type_of(json, v) == QC_JSON_OBJECT &&
			    !qc_json_key_equals(json, v, "quantization_config")) {
				found = true;
				s = qc_json_edit_set(edit, v, keys[k], dtype, err);
			}
	}
	return s || found ? s : qc_json_edit_set(edit, QC_JSON_ROOT, "torch_dtype", dtype, err);
}

/* What a packing writes (malloc). */
static enum qc_status packing_text(const struct qc_plan *plan,
				   void (*write)(FILE *out, const struct qc_plan *plan),
				   char **text, size_t *size, struct qc_err *err)
{
	FILE *out = open_memstream(text, size);
	bool failed;

	if (!out)
		return qc_no_memory(err);
	write(out, plan);
	failed = ferror(out);
	if (!fclose(out) && !failed)
		return QC_OK;
	free(*text);
	*text = NULL;
	return qc_no_memory(err);
}

/* An adapter gave the model an output head of its own: loaders would throw it away. */
static enum qc_status untie(struct qc_json_edit *edit, qc_json_value nested, struct qc_err *err)
{
	enum qc_status s =
		qc_json_edit_set(edit, QC_JSON_ROOT, "tie_word_embeddings", "false", err);

	if (s || qc_json_type_of(edit->json, nested) != QC_JSON_OBJECT)
		return s;
	return qc_json_edit_set(edit, nested, "tie_word_embeddings", "false", err);
}

static enum qc_status edit_config(const struct qc_plan *plan, struct qc_json_edit *edit,
				  struct qc_err *err)
{
	qc_json_value nested = qc_json_get(edit->json, QC_JSON_ROOT, "text_config");
	char *quantization = NULL;
	size_t size;
	enum qc_status s = QC_OK;

	if (qc_json_type_of(edit->json, nested) == QC_JSON_OBJECT)
		s = qc_json_edit_remove(edit, nested, "quantization_config", err);
	if (!s && !plan->packing)
		s = qc_json_edit_remove(edit, QC_JSON_ROOT, "quantization_config", err);
	if (!s && plan->packing) {
		s = packing_text(plan, plan->packing->config, &quantization, &size, err);
		if (!s)
			s = qc_json_edit_set(edit, QC_JSON_ROOT, "quantization_config",
					     quantization, err);
		free(quantization);
	}
	if (!s && plan->model->untied)
		s = untie(edit, nested, err);
	if (!s && dtype_name(plan))
		s = set_dtype(edit, dtype_name(plan), err);
	return s;
}

static enum qc_status add_edited(struct qc_plan *plan, const char *text, size_t size,
				 struct qc_err *err)
{
	struct qc_json json = {0};
	struct qc_json_edit edit = {.json = &json};
	char *edited = NULL;
	size_t edited_size = 0;
	enum qc_status s = qc_json_parse(&json, text, size, QC_JSON_ALLOW_NAN, err);

	if (!s && qc_json_type_of(&json, QC_JSON_ROOT) != QC_JSON_OBJECT)
		s = qc_fail(err, QC_BAD_INPUT, "it is %s, not an object",
			    qc_json_type_name(qc_json_type_of(&json, QC_JSON_ROOT)));
	if (!s)
		s = edit_config(plan, &edit, err);
	if (!s)
		s = qc_json_edit_apply(&edit, &edited, &edited_size, err);
	qc_json_edit_clear(&edit);
	qc_json_clear(&json);
	return s ? s : add_text(plan, "config.json", edited, edited_size, err);
}

static enum qc_status add_config(struct qc_plan *plan, struct qc_err *err)
{
	char *path, *text;
	size_t size;
	enum qc_status s;

	path = qc_arena_printf(&plan->arena, "%s/config.json", plan->model->dir);
	if (!path)
		return qc_no_memory(err);
	if (access(path, F_OK) && errno == ENOENT)
		return QC_OK; /* a bag of tensors */
	s = qc_file_load(path, MAX_CONFIG_BYTES, &text, &size, err);
	if (s)
		return s;
	s = add_edited(plan, text, size, err);
	free(text);
	return s ? qc_fail_in(err, "'%s'", path) : QC_OK;
}

/* What has been made of a GGUF's metadata; nothing for a bag of tensors. */
static enum qc_status add_sides(struct qc_plan *plan, struct qc_err *err)
{
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && i < plan->model->n_sides; i++) {
		const struct qc_side_text *side = &plan->model->sides[i];
		char *text = NULL;

		if (!strcmp(side->name, "config.json")) {
			s = add_edited(plan, side->text, side->size, err);
			continue;
		}
		text = malloc(side->size + 1);
		if (text)
			memcpy(text, side->text, side->size + 1);
		s = add_text(plan, side->name, text, side->size, err);
	}
	return s;
}

static enum qc_status add_extra(struct qc_plan *plan, struct qc_err *err)
{
	const struct qc_packing *packing = plan->packing;
	char *text = NULL;
	size_t size = 0;
	enum qc_status s;

	if (!packing || !packing->extra_name)
		return QC_OK;
	s = packing_text(plan, packing->extra, &text, &size, err);
	return s ? s : add_text(plan, packing->extra_name, text, size, err);
}

enum qc_status qc_side_files_add(struct qc_plan *plan, struct qc_err *err)
{
	const struct qc_format *from = plan->model->format;
	const bool from_gguf = from && from->layout_kind == QC_LAYOUT_GGUF;
	enum qc_status s = plan->side_files || from_gguf ? QC_OK : open_all(plan, err);

	if (!s)
		s = from_gguf ? add_sides(plan, err) : add_config(plan, err);
	if (!s)
		s = add_extra(plan, err);
	return s ? s : add_copies(plan, err);
}
