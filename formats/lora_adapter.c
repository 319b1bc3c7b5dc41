/*
 * An adapter's directory: adapter_config.json and adapter_model.safetensors, its tensors sorted by
 * the module that they belong to.
 *
 *   base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight
 *   '--------------' '-----------------------------' '-----------'
 *    PEFT's wrapper   the module's path               the part
 */
#include "formats/lora.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "formats/format.h"

#define CONFIG_NAME	 "adapter_config.json"
#define WEIGHTS_NAME	 "adapter_model.safetensors"
#define WRAPPER		 "base_model.model."
#define MAX_CONFIG_BYTES (16u << 20)

/* Ends of names. PEFT cuts out the adapter's name when it saves; a state dict that was saved by
 * other means has it ("default"). */
static const struct {
	const char *suffix;
	enum qc_lora_part part;
} suffixes[] = {
	{".lora_A.weight", QC_LORA_A},
	{".lora_B.weight", QC_LORA_B},
	{".lora_B.bias", QC_LORA_BIAS},
	{".lora_embedding_A", QC_LORA_EMBEDDING_A},
	{".lora_embedding_B", QC_LORA_EMBEDDING_B},
	{".lora_magnitude_vector", QC_LORA_MAGNITUDE},
	{".lora_magnitude_vector.weight", QC_LORA_MAGNITUDE},
	{".lora_A.default.weight", QC_LORA_A},
	{".lora_B.default.weight", QC_LORA_B},
	{".lora_B.default.bias", QC_LORA_BIAS},
	{".lora_embedding_A.default", QC_LORA_EMBEDDING_A},
	{".lora_embedding_B.default", QC_LORA_EMBEDDING_B},
	{".lora_magnitude_vector.default", QC_LORA_MAGNITUDE},
	{".lora_magnitude_vector.default.weight", QC_LORA_MAGNITUDE},
};

/* What no tensor of a plain adapter has in its name. */
static const struct {
	const char *text, *what;
} strangers[] = {
	{"trainable_tokens_", "newly trained rows of an embedding"},
	{"token_adapter.", "newly trained rows of an embedding"},
	{"original_module.", "a copy of the base model"},
	{"lora_", "a part that qconv does not know"},
};

/* Cut `text` out of `name` wherever a part of the path begins with it. */
static void cut_out(char *name, const char *text)
{
	const size_t cut = strlen(text);
	char *to = name;
	bool begins = true;

	for (const char *from = name; *from;) {
		if (begins && !strncmp(from, text, cut)) {
			from += cut;
			continue;
		}
		begins = *from == '.';
		*to++ = *from++;
	}
	*to = 0;
}

const char *qc_lora_key(struct qc_arena *arena, const char *name)
{
	char *key = qc_arena_copy(arena, name, strlen(name));
	size_t len;

	if (!key)
		return NULL;
	cut_out(key, "language_model.");
	cut_out(key, "modules_to_save.default.");
	cut_out(key, "modules_to_save.");
	cut_out(key, "base_layer.");
	for (len = strlen(key); len > 11 && !strcmp(key + len - 11, ".base_layer"); len -= 11)
		key[len - 11] = 0; /* a module's path may end so */
	return strncmp(key, "model.", 6) ? key : key + 6;
}

static bool ends_with(const char *text, size_t len, const char *end)
{
	const size_t n = strlen(end);

	return len > n && !strcmp(text + len - n, end);
}

/* Which part `name` is, and where the module's path ends. */
static enum qc_status part_of_name(const char *name, const char *stored_name,
				   enum qc_lora_part *part, size_t *path_len, struct qc_err *err)
{
	const size_t len = strlen(name);

	*part = QC_LORA_WHOLE;
	*path_len = len;
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++)
		if (ends_with(name, len, suffixes[i].suffix)) {
			*part = suffixes[i].part;
			*path_len = len - strlen(suffixes[i].suffix);
		}
	for (size_t i = 0; *part == QC_LORA_WHOLE && i < sizeof(strangers) / sizeof(strangers[0]);
	     i++)
		if (strstr(name, strangers[i].text))
			return qc_fail(err, QC_UNSUPPORTED,
				       "tensor '%.200s' is %s: qconv cannot merge it", stored_name,
				       strangers[i].what);
	if (*path_len > QC_LORA_MAX_PATH)
		return qc_fail(err, QC_BAD_INPUT, "tensor '%.80s...': its name has %zu characters",
			       stored_name, len);
	return QC_OK;
}

/* Put one tensor where it belongs in adapter->modules; `paths` maps those that are there. */
static enum qc_status sort_tensor(struct qc_lora_adapter *adapter, struct qc_arena *arena,
				  struct qc_strmap *paths, const struct qc_tensor *tensor,
				  struct qc_err *err)
{
	const char *name = tensor->stored_name;
	struct qc_lora_module *module;
	enum qc_lora_part part;
	const char *path;
	size_t len;
	bool was_there;
	enum qc_status s;

