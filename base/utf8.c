/* UTF-8: well-formedness as in RFC 3629 (Unicode table 3-7), and encoding. */
#include "base/utf8.h"

#include <string.h>

size_t qc_utf8_length(const void *text, size_t size)
{
	const uint8_t *b = text;
	uint8_t low = 0x80, high = 0xbf; /* what the second byte may be */
	size_t n;

	if (!size)
		return 0;
	if (b[0] < 0x80)
		return 1;
	if (b[0] < 0xc2 || b[0] > 0xf4)
		return 0;
	n = b[0] < 0xe0 ? 2 : b[0] < 0xf0 ? 3 : 4;
	switch (b[0]) {
	case 0xe0:
		low = 0xa0; /* below: overlong */
		break;
	case 0xed:
		high = 0x9f; /* above: surrogates */
		break;
	case 0xf0:
		low = 0x90; /* below: overlong */
		break;
	case 0xf4:
		high = 0x8f; /* above: beyond U+10FFFF */
		break;
	}
	if (size < n || b[1] < low || b[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((b[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

bool qc_utf8_valid(const void *text, size_t size)
{
	const uint8_t *b = text, *end = b + size;

	while (b < end) {
		uint64_t eight;
		size_t n;

		if (end - b >= 8 && (memcpy(&eight, b, 8), !(eight & 0x8080808080808080u))) {
			b += 8;
			continue;
		}
		n = qc_utf8_length(b, (size_t)(end - b));
		if (!n)
			return false;
		b += n;
	}
	return true;
}

size_t qc_utf8_put(uint32_t code, char out[4])
{
	if (code < 0x80) {
		out[0] = (char)code;
		return 1;
	}
	if (code < 0x800) {
		out[0] = (char)(0xc0 | code >> 6);
		out[1] = (char)(0x80 | (code & 0x3f));
		return 2;
	}
	if (code < 0x10000) {
		out[0] = (char)(0xe0 | code >> 12);
		out[1] = (char)(0x80 | (code >> 6 & 0x3f));
		out[2] = (char)(0x80 | (code & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | code >> 18);
	out[1] = (char)(0x80 | (code >> 12 & 0x3f));
	out[2] = (char)(0x80 | (code >> 6 & 0x3f));
	out[3] = (char)(0x80 | (code & 0x3f));
	return 4;
}
