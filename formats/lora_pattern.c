/*
 * rank_pattern and alpha_pattern: which modules a key means.
 *
 * PEFT takes a key K as a Python regular expression and asks whether "(.*\.)?(K)$" matches a
 * module's path from its beginning. Nearly all keys are plain names (a whole path, or the end of
 * one): they are looked up, each ending of the path that begins after a dot. In such a key a dot
 * means a dot. What is left is translated to a POSIX expression; constructs that have no equal
 * there are refused, and so are those that make matching expensive, as the file may be anyone's.
 */
#include "formats/lora.h"

#include <regex.h>
#include <stdlib.h>
#include <string.h>

#define MAX_KEY	    512 /* bytes of a key that is an expression */
#define MAX_REGEXES 256
/* regcomp() writes a repeated part out once more for every "+" and n times for {n}, and can take
 * memory with the square of what comes of that: the squares of all expressions add up to this at
 * most. */
#define MAX_SQUARES (1u << 24)
#define MAX_GROWTH  4096

struct qc_lora_regex {
	regex_t regex;
	size_t index;
};

static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-' || c == '.';
}

/* The name that `key` means when it holds no sign of an expression but "^" in front, "$" behind
 * and "\." for a dot; false otherwise. `name` has room for the key. */
static bool plain_name(const char *key, char *name, bool *whole)
{
	*whole = *key == '^';
	for (key += *whole; *key && !(key[0] == '$' && !key[1]); key++) {
		if (key[0] == '\\' && (key[1] == '.' || key[1] == '-' || key[1] == '_'))
			key++;
		else if (!is_name_char(*key))
			return false;
		*name++ = *key;
	}
	*name = 0;
	return true;
}

/* An expression while it is translated. */
struct translation {
	const char *key, *at;
	char out[6 * MAX_KEY + 32];
	size_t n;
	uint64_t growth; /* at most so many times as long when written out */
};

static void put(struct translation *t, const char *text)
{
	const size_t len = strlen(text);

	memcpy(t->out + t->n, text, len + 1);
	t->n += len;
}

static void put_char(struct translation *t, char c)
{
	const char text[2] = {c, 0};

	put(t, text);
}

static enum qc_status refuse(const struct translation *t, const char *what, struct qc_err *err)
{
	return qc_fail(err, QC_UNSUPPORTED,
		       "the expression '%.200s' has %s; list the modules' names", t->key, what);
}

/* Behind a backslash. */
static enum qc_status translate_escape(struct translation *t, bool in_class, struct qc_err *err)
{
	const char c = *++t->at;

	if (c == 'd')
		put(t, in_class ? "0-9" : "[0-9]");
	else if (c == 'w')
		put(t, in_class ? "A-Za-z0-9_" : "[A-Za-z0-9_]");
	else if (!in_class && c && strchr(".^$*+?()[]{}|\\", c)) {
		put_char(t, '\\');
		put_char(t, c);
	} else if (!in_class && (c == '-' || c == '_')) {
		put_char(t, c);
	} else {
		return refuse(t, "an escape that qconv does not read", err);
	}
	t->at++;
	return QC_OK;
}

/* "[...]", copied. */
static enum qc_status translate_class(struct translation *t, struct qc_err *err)
{
	const char *begin = t->at++;

	put_char(t, '[');
	if (*t->at == '^')
		put_char(t, *t->at++);
	for (bool first = true; *t->at && (*t->at != ']' || first); first = false) {
		if (*t->at == '[')
			return refuse(t, "a '[' inside brackets", err);
		if (*t->at == '\\') {
			enum qc_status s = translate_escape(t, true, err);

			if (s)
				return s;
			continue;
		}
		put_char(t, *t->at++);
	}
	if (*t->at != ']' || t->at == begin + 1)
		return refuse(t, "a bracket that is not closed", err);
	put_char(t, *t->at++);
	return QC_OK;
}

static enum qc_status grow(struct translation *t, unsigned times, struct qc_err *err)
{
	t->growth *= times;
	return t->growth <= MAX_GROWTH ? QC_OK
				       : refuse(t, "more repetitions than qconv allows", err);
}

/* "{2}", "{1,3}" */
static enum qc_status translate_repeat(struct translation *t, struct qc_err *err)
{
	unsigned most = 0, n = 0;

	for (put_char(t, *t->at++); *t->at && *t->at != '}'; put_char(t, *t->at++)) {
		const bool digit = *t->at >= '0' && *t->at <= '9';

		if ((!digit && *t->at != ',') || n > MAX_GROWTH)
			return refuse(t, "a repetition that qconv does not read", err);
		n = digit ? n * 10 + (unsigned)(*t->at - '0') : 0;
		most = n > most ? n : most;
	}
	if (!*t->at)
		return refuse(t, "a repetition that is not closed", err);
	put_char(t, *t->at++);
	return grow(t, most ? most : 1, err);
}

