// How values look in reports: numbers, and text of unknown origin made safe to print.
#include "base/text.hpp"

#include <otp/term.hpp>

#include <fmt/format.h>

namespace otp::detail {

std::string integer_text(long long value) { return fmt::format("{}", value); }
std::string unsigned_text(unsigned long long value) { return fmt::format("{}", value); }
std::string floating_text(double value) { return fmt::format("{}", value); }

namespace {

// The length of the valid UTF-8 sequence at `text[at]`, or 0. Overlong forms and surrogates are invalid.
std::size_t sequence_length(std::string_view text, std::size_t at) {
  auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  unsigned char lead = byte(at);
  std::size_t length = lead < 0x80                   ? 1
                       : lead >= 0xc2 && lead < 0xe0 ? 2
                       : lead >= 0xe0 && lead < 0xf0 ? 3
                       : lead >= 0xf0 && lead < 0xf5 ? 4
                                                     : 0;
  if (length == 0 || at + length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((byte(at + i) & 0xc0) != 0x80) return 0;
  if (lead == 0xe0 && byte(at + 1) < 0xa0) return 0;
  if (lead == 0xed && byte(at + 1) >= 0xa0) return 0;
  if (lead == 0xf0 && byte(at + 1) < 0x90) return 0;
  if (lead == 0xf4 && byte(at + 1) >= 0x90) return 0;
  return length;
}

char32_t code_point(std::string_view text, std::size_t at, std::size_t length) {
  auto byte = [&](std::size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(text[i])); };
  char32_t point = length == 1 ? byte(at) : byte(at) & (0xff >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) point = point << 6 | (byte(at + i) & 0x3f);
  return point;
}

// Characters that a terminal or a log reader would act on instead of showing: controls, line separators, and the
// marks that reorder text.
bool acts(char32_t point) {
  return point < 0x20 || (point >= 0x7f && point < 0xa0) || point == 0x2028 || point == 0x2029 || point == 0x200e ||
         point == 0x200f || point == 0x061c || (point >= 0x202a && point <= 0x202e) ||
         (point >= 0x2066 && point <= 0x2069) || point == 0xfeff;
}

}  // namespace

namespace {

std::string made_safe(std::string_view text, std::size_t most, bool quotes) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    if (out.size() >= most) {
      out += fmt::format("...({} bytes)", text.size());
      break;
    }
    char c = text[at];
    std::size_t length = sequence_length(text, at);
    if (c == '\n')
      out += "\\n";
    else if (c == '\r')
      out += "\\r";
    else if (c == '\t')
      out += "\\t";
    else if (quotes && (c == '\\' || c == '"'))
      (out += '\\') += c;
    else if (length == 0)
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    else if (char32_t point = code_point(text, at, length); acts(point))
      out += point < 0x100 ? fmt::format("\\x{:02x}", static_cast<unsigned>(point))
                           : fmt::format("\\u{{{:x}}}", static_cast<unsigned>(point));
    else
      out += text.substr(at, length);
    at += length ? length : 1;
  }
  return out;
}

}  // namespace

std::string escaped(std::string_view text, std::size_t most) { return made_safe(text, most, true); }
std::string one_line(std::string_view text, std::size_t most) { return made_safe(text, most, false); }

std::string quoted(std::string_view text, std::size_t most) { return '"' + escaped(text, most) + '"'; }

}  // namespace otp::detail
