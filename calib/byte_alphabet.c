/*
 *   bytes 33..126, 161..172, 174..255   the code point of the same number
 *   the other 68, in order              U+0100, U+0101, ... U+0143
 */
#include "calib/byte_alphabet.h"

#include "base/utf8.h"

static bool is_itself(uint32_t code)
{
	return (code >= 33 && code <= 126) || (code >= 161 && code <= 172) ||
	       (code >= 174 && code <= 255);
}

/* How many bytes below `byte` have a character of another number. */
static uint32_t others_below(uint32_t byte)
{
	uint32_t n = byte < 33 ? byte : 33;

	n += byte > 127 ? (byte < 161 ? byte - 127 : 34) : 0;
	return n + (byte > 173);
}

size_t qc_byte_character(uint8_t byte, char out[4])
{
	return qc_utf8_put(is_itself(byte) ? byte : 0x100 + others_below(byte), out);
}

/* The byte of the i-th other character. */
static uint8_t other_byte(uint32_t i)
{
	return (uint8_t)(i < 33 ? i : i < 67 ? i - 33 + 127 : 173);
}

bool qc_bytes_of_characters(const char *text, size_t len, char *bytes, size_t *n_bytes)
{
	*n_bytes = 0;
	for (size_t at = 0; at < len;) {
		const uint8_t *b = (const uint8_t *)text + at;
		const size_t n = qc_utf8_length(b, len - at);
		const uint32_t code = n == 1   ? b[0]
				      : n == 2 ? (b[0] & 0x1fu) << 6 | (b[1] & 0x3fu)
					       : 0;

		if (code >= 0x100 && code < 0x144)
			bytes[(*n_bytes)++] = (char)other_byte(code - 0x100);
		else if (is_itself(code))
			bytes[(*n_bytes)++] = (char)code;
		else
			return false;
		at += n;
	}
	return true;
}
