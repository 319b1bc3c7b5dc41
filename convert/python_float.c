#include "convert/python_float.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void qc_python_float(char *out, size_t size, double value)
{
	char text[40], digits[20];
	int precision = 0, exponent, n = 0, at = 0;
	const char *e;

	do
		snprintf(text, sizeof(text), "%.*e", precision, fabs(value));
	while (precision++ < 17 && strtod(text, NULL) != fabs(value));
	e = strchr(text, 'e');
	exponent = e ? atoi(e + 1) : 0;
	for (const char *p = text; *p && *p != 'e'; p++)
		if (*p >= '0' && *p <= '9')
			digits[n++] = *p;
	digits[n] = 0;
	if (exponent < -4 || exponent >= 16) {
		snprintf(out, size, "%s%c%s%se%c%02d", signbit(value) ? "-" : "", digits[0],
			 n > 1 ? "." : "", digits + 1, exponent < 0 ? '-' : '+', abs(exponent));
		return;
	}
	at += snprintf(out, size, "%s", signbit(value) ? "-" : "");
	if (exponent < 0)
		snprintf(out + at, size - (size_t)at, "0.%.*s%s", -exponent - 1, "0000", digits);
	else if (n <= exponent + 1)
		snprintf(out + at, size - (size_t)at, "%s%.*s.0", digits, exponent + 1 - n,
			 "0000000000000000");
	else
		snprintf(out + at, size - (size_t)at, "%.*s.%s", exponent + 1, digits,
			 digits + exponent + 1);
}
