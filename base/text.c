#include "base/text.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

bool qc_text_replace(const char *text, const char *from, const char *to, char *buf, size_t size)
{
	const char *at = strstr(text, from);
	int n;

	if (!at)
		return false;
	n = snprintf(buf, size, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
	return n > 0 && (size_t)n < size;
}

bool qc_text_ends(const char *text, const char *end)
{
	const size_t len = strlen(text), n = strlen(end);

	return len >= n && !memcmp(text + len - n, end, n);
}

bool qc_text_has_extension(const char *path, const char *extension)
{
	const size_t len = strlen(path), n = strlen(extension);

	return len > n && !strcasecmp(path + len - n, extension);
}

const char *qc_text_behind(const char *text, char c)
{
	const char *last = strrchr(text, c);

	return last ? last + 1 : text;
}

const char *qc_text_base_name(const char *path)
{
	return qc_text_behind(path, '/');
}

int qc_text_order(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}