	if (!tensor->source->type->is_float)
		return qc_fail(err, QC_UNSUPPORTED,
			       "tensor '%.200s' is stored as %s: an adapter's are f32, f16 or bf16",
			       name, tensor->source->type->name);
	name += strncmp(name, WRAPPER, strlen(WRAPPER)) ? 0 : strlen(WRAPPER);
	s = part_of_name(name, tensor->stored_name, &part, &len, err);
	if (s)
		return s;
	path = qc_arena_copy(arena, name, len);
	if (!path)
		return qc_no_memory(err);
	s = qc_strmap_add(paths, path, len, adapter->n_modules, &was_there, err);
	if (s)
		return s;
	module = &adapter->modules[*qc_strmap_find(paths, path, len)];
	if (!was_there) {
		adapter->n_modules++;
		module->path = path;
		module->key = qc_lora_key(arena, path);
	}
	if (!module->key)
		return qc_no_memory(err);
	if (module->parts[part])
		return qc_fail(err, QC_BAD_INPUT, "tensors '%.200s' and '%.200s' are the same part",
			       module->parts[part]->stored_name, tensor->stored_name);
	module->parts[part] = tensor;
	return QC_OK;
}

static enum qc_status sort_tensors(struct qc_lora_adapter *adapter, struct qc_model *model,
				   struct qc_err *err)
{
	struct qc_strmap paths = {0};
	enum qc_status s = QC_OK;

	adapter->modules =
		qc_arena_array(&model->arena, adapter->n_tensors + 1, sizeof(*adapter->modules));
	if (!adapter->modules)
		return qc_no_memory(err);
	for (size_t i = 0; !s && i < adapter->n_tensors; i++)
		s = sort_tensor(adapter, &model->arena, &paths, &adapter->tensors[i], err);
	qc_strmap_clear(&paths);
	return s;
}

/* The adapter's tensors go through the model's list, and out of it again: its file is one of the
 * model's then, is watched for changes and recorded with the others. */
static enum qc_status load_tensors(struct qc_lora_adapter *adapter, struct qc_model *model,
				   const char *path, struct qc_err *err)
{
	const size_t before = model->n_tensors;
	uint32_t file;
	enum qc_status s = qc_model_add_file(model, -1, NULL, path, &file, err);

	if (!s)
		s = qc_safetensors_append(model, file, err);
	if (s)
		return s;
	adapter->n_tensors = model->n_tensors - before;
	adapter->tensors =
		qc_arena_array(&model->arena, adapter->n_tensors + 1, sizeof(*adapter->tensors));
	if (!adapter->tensors)
		return qc_no_memory(err);
	if (adapter->n_tensors)
		memcpy(adapter->tensors, model->tensors + before,
		       adapter->n_tensors * sizeof(*adapter->tensors));
	model->n_tensors = before;
	return adapter->n_tensors ? QC_OK : qc_fail(err, QC_BAD_INPUT, "'%s' has no tensors", path);
}

static enum qc_status load_config(struct qc_lora_adapter *adapter, struct qc_model *model,
				  struct qc_err *err)
{
	const char *path = qc_arena_printf(&model->arena, "%s/" CONFIG_NAME, adapter->dir);
	char *text = NULL;
	size_t size = 0;
	enum qc_status s =
		path ? qc_file_load(path, MAX_CONFIG_BYTES, &text, &size, err) : qc_no_memory(err);

	if (s)
		return s;
	s = qc_lora_config_parse(&adapter->config, text, size, err);
	free(text);
	return s ? qc_fail_in(err, "reading '%s'", path) : QC_OK;
}

static enum qc_status weights_path(const struct qc_lora_adapter *adapter, struct qc_arena *arena,
				   const char **path, struct qc_err *err)
{
	const char *pickle = qc_arena_printf(arena, "%s/adapter_model.bin", adapter->dir);

	*path = qc_arena_printf(arena, "%s/" WEIGHTS_NAME, adapter->dir);
	if (!*path || !pickle)
		return qc_no_memory(err);
	if (access(*path, F_OK) && errno == ENOENT && !access(pickle, F_OK))
		return qc_fail(err, QC_UNSUPPORTED,
			       "'%s' is a PyTorch pickle: save the adapter as " WEIGHTS_NAME,
			       pickle);
	return QC_OK;
}

enum qc_status qc_lora_open(struct qc_lora_adapter *adapter, struct qc_model *model,
			    const char *dir, struct qc_err *err)
{
	const char *path;
	enum qc_status s;

	*adapter = (struct qc_lora_adapter){.dir = dir};
	if (model->layout == QC_LAYOUT_GGUF)
		return qc_fail(
			err, QC_UNSUPPORTED,
			"'%s': an adapter is merged into a Hugging Face checkpoint, not into "
			"a GGUF",
			model->path);
	s = load_config(adapter, model, err);
	if (!s)
		s = weights_path(adapter, &model->arena, &path, err);
	if (!s)
		s = load_tensors(adapter, model, path, err);
	if (!s && (s = sort_tensors(adapter, model, err)))
		s = qc_fail_in(err, "reading '%s'", path);
	return s;
}

void qc_lora_close(struct qc_lora_adapter *adapter)
{
	qc_lora_config_clear(&adapter->config);
	*adapter = (struct qc_lora_adapter){0};
}
