/*
 * What metadata keys mean together. Readers of these values later divide by them, allocate by them
 * and index one array by another's length, so what cannot be right is refused here, for
 * architectures that qconv knows and for others.
 */
#include "formats/gguf.h"

#include <stdio.h>
#include <string.h>

/* More blocks than any model has: llama.cpp refuses more than 512. */
#define MAX_BLOCKS 4096

/* An array with an entry for every token: absent, or of `elem` (or `other`) values and long enough.
 */
static enum qc_status check_token_array(const struct qc_meta *meta, const char *key,
					enum qc_kv_type elem, enum qc_kv_type other,
					uint64_t n_tokens, struct qc_err *err)
{
	const struct qc_kv *kv = qc_meta_find(meta, key);

	if (!kv)
		return QC_OK;
	if (kv->type != QC_KV_ARRAY || (kv->elem != elem && kv->elem != other))
		return qc_fail(err, QC_BAD_INPUT, "%s is %s%s, it must be an array of %s", key,
			       kv->type == QC_KV_ARRAY ? "an array of " : "",
			       qc_kv_type_name(kv->elem), qc_kv_type_name(elem));
	if (kv->n < n_tokens)
		return qc_fail(err, QC_BAD_INPUT, "%s has %llu values for %llu tokens", key,
			       (unsigned long long)kv->n, (unsigned long long)n_tokens);
	return QC_OK;
}

static enum qc_status check_tokenizer(const struct qc_meta *meta, struct qc_err *err)
{
	const struct qc_kv *tokens = qc_meta_find(meta, "tokenizer.ggml.tokens");
	uint64_t n = tokens ? tokens->n : 0;
	enum qc_status s;

	s = check_token_array(meta, "tokenizer.ggml.tokens", QC_KV_STRING, QC_KV_STRING, 0, err);
	if (!s)
		s = check_token_array(meta, "tokenizer.ggml.scores", QC_KV_F32, QC_KV_F32, n, err);
	if (!s)
		s = check_token_array(meta, "tokenizer.ggml.token_type", QC_KV_I32, QC_KV_U32, n,
				      err);
	if (!s)
		s = check_token_array(meta, "tokenizer.ggml.merges", QC_KV_STRING, QC_KV_STRING, 0,
				      err);
	return s;
}

/* "{architecture}.{rest}" */
static const struct qc_kv *arch_key(const struct qc_meta *meta, const char *arch, size_t arch_len,
				    const char *rest)
{
	char key[256];
	int n = snprintf(key, sizeof(key), "%.*s.%s", (int)arch_len, arch, rest);

	return n > 0 && (size_t)n < sizeof(key) ? qc_meta_find(meta, key) : NULL;
}

/* State-space and RWKV models have no attention heads and say 0. */
static bool is_recurrent(const struct qc_meta *meta, const char *arch, size_t arch_len)
{
	return arch_key(meta, arch, arch_len, "ssm.state_size") ||
	       arch_key(meta, arch, arch_len, "ssm.conv_kernel") ||
	       arch_key(meta, arch, arch_len, "wkv.head_size");
}

static enum qc_status check_counts(const struct qc_meta *meta, struct qc_err *err)
{
	const char *arch;
	size_t len;
	const struct qc_kv *kv;
	uint32_t value;

	if (!qc_meta_string(meta, "general.architecture", &arch, &len) || len > 128)
		return QC_OK;
	kv = arch_key(meta, arch, len, "block_count");
	if (kv && (!qc_meta_u32(meta, kv->key, &value) || value > MAX_BLOCKS))
		return qc_fail(err, QC_BAD_INPUT, "%s is not a whole number from 0 to %d", kv->key,
			       MAX_BLOCKS);
	kv = arch_key(meta, arch, len, "attention.head_count");
	/* an array has a count for each block, where 0 is a block without attention */
	if (kv && kv->type != QC_KV_ARRAY && !qc_meta_u32(meta, kv->key, &value))
		return qc_fail(err, QC_BAD_INPUT, "%s is not a whole number", kv->key);
	if (kv && kv->type != QC_KV_ARRAY && !value && !is_recurrent(meta, arch, len))
		return qc_fail(err, QC_BAD_INPUT, "%s is 0, attention needs at least 1", kv->key);
	return QC_OK;
}

enum qc_status qc_gguf_check_meta(const struct qc_meta *meta, struct qc_err *err)
{
	enum qc_status s = check_tokenizer(meta, err);

	if (!s)
		s = check_counts(meta, err);
	return s;
}
