/* Reading a parsed document: types, children, numbers, raw text. */
#include "base/json_node.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum qc_json_type qc_json_type_of(const struct qc_json *json, qc_json_value value)
{
	return value < json->n_nodes ? (enum qc_json_type)json->nodes[value].type : QC_JSON_ABSENT;
}

const char *qc_json_type_name(enum qc_json_type type)
{
	static const char *const names[] = {
		[QC_JSON_ABSENT] = "nothing",  [QC_JSON_NULL] = "null",
		[QC_JSON_FALSE] = "false",     [QC_JSON_TRUE] = "true",
		[QC_JSON_NUMBER] = "a number", [QC_JSON_STRING] = "a string",
		[QC_JSON_ARRAY] = "an array",  [QC_JSON_OBJECT] = "an object",
	};

	return names[type];
}

uint32_t qc_json_count(const struct qc_json *json, qc_json_value parent)
{
	enum qc_json_type type = qc_json_type_of(json, parent);

	return type == QC_JSON_ARRAY || type == QC_JSON_OBJECT ? json->nodes[parent].extent : 0;
}

qc_json_value qc_json_first(const struct qc_json *json, qc_json_value parent)
{
	return qc_json_count(json, parent) && !json->nodes[parent].has_escape ? parent + 1 : 0;
}

qc_json_value qc_json_next(const struct qc_json *json, qc_json_value value)
{
	return value < json->n_nodes ? json->nodes[value].next : 0;
}

/* Behind the container that begins at `at`, in a checked text. */
static const char *container_end(const char *at)
{
	int depth = 0;

	do {
		if (*at == '[' || *at == '{')
			depth++;
		else if (*at == ']' || *at == '}')
			depth--;
		else if (*at == '"')
			at = qc_json_closing(at + 1, true);
		at++;
	} while (depth);
	return at;
}

const char *qc_json_raw(const struct qc_json *json, qc_json_value value, size_t *len)
{
	enum qc_json_type type = qc_json_type_of(json, value);
	const char *start;

	*len = 0;
	if (type == QC_JSON_ABSENT)
		return NULL;
	start = json->text + json->nodes[value].at;
	*len = json->nodes[value].extent;
	if (type != QC_JSON_ARRAY && type != QC_JSON_OBJECT)
		return start;
	*len = (size_t)(container_end(start) - start); /* it is not kept */
	return start;
}

bool qc_json_left(const struct qc_json *json, qc_json_value array, size_t *at, const char **text,
		  size_t *len)
{
	const char *from = json->text + *at, *end;

	if (qc_json_type_of(json, array) != QC_JSON_ARRAY)
		return false;
	if (!*at)
		from = json->text + json->nodes[array].at + 1;
	from += strspn(from, " \n\r\t,");
	if (*from == ']')
		return false;
	if (*from == '[' || *from == '{')
		end = container_end(from);
	else if (*from == '"')
		end = qc_json_closing(from + 1, true) + 1;
	else
		end = from + strcspn(from, " \n\r\t,]");
	*text = from;
	*len = (size_t)(end - from);
	*at = (size_t)(end - json->text);
	return true;
}

bool qc_json_bool(const struct qc_json *json, qc_json_value value, bool *out)
{
	enum qc_json_type type = qc_json_type_of(json, value);

	if (type != QC_JSON_TRUE && type != QC_JSON_FALSE)
		return false;
	*out = type == QC_JSON_TRUE;
	return true;
}

/* A double's rounding is decided by at most 767 significant digits and by whether anything but
 * zeros follows. */
#define MAX_DIGITS 800

/* The number digits * 10^exponent; no leading or trailing zeros, n = 0 is zero. */
struct decimal {
	bool is_negative;
	int n;
	int64_t exponent;
	char digits[MAX_DIGITS + 1];
};

/* The value of an exponent's digits, clamped to what no other part of a number can make up for. */
static int64_t exponent_read(const char *at, const char *end)
{
	bool is_negative = at < end && *at == '-';
	int64_t value = 0;

	if (at < end && (*at == '-' || *at == '+'))
		at++;
	for (; at < end; at++)
		if (value < 1 << 30)
			value = value * 10 + (*at - '0');
	return is_negative ? -value : value;
}

