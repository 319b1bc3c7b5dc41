#include "formats/hf_back.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/json_out.h"
#include "formats/arch/config_back.h"
#include "formats/hf_sampling.h"
#include "formats/layout_back.h"
#include "formats/tokenizer_write.h"
#include "quant/types.h"

#define MAX_FREQS 65536

/* The values of rope_freqs.weight, in the arena; *values stays NULL when there is none. */
static enum qc_status read_freqs(struct qc_model *model, const float **values, uint64_t *n,
				 struct qc_err *err)
{
	const struct qc_tensor *tensor = qc_model_find(model, "rope_freqs.weight");
	struct qc_scratch scratch = {0};
	float *room;
	enum qc_status s;

	*values = NULL;
	*n = 0;
	if (!tensor || !model->arch->generate)
		return QC_OK;
	if (tensor->source->type != &qc_f32 || tensor->n_dims != 1 || !tensor->dims[0] ||
	    tensor->dims[0] > MAX_FREQS)
		return qc_fail(err, QC_UNSUPPORTED,
			       "tensor 'rope_freqs.weight' is no vector of f32");
	*n = tensor->dims[0];
	room = qc_arena_array(&model->arena, *n, sizeof(*room));
	scratch.size = qc_source_scratch(tensor->source, tensor->source->rows);
	scratch.base = aligned_alloc(64, (scratch.size + 127) & ~(size_t)63);
	s = room && scratch.base ? qc_source_read_f32(tensor->source, 0, tensor->source->rows, room,
						      &scratch, err)
				 : qc_no_memory(err);
	free(scratch.base);
	*values = room;
	return s;
}

static enum qc_status add_config(struct qc_model *model, const float *freqs, uint64_t n_freqs,
				 struct qc_err *err)
{
	const char *text;
	size_t size;
	enum qc_status s =
		qc_arch_config_text(model, &model->arena, freqs, n_freqs, &text, &size, err);

	return s ? s : qc_model_add_side(model, "config.json", text, size, err);
}

/* The ends of a text and of a turn. */
static void put_ends(const struct qc_model *model, struct qc_json_out *out)
{
	uint32_t eos, eot;

	if (!qc_meta_u32(&model->meta, "tokenizer.ggml.eos_token_id", &eos))
		return;
	if (!qc_meta_u32(&model->meta, "tokenizer.ggml.eot_token_id", &eot) || eot == eos) {
		qc_json_out_u64(out, "eos_token_id", eos);
		return;
	}
	qc_json_out_begin(out, "eos_token_id", '[');
	qc_json_out_u64(out, NULL, eos);
	qc_json_out_u64(out, NULL, eot);
	qc_json_out_end(out, ']');
}

static void put_generation(const struct qc_model *model, struct qc_json_out *out)
{
	const struct qc_kv *suppressed =
		qc_meta_find(&model->meta, "tokenizer.ggml.suppress_tokens");
	uint32_t id;

	qc_json_out_begin(out, NULL, '{');
	if (qc_meta_u32(&model->meta, "tokenizer.ggml.bos_token_id", &id))
		qc_json_out_u64(out, "bos_token_id", id);
	put_ends(model, out);
	if (qc_meta_u32(&model->meta, "tokenizer.ggml.padding_token_id", &id))
		qc_json_out_u64(out, "pad_token_id", id);
	qc_hf_put_sampling(model, out);
	if (suppressed && suppressed->type == QC_KV_ARRAY &&
	    suppressed->bytes == 4 * suppressed->n) {
		qc_json_out_begin(out, "suppress_tokens", '[');
		for (uint64_t i = 0; i < suppressed->n; i++)
			qc_json_out_u64(out, NULL, qc_le32(suppressed->data + 4 * i));
		qc_json_out_end(out, ']');
	}
	qc_json_out_end(out, '}');
}

static enum qc_status add_generation(struct qc_model *model, struct qc_err *err)
{
	char *text = NULL;
	size_t size;
	struct qc_json_out out = {.file = open_memstream(&text, &size)};
	bool failed;
	enum qc_status s;

	if (!out.file)
		return qc_no_memory(err);
	put_generation(model, &out);
	failed = ferror(out.file);
	failed = fclose(out.file) || failed;
	s = failed ? qc_no_memory(err)
		   : qc_model_add_side(model, "generation_config.json", text, size, err);
	free(text);
	return s;
}

static enum qc_status add_tokenizer(struct qc_model *model, struct qc_err *err)
{
	struct qc_err why = {0};
	enum qc_status s = qc_tokenizer_write(model, &why);

	if (!s)
		return QC_OK;
	if (s != QC_UNSUPPORTED) {
		*err = why;
		return s;
	}
	model->tokenizer_note =
		qc_arena_printf(&model->arena, "the tokenizer cannot be written: %s", why.text);
	return model->tokenizer_note ? QC_OK : qc_no_memory(err);
}

enum qc_status qc_hf_back(struct qc_model *model, struct qc_err *err)
{
	const size_t n = model->n_tensors;
	const uint32_t n_layers = qc_arch_u32(model, "{a}.block_count", 0);
	struct qc_tensor *before;
	const float *freqs = NULL;
	uint64_t n_freqs = 0;
	enum qc_status s;

	if (n_layers > QC_MAX_LAYERS)
		return qc_fail(err, QC_UNSUPPORTED, "'%s': %u blocks, at most %d are supported",
			       model->path, n_layers, QC_MAX_LAYERS);
	before = malloc((n + 1) * sizeof(*before));
	if (!before)
		return qc_no_memory(err);
	if (n)
		memcpy(before, model->tensors, n * sizeof(*before));
	s = read_freqs(model, &freqs, &n_freqs, err);
	if (!s)
		s = qc_layout_back(model, err);
	if (!s)
		s = add_config(model, freqs, n_freqs, err);
	if (!s)
		s = add_generation(model, err);
	if (!s)
		s = add_tokenizer(model, err);
	if (!s)
		s = qc_hf_back_check(model, before, n, err);
	free(before);
	return s ? qc_fail_in(err, "'%s' as a Hugging Face checkpoint", model->path) : QC_OK;
}
