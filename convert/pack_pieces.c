#include "convert/pack_pieces.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/json.h"
#include "formats/experts_split.h"
#include "quant/types.h"

enum qc_status qc_pack_begin(struct qc_plan *plan, struct qc_step *step, struct qc_err *err)
{
	step->n_units = step->rows;
	step->unit_elems = step->cols;
	step->pieces = qc_arena_array(&plan->arena, QC_MAX_PIECES, sizeof(*step->pieces));
	return step->pieces ? QC_OK : qc_no_memory(err);
}

enum qc_status qc_pack_add(struct qc_plan *plan, struct qc_step *step, const char *base,
			   const char *suffix, const struct qc_qtype *type, uint32_t n_dims,
			   const uint64_t *dims, uint64_t unit_bytes, struct qc_err *err)
{
	struct qc_piece *piece = &step->pieces[step->n_pieces];
	uint64_t *own = qc_arena_array(&plan->arena, (uint64_t)n_dims + 1, sizeof(*own));
	const char *name = qc_arena_printf(&plan->arena, "%s%s", base, suffix);
	uint64_t elems = 1, bytes;

	if (!own || !name)
		return qc_no_memory(err);
	for (uint32_t i = 0; i < n_dims; i++) {
		own[i] = dims[i];
		if (!qc_mul(elems, dims[i], &elems))
			return qc_fail(err, QC_UNSUPPORTED, "tensor '%.160s' is too large", name);
	}
	if (!qc_qtype_bytes(type, elems, &bytes))
		return qc_fail(err, QC_UNSUPPORTED, "tensor '%.160s' is too large", name);
	*piece = (struct qc_piece){.name = name,
				   .type = type,
				   .n_dims = n_dims,
				   .dims = own,
				   .bytes = bytes,
				   .unit_bytes = unit_bytes};
	step->n_pieces++;
	return QC_OK;
}

enum qc_status qc_pack_set_constant(struct qc_plan *plan, struct qc_piece *piece, const void *bytes,
				    uint64_t size, struct qc_err *err)
{
	uint8_t *own = qc_arena_alloc(&plan->arena, (size_t)size);

	if (!own)
		return qc_no_memory(err);
	memcpy(own, bytes, (size_t)size);
	piece->constant = own;
	if (piece->bytes != size) {
		uint64_t *dims = qc_arena_array(&plan->arena, 1, sizeof(*dims));

		if (!dims)
			return qc_no_memory(err);
		*dims = piece->bytes = size;
		piece->dims = dims;
	}
	return QC_OK;
}

enum qc_status qc_pack_add_constant(struct qc_plan *plan, struct qc_step *step, const char *base,
				    const char *suffix, const struct qc_qtype *type,
				    uint32_t n_dims, const uint64_t *dims, const void *bytes,
				    struct qc_err *err)
{
	static const uint8_t zeros[64];
	struct qc_piece *piece = &step->pieces[step->n_pieces];
	enum qc_status s = qc_pack_add(plan, step, base, suffix, type, n_dims, dims, 0, err);

	if (s)
		return s;
	return qc_pack_set_constant(plan, piece, bytes ? bytes : zeros, piece->bytes, err);
}

char *qc_pack_module(struct qc_plan *plan, const struct qc_step *step)
{
	size_t len = strlen(step->name), n = strlen(".weight");

	if (len > n && !strcmp(step->name + len - n, ".weight"))
		len -= n;
	return qc_arena_copy(&plan->arena, step->name, len);
}

const char *qc_pack_dtype(const struct qc_step *step)
{
	if (step->from == &qc_f16)
		return "float16";
	return step->from == &qc_f32 || step->from == &qc_f64 ? "float32" : "bfloat16";
}

const char *qc_pack_unfit_rows(struct qc_model *model, const struct qc_tensor *tensor,
			       uint32_t group)
{
	const char *why;

	if (tensor->source->cols % group == 0)
		return NULL;
	why = qc_arena_printf(&model->arena, "%llu columns are not whole groups of %u",
			      (unsigned long long)tensor->source->cols, group);
	return why ? why : "columns are not whole groups";
}

const char *qc_pack_unfit_matrix(struct qc_model *model, const struct qc_tensor *tensor,
				 uint32_t group)
{
	return tensor->n_dims == 2 ? qc_pack_unfit_rows(model, tensor, group)
				   : "experts in one tensor are not packed in this layout";
}

static bool is_head(const char *module)
{
	size_t len = strlen(module);

	return len >= 7 && !strcmp(module + len - 7, "lm_head") &&
	       (len == 7 || module[len - 8] == '.');
}

bool qc_pack_skips_more(const struct qc_plan *plan)
{
	for (size_t i = 0; i < plan->n_skipped; i++)
		if (!is_head(plan->skipped[i]))
			return true;
	return false;
}

void qc_pack_put_skipped(FILE *out, const struct qc_plan *plan, int indent)
{
	bool has_head = false;

	for (size_t i = 0; i < plan->n_skipped; i++)
		has_head = has_head || is_head(plan->skipped[i]);
	fputs("[", out);
	if (!has_head)
		fprintf(out, "\n%*s\"lm_head\"", indent + 2, "");
	for (size_t i = 0; i < plan->n_skipped; i++) {
		fprintf(out, "%s\n%*s", i || !has_head ? "," : "", indent + 2, "");
		qc_json_print_string(out, plan->skipped[i], strlen(plan->skipped[i]));
	}
	fprintf(out, "\n%*s]", indent, "");
}

const struct qc_step *qc_pack_first(const struct qc_plan *plan)
{
	for (size_t i = 0; i < plan->n_steps; i++)
		if (plan->steps[i].packing)
			return &plan->steps[i];
	return NULL;
}

/* vLLM: GptOssModel._load_weights_other(), September 2026; transformers: GptOssExperts. */
const char *qc_pack_single_experts_note(const struct qc_plan *plan)
{
	return plan->model->arch && qc_experts_are_turned(plan->model) &&
			       qc_experts_are_single(plan->model)
		       ? "experts one by one, as llm-compressor names them; vLLM and transformers "
			 "read experts of this architecture in one tensor only (--layout gpt-oss)"
		       : NULL;
}

float qc_largest(const float *x, size_t n)
{
	float lane[8] = {0}, largest = 0;
	size_t i = 0;

	/* eight at a time: the order of a maximum does not matter, its latency does */
	for (; i + 8 <= n; i += 8)
		for (int k = 0; k < 8; k++) {
			float magnitude = fabsf(x[i + (size_t)k]);

			lane[k] = magnitude > lane[k] ? magnitude : lane[k];
		}
	for (; i < n; i++)
		lane[0] = fabsf(x[i]) > lane[0] ? fabsf(x[i]) : lane[0];
	for (int k = 0; k < 8; k++)
		largest = lane[k] > largest ? lane[k] : largest;
	return largest;
}

void qc_pack_measure_largest(const struct qc_pack_range *range, uint8_t *measured)
{
	const size_t unit = (size_t)range->step->unit_elems;

	for (uint64_t u = 0; u < range->n_units; u++) {
		const float amax = qc_largest(range->x + u * unit, unit);

		memcpy(measured + u * sizeof(amax), &amax, sizeof(amax));
	}
}
