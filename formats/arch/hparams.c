/* Hyper-parameters as they stand in the metadata: of the model, of one block, and what the letters
 * of tensor shapes make of them. */
#include "formats/arch/arch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

const char *qc_arch_key_name(const struct qc_model *model, const char *key, char buf[96])
{
	if (strncmp(key, "{a}", 3))
		snprintf(buf, 96, "%s", key);
	else
		snprintf(buf, 96, "%s%s", model->arch->name, key + 3);
	return buf;
}

uint32_t qc_arch_u32(const struct qc_model *model, const char *key, uint32_t fallback)
{
	uint32_t value;
	char name[96];

	return model->arch && qc_meta_u32(&model->meta, qc_arch_key_name(model, key, name), &value)
		       ? value
		       : fallback;
}

/* The array `key` when it has elements of the type `elem` and one for the block; NULL. */
static const struct qc_kv *find_array(const struct qc_model *model, const char *key,
				      enum qc_kv_type elem, uint32_t layer)
{
	char name[96];
	const struct qc_kv *kv =
		model->arch ? qc_meta_find(&model->meta, qc_arch_key_name(model, key, name)) : NULL;

	return kv && kv->type == QC_KV_ARRAY && kv->elem == elem && layer < kv->n ? kv : NULL;
}

uint32_t qc_arch_u32_at(const struct qc_model *model, const char *key, uint32_t layer,
			uint32_t fallback)
{
	const struct qc_kv *kv = find_array(model, key, QC_KV_I32, layer);

	if (!kv)
		kv = find_array(model, key, QC_KV_U32, layer);
	return kv ? qc_le32(kv->data + 4 * (size_t)layer) : qc_arch_u32(model, key, fallback);
}

bool qc_arch_is_sliding(const struct qc_model *model, uint32_t layer)
{
	const struct qc_kv *kv =
		find_array(model, "{a}.attention.sliding_window_pattern", QC_KV_BOOL, layer);

	return kv && kv->data[layer];
}

uint32_t qc_arch_head_size(const struct qc_model *model)
{
	const uint32_t heads = qc_arch_u32(model, "{a}.attention.head_count", 0);
	const uint32_t width = qc_arch_u32(model, "{a}.embedding_length", 0);

	return qc_arch_u32(model, "{a}.attention.key_length", heads ? width / heads : 0);
}

uint32_t qc_arch_head_size_at(const struct qc_model *model, uint32_t layer)
{
	const uint32_t size = qc_arch_head_size(model);

	return qc_arch_is_sliding(model, layer)
		       ? qc_arch_u32(model, "{a}.attention.key_length_swa", size)
		       : size;
}

uint32_t qc_arch_vocab_size(const struct qc_model *model)
{
	uint64_t size;

	if (qc_json_u64(&model->config, qc_config_get(model, "vocab_size"), &size))
		return size < UINT32_MAX ? (uint32_t)size : UINT32_MAX;
	return model->arch ? model->arch->vocab_size : 0;
}

uint64_t qc_arch_shape_letter(const struct qc_model *model, char letter, uint32_t layer)
{
	const uint64_t head = qc_arch_head_size_at(model, layer);

	switch (letter) {
	case 'A':
		return qc_arch_u32_at(model, "{a}.attention.head_count", layer, 0);
	case 'D':
		return qc_arch_u32(model, "{a}.embedding_length", 0);
	case 'E':
		return qc_arch_u32(model, "{a}.expert_count", 0);
	case 'F':
		return qc_arch_u32_at(model, "{a}.feed_forward_length", layer, 0);
	case 'G':
		return 2 * (uint64_t)qc_arch_u32(model, "{a}.expert_feed_forward_length", 0);
	case 'H':
		return head;
	case 'K':
		return head * qc_arch_u32_at(model, "{a}.attention.head_count_kv", layer, 0);
	case 'L':
		return (uint64_t)qc_arch_u32(model, "{a}.block_count", 0) *
		       qc_arch_u32(model, "{a}.embedding_length_per_layer_input", 0);
	case 'N':
		return qc_arch_vocab_size(model);
	case 'P':
		return qc_arch_u32(model, "{a}.embedding_length_per_layer_input", 0);
	case 'S':
		return 1;
	case 'X':
		return qc_arch_u32(model, "{a}.expert_feed_forward_length", 0);
	default: /* Q */
		return head * qc_arch_u32_at(model, "{a}.attention.head_count", layer, 0);
	}
}

/* One element a block, as they lie in a file. */
static enum qc_status set_array(struct qc_model *model, const char *key, enum qc_kv_type elem,
				const uint8_t *payload, struct qc_err *err)
{
	const uint32_t n = qc_arch_u32(model, "{a}.block_count", 0);
	char name[96];

	return qc_meta_set(&model->meta, qc_arch_key_name(model, key, name), QC_KV_ARRAY, elem, n,
			   payload, n * qc_kv_type_bytes(elem), err);
}

enum qc_status qc_arch_set_i32s(struct qc_model *model, const char *key, const uint32_t *values,
				struct qc_err *err)
{
	const uint32_t n = qc_arch_u32(model, "{a}.block_count", 0);
	uint8_t *payload = malloc(4 * (size_t)n + 1);
	enum qc_status s;

	if (!payload)
		return qc_no_memory(err);
	for (uint32_t i = 0; i < n; i++)
		qc_put_le32(payload + 4 * (size_t)i, values[i]);
	s = set_array(model, key, QC_KV_I32, payload, err);
	free(payload);
	return s;
}

enum qc_status qc_arch_set_bools(struct qc_model *model, const char *key, const bool *values,
				 struct qc_err *err)
{
	const uint32_t n = qc_arch_u32(model, "{a}.block_count", 0);
	uint8_t *payload = malloc((size_t)n + 1);
	enum qc_status s;

	if (!payload)
		return qc_no_memory(err);
	for (uint32_t i = 0; i < n; i++)
		payload[i] = values[i];
	s = set_array(model, key, QC_KV_BOOL, payload, err);
	free(payload);
	return s;
}
