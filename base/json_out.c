#include "base/json_out.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

/* What comes before a member: a comma after another one, a line of its own. */
static void begin_member(struct qc_json_out *out)
{
	if (!out->depth)
		return;
	if (out->some[out->depth - 1])
		fputc(',', out->file);
	out->some[out->depth - 1] = true;
	fprintf(out->file, "\n%*s", 2 * (int)out->depth, "");
}

static void put_key(struct qc_json_out *out, const char *key)
{
	begin_member(out);
	if (!key)
		return;
	qc_json_print_string(out->file, key, strlen(key));
	fputs(": ", out->file);
}

void qc_json_out_begin(struct qc_json_out *out, const char *key, char bracket)
{
	put_key(out, key);
	fputc(bracket, out->file);
	assert(out->depth < QC_JSON_OUT_DEPTH);
	out->some[out->depth++] = false;
}

void qc_json_out_end(struct qc_json_out *out, char bracket)
{
	const bool some = out->some[--out->depth];

	if (some)
		fprintf(out->file, "\n%*s", 2 * (int)out->depth, "");
	fputc(bracket, out->file);
	if (!out->depth)
		fputc('\n', out->file);
}

void qc_json_out_raw(struct qc_json_out *out, const char *key, const char *text)
{
	put_key(out, key);
	fputs(text, out->file);
}

void qc_json_out_u64(struct qc_json_out *out, const char *key, uint64_t value)
{
	put_key(out, key);
	fprintf(out->file, "%llu", (unsigned long long)value);
}

void qc_json_out_bool(struct qc_json_out *out, const char *key, bool value)
{
	qc_json_out_raw(out, key, value ? "true" : "false");
}

void qc_json_out_text(struct qc_json_out *out, const char *key, const char *text)
{
	qc_json_out_string(out, key, text, strlen(text));
}

void qc_json_out_string(struct qc_json_out *out, const char *key, const char *text, size_t len)
{
	put_key(out, key);
	qc_json_print_string(out->file, text, len);
}

void qc_json_out_keyed_u64(struct qc_json_out *out, const char *key, size_t len, uint64_t value)
{
	begin_member(out);
	qc_json_print_string(out->file, key, len);
	fprintf(out->file, ": %llu", (unsigned long long)value);
}

void qc_json_out_pair(struct qc_json_out *out, const char *const text[2], const size_t len[2])
{
	begin_member(out);
	fputc('[', out->file);
	qc_json_print_string(out->file, text[0], len[0]);
	fputs(", ", out->file);
	qc_json_print_string(out->file, text[1], len[1]);
	fputc(']', out->file);
}

void qc_json_float_text(float value, char buf[32])
{
	if (!isfinite(value)) {
		snprintf(buf, 32, "null");
		return;
	}
	if (fabsf(value) < 1e15f && value == truncf(value)) {
		snprintf(buf, 32, "%.1f", (double)value);
		return;
	}
	for (int digits = 1; digits <= 9; digits++) {
		snprintf(buf, 32, "%.*g", digits, (double)value);
		if (strtof(buf, NULL) == value)
			break;
	}
	if (!strpbrk(buf, ".e"))
		strcat(buf, ".0");
}
