#include "base/text.h"

#include <stdio.h>
#include <string.h>

bool qc_text_replace(const char *text, const char *from, const char *to, char *buf, size_t size)
{
	const char *at = strstr(text, from);
	int n;

	if (!at)
		return false;
	n = snprintf(buf, size, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
	return n > 0 && (size_t)n < size;
}
