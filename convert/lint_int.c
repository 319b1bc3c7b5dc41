/*
 * Lint: GPTQ, AWQ and compressed-tensors' integers. Fast kernels believe the configuration instead
 * of the tensors: with "sym" they never read the zero points, without "desc_act" never the order.
 */
#include <string.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "convert/lint_rules.h"

static qc_json_value setting(const struct lint *lint, const char *name)
{
	return qc_json_get(&lint->config.json, lint->config.quant, name);
}

/* Of a GPTQ weight, from its tensors; `bits` as configured when that is possible. */
struct ints {
	uint64_t in, out, groups, bits;
};

static bool is_matrix(const struct qc_tensor *tensor)
{
	return tensor->n_dims == 2 && tensor->dims[0] && tensor->dims[1];
}

static bool gptq_measure(const struct lint *lint, const struct lint_module *module, struct ints *m)
{
	const struct qc_tensor *codes = lint_part(lint, module, PART_QWEIGHT);
	const struct qc_tensor *zeros = lint_part(lint, module, PART_QZEROS);
	const struct qc_tensor *scales = lint_part(lint, module, PART_SCALES);

	if (!is_matrix(codes) || !is_matrix(zeros) || !is_matrix(scales))
		return false;
	m->out = scales->dims[0];
	m->groups = scales->dims[1];
	if (!qc_json_u64(&lint->config.json, setting(lint, "bits"), &m->bits))
		m->bits = zeros->dims[0] < UINT64_MAX / 32 ? zeros->dims[0] * 32 / m->out : 0;
	if (m->bits < 2 || m->bits > 8 || codes->dims[1] > UINT64_MAX / 32)
		return false;
	m->in = codes->dims[1] * 32 / m->bits;
	return true;
}

static enum qc_status expect_matrix(struct lint *lint, const struct lint_module *module,
				    enum lint_part part, uint64_t rows, uint64_t cols)
{
	const uint64_t dims[2] = {cols, rows};

	return lint_expect_shape(lint, lint_part(lint, module, part), 2, dims);
}

static enum qc_status not_measured(struct lint *lint, const struct lint_module *module)
{
	return lint_report(lint, QC_LINT_ERROR, lint_module_subject(lint, module),
			   lint_shape_text(lint, lint_part(lint, module, PART_QWEIGHT)),
			   "matrices of 2 to 8 bits that fit together");
}

enum qc_status lint_gptq_shapes(struct lint *lint, const struct lint_module *module)
{
	const struct qc_tensor *order = lint_part(lint, module, PART_G_IDX);
	struct ints m;
	enum qc_status s;

	if (!gptq_measure(lint, module, &m))
		return not_measured(lint, module);
	s = expect_matrix(lint, module, PART_QWEIGHT, qc_divide_up(m.in * m.bits, 32), m.out);
	if (!s)
		s = expect_matrix(lint, module, PART_QZEROS, m.groups,
				  qc_divide_up(m.out * m.bits, 32));
	return s || !order ? s : lint_expect_shape(lint, order, 1, &m.in);
}

enum qc_status lint_awq_shapes(struct lint *lint, const struct lint_module *module)
{
	const struct qc_tensor *codes = lint_part(lint, module, PART_QWEIGHT);
	const struct qc_tensor *scales = lint_part(lint, module, PART_SCALES);
	enum qc_status s;

	if (!is_matrix(codes) || !is_matrix(scales))
		return not_measured(lint, module);
	s = expect_matrix(lint, module, PART_QWEIGHT, codes->dims[1], scales->dims[0] / 8);
	if (!s)
		s = expect_matrix(lint, module, PART_QZEROS, scales->dims[1], scales->dims[0] / 8);
	if (!s && codes->dims[1] % scales->dims[1])
		s = lint_report(lint, QC_LINT_ERROR, scales->stored_name,
				lint_text(lint, "%llu groups of %llu inputs",
					  (unsigned long long)scales->dims[1],
					  (unsigned long long)codes->dims[1]),
				"groups of one size");
	return s;
}

/* [outputs, inputs] as the tensor weight_shape has it. */
static enum qc_status read_shape(struct lint *lint, const struct qc_tensor *tensor,
				 uint64_t shape[2], bool *ok)
{
	const uint32_t width = tensor->source->type->block_bytes;
	struct qc_extent extent;
	uint8_t bytes[16];
	enum qc_status s;

	*ok = qc_tensor_elems(tensor) == 2 &&
	      qc_source_extent(tensor->source, 0, tensor->source->rows, &extent);
	if (!*ok)
		return QC_OK;
	s = qc_file_read(extent.file, extent.offset, bytes, 2 * (size_t)width, lint->err);
	for (int i = 0; !s && i < 2; i++)
		shape[i] = width == 8 ? qc_le64(bytes + 8 * i) : qc_le32(bytes + 4 * i);
	return s;
}

