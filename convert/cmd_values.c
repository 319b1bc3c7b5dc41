/* Metadata values for people and for JSON. */
#include <inttypes.h>
#include <math.h>

#include "base/bytes.h"
#include "base/json.h"
#include "convert/cli.h"
#include "formats/meta.h"

enum { SHOWN_ELEMENTS = 4, SHOWN_TEXT = 72 };

static uint64_t load_bits(const uint8_t *data, size_t bytes)
{
	return bytes == 1   ? *data
	       : bytes == 2 ? qc_le16(data)
	       : bytes == 4 ? qc_le32(data)
			    : qc_le64(data);
}

/* A number that JSON cannot hold becomes a string there. */
static void print_float(double value, int digits, bool json)
{
	if (json && !isfinite(value))
		printf("\"%s\"", isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
	else
		printf("%.*g", digits, value);
}

static void print_number(enum qc_kv_type type, const uint8_t *data, bool json)
{
	size_t bytes = qc_kv_type_bytes(type);
	uint64_t bits = load_bits(data, bytes);
	int shift = 64 - 8 * (int)bytes;

	if (type == QC_KV_F32)
		print_float(qc_bits_f32((uint32_t)bits), 9, json);
	else if (type == QC_KV_F64)
		print_float(qc_bits_f64(bits), 17, json);
	else if (type == QC_KV_BOOL)
		fputs(bits ? "true" : "false", stdout);
	else if (type == QC_KV_I8 || type == QC_KV_I16 || type == QC_KV_I32 || type == QC_KV_I64)
		printf("%" PRId64, (int64_t)(bits << shift) >> shift);
	else
		printf("%" PRIu64, bits);
}

static void print_string(const char *text, size_t len, bool json)
{
	if (json) {
		qc_json_print_string(stdout, text, len);
		return;
	}
	cli_print_text(stdout, text, len > SHOWN_TEXT ? SHOWN_TEXT : len);
	if (len > SHOWN_TEXT)
		printf("... (%zu bytes)", len);
}

static void print_array(const struct qc_kv *kv, bool json)
{
	size_t at = 0, len, bytes = qc_kv_type_bytes(kv->elem);
	uint64_t shown = json || kv->n < SHOWN_ELEMENTS ? kv->n : SHOWN_ELEMENTS;
	const char *text;

	putchar('[');
	for (uint64_t i = 0; i < shown; i++) {
		fputs(i ? ", " : "", stdout);
		if (kv->elem != QC_KV_STRING)
			print_number(kv->elem, kv->data + i * bytes, json);
		else if (qc_kv_next_string(kv, &at, &text, &len))
			print_string(text, len, json);
	}
	if (shown < kv->n)
		printf(", ... %" PRIu64 " in all", kv->n);
	putchar(']');
}

void cli_print_value(const struct qc_kv *kv, bool json)
{
	if (kv->type == QC_KV_ARRAY)
		print_array(kv, json);
	else if (kv->type == QC_KV_STRING)
		print_string((const char *)kv->data, kv->bytes, json);
	else
		print_number(kv->type, kv->data, json);
}