static enum qc_status translate(struct translation *t, struct qc_err *err)
{
	enum qc_status s = QC_OK;

	put(t, "^(.*\\.)?(");
	while (!s && *t->at) {
		if (*t->at == '\\') {
			s = translate_escape(t, false, err);
		} else if (*t->at == '[') {
			s = translate_class(t, err);
		} else if (*t->at == '{') {
			s = translate_repeat(t, err);
		} else if (*t->at == '+') {
			put_char(t, *t->at++);
			s = grow(t, 2, err);
		} else if (!strncmp(t->at, "(?:", 3)) {
			put_char(t, '(');
			t->at += 3;
		} else if (!strncmp(t->at, "(?", 2)) {
			s = refuse(t, "a group that qconv does not read", err);
		} else {
			put_char(t, *t->at++);
		}
	}
	put(t, ")$");
	return s;
}

static enum qc_status add_regex(struct qc_lora_patterns *patterns, const char *key,
				struct qc_err *err)
{
	struct translation t = {.key = key, .at = key, .growth = 1};
	struct qc_lora_regex *list;
	char why[128];
	uint64_t length;
	enum qc_status s;
	int code;

	if (strlen(key) > MAX_KEY)
		return refuse(&t, "too many characters", err);
	if (patterns->n_regexes == MAX_REGEXES)
		return qc_fail(err, QC_UNSUPPORTED, "more than %d regular expressions",
			       MAX_REGEXES);
	s = translate(&t, err);
	if (s)
		return s;
	length = t.growth * (strlen(key) + 1);
	if (length > MAX_SQUARES / length || patterns->squares > MAX_SQUARES - length * length)
		return refuse(&t, "more repetitions than qconv allows", err);
	patterns->squares += length * length;
	list = realloc(patterns->regexes, (patterns->n_regexes + 1) * sizeof(*list));
	if (!list)
		return qc_no_memory(err);
	patterns->regexes = list;
	list += patterns->n_regexes;
	list->index = patterns->n;
	code = regcomp(&list->regex, t.out, REG_EXTENDED | REG_NOSUB);
	if (code) {
		regerror(code, &list->regex, why, sizeof(why));
		return qc_fail(err, QC_BAD_INPUT, "the expression '%.200s' cannot be read: %s", key,
			       why);
	}
	patterns->n_regexes++;
	return QC_OK;
}

enum qc_status qc_lora_patterns_add(struct qc_lora_patterns *patterns, struct qc_arena *arena,
				    const char *key, double value, struct qc_err *err)
{
	char *name = qc_arena_alloc(arena, strlen(key) + 1);
	enum qc_status s;
	bool whole, was_there;

	if (!name)
		return qc_no_memory(err);
	if (plain_name(key, name, &whole)) /* of two spellings of one name the first counts */
		s = qc_strmap_add(whole ? &patterns->wholes : &patterns->suffixes, name,
				  strlen(name), patterns->n, &was_there, err);
	else
		s = add_regex(patterns, key, err);
	if (s)
		return s;
	if (!(patterns->n & (patterns->n - 1))) { /* full at every power of two */
		const size_t cap = patterns->n ? patterns->n * 2 : 1;
		double *values = realloc(patterns->values, cap * sizeof(*values));

		if (!values)
			return qc_no_memory(err);
		patterns->values = values;
	}
	patterns->values[patterns->n++] = value;
	return QC_OK;
}

void qc_lora_patterns_clear(struct qc_lora_patterns *patterns)
{
	for (size_t i = 0; i < patterns->n_regexes; i++)
		regfree(&patterns->regexes[i].regex);
	free(patterns->regexes);
	free(patterns->values);
	qc_strmap_clear(&patterns->suffixes);
	qc_strmap_clear(&patterns->wholes);
	*patterns = (struct qc_lora_patterns){0};
}

static void keep_first(uint64_t *first, const uint64_t *found)
{
	if (found && *found < *first)
		*first = *found;
}

const double *qc_lora_patterns_match(const struct qc_lora_patterns *patterns, const char *path)
{
	const size_t len = strlen(path);
	uint64_t first = UINT64_MAX;

	if (!patterns->n)
		return NULL;
	keep_first(&first, qc_strmap_find(&patterns->wholes, path, len));
	for (const char *at = path, *dot; at; at = dot ? dot + 1 : NULL) {
		dot = strchr(at, '.');
		keep_first(&first,
			   qc_strmap_find(&patterns->suffixes, at, len - (size_t)(at - path)));
	}
	for (size_t i = 0; i < patterns->n_regexes && patterns->regexes[i].index < first; i++)
		if (!regexec(&patterns->regexes[i].regex, path, 0, NULL, 0))
			first = patterns->regexes[i].index;
	return first == UINT64_MAX ? NULL : &patterns->values[first];
}