enum qc_status lint_ct_packed_shapes(struct lint *lint, const struct lint_module *module)
{
	const struct qc_tensor *codes = lint_part(lint, module, PART_WEIGHT_PACKED);
	const struct qc_tensor *scale = lint_part(lint, module, PART_WEIGHT_SCALE);
	const struct qc_tensor *tensor = lint_part(lint, module, PART_WEIGHT_SHAPE);
	uint64_t shape[2] = {0};
	bool ok;
	enum qc_status s = read_shape(lint, tensor, shape, &ok);

	if (s)
		return s;
	if (!ok || !is_matrix(codes) || shape[0] != codes->dims[1] ||
	    shape[1] < codes->dims[0] * 4 || shape[1] > codes->dims[0] * 16)
		return lint_report(lint, QC_LINT_ERROR, tensor->stored_name,
				   lint_text(lint, "%llu x %llu beside codes of %s",
					     (unsigned long long)shape[0],
					     (unsigned long long)shape[1],
					     lint_shape_text(lint, codes)),
				   "outputs and inputs of packed 2 to 8 bits");
	if (scale->n_dims > 1)
		return expect_matrix(lint, module, PART_WEIGHT_SCALE, shape[0], scale->dims[0]);
	return QC_OK;
}

enum qc_status lint_ct_int8_shapes(struct lint *lint, const struct lint_module *module)
{
	const struct qc_tensor *weight = lint_part(lint, module, PART_WEIGHT);
	const struct qc_tensor *scale = lint_part(lint, module, PART_WEIGHT_SCALE);
	const uint64_t n = qc_tensor_elems(scale);

	if (weight->n_dims != 2 || n == 1 || n == weight->dims[1])
		return QC_OK;
	return expect_matrix(lint, module, PART_WEIGHT_SCALE, weight->dims[1],
			     scale->n_dims ? scale->dims[0] : 1);
}

static bool is_gptq(const struct lint *lint, const struct lint_module *module)
{
	(void)lint;
	return module->scheme == &lint_gptq && module->complete;
}

static bool is_int(const struct lint *lint, const struct lint_module *module)
{
	return is_gptq(lint, module) || (module->scheme == &lint_awq && module->complete);
}

static enum qc_status check_group_size(struct lint *lint, const struct lint_module *module)
{
	const struct qc_tensor *codes = lint_part(lint, module, PART_QWEIGHT);
	const struct qc_tensor *scales = lint_part(lint, module, PART_SCALES);
	struct ints m;
	uint64_t groups;
	int64_t size;

	if (module->scheme == &lint_awq && is_matrix(codes) && is_matrix(scales))
		m = (struct ints){.in = codes->dims[1], .groups = scales->dims[1]};
	else if (module->scheme == &lint_awq || !gptq_measure(lint, module, &m))
		return QC_OK;
	if (!qc_json_i64(&lint->config.json, setting(lint, "group_size"), &size) || !size)
		return QC_OK;
	groups = size < 0 ? 1 : qc_divide_up(m.in, (uint64_t)size);
	if (groups == m.groups)
		return QC_OK;
	return lint_report(lint, QC_LINT_ERROR, scales->stored_name,
			   lint_text(lint, "%llu groups of %llu inputs",
				     (unsigned long long)m.groups, (unsigned long long)m.in),
			   lint_text(lint, "%llu, as group_size is %lld",
				     (unsigned long long)groups, (long long)size));
}

static enum qc_status check_bits(struct lint *lint, const struct lint_module *module)
{
	const struct qc_tensor *zeros = lint_part(lint, module, PART_QZEROS);
	const struct qc_tensor *scales = lint_part(lint, module, PART_SCALES);
	uint64_t bits, want;

	if (!is_matrix(zeros) || !is_matrix(scales) ||
	    !qc_json_u64(&lint->config.json, setting(lint, "bits"), &bits) || bits > 8)
		return QC_OK;
	want = qc_divide_up(scales->dims[0] * bits, 32);
	if (zeros->dims[0] == want)
		return QC_OK;
	return lint_report(lint, QC_LINT_ERROR, zeros->stored_name, lint_shape_text(lint, zeros),
			   lint_text(lint, "rows of %llu words, as bits is %llu",
				     (unsigned long long)want, (unsigned long long)bits));
}

/* g_idx against i / group. */
struct order {
	uint64_t at, size, groups;
	uint64_t moved; /* inputs that are in another group than their place says */
	uint64_t bad;
};

static void scan_order(void *user, const uint8_t *bytes, size_t n)
{
	struct order *o = user;

	for (size_t i = 0; i + 4 <= n; i += 4, o->at++) {
		const uint32_t group = qc_le32(bytes + i);

		o->bad += group >= o->groups;
		o->moved += group != o->at / o->size;
	}
}

