/*
 * quant_state, as bitsandbytes writes it (functional.py: QuantState.as_dict):
 *
 *   {"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [8, 16],
 *    "nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": 0.0421}
 *
 * The nested_ members are there, all of them, when absmax is quantized too. Like bitsandbytes' own
 * reader this one refuses members that it does not know: they would change what the codes mean.
 */
#include "formats/bnb_state.h"

#include <math.h>
#include <stdio.h>

#include "base/checked.h"
#include "base/json.h"
#include "quant/types.h"

static const char *const members[] = {
	"quant_type",	    "blocksize",    "dtype",	     "shape",
	"nested_blocksize", "nested_dtype", "nested_offset", NULL,
};

/* A value as it stands in the text, cut to what a message can hold. */
static const char *raw_text(const struct qc_json *json, qc_json_value value, char buf[48])
{
	size_t len;
	const char *raw = qc_json_raw(json, value, &len);

	if (!raw)
		return "missing";
	snprintf(buf, 48, "%.*s%s", len > 40 ? 40 : (int)len, raw, len > 40 ? "..." : "");
	return buf;
}

static enum qc_status bad_member(const struct qc_json *json, qc_json_value value, const char *name,
				 const char *wanted, struct qc_err *err)
{
	char raw[48];

	return qc_fail(err, QC_BAD_INPUT, "'%s' is %s, %s is needed", name,
		       raw_text(json, value, raw), wanted);
}

static enum qc_status check_members(const struct qc_json *json, struct qc_err *err)
{
	for (qc_json_value v = qc_json_first(json, QC_JSON_ROOT); v; v = qc_json_next(json, v)) {
		const char *const *name = members;
		char raw[48];

		while (*name && !qc_json_key_equals(json, v, *name))
			name++;
		if (!*name)
			return qc_fail(err, QC_UNSUPPORTED,
				       "a member that bitsandbytes does not write, with the value "
				       "%s",
				       raw_text(json, v, raw));
	}
	return QC_OK;
}

static enum qc_status get_blocksize(const struct qc_json *json, const char *name, uint32_t *out,
				    struct qc_err *err)
{
	qc_json_value value = qc_json_get(json, QC_JSON_ROOT, name);
	uint64_t n;

	if (!qc_json_u64(json, value, &n) || n < 32 || n > 4096 || n & (n - 1))
		return bad_member(json, value, name, "a power of two from 32 to 4096", err);
	*out = (uint32_t)n;
	return QC_OK;
}

static enum qc_status get_type(const struct qc_json *json, struct qc_bnb_state *state,
			       struct qc_err *err)
{
	static const char *const names[] = {"nf4", "fp4"};
	qc_json_value value = qc_json_get(json, QC_JSON_ROOT, "quant_type");

	for (size_t i = 0; i < 2; i++)
		if (qc_json_equals(json, value, names[i]))
			state->quant_type = names[i];
	return state->quant_type ? QC_OK
				 : bad_member(json, value, "quant_type", "\"nf4\" or \"fp4\"", err);
}

static enum qc_status get_dtype(const struct qc_json *json, struct qc_bnb_state *state,
				struct qc_err *err)
{
	static const struct {
		const char *name;
		const struct qc_qtype *type;
	} types[] = {{"bfloat16", &qc_bf16}, {"float16", &qc_f16}, {"float32", &qc_f32}};
	qc_json_value value = qc_json_get(json, QC_JSON_ROOT, "dtype");

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (qc_json_equals(json, value, types[i].name))
			state->dtype = types[i].type;
	return state->dtype ? QC_OK
			    : bad_member(json, value, "dtype",
					 "\"bfloat16\", \"float16\" or \"float32\"", err);
}

static enum qc_status get_shape(const struct qc_json *json, struct qc_bnb_state *state,
				struct qc_err *err)
{
	static const char wanted[] = "an array of one to four positive integers";
	qc_json_value shape = qc_json_get(json, QC_JSON_ROOT, "shape");
	uint32_t n = qc_json_count(json, shape), i = 0;

	if (qc_json_type_of(json, shape) != QC_JSON_ARRAY || !n || n > QC_BNB_STATE_MAX_DIMS)
		return bad_member(json, shape, "shape", wanted, err);
	state->n_dims = n;
	state->elems = 1;
	for (qc_json_value v = qc_json_first(json, shape); v; v = qc_json_next(json, v)) {
		uint64_t *dim = &state->dims[n - 1 - i++];

		if (!qc_json_u64(json, v, dim) || !*dim)
			return bad_member(json, shape, "shape", wanted, err);
		if (!qc_mul(state->elems, *dim, &state->elems) || state->elems > INT64_MAX)
			return bad_member(json, shape, "shape", "a product below 2^63", err);
	}
	return QC_OK;
}

static enum qc_status get_nested(const struct qc_json *json, struct qc_bnb_state *state,
				 struct qc_err *err)
{
	qc_json_value size = qc_json_get(json, QC_JSON_ROOT, "nested_blocksize");
	qc_json_value dtype = qc_json_get(json, QC_JSON_ROOT, "nested_dtype");
	qc_json_value offset = qc_json_get(json, QC_JSON_ROOT, "nested_offset");
	enum qc_status s;
	double value;

	state->nested = size || dtype || offset;
	if (!state->nested)
		return QC_OK;
	s = get_blocksize(json, "nested_blocksize", &state->nested_blocksize, err);
	if (s)
		return s;
	if (!qc_json_equals(json, dtype, "float32"))
		return bad_member(json, dtype, "nested_dtype", "\"float32\"", err);
	if (!qc_json_f64(json, offset, &value) || !isfinite((float)value))
		return bad_member(json, offset, "nested_offset", "a number in f32's range", err);
	state->nested_offset = (float)value; /* torch.tensor(float) rounds the same way */
	return QC_OK;
}

static enum qc_status get_all(const struct qc_json *json, struct qc_bnb_state *state,
			      struct qc_err *err)
{
	enum qc_status s;

	if (qc_json_type_of(json, QC_JSON_ROOT) != QC_JSON_OBJECT)
		return qc_fail(err, QC_BAD_INPUT, "it is %s, an object is needed",
			       qc_json_type_name(qc_json_type_of(json, QC_JSON_ROOT)));
	s = check_members(json, err);
	if (!s)
		s = get_type(json, state, err);
	if (!s)
		s = get_blocksize(json, "blocksize", &state->blocksize, err);
	if (!s)
		s = get_dtype(json, state, err);
	if (!s)
		s = get_shape(json, state, err);
	if (!s)
		s = get_nested(json, state, err);
	return s;
}

enum qc_status qc_bnb_state_parse(struct qc_bnb_state *state, const char *text, size_t size,
				  struct qc_err *err)
{
	struct qc_json json = {0};
	enum qc_status s;

	*state = (struct qc_bnb_state){0};
	if (size > QC_BNB_STATE_MAX_BYTES)
		return qc_fail(err, QC_BAD_INPUT, "it has %zu bytes, at most %u are allowed", size,
			       QC_BNB_STATE_MAX_BYTES);
	s = qc_json_parse(&json, text, size, 0, err);
	if (!s)
		s = get_all(&json, state, err);
	qc_json_clear(&json);
	return s;
}
