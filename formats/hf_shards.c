/* Which files of a directory hold a model's weights. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/text.h"
#include "formats/hf.h"

#define INDEX_NAME	  "model.safetensors.index.json"
#define INDEX_SUFFIX	  ".safetensors.index.json"
#define WEIGHTS_SUFFIX	  ".safetensors"
#define MAX_DIR_ENTRIES	  100000u
#define MAX_SHARDS_TO_SAY 4

static bool starts_with(const char *text, const char *start)
{
	return !strncmp(text, start, strlen(start));
}

/* A decimal number of 1 to 9 digits at *at, which moves behind it. */
static bool take_number(const char **at, unsigned *number)
{
	size_t digits = strspn(*at, "0123456789");

	*number = 0;
	for (size_t i = 0; digits < 10 && i < digits; i++)
		*number = *number * 10 + (unsigned)((*at)[i] - '0');
	*at += digits;
	return digits && digits < 10;
}

static bool take_text(const char **at, const char *text)
{
	if (!starts_with(*at, text))
		return false;
	*at += strlen(text);
	return true;
}

/* Parse "PREFIX-00001-of-00002.safetensors"; false when `name` is not of that form. */
static bool shard_name(const char *name, size_t *prefix_len, unsigned *number, unsigned *count)
{
	for (const char *dash = strchr(name, '-'); dash; dash = strchr(dash + 1, '-')) {
		const char *at = dash + 1;

		*prefix_len = (size_t)(dash - name);
		if (take_number(&at, number) && take_text(&at, "-of-") && take_number(&at, count) &&
		    !strcmp(at, WEIGHTS_SUFFIX))
			return true;
	}
	return false;
}

bool qc_hf_index_path(const char *path, char *buf, size_t size)
{
	const char *name = qc_text_base_name(path);
	unsigned number, count;
	size_t prefix_len;
	int n;

	if (qc_text_ends(name, INDEX_SUFFIX))
		n = snprintf(buf, size, "%s", path);
	else if (shard_name(name, &prefix_len, &number, &count))
		n = snprintf(buf, size, "%.*s" INDEX_SUFFIX, (int)(name + prefix_len - path), path);
	else
		return false;
	return n > 0 && (size_t)n < size;
}

/* What readdir found. */
struct listing {
	const char **names; /* of .safetensors files, sorted */
	size_t n, cap;
	bool has_index, has_adapter, has_pytorch, has_gguf;
};