static enum qc_status check_order(struct lint *lint, const struct lint_module *module)
{
	const struct qc_tensor *tensor = lint_part(lint, module, PART_G_IDX);
	struct order order = {0};
	struct ints m;
	bool desc_act = false;
	enum qc_status s;

	if (!tensor || !gptq_measure(lint, module, &m))
		return QC_OK;
	order.groups = m.groups;
	order.size = qc_divide_up(m.in, m.groups);
	s = lint_each_part(lint, tensor, scan_order, &order);
	if (s)
		return s;
	if (order.bad)
		return lint_report(lint, QC_LINT_ERROR, tensor->stored_name,
				   lint_text(lint, "%llu inputs in groups that do not exist",
					     (unsigned long long)order.bad),
				   lint_text(lint, "0 to %llu", (unsigned long long)m.groups - 1));
	if (!order.moved || !lint->config.quant ||
	    (qc_json_bool(&lint->config.json, setting(lint, "desc_act"), &desc_act) && desc_act))
		return QC_OK;
	return lint_report(lint, QC_LINT_ERROR, tensor->stored_name,
			   lint_text(lint, "%llu inputs out of order, while desc_act is not true",
				     (unsigned long long)order.moved),
			   "desc_act true, or groups in order");
}

struct zeros {
	uint32_t word;
	uint64_t other;
};

static void scan_zeros(void *user, const uint8_t *bytes, size_t n)
{
	struct zeros *z = user;

	for (size_t i = 0; i + 4 <= n; i += 4)
		z->other += qc_le32(bytes + i) != z->word;
}

/* "sym" promises that every zero point is the middle. */
static enum qc_status check_zeros(struct lint *lint, const struct lint_module *module)
{
	const struct qc_tensor *tensor = lint_part(lint, module, PART_QZEROS);
	const struct qc_json *json = &lint->config.json;
	const bool v2 = qc_json_equals(json, setting(lint, "checkpoint_format"), "gptq_v2");
	struct zeros zeros = {0};
	struct ints m;
	bool sym = false;
	enum qc_status s;

	if (!qc_json_bool(json, setting(lint, "sym"), &sym) || !sym ||
	    !gptq_measure(lint, module, &m) || (m.bits != 2 && m.bits != 4 && m.bits != 8))
		return QC_OK;
	for (uint64_t bit = 0; bit < 32; bit += m.bits)
		zeros.word |= ((1u << (m.bits - 1)) - !v2) << bit;
	s = lint_each_part(lint, tensor, scan_zeros, &zeros);
	if (s || !zeros.other)
		return s;
	return lint_report(lint, QC_LINT_ERROR, tensor->stored_name,
			   lint_text(lint, "%llu of %llu words are not 0x%08x, while sym is true",
				     (unsigned long long)zeros.other,
				     (unsigned long long)qc_tensor_elems(tensor), zeros.word),
			   "zero points in the middle, or sym false");
}

static bool is_awq(const struct lint *lint, const struct lint_module *module)
{
	(void)lint;
	return module->scheme == &lint_awq;
}

/* Other versions have other orders of codes in the same shapes. */
static enum qc_status check_version(struct lint *lint, const struct lint_module *module)
{
	const struct qc_json *json = &lint->config.json;
	qc_json_value version = setting(lint, "version");
	const char *text;
	enum qc_status s = lint_config_text(lint, json, version, false, &text);

	if (s || !text || !strcmp(text, "gemm"))
		return s;
	return lint_report(lint, QC_LINT_ERROR, lint_module_subject(lint, module),
			   lint_text(lint, "version \"%.40s\" over tensors packed for gemm", text),
			   "\"gemm\"");
}

const struct lint_rule lint_rules_int[] = {
	{
		.name = "group-size",
		.loader = "vLLM, SGLang and transformers expect scales of another shape and fail",
		.check_module = check_group_size,
		.applies = is_int,
	},
	{
		.name = "bits",
		.loader = "vLLM, SGLang and transformers expect codes of another shape and fail",
		.check_module = check_bits,
		.applies = is_int,
	},
	{
		.name = "gptq-order",
		.loader = "vLLM's and SGLang's Marlin kernels do not read g_idx then: nonsense",
		.check_module = check_order,
		.applies = is_gptq,
	},
	{
		.name = "gptq-zeros",
		.loader = "vLLM's and SGLang's Marlin kernels do not read the zero points then: "
			  "nonsense",
		.check_module = check_zeros,
		.applies = is_gptq,
	},
	{
		.name = "awq-version",
		.loader = "vLLM and transformers unpack the codes in another order: nonsense",
		.check_module = check_version,
		.applies = is_awq,
	},
	{0},
};
