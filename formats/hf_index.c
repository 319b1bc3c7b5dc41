/* model.safetensors.index.json: { "metadata": { "total_size": bytes }, "weight_map": { TENSOR: FILE
 * NAME, ... } } */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "formats/format.h"

#define MAX_FILE_NAME 255 /* NAME_MAX */

/* A name that can only mean a file in the index's own folder, on any system. */
static bool is_plain_file_name(const char *name, size_t len)
{
	if (!len || len > MAX_FILE_NAME || !strcmp(name, ".") || !strcmp(name, ".."))
		return false;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f || strchr("/\\:", name[i]))
			return false;
	return true;
}

/* Only its sign is checked: some writers count file bytes, and none of our sizes come from it. */
static enum qc_status check_total_size(const struct qc_json *json, struct qc_err *err)
{
	qc_json_value total = qc_json_path(json, QC_JSON_ROOT, "metadata.total_size");
	double bytes;

	if (qc_json_f64(json, total, &bytes) && bytes < 0)
		return qc_fail(err, QC_BAD_INPUT, "metadata.total_size is negative");
	return QC_OK;
}

/* Where the list of shards stands while it grows. */
struct shard_list {
	struct qc_strmap numbers; /* name -> position in the list */
	size_t cap;
};

/* The number of the shard that `value` names; a new one joins the list. */
static enum qc_status shard_number(struct qc_hf_index *index, struct shard_list *list,
				   const struct qc_json *json, qc_json_value value,
				   uint64_t *number, struct qc_err *err)
{
	enum qc_status s;
	bool was_there;
	size_t len;
	char *name;

	if (qc_json_type_of(json, value) != QC_JSON_STRING)
		return qc_fail(err, QC_BAD_INPUT, "weight_map has %s where a file name belongs",
			       qc_json_type_name(qc_json_type_of(json, value)));
	name = qc_json_string(json, value, &index->arena, &len);
	if (!name)
		return qc_no_memory(err);
	if (!is_plain_file_name(name, len))
		return qc_fail(err, QC_BAD_INPUT,
			       "weight_map names '%.120s': only a plain file name in the same "
			       "folder is allowed",
			       name);
	s = qc_strmap_add(&list->numbers, name, len, index->n_shards, &was_there, err);
	if (s)
		return s;
	if (was_there) {
		*number = *qc_strmap_find(&list->numbers, name, len);
		return QC_OK;
	}
	if (index->n_shards == list->cap) {
		size_t cap = list->cap ? list->cap * 2 : 16;
		const char **bigger = realloc(index->shards, cap * sizeof(*bigger));

		if (!bigger)
			return qc_no_memory(err);
		index->shards = bigger;
		list->cap = cap;
	}
	*number = index->n_shards;
	index->shards[index->n_shards++] = name;
	return QC_OK;
}

static enum qc_status add_weights(struct qc_hf_index *index, struct shard_list *list,
				  const struct qc_json *json, struct qc_err *err)
{
	qc_json_value map = qc_json_get(json, QC_JSON_ROOT, "weight_map"), before = 0;
	uint64_t shard = 0;

	if (qc_json_type_of(json, map) != QC_JSON_OBJECT)
		return qc_fail(err, QC_BAD_INPUT, "weight_map is %s, not an object",
			       qc_json_type_name(qc_json_type_of(json, map)));
	if (!qc_json_count(json, map))
		return qc_fail(err, QC_BAD_INPUT, "weight_map is empty");
	for (qc_json_value v = qc_json_first(json, map); v; v = qc_json_next(json, v)) {
		/* neighbours are mostly in one shard: then the name is there already */
		bool same = before && qc_json_type_of(json, v) == QC_JSON_STRING &&
			    qc_json_equals(json, v, index->shards[shard]);
		enum qc_status s = same ? QC_OK : shard_number(index, list, json, v, &shard, err);
		bool was_there;
		char *name;
		size_t len;

		if (s)
			return s;
		before = v;
		name = qc_json_key(json, v, &index->arena, &len);
		if (!name)
			return qc_no_memory(err);
		if (memchr(name, 0, len))
			return qc_fail(err, QC_BAD_INPUT,
				       "tensor '%.120s...': a NUL byte in its name", name);
		s = qc_strmap_add(&index->tensors, name, len, shard, &was_there, err);
		if (s)
			return s;
		if (was_there)
			return qc_fail(err, QC_BAD_INPUT, "tensor '%.120s' is listed twice", name);
		index->n_tensors++;
	}
	return QC_OK;
}

enum qc_status qc_hf_index_parse(struct qc_hf_index *index, const char *text, size_t size,
				 struct qc_err *err)
{
	struct shard_list list = {0};
	struct qc_json json = {0};
	enum qc_status s;

	*index = (struct qc_hf_index){0};
	s = qc_json_parse(&json, text, size, 0, err);
	if (!s && qc_json_type_of(&json, QC_JSON_ROOT) != QC_JSON_OBJECT)
		s = qc_fail(err, QC_BAD_INPUT, "the index is %s, not an object",
			    qc_json_type_name(qc_json_type_of(&json, QC_JSON_ROOT)));
	if (!s)
		s = check_total_size(&json, err);
	if (!s)
		s = add_weights(index, &list, &json, err);
	qc_json_clear(&json);
	qc_strmap_clear(&list.numbers);
	if (s)
		qc_hf_index_clear(index);
	return s;
}

void qc_hf_index_clear(struct qc_hf_index *index)
{
	free(index->shards);
	qc_strmap_clear(&index->tensors);
	qc_arena_clear(&index->arena);
	*index = (struct qc_hf_index){0};
}