/* Read the number of `node` exactly; false for NaN and the infinities. */
static bool decimal_read(const struct qc_json *json, const struct qc_json_node *node,
			 struct decimal *d)
{
	const char *at = json->text + node->at, *end = at + node->extent;
	bool is_fraction = false, has_more = false;

	d->is_negative = *at == '-';
	d->n = 0;
	d->exponent = 0;
	if (d->is_negative)
		at++;
	if (*at == 'N' || *at == 'I')
		return false;
	for (; at < end && (*at | 32) != 'e'; at++) {
		if (*at == '.') {
			is_fraction = true;
			continue;
		}
		if (d->n == MAX_DIGITS) {
			has_more |= *at != '0';
			d->exponent += !is_fraction;
			continue;
		}
		d->exponent -= is_fraction;
		if (d->n || *at != '0')
			d->digits[d->n++] = *at;
	}
	if (at < end)
		d->exponent += exponent_read(at + 1, end);
	if (has_more) {
		d->digits[d->n++] = '1';
		d->exponent--;
	}
	while (d->n && d->digits[d->n - 1] == '0') {
		d->n--;
		d->exponent++;
	}
	return true;
}

/* The magnitude of a number that is an integer below 2^64. */
static bool integer_read(const struct qc_json *json, qc_json_value value, uint64_t *magnitude,
			 bool *is_negative)
{
	struct decimal d;
	uint64_t sum = 0;

	if (qc_json_type_of(json, value) != QC_JSON_NUMBER ||
	    !decimal_read(json, &json->nodes[value], &d))
		return false;
	if (d.n && (d.exponent < 0 || d.exponent + d.n > 20))
		return false;
	for (int64_t i = 0; d.n && i < d.n + d.exponent; i++) {
		uint64_t digit = i < d.n ? (uint64_t)(d.digits[i] - '0') : 0;

		if (__builtin_mul_overflow(sum, 10, &sum) ||
		    __builtin_add_overflow(sum, digit, &sum))
			return false;
	}
	*magnitude = sum;
	*is_negative = d.is_negative && sum;
	return true;
}

bool qc_json_u64(const struct qc_json *json, qc_json_value value, uint64_t *out)
{
	uint64_t magnitude;
	bool is_negative;

	if (!integer_read(json, value, &magnitude, &is_negative) || is_negative)
		return false;
	*out = magnitude;
	return true;
}

bool qc_json_i64(const struct qc_json *json, qc_json_value value, int64_t *out)
{
	uint64_t magnitude;
	bool is_negative;

	if (!integer_read(json, value, &magnitude, &is_negative) ||
	    magnitude > (uint64_t)INT64_MAX + is_negative)
		return false;
	/* no cast of 2^63: the most negative number has no positive twin */
	*out = is_negative ? -(int64_t)(magnitude - 1) - 1 : (int64_t)magnitude;
	return true;
}

bool qc_json_f64(const struct qc_json *json, qc_json_value value, double *out)
{
	char plain[MAX_DIGITS + 40];
	const struct qc_json_node *node;
	struct decimal d;
	double number;

	if (qc_json_type_of(json, value) != QC_JSON_NUMBER)
		return false;
	node = &json->nodes[value];
	if (!decimal_read(json, node, &d)) {
		if (json->text[node->at] == 'N')
			*out = NAN;
		else
			*out = d.is_negative ? -INFINITY : INFINITY;
		return true;
	}
	/* without a decimal point strtod reads the same in every locale */
	snprintf(plain, sizeof(plain), "%s%.*se%lld", d.is_negative ? "-" : "", d.n ? d.n : 1,
		 d.n ? d.digits : "0", (long long)(d.n ? d.exponent : 0));
	number = strtod(plain, NULL);
	if (!isfinite(number))
		return false;
	*out = number;
	return true;
}