static int by_shard_name(const void *a, const void *b)
{
	const struct qc_hf_shard *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static enum qc_status list_entry(struct listing *list, struct qc_arena *arena, const char *name,
				 struct qc_err *err)
{
	list->has_index |= !strcmp(name, INDEX_NAME);
	list->has_adapter |= !strcmp(name, "adapter_config.json");
	list->has_pytorch |= (starts_with(name, "pytorch_model") && qc_text_ends(name, ".bin")) ||
			     qc_text_ends(name, ".pth") || qc_text_ends(name, ".pt");
	list->has_gguf |= qc_text_ends(name, ".gguf");
	if (name[0] == '.' || !qc_text_ends(name, WEIGHTS_SUFFIX))
		return QC_OK;
	if (list->n == list->cap) {
		size_t cap = list->cap ? list->cap * 2 : 16;
		const char **bigger = realloc(list->names, cap * sizeof(*bigger));

		if (!bigger)
			return qc_no_memory(err);
		list->names = bigger;
		list->cap = cap;
	}
	list->names[list->n] = qc_arena_copy(arena, name, strlen(name));
	return list->names[list->n++] ? QC_OK : qc_no_memory(err);
}

static enum qc_status list_dir(struct listing *list, const char *where, int dir_fd,
			       struct qc_arena *arena, struct qc_err *err)
{
	/* a descriptor of its own, which closedir() closes */
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
	enum qc_status s = QC_OK;
	size_t n = 0;

	if (!stream) {
		s = qc_fail_errno(err, errno, "cannot list '%s'", where);
		if (fd >= 0)
			close(fd);
		return s;
	}
	while (!s) {
		struct dirent *entry;

		errno = 0;
		entry = readdir(stream);
		if (!entry && errno)
			s = qc_fail_errno(err, errno, "cannot list '%s'", where);
		if (!entry)
			break;
		if (++n > MAX_DIR_ENTRIES)
			s = qc_fail(err, QC_UNSUPPORTED,
				    "'%s' has more than %u files: not a model directory", where,
				    MAX_DIR_ENTRIES);
		else
			s = list_entry(list, arena, entry->d_name, err);
	}
	closedir(stream);
	if (!s && list->n)
		qsort(list->names, list->n, sizeof(*list->names), qc_text_order);
	return s;
}

/* The shards of these names, sorted; their positions in `names` are their numbers. */
static enum qc_status set_shards(struct qc_hf_shards *shards, struct qc_model *model,
				 const char *const *names, size_t n, struct qc_err *err)
{
	shards->list = qc_arena_array(&model->arena, n, sizeof(*shards->list));
	if (!shards->list)
		return qc_no_memory(err);
	shards->n = n;
	for (size_t i = 0; i < n; i++) {
		shards->list[i].number = i;
		shards->list[i].name = qc_arena_copy(&model->arena, names[i], strlen(names[i]));
		if (!shards->list[i].name)
			return qc_no_memory(err);
	}
	qsort(shards->list, n, sizeof(*shards->list), by_shard_name);
	return QC_OK;
}

/* Every shard of the index must be there; `asked`, the file that the user named, must be one of
 * them. */
static enum qc_status check_presence(const struct qc_hf_shards *shards, int dir_fd,
				     const char *path, const char *asked, struct qc_err *err)
{
	size_t missing = 0, used = 0;
	bool listed = qc_text_ends(asked, INDEX_SUFFIX);
	char named[400] = "";

	for (size_t i = 0; i < shards->n; i++) {
		const char *name = shards->list[i].name;

		listed |= !strcmp(name, asked);
		if (!faccessat(dir_fd, name, F_OK, 0))
			continue;
		if (missing++ < MAX_SHARDS_TO_SAY)
			used += (size_t)snprintf(named + used, sizeof(named) - used, " '%.60s'",
						 name);
	}
	if (missing)
		return qc_fail(err, QC_BAD_INPUT, "'%s': %zu of %zu shards are missing:%s%s", path,
			       missing, shards->n, named,
			       missing > MAX_SHARDS_TO_SAY ? " ..." : "");
	if (!listed)
		return qc_fail(
			err, QC_BAD_INPUT,
			"'%s' lists no file '%s': pass the directory or a shard of the index", path,
			asked);
	return QC_OK;
}

static enum qc_status shards_from_index(struct qc_hf_shards *shards, struct qc_model *model,
					int dir_fd, const char *path, const char *asked,
					struct qc_err *err)
{
	size_t size;
	char *text;
	enum qc_status s = qc_file_load(path, QC_JSON_MAX_BYTES, &text, &size, err);

	if (s)
		return s;
	s = qc_hf_index_parse(&shards->index, text, size, err);
	free(text);
	if (s)
		return qc_fail_in(err, "reading '%s'", path);
	shards->has_index = true;
	s = set_shards(shards, model, shards->index.shards, shards->index.n_shards, err);
	return s ? s : check_presence(shards, dir_fd, path, asked, err);
}

/* Files numbered "-00002-of-00005" must all be there when no index says which are. */
static enum qc_status check_numbering(const struct qc_hf_shards *shards, const char *where,
				      struct qc_err *err)
{
	unsigned number, count, total = 0;
	size_t prefix_len, numbered = 0;

	for (size_t i = 0; i < shards->n; i++) {
		if (!shard_name(shards->list[i].name, &prefix_len, &number, &count))
			continue;
		if (!numbered++)
			total = count;
		if (count != total || number != numbered)
			return qc_fail(err, QC_BAD_INPUT,
				       "'%s': shard %zu of %u is missing: the next is '%s'", where,
				       numbered, total, shards->list[i].name);
	}
	if (numbered && numbered != shards->n)
		return qc_fail(err, QC_BAD_INPUT,
			       "'%s' has shards, other model*.safetensors files and no index: pass "
			       "the one to read",
			       where);
	if (numbered != total)
		return qc_fail(err, QC_BAD_INPUT, "'%s': shard %zu of %u is missing", where,
			       numbered + 1, total);
	return QC_OK;
}

static enum qc_status no_weights(const struct listing *list, const char *where, struct qc_err *err)
{
	if (list->n)
		return qc_fail(
			err, QC_UNSUPPORTED,
			"'%s' has %zu .safetensors files ('%s', '%s', ...) and no " INDEX_NAME
			": pass the one to read, or the index if it has another name",
			where, list->n, list->names[0], list->names[1]);
	if (list->has_pytorch)
		return qc_fail(err, QC_UNSUPPORTED,
			       "'%s' has its weights as PyTorch files only: convert them to "
			       "safetensors first (transformers: "
			       "save_pretrained)",
			       where);
	if (list->has_gguf)
		return qc_fail(err, QC_UNSUPPORTED,
			       "'%s' has its weights as GGUF: pass the .gguf file itself", where);
	return qc_fail(err, QC_BAD_INPUT, "'%s' has no .safetensors file: not a model directory",
		       where);
}

static size_t count_starting_with(const struct listing *list, const char *start)
{
	size_t n = 0;

	for (size_t i = 0; i < list->n; i++)
		n += starts_with(list->names[i], start);
	return n;
}

static enum qc_status shards_from_listing(struct qc_hf_shards *shards, struct qc_model *model,
					  const struct listing *list, struct qc_err *err)
{
	const char *start = "model";
	size_t first = 0, n = count_starting_with(list, start);
	enum qc_status s;

	if (!n && list->has_adapter)
		return qc_fail(err, QC_UNSUPPORTED,
			       "'%s' is a LoRA adapter (it has an adapter_config.json), not a "
			       "model: pass its base model",
			       model->dir);
	if (!n && list->n) {
		start = list->n == 1 ? "" : "consolidated";
		n = count_starting_with(list, start);
	}
	if (!n)
		return no_weights(list, model->dir, err);
	while (!starts_with(list->names[first], start)) /* sorted: they stand together */
		first++;
	for (size_t i = first; i < first + n; i++)
		if (!strcmp(list->names[i], "model" WEIGHTS_SUFFIX))
			return set_shards(shards, model, list->names + i, 1, err);
	s = set_shards(shards, model, list->names + first, n, err);
	return s ? s : check_numbering(shards, model->dir, err);
}

enum qc_status qc_hf_shards_find(struct qc_hf_shards *shards, struct qc_model *model, int dir_fd,
				 const char *path, struct qc_err *err)
{
	struct listing list = {0};
	char index[4096];
	enum qc_status s;

	*shards = (struct qc_hf_shards){0};
	if (strcmp(path, model->dir) && qc_hf_index_path(path, index, sizeof(index)))
		return shards_from_index(shards, model, dir_fd, index, qc_text_base_name(path),
					 err);
	s = list_dir(&list, model->dir, dir_fd, &model->arena, err);
	if (!s && list.has_index) {
		const char *own = qc_arena_printf(&model->arena, "%s/" INDEX_NAME, model->dir);

		s = own ? shards_from_index(shards, model, dir_fd, own, INDEX_NAME, err)
			: qc_no_memory(err);
	} else if (!s) {
		s = shards_from_listing(shards, model, &list, err);
	}
	free(list.names);
	return s;
}

void qc_hf_shards_clear(struct qc_hf_shards *shards)
{
	qc_hf_index_clear(&shards->index);
	*shards = (struct qc_hf_shards){0};
}
