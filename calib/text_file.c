/* Text files, plain or gzip: zlib reads both. */
#include "calib/text_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { STEP = 1 << 20, MOST = 1 << 30 };

/* Append all that is in the file. */
static enum qc_status read_all(gzFile file, const char *path, char **text, size_t *len,
			       struct qc_err *err)
{
	size_t cap = 0;
	int n;

	do {
		if (cap - *len <= STEP) {
			char *more = realloc(*text, cap = 2 * cap + 2 * STEP);

			if (!more)
				return qc_no_memory(err);
			*text = more;
		}
		errno = 0;
		n = gzread(file, *text + *len, STEP);
		if (n < 0) {
			int code;
			const char *why = gzerror(file, &code);

			return code == Z_ERRNO ? qc_fail_errno(err, errno, "cannot read '%s'", path)
					       : qc_fail(err, QC_BAD_INPUT,
							 "'%s': damaged gzip data (%s)", path, why);
		}
		*len += (size_t)n;
		if (*len > MOST)
			return qc_fail(err, QC_BAD_INPUT,
				       "'%s' has more than %d bytes of text, the most that is read",
				       path, MOST);
	} while (n);
	(*text)[*len] = 0;
	return QC_OK;
}

enum qc_status qc_text_read(const char *path, char **text, size_t *len, struct qc_err *err)
{
	gzFile file = gzopen(path, "rb");
	enum qc_status s;

	*text = NULL;
	*len = 0;
	if (!file)
		return qc_fail_errno(err, errno ? errno : ENOMEM, "cannot open '%s'", path);
	s = read_all(file, path, text, len, err);
	/* a file that ends within its gzip data is told only now */
	if (gzclose(file) != Z_OK && !s)
		s = qc_fail(err, QC_BAD_INPUT, "'%s': its gzip data ends too early", path);
	if (!s && !*len)
		s = qc_fail(err, QC_BAD_INPUT, "'%s' is empty", path);
	if (!s && memchr(*text, 0, *len))
		s = qc_fail(err, QC_BAD_INPUT, "'%s' is no text: there is a NUL at byte %zu", path,
			    (size_t)((char *)memchr(*text, 0, *len) - *text));
	if (s) {
		free(*text);
		*text = NULL;
	}
	return s;
}
